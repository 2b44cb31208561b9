# SPDX-License-Identifier: MIT
"""Formulas that mean the same over Python values and over Z3 terms.

The specification is written once and read three ways; these functions are what makes that possible. Given Python
values they compute; given at least one Z3 term they build a term, folding what is already decided so that a formula
about a call that changes nothing stays the constant True.

Terms are built through z3's C interface: its Python operators look at the sorts of their operands again and again,
which took about a fifth of a run's time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar, cast

import z3

Bool: TypeAlias = bool | z3.BoolRef
"""A truth value: decided (Python) or symbolic (Z3)."""
Num: TypeAlias = int | z3.ArithRef
"""A number of pages, a page number, or a small code: decided or symbolic. Never bytes."""

Answer = TypeVar("Answer")


def is_decided(term: object) -> bool:
    """True when the term is a Python value, so that no solver is needed to know it."""
    return not isinstance(term, z3.ExprRef)


def once_for_each(function: Callable[[Num], Answer]) -> Callable[[Num], Answer]:
    """The same function of a number, which builds its terms once for each."""
    known: dict[int, tuple[Num, Answer]] = {}  # the number is kept, so that the id of its term stays its own

    def remembered(number: Num) -> Answer:
        key = ~number if isinstance(number, int) else number.get_id()
        if key not in known:
            known[key] = number, function(number)
        return known[key][1]

    return remembered


def plain_sum(a: Num, b: Num) -> Num:
    """The sum, as a term that is the same whichever way one came to it."""
    total = a + b
    return cast(z3.ArithRef, z3.simplify(total)) if isinstance(total, z3.ExprRef) else total


def whole(number: Num) -> int:
    """A decided number as the int that it is. Raises TypeError for a symbolic one."""
    if not isinstance(number, int):
        raise TypeError(f"not a concrete number: {number}")
    return number


_CONTEXT = z3.main_ctx()


def _built(make: Callable[..., object], *operands: z3.ExprRef) -> z3.BoolRef:
    return z3.BoolRef(make(_CONTEXT.ref(), *(operand.ast for operand in operands)), _CONTEXT)


def _joined(make: Callable[..., object], parts: Sequence[z3.BoolRef]) -> z3.BoolRef:
    terms = (z3.Ast * len(parts))(*(part.ast for part in parts))
    return z3.BoolRef(make(_CONTEXT.ref(), len(parts), terms), _CONTEXT)


@cache
def _number(value: int) -> z3.ArithRef:
    return cast(z3.ArithRef, z3.IntVal(value))


class Unknown(z3.FuncDeclRef):
    """An uninterpreted function of numbers and truth values."""

    def __init__(self, name: str, *sorts: z3.SortRef) -> None:
        super().__init__(z3.Function(name, *sorts).ast, _CONTEXT)  # type: ignore[no-untyped-call]
        self._answer = z3.BoolRef if sorts[-1].kind() == z3.Z3_BOOL_SORT else z3.ArithRef
        self._arity = len(sorts) - 1

    def __call__(self, *arguments: z3.ExprRef | int) -> Any:
        """The term of its answer."""
        assert len(arguments) == self._arity, f"{self} takes {self._arity} arguments"
        terms = [a if isinstance(a, z3.ExprRef) else _constant(a) for a in arguments]
        asts = (z3.Ast * len(terms))(*(term.ast for term in terms))
        return self._answer(z3.Z3_mk_app(_CONTEXT.ref(), self.ast, len(terms), asts), _CONTEXT)


def unknown_truth(name: str, number: Num) -> Bool:
    """An uninterpreted predicate of a number."""
    return cast(z3.BoolRef, _predicate(name)(number))


@cache
def _predicate(name: str) -> Unknown:
    return Unknown(name, z3.IntSort(), z3.BoolSort())


def _constant(value: int) -> z3.ExprRef:
    return cast(z3.ExprRef, z3.BoolVal(value)) if isinstance(value, bool) else _number(value)


def _compared(make: Callable[..., object], reverse: Callable[..., object], a: Num, b: Num) -> z3.BoolRef:
    """Compares two numbers of which at least one is a term; a constant stands on the right, as z3 itself has it."""
    if isinstance(a, int):
        make, a, b = reverse, b, a
    return _built(make, cast(z3.ArithRef, a), _number(b) if isinstance(b, int) else b)


def not_(a: Bool) -> Bool:
    """Negation."""
    return _built(z3.Z3_mk_not, a) if isinstance(a, z3.ExprRef) else not a


def and_(*parts: Bool) -> Bool:
    """Conjunction; decided as soon as one part is False or all are True."""
    return all_(parts)


def or_(*parts: Bool) -> Bool:
    """Disjunction; decided as soon as one part is True or all are False."""
    return any_(parts)


def all_(parts: Iterable[Bool]) -> Bool:
    """Conjunction of a series."""
    kept: list[z3.BoolRef] = []
    for part in parts:
        if isinstance(part, z3.ExprRef):
            kept.append(part)
        elif not part:
            return False
    if not kept:
        return True
    return kept[0] if len(kept) == 1 else _joined(z3.Z3_mk_and, kept)


def any_(parts: Iterable[Bool]) -> Bool:
    """Disjunction of a series."""
    kept: list[z3.BoolRef] = []
    for part in parts:
        if isinstance(part, z3.ExprRef):
            kept.append(part)
        elif part:
            return True
    if not kept:
        return False
    return kept[0] if len(kept) == 1 else _joined(z3.Z3_mk_or, kept)


def implies(a: Bool, b: Bool) -> Bool:
    """If a then b."""
    return or_(not_(a), b)


def _same_object(a: object, b: object) -> bool:
    # z3 keeps every term once
    return a is b or (isinstance(a, z3.ExprRef) and isinstance(b, z3.ExprRef) and a.ast.value == b.ast.value)


def eq(a: Num | Bool, b: Num | Bool) -> Bool:
    """Equality of numbers or of truth values."""
    if _same_object(a, b):
        return True
    if isinstance(a, bool) and isinstance(b, z3.ExprRef):
        a, b = b, a
    if isinstance(b, bool) and isinstance(a, z3.ExprRef):
        return cast(z3.BoolRef, a) if b else not_(cast(z3.BoolRef, a))
    if isinstance(a, z3.ExprRef) and isinstance(b, z3.ExprRef):
        return _built(z3.Z3_mk_eq, a, b)
    if isinstance(a, z3.ArithRef) or isinstance(b, z3.ArithRef):
        return _compared(z3.Z3_mk_eq, z3.Z3_mk_eq, cast(Num, a), cast(Num, b))
    return cast(Bool, a == b)


def ne(a: Num | Bool, b: Num | Bool) -> Bool:
    """Inequality of numbers or of truth values."""
    return not_(eq(a, b))


def ite_bool(cond: Bool, yes: Bool, no: Bool) -> Bool:
    """Choice between two truth values."""
    if not isinstance(cond, z3.ExprRef):
        return yes if cond else no
    if _same_object(yes, no):
        return yes
    if not isinstance(yes, z3.ExprRef):
        return or_(cond, no) if yes else and_(not_(cond), no)
    if not isinstance(no, z3.ExprRef):
        return or_(not_(cond), yes) if no else and_(cond, yes)
    return _built(z3.Z3_mk_ite, cond, yes, no)


def ite(cond: Bool, yes: Num, no: Num) -> Num:
    """Choice between two numbers."""
    if not isinstance(cond, z3.ExprRef):
        return yes if cond else no
    if _same_object(yes, no) or (not isinstance(yes, z3.ExprRef) and not isinstance(no, z3.ExprRef) and yes == no):
        return yes
    if isinstance(yes, z3.BitVecRef) or isinstance(no, z3.BitVecRef):
        return cast(z3.ArithRef, z3.If(cond, yes, no))
    operands = (cond, *(n if isinstance(n, z3.ExprRef) else _number(n) for n in (yes, no)))
    return z3.ArithRef(z3.Z3_mk_ite(_CONTEXT.ref(), *(operand.ast for operand in operands)), _CONTEXT)


def lt(a: Num, b: Num) -> Bool:
    """a < b; of words, unsigned."""
    if isinstance(a, z3.BitVecRef) or isinstance(b, z3.BitVecRef):
        return cast(z3.BoolRef, z3.ULT(a, b) if isinstance(a, z3.ExprRef) else z3.UGT(b, a))
    return a < b if isinstance(a, int) and isinstance(b, int) else _compared(z3.Z3_mk_lt, z3.Z3_mk_gt, a, b)


def le(a: Num, b: Num) -> Bool:
    """a <= b; of words, unsigned."""
    if isinstance(a, z3.BitVecRef) or isinstance(b, z3.BitVecRef):
        return cast(z3.BoolRef, z3.ULE(a, b) if isinstance(a, z3.ExprRef) else z3.UGE(b, a))
    return a <= b if isinstance(a, int) and isinstance(b, int) else _compared(z3.Z3_mk_le, z3.Z3_mk_ge, a, b)


def smaller(a: Num, b: Num) -> Num:
    """The smaller of two numbers."""
    return ite(le(a, b), a, b)


def larger(a: Num, b: Num) -> Num:
    """The larger of two numbers."""
    return ite(le(a, b), b, a)


def rounded_down(a: Num, unit: int) -> Num:
    """The largest multiple of the unit that is not above the number."""
    if unit == 1:
        return a
    return a // unit * unit if isinstance(a, int) else cast(z3.ArithRef, a / unit * unit)


def between(low: Num, x: Num, high: Num) -> Bool:
    """low <= x < high."""
    return and_(le(low, x), lt(x, high))


def one_of(x: Num, values: Iterable[int]) -> Bool:
    """x is one of the given constants."""
    if isinstance(x, int):
        return x in values
    return any_(eq(x, value) for value in values)
