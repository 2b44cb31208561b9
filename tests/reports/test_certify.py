# SPDX-License-Identifier: MIT
"""`sealspec certify` and `verify`: a certificate of a few calls and lemmas, and what becomes of a changed one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import proofs.certificate
import proofs.goals
import proofs.lemmas
import proofs.verify
from proofs.certificate import Certificate
from proofs.lemmas import LEMMAS
from proofs.theorems import Theorem, theorems
from proofs.why import schemas as why_schemas
from reports.cli import main
from reports.cli_certify import certify, verify
from reports.cli_common import BadUsage
from spec.editions import Edition

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema"
CALLS = ("munmap", "write", "mseal32")
SOME_LEMMAS = ("moves", "embedding")
FAKE = "fake-solver"


def few_theorems(
    edition: Edition, properties: list[str] | None = None, calls: list[str] | None = None
) -> list[Theorem]:
    """The theorems of a few calls."""
    return [t for t in theorems(edition, properties, calls) if t.call in CALLS]


@pytest.fixture(autouse=True, scope="module")
def few() -> Iterator[None]:
    """An edition shall have few calls and lemmas, so that its certificate is made in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (proofs.goals, proofs.verify):
            patch.setattr(module, "theorems", few_theorems)
        few_lemmas = {name: LEMMAS[name] for name in SOME_LEMMAS}
        for module in (proofs.lemmas, proofs.verify):
            patch.setattr(module, "LEMMAS", few_lemmas)
        yield


