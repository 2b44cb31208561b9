# SPDX-License-Identifier: MIT
"""What proofs used, and which checks they did not."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from proofs.survivors import expected_survivors
from proofs.why import WhyReport, report_of, why
from reports.cli import main
from spec.editions import EDITIONS

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema"
SEALED = "munmap: a VMA to unmap is sealed"


def asked(properties: list[str] | None, calls: list[str]) -> WhyReport:
    return report_of("v10", why("v10", properties, calls, 20_000, 0), complete=True)


@pytest.fixture(scope="module")
def munmap() -> WhyReport:
    return asked(None, ["munmap"])


def test_a_proof_names_the_check_that_it_rests_on(munmap: WhyReport) -> None:
    theorem = next(t for t in munmap.theorems if t.property == "never-unmapped")
    assert theorem.verdict == "proved"
    assert ("check", SEALED) in {(fact.kind, fact.name) for fact in theorem.used}
    succeeding = [path for path in theorem.paths if path.ending.startswith("OK")]
    assert succeeding
    for path in succeeding:
        assert SEALED in {fact.name for fact in path.facts if fact.kind == "check"}
    assert all(fact.kind for path in theorem.paths for fact in path.facts)


def test_a_theorem_that_is_refuted_has_no_proof_to_tell_of(munmap: WhyReport) -> None:
    theorem = next(t for t in munmap.theorems if t.property == "failure-changes-nothing")
    assert (theorem.verdict, theorem.used, theorem.paths) == ("open", [], [])


def test_a_clause_of_well_formedness_is_named_by_its_words() -> None:
    (theorem,) = asked(["well-formed-stays"], ["reclaim"]).theorems
    clauses = {fact.name for fact in theorem.used if fact.kind == "clause"}
    assert "not: it is empty (vm_end is not above vm_start)" in clauses


@pytest.mark.parametrize("call", ["munmap", "mseal", "mlock"])
def test_what_no_proof_used_survives(call: str, munmap: WhyReport) -> None:
    """A check whose facts no proof used can be dropped: the mutant must be a known survivor."""
    report = munmap if call == "munmap" else asked(None, [call])
    unused = {use.check for use in report.checks if not use.needed_by}
    assert report.checks
    assert unused <= set(expected_survivors(call, EDITIONS["v10"]))


def test_only_all_theorems_of_a_call_say_what_needs_its_checks(munmap: WhyReport) -> None:
    assert munmap.checks and not asked(["never-unmapped"], ["munmap"]).checks


def test_the_command_shows_the_checks_and_writes_what_is_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "why.json"
    arguments = ["why", "never-unmapped", "--call", "munmap", "--json", str(file), "--jobs", "1"]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert f"check passes on every page: {SEALED}" in told and "path 0, " in told and "assumptions: ATOMIC" in told
    jsonschema.validate(json.loads(file.read_text()), json.loads((PUBLISHED / "why.json").read_text()))


def test_there_is_no_proof_of_what_is_refuted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "failure-changes-nothing", "-c", "munmap", "-e", "v10", "--jobs", "1"]) == 1
    assert "there is no proof: sealspec find failure-changes-nothing --call munmap" in capsys.readouterr().out


def test_a_property_that_does_not_speak_of_the_call_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "partial-seal-is-a-prefix", "-c", "munmap"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
