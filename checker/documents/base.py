# SPDX-License-Identifier: MIT
"""What all documents share: how a bad one is told, and the numbers and names in them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Final, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    WithJsonSchema,
)

from checker.concrete import State
from checker.text import printable
from spec.editions import EDITIONS
from spec.words import PAGES, WORD

HEAP_PAGE: Final = 0x5555_0000
"""Page where the heap of a scenario begins unless its layout says otherwise."""
MAX_BYTES: Final = 1 << 28
"""A document larger than this many bytes (after decompression) is refused."""
FIRST_FRESH: Final = State().next_id
"""Objects that the concrete reading makes have numbers above this."""


class BadDocument(ValueError):
    """A document is not what it must be. `pointer` is a JSON pointer into it ("" is the whole), `reason` one line;
    `source` names the file and, for JSON lines, the line."""

    def __init__(self, pointer: str, reason: str, source: str = "") -> None:
        self.pointer = pointer
        self.reason = " ".join(reason.split())
        self.source = source
        super().__init__(": ".join(part for part in (source, pointer, self.reason) if part))


class NotModelled(BadDocument):
    """What a document asks for is beyond the model, or hangs on something that it does not say."""


class Document(BaseModel):
    """What all models share: immutable, and no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def shown(value: object) -> str:
    """A value as Python writes it, cut if it is long: for messages."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def near(name: object, known: Iterable[str]) -> str:
    """A hint that names the closest of the known names, or all of them if none is close."""
    names = list(known)
    close = difflib.get_close_matches(str(name)[:60], names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def _edition_name(value: object) -> str:
    if not isinstance(value, str) or value not in EDITIONS:
        raise ValueError(f"unknown edition {shown(value)}; {near(value, EDITIONS)}")
    return value


def _address(value: object) -> int | str:
    """A byte address: a number, "0x…", or "brk+0x…"."""
    if isinstance(value, str) and re.fullmatch(r"(brk\+)?0x[0-9a-fA-F]{1,16}", value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < WORD:
        return value
    raise ValueError('an address is a number 0..2^64-1, "0x…" or "brk+0x…" (at most 16 hexadecimal digits)')


Line: TypeAlias = Annotated[str, AfterValidator(printable)]
"""Text on one line: what is not printable is replaced as it is read."""
Int: TypeAlias = Annotated[int, Strict()]
Word: TypeAlias = Annotated[Int, Field(ge=0, lt=WORD)]
Count: TypeAlias = Annotated[Int, Field(ge=0, lt=1 << 63)]
PageNumber: TypeAlias = Annotated[Int, Field(ge=0, le=PAGES)]
Key: TypeAlias = Annotated[Int, Field(ge=0, le=15)]
EditionName: TypeAlias = Annotated[
    str, PlainValidator(_edition_name), WithJsonSchema({"type": "string", "description": "name of an edition"})
]
Address: TypeAlias = Annotated[
    int | str,
    PlainValidator(_address),
    WithJsonSchema(
        {
            "description": "byte address; brk+ counts from the start of the heap",
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": WORD - 1},
                {"type": "string", "pattern": r"^(brk\+)?0x[0-9a-fA-F]{1,16}$"},
            ],
        }
    ),
]
