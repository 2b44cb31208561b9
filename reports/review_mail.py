# SPDX-License-Identifier: MIT
"""The judgement of a patch as a plain-text mail of 72 columns, in reply to the patch; and as SARIF, with the lines of
the patch as its places, and of the patched tree where no line of the patch is meant."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from dataclasses import dataclass
from email.header import Header
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from checker.documents.patches import PatchLine, PatchReview, SubjectReview
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
    head = [f"Subject: {subject if subject.isascii() else Header(subject, 'utf-8').encode()}"]
    if thread.message_id:
        head += [f"In-Reply-To: <{thread.message_id}>", f"References: <{thread.message_id}>"]
    body = [verdict(document), "", *review_lines(document, COLUMNS), "", "-- ", signature()]
    lines = [line.encode("ascii", "replace").decode("ascii").rstrip() for line in body]
    return "\n".join([*head, "", *lines]) + "\n"


def sarif(document: PatchReview) -> str:
    """SARIF 2.1.0: a result for each call that differs and for each change that is not covered."""
    names = {s.name for s in document.subjects}
    results = [*_subjects(document, names), *_in_between(document), *_changes(document)]
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


def _result(rule: str, text: str, place: Place, level: str) -> dict[str, Any]:
    """A result. Its place is the line of the patch, if one is meant, and then that of the patched tree is related."""
    region = {"region": {"startLine": place.line}} if place.line > 0 else {}
    here: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": quote(place.file), "uriBaseId": ROOT}, **region}
    }
    result: dict[str, Any] = {
        "ruleId": rule,
        "ruleIndex": list(RULES).index(rule),
        "kind": "fail",
        "level": level,
        "message": {"text": text},
        "locations": [here],
        "partialFingerprints": {"review/v1": f"{rule}:{place.file}:{text[:80]}"},
    }
    if place.in_patch is not None and Path(place.in_patch.file).is_file():  # not standard input, nor commits
        artifact = {"uri": _uri(place.in_patch.file)}
        changed = {"artifactLocation": artifact, "region": {"startLine": place.in_patch.line}}
        result["locations"] = [{"physicalLocation": changed}]
        result["relatedLocations"] = [{"id": 1, **here, "message": {"text": "in the patched tree"}}]
    return result


def _uri(file: str) -> str:
    return Path(file).as_uri() if Path(file).is_absolute() else quote(file)


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the patched tree (0: the file), and of the patch, where that changes it."""

    file: str
    line: int
    in_patch: PatchLine | None = None


def _subjects(document: PatchReview, among: Container[str], said: str = "") -> Iterator[dict[str, Any]]:
    """Results for some of the subjects; `said` stands in front of what is said of them."""
    for s in document.subjects:
        if s.name not in among:
            continue
        text = said + (f"{headline(s)}. {s.why}" if s.why else headline(s))
        if s.verdict == "differs":
            yield _result("differs", text, _changed_place(document, s), "note" if s.change == "mended" else "error")
        elif s.verdict == "not covered":
            place = Place(s.why_file or s.file or "mm", s.why_line or s.line, s.why_in_patch)
            yield _result("not-covered", text, place, "warning")
        elif s.verdict == "sampled":
            yield _result("sampled", text, _changed_place(document, s), "warning")


def _in_between(document: PatchReview) -> Iterator[dict[str, Any]]:
    """What is so with a patch of a series, and not with all of them."""
    in_the_end = {s.name for s in document.subjects if not s.is_fine}
    for p in document.open_patches:
        if p.review is not None:
            names = {s.name for s in p.review.subjects if not s.is_fine} - in_the_end
            yield from _subjects(p.review, names, f"{p.label}, not all patches together: ")


def _changed_place(document: PatchReview, s: SubjectReview) -> Place:
    """The first function of the patch that the call comes to, those that it changes by a line of their own first."""
    reached = [f for f in document.functions if s.name in f.calls]
    for f in sorted(reached, key=lambda f: f.in_patch is None):
        return Place(f.file, f.line, f.in_patch)
    return Place(s.file or "mm", s.line)


def _changes(document: PatchReview) -> Iterator[dict[str, Any]]:
    for f in document.functions:
        if f.status != "read":
            text = f"{f.name}() is {f.status}: {f.why}"
            yield _result("not-covered", text, Place(f.file, f.line, f.in_patch), "warning")
    for x in document.loose:
        yield _result("not-covered", x.what, Place(x.file, x.line, x.in_patch), "warning")
