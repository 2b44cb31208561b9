# SPDX-License-Identifier: MIT
"""The list engine with handles for the table: its splits and merges, told apart, and failures named alike for both
readings of a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import z3

from checker.bounded import BoundedSpace, Window
from checker.concrete import ConcreteSpace, State
from checker.layout import LayoutSpace
from spec.editions import Edition
from spec.errors import Errno
from spec.space import Refused, Visit
from spec.terms import Bool, Num
from spec.vma import Vma


@dataclass(slots=True)
class Modified:
    """What came of giving a part of a VMA other attributes."""

    refused: Errno | None = None
    left: bool = False
    right: bool = False
    """Merged with the VMA before it, behind it."""
    splits: list[Num] = field(default_factory=list)
    grown: int = 0
    """VMAs that there are more than before."""


class KernelVerbs(LayoutSpace):
    """What the kernel's own functions do to the list."""

    _noting: Modified | None = None
    _left_known = True

    def modify(self, i: int, start: Num, end: Num, after: Vma, *, left_known: bool, no_room: Errno) -> Modified:
        """Merge or split VMA number i (vma_modify). `left_known`: the caller names the VMA before it."""
        noted, count = Modified(), len(self.vmas)
        self._noting, self._left_known = noted, left_known
        try:
            self._modify(i, start, end, after, no_room)
        except Refused as refused:
            noted.refused = refused.errno
        finally:
            self._noting = None
        noted.grown = len(self.vmas) - count
        return noted

    def _merges_left(self, left: Vma | None, new: Vma) -> bool:
        if self._noting is None:
            return super()._merges_left(left, new)
        self._noting.left = super()._merges_left(left, new) if self._left_known else False
        return self._noting.left

    def _merges_right(self, new: Vma, right: Vma | None, left: Vma | None, *, extends: bool = False) -> bool:
        merges = super()._merges_right(new, right, left, extends=extends)
        if self._noting is not None:
            self._noting.right = merges
        return merges

    def _split(self, i: int, page: Num, refused: Errno = Errno.EINVAL) -> None:
        super()._split(i, page, refused)
        if self._noting is not None:
            self._noting.splits.append(page)

    def cut(self, i: int, page: Num) -> Errno | None:
        """Split VMA number i (__split_vma); None if that worked."""
        try:
            self._split(i, page)
        except Refused as refused:
            return refused.errno
        return None

    def insert(self, vma: Vma) -> None:
        """Put a new VMA into a free range, merged with its neighbours."""
        self._insert(vma)

    def affect(self, vma: Vma, step: Visit) -> None:
        """What a visit of a VMA does to its pages."""
        self._affect_pages(vma, step)


class _Repeatable:
    """A run in which the second reading is given the answers that the first one had to free choices."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.chosen: dict[str, bool] = {}

    def decide(self, cond: Bool) -> bool:
        return bool(self.run.decide(cond))

    def assume(self, fact: Bool) -> None:
        self.run.assume(fact)

    def entails(self, cond: Bool) -> bool:
        return bool(self.run.entails(cond))

    def choose(self, choice: z3.BoolRef) -> bool:
        name = str(choice)
        if name not in self.chosen:
            self.chosen[name] = self.run.choose(choice)
        return self.chosen[name]


def repeatable(run: Any) -> Any:
    """The run, with free choices that are made once."""
    return _Repeatable(run)


class BoundedKernel(KernelVerbs, BoundedSpace):
    """Symbolic VMAs."""

    def __init__(self, window: Window, edition: Edition, run: Any) -> None:
        super().__init__(window, edition, run)
        self._times: dict[str, int] = {}

    def _fresh(self, what: str) -> str:
        """A name that is the same in two readings that ask the same thing the same number of times."""
        self._times[what] = self._times.get(what, 0) + 1
        return f"{what}!{self._times[what]}"

    @property
    def killed(self) -> bool:
        """A fatal signal comes while the lock is waited for."""
        return bool(self.run.choose(z3.Bool("killed")))


class ConcreteKernel(KernelVerbs, ConcreteSpace):
    """Python values. The C of the kernel is not killed here."""

    killed = False

    def __init__(self, state: State, edition: Edition, failures: frozenset[str] = frozenset()) -> None:
        super().__init__(state, edition, failures=failures)


Space = BoundedKernel | ConcreteKernel
Meaning = Callable[..., Any]
