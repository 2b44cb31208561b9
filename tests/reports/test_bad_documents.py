# SPDX-License-Identifier: MIT
"""Bad documents, whatever reads them: one clear line that says what is wrong and where, exit code 2, nothing done."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checker.digest import case_digest
from checker.documents.files import load_document
from checker.lab import batches
from checker.lab.batches import Machine
from reports.cli import main
from spec.properties import PROPERTIES
from tests.checker.documents import partial_seal, plain_trace
from tests.lab.test_conform import WITH_KEYS

Change = Callable[[dict[str, Any]], object]

MAP: dict[str, Any] = {"call": "mmap", "addr": "0x200000000000", "len": 4096, "prot": 3, "flags": 50}
SCENARIO: dict[str, Any] = {"name": "n", "edition": "v6.18", "steps": [MAP]}
EXAMPLE = partial_seal("v6.18").model_dump(mode="json")
TRACE = plain_trace("v6.18").model_dump(mode="json")
REPLAY: dict[str, Any] = {
    "case": case_digest(partial_seal("v6.18")), "property": "failed-mseal-seals-nothing", "call": "mseal",
    "edition": "v6.18", "kernel": "6.18.0", "verdict": "confirmed", "reason": "",
}  # fmt: skip
REPLAYS: dict[str, Any] = {"format": "mseal-spec/replays/2", "probe": None, "replays": [REPLAY]}
STATE: dict[str, Any] = {
    "format": "mseal-spec/conform/1", "kernel": "running", "release": "0", "machine": {}, "edition": "v6.18", "seed": 7,
    "done": [[0, 5]], "sequences": 5, "steps": 20, "seconds": 1.0,
}  # fmt: skip
REPORT: dict[str, Any] = {
    "edition": "v6.18", "kernel": "", "solver": "", "assumptions": [], "lemmas": [], "reachability": [], "mutants": [],
    "blocked_advice": [], "seconds": 0.0, "complete": True,
    "theorems": [
        {
            **dict.fromkeys(("sentence", "source", "engine", "reason", "mended", "why"), ""),
            "property": "failed-mseal-seals-nothing", "call": "mseal", "edition": "v6.18", "expected": "refuted",
            "verdict": "refuted", "as_expected": True, "seconds": 0.0, "queries": 1, "assumptions": [], "witness": None,
            "counterexample": EXAMPLE,
        }
    ],
}  # fmt: skip


def step(**more: object) -> Change:
    """The scenario's only step with other fields."""
    return lambda data: data["steps"][0].update(more)


def put(*path: Any) -> Change:
    """The last of these at the place that the others lead to."""

    def change(data: Any) -> None:
        *way, key, value = path
        for part in way:
            data = data[part]
        data[key] = value

    return change


SCENARIOS: list[tuple[Change, str, str]] = [
    (step(ret='system("id")'), "/steps/0/ret", "a result is"),
    (step(ret="[/x]"), "/steps/0/ret", "a result is"),
    (step(ret="p48"), "/steps/0/ret", "p47"),
    (step(ret="p0\n"), "/steps/0/ret", "a result is"),
    (step(ret=0), "/steps/0/ret", "string"),
    (step(vmas=["hello"]), "/steps/0/vmas/0", "a line of VMAs is such as"),
    (step(vmas=['"); system("id"); ("']), "/steps/0/vmas/0", "a line of VMAs"),
    (step(vmas=["0-1 rw-p anon\nx"]), "/steps/0/vmas/0", "a line of VMAs"),
    (step(vmas=["1-1 rw-p anon"]), "/steps/0/vmas/0", "from a page to a later one"),
    (step(vmas=["0-99999999999999999999 rw-p anon"]), "/steps/0/vmas/0", "a line of VMAs"),
    (step(vmas=["0-1 rw-p anon lo sl"]), "/steps/0/vmas/0", "a line of VMAs"),
    (step(vmas=["0-1 rw-p anon k16"]), "/steps/0/vmas/0", "a line of VMAs"),
    (step(vmas=["٠-١ rw-p anon"]), "/steps/0/vmas/0", "a line of VMAs"),
    (step(vmas="0-1 rw-p anon"), "/steps/0/vmas", "tuple"),
    (step(bytes="0G"), "/steps/0/bytes", "two characters"),
    (step(bytes="00" * 49), "/steps/0/bytes", "48 pages at most"),
    (step(errno="EPERM"), "/steps/0/errno", "integer"),
    (step(errno=4096), "/steps/0/errno", "4095"),
    (step(errno=True), "/steps/0/errno", "integer"),
    (step(addr="0x; id"), "/steps/0/addr", "an address is"),
    (step(len=10**4000), "/steps/0/len", "less than"),
    (step(flags=[[[[]]]]), "/steps/0/flags", "integer"),
    (step(failures=["*/"]), "/steps/0", "no environment failure"),
    (step(**{"*/ x": 1}), "/steps/0/*~1 x", "unknown key"),
    (step(call="x" * 100_000), "/steps/0/call", "unknown call 'xxx"),
    (put("edition", "*/"), "/edition", "unknown edition"),
    (put("name", None), "/name", "string"),
    (put("name", "\ud800"), "", "half a character"),
    (put("steps", {}), "/steps", "tuple"),
    (put("kernel", "x"), "/kernel", "Kernel"),
]
"""For `run` and `reproduce`."""

