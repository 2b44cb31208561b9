# SPDX-License-Identifier: MIT
"""What a sentence rests on: the theorems of an edition, and the editions of which it is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from proofs.theorems import Theorem, theorems
from spec.editions import EDITIONS, KERNELS, Discard, Edition, SealCheck
from spec.properties import PROPERTIES


@dataclass(frozen=True, slots=True)
class Where:
    """The editions of which something is said: those that behave so. Kernels that are added later need no new text."""

    behaves: Callable[[Edition], bool]

    def has(self, edition: str) -> bool:
        """It is said of this edition."""
        return self.behaves(EDITIONS[edition])

    def concerns(self, edition: str | None) -> bool:
        """It is said of this edition; for None, of some kernel."""
        return any(self.has(name) for name in (KERNELS if edition is None else (edition,)))

    @property
    def label(self) -> str:
        """`up to v6.11`, `v6.12 and later`, `v6.17`; empty for every kernel."""
        return _label([name for name in KERNELS if self.has(name)])


def _label(names: list[str]) -> str:
    if len(names) == len(KERNELS):
        return ""
    first, last = KERNELS.index(names[0]), KERNELS.index(names[-1])
    if names != list(KERNELS[first : last + 1]):
        return ", ".join(names)
    if len(names) == 1:
        return names[0]
    if first == 0:
        return f"up to {names[-1]}"
    return f"{names[0]} and later" if names[-1] == KERNELS[-1] else f"{names[0]} to {names[-1]}"


EVERYWHERE = Where(lambda edition: True)
BIT_MASK = Where(lambda edition: edition.discard is Discard.BIT_MASK)
NO_BIT_MASK = Where(lambda edition: edition.discard is not Discard.BIT_MASK)
UP_FRONT = Where(lambda edition: edition.seals is SealCheck.UP_FRONT)
AFTER_UP_FRONT = Where(lambda edition: edition.seals is not SealCheck.UP_FRONT)
IN_THE_LOOP = Where(lambda edition: edition.seals is SealCheck.IN_THE_LOOP)
NOT_IN_THE_LOOP = Where(lambda edition: edition.seals is not SealCheck.IN_THE_LOOP)
HALF_WAY = Where(lambda edition: edition.seals is not SealCheck.TWO_PASS)
TWO_PASS = Where(lambda edition: edition.seals is SealCheck.TWO_PASS)
GUARDS = Where(lambda edition: edition.guard_pages)
FILE_GUARDS = Where(lambda edition: edition.guards_files)
ZERO_EXEMPT = Where(lambda edition: edition.seal_protects == "no file")
ZERO_PROTECTED = Where(lambda edition: edition.seal_protects != "no file")


@dataclass(frozen=True, slots=True)
class Basis:
    """The theorems of one property for some calls, and whether they are expected to be proved or refuted."""

    prop: str
    calls: tuple[str, ...] = ()
    """Left out: every call that the property speaks of."""
    refuted: bool = False

    def theorems(self, edition: str) -> list[Theorem]:
        """Those of the edition; none if it is not held to the property."""
        return theorems(EDITIONS[edition], [self.prop], list(self.calls) or None)

    def agrees(self, edition: str) -> bool:
        """Each theorem has the verdict that a sentence needs, and there is one."""
        found = self.theorems(edition)
        return bool(found) and all(theorem.expected == ("refuted" if self.refuted else "proved") for theorem in found)

    @property
    def name(self) -> str:
        """`never-unmapped (14 calls)`, `eperm-changes-nothing(munmap, brk)`."""
        if self.calls:
            return f"{self.prop}({', '.join(self.calls)})"
        calls = PROPERTIES[self.prop].calls
        return f"{self.prop}({calls[0]})" if len(calls) == 1 else f"{self.prop} ({len(calls)} calls)"

    @property
    def verdict(self) -> Literal["proved", "refuted"]:
        """`proved` or `refuted`."""
        return "refuted" if self.refuted else "proved"


def proved(prop: str, *calls: str) -> Basis:
    """What a sentence rests on that says that something holds."""
    return Basis(prop, calls)


def refuted(prop: str, *calls: str) -> Basis:
    """What a sentence rests on that says that something does not hold."""
    return Basis(prop, calls, refuted=True)
