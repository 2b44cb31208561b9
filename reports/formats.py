# SPDX-License-Identifier: MIT
"""The forms of a report that are one file each: one table, from which `sealspec report --formats` chooses.

Each is a function from a `Review` to the text of its file. The same review gives the same bytes. The pages, which are
many files, are reports.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reports.review import Review


@dataclass(frozen=True, slots=True)
class Format:
    """A file of a report."""

    name: str
    """As `--formats` takes it."""
    file: str
    """Below the report's folder."""
    module: str
    """Has the function, `render(review) -> str`; it is imported when it is needed."""
    media_type: str
    sentence: str
    """What it is, for a list of files."""

    def render(self, review: Review) -> str:
        """The text of the file."""
        text: str = import_module(self.module).render(review)
        return text


FORMATS: Final[dict[str, Format]] = {
    form.name: form
    for form in (
        Format("mail", "mail.txt", "reports.mail", "text/plain", "A plain-text mail to the lists, 72 columns."),
        Format("md", "report.md", "reports.markdown", "text/markdown", "Verdicts and findings in Markdown."),
        Format("json", "review.json", "reports.review", "application/json", "All facts (docs/schema/review.json)."),
        Format("junit", "junit.xml", "reports.junit", "application/xml", "Verdicts as JUnit XML."),
        Format("sarif", "report.sarif", "reports.sarif", "application/sarif+json", "Refutations as SARIF 2.1.0."),
        Format("ktap", "report.ktap", "reports.ktap", "text/plain", "Verdicts as KTAP, version 1."),
        Format("b4", "b4-checks.json", "reports.b4_checks", "application/json", "Verdicts as a check for `b4 review`."),
        Format("rst", "mseal-wording.rst", "reports.rst", "text/x-rst", "New wording for the kernel's mseal.rst."),
    )
}
"""By name, in the order in which a report lists them."""
