# SPDX-License-Identifier: MIT
"""Puts a counterexample where a process can have it: its layout, its calls and its outcome, moved together.

A document's pages may lie anywhere, its contents are abstract values, its files and keys have any number. A
scenario has a window of 48 pages (or a heap), bytes, descriptors and keys that the kernel numbers. What follows
maps one onto the other, so that the document says the same of the window that it said of its own place. Distances
are kept as they are where that is possible; else gaps and long VMAs are shortened, and the one VMA that refuses to be
split is given the two pages that a vdso has. Whether the moved document is still true is for the caller to see: the
concrete reading executes it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from checker.documents.answers import WINDOW_PAGES
from checker.documents.base import HEAP_PAGE
from checker.documents.counterexamples import Counterexample, CounterexampleStep
from checker.documents.layouts import LayoutDoc, VmaDoc
from checker.lab.script import MAP_HUGETLB, NO_MEMORY
from checker.scenario import WINDOW, ZERO
from spec.mapping import (
    DEV_ZERO,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_TYPE,
    READ_ONLY_FILE,
    WRITABLE_FILE,
)
from spec.syscalls.mremap import DONTUNMAP, FIXED
from spec.vma import HUGE_PAGES
from spec.words import MIN_PAGE, PAGE_SIZE, TASK_PAGES

VDSO_PAGES: Final = 2
"""Pages of the vdso of the kernels that are known here."""
FIRST_FILE: Final = 110
"""Descriptor of a document's first file; the next have 112, 114 and so on."""
MANY_PAGES: Final = 1 << 40
"""A file of so many pages has no end that matters."""
SPARE_PAGES: Final = 256
"""Pages that such a file has beyond what is mapped of it."""
FILE_BYTES: Final = 256
"""Pages of a file that a scenario can give contents."""
GAP: Final = 8
"""Pages of a gap, or of a long VMA, where it is shortened."""
LONG: Final = 24
"""Pages of a VMA that is not shortened."""
REFUSING: Final = ("special", "hugetlb")
VDSO_FLAGS: Final = (
    "dontdump", "dontfork", "hugepage", "nohugepage", "random", "sealed", "sequential", "wipeonfork",
)  # fmt: skip
"""Flags that a program can give its vdso."""
RANGED: Final = ("mseal", "munmap", "mmap", "mprotect", "pkey_mprotect", "madvise", "mlock", "munlock")


