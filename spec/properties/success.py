# SPDX-License-Identifier: MIT
"""What success of each call promises, from the manual pages: at one page that stands for all."""

from __future__ import annotations

from typing import Final

from spec.advice import (
    COLD,
    COLLAPSE,
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
    KEEPONFORK,
    NOHUGEPAGE,
    PAGEOUT,
    POPULATE_READ,
    POPULATE_WRITE,
    REMOVE,
    SOFT_OFFLINE,
    UNMERGEABLE,
    WIPEONFORK,
)
from spec.arguments import Advise, Break, Map, Move, Protect, Write
from spec.editions import System
from spec.mapping import LARGEST_FILE_PAGES, NO_FILE, READ_ONLY_FILE
from spec.predicates import (
    Formula,
    in_range,
    same_attributes_but,
    same_everything,
    sealed,
    succeeded,
    unchanged,
    unchanged_but,
)
from spec.properties.base import (
    HEADER,
    Property,
)
from spec.terms import Bool, Num, all_, and_, between, eq, implies, le, lt, ne, not_, one_of, or_, smaller
from spec.transition import Transition
from spec.vma import (
    FILE,
    HUGE_PAGES,
    HUGETLB,
    SPECIAL,
    Vma,
    has_file,
    is_anonymous,
    is_special,
    offset_at,
    starts_huge_page,
)
from spec.words import MIN_PAGE, TASK_PAGES


def mseal(t: Transition, p: Num) -> Bool:
    """mseal: the range is mapped, and exactly it is sealed anew."""
    was, now, inside = t.before.at(p), t.after.at(p), in_range(t, p)
    seal = implies(was.mapped, eq(now.vma.sealed, or_(was.vma.sealed, inside)))
    return and_(implies(inside, was.mapped), seal, unchanged_but(t, p, "sealed"))


def munmap(t: Transition, p: Num) -> Bool:
    """munmap(2): the range is unmapped, the rest is as before."""
    return or_(and_(in_range(t, p), not_(t.after.at(p).mapped)), and_(not_(in_range(t, p)), unchanged(t, p)))


def mmap(t: Transition, p: Num) -> Bool:
    """mmap(2): the range at the returned address is mapped as asked; MAP_FIXED is obeyed; the rest is as before."""
    new, start = t.asked(Map), t.value
    inside = between(start, p, start + new.pages)
    now, was = t.after.at(p), t.before.at(p)
    shared = one_of(new.type, (1, 3))
    huge = implies(new.huge, and_(eq(now.vma.backing, HUGETLB), starts_huge_page(new.offset)))
    as_asked = and_(
        now.mapped,
        huge,
        eq(now.vma.read, new.read),
        eq(now.vma.write, new.write),
        eq(now.vma.exec, new.exec),
        eq(now.vma.may_share, shared),
        eq(now.vma.growsdown, new.growsdown),
        not_(now.vma.sealed),
    )
    has_file = or_(ne(new.file, NO_FILE), new.huge)
    known_type = or_(one_of(new.type, (1, 2)), and_(eq(new.type, 3), has_file), and_(eq(new.type, 8), not_(has_file)))
    asked_well = and_(
        known_type,
        not_(and_(shared, new.write, eq(new.file, READ_ONLY_FILE))),
        not_(and_(new.growsdown, or_(shared, has_file))),
        not_(and_(eq(new.type, 3), new.unsupported)),
        not_(and_(eq(new.type, 8), or_(new.locked, new.growsdown))),
        new.small,
        implies(or_(one_of(new.file, (1, READ_ONLY_FILE)), new.huge), lt(new.offset + new.pages, LARGEST_FILE_PAGES)),
    )
    placed = implies(
        new.fixed,
        and_(
            eq(start, new.page),
            new.aligned,
            implies(new.huge, starts_huge_page(start)),
            le(MIN_PAGE, start),
            le(start + new.pages, TASK_PAGES),
        ),
    )
    kept = implies(or_(not_(new.fixed), new.noreplace), not_(was.mapped))
    return and_(asked_well, placed, implies(inside, and_(as_asked, kept)), or_(inside, unchanged(t, p)))


