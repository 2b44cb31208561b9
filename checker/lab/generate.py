# SPDX-License-Identifier: MIT
"""Makes random scenarios for the kernel lab, the same for the same seed everywhere.

``python -m checker.lab.generate --seed S --count N`` writes N documents, one a line.
Scenario ``i`` of a seed depends on the seed, ``i`` and the flavours to choose from alone, so
a longer file begins with the shorter one.  A scenario is a layout (a few mappings with
stores, often next to each other), maybe seals, then 1 to 12 calls that mostly aim at what is
mapped.  Its flavour says what it is after: room near the map limit, moves, page states,
protection keys, the heap, fork, kinds of objects, a stack, the vdso, droppable memory, and
arguments that are wrong.

Nothing here reaches beyond the scenario's own memory: ranges end below FAR, which is below
the program that executes them, unless the call refuses such a range as a whole.
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
FAR = 1 << 45
"""Bytes from the window to where nothing is mapped; the program is above."""
TASK_SIZE = (1 << 47) - PAGE
"""End of the user's addresses."""
WORD = 1 << 64
"""Words wrap around here."""
OBJECT = 100
"""The recorded runs' file: a memfd of 48 pages."""
OBJECT_READ_ONLY = 101
"""The same memfd opened for reading only."""
DEV_ZERO = 102
"""/dev/zero."""
OTHER = 110
"""A second file, where a scenario opens one."""

Step = dict[str, object]

PRIVATE_ANON, SHARED_ANON, PRIVATE_FILE, SHARED_FILE, VALIDATED_FILE = 0x22, 0x21, 0x02, 0x01, 0x03
DROPPABLE_ANON = 0x28
ANONYMOUS = 0x20
FIXED, NOREPLACE, GROWSDOWN, LOCKED, NORESERVE, POPULATE = 0x10, 0x100000, 0x100, 0x2000, 0x4000, 0x8000
LOW, STACK, HUGETLB, SYNC, NONBLOCK, HUGE_2MB = 0x40, 0x20000, 0x40000, 0x80000, 0x10000, 21 << 26
MAYMOVE, MREMAP_FIXED, DONTUNMAP = 1, 2, 4

ADVICE: Mapping[int, int] = {
    0: 2, 1: 2, 2: 2, 3: 2, 4: 12, 8: 7, 9: 5, 10: 5, 11: 4, 12: 1, 13: 1, 14: 1, 15: 1,
    16: 2, 17: 2, 18: 5, 19: 4, 20: 2, 21: 5, 22: 4, 23: 4, 24: 4, 25: 1, 102: 5, 103: 4,
    5: 1, 6: 1, 7: 1, 26: 1, 99: 1, 100: 1, 101: 1, 104: 1, 2**64 - 1: 1, 2**32 + 4: 1,
}  # fmt: skip
"""madvise values and weights; 5, 6, 7, 26, 99, 104 and -1 are unknown, 2^32 + 4 is 4 as an int.

100 and 101 (poison and soft-offline) lack their privilege: the oracle sees to that.
"""

FLAVOURS: Mapping[str, int] = {
    "plain": 28, "room": 7, "move": 12, "state": 9, "keys": 6, "heap": 6, "fork": 6, "objects": 6,
    "wild": 6, "join": 6, "stack": 3, "vdso": 4, "droppable": 2, "limits": 2,
    "flags": 14, "huge": 6,
}  # fmt: skip
"""Kinds of scenario and their weights."""

HUGE_PAGES = 512
"""Pages in a huge page."""
FREE_BITS = tuple(1 << n for n in range(6, 64) if 1 << n not in (GROWSDOWN, LOCKED, HUGETLB, NOREPLACE))
"""Flags of mmap that may go with any mapping. A stack would grow, and huge pages are a flavour of their own."""
SIZES = tuple(size << 26 for size in range(64) if size != 30)
"""Sizes of huge pages that may be asked for. Of 1 GiB (30), some machines have them."""

NO_ROOM: Mapping[str, tuple[str, ...]] = {
    "mmap": ("mmap: RLIMIT_AS has no room", "mmap: RLIMIT_AS or the accounting has no room"),
    "mremap": ("mremap: RLIMIT_AS has no room", "mremap: RLIMIT_AS has no room for both copies"),
    "brk": ("brk: memory or a limit on it runs out",),
    "mlock": ("mlock: RLIMIT_MEMLOCK has no room",),
}
NO_LOCKED_ROOM = ["mmap: RLIMIT_MEMLOCK has no room"]
"""What a call can be made to fail by: the limit is lowered for this call only."""

COLD, PAGEOUT, HUGEPAGE, NOHUGEPAGE = 20, 21, 14, 15
PROT_GROWSDOWN = 0x01000000

