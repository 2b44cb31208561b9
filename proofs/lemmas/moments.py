# SPDX-License-Identifier: MIT
"""A moment of a call, as the lemmas see it: a window of VMAs is listed, all else is unknown; and a contract between the
arbitrary address space before and such a moment."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, cast

import z3

from checker.bounded import BoundedSpace, Window
from checker.keys import KeySpace
from checker.layout import LayoutSpace
from checker.paths import Run
from checker.unbounded import Number, Truth, UnboundedSpace
from spec.contracts import Contracts, Kind, PageFact
from spec.editions import Edition
from spec.errors import Errno
from spec.terms import (
    Bool,
    Num,
    all_,
    and_,
    between,
    eq,
    implies,
    le,
    lt,
    ne,
    not_,
    once_for_each,
    or_,
)
from spec.vma import Page, Vma, choose_vma, well_formed_vma


class Moment:
    """An address space of which a window is listed; outside it, all is unknown, and the engine leaves it alone."""

    def __init__(self, engine: Listed) -> None:
        self.vmas = list(engine.vmas)
        self.page, self.stored = engine._page, engine._stored
        self.write_denied, self.access_denied = engine._write, engine._access
        self.pkey_allocated, self.exec_key, self.brk = engine._allocated, engine.exec_key, engine.brk
        self.count = engine.counter
        self.function = engine.function
        self.view = once_for_each(self._view)

    def listed(self, q: Num) -> Bool:
        """The page is in a VMA of the window."""
        return or_(*(between(vma.start, q, vma.end) for vma in self.vmas))

    def _view(self, q: Num) -> tuple[Bool, Vma]:
        """Whether a VMA holds the page, and which."""
        rest = Vma(**{
            f.name: self.function(f"now_vma_{f.name}", Number, Truth if f.type == "Bool" else Number)(q)
            for f in fields(Vma)
        })  # fmt: skip
        for vma in self.vmas:
            rest = choose_vma(between(vma.start, q, vma.end), vma, rest)
        return or_(self.listed(q), self.function("now_mapped", Number, Truth)(q)), rest

    def cut(self, q: Num) -> Bool:
        """A VMA begins or ends there."""
        ends = or_(*(or_(eq(q, vma.start), eq(q, vma.end)) for vma in self.vmas))
        inside = or_(*(and_(lt(vma.start, q), lt(q, vma.end)) for vma in self.vmas))
        return or_(ends, and_(not_(inside), self.function("now_cut", Number, Truth)(q)))


class Listed(KeySpace, BoundedSpace):
    """The list engine on a window of an address space; what is outside the window is unknown."""

    free_range, free_range_for = LayoutSpace.free_range, LayoutSpace.free_range_for

    def __init__(self, window: Window, edition: Edition, run: Run, keys: UnboundedSpace) -> None:
        super().__init__(window, edition, run)
        self.function = keys.world.function
        self.counter = z3.Int("now_map_count")
        self._page = once_for_each(lambda q: Page(**{
            f.name: self.function(f"now_page_{f.name}", Number, Truth if f.type == "Bool" else Number)(q)
            for f in fields(Page)
        }))  # fmt: skip
        self._stored = lambda o, at: cast(z3.ArithRef, self.function("now_stored", Number, Number, Number)(o, at))
        self._write, self._access = keys._write_denied, keys._access_denied
        self._allocated, self._exec_key, self._no_keys = keys._pkey_allocated, keys._exec_key, keys.no_keys

    @property
    def has_pkeys(self) -> Bool:
        return not_(self._no_keys)

    @property
    def exec_key(self) -> Num:
        return self._exec_key

    def key_is_taken(self, key: int) -> Bool:
        return or_(self._allocated(key), eq(self._exec_key, key))

    def take_key(self, key: int) -> None:
        allocated, write, access = self._allocated, self._write, self._access
        self._allocated = lambda k: or_(eq(k, key), allocated(k))
        self._write, self._access = lambda k: and_(ne(k, key), write(k)), lambda k: and_(ne(k, key), access(k))

    def take_exec_key(self, key: int) -> None:
        write, access = self._write, self._access
        self._exec_key = key
        self._write, self._access = lambda k: or_(eq(k, key), write(k)), lambda k: or_(eq(k, key), access(k))

    def _fresh(self, what: str) -> str:
        return f"engine {super()._fresh(what)}"

    def object_pages(self, object: Num) -> Num:
        return cast(z3.ArithRef, self.function("object_pages", Number, Number)(object))


# a contract between two given address spaces -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ghosts:
    """What a pass has done so far, as far as the contract names it."""

    touched: Bool
    """Something was changed."""
    witness: Num
    """A page of a VMA that was changed."""
    hole: Callable[[Num, Num], Bool]
    """A hole was punched there in an object."""
    through: Callable[[Num, Num], Num]
    """The page through which it was punched."""


def list_is_well_formed(vmas: list[Vma]) -> Bool:
    """In order, disjoint, and every VMA well formed in itself: its position, its attributes, and the bookkeeping (page
    offset, anon_vma) that merges and splits must keep right."""
    return and_(*(is_well_formed(vma) for vma in vmas), *(le(a.end, b.start) for a, b in itertools.pairwise(vmas)))


def is_well_formed(vma: Vma) -> Bool:
    """All that is said of a VMA by itself."""
    return all_(condition for condition, _ in well_formed_vma(vma))


class Branch:
    """One way through a contract: its choices, and what it says then."""

    def __init__(self, given: list[bool]) -> None:
        self.given, self.taken = given, cast("list[bool]", [])
        self.open: list[list[bool]] = []
        self.conditions: list[Bool] = []

    def assume(self, *facts: Bool) -> None:
        """What this way says of the address spaces."""
        self.conditions.extend(facts)

    def decide(self, cond: Bool) -> bool:
        """Whether it is so, of this way."""
        if isinstance(cond, bool):
            return cond
        answer = self.choose()
        self.assume(cond if answer else not_(cond))
        return answer

    def choose(self) -> bool:
        """A choice that the contract leaves free."""
        step = len(self.taken)
        answer = self.given[step] if step < len(self.given) else False
        if step >= len(self.given):
            self.open.append([*self.taken, True])
        self.taken.append(answer)
        return answer


class Held(Contracts):
    """The contract of a pass, with the address space at hand in the place of everything that it leaves open."""

    def __init__(self, before: UnboundedSpace, now: Moment, ghosts: Ghosts, branch: Branch) -> None:
        self.begin_as(before)
        self.edition, self.before = before.edition, before
        self.now, self.ghosts, self.branch = now, ghosts, branch
        self.every_page, self.places = [], []
        self.wanted: tuple[Errno, str] | None = None

    def assume(self, fact: Bool) -> None:
        self.branch.assume(fact)

    def _found(self, check: str, *facts: Bool) -> None:
        self.branch.assume(*facts)

    def decide(self, cond: Bool) -> bool:
        return self.branch.decide(cond)

    def environment(self, why: str) -> Bool:
        return self.branch.choose()

    def skipped(self, check: str) -> bool:
        return False

    def _free(self, what: str, refusal: tuple[Errno, str] | None = None) -> bool:
        return refusal == self.wanted and self.branch.choose()

    def _choice(self, what: str) -> Any:
        assert what == "touched", what
        return self.ghosts.touched

    def _number(self, what: str) -> Any:
        return (
            self.ghosts.witness if what == "changed" else {"map_count": self.now.count, "count": self.now.count}[what]
        )

    def _function(self, what: str, kind: Kind) -> Callable[[Num], Any]:
        if what == "cut_after":
            return self.now.cut
        if what in ("faulted", "faulted_after"):
            return lambda q: and_(self.now.page(q).copied, not_(self.now.page(q).lazy))
        name = {
            "start_after": "start",
            "end_after": "end",
            "anon_vma_after": "anon_vma",
            "inherited_after": "inherited",
        }
        return lambda q: getattr(self.now.view(q)[1], name[what])

    def _some_page(self, backs: Callable[[Num, Num, Num], Bool]) -> Callable[[Num, Num], Bool]:
        def punched(object: Num, offset: Num) -> Bool:
            there = self.ghosts.hole(object, offset)
            self.assume(implies(there, backs(self.ghosts.through(object, offset), object, offset)))
            self.every_page.append(lambda q: implies(backs(q, object, offset), there))
            return there

        return punched

    # what a verb does not change --------------------------------------------------------------------------------------

    @property
    def max_map_count(self) -> Num:
        return self.before.max_map_count

    @property
    def start_brk(self) -> Num:
        return self.before.start_brk

    def object_pages(self, object: Num) -> Num:
        return self.before.object_pages(object)

    def guarded(self, vma: Vma, start: Num, end: Num) -> Bool:
        return self.before.guarded(vma, start, end)

    def _original_view(self, page: Num) -> tuple[Bool, Vma]:
        return self.before._original_view(page)

    # what it says -----------------------------------------------------------------------------------------------------

    def says_of(self, object: Num, offset: Num) -> Bool:
        """What the contract says of a place in an object."""
        return eq(self._stored(object, offset), self.now.stored(object, offset))

    def says_of_key(self, key: Num) -> Bool:
        """What the contract says of a protection key, and of the break."""
        now = self.now
        allocated = and_(not_(self.no_keys), between(0, key, 16), now.pkey_allocated(key))
        return and_(
            eq(self._write_denied(key), now.write_denied(key)), eq(self._access_denied(key), now.access_denied(key)),
            eq(self.pkey_allocated(key), allocated), eq(self._exec_key, now.exec_key), eq(self._brk, now.brk),
        )  # fmt: skip

    def says(self, q: z3.ArithRef) -> Bool:
        """What the contract says of the page, and of no page."""
        (mapped, vma), (is_mapped, real) = self._view(q), self.now.view(q)
        same = [eq(getattr(vma, f.name), getattr(real, f.name)) for f in fields(Vma)]
        page, holds = self._page(q), self.now.page(q)
        same_page = [eq(getattr(page, f.name), getattr(holds, f.name)) for f in fields(Page)]
        parts: list[Bool] = [
            eq(mapped, is_mapped), implies(is_mapped, all_(same)), *same_page, eq(self._cut(q), self.now.cut(q)),
            eq(self.count, self.now.count),
        ]  # fmt: skip
        facts: list[PageFact] = [*self.every_page, *self.places]
        return and_(*parts, *(fact(q) for fact in facts), *self.branch.conditions)