class CannotTry(Exception):
    """A document cannot be tried on a real kernel, or not on this one; `reason` says why in one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_positional(page: int) -> bool:
    """A page number that means a place; what is below mmap_min_addr or beyond TASK_SIZE is tested as a number."""
    return MIN_PAGE <= page < TASK_PAGES - 1


@dataclass(frozen=True, slots=True)
class Places:
    """Where the pages of a document lie: page `points[i]` at `images[i]`, both in order, and what is between two points
    as far behind the first of them as it was. What is far from all points stays where it is; without points
    everything does."""

    points: tuple[int, ...] = ()
    images: tuple[int, ...] = ()

    def __call__(self, page: int) -> int:
        """The place of a page."""
        if not self.points or not self.points[0] - LONG <= page <= self.points[-1] + LONG:
            return page
        i = max(bisect_right(self.points, page) - 1, 0)
        return self.images[i] + page - self.points[i]

    def keeps(self, first: int, end: int) -> bool:
        """The range is as long as it was."""
        return self(end) - self(first) == end - first


@dataclass(frozen=True, slots=True)
class Span:
    """A range of pages that an argument pair of a call means: its address word, its length word."""

    address: str
    length: str
    first: int
    end: int
    slack: int
    """Bytes by which the length falls short of the end of the last page."""


def spans(step: CounterexampleStep) -> list[Span]:
    """The ranges of a call that lie in the address space."""
    words = step.words
    pairs: list[tuple[str, str]] = []
    if step.call in RANGED:
        pairs = [("addr", "len")]
    elif step.call == "mremap":
        moves = bool(words["flags"] & (FIXED | DONTUNMAP))
        pairs = [("addr", "old_len"), ("new_addr" if moves else "addr", "new_len")]
    found = []
    for address, length in pairs:
        first, end = words[address] // PAGE_SIZE, -(-(words[address] + words[length]) // PAGE_SIZE)
        if is_positional(first) and is_positional(end):
            slack = end * PAGE_SIZE - words[address] - words[length]
            found.append(Span(address, length, first, end, slack))
    return found


def addresses(step: CounterexampleStep) -> list[str]:
    """The words of a call that are addresses."""
    return [name for name in ("addr", "new_addr") if name in step.words]


def uses_heap(document: Counterexample) -> bool:
    """Some call moves the program break."""
    return any(step.call == "brk" for step in document.steps)


def points_of(document: Counterexample) -> list[int]:
    """Pages at which something begins or ends, in order."""
    before = document.before
    found = {edge for vma in before.vmas for edge in (vma.start, vma.end)}
    inside = {page.page for page in before.pages} | {document.culprit.page}
    for vma in before.vmas:
        if vma.backing not in REFUSING:
            held = [page for page in inside if page is not None and vma.start <= page < vma.end]
            found |= {edge for page in held for edge in (page, page + 1)}
    for step in document.steps:
        for name in addresses(step):
            word = step.words[name]
            page = -(-word // PAGE_SIZE) if step.call == "brk" else word // PAGE_SIZE
            found.add(page)
            if step.call in ("write", "reclaim"):
                found.add(page + 1)
        near = [edge for span in spans(step) for edge in (span.first, span.end)]
        found |= set(near)
    if uses_heap(document):
        found.add(before.brk)
    return sorted(page for page in found if is_positional(page))


def refusing(before: LayoutDoc) -> VmaDoc | None:
    """The VMA that refuses to be split. Raises CannotTry if there are several: a program has one vdso."""
    found = [vma for vma in before.vmas if vma.backing in REFUSING]
    if len(found) > 1:
        raise CannotTry(f"{len(found)} mappings refuse to be split, and a program has only one such mapping, its vdso")
    return found[0] if found else None


def runs_out_of_memory(step: CounterexampleStep) -> bool:
    """A mmap that is to fail for want of memory, as one does that asks for huge pages where there are none: private
    anonymous memory at a fixed address."""
    flags = step.words.get("flags", 0)
    plain = flags & (MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE) == MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
    return bool(step.call == "mmap" and NO_MEMORY in step.failures and plain)


def huge_range(document: Counterexample, points: Sequence[int]) -> tuple[int, int] | None:
    """The range of the document's only call, if that is to fail for want of memory, and all else lies within."""
    found = [span for step in document.steps if runs_out_of_memory(step) for span in spans(step)]
    if len(document.steps) == 1 and found and (found[0].first, found[0].end) == (points[0], points[-1]):
        return found[0].first, found[0].end
    return None


