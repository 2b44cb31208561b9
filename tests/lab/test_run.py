# SPDX-License-Identifier: MIT
"""The lab on real kernels: this machine's, and where QEMU is there a recorded guest.

The bootable image is looked for in ``shared/`` beside the repository, or where
``MSEAL_SPEC_SHARED`` points; tests that need it are skipped without it.
"""

from __future__ import annotations

import errno
import functools
import json
import lzma
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from checker.documents.files import parse_document
from checker.documents.scenarios import Scenario
from checker.lab import run as lab
from checker.lab.build import build_oracle, cache_dir
from checker.lab.errors import LabError
from checker.lab.generate import generate
from checker.lab.run import (
    HostKernel,
    ImageKernel,
    RunReport,
    main,
    parse_kernel,
    run_scenarios,
)
from checker.scenario import run_scenario
from spec.editions import EDITIONS, Edition
from tests.lab.kernels import (
    PATIENT,
    RECORDED,
    ROOT,
    V10,
    compiled,
    guest,
    has_keys,
    is_running,
    max_map_count,
    plain,
)

MMAP: dict[str, object] = {
    "call": "mmap", "addr": "0x200000000000", "len": 8192, "prot": 3, "flags": 50, "fd": -1, "off": 0,
}  # fmt: skip
FORK: dict[str, object] = {"call": "fork"}
CRASH: dict[str, object] = {"call": "munmap", "addr": "0x500000000000", "len": 1 << 20}


@compiled
def test_host_answers() -> None:
    """A short scenario: results, mappings and contents after every step."""
    steps = [
        MMAP,
        {"call": "write", "addr": "0x200000001000", "byte": 0xAB},
        {"call": "mseal", "addr": "0x200000001000", "len": 4096, "flags": 0},
        {"call": "munmap", "addr": "0x200000001000", "len": 4096},
        {"call": "write", "addr": "0x200000002000", "byte": 1},
        {"call": "munlock", "addr": "0x200000000000", "len": 4096},
    ]
    (answer,) = run_scenarios([{"name": "s", "steps": steps}], HostKernel())
    answered = answer["steps"]
    assert isinstance(answered, list)
    assert [(s["ret"], s["errno"]) for s in answered] == [
        ("p0", 0), ("1", 0), ("0", 0), ("-1", 1), ("-1", 14), ("0", 0),
    ]  # fmt: skip
    assert answered[-1]["vmas"] == ["0-1 rw-p anon", "1-2 rw-p anon sl"]
    assert answered[-1]["bytes"] == "00ab"
    assert "error" not in answer


@compiled
def test_objects_are_made_anew() -> None:
    """What one scenario stores in the file, the next does not see; 101 cannot be written."""
    shared = {**MMAP, "flags": 17, "fd": 100}
    store = {"call": "write", "addr": "0x200000000000", "byte": 1}
    read_only = {**MMAP, "flags": 17, "fd": 101}
    answers = run_scenarios(
        [{"name": "a", "steps": [shared, store]}, {"name": "b", "steps": [read_only, {**read_only, "prot": 1}]}],
        HostKernel(),
    )  # fmt: skip
    steps = [a["steps"] for a in answers]
    assert isinstance(steps[0], list) and isinstance(steps[1], list)
    assert steps[0][1]["bytes"] == "0141"
    assert (steps[1][0]["errno"], steps[1][1]["bytes"]) == (13, "4041")


@compiled
def test_the_run_survives_its_scenarios() -> None:
    """A scenario that kills its process, or a forked one, costs only its own answer."""
    report = RunReport()
    documents: list[dict[str, object]] = [
        {"name": "dies", "steps": [CRASH, FORK]},
        {"name": "child-dies", "steps": [FORK, CRASH]},
        {"name": "fine", "steps": [MMAP]},
        {"name": "empty", "steps": []},
    ]
    answers = list(run_scenarios(documents, HostKernel(), report=report))
    assert [a.get("error") for a in answers] == [
        "signal 11 after 0 of 2 steps",
        "signal 11 after 1 of 2 steps",
        None,
        None,
    ]
    assert report.answered == 4 and len(report.failures) == 2


