# SPDX-License-Identifier: MIT
"""What a `proved` rests on: a goal, or a reason, for every path; and what happens if a proof is not one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import z3

import proofs.goals
from checker.calls import CallPath, explore_body
from checker.cores import PathFacts
from checker.prove import Examination, Prover
from checker.smtlib import Writer
from checker.sources import Source
from checker.unbounded import UnboundedSpace, World
from proofs.certificate import CallGoals, used
from proofs.goals import Finder, find_call_goals, find_lemma_goals
from proofs.lemmas import LEMMAS
from proofs.opinion import second_opinion
from proofs.results import ProofReport
from proofs.run import prove
from proofs.second import decide, find_solver
from proofs.theorems import theorems
from spec.editions import EDITIONS
from spec.properties import Property

V10 = EDITIONS["v10"]


def goals(call: str, properties: list[str] | None = None) -> tuple[CallGoals, Finder]:
    finder = Finder(20_000)
    return find_call_goals(call, V10, theorems(V10, properties, [call]), 20_000, finder), finder


def test_a_proved_theorem_has_a_goal_or_a_reason_for_every_path() -> None:
    found, finder = goals("munmap")
    count = explore_body("munmap", V10).count
    proved = [theorem for theorem in found.theorems if theorem.verdict == "proved"]
    assert len(found.endings) == count and all(len(theorem.accounts) == count for theorem in proved)
    assert {t.property for t in found.theorems if t.verdict == "open"} == {
        t.property.name for t in theorems(V10, calls=["munmap"]) if t.broken
    }
    assert set(used(found)) == finder.texts.keys()
    reasons = {account for t in proved for account in t.accounts if len(account) < 64}
    assert reasons <= {"outcome", "constant", "contradictory"}


def test_goals_do_not_depend_on_what_was_asked_before() -> None:
    first, finder = goals("munmap")
    explore_body("mremap", V10)  # makes terms, so that others get other numbers
    second, again = goals("munmap")
    assert first == second and finder.texts == again.texts


def test_the_call_that_its_argument_stage_refuses_has_no_goal() -> None:
    found, _ = goals("mseal32")
    assert {account for theorem in found.theorems for account in theorem.accounts} == {"arguments"}


def test_a_lemma_has_its_obligations() -> None:
    finder = Finder(20_000)
    found = find_lemma_goals(LEMMAS["moves"], V10, 20_000, finder)
    assert found.verdict == "proved"
    assert [o.expected for o in found.obligations].count("sat") == 1
    assert set(used(found)) == finder.texts.keys()


def test_a_lemma_that_is_known_to_be_refuted_claims_nothing() -> None:
    found = find_lemma_goals(LEMMAS["cursor"], EDITIONS["v6.17"], 20_000)
    assert (found.verdict, found.obligations) == ("open", [])


# broken on purpose


@pytest.fixture(autouse=True)
def folder_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept shall not stay."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def opinion(call: str, properties: list[str] | None = None, solver: str = "cvc5") -> ProofReport:
    report = prove("v10", properties=properties, calls=[call], mutants=False, lemmas=False)
    return second_opinion(
        report, find_solver(solver), properties=properties, calls=[call], lemmas=False, timeout_ms=20_000, jobs=0
    )


def test_a_second_solver_confirms_what_is_proved() -> None:
    report = opinion("munmap")
    assert report.as_expected and report.second is not None and report.second.agrees
    assert report.second.goals >= report.second.texts == report.second.agreed > 0


def test_a_prover_that_takes_sat_for_unsat_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prover, "_check", lambda self, path, *goal: (z3.unsat, ""))
    report = opinion("munmap", ["failure-changes-nothing", "never-unmapped"])
    verdicts = {result.property: result.verdict for result in report.theorems}
    assert verdicts == {"failure-changes-nothing": "error", "never-unmapped": "proved"}
    assert "the solver finds a model" in next(r.why for r in report.theorems if r.verdict == "error")


def test_a_path_that_the_prover_skips_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    examine = Prover.examine

    def lazily(self: Prover, props: Sequence[Property]) -> dict[str, Examination]:
        found = examine(self, props)
        for examination in found.values():
            examination.opened, examination.unknown = [], ""
            examination.accounts = dict.fromkeys(range(examination.count), "holds")
        return found

    monkeypatch.setattr(Prover, "examine", lazily)
    report = opinion("munmap", ["failure-changes-nothing"])
    assert report.theorems[0].verdict == "error"


def narrowing(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have proofs assume that the page that stands for all is even, at one place or another."""
    even = z3.Int("page") % 2 == 0
    if where == "path":
        snapshot = UnboundedSpace.snapshot

        def narrower(self: UnboundedSpace) -> object:
            self.run.assume(even)
            return snapshot(self)

        monkeypatch.setattr(UnboundedSpace, "snapshot", narrower)
    elif where == "world":
        look: Callable[..., object] = World.look

        def looked(self: World, page: object) -> object:
            self.axioms.append(even)
            self._of_pages.setdefault((), []).append(even)
            return look(self, page)

        monkeypatch.setattr(World, "look", looked)
    else:
        facts = PathFacts.of

        def more(self: PathFacts, path: CallPath) -> object:
            some, others = facts(self, path)
            return [*some, *self.cutter.parts(even)], others

        monkeypatch.setattr(PathFacts, "of", more)


