# SPDX-License-Identifier: MIT
"""`sealspec diff`: the table, the cases that are drawn, the document, the exit codes."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema
import pytest
import z3

from checker.documents.layouts import LayoutDoc
from checker.machine import perform
from reports.cli import main
from reports.cli_diff import Request, diff
from spec.editions import EDITIONS
from spec.syscalls import CALLS

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = DOCS / "DIFF.md"
SCHEMA = json.loads((DOCS / "schema" / "diff.json").read_text("utf-8"))


@cache
def mprotect() -> tuple[int, str, dict[str, Any]]:
    """The exit code, what is printed, and the document of one run (some seconds), made once."""
    out = io.StringIO()
    with TemporaryDirectory() as folder, redirect_stdout(out):
        written = Path(folder, "diff.json")
        code = main(["diff", "v10", "v6.12", "mprotect", "--jobs", "1", "--json", str(written)])
        return code, out.getvalue(), json.loads(written.read_text("utf-8"))


def test_mprotect_is_weaker() -> None:
    """From 6.12 on the loop has changed what lies before the sealed VMA when it comes to it."""
    code, out, _ = mprotect()
    assert code == 0
    lines = out.splitlines()
    assert "  v10:   A call that changes memory looks for seals in the whole range, before anything changes" in lines
    assert "  v6.12: A call that changes memory looks for seals in each VMA, as the changing loop reaches it" in lines
    assert "UP_FRONT" not in out
    head = next(i for i, text in enumerate(lines) if text.startswith("call "))
    assert lines[head].split() == ["call", "pages", "result", "boundaries", "smallest", "cases"]
    assert lines[head + 1].split()[:7] == ["mprotect", "<", "weaker", "!", "differs", "!", "differs"]
    assert "EPERM -> EPERM, pages changed" in lines[head + 1]
    case = lines.index("mprotect: v6.12 is weaker [2 VMAs, 2 pages]")
    drawn = "\n".join(lines[case:]).split("\nmprotect: ")[0]
    assert "v10: -1 EPERM (mprotect: a VMA of the range is sealed)\n    nothing is changed" in drawn
    assert "v6.12: -1 EPERM (mprotect: the VMA is sealed)\n  after, in v6.12" in drawn
    assert "1 call: pages weaker; result differs; boundaries differ" in lines
    assert lines[-1].endswith("every call is decided; the two do not do the same")


def test_the_document_is_what_happens() -> None:
    """It is of the published form, and each case, made again from its words on its layout, ends as it says."""
    _, _, document = mprotect()
    jsonschema.validate(document, SCHEMA)
    (call,) = document["calls"]
    assert (call["call"], call["verdict"], call["result"], call["boundaries"]) == (
        "mprotect", "weaker", "differs", "differs",
    )  # fmt: skip
    assert [(p["level"], p["direction"]) for p in call["partings"]] == [
        ("pages", "weaker"), ("result", ""), ("boundaries", ""),
    ]  # fmt: skip
    for parting in call["partings"]:
        for name, key in (("v10", "first"), ("v6.12", "second")):
            outcome = parting[key]
            state = LayoutDoc.model_validate(parting["before"]).to_state()
            result = perform(state, EDITIONS[name], "mprotect", parting["words"], failures=parting["failures"])
            told = outcome["edition"], outcome["errno"], outcome["value"], outcome["check"]
            assert told == (name, result.errno.name, result.value, result.check)
            assert LayoutDoc.from_state(state) == LayoutDoc.model_validate(outcome["after"])
    weaker = call["partings"][0]
    before, after = ({v["start"]: v["prot"] for v in x["vmas"]} for x in (weaker["before"], weaker["second"]["after"]))
    assert before != after
    assert "sealed" in weaker["before"]["vmas"][1]["flags"] and "sealed" not in weaker["before"]["vmas"][0]["flags"]


def test_a_page_level_that_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "v10", "v6.12", "munmap", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    row = next(text for text in out.splitlines() if text.startswith("munmap  "))
    assert row.split()[:7] == ["munmap", "=", "same", "!", "differs", "!", "differs"]
    assert "munmap: the result differs [1 VMA, 3 pages]" in out
    assert "1 call: pages same; result differs; boundaries differ" in out
    assert "munmap: the boundaries differ [2 VMAs, 3 pages]" in out
    (example,) = re.findall(r"\$ sealspec diff v10 v6.12 munmap\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    printed = "\n".join(text.rstrip() for text in out.splitlines())
    for shown in example.split("...\n"):
        assert shown in printed, "docs/DIFF.md shows something else"


def test_an_edition_and_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """The document alone is on standard output; all else is on standard error."""
    assert main(["diff", "v6.12", "v6.12", "--jobs", "1", "--json", "-"]) == 0
    written, told = capsys.readouterr()
    document = json.loads(written)
    jsonschema.validate(document, SCHEMA)
    assert [call["call"] for call in document["calls"]] == list(CALLS)
    assert all(call["verdict"] == call["result"] == call["boundaries"] == "same" for call in document["calls"])
    assert "the two do the same (proved)" in told


def test_a_call_that_is_left_out_is_absent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "mimmutable", "mimmutable", "--jobs", "1"]) == 0
    rows = [text.split() for text in capsys.readouterr().out.splitlines()]
    assert ["mlock", "-", "absent", "-", "absent", "-", "absent", "not", "in", "mimmutable"] in [r[:10] for r in rows]


def test_a_solver_that_gives_up(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As with a `--timeout` that is too small, on any machine: nothing is proved, and that is said."""
    monkeypatch.setattr(z3.Solver, "check", lambda self, *assumptions: z3.unknown)
    in_this_process = Request("v10", "v6.12", ["munmap"], json_file=None, timeout_ms=1, jobs=0, cache=False)
    assert diff(in_this_process) == 1
    out = capsys.readouterr().out
    row = next(text for text in out.splitlines() if text.startswith("munmap "))
    assert row.split()[:7] == ["munmap", "?", "unknown", "?", "unknown", "?", "unknown"]
    assert "the solver gave up" in row
    assert out.splitlines()[-1].endswith("undecided: munmap")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["two-pas", "v10"], "unknown edition 'two-pas'; did you mean two-pass"),
        (["v6.99", "v10"], "kernel v6.99: there is no such release, 7.0 came after 6.19; the table:"),
        (["v10", "six"], "unknown edition 'six'"),
        (["v10", "v6.12", "mmunmap"], "unknown call 'mmunmap'; did you mean munmap"),
        (["v6.18", "mimmutable", "mlock"], "edition mimmutable says nothing of mlock; its calls: mseal, "),
        (["mimmutable", "v6.18", "mlock"], "edition mimmutable says nothing of mlock"),
        (["v10"], "Missing argument"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and told in err
    assert len(err.strip().splitlines()) == 1


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(tmp_path / "no" / "diff.json")
    assert main(["diff", "v10", "v10", "munmap", "--jobs", "1", "--json", target]) == 2
    err = capsys.readouterr().err
    assert "cannot be written" in err and "Traceback" not in err
