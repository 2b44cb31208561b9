# SPDX-License-Identifier: MIT
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
from spec.arguments import PageRange
from spec.editions import Edition
from spec.properties import Property
from spec.vma import RANDOM, Vma

MOST_VMAS: Final = 4
ROOM: Final = (None, 0, -1, 1)
"""How many VMAs fit under the map-count limit; None: as many as anyone wants."""
_WRITABLE: Final = {"read": True, "write": True, "account": True}
_KINDS: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "mseal": (_WRITABLE, _WRITABLE | {"sealed": True}),
    "mlock": (_WRITABLE, _WRITABLE | {"locked": True}),
    "munlock": (_WRITABLE | {"locked": True}, _WRITABLE),
    "madvise": (_WRITABLE, _WRITABLE | {"reading": RANDOM}),
}
"""What a VMA may be like: plain, and as the call would leave it."""
_OTHERS: Final = (_WRITABLE, {"read": True}, {"read": True, "account": True})


def search_small(
    prop: Property, editions: tuple[Edition, Edition], call: str, below: tuple[int, int] | None = None
) -> Parted | None:
    """The smallest address space of the search, smaller than `below` (VMAs, pages), on which the editions part in the
    way that the property excludes; None if there is none, which proves nothing."""
    if not _letters(call, 1, editions):
        return None
    for count in range(1, MOST_VMAS + (call in _KINDS)):
        for sizes in sorted(product(*_sizes(count)), key=lambda some: (sum(some), some)):
            if below is not None and (count, sum(sizes)) >= below:
                return None
            letters = [letter for letter in _letters(call, sum(sizes), editions) if _reaches(letter, sizes, editions)]
            for state in _states(call, sizes):
                for letter in letters:
                    found = _parted(prop, state, editions, letter)
                    if found is not None:
                        return found
    return None


def _sizes(count: int) -> list[tuple[int, ...]]:
    """Pages of each VMA: only the first and the last are ever cut."""
    return [(1, 2, 3)[: 2 if count > 2 else 3] if i in (0, count - 1) else (1,) for i in range(count)]


def _letters(call: str, pages: int, editions: tuple[Edition, Edition]) -> list[Letter]:
    kinds, advice = ("anonymous rw", "anonymous r"), (ADVICE["MADV_RANDOM"],)
    return letters_of(call, Area(WINDOW, pages), editions[0], kinds=kinds, advice=advice)


def _reaches(letter: Letter, sizes: tuple[int, ...], editions: tuple[Edition, Edition]) -> bool:
    """Of many VMAs, the call is about all but one at most: what is about fewer was found with fewer."""
    to = decoded(editions[0], letter)
    if len(sizes) < 3 or not isinstance(to, PageRange):
        return True
    first, last = WINDOW + sizes[0], WINDOW + sum(sizes[:-1])
    return bool((to.start < first and to.end > last - sizes[-2]) or (to.end > last and to.start < first + sizes[1]))


def _parted(prop: Property, state: State, editions: tuple[Edition, Edition], letter: Letter) -> Parted | None:
    arguments = decoded(editions[0], letter)
    if arguments is None:
        return None
    ends = []
    for edition in editions:  # does anything at all differ? Only then pages are compared
        t, after = Example(state, letter.call, arguments).run(edition)
        ends.append((t.errno, t.value, t.after.map_count, after.vmas, after.pages, after.brk))
    return part(prop, state, editions, letter.call, letter.words) if ends[0] != ends[1] else None


def _states(call: str, sizes: tuple[int, ...]) -> Iterator[State]:
    """Address spaces of neighbours with so many pages each, plainest first."""
    written = (0, 1, 2) if len(sizes) != 3 or call in _KINDS else (0, 1)
    kinds = [Vma(0, 0, anon_vma=own, **given) for given in _KINDS.get(call, _OTHERS) for own in written]
    rooms = ROOM if len(sizes) < MOST_VMAS else ROOM[1:3]
    for free, chosen in product(rooms, product(kinds, repeat=len(sizes))):
        yield _state(sizes, chosen, free)


def _state(sizes: tuple[int, ...], kinds: tuple[Vma, ...], free: int | None) -> State:
    vmas, at = [], WINDOW
    for size, kind in zip(sizes, kinds, strict=True):
        vmas.append(replace(kind, start=at, end=at + size, offset=at))
        at += size
    state = State(vmas=vmas, start_brk=WINDOW // 2, brk=WINDOW // 2, elsewhere=3)
    if free is not None:
        state.elsewhere = state.max_map_count - free - len(vmas)
    return state
