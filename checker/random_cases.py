# SPDX-License-Identifier: MIT
"""Random address spaces and calls, drawn near the edges where things happen.

VMAs that touch and nearly merge, every attribute, map_count near each of its limits; places at 0, mmap_min_addr, the
window of the scenarios, a huge-page border and TASK_SIZE; arguments as raw 64-bit words, some of them unaligned, huge
or wrapping around. Used by the soak (proofs/soak.py) and by the tests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from checker.calls import finish
from checker.concrete import ConcreteSpace, State, TooManyPages
from checker.examples import Example
from spec.advice import known_advice
from spec.editions import Edition
from spec.mapping import LARGEST_FILE_PAGES
from spec.syscalls import CALLS
from spec.terms import Bool, whole
from spec.vma import (
    ANONYMOUS,
    DEVZERO,
    EMPTY_PAGE,
    FILE,
    HUGE_PAGES,
    HUGETLB,
    LARGEST_OFFSET,
    SPECIAL,
    Page,
    Vma,
    has_file,
    is_anonymous,
)
from spec.words import MIN_PAGE, PAGE_SIZE, TASK_PAGES, WORD

WINDOW = 0x2_0000_0000
"""First page of the scenarios' window (a multiple of a huge page)."""
REACH = 12
"""All VMAs of one neighbourhood lie within so many pages."""
PLACES = (WINDOW, WINDOW, WINDOW, 0, MIN_PAGE - 2, WINDOW + HUGE_PAGES - 4, TASK_PAGES - REACH)
"""Where neighbourhoods of VMAs begin, in pages."""
OBJECTS: Mapping[int, tuple[int, ...]] = {FILE: (1, 2), DEVZERO: (3,), HUGETLB: (4,)}
"""Objects by the backing that maps them."""
MARKS = ("sealed", "sealed", "write", "read", "locked", "reading", "dontfork", "thp", "pkey", "anon_vma", "noreserve")
"""Attributes in which touching VMAs differ."""
PKRU = (0x5555_5554, 0, 0x5555_5550, 0x4, 0x8, 0x1, 0x2, 0x24)


