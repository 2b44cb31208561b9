# SPDX-License-Identifier: MIT
"""Every command with every output: what is refused before the work, what real shells do with it, and what help says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from checker.output import check_place
from checker.revision import revision
from checker.version import version
from reports.cli import app, main
from reports.manual import page

ROOT = Path(__file__).parents[2]
SCENARIO = {
    "name": "a sample",
    "steps": [{"call": "mmap", "addr": "0x200000000000", "len": 4096, "prot": 3, "flags": 50}],
}


def program() -> TyperGroup:
    """The commands as Typer has them."""
    found = typer.main.get_command(app)
    assert isinstance(found, TyperGroup)
    return found


COMMANDS: dict[str, TyperCommand] = {
    name: command for name, command in program().commands.items() if isinstance(command, TyperCommand)
}
ARGUMENTS: dict[str, list[str]] = {
    "prove": ["--no-cache"],
    "find": ["failed-mseal-seals-nothing", "--no-cache"],
    "matrix": ["--no-cache"],
    "diff": ["v10", "v6.12", "--no-cache"],
    "history": ["--no-cache"],
    "report": ["--no-cache"],
    "show": ["{document}"],
    "run": ["{document}"],
    "reproduce": ["{document}"],
    "replay": ["{document}"],
    "probe": [],
    "conform": [],
    "lab": ["6.12.117"],
    "guarantee": [],
    "list": [],
    "explain": ["mseal"],
    "man": [],
    "certify": ["--edition", "v10"],
    "why": ["never-unmapped", "--call", "munmap"],
    "review": ["{document}"],
    "derive": ["--tree", "{document}"],
    "verify": ["{document}"],
}
"""What each command that writes is given besides its outputs."""
READ = {"--replay", "--rst", "--report", "--tree", "--config"}
"""Options that name what is read."""


def outputs() -> list[tuple[str, str]]:
    """Each command with each option that names a file or a folder to write."""
    return [
        (name, parameter.opts[0])
        for name, command in COMMANDS.items()
        for parameter in command.params
        if isinstance(parameter, TyperOption)
        and parameter.metavar in ("FILE", "FOLDER", "DIR")
        and parameter.opts[0] not in READ
    ]


def arguments(name: str, folder: Path) -> list[str]:
    """The command, with a document of its own in the folder."""
    document = folder / "document.json"
    document.write_text(json.dumps(SCENARIO))
    return [name, *(text.format(document=document) for text in ARGUMENTS[name])]


def one_line(code: int, capsys: pytest.CaptureFixture[str], *told: str) -> None:
    """The command ended with exit code 2, nothing on standard output, and one line that says all this."""
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    assert err.count("\n") == 1 and err.startswith("sealspec: "), err
    assert all(text in err for text in told), err


# before the work ------------------------------------------------------------------------------------------------------


def test_every_output_is_in_the_table() -> None:
    assert len(outputs()) >= 20
    assert {name for name, _ in outputs()} <= ARGUMENTS.keys()
    assert {("find", "--svg"), ("report", "--out"), ("conform", "--resume"), ("lab", "--kernels")} <= set(outputs())


@pytest.mark.parametrize(("name", "option"), outputs(), ids=[" ".join(pair) for pair in outputs()])
def test_what_cannot_be_written_is_refused_before_the_work(
    name: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of these commands could be through with its work here: they would prove all theorems, or fetch a kernel."""
    monkeypatch.chdir(tmp_path)
    given = arguments(name, tmp_path)
    (tmp_path / "file").write_text("what was there")
    (tmp_path / "loop").symlink_to("loop")
    folder = option in ("--out", "--kernels")
    bad = ["", "/proc/x", "/proc/x/y", "loop"]
    bad += ["file"] if folder else [".", "file/x", "nowhere/x", "/dev/fd/987", "/dev/full", "/proc/version"]
    for place in bad:
        one_line(main([*given, option, place]), capsys, option)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["document.json", "file", "loop"]
    assert (tmp_path / "file").read_text() == "what was there"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; see tests/checker/test_output.py")
