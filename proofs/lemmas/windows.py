# SPDX-License-Identifier: MIT
"""Verbs of the list engine on a window of a few VMAs: what they do to pages, to the list and to its counter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import z3

from checker.bounded import BoundedSpace, Window, symbolic_vma
from checker.calls import symbolic_arguments
from checker.paths import Run, explore
from checker.unbounded import UnboundedSpace, World
from proofs.lemmas.base import Obligation, terms
from spec.arguments import Move
from spec.editions import Cursor, Edition, Remap
from spec.errors import Errno
from spec.space import Refused
from spec.syscalls import mremap
from spec.terms import Bool, Num, all_, and_, any_, between, eq, implies, larger, le, lt, not_, or_
from spec.vma import (
    ATTRIBUTES,
    BOOKKEEPING,
    Vma,
    choose_vma,
    lets_go,
    refuses_split,
    same_flags,
    well_formed_vma,
)
from spec.words import MIN_PAGE, TASK_PAGES


def look(edition: Edition) -> Iterator[Obligation]:
    """An up-front pass finds a VMA exactly if some page of the range lies in such a VMA."""
    number, truth = z3.IntSort(), z3.BoolSort()
    mapped, key = z3.Function("mapped", number, truth), z3.Function("vm_start", number, number)
    found = z3.Function("found", number, truth)
    start, end, reached, low, high, p = z3.Ints("start end reached low high p")

    def none(at: z3.ArithRef) -> z3.BoolRef:
        return z3.Implies(z3.And(start <= p, p < at, mapped(p)), z3.Not(found(key(p))))

    step = z3.And(
        start <= reached,
        reached <= low,
        low < high,
        high <= end,
        z3.Implies(z3.And(low <= p, p < high), z3.And(mapped(p), key(p) == key(low))),
        z3.Implies(z3.And(reached <= p, p < low), z3.Not(mapped(p))),
    )
    yield Obligation("look: base", terms(z3.Not(none(start))))
    yield Obligation("look: step", terms(step, none(reached), z3.Not(found(key(low))), z3.Not(none(high))))
    yield Obligation(
        "look: a VMA that is found has a page in the range",
        terms(step, found(key(low)), z3.Not(z3.And(start <= low, low < end))),
    )
    yield from _looks(edition)
    yield Obligation(
        "look: the hypotheses are consistent", terms(step, none(reached), found(key(low)), mapped(p)), consistent=True
    )


def _looks(edition: Edition) -> Iterator[Obligation]:
    """The passes that only look, as they run, over up to two VMAs: they fail exactly if a page of the range is in a VMA
    that the test meets, or in none."""
    start, end, p = z3.Ints("start end p")
    found = z3.Function("found", z3.IntSort(), z3.BoolSort())

    def test(vma: Vma) -> Bool:
        return cast(z3.BoolRef, found(vma.start))

    for count in (0, 1, 2):
        for what in ("check_each", "check_mapped"):

            def body(space: BoundedSpace, what: str = what) -> None:
                space.run.assume(lt(start, end))
                if what == "check_each":
                    space.check_each(start, end, test, Errno.EPERM, "look: it is found")
                else:
                    space.check_mapped(start, end, Errno.ENOMEM, "look: it is not mapped")

            for conditions, window, _, refused in _window_paths(edition, count, body):

                def hit(q: Num, vmas: list[Vma] = window.vmas, what: str = what) -> Bool:
                    inside = [and_(between(start, q, end), between(v.start, q, v.end)) for v in vmas]
                    met = any_(and_(here, test(v)) for here, v in zip(inside, vmas, strict=True))
                    return met if what == "check_each" else and_(between(start, q, end), not_(any_(inside)))

                name = f"look: {what} of {count} VMAs"
                if not refused:
                    yield Obligation(f"{name} passes over nothing", terms(*conditions, hit(p)))
                    continue
                borders = [start, *(v.end for v in window.vmas), *(larger(start, v.start) for v in window.vmas)]
                yield Obligation(f"{name} fails for a reason", terms(*conditions, *(not_(hit(q)) for q in borders)))


def _same_at(a: Vma, b: Vma) -> Bool:
    return all_(eq(getattr(a, n), getattr(b, n)) for n in ATTRIBUTES if n not in BOOKKEEPING)


def _list_is_well_formed(vmas: list[Vma]) -> Bool:
    """In order, disjoint, below TASK_SIZE, and every VMA well formed in itself: its position, its attributes, and the
    bookkeeping (page offset, anon_vma) that merges and splits must keep right."""
    parts: list[Bool] = [condition for vma in vmas for condition, _ in well_formed_vma(vma)]
    parts += [le(a.end, b.start) for a, b in itertools.pairwise(vmas)]
    return all_(parts)


def _window_paths(
    edition: Edition, count: int, body: Callable[[BoundedSpace], None]
) -> Iterator[tuple[tuple[z3.BoolRef, ...], Window, BoundedSpace, bool]]:
    """All paths of `body` on an arbitrary window of `count` VMAs: (conditions, window, space afterwards, refused)."""
    window = Window(count)
    facts = window.well_formed()

    def run(path: Run) -> tuple[BoundedSpace, bool]:
        path.conditions.extend(facts)
        space = BoundedSpace(window, edition, path)
        try:
            body(space)
        except Refused:
            return space, True
        return space, False

    for explored in explore(run, list):
        space, refused = explored.outcome
        yield explored.conditions, window, space, refused


def modify(edition: Edition) -> Iterator[Obligation]:
    """vma_modify on a window: whatever merges or splits, the list stays well formed, the pages of the range carry the
    change and no other page does, and the counter counts."""
    start, end, p = z3.Int("start"), z3.Int("end"), z3.Int("p")
    wish = symbolic_vma("wish")
    for before, behind in itertools.product((0, 1), repeat=2):
        count = before + 1 + behind
        shape = f"modify ({before} before, {behind} behind)"

        def body(space: BoundedSpace, before: int = before) -> None:
            vma = space.vmas[before]
            # a stale cursor may lie before the VMA at hand: then its part of the range begins where the VMA does
            inside = True if edition.cursor is Cursor.STALE else le(vma.start, start)
            space.run.assume(and_(inside, lt(start, end), lt(vma.start, end), lt(start, vma.end), le(end, vma.end)))
            changed = replace(
                wish, start=vma.start, end=vma.end, backing=vma.backing, object=vma.object, offset=vma.offset
            )
            changed = replace(changed, anon_vma=vma.anon_vma, inherited=vma.inherited)
            space.run.assume(not_(same_flags(vma, changed)))
            space.run.assume(all_(condition for condition, _ in well_formed_vma(changed)))
            space._modify(before, start, end, changed, Errno.ENOMEM)

        some = False
        for conditions, window, space, refused in _window_paths(edition, count, body):
            some = True
            yield Obligation(
                f"{shape}: the counter counts", terms(*conditions, not_(eq(space.counter, space.counted())))
            )
            room = or_(le(space.counter, space.max_map_count), le(space.counter, window.elsewhere + count))
            if edition.limits_maps:
                yield Obligation(f"{shape}: the counter stays within its limit", terms(*conditions, not_(room)))
            middle = window.vmas[before]
            old, new = _lookup(window.vmas, p), _lookup(space.vmas, p)
            inside = and_(le(start, p), le(middle.start, p), lt(p, end))
            target = replace(wish, backing=old[1].backing, object=old[1].object)
            expected = (
                _same_at(new[1], old[1])
                if refused
                else and_(implies(inside, _same_at(new[1], target)), or_(inside, _same_at(new[1], old[1])))
            )
            yield Obligation(
                f"{shape}: exactly the range is changed",
                terms(*conditions, not_(and_(eq(old[0], new[0]), implies(old[0], expected)))),
            )
            place = eq(old[1].offset + (p - old[1].start), new[1].offset + (p - new[1].start))
            yield Obligation(
                f"{shape}: no page changes its place in the object", terms(*conditions, old[0], not_(place))
            )
            yield Obligation(
                f"{shape}: the list stays well formed", terms(*conditions, not_(_list_is_well_formed(space.vmas)))
            )
        assert some


def _lookup(vmas: list[Vma], page: Num) -> tuple[Bool, Vma]:
    found = vmas[0]
    for vma in vmas[1:]:
        found = choose_vma(between(vma.start, page, vma.end), vma, found)
    return any_(between(v.start, page, v.end) for v in vmas), found


def insert(edition: Edition) -> Iterator[Obligation]:
    """A new VMA between two others, merged or not: the list stays well formed, exactly its pages are new, and the
    counter counts."""
    p = z3.Int("p")
    new = symbolic_vma("new")
    for neighbours in (1, 2):

        def body(space: BoundedSpace, neighbours: int = neighbours) -> None:
            space.run.assume(and_(*[c for c, _ in well_formed_vma(new)]))
            space.run.assume(and_(le(space.vmas[0].end, new.start), le(new.end, TASK_PAGES)))
            if neighbours == 2:
                space.run.assume(le(new.end, space.vmas[1].start))
            space.map(new)

        for conditions, window, space, _ in _window_paths(edition, neighbours, body):
            shape = f"insert (among {neighbours})"
            yield Obligation(
                f"{shape}: the counter counts", terms(*conditions, not_(eq(space.counter, space.counted())))
            )
            old, now = _lookup(window.vmas, p), _lookup(space.vmas, p)
            inside = between(new.start, p, new.end)
            right = and_(
                eq(now[0], or_(old[0], inside)),
                implies(inside, _same_at(now[1], new)),
                implies(and_(old[0], not_(inside)), _same_at(now[1], old[1])),
            )
            yield Obligation(f"{shape}: exactly its pages are new", terms(*conditions, not_(right)))
            yield Obligation(
                f"{shape}: the list stays well formed", terms(*conditions, not_(_list_is_well_formed(space.vmas)))
            )


def cut_and_remove(edition: Edition) -> Iterator[Obligation]:
    """Cutting a VMA changes no page; removing one removes exactly its pages; both are counted."""
    start, end, p = z3.Int("start"), z3.Int("end"), z3.Int("p")
    for count in (1, 2):

        def body(space: BoundedSpace) -> None:
            space.run.assume(lt(start, end))
            space.split(start)
            space.split(end)
            space.unmap(start, end)

        for conditions, window, space, refused in _window_paths(edition, count, body):
            shape = f"unmap ({count})"
            if space.vmas:
                yield Obligation(
                    f"{shape}: the list stays well formed", terms(*conditions, not_(_list_is_well_formed(space.vmas)))
                )
            yield Obligation(
                f"{shape}: the counter counts", terms(*conditions, not_(eq(space.counter, space.counted())))
            )
            old = _lookup(window.vmas, p)
            now = _lookup(space.vmas, p) if space.vmas else (False, old[1])
            gone = False if refused else between(start, p, end)
            right = and_(eq(now[0], and_(old[0], not_(gone))), implies(now[0], _same_at(now[1], old[1])))
            yield Obligation(f"{shape}: exactly the range is removed", terms(*conditions, not_(right)))


def moves(edition: Edition) -> Iterator[Obligation]:
    """Moving VMA after VMA equals its summary: what the summary says after k VMAs, it says after k + 1; and one VMA
    that is moved passed what the summary says of it."""
    number, truth = z3.IntSort(), z3.BoolSort()
    mapped, holds = z3.Function("mapped", number, truth), z3.Function("holds", number, number)
    start, end, distance, reached, low, high, p = z3.Ints("start end distance reached low high p")

    def summary(at: z3.ArithRef, q: z3.ArithRef) -> tuple[z3.BoolRef, z3.ArithRef]:
        """(mapped, what it holds) of page q once the loop has got to `at`."""
        came = z3.And(start + distance <= q, q < at + distance, mapped(q - distance))
        gone = z3.And(start <= q, q < at)
        return z3.Or(came, z3.And(mapped(q), z3.Not(gone))), z3.If(came, holds(q - distance), holds(q))

    apart = z3.Or(end <= start + distance, end + distance <= start)
    one_vma = z3.And(*[z3.Implies(z3.And(low <= q, q < high), mapped(q)) for q in (p, p - distance)])
    hole = z3.And(*[z3.Implies(z3.And(reached <= q, q < low), z3.Not(mapped(q))) for q in (p, p - distance)])
    here = z3.And(start <= reached, reached <= low, low < high, high <= end, apart, one_vma, hole)
    was, held = summary(reached, p)
    source_was, source_held = summary(reached, p - distance)
    there, gone = z3.And(low + distance <= p, p < high + distance), z3.And(low <= p, p < high)
    now = z3.If(there, source_was, z3.And(was, z3.Not(gone)))
    holds_now = z3.If(there, source_held, held)
    then, held_then = summary(high, p)
    yield Obligation("moves: base, nothing is moved", terms(z3.Not(z3.And(*(
        a == b for a, b in zip(summary(start, p), (mapped(p), holds(p)), strict=True)
    )))))  # fmt: skip
    same = z3.And(now == then, z3.Implies(now, holds_now == held_then))
    yield Obligation("moves: step", terms(here, z3.Not(same)))
    yield Obligation("moves: the hypotheses are consistent", terms(here, there, then), consistent=True)
    if edition.remap is Remap.V6_17 and edition.has("mremap"):
        yield from _one_move(edition)


def _one_move(edition: Edition) -> Iterator[Obligation]:
    """What mremap asks when it moves one VMA to a given address ensures what the summary assumes of the VMAs that were
    moved, and its room leaves map_count within its limit."""
    world, p = World(), z3.Int("p")
    piece = symbolic_arguments(Move)
    facts = [*piece.facts(edition), piece.fixed, eq(piece.old_pages, piece.new_pages), lt(0, piece.old_pages)]
    facts += [piece.new_fits, piece.new_aligned, eq(piece.old_end, piece.old + piece.old_pages)]
    facts.append(or_(le(piece.old_end, piece.new), le(piece.new + piece.new_pages, piece.old)))

    def run(path: Run) -> tuple[UnboundedSpace, bool, Any]:
        path.conditions.extend(terms(*facts))
        space = UnboundedSpace(world, edition, path)
        mapped, vma = space.holding(piece.old)
        path.assume(and_(mapped, le(piece.old_end, vma.end)))
        before = space.snapshot()
        try:
            mremap.to_new_address_6_17(space, piece)
        except Refused:
            return space, True, before
        return space, False, before

    for explored in explore(run, lambda: world.axioms):
        space, refused, before = explored.outcome
        if refused:
            continue
        was, source = before.at(p), before.at(piece.old).vma
        asked = between(piece.new, p, piece.new + piece.new_pages)
        let_go = implies(was.mapped, lets_go(was.vma, piece.new, piece.new + piece.new_pages))
        head = and_(lt(source.start, piece.old), refuses_split(source, piece.old))
        tail = and_(lt(piece.old_end, source.end), refuses_split(source, piece.old_end))
        context = (*space.run.conditions, *space.facts(), *world.axioms)
        for what, wrong in (
            ("its destination let go", and_(asked, not_(let_go))),
            ("no page below mmap_min_addr", and_(asked, lt(p, MIN_PAGE))),
            ("its own VMA let it be cut off", or_(head, tail)),
            ("map_count is within its limit", not_(and_(lt(0, space.count), le(space.count, space.max_map_count)))),
        ):
            yield Obligation(f"moves: one VMA, {what}", terms(*context, wrong))
        yield Obligation("moves: one VMA can be moved", terms(*context), consistent=True)
