# SPDX-License-Identifier: MIT
"""Verdicts as the JSON that `b4 review` takes from a check command.

b4 runs `b4.review-perpatch-check-cmd` or `b4.review-series-check-cmd` with a message on standard input, and reads a
JSON array from its output. Each element has `tool` (a column of the matrix of results) and `status` (`pass`, `warn` or
`fail`), and may have `summary` (one line), `url` and `details` (several lines). Source: the document of b4 0.15 and
later, docs/maintainer/review.rst, "CI check integration"; b4/review/checks.py of b4 0.16.0 reads it so.

One element for each edition. `fail`: something is not as expected, or was not decided. `warn`: some theorem is refuted,
as is known. There is no `url`: nothing of this report is on a server.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Literal, TypedDict

from checker.version import signature
from reports.findings import Finding, findings
from reports.lead import Lead, lead_of
from reports.plain import item, joined, number, one_line, sentence, text_of, wrap
from reports.review import EditionFacts, Review

TOOL = "mseal-spec"
UNEXPECTED = "NOT AS EXPECTED"


class Check(TypedDict):
    """One element of the array."""

    tool: str
    status: Literal["pass", "warn", "fail"]
    summary: str
    details: str


def render(review: Review) -> str:
    """The array. The same review gives the same text."""
    return json.dumps([_check(review, edition) for edition in review.editions], indent=2) + "\n"


def _check(review: Review, edition: EditionFacts) -> Check:
    found = findings(review, edition)
    verdicts = Counter(theorem.verdict for theorem in edition.theorems)
    counts = joined(f"{count} {verdict}" for verdict, count in verdicts.most_common()) or "nothing decided"
    lead = _lead(edition)
    state = lead.state if edition.as_expected else f"{UNEXPECTED}: {lead.state}"
    several = len(review.editions) > 1
    return {
        "tool": f"{TOOL} {edition.name}" if several else TOOL,
        "status": "fail" if not edition.as_expected else "warn" if found else "pass",
        "summary": one_line(f"{edition.name}: {number(len(edition.theorems), 'theorem')}, {counts}; {state}").rstrip(
            "."
        ),
        "details": _details(edition, found),
    }


def _lead(edition: EditionFacts) -> Lead:
    return lead_of(edition.theorems, unexpected=edition.unexpected)


def _details(edition: EditionFacts, found: list[Finding]) -> str:
    lines = wrap(f"{edition.kernel}; {edition.solver}; {signature()}")
    for title, sentences in _lead(edition).lines():
        lines += [f"{title}:", *(line for text in sentences for line in item("-", text))]
    lines += [
        line
        for theorem in edition.theorems
        if not theorem.as_expected
        for line in item("-", f"{UNEXPECTED}: {theorem.property}({theorem.call}) is {theorem.verdict}. {theorem.why}")
    ]
    lines += [
        line
        for lemma in edition.lemmas
        if not lemma.as_expected
        for line in item("-", f"{UNEXPECTED}: lemma {lemma.name} is {lemma.verdict}. {lemma.why}")
    ]
    lost = sum(not o.as_expected for o in edition.outcomes) + sum(not m.as_expected for m in edition.mutants)
    if lost:
        lines += item("-", f"{UNEXPECTED}: {number(lost, 'outcome or dropped check', 'outcomes or dropped checks')}")
    for finding in found:
        reason = sentence(finding.reason) if finding.reason else ""
        told = finding.case.story[0] if finding.case and finding.case.story else ""
        lines += item("-", f"{finding.first.property} ({joined(finding.calls)}) is refuted. {reason} {told}")
    return text_of(lines)
