# SPDX-License-Identifier: MIT
"""Rebuilding: a counterexample's layout from real calls, judged by executing them; no kernel is needed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checker.calls import words_for
from checker.documents.base import NotModelled
from checker.documents.counterexamples import Counterexample
from checker.documents.layouts import LayoutDoc
from checker.documents.scenarios import Scenario
from checker.examples import Example
from checker.lab.rebuild import Rebuilt, rebuild
from checker.lab.relocate import CannotTry, relocate
from checker.lab.script import ScriptOptions, encode
from checker.scenario import WINDOW, compare_step, run_scenario
from spec.editions import EDITIONS
from spec.syscalls import CALLS
from tests.checker.strategies import examples
from tests.lab.counterexamples import AT, PAGE, counterexample, layout, on, vma

EDITION = "v6.18"


def executed(built: Rebuilt) -> list[Any]:
    """What the concrete reading answers to the whole scenario, which carries no layout of its own."""
    assert built.scenario.layout is None
    return list(run_scenario(built.scenario, EDITIONS[built.document.edition]).steps)


def check(document: Counterexample, *, has_pkeys: bool = True) -> Rebuilt:
    """Rebuild a document; its calls, made after those that build, must end as the document says."""
    built = rebuild(document, has_pkeys=has_pkeys)
    answers = executed(built)
    assert len(answers) == built.building + len(document.steps)
    for step, answer, told in zip(document.steps, answers[built.building :], built.expected, strict=True):
        assert answer.errno == told.errno
        assert answer.check == step.result.check
        if step.call != "brk":  # brk refuses without an errno
            assert answer.errno_name == step.result.errno
        assert (answer.ret, answer.vmas, answer.bytes) == (told.ret, told.vmas, told.bytes)
    encode([(0, built.scenario.model_dump(mode="json"))], ScriptOptions())  # the lab can express it
    return built


def last_layout(built: Rebuilt) -> tuple[tuple[str, ...], str]:
    """What is seen when the document's own calls are due."""
    answer = built.start
    return answer.vmas, answer.bytes


def test_marks_seals_and_contents() -> None:
    """Everything that a VMA and a page can show is there before the call."""
    before = layout(
        vma(0, 2, "r--", flags=["sealed", "locked", "dontfork"], anon_vma=1),
        vma(2, 3, "r-x", backing="file", object=7, offset=1, anon_vma=2, flags=["wipeonfork"] * 0),
        vma(4, 5, "rw-", share="shared", backing="file", object=7, flags=["dontdump", "sealed"]),
        pages={0: {"own": 9}, 2: {"own": 300}},
        objects=[{"object": 7, "pages": 2, "contents": [{"offset": 0, "value": 1000}, {"offset": 1, "value": 5}]}],
    )
    built = check(counterexample(before, ("munmap", on(0, 5)), edition=EDITION))
    vmas, contents = last_layout(built)
    assert vmas == ("0-2 r--p anon sl lo dc", "2-3 r-xp file@1", "4-5 rw-s file@0 sl dd")
    pages = [contents[i : i + 2] for i in range(0, len(contents), 2)]
    assert pages[0] == "09" and pages[1] == "00" and pages[3] == ".."
    # 300 and 1000 are no bytes: each is given one that nothing else has
    assert len({pages[2], pages[4], "00", "05", "09"}) == 5


def test_lazily_free_and_guard_pages() -> None:
    """A lazily free page is dropped by reclaim and its neighbour is not; a guard page cannot be read."""
    before = layout(
        vma(0, 3, "r--", anon_vma=1), pages={0: {"own": 1, "lazy": True}, 1: {"own": 2}, 2: {"guard": True}}
    )
    calls = [("reclaim", {"addr": AT + n * PAGE}) for n in range(2)]
    built = check(counterexample(before, *calls, edition=EDITION))
    assert last_layout(built)[1] == "0102??"
    assert built.expected[-1].bytes == "0002??"


