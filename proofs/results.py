"""The results of a run, as documents: what `sealspec prove --json` writes."""

from __future__ import annotations

import builtins
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

from checker.documents import Counterexample, LayoutDoc, Size

Verdict = Literal["proved", "refuted", "bounded", "unknown", "vacuous", "error"]
"""`proved` (unbounded, with its assumptions), `refuted` (with a counterexample that the concrete reading re-executed),
`bounded` (not proved, and no counterexample up to a stated size), `unknown` (timeout), `vacuous` (no witness) or
`error`."""


class Frozen(BaseModel):
    """A document that does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
    expected: Literal["holds", "broken", "vacuous"]
    verdict: Verdict
    as_expected: bool
    engine: str
    seconds: float
    queries: int
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


class Advised(Frozen):
    """An advice that is refused on sealed memory although it discards nothing."""

    value: int
    name: str


class ProofReport(Frozen):
    """All results of one run."""

    format: Literal["mseal-spec/proof/1"] = "mseal-spec/proof/1"
    edition: str
    kernel: str
    solver: str
    assumptions: list[str]
    theorems: list[TheoremResult]
    lemmas: list[LemmaResult]
    reachability: list[ReachableResult]
    mutants: list[MutantResult]
    blocked_advice: list[Advised]
    from_cache: int = 0
    """How many of the results were decided in an earlier run, by the same specification and solver."""
    seconds: float
    complete: bool

    @property
    def as_expected(self) -> bool:
        """Every result is as expected, and none is missing."""
        groups = (self.theorems, self.lemmas, self.reachability, self.mutants)
        return self.complete and all(result.as_expected for group in groups for result in group)


class FindResult(Frozen):
    """The counterexample to one property, or what is known instead."""

    property: str
    call: str
    edition: str
    verdict: Verdict
    expected: Literal["holds", "broken", "vacuous"]
    as_expected: bool
    counterexample: Counterexample | None
    why: str


class CheckCell(Frozen):
    """A check that fails with a cell's errno."""

    check: str
    stage: Literal["arguments", "body"]
    changes: Literal["nothing", "boundaries", "pages"]
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
    answer: Literal["holds", "holds for pages only", "does not hold", "settled", "undecided"]
    """`settled`: the line leaves open what may change, and the cells say it."""
    cells: list[str]
    """`call errno: sentence` of the cells (or of their checks) that settle it."""


class EditionDoc(Frozen):
    """An edition by name."""

    name: str
    kernel: str


class MatrixReport(Frozen):
    """The atomicity matrix: what `sealspec matrix --json` writes."""

    format: Literal["mseal-spec/matrix/1"] = "mseal-spec/matrix/1"
    editions: list[EditionDoc]
    calls: list[str]
    errnos: list[str]
    solver: str
    assumptions: list[str]
    cells: list[Cell]
    settled: list[Settlement]
    from_cache: int
    """How many cells were decided in an earlier run, by the same specification and solver."""
    seconds: float
    complete: bool

    @property
    def decided(self) -> bool:
        """No cell is missing or unknown."""
        return self.complete and all(cell.verdict != "unknown" for cell in self.cells)


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
    solver: str
    assumptions: list[str]
    rows: list[HistoryRow]
    from_cache: int
    seconds: float
    complete: bool

    @property
    def as_expected(self) -> bool:
        """Every row is as stated, and none is missing."""
        return self.complete and all(row.as_expected for row in self.rows)


def schemas() -> dict[str, str]:
    """The JSON schemas of the reports by file name (in docs/schema), the same text every time."""
    models: dict[str, type[BaseModel]] = {"proof": ProofReport, "matrix": MatrixReport, "history": HistoryReport}
    return {
        f"{name}.json": json.dumps(model.model_json_schema(), indent=2, sort_keys=True) + "\n"
        for name, model in models.items()
    }