@compiled
def test_time_limit() -> None:
    """A scenario over its time is killed and said to be."""
    mappings = 12_000_000  # more than any machine makes in that time
    fills = [{"call": "fill", "free": free} for free in (0, max_map_count()) * max(1, mappings // max_map_count())]
    documents = [{"name": "slow", "steps": fills}, {"name": "next", "steps": [MMAP]}]
    slow, after = run_scenarios(documents, HostKernel(), limit_ms=1000)
    assert str(slow["error"]).startswith("timeout after")
    assert "error" not in after


@compiled
def test_room_is_counted() -> None:
    """With one map free a split in the middle fails after its first cut; with two it works."""
    seal = {"call": "mseal", "addr": "0x200000001000", "len": 4096, "flags": 0}
    area = {**MMAP, "len": 3 * 4096}
    documents = [{"name": str(free), "steps": [area, {"call": "fill", "free": free}, seal]} for free in (0, 1, 2)]
    last = [a["steps"][-1] for a in run_scenarios(documents, HostKernel(), limit_ms=PATIENT)]  # type: ignore[index]
    assert [s["errno"] for s in last] == [12, 12, 0]
    assert [len(s["vmas"]) for s in last] == [1, 2, 3]


@compiled
def test_poisoning_is_refused_on_the_host() -> None:
    """MADV_HWPOISON and MADV_SOFT_OFFLINE lack the privilege (EPERM), or the kernel does not know them (EINVAL)."""
    steps = [MMAP] + [{"call": "madvise", "addr": "0x200000000000", "len": 4096, "behavior": b} for b in (100, 101)]
    (answer,) = run_scenarios([{"name": "p", "steps": steps}], HostKernel())
    first, *poison = [s["errno"] for s in answer["steps"]]  # type: ignore[attr-defined]
    assert first == 0 and poison in ([errno.EPERM] * 2, [errno.EINVAL] * 2)


@compiled
def test_answers_repeat() -> None:
    """The same scenarios get the same answers twice."""
    documents = list(generate(11, 60))
    once, twice = (list(run_scenarios(documents, HostKernel(), limit_ms=PATIENT)) for _ in range(2))
    assert once == twice


def recorded(kernel: str) -> list[dict[str, Any]]:
    """The scenarios of a recorded run, as they were written down."""
    with lzma.open(RECORDED / f"{kernel}.jsonl.xz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def keys_matter(document: dict[str, Any], edition: Edition) -> bool:
    """The specification's answers depend on whether the processor has protection keys."""

    def answers(pkeys: bool) -> list[tuple[object, ...]]:
        scenario = parse_document({**document, "kernel": {"pkeys": pkeys}})
        assert isinstance(scenario, Scenario)
        return [(a.ret, a.errno, a.vmas, a.bytes) for a in run_scenario(scenario, edition).steps]

    return answers(True) != answers(False)


@compiled
@plain
@pytest.mark.skipif(
    not os.uname().release.startswith("6.18.44"),
    reason=f"the recorded run is one of 6.18.44, and this is {os.uname().release}",
)
def test_host_agrees_with_its_recorded_run() -> None:
    """Every recorded answer of this kernel comes out again, to the byte. The processor of the recording had no
    protection keys: where there are some, that goes for the scenarios in which they make no difference."""
    documents = recorded("6.18.44")
    if has_keys():
        documents = [document for document in documents if not keys_matter(document, EDITIONS["v6.18"])]
    assert len(documents) > 500
    assert list(run_scenarios(documents, HostKernel(), limit_ms=PATIENT)) == documents


@guest
def test_guest_agrees_with_its_recorded_run() -> None:
    """Every recorded answer of the v10 guest comes out again, to the byte, from one boot."""
    documents, report = recorded("v10"), RunReport()
    assert list(run_scenarios(documents, ImageKernel(V10), report=report)) == documents
    assert report.boots == 1
    assert report.hello is not None
    assert (report.hello.has_pku, report.hello.max_map_count) == (True, 300)


@guest
def test_guest_options() -> None:
    """A guest without protection keys and with swap says so."""
    report = RunReport()
    kernel = ImageKernel(V10, swap_mib=64, cpu="max,pku=off")
    steps = [{"call": "pkey_alloc"}, {"call": "pkru", "bits": 0x55555550}]
    (answer,) = run_scenarios([{"name": "k", "steps": steps}], kernel, report=report)
    answered = answer["steps"]
    assert isinstance(answered, list)
    assert answered[0]["errno"] in (22, 28)  # without PKU some kernels say EINVAL, some ENOSPC
    assert answered[1]["errno"] == 38
    assert report.hello is not None
    assert (report.hello.has_pku, report.hello.has_swap) == (False, True)


@guest
def test_closing_the_run_ends_the_guest(tmp_path: Path) -> None:
    """After close no QEMU of this run is left, though it had thousands of scenarios to go."""
    image = tmp_path / "image-of-this-test"
    shutil.copyfile(V10, image)
    run = run_scenarios(list(generate(5, 3000)), ImageKernel(image))
    next(run)
    run.close()
    assert not is_running(image.name)


@guest
def test_interrupt_ends_the_guest(tmp_path: Path) -> None:
    """Ctrl-C stops the command with status 130 and leaves no QEMU behind."""
    image = tmp_path / "image-of-this-test"
    shutil.copyfile(V10, image)
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text("".join(json.dumps(d) + "\n" for d in generate(5, 3000)), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "checker.lab.run",
        "--kernel",
        str(image),
        str(source),
        str(target),
    ]
    # a shell that runs the tests in its background has SIGINT ignored, and children inherit that
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, preexec_fn=heed)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (target.exists() and target.stat().st_size):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"interrupted" in message
    assert not is_running(image.name)


@guest
def test_an_image_that_does_not_boot(tmp_path: Path) -> None:
    """A file that is no kernel, and a missing one, are said to be so."""
    bad = tmp_path / "junk"
    bad.write_bytes(b"junk" * 1000)
    with pytest.raises(LabError, match="before it said anything"):
        list(run_scenarios([{"name": "x", "steps": []}], ImageKernel(bad, boot_seconds=10)))
    with pytest.raises(LabError, match="no kernel image"):
        parse_kernel(str(tmp_path / "nothing"))


@compiled
def test_a_guest_that_dies_costs_one_scenario(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the whole guest goes down, the scenario is named and the rest run in a new one."""

    def fake(kernel: object, oracle: Path, files: lab._Files) -> list[str]:
        """Run the real program, but end everything where scenario 1 would answer."""
        return ["sh", "-c", f"'{oracle}' '{files.script.path}' | sed '/^S.1$/Q'"]

    monkeypatch.setattr(lab, "_command", fake)
    report = RunReport()
    documents = [{"name": f"s{i}", "steps": [MMAP]} for i in range(4)]
    answers = list(run_scenarios(documents, ImageKernel(tmp_path), report=report))
    assert [("error" in a) for a in answers] == [False, True, False, False]
    assert report.boots == 2
    assert report.failures == ["s1: the guest died or stopped answering in this scenario"]


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without QEMU or gcc the message says what to install."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    empty = lab._MemoryFile()
    with pytest.raises(LabError, match="install qemu-system-x86"):
        lab._command(ImageKernel(tmp_path), tmp_path, lab._Files(empty, empty, empty))
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(LabError, match="no gcc"):
        build_oracle(tmp_path)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(LabError, match="x86-64 Linux only"):
        build_oracle(tmp_path)


@compiled
def test_the_program_is_compiled_once(tmp_path: Path) -> None:
    """The second call finds the first one's file and leaves nothing else behind."""
    first = build_oracle(tmp_path)
    stamp = first.stat().st_mtime_ns
    assert build_oracle(tmp_path) == first
    assert first.stat().st_mtime_ns == stamp
    assert list(tmp_path.iterdir()) == [first]


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME decides where it is absolute, the home folder otherwise."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "mseal-spec" / "lab"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "mseal-spec" / "lab"


@compiled
def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Answers go to the file, a summary to standard error; the status tells of failures."""
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text(json.dumps({"name": "a", "steps": [MMAP]}) + "\n\n", encoding="utf-8")
    assert main(["--kernel", "host", str(source), str(target)]) == 0
    assert json.loads(target.read_text("utf-8"))["steps"][0]["ret"] == "p0"
    assert "1 scenarios on" in capsys.readouterr().err
    source.write_text(json.dumps({"name": "a", "steps": [CRASH]}) + "\n", encoding="utf-8")
    assert main([str(source), str(target)]) == 1
    source.write_text("[]\n", encoding="utf-8")
    assert main([str(source), str(target)]) == 2
    source.write_text("{\n", encoding="utf-8")
    assert main([str(source), str(target)]) == 2
    assert ":1:" in capsys.readouterr().err
    assert main([str(tmp_path / "none"), str(target)]) == 2
