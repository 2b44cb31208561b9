# SPDX-License-Identifier: MIT
"""The values that C works on here: integers, addresses, vm_flags bit by bit, and pointers by identity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import z3

from checker.source.errors import NotCovered
from spec.terms import Bool, Num, all_, and_, any_, eq, ite, ite_bool, ne, not_, or_
from spec.vma import (
    HUGETLB,
    NORMAL,
    RANDOM,
    SEQUENTIAL,
    THP_ALWAYS,
    THP_DEFAULT,
    THP_NEVER,
    Vma,
    is_special,
)

PAGE_SHIFT: Final = 12
PAGE: Final = 1 << PAGE_SHIFT
SPACE: Final = 1 << (64 - PAGE_SHIFT)
"""Page numbers wrap around here, as bytes do at 2**64."""


@dataclass(frozen=True, slots=True)
class Word:
    """A C integer. Its term is a Python number (not negative), bits of that width, or a mathematical number that is
    known to fit."""

    term: int | z3.BitVecRef | z3.ArithRef
    bits: int = 64
    signed: bool = False
    most: int = 0
    """A mathematical number is known to be from 0 to this; 0: it is not known."""

    @property
    def number(self) -> int:
        """The value of a known one, with its sign."""
        assert isinstance(self.term, int), self
        return self.term - (1 << self.bits) if self.signed and self.term >> (self.bits - 1) else self.term

    @property
    def known(self) -> bool:
        """It is a Python number."""
        return isinstance(self.term, int)

    def vector(self) -> z3.BitVecRef:
        """The same as bits."""
        if isinstance(self.term, int):
            return cast(z3.BitVecRef, z3.BitVecVal(self.term, self.bits))
        if isinstance(self.term, z3.BitVecRef):
            return self.term
        return cast(z3.BitVecRef, z3.Int2BV(self.term, self.bits))

    def to(self, bits: int, signed: bool) -> Word:
        """Converted to another integer type."""
        if isinstance(self.term, int):
            return Word(self.number % (1 << bits), bits, signed)
        if isinstance(self.term, z3.ArithRef):
            if bits < self.bits and not 0 < self.most < 1 << (bits - 1):
                raise NotCovered("an unknown number in a narrower type")
            return Word(self.term, bits, signed, self.most)
        term = self.term
        if bits < self.bits:
            term = z3.Extract(bits - 1, 0, term)
        elif bits > self.bits:
            term = z3.SignExt(bits - self.bits, term) if self.signed else z3.ZeroExt(bits - self.bits, term)
        return Word(term, bits, signed)


def word(value: int, bits: int = 32, signed: bool = True) -> Word:
    """A known integer; an `int` unless it is said otherwise."""
    return Word(value % (1 << bits), bits, signed)


@dataclass(frozen=True, slots=True)
class Addr:
    """A byte address or a length, as a page number and a known place in the page."""

    page: Num
    byte: int = 0


# vm_flags ------------------------------------------------------------------------------------------------------------

BITS: Final[Mapping[str, str]] = {
    "READ": "read", "WRITE": "write", "EXEC": "exec", "SHARED": "shared", "MAYREAD": "may_read",
    "MAYWRITE": "may_write", "MAYEXEC": "may_exec", "MAYSHARE": "may_share", "GROWSDOWN": "growsdown",
    "SEALED": "sealed", "LOCKED": "locked", "DONTCOPY": "dontfork", "WIPEONFORK": "wipeonfork",
    "DROPPABLE": "droppable", "DONTDUMP": "dontdump", "MERGEABLE": "mergeable", "ACCOUNT": "account",
    "NORESERVE": "noreserve", "SYNC": "sync",
    "RAND_READ": "random", "SEQ_READ": "sequential", "HUGEPAGE": "thp_always", "NOHUGEPAGE": "thp_never",
    "HUGETLB": "hugetlb", "DONTEXPAND": "dontexpand",
    "IO": "io", "PFNMAP": "pfnmap", "MIXEDMAP": "mixedmap", "GROWSUP": "growsup", "LOCKONFAULT": "lockonfault",
    "UFFD_MISSING": "uffd_missing", "UFFD_WP": "uffd_wp", "SOFTDIRTY": "softdirty", "MTE": "mte", "STACK": "growsdown",
}  # fmt: skip
"""VM_* and VMA_*_BIT by the name of the bit here."""
NEVER: Final = ("io", "pfnmap", "mixedmap", "growsup", "lockonfault", "uffd_missing", "uffd_wp", "softdirty", "mte")
"""Bits that no VMA of the model has (docs/EXCLUSIONS.md)."""
MASKS: Final[Mapping[str, tuple[str, ...]]] = {
    "ACCESS_FLAGS": ("read", "write", "exec"),
    "SPECIAL": ("io", "dontexpand", "pfnmap", "mixedmap"),
    "LOCKED_MASK": ("locked", "lockonfault"),
    "NONE": (),
}
"""Names of several bits."""
PLAIN: Final = (
    "read", "write", "exec", "shared", "may_read", "may_write", "may_exec", "may_share", "growsdown", "sealed",
    "locked", "dontfork", "wipeonfork", "droppable", "dontdump", "mergeable", "account", "noreserve", "sync",
)  # fmt: skip
"""Bits that are a field of the record of the same name."""
HIGH: Final = ("sealed", "droppable")
"""Bits that an `int` has no room for."""


@dataclass(frozen=True, slots=True)
class Flags:
    """Bits of vm_flags: those named, and what all others are (None: not known). The protection key is a number of its
    own: 0, a key, or 15 for all of its bits; None: not known."""

    bits: Mapping[str, Bool | None]
    rest: bool | None = False
    key: Num | None = 0

    def bit(self, name: str) -> Bool:
        """One bit. Raises NotCovered if it is not known."""
        value = self.bits.get(name, self.rest)
        if value is None:
            raise NotCovered(f"the bit {name} of vm_flags after a shift")
        return value

    def names(self, other: Flags) -> Iterable[str]:
        """Every bit that one of the two names."""
        return dict.fromkeys([*self.bits, *other.bits])


def constant(*names: str, key: bool = False) -> Flags:
    """The constant with these bits set."""
    return Flags(dict.fromkeys(names, True), False, 15 if key else 0)


def flag_constant(name: str) -> Flags | None:
    """What a name such as VM_SEALED or VMA_SEALED_BIT stands for; None if it is none of vm_flags."""
    for prefix, suffix in (("VMA_", "_BIT"), ("VM_", ""), ("VMA_", "")):
        if not (name.startswith(prefix) and name.endswith(suffix)):
            continue
        inner = name[len(prefix) : len(name) - len(suffix)] if suffix else name[len(prefix) :]
        if inner in BITS:
            return constant(BITS[inner])
        if inner in MASKS:
            return constant(*MASKS[inner])
        if inner == "FLAGS_CLEAR":  # on x86: the bits of the protection key
            return constant(key=True)
    return None


def flags_of(vma: Vma) -> Flags:
    """The vm_flags of a record."""
    bits: dict[str, Bool | None] = {name: getattr(vma, name) for name in PLAIN}
    bits["random"], bits["sequential"] = eq(vma.reading, RANDOM), eq(vma.reading, SEQUENTIAL)
    bits["thp_always"], bits["thp_never"] = eq(vma.thp, THP_ALWAYS), eq(vma.thp, THP_NEVER)
    bits["hugetlb"], bits["dontexpand"] = eq(vma.backing, HUGETLB), is_special(vma)
    return Flags(bits, False, vma.pkey)


def with_flags(vma: Vma, flags: Flags) -> Vma:
    """The record with these vm_flags. What they say of bits that the model has no room for is for `unsayable`."""
    if flags.key is None:
        raise NotCovered("a protection key after a shift")
    changed: dict[str, Any] = {name: flags.bit(name) for name in PLAIN}
    changed["reading"] = ite(flags.bit("random"), RANDOM, ite(flags.bit("sequential"), SEQUENTIAL, NORMAL))
    changed["thp"] = ite(flags.bit("thp_always"), THP_ALWAYS, ite(flags.bit("thp_never"), THP_NEVER, THP_DEFAULT))
    if same(flags_of(vma), flags, "random", "sequential"):
        changed["reading"] = vma.reading
    if same(flags_of(vma), flags, "thp_always", "thp_never"):
        changed["thp"] = vma.thp
    return replace(vma, pkey=flags.key, **changed)


def same(a: Flags, b: Flags, *names: str) -> bool:
    """The bits are the same terms."""
    return all(eq(a.bit(name), b.bit(name)) is True for name in names)


def unsayable(vma: Vma, flags: Flags) -> Bool:
    """The flags say of the VMA what no record can: a bit that the model does not have, or two that exclude another."""
    wrong: list[Bool] = [flags.bit(name) for name in NEVER]
    wrong += [ne(flags.bit("hugetlb"), eq(vma.backing, HUGETLB)), ne(flags.bit("dontexpand"), is_special(vma))]
    wrong += [and_(flags.bit("random"), flags.bit("sequential")), and_(flags.bit("thp_always"), flags.bit("thp_never"))]
    if flags.rest is not False:
        wrong.append(True)
    return any_(wrong)


def combine(op: str, a: Flags, b: Flags) -> Flags:
    """`a & b` and `a | b`."""
    joined = and_ if op == "&" else or_
    bits: dict[str, Bool | None] = {}
    for name in a.names(b):
        x, y = a.bits.get(name, a.rest), b.bits.get(name, b.rest)
        if x is None or y is None:
            bits[name] = _rest(op, x if isinstance(x, bool) else None, y if isinstance(y, bool) else None)
        else:
            bits[name] = joined(x, y)
    return Flags(bits, _rest(op, a.rest, b.rest), _key(op, a.key, b.key))


def _rest(op: str, x: bool | None, y: bool | None) -> bool | None:
    deciding = op == "|"
    if x is deciding or y is deciding:
        return deciding
    return None if x is None or y is None else not deciding


def _key(op: str, x: Num | None, y: Num | None) -> Num | None:
    absorbing, neutral = (0, 15) if op == "&" else (15, 0)
    for one, other in ((x, y), (y, x)):
        if isinstance(one, int) and one == neutral:
            return other
        if isinstance(one, int) and one == absorbing:
            return absorbing
    if x is None or y is None:
        return None
    if isinstance(x, int) and isinstance(y, int):
        return x & y if op == "&" else x | y
    raise NotCovered(f"two protection keys, {op}")


def inverted(a: Flags) -> Flags:
    """`~a`."""
    key: Num | None = a.key
    if isinstance(key, int):
        key = 15 - key
    elif key is not None:
        key = None
    bits = {n: None if b is None else not_(b) for n, b in a.bits.items()}
    return Flags(bits, None if a.rest is None else not a.rest, key)


def may_bits(a: Flags) -> Flags:
    """`a >> 4`: what may be is where what is was; of the other bits nothing is known."""
    moved = {name: a.bit("may_read" if name == "read" else f"may_{name}") for name in ("write", "exec", "read")}
    return Flags({**moved, "shared": a.bit("may_share")}, None, None)


def any_bit(a: Flags) -> Bool:
    """Some bit is set."""
    if a.rest is not False or a.key is None:
        raise NotCovered("whether any bit of vm_flags at all is set")
    return or_(any_(a.bit(name) for name in a.bits), ne(a.key, 0))


def equal(a: Flags, b: Flags) -> Bool:
    """All bits are the same."""
    if a.rest != b.rest or a.rest is None or a.key is None or b.key is None:
        raise NotCovered("a comparison of vm_flags of which not all is known")
    return and_(all_(eq(a.bit(n), b.bit(n)) for n in a.names(b)), eq(a.key, b.key))


def if_flags(cond: Bool, a: Flags, b: Flags) -> Flags:
    """Choice between two."""
    if a.rest != b.rest or a.key is None or b.key is None:
        raise NotCovered("a choice between vm_flags of which not all is known")
    return Flags({n: ite_bool(cond, a.bit(n), b.bit(n)) for n in a.names(b)}, a.rest, ite(cond, a.key, b.key))


# pointers and structures ---------------------------------------------------------------------------------------------


class Struct:
    """A vm_area_struct: an identity. Its record is in the space's list for as long as it is alive."""


