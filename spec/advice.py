# SPDX-License-Identifier: MIT
"""The advice values of madvise, and which of them a kernel knows: what calls and properties share."""

from __future__ import annotations

from spec.editions import Edition, System

ADVICE = {
    "MADV_NORMAL": 0,
    "MADV_RANDOM": 1,
    "MADV_SEQUENTIAL": 2,
    "MADV_WILLNEED": 3,
    "MADV_DONTNEED": 4,
    "MADV_FREE": 8,
    "MADV_REMOVE": 9,
    "MADV_DONTFORK": 10,
    "MADV_DOFORK": 11,
    "MADV_MERGEABLE": 12,
    "MADV_UNMERGEABLE": 13,
    "MADV_HUGEPAGE": 14,
    "MADV_NOHUGEPAGE": 15,
    "MADV_DONTDUMP": 16,
    "MADV_DODUMP": 17,
    "MADV_WIPEONFORK": 18,
    "MADV_KEEPONFORK": 19,
    "MADV_COLD": 20,
    "MADV_PAGEOUT": 21,
    "MADV_POPULATE_READ": 22,
    "MADV_POPULATE_WRITE": 23,
    "MADV_DONTNEED_LOCKED": 24,
    "MADV_COLLAPSE": 25,
    "MADV_HWPOISON": 100,
    "MADV_SOFT_OFFLINE": 101,
    "MADV_GUARD_INSTALL": 102,
    "MADV_GUARD_REMOVE": 103,
}
"""Behaviour values (asm-generic mman-common.h)."""

(NORMAL, RANDOM, SEQUENTIAL, WILLNEED) = (0, 1, 2, 3)
(DONTNEED, FREE, REMOVE, DONTFORK, DOFORK, WIPEONFORK, KEEPONFORK) = (4, 8, 9, 10, 11, 18, 19)
(MERGEABLE, UNMERGEABLE, HUGEPAGE, NOHUGEPAGE, DONTDUMP, DODUMP) = (12, 13, 14, 15, 16, 17)
(COLD, PAGEOUT, POPULATE_READ, POPULATE_WRITE, DONTNEED_LOCKED, COLLAPSE) = (20, 21, 22, 23, 24, 25)
(HWPOISON, SOFT_OFFLINE, GUARD_INSTALL, GUARD_REMOVE) = (100, 101, 102, 103)

DISCARDING = (DONTNEED, FREE, REMOVE, DONTFORK, WIPEONFORK, DONTNEED_LOCKED)
"""What the patch means to block on sealed read-only anonymous memory (is_madv_discard)."""


INHERITANCE = (DONTFORK, DOFORK, WIPEONFORK, KEEPONFORK)
"""What OpenBSD's minherit(2) says of a range, in madvise's words: MAP_INHERIT_NONE is DONTFORK, MAP_INHERIT_ZERO is
WIPEONFORK, MAP_INHERIT_COPY undoes them."""


def known_advice(edition: Edition) -> list[int]:
    """The values that this kernel knows (madvise_behavior_valid; OpenBSD: sys_madvise, and minherit's values)."""
    if edition.system is System.OPENBSD:
        return [NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, *INHERITANCE]
    left_out: tuple[int, ...] = () if edition.guard_pages else (GUARD_INSTALL, GUARD_REMOVE)
    if not edition.memory_failure:
        left_out += (HWPOISON, SOFT_OFFLINE)
    if not edition.transparent_huge_pages:
        left_out += (HUGEPAGE, NOHUGEPAGE, COLLAPSE)
    if not edition.same_page_merging:
        left_out += (MERGEABLE, UNMERGEABLE)
    return [n for n in ADVICE.values() if n not in left_out]
