# SPDX-License-Identifier: MIT
"""Contracts of the passes over the VMAs of a range.

A pass is replaced by its cut-point summary: the page at which it stopped, what holds of the pages before it, what of
the VMA there. proofs/lemmas/passes.py has the induction behind each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from spec.contracts.base import Contract, refuses_cut
from spec.errors import Errno
from spec.space import GAP_REMEMBERED, NO_ROOM_TO_SPLIT, REFUSES_SPLIT, Gap, Pass, Refused, Visit
from spec.terms import (
    Bool,
    Num,
    all_,
    and_,
    any_,
    between,
    eq,
    implies,
    is_decided,
    ite,
    ite_bool,
    larger,
    le,
    lt,
    ne,
    not_,
    once_for_each,
    or_,
    smaller,
)
from spec.vma import (
    SPECIAL,
    Page,
    Vma,
    alike,
    choose_page,
    choose_vma,
    has_file,
    is_placed,
    is_special,
    offset_at,
    refuses_split,
    same_flags,
    visible,
)

Step: TypeAlias = Callable[[Num], tuple[Bool, Vma, Vma, Visit]]
"""What a pass finds at a page, and does there: (mapped, VMA, what the VMA becomes, tests and effects)."""


class Passes(Contract):
    """The passes that only look, and the changing pass."""

    def check_each(self, start: Num, end: Num, test: Callable[[Vma], Bool], errno: Errno, check: str) -> None:
        view = self._view
        if self.skipped(check):
            page = self._number("witness")
            self.let_pass(and_(between(start, page, end), view(page)[0], test(view(page)[1])))
            return
        if self._free("found", (errno, check)):
            page = self._number("witness")
            mapped, vma = view(page)
            self._found(check, and_(between(start, page, end), mapped, test(vma)))
            self.failing_page = page
            raise Refused(errno, check)
        self.every_page.append(lambda q: implies(and_(between(start, q, end), view(q)[0]), not_(test(view(q)[1]))))

    def check_mapped(self, start: Num, end: Num, errno: Errno, check: str) -> None:
        view = self._view
        if self.skipped(check):
            page = self._number("witness")
            self.let_pass(and_(between(start, page, end), not_(view(page)[0])))
            return
        if self._free("gap", (errno, check)):
            page = self._number("witness")
            self._found(check, and_(between(start, page, end), not_(view(page)[0])))
            self.failing_page = page
            raise Refused(errno, check)
        self.every_page.append(lambda q: implies(between(start, q, end), view(q)[0]))

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
        this, view = Pass(start, end, visit, gap, no_room, cursor), self._view
        dropped: list[tuple[Num, Bool]] = []
        step = self.steps_of(this, dropped)
        stop = self._number("stop")
        refusal = self.why_it_stops(this, stop, step)
        reached: Num = end if refusal is None else stop
        stray = refusal is not None and refusal[2]
        self._drop_in_pass(start, end, reached, step, dropped, stop if refusal is not None else None)
        self.pass_up_to(this, reached, step, stray=stray)
        if refusal is not None:
            self.failing_page = stop
            raise Refused(refusal[0], refusal[1])
        if gap is Gap.REMEMBER:
            if self._free("gap_seen"):
                hole = self._number("witness")
                self.assume(and_(between(start, hole, end), not_(view(hole)[0])))
                raise Refused(Errno.ENOMEM, GAP_REMEMBERED)
            self.every_page.append(lambda q: implies(between(start, q, end), view(q)[0]))

    def steps_of(self, this: Pass, dropped: list[tuple[Num, Bool]] | None = None) -> Step:
        """What the pass finds at each page, and does there: (mapped, VMA, what the VMA becomes, tests and effects)."""
        view = self._view

        @once_for_each
        def step(page: Num) -> tuple[Bool, Vma, Vma, Visit]:
            mapped, vma = view(page)
            at = Visit(larger(this.start, vma.start), smaller(this.end, vma.end))
            after = this.visit(vma, at)
            for test in at.tests:
                self._owed_to(test[0], test[2])
            if dropped is not None:
                dropped.extend((page, and_(mapped, t[0])) for t in at.tests if self.skipped(t[2]))
            at.tests = [t for t in at.tests if t[2] != self.dropped]
            return mapped, vma, after, at

        return step

    def pass_up_to(self, this: Pass, reached: Num, step: Step, *, stray: bool = False) -> None:
        """What holds once a changing pass has got as far as `reached`: what of [start, reached) it found, and what has
        become of it. `stray`: a cut at `start` was left behind by the failure of the one at `end`."""
        start, end = this.start, this.end
        cuttable = not self.skipped(REFUSES_SPLIT)

        def passed(q: Num) -> Bool:
            mapped, vma, after, at = step(q)
            ok = all_(not_(cond) for cond, _, _ in at.tests)
            if cuttable:  # a VMA that refuses to be split is never merged: what changed of it was not cut off
                whole = or_(same_flags(vma, after), not_(refuses_cut(vma, start, end)))
                self._owed_to(whole, REFUSES_SPLIT)
                ok = and_(ok, whole)
            found = and_(mapped, ok) if this.gap is Gap.STOP else implies(mapped, ok)
            return implies(between(start, q, reached), found)

        self.every_page.append(passed)
        self._apply(start, reached, step, stray=stray, joins=this.cursor != "stale")

    def _drop_in_pass(
        self,
        start: Num,
        end: Num,
        reached: Num,
        step: Step,
        dropped: list[tuple[Num, Bool]],
        stop: Num | None,
    ) -> None:
        """A mutant without one of the pass's own checks: some VMA that the pass came to would have failed it."""
        if self.dropped is None:
            return
        page = self._number("witness")
        mapped, vma, after, _ = step(page)
        would = [cond for at, cond in dropped if at is page]
        came = between(start, page, reached)
        came = came if stop is None else or_(came, eq(page, stop))
        changed = and_(mapped, not_(same_flags(vma, after)))
        if self.dropped == REFUSES_SPLIT:
            would = [
                and_(changed, lt(vma.start, start), refuses_split(vma, start)),
                and_(changed, lt(end, vma.end), refuses_split(vma, end)),
            ]
        elif self.dropped == NO_ROOM_TO_SPLIT:
            would = [and_(changed, or_(lt(vma.start, start), lt(end, vma.end)), le(self.max_map_count, self.count))]
        if would:
            self.let_pass(and_(came, any_(would)))

    def why_it_stops(self, this: Pass, stop: Num, step: Step) -> tuple[Errno, str, bool] | None:
        """The first failure of a changing pass: (errno, check, whether a stray cut at `start` was left), or None."""
        start, end, gap, no_room = this.start, this.end, this.gap, this.no_room
        mapped, vma, after, at = step(stop)
        here = and_(between(start, stop, end), mapped, or_(eq(stop, start), eq(vma.start, stop)))
        passed: Bool = True
        for cond, errno, check in at.tests:
            if self._free("stopped", (errno, check)):
                self._found(check, and_(here, passed, cond))
                return errno, check, False
            passed = and_(passed, not_(cond))
        hole = this.hole
        if gap is Gap.STOP and self._free("stopped", hole):
            self._found(hole[1], and_(between(start, stop, end), not_(mapped)))
            return *hole, False
        changed = not_(same_flags(vma, after))
        if is_decided(changed) and not changed:
            return None
        left, right = lt(vma.start, start), lt(end, vma.end)
        first = eq(stop, start)
        head_mapped, head, head_after, _ = step(start)
        # only a cut at the start of the range adds a VMA before the pass comes to its end (lemma pass-seal and others)
        grown = ite(and_(head_mapped, lt(head.start, start), not_(same_flags(head, head_after))), 1, 0)
        for page, needed, before in ((start, left, False), (end, right, left)):
            for stray in (False, True) if page is end else (False,):
                if stray and is_decided(before) and not before:
                    continue
                split_before = before if stray else (not_(before) if page is end else True)
                context = and_(here, passed, changed, needed, split_before)
                cut = "start" if page is start else "end after start" if stray else "end"
                if (
                    self.edition.limits_maps
                    and not self.skipped(NO_ROOM_TO_SPLIT)
                    and self._free("stopped", (no_room, NO_ROOM_TO_SPLIT))
                ):
                    count = self._number("count")
                    exact: Num = self.count + (1 if stray else 0)
                    full = and_(context, le(self.max_map_count, count), le(count, self.count + grown))
                    above = implies(first, eq(count, exact)), implies(stray, lt(self.count, self.max_map_count))
                    self._found(NO_ROOM_TO_SPLIT, full, *above)
                    self.failing_cut = cut
                    return no_room, NO_ROOM_TO_SPLIT, stray
                if not self.skipped(REFUSES_SPLIT) and self._free("stopped", (Errno.EINVAL, REFUSES_SPLIT)):
                    self._found(REFUSES_SPLIT, and_(context, refuses_split(vma, page)))
                    if self.edition.limits_maps:
                        self.assume(implies(stray, lt(self.count, self.max_map_count)))
                    self.failing_cut = cut
                    return Errno.EINVAL, REFUSES_SPLIT, stray
        return None

    def _apply(self, start: Num, reached: Num, step: Step, *, stray: bool, joins: bool) -> None:
        """The state after a changing pass that got as far as `reached`. `joins`: what it changed is one VMA with a
        neighbour that nothing tells apart from it."""
        view, page_at, old_cut, old_stored = self._view, self._page, self._cut, self._stored
        touched = self._choice("touched")
        witness = self._number("changed")
        seen, was, becomes, _ = step(witness)
        self.assume(implies(touched, and_(between(start, witness, reached), seen, not_(same_flags(was, becomes)))))
        self.every_page.append(
            lambda q: or_(
                touched, not_(between(start, q, reached)), not_(step(q)[0]), same_flags(step(q)[1], step(q)[2])
            )
        )
        new_cut = self._function("cut_after", "truth")
        new_start = self._function("start_after", "number")
        new_end = self._function("end_after", "number")
        new_anon = self._function("anon_vma_after", "number")
        new_faulted = self._function("faulted_after", "truth")
        probe = step(start)[3]
        faults_in = (probe.populates, probe.populates_changed, probe.prepares) != (False, False, False)

        def changed(q: Num) -> Bool:
            mapped, vma, after, _ = step(q)
            return and_(between(start, q, reached), mapped, not_(same_flags(vma, after)))

        stray_in = view(start)[1].start if stray else None

        def is_recut(vma: Vma) -> Bool:
            """The VMA may begin or end elsewhere now: something was changed, or a stray cut was left in it. A special
            mapping is neither cut nor merged."""
            recut = touched if stray_in is None else or_(touched, eq(vma.start, stray_in))
            return and_(recut, ne(vma.backing, SPECIAL))

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, vma, after, _ = step(q)
            # a merge, or a fault, may give a VMA an anon_vma; one that is there stays
            none, anon = eq(vma.anon_vma, 0), new_anon(q)
            given = and_(none, or_(touched, faults_in))
            inside = between(start, q, reached)
            kept = replace(after, offset=vma.offset, anon_vma=vma.anon_vma, inherited=vma.inherited)
            chosen = choose_vma(inside, replace(kept, start=vma.start, end=vma.end), vma)
            recut = is_recut(vma)
            moved = replace(
                chosen, start=ite(recut, new_start(q), vma.start), end=ite(recut, new_end(q), vma.end),
                offset=ite(recut, offset_at(vma, new_start(q)), vma.offset),
                anon_vma=ite(given, larger(0, anon), vma.anon_vma),
            )  # fmt: skip
            return mapped, moved

        def placed(q: Num) -> Bool:
            mapped, vma = view_after(q)
            return implies(and_(is_recut(view(q)[1]), mapped), is_placed(vma, q))

        def page_after(q: Num) -> Page:
            mapped, vma, after, at = step(q)
            now = page_at(q)
            then = now if at.change_page is None else at.change_page(q, vma, now)
            if at.populates is not False:
                by_write = and_(at.populates, vma.write, not_(vma.shared), not_(now.guard), not_(is_special(vma)))
                then = choose_page(by_write, Page(copied=True, own=visible(q, vma, now, old_stored)), then)
            if at.populates_changed is not False:
                faulted = new_faulted(q)
                plain = not_(or_(vma.shared, now.guard, is_special(vma)))
                copy = Page(copied=True, own=visible(q, vma, now, old_stored))
                then = choose_page(and_(at.populates_changed, after.write, plain, faulted), copy, then)
            return choose_page(and_(between(start, q, reached), mapped), then, now)

        self._view, self._page = once_for_each(view_after), once_for_each(page_after)
        self.places.append(placed)
        self._copies_have_anon_vmas()
        view_now = self._view

        def joined(q: Num) -> Bool:
            (before, left), (here, right) = view_now(q - 1), view_now(q)
            same = replace(left, anon_vma=right.anon_vma, inherited=right.inherited)
            old, its = view(q - 1)[1], view(q)[1]
            anon_vmas = and_(eq(old.anon_vma, its.anon_vma), eq(old.inherited, its.inherited))
            if self.edition.merges_into_unfaulted:
                kept = and_(eq(left.anon_vma, right.anon_vma), eq(left.inherited, right.inherited))
                into = (
                    and_(eq(left.anon_vma, 0), not_(right.inherited)),
                    and_(eq(right.anon_vma, 0), not_(left.inherited)),
                )
                anon_vmas = or_(anon_vmas, kept, *into)
            # else a written VMA does not merge into an unwritten one behind it, which may be given the same anon_vma
            # later, by a merge with what is behind it: then the two are alike, and stay two
            one = and_(alike(same, right, q), anon_vmas)
            return and_(or_(changed(q - 1), changed(q)), before, here, one)

        self._cut = lambda q: ite_bool(
            or_(not_(touched), lt(q, start), lt(reached, q)),
            or_(old_cut(q), and_(stray, eq(q, start))),
            and_(new_cut(q), not_(joined(q)) if joins else True),
        )
        before = self.count
        after_count = self._number("map_count")
        if self.dropped == NO_ROOM_TO_SPLIT or not self.edition.limits_maps:
            self.assume(le(after_count, before + 2))
        else:
            self.assume(le(after_count, larger(before, self.max_map_count)))
        self.assume(implies(lt(0, before), lt(0, after_count)))
        self.count = ite(touched, after_count, before + (1 if stray else 0))
        self._punch(start, reached, step)

    def _punch(self, start: Num, reached: Num, step: Step) -> None:
        """Objects read zero where a hole was punched through a page of the range."""
        probe = step(start)[3].punches_hole
        if probe is False:
            return

        def backs(q: Num, object: Num, offset: Num) -> Bool:
            mapped, vma, _, at = step(q)
            same = and_(eq(vma.object, object), eq(offset_at(vma, q), offset), has_file(vma))
            return and_(between(start, q, reached), mapped, same, at.punches_hole)

        punched, old_stored = self._some_page(backs), self._stored
        self._stored = lambda object, offset: ite(punched(object, offset), 0, old_stored(object, offset))
