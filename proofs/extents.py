# SPDX-License-Identifier: MIT
"""What a failed call can have changed at most: in which pages, in what respect, at which boundaries.

Formulas over a transition and a page, each with words for people. The matrix (proofs/matrix.py) takes from each ordered
list the first that is proved to contain every change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spec.advice import REMOVE
from spec.errors import Errno
from spec.predicates import same_page, same_stored
from spec.terms import Bool, Num, and_, any_, between, eq, implies, le, lt, ne, not_, or_
from spec.vma import ANONYMOUS, has_file, offset_at

RANGED = ("mseal", "munmap", "mprotect", "pkey_mprotect", "madvise", "mlock", "munlock")
PROTECTING = ("mprotect", "pkey_mprotect")


@dataclass(frozen=True, slots=True)
class Extent:
    """A set of pages that may contain every page that a failed call changed."""

    name: str
    words: str
    calls: tuple[str, ...]
    contains: Callable[..., Bool]
    """(transition, page), and a second page that stands for all if `second`; `stop` is given as well if `stops`."""
    errnos: tuple[Errno, ...] = ()
    """Failures of which it says something; empty: any."""
    second: bool = False
    stops: bool = False
    """It speaks of the page at which a pass over the range stopped; no pass did: it does not apply."""


def _range(t: Any, p: Num) -> Bool:
    """The range of the call, as far as it was mapped. With PROT_GROWSDOWN mprotect's begins where its first VMA
    does."""
    was = t.before.at(p)
    inside = between(t.to.start, p, t.to.end)
    if t.call in PROTECTING:
        first = t.before.at(t.to.start)
        below = and_(first.mapped, eq(was.vma.start, first.vma.start), lt(p, t.to.start))
        inside = or_(inside, and_(t.to.growsdown, below))
    return and_(was.mapped, inside)


def _elsewhere(t: Any, p: Num) -> Bool:
    """What MADV_REMOVE takes from a file is gone wherever the file is mapped."""
    if t.call != "madvise":
        return False
    was = t.before.at(p)
    return and_(eq(t.to.advice, REMOVE), was.mapped, has_file(was.vma))


def _up_to(obstacle: Callable[[Any, Num], Bool]) -> Callable[[Any, Num, Num], Bool]:
    """The pages of the range up to which no page of it is an obstacle."""

    def contains(t: Any, p: Num, q: Num) -> Bool:
        passed = and_(between(t.to.start, q, t.to.end), le(q, p))
        return or_(and_(_range(t, p), implies(passed, not_(obstacle(t, q)))), _elsewhere(t, p))

    return contains


def _sealed(t: Any, q: Num) -> Bool:
    was = t.before.at(q)
    return and_(was.mapped, was.vma.sealed)


def _protected(t: Any, q: Num) -> Bool:
    vma = t.before.at(q).vma
    return and_(_sealed(t, q), eq(vma.backing, ANONYMOUS), or_(not_(vma.write), t.before.write_denied(vma.pkey)))


def _forbidden(t: Any, q: Num) -> Bool:
    was, to = t.before.at(q), t.to
    missing = or_(
        and_(to.read, not_(was.vma.may_read)),
        and_(to.write, not_(was.vma.may_write)),
        and_(to.exec, not_(was.vma.may_exec)),
    )
    return and_(was.mapped, missing)


def _gap(t: Any, q: Num) -> Bool:
    """An unmapped page. PROT_GROWSDOWN passes over one at the start of the range: then it is none."""
    growsdown = t.to.growsdown if t.call in PROTECTING else False
    return and_(not_(t.before.at(q).mapped), not_(growsdown))


def _whole(t: Any, p: Num) -> Bool:
    """In a VMA that the end of the range does not cut."""
    return le(t.before.at(p).vma.end, t.to.end)


def _destination(t: Any, p: Num) -> Bool:
    to = t.to
    new, pages = (to.page, to.pages) if t.call == "mmap" else (to.new, to.new_pages)
    return and_(to.fixed, between(new, p, new + pages))


def _tail(t: Any, p: Num) -> Bool:
    return between(t.to.old + t.to.new_pages, p, t.to.old + t.to.old_pages)


def _source(t: Any, p: Num) -> Bool:
    return between(t.to.old, p, t.to.old + t.to.old_pages)


def _rest(t: Any, p: Num) -> Bool:
    """In a VMA that reaches into the old range: MREMAP_DONTUNMAP may unlock all of it."""
    was, to = t.before.at(p), t.to
    reaches = and_(lt(was.vma.start, to.old + to.old_pages), lt(to.old, was.vma.end))
    return and_(to.dontunmap, was.mapped, reaches)


def _moved_up_to_a_seal(t: Any, p: Num, q: Num) -> Bool:
    """In the old range before its first sealed page, or at the place in the destination that such a page goes to."""
    sealed = and_(_source(t, q), _sealed(t, q))
    source = and_(_source(t, p), implies(sealed, lt(p, q)))
    return or_(source, and_(_destination(t, p), implies(sealed, lt(p - t.to.new, q - t.to.old))), _rest(t, p))


_UNLOCKED = " (with MREMAP_DONTUNMAP also the rest of its VMAs)"
_REMOVED = " (with MADV_REMOVE also pages elsewhere that map a file)"

EXTENTS: tuple[Extent, ...] = (
    Extent(
        "before the first seal",
        "the pages of the range before the first sealed one",
        PROTECTING,
        _up_to(_sealed),
        (Errno.EPERM,),
        second=True,
    ),
    Extent(
        "before the first protected page",
        "the mapped pages of the range before the first sealed, anonymous one that cannot be written" + _REMOVED,
        ("madvise",),
        _up_to(_protected),
        (Errno.EPERM,),
        second=True,
    ),
    Extent(
        "before the first that may not",
        "the pages of the range before the first that may not have this protection",
        PROTECTING,
        _up_to(_forbidden),
        (Errno.EACCES,),
        second=True,
    ),
    Extent(
        "before the gap or the last VMA",
        "the pages of the range before its first gap and before the VMA that its end cuts",
        (*PROTECTING, "mlock", "munlock"),
        lambda t, p, q: and_(_up_to(_gap)(t, p, q), _whole(t, p)),
        (Errno.ENOMEM,),
        second=True,
    ),
    Extent(
        "before the last VMA",
        "the pages of the range before the VMA that its end cuts",
        RANGED,
        lambda t, p: and_(_range(t, p), _whole(t, p)),
        (Errno.ENOMEM, Errno.EINVAL, Errno.EAGAIN),
    ),
    Extent(
        "before the gap",
        "the pages of the range before its first gap",
        (*PROTECTING, "mlock", "munlock"),
        _up_to(_gap),
        (Errno.ENOMEM,),
        second=True,
    ),
    Extent(
        "before the VMA that failed",
        "the mapped pages of the range before the VMA at which the call stopped" + _REMOVED,
        ("madvise",),
        lambda t, p, stop: or_(and_(_range(t, p), lt(p, stop)), _elsewhere(t, p)),
        stops=True,
    ),
    Extent(
        "before the VMA that failed",
        "the pages of the range before the VMA at which the call stopped",
        tuple(call for call in RANGED if call != "madvise"),
        lambda t, p, stop: and_(_range(t, p), lt(p, stop)),
        stops=True,
    ),
    Extent("the range", "the mapped pages of the range", RANGED, _range),
    Extent(
        "the range and files elsewhere",
        "the mapped pages of the range" + _REMOVED,
        ("madvise",),
        lambda t, p: or_(_range(t, p), _elsewhere(t, p)),
    ),
    Extent("the heap's end", "the pages between the new break and the old one", ("brk",),
           lambda t, p: between(t.to.page, p, t.before.brk)),
    Extent(
        "what MAP_FIXED replaces",
        "the mapped pages of the range that MAP_FIXED replaces",
        ("mmap",),
        lambda t, p: and_(_destination(t, p), t.before.at(p).mapped),
    ),
    Extent("the destination", "the mapped pages of the destination", ("mremap",),
           lambda t, p: and_(_destination(t, p), t.before.at(p).mapped)),
    Extent("the tail", "the pages of the old range behind the new size", ("mremap",), _tail),
    Extent(
        "the destination or the tail",
        "the destination and the pages of the old range behind the new size",
        ("mremap",),
        lambda t, p: or_(_destination(t, p), _tail(t, p)),
    ),
    Extent(
        "what moved before the first seal",
        "the pages of the old range before its first sealed one, and their places in the destination" + _UNLOCKED,
        ("mremap",),
        _moved_up_to_a_seal,
        (Errno.EPERM,),
        second=True,
    ),
    Extent(
        "the destination or the source",
        "the destination and the old range",
        ("mremap",),
        lambda t, p: or_(_destination(t, p), _source(t, p)),
    ),
    Extent(
        "the destination and the VMAs of the source",
        "the destination and the old range" + _UNLOCKED,
        ("mremap",),
        lambda t, p: or_(_destination(t, p), _source(t, p), _rest(t, p)),
    ),
)  # fmt: skip
"""From narrow to wide, for each call."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A respect in which a page may be another than before."""

    words: str
    differs: Callable[[Any, Num], Bool]