def test_room_is_what_the_layout_has() -> None:
    """The split that fails for want of a free map fails; with one map more it does not."""
    for free, errno in ((0, "ENOMEM"), (1, "OK")):
        before = layout(vma(0, 1, "r--"), vma(1, 3), free=free)
        document = counterexample(before, ("mseal", on(0, 2, flags=0)), edition=EDITION)
        assert document.steps[0].result.errno == errno
        check(document)


def test_map_count_above_its_limit() -> None:
    """A layout may have one map more than the limit allows, and a refused munmap makes one more."""
    before = layout(vma(0, 2), vma(2, 3, flags=["sealed"]), free=-1)
    document = counterexample(before, ("munmap", on(1, 2)), edition=EDITION, property="failure-keeps-map-count")
    assert check(document).expected[0].vmas == ("0-1 rw-p anon", "1-2 rw-p anon", "2-3 rw-p anon sl")


@pytest.mark.parametrize("ends", [(1, 3), (2, 3), (1, 2, 4)])
def test_vmas_that_are_alike_stay_apart(ends: tuple[int, ...]) -> None:
    """Unwritten neighbours that differ in nothing are not merged, whatever their lengths."""
    starts = (0, *ends[:-1])
    before = layout(*(vma(a, b) for a, b in zip(starts, ends, strict=True)))
    built = check(counterexample(before, ("mprotect", on(0, ends[-1] + 1, prot=1)), edition=EDITION))
    assert last_layout(built)[0] == tuple(f"{a}-{b} rw-p anon" for a, b in zip(starts, ends, strict=True))


def neighbours(*anon_vmas: int, inherited: bool = False) -> LayoutDoc:
    """Two written pages side by side, of which the second may not be written any more."""
    flags = [["account", *(["inherited"] if inherited else [])], ["account"]]
    parts = [
        vma(n, n + 1, prot, anon_vma=number, flags=marks)
        for n, (prot, number, marks) in enumerate(zip(("rw-", "r--"), anon_vmas, flags, strict=True))
    ]
    return layout(*parts, pages={n: {"own": n + 1} for n, number in enumerate(anon_vmas) if number})


@pytest.mark.parametrize(
    ("before", "edition", "merged", "made_by"),
    [
        (neighbours(1, 1), "v6.18", True, "mprotect"),
        (neighbours(1, 2), "v6.18", False, "mremap"),
        (neighbours(1, 0), "v6.12", True, "write"),
        (neighbours(1, 0, inherited=True), "v6.12", False, "fork"),
    ],
)
def test_written_neighbours_merge_by_their_anon_vmas(
    before: LayoutDoc, edition: str, merged: bool, made_by: str
) -> None:
    """When a call makes them alike they merge or not as the document says: where need be each is written elsewhere and
    moved, or comes from a parent."""
    document = counterexample(before, ("mprotect", on(1, 1, prot=3)), edition=edition)
    assert len(document.steps[0].after.vmas) == (1 if merged else 2)
    built = check(document)
    assert len(built.expected[0].vmas) == (1 if merged else 2)
    assert made_by in [step.call for step in built.scenario.steps[: built.building]]


def test_the_heap() -> None:
    """A layout that brk works on lies in the heap, and the break where the document has it."""
    before = layout(vma(0, 2), vma(2, 3, flags=["sealed"]), start_brk=WINDOW, brk=WINDOW + 5)
    document = counterexample(
        before, ("brk", {"addr": AT + PAGE}), edition=EDITION, property="eperm-changes-nothing", page=1
    )
    built = check(document)
    assert built.start.vmas == ("brk0-2 rw-p anon", "brk2-3 rw-p anon sl")
    assert (built.expected[0].ret, built.expected[0].errno) == ("5", 0)
    assert built.expected[0].vmas[0] == "brk0-1 rw-p anon"


