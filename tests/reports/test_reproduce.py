# SPDX-License-Identifier: MIT
"""`sealspec reproduce`: the programs compile without a warning, and this machine's kernel has the last word on them."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from checker.documents.counterexamples import Counterexample
from checker.documents.files import dump_document, load_document
from checker.documents.scenarios import Scenario
from checker.lab.probe import probe
from checker.lab.run import LiveKernel
from checker.scenario import re_execute
from proofs.run import find
from reports.cli import main
from reports.reproduce import Script, to_c
from tests.lab.kernels import RECORDED, compiled, compiles, has_keys

WARNINGS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2")
PAGE = 4096
BASE = 0x2000_0000_0000

Make = Callable[[str, str, str], Path]


gcc = pytest.mark.skipif(not compiles(), reason="needs gcc, and programs that run from TMPDIR")


@functools.cache
def edition() -> str | None:
    """The edition that this machine's kernel is."""
    return probe(LiveKernel()).edition


@functools.cache
def counterexample(name: str, call: str, kernel: str) -> str:
    """A counterexample document."""
    found = find(name, call, kernel).counterexample
    assert found is not None
    return dump_document(found)


@pytest.fixture(name="document")
def _document(tmp_path: Path) -> Make:
    def make(name: str, call: str, kernel: str) -> Path:
        path = tmp_path / f"{name}.json"
        path.write_text(counterexample(name, call, kernel), encoding="utf-8")
        return path

    return make


def scenario(tmp_path: Path, *steps: dict[str, object], **more: object) -> Path:
    """A scenario document in a file."""
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps({"name": "a scenario", "edition": "v6.18", "steps": steps, **more}), encoding="utf-8")
    return path


def mapped(page: int, pages: int = 1, prot: int = 3, **more: object) -> dict[str, object]:
    """A step that maps private anonymous memory at a page of the window."""
    return {"call": "mmap", "addr": BASE + page * PAGE, "len": pages * PAGE, "prot": prot, "flags": 50, **more}


def on(call: str, page: int, pages: int = 1, **more: object) -> dict[str, object]:
    """A step about pages of the window."""
    return {"call": call, "addr": BASE + page * PAGE, "len": pages * PAGE, **more}


def program(document: Path, tmp_path: Path, form: str = "c") -> Path:
    """The compiled program of a document."""
    source, target = tmp_path / f"{form}.c", tmp_path / form
    assert main(["reproduce", str(document), "--format", form, "--to", str(source)]) == 0
    return compile_program(source, target)


