# SPDX-License-Identifier: MIT
"""Run proofs: theorems, lemmas, reachability and mutants of one edition, as one report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import z3
from pydantic import TypeAdapter

from checker.answers import GaveUp, why_unknown
from checker.calls import CallPath, ExploredCall, explore_arguments, explore_body
from checker.documents.counterexamples import Counterexample
from checker.documents.layouts import LayoutDoc
from checker.examples import Example, witnesses
from checker.paths import LostPaths, TooManyPaths
from checker.prove import Decision, Prover
from checker.scenario import re_execute
from proofs.cases import BY_HAND
from proofs.evidence import counterexample_of, witness_of
from proofs.lemmas import LEMMAS, lemma_result, lemmas_of
from proofs.mutants import mutants_of
from proofs.recorded import Cases, breaks, ends, says
from proofs.results import (
    Advised,
    FindResult,
    LemmaResult,
    MutantResult,
    Problem,
    ProofReport,
    ReachableResult,
    RecordedUse,
    TheoremResult,
    Verdict,
    Witness,
)
from proofs.tasks import Cache, Task, carry_out_tasks, words_of_task
from proofs.theorems import TWO_PASS, Theorem, theorems
from spec.advice import ADVICE, DISCARDING
from spec.assumptions import ALWAYS
from spec.editions import EDITIONS, Edition
from spec.errors import Errno
from spec.properties import PROPERTIES, promised
from spec.syscalls import CALLS

_EVERY = tuple(EDITIONS)
_NEVER_CUT = "special and huge VMAs are exempt from locking, so that none is ever cut"
UNREACHABLE: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("mprotect", "mprotect: the protection key is not allocated"): ("mprotect passes no key", _EVERY),
    ("mremap", "mremap onto: a hole inside one VMA would exceed the map-count limit"): (
        "six free maps were asked for before",
        _EVERY,
    ),
    ("mremap", "mremap tail: a VMA to unmap is sealed"): (
        "the whole old range was tested for seals before",
        ("v10", "v6.11"),
    ),
    ("mlock", "the VMA refuses to be split"): (_NEVER_CUT, _EVERY),
    ("munlock", "the VMA refuses to be split"): (_NEVER_CUT, _EVERY),
    **{
        (call, check): ("splits and their room were decided before the pass", TWO_PASS)
        for call in ("mseal", "mprotect", "pkey_mprotect", "madvise")
        for check in ("no room under the map-count limit for a split", "the VMA refuses to be split")
    },
    ("mremap", "the VMA refuses to be split"): ("whether the cuts are refused was decided before them", TWO_PASS),
    **{
        (call, "no room under the map-count limit for a split"): ("room was asked for before the pass", TWO_PASS)
        for call in ("mlock", "munlock")
    },
}
"""(call, check) that no concrete case is expected to reach: the reason, and the editions."""


@dataclass(frozen=True, slots=True)
class Event:
    """Progress: one result is there."""

    kind: str
    """`theorem`, `lemma`, `reachable` or `mutant`."""
    name: str
    verdict: str
    as_expected: bool
    done: int
    total: int
    """How many results of this kind are expected; 0 while that is not known."""


"""The verdict that is as expected."""

OnEvent = Callable[[Event], None]
Result = TheoremResult | LemmaResult | ReachableResult | MutantResult | Advised | Problem | RecordedUse
RESULTS: TypeAdapter[list[Result]] = TypeAdapter(list[Result])


def prove(
    edition_name: str,
    *,
    properties: list[str] | None = None,
    calls: list[str] | None = None,
    timeout_ms: int = 20_000,
    mutants: bool = True,
    lemmas: bool = True,
    on_event: OnEvent | None = None,
    jobs: int = 0,
    cache: Cache | None = None,
) -> ProofReport:
    """Decide all theorems of an edition (or those chosen), the lemmas they rest on, and the mutants.

    `timeout_ms` is for one query of the solver. What the cache knows is not decided again. On Ctrl-C the report holds
    what was decided so far, and is not complete. Raises KeyError for an edition, property or call that does not exist.
    """
    edition = EDITIONS[edition_name]
    started = time.perf_counter()
    chosen = theorems(edition, properties, calls)
    names = tuple(p.name for p in promised(edition) if properties is None or p.name in properties)
    touched = list(dict.fromkeys(t.call for t in chosen))
    tasks = [Task("theorem", call, edition_name, names, timeout_ms) for call in touched]
    if lemmas:
        tasks += [Task("lemma", name, edition_name, None, timeout_ms) for name in lemmas_of(edition)]
    if mutants:
        tasks += [Task("mutant", call, edition_name, None, timeout_ms) for call in touched if call != "mseal32"]
    if any((t.property.name, t.call) == ("eperm-only-with-cause", "madvise") for t in chosen):
        tasks.append(Task("advice", "madvise", edition_name, None, timeout_ms))
    tasks.sort(key=lambda task: task.name != "mremap")  # the longest first, so that processes end together
    results: list[Result] = []
    from_cache = 0
    totals = {"theorem": len(chosen), "lemma": len(lemmas_of(edition)) if lemmas else 0, "mutant": 0, "reachable": 0}
    complete = True
    try:
        for _, result, known in carry_out_tasks(tasks, carry_out, RESULTS, is_decided, lost, jobs=jobs, cache=cache):
            results.append(result)
            from_cache += known and not isinstance(result, RecordedUse)
            if on_event is not None and not isinstance(result, Advised | Problem | RecordedUse):
                on_event(_event(result, results, totals))
    except KeyboardInterrupt:
        complete = False
    return _report(edition, chosen, results, time.perf_counter() - started, complete, from_cache)


def is_decided(result: Result) -> bool:
    """The result will be the same next time: it was not for want of time that something was not found."""
    if isinstance(result, TheoremResult | LemmaResult):
        return result.verdict in ("proved", "refuted") or (result.verdict == "vacuous" and result.as_expected)
    if isinstance(result, ReachableResult):
        return result.reachable or result.as_expected
    if isinstance(result, MutantResult):
        return bool(result.killed_by) or result.as_expected
    return isinstance(result, Advised | RecordedUse)


def lost(task: Task, found: Sequence[Result], why: str) -> Iterator[Result]:
    """What a task still owed when its process was lost: errors."""
    if task.kind in ("theorem", "property"):
        known = {result.property for result in found if isinstance(result, TheoremResult)}
        for theorem in theorems(EDITIONS[task.edition], list(task.properties or ()), [task.name]):
            if theorem.property.name not in known:
                yield _as_result(theorem, Decision("error", 0, 0.0), "error", None, None, why)
    elif task.kind == "lemma":
        lemma = LEMMAS[task.name]
        yield LemmaResult(
            name=lemma.name, sentence=lemma.sentence, verdict="error", as_expected=False, obligations=0, seconds=0.0,
            why=why,
        )  # fmt: skip
    yield Problem(task=words_of_task(task), verdict="error", why=why)


def _report(
    edition: Edition,
    chosen: list[Theorem],
    results: list[Result],
    seconds: float,
    complete: bool,
    from_cache: int,
) -> ProofReport:
    order = {(t.property.name, t.call): i for i, t in enumerate(chosen)}
    found = sorted((r for r in results if isinstance(r, TheoremResult)), key=lambda r: order[r.property, r.call])
    lemma_order = list(LEMMAS)
    call_order = list(CALLS)
    used = {name for r in found for name in r.assumptions}
    return ProofReport(
        edition=edition.name,
        kernel=edition.kernel,
        solver=f"z3 {z3.get_version_string()}",
        assumptions=sorted(used),
        theorems=found,
        lemmas=sorted((r for r in results if isinstance(r, LemmaResult)), key=lambda r: lemma_order.index(r.name)),
        reachability=sorted(
            (r for r in results if isinstance(r, ReachableResult)), key=lambda r: (call_order.index(r.call), r.check)
        ),
        mutants=sorted(
            (r for r in results if isinstance(r, MutantResult)), key=lambda r: (call_order.index(r.call), r.check)
        ),
        blocked_advice=[r for r in results if isinstance(r, Advised)],
        problems=[r for r in results if isinstance(r, Problem)],
        recorded=RecordedUse(
            used=sum(r.used for r in results if isinstance(r, RecordedUse)),
            searched=[question for r in results if isinstance(r, RecordedUse) for question in r.searched],
        ),
        from_cache=from_cache,
        seconds=round(seconds, 3),
        complete=complete and len(found) == len(chosen),
    )


def _event(
    result: TheoremResult | LemmaResult | ReachableResult | MutantResult, results: list[Result], totals: dict[str, int]
) -> Event:
    done = sum(type(r) is type(result) for r in results)
    if isinstance(result, TheoremResult):
        return Event(
            "theorem", f"{result.property}({result.call})", result.verdict, result.as_expected, done, totals["theorem"]
        )
    if isinstance(result, LemmaResult):
        return Event("lemma", result.name, result.verdict, result.as_expected, done, totals["lemma"])
    if isinstance(result, ReachableResult):
        verdict = "reachable" if result.reachable else "unknown" if result.why else "unreachable"
        return Event("reachable", f"{result.call}: {result.check or 'success'}", verdict, result.as_expected, done, 0)
    verdict = "survived" if result.survived else "unknown" if result.why else "killed"
    return Event("mutant", f"{result.call}: {result.check}", verdict, result.as_expected, done, 0)


def carry_out(task: Task) -> Iterator[Result]:
    """The results of one task."""
    kind, name, edition_name, properties, timeout_ms = task
    edition = EDITIONS[edition_name]
    if kind == "lemma":
        yield lemma_result(LEMMAS[name], edition, timeout_ms)
    elif kind == "advice":
        yield from blocked_advice(edition, timeout_ms)
    elif kind == "mutant":
        try:
            explored = explore_body(name, edition)
        except (TooManyPaths, LostPaths):
            return  # the theorems of this call are undecided, and say so
        cases = Cases(name, edition)
        yield from mutants_of(name, edition, explored, timeout_ms, cases)
        yield RecordedUse(used=cases.used, searched=cases.searched)
    elif name == "mseal32":
        yield from _arguments_only(name, edition, properties or (), timeout_ms)
    else:
        yield from _theorems_of(name, edition, properties or (), timeout_ms, reachability=kind == "theorem")


# theorems of one call -------------------------------------------------------------------------------------------------


def _theorems_of(
    call: str, edition: Edition, names: tuple[str, ...], timeout_ms: int, *, reachability: bool
) -> Iterator[Result]:
    try:
        explored = explore_body(call, edition)
    except (TooManyPaths, LostPaths) as failed:
        yield from _undecided(call, edition, names, failed)
        return
    prover, cases = Prover(explored, timeout_ms), Cases(call, edition)
    chosen = theorems(edition, list(names), [call])
    decisions = prover.decide([t.property for t in chosen], lambda prop: cases.that(breaks(prop.name)))
    for name, decision in decisions.items():
        if decision.verdict == "refuted":
            cases.answered(f"{name}({call}): a case that breaks it", by_case=not decision.searched)
    pool, reached = _reachable(prover, explored, cases) if reachability else ([], [])
    for theorem in chosen:
        yield _theorem_result(theorem, decisions[theorem.property.name], prover, pool, cases)
    if reachability:
        yield from reached
        yield from _reachable_arguments(call, edition, timeout_ms)
    yield RecordedUse(used=cases.used, searched=cases.searched)


def _undecided(
    call: str, edition: Edition, names: tuple[str, ...], failed: TooManyPaths | LostPaths
) -> Iterator[TheoremResult]:
    """A call whose paths could not all be explored: nothing is claimed of it."""
    verdict: Verdict = "error" if isinstance(failed, LostPaths) else "unknown"
    for theorem in theorems(edition, list(names), [call]):
        nothing = Decision(verdict, 0, 0.0, why=f"{call} was not explored to its end: {failed}")
        yield _as_result(theorem, nothing, verdict, None, None, nothing.why)


def _theorem_result(
    theorem: Theorem, decision: Decision, prover: Prover, pool: list[Example], cases: Cases
) -> TheoremResult:
    edition = theorem.edition
    verdict: Verdict
    counterexample, why = None, decision.why
    witness: Witness | None = None
    if decision.verdict == "refuted" and decision.example is not None:
        try:
            counterexample = counterexample_of(theorem, decision.example, decision.page)
        except GaveUp as gave_up:
            why = f"refuted, but {gave_up} in the search for arguments of the counterexample"
            return _as_result(theorem, decision, "unknown", None, None, why)
        problems = re_execute(counterexample)
        verdict, why = (
            ("error", "the concrete reading disagrees: " + "; ".join(problems)) if problems else ("refuted", "")
        )
        witness = witness_of(decision.example, edition)
    elif decision.verdict == "proved":
        found = _vacuity(theorem, prover, pool, cases)
        if found is None and prover.ran_out:
            why = f"nothing breaks it, but {prover.ran_out} in the search for a case in which it says something"
            return _as_result(theorem, decision, "unknown", None, None, why)
        verdict = "proved" if found is not None else "vacuous"
        witness = witness_of(found, edition) if found is not None else None
    elif decision.verdict == "open":
        verdict, why = "bounded", "not proved, and no counterexample with up to 3 VMAs and 9 pages"
    else:
        verdict = "error" if decision.verdict == "error" else "unknown"
    return _as_result(theorem, decision, verdict, witness, counterexample, why)


def _as_result(
    theorem: Theorem,
    decision: Decision,
    verdict: Verdict,
    witness: Witness | None,
    counterexample: Counterexample | None,
    why: str,
) -> TheoremResult:
    prop, broken = theorem.property, theorem.broken
    return TheoremResult(
        property=prop.name,
        call=theorem.call,
        edition=theorem.edition.name,
        sentence=prop.sentence,
        source=prop.source,
        expected=theorem.expected,
        verdict=verdict,
        as_expected=verdict == theorem.expected,
        engine="unbounded",
        seconds=round(decision.seconds, 4),
        queries=decision.queries,
        paths=decision.paths,
        assumptions=[*ALWAYS, *prop.assumptions],
        reason=theorem.reason,
        mended=broken.mended if broken else "",
        witness=witness,
        counterexample=counterexample,
        why=why,
    )


def _vacuity(theorem: Theorem, prover: Prover, pool: list[Example], cases: Cases) -> Example | None:
    """A concrete case in which the theorem says something; None if there is none."""
    for example in cases.that(says(theorem.property.name)):
        if witnesses(theorem.property, example, theorem.edition):
            cases.answered("", by_case=True)
            return example
    for example in pool:
        if witnesses(theorem.property, example, theorem.edition):
            return example
    cases.answered(f"{theorem.property.name}({theorem.call}): a case in which it says something", by_case=False)
    return prover.witness(theorem.property)


# reachability ---------------------------------------------------------------------------------------------------------


def _reachable(prover: Prover, explored: ExploredCall, cases: Cases) -> tuple[list[Example], list[ReachableResult]]:
    """For each way that a body can end, a concrete case that ends so."""
    call, edition = explored.call.name, explored.edition
    groups: dict[tuple[str, str], list[CallPath]] = {}
    labels = {(path.transition.errno.name, path.transition.check) for path in explored.paths}
    for label in sorted(labels):
        groups[label] = []
    for path in prover.feasible():
        groups.setdefault((path.transition.errno.name, path.transition.check), []).append(path)
    pool: list[Example] = []
    results: list[ReachableResult] = []
    for (errno, check), paths in groups.items():
        prover.ran_out = ""
        found = next((case for case in cases.that(ends(errno, check)) if _ends(case, errno, check, edition)), None)
        if found is not None:
            cases.answered("", by_case=True)
        else:
            found = prover.reach(paths) or _case_by_hand(call, errno, check, edition)
            if found is not None:
                cases.answered(f"{call}: a case that ends with {errno}: {check or 'success'}", by_case=False)
        why = f"undecided: {prover.ran_out} in the search for a case" if found is None and prover.ran_out else ""
        if found is not None:
            pool.append(found)
        reason, editions = UNREACHABLE.get((call, check), ("", ()))
        reason = reason if edition.name in editions else ""
        results.append(
            ReachableResult(
                call=call,
                errno=errno,
                check=check,
                reachable=found is not None,
                as_expected=not why and (found is None) == bool(reason),
                reason=reason,
                witness=witness_of(found, edition) if found is not None else None,
                why=why,
            )
        )
    return pool, results


def _case_by_hand(call: str, errno: str, check: str, edition: Edition) -> Example | None:
    if (call, check) not in BY_HAND:
        return None
    example = BY_HAND[call, check]()
    return example if _ends(example, errno, check, edition) else None


def _ends(example: Example, errno: str, check: str, edition: Edition) -> bool:
    """The call ends so."""
    outcome, _ = example.run(edition)
    return (outcome.errno.name, outcome.check) == (errno, check)


def _reachable_arguments(call: str, edition: Edition, timeout_ms: int) -> Iterator[ReachableResult]:
    for path in explore_arguments(call, edition):
        if path.decoded is None:
            solver = z3.SimpleSolver()
            solver.set("timeout", timeout_ms)
            solver.add(*path.conditions)
            answer = solver.check()
            reachable = answer == z3.sat
            yield ReachableResult(
                call=call,
                errno=path.errno.name,
                check=path.check,
                reachable=reachable,
                as_expected=reachable,
                reason="",
                witness=None,
                why=f"undecided: {why_unknown(solver)}" if answer == z3.unknown else "",
            )


def _arguments_only(call: str, edition: Edition, names: tuple[str, ...], timeout_ms: int) -> Iterator[Result]:
    """The 32-bit variant has no body: it refuses in its argument stage, which never sees the address space."""
    for theorem in theorems(edition, list(names), [call]):
        paths = explore_arguments(call, edition)
        holds = all(path.errno is Errno.EPERM and path.decoded is None for path in paths)
        yield TheoremResult(
            property=theorem.property.name,
            call=call,
            edition=edition.name,
            sentence=theorem.property.sentence,
            source=theorem.property.source,
            expected="proved",
            verdict="proved" if holds else "error",
            as_expected=holds,
            engine="arguments",
            seconds=0.0,
            queries=len(paths),
            paths=len(paths),
            assumptions=list(ALWAYS),
            reason="",
            mended="",
            witness=Witness(
                before=LayoutDoc(),
                call=call,
                arguments={"addr": 0, "len": 0, "flags": 0},
                failures=[],
                errno="EPERM",
                check=paths[0].check,
            ),
            counterexample=None,
            why="",
        )
    yield from _reachable_arguments(call, edition, timeout_ms)


# questions about one property -----------------------------------------------------------------------------------------


def find(
    property_name: str,
    call: str | None,
    edition_name: str,
    *,
    timeout_ms: int = 20_000,
    cache: Cache | None = None,
) -> FindResult:
    """The smallest counterexample to a property (of one call, or of the first call that breaks it).

    Raises KeyError for names that do not exist, ValueError if the call is not one that the property speaks of.
    """
    edition = EDITIONS[edition_name]
    chosen = theorems(edition, [property_name], [call] if call else None)
    if not chosen:
        raise ValueError(f"{property_name} says nothing about {call}")
    chosen.sort(key=lambda t: (t.broken is None, t.broken is not None and not t.broken.mended))
    last: FindResult | None = None
    for theorem in chosen:
        task = Task("property", theorem.call, edition_name, (property_name,), timeout_ms)
        found = list(carry_out_tasks([task], carry_out, RESULTS, is_decided, lost, cache=cache))
        result = next(r for _, r, _ in found if isinstance(r, TheoremResult))
        last = FindResult(
            property=property_name,
            call=theorem.call,
            edition=edition_name,
            verdict=result.verdict,
            expected=result.expected,
            as_expected=result.as_expected,
            counterexample=result.counterexample,
            why=result.why or result.reason,
        )
        if result.counterexample is not None or result.verdict not in ("proved",):
            return last
    assert last is not None
    return last


def blocked_advice(edition: Edition, timeout_ms: int = 20_000) -> Iterator[Advised | Problem]:
    """The advice values that are refused on sealed read-only anonymous memory although they discard nothing: each one
    is a model of the refutation of eperm-only-with-cause(madvise), all of them together are all such models; or a
    Problem besides, where something ran out before all were found."""
    explored = explore_body("madvise", edition)
    prover = Prover(explored, timeout_ms)
    values = prover.all_values(PROPERTIES["eperm-only-with-cause"], explored.arguments.advice)
    names = {value: name for name, value in ADVICE.items()}
    yield from (Advised(value=v, name=names[v]) for v in sorted(values) if v not in DISCARDING)
    if prover.ran_out:
        task = words_of_task(Task("advice", "madvise", edition.name, None, timeout_ms))
        yield Problem(task=task, verdict="unknown", why=f"there may be more: {prover.ran_out}")
