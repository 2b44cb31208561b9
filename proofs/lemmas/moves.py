# SPDX-License-Identifier: MIT
"""mremap's loop over several VMAs: what is said of it after k of them, is said after k + 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import z3

from checker.calls import symbolic_arguments
from checker.paths import Run, explore
from checker.unbounded import UnboundedSpace, World
from proofs.lemmas.base import Obligation, terms
from spec.arguments import Move
from spec.editions import Edition, Remap
from spec.space import Refused
from spec.syscalls import mremap
from spec.terms import and_, between, eq, implies, le, lt, not_, or_
from spec.vma import lets_go, refuses_split
from spec.words import MIN_PAGE


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