def mprotect(t: Transition, p: Num) -> Bool:
    """mprotect(2), pkeys(7): every page of the range is mapped and has the protection and key that were asked for."""
    to, now, was = t.asked(Protect), t.after.at(p), t.before.at(p)
    below = and_(to.growsdown, lt(p, to.start))
    # with PROT_GROWSDOWN the range begins with the first VMA in it, wherever that begins
    inside = and_(in_range(t, p), or_(not_(to.growsdown), was.mapped))
    given = and_(eq(now.vma.read, to.read), eq(now.vma.write, to.write), eq(now.vma.exec, to.exec))
    key = or_(eq(to.pkey, -1), and_(t.before.pkey_allocated(to.pkey), eq(now.vma.pkey, to.pkey)))
    allowed = and_(
        implies(to.read, was.vma.may_read), implies(to.write, was.vma.may_write), implies(to.exec, was.vma.may_exec)
    )
    first = and_(to.growsdown, inside, eq(p, to.start))
    grows = and_(or_(not_(to.growsup), to.growsdown), implies(first, was.vma.growsdown))
    outside = or_(inside, below, unchanged(t, p))
    valid = or_(eq(to.pkey, -1), t.before.pkey_allocated(to.pkey))
    rest = unchanged_but(t, p, "read", "write", "exec", "pkey", "account")
    return and_(valid, implies(inside, and_(was.mapped, given, key, allowed)), grows, outside, rest)


def mremap(t: Transition, p: Num) -> Bool:
    """mremap(2): the pages of the old range are at the returned address, as many as were asked for. A range that is
    moved to a given address without a change of its size may hold several VMAs and gaps: what is at the place of a gap
    stays."""
    to, start = t.asked(Move), t.value
    source = t.before.at(to.old)
    now = t.after.at(p)
    there = between(start, p, start + to.new_pages)
    here = between(to.old, p, to.old + to.old_pages)
    moved = or_(to.fixed, to.dontunmap)
    used = smaller(to.old_pages, to.new_pages)
    several = and_(to.fixed, eq(to.old_pages, to.new_pages))
    one_vma = and_(or_(moved, lt(to.old_pages, to.new_pages)), not_(several))
    within = implies(one_vma, le(to.old + used, source.vma.end))
    came_from = t.before.at(to.old + (p - start))
    carried = implies(
        and_(there, lt(p, start + used), or_(moved, lt(to.old_pages, to.new_pages)), came_from.mapped),
        and_(
            now.mapped,
            eq(now.visible, came_from.visible),
            # of a private mapping of /dev/zero the offset says nothing, and unwritten it gets that of its new place
            or_(
                not_(one_of(now.vma.backing, (FILE, HUGETLB))),
                eq(offset_at(now.vma, p), offset_at(came_from.vma, to.old + (p - start))),
            ),
        ),
    )
    names = ("read", "write", "exec", "backing", "object", "pkey")
    each = implies(
        and_(several, there),
        and_(
            implies(came_from.mapped, all_(eq(getattr(now.vma, n), getattr(came_from.vma, n)) for n in names)),
            or_(came_from.mapped, unchanged_but(t, p, "locked")),
        ),
    )
    real = implies(and_(eq(to.old_pages, 0), source.mapped), source.vma.may_share)
    destination = and_(
        to.new_aligned,
        to.new_fits,
        implies(to.fixed, eq(start, to.new)),
        implies(to.fixed, le(MIN_PAGE, start)),
        # the two ranges are apart; an old range that wraps around is compared as the kernel computes its end
        or_(le(to.old_end, to.new), le(to.new + to.new_pages, to.old)),
    )
    huge = eq(source.vma.backing, HUGETLB)
    whole = implies(huge, and_(starts_huge_page(to.old), starts_huge_page(to.new), le(to.new_pages, to.old_pages)))
    grows = and_(lt(to.old_pages, to.new_pages), not_(eq(to.old_pages, 0)))
    ordinary = implies(
        is_special(source.vma), and_(not_(grows), not_(and_(to.dontunmap, eq(source.vma.backing, SPECIAL))))
    )
    stays = implies(and_(not_(to.may_move), not_(moved)), eq(start, to.old))
    grows_or_moves = or_(lt(to.old_pages, to.new_pages), moved)
    alike = all_(eq(getattr(now.vma, n), getattr(source.vma, n)) for n in names)
    reaches = implies(
        there,
        and_(
            implies(and_(grows_or_moves, not_(several)), and_(now.mapped, alike)),
            or_(grows_or_moves, unchanged(t, p)),
        ),
    )
    # that the rest stays locked is a property of its own, for some kernels break that and keep all else
    rest = or_(there, here, unchanged_but(t, p, "locked"))
    tail = and_(lt(to.new_pages, to.old_pages), between(to.old + to.new_pages, p, to.old + to.old_pages), not_(there))
    gone = implies(tail, not_(now.mapped))
    in_space = implies(lt(to.new_pages, to.old_pages), le(to.old + to.old_pages, TASK_PAGES))
    return and_(
        source.mapped,
        within,
        real,
        implies(moved, destination),
        whole,
        ordinary,
        stays,
        implies(source.mapped, reaches),
        carried,
        each,
        rest,
        gone,
        in_space,
    )


