# SPDX-License-Identifier: MIT
"""Exploring is exhaustive: as many paths as can be counted by hand, and none of them with what another one knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import z3

from checker.calls import explore_body
from checker.paths import Run, TooManyPaths, explore
from checker.unbounded import UnboundedSpace
from spec.editions import EDITIONS
from spec.syscalls import CALLS

A, B, C = z3.Ints("a b c")


def answers(run: Callable[[Run], object], **options: int) -> list[object]:
    """What each path returns."""
    return [path.outcome for path in explore(run, list, **options)]


def test_every_answer_to_every_decision_is_explored() -> None:
    def run(path: Run) -> tuple[bool, ...]:
        return tuple(path.decide(term > 0) for term in (A, B, C))

    assert sorted(answers(run)) == sorted(
        (a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)
    )


def test_decisions_may_depend_on_answers() -> None:
    def run(path: Run) -> str:
        if path.decide(A > 0):
            return "a" if path.decide(B > 0) else "b"
        if path.choose(z3.Bool("free")):
            return "c"
        return "d" if path.decide(C > 0) else "e"

    assert sorted(answers(run)) == ["a", "b", "c", "d", "e"]


def test_what_contradicts_the_path_is_not_explored() -> None:
    def run(path: Run) -> tuple[bool, bool]:
        path.assume(A > 3)
        return path.decide(A > 2), path.decide(A > 5)

    assert sorted(answers(run)) == [(True, False), (True, True)]


def test_a_free_choice_has_both_answers_even_where_the_path_contradicts_itself() -> None:
    free = z3.Bool("free")

    def run(path: Run) -> bool:
        path.assume(z3.Not(free))
        return path.choose(free)

    assert sorted(answers(run)) == [False, True]


def test_a_path_knows_its_own_decisions_and_no_other() -> None:
    """A fact that was assumed in one answer is not known in the other one, however deep both are."""

    def run(path: Run) -> tuple[bool, bool, bool]:
        first = path.decide(A > 0)
        path.assume(B > 10 if first else B < -10)
        second = path.decide(B > 0)
        third = path.decide(C > 0)
        path.assume(C > 5 if third else C < -5)
        return first, second, path.decide(C > 0)

    assert sorted(answers(run)) == [(a, a, c) for a in (False, True) for c in (False, True)]
    for path in explore(run, list):
        first, second, third = path.outcome
        solver = z3.Solver()
        solver.add(*path.conditions)
        for term, positive in ((A, first), (B, second), (C, third)):
            solver.push()
            solver.add(term <= 0 if positive else term > 0)
            assert solver.check() == z3.unsat
            solver.pop()


def test_a_false_assumption_ends_a_path() -> None:
    def run(path: Run) -> None:
        path.assume(False)

    (path,) = explore(run, list)
    solver = z3.Solver()
    solver.add(*path.conditions)
    assert solver.check() == z3.unsat


def test_background_that_grows_holds_on_later_paths() -> None:
    """As axioms do, of pages that are named on the way."""
    facts: list[z3.BoolRef] = []

    def run(path: Run) -> tuple[bool, bool]:
        first = path.decide(A > 0)
        if not facts:
            facts.append(B > 7)
        return first, path.decide(B > 0)

    assert sorted(path.outcome for path in explore(run, lambda: facts)) == [(False, True), (True, True)]


def test_where_the_solver_cannot_tell_both_answers_are_explored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(z3.Solver, "check", lambda self, *assumptions: z3.unknown)

    def run(path: Run) -> bool:
        path.assume(A > 3)
        return path.decide(A > 2)

    assert sorted(answers(run)) == [False, True]


def test_too_many_paths_are_an_error() -> None:
    def run(path: Run) -> tuple[bool, ...]:
        return tuple(path.decide(z3.Int(f"n{i}") > 0) for i in range(4))

    assert len(answers(run, limit=16)) == 16
    with pytest.raises(TooManyPaths):
        answers(run, limit=15)


@pytest.mark.parametrize("name", ["v10", "v7.3"])
@pytest.mark.parametrize("call", ["mseal", "munmap", "brk", "mprotect"])
def test_all_that_is_explored_of_a_call_is_kept(call: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many paths as spaces that ran through the body."""
    made = 0
    begin = UnboundedSpace.__init__

    def count(self: UnboundedSpace, *given: object, **options: object) -> None:
        nonlocal made
        made += 1
        begin(self, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(UnboundedSpace, "__init__", count)
    explored = explore_body(call, EDITIONS[name])
    assert len(explored.paths) == made > 3
    assert explored.call is CALLS[call]
