# SPDX-License-Identifier: MIT
"""The results of a run, as documents: what `sealspec prove --json` writes."""

from __future__ import annotations

import builtins
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

from checker.documents.counterexamples import Counterexample, Size
from checker.documents.layouts import LayoutDoc
from checker.version import WrittenBy

Verdict = Literal["proved", "refuted", "bounded", "unknown", "vacuous", "error"]
"""`proved` (unbounded, with its assumptions), `refuted` (with a counterexample that the concrete reading re-executed),
`bounded` (not proved, and no counterexample up to a stated size), `unknown` (time or the step budget ran out),
`vacuous` (there is no witness) or `error` (its process was lost, or two readings disagree)."""
Changes = Literal["nothing", "boundaries", "pages"]
Expected = Literal["proved", "refuted", "vacuous"]
PagesVerdict = Literal["same", "stronger", "weaker", "different", "absent", "unknown"]
Level = Literal["pages", "result", "boundaries"]
Direction = Literal["", "stronger", "weaker", "otherwise"]
LevelVerdict = Literal["same", "differs", "absent", "unknown"]


class Frozen(BaseModel):
    """A document that does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Frozen):
    """A part of a run that has no result, or not all of it."""

    task: str
    """What was to be worked out."""
    verdict: Literal["error", "unknown"]
    """`error`: its process was lost, perhaps for want of memory; `unknown`: time or steps ran out."""
    why: str


class Witness(Frozen):
    """A concrete case in which a theorem's hypotheses hold, or a check decides: it is not empty talk."""

    before: LayoutDoc
    call: str
    arguments: dict[str, int | bool | list[bool]]
    """Decoded arguments: pages, flags, codes."""
    failures: list[str]
    errno: str
    check: str


class TheoremResult(Frozen):
    """One theorem: property x call x edition."""

    property: str
    call: str
    edition: str
    sentence: str
    source: str
    expected: Expected
    verdict: Verdict
    as_expected: bool
    engine: str
    seconds: float
    queries: int
    paths: int = 0
    """How many paths of the call were accounted for: all of them, or the verdict is `error`."""
    assumptions: list[str]
    reason: str
    """Why it is expected to be broken; empty if it is expected to hold."""
    mended: str
    """The kernel that mended it, if one did."""
    witness: Witness | None
    counterexample: Counterexample | None
    why: str
    """More about a verdict that is neither proved nor refuted."""


class LemmaResult(Frozen):
    """An induction lemma or a bridge obligation."""

    name: str
    sentence: str
    verdict: Verdict
    as_expected: bool
    obligations: int
    seconds: float
    why: str


class ReachableResult(Frozen):
    """A way for a call to end: it can really end so."""

    call: str
    errno: str
    check: str
    reachable: bool
    as_expected: bool
    reason: str
    witness: Witness | None
    why: str = ""
    """Why it is undecided whether it can; empty if that is decided."""


class MutantResult(Frozen):
    """A check of the specification, dropped."""

    call: str
    check: str
    killed_by: str
    """The theorem or lemma that breaks without the check; empty if none does."""
    survived: bool
    as_expected: bool
    reason: str
    seconds: float
    why: str = ""
    """Why it is undecided whether a theorem breaks; empty if that is decided."""
    case: Witness | None = None
    """A case in which the theorem breaks, executed without the check; None: the solver says that there is one."""


class Advised(Frozen):
    """An advice that is refused on sealed memory although it discards nothing."""

    value: int
    name: str


class RecordedUse(Frozen):
    """What became of recorded cases in a run, or in a part of it."""

    used: int = 0
    """How many questions a recorded case has answered, executed and judged anew."""
    searched: list[str] = []
    """What had to be searched for, because no recorded case shows it."""


class Doubt(Frozen):
    """A goal that the second solver does not decide as the first one did."""

    goal: str
    """Its hash."""
    said: Literal["sat", "unsat", "unknown"]
    """`unknown`: it has no answer; `why` says more."""
    why: str
    file: str
    """Where its text was kept; empty if it was not."""
    of: list[str]
    """What rests on it: theorems and lemmas by their names."""


class SecondOpinion(Frozen):
    """What another solver says of all goals of a run."""

    solver: str
    """Its name, and what it says of its version."""
    goals: int
    """How many goals the theorems and lemmas rest on, path for path."""
    texts: int
    """How many different queries these are: each was decided once."""
    agreed: int
    """How many of these the second solver decided as the first one did."""
    doubts: list[Doubt]
    """The others."""
    seconds: float

    @property
    def agrees(self) -> bool:
        """Every goal was decided, and as the first solver did."""
        return not self.doubts and self.agreed == self.texts


