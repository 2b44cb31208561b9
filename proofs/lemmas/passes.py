# SPDX-License-Identifier: MIT
"""The changing pass by induction over the loop body that runs.

The contract of a pass, which the proofs assume (spec/contracts/passes.py, pass_up_to and why_it_stops), holds
before the first iteration, is kept by each iteration of the list engine (checker/layout.py, visit_next) with the visit
that the call passes, and says what the proofs assume when the pass ends, in success (end_pass) and in failure.

Three address spaces take part: the arbitrary one in which the pass begins (an UnboundedSpace, as in the proofs); the
one in the middle of the pass, of which a window of three VMAs is listed (the one before the cursor, the one to be
visited, the one behind) while all else is unknown; and the one that an iteration of the engine makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, cast

import z3

from checker.bounded import Window, symbolic_vma
from checker.calls import symbolic_arguments
from checker.paths import Run, explore
from checker.unbounded import Number, Truth, UnboundedSpace, World
from proofs.lemmas.base import Lemma, Obligation, terms
from proofs.lemmas.moments import Branch, Ghosts, Held, Listed, Moment, is_well_formed, list_is_well_formed
from spec.editions import Edition
from spec.errors import Errno
from spec.space import AddressSpace, Done, Gap, Pass, Refused, Visit
from spec.syscalls import CALLS
from spec.terms import (
    Bool,
    Num,
    all_,
    and_,
    between,
    eq,
    implies,
    ite,
    larger,
    le,
    lt,
    not_,
    or_,
    smaller,
)
from spec.vma import Page, Vma, offset_at, same_flags, well_formed_page


class Captured(Exception):
    """The call has come to the pass that is looked for."""

    def __init__(self, this: Pass) -> None:
        super().__init__("a changing pass")
        self.this = this


class Prelude(UnboundedSpace):
    """The unbounded reading of a call up to its changing pass number `nth`."""

    nth = 0

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
        if self.nth == 0:
            raise Captured(Pass(start, end, visit, gap, no_room, cursor))
        self.nth -= 1
        super().change_each(start, end, visit, gap=gap, no_room=no_room, cursor=cursor)


@dataclass(frozen=True, slots=True)
class Start:
    """A changing pass that a call makes over an unknown range, and the arbitrary address space in which it begins."""

    call: str
    this: Pass
    space: UnboundedSpace
    keys: UnboundedSpace
    """Where the thread's rights and the keys are as the call has made them."""
    conditions: tuple[z3.BoolRef, ...]
    """What is known of the arguments."""


def passes_of(call: str, edition: Edition, known: set[str]) -> Iterator[Start | Obligation]:
    """Every changing pass of the call that is not `known` yet; and for each way to it, that its range is one."""
    for nth in range(3):
        world = World()
        arguments = symbolic_arguments(CALLS[call].decoded)
        facts = terms(*arguments.facts(edition))

        def run(
            path: Run, world: World = world, nth: int = nth, arguments: Any = arguments, facts: Any = facts
        ) -> tuple[Prelude, Pass | None]:
            path.conditions.extend(facts)
            space = Prelude(world, edition, path)
            space.nth = nth
            try:
                CALLS[call].body(space, arguments)
            except Captured as captured:
                return space, captured.this
            except (Refused, Done):
                pass
            return space, None

        found = False
        for explored in explore(run, lambda world=world: world.axioms):  # type: ignore[misc]
            space, this = explored.outcome
            if this is None:
                continue
            found = True
            first = z3.Int("first_page")
            context = (*explored.conditions, *space.facts(), *world.axioms)
            a_range = and_(le(0, this.start), lt(this.start, this.end))
            yield Obligation(f"{call}: the pass has a range", terms(*context, not_(a_range)))
            again = replace(this, start=first)
            print_of = _fingerprint(again)
            if print_of not in known:
                known.add(print_of)
                conditions = (*facts, *terms(le(0, first), lt(first, this.end)))
                yield Start(call, again, UnboundedSpace(World(), edition, cast(Any, None)), space, conditions)
        if not found:
            return


