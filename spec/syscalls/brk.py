# SPDX-License-Identifier: MIT
"""brk(2).

Sources: mm/mmap.c sys_brk, do_brk_flags. A refused brk returns the old break and no errno; the errno below is the
kernel's own reason, which a program cannot see (the C library says ENOMEM).
"""

from __future__ import annotations

from spec.arguments import Break, as_page
from spec.errors import Errno
from spec.space import AddressSpace, Guards
from spec.syscalls.munmap import unmap_range
from spec.terms import Num, and_, eq, lt
from spec.vma import ANONYMOUS, Vma
from spec.words import TASK_PAGES, Word, equal, not_word_zero, page_align


def arguments(do: Guards, addr: Word) -> Break:
    """Bytes to pages."""
    page = page_align(addr)
    do.fail_if(and_(equal(page, 0), not_word_zero(addr)), Errno.ENOMEM, "brk: the address wraps around")
    return Break(as_page(page))


def brk(mm: AddressSpace, to: Break) -> Num:
    """Move the program break: shrinking unmaps, growing maps anonymous memory."""
    mm.fail_if(lt(to.page, mm.start_brk), Errno.EINVAL, "brk: the address is below the heap")
    old = mm.brk
    mm.finish_if(eq(to.page, old), "brk: nothing to do, the same page", to.page)
    if mm.decide(lt(to.page, old)):
        mm.fail_if(not mm.any_mapped(to.page, old), Errno.EINVAL, "brk: nothing is mapped there any more")
        unmap_range(mm, to.page, old, "brk")
        mm.set_brk(to.page)
        return to.page
    mm.fail_if(lt(TASK_PAGES, to.page), Errno.ENOMEM, "brk: the new break is beyond TASK_SIZE")
    mm.fail_if(
        mm.any_mapped(old, to.page + 1) or mm.stack_above(to.page), Errno.ENOMEM, "brk: another mapping is in the way"
    )
    mm.may_fail(Errno.ENOMEM, "brk: memory or a limit on it runs out")
    mm.fail_if(mm.over_limit(), Errno.ENOMEM, "brk: map_count is above its limit")
    heap = Vma(start=old, end=to.page, read=True, write=True, backing=ANONYMOUS, offset=old, account=True)
    mm.map(heap, expand_only=True)
    mm.set_brk(to.page)
    return to.page
