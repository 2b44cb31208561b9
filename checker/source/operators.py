# SPDX-License-Identifier: MIT
"""C's operators and conversions over the values of the reading."""

from __future__ import annotations

from typing import Any, Protocol, cast

import z3

from checker.source.errors import Fault, NotCovered
from checker.source.types import Type
from checker.source.values import (
    HIGH,
    PAGE,
    PAGE_SHIFT,
    SPACE,
    Addr,
    Code,
    ErrPtr,
    Fell,
    Flags,
    Iter,
    Record,
    Ref,
    Struct,
    Thing,
    Word,
    any_bit,
    combine,
    equal,
    may_bits,
    word,
)
from spec.terms import Bool, Num, eq, le, lt, ne, not_

INT = Type("int", 32, True)
COMPARED = ("<", ">", "<=", ">=", "==", "!=")


def promoted(kind: Type) -> Type | None:
    """The type that an operand of this type has in an expression; None if it is no integer."""
    if not kind.bits:
        return None
    return INT if kind.bits < 32 else kind


def common(a: Type | None, b: Type | None) -> Type | None:
    """The type that two operands are brought to."""
    if a is None or b is None:
        return None
    bits = max(a.bits, b.bits)
    return Type("common", bits, all(t.signed or t.bits < bits for t in (a, b)))


class Decides(Protocol):
    """What takes branches."""

    def decide(self, cond: Bool) -> bool: ...


def truth(v: Any) -> Bool:
    """A value as a condition. Raises NotCovered, and Fault for the result of a function that gave none."""
    if isinstance(v, bool | z3.BoolRef):
        return v
    if isinstance(v, Word):
        if isinstance(v.term, int):
            return v.term != 0
        return v.term != 0  # type: ignore[no-any-return]
    if v is None:
        return False
    if isinstance(v, Flags):
        return any_bit(v)
    if isinstance(v, Addr):
        return True if v.byte else ne(v.page, 0)
    if isinstance(v, Struct | ErrPtr | Ref | Code | Record | Iter):
        return True
    if isinstance(v, Thing) and v.name in ("mm", "vm_ops", "vm_file", "anon_vma", "current"):
        return True
    if isinstance(v, Fell):
        raise Fault(f"{v.function} gave no result, and it is used")
    what = v.name if isinstance(v, Thing) else type(v).__name__
    raise NotCovered(f"a decision on {what}, of which nothing is known")


def _from_bool(v: Bool, kind: Type) -> Word:
    if isinstance(v, bool):
        return Word(int(v), kind.bits, kind.signed)
    return Word(z3.If(v, z3.BitVecVal(1, kind.bits), z3.BitVecVal(0, kind.bits)), kind.bits, kind.signed)


def convert(v: Any, to: Type) -> Any:
    """A value as one of a type. Raises NotCovered where that would cut it."""
    if to.structure is not None or to.bits == 0:
        if isinstance(v, Word) and v.known and v.term == 0 and to.name == "pointer":
            return None
        return v
    if to.bits == 1:
        return truth(v)
    if isinstance(v, Word):
        return v.to(to.bits, to.signed)
    if isinstance(v, bool | z3.BoolRef):
        return _from_bool(v, to)
    if isinstance(v, Flags) and to.bits < 64:
        low = {n: b for n, b in v.bits.items() if n not in HIGH}
        if v.rest is not False or not (isinstance(v.key, int) and v.key == 0):
            raise NotCovered(f"vm_flags in the type {to.name}, which has {to.bits} bits")
        return Flags(low)
    if isinstance(v, Addr) and to.bits < 64:
        if isinstance(v.page, int):
            return word(v.page * PAGE + v.byte, to.bits, to.signed)
        raise NotCovered(f"an address in the type {to.name}, which has {to.bits} bits")
    if v is None:
        return word(0, to.bits, to.signed)
    if isinstance(v, Fell):
        raise Fault(f"{v.function} gave no result, and it is used")
    return v