EXAMPLES: list[tuple[Change, str, str]] = [
    (put("property", "never-unmapped"), "/sentence", "never-unmapped says 'A sealed page stays mapped.'"),
    (
        lambda data: data.update(
            property="never-unmapped", sentence=PROPERTIES["never-unmapped"].sentence, expected="proved"
        ),
        "/culprit/page",
        "does not break never-unmapped",
    ),
    (put("property", "fork-keeps-seals"), "/property", "fork-keeps-seals says nothing of mseal"),
    (put("property", "nope"), "/property", "unknown property 'nope'"),
    (put("property", "gap-seals-nothing"), "/sentence", "gap-seals-nothing says"),
    (put("property", "a\x1b[2J"), "/property", "unknown property"),
    (put("sentence", "A failed mseal is fine."), "/sentence", "failed-mseal-seals-nothing says"),
    (put("call", "munmap"), "/call", "the last step calls mseal"),
    (put("call", "*/"), "/call", "the last step calls mseal"),
    (put("expected", "held"), "/expected", "'refuted', not 'held'"),
    (put("expected", "proved"), "/expected", "'refuted', not 'proved'"),
    (put("assumptions", ["MAGIC"]), "/assumptions/0", "unknown assumption 'MAGIC'"),
    (put("assumptions", ["NOT_LAZY"]), "/assumptions/0", "does not assume NOT_LAZY"),
    (put("culprit", "page", 5), "/culprit/page", "does not break failed-mseal-seals-nothing at page 5"),
    (put("culprit", "page", EXAMPLE["culprit"]["page"] + 1), "/culprit/page", "does not break"),
    (put("culprit", "page", None), "/culprit/page", "breaks at a page, which is missing"),
    (put("size", "vmas", 1), "/size/vmas", "the document has 2, not 1"),
    (put("size", "pages", 10**10), "/size/pages", "the document has 3"),
    (put("size", "calls", 2), "/size/calls", "the document has 1, not 2"),
    (put("steps", 0, "range", [0, 1]), "/steps/0/range", "the call is about the pages"),
    (put("steps", 0, "range", None), "/steps/0/range", "not no pages"),
    (put("steps", 0, "words", "flags", "0"), "/steps/0/words/flags", "integer"),
    (put("steps", 0, "words", {}), "/steps/0", "takes the words addr, len, flags"),
    (put("steps", 0, "result", "errno", "EVIL"), "/steps/0/result/errno", "unknown errno 'EVIL'"),
    (put("steps", 0, "call", "exit"), "/steps/0/call", "unknown call 'exit'"),
    (put("steps", []), "/steps", "at least 1"),
    (put("edition", "v11"), "/edition", "unknown edition 'v11'"),
    (put("edition", "two-pass"), "/expected", "'proved', not 'refuted'"),
    (put("format", "mseal-spec/run/1"), "/format", "mseal-spec/counterexample/1"),
    (put("before", "vmas", 0, "prot", '"/>'), "/before/vmas/0/prot", "pattern"),
    (put("before", "vmas", 0, "flags", ["</script>"]), "/before/vmas/0/flags/0", "sealed"),
    (put("before", "vmas", 1, "start", 1), "/before/vmas/1", "it begins before VMA 0 ends"),
    (put("more", 1), "/more", "unknown key 'more'"),
]
"""For `show`, `reproduce` and `replay`."""

