"""The alphabets of explicit-state search: finite sets of calls, each with its 64-bit words, on a few pages.

Order matters: letters come plainest first (fewest pages, then smallest numbers, private anonymous memory before files),
and a search that tries them in order finds the plainest of the shortest traces first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from checker.documents import FAILURES, HEAP_PAGE
from checker.machine import WordGuards
from spec.arguments import Decoded
from spec.editions import Edition
from spec.space import Done, Refused
from spec.syscalls import CALLS
from spec.syscalls.madvise import ADVICE, DONTFORK, DONTNEED, FREE, PAGEOUT, POPULATE_WRITE, WIPEONFORK, known_advice
from spec.syscalls.mmap import MAP_ANONYMOUS, MAP_DROPPABLE, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, NO_FILE, WRITABLE_FILE
from spec.syscalls.mprotect import PROT_READ, PROT_WRITE
from spec.syscalls.mremap import DONTUNMAP, FIXED, MAYMOVE
from spec.vma import RANDOM
from spec.words import PAGE_SHIFT, PAGE_SIZE, WORD

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
    """What the argument stage makes of the words; None if the call ends there, so that nothing changes."""
    call = CALLS[letter.call]
    try:
        arguments: Decoded = call.arguments(WordGuards(edition), *letter.words.values())
    except (Refused, Done):
        return None
    return arguments


@dataclass(frozen=True, slots=True)
class Area:
    """The pages on which an alphabet acts: `[first, first + pages)`."""

    first: int = WINDOW
    pages: int = 3

    def ranges(self) -> list[tuple[int, int]]:
        """Every range as (first page, number of pages), shortest first."""
        sizes = range(1, self.pages + 1)
        return [(self.first + at, size) for size in sizes for at in range(self.pages - size + 1)]


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


def maps(area: Area, kinds: Sequence[str], edition: Edition, *, failing: bool = False) -> list[Letter]:
    """mmap with MAP_FIXED of each range, once for each kind; a file is mapped from the offset that equals the place in
    the area. `failing`: the environment makes it fail."""
    failures = frozenset(FAILURES["mmap"]) if failing else frozenset()
    letters = []
    for page, pages in area.ranges():
        for kind in kinds:
            prot, flags, file = KINDS[kind]
            if flags & MAP_DROPPABLE and not edition.droppable:
                continue
            object, offset = (OBJECT, page - area.first) if file else (0, 0)
            words = (page << PAGE_SHIFT, pages << PAGE_SHIFT, prot, flags | MAP_FIXED, file, object, offset << PAGE_SHIFT)
            letters.append(Letter("mmap", words, failures))
    return letters


def ranged(call: str, area: Area, *rest: int) -> list[Letter]:
    """A call of an address, a length and the given further words, on each range."""
    return [Letter(call, (page << PAGE_SHIFT, pages << PAGE_SHIFT, *rest)) for page, pages in area.ranges()]


def advises(area: Area, advice: Sequence[int], edition: Edition) -> list[Letter]:
    """madvise with each of the values that the edition knows, on each range."""
    known = known_advice(edition)
    return [letter for value in advice if value in known for letter in ranged("madvise", area, value)]


def moves(area: Area) -> list[Letter]:
    """mremap: duplicate (old size 0), shrink, grow (in place or not), move and leave the source, move to a fixed address
    inside the area and right behind it; last the moves of one page that the environment makes fail."""
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
        add(page, pages, pages + 1, 0)
        add(page, pages, pages + 1, MAYMOVE)
        add(page, pages, pages, MAYMOVE | DONTUNMAP)
        for to in (*range(area.first, end - pages + 1), end):
            if to + pages <= page or page + pages <= to:
                add(page, pages, pages, MAYMOVE | FIXED, to)
                if pages > 1:
                    add(page, pages, 1, MAYMOVE | FIXED, to)
        add(page, pages, pages + 1, MAYMOVE | FIXED, end)
    onto = [letter for letter in letters if letter.arguments[1] == PAGE_SIZE == letter.arguments[2] and letter.arguments[3] & FIXED]
    return letters + [Letter("mremap", letter.arguments, frozenset(FAILURES["mremap"])) for letter in onto]


def breaks(pages: int) -> list[Letter]:
    """brk to each page of the heap's first pages."""
    return [Letter("brk", ((HEAP_PAGE + n) << PAGE_SHIFT,)) for n in range(pages + 1)]


def single(call: str, area: Area, *rest: int) -> list[Letter]:
    """A step at each page: write, reclaim."""
    return [Letter(call, (page << PAGE_SHIFT, *rest)) for page in range(area.first, area.first + area.pages)]


FEW_ADVICE: Final = (RANDOM, DONTNEED, FREE, DONTFORK, WIPEONFORK, PAGEOUT, POPULATE_WRITE)
"""One of each sort: what only changes flags, what discards now, later, at fork, or under pressure, what faults in."""


def letters_of(call: str, area: Area, edition: Edition, *, rich: bool) -> list[Letter]:
    """A call's letters as the last call of a trace. `rich`: every kind of mapping, every advice and the failures that
    the environment makes, else one of each sort. KeyError for a call without letters (mseal32 changes nothing)."""
    kinds = tuple(KINDS) if rich else ("anonymous rw", "anonymous r", "shared file rw")
    protections = (PROT_READ, RW, 0) if rich else (PROT_READ, RW)
    makers: dict[str, Callable[[], list[Letter]]] = {
        "mseal": lambda: ranged("mseal", area, 0),
        "munmap": lambda: ranged("munmap", area),
        "mmap": lambda: maps(area, kinds, edition) + maps(area, kinds[:1], edition, failing=True),
        "mprotect": lambda: [x for prot in protections for x in ranged("mprotect", area, prot)],
        "pkey_mprotect": lambda: [x for prot in (PROT_READ, RW) for x in ranged("pkey_mprotect", area, prot, 0)],
        "mremap": lambda: moves(area),
        "madvise": lambda: advises(area, tuple(ADVICE.values()) if rich else FEW_ADVICE, edition),
        "brk": lambda: breaks(2) if area.first == HEAP_PAGE else [],
        "mlock": lambda: ranged("mlock", area),
        "munlock": lambda: ranged("munlock", area),
        "write": lambda: single("write", area, WRITTEN),
        "reclaim": lambda: single("reclaim", area),
        "pkru": lambda: [Letter("pkru", (0,)), Letter("pkru", (KEY_0_READ_ONLY,))],
        "pkey_alloc": lambda: [Letter("pkey_alloc")],
        "fork": lambda: [Letter("fork")],
    }
    return makers[call]()


def whole_alphabet(edition: Edition, area: Area = Area(), *, rich: bool = False) -> tuple[Letter, ...]:
    """Letters of every call, for explicit-state search: the window's, and the heap's two pages for brk and mseal."""
    calls = [call for call in CALLS if call not in ("mseal32", "brk")]
    letters = [letter for call in calls for letter in letters_of(call, area, edition, rich=rich)]
    return (*letters, *breaks(2), *ranged("mseal", Area(HEAP_PAGE, 1), 0))
