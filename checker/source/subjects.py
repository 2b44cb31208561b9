# SPDX-License-Identifier: MIT
"""What is compared: each call's entry in the kernel, and how the specification's arguments are the C's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import z3

from checker.calls import finish
from checker.source.values import MM, Addr, Word, word
from spec.advice import known_advice
from spec.editions import Edition
from spec.errors import Errno
from spec.space import AddressSpace
from spec.syscalls import CALLS
from spec.syscalls import madvise as madvise_spec
from spec.terms import Bool, Num, and_, le, one_of
from spec.words import TASK_PAGES

Free = Mapping[str, Bool]
"""Values that the C is given and the specification does not look at."""


def narrow(term: Num, bits: int, signed: bool, most: int = 0) -> Word:
    """A number, or 64 bits, as an argument of a narrower type."""
    if isinstance(term, z3.BitVecRef):
        return Word(z3.Extract(bits - 1, 0, term), bits, signed)
    return word(term, bits, signed) if isinstance(term, int) else Word(term, bits, signed, most)


def _flag(cond: Bool, bit: int) -> Any:
    if isinstance(cond, z3.ExprRef):
        return z3.If(cond, z3.BitVecVal(bit, 64), z3.BitVecVal(0, 64))
    return bit if cond else 0


def _protection(to: Any, free: Free) -> Word:
    term: Any = 0
    for cond, bit in (
        (to.read, 1), (to.write, 2), (to.exec, 4), (free["sem"], 8), (to.growsdown, 1 << 24), (to.growsup, 1 << 25),
    ):  # fmt: skip
        term = term | _flag(cond, bit)
    return Word(term, 64, False)


@dataclass(frozen=True, slots=True)
class Subject:
    """A call, or a test within calls, that is compared with the specification's."""

    name: str
    entry: str
    """The C function."""
    given: Callable[[Any, Free], list[Any]]
    """(decoded arguments, free values) -> the C's arguments, with pages for addresses."""
    call: str
    """The call of the specification of which the arguments are."""
    body: Callable[[AddressSpace, Any], Num] | None = None
    """What the specification does; None: the call's own body."""
    words: Callable[[Mapping[str, Any]], list[Any]] | None = None
    """The C's arguments of 64 bits; None: it has no argument stage."""
    free: Mapping[str, Callable[[Mapping[str, Any]], Bool]] = field(default_factory=dict)
    facts: Callable[[Any], list[Bool]] = lambda to: []
    """What the argument stage ensures besides, of the decoded arguments (compare_arguments asks it)."""
    as_result: Callable[[Any], Any] = lambda value: value
    """What the C returns, as a call would return it."""
    title: str = ""

    @property
    def whole(self) -> bool:
        """It is a system call."""
        return self.words is not None

    def spec(self, mm: AddressSpace, to: Any) -> tuple[Errno, str, Num]:
        """How the specification's side ends."""
        body = self.body or CALLS[self.call].body
        return finish(lambda: body(mm, to))


def _range(a: Any) -> list[Any]:
    return [Addr(a.start), Addr(a.end - a.start)]


def _in_order(*names: str) -> Callable[[Mapping[str, Any]], list[Any]]:
    return lambda words: [Word(words[n]) if not isinstance(words[n], int) else word(words[n], 64, False) for n in names]


def _sem(words: Mapping[str, Any]) -> Bool:
    found: Bool = words["prot"] & 8 != 0
    return found


def _tests(mm: AddressSpace, to: Any) -> Num:
    mm.check_each(to.start, to.end, lambda vma: vma.sealed, Errno.EPERM, "a VMA of the range is sealed")
    return 0


def _tests_advice(mm: AddressSpace, to: Any) -> Num:
    if not mm.decide(one_of(to.advice, madvise_spec.treated_as_discard(mm.edition))):
        return 0
    mm.check_each(
        to.start,
        to.end,
        lambda vma: and_(vma.sealed, madvise_spec.is_protected(mm, vma)),
        Errno.EPERM,
        "a read-only anonymous VMA of the range is sealed",
    )
    return 0


def _allowed(value: Any) -> Any:
    """true is success, false EPERM."""
    if isinstance(value, bool):
        return word(0 if value else -1)
    if isinstance(value, z3.BoolRef):
        return Word(z3.If(value, z3.BitVecVal(0, 32), z3.BitVecVal(-1, 32)), 32, True)
    return value


SUBJECTS: Final[Mapping[str, Subject]] = {
    s.name: s
    for s in (
        Subject(
            "mseal", "sys_mseal", lambda a, f: [*_range(a), word(0, 64, False)], "mseal",
            words=_in_order("addr", "len", "flags"),
        ),
        Subject(
            "munmap", "sys_munmap", lambda a, f: _range(a), "munmap", words=_in_order("addr", "len"),
            facts=lambda a: [le(a.end, TASK_PAGES)],
        ),
        Subject(
            "mprotect", "sys_mprotect", lambda a, f: [*_range(a), _protection(a, f)], "mprotect",
            words=_in_order("addr", "len", "prot"), free={"sem": _sem},
        ),
        Subject(
            "pkey_mprotect", "sys_pkey_mprotect",
            lambda a, f: [*_range(a), _protection(a, f), narrow(a.pkey, 32, True)], "pkey_mprotect",
            words=_in_order("addr", "len", "prot", "pkey"), free={"sem": _sem},
        ),
        Subject(
            "madvise", "sys_madvise", lambda a, f: [*_range(a), narrow(a.advice, 32, True, 255)], "madvise",
            words=_in_order("addr", "len", "behavior"),
        ),
        Subject("mlock", "sys_mlock", lambda a, f: _range(a), "mlock", words=_in_order("addr", "len")),
        Subject("munlock", "sys_munlock", lambda a, f: _range(a), "munlock", words=_in_order("addr", "len")),
        Subject(
            "the seal test of a range", "can_modify_mm", lambda a, f: [MM, Addr(a.start), Addr(a.end)], "munmap",
            _tests, as_result=_allowed, title="true exactly if no VMA of the range is sealed",
        ),
        Subject(
            "the seal test of advice", "can_modify_mm_madv",
            lambda a, f: [MM, Addr(a.start), Addr(a.end), narrow(a.advice, 32, True, 255)], "madvise", _tests_advice,
            as_result=_allowed, title="false exactly if discarding advice meets a sealed read-only anonymous VMA",
        ),
    )
}  # fmt: skip
"""By name, in the order in which they are told."""
ADVICE_TESTS: Final = ("is_madv_discard", "is_discard")
"""Functions of one advice value: which values discard."""


def advice_values(edition: Edition) -> list[int]:
    """Values of advice that the edition knows."""
    return known_advice(edition)
