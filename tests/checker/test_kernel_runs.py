# SPDX-License-Identifier: MIT
"""The concrete reading of each edition answers as its kernel did, on every recorded scenario."""

from __future__ import annotations

from pathlib import Path

import pytest

from checker.documents.files import load_document
from checker.documents.layouts import LayoutDoc
from checker.documents.scenarios import Difference, Kernel, RunResult, Scenario
from checker.examples import problems
from checker.scenario import compare, run_scenario, trace_scenario
from spec.editions import EDITIONS

RUNS = Path(__file__).parent.parent / "kernel_runs"
SHOWN = 3
"""How many differing scenarios a failure prints in full."""


def recorded(kernel: str) -> list[Scenario]:
    """The scenarios of one kernel."""
    documents = load_document(RUNS / f"{kernel}.jsonl.xz")
    scenarios = [document for document in documents if isinstance(document, Scenario)]
    assert len(scenarios) == len(documents) > 800
    return scenarios


def in_full(scenario: Scenario, got: RunResult, differences: list[Difference]) -> str:
    """The calls up to the first difference, what was there before, and all that differs at that step."""
    n = differences[0].step
    lines = [f"--- {scenario.name}"]
    lines += [f"  {s.model_dump(exclude={'vmas', 'bytes'}, exclude_defaults=True)}" for s in scenario.steps[: n + 1]]
    if n:
        lines.append(f"  before: {got.steps[n - 1].vmas} {got.steps[n - 1].bytes}")
    lines.append(f"  decided by: {got.steps[n].check or 'nothing, the call ran to its end'}")
    lines += [f"  {difference}" for difference in differences if difference.step == n]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("kernel", "edition", "pkeys"),
    [
        ("v10", "v10", True),
        ("6.12.117", "v6.12", True),
        ("6.16.12", "v6.16", True),
        ("6.18.15", "v6.17", True),
        ("6.18.44", "v6.18", False),
        ("7.0.13", "v7.0", True),
        ("7.1.13", "v7.1", True),
        ("7.2.6", "v7.2", True),
        ("7.3.4", "v7.3", True),
    ],
)
def test_edition_answers_as_its_kernel(kernel: str, edition: str, pkeys: bool) -> None:
    wrong = []
    for recording in recorded(kernel):
        scenario = recording.model_copy(update={"kernel": Kernel(pkeys=pkeys, memory_failure=True)})
        got = run_scenario(scenario, EDITIONS[edition])
        differences = compare(scenario, got)
        if differences:
            wrong.append(in_full(scenario, got, differences))
    assert not wrong, f"{len(wrong)} scenarios differ; the first:\n" + "\n".join(wrong[:SHOWN])


@pytest.mark.parametrize(("kernel", "edition"), [("v10", "v10"), ("7.3.4", "v7.3")])
def test_states_that_runs_reach_are_well_formed(kernel: str, edition: str) -> None:
    """No clause of well-formedness is broken by what a kernel did."""
    for scenario in recorded(kernel)[::3]:
        for _, state in trace_scenario(scenario, EDITIONS[edition]):
            assert problems(state) == [], scenario.name


def test_states_that_runs_reach_are_documents() -> None:
    """Every state at the end of a run is well formed, and its document says all of it."""
    for scenario in recorded("6.18.15"):
        state = [after for _, after in trace_scenario(scenario, EDITIONS["v6.17"])][-1]
        document = LayoutDoc.from_state(state)
        again = document.to_state()
        assert LayoutDoc.from_state(again) == document
        assert (again.vmas, again.pages, again.pkru) == (state.vmas, state.pages, state.pkru)
