# SPDX-License-Identifier: MIT
"""The pages of a report in a real browser: by keyboard alone, on a phone and on a screen, in light and in dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from proofs.results import HistoryRow
from reports.folder import write_folder
from reports.formats import FORMATS
from reports.html import site
from reports.review import HistoryFacts, Review, render

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian: apt-get install chromium)")

PHONE, SCREEN, PAPER = 390, 1280, 718
"""Widths in pixels; of the paper, A4 less the margins that browsers leave."""
TABS = 400
"""How often Tab is pressed at most to come to a link."""
FOCUSED = """() => {
    const at = document.activeElement, style = getComputedStyle(at);
    return {tag: at.tagName, text: at.innerText ?? "", href: at.getAttribute("href") ?? "", label: at.ariaLabel ?? "",
            outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
            seen: at.getBoundingClientRect().bottom > 0 && at.getBoundingClientRect().top < innerHeight};
}"""
"""What has the focus, as a reader would see it."""
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, .command, .skip"))
    .map(e => e.outerHTML.slice(0, 80))"""
"""What sticks out of the window, and is in no container that scrolls."""

FILLS = """() => [...document.querySelectorAll("svg .paper")].map(e => getComputedStyle(e).fill)"""
"""The paper of the drawings."""
UNREACHABLE = """() => [...document.querySelectorAll("*")]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(e).overflowX)
                 && e.tabIndex < 0 && e !== document.documentElement)
    .map(e => e.outerHTML.slice(0, 80))"""
