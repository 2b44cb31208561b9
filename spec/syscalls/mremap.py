# SPDX-License-Identifier: MIT
"""mremap(2).

Sources: mm/mremap.c sys_mremap, mremap_to, vma_to_resize, move_vma (6.9, 6.12); check_prep_vma, mremap_at,
remap_move (6.17 and later).
"""

from __future__ import annotations

from dataclasses import replace

from spec.arguments import Move, as_page
from spec.editions import Remap, SealCheck
from spec.errors import Errno
from spec.space import AddressSpace, Guards, Test
from spec.syscalls.munmap import unmap_range
from spec.terms import Num, and_, eq, le, lt, ne, not_, or_, smaller
from spec.vma import DEVZERO, HUGETLB, Vma, is_special, offset_at, refuses_split, starts_huge_page
from spec.words import (
    PAGES,
    TASK_PAGES,
    TASK_SIZE,
    Word,
    above,
    add,
    equal,
    has,
    is_page_aligned,
    mask,
    page_align,
    sub,
    untagged,
)

MAYMOVE, FIXED, DONTUNMAP = 1, 2, 4
SIX_FREE_MAPS = "mremap: a move to a given address wants six free maps"


def arguments(do: Guards, addr: Word, old_len: Word, new_len: Word, flags: Word, new_addr: Word) -> Move:
    """Bytes to pages: the checks that mremap makes before it takes the lock."""
    old = untagged(addr)
    aligned_first = do.edition.remap is Remap.V6_17
    old_size, new_size = page_align(old_len), page_align(new_len)
    fixed, dontunmap, may_move = has(flags, FIXED), has(flags, DONTUNMAP), has(flags, MAYMOVE)
    resizes = not_(equal(old_size, new_size) if aligned_first else equal(old_len, new_len))
    known = MAYMOVE | FIXED | DONTUNMAP
    do.fail_if(not_(equal(mask(flags, known), flags)), Errno.EINVAL, "mremap: unknown flags")
    do.fail_if(and_(fixed, not_(may_move)), Errno.EINVAL, "mremap: MREMAP_FIXED without MREMAP_MAYMOVE")
    do.fail_if(
        and_(dontunmap, or_(not_(may_move), resizes)),
        Errno.EINVAL,
        "mremap: MREMAP_DONTUNMAP moves, and does not resize",
    )
    do.fail_if(not_(is_page_aligned(old)), Errno.EINVAL, "mremap: the old address is not page aligned")
    do.fail_if(equal(new_size, 0), Errno.EINVAL, "mremap: the new size is zero")
    fits = and_(not_(above(new_size, TASK_SIZE)), not_(above(new_addr, sub(TASK_SIZE, new_size))))
    return Move(
        old=as_page(old),
        old_pages=as_page(old_size),
        new_pages=as_page(new_size),
        old_end=as_page(add(old, old_size)),
        new=as_page(new_addr),
        new_aligned=is_page_aligned(new_addr),
        new_fits=fits,
        may_move=may_move,
        fixed=fixed,
        dontunmap=dontunmap,
    )


def mremap(mm: AddressSpace, to: Move) -> Num:
    """Resize or move a mapping."""
    if mm.edition.remap is Remap.V6_17:
        return _remap_6_17(mm, to)
    early = mm.edition.remap is Remap.V6_15
    if early and mm.decide(or_(to.fixed, to.dontunmap)):
        mm.fail_if(*_unaligned_test(to))
        mm.fail_if(mm.at_limit(spare=5), Errno.ENOMEM, SIX_FREE_MAPS)
    vma = mm.find(to.old)
    if vma is None:
        mm.fail(Errno.EFAULT, "mremap: the old address is not mapped")
    up_front = mm.edition.seals is SealCheck.UP_FRONT
    if not up_front:
        mm.fail_if(vma.sealed, Errno.EPERM, "mremap: the VMA at the old address is sealed")
    to = check_huge(mm, to, vma)
    if mm.decide(or_(to.fixed, to.dontunmap)):
        return _to_new_address(mm, to)
    if up_front:
        mm.check_each(to.old, to.tested_end, lambda vma: vma.sealed, Errno.EPERM, "mremap: a VMA to resize is sealed")
    if mm.decide(le(to.new_pages, to.old_pages)):
        mm.finish_if(eq(to.old_pages, to.new_pages), "mremap: nothing to do, the sizes are equal", to.old)
        _shrink(mm, to)
        return to.old
    vma = _resizable(mm, to, to.old_pages)
    return grow(mm, to, vma)


