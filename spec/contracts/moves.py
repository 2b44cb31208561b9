# SPDX-License-Identifier: MIT
"""Contracts of what moves pages: one VMA, or VMA after VMA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spec.contracts.base import Contract, refuses_cut
from spec.space import Test
from spec.terms import (
    Bool,
    Num,
    all_,
    and_,
    between,
    eq,
    implies,
    ite,
    ite_bool,
    larger,
    le,
    lt,
    not_,
    once_for_each,
    or_,
    plain_sum,
    smaller,
)
from spec.vma import (
    ANONYMOUS,
    EMPTY_PAGE,
    HUGETLB,
    SPECIAL,
    Page,
    Vma,
    beside,
    choose_page,
    choose_vma,
    is_anonymous,
    is_placed,
    lets_go,
    offset_at,
    starts_huge_page,
)


class Moves(Contract):
    """The verbs of mremap that move."""

    def move(self, old: Num, pages: Num, new: Num, new_pages: Num, *, keep_source: bool) -> None:
        view, page_at = self._view, self._page
        source = view(old)[1]
        # memory that was never written gets the page offset of its new place (copy_vma)
        unwritten = and_(is_anonymous(source), eq(source.anon_vma, 0))
        copy = replace(source, start=new, end=new + new_pages, offset=ite(unwritten, new, offset_at(source, old)))
        whole = keep_source and not self.edition.splits_locked_source
        spreads: Bool = False
        if whole:  # the copy may be one VMA with what is unlocked, and with what lies on its other side
            copy = replace(copy, locked=and_(source.locked, self._choice("stays_locked")))
            spreads = self._choice("unlocks_beside")
        uncharges = keep_source and self.edition.uncharges_kept_source
        if uncharges:
            copy = replace(copy, account=and_(source.account, self._choice("stays_charged")))
        reset = self._choice("offset_reset") if keep_source and self.edition.resets_kept_offset else False

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, vma = view(q)
            there, here = between(new, q, new + new_pages), between(old, q, old + pages)
            joined = or_(eq(vma.start, source.start), and_(spreads, beside(vma, new, new + new_pages)))
            unlocked = or_(here, and_(mapped, joined)) if whole else here
            left = replace(vma, locked=False, account=False if uncharges else vma.account)
            kept = choose_vma(unlocked, left, vma) if keep_source else vma
            back = and_(reset, here, eq(vma.backing, ANONYMOUS))
            kept = replace(kept, offset=ite(back, vma.start, kept.offset))
            gone = False if keep_source else here
            return or_(there, and_(mapped, not_(gone))), choose_vma(there, copy, kept)

        def near(q: Num) -> Bool:
            there, vma = between(new, q, new + new_pages), view(q)[1]
            return or_(there, eq(vma.start, source.start), beside(vma, new, new + new_pages))

        def page_after(q: Num) -> Page:
            there, here = between(new, q, new + pages), between(old, q, old + pages)
            beyond = between(new + pages, q, new + new_pages)
            moved = page_at(plain_sum(q, old - new))
            now = page_at(q)
            return choose_page(there, moved, choose_page(or_(here, beyond), EMPTY_PAGE, now))

        self._view, self._page = self._rebordered(view_after, near, copy), once_for_each(page_after)
        self._copies_have_anon_vmas()
        self._forget_cuts(old, old + pages)
        self._forget_cuts(new, new + new_pages)
        # the copy is one VMA more, or merges; the cuts at the ends of what it is a copy of add two at most
        cuts: Num = 0 if whole else 2
        if keep_source and not whole:
            cuts = ite(source.locked, ite(lt(source.start, old), 1, 0) + ite(lt(old + pages, source.end), 1, 0), 0)
        gone: Num = 0 if keep_source else ite(lt(0, pages), 1, 0)
        most = self.count + 1 + (cuts if keep_source else ite(lt(0, pages), 2, 0)) - gone
        self._recounted(self.count - 2, most, some=True)

    def move_each(
        self,
        start: Num,
        end: Num,
        new: Num,
        tests: Callable[[Vma, Num, Num], list[Test]],
        relocate: Callable[[Num, Num], None],
        ensures: Callable[[Num], Bool],
        *,
        keep_source: bool,
    ) -> None:
        """Either all VMAs are moved, or some VMA is the first that is not: those before it were moved (lemma moves)."""
        if not self._free("stopped"):
            self._moved(start, end, end, new, tests, ensures, keep_source=keep_source)
            return
        stop: Num = start
        if self._free("later"):
            stop = self._number("stop")
            mapped, vma = self._view(stop)
            self.assume(and_(lt(start, stop), lt(stop, end), mapped, eq(vma.start, stop)))
            self._moved(start, stop, end, new, tests, ensures, keep_source=keep_source)
        mapped, vma = self._view(stop)
        self.assume(mapped)
        behind = smaller(end, vma.end)
        self.failing_page = stop
        for test in tests(vma, stop, behind):
            self.fail_if(*test)
        relocate(stop, behind)
        self.assume(False)  # this VMA was moved after all: another path

    def _moved(
        self,
        start: Num,
        reached: Num,
        end: Num,
        new: Num,
        tests: Callable[[Vma, Num, Num], list[Test]],
        ensures: Callable[[Num], Bool],
        *,
        keep_source: bool,
    ) -> None:
        """Every VMA of [start, reached) was moved, as part of [start, end) to `new`. Merges may have moved the borders
        of what lies beside the destination."""
        view, page_at, distance = self._view, self._page, new - start

        def piece(vma: Vma) -> tuple[Num, Num]:
            return larger(start, vma.start), smaller(end, vma.end)

        def passed(q: Num) -> Bool:
            mapped, vma = view(q)
            first, last = piece(vma)
            replaced, target = view(self._at_distance(q, distance))
            let_go = implies(replaced, lets_go(target, first + distance, last + distance))
            cut_off = not_(refuses_cut(vma, start, end))
            allowed = ensures(self._at_distance(q, distance))
            ok = and_(all_(not_(cond) for cond, _, _ in tests(vma, first, last)), let_go, cut_off, allowed)
            return implies(and_(between(start, q, reached), mapped), ok)

        self.every_page.append(lambda q: and_(passed(q), passed(self._at_distance(q, -distance))))
        new_start = self._function("start_after", "number")
        new_end = self._function("end_after", "number")

        whole = keep_source and not self.edition.splits_locked_source
        stays_locked = self._function("stays_locked", "truth")
        own_offset = self._function("own_offset", "truth")
        new_anon = self._function("anon_vma_after", "number")
        new_inherited = self._function("inherited_after", "truth")

        def came(q: Num) -> Bool:
            return and_(between(new, q, reached + distance), view(self._at_distance(q, -distance))[0])

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, vma = view(q)
            source = view(self._at_distance(q, -distance))[1]
            here = between(start, q, reached)
            unlocked = or_(here, and_(lt(vma.start, reached), lt(start, vma.end))) if whole else here
            stays = choose_vma(unlocked, replace(vma, locked=False), vma) if keep_source else vma
            if whole:
                source = replace(source, locked=and_(source.locked, stays_locked(source.start)))
            gone = False if keep_source else here
            chosen = choose_vma(came(q), source, stays)
            place = ite(came(q), offset_at(source, self._at_distance(q, -distance)), offset_at(vma, q))
            # unwritten memory gets the page offset of its new place (copy_vma), unless a merge on the way gave it an
            # anon_vma; what MREMAP_DONTUNMAP leaves behind may get it back
            unwritten = and_(came(q), is_anonymous(source), eq(source.anon_vma, 0))
            left = and_(here, eq(vma.backing, ANONYMOUS)) if keep_source and self.edition.resets_kept_offset else False
            place = ite(and_(or_(unwritten, left), own_offset(q)), q, place)
            anon = larger(0, new_anon(q))  # merges share out anon_vmas anew, and what is left behind loses its own
            placed = replace(
                chosen,
                start=new_start(q),
                end=new_end(q),
                offset=place - (q - new_start(q)),
                anon_vma=anon,
                inherited=and_(lt(0, anon), new_inherited(q)),
            )
            return or_(came(q), and_(mapped, not_(gone))), placed

        def placed(q: Num) -> Bool:
            mapped, vma = view(q)
            begins, ends = new_start(q), new_end(q)
            border = reached + distance
            rest = implies(
                and_(between(reached, q, end), mapped),
                and_(
                    eq(begins, vma.start),
                    ite_bool(and_(lt(start, new), le(new, vma.end)), le(new, ends), eq(ends, vma.end)),
                ),
            )
            target = implies(
                and_(between(border, q, end + distance), mapped),
                and_(ite_bool(lt(border, vma.start), eq(begins, vma.start), le(begins, border)), eq(ends, vma.end)),
            )
            # special mappings are neither merged nor cut, huge pages not merged, and cut only between huge pages
            unmoved = not_(came(q))
            special = implies(and_(unmoved, eq(vma.backing, SPECIAL)), and_(eq(begins, vma.start), eq(ends, vma.end)))
            huge = implies(
                and_(unmoved, eq(vma.backing, HUGETLB)),
                and_(
                    or_(eq(begins, vma.start), starts_huge_page(begins)), or_(eq(ends, vma.end), starts_huge_page(ends))
                ),
            )
            there, after = view_after(q)
            return and_(
                implies(there, is_placed(after, q)), rest, target, implies(and_(there, mapped), and_(special, huge))
            )

        def page_after(q: Num) -> Page:
            moved = choose_page(between(start, q, reached), EMPTY_PAGE, page_at(q))
            return choose_page(came(q), page_at(self._at_distance(q, -distance)), moved)

        self.every_page.append(placed)
        self._view, self._page = once_for_each(view_after), once_for_each(page_after)
        self._copies_have_anon_vmas()
        self._forget_cuts(start, reached)
        self._forget_cuts(new, reached + distance)
        # the room that a move asks for leaves this much (contract of mremap's move, obligation of lemma moves)
        self._recounted(1, self.max_map_count, some=False)
