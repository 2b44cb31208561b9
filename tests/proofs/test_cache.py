# SPDX-License-Identifier: MIT
"""The cache of verdicts: the same answers without asking, and never an answer to another question."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import z3
from pydantic import TypeAdapter

from proofs.cache import ASKED_BY, SHARED, Sources, VerdictCache, open_cache
from proofs.results import Advised, ProofReport
from proofs.run import RESULTS, find, prove
from proofs.tasks import Task, carry_out_tasks
from reports.cli import main
from spec.editions import EDITIONS
from spec.syscalls import CALLS

ROOT = Path(__file__).parents[2]


def silent(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the keys are made of."""
    for package in ("spec", "checker", "proofs"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(cache: VerdictCache) -> ProofReport:
    return prove("v10", calls=["munmap"], properties=["never-unmapped", "well-formed-stays"], lemmas=False, cache=cache)


def results(report: ProofReport) -> str:
    """Everything but how long the run took and where its results came from."""
    return report.model_copy(update={"seconds": 0.0, "from_cache": 0}).model_dump_json()


def never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the solver from now on fails."""

    def check(*arguments: object) -> None:
        raise AssertionError("the solver was asked")

    monkeypatch.setattr(z3.Solver, "check", check)


def test_a_second_run_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(VerdictCache(tmp_path, silent))
    assert first.from_cache == 0
    assert first.mutants and first.reachability
    never_asked(monkeypatch)
    second = run(VerdictCache(tmp_path, silent))
    assert results(second) == results(first)
    assert second.from_cache == len(first.theorems) + len(first.reachability) + len(first.mutants)


def test_a_counterexample_comes_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find("einval-only-as-documented", "mseal", "v10", cache=VerdictCache(tmp_path, silent))
    assert first.counterexample is not None
    never_asked(monkeypatch)
    assert find("einval-only-as-documented", "mseal", "v10", cache=VerdictCache(tmp_path, silent)) == first


def test_what_cannot_be_used_is_decided_anew(tmp_path: Path) -> None:
    first = run(VerdictCache(tmp_path, silent))
    theorem = Task("theorem", "munmap", "v10", ("never-unmapped", "well-formed-stays"), 20_000)
    path = VerdictCache(tmp_path, silent).path(theorem)
    good = path.read_text("utf-8")
    entry = json.loads(good)
    broken = [
        "",
        "{",
        "[]",
        good[: len(good) // 2],
        json.dumps(entry | {"key": "0" * 64}),
        json.dumps(entry | {"format": "mseal-spec/verdicts/0"}),
        json.dumps(entry | {"results": [{"property": "never-unmapped"}]}),
        json.dumps(entry | {"results": 7}),
        json.dumps(entry).replace('"proved"', '"refuted"'),
    ]
    assert VerdictCache(tmp_path, silent).load(theorem, RESULTS) is not None
    for text in broken:
        path.write_text(text, encoding="utf-8")
        assert VerdictCache(tmp_path, silent).load(theorem, RESULTS) is None, text[:40]
    again = run(VerdictCache(tmp_path, silent))
    assert again.from_cache == len(first.mutants)
    assert [t.verdict for t in again.theorems] == [t.verdict for t in first.theorems]
    assert json.loads(path.read_text("utf-8"))["key"] == entry["key"]


def test_the_undecided_is_not_kept(tmp_path: Path) -> None:
    cache, task = VerdictCache(tmp_path, silent), Task("advice", "madvise", "v10", None, 1)
    adapter: TypeAdapter[list[Advised]] = TypeAdapter(list[Advised])
    made = [Advised(value=1, name="one"), Advised(value=2, name="two")]

    def ask(decided: set[int]) -> list[tuple[int, bool]]:
        run = carry_out_tasks(
            [task], lambda task: iter(made), adapter, lambda a: a.value in decided, lambda *lost: (), cache=cache
        )
        return [(result.value, known) for _, result, known in run]

    assert ask({1}) == [(1, False), (2, False)]
    assert list(tmp_path.iterdir()) == []
    assert ask({1, 2}) == [(1, False), (2, False)]
    assert ask(set()) == [(1, True), (2, True)]


def test_an_edit_during_the_run_keeps_nothing(checkout: Path) -> None:
    """The results may be those of the text before the edit, and the key that of the text after it."""
    adapter: TypeAdapter[list[Advised]] = TypeAdapter(list[Advised])
    task, made = Task("advice", "madvise", "v10", None, 1), [Advised(value=1, name="one")]
    for edited, kept in (("spec/syscalls/madvise.py", None), ("spec/syscalls/mlock.py", made)):
        for path in checkout.rglob("*.py"):
            os.utime(path, (0, 0))
        os.utime(checkout / edited, (time.time() + 60, time.time() + 60))
        cache = VerdictCache(checkout / "kept", silent, Sources(checkout))
        cache.store(task, made)
        assert cache.load(task, adapter) == kept


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    told: list[str] = []
    report = run(VerdictCache(tmp_path / "file" / "folder", told.append))
    assert report.as_expected
    assert len(told) == 1
    assert "cannot be kept" in told[0] and "MSEAL_SPEC_CACHE" in told[0]


def test_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSEAL_SPEC_CACHE", "")
    assert open_cache(silent) is None
    monkeypatch.setenv("MSEAL_SPEC_CACHE", str(tmp_path / "mine"))
    chosen = open_cache(silent)
    assert chosen is not None and chosen.folder == tmp_path / "mine"
    monkeypatch.delenv("MSEAL_SPEC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chosen = open_cache(silent)
    assert chosen is not None and chosen.folder == tmp_path / "mseal-spec" / "verdicts"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    chosen = open_cache(silent)
    assert chosen is not None and chosen.folder == tmp_path / "home" / ".cache" / "mseal-spec" / "verdicts"


# keys ----------------------------------------------------------------------------------------------------------------


TASKS = [Task(kind, call, "v10", ("p",), 1) for kind in ("theorem", "mutant", "matrix") for call in CALLS]
LEMMA = Task("lemma", "embedding", "v10", None, 1)


def keys(root: Path) -> dict[Task, str]:
    cache = VerdictCache(root / "unused", silent, Sources(root))
    return {task: cache.key(task) for task in (*TASKS, LEMMA)}


@pytest.mark.parametrize(
    ("file", "calls"),
    [
        ("spec/syscalls/madvise.py", {"madvise"}),
        ("spec/syscalls/mprotect.py", {"mprotect", "pkey_mprotect"}),
        ("spec/syscalls/mseal.py", {"mseal", "mseal32"}),
        ("spec/syscalls/mremap.py", {"mremap"}),
        ("spec/syscalls/mmap.py", {"mmap"}),
        ("spec/syscalls/brk.py", {"brk"}),
        ("spec/syscalls/munmap.py", {"munmap", "mmap", "mremap", "brk"}),
        ("spec/syscalls/environment.py", {"fork", "write", "pkru", "reclaim", "pkey_alloc"}),
    ],
)
def test_a_changed_call_changes_its_keys_only(file: str, calls: set[str], checkout: Path) -> None:
    before = keys(checkout)
    with open(checkout / file, "a") as text:
        text.write("# another word\n")
    after = keys(checkout)
    changed = {task for task in after if after[task] != before[task]}
    assert changed == {*(task for task in TASKS if task.name in calls), LEMMA}


SHARED_BY_ALL = (
    "spec/properties/seal.py",
    "spec/space.py",
    "spec/contracts/passes.py",
    "checker/unbounded.py",
    "checker/layout.py",
    "proofs/cases.py",
)


@pytest.mark.parametrize("file", [*SHARED_BY_ALL, "proofs/run.py"])
def test_what_all_depend_on(file: str, checkout: Path) -> None:
    before = keys(checkout)
    (checkout / file).write_text((checkout / file).read_text("utf-8") + "# another word\n", encoding="utf-8")
    after = keys(checkout)
    assert all(after[task] != before[task] for task in TASKS)


@pytest.mark.parametrize("file", ["checker/search.py", "proofs/cache.py", "proofs/history.py"])
def test_what_none_depends_on(file: str, checkout: Path) -> None:
    before = keys(checkout)
    (checkout / file).write_text((checkout / file).read_text("utf-8") + "# another word\n", encoding="utf-8")
    assert keys(checkout) == before


def test_no_import_is_overlooked() -> None:
    """Held against Python's own parser, for every module that there is."""
    sources = Sources()
    assert len(sources.texts) > 60
    for module, text in sources.texts.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.module is not None and node.level == 0, f"{module}: a relative import"
                names.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
        assert names & sources.texts.keys() <= set(sources.imports(module)), module


def test_every_question_has_its_own_key() -> None:
    cache = VerdictCache(ROOT / "unused", silent)
    asked = [*TASKS, LEMMA, LEMMA._replace(name="look")]
    asked += [TASKS[0]._replace(properties=("q",)), TASKS[0]._replace(properties=("p", "q"))]
    asked += [TASKS[0]._replace(edition=name) for name in EDITIONS if name != "v10"]
    assert len({cache.key(task) for task in asked}) == len(asked)
    assert cache.key(TASKS[0]._replace(timeout_ms=2)) == cache.key(TASKS[0])


@pytest.mark.parametrize(("kind", "name"), [("theorem", "munmap"), ("matrix", "munmap"), ("mutant", "brk")])
def test_a_key_covers_what_runs(kind: str, name: str) -> None:
    """Of the modules that are loaded to decide a task only those that decide other kinds are not part of its key."""
    program = f"""
import json, sys
from proofs import matrix, run
from proofs.tasks import Task
task = Task({kind!r}, {name!r}, "v10", ("never-unmapped",), 20_000)
ran = set()
def watch(frame, event, argument):
    ran.add(frame.f_globals.get("__name__", ""))
sys.setprofile(watch)
assert list(matrix.cells(task) if task.kind == "matrix" else run.carry_out(task))
sys.setprofile(None)
print(json.dumps(sorted(n for n in ran if n.split(".")[0] in ("spec", "checker", "proofs"))))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", cwd=ROOT, check=True)
    ran = set(json.loads(done.stdout))
    assert {"checker.prove", "spec.syscalls.munmap", "spec.vma"} <= ran
    assert ran <= {*Sources().needed(ASKED_BY[kind], name), *SHARED}


# commands ------------------------------------------------------------------------------------------------------------


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MSEAL_SPEC_CACHE", str(tmp_path))
    command = ["prove", "--property", "mseal32-refuses", "--no-mutants", "--no-lemmas"]
    assert main(command) == 0
    assert "earlier run" not in capsys.readouterr().out
    assert main(command) == 0
    assert "2 of them decided in an earlier run" in capsys.readouterr().out
    assert main([*command, "--no-cache"]) == 0
    assert "earlier run" not in capsys.readouterr().out


def test_one_line_about_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("MSEAL_SPEC_CACHE", str(tmp_path / "file"))
    assert main(["prove", "--property", "mseal32-refuses", "--no-mutants", "--no-lemmas"]) == 0
    out, err = capsys.readouterr()
    assert "Every result is as expected." in out
    assert err.count("\n") == 1 and "verdicts cannot be kept" in err
