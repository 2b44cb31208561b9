# SPDX-License-Identifier: MIT
"""The alphabets of explicit-state search: finite sets of calls, each with its 64-bit words, on a few pages.

Order matters: letters come plainest first (fewest pages, then smallest numbers, private anonymous memory before files),
and a search that tries them in order finds the plainest of the shortest traces first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from checker import claims
from checker.documents.base import HEAP_PAGE
from checker.documents.scenarios import FAILURES
from spec.advice import ADVICE, DONTFORK, DONTNEED, FREE, PAGEOUT, POPULATE_WRITE, WIPEONFORK, known_advice
from spec.arguments import Decoded
from spec.editions import Edition
from spec.mapping import (
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    NO_FILE,
    PROT_READ,
    PROT_WRITE,
    WRITABLE_FILE,
)
from spec.syscalls import CALLS
from spec.syscalls.mremap import DONTUNMAP, FIXED, MAYMOVE
from spec.vma import RANDOM
from spec.words import PAGE_SHIFT, WORD

WINDOW: Final = 0x2_0000_0000
"""First page of the window in which mappings are made."""
OBJECT: Final = 100
"""The file that may be mapped: as many pages as the window, page i holding FILE_CONTENTS + i."""
FILE_CONTENTS: Final = 0x40
WRITTEN: Final = 1
"""What programs write."""
KEY_0_READ_ONLY: Final = 0x5555_5556
"""A PKRU that denies writes through key 0, and all access through the others."""
RW: Final = PROT_READ | PROT_WRITE


@dataclass(frozen=True, slots=True)
class Letter:
    """One call with its words in the order of `CALLS[call].words`, and what the environment makes fail in it."""

    call: str
    arguments: tuple[int, ...] = ()
    failures: frozenset[str] = frozenset()

    @property
    def words(self) -> dict[str, int]:
        """The arguments by name, each an unsigned 64-bit number."""
        return dict(zip(CALLS[self.call].words, (a % WORD for a in self.arguments), strict=True))


@lru_cache(maxsize=8192)
def decoded(edition: Edition, letter: Letter) -> Decoded | None:
    """What the argument stage makes of the words; None if the call ends there, so that nothing changes, or if the
    edition leaves it out."""
    return claims.decoded(edition, letter.call, tuple(letter.words.values()))


@dataclass(frozen=True, slots=True)
class Area:
    """The pages on which an alphabet acts: `[first, first + pages)`."""

    first: int = WINDOW
    pages: int = 3

    def ranges(self) -> list[tuple[int, int]]:
        """Every range as (first page, number of pages), shortest first."""
        sizes = range(1, self.pages + 1)
        return [(self.first + at, size) for size in sizes for at in range(self.pages - size + 1)]


WHOLE_AREA: Final = Area()


KINDS: Final = {
    "anonymous rw": (RW, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE),
    "anonymous r": (PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE),
    "shared file rw": (RW, MAP_SHARED, WRITABLE_FILE),
    "shared file r": (PROT_READ, MAP_SHARED, WRITABLE_FILE),
    "private file rw": (RW, MAP_PRIVATE, WRITABLE_FILE),
    "private file r": (PROT_READ, MAP_PRIVATE, WRITABLE_FILE),
    "droppable rw": (RW, MAP_DROPPABLE | MAP_ANONYMOUS, NO_FILE),
}
"""What is mapped: protection, flags (MAP_FIXED comes on top) and file."""
PLAIN_KINDS: Final = ("anonymous rw", "anonymous r")


def failing(letters: Sequence[Letter]) -> list[Letter]:
    """The same calls, each with every single failure that the environment may cause in it."""
    return [replace(x, failures=frozenset((name,))) for x in letters for name in FAILURES.get(x.call, ())]


def maps(area: Area, kinds: Sequence[str], edition: Edition) -> list[Letter]:
    """mmap with MAP_FIXED of each range, once for each kind; a file is mapped from the offset that equals the place in
    the area."""
    letters = []
    for page, pages in area.ranges():
        for kind in kinds:
            prot, flags, file = KINDS[kind]
            if flags & MAP_DROPPABLE and not edition.droppable:
                continue
            object, offset = (OBJECT, page - area.first) if file else (0, 0)
            place = (page << PAGE_SHIFT, pages << PAGE_SHIFT)
            letters.append(Letter("mmap", (*place, prot, flags | MAP_FIXED, file, object, offset << PAGE_SHIFT)))
    return letters


def ranged(call: str, area: Area, *rest: int) -> list[Letter]:
    """A call of an address, a length and the given further words, on each range."""
    return [Letter(call, (page << PAGE_SHIFT, pages << PAGE_SHIFT, *rest)) for page, pages in area.ranges()]


def advises(area: Area, advice: Sequence[int], edition: Edition) -> list[Letter]:
    """madvise with each of the values that the edition knows, on each range."""
    known = known_advice(edition)
    return [letter for value in advice if value in known for letter in ranged("madvise", area, value)]


def moves(area: Area) -> list[Letter]:
    """mremap: duplicate (old size 0), shrink, keep the size, grow (in place or not), move and leave the source, move to
    a fixed address inside the area and right behind it."""
    letters: list[Letter] = []
    end = area.first + area.pages

    def add(old: int, old_pages: int, new_pages: int, flags: int, new: int = 0) -> None:
        sizes = (old_pages << PAGE_SHIFT, new_pages << PAGE_SHIFT)
        letters.append(Letter("mremap", (old << PAGE_SHIFT, *sizes, flags, new << PAGE_SHIFT)))

    for page in range(area.first, end):
        add(page, 0, 1, MAYMOVE)
    for page, pages in area.ranges():
        for fewer in range(1, pages):
            add(page, pages, fewer, 0)
        add(page, pages, pages, 0, page)
        add(page, pages, pages + 1, 0)
        add(page, pages, pages + 1, MAYMOVE)
        add(page, pages, pages, MAYMOVE | DONTUNMAP)
        for to in (*range(area.first, end - pages + 1), end):
            if to + pages <= page or page + pages <= to:
                add(page, pages, pages, MAYMOVE | FIXED, to)
                if pages > 1:
                    add(page, pages, 1, MAYMOVE | FIXED, to)
        add(page, pages, pages + 1, MAYMOVE | FIXED, end)
    return letters


def breaks(pages: int) -> list[Letter]:
    """brk to each page of the heap's first pages."""
    return [Letter("brk", ((HEAP_PAGE + n) << PAGE_SHIFT,)) for n in range(pages + 1)]


