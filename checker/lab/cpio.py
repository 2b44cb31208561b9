# SPDX-License-Identifier: MIT
"""Writes the initial file system of a guest: a cpio archive in "newc" form.

Source of the form: Documentation/driver-api/early-userspace/buffer-format.rst of the
Linux kernel.  Every header is 110 bytes of ASCII: the magic ``070701`` and thirteen
numbers of eight hexadecimal digits; the name ends with a zero byte; header and name
together, and then the data, are padded with zero bytes to a multiple of four.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping

TRAILER = "TRAILER!!!"
"""The name of the last member, which is empty."""


def entry(name: str, mode: int, inode: int, data: bytes, device: tuple[int, int] = (0, 0), mtime: int = 0) -> bytes:
    """Return one archive member; ``mode`` has type and permission bits, as in stat. What a symbolic link points at is
    its data."""
    encoded = name.encode("utf-8") + b"\0"
    major, minor = device
    fields = (inode, mode, 0, 0, 1, mtime, len(data), 0, 0, major, minor, len(encoded), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    head = header + encoded
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def archive(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Return an initramfs with ``files``, each a path mapped to (permissions, content).

    Paths are relative, without a leading slash; permissions are octal mode bits without
    the type.  A directory ``dev`` with ``dev/console`` (character device 5:1) is always
    there, because the kernel opens it for process 1 before anything is mounted.
    Times and owners are zero, so equal inputs give equal bytes.
    """
    parts = [
        entry("dev", stat.S_IFDIR | 0o755, 1, b""),
        entry("dev/console", stat.S_IFCHR | 0o600, 2, b"", (5, 1)),
    ]
    for number, (path, (permissions, content)) in enumerate(files.items(), start=3):
        parts.append(entry(path, stat.S_IFREG | permissions, number, content))
    parts.append(entry(TRAILER, 0, 0, b""))
    body = b"".join(parts)
    return body + b"\0" * (-len(body) % 512)
