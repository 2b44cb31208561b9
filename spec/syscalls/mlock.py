# SPDX-License-Identifier: MIT
"""mlock(2) and munlock(2): seals do not hinder them, and madvise consults their mark.

Sources: mm/mlock.c do_mlock, apply_vma_lock_flags, mlock_fixup, __mm_populate.
"""

from __future__ import annotations

from dataclasses import replace

from spec.arguments import PageRange, page_range
from spec.editions import SealCheck
from spec.errors import Errno
from spec.space import AddressSpace, Gap, Guards, Visit
from spec.terms import Bool, Num, ite_bool, larger, or_, smaller
from spec.vma import Vma, is_special
from spec.words import PAGE_SIZE, WORD, Word, add, below, equal, mask, page_align, untagged


def lock_arguments(do: Guards, addr: Word, length: Word) -> PageRange:
    """As of munlock; but the limit on locked memory is looked at before the range is."""
    do.may_fail(Errno.ENOMEM, "mlock: RLIMIT_MEMLOCK has no room")
    return arguments(do, addr, length)


def arguments(do: Guards, addr: Word, length: Word) -> PageRange:
    """Bytes to pages: any byte range, widened to whole pages."""
    start = untagged(addr)
    inside = mask(start, PAGE_SIZE - 1)
    size = page_align(add(length, inside))
    first = mask(start, WORD - PAGE_SIZE)
    end = add(first, size)
    do.fail_if(below(end, first), Errno.EINVAL, "mlock: the range wraps around")
    do.finish_if(equal(end, first), "mlock: nothing to do for length zero")
    return page_range(first, end)


def mlock(mm: AddressSpace, pages: PageRange) -> Num:
    """Lock a range into memory: mark the VMAs, then fault all pages in."""
    mm.may_fail(Errno.ENOMEM, "mlock: RLIMIT_MEMLOCK has no room")
    ahead = mm.edition.seals is SealCheck.TWO_PASS
    if ahead:
        _check_faults(mm, pages)
    _mark(mm, pages, locked=True)
    mm.lock(pages.start, pages.end)
    if not ahead:
        _check_faults(mm, pages)
    return 0


def _check_faults(mm: AddressSpace, pages: PageRange) -> None:
    def stuck(vma: Vma) -> Bool:
        part = larger(pages.start, vma.start), smaller(pages.end, vma.end)
        return or_(mm.cannot_fault_in(vma), mm.faults_fail(vma, *part))

    mm.check_each(pages.start, pages.end, stuck, Errno.ENOMEM, "mlock: a page cannot be faulted in")


def munlock(mm: AddressSpace, pages: PageRange) -> Num:
    """Unlock a range."""
    _mark(mm, pages, locked=False)
    return 0


def _mark(mm: AddressSpace, pages: PageRange, *, locked: bool) -> None:
    def mark(vma: Vma, at: Visit) -> Vma:
        exempt = or_(is_special(vma), vma.droppable)
        return replace(vma, locked=ite_bool(exempt, vma.locked, locked))

    if mm.edition.seals is SealCheck.TWO_PASS:
        mm.foresee(pages.start, pages.end, mark, gap=Gap.STOP)
    mm.change_each(pages.start, pages.end, mark, gap=Gap.STOP)
