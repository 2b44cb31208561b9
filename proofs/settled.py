# SPDX-License-Identifier: MIT
"""The lines of the kernel's own document on mseal that speak of failures, and what the atomicity matrix says of them.

The lines are cited by number, with a few words to find them by: Documentation/userspace-api/mseal.rst, as it came with
the patch, and as it was rewritten since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from proofs.results import Cell, CheckCell, Settlement
from spec.editions import EDITIONS, System

DOCUMENT = "Documentation/userspace-api/mseal.rst"
FIRST, SECOND = "as in Linux 6.10", "as rewritten since (Linux 6.15 to 7.3)"
Key = tuple[str, str, str]
"""(call, errno, cause)."""
GAP = "mseal: a page of the range is unmapped"


@dataclass(frozen=True, slots=True)
class Line:
    """A statement about failures."""

    version: str
    lines: str
    words: str
    meaning: str
    cells: tuple[Key, ...]
    promises: bool
    """It promises that nothing changes; otherwise it leaves open what does."""
    checks: Callable[[CheckCell], bool] | None = None
    """It speaks of these checks of the cells only."""


def _documented(check: CheckCell) -> bool:
    """mseal's documented errors: wrong arguments, and a range that is not all mapped."""
    return check.stage == "arguments" or check.check == GAP


def _for_a_seal(*calls: str) -> tuple[Key, ...]:
    return tuple((call, "EPERM", "seal") for call in calls)


BLOCKED = ("munmap", "mmap", "mremap", "mprotect", "pkey_mprotect", "madvise")
_MSEAL: tuple[Key, ...] = (("mseal", "EINVAL", ""), ("mseal", "ENOMEM", ""))
_DOCUMENTED = "mseal changes nothing if it fails with one of the errors that are listed above"
_INTERNAL = "if mseal fails for another reason (a split, a merge, the limit on VMAs), the range may be changed in part"

LINES: tuple[Line, ...] = (
    Line(FIRST, "63-64", "no partial update", _DOCUMENTED, _MSEAL, True, _documented),
    Line(FIRST, "66-69", "partial updates", _INTERNAL, _MSEAL, False, lambda check: not _documented(check)),
    Line(
        FIRST,
        "95-96",
        "is unmodified, i.e. no partial update",
        "a call that is blocked by a seal (EPERM) changes nothing",
        _for_a_seal(*BLOCKED),
        True,
    ),
    Line(SECOND, "57-58", "no partial update", _DOCUMENTED, _MSEAL, True, _documented),
    Line(SECOND, "59-62", "partial updates", _INTERNAL, _MSEAL, False, lambda check: not _documented(check)),
    Line(
        SECOND,
        "115-116",
        "may or may not be changed",
        "what a call that is blocked by a seal (EPERM) has changed depends on the call",
        _for_a_seal(*BLOCKED),
        False,
    ),
    Line(
        SECOND,
        "118-119",
        "munmap is atomic",
        "a munmap that meets a seal changes no VMA of its range",
        _for_a_seal("munmap"),
        True,
    ),
    Line(
        SECOND,
        "120-122",
        "partial update might happen",
        "mprotect, pkey_mprotect and madvise may have changed the first VMAs when they meet a seal",
        _for_a_seal("mprotect", "pkey_mprotect", "madvise"),
        False,
    ),
    Line(
        SECOND,
        "123",
        "undefined behavior",
        "nothing is said of what mmap and mremap have changed when they meet a seal",
        _for_a_seal("mmap", "mremap"),
        False,
    ),
)


def settle(cells: Iterable[Cell]) -> list[Settlement]:
    """What the cells say of each line, Linux edition by edition; a line whose cells are not all there is left out."""
    by_edition: dict[str, dict[Key, Cell]] = {}
    for cell in cells:
        if EDITIONS[cell.edition].system is not System.LINUX:
            continue
        by_edition.setdefault(cell.edition, {})[cell.call, cell.errno, cell.cause] = cell
    return [
        _settlement(line, edition, known)
        for line in LINES
        for edition, known in by_edition.items()
        if all(key in known for key in line.cells)
    ]


Answer = Literal["holds", "holds for pages only", "does not hold", "decided", "undecided"]


def _settlement(line: Line, edition: str, known: Mapping[Key, Cell]) -> Settlement:
    chosen = [known[key] for key in line.cells]
    changed = [_changes(line, cell) for cell in chosen]
    answer: Answer = "decided"
    if "unknown" in changed:
        answer = "undecided"
    elif line.promises:
        answer = "does not hold" if "pages" in changed else "holds for pages only"
        answer = "holds" if set(changed) == {"nothing"} else answer
    return Settlement(
        document=DOCUMENT,
        version=line.version,
        lines=line.lines,
        words=line.words,
        meaning=line.meaning,
        edition=edition,
        answer=answer,
        cells=[f"{c.call} {c.errno}: {_told(line, c, change)}" for c, change in zip(chosen, changed, strict=True)],
    )


def _changes(line: Line, cell: Cell) -> str:
    """What the failures that the line speaks of may have changed: nothing, boundaries, pages; or unknown."""
    if cell.verdict == "unknown":
        return "unknown"
    levels = [check.changes for check in cell.checks if line.checks is None or line.checks(check)]
    return next((level for level in ("pages", "boundaries") if level in levels), "nothing")


def _told(line: Line, cell: Cell, change: str) -> str:
    if line.checks is not None and change == "nothing" and cell.verdict == "partial":
        return "nothing at all is changed in these cases"
    return cell.sentence
