# SPDX-License-Identifier: MIT
"""The paths of one call under two editions, paired: what both come to from the same arbitrary address space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import z3

from checker.calls import CallPath, ExploredCall, explore_arguments, finish, symbolic_arguments
from checker.joint import ENGINE_READS, NAMES_ONLY, PAGE, Histories, JointSpace, Reads, same_causes
from checker.paths import Run, explore
from checker.unbounded import UnboundedSpace, World
from spec.editions import Edition
from spec.errors import Errno
from spec.layout import OVER_LIMIT
from spec.syscalls import CALLS
from spec.terms import Bool, Num, and_, implies, not_
from spec.transition import Snapshot, Transition
from spec.vma import Page, Vma

LIMIT: Final = 20_000
"""Paths of one call under two editions beyond which the exploration is given up."""


@dataclass(frozen=True, slots=True)
class Pair(Transition):
    """The same call from the same address space: under the first edition, and in `other` under the second."""

    other: Transition


def read_body(name: str, edition: Edition) -> frozenset[str]:
    """The fields of the edition that decide something in a call's body, on some path; those included that only the list
    engine reads. Raises TooManyPaths."""
    call, reads = CALLS[name], Reads(edition)
    recording = cast(Edition, reads)
    arguments = symbolic_arguments(call.decoded)
    paths = _explore(name, recording, World(), Histories(), arguments, arguments.facts(recording), "")
    for path in paths:
        path.space.facts()
    engine = {field for path in paths for effect in path.space.effects for field in ENGINE_READS.get(effect, ())}
    return frozenset(reads.fields | engine) - NAMES_ONLY


def read_arguments(name: str, edition: Edition) -> frozenset[str]:
    """The fields of the edition that decide something in a call's argument stage."""
    reads = Reads(edition)
    explore_arguments.__wrapped__(name, cast(Edition, reads))
    return frozenset(reads.fields) - NAMES_ONLY


@dataclass(frozen=True, slots=True)
class _Single:
    """A path of one edition."""

    transition: Transition
    space: JointSpace


def _explore(
    name: str,
    edition: Edition,
    world: World,
    histories: Histories,
    arguments: Any,
    known: Sequence[Bool],
    tag: str,
    ended: Ended | None = None,
    *,
    guards: bool = True,
) -> list[_Single]:
    call = CALLS[name]
    facts = [fact for fact in known if isinstance(fact, z3.ExprRef)]

    def run(path: Run) -> _Single:
        path.conditions.extend(facts)
        space = JointSpace(world, edition, path, histories, tag, guards=guards)
        before = space.snapshot()
        if ended is None:
            errno, check, value = finish(lambda: call.body(space, arguments))
        else:
            errno, check, value = ended.errno, ended.check, 0 if ended.errno is Errno.OK else -1
        after = space.snapshot()
        for snapshot in (before, after):
            snapshot.at(PAGE), snapshot.cut(PAGE)  # so that the space names what looking there names
        return _Single(Transition(name, arguments, errno, value, check, before, after), space)

    return [found.outcome for found in explore(run, lambda: world.axioms, limit=LIMIT)]


class PairedSpace(UnboundedSpace):
    """What is known on a path of the one edition and a path of the other together."""

    def __init__(self, first: JointSpace, second: JointSpace) -> None:
        self.world, self.spaces = first.world, (first, second)
        self.named = {**first.named, **second.named}
        self.count = first.count
        self.run = cast(Run, _Conditions([*first.run.conditions, *second.run.conditions]))

    def facts(self, rounds: int = 3) -> list[z3.BoolRef]:
        return [fact for space in (*self.spaces, self.spaces[0]) for fact in space.facts_at(self.named, rounds)]

    def place_facts(self) -> list[z3.BoolRef]:
        pages = list(self.named.values())
        known = [fact(page) for space in self.spaces for fact in space.places for page in pages]
        return [fact for fact in known if isinstance(fact, z3.ExprRef)]


@dataclass(frozen=True, slots=True)
class _Conditions:
    """What Run keeps of a path that is done."""

    conditions: list[z3.BoolRef]


@dataclass(frozen=True, slots=True)
class Ended:
    """An edition ends a call in its argument stage."""

    errno: Errno
    """Errno.OK: there is nothing to do."""
    check: str


def explore_pair(
    name: str,
    a: Edition,
    b: Edition,
    *,
    ended: tuple[Ended | None, Ended | None] = (None, None),
    given: Sequence[Bool] = (),
) -> ExploredCall:
    """All paths of a body under two editions that do not contradict each other; each path's transition is a `Pair`.

    Address spaces that only one of the two can have (droppable memory, guard pages) are left out, and those whose
    map_count is more than one above its limit (no document can say them). `ended` says that one
    of them ended in its argument stage; `given` is what is known of the arguments then. Raises TooManyPaths.
    """
    world, histories = World(), Histories()
    arguments = symbolic_arguments(CALLS[name].decoded)
    at_most = z3.Int("map_count") <= z3.Int("max_map_count") + OVER_LIMIT
    known: list[Bool] = [*given, *same_causes(), at_most]
    for edition, stage in zip((a, b), ended, strict=True):
        known += arguments.facts(edition) if stage is None else []
    singles = [
        _explore(name, edition, world, histories, arguments, known, tag, stage, guards=a.guard_pages and b.guard_pages)
        for edition, stage, tag in zip((a, b), ended, ("a:", "b:"), strict=True)
    ]
    for single in singles[0]:
        single.space.every_page.append(_in_both(single.transition.before, a, b))
    pairs = tuple(replace(pair, number=i) for i, pair in enumerate(_pairs(world, *singles)))
    return ExploredCall(CALLS[name], a, world, arguments, pairs, len(pairs))


def _pairs(world: World, first: Sequence[_Single], second: Sequence[_Single]) -> Iterator[CallPath]:
    """The pairs of paths that the solver does not find contradictory: first by what each knows by itself, then by what
    both know of all their pages. A pair of which it cannot tell is kept."""
    solver = z3.SimpleSolver()

    def add(space: UnboundedSpace) -> None:
        solver.add(*space.run.conditions, *space.facts(), *world.axioms_of(space.named))

    for one in first:
        solver.push()
        add(one.space)
        if solver.check() != z3.unsat:
            for other in second:
                solver.push()
                add(other.space)
                if solver.check() != z3.unsat:
                    space = PairedSpace(one.space, other.space)
                    for mine, its in zip(one.space.rooms, other.space.rooms, strict=False):
                        space.run.conditions.extend([*mine.follows(its), *its.follows(mine)])
                    add(space)
                    if solver.check() != z3.unsat:
                        t = one.transition
                        pair = Pair(t.call, t.to, t.errno, t.value, t.check, t.before, t.after, other.transition)
                        yield CallPath(tuple(space.run.conditions), pair, space)
                solver.pop()
        solver.pop()


def _in_both(before: Snapshot, a: Edition, b: Edition) -> Callable[[Num], Bool]:
    """Both editions can have this page."""
    droppable, guards = a.droppable and b.droppable, a.guard_pages and b.guard_pages

    def fact(q: Num) -> Bool:
        here = before.at(q)
        return and_(
            True if droppable else implies(here.mapped, not_(here.vma.droppable)),
            True if guards else not_(here.page.guard),
        )

    return fact


def in_both(vmas: Iterable[Vma], pages: Iterable[Page], a: Edition, b: Edition) -> bool:
    """Both editions can have this concrete address space."""
    droppable, guards = a.droppable and b.droppable, a.guard_pages and b.guard_pages
    return (droppable or not any(vma.droppable for vma in vmas)) and (guards or not any(page.guard for page in pages))