@pytest.mark.parametrize("where", ["path", "world", "facts"])
def test_a_hypothesis_about_the_page_that_nobody_vouches_for_is_an_error(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrowing(where, monkeypatch)
    found, _ = goals("munmap", ["never-unmapped"])
    assert [theorem.verdict for theorem in found.theorems] == ["error"]
    assert "nobody vouches for" in found.theorems[0].why


def test_a_decision_of_a_call_that_speaks_of_the_page_is_an_error() -> None:
    explored = explore_body("munmap", V10)
    cutter, path = PathFacts(explored, Writer()), explored.paths[0]
    assert not cutter.unvouched(path, [])
    path.space.run.assume(z3.Int("page") % 2 == 0, Source("check", "the page is even", False))
    assert "speaks of a page that stands for all" in cutter.unvouched(path, [])


def test_a_theorem_of_which_a_path_was_lost_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    explored = explore_body("munmap", V10)
    fewer = replace(explored, paths=explored.paths[:-1])
    monkeypatch.setattr(proofs.goals, "explore_body", lambda call, edition: fewer)
    found, _ = goals("munmap", ["never-unmapped"])
    assert found.theorems[0].verdict != "proved"


def test_a_theorem_of_which_a_path_has_no_account_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    explored = explore_body("munmap", V10)
    fewer = replace(explored, paths=explored.paths[:-1])
    monkeypatch.setattr(proofs.goals, "explore_body", lambda call, edition: fewer)
    monkeypatch.setattr(proofs.goals, "proved_by", lambda timeout_ms: lambda explored: lambda theorem: True)
    found, _ = goals("munmap", ["never-unmapped"])
    assert found.theorems[0].verdict == "error"
    assert f"{explored.count} paths were explored, and {explored.count - 1} of them" in found.theorems[0].why


# solvers that are none


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    program = folder / "fake-solver"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("echo unknown", "it says unknown"),
        ("echo maybe", "no answer, exit status 0: 'maybe'"),
        ("echo unsat; exit 3", "no answer, exit status 3: 'unsat'"),
        ("echo unsat; echo sat", "no answer, exit status 0"),
        ("kill -SEGV $$", "it was killed by SIGSEGV"),
        ("true", "no answer, exit status 0: 'nothing'"),
        ("[ $1 = --version ] || sleep 60", "time ran out"),
    ],
)
def test_what_is_no_answer_is_never_agreement(
    body: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, body)
    report = prove("v10", properties=["never-unsealed"], calls=["munmap"], mutants=False, lemmas=False)
    report = second_opinion(
        report, find_solver("fake-solver"), properties=["never-unsealed"], calls=["munmap"], lemmas=False,
        timeout_ms=300 if "sleep" in body else 20_000, jobs=2,
    )  # fmt: skip
    assert report.theorems[0].verdict == "proved" and not report.as_expected
    assert report.second is not None and report.second.agreed == 0
    assert {doubt.said for doubt in report.second.doubts} == {"unknown"}
    assert why in report.second.doubts[0].why


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("case $* in *--version*) ;; *arith-prop*) echo unsat;; *) sleep 60;; esac", "unsat"),
        ("case $* in *stoponly*) echo unknown;; *) echo sat;; esac", "sat"),
        ("[ $1 = --version ] || sleep 60", "unknown"),
    ],
)
def test_where_one_way_has_no_answer_another_is_tried(
    body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, body)
    (tmp_path / "fake-solver").rename(tmp_path / "cvc5")
    goal = tmp_path / "goal.smt2"
    goal.write_text("(check-sat)\n")
    [(key, answer)] = decide(find_solver("cvc5"), [("goal", goal)], 2, 1)
    assert (key, answer.said) == ("goal", said)


def test_a_solver_that_contradicts_is_an_error_and_the_goal_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, "echo sat")
    report = opinion("munmap", ["never-unsealed"], "fake-solver")
    (theorem,) = report.theorems
    assert theorem.verdict == "error" and not theorem.as_expected
    assert report.second is not None
    for doubt in report.second.doubts:
        assert Path(doubt.file).read_text().endswith("(check-sat)\n")
        assert doubt.of == ["never-unsealed(munmap)"]