def _fingerprint(this: Pass) -> str:
    """What a pass does to a VMA, as text: equal for passes of which one proof is enough."""
    vma, low, high, q = symbolic_vma("any"), z3.Int("low"), z3.Int("high"), z3.Int("q")
    at = Visit(low, high)
    after = this.visit(vma, at)
    held = Page(**{f.name: z3.Bool(f.name) if f.type == "Bool" else z3.Int(f.name) for f in fields(Page)})
    then = None if at.change_page is None else at.change_page(q, vma, held)
    effects = at.punches_hole, at.populates, at.populates_changed, at.prepares
    z3.set_option(max_depth=10_000, max_args=10_000, max_lines=100_000)
    return repr((this.end, this.gap, this.no_room, this.cursor, at.tests, after, then, effects))


# the address space in the middle of a pass ----------------------------------------------------------------------------


class Midway(Listed):
    """The list engine in the middle of a pass."""

    def __init__(self, window: Window, edition: Edition, run: Run, start: Start) -> None:
        super().__init__(window, edition, run, start.keys)
        self.modified = False
        self.punched: list[tuple[Num, Num, Num, Bool]] = []

    def first_guard(self, vma: Vma, start: Num, end: Num) -> Num:
        """As the visit was told by `guarded`, so it is: at the page that stands for all."""
        if self.decide(cast(z3.BoolRef, self.function("guarded", Number, Truth)(vma.start))):
            return super().first_guard(vma, start, end)
        q = z3.Int("page")
        self.run.assume(implies(between(start, q, end), not_(self._page(q).guard)))
        return end

    def touch(self, page: Num) -> Vma:
        """By its contract (lemma verbs): a VMA that has no anon_vma is given one."""
        i = self.index(page)
        given = z3.Int(self._fresh("anon_vma"))
        self.run.assume(lt(0, given))
        self.vmas[i] = replace(self.vmas[i], anon_vma=ite(eq(self.vmas[i].anon_vma, 0), given, self.vmas[i].anon_vma))
        return self.vmas[i]

    def _modify(self, i: int, start: Num, end: Num, after: Vma, no_room: Errno) -> tuple[int, Num]:
        self.modified = True
        return super()._modify(i, start, end, after, no_room)

    def store_object(self, object: Num, start: Num, end: Num, value: Num, cond: Bool) -> None:
        self.punched.append((object, start, end, cond))
        super().store_object(object, start, end, value, cond)


# the contract, between two given address spaces -----------------------------------------------------------------------


def contract(
    start: Start, now: Moment, ghosts: Ghosts, reached: Num, wanted: tuple[Errno, str] | None = None
) -> list[Held]:
    """What the contract of the pass says once it has got to `reached`, or has failed there as `wanted`: the ways in
    which it can be so."""
    ways, pending = [], cast("list[list[bool]]", [[]])
    while pending:
        branch = Branch(pending.pop())
        held = Held(start.space, now, ghosts, branch)
        step, stray = held.steps_of(start.this), False
        if wanted is not None:
            held.wanted = wanted
            refusal = held.why_it_stops(start.this, reached, step)
            pending.extend(branch.open)
            if refusal is None:
                continue
            stray = refusal[2]
        held.wanted = None
        held.pass_up_to(start.this, reached, step, stray=stray)
        ways.append(held)
    return ways


# the invariant, and what keeps it -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Midpoint:
    """How far a pass has got."""

    now: Moment
    ghosts: Ghosts
    at: Num
    """The cursor."""
    done: Num
    """The pages of the range before this one are done with. It is the cursor, unless that is stale."""
    missed: Bool
    """A gap was passed over that the pass remembers."""
    gap: Num
    """A page of that gap."""


