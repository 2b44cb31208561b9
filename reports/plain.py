# SPDX-License-Identifier: MIT
"""Plain text as kernel lists take it: ASCII, no line wider than 72 columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from reports.strip_text import ascii_only
from spec.properties import PROPERTIES
from spec.syscalls import CALLS

WIDTH = 72


def one_line(text: str) -> str:
    """The text in printable ASCII, on one line, with single spaces."""
    return " ".join(ascii_only(text).split())


def sentence(text: str) -> str:
    """The text with a full stop, and a capital first letter unless it begins with the name of a call or a property."""
    text = text.strip()
    ended = text if text.endswith((".", "!", "?", ":")) else text + "."
    first = re.match(r"[\w-]*", text)
    if first and (first[0] in CALLS or first[0] in PROPERTIES):
        return ended
    return ended[:1].upper() + ended[1:]


def wrap(text: str, indent: str = "", hang: str | None = None) -> list[str]:
    """A paragraph; `hang` is the indent of its lines but the first. Words that are too long are cut."""
    return textwrap.wrap(
        one_line(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent if hang is None else hang,
        break_on_hyphens=False,
    )


def item(mark: str, text: str, indent: str = "") -> list[str]:
    """A paragraph that hangs behind a mark such as `-` or `12.`."""
    return wrap(text, f"{indent}{mark} ", indent + " " * (len(mark) + 1))


def command(text: str, indent: str = "  ") -> list[str]:
    """A shell command, continued with backslashes where it is too wide, so that it can still be pasted. An option stays
    with its value."""
    words: list[str] = []
    for word in one_line(text).split(" "):
        takes_value = words and words[-1].startswith("--") and " " not in words[-1]
        if takes_value and not word.startswith("-"):
            words[-1] += f" {word}"
        else:
            words.append(word)
    lines, line = [], indent
    for word in words:
        longer = line + word if line == indent else f"{line} {word}"
        if len(longer) > WIDTH - 2 and line != indent:
            lines.append(line + " \\")
            longer = indent * 2 + word
        line = longer
    return [*lines, line]


def heading(text: str) -> list[str]:
    """A heading with a line below it, and a blank line on either side."""
    title = one_line(text)[:WIDTH]
    return ["", title, "-" * len(title), ""]


def quoted(text: str) -> list[str]:
    """A fragment of a message, as a reply quotes it."""
    return ["> " + line for line in textwrap.wrap(f"... {one_line(text)} ...", WIDTH - 2, break_on_hyphens=False)]


def joined(names: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    listed = list(names)
    return f" {last} ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:])))


def number(count: int, one: str, many: str = "") -> str:
    """`1 theorem`, `2 theorems`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def text_of(lines: Iterable[str]) -> str:
    """The lines as one text; no blank line is doubled, and none ends it."""
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1]):
            kept.append(line.rstrip())
    while kept and not kept[-1]:
        kept.pop()
    return "\n".join(kept) + "\n"
