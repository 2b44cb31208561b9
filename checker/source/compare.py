# SPDX-License-Identifier: MIT
"""The body of a call over every layout of N VMAs: the C and the specification from the same window, on the same path.

A path on which they part is a counterexample, if a solver finds one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import z3

from checker.bounded import Window
from checker.calls import symbolic_arguments
from checker.layout import NO_VMA
from checker.paths import Run, TooManyPaths, explore
from checker.source.bridge import errno_of
from checker.source.errors import Fault
from checker.source.machine import Machine
from checker.source.source import Source
from checker.source.space import BoundedKernel, repeatable
from checker.source.subjects import Subject
from checker.source.values import Addr
from spec.editions import Edition
from spec.errors import Errno
from spec.space import same_page
from spec.syscalls import CALLS
from spec.terms import Bool, eq, not_, or_
from spec.vma import ATTRIBUTES, well_formed_page

MOST_PATHS = 200_000


class OutOfTime(Exception):
    """The time for a comparison is over."""


@dataclass(slots=True)
class Apart:
    """A path on which the two part: what holds on it, and how they end."""

    why: str
    conditions: list[z3.BoolRef]
    window: Window
    arguments: Any
    free: dict[str, Bool]
    killed: bool = False


@dataclass(slots=True)
class BodyEnd:
    """What came of the windows of one size."""

    paths: int = 0
    apart: Apart | None = None
    undecided: str = ""
    fields: set[str] = field(default_factory=set)


def background_of(window: Window, arguments: Any, edition: Edition) -> list[z3.BoolRef]:
    """What holds of every case."""
    return [f for f in [*window.well_formed(), *arguments.facts(edition)] if isinstance(f, z3.ExprRef)]


def _page_facts(window: Window, page: Any) -> list[z3.BoolRef]:
    if window.vmas:
        return window.page_facts(page)
    fact = well_formed_page(False, NO_VMA, window.page(page))
    return [fact] if isinstance(fact, z3.ExprRef) else []


def run_c(
    source: Source, space: Any, subject: Subject, given: list[Any], note: Callable[[Machine], None]
) -> tuple[Any, Machine]:
    """Execute the C over a space: (what it returns, or the Fault; the machine)."""
    machine = Machine(source, space, space)
    if not subject.whole:
        machine.lock = "write"
    try:
        result = machine.enter(subject.entry, given) if subject.whole else machine.call(subject.entry, given, None)
        return errno_of(subject.as_result(result)), machine
    except Fault as fault:
        return fault, machine
    finally:
        note(machine)


def compare_bodies(
    source: Source,
    subject: Subject,
    edition: Edition,
    n: int,
    deadline: float,
    note: Callable[[Machine], None] = lambda machine: None,
) -> BodyEnd:
    """Compare over all layouts of exactly N VMAs. Raises NotCovered, OutOfTime, TooManyPaths."""
    window = Window(n)
    arguments = symbolic_arguments(CALLS[subject.call].decoded)
    free: dict[str, Bool] = {name: z3.Bool(f"free_{name}") for name in subject.free}
    background = background_of(window, arguments, edition)
    background += [f for f in subject.facts(arguments) if isinstance(f, z3.ExprRef)]
    page, object_, offset = z3.Int("any_page"), z3.Int("any_object"), z3.Int("any_offset")

    def run(path: Run) -> Any:
        if time.monotonic() > deadline:
            raise OutOfTime
        answers = repeatable(path)
        one = BoundedKernel(window, edition, answers)
        spec = subject.spec(one, arguments)
        two = BoundedKernel(window, edition, answers)
        c, machine = run_c(source, two, subject, subject.given(arguments, free), note)
        return spec, c, machine, one, two

    background += _page_facts(window, page)
    end = BodyEnd()
    solver = z3.Solver()
    solver.add(background)
    for explored in explore(run, lambda: background, limit=MOST_PATHS):
        end.paths += 1
        spec, c, machine, one, two = explored.outcome
        if machine.killed:
            differ, why = _killed(c, two, window)
        else:
            differ, why = _differ(spec, c, one, two, (page, object_, offset))
        if differ is False:
            continue
        solver.push()
        solver.add(explored.conditions)
        solver.add(differ)
        solver.set("timeout", max(1, int(1000 * (deadline - time.monotonic()))))
        answer = solver.check()
        if answer == z3.sat:
            conditions = [*background, *explored.conditions, *([differ] if isinstance(differ, z3.ExprRef) else [])]
            end.apart = Apart(why, conditions, window, arguments, free, machine.killed)
            return end
        solver.pop()
        if answer == z3.unknown:
            end.undecided = "the solver gave no answer"
            return end
    return end


def _killed(c: Any, two: BoundedKernel, window: Window) -> tuple[Bool, str]:
    if isinstance(c, Fault):
        return True, f"killed while it waits for the lock, the C goes wrong: {c}"
    if c != -4 or list(two.vmas) != list(window.vmas):
        return True, f"killed while it waits for the lock, the C returns {c} and not EINTR, or has changed something"
    return False, ""


def ended(spec: tuple[Errno, str, Any]) -> str:
    """How the specification ends, in words."""
    errno, check, _ = spec
    return errno.name + (f" ({check})" if check else "") if errno else "success"


def _differ(spec: Any, c: Any, one: BoundedKernel, two: BoundedKernel, any_: tuple[Any, Any, Any]) -> tuple[Bool, str]:
    errno, _, value = spec
    if isinstance(c, Fault):
        return True, f"the C goes wrong: {c}; the specification: {ended(spec)}"
    if errno is Errno.OK and isinstance(c, Addr):
        if c.byte:
            return True, "the C returns an address within a page"
        unlike = not_(eq(c.page, value))
    else:
        wanted = -int(errno) if errno else value
        unlike = c != wanted
    if unlike is True:
        return True, f"the C returns {named(c)}, the specification: {ended(spec)}"
    states, why = states_differ(one, two, any_)
    if unlike is False:
        return states, why
    return or_(unlike, states), f"the C returns something else than the specification ({ended(spec)}), or {why}"


def named(value: Any) -> str:
    """A result in words: an errno by its name."""
    if isinstance(value, int) and -4096 < value < 0:
        return Errno(-value).name if -value in set(Errno) else f"error {-value}"
    return "success" if value == 0 and isinstance(value, int) else str(value)[:60]


def states_differ(a: BoundedKernel, b: BoundedKernel, any_: tuple[Any, Any, Any]) -> tuple[Bool, str]:
    """The two address spaces differ: in a VMA, map_count, the break, a page, or what an object holds."""
    if len(a.vmas) != len(b.vmas):
        return True, f"the specification leaves {len(a.vmas)} of the VMAs, the C {len(b.vmas)}"
    wrong: list[Bool] = [not_(eq(a.counter, b.counter)), not_(eq(a.brk, b.brk))]
    for x, y in zip(a.vmas, b.vmas, strict=True):
        if x is not y:
            wrong += [not_(eq(getattr(x, n), getattr(y, n))) for n in ("start", "end", *ATTRIBUTES)]
    page, object_, offset = any_
    wrong.append(not_(same_page(a.page(page), b.page(page))))
    wrong.append(not_(eq(a.stored(object_, offset), b.stored(object_, offset))))
    return or_(*wrong), "the address spaces differ afterwards"


__all__ = ["Apart", "BodyEnd", "OutOfTime", "TooManyPaths", "compare_bodies", "ended", "named", "run_c", "states_differ"]
