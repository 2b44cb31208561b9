# SPDX-License-Identifier: MIT
"""Promises and recipes: what they say is what theorems and calls say, in every edition, and it fits on a screen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from checker.documents.scenarios import Scenario
from checker.lab.probe import probe
from checker.lab.run import LiveKernel, RunReport, run_scenarios
from checker.scenario import compare, run_scenario
from proofs.matrix import matrix
from proofs.theorems import theorems
from reports.cli import READERS as NAMED_READERS
from reports.cli import main
from reports.explain import explain
from reports.guarantees.basis import Basis, Where
from reports.guarantees.document import guarantee_schema
from reports.guarantees.examples import Example
from reports.guarantees.page import page
from reports.guarantees.promises import PROMISES, READERS
from reports.guarantees.recipes import FAILED_CALLS, RECIPES, Recipe
from spec.editions import EDITIONS, KERNELS
from spec.errors import Errno
from tests.lab.kernels import running

ROOT = Path(__file__).parents[2]
SPOKEN_OF = [*KERNELS, "two-pass"]
"""What recipes are about."""
EXAMPLES = [(recipe, example) for recipe in RECIPES.values() for example in recipe.examples]
SCREEN = 50


def claims() -> Iterator[tuple[str, Where, Basis]]:
    """Every claim of a recipe: where it is made, of which editions, and what it rests on."""
    for recipe in RECIPES.values():
        for reason in recipe.why:
            for basis in reason.bases:
                yield f"{recipe.name}: {reason.text}", reason.where, basis
        for failed in recipe.failures:
            for failure in failed.failures:
                for outcome in failure.outcomes:
                    for basis in outcome.bases:
                        yield f"{failed.call} {failure.errno.name}: {outcome.text}", outcome.where, basis


# what is said ---------------------------------------------------------------------------------------------------------


def test_every_claim_has_the_verdicts_that_it_needs() -> None:
    for said, where, basis in claims():
        for edition in SPOKEN_OF:
            if where.has(edition):
                found = {theorem.name: theorem.expected for theorem in basis.theorems(edition)}
                assert basis.agrees(edition), f"{said} ({edition}) needs {basis.verdict}: {basis.name}, and has {found}"


def test_a_reason_of_some_kernels_is_not_one_of_the_others() -> None:
    for recipe in RECIPES.values():
        for reason in recipe.why:
            for edition in SPOKEN_OF:
                if reason.bases and not reason.where.has(edition):
                    agrees = all(basis.agrees(edition) for basis in reason.bases)
                    assert not agrees, f"{recipe.name}: {reason.text} is true of {edition} too"


def test_every_reason_rests_on_something() -> None:
    for recipe in RECIPES.values():
        names = {example.name for example in recipe.examples}
        assert len(names) == len(recipe.examples)
        for reason in recipe.why:
            assert reason.bases or reason.examples or reason.document, reason.text
            assert set(reason.examples) <= names
            assert not reason.document or (ROOT / reason.document).is_file()
        used = {name for reason in recipe.why for name in reason.examples}
        assert recipe.failures or used == names, f"{recipe.name}: {names - used} shows nothing that is said"


def test_a_promise_is_kept_where_all_its_theorems_are_proved() -> None:
    for promise in PROMISES:
        for name, edition in EDITIONS.items():
            expected = [
                theorem.expected
                for basis in promise.bases
                for theorem in theorems(edition, [basis.prop], list(basis.calls) or None)
            ]
            answer = promise.answer(name)
            assert (answer == "NO") == ("refuted" in expected)
            assert (answer == "yes") == (expected != [] and set(expected) <= {"proved"})
            assert bool(promise.reasons(name)) == (answer == "NO")


def test_the_answers_that_matter_most() -> None:
    """Golden: a change of these is a change of what people are told."""
    answers = {
        promise.name: [promise.answer(name) for name in ("v10", "v6.11", "v6.12", "v7.3")] for promise in PROMISES
    }
    assert answers["stays-mapped"] == ["yes"] * 4
    assert answers["keeps-contents"] == ["yes"] * 4
    assert answers["keeps-file-contents"] == ["NO"] * 4
    assert answers["harmless-advice"] == ["NO", "yes", "yes", "yes"]
    assert answers["no-copies"] == ["NO", "NO", "yes", "yes"]
    assert answers["seals-all-or-nothing"] == ["NO"] * 4
    assert answers["refused-mprotect"] == ["yes", "yes", "NO", "NO"]


# examples -------------------------------------------------------------------------------------------------------------


def differences(scenario: Scenario, edition: str) -> list[str]:
    """Where the model of an edition answers something else than a scenario says."""
    return [str(found) for found in compare(scenario, run_scenario(scenario, EDITIONS[edition]))]


@pytest.mark.parametrize("edition", SPOKEN_OF)
def test_examples_do_in_every_edition_what_they_say(edition: str) -> None:
    for recipe, example in EXAMPLES:
        found = differences(example.scenario(edition), edition)
        assert found == [], f"{recipe.name}, {example.name} in {edition}: {found}"


def test_what_is_said_of_some_kernels_does_not_happen_in_the_others() -> None:
    for recipe, example in EXAMPLES:
        for watch in example.watched:
            for edition in SPOKEN_OF:
                if not watch.where.has(edition):
                    steps = example.scenario(edition, answers=False).model_dump(mode="json")["steps"]
                    steps[watch.step] |= watch.answer
                    scenario = Scenario.model_validate({"name": example.name, "steps": steps})
                    assert differences(scenario, edition), f"{recipe.name}, {example.name}, {watch.step}: {edition} too"


def test_what_is_watched_is_compared() -> None:
    for recipe, example in EXAMPLES:
        for edition in KERNELS:
            watched = [watch for watch in example.watched if watch.where.has(edition)]
            answered = [watch for watch in watched if watch.answer]
            assert watched == answered, f"{recipe.name}, {example.name}"
            assert len({watch.step for watch in watched}) == len(watched), f"{recipe.name}, {example.name}"


@running
def test_examples_do_on_the_running_kernel_what_they_say() -> None:
    """The edition is the one that the kernel behaves as; of one that behaves as none nothing is said."""
    asked = RunReport()
    edition = probe(LiveKernel(), report=asked).edition
    if edition is None:
        pytest.skip("the running kernel behaves as none of the editions")
    assert asked.hello is not None
    chosen = [(r, e) for r, e in EXAMPLES if asked.hello.has_pku or not e.pkeys]
    scenarios = [example.scenario(edition) for _, example in chosen]
    answers = run_scenarios([s.model_dump(mode="json", exclude_unset=True) for s in scenarios], LiveKernel())
    for (recipe, example), scenario, answer in zip(chosen, scenarios, answers, strict=True):
        assert "error" not in answer, f"{recipe.name}, {example.name}: {answer}"
        assert disagreements(scenario, answer) == [], f"{recipe.name}, {example.name}"


def disagreements(scenario: Scenario, answer: dict[str, object]) -> list[str]:
    """Where the kernel answered something else than the scenario says."""
    given = answer["steps"]
    assert isinstance(given, list)
    found = []
    for number, (step, seen) in enumerate(zip(scenario.model_dump(mode="json")["steps"], given, strict=True)):
        for name in ("ret", "errno", "vmas", "bytes"):
            if step[name] is not None and step[name] != seen[name]:
                found.append(f"step {number}, {name}: {step[name]} expected, {seen[name]} given")
    return found


# failed calls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edition", SPOKEN_OF)
def test_one_outcome_is_said_of_each_errno(edition: str) -> None:
    for failed in FAILED_CALLS:
        for failure in failed.failures:
            said = [outcome for outcome in failure.outcomes if outcome.where.has(edition)]
            assert len(said) == 1, f"{failed.call} {failure.errno.name} in {edition}"


@pytest.mark.parametrize("edition", ["v10", KERNELS[-1]])
def test_an_errno_that_is_never_given_has_no_check(edition: str) -> None:
    for failed in FAILED_CALLS[:3]:  # the others are slow to explain, and give each of these
        given = {check.errno for check in explain(failed.call, EDITIONS[edition]).checks}
        for failure in failed.failures:
            never = [o.level for o in failure.outcomes if o.where.has(edition)] == ["never"]
            assert never == (failure.errno.name not in given), f"{failed.call} {failure.errno.name}"


@pytest.mark.slow
@pytest.mark.parametrize("edition", ["v10", KERNELS[-1]])
@pytest.mark.parametrize("call", ["mseal", "munmap", "mprotect", "mmap"])
def test_the_matrix_decides_the_same(call: str, edition: str) -> None:
    """madvise and mremap take a minute each, and are left to `sealspec matrix`."""
    levels = {
        Errno[cell.errno]: "never"
        if cell.verdict == "unreachable"
        else "nothing"
        if cell.verdict == "atomic"
        else "cuts"
        if cell.level == "boundaries"
        else "pages"
        for cell in matrix([edition], [call], jobs=1).cells
        if cell.cause != "other"
    }
    [failed] = [failed for failed in FAILED_CALLS if failed.call == call]
    for failure in failed.failures:
        [said] = [outcome.level for outcome in failure.outcomes if outcome.where.has(edition)]
        assert said == levels[failure.errno], f"{call} {failure.errno.name} in {edition}"


# the command and the page ---------------------------------------------------------------------------------------------


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints."""
    assert main(["guarantee", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch, _plain_output: None) -> None:
    monkeypatch.setenv("COLUMNS", "80")


EVERY_SCREEN = [[], *([name] for name in RECIPES), *(["--for", reader] for reader in READERS)]


@pytest.mark.parametrize("arguments", EVERY_SCREEN, ids=" ".join)
def test_all_of_it_fits_on_a_screen(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    for edition in (None, *SPOKEN_OF):
        lines = shown(capsys, *arguments, *(["--edition", edition] if edition else [])).splitlines()
        assert len(lines) <= SCREEN, f"{edition}: {len(lines)} lines"
        assert max(map(len, lines)) <= 80


def test_the_table_names_every_promise_every_theorem_and_every_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys).split())
    for promise in PROMISES:
        assert all(basis.name in text for basis in promise.bases)
    heads = re.findall(r"-?v[\d.]+", text.split("A sealed page")[0])
    first, *rest = (KERNELS.index(name.removeprefix("-")) for name in heads if not name.startswith("-"))
    assert first == 0
    assert rest == sorted(rest)
    for name in KERNELS:
        text = " ".join(shown(capsys, "--edition", name).split())
        assert all(f"{promise.answer(name)} {promise.sentence.split('(')[0].strip()}" in text for promise in PROMISES)


