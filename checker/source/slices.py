# SPDX-License-Identifier: MIT
"""Cutting function definitions out of C text, by braces, not by indentation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from checker.source.macros import tokens_of
from checker.source.text import Live

_NOT_NAMES = frozenset(
    ("if", "while", "for", "switch", "return", "sizeof", "__attribute__", "__must_hold", "__acquires", "__releases",
     "__printf", "__aligned", "__section")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slice:
    """The definition of one function."""

    name: str
    file: str
    line: int
    """Of its first line in the file, from 1."""
    text: str
    doubt: str = ""
    """The condition it hangs on, if nothing is known of that."""

    @property
    def last(self) -> int:
        """Number of its last line."""
        return self.line + self.text.count("\n")

    @property
    def digest(self) -> str:
        """Of its tokens: white space and comments do not change it."""
        words = " ".join(t for t in tokens_of(self.text) if not t.isspace())
        return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:16]


def _name(header: str) -> str | None:
    """The name of the function that a header defines; None if it is no function's."""
    flat = " ".join(header.split())
    if m := re.search(r"\b(?:COMPAT_)?SYSCALL_DEFINE\d\s*\(\s*(\w+)", flat):
        return "sys_" + m[1]
    if "=" in flat or not flat.endswith(")"):
        trimmed = re.sub(r"\)\s*(?:__\w+\s*(?:\([^()]*\))?\s*)+$", ")", flat)
        if "=" in trimmed or not trimmed.endswith(")"):
            return None
        flat = trimmed
    return next((m[1] for m in re.finditer(r"\b([A-Za-z_]\w*)\s*\(", flat) if m[1] not in _NOT_NAMES), None)


def functions(live: Live, file: str, first: int = 1) -> Iterator[Slice]:
    """Every function that is defined in a text, whole. `first` is the number of the text's first line in its file; a
    definition whose end is not there is left out."""
    tokens = tokens_of(live.text)
    depth, line, header_line = 0, 0, 0
    header: list[str] = []
    body: list[str] = []
    name: str | None = None
    at_margin = begins_at_margin = True
    for token in tokens:
        if depth == 0:
            if not header and not token.isspace():
                header_line, begins_at_margin = line, at_margin
            if token == "{":
                # what is not at the margin is a block of a function that began above what is there
                name = _name("".join(header)) if begins_at_margin else None
                body, depth = [*header, token], 1
            elif token == ";" or token == "}":
                header = []
            elif header or not token.isspace():
                header.append(token)
        else:
            body.append(token)
            depth += (token == "{") - (token == "}")
            if depth == 0:
                if name is not None:
                    doubts = (live.doubtful.get(n, "") for n in range(header_line, line + 1))
                    yield Slice(name, file, first + header_line, "".join(body), next(filter(None, doubts), ""))
                header = []
        at_margin = token.endswith("\n")
        line += token.count("\n")
