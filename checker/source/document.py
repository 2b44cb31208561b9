# SPDX-License-Identifier: MIT
"""Results as documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from checker.documents.layouts import LayoutDoc
from checker.documents.patches import (
    AdviceReview,
    AssumedReview,
    CaseDoc,
    Comparison,
    EndDoc,
)
from checker.documents.scenarios import STEPS, Scenario
from checker.source.advice import NAMES, AdviceTest
from checker.source.example import Case, End
from checker.source.judge import Compared
from checker.source.subjects import Subject
from checker.source.table import TABLE
from spec.advice import known_advice
from spec.editions import Edition
from spec.terms import whole

PRIVILEGED = (100, 101)
"""MADV_HWPOISON and MADV_SOFT_OFFLINE are refused to ordinary programs, whatever is sealed."""


def end_document(side: str, end: End) -> EndDoc:
    """How one side ends."""
    return EndDoc(
        side=side, result=end.result, check=end.check, after=LayoutDoc.from_state(end.after), map_count=end.map_count
    )


def case_document(subject: Subject, case: Case | None, first: str, second: str) -> CaseDoc | None:
    """A case; None for one that no document can say."""
    if case is None:
        return None
    try:
        return CaseDoc(
            before=LayoutDoc.from_state(case.before),
            call=subject.call if subject.whole else subject.name,
            words=dict(case.words or {}),
            failures=tuple(sorted(case.failures)),
            range=_range(case),
            first=end_document(first, case.first),
            second=end_document(second, case.second),
        )
    except ValueError:
        return None


def _range(case: Case) -> tuple[int, int] | None:
    to = case.arguments
    if to is None or not hasattr(to, "start"):
        return None
    return whole(to.start), whole(to.end)


def comparison(subject: Subject, compared: Compared, against: Sequence[str], first: str, second: str) -> Comparison:
    """One comparison."""
    return Comparison(
        against=tuple(against),
        verdict=compared.status,
        vmas=compared.vmas,
        any_number=compared.any_number,
        not_proved=compared.proof.why if compared.proof is not None and compared.status == "equal" else "",
        sampled=compared.sampled,
        paths=compared.paths,
        why=compared.why,
        file=compared.file,
        line=compared.line,
        case=case_document(subject, compared.case, first, second),
        seconds=round(compared.seconds, 2),
    )


def advice_document(side: str, test: AdviceTest, editions: Iterable[Edition]) -> AdviceReview:
    """What a test of advice takes for discarding."""

    same = [e for e in editions if test.equals(e)]
    known = known_advice(same[0]) if same else list(NAMES)

    def names(values: Iterable[int]) -> tuple[str, ...]:
        return tuple(NAMES[v] for v in values)

    return AdviceReview(
        side=side,
        function=test.function,
        file=test.file,
        line=test.line,
        blocked=names(v for v in test.blocked if v in known),
        harmless=names(v for v in test.harmless if v in known and v not in PRIVILEGED),
        missed=names(test.missed),
        equals=tuple(e.name for e in same),
    )


def assumed_documents(names: Iterable[str]) -> tuple[AssumedReview, ...]:
    """Entries of the table."""
    entries = (TABLE[name] for name in sorted(names))
    return tuple(AssumedReview(name=e.name, says=e.says, source=e.source, versions=e.versions) for e in entries)


def scenario_of(case: CaseDoc, edition: str, name: str) -> Scenario | None:
    """A case as a scenario with the answer that the edition gives; None if no call in bytes leads there, or it is one
    side of a test within calls."""
    if case.call not in STEPS or not case.words:
        return None
    step: dict[str, object] = {
        "call": case.call,
        **{k: v for k, v in case.words.items() if k in STEPS[case.call].model_fields},
    }
    if case.failures:
        step["failures"] = list(case.failures)
    return Scenario.model_validate(
        {"name": name, "edition": edition, "layout": case.before.model_dump(mode="json"), "steps": [step]}
    )
