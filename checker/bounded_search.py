# SPDX-License-Identifier: MIT
"""Counterexamples in the bounded reading: for what only splits and merges show, which the unbounded one leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from typing import Any

import z3

from checker.answers import STEPS, why_unknown
from checker.bounded import BoundedSpace, Window
from checker.calls import concrete_arguments, finish, symbolic_arguments
from checker.concrete import State
from checker.examples import ENOUGH_PAGES, Example, problems, violation
from checker.paths import Run, explore
from spec.editions import Edition
from spec.properties import Property
from spec.syscalls import CALLS
from spec.terms import Bool, Num, and_, eq, implies, le, not_
from spec.transition import Transition
from spec.vma import HUGE_PAGES, Vma, starts_huge_page

MOST_VMAS = 3
MOST_PATHS = 3_000
"""Paths that are looked at for one number of VMAs."""
SEARCH_LIMIT = 3_000_000
"""Solver steps for one query (z3's rlimit)."""
FIRST_PAGE = 0x2_0000_0000
"""Examples are looked for from this page on (the window of the scenario format)."""
PAGE, SECOND = z3.Int("page"), z3.Int("second_page")


def find_bounded(prop: Property, call: str, edition: Edition) -> tuple[tuple[Example, int] | None, str]:
    """A counterexample with as few VMAs as possible, and few pages, that the concrete reading confirms; None if none
    was found, which proves nothing. Also why one may have been missed: what ran out; empty if nothing did."""
    ran_out: list[str] = []
    for count in range(1, MOST_VMAS + 1):
        for example in islice(_examples(prop, call, edition, count, ran_out), 40):
            found = None if problems(example.state) else violation(prop, example, edition)
            if found is not None:
                return (example, found[0]), ""
    return None, ran_out[0] if ran_out else ""


def _examples(prop: Property, call: str, edition: Edition, count: int, ran_out: list[str]) -> Iterator[Example]:
    window, arguments = Window(count), symbolic_arguments(CALLS[call].decoded)
    facts: list[Bool] = [*window.well_formed(), *arguments.facts(edition), *_small(window)]
    known = [fact for fact in facts if isinstance(fact, z3.ExprRef)]

    def run(path: Run) -> Transition:
        path.conditions.extend(known)
        space = BoundedSpace(window, edition, path)
        before = space.snapshot()
        errno, check, value = finish(lambda: CALLS[call].body(space, arguments))
        return Transition(call, arguments, errno, value, check, before, space.snapshot())

    pages = (PAGE, SECOND) if prop.second else (PAGE,)
    for explored in islice(explore(run, list, limit=MOST_PATHS + 1), MOST_PATHS):
        transition = explored.outcome
        if not prop.outcomes(transition):
            continue
        goal = and_(prop.when(transition, *pages), not_(prop.holds(transition, *pages)))
        solver = z3.SimpleSolver()
        solver.set("rlimit", SEARCH_LIMIT)
        solver.add(*explored.conditions, goal, *(fact for p in pages for fact in window.page_facts(p)))
        answer = solver.check()
        if answer == z3.unknown:
            ran_out.append(why_unknown(solver, STEPS))
        if answer != z3.sat:
            continue
        model = solver.model()
        for wish in _wishes(window):
            solver.push()
            solver.add(wish)
            if solver.check() == z3.sat:
                model = solver.model()
            else:
                solver.pop()
        yield Example(_state(window, model), call, concrete_arguments(arguments, model))


def _small(window: Window) -> list[Bool]:
    """Neighbours from the first page of the window on, of at most three pages, which keeps the paths few."""
    facts: list[Bool] = [eq(starts_huge_page(z3.IntVal(FIRST_PAGE + n)), n % HUGE_PAGES == 0) for n in range(16)]
    reached: Num = FIRST_PAGE
    for vma in window.vmas:
        facts += [eq(vma.start, reached), le(vma.end, reached + 3)]
        reached = vma.end
    return facts


def _wishes(window: Window) -> list[z3.BoolRef]:
    plain = Vma(start=0, end=0, read=True, write=True)
    wishes: list[Bool] = [eq(window.max_map_count, 65530), eq(window.elsewhere, 3)]
    wishes += [eq(vma.end, vma.start + 1) for vma in window.vmas]
    for f in fields(Vma):
        if f.name not in ("start", "end", "offset", "sealed"):
            wishes += [eq(getattr(vma, f.name), getattr(plain, f.name)) for vma in window.vmas]
    wishes += [implies(eq(vma.backing, 0), eq(vma.offset, vma.start)) for vma in window.vmas]
    wishes += [not_(vma.sealed) for vma in window.vmas]
    return [wish for wish in wishes if isinstance(wish, z3.ExprRef)]


def _state(window: Window, model: z3.ModelRef) -> State:
    def value(term: object) -> Any:
        found = model.eval(term, model_completion=True)
        return z3.is_true(found) if z3.is_bool(found) else int(found.as_long())

    vmas = [Vma(**{f.name: value(getattr(vma, f.name)) for f in fields(Vma)}) for vma in window.vmas]
    return State(
        vmas=vmas,
        sizes={int(value(vma.object)): ENOUGH_PAGES for vma in window.vmas if value(vma.object)},
        elsewhere=int(value(window.elsewhere)),
        max_map_count=int(value(window.max_map_count)),
        start_brk=int(value(window.start_brk)),
        brk=int(value(window.brk)),
    )
