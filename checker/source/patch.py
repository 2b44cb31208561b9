# SPDX-License-Identifier: MIT
"""Unified diffs as they come in mails: reading them, and applying them to text. Files are named, never opened."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from checker.source.errors import BadPatch

MAX_BYTES = 16 << 20
"""A patch may have so many bytes; the largest of the kernel's own mm/ series have half a million."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A changed line of a patch."""

    file: str
    """The file that the patch is in."""
    line: int
    """Its number there, from 1."""
    removed: bool = False
    """It is taken away: what is known by it is the line behind."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """A piece of a file, before and after: lines with ' ', '-' or '+' in front."""

    old: int
    new: int
    """Number of its first line, before and after (from 1; 0: there is none)."""
    lines: tuple[str, ...]
    at: int
    """Line of the patch on which it begins."""
    numbers: tuple[int, ...]
    """Of each of its lines, in the file that the patch is in."""
    section: str = ""
    """What the diff says that it is in, or behind."""

    @property
    def first_changed(self) -> int:
        """Number of its first changed line in the file that the patch is in."""
        return next((n for line, n in zip(self.lines, self.numbers, strict=True) if line[:1] != " "), self.at)

    def before(self) -> list[str]:
        """The lines that it expects."""
        return [line[1:] for line in self.lines if line[:1] != "+"]

    def after(self) -> list[str]:
        """The lines that it leaves."""
        return [line[1:] for line in self.lines if line[:1] != "-"]

    def origins(self, file: str, before: Sequence[Origin | None]) -> list[Origin | None]:
        """Where the lines that it leaves come from; `before`: those that it expects. The line behind one that is taken
        away with nothing in its place comes from that."""
        found: list[Origin | None] = []
        known = iter(before)
        gap: Origin | None = None
        for line, number in zip(self.lines, self.numbers, strict=True):
            if line[:1] == "+":
                found.append(Origin(file, number))
                gap = None
            elif line[:1] == "-":
                next(known, None)
                gap = gap or Origin(file, number, removed=True)
            else:
                old = next(known, None)
                found.append(gap or old)
                gap = None
        return found

    def changed(self) -> tuple[set[int], set[int]]:
        """Numbers of the lines that are removed (before), and added (after). Where lines are only removed, the two
        around the gap count as changed after, and the other way round."""
        old, new = self.old, self.new
        removed: set[int] = set()
        added: set[int] = set()
        for line in self.lines:
            if line[:1] == "-":
                removed.add(old)
                added.update((new - 1, new))
                old += 1
            elif line[:1] == "+":
                added.add(new)
                removed.update((old - 1, old))
                new += 1
            else:
                old, new = old + 1, new + 1
        return removed, added


@dataclass(slots=True)
class FilePatch:
    """What a patch does to one file."""

    path: str
    """Its name after the patch (before it, where it is removed)."""
    old_path: str
    created: bool = False
    removed: bool = False
    binary: bool = False
    hunks: list[Hunk] = field(default_factory=list)
    name: str = ""
    """The file that the patch is in."""

    def origin_of_removed(self, text: str) -> Origin | None:
        """The first line that is taken away and has that text, white space aside."""
        words = text.split()
        for hunk in self.hunks:
            for line, number in zip(hunk.lines, hunk.numbers, strict=True):
                if line[:1] == "-" and line[1:].split() == words:
                    return Origin(self.name, number, removed=True)
        return None


_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@ *(.*)")


def _path(text: str, name: str) -> str:
    """A path as a patch names it, without the part that stands for the two trees. Raises BadPatch."""
    path = text.split("\t")[0].strip().strip('"')
    if path == "/dev/null":
        return ""
    inner = path.split("/", 1)[1] if "/" in path and not path.startswith("/") else path
    parts = inner.split("/")
    if path.startswith("/") or ".." in parts or "" in parts or "\0" in path or any(ord(c) < 32 for c in path):
        raise BadPatch(f"{name}: a path outside the tree: {path[:80]!r}")
    return inner


def read_patch(text: str, name: str) -> list[FilePatch]:
    """The files that a diff, or a text with one, changes, in order. Raises BadPatch, in one line that begins with
    `name`."""
    found = read_diffs(text, name)
    if not found:
        raise BadPatch(f"{name}: not a patch: it has no unified diff")
    return found


def read_diffs(text: str, name: str, first: int = 1) -> list[FilePatch]:
    """The files that the diffs of a text change, in order; none if it has no diff. `first` is the number of its first
    line in the file `name`. Raises BadPatch, in one line that begins with `name`."""
    lines = text.split("\n")
    found: list[FilePatch] = []
    i = 0
    while i < len(lines):
        line = lines[i]
        if line.startswith("--- ") and i + 2 < len(lines) and lines[i + 1].startswith("+++ "):
            if not lines[i + 2].startswith("@@ "):
                i += 2
                continue
            old, new = _path(line[4:], name), _path(lines[i + 1][4:], name)
            if not old and not new:
                raise BadPatch(f"{name}:{first + i}: a file that is neither before nor after the patch")
            patch = FilePatch(new or old, old or new, created=not old, removed=not new, name=name)
            i = _read_hunks(lines, i + 2, patch, first)
            found.append(patch)
            continue
        if m := re.match(r"Binary files (?:a/)?(\S+) and (?:b/)?(\S+) differ", line):
            path = m[2] if m[2] != "/dev/null" else m[1]
            found.append(FilePatch(_path("b/" + path.removeprefix("/"), name), path, binary=True, name=name))
        elif line == "GIT binary patch":
            header = next((x for x in reversed(lines[:i]) if x.startswith("diff --git ")), "")
            path = _path(header.split(" ")[-1], name) if header else "?"
            found.append(FilePatch(path, path, binary=True, name=name))
        elif _HUNK.match(line):
            raise BadPatch(f"{name}:{first + i}: a hunk without the names of its files")
        i += 1
    return found


def _read_hunks(lines: Sequence[str], i: int, patch: FilePatch, first: int) -> int:
    while i < len(lines) and (m := _HUNK.match(lines[i])):
        begin = i
        old, new = int(m[1]), int(m[3])
        want_old, want_new = int(m[2] or 1), int(m[4] or 1)
        i += 1
        kept: list[str] = []
        numbers: list[int] = []
        while want_old > 0 or want_new > 0:
            if i >= len(lines):
                raise BadPatch(f"{patch.name}:{first + begin}: the patch ends within a hunk of {patch.path}")
            line = lines[i].rstrip("\r")
            tag = line[:1] or " "  # an empty line of context, its blank cut away by a mailer
            if tag == "\\":
                i += 1
                continue
            if tag not in " +-":
                raise BadPatch(f"{patch.name}:{first + i}: not a line of a hunk: {line[:40]!r} (is the patch damaged?)")
            want_old -= tag != "+"
            want_new -= tag != "-"
            kept.append(tag + line[1:])
            numbers.append(first + i)
            i += 1
        if want_old < 0 or want_new < 0:
            raise BadPatch(f"{patch.name}:{first + begin}: a hunk of {patch.path} has other lines than it says")
        if i < len(lines) and lines[i].startswith("\\"):
            i += 1
        patch.hunks.append(Hunk(old, new, tuple(kept), first + begin, tuple(numbers), m[5].strip()))
    return i


def _places(wanted: int, last: int) -> Iterator[int]:
    """Where a hunk may go, the place that it names first, then farther and farther away."""
    for distance in range(last + 1):
        for place in dict.fromkeys((wanted - distance, wanted + distance)):
            if 0 <= place <= last:
                yield place


@dataclass(slots=True)
class Text:
    """A file's lines, and where those come from that a patch has changed."""

    lines: list[str]
    origins: list[Origin | None]

    @staticmethod
    def of(text: str) -> Text:
        """A text that no patch has changed."""
        lines = text.split("\n")
        return Text(lines, [None] * len(lines))


