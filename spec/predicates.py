# SPDX-License-Identifier: MIT
"""What several properties say of one page of a transition. One copy each; nothing here knows an edition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from spec.advice import HWPOISON, SOFT_OFFLINE
from spec.arguments import Advise, Map, Move, PageRange
from spec.errors import Errno
from spec.terms import Bool, Num, all_, and_, between, eq, implies, larger, lt, not_, one_of, or_
from spec.transition import Transition
from spec.vma import ATTRIBUTES, EMPTY_PAGE, HUGE_PAGES, Page, Vma, has_file, in_whole_pages, offset_at
from spec.words import MIN_PAGE

PKEYS: Final = 16
"""Protection keys of the processor, 0 to 15."""

MEANT: Final = tuple(name for name in ATTRIBUTES if name not in ("offset", "anon_vma", "inherited"))
"""Attributes of a VMA that calls set and keep. The page offset is compared by place; anon_vmas are bookkeeping that a
merge or a fault shares out anew."""

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


def same_page(t: Transition, p: Num) -> Bool:
    """What the page holds of its own, and its marks, are as before."""
    a, b = t.before.at(p).page, t.after.at(p).page
    return alike_pages(a, b)


def alike_pages(a: Page, b: Page) -> Bool:
    """The two hold the same of their own, and have the same marks."""
    return and_(eq(a.copied, b.copied), eq(a.own, b.own), eq(a.lazy, b.lazy), eq(a.guard, b.guard))


def is_empty(page: Page) -> Bool:
    """The page holds nothing of its own, and has no mark."""
    return alike_pages(page, EMPTY_PAGE)


def same_stored(t: Transition, p: Num) -> Bool:
    """The object behind the page holds there what it held, whether or not the page shows it."""
    a = t.before.at(p)
    place = offset_at(a.vma, p)
    same = eq(t.before.stored(a.vma.object, place), t.after.stored(a.vma.object, place))
    return implies(and_(a.mapped, has_file(a.vma)), same)


def same_attributes_but(t: Transition, p: Num, *names: str) -> Bool:
    """Mapped alike, at the same place of the same object, and every attribute alike but the named ones ("offset" names
    the place). Of contents this says nothing; nor of anon_vmas, which merges share out anew."""
    a, b = t.before.at(p), t.after.at(p)
    place = "offset" in names or eq(offset_at(a.vma, p), offset_at(b.vma, p))
    alike = and_(place, alike_in(a.vma, b.vma, *(n for n in MEANT if n not in names)))
    return and_(eq(a.mapped, b.mapped), implies(a.mapped, alike))


def unchanged_but(t: Transition, p: Num, *names: str) -> Bool:
    """As `unchanged`, but for the named attributes of the VMA."""
    held = implies(t.before.at(p).mapped, and_(same_page(t, p), same_contents(t, p)))
    return and_(same_attributes_but(t, p, *names), held, same_stored(t, p))


def unchanged(t: Transition, p: Num) -> Bool:
    """Mapped alike, every attribute and mark alike, and it and the object behind it hold what they held."""
    return unchanged_but(t, p)


def faulted_in(t: Transition, p: Num) -> Bool:
    """The page has a copy of its own of what it held: what a fault for writing leaves of a private page."""
    now = t.after.at(p)
    copy = and_(now.page.copied, not_(now.page.lazy), not_(now.page.guard))
    return and_(copy, not_(t.before.at(p).page.guard), same_contents(t, p))


def same_keys(t: Transition) -> Bool:
    """No protection key was allocated or freed, for execute-only memory neither, and the thread's PKRU is the same."""
    return same_keys_but(t, lambda key: False, eq(t.before.exec_key, t.after.exec_key))


def same_keys_but(t: Transition, key: Callable[[Num], Bool], exec_key: Bool) -> Bool:
    """Every protection key for which `key` does not hold is allocated as before, and the thread has the same rights
    through it; of the key for execute-only memory, `exec_key` holds."""
    a, b = t.before, t.after
    rights = (
        or_(
            key(n),
            and_(
                eq(a.pkey_allocated(n), b.pkey_allocated(n)),
                eq(a.access_denied(n), b.access_denied(n)),
                eq(a.write_denied(n), b.write_denied(n)),
            ),
        )
        for n in range(PKEYS)
    )
    return and_(exec_key, all_(rights))


def same_rest(t: Transition) -> Bool:
    """The program break, the protection keys and the thread's PKRU are as before: what is no page."""
    return and_(eq(t.before.brk, t.after.brk), same_keys(t))


def same_borders(t: Transition, p: Num) -> Bool:
    """No VMA begins or ends at the page that did not before, or the reverse, and there are as many."""
    return and_(eq(t.before.cut(p), t.after.cut(p)), eq(t.before.map_count, t.after.map_count))


def same_memory(t: Transition, p: Num) -> Bool:
    """No page is otherwise than before, nothing that an object holds, no VMA boundary, no count, not the break."""
    return and_(unchanged(t, p), same_borders(t, p), eq(t.before.brk, t.after.brk))


def same_everything(t: Transition, p: Num) -> Bool:
    """Nothing at all is otherwise than before: nothing of memory, no protection key, and not the thread's PKRU."""
    return and_(same_memory(t, p), same_keys(t))


def same_vma(t: Transition, p: Num, q: Num) -> Bool:
    """Page p, and page q behind it, were in one VMA."""
    a, b = t.before.at(p), t.before.at(q)
    return and_(a.mapped, b.mapped, eq(a.vma.start, b.vma.start), lt(p, q))


# what calls ask for --------------------------------------------------------------------------------------------------


def asked_move(t: Transition) -> Move:
    """What mremap was asked for, its sizes in whole huge pages: by the VMA at the old address, or, of a range that may
    hold several, by the one that it ends in. Unknown sizes are taken for whole ones (assumption HUGE_SIZES)."""
    to = t.asked(Move)
    if not isinstance(to.old_pages, int) or not isinstance(to.old, int):
        return to
    if not to.fixed or to.old_pages != to.new_pages or to.old_pages == 0:
        return to.in_huge_pages(t.before.at(to.old).vma)
    last = t.before.at(to.old + to.old_pages - 1)
    if not last.mapped:
        return to
    part = to.old + to.old_pages - larger(to.old, last.vma.start)
    more = in_whole_pages(last.vma, part) - part
    return replace(to, old_pages=to.old_pages + more, new_pages=to.new_pages + more, old_end=to.old_end + more)


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
