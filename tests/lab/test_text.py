# SPDX-License-Identifier: MIT
"""The lab's text forms: scripts, answers, the initramfs, generated scenarios, source lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checker.lab.cpio import archive
from checker.lab.errors import LabError
from checker.lab.fetch import (
    Source,
    choose_package,
    source_for,
    suites_for,
    system_sources,
    versions_of,
)
from checker.lab.generate import FIXED, FLAVOURS, TASK_SIZE, generate, scenario
from checker.lab.script import (
    BadStep,
    Hello,
    ScriptOptions,
    decode,
    decode_hello,
    encode,
    encode_step,
)


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (
            {"call": "mmap", "addr": "0x200000000000", "len": 4096, "prot": 3, "flags": 50, "fd": -1, "off": 0},
            "m 200000000000 1000 3 32 -1 0",
        ),
        ({"call": "mmap", "addr": "brk+0xb000", "len": 1, "prot": 0, "flags": 0}, "m b0b000 1 0 0 -1 0"),
        ({"call": "madvise", "addr": 0, "len": 2**64 - 1, "behavior": -1}, "a 0 ffffffffffffffff -1"),
        ({"call": "mremap", "addr": 11, "old_len": 1, "new_len": 2, "flags": 1}, "r 0b 1 2 1 0"),
        ({"call": "fork", "ret": "0", "errno": 0}, "F"),
        ({"call": "pkey_alloc"}, "A 0 0"),
    ],
)  # fmt: skip
def test_a_step_becomes_a_line(step: dict[str, object], line: str) -> None:
    """Numbers are hexadecimal; a break-relative one is marked, a leading digit b is not."""
    assert encode_step(step) == line


@pytest.mark.parametrize(
    "step",
    [
        {"call": "zap"},
        {},
        {"call": "munmap", "addr": 0},
        {"call": "munmap", "addr": 0, "len": 2**64},
        {"call": "munmap", "addr": 0, "len": True},
        {"call": "munmap", "addr": 0, "len": None},
    ],
)
def test_a_step_that_cannot_be_expressed(step: dict[str, object]) -> None:
    """Unknown calls, missing arguments and what is no 64-bit number are refused."""
    with pytest.raises(BadStep):
        encode_step(step)


def test_a_bad_scenario_is_named() -> None:
    """The message has the scenario's name, the step and the reason."""
    bad = {"name": "x", "steps": [{"call": "fork"}, {"call": "brk", "addr": "nowhere"}]}
    with pytest.raises(LabError, match=r"'x'.*step 1.*nowhere"):
        encode([(0, bad)], ScriptOptions())
    with pytest.raises(LabError, match="no list of steps"):
        encode([(0, {"name": "y"})], ScriptOptions())


def test_script_options() -> None:
    """Guest-only settings appear only where they are asked for."""
    assert encode([], ScriptOptions(limit_ms=16)) == b"L 10\n"
    assert encode([], ScriptOptions(1, 300, 64)) == b"L 1\nM 12c\nZ 40\n"


def test_answers_are_filled_in() -> None:
    """Repeated state is spelled out again, old answers are replaced."""
    asked = {
        "name": "n",
        "steps": [{"call": "fork", "ret": "old"}, {"call": "fork"}, {"call": "fork"}],
    }
    lines = ["p0\t0\t0-2 rw-p anon;2-3 r--p file@2 k1 sl\t00??..41", "-1\t12\t=\t=", "0\t0\t-\t-"]
    answer = decode(asked, lines, "ok")
    vmas = ["0-2 rw-p anon", "2-3 r--p file@2 k1 sl"]
    assert answer == {
        "name": "n",
        "steps": [
            {"call": "fork", "ret": "p0", "errno": 0, "vmas": vmas, "bytes": "00??..41"},
            {"call": "fork", "ret": "-1", "errno": 12, "vmas": vmas, "bytes": "00??..41"},
            {"call": "fork", "ret": "0", "errno": 0, "vmas": [], "bytes": ""},
        ],
    }


