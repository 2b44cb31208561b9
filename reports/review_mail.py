# SPDX-License-Identifier: MIT
"""The judgement of a patch as a plain-text mail of 72 columns, in reply to the patch; and as SARIF, with the lines of
the patched tree as its places."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from checker.documents.patches import PatchReview, SubjectReview
from checker.source.mails import Mail
from checker.version import NAME, signature, version
from reports.review_text import headline, review_lines, verdict
from reports.sarif import ROOT, SCHEMA

COLUMNS: Final = 72
DOCUMENT: Final = "https://docs.kernel.org/userspace-api/mseal.html"
RULES: Final = {
    "differs": "A call does something else than before, or than its edition",
    "not-covered": "What the patch changes was neither read nor is it assumed",
    "sampled": "Only random cases were executed",
}


def mail(document: PatchReview, thread: Mail) -> str:
    """The mail, headers first, in reply to `thread`."""
    title = thread.subject or (document.patches[0] if document.patches else "patch")
    subject = title if title.lower().startswith("re:") else f"Re: {title}"
    head = [f"Subject: {subject}"]
    if thread.message_id:
        head += [f"In-Reply-To: <{thread.message_id}>", f"References: <{thread.message_id}>"]
    body = [verdict(document), "", *review_lines(document, COLUMNS), "", "-- ", signature()]
    lines = [line.encode("ascii", "replace").decode("ascii").rstrip() for line in body]
    return "\n".join([*head, "", *lines]) + "\n"


def sarif(document: PatchReview) -> str:
    """SARIF 2.1.0: a result for each call that differs and for each change that is not covered."""
    results = [*_subjects(document), *_changes(document)]
    driver = {
        "name": NAME,
        "version": version(),
        "informationUri": DOCUMENT,
        "rules": [
            {
                "id": rule,
                "shortDescription": {"text": text},
                "fullDescription": {"text": text + "."},
                "helpUri": DOCUMENT,
                "defaultConfiguration": {"level": "error" if rule == "differs" else "warning"},
            }
            for rule, text in RULES.items()
        ],
    }
    run = {
        "tool": {"driver": driver},
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the kernel's tree."}}},
        "columnKind": "unicodeCodePoints",
        "automationDetails": {"id": "mseal-spec/review/"},
        "invocations": [{"executionSuccessful": document.complete}],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _result(rule: str, text: str, file: str, line: int, level: str) -> dict[str, Any]:
    region = {"region": {"startLine": line}} if line > 0 else {}
    return {
        "ruleId": rule,
        "ruleIndex": list(RULES).index(rule),
        "kind": "fail",
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": file, "uriBaseId": ROOT}, **region}}],
        "partialFingerprints": {"review/v1": f"{rule}:{file}:{text[:80]}"},
    }


def _subjects(document: PatchReview) -> Iterator[dict[str, Any]]:
    for s in document.subjects:
        text = f"{headline(s)}. {s.why}" if s.why else headline(s)
        if s.verdict == "differs":
            yield _result("differs", text, *_changed_place(document, s), "note" if s.change == "mended" else "error")
        elif s.verdict == "not covered":
            yield _result("not-covered", text, s.why_file or s.file or "mm", s.why_line or s.line, "warning")
        elif s.verdict == "sampled":
            yield _result("sampled", text, s.file or "mm", s.line, "warning")


def _changed_place(document: PatchReview, s: SubjectReview) -> tuple[str, int]:
    """The first function of the patch that the call comes to."""
    for f in document.functions:
        if s.name in f.calls:
            return f.file, f.line
    return s.file or "mm", s.line


def _changes(document: PatchReview) -> Iterator[dict[str, Any]]:
    for f in document.functions:
        if f.status != "read":
            yield _result("not-covered", f"{f.name}() is {f.status}: {f.why}", f.file, f.line, "warning")
    for x in document.loose:
        yield _result("not-covered", x.what, x.file, x.line, "warning")
