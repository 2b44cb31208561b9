# SPDX-License-Identifier: MIT
"""`sealspec matrix`: the table in signs and words, the sentences, the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import proofs.matrix
from proofs.matrix import COLUMNS, sentence
from proofs.results import Cell, MatrixReport
from reports.cli import main


def made_cell(call: str, edition: str, errno: str, cause: str, **given: Any) -> Cell:
    given.setdefault("verdict", "unreachable")
    given.setdefault("sentence", sentence(**given))
    return Cell(call=call, edition=edition, errno=errno, cause=cause, **given)  # type: ignore[arg-type]


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Cells that are to be otherwise than unreachable, by call, errno and cause; what was asked is under ("asked", "",
    "")."""
    chosen: dict[tuple[str, str, str], dict[str, Any]] = {}

    def decide(editions: list[str], calls: list[str], **options: Any) -> MatrixReport:
        chosen["asked", "", ""] = {"editions": editions, "calls": calls, **options}
        cells = [
            made_cell(call, edition, c.errno.name, c.cause, **chosen.get((call, c.errno.name, c.cause), {}))
            for edition in editions
            for call in calls
            for c in COLUMNS
        ]
        return MatrixReport(
            editions=[{"name": name, "kernel": f"about {name}"} for name in editions],  # type: ignore[list-item]
            calls=calls,
            errnos=list(dict.fromkeys(c.errno.name for c in COLUMNS)),
            solver="z3",
            assumptions=[],
            cells=cells,
            settled=[],
            from_cache=0,
            seconds=1.0,
            complete=options.get("jobs") != 7,
        )

    monkeypatch.setattr(proofs.matrix, "matrix", decide)
    return chosen


Spoiled = dict[tuple[str, str, str], dict[str, Any]]
PARTIAL = {
    "verdict": "partial",
    "level": "pages",
    "where": "the pages before it",
    "changes": ["sealed", "unmapped"],
}


def test_the_table(spoiled: Spoiled, capsys: pytest.CaptureFixture[str]) -> None:
    spoiled["munmap", "EPERM", "seal"] = {"verdict": "atomic"}
    spoiled["mseal", "ENOMEM", ""] = PARTIAL
    cuts = {"verdict": "partial", "level": "boundaries", "where": "at the start", "changes": ["one VMA more"]}
    spoiled["munmap", "EINVAL", ""] = cuts
    assert main(["matrix", "-e", "v10", "-e", "v6.12", "-c", "munmap", "-c", "mseal", "-e", "v10"]) == 0
    out = capsys.readouterr().out
    assert (spoiled["asked", "", ""]["editions"], spoiled["asked", "", ""]["calls"]) == (
        ["v10", "v6.12"], ["munmap", "mseal"],
    )  # fmt: skip
    lines = out.splitlines()
    head = next(i for i, text in enumerate(lines) if text.startswith("v10  about v10"))
    assert [lines[head + n].split() for n in (1, 2)] == [["EPERM"], ["call", "seal", "ENOMEM", "EINVAL"]]
    assert lines[head + 3].split() == ["munmap", "=", "atomic", ".", "never", "~", "cuts"]
    assert lines[head + 4].split() == ["mseal", ".", "never", "!", "pages", ".", "never"]
    assert "EEXIST" in lines[head + 5] and "EINVAL" not in lines[head + 5]
    assert "mseal ENOMEM: the pages before it may be sealed or unmapped; no other page is changed" in out
    assert "munmap EINVAL: no page is changed, but boundaries between VMAs may be, at the start only" in out
    assert f"{2 * 2 * len(COLUMNS)} cells: 2 atomic, 2 pages, 2 cuts" in out
    assert "every cell is decided" in out


@pytest.mark.parametrize("columns", ["60", "200"])
def test_nothing_is_cut_off(
    columns: str, spoiled: Spoiled, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for column in COLUMNS:
        spoiled["pkey_mprotect", column.errno.name, column.cause] = PARTIAL
    assert main(["matrix", "-e", "v10", "-c", "pkey_mprotect"]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    assert out.count("! pages") == len(COLUMNS) + 1  # and the legend


def test_undecided(spoiled: Spoiled, capsys: pytest.CaptureFixture[str]) -> None:
    spoiled["brk", "ENOMEM", ""] = {"verdict": "unknown", "why": "timeout"}
    assert main(["matrix", "-e", "v10", "-c", "brk"]) == 1
    out = capsys.readouterr().out
    assert "? unknown" in out
    assert "brk ENOMEM: undecided: timeout" in out
    assert "1 cell undecided" in out


def test_interrupted(spoiled: Spoiled, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "matrix.json"
    assert main(["matrix", "-e", "v10", "--jobs", "7", "--json", str(target)]) == 130
    assert "interrupted" in capsys.readouterr().out
    assert json.loads(target.read_text("utf-8"))["complete"] is False


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-c", "fork"], "fork is not in the matrix; there are mseal, munmap"),
        (["-c", "munmapp"], "did you mean munmap"),
        (["-e", "two-pas"], "unknown edition 'two-pas'; did you mean two-pass"),
        (["-e", "v10.1"], "kernel v10.1: newer than the newest that was tried"),
        (["--claims", "-c", "mmap"], "leave out --call"),
    ],
)
def test_wrong_usage(arguments: list[str], told: str, spoiled: Spoiled, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err and err.count("\n") == 1
    assert not spoiled


def test_for_real(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the kernel's document calls atomic."""
    target = tmp_path / "matrix.json"
    assert main(["matrix", "-e", "v10", "-e", "v6.12", "-c", "munmap", "--jobs", "1", "--json", str(target)]) == 0
    out = capsys.readouterr().out
    assert '("munmap is atomic")' in out
    assert "v10: holds\n" in out
    assert "v6.12: holds for pages only" in out
    report = MatrixReport.model_validate_json(target.read_text("utf-8"))
    assert len(report.cells) == 2 * len(COLUMNS)
