"""The published schema of a proof report is the one that the reports have."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from proofs.results import report_schema
from proofs.run import prove

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema" / "proof.json"


def test_the_published_schema_is_fresh() -> None:
    assert PUBLISHED.read_text() == report_schema()


def test_a_report_is_as_published() -> None:
    report = prove("v10", calls=["mseal", "mseal32", "reclaim"], mutants=False, lemmas=False)
    jsonschema.validate(json.loads(report.model_dump_json()), json.loads(PUBLISHED.read_text()))
    assert report.as_expected
