# SPDX-License-Identifier: MIT
"""`sealspec replay` and `sealspec probe`: what is asked of which kernel, what is printed, and how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from checker.digest import case_digest
from checker.documents.counterexamples import Counterexample
from checker.documents.files import dump_document
from checker.lab import probe as probing
from checker.lab import replay as replaying
from checker.lab.errors import LabError
from checker.lab.probe import ProbeReport
from checker.lab.replay import replay_schema
from checker.lab.run import Kernel, LiveKernel
from proofs import run as proofs
from proofs.results import ProofReport
from reports.cli import main
from spec.editions import KERNELS
from tests.lab.counterexamples import counterexample, layout, on, vma
from tests.lab.kernels import running, running_edition

IMPOSSIBLE = counterexample(
    layout(vma(0, 1)), ("mmap", on(0, 1, prot=0, flags=0x31, file=0, object=0, off=0)), edition="v6.18",
    property="failure-changes-no-page", page=0, failures=("mmap: memory for the new VMA runs out",),
)  # fmt: skip
"""It is true, and no program can bring it about."""
FIXED = counterexample(
    layout(vma(0, 1, "r--", flags=["sealed"])), ("madvise", on(0, 1, behavior=1)), edition="v10",
    property="eperm-only-with-cause",
)  # fmt: skip
"""Later kernels do not refuse this advice."""


def cut(edition: str) -> Counterexample:
    """mseal that fails for want of a free map, with the first VMA sealed."""
    before = layout(vma(0, 1, "r--"), vma(1, 3), free=0)
    words = on(0, 2, flags=0)
    return counterexample(before, ("mseal", words), edition=edition, property="failed-mseal-seals-nothing", page=0)


def tampered(edition: str) -> Counterexample:
    """The same, said to succeed."""
    document = cut(edition)
    (step,) = document.steps
    result = step.result.model_copy(update={"value": 0, "errno": "OK", "check": ""})
    return document.model_copy(update={"steps": (step.model_copy(update={"result": result}),)})


def file_of(folder: Path, *documents: Counterexample) -> str:
    """A file of one document, or of JSON lines."""
    path = folder / "documents.jsonl"
    path.write_text("".join(document.model_dump_json() + "\n" for document in documents), encoding="utf-8")
    return str(path)


@running
def test_documents_are_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All documents of a file, or one by its number; the exit code says whether one is not confirmed."""
    edition = running_edition()
    if edition == "v10":
        pytest.skip("this kernel has the bit mask of v10")
    path = file_of(tmp_path, cut(edition), IMPOSSIBLE, FIXED)
    assert main(["replay", path]) == 1
    out = capsys.readouterr().out
    assert "1 confirmed, 1 not confirmed, 1 cannot be tried here" in out
    assert re.search(r"! = -1 EPERM +(!)? *= 0", out), out  # side by side, the differing line marked
    assert main(["replay", path, "--number", "1"]) == 0
    assert "page 0: r--p anon = 00 -> r--p anon sl = 00" in capsys.readouterr().out
    assert main(["replay", path, "--number", "2"]) == 0
    assert "no program can bring about at will" in capsys.readouterr().out


