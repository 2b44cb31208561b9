"""Explore a call: run its function once for each path that its symbolic decisions can take.

A call is plain Python; where it asks `decide(cond)` of a symbolic condition, both answers are explored. Each run replays
the decisions so far and then takes a new one, so that a call needs nothing but to be deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import z3

from spec.terms import Bool

Outcome = TypeVar("Outcome")


class TooManyPaths(Exception):
    """The exploration was cut off: its result would not be exhaustive."""


@dataclass(slots=True)
class Run:
    """One run: the decisions taken so far, and the facts that hold on it."""

    solver: z3.Solver
    prefix: list[bool]
    decisions: list[bool] = field(default_factory=list)
    conditions: list[z3.BoolRef] = field(default_factory=list)
    open: list[list[bool]] = field(default_factory=list)
    queries: int = 0
    asserted: int = 0

    def assume(self, fact: Bool) -> None:
        """Add a fact to the path."""
        if isinstance(fact, z3.ExprRef):
            self.conditions.append(fact)
        elif not fact:
            self.conditions.append(z3.BoolVal(False))

    def decide(self, cond: Bool) -> bool:
        """Answer a decision: as replayed, as forced, or the first of two, with the second left to explore."""
        if not isinstance(cond, z3.ExprRef):
            return cond
        step = len(self.decisions)
        if step < len(self.prefix):
            answer = self.prefix[step]
        else:
            yes, no = self._possible(cond), self._possible(z3.Not(cond))
            if yes and no:
                self.open.append([*self.decisions, False])
            answer = yes or not no
        self.decisions.append(answer)
        self.conditions.append(cond if answer else z3.Not(cond))
        return answer

    def _possible(self, cond: z3.BoolRef) -> bool:
        self.queries += 1
        while self.asserted < len(self.conditions):
            self.solver.add(self.conditions[self.asserted])
            self.asserted += 1
        self.solver.push()
        self.solver.add(cond)
        answer = self.solver.check()
        self.solver.pop()
        return answer != z3.unsat


@dataclass(frozen=True, slots=True)
class Explored(Generic[Outcome]):
    """A path: what holds on it, and what the run returned."""

    conditions: tuple[z3.BoolRef, ...]
    outcome: Outcome


def explore(
    run: Callable[[Run], Outcome], background: Callable[[], list[z3.BoolRef]], *, limit: int = 20_000
) -> Iterator[Explored[Outcome]]:
    """All paths of `run`, depth first. `background` holds on every path; it may grow while runs are made.

    Raises TooManyPaths after `limit` paths.
    """
    pending: list[list[bool]] = [[]]
    count = 0
    while pending:
        count += 1
        if count > limit:
            raise TooManyPaths(f"more than {limit} paths")
        solver = z3.SimpleSolver()
        solver.add(background())
        this = Run(solver, pending.pop())
        outcome = run(this)
        pending.extend(this.open)
        yield Explored(tuple(this.conditions), outcome)
