# SPDX-License-Identifier: MIT
"""Explore a call in the unbounded reading, and its argument stage in 64-bit vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import z3

from checker.answers import is_sat
from checker.paths import Run, explore
from checker.sources import Source
from checker.unbounded import UnboundedSpace, World
from spec.arguments import Decoded
from spec.editions import Edition
from spec.errors import Errno
from spec.space import Done, Guards, Refused
from spec.syscalls import CALLS, Call
from spec.terms import Bool, Num
from spec.transition import Transition

PREFIX = "arg_"
"""Names of the solver's constants for decoded arguments begin so."""


def symbolic_arguments(kind: type[Decoded]) -> Any:
    """A record of arguments, each an unknown."""
    values: dict[str, object] = {}
    for f in fields(kind):
        if "tuple" in str(f.type):
            values[f.name] = tuple(z3.Bool(f"{PREFIX}{f.name}{i}") for i in range(16))
        else:
            values[f.name] = z3.Bool(PREFIX + f.name) if f.type == "Bool" else z3.Int(PREFIX + f.name)
    return kind(**values)


def concrete_arguments(symbolic: Decoded, model: z3.ModelRef) -> Any:
    """The values that a model gives to the arguments."""

    def value(term: object) -> object:
        if isinstance(term, tuple):
            return tuple(value(t) for t in term)
        if isinstance(term, z3.BoolRef):
            return z3.is_true(model.eval(term, model_completion=True))
        if isinstance(term, z3.ArithRef):
            return model.eval(term, model_completion=True).as_long()
        return term

    return type(symbolic)(**{f.name: value(getattr(symbolic, f.name)) for f in fields(symbolic)})


@dataclass(frozen=True, slots=True)
class CallPath:
    """One way through a call's body."""

    conditions: tuple[z3.BoolRef, ...]
    transition: Transition
    space: UnboundedSpace
    number: int = 0
    """Which one it is, in the order in which they were explored."""
    forks: int = 0
    """How many decisions it was the first to find open."""


@dataclass(frozen=True, slots=True)
class ExploredCall:
    """A call's body in the unbounded reading: all its paths from an arbitrary well-formed address space."""

    call: Call
    edition: Edition
    world: World
    arguments: Any
    paths: tuple[CallPath, ...]
    count: int = 0
    """How many paths there are: one more than decisions that were found open. What is said of every path must have been
    said of so many."""


def finish(space_call: Any) -> tuple[Errno, str, Num]:
    """Run a body: (errno, deciding check, value)."""
    try:
        return Errno.OK, "", space_call()
    except Refused as refused:
        return refused.errno, refused.check, -1
    except Done as done:
        return Errno.OK, done.check, done.value


def explore_body(name: str, edition: Edition) -> ExploredCall:
    """All paths of a call's body."""
    explored, found = walk_body(name, edition)
    paths = tuple(found)
    return replace(explored, paths=paths, count=1 + sum(path.forks for path in paths))


def walk_body(name: str, edition: Edition, dropped: str | None = None) -> tuple[ExploredCall, Iterator[CallPath]]:
    """A call's body, its paths still to be explored one by one; `dropped` names a check to leave out (a mutant)."""
    call, world = CALLS[name], World()
    arguments = symbolic_arguments(call.decoded)
    facts = [fact for fact in arguments.facts(edition) if not isinstance(fact, bool)]

    def run(path: Run) -> tuple[Transition, UnboundedSpace]:
        path.assume_all(facts, Source("arguments", "what the argument stage ensures (lemma bridge)"))
        space = UnboundedSpace(world, edition, path, dropped=dropped)
        before = space.snapshot()
        errno, check, value = finish(lambda: call.body(space, arguments))
        return Transition(name, arguments, errno, value, check, before, space.snapshot()), space

    found = explore(run, lambda: world.axioms)
    paths = (CallPath(e.conditions, *e.outcome, i, e.forks) for i, e in enumerate(found))
    return ExploredCall(call, edition, world, arguments, ()), paths


class _WordPath(Guards):
    def __init__(self, edition: Edition, run: Run, dropped: str | None) -> None:
        self.edition, self.run, self.dropped = edition, run, dropped
        self.checks: list[str] = []

    def decide(self, cond: Bool) -> bool:
        return self.run.decide(cond)

    def skipped(self, check: str) -> bool:
        self.checks.append(check)
        return check == self.dropped


@dataclass(frozen=True, slots=True)
class WordPath:
    """One way through a call's argument stage, over 64-bit vectors."""

    conditions: tuple[z3.BoolRef, ...]
    errno: Errno
    check: str
    decoded: Any
    """The decoded arguments if the stage goes on to the body, else None."""
    checks: tuple[str, ...]
    """The checks that the path came to, in order."""


def words_of(call: Call) -> dict[str, z3.BitVecRef]:
    """The call's arguments as 64-bit unknowns."""
    return {name: z3.BitVec(name, 64) for name in call.words}


@cache
def explore_arguments(name: str, edition: Edition, dropped: str | None = None) -> tuple[WordPath, ...]:
    """All paths of a call's argument stage."""
    call = CALLS[name]
    words = words_of(call)

    def run(path: Run) -> tuple[Errno, str, Any, tuple[str, ...]]:
        guards = _WordPath(edition, path, dropped)
        decoded = None

        def stage() -> int:
            nonlocal decoded
            decoded = call.arguments(guards, *words.values())
            return 0

        errno, check, _ = finish(stage)
        return errno, check, decoded, tuple(guards.checks)

    return tuple(WordPath(e.conditions, *e.outcome) for e in explore(run, list))


def words_for(
    name: str, edition: Edition, values: Decoded, also: Iterable[z3.BoolRef] = ()
) -> Mapping[str, int] | None:
    """Words that the argument stage turns into these decoded arguments, and for which `also` holds, the least of them,
    whole pages where that is possible; None if there are none. Raises GaveUp where the solver cannot tell."""
    call = CALLS[name]
    words = words_of(call)
    for path in explore_arguments(name, edition):
        if path.decoded is None:
            continue
        solver = z3.Solver()
        solver.add(path.conditions)
        solver.add(*also)
        for f in fields(values):
            made, wanted = getattr(path.decoded, f.name), getattr(values, f.name)
            pairs = zip(made, wanted, strict=True) if isinstance(wanted, tuple) else [(made, wanted)]
            for term, value in pairs:
                number = value if isinstance(value, bool) else value % (1 << 64)
                known = term if isinstance(term, bool | z3.ExprRef) else term % (1 << 64)
                solver.add(known == number)
        if is_sat(solver):
            return {name: _least(solver, word) for name, word in words.items()}
    return None


def _least(solver: z3.Solver, word: z3.BitVecRef) -> int:
    """The least value that the word can have, of whole pages if it can; it is asserted to have that."""
    solver.push()
    solver.add(word & 0xFFF == 0)
    if solver.check() != z3.sat:
        solver.pop()
        solver.check()
    for bit in reversed(range(word.size())):
        if solver.model().eval(word, model_completion=True).as_long() >> bit & 1:
            solver.push()
            solver.add(z3.Extract(bit, bit, word) == 0)
            if solver.check() != z3.sat:
                solver.pop()
                solver.add(z3.Extract(bit, bit, word) == 1)
                solver.check()
        else:
            solver.add(z3.Extract(bit, bit, word) == 0)
    found: int = solver.model().eval(word, model_completion=True).as_long()
    solver.add(word == found)
    return found
