# SPDX-License-Identifier: MIT
"""The checks of every call, in order, as recorded: a check that is dropped, renamed or moved shows here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports.explain import explain
from spec.editions import EDITIONS
from spec.syscalls import CALLS

GOLDEN = Path(__file__).parents[1] / "golden" / "checks-v10.json"


def current(call: str) -> list[list[str]]:
    """Stage, errno and name of each check of a call of v10."""
    return [[check.stage, check.errno, check.check] for check in explain(call, EDITIONS["v10"]).checks]


@pytest.mark.parametrize("call", CALLS)
def test_checks_are_as_recorded(call: str) -> None:
    recorded = json.loads(GOLDEN.read_text("utf-8"))
    assert current(call) == recorded[call], f"the checks of {call} have changed; if that is meant, record them anew"


def test_nothing_else_is_recorded() -> None:
    assert set(json.loads(GOLDEN.read_text("utf-8"))) == set(CALLS)
