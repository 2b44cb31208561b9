"""The results of a run, as documents: what `sealspec prove --json` writes."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

from checker.documents import Counterexample, LayoutDoc

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
    expected: Literal["holds", "broken"]
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
    seconds: float
    complete: bool

    @property
    def as_expected(self) -> bool:
        """Every result is as expected, and none is missing."""
        groups = (self.theorems, self.lemmas, self.reachability, self.mutants)
        return self.complete and all(result.as_expected for group in groups for result in group)


def report_schema() -> str:
    """The JSON schema of a `ProofReport`, as published in docs/schema/proof.json."""
    return json.dumps(ProofReport.model_json_schema(), indent=2, sort_keys=True) + "\n"


class FindResult(Frozen):
    """The counterexample to one property, or what is known instead."""

    property: str
    call: str
    edition: str
    verdict: Verdict
    expected: Literal["holds", "broken"]
    as_expected: bool
    counterexample: Counterexample | None
    why: str
