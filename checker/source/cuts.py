# SPDX-License-Identifier: MIT
"""Address spaces of which only a window is listed, and sides that are stopped in the middle of a loop and sent on.

What a proof for any number of VMAs needs (lockstep.py). A list ends in an edge where there may be more VMAs: a step
that looks behind it makes the proof fail, and nothing else. A loop over VMAs is stopped where its body begins for the
second time and at each later time: that place is called a cut. A step over all VMAs of a range is one, too.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import lru_cache
from types import FunctionType
from typing import Any, Final

import z3
from pycparser import c_ast

from checker.bounded import Window, symbolic_vma
from checker.source.machine import Frame, Machine, walk
from checker.source.paths import Path
from checker.source.source import Source
from checker.source.space import BoundedKernel
from checker.source.values import Addr, FieldRef, Flags, Iter, Record, Ref, Struct, Thing, Word
from checker.unbounded import Number, Truth
from spec.editions import Edition
from spec.space import AddressSpace, Gap, Pass, same_page
from spec.terms import Bool, Num, and_, eq, le, lt, not_, or_
from spec.vma import ATTRIBUTES, Page, Vma, well_formed_vma

WALKS: Final = frozenset(("vma_find", "vma_next", "find_vma", "find_vma_prev", "find_vma_intersection"))
"""Functions with which C goes from one VMA to the next."""
BEHIND: Final = 3
"""So many VMAs are listed from the place of a window on, before its edge."""
BEFORE: Final = 1
"""So many are listed before it."""
_FIELDS: Final = frozenset(f.name for f in fields(Vma))


EARLIER: Final = "an earlier turn's value."
"""How the name of a value begins of which nothing is known but that."""


class Unproved(Exception):
    """The proof does not go through; why, in words. It says nothing against the C."""


class _Edge(Vma):
    """Stands for VMAs that are not listed."""

    def __getattribute__(self, name: str) -> Any:
        if name in _FIELDS:
            raise Unproved("one turn of a loop looks at more VMAs than are listed")
        return object.__getattribute__(self, name)


FRONT: Final = _Edge(0, 0)
BACK: Final = _Edge(0, 0)


class Contents(Window):
    """What an arbitrary address space holds beyond its VMAs."""

    def __init__(self, prefix: str = "") -> None:
        super().__init__(0)
        self.counter = z3.Int(f"{prefix}map_count")
        if prefix:
            self.page_functions = {
                f.name: z3.Function(f"{prefix}page_{f.name}", Number, Truth if f.type == "Bool" else Number)
                for f in fields(Page)
            }
            self.stored = z3.Function(f"{prefix}stored", Number, Number, Number)
        self.held = self.page
        self.holds: Callable[[Num, Num], Num] = lambda o, at: self.stored(o, at)


@dataclass(slots=True)
class Moment:
    """An address space at one moment."""

    vmas: list[Vma]
    counter: Num
    brk: Num
    page: Callable[[Num], Page]
    stored: Callable[[Num, Num], Num]

    def differs(self, other: Moment) -> Bool:
        """In some VMA that is listed, in a page, or in anything else."""
        if len(self.vmas) != len(other.vmas):
            return True
        wrong: list[Bool] = [not_(eq(self.counter, other.counter)), not_(eq(self.brk, other.brk))]
        for x, y in zip(self.vmas, other.vmas, strict=True):
            if x is not y:
                wrong += [not_(eq(getattr(x, n), getattr(y, n))) for n in ("start", "end", *ATTRIBUTES)]
        page, object_, offset = z3.Int("any_page"), z3.Int("any_object"), z3.Int("any_offset")
        if self.page is not other.page:
            wrong.append(not_(same_page(self.page(page), other.page(page))))
        if self.stored is not other.stored:
            wrong.append(not_(eq(self.stored(object_, offset), other.stored(object_, offset))))
        return or_(*wrong)

    def well_formed(self, known: Sequence[Vma] = ()) -> Bool:
        """The VMAs that are listed are in order, and each is well formed; of those that are known it is known."""
        listed = [v for v in self.vmas if not isinstance(v, _Edge)]
        mine = [v for v in listed if not any(v is k for k in known)]
        facts = [condition for vma in mine for condition, _ in well_formed_vma(vma)]
        return and_(*facts, *(le(a.end, b.start) for a, b in itertools.pairwise(listed)))


@lru_cache(maxsize=512)
def _window(prefix: str, left: int, here: int) -> tuple[tuple[Vma, ...], Bool]:
    """VMAs in order, edges where there may be more, and that they are well formed."""
    vmas = [*(f"left{i}" for i in reversed(range(left))), *(f"vma{i}" for i in range(here))]
    listed = [symbolic_vma(prefix + name) for name in vmas]
    fact = Moment(listed, 0, 0, lambda q: Page(), lambda o, at: 0).well_formed()
    return (*([FRONT] if left == BEFORE else []), *listed, *([BACK] if here == BEHIND else [])), fact


@lru_cache(maxsize=512)
def contents_of(prefix: str) -> Contents:
    """What an address space holds, by the prefix of its names."""
    return Contents(prefix)


@dataclass(slots=True)
class Event:
    """A step over VMAs that are not all listed: both sides must make it, from equal address spaces."""

    what: str
    arguments: tuple[Num, ...]
    before: Moment


@dataclass(slots=True)
class Arrival:
    """A side at a cut."""

    loop: int
    """Number of the loop on its way."""
    hand: int
    """Index of the VMA that is visited next."""
    structure: tuple[Any, ...]
    leaves: dict[str, Any]
    now: Moment
    listed: list[Vma]
    """The window, as it was when it was listed."""
    pristine: bool
    events: int
    answers: list[bool]


class Stopped(Exception):
    """A side has come to the cut at which it stops."""

    def __init__(self, arrival: Arrival) -> None:
        super().__init__("a cut")
        self.arrival = arrival


@dataclass(slots=True)
class Stage:
    """What both sides are given at a cut in place of what they have."""

    loop: int
    contents: Contents
    pristine: bool
    listed: bool
    has_left: bool
    has_hand: bool
    leaves: tuple[dict[str, Any], dict[str, Any]]
    facts: Callable[[dict[str, Num]], list[Bool]]
    """What is known there, of terms by name."""


@dataclass(frozen=True, slots=True)
class At:
    """A pointer to a VMA: its place relative to the one at hand."""

    place: int


FAR: Final = 1000
"""The place of a VMA that is not listed any more."""
FAR_VMA: Final = Thing("a VMA.not listed")
"""A pointer to such a VMA: it may be handed on, and nothing be decided by it."""


class Pilot:
    """Takes one side along a path: first as it went before, up to its last stage; then on."""

    def __init__(self, path: Path, index: int, stages: list[Stage], answers: list[bool], other: Pilot | None) -> None:
        self.path, self.index, self.stages, self.other = path, index, stages, other
        self.answers: Iterator[bool] = iter(answers)
        self.live = not stages
        self.log: list[bool] = []
        self.loops = self.arrivals = 0
        self.events: list[Event] = []
        self.stopped: Arrival | None = None

    def _answer(self, ask: Callable[[Any], bool], cond: Any) -> bool:
        if self.live:
            found = ask(cond)
        else:
            answer = next(self.answers, None)
            if answer is None:
                raise Unproved("a path could not be gone again")
            found = answer
        self.log.append(found)
        return found

    def decide(self, cond: Bool) -> bool:
        """Take a branch."""
        return self._answer(self.path.decide, cond) if isinstance(cond, z3.BoolRef) else bool(cond)

    def choose(self, choice: z3.BoolRef) -> bool:
        """A free choice."""
        return self._answer(self.path.choose, choice)

    def assume(self, fact: Bool) -> None:
        """A fact of the path."""
        if self.live:
            self.path.assume(fact)

    def entails(self, fact: Bool) -> bool:
        """It holds on the path. What was gone before was asked then."""
        return not self.live or self.path.entails(fact)

    def at_cut(self, loop: int) -> Stage | None:
        """A side is at a cut: what it is given; None if it stops there, or goes on as it is (`stops`)."""
        self.arrivals += 1
        if self.arrivals > len(self.stages):
            return None
        stage = self.stages[self.arrivals - 1]
        if stage.loop != loop:
            raise Unproved("the loops of the two sides are not the same")
        self.live = self.live or self.arrivals == len(self.stages)
        return stage

    def stops(self, loop: int) -> bool:
        """The side stops at this cut, for so does the other."""
        return self.other is None or (self.other.stopped is not None and self.other.stopped.loop == loop)

    def event(self, what: str, arguments: tuple[Num, ...], before: Moment) -> str:
        """A step that both sides must make; the prefix of the names of what comes of it."""
        n = len(self.events)
        self.events.append(Event(what, arguments, before))
        if self.other is not None and self.live:
            if n >= len(self.other.events) or self.other.events[n].what != what:
                raise Unproved(f"only one side comes to {what}")
            first = self.other.events[n]
            same = all(self.entails(eq(a, b)) for a, b in zip(arguments, first.arguments, strict=True))
            if not same or not self.entails(not_(first.before.differs(before))):
                raise Unproved(f"{what} is not the same on both sides")
        return f"e{n}:"


class Listed(BoundedKernel):
    """The list engine on windows of an address space."""

    def __init__(self, edition: Edition, pilot: Pilot) -> None:
        self.origin = contents_of("")
        super().__init__(copy(self.origin), edition, pilot)
        self.pilot = pilot
        self.machine: Walker | None = None
        self.within = 0
        """A visit of a VMA is under way: all its steps are made on the window."""
        self._prefix = ""
        self._gapless: tuple[Num, Num] | None = None
        """A range that a pass has found mapped to the end; changes of VMAs leave it so."""
        self._place: Num | None = None
        """The page around which the first window was."""
        self._unlist(self.origin, pristine=True)

    # windows ----------------------------------------------------------------------------------------------------------

    def _unlist(self, contents: Contents, *, pristine: bool) -> None:
        """Nothing is listed of an address space that is arbitrary, or as it was at the beginning."""
        self.contents = contents
        self.counter = contents.counter
        self._page, self._stored = contents.held, contents.holds
        self.focused, self._was_pristine = False, pristine
        self._put([])

    def _put(self, listed: list[Vma]) -> None:
        self.vmas = listed
        self._put_last = list(listed)
        self.window.vmas = [v for v in listed if not isinstance(v, _Edge)]
        if self.machine is not None:
            self.machine.relist()

    @property
    def pristine(self) -> bool:
        """Nothing has been changed since the call began."""
        same = len(self.vmas) == len(self._put_last) and all(
            a is b for a, b in zip(self.vmas, self._put_last, strict=True)
        )
        kept = self._page is self.contents.held and self._stored is self.contents.holds
        return self._was_pristine and same and kept and self.counter is self.contents.counter

    def moment(self) -> Moment:
        """The address space now."""
        return Moment(list(self.vmas), self.counter, self.brk, self._page, self._stored)

    def _list(self, prefix: str, page: Num | None, *, left: bool | None = None, hand: bool | None = None) -> int:
        """List VMAs around a page, or around no page that is known; returns the index of the first behind it. Whether
        there is one before, and one at hand, may be known."""
        before, count = 1 if left else 0, 1 if hand else 0
        while left is not False and before < BEFORE and self.decide(z3.Bool(f"{prefix}is_left{before}")):
            before += 1
        while hand is not False and count < BEHIND and self.decide(z3.Bool(f"{prefix}is_vma{count}")):
            count += 1
        listed, fact = _window(prefix, before, count)
        self._prefix = prefix
        self.focused = True
        self._put(list(listed))
        self.pilot.assume(and_(fact, *self._without_gaps(listed)))
        place = before + (1 if before == BEFORE else 0)
        if page is not None:
            below = le(listed[place - 1].end, page) if before else True
            self.pilot.assume(and_(below, lt(page, listed[place].end) if count else True))
        return place

    def _without_gaps(self, listed: Sequence[Vma]) -> list[Bool]:
        if self._gapless is None:
            return []
        start, end = self._gapless
        vmas = [v for v in listed if not isinstance(v, _Edge)]
        return [or_(eq(a.end, b.start), le(b.start, start), le(end, a.end)) for a, b in itertools.pairwise(vmas)]

    def _focus(self, page: Num) -> None:
        """List the VMAs around a page, which both sides must do."""
        pristine = self.pristine
        prefix = self.pilot.event("a look around a page", (page,), self.moment())
        if self._place is None:
            self._place = page
            self._list("w:", page)
        elif pristine and eq(page, self._place) is True:
            self._unlist(self.origin, pristine=True)
            self._list("w:", page)
        else:
            self._unlist(self.origin if pristine else contents_of(prefix), pristine=pristine)
            self._list(prefix, page)

    def index(self, page: Num) -> int:
        first = self._place is not None and eq(page, self._place) is True
        if not self.focused or (first and not self.within and self._prefix != "w:" and self.pristine):
            self._focus(page)
        found = self._index(page)
        if found is None and not self.within:
            self._focus(page)
            found = self._index(page)
        if found is None:
            raise Unproved("a page is not in its window")
        return found

    def _index(self, page: Num) -> int | None:
        """Index of the first VMA that ends above the page; None if that, or the one before it, is not listed."""
        for i, vma in enumerate(self.vmas):
            if vma is FRONT:
                continue
            if vma is BACK:
                return None
            if self.decide(lt(page, vma.end)):
                if i == 1 and self.vmas[0] is FRONT:
                    return i if self.within and self.decide(le(vma.start, page)) else None
                return i
        return len(self.vmas)

    # steps over all VMAs of a range -----------------------------------------------------------------------------------

    def _step(self, what: str, start: Num, end: Num) -> None:
        prefix = self.pilot.event(what, (start, end), self.moment())
        self._unlist(contents_of(prefix), pristine=False)
        loop, self.pilot.loops = self.pilot.loops, self.pilot.loops + 1
        self.come_to_cut(loop, 0, (what,), {})

    def touch(self, page: Num) -> Vma:
        i = self.index(page)
        beside = self.vmas[i - 1 : i] + self.vmas[i + 1 : i + 2]
        if not any(isinstance(v, _Edge) for v in beside) or not self.decide(eq(self.vmas[i].anon_vma, 0)):
            return super().touch(page)
        # which anon_vma it gets hangs on a neighbour that is not listed: the same on both sides, in equal spaces
        prefix = self.pilot.event("a first write", (page,), self.moment())
        given = z3.Int(f"{prefix}anon_vma")
        self.pilot.assume(lt(0, given))
        self.vmas[i] = replace(self.vmas[i], anon_vma=given)
        return self.vmas[i]

    def _is_free(self, start: Num, end: Num) -> bool:
        """The window shows that nothing is mapped in the range."""
        i = self._index(start) if self.focused else None
        return i is not None and not (i < len(self.vmas) and self.decide(lt(self.vmas[i].start, end)))

    def lock(self, start: Num, end: Num) -> None:
        if self.within:
            super().lock(start, end)
        else:
            self._step("faulting in a range", start, end)

    def unmap(self, start: Num, end: Num) -> None:
        self._gapless = None if self.within else self._gapless
        if self.within:
            super().unmap(start, end)
        elif not self._is_free(start, end):  # pages that are not mapped hold nothing
            self._gapless = None
            self._step("unmapping a range", start, end)

    def _pass_over(self, this: Pass) -> None:
        i, at, gap_seen, turn = self.index(this.start), this.start, False, 0
        loop = self.pilot.loops
        while i < len(self.vmas) and self.decide(lt(self.vmas[i].start, this.end)):
            if turn == 0:
                loop, self.pilot.loops = self.pilot.loops, self.pilot.loops + 1
            else:
                given = self.come_to_cut(loop, i, (_signature(this, loop),), {"at": Addr(at), "gap": gap_seen})
                if given is not None:
                    i, at, gap_seen = given[0], given[1]["at"].page, given[1]["gap"]
            turn += 1
            self.within += 1
            i, at, missed = self.visit_next(this, i, at)
            self.within -= 1
            gap_seen = gap_seen or missed
        self.end_pass(this, at, gap_seen)
        if this.gap is Gap.STOP:
            self._gapless = this.start, this.end

    def _insert(self, new: Vma, **how: Any) -> Vma:
        self._gapless = None
        return super()._insert(new, **how)

    # cuts -------------------------------------------------------------------------------------------------------------

    def come_to_cut(
        self, loop: int, hand: int, structure: tuple[Any, ...], leaves: dict[str, Any]
    ) -> tuple[int, dict[str, Any]] | None:
        """A side is at a cut. What it is given there, or None if it goes on as it is; it may be stopped."""
        stage = self.pilot.at_cut(loop)
        if stage is None:
            if not self.pilot.stops(loop):
                return None
            if self.machine is not None:
                structure += self.machine.structure(loop)
                leaves = {**leaves, **self.machine.leaves()}
            structure += (*_pending(loop), _signature(self._gapless, loop))
            arrival = Arrival(
                loop,
                hand,
                structure,
                leaves,
                self.moment(),
                self._put_last,
                self.pristine,
                len(self.pilot.events),
                self.pilot.log,
            )
            self.pilot.stopped = arrival
            raise Stopped(arrival)
        self._unlist(stage.contents, pristine=stage.pristine)
        if stage.listed:
            hand = self._list(f"c{loop}:", None, left=stage.has_left, hand=stage.has_hand)
        self.pilot.assume(and_(*stage.facts(named_terms(self.vmas, hand))))
        given = stage.leaves[self.pilot.index]
        if self.machine is not None:
            self.machine.take(hand, given)
        return hand, given


def named_terms(vmas: list[Vma], hand: int) -> dict[str, Num]:
    """The ends of the VMA at hand and of the one before it, as far as they are listed."""
    found: dict[str, Num] = {}
    for name, i in (("hand", hand), ("left", hand - 1)):
        if 0 <= i < len(vmas) and not isinstance(vmas[i], _Edge):
            found[f"{name}.start"], found[f"{name}.end"] = vmas[i].start, vmas[i].end
    return found


LOOPS: Final = (c_ast.While, c_ast.For, c_ast.DoWhile)


def _calls_walk(node: Any) -> bool:
    return any(
        isinstance(n, c_ast.FuncCall) and isinstance(n.name, c_ast.ID) and n.name.name in WALKS for n in walk(node)
    )


class Walker(Machine):
    """Executes C over a window."""

    space: Listed

    def __init__(self, source: Source, path: Any, space: Any = None) -> None:
        super().__init__(source, path, space)
        self._gone: list[Struct] = []
        self._walked: dict[int, bool] = {}
        self._numbers: dict[tuple[int, int], int] = {}
        space.machine = self

    def relist(self) -> None:
        """Other VMAs are listed: pointers to those that were say nothing any more."""
        gone, self.structs = self.structs, [Struct() for _ in self.space.vmas]
        self._gone += gone
        for _, value, put in _Graph(self).leaves:
            if any(value is s for s in gone):
                put(FAR_VMA)

    def index(self, s: Any) -> int:
        if isinstance(s, Struct) and any(s is gone for gone in self._gone):
            raise Unproved("the C looks at a VMA that is not listed any more")
        return super().index(s)

    def _do(self, s: Any) -> None:
        if isinstance(s, LOOPS) and self._walks(s):
            self.space.within += 1
            try:
                super()._do(s)
            finally:
                self.space.within -= 1
        else:
            super()._do(s)

    def _walks(self, s: Any) -> bool:
        found = self._walked.get(id(s))
        if found is None:
            found = self._walked[id(s)] = _calls_walk(s)
        return found

    def turn(self, loop: Any, turn: int) -> None:
        if not self._walks(loop):
            return
        key = len(self.frames), id(loop)
        if turn == 0:
            self._numbers[key] = self.space.pilot.loops
            self.space.pilot.loops += 1
            return
        self.space.come_to_cut(self._numbers[key], self._hand(loop), (id(loop),), {})

    def _hand(self, loop: Any) -> int:
        """Index of the VMA of which the turn is; the first side must know it by its iterator."""
        if self.space.pilot.other is not None:
            return -1
        at = [it.at for frame in self.frames for it in _iterators(frame) if it.at is not None]
        places = [i for i, s in enumerate(self.structs) if any(s is x for x in at)]
        if not places:
            raise Unproved("a loop that goes by no iterator")
        ahead = loop.cond is not None and not isinstance(loop, c_ast.DoWhile) and _calls_walk(loop.cond)
        return max(places) + (0 if ahead else 1)

    # what it has at a cut ---------------------------------------------------------------------------------------------

    def structure(self, loop: int) -> tuple[Any, ...]:
        """Where it is, and what points to what."""
        for frame in self.frames[:-1]:
            if frame.call is not None and not _clean(frame):
                raise Unproved(f"{frame.function}() has begun to evaluate an expression when it calls")
        places = tuple((f.function, f.file, id(f.call)) for f in self.frames)
        found = _Graph(self)
        return (*places, *found.shape)

    def leaves(self) -> dict[str, Any]:
        """Values by the path that leads to them."""
        found: dict[str, Any] = {"lock": self.lock, "privileged": self.privileged}
        for path, value, _ in _Graph(self).leaves:
            found[path] = value
        return found

    def place_of(self, s: Struct) -> int | None:
        """Index of a VMA in the list; None: it is not there any more."""
        return next((i for i, known in enumerate(self.structs) if known is s), None)

    def take(self, hand: int, given: dict[str, Any]) -> None:
        """Go on with other values."""
        for path, _, put in _Graph(self).leaves:
            if path in given:
                value = given[path]
                if isinstance(value, At):
                    i = hand + value.place
                    value = self.structs[i] if 0 <= i < len(self.structs) else FAR_VMA
                put(value)
        self.lock, self.privileged = given["lock"], given["privileged"]


def _iterators(frame: Frame) -> Iterator[Iter]:
    for block in frame.blocks:
        for value in block.values():
            if isinstance(value, Iter):
                yield value


Put = Callable[[Any], None]


class _Graph:
    """Everything that the variables of a machine lead to."""

    def __init__(self, machine: Walker) -> None:
        self.machine = machine
        self.shape: list[Any] = []
        self.leaves: list[tuple[str, Any, Put]] = []
        self._named: dict[int, str] = {}
        for i, frame in enumerate(machine.frames):
            for j, block in enumerate(frame.blocks):
                self._named[id(block)] = f"{i}.{j}"
        for i, frame in enumerate(machine.frames):
            for j, block in enumerate(frame.blocks):
                self.shape.append(tuple(block))
                for name in block:
                    self._visit(f"{i}.{j}.{name}", block[name], _item(block, name))

    def _visit(self, path: str, value: Any, put: Put) -> None:
        if isinstance(value, Iter | Record):
            known = self._named.get(id(value))
            self.shape.append((path, type(value).__name__, known))
            if known is not None:
                return
            self._named[id(value)] = path
            if isinstance(value, Iter):
                for name in ("start", "at", "before_first"):
                    self._visit(f"{path}.{name}", getattr(value, name), _attribute(value, name))
            else:
                self.shape.append((value.kind, value.zeroed, tuple(value.fields)))
                for name in value.fields:
                    self._visit(f"{path}.{name}", value.fields[name], _item(value.fields, name))
        elif isinstance(value, Ref):
            self.shape.append((path, "Ref", self._named.get(id(value.scope)), value.name))
            if id(value.scope) not in self._named:
                raise Unproved("a pointer to a variable that is gone")
        elif isinstance(value, FieldRef):
            self.shape.append((path, "FieldRef", value.name))
            self._visit(f"{path}.of", value.of, lambda of: put(FieldRef(of, value.name)))
        else:
            self.leaves.append((path, value, put))


def _item(of: dict[str, Any], name: str) -> Put:
    return lambda value: of.__setitem__(name, value)


def _attribute(of: Any, name: str) -> Put:
    return lambda value: setattr(of, name, value)


def _clean(frame: Frame) -> bool:
    """Nothing of the statement was evaluated before the call that the function waits for."""

    def way(node: Any) -> bool | None:
        """None: the call is not in the node."""
        if node is frame.call:
            return True
        for name, child in node.children():
            found = way(child)
            if found is None:
                continue
            if isinstance(node, c_ast.BinaryOp) and name == "right" and node.op not in ("&&", "||"):
                return found and isinstance(node.left, c_ast.Constant)
            if isinstance(node, c_ast.ExprList) and name != "exprs[0]":
                return found and all(isinstance(e, c_ast.Constant) for e in node.exprs[: int(name[6:-1])])
            return found
        return None

    return bool(way(frame.body))


# what Python holds at a cut -------------------------------------------------------------------------------------------

_ALIVE: list[Any] = []
"""Terms of which the number was taken: as long as they live it is their own."""


def _pending(loop: int) -> tuple[Any, ...]:
    """The variables of the specification's functions, and of the table's, that wait for what comes to the cut."""
    found: list[Any] = []
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(("spec.", "checker.source.table", "checker.layout")):
            local = {k: v for k, v in frame.f_locals.items() if k != "self"}
            found.append((frame.f_code.co_name, frame.f_lasti, _signature(local, loop)))
        if module == "checker.source.lockstep":
            break
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(found)


def _signature(value: Any, loop: int, depth: int = 0) -> Any:
    """A value by what it is made of: equal for values that are used alike."""
    if depth > 14:
        raise Unproved("a value that is too deep to compare")
    if value is None or isinstance(value, bool | int | str | Enum):
        return value
    if isinstance(value, z3.ExprRef):
        if any(name.startswith(f"c{loop}:") for name in names_in(value)):
            raise Unproved("the specification keeps something of an earlier turn")
        _ALIVE.append(value)
        return "term", value.get_id()
    if isinstance(value, AddressSpace | Machine | Edition | _Edge | Struct | Iter | Record) or hasattr(value, "seals"):
        return type(value).__name__
    if isinstance(value, FunctionType):
        cells = []
        for cell in value.__closure__ or ():
            try:
                cells.append(_signature(cell.cell_contents, loop, depth + 1))
            except ValueError:
                cells.append("empty")
        return value.__qualname__, id(value.__code__), tuple(cells)
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, list | tuple):
        return tuple(_signature(v, loop, depth + 1) for v in value)
    if isinstance(value, dict):
        return tuple((k, _signature(v, loop, depth + 1)) for k, v in value.items())
    if is_dataclass(value):
        return type(value).__name__, tuple(_signature(getattr(value, f.name), loop, depth + 1) for f in fields(value))
    raise Unproved(f"a {type(value).__name__} of which nothing is known")


def names_in(term: z3.ExprRef) -> set[str]:
    """Names of the constants and functions of a term."""
    found: set[str] = set()
    seen: set[int] = set()
    pending = [term]
    while pending:
        t = pending.pop()
        if t.get_id() in seen:
            continue
        seen.add(t.get_id())
        if z3.is_app(t):
            if t.decl().kind() == z3.Z3_OP_UNINTERPRETED:
                found.add(t.decl().name())
            pending.extend(t.children())
    return found


def terms_in(value: Any) -> list[z3.ExprRef]:
    """The solver's terms that a value is made of."""
    if isinstance(value, z3.ExprRef):
        return [value]
    if isinstance(value, Word):
        return terms_in(value.term)
    if isinstance(value, Addr):
        return terms_in(value.page)
    if isinstance(value, Flags):
        return [t for part in (*value.bits.values(), value.key) for t in terms_in(part)]
    return []