class Invariant:
    """What holds before each iteration of a pass, of a page and of no page."""

    def __init__(self, start: Start, mid: Midpoint) -> None:
        self.start, self.mid = start, mid
        (self.held,) = contract(start, mid.now, mid.ghosts, smaller(mid.done, start.this.end))

    def of_page(self, q: z3.ArithRef) -> Bool:
        """What has been done is as the contract says; what has not been come to is as it was."""
        mid, before = self.mid, self.start.space
        (mapped, vma), (is_mapped, real) = before._view(q), mid.now.view(q)
        page, holds = before._page(q), mid.now.page(q)
        same = [eq(getattr(vma, f.name), getattr(real, f.name)) for f in fields(Vma)]
        same_page = [eq(getattr(page, f.name), getattr(holds, f.name)) for f in fields(Page)]
        untouched = and_(eq(mapped, is_mapped), implies(is_mapped, all_(same)), *same_page)
        no_gap = implies(and_(not_(mid.missed), between(self.start.this.start, q, mid.done)), mapped)
        remembers = self.start.this.gap is Gap.REMEMBER
        ahead = and_(le(mid.done, q), lt(mid.done, self.start.this.end))
        return and_(implies(ahead, untouched), self.held.says(q), no_gap if remembers else True)

    def at_large(self) -> Bool:
        """Only a cut at the start of the range adds to map_count before the pass comes to the end of its range; a gap
        that is remembered was there."""
        mid, this, before = self.mid, self.start.this, self.start.space
        mapped, head, after, _ = before.steps_of(this)(this.start)
        grown = ite(and_(mapped, lt(head.start, this.start), not_(same_flags(head, after))), 1, 0)
        gap = and_(between(this.start, mid.gap, smaller(mid.done, this.end)), not_(before._view(mid.gap)[0]))
        return and_(
            le(this.start, mid.at),
            eq(mid.at, mid.done) if this.cursor != "stale" else le(mid.at, mid.done),
            implies(lt(mid.done, this.end), le(mid.now.count, before.count + grown)),
            implies(mid.missed, gap) if this.gap is Gap.REMEMBER else True,
        )


def iteration(start: Start, edition: Edition, shape: tuple[int, int]) -> Iterator[Obligation]:
    """Every way through one iteration of the pass, with as many VMAs before and behind the one that is visited: the
    invariant is kept, or the pass has failed as its contract says."""
    this, before = start.this, start.space
    q, witness, at, done, gap = z3.Ints("page witness at done gap_page")
    place = z3.Int("object"), z3.Int("offset")
    missed = z3.Bool("missed")
    ghosts = _ghosts(nothing_yet=False)
    window, hand = Window(shape[0] + 1 + shape[1]), shape[0]

    begun = Moment(Midway(window, edition, cast(Any, None), start))
    mid = Midpoint(begun, ghosts, at, done if this.cursor == "stale" else at, missed, gap)
    first = cast(z3.ArithRef, larger(at, window.vmas[hand].start))
    pages = (q - 1, witness, at, first, cast(z3.ArithRef, this.start))
    light = terms(*_position(start, mid, window, hand))
    heavy = terms(*_known(start, mid, window, hand, q, pages, place))
    for explored in explore(partial(_visit, start, edition, window, hand, light), list):
        engine, ended = explored.outcome
        now, more = Moment(engine), cast("list[z3.BoolRef]", [])
        if isinstance(ended, Refused):
            stop = at if (ended.errno, ended.check) == this.hole else first
            ways = contract(start, now, ghosts, stop, (ended.errno, ended.check))
            # each way in which the contract allows it is broken at a page of its own
            each = [q, *(z3.Int(f"page_{i}") for i in range(1, len(ways)))]
            for other in each[1:]:
                more += terms(*_known(start, mid, window, hand, other, (other - 1,), place))
            wrong = and_(*(not_(and_(way.says_of(*place), way.says(p))) for way, p in zip(ways, each, strict=True)))
            name = f"refused ({ended.errno.name}, {ended.check})"
        else:
            i, then, seen = ended
            listed = now.vmas
            reached = larger(then, listed[i - 1].end) if this.cursor == "stale" else then
            after = Midpoint(now, _ghosts_after(ghosts, engine, first), then, reached, or_(missed, seen),
                             ite(missed, gap, at))  # fmt: skip
            invariant = Invariant(start, after)
            behind = le(reached, listed[i].start) if i < len(listed) else True
            position = and_(le(then, listed[i - 1].end), le(listed[i - 1].end, reached), behind)
            kept = and_(
                invariant.held.says_of(*place),
                invariant.at_large(),
                invariant.of_page(q),
                implies(lt(reached, this.end), position),
            )
            wrong, name = not_(kept), "the invariant is kept"
        yield Obligation(f"{start.call}: {name}", terms(*explored.conditions, *heavy, *more, *_axioms(before), wrong))
        # that what a call makes of a VMA is well formed in itself, is for well-formed-stays to show
        vma = window.vmas[hand]
        made = this.visit(vma, Visit(first, smaller(vma.end, this.end)))
        counted = eq(now.count - len(now.vmas), begun.count - len(window.vmas))
        sound = implies(is_well_formed(made), and_(counted, list_is_well_formed(now.vmas)))
        name = f"{start.call}: the list stays well formed, and is counted"
        yield Obligation(name, terms(*explored.conditions, not_(sound)))
    yield Obligation(f"{start.call}: the hypotheses are consistent", terms(*light, *heavy), consistent=True)


