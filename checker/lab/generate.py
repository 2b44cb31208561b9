"""Makes random scenarios for the kernel lab, the same for the same seed everywhere.

``python -m checker.lab.generate --seed S --count N`` writes N documents, one a line.
Scenario ``i`` of a seed depends on the seed and ``i`` alone, so a longer file begins with
the shorter one.  The mix follows the recorded runs' ``rN-M`` scenarios (a few mappings
with stores, one or two seals, then calls around them) but aims more of the calls at what
is mapped, and adds flavours: room near the map limit, protection keys, the heap, fork,
moves, page states, and a file that cannot be written.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

PAGE = 4096
"""Bytes in a page."""
WINDOW = 0x200000000000
"""Address of the window's first page."""
PAGES = 48
"""Pages in the window."""
OBJECT = 100
"""The recorded runs' file: a memfd of 48 pages."""
OBJECT_READ_ONLY = 101
"""The same memfd opened for reading only."""

Step = dict[str, object]

PRIVATE_ANON, SHARED_ANON, PRIVATE_FILE, SHARED_FILE = 0x22, 0x21, 0x02, 0x01
FIXED, NOREPLACE = 0x10, 0x100000
MAYMOVE, MREMAP_FIXED, DONTUNMAP = 1, 2, 4

ADVICE: Mapping[int, int] = {
    0: 2, 1: 2, 2: 2, 3: 2, 4: 12, 8: 7, 9: 5, 10: 5, 11: 4, 12: 1, 13: 1, 14: 1, 15: 1,
    16: 2, 17: 2, 18: 5, 19: 4, 20: 2, 21: 5, 22: 3, 23: 3, 24: 4, 25: 1, 102: 4, 103: 4,
    5: 1, 6: 1, 7: 1, 26: 1, 99: 1, -1: 1,
}  # fmt: skip
"""madvise values and weights; 5, 6, 7, 26, 99 and -1 are invalid.

100 and 101 (poison and soft-offline) are left out: they damage the machine.
"""

FLAVOURS: Mapping[str, int] = {
    "plain": 40, "room": 16, "move": 14, "state": 10, "keys": 6, "heap": 6, "fork": 6, "readonly": 2,
}  # fmt: skip
"""Kinds of scenario and their weights."""


def _address(page: int, extra: int = 0) -> str:
    """Return the address ``extra`` bytes behind the start of a page of the window."""
    return hex(WINDOW + page * PAGE + extra)


