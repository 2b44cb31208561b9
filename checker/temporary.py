# SPDX-License-Identifier: MIT
"""Files and folders for a moment. What a killed process leaves of them is removed by the next that makes some there.

Each is locked by the process that made it, for as long as that lives: one that nobody has locked is left over.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Final

from checker.signals import held

PREFIX: Final = ".sealspec-tmp-"
_NAME: Final = re.compile(re.escape(PREFIX) + r"[a-z0-9_]{8}")
_NO_UNNAMED: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)
"""What a file system says that cannot make a file without a name."""


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes of this user left in a folder; what cannot be removed stays."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in [entry for entry in entries if _NAME.fullmatch(entry.name)]:
            with suppress(OSError):
                _remove_if_left(entry.path)


def _remove_if_left(path: str) -> None:
    found = os.lstat(path)
    if found.st_uid != os.geteuid() or not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where somebody has it
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    finally:
        os.close(number)


def _lock(number: int, path: str) -> bool:
    """Lock what was just made. False if it was swept before that."""
    with suppress(OSError):  # a file system without locks: nothing is swept there
        fcntl.flock(number, fcntl.LOCK_EX)
    with suppress(OSError):
        return os.path.samestat(os.fstat(number), os.lstat(path))
    return False


@dataclass(slots=True)
class File:
    """A file that is written and then gets a name, or none."""

    number: int
    """Its descriptor, open for writing."""
    folder: str
    path: str
    """Its name for the moment; empty if it has none."""

    def rename(self, path: str) -> None:
        """Give it its name, in place of what has that now. Raises OSError."""
        if not self.path:
            with suppress(FileExistsError):
                self._link(path)
                return
            self.path = _free_name(self.folder)
            self._link(self.path)
        os.replace(self.path, path)
        self.path = ""

    def _link(self, path: str) -> None:
        folder = os.open(self.folder, os.O_PATH)
        try:
            # with a descriptor Python calls linkat(2), which follows the link in /proc
            os.link(f"/proc/self/fd/{self.number}", os.path.basename(path), dst_dir_fd=folder)
        finally:
            os.close(folder)


@contextmanager
def temporary_file(folder: str) -> Iterator[File]:
    """A file in a folder, without a name where the file system can do that; removed at the end unless it was given one.
    Raises OSError. No signal breaks anything off meanwhile: it must be short."""
    with held():
        sweep(folder)
        file = _unnamed(folder) or _named(folder)
        try:
            yield file
        finally:
            os.close(file.number)
            if file.path:
                with suppress(FileNotFoundError):
                    os.unlink(file.path)


def _unnamed(folder: str) -> File | None:
    if not os.path.exists("/proc/self/fd"):  # no way to name it later
        return None
    try:
        number = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except OSError as error:
        if error.errno in _NO_UNNAMED:
            return None
        raise
    with suppress(OSError):
        fcntl.flock(number, fcntl.LOCK_EX)
    return File(number, folder, "")


def _named(folder: str) -> File:
    while True:
        number, path = tempfile.mkstemp(dir=folder, prefix=PREFIX)
        if _lock(number, path):
            return File(number, folder, path)
        os.close(number)


def _free_name(folder: str) -> str:
    return tempfile.mktemp(dir=folder, prefix=PREFIX)


_folders: dict[str, int] = {}
"""The folders that this process has made and not removed, with the descriptors that lock them."""


def make_folder(where: str | os.PathLike[str] | None = None) -> Path:
    """Return a new folder that is removed when this process ends; `where`: None is the folder for temporary files.
    Raises OSError."""
    where = tempfile.gettempdir() if where is None else where
    with held():
        sweep(where)
        while True:
            path = tempfile.mkdtemp(dir=where, prefix=PREFIX)
            number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            if _lock(number, path):
                _folders[path] = number
                return Path(path)
            os.close(number)


def remove_folder(path: Path) -> None:
    """Remove such a folder, if it is there still."""
    with held():
        shutil.rmtree(path, ignore_errors=True)
        if (number := _folders.pop(str(path), None)) is not None:
            os.close(number)


@contextmanager
def temporary_folder(where: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """A folder that is removed at the end of the block."""
    folder = make_folder(where)
    try:
        yield folder
    finally:
        remove_folder(folder)


def remove_folders() -> None:
    """Remove all folders that are left at the end of this process."""
    for path in list(_folders):
        remove_folder(Path(path))


Finalize(None, remove_folders, exitpriority=-200)  # after what multiprocessing itself made in them (-100)
