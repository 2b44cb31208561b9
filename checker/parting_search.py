"""Where two editions part only because one merges and the other does not: an exact search of small address spaces.

The unbounded reading leaves merges open, so that its models are of little use there. Neighbouring VMAs of anonymous
memory are all that it takes: with and without what the call would give them, never written or written (alone or with a
common anon_vma), with room under the map-count limit or without.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any, Final

from checker.concrete import State
from checker.examples import Example
from checker.parting import Parted, part
from checker.search_letters import WINDOW, Area, Letter, decoded, letters_of
from spec.advice import ADVICE
from spec.editions import Edition
from spec.properties import Property
from spec.vma import RANDOM, Vma

MOST_VMAS: Final = 3
MOST_PAGES: Final = 5
ROOM: Final = (None, 0, 1, -1)
"""How many VMAs fit under the map-count limit; None: as many as anyone wants."""
_MARKS: Final[dict[str, dict[str, Any]]] = {
    "mseal": {"sealed": True},
    "mlock": {"locked": True},
    "munlock": {"locked": True},
    "madvise": {"reading": RANDOM},
}
"""What a VMA has that the call gave it before; for other calls, it is read-only."""


def search_small(prop: Property, editions: tuple[Edition, Edition], call: str) -> Parted | None:
    """The smallest address space of the search on which the editions part in the way that the property excludes; None
    if there is none, which proves nothing."""
    for state, pages in _states(call):
        for letter in _letters(call, pages, editions):
            arguments = decoded(editions[0], letter)
            if arguments is None or not _differ(Example(state, call, arguments), editions):
                continue
            found = part(prop, state, editions, call, letter.words)
            if found is not None:
                return found
    return None


def _letters(call: str, pages: int, editions: tuple[Edition, Edition]) -> list[Letter]:
    kinds = ("anonymous rw", "anonymous r")
    return letters_of(call, Area(WINDOW, pages), editions[0], kinds=kinds, advice=(ADVICE["MADV_RANDOM"],))


def _differ(example: Example, editions: tuple[Edition, Edition]) -> bool:
    """Something at all is different: a quick test, before pages are compared."""
    ends = []
    for edition in editions:
        transition, after = example.run(edition)
        ends.append(
            (transition.errno, transition.value, transition.after.map_count, after.vmas, after.pages, after.brk)
        )
    return ends[0] != ends[1]


def _states(call: str) -> Iterator[tuple[State, int]]:
    """Address spaces with the number of their pages: fewest VMAs first, then fewest pages, then plainest."""
    plain = Vma(start=0, end=0, read=True, write=True)
    marked = replace(plain, **_MARKS.get(call, {"write": False}))
    for count in range(1, MOST_VMAS + 1):
        written = (0, 1, 2) if count < MOST_VMAS else (0, 1)
        kinds = [replace(vma, anon_vma=anon_vma) for vma in (plain, marked) for anon_vma in written]
        sizes = [some for some in product((1, 2, 3), repeat=count) if sum(some) <= MOST_PAGES]
        for size in sorted(sizes, key=lambda some: (sum(some), some)):
            for free in ROOM:
                for chosen in product(kinds, repeat=count):
                    yield _state(size, chosen, free), sum(size)


def _state(sizes: tuple[int, ...], kinds: tuple[Vma, ...], free: int | None) -> State:
    vmas, at = [], WINDOW
    for size, kind in zip(sizes, kinds, strict=True):
        vmas.append(replace(kind, start=at, end=at + size, offset=at))
        at += size
    state = State(vmas=vmas, start_brk=WINDOW // 2, brk=WINDOW // 2, elsewhere=3)
    if free is not None:
        state.elsewhere = state.max_map_count - free - len(vmas)
    return state
