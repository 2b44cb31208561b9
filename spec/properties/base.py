# SPDX-License-Identifier: MIT
"""What a property is, and where its sentences come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from spec.editions import System
from spec.predicates import Formula
from spec.terms import Bool, Num
from spec.transition import Transition

SYSTEM_CALLS = ("mseal", "munmap", "mmap", "mprotect", "pkey_mprotect", "mremap", "madvise", "brk", "mlock", "munlock")
STEPS = ("write", "pkru", "reclaim", "pkey_alloc")
CHANGING = (*SYSTEM_CALLS, *STEPS)
"""Everything that happens to one address space; fork makes another one."""

COMMIT: Final = "commit message, "
THREAD_LIAM: Final = "review thread, Liam Howlett, 2024-04-16 14:59"
THREAD_JANN: Final = "review thread, Jann Horn, 2024-04-16 15:17"
THREAD_THEO: Final = "review thread, Theo de Raadt, 2024-04-16 16:42"
HEADER: Final = "mm/mseal.c, comment above do_mseal"


@dataclass(frozen=True, slots=True)
class Property:
    """A theorem for each of its calls."""

    name: str
    sentence: str
    source: str
    calls: tuple[str, ...]
    holds: Formula
    """What must be true at each page."""
    when: Formula = lambda t, p: True
    """Where the property says anything."""
    every: Formula | None = None
    """What the property presupposes of every page."""
    none: Formula | None = None
    """What would be true of every page where the property is broken: it says that some page is not like that."""
    outcomes: Callable[[Transition], bool] = lambda t: True
    """The property speaks of calls that ended like this one."""
    assumptions: tuple[str, ...] = ()
    pageless: bool = False
    """It speaks of the call as a whole: no page breaks it."""
    second: bool = False
    """The property speaks of two pages: `when` and `holds` take a third argument (`of_two_pages`)."""
    contents: bool = False
    """It speaks of what pages hold, so that counterexamples show contents."""
    positions: bool = False
    """It speaks of where VMAs lie and of their anon_vmas, which most proofs do without."""
    promised_by: tuple[System, ...] = tuple(System)
    """The systems whose documents promise it; the others are not held to it."""


def of_two_pages(formula: Callable[[Transition, Num, Num], Bool]) -> Formula:
    """A formula for a property that speaks of two pages (`Property.second`)."""
    return cast(Formula, formula)