@dataclass(frozen=True, slots=True)
class ErrPtr:
    """An error pointer."""

    errno: int


@dataclass(slots=True)
class Iter:
    """A vma_iterator: at a VMA, before all of them, or not anywhere yet (then `start` is where it begins)."""

    start: Any = None
    at: Struct | None = None
    before_first: bool = False


@dataclass(slots=True)
class Record:
    """A structure of which the fields are kept."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    zeroed: bool = False


@dataclass(frozen=True, slots=True)
class Thing:
    """Something of which nothing is known but its name: it may be handed on, and nothing be decided by it."""

    name: str


@dataclass(frozen=True, slots=True)
class Ref:
    """The address of a variable, or of a field."""

    scope: dict[str, Any]
    name: str


@dataclass(frozen=True, slots=True)
class FieldRef:
    """The address of a field of a structure."""

    of: Any
    name: str


@dataclass(frozen=True, slots=True)
class Code:
    """A function."""

    name: str


@dataclass(frozen=True, slots=True)
class Fell:
    """What a function gives that has a result and runs off its end."""

    function: str


class Unset:
    """A variable that was never set."""


UNSET: Final = Unset()
MM: Final = Thing("mm")
CURRENT: Final = Thing("current")
OPS: Final = Thing("vm_ops")
FILE: Final = Thing("vm_file")
ANON_VMA: Final = Thing("anon_vma")
