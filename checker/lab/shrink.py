# SPDX-License-Identifier: MIT
"""A difference made small: steps are removed and arguments made simpler, as long as the kernel still differs alike."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from checker.documents.scenarios import Scenario
from checker.lab.batches import TRIES, Batch, Found, answered, first_difference, plain_steps, up_to
from checker.lab.generate import PAGE, WINDOW
from checker.lab.run import ImageKernel, run_scenarios

SHRINK_SECONDS: Final = 120.0
"""So long one difference is made smaller."""


def _pages(value: object) -> int:
    """The size of an address or a length, in pages from the window or from zero; what is wild is large."""
    number = int(value, 16) if isinstance(value, str) and value.startswith("0x") else value
    if not isinstance(number, int):
        return 100
    if number >= WINDOW:
        number -= WINDOW
    return min(number // PAGE, 100) + (2 if number % PAGE else 0)


def _cost(step: Mapping[str, Any]) -> int:
    """How far a step is from the plainest of its call."""
    cost = sum(_pages(step[name]) for name in ("addr", "new_addr", "len", "old_len", "new_len", "off") if name in step)
    cost += {3: 0, 1: 1}.get(step.get("prot", 3), 2) + int(step.get("flags", 0)).bit_count()
    return cost + len(step.get("failures", ())) + int(step.get("byte", 1) != 1) + 2 * int(step.get("fd", -1) != -1)


def _measure(steps: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """How large a sequence is: fewer steps first, then plainer ones."""
    return len(steps), sum(map(_cost, steps))


def _simpler(step: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The same call with one argument made plainer."""

    def with_(**fields: object) -> dict[str, Any]:
        return {**step, **fields}

    for name in ("len", "old_len", "new_len"):
        if name in step:
            pages = step[name] // PAGE
            sizes = sorted({0, 1, pages // 2, pages - 1, pages})
            yield from (with_(**{name: n * PAGE}) for n in sizes if 0 <= n <= 100)
    if step["call"] == "mremap" and step["old_len"] == step["new_len"]:
        yield from (with_(old_len=n * PAGE, new_len=n * PAGE) for n in (1, step["old_len"] // PAGE // 2))
    for name in ("addr", "new_addr"):
        number = int(step[name], 16) if str(step.get(name, "")).startswith("0x") else 0
        if number >= WINDOW and _pages(number) < 100:
            yield from (with_(**{name: hex(a)}) for a in (number & -PAGE, (number & -PAGE) - PAGE) if a >= WINDOW)
    if step["call"] == "mmap":
        yield with_(flags=0x32, fd=-1, off=0)
        yield from (with_(flags=step["flags"] & ~(1 << bit)) for bit in range(8, 64) if step["flags"] >> bit & 1)
        yield with_(off=0)
    if "prot" in step:
        yield from (with_(prot=prot) for prot in (3, 1))
    if "byte" in step:
        yield with_(byte=1)
    if "failures" in step:
        yield {name: value for name, value in step.items() if name != "failures"}


def _candidates(steps: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Smaller sequences than this one, smallest first: some steps left out, an argument made plainer, all addresses
    moved down."""
    count = len(steps)
    found: list[list[dict[str, Any]]] = []
    for size in range(count - 1, 0, -1):
        found += [[*steps[:i], *steps[i + size :]] for i in range(count - size)]  # the last step is what differs
    if count <= 16:
        found += [
            [step for n, step in enumerate(steps) if n not in (i, j)]
            for i in range(count - 1)
            for j in range(i + 2, count - 1)
        ]
    for i, step in enumerate(steps):
        found += [[*steps[:i], plainer, *steps[i + 1 :]] for plainer in _simpler(step)]
    places = [
        int(step[name], 16) for step in steps for name in ("addr", "new_addr") if str(step.get(name)).startswith("0x")
    ]
    inside = [place for place in places if _pages(place) < 100]
    if inside and min(inside) >= WINDOW + PAGE:
        found.append([_moved(step, min(inside) // PAGE * PAGE - WINDOW) for step in steps])
    here = _measure(steps)
    smaller = {json.dumps(one): one for one in found if _measure(one) < here}
    return sorted(smaller.values(), key=_measure)


def _moved(step: dict[str, Any], down: int) -> dict[str, Any]:
    """The step with its addresses in the window so many bytes further down."""
    moved = dict(step)
    for name in ("addr", "new_addr"):
        place = int(step[name], 16) if str(step.get(name)).startswith("0x") else 0
        if WINDOW + down <= place < WINDOW + 100 * PAGE:
            moved[name] = hex(place - down)
    return moved


def shrink(batch: Batch, document: Scenario, found: Found, seconds: float = SHRINK_SECONDS) -> tuple[Scenario, bool]:
    """A smallest sequence with a difference of the same kind, with the kernel's answers; and whether it differed again.
    One that did not, run three times more, is returned as it was, up to the step that differed.

    Raises LabError.
    """
    deadline = time.monotonic() + seconds
    slice_size = 400 if isinstance(batch.kernel, ImageKernel) else 40

    def differing(sequences: Sequence[Sequence[dict[str, Any]]]) -> Scenario | None:
        """The first of the sequences that differs like the one to be shrunk, up to the step that differs."""
        documents = [{"name": document.name, "steps": list(steps)} for steps in sequences]
        with closing(run_scenarios(documents, batch.kernel, limit_ms=batch.limit_ms)) as run:
            for answer in run:
                told = answered(answer, batch.machine)
                at = first_difference(told, batch.edition, dropped=batch.dropped)
                if at is not None and at.kind == found.kind:
                    return up_to(told, at)
        return None

    whole = up_to(document, found)
    smallest = differing([plain_steps(whole)] * TRIES)
    if smallest is None:
        return whole, False
    while time.monotonic() < deadline:
        candidates = _candidates(plain_steps(smallest))
        for i in range(0, len(candidates), slice_size):
            better = differing(candidates[i : i + slice_size])
            if better is not None or time.monotonic() >= deadline:
                break
        else:
            break
        if better is not None:
            smallest = better
    return smallest, True
