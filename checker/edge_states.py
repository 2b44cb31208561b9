# SPDX-License-Identifier: MIT
"""Address spaces that must be admitted: what the proofs and lemmas begin with, held against concrete states.

An arbitrary address space is described by what is assumed of it (`World` in checker/unbounded.py, `Window` in
checker/bounded.py). If that says more than well-formedness does, then theorems are proved of fewer states than there
are. So states that are well formed, at every edge and with every attribute, are held against these assumptions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import z3

from checker.bounded import Window
from checker.concrete import State
from checker.examples import problems
from checker.unbounded import World
from spec.terms import Bool, eq, whole
from spec.vma import (
    BOOL_ATTRIBUTES,
    DEVZERO,
    EMPTY_PAGE,
    FILE,
    HUGE_PAGES,
    HUGETLB,
    LARGEST_OFFSET,
    SPECIAL,
    THP_NEVER,
    Page,
    Vma,
)
from spec.words import TASK_PAGES

WINDOW = 0x2_0000_0001
"""An odd page, far above 2^32."""
KINDS = (
    Vma(start=0, end=0, read=True, write=True),
    Vma(start=0, end=0, anon_vma=7, inherited=True, growsdown=True),
    Vma(start=0, end=0, droppable=True, noreserve=True),
    Vma(start=0, end=0, read=True, backing=FILE, object=1),
    Vma(start=0, end=0, read=True, may_write=False, may_exec=False, backing=FILE, object=2, may_share=True),
    Vma(start=0, end=0, write=True, backing=FILE, object=3, may_share=True, shared=True),
    Vma(start=0, end=0, exec=True, backing=FILE, object=4, anon_vma=9, opened_read_only=True),
    Vma(start=0, end=0, read=True, backing=DEVZERO, object=5),
    Vma(start=0, end=0, read=True, exec=True, backing=SPECIAL),
    Vma(start=0, end=0, write=True, backing=HUGETLB, object=6, may_share=True, shared=True),
)
"""One mapping of each kind; where it lies is still to be said."""
RANGES = (
    (0, 1), (1, 2), (WINDOW, WINDOW + 1), (WINDOW + 1, WINDOW + 3), (0, TASK_PAGES), (TASK_PAGES - 1, TASK_PAGES),
    (HUGE_PAGES, 2 * HUGE_PAGES), (WINDOW, WINDOW + (1 << 30)),
)  # fmt: skip
"""Where mappings lie: [start, end) in pages."""
PAGES = (Page(copied=True), Page(copied=True, own=1 << 40), Page(copied=True, own=2, lazy=True), Page(guard=True))
"""What a page may hold."""


def edge_states() -> Iterator[State]:
    """Well-formed address spaces of none, one and two VMAs: every kind of mapping, every two attributes, every place,
    and every counter at its ends."""
    alone = [State(vmas=[vma]) for vma in _single_vmas()]
    alone += [
        State(vmas=[replace(kind, start=start, end=end, anon_vma=anon_vma)], pages={start: page})
        for kind, page, (start, end), anon_vma in itertools.product(KINDS, PAGES, RANGES, (0, 7))
    ]
    yield from (state for state in alone if not problems(state))
    for left, right in itertools.product(KINDS, repeat=2):
        for gap in (0, 1):
            behind = WINDOW + 2 + gap
            pair = [replace(left, start=WINDOW, end=WINDOW + 2), replace(right, start=behind, end=behind + 1)]
            yield State(vmas=pair)
    yield State()
    for elsewhere, limit in ((0, 8), (9, 8), (10_000, 8), (65530, 65530), (65531, 65530), (3, (1 << 31) - 1)):
        yield State(vmas=[replace(KINDS[0], start=WINDOW, end=WINDOW + 1)], elsewhere=elsewhere, max_map_count=limit)
    for start, end in ((0, 0), (0, TASK_PAGES), (TASK_PAGES, TASK_PAGES), (WINDOW, WINDOW + 1)):
        yield State(start_brk=start, brk=end)
    for key in (1, 15):
        yield State(exec_key=key, pkeys={0, key})
    yield State(has_pkeys=False)


def _single_vmas() -> Iterator[Vma]:
    for kind, (start, end) in itertools.product(KINDS, RANGES):
        yield replace(kind, start=start, end=end)
    values = {"pkey": 15, "offset": LARGEST_OFFSET - 2, "anon_vma": 1 << 40, "reading": 2, "thp": THP_NEVER}
    for kind in KINDS:
        switched = {**{name: not getattr(kind, name) for name in BOOL_ATTRIBUTES}, **values}
        for names in itertools.combinations(switched, 2):
            changed: dict[str, Any] = {name: switched[name] for name in names}
            yield replace(kind, start=WINDOW, end=WINDOW + 1, **changed)


class Assumed:
    """What a reading assumes of every address space, to be held against concrete ones."""

    def __init__(self, facts: Sequence[z3.BoolRef]) -> None:
        self._names = {f"assumed{i}": fact for i, fact in enumerate(facts)}
        self._solver = z3.SimpleSolver()
        for name, fact in self._names.items():
            self._solver.add(z3.Implies(z3.Bool(name), fact))

    def refuses(self, known: Iterable[Bool]) -> list[str]:
        """Those of the assumptions that contradict what is known; empty if all of them together do not."""
        self._solver.push()
        self._solver.add(*(fact if isinstance(fact, z3.ExprRef) else z3.BoolVal(fact) for fact in known))
        answer = self._solver.check(*map(z3.Bool, self._names))
        core = [str(self._names[str(name)]) for name in self._solver.unsat_core()] if answer == z3.unsat else []
        self._solver.pop()
        return [] if answer == z3.sat else core or ["the solver cannot tell"]


class WorldRefuses:
    """What the unbounded reading assumes of every address space."""

    def __init__(self) -> None:
        self._world = World()
        self._pages = z3.Ints("p0 p1 p2 p3")
        self._seen = [self._world.look(page) for page in self._pages]
        self._assumed = Assumed([*self._world.axioms, *self._world.attribute_axioms])

    def __call__(self, state: State) -> list[str]:
        """Those of the assumptions that are not so of this one."""
        world = self._world
        edges = {whole(n) for vma in state.vmas for n in (vma.start - 1, vma.start, vma.end - 1, vma.end)}
        numbers = [*sorted(n for n in edges if n >= 0), 0, WINDOW, TASK_PAGES, 1]
        known: list[Bool] = [
            eq(world.map_count, state.elsewhere + len(state.vmas)),
            eq(world.max_map_count, state.max_map_count),
            eq(world.brk, state.brk),
            eq(world.start_brk, state.start_brk),
            eq(world.exec_key, state.exec_key),
            eq(world.no_keys, not state.has_pkeys),
        ]
        for term, number, (_, mapped, vma, page) in zip(self._pages, numbers, self._seen, strict=False):
            real, held = state.find(number), state.pages.get(number, EMPTY_PAGE)
            known += [eq(term, number), eq(mapped, real is not None), *_same(page, held)]
            known += [] if real is None else _same(vma, real)
        return self._assumed.refuses(known)


class WindowRefuses:
    """What the bounded reading assumes of every window of so many VMAs."""

    def __init__(self, count: int) -> None:
        self._window = Window(count)
        self._page = z3.Int("p")
        self._assumed = Assumed([*self._window.well_formed(), *self._window.page_facts(self._page)])

    def __call__(self, state: State) -> list[str]:
        """Those of the assumptions that are not so of this one, which has as many VMAs."""
        window, number = self._window, whole(state.vmas[0].start)
        known: list[Bool] = [
            eq(window.elsewhere, state.elsewhere),
            eq(window.max_map_count, state.max_map_count),
            eq(window.brk, state.brk),
            eq(window.start_brk, state.start_brk),
            eq(window.exec_key, state.exec_key),
            eq(self._page, number),
            *_same(window.page(self._page), state.pages.get(number, EMPTY_PAGE)),
        ]
        for vma, real in zip(window.vmas, state.vmas, strict=True):
            known += _same(vma, real)
        return self._assumed.refuses(known)


def _same(mine: Vma | Page, its: Vma | Page) -> list[Bool]:
    return [eq(getattr(mine, f.name), getattr(its, f.name)) for f in fields(its)]
