# SPDX-License-Identifier: MIT
"""vm_flags: reading and changing them, as words (up to 6.19) and as bit maps (7.0 and later)."""

from __future__ import annotations

from typing import Any

from checker.source.errors import NotCovered
from checker.source.table import assumed
from checker.source.values import (
    ErrPtr,
    FieldRef,
    Flags,
    Ref,
    Struct,
    any_bit,
    combine,
    constant,
    equal,
    flags_of,
    inverted,
    unsayable,
    with_flags,
)
from spec.terms import Bool, all_, eq, not_
from spec.vma import is_anonymous

_OLD = "include/linux/mm.h"


def flags_from(m: Any, given: Any) -> Flags:
    """vm_flags, given as they are or by their address."""
    value = m.load(given) if isinstance(given, Ref | FieldRef) else given
    if not isinstance(value, Flags):
        raise NotCovered("vm_flags that are none")
    return value


def bits(given: tuple[Any, ...]) -> Flags:
    """Several bits as one value."""
    joined = Flags({})
    for one in given:
        if not isinstance(one, Flags):
            raise NotCovered("a bit of vm_flags that is not known by name")
        joined = combine("|", joined, one)
    return joined


def set_flags(m: Any, vma: Any, flags: Flags) -> None:
    """The VMA has these vm_flags from now on."""
    record = m.record(vma)
    if m.decide(unsayable(record, flags)):
        raise NotCovered("vm_flags that the model has no room for")
    m.set_record(vma, with_flags(record, flags))


def _all_of(flags: Flags, wanted: Flags) -> Bool:
    return all_(flags.bit(name) for name, on in wanted.bits.items() if on is True)


# words


@assumed("vm_flags_set", says="sets bits", source=_OLD)
def vm_flags_set(m: Any, vma: Any, flags: Any) -> None:
    set_flags(m, vma, combine("|", flags_of(m.record(vma)), bits((flags,))))


@assumed("vm_flags_clear", says="clears bits", source=_OLD)
def vm_flags_clear(m: Any, vma: Any, flags: Any) -> None:
    set_flags(m, vma, combine("&", flags_of(m.record(vma)), inverted(bits((flags,)))))


@assumed("vm_flags_mod", says="sets bits, and clears others", source=_OLD)
def vm_flags_mod(m: Any, vma: Any, on: Any, off: Any) -> None:
    kept = combine("&", flags_of(m.record(vma)), inverted(bits((off,))))
    set_flags(m, vma, combine("|", kept, bits((on,))))


@assumed(
    "vm_flags_reset", "vm_flags_reset_once", "vm_flags_init", "vma_flags_reset_once", says="the VMA has these flags",
    source=_OLD,
)  # fmt: skip
def vm_flags_reset(m: Any, vma: Any, flags: Any) -> None:
    set_flags(m, vma, flags_from(m, flags))


# bit maps

_NEW = "include/linux/mm.h, include/linux/mm_types.h"
_SINCE = "7.0 to 7.3"


def _of(m: Any, given: Any) -> Flags:
    return (
        flags_of(m.record(given))
        if isinstance(given, Struct) or given is None or isinstance(given, ErrPtr)
        else flags_from(m, given)
    )


@assumed("vma_test", "vma_test_single_mask", says="the bit is set", source=_NEW, versions=_SINCE)
def vma_test(m: Any, vma: Any, bit: Any) -> Bool:
    return any_bit(combine("&", _of(m, vma), bits((bit,))))


@assumed("vma_test_any", "vma_test_any_mask", says="one of the bits is set", source=_NEW, versions=_SINCE)
def vma_test_any(m: Any, vma: Any, *which: Any) -> Bool:
    return any_bit(combine("&", _of(m, vma), bits(which)))


@assumed("vma_test_all", "vma_test_all_mask", says="all of the bits are set", source=_NEW, versions=_SINCE)
def vma_test_all(m: Any, vma: Any, *which: Any) -> Bool:
    return _all_of(_of(m, vma), bits(which))


@assumed(
    "vma_flags_test", "vma_flags_test_any", "vma_flags_test_any_mask", says="one of the bits is set", source=_NEW,
    versions=_SINCE, looks=False,
)  # fmt: skip
def vma_flags_test(m: Any, flags: Any, *which: Any) -> Bool:
    return any_bit(combine("&", flags_from(m, flags), bits(which)))