def test_what_refuses_to_be_split_becomes_the_vdso() -> None:
    """A special mapping of any length, and huge pages, get the vdso's two pages; the note says so."""
    for backing, end in (("special", 1), ("special", 2), ("hugetlb", 2), ("hugetlb", 512)):
        more = {"object": 3} if backing == "hugetlb" else {}
        before = layout(vma(0, end, "r--", backing=backing, offset=0, **more), vma(end, end + 2))
        document = counterexample(before, ("munmap", on(0, end + 1)), edition=EDITION)
        built = check(document)
        assert built.start.vmas == ("0-2 r--p anon", "2-4 rw-p anon")
        assert any("vdso" in note for note in built.notes) == (backing == "hugetlb")


def test_limits_that_a_program_can_lower() -> None:
    """A call that fails for RLIMIT_AS is tried with that limit; the answer is the document's."""
    before = layout(vma(0, 2), vma(2, 4), free=0)
    words = on(1, 2, prot=0, flags=0x32, file=0, object=0, off=0)
    document = counterexample(
        before, ("mmap", words), edition=EDITION, property="failure-keeps-map-count",
        failures=("mmap: RLIMIT_AS or the accounting has no room",),
    )  # fmt: skip
    built = check(document)
    script = encode([(0, built.scenario.model_dump(mode="json"))], ScriptOptions()).decode()
    assert "\nX 1\nm " in script


def test_memory_that_runs_out() -> None:
    """A mapping that is to fail when the old one is gone asks for huge pages: the range is as large as one."""
    before = layout(vma(3, 4), vma(4, 5, "r--", anon_vma=1), pages={4: {"own": 9}})
    words = on(3, 2, prot=0, flags=0x32, file=0, object=0, off=0)
    document = counterexample(
        before, ("mmap", words), edition=EDITION, property="failure-changes-no-page", page=4,
        failures=("mmap: memory for the new VMA runs out",),
    )  # fmt: skip
    built = check(document)
    assert built.start.vmas == ("0-1 rw-p anon", "1-512 r--p anon")
    assert built.start.bytes.startswith("000900")
    assert built.expected[0].vmas == ()
    asked = built.scenario.steps[-1].model_dump()
    assert (asked["len"], asked["flags"]) == (2 << 20, 0x40032)


def test_places_far_from_the_window() -> None:
    """The same document at another place, and with long gaps, is the same in the window."""
    here = layout(vma(0, 2), vma(4, 5, "r--", flags=["sealed"]))
    there = layout(vma(77_777, 77_779), vma(77_781, 77_782, "r--", flags=["sealed"]))
    one = check(counterexample(here, ("mprotect", on(0, 5, prot=1)), edition=EDITION))
    other = check(counterexample(there, ("mprotect", {**on(77_777, 5, prot=1)}), edition=EDITION))
    assert [(a.ret, a.errno, a.vmas, a.bytes) for a in one.expected] == [
        (a.ret, a.errno, a.vmas, a.bytes) for a in other.expected
    ]
    wide = layout(vma(0, 2), vma(40_000, 40_001, flags=["sealed"]))
    built = check(counterexample(wide, ("munmap", on(1, 40_000)), edition=EDITION))
    assert built.expected[0].errno == 1
    assert any("shortened" in note for note in built.notes)


