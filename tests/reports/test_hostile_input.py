# SPDX-License-Identifier: MIT
"""Hostile strings in every string of a scenario, odd values in its numbers, odd bits in its flags, odd arguments: an
answer or one printable line, and never a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.cli import main

HOSTILE = (
    "\x1b[2J\x1b]0;x\x07", "<script>alert(1)</script>", "a\u202eb", "'; rm -rf /; \"", "\ud800", "x" * 100_000,
    '*/ system("id"); /*', "%n%s", "\n#include", "]]>", "{{7*7}}", "",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    -1, 1 << 64, 1 << 200, 1.5, True, None, [], {}, "0x", "0x1g", "1e3", "-0x1", " 4096", "4096\n", "\u0664\u0660",
)  # fmt: skip
PLAIN: dict[str, Any] = {
    "name": "plain",
    "steps": [
        {"call": "mmap", "addr": "0x200000000000", "len": 8192, "prot": 3, "flags": 50},
        {"call": "mseal", "addr": "0x200000000000", "len": 4096},
    ],
}


def documents() -> Iterator[dict[str, Any]]:
    """The plain scenario, each time with one thing in it that is odd."""
    for text in HOSTILE:
        yield {**PLAIN, "name": text}
        yield {**PLAIN, "edition": text}
        for name in ("call", "addr", "ret"):
            yield odd_step(1, name, text)
        yield odd_step(1, "vmas", [text])
        yield odd_step(1, "failures", [text])
    for value in ODD:
        yield odd_step(1, "len", value)
        yield odd_step(0, "prot", value)
        yield odd_step(1, "errno", value)
    for bit in range(64):
        yield odd_step(0, "flags", 50 | 1 << bit)


def odd_step(number: int, name: str, value: object) -> dict[str, Any]:
    """The plain scenario with another value in one of its steps."""
    document = copy.deepcopy(PLAIN)
    document["steps"][number][name] = value
    return document


def is_clean(text: str) -> bool:
    """It says nothing to a terminal but lines."""
    return all(line.isprintable() for line in text.splitlines()) and "Traceback" not in text


def test_all_of_them_run_or_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "odd.jsonl"
    odd = list(documents())
    path.write_text("".join(json.dumps(document) + "\n" for document in odd), encoding="utf-8")
    assert main(["run", str(path)]) == 2
    out, err = capsys.readouterr()
    assert is_clean(out) and is_clean(err)
    refused = [line for line in err.splitlines() if line.startswith("refused: ")]
    assert len(HOSTILE) * 4 < len(refused) < len(odd)
    assert all(len(line) < 1000 for line in refused)


@pytest.mark.parametrize("form", ["c", "kselftest", "syz"])
def test_no_program_holds_what_a_document_brought(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, text in enumerate(HOSTILE):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps({**PLAIN, "name": text}), encoding="utf-8")
        code = main(["reproduce", str(path), "--format", form])
        out, err = capsys.readouterr()
        assert code in (0, 2) and is_clean(err)
        assert "\x1b" not in out and "\u202e" not in out and '*/ system("id")' not in out and "\n#include\n" not in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "mprotect", "-e", "6.12.117-rc1; id"],
        ["explain", "mprotect", "-e", "6." + "1" * 5000],
        ["explain", "mprotect", "-e", "\u0666.\u0661\u0662"],
        ["explain", "mprotect", "-e", "-1"],
        ["explain", "mseal\x1b[2J"],
        ["find", "x" * 5000],
        ["find", "never-unmapped", "--json", ""],
        ["find", "never-unmapped", "--json", "a\nb/c"],
        ["find", "never-unmapped", "--json", "-", "--svg", "-"],
        ["matrix", "-c", "reclaim"],
        ["diff", "v10", ""],
        ["replay", "/dev/zero"],
        ["run", "/proc/self/mem"],
        ["show", "/etc"],
        ["report", "--out", "/"],
        ["report", "--out", "."],
        ["report", "--formats", ",", "--out", "o"],
        ["guarantee", "--for", "nobody"],
        ["lab", "/etc/passwd"],
        ["help", "nope"],
    ],
    ids=lambda words: " ".join(words)[:30].encode("unicode_escape").decode("ascii"),
)
def test_odd_arguments_are_one_short_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(("sealspec: ", "refused: ")) and err.count("\n") == 1
    assert is_clean(err) and len(err) < 1500
    assert not list(tmp_path.iterdir())
