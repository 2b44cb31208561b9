# SPDX-License-Identifier: MIT
"""Where written text goes: a file that is replaced whole, or whatever else a name leads to.

A name may lead over symbolic links, which stay. A regular file is replaced by one that is written beside it, so that a
reader sees the old text or the new one, never a part; where that cannot be (its folder is read-only, it has a second
name) it is written in place, and what it held is put back if that fails. A device, a pipe or an open descriptor
(`/dev/stdout`, `/dev/fd/3`, the shell's `>(command)`) is written to.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checker.signals import held
from checker.temporary import temporary_file

MAX_LINKS: Final = 40
"""As the kernel follows."""
KERNEL_FOLDERS: Final = ("/proc/", "/sys/")
"""What looks like regular files there is not: to write to one is to give the kernel a command."""
CANNOT_REPLACE: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)
"""Why a file that can be written may not be replaced: its folder is read-only, its owner another, it is mounted."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name leads."""

    path: str
    """Absolute, without symbolic links."""
    descriptor: int | None = None
    """The descriptor of this process that it stands for."""

    @property
    def identity(self) -> object:
        """What two names of one place have in common."""
        try:
            found = os.stat(self.path) if self.descriptor is None else os.fstat(self.descriptor)
        except OSError:
            return self.path
        return (found.st_dev, found.st_ino)


def place_of(name: str | os.PathLike[str]) -> Place:
    """Return where a name leads; nothing need be there. Raises OSError."""
    path = os.fspath(name)
    own = os.path.realpath("/proc/self").rpartition("/")[2]
    for _ in range(MAX_LINKS):
        folder, last = os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path)
        path = os.path.join(folder, last)
        process = re.fullmatch(r"/proc/(\d+)(?:/task/\d+)?/fd", folder)
        if process and last.isdecimal():  # such a link may lead to what has no name; it is opened as it stands
            return Place(path, int(last) if process[1] == own else None)
        if not os.path.islink(path):
            return Place(path)
        path = os.path.join(folder, os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(name))


def check_place(name: str | os.PathLike[str]) -> Place:
    """Return where a name leads, as far as can be known a place that can be written to. Raises OSError; nothing is
    changed."""
    if not os.fspath(name):
        raise OSError(errno.ENOENT, "the name is empty")
    place = place_of(name)
    if place.descriptor is not None:
        _check_descriptor(place.descriptor)
        return place
    try:
        mode = os.stat(place.path).st_mode
    except FileNotFoundError:
        _check_folder(os.path.dirname(place.path))
        return place
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "it is a folder")
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise OSError(errno.EINVAL, f"it is a {'disk' if stat.S_ISBLK(mode) else 'socket'}")
    if stat.S_ISREG(mode) and _is_kernels(place):
        raise OSError(errno.EPERM, "it is a file of the kernel's")
    if not os.access(place.path, os.W_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if stat.S_ISCHR(mode):
        number = os.open(place.path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            os.write(number, b"")
        finally:
            os.close(number)
    return place


def _is_kernels(place: Place) -> bool:
    return place.path.startswith(KERNEL_FOLDERS) and not re.search(r"/fd/\d+$", place.path)


def _check_descriptor(number: int) -> None:
    try:
        access = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError:
        raise OSError(errno.EBADF, "this descriptor is not open") from None
    if access == os.O_RDONLY:
        raise OSError(errno.EBADF, "this descriptor is open for reading only")
    if stat.S_ISCHR(os.fstat(number).st_mode):
        os.write(number, b"")  # /dev/full says so at once


def _check_folder(folder: str) -> None:
    """A file can be made in the folder."""
    if not os.path.isdir(folder):
        raise OSError(errno.ENOENT, f"there is no folder {folder}")
    try:
        with temporary_file(folder):
            pass
    except OSError as error:
        reason = os.strerror(errno.EACCES) if folder.startswith(("/proc", "/sys")) else error.strerror
        raise OSError(error.errno, f"no file can be made in {folder}: {reason}") from None


def check_folder_for_files(name: str) -> None:
    """A folder of this name is there or can be made, and files in it. Raises OSError; nothing is changed."""
    if not name:
        raise OSError(errno.ENOENT, "the name is empty")
    path = Path(os.path.realpath(name))
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if path.exists() and not path.is_dir():
        raise OSError(errno.ENOTDIR, "it is no folder")
    while not path.exists():
        path = path.parent
    _check_folder(str(path))


def write_text(name: str | os.PathLike[str], text: str) -> None:
    """Write text (UTF-8) to where a name leads. Raises OSError; then a regular file is as it was, and nothing is left
    beside it."""
    data, place = text.encode("utf-8"), place_of(name)
    if place.descriptor is not None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()  # what was printed before comes before
        _write_all(place.descriptor, data)
        return
    try:
        found = os.stat(place.path)
    except FileNotFoundError:
        _replace(place.path, data, None)
        return
    if not stat.S_ISREG(found.st_mode) or place.path.startswith("/proc/"):
        number = os.open(place.path, os.O_WRONLY | os.O_NOCTTY | os.O_APPEND)
        try:
            _write_all(number, data)
        finally:
            os.close(number)
    elif found.st_nlink > 1:
        _overwrite(place.path, data)
    else:
        try:
            _replace(place.path, data, found)
        except OSError as error:
            if error.errno not in CANNOT_REPLACE:
                raise
            _overwrite(place.path, data)


def _write_all(number: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(number, left) :]


def _replace(path: str, data: bytes, found: os.stat_result | None) -> None:
    """Write a file beside its place, with the mode and owner of the one that is there, and rename it."""
    with temporary_file(os.path.dirname(path)) as file:
        _write_all(file.number, data)
        if found is not None and (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(file.number, found.st_uid, found.st_gid)
        os.fchmod(file.number, stat.S_IMODE(found.st_mode) if found is not None else 0o666 & ~_umask())
        os.fsync(file.number)
        file.rename(path)


def _umask() -> int:
    mask = os.umask(0o077)  # there is no way to read it without setting it
    os.umask(mask)
    return mask


def _overwrite(path: str, data: bytes) -> None:
    """Write a file in place. Its room is taken first, and what it held is put back if it cannot be written."""
    with held():
        _overwrite_whole(path, data)


def _overwrite_whole(path: str, data: bytes) -> None:
    number = os.open(path, os.O_RDWR)
    try:
        before = os.pread(number, os.fstat(number).st_size, 0)
        try:
            if len(data) > len(before):
                os.posix_fallocate(number, 0, len(data))
            _write_all(number, data)
            os.ftruncate(number, len(data))
            os.fsync(number)
        except BaseException:
            os.lseek(number, 0, os.SEEK_SET)
            os.ftruncate(number, len(before))
            _write_all(number, before)
            raise
    finally:
        os.close(number)
