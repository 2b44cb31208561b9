# SPDX-License-Identifier: MIT
"""Verbs that are no changing passes keep their contracts: on a window, with all else unknown.

The engine (checker/layout.py) carries out the verb on the VMAs that are listed; the contract (spec/contracts) is run
with what the engine made of them in the place of everything that it leaves open. Where no way through the contract
allows that, the obligation is refuted. Nothing is said of these verbs but what these two say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, cast

import z3

from checker.bounded import Window, symbolic_vma
from checker.paths import Run, explore
from checker.unbounded import Number, Truth, UnboundedSpace, World
from proofs.lemmas.base import Obligation, terms
from proofs.lemmas.moments import Branch, Ghosts, Held, Listed, Moment, list_is_well_formed
from spec.arguments import Nothing
from spec.contracts import Kind
from spec.editions import Edition
from spec.errors import Errno
from spec.space import AddressSpace, Refused
from spec.syscalls import environment
from spec.terms import Bool, Num, all_, and_, eq, implies, larger, le, lt, ne, not_, or_
from spec.vma import (
    SPECIAL,
    Page,
    Vma,
    is_placed,
    is_special,
    offset_at,
    refuses_split,
    well_formed_page,
    well_formed_vma,
)
from spec.words import MIN_PAGE, TASK_PAGES

PAGE, VALUE, NEW = z3.Int("at"), z3.Int("value"), symbolic_vma("new")
PAGES, PLACE, NEW_PAGES = z3.Int("pages"), z3.Int("place"), z3.Int("new_pages")
FOUND = z3.Function("found", Number, Truth)


class Answered(Held):
    """The contract of a verb, with the address space after it in the place of everything that it leaves open."""

    result: object = None
    """What the engine's verb has returned; None if it was refused, or has nothing to return."""

    def _free(self, what: str, refusal: tuple[Errno, str] | None = None) -> bool:
        return refusal in (None, self.wanted) and self.branch.choose()

    def _choice(self, what: str) -> Any:
        return self.branch.choose()

    def _number(self, what: str) -> Any:
        if what == "map_count":
            return self.now.count
        if what in ("free", "pkey", "exec_key"):
            return z3.Int(what) if self.result is None else self.result
        # what was found, or missed, is where the range begins, or a VMA does or ends
        starts = [larger(PAGE, vma.start) for vma in self.now.vmas]
        places = {"first": starts, "stack": starts, "witness": [PAGE, *starts, *(vma.end for vma in self.now.vmas)]}[
            what
        ]
        for place in places[1:]:
            if self.branch.choose():
                return place
        return places[0] if places else PAGE

    def _function(self, what: str, kind: Kind) -> Callable[[Num], Any]:
        if what == "own_offset":
            return lambda q: eq(offset_at(self.now.view(q)[1], q), q)
        return super()._function(what, kind)


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb, with what its callers see to."""

    name: str
    run: Callable[[AddressSpace], object]
    given: Callable[[list[Vma]], list[Bool]]
    """What holds of the arguments and of the VMAs that are listed, in address order."""
    sizes: tuple[int, ...]
    """How many VMAs are listed."""
    local: bool = True
    """It works within one place, so that any number of VMAs may lie elsewhere."""


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


def _whole(vmas: list[Vma]) -> list[Bool]:
    """Every VMA is in the range, or outside it."""
    apart = (or_(le(v.end, PAGE), le(VALUE, v.start), and_(le(PAGE, v.start), le(v.end, VALUE))) for v in vmas)
    return [lt(PAGE, VALUE), *apart]


def _range(vmas: list[Vma]) -> list[Bool]:
    return [lt(PAGE, VALUE)]


def _moved(source: int, keep_source: bool) -> Callable[[list[Vma]], list[Bool]]:
    """The pages are in the VMA of that number, which lets them be cut out; there is room for them elsewhere. With
    MREMAP_DONTUNMAP the size stays."""

    def given(vmas: list[Vma]) -> list[Bool]:
        vma, end = vmas[source], PLACE + NEW_PAGES
        copy = Vma(start=PLACE, end=end, offset=offset_at(vma, PAGE))
        return [
            _inside(vma, PAGE), le(0, PAGES), le(PAGE + PAGES, vma.end), lt(0, NEW_PAGES), le(PAGES, NEW_PAGES),
            ne(vma.backing, SPECIAL), implies(eq(PAGES, 0), vma.may_share), is_placed(copy, PLACE), le(end, TASK_PAGES),
            *(or_(eq(vma.start, page), eq(vma.end, page), not_(refuses_split(vma, page)))
              for page in (PAGE, PAGE + PAGES)),
            *(or_(le(other.end, PLACE), le(end, other.start)) for other in vmas),
            eq(PAGES, NEW_PAGES) if keep_source else True,
        ]  # fmt: skip

    return given


def _room(vmas: list[Vma]) -> list[Bool]:
    return [lt(0, PAGES), le(0, PLACE)]


def _free_range(hint: Num | None, *, low: bool = False, huge: bool = False) -> Callable[[AddressSpace], object]:
    return lambda mm: mm.free_range_for(PAGES, hint, low=low, huge=huge)


def _move(keep_source: bool) -> Callable[[AddressSpace], object]:
    return lambda mm: mm.move(PAGE, PAGES, PLACE, NEW_PAGES, keep_source=keep_source)


VERBS = (
    Verb("first", lambda mm: mm.first(PAGE, VALUE), _range, (0, 1, 2), local=False),
    Verb(
        "check_each",
        lambda mm: mm.check_each(PAGE, VALUE, lambda vma: cast(z3.BoolRef, FOUND(vma.start)), Errno.EPERM, "found"),
        _range,
        (0, 1, 2),
        local=False,
    ),
    Verb("check_mapped", lambda mm: mm.check_mapped(PAGE, VALUE, Errno.ENOMEM, ""), _range, (0, 1, 2), local=False),
    Verb("unmap", lambda mm: mm.unmap(PAGE, VALUE), _whole, (0, 1, 2, 3), local=False),
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
    Verb("lock (several VMAs)", lambda mm: mm.lock(PAGE, VALUE), _range, (0, 1, 2), local=False),
    Verb("fork", lambda mm: environment.fork(mm, Nothing()), lambda vmas: [], (0, 1, 2), local=False),
    Verb("stack_above", lambda mm: mm.stack_above(PAGE), lambda vmas: [le(0, PAGE)], (0, 1, 2), local=False),
    Verb("free_range", _free_range(None), _room, (0, 1, 2), local=False),
    Verb("free_range (hint)", _free_range(PLACE), _room, (0, 1, 2), local=False),
    Verb("free_range (below 2 GiB)", _free_range(PLACE, low=True), _room, (0, 1, 2), local=False),
    Verb("free_range (huge pages)", _free_range(PLACE, huge=True), lambda vmas: [*_room(vmas), le(MIN_PAGE, PLACE)],
         (0, 1, 2), local=False),
    Verb("allocate_pkey", lambda mm: mm.allocate_pkey(), lambda vmas: [], (0,)),
    Verb("execute_only_pkey", lambda mm: mm.execute_only_pkey(True), lambda vmas: [], (0,)),
)  # fmt: skip


MOVES = tuple(
    Verb(f"move{' (the source stays)' if keep else ''}, source {i}", _move(keep), _moved(i, keep), (n,), local=False)
    for keep in (False, True)
    for n in (1, 2)
    for i in range(n)
)


class Alone(Moment):
    """An address space of which all VMAs are listed."""

    def _view(self, q: Num) -> tuple[Bool, Vma]:
        return self.listed(q), super()._view(q)[1]

    def cut(self, q: Num) -> Bool:
        return or_(*(or_(eq(q, vma.start), eq(q, vma.end)) for vma in self.vmas))


def _rest(now: Moment, q: z3.ArithRef, vmas: list[Vma], verb: Verb) -> Bool:
    """Of a page outside the window: where a verb works within one place, nothing lies between the VMAs that are listed,
    and what lies beside the place is listed. Where it works in several, all VMAs are listed."""
    unlisted = and_(now.function("now_mapped", Number, Truth)(q), not_(now.listed(q)))
    if not verb.local:
        return not_(unlisted)
    places = [NEW.start, NEW.end] if "map" in verb.name else [PAGE, VALUE] if verb.name == "expand" else []
    if len(vmas) == 3 or verb.name in ("split", "set_page", "store (shared)"):
        places = []
    below = and_(*(lt(q + 1, edge) for edge in [*(v.start for v in vmas[:1]), *places[:1]]))
    above = and_(*(lt(edge, q) for edge in [*(v.end for v in vmas[-1:]), *places[-1:]]))
    return implies(unlisted, or_(below, above))


def verbs(edition: Edition) -> Iterator[Obligation]:
    """All verbs of the table but move, on all their windows."""
    for verb in VERBS:
        for size in verb.sizes:
            yield from _of_verb(verb, edition, size)


def move(edition: Edition) -> Iterator[Obligation]:
    """Moving pages, over one or two VMAs."""
    for verb in MOVES:
        for size in verb.sizes:
            yield from _of_verb(verb, edition, size)


def _carried_out(verb: Verb, edition: Edition, window: Window, keys: UnboundedSpace, known: Any, path: Run) -> Any:
    path.conditions.extend(known)
    engine = Listed(window, edition, path, keys)
    try:
        return engine, None, verb.run(engine)
    except Refused as refused:
        return engine, refused, None


def _of_verb(verb: Verb, edition: Edition, size: int) -> Iterator[Obligation]:
    window = Window(size)
    before = UnboundedSpace(World(), edition, cast(Any, None))
    seen = Moment if verb.local else Alone
    begun = seen(Listed(window, edition, cast(Any, None), before))
    before._view, before._page, before._cut = begun.view, begun.page, cast(Any, begun.cut)
    before._stored, before.count = begun.stored, begun.count
    known = terms(*window.well_formed(), le(size, begun.count), *verb.given(window.vmas))
    place = z3.Int("object"), z3.Int("offset")
    found = 0
    for explored in explore(partial(_carried_out, verb, edition, window, before, known), list):
        found += 1
        engine, refused, result = explored.outcome
        now = seen(engine)
        wanted = None if refused is None else (refused.errno, refused.check)
        wrong: list[Bool] = []
        for i, way in enumerate(_ways(verb, before, now, wanted, result)):
            q = z3.Int(f"page_{i}")
            for page in (q, q + PAGE - PLACE) if verb.name.startswith("move") else (q,):
                mapped, vma = begun.view(page)
                wrong.append(well_formed_page(mapped, vma, begun.page(page)))
                wrong.append(implies(mapped, and_(is_placed(vma, page), *(c for c, _ in well_formed_vma(vma)))))
            wrong.append(_rest(begun, q, window.vmas, verb))
            wrong.append(not_(and_(way.says_of(*place), way.says(q), way.says_of_key(z3.Int("key")))))
        name = f"verbs: {verb.name} ({size} listed)" + (f": {refused.errno.name}" if refused is not None else "")
        yield Obligation(name, terms(*explored.conditions, *wrong))
        sound = and_(list_is_well_formed(now.vmas), eq(now.count - len(now.vmas), begun.count - size))
        yield Obligation(f"{name}: the list is well formed and counted", terms(*explored.conditions, not_(sound)))
    yield Obligation(f"verbs: {verb.name} ({size} listed) can be", known, consistent=True)
    assert found


def _same(answer: object, result: object) -> Bool:
    """The verb has the same result by its contract."""
    if isinstance(answer, Vma) and isinstance(result, Vma):
        return all_(eq(getattr(answer, f.name), getattr(result, f.name)) for f in fields(Vma))
    return answer is result


def _ways(
    verb: Verb, before: UnboundedSpace, now: Moment, wanted: tuple[Errno, str] | None, result: object
) -> list[Answered]:
    """The ways through the contract that end as the engine has."""
    ways, pending = [], cast("list[list[bool]]", [[]])
    nothing = Ghosts(False, 0, lambda o, f: False, lambda o, f: 0)
    while pending:
        branch = Branch(pending.pop())
        way = Answered(before, now, nothing, branch)
        way.wanted, way.result = wanted, result
        ended = None
        try:
            branch.assume(_same(verb.run(way), result))
        except Refused as refused:
            ended = refused.errno, refused.check
        pending.extend(branch.open)
        if ended == wanted:
            ways.append(way)
    return ways