def test_a_recipe_for_one_kernel_says_nothing_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    of_v10, of_all = shown(capsys, "read-only-data", "-e", "v10"), shown(capsys, "read-only-data")
    assert "v10: Sixteen harmless values" in of_all
    assert "Sixteen harmless values" in of_v10
    assert "Sixteen harmless values" not in shown(capsys, "read-only-data", "-e", "v6.18")
    assert "MADV_WILLNEED): EPERM, though harmless" in of_v10
    assert "succeeds, kept" not in of_v10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gott"], "unknown recipe 'gott'; did you mean got?"),
        (["--for", "kernel"], "unknown reader 'kernel'"),
        (["-e", "v99"], "v99"),
        (["got", "-e", "mimmutable"], "recipes are about kernels, and mimmutable is none"),
        (["errors", "-e", "munmap-variant"], "recipes are about kernels, and munmap-variant is none"),
        (["got", "--for", "jit"], "a recipe is shown whole"),
    ],
)
def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(["guarantee", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1


def test_another_system_has_promises_and_no_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--edition", "mimmutable")
    assert "OpenBSD" in text
    assert "Recipes" not in text


def test_readers_are_those_that_the_command_names() -> None:
    assert NAMED_READERS == READERS
    for reader in READERS:
        assert any(reader in promise.readers for promise in PROMISES)
        assert any(reader in recipe.readers for recipe in RECIPES.values())


def test_the_help_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys, "--help").replace("│", " ").split())
    for name in RECIPES:
        assert re.search(rf"\b{name}\b", text), name


