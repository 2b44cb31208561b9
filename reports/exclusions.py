# SPDX-License-Identifier: MIT
"""What is not modelled, read from docs/EXCLUSIONS.md: the tables under each heading."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from reports.review import ExclusionTable

ANCHOR: Final = re.compile(r'<a id="[^"]*"></a>')
DOCUMENT: Final = Path(__file__).with_name("docs") / "EXCLUSIONS.md"


def exclusions(document: Path = DOCUMENT) -> tuple[ExclusionTable, ...]:
    """One entry for each section. Raises OSError if the document cannot be read."""
    tokens = MarkdownIt("commonmark").enable("table").parse(document.read_text(encoding="utf-8"))
    sections: list[list[Token]] = []
    for token in tokens:
        if token.type == "heading_open" and token.tag == "h2":
            sections.append([])
        if sections:
            sections[-1].append(token)
    return tuple(_section(tokens) for tokens in sections)


def _section(tokens: list[Token]) -> ExclusionTable:
    title, *rest = [token.content for token in tokens if token.type == "inline"]
    paragraphs, columns, rows = [], list[str](), list[list[str]]()
    inside = ""
    for token in tokens:
        if token.type.endswith("_open"):
            inside = token.type.removesuffix("_open")
            if inside == "tr":
                rows.append([])
        elif token.type == "inline" and inside == "paragraph":
            paragraphs.append(_one_line(token.content))
        elif token.type == "inline" and inside == "th":
            columns.append(_one_line(token.content))
        elif token.type == "inline" and inside == "td":
            rows[-1].append(_one_line(token.content))
    assert rest or not rows
    return ExclusionTable(
        title=title,
        paragraphs=tuple(paragraphs),
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in rows if row),
    )


def _one_line(text: str) -> str:
    return " ".join(ANCHOR.sub("", text).split())
