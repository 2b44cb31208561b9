# SPDX-License-Identifier: MIT
"""The semantic diff: two editions, call by call, for any number of VMAs.

Each call is compared at three levels: pages (success or failure, and the state of every page), result (errno and
value), boundaries (VMA boundaries and map_count). What is called the same is proved; what differs is shown by an
address space and a call that the concrete reading executes under both editions. docs/DIFF.md says what the words mean
and why the proofs hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Final, Literal, cast

import z3
from pydantic import TypeAdapter

from checker.answers import GaveUp, why_unknown
from checker.calls import WordPath, explore_arguments, symbolic_arguments, words_of
from checker.claims import range_of
from checker.concrete import State
from checker.documents.counterexamples import Size
from checker.documents.layouts import LayoutDoc
from checker.examples import Example
from checker.joint import differing_fields
from checker.pairs import Ended, explore_pair, read_arguments, read_body
from checker.parting import (
    BOUNDARIES,
    OTHERWISE,
    PARTINGS,
    RESULT,
    STRONGER,
    WEAKER,
    PairProver,
    Parted,
    changes,
    part,
)
from checker.parting_search import search_small
from checker.paths import TooManyPaths
from checker.prove import Examination
from proofs.lemmas import lemma_result
from proofs.merges import merges_more
from proofs.results import (
    CallDiff,
    DiffReport,
    Direction,
    EditionDoc,
    LemmaResult,
    Level,
    LevelVerdict,
    Outcome,
    PagesVerdict,
    Parting,
    Problem,
)
from proofs.tasks import Cache, Task, carry_out_tasks, words_of_task
from spec.assumptions import ALWAYS
from spec.editions import EDITIONS, Edition
from spec.properties import Property
from spec.syscalls import CALLS
from spec.terms import Bool, eq, one_of, whole

PAGES = (STRONGER, WEAKER, OTHERWISE)
"""The partings of the page level."""
LEVELS: dict[str, tuple[Level, Direction]] = {
    STRONGER: ("pages", STRONGER),
    WEAKER: ("pages", WEAKER),
    OTHERWISE: ("pages", OTHERWISE),
    RESULT: (RESULT, ""),
    BOUNDARIES: (BOUNDARIES, ""),
}
"""By parting: the level, and on the level of pages the direction."""
FEW: Final = 32
"""An argument that takes at most so many values is named by them."""
DIFFS: TypeAdapter[list[CallDiff]] = TypeAdapter(list[CallDiff])


def diff(
    first: str,
    second: str,
    calls: Sequence[str] | None = None,
    *,
    timeout_ms: int = 20_000,
    jobs: int = 0,
    cache: Cache | None = None,
    on_call: Callable[[CallDiff, int, int], None] | None = None,
) -> DiffReport:
    """Compare two editions in the given calls (all, if left out).

    `timeout_ms` is for one query of the solver; `on_call` is told of each call, how many are done, and how many there
    will be. On Ctrl-C the report holds what was decided so far, and is not complete. Raises KeyError for an edition or
    call that does not exist.
    """
    started = time.perf_counter()
    a, b = EDITIONS[first], EDITIONS[second]
    chosen = [name for name in CALLS if calls is None or name in calls]
    tasks = [Task("diff", name, first, (second,), timeout_ms) for name in chosen]
    tasks.sort(key=lambda task: task.name not in ("mremap", "madvise"))  # the longest first
    found: list[CallDiff] = []
    problems: list[Problem] = []

    def lost(task: Task, known: Sequence[CallDiff], why: str) -> list[CallDiff]:
        problems.append(Problem(task=words_of_task(task), verdict="error", why=why))
        return [] if known else [_undecided(task.name, why)]

    from_cache, complete = 0, True
    run = carry_out_tasks(tasks, carry_out, DIFFS, lambda d: d.decided, lost, jobs=jobs, cache=cache)
    try:
        for _, result, known in run:
            found.append(result)
            from_cache += known
            if on_call is not None:
                on_call(result, len(found), len(tasks))
    except KeyboardInterrupt:
        complete = False
    found.sort(key=lambda result: chosen.index(result.call))
    return DiffReport(
        editions=(EditionDoc(name=a.name, kernel=a.kernel), EditionDoc(name=b.name, kernel=b.kernel)),
        fields={name: (_shown(getattr(a, name)), _shown(getattr(b, name))) for name in sorted(differing_fields(a, b))},
        solver=f"z3 {z3.get_version_string()}",
        assumptions=list(ALWAYS),
        calls=found,
        lemmas=lemmas(a, b, timeout_ms) if complete else [],
        problems=problems,
        from_cache=from_cache,
        seconds=round(time.perf_counter() - started, 3),
        complete=complete,
    )


def _shown(value: object) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def carry_out(task: Task) -> Iterator[CallDiff]:
    """The result of one task."""
    assert task.properties is not None
    yield diff_call(EDITIONS[task.edition], EDITIONS[task.properties[0]], task.name, task.timeout_ms)


def lemmas(a: Edition, b: Edition, timeout_ms: int) -> list[LemmaResult]:
    """What the comparison rests on besides the lemmas of `prove`: that an edition which merges less runs out of room
    where one that merges more does."""
    if a.merges_into_unfaulted == b.merges_into_unfaulted:
        return []
    less, more = (a, b) if b.merges_into_unfaulted else (b, a)
    return [lemma_result(merges_more(less, more), more, timeout_ms)]


# one call -------------------------------------------------------------------------------------------------------------


def diff_call(a: Edition, b: Edition, call: str, timeout_ms: int = 20_000) -> CallDiff:
    """Compare two editions in one call."""
    started = time.perf_counter()
    absent = [edition.name for edition in (a, b) if not edition.has(call)]
    if absent:
        return CallDiff(call=call, verdict="absent", result="absent", boundaries="absent", absent=absent)
    try:
        result = _Comparison(a, b, call, timeout_ms).decide()
    except GaveUp as gave_up:
        result = _undecided(call, f"{gave_up} in the search for arguments of an example")
    except TooManyPaths as many:
        result = _undecided(call, f"{call} was not explored to its end: {many}")
    return result.model_copy(update={"seconds": round(time.perf_counter() - started, 3)})


def _undecided(call: str, why: str) -> CallDiff:
    return CallDiff(call=call, verdict="unknown", result="unknown", boundaries="unknown", why=why)


@dataclass(slots=True)
class _Case:
    """A body under both editions, or under one of them while the other ends in its argument stage."""

    prover: PairProver
    examined: dict[str, Examination]


@dataclass(slots=True)
class _Answer:
    """What is known of one parting of a call."""

    proved: bool = True
    found: Parted | None = None
    why: str = ""
    queries: int = 0


@dataclass(slots=True)
class _Comparison:
    """The comparison of one call under way."""

    a: Edition
    b: Edition
    call: str
    timeout_ms: int
    cases: list[_Case] = field(default_factory=list)
    stages: list[Parted] = field(default_factory=list)
    """Cases that argument stages alone decide."""
    problem: str = ""
    reads: list[str] = field(default_factory=list)

    def decide(self) -> CallDiff:
        """The verdicts."""
        fields_apart = differing_fields(self.a, self.b)
        if not fields_apart:
            return _same(self.call, "identity")
        read_first = read_arguments(self.call, self.a) & fields_apart
        has_body = any(path.decoded is not None for path in explore_arguments(self.call, self.a))
        read_then = read_body(self.call, self.a) & fields_apart if has_body else frozenset[str]()
        self.reads = sorted(read_first | read_then)
        if not self.reads:
            return _same(self.call, "identity")
        stages = _compare_arguments(self.call, self.a, self.b, self.timeout_ms) if read_first else _Stages()
        self.stages, self.problem = stages.parted, stages.problem
        if read_then:
            self._add_case(explore_pair(self.call, self.a, self.b), self.a)
        for half in stages.halves:
            explored = explore_pair(self.call, self.a, self.b, ended=half.ended, given=half.given)
            self._add_case(explored, self.b if half.ended[0] else self.a, half.also)
        return self._conclude()

    def _add_case(self, explored: Any, goes_on: Edition, also: tuple[z3.BoolRef, ...] = ()) -> None:
        if not explored.paths:
            self.problem = self.problem or "no two paths go together, which cannot be"
        prover = PairProver(explored, (self.a, self.b), self.timeout_ms, goes_on=goes_on, also=also)
        self.cases.append(_Case(prover, prover.examine(list(PARTINGS.values()))))

    def _conclude(self) -> CallDiff:
        known: list[Parted] = []
        answers = {}
        for name, prop in PARTINGS.items():
            answers[name] = self._answer(prop, known)
            found = answers[name].found
            known += [] if found is None else [found]
        verdict, result, boundaries = _verdict(answers), _level(answers[RESULT]), _level(answers[BOUNDARIES])
        whys = dict.fromkeys(answer.why for answer in answers.values() if not answer.proved and answer.found is None)
        decided = "unknown" not in (verdict, result, boundaries)
        return CallDiff(
            call=self.call,
            verdict=verdict,
            result=result,
            boundaries=boundaries,
            engine="unbounded" if self.cases else "arguments",
            reads=self.reads,
            partings=[parting_of(n, x.found, (self.a, self.b)) for n, x in answers.items() if x.found is not None],
            paths=sum(len(case.prover.explored.paths) for case in self.cases),
            queries=sum(answer.queries for answer in answers.values()),
            why="" if decided else "; ".join(filter(None, whys)),
        )

    def _answer(self, prop: Property, known: Sequence[Parted]) -> _Answer:
        """Is the parting excluded; if not, the smallest example."""
        answer = _Answer(proved=not self.problem, why=self.problem)
        opened: list[_Case] = []
        for case in self.cases:
            examined = case.examined[prop.name]
            answer.queries += examined.queries
            if not examined.proved:
                answer.proved = False
                opened.append(case)
                answer.why = examined.unknown or answer.why
                case.prover.ran_out = ""
        apart = [parted for parted in self.stages if _parts(prop, parted)]
        answer.proved = answer.proved and not apart
        if not answer.proved:
            answer.found = self._example(prop, opened, known) or (apart[0] if apart else None)
            ran_out = next((case.prover.ran_out for case in opened if case.prover.ran_out), "")
            why = f"{ran_out} in the search for one" if ran_out else "neither excluded nor found in an address space"
            answer.why = answer.why or why
        return answer

    def _example(self, prop: Property, opened: Sequence[_Case], known: Sequence[Parted]) -> Parted | None:
        """The smallest example that was found: one that shows another parting too, if nothing smaller is found."""
        best = min(
            (parted for parted in known if _parts(prop, parted)), key=lambda parted: parted.state.size, default=None
        )
        if not any(case.examined[prop.name].opened for case in opened):
            return best  # nothing is open; or the solver gave up, and a search that need not end would replace it
        merges_alone = set(self.reads) <= {"merges_into_unfaulted", "cursor"}
        if merges_alone:  # models know nothing of merges
            best = search_small(prop, (self.a, self.b), self.call, _size_of(best)) or best
        for case in opened if best is None or not merges_alone else ():
            best = case.prover.find(prop, case.examined[prop.name].opened, _size_of(best)) or best
        if best is None and not merges_alone:
            best = search_small(prop, (self.a, self.b), self.call)
        return best


def _size_of(parted: Parted | None) -> tuple[int, int] | None:
    return None if parted is None else parted.state.size


def _parts(prop: Property, parted: Parted) -> bool:
    """The concrete case is one of this parting too."""
    return any(not prop.holds(parted.pair, page) for page in parted.pages)


def _same(call: str, engine: Literal["identity"]) -> CallDiff:
    return CallDiff(call=call, verdict="same", result="same", boundaries="same", engine=engine)


def _verdict(answers: dict[str, _Answer]) -> PagesVerdict:
    """The page level in one word."""
    stronger, weaker, otherwise = (answers[name] for name in PAGES)
    if otherwise.found or (stronger.found and weaker.found):
        return "different"
    if not all(answer.proved or answer.found for answer in (stronger, weaker, otherwise)):
        return "unknown"
    return "stronger" if stronger.found else "weaker" if weaker.found else "same"


def _level(answer: _Answer) -> LevelVerdict:
    return "differs" if answer.found else "same" if answer.proved else "unknown"


# argument stages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Half:
    """One edition ends the call in its argument stage, the other goes on."""

    ended: tuple[Ended | None, Ended | None]
    given: tuple[Bool, ...]
    """What is known of the decoded arguments then."""
    also: tuple[z3.BoolRef, ...]
    """What holds of the words then."""


@dataclass(slots=True)
class _Stages:
    """Two argument stages, compared over 64-bit words."""

    parted: list[Parted] = field(default_factory=list)
    halves: list[_Half] = field(default_factory=list)
    problem: str = ""


def _compare_arguments(call: str, a: Edition, b: Edition, timeout_ms: int) -> _Stages:
    found = _Stages()
    words = words_of(CALLS[call])
    for one in explore_arguments(call, a):
        for other in explore_arguments(call, b):
            solver = z3.Solver()
            solver.set("timeout", timeout_ms)
            solver.add(*one.conditions, *other.conditions)
            answer = solver.check()
            if answer == z3.unknown:
                found.problem = f"{why_unknown(solver)} on the argument stages"
            if answer != z3.sat:
                continue
            if one.decoded is not None and other.decoded is not None:
                solver.add(z3.Or(*(x != y for x, y in zip(_terms(one), _terms(other), strict=True))))
                answer = solver.check()
                if answer != z3.unsat:
                    told = "the argument stages may make different arguments of the same words"
                    found.problem = f"{told}: {why_unknown(solver)}" if answer == z3.unknown else told
            elif one.decoded is None and other.decoded is None:
                model = solver.model()
                values = {name: model.eval(w, model_completion=True).as_long() for name, w in words.items()}
                for prop in PARTINGS.values() if one.errno is not other.errno else ():
                    parted = part(prop, State(elsewhere=3), (a, b), call, values)
                    found.parted += [] if parted is None else [parted]
            else:
                ended = (
                    None if one.decoded is not None else Ended(one.errno, one.check),
                    None if other.decoded is not None else Ended(other.errno, other.check),
                )
                given = _known_of(solver, call, other if one.decoded is None else one)
                found.halves.append(_Half(ended, given, one.conditions if one.decoded is None else other.conditions))
    return found


def _terms(path: WordPath) -> list[z3.ExprRef]:
    """The decoded arguments as terms, one by one."""
    terms: list[z3.ExprRef] = []
    for f in fields(path.decoded):
        value = getattr(path.decoded, f.name)
        for part_ in value if isinstance(value, tuple) else (value,):
            terms.append(part_ if isinstance(part_, z3.ExprRef) else _constant(part_))
    return terms


def _constant(value: int) -> z3.ExprRef:
    made = z3.BoolVal(value) if isinstance(value, bool) else z3.BitVecVal(value, 64)
    return cast(z3.ExprRef, made)


def _known_of(solver: z3.Solver, call: str, path: WordPath) -> tuple[Bool, ...]:
    """What the solver's words say of the arguments that the path makes: flags that are the same in all of them, codes
    of which there are few. All that holds need not be found: less is said where the solver cannot tell."""
    arguments = symbolic_arguments(CALLS[call].decoded)
    known: list[Bool] = []
    for f in fields(path.decoded):
        term, argument = getattr(path.decoded, f.name), getattr(arguments, f.name)
        if isinstance(term, z3.BoolRef):
            for fact, value in ((term, True), (z3.Not(term), False)):
                if solver.check(z3.Not(fact)) == z3.unsat:
                    known.append(eq(argument, value))
        elif isinstance(term, z3.BitVecRef):
            values = _few_values(solver, term)
            known += [one_of(argument, [v - (1 << 64) if v == (1 << 64) - 1 else v for v in values])] if values else []
    return tuple(known)


def _few_values(solver: z3.Solver, term: z3.BitVecRef) -> list[int]:
    """All values of the term; none if there are more than FEW, or if it is not known that these are all."""
    values: list[int] = []
    solver.push()
    while len(values) <= FEW and (answer := solver.check()) == z3.sat:
        values.append(solver.model().eval(term, model_completion=True).as_long())
        solver.add(term != values[-1])
    solver.pop()
    return values if answer == z3.unsat else []


# examples as documents ------------------------------------------------------------------------------------------------


def parting_of(name: str, parted: Parted, editions: tuple[Edition, Edition]) -> Parting:
    """A concrete case as a document."""
    pair = parted.pair
    base = min([*(whole(vma.start) for s in (parted.state, *parted.after) for vma in s.vmas)], default=0)
    ends = (pair, pair.other)
    outcomes = [
        Outcome(
            edition=edition.name,
            errno=t.errno.name,
            value=whole(t.value),
            check=t.check,
            changed=changes(t, parted.pages, base),
            after=LayoutDoc.from_state(after),
            map_count=whole(t.after.map_count),
        )
        for edition, t, after in zip(editions, ends, parted.after, strict=True)
    ]
    vmas, pages = parted.state.size
    level, direction = LEVELS[name]
    example = Example(parted.state, parted.call, pair.to, parted.failures)
    return Parting(
        level=level,
        direction=direction,
        sentence="; ".join(_told(outcome) for outcome in outcomes) + ".",
        before=LayoutDoc.from_state(parted.state),
        call=parted.call,
        words=dict(parted.words),
        failures=sorted(parted.failures),
        range=range_of(example.arguments) if pair.to is not None else None,
        page=None if PARTINGS[name].pageless else parted.page,
        first=outcomes[0],
        second=outcomes[1],
        size=Size(vmas=vmas, pages=pages, calls=1),
    )


def _told(outcome: Outcome) -> str:
    """How the call ends under an edition, in a clause."""
    how = "succeeds" if outcome.errno == "OK" else f"fails with {outcome.errno}"
    check = f" ({outcome.check})" if outcome.check else ""
    what = f"changes {', '.join(outcome.changed)}" if outcome.changed else "changes nothing"
    return f"{outcome.edition} {how}{check} and {what}"