PROTECTION = ("read", "write", "exec", "may_read", "may_write", "may_exec")
MARKS = ("dontfork", "wipeonfork", "dontdump", "mergeable", "reading", "thp", "droppable", "growsdown", "noreserve")
MAPS = ("shared", "may_share", "backing", "object", "sync", "opened_read_only")


def _attributes(*names: str) -> Callable[[Any, Num], Bool]:
    def differs(t: Any, p: Num) -> Bool:
        a, b = t.before.at(p), t.after.at(p)
        return and_(a.mapped, b.mapped, any_(ne(getattr(a.vma, n), getattr(b.vma, n)) for n in names))

    return differs


def _maps_another(t: Any, p: Num) -> Bool:
    a, b = t.before.at(p), t.after.at(p)
    place = ne(offset_at(a.vma, p), offset_at(b.vma, p))
    return or_(_attributes(*MAPS)(t, p), and_(a.mapped, b.mapped, place))


def _reads_another(t: Any, p: Num) -> Bool:
    a, b = t.before.at(p), t.after.at(p)
    shows = or_(ne(a.visible, b.visible), ne(a.page.guard, b.page.guard))
    return or_(and_(a.mapped, b.mapped, shows), not_(same_stored(t, p)))


def _has_another_copy(t: Any, p: Num) -> Bool:
    a, b = t.before.at(p), t.after.at(p)
    return and_(a.mapped, b.mapped, not_(same_page(t, p)))


