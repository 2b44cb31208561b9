# SPDX-License-Identifier: MIT
"""Single changes of a JSON document, one after the other: what a test of readers takes for hostile input."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

TEXTS = (
    "",
    "nope",
    'system("id")',
    "*/ x /*",
    "]]>",
    "</script>",
    "\x00",
    "a\nb",
    "\u202e",
    "never-unmapped",
    "munmap",
)
NUMBERS = (-1, 0, 1, 1 << 63, 10**40)
OTHERS: tuple[object, ...] = (None, True, "1", 1.5, [], {}, [[[[]]]])


def places(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value inside a JSON value, and where it is."""
    if path:
        yield path, data
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


def changed(data: Any, path: Path, value: object) -> Any:
    """The same document with another value at a place."""
    made = copy.deepcopy(data)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return made


def without(data: Any, path: Path) -> Any:
    """The same document without a key or an element."""
    made = copy.deepcopy(data)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    return made


def mutations(data: Any) -> Iterator[tuple[Path, object, Any]]:
    """Each place of a document with each of some other values: the place, the value, the document. A place that is left
    out, and an array with an element twice, count too."""
    for path, value in places(data):
        yield path, "(left out)", without(data, path)
        if isinstance(value, list) and value:
            yield path, "(last twice)", changed(data, path, [*value, value[-1]])
        given: tuple[object, ...] = OTHERS
        if isinstance(value, bool):
            given += (not value,)
        elif isinstance(value, int):
            given += (*NUMBERS, value + 1, value - 1, value + 4096)
        elif isinstance(value, str):
            given += TEXTS
        for other in given:
            if other != value or type(other) is not type(value):
                yield path, other, changed(data, path, other)