class RandomCases:
    """Draws address spaces and calls from a source of random numbers."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def rarely(self) -> bool:
        """True once in five."""
        return self.random.random() < 0.2

    def often(self) -> bool:
        """True four times in five."""
        return not self.rarely()

    # address spaces ---------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return a well-formed address space of up to five VMAs in one or two neighbourhoods."""
        pick = self.random.choice
        keys = pick(([], [1], [1, 2], list(range(1, 16))))
        vmas: list[Vma] = []
        for place in sorted(set(self.random.choices(PLACES, k=pick((1, 1, 1, 2))))):
            at = max(place, whole(vmas[-1].end) if vmas else 0) + pick((0, 0, 1, 3))
            for _ in range(pick((0, 1, 2, 2, 3))):
                at += pick((0, 0, 0, 1, 2))
                end = at + pick((1, 1, 2, 3))
                if end > min(place + REACH, TASK_PAGES):
                    break
                touching = bool(vmas) and vmas[-1].end == at
                vmas.append(
                    self._like(vmas[-1], at, end) if touching and self.often() else self._fresh_vma(at, end, keys)
                )
                at = end
        vmas = [self._grown_huge(vma, vmas[i + 1 :]) for i, vma in enumerate(vmas)]
        # a kernel maps whole huge pages only (assumption HUGE_SIZES)
        vmas = [vma for vma in vmas if vma.backing != HUGETLB or whole(vma.end - vma.start) == HUGE_PAGES]
        pages, objects = self._contents(vmas)
        sizes = {number: pick((32, 32, 1, 2)) for of in OBJECTS.values() for number in of}
        start_brk = pick((WINDOW, WINDOW + 3, 0, TASK_PAGES - 3))
        brk = min(start_brk + pick((0, 1, 2, 4)), TASK_PAGES)
        if vmas and self.random.random() < 0.5:
            heap = pick(vmas)
            start_brk, brk = whole(heap.start), whole(heap.end)
        elsewhere = self.random.randint(9, 12)
        return State(
            vmas=vmas,
            pages=pages,
            objects={place: value for place, value in objects.items() if place[1] < sizes[place[0]]},
            sizes=sizes,
            elsewhere=elsewhere,
            max_map_count=elsewhere + len(vmas) + self.random.randint(-1, 8) if self.random.random() < 0.5 else 65530,
            start_brk=start_brk,
            brk=brk,
            pkeys={0, *keys},
            exec_key=pick((0, 0, keys[-1])) if keys else 0,
            has_pkeys=self.often(),
            pkru=pick(PKRU),
        )

    def _grown_huge(self, vma: Vma, behind: list[Vma]) -> Vma:
        """A VMA of huge pages that begins at one, and has room, has a whole one."""
        end = whole(vma.start) + HUGE_PAGES
        room = (not behind or end <= whole(behind[0].start)) and end <= TASK_PAGES
        whole_page = vma.backing == HUGETLB and whole(vma.start) % HUGE_PAGES == 0
        return replace(vma, end=end) if room and whole_page else vma

    def _fresh_vma(self, start: int, end: int, keys: list[int]) -> Vma:
        pick = self.random.choice
        backing = pick((ANONYMOUS, ANONYMOUS, ANONYMOUS, ANONYMOUS, FILE, FILE, DEVZERO, SPECIAL, HUGETLB))
        may_share = backing in (FILE, HUGETLB) and pick((True, False))
        may_write = self.often()
        shared = may_share and (may_write or pick((True, False)))
        may_read, may_exec = self.often(), self.often()
        anon_vma = 0 if shared else pick((0, 0, 7, 8))
        plain = backing == ANONYMOUS
        droppable = plain and self.rarely()
        offset = start if plain and anon_vma == 0 else pick((start, 3) if plain else (0, 1, 4, LARGEST_OFFSET - 4096))
        return Vma(
            start=start,
            end=end,
            read=may_read and self.often(),
            write=may_write and pick((True, False)),
            exec=may_exec and self.rarely(),
            may_read=may_read,
            may_write=may_write,
            may_exec=may_exec,
            shared=shared,
            may_share=may_share,
            backing=backing,
            object=pick(OBJECTS[backing]) if backing in OBJECTS else 0,
            offset=offset,
            anon_vma=anon_vma,
            inherited=anon_vma > 0 and self.rarely(),
            pkey=pick([0, 0, *keys]),
            sealed=pick((False, False, True)),
            locked=backing != SPECIAL and not droppable and self.rarely(),
            growsdown=plain and self.rarely(),
            dontfork=self.rarely(),
            wipeonfork=backing in (ANONYMOUS, SPECIAL) and self.rarely(),
            droppable=droppable,
            dontdump=self.rarely(),
            mergeable=self.rarely(),
            reading=pick((0, 0, 0, 1, 2)),
            thp=pick((0, 0, 0, 1, 2)),
            account=self.rarely(),
            noreserve=droppable or self.rarely(),
        )

    def _like(self, before: Vma, start: int, end: int) -> Vma:
        """A VMA that goes on where the one before it ends, alike in all or in all but one attribute."""
        offset = whole(before.offset) + (start - whole(before.start))
        vma = replace(before, start=start, end=end, offset=offset)
        if self.rarely():
            return vma
        name = self.random.choice(MARKS)
        if name == "reading":
            return replace(vma, reading=(whole(vma.reading) + 1) % 3)
        if name == "thp":
            return replace(vma, thp=(whole(vma.thp) + 1) % 3)
        if name == "pkey":
            return replace(vma, pkey=1 - whole(vma.pkey) % 2)
        if name == "anon_vma":
            anon_vma = 0 if vma.shared else self.random.choice((0, 7, 8))
            return replace(vma, anon_vma=anon_vma, inherited=vma.inherited and anon_vma != 0)
        value = not getattr(vma, name)
        if (name == "write" and not vma.may_write) or (name == "read" and not vma.may_read):
            value = False
        if name == "locked" and (vma.droppable or vma.backing == SPECIAL):
            value = False
        if name == "noreserve" and vma.droppable:
            value = True
        return replace(vma, **{name: value})

    def _contents(self, vmas: list[Vma]) -> tuple[dict[int, Page], dict[tuple[int, int], int]]:
        pages: dict[int, Page] = {}
        objects: dict[tuple[int, int], int] = {}
        for vma in vmas:
            for number in range(whole(vma.start), min(whole(vma.end), whole(vma.start) + REACH)):
                page = self._page(vma)
                if page != EMPTY_PAGE:
                    pages[number] = page
                if has_file(vma) and self.random.random() < 0.5:
                    place = whole(vma.object), whole(vma.offset) + number - whole(vma.start)
                    objects[place] = self.random.randint(1, 3)
        return pages, objects

    def _page(self, vma: Vma) -> Page:
        kinds = ["empty", "empty"]
        if vma.anon_vma != 0 and not vma.may_share:
            kinds += ["copied", "copied"]
            if is_anonymous(vma):
                kinds.append("lazy")
        if vma.backing in (ANONYMOUS, FILE) and not vma.locked and self.rarely():
            kinds.append("guard")
        kind = self.random.choice(kinds)
        if kind == "empty":
            return EMPTY_PAGE
        if kind == "guard":
            return Page(guard=True)
        return Page(copied=True, own=self.random.randint(0, 3), lazy=kind == "lazy")

    # calls ------------------------------------------------------------------------------------------------------------

    def words(self, call: str, state: State, edition: Edition) -> dict[str, int]:
        """Return the arguments of a call as 64-bit words, near what is mapped."""
        draw: dict[str, Callable[[State], dict[str, int]]] = {
            "mmap": self._mmap,
            "mremap": self._mremap,
            "brk": lambda state: {"addr": self._brk(state)},
            "write": lambda state: {"addr": self._address(state), "byte": self.random.randint(0, 300)},
            "reclaim": lambda state: {"addr": self._address(state)},
            "pkru": lambda state: {"bits": self.random.choice((*PKRU, self.random.getrandbits(64)))},
            "fork": lambda state: {},
            "pkey_alloc": lambda state: {
                "flags": self.random.choice((0,) * 9 + (1,)),
                "rights": self.random.choice((0, 0, 1, 2, 3, 4)),
            },
        }
        if call in draw:
            return draw[call](state)
        addr = self._address(state)
        words = {"addr": addr, "len": self._length(state, addr)}
        if call in ("mseal", "mseal32"):
            words["flags"] = self.random.choice((0,) * 12 + (1, 1 << 63))
        if call in ("mprotect", "pkey_mprotect"):
            words["prot"] = self._prot() | self.random.choice((0,) * 9 + (0x0100_0000, 0x0200_0000, 8, 16))
        if call == "pkey_mprotect":
            words["pkey"] = self.random.choice((WORD - 1, 0xFFFF_FFFF, 0, 1, 2, 15, 16, WORD - 2))
        if call == "madvise":
            words["behavior"] = self.random.choice(known_advice(edition)) if self.random.random() < 0.95 else 99
        return words

    def _prot(self) -> int:
        return self.random.choice((0, 1, 3, 3, 1, 2, 4, 5, 6, 7))

    def _page_number(self, state: State) -> int:
        """A page at, in or beside some VMA."""
        edges = [whole(edge) for vma in state.vmas for edge in (vma.start, vma.end)]
        edges += [WINDOW, state.start_brk, state.brk]
        if self.random.random() < 0.08:
            edges = [0, MIN_PAGE, TASK_PAGES, WINDOW + HUGE_PAGES, (WORD // PAGE_SIZE) - 2]
        return max(0, self.random.choice(edges) + self.random.choice((0, 0, 0, 1, -1, 2)))

    def _address(self, state: State) -> int:
        inside = self.random.choice((0,) * 14 + (1, 4095, 1 << 63))
        return (self._page_number(state) * PAGE_SIZE + inside) % WORD

    def _length(self, state: State, addr: int) -> int:
        if self.random.random() < 0.04:
            return self.random.choice((0, WORD - 1, WORD - PAGE_SIZE, TASK_PAGES * PAGE_SIZE, WORD - addr))
        if self.random.random() < 0.5:
            end = self._page_number(state) * PAGE_SIZE
            return end - addr if end > addr else PAGE_SIZE
        return self.random.choice((1, 2, 3, 4)) * PAGE_SIZE - self.random.choice((0, 0, 0, 1, 4095))

    def _brk(self, state: State) -> int:
        if self.random.random() < 0.1:
            return self.random.choice((0, WORD - 1, TASK_PAGES * PAGE_SIZE, TASK_PAGES * PAGE_SIZE + 1))
        place = self.random.choice((state.start_brk, state.brk, state.brk, *(whole(v.start) for v in state.vmas)))
        return max(0, place + self.random.choice((0, 1, -1, 2, 3))) * PAGE_SIZE

    def _mmap(self, state: State) -> dict[str, int]:
        pick = self.random.choice
        file = pick((0, 0, 0, 0, 1, 2, 3))
        flags = pick((2, 2, 2, 1, 1, 3, 8, 0)) | (0x20 if not file and self.often() else 0)
        flags |= pick((0x10, 0x10, 0, 0, 0x10_0000))
        for bit in (0x40, 0x100, 0x2000, 0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 1 << 30):
            flags |= bit if self.random.random() < 0.1 else 0
        addr = 0 if self.random.random() < 0.05 else self._address(state)
        length = self._length(state, addr)
        if self.random.random() < 0.03:
            length = (TASK_PAGES - self.random.randint(-1, 20)) * PAGE_SIZE
        if self.random.random() < 0.03:
            addr = 1
        offset = pick((0, 0, 1, 4, LARGEST_FILE_PAGES - 2, LARGEST_FILE_PAGES)) if file else pick((0, 7))
        return {
            "addr": addr,
            "len": length,
            "prot": self._prot(),
            "flags": flags,
            "file": file,
            "object": file,
            "off": offset * PAGE_SIZE + pick((0,) * 19 + (1,)),
        }

    def _mremap(self, state: State) -> dict[str, int]:
        pick = self.random.choice
        addr = self._address(state)
        old_len = pick((1, 2, 3, 1, 2, 0, 5, 12)) * PAGE_SIZE
        movable = [vma for vma in state.vmas if not vma.sealed]
        if movable and self.random.random() < 0.6:  # a part of a VMA that nothing keeps from being moved
            vma = pick(movable)
            first = self.random.randint(whole(vma.start), whole(vma.end) - 1)
            addr = pick((whole(vma.start), first)) * PAGE_SIZE
            old_len = self.random.randint(1, whole(vma.end) - addr // PAGE_SIZE) * PAGE_SIZE
        new_len = pick((1, 2, 3, 1, 2, 4, 5)) * PAGE_SIZE if self.random.random() < 0.5 else old_len
        if self.random.random() < 0.05:
            old_len = pick((WORD - 1, WORD - addr, WORD - addr + 2 * PAGE_SIZE, TASK_PAGES * PAGE_SIZE))
        if self.random.random() < 0.03:
            new_len = pick((WORD - 1, TASK_PAGES * PAGE_SIZE, (TASK_PAGES + 1) * PAGE_SIZE))
        far = (WINDOW + self.random.randint(14, 40)) * PAGE_SIZE
        beside = (self._page_number(state) + pick((0, 1, 4, 8))) * PAGE_SIZE
        return {
            "addr": addr,
            "old_len": old_len,
            "new_len": new_len,
            "flags": pick((0, 1, 1, 1, 3, 3, 3, 3, 5, 5, 7, 7, 7, 2, 4, 8)),
            "new_addr": pick((0, far, far, beside, beside, self._address(state))) % WORD,
        }


class _Asked(ConcreteSpace):
    """A space that remembers what the call asked of its environment."""

    asked: set[str]

    def environment(self, why: str) -> Bool:
        self.asked.add(why)
        return False


def environment_of(example: Example, edition: Edition) -> list[str]:
    """What can go wrong in the environment of this call, by name."""
    space = _Asked(example.state.copy(), edition)
    space.asked = set()
    with contextlib.suppress(TooManyPages):
        finish(lambda: CALLS[example.call].body(space, example.arguments))
    return sorted(space.asked)