class ProofReport(Frozen):
    """All results of one run."""

    format: Literal["mseal-spec/proof/1"] = "mseal-spec/proof/1"
    tool: WrittenBy = None
    edition: str
    kernel: str
    solver: str
    assumptions: list[str]
    theorems: list[TheoremResult]
    lemmas: list[LemmaResult]
    reachability: list[ReachableResult]
    mutants: list[MutantResult]
    blocked_advice: list[Advised]
    second: SecondOpinion | None = None
    """What another solver says, if one was asked."""
    problems: list[Problem] = []
    recorded: RecordedUse = RecordedUse()
    from_cache: int = 0
    """How many of the results were decided in an earlier run, by the same specification and solver."""
    seconds: float
    complete: bool

    @property
    def as_expected(self) -> bool:
        """Every result is as expected, none is missing, and the second solver, if one was asked, agrees."""
        groups = (self.theorems, self.lemmas, self.reachability, self.mutants)
        whole = self.complete and not self.problems and (self.second is None or self.second.agrees)
        return whole and all(result.as_expected for group in groups for result in group)


class FindResult(Frozen):
    """The counterexample to one property, or what is known instead."""

    property: str
    call: str
    edition: str
    verdict: Verdict
    expected: Expected
    as_expected: bool
    counterexample: Counterexample | None
    why: str


class CheckCell(Frozen):
    """A check that fails with a cell's errno."""

    check: str
    stage: Literal["arguments", "body"]
    changes: Changes
    """What may have changed when it fails; `nothing` is proved."""


class Cell(Frozen):
    """One call, one errno, one edition: what a failure may have changed."""

    call: str
    errno: str
    cause: Literal["", "seal", "other"] = ""
    """EPERM has two cells: because of a seal, and for another reason."""
    edition: str
    verdict: Literal["atomic", "partial", "unreachable", "unknown"]
    """`atomic`: proved that nothing at all changes. `partial`: something does, here is how. `unreachable`: proved that
    the call never fails so. `unknown`: the solver could not tell; `why` says more."""
    level: Literal["", "pages", "boundaries"] = ""
    """Of a partial failure: some page is changed, or only boundaries between VMAs (proved)."""
    where: str = ""
    """Proved: no page (boundary) outside of this is changed."""
    changes: list[str] = []
    """Proved: no page is changed in another respect. For boundaries: how many VMAs more there are at most."""
    sentence: str = ""
    """The verdict in words."""
    checks: list[CheckCell] = []
    words: dict[str, int] | None = None
    """64-bit arguments that the argument stage refuses so, if it does."""
    witness: Witness | None = None
    """A case of an atomic failure in the body of the call."""
    counterexample: Counterexample | None = None
    """The smallest case found of a partial failure."""
    queries: int = 0
    why: str = ""
    """More about a verdict that is `unknown`."""

    @property
    def column(self) -> str:
        """How the call fails: `ENOMEM`, `EPERM-seal`."""
        return f"{self.errno}-{self.cause}" if self.cause else self.errno


class Settlement(Frozen):
    """What the matrix says of a line of the kernel's documentation, for one edition."""

    document: str
    version: str
    """The kernels whose document it is."""
    lines: str
    words: str
    """A few words of it, to find it by."""
    meaning: str
    """What it says, in our words."""
    edition: str
    answer: Literal["holds", "holds for pages only", "does not hold", "decided", "undecided"]
    """`decided`: the line leaves open what may change, and the cells say it."""
    cells: list[str]
    """`call errno: sentence` of the cells (or of their checks) that settle it."""


class EditionDoc(Frozen):
    """An edition by name."""

    name: str
    kernel: str


class MatrixReport(Frozen):
    """The atomicity matrix: what `sealspec matrix --json` writes."""

    format: Literal["mseal-spec/matrix/1"] = "mseal-spec/matrix/1"
    tool: WrittenBy = None
    editions: list[EditionDoc]
    calls: list[str]
    errnos: list[str]
    solver: str
    assumptions: list[str]
    cells: list[Cell]
    settled: list[Settlement]
    problems: list[Problem] = []
    from_cache: int
    """How many cells were decided in an earlier run, by the same specification and solver."""
    seconds: float
    complete: bool

    @property
    def decided(self) -> bool:
        """No cell is missing or unknown."""
        return self.complete and not self.problems and all(cell.verdict != "unknown" for cell in self.cells)


class HistoryVerdict(Frozen):
    """One edition and call of a row of the history."""

    call: str
    edition: str
    expected: Literal["found", "proved"]
    verdict: Verdict
    as_expected: bool
    size: Size | None
    """Of the counterexample."""
    counterexample: Counterexample | None
    why: str