@pytest.mark.parametrize(("name", "option"), outputs(), ids=[" ".join(pair) for pair in outputs()])
def test_a_folder_that_is_read_only(
    name: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = arguments(name, tmp_path)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    one_line(main([*given, option, str(locked / "x")]), capsys, option, "Permission denied")


@pytest.mark.parametrize("name", ["run", "show", "reproduce", "replay"])
def test_what_is_read_is_not_written(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = arguments(name, tmp_path)
    link = tmp_path / "link"
    link.symlink_to("document.json")
    option = "--to" if name in ("show", "reproduce") else "--json"
    for same in (tmp_path / "document.json", link, tmp_path / "." / "document.json"):
        one_line(main([*given, option, str(same)]), capsys, option, "reads it")
    assert json.loads((tmp_path / "document.json").read_text()) == SCENARIO


SAME = [
    (["find", "failed-mseal-seals-nothing", "--no-cache"], "--json", "--svg", "x", "./x"),
    (["find", "failed-mseal-seals-nothing", "--no-cache"], "--svg", "--dot", "x", "link"),
    (["find", "failed-mseal-seals-nothing", "--no-cache"], "--json", "--dot", "-", "-"),
    (["conform"], "--json", "--resume", "x", "below/../x"),
    (["conform"], "--out", "--json", "x", "x"),
    (["lab", "6.12.117"], "--out", "--json", "x", "x"),
]


@pytest.mark.parametrize(("given", "first", "second", "one", "other"), SAME)
def test_two_options_do_not_share_a_file(
    given: list[str],
    first: str,
    second: str,
    one: str,
    other: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("x")
    (tmp_path / "below").mkdir()
    one_line(main([*given, first, one, second, other]), capsys, first, second)
    assert not (tmp_path / "x").exists()


def test_a_report_keeps_what_is_read_and_where_one_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / ".sealspec-report").write_text("mseal-spec/report/1\n")
    (old / "replays.json").write_text("{}")
    one_line(main(["report", "--out", str(old), "--replay", str(old / "replays.json")]), capsys, "--out", "is read")
    monkeypatch.chdir(old)
    for name in (".", "..", str(old)):
        assert main(["report", "--out", name]) == 2
        assert "--out" in capsys.readouterr().err
    assert (old / "replays.json").exists()


# numbers --------------------------------------------------------------------------------------------------------------

NUMBERS = {
    "--timeout": ["inf", "-inf", "nan", "-1", "0", "1e999", "1e300", "0x10", "", "ten"],
    "--seconds": ["inf", "nan", "-1", "0", "1e999", ""],
    "--jobs": ["0", "-1", "1000000", "9" * 40, "1.5", "inf", ""],
    "--examples": ["0", "-1", "9" * 40, "nan"],
    "--seed": ["-1", "x"],
    "--number": ["0", "-1", "9" * 40, "x"],
}


@pytest.mark.parametrize(
    ("name", "option"),
    [
        (name, option)
        for name, command in COMMANDS.items()
        for parameter in command.params
        for option in NUMBERS.keys() & set(getattr(parameter, "opts", ()))
    ],
)
def test_numbers_that_are_none(name: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = arguments(name, tmp_path)
    for number in NUMBERS[option]:
        code = main([*given, option, number])
        err = capsys.readouterr().err
        assert code == 2 and err.count("\n") == 1, (number, err)


# real shells ----------------------------------------------------------------------------------------------------------


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What bash makes of a command line in which `sealspec` is this program."""
    here = f"{shlex.quote(sys.executable)} -m reports.cli"
    text = f'set -o pipefail; sealspec() {{ {here} "$@"; }}; {command}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    return subprocess.run(
        ["bash", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


KEYS = '["editions","format","tool"]'
READ_KEYS = '{} -c \'import json, sys; print(json.dumps(sorted(json.load(sys.stdin)), separators=(",", ":")))\''
SHELLS: list[tuple[str, int, str, str]] = [
    # command line, exit status, all of standard output (None: whatever), what standard error says
    (
        "sealspec list editions --json >(keys >keys) >/dev/null; code=$?; wait; sleep 0.5; cat keys; exit $code",
        0,
        KEYS,
        "",
    ),
    ("sealspec list editions --json /dev/stdout | keys", 0, KEYS, ""),
    ("sealspec list editions --json - | keys", 0, KEYS, ""),
    ("sealspec list editions --json /dev/fd/3 3>f >/dev/null && keys <f", 0, KEYS, ""),
    ("mkfifo p; keys <p & sealspec list editions --json p >/dev/null; wait; [ -p p ]", 0, KEYS, ""),
    ("ln -s f l; sealspec list editions --json l >/dev/null && [ -L l ] && keys <f", 0, KEYS, ""),
    ("sealspec list editions --json f >f", 2, "", "standard output goes there"),
    ("sealspec show - --to d <d", 2, "", "reads it"),
    ("sealspec list editions >/dev/full", 2, "", "standard output: No space left"),
    ("sealspec list editions --json - >/dev/full", 2, "", "No space left"),
    ("sealspec --help >/dev/full", 2, "", "No space left"),
    ("sealspec list editions >&-", 2, "", "standard output is closed"),
    ("sealspec prove --no-cache >&-", 2, "", "standard output is closed"),
    ("sealspec explain mseal 2>&- | wc -l | tr -d 0-9", 0, "", ""),
    ("sealspec explain mseal 2>/dev/full | wc -l | tr -d 0-9", 0, "", ""),
    ("sealspec explain nothing 2>/dev/full", 2, "", ""),
    ("sealspec explain nothing >&- 2>&-", 2, "", ""),
    ("sealspec explain nothing <&-", 2, "", "unknown call"),
    ("sealspec run - --json - <&-", 2, "", "/dev/stdin: "),
    ("COLUMNS=0 sealspec explain mseal | wc -l | tr -d 0-9", 0, "", ""),
    ("PYTHONIOENCODING=ascii sealspec list properties | wc -l | tr -d 0-9", 0, "", ""),
    ("sealspec run $'\\xff.json'", 2, "", "not UTF-8"),
    (
        "ulimit -f 1; sealspec list properties --json f >/dev/null; echo $?; ls -A | grep -v '^d$'",
        1,
        "2",
        "File too large",
    ),
]


@pytest.mark.parametrize(("command", "code", "out", "err"), SHELLS, ids=[case[0] for case in SHELLS])
def test_in_a_shell(command: str, code: int, out: str, err: str, tmp_path: Path) -> None:
    (tmp_path / "d").write_text(json.dumps(SCENARIO))
    keys = READ_KEYS.format(shlex.quote(sys.executable))
    done = shell(f"keys() {{ {keys}; }}; {command}", tmp_path)
    assert (done.returncode, done.stdout.strip()) == (code, out), done.stderr
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert done.stderr.count("\n") == (1 if err else 0) and err in done.stderr, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "help prove",
        "--version",
        "list properties",
        "list --json -",
        "explain madvise",
        "man",
        "run d",
        "reproduce d",
    ],
)
def test_a_reader_that_has_gone(command: str, tmp_path: Path) -> None:
    """As `| head -0`: the end that SIGPIPE makes, and not a word."""
    (tmp_path / "d").write_text(json.dumps(SCENARIO))
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "reports.cli", *command.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_what_was_written_is_said(tmp_path: Path) -> None:
    """A limit of 4 KiB for a file: the document is smaller, the drawing is larger."""
    find = "sealspec find failed-mseal-seals-nothing --no-cache --json a.json --svg a.svg --dot b.dot"
    done = shell(f"ulimit -f 4; {find} >/dev/null", tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    for text in ("--svg a.svg: cannot be written: File too large", "--json a.json was written", "nor is --dot b.dot"):
        assert text in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"], "nothing is left beside"


# help -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"Examples:\s+sealspec {name}\b", out), out
    codes = re.findall(r"^ +(\d+)  +\w.*", out.partition("Exit codes:")[2], re.MULTILINE)
    assert codes[0] == "0" and "2" in codes, out
    assert main(["help", name]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_usage_names_the_commands_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    one_line(main([name, "--no-such-option"]), capsys, f"sealspec {name} --help")


def test_help_of_nothing_and_of_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    assert "sealspec prove" in capsys.readouterr().out
    one_line(main(["help", "proove"]), capsys, "did you mean prove")


def test_options_mean_one_thing() -> None:
    """--json takes a file everywhere, --out is a folder, and names of one kind have one short option."""
    metavars: dict[str, set[str | None]] = {}
    short = {"--property": "-p", "--call": "-c", "--edition": "-e", "--out": "-o", "--jobs": "-j"}
    for command in COMMANDS.values():
        for parameter in command.params:
            if isinstance(parameter, TyperOption):
                metavars.setdefault(parameter.opts[0], set()).add(parameter.metavar)
                if wanted := short.get(parameter.opts[0]):
                    assert wanted in parameter.opts, (command.name, parameter.opts)
    assert metavars["--json"] == {"FILE"} and metavars["--out"] == {"FOLDER"} and metavars["--to"] == {"FILE"}
    assert metavars["--cache"] == {None}, "a switch everywhere"
    assert {option for option, given in metavars.items() if len(given) > 1} <= {"--replay"}


def test_the_manual_names_every_command_and_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page(program()).replace("\\-", "-")
    for name, command in COMMANDS.items():
        part = text.partition(f'.SS "sealspec {name} ')[2].partition(".SS ")[0]
        for parameter in command.params:
            for option in (*getattr(parameter, "opts", ()), *getattr(parameter, "secondary_opts", ())):
                assert isinstance(parameter, TyperArgument) or f"\\fB{option}\\fR" in part, (name, option)
        assert "Exit codes:" in part and f"sealspec {name}" in part.partition("Examples:")[2]
    assert main(["man"]) == 0
    assert capsys.readouterr().out == page(program())
    assert main(["man", "--to", str(tmp_path / "sealspec.1")]) == 0
    assert (tmp_path / "sealspec.1").read_text() == page(program())
    assert not re.search(r"^[.'](?!(TH|SH|SS|PP|TP|B|I|BR|nf|fi|RS|RE)\b)", page(program()), re.MULTILINE)


def test_the_shell_completes_names() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_SEALSPEC_COMPLETE": "complete_bash"}
    for words, expected in (("sealspec explain mpro", "mprotect"), ("sealspec prove --edition two", "two-pass")):
        environment |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        done = subprocess.run(
            [sys.executable, "-m", "reports.cli"], env=environment, capture_output=True, text=True, check=False
        )
        assert done.stdout.split() == [expected], done.stderr


# who wrote it ---------------------------------------------------------------------------------------------------------


def test_the_version_names_the_revision(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    out = capsys.readouterr().out
    assert version() in out and f"revision {revision()}" in out and "z3-solver" in out


def test_documents_name_the_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, target = tmp_path / "d.json", tmp_path / "out.json"
    document.write_text(json.dumps(SCENARIO))
    commands = (["list"], ["explain", "mseal"], ["run", str(document)], ["find", "failed-mseal-seals-nothing"])
    for command in commands:
        assert main([*command, "--json", str(target)]) == 0
        first = target.read_text()
        tool = json.loads(first)["tool"]
        assert tool == {"name": "mseal-spec", "version": version(), "revision": revision()}
        assert main([*command, "--json", str(target)]) == 0
        assert target.read_text() == first, "the same revision gives the same bytes"
    assert main(["show", str(target)]) == 0, "a document with the tool's name is read"


def test_the_revision_is_the_projects_own(tmp_path: Path) -> None:
    """Installed in the repository of somebody else it is not that one's; a wheel has a note of it."""
    package = tmp_path / "lib" / "checker"
    package.mkdir(parents=True)
    (package / "revision.py").write_text((ROOT / "checker" / "revision.py").read_text())
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, capture_output=True)
    ask = [sys.executable, "-c", "import runpy, sys; print(runpy.run_path(sys.argv[1])['revision']())"]
    ask.append(str(package / "revision.py"))
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "unknown\n"
    (package / "REVISION").write_text("0123456789ab\n")
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "0123456789ab\n"


def test_devices_are_still_there() -> None:
    """Whatever the tests above did."""
    with pytest.raises(OSError, match="No space left"):
        check_place("/dev/full")
    check_place("/dev/null")
