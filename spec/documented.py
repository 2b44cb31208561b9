# SPDX-License-Identifier: MIT
"""The errors that the manual pages document for wrong arguments, stated over unlimited integers.

Independent of the argument stages in spec/syscalls: no rounding trick, no wrap-around, just the sizes as they are. That
the argument stage of a call gives these errors, and only these, is proved in bit vectors (proofs/lemmas/).
"""

from __future__ import annotations

from collections.abc import Callable

import z3

from spec.advice import known_advice
from spec.editions import Edition, Remap, System
from spec.errors import Errno
from spec.words import HUGE_PAGE_SIZE, PAGE_SIZE, TASK_SIZE

Wide = z3.BitVecRef
WIDTH = 72
"""Bits: sums of three 64-bit words, and rounding up, never wrap around."""


def wide(word: z3.BitVecRef) -> Wide:
    """A word as an unlimited integer."""
    return z3.ZeroExt(WIDTH - 64, word)


def rounded(word: z3.BitVecRef, size: int = PAGE_SIZE) -> Wide:
    """The smallest multiple of the size of a page that is not below the word."""
    page = z3.BitVecVal(size, WIDTH)
    return z3.UDiv(wide(word) + page - 1, page) * page


def _number(value: int) -> Wide:
    return z3.BitVecVal(value, WIDTH)


def _unaligned(word: z3.BitVecRef) -> z3.BoolRef:
    return z3.URem(wide(word), _number(PAGE_SIZE)) != 0


SPACE = 1 << 64
"""Bytes that an address can name."""


def _wraps(w: dict[str, z3.BitVecRef]) -> z3.BoolRef:
    """The bytes [addr, addr + len), widened to whole pages, reach the end of what an address can name (OpenBSD)."""
    page = _number(PAGE_SIZE)
    inside = z3.URem(wide(w["addr"]), page)
    size = z3.UDiv(inside + wide(w["len"]) + page - 1, page) * page
    return z3.And(size != 0, z3.UGE(wide(w["addr"]) - inside + size, _number(SPACE)))


def _mseal(w: dict[str, z3.BitVecRef], edition: Edition) -> dict[Errno, z3.BoolRef]:
    if edition.system is System.OPENBSD:
        return {Errno.EINVAL: _wraps(w)}
    overflow = z3.UGE(wide(w["addr"]) + rounded(w["len"]), _number(SPACE))
    return {Errno.EINVAL: z3.Or(w["flags"] != 0, _unaligned(w["addr"]), z3.And(w["len"] != 0, overflow))}


def _munmap(w: dict[str, z3.BitVecRef], edition: Edition) -> dict[Errno, z3.BoolRef]:
    beyond = z3.UGT(wide(w["addr"]) + wide(w["len"]), _number(TASK_SIZE))
    if edition.system is System.OPENBSD:
        something = z3.Or(w["len"] != 0, _unaligned(w["addr"]))
        return {Errno.EINVAL: z3.And(something, beyond)}
    return {Errno.EINVAL: z3.Or(_unaligned(w["addr"]), w["len"] == 0, beyond)}


def _mprotect(w: dict[str, z3.BitVecRef], edition: Edition) -> dict[Errno, z3.BoolRef]:
    if edition.system is System.OPENBSD:
        return {Errno.EINVAL: z3.Or(_wraps(w), z3.Extract(31, 3, w["prot"]) != 0)}
    known = 1 | 2 | 4 | 8 | 0x0100_0000 | 0x0200_0000
    both = z3.And(w["prot"] & 0x0100_0000 != 0, w["prot"] & 0x0200_0000 != 0)
    overflow = z3.UGE(wide(w["addr"]) + rounded(w["len"]), _number(SPACE))
    early = z3.Or(both, _unaligned(w["addr"]))
    something = w["len"] != 0
    unknown = w["prot"] & ~z3.BitVecVal(known, 64) != 0
    return {
        Errno.EINVAL: z3.Or(early, z3.And(something, z3.Not(overflow), unknown)),
        Errno.ENOMEM: z3.And(z3.Not(early), something, overflow),
    }


def _madvise(w: dict[str, z3.BitVecRef], edition: Edition) -> dict[Errno, z3.BoolRef]:
    advice = z3.Extract(31, 0, w["behavior"])
    unknown = z3.And([advice != n for n in known_advice(edition)])
    if edition.system is System.OPENBSD:
        return {Errno.EINVAL: z3.Or(unknown, _wraps(w))}
    overflow = z3.UGE(wide(w["addr"]) + rounded(w["len"]), _number(SPACE))
    return {Errno.EINVAL: z3.Or(unknown, _unaligned(w["addr"]), z3.And(w["len"] != 0, overflow))}


