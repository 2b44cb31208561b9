"""The concrete reading of each edition answers as its kernel did, on every recorded scenario."""

from __future__ import annotations

from pathlib import Path

import pytest

from checker.documents.files import load_document
from checker.documents.layouts import LayoutDoc
from checker.documents.scenarios import Difference, Kernel, RunResult, Scenario
from checker.scenario import compare, run_scenario, trace_scenario
from spec.editions import EDITIONS
from spec.errors import Errno

RUNS = Path(__file__).parent.parent / "kernel_runs"
MAX_MAP_COUNT = 65530
SHOWN = 3
"""How many differing scenarios a failure prints in full."""


def recorded(kernel: str) -> list[Scenario]:
    """The scenarios of one kernel."""
    documents = load_document(RUNS / f"{kernel}.jsonl.xz")
    scenarios = [document for document in documents if isinstance(document, Scenario)]
    assert len(scenarios) == len(documents) > 800
    return scenarios


def is_room_for_mremap(scenario: Scenario, got: RunResult, first: Difference) -> bool:
    """7.x reckons the room for mremap in another way (kernel-facts 10.2): within six VMAs of the limit it refuses where
    the edition does not, or the other way round, with ENOMEM. Such a step sets the rest of its scenario apart."""
    want, have = scenario.steps[first.step], got.steps[first.step]
    pressed = first.step > 0 and got.steps[first.step - 1].map_count >= MAX_MAP_COUNT - 6
    return want.call == "mremap" and pressed and (want.errno == Errno.ENOMEM) != (have.errno == Errno.ENOMEM)


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
    ("kernel", "edition", "pkeys", "room_differs"),
    [
        ("v10", "v10", True, 0),
        ("6.12.117", "v6.12", True, 0),
        ("6.18.15", "v6.17", True, 0),
        ("6.18.44", "v6.18", False, 0),
        ("7.3.4", "v6.18", True, 4),
    ],
)
def test_edition_answers_as_its_kernel(kernel: str, edition: str, pkeys: bool, room_differs: int) -> None:
    wrong = []
    excused = 0
    for recording in recorded(kernel):
        scenario = recording.model_copy(update={"kernel": Kernel(pkeys=pkeys)})
        got = run_scenario(scenario, EDITIONS[edition])
        differences = compare(scenario, got)
        if differences and room_differs and is_room_for_mremap(scenario, got, differences[0]):
            excused += 1
        elif differences:
            wrong.append(in_full(scenario, got, differences))
    assert not wrong, f"{len(wrong)} scenarios differ; the first:\n" + "\n".join(wrong[:SHOWN])
    assert excused == room_differs


def test_states_that_runs_reach_are_documents() -> None:
    """Every state at the end of a run is well formed, and its document says all of it."""
    for scenario in recorded("6.18.15"):
        state = [after for _, after in trace_scenario(scenario, EDITIONS["v6.17"])][-1]
        document = LayoutDoc.from_state(state)
        again = document.to_state()
        assert LayoutDoc.from_state(again) == document
        assert (again.vmas, again.pages, again.pkru) == (state.vmas, state.pages, state.pkru)
