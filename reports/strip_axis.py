# SPDX-License-Identifier: MIT
"""The page axis that all strips of a drawing share: to scale, with long stretches cut short.

Between two neighbouring cuts (ends of VMAs and of ranges, pages with contents) nothing happens, so a stretch that is
longer than `cap` pages may be drawn shorter, with a break mark, and everything else stays to scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from checker.documents.counterexamples import Counterexample
from reports.graph_relate import held, landing, layouts
from reports.strip_story import stop_page

CAPS = (24, 16, 12, 8, 6, 4, 3, 2, 1)
EMPTY_CAP = 2
"""Pages of a stretch that no layout maps that are drawn to scale."""
MAX_PAGE_CUTS = 48
"""With more cuts than this for single pages, contents are not drawn."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch `[start, end)` of pages, `units` wide; one unit is one page unless the stretch is `broken`."""

    start: int
    end: int
    position: int
    units: int
    broken: bool


@dataclass(frozen=True, slots=True)
class Axis:
    """Positions of pages, in units from the left."""

    segments: tuple[Segment, ...]
    shows_contents: bool

    @property
    def units(self) -> int:
        """The whole width."""
        return sum(segment.units for segment in self.segments)

    def at(self, page: int) -> int:
        """Position of a page; inside a broken stretch, as near as can be."""
        for segment in self.segments:
            if page < segment.end:
                return segment.position + min(max(page - segment.start, 0), segment.units - 1)
        return self.units

    def cuts(self) -> list[int]:
        """All pages whose position is exact, in order."""
        return [s.start for s in self.segments] + ([self.segments[-1].end] if self.segments else [])

    def within(self, start: int, end: int) -> list[Segment]:
        """The stretches that make up a range."""
        return [s for s in self.segments if start <= s.start and s.end <= end]


def axis_of(doc: Counterexample, room: int) -> Axis:
    """An axis for all layouts of a document, at most `room` units wide if breaking long stretches can do that."""
    cuts, shows_contents = _cuts(doc)
    mapped = [(vma.start, vma.end) for layout in layouts(doc) for vma in layout.vmas]
    stretches = [(start, end, any(a < end and start < b for a, b in mapped)) for start, end in pairwise(sorted(cuts))]
    segments: tuple[Segment, ...] = ()
    for cap in CAPS:
        segments = _segments(stretches, cap)
        if sum(s.units for s in segments) <= room:
            break
    return Axis(segments, shows_contents)


def _segments(stretches: list[tuple[int, int, bool]], cap: int) -> tuple[Segment, ...]:
    made, position = [], 0
    for start, end, used in stretches:
        longest = cap if used else min(cap, EMPTY_CAP)
        broken = end - start > longest + 1
        units = longest + 1 if broken else end - start
        made.append(Segment(start, end, position, units, broken))
        position += units
    return tuple(made)


def _cuts(doc: Counterexample) -> tuple[set[int], bool]:
    cuts: set[int] = set()
    for layout in layouts(doc):
        for vma in layout.vmas:
            cuts |= {vma.start, vma.end}
    for i, step in enumerate(doc.steps):
        cuts |= set(step.range or ())
        moving, stop = landing(step), stop_page(doc, i)
        if moving is not None:
            cuts |= {moving.start, moving.end, moving.start + moving.shift, moving.end + moving.shift, moving.new_end}
        cuts |= set() if stop is None else {stop}
    if doc.culprit.page is not None:
        cuts |= {doc.culprit.page, doc.culprit.page + 1}
    noted = {page for layout in layouts(doc) for vma in layout.vmas for page in held(layout, vma)}
    singles = {cut for page in noted for cut in (page, page + 1)}
    shows = len(singles - cuts) <= MAX_PAGE_CUTS
    return (cuts | singles if shows else cuts), shows