def test_an_unfinished_scenario_says_so() -> None:
    """What was answered is kept; more answers than steps are an error."""
    asked = {"name": "n", "steps": [{"call": "fork"}, {"call": "fork"}]}
    answer = decode(asked, ["0\t0\t-\t-"], "signal 11")
    assert answer["error"] == "signal 11 after 1 of 2 steps"
    with pytest.raises(LabError):
        decode(asked, ["0\t0\t-\t-"] * 3, "ok")
    with pytest.raises(LabError):
        decode(asked, ["noise"], "ok")


def test_greeting() -> None:
    """The first line tells what the kernel has; anything else is refused."""
    assert decode_hello("H\t6.12.1\t1\t300\t1\t0") == Hello("6.12.1", True, 300, True, False)
    with pytest.raises(LabError):
        decode_hello("Linux version 6.12")


def _members(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Return the members of a newc archive: name to (mode, content)."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_at = at + 110
        name = data[name_at : name_at + fields[11] - 1].decode()
        body_at = (name_at + fields[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], data[body_at : body_at + fields[6]])
        at = (body_at + fields[6] + 3) // 4 * 4


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 4097])
def test_the_initramfs_reads_back(size: int) -> None:
    """Every length of content survives the padding, and equal inputs give equal bytes."""
    files = {"init": (0o755, b"x" * size), "script": (0o644, b"S 0\n")}
    data = archive(files)
    assert data == archive(files)
    assert len(data) % 512 == 0
    members = _members(data)
    assert members["init"] == (0o100755, b"x" * size)
    assert members["script"] == (0o100644, b"S 0\n")
    assert members["dev"][0] == 0o40755
    assert members["dev/console"][0] == 0o20600


def test_generation_is_a_function_of_seed_and_index() -> None:
    """Equal seeds give equal scenarios, a longer run begins with the shorter, seeds differ."""
    some = list(generate(7, 50))
    assert some == list(generate(7, 80))[:50]
    assert some != list(generate(8, 50))
    assert scenario(7, 31) == some[31]


PROGRAM = 0x500000000000
"""Where the program that executes scenarios is; its stack is above."""


def reaches_program(step: dict[str, object]) -> bool:
    """The call would act on the memory of the program that makes it."""

    def number(name: str) -> int:
        value = step.get(name, 0)
        return int(value, 16) if isinstance(value, str) else int(str(value))

    if str(step.get("addr")).startswith("brk+"):
        return False
    call, address, size = step["call"], number("addr"), number("len")
    end = (address + size + 4095) & -4096
    if call == "munmap":
        return PROGRAM < end <= TASK_SIZE and address < TASK_SIZE - 4096  # beyond that it is refused
    if call == "madvise":
        return PROGRAM < end < 1 << 64 and address < TASK_SIZE - 4096
    if call == "mmap" and number("flags") & FIXED:
        return PROGRAM < end <= TASK_SIZE
    if call == "mremap":
        old_end, new = address + number("old_len"), number("new_addr")
        return PROGRAM < old_end <= TASK_SIZE - 4096 or PROGRAM < new < TASK_SIZE - 65536
    return False


def test_generated_scenarios_can_be_run() -> None:
    """Each is expressible, JSON, and has nothing that damages the program or the machine that run it."""
    names = set()
    for document in generate(3, 1500):
        names.add(str(document["name"]).rsplit("-", 1)[1])
        encode([(0, document)], ScriptOptions())
        assert json.loads(json.dumps(document)) == document
        steps = document["steps"]
        assert isinstance(steps, list)
        for step in steps:
            assert not reaches_program(step), step
            if step["call"] == "pkru":
                assert step["bits"] & 3 == 0
    assert names == set(FLAVOURS)


