# SPDX-License-Identifier: MIT
"""Words on a screen: flags and errors by name, sentences for editions, the lead of a report, recorded replays."""

from __future__ import annotations

import lzma
from dataclasses import dataclass, fields

import pytest

from checker.documents.scenarios import Difference
from checker.lab.replay import Replay
from checker.naming import errno_name, flag_word
from reports.behaviours import SENTENCES, behaviour
from reports.lead import lead_of, weaknesses
from reports.recorded import packed, recorded
from spec.editions import EDITIONS, Edition


@pytest.mark.parametrize(
    ("call", "name", "word", "shown"),
    [
        ("mprotect", "prot", 0, "---"),
        ("mprotect", "prot", 0x0100_0003, "rw- | GROWSDOWN"),
        ("mmap", "flags", 0x32, "PRIVATE | FIXED | ANONYMOUS"),
        ("mremap", "flags", 7, "MAYMOVE | FIXED | DONTUNMAP"),
        ("mremap", "flags", 0, "flags 0"),
        ("madvise", "behavior", 4, "MADV_DONTNEED"),
        ("madvise", "behavior", 77, "advice 77"),
        ("pkey_mprotect", "pkey", 0xFFFF_FFFF, "pkey -1"),
        ("pkey_mprotect", "pkey", (1 << 64) - 2, "pkey -2"),
        ("mseal", "flags", 0x10, "flags 0x10"),
        ("mseal", "len", 4096, None),
    ],
)
def test_flags_are_named(call: str, name: str, word: int, shown: str | None) -> None:
    assert flag_word(call, name, word) == shown


def test_errors_are_named_on_both_sides() -> None:
    assert (errno_name(12), errno_name(0), errno_name(9999)) == ("ENOMEM", "OK", "errno 9999")
    told = str(Difference(step=2, call="munmap", field="errno", expected=22, got=12))
    assert "expected EINVAL, got ENOMEM" in told


def test_every_field_of_an_edition_has_a_sentence() -> None:
    assert {f.name for f in fields(Edition)} - {"name", "kernel"} == set(SENTENCES)
    for edition in EDITIONS.values():
        for f in fields(Edition):
            if f.name in SENTENCES:
                text = behaviour(f.name, getattr(edition, f.name))
                assert "{" not in text and "False" not in text and "True" not in text


@dataclass(frozen=True)
class _Decided:
    property: str
    call: str
    verdict: str
    reason: str = ""
    as_expected: bool = True
    sentence: str = "A sealed page stays mapped."


def test_the_lead_says_what_holds_and_what_fails_worst_first() -> None:
    here = [
        _Decided("never-unmapped", "munmap", "proved"),
        _Decided("never-grown", "mremap", "refuted", "old size 0 duplicates (W6)"),
        _Decided("failure-changes-nothing", "munmap", "refuted", "as known"),
    ]
    there = [_Decided("never-unmapped", "munmap", "refuted"), _Decided("never-grown", "mremap", "proved")]
    lead = lead_of(here, [("v6.12", there)], unexpected=0)
    assert lead.guarantees == ("A sealed page stays mapped (munmap).",)
    assert lead.fails[0].startswith("Not for mremap:") and "old size 0 duplicates." in lead.fails[0]
    assert "failure-changes-nothing (munmap)" in lead.fails[1]
    assert lead.new[0] == "never-grown is refuted for mremap; in v6.12 it is proved.", "what is lost comes first"
    assert lead.state.startswith("2 theorems are refuted")


def test_as_expected_stands_alone_only_where_every_promise_holds() -> None:
    holds = [_Decided("never-unmapped", "munmap", "proved")]
    assert lead_of(holds, unexpected=0).state == "Every result is as expected."
    assert lead_of(holds, unexpected=1).state == "1 result is NOT as expected."
    assert not lead_of([_Decided("never-unmapped", "munmap", "refuted")], unexpected=1).guarantees


def test_weaknesses_have_a_gloss() -> None:
    assert weaknesses(["stays (W12)", "a split (W3, W12)"]) == "W3 and W12: known weaknesses, docs/EXCLUSIONS.md"
    assert weaknesses(["nothing"]) == ""


def test_recorded_replays_are_read_back() -> None:
    one = Replay(
        case="0" * 16, property="p", call="mseal", edition="v10", kernel="6.12.117", verdict="confirmed", reason=""
    )
    newer = one.model_copy(update={"verdict": "not confirmed", "reason": "it does something else"})
    again = lzma.decompress(packed([one, newer])).decode("utf-8").splitlines()
    assert [Replay.model_validate_json(text) for text in again] == [newer]
    assert packed([one]) == packed([one])
    for replay in recorded():
        assert replay.case and replay.kernel and replay.edition in EDITIONS and replay.scenario is None
