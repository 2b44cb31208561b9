# SPDX-License-Identifier: MIT
"""`sealspec history`: the five rows from a clean state, by one command."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import proofs.history
from checker.documents.files import parse_document
from checker.scenario import re_execute
from proofs.results import HistoryReport
from reports.cli import main
from spec.editions import KERNELS


@pytest.mark.slow
def test_the_whole_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "history.json"
    assert main(["history", "--json", str(target), "--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for text in (
        "H1  bug",
        "madvise: found in v10 (1 VMA, 1 page, 1 call)",
        "munmap: found in munmap-variant (2 VMAs, 2 pages, 1 call)",
        "munmap: proved in v6.12",
        "mprotect: proved in v10, v6.11, two-pass",
        "H4  open",
        "mseal: found in v6.17 (3 VMAs, 3 pages, 1 call)",
        "mseal: proved in v6.12, v6.18",
        "every row is as stated",
    ):
        assert text in out, text
    assert out.count("breaks the property") >= 3  # the drawings
    report = json.loads(target.read_text("utf-8"))
    found = {
        row["id"]: [v["counterexample"] for v in row["verdicts"] if v["expected"] == "found"] for row in report["rows"]
    }
    kernels = len(KERNELS)
    every = {"H1": 1, "H2": 1, "H3": 3 * (kernels - len(("v10", "v6.11"))), "H4": kernels, "H5": 1}
    assert {name: len(documents) for name, documents in found.items()} == every
    for document in chain.from_iterable(found.values()):
        assert re_execute(parse_document(document)) == []  # type: ignore[arg-type]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the history is to be: one row, which a test may spoil."""
    verdict = {
        "call": "munmap", "edition": "v6.12", "expected": "proved", "verdict": "proved", "as_expected": True,
        "size": None, "counterexample": None, "why": "",
    }  # fmt: skip
    row = {"id": "H9", "happened": "It was.", "kind": "bug", "property": "never-unmapped", "sentence": "It stays."}
    made: dict[str, Any] = {
        "solver": "z3", "assumptions": [], "rows": [row | {"verdicts": [verdict]}], "from_cache": 0, "seconds": 1.0,
        "complete": True,
    }  # fmt: skip
    monkeypatch.setattr(proofs.history, "history", lambda **options: HistoryReport.model_validate(made))
    return made


def test_a_row_that_is_not_as_stated(report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    report["rows"][0]["verdicts"][0] |= {"verdict": "unknown", "as_expected": False, "why": "timeout"}
    assert main(["history"]) == 1
    out = capsys.readouterr().out
    assert "v6.12: expected to be proved, but unknown (timeout)" in out
    assert "not as stated: H9" in out


def test_interrupted(report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    report["complete"] = False
    assert main(["history"]) == 130
    out = capsys.readouterr().out
    assert "munmap: proved in v6.12" in out
    assert "interrupted" in out


def test_json_on_standard_output_is_alone_there(report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    report["from_cache"] = 1
    assert main(["history", "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["format"] == "mseal-spec/history/1"
    assert "1 of them decided in an earlier run" in err
