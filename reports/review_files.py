# SPDX-License-Identifier: MIT
"""The judgement of a patch as a folder: the document, the text, a mail, SARIF, and a scenario for each case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from checker.documents.files import dump_document
from checker.documents.patches import CaseDoc, PatchReview, SubjectReview
from checker.output import write_text
from checker.source.document import scenario_of
from checker.source.mails import Mail
from checker.version import stamped
from reports.cli_common import BadUsage, printable
from reports.review_mail import mail, sarif
from reports.review_text import review_lines
from spec.editions import EDITIONS

COLUMNS = 100


def cases(s: SubjectReview) -> Iterator[tuple[CaseDoc, str]]:
    """The cases of a subject, each with the edition that its scenario is for."""
    told: list[CaseDoc] = []
    for comparison in ([s.comparison] if s.comparison else []) + list(s.editions):
        case = comparison.case
        if case is None or case in told:
            continue
        told.append(case)
        name = next((n for n in (*comparison.against, *s.equals_before) if n in EDITIONS), "")
        if name:
            yield case, name


def write_review(document: PatchReview, folder: str, thread: Mail) -> None:
    """Write it. Raises BadUsage where that fails."""
    texts = {
        "review.json": dump_document(stamped(document)),
        "review.txt": "\n".join(review_lines(document, COLUMNS)) + "\n",
        "review.eml": mail(document, thread),
        "review.sarif": sarif(document),
    }
    texts |= dict(_scenarios(document, "scenario"))
    for p in document.series:
        if p.review is not None:
            texts |= dict(_scenarios(p.review, f"scenario-patch-{p.n}"))
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_text(Path(folder) / name, text)
    except OSError as error:
        raise BadUsage(f"--out {printable(folder)}: {error.strerror or error}") from None


def _scenarios(document: PatchReview, prefix: str) -> Iterator[tuple[str, str]]:
    """Scenarios of all cases, by file name."""
    for s in document.subjects:
        for n, (case, edition) in enumerate(cases(s), 1):
            title = f"{s.name}: {case.first.side} and {case.second.side} part"
            scenario = scenario_of(case, edition, title)
            if scenario is not None:
                name = re.sub(r"\W+", "-", s.name)
                yield f"{prefix}-{name}-{n}.json", dump_document(stamped(scenario))
