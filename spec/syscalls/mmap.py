# SPDX-License-Identifier: MIT
"""mmap(2).

Sources: arch/x86 sys_mmap, ksys_mmap_pgoff, do_mmap, mmap_region (6.12: __mmap_region), get_unmapped_area;
fs/hugetlbfs/inode.c hugetlb_get_unmapped_area, hugetlbfs_file_mmap. For OpenBSD only what MAP_FIXED does to what was
there is its own (uvm_map with UVM_FLAG_UNMAP; docs/MIMMUTABLE.md).
"""

from __future__ import annotations

from typing import cast

from spec.arguments import Map, as_page
from spec.editions import SealCheck, System
from spec.errors import Errno
from spec.mapping import (
    DEV_ZERO,
    LARGEST_DEVICE_PAGES,
    LARGEST_FILE_PAGES,
    LEGACY_FLAGS,
    LOW_PAGES,
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGE_2MB,
    MAP_HUGE_MASK,
    MAP_HUGE_SHIFT,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_SYNC,
    MAP_TYPE,
    NO_FILE,
    READ_ONLY_FILE,
    WRITABLE_FILE,
)
from spec.space import NO_HUGE_PAGES, AddressSpace, Guards
from spec.syscalls.munmap import gather
from spec.terms import Num, and_, eq, ite, larger, le, lt, ne, not_, one_of, or_
from spec.vma import ANONYMOUS, DEVZERO, FILE, HUGETLB, THP_DEFAULT, THP_NEVER, Vma, starts_huge_page
from spec.words import (
    HUGE_PAGE_SIZE,
    TASK_PAGES,
    TASK_SIZE,
    WORD,
    Word,
    above,
    choose,
    equal,
    has,
    huge_page_number,
    is_page_aligned,
    mask,
    multiple_of,
    page_align,
    page_number,
    sub,
)


def arguments(
    do: Guards, addr: Word, length: Word, prot: Word, flags: Word, file: Word, object: Word, offset: Word
) -> Map:
    """Bytes to pages: what is checked before the address is looked for. `file` and `object` say what the descriptor is;
    `file` is above DEV_ZERO for a descriptor that is not open."""
    do.fail_if(not_(is_page_aligned(offset)), Errno.EINVAL, "mmap: the file offset is not page aligned")
    anonymous = has(flags, MAP_ANONYMOUS)
    closed = or_(equal(file, NO_FILE), above(file, DEV_ZERO), equal(object, 0))
    do.fail_if(and_(not_(anonymous), closed), Errno.EBADF, "mmap: bad descriptor")
    asks_huge = has(flags, MAP_HUGETLB)
    no_huge_file = and_(asks_huge, not_(anonymous))
    do.fail_if(no_huge_file, Errno.EINVAL, "mmap: MAP_HUGETLB of a file that has no huge pages")
    huge, chosen = and_(asks_huge, anonymous), mask(flags, MAP_HUGE_MASK << MAP_HUGE_SHIFT)
    no_such_size = and_(huge, not_(or_(equal(chosen, 0), equal(chosen, MAP_HUGE_2MB))))
    do.fail_if(no_such_size, Errno.EINVAL, "mmap: MAP_HUGETLB with a size of huge pages that there is not")
    do.fail_if(equal(length, 0), Errno.EINVAL, "mmap: the length is zero")
    size = choose(huge, multiple_of(HUGE_PAGE_SIZE, length), page_align(length))
    do.fail_if(and_(huge, equal(size, 0)), Errno.EINVAL, "mmap: the length in huge pages wraps to zero")
    do.fail_if(equal(size, 0), Errno.ENOMEM, "mmap: the length wraps to zero")
    pgoff, count = page_number(offset), page_number(size)
    # pgoff and count are below 2**52, so that their sum never wraps: the kernel's overflow check cannot fire
    noreplace = has(flags, MAP_FIXED_NOREPLACE)
    kind = mask(flags, MAP_TYPE)
    return Map(
        page=as_page(addr),
        pages=_num(count),
        aligned=is_page_aligned(addr),
        fits=and_(not_(above(size, TASK_SIZE)), not_(above(addr, sub(TASK_SIZE, size)))),
        small=not_(above(size, TASK_SIZE)),
        fixed=or_(has(flags, MAP_FIXED), noreplace),
        noreplace=noreplace,
        type=_num(kind),
        read=has(prot, 1),
        write=has(prot, 2),
        exec=has(prot, 4),
        exec_only=equal(prot, 4),
        file=_num(choose(anonymous, NO_FILE, file)),
        object=_num(choose(anonymous, 0, object)),
        offset=_num(choose(and_(anonymous, not_(huge)), 0, pgoff)),
        growsdown=has(flags, MAP_GROWSDOWN),
        locked=has(flags, MAP_LOCKED),
        noreserve=has(flags, MAP_NORESERVE),
        populate=and_(has(flags, MAP_POPULATE), not_(has(flags, MAP_NONBLOCK))),
        low=has(flags, MAP_32BIT),
        stack=has(flags, MAP_STACK),
        sync=has(flags, MAP_SYNC),
        huge=huge,
        huge_pages=_num(choose(huge, huge_page_number(size), 0)),
        unsupported=has(flags, WORD - 1 & ~LEGACY_FLAGS),
    )


