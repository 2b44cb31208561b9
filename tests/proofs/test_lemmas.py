# SPDX-License-Identifier: MIT
"""The lemmas: discharged where they should be, and refuted as soon as the engine under them is sabotaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import z3

import checker.layout as layout
from checker.calls import explore_arguments
from checker.layout import LayoutSpace
from proofs.lemmas import LEMMAS, Lemma, Obligation, decide_lemma, lemma_result
from proofs.lemmas.moments import Listed
from spec.arguments import PageRange
from spec.contracts import Contracts
from spec.editions import EDITIONS
from spec.errors import Errno
from spec.space import Pass
from spec.syscalls import CALLS
from spec.terms import Num, eq, le, ne, or_
from spec.vma import Vma
from spec.words import PAGE_SIZE, PAGES, equal

V10 = EDITIONS["v10"]


@pytest.mark.parametrize("name", [name for name in LEMMAS if not name.startswith("pass-") and name != "move"])
def test_every_lemma_is_proved(name: str) -> None:
    """Those that take long are left to `make prove`."""
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
    contract = Contracts.steps_of

    def seals_too(self: Contracts, this: Pass, dropped: Any = None) -> Any:
        def visit(vma: Vma, at: Any) -> Vma:
            return replace(this.visit(vma, at), sealed=True)

        return contract(self, replace(this, visit=visit), dropped)

    monkeypatch.setattr(Contracts, "steps_of", seals_too)
    assert "mlock" in refuted("pass-lock")


def test_a_lost_count_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def split(self: LayoutSpace, *given: Any, kept: Any = LayoutSpace._split) -> None:
        before = self.counter
        kept(self, *given)
        self.counter = before

    monkeypatch.setattr(LayoutSpace, "_split", split)
    assert "split" in refuted("verbs")
    assert "mlock" in refuted("pass-lock")


def test_merging_all_that_touches_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def merges(self: LayoutSpace, left: Vma | None, new: Vma) -> bool:
        return left is not None and self.decide(left.end == new.start)

    monkeypatch.setattr(LayoutSpace, "_merges_left", merges)
    assert "map" in refuted("verbs")
    assert "the invariant is kept" in refuted("pass-lock")


def test_a_key_that_keeps_its_rights_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self: Listed, key: int) -> None:
        allocated = self._allocated
        self._allocated = lambda k: or_(eq(k, key), allocated(k))

    monkeypatch.setattr(Listed, "take_key", take)
    assert "allocate_pkey" in refuted("verbs")


def test_a_stack_that_is_overlooked_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract with one answer only: it says nothing where no stack is near, so that only the answer tells."""
    monkeypatch.setattr(Contracts, "stack_above", lambda self, page: False)
    assert "stack_above" in refuted("verbs")


def test_a_cut_that_forgets_the_offset_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(vma: Vma, start: Num, end: Num) -> Vma:
        return replace(vma, start=start, end=end)

    monkeypatch.setattr(layout, "cut_vma", cut)
    assert "split" in refuted("verbs")


def test_a_change_that_reaches_too_far_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def modify(self: LayoutSpace, i: int, *given: Any, kept: Any = LayoutSpace._modify) -> Any:
        answer = kept(self, i, *given)
        if i and self.decide(le(self.vmas[0].end, given[0])):
            self.vmas[0] = replace(self.vmas[0], dontdump=True)
        return answer

    monkeypatch.setattr(LayoutSpace, "_modify", modify)
    assert "the invariant is kept" in refuted("pass-lock")


def test_a_look_at_the_first_vma_only_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def looks(self: LayoutSpace, this: Pass, kept: Any = LayoutSpace._pass_over) -> None:
        kept(self, replace(this, end=this.start + 1))

    monkeypatch.setattr(LayoutSpace, "_pass_over", looks)
    assert "check_each" in refuted("verbs")


def test_an_answer_of_a_verb_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(self: LayoutSpace, start: Num, end: Num, kept: Any = LayoutSpace.first) -> Vma | None:
        found: Vma | None = kept(self, start, end)
        return None if found is None else replace(found, sealed=True)

    monkeypatch.setattr(LayoutSpace, "first", first)
    assert "first" in refuted("verbs")


