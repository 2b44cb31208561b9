# SPDX-License-Identifier: MIT
"""What leaves the byte arithmetic of a call: page numbers, flags and codes, with the facts that the checks ensure.

The argument stage of a call turns 64-bit words into one of these records. `facts` states what the page-level stage may
assume of it. That every word which passes the checks yields a record with these facts is an obligation ("bridge") that
Z3 discharges in 64-bit vectors; see docs/METHOD.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from spec.advice import known_advice
from spec.editions import Edition, System
from spec.errors import Errno
from spec.mapping import NO_FILE
from spec.space import Guards
from spec.terms import Bool, Num, and_, between, eq, implies, ite, le, lt, not_, one_of, or_
from spec.vma import HUGE_PAGES, Vma, in_whole_pages
from spec.words import PAGE_SIZE, PAGES, TASK_PAGES, WORD, Word, add, below, equal, mask, page_align, page_number


@dataclass(frozen=True, slots=True)
class Decoded:
    """A call's arguments after its argument stage."""

    def facts(self, edition: Edition) -> list[Bool]:
        """What the argument checks ensure, over page numbers."""
        return []


@dataclass(frozen=True, slots=True)
class PageRange(Decoded):
    """A range of pages, not empty, which does not wrap."""

    start: Num
    end: Num

    def facts(self, edition: Edition) -> list[Bool]:
        return [le(0, self.start), lt(self.start, self.end), lt(self.end, PAGES)]


def fits_in_space(page: Num, pages: Num, aligned: Bool) -> Bool:
    """A byte range of whole pages that begins in `page` ends at or below TASK_SIZE: an unaligned one sticks out into
    one page more."""
    end = page + pages
    return or_(lt(end, TASK_PAGES), and_(aligned, eq(end, TASK_PAGES)))


@dataclass(frozen=True, slots=True)
class Map(Decoded):
    """What to map, and where."""

    page: Num
    pages: Num
    aligned: Bool
    """The address is page aligned (it must be for MAP_FIXED)."""
    fits: Bool
    """[page, page + pages) lies below TASK_SIZE."""
    small: Bool
    """`pages` alone does not exceed TASK_SIZE."""
    fixed: Bool
    noreplace: Bool
    type: Num
    read: Bool
    write: Bool
    exec: Bool
    exec_only: Bool
    """The protection is PROT_EXEC and no other bit, not even one without a meaning."""
    file: Num
    """NO_FILE, WRITABLE_FILE, READ_ONLY_FILE or DEV_ZERO."""
    object: Num
    """Identity of the file; 0 for NO_FILE."""
    offset: Num
    growsdown: Bool
    locked: Bool
    noreserve: Bool
    populate: Bool
    low: Bool
    """MAP_32BIT: where it may go anywhere, it goes below 2 GiB."""
    stack: Bool
    """MAP_STACK: no huge pages of the transparent kind."""
    sync: Bool
    huge: Bool
    """MAP_HUGETLB: huge pages, of a file that the call makes."""
    huge_pages: Num
    """How many, if it is huge; `pages` are those."""
    unsupported: Bool
    """A flag is set that no file without persistent memory has: MAP_SHARED_VALIDATE refuses it."""

    def facts(self, edition: Edition) -> list[Bool]:
        return [
            le(0, self.page),
            lt(self.page, PAGES),
            lt(0, self.pages),
            lt(self.pages, PAGES),
            eq(self.fits, fits_in_space(self.page, self.pages, self.aligned)),
            eq(self.small, le(self.pages, TASK_PAGES)),
            implies(self.noreplace, self.fixed),
            implies(or_(self.noreplace, self.sync), self.unsupported),
            between(0, self.type, 16),
            between(0, self.file, 4),
            le(0, self.object),
            eq(eq(self.file, NO_FILE), eq(self.object, 0)),
            between(0, self.offset, PAGES),
            implies(and_(eq(self.file, NO_FILE), not_(self.huge)), eq(self.offset, 0)),
            implies(self.huge, eq(self.file, NO_FILE)),
            implies(self.huge, and_(le(0, self.huge_pages), eq(self.pages, HUGE_PAGES * self.huge_pages))),
            implies(self.exec_only, and_(self.exec, not_(self.read), not_(self.write))),
        ]


NO_PKEY = -1
"""The pkey argument of plain mprotect: keep the key."""


@dataclass(frozen=True, slots=True)
class Protect(PageRange):
    """What to protect, and how."""

    read: Bool
    write: Bool
    exec: Bool
    growsdown: Bool
    growsup: Bool
    pkey: Num
    """-1 keeps the VMA's key; other values are as given, possibly not a key at all."""

    def facts(self, edition: Edition) -> list[Bool]:
        return [
            le(0, self.start),
            lt(self.start, self.end),
            lt(self.end, 1 << 52),
            not_(and_(self.growsdown, self.growsup)),
            or_(eq(self.pkey, -1), between(0, self.pkey, (1 << 32) - 1)),
        ]


@dataclass(frozen=True, slots=True)
class PlainProtect(Protect):
    """mprotect's arguments: there is no key."""

    def facts(self, edition: Edition) -> list[Bool]:
        stays = [] if edition.system is System.LINUX else [not_(self.growsdown), not_(self.growsup)]
        return [*Protect.facts(self, edition), eq(self.pkey, NO_PKEY), *stays]


