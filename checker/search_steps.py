# SPDX-License-Identifier: MIT
"""One step of explicit-state search: a state in canonical form, and a call that was made on it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Final, cast

from checker.concrete import State
from checker.documents.base import FIRST_FRESH, HEAP_PAGE
from checker.examples import ConcreteSnapshot, Example
from checker.search_letters import FILE_CONTENTS, OBJECT, Letter, decoded
from spec.editions import Edition
from spec.properties import Property
from spec.terms import whole
from spec.transition import Transition
from spec.vma import Vma


def empty_space(file_pages: int, free: int | None = None) -> State:
    """An empty address space with a file of so many pages that nothing maps. `free`: so many VMAs, those elsewhere
    included, may be made until map_count reaches its limit; None leaves it far away."""
    state = State(start_brk=HEAP_PAGE, brk=HEAP_PAGE)
    state.sizes = {OBJECT: file_pages}
    state.objects = {(OBJECT, n): FILE_CONTENTS + n for n in range(file_pages)}
    if free is not None:
        state.elsewhere = state.max_map_count - free
    return state


_PLAIN = attrgetter(*(f.name for f in fields(Vma) if f.name not in ("object", "anon_vma")))


def canonical(state: State) -> Hashable:
    """The state up to the numbers of the objects and anon_vmas that calls made: equal exactly if no call sequence can
    tell two states apart by anything but those numbers. Objects that nothing maps any more are left out."""
    objects, anon_vmas = {0: 0}, {0: 0}
    rows = []
    for vma in state.vmas:
        object, anon_vma = whole(vma.object), whole(vma.anon_vma)
        number = objects.setdefault(object, object if object <= FIRST_FRESH else -len(objects))
        rows.append((_PLAIN(vma), number, anon_vmas.setdefault(anon_vma, len(anon_vmas))))
    objects.update((given, given) for given in state.sizes if given <= FIRST_FRESH)
    return (
        tuple(rows),
        frozenset((n, p.copied, p.own, p.lazy, p.guard) for n, p in state.pages.items()),
        frozenset((objects[n], at, value) for (n, at), value in state.objects.items() if n in objects),
        frozenset((objects[n], pages) for n, pages in state.sizes.items() if n in objects),
        state.elsewhere,
        state.max_map_count,
        state.brk,
        state.pkru,
        state.exec_key,
        frozenset(state.pkeys),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge(Example):
    """An example that was run already: checker.examples judges it without running it again."""

    letter: Letter
    transition: Transition
    after: State

    def run(self, edition: Edition, dropped: str | None = None) -> tuple[Transition, State]:
        """What happened. The edition is the one that it was made with; no check can be dropped any more."""
        return self.transition, self.after


class _Before:
    """A transition of which only the state before the call is known."""

    __slots__ = ("before",)

    def __init__(self, before: ConcreteSnapshot) -> None:
        self.before = before


UNMAPPED: Final = 1 << 34
"""A page far from everything, where nothing is mapped: it stands for all of those."""


class Start:
    """A state from which letters are tried."""

    def __init__(self, state: State, edition: Edition) -> None:
        self.state = state
        self.edition = edition
        self.snapshot = ConcreteSnapshot(state, edition)

    def may_break(self, prop: Property) -> bool:
        """False if no call at all can break the property from here: its `when` is false at every page, and needs only
        the state before the call to be so. This is what directs a search: most properties speak of sealed pages only.
        """
        pages = [*Example(self.state, "", None).pages(self.state), UNMAPPED]
        places = ((p, q) for p in pages for q in pages) if prop.second else ((p,) for p in pages)
        before = cast(Transition, _Before(self.snapshot))
        try:
            return any(prop.when(before, *place) for place in places)
        except AttributeError:  # it asks for the call or for what comes after
            return True

    def edge(self, letter: Letter) -> Edge | None:
        """Make the call on a copy of the state; None if it ends in its argument stage, which changes nothing."""
        arguments = decoded(self.edition, letter)
        if arguments is None:
            return None
        made, after = Example(self.state, letter.call, arguments, letter.failures).run(self.edition)
        count = whole(made.after.map_count)
        seen = replace(made, before=self.snapshot, after=ConcreteSnapshot(after, self.edition, count))
        return Edge(self.state, letter.call, arguments, letter.failures, letter=letter, transition=seen, after=after)
