# SPDX-License-Identifier: MIT
"""Protection keys, and protections as vm_flags."""

from __future__ import annotations

from typing import Any

from checker.source.errors import NotCovered
from checker.source.operators import binary, truth
from checker.source.table import assumed
from checker.source.values import Flags, Word, word
from spec.arguments import NO_PKEY
from spec.syscalls.mprotect import new_pkey
from spec.terms import Bool, Num, and_, eq, not_


def key_number(key: Any) -> Num:
    """A protection key as a number."""
    if isinstance(key, Word) and key.known:
        return key.number
    if isinstance(key, Word):
        return key.term  # type: ignore[return-value]
    raise NotCovered("a protection key that is no number")


def _bit(m: Any, prot: Any, bit: int) -> Bool:
    return truth(binary(m, "&", prot, word(bit, 64, False)))


@assumed("mm_pkey_is_allocated", says="the process has allocated the key", source="arch/x86/include/asm/pkeys.h")
def mm_pkey_is_allocated(m: Any, mm: Any, key: Any) -> Bool:
    return m.space.pkey_allocated(key_number(key))  # type: ignore[no-any-return]


@assumed("arch_override_mprotect_pkey", says="the key that the VMA gets", source="arch/x86/mm/pkeys.c")
def arch_override_mprotect_pkey(m: Any, vma: Any, prot: Any, key: Any) -> Word:
    record, asked = m.record(vma), key_number(key)
    read, write, execute = (_bit(m, prot, bit) for bit in (1, 2, 4))
    only = and_(execute, not_(read), not_(write), eq(asked, NO_PKEY))
    return Word(new_pkey(record, asked, only, m.space.execute_only_pkey(only)), 32, True)


@assumed("calc_vm_prot_bits", says="protection and key as vm_flags", source="include/linux/mman.h", looks=False)
def calc_vm_prot_bits(m: Any, prot: Any, key: Any) -> Flags:
    bits = {"read": _bit(m, prot, 1), "write": _bit(m, prot, 2), "exec": _bit(m, prot, 4)}
    return Flags(bits, False, key_number(key))
