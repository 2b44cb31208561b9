# SPDX-License-Identifier: MIT
"""What a counterexample claims: true ones pass, and any single change of one is refused, or says the same."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ElementTree
from typing import Any

import pydot
import pytest

from checker.claims import NotConfirmed, check_claim
from checker.documents.base import BadDocument
from checker.documents.counterexamples import Counterexample
from checker.documents.files import parse_document
from proofs.theorems import expected_of
from reports.graph import to_dot
from reports.strip import to_svg, to_text
from tests.checker.documents import kept_cut, partial_seal, plain_trace
from tests.checker.mutations import TEXTS, Path, changed, mutations, places

DOCUMENTS = {
    "partial-seal": partial_seal("v10"),
    "kept-cut": kept_cut("v6.18"),
    "trace": plain_trace("v6.18"),
}
SAMPLE = 120
"""So many changes of each document are tried, beside all near its top; all of them take half a minute."""
DRAWN = 16
"""So many documents are drawn with other text in them."""
FREE = ("why", "assumptions", "anon_vma", "words", "failures")
"""Keys below which a document may say something else and be true: the project's words are drawn in place of `why`; a
counterexample may rest on fewer assumptions; anon_vmas have any number; a call may take other words to the same end."""


def judged(data: Any) -> Counterexample | None:
    """The document if it is true; None if it is refused in one line."""
    said = ""
    try:
        document = parse_document(data)
        assert isinstance(document, Counterexample)
        return check_claim(document, expected_of)
    except BadDocument as bad:
        said = str(bad)
    except NotConfirmed as unlike:
        said = unlike.differences[0]
    assert said and "\n" not in said
    return None


@pytest.mark.parametrize("name", DOCUMENTS)
def test_true_documents_are_taken(name: str) -> None:
    document = DOCUMENTS[name]
    assert judged(document.model_dump(mode="json")) == document


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_changed_document_is_refused_or_says_the_same(name: str) -> None:
    """Each place with each of some other values, a sample of them: the first and last keys always."""
    document = DOCUMENTS[name]
    data = document.model_dump(mode="json")
    tried = list(mutations(data))
    shallow = [change for change in tried if len(change[0]) <= 2]
    deep = [change for change in tried if len(change[0]) > 2]
    sample = shallow + random.Random(name).sample(deep, min(SAMPLE, len(deep)))
    refused = 0
    for path, value, made in sample:
        found = judged(made)
        if found is None:
            refused += 1
        elif not says_the_same(path):
            assert found == document, (path, value)
        else:
            assert value is None or found.culprit.page == document.culprit.page, (path, value)
    assert refused > len(sample) * 0.8


def says_the_same(path: Path) -> bool:
    """What stands there may be something else, and the document still be true."""
    return any(key in FREE for key in path)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_culprit_is_a_page_that_changes(name: str) -> None:
    """No page but one that the call changes will do, whichever counters changed too."""
    document = DOCUMENTS[name]
    data = document.model_dump(mode="json")
    pages = {vma.start + n for vma in document.steps[-1].after.vmas for n in (-1, 0, 1, 2)} | {0, 16, 1 << 40}
    taken = [page for page in pages if judged(changed(data, ("culprit", "page"), page)) is not None]
    assert taken == [document.culprit.page]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_why_is_said_in_the_projects_words(name: str) -> None:
    data = DOCUMENTS[name].model_dump(mode="json")
    found = judged(changed(data, ("culprit", "why"), "</text> it was the butler"))
    assert found is not None
    assert "butler" not in to_text(found) + to_svg(found) + to_dot(found)


HOSTILE = (
    *TEXTS,
    "*/ int x; /*",
    "??/",
    '"/><script>x</script>',
    "]]><x/>",
    '" -> "x',
    "\\",
    "\x1b[2J",
    "\u2028",
    "&x;",
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_drawings_cannot_be_broken_out_of(name: str) -> None:
    """Even of a document that nobody checked: its text is text, in every drawing."""
    data = DOCUMENTS[name].model_dump(mode="json")
    texts = [(path, text) for path, value in places(data) if isinstance(value, str) for text in HOSTILE]
    random.Random(name).shuffle(texts)
    names = ("property", "sentence", "call", "expected", "why", "check", "assumptions")
    texts.sort(key=lambda change: not any(key in names for key in change[0]))
    plain = ElementTree.fromstring(to_svg(DOCUMENTS[name]))
    tags = {element.tag for element in plain.iter()}
    tried = 0
    for path, text in texts:
        try:
            document = parse_document(changed(data, path, text))
        except BadDocument:
            continue
        assert isinstance(document, Counterexample)
        tried += 1
        drawn = ElementTree.fromstring(to_svg(document))
        assert {element.tag for element in drawn.iter()} <= tags, (path, text)
        assert pydot.graph_from_dot_data(to_dot(document)), (path, text)
        assert all(c.isprintable() or c == "\n" for c in to_text(document)), (path, text)
        if tried == DRAWN:
            break
    assert tried == DRAWN
