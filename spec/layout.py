# SPDX-License-Identifier: MIT
"""When a list of VMAs is an address space that a kernel could have.

The conditions are formulas over spec.terms: a checker assumes them of symbolic VMAs, and tells a person which of them a
written layout breaks. All positions are page numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spec.terms import Bool, Num, is_decided, le
from spec.vma import Vma, well_formed_vma

OVER_LIMIT = 1
"""How far map_count may lie above its limit: mmap and brk test `map_count > limit` before they add one VMA."""


def _conditions(vmas: Sequence[Vma], elsewhere: Num, max_map_count: Num) -> Iterator[tuple[int | None, Bool, str]]:
    """Each condition with the index of the VMA that it is about (None: the layout as a whole) and what breaks it."""
    for i, vma in enumerate(vmas):
        for cond, why in well_formed_vma(vma):
            yield i, cond, why
        if i:
            yield (
                i,
                le(vmas[i - 1].end, vma.start),
                f"it begins before VMA {i - 1} ends: VMAs are in address order and apart",
            )
    yield None, le(0, elsewhere), "the number of VMAs elsewhere is negative"
    yield None, le(1, max_map_count), "the map-count limit is below 1"
    yield None, le(elsewhere + len(vmas), max_map_count + OVER_LIMIT), "map_count is more than one above its limit"


def well_formed(vmas: Sequence[Vma], *, elsewhere: Num = 0, max_map_count: Num = 65530) -> list[tuple[Bool, str]]:
    """The conditions on a whole layout, each with the sentence that a layout breaking it is told.

    `vmas` may be symbolic; `elsewhere` is the number of mapped VMAs that are not listed (0 or more), `max_map_count`
    the limit on all of them. The order, disjointness and end of the address space are part of it. One exception from
    what real kernels can reach: refused calls of 6.12 and later may leave cuts (weakness W7) that take map_count
    further above its limit than one; no layout starts that way.
    """
    return [
        (cond, why if i is None else f"VMA {i}: {why}") for i, cond, why in _conditions(vmas, elsewhere, max_map_count)
    ]


def layout_problems(vmas: Sequence[Vma], *, elsewhere: int = 0, max_map_count: int = 65530) -> list[str]:
    """What is wrong with a concrete layout: one line for each broken condition, naming the VMA by number and range.

    Empty for a well-formed one. Raises ValueError if a condition is not decided (some field is symbolic).
    """
    return [text for _, text in numbered_problems(vmas, elsewhere=elsewhere, max_map_count=max_map_count)]


def numbered_problems(
    vmas: Sequence[Vma], *, elsewhere: int = 0, max_map_count: int = 65530
) -> list[tuple[int | None, str]]:
    """As layout_problems, with the index of the VMA beside each line; None where no single VMA is at fault."""
    problems: list[tuple[int | None, str]] = []
    for i, cond, why in _conditions(vmas, elsewhere, max_map_count):
        if not is_decided(cond):
            raise ValueError(f"the layout is symbolic; not decided: {why}")
        if not cond:
            problems.append((i, why if i is None else f"{vma_name(i, vmas[i])}: {why}"))
    return problems


def vma_name(i: int, vma: Vma) -> str:
    """How messages name a concrete VMA: its index from 0 and its range in pages."""
    return f"VMA {i} (pages {vma.start:#x}-{vma.end:#x})"
