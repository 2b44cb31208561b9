# SPDX-License-Identifier: MIT
"""Cases made by hand: ways to end a call that take more VMAs than the search for examples goes to."""

from __future__ import annotations

from collections.abc import Callable

from checker.concrete import State
from checker.examples import Example
from spec.arguments import Move
from spec.vma import Vma

_FIRST = 0x2_0000_0000
"""The first page of the scenarios' window."""


def _room_runs_out() -> Example:
    """Three pages with gaps between them are moved into the middle of one VMA: each leaves one VMA more, so that the
    room for the third is gone, though there was room for four when mremap began."""
    source = [
        Vma(start=page, end=page + 1, read=True, write=True, offset=page) for page in (_FIRST, _FIRST + 2, _FIRST + 4)
    ]
    target = Vma(start=_FIRST + 20, end=_FIRST + 40, read=True, exec=True, offset=_FIRST + 20)
    limit = 100
    state = State(vmas=[*source, target], elsewhere=limit - 4 - 4, max_map_count=limit)
    to = Move(
        old=_FIRST,
        old_pages=5,
        new_pages=5,
        old_end=_FIRST + 5,
        new=_FIRST + 25,
        new_aligned=True,
        new_fits=True,
        may_move=True,
        fixed=True,
        dontunmap=False,
    )
    return Example(state, "mremap", to)


BY_HAND: dict[tuple[str, str], Callable[[], Example]] = {
    ("mremap", "mremap: a move wants room for its splits"): _room_runs_out,
}
"""(call, check) to a case; the concrete reading decides whether it ends so in an edition."""
