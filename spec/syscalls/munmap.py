# SPDX-License-Identifier: MIT
"""munmap(2), and the unmapping that mmap, mremap and brk do on their way.

Sources: SYSCALL munmap, do_vmi_munmap, do_vmi_align_munmap (6.9: mm/mmap.c; 6.12: mm/vma.c vms_gather_munmap_vmas).
OpenBSD: munmap(2); sys_munmap, uvm_map_checkprot, uvm_unmap_remove (docs/MIMMUTABLE.md).
"""

from __future__ import annotations

from spec.arguments import PageRange, page_range, widened
from spec.editions import SealCheck, System
from spec.errors import Errno
from spec.space import AddressSpace, Guards
from spec.terms import Num, and_, lt, not_
from spec.words import TASK_SIZE, Word, above, add, equal, is_page_aligned, page_align, sub, untagged


def arguments(do: Guards, addr: Word, length: Word) -> PageRange:
    """Bytes to pages: munmap's checks of its arguments. To OpenBSD a length of zero is no error."""
    if do.edition.system is System.OPENBSD:
        first, end = widened(do, "munmap", addr, length)
        do.fail_if(above(end, TASK_SIZE), Errno.EINVAL, "munmap: the range reaches beyond TASK_SIZE")
        return page_range(first, end)
    start = untagged(addr)
    do.fail_if(not_(is_page_aligned(start)), Errno.EINVAL, "munmap: the address is not page aligned")
    do.fail_if(above(start, TASK_SIZE), Errno.EINVAL, "munmap: the address is beyond TASK_SIZE")
    do.fail_if(above(length, sub(TASK_SIZE, start)), Errno.EINVAL, "munmap: the range reaches beyond TASK_SIZE")
    size = page_align(length)
    do.fail_if(equal(size, 0), Errno.EINVAL, "munmap: the length is zero")
    return page_range(start, add(start, size))


def munmap(mm: AddressSpace, pages: PageRange) -> Num:
    """Unmap a range. Holes in it are fine, except to OpenBSD; a sealed VMA in it is not."""
    if mm.edition.system is System.OPENBSD:
        mm.check_mapped(pages.start, pages.end, Errno.EINVAL, "munmap: a page of the range is unmapped")
    unmap_range(mm, pages.start, pages.end, "munmap")
    return 0


def unmap_range(mm: AddressSpace, start: Num, end: Num, caller: str) -> None:
    """What munmap does once the arguments are checked (do_vmi_munmap); `caller` names the call in the checks' names."""
    gather(mm, start, end, caller)
    mm.unmap(start, end)


def gather(mm: AddressSpace, start: Num, end: Num, caller: str, refused_split: Errno = Errno.EINVAL) -> None:
    """All that can fail in unmapping a range, and the cuts at its ends. A VMA that refuses to be split ends the call
    with `refused_split`.

    Up to 6.11 the whole range is tested for seals before anything else. From 6.12 on each VMA is tested as it is
    gathered, after the first one may already have been split: nothing is unmapped, but the cut stays (weakness W7).
    """
    in_the_loop = mm.edition.seals is SealCheck.IN_THE_LOOP
    sealed = f"{caller}: a VMA to unmap is sealed"
    if not in_the_loop:
        mm.check_each(start, end, lambda vma: vma.sealed, Errno.EPERM, sealed)
    mapped, first = mm.holding(start)
    cut = and_(mapped, lt(first.start, start))
    if mm.edition.limits_maps:
        hole = and_(cut, lt(end, first.end), mm.at_limit())
        mm.fail_if(hole, Errno.ENOMEM, f"{caller}: a hole inside one VMA would exceed the map-count limit")
    if mm.edition.seals is SealCheck.TWO_PASS:
        mm.refuse_cuts(start, end, refused_split)
    if in_the_loop:
        mm.fail_if(and_(cut, first.sealed), Errno.EPERM, f"{caller}: the first VMA to unmap is sealed")
    mm.split(start, refused_split)
    if in_the_loop:
        again = mm.first(start, end) if mm.edition.tests_first_again else None
        mm.check_each(start, end, lambda vma: (again or vma).sealed, Errno.EPERM, sealed)
    mm.split(end, refused_split)
