# SPDX-License-Identifier: MIT
"""Verbs that are no loops keep their contracts: on a window, with all else unknown.

The engine (checker/layout.py) carries out the verb on the VMAs that are listed; the contract (checker/unbounded.py) is
run with what the engine made of them in the place of everything that it leaves open. Where no way through the contract
allows that, the obligation is refuted. Nothing is said of these verbs but what these two say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import z3

from checker.bounded import Window, symbolic_vma
from checker.paths import Run, explore
from checker.unbounded import Number, Truth, UnboundedSpace, World
from proofs.lemmas.base import Obligation, terms
from proofs.lemmas.passes import Branch, Ghosts, Held, Listed, Moment
from spec.editions import Edition
from spec.errors import Errno
from spec.space import AddressSpace, Refused
from spec.terms import Bool, Num, and_, implies, le, lt, not_, or_
from spec.vma import Page, Vma, is_placed, is_special, well_formed_page, well_formed_vma

PAGE, VALUE, NEW = z3.Int("at"), z3.Int("value"), symbolic_vma("new")


class Answered(Held):
    """The contract of a verb, with the address space after it in the place of everything that it leaves open."""

    def _choice(self, what: str) -> Any:
        return self.branch.choose()

    def _number(self, what: str) -> Any:
        return {"map_count": self.now.count}[what]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb, with what its callers see to."""

    name: str
    run: Callable[[AddressSpace], object]
    given: Callable[[list[Vma]], list[Bool]]
    """What holds of the arguments and of the VMAs that are listed, in address order."""
    sizes: tuple[int, ...] = (1, 2, 3)
    """How many VMAs are listed."""


def _inside(vma: Vma, page: Num) -> Bool:
    return and_(le(vma.start, page), lt(page, vma.end))