def negated(machine: Decides, v: Any) -> Any:
    """`-v`."""
    if isinstance(v, bool | z3.BoolRef):
        v = convert(v, INT)
    if isinstance(v, Addr):
        return binary(machine, "-", Addr(0), v)
    if isinstance(v, Word):
        wide = v.to(max(v.bits, 32), v.signed if v.bits >= 32 else True)
        if isinstance(wide.term, int):
            return word(-wide.term, wide.bits, wide.signed)
        if isinstance(wide.term, z3.ArithRef) and not wide.signed:
            raise NotCovered("a negated number without sign")
        return Word(-wide.term, wide.bits, wide.signed)
    if isinstance(v, Thing):
        return v
    raise NotCovered(f"the operator - on {type(v).__name__}")


def binary(machine: Decides, op: str, a: Any, b: Any) -> Any:
    """`a op b`, for all operators but && and ||."""
    for v in (a, b):
        if isinstance(v, Fell):
            raise Fault(f"{v.function} gave no result, and it is used")
    if isinstance(a, Flags) or isinstance(b, Flags):
        return _with_flags(op, a, b)
    a = convert(a, INT) if isinstance(a, bool | z3.BoolRef) else a
    b = convert(b, INT) if isinstance(b, bool | z3.BoolRef) else b
    if isinstance(a, Addr) or isinstance(b, Addr):
        return _with_addresses(machine, op, a, b)
    if isinstance(a, Word) and isinstance(b, Word):
        return words(op, a, b)
    if op in ("==", "!="):
        return _pointers(op, a, b)
    if isinstance(a, Thing) and isinstance(b, Thing | Word):
        return a
    if isinstance(b, Thing) and isinstance(a, Word):
        return b
    raise NotCovered(f"{type(a).__name__} {op} {type(b).__name__}")


def _pointers(op: str, a: Any, b: Any) -> bool:
    a = None if isinstance(a, Word) and a.known and a.term == 0 else a
    b = None if isinstance(b, Word) and b.known and b.term == 0 else b
    known = (Struct, ErrPtr, type(None), Ref, Code, Record, Iter)
    for v in (a, b):
        if isinstance(v, Word):
            raise NotCovered("a pointer compared with a number")
        if not isinstance(v, known) and not (isinstance(v, Thing) and "." not in v.name and "->" not in v.name):
            raise NotCovered(f"a comparison of {getattr(v, 'name', type(v).__name__)}, of which nothing is known")
    if isinstance(a, Thing) and a == b and a.name in ("vm_file", "anon_vma", "vm_ops"):
        raise NotCovered(f"a comparison of two {a.name}")
    same = a == b if isinstance(a, Thing | ErrPtr | Ref | Code) else a is b
    return same if op == "==" else not same


def _with_flags(op: str, a: Any, b: Any) -> Any:
    zero = Flags({})
    if isinstance(b, Word) and isinstance(a, Flags) and op == ">>":
        if b.known and b.number == 4:
            return may_bits(a)
        raise NotCovered("vm_flags shifted by anything but 4")
    a = zero if isinstance(a, Word) and a.known and a.term == 0 else a
    b = zero if isinstance(b, Word) and b.known and b.term == 0 else b
    if not (isinstance(a, Flags) and isinstance(b, Flags)):
        raise NotCovered(f"vm_flags {op} a number")
    if op in "&|":
        return combine(op, a, b)
    if op == "==":
        return equal(a, b)
    if op == "!=":
        return not_(equal(a, b))
    if op == "-" or op == "+" or op == "^":
        raise NotCovered(f"vm_flags {op} vm_flags")
    raise NotCovered(f"the operator {op} on vm_flags")


def as_address(v: Any) -> Addr | None:
    """A value as an address, if it can be one."""
    if isinstance(v, Addr):
        return v
    if isinstance(v, Word) and v.known:
        value = v.number % (1 << 64)
        return Addr(value >> PAGE_SHIFT, value & (PAGE - 1))
    return None