def test_a_flavour_can_be_asked_for() -> None:
    """Only the named kinds come out; an unknown one is an error."""
    assert all(str(d["name"]).endswith("-heap") for d in generate(1, 5, {"heap": 1}))
    with pytest.raises(KeyError):
        scenario(1, 0, {"nothing": 1})


def test_source_lists_are_read(tmp_path: Path) -> None:
    """Both forms of apt's lists are understood; comments and source entries are left out."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://commented/debian x main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://one/debian bookworm main contrib # c\n"
        "deb-src http://one/debian bookworm main\n",
        encoding="utf-8",
    )
    (tmp_path / "sources.list.d" / "d.sources").write_text(
        "Types: deb deb-src\n# a comment\nURIs: http://two/debian-security\n"
        "Suites: bookworm-security\nComponents: main\nSigned-By: /s.gpg\n\n"
        "Types: deb\nURIs: http://three/x\nSuites: y\nComponents: main\nEnabled: no\n",
        encoding="utf-8",
    )
    sources = system_sources(tmp_path)
    assert [s.uri for s in sources] == ["http://one/debian", "http://two/debian-security"]
    assert source_for("trixie-backports", sources) == (
        "Types: deb\nURIs: http://one/debian\nSuites: trixie-backports\nComponents: main\n"
        "Architectures: amd64\nSigned-By: /k.gpg\n"
    )
    assert "URIs: http://two/debian-security\nSuites: bookworm-security" in source_for("bookworm-security", sources)
    with pytest.raises(LabError):
        source_for("bookworm-security", [Source("http://one/debian", ("bookworm",), ("main",))])


def test_packages_are_chosen_by_version() -> None:
    """Signed before unsigned, the package with the image before the one that needs it."""
    names = [
        "linux-image-6.12.117+deb12-cloud-amd64-dbg",
        "linux-image-6.12.117+deb12-cloud-amd64-unsigned",
        "linux-image-6.12.117+deb12-cloud-amd64",
        "linux-image-7.3.4+deb13-cloud-amd64",
        "linux-binary-7.3.4+deb13-cloud-amd64",
    ]
    assert choose_package("6.12.117", names) == names[2]
    assert choose_package("6.12.117", names[:2]) == names[1]
    assert choose_package("7.3.4", names) == names[4]
    with pytest.raises(LabError, match=r"6\.12\.117, 7\.3\.4"):
        choose_package("6.12.11", names)


def test_versions_that_there_are() -> None:
    """Each version once, by number and not by letter; kernels without mseal are left out."""
    names = [
        "linux-image-6.9.12-cloud-amd64",
        "linux-image-6.1.0-44-cloud-amd64",
        "linux-image-6.18.9+deb13-cloud-amd64",
        "linux-image-6.18.15+deb13-cloud-amd64",
        "linux-image-6.18.15+deb13-cloud-amd64-unsigned",
        "linux-image-6.18.15+deb13-amd64",
        "linux-binary-7.3.4+deb13-cloud-amd64",
    ]
    assert versions_of(names) == ["6.18.9", "6.18.15", "7.3.4"]


def test_suites() -> None:
    """The suite that is known for a version is asked first, the others all the same."""
    assert suites_for("6.12.117")[:3] == ["bookworm-security", "trixie-security", "bookworm-backports"]
    assert suites_for("6.19.14")[0] == suites_for("7.3.4")[0] == "trixie-backports"
    assert sorted(suites_for("5.10.1")) == sorted(suites_for("7.3.4"))


def test_only_entries_of_debian_are_derived_from() -> None:
    """A foreign archive that also has a component main is passed over, whatever its place in the list."""
    foreign = Source("http://cloud/apt", ("cloud-sdk-bookworm",), ("main",))
    own = Source("http://one/debian", ("bookworm", "bookworm-updates"), ("main",))
    assert "URIs: http://one/debian\n" in source_for("trixie-backports", [foreign, own])
    with pytest.raises(LabError, match="path of a vmlinuz"):
        source_for("trixie-backports", [foreign])