def madvise(t: Transition, p: Num) -> Bool:
    """madvise(2): every page of the range is mapped, the advice applies to it, and was taken."""
    advice, inside = t.asked(Advise).advice, in_range(t, p)
    was, now = t.before.at(p), t.after.at(p)

    def when(values: tuple[int, ...], promise: Bool) -> Bool:
        return implies(one_of(advice, values), promise)

    vma: Vma = was.vma
    huge = eq(vma.backing, HUGETLB)
    applies = and_(
        when((DONTNEED, FREE), or_(not_(vma.locked), huge)),
        when((REMOVE, COLD, PAGEOUT), not_(vma.locked)),
        when((COLD, PAGEOUT), not_(huge)),
        when((FREE,), is_anonymous(vma)),
        when((REMOVE,), and_(has_file(vma), vma.shared, vma.may_write)),
        when((WIPEONFORK,), and_(not_(has_file(vma)), not_(vma.shared))),
        when((KEEPONFORK, DODUMP), not_(vma.droppable)),
        when((DODUMP,), ne(vma.backing, SPECIAL)),
        when((COLLAPSE,), and_(not_(is_special(vma)), le(HUGE_PAGES, vma.end - vma.start))),
        when((GUARD_INSTALL,), and_(not_(vma.locked), not_(is_special(vma)))),
        when((POPULATE_READ,), and_(vma.read, not_(t.before.access_denied(vma.pkey)))),
        when((POPULATE_WRITE,), and_(vma.write, not_(t.before.write_denied(vma.pkey)))),
        when(
            (POPULATE_READ, POPULATE_WRITE),
            not_(and_(eq(vma.backing, FILE), le(t.before.object_pages(vma.object), offset_at(vma, p)))),
        ),
        when((GUARD_REMOVE,), not_(is_special(vma))),
        when((HWPOISON, SOFT_OFFLINE), False),
    )
    dropped = not_(now.page.copied)
    taken = and_(
        when((DONTNEED, DONTNEED_LOCKED), or_(huge, dropped)),
        when((DONTNEED, DONTNEED_LOCKED), implies(and_(huge, eq(p, t.asked(Advise).start)), starts_huge_page(p))),
        when((DONTFORK,), now.vma.dontfork),
        when((DOFORK,), not_(now.vma.dontfork)),
        when((WIPEONFORK,), now.vma.wipeonfork),
        when((KEEPONFORK,), not_(now.vma.wipeonfork)),
        when((DONTDUMP,), now.vma.dontdump),
        when((DODUMP,), not_(now.vma.dontdump)),
        when((UNMERGEABLE,), not_(now.vma.mergeable)),
        when((HUGEPAGE,), eq(now.vma.thp, 1)),
        when((NOHUGEPAGE,), eq(now.vma.thp, 2)),
        when((GUARD_INSTALL,), now.page.guard),
    )
    discarding = (DONTNEED, DONTNEED_LOCKED, FREE, REMOVE, PAGEOUT, GUARD_INSTALL)
    kept = implies(was.mapped, or_(one_of(advice, (*discarding, 103)), eq(was.visible, now.visible)))
    marks = ("dontfork", "wipeonfork", "dontdump", "mergeable", "thp", "reading")
    return and_(implies(inside, and_(was.mapped, applies, taken)), kept, same_attributes_but(t, p, *marks))


