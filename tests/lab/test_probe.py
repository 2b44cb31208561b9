"""The probe: every kernel edition is told from every other by behaviour, and a stranger is described."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from checker.lab import probe as probing
from checker.lab.errors import LabError
from checker.lab.probe import PROBES, probe
from checker.lab.run import ImageKernel, LiveKernel, RunReport
from checker.lab.script import Hello, ScriptOptions, encode
from checker.scenario import run_scenario
from spec.editions import EDITIONS, KERNELS
from tests.lab.kernels import V10, guest, running

RELEASE = "0.0-nothing-to-go-by"


def answers_of(edition: str) -> list[dict[str, Any]]:
    """What a kernel that is this edition answers to the probes."""
    given = []
    for one in PROBES:
        scenario = one.scenario(pkeys=True)
        results = run_scenario(scenario, EDITIONS[edition]).steps
        steps = [
            {**step.model_dump(mode="json"), **result.model_dump(include={"ret", "errno", "vmas", "bytes"})}
            for step, result in zip(scenario.steps, results, strict=True)
        ]
        given.append({"name": one.name, "steps": steps})
    return given


def fake_kernel(monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]]) -> None:
    """The next kernel that is asked gives these answers, and a version that means nothing."""

    def run(scenarios: object, kernel: object, *, report: RunReport) -> Iterator[dict[str, Any]]:
        report.hello = Hello(RELEASE, True, 300, True, False)
        yield from answers

    monkeypatch.setattr(probing, "run_scenarios", run)


def test_every_two_editions_are_told_apart() -> None:
    """Some probe has different answers for each pair of editions that are kernels."""
    answers = {name: answers_of(name) for name in KERNELS}
    for one, other in itertools.combinations(KERNELS, 2):
        assert answers[one] != answers[other], (one, other)


@pytest.mark.parametrize("edition", KERNELS)
def test_a_kernel_is_known_by_its_answers(monkeypatch: pytest.MonkeyPatch, edition: str) -> None:
    """Whatever its version says."""
    fake_kernel(monkeypatch, answers_of(edition))
    found = probe(LiveKernel())
    assert (found.edition, found.kernel, found.differing) == (edition, RELEASE, ())


def test_a_stranger_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that answers one probe as an older one would is no edition; the nearest is named, and where it
    differs."""
    answers = answers_of("v6.18")
    number = next(n for n, one in enumerate(PROBES) if one.name == "several-moved")
    answers[number] = answers_of("v6.12")[number]
    fake_kernel(monkeypatch, answers)
    found = probe(LiveKernel())
    assert (found.edition, found.nearest) == (None, "v6.18")
    (differing,) = found.differing
    assert differing.name == "several-moved"
    assert "v6.12" in differing.agrees
    assert any(d.field == "errno" for d in differing.differences["v6.18"])


def test_a_probe_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that dies in a probe is reported with the probe's name."""
    answers = answers_of("v6.18")
    answers[2] = {"name": "x", "steps": [], "error": "the guest died"}
    fake_kernel(monkeypatch, answers)
    with pytest.raises(LabError, match=PROBES[2].name):
        probe(LiveKernel())


def test_the_probes_can_be_asked_anywhere() -> None:
    """The script of the lab can express them, and none of them needs more room than a guest has."""
    script = encode(
        [(n, one.scenario(pkeys=False).model_dump(mode="json")) for n, one in enumerate(PROBES)], ScriptOptions()
    )
    assert script.count(b"\nS ") == len(PROBES)
    assert len({one.name for one in PROBES}) == len(PROBES)


@running
def test_the_running_kernel() -> None:
    """It is an edition, or the probes that differ are named."""
    found = probe(LiveKernel())
    assert found.nearest in KERNELS
    assert (found.edition is None) == bool(found.differing)


@guest
def test_a_guest() -> None:
    """The checks of the v10 patch on a 6.12 kernel are v10, whose version says 6.12."""
    found = probe(ImageKernel(V10))
    assert found.kernel.startswith("6.12")
    assert found.edition == "v10"
