# SPDX-License-Identifier: MIT
"""The pages of a report: well-formed, complete, and whole in themselves."""

from __future__ import annotations

import json
import os
import posixpath
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
from tinyhtml5.parser import HTMLParser

from checker.digest import case_digest
from checker.documents.files import load_document
from checker.lab.replay import ReplayReport
from checker.scenario import re_execute
from proofs.matrix import SEALED
from proofs.results import HistoryRow
from reports.cli import main
from reports.folder import MARK, write_folder
from reports.formats import FORMATS
from reports.gather import Wanted
from reports.html import site
from reports.review import HistoryFacts, Review, render, review_schema
from tests.reports.conftest import SMALL, gathered, live

ROOT = Path(__file__).parents[2]
SELECTION = [
    *(word for name in SMALL.properties or () for word in ("-p", name)),
    *(word for name in SMALL.calls or () for word in ("-c", name)),
    *("--no-lemmas", "--no-mutants", "--jobs", "1"),
]
HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Page:
    """A page that was read."""

    path: str
    root: ET.Element
    errors: list[str]
    ids: list[str] = field(default_factory=list)

    def all(self, *tags: str) -> Iterator[ET.Element]:
        """The elements of these names, in order."""
        wanted = {HTML + tag for tag in tags}
        return (element for element in self.root.iter() if element.tag in wanted)

    def find(self, tag: str, **attributes: str) -> ET.Element:
        """The one element of that name with these attributes (class_ is class)."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        [found] = [e for e in self.all(tag) if all(e.get(n) == v for n, v in wanted.items())]
        return found

    @property
    def links(self) -> dict[str, str]:
        """Where the page leads to, as paths of the report, and the words of the first link that does."""
        found: dict[str, str] = {}
        for link in self.all("a"):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(self.path), link.get("href", "")))
            found.setdefault(target, said(link))
        return found


def said(element: ET.Element) -> str:
    """The words of an element."""
    return " ".join("".join(element.itertext()).split())


def read(path: str, text: str) -> Page:
    """Parse a page as a browser does, and note what is wrong with it."""
    parser = HTMLParser()
    root = parser.parse(text)
    errors = [f"{path}:{line}: {code} {more}" for (line, _), code, more in parser.errors]
    return Page(path, root, errors, [e.get("id", "") for e in root.iter() if e.get("id")])


@pytest.fixture(scope="module", params=["review", "two_editions"])
def files(request: pytest.FixtureRequest) -> dict[str, str]:
    """The files of a report."""
    return dict(site(request.getfixturevalue(request.param)))


@pytest.fixture(scope="module")
def pages(files: dict[str, str]) -> dict[str, Page]:
    """The pages of a report."""
    return {path: read(path, text) for path, text in files.items() if path.endswith(".html")}


@pytest.fixture(scope="module")
def small(review: Review) -> dict[str, Page]:
    """The pages of the report about one edition."""
    return {path: read(path, text) for path, text in site(review) if path.endswith(".html")}


# every page -----------------------------------------------------------------------------------------------------------


def test_pages_are_valid(pages: dict[str, Page]) -> None:
    assert [error for page in pages.values() for error in page.errors] == []
    assert all(len(set(page.ids)) == len(page.ids) for page in pages.values())


def test_every_link_resolves(files: dict[str, str], pages: dict[str, Page]) -> None:
    followed = 0
    for page in pages.values():
        for element in page.root.iter():
            target = element.get("href")
            if target is None or target == "data:,":
                continue
            path, _, anchor = target.partition("#")
            there = posixpath.normpath(posixpath.join(posixpath.dirname(page.path), path)) if path else page.path
            assert there in files, f"{page.path}: {target}"
            assert not anchor or anchor in pages[there].ids, f"{page.path}: {target}"
            followed += 1
        named = [e.get("aria-labelledby", "").split() for e in page.root.iter()]
        assert all(name in page.ids for names in named for name in names), page.path
    assert followed > 10 * len(pages)


def test_every_file_is_led_to(files: dict[str, str], pages: dict[str, Page]) -> None:
    """From index.html every file can be reached."""
    waiting, reached = ["index.html"], set[str]()
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [target.partition("#")[0] for target in pages[path].links] if path in pages else []
    assert set(files) - {"report.css"} <= reached


def test_nothing_comes_from_elsewhere(files: dict[str, str]) -> None:
    for path, text in files.items():
        if path.endswith((".html", ".css")):
            shown = text.replace("http://www.w3.org/2000/svg", "")
            shown = re.sub(r"<(pre|code)\b.*?</\1>", "", shown, flags=re.DOTALL)
            assert not re.search(r"https?:|@import|<script|<iframe|<img|javascript:|\son\w+\s*=", shown), path
            assert not re.search(r"url\((?!#)", shown), path
        assert str(ROOT) not in text, path
        assert date.today().isoformat() not in text, path


def test_pages_can_be_used_without_eyes(pages: dict[str, Page]) -> None:
    for page in pages.values():
        assert page.root.get("lang") == "en"
        first = next(e for e in page.all("a", "button", "summary") if e is not None)
        assert (first.get("href"), first.get("class")) == ("#main", "skip")
        assert len(list(page.all("main"))) == 1
        levels = [int(e.tag[-1]) for e in page.all("h1", "h2", "h3", "h4")]
        assert levels[0] == 1 and levels.count(1) == 1, page.path
        assert all(b <= a + 1 for a, b in pairwise(levels)), page.path
        for table in page.all("table"):
            assert table[0].tag == HTML + "caption" and said(table[0]), page.path
        assert all(e.get("scope") in ("col", "row", "rowgroup") for e in page.all("th")), page.path
        parents = {child: parent for parent in page.root.iter() for child in parent}
        for table in page.all("table"):
            box = parents[table]
            assert (box.get("role"), box.get("tabindex")) == ("region", "0") and box.get("aria-label"), page.path
        for drawing in page.root.iter(SVG + "svg"):
            assert drawing.get("role") == "img" and drawing[0].tag == SVG + "title"
        for link in page.all("a"):
            assert said(link), f"{page.path}: a link without words to {link.get('href')}"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_read(files: dict[str, str]) -> None:
    themes = [dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in files["report.css"].split(":root {")[1:3]]
    assert [theme["paper"] for theme in themes] == ["#ffffff", "#14181d"]
    for theme in themes:
        for ink, paper in (
            *((ink, paper) for ink in ("ink", "dim", "link") for paper in ("paper", "panel", "mark")),
            *((name, f"{name}-paper") for name in ("good", "bad", "half")),
            ("bad", "paper"),
        ):
            assert contrast(theme[ink], theme[paper]) >= 4.5, (ink, paper)


# what the pages say ---------------------------------------------------------------------------------------------------


def test_the_summary_leads_to_every_theorem(review: Review, small: dict[str, Page]) -> None:
    links = small["index.html"].links
    [edition] = review.editions
    verdicts = {theorem.verdict for theorem in edition.theorems}
    assert verdicts == {"proved", "refuted"}
    for theorem in edition.theorems:
        assert f"{theorem.file}.html" in links
        page = small[f"{theorem.file}.html"]
        assert said(next(page.all("h1"))).endswith(theorem.verdict)
        assert theorem.sentence in said(page.find("main"))
        for name in theorem.assumptions:
            assert f"index.html#assumption-{name}" in page.links
    counts = said(small["index.html"].find("main"))
    assert f"{len(edition.theorems)} theorems" in counts
    proved = sum(theorem.verdict == "proved" for theorem in edition.theorems)
    assert f"{proved} proved" in counts and f"{len(edition.theorems) - proved} refuted" in counts


def test_a_counterexample_is_told_whole(review: Review, small: dict[str, Page]) -> None:
    case = review.case["v10/failed-mseal-seals-nothing/mseal"]
    page = small[f"{case.file}.html"]
    told = said(page.find("main"))
    assert " ".join(case.story) in told
    # the check that decided, and no other
    [decided] = [row for row in page.all("tr") if row.get("aria-current") == "true"]
    result = case.document.steps[-1].result
    assert result.check in said(decided) and result.errno in said(decided) and "decided here" in said(decided)
    explanation = review.editions[0].explanation("mseal")
    assert explanation is not None
    checks = [said(row[1]) for row in page.find("table", class_="checks").iter(HTML + "tr")][1:]
    assert [c.removesuffix(" ◀ decided here") for c in checks] == [c.check for c in explanation.checks]
    # layouts before and after
    tables = [table for table in page.all("table") if table.get("class") == "layout"]
    shown = [len(list(table.iter(HTML + "tr"))) - 1 for table in tables]
    assert shown == [len(case.document.before.vmas), len(case.document.steps[-1].after.vmas)]
    sealed = [[said(row).count("sealed") for row in table.iter(HTML + "tr")][1:] for table in tables]
    assert sum(n > 0 for n in sealed[1]) == sum("sealed" in v.flags for v in case.document.steps[-1].after.vmas)
    # drawings, each with a sentence below it
    figures = list(page.all("figure"))
    assert len(list(page.root.iter(SVG + "svg"))) == len(figures) == 3
    assert all("[+0,+1)" in said(next(f.iter(HTML + "figcaption"))) or "breaks" in said(f) for f in figures)
    # the trace, step by step
    assert case.trace is not None
    assert len(list(page.find("ol", class_="trace"))) == len(case.trace.steps) > 1
    assert "✓ confirmed on 6.99.0-sample" in told


def test_every_counterexample_has_a_trace_or_says_why_not(review: Review, small: dict[str, Page]) -> None:
    for case in review.cases:
        told = said(small[f"{case.file}.html"].find("main"))
        assert case.trace is not None or f"None is shown: {case.why_no_trace}." in told
        if case.trace is None:
            continue
        assert re_execute(case.trace) == []
        # no call makes a special mapping: the page says so where one is there
        assert {vma.backing for vma in case.trace.before.vmas} <= {"special"}
        assert ("from an empty address space" in told) == (not case.trace.before.vmas)
        assert case.trace_story[-1] in told
        assert (case.trace.property, case.trace.call) == (case.document.property, case.document.call)


def test_the_trace_to_a_failure_ends_with_that_failure(review: Review) -> None:
    """A cell of the matrix is about one error and one cause; a trace to another one would show something else."""
    assert review.matrix is not None
    own = [(f.cell, review.case[f.case]) for f in review.matrix.cells if f.case == f.id]
    assert own, "no failure has a case that no theorem has"
    assert any(case.trace is not None for _, case in own)
    for cell, case in own:
        if case.trace is not None:
            result = case.trace.steps[-1].result
            assert result.errno == cell.errno
            assert not cell.cause or (cell.cause == "seal") == (SEALED in result.check)


def test_programs_are_shown_or_why_there_is_none(review: Review, small: dict[str, Page]) -> None:
    assert any(case.programs.c for case in review.cases)
    for case in review.cases:
        page, made = small[f"{case.file}.html"], case.programs
        shown = ["".join(pre.itertext()) for pre in page.all("pre")]
        assert all(program in shown for program in (made.c, made.syz) if program)
        assert all(why in said(page.find("main")) for why in (made.why_no_c, made.why_no_syz))


def test_a_kernel_that_could_not_try_is_told(review: Review, small: dict[str, Page]) -> None:
    page = small[f"{review.case['v10/failure-changes-no-page/munlock'].file}.html"]
    told = said(page.find("main"))
    assert "– cannot be tried here on 6.99.0-sample" in told and "A sample of a reason." in told


def test_a_run_of_another_case_is_not_claimed_for_this_one(review: Review, cache_folder: Path) -> None:
    case = review.case["v10/failed-mseal-seals-nothing/mseal"]
    other = case.document.model_copy(update={"steps": case.document.steps * 2})
    runs = (live(other, "not confirmed"), live(case.document, "cannot be tried here"))
    both = gathered(replace(SMALL, replays=runs), cache_folder)
    shown = both.case[case.id]
    assert [run.verdict for run in shown.live] == ["cannot be tried here"]
    assert [run.verdict for run in shown.live_others] == ["not confirmed"]
    assert all(not c.live and not c.live_others for c in both.cases if c.id != case.id)
    assert both.as_expected, "what a kernel did with another case contradicts nothing that is shown"
    [alone] = [c for c in gathered(replace(SMALL, replays=runs[:1]), cache_folder).cases if c.id == case.id]
    page = read("x", dict(site(both))[f"{case.file}.html"])
    told = said(page.find("main"))
    assert "Not this case: a run of another case of this theorem was given for 6.99.0-sample" in told
    assert alone.live == () and len(alone.live_others) == 1
    for name in ("mail", "md"):
        text = " ".join(FORMATS[name].render(both.model_copy(update={"cases": (alone,)})).split())
        assert "another case" in text.lower()


def test_the_same_case_in_other_words_is_the_same_case(review: Review) -> None:
    document = review.case["v10/failed-mseal-seals-nothing/mseal"].document
    reworded = document.model_copy(update={"sentence": "said otherwise", "expected": "proved", "assumptions": ()})
    assert case_digest(reworded) == case_digest(document)
    assert case_digest(document.model_copy(update={"edition": "v6.12"})) != case_digest(document)
    moved = document.before.model_copy(update={"vmas": document.before.vmas[:1]})
    assert case_digest(document.model_copy(update={"before": moved})) != case_digest(document)


def test_an_edition_that_is_not_linux_says_that_it_cannot_be_tried(cache_folder: Path) -> None:
    wanted = Wanted(
        editions=("mimmutable",),
        properties=("fork-keeps-contents", "failure-changes-no-page"),
        calls=("fork", "mprotect"),
        lemmas=False,
        mutants=False,
        traces=False,
        matrix=False,
    )
    found = gathered(wanted, cache_folder)
    assert found.cases, "nothing is refuted: choose other theorems"
    files = dict(site(found))
    for case in found.cases:
        told = said(read("x", files[f"{case.file}.html"]).find("main"))
        assert "it cannot be tried on a Linux kernel" in told
        assert "No program in C: edition mimmutable is OpenBSD, and such programs make calls of Linux" in told
        assert "sealspec replay" not in told and "sealspec reproduce" not in told
        assert f"{case.file}.c" not in files and f"{case.file}.syz" not in files
    text = FORMATS["mail"].render(found)
    assert "edition mimmutable is OpenBSD" in " ".join(text.split()) and "sealspec reproduce" not in text


def test_the_documents_beside_the_pages_are_theirs(review: Review, tmp_path: Path) -> None:
    write_folder(tmp_path / "report", site(review))
    for case in review.cases:
        [document] = load_document(tmp_path / "report" / f"{case.file}.json")
        assert document == case.document
        if case.programs.c:
            assert (tmp_path / "report" / f"{case.file}.c").read_text("utf-8") == case.programs.c


def test_the_matrix_has_every_cell(review: Review, small: dict[str, Page]) -> None:
    assert review.matrix is not None
    table = small["index.html"].find("table", class_="matrix")
    rows = {said(row[0]): [said(cell) for cell in row[1:]] for row in table.iter(HTML + "tr")}
    heads = rows.pop("call")
    for call in ("mseal", "munlock"):
        cells = {f.cell.errno: f for f in review.matrix.cells if f.cell.call == call and not f.cell.cause}
        for head, shown in zip(heads, rows[call], strict=True):
            if head in cells:
                verdict = cells[head].cell.verdict
                assert {"atomic": "atomic", "unreachable": "never", "partial": ("pages", "boundaries")}[verdict]
                assert shown.split()[-1] in {"atomic", "never", "pages", "boundaries"}
                assert (verdict == "partial") == (shown.split()[-1] in ("pages", "boundaries"))
                assert (verdict == "atomic") == (shown.split()[-1] == "atomic")
    partial = [f for f in review.matrix.cells if f.cell.verdict == "partial"]
    assert partial and all(f"{review.case[f.case].file}.html" in small["index.html"].links for f in partial)


def test_assumptions_and_exclusions_are_there(review: Review, small: dict[str, Page]) -> None:
    told = said(small["index.html"].find("main"))
    for assumption in review.assumptions:
        assert assumption.sentence in told and assumption.hides in told
    titles = [table.title for table in review.exclusions]
    assert titles == re.findall(r"^## (.*)$", (ROOT / "docs" / "EXCLUSIONS.md").read_text("utf-8"), flags=re.MULTILINE)
    assert all(title in told for title in titles)
    [weaknesses] = [table for table in review.exclusions if table.title == "W1 to W25"]
    assert [row[0] for row in weaknesses.rows] == [f"W{n}" for n in range(1, 26)]


def test_editions_side_by_side(two_editions: Review) -> None:
    pages = {path: read(path, text) for path, text in site(two_editions) if path.endswith(".html")}
    assert {"v10/index.html", "v6.12/index.html"} <= set(pages["index.html"].links)
    told = said(pages["index.html"].find("main"))
    assert "Review of 2 editions" in told
    case = two_editions.case["v10/failed-mseal-seals-nothing/mseal"]
    other = two_editions.case["v6.12/failed-mseal-seals-nothing/mseal"]
    assert f"{other.file}.html" in pages[f"{case.file}.html"].links

    difference = pages["diffs/v10-v6.12.html"]
    calls = {said(row[0]): [said(cell) for cell in row[1:]] for row in next(difference.all("tbody"))}
    assert calls["mseal"][:3] == ["= same"] * 3
    assert calls["munmap"][:3] == ["= same", "≠ differs", "≠ differs"]
    [compared] = two_editions.diffs
    for call in compared.calls:
        for parting in call.partings:
            assert parting.sentence in said(difference.find("main"))
    figures = list(difference.all("figure"))
    assert len(figures) == 2 * sum(len(call.partings) for call in compared.calls) > 0
    captions = [said(next(figure.iter(HTML + "figcaption"))) for figure in figures]
    assert captions[0].startswith("Under v10 the call fails with EPERM (munmap: a VMA to unmap is sealed)")
    assert captions[1].startswith("Under v6.12 the call fails with")

    [verdict] = [row for row in difference.all("tr") if said(row[0]).startswith("eperm-changes-nothing")]
    assert [said(cell).split()[:2] for cell in verdict[1:4]] == [["munmap"], ["✓", "proved"], ["✗", "refuted"]]
    assert not any("failed-mseal-seals-nothing" in said(row) for row in difference.all("tr"))
    [failure] = [row for row in difference.all("tr") if said(row[0]) == "munmap EPERM because of a seal"]
    assert [said(cell).split()[1] for cell in failure[1:]] == ["atomic", "boundaries"]
    marked = [[said(cell) for cell in row] for row in difference.all("tr") if row.get("class") == "differs"]
    assert ["- only in v10", "munmap: a VMA to unmap is sealed EPERM up front", "-"] in marked
    assert any(one == "-" and "sealed EPERM" in other for _, one, other in marked)
    assert difference.links[f"{two_editions.case['v6.12/eperm-changes-nothing/munmap'].file}.html"]


def test_the_time_machine(two_editions: Review) -> None:
    verdict = {"expected": "found", "verdict": "refuted", "as_expected": True, "counterexample": None, "why": ""}
    size = {"vmas": 2, "pages": 3, "calls": 1}
    row = HistoryRow.model_validate(
        {
            "id": "H9",
            "happened": "A loop was rewritten.",
            "kind": "bug",
            "property": "eperm-changes-nothing",
            "sentence": "A sample of a sentence.",
            "verdicts": [
                verdict | {"call": "munmap", "edition": "v6.12", "size": size},
                verdict | {"call": "munmap", "edition": "v6.17", "size": size},
                verdict | {"call": "munmap", "edition": "v10", "size": None, "expected": "proved", "verdict": "proved"},
            ],
        }
    )
    case = "v6.12/eperm-changes-nothing/munmap"
    told = HistoryFacts(row=row, cases={"v6.12/munmap": case})
    files = dict(site(two_editions.model_copy(update={"history": (told,)})))
    page = read("index.html", files["index.html"])
    table = page.find("table", class_="history")
    happened, _, found, proved = list(table.iter(HTML + "tr"))[1]
    assert said(happened) == "H9: bug A loop was rewritten."
    assert said(found) == "munmap in v6.12, v6.17: refuted, 2 VMAs"
    assert said(proved) == "munmap in v10: proved"
    assert [link.get("href") for link in found.iter(HTML + "a")] == [f"{two_editions.case[case].file}.html"]
    back = read("x", files[f"{two_editions.case[case].file}.html"])
    assert any((link.get("href") or "").endswith("index.html#history-H9") for link in back.all("a"))


# the schema -----------------------------------------------------------------------------------------------------------


def test_the_schema_is_published() -> None:
    published = ROOT / "docs" / "schema" / "review.json"
    assert published.read_text("utf-8") == review_schema(), "run: python -m reports.review > docs/schema/review.json"


def test_a_review_is_as_its_schema_says(two_editions: Review) -> None:
    schema = json.loads((ROOT / "docs" / "schema" / "review.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(render(two_editions)))
    assert render(Review.model_validate_json(render(two_editions))) == render(two_editions)


# the command and its folder -------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_equal_results_are_equal_bytes(review: Review, tmp_path: Path, cache_folder: Path) -> None:
    """Decided here, or taken from the cache in another process that hashes in another order: the same bytes."""
    given = tmp_path / "replays.json"
    lives = tuple(live for case in review.cases for live in case.live)
    given.write_text(ReplayReport(probe=None, replays=lives).model_dump_json(), encoding="utf-8")
    run = [sys.executable, "-m", "reports.cli", "report", *SELECTION, "--formats", "html,json"]
    run += ["--replay", str(given), "--out", str(tmp_path / "report")]
    environment = os.environ | {"PYTHONHASHSEED": "7", "MSEAL_SPEC_CACHE": str(cache_folder)}
    done = subprocess.run(
        run, cwd=ROOT, env=environment, check=False, capture_output=True, encoding="utf-8", timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"begin with {tmp_path / 'report'}/index.html" in done.stdout
    written = contents(tmp_path / "report")
    assert written.pop(MARK)
    expected = dict(site(review, [FORMATS["json"]])) | {"review.json": render(review)}
    assert written == {path: text.encode() for path, text in expected.items()}


def test_a_report_replaces_a_report(review: Review, tmp_path: Path) -> None:
    target = tmp_path / "report"
    write_folder(target, [("old.html", "old")])
    assert write_folder(target, site(review)) == len(contents(target)) - 1
    assert not (target / "old.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_what_is_no_report_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me", encoding="utf-8")
    (tmp_path / "file").write_text("keep me", encoding="utf-8")
    for name, told in (("mine", "not a report"), ("file", "no folder"), ("missing/below", "there is no folder")):
        assert main(["report", *SELECTION, "--out", str(tmp_path / name)]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and told in err
    assert contents(tmp_path) == {"file": b"keep me", "mine/letter.txt": b"keep me"}


def test_a_broken_write_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "report"
    write_folder(target, [("index.html", "old")])

    def breaks() -> Iterator[tuple[str, str]]:
        yield "index.html", "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(target, breaks())
    assert contents(tmp_path) == {f"report/{MARK}": (target / MARK).read_bytes(), "report/index.html": b"old"}


BAD: list[tuple[list[str], str]] = [
    ([], "--out"),
    (["--out", "x", "--formats", "htlm"], "did you mean html"),
    (["--out", "x", "--formats", ","], "known: html, mail"),
    (["--out", "x", "--edition", "two-pas"], "unknown edition"),
    (["--out", "x", "--edition", "v6.99"], "kernel v6.99: there is no such release"),
    (["--out", "x", "--against", "v10"], "the edition itself"),
    (["--out", "x", "--property", "never-undone"], "unknown property"),
    (["--out", "x", "--property", "gap-seals-nothing", "--call", "brk"], "no theorem"),
    (["--out", "x", "--edition", "mimmutable", "--call", "brk"], "brk"),
    (["--out", "x", "--replay", "missing.json"], "missing.json: cannot be read"),
    (["--thread", "--out", "x"], "--thread"),
]


@pytest.mark.parametrize(("arguments", "told"), BAD)
def test_wrong_usage(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and told in err
    assert list(tmp_path.iterdir()) == []


BAD_RUNS = (
    "{",
    "[]",
    *(f'{{"format": "mseal-spec/{name}"}}' for name in ("proof/1", "replays/1", "replays/2", "lab/1")),
)
"""No runs on a kernel: broken, other documents, and those of older formats."""


@pytest.mark.parametrize("text", BAD_RUNS)
def test_what_is_no_run_on_a_kernel(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "given.json"
    given.write_text(text, encoding="utf-8")
    assert main(["report", "--out", str(tmp_path / "x"), "--replay", str(given)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and str(given) in err


def test_runs_that_belong_to_nothing_are_told(
    tmp_path: Path,
    cache_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    review: Review,
) -> None:
    document = review.case["v10/failed-mseal-seals-nothing/mseal"].document
    strangers = [document.model_copy(update={"edition": name}) for name in ("v6.11", "v6.12", "v6.17", "v6.18", "v7.3")]
    given = tmp_path / "replays.json"
    runs = (*(live(stranger, "not confirmed") for stranger in strangers), live(document, "confirmed"))
    given.write_text(ReplayReport(probe=None, replays=runs).model_dump_json(), encoding="utf-8")
    monkeypatch.setenv("MSEAL_SPEC_CACHE", str(cache_folder))
    assert main(["report", *SELECTION, "--out", str(tmp_path / "report"), "--replay", str(given)]) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "failed-mseal-seals-nothing (mseal, v6.11)" in err and "and 2 more" in err


def test_a_kernel_that_contradicts_fails_the_report(
    tmp_path: Path,
    cache_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    review: Review,
) -> None:
    case = review.case["v10/failed-mseal-seals-nothing/mseal"]
    told = case.live[0].model_copy(update={"verdict": "not confirmed", "reason": "the kernel sealed nothing"})
    given = tmp_path / "replays.json"
    given.write_text(ReplayReport(probe=None, replays=(told,)).model_dump_json(), encoding="utf-8")
    monkeypatch.setenv("MSEAL_SPEC_CACHE", str(cache_folder))
    assert main(["report", *SELECTION, "--out", str(tmp_path / "report"), "--replay", str(given)]) == 1
    assert "not confirmed on 6.99.0-sample" in capsys.readouterr().out
    page = (tmp_path / "report" / f"{case.file}.html").read_text("utf-8")
    assert "The kernel sealed nothing." in page
