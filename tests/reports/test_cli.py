# SPDX-License-Identifier: MIT
"""The command: documents in, answers out; and what it says of what is wrong."""

from __future__ import annotations

import json
import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from checker.documents.counterexamples import Counterexample
from checker.documents.files import dump_document
from checker.documents.layouts import LayoutDoc
from checker.machine import perform
from reports.cli import main
from spec.editions import EDITIONS, System
from spec.properties import PROPERTIES
from spec.syscalls import CALLS

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schema"
WINDOW = "0x200000000000"

MAP = {"call": "mmap", "addr": WINDOW, "len": 8192, "prot": 3, "flags": 0x32}
SEAL = {"call": "mseal", "addr": WINDOW, "len": 4096}
UNMAP = {"call": "munmap", "addr": WINDOW, "len": 8192}


def scenario(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A scenario document."""
    return {"name": "a sample", "steps": list(steps), **more}


def file_of(folder: Path, *documents: object, name: str = "document.json") -> str:
    """A file of one document, or of JSON lines."""
    path = folder / name
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
    return str(path)


def discarded() -> Counterexample:
    """MADV_DONTNEED on a sealed private file mapping: its page loses what was written to it."""
    first = 0x2_0000_0000
    layout = LayoutDoc.model_validate(
        {
            "vmas": [
                {
                    "start": first,
                    "end": first + 2,
                    "prot": "r--",
                    "backing": "file",
                    "object": 1,
                    "anon_vma": 1,
                    "flags": ["sealed"],
                }
            ],
            "pages": [{"page": first, "own": 7}],
        }
    )
    state, words = layout.to_state(), {"addr": first << 12, "len": 4096, "behavior": 4}
    result = perform(state, EDITIONS["v10"], "madvise", words)
    step = {
        "call": "madvise",
        "words": words,
        "range": (first, first + 1),
        "result": {"value": result.value, "errno": result.errno.name, "check": result.check},
        "after": LayoutDoc.from_state(state),
    }
    return Counterexample.model_validate(
        {
            "property": "private-file-contents-stay",
            "sentence": PROPERTIES["private-file-contents-stay"].sentence,
            "edition": "v10",
            "call": "madvise",
            "expected": "refuted",
            "before": layout,
            "steps": [step],
            "culprit": {"page": first, "why": "a program reads 0 where it read 7"},
            "size": {"vmas": 1, "pages": 2, "calls": 1},
        }
    )


def valid(document: object, schema: str) -> None:
    """Raises ValidationError unless the document is what the published schema says."""
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / schema).read_text("utf-8"))).validate(document)


# bad input --------------------------------------------------------------------------------------------------------

OVERLAP = {"layout": {"vmas": [{"start": 16, "end": 20}, {"start": 18, "end": 22}]}}
BEYOND = {"layout": {"vmas": [{"start": 16, "end": 1 << 36}]}}
EMPTY_VMA = {"layout": {"vmas": [{"start": 16, "end": 16}]}}

BAD_DOCUMENTS: list[tuple[str, object, tuple[str, ...]]] = [
    ("not an object", 7, ("document.json", "not a JSON object")),
    ("unknown call", scenario({**MAP, "call": "mmapp"}), ("/steps/0/call", "'mmapp'", "did you mean 'mmap'")),
    ("unknown key", scenario({**SEAL, "lenn": 1}), ("/steps/0/lenn", "did you mean 'len'")),
    ("missing key", scenario({"call": "mseal", "len": 1}), ("/steps/0/addr", "missing")),
    ("no steps", {"name": "x"}, ("/steps", "missing")),
    ("unknown edition", scenario(edition="v11"), ("/edition", "unknown edition 'v11'", "did you mean")),
    ("a number out of range", scenario({**SEAL, "len": -1}), ("/steps/0/len", "-1")),
    ("overlapping VMAs", scenario(**OVERLAP), ("/layout/vmas/1", "VMA 1", "0x12-0x16", "before VMA 0 ends")),
    ("beyond TASK_SIZE", scenario(**BEYOND), ("/layout/vmas/0", "VMA 0", "TASK_SIZE")),
    ("an empty VMA", scenario(**EMPTY_VMA), ("/layout/vmas/0", "VMA 0", "empty")),
    ("misaligned", scenario(layout={"vmas": [{"start": 16.5, "end": 20}]}), ("/layout/vmas/0/start", "16.5")),
    (
        "unknown failure",
        scenario({**MAP, "failures": ["mmap: the moon"]}),
        ("/steps/0", "mmap has no environment failure"),
    ),
    ("a bad counterexample", {"format": "mseal-spec/counterexample/1"}, ("/property", "missing")),
]


@pytest.mark.parametrize(("name", "document", "told"), BAD_DOCUMENTS, ids=[case[0] for case in BAD_DOCUMENTS])
def test_bad_documents(
    name: str, document: object, told: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(tmp_path, document)
    for command in ("run", "show"):
        one_line(main([command, path]), capsys, path, *told)


def one_line(code: int, capsys: pytest.CaptureFixture[str], *told: str) -> None:
    """The command ended with exit code 2, nothing on standard output, and one line that says all this."""
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    assert err.startswith("sealspec: ")
    assert all(text in err for text in told), err


BAD_USAGE: list[tuple[list[str], tuple[str, ...]]] = [
    (["frobnicate"], ("frobnicate",)),
    (["provee"], ("provee", "'prove'")),
    (["run"], ("DOC",)),
    (["run", "--edtion", "v10", "x"], ("--edtion", "--edition")),
    (["run", "missing.json"], ("missing.json", "No such file")),
    (["run", "."], ("cannot be read", "directory")),
    (["run", "missing.json", "--edition", "two-pas"], ("edition 'two-pas'", "did you mean", "two-pass")),
    (["run", "missing.json", "--edition", "v6.99"], ("kernel v6.99", "no such release", "sealspec list editions")),
    (["explain", "mprotcet"], ("call 'mprotcet'", "did you mean mprotect")),
    (["explain", "\x1b[31mred"], ("call",)),
    (["explain", "mseal", "-e", "10"], ("edition '10'", "v10")),
    (["list", "propertys"], ("'propertys'", "properties")),
    (["find", "never-unmaped"], ("property 'never-unmaped'", "never-unmapped")),
    (["find", "never-unmapped", "--call", "munmapp"], ("call 'munmapp'", "did you mean munmap")),
    (["find", "never-unmapped", "--call", "fork"], ("never-unmapped", "not of fork")),
    (["find", "never-unmapped", "--svg", "-", "--dot", "-"], ("--svg and --dot",)),
    (["prove", "--property", "never-moved"], ("property 'never-moved'", "never-")),
    (["prove", "--call", "mseel"], ("call 'mseel'", "mseal")),
    (["prove", "--edition", "v9"], ("edition 'v9'", "v10")),
    (["prove", "--property", "fork-keeps-seals", "--call", "mmap"], ("no theorem", "fork", "mmap")),
    (["prove", "--timeout", "0"], ("--timeout",)),
    (["prove", "--jobs", "none"], ("--jobs", "integer")),
    (["show", "missing.json", "--format", "png"], ("'png'", "svg")),
]


@pytest.mark.parametrize(("arguments", "told"), BAD_USAGE, ids=[" ".join(case[0]) for case in BAD_USAGE])
def test_bad_usage(arguments: list[str], told: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    one_line(main(arguments), capsys, *told)


BAD_FILES: list[tuple[str, bytes, str]] = [
    ("empty.json", b"", "empty"),
    ("text.json", b"{'name': 1}", "not JSON"),
    ("truncated.json", b'{"name": "x", "steps": [', "not JSON"),
    ("latin1.json", b'{"name": "\xe9"}', "UTF-8"),
    ("deep.json", b"[" * 100_000, "nested too deeply"),
    ("twice.json", b'{"name": "a", "name": "b", "steps": []}', "twice"),
    ("wrong.json.xz", b"not xz", "cannot be read"),
    ("cut.json.xz", lzma.compress(b'{"name": "a", "steps": []}')[:-20], "cannot be read"),
]


@pytest.mark.parametrize(("name", "content", "told"), BAD_FILES, ids=[case[0] for case in BAD_FILES])
def test_bad_files(name: str, content: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    one_line(main(["run", str(path)]), capsys, name, told)


def test_a_bad_line_among_good_ones_is_named_and_the_others_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(tmp_path, {"name": "a", "steps": []}, {"name": 3, "steps": []}, name="lines.jsonl")
    assert main(["run", path]) == 2
    out, err = capsys.readouterr()
    assert "a (edition v10)" in out and "1 scenario (1 refused), 0 steps" in out
    assert err.startswith(f"refused: {path}:2: /name") and err.count("\n") == 1


def test_output_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(tmp_path, scenario(MAP))
    code = main(["run", path, "-q", "--json", str(tmp_path / "nowhere" / "out.json")])
    assert code == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_wrong_kind_of_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_line(main(["show", file_of(tmp_path, scenario(MAP))]), capsys, "a scenario, not a counterexample", "run")
    path = file_of(tmp_path, discarded().model_dump(mode="json"))
    one_line(main(["run", path]), capsys, "a counterexample, not a scenario", "show")


# run ----------------------------------------------------------------------------------------------------------------


def test_run_prints_each_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(tmp_path, scenario(MAP, {"call": "write", "addr": WINDOW, "byte": 7}, SEAL, UNMAP))
    assert main(["run", path]) == 0
    out = capsys.readouterr().out
    for text in (
        "a sample (edition v10)",
        "mmap(addr 0x200000000000, len 0x2000, prot rw-, flags PRIVATE | FIXED | ANONYMOUS, fd -1, off 0x0)",
        "= p0",
        "write(addr 0x200000000000, byte 7)",
        "= -1 EPERM  (munmap: a VMA to unmap is sealed)",
        "0-1 rw-p anon sl",
        "bytes     07 00",
        "1 scenario, 4 steps; no expected answers were compared",
    ):
        assert text in out, out


def test_expected_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = scenario(MAP, SEAL, {**UNMAP, "errno": 1, "ret": "-1"})
    assert main(["run", file_of(tmp_path, right)]) == 0
    assert "all 2 expected answers agree" in capsys.readouterr().out

    wrong = file_of(tmp_path, scenario(MAP, SEAL, {**UNMAP, "errno": 12, "vmas": ["0-2 rw-p anon sl"]}))
    assert main(["run", wrong]) == 1
    out = capsys.readouterr().out
    assert "2 of 2 expected answers differ" in out
    assert re.search(r"expected +got\n *! ENOMEM +EPERM\n", out), out
    assert re.search(r"! 0-2 rw-p anon sl +0-1 rw-p anon sl\n *! +1-2 rw-p anon\n", out), out

    assert main(["run", wrong, "--no-expect"]) == 0
    assert main(["run", wrong, "--json", "-"]) == 1
    valid(json.loads(capsys.readouterr().out.partition("compared\n")[2]), "run.json")
    one_line(main(["run", file_of(tmp_path, scenario(MAP)), "--expect"]), capsys, "carries no answers", "a sample")


def test_the_edition_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The option before the document, the document before v10. From 6.12 on the VMAs before a sealed one change."""
    steps = (
        {**MAP, "len": 3 * 4096},
        {"call": "mseal", "addr": "0x200000001000", "len": 4096},
        {"call": "mprotect", "addr": WINDOW, "len": 8192, "prot": 1},
    )
    path = file_of(tmp_path, scenario(*steps, edition="v6.12"))
    for options, edition, first in (([], "v6.12", "r--p"), (["--edition", "v10"], "v10", "rw-p")):
        assert main(["run", path, "--json", "-", *options]) == 0
        result = json.loads(capsys.readouterr().out)
        valid(result, "run.json")
        assert (result["edition"], result["steps"][2]["errno_name"]) == (edition, "EPERM")
        assert result["steps"][2]["vmas"][0] == f"0-1 {first} anon"


def test_several_scenarios_are_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(tmp_path, scenario(MAP), scenario(MAP, SEAL), name="two.jsonl")
    target = tmp_path / "out.jsonl"
    assert main(["run", path, "--quiet", "--json", str(target)]) == 0
    results = [json.loads(text) for text in target.read_text("utf-8").splitlines()]
    assert [len(result["steps"]) for result in results] == [1, 2]
    for result in results:
        valid(result, "run.json")
    assert capsys.readouterr().out == "2 scenarios, 3 steps; no expected answers were compared\n"


def test_a_recorded_kernel_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(ROOT / "tests/kernel_runs/v10.jsonl.xz"), "-q", "--expect"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "expected answers agree" in out


def test_names_cannot_paint_over_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(tmp_path, {"name": "\x1b[2J[red]x\n\ry", "steps": []})
    assert main(["run", path]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[red]x y (edition v10)" in out


# show ---------------------------------------------------------------------------------------------------------------


def test_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = discarded()
    path = tmp_path / "counterexample.json"
    path.write_text(dump_document(document), encoding="utf-8")
    valid(json.loads(path.read_text("utf-8")), "counterexample.json")
    drawn = {}
    for form in ("text", "svg", "dot"):
        assert main(["show", str(path), "--format", form]) == 0
        drawn[form] = capsys.readouterr().out
        target = tmp_path / form
        assert main(["show", str(path), "--format", form, "--to", str(target)]) == 0
        assert target.read_text("utf-8") == drawn[form]
        assert capsys.readouterr().out == ""
    assert "private-file-contents-stay" in drawn["text"]
    assert max(map(len, drawn["text"].splitlines())) <= 72
    assert drawn["svg"].startswith("<")
    assert drawn["dot"].startswith("digraph")


def test_show_draws_nothing_that_is_not_confirmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(dump_document(discarded()))
    data["steps"][0]["result"]["errno"] = "EPERM"
    assert main(["show", file_of(tmp_path, data)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "not confirmed" in err
    assert "/steps/0/result/errno: the document says 'EPERM', the concrete reading 'OK'" in err


def test_show_one_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(dump_document(discarded()))
    path = file_of(tmp_path, data, data, name="two.jsonl")
    assert main(["show", path, "--number", "2"]) == 0
    capsys.readouterr()
    one_line(main(["show", path, "--number", "3"]), capsys, "--number 3", "2 counterexamples")


# list and explain -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["properties", "calls", "editions", "assumptions", "checks"])
def test_list(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind]) == 0
    shown = capsys.readouterr().out
    assert main(["list", kind, "--json", "-"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["format"] == "mseal-spec/list/1"
    assert len(listed[kind]) >= 5
    words = " ".join(shown.split())
    for item in listed[kind]:
        name = item.get("name") or item["call"]
        assert name in words
        if kind in ("properties", "assumptions", "calls"):
            assert item["sentence"].strip()
            assert " ".join(item["sentence"].split()) in words


def test_list_everything_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    promised = [name for name, prop in PROPERTIES.items() if System.LINUX in prop.promised_by]
    assert all(name in out for name in (*promised, *CALLS, *EDITIONS))


def test_an_edition_is_held_to_what_its_system_promises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What only OpenBSD's pages promise is listed and decided for mimmutable, and asked of no Linux edition."""
    only_openbsd = "success-is-as-openbsd-says"
    assert main(["list", "properties"]) == 0
    assert only_openbsd not in capsys.readouterr().out
    assert main(["list", "properties", "--edition", "mimmutable"]) == 0
    assert only_openbsd in capsys.readouterr().out
    assert main(["prove", "--property", only_openbsd, "--edition", "mimmutable", "--no-lemmas", "--no-mutants"]) == 0
    assert "3 proved" in capsys.readouterr().out
    reporting = ["report", "--property", only_openbsd, "--out", str(tmp_path / "report")]
    for command in (["find", only_openbsd], ["prove", "--property", only_openbsd], reporting):
        assert main(command) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and "OpenBSD" in told and "v10" in told


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "mprotect"]) == 0
    out = capsys.readouterr().out
    assert "mm/mprotect.c" in out
    checks = (
        "unknown protection bits",
        "key is not allocated",
        "nothing is mapped in the range",
        "a VMA of the range is sealed",
        "may not have this protection",
        "the VMA refuses to be split",
    )
    places = [out.index(check) for check in checks]
    assert places == sorted(places)

    assert main(["explain", "mprotect", "--edition", "v6.12", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    sealed = [check for check in found["checks"] if check["errno"] == "EPERM"]
    assert [check["stage"] for check in sealed] == ["changing pass"]


# the command itself -----------------------------------------------------------------------------------------------


def sealspec(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "reports.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=60, env=environment, cwd=ROOT, check=False, **options
    )


def test_help_teaches() -> None:
    result = sealspec("--help")
    assert result.returncode == 0
    for text in ("sealspec prove", "Exit codes", "130", "explain", "find"):
        assert text in result.stdout
    assert sealspec().returncode == 2
    for command in ("prove", "find", "show", "run", "list", "explain"):
        shown = sealspec(command, "--help")
        assert shown.returncode == 0
        assert f"sealspec {command}" in shown.stdout


def test_help_does_not_load_the_solver() -> None:
    check = "import sys, reports.cli; reports.cli.main(['--help']); sys.exit('z3' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, cwd=ROOT, check=False, timeout=60)
    assert result.returncode == 0


def test_standard_input_and_a_closed_pipe(tmp_path: Path) -> None:
    result = sealspec("run", "-", input=json.dumps(scenario(MAP, SEAL)))
    assert (result.returncode, result.stderr) == (0, "")
    if shutil.which("head") is None:
        pytest.skip("needs head")
    path = file_of(tmp_path, *(scenario(MAP, SEAL, UNMAP) for _ in range(400)), name="many.jsonl")
    shell = f"{shlex.quote(sys.executable)} -m reports.cli run {shlex.quote(path)} | head -n 1"
    piped = subprocess.run(shell, shell=True, capture_output=True, encoding="utf-8", cwd=ROOT, check=False, timeout=60)
    assert piped.stderr == ""
    assert piped.stdout.startswith("a sample")


def test_version_and_pins() -> None:
    result = sealspec("--version")
    assert result.returncode == 0
    assert "z3-solver" in result.stdout
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    pinned = set(re.findall(r"^([A-Za-z0-9_-]+)==", (ROOT / "constraints.txt").read_text("utf-8"), re.M))
    assert {re.split(r"[<>=]", name)[0] for name in wanted} <= pinned
