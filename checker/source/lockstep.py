# SPDX-License-Identifier: MIT
"""Two sides are equal for any number of VMAs: their loops go in lockstep (docs/REVIEW.md, "Any number of VMAs").

An induction over the turns of the loops. Both sides run from one arbitrary address space, of which the VMAs around
the start of the range are listed, until each is at its second turn of the same loop (a cut), or has ended. At a cut
the two address spaces must be equal, and what both sides have besides is made general: of pointers, their place
relative to the VMA at hand; of addresses, how they compare with each other; values that depend on nothing but the
arguments stay; of all else, nothing is known. From there both go on, in an arbitrary address space, to the next cut or
the end, until nothing new comes to a cut. Whatever ends must end alike.

A candidate for what holds at a cut is dropped as soon as some way to the cut breaks it (Houdini), and then all that was
built on it is done again.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import z3

from checker.calls import symbolic_arguments
from checker.paths import TooManyPaths
from checker.source.compare import values_differ
from checker.source.cuts import (
    EARLIER,
    FAR,
    Arrival,
    At,
    Listed,
    Pilot,
    Stage,
    Stopped,
    Unproved,
    Walker,
    contents_of,
    named_terms,
    names_in,
    terms_in,
)
from checker.source.errors import NotCovered
from checker.source.paths import Exploration, Explored, Path
from checker.source.sides import CSide, Ended, Side
from checker.source.space import repeatable
from checker.source.subjects import Subject
from checker.source.values import Addr, Flags, Struct, Thing, Word
from spec.editions import Edition
from spec.syscalls import CALLS
from spec.terms import Bool, Num, and_, eq, le, lt, not_

MOST_PATHS: Final = 20_000
MOST_STATES, MOST_NUMBERS = 40, 2
"""So many states at cuts are kept apart, and so many values of one number."""
RIGID: Final = ("arg_", "free_", "w:", "page_")
RIGID_NAMES: Final = frozenset(
    ("max_map_count", "execute_only_pkey", "brk", "start_brk", "map_count", "stored", "object_pages", "write_denied",
     "access_denied", "pkey_allocated", "starts_huge_page")
)  # fmt: skip
"""Names of what does not change while a call runs: its arguments, and how the address space was when it began."""
Name = str
Fact = tuple[str, Name, Name]


@dataclass(slots=True)
class Lockstep:
    """What came of the attempt."""

    proved: bool = False
    why: str = ""
    """Why it is not."""
    cuts: int = 0
    """States at cuts that the induction rests on."""
    paths: int = 0


@dataclass(slots=True)
class _Way:
    """How a cut was reached: what is done again before each step from there."""

    stages: list[Stage]
    answers: tuple[list[bool], list[bool]]


@dataclass(slots=True)
class _State:
    """What is known at a cut, in general."""

    loop: int
    way: _Way
    pristine: bool
    listed: bool
    has_left: bool
    has_hand: bool
    fixed: tuple[dict[str, Any], dict[str, Any]]
    """Values that are the same whenever the sides come here."""
    terms: tuple[dict[str, Any], dict[str, Any]]
    """Values that are terms of the arguments; those that turn out not to be the same are taken away."""
    addresses: tuple[dict[str, int], dict[str, int]]
    """Bytes in the page, of addresses by path."""
    facts: set[Fact]
    unknown: tuple[set[str], set[str]]
    arguments: Any

    def stage(self) -> Stage:
        """What both sides are given."""
        prefix = f"c{self.loop}:"
        contents = contents_of("" if self.pristine else prefix)
        named: dict[Name, Num] = {}
        leaves: list[dict[str, Any]] = []
        for side in (0, 1):
            given = {**self.fixed[side], **self.terms[side]}
            for path, byte in self.addresses[side].items():
                page = z3.Int(f"{prefix}{side}.{path}")
                named[f"{side}.{path}"], given[path] = page, Addr(page, byte)
            for path in sorted(self.unknown[side]):
                given[path] = Thing(f"{EARLIER}{path.rpartition('.')[2]}")
            leaves.append(given)
        facts = [f for f in sorted(self.facts) if not self._implied(f)]

        def known(terms: dict[Name, Num]) -> list[Bool]:
            there = {**named, **terms, **_rigid_terms(self.arguments)}
            return [_holds(f, there) for f in facts if f[1] in there and f[2] in there]

        return Stage(
            self.loop, contents, self.pristine, self.listed, self.has_left, self.has_hand, (leaves[0], leaves[1]), known
        )

    def _implied(self, fact: Fact) -> bool:
        relation, x, y = fact
        if relation != "<=":
            return False
        return ("<", x, y) in self.facts or ("=", x, y) in self.facts or ("=", y, x) in self.facts


def _rigid_terms(arguments: Any) -> dict[Name, Num]:
    """Pages that do not change while the call runs."""
    found: dict[Name, Num] = {}
    for name in type(arguments).__dataclass_fields__:
        term = getattr(arguments, name)
        if isinstance(term, z3.ArithRef) and name in ("start", "end"):
            found[f"arg.{name}"] = term
    found["w.start"], found["w.end"] = z3.Int("w:vma0.start"), z3.Int("w:vma0.end")
    for i in range(1):
        found[f"w.is{i}"] = z3.If(z3.Bool(f"w:is_vma{i}"), z3.IntVal(1), z3.IntVal(0))
    found["one"] = z3.IntVal(1)
    return found


_RELATIONS: Final[dict[str, Callable[[Any, Any], Bool]]] = {"=": eq, "<": lt, "<=": le}


def _holds(fact: Fact, terms: dict[Name, Num]) -> Bool:
    relation, x, y = fact
    return _RELATIONS[relation](terms[x], terms[y])


def _candidates(names: list[Name]) -> Iterator[Fact]:
    for x, y in itertools.combinations(names, 2):
        yield "=", x, y
        for a, b in ((x, y), (y, x)):
            yield "<", a, b
            yield "<=", a, b


# one run --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Done:
    """One side of a run: it has ended, or is at a cut."""

    pilot: Pilot
    space: Listed
    ended: Ended | None

    @property
    def arrival(self) -> Arrival | None:
        return self.pilot.stopped


class _Again(Exception):
    """A value that looked as if it stayed the same does not: all is done again."""


class _Prover:
    def __init__(self, subject: Subject, edition: Edition, first: Side, second: Side, deadline: float) -> None:
        self.subject, self.edition, self.deadline = subject, edition, deadline
        self.sides = tuple(_over_windows(side) for side in (first, second))
        self.arguments = symbolic_arguments(CALLS[subject.call].decoded)
        self.free: dict[str, Bool] = {name: z3.Bool(f"free_{name}") for name in subject.free}
        facts = [*self.arguments.facts(edition), *subject.facts(self.arguments)]
        facts += contents_of("").well_formed()
        self.background = [f for f in facts if isinstance(f, z3.BoolRef)]
        self.states: dict[Any, _State] = {}
        self.pending: deque[Any] = deque()
        self.numbers: dict[tuple[int, int, str], set[int]] = {}
        self.moving: set[tuple[int, int, str]] = set()
        self.result = Lockstep()

    def prove(self) -> None:
        """Raises Unproved."""
        while not self.result.proved:
            self.states.clear()
            self.pending.clear()
            with suppress(_Again):
                self._to_the_end()

    def _to_the_end(self) -> None:
        self._explore(_Way([], ([], [])))
        while self.pending:
            key = self.pending.popleft()
            state = self.states[key]
            self._explore(_Way([*state.way.stages, state.stage()], state.way.answers))
        self.result.proved, self.result.cuts = True, len(self.states)

    def _explore(self, way: _Way) -> None:
        def run(path: Path) -> list[_Done]:
            if time.process_time() > self.deadline:
                raise Unproved("the time was over")
            again = repeatable(path)
            done: list[_Done] = []
            for index, side in enumerate(self.sides):
                other = done[0].pilot if done else None
                pilot = Pilot(again, index, way.stages, way.answers[index], other)
                space = Listed(self.edition, pilot)
                ended = None
                with suppress(Stopped):
                    ended = side.run(space, self.subject, self.arguments, self.free)
                done.append(_Done(pilot, space, ended))
            return done

        for explored in Exploration(run, self.background, MOST_PATHS):
            self.result.paths += 1
            self._judge(way, explored)

    def _judge(self, way: _Way, explored: Explored[list[_Done]]) -> None:
        one, two = explored.outcome
        if two.ended is not None and two.ended.killed:
            killed_alike = two.ended.value == -4 and two.space.pristine
            if not killed_alike:
                self._must(explored, False, "a fatal signal ends the two differently")
            return
        if (one.ended is None) != (two.ended is None):
            self._must(explored, False, "only one side ends")
        elif one.ended is not None and two.ended is not None:
            self._ends(explored, one, two)
        else:
            self._arrives(way, explored, one, two)

    def _must(self, explored: Explored[Any], fact: Bool, why: str) -> None:
        """What has to hold on the path. Raises Unproved."""
        wrong = not_(fact)
        if wrong is False:
            return
        if explored.model_of(z3.BoolVal(True) if isinstance(wrong, bool) else wrong)[0]:
            raise Unproved(why)

    def _ends(self, explored: Explored[Any], one: _Done, two: _Done) -> None:
        a, b = one.ended, two.ended
        assert a is not None and b is not None
        if (a.killed and b.killed) or (a.faulted and b.faulted):
            return
        if a.faulted or b.faulted:
            self._must(explored, False, f"{a.text}; {b.text}")
            return
        if len(one.pilot.events) != len(two.pilot.events):
            self._must(explored, False, "only one side comes to a step over all VMAs")
            return
        differ = one.space.moment().differs(two.space.moment())
        unlike = values_differ(a.value, b.value)
        self._must(explored, and_(not_(unlike), not_(differ)), f"the ends differ: {a.text}; {b.text}")

    # at a cut ---------------------------------------------------------------------------------------------------------

    def _arrives(self, way: _Way, explored: Explored[Any], one: _Done, two: _Done) -> None:
        arrivals = one.arrival, two.arrival
        a, b = arrivals
        assert a is not None and b is not None
        alike = a.loop == b.loop and a.events == b.events and a.pristine == b.pristine
        if not alike:
            self._must(explored, False, "the sides are not at the same loop")
            return
        same = not_(a.now.differs(b.now))
        self._must(explored, and_(same, a.now.well_formed(a.listed)), "the address spaces differ after a turn")
        key, fixed, terms, addresses, unknown = self._general(one, two)
        numbers: dict[Name, Num] = {
            f"{side}.{path}": arrivals[side].leaves[path].page  # type: ignore[union-attr]
            for side in (0, 1) for path in addresses[side]
        }  # fmt: skip
        named = {**numbers, **named_terms(a.now.vmas, a.hand), **_rigid_terms(self.arguments)}
        state = self.states.get(key)
        if state is None:
            if len(self.states) >= MOST_STATES:
                raise Unproved(f"more than {MOST_STATES} states at the cuts")
            facts = set(_candidates(sorted(named)))
            onward = way
            if not way.stages or way.stages[-1].loop != a.loop:
                onward = _Way(way.stages, (list(a.answers), list(b.answers)))
            else:
                onward = _Way(way.stages[:-1], way.answers)
            state = _State(
                a.loop,
                onward,
                a.pristine,
                bool(a.now.vmas),
                a.hand > 0,
                a.hand < len(a.now.vmas),
                fixed,
                terms,
                addresses,
                facts,
                unknown,
                self.arguments,
            )
            self.states[key] = state
            changed = True
        else:
            self._join(state, terms)
            changed = False
        facts = {f for f in state.facts if f[1] in named and f[2] in named}
        kept = self._that_hold(explored, facts, named)
        if changed or kept != state.facts:
            state.facts = kept
            if key not in self.pending:
                self.pending.append(key)

    def _join(self, state: _State, terms: tuple[dict[str, Any], dict[str, Any]]) -> None:
        """What is not always the same term moves."""
        for side in (0, 1):
            for path in list(state.terms[side]):
                if path not in terms[side] or not _same_terms(state.terms[side][path], terms[side][path]):
                    self._move(state.loop, side, path)

    def _that_hold(self, explored: Explored[Any], facts: set[Fact], named: dict[Name, Num]) -> set[Fact]:
        kept = set(facts)
        while kept:
            terms = {f: _holds(f, named) for f in kept}
            false = {f for f, t in terms.items() if t is False}
            open_ = [t for t in terms.values() if isinstance(t, z3.BoolRef)]
            kept -= false
            if not open_:
                break
            possible, model = explored.model_of(z3.Not(z3.And(open_)))
            if not possible:
                break
            if model is None:
                raise Unproved("the solver cannot tell what holds at a cut")
            wrong = {
                f for f, t in terms.items()
                if isinstance(t, z3.BoolRef) and not z3.is_true(model.eval(t, model_completion=True))
            }  # fmt: skip
            if not wrong - false:
                raise Unproved("the solver's model breaks nothing")
            kept -= wrong
        return kept

    def _general(self, one: _Done, two: _Done) -> Any:
        """What is kept of the two sides at a cut."""
        arrivals = [d.arrival for d in (one, two)]
        first = arrivals[0]
        assert first is not None
        fixed: tuple[dict[str, Any], ...] = ({}, {})
        terms: tuple[dict[str, Any], ...] = ({}, {})
        addresses: tuple[dict[str, int], ...] = ({}, {})
        unknown: tuple[set[str], ...] = (set(), set())
        for side, done in enumerate((one, two)):
            arrival = arrivals[side]
            assert arrival is not None
            for path, value in arrival.leaves.items():
                if isinstance(value, Addr):
                    if _is_rigid(value) and (first.loop, side, path) not in self.moving:
                        terms[side][path] = value
                    else:
                        addresses[side][path] = value.byte
                elif isinstance(value, Struct):
                    machine = done.space.machine
                    i = machine.place_of(value) if machine is not None else None
                    place = FAR if i is None else i - first.hand
                    fixed[side][path] = At(place if -1 <= place <= 1 else FAR)
                elif isinstance(value, Word | Flags | z3.BoolRef) or _is_earlier(value):
                    known = isinstance(value, Word) and value.known
                    if not _is_argument(value) or (known and self._counts(first.loop, side, path, value.number)):
                        self._move(first.loop, side, path)
                    if (first.loop, side, path) in self.moving:
                        unknown[side].add(path)
                    elif known:
                        fixed[side][path] = value
                    else:
                        terms[side][path] = value
                else:
                    fixed[side][path] = value
        second, listed = arrivals[1], len(first.now.vmas)
        assert second is not None
        key = (
            first.loop, first.pristine, listed > 0, first.hand > 0, first.hand < listed, first.structure,
            second.structure,
            *(tuple(sorted((p, _key(v)) for p, v in fixed[side].items())) for side in (0, 1)),
            *(tuple(sorted(addresses[side].items())) for side in (0, 1)),
        )  # fmt: skip
        return key, fixed, terms, addresses, unknown

    def _move(self, loop: int, side: int, path: str) -> None:
        """A value is another one at each turn. What took it for one that stays is done again."""
        if (loop, side, path) not in self.moving:
            self.moving.add((loop, side, path))
            if any(s.loop == loop for s in self.states.values()):
                raise _Again

    def _counts(self, loop: int, side: int, path: str, number: int) -> bool:
        """The number is another one too often: it counts something."""
        seen = self.numbers.setdefault((loop, side, path), set())
        seen.add(number)
        return len(seen) > MOST_NUMBERS


def _key(value: Any) -> str:
    return f"{type(value).__name__}:{value!r}"


def _is_rigid(value: Any) -> bool:
    return all(name in RIGID_NAMES or name.startswith(RIGID) for term in terms_in(value) for name in names_in(term))


def _is_earlier(value: Any) -> bool:
    return isinstance(value, Thing) and value.name.startswith(EARLIER)


def _is_argument(value: Any) -> bool:
    names = [name for term in terms_in(value) for name in names_in(term)]
    return not _is_earlier(value) and _is_rigid(value) and not any(name.startswith("w:") for name in names)


def _same_terms(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, z3.ExprRef):
        same: bool = a.get_id() == b.get_id()
        return same
    if isinstance(a, Addr):
        return a.byte == b.byte and eq(a.page, b.page) is True
    if isinstance(a, Word):
        return (a.bits, a.signed) == (b.bits, b.signed) and _same_terms(a.term, b.term)
    if isinstance(a, Flags):
        if a.bits.keys() != b.bits.keys() or a.rest != b.rest:
            return False
        return all(_same_terms(x, y) for x, y in [*((a.bits[n], b.bits[n]) for n in a.bits), (a.key, b.key)])
    return bool(a == b)


def _over_windows(side: Side) -> Side:
    if isinstance(side, CSide):
        return CSide(side.name, side.source, side.note, Walker)
    return side


def in_lockstep(subject: Subject, edition: Edition, first: Side, second: Side, deadline: float) -> Lockstep:
    """Try to prove that two sides are equal for any number of VMAs."""
    prover = _Prover(subject, edition, first, second, deadline)
    try:
        prover.prove()
    except Unproved as error:
        prover.result.why = str(error)
    except NotCovered as error:
        prover.result.why = f"{error.what} ({error.file}:{error.line})"
    except TooManyPaths as error:
        prover.result.why = str(error)
    return prover.result
