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
class Hunk:
    """A piece of a file, before and after: lines with ' ', '-' or '+' in front."""

    old: int
    new: int
    """Number of its first line, before and after (from 1; 0: there is none)."""
    lines: tuple[str, ...]
    at: int
    """Line of the patch on which it begins."""
    section: str = ""
    """What the diff says that it is in, or behind."""

    def before(self) -> list[str]:
        """The lines that it expects."""
        return [line[1:] for line in self.lines if line[:1] != "+"]

    def after(self) -> list[str]:
        """The lines that it leaves."""
        return [line[1:] for line in self.lines if line[:1] != "-"]

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
    lines = [*[""] * (first - 1), *text.split("\n")]  # so that all numbers are those of the file
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
                raise BadPatch(f"{name}:{i + 1}: a file that is neither before nor after the patch")
            patch = FilePatch(new or old, old or new, created=not old, removed=not new)
            i = _read_hunks(lines, i + 2, patch, name)
            found.append(patch)
            continue
        if m := re.match(r"Binary files (?:a/)?(\S+) and (?:b/)?(\S+) differ", line):
            path = m[2] if m[2] != "/dev/null" else m[1]
            found.append(FilePatch(_path("b/" + path.removeprefix("/"), name), path, binary=True))
        elif line == "GIT binary patch":
            header = next((x for x in reversed(lines[:i]) if x.startswith("diff --git ")), "")
            path = _path(header.split(" ")[-1], name) if header else "?"
            found.append(FilePatch(path, path, binary=True))
        elif _HUNK.match(line):
            raise BadPatch(f"{name}:{i + 1}: a hunk without the names of its files")
        i += 1
    return found


def _read_hunks(lines: Sequence[str], i: int, patch: FilePatch, name: str) -> int:
    while i < len(lines) and (m := _HUNK.match(lines[i])):
        begin = i
        old, new = int(m[1]), int(m[3])
        want_old, want_new = int(m[2] or 1), int(m[4] or 1)
        i += 1
        kept: list[str] = []
        while want_old > 0 or want_new > 0:
            if i >= len(lines):
                raise BadPatch(f"{name}:{begin + 1}: the patch ends within a hunk of {patch.path}")
            line = lines[i].rstrip("\r")
            tag = line[:1] or " "  # an empty line of context, its blank cut away by a mailer
            if tag == "\\":
                i += 1
                continue
            if tag not in " +-":
                raise BadPatch(f"{name}:{i + 1}: not a line of a hunk: {line[:40]!r} (is the patch damaged?)")
            want_old -= tag != "+"
            want_new -= tag != "-"
            kept.append(tag + line[1:])
            i += 1
        if want_old < 0 or want_new < 0:
            raise BadPatch(f"{name}:{begin + 1}: a hunk of {patch.path} has other lines than it says")
        if i < len(lines) and lines[i].startswith("\\"):
            i += 1
        patch.hunks.append(Hunk(old, new, tuple(kept), begin + 1, m[5].strip()))
    return i


def _places(wanted: int, last: int) -> Iterator[int]:
    """Where a hunk may go, the place that it names first, then farther and farther away."""
    for distance in range(last + 1):
        for place in dict.fromkeys((wanted - distance, wanted + distance)):
            if 0 <= place <= last:
                yield place


def apply(text: str | None, patch: FilePatch, name: str) -> str | None:
    """The file after the patch; None: there is none. A hunk may have moved, but must match to the letter. Raises
    BadPatch where it does not apply."""
    if patch.created:
        if text is not None:
            raise BadPatch(f"{name}: does not apply: {patch.path} exists already")
        return "\n".join([line for hunk in patch.hunks for line in hunk.after()]) + "\n"
    if text is None:
        raise BadPatch(f"{name}: does not apply: there is no {patch.old_path}")
    lines = text.split("\n")
    shift, floor = 0, 0
    for number, hunk in enumerate(patch.hunks, 1):
        before, after = hunk.before(), hunk.after()
        wanted = max(hunk.old - (1 if before else 0), 0) + shift
        last = len(lines) - len(before)
        place = next(
            (p for p in _places(wanted, last) if p >= floor and lines[p : p + len(before)] == before),
            None,
        )
        if place is None:
            where = f"hunk {number}: the lines around {patch.old_path}:{hunk.old} differ"
            raise BadPatch(f"{name}:{hunk.at}: does not apply: {where}")
        lines[place : place + len(before)] = after
        shift += len(after) - len(before)
        floor = place + len(after)
    return None if patch.removed else "\n".join(lines)
