# SPDX-License-Identifier: MIT
"""A property is proved only if every path that was explored was accounted for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checker.calls import CallPath, explore_body
from checker.prove import Prover
from proofs.run import prove
from spec.editions import EDITIONS
from spec.properties import PROPERTIES

MUNMAP = explore_body("munmap", EDITIONS["v10"])
SEALED = PROPERTIES["never-unmapped"]


def test_every_path_is_accounted_for() -> None:
    examined = Prover(MUNMAP, 20_000).examine([SEALED, PROPERTIES["success-does-what-it-says"]])
    for examination in examined.values():
        assert examination.proved and examination.accounts.keys() == set(range(MUNMAP.count))
    assert MUNMAP.count == len(MUNMAP.paths)
    failing = [path.number for path in MUNMAP.paths if path.transition.failed]
    accounts = examined["success-does-what-it-says"].accounts
    assert failing and all(accounts[number] == "outcome" for number in failing)


@pytest.mark.parametrize("skipped", [0, -1])
def test_a_path_that_is_not_examined_is_an_error(skipped: int, monkeypatch: pytest.MonkeyPatch) -> None:
    feasible = Prover.feasible

    def all_but_one(self: Prover) -> list[CallPath]:
        paths = feasible(self)
        return [path for path in paths if path is not paths[skipped]]

    monkeypatch.setattr(Prover, "feasible", all_but_one)
    (result,) = prove("v10", properties=["never-unmapped"], calls=["munmap"], mutants=False, lemmas=False).theorems
    assert result.verdict == "error" and not result.as_expected
    assert f"{MUNMAP.count} paths were explored, and {MUNMAP.count - 1} of them examined" in result.why


def test_a_path_that_exploring_forgot_is_an_error() -> None:
    fewer = replace(MUNMAP, paths=MUNMAP.paths[1:])
    decision = Prover(fewer, 20_000).decide([SEALED])[SEALED.name]
    assert decision.verdict == "error"


def test_a_report_says_how_many_paths_a_theorem_was_decided_on() -> None:
    (result,) = prove("v10", properties=["never-unmapped"], calls=["munmap"], mutants=False, lemmas=False).theorems
    assert (result.verdict, result.paths) == ("proved", MUNMAP.count)
