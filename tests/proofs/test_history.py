# SPDX-License-Identifier: MIT
"""The time machine: rows are data, and a row that is not as stated is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from checker.scenario import re_execute
from proofs import history as history_module
from proofs.history import HAPPENINGS, MAX_CALLS, MAX_VMAS, history
from proofs.results import HistoryReport
from spec.editions import EDITIONS, KERNELS
from spec.properties import PROPERTIES

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "history.json"
ROWS = {row.id: row for row in HAPPENINGS}


def test_the_rows() -> None:
    assert list(ROWS) == ["H1", "H2", "H3", "H4", "H5"]
    for row in HAPPENINGS:
        assert set(row.calls) <= set(PROPERTIES[row.property].calls), row.id
        assert {*row.found, *row.proved} <= set(EDITIONS), row.id
        assert not set(row.found) & set(row.proved), row.id
    assert set(ROWS["H3"].found) | set(ROWS["H3"].proved) >= set(KERNELS)
    assert ROWS["H4"].found == KERNELS


def test_no_property_knows_of_a_bug() -> None:
    for row in HAPPENINGS:
        prop = PROPERTIES[row.property]
        text = f"{prop.sentence} {prop.source}".lower()
        assert not any(word in text for word in ("bug", "cve", "bit mask", "stale", "cursor", *EDITIONS)), prop.name


def test_rows_that_are_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the quick calls; tests/reports/test_cli_history.py runs all."""
    monkeypatch.setattr(history_module, "HAPPENINGS", (ROWS["H2"], ROWS["H5"]))
    told: list[tuple[str, str]] = []
    report = history(on_result=lambda result, total: told.append((result.edition, f"{total}")))
    assert report.as_expected
    assert len(told) == int(told[0][1]) == sum(len(row.verdicts) for row in report.rows) == 5
    for row in report.rows:
        for verdict in row.verdicts:
            assert (verdict.verdict == "refuted") == (verdict.expected == "found")
            if verdict.counterexample is not None:
                assert re_execute(verdict.counterexample) == []
                assert verdict.size is not None
                assert verdict.size.vmas <= MAX_VMAS and verdict.size.calls <= MAX_CALLS
                assert len(verdict.counterexample.before.vmas) == verdict.size.vmas
    jsonschema.validate(json.loads(report.model_dump_json()), json.loads(SCHEMA.read_text("utf-8")))
    assert HistoryReport.model_validate_json(report.model_dump_json()) == report


def test_rows_that_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that is not there, one that is, where it was said to be mended, and one that takes too large an example."""
    h2, h5 = ROWS["H2"], ROWS["H5"]
    wrong = replace(h2, id="X1", found=h2.proved, proved=h2.found)
    monkeypatch.setattr(history_module, "HAPPENINGS", (wrong, replace(h2, id="X2", found=(), proved=h2.proved)))
    report = history()
    assert [row.as_expected for row in report.rows] == [False, True]
    assert [verdict.as_expected for verdict in report.rows[0].verdicts] == [False, False]
    assert not report.as_expected
    monkeypatch.setattr(history_module, "HAPPENINGS", (h5,))
    monkeypatch.setattr(history_module, "MAX_VMAS", 2)
    report = history()
    assert [(v.edition, v.as_expected) for v in report.rows[0].verdicts if v.expected == "found"] == [("v6.17", False)]
