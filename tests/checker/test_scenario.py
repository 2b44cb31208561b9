# SPDX-License-Identifier: MIT
"""Runs of scenarios and of counterexamples on the concrete reading."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checker.documents.base import NotModelled
from checker.documents.counterexamples import Counterexample
from checker.documents.layouts import LayoutDoc
from checker.documents.scenarios import RunResult, Scenario
from checker.machine import perform
from checker.scenario import compare, re_execute, run_scenario
from spec.editions import EDITIONS

V10, V6_18 = EDITIONS["v10"], EDITIONS["v6.18"]
AT = 0x2000_0000_0000


def page(n: int) -> int:
    """Byte address of page n of the window."""
    return AT + (n << 12)


def scenario(*steps: dict[str, Any], **more: Any) -> Scenario:
    return Scenario.model_validate({"name": "n", "steps": list(steps), **more})


def run(*steps: dict[str, Any], edition: str = "v10", **more: Any) -> RunResult:
    return run_scenario(scenario(*steps, **more), EDITIONS[edition])


def mmap(n: int, pages: int, prot: int = 3, flags: int = 0x32, fd: int = -1, off: int = 0) -> dict[str, Any]:
    return {"call": "mmap", "addr": page(n), "len": pages << 12, "prot": prot, "flags": flags, "fd": fd, "off": off}


def test_a_sealed_page_stays() -> None:
    result = run(
        mmap(0, 3),
        {"call": "write", "addr": page(1), "byte": 0xAB},
        {"call": "mseal", "addr": page(1), "len": 4096},
        {"call": "munmap", "addr": page(0), "len": 3 << 12},
    )
    assert [step.ret for step in result.steps] == ["p0", "1", "0", "-1"]
    refused = result.steps[-1]
    assert (refused.errno, refused.errno_name, refused.check) == (1, "EPERM", "munmap: a VMA to unmap is sealed")
    assert refused.vmas == ("0-1 rw-p anon", "1-2 rw-p anon sl", "2-3 rw-p anon")
    assert refused.bytes == "00ab00"
    assert RunResult.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize(
    ("fd", "flags", "prot", "errno", "vmas", "bytes_"),
    [
        (100, 1, 3, 0, ("0-2 rw-s file@1",), "4142"),
        (101, 1, 1, 0, ("0-2 r--s file@1",), "4142"),
        (101, 1, 3, 13, (), ""),
        (101, 2, 3, 0, ("0-2 rw-p file@1",), "4142"),
        (102, 2, 3, 0, ("0-2 rw-p file@1",), "0000"),
        (-1, 2, 3, 9, (), ""),
        (7, 2, 3, 9, (), ""),
        (7, 0x22, 3, 0, ("0-2 rw-p anon",), "0000"),
    ],
)
def test_descriptors(fd: int, flags: int, prot: int, errno: int, vmas: tuple[str, ...], bytes_: str) -> None:
    (step,) = run(mmap(0, 2, prot, flags | 0x10, fd, 4096)).steps
    assert (step.errno, step.vmas, step.bytes) == (errno, vmas, bytes_)


def test_what_cannot_be_read() -> None:
    guarded = run(mmap(0, 3), {"call": "madvise", "addr": page(1), "len": 4096, "behavior": 102}, edition="v6.18")
    assert guarded.steps[-1].bytes == "00??00"
    assert run(mmap(0, 2, fd=100, flags=0x12, off=47 << 12)).steps[-1].bytes == "6f??"


def test_fill() -> None:
    result = run({"call": "fill", "free": 1}, mmap(0, 1), mmap(2, 1), mmap(4, 1), {"call": "fill", "free": 65530})
    assert [step.map_count for step in result.steps[:4]] == [65529, 65530, 65531, 65531]
    assert result.steps[3].errno_name == "ENOMEM"
    assert (result.steps[4].errno_name, result.steps[4].map_count) == ("ENOMEM", 22)


def test_the_break() -> None:
    asked = ["brk+0x2000", "brk+0x2801", "brk+0x2801", 0, "brk+0x1000"]
    result = run(*({"call": "brk", "addr": addr} for addr in asked))
    assert [step.ret for step in result.steps] == ["2", "2+2049", "2+2049", "2+2049", "1"]
    assert {step.errno for step in result.steps} == {0}
    assert result.steps[3].check == "brk: the address is below the heap"
    assert result.steps[1].vmas == ("brk0-3 rw-p anon",)


def test_other_places() -> None:
    layout = {
        "vmas": [{"start": 0x50, "end": 0x52, "anon_vma": 1}],
        "pages": [{"page": 0x51, "own": 0x41}],
        "start_brk": 0x100,
    }
    result = run(
        {"call": "mmap", "addr": "brk+0x3000", "len": 4096, "prot": 1, "flags": 0x32},
        {"call": "mmap", "addr": 0, "len": 4096, "prot": 1, "flags": 0x22},
        {"call": "mseal", "addr": 0x51 << 12, "len": 4096},
        layout=layout,
    )
    assert [step.ret for step in result.steps] == ["0", "elsewhere", "0"]
    assert result.steps[1].value == 0x7FFF_EFFF_F
    last = result.steps[-1]
    here = ("brk3-4 r--p anon", "@0x50-0x51 rw-p anon", "@0x51-0x52 rw-p anon sl", "@0x7fffeffff-0x7ffff0000 r--p anon")
    assert last.vmas == here
    assert last.contents == ("0x51=41",)
    assert last.bytes == ""


def test_environment_failures() -> None:
    (step,) = run({**mmap(0, 1), "failures": ["mmap: memory for the new VMA runs out"]}).steps
    assert (step.errno_name, step.check) == ("ENOMEM", "mmap: memory for the new VMA runs out")


def test_without_protection_keys() -> None:
    steps = (mmap(0, 1, prot=4), {"call": "pkey_alloc"})
    with_keys = run(*steps)
    assert (with_keys.steps[0].vmas, with_keys.steps[1].ret) == (("0-1 --xp anon k1",), "2")
    without = run(*steps, kernel={"pkeys": False})
    assert (without.steps[0].vmas, without.steps[1].errno_name) == (("0-1 --xp anon",), "EINVAL")


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        ({}, []),
        ({"ret": "p0", "errno": 0, "vmas": ["0-2 rw-p anon"], "bytes": "0000"}, []),
        ({"bytes": "??00"}, ["bytes"]),
        ({"bytes": "0000??"}, ["bytes"]),
        ({"bytes": "00"}, ["bytes"]),
        ({"bytes": ""}, ["bytes"]),
        ({"ret": "-1", "errno": 12, "vmas": [], "bytes": ""}, ["ret", "errno", "vmas", "bytes"]),
        ({"vmas": ["0-2 rw-p anon", "@0x10-0x11 rw-p anon"]}, ["vmas"]),
    ],
)
def test_comparison(expected: dict[str, Any], fields: list[str]) -> None:
    told = scenario({**mmap(0, 2), **expected})
    assert [difference.field for difference in compare(told, run_scenario(told, V10))] == fields


def test_bytes_that_a_kernel_did_not_read() -> None:
    """Some kernels do not read past missing permissions: ?? agrees with pages that are not readable, and only those."""
    told = scenario({**mmap(0, 2, prot=0), "bytes": "??00"}, {**mmap(2, 1), "bytes": "????00"})
    assert compare(told, run_scenario(told, V10)) == []
    told = scenario({**mmap(0, 2, prot=0), "bytes": "00"})
    assert [difference.field for difference in compare(told, run_scenario(told, V10))] == ["bytes"]


def test_comparison_of_lengths() -> None:
    (difference,) = compare(scenario(mmap(0, 1)), run())
    assert str(difference) == "step 0 (), steps: expected 1, got 0"


WORD = (
    st.integers(0, (1 << 64) - 1)
    | st.integers(0, 64).map(lambda n: n << 12)
    | st.integers(-3, 3).map(lambda n: n % (1 << 64))
)
PLACE = WORD | st.integers(-2, 50).map(lambda n: page(n)) | st.integers(0, 9).map(lambda n: f"brk+{n << 12:#x}")
SHORT = st.integers(0, 64 << 12)
ANY_CALL = st.one_of(
    st.fixed_dictionaries(
        {
            "call": st.just("mmap"),
            "addr": PLACE,
            "len": WORD,
            "prot": WORD,
            # without MAP_LOCKED and MAP_POPULATE, which visit every page of a huge mapping
            "flags": WORD.map(lambda bits: bits & ~0xA000),
            "fd": st.integers(-1, 103),
            "off": WORD,
        }
    ),
    *(st.fixed_dictionaries({"call": st.just(call), "addr": PLACE, "len": WORD}) for call in ("munmap", "munlock")),
    st.fixed_dictionaries({"call": st.just("mprotect"), "addr": PLACE, "len": WORD, "prot": WORD}),
    st.fixed_dictionaries(
        {"call": st.just("pkey_mprotect"), "addr": PLACE, "len": WORD, "prot": WORD, "pkey": st.integers(-1, 20)}
    ),
    st.fixed_dictionaries(
        {"call": st.just("mremap"), "addr": PLACE, "old_len": WORD, "new_len": WORD, "flags": WORD, "new_addr": PLACE}
    ),
    st.fixed_dictionaries(
        {"call": st.just("madvise"), "addr": PLACE, "len": SHORT, "behavior": st.integers(0, 110) | WORD}
    ),
    st.fixed_dictionaries(
        {"call": st.sampled_from(["mseal", "mseal32"]), "addr": PLACE, "len": WORD, "flags": st.just(0) | WORD}
    ),
    st.fixed_dictionaries({"call": st.sampled_from(["brk", "reclaim"]), "addr": PLACE}),
    st.fixed_dictionaries({"call": st.just("write"), "addr": PLACE, "byte": st.integers(0, 255)}),
    st.fixed_dictionaries({"call": st.just("pkru"), "bits": st.integers(0, (1 << 32) - 1)}),
    st.fixed_dictionaries({"call": st.just("fill"), "free": st.integers(0, 70000)}),
    st.sampled_from([{"call": "fork"}, {"call": "pkey_alloc"}]),
)


@given(st.lists(ANY_CALL, max_size=8), st.sampled_from(sorted(EDITIONS)))
@settings(max_examples=200, deadline=None)
def test_every_scenario_has_an_answer(steps: list[dict[str, Any]], edition: str) -> None:
    """Unless a step is refused, with the place that says why."""
    steps = [step for step in steps if EDITIONS[edition].has(step["call"])]
    told = scenario(*steps, kernel={"memory_failure": True, "mmap_min_addr": 4096})
    result = None
    with suppress(NotModelled):
        result = run_scenario(told, EDITIONS[edition])
    if result is None:
        with pytest.raises(NotModelled, match=r"docs/EXCLUSIONS\.md#"):
            run_scenario(told, EDITIONS[edition])
        return
    assert len(result.steps) == len(steps)
    assert compare(told, result) == []


# counterexamples ------------------------------------------------------------------------------------------------------


def counterexample(edition: str = "v6.12") -> dict[str, Any]:
    """munmap over a seal: refused, but the cut at the start of the range stays (weakness W7); then a shared mapping."""
    before = LayoutDoc.model_validate(
        {
            "vmas": [{"start": 32, "end": 34, "anon_vma": 7}, {"start": 34, "end": 35, "flags": ["sealed"]}],
            "pages": [{"page": 33, "own": 9}],
        }
    )
    calls = [
        ("munmap", {"addr": 33 << 12, "len": 2 << 12}),
        ("mmap", {"addr": 64 << 12, "len": 4096, "prot": 3, "flags": 0x31, "file": 0, "object": 0, "off": 0}),
        ("write", {"addr": 64 << 12, "byte": 3}),
    ]
    state = before.to_state()
    steps = []
    for call, words in calls:
        result = perform(state, EDITIONS[edition], call, words)
        ended = {"value": result.value, "errno": result.errno.name, "check": result.check}
        after = LayoutDoc.from_state(state).model_dump(mode="json")
        steps.append({"call": call, "words": words, "range": [33, 35], "result": ended, "after": after})
    return {
        "format": "mseal-spec/counterexample/1", "property": "p", "sentence": "s", "edition": edition, "call": "munmap",
        "expected": "refuted", "assumptions": [], "before": before.model_dump(mode="json"), "steps": steps,
        "culprit": {"page": None, "why": "one VMA more"}, "size": {"vmas": 2, "pages": 3, "calls": 3},
    }  # fmt: skip


def test_counterexamples_are_confirmed() -> None:
    data = counterexample()
    document = Counterexample.model_validate(data)
    assert len(document.steps[0].after.vmas) == 3
    assert re_execute(document) == []


def test_numbers_that_the_calls_make_may_differ() -> None:
    data = counterexample()
    for step in data["steps"][1:]:
        step["after"]["vmas"][-1]["object"] = 4711
        for made in step["after"]["objects"]:
            made["object"] = 4711
        for vma in step["after"]["vmas"][:2]:
            vma["anon_vma"] = 8
    assert re_execute(Counterexample.model_validate(data)) == []
    data["steps"][2]["after"]["vmas"][0]["anon_vma"] = 9
    assert re_execute(Counterexample.model_validate(data)) == [
        "/steps/2/after/vmas/1/anon_vma: the document says 2, the concrete reading 1"
    ]


def test_what_is_not_so_is_found() -> None:
    data = counterexample()
    data["steps"][0]["result"]["errno"] = "OK"
    data["steps"][2]["after"]["pages"][0]["own"] = 8
    assert re_execute(Counterexample.model_validate(data)) == [
        "/steps/0/result/errno: the document says 'OK', the concrete reading 'EPERM'",
        "/steps/2/after/pages/0/own: the document says 8, the concrete reading 9",
    ]
    other = Counterexample.model_validate({**counterexample(), "edition": "v10"})
    assert re_execute(other)[0] == "/steps/0/after/vmas: the document has 3 entries, the concrete reading 2"


def test_a_mutant_is_re_executed_without_its_check() -> None:
    document = Counterexample.model_validate(counterexample("v10"))
    found = re_execute(document, dropped="munmap: a VMA to unmap is sealed")
    assert found[0] == "/steps/0/result/value: the document says -1, the concrete reading 0"


def test_an_impossible_start_is_told() -> None:
    data = counterexample()
    data["before"]["vmas"][1]["start"] = 33
    assert re_execute(Counterexample.model_validate(data))[0].startswith("/before/vmas/1: VMA 1 (pages 0x21-0x23)")
