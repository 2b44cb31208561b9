# SPDX-License-Identifier: MIT
"""Every fact that a proof may use says where it comes from."""

from __future__ import annotations

import pytest
import z3

from checker.calls import explore_body
from checker.paths import Run, explore, recording_pruned
from checker.unbounded import UnboundedSpace, World
from spec.editions import EDITIONS
from spec.errors import Errno
from spec.space import Refused


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


def test_what_is_stated_between_verbs_has_no_source() -> None:
    even = z3.Int("page") % 2 == 0

    def body(run: Run) -> UnboundedSpace:
        space = UnboundedSpace(World(), EDITIONS["v10"], run)
        space.check_mapped(z3.Int("start"), z3.Int("end"), Errno.ENOMEM, "the range has a hole")
        space.every_page.append(lambda page: even)
        space.assume(even)
        space.check_mapped(z3.Int("start"), z3.Int("end"), Errno.ENOMEM, "the range has a hole")
        return space

    def to_its_end(run: Run) -> UnboundedSpace | None:
        try:
            return body(run)
        except Refused:
            return None

    space = next(found.outcome for found in explore(to_its_end, list) if found.outcome is not None)
    assert [space.said_by(i).kind for i in range(3)] == ["check", "", "check"]
    assert not space.run.sources[even.get_id()].kind


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
