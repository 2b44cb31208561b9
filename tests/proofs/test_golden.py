# SPDX-License-Identifier: MIT
"""The recorded verdicts of all editions: they are those that are expected, and a difference is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofs import golden
from proofs.golden import differences, main, recorded
from proofs.lemmas import LEMMAS_BROKEN, lemmas_of
from proofs.matrix import COLUMNS
from proofs.results import ProofReport
from proofs.run import UNREACHABLE, prove
from proofs.survivors import why_it_survives
from proofs.theorems import theorems
from spec.editions import EDITIONS

NAMES = [path.stem.removeprefix("verdicts-") for path in sorted(golden.FOLDER.glob("verdicts-*.json"))]
"""The editions whose verdicts are recorded."""
REPLACED = {
    "mmap: MAP_SHARED_VALIDATE does not know MAP_FIXED_NOREPLACE":  # one of many flags now
    "mmap: MAP_SHARED_VALIDATE with a flag that the file does not have",
}
"""Checks that survived when an edition was recorded and are no more, and those in their place; v10 is recorded anew."""


def test_these_editions_are_recorded() -> None:
    nine = ("v10", "v6.11", "v6.12", "v6.17", "v6.18", "v7.3", "two-pass", "munmap-variant", "mimmutable")
    assert set(nine) <= set(NAMES) <= set(EDITIONS)


def of_kind(edition: str, kind: str) -> dict[str, str]:
    """The recorded facts of a kind, without that word in their names."""
    return {n.removeprefix(kind + " "): told for n, told in recorded(edition).items() if n.startswith(kind + " ")}


@pytest.mark.parametrize("edition", NAMES)
def test_what_is_recorded_is_what_is_expected(edition: str) -> None:
    """Every theorem and lemma of the edition with its expected verdict; what is not reached and what survives, with a
    reason that is stated; nothing that is undecided."""
    named = EDITIONS[edition]
    wanted = {f"{t.property.name} {t.call}": t.expected for t in theorems(named)}
    found = of_kind(edition, "theorem")
    assert found == wanted
    broken = {name: "refuted" for name, where in LEMMAS_BROKEN if where == edition}
    lemmas = dict.fromkeys(lemmas_of(named), "proved") | broken
    assert of_kind(edition, "lemma") == lemmas
    for ending, told in of_kind(edition, "ending").items():
        head, check = ending.split(": ", 1)
        _, editions = UNREACHABLE.get((head.split()[0], check), ("", ()))
        assert (told == "not reached") == (edition in editions), ending
    for mutant, told in of_kind(edition, "mutant").items():
        call, check = mutant.split(": ", 1)
        is_listed = bool(why_it_survives(call, check, named)) or (edition != "v10" and check in REPLACED)
        assert (told == "survives") == is_listed, mutant
    cells = of_kind(edition, "cell")
    assert len(cells) % len(COLUMNS) == 0 and cells
    assert set(cells.values()) <= {"atomic", "partial pages", "partial boundaries", "unreachable"}


def test_what_was_replaced_is_no_more() -> None:
    """The exceptions are used, and none of them is a check of today."""
    for old, new in REPLACED.items():
        assert any(f"mutant mmap: {old}" in recorded(edition) for edition in NAMES)
        assert f"mutant mmap: {old}" not in recorded("v10") and f"mutant mmap: {new}" in recorded("v10")


@pytest.mark.parametrize("edition", NAMES)
def test_the_files_are_as_they_are_written(edition: str) -> None:
    """One fact a line, in order: so a change is a line of a diff."""
    text = golden.path_of(edition).read_text("utf-8")
    assert text == json.dumps(recorded(edition), indent=0, sort_keys=True) + "\n"
    assert len(text.splitlines()) == len(recorded(edition)) + 2


@pytest.fixture(scope="module")
def report() -> ProofReport:
    """What is decided of a call in a second."""
    return prove("v10", calls=["reclaim"], lemmas=False)


def test_a_part_of_an_edition_is_as_recorded(report: ProofReport) -> None:
    facts = golden.proved(report)
    assert len(facts) > 10
    assert differences("v10", facts, whole=False) == []


def test_every_difference_is_told(report: ProofReport) -> None:
    """A changed verdict, a fact that is new, one that is missing: each by its name."""
    facts = {**recorded("v10"), "theorem never-unmapped munmap": "refuted", "theorem new munmap": "proved"}
    del facts["lemma verbs"]
    assert differences("v10", facts) == [
        "v10: lemma verbs: proved is recorded, not there is decided",
        "v10: theorem never-unmapped munmap: proved is recorded, refuted is decided",
        "v10: theorem new munmap: not there is recorded, proved is decided",
    ]
    assert len(differences("v10", golden.proved(report))) > 100


def test_the_command(
    report: ProofReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It records what a report says, keeps what other reports said, and compares; exit status 1 for a difference."""
    written = tmp_path / "report.json"
    written.write_text(report.model_dump_json(), encoding="utf-8")
    assert main(["--from", str(written)]) == 1
    assert "theorem never-unmapped munmap: proved is recorded, not there is decided" in capsys.readouterr().out
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    golden.record("v10", {"cell munmap ENOMEM": "atomic"})
    assert main(["--from", str(written), "--write"]) == 0
    assert recorded("v10") == {"cell munmap ENOMEM": "atomic", **golden.proved(report)}
    assert main(["--from", str(written)]) == 0
    assert "all " in capsys.readouterr().out
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    assert main(["--from", str(tmp_path / "other.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
