# SPDX-License-Identifier: MIT
"""Contracts about what is found in an address space, or where there is room."""

from __future__ import annotations

from spec.contracts.base import Contract
from spec.errors import Errno
from spec.space import Refused
from spec.terms import Bool, Num, and_, between, eq, implies, ite, le, lt, ne, not_, or_
from spec.vma import HUGE_PAGES, STACK_GUARD_PAGES, Vma
from spec.words import MIN_PAGE, TASK_PAGES


class Places(Contract):
    """The verbs that find something, or room for it."""

    def fresh_object(self, pages: Num, besides: Num) -> Num:
        view, stored, made = self._original_view, self._stored, self._number("object")
        self.every_page.append(lambda q: implies(view(q)[0], ne(view(q)[1].object, made)))
        self._stored = lambda o, offset: ite(eq(o, made), 0, stored(o, offset))
        self.assume(and_(lt(0, made), ne(made, besides)))
        return made

    def first(self, start: Num, end: Num) -> Vma | None:
        view = self._view
        if self._free("some_vma"):
            page = self._number("first")
            mapped, vma = view(page)
            self.assume(and_(between(start, page, end), mapped, or_(eq(page, start), eq(vma.start, page))))
            self.every_page.append(lambda q: implies(between(start, q, page), not_(view(q)[0])))
            return vma
        self.every_page.append(lambda q: implies(between(start, q, end), not_(view(q)[0])))
        return None

    def stack_above(self, page: Num) -> bool:
        if not self._free("stack_above"):
            return False
        view, stack = self._view, self._number("stack")
        mapped, vma = view(stack)
        begins = or_(eq(stack, page), eq(vma.start, stack))
        near = between(page, stack, page + STACK_GUARD_PAGES + 1)
        self.assume(and_(near, mapped, vma.growsdown, begins))
        self.every_page.append(lambda q: implies(between(page, q, stack), not_(view(q)[0])))
        return True

    def free_range(self, pages: Num, hint: Num | None) -> Num:
        return self._place(pages, hint)

    def free_range_for(self, pages: Num, hint: Num | None, *, low: Bool, huge: Bool) -> Num:
        refusal = Errno.EPERM, "the hint was rounded down below mmap_min_addr"
        if (
            hint is not None
            and not self.edition.huge_hints_up
            and huge is not False
            and self._free("low_hint", refusal)
        ):
            self.assume(and_(huge, lt(hint, MIN_PAGE + HUGE_PAGES)))
            raise Refused(*refusal)
        return self._place(pages, hint)

    def _place(self, pages: Num, hint: Num | None) -> Num:
        if self._free("no_free_range"):
            raise Refused(Errno.ENOMEM, "no free range is large enough")
        page = self._number("free")
        view = self._view
        # below mmap_min_addr only what was hinted at
        self.assume(or_(le(MIN_PAGE, page), False if hint is None else eq(page, hint)))
        self.assume(and_(le(0, page), le(page + pages, TASK_PAGES)))
        self.every_page.append(lambda q: implies(between(page, q, page + pages), not_(view(q)[0])))
        return page