def brk(t: Transition, p: Num) -> Bool:
    """brk(2): the break is where it was asked to be; what lies between was free and is memory now, or the reverse."""
    to, old, was, now = t.asked(Break).page, t.before.brk, t.before.at(p), t.after.at(p)
    added, removed = between(old, p, to), between(to, p, old)
    fresh = and_(not_(was.mapped), now.mapped, now.vma.read, now.vma.write, not_(now.vma.sealed))
    apart = implies(and_(lt(old, to), eq(p, to)), not_(was.mapped))
    limits = and_(le(t.before.start_brk, to), implies(lt(old, to), le(to, TASK_PAGES)))
    return and_(
        eq(t.after.brk, to),
        limits,
        apart,
        implies(added, fresh),
        implies(removed, not_(now.mapped)),
        or_(added, removed, unchanged(t, p)),
    )


def mlock(t: Transition, p: Num) -> Bool:
    """mlock(2): every page of the range is mapped, marked locked where that is possible, and can be accessed."""
    was, now, inside = t.before.at(p), t.after.at(p), in_range(t, p)
    exempt = or_(is_special(was.vma), was.vma.droppable)
    by_write = and_(was.vma.write, not_(was.vma.shared))
    denied = or_(
        and_(by_write, t.before.write_denied(was.vma.pkey)), and_(not_(by_write), t.before.access_denied(was.vma.pkey))
    )
    accessible = and_(or_(was.vma.read, was.vma.write, was.vma.exec), not_(denied))
    promised = and_(was.mapped, accessible, or_(exempt, now.vma.locked))
    return and_(implies(inside, promised), unchanged_but(t, p, "locked"), or_(inside, unchanged(t, p)))


def munlock(t: Transition, p: Num) -> Bool:
    """munlock(2): every page of the range is mapped and no longer locked."""
    was, now, inside = t.before.at(p), t.after.at(p), in_range(t, p)
    exempt = or_(is_special(was.vma), was.vma.droppable)
    promised = and_(was.mapped, or_(exempt, not_(now.vma.locked)))
    return and_(implies(inside, promised), unchanged_but(t, p, "locked"), or_(inside, unchanged(t, p)))


def write(t: Transition, p: Num) -> Bool:
    """A store: the page was mapped, writable and no guard page, and holds the value now."""
    to = t.asked(Write)
    here, was = eq(p, to.page), t.before.at(p)
    denied = or_(not_(was.vma.write), t.before.write_denied(was.vma.pkey), was.page.guard)
    inside_object = or_(
        not_(eq(was.vma.backing, 1)), lt(was.vma.offset + (p - was.vma.start), t.before.object_pages(was.vma.object))
    )
    special = is_special(was.vma)
    stored = or_(special, eq(t.after.at(p).visible, to.byte))
    return implies(here, and_(was.mapped, not_(denied), inside_object, stored))


def openbsd_mseal(t: Transition, p: Num) -> Bool:
    """mimmutable(2): what a child would find wiped does not become immutable."""
    newly = and_(t.after.at(p).vma.sealed, not_(t.before.at(p).vma.sealed))
    return implies(and_(t.before.at(p).mapped, newly), not_(t.after.at(p).vma.wipeonfork))