def test_json_is_what_its_schema_says_and_holds_scenarios_that_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    schema = json.loads((ROOT / "docs" / "schema" / "guarantee.json").read_text(encoding="utf-8"))
    for arguments in (["guard-pages"], ["errors", "-e", "v6.12"], ["-e", "mimmutable"]):
        document = json.loads(shown(capsys, *arguments, "--json", "-"))
        jsonschema.validate(document, schema)
        assert document["promises"]
    document = json.loads(shown(capsys, "got", "-e", "v6.18", "--json", "-"))
    [recipe] = document["recipes"]
    for example in recipe["examples"]:
        [scenario] = example["scenarios"]
        path = tmp_path / f"{example['name']}.json"
        path.write_text(json.dumps(scenario), encoding="utf-8")
        assert main(["run", str(path), "--expect"]) == 0


def test_the_schema_is_fresh() -> None:
    published = (ROOT / "docs" / "schema" / "guarantee.json").read_text(encoding="utf-8")
    assert published == guarantee_schema(), "stale: write reports.guarantees.document.guarantee_schema() there"


def test_the_page_is_fresh() -> None:
    written = (ROOT / "docs" / "GUARANTEES.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m reports.guarantees.page > docs/GUARANTEES.md"


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_the_page_has_every_recipe_whole(recipe: Recipe) -> None:
    text = page().split(f"### {recipe.name}\n")[1].split("\n### ")[0]
    for said in (recipe.answer, *recipe.do, *(reason.text for reason in recipe.why)):
        assert said in text
    assert text.count("<!-- runnable: scenario -->") == len(recipe.examples)


def test_an_example_that_lies_is_found() -> None:
    """The test of the examples has teeth."""
    [example] = [example for recipe, example in EXAMPLES if (recipe.name, example.name) == ("got", "copied")]
    watch = example.watched[0]
    lie = Example(example.name, example.title, example.steps, (type(watch)(watch.step, {"errno": 0}),))
    assert differences(lie.scenario("v6.18"), "v6.18")