def _ghosts_after(ghosts: Ghosts, engine: Midway, first: Num) -> Ghosts:
    """What has been done once the iteration has, whose VMA has its first page in the range at `first`."""

    def here(o: Num, f: Num) -> Bool:
        return or_(*(and_(cond, eq(o, object), between(low, f, high)) for object, low, high, cond in engine.punched))

    def through(o: Num, f: Num) -> Num:
        low = engine.punched[0][1] if engine.punched else f
        return ite(ghosts.hole(o, f), ghosts.through(o, f), first + (f - low))

    return Ghosts(
        touched=True if engine.modified else ghosts.touched,
        witness=ite(ghosts.touched, ghosts.witness, first) if engine.modified else ghosts.witness,
        hole=lambda o, f: or_(ghosts.hole(o, f), here(o, f)),
        through=through,
    )


def _visit(
    start: Start, edition: Edition, window: Window, hand: int, known: Iterable[z3.BoolRef], path: Run
) -> tuple[Midway, tuple[int, Num, bool] | Refused]:
    """The iteration that the engine makes."""
    path.conditions.extend(known)
    engine = Midway(window, edition, path, start)
    try:
        return engine, engine.visit_next(start.this, hand, z3.Int("at"))
    except Refused as refused:
        return engine, refused


def _position(start: Start, mid: Midpoint, window: Window, hand: int) -> list[Bool]:
    """Where the VMAs lie when an iteration begins: the one at hand is the first that ends behind what is done with."""
    this, vma = start.this, window.vmas[hand]
    nothing_yet = and_(
        eq(mid.done, this.start),
        eq(mid.at, this.start),
        not_(mid.ghosts.touched),
        not_(mid.missed),
        eq(mid.now.count, start.space.count),
    )
    return [
        *start.conditions,
        *window.well_formed(),
        lt(vma.start, this.end),
        lt(mid.done, vma.end),
        or_(nothing_yet, le(mid.done, vma.start)),
        le(len(window.vmas), mid.now.count),
        le(window.vmas[hand - 1].end, mid.done) if hand else True,
        le(this.start, mid.at),
        le(mid.at, mid.done),
    ]


def _known(
    start: Start,
    mid: Midpoint,
    window: Window,
    hand: int,
    q: z3.ArithRef,
    pages: Iterable[z3.ArithRef],
    place: tuple[Num, Num],
) -> list[Bool]:
    """The invariant when an iteration begins, at the pages and the places in objects that are named."""
    now = mid.now
    invariant = Invariant(start, mid)
    vma_of = start.space._view(q)[1]
    places = [place, (vma_of.object, offset_at(vma_of, q))]
    facts = [*(invariant.held.says_of(*where) for where in places), invariant.at_large()]
    # where no neighbour is listed, none touches the VMA at hand
    left, right = 0 if hand else 1, 0 if hand + 1 < len(window.vmas) else 1
    for page in [q, *pages]:
        rest = and_(now.function("now_mapped", Number, Truth)(page), not_(now.listed(page)))
        before_window = and_(lt(page, mid.done), lt(page + left, window.vmas[0].start))
        behind_window = le(window.vmas[-1].end + right, page)
        facts += [
            implies(rest, or_(before_window, behind_window)),
            *window.page_facts(page),
            invariant.of_page(page),
            well_formed_page(now.view(page)[0], now.view(page)[1], now.page(page)),
        ]
    return facts


# begin and end --------------------------------------------------------------------------------------------------------


def _ghosts(nothing_yet: bool) -> Ghosts:
    hole, through = z3.Function("hole", Number, Number, Truth), z3.Function("through", Number, Number, Number)
    return Ghosts(
        False if nothing_yet else z3.Bool("touched"), z3.Int("witness"),
        lambda o, f: False if nothing_yet else cast(z3.BoolRef, hole(o, f)),
        lambda o, f: cast(z3.ArithRef, through(o, f)),
    )  # fmt: skip