@assumed("vma_flags_test_all", "vma_flags_test_all_mask", says="all are set", source=_NEW, versions=_SINCE, looks=False)
def vma_flags_test_all(m: Any, flags: Any, *which: Any) -> Bool:
    return _all_of(flags_from(m, flags), bits(which))


@assumed("vma_flags_set", "vma_flags_set_mask", says="sets bits", source=_NEW, versions=_SINCE, looks=False)
def vma_flags_set(m: Any, flags: Any, *which: Any) -> None:
    m.store(flags, combine("|", flags_from(m, flags), bits(which)))


@assumed("vma_flags_clear", "vma_flags_clear_mask", says="clears bits", source=_NEW, versions=_SINCE, looks=False)
def vma_flags_clear(m: Any, flags: Any, *which: Any) -> None:
    m.store(flags, combine("&", flags_from(m, flags), inverted(bits(which))))


@assumed("vma_set_flags", "vma_set_flags_mask", says="sets bits of the VMA", source=_NEW, versions=_SINCE)
def vma_set_flags(m: Any, vma: Any, *which: Any) -> None:
    set_flags(m, vma, combine("|", flags_of(m.record(vma)), bits(which)))


@assumed("vma_clear_flags", "vma_clear_flags_mask", says="clears bits of the VMA", source=_NEW, versions=_SINCE)
def vma_clear_flags(m: Any, vma: Any, *which: Any) -> None:
    set_flags(m, vma, combine("&", flags_of(m.record(vma)), inverted(bits(which))))


@assumed("mk_vma_flags", says="the bits as a value", source=_NEW, versions=_SINCE, looks=False)
def mk_vma_flags(m: Any, *which: Any) -> Flags:
    return bits(which)


@assumed(
    "legacy_to_vma_flags", "vma_flags_to_legacy", says="the same bits in the other form", source=_NEW, versions=_SINCE,
    looks=False,
)  # fmt: skip
def legacy_to_vma_flags(m: Any, flags: Any) -> Flags:
    return flags_from(m, flags)


@assumed(
    "vma_flags_same_pair",
    "vma_flags_same_mask",
    "vma_flags_same",
    says="all bits are the same",
    source=_NEW,
    versions=_SINCE,
    looks=False,
)
def vma_flags_same_pair(m: Any, a: Any, b: Any) -> Bool:
    return equal(flags_from(m, a), flags_from(m, b))


# what hangs on flags


@assumed("vma_is_anonymous", says="vm_ops is not set", source="include/linux/mm.h")
def vma_is_anonymous(m: Any, vma: Any) -> Bool:
    return is_anonymous(m.record(vma))


@assumed(
    "is_vm_hugetlb_page",
    "vma_is_hugetlb",
    "is_vma_hugetlb_flags",
    says="VM_HUGETLB",
    source="include/linux/hugetlb_inline.h",
)
def is_vm_hugetlb_page(m: Any, vma: Any) -> Bool:
    return _of(m, vma).bit("hugetlb")


@assumed(
    "vma_supports_mlock", says="neither special nor huge nor droppable", source="mm/internal.h", versions="6.12 to 7.3"
)
def vma_supports_mlock(m: Any, vma: Any) -> Bool:
    flags = flags_of(m.record(vma))
    return not_(any_bit(combine("&", flags, constant("dontexpand", "hugetlb", "droppable"))))


@assumed("arch_vma_access_permitted", says="the thread's PKRU allows it", source="arch/x86/include/asm/mmu_context.h")
def arch_vma_access_permitted(m: Any, vma: Any, write: Any, execute: Any, foreign: Any) -> Bool:
    record = m.record(vma)
    if eq(foreign, False) is not True or eq(execute, False) is not True:
        raise NotCovered("arch_vma_access_permitted of another thread, or to execute")
    if write is True:
        return not_(m.space.write_denied(record.pkey))
    if write is False:
        return not_(m.space.access_denied(record.pkey))
    raise NotCovered("arch_vma_access_permitted of an access that is not known")