def openbsd_munmap(t: Transition, p: Num) -> Bool:
    """munmap(2): every page of the range was mapped."""
    return implies(in_range(t, p), t.before.at(p).mapped)


def openbsd_madvise(t: Transition, p: Num) -> Bool:
    """madvise(2): what was discarded was mapped. minherit(2): what a child finds wiped was writable."""
    was, inside = t.before.at(p), in_range(t, p)
    discarded = and_(inside, one_of(t.asked(Advise).advice, (DONTNEED, FREE)))
    wiped = and_(inside, was.mapped, eq(t.asked(Advise).advice, WIPEONFORK))
    return and_(implies(discarded, was.mapped), implies(wiped, was.vma.write))


OPENBSD_CONTRACTS: dict[str, Formula] = {
    "mseal": openbsd_mseal,
    "munmap": openbsd_munmap,
    "madvise": openbsd_madvise,
}
"""What success promises on OpenBSD and not on Linux (docs/MIMMUTABLE.md)."""

CONTRACTS: dict[str, Formula] = {
    "mseal": mseal,
    "munmap": munmap,
    "mmap": mmap,
    "mprotect": mprotect,
    "pkey_mprotect": mprotect,
    "mremap": mremap,
    "madvise": madvise,
    "brk": brk,
    "mlock": mlock,
    "munlock": munlock,
    "write": write,
}
"""What success of each call promises."""


def _in_old_range(t: Transition, p: Num) -> Bool:
    to = t.asked(Move)
    return between(to.old, p, to.old + to.old_pages)


def _is_kept(t: Transition, p: Num) -> Bool:
    """No page was moved to this one: it is outside the new range, or at the place of a gap that was moved along."""
    to = t.asked(Move)
    gap = not_(t.before.at(to.old + (p - t.value)).mapped)
    kept_gap = and_(to.fixed, eq(to.old_pages, to.new_pages), gap)
    return or_(not_(between(t.value, p, t.value + to.new_pages)), kept_gap)


PROPERTIES: Final = (
    Property(
        "success-does-what-it-says",
        "A call that succeeds has done what its manual page says, to exactly the pages that it says: for mseal, it "
        "seals exactly its range and changes nothing else.",
        HEADER + "; the manual pages of the calls",
        tuple(CONTRACTS),
        outcomes=succeeded,
        holds=lambda t, p: CONTRACTS[t.call](t, p),
        contents=True,
    ),
    Property(
        "move-keeps-locks",
        "A move or resize neither locks nor unlocks a page that is outside the old range and keeps what it held.",
        "mlock(2), mremap(2): memory is locked until munlock, or until it is unmapped",
        ("mremap",),
        outcomes=succeeded,
        when=lambda t, p: and_(
            t.before.at(p).mapped,
            not_(_in_old_range(t, p)),
            _is_kept(t, p),
        ),
        holds=lambda t, p: and_(t.after.at(p).mapped, eq(t.before.at(p).vma.locked, t.after.at(p).vma.locked)),
    ),
    Property(
        "success-is-as-openbsd-says",
        "What munmap unmaps, and what MADV_DONTNEED and MADV_FREE discard, was mapped; what is to be wiped on fork "
        "was writable, and does not become immutable.",
        "OpenBSD: munmap(2), madvise(2), minherit(2), mimmutable(2)",
        tuple(OPENBSD_CONTRACTS),
        outcomes=succeeded,
        holds=lambda t, p: OPENBSD_CONTRACTS[t.call](t, p),
        promised_by=(System.OPENBSD,),
    ),
    Property(
        "sealing-twice-is-a-no-op",
        "Sealing a range that is sealed already succeeds and changes nothing, not even the VMAs.",
        HEADER + ": adding a seal on an already sealed memory is a no-action (no error)",
        ("mseal",),
        every=lambda t, q: implies(in_range(t, q), sealed(t, q)),
        holds=lambda t, p: and_(succeeded(t), same_everything(t, p)),
    ),
)