def _with_addresses(machine: Decides, op: str, a: Any, b: Any) -> Any:
    if op in (">>", "<<"):
        return _shifted(op, a, b)
    if op == "&":
        return _masked(a, b)
    if op in ("/", "*", "%"):
        if op == "/" and isinstance(b, Word) and b.known and b.term == PAGE and isinstance(a, Addr):
            return Word(a.page, 64, False)
        raise NotCovered(f"an address {op} a number")
    x, y = as_address(a), as_address(b)
    if x is None or y is None:
        other = b if isinstance(a, Addr) else a
        if isinstance(other, Word):
            raise NotCovered(f"an address {op} a number of bytes that is not known")
        if other is None and op in ("==", "!="):
            return binary(machine, op, a if isinstance(a, Addr) else b, word(0, 64, False))
        raise NotCovered(f"an address {op} {type(other).__name__}")
    match op:
        case "<":
            return _below(x, y)
        case ">":
            return _below(y, x)
        case "<=":
            return not_(_below(y, x))
        case ">=":
            return not_(_below(x, y))
        case "==":
            return eq(x.page, y.page) if x.byte == y.byte else False
        case "!=":
            return ne(x.page, y.page) if x.byte == y.byte else True
        case "+":
            carry, byte = divmod(x.byte + y.byte, PAGE)
            return Addr(_wrapped(machine, _sum(_sum(x.page, y.page), carry), over=True), byte)
        case "-":
            borrow, byte = divmod(x.byte - y.byte, PAGE)
            return Addr(_wrapped(machine, _sum(x.page, y.page, borrow, minus=True), over=False), byte)
        case "|":
            if isinstance(y.page, int) and y.page == 0 and x.byte & y.byte == 0:
                return Addr(x.page, x.byte | y.byte)
    raise NotCovered(f"an address {op} an address")


def _sum(x: Num, y: Num, more: int = 0, *, minus: bool = False) -> Num:
    if isinstance(x, int) and isinstance(y, int):
        return (x - y if minus else x + y) + more
    if isinstance(y, int) and y == 0 and more == 0:
        return x
    total = (x - y if minus else x + y) + more if more else (x - y if minus else x + y)
    simple = z3.simplify(total)
    return cast(Num, simple.as_long() if z3.is_int_value(simple) else simple)


def _wrapped(machine: Decides, page: Num, *, over: bool) -> Num:
    """A sum that may have reached the end of all page numbers, or a difference below zero, brought back."""
    if isinstance(page, int):
        return page % SPACE
    if isinstance(page, z3.BitVecRef):
        return cast(Num, page & (SPACE - 1))
    if z3.is_const(page):
        return page
    if over:
        return page if machine.decide(lt(page, SPACE)) else page - SPACE
    return page if machine.decide(le(0, page)) else page + SPACE


def _below(x: Addr, y: Addr) -> Bool:
    return lt(x.page, y.page) if x.byte >= y.byte else le(x.page, y.page)


def _shifted(op: str, a: Any, b: Any) -> Any:
    if op == ">>" and isinstance(a, Addr) and isinstance(b, Word) and b.known and b.term == PAGE_SHIFT:
        return Word(a.page, 64, False)
    raise NotCovered(f"an address shifted by anything but PAGE_SHIFT ({op})")


def _masked(a: Any, b: Any) -> Any:
    if isinstance(b, Addr):
        a, b = b, a
    if isinstance(b, Word) and b.known:
        mask = b.number % (1 << 64)
        if mask == (1 << 64) - PAGE:
            return Addr(a.page)
        if mask < PAGE:
            return Word(a.byte & mask, max(b.bits, 64), False)
    raise NotCovered("bits of an address other than those within the page")


