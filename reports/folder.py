# SPDX-License-Identifier: MIT
"""A folder that a command makes (a report, a certificate): written beside its place, then put there whole."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checker.output import check_folder_for_files
from checker.signals import held
from checker.temporary import temporary_folder
from reports.cli_common import BadUsage, printable

MARK: Final = ".sealspec-report"
"""The file by which a folder is known to be a report, so that the next one may replace it."""
FORMAT: Final = "mseal-spec/report/1\n"
AT_FDCWD: Final = -100
RENAME_EXCHANGE: Final = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """What a folder holds, and the file by which it is known, so that the next one may replace it."""

    words: str
    mark: str
    format: str


REPORT: Final = Kind("a report", MARK, FORMAT)
CERTIFICATE: Final = Kind("a certificate", ".sealspec-certificate", "mseal-spec/certificate/1\n")


def check_folder(given: str, inputs: Sequence[str] = (), kind: Kind = REPORT) -> Path:
    """Where a report (or another kind of folder) may be written: a name that is free, an empty folder, or one of this
    kind. Raises BadUsage for others, and for one that holds a file that is read: what is in it now is replaced."""
    path, name = Path(given), printable(given)
    if not given:
        raise BadUsage("--out: the name is empty")
    if os.path.islink(os.path.realpath(path)):
        raise BadUsage(f"--out {name}: cannot be written: {os.strerror(errno.ELOOP)}")
    if not path.resolve().name:
        raise BadUsage(f"--out {name}: give the name of a folder below this one")
    try:
        if path.is_dir():
            if any(path.iterdir()) and not is_of_kind(path, kind):
                told = f"this folder is not {kind.words}, and is left alone; give another name"
                raise BadUsage(f"--out {name}: {told}")
        elif path.exists() or path.is_symlink():
            raise BadUsage(f"--out {name}: this is no folder; give another name")
        elif not path.resolve().parent.is_dir():
            raise BadUsage(f"--out {name}: there is no folder {printable(str(path.parent))} to write it in")
        if path.is_mount():
            raise BadUsage(f"--out {name}: this folder is mounted, and cannot be replaced; give a name below it")
        if path.resolve() in (Path.cwd(), *Path.cwd().parents):
            raise BadUsage(f"--out {name}: this is the folder that you are in; give the name of another one")
        for read in map(Path, inputs):
            if path.resolve() in read.resolve().parents:
                raise BadUsage(f"--out {name}: {printable(str(read))} is in it, and is read; give another name")
    except OSError as error:
        raise BadUsage(f"--out {name}: cannot be read: {error.strerror or error}") from None
    try:
        check_folder_for_files(str(path.resolve().parent))
    except OSError as error:
        raise BadUsage(f"--out {name}: cannot be written: {error.strerror or error}") from None
    return path.resolve()


def is_of_kind(path: Path, kind: Kind) -> bool:
    """The folder was written by `write_folder`."""
    mark = path / kind.mark
    return mark.is_file() and mark.read_bytes()[: len(kind.format)] == kind.format.encode()


def write_folder(target: Path, files: Iterable[tuple[str, str]], kind: Kind = REPORT) -> int:
    """Write files (paths with slashes, texts) as a folder, in place of the report or empty folder that is there now.
    Returns how many there are. Raises BadUsage where that cannot be; then what was there is as it was."""
    try:
        with temporary_folder(target.parent) as work:
            made = work / "new"
            made.mkdir()
            count = _write(made, files, kind)
            _put(made, target)
    except OSError as error:
        raise BadUsage(f"--out: cannot be written: {error.strerror or error}") from None
    return count


def _write(folder: Path, files: Iterable[tuple[str, str]], kind: Kind) -> int:
    count, known = 0, {folder}
    (folder / kind.mark).write_text(kind.format, encoding="utf-8")
    for name, text in files:
        path = folder / name
        if path.parent not in known:
            path.parent.mkdir(parents=True, exist_ok=True)
            known.add(path.parent)
        path.write_text(text, encoding="utf-8", newline="\n")
        count += 1
    mask = os.umask(0o077)  # there is no way to read it without setting it
    os.umask(mask)
    folder.chmod(0o777 & ~mask)
    return count


def _put(made: Path, target: Path) -> None:
    """Rename the new folder to its place. A folder that is not empty cannot be renamed over: the two change places, or
    where the file system cannot do that the old report steps aside, and back if the new one cannot take its place."""
    old = made.with_name("old")
    with held():
        if target.exists():
            if _exchange(made, target):
                return
            os.replace(target, old)
        try:
            os.replace(made, target)
        except OSError:
            if old.exists():
                os.replace(old, target)
            raise


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places, at once. False where that cannot be."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:  # a C library that does not have it
        return False
    names = (AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other))
    return bool(rename(*names, ctypes.c_uint(RENAME_EXCHANGE)) == 0)