def compile_program(source: Path, target: Path) -> Path:
    """The program, compiled without a warning."""
    done = subprocess.run(
        ["gcc", *WARNINGS, "-o", str(target), str(source)], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return target


def program_that_expects(document: Path, tmp_path: Path) -> Path:
    """The compiled program of a scenario, whether its answers are its edition's or not."""
    (told,) = load_document(document)
    assert isinstance(told, Scenario) and told.edition is not None
    source = tmp_path / "expects.c"
    source.write_text(to_c(Script(told, told.edition, ("A test.",), "test"), ktap=False), encoding="utf-8")
    return compile_program(source, tmp_path / "expects")


def run(path: Path) -> tuple[int, str]:
    """Exit status and output of a program."""
    done = subprocess.run([str(path)], capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


WEAKNESSES = [
    ("eperm-changes-nothing", "mprotect", "v6.18"),
    ("failed-mseal-seals-nothing", "mseal", "v6.18"),
    ("private-file-contents-stay", "madvise", "v6.18"),
    ("fork-keeps-contents", "fork", "v6.18"),
    ("eperm-changes-nothing", "brk", "v6.18"),
    ("failure-changes-no-page", "mlock", "v6.18"),
]


@compiled
@pytest.mark.parametrize(("name", "call", "kernel"), WEAKNESSES)
def test_weaknesses_of_this_kernel_are_shown(document: Make, tmp_path: Path, name: str, call: str, kernel: str) -> None:
    """Each program compiles without a warning, and this kernel does what the counterexample says."""
    path = document(name, call, kernel)
    here = edition()
    if here is None:
        pytest.skip("this kernel is none of the editions")
    (found,) = load_document(path)
    assert isinstance(found, Counterexample)
    if re_execute(found.model_copy(update={"edition": here})):
        pytest.skip(f"this kernel is {here}, which does something else")
    status, said = run(program(path, tmp_path))
    assert status == 0, said
    assert "DIFFERS" not in said
    assert re.search(r"^(\d+) of \1 as said above: shown$", said, re.MULTILINE)


@compiled
def test_a_weakness_that_was_mended_is_not_shown(
    document: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bit mask of v10 is gone: the program says so with exit status 1, and names the call that does otherwise."""
    if edition() == "v10":
        pytest.skip("this kernel has the bit mask")
    path = document("eperm-only-with-cause", "madvise", "v10")
    status, said = run(program(path, tmp_path, "kselftest"))
    assert status == 1
    assert re.search(r"^not ok 1 madvise\(.*\)\n# expected: -1 EPERM\n# saw:      0$", said, re.MULTILINE)
    capsys.readouterr()
    assert main(["reproduce", str(path), "--check"]) == 1
    assert "does something else" in capsys.readouterr().out


@compiled
def test_ktap(document: Make, tmp_path: Path) -> None:
    """The kselftest form is KTAP: version, plan, as many results as planned, numbered, each with what was expected and
    what came; all else is a diagnostic line."""
    status, said = run(program(document("failed-mseal-seals-nothing", "mseal", "v6.18"), tmp_path, "kselftest"))
    version, plan, *rest = said.splitlines()
    assert status == 0
    assert version == "KTAP version 1"
    results = [line for line in rest if not line.startswith("# ")]
    assert plan == f"1..{len(results)}"
    assert [line.split()[:2] for line in results] == [["ok", str(n)] for n in range(1, len(results) + 1)]
    assert rest.count("# expected: -1 ENOMEM") == rest.count("# saw:      -1 ENOMEM") == 1
    assert any(line.startswith("# saw:      r--p anon sl,") for line in rest)


@compiled
def test_what_cannot_be_tried_is_skipped(document: Make, tmp_path: Path) -> None:
    """Without mseal, or where a step that builds fails, the exit status is 4 and the reason said, in both forms."""
    path = document("failed-mseal-seals-nothing", "mseal", "v6.18")
    for form, skipped in (("c", "cannot be tried here: "), ("kselftest", "KTAP version 1\n1..0 # SKIP ")):
        program(path, tmp_path, form)
        text = (tmp_path / f"{form}.c").read_text("utf-8")
        for old, new, reason in (
            ("syscall(SYS_mseal, addr", "syscall(100000, addr", "this kernel has no mseal: Function not implemented"),
            ("MAP_FIXED_NOREPLACE, -1, 0)", "MAP_FIXED_NOREPLACE, -1, 1)", "the layout cannot be built: mmap("),
            ('"rw-p anon"', '"rw-p anon lo"', "the layout cannot be built: page "),
        ):
            assert old in text
            (tmp_path / "changed.c").write_text(text.replace(old, new), encoding="utf-8")
            changed = tmp_path / "changed"
            subprocess.run(["gcc", *WARNINGS, "-o", str(changed), str(tmp_path / "changed.c")], check=True)
            status, said = run(changed)
            assert status == 4
            assert said.startswith(skipped + reason)


@compiled
def test_what_is_expected_is_really_compared(tmp_path: Path) -> None:
    """Of the page that is looked at, every single thing that the document says wrong is found: protection, seal,
    contents, both ends, backing, that it is mapped; and of a call its result and its errno."""
    truth: dict[str, object] = {"ret": "0", "errno": 0, "vmas": ["0-2 r--p anon sl"], "bytes": "0700"}
    start = [mapped(0, 3), {"call": "write", "addr": BASE, "byte": 7}, on("mprotect", 0, 3, prot=1), on("munmap", 2)]
    wrong: list[dict[str, object]] = [
        {"vmas": ["0-2 rw-p anon sl"]},
        {"vmas": ["0-2 r--p anon"]},
        {"vmas": ["0-1 r--p anon sl", "1-2 r--p anon sl"]},
        {"vmas": ["0-2 r--p file@0 sl"]},
        {"vmas": ["0-3 r--p anon sl"], "bytes": "070000"},
        {"vmas": ["1-2 r--p anon sl"], "bytes": "..00"},
        {"bytes": "0800"},
        {"bytes": "07??"},
        {"ret": "1"},
        {"ret": "-1", "errno": 1},
    ]
    assert run(program(scenario(tmp_path, *start, on("mseal", 0, 2, **truth)), tmp_path))[0] == 0
    for change in wrong:
        path = scenario(tmp_path, *start, on("mseal", 0, 2, **{**truth, **change}))
        status, said = run(program_that_expects(path, tmp_path))
        assert (status, "DIFFERS" in said) == (1, True), change


@pytest.mark.parametrize("options", [["--check"], ["--format", "c"], ["--format", "kselftest"], ["--format", "syz"]])
@pytest.mark.parametrize("wrong", [{"errno": 1}, {"ret": "-1"}, {"vmas": ["0-1 rw-p anon"]}, {"bytes": "07"}])
def test_answers_that_are_not_the_editions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], wrong: dict[str, object]
) -> None:
    """Nothing is written or run: what `run` says is said, and the exit code is its."""
    path = str(scenario(tmp_path, mapped(0), on("mseal", 0, **wrong)))
    assert main(["reproduce", path, *options]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert main(["run", path]) == 1
    assert err == capsys.readouterr().out
    assert "1 of 1 expected answer differ" in err


@compiled
def test_recorded_sequences_come_out_again(tmp_path: Path) -> None:
    """What a kernel of this edition answered to sequences of all sorts, programs find again: every result, and every
    page after every call."""
    if edition() != "v6.18" or has_keys():
        pytest.skip("the sequences were recorded on another kernel, or another processor")
    recorded = load_document(RECORDED / "6.18.44.jsonl.xz")
    kinds = dict.fromkeys(re.sub(r"[0-9]+", "", str(getattr(one, "name"))) for one in recorded)
    chosen = [next(n for n, one in enumerate(recorded, 1) if re.sub(r"[0-9]+", "", one.name) == kind) for kind in kinds]  # type: ignore[union-attr]
    assert len(chosen) >= 10
    for number in chosen[:: max(1, len(chosen) // 12)]:
        path = tmp_path / "one.json"
        told = recorded[number - 1].model_copy(update={"edition": "v6.18"})
        path.write_text(told.model_dump_json(exclude_unset=True), encoding="utf-8")
        status, said = run(program(path, tmp_path))
        assert status == 0, (number, said)


@compiled
def test_odd_steps(tmp_path: Path) -> None:
    """Files of the program's own, limits without room, a place that the kernel chooses, the vdso, a heap, room that
    comes and goes: each in one program."""
    steps = (
        {"call": "file", "fd": 110, "pages": 3, "contents": "0708"},
        {"call": "file", "fd": 112, "pages": 3},
        {"call": "mmap", "addr": BASE, "len": 2 * PAGE, "prot": 1, "flags": 17, "fd": 111},
        {"call": "mmap", "addr": BASE + 2 * PAGE, "len": 2 * PAGE, "prot": 1, "flags": 18, "fd": 110},
        {"call": "mmap", "addr": 0, "len": 2 * PAGE, "prot": 1, "flags": 34, "ret": "elsewhere"},
        on("mlock", 2, failures=["mlock: RLIMIT_MEMLOCK has no room"], errno=12, ret="-1"),
        {"call": "mmap", "addr": BASE + 5 * PAGE, "len": PAGE, "prot": 1, "flags": 18, "fd": 101},
        {"call": "reclaim", "addr": BASE + 5 * PAGE},
        {"call": "vdso", "addr": BASE + 8 * PAGE},
        {"call": "brk", "addr": "brk+0x3000", "ret": "3"},
        {"call": "fill", "free": 3},
        {"call": "fill", "free": 20},
        {"call": "mseal", "addr": "brk+0x1000", "len": PAGE},
        {"call": "brk", "addr": "brk+0x0", "ret": "3"},
        {"call": "fork"},
        {"call": "write", "addr": BASE, "byte": 1, "ret": "-1", "errno": 14},
    )
    status, said = run(program(scenario(tmp_path, *steps), tmp_path))
    assert status == 0, said
    assert "heap page 1\n    expected: rw-p anon sl" in said


def test_equal_documents_give_equal_bytes(
    document: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice, from other folders, in every form; and no folder of this machine is named."""
    path = document("private-file-contents-stay", "madvise", "v6.18")
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / path.name
    other.write_bytes(path.read_bytes())
    for form in ("c", "kselftest", "syz"):
        capsys.readouterr()
        assert main(["reproduce", str(path), "--format", form]) == 0
        first = capsys.readouterr().out
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert main(["reproduce", path.name, "--format", form]) == 0
        assert capsys.readouterr().out == first
        assert str(tmp_path) not in first
        assert f"Made by: sealspec reproduce {path.name} --format {form} (mseal-spec " in first
        assert "private-file-contents-stay: The contents of a sealed" in first and "The edition v6.18" in first


def test_a_program_for_syzkaller(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Memory as &(address/size)=nil, numbers in hexadecimal, results by name, a store as a call's bytes."""
    path = scenario(
        tmp_path,
        mapped(0, 2),
        {"call": "mmap", "addr": BASE + 2 * PAGE, "len": PAGE, "prot": 1, "flags": 18, "fd": 100, "off": PAGE},
        {"call": "write", "addr": BASE + 5, "byte": 7},
        {"call": "pkey_alloc"},
        on("pkey_mprotect", 0, prot=1, pkey=1),
        on("madvise", 0, behavior=4),
        {
            "call": "mremap", "addr": BASE, "old_len": PAGE, "new_len": PAGE, "flags": 3,
            "new_addr": BASE + 9 * PAGE,
        },
        on("mseal", 1),
    )  # fmt: skip
    path.write_text(path.read_text("utf-8").replace(str(BASE + 5), str(BASE)), encoding="utf-8")
    assert main(["reproduce", str(path), "--format", "syz"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not line.startswith("pwrite64")] == [
        "munmap(&(0x7f0000000000/0x40000)=nil, 0x40000)",
        "mmap(&(0x7f0000000000/0x2000)=nil, 0x2000, 0x3, 0x32, 0xffffffffffffffff, 0x0)",
        "r0 = memfd_create(&(0x7f0000ffe000)='file\\x00', 0x0)",
        "ftruncate(r0, 0x30000)",
        "mmap(&(0x7f0000002000/0x1000)=nil, 0x1000, 0x1, 0x12, r0, 0x1000)",
        'write(0xffffffffffffffff, &(0x7f0000000000)="07", 0x1)',
        "r1 = pkey_alloc(0x0, 0x0)",
        "pkey_mprotect(&(0x7f0000000000/0x1000)=nil, 0x1000, 0x1, r1)",
        "madvise(&(0x7f0000000000/0x1000)=nil, 0x1000, 0x4)",
        "mremap(&(0x7f0000000000/0x1000)=nil, 0x1000, 0x1000, 0x3, &(0x7f0000009000/0x1000)=nil)",
        "mseal(&(0x7f0000001000/0x1000)=nil, 0x1000, 0x0)",
    ]
    assert lines.count('pwrite64(r0, &(0x7f0000ffe000)="41", 0x1, 0x1000)') == 1


@pytest.mark.parametrize(
    ("steps", "more", "form", "reason"),
    [
        ([{"call": "mseal32", "addr": 0, "len": 0}], {}, "c", "mseal32 is no call of a 64-bit kernel"),
        (
            [mapped(0, failures=["mmap: memory for the new VMA runs out"])],
            {},
            "kselftest",
            "no program can bring about at will that mmap: memory for the new VMA runs out",
        ),
        ([on("mseal", 0)], {"layout": {"vmas": []}}, "c", "begins in the middle"),
        ([], {}, "c", "no steps"),
        ([mapped(0), {"call": "fork"}], {}, "syz", "no way to say fork"),
        ([{"call": "brk", "addr": "brk+0x1000"}], {}, "syz", "no way to say brk"),
        ([mapped(0), {"call": "fill", "free": 0}], {}, "syz", "no way to say fill"),
        ([on("mseal", 1 << 20)], {}, "syz", "cannot name the address 0x200100000000"),
    ],
)
def test_what_no_program_can_do(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    steps: list[dict[str, object]],
    more: dict[str, object],
    form: str,
    reason: str,
) -> None:
    """One line says why, with exit code 2, and nothing is written."""
    target = tmp_path / "out"
    path = scenario(tmp_path, *steps, **more)
    assert main(["reproduce", str(path), "--format", form, "--to", str(target)]) == 2
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1
    assert not target.exists()


def test_wrong_usage(document: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown form, a document that is not there, a check that nothing here can make."""
    path = str(scenario(tmp_path, mapped(0)))
    for arguments, said in (
        ([path, "--format", "rust"], "c, kselftest, syz"),
        ([path, "--number", "2"], "holds 1 document"),
        ([path, "--format", "syz", "--check"], "syz-execprog"),
        ([str(tmp_path / "none")], "No such file"),
    ):
        assert main(["reproduce", *arguments]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


def test_a_document_that_is_not_true(document: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A counterexample whose edition does something else makes no program."""
    path = document("failed-mseal-seals-nothing", "mseal", "v6.18")
    data = json.loads(path.read_text("utf-8"))
    data["steps"][0]["result"]["errno"] = "EPERM"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert main(["reproduce", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "not confirmed" in captured.err


@gcc
def test_a_hostile_name_stays_a_comment(tmp_path: Path) -> None:
    """Whatever a document is called, the program is the same but for its comment."""
    named = scenario(tmp_path, mapped(0), name="*/ int main(void) { return 7; } /* \x1b[31m \\\n ??/")
    plain = program(named, tmp_path)
    text = (tmp_path / "c.c").read_text("utf-8")
    assert text.count("int main(void)") == 2 and "\x1b" not in text
    assert text.index("\nint main(void)") > text.index("*/")
    assert os.access(plain, os.X_OK)