@pytest.fixture(scope="module")
def made(few: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate as it is written."""
    folder = tmp_path_factory.mktemp("certified") / "certificate"
    assert certify(["v10"], str(folder), 20_000, 0) == 0
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    shutil.copytree(made, tmp_path / "certificate")
    return tmp_path / "certificate"


def verified(
    folder: Path, capsys: pytest.CaptureFixture[str], *, solver: str = "cvc5", recompute: bool = True
) -> tuple[int, str]:
    """The exit code of `verify`, and what it printed."""
    capsys.readouterr()
    code = verify(str(folder), solver, recompute, 20_000, 0 if solver == "cvc5" else 2)
    return code, capsys.readouterr().out


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def munmap(manifest: dict[str, Any]) -> dict[str, Any]:
    """The entry of munmap."""
    found: dict[str, Any] = next(call for call in manifest["calls"] if call["call"] == "munmap")
    return found


def proved(manifest: dict[str, Any]) -> dict[str, Any]:
    """The entry of a theorem about munmap with a goal for some path."""
    found: dict[str, Any] = next(t for t in munmap(manifest)["theorems"] if t["property"] == "never-unmapped")
    return found


def test_a_certificate_is_written_as_published_and_verified(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((made / "manifest.json").read_text())
    jsonschema.validate(manifest, json.loads((PUBLISHED / "certificate.json").read_text()))
    certificate = Certificate.model_validate(manifest)
    assert {f"{goal.sha256}.smt2" for goal in certificate.goals} == set(os.listdir(made / "goals"))
    code, told = verified(made, capsys)
    assert code == 0
    assert f"{len(certificate.goals)} as the certificate says, by cvc5" in told
    assert "the paths were explored again" in told
    code, told = verified(made, capsys, recompute=False)
    assert code == 0 and "the paths were not explored again (--no-recompute)" in told


def test_the_schemas_are_those_that_are_published() -> None:
    for name, text in {**proofs.certificate.schemas(), **why_schemas()}.items():
        assert (PUBLISHED / name).read_text("utf-8") == text, name


def test_the_next_certificate_replaces_this_one_and_says_the_same(copy: Path) -> None:
    before = (copy / "manifest.json").read_bytes()
    (copy / "goals" / "old").write_text("")
    assert certify(["v10"], str(copy), 20_000, 0) == 0
    assert (copy / "manifest.json").read_bytes() == before and not (copy / "goals" / "old").exists()


def test_a_folder_that_is_no_certificate_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("")
    with pytest.raises(BadUsage, match="is not a certificate"):
        certify(["v10"], str(tmp_path / "mine"), 20_000, 0)


def test_a_changed_byte_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    goal = min((copy / "goals").iterdir())
    goal.write_bytes(goal.read_bytes().replace(b"(assert ", b"(assert  ", 1))
    code, told = verified(copy, capsys)
    assert code == 1 and f"goals/{goal.name}: it was changed" in told and "nothing was decided" in told


def test_a_missing_file_a_link_and_an_extra_file_are_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_ = sorted((copy / "goals").iterdir())
    first.unlink()
    second.rename(copy / "elsewhere")
    second.symlink_to(copy / "elsewhere")
    code, told = verified(copy, capsys)
    assert code == 1
    assert f"goals/{first.name}: No such file" in told
    assert f"goals/{second.name}: a symbolic link, which is not followed" in told
    assert "belongs to no goal: elsewhere" in told


def test_an_extra_file_is_no_error(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "goals" / "note.txt").write_text("")
    code, told = verified(copy, capsys, recompute=False)
    assert code == 0 and "belongs to no goal: goals/note.txt" in told


LEFT_OUT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a theorem": (lambda m: munmap(m)["theorems"].remove(proved(m)), "never-unmapped(munmap) is left out"),
    "a theorem, said to be open": (
        lambda m: proved(m).update(verdict="open", accounts=[]), "never-unmapped(munmap) is open",
    ),
    "a call": (lambda m: m["calls"].remove(munmap(m)), "never-unmapped(munmap) is left out"),
    "a lemma": (lambda m: m["lemmas"].pop(), "lemma embedding is left out"),
    "a goal": (lambda m: m["goals"].pop(), "is needed and not listed"),
    "an edition": (lambda m: m["editions"].pop(), "is not among the editions"),
}  # fmt: skip


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_is_left_out_is_noticed(what: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, why = LEFT_OUT[what]
    changed(copy, change)
    code, told = verified(copy, capsys, recompute=False)
    assert code == 1 and why in told


def another_goal(manifest: dict[str, Any]) -> None:
    """Have a path rest on a goal of another path."""
    accounts = proved(manifest)["accounts"]
    number = next(i for i, account in enumerate(accounts) if len(account) == 64)
    other = next(
        account
        for theorem in munmap(manifest)["theorems"]
        for account in theorem["accounts"]
        if len(account) == 64 and account != accounts[number]
    )
    accounts[number] = other


def no_goal(manifest: dict[str, Any]) -> None:
    """Have a path need no goal."""
    accounts = proved(manifest)["accounts"]
    accounts[next(i for i, account in enumerate(accounts) if len(account) == 64)] = "outcome"


CLAIMS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a goal of another path": another_goal,
    "no goal": no_goal,
    "a path less": lambda m: proved(m)["accounts"].pop(),
    "a path more": lambda m: proved(m)["accounts"].append("outcome"),
    "another ending": lambda m: munmap(m)["endings"].__setitem__(0, "OK"),
    "an obligation less": lambda m: m["lemmas"][0]["obligations"].pop(),
}


@pytest.mark.parametrize("what", CLAIMS)
def test_what_the_paths_do_not_say_is_noticed(what: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(manifest: dict[str, Any]) -> None:
        CLAIMS[what](manifest)
        used = json.dumps([manifest["calls"], manifest["lemmas"]])
        manifest["goals"] = [goal for goal in manifest["goals"] if goal["sha256"] in used]

    changed(copy, change)
    code, told = verified(copy, capsys)
    assert code == 1 and "the certificate does not say what the calls do" in told


def test_a_goal_with_a_fact_of_its_own_is_noticed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A contradiction that speaks of no path: any solver decides it, and it says nothing."""
    text = (
        "(set-info :smt-lib-version 2.6)\n(set-info :status unsat)\n(set-logic QF_LIA)\n(assert false)\n(check-sat)\n"
    )
    key = proofs.verify.hash_of_text(text)
    (copy / "goals" / f"{key}.smt2").write_text(text)

    def change(manifest: dict[str, Any]) -> None:
        accounts = proved(manifest)["accounts"]
        accounts[next(i for i, account in enumerate(accounts) if len(account) == 64)] = key
        manifest["goals"].append({"sha256": key, "expected": "unsat", "parts": ["0" * 64]})

    changed(copy, change)
    code, told = verified(copy, capsys, recompute=False)
    assert code == 0  # so it is said that the paths were not explored again
    code, told = verified(copy, capsys)
    assert code == 1 and "has a fact that is not one here" in told


def test_a_goal_that_does_not_say_what_its_facts_say_is_noticed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "(set-info :status unsat)\n(set-logic QF_LIA)\n(assert false)\n(check-sat)\n"
    key = proofs.verify.hash_of_text(text)
    goal = next(a for a in proved(json.loads((copy / "manifest.json").read_text()))["accounts"] if len(a) == 64)
    (copy / "manifest.json").write_text((copy / "manifest.json").read_text().replace(goal, key))
    (copy / "goals" / f"{goal}.smt2").unlink()
    (copy / "goals" / f"{key}.smt2").write_text(text)
    code, told = verified(copy, capsys)
    assert code == 1 and "does not say what its facts say" in told


def test_a_goal_that_is_said_to_be_satisfiable_is_noticed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(manifest: dict[str, Any]) -> None:
        key = next(account for account in proved(manifest)["accounts"] if len(account) == 64)
        next(goal for goal in manifest["goals"] if goal["sha256"] == key)["expected"] = "sat"

    changed(copy, change)
    code, told = verified(copy, capsys)
    assert code == 1 and "is expected to be sat" in told


@pytest.mark.parametrize(
    "line",
    [
        '(set-option :regular-output-channel "WRITTEN")',
        '(assert true)(set-option :regular-output-channel "WRITTEN")',
        '(assert (= a |\\|))(set-option :regular-output-channel "WRITTEN"))',
        "(echo unsat)",
        "(exit)",
        "(check-sat)",
        "; (assert",
    ],
)
def test_a_goal_that_tells_the_solver_to_do_something_is_given_to_none(
    line: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = min((copy / "goals").iterdir())
    text = goal.read_text().replace("(check-sat)\n", f"{line}\n(check-sat)\n")
    key = proofs.verify.hash_of_text(text)
    (copy / "goals" / f"{key}.smt2").write_text(text)
    goal.unlink()
    manifest = (copy / "manifest.json").read_text().replace(goal.stem, key)
    (copy / "manifest.json").write_text(manifest)
    code, told = verified(copy, capsys, recompute=False)
    assert code == 1 and f"goals/{key}.smt2: it is no goal, and is given to no solver" in told


@pytest.mark.parametrize("said", ["sat", "unknown", "garbage"])
def test_a_solver_that_does_not_agree_is_named(
    said: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FAKE).write_text(f"#!/bin/sh\necho {said}\n")
    (tmp_path / FAKE).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    code, told = verified(made, capsys, solver=FAKE, recompute=False)
    assert code == 1 and f"not as the certificate says, by {FAKE}" in told


HOSTILE: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "not a certificate"),
    "empty": ("", "not a certificate"),
    "another document": ('{"format": "mseal-spec/proof/1"}', "not a certificate"),
    "huge numbers": ('{"format": ' + "9" * 10_000 + "}", "not a certificate"),
    "too deep": ("[" * 100_000, "not a certificate"),
    "a path that is no hash": (
        '{"format": "mseal-spec/certificate/1", "solver": "", "editions": [], "calls": [], "lemmas": [], '
        '"goals": [{"sha256": "../../etc/passwd", "expected": "unsat", "parts": []}]}',
        "not a certificate",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_manifest_that_is_none_is_one_line(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, why = HOSTILE[what]
    (tmp_path / "manifest.json").write_text(text)
    assert main(["verify", str(tmp_path), "--solver", "cvc5"]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1 and why in told[0]


def test_folders_and_solvers_that_are_not_there_are_one_line(
    tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.json").symlink_to(made / "manifest.json")
    for arguments in (
        ["verify", str(tmp_path / "none"), "--solver", "cvc5"],
        ["verify", str(tmp_path), "--solver", "cvc5"],
        ["verify", str(made), "--solver", "no-such-solver"],
        ["prove", "--call", "munmap", "--second-solver", "no-such-solver"],
        ["certify", "--edition", "v0.1", "--out", str(tmp_path / "out")],
        ["certify", "--edition", "v10", "--out", str(tmp_path)],
    ):
        assert main(arguments) == 2, arguments
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
