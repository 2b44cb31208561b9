# SPDX-License-Identifier: MIT
"""Canaries: false theorems that the prover must not prove, each the denial of a transition that was executed.

A hypothesis that is too narrow, a path that is not looked at, an answer of the solver that is taken for another one:
each proves more than is true, and no true theorem shows it. So the other way round: a random address space and a call
are executed by the concrete reading, and the prover is asked to prove that this never happens: not with these
arguments, not with these pages before, those after, and this end. It is the very code that decides theorems, and it
must not succeed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any

import z3

from checker.calls import ExploredCall
from checker.concrete import TooManyPages
from checker.examples import Example
from checker.machine import WordGuards
from checker.prove import Prover
from checker.random_cases import RandomCases, environment_of
from spec.arguments import Decoded
from spec.editions import Edition
from spec.properties import Property
from spec.space import Done, Refused
from spec.syscalls import CALLS
from spec.terms import Bool, Num, all_, and_, eq, lt, not_
from spec.transition import PageView, Snapshot, Transition
from spec.vma import HUGE_PAGES, Page, Vma, starts_huge_page

MOST_PAGES = 5
"""How many pages of the address space a canary fixes: more make no solver slower than it must be, and tell no more."""


@dataclass(frozen=True, slots=True)
class Canary:
    """What happened once: a transition, and the pages that it is told by; the first is the one that stands for all."""

    transition: Transition
    pages: tuple[int, ...]

    @property
    def property(self) -> Property:
        """That it never happens."""
        real = self.transition

        def happens(t: Any, p: Num) -> Bool:
            return and_(eq(p, self.pages[0]), *_same_call(t, real), *_same_states(t, real, self.pages))

        return Property(
            name=f"never {id(self):#x}",
            sentence="This never happens.",
            source="nobody",
            calls=(real.call,),
            outcomes=lambda t: (t.errno, t.check) == (real.errno, real.check),
            holds=lambda t, p: not_(happens(t, p)),
        )


def _same_call(t: Any, real: Transition) -> list[Bool]:
    asked: list[Bool] = [eq(t.value, real.value)]
    to = real.asked(Decoded)
    for f in fields(to):
        mine, its = getattr(t.to, f.name), getattr(to, f.name)
        pairs = zip(mine, its, strict=True) if isinstance(its, tuple) else [(mine, its)]
        asked += [eq(a, b) for a, b in pairs]
    return asked


def _same_states(t: Any, real: Transition, pages: Sequence[int]) -> list[Bool]:
    to = real.asked(Decoded)
    numbers = [*pages, *(n for f in fields(to) if type(n := getattr(to, f.name)) is int and n >= 0)]
    told: list[Bool] = [eq(starts_huge_page(z3.IntVal(n)), n % HUGE_PAGES == 0) for n in dict.fromkeys(numbers)]
    told += [eq(t.before.object_pages(vma.object), real.before.object_pages(vma.object))
             for n in pages if lt(0, (vma := real.before.at(n).vma).object)]  # fmt: skip
    for mine, its in ((t.before, real.before), (t.after, real.after)):
        told += [_same_page(mine.at(z3.IntVal(n)), its.at(n)) for n in pages]
        told += [eq(mine.cut(z3.IntVal(n)), its.cut(n)) for n in pages]
        told += [
            eq(getattr(mine, name), getattr(its, name)) for name in ("map_count", "max_map_count", "brk", "start_brk")
        ]
        told += [eq(mine.write_denied(key), its.write_denied(key)) for key in range(16)]
        told += [eq(mine.access_denied(key), its.access_denied(key)) for key in range(16)]
        told += [eq(mine.pkey_allocated(key), its.pkey_allocated(key)) for key in range(1, 16)]
    return told


def _same_page(mine: PageView, its: PageView) -> Bool:
    if not its.mapped:
        return not_(mine.mapped)
    vma = all_(eq(getattr(mine.vma, f.name), getattr(its.vma, f.name)) for f in fields(Vma))
    page = all_(eq(getattr(mine.page, f.name), getattr(its.page, f.name)) for f in fields(Page))
    return and_(mine.mapped, vma, page, eq(mine.visible, its.visible))


def canary(example: Example, edition: Edition, random: Random) -> Canary:
    """The canary of a call: what it did, told at some of the pages near it. Raises TooManyPages."""
    transition, after = example.run(edition)
    near = example.pages(after)
    changed = [n for n in near if _told(transition.before, n) != _told(transition.after, n)]
    first = random.choice(changed if changed and random.random() < 0.6 else near)
    others = [n for n in dict.fromkeys([*changed, *near]) if n != first]
    return Canary(transition, (first, *sorted(random.sample(others, min(len(others), MOST_PAGES - 1)))))


def _told(snapshot: Snapshot, page: int) -> object:
    view = snapshot.at(page)
    return view.mapped, view.mapped and (view.vma, view.page, view.visible), snapshot.cut(page)


def random_canaries(call: str, edition: Edition, random: Random, count: int) -> list[Canary]:
    """That many canaries of a call, of different endings as far as random cases have such."""
    found: list[Canary] = []
    seen: dict[tuple[str, str], int] = {}
    for _ in range(200 * count):
        if len(found) == count:
            break
        cases = RandomCases(random)
        state = cases.state()
        words = cases.words(call, state, edition)
        try:
            arguments = CALLS[call].arguments(WordGuards(edition), *(words[name] for name in CALLS[call].words))
            example = Example(state, call, arguments)
            asked = environment_of(example, edition) if random.random() < 0.3 else []
            failures = frozenset({random.choice(asked)} if asked else ())
            made = canary(replace(example, failures=failures), edition, random)
        except (Refused, Done, TooManyPages):  # the argument stage ends it, or there is too much to simulate
            continue
        ending = made.transition.errno.name, made.transition.check
        if seen.get(ending, 0) * len(seen) <= len(found):
            seen[ending] = seen.get(ending, 0) + 1
            found.append(made)
    return found


def proved_canaries(explored: ExploredCall, canaries: Iterable[Canary], timeout_ms: int) -> list[Canary]:
    """Those of the canaries that the prover does not take for something that may happen: narrower than what is."""
    by_name = {made.property.name: made for made in canaries}
    examined = Prover(explored, timeout_ms).examine([made.property for made in by_name.values()])
    return [by_name[name] for name, told in examined.items() if not told.opened]