def _num(word: Word) -> Num:
    return cast(Num, word)


def mmap(mm: AddressSpace, new: Map) -> Num:
    """Map a range anew. With MAP_FIXED what was there is unmapped first, unless it is sealed."""
    if mm.edition.limits_maps:
        mm.fail_if(mm.over_limit(), Errno.ENOMEM, "mmap: map_count is above its limit")
    linux, ahead = mm.edition.system is System.LINUX, mm.edition.seals is SealCheck.TWO_PASS
    exec_only_key = mm.execute_only_pkey(new.exec_only) if linux and not ahead else 0
    mm.fail_if(not_(new.small), Errno.ENOMEM, "mmap: the length is beyond TASK_SIZE")
    if mm.decide(new.fixed):
        misplaced = and_(new.huge, not_(and_(new.aligned, starts_huge_page(new.page))))
        mm.fail_if(misplaced, Errno.EINVAL, "mmap: the fixed address does not begin a huge page")
        mm.fail_if(not_(new.fits), Errno.ENOMEM, "mmap: the fixed range reaches beyond TASK_SIZE")
        mm.fail_if(not_(new.aligned), Errno.EINVAL, "mmap: the fixed address is not page aligned")
        mm.fail_if(lt(new.page, mm.min_page), Errno.EPERM, "mmap: the fixed address is below mmap_min_addr")
        page = new.page
        if mm.decide(new.noreplace):
            mm.fail_if(mm.any_mapped(page, page + new.pages), Errno.EEXIST, "mmap: MAP_FIXED_NOREPLACE over a mapping")
    else:
        # the hint is raised before it is tested with the length (round_hint_to_min, mmap_address_hint_valid)
        raised = larger(new.page, mm.min_page)
        low = new.low if mm.edition.huge_hints_up else and_(new.low, not_(new.huge))
        fits = and_(le(raised + new.pages, TASK_PAGES), or_(not_(low), le(raised + new.pages, LOW_PAGES)))
        hinted = mm.decide(and_(lt(0, new.page), fits))
        page = mm.free_range_for(new.pages, raised if hinted else None, low=low, huge=new.huge)
    _check_kind(mm, new)
    _make_room(mm, new, page)
    if linux and ahead:  # the key is taken when nothing can fail any more
        exec_only_key = mm.execute_only_pkey(new.exec_only)
    vma = _new_vma(mm, new, page, exec_only_key)
    mm.map(vma)
    if mm.decide(or_(new.populate, new.locked)):
        mm.lock(page, page + new.pages)
    return page


def _make_room(mm: AddressSpace, new: Map, page: Num) -> None:
    """Limits, and the unmapping of what MAP_FIXED replaces (mmap_region).

    Up to 6.11 what fails after the unmapping leaves a hole, and every error of the unmapping but EPERM becomes ENOMEM.
    From 6.12 on limits and accounting are tested before anything is unmapped (__mmap_region); only a failed allocation
    still leaves a hole. In two passes the allocation is made ahead too.
    """
    early = mm.edition.seals is not SealCheck.UP_FRONT
    ahead = mm.edition.seals is SealCheck.TWO_PASS
    if not early:
        mm.may_fail(Errno.ENOMEM, "mmap: RLIMIT_AS has no room")
    if ahead:
        mm.may_fail(Errno.ENOMEM, "mmap: RLIMIT_AS or the accounting has no room")
        mm.may_fail(Errno.ENOMEM, "mmap: memory for the new VMA runs out")
        _reserve(mm, new)
    fixed = mm.decide(new.fixed)
    if fixed:
        gather(mm, page, page + new.pages, "mmap", Errno.EINVAL if early else Errno.ENOMEM)
    if early and not ahead:
        mm.may_fail(Errno.ENOMEM, "mmap: RLIMIT_AS or the accounting has no room")
    if fixed:
        mm.unmap(page, page + new.pages)
    if not ahead:
        mm.may_fail(Errno.ENOMEM, "mmap: memory for the new VMA runs out")
        _reserve(mm, new)


def _reserve(mm: AddressSpace, new: Map) -> None:
    """What hugetlbfs asks of a new mapping: whole huge pages of its file, and that there are as many to reserve
    (hugetlbfs_file_mmap). But for two passes it is asked when what was there before is gone."""
    odd = and_(new.huge, not_(starts_huge_page(new.offset)))
    mm.fail_if(odd, Errno.EINVAL, "mmap: the offset does not begin a huge page")
    if mm.decide(and_(new.huge, not_(new.noreserve))):
        mm.may_fail(Errno.ENOMEM, NO_HUGE_PAGES)


