# SPDX-License-Identifier: MIT
"""Where the solver has no answer nothing is claimed: not that a thing is so, and not that it is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
import z3

from checker import bounded_search
from checker.answers import EITHER, STEPS, TIME, GaveUp, is_sat, why_unknown
from checker.bounded_search import find_bounded
from checker.calls import explore_body, words_for
from checker.joint import is_steady
from checker.paths import Run, explore
from checker.prove import Prover
from proofs import diff, matrix, run
from proofs.lemmas import LEMMAS, decide_lemma
from proofs.mutants import kill_argument_mutant, kill_body_mutant
from proofs.recorded import Cases
from proofs.results import Advised, MutantResult, Problem, ReachableResult, TheoremResult
from proofs.tasks import Task
from spec.arguments import PageRange
from spec.editions import EDITIONS
from spec.properties import PROPERTIES

V10 = EDITIONS["v10"]


class Limit(Protocol):
    """As the fixture gives it."""

    def __call__(self, number: int, *, every: bool = False) -> list[int]: ...


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Limit]:
    """After so many queries solvers that are limited have no answer. Returns how many queries they were asked."""
    real, real_set = z3.Solver.check, z3.Solver.set

    def note(self: z3.Solver, *settings: Any, **others: Any) -> None:
        self.is_limited = True
        real_set(self, *settings, **others)

    def set_limit(number: int, *, every: bool = False) -> list[int]:
        asked = [0]

        def check(self: z3.Solver, *assumptions: Any) -> z3.CheckSatResult:
            limited = every or hasattr(self, "is_limited")
            asked[0] += limited
            return z3.unknown if limited and asked[0] > number else real(self, *assumptions)

        monkeypatch.setattr(z3.Solver, "check", check)
        return asked

    monkeypatch.setattr(z3.Solver, "set", note)
    monkeypatch.setattr(z3.Solver, "reason_unknown", lambda self: "canceled")
    monkeypatch.setattr(bounded_search, "MOST_VMAS", 1)
    yield set_limit
    monkeypatch.undo()


def hard() -> z3.Solver:
    """Return a solver with a question that takes it long."""
    p, q, solver = z3.BitVec("p", 96), z3.BitVec("q", 96), z3.SimpleSolver()
    solver.add(p * q == 0x9D3F5A1B7C2E4F6081A3B5C7, z3.ULT(p, 2**48), z3.ULT(q, 2**48), p > 1, q > 1)
    return solver


def test_why_there_is_no_answer() -> None:
    for setting, value, limit in (("timeout", 1, TIME), ("rlimit", 1000, STEPS)):
        solver = hard()
        solver.set(setting, value)
        with pytest.raises(GaveUp):
            is_sat(solver)
        assert why_unknown(solver, limit) == limit


def test_theorems_and_outcomes(limit: Limit) -> None:
    """However many queries are answered, each result is the right one, or none."""
    task = Task("theorem", "mseal", "v10", ("never-unmapped", "failed-mseal-seals-nothing"), 20_000)
    asked = limit(1 << 60)
    right = list(run.carry_out(task))
    for number in (0, 20, asked[0] // 2, asked[0] - 1):
        limit(number)
        for result, known in zip(run.carry_out(task), right, strict=True):
            assert type(result) is type(known)
            if isinstance(result, TheoremResult) and isinstance(known, TheoremResult):
                assert result.verdict in (known.verdict, "unknown")
                assert (result.verdict == "unknown") == ("ran out" in result.why)
            if isinstance(result, ReachableResult) and isinstance(known, ReachableResult):
                assert (result.reachable, result.why) == (known.reachable, "") or TIME in result.why
                assert not (result.why and result.as_expected)


def test_a_theorem_without_a_case_is_not_vacuous(limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The solver answers all that is asked of the property, and nothing of the witness."""
    prop, prover = PROPERTIES["partial-seal-is-a-prefix"], Prover(explore_body("mseal", EDITIONS["two-pass"]), 20_000)
    asked = limit(1 << 60)
    decisions = prover.decide([prop])
    assert decisions[prop.name].verdict == "proved"
    task = Task("property", "mseal", "two-pass", (prop.name,), 20_000)
    limit(asked[0])
    monkeypatch.setattr(run, "Cases", lambda call, edition: Cases("no call", edition))  # nothing is recorded
    result, _ = run.carry_out(task)
    assert isinstance(result, TheoremResult)
    assert result.verdict == "unknown" and TIME in result.why and not result.as_expected


def test_a_search_that_ran_out_is_not_bounded(limit: Limit) -> None:
    """What may be broken, and no example of it found in time, is unknown."""
    prop, prover = PROPERTIES["failed-mseal-seals-nothing"], Prover(explore_body("mseal", V10), 20_000)
    examined = prover.examine([prop])[prop.name]
    assert examined.opened
    limit(0)
    decision = prover.conclude(prop, examined)
    assert decision.verdict == "unknown" and EITHER in decision.why
    assert find_bounded(prop, "mseal", V10) == (None, STEPS)