READ_BACK: list[tuple[list[str], dict[str, Any], Change, str, str]] = [
    (reader, data, change, at, told)
    for reader, data, changes in (
        (
            ["report", "--out", "OUT", "--replay", "FILE"],
            REPLAYS,
            [
                (put("format", "x"), "/format", "neither what sealspec replay --json"),
                (put("format", "mseal-spec/lab/1"), "/format", "run sealspec replay or lab again"),
                (put("replays", 0, "property", "nope"), "", "no such theorem"),
                (put("replays", 0, "edition", "v11"), "/replays/0/edition", "unknown edition"),
                (put("replays", 0, "verdict", "proved"), "/replays/0/verdict", "confirmed"),
                (put("replays", 0, "verdict", "not confirmed"), "/replays/0", "and the reason ''"),
                (put("replays", 0, "case", "../../x"), "/replays/0/case", "pattern"),
                (put("replays", {}), "/replays", "tuple"),
            ],
        ),
        (
            ["conform", "--edition", "v6.18", "--resume", "FILE"],
            STATE,
            [
                (put("sequences", 50), "", "'sequences' is 50, and 'done' has 5"),
                (put("done", [[5, 0]]), "", "not in order"),
                (put("done", [[0, 3], [2, 4]]), "", "overlap"),
                (put("sequences", -1), "/sequences", "greater than"),
                (put("seed", "7"), "/seed", "integer"),
                (put("seconds", -1), "/seconds", "greater than"),
                (put("machine", None), "/machine", "Kernel"),
            ],
        ),
        (
            ["replay", "--all", "--edition", "v6.18", "--report", "FILE"],
            REPORT,
            [
                (put("edition", "v10"), "/edition", "a report about 'v10', not v6.18"),
                (put("theorems", 0, "property", "nope"), "/theorems/0", "no theorem"),
                (put("theorems", 0, "verdict", "proved"), "/theorems/0/verdict", "the counterexample is there"),
                (put("theorems", 0, "counterexample", None), "/theorems/0/verdict", "the counterexample is missing"),
                (
                    put("theorems", 0, "counterexample", "culprit", "page", 5),
                    "/theorems/0/counterexample/culprit/page",
                    "does not break",
                ),
                (
                    put("theorems", 0, "counterexample", "steps", 0, "result", "errno", "OK"),
                    "/theorems/0/counterexample",
                    "not confirmed",
                ),
            ],
        ),
    )
    for change, at, told in changes
]  # fmt: skip

TEXTS: list[tuple[bytes, str]] = [
    (b"", "the file is empty"),
    (b"\x00", "not JSON"),
    (b"[]", "not a JSON object"),
    (b"\xff\xfe", "not UTF-8"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"a": ' * 50_000, "nested too deeply"),
    (b'{"format": NaN}', "NaN is not JSON"),
    (b'{"format": 1, "format": 2}', "appears twice"),
    (b'{"seed": ' + b"9" * 5000 + b"}", "too many digits"),
]
"""What is no document at all."""


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel is looked at."""

    def look_at(kernel: object) -> Machine:
        return WITH_KEYS

    monkeypatch.setattr(batches, "look_at", look_at)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], *told: str) -> None:
    """Exit code 2, and one printable line that says all this."""
    code = main(arguments)
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), (arguments, out, err)
    assert err.count("\n") == 1 and err.rstrip("\n").isprintable(), err
    assert err.startswith("sealspec: ") and len(err) < 2000, err
    assert all(text in err for text in told), (told, err)


def file_of(folder: Path, data: dict[str, Any], change: Change) -> str:
    """The changed document in a file."""
    made = copy.deepcopy(data)
    change(made)
    path = folder / "bad.json"
    path.write_text(json.dumps(made), encoding="ascii")
    return str(path)


def test_the_documents_are_good_before_they_are_changed(tmp_path: Path) -> None:
    for data in (SCENARIO, EXAMPLE, TRACE):
        path = file_of(tmp_path, data, lambda data: None)
        assert len(load_document(path)) == 1
        assert main(["run" if data is SCENARIO else "show", path]) == 0


@pytest.mark.parametrize("number", range(len(SCENARIOS)))
def test_scenarios(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, at, told = SCENARIOS[number]
    path = file_of(tmp_path, SCENARIO, change)
    for command in (["run"], ["reproduce", "--format", "c"], ["reproduce", "--check"]):
        refused([command[0], path, *command[1:]], capsys, path, at, told)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_counterexamples(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, at, told = EXAMPLES[number]
    path = file_of(tmp_path, EXAMPLE, change)
    for command in ("show", "reproduce", "replay"):
        refused([command, path], capsys, path, at, told)


@pytest.mark.parametrize("number", range(len(READ_BACK)))
def test_what_commands_read_back(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, data, change, at, told = READ_BACK[number]
    names = {"FILE": file_of(tmp_path, data, change), "OUT": str(tmp_path / "out")}
    refused([names.get(word, word) for word in arguments], capsys, at, told)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_what_is_no_document(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, told = TEXTS[number]
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    readers = [["run"], ["show"], ["reproduce"], ["replay"], ["conform", "--edition", "v6.18", "--resume"]]
    readers += [["replay", "--all", "--edition", "v6.18", "--report"]]
    for reader in readers:
        refused([*reader, str(path)], capsys, str(path), told)
    wanted = told if content != b"[]" else "neither"
    refused(["report", "--out", str(tmp_path / "out"), "--replay", str(path)], capsys, str(path), wanted)
