# SPDX-License-Identifier: MIT
"""The published schemas are those that the reports have."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from proofs.results import schemas
from proofs.run import prove

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema"


def test_the_published_schemas_are_fresh() -> None:
    for name, text in schemas().items():
        assert (PUBLISHED / name).read_text("utf-8") == text, name


def test_a_report_is_as_published() -> None:
    report = prove("v10", calls=["mseal", "mseal32", "reclaim"], mutants=False, lemmas=False)
    jsonschema.validate(json.loads(report.model_dump_json()), json.loads((PUBLISHED / "proof.json").read_text("utf-8")))
    assert report.as_expected
