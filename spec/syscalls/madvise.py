# SPDX-License-Identifier: MIT
"""madvise(2).

Sources: mm/madvise.c do_madvise, madvise_walk_vmas, madvise_vma_behavior and what they call; mm/mseal.c
can_modify_mm_madv (up to 6.11), can_modify_vma_madv (6.12 and later); mm/gup.c faultin_page_range for MADV_POPULATE.
OpenBSD: madvise(2), minherit(2); sys_madvise, uvm_map_clean, uvm_map_advice, uvm_map_inherit (docs/MIMMUTABLE.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from spec.advice import (
    COLD,
    COLLAPSE,
    DISCARDING,
    DODUMP,
    DOFORK,
    DONTDUMP,
    DONTFORK,
    DONTNEED,
    DONTNEED_LOCKED,
    FREE,
    GUARD_INSTALL,
    GUARD_REMOVE,
    HUGEPAGE,
    HWPOISON,
    INHERITANCE,
    KEEPONFORK,
    MERGEABLE,
    NOHUGEPAGE,
    PAGEOUT,
    POPULATE_READ,
    POPULATE_WRITE,
    REMOVE,
    SOFT_OFFLINE,
    UNMERGEABLE,
    WIPEONFORK,
    known_advice,
)
from spec.arguments import Advise, as_page, widened
from spec.editions import Discard, Edition, SealCheck, System
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
from spec.words import Word, add, below, equal, is_page_aligned, low32, page_align, untagged


def treated_as_discard(edition: Edition) -> list[int]:
    """The known values that is_madv_discard takes for discarding: the bit mask of v10 takes far too many. OpenBSD takes
    those that discard on some system, though not on its own, and all that say what a child inherits."""
    if edition.discard is Discard.INHERITED_TOO:
        return [DONTNEED, FREE, *INHERITANCE]
    if edition.discard is Discard.BIT_MASK:
        bits = 0
        for value in DISCARDING:
            bits |= value
        return [n for n in known_advice(edition) if n & bits]
    return [*DISCARDING, GUARD_INSTALL] if edition.guard_pages else list(DISCARDING)


def arguments(do: Guards, addr: Word, length: Word, advice: Word) -> Advise:
    """Bytes to pages: do_madvise's checks, the behaviour value before all else."""
    value = low32(advice)
    known = any_(equal(value, n) for n in known_advice(do.edition))
    do.fail_if(not_(known), Errno.EINVAL, "madvise: unknown advice")
    if do.edition.system is System.OPENBSD:
        first, end = widened(do, "madvise", addr, length)
        return Advise(as_page(first), as_page(end), cast(Num, value))
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
    reaches it, before the advice's own checks, so that EPERM leaves the VMAs before it advised. OpenBSD tests the range
    first, whatever memory is sealed in it; gaps are refused first by what it does to pages, and skipped by the rest.
    """
    openbsd = mm.edition.system is System.OPENBSD
    if not openbsd:
        hardware = one_of(to.advice, (HWPOISON, SOFT_OFFLINE))
        mm.fail_if(hardware, Errno.EPERM, "madvise: poisoning memory needs CAP_SYS_ADMIN")
    elif mm.decide(one_of(to.advice, (DONTNEED, FREE))):
        mm.check_mapped(to.start, to.end, Errno.EFAULT, "madvise: a page of the range is unmapped")
    discards = one_of(to.advice, treated_as_discard(mm.edition))

    def refused(vma: Vma) -> Bool:
        return and_(discards, vma.sealed, is_protected(mm, vma))

    in_the_loop = mm.edition.seals is SealCheck.IN_THE_LOOP
    if not in_the_loop:
        kind = "VMA" if openbsd else "read-only anonymous VMA"
        mm.check_each(to.start, to.end, refused, Errno.EPERM, f"madvise: a {kind} of the range is sealed")
    if mm.decide(one_of(to.advice, (POPULATE_READ, POPULATE_WRITE))):
        _populate(mm, to)
        return 0

    def advise(vma: Vma, at: Visit) -> Vma:
        if in_the_loop:
            at.fail_if(refused(vma), Errno.EPERM, "madvise: the VMA is sealed, read-only and anonymous")
        for condition, errno, check in own_checks(mm.edition, to.advice, vma, at):
            at.fail_if(condition, errno, check)
        _discard(mm.edition, to.advice, vma, at)
        return advised(to.advice, vma)

    no_room, gap = Errno.EAGAIN, Gap.IGNORE if openbsd else Gap.REMEMBER
    if mm.edition.seals is SealCheck.TWO_PASS:
        mm.foresee(to.start, to.end, advise, gap=gap, no_room=no_room)
    mm.change_each(to.start, to.end, advise, gap=gap, no_room=no_room)
    return 0


def is_protected(mm: AddressSpace, vma: Vma) -> Bool:
    """The seal keeps the contents of this VMA from being discarded (is_ro_anon; OpenBSD: whatever memory it is)."""
    if mm.edition.seal_protects == "any memory":
        return True
    if mm.edition.seal_protects == "no vm_ops":
        return and_(is_anonymous(vma), mm.cannot_write(vma))
    return and_(not_(has_file(vma)), not_(vma.shared), mm.cannot_write(vma))


def own_checks(edition: Edition, advice: Num, vma: Vma, at: Visit) -> list[tuple[Bool, Errno, str]]:
    """What each behaviour refuses of its own, seals apart."""
    hugetlb, special = eq(vma.backing, HUGETLB), is_special(vma)

    def when(values: tuple[int, ...], condition: Bool) -> Bool:
        return and_(one_of(advice, values), condition)

    no_file = when((WIPEONFORK,), or_(has_file(vma), vma.shared))
    wipes_anonymous = no_file, Errno.EINVAL, "madvise: MADV_WIPEONFORK wants anonymous memory"
    if edition.system is System.OPENBSD:
        read_only = when((WIPEONFORK,), not_(vma.write))
        return [(read_only, Errno.EPERM, "madvise: only writable memory is wiped on fork"), wipes_anonymous]
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
        wipes_anonymous,
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
    if edition.dofork_spares_special:
        checks.append((when((DOFORK,), special), Errno.EINVAL, "madvise: MADV_DOFORK of a special mapping"))
    if edition.guard_pages:
        unguardable = or_(hugetlb, special)
        if not edition.guards_files:
            unguardable = or_(unguardable, not_(and_(is_anonymous(vma), vma.may_write)))
        checks += [
            (
                when((GUARD_INSTALL,), or_(vma.locked, unguardable)),
                Errno.EINVAL,
                "madvise: guard pages want ordinary memory",
            ),
            (when((GUARD_REMOVE,), unguardable), Errno.EINVAL, "madvise: guard pages are in ordinary memory only"),
        ]
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


def _discard(edition: Edition, advice: Num, vma: Vma, at: Visit) -> None:
    """What the advice does to the contents of the VMA's part of the range."""
    drops, frees = one_of(advice, (DONTNEED, DONTNEED_LOCKED)), eq(advice, FREE)
    if edition.system is System.OPENBSD:  # MADV_FREE drops at once what is not locked, and nothing else drops anything
        drops, frees = and_(frees, not_(vma.locked)), False
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
    at.prepare_if(installs if edition.guards_prepare_files else and_(installs, is_anonymous(vma)))
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

    if mm.edition.seals is SealCheck.TWO_PASS:
        mm.foresee(to.start, to.end, populate, gap=Gap.STOP)
    mm.change_each(to.start, to.end, populate, gap=Gap.STOP)
