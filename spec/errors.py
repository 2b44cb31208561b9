# SPDX-License-Identifier: MIT
"""The errno values that the modelled calls return, and why a call ended."""

from __future__ import annotations

from enum import IntEnum


class Errno(IntEnum):
    """Linux errno numbers (asm-generic)."""

    OK = 0
    EPERM = 1
    EIO = 5
    EBADF = 9
    EAGAIN = 11
    ENOMEM = 12
    EACCES = 13
    EFAULT = 14
    EEXIST = 17
    ENODEV = 19
    EINVAL = 22
    ENOSPC = 28
    ENOSYS = 38
    EOVERFLOW = 75
    EOPNOTSUPP = 95
