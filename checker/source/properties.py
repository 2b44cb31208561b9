# SPDX-License-Identifier: MIT
"""The properties decided on a side itself, for layouts of a few VMAs: of C no edition is asked for a verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import z3

from checker.concrete import State
from checker.examples import ConcreteSnapshot, Example
from checker.paths import TooManyPaths
from checker.source.compare import Apart, OutOfTime, paths
from checker.source.compare import Case as Symbolic
from checker.source.example import Case, example_of
from checker.source.sides import Ended, Side
from checker.source.space import BoundedKernel
from checker.source.subjects import Subject
from checker.source.values import Addr
from spec.editions import Edition
from spec.errors import Errno
from spec.properties import PROPERTIES, Property
from spec.terms import and_, not_, whole
from spec.transition import Transition


@dataclass(slots=True)
class Decided:
    """A property of one side."""

    verdict: str = "holds"
    """holds, refuted, unknown"""
    vmas: int = -1
    """The largest layouts that were asked."""
    case: Case | None = None


def asked(subject: Subject, edition: Edition) -> list[Property]:
    """The properties that can be asked of one call over a window. Not those that presuppose something of every page."""
    return [
        p
        for p in PROPERTIES.values()
        if subject.call in p.calls and p.every is None and p.none is None and edition.system in p.promised_by
    ]


def _transition(subject: Subject, arguments: Any, end: Ended, before: Any, after: Any) -> Transition | None:
    value = end.value
    if isinstance(value, Addr):
        return Transition(subject.call, arguments, Errno.OK, value.page, "", before, after)
    if isinstance(value, int) and value < 0 and -value in set(Errno):
        return Transition(subject.call, arguments, Errno(-value), -1, end.check, before, after)
    if isinstance(value, int) and value >= 0:
        return Transition(subject.call, arguments, Errno.OK, value, end.check, before, after)
    return None


def decide_properties(subject: Subject, edition: Edition, side: Side, vmas: int, deadline: float) -> dict[str, Decided]:
    """Decide each for layouts of one VMA and more, as far as the time goes. Raises NotCovered."""
    properties = asked(subject, edition)
    found = {p.name: Decided() for p in properties}
    try:
        for n in range(1, vmas + 1):
            _decide(subject, edition, side, n, deadline, properties, found)
            for decided in found.values():
                if decided.verdict == "holds":
                    decided.vmas = n
    except (OutOfTime, TooManyPaths):
        pass
    for decided in found.values():
        if decided.verdict == "holds" and decided.vmas < 1:
            decided.verdict = "unknown"
    return found


def _decide(
    subject: Subject, edition: Edition, side: Side, n: int, deadline: float, properties: list[Property],
    found: dict[str, Decided],
) -> None:  # fmt: skip
    case = Symbolic(subject, edition, n)
    page, second = z3.Int("page"), z3.Int("second_page")
    case.background += [*case.page_facts(page), *case.page_facts(second)]
    untouched = BoundedKernel(case.window, edition, None).snapshot()
    for explored in paths(case, subject, edition, (side,), deadline):
        end, space = explored.outcome[0]
        if end.killed or end.faulted:
            continue
        transition = _transition(subject, case.arguments, end, untouched, space.snapshot())
        if transition is None:
            continue
        for prop in properties:
            decided = found[prop.name]
            if decided.verdict != "holds" or not prop.outcomes(transition):
                continue
            pages = (page, second) if prop.second else (page,)
            goal = and_(prop.when(transition, *pages), not_(prop.holds(transition, *pages)))
            if goal is False:
                continue
            asked = z3.BoolVal(True) if isinstance(goal, bool) else goal
            answer = explored.ask(asked, max(1, int(1000 * (deadline - time.process_time()))))
            if answer == z3.sat:
                conditions = [*case.background, *explored.conditions]
                conditions += [goal] if isinstance(goal, z3.BoolRef) else []
                apart = Apart("", conditions, case.window, case.arguments, case.free)
                decided.verdict, decided.vmas = "refuted", n
                decided.case = _confirmed(apart, subject, edition, side, prop)
            elif answer == z3.unknown:
                decided.verdict, decided.vmas = "unknown", n


class _Untouched:
    """Leaves everything as it is: the side that an example is compared with."""

    name = "before"

    def run(self, space: Any, subject: Subject, arguments: Any, free: Any) -> Ended:
        return Ended(0)


def _confirmed(apart: Apart, subject: Subject, edition: Edition, side: Side, prop: Property) -> Case | None:
    """A concrete case in which the executed side breaks the property."""
    return example_of(
        apart, subject, edition, _Untouched(), side, lambda case: _breaks(case, subject, edition, side, prop)
    )


def _breaks(case: Case, subject: Subject, edition: Edition, side: Side, prop: Property) -> bool:
    state: State = case.before
    end = case.second
    errno = Errno.OK if end.result == "success" else Errno[end.result] if end.result in Errno.__members__ else None
    if errno is None:
        return False
    before = ConcreteSnapshot(state, edition)
    after = ConcreteSnapshot(end.after, edition, whole(end.map_count))
    transition = Transition(subject.call, case.arguments, errno, 0 if errno is Errno.OK else -1, "", before, after)
    if not prop.outcomes(transition):
        return False
    pages = Example(state, subject.call, case.arguments).pages(end.after)
    pairs = ((p, q) for p in pages for q in pages) if prop.second else ((p,) for p in pages)
    return any(prop.when(transition, *q) and not prop.holds(transition, *q) for q in pairs)
