"""madvise(2).

Sources: mm/madvise.c do_madvise, madvise_walk_vmas, madvise_vma_behavior and what they call; mm/mseal.c
can_modify_mm_madv (up to 6.11), can_modify_vma_madv (6.12 and later); mm/gup.c faultin_page_range for MADV_POPULATE.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from spec.arguments import PageRange, as_page
from spec.editions import Discard, Edition, SealCheck
from spec.errors import Errno
from spec.space import AddressSpace, Gap, Guards, Visit
from spec.terms import Bool, Num, and_, any_, eq, ite, ite_bool, le, lt, not_, one_of, or_
from spec.vma import (
    HUGE_PAGES,
    HUGETLB,
    NORMAL,
    RANDOM,
    SEQUENTIAL,
    THP_ALWAYS,
    THP_NEVER,
    Page,
    Vma,
    has_file,
    is_anonymous,
    is_special,
    starts_huge_page,
)
from spec.words import PAGES, Word, add, below, equal, is_page_aligned, low32, page_align, untagged

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

(DONTNEED, FREE, REMOVE, DONTFORK, DOFORK, WIPEONFORK, KEEPONFORK) = (4, 8, 9, 10, 11, 18, 19)
(MERGEABLE, UNMERGEABLE, HUGEPAGE, NOHUGEPAGE, DONTDUMP, DODUMP) = (12, 13, 14, 15, 16, 17)
(COLD, PAGEOUT, POPULATE_READ, POPULATE_WRITE, DONTNEED_LOCKED, COLLAPSE) = (20, 21, 22, 23, 24, 25)
(HWPOISON, SOFT_OFFLINE, GUARD_INSTALL, GUARD_REMOVE) = (100, 101, 102, 103)

DISCARDING = (DONTNEED, FREE, REMOVE, DONTFORK, WIPEONFORK, DONTNEED_LOCKED)
"""What the patch means to block on sealed read-only anonymous memory (is_madv_discard)."""


def known_advice(edition: Edition) -> list[int]:
    """The values that this kernel knows (madvise_behavior_valid)."""
    return [n for n in ADVICE.values() if edition.guard_pages or n not in (GUARD_INSTALL, GUARD_REMOVE)]


def treated_as_discard(edition: Edition) -> list[int]:
    """The known values that is_madv_discard takes for discarding: the bit mask of v10 takes far too many."""
    if edition.discard is Discard.BIT_MASK:
        bits = 0
        for value in DISCARDING:
            bits |= value
        return [n for n in known_advice(edition) if n & bits]
    return [*DISCARDING, GUARD_INSTALL] if edition.guard_pages else list(DISCARDING)


@dataclass(frozen=True, slots=True)
class Advise(PageRange):
    """The range and the advice."""

    advice: Num

    def facts(self, edition: Edition) -> list[Bool]:
        return [
            le(0, self.start),
            lt(self.start, self.end),
            lt(self.end, PAGES),
            one_of(self.advice, known_advice(edition)),
        ]


def arguments(do: Guards, addr: Word, length: Word, advice: Word) -> Advise:
    """Bytes to pages: do_madvise's checks, the behaviour value before all else."""
    value = low32(advice)
    known = any_(equal(value, n) for n in known_advice(do.edition))
    do.fail_if(not_(known), Errno.EINVAL, "madvise: unknown advice")
    do.fail_if(not_(is_page_aligned(addr)), Errno.EINVAL, "madvise: the address is not page aligned")
    size = page_align(length)
    do.fail_if(and_(not_(equal(length, 0)), equal(size, 0)), Errno.EINVAL, "madvise: the length wraps to zero")
    do.fail_if(below(add(addr, size), addr), Errno.EINVAL, "madvise: the range wraps around")
    do.finish_if(equal(size, 0), "madvise: nothing to do for length zero")
    start = untagged(addr)
    return Advise(as_page(start), as_page(add(start, size)), cast(Num, value))


