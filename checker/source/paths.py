# SPDX-License-Identifier: MIT
"""Exploring two sides on one path: as checker/paths.py, for runs that ask the same again and again.

The second side asks most of what the first one has asked. A condition that was decided on the path is not decided
again, and the model of a path that is known to be possible answers for one of two branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import z3

from checker.paths import TooManyPaths
from spec.terms import Bool

Outcome = TypeVar("Outcome")
MOST_MILLISECONDS = 10_000
"""For one question."""


@dataclass(frozen=True, slots=True)
class Explored(Generic[Outcome]):
    """A path: what holds on it, and what the run returned."""

    conditions: tuple[z3.BoolRef, ...]
    outcome: Outcome
    ask: Callable[[z3.BoolRef, int], z3.CheckSatResult]
    """Whether something more can hold on the path, within so many milliseconds; before the next one is taken."""
    model_of: Callable[[z3.BoolRef], tuple[bool, z3.ModelRef | None]]
    """As `ask`, and a model if there is one that the solver can find."""


@dataclass(slots=True)
class _Open:
    """A path that is still to be taken: its decisions, and a model of it if one is known."""

    decisions: list[bool]
    model: z3.ModelRef | None


class _Solver:
    """A solver with a scope for each decision of the run at hand."""

    def __init__(self, background: list[z3.BoolRef]) -> None:
        self.solver = z3.SimpleSolver()
        self.solver.set("timeout", MOST_MILLISECONDS)  # where it cannot tell, both answers are explored
        self.solver.add(*background)
        self.depth = 0

    def back_to(self, depth: int) -> None:
        """Drop the scopes of all decisions after the first `depth`."""
        if self.depth > depth:
            self.solver.pop(self.depth - depth)
            self.depth = depth

    def enter(self, cond: z3.BoolRef) -> None:
        """A decision is taken."""
        self.solver.push()
        self.depth += 1
        self.solver.add(cond)

    def ask(self, cond: z3.BoolRef, milliseconds: int) -> z3.CheckSatResult:
        """Whether the condition can hold besides."""
        self.solver.push()
        self.solver.add(cond)
        self.solver.set("timeout", milliseconds)
        answer: z3.CheckSatResult = self.solver.check()
        self.solver.set("timeout", MOST_MILLISECONDS)
        self.solver.pop()
        return answer

    def model_of(self, cond: z3.BoolRef) -> tuple[bool, z3.ModelRef | None]:
        """The condition can be true, as far as the solver can tell, and a model in which it is."""
        self.solver.push()
        self.solver.add(cond)
        answer = self.solver.check()
        model = self.solver.model() if answer == z3.sat else None
        self.solver.pop()
        return bool(answer != z3.unsat), model


class Path:
    """One run: the decisions taken so far, and what holds on it."""

    def __init__(self, solver: _Solver, start: _Open) -> None:
        self.conditions: list[z3.BoolRef] = []
        self.open: list[_Open] = []
        self._solver = solver
        self._prefix = start.decisions
        self._model = start.model
        self._decisions: list[bool] = []
        self._known: dict[int, bool] = {}
        self._kept: list[z3.ExprRef] = []
        self._replayed = max(0, len(start.decisions) - 1)
        solver.back_to(self._replayed)

    def assume(self, fact: Bool) -> None:
        """Add a fact to the path."""
        if isinstance(fact, z3.BoolRef):
            if self._known.get(fact.get_id()) is not True:
                self._take(fact, free=True, forced=True)
        elif not fact:
            self._take(z3.BoolVal(False), free=True, forced=True)

    def choose(self, choice: z3.BoolRef) -> bool:
        """Answer a decision that is free."""
        return self._take(choice, free=True)

    def decide(self, cond: Bool) -> bool:
        """Answer a decision: as it was, as forced, or the first of two, with the second left to explore."""
        if not isinstance(cond, z3.BoolRef):
            return bool(cond)
        known = self._known.get(cond.get_id())
        return self._take(cond, free=False) if known is None else known

    def entails(self, cond: Bool) -> bool:
        """The condition holds on the path. Where decisions are repeated it was asked before, and held."""
        if not isinstance(cond, z3.BoolRef):
            return cond
        return len(self._decisions) < self._replayed or not self._solver.model_of(z3.Not(cond))[0]

    def _take(self, cond: z3.BoolRef, *, free: bool, forced: bool = False) -> bool:
        step = len(self._decisions)
        if step < len(self._prefix):
            answer = self._prefix[step]
        elif forced:
            answer = True
            self._model = None
        elif free:
            answer = False  # a free choice is mostly that something goes wrong: what goes well is explored first
            self.open.append(_Open([*self._decisions, True], None))
            self._model = None
        else:
            answer = self._feasible(cond)
        self._decisions.append(answer)
        taken = cond if answer else z3.Not(cond)
        if step >= self._replayed:
            self._solver.enter(taken)
        self.conditions.append(taken)
        self._known[cond.get_id()] = answer
        self._kept.append(cond)  # as long as it lives, its number is its own
        return answer

    def _feasible(self, cond: z3.BoolRef) -> bool:
        """Which branch is taken; the other one, if it is possible, is left open."""
        first: bool | None = None
        if self._model is not None:
            value = self._model.eval(cond, model_completion=True)
            first = True if z3.is_true(value) else False if z3.is_false(value) else None
        if first is None:
            possible, self._model = self._solver.model_of(cond)
            if not possible:
                return False
            first = True
        other, model = self._solver.model_of(z3.Not(cond) if first else cond)
        if other:
            self.open.append(_Open([*self._decisions, not first], model))
        return first


class Exploration(Generic[Outcome]):
    """All paths of a run, depth first."""

    def __init__(self, run: Callable[[Path], Outcome], background: list[z3.BoolRef], limit: int) -> None:
        self.run, self.background, self.limit = run, background, limit

    def __iter__(self) -> Iterator[Explored[Outcome]]:
        """Raises TooManyPaths."""
        solver = _Solver(self.background)
        pending = [_Open([], None)]
        count = 0
        while pending:
            count += 1
            if count > self.limit:
                raise TooManyPaths(f"more than {self.limit} paths")
            path = Path(solver, pending.pop())
            outcome = self.run(path)
            pending.extend(path.open)
            yield Explored(tuple(path.conditions), outcome, solver.ask, solver.model_of)
