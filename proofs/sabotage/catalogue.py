# SPDX-License-Identifier: MIT
"""The catalogue of sabotage: one TOML file a room, one entry an error."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from proofs.sabotage.guards import Guard

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
"""The source that the catalogue speaks of."""


class Sabotage(BaseModel):
    """An error: in a file, where the anchor stands, the replacement stands instead."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    error: str
    """The error in words."""
    file: str
    anchor: str
    """A text that occurs exactly once in the file."""
    replacement: str
    guard: Guard
    slow: bool = False
    """The guard takes more than some seconds: no sample draws it."""
    room: str = ""
    """The name of the file of the catalogue."""

    def applied(self, text: str) -> str:
        """The text of the file with the error. Raises ValueError if the anchor does not occur exactly once."""
        count = text.count(self.anchor)
        if count != 1:
            raise ValueError(f"{self.file}: the anchor occurs {count} times")
        return text.replace(self.anchor, self.replacement)


class BadCatalogue(Exception):
    """The catalogue cannot be read."""


def read(folder: Path = FOLDER) -> list[Sabotage]:
    """All entries, by room and in order. Raises BadCatalogue with one line."""
    found: list[Sabotage] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            entries = tomllib.loads(path.read_text("utf-8")).get("sabotage", [])
            found += [Sabotage(**entry, room=path.stem) for entry in entries]
        except (OSError, tomllib.TOMLDecodeError) as wrong:
            raise BadCatalogue(f"{path.name}: {wrong}") from None
        except ValidationError as wrong:
            first = wrong.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BadCatalogue(f"{path.name}: {place}: {first['msg']}") from None
    return found


def problems(entries: Sequence[Sabotage], root: Path = ROOT) -> Iterator[str]:
    """What is stale: an anchor that does not occur exactly once, a replacement that is no program, two entries of one
    name, a guard whose target is not there. The guards are asked in the current folder."""
    names: set[tuple[str, str]] = set()
    for entry in entries:
        where = f"{entry.room}: {entry.error}"
        if (entry.room, entry.error) in names:
            yield f"{where}: there are two of this name"
        names.add((entry.room, entry.error))
        try:
            compile(entry.applied((root / entry.file).read_text("utf-8")), entry.file, "exec")
        except (OSError, ValueError, SyntaxError) as wrong:
            yield f"{where}: {wrong}"
        if entry.anchor == entry.replacement:
            yield f"{where}: nothing is replaced"
        yield from (f"{where}: guard: {what}" for what in entry.guard.missing())
