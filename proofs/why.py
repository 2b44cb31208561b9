# SPDX-License-Identifier: MIT
"""Why a theorem holds: the checks, contracts of verbs and clauses of well-formedness that its proof used, path by path;
and the checks that no proof used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import z3
from pydantic import TypeAdapter

from checker.calls import explore_body
from checker.cores import Core, Part, shown
from checker.version import WrittenBy
from proofs.certificate import TheoremGoals
from proofs.goals import WITHOUT_BODY, Finder, find_call_goals
from proofs.mutants import body_checks
from proofs.results import Frozen
from proofs.survivors import why_it_survives
from proofs.tasks import Task, carry_out_tasks
from proofs.theorems import theorems
from spec.assumptions import ALWAYS
from spec.editions import EDITIONS
from spec.properties import PROPERTIES

EXPLORING = "the paths that nothing takes"
"""What needs a check besides theorems: that a path, or a branch, contradicts itself."""


class UsedFact(Frozen):
    """Where a fact that a proof used comes from."""

    kind: Literal["", "check", "branch", "verb", "clause", "arguments", "property"]
    """As in checker.sources."""
    name: str
    answer: bool | None
    """Of a decision: a check whose answer is true ended the call."""
    words: str
    """The same in words."""
    fact: str = ""
    """The fact as SMT-LIB, cut off where it is long; empty where several are told together."""


class PathProof(Frozen):
    """Why a property holds on one path."""

    path: int
    ending: str
    account: str
    """The hash of the goal; or why there need be none (as in a certificate)."""
    facts: list[UsedFact]


class WhyTheorem(Frozen):
    """Why one theorem holds."""

    property: str
    call: str
    edition: str
    verdict: Literal["proved", "open", "error"]
    """`open`: there is no proof."""
    why: str
    used: list[UsedFact]
    """What its proof used on some path, each origin once."""
    exploring: list[UsedFact]
    """What was used to see that a path, or a branch that was not explored, contradicts itself."""
    assumptions: list[str]
    paths: list[PathProof]


class CheckUse(Frozen):
    """A check of a call, and what needs it."""

    call: str
    check: str
    needed_by: list[str]
    """Properties whose proofs used it, as it was found."""
    survives: str
    """Why nothing breaks without it, if that is known (a surviving mutant); else empty."""


class WhyReport(Frozen):
    """What `sealspec why --json` writes."""

    format: Literal["mseal-spec/why/1"] = "mseal-spec/why/1"
    tool: WrittenBy = None
    edition: str
    solver: str
    theorems: list[WhyTheorem]
    checks: list[CheckUse]
    """The checks of the bodies of calls; none where only some theorems of a call were asked for."""
    complete: bool

    @property
    def proved(self) -> bool:
        """There is a proof of everything that was asked for."""
        return self.complete and all(theorem.verdict == "proved" for theorem in self.theorems)


Answered = WhyTheorem | CheckUse
ANSWERED: TypeAdapter[list[Answered]] = TypeAdapter(list[Answered])


def why(
    edition: str, properties: Sequence[str] | None, calls: Sequence[str] | None, timeout_ms: int, jobs: int
) -> Iterator[Answered]:
    """Why the theorems that were chosen hold, in the order in which that is found; and of which use each check is,
    where all theorems of a call were asked for."""
    chosen = theorems(
        EDITIONS[edition],
        None if properties is None else list(properties),
        None if calls is None else list(calls),
    )
    names = None if properties is None else tuple(properties)
    tasks = [Task("why", call, edition, names, timeout_ms) for call in dict.fromkeys(t.call for t in chosen)]
    for _, answer, _ in carry_out_tasks(tasks, _carry_out, ANSWERED, lambda found: True, _lost, jobs=jobs):
        yield answer


def report_of(edition: str, answers: Iterable[Answered], complete: bool) -> WhyReport:
    """What was found as a report, in the order of theorems and checks."""
    found = list(answers)
    order = {(t.property.name, t.call): i for i, t in enumerate(theorems(EDITIONS[edition]))}
    return WhyReport(
        edition=edition,
        solver=f"z3 {z3.get_version_string()}",
        theorems=sorted((a for a in found if isinstance(a, WhyTheorem)), key=lambda a: order[a.property, a.call]),
        checks=sorted((a for a in found if isinstance(a, CheckUse)), key=lambda a: (a.call, a.check)),
        complete=complete,
    )


def _carry_out(task: Task) -> Iterator[Answered]:
    edition, finder = EDITIONS[task.edition], Finder(task.timeout_ms)
    chosen = theorems(edition, None if task.properties is None else list(task.properties), [task.name])
    found = find_call_goals(task.name, edition, chosen, task.timeout_ms, finder)
    exploring = [part for (name, _), core in finder.cores.items() if not name for part in core.parts]
    needed: dict[str, list[str]] = {}
    for entry in found.theorems:
        cores = {path: core for (name, path), core in finder.cores.items() if name == entry.property}
        yield _theorem(task.edition, entry, found.endings, cores, exploring)
        if entry.verdict == "proved":
            for check in {p.source.name for core in cores.values() for p in core.parts if p.source.kind == "check"}:
                needed.setdefault(check, []).append(entry.property)
    if task.properties is None and task.name != WITHOUT_BODY:
        for part in exploring:
            if part.source.kind == "check" and EXPLORING not in needed.setdefault(part.source.name, []):
                needed[part.source.name].append(EXPLORING)
        for check in body_checks(explore_body(task.name, edition)):
            survives = why_it_survives(task.name, check, edition)
            yield CheckUse(call=task.name, check=check, needed_by=needed.get(check, []), survives=survives)


def _theorem(
    edition: str, entry: TheoremGoals, endings: Sequence[str], cores: dict[int, Core], exploring: Sequence[Part]
) -> WhyTheorem:
    prop = PROPERTIES[entry.property]
    parts = [part for core in cores.values() for part in core.parts] if entry.verdict == "proved" else []
    return WhyTheorem(
        property=entry.property,
        call=entry.call,
        edition=edition,
        verdict=entry.verdict,
        why=entry.why,
        used=_origins(parts),
        exploring=_origins(exploring) if entry.verdict == "proved" else [],
        assumptions=[*ALWAYS, *prop.assumptions],
        paths=[
            PathProof(
                path=number,
                ending=endings[number],
                account=account,
                facts=[_used(part, shown(part.term)) for part in cores[number].parts] if number in cores else [],
            )
            for number, account in enumerate(entry.accounts)
        ],
    )


def _used(part: Part, fact: str = "") -> UsedFact:
    source = part.source
    return UsedFact(kind=source.kind, name=source.name, answer=source.answer, words=str(source), fact=fact)


def _origins(parts: Iterable[Part]) -> list[UsedFact]:
    """Where the parts come from, each origin once, checks first."""
    order = ("check", "branch", "arguments", "verb", "clause", "property", "")
    return sorted({_used(part) for part in parts}, key=lambda used: (order.index(used.kind), used.words))


def _lost(task: Task, found: Sequence[Answered], why: str) -> Iterator[Answered]:
    known = {answer.property for answer in found if isinstance(answer, WhyTheorem)}
    for theorem in theorems(
        EDITIONS[task.edition], None if task.properties is None else list(task.properties), [task.name]
    ):
        if theorem.property.name not in known:
            yield WhyTheorem(
                property=theorem.property.name, call=task.name, edition=task.edition, verdict="error", why=why,
                used=[], exploring=[], assumptions=[], paths=[],
            )  # fmt: skip


def schemas() -> dict[str, str]:
    """The JSON schema of the report by file name (in docs/schema), the same text every time."""
    return {"why.json": json.dumps(WhyReport.model_json_schema(), indent=2, sort_keys=True) + "\n"}
