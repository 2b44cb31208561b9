# SPDX-License-Identifier: MIT
"""The files that a command is to write: looked at before the work, written after it."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from checker.documents.files import dump_document
from checker.output import Place, check_folder_for_files, check_place, place_of, write_text
from checker.version import stamped, tool
from reports.cli_common import BadUsage, printable

if TYPE_CHECKING:
    from pydantic import BaseModel

STANDARD_OUTPUT = 1


class Outputs:
    """What a command writes, by the option that asks for it; an option that was not given has None."""

    def __init__(
        self,
        files: Mapping[str, str | None],
        *,
        folders: Mapping[str, str | None] | None = None,
        inputs: Iterable[str | None] = (),
    ) -> None:
        """Raises BadUsage for a file that cannot be written, for two options that name the same one, and for one that
        the command reads. `folders` are those in which the command makes files of its own; `inputs` may have None."""
        self.files = {option: name for option, name in files.items() if name is not None}
        self.written: list[str] = []
        reserved = _reserved(inputs)
        taken: dict[object, str] = {}
        for option, name in (folders or {}).items():
            if name is not None:
                taken[os.path.realpath(name)] = option
                try:
                    check_folder_for_files(name)
                except OSError as error:
                    raise _cannot(option, name, error) from None
        for option, name in self.files.items():
            place = _place(option, name)
            if place.descriptor is None and place.identity in reserved:
                raise BadUsage(f"{option} {printable(name)}: {reserved[place.identity]}; name another file")
            if place.descriptor == STANDARD_OUTPUT:
                self.files[option] = "-"
            other = taken.setdefault(place.identity, option)
            if other != option and place.path != os.devnull:
                what = "standard output" if self.files[option] == "-" else printable(name)
                raise BadUsage(f"{other} and {option} both lead to {what}: give each a place of its own")

    @property
    def standard(self) -> bool:
        """One of them goes to standard output, which is then no place for anything else."""
        return "-" in self.files.values()

    def write(self, option: str, text: str) -> None:
        """Write what an option asks for, if it was given. Raises BadUsage; then a file is as it was."""
        name = self.files.get(option)
        if name is None:
            return
        try:
            if name == "-":
                sys.stdout.write(text)
                sys.stdout.flush()
            else:
                write_text(name, text)
        except BrokenPipeError:
            raise  # the reader has gone: the command ends as if by SIGPIPE
        except OSError as error:
            left = [f"{o} {printable(n)}" for o, n in self.files.items() if o != option and o not in self.written]
            raise _cannot(
                option, name, error, [f"{o} {printable(self.files[o])}" for o in self.written], left
            ) from None
        self.written.append(option)

    def write_document(self, option: str, document: BaseModel) -> None:
        """Write a document as JSON, if the option was given. Raises BadUsage."""
        if option in self.files:
            self.write(option, dump_document(stamped(document)))

    def write_data(self, option: str, form: str, data: Mapping[str, object]) -> None:
        """Write what has no model as JSON, if the option was given. Raises BadUsage."""
        if option in self.files:
            whole = {"format": form, "tool": tool().model_dump(), **data}
            self.write(option, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")


def _cannot(option: str, name: str, error: OSError, written: Iterable[str] = (), left: Iterable[str] = ()) -> BadUsage:
    told = f"{option} {printable(name) or repr(name)}: cannot be written: {error.strerror or error}"
    if done := ", ".join(written):
        told += f"; {done} was written"
    if missing := ", ".join(left):
        told += f"; nor is {missing}"
    return BadUsage(told)


def _reserved(names: Iterable[str | None]) -> dict[object, str]:
    """Regular files that are no place for an output, and why."""
    found: dict[object, str] = {}
    for number, stream in ((1, "standard output"), (2, "standard error")):
        if stat.S_ISREG(os.fstat(number).st_mode):
            found[Place("", number).identity] = f"{stream} goes there"
    for name in names:
        path = "/dev/stdin" if name == "-" else name
        if path is not None and os.path.isfile(path):
            found[place_of(path).identity] = "the command reads it"
    return found


def _place(option: str, name: str) -> Place:
    """Return where an option leads. Raises BadUsage."""
    try:
        return Place("standard output", STANDARD_OUTPUT) if name == "-" else check_place(name)
    except OSError as error:
        raise _cannot(option, name, error) from None