def check_huge(mm: AddressSpace, to: Move, vma: Vma) -> Move:
    """Huge pages move and shrink whole, and do not grow; their sizes are rounded up. Returns what is asked for then."""
    to = to.in_huge_pages(vma)
    for test in huge_tests(to, vma):
        mm.fail_if(*test)
    return to


def huge_tests(to: Move, vma: Vma) -> list[Test]:
    """The tests of check_huge, in order."""
    huge = eq(vma.backing, HUGETLB)
    misaligned = not_(and_(starts_huge_page(to.old), starts_huge_page(to.new)))
    return [
        (and_(huge, misaligned), Errno.EINVAL, "mremap: huge pages move by whole huge pages"),
        (and_(huge, lt(to.old_pages, to.new_pages)), Errno.EINVAL, "mremap: huge pages do not grow"),
    ]


def _to_new_address(mm: AddressSpace, to: Move) -> Num:
    """MREMAP_FIXED and MREMAP_DONTUNMAP (mremap_to): the destination is unmapped before the source is looked at, so
    that a later failure leaves a hole there (weakness W5)."""
    early = mm.edition.remap is Remap.V6_15
    if not early:
        mm.fail_if(*_unaligned_test(to))
    check_destination(mm, to)
    if not early:
        mm.fail_if(mm.at_limit(spare=5), Errno.ENOMEM, SIX_FREE_MAPS)
    if mm.edition.seals is SealCheck.UP_FRONT:
        mm.check_each(to.old, to.tested_end, lambda vma: vma.sealed, Errno.EPERM, "mremap: a VMA to move is sealed")
    if mm.decide(to.fixed):
        unmap_range(mm, to.new, to.new + to.new_pages, "mremap onto")
    old_pages = to.old_pages
    if mm.decide(lt(to.new_pages, old_pages)):
        _shrink(mm, to)
        old_pages = to.new_pages
    vma = _resizable(mm, to, old_pages)
    if mm.decide(to.dontunmap):
        mm.may_fail(Errno.ENOMEM, "mremap: RLIMIT_AS has no room for both copies")
    return move(mm, to, vma, old_pages, _new_place(mm, to))


def _new_place(mm: AddressSpace, to: Move) -> Num:
    """Where the mapping goes (get_unmapped_area): to the given address, which is but a hint without MREMAP_FIXED."""
    new = to.new
    if not mm.decide(to.fixed):
        new = mm.free_range(to.new_pages, new if mm.decide(ne(new, 0)) else None)
    mm.fail_if(lt(new, mm.min_page), Errno.EPERM, "mremap: the new address is below mmap_min_addr")
    return new


def check_destination(mm: AddressSpace, to: Move) -> None:
    """The new range is in the address space, and apart from the old one."""
    mm.fail_if(not_(to.new_fits), Errno.EINVAL, "mremap: the new range reaches beyond TASK_SIZE")
    overlap = and_(lt(to.new, to.old_end), lt(to.old, to.new + to.new_pages))
    mm.fail_if(overlap, Errno.EINVAL, "mremap: the old and the new range overlap")


def _shrink(mm: AddressSpace, to: Move) -> None:
    """Unmap the tail [old + new_pages, old + old_pages), which may reach into other VMAs. The kernel goes through
    do_munmap, whose argument checks apply again."""
    end = to.old + to.old_pages
    mm.fail_if(lt(TASK_PAGES, end), Errno.EINVAL, "mremap: the tail to unmap reaches beyond TASK_SIZE")
    unmap_range(mm, to.old + to.new_pages, end, "mremap tail")


def _resizable(mm: AddressSpace, to: Move, old_pages: Num) -> Vma:
    """The VMA at the old address, if it may be resized (vma_to_resize)."""
    vma = mm.find(to.old)
    if vma is None:
        mm.fail(Errno.EFAULT, "mremap: the old address is no longer mapped")
    check_resizable(mm, to, vma, old_pages)
    return vma


