# SPDX-License-Identifier: MIT
"""Words on a screen: flags and errors by name, sentences for editions, the lead of a report, recorded replays."""

from __future__ import annotations

import ast
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeGuard

import pytest

from checker.documents.scenarios import Difference
from checker.lab.replay import Replay
from checker.naming import errno_name, flag_word
from reports.behaviours import SENTENCES, behaviour
from reports.lead import lead_of, weaknesses
from reports.recorded import packed, recorded
from spec.editions import EDITIONS, Edition

ROOT = Path(__file__).parents[2]
ROOMS = ("spec", "checker", "proofs", "reports")


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


OLD = re.compile(
    r"\b(mended|half-way|parting|partings|survivors?|strangeness|gathering|all the same|comes? to|they part)\b",
    re.IGNORECASE,
)
"""Words of this project's own that a reader does not know; each has one that the field uses."""


def user_visible() -> Iterator[tuple[str, str]]:
    """What users read, with its place: texts in the code that are sentences, help, templates, documents."""
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        if path.parent.name == "source":  # the review of C is being written
            continue
        tree = ast.parse(path.read_text("utf-8"))
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        # the docstrings of cli.py are the help
        silent = {id(n.body[0].value) for n in ast.walk(tree) if isinstance(n, documented) and is_text(n.body[0])}
        silent |= {id(n.value) for n in ast.walk(tree) if is_text(n)}
        shown = set() if path.name == "cli.py" else silent
        for node in ast.walk(tree):
            is_shown = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in shown
            if is_shown and " " in node.value.strip():
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value
    for path in sorted((ROOT / "reports" / "templates").rglob("*.j2")):
        text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|<[^>]*>", "", path.read_text("utf-8"), flags=re.DOTALL)
        yield str(path.relative_to(ROOT)), text
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        if path.name not in ("ARCHITECTURE.md", "REVIEW.md"):  # the first is for those who change the code
            yield str(path.relative_to(ROOT)), re.sub(r"`[^`]*`", "", path.read_text("utf-8"))


def is_text(node: ast.AST) -> TypeGuard[ast.Expr]:
    """A text that stands alone: it explains the code."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def test_users_read_no_words_that_only_we_know() -> None:
    found = [f"{place}: {match[0]!r}" for place, text in user_visible() for match in OLD.finditer(text)]
    assert found == []


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
