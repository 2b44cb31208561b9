"""The formats of a report, but for the pages: one table, from which `sealspec report --formats` chooses.

Each is a function from a `Review` to the text of one file. The same review gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from reports import b4_checks, junit, ktap, mail, markdown, rst, sarif, thread
from reports.review import Review


@dataclass(frozen=True, slots=True)
class Format:
    """A file of a report."""

    name: str
    """As `--formats` takes it."""
    file: str
    """Below the report's folder."""
    render: Callable[[Review], str]
    media_type: str
    sentence: str
    """What it is, for a list of files."""


def json_text(review: Review) -> str:
    """The review itself (docs/schema/review.json)."""
    return review.model_dump_json(indent=2) + "\n"


FORMATS: Final[dict[str, Format]] = {
    form.name: form
    for form in (
        Format("mail", "mail.txt", mail.render, "text/plain", "A plain-text mail to the lists, 72 columns."),
        Format("thread", "thread.txt", thread.render, "text/plain", "The questions of the review thread, answered."),
        Format("markdown", "report.md", markdown.render, "text/markdown", "Verdicts and findings in Markdown."),
        Format("json", "review.json", json_text, "application/json", "All facts (schema: docs/schema/review.json)."),
        Format("junit", "junit.xml", junit.render, "application/xml", "Verdicts as JUnit XML, for Jenkins and others."),
        Format("sarif", "results.sarif", sarif.render, "application/sarif+json", "Refutations as SARIF 2.1.0."),
        Format("ktap", "results.ktap", ktap.render, "text/plain", "Verdicts as KTAP, version 1."),
        Format("b4", "b4-checks.json", b4_checks.render, "application/json", "Verdicts as a check of `b4 review`."),
        Format("rst", "mseal.rst.txt", rst.render, "text/plain", "New wording for the kernel's document on mseal."),
    )
}
"""By name, in the order in which a report lists them."""


def rendered(review: Review, names: Iterable[str]) -> dict[str, str]:
    """The files of the formats chosen: text by file name. Raises KeyError for a format that does not exist."""
    return {FORMATS[name].file: FORMATS[name].render(review) for name in names}