def _mremap(w: dict[str, z3.BitVecRef], edition: Edition) -> dict[Errno, z3.BoolRef]:
    flags = w["flags"]
    fixed, dontunmap, may_move = flags & 2 != 0, flags & 4 != 0, flags & 1 != 0
    aligned_first = edition.remap is Remap.V6_17
    old, new = rounded(w["old_len"]), rounded(w["new_len"])
    wraps = _number(SPACE)
    sizes_differ = z3.URem(old, wraps) != z3.URem(new, wraps) if aligned_first else w["old_len"] != w["new_len"]
    nothing = z3.URem(new, wraps) == 0
    bad_flags = z3.Or(flags & ~z3.BitVecVal(7, 64) != 0, z3.And(fixed, z3.Not(may_move)))
    return {
        Errno.EINVAL: z3.Or(
            bad_flags, z3.And(dontunmap, z3.Or(z3.Not(may_move), sizes_differ)), _unaligned(w["addr"]), nothing
        )
    }


def _mmap(w: dict[str, z3.BitVecRef], edition: Edition) -> dict[Errno, z3.BoolRef]:
    anonymous = w["flags"] & 0x20 != 0
    closed = z3.And(z3.Not(anonymous), z3.Or(w["file"] == 0, z3.UGT(w["file"], 3), w["object"] == 0))
    odd_offset = _unaligned(w["off"])
    fine = z3.And(z3.Not(odd_offset), z3.Not(closed))
    huge, wanted = w["flags"] & 0x4_0000 != 0, z3.Extract(31, 26, w["flags"])
    no_such_pages = z3.And(huge, z3.Or(z3.Not(anonymous), z3.And(wanted != 0, wanted != 21)))
    too_long = z3.If(
        huge,
        z3.UGE(rounded(w["len"], HUGE_PAGE_SIZE), _number(SPACE)),
        z3.UGE(rounded(w["len"]), _number(SPACE)),
    )
    wrong = z3.Or(no_such_pages, w["len"] == 0, z3.And(huge, too_long))
    return {
        Errno.EINVAL: z3.Or(odd_offset, z3.And(fine, wrong)),
        Errno.EBADF: z3.And(z3.Not(odd_offset), closed),
        Errno.ENOMEM: z3.And(fine, z3.Not(huge), too_long),
    }


def _pkey_alloc(w: dict[str, z3.BitVecRef], edition: Edition) -> dict[Errno, z3.BoolRef]:
    return {Errno.EINVAL: z3.Or(w["flags"] != 0, w["rights"] & ~z3.BitVecVal(3, 64) != 0)}


def _mlock(w: dict[str, z3.BitVecRef], edition: Edition) -> dict[Errno, z3.BoolRef]:
    page = _number(PAGE_SIZE)
    inside = z3.URem(wide(w["addr"]), page)
    # the length is widened to whole pages in 64 bits: a length near 2**64 wraps to a short one
    size = z3.UDiv(z3.URem(wide(w["len"]) + inside, _number(SPACE)) + page - 1, page) * page
    wrapped = z3.URem(size, _number(SPACE))
    return {Errno.EINVAL: z3.UGE(wide(w["addr"]) - inside + wrapped, _number(SPACE))}


def _brk(w: dict[str, z3.BitVecRef], edition: Edition) -> dict[Errno, z3.BoolRef]:
    return {Errno.ENOMEM: z3.UGE(rounded(w["addr"]), _number(SPACE))}


def _mseal32(w: dict[str, z3.BitVecRef], edition: Edition) -> dict[Errno, z3.BoolRef]:
    return {Errno.EPERM: z3.BoolVal(True)}


DOCUMENTED: dict[str, tuple[Callable[[dict[str, z3.BitVecRef], Edition], dict[Errno, z3.BoolRef]], str]] = {
    "mseal": (_mseal, "mm/mseal.c, comment above do_mseal: -EINVAL; mimmutable(2): EINVAL"),
    "mseal32": (_mseal32, "mm/mseal.c, comment above do_mseal: -EPERM"),
    "munmap": (_munmap, "munmap(2): EINVAL"),
    "mprotect": (_mprotect, "mprotect(2): EINVAL, ENOMEM"),
    "pkey_mprotect": (_mprotect, "mprotect(2): EINVAL, ENOMEM"),
    "madvise": (_madvise, "madvise(2): EINVAL"),
    "mremap": (_mremap, "mremap(2): EINVAL"),
    "mmap": (_mmap, "mmap(2): EINVAL, EBADF, ENOMEM"),
    "mlock": (_mlock, "mlock(2): EINVAL"),
    "munlock": (_mlock, "mlock(2): EINVAL"),
    "brk": (_brk, "brk(2): ENOMEM"),
    "pkey_alloc": (_pkey_alloc, "pkey_alloc(2): EINVAL"),
}
"""For each call: the errors of its argument stage, as its manual page has them."""