def test_protection_keys_are_numbered_anew() -> None:
    """A kernel gives keys in order; which number the document gave one does not matter, its rights do."""
    before = layout(
        vma(0, 1, "rw-", pkey=9, flags=["sealed"], anon_vma=1), pages={0: {"own": 4}}, pkeys=[0, 9], pkru=0x2 << 18
    )
    document = counterexample(
        before, ("madvise", on(0, 1, behavior=4)), edition=EDITION, property="eperm-only-with-cause"
    )
    assert document.steps[0].result.errno == "EPERM"  # the thread cannot write through the key
    assert check(document).start.vmas == ("0-1 rw-p anon k1 sl",)
    with pytest.raises(CannotTry, match="protection keys"):
        rebuild(document, has_pkeys=False)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (
            counterexample(
                layout(vma(0, 1)), ("mmap", on(0, 1, prot=0, flags=0x31, file=0, object=0, off=0)), edition=EDITION,
                failures=("mmap: memory for the new VMA runs out",),
            ),
            "at will",
        ),
        (
            counterexample(
                layout(vma(0, 1, backing="special", offset=0), vma(1, 2, backing="special", offset=0)),
                ("munmap", on(0, 1)), edition=EDITION,
            ),
            "only one such mapping",
        ),
        (
            counterexample(layout(vma(0, 1, "---", may="---")), ("mprotect", on(0, 1, prot=1)), edition=EDITION),
            "may_read",
        ),
        (counterexample(layout(), ("mseal32", on(0, 1, flags=0)), edition=EDITION), "32-bit"),
        (counterexample(layout(), ("pkru", {"bits": 3}), edition=EDITION), "key 0"),
        (
            counterexample(
                layout(vma(0, 1, backing="file", object=1, offset=1, anon_vma=1), pages={0: {"own": 1}},
                       objects=[{"object": 1, "pages": 1}]),
                ("munmap", on(0, 1)), edition=EDITION,
            ),
            "beyond the end",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_said(document: Counterexample, reason: str) -> None:
    """One sentence names what a program cannot have."""
    with pytest.raises(CannotTry, match=reason) as raised:
        rebuild(document, has_pkeys=True)
    assert "\n" not in raised.value.reason


def test_a_document_with_another_outcome_is_still_built() -> None:
    """Its layout and calls are the document's, and so is what is expected: a kernel will tell."""
    document = counterexample(layout(vma(0, 1), vma(1, 2, flags=["sealed"])), ("munmap", on(0, 2)), edition=EDITION)
    wrong = document.steps[0].model_copy(
        update={"after": layout(vma(1, 2, flags=["sealed"])), "result": document.steps[0].result.model_copy(
            update={"value": 0, "errno": "OK", "check": ""})}
    )  # fmt: skip
    built = rebuild(document.model_copy(update={"steps": (wrong,)}), has_pkeys=True)
    assert built.expected[0].vmas == ("1-2 rw-p anon sl",)
    answer = executed(built)[-1]
    assert compare_step(0, _with(built.scenario, answer).steps[0], built.expected[0])
    assert any("does not do what the document says" in note for note in built.notes)


def _with(scenario: Scenario, answer: Any) -> Scenario:
    """The scenario's last step with an answer."""
    given = answer.model_dump(include={"ret", "errno", "vmas", "bytes"})
    return scenario.model_copy(update={"steps": (scenario.steps[-1].model_copy(update=given),)})


def test_moving_keeps_distances() -> None:
    """A document that lies in the window stays where it is, to the word."""
    document = counterexample(layout(vma(3, 5), vma(7, 8)), ("munmap", on(4, 4)), edition=EDITION)
    moved = relocate(document, has_pkeys=True, plain=False)
    assert moved.document.steps[0].words == document.steps[0].words
    assert [(v.start, v.end) for v in moved.document.before.vmas] == [(v.start, v.end) for v in document.before.vmas]


CALLED = sorted(set(CALLS) - {"mseal32", "pkru", "pkey_alloc"})


@settings(max_examples=150)
@given(st.data())
def test_any_document_is_rebuilt_truly_or_not_at_all(data: st.DataObject) -> None:
    """Whatever the layout and the call: what is built behaves as the document says, or there is a reason."""
    call = data.draw(st.sampled_from(CALLED))
    edition = data.draw(st.sampled_from(("v10", "v6.12", "v6.17", "v6.18", "v7.3")))
    example: Example = data.draw(examples(call, EDITIONS[edition]))
    words = words_for(call, EDITIONS[edition], example.arguments)
    if words is None:
        return
    before = LayoutDoc.from_state(example.state)
    document = counterexample(before, (call, dict(words)), edition=edition)
    has_pkeys = data.draw(st.booleans())
    reason = "(rebuilt)"
    try:
        check(document, has_pkeys=has_pkeys)
    except (CannotTry, NotModelled) as cannot:  # the latter: it hangs on a fact of the machine, as mmap_min_addr
        reason = cannot.reason
    assert reason
    assert "\n" not in reason