def _at_the_middle(vmas: list[Vma]) -> list[Bool]:
    """The page is in the only VMA, or in that in the middle, so that its neighbours are listed."""
    return [_inside(vmas[len(vmas) // 2], PAGE)]


def _private(vmas: list[Vma]) -> list[Bool]:
    vma = vmas[len(vmas) // 2]
    return [*_at_the_middle(vmas), not_(vma.shared), not_(is_special(vma))]


def _free(vmas: list[Vma]) -> list[Bool]:
    """The new VMA lies between the listed ones."""
    placed = [condition for condition, _ in well_formed_vma(NEW)]
    left, right = vmas[: len(vmas) // 2], vmas[len(vmas) // 2 :]
    apart = [*(le(vma.end, NEW.start) for vma in left), *(le(NEW.end, vma.start) for vma in right)]
    return [*placed, *apart]


def _room_behind(vmas: list[Vma]) -> list[Bool]:
    """There is room behind the VMA that grows, which is no special one and stays within its object's offsets."""
    vma = vmas[0]
    grown = Vma(start=vma.start, end=VALUE, offset=vma.offset)
    room = [le(VALUE, other.start) for other in vmas[1:]]
    return [_inside(vma, PAGE), lt(vma.end, VALUE), not_(is_special(vma)), is_placed(grown, vma.start), *room]


VERBS = (
    Verb("split", lambda mm: mm.split(PAGE), _at_the_middle, (1,)),
    Verb("map", lambda mm: mm.map(NEW), _free, (0, 1, 2)),
    Verb("map (brk)", lambda mm: mm.map(NEW, expand_only=True), _free, (0, 1, 2)),
    Verb("expand", lambda mm: mm.expand(PAGE, VALUE), _room_behind, (1, 2)),
    Verb("prepare", lambda mm: mm.prepare(PAGE, True), _private, (1, 3)),
    Verb("store", lambda mm: mm.store(PAGE, VALUE), _private, (1, 3)),
    Verb(
        "store (shared)",
        lambda mm: mm.store(PAGE, VALUE),
        lambda vmas: [*_at_the_middle(vmas), vmas[0].shared, lt(0, vmas[0].object)],
        (1,),
    ),
    Verb("set_page", lambda mm: mm.set_page(PAGE, Page(lazy=True)), _at_the_middle, (1,)),
    Verb("lock", lambda mm: mm.lock(PAGE, VALUE), lambda vmas: [*_at_the_middle(vmas), lt(PAGE, VALUE),
         le(VALUE, vmas[len(vmas) // 2].end)], (1, 3)),
)  # fmt: skip


def _rest(now: Moment, q: z3.ArithRef, vmas: list[Vma], verb: Verb) -> Bool:
    """A page outside the window: no VMA that is not listed lies between the listed ones or touches the place at which
    the verb works."""
    unlisted = and_(now.function("now_mapped", Number, Truth)(q), not_(now.listed(q)))
    places = [PAGE, VALUE] if verb.name == "expand" else [NEW.start, NEW.end] if "map" in verb.name else []
    low = [vmas[0].start] if vmas else []
    high = [vmas[-1].end] if vmas else []
    if len(vmas) < 3 and verb.name != "split":
        low, high = [*low, *places[:1]], [*high, *places[-1:]]
    below = and_(*(lt(q + 1, edge) for edge in low))
    above = and_(*(lt(edge, q) for edge in high))
    outside = or_(below, above) if low else True
    return implies(unlisted, outside)


def obligations(edition: Edition) -> Iterator[Obligation]:
    """All verbs of the table, on all their windows."""
    for verb in VERBS:
        for size in verb.sizes:
            yield from _of_verb(verb, edition, size)


def _carried_out(verb: Verb, edition: Edition, window: Window, keys: UnboundedSpace, known: Any, path: Run) -> Any:
    path.conditions.extend(known)
    engine = Listed(window, edition, path, keys)
    try:
        verb.run(engine)
    except Refused as refused:
        return engine, refused
    return engine, None


def _of_verb(verb: Verb, edition: Edition, size: int) -> Iterator[Obligation]:
    window = Window(size)
    before = UnboundedSpace(World(), edition, cast(Any, None))
    begun = Moment(Listed(window, edition, cast(Any, None), before))
    before._view, before._page, before._cut = begun.view, begun.page, cast(Any, begun.cut)
    before._stored, before.count = begun.stored, begun.count
    known = terms(*window.well_formed(), le(size, begun.count), *verb.given(window.vmas))
    place = z3.Int("object"), z3.Int("offset")
    found = 0
    for explored in explore(partial(_carried_out, verb, edition, window, before, known), list):
        found += 1
        engine, refused = explored.outcome
        wanted = None if refused is None else (refused.errno, refused.check)
        wrong: list[Bool] = []
        for i, way in enumerate(_ways(verb, before, Moment(engine), wanted)):
            q = z3.Int(f"page_{i}")
            vma = begun.view(q)[1]
            wrong += [
                well_formed_page(*begun.view(q), begun.page(q)),
                implies(begun.view(q)[0], and_(is_placed(vma, q), *(c for c, _ in well_formed_vma(vma)))),
                _rest(begun, q, window.vmas, verb),
                not_(and_(way.says_of(*place), way.says(q))),
            ]
        name = f"verbs: {verb.name} ({size} listed)" + (f": {refused.errno.name}" if refused is not None else "")
        yield Obligation(name, terms(*explored.conditions, *before.world.axioms, *wrong))
    yield Obligation(f"verbs: {verb.name} ({size} listed) can be", known, consistent=True)
    assert found


def _ways(verb: Verb, before: UnboundedSpace, now: Moment, wanted: tuple[Errno, str] | None) -> list[Answered]:
    """The ways through the contract that end as the engine has."""
    ways, pending = [], cast("list[list[bool]]", [[]])
    nothing = Ghosts(False, 0, lambda o, f: False, lambda o, f: 0)
    while pending:
        branch = Branch(pending.pop())
        way = Answered(before, now, nothing, branch)
        way.wanted = wanted
        ended = None
        try:
            verb.run(way)
        except Refused as refused:
            ended = refused.errno, refused.check
        pending.extend(branch.open)
        if ended == wanted:
            ways.append(way)
    return ways