def words(op: str, a: Word, b: Word) -> Any:
    """Integers of C, with its conversions."""
    if op in ("<<", ">>"):
        return _shift(op, a, b)
    bits = max(a.bits, b.bits, 32)
    signed = all(w.signed or w.bits < bits for w in (a, b))
    if isinstance(a.term, int) and isinstance(b.term, int):
        return _known(op, a.to(bits, signed), b.to(bits, signed))
    if isinstance(a.term, z3.ArithRef) or isinstance(b.term, z3.ArithRef):
        return _numbers(op, a, b, bits, signed)
    x, y = a.to(bits, signed).vector(), b.to(bits, signed).vector()
    match op:
        case "<":
            return x < y if signed else z3.ULT(x, y)
        case ">":
            return x > y if signed else z3.UGT(x, y)
        case "<=":
            return x <= y if signed else z3.ULE(x, y)
        case ">=":
            return x >= y if signed else z3.UGE(x, y)
        case "==":
            return x == y
        case "!=":
            return x != y
        case "+":
            return Word(x + y, bits, signed)
        case "-":
            return Word(x - y, bits, signed)
        case "*":
            return Word(x * y, bits, signed)
        case "&":
            return Word(x & y, bits, signed)
        case "|":
            return Word(x | y, bits, signed)
        case "^":
            return Word(x ^ y, bits, signed)
    raise NotCovered(f"the operator {op}")


def _shift(op: str, a: Word, b: Word) -> Word:
    wide = a.to(max(a.bits, 32), a.signed if a.bits >= 32 else True)
    if not b.known:
        raise NotCovered("a shift by a number that is not known")
    by = b.number
    if not 0 <= by < wide.bits:
        raise Fault(f"a shift by {by} of a number of {wide.bits} bits")
    if isinstance(wide.term, int):
        return word(wide.number << by if op == "<<" else wide.number >> by, wide.bits, wide.signed)
    if isinstance(wide.term, z3.ArithRef):
        raise NotCovered("a shift of an unknown number")
    if op == "<<":
        return Word(wide.term << by, wide.bits, wide.signed)
    return Word(wide.term >> by if wide.signed else z3.LShR(wide.term, by), wide.bits, wide.signed)


def _known(op: str, a: Word, b: Word) -> Any:
    x, y = a.number, b.number
    match op:
        case "<":
            return x < y
        case ">":
            return x > y
        case "<=":
            return x <= y
        case ">=":
            return x >= y
        case "==":
            return x == y
        case "!=":
            return x != y
    if op in ("/", "%"):
        if y == 0:
            raise Fault("a division by zero")
        quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        return word(quotient if op == "/" else x - quotient * y, a.bits, a.signed)
    table = {"+": x + y, "-": x - y, "&": x & y, "|": x | y, "^": x ^ y, "*": x * y}
    if op not in table:
        raise NotCovered(f"the operator {op}")
    return word(table[op], a.bits, a.signed)


def _numbers(op: str, a: Word, b: Word, bits: int, signed: bool) -> Any:
    """Mathematical numbers, each within its type; a result that might not fit is not covered."""
    if op in ("&", "|", "^"):
        x, y = a.to(bits, signed).vector(), b.to(bits, signed).vector()
        return Word({"&": x & y, "|": x | y, "^": x ^ y}[op], bits, signed)
    for one, other in ((a, b), (b, a)):
        if other.known and other.term == 0 and (op == "+" or (op == "-" and other is b)):
            return one.to(bits, signed)
    terms: list[Any] = []
    for w in (a, b):
        if isinstance(w.term, z3.BitVecRef):
            raise NotCovered("bits and a number")
        value = w.number if isinstance(w.term, int) else w.term
        if isinstance(value, int) and value < 0 and not signed:
            if op in ("==", "!="):
                raise NotCovered("a negative number compared without sign")
            value %= 1 << bits
        elif w.signed and not signed and not isinstance(value, int):
            raise NotCovered("a number that may be negative, compared without sign")
        terms.append(value)
    x, y = terms
    match op:
        case "<":
            return lt(x, y)
        case ">":
            return lt(y, x)
        case "<=":
            return le(x, y)
        case ">=":
            return le(y, x)
        case "==":
            return eq(x, y)
        case "!=":
            return ne(x, y)
        case "+":
            return Word(x + y, bits, signed)
        case "-" if signed:
            return Word(x - y, bits, signed)
    raise NotCovered(f"the operator {op} on a number that is not known")