class _Maker:
    """One scenario in the making: its steps and a rough idea of what is mapped where."""

    def __init__(self, seed: int, index: int) -> None:
        self.random = random.Random(f"mseal-lab:{seed}:{index}")
        self.steps: list[Step] = []
        self.areas: list[tuple[int, int]] = []
        self.file = OBJECT

    # ---- small choices ----

    def chance(self, percent: float) -> bool:
        """Return true in so many of a hundred cases."""
        return self.random.random() * 100 < percent

    def pick(self, weights: Mapping[int, int]) -> int:
        """Return one of the keys, as often as its weight says."""
        return self.random.choices(list(weights), list(weights.values()))[0]

    def protection(self) -> int:
        """Return PROT bits: mostly read-write and read-only, rarely execute-only and odd ones."""
        return self.pick({3: 50, 1: 28, 5: 9, 0: 10, 4: 1, 2: 1, 7: 1})

    def kind(self) -> int:
        """Return the sharing flags of a mapping."""
        return self.pick({PRIVATE_ANON: 55, SHARED_ANON: 8, PRIVATE_FILE: 20, SHARED_FILE: 17})

    def span(self) -> tuple[int, int]:
        """Return a range of pages (first, end), mostly one that meets what is mapped."""
        r = self.random
        roll = r.random()
        if self.areas and roll < 0.45:
            first = r.choice(self.areas)[0]
            end = r.choice(self.areas)[1]
            if self.chance(25):
                first += r.choice((-1, 1))
            if self.chance(25):
                end += r.choice((-1, 1))
            if end <= first:
                first, end = min(first, end), max(first, end) + 1
        elif self.areas and roll < 0.85:
            low, high = r.choice(self.areas)
            first = r.randrange(low, high)
            end = r.randint(first + 1, high)
        else:
            first = r.randrange(0, 18)
            end = first + r.randint(1, 6)
        first = max(first, 0)
        return first, max(end, first + 1)

    def length(self, pages: int) -> int:
        """Return a length in bytes for so many pages: rarely unaligned, zero or wrapping."""
        if self.chance(92):
            return pages * PAGE
        return self.random.choice(
            (pages * PAGE - 1, pages * PAGE - PAGE + 1, pages * PAGE + 1, pages * PAGE - 100,
             pages * PAGE - 2048, 0, 2**64 - 1, 2**64 - PAGE)
        )  # fmt: skip

    def place(self, page: int) -> str:
        """Return a page's address, rarely one inside the page."""
        return _address(page, self.random.choice((1, 8, 0x800)) if self.chance(2) else 0)

    # ---- steps ----

    def add(self, call: str, **arguments: object) -> None:
        """Append a step."""
        self.steps.append({"call": call, **arguments})

    def map_area(self, first: int, pages: int, kind: int, prot: int, flags: int = FIXED) -> None:
        """Append an mmap of a range; a file's offset mostly fits the page it is mapped at."""
        anon = kind in (PRIVATE_ANON, SHARED_ANON)
        offset = 0
        if not anon:
            offset = first if self.chance(70) else self.random.randrange(0, 20)
            if self.chance(2):
                offset = PAGES - 1
        self.add(
            "mmap", addr=_address(first), len=pages * PAGE, prot=prot, flags=kind | flags,
            fd=-1 if anon else self.file, off=offset * PAGE,
        )  # fmt: skip
        if flags & FIXED and not flags & NOREPLACE:
            self.areas.append((first, first + pages))

    def store(self, first: int, end: int) -> None:
        """Append a store into one page of a range."""
        page = self.random.randrange(first, end)
        self.add("write", addr=_address(page), byte=self.random.randint(1, 255))

    def set_up(self) -> None:
        """Append a few mappings with stores, often next to each other."""
        r = self.random
        at = r.choice((0, 0, 1, 2, 3))
        kind, prot = self.kind(), self.protection()
        for number in range(self.pick({1: 8, 2: 20, 3: 30, 4: 25, 5: 12, 6: 5})):
            if number and not self.chance(30):  # else alike, to be merged with the one before
                kind, prot = self.kind(), self.protection()
            pages = self.pick({1: 30, 2: 30, 3: 30, 4: 10})
            dirty = self.chance(50)
            late = dirty and not prot & 2 and self.chance(60)  # stored to, then made read-only
            self.map_area(at, pages, kind, prot | 3 if late else prot)
            if dirty:
                for _ in range(self.pick({1: 70, 2: 20, 3: 10})):
                    self.store(at, at + pages)
            if late:
                self.add("mprotect", addr=_address(at), len=pages * PAGE, prot=prot)
            at += pages + self.pick({0: 68, 1: 18, 2: 10, 3: 4})

    def seal(self) -> None:
        """Append an mseal, rarely one with flags."""
        first, end = self.span()
        flags = self.pick({0: 98, 1: 1, 2: 1})
        self.add("mseal", addr=self.place(first), len=self.length(end - first), flags=flags)

    def unmap(self) -> None:
        """Append a munmap."""
        first, end = self.span()
        self.add("munmap", addr=self.place(first), len=self.length(end - first))

    def protect(self) -> None:
        """Append an mprotect or pkey_mprotect, rarely with bits that are not valid."""
        first, end = self.span()
        prot = self.protection()
        if self.chance(2):
            prot |= self.random.choice((0x01000000, 0x02000000, 0x03000000, 0x100))
        if self.chance(15):
            pkey = self.pick({-1: 8, 0: 3, 1: 2, 16: 1})
            self.add(
                "pkey_mprotect", addr=self.place(first), len=self.length(end - first), prot=prot,
                pkey=pkey,
            )  # fmt: skip
        else:
            self.add("mprotect", addr=self.place(first), len=self.length(end - first), prot=prot)

    def map_more(self) -> None:
        """Append an mmap: over what is there, where it must be free, or with a mere hint."""
        first, end = self.span()
        kind, prot = self.kind(), self.protection()
        roll = self.random.random()
        if roll < 0.80:
            self.map_area(first, end - first, kind, prot)
        elif roll < 0.94:
            self.map_area(first, end - first, kind, prot, NOREPLACE | FIXED * self.chance(70))
        elif roll < 0.98:
            self.map_area(first, end - first, kind, prot, 0)
        else:
            anon = kind in (PRIVATE_ANON, SHARED_ANON)
            self.add(
                "mmap", addr=0, len=(end - first) * PAGE, prot=prot, flags=kind,
                fd=-1 if anon else self.file, off=0,
            )  # fmt: skip

    def advise(self) -> None:
        """Append a madvise."""
        first, end = self.span()
        behavior = self.pick(ADVICE)
        self.add("madvise", addr=self.place(first), len=self.length(end - first), behavior=behavior)

    def destination(self, pages: int) -> str:
        """Return where a moved mapping may go: mostly free space, also onto what is there."""
        r = self.random
        roll = r.random()
        if roll < 0.45:
            return _address(r.choice((20, 24, 30)))
        if roll < 0.90 and self.areas:
            return self.place(max(r.choice(r.choice(self.areas)) + r.choice((-2, -1, 0, 0, 0, 1)), 0))
        return self.place(r.randrange(0, PAGES - pages) if pages < PAGES else 0)

    def remap(self) -> None:
        """Append an mremap of some mode."""
        first, end = self.span()
        pages = end - first
        mode = self.pick({0: 20, 1: 18, 2: 22, 3: 10, 4: 10, 5: 8, 6: 4, 7: 3, 8: 5})
        new = pages
        target: str | int = 0
        if mode == 0:  # shrinks in place
            new, flags = self.random.randint(1, pages), self.pick({0: 70, MAYMOVE: 30})
        elif mode == 1:  # grows, in place or away
            new, flags = pages + self.random.randint(1, 4), self.pick({0: 50, MAYMOVE: 50})
        elif mode == 2:  # moves whole
            flags, target = MAYMOVE | MREMAP_FIXED, self.destination(pages)
        elif mode == 3:  # moves and changes its length
            new = max(1, pages + self.random.choice((-2, -1, 1, 2, 3)))
            flags, target = MAYMOVE | MREMAP_FIXED, self.destination(new)
        elif mode == 4:  # leaves the old range mapped
            flags, target = MAYMOVE | MREMAP_FIXED | DONTUNMAP, self.destination(pages)
        elif mode == 5:  # duplicates
            pages, flags = 0, MAYMOVE | MREMAP_FIXED * self.chance(70)
            target = self.destination(new) if flags & MREMAP_FIXED else 0
        elif mode == 6:
            flags = MAYMOVE | DONTUNMAP
            target = 0 if self.chance(50) else self.destination(pages)
        elif mode == 7:  # combinations that are refused
            flags = self.random.choice((MREMAP_FIXED, DONTUNMAP, 8, 7))
            new, target = max(1, pages + self.random.choice((-1, 0, 1))), self.destination(pages)
        else:  # nothing to do
            flags = self.pick({0: 60, MAYMOVE: 40})
        old_len = 0 if pages == 0 and self.chance(90) else self.length(pages)
        self.add(
            "mremap", addr=self.place(first), old_len=old_len, new_len=self.length(new),
            flags=flags, new_addr=target,
        )  # fmt: skip

    def lock(self) -> None:
        """Append an mlock or munlock."""
        first, end = self.span()
        name = "mlock" if self.chance(65) else "munlock"
        self.add(name, addr=self.place(first), len=self.length(end - first))

    def store_somewhere(self) -> None:
        """Append a store into a page that is probably mapped."""
        first, end = self.span()
        self.store(first, end)

    def fill(self) -> None:
        """Append a fill that leaves little room below the map limit."""
        self.add("fill", free=self.random.randrange(0, 8))

    def one_of(self, weights: Mapping[Callable[[], None], int]) -> None:
        """Append a step by one of the methods."""
        self.random.choices(list(weights), list(weights.values()))[0]()

    def calls(self, count: int, more: Mapping[Callable[[], None], int]) -> None:
        """Append so many calls of all kinds; ``more`` adds methods or changes their weights."""
        weights: dict[Callable[[], None], int] = {
            self.advise: 22, self.protect: 18, self.unmap: 12, self.remap: 16, self.map_more: 12,
            self.seal: 9, self.store_somewhere: 8, self.lock: 3,
        }  # fmt: skip
        weights.update(more)
        for _ in range(count):
            self.one_of(weights)

    # ---- flavours ----

    def plain(self) -> None:
        """Mappings, seals, calls."""
        self.set_up()
        for _ in range(self.pick({0: 5, 1: 50, 2: 35, 3: 10})):
            self.seal()
        self.calls(self.random.randint(1, 8), {})

    def room(self) -> None:
        """The same with few maps left, before or after the seals, changed on the way."""
        self.set_up()
        early = self.chance(40)
        if early:
            self.fill()
        for _ in range(self.pick({0: 15, 1: 55, 2: 30})):
            self.seal()
        if not early:
            self.fill()
        self.calls(self.random.randint(1, 6), {self.fill: 4, self.seal: 14, self.lock: 5})

    def move(self) -> None:
        """Mostly mremap, also over several mappings and onto the moved ones."""
        self.set_up()
        for _ in range(self.pick({0: 20, 1: 55, 2: 25})):
            self.seal()
        self.areas.extend([(20, 23), (24, 27)] if self.chance(50) else [])
        self.calls(self.random.randint(2, 7), {self.remap: 90})

    def state(self) -> None:
        """Mostly advice and stores: what happens to contents."""
        self.set_up()
        self.calls(self.random.randint(0, 2), {self.advise: 60})
        for _ in range(self.pick({1: 60, 2: 40})):
            self.seal()
        self.calls(self.random.randint(2, 7), {self.advise: 90, self.store_somewhere: 30})

    def fork(self) -> None:
        """Calls before and after a fork; what the child keeps."""
        self.set_up()
        for _ in range(self.random.randint(0, 2)):
            first, end = self.span()
            self.add(
                "madvise", addr=_address(first), len=(end - first) * PAGE,
                behavior=self.random.choice((10, 18, 10, 18, 11, 19)),
            )  # fmt: skip
        for _ in range(self.random.randint(0, 2)):
            self.seal()
        self.calls(self.random.randint(0, 2), {})
        self.add("fork")
        self.calls(self.random.randint(1, 6), {self.store_somewhere: 15})

    def keys(self) -> None:
        """A protection key on some pages, and a thread that may or may not use it."""
        self.set_up()
        rights = self.pick({0: 60, 1: 20, 2: 20})
        self.add("pkey_alloc", flags=0, rights=rights)
        for _ in range(self.random.randint(1, 2)):
            first, end = self.span()
            self.add(
                "pkey_mprotect", addr=_address(first), len=(end - first) * PAGE,
                prot=self.protection(), pkey=1,
            )  # fmt: skip
        for _ in range(self.random.randint(1, 2)):
            self.seal()
        for _ in range(self.random.randint(1, 2)):
            # Key 0 is allowed, key 1 is: allowed, not to be written, not at all; others not.
            self.add("pkru", bits=self.random.choice((0x55555550, 0x55555558, 0x55555554)))
            self.calls(self.random.randint(1, 3), {self.advise: 50, self.store_somewhere: 20})

    def heap(self) -> None:
        """The break moves, with seals and mappings on its way."""
        r = self.random
        self.add("brk", addr=f"brk+{hex(r.randint(1, 6) * PAGE)}")
        if self.chance(15):
            self.fill()
        for _ in range(r.randint(2, 8)):
            first = r.randrange(0, 7)
            where = f"brk+{hex(first * PAGE)}"
            size = r.randint(1, 4) * PAGE
            what = self.pick({0: 40, 1: 25, 2: 10, 3: 10, 4: 10, 5: 5})
            if what == 0:
                self.add("brk", addr=f"brk+{hex(r.randrange(0, 10) * PAGE)}")
            elif what == 1:
                self.add("mseal", addr=where, len=size, flags=0)
            elif what == 2:
                self.add("munmap", addr=where, len=size)
            elif what == 3:
                self.add("mprotect", addr=where, len=size, prot=self.protection())
            elif what == 4:
                self.add("write", addr=where, byte=r.randint(1, 255))
            else:
                self.add(
                    "mmap", addr=where, len=size, prot=self.protection(),
                    flags=PRIVATE_ANON | FIXED, fd=-1, off=0,
                )  # fmt: skip

    def readonly(self) -> None:
        """As plain, but the file was opened for reading only."""
        self.file = OBJECT_READ_ONLY
        self.plain()


