# SPDX-License-Identifier: MIT
"""Byte arithmetic of system-call arguments: 64-bit words that wrap around.

A word is a Python int in [0, 2**64) or a Z3 bit vector of 64 bits. Everything that rounds, wraps or tests bits happens
here, before a call looks at the address space; what leaves this module are page numbers. See docs/METHOD.md, "The
bridge".
"""

from __future__ import annotations

from typing import TypeAlias, cast

import z3

from spec.terms import Bool

Word: TypeAlias = int | z3.BitVecRef
"""64 bits; arithmetic wraps around."""

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
HUGE_PAGE_SIZE = 1 << 21
"""Bytes of a huge page."""
WORD = 1 << 64
TASK_SIZE = (1 << 47) - PAGE_SIZE
"""Bytes of user address space, x86-64 with four levels of page tables."""
PAGES = 1 << (64 - PAGE_SHIFT)
"""How many page numbers there are: page arithmetic that wraps, wraps here."""
TASK_PAGES = TASK_SIZE >> PAGE_SHIFT
"""TASK_SIZE in pages."""
MIN_PAGE = 16
"""vm.mmap_min_addr in pages: 65536 bytes, below which only a privileged caller may map."""


def add(a: Word, b: Word) -> Word:
    """a + b, wrapping around at 2**64."""
    if isinstance(a, int) and isinstance(b, int):
        return (a + b) % WORD
    return cast(z3.BitVecRef, a + b)


def sub(a: Word, b: Word) -> Word:
    """a - b, wrapping around at 2**64."""
    if isinstance(a, int) and isinstance(b, int):
        return (a - b) % WORD
    return cast(z3.BitVecRef, a - b)


def mask(a: Word, bits: int) -> Word:
    """The given bits of a word."""
    return cast(Word, a & bits)


def page_align(a: Word) -> Word:
    """Round up to a page boundary; the last page but one byte wraps to 0 (the kernel's PAGE_ALIGN)."""
    return multiple_of(PAGE_SIZE, a)


def multiple_of(size: int, a: Word) -> Word:
    """Round up to a multiple of `size`, a power of 2; what lies above the last one wraps to 0 (the kernel's ALIGN)."""
    return mask(add(a, size - 1), WORD - size)


def page_number(a: Word) -> Word:
    """The page that a byte address lies in (still a word)."""
    return _shifted(a, PAGE_SHIFT)


def huge_page_number(a: Word) -> Word:
    """The huge page that a byte address lies in (still a word)."""
    return _shifted(a, HUGE_PAGE_SIZE.bit_length() - 1)


def _shifted(a: Word, bits: int) -> Word:
    if isinstance(a, int):
        return a >> bits
    return cast(z3.BitVecRef, z3.LShR(a, bits))


def low32(a: Word) -> Word:
    """The low half, as the kernel sees an argument that it declares `int`."""
    return mask(a, 0xFFFF_FFFF)


def is_page_aligned(a: Word) -> Bool:
    """No bits below the page size."""
    return equal(mask(a, PAGE_SIZE - 1), 0)


def equal(a: Word, b: Word) -> Bool:
    """Equality of two words."""
    return cast(Bool, a == b)


def not_word_zero(a: Word) -> Bool:
    """The word is not 0."""
    return cast(Bool, a != 0)


def has(a: Word, bits: int) -> Bool:
    """Any of the given bits is set."""
    return cast(Bool, mask(a, bits) != 0)


def below(a: Word, b: Word) -> Bool:
    """a < b, unsigned."""
    if isinstance(a, int) and isinstance(b, int):
        return a < b
    return cast(z3.BoolRef, z3.ULT(a, b) if isinstance(a, z3.ExprRef) else z3.UGT(b, a))


def above(a: Word, b: Word) -> Bool:
    """a > b, unsigned."""
    return below(b, a)


def choose(cond: Bool, yes: Word, no: Word) -> Word:
    """Choice between two words."""
    if isinstance(cond, bool):
        return yes if cond else no
    wide = [z3.BitVecVal(w, 64) if isinstance(w, int) else w for w in (yes, no)]
    return cast(z3.BitVecRef, z3.If(cond, wide[0], wide[1]))


def untagged(a: Word, tag_bits: int = 0) -> Word:
    """Strip an address tag (the kernel's untagged_addr).

    `tag_bits` is the mask of the bits that the processor ignores: 0 on plain x86-64, where this is the identity.
    """
    return mask(a, (WORD - 1) & ~tag_bits)