class HistoryRow(Frozen):
    """Something that happened to sealing, and the property that finds it."""

    id: str
    happened: str
    kind: Literal["bug", "change of contract", "open"]
    property: str
    sentence: str
    verdicts: list[HistoryVerdict]

    @builtins.property
    def as_expected(self) -> bool:
        """Found where it was, proved where it was not."""
        return all(verdict.as_expected for verdict in self.verdicts)


class HistoryReport(Frozen):
    """The time machine: what `sealspec history --json` writes."""

    format: Literal["mseal-spec/history/1"] = "mseal-spec/history/1"
    tool: WrittenBy = None
    solver: str
    assumptions: list[str]
    rows: list[HistoryRow]
    problems: list[Problem] = []
    from_cache: int
    seconds: float
    complete: bool

    @property
    def as_expected(self) -> bool:
        """Every row is as stated, and none is missing."""
        return self.complete and not self.problems and all(row.as_expected for row in self.rows)


class Outcome(Frozen):
    """How a call ends under one edition."""

    edition: str
    errno: str
    """`OK` on success."""
    value: int
    """What it returns; a page number where it returns an address; -1: refused."""
    check: str
    """The check that decided; empty if the call ran to its end."""
    changed: list[str]
    """What it has changed of the address space, in words; empty: nothing at all."""
    after: LayoutDoc
    map_count: int


class Parting(Frozen):
    """The smallest case found in which two editions part: one address space, one call, two outcomes."""

    level: Level
    direction: Direction = ""
    """Of pages: what the case shows of the second edition."""
    sentence: str
    before: LayoutDoc
    call: str
    words: dict[str, int]
    """The call's arguments, each an unsigned 64-bit number."""
    failures: list[str]
    """What the environment makes fail, in both editions."""
    range: tuple[int, int] | None = None
    """Pages that the call is about: first, and behind the last."""
    page: int | None
    """Where the two can be told apart; None where it is not a page that tells them apart."""
    first: Outcome
    second: Outcome
    size: Size


class CallDiff(Frozen):
    """One call under two editions."""

    call: str
    verdict: PagesVerdict
    """Success or failure, and the state of every page. `same` is proved, for any number of VMAs. `stronger`: it is
    proved that the second edition nowhere allows what the first refuses, and changes nothing of a page that the first
    leaves as it was; `weaker`: the same with the editions exchanged. `different`: both occur, or something is changed
    in different ways. `absent`: an edition lacks the call."""
    result: LevelVerdict
    """Errno and value; `same` is proved."""
    boundaries: LevelVerdict
    """VMA boundaries and map_count; `same` is proved."""
    engine: Literal["", "identity", "arguments", "unbounded"] = ""
    """What proves: the call reads nothing on which the editions differ; its argument stage alone; or its paths under
    both editions."""
    reads: list[str] = []
    """The fields on which the editions differ and that the call reads."""
    partings: list[Parting] = []
    absent: list[str] = []
    """The editions that lack the call."""
    paths: int = 0
    """Pairs of paths that were compared."""
    queries: int = 0
    seconds: float = 0.0
    why: str = ""
    """More about what is unknown."""

    @property
    def decided(self) -> bool:
        """No level is unknown."""
        return "unknown" not in (self.verdict, self.result, self.boundaries)

    @property
    def same(self) -> bool:
        """The call does the same in every respect."""
        return (self.verdict, self.result, self.boundaries) == ("same", "same", "same")


class DiffReport(Frozen):
    """Two editions, compared call by call."""

    format: Literal["mseal-spec/diff/1"] = "mseal-spec/diff/1"
    tool: WrittenBy = None
    editions: tuple[EditionDoc, EditionDoc]
    """The first one, and the one that is held against it."""
    fields: dict[str, tuple[str, str]]
    """The fields on which they differ, with both values."""
    solver: str
    assumptions: list[str]
    calls: list[CallDiff]
    lemmas: list[LemmaResult]
    """What the comparison rests on besides the lemmas of `prove`."""
    problems: list[Problem] = []
    from_cache: int = 0
    """How many of the results were decided in an earlier run, by the same specification and solver."""
    seconds: float
    complete: bool

    @property
    def decided(self) -> bool:
        """Every level of every call is decided, and none is missing."""
        decided = all(c.decided for c in self.calls) and all(x.as_expected for x in self.lemmas)
        return self.complete and not self.problems and decided


def schemas() -> dict[str, str]:
    """The JSON schemas of the reports by file name (in docs/schema), the same text every time."""
    models: dict[str, type[BaseModel]] = {"proof": ProofReport, "matrix": MatrixReport, "history": HistoryReport}
    models["diff"] = DiffReport
    return {
        f"{name}.json": json.dumps(model.model_json_schema(), indent=2, sort_keys=True) + "\n"
        for name, model in models.items()
    }