@dataclass(frozen=True, slots=True)
class Move(Decoded):
    """What to resize or move, and where to."""

    old: Num
    old_pages: Num
    new_pages: Num
    old_end: Num
    """old + old_pages as the kernel computes it: wrapped around at 2**52 pages."""
    new: Num
    new_aligned: Bool
    new_fits: Bool
    """[new, new + new_pages) lies below TASK_SIZE."""
    may_move: Bool
    fixed: Bool
    dontunmap: Bool

    @property
    def tested_end(self) -> Num:
        """Where the test of the old range for seals ends: a range that ends where addresses do is tested as a whole,
        one that wraps around further is empty (can_modify_mm counts to old_end - 1)."""
        return ite(and_(eq(self.old_end, 0), lt(0, self.old_pages)), PAGES, self.old_end)

    def in_huge_pages(self, vma: Vma) -> Move:
        """The sizes in whole huge pages, if the VMA has huge pages."""
        old_pages, new_pages = in_whole_pages(vma, self.old_pages), in_whole_pages(vma, self.new_pages)
        if old_pages is self.old_pages and new_pages is self.new_pages:
            return self
        old_end = self.old_end + (old_pages - self.old_pages)
        return replace(self, old_pages=old_pages, new_pages=new_pages, old_end=old_end)

    def facts(self, edition: Edition) -> list[Bool]:
        wrapped = self.old + self.old_pages
        return [
            le(0, self.old),
            lt(self.old, PAGES),
            le(0, self.old_pages),
            lt(self.old_pages, PAGES),
            lt(0, self.new_pages),
            lt(self.new_pages, PAGES),
            eq(self.old_end, ite(lt(wrapped, PAGES), wrapped, wrapped - PAGES)),
            le(0, self.new),
            lt(self.new, PAGES),
            eq(self.new_fits, fits_in_space(self.new, self.new_pages, self.new_aligned)),
            implies(or_(self.fixed, self.dontunmap), self.may_move),
            implies(self.dontunmap, eq(self.old_pages, self.new_pages)),
        ]


@dataclass(frozen=True, slots=True)
class Advise(PageRange):
    """The range and the advice."""

    advice: Num

    def facts(self, edition: Edition) -> list[Bool]:
        return [
            le(0, self.start),
            lt(self.start, self.end),
            lt(self.end, PAGES),
            one_of(self.advice, known_advice(edition)),
        ]


@dataclass(frozen=True, slots=True)
class Break(Decoded):
    """The new break, rounded up to a page."""

    page: Num

    def facts(self, edition: Edition) -> list[Bool]:
        return [le(0, self.page), lt(self.page, PAGES)]


@dataclass(frozen=True, slots=True)
class Write(Decoded):
    """A store of `byte` into the page: afterwards the page's contents are that value (contents are abstract)."""

    page: Num
    byte: Num

    def facts(self, edition: Edition) -> list[Bool]:
        return [le(0, self.page), lt(self.page, PAGES), between(0, self.byte, 256)]


@dataclass(frozen=True, slots=True)
class Rights(Decoded):
    """New PKRU rights of the calling thread."""

    access: tuple[Bool, ...]
    """For each of the 16 keys: reads and writes are denied (access-disable)."""
    write: tuple[Bool, ...]
    """For each of the 16 keys: writes are denied (access-disable or write-disable)."""


@dataclass(frozen=True, slots=True)
class Nothing(Decoded):
    """No arguments."""


@dataclass(frozen=True, slots=True)
class Reclaim(Decoded):
    """The page that the kernel takes back."""

    page: Num

    def facts(self, edition: Edition) -> list[Bool]:
        return [le(0, self.page), lt(self.page, PAGES)]


@dataclass(frozen=True, slots=True)
class NewKey(Decoded):
    """What the calling thread is to be denied by a new key."""

    access: Bool
    write: Bool


def as_page(word: Word) -> Num:
    """The page number of a byte address, as a number for the page-level stage."""
    return cast(Num, page_number(word))


def page_range(start: Word, end: Word) -> PageRange:
    """The pages from byte `start` to byte `end`, both page aligned."""
    return PageRange(as_page(start), as_page(end))


def widened(do: Guards, call: str, addr: Word, length: Word) -> tuple[Word, Word]:
    """OpenBSD's way with a range (uvm_mmap.c ALIGN_ADDR, and the test behind each use of it): the bytes [first, end) of
    whole pages around the given ones. The page of an unaligned address is in it even if the length is zero. A range
    that wraps around is EINVAL, one without a page ends the call with success; `call` names it in the checks' names."""
    inside = mask(addr, PAGE_SIZE - 1)
    longer = add(length, inside)
    first, size = mask(addr, WORD - PAGE_SIZE), page_align(longer)
    end = add(first, size)
    do.fail_if(
        or_(below(longer, length), below(size, longer), below(end, first)),
        Errno.EINVAL,
        f"{call}: the range wraps around",
    )
    do.finish_if(equal(size, 0), f"{call}: nothing to do for a range without a page")
    return first, end