def beginning(start: Start, edition: Edition) -> Iterator[Obligation]:
    """Before the first iteration nothing has been done: the invariant holds."""
    before, this = start.space, start.this
    q, place = z3.Int("page"), (z3.Int("object"), z3.Int("offset"))
    now = Moment(Midway(Window(0), edition, cast(Any, None), start))
    mid = Midpoint(now, _ghosts(nothing_yet=True), this.start, this.start, False, this.start)
    invariant = Invariant(start, mid)
    same: list[Bool] = [eq(now.count, before.count), eq(now.stored(*place), before._stored(*place))]
    for page in (q, q - 1):
        (mapped, vma), (is_mapped, real) = before._view(page), now.view(page)
        was, holds = before._page(page), now.page(page)
        same += [eq(mapped, is_mapped), eq(before._cut(page), now.cut(page))]
        same += [eq(getattr(vma, f.name), getattr(real, f.name)) for f in fields(Vma)]
        same += [eq(getattr(was, f.name), getattr(holds, f.name)) for f in fields(Page)]
    wrong = not_(and_(invariant.at_large(), invariant.of_page(q), invariant.held.says_of(*place)))
    yield Obligation("base: nothing has been done", terms(*start.conditions, *same, *_axioms(before), wrong))


def ending(start: Start, edition: Edition) -> Iterator[Obligation]:
    """Behind the last VMA of its range, the pass ends as its contract says."""
    before, this = start.space, start.this
    q, at, gap = z3.Ints("page at gap_page")
    place = z3.Int("object"), z3.Int("offset")
    for missed in (False, True) if this.gap is Gap.REMEMBER else (False,):
        empty = Window(0)
        begun = Moment(Midway(empty, edition, cast(Any, None), start))
        mid = Midpoint(begun, _ghosts(nothing_yet=False), at, at, missed, gap)
        invariant = Invariant(start, mid)
        rest = [
            fact for page in (q, q - 1, at, cast(z3.ArithRef, this.start))
            for fact in (invariant.of_page(page), implies(between(at, page, this.end), not_(begun.view(page)[0])))
        ]  # fmt: skip
        known = terms(invariant.at_large(), invariant.held.says_of(*place), lt(0, begun.count), *rest)

        def run(path: Run, missed: bool = missed, empty: Window = empty) -> Refused | None:
            path.conditions.extend(start.conditions)
            try:
                Midway(empty, edition, path, start).end_pass(this, at, missed)
            except Refused as refusal:
                return refusal
            return None

        for explored in explore(run, list):
            refused = explored.outcome
            stopped = refused is not None and this.gap is Gap.STOP
            wanted = (refused.errno, refused.check) if refused is not None and stopped else None
            ways = contract(start, begun, mid.ghosts, at if stopped else this.end, wanted)
            right = or_(*(and_(way.says(q), way.says_of(*place)) for way in ways))
            if this.gap is Gap.REMEMBER:
                hole = ite(missed, gap, at)
                seen = and_(between(this.start, hole, this.end), not_(before._view(hole)[0]))
                right = and_(
                    right, implies(between(this.start, q, this.end), before._view(q)[0]) if refused is None else seen
                )
            name = "end: success" if refused is None else f"end: refused ({refused.errno.name})"
            yield Obligation(name, terms(*explored.conditions, *known, *_axioms(before), not_(right)))


def _axioms(space: UnboundedSpace) -> list[z3.BoolRef]:
    return [*space.facts(), *space.world.axioms_of(space.named), *space.world.attributes_of(space.named)]


def of_call(call: str, edition: Edition, known: set[str]) -> Iterator[Obligation]:
    """Everything that has to be shown of the passes that a call makes, but for those that are `known` already."""
    for found in passes_of(call, edition, known):
        if isinstance(found, Obligation):
            yield found
            continue
        yield from beginning(found, edition)
        for shape in ((1, 1), (0, 0)) if call in ("mseal", "mlock") else ((1, 1),):  # the ends of the list
            yield from iteration(found, edition, shape)
        yield from ending(found, edition)