def test_the_embedding_speaks_of_every_page_number() -> None:
    """Its hypotheses can be so of the largest page numbers, each by itself and both."""
    for obligation in LEMMAS["embedding"].obligations(V10):
        solver = z3.Solver()
        solver.add(obligation.query[0], z3.BitVec("a", 64) == PAGES, z3.BitVec("b", 64) == PAGES - 1)
        assert solver.check() == z3.sat


W = 0x2_0000_0000


def placed(name: str, start: int, end: int) -> list[z3.BoolRef]:
    """A VMA of a lemma lies there, and is plain anonymous memory."""
    facts = [z3.Int(f"{name}.start") == W + start, z3.Int(f"{name}.end") == W + end]
    return [*facts, z3.Int(f"{name}.backing") == 0, z3.Int(f"{name}.anon_vma") == 0, z3.Int(f"{name}.offset") == start]


def numbers(**values: int) -> list[z3.BoolRef]:
    """Pages that a lemma names."""
    return [z3.Int(name) == W + value for name, value in values.items()]


def cases() -> Iterator[tuple[str, str, list[z3.BoolRef]]]:
    """A lemma, how the names of its obligations begin, and a situation of which it must speak."""
    three = [*placed("vma0", 0, 2), *placed("vma1", 2, 5), *placed("vma2", 5, 6)]
    for locked in (True, False):
        unlike = [z3.Bool("vma1.locked") == locked]
        for start, end in ((2, 5), (2, 3), (4, 5), (3, 4), (3, 9)):
            at_first = [*numbers(first_page=start, at=start, arg_end=end), z3.Not(z3.Bool("touched"))]
            yield "pass-lock", "mlock: the invariant", [*three, *at_first, *unlike]
        for touched in (True, False):
            later = [*numbers(first_page=0, at=2, arg_end=6), z3.Bool("touched") == touched]
            yield "pass-lock", "mlock: the invariant", [*three, *later, *unlike]
    two = [*placed("vma0", 0, 2), *placed("vma1", 5, 6)]
    for start, end in ((2, 3), (4, 5), (2, 5), (3, 4)):
        yield "verbs", "verbs: map (2 listed)", [*two, *placed("new", start, end)]
    for start, end in ((0, 2), (0, 6), (2, 5), (2, 6), (5, 9)):
        yield "verbs", "verbs: unmap (2 listed)", [*two, *numbers(at=start, value=end)]


def test_hypotheses_of_lemmas_admit_what_the_engine_does() -> None:
    """Of each situation some obligation speaks: its hypotheses, all but what it denies, can be so there."""
    obligations = {name: list(LEMMAS[name].obligations(V10)) for name in ("pass-lock", "verbs")}
    for name, begins, situation in cases():
        spoken = [o for o in obligations[name] if o.name.startswith(begins)]
        answers = []
        for obligation in spoken:
            solver = z3.SimpleSolver()
            solver.add(*situation, *obligation.query[:-1])
            answers.append(solver.check())
            if answers[-1] == z3.sat:
                break
        assert z3.sat in answers, (name, situation)


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


@pytest.mark.usefixtures("_fresh_exploration")
def test_an_error_that_nobody_documents_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """munmap with an errno that its manual page does not have."""

    def arguments(do: Any, addr: Any, length: Any, real: Any = CALLS["munmap"].arguments) -> Any:
        do.fail_if(equal(length, 3 * PAGE_SIZE), Errno.EEXIST, "munmap: three pages")
        return real(do, addr, length)

    monkeypatch.setitem(CALLS, "munmap", replace(CALLS["munmap"], arguments=arguments))
    assert "munmap EEXIST" in refuted("argument-errors")


@pytest.mark.usefixtures("_fresh_exploration")
def test_a_fact_that_the_checks_do_not_ensure_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = PageRange.facts
    monkeypatch.setattr(PageRange, "facts", lambda self, edition: [*facts(self, edition), ne(self.end, 77)])
    assert "fact 3" in refuted("bridge")
