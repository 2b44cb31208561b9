# SPDX-License-Identifier: MIT
"""The grammar of answers: what a step of a scenario may say that a kernel returned, mapped, and shows.

An answer is data. It is parsed here once, and whatever is made of it is formatted from the parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field, WithJsonSchema

from checker.documents.base import Int, shown
from spec.words import PAGES

WINDOW_PAGES: Final = 48
"""Pages of the window of a scenario."""
UNSAID: Final = "**"
"""Stands for the byte of a page whose contents the specification does not know: the kernel's own code in the vdso."""
MARKS: Final = ("sl", "lo", "dc", "wf", "gd", "dd", "mg", "nh", "hg")
"""Names of VmFlags that a line of VMAs ends with, in their order."""

_RET: Final = r"^(-1|0|[1-9][0-9]{0,17})$"
_PLACED_RET: Final = r"^(-1|0|p([0-9]|[1-3][0-9]|4[0-7])|elsewhere)$"
_BREAK_RET: Final = r"^(-1|(0|[1-9][0-9]{0,15})(\+[1-9][0-9]{0,3})?)$"
_BYTES: Final = rf"^([0-9a-f]{{2}}|\.\.|\?\?|\*\*){{0,{WINDOW_PAGES}}}$"
_PAGE: Final = r"(?:0|[1-9][0-9]{0,15})"
_HEX: Final = r"0x(?:0|[1-9a-f][0-9a-f]{0,13})"
_VMA: Final = (
    rf"^(?:(-?{_PAGE})-({_PAGE})|brk({_PAGE})-({_PAGE})|@({_HEX})-({_HEX}))"
    rf" ([r-][w-][x-][ps]) (anon|file@(?:0|[1-9][0-9]{{0,19}}))"
    rf"(?: k([1-9]|1[0-5]))?((?: {')?(?: '.join(MARKS)})?)$"
)
_SHAPE: Final = re.compile(_VMA, re.ASCII)

Area: TypeAlias = Literal["", "brk", "@"]
_AREAS: Final[tuple[tuple[Area, int, int], ...]] = (("", 1, 10), ("brk", 3, 10), ("@", 5, 16))
"""Where a line of VMAs says its range: the area, the first of two groups of _VMA, and the base of the numbers."""


@dataclass(frozen=True, slots=True)
class VmaLine:
    """A line of VMAs. Its pages are [first, end), counted from the start of the window (area ""), of the heap ("brk"),
    or of the address space ("@")."""

    area: Area
    first: int
    end: int
    text: str
    """What is said behind the range: protection, backing, key, marks."""

    @property
    def readable(self) -> bool:
        """The VMA has VM_READ."""
        return self.text.startswith("r")


def vma_line(text: str) -> VmaLine:
    """Return the parts of a line of VMAs. Raises ValueError if it is none."""
    found = _SHAPE.match(text) if "\n" not in text else None
    if found is None:
        raise ValueError(
            'a line of VMAs is such as "0-2 rw-p anon sl", "brk0-1 r--p anon", "@0x10-0x11 r--s file@3 k5 lo"; '
            f"not {shown(text)}"
        )
    area, group, base = next(place for place in _AREAS if found[place[1]] is not None)
    line = VmaLine(area, int(found[group], base), int(found[group + 1], base), text.partition(" ")[2])
    if not -PAGES <= line.first < line.end <= PAGES:
        raise ValueError(f"the range of a line of VMAs goes from a page to a later one; not {shown(text)}")
    return line


def _like(pattern: str, says: str) -> Callable[[str], str]:
    shape = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if "\n" in text or shape.match(text) is None:
            raise ValueError(f"{says}; not {shown(text)}")
        return text

    return check


def _vma_text(text: str) -> str:
    vma_line(text)
    return text


def _schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


ErrnoNumber: TypeAlias = Annotated[Int, Field(ge=0, le=4095)]
Ret: TypeAlias = Annotated[str, AfterValidator(_like(_RET, "a result is -1 or a number")), _schema(_RET)]
PlacedRet: TypeAlias = Annotated[
    str,
    AfterValidator(_like(_PLACED_RET, 'a result is "p0" to "p47", "0", "elsewhere" or "-1"')),
    _schema(_PLACED_RET),
]
BreakRet: TypeAlias = Annotated[
    str,
    AfterValidator(_like(_BREAK_RET, 'a result is pages from the start of the heap, "N" or "N+M" with M bytes more')),
    _schema(_BREAK_RET),
]
Bytes: TypeAlias = Annotated[
    str,
    AfterValidator(
        _like(
            _BYTES,
            f"bytes are two characters for each page of the window, {WINDOW_PAGES} pages at most:"
            ' hexadecimal digits in lower case, "..", "??" or "**"',
        )
    ),
    _schema(_BYTES),
]
VmaText: TypeAlias = Annotated[str, AfterValidator(_vma_text), _schema(_VMA)]
Vmas: TypeAlias = Annotated[tuple[VmaText, ...], Field(max_length=1 << 16)]
