# SPDX-License-Identifier: MIT
"""Verdicts as KTAP, version 1 (the kernel's Documentation/dev-tools/ktap.rst).

Subtests: edition, then call, then property. `ok` means as expected. A refutation that is expected is `ok ... # XFAIL`
with its reason, as kselftests print it; a theorem that says nothing is `# SKIP`. Diagnostics tell a case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from checker.version import signature
from reports.findings import cause
from reports.lead import lead_of
from reports.plain import one_line
from reports.review import EditionFacts, Review, Theorem


@dataclass(frozen=True, slots=True)
class Result:
    """One line of results, what is said before it, and the subtests it sums up."""

    ok: bool
    name: str
    directive: str = ""
    """`SKIP why` or `XFAIL why`."""
    diagnostics: tuple[str, ...] = ()
    subtests: tuple[Result, ...] = ()


def render(review: Review) -> str:
    """The document. The same review gives the same text."""
    return "\n".join(["KTAP version 1", *_lines([_edition(review, edition) for edition in review.editions], 0)]) + "\n"


def described(text: str) -> str:
    """A description: one line of ASCII without `#`, which would begin a directive."""
    return one_line(text).replace("#", "/") or "-"


def _lines(results: Sequence[Result], depth: int) -> list[str]:
    indent = "  " * depth
    lines = [f"{indent}1..{len(results)}"]
    for place, result in enumerate(results, 1):
        if result.subtests:
            lines += [f"{indent}  KTAP version 1", f"{indent}  # Subtest: {described(result.name)}"]
            lines += _lines(result.subtests, depth + 1)
        lines += [f"{indent}# {one_line(text)}" for text in result.diagnostics]
        directive = f" # {one_line(result.directive)}" if result.directive else ""
        lines.append(f"{indent}{'ok' if result.ok else 'not ok'} {place} {described(result.name)}{directive}")
    return lines


def _edition(review: Review, edition: EditionFacts) -> Result:
    calls = dict.fromkeys(theorem.call for theorem in edition.theorems)
    subtests = [_call(review, edition, call) for call in calls]
    subtests += [
        _sum(name, results)
        for name, results in (
            ("lemmas", [_lemma(m.name, m.verdict, m.as_expected, m.why) for m in edition.lemmas]),
            ("outcomes", _outcomes(edition)),
            ("dropped checks", _mutants(edition)),
        )
        if results
    ]
    stopped = () if edition.complete else ("interrupted: what is missing was not decided",)
    lead = lead_of(edition.theorems, unexpected=edition.unexpected)
    short = [f"{title}: {text}" for title, texts in lead.lines() for text in texts]
    told = (f"{edition.kernel}; {edition.solver}; {signature()}", *short, lead.state, *stopped)
    ok = edition.complete and all(result.ok for result in subtests)
    return Result(ok, edition.name, diagnostics=told, subtests=tuple(subtests))


def _sum(name: str, results: Sequence[Result]) -> Result:
    return Result(all(result.ok for result in results), name, subtests=tuple(results))


def _call(review: Review, edition: EditionFacts, call: str) -> Result:
    return _sum(call, [_theorem(review, theorem) for theorem in edition.theorems if theorem.call == call])


def _theorem(review: Review, theorem: Theorem) -> Result:
    reason = cause(theorem.reason)
    if theorem.verdict == "proved" and theorem.as_expected:
        return Result(True, theorem.property)
    if theorem.verdict == "vacuous" and theorem.as_expected:
        return Result(True, theorem.property, f"SKIP says nothing here: {reason}")
    case = review.case.get(theorem.counterexample)
    told = [f"{theorem.verdict}: {theorem.sentence}", *(case.story if case else ())]
    if theorem.as_expected:
        return Result(True, theorem.property, f"XFAIL {reason}", tuple(told))
    told += [f"expected: {theorem.expected}", *([theorem.why] if theorem.why else [])]
    return Result(False, theorem.property, "", tuple(told))


def _lemma(name: str, verdict: str, ok: bool, why: str) -> Result:
    if verdict == "proved" and ok:
        return Result(True, name)
    return Result(ok, name, f"XFAIL {why or verdict}" if ok else "", (f"{verdict}: {why}",))


def _outcomes(edition: EditionFacts) -> list[Result]:
    results = []
    for outcome in edition.outcomes:
        name = f"{outcome.call} {outcome.errno}: {outcome.check or 'ran to its end'}"
        skip = f"SKIP out of reach: {outcome.reason}" if outcome.as_expected and not outcome.reachable else ""
        results.append(Result(outcome.as_expected, name, skip, (outcome.why,) if outcome.why else ()))
    return results


def _mutants(edition: EditionFacts) -> list[Result]:
    results = []
    for mutant in edition.mutants:
        name = f"{mutant.call}: {mutant.check}"
        state = "breaks nothing" if mutant.survived else f"breaks {mutant.killed_by}"
        told = (f"dropped, it {state}" if not mutant.why else mutant.why,)
        if mutant.as_expected:
            results.append(Result(True, name, f"SKIP redundant: {mutant.reason}" if mutant.survived else ""))
        else:
            results.append(Result(False, name, "", told))
    return results
