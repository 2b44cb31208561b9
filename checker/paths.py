# SPDX-License-Identifier: MIT
"""Explore a call: run its function once for each path that its symbolic decisions can take.

A call is plain Python; where it asks `decide(cond)` of a symbolic condition, both answers are explored. Each run
replays the decisions so far and then takes a new one, so that a call needs nothing but to be deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import z3

from checker.sources import UNKNOWN, Source
from spec.terms import Bool

Outcome = TypeVar("Outcome")


class TooManyPaths(Exception):
    """The exploration was cut off: its result would not be exhaustive."""


class LostPaths(Exception):
    """Fewer or more paths were explored than decisions were taken both ways."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """A branch that was not explored, because the solver found it contradictory: what a proof rests on besides."""

    facts: tuple[z3.BoolRef, ...]
    """The conditions of the path up to the branch, and the answer that was ruled out."""
    sources: Mapping[int, Source]
    """Where the conditions come from, by the ids of their terms."""
    background: Callable[[], list[z3.BoolRef]]
    """What holds on every path."""


_PRUNED: ContextVar[list[Pruned] | None] = ContextVar("pruned", default=None)


@contextmanager
def recording_pruned() -> Iterator[list[Pruned]]:
    """Within, the branches that explorations leave out are recorded."""
    found: list[Pruned] = []
    token = _PRUNED.set(found)
    try:
        yield found
    finally:
        _PRUNED.reset(token)


class _Scopes:
    """A solver whose scopes follow the decisions of the run at hand, so that a replay asserts nothing twice."""

    def __init__(self, background: Callable[[], list[z3.BoolRef]]) -> None:
        self.solver = z3.SimpleSolver()
        self.background = background
        self.known = [0]  # for each scope: how many background facts had been asserted when it was current

    def back_to(self, depth: int) -> None:
        """Drop the scopes of all decisions after the first `depth`."""
        while len(self.known) > depth + 1:
            self.solver.pop()
            self.known.pop()

    def assert_all(self, conditions: list[z3.BoolRef]) -> None:
        """Assert conditions, and what the background has gained."""
        facts = self.background()
        self.solver.add(*facts[self.known[-1] :], *conditions)
        self.known[-1] = len(facts)

    def enter(self) -> None:
        """A decision is taken: what follows is in its scope."""
        self.solver.push()
        self.known.append(self.known[-1])

    def possible(self, cond: z3.BoolRef) -> bool:
        """The condition does not contradict what is asserted, as far as the solver can tell: where it cannot, both
        answers are explored, and paths that nothing takes are no harm."""
        self.solver.push()
        self.solver.add(cond)
        answer = self.solver.check()
        self.solver.pop()
        return bool(answer != z3.unsat)


class Run:
    """One run: the decisions taken so far, and the facts that hold on it."""

    def __init__(self, scopes: _Scopes, prefix: list[bool]) -> None:
        self.conditions: list[z3.BoolRef] = []
        self.sources: dict[int, Source] = {}
        """Where each condition (id of its term) comes from."""
        self.open: list[list[bool]] = []
        self.ruled_out: list[tuple[int, z3.BoolRef]] = []
        """Answers that the solver ruled out: how many conditions there were then, and the answer."""
        self._scopes = scopes
        self._prefix = prefix
        self._decisions: list[bool] = []
        self._asserted = 0
        # all scopes but that of the last decision, which is taken the other way now, are as this run will have them
        self._replayed = max(0, len(prefix) - 1)
        scopes.back_to(self._replayed)

    def assume(self, fact: Bool, source: Source = UNKNOWN) -> None:
        """Add a fact to the path."""
        if isinstance(fact, z3.ExprRef):
            self._add(fact, source)
        elif not fact:
            self._add(z3.BoolVal(False), source)

    def assume_all(self, facts: Iterable[Bool], source: Source) -> None:
        """Add facts of one source."""
        for fact in facts:
            self.assume(fact, source)

    def _add(self, fact: z3.BoolRef, source: Source) -> None:
        self.conditions.append(fact)
        if not self.sources.get(fact.get_id(), UNKNOWN).kind:
            self.sources[fact.get_id()] = source

    def choose(self, choice: z3.BoolRef, source: Source = UNKNOWN) -> bool:
        """Answer a decision that is free: a fresh Boolean. Both answers are explored, and no solver is asked."""
        return self._take(choice, source, free=True)

    def decide(self, cond: Bool, source: Source = UNKNOWN) -> bool:
        """Answer a decision: as replayed, as forced, or the first of two, with the second left to explore."""
        return self._take(cond, source, free=False) if isinstance(cond, z3.ExprRef) else cond

    def _take(self, cond: z3.BoolRef, source: Source, *, free: bool) -> bool:
        step = len(self._decisions)
        if step >= self._replayed:
            self._scopes.assert_all(self.conditions[self._asserted :])
        self._asserted = len(self.conditions)
        if step < len(self._prefix):
            answer = self._prefix[step]
        else:
            # a free choice is mostly that something goes wrong: what goes well is explored first
            yes = free or self._scopes.possible(cond)
            no = free or not yes or self._scopes.possible(z3.Not(cond))
            answer = yes and not free
            if yes and no:
                self.open.append([*self._decisions, not answer])
            else:
                self.ruled_out.append((len(self.conditions), z3.Not(cond) if yes else cond))
        self._decisions.append(answer)
        if step >= self._replayed:
            self._scopes.enter()
        self._add(cond if answer else z3.Not(cond), replace(source, answer=answer) if source.kind else source)
        return answer


@dataclass(frozen=True, slots=True)
class Explored(Generic[Outcome]):
    """A path: what holds on it, and what the run returned."""

    conditions: tuple[z3.BoolRef, ...]
    outcome: Outcome
    forks: int
    """How many decisions this run was the first to find open: so many more paths there are."""


def explore(
    run: Callable[[Run], Outcome], background: Callable[[], list[z3.BoolRef]], *, limit: int = 1_000
) -> Iterator[Explored[Outcome]]:
    """All paths of `run`, depth first. `background` holds on every path; it may only grow while runs are made.

    Raises TooManyPaths after `limit` paths, and LostPaths if they are not one more than decisions with two answers.
    """
    scopes = _Scopes(background)
    pending: list[list[bool]] = [[]]
    count, forks, pruned = 0, 0, _PRUNED.get()
    while pending:
        count += 1
        if count > limit:
            raise TooManyPaths(f"more than {limit} paths")
        this = Run(scopes, pending.pop())
        outcome = run(this)
        pending.extend(this.open)
        forks += len(this.open)
        if pruned is not None:
            pruned += [Pruned((*this.conditions[:n], out), this.sources, background) for n, out in this.ruled_out]
        yield Explored(tuple(this.conditions), outcome, len(this.open))
    if count != 1 + forks:
        raise LostPaths(f"{count} paths were explored, and there are {1 + forks}")
