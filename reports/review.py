# SPDX-License-Identifier: MIT
"""A review: all facts that a report shows, in whatever format, as one document (docs/schema/review.json).

It has no dates, no timings (but for those who make JUnit of it) and no paths of a machine: equal results are equal
documents.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from checker.documents.counterexamples import Counterexample
from checker.lab.replay import Replay
from checker.version import WrittenBy, stamped
from proofs.results import CallDiff, Cell, HistoryRow, Problem, Settlement, Verdict, Witness
from reports.explain import Explanation


class Fact(BaseModel):
    """What all parts of a review share: immutable, and no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Seconds: TypeAlias = Annotated[SkipJsonSchema[float], Field(exclude=True)]
"""How long it took to decide, for JUnit; no part of the document."""


class Theorem(Fact):
    """One property of one call in one edition, and what the verdict rests on."""

    id: str = Field(description="EDITION/PROPERTY/CALL")
    file: str = Field(description="path of its files below the report's folder, without suffix")
    property: str
    call: str
    edition: str
    sentence: str
    source: str = Field(description="who promises it")
    expected: Literal["proved", "refuted", "vacuous"]
    verdict: Verdict
    as_expected: bool
    engine: str
    assumptions: tuple[str, ...] = Field(description="names; what they say is in the review's own `assumptions`")
    lemmas: tuple[str, ...] = Field(description="names of the lemmas that a proof rests on; none for a refutation")
    reason: str = Field(description="why it is expected to be refuted; empty if it is expected to be proved")
    mended: str = Field(description="the kernel that fixed it, if one did")
    why: str = Field(description="more about a verdict that is neither proved nor refuted")
    witness: Witness | None = Field(description="a case in which its hypotheses hold: it is not empty talk")
    counterexample: str = Field(default="", description="id of the counterexample; empty if there is none")
    seconds: Seconds = 0.0


class Lemma(Fact):
    """An induction lemma or a bridge obligation of one edition."""

    name: str
    sentence: str
    verdict: Verdict
    as_expected: bool
    obligations: int
    why: str
    seconds: Seconds = 0.0


class Ending(Fact):
    """A way for a call to end."""

    call: str
    errno: str
    check: str
    reachable: bool
    as_expected: bool
    reason: str
    why: str = Field(default="", description="why it is undecided whether it can; empty if that is decided")


class Mutant(Fact):
    """A check of the specification, dropped."""

    call: str
    check: str
    killed_by: str = Field(description="the theorem or lemma that breaks without the check; empty if none does")
    survived: bool
    as_expected: bool
    reason: str
    seconds: Seconds = 0.0
    why: str = Field(default="", description="why it is undecided whether something breaks; empty if that is decided")


class Advice(Fact):
    """An advice that is refused on sealed memory although it discards nothing."""

    value: int
    name: str


class Programs(Fact):
    """A counterexample as standalone programs (`sealspec reproduce`)."""

    c: str = Field(default="", description="plain C; empty if there is no such program")
    syz: str = Field(default="", description="for syzkaller; empty if there is no such program")
    why_no_c: str = ""
    why_no_syz: str = ""


class Case(Fact):
    """A counterexample with all that is known of it."""

    id: str = Field(description="EDITION/PROPERTY/CALL; of a cell of the matrix: EDITION/CALL/ERRNO, or ERRNO-CAUSE")
    file: str = Field(description="path of its files below the report's folder, without suffix")
    document: Counterexample
    story: tuple[str, ...] = Field(description="what happens, in sentences: one for each call, one for what is wrong")
    trace: Counterexample | None = Field(
        default=None, description="the shortest series of calls found, from an empty address space, to such a failure"
    )
    trace_story: tuple[str, ...] = ()
    why_no_trace: str = ""
    live: tuple[Replay, ...] = Field(default=(), description="what real kernels did with it, without the scenario")
    live_others: tuple[Replay, ...] = Field(
        default=(),
        description="what real kernels did with other cases of the same theorem that are not in the review; they say "
        "nothing of this one",
    )
    programs: Programs = Programs()


class EditionFacts(Fact):
    """What is known of one edition."""

    name: str
    kernel: str
    standing: str = Field(description="what it is the behaviour of")
    solver: str
    complete: bool = Field(description="false: interrupted, some theorem is not decided")
    theorems: tuple[Theorem, ...]
    lemmas: tuple[Lemma, ...]
    outcomes: tuple[Ending, ...]
    mutants: tuple[Mutant, ...]
    blocked_advice: tuple[Advice, ...]
    explanations: tuple[Explanation, ...] = Field(description="each call's checks in the kernel's order")

    def explanation(self, call: str) -> Explanation | None:
        """The checks of a call."""
        return next((e for e in self.explanations if e.call == call), None)

    @property
    def unexpected(self) -> int:
        """How many results are not as expected."""
        groups = (self.theorems, self.lemmas, self.outcomes, self.mutants)
        return sum(not result.as_expected for group in groups for result in group)

    @property
    def as_expected(self) -> bool:
        """Every result is as expected, and none is missing."""
        return self.complete and not self.unexpected


