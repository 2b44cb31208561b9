# SPDX-License-Identifier: MIT
"""OpenBSD's mimmutable(2) as an edition, held against what its manual pages and sources say (docs/MIMMUTABLE.md).

Each expected answer is worked by hand from the pages mimmutable(2), mprotect(2), munmap(2), mmap(2), madvise(2) and
minherit(2). Layouts are read as in tests/kernel_runs/README.md: `sl` is sealed, that is immutable.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checker.calls import explore_body
from checker.documents.base import BadDocument
from checker.documents.counterexamples import Counterexample
from checker.documents.layouts import LayoutDoc
from checker.documents.scenarios import Scenario, StepResult
from checker.scenario import re_execute, run_scenario
from reports.cli import main
from spec.editions import EDITIONS
from spec.errors import Errno
from spec.syscalls import CALLS
from tests.checker.strategies import examples

OPENBSD = EDITIONS["mimmutable"]
AT = 0x2000_0000_0000
READ, WRITE, EXEC = 1, 2, 4
PRIVATE, SHARED, ANONYMOUS, FIXED = 2, 1, 0x20, 0x10
NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE = 0, 1, 2, 3, 4, 8
DONTFORK, DOFORK, WIPEONFORK, KEEPONFORK = 10, 11, 18, 19


def page(n: int) -> int:
    """Byte address of page n of the window."""
    return AT + (n << 12)


def mmap(
    n: int, pages: int, prot: int = READ | WRITE, fd: int = -1, flags: int = PRIVATE | ANONYMOUS
) -> dict[str, Any]:
    flags = flags | FIXED
    return {"call": "mmap", "addr": page(n), "len": pages << 12, "prot": prot, "flags": flags, "fd": fd, "off": 0}


def write(n: int, byte: int) -> dict[str, Any]:
    return {"call": "write", "addr": page(n), "byte": byte}


def seal(n: int, pages: int, **more: int) -> dict[str, Any]:
    return {"call": "mseal", "addr": page(n), "len": pages << 12, **more}


def munmap(n: int, pages: int) -> dict[str, Any]:
    return {"call": "munmap", "addr": page(n), "len": pages << 12}


def mprotect(n: int, pages: int, prot: int) -> dict[str, Any]:
    return {"call": "mprotect", "addr": page(n), "len": pages << 12, "prot": prot}


def madvise(n: int, pages: int, advice: int) -> dict[str, Any]:
    return {"call": "madvise", "addr": page(n), "len": pages << 12, "behavior": advice}


def run(*steps: dict[str, Any], **more: Any) -> list[StepResult]:
    """The answers of the edition, without those to the calls that only set the scene and succeed."""
    scenario = Scenario.model_validate({"name": "n", "steps": list(steps), **more})
    return list(run_scenario(scenario, OPENBSD).steps)


def refused(errno: Errno, *steps: dict[str, Any], **more: Any) -> None:
    """The last call is refused with the errno and changes nothing at all; those before it succeed."""
    *before, last = run(*steps, **more)
    assert last.errno == errno, last
    for scene in before[-1:]:
        assert scene.errno == 0
        assert (last.vmas, last.bytes, last.map_count) == (scene.vmas, scene.bytes, scene.map_count)


# mimmutable(2) --------------------------------------------------------------------------------------------------------


def test_gaps_are_skipped_and_do_not_remember() -> None:
    sealed, refilled, gone = run(mmap(0, 1), mmap(2, 1), seal(0, 3), mmap(1, 1), munmap(1, 1))[2:]
    assert (sealed.errno, sealed.vmas) == (0, ("0-1 rw-p anon sl", "2-3 rw-p anon sl"))
    assert refilled.vmas[1] == "1-2 rw-p anon"
    assert (gone.errno, gone.vmas) == (0, sealed.vmas)


def test_where_nothing_is_mapped_nothing_is_sealed() -> None:
    (nothing,) = run(seal(0, 4))
    assert (nothing.errno, nothing.vmas) == (0, ())


def test_twice_is_as_good_as_once() -> None:
    once, twice, wider = run(mmap(0, 3), seal(0, 2), seal(0, 2), seal(0, 3))[1:]
    assert (once.errno, once.vmas) == (0, ("0-2 rw-p anon sl", "2-3 rw-p anon"))
    assert (twice.errno, twice.vmas, twice.map_count) == (0, once.vmas, once.map_count)
    assert (wider.errno, wider.vmas) == (0, ("0-3 rw-p anon sl",))


@pytest.mark.parametrize(
    ("first", "length", "sealed"),
    [
        (page(1) + 100, 1, "1-2"),
        (page(1) + 4095, 2, "1-3"),
        (page(1) + 1, 4096, "1-3"),
        (page(1), 1, "1-2"),
        (page(1) + 1, 0, "1-2"),  # the page of an unaligned address belongs to the range
        (page(1), 0, ""),
    ],
)
def test_ranges_are_widened_to_whole_pages(first: int, length: int, sealed: str) -> None:
    answer = run(mmap(0, 4), {"call": "mseal", "addr": first, "len": length})[-1]
    assert answer.errno == 0
    assert [line.split()[0] for line in answer.vmas if line.endswith("sl")] == ([sealed] if sealed else [])


@pytest.mark.parametrize("call", ["mseal", "munmap", "mprotect", "madvise"])
@pytest.mark.parametrize(
    ("first", "length"), [((1 << 64) - 4096, 4096), (4096, (1 << 64) - 4096), (1, (1 << 64) - 1), (0, (1 << 64) - 1)]
)
def test_a_range_that_wraps_around_is_refused(call: str, first: int, length: int) -> None:
    rest = {"mprotect": {"prot": READ}, "madvise": {"behavior": FREE}}.get(call, {})
    refused(Errno.EINVAL, {"call": call, "addr": first, "len": length, **rest})


def test_there_are_no_flags() -> None:
    assert run(mmap(0, 1), seal(0, 1, flags=7))[-1].vmas == ("0-1 rw-p anon sl",)


def test_memory_that_is_wiped_on_fork_cannot_be_sealed() -> None:
    refused(Errno.EPERM, mmap(0, 1), mmap(1, 1, READ), madvise(0, 1, WIPEONFORK), seal(0, 2))
    *_, kept, sealed = run(mmap(0, 1), madvise(0, 1, WIPEONFORK), madvise(0, 1, KEEPONFORK), seal(0, 1))
    assert (kept.errno, sealed.errno) == (0, 0)


def test_the_number_of_mappings_has_no_limit() -> None:
    steps = (
        mmap(0, 9),
        {"call": "fill", "free": 0},
        seal(1, 1),
        mprotect(3, 1, READ),
        munmap(5, 1),
        madvise(7, 1, RANDOM),
    )
    answers = run(*steps, mmap(20, 1))
    assert [answer.errno for answer in answers] == [0] * len(answers)
    assert answers[-1].map_count > 65530 + 7
    in_linux = run_scenario(Scenario.model_validate({"name": "n", "steps": list(steps)}), EDITIONS["two-pass"])
    assert [answer.errno_name for answer in in_linux.steps[2:]] == ["ENOMEM", "ENOMEM", "ENOMEM", "EAGAIN"]


# mprotect(2) ----------------------------------------------------------------------------------------------------------


def test_mprotect_over_a_seal_changes_nothing() -> None:
    for sealed in (0, 1, 2):
        refused(Errno.EPERM, mmap(0, 3), seal(sealed, 1), mprotect(0, 3, READ))


def test_not_even_permissions_are_dropped() -> None:
    """OpenBSD 7.3 let immutable memory go from read-write to read-only; later ones do not."""
    for prot in (0, READ, READ | WRITE):
        refused(Errno.EPERM, mmap(0, 1), seal(0, 1), mprotect(0, 1, prot))


def test_mprotect_skips_gaps() -> None:
    answer = run(mmap(0, 1), mmap(2, 1), mprotect(0, 4, READ))[-1]
    assert (answer.errno, answer.vmas) == (0, ("0-1 r--p anon", "2-3 r--p anon"))
    assert run(mprotect(0, 1, READ))[-1].errno == 0
    refused(Errno.EPERM, mmap(0, 1), mmap(2, 1), seal(2, 1), mprotect(0, 4, READ))


def test_the_first_mapping_that_objects_decides() -> None:
    """Seals and missing permissions are looked for in one pass, and nothing changes before it."""
    read_only = mmap(2, 1, READ, 101, SHARED)
    refused(Errno.EACCES, mmap(0, 1, READ), read_only, mprotect(0, 3, READ | WRITE))
    refused(Errno.EACCES, mmap(0, 1, READ), read_only, mmap(3, 1), seal(3, 1), mprotect(0, 4, READ | WRITE))
    refused(Errno.EPERM, mmap(0, 1, READ), read_only, seal(0, 1), mprotect(0, 3, READ | WRITE))
    refused(Errno.EPERM, read_only, seal(2, 1), mprotect(2, 1, READ | WRITE))


@pytest.mark.parametrize("prot", [8, 0x0100_0000, 0x0200_0000 | READ])
def test_protection_is_read_write_and_execute(prot: int) -> None:
    refused(Errno.EINVAL, mmap(0, 1), mprotect(0, 1, prot))


# munmap(2), mmap(2) ---------------------------------------------------------------------------------------------------


def test_munmap_over_a_seal_changes_nothing() -> None:
    for sealed in (0, 1, 2):
        refused(Errno.EPERM, mmap(0, 3), seal(sealed, 1), munmap(0, 3))
    refused(Errno.EPERM, mmap(0, 4), seal(2, 2), munmap(1, 2))


def test_munmap_wants_the_whole_range_mapped() -> None:
    refused(Errno.EINVAL, mmap(0, 1), mmap(2, 1), munmap(0, 3))
    refused(Errno.EINVAL, mmap(0, 1), seal(0, 1), munmap(0, 2))  # before it looks for seals
    refused(Errno.EINVAL, mmap(0, 1), {"call": "munmap", "addr": (1 << 47) - 4096, "len": 4096})
    assert run(mmap(0, 2), {"call": "munmap", "addr": page(0) + 4095, "len": 2})[-1].vmas == ()


def test_munmap_of_nothing_is_no_error() -> None:
    assert run(mmap(0, 1), munmap(0, 0))[-1].errno == 0


def test_mmap_does_not_replace_sealed_memory() -> None:
    refused(Errno.EPERM, mmap(0, 3), write(0, 7), seal(1, 1), mmap(0, 3, READ))
    replaced = run(mmap(0, 3), seal(2, 1), mmap(0, 2, READ))[-1]
    assert (replaced.errno, replaced.vmas) == (0, ("0-2 r--p anon", "2-3 rw-p anon sl"))


# madvise(2), minherit(2) ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("advice", [DONTNEED, FREE, DONTFORK, DOFORK, WIPEONFORK, KEEPONFORK])
@pytest.mark.parametrize("prot", [READ, READ | WRITE])
def test_advice_on_sealed_memory_is_refused(advice: int, prot: int) -> None:
    """Writable or not, its own or shared, in whichever part of the range: unlike Linux."""
    for fd, flags in ((-1, PRIVATE | ANONYMOUS), (-1, SHARED | ANONYMOUS), (100, PRIVATE), (100, SHARED)):
        refused(Errno.EPERM, mmap(0, 1), mmap(1, 1, prot, fd, flags), write(0, 7), seal(1, 1), madvise(0, 2, advice))


@pytest.mark.parametrize("advice", [NORMAL, RANDOM, SEQUENTIAL, WILLNEED])
def test_hints_are_taken_on_sealed_memory(advice: int) -> None:
    answers = run(mmap(0, 2), write(0, 7), seal(0, 1), madvise(0, 2, advice))
    assert (answers[-1].errno, answers[-1].bytes) == (0, "0700")


@pytest.mark.parametrize("advice", [5, 9, 12, 14, 16, 20, 21, 22, 24, 25, 100, 102])
def test_what_openbsd_does_not_know(advice: int) -> None:
    refused(Errno.EINVAL, mmap(0, 1), madvise(0, 1, advice))


def test_only_free_discards() -> None:
    kept, freed = run(mmap(0, 2), write(0, 7), write(1, 9), madvise(0, 2, DONTNEED), madvise(0, 1, FREE))[-2:]
    assert (kept.errno, kept.bytes) == (0, "0709")
    assert (freed.errno, freed.bytes) == (0, "0009")
    private_file = run(mmap(0, 1, READ | WRITE, 100, PRIVATE), write(0, 7), madvise(0, 1, FREE))
    assert [answer.bytes for answer in private_file] == ["40", "07", "40"]


def test_locked_memory_is_not_freed() -> None:
    layout = {
        "vmas": [{"start": page(0) >> 12, "end": (page(0) >> 12) + 1, "anon_vma": 7, "flags": ["locked"]}],
        "pages": [{"page": page(0) >> 12, "own": 5}],
    }
    answer = run(madvise(0, 1, FREE), layout=layout)[-1]
    assert (answer.errno, answer.bytes) == (0, "05")


def test_gaps_matter_only_to_what_touches_pages() -> None:
    for advice in (DONTNEED, FREE):
        refused(Errno.EFAULT, mmap(0, 1), write(0, 7), madvise(0, 2, advice))
        refused(Errno.EFAULT, mmap(0, 1), seal(0, 1), madvise(0, 2, advice))  # before it looks for seals
    for advice in (RANDOM, DONTFORK, WIPEONFORK):
        assert run(mmap(0, 1), madvise(0, 2, advice))[-1].errno == 0


def test_a_child_reads_what_was_sealed() -> None:
    """Weakness W25 of Linux: wiped on fork, then sealed. Here each of the two refuses the other."""
    refused(Errno.EPERM, mmap(0, 1, READ), madvise(0, 1, WIPEONFORK))
    steps = (mmap(0, 1), write(0, 7), madvise(0, 1, WIPEONFORK), mprotect(0, 1, READ), seal(0, 1), {"call": "fork"})
    here, linux = (
        run_scenario(Scenario.model_validate({"name": "n", "steps": list(steps)}), edition).steps
        for edition in (OPENBSD, EDITIONS["v6.18"])
    )
    assert (here[4].errno_name, linux[4].errno_name) == ("EPERM", "OK")
    assert (linux[5].vmas, linux[5].bytes) == (("0-1 r--p anon sl wf",), "00")
    child = run(mmap(0, 1), write(0, 7), mprotect(0, 1, READ), seal(0, 1), {"call": "fork"})[-1]
    assert (child.vmas, child.bytes) == (("0-1 r--p anon sl",), "07")


# whatever the address space -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["mseal", "munmap", "mprotect", "madvise"])
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_call_that_fails_changes_nothing(call: str, data: st.DataObject) -> None:
    example = data.draw(examples(call, OPENBSD))
    seen, after = example.run(OPENBSD)
    if seen.errno is not Errno.OK:
        assert LayoutDoc.from_state(after) == LayoutDoc.from_state(example.state)


@pytest.mark.parametrize(
    ("call", "errnos"),
    [
        ("mseal", {"OK", "EPERM", "EINVAL"}),
        ("munmap", {"OK", "EPERM", "EINVAL"}),
        ("mprotect", {"OK", "EPERM", "EACCES", "EINVAL"}),
        ("madvise", {"OK", "EPERM", "EFAULT", "EINVAL"}),
    ],
)
def test_the_unbounded_reading_ends_in_the_documented_ways(call: str, errnos: set[str]) -> None:
    """EINVAL is for special mappings and huge pages, which refuse to be cut; OpenBSD has neither."""
    ends = {path.transition.errno.name for path in explore_body(call, OPENBSD).paths}
    assert ends == errnos


# what the edition says nothing of -------------------------------------------------------------------------------------

SILENT = {"call": "mremap", "addr": AT, "old_len": 4096, "new_len": 8192, "flags": 1, "new_addr": 0}


def test_calls_that_are_left_out() -> None:
    assert set(OPENBSD.left_out) < set(CALLS)
    assert {name for name in CALLS if OPENBSD.has(name)} == {
        "mseal", "munmap", "mmap", "mprotect", "madvise", "fork", "write",
    }  # fmt: skip
    with pytest.raises(BadDocument, match="/steps/1/call: edition mimmutable says nothing of mremap; its calls: mseal"):
        run(mmap(0, 1), SILENT)


def test_a_counterexample_has_no_such_calls() -> None:
    layout = {"vmas": [{"start": 32, "end": 33}]}
    result = {"value": 0, "errno": "OK", "check": ""}
    step = {"call": "munmap", "words": {"addr": 33 << 12, "len": 0}, "result": result, "after": layout}
    document = {
        "property": "p", "sentence": "s", "edition": "mimmutable", "call": "munmap", "expected": "proved",
        "before": layout, "steps": [step], "culprit": {"page": None, "why": ""},
        "size": {"vmas": 1, "pages": 1, "calls": 1},
    }  # fmt: skip
    found = re_execute(Counterexample.model_validate(document))
    assert found == ["/steps/0/result/check: the document says '', the concrete reading "
                     "'munmap: nothing to do for a range without a page'"]  # fmt: skip
    document["steps"] = [{**step, "call": "mlock"}]
    with pytest.raises(ValueError, match="edition mimmutable says nothing of mlock"):
        Counterexample.model_validate(document)


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "brk"],
        ["prove", "--call", "mlock", "--no-mutants", "--no-lemmas"],
        ["find", "never-unmapped", "--call", "mremap"],
    ],
)
def test_asking_for_them_is_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--edition", "mimmutable"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "edition mimmutable says nothing of" in err


def test_running_them_is_a_bad_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps({"name": "n", "steps": [SILENT]}), encoding="utf-8")
    assert main(["run", str(file), "--edition", "mimmutable"]) == 2
    assert "/steps/0/call: edition mimmutable says nothing of mremap" in capsys.readouterr().err


def test_it_is_listed_with_its_standing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "editions", "--json", "-"]) == 0
    listed = {item["name"]: item for item in json.loads(capsys.readouterr().out)["editions"]}
    assert listed["mimmutable"]["behaviour"]["standing"].startswith("another operating system")
    assert main(["list", "calls", "--edition", "mimmutable", "--json", "-"]) == 0
    assert [item["name"] for item in json.loads(capsys.readouterr().out)["calls"]] == list(filter(OPENBSD.has, CALLS))


def test_explained_in_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "mprotect", "--edition", "mimmutable", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "sys_mprotect" in found["source"]
    assert [(check["stage"], check["errno"]) for check in found["checks"]][:5] == [
        ("arguments", "EINVAL"),
        ("arguments", "EINVAL"),
        ("arguments", "OK"),
        ("up front", "EPERM"),
        ("up front", "EACCES"),
    ]
    assert {check["stage"] for check in found["checks"]} == {"arguments", "up front"}