def choose_places(document: Counterexample) -> Places:
    """Where everything goes: as it is, if that is in the window; else packed together. Raises CannotTry."""
    points = points_of(document)
    special = refusing(document.before)
    if huge_range(document, points) is not None:  # the window begins where a huge page does
        first, *others = points
        size = -(-(points[-1] - first) // HUGE_PAGES) * HUGE_PAGES
        inner = [WINDOW + point - first for point in others[:-1]]
        return Places(tuple(points), (WINDOW, *inner, WINDOW + size))
    fits = not special or (special.end - special.start == VDSO_PAGES and special.backing == "special")
    inside = not points or (points[0] >= WINDOW and points[-1] <= WINDOW + WINDOW_PAGES)
    if fits and inside and not uses_heap(document):
        return Places()
    images: list[int] = []
    at = HEAP_PAGE if uses_heap(document) else WINDOW
    for first, end in zip(points, [*points[1:], *points[-1:]], strict=True):
        images.append(at)
        at += _room_for(document, special, points, first, end)
    room = WINDOW_PAGES if not uses_heap(document) else 4 * WINDOW_PAGES
    if images and images[-1] - images[0] > room:
        raise CannotTry(f"what the document is about does not fit into {room} pages")
    return Places(tuple(points), tuple(images))


def _room_for(document: Counterexample, special: VmaDoc | None, points: list[int], first: int, end: int) -> int:
    """Pages that the range between two neighbouring points is given."""
    if special is not None and special.start <= first < special.end:
        parts = [page for page in points if special.start <= page < special.end]
        if len(parts) > VDSO_PAGES:
            raise CannotTry(f"the mapping that refuses to be split would need {len(parts)} pages; a vdso has two")
        return VDSO_PAGES // len(parts)
    holder = next((vma for vma in document.before.vmas if vma.start <= first < vma.end), None)
    if holder is None:
        return min(end - first, GAP)
    if end - first <= LONG:
        return end - first
    if holder.backing != "anon":
        raise CannotTry(f"a mapping of {holder.end - holder.start} pages of an object")
    return GAP


# numbers --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Numbers:
    """What becomes of a document's values, files and keys."""

    values: dict[int, int] = field(default_factory=lambda: {0: 0})
    files: dict[int, int] = field(default_factory=dict)
    keys: dict[int, int] = field(default_factory=lambda: {0: 0})
    skipped: dict[int, int] = field(default_factory=dict)
    """Pages at the beginning of each file that are left out."""

    def value(self, value: int) -> int:
        """A page's contents as a byte."""
        return self.values.get(value, value & 0xFF)

    def key(self, key: int) -> int:
        """A protection key."""
        return self.keys.get(key, key)

    def pkru(self, bits: int) -> int:
        """PKRU with the rights of each key at its new number; keys that nothing carries are denied, as at the start."""
        moved = sum((bits >> (2 * old) & 3) << (2 * new) for old, new in self.keys.items())
        return moved | sum(1 << (2 * key) for key in range(16) if key not in self.keys.values())


def choose_numbers(document: Counterexample) -> Numbers:
    """Raises CannotTry where there are not enough bytes or descriptors."""
    numbers = Numbers()
    _choose_values(document, numbers)
    objects = {doc.object for doc in document.before.objects}
    objects |= {vma.object for vma in document.before.vmas if vma.backing == "file"}
    for step in document.steps:
        if step.call == "mmap" and step.words["file"] in (WRITABLE_FILE, READ_ONLY_FILE):
            objects.add(step.words["object"])
    for place, number in enumerate(sorted(objects - {0})):
        numbers.files[number] = FIRST_FILE + 2 * place
    if len(numbers.files) > 40:
        raise CannotTry(f"the document has {len(numbers.files)} files")
    for number in (*numbers.files, ZERO):
        named = [v for v in document.before.vmas if (ZERO if v.backing == "devzero" else v.object) == number]
        first = min((vma.offset for vma in named), default=0)
        numbers.skipped[number] = first if first >= FILE_BYTES else 0
    layouts = (document.before, *(step.after for step in document.steps))
    seen = {vma.pkey for layout in layouts for vma in layout.vmas} | set(document.before.pkeys)
    last = {document.before.exec_key} - {0}
    for place, key in enumerate([*sorted(seen - {0} - last), *last], start=1):
        numbers.keys[key] = place
    return numbers


def _choose_values(document: Counterexample, numbers: Numbers) -> None:
    """Bytes keep their value; values that are none get a byte that nothing else has."""
    layouts = (document.before, *(step.after for step in document.steps))
    values = {page.own for layout in layouts for page in layout.pages}
    values |= {content.value for layout in layouts for made in layout.objects for content in made.contents}
    written = {step.words["byte"] & 0xFF for step in document.steps if step.call == "write"}
    taken = {value for value in values if value < 256} | written | {0}
    free = iter(byte for byte in range(1, 256) if byte not in taken)
    for value in sorted(values):
        byte = value if value < 256 else next(free, None)
        if byte is None:
            raise CannotTry("the document has more different contents than a byte has values")
        numbers.values[value] = byte


# documents ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moved:
    """A document where it can be tried, and how it got there."""

    document: Counterexample
    places: Places
    numbers: Numbers
    notes: tuple[str, ...] = ()
    """What is not as the document has it, one sentence each."""


def relocate(document: Counterexample, *, has_pkeys: bool, plain: bool) -> Moved:
    """The document as a process can have it. `has_pkeys`: the processor has protection keys; without, no VMA has one.
    `plain`: VMAs are made as ordinary programs make them where the document has an odd one. Raises CannotTry."""
    places, numbers = choose_places(document), choose_numbers(document)
    notes = []
    special = refusing(document.before)
    if special is not None and special.backing == "hugetlb":
        notes.append("tried with the vdso in place of huge pages: both refuse to be split")
    if huge_range(document, points_of(document)) is not None:
        notes.append("memory runs out as the new mapping asks for huge pages, of which there are none")
    elif places.points and special is None and not all(map(places.keeps, places.points, places.points[1:])):
        notes.append("gaps and long VMAs are shortened")
    if plain:
        notes.append("VMAs may have the permissions and marks that ordinary mappings have")
    mover = _Mover(document, places, numbers, has_pkeys, plain)
    steps = tuple(mover.step(step) for step in document.steps)
    culprit = document.culprit
    if culprit.page is not None:
        culprit = culprit.model_copy(update={"page": places(culprit.page)})
    moved = document.model_copy(update={"before": mover.layout(document.before), "steps": steps, "culprit": culprit})
    return Moved(moved, places, numbers, tuple(notes))


class _Mover:
    """A document on its way."""

    def __init__(
        self, document: Counterexample, places: Places, numbers: Numbers, has_pkeys: bool, plain: bool
    ) -> None:
        self.document = document
        self.places = places
        self.numbers = numbers
        self.has_pkeys = has_pkeys
        self.plain = plain
        self.heap = uses_heap(document)
        self.huge = huge_range(document, points_of(document)) is not None
        self.sizes = self._sizes()

    def _sizes(self) -> dict[int, int]:
        """How many pages each file has."""
        reach: dict[int, int] = dict.fromkeys(self.numbers.files, 0)
        for vma in self.document.before.vmas:
            if vma.object in reach and vma.backing == "file":
                reach[vma.object] = max(reach[vma.object], vma.offset + vma.end - vma.start)
        for step in self.document.steps:
            if step.call == "mmap" and step.words["object"] in reach:
                end = (step.words["off"] + step.words["len"]) // PAGE_SIZE + 1
                reach[step.words["object"]] = max(reach[step.words["object"]], end)
        given = {doc.object: doc.pages for doc in self.document.before.objects}
        sizes = {}
        for number, pages in reach.items():
            size = given.get(number)
            endless = size is None or size >= MANY_PAGES
            skipped = self.numbers.skipped[number]
            sizes[number] = max(0, pages - skipped) + SPARE_PAGES if endless else max(0, (size or 0) - skipped)
        return sizes

    def layout(self, layout: LayoutDoc) -> LayoutDoc:
        """A layout, moved. Objects that only the specification knows (anonymous shared memory) keep their number."""
        numbers, places = self.numbers, self.places
        data = layout.model_dump()
        data["vmas"] = [self._vma(vma) for vma in layout.vmas]
        unknown = [vma for vma in layout.vmas if vma.backing in REFUSING]  # what the vdso holds, nobody says
        data["pages"] = [
            {**page.model_dump(), "page": places(page.page), "own": numbers.value(page.own)}
            for page in layout.pages
            if not any(vma.start <= page.page < vma.end for vma in unknown)
        ]
        data["objects"] = [
            {
                "object": numbers.files.get(made.object, made.object),
                "pages": self.sizes.get(made.object, made.pages),
                "contents": [
                    {"offset": content.offset - skipped, "value": numbers.value(content.value)}
                    for content in made.contents
                    if content.offset >= (skipped := numbers.skipped.get(made.object, 0))
                ],
            }
            for made in layout.objects
        ]
        if self.heap:
            data["start_brk"], data["brk"] = HEAP_PAGE, places(layout.brk)
        else:
            data["start_brk"] = data["brk"] = HEAP_PAGE
        data["pkeys"] = sorted({0, *(numbers.key(key) for key in layout.pkeys)}) if self.has_pkeys else [0]
        data["exec_key"] = numbers.key(layout.exec_key) if self.has_pkeys else 0
        data["has_pkeys"] = self.has_pkeys
        data["pkru"] = numbers.pkru(layout.pkru) & (~3 if self.plain else ~0)
        return LayoutDoc.model_validate(data)

    def _vma(self, vma: VmaDoc) -> dict[str, Any]:
        """A VMA, moved; one that refuses to be split becomes the vdso."""
        start, end = self.places(vma.start), self.places(vma.end)
        data = vma.model_dump()
        data |= {"start": start, "end": end, "pkey": self.numbers.key(vma.pkey) if self.has_pkeys else 0}
        if vma.backing in REFUSING:
            flags = tuple(flag for flag in vma.flags if flag in VDSO_FLAGS)
            data |= {"backing": "special", "object": 0, "offset": 0, "share": "private", "may": "rwx"}
            data |= {"anon_vma": 0, "flags": flags}
        elif vma.backing == "anon":
            offset = vma.offset + start - vma.start
            data["offset"] = offset if offset >= 0 else vma.offset
        elif vma.backing == "devzero":
            data |= {"object": ZERO, "offset": max(0, vma.offset - self.numbers.skipped[ZERO])}
        else:
            data["object"] = self.numbers.files.get(vma.object, vma.object)
            data["offset"] = max(0, vma.offset - self.numbers.skipped.get(vma.object, 0))
        if self.plain:
            data |= self._ordinary(vma, data["flags"])
        return data

    @staticmethod
    def _ordinary(vma: VmaDoc, flags: Iterable[str]) -> dict[str, Any]:
        """What an ordinary mapping has instead of what the document's VMA may and is marked with."""
        kept = set(flags)
        if "droppable" in kept:
            kept = (kept - {"growsdown"}) | {"dontdump", "wipeonfork"}
        if "droppable" in kept or vma.share != "private":
            kept -= {"mergeable"}
        return {"may": "r-x" if vma.share == "shared-readonly" else "rwx", "flags": sorted(kept)}

    def step(self, step: CounterexampleStep) -> CounterexampleStep:
        """A call with its outcome, moved."""
        words, places = dict(step.words), self.places
        moved = {
            name: places(words[name] // PAGE_SIZE) * PAGE_SIZE + words[name] % PAGE_SIZE for name in addresses(step)
        }
        if step.call == "brk":
            page = -(-words["addr"] // PAGE_SIZE)
            moved["addr"] = places(page) * PAGE_SIZE - (page * PAGE_SIZE - words["addr"])
        for span in spans(step):
            if not places.keeps(span.first, span.end):
                words[span.length] = places(span.end) * PAGE_SIZE - span.slack - moved[span.address]
        if step.call == "mremap" and step.words["old_len"] == step.words["new_len"]:
            words["new_len"] = words["old_len"]
        words |= moved
        if runs_out_of_memory(step) and self.huge:
            words["flags"] |= MAP_HUGETLB
        if step.call == "mmap":
            known = {DEV_ZERO: ZERO, WRITABLE_FILE: None, READ_ONLY_FILE: None}
            if words["file"] in known:
                named = ZERO if words["file"] == DEV_ZERO else words["object"]
                skipped = self.numbers.skipped.get(named, 0) * PAGE_SIZE
                words["off"] -= skipped if words["off"] >= skipped else 0
                words["object"] = known[words["file"]] or self.numbers.files[words["object"]]
        if step.call == "pkey_mprotect":
            words["pkey"] = self.numbers.key(words["pkey"])
        if step.call == "pkru":
            words["bits"] = self.numbers.pkru(words["bits"] & 0xFFFF_FFFF)
        result = step.result
        if step.call in ("mmap", "mremap", "brk") and result.errno == "OK":
            result = result.model_copy(update={"value": places(result.value)})
        if step.call == "pkey_alloc" and result.errno == "OK":
            result = result.model_copy(update={"value": self.numbers.key(result.value)})
        where = (
            None if step.range is None else (places(step.range[0]), max(places(step.range[1]), places(step.range[0])))
        )
        return step.model_copy(
            update={"words": words, "result": result, "after": self.layout(step.after), "range": where}
        )