def _check_kind(mm: AddressSpace, new: Map) -> None:
    """The checks by MAP_TYPE and file (the switch in do_mmap)."""
    if mm.decide(new.locked):
        mm.may_fail(Errno.EAGAIN, "mmap: RLIMIT_MEMLOCK has no room")
    is_shared = one_of(new.type, (MAP_SHARED, MAP_SHARED_VALIDATE))
    has_file = or_(ne(new.file, NO_FILE), new.huge)
    end = new.offset + new.pages
    beyond = or_(
        and_(or_(one_of(new.file, (WRITABLE_FILE, READ_ONLY_FILE)), new.huge), le(LARGEST_FILE_PAGES, end)),
        and_(eq(new.file, DEV_ZERO), le(LARGEST_DEVICE_PAGES, end)),
    )
    mm.fail_if(beyond, Errno.EOVERFLOW, "mmap: the range is beyond the largest file")
    known = or_(one_of(new.type, (MAP_SHARED, MAP_PRIVATE)), and_(has_file, eq(new.type, MAP_SHARED_VALIDATE)))
    if mm.edition.droppable:
        droppable = and_(not_(has_file), eq(new.type, MAP_DROPPABLE))
        mm.fail_if(
            and_(droppable, or_(new.locked, new.growsdown)),
            Errno.EINVAL,
            "mmap: droppable memory is neither locked nor a stack",
        )
        known = or_(known, droppable)
    mm.fail_if(not_(known), Errno.EINVAL, "mmap: the mapping is neither private nor shared")
    strange = and_(has_file, eq(new.type, MAP_SHARED_VALIDATE), new.unsupported)
    mm.fail_if(strange, Errno.EOPNOTSUPP, "mmap: MAP_SHARED_VALIDATE with a flag that the file does not have")
    writes_read_only = and_(is_shared, new.write, eq(new.file, READ_ONLY_FILE))
    mm.fail_if(writes_read_only, Errno.EACCES, "mmap: a writable shared mapping of a file opened read-only")
    mm.fail_if(
        and_(or_(is_shared, has_file), new.growsdown), Errno.EINVAL, "mmap: only private anonymous memory grows down"
    )


def _new_vma(mm: AddressSpace, new: Map, page: Num, exec_only_key: Num) -> Vma:
    """The VMA that a successful mmap makes (do_mmap, mmap_region)."""
    is_shared = one_of(new.type, (MAP_SHARED, MAP_SHARED_VALIDATE))
    no_file = and_(eq(new.file, NO_FILE), not_(new.huge))
    shmem = and_(no_file, is_shared)
    may_write = not_(and_(is_shared, eq(new.file, READ_ONLY_FILE)))
    droppable = and_(no_file, eq(new.type, MAP_DROPPABLE)) if mm.edition.droppable else False
    private_zero = and_(eq(new.file, DEV_ZERO), not_(is_shared))
    noreserve = or_(new.noreserve, droppable)
    private_anon = and_(no_file, not_(is_shared))
    # a file of huge pages grows to what is mapped of it for writing; if none is free, each access fails as beyond it
    grown = new.pages + ite(and_(new.huge, new.write), new.offset, 0)
    object_pages = ite(and_(new.huge, not_(mm.has_huge_pages)), 0, grown)
    makes_object = or_(shmem, and_(eq(new.file, DEV_ZERO), is_shared), new.huge)
    plain_object = ite(makes_object, mm.fresh_object(object_pages, besides=new.object), new.object)
    return Vma(
        start=page,
        end=page + new.pages,
        read=new.read,
        write=new.write,
        exec=new.exec,
        may_write=may_write,
        shared=and_(is_shared, may_write),
        may_share=is_shared,
        backing=ite(private_anon, ANONYMOUS, ite(private_zero, DEVZERO, ite(new.huge, HUGETLB, FILE))),
        object=ite(private_anon, 0, plain_object),
        offset=ite(private_anon, page, ite(shmem, 0, new.offset)),
        pkey=ite(new.exec_only, exec_only_key, 0),
        opened_read_only=and_(eq(new.file, READ_ONLY_FILE), not_(is_shared)),
        locked=and_(new.locked, not_(new.huge)),
        growsdown=new.growsdown,
        wipeonfork=droppable,
        droppable=droppable,
        dontdump=droppable,
        thp=ite(new.stack, THP_NEVER, THP_DEFAULT) if mm.edition.transparent_huge_pages else THP_DEFAULT,
        sync=new.sync,
        noreserve=noreserve,
        account=and_(not_(is_shared), new.write, not_(noreserve), not_(new.huge)),
    )
