# SPDX-License-Identifier: MIT
"""The mmap lock: it is taken once, released by whom it is held, and held for writing where something is changed."""

from __future__ import annotations

from typing import Any

from checker.source.errors import Fault
from checker.source.table import assumed
from checker.source.values import word

_SOURCE = "include/linux/mmap_lock.h"


def _take(m: Any, how: str) -> None:
    if m.lock:
        raise Fault("the mmap lock is taken twice")
    m.lock = how


@assumed("mmap_write_lock", says="takes the lock for writing", source=_SOURCE, looks=False)
def write_lock(m: Any, mm: Any) -> None:
    _take(m, "write")


@assumed("mmap_read_lock", says="takes the lock for reading", source=_SOURCE, looks=False)
def read_lock(m: Any, mm: Any) -> None:
    _take(m, "read")


def _killable(m: Any, how: str) -> Any:
    if m.space is not None and m.space.killed:
        m.killed = True
        return word(-4)
    _take(m, how)
    return word(0)


@assumed("mmap_write_lock_killable", says="as mmap_write_lock, or EINTR if killed", source=_SOURCE, looks=False)
def write_lock_killable(m: Any, mm: Any) -> Any:
    return _killable(m, "write")


@assumed("mmap_read_lock_killable", says="as mmap_read_lock, or EINTR if killed", source=_SOURCE, looks=False)
def read_lock_killable(m: Any, mm: Any) -> Any:
    return _killable(m, "read")


@assumed("mmap_write_unlock", says="releases the lock", source=_SOURCE, looks=False)
def write_unlock(m: Any, mm: Any) -> None:
    if m.lock != "write":
        raise Fault("the mmap lock is released for writing, and is not held so")
    m.lock = ""


@assumed("mmap_read_unlock", says="releases the lock", source=_SOURCE, looks=False)
def read_unlock(m: Any, mm: Any) -> None:
    if m.lock != "read":
        raise Fault("the mmap lock is released for reading, and is not held so")
    m.lock = ""


@assumed("mmap_write_downgrade", says="goes on with the lock held for reading", source=_SOURCE, looks=False)
def write_downgrade(m: Any, mm: Any) -> None:
    if m.lock != "write":
        raise Fault("the mmap lock is downgraded, and is not held for writing")
    m.lock = "read"