def test_a_document_that_is_not_what_its_edition_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No kernel is asked: what a kernel confirmed could not be what the document says."""
    path = file_of(tmp_path, cut("v6.18"), tampered("v6.18"))
    assert main(["replay", path]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "counterexample 2: not confirmed: the concrete reading of v6.18 does something else" in err
    assert "/steps/0/result/errno: the document says 'OK', the concrete reading 'ENOMEM'" in err


NOT_LINUX = cut("mimmutable")


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", "FILE"],
        ["replay", "--all", "--edition", "mimmutable"],
        ["conform", "--edition", "mimmutable", "--examples", "1"],
        *(["reproduce", "FILE", "--format", form] for form in ("c", "kselftest", "syz")),
    ],
)
def test_an_edition_that_is_not_linux(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No Linux kernel can be asked about what OpenBSD does, and nothing is asked."""
    path = file_of(tmp_path, NOT_LINUX)
    assert main([path if word == "FILE" else word for word in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "edition mimmutable is OpenBSD, not Linux" in err


@running
def test_results_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report is valid, says everything, and its scenario can be run again; people read standard error."""
    path = file_of(tmp_path, cut(running_edition()))
    assert main(["replay", path, "--json", "-"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    jsonschema.validate(report, json.loads(replay_schema()))
    (result,) = report["replays"]
    assert (result["verdict"], result["differences"], report["probe"]) == ("confirmed", [], None)
    assert "1 confirmed" in captured.err
    scenario = tmp_path / "scenario.json"
    scenario.write_text(json.dumps(result["scenario"]), encoding="utf-8")
    assert main(["run", str(scenario), "--expect", "--quiet"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay"], "--all"),
        (["replay", "DOC", "--all"], "--all"),
        (["replay", "DOC", "--edition", "v10"], "--edition"),
        (["replay", "DOC", "--report", "x"], "--report"),
        (["replay", "--all", "--number", "1"], "--number"),
        (["replay", "--all", "--edition", "v9"], "unknown edition 'v9'"),
        (["replay", "DOC", "--number", "2"], "holds 1 counterexample"),
        (["replay", "DOC", "--kernel", "nowhere"], "no kernel image 'nowhere'"),
        (["replay", "nowhere.json"], "nowhere.json: cannot be read"),
        (["replay", "SCENARIO"], "sealspec run"),
        (["replay", "--all", "--edition", "v6.18", "--report", "nowhere"], "nowhere: cannot be read"),
        (["replay", "--all", "--edition", "v6.18", "--report", "DOC"], "not a report of sealspec prove"),
        (["probe", "--kernel", "nowhere"], "no kernel image 'nowhere'"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2, and nothing is run."""
    (tmp_path / "scenario.json").write_text('{"name": "s", "steps": []}', encoding="utf-8")
    (tmp_path / "document.json").write_text(dump_document(IMPOSSIBLE), encoding="utf-8")
    names = {"DOC": str(tmp_path / "document.json"), "SCENARIO": str(tmp_path / "scenario.json")}
    assert main([names.get(argument, argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


class FakeKernel:
    """A kernel that is an edition, or none; it confirms everything that is replayed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, edition: str | None) -> None:
        self.edition = edition
        self.replayed: list[Counterexample] = []
        self.proved: list[str] = []
        monkeypatch.setattr(probing, "probe", self.probe)
        monkeypatch.setattr(replaying, "replay_all", self.replay_all)
        monkeypatch.setattr(proofs, "prove", self.prove)

    def probe(self, kernel: Kernel) -> ProbeReport:
        """What the probe finds."""
        found: dict[str, Any] = {"kernel": "9.9", "has_pkeys": False, "edition": self.edition, "probes": []}
        if self.edition is None:
            difference = {"step": 1, "call": "mseal", "field": "errno", "expected": 5, "got": 0}
            probe = {"name": "odd", "about": "an odd one", "agrees": ["v10"], "differences": {"v6.18": [difference]}}
            found["probes"] = [probe]
        return ProbeReport.model_validate({**found, "nearest": self.edition or "v6.18"})

    def replay_all(self, documents: Sequence[Counterexample], kernel: Kernel) -> Iterator[replaying.Replay]:
        """Remember what was asked."""
        for document in documents:
            self.replayed.append(document)
            yield replaying.Replay(
                case=case_digest(document),
                property=document.property, call=document.call, edition=document.edition, kernel="9.9",
                verdict="confirmed", reason="",
            )  # fmt: skip

    def prove(self, edition: str, **options: Any) -> ProofReport:
        """A report with one refuted theorem and one that is undecided."""
        assert (options["mutants"], options["lemmas"]) == (False, False)
        self.proved.append(edition)
        return report_of(edition)


def report_of(edition: str) -> ProofReport:
    """One theorem proved, one refuted, one undecided."""
    document = cut(edition)

    def theorem(name: str, call: str, verdict: str, example: Counterexample | None) -> dict[str, Any]:
        texts = dict.fromkeys(("sentence", "source", "engine", "reason", "mended", "why"), "")
        return {
            **texts, "property": name, "call": call, "edition": edition, "expected": "refuted",
            "verdict": verdict, "as_expected": True, "seconds": 0.0, "queries": 1, "assumptions": [], "witness": None,
            "counterexample": None if example is None else example.model_dump(mode="json"),
        }  # fmt: skip

    theorems = [
        theorem("failed-mseal-seals-nothing", "mseal", "refuted", document),
        theorem("never-unmapped", "mremap", "unknown", None),
        theorem("never-unmapped", "brk", "proved", None),
    ]
    return ProofReport.model_validate(
        {
            "edition": edition, "kernel": "", "solver": "", "assumptions": [], "theorems": theorems, "lemmas": [],
            "reachability": [], "mutants": [], "blocked_advice": [], "seconds": 0.0, "complete": True,
        }
    )  # fmt: skip


def test_all_theorems_of_the_kernels_own_edition(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The edition is the one that the probe finds; what is undecided is said to be left out."""
    kernel = FakeKernel(monkeypatch, "v6.12")
    assert main(["replay", "--all"]) == 0
    out = capsys.readouterr().out
    assert kernel.proved == ["v6.12"]
    assert [document.edition for document in kernel.replayed] == ["v6.12"]
    assert "9.9 behaves as edition v6.12" in out
    assert "1 theorem undecided" in out and "mremap" in out


def test_a_report_spares_the_proofs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It must be about the kernel's edition."""
    kernel = FakeKernel(monkeypatch, "v6.12")
    path = tmp_path / "report.json"
    path.write_text(report_of("v6.12").model_dump_json(), encoding="utf-8")
    assert main(["replay", "--all", "--report", str(path)]) == 0
    assert (kernel.proved, len(kernel.replayed)) == ([], 1)
    path.write_text(report_of("v7.3").model_dump_json(), encoding="utf-8")
    assert main(["replay", "--all", "--report", str(path)]) == 2
    assert "v7.3" in capsys.readouterr().err
    assert len(kernel.replayed) == 1


def test_a_kernel_that_is_no_edition(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The probes that differ are printed, and nothing is replayed unless an edition is named."""
    kernel = FakeKernel(monkeypatch, None)
    for arguments in (["probe"], ["replay", "--all"]):
        assert main(arguments) == 1
        out = capsys.readouterr().out
        assert "behaves as no edition; nearest is v6.18" in out
        assert "an odd one" in out and "as v10 would" in out
    assert kernel.replayed == []
    assert main(["replay", "--all", "--edition", "v6.18"]) == 0
    assert len(kernel.replayed) == 1


def test_a_kernel_without_mseal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line, exit code 2."""

    def refuse(kernel: Kernel) -> ProbeReport:
        raise LabError(f"{LiveKernel().describe()}: kernel 6.1.0 has no mseal (6.10 or later)")

    monkeypatch.setattr(probing, "probe", refuse)
    for arguments in (["probe"], ["replay", "--all"]):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert "has no mseal" in error
        assert len(error.strip().splitlines()) == 1


@running
def test_the_probe(capsys: pytest.CaptureFixture[str]) -> None:
    """As a sentence and as JSON, which agree."""
    code = main(["probe", "--json", "-"])
    report = ProbeReport.model_validate_json(capsys.readouterr().out)
    assert code == (0 if report.edition is not None else 1)
    assert report.nearest in KERNELS
    assert main(["probe"]) == code
    assert report.nearest in capsys.readouterr().out