KINDS: tuple[Kind, ...] = (
    Kind("unmapped", lambda t, p: and_(t.before.at(p).mapped, not_(t.after.at(p).mapped))),
    Kind("newly mapped", lambda t, p: and_(not_(t.before.at(p).mapped), t.after.at(p).mapped)),
    Kind("replaced by another mapping", _maps_another),
    Kind("sealed", _attributes("sealed")),
    Kind("given another protection", _attributes(*PROTECTION)),
    Kind("given another key", _attributes("pkey")),
    Kind("locked or unlocked", _attributes("locked")),
    Kind("marked by advice", _attributes(*MARKS)),
    Kind("charged otherwise", _attributes("account")),
    Kind("given other contents", _reads_another),
    Kind("faulted in or made lazily free", _has_another_copy),
)
"""Everything in which two pages that are not alike (spec.predicates.unchanged) differ."""


@dataclass(frozen=True, slots=True)
class Border:
    """The boundaries between VMAs that a failed call may have made or removed."""

    words: str
    calls: tuple[str, ...]
    at: Callable[[Any, Num], Bool]


def _ends(t: Any, p: Num) -> Bool:
    return or_(eq(p, t.to.start), eq(p, t.to.end))


BORDERS: tuple[Border, ...] = (
    Border("at the start of the range", RANGED, lambda t, p: eq(p, t.to.start)),
    Border("at the ends of the range", RANGED, _ends),
    Border("from one end of the range to the other", RANGED, lambda t, p: and_(le(t.to.start, p), le(p, t.to.end))),
    Border("at the start of the range", ("mmap",), lambda t, p: eq(p, t.to.page)),
    Border("at the ends of the range", ("mmap",), lambda t, p: or_(eq(p, t.to.page), eq(p, t.to.page + t.to.pages))),
    Border("at the new break", ("brk",), lambda t, p: eq(p, t.to.page)),
    Border("at the start of the destination", ("mremap",), lambda t, p: and_(t.to.fixed, eq(p, t.to.new))),
    Border("where the new size ends", ("mremap",), lambda t, p: eq(p, t.to.old + t.to.new_pages)),
    Border(
        "at the start of the destination or where the new size ends",
        ("mremap",),
        lambda t, p: or_(and_(t.to.fixed, eq(p, t.to.new)), eq(p, t.to.old + t.to.new_pages)),
    ),
    Border(
        "at the ends of the destination or where the new size ends",
        ("mremap",),
        lambda t, p: or_(
            and_(t.to.fixed, or_(eq(p, t.to.new), eq(p, t.to.new + t.to.new_pages))),
            eq(p, t.to.old + t.to.new_pages),
        ),
    ),
)
"""From narrow to wide, for each call. Where no page is changed, this is all that is."""
