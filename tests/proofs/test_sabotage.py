# SPDX-License-Identifier: MIT
"""Sabotage: no entry of the catalogue is stale, and the command tells an error that is seen from one that lives."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from proofs.sabotage import __main__ as command
from proofs.sabotage import catalogue
from proofs.sabotage.catalogue import ROOT, BadCatalogue, Sabotage, problems, read
from proofs.sabotage.guards import LemmaGuard

ENTRIES = read()
ENTRY = """
[[sabotage]]
error = "{error}"
file = "{file}"
anchor = '''{anchor}'''
replacement = '''{replacement}'''
guard = {{ kind = "lemma", lemma = "embedding" }}
"""


@pytest.fixture(autouse=True)
def _in_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_no_entry_is_stale() -> None:
    """Every anchor occurs exactly once, what stands instead is a program, and every guard has what it names."""
    assert list(problems(ENTRIES)) == []
    assert len(ENTRIES) >= 150
    assert {entry.room for entry in ENTRIES} >= {"calls", "engine", "verbs", "prover"}


def test_what_is_stale_is_told() -> None:
    entry = Sabotage(
        error="an error", file="spec/errors.py", anchor="no such text", replacement="", room="room",
        guard=LemmaGuard(kind="lemma", lemma="no such lemma"),
    )  # fmt: skip
    assert list(problems([entry, entry])) == [
        "room: an error: spec/errors.py: the anchor occurs 0 times",
        "room: an error: guard: no lemma no such lemma",
        "room: an error: there are two of this name",
        "room: an error: spec/errors.py: the anchor occurs 0 times",
        "room: an error: guard: no lemma no such lemma",
    ]
    broken = entry.model_copy(update={"anchor": "from enum import IntEnum", "replacement": "from from"})
    assert any("invalid syntax" in told for told in problems([broken]))


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    drawn = command.sample(ENTRIES, 12, "a revision")
    assert drawn == command.sample(ENTRIES, 12, "a revision") != command.sample(ENTRIES, 12, "another")
    assert len(drawn) == 12 and not any(entry.slow for entry in drawn)


@pytest.mark.parametrize("text", ["[[sabotage]]\nerror = 1", "no toml", '[[sabotage]]\nguard = { kind = "prayer" }'])
def test_a_bad_catalogue_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "room.toml").write_text(text)
    with pytest.raises(BadCatalogue) as told:
        read(tmp_path)
    assert str(told.value).startswith("room.toml: ") and "\n" not in str(told.value)


def write(folder: Path, **entries: tuple[str, str, str]) -> None:
    """A catalogue of one room."""
    text = [
        ENTRY.format(error=name, file=file, anchor=anchor, replacement=replacement)
        for name, (file, anchor, replacement) in entries.items()
    ]
    (folder / "room.toml").write_text("".join(text))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty catalogue, which the command reads; and no copy of the source anywhere else."""
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(command, "read", lambda: read(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "copies"))
    return tmp_path


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One error is seen, one lives, one is no program that runs: exit status 1, and nothing is left behind."""
    source = "proofs/lemmas/words.py"
    write(
        folder,
        seen=(source, "whole(a - b) != whole(a)", "whole(a - b) == whole(a)"),
        lives=(source, "embedding: sums", "embedding: of sums"),
        slip=(source, "    def whole(w", "    no_such_name\n\n    def whole(w"),
    )
    status = command.main(["--jobs", "2", "--json", str(folder / "told.json")])
    shown = capsys.readouterr().out.splitlines()
    assert status == 1
    assert [line.split()[1] for line in shown if line.startswith("  ")] == ["red", "GREEN", "error"]
    assert shown[-1] == "3 errors, 1 red; 1 guards on the source as it is, 0 not green"
    told = {outcome["error"]: outcome for outcome in json.loads((folder / "told.json").read_text())}
    assert told["the source as it is"]["verdict"] == "green"
    assert "embedding: differences" in told["seen"]["why"]
    assert "NameError" in told["slip"]["why"]
    assert os.listdir(folder / "copies") == []
    assert (ROOT / source).read_text("utf-8").count("whole(a - b) != whole(a)") == 1


def test_an_entry_that_is_seen_is_exit_status_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, seen=("proofs/lemmas/words.py", "whole(a - b) != whole(a)", "whole(a - b) == whole(a)"))
    assert command.main(["--jobs", "1"]) == 0
    assert command.main(["--seconds", "0.01"]) == 1
    assert "timeout" in capsys.readouterr().out


def test_a_stale_entry_is_exit_status_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, stale=("proofs/lemmas/words.py", "no such text", ""))
    assert command.main([]) == 2
    assert capsys.readouterr().err == "room: stale: proofs/lemmas/words.py: the anchor occurs 0 times\n"
    with pytest.raises(SystemExit) as ended:
        command.main(["--room", "none"])
    assert ended.value.code == 2


def test_the_catalogue_is_beside_the_program() -> None:
    assert {path.name for path in catalogue.FOLDER.glob("*.toml")} == {f"{entry.room}.toml" for entry in ENTRIES}
