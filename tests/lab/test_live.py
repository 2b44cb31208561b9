# SPDX-License-Identifier: MIT
"""The running kernel, asked through ctypes: the same answers as the C program's, and a parent that survives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import checker.lab
from checker.lab import run
from checker.lab.errors import LabError
from checker.lab.generate import generate
from checker.lab.run import HostKernel, LiveKernel, RunReport, parse_kernel, run_scenarios
from tests.lab.counterexamples import AT, PAGE
from tests.lab.kernels import PATIENT, compiled, max_map_count, running

LIVE = Path(checker.lab.__file__).parent / "live.py"


def mapping(page: int, pages: int = 1, **more: Any) -> dict[str, Any]:
    """A step that maps private anonymous memory in the window."""
    place = {"addr": AT + page * PAGE, "len": pages * PAGE}
    return {"call": "mmap", **place, "prot": 3, "flags": 0x32, **more}


def ranged(call: str, page: int, pages: int, **more: Any) -> dict[str, Any]:
    """A step on a range of the window."""
    return {"call": call, "addr": AT + page * PAGE, "len": pages * PAGE, **more}


SPECIAL_STEPS: list[dict[str, Any]] = [
    {
        "name": "files",
        "steps": [
            {"call": "file", "fd": 110, "pages": 2, "contents": "0a0b"},
            mapping(0, 3, flags=0x11, fd=110),
            mapping(4, 2, prot=1, flags=0x12, fd=111, off=PAGE),
            mapping(8, 1, flags=0x11, fd=111),
            mapping(8, 1, flags=0x12, fd=102),
            {"call": "write", "addr": AT + PAGE, "byte": 0xEE},
            {"call": "write", "addr": AT + 2 * PAGE, "byte": 1},
        ],
    },
    {
        "name": "reclaim",
        "steps": [
            mapping(0, 2),
            {"call": "write", "addr": AT, "byte": 7},
            {"call": "write", "addr": AT + PAGE, "byte": 8},
            ranged("madvise", 0, 1, behavior=8),
            ranged("mprotect", 0, 2, prot=1),
            ranged("mseal", 0, 2),
            {"call": "reclaim", "addr": AT + 5},
            {"call": "reclaim", "addr": AT + PAGE},
            {"call": "reclaim", "addr": AT + 9 * PAGE},
        ],
    },
    {
        "name": "limits",
        "steps": [
            mapping(0, 2),
            mapping(1, 2, failures=["mmap: RLIMIT_AS or the accounting has no room"]),
            mapping(10),
            ranged("mlock", 0, 1, failures=["mlock: RLIMIT_MEMLOCK has no room"]),
            ranged("mlock", 0, 1),
            {"call": "brk", "addr": "brk+0x2000"},
            {"call": "brk", "addr": "brk+0x4001", "failures": ["brk: memory or a limit on it runs out"]},
            {"call": "brk", "addr": "brk+0x4001"},
            {"call": "brk", "addr": "brk+0x1000"},
        ],
    },
    {"name": "vdso", "steps": [{"call": "vdso", "addr": AT}, ranged("mseal", 0, 1), ranged("mseal", 0, 2)]},
    {
        "name": "over the limit",
        "steps": [
            mapping(0, 3),
            ranged("mseal", 2, 1),
            {"call": "fill", "free": -1},
            ranged("munmap", 1, 2),
            mapping(9),
        ],
    },
    {
        "name": "a child",
        "steps": [
            mapping(0, 2),
            {"call": "write", "addr": AT, "byte": 7},
            ranged("madvise", 0, 1, behavior=18),
            {"call": "fork"},
            {"call": "write", "addr": AT + PAGE, "byte": 9},
            {"call": "pkru", "bits": 0x55555550},
            {"call": "pkey_alloc"},
        ],
    },
]  # fmt: skip


@compiled
def test_both_programs_give_the_same_answers() -> None:
    """Random scenarios of all flavours, and one for each kind of step, to the byte."""
    documents = [*generate(21, 150), *SPECIAL_STEPS]
    expected = list(run_scenarios(documents, HostKernel(), limit_ms=PATIENT))
    # what the vdso's second page begins with is the kernel's business, but it is the same in both
    assert list(run_scenarios(documents, LiveKernel(), limit_ms=PATIENT)) == expected
    assert not [answer["error"] for answer in expected if "error" in answer]


@running
def test_answers() -> None:
    """A short scenario, with answers that the kernel's documentation gives."""
    steps = [
        mapping(0, 2),
        {"call": "write", "addr": AT + PAGE, "byte": 0xAB},
        ranged("mseal", 1, 1),
        ranged("munmap", 1, 1),
        {"call": "write", "addr": AT + 2 * PAGE, "byte": 1},
    ]
    (answer,) = run_scenarios([{"name": "s", "steps": steps}], LiveKernel())
    answered = answer["steps"]
    assert isinstance(answered, list)
    assert [(s["ret"], s["errno"]) for s in answered] == [("p0", 0), ("1", 0), ("0", 0), ("-1", 1), ("-1", 14)]
    assert answered[-1]["vmas"] == ["0-1 rw-p anon", "1-2 rw-p anon sl"]
    assert answered[-1]["bytes"] == "00ab"


