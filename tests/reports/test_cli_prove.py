# SPDX-License-Identifier: MIT
"""`sealspec prove` and `find`: how results are shown, and the exit codes. The prover is a stand-in here, so that
results of every kind can be had; tests at the end use the real one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from proofs.results import (
    Doubt,
    LemmaResult,
    MutantResult,
    ProofReport,
    ReachableResult,
    SecondOpinion,
    TheoremResult,
)
from reports.cli import main
from reports.cli_prove import Watcher

ROOT = Path(__file__).parents[2]


def theorem(**given: Any) -> TheoremResult:
    """A result: proved as expected, unless given otherwise."""
    made = {
        "property": "never-unmapped",
        "call": "munmap",
        "edition": "v10",
        "sentence": "A sealed page stays mapped.",
        "source": "the commit message",
        "expected": "proved",
        "verdict": "proved",
        "as_expected": True,
        "engine": "unbounded",
        "seconds": 0.25,
        "queries": 3,
        "assumptions": ["ATOMIC", "NOT_LAZY"],
        "reason": "",
        "mended": "",
        "witness": None,
        "counterexample": None,
        "why": "",
    }
    return TheoremResult.model_validate({**made, **given})


def lemma(**given: Any) -> LemmaResult:
    """A lemma that was proved, unless given otherwise."""
    made = {"name": "pass-step", "sentence": "One more VMA.", "verdict": "proved", "as_expected": True}
    return LemmaResult.model_validate({**made, "obligations": 3, "seconds": 0.1, "why": "", **given})


def outcome(**given: Any) -> ReachableResult:
    """An outcome that is reached, unless given otherwise."""
    made = {"call": "brk", "errno": "EINVAL", "check": "c", "reachable": True, "as_expected": True}
    return ReachableResult.model_validate({**made, "reason": "", "witness": None, **given})


def mutant(**given: Any) -> MutantResult:
    """A mutant that is killed, unless given otherwise."""
    made = {"call": "brk", "check": "c", "killed_by": "never-unmapped", "survived": False, "as_expected": True}
    return MutantResult.model_validate({**made, "reason": "", "seconds": 0.1, **given})


def report(*theorems: TheoremResult, **given: Any) -> ProofReport:
    """A report with one lemma, one outcome and one mutant, all as expected."""
    made: dict[str, Any] = {
        "edition": "v10",
        "kernel": "6.10",
        "solver": "z3 5.4.1",
        "assumptions": ["ATOMIC"],
        "theorems": list(theorems),
        "lemmas": [lemma()],
        "reachability": [outcome()],
        "mutants": [mutant()],
        "blocked_advice": [],
        "seconds": 1.0,
        "complete": True,
    }
    return ProofReport.model_validate({**made, **given})


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for proofs.run: a test puts what it wants into it."""
    module = ModuleType("proofs.run")
    monkeypatch.setitem(sys.modules, "proofs.run", module)
    import proofs as package

    monkeypatch.setattr(package, "run", module, raising=False)
    return module


def answers(result: ProofReport, asked: list[tuple[Any, ...]] | None = None) -> Callable[..., ProofReport]:
    """A prover that gives this report, and tells of its first theorem on the way."""

    def prove(edition: str, *, on_event: Watcher, **options: Any) -> ProofReport:
        if asked is not None:
            asked.append((edition, options))
        for kind in ("theorem", "lemma"):
            on_event(SimpleNamespace(kind=kind, name="x", verdict="proved", as_expected=True, done=1, total=1))  # type: ignore[arg-type]
        return result

    return prove


