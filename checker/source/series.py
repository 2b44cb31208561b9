# SPDX-License-Identifier: MIT
"""A series of patches: read from files and mboxes, put in order, and applied one on top of the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from checker.source.config import Config
from checker.source.errors import BadPatch
from checker.source.mails import Mail, mails_of
from checker.source.patch import FilePatch, Text, apply, read_diffs
from checker.source.source import Piece, Source
from checker.source.table import TABLE


@dataclass(slots=True)
class Named:
    """A patch and where it came from."""

    name: str
    files: list[FilePatch]
    mail: Mail = field(default_factory=Mail)
    n: int = 1
    of: int = 1

    @property
    def label(self) -> str:
        """Which it is of its series."""
        return f"patch {self.n}/{self.of}"

    @property
    def content(self) -> tuple[object, ...]:
        """What it does: equal for equal patches, wherever they stand."""
        return tuple((f.path, f.old_path, tuple((h.old, h.new, h.lines) for h in f.hunks)) for f in self.files)


@dataclass(slots=True)
class Series:
    """Patches in the order in which they are applied."""

    patches: list[Named]
    head: Mail
    """The mail that an answer to all of them is for: the cover letter, or else the first patch."""
    aside: list[str] = field(default_factory=list)
    """Mails without a patch, or in answer to one, that are not judged."""


def read_series(inputs: Iterable[tuple[str, str]]) -> Series:
    """Read a series from files, each a name and a text. Files are taken in the order given; the mails of an mbox by
    n/N where all of their subjects have it, else as they stand. Raises BadPatch, in one line, for a file without a
    patch, a patch that is there twice, and a mail of the series that has no diff."""
    series = Series([], Mail())
    first = ""
    for name, text in inputs:
        first = first or name
        series.patches += _read_file(name, mails_of(text), series)
    if not series.patches:
        raise BadPatch(f"{first}: not a patch: it has no unified diff")
    _refuse_doubles(series.patches)
    _number(series.patches)
    series.head = series.head if series.head.text else series.patches[0].mail
    return series


def _read_file(name: str, mails: list[Mail], series: Series) -> list[Named]:
    """The patches of a file, in order. What else it has is noted in the series. Raises BadPatch."""
    found: list[Named] = []
    for mail in mails:
        files = [] if mail.is_reply and len(mails) > 1 else read_diffs(mail.text, name, mail.first)
        n, of = mail.number or (0, 0)
        if files:
            found.append(Named(name, files, mail))
        elif n and not mail.is_reply:
            raise BadPatch(f"{name}:{mail.first}: patch {n}/{of} has no unified diff (is the mail encoded?)")
        elif of and not mail.is_reply:
            series.head = series.head if series.head.text else mail
        elif mail.subject:
            what = "an answer" if mail.is_reply else "a mail without a diff"
            series.aside.append(f"{name}:{mail.first}: {mail.subject}: {what}")
        elif len(mails) == 1:
            raise BadPatch(f"{name}: not a patch: it has no unified diff")
    numbers = [p.mail.number for p in found]
    if all(numbers) and len({number[1] for number in numbers if number}) == 1:
        found.sort(key=lambda p: p.mail.number or (0, 0))
    return found


def _refuse_doubles(patches: Sequence[Named]) -> None:
    known: dict[tuple[object, ...], Named] = {}
    for patch in patches:
        other = known.setdefault(patch.content, patch)
        if other is not patch:
            first, second = (f"{p.name}:{p.mail.first}" for p in (other, patch))
            raise BadPatch(f"{second}: the same patch as {first}")


def _number(patches: Sequence[Named]) -> None:
    """Give each its number: those of the subjects if they are of one series and in order, else its place."""
    said = [patch.mail.number for patch in patches]
    numbers = [number for number in said if number is not None]
    firsts = [n for n, _ in numbers]
    if len(numbers) != len(said) or len({of for _, of in numbers}) != 1 or firsts != sorted(set(firsts)):
        numbers = [(n, len(patches)) for n in range(1, len(patches) + 1)]
    for patch, (n, of) in zip(patches, numbers, strict=True):
        patch.n, patch.of = n, of


def sides_of_pieces(patches: Sequence[Named], config: Config) -> tuple[Source, Source]:
    """What the patches show of files by themselves: functions that stand whole in a hunk."""
    before: dict[str, list[Piece] | None] = {}
    after: dict[str, list[Piece] | None] = {}
    created: dict[str, Text | None] = {}
    for patch in patches:
        for file in patch.files:
            if file.created or file.path in created:
                created[file.path] = text = apply(None if file.created else created[file.path], file)
                after[file.path] = _pieces(text)
                before.setdefault(file.path, None)
                continue
            old = (Piece("\n".join(h.before()), max(h.old, 1)) for h in file.hunks)
            new = (
                Piece("\n".join(h.after()), max(h.new, 1), tuple(h.origins(file.name, [None] * len(h.lines))))
                for h in file.hunks
            )
            before[file.path] = [*(before.get(file.path) or []), *old]
            after[file.path] = [*(after.get(file.path) or []), *new]
    table = frozenset(TABLE)
    return Source(config, None, before, table), Source(config, None, after, table)


def _pieces(text: Text | None) -> list[Piece] | None:
    """A whole file; None: there is none."""
    return None if text is None else [Piece("\n".join(text.lines), 1, tuple(text.origins))]


def steps_of_tree(patches: Sequence[Named], tree: Path, config: Config) -> list[Source]:
    """A tree, and the tree after each of the patches. Raises BadPatch where one does not apply."""
    table = frozenset(TABLE)
    steps = [Source(config, tree, {}, table)]
    changed: dict[str, Text | None] = {}

    def text_of(path: str) -> Text | None:
        if path in changed:
            return changed[path]
        pieces = steps[0].read_file(path)
        return None if pieces is None else Text.of(pieces[0].text)

    for patch in patches:
        for file in patch.files:
            if file.binary:
                continue
            try:
                text = apply(text_of(file.path if file.created else file.old_path), file)
            except BadPatch as error:
                raise BadPatch(f"{error} ({patch.label})" if len(patches) > 1 else str(error)) from None
            if file.old_path != file.path and not file.created:
                changed[file.old_path] = None
            changed[file.path] = text
        steps.append(Source(config, tree, {path: _pieces(text) for path, text in changed.items()}, table))
    return steps
