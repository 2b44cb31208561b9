# SPDX-License-Identifier: MIT
"""The documents say what the code says: generated parts are fresh, links resolve, examples run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checker.documents.files import parse_document
from checker.documents.scenarios import Scenario
from checker.scenario import compare, run_scenario
from proofs.cache import VARIABLE
from reports.catalogue import catalogue, kernel_table, verdict_table, weakness_table
from spec.editions import EDITIONS

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "tests" / "kernel_runs" / "README.md"]
RUNNABLE = re.compile(r"<!-- runnable: scenario -->\n+```json\n(.*?)```", re.DOTALL)
PICTURE = re.compile(r"^sealspec (find .*--svg (docs/img/\S+))$", re.MULTILINE)
WEAKNESSES = re.compile(r"<!-- weaknesses -->\n(.*?)<!-- end -->", re.DOTALL)
KERNELS = re.compile(r"<!-- kernels -->\n(.*?)<!-- end -->", re.DOTALL)
VERDICTS = re.compile(r"<!-- verdicts: (\S+) -->\n(.*?)<!-- end -->", re.DOTALL)


def without_code(text: str) -> str:
    """The text without its code blocks and code spans, in which nothing is a link or a heading."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def anchors(document: Path) -> set[str]:
    """The anchors that a renderer gives to the document's headings, and those that stand in it."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    given = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return given | set(re.findall(r'<a id="([^"]+)"></a>', text))


def scenarios() -> Iterator[tuple[str, str]]:
    """Every example that is marked as one that runs: its document and its text."""
    for document in DOCUMENTS:
        for example in RUNNABLE.findall(document.read_text(encoding="utf-8")):
            yield document.name, example


def test_the_catalogue_is_fresh() -> None:
    written = (ROOT / "docs" / "PROPERTIES.md").read_text(encoding="utf-8")
    assert written == catalogue(), "run: python -m reports.catalogue > docs/PROPERTIES.md"


def test_the_table_of_verdicts_is_fresh() -> None:
    tables = VERDICTS.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert [edition for edition, _ in tables] == ["v10"]
    for edition, table in tables:
        assert table == verdict_table(edition), f"the table is reports.catalogue.verdict_table({edition!r})"


def test_the_table_of_weaknesses_is_fresh() -> None:
    """Each weakness of the table before it has a row."""
    text = (ROOT / "docs" / "EXCLUSIONS.md").read_text(encoding="utf-8")
    (table,) = WEAKNESSES.findall(text)
    assert table == weakness_table(), "the table is reports.catalogue.weakness_table()"
    numbers = re.findall(r"^\| (W\d+) \|", text.replace(table, ""), flags=re.MULTILINE)
    assert numbers == re.findall(r"^\| (W\d+) \|", table, flags=re.MULTILINE)


def test_the_table_of_kernels_is_fresh() -> None:
    (table,) = KERNELS.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert table == kernel_table(), "the table is reports.catalogue.kernel_table()"


def test_the_picture_is_fresh(tmp_path: Path) -> None:
    """The command that README shows draws the picture that README shows (a few seconds: it proves and searches)."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [(arguments, picture)] = PICTURE.findall(readme)
    assert f"]({picture})" in readme
    drawn = tmp_path / "drawn.svg"
    command = [sys.executable, "-m", "reports.cli", *arguments.replace(picture, str(drawn)).split()]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    assert (ROOT / picture).read_bytes() == drawn.read_bytes(), f"run: sealspec {arguments}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(document.read_text(encoding="utf-8"))):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        there = (document.parent / name).resolve() if name else document
        assert there.exists(), f"{target}: no such file"
        assert there.is_relative_to(ROOT), f"{target}: outside the repository"
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for name in re.findall(r"`((?:spec|checker|proofs|reports|tests|docs)/[\w./]*\w)/?`", text):
        if "NAME" not in name:  # stands for any
            assert (ROOT / name).exists(), f"{name}: no such file"


@pytest.mark.parametrize(("document", "example"), list(scenarios()))
def test_examples_run(document: str, example: str) -> None:
    scenario = parse_document(json.loads(example))
    assert isinstance(scenario, Scenario)
    result = run_scenario(scenario, EDITIONS[scenario.edition or "v10"])
    assert [str(difference) for difference in compare(scenario, result)] == []


def test_there_are_examples() -> None:
    documents = [document for document, _ in scenarios()]
    assert "README.md" in documents
    assert "SCENARIOS.md" in documents


def test_environment_variables_are_documented_in_one_place() -> None:
    """Those that some code reads, and no others, but for what libraries and tools read."""
    code = [p for room in ("spec", "checker", "proofs", "reports", "tests") for p in (ROOT / room).rglob("*.py")]
    reads = re.compile(r'environ(?:\.get\(|\[)"(\w+)"|"(\w+)" in os\.environ')
    read = {name for path in code for found in reads.findall(path.read_text("utf-8")) for name in found if name}
    documents = {path: path.read_text("utf-8") for path in DOCUMENTS}
    section = documents[ROOT / "docs" / "ARCHITECTURE.md"].partition("## Environment variables")[2].partition("##")[0]
    documented = set(re.findall(r"`([A-Z_]+)`", "".join(re.findall(r"^\|([^|]*)\|", section, re.MULTILINE))))
    by_others = {"HOME", "NO_COLOR", "FORCE_COLOR", "TERM", "PATH", "TMPDIR"}
    assert read | {VARIABLE} == documented - by_others
    assert by_others <= documented


def test_no_machine_is_named() -> None:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.])/(home|root|work|tmp|usr)/", text), document.name


def test_the_trusted_base_is_as_long_as_the_method_says() -> None:
    table = (ROOT / "docs" / "METHOD.md").read_text(encoding="utf-8").partition("| file | lines |")[2]
    rows = re.findall(r"^\| `([\w/.]+)` \| (\d+) \|", table, flags=re.MULTILINE)
    assert len(rows) > 10
    for name, lines in rows:
        path = ROOT / name
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        real = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        assert abs(real - int(lines)) <= real / 10, (name, real)