SHIFTS = (1, 8, 0x800, PAGE - 1)
"""By how many bytes an address misses its page."""

HIGH = (TASK_SIZE - PAGE, TASK_SIZE, 1 << 47, WORD - (1 << 47), WORD - PAGE)
"""Addresses at the end of the user's and beyond; nothing is mapped there."""


def _address(page: int, extra: int = 0) -> str:
    """Return the address ``extra`` bytes behind the start of a page of the window."""
    return hex(WINDOW + page * PAGE + extra)


class _Maker:
    """One scenario in the making: its steps and a rough idea of what is mapped where."""

    def __init__(self, seed: int, index: int) -> None:
        self.random = random.Random(f"mseal-lab:{seed}:{index}")
        self.steps: list[Step] = []
        self.areas: list[tuple[int, int]] = []
        self.files: tuple[int, ...] = (OBJECT,)
        self.odd = 9.0
        self.stores = True
        self.tight = 0.0
        self.bits = 0.0
        self.transparent = True

    # ---- small choices ----

    def chance(self, percent: float) -> bool:
        """Return true in so many of a hundred cases."""
        return self.random.random() * 100 < percent

    def pick(self, weights: Mapping[int, int]) -> int:
        """Return one of the keys, as often as its weight says."""
        return self.random.choices(list(weights), list(weights.values()))[0]

    def protection(self) -> int:
        """Return PROT bits: mostly read-write and read-only, rarely execute-only and odd ones."""
        return self.pick({3: 50, 1: 28, 5: 9, 0: 10, 4: 2, 2: 1, 7: 1})

    def kind(self) -> int:
        """Return the sharing flags of a mapping."""
        more = 1 if self.files == (OBJECT,) else 2  # where files are what a scenario is about
        return self.pick(
            {PRIVATE_ANON: 55, SHARED_ANON: 8, PRIVATE_FILE: 20 * more, SHARED_FILE: 16 * more, VALIDATED_FILE: 1}
        )

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

    def range_of(self, call: str) -> dict[str, object]:
        """Return ``addr`` and ``len`` of a range for a call: sometimes odd, and never one that could hurt."""
        r = self.random
        first, end = self.span()
        address, size = WINDOW + first * PAGE, (end - first) * PAGE
        if not self.chance(self.odd):
            return {"addr": hex(address), "len": size}
        odd = self.pick({0: 20, 1: 25, 2: 8, 3: 20, 4: 6, 5: 14})
        if odd == 0:
            address += r.choice(SHIFTS)
            size = r.choice((size, size, 0))
        elif odd == 1:
            size += r.choice((-1, 1, -100, -2048, 1 - PAGE))
        elif odd == 2:
            size = 0
        elif odd == 3:  # around where the length, or the end of the range, wraps around
            size = r.choice((WORD - 1, WORD - PAGE + 1, WORD - PAGE, WORD - address, WORD - address + PAGE))
            if call != "madvise" and self.chance(30):  # refused as a whole, or stopped by the gap behind the window
                size = r.choice((WORD - address - PAGE, 1 << 63))
        elif odd == 4:
            size = FAR
        else:
            address, size = r.choice((0, *HIGH)), r.choice((PAGE, PAGE + 1, 2 * PAGE, 0, 1))
        return {"addr": hex(address), "len": size}

    # ---- steps ----

    def add(self, call: str, **arguments: object) -> None:
        """Append a step. After a fork nothing is paged out: what the parent maps too would stay (EXCLUSIONS.md). No
        range that leaves the window is to grow down: it would begin with what the process has mapped behind it."""
        prot, length = arguments.get("prot"), arguments.get("len")
        if call.endswith("mprotect") and isinstance(prot, int) and isinstance(length, int) and length >= FAR:
            arguments["prot"] = prot & ~PROT_GROWSDOWN
        if arguments.get("behavior") == PAGEOUT and any(step["call"] == "fork" for step in self.steps):
            arguments["behavior"] = COLD
        if self.bits:
            self._add_bits(call, arguments)
        if arguments.get("behavior") == HUGEPAGE and not self.transparent:
            arguments["behavior"] = NOHUGEPAGE
        if call in NO_ROOM and self.chance(self.tight):
            arguments["failures"] = list(NO_ROOM[call])
            flags = arguments.get("flags")
            if call == "mmap" and isinstance(flags, int) and flags & LOCKED and self.chance(50):
                arguments["failures"] = NO_LOCKED_ROOM
        self.steps.append({"call": call, **arguments})

    def _add_bits(self, call: str, arguments: dict[str, object]) -> None:
        """Set bits that mostly mean nothing in a step's flags or protection; take any value where one is chosen."""
        r = self.random
        flags, prot = arguments.get("flags"), arguments.get("prot")
        if call == "mmap" and isinstance(flags, int) and self.chance(self.bits):
            flags |= r.choice(FREE_BITS) | (r.choice(FREE_BITS) if self.chance(25) else 0)
            flags |= NONBLOCK | POPULATE if self.chance(8) else 0
            if flags & 0xF == SHARED_FILE and not flags & ANONYMOUS and self.chance(30):
                flags |= VALIDATED_FILE
            arguments["flags"] = flags
        if call == "mmap" and isinstance(prot, int) and self.chance(self.bits / 2):
            arguments["prot"] = prot | r.choice((8, 8, 1 << r.randrange(3, 64)))
        if call.endswith("mprotect") and isinstance(prot, int) and self.chance(self.bits / 4):
            # PROT_EXEC | PROT_SEM is not modelled where there are keys (EXECUTE_ONLY_SEM)
            sem = 0 if prot & 7 == 4 else 8
            arguments["prot"] = prot | r.choice((sem, sem, sem, 1 << r.randrange(4, 64)))
        if call == "mremap" and isinstance(flags, int) and self.chance(self.bits / 5):
            arguments["flags"] = flags | 1 << r.randrange(3, 64)
        if call == "mseal" and self.chance(self.bits / 5):
            arguments["flags"] = 1 << r.randrange(0, 64)
        if call == "madvise" and self.chance(self.bits / 4):
            arguments["behavior"] = r.choice(
                (r.randrange(0, 64), r.randrange(64, 128), 1 << r.randrange(0, 64), WORD - 1 - r.randrange(0, 4))
            )
            if arguments["behavior"] == PAGEOUT and any(step["call"] == "fork" for step in self.steps):
                arguments["behavior"] = COLD

    def map_area(self, first: int, pages: int, kind: int, prot: int, flags: int = FIXED) -> None:
        """Append an mmap of a range; a file's offset mostly fits the page it is mapped at."""
        anon = bool(kind & ANONYMOUS)
        offset = 0
        if not anon:
            offset = first if self.chance(70) else self.random.randrange(0, 20)
            if self.chance(4):
                offset = PAGES - 1
        if self.chance(8):
            flags |= self.random.choice((LOCKED, NORESERVE, NORESERVE, POPULATE, STACK, SYNC))
        self.add(
            "mmap", addr=_address(first), len=pages * PAGE, prot=prot, flags=kind | flags,
            fd=-1 if anon else self.random.choice(self.files), off=offset * PAGE,
        )  # fmt: skip
        if flags & FIXED and not flags & NOREPLACE:
            self.areas.append((first, first + pages))

    def store(self, first: int, end: int) -> None:
        """Append a store into one page of a range, where stores are harmless: a stack would grow."""
        page = self.random.randrange(first, end)
        if self.stores:
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
        flags = self.pick({0: 98, 1: 1, 2: 1, 1 << 32: 1})
        self.add("mseal", **self.range_of("mseal"), flags=flags)

    def unmap(self) -> None:
        """Append a munmap."""
        self.add("munmap", **self.range_of("munmap"))

    def protect(self) -> None:
        """Append an mprotect or pkey_mprotect, rarely with bits that are not valid."""
        prot = self.protection()
        if self.chance(self.odd / 3):
            prot |= self.random.choice((0x01000000, 0x02000000, 0x03000000, 0x100, 8 if prot & 3 else 1, 1 << 32))
        if self.chance(15):
            pkey = self.pick(
                {-1: 8, 0: 3, 1: 2, 15: 1, 16: 1, -2: 1, -(1 << 31): 1, (1 << 32) - 1: 1, 1 << 31: 1, (1 << 32) + 1: 1}
            )
            self.add("pkey_mprotect", **self.range_of("pkey_mprotect"), prot=prot, pkey=pkey)
        else:
            self.add("mprotect", **self.range_of("mprotect"), prot=prot)

    def map_more(self) -> None:
        """Append an mmap: over what is there, where it must be free, or with a mere hint."""
        if self.chance(self.odd):
            self.map_badly()
            return
        first, end = self.span()
        kind, prot = self.kind(), self.protection()
        roll = self.random.random()
        if roll < 0.80:
            self.map_area(first, end - first, kind, prot)
        elif roll < 0.92:
            self.map_area(first, end - first, kind, prot, NOREPLACE | FIXED * self.chance(70))
        elif roll < 0.98:
            self.map_area(first, end - first, kind, prot, 0)
        else:
            anon = bool(kind & ANONYMOUS)
            self.add(
                "mmap", addr=0, len=(end - first) * PAGE, prot=prot, flags=kind,
                fd=-1 if anon else self.random.choice(self.files), off=0,
            )  # fmt: skip

    def map_badly(self) -> None:
        """Append an mmap that is wrong in one respect, mostly over what is there."""
        r = self.random
        first, end = self.span()
        kind = self.kind()
        anon = bool(kind & ANONYMOUS)
        fields: dict[str, object] = {
            "addr": _address(first), "len": (end - first) * PAGE, "prot": self.protection(), "flags": kind | FIXED,
            "fd": -1 if anon else r.choice(self.files), "off": 0 if anon else first * PAGE,
        }  # fmt: skip
        file = {"flags": r.choice((PRIVATE_FILE, SHARED_FILE)) | FIXED, "fd": r.choice(self.files)}
        wrong: tuple[dict[str, object], ...] = (
            {"addr": _address(first, r.choice(SHIFTS))},
            {"addr": _address(first, r.choice(SHIFTS)), "flags": kind},
            {"addr": r.choice((0, hex(TASK_SIZE), hex(WORD - PAGE)))},
            {"addr": hex(r.choice(HIGH[1:])), "flags": kind},
            {"addr": hex(TASK_SIZE - PAGE), "len": 2 * PAGE},
            {"len": 0},
            {"len": r.choice((WORD - 1, WORD - PAGE + 1))},
            {"len": r.choice((WORD - PAGE, TASK_SIZE + PAGE, TASK_SIZE, 1 << 63))},
            {"len": r.choice((TASK_SIZE + PAGE, TASK_SIZE, TASK_SIZE - PAGE)), "addr": 0, "flags": kind},
            {"len": (end - first) * PAGE - r.choice((1, 100, PAGE - 1))},
            {"flags": r.choice((0, 4, 5, 6, 7, 9, 15, 1, 2)) | FIXED | ANONYMOUS * self.chance(60)},
            {"flags": kind & ~ANONYMOUS | FIXED, "fd": r.choice((-1, 99))},
            {"flags": VALIDATED_FILE | FIXED, "fd": r.choice(self.files)},
            {"flags": VALIDATED_FILE | NOREPLACE, "fd": r.choice(self.files), "addr": _address(r.randrange(30, 40))},
            {"flags": VALIDATED_FILE | ANONYMOUS | FIXED, "fd": -1},
            {**file, "flags": r.choice((PRIVATE_FILE, SHARED_FILE, SHARED_ANON)) | GROWSDOWN | FIXED},
            {"flags": SHARED_FILE | FIXED, "fd": OBJECT_READ_ONLY, "prot": r.choice((2, 3, 7, 1))},
            {**file, "off": r.choice((1, 0x800, PAGE + 1))},
            {**file, "off": r.choice(((1 << 63) - PAGE, (1 << 63) - 2 * PAGE, 1 << 63, WORD - PAGE, WORD - 2 * PAGE))},
            {**file, "off": (PAGES - 1) * PAGE},
            {"prot": r.choice((0x100, 0x01000003, 8, 1 << 32))},
        )  # fmt: skip
        self.add("mmap", **{**fields, **r.choice(wrong)})

    def advise(self) -> None:
        """Append a madvise."""
        self.add("madvise", **self.range_of("madvise"), behavior=self.pick(ADVICE))

    def destination(self, pages: int) -> str:
        """Return where a moved mapping may go: mostly free space, also onto what is there."""
        r = self.random
        roll = r.random()
        odd = self.chance(self.odd / 3)
        extra = r.choice(SHIFTS) if odd and self.chance(50) else 0
        if odd and not extra:
            return hex(r.choice((0, TASK_SIZE, TASK_SIZE - pages * PAGE + PAGE, WORD - PAGE)))
        if roll < 0.45:
            return _address(r.choice((20, 24, 30)), extra)
        if roll < 0.90 and self.areas:
            return _address(max(r.choice(r.choice(self.areas)) + r.choice((-2, -1, 0, 0, 0, 1)), 0), extra)
        return _address(r.randrange(0, PAGES - pages) if pages < PAGES else 0, extra)

    def remap(self) -> None:
        """Append an mremap of some mode."""
        r = self.random
        first, end = self.span()
        pages = end - first
        mode = self.pick({0: 20, 1: 18, 2: 22, 3: 10, 4: 10, 5: 8, 6: 4, 7: 3, 8: 5})
        new = pages
        target: str | int = 0
        if mode == 0:  # shrinks in place
            new, flags = r.randint(1, pages), self.pick({0: 70, MAYMOVE: 30})
        elif mode == 1:  # grows, in place or away
            new, flags = pages + r.randint(1, 4), self.pick({0: 50, MAYMOVE: 50})
        elif mode == 2:  # moves whole
            flags, target = MAYMOVE | MREMAP_FIXED, self.destination(pages)
        elif mode == 3:  # moves and changes its length
            new = max(1, pages + r.choice((-2, -1, 1, 2, 3)))
            flags, target = MAYMOVE | MREMAP_FIXED, self.destination(new)
        elif mode == 4:  # leaves the old range mapped
            flags, target = MAYMOVE | MREMAP_FIXED | DONTUNMAP, self.destination(pages)
        elif mode == 5:  # duplicates, rarely onto itself
            pages, flags = 0, MAYMOVE | MREMAP_FIXED * self.chance(70)
            target = self.destination(new) if flags & MREMAP_FIXED else 0
            if flags & MREMAP_FIXED and self.chance(15):
                target = _address(first)
        elif mode == 6:
            flags = MAYMOVE | DONTUNMAP
            target = 0 if self.chance(50) else self.destination(pages)
        elif mode == 7:  # combinations that are refused
            flags = r.choice((MREMAP_FIXED, DONTUNMAP, 8, 7, 9, (1 << 32) | 1))
            new, target = max(1, pages + r.choice((-1, 0, 1))), self.destination(pages)
        else:  # nothing to do
            flags = self.pick({0: 60, MAYMOVE: 40})
        old_size, new_size, address = pages * PAGE, new * PAGE, WINDOW + first * PAGE
        if self.chance(self.odd):
            odd = self.pick({0: 15, 1: 25, 2: 25, 3: 15, 4: 10, 5: 6})
            if odd == 0:
                address += r.choice(SHIFTS)
            elif odd == 1:
                old_size += r.choice((-1, 1, -100, 1 - PAGE)) if pages else 1
            elif odd == 2:
                new_size += r.choice((-1, 1, -100, 1 - PAGE))
            elif odd == 3:
                old_size = r.choice((0, WORD - 1, WORD - PAGE, WORD - address, WORD - address - PAGE, TASK_SIZE, FAR))
                if old_size == FAR and flags & MREMAP_FIXED:  # what it shrinks by would be charged: no machine has that
                    old_size = 8 * PAGE
            elif odd == 4:
                new_size = r.choice((0, WORD - 1, WORD - PAGE, TASK_SIZE, TASK_SIZE + PAGE))
            else:
                address = r.choice((0, *HIGH))
        self.add(
            "mremap", addr=hex(address), old_len=old_size, new_len=new_size, flags=flags, new_addr=target,
        )  # fmt: skip

    def lock(self) -> None:
        """Append an mlock or munlock."""
        name = "mlock" if self.chance(65) else "munlock"
        self.add(name, **self.range_of(name))

    def store_somewhere(self) -> None:
        """Append a store into a page that is probably mapped."""
        self.store(*self.span())

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

    def many(self) -> int:
        """Return how many calls to make: 1 to 12, mostly fewer than 9."""
        return self.random.randint(1, 8) if self.chance(85) else self.random.randint(9, 12)

    # ---- flavours ----

    def plain(self) -> None:
        """Mappings, seals, calls."""
        self.set_up()
        for _ in range(self.pick({0: 5, 1: 50, 2: 35, 3: 10})):
            self.seal()
        self.calls(self.many(), {})

    def room(self) -> None:
        """The same with few maps left, before or after the seals, changed on the way."""
        self.set_up()
        early = self.chance(40)
        if early:
            self.fill()
        for _ in range(self.pick({0: 15, 1: 55, 2: 30})):
            self.seal()
        if self.chance(15):
            first, end = self.span()
            self.add("mlock", addr=_address(first), len=(end - first) * PAGE)
        if not early:
            self.fill()
        self.calls(self.many(), {self.fill: 5, self.seal: 14, self.lock: 8, self.remap: 24, self.unmap: 18})

    def move(self) -> None:
        """Mostly mremap, also over several mappings and onto the moved ones."""
        self.set_up()
        for _ in range(self.pick({0: 20, 1: 55, 2: 25})):
            self.seal()
        self.areas.extend([(20, 23), (24, 27)] if self.chance(50) else [])
        self.calls(self.many(), {self.remap: 90})

    def state(self) -> None:
        """Mostly advice and stores: what happens to contents."""
        self.set_up()
        self.calls(self.random.randint(0, 2), {self.advise: 60})
        for _ in range(self.pick({1: 60, 2: 40})):
            self.seal()
        self.calls(self.many(), {self.advise: 90, self.store_somewhere: 30})

    def fork(self) -> None:
        """Calls before and after a fork; what the child keeps."""
        self.set_up()
        for _ in range(self.random.randint(0, 2)):
            first, end = self.span()
            self.add(
                "madvise", addr=_address(first), len=(end - first) * PAGE,
                behavior=self.random.choice((10, 18, 10, 18, 11, 19, 102, 8)),
            )  # fmt: skip
        for _ in range(self.random.randint(0, 2)):
            self.seal()
        self.calls(self.random.randint(0, 2), {self.lock: 10})
        self.add("fork")
        self.calls(self.many(), {self.store_somewhere: 15})

    def keys(self) -> None:
        """A protection key on some pages, and a thread that may or may not use it."""
        self.set_up()
        for _ in range(self.pick({1: 83, 2: 15, 17: 2})):
            self.add("pkey_alloc")
        for _ in range(self.random.randint(1, 2)):
            first, end = self.span()
            self.add(
                "pkey_mprotect", addr=_address(first), len=(end - first) * PAGE,
                prot=self.protection(), pkey=self.pick({1: 80, 2: 15, 0: 5}),
            )  # fmt: skip
        for _ in range(self.random.randint(1, 2)):
            self.seal()
        for _ in range(self.random.randint(1, 2)):
            # Key 0 is allowed, key 1 is: allowed, not to be written, not at all; others not.
            self.add("pkru", bits=self.random.choice((0x55555550, 0x55555558, 0x55555554)))
            self.calls(self.random.randint(1, 4), {self.advise: 50, self.store_somewhere: 20, self.lock: 8})

    def heap(self) -> None:
        """The break moves, with seals and mappings on its way, sometimes with little room."""
        r = self.random
        top = r.randint(1, 6)
        self.add("brk", addr=f"brk+{hex(top * PAGE)}")
        tight = self.chance(12)
        if tight and self.chance(50):  # a mapping behind the heap joins it, so that shrinking makes a hole
            self.add(
                "mmap", addr=f"brk+{hex(top * PAGE)}", len=2 * PAGE, prot=3, flags=PRIVATE_ANON | FIXED, fd=-1, off=0
            )
        if tight:
            self.add("fill", free=r.randrange(0, 3))
            for page in range(r.randrange(0, 3)):  # up to one more than the limit
                self.map_area(2 * page, 1, PRIVATE_ANON, 3)
        for _ in range(r.randint(2, 9)):
            where = f"brk+{hex(r.randrange(0, 7) * PAGE)}"
            size = r.randint(1, 4) * PAGE
            what = self.pick({0: 40, 1: 22, 2: 10, 3: 10, 4: 10, 5: 6, 6: 4, 7: 4, 8: 4, 9: 3})
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
            elif what == 5:
                self.add(
                    "mmap", addr=where, len=size, prot=self.protection(),
                    flags=PRIVATE_ANON | FIXED, fd=-1, off=0,
                )  # fmt: skip
            elif what == 6:
                aims = (f"brk+{hex(r.randrange(0, 8 * PAGE))}", 0, 1 << 20, TASK_SIZE + PAGE, WORD - PAGE, WORD - 1)
                self.add("brk", addr=r.choice(aims))
            elif what == 7:
                self.add("madvise", addr=where, len=size, behavior=self.pick(ADVICE))
            elif what == 8:
                new = max(PAGE, size + r.choice((-2, -1, 0, 1, 2)) * PAGE)
                self.add("mremap", addr=where, old_len=size, new_len=new, flags=0, new_addr=0)
            else:
                self.add(r.choice(("mlock", "munlock")), addr=where, len=size)
        if self.chance(10):
            self.add("fork")
            self.add("brk", addr=f"brk+{hex(r.randrange(0, 10) * PAGE)}")

    def objects(self) -> None:
        """As plain, with other files: one opened for reading only, /dev/zero, a short one beside the usual one.

        Also the same file by two descriptors.
        """
        self.files = self.random.choice(
            (
                (OBJECT_READ_ONLY,), (DEV_ZERO, OBJECT), (OBJECT, OTHER), (OTHER, DEV_ZERO), (OBJECT, OBJECT_READ_ONLY),
                (OTHER, OTHER + 1),
            )
        )  # fmt: skip
        if OTHER in self.files:
            self.add("file", fd=OTHER, pages=12, contents="8182838485868788898a8b8c")
        self.plain()

    def wild(self) -> None:
        """As plain, with arguments that are often wrong."""
        self.odd = 45.0
        self.plain()

    def stack(self) -> None:
        """Memory that grows down, without the stores that would make it grow."""
        self.set_up()
        self.stores = False
        at = self.random.choice((8, 16, 20))
        for _ in range(self.random.randint(1, 2)):
            pages = self.random.randint(1, 3)
            self.map_area(at, pages, PRIVATE_ANON, self.protection(), FIXED | GROWSDOWN)
            at += pages
        for _ in range(self.random.randint(0, 1)):
            self.seal()

        def grow_down() -> None:
            prot = self.protection() | self.random.choice((0x01000000, 0x01000000, 0x02000000, 0x03000000, 0))
            if self.chance(20):
                self.add("pkey_mprotect", **self.range_of("pkey_mprotect"), prot=prot, pkey=WORD - 1)
            else:
                self.add("mprotect", **self.range_of("mprotect"), prot=prot)

        def near() -> None:
            first = self.random.randrange(max(at - 8, 0), at + 2)
            self.map_area(first, self.random.randint(1, 3), self.kind(), self.protection(), 0)

        self.calls(self.many(), {grow_down: 30, near: 20, self.store_somewhere: 0})

    def vdso(self) -> None:
        """The vdso among mappings, or in the heap: it refuses to be split, to grow, to be locked."""
        if self.chance(12):
            self.add("brk", addr=f"brk+{hex(6 * PAGE)}")
            self.add("munmap", addr=f"brk+{hex(2 * PAGE)}", len=2 * PAGE)
            self.add("vdso", addr=f"brk+{hex(2 * PAGE)}")
            self.add("brk", addr=f"brk+{hex(self.random.randint(1, 4) * PAGE)}")
            self.heap()
            return
        at = self.random.choice((1, 3, 5))
        self.add("vdso", addr=_address(at))
        self.areas.append((at, at + 2))
        first = at + 2 if self.chance(70) else at + 3
        for _ in range(self.random.randint(1, 2)):
            pages = self.random.randint(1, 3)
            self.map_area(first, pages, self.kind(), self.protection())
            first += pages
        if self.chance(50):
            self.map_area(max(at - 2, 0), min(at, 2), self.kind(), self.protection())
        self.areas.extend([(at, at + 2)] * 2)
        for _ in range(self.random.randint(0, 1)):
            self.seal()
        self.calls(self.many(), {self.remap: 22, self.lock: 8})

    def droppable(self) -> None:
        """Droppable memory among other mappings."""
        self.set_up()
        at = self.random.choice(self.areas)[1]
        for _ in range(self.random.randint(1, 2)):
            pages = self.random.randint(1, 3)
            odd = self.random.choice((LOCKED, GROWSDOWN)) if self.chance(10) else 0
            self.map_area(at, pages, DROPPABLE_ANON, self.protection(), FIXED | odd)
            self.areas.append((at, at + pages))
            self.store(at, at + pages)
            at += pages
        for _ in range(self.random.randint(0, 2)):
            self.seal()
        self.calls(self.many(), {self.advise: 50, self.store_somewhere: 20, self.lock: 8, self.fork_now: 3})

    def join(self) -> None:
        """Neighbours that differ in one thing, written or not, before and after a fork, and are then made alike."""
        r = self.random
        kind = self.pick({PRIVATE_ANON: 75, PRIVATE_FILE: 25})
        at = r.randrange(0, 3)
        for number in range(r.randint(3, 5)):
            pages = r.randint(1, 2)
            self.add(
                "mmap", addr=_address(at), len=pages * PAGE, prot=3, flags=kind | FIXED,
                fd=-1 if kind & ANONYMOUS else OBJECT, off=0 if kind & ANONYMOUS else at * PAGE,
            )  # fmt: skip
            self.areas.append((at, at + pages))
            if number % 2:
                self.add("mprotect", addr=_address(at), len=pages * PAGE, prot=1)
            at += pages
        for first, end in self.areas[::2]:
            if self.chance(50):
                self.store(first, end)

        def alike() -> None:
            first, end = r.choice(self.areas)[0], r.choice(self.areas)[1]
            where = {"addr": _address(min(first, end - 1)), "len": max(end - first, 1) * PAGE}
            what = self.pick({0: 40, 1: 15, 2: 15, 3: 8, 4: 8})
            if what < 2:
                self.add("mprotect", **where, prot=1 if what else 3)
            elif what == 2:
                self.add("madvise", **where, behavior=r.choice((16, 17)))
            else:
                self.add("mlock" if what == 3 else "munlock", **where)

        self.calls(r.randint(0, 3), {alike: 60, self.store_somewhere: 40})
        if self.chance(40):
            self.add("fork")
        self.calls(self.many(), {alike: 90, self.store_somewhere: 25})

    def limits(self) -> None:
        """As plain, with limits that have no room in some calls."""
        self.odd = 0.0
        if self.chance(30):  # locked memory that cannot grow
            pages = self.random.randint(1, 3)
            self.map_area(0, pages, self.kind(), self.protection())
            self.add("mlock", addr=_address(0), len=pages * PAGE)
            self.add(
                "mremap", addr=_address(0), old_len=pages * PAGE, new_len=(pages + 1) * PAGE,
                flags=self.pick({0: 50, MAYMOVE: 50}), new_addr=0, failures=["mremap: RLIMIT_MEMLOCK has no room"],
            )  # fmt: skip
            return
        if self.chance(30):
            self.tight = 50.0
            self.heap()
            return
        self.set_up()
        self.tight = 50.0
        for _ in range(self.random.randint(0, 2)):
            self.seal()
        self.calls(self.many(), {self.lock: 20, self.map_more: 25, self.remap: 25})

    def flags(self) -> None:
        """As plain, with every bit that flags and protections have, and values of advice that nothing has."""
        self.bits = 70.0
        if self.chance(30):
            for _ in range(self.random.randint(1, 2)):
                flags = self.pick({0: 60, 1 << self.random.randrange(0, 64): 40})
                rights = self.pick({0: 30, 1: 15, 2: 15, 3: 15, 1 << self.random.randrange(2, 64): 25})
                self.add("pkey_alloc", flags=flags, rights=rights)
        self.plain()

    def huge(self) -> None:
        """Huge pages in the window, among ordinary mappings: parts of them, sizes that are none, and lengths and places
        that are not theirs. Ordinary memory is as large here, and none of it is to become a transparent huge page: that
        would tell when it was read (EXCLUSIONS.md)."""
        r = self.random
        self.transparent = False
        if self.chance(30):
            self.set_up()
            self.areas.clear()
        for _ in range(r.randint(1, 2)):
            kind = self.pick({PRIVATE_ANON: 60, SHARED_ANON: 25, ANONYMOUS | VALIDATED_FILE: 5, DROPPABLE_ANON: 3})
            more = self.pick({NORESERVE: 65, 0: 35}) | self.pick({0: 70, HUGE_2MB: 15, r.choice(SIZES): 5})
            more |= self.pick({0: 70, LOCKED: 6, POPULATE: 8, STACK: 6, SYNC: 3, GROWSDOWN: 3, LOW: 4})
            size = self.pick(
                {HUGE_PAGES * PAGE: 50, 1: 10, PAGE: 10, (HUGE_PAGES + 1) * PAGE: 15, WORD - PAGE: 2, 0: 2}
            )
            where = self.pick({0: 75, 1: 6, HUGE_PAGES: 6, -HUGE_PAGES: 5, r.randrange(0, 40): 8})
            place = self.pick({FIXED: 80, NOREPLACE: 10, 0: 10})
            extra = r.choice(SHIFTS) if self.chance(3) else 0
            off = self.pick({0: 88, PAGE: 6, HUGE_PAGES * PAGE: 6})
            self.add(
                "mmap", addr=_address(where, extra), len=size, prot=self.protection(),
                flags=kind | HUGETLB | more | place, fd=-1, off=off,
            )  # fmt: skip
            if where == 0 and place:
                self.areas.append((0, HUGE_PAGES))
            if self.chance(40):
                self.map_area(HUGE_PAGES, r.randint(1, 3), self.kind(), self.protection())
                self.areas.append((HUGE_PAGES, HUGE_PAGES + 3))
        if self.chance(50):
            self.seal()

        def move_whole() -> None:
            sizes = r.choice((1, 17, HUGE_PAGES, HUGE_PAGES + 1)), r.choice((1, HUGE_PAGES, HUGE_PAGES, 2 * HUGE_PAGES))
            flags = self.pick({MAYMOVE | MREMAP_FIXED: 60, MAYMOVE: 10, 0: 20, MAYMOVE | MREMAP_FIXED | DONTUNMAP: 10})
            target = r.choice((HUGE_PAGES, 2 * HUGE_PAGES, 4 * HUGE_PAGES, 3, 0)) if flags & MREMAP_FIXED else 0
            old, new = (sizes[0], sizes[0]) if flags & DONTUNMAP or self.chance(40) else sizes
            self.add(
                "mremap", addr=_address(r.choice((0, 0, 0, 1, HUGE_PAGES))), old_len=old * PAGE, new_len=new * PAGE,
                flags=flags, new_addr=_address(target),
            )  # fmt: skip

        self.calls(self.many(), {move_whole: 20, self.lock: 8, self.fork_now: 2})

    def fork_now(self) -> None:
        """Append a fork."""
        self.add("fork")


def scenario(seed: int, index: int, flavours: Mapping[str, int] = FLAVOURS) -> dict[str, object]:
    """Return scenario ``index`` of a seed, named ``gSEED-INDEX-FLAVOUR``.

    ``flavours`` are the kinds to choose from and their weights (see :data:`FLAVOURS`).
    Raises KeyError on a flavour that does not exist.
    """
    maker = _Maker(seed, index)
    flavour = maker.random.choices(list(flavours), list(flavours.values()))[0]
    if flavour not in FLAVOURS:
        raise KeyError(flavour)
    getattr(maker, flavour)()
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
