# SPDX-License-Identifier: MIT
"""The lemmas: discharged where they should be, and refuted as soon as the engine under them is sabotaged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import z3

import checker.layout as layout
from checker.calls import explore_arguments
from checker.layout import LayoutSpace
from checker.unbounded import UnboundedSpace
from proofs.lemmas import LEMMAS, Lemma, Obligation, decide_lemma, lemma_result
from spec.editions import EDITIONS
from spec.space import Pass
from spec.syscalls import CALLS
from spec.terms import Num
from spec.vma import Vma

V10 = EDITIONS["v10"]


@pytest.mark.parametrize("name", LEMMAS)
def test_every_lemma_is_proved(name: str) -> None:
    result = lemma_result(LEMMAS[name], V10, 20_000)
    assert (result.verdict, result.why, result.as_expected) == ("proved", "", True)
    assert result.obligations > 0


def test_the_stale_cursor_is_found() -> None:
    result = lemma_result(LEMMAS["cursor"], EDITIONS["v6.17"], 20_000)
    assert result.verdict == "refuted" and result.as_expected
    assert "CVE-2026-23416" in result.why and "inside the VMA" in result.why


def test_the_mended_cursor_is_proved() -> None:
    assert lemma_result(LEMMAS["cursor"], EDITIONS["v6.18"], 20_000).verdict == "proved"


def refuted(name: str) -> str:
    outcome = decide_lemma(LEMMAS[name], V10, 20_000)
    assert outcome.verdict == "refuted"
    return outcome.why


def test_a_pass_that_skips_the_vma_behind_a_split_does_not_keep_its_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    def visits(self: LayoutSpace, this: Pass, i: int, at: Num, kept: Any = LayoutSpace.visit_next) -> Any:
        before = len(self.vmas)
        i, at, gap = kept(self, this, i, at)
        return i + (len(self.vmas) > before), at, gap

    monkeypatch.setattr(LayoutSpace, "visit_next", visits)
    assert "the invariant is kept" in refuted("pass-lock")


def test_a_pass_that_changes_what_did_not_pass_its_test_does_not_keep_its_contract(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LayoutSpace, "fail_if", lambda self, cond, errno, check: None)
    assert "the invariant is kept" in refuted("pass-lock")


def test_a_visit_of_the_call_reaches_its_lemma(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract with another visit than the engine's: the lemma compares what the call passes to both."""
    contract = UnboundedSpace.steps_of

    def seals_too(self: UnboundedSpace, this: Pass, dropped: Any = None) -> Any:
        def visit(vma: Vma, at: Any) -> Vma:
            return replace(this.visit(vma, at), sealed=True)

        return contract(self, replace(this, visit=visit), dropped)

    monkeypatch.setattr(UnboundedSpace, "steps_of", seals_too)
    assert "mlock" in refuted("pass-lock")


def test_a_lost_count_breaks_modify(monkeypatch: pytest.MonkeyPatch) -> None:
    def split(self: LayoutSpace, *given: Any, kept: Any = LayoutSpace._split) -> None:
        before = self.counter
        kept(self, *given)
        self.counter = before

    monkeypatch.setattr(LayoutSpace, "_split", split)
    assert "the counter counts" in refuted("modify")
    assert "the counter counts" in refuted("unmap")


def test_merging_all_that_touches_breaks_modify_and_insert(monkeypatch: pytest.MonkeyPatch) -> None:
    def merges(self: LayoutSpace, left: Vma | None, new: Vma) -> bool:
        return left is not None and self.decide(left.end == new.start)

    monkeypatch.setattr(LayoutSpace, "_merges_left", merges)
    assert "exactly the range is changed" in refuted("modify")
    assert "exactly its pages are new" in refuted("insert")


def test_a_cut_that_forgets_the_offset_breaks_modify(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(vma: Vma, start: Num, end: Num) -> Vma:
        return replace(vma, start=start, end=end)

    monkeypatch.setattr(layout, "cut_vma", cut)
    assert "place in the object" in refuted("modify")


def test_a_lemma_of_empty_hypotheses_is_refuted() -> None:
    """What is to be consistent and is not, and a lemma without any obligation."""
    nothing = z3.BoolVal(False)
    for obligations in (
        [Obligation("hypotheses", (nothing,), consistent=True)],
        [Obligation("holds", (nothing,)), Obligation("hypotheses", (nothing,), consistent=True)],
        [Obligation("does not hold", (z3.BoolVal(True),))],
    ):
        assert decide_lemma(Lemma("", "", lambda edition, o=obligations: iter(o)), V10, 20_000).verdict == "refuted"  # type: ignore[misc]
    assert decide_lemma(Lemma("", "", lambda edition: iter(())), V10, 20_000).verdict == "vacuous"


@pytest.fixture
def _fresh_exploration() -> Any:
    explore_arguments.cache_clear()
    yield
    explore_arguments.cache_clear()


@pytest.mark.usefixtures("_fresh_exploration")
@pytest.mark.parametrize("lemma", ["bridge", "argument-errors"])
def test_a_sabotaged_argument_stage_is_found(lemma: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """munmap without any check of its arguments."""

    def arguments(do: Any, addr: Any, length: Any) -> Any:
        from spec.arguments import page_range
        from spec.words import add, page_align

        return page_range(addr, add(addr, page_align(length)))

    monkeypatch.setitem(CALLS, "munmap", replace(CALLS["munmap"], arguments=arguments))
    assert "munmap" in refuted(lemma)
