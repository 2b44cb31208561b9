# SPDX-License-Identifier: MIT
"""Theorems of v10: verdicts as expected, witnesses and counterexamples that stand when they are run again."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import z3

from checker.calls import explore_body
from checker.examples import Example, problems, violation, witnesses
from checker.prove import P, Prover
from checker.scenario import re_execute
from checker.search import disagreements, explore
from checker.search_letters import PLAIN_KINDS, Area, maps, ranged
from proofs import theorems as theorems_module
from proofs.results import ProofReport, TheoremResult, Witness
from proofs.run import blocked_advice, find, prove
from spec.editions import EDITIONS
from spec.properties import PROPERTIES
from spec.syscalls import CALLS
from spec.terms import not_

V10 = EDITIONS["v10"]
QUICK = ["mseal", "munmap", "mprotect", "brk", "fork", "write", "reclaim", "mseal32"]


@cache
def report() -> ProofReport:
    return prove("v10", calls=QUICK, mutants=False, lemmas=False)


def example_of(witness: Witness) -> Example:
    """The witness document as a case that can be run."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in witness.arguments.items()}
    return Example(
        witness.before.to_state(), witness.call, CALLS[witness.call].decoded(**values), frozenset(witness.failures)
    )


def of(verdict: str) -> list[TheoremResult]:
    return [r for r in report().theorems if r.verdict == verdict and r.call != "mseal32"]


def test_every_theorem_is_as_expected() -> None:
    assert [f"{r.property}({r.call}): {r.verdict} {r.why}" for r in report().theorems if not r.as_expected] == []
    assert report().complete and report().as_expected
    assert {r.call for r in report().theorems} == set(QUICK)
    assert {r.verdict for r in report().theorems} == {"proved", "refuted"}


def test_examples_do_not_depend_on_what_was_asked_before() -> None:
    """Witnesses and counterexamples are the same whatever else a run decides."""

    def of_brk(calls: list[str]) -> list[dict[str, Any]]:
        found = prove("v10", calls=calls, mutants=False, lemmas=False, jobs=1).theorems
        return [result.model_dump(exclude={"seconds"}) for result in found if result.call == "brk"]

    assert of_brk(["brk"]) == of_brk(["munmap", "brk"])


def test_witnesses_satisfy_the_hypotheses() -> None:
    for result in of("proved"):
        assert result.witness is not None, result.property
        example = example_of(result.witness)
        assert problems(example.state) == []
        assert witnesses(PROPERTIES[result.property], example, V10), f"{result.property}({result.call})"
        outcome, _ = example.run(V10)
        assert (outcome.errno.name, outcome.check) == (result.witness.errno, result.witness.check)


def test_counterexamples_break_their_property_when_run_again() -> None:
    assert of("refuted")
    for result in of("refuted"):
        assert result.counterexample is not None and result.witness is not None
        assert re_execute(result.counterexample) == []
        broken = violation(PROPERTIES[result.property], example_of(result.witness), V10)
        assert broken is not None, f"{result.property}({result.call})"


def test_reachable_ends_are_ends() -> None:
    for reached in report().reachability:
        if reached.witness is not None:
            outcome, _ = example_of(reached.witness).run(V10)
            assert (outcome.errno.name, outcome.check) == (reached.errno, reached.check)


def test_a_wrong_expectation_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = theorems_module.Broken("never-unmapped", ("munmap",), ("v10",), "it is not")
    monkeypatch.setattr(theorems_module, "KNOWN_BROKEN", (wrong,))
    told = prove("v10", properties=["never-unmapped"], calls=["munmap"], mutants=False, lemmas=False)
    assert [r.verdict for r in told.theorems] == ["proved"] and not told.as_expected


def test_a_broken_theorem_that_is_expected_to_hold_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theorems_module, "KNOWN_BROKEN", ())
    told = prove("v10", properties=["fork-keeps-contents"], calls=["fork"], mutants=False, lemmas=False)
    assert [r.verdict for r in told.theorems] == ["refuted"] and not told.as_expected


