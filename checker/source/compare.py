# SPDX-License-Identifier: MIT
"""The body of a call over every layout of N VMAs: two sides from the same window, on the same path.

A path on which they part is a counterexample, if a solver finds one.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import z3

from checker.bounded import Window
from checker.calls import symbolic_arguments
from checker.layout import NO_VMA
from checker.preferences import UNMARKED
from checker.source.paths import Exploration, Explored, Path
from checker.source.sides import Ended, Side
from checker.source.space import BoundedKernel, repeatable
from checker.source.subjects import Subject
from checker.source.values import Addr
from spec.editions import Edition
from spec.space import same_page
from spec.syscalls import CALLS
from spec.terms import Bool, eq, not_, or_
from spec.vma import ANONYMOUS, ATTRIBUTES, well_formed_page

MOST_PATHS = 200_000
MOST_APART, ENOUGH_PLAIN, PLAINER_SECONDS = 24, 3, 4.0
"""So many paths on which two sides part are looked at for so many plain ones, for so long."""


class OutOfTime(Exception):
    """The time for a comparison is over."""


@dataclass(slots=True)
class Apart:
    """A path on which the two part: what holds on it."""

    why: str
    conditions: list[z3.BoolRef]
    window: Window
    arguments: Any
    free: dict[str, Bool]
    killed: bool = False
    odd: int = 0


@dataclass(slots=True)
class BodyEnd:
    """What came of the windows of one size."""

    paths: int = 0
    apart: list[Apart] = field(default_factory=list)
    """Those found, the plainest first."""


class Case:
    """An arbitrary address space of N VMAs and an arbitrary call."""

    def __init__(self, subject: Subject, edition: Edition, n: int) -> None:
        self.window = Window(n)
        self.arguments = symbolic_arguments(CALLS[subject.call].decoded)
        self.free: dict[str, Bool] = {name: z3.Bool(f"free_{name}") for name in subject.free}
        facts = [*self.window.well_formed(), *self.arguments.facts(edition), *subject.facts(self.arguments)]
        self.background: list[z3.BoolRef] = [f for f in facts if isinstance(f, z3.BoolRef)]

    def page_facts(self, page: Any) -> list[z3.BoolRef]:
        """What holds of a page before the call."""
        if self.window.vmas:
            return self.window.page_facts(page)
        fact = well_formed_page(False, NO_VMA, self.window.page(page))
        return [fact] if isinstance(fact, z3.ExprRef) else []


def paths(
    case: Case, subject: Subject, edition: Edition, sides: tuple[Side, ...], deadline: float
) -> Iterator[Explored[list[tuple[Ended, BoundedKernel]]]]:
    """Every path of the sides, one after the other from the same address space. Raises NotCovered, OutOfTime,
    TooManyPaths."""

    def run(path: Path) -> list[tuple[Ended, BoundedKernel]]:
        if time.process_time() > deadline:
            raise OutOfTime
        answers = repeatable(path)
        done = []
        for side in sides:
            space = BoundedKernel(case.window, edition, answers)
            done.append((side.run(space, subject, case.arguments, case.free), space))
        return done

    yield from Exploration(run, case.background, MOST_PATHS)


def compare_bodies(subject: Subject, edition: Edition, first: Side, second: Side, n: int, deadline: float) -> BodyEnd:
    """Compare over all layouts of exactly N VMAs. Raises NotCovered, OutOfTime, TooManyPaths."""
    end = BodyEnd()
    try:
        _compare_bodies(subject, edition, first, second, n, deadline, end)
    except OutOfTime:
        if not end.apart:
            raise
    return end


def _compare_bodies(
    subject: Subject, edition: Edition, first: Side, second: Side, n: int, deadline: float, end: BodyEnd
) -> None:
    case = Case(subject, edition, n)
    any_ = z3.Int("any_page"), z3.Int("any_object"), z3.Int("any_offset")
    case.background += case.page_facts(any_[0])
    found = 0
    for explored in paths(case, subject, edition, (first, second), deadline):
        if found and time.process_time() > deadline:
            return
        end.paths += 1
        (a, one), (b, two) = explored.outcome
        if a.killed or b.killed:
            differ, why = _killed(first, a, one, second, b, two)
        else:
            differ, why = _differ(first, a, one, second, b, two, any_)
        if differ is False:
            continue
        asked = z3.BoolVal(True) if isinstance(differ, bool) else differ
        answer = explored.ask(asked, max(1, int(1000 * (deadline - time.process_time()))))
        if answer == z3.sat:
            conditions = [*case.background, *explored.conditions, *([differ] if isinstance(differ, z3.BoolRef) else [])]
            apart = Apart(why, conditions, case.window, case.arguments, case.free, a.killed or b.killed)
            apart.odd = _oddness(apart, asked, explored)
            end.apart = sorted([*end.apart, apart], key=lambda a: a.odd)
            found += 1
            deadline = min(deadline, time.process_time() + PLAINER_SECONDS) if found == 1 else deadline
            if sum(a.odd == 0 for a in end.apart) == ENOUGH_PLAIN or found == MOST_APART:
                return
        elif answer == z3.unknown:
            raise OutOfTime


def _oddness(apart: Apart, asked: z3.BoolRef, explored: Explored[Any]) -> int:
    """How far the cases of a path are from plain: 0 for an ordinary call on ordinary neighbours."""
    vmas, to = apart.window.vmas, apart.arguments
    if apart.killed:
        return 9
    anonymous = [v.backing == ANONYMOUS for v in vmas]
    beside = [a.end == b.start for a, b in itertools.pairwise(vmas)]
    inside = [to.start >= vmas[0].start, to.end <= vmas[-1].end] if vmas else []
    unmarked = [z3.Not(getattr(v, name)) for v in vmas for name in UNMARKED]
    room = [apart.window.max_map_count == 65530, apart.window.elsewhere == 0]
    levels = ([*anonymous, *beside, *inside, *unmarked, *room], [*anonymous, *inside, *unmarked], anonymous)
    for odd, wishes in enumerate(levels):
        if explored.ask(z3.And(asked, *wishes), 1_000) == z3.sat:
            return odd
    return len(levels)


def _killed(first: Side, a: Ended, one: Any, second: Side, b: Ended, two: Any) -> tuple[Bool, str]:
    """A fatal signal while C waits for the lock: EINTR, and nothing is changed. The specification does not speak of
    it."""
    for side, end, space in ((first, a, one), (second, b, two)):
        if not end.killed:
            continue
        if end.faulted:
            return True, f"killed while it waits for the lock, {side.name} {end.text}"
        if end.value != -4 or list(space.vmas) != list(space.window.vmas):
            return (
                True,
                f"killed while it waits for the lock, {side.name} does not end with EINTR, or changes something",
            )
    return False, ""


def _said(side: Side, end: Ended) -> str:
    check = f" ({end.check})" if end.check and not end.faulted else ""
    return f"{side.name}: {end.text}{check}"


def _differ(
    first: Side, a: Ended, one: BoundedKernel, second: Side, b: Ended, two: BoundedKernel, any_: tuple[Any, Any, Any]
) -> tuple[Bool, str]:
    both = f"{_said(first, a)}; {_said(second, b)}"
    if a.faulted or b.faulted:
        return (False, "") if a.faulted and b.faulted else (True, both)
    unlike = values_differ(a.value, b.value)
    if unlike is True:
        return True, both
    states, why = states_differ(one, two, any_)
    if unlike is False:
        return states, f"{both}; {why}"
    return or_(unlike, states), f"{both}; or {why}"


def values_differ(a: Any, b: Any) -> Bool:
    for one, other in ((a, b), (b, a)):
        if isinstance(one, Addr):
            if one.byte:
                return True
            page = other.page if isinstance(other, Addr) else other
            return not_(eq(one.page, page))
    if isinstance(a, z3.ArithRef) or isinstance(b, z3.ArithRef):
        return not_(eq(a, b))
    differ: Bool = a != b
    return differ


def states_differ(a: BoundedKernel, b: BoundedKernel, any_: tuple[Any, Any, Any]) -> tuple[Bool, str]:
    """The two address spaces differ: in a VMA, map_count, the break, a page, or what an object holds."""
    if len(a.vmas) != len(b.vmas):
        return True, f"{len(a.vmas)} VMAs are left, and {len(b.vmas)}"
    wrong: list[Bool] = [not_(eq(a.counter, b.counter)), not_(eq(a.brk, b.brk))]
    for x, y in zip(a.vmas, b.vmas, strict=True):
        if x is not y:
            wrong += [not_(eq(getattr(x, n), getattr(y, n))) for n in ("start", "end", *ATTRIBUTES)]
    page, object_, offset = any_
    wrong.append(not_(same_page(a.page(page), b.page(page))))
    wrong.append(not_(eq(a.stored(object_, offset), b.stored(object_, offset))))
    return or_(*wrong), "the address spaces differ afterwards"