def scenario(seed: int, index: int, flavours: Mapping[str, int] = FLAVOURS) -> dict[str, object]:
    """Return scenario ``index`` of a seed, named ``gSEED-INDEX-FLAVOUR``.

    ``flavours`` are the kinds to choose from and their weights (see :data:`FLAVOURS`).
    Raises KeyError on a flavour that does not exist.
    """
    maker = _Maker(seed, index)
    methods: dict[str, Callable[[], None]] = {
        "plain": maker.plain, "room": maker.room, "move": maker.move, "state": maker.state,
        "keys": maker.keys, "heap": maker.heap, "fork": maker.fork, "readonly": maker.readonly,
    }  # fmt: skip
    flavour = maker.random.choices(list(flavours), list(flavours.values()))[0]
    methods[flavour]()
    return {"name": f"g{seed}-{index}-{flavour}", "steps": maker.steps}


def generate(seed: int, count: int, flavours: Mapping[str, int] = FLAVOURS) -> Iterator[dict[str, object]]:
    """Yield scenarios 0 to ``count`` - 1 of a seed (see :func:`scenario`)."""
    for index in range(count):
        yield scenario(seed, index, flavours)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write scenarios to standard output, one a line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m checker.lab.generate", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--flavour", action="append", choices=list(FLAVOURS), help="only this kind (repeatable)")
    options = parser.parse_args(arguments)
    chosen = options.flavour or list(FLAVOURS)
    flavours = {name: FLAVOURS[name] for name in chosen}
    for document in generate(options.seed, options.count, flavours):
        sys.stdout.write(json.dumps(document, separators=(",", ":")) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