def test_a_solver_that_gives_up_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(z3.Solver, "check", lambda self, *assumptions: z3.unknown)
    prover = Prover(explore_body("munmap", V10), 1)
    decisions = prover.decide([p for p in PROPERTIES.values() if "munmap" in p.calls])
    verdicts = {d.verdict for d in decisions.values() if d.queries}
    assert verdicts == {"unknown"}


def test_a_timeout_is_never_taken_for_another_verdict() -> None:
    told = prove(
        "v10", properties=["eperm-changes-nothing"], calls=["madvise"], timeout_ms=1, mutants=False, lemmas=False
    )
    (result,) = told.theorems
    assert result.verdict in ("unknown", "proved", "vacuous")
    assert result.as_expected == (result.verdict == "proved")


def test_the_partial_seal_needs_two_or_three_vmas_at_the_limit() -> None:
    found = find("failed-mseal-seals-nothing", "mseal", "v10").counterexample
    assert found is not None and found.size.vmas in (2, 3)
    before = found.before
    assert before.elsewhere + len(before.vmas) in (before.max_map_count, before.max_map_count - 1)


def test_harmless_advice_is_blocked_on_one_vma() -> None:
    found = find("eperm-only-with-cause", "madvise", "v10").counterexample
    assert found is not None and found.size.vmas == 1


def test_the_blocked_advice() -> None:
    assert [a.value for a in blocked_advice(V10)] == [1, 2, 3, *range(11, 18), *range(19, 24), 25]
    assert list(blocked_advice(EDITIONS["v6.11"])) == []


def test_a_sealed_shared_mapping_is_duplicated() -> None:
    found = find("never-grown", "mremap", "v10").counterexample
    assert found is not None and found.size.vmas == 1
    assert found.steps[0].words["old_len"] == 0


def test_explicit_state_search_agrees_with_the_verdicts() -> None:
    area = Area(pages=2)
    alphabet = (
        *maps(area, PLAIN_KINDS, V10),
        *ranged("mprotect", area, 1),
        *ranged("mseal", area, 0),
        *ranged("munmap", area),
    )
    graph = explore(V10, alphabet, depth=3)
    verdicts = {(r.property, r.call): r.verdict for r in report().theorems}
    assert len(graph.graph) > 20
    assert disagreements(graph, verdicts) == []
    refuted = {key for key, verdict in verdicts.items() if verdict == "refuted"}
    lied = dict.fromkeys(refuted, "proved")
    assert disagreements(graph, verdicts | lied) != []


def test_a_second_solver_agrees() -> None:
    """cvc5, where it is installed, finds the queries of some proved theorems unsatisfiable too."""
    cvc5 = pytest.importorskip("cvc5")
    props = [PROPERTIES[r.property] for r in of("proved") if r.call == "munmap" and not PROPERTIES[r.property].second]
    explored = explore_body("munmap", V10)
    asked = 0
    for path in explored.paths:
        for prop in props[:4]:
            if not prop.outcomes(path.transition) or prop.every is not None or prop.none is not None:
                continue
            goal = [not_(prop.holds(path.transition, P)), prop.when(path.transition, P)]
            solver = z3.Solver()
            solver.add(*goal, *path.space.run.conditions, *path.space.facts())
            solver.add(*explored.world.axioms, *explored.world.attribute_axioms)
            assert solver.check() == z3.unsat
            other = cvc5.Solver()
            other.setOption("tlimit-per", "20000")
            parser = cvc5.InputParser(other)
            parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, "(set-logic ALL)\n" + solver.to_smt2(), "goal")
            answer = ""
            while not (command := parser.nextCommand()).isNull():
                answer += command.invoke(other, parser.getSymbolManager())
            assert answer.strip() == "unsat", prop.name
            asked += 1
    assert asked
