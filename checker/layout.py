# SPDX-License-Identifier: MIT
"""An address space as a sorted list of VMAs, with exact splits, merges and map_count.

The engine below is shared by two readings. The concrete one (checker/concrete.py) fills it with Python values; the
bounded one (checker/bounded.py) with Z3 terms, where each comparison that the engine makes is a branch to explore. So
the counterexamples of the bounded reading go through the very splits and merges that are held against real kernels.

Sources: mm/vma.c vma_modify, vma_merge_existing_range, vma_merge_new_range, split_vma, vma_merge_extend, copy_vma,
find_mergeable_anon_vma; mm/mremap.c move_vma.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

from spec.errors import Errno
from spec.mapping import LOW_PAGES
from spec.space import GAP_REMEMBERED, NO_ROOM_TO_SPLIT, REFUSES_SPLIT, AddressSpace, Gap, Pass, Refused, Visit
from spec.terms import Bool, Num, and_, eq, ite, ite_bool, larger, le, lt, ne, not_, or_, rounded_down, smaller
from spec.vma import (
    ANONYMOUS,
    EMPTY_PAGE,
    HUGE_PAGES,
    STACK_GUARD_PAGES,
    Page,
    Vma,
    choose_page,
    cut_vma,
    has_file,
    is_anonymous,
    is_special,
    offset_at,
    refuses_split,
    same_flags,
)
from spec.words import TASK_PAGES

ELSEWHERE_TOP = 0x7FFF_F000_0
"""Below this page the engine looks for room for mappings that may go anywhere (top-down, like the kernel)."""

NO_VMA = Vma(start=0, end=0)
"""Stands where there is no VMA."""
ODD_VMA = Vma(
    start=-1, end=-1, offset=-1, read=True, write=True, exec=True, may_read=False, may_write=False, may_exec=False,
    shared=True, may_share=True, backing=-1, object=-1, anon_vma=-1, inherited=True, pkey=15, sealed=True, locked=True,
    growsdown=True, dontfork=True, wipeonfork=True, droppable=True, dontdump=True, mergeable=True, reading=-1, thp=-1,
    account=True, noreserve=True,
)  # fmt: skip
"""Stands there too, with every field otherwise: what depends on a field of a page that is not mapped differs."""


class LayoutSpace(AddressSpace):
    """A list of VMAs in address order. `elsewhere` counts VMAs that are mapped but not listed."""

    vmas: list[Vma]
    elsewhere: Num
    counter: Num
    """mm->map_count as the kernel keeps it: changed by each split, merge, insertion and removal, never derived from the
    list, so that the two can disagree."""
    cursor_inside: list[Bool]
    """For each VMA that a changing pass visited: the cursor was inside it (the obligation of CVE-2026-23416)."""

    # pages: how contents are kept is the reading's business ----------------------------------------------------------

    @abstractmethod
    def update_pages(self, start: Num, end: Num, change: Callable[[Num, Page], Page]) -> None:
        """Replace each page of the range by `change(number, page)`."""

    @abstractmethod
    def move_pages(self, old: Num, pages: Num, new: Num) -> None:
        """What the pages [old, old + pages) hold is now at `new`, and the old place is empty."""

    @abstractmethod
    def first_guard(self, vma: Vma, start: Num, end: Num) -> Num:
        """The first guard page of the VMA's part [start, end); `end` if there is none."""

    @abstractmethod
    def stored(self, object: Num, offset: Num) -> Num:
        """Contents of a page of an object."""

    @abstractmethod
    def store_object(self, object: Num, start: Num, end: Num, value: Num, cond: Bool) -> None:
        """If `cond`, the pages [start, end) of the object now hold `value`."""

    @abstractmethod
    def fresh_anon_vma(self) -> Num:
        """An anon_vma that no VMA has yet."""

    # looking ----------------------------------------------------------------------------------------------------------

    @property
    def map_count(self) -> Num:
        return self.counter

    def counted(self) -> Num:
        """How many VMAs there are, those elsewhere included: what map_count ought to be."""
        return self.elsewhere + len(self.vmas)

    def index(self, page: Num) -> int:
        """Index of the first VMA that ends above the page (the kernel's find_vma); len(vmas) if there is none."""
        for i, vma in enumerate(self.vmas):
            if self.decide(lt(page, vma.end)):
                return i
        return len(self.vmas)

    def find(self, page: Num) -> Vma | None:
        i = self.index(page)
        if i < len(self.vmas) and self.decide(le(self.vmas[i].start, page)):
            return self.vmas[i]
        return None

    def holding(self, page: Num) -> tuple[Bool, Vma]:
        vma = self.find(page)
        return (False, NO_VMA) if vma is None else (True, vma)

    def first(self, start: Num, end: Num) -> Vma | None:
        i = self.index(start)
        if i < len(self.vmas) and self.decide(lt(self.vmas[i].start, end)):
            return self.vmas[i]
        return None

    def stack_above(self, page: Num) -> bool:
        i = self.index(page)
        if i == len(self.vmas):
            return False
        vma = self.vmas[i]
        return self.decide(and_(vma.growsdown, lt(vma.start, page + STACK_GUARD_PAGES + 1)))

    def free_range(self, pages: Num, hint: Num | None) -> Num:
        return self.free_range_for(pages, hint, low=False, huge=False)

    def free_range_for(self, pages: Num, hint: Num | None, *, low: Bool, huge: Bool) -> Num:
        """The hint if there is room, else the highest range that is free; `huge` must be decided."""
        unit = HUGE_PAGES if huge else 1
        if hint is not None and huge:
            hint = rounded_down(hint + (HUGE_PAGES - 1 if self.edition.huge_hints_up else 0), HUGE_PAGES)
        top: Num = LOW_PAGES if low else ELSEWHERE_TOP
        if (
            hint is not None
            and self.decide(le(hint + pages, LOW_PAGES if low else TASK_PAGES))
            and self.first(hint, hint + pages) is None
        ):
            if huge and self.decide(lt(hint, self.min_page)):
                raise Refused(Errno.EPERM, "the hint was rounded down below mmap_min_addr")
            if not self.stack_above(hint + pages - 1):
                return hint
        for vma in reversed(self.vmas):
            if self.decide(le(vma.end, rounded_down(top - pages, unit))):
                break
            if self.decide(lt(vma.start, top)):
                top = vma.start
        found = rounded_down(top - pages, unit)
        if self.decide(lt(found, LOW_PAGES // 2 if low else self.min_page)):
            raise Refused(Errno.ENOMEM, "no free range is large enough")
        return found

    def visible(self, vma: Vma, page: Num) -> Num:
        """What a program reads from the page, protection apart."""
        return self.reads(vma, page, self.page(page))

    def reads(self, vma: Vma, page: Num, now: Page) -> Num:
        """What a program reads from the page if it holds `now`."""
        backed = ite(has_file(vma), self.stored(vma.object, offset_at(vma, page)), 0)
        return ite(now.copied, now.own, ite(is_anonymous(vma), 0, backed))

    # passes -----------------------------------------------------------------------------------------------------------

    def _in_range(self, start: Num, end: Num) -> list[Vma]:
        found: list[Vma] = []
        if not self.decide(lt(start, end)):  # mremap with old size 0 asks about an empty range
            return found
        for vma in self.vmas[self.index(start) :]:
            if not self.decide(lt(vma.start, end)):
                break
            found.append(vma)
        return found

    def check_each(self, start: Num, end: Num, test: Callable[[Vma], Bool], errno: Errno, check: str) -> None:
        def look(vma: Vma, at: Visit) -> Vma:
            at.fail_if(test(vma), errno, check)
            return vma

        if not self.skipped(check) and self.decide(lt(start, end)):
            self._pass_over(Pass(start, end, look, Gap.IGNORE))

    def check_mapped(self, start: Num, end: Num, errno: Errno, check: str) -> None:
        if not self.skipped(check):
            self._pass_over(Pass(start, end, lambda vma, at: vma, Gap.STOP, hole=(errno, check)))

    def change_each(
        self,
        start: Num,
        end: Num,
        visit: Callable[[Vma, Visit], Vma],
        *,
        gap: Gap,
        no_room: Errno = Errno.ENOMEM,
        cursor: str = "follows",
    ) -> None:
        self._pass_over(Pass(start, end, visit, gap, no_room, cursor))

    def _pass_over(self, this: Pass) -> None:
        i, at, gap_seen = self.index(this.start), this.start, False
        while i < len(self.vmas) and self.decide(lt(self.vmas[i].start, this.end)):
            i, at, missed = self.visit_next(this, i, at)
            gap_seen = gap_seen or missed
        self.end_pass(this, at, gap_seen)

    def visit_next(self, this: Pass, i: int, at: Num) -> tuple[int, Num, bool]:
        """One iteration of a changing pass: VMA number i, which begins in the range, is tested and changed; the cursor
        is at page `at`. Returns the index of the next VMA, the new cursor, and whether a gap was passed over."""
        vma = self.vmas[i]
        gap_seen = this.gap is not Gap.IGNORE and self.decide(lt(at, vma.start))
        self.fail_if(gap_seen and this.gap is Gap.STOP, *this.hole)
        if this.cursor != "stale":
            at = larger(at, vma.start) if not self.decide(lt(at, vma.start)) else vma.start
        self.cursor_inside.append(and_(le(vma.start, at), lt(at, vma.end)))
        stop = vma.end if self.decide(le(vma.end, this.end)) else this.end
        step = Visit(at, stop)
        after = this.visit(vma, step)
        for cond, errno, check in step.tests:
            self.fail_if(cond, errno, check)
        self._affect_pages(vma, step)
        if after is vma or self.decide(same_flags(vma, after)):
            return i + 1, stop, gap_seen
        i, reached = self._modify(i, at, stop, after, this.no_room)
        if step.populates_changed is not False and self.decide(step.populates_changed):
            self.lock(step.start, step.end)
        return i, stop if this.cursor == "stale" else reached, gap_seen

    def end_pass(self, this: Pass, at: Num, gap_seen: bool) -> None:
        """What a changing pass does behind the last VMA of its range; the cursor is at page `at`."""
        if this.gap is not Gap.IGNORE and self.decide(lt(at, this.end)):
            self.fail_if(this.gap is Gap.STOP, *this.hole)
            gap_seen = True
        self.fail_if(gap_seen, Errno.ENOMEM, GAP_REMEMBERED)

    def _affect_pages(self, vma: Vma, step: Visit) -> None:
        if step.prepares is not False and self.decide(step.prepares):
            self.touch(step.start)
        change = step.change_page
        if change is not None:
            self.update_pages(step.start, step.end, lambda number, now: change(number, vma, now))
        if step.punches_hole is not False:
            first = offset_at(vma, step.start)
            self.store_object(vma.object, first, first + (step.end - step.start), 0, step.punches_hole)
        if step.populates is not False and self.decide(step.populates):
            self.lock(step.start, step.end)

    # splits and merges ------------------------------------------------------------------------------------------------

    def _anon_vmas_merge(self, target: Vma, source: Vma, extends: bool) -> Bool:
        """The anon_vma of the target VMA and that of the range that would join it go together. When a VMA is extended,
        it makes no difference whether its own came through fork (vma_merge_extend)."""
        equal = and_(eq(target.anon_vma, source.anon_vma), eq(target.inherited, source.inherited))
        into_written = and_(eq(source.anon_vma, 0), not_(target.inherited))
        if not self.edition.merges_into_unfaulted:
            return or_(equal, and_(ne(target.anon_vma, 0), into_written))
        return or_(equal, into_written, and_(eq(target.anon_vma, 0), or_(extends, not_(source.inherited))))

    def _same_kind(self, target: Vma, source: Vma) -> Bool:
        return and_(
            same_flags(target, source),
            eq(target.object, source.object),
            eq(target.backing, source.backing),
            eq(target.opened_read_only, source.opened_read_only),
            not_(is_special(target)),
        )

    def _merges_left(self, left: Vma | None, new: Vma) -> bool:
        if left is None:
            return False
        return self.decide(
            and_(
                eq(left.end, new.start),
                self._same_kind(left, new),
                eq(offset_at(left, left.end), new.offset),
                self._anon_vmas_merge(left, new, extends=False),
            )
        )

    def _merges_right(self, new: Vma, right: Vma | None, left: Vma | None, *, extends: bool = False) -> bool:
        if right is None:
            return False
        compatible: Bool = True
        if left is not None:
            compatible = or_(eq(left.anon_vma, 0), eq(right.anon_vma, 0), eq(left.anon_vma, right.anon_vma))
        return self.decide(
            and_(
                eq(new.end, right.start),
                self._same_kind(right, new),
                eq(offset_at(new, new.end), right.offset),
                self._anon_vmas_merge(right, new, extends),
                compatible,
            )
        )

    @staticmethod
    def _joined(anchor: Vma, *others: Vma) -> Vma:
        """The anchor with the anon_vma that the merge leaves it (dup_anon_vma)."""
        result = anchor
        for other in others:
            none = eq(result.anon_vma, 0)
            result = replace(
                result,
                anon_vma=ite(none, other.anon_vma, result.anon_vma),
                inherited=ite_bool(none, other.inherited, result.inherited),
            )
        return result

    def _modify(self, i: int, start: Num, end: Num, after: Vma, no_room: Errno) -> tuple[int, Num]:
        """Give [start, end) of VMA number i the attributes of `after`: by merging if possible, else by splitting
        (vma_modify). Returns the index of the next VMA to visit and the end of the VMA that was made."""
        vma = self.vmas[i]
        middle = cut_vma(replace(after, start=vma.start, end=vma.end, offset=vma.offset), start, end)
        at_left, at_right = self.decide(eq(start, vma.start)), self.decide(eq(end, vma.end))
        before = self.vmas[i - 1] if i else None
        behind = self.vmas[i + 1] if i + 1 < len(self.vmas) else None
        left = before if at_left and self._merges_left(before, middle) else None
        # a range that begins before its VMA (a stale cursor) has a page offset that wrapped around: it matches nothing
        inside = self.decide(le(vma.start, start))
        right = behind if at_right and inside and self._merges_right(middle, behind, left) else None
        if left is not None and right is not None:
            merged = self._joined(left, right, middle)
            self.counter = self.counter - 2
            self.vmas[i - 1 : i + 2] = [replace(merged, end=right.end)]
            return i, right.end
        if left is not None:
            rest = [] if at_right else [cut_vma(vma, end, vma.end)]
            self.counter = self.counter - (1 if at_right else 0)
            self.vmas[i - 1 : i + 1] = [replace(self._joined(left, middle), end=end), *rest]
            return i, end
        if right is not None:
            rest = [] if at_left else [cut_vma(vma, vma.start, start)]
            self.counter = self.counter - (1 if at_left else 0)
            merged = replace(self._joined(right, middle), start=start, offset=middle.offset)
            self.vmas[i : i + 2] = [*rest, merged]
            return i + len(rest) + 1, right.end
        if self.decide(lt(vma.start, start)):
            self._split_with_room(i, start, no_room)
            i += 1
        if self.decide(lt(end, self.vmas[i].end)):
            self._split_with_room(i, end, no_room)
        self.vmas[i] = replace(middle, start=self.vmas[i].start, offset=self.vmas[i].offset)
        return i + 1, self.vmas[i].end

    def _split_with_room(self, i: int, page: Num, no_room: Errno) -> None:
        self.fail_if(self.at_limit(), no_room, NO_ROOM_TO_SPLIT)
        self._split(i, page)

    def _split(self, i: int, page: Num, refused: Errno = Errno.EINVAL) -> None:
        vma = self.vmas[i]
        self.fail_if(refuses_split(vma, page), refused, REFUSES_SPLIT)
        self.vmas[i : i + 1] = [cut_vma(vma, vma.start, page), cut_vma(vma, page, vma.end)]
        self.counter = self.counter + 1

    def split(self, page: Num, refused: Errno = Errno.EINVAL) -> None:
        i = self.index(page)
        if i < len(self.vmas) and self.decide(lt(self.vmas[i].start, page)):
            self._split(i, page, refused)

    # whole-range effects ----------------------------------------------------------------------------------------------

    def unmap(self, start: Num, end: Num) -> None:
        i = self.index(start)
        while i < len(self.vmas) and self.decide(lt(self.vmas[i].start, end)):
            del self.vmas[i]
            self.counter = self.counter - 1
        self.update_pages(start, end, lambda number, now: EMPTY_PAGE)

    def _insert(
        self, new: Vma, *, forbidden: Vma | None = None, expand_only: bool = False, extends: bool = False
    ) -> Vma:
        """Put a VMA into a free range, merged with its neighbours (vma_merge_new_range); returns what holds it now.
        `forbidden` is a neighbour that it must not merge with; if it `extends` the one before it, it is part of it."""
        i = self.index(new.start)
        before = self.vmas[i - 1] if i else None
        behind = self.vmas[i] if i < len(self.vmas) else None
        left = before if extends or (before is not forbidden and self._merges_left(before, new)) else None
        right = None
        if not expand_only and behind is not forbidden and self._merges_right(new, behind, left, extends=extends):
            right = behind
        if left is not None and right is not None:
            made = replace(self._joined(left, right), end=right.end)
            self.counter = self.counter - 1
            self.vmas[i - 1 : i + 1] = [made]
        elif left is not None:
            made = replace(left, end=new.end)
            self.vmas[i - 1] = made
        elif right is not None:
            made = replace(right, start=new.start, offset=new.offset)
            self.vmas[i] = made
        else:
            made = new
            self.vmas.insert(i, new)
            self.counter = self.counter + 1
        return made

    def map(self, vma: Vma, *, expand_only: bool = False) -> None:
        self._insert(vma, expand_only=expand_only)

    def move(self, old: Num, pages: Num, new: Num, new_pages: Num, *, keep_source: bool) -> None:
        i = self.index(old)
        end = old + pages
        if keep_source and self.edition.splits_locked_source and self.decide(self.vmas[i].locked):
            self.split(old)
            self.split(end)
            i = self.index(old)
        vma = self.vmas[i]
        unfaulted = self.decide(and_(is_anonymous(vma), eq(vma.anon_vma, 0)))
        copy = replace(vma, start=new, end=new + new_pages, offset=new if unfaulted else offset_at(vma, old))
        made = self._insert(
            copy, forbidden=vma if unfaulted and keep_source and not self.edition.joins_kept_source else None
        )
        if self.edition.merges_into_unfaulted and made is not copy:
            j = self.index(new)
            self.vmas[j] = self._joined(made, vma)
        self.move_pages(old, pages, new)
        if keep_source:
            i = self.index(old)
            kept = replace(self.vmas[i], locked=False)
            if self.edition.uncharges_kept_source:
                kept = replace(kept, account=False)
            if self.decide(and_(eq(kept.start, old), eq(kept.end, end))):
                kept = replace(kept, anon_vma=0, inherited=False)
                if self.edition.resets_kept_offset and self.decide(eq(kept.backing, ANONYMOUS)):
                    kept = replace(kept, offset=kept.start)
            self.vmas[i] = kept
        elif self.decide(lt(0, pages)):
            self.split(old)
            self.split(end)
            self.unmap(old, end)

    def expand(self, page: Num, end: Num) -> None:
        vma = self.vmas[self.index(page)]
        self._insert(replace(vma, start=vma.end, end=end, offset=offset_at(vma, vma.end)), extends=True)

    def become_child(self, inherit: Callable[[Vma], tuple[Bool, Vma]], page: Callable[[Vma, Page], Page]) -> None:
        inherited = []
        for vma in self.vmas:
            kept, child = inherit(vma)
            if self.decide(kept):
                # each VMA of the child has an anon_vma of its own (anon_vma_fork), so that two never merge
                own = self.decide(ne(child.anon_vma, 0))
                inherited.append(replace(child, anon_vma=self.fresh_anon_vma()) if own else child)
            else:
                self.counter = self.counter - 1
            self.update_pages(vma.start, vma.end, lambda number, now, vma=vma: page(vma, now))  # type: ignore[misc]
        self.vmas = inherited

    # single pages -----------------------------------------------------------------------------------------------------

    def touch(self, page: Num) -> Vma:
        """Give the private VMA at the page an anon_vma, if need be that of a neighbour (find_mergeable_anon_vma)."""
        i = self.index(page)
        vma = self.vmas[i]
        if not self.decide(eq(vma.anon_vma, 0)):
            return vma
        found: Num | None = None
        neighbours = [(vma, self.vmas[i + 1], self.vmas[i + 1])] if i + 1 < len(self.vmas) else []
        neighbours += [(self.vmas[i - 1], vma, self.vmas[i - 1])] if i else []
        for left, right, old in neighbours:
            alike = replace(right, read=left.read, write=left.write, exec=left.exec)
            usable = and_(
                eq(left.end, right.start),
                same_flags(left, alike),
                eq(left.object, right.object),
                eq(left.opened_read_only, right.opened_read_only),
                eq(offset_at(left, left.end), right.offset),
                ne(old.anon_vma, 0),
                not_(old.inherited),
            )
            if found is None and self.decide(usable):
                found = old.anon_vma
        self.vmas[i] = replace(vma, anon_vma=self.fresh_anon_vma() if found is None else found)
        return self.vmas[i]

    def store(self, page: Num, value: Num) -> None:
        vma = self.vmas[self.index(page)]
        if self.decide(vma.shared):
            offset = offset_at(vma, page)
            self.store_object(vma.object, offset, offset + 1, value, True)
        else:
            self.touch(page)
            self.set_page(page, Page(copied=True, own=value))

    def prepare(self, page: Num, cond: Bool) -> None:
        if self.decide(cond):
            self.touch(page)

    def set_page(self, page: Num, content: Page) -> None:
        self.update_pages(page, page + 1, lambda number, now: content)

    def lock(self, start: Num, end: Num) -> None:
        for vma in self._in_range(start, end):
            if self.decide(self.cannot_fault_in(vma)):
                break
            first, last = larger(start, vma.start), smaller(end, vma.end)
            guard = self.first_guard(vma, first, last) if self.edition.guard_pages else last
            if self.decide(and_(vma.write, not_(vma.shared), not_(is_special(vma)))):
                if self.decide(lt(first, guard)):
                    self.touch(first)

                def faulted(number: Num, now: Page, vma: Vma = vma, guard: Num = guard) -> Page:
                    stuck = or_(now.guard, le(guard, number), self.beyond_object(vma, number))
                    return choose_page(stuck, now, Page(copied=True, own=self.reads(vma, number, now)))

                self.update_pages(first, last, faulted)
            if self.decide(or_(lt(guard, last), self.beyond_object(vma, last - 1))):
                break
