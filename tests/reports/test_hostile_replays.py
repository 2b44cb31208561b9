# SPDX-License-Identifier: MIT
"""What others wrote of a kernel is text in every form of a report, whatever it looks like."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
import tinyhtml5

from checker.lab.replay import Replay
from reports.formats import FORMATS
from reports.html import site
from reports.review import Review
from tests.reports.conftest import SMALL, gathered, live

HOSTILE = "</script><img src=x onerror=1>]]>*/\n\u202e`|[a](javascript:1) & \"' -- \x00\x1b[2J ??/ ok 1 # SKIP"
CASE = "v10/failed-mseal-seals-nothing/mseal"


@pytest.fixture(name="hostile", scope="module")
def _hostile(review: Review, cache_folder: Path) -> Review:
    told = live(review.case[CASE].document, "not confirmed").model_dump()
    told |= {"kernel": HOSTILE, "reason": HOSTILE, "notes": [HOSTILE]}
    return gathered(replace(SMALL, replays=(Replay.model_validate(told),)), cache_folder)


def test_it_becomes_one_printable_line(hostile: Review) -> None:
    (found,) = hostile.case[CASE].live
    for text in (found.kernel, found.reason, *found.notes):
        assert text.isprintable() and "onerror=1" in text


def test_pages_show_it_as_text(hostile: Review) -> None:
    """No element comes of it."""
    shown = 0
    for name, text in site(hostile, []):
        if name.endswith(".html") and "onerror" in text:
            shown += 1
            page = tinyhtml5.parse(text, namespace_html_elements=False)
            assert not list(page.iter("img"))
            assert any("onerror=1" in (part or "") for element in page.iter() for part in (element.text, element.tail))
    assert shown


@pytest.mark.parametrize("name", FORMATS)
def test_other_forms_keep_their_shape(name: str, hostile: Review, review: Review) -> None:
    text = FORMATS[name].render(hostile)
    assert all(c.isprintable() or c == "\n" for c in text)
    if name in ("json", "sarif"):
        json.loads(text)
    elif name == "junit":
        ElementTree.fromstring(text)
    elif name == "md":
        assert "<img" not in text.replace("\\<", "")
    elif name == "ktap":
        results = [
            [line for line in said.splitlines() if not line.startswith("#")]
            for said in (text, FORMATS[name].render(review))
        ]
        assert results[0] == results[1]