def madvise(mm: AddressSpace, to: Advise) -> Num:
    """Advise about a range, VMA by VMA; gaps are skipped and reported at the end.

    Up to 6.11 the seal test covers the range before anything is done; from 6.12 on each VMA is tested when the walk
    reaches it, before the advice's own checks, so that EPERM leaves the VMAs before it advised.
    """
    hardware = one_of(to.advice, (HWPOISON, SOFT_OFFLINE))
    mm.fail_if(hardware, Errno.EPERM, "madvise: poisoning memory needs CAP_SYS_ADMIN")
    discards = one_of(to.advice, treated_as_discard(mm.edition))

    def refused(vma: Vma) -> Bool:
        return and_(discards, vma.sealed, is_protected(mm, vma))

    up_front = mm.edition.seals is SealCheck.UP_FRONT
    if up_front:
        mm.check_each(
            to.start, to.end, refused, Errno.EPERM, "madvise: a read-only anonymous VMA of the range is sealed"
        )
    if mm.decide(one_of(to.advice, (POPULATE_READ, POPULATE_WRITE))):
        _populate(mm, to)
        return 0

    def advise(vma: Vma, at: Visit) -> Vma:
        if not up_front:
            at.fail_if(refused(vma), Errno.EPERM, "madvise: the VMA is sealed, read-only and anonymous")
        for condition, errno, check in own_checks(mm.edition, to.advice, vma, at):
            at.fail_if(condition, errno, check)
        _discard(to.advice, vma, at)
        return advised(to.advice, vma)

    no_room = Errno.EAGAIN
    mm.change_each(to.start, to.end, advise, gap=Gap.REMEMBER, no_room=no_room)
    return 0


def is_protected(mm: AddressSpace, vma: Vma) -> Bool:
    """The seal keeps the contents of this VMA from being discarded (is_ro_anon)."""
    if mm.edition.seal_protects == "no vm_ops":
        return and_(is_anonymous(vma), mm.cannot_write(vma))
    return and_(not_(has_file(vma)), not_(vma.shared), mm.cannot_write(vma))


def own_checks(edition: Edition, advice: Num, vma: Vma, at: Visit) -> list[tuple[Bool, Errno, str]]:
    """What each behaviour refuses of its own, seals apart."""
    hugetlb, special = eq(vma.backing, HUGETLB), is_special(vma)

    def when(values: tuple[int, ...], condition: Bool) -> Bool:
        return and_(one_of(advice, values), condition)

    checks = [
        (when((REMOVE,), vma.locked), Errno.EINVAL, "madvise: MADV_REMOVE on a locked VMA"),
        (when((REMOVE,), not_(has_file(vma))), Errno.EINVAL, "madvise: MADV_REMOVE without a file"),
        (
            when((REMOVE,), not_(and_(vma.shared, vma.may_write))),
            Errno.EACCES,
            "madvise: MADV_REMOVE wants a shared, writable file",
        ),
        (
            when((COLD, PAGEOUT), or_(vma.locked, hugetlb)),
            Errno.EINVAL,
            "madvise: locked and huge memory is not paged out",
        ),
        (
            when((DONTNEED, FREE), and_(vma.locked, not_(hugetlb))),
            Errno.EINVAL,
            "madvise: locked memory is discarded by MADV_DONTNEED_LOCKED only",
        ),
        (when((FREE,), not_(is_anonymous(vma))), Errno.EINVAL, "madvise: MADV_FREE wants anonymous memory"),
        (
            when((DONTNEED, DONTNEED_LOCKED), and_(hugetlb, not_(starts_huge_page(at.start)))),
            Errno.EINVAL,
            "madvise: huge pages are discarded whole",
        ),
        (
            when((WIPEONFORK,), or_(has_file(vma), vma.shared)),
            Errno.EINVAL,
            "madvise: MADV_WIPEONFORK wants anonymous memory",
        ),
        (when((KEEPONFORK,), vma.droppable), Errno.EINVAL, "madvise: droppable memory is always wiped on fork"),
        (
            when((DODUMP,), or_(and_(special, not_(hugetlb)), vma.droppable)),
            Errno.EINVAL,
            "madvise: special and droppable memory is never dumped",
        ),
        (
            when((COLLAPSE,), not_(_holds_huge_page(vma))),
            Errno.EINVAL,
            "madvise: MADV_COLLAPSE wants room for a huge page",
        ),
    ]
    if edition.guard_pages:
        unguardable = or_(vma.locked, hugetlb, special)
        checks.append((when((GUARD_INSTALL,), unguardable), Errno.EINVAL, "madvise: guard pages want ordinary memory"))
        checks.append(
            (
                when((GUARD_REMOVE,), or_(hugetlb, special)),
                Errno.EINVAL,
                "madvise: guard pages are in ordinary memory only",
            )
        )
    return checks


