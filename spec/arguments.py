# SPDX-License-Identifier: MIT
"""What leaves the byte arithmetic of a call: page numbers, flags and codes, with the facts that the checks ensure.

The argument stage of a call turns 64-bit words into one of these records. `facts` states what the page-level stage may
assume of it. That every word which passes the checks yields a record with these facts is an obligation ("bridge") that
Z3 discharges in 64-bit vectors; see docs/METHOD.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from spec.editions import Edition
from spec.errors import Errno
from spec.space import Guards
from spec.terms import Bool, Num, and_, eq, le, lt, or_
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


def as_page(word: Word) -> Num:
    """The page number of a byte address, as a number for the page-level stage."""
    return cast(Num, page_number(word))


def fits_in_space(page: Num, pages: Num, aligned: Bool) -> Bool:
    """A byte range of whole pages that begins in `page` ends at or below TASK_SIZE: an unaligned one sticks out into
    one page more."""
    end = page + pages
    return or_(lt(end, TASK_PAGES), and_(aligned, eq(end, TASK_PAGES)))


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