def single(call: str, area: Area, *rest: int) -> list[Letter]:
    """A step at each page: write, reclaim."""
    return [Letter(call, (page << PAGE_SHIFT, *rest)) for page in range(area.first, area.first + area.pages)]


ALL_ADVICE: Final = tuple(ADVICE.values())
FEW_ADVICE: Final = (RANDOM, DONTNEED, FREE, DONTFORK, WIPEONFORK, PAGEOUT, POPULATE_WRITE)
"""One of each sort: what only changes flags, what discards now, later, at fork, or under pressure, what faults in."""
LAYOUT_ADVICE: Final = (RANDOM, DONTNEED, DONTFORK)
"""Where pages hold nothing: with and without a change of flags, discarding or not."""
FEW_KINDS: Final = (*PLAIN_KINDS, "shared file rw")


def letters_of(
    call: str, area: Area, edition: Edition, *, kinds: Sequence[str] = FEW_KINDS, advice: Sequence[int] = FEW_ADVICE
) -> list[Letter]:
    """A call's letters as the last call of a trace, with the given kinds of mappings and values of advice. None for
    mseal32, which changes nothing, and for brk outside the heap. KeyError for an unknown call."""
    makers: dict[str, Callable[[], list[Letter]]] = {
        "mseal": lambda: ranged("mseal", area, 0),
        "mseal32": list,
        "munmap": lambda: ranged("munmap", area),
        "mmap": lambda: maps(area, kinds, edition),
        "mprotect": lambda: [x for prot in (PROT_READ, RW) for x in ranged("mprotect", area, prot)],
        "pkey_mprotect": lambda: ranged("pkey_mprotect", area, PROT_READ, 0),
        "mremap": lambda: moves(area),
        "madvise": lambda: advises(area, advice, edition),
        "brk": lambda: breaks(area.pages) if area.first == HEAP_PAGE else [],
        "mlock": lambda: ranged("mlock", area),
        "munlock": lambda: ranged("munlock", area),
        "write": lambda: single("write", area, WRITTEN),
        "reclaim": lambda: single("reclaim", area),
        "pkru": lambda: [Letter("pkru", (0,)), Letter("pkru", (KEY_0_READ_ONLY,))],
        "pkey_alloc": lambda: [Letter("pkey_alloc", (0, 0))],
        "fork": lambda: [Letter("fork")],
    }
    return makers[call]()


def whole_alphabet(edition: Edition, area: Area = WHOLE_AREA) -> tuple[Letter, ...]:
    """Letters of every call, for explicit-state search: the window's, and the heap's two pages for brk and mseal;
    last, on one page, the calls that the environment makes fail."""
    letters = [letter for call in CALLS for letter in letters_of(call, area, edition)]
    heap = Area(HEAP_PAGE, 2)
    letters += [*letters_of("brk", heap, edition), *letters_of("mseal", heap, edition)]
    one = Area(area.first, 1)
    return (*letters, *failing([letter for call in CALLS for letter in letters_of(call, one, edition)]))
