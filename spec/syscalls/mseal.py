"""mseal(2).

Sources: mm/mseal.c do_mseal, check_mm_seal, apply_mm_seal (seed patch); mseal_apply (6.17 and later).
"""

from __future__ import annotations

from dataclasses import replace

from spec.arguments import PageRange, page_range
from spec.errors import Errno
from spec.space import AddressSpace, Gap, Guards, Visit
from spec.terms import Num, and_, not_
from spec.vma import Vma
from spec.words import Word, add, below, equal, is_page_aligned, page_align, untagged


def arguments(do: Guards, addr: Word, length: Word, flags: Word) -> PageRange:
    """Bytes to pages: do_mseal's checks of its arguments, the flags before all else."""
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
    """Seal a range: one pass that only looks, then one that changes and can fail only where a split fails."""
    mm.check_mapped(pages.start, pages.end, Errno.ENOMEM, "mseal: a page of the range is unmapped")

    def seal(vma: Vma, at: Visit) -> Vma:
        return replace(vma, sealed=True)

    mm.change_each(pages.start, pages.end, seal, gap=Gap.IGNORE, cursor=mm.edition.cursor.name.lower())
    return 0
