# SPDX-License-Identifier: MIT
"""Which kernel version behaves as which edition, and how that is known: the one table of it.

A row is a release line, or the part of one between two stable releases. What a row claims was seen by `sealspec lab` on
the kernels that it names, with so many sequences of calls and no difference; or it was read, in the source that it
names. Distributions patch kernels without changing the version: `sealspec probe` asks the kernel itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from spec.editions import EDITIONS

Line = tuple[int, int]
Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Row:
    """Releases `first` to `last` of a line, and the edition that they behave as."""

    line: Line
    edition: str
    first: int = 0
    last: int | None = None
    """None: to the end of the line."""
    runs: dict[str, int] = field(default_factory=dict)
    """Kernels that were run, with how many sequences each."""
    source: str = ""
    """What says so of the releases that were not run."""

    @property
    def versions(self) -> str:
        """`6.12`, `6.18.0 to 6.18.20`, `6.18.21 and later`."""
        if self.last is not None:
            return f"{self.first_version} to {self.last_version}"
        return f"{self.first_version} and later" if self.first else _dotted(self.line)

    @property
    def first_version(self) -> str:
        """`6.18.21`."""
        return _dotted((*self.line, self.first))

    @property
    def last_version(self) -> str | None:
        """`6.18.20`; None: the end of the line."""
        return None if self.last is None else _dotted((*self.line, self.last))

    @property
    def evidence(self) -> str:
        """How it is known, in words."""
        runs = ", ".join(f"{version} ({sequences:,})" for version, sequences in self.runs.items())
        return "; ".join(([f"run: {runs}"] if runs else []) + ([f"source: {self.source}"] if self.source else []))

    def covers(self, version: Version) -> bool:
        """The row is about this release."""
        return version[:2] == self.line and self.first <= version[2] <= (version[2] if self.last is None else self.last)


_CVE = "CVE-2026-23416 as published: 6.17 to 6.18.20, and 6.19 to 6.19.10"
_GUARDS = "mm/madvise.c: guard pages, in private anonymous memory only; the rest as 6.12"
_REFACTORED = "mm/mremap.c of 6.15, checks in the order of 6.16.12; merging as 6.14"

ROWS: Final = (
    Row((6, 10), "v10", 0, 6, source="the patch series v10, as merged; its checks were run on a 6.12 kernel"),
    Row(
        (6, 10),
        "v6.11",
        7,
        source="the stable queue of 2024-08-19 has the fixed madvise test, for 6.10.7; MAP_DROPPABLE is not there yet",
    ),
    Row((6, 11), "v6.11", source="mm/mseal.c: 6.10's checks, with the fixed madvise test"),
    Row((6, 12), "v6.12.43", 0, 112, {"6.12.43": 1_500}, "6.12.57, 69, 100, 107 and 111: the probe alone"),
    Row((6, 12), "v6.12.113", 113, 114, {"6.12.113": 1_500}, "6.12.114 was not run"),
    Row((6, 12), "v6.12", 115, None, {"6.12.117": 3_000, "6.12.118": 1_500}, "6.12.115: the probe alone"),
    Row((6, 13), "v6.13", source=_GUARDS),
    Row((6, 14), "v6.13", source=_GUARDS),
    Row((6, 15), "v6.15", source=_REFACTORED),
    Row((6, 16), "v6.16", runs={"6.16.3": 1_500, "6.16.12": 3_000}),
    Row((6, 17), "v6.17", runs={"6.17.13": 3_000}),
    Row((6, 18), "v6.17", 0, 20, {"6.18.5": 1_500, "6.18.15": 3_000}, _CVE),
    Row((6, 18), "v6.18", 21, None, {"6.18.44": 3_000}, _CVE),
    Row((6, 19), "v6.17", 0, 10, {"6.19.6": 1_500, "6.19.10": 1_500}, _CVE),
    Row((6, 19), "v6.18", 11, None, {"6.19.11": 1_500, "6.19.14": 3_000}, _CVE),
    Row((7, 0), "v7.0", runs={"7.0.4": 1_500, "7.0.13": 3_000}),
    Row((7, 1), "v7.1", runs={"7.1.3": 1_500, "7.1.13": 3_000}),
    Row((7, 2), "v7.2", 0, 9, {"7.2.6": 1_500, "7.2.9": 1_000}),
    Row((7, 2), "v7.3", 10, None, {"7.2.11": 1_000, "7.2.12": 3_000, "7.2.13": 1_500}, "7.2.10 was not run"),
    Row((7, 3), "v7.3", runs={"7.3.4": 3_000}),
)
"""Kernel versions, oldest first."""

LAST_OF_6: Final[Line] = (6, 19)
"""7.0 came after it."""


class UnknownKernel(ValueError):
    """A kernel version that no row covers: one line that says what is known."""


def parse_version(text: str) -> tuple[Line, int | None] | None:
    """Return the line and the release of a kernel version (`6.13`, `v6.18.44`, `6.12.117+deb13-amd64`); None if the
    text is none. Raises UnknownKernel for a release candidate."""
    match = re.fullmatch(r"v?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,4}))?([-+~_][\w.+~-]*)?", text, re.ASCII)
    if match is None:
        return None
    if re.match(r"-rc\d", match[4] or ""):
        raise UnknownKernel(f"kernel {text} is a release candidate, which the table leaves out: give a release")
    return (int(match[1]), int(match[2])), None if match[3] is None else int(match[3])


def row_of(text: str) -> Row | None:
    """Return the row of a kernel version; None if the text is no version. A line without a release (`6.18`) stands for
    its newest. Raises UnknownKernel where no row covers it, with what is known."""
    parsed = parse_version(text)
    if parsed is None:
        return None
    line, release = parsed
    rows = [row for row in ROWS if row.line == line]
    if not rows:
        raise UnknownKernel(f"kernel {text}: {_unknown_line(line)}")
    return rows[-1] if release is None else next(row for row in rows if row.covers((*line, release)))


def rows_for(edition: str) -> Iterable[Row]:
    """The kernel versions that behave as an edition."""
    return (row for row in ROWS if row.edition == edition)


def _unknown_line(line: Line) -> str:
    """What is known of a line that the table does not have."""
    first, last = ROWS[0], ROWS[-1]
    if line < first.line:
        return f"before {_dotted(first.line)} there is no mseal"
    if LAST_OF_6 < line < (7, 0):
        return f"there is no such release, 7.0 came after {_dotted(LAST_OF_6)}; the table: sealspec list editions"
    if line > last.line:
        return (
            f"newer than the newest that was tried, {[*last.runs][-1]}; the nearest edition is {last.edition} "
            f"(--edition {last.edition}), and sealspec probe asks the kernel itself"
        )
    below = max((row for row in ROWS if row.line < line), key=lambda row: row.line)
    return f"behaves as no edition that is known; the one before it is {below.edition}"


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


assert all(row.edition in EDITIONS for row in ROWS)