def check_resizable(mm: AddressSpace, to: Move, vma: Vma, old_pages: Num) -> None:
    """The checks of vma_to_resize on the VMA at the old address."""
    for test in movable_tests(to, vma, old_pages):
        mm.fail_if(*test)
    if mm.decide(ne(old_pages, to.new_pages)):
        wraps = le(PAGES * (1 << 12), offset_at(vma, to.old) + to.new_pages)
        mm.fail_if(wraps, Errno.EINVAL, "mremap: the page offset wraps around")
        mm.fail_if(is_special(vma), Errno.EFAULT, "mremap: a special mapping does not grow")
        if mm.decide(vma.locked):
            mm.may_fail(Errno.EAGAIN, "mremap: RLIMIT_MEMLOCK has no room")
        mm.may_fail(Errno.ENOMEM, "mremap: RLIMIT_AS has no room")


def movable_tests(to: Move, vma: Vma, old_pages: Num) -> list[Test]:
    """Those of the tests of vma_to_resize that a VMA must pass even to move without a change of its size."""
    return [
        (
            and_(eq(old_pages, 0), not_(vma.may_share)),
            Errno.EINVAL,
            "mremap: only shared memory can be duplicated (old size 0)",
        ),
        (and_(to.dontunmap, is_special(vma)), Errno.EINVAL, "mremap: MREMAP_DONTUNMAP of a special mapping"),
        (lt(vma.end - to.old, old_pages), Errno.EFAULT, "mremap: the old range leaves its VMA"),
    ]


def grow(mm: AddressSpace, to: Move, vma: Vma) -> Num:
    """Grow where it is if the room behind is free, else move if allowed."""
    end = to.old + to.new_pages
    behind = and_(eq(to.old + to.old_pages, vma.end), le(end, TASK_PAGES))
    if mm.decide(behind) and not mm.any_mapped(vma.end, end):
        mm.may_fail(Errno.ENOMEM, "mremap: memory to grow in place runs out")
        mm.expand(to.old, end)
        if mm.decide(vma.locked):
            mm.lock(vma.end, end)
        return to.old
    mm.fail_if(not_(to.may_move), Errno.ENOMEM, "mremap: no room behind, and it may not move")
    new = mm.free_range(to.new_pages, None)
    return move(mm, to, vma, to.old_pages, new)


def move(mm: AddressSpace, to: Move, vma: Vma, old_pages: Num, new: Num) -> Num:
    """Move the pages (move_vma)."""
    if mm.edition.early_room:
        no_room = mm.at_limit(spare=1)
        if mm.edition.splits_locked_source:
            no_room = or_(no_room, and_(to.dontunmap, vma.locked, mm.at_limit(spare=2)))
    else:
        no_room = mm.at_limit(spare=3)
    mm.fail_if(no_room, Errno.ENOMEM, "mremap: a move wants room for its splits")
    before = and_(lt(vma.start, to.old), refuses_split(vma, to.old))
    after = and_(ne(vma.end, to.old + old_pages), refuses_split(vma, to.old + old_pages))
    mm.fail_if(or_(before, after), Errno.EINVAL, "mremap: the VMA refuses to be split")
    mm.may_fail(Errno.ENOMEM, "mremap: memory for the copy runs out")
    mm.move(to.old, old_pages, new, to.new_pages, keep_source=mm.decide(to.dontunmap))
    if mm.decide(and_(vma.locked, lt(old_pages, to.new_pages))):
        mm.lock(new + old_pages, new + to.new_pages)
    return new