def apply(old: Text | None, patch: FilePatch) -> Text | None:
    """The file after the patch; None: there is none. A hunk may have moved, but must match to the letter. Raises
    BadPatch where it does not apply."""
    if patch.created:
        if old is not None:
            raise BadPatch(f"{patch.name}: does not apply: {patch.path} exists already")
        lines = [line for hunk in patch.hunks for line in hunk.after()]
        return Text([*lines, ""], [*(o for hunk in patch.hunks for o in hunk.origins(patch.name, ())), None])
    if old is None:
        raise BadPatch(f"{patch.name}: does not apply: there is no {patch.old_path}")
    new = Text([*old.lines], [*old.origins])
    shift, floor = 0, 0
    for number, hunk in enumerate(patch.hunks, 1):
        before, after = hunk.before(), hunk.after()
        wanted = max(hunk.old - (1 if before else 0), 0) + shift
        last = len(new.lines) - len(before)
        place = next(
            (p for p in _places(wanted, last) if p >= floor and new.lines[p : p + len(before)] == before),
            None,
        )
        if place is None:
            where = f"hunk {number}: the lines around {patch.old_path}:{hunk.old} differ"
            raise BadPatch(f"{patch.name}:{hunk.at}: does not apply: {where}")
        end = place + len(before)
        new.lines[place:end] = after
        new.origins[place:end] = hunk.origins(patch.name, new.origins[place:end])
        shift += len(after) - len(before)
        floor = place + len(after)
    return None if patch.removed else new