class CellFacts(Fact):
    """A cell of the atomicity matrix."""

    id: str = Field(description="EDITION/CALL/ERRNO, or EDITION/CALL/ERRNO-CAUSE")
    cell: Cell = Field(description="without its counterexample")
    case: str = Field(description="id of the counterexample of a partial failure; empty if there is none")


class MatrixFacts(Fact):
    """The atomicity matrix (`sealspec matrix`)."""

    calls: tuple[str, ...]
    columns: tuple[tuple[str, str], ...] = Field(description="errno and cause, as cells have them")
    cells: tuple[CellFacts, ...]
    settled: tuple[Settlement, ...]


class HistoryFacts(Fact):
    """What happened to sealing (`sealspec history`)."""

    row: HistoryRow = Field(description="without counterexamples")
    cases: dict[str, str] = Field(description="EDITION/CALL: id of the counterexample")


class DiffFacts(Fact):
    """Two editions, compared call by call (`sealspec diff`)."""

    first: str
    second: str
    fields: dict[str, tuple[str, str]] = Field(description="the fields on which they differ, with both values")
    calls: tuple[CallDiff, ...]
    lemmas: tuple[Lemma, ...] = Field(description="what the comparison rests on besides the lemmas of the editions")


class PropertyFacts(Fact):
    """What is promised."""

    name: str
    sentence: str
    source: str
    calls: tuple[str, ...]
    assumptions: tuple[str, ...] = Field(description="those that it needs beside those of every verdict")


class AssumptionFacts(Fact):
    """A simplification of the model, or a precondition of a theorem."""

    name: str
    sentence: str
    why: str
    hides: str = Field(description="what could go wrong in a real kernel without a verdict changing")
    always: bool = Field(description="every verdict uses it")


class ExclusionTable(Fact):
    """What is not modelled, of one kind. Texts are inline Markdown."""

    title: str
    paragraphs: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Review(Fact):
    """All facts of a report."""

    format: Literal["mseal-spec/review/2"] = "mseal-spec/review/2"
    tool: WrittenBy = None
    properties: tuple[PropertyFacts, ...]
    editions: tuple[EditionFacts, ...]
    against: str = Field(default="", description="the edition that the others are held against; empty: the next one")
    cases: tuple[Case, ...] = Field(
        description="of the refuted theorems, of cells of the matrix, of the history; of editions that are not in the "
        "review too"
    )
    matrix: MatrixFacts | None = Field(description="null: left out")
    history: tuple[HistoryFacts, ...] | None = Field(description="null: left out")
    diffs: tuple[DiffFacts, ...] = Field(default=(), description="each other edition against the one that is named")
    elsewhere: tuple[Explanation, ...] = Field(
        default=(), description="the calls of those counterexamples whose editions are not in the review"
    )
    assumptions: tuple[AssumptionFacts, ...]
    exclusions: tuple[ExclusionTable, ...]
    problems: tuple[Problem, ...] = Field(default=(), description="what has no result, and why")

    @property
    def as_expected(self) -> bool:
        """Every result is as expected, and no kernel contradicts a counterexample."""
        told = [live.verdict != "not confirmed" for case in self.cases for live in case.live]
        told += [facts.cell.verdict != "unknown" for facts in (self.matrix.cells if self.matrix else ())]
        told += [facts.row.as_expected for facts in self.history or ()]
        told += [call.decided for diff in self.diffs for call in diff.calls]
        return not self.problems and all(told) and all(edition.as_expected for edition in self.editions)

    @cached_property
    def case(self) -> dict[str, Case]:
        """The counterexamples by id."""
        return {case.id: case for case in self.cases}

    @cached_property
    def theorem(self) -> dict[str, Theorem]:
        """The theorems by id."""
        return {theorem.id: theorem for edition in self.editions for theorem in edition.theorems}

    def edition(self, name: str) -> EditionFacts:
        """The facts of an edition. Raises KeyError."""
        for edition in self.editions:
            if edition.name == name:
                return edition
        raise KeyError(name)


def review_schema() -> str:
    """The JSON schema of a `Review`, as published in docs/schema/review.json."""
    return json.dumps(Review.model_json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def render(review: Review) -> str:
    """The review as JSON, as docs/schema/review.json has it."""
    return stamped(review).model_dump_json(indent=2) + "\n"


if __name__ == "__main__":
    print(review_schema(), end="")