def test_all_as_expected(proofs: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[Any, ...]] = []
    broken = theorem(property="never-grown", call="mremap", expected="refuted", verdict="refuted")
    proofs.prove = answers(report(theorem(), broken), asked)  # type: ignore[attr-defined]
    target = tmp_path / "report.json"
    options = ["-p", "never-unmapped", "-p", "never-grown", "--timeout", "0.5", "--no-lemmas", "--json", str(target)]
    assert main(["prove", *options]) == 0
    edition, given = asked[0]
    assert edition == "v10"
    assert given["properties"] == ["never-unmapped", "never-grown"]
    assert (given["timeout_ms"], given["lemmas"], given["mutants"], given["calls"]) == (500, False, True, None)
    assert len(json.loads(target.read_text("utf-8"))["theorems"]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    for text in ("refuted, as known", "2: 1 proved, 1 refuted", "1: 1 killed", "1 theorem is refuted, for reasons"):
        assert text in out, out
    assert "NOT_LAZY" in out
    assert "ATOMIC" not in out


SECOND = SecondOpinion(
    solver="cvc5 (1.4.2)",
    goals=3,
    texts=2,
    agreed=1,
    doubts=[Doubt(goal="0" * 64, said="unknown", why="time ran out", file="/tmp/0.smt2", of=["x(munmap)"])],
    seconds=1.0,
)

DIFFERING: list[tuple[str, ProofReport, tuple[str, ...]]] = [
    (
        "unconfirmed",
        report(theorem(), second=SECOND),
        (
            "3 goals, 2 different: 1 decided alike by cvc5 (1.4.2)",
            "the second solver has no answer (time ran out): /tmp/0.smt2",
        ),
    ),
    (
        "refuted",
        report(theorem(verdict="refuted", as_expected=False)),
        ("refuted, but expected to be proved", "sealspec find never-unmapped --call munmap --edition v10"),
    ),
    (
        "proved",
        report(theorem(expected="refuted", as_expected=False, reason="W7")),
        ("proved, but expected to be refuted", "W7"),
    ),
    (
        "unknown",
        report(theorem(verdict="unknown", as_expected=False, why="timeout")),
        ("unknown, but expected to be proved", "timeout"),
    ),
    ("lemma", report(lemmas=[lemma(name="l", verdict="unknown", as_expected=False)]), ("lemma l: unknown",)),
    (
        "outcome",
        report(reachability=[outcome(reachable=False, as_expected=False)]),
        ("brk, EINVAL (c): is never reached",),
    ),
    (
        "mutant",
        report(mutants=[mutant(killed_by="", survived=True, as_expected=False)]),
        ("brk, c: dropping it refutes no theorem",),
    ),
]


@pytest.mark.parametrize(("name", "result", "told"), DIFFERING, ids=[case[0] for case in DIFFERING])
def test_what_is_not_as_expected(
    name: str, result: ProofReport, told: tuple[str, ...], proofs: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    proofs.prove = answers(result)  # type: ignore[attr-defined]
    assert main(["prove"]) == 1
    out = capsys.readouterr().out
    assert "1 result is NOT as expected" in out
    assert "Every result is as expected" not in out
    assert all(text in out for text in told), out


def test_nothing_undecided_is_green(
    proofs: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    rows = [theorem(verdict=v, as_expected=False) for v in ("unknown", "bounded", "vacuous", "error", "refuted")]
    proofs.prove = answers(report(*rows, theorem(verdict="refuted", expected="refuted")))  # type: ignore[attr-defined]
    assert main(["prove"]) == 1
    out = capsys.readouterr().out
    assert "\x1b[" in out
    assert "\x1b[32m" not in out
    assert "\x1b[1;32m" not in out


def test_interrupted_with_a_report(proofs: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proofs.prove = answers(report(theorem(), complete=False))  # type: ignore[attr-defined]
    target = tmp_path / "report.json"
    assert main(["prove", "--json", str(target)]) == 130
    out = capsys.readouterr().out
    assert "never-unmapped" in out
    assert "interrupted" in out
    assert json.loads(target.read_text("utf-8"))["complete"] is False


def test_interrupted_without_a_report(proofs: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def prove(edition: str, *, on_event: Watcher, **options: Any) -> ProofReport:
        event = {"kind": "theorem", "name": "a(b)", "done": 1, "total": 2}
        on_event(SimpleNamespace(**event, verdict="proved", as_expected=True))  # type: ignore[arg-type]
        on_event(SimpleNamespace(**event, verdict="unknown", as_expected=False))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    proofs.prove = prove  # type: ignore[attr-defined]
    assert main(["prove"]) == 130
    out = capsys.readouterr().out
    assert "decided so far: 2 theorems" in out
    assert "theorem a(b): unknown" in out


def test_json_on_standard_output_is_alone_there(proofs: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    proofs.prove = answers(report(theorem()))  # type: ignore[attr-defined]
    assert main(["prove", "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["edition"] == "v10"
    assert "Every result is as expected" in err


# the real prover ----------------------------------------------------------------------------------------------------


def test_one_theorem_for_real(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "report.json"
    options = ["--property", "mseal32-refuses", "--no-mutants", "--no-lemmas", "--json", str(target)]
    assert main(["prove", *options]) == 0
    written = ProofReport.model_validate_json(target.read_text("utf-8"))
    assert [(t.property, t.verdict) for t in written.theorems] == [("mseal32-refuses", "proved")]
    assert "Every result is as expected" in capsys.readouterr().out


def test_find_for_real(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "found.json"
    assert main(["find", "private-file-contents-stay", "--json", str(target)]) == 0
    out = capsys.readouterr().out
    assert "refuted, as known" in out
    assert main(["show", str(target)]) == 0
    assert capsys.readouterr().out in out
    assert main(["find", "never-unsealed", "--call", "mseal"]) == 0
    assert "proved, as expected" in capsys.readouterr().out


def test_find_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "trace.json"
    files = ["--json", str(target), "--svg", str(tmp_path / "a.svg"), "--dot", str(tmp_path / "a.dot")]
    assert main(["find", "private-file-contents-stay", "--trace", *files]) == 0
    assert len(json.loads(target.read_text("utf-8"))["steps"]) == 5
    assert (tmp_path / "a.svg").read_text("utf-8").startswith("<")
    assert (tmp_path / "a.dot").read_text("utf-8").startswith("digraph")
    assert "call 5: madvise" in capsys.readouterr().out


def test_ctrl_c_ends_a_query() -> None:
    """z3 alone would swallow the signal, and answer unknown."""
    program = """
import os, signal, threading, time, z3
from reports.cli_interrupt import interruptible
p, q, solver = z3.BitVec("p", 96), z3.BitVec("q", 96), z3.SimpleSolver()
solver.add(p * q == 0x9D3F5A1B7C2E4F6081A3B5C7, z3.ULT(p, 2**48), z3.ULT(q, 2**48), p > 1, q > 1)
solver.set("timeout", 20_000)
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
begun = time.monotonic()
try:
    with interruptible():
        solver.check()
except KeyboardInterrupt:
    print("interrupted" if time.monotonic() - begun < 10 else "too late")
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", cwd=ROOT, check=False, timeout=60
    )
    assert result.stdout == "interrupted\n", result.stderr
