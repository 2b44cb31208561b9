# SPDX-License-Identifier: MIT
"""Every fact that a proof may use says where it comes from."""

from __future__ import annotations

import pytest
import z3

from checker.calls import explore_body
from checker.paths import Run, explore, recording_pruned
from checker.unbounded import UnboundedSpace
from spec.editions import EDITIONS


@pytest.mark.parametrize("call", ["munmap", "mprotect", "mlock", "write", "pkey_alloc"])
def test_every_fact_of_a_path_has_a_source(call: str) -> None:
    explored = explore_body(call, EDITIONS["v10"])
    for path in explored.paths:
        space = path.space
        assert all(space.run.sources[condition.get_id()].kind for condition in path.conditions)
        facts = [*space.facts(), *space.place_facts()]
        assert all(space.world.source_of(fact).kind for fact in facts if fact.num_args())
    world = explored.world
    assert all(world.source_of(axiom).kind == "clause" for axiom in world.axioms + world.attribute_axioms)


def test_a_check_that_decides_is_the_source_of_its_condition() -> None:
    explored = explore_body("munmap", EDITIONS["v10"])
    told = {str(s) for path in explored.paths for s in path.space.run.sources.values() if s.kind == "check"}
    assert any(text.startswith("check passes: munmap") for text in told)
    assert any(text.startswith("check refuses: munmap") for text in told)


def test_what_is_assumed_outside_of_every_verb_has_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    body = UnboundedSpace.snapshot

    def narrower(self: UnboundedSpace) -> object:
        self.every_page.append(lambda q: q % 2 == 0)
        return body(self)

    monkeypatch.setattr(UnboundedSpace, "snapshot", narrower)
    space = explore_body("munmap", EDITIONS["v10"]).paths[0].space
    assert not space.said_by(0).kind


def test_branches_that_are_not_explored_are_recorded_with_their_reason() -> None:
    a = z3.Int("a")

    def twice(run: Run) -> None:
        if run.decide(a > 3):
            run.decide(a > 2)

    with recording_pruned() as pruned:
        assert len(list(explore(twice, list))) == 2
    solver = z3.Solver()
    (branch,) = pruned
    solver.add(*branch.facts)
    assert solver.check() == z3.unsat
