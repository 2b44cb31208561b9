# SPDX-License-Identifier: MIT
"""What several properties say of one page of a transition. One copy each; nothing here knows an edition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spec.advice import HWPOISON, SOFT_OFFLINE
from spec.arguments import Advise, Map, Move, PageRange
from spec.errors import Errno
from spec.terms import Bool, Num, all_, and_, between, eq, implies, lt, not_, one_of, or_
from spec.transition import Transition
from spec.vma import HUGE_PAGES, Vma, has_file, offset_at, same_mapping
from spec.words import MIN_PAGE

Formula = Callable[[Transition, Num], Bool]
"""What is true of a transition at a page."""


def alike_in(a: Vma, b: Vma, *names: str) -> Bool:
    """The named attributes are equal."""
    return all_(eq(getattr(a, name), getattr(b, name)) for name in names)


# outcomes ------------------------------------------------------------------------------------------------------------


def succeeded(t: Transition) -> bool:
    """The call returned success."""
    return t.errno is Errno.OK


def failed(t: Transition) -> bool:
    """The call was refused."""
    return t.errno is not Errno.OK


def refused_with(errno: Errno) -> Callable[[Transition], bool]:
    """The call was refused with this errno."""
    return lambda t: t.errno is errno


# one page ------------------------------------------------------------------------------------------------------------


def in_range(t: Transition, p: Num) -> Bool:
    """The page is in the range of a call that has one."""
    to = t.asked(PageRange)
    return between(to.start, p, to.end)


def sealed(t: Transition, p: Num) -> Bool:
    """The page was sealed before."""
    was = t.before.at(p)
    return and_(was.mapped, was.vma.sealed)


def sealed_after(t: Transition, p: Num) -> Bool:
    """The page is sealed after."""
    now = t.after.at(p)
    return and_(now.mapped, now.vma.sealed)


def newly_sealed(t: Transition, p: Num) -> Bool:
    """The call sealed the page."""
    return and_(sealed_after(t, p), not_(sealed(t, p)))


def not_writable(t: Transition, p: Num) -> Bool:
    """The calling thread could not write the page: no VM_WRITE, or its PKRU denied it."""
    vma = t.before.at(p).vma
    return or_(not_(vma.write), t.before.write_denied(vma.pkey))


def same_protection(t: Transition, p: Num) -> Bool:
    """What may be done with the page is as before, if it is still mapped."""
    a, b = t.before.at(p).vma, t.after.at(p).vma
    names = ("read", "write", "exec", "may_read", "may_write", "may_exec", "pkey")
    return implies(t.after.at(p).mapped, alike_in(a, b, *names))


def same_identity(t: Transition, p: Num) -> Bool:
    """The page shows the same place of the same object."""
    a, b = t.before.at(p).vma, t.after.at(p).vma
    there = alike_in(a, b, "shared", "may_share", "backing", "object")
    return and_(there, or_(not_(has_file(a)), eq(offset_at(a, p), offset_at(b, p))))


def same_contents(t: Transition, p: Num) -> Bool:
    """The page holds what it held."""
    return eq(t.before.at(p).visible, t.after.at(p).visible)


def unchanged(t: Transition, p: Num) -> Bool:
    """Mapped alike, every attribute alike, and the program reads the same."""
    a, b = t.before.at(p), t.after.at(p)
    alike = and_(same_mapping(a.vma, b.vma, p), eq(a.visible, b.visible), eq(a.page.guard, b.page.guard))
    return and_(eq(a.mapped, b.mapped), or_(not_(a.mapped), alike))


def unchanged_but(t: Transition, p: Num, *names: str) -> Bool:
    """As `unchanged`, but for the named attributes of the VMA."""
    return and_(same_attributes_but(t, p, *names), or_(not_(t.before.at(p).mapped), same_contents(t, p)))


def same_attributes_but(t: Transition, p: Num, *names: str) -> Bool:
    """Mapped alike, and every attribute alike but the named ones; of contents this says nothing."""
    a, b = t.before.at(p), t.after.at(p)
    alike = same_mapping(replace(a.vma, **{n: getattr(b.vma, n) for n in names}), b.vma, p)
    return and_(eq(a.mapped, b.mapped), implies(a.mapped, alike))


def same_everything(t: Transition, p: Num) -> Bool:
    """No page, no VMA boundary and no count is otherwise than before."""
    return and_(
        unchanged(t, p),
        eq(t.before.cut(p), t.after.cut(p)),
        eq(t.before.map_count, t.after.map_count),
        eq(t.before.brk, t.after.brk),
    )


def same_vma(t: Transition, p: Num, q: Num) -> Bool:
    """Page p, and page q behind it, were in one VMA."""
    a, b = t.before.at(p), t.before.at(q)
    return and_(a.mapped, b.mapped, eq(a.vma.start, b.vma.start), lt(p, q))


# what calls ask for --------------------------------------------------------------------------------------------------


def eperm_for_another_reason(t: Transition) -> Bool:
    """EPERM that has nothing to do with seals: an address below mmap_min_addr, poisoning without CAP_SYS_ADMIN."""
    if t.call == "mmap":
        new = t.asked(Map)
        rounded_down = and_(new.huge, not_(new.fixed), lt(new.page, MIN_PAGE + HUGE_PAGES))
        return or_(lt(new.page, MIN_PAGE), rounded_down)
    if t.call == "mremap":
        to = t.asked(Move)
        return and_(or_(to.fixed, to.dontunmap), lt(to.new, MIN_PAGE))
    if t.call == "madvise":
        return one_of(t.asked(Advise).advice, (HWPOISON, SOFT_OFFLINE))
    return False
