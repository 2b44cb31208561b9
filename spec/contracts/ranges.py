# SPDX-License-Identifier: MIT
"""Contracts of the effects on a whole range: split, unmap, map, expand."""

from __future__ import annotations

from dataclasses import replace

from spec.contracts.base import Contract
from spec.errors import Errno
from spec.space import REFUSES_SPLIT
from spec.terms import Bool, Num, and_, between, eq, ite, le, lt, not_, once_for_each, or_
from spec.vma import EMPTY_PAGE, Vma, beside, choose_page, choose_vma, offset_at, refuses_split


class Ranges(Contract):
    """The verbs that cut, remove, insert and grow VMAs."""

    def split(self, page: Num, refused: Errno = Errno.EINVAL) -> None:
        view, cut = self._view, self._cut
        mapped, vma = view(page)
        cuts = and_(mapped, lt(vma.start, page))
        self.fail_if(and_(cuts, refuses_split(vma, page)), refused, REFUSES_SPLIT)
        start, end = vma.start, vma.end

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, old = view(q)
            inside = and_(cuts, mapped, eq(old.start, start), eq(old.end, end), between(start, q, end))
            begin = ite(and_(inside, le(page, q)), page, old.start)
            finish = ite(and_(inside, lt(q, page)), page, old.end)
            return mapped, replace(old, start=begin, end=finish, offset=offset_at(old, begin))

        self._view = once_for_each(view_after)
        self._cut = lambda q: or_(cut(q), and_(cuts, eq(q, page)))
        self.count = self.count + ite(cuts, 1, 0)

    def unmap(self, start: Num, end: Num) -> None:
        view, page_at = self._view, self._page
        first, last = view(start), view(end - 1)
        removed = ite(first[0], 1, 0) + ite(
            and_(last[0], not_(and_(first[0], eq(first[1].start, last[1].start)))), 1, 0
        )
        self._view = once_for_each(lambda q: (and_(view(q)[0], not_(between(start, q, end))), view(q)[1]))
        self._page = once_for_each(lambda q: choose_page(between(start, q, end), EMPTY_PAGE, page_at(q)))
        self._forget_cuts(start, end)
        self._recounted(0, self.count - removed, some=False)

    def map(self, vma: Vma, *, expand_only: bool = False) -> None:
        view = self._view

        def inside(q: Num) -> Bool:
            return between(vma.start, q, vma.end)

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, old = view(q)
            return or_(inside(q), mapped), choose_vma(inside(q), vma, old)

        self._view = self._rebordered(view_after, lambda q: or_(inside(q), beside(view(q)[1], vma.start, vma.end)), vma)
        self._copies_have_anon_vmas()
        self._forget_cuts(vma.start, vma.end)
        self._recounted(self.count - 1, self.count + 1, some=True)

    def expand(self, page: Num, end: Num) -> None:
        view = self._view
        vma = view(page)[1]
        grown = replace(vma, end=end)

        def inside(q: Num) -> Bool:
            return between(vma.start, q, end)

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, old = view(q)
            return or_(inside(q), mapped), choose_vma(inside(q), grown, old)

        self._view = self._rebordered(view_after, lambda q: or_(inside(q), eq(view(q)[1].start, end)), grown)
        self._copies_have_anon_vmas()
        self._forget_cuts(vma.end, end)
        self._recounted(self.count - 1, self.count, some=True)
