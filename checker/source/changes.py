# SPDX-License-Identifier: MIT
"""What a patch changes: functions, told by their text as it is compiled, and lines outside of functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pycparser import c_ast

from checker.source.errors import NotCovered
from checker.source.machine import walk
from checker.source.macros import OURS
from checker.source.patch import FilePatch, Origin
from checker.source.slices import Slice
from checker.source.source import CONSTANTS, Source
from checker.source.table import TABLE
from checker.source.values import flag_constant

NO_KERNEL: Final = re.compile(
    r"(Documentation/|tools/|samples/|scripts/|MAINTAINERS$|CREDITS$|\.mailmap$|.*\.(rst|txt)$)"
)
"""Files that no kernel is built from."""


@dataclass(slots=True)
class Changed:
    """A function that is not the same before and after."""

    name: str
    file: str
    change: str
    """added, removed, changed"""
    line: int
    """Of its definition, after the patch if there is one."""
    doubt: str = ""
    origin: Origin | None = None
    """The line of the patch that changes it; None if none does, as where a macro is changed."""


@dataclass(slots=True)
class Loose:
    """Changed lines that are in no function that is there whole."""

    file: str
    line: int
    what: str
    origin: Origin | None = None
    """The line of the patch."""


@dataclass(slots=True)
class Changes:
    """All that a patch changes."""

    functions: list[Changed] = field(default_factory=list)
    loose: list[Loose] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    """Files that no kernel is built from."""

    @property
    def names(self) -> set[str]:
        """Names of the changed functions."""
        return {changed.name for changed in self.functions}


def changes_of(patches: Sequence[FilePatch], before: Source, after: Source) -> Changes:
    """Compare the two sides in the files that the patches name."""
    found = Changes()
    for path in dict.fromkeys(p.path for p in patches):
        mine = [p for p in patches if p.path == path]
        if NO_KERNEL.match(path):
            found.aside.append(path)
        elif any(p.binary for p in mine):
            found.loose.append(Loose(path, 0, "a binary file"))
        elif not path.endswith((".c", ".h")):
            hunk = mine[0].hunks[0] if mine[0].hunks else None
            origin = Origin(mine[0].name, hunk.first_changed) if hunk else None
            found.loose.append(Loose(path, hunk.new if hunk else 0, "a file that is not C", origin))
        else:
            _compare(path, mine, before, after, found)
    return found


def _compare(path: str, patches: list[FilePatch], before: Source, after: Source, found: Changes) -> None:
    old, new = before.file(path).slices, after.file(path).slices
    for name in dict.fromkeys([*new, *old]):
        a, b = old.get(name), new.get(name)
        change, doubt = "", ""
        if a and b and (a.doubt or b.doubt):
            change = "changed" if a.digest != b.digest else ""
            doubt = b.doubt or a.doubt
        elif a and b:
            change = "changed" if before.compiled(a) != after.compiled(b) else ""
        elif b and not _is_context(name, b, patches):
            change, doubt = "added", b.doubt
        elif a and not b and not _shown_in_part(a, patches):
            change = "removed"
        cut = b or a
        if change and cut:
            origin = after.origin(path, b.line, b.last) if b else _removed(patches, cut.text.split("\n")[0])
            found.functions.append(Changed(name, path, change, cut.line, doubt and f"it hangs on {doubt}", origin))
    _compare_macros(path, before, after, found)
    _compare_outside(path, patches, before, after, found)


def _removed(patches: list[FilePatch], text: str) -> Origin | None:
    """Where a line is taken away."""
    return next((o for p in patches if (o := p.origin_of_removed(text)) is not None), None)


def _is_context(name: str, cut: Slice, patches: list[FilePatch]) -> bool:
    """The function stands in the patch, and no line of it is added."""
    for patch in patches:
        for hunk in patch.hunks:
            _, added = hunk.changed()
            if patch.created or any(cut.line <= n <= cut.last for n in added):
                return False
    return True


def _shown_in_part(cut: Slice, patches: list[FilePatch]) -> bool:
    """Only what the patch takes away makes the function whole, so that nothing is known of it afterwards."""
    for patch in patches:
        for hunk in patch.hunks:
            removed, _ = hunk.changed()
            lines = range(cut.line, cut.last + 1)
            if all(n in removed for n in lines):
                return False
    return True


_HARMLESS: Final = re.compile(
    r"\s*(#\s*include\b.*|#\s*(endif|else).*|EXPORT_SYMBOL(_GPL)?\(.*|[{}]*|"
    r"(static\s+|extern\s+|inline\s+|asmlinkage\s+|const\s+|__must_check\s+|struct\s+|unsigned\s+|\w+\s+|\*)+\**\w+\([^;{}]*\);)\s*"
)
"""Lines that decide nothing: includes, prototypes of one line, what exports a symbol."""


def _compare_macros(path: str, before: Source, after: Source, found: Changes) -> None:
    old, new = before.file(path).macros, after.file(path).macros
    for name in dict.fromkeys([*new, *old]):
        a, b = old.get(name), new.get(name)
        if (a and (a.parameters, a.body)) == (b and (b.parameters, b.body)) or name.startswith("_"):
            continue
        line = (b or a).line if (b or a) else 0  # type: ignore[union-attr]
        origin = after.origin(path, line, line) if b else None
        if flag_constant(name) is not None:
            if a is None:
                found.aside.append(f"{path}: {name} is taken for the bit of that name, whatever its number")
            else:
                found.loose.append(Loose(path, line, f"the bit {name}", origin))
        elif name in OURS or name in TABLE:
            found.loose.append(Loose(path, line, f"the macro {name}, which is assumed", origin))
        elif path.endswith(".h") and path != "mm/internal.h" and path not in CONSTANTS:
            found.loose.append(Loose(path, line, f"the macro {name}", origin))


def _compare_outside(path: str, patches: list[FilePatch], before: Source, after: Source, found: Changes) -> None:
    """Lines outside of whole functions that are compiled on one side only."""
    old, new = before.outside(path), after.outside(path)
    there = Counter(text for _, text in old), Counter(text for _, text in new)
    whole = after.tree is not None
    for lines, other, mine in ((new, there[0], there[1]), (old, there[1], there[0])):
        left = mine - other
        open_prototype = False
        for number, text in lines:
            if left[text] <= 0:
                continue
            left[text] -= 1
            if open_prototype:
                open_prototype = not text.endswith(";")
            elif _PROTOTYPE.fullmatch(text):
                open_prototype = True
            elif not _HARMLESS.fullmatch(text):
                section = "" if whole else _section(number, patches, removed=lines is old)
                what = f"not whole in the patch (in or behind {section})" if section else "code outside of functions"
                last = found.loose[-1] if found.loose else None
                if last is None or (last.file, last.what) != (path, what):
                    here = _removed(patches, text) if lines is old else after.origin(path, number, number)
                    found.loose.append(Loose(path, number, what, here))


_PROTOTYPE: Final = re.compile(r"(static |extern |inline |asmlinkage )*[\w ]+[ *]\w+\([^;{}()]*,")


def _section(number: int, patches: list[FilePatch], *, removed: bool) -> str:
    """What a hunk says that a line is in, or behind."""
    for patch in patches:
        for hunk in patch.hunks:
            first, lines = (hunk.old, hunk.before()) if removed else (hunk.new, hunk.after())
            if first <= number < first + len(lines):
                m = re.search(r"(\w+)\s*\(([^(),]*)", hunk.section)
                if m is None:
                    return hunk.section[:60]
                return f"sys_{m[2].strip()}()" if m[1].startswith("SYSCALL_DEFINE") else f"{m[1]}()"
    return ""


def reached(source: Source, entry: str) -> tuple[set[str], set[str], set[tuple[str, str]]]:
    """From a function: names of those that are read, of the table's, and their places (file, name), by every call that
    the text has."""
    read: set[str] = set()
    assumed: set[str] = set()
    places: set[tuple[str, str]] = set()
    pending = [(entry, "")]
    while pending:
        name, near = pending.pop()
        if name in TABLE:
            assumed.add(name)
            continue
        try:
            cut = source.find(name, near)
        except NotCovered:
            read.add(name)
            continue
        if cut is None or (cut.file, name) in places:
            continue
        read.add(name)
        places.add((cut.file, name))
        try:
            definition = source.parsed(cut)
        except NotCovered:
            continue
        for node in walk(definition.body):
            if isinstance(node, c_ast.ID):
                known = node.name in TABLE or source.is_function(node.name, cut.file)
                if known:
                    pending.append((node.name, cut.file))
    return read, assumed, places
