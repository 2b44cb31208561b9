# SPDX-License-Identifier: MIT
"""mseal(2), and OpenBSD's mimmutable(2).

Sources: mm/mseal.c do_mseal, check_mm_seal, apply_mm_seal (seed patch); mseal_apply (6.17 and later). OpenBSD:
mimmutable(2); sys_mimmutable, uvm_map_immutable (docs/MIMMUTABLE.md).
"""

from __future__ import annotations

from dataclasses import replace

from spec.arguments import PageRange, page_range, widened
from spec.editions import SealCheck, System
from spec.errors import Errno
from spec.space import AddressSpace, Gap, Guards, Visit
from spec.terms import Num, and_, not_
from spec.vma import Vma
from spec.words import Word, add, below, equal, is_page_aligned, page_align, untagged


def arguments(do: Guards, addr: Word, length: Word, flags: Word) -> PageRange:
    """Bytes to pages: do_mseal's checks of its arguments, the flags before all else. mimmutable has no flags: the third
    word is not looked at."""
    if do.edition.system is System.OPENBSD:
        return page_range(*widened(do, "mseal", addr, length))
    do.fail_if(not_(equal(flags, 0)), Errno.EINVAL, "mseal: flags are reserved")
    start = untagged(addr)
    do.fail_if(not_(is_page_aligned(start)), Errno.EINVAL, "mseal: the address is not page aligned")
    size = page_align(length)
    do.fail_if(and_(not_(equal(length, 0)), equal(size, 0)), Errno.EINVAL, "mseal: the length wraps to zero")
    end = add(start, size)
    do.fail_if(below(end, start), Errno.EINVAL, "mseal: the range wraps around")
    do.finish_if(equal(end, start), "mseal: nothing to do for length zero")
    return page_range(start, end)


def arguments_32bit(do: Guards, addr: Word, length: Word, flags: Word) -> PageRange:
    """The 32-bit variant of the patch: can_do_mseal refuses before it looks at anything (mm/internal.h)."""
    do.fail_if(True, Errno.EPERM, "mseal32: sealing is not supported on 32 bit")
    return PageRange(0, 0)


def mseal(mm: AddressSpace, pages: PageRange) -> Num:
    """Seal a range: one pass that only looks, then one that changes and can fail only where a split fails.

    mimmutable seals what is mapped and skips gaps; it refuses memory that a child would find wiped. (Sealed memory is
    never wiped there: minherit refuses it.)
    """
    if mm.edition.system is System.OPENBSD:
        wiped = "mseal: a VMA of the range is wiped on fork"
        mm.check_each(pages.start, pages.end, lambda vma: and_(vma.wipeonfork, not_(vma.sealed)), Errno.EPERM, wiped)
    else:
        mm.check_mapped(pages.start, pages.end, Errno.ENOMEM, "mseal: a page of the range is unmapped")

    def seal(vma: Vma, at: Visit) -> Vma:
        return replace(vma, sealed=True)

    if mm.edition.seals is SealCheck.TWO_PASS:
        mm.foresee(pages.start, pages.end, seal, gap=Gap.IGNORE)
    mm.change_each(pages.start, pages.end, seal, gap=Gap.IGNORE, cursor=mm.edition.cursor.name.lower())
    return 0
