# SPDX-License-Identifier: MIT
"""Mutants: every check that a call comes to is dropped, and some theorem breaks."""

from __future__ import annotations

import pytest

from checker.calls import explore_arguments, explore_body
from proofs.mutants import argument_checks, body_checks, kill_body_mutant, mutants_of
from proofs.survivors import why_it_survives
from spec.editions import EDITIONS

V10 = EDITIONS["v10"]


@pytest.mark.parametrize("call", ["mseal", "munmap"])
def test_every_check_is_needed(call: str) -> None:
    explored = explore_body(call, V10)
    results = list(mutants_of(call, V10, explored, 20_000))
    assert [f"{r.check}: {r.killed_by}" for r in results if not r.as_expected] == []
    for result in results:
        assert result.survived == bool(why_it_survives(call, result.check, V10))
        assert result.survived != bool(result.killed_by)
    refusing = {p.transition.check for p in explored.paths if p.transition.failed} - explored.world.environment_checks
    refusing |= {p.check for p in explore_arguments(call, V10) if p.decoded is None and p.errno.name != "OK"}
    assert refusing <= {r.check for r in results}
    assert {r.check for r in results} == {*argument_checks(call, V10), *body_checks(explored)}


def test_a_mutant_that_nothing_watches_survives() -> None:
    result = kill_body_mutant("munmap", V10, "munmap: a VMA to unmap is sealed", [], 20_000)
    assert result.survived and not result.as_expected
