# SPDX-License-Identifier: MIT
"""The lemma merges-more: an engine that merges more lacks room for a cut only where one that merges less does.

Kernels before 6.16 do not merge written memory with memory that was never written. So they make more VMAs, and reach
the map-count limit earlier. The lemma is an induction over the VMAs of one changing pass that two engines make from the
same address space, whose map_count is at most one above its limit. Before each visit one of these holds:

- both engines have done the same so far;
- the engine that merges more has at least one VMA less, and so at most as many as the limit allows; the VMA to the left
  of the one at hand has the same attributes in both, and the same anon_vma, unless it was never written in the engine
  that merges less;
- the engine that merges more has fewer VMAs than the limit allows. Then it has room for the one cut that may come, at
  the end of the range; to visit a whole VMA adds none. So this one needs no obligation.

The same is not true of a stale cursor (mseal in 6.17), which merges less too: the lemma is refuted there, and there is
an address space of four VMAs in which 6.17 has room and 6.18 has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import z3

from checker.bounded import BoundedSpace, Window, symbolic_vma
from checker.paths import Run, explore
from proofs.lemmas import Lemma, Obligation
from spec.editions import Edition
from spec.errors import Errno
from spec.layout import OVER_LIMIT
from spec.space import Refused
from spec.terms import Bool, Num, and_, eq, implies, le, lt, ne, not_, or_
from spec.vma import Vma, is_special, same_flags, well_formed_vma

SENTENCE: Final = (
    "Of two engines that make the same changing pass, the one that merges more lacks room for a cut only where the "
    "other does."
)


@dataclass(slots=True)
class _Side:
    """One of two engines on a window of three VMAs: the left neighbour, the VMA at hand, and the one behind it."""

    space: BoundedSpace
    refused: Errno | None = None
    index: int = 0
    reached: Num = 0


@dataclass(frozen=True, slots=True)
class _Visited:
    conditions: tuple[z3.BoolRef, ...]
    less: _Side
    more: _Side


@dataclass(frozen=True, slots=True)
class _Way:
    """A visit: of the first VMA of the pass, or of one in the course of it; of a whole VMA, or of one to be cut at the
    end; by engines that have done the same so far, or not."""

    first: bool
    whole: bool
    alike: bool

    def __str__(self) -> str:
        place = "the first VMA" if self.first else "a VMA in the course of it"
        return f"{place}, {'whole' if self.whole else 'cut at the end'}{'' if self.alike else ', apart so far'}"


def merges_more(less: Edition, more: Edition, *, stale: bool = False) -> Lemma:
    """The lemma for an edition that merges less and one that merges more; `stale`: the first one's cursor may lie
    before the VMA at hand, which is not merged then."""

    def obligations(edition: Edition) -> Iterator[Obligation]:
        yield from _fresh_memory(less, more)
        for first, alike in ((True, True), (False, True), (False, False)):
            for whole in (True, False):
                yield from _visits(less, more, stale, _Way(first, whole, alike))

    return Lemma("merges-more", SENTENCE, obligations)


def _fresh_memory(less: Edition, more: Edition) -> Iterator[Obligation]:
    """A new mapping merges by the same rule in both, so that mmap and brk need not ask."""
    neighbour, fresh = symbolic_vma("neighbour"), Vma(start=0, end=1)

    def merged(path: Run) -> Bool:
        window = Window(0)
        ways = [
            BoundedSpace(window, edition, path)._anon_vmas_merge(neighbour, fresh, extends=False)
            for edition in (less, more)
        ]
        return eq(*ways)

    well = [condition for condition, _ in well_formed_vma(neighbour)]
    for found in explore(merged, list):
        query = _z(*well, not_(found.outcome))
        yield Obligation("merges-more: memory that was never written merges alike", query)


def _in_front(a: Vma, b: Vma, count_a: Num, count_b: Num, limit: Num) -> Bool:
    """The second invariant, of left neighbours and counters of the engine that merges less (a) and the other (b)."""
    same = and_(eq(a.anon_vma, b.anon_vma), eq(a.inherited, b.inherited))
    unwritten = and_(eq(a.anon_vma, 0), ne(b.anon_vma, 0), not_(b.inherited), not_(is_special(b)))
    return and_(or_(same, unwritten), le(count_b, count_a), le(count_b, limit))


def _one_origin(*vmas: Vma) -> Bool:
    """VMAs with one anon_vma agree on whether it came through fork; VMAs with one object are backed alike."""
    pairs = [(a, b) for i, a in enumerate(vmas) for b in vmas[:i]]
    forked = (implies(eq(a.anon_vma, b.anon_vma), eq(a.inherited, b.inherited)) for a, b in pairs)
    return and_(*forked, *(implies(eq(a.object, b.object), _backed_alike(a, b)) for a, b in pairs))


def _backed_alike(a: Vma, b: Vma) -> Bool:
    """The two have one kind of backing, if they have an object at all."""
    return or_(eq(a.object, 0), eq(a.backing, b.backing))


def _both(less: Edition, more: Edition, may_be_stale: bool, way: _Way) -> Iterator[_Visited]:
    """All paths of the two engines' visits of one VMA, which may be faulted in then (a locked one that becomes
    writable)."""
    window = Window(3)
    left, vma, behind = window.vmas
    start, end = z3.Int("start"), z3.Int("end")
    other_left = left if way.alike else replace(left, anon_vma=z3.Int("its.anon_vma"), inherited=z3.Bool("its.own"))
    count = z3.Int("map_count")
    other_count = count if way.alike else z3.Int("its.map_count")
    wish = symbolic_vma("wish")
    changed = replace(
        wish, start=vma.start, end=vma.end, backing=vma.backing, object=vma.object, offset=vma.offset,
        anon_vma=vma.anon_vma, inherited=vma.inherited,
    )  # fmt: skip
    stop = vma.end if way.whole else end
    facts: list[Bool] = [
        *window.well_formed(), *(condition for condition, _ in well_formed_vma(other_left)),
        *(condition for condition, _ in well_formed_vma(changed)),
        not_(same_flags(vma, changed)), _one_origin(left, other_left, vma, behind),
        ne(z3.Int("anon_vma!1"), other_left.anon_vma),
        and_(le(vma.start, start), lt(start, stop)) if way.first else eq(start, vma.start),
        True if way.whole else and_(lt(vma.start, end), lt(end, vma.end)),
        le(count, window.max_map_count + OVER_LIMIT) if way.alike
        else _in_front(left, other_left, count, other_count, window.max_map_count),
    ]  # fmt: skip
    known = [fact for fact in facts if isinstance(fact, z3.ExprRef)]

    def run(path: Run) -> tuple[_Side, _Side]:
        path.conditions.extend(known)
        sides = []
        touches = path.choose(z3.Bool("faulted in"))
        if touches and not way.alike:  # mprotect does that: it gives every VMA that it visits one protection
            path.assume(and_(*(eq(getattr(left, name), getattr(changed, name)) for name in ("read", "write", "exec"))))
        for edition, neighbour, counter in ((less, left, count), (more, other_left, other_count)):
            space = BoundedSpace(window, edition, path)
            space.vmas, space.counter = [neighbour, vma, behind], counter
            side = _Side(space)
            stale = may_be_stale and not way.first and edition is less and path.choose(z3.Bool("stale"))
            try:
                side.index, side.reached = space._modify(1, start - 1 if stale else start, stop, changed, Errno.ENOMEM)
                if touches and not path.decide(or_(vma.shared, is_special(vma))):
                    space.touch(start)
            except Refused as refused:
                side.refused = refused.errno
            sides.append(side)
        return sides[0], sides[1]

    for found in explore(run, list, limit=20_000):
        yield _Visited(found.conditions, *found.outcome)


def _visits(less: Edition, more: Edition, stale: bool, way: _Way) -> Iterator[Obligation]:
    """Where the engine that merges more lacks room, so does the other; and the visit of a whole VMA keeps one of the
    invariants."""
    done = lacking = 0
    for visited in _both(less, more, stale, way):
        a, b = visited.less, visited.more
        if b.refused is Errno.ENOMEM:
            lacking += 1
            if a.refused is not Errno.ENOMEM:
                yield Obligation(f"merges-more: {way}: no room", visited.conditions)
        elif way.whole and a.refused is None and b.refused is None:
            done += 1
            if not (way.alike and a.space.vmas == b.space.vmas and eq(a.space.counter, b.space.counter) is True):
                kept = _kept(a, b)
                yield Obligation(f"merges-more: {way}: the invariant", _z(*visited.conditions, not_(kept)))
    yield Obligation(f"merges-more: {way}: it happens", _z((done if way.whole else lacking) > 0), consistent=True)


def _kept(a: _Side, b: _Side) -> Bool:
    """The second or the third invariant, before the next visit. Where one engine has swallowed the VMA behind, the
    other visits that too: it has the attributes that the change gives, so that nothing happens."""
    behind = a.space.window.vmas[2]
    swallowed = [side.reached is behind.end for side in (a, b)]
    left, other_left = (
        behind if any(swallowed) and not gone else side.space.vmas[side.index - 1]
        for side, gone in zip((a, b), swallowed, strict=True)
    )
    limit = a.space.max_map_count
    front = _in_front(left, other_left, a.space.counter, b.space.counter, limit)
    return or_(front, lt(b.space.counter, limit))


def _z(*terms: Bool) -> tuple[z3.BoolRef, ...]:
    return tuple(t if isinstance(t, z3.ExprRef) else z3.BoolVal(t) for t in terms)
