"""The lemma merges-more: an engine that merges more lacks room for a cut only where one that merges less does.

Kernels before 6.16 do not merge written memory with memory that was never written. So they make more VMAs, and reach
the map-count limit earlier. The lemma is an induction over the VMAs of one changing pass that two engines make from the
same address space, with one change. Before each visit the invariant holds: the VMA to the left of the one at hand has
the same attributes in both, and either the same anon_vma, with no more VMAs in the one that merges more, or none in the
one that merges less, with at least one VMA fewer in the other.

The same is not true of a stale cursor (mseal in 6.17), which merges less too: the lemma is refuted there, and there is
an address space of four VMAs in which 6.17 has room and 6.18 has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import z3

from checker.bounded import BoundedSpace, Window, symbolic_vma
from checker.paths import Run, explore
from proofs.lemmas import Lemma, Obligation
from spec.editions import Edition
from spec.errors import Errno
from spec.space import Refused
from spec.terms import Bool, Num, and_, eq, implies, le, lt, ne, not_, or_
from spec.vma import Vma, same_flags, well_formed_vma

SENTENCE = (
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


def merges_more(less: Edition, more: Edition, *, stale: bool = False) -> Lemma:
    """The lemma for an edition that merges less and one that merges more; `stale`: the first one's cursor may lie
    before the VMA at hand, which is not merged then."""

    def obligations(edition: Edition) -> Iterator[Obligation]:
        yield from _visits(less, more, stale)
        yield from _cuts(less, more, stale, first=False)
        yield from _cuts(less, more, stale, first=True)

    return Lemma("merges-more", SENTENCE, obligations)


def _invariant(a: Vma, b: Vma, count_a: Num, count_b: Num) -> Bool:
    """What holds of the left neighbours and counters of the engine that merges less (a) and of the other (b)."""
    same = and_(eq(a.anon_vma, b.anon_vma), eq(a.inherited, b.inherited), le(count_b, count_a))
    ahead = and_(eq(a.anon_vma, 0), ne(b.anon_vma, 0), not_(b.inherited), lt(count_b, count_a))
    return or_(same, ahead)


def _one_origin(*vmas: Vma) -> Bool:
    """VMAs with one anon_vma agree on whether it came through fork."""
    pairs = ((a, b) for i, a in enumerate(vmas) for b in vmas[:i])
    return and_(*(implies(eq(a.anon_vma, b.anon_vma), eq(a.inherited, b.inherited)) for a, b in pairs))


@dataclass(frozen=True, slots=True)
class _Visited:
    conditions: tuple[z3.BoolRef, ...]
    less: _Side
    more: _Side


def _both(less: Edition, more: Edition, may_be_stale: bool, *, first: bool, whole: bool) -> Iterator[_Visited]:
    """All paths of the two engines' visits of one VMA. `first`: it is the first of the pass, and both engines are in
    the same state; `whole`: the range reaches to its end."""
    window = Window(3)
    left, vma, behind = window.vmas
    start, end = z3.Int("start"), z3.Int("end")
    other_left = replace(left, anon_vma=z3.Int("other.anon_vma"), inherited=z3.Bool("other.inherited"))
    counts = z3.Int("less.map_count"), z3.Int("more.map_count")
    wish = symbolic_vma("wish")
    changed = replace(
        wish, start=vma.start, end=vma.end, backing=vma.backing, object=vma.object, offset=vma.offset,
        anon_vma=vma.anon_vma, inherited=vma.inherited,
    )  # fmt: skip
    stop = vma.end if whole else end
    facts: list[Bool] = [
        *window.well_formed(), *(condition for condition, _ in well_formed_vma(other_left)),
        *(condition for condition, _ in well_formed_vma(changed)),
        not_(same_flags(vma, changed)), _one_origin(left, other_left, vma, behind),
        True if whole else and_(lt(vma.start, end), lt(end, vma.end)),
    ]  # fmt: skip
    if first:
        facts += [eq(left.anon_vma, other_left.anon_vma), eq(left.inherited, other_left.inherited)]
        facts += [eq(*counts), and_(le(vma.start, start), lt(start, stop))]
    else:
        facts += [eq(start, vma.start), _invariant(left, other_left, *counts)]
    known = [fact for fact in facts if isinstance(fact, z3.ExprRef)]

    def run(path: Run) -> tuple[_Side, _Side]:
        path.conditions.extend(known)
        sides = []
        for edition, neighbour, count in zip((less, more), (left, other_left), counts, strict=True):
            space = BoundedSpace(window, edition, path)
            space.vmas, space.counter = [neighbour, vma, behind], count
            side = _Side(space)
            stale = may_be_stale and not first and edition is less and path.choose(z3.Bool("stale"))
            try:
                side.index, side.reached = space._modify(1, start - 1 if stale else start, stop, changed, Errno.ENOMEM)
            except Refused as refused:
                side.refused = refused.errno
            sides.append(side)
        return sides[0], sides[1]

    for found in explore(run, list, limit=20_000):
        yield _Visited(found.conditions, *found.outcome)


def _kept(a: _Side, b: _Side) -> Bool:
    """The invariant before the next visit. Where one engine has swallowed the VMA behind, the other visits that too: it
    has the attributes that the change gives, so that nothing happens."""
    behind = a.space.window.vmas[2]
    swallowed = [side.reached is behind.end for side in (a, b)]
    left, other_left = (
        behind if any(swallowed) and not gone else side.space.vmas[side.index - 1]
        for side, gone in zip((a, b), swallowed, strict=True)
    )
    return _invariant(left, other_left, a.space.counter, b.space.counter)


def _visits(less: Edition, more: Edition, stale: bool) -> Iterator[Obligation]:
    """To visit a whole VMA keeps the invariant."""
    seen = 0
    for visited in _both(less, more, stale, first=False, whole=True):
        seen += 1
        kept = not_(_kept(visited.less, visited.more))
        yield Obligation("merges-more: a visit keeps the invariant", _z(*visited.conditions, kept))
    yield Obligation("merges-more: there are visits", _z(seen > 0), consistent=True)


def _cuts(less: Edition, more: Edition, stale: bool, *, first: bool) -> Iterator[Obligation]:
    """At a VMA that is to be cut: where the engine that merges more lacks room, so does the other; and after a cut at
    the start of the range the invariant holds."""
    where = "first" if first else "last"
    for whole in (False, True) if first else (False,):
        lacking = 0
        for visited in _both(less, more, stale, first=first, whole=whole):
            a, b = visited.less, visited.more
            if b.refused is Errno.ENOMEM:
                lacking += 1
                if a.refused is not Errno.ENOMEM:
                    yield Obligation(f"merges-more: the {where} VMA, no room", _z(*visited.conditions))
            elif whole and a.refused is None and b.refused is None:
                query = _z(*visited.conditions, not_(_kept(a, b)))
                yield Obligation(f"merges-more: the {where} VMA, the invariant", query)
        yield Obligation(f"merges-more: room is lacking at the {where} VMA", _z(lacking > 0), consistent=True)


def _z(*terms: Bool) -> tuple[z3.BoolRef, ...]:
    return tuple(t if isinstance(t, z3.ExprRef) else z3.BoolVal(t) for t in terms)
