# SPDX-License-Identifier: MIT
"""The bounded reading: N symbolic VMAs, and the very splits, merges and counters of the concrete reading.

Each comparison that the list engine (checker/layout.py) makes is a decision whose both sides are explored. It serves
the induction lemmas, which need one step of a loop on a window of a few VMAs, and the cross-checks of the readings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import cast

import z3

from checker.layout import LayoutSpace
from checker.paths import Run
from checker.unbounded import Number, Truth
from spec.editions import Edition
from spec.errors import Errno
from spec.space import Refused
from spec.terms import Bool, Num, Unknown, and_, any_, between, eq, ite, le, lt, ne, not_, or_
from spec.transition import PageView
from spec.vma import EMPTY_PAGE, Page, Vma, choose_page, choose_vma, visible, well_formed_page, well_formed_vma
from spec.words import MIN_PAGE, TASK_PAGES


def symbolic_vma(name: str) -> Vma:
    """A VMA of unknowns."""
    return Vma(
        **{f.name: z3.Bool(f"{name}.{f.name}") if f.type == "Bool" else z3.Int(f"{name}.{f.name}") for f in fields(Vma)}
    )


class Window:
    """An arbitrary well-formed address space of exactly N VMAs (and any number elsewhere)."""

    def __init__(self, count: int) -> None:
        self.vmas = [symbolic_vma(f"vma{i}") for i in range(count)]
        self.elsewhere = z3.Int("elsewhere")
        self.max_map_count = z3.Int("max_map_count")
        self.brk, self.start_brk = z3.Int("brk"), z3.Int("start_brk")
        self.exec_key = z3.Int("execute_only_pkey")
        self.page_functions = {
            f.name: Unknown(f"page_{f.name}", Number, Truth if f.type == "Bool" else Number) for f in fields(Page)
        }
        self.stored = Unknown("stored", Number, Number, Number)
        self.object_pages = Unknown("object_pages", Number, Number)
        self.write_denied = Unknown("write_denied", Number, Truth)
        self.access_denied = Unknown("access_denied", Number, Truth)
        self.pkey_allocated = Unknown("pkey_allocated", Number, Truth)

    def page(self, number: Num) -> Page:
        """What a page holds in the arbitrary address space."""
        return Page(**{name: f(number) for name, f in self.page_functions.items()})

    def well_formed(self) -> list[z3.BoolRef]:
        """The conditions on the VMAs and counters."""
        facts: list[Bool] = [le(0, self.elsewhere), le(8, self.max_map_count), between(0, self.exec_key, 16)]
        facts += [and_(le(0, self.start_brk), le(self.start_brk, self.brk), le(self.brk, TASK_PAGES))]
        for i, vma in enumerate(self.vmas):
            facts += [condition for condition, _ in well_formed_vma(vma)]
            if i:
                facts.append(le(self.vmas[i - 1].end, vma.start))
        return [f for f in facts if isinstance(f, z3.ExprRef)]

    def page_facts(self, number: Num) -> list[z3.BoolRef]:
        """Well-formedness of one page."""
        mapped = any_(between(v.start, number, v.end) for v in self.vmas)
        vma = self.vmas[0]
        for other in self.vmas[1:]:
            vma = choose_vma(between(other.start, number, other.end), other, vma)
        fact = well_formed_page(mapped, vma, self.page(number))
        return [fact] if isinstance(fact, z3.ExprRef) else []


class BoundedSpace(LayoutSpace):
    """The list engine over symbolic VMAs, on one path."""

    def __init__(self, window: Window, edition: Edition, run: Run, *, dropped: str | None = None) -> None:
        self.window = window
        self.edition = edition
        self.run = run
        self.dropped = dropped
        self.vmas = list(window.vmas)
        self.elsewhere = window.elsewhere
        self.counter = window.elsewhere + len(window.vmas)
        self.cursor_inside: list[Bool] = []
        self._page: Callable[[Num], Page] = window.page
        self._stored: Callable[[Num, Num], Num] = lambda o, at: cast(z3.ArithRef, window.stored(o, at))
        self._write: Callable[[Num], Bool] = lambda key: cast(z3.BoolRef, window.write_denied(key))
        self._access: Callable[[Num], Bool] = lambda key: cast(z3.BoolRef, window.access_denied(key))
        self._brk: Num = window.brk
        self._names = 0

    def _fresh(self, what: str) -> str:
        self._names += 1
        return f"{what}!{self._names}"

    def decide(self, cond: Bool) -> bool:
        return self.run.decide(cond)

    def skipped(self, check: str) -> bool:
        return check == self.dropped

    @property
    def max_map_count(self) -> Num:
        return self.window.max_map_count

    @property
    def brk(self) -> Num:
        return self._brk

    @property
    def start_brk(self) -> Num:
        return self.window.start_brk

    def set_brk(self, page: Num) -> None:
        self._brk = page

    def environment(self, why: str) -> Bool:
        return self.run.choose(z3.Bool(self._fresh(f"fails({why})")))

    def write_denied(self, pkey: Num) -> Bool:
        return self._write(pkey)

    def access_denied(self, pkey: Num) -> Bool:
        return self._access(pkey)

    def set_write_denied(self, access: tuple[Bool, ...], write: tuple[Bool, ...]) -> None:
        self._write = lambda key: any_(and_(eq(key, i), denied) for i, denied in enumerate(write))
        self._access = lambda key: any_(and_(eq(key, i), denied) for i, denied in enumerate(access))

    def pkey_allocated(self, pkey: Num) -> Bool:
        return and_(between(0, pkey, 16), cast(z3.BoolRef, self.window.pkey_allocated(pkey)))

    def allocate_pkey(self) -> Num:
        if self.run.choose(z3.Bool(self._fresh("no_pkey"))):
            raise Refused(Errno.EINVAL, "pkey_alloc: there is no protection key")
        if self.run.choose(z3.Bool(self._fresh("taken_pkeys"))):
            raise Refused(Errno.ENOSPC, "pkey_alloc: all protection keys are taken")
        key = z3.Int(self._fresh("pkey"))
        self.run.assume(and_(between(1, key, 16), not_(self.pkey_allocated(key))))
        write, access = self._write, self._access
        self._write = lambda k: and_(ne(k, key), write(k))
        self._access = lambda k: and_(ne(k, key), access(k))
        return key

    def execute_only_pkey(self, wanted: Bool) -> Num:
        return self.window.exec_key

    def fresh_object(self, pages: Num, besides: Num) -> Num:
        before, made = self._stored, z3.Int(self._fresh("object"))
        self.run.assume(and_(lt(0, made), ne(made, besides), *(ne(made, v.object) for v in self.window.vmas)))
        self._stored = lambda o, at: ite(eq(o, made), 0, before(o, at))
        return made

    def fresh_anon_vma(self) -> Num:
        made = z3.Int(self._fresh("anon_vma"))
        self.run.assume(and_(lt(0, made), *(ne(made, v.anon_vma) for v in self.window.vmas)))
        return made

    def free_range_for(self, pages: Num, hint: Num | None, *, low: Bool, huge: Bool) -> Num:
        if self.run.choose(z3.Bool(self._fresh("no_free_range"))):
            raise Refused(Errno.ENOMEM, "no free range is large enough")
        page = z3.Int(self._fresh("free"))
        apart = [or_(le(v.end, page), le(page + pages, v.start)) for v in self.vmas]
        self.run.assume(and_(or_(le(MIN_PAGE, page), eq(page, 0 if hint is None else hint)), le(0, page)))
        self.run.assume(and_(le(page + pages, TASK_PAGES), *apart))
        return page

    def object_pages(self, object: Num) -> Num:
        return cast(z3.ArithRef, self.window.object_pages(object))

    # pages --------------------------------------------------------------------------------------------------------

    def guarded(self, vma: Vma, start: Num, end: Num) -> Bool:
        return self.first_guard(vma, start, end) is not end

    def first_guard(self, vma: Vma, start: Num, end: Num) -> Num:
        if not self.run.choose(z3.Bool(self._fresh("guarded"))):
            return end
        page = z3.Int(self._fresh("guard"))
        self.run.assume(and_(between(start, page, end), self._page(page).guard))
        return page

    def page(self, page: Num) -> Page:
        return self._page(page)

    def update_pages(self, start: Num, end: Num, change: Callable[[Num, Page], Page]) -> None:
        before = self._page
        self._page = lambda q: choose_page(between(start, q, end), change(q, before(q)), before(q))

    def move_pages(self, old: Num, pages: Num, new: Num) -> None:
        before = self._page

        def after(q: Num) -> Page:
            rest = choose_page(between(old, q, old + pages), EMPTY_PAGE, before(q))
            return choose_page(between(new, q, new + pages), before(q - new + old), rest)

        self._page = after

    def stored(self, object: Num, offset: Num) -> Num:
        return self._stored(object, offset)

    def store_object(self, object: Num, start: Num, end: Num, value: Num, cond: Bool) -> None:
        before = self._stored
        self._stored = lambda o, at: ite(and_(cond, eq(o, object), between(start, at, end)), value, before(o, at))

    def snapshot(self) -> BoundedSnapshot:
        """The address space as it is now."""
        return BoundedSnapshot(self)


class BoundedSnapshot:
    """An address space of the bounded reading at one moment."""

    def __init__(self, space: BoundedSpace) -> None:
        self._vmas = list(space.vmas)
        self._page, self._stored = space._page, space._stored
        self.write_denied, self.access_denied = space._write, space._access
        self.pkey_allocated, self.object_pages = space.pkey_allocated, space.object_pages
        self.stored, self.exec_key, self.has_pkeys = space._stored, space.window.exec_key, True
        self.start_brk = space.start_brk
        self._elsewhere = space.elsewhere
        self.map_count = space.counter
        self.max_map_count = space.max_map_count
        self.brk = space.brk

    @property
    def vmas(self) -> list[Vma]:
        """The VMAs in address order."""
        return self._vmas

    def counted(self) -> Num:
        """How many VMAs there are."""
        return self._elsewhere + len(self._vmas)

    def at(self, page: Num) -> PageView:
        """The page now."""
        mapped: Bool = any_(between(v.start, page, v.end) for v in self._vmas)
        vma = self._vmas[0] if self._vmas else Vma(start=0, end=0)
        for other in self._vmas[1:]:
            vma = choose_vma(between(other.start, page, other.end), other, vma)
        now = self._page(page)
        return PageView(mapped, vma, now, visible(page, vma, now, self._stored))

    def cut(self, page: Num) -> Bool:
        """A VMA begins or ends at the left edge of the page."""
        return any_(or_(eq(page, v.start), eq(page, v.end)) for v in self._vmas)