def _holds_huge_page(vma: Vma) -> Bool:
    """An aligned huge page lies within the VMA."""
    first = (
        (vma.start + (HUGE_PAGES - 1)) // HUGE_PAGES
        if isinstance(vma.start, int)
        else (vma.start + (HUGE_PAGES - 1)) / HUGE_PAGES
    ) * HUGE_PAGES
    return and_(le(first + HUGE_PAGES, vma.end), or_(is_anonymous(vma), has_file(vma)), not_(is_special(vma)))


def advised(advice: Num, vma: Vma) -> Vma:
    """The VMA after advice that changes its flags; the same VMA after any other."""

    def switch(now: Bool, on: int, off: int) -> Bool:
        return ite_bool(eq(advice, on), True, ite_bool(eq(advice, off), False, now))

    mergeable = not_(or_(vma.shared, vma.may_share, is_special(vma), vma.droppable))
    return replace(
        vma,
        reading=ite(eq(advice, 0), NORMAL, ite(eq(advice, 1), RANDOM, ite(eq(advice, 2), SEQUENTIAL, vma.reading))),
        dontfork=switch(vma.dontfork, DONTFORK, DOFORK),
        wipeonfork=switch(vma.wipeonfork, WIPEONFORK, KEEPONFORK),
        dontdump=switch(vma.dontdump, DONTDUMP, DODUMP),
        mergeable=ite_bool(
            and_(eq(advice, MERGEABLE), mergeable), True, ite_bool(eq(advice, UNMERGEABLE), False, vma.mergeable)
        ),
        thp=ite(eq(advice, HUGEPAGE), THP_ALWAYS, ite(eq(advice, NOHUGEPAGE), THP_NEVER, vma.thp)),
    )


def _discard(advice: Num, vma: Vma, at: Visit) -> None:
    """What the advice does to the contents of the VMA's part of the range."""
    drops = one_of(advice, (DONTNEED, DONTNEED_LOCKED))
    frees = eq(advice, FREE)
    installs, removes = eq(advice, GUARD_INSTALL), eq(advice, GUARD_REMOVE)
    pages_out = eq(advice, PAGEOUT)
    whole_end = ite(eq(vma.backing, HUGETLB), at.end - at.end % HUGE_PAGES, at.end)

    def after(page: Num, vma: Vma, now: Page) -> Page:
        lost = or_(
            and_(drops, lt(page, whole_end), not_(now.guard)),
            and_(installs, True),
            and_(pages_out, or_(now.lazy, and_(vma.droppable, now.copied))),
        )
        return Page(
            copied=and_(now.copied, not_(lost)),
            own=ite(lost, 0, now.own),
            lazy=and_(or_(now.lazy, and_(frees, now.copied)), not_(lost)),
            guard=ite_bool(installs, True, and_(now.guard, not_(removes))),
        )

    at.pages(after)
    at.prepare_if(installs)
    at.punch_hole_if(eq(advice, REMOVE))


def _populate(mm: AddressSpace, to: Advise) -> None:
    """MADV_POPULATE_READ and _WRITE fault the range in; they change no VMA and are not subject to seals themselves."""
    writes = eq(to.advice, POPULATE_WRITE)

    def populate(vma: Vma, at: Visit) -> Vma:
        denied = or_(and_(writes, mm.cannot_write(vma)), and_(not_(writes), mm.cannot_read(vma)))
        at.fail_if(denied, Errno.EINVAL, "madvise: MADV_POPULATE wants that access")
        at.fail_if(
            mm.faults_fail(vma, at.start, at.end), Errno.EFAULT, "madvise: MADV_POPULATE meets a page that faults"
        )
        at.populate_if(writes)
        return vma

    mm.change_each(to.start, to.end, populate, gap=Gap.STOP)
