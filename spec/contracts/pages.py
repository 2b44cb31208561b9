# SPDX-License-Identifier: MIT
"""Contracts of what changes pages, and of going on as a child."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spec.contracts.base import Contract
from spec.terms import Bool, Num, and_, between, eq, ite, larger, not_, once_for_each
from spec.vma import Page, Vma, choose_page, is_special, offset_at, visible


class Pages(Contract):
    """The verbs that change what pages hold; and fork, which changes what all of them do."""

    def lock(self, start: Num, end: Num) -> None:
        view, page_at, stored = self._view, self._page, self._stored
        faulted = self._function("faulted", "truth")

        def page_after(q: Num) -> Page:
            mapped, vma = view(q)
            now = page_at(q)
            by_write = and_(mapped, vma.write, not_(vma.shared), not_(is_special(vma)), not_(now.guard))
            done = and_(between(start, q, end), by_write, faulted(q))
            return choose_page(done, Page(copied=True, own=visible(q, vma, now, stored)), now)

        self._view, self._page = self._touched(view), once_for_each(page_after)
        self._copies_have_anon_vmas()

    def store(self, page: Num, value: Num) -> None:
        vma = self._view(page)[1]
        old_stored, page_at = self._stored, self._page
        at = offset_at(vma, page)
        self._stored = lambda o, offset: ite(
            and_(vma.shared, eq(o, vma.object), eq(offset, at)), value, old_stored(o, offset)
        )
        self._page = once_for_each(
            lambda q: choose_page(and_(eq(q, page), not_(vma.shared)), Page(copied=True, own=value), page_at(q))
        )
        self._view = self._touched(self._view)
        self._copies_have_anon_vmas()

    def prepare(self, page: Num, cond: Bool) -> None:
        if self.decide(cond):
            self._view = self._touched(self._view)

    def set_page(self, page: Num, content: Page) -> None:
        page_at = self._page
        self._page = once_for_each(lambda q: choose_page(eq(q, page), content, page_at(q)))

    def become_child(self, inherit: Callable[[Vma], tuple[Bool, Vma]], page: Callable[[Vma, Page], Page]) -> None:
        view, page_at = self._view, self._page
        new_anon = self._function("anon_vma_after", "number")

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, vma = view(q)
            kept, child = inherit(vma)
            # each VMA of the child has an anon_vma of its own (anon_vma_fork)
            own = ite(eq(child.anon_vma, 0), 0, larger(1, new_anon(q)))
            return and_(mapped, kept), replace(child, anon_vma=own)

        self._view = once_for_each(view_after)
        self._page = once_for_each(lambda q: choose_page(view(q)[0], page(view(q)[1], page_at(q)), page_at(q)))
        self._cut = self._function("cut_after", "truth")
        self._recounted(0, self.count, some=False)
