# SPDX-License-Identifier: MIT
"""The probe: every kernel edition is told from every other by behaviour, and a stranger is described."""

from __future__ import annotations

import dataclasses
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
from spec.editions import EDITIONS, KERNELS, Edition
from spec.errors import Errno
from tests.lab.kernels import V10, guest, running

RELEASE = "0.0-nothing-to-go-by"


SAME = {
    ("v10", "droppable"),  # the recorded v10 is a 6.12 kernel with v10's checks, and has them
    ("v6.11", "droppable"),
    ("v6.11", "remap"),  # where seals are tested says it already
    ("v6.12.43", "remap"),
    ("v6.12", "huge_hints_up"),  # no probe asks for huge pages, which few machines have
    ("v6.13", "huge_hints_up"),
    ("v6.13", "guards_prepare_files"),  # only a merge of written with unwritten memory shows it, from 6.16 on
    ("v6.15", "guards_prepare_files"),
}
"""By edition: what it could have of its neighbour without any probe telling, and why."""


def answers_of(edition: str | Edition) -> list[dict[str, Any]]:
    """What a kernel that is this edition answers to the probes."""
    given = []
    behaviour = EDITIONS[edition] if isinstance(edition, str) else edition
    for one in PROBES:
        scenario = one.scenario(pkeys=True)
        results = run_scenario(scenario, behaviour).steps
        steps = [
            {**step.model_dump(mode="json"), **result.model_dump(include={"ret", "errno", "vmas", "bytes"})}
            for step, result in zip(scenario.steps, results, strict=True)
        ]
        for step in steps:
            step["bytes"] = step["bytes"].replace("**", "7f")  # the specification does not know what the vdso holds
        given.append({"name": one.name, "steps": steps})
    return given


def fake_kernel(monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]]) -> None:
    """The next kernel that is asked gives these answers, and a version that means nothing."""

    def run(scenarios: object, kernel: object, *, report: RunReport) -> Iterator[dict[str, Any]]:
        report.hello = Hello(RELEASE, True, 300, True, False)
        yield from answers

    monkeypatch.setattr(probing, "run_scenarios", run)


def refuse(monkeypatch: pytest.MonkeyPatch, edition: str, probe_name: str, errno: Errno) -> None:
    """The next kernel is this edition, but the step before the last of one probe fails on its machine, and so the last
    has nothing to work on."""
    answers = answers_of(edition)
    (answer,) = (one for one in answers if one["name"] == probe_name)
    for step in answer["steps"][-2:]:
        step.update(ret="-1", errno=errno)
    fake_kernel(monkeypatch, answers)


def test_every_two_editions_are_told_apart() -> None:
    """Some probe has different answers for each pair of editions that are kernels."""
    answers = {name: answers_of(name) for name in KERNELS}
    for one, other in itertools.combinations(KERNELS, 2):
        assert answers[one] != answers[other], (one, other)


@pytest.mark.parametrize(("older", "newer"), [*itertools.pairwise(KERNELS)])
def test_a_mixture_of_two_editions_is_neither(older: str, newer: str) -> None:
    """Whichever behaviour alone a kernel has of its neighbour in time, some probe tells."""
    for name, other in ((older, newer), (newer, older)):
        own, its = EDITIONS[name], EDITIONS[other]
        for field in dataclasses.fields(Edition):
            value = getattr(its, field.name)
            if field.name in ("name", "kernel") or getattr(own, field.name) == value:
                continue
            mixture = dataclasses.replace(own, **{field.name: value})
            told = answers_of(own) != answers_of(mixture)
            assert told != ((name, field.name) in SAME), (name, field.name)


def test_preparations_are_the_same_for_all() -> None:
    """A probe whose preparation fails where it fails for no edition is not asked; so no edition may fail in one alone,
    but for guard pages, which not all have."""
    for one in PROBES:
        runs = [run_scenario(one.scenario(pkeys=False), EDITIONS[name]).steps[:-1] for name in KERNELS]
        assert len({tuple((r.ret, r.errno) for r in run) for run in runs}) == 1 or one.name == "prepared-file"


def test_a_limit_of_the_machine_is_no_behaviour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where RLIMIT_MEMLOCK is 0, the probe that locks is left out, and the others decide if they can."""
    refuse(monkeypatch, "v6.18", "half-unlocked", Errno.EPERM)
    found = probe(LiveKernel())
    assert (found.edition, [one.name for one in found.missing]) == ("v6.18", ["half-unlocked"])


def test_what_cannot_be_told_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a vdso nothing tells 7.0 from 6.18."""
    refuse(monkeypatch, "v6.18", "special-dofork", Errno.ENOSYS)
    found = probe(LiveKernel())
    assert (found.edition, found.nearest, found.differing) == (None, "v7.0", ())
    assert found.verdict() == (
        "behaves as v6.18 or v7.0; what would tell them apart cannot be asked on this machine: special-dofork"
    )


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