def _remap_6_17(mm: AddressSpace, to: Move) -> Num:
    """mremap from 6.17 on: do_mremap. What can be checked without the lock is checked first, and each VMA is checked
    before its destination is touched; several VMAs are moved one by one, so that a refusal half-way leaves the first
    ones moved (weakness W5c)."""
    at_address = or_(to.fixed, to.dontunmap)
    mm.fail_if(lt(TASK_PAGES, to.new_pages), Errno.EINVAL, "mremap: the new size is beyond TASK_SIZE")
    if mm.decide(at_address):
        mm.fail_if(*_unaligned_test(to))
        check_destination(mm, to)
        if not mm.edition.early_room:
            mm.fail_if(mm.at_limit(spare=5), Errno.ENOMEM, SIX_FREE_MAPS)
    if mm.edition.early_room:
        no_room = mm.at_limit(spare=3)
        if mm.edition.splits_locked_source:
            no_room = or_(no_room, and_(to.dontunmap, mm.at_limit(spare=4)))
        mm.fail_if(no_room, Errno.ENOMEM, "mremap: four free maps are asked for first")
    if mm.decide(and_(to.fixed, eq(to.old_pages, to.new_pages))):
        return _move_each(mm, to)
    vma, to = _checked_6_17(mm, to, mm.find(to.old))
    if mm.decide(at_address):
        return to_new_address_6_17(mm, to)
    mm.finish_if(eq(to.old_pages, to.new_pages), "mremap: nothing to do, the sizes are equal", to.old)
    if mm.decide(lt(to.new_pages, to.old_pages)):
        _shrink(mm, to)
        return to.old
    return grow(mm, to, vma)


def _checked_6_17(mm: AddressSpace, to: Move, vma: Vma | None) -> tuple[Vma, Move]:
    """All checks of one VMA (check_prep_vma); what is asked for, in huge pages if it has such."""
    if vma is None:
        mm.fail(Errno.EFAULT, "mremap: the old address is not mapped")
    mm.fail_if(*_sealed_test(vma))
    to = check_huge(mm, to, vma)
    if mm.decide(or_(lt(to.old_pages, to.new_pages), to.fixed, to.dontunmap)):
        check_resizable(mm, to, vma, smaller(to.old_pages, to.new_pages))
    return vma, to


def to_new_address_6_17(mm: AddressSpace, to: Move) -> Num:
    """mremap_to: unmap the destination, shrink, move."""
    if mm.decide(to.fixed):
        unmap_range(mm, to.new, to.new + to.new_pages, "mremap onto")
        if mm.find(to.old) is None:
            mm.fail(Errno.EFAULT, "mremap: the old address went with the destination")
    old_pages = to.old_pages
    if mm.decide(lt(to.new_pages, old_pages)):
        _shrink(mm, to)
        old_pages = to.new_pages
    vma = mm.find(to.old)
    if vma is None:
        mm.fail(Errno.EFAULT, "mremap: the old address is no longer mapped")
    if mm.decide(to.dontunmap):
        mm.may_fail(Errno.ENOMEM, "mremap: RLIMIT_AS has no room for both copies")
    return move(mm, to, vma, old_pages, _new_place(mm, to))


def _move_each(mm: AddressSpace, to: Move) -> Num:
    """Move every VMA of the old range, one after the other, with the gaps between them kept (remap_move)."""
    end = to.old + to.old_pages
    if mm.find(to.old) is None:
        mm.fail(Errno.EFAULT, "mremap: the old range begins with an unmapped page")

    def part(start: Num, stop: Num) -> Move:
        pages = stop - start
        return replace(to, old=start, old_pages=pages, new_pages=pages, old_end=stop, new=to.new + (start - to.old))

    def tests(vma: Vma, start: Num, stop: Num) -> list[Test]:
        piece = part(start, stop)
        alone = and_(eq(vma.backing, DEVZERO), or_(lt(to.old, start), lt(vma.end, end)))
        of_many = alone, Errno.EFAULT, "mremap: a private mapping of /dev/zero is not moved with others"
        return [of_many, _sealed_test(vma), *huge_tests(piece, vma), *movable_tests(piece, vma, piece.old_pages)]

    def relocate(start: Num, stop: Num) -> None:
        to_new_address_6_17(mm, part(start, stop))

    mm.move_each(
        to.old, end, to.new, tests, relocate, lambda page: le(mm.min_page, page), keep_source=mm.decide(to.dontunmap)
    )
    return to.new


def _unaligned_test(to: Move) -> Test:
    return not_(to.new_aligned), Errno.EINVAL, "mremap: the new address is not page aligned"


def _sealed_test(vma: Vma) -> Test:
    return vma.sealed, Errno.EPERM, "mremap: the VMA at the old address is sealed"