def test_mutants(limit: Limit) -> None:
    explored = explore_body("mseal", V10)
    check = sorted(explored.world.checks - explored.world.environment_checks)[0]
    props = [PROPERTIES["success-does-what-it-says"], PROPERTIES["gap-seals-nothing"]]
    for made in (
        lambda: kill_body_mutant("mseal", V10, check, props, 20_000),
        lambda: kill_argument_mutant("mseal", V10, "mseal: flags are reserved", 20_000),
    ):
        asked = limit(1 << 60)
        killed: MutantResult = made()
        assert killed.killed_by and not killed.why
        total = asked[0]
        for number in {0, total // 2, total - 1}:
            limit(number)
            result = made()
            assert result.killed_by or TIME in result.why
            assert not result.survived
            assert not (result.why and (result.killed_by or result.as_expected))


def test_one_property_without_an_answer_does_not_hide_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant is killed by a later property, though the solver cannot tell of the first."""
    explored = explore_body("mseal", V10)
    prover = Prover(explored, 20_000)
    props = [PROPERTIES["never-unmapped"], PROPERTIES["failed-mseal-seals-nothing"]]
    answers = iter([(z3.unknown, TIME), (z3.sat, "")])
    monkeypatch.setattr(prover, "_check", lambda *given: next(answers))
    failing = next(path for path in explored.paths if path.transition.failed and path.space.failing_page is not None)
    assert prover.first_broken(props, failing) == ("failed-mseal-seals-nothing", "")


def test_lemmas(limit: Limit) -> None:
    limit(0)
    for name in ("embedding", "bridge"):
        outcome = decide_lemma(LEMMAS[name], V10, 20_000)
        assert outcome.verdict == "unknown" and TIME in outcome.why


def test_blocked_advice(limit: Limit) -> None:
    """A list that may not be whole says so."""
    explore_body("madvise", V10)
    asked = limit(1 << 60)
    right = list(run.blocked_advice(V10))
    assert not any(isinstance(result, Problem) for result in right)
    limit(asked[0] - 10)
    cut = list(run.blocked_advice(V10))
    assert isinstance(cut[-1], Problem) and cut[-1].verdict == "unknown" and TIME in cut[-1].why
    assert all(isinstance(result, Advised) and result in right for result in cut[:-1])


def test_cells(limit: Limit) -> None:
    """A cell is as it is with all the time there is, bounds included, or unknown."""
    task = Task("matrix", "mseal", "v10", None, 20_000)
    asked = limit(1 << 60)
    right = list(matrix.cells(task))
    assert {cell.verdict for cell in right} == {"partial", "unreachable"}
    for number in (0, asked[0] // 2):
        limit(number)
        for cell, known in zip(matrix.cells(task), right, strict=True):
            assert cell.verdict == "unknown" or (cell.verdict, cell.where, cell.changes, cell.checks) == (
                known.verdict,
                known.where,
                known.changes,
                known.checks,
            )
            assert (cell.verdict == "unknown") == ("ran out" in cell.why)


def test_comparisons(limit: Limit) -> None:
    """Two editions are the same in what was decided of them, or unknown."""
    for call in ("munmap", "mseal32"):
        explore_body("munmap", V10)
        asked = limit(1 << 60)
        right = diff.diff_call(V10, EDITIONS["v6.12"], call)
        for number in (0, asked[0] // 2) if asked[0] else ():
            limit(number)
            cut = diff.diff_call(V10, EDITIONS["v6.12"], call)
            for level in ("verdict", "result", "boundaries"):
                assert getattr(cut, level) in (getattr(right, level), "unknown")
            assert cut.decided or "ran out" in cut.why


def test_values_that_may_not_be_all_are_none(limit: Limit) -> None:
    """Taken for all, they would exclude what can be."""
    word, solver = z3.BitVec("word", 64), z3.Solver()
    solver.add(z3.ULT(word, 3))
    assert sorted(diff._few_values(solver, word)) == [0, 1, 2]
    for number in range(4):
        limit(number, every=True)
        assert diff._few_values(solver, word) == []


def test_words(limit: Limit) -> None:
    """That no words were found in time is not that there are none."""
    arguments = PageRange(0x200000000, 0x200000001)
    assert words_for("munmap", V10, arguments) is not None
    limit(0, every=True)
    with pytest.raises(GaveUp, match=TIME):
        words_for("munmap", V10, arguments)


def test_what_may_be_is_explored(limit: Limit) -> None:
    """A branch of which the solver cannot tell is taken, and a pass of which it cannot tell is not steady."""
    x = z3.Int("x")

    def decide(path: Run) -> bool:
        path.assume(x > 0)
        return path.decide(x > -1)

    assert [explored.outcome for explored in explore(decide, list)] == [True]
    assert is_steady(lambda vma, at: vma)
    limit(0, every=True)
    assert [explored.outcome for explored in explore(decide, list)] == [True, False]
    assert not is_steady(lambda vma, at: vma)
    prover = Prover(explore_body("mseal", V10), 20_000)
    assert len(prover.feasible()) == len(prover.explored.paths)