def looks(edition: Edition) -> Iterator[Obligation]:
    """The passes that only look: with any test of a VMA, and with none but that nothing is unmapped. What the unbounded
    reading says of them follows from what it says of a pass."""
    first, end = z3.Ints("first_page end_page")
    met = z3.Function("met", Number, Truth)
    refusals = (Errno.EPERM, "look: a VMA is met"), (Errno.ENOMEM, "look: a page is unmapped")

    def test(vma: Vma) -> Bool:
        return cast(z3.BoolRef, met(vma.start))

    def look(vma: Vma, at: Visit) -> Vma:
        at.fail_if(test(vma), *refusals[0])
        return vma

    each = Pass(first, end, look, Gap.IGNORE)
    mapped = Pass(first, end, lambda vma, at: vma, Gap.STOP, hole=refusals[1])
    verbs: tuple[tuple[Pass, Callable[[AddressSpace], None]], ...] = (
        (each, lambda mm: mm.check_each(first, end, test, *refusals[0])),
        (mapped, lambda mm: mm.check_mapped(first, end, *refusals[1])),
    )
    for (this, verb), refusal in zip(verbs, refusals, strict=True):
        before = UnboundedSpace(World(), edition, cast(Any, None))
        start = Start(f"look ({this.gap.name})", this, before, before, terms(le(0, first), lt(first, end)))
        yield from beginning(start, edition)
        for shape in ((1, 1), (0, 0)):
            yield from iteration(start, edition, shape)
        yield from ending(start, edition)
        yield from _follows(start, verb, refusal, edition)


def _follows(
    start: Start, verb: Callable[[AddressSpace], None], refusal: tuple[Errno, str], edition: Edition
) -> Iterator[Obligation]:
    """What the contract of a verb says, the contract of its pass says too."""
    q, stop = z3.Ints("page stop")
    place = z3.Int("object"), z3.Int("offset")
    now = Moment(Midway(Window(0), edition, cast(Any, None), start))
    for wanted in (None, refusal):
        (known,) = contract(start, now, _ghosts(nothing_yet=False), stop if wanted else start.this.end, wanted)
        held = _Witnessed(start.space, now, _ghosts(nothing_yet=False), Branch([wanted is not None]), stop)
        held.wanted = wanted
        with suppress(Refused):
            verb(held)
        said = and_(*(fact(q) for fact in held.every_page), *held.branch.conditions)
        query = (*start.conditions, known.says(q), known.says(stop), known.says_of(*place), *_axioms(start.space))
        yield Obligation(f"{start.call}: the verb says no more", terms(*query, not_(said)))


class _Witnessed(Held):
    """The contract of a verb that looks, with the page at which its pass stopped."""

    def __init__(self, before: UnboundedSpace, now: Moment, ghosts: Ghosts, branch: Branch, stop: Num) -> None:
        super().__init__(before, now, ghosts, branch)
        self.stop = stop

    def _number(self, what: str) -> Any:
        return self.stop


def cursor(edition: Edition) -> Iterator[Obligation]:
    """The cursor of mseal's pass is inside the VMA that it visits, whatever the last iteration merged."""
    for found in passes_of("mseal", edition, set()):
        if isinstance(found, Obligation):
            continue
        window, stale = Window(3), found.this.cursor == "stale"
        at, done = z3.Ints("at done")
        now = Moment(Midway(window, edition, cast(Any, None), found))
        mid = Midpoint(now, _ghosts(nothing_yet=False), at, done if stale else at, False, at)
        known = terms(*_position(found, mid, window, 1))
        for explored in explore(partial(_visit, found, edition, window, 1, known), list):
            for inside in explored.outcome[0].cursor_inside:
                yield Obligation("cursor: inside the VMA at hand", terms(*explored.conditions, not_(inside)))


def _of(*calls: str) -> Callable[[Edition], Iterator[Obligation]]:
    def obligations(edition: Edition) -> Iterator[Obligation]:
        known: set[str] = set()
        for call in filter(edition.has, calls):
            yield from of_call(call, edition, known)

    return obligations


LEMMAS = (
    *(
        Lemma(
            f"pass-{name}",
            f"The changing pass of {words} keeps its contract (induction over the loop body).",
            _of(*calls),
            calls,
        )
        for name, words, calls in (
            ("seal", "mseal", ("mseal",)),
            ("protect", "mprotect and pkey_mprotect", ("mprotect", "pkey_mprotect")),
            ("advise", "madvise", ("madvise",)),
            ("lock", "mlock and munlock", ("mlock", "munlock")),
        )
    ),
    Lemma("pass-look", "The passes that only look keep their contracts (induction over the loop body).", looks),
    Lemma("cursor", "The cursor of mseal's pass stays inside the VMA that it works on.", cursor),
)
"""The lemmas about passes."""
