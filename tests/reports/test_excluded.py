# SPDX-License-Identifier: MIT
"""Whoever asks for what is not modelled is told so, with the place that says why."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from reports.cli import main
from spec.excluded import DOCUMENT, EXCLUDED, excluded
from spec.syscalls import CALLS

ROOT = Path(__file__).parents[2]
NAMES = sorted({name for entry in EXCLUDED for name in entry.names})
MAP = {"call": "mmap", "addr": "0x200000008000", "len": 4096, "prot": 3, "flags": 0x132, "errno": 0}
GROWING = {"name": "growing", "steps": [MAP, {"call": "write", "addr": "0x200000007000", "byte": 1}]}
PLAIN = {"name": "plain", "steps": [MAP]}
OTHER = {"name": "other", "steps": [{**MAP, "errno": 12}]}


def test_every_place_is_there_and_no_name_is_modelled() -> None:
    anchors = re.findall(r'<a id="([^"]+)"></a>', (ROOT / DOCUMENT).read_text())
    assert len(set(anchors)) == len(anchors)
    assert {entry.anchor for entry in EXCLUDED} | {"machine-facts"} == set(anchors)
    assert not set(NAMES) & set(CALLS)
    assert excluded("msea") is None and excluded(7) is None
    assert str(excluded("MBIND")) == str(excluded("mbind")).replace("mbind is", "MBIND is")


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain"],
        ["prove", "--call"],
        ["find", "never-unmapped", "--call"],
        ["diff", "v10", "v6.12"],
        ["matrix", "--call"],
    ],
)
@pytest.mark.parametrize("name", ["userfaultfd", "mlockall", "shmat", "io_uring_enter", "process_madvise"])
def test_commands_say_that_a_call_is_not_modelled(
    arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, name]) == 2
    out, err = capsys.readouterr()
    assert f"{name} is not modelled: " in err and f"{DOCUMENT}#" in err
    assert "did you mean" not in out + err


@pytest.mark.parametrize("name", NAMES)
def test_a_step_says_that_it_is_not_modelled(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"name": "s", "steps": [{"call": name}]}))
    assert main(["run", str(file)]) == 2
    told = capsys.readouterr().err
    assert "/steps/0/call" in told and f"{name} is not modelled" in told.replace("\n", " ")


def test_a_refused_scenario_does_not_keep_the_others_from_running(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "many.jsonl"
    file.write_text("\n".join(json.dumps(document) for document in (PLAIN, GROWING, PLAIN)) + "\nnot JSON\n")
    assert main(["run", str(file), "--json", str(tmp_path / "out.jsonl")]) == 2
    out, err = capsys.readouterr()
    assert [line.split(": ")[0] for line in err.splitlines()] == ["refused", "refused"]
    assert "stack-growth" in err and "many.jsonl:4: not JSON" in err
    assert "2 scenarios (2 refused), 2 steps: all 2 expected answers agree" in out
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


def test_the_exit_code_says_that_something_was_refused_before_all_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "many.jsonl"
    file.write_text("\n".join(json.dumps(document) for document in (OTHER, GROWING)))
    assert main(["run", str(file)]) == 2
    assert "errno differs" in capsys.readouterr().out
    file.write_text("\n".join(json.dumps(document) for document in (OTHER, PLAIN)))
    assert main(["run", str(file)]) == 1


def test_alone_it_is_refused_as_any_bad_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps(GROWING))
    assert main(["run", str(file)]) == 2
    assert "/steps/1: a write below a MAP_GROWSDOWN VMA is not modelled" in capsys.readouterr().err.replace("\n", " ")
