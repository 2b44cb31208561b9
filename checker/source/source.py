# SPDX-License-Identifier: MIT
"""One side of a review, before or after: files of a tree, or the pieces of them that a patch shows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checker.source.config import Config
from checker.source.errors import NotCovered
from checker.source.macros import OURS, expand
from checker.source.parsing import parse
from checker.source.patch import Origin
from checker.source.slices import Slice, functions
from checker.source.text import Live, Macro, live
from checker.source.values import flag_constant

SEARCHED = (
    "mm/mseal.c", "mm/vma.h", "mm/vma.c", "mm/vma_exec.c", "mm/internal.h", "mm/mmap.c", "mm/mprotect.c",
    "mm/madvise.c", "mm/mremap.c", "mm/mlock.c", "mm/util.c", "mm/gup.c", "include/linux/mm.h",
    "include/linux/mm_inline.h", "include/linux/mman.h", "include/linux/userfaultfd_k.h",
)  # fmt: skip
"""Files in which a function is looked for, those that the patch touches first."""
CONSTANTS = ("include/uapi/asm-generic/mman-common.h", "include/uapi/linux/mman.h")
"""Headers that say the numbers of advice and flags."""
MAX_FILE = 8 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of a file from a line on: all of it, or what a hunk shows."""

    text: str
    first: int = 1
    origins: tuple[Origin | None, ...] = ()
    """Of its lines, where patches have changed them; () if none has."""


@dataclass(slots=True)
class _File:
    slices: dict[str, Slice]
    doubles: set[str]
    macros: dict[str, Macro]
    enumerators: dict[str, int]
    outside: list[tuple[int, str]]
    """Lines that are compiled and in no function that is there whole, by number."""
    compiled: set[int]
    """Numbers of all lines that are compiled."""


def _enumerators(text: str) -> dict[str, int]:
    """The constants of a text's enumerations, as far as their numbers are plain."""
    found: dict[str, int] = {}
    for m in re.finditer(r"\benum\b\s*\w*\s*\{([^{}]*)\}", text):
        following = 0
        for item in m[1].split(","):
            name, _, value = (part.strip() for part in item.partition("="))
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                continue
            if value and not re.fullmatch(r"0[xX][0-9a-fA-F]+|\d+", value):
                break
            following = int(value, 0) if value else following
            found[name] = following
            following += 1
    return found


@dataclass
class Source:
    """Where functions are read from."""

    config: Config
    tree: Path | None = None
    pieces: Mapping[str, list[Piece] | None] = field(default_factory=dict)
    """What the patch shows of files, or makes of them; None: the file is gone."""
    opaque: frozenset[str] = frozenset()
    """Names that no macro of a file may redefine: the functions of the table."""
    _files: dict[str, _File] = field(default_factory=dict)
    _parsed: dict[tuple[str, str], Any] = field(default_factory=dict)
    _constants: dict[str, int] | None = None

    def read_file(self, path: str) -> list[Piece] | None:
        """What there is of a file; None if there is none."""
        if path in self.pieces:
            return self.pieces[path]
        if self.tree is None:
            return None
        place = self.tree / path
        try:
            if not place.is_file() or os.path.getsize(place) > MAX_FILE:
                return None
            return [Piece(place.read_text("utf-8", "replace"))]
        except OSError:
            return None

    def file(self, path: str) -> _File:
        """The functions and macros of a file."""
        known = self._files.get(path)
        if known is None:
            known = _File({}, set(), {}, {}, [], set())
            for piece in self.read_file(path) or []:
                seen: Live = live(piece.text, self.config)
                known.macros.update(seen.macros)
                known.enumerators.update(_enumerators(seen.text))
                inside: set[int] = set()
                for found in functions(seen, path, piece.first):
                    if found.name in known.slices:
                        known.doubles.add(found.name)
                    known.slices[found.name] = found
                    inside.update(range(found.line, found.last + 1))
                numbered = [(piece.first + i, line) for i, line in enumerate(seen.lines) if line.strip()]
                known.compiled.update(n for n, _ in numbered)
                known.outside += [(n, " ".join(x.split())) for n, x in numbered if n not in inside]
            self._files[path] = known
        return known

    def outside(self, path: str) -> list[tuple[int, str]]:
        """Lines of a file that are compiled and in no function that is there whole."""
        return self.file(path).outside

    def origin(self, path: str, first: int, last: int) -> Origin | None:
        """The first line of a patch that is new among some lines of a file (first and last number, from 1): one that
        is compiled, or else one that was taken away there, or else any. None if no patch has changed them."""
        there = [
            (n, origin)
            for piece in self.pieces.get(path) or []
            for n, origin in enumerate(piece.origins, piece.first)
            if first <= n <= last and origin is not None
        ]
        compiled = self.file(path).compiled if there else set()
        there.sort(key=lambda x: 1 if x[1].removed else 0 if x[0] in compiled else 2)
        return there[0][1] if there else None

    def paths(self) -> Iterable[str]:
        """The files that are searched."""
        return dict.fromkeys([*(p for p in self.pieces if p.endswith((".c", ".h"))), *SEARCHED])

    def find(self, name: str, near: str = "") -> Slice | None:
        """The definition of a function, in the file `near` first. Raises NotCovered where it is in doubt."""
        for path in dict.fromkeys([*([near] if near else []), *self.paths()]):
            known = self.file(path)
            found = known.slices.get(name)
            if found is None:
                continue
            if found.doubt:
                raise NotCovered(f"{name}() hangs on {found.doubt}, of which nothing is known", path, found.line)
            if name in known.doubles:
                raise NotCovered(f"{name}() is defined twice", path, found.line)
            return found
        return None

    def is_function(self, name: str, near: str) -> bool:
        """Some file that is searched defines it."""
        return any(name in self.file(path).slices for path in dict.fromkeys([near, *self.paths()]))

    def compiled(self, cut: Slice) -> str:
        """The text of a function with macros expanded and white space made one."""
        try:
            text = self._expanded(cut)
        except NotCovered:
            text = cut.text
        return " ".join(text.split())

    def _expanded(self, cut: Slice) -> str:
        theirs = {**self.file("mm/internal.h").macros, **self.file(cut.file).macros}
        theirs = {name: macro for name, macro in theirs.items() if flag_constant(name) is None}
        return expand(cut.text, {**theirs, **OURS}, self.opaque)

    def parsed(self, cut: Slice) -> Any:
        """The definition as a tree of pycparser. Raises NotCovered for C that is not understood."""
        key = cut.file, cut.name
        if key not in self._parsed:
            try:
                self._parsed[key] = parse(self._expanded(cut), cut)
            except NotCovered as error:
                self._parsed[key] = error.at(cut.file, cut.line)
        found = self._parsed[key]
        if isinstance(found, NotCovered):
            raise found
        return found

    def constants(self) -> dict[str, int]:
        """Numbers that the tree's headers, or the patch's pieces of them, give to names."""
        if self._constants is None:
            self._constants = {}
            for path in CONSTANTS:
                for macro in self.file(path).macros.values():
                    if macro.parameters is None and re.fullmatch(r"0[xX][0-9a-fA-F]+|\d+", macro.body):
                        self._constants[macro.name] = int(macro.body, 0)
        return self._constants