@running
def test_the_parent_survives() -> None:
    """A child that unmaps its own program, a grandchild that does, and one that never ends cost their answers only."""
    crash = {"call": "munmap", "addr": 0x10000, "len": (1 << 47) - 0x11000}
    mappings = 24_000_000  # more than any machine makes in the time that there is
    fills = [{"call": "fill", "free": free} for free in (0, max_map_count()) * max(1, mappings // max_map_count())]
    documents: list[dict[str, Any]] = [
        {"name": "dies", "steps": [mapping(0), crash, mapping(1)]},
        {"name": "child dies", "steps": [mapping(0), {"call": "fork"}, crash]},
        {"name": "slow", "steps": fills},
        {"name": "fine", "steps": [mapping(0)]},
    ]
    report = RunReport()
    answers = list(run_scenarios(documents, LiveKernel(), limit_ms=2500, report=report))
    assert [answer.get("error", "").split(" ")[0] for answer in answers] == ["signal", "signal", "timeout", ""]
    assert str(answers[0]["error"]).endswith("after 1 of 3 steps")
    assert len(report.failures) == 3


@running
def test_no_setting_of_the_machine_changes() -> None:
    """The limit on maps is reached by mapping, and is what it was afterwards."""
    limit = Path("/proc/sys/vm/max_map_count")
    before = limit.read_text("ascii")
    (answer,) = run_scenarios(
        [{"name": "f", "steps": [{"call": "fill", "free": 0}, mapping(0), mapping(2)]}],
        LiveKernel(),
        limit_ms=PATIENT,
    )
    assert [s["errno"] for s in answer["steps"]] == [0, 0, 12]  # type: ignore[attr-defined]
    assert limit.read_text("ascii") == before


@running
def test_memory_is_limited() -> None:
    """A scenario that wants more address space than it may have is refused by its own process's limit."""
    huge = mapping(0, 1 << 24, flags=0x4022)
    (answer,) = run_scenarios([{"name": "h", "steps": [huge]}], LiveKernel())
    assert answer["steps"][0]["errno"] == 12  # type: ignore[index]


def test_failures_that_no_program_brings_about() -> None:
    """They are refused before anything runs, by name."""
    step = mapping(0, failures=["mmap: memory for the new VMA runs out"])
    with pytest.raises(LabError, match="at will"):
        list(run_scenarios([{"name": "f", "steps": [step]}], LiveKernel()))


def test_the_kernel_by_name() -> None:
    """`running` needs no compiler, `host` does; both are this machine's kernel."""
    assert isinstance(parse_kernel("running"), LiveKernel)
    assert os.uname().release in parse_kernel("running").describe()


@running
def test_the_program_imports_nothing_of_the_package(tmp_path: Path) -> None:
    """It runs from anywhere, alone, and imports no solver."""
    script = tmp_path / "script"
    script.write_text("S 0\nu 200000000000 1000\n", encoding="ascii")
    alone = tmp_path / "live.py"
    alone.write_bytes(LIVE.read_bytes())
    done = subprocess.run(
        [sys.executable, "-S", "-P", str(alone), str(script)],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("H\t") and lines[1:] == ["S\t0", "0\t0\t=\t=", "E\tok", "Q\t1"], done.stderr


DIES_ONCE = """
import os, pathlib, shlex, signal, sys
marks = pathlib.Path({folder!r})
mark = marks / str(len(list(marks.iterdir())))
if int(mark.name) < {times}:
    mark.touch()
    {first}
    os.kill(os.getpid(), signal.SIGKILL)
os.execv(sys.executable, [sys.executable, "-S", "-s", "-B", "-P", {live!r}, *sys.argv[1:]])
"""
GREETS = """os.system(
        shlex.join([sys.executable, "-S", "-s", "-B", "-P", {live!r}, "/proc/self/fd/0"]) + " | head -n 1"
    )"""


@pytest.mark.parametrize("first", ["pass", GREETS], ids=["before it speaks", "in a scenario"])
def test_a_program_that_is_killed_is_started_once_more(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = str(run._LIVE)
    (tmp_path / "marks").mkdir()
    program = tmp_path / "program.py"
    monkeypatch.setattr(run, "_LIVE", program)
    for times in (1, 3):
        told = {"folder": str(tmp_path / "marks"), "times": times, "live": live}
        program.write_text(DIES_ONCE.format(first=first.format(live=live), **told))
        asked = run_scenarios([{"name": "s", "steps": []}], LiveKernel(), limit_ms=PATIENT)
        if times == 1:
            assert list(asked) == [{"name": "s", "steps": []}]
        elif first == "pass":
            with pytest.raises(LabError, match="the program that asks the kernel was killed by SIGKILL before it said"):
                list(asked)
        else:
            (answer,) = asked
            assert answer["error"] == "the program that asks the kernel was lost twice in this scenario"