"""What scrolls sideways and cannot be reached by the keyboard."""


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    """A browser without a window."""
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(review: Review, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the report about one edition."""
    folder = tmp_path_factory.mktemp("browser") / "report"
    write_folder(folder, [*site(review, [FORMATS["json"]]), ("review.json", render(review))])
    return folder


@pytest.fixture(scope="module")
def double(two_editions: Review, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the report about two editions."""
    folder = tmp_path_factory.mktemp("browser") / "report"
    write_folder(folder, site(with_history(two_editions)))
    return folder


def with_history(review: Review) -> Review:
    """The review with a row of the time machine, found in an edition that the review is not about."""
    case = review.case["v6.12/eperm-changes-nothing/munmap"]
    document = case.document.model_copy(update={"edition": "v6.17"})
    gone = case.model_copy(
        update={"id": "v6.17/eperm-changes-nothing/munmap", "file": "history/v6.17", "document": document}
    )
    verdict = {"call": "munmap", "edition": "v6.17", "expected": "found", "verdict": "refuted", "as_expected": True}
    verdict |= {"counterexample": None, "why": "", "size": document.size.model_dump()}
    told = {"id": "H9", "happened": "A loop was rewritten.", "kind": "bug", "property": document.property}
    row = HistoryRow.model_validate(told | {"sentence": document.sentence, "verdicts": [verdict]})
    facts = HistoryFacts(row=row, cases={"v6.17/munmap": gone.id})
    changed = review.model_copy(update={"cases": (*review.cases, gone), "history": (facts,)})
    return Review.model_validate_json(render(changed))  # as new: what was looked up is not copied


class Watch:
    """Notes what a page complains of."""

    def __init__(self, page: playwright.Page) -> None:
        self.wrong: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.wrong.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("requestfailed", lambda request: self.wrong.append(f"missing: {request.url}"))
        page.on("request", lambda request: self.asked.append(request.url))


def opened(browser: playwright.Browser, width: int, scheme: str) -> tuple[playwright.Page, Watch]:
    """A window of that width for a reader who prefers light or dark."""
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    context.set_default_timeout(20_000)
    page = context.new_page()
    return page, Watch(page)


def tab_to(page: playwright.Page, href: str = "", label: str = "") -> dict[str, object]:
    """Press Tab until the focus is on what leads to `href`, or has that label; every stop on the way shows itself."""
    for _ in range(TABS):
        page.keyboard.press("Tab")
        at: dict[str, object] = page.evaluate(FOCUSED)
        assert at["tag"] != "BODY", f"went through the page without coming to {href or label}"
        assert at["outline"], f"the focus cannot be seen: {at}"
        assert at["seen"], f"the focus is out of the window: {at}"
        if (href and str(at["href"]).endswith(href)) or (label and str(at["label"]).startswith(label)):
            return at
    raise AssertionError(f"{TABS} presses of Tab did not come to {href or label}")


def enter(page: playwright.Page) -> None:
    """Follow the link that has the focus."""
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_from_a_refuted_theorem_to_its_counterexample_by_keyboard(browser: playwright.Browser, report: Path) -> None:
    page, watch = opened(browser, SCREEN, "light")
    page.goto((report / "index.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED)["text"] == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"

    at = tab_to(page, "theorems/failed-mseal-seals-nothing-mseal.html")
    assert "failed-mseal-seals-nothing" in str(at["text"]) or "refuted" in str(at["text"])
    enter(page)
    assert page.locator("h1").inner_text() == "failed-mseal-seals-nothing, mseal: ✗ refuted"

    assert "See the counterexample" in str(
        tab_to(page, "counterexamples/failed-mseal-seals-nothing-mseal.html")["text"]
    )
    enter(page)
    assert page.locator("h1").inner_text() == "failed-mseal-seals-nothing, mseal: a counterexample"

    tab_to(page, label="Graph")
    graph = page.locator(".drawing svg").first
    assert graph.is_visible()
    assert graph.locator("g").count() == 4  # two VMAs before, two after
    assert "now sealed" in graph.locator("text").all_text_contents()
    sentence = page.locator("figure figcaption").first.inner_text()
    assert "fails with ENOMEM: [+0,+1) is now sealed" in sentence
    assert page.locator("tr[aria-current=true]").inner_text().count("decided here") == 1

    assert watch.wrong == []
    assert all(url.startswith("file:") or url == "data:," for url in watch.asked)
    page.context.close()


def test_a_program_is_unfolded_by_keyboard(browser: playwright.Browser, review: Review, report: Path) -> None:
    file = next(case.file for case in review.cases if case.programs.c)
    page, watch = opened(browser, SCREEN, "light")
    page.goto((report / f"{file}.html").as_uri())
    program = page.locator("pre", has_text="int main(void)")
    assert not program.is_visible()
    while page.evaluate("document.activeElement.innerText") != "The program in C":
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") != "BODY"
    page.keyboard.press("Enter")
    assert program.is_visible()
    assert watch.wrong == []
    page.context.close()


KINDS = {
    "summary": "index.html",
    "edition": "v*/index.html",
    "theorem": "*theorems/*.html",
    "counterexample": "*counterexamples/*.html",
    "failure": "*matrix/*.html",
    "time machine": "history/*.html",
    "call": "*calls/*.html",
    "diff": "diffs/*.html",
}
"""Every kind of page, as docs/REPORT.md lists them, and which files are of that kind."""


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (PHONE, "dark"), (SCREEN, "light"), (SCREEN, "dark")])
def test_every_page_fits(browser: playwright.Browser, report: Path, double: Path, width: int, scheme: str) -> None:
    """Nothing sticks out of the window sideways, on no page of either report, with everything unfolded; no page
    complains or lacks an asset; and the colours are those of the scheme."""
    page, watch = opened(browser, width, scheme)
    paper = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[scheme]
    pages = [
        (folder, path.relative_to(folder)) for folder in (report, double) for path in sorted(folder.rglob("*.html"))
    ]
    for kind, pattern in KINDS.items():
        assert any(fnmatch(str(path), pattern) for _, path in pages), f"no page shows a {kind}"
    assert all(any(fnmatch(str(path), pattern) for pattern in KINDS.values()) for _, path in pages)
    for folder, path in pages:
        page.goto((folder / path).as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.evaluate(TOO_WIDE) == [], path
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
        assert set(page.evaluate(FILLS)) <= {paper}, path
        assert page.evaluate(UNREACHABLE) == [], path
    assert watch.wrong == []
    page.context.close()


def test_what_sticks_out_would_be_noticed(browser: playwright.Browser, report: Path) -> None:
    page, _ = opened(browser, PHONE, "light")
    page.goto((report / "index.html").as_uri())
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<div style=width:500px>wide</div>')")
    assert page.evaluate(TOO_WIDE) != []
    page.context.close()


def test_by_keyboard_through_the_report_of_two_editions(browser: playwright.Browser, double: Path) -> None:
    """From the overview to the page of a difference, and on to a counterexample and its graph."""
    page, watch = opened(browser, PHONE, "dark")
    page.goto((double / "index.html").as_uri())
    tab_to(page, "diffs/v10-v6.12.html")
    enter(page)
    assert page.locator("h1").inner_text() == "v10 against v6.12"
    tab_to(page, "counterexamples/eperm-changes-nothing-munmap.html")
    enter(page)
    assert page.locator("h1").inner_text() == "eperm-changes-nothing, munmap: a counterexample"
    tab_to(page, label="Graph")
    assert page.locator(".drawing svg").first.is_visible()
    assert watch.wrong == []
    page.context.close()


def test_nothing_is_cut_off_in_print(browser: playwright.Browser, report: Path, double: Path) -> None:
    """What scrolls on a screen must fit the paper."""
    page, _ = opened(browser, PAPER, "light")
    page.emulate_media(media="print")
    for path in (*sorted(report.rglob("*.html")), double / "index.html", *double.glob("diffs/*.html")):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.context.close()


def test_pages_print(browser: playwright.Browser, report: Path) -> None:
    page, _ = opened(browser, SCREEN, "dark")
    page.goto((report / "counterexamples/failed-mseal-seals-nothing-mseal.html").as_uri())
    page.emulate_media(media="print", color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("header nav").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.context.close()


def test_a_missing_file_would_be_noticed(browser: playwright.Browser, report: Path, tmp_path: Path) -> None:
    shutil.copytree(report, tmp_path / "report")
    (tmp_path / "report" / "report.css").unlink()
    page, watch = opened(browser, PHONE, "light")
    page.goto((tmp_path / "report" / "index.html").as_uri())
    assert any("report.css" in wrong for wrong in watch.wrong)
    page.context.close()
