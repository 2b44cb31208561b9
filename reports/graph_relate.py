# SPDX-License-Identifier: MIT
"""What became of each VMA between two successive layouts of a counterexample.

The document says what was mapped before and after a step, not how one led to the other. Here that is derived, from the
page ranges and, where ranges alone would mislead, from the call: mremap takes pages elsewhere, mmap with MAP_FIXED puts
new pages where old ones were.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, Generic, TypeVar

from checker.documents.counterexamples import Counterexample, CounterexampleStep
from checker.documents.layouts import LayoutDoc, VmaDoc
from spec.mapping import MAP_FIXED
from spec.syscalls.mremap import DONTUNMAP, FIXED
from spec.words import PAGE_SHIFT, page_align

SAME: Final = "same"
RELATIONS: Final = ("moved", "replaced", "unmapped", "mapped", "split", "merge", "changed", SAME)
"""Words for what happened; the first that applies names the relation as a whole."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Pages `[start, end)` of one layout are `[at, at + end - start)` of the next.

    `source` and `target` are indices of VMAs in the two layouts; None is a gap. `words` is a selection of RELATIONS in
    their order; `changed` names the attributes that differ, `label` says all of it to a person.
    """

    source: int | None
    target: int | None
    start: int
    end: int
    at: int
    words: tuple[str, ...]
    changed: tuple[str, ...]
    label: str
    rewritten: tuple[int, ...] = ()
    """Pages, in the earlier layout, that now hold something else."""

    @property
    def relation(self) -> str:
        """The one word for it."""
        return self.words[0]


@dataclass(frozen=True, slots=True)
class _Run:
    """A relation before it is put into words; `how` is one of kept, moved, replaced, unmapped, mapped."""

    source: int | None
    target: int | None
    start: int
    end: int
    at: int
    how: str


@dataclass(frozen=True, slots=True)
class Motion:
    """What mremap was asked to move: the pages `[start, end)` by `shift` pages; `stays` with MREMAP_DONTUNMAP."""

    start: int
    end: int
    shift: int
    stays: bool
    new_end: int
    """End of the destination, which may be longer than what moves into it."""


def layouts(doc: Counterexample) -> list[LayoutDoc]:
    """The layout before the first step and after each one."""
    return [doc.before, *(step.after for step in doc.steps)]


def index_at(layout: LayoutDoc, page: int) -> int | None:
    """Index of the VMA that maps a page."""
    return next((i for i, vma in enumerate(layout.vmas) if vma.start <= page < vma.end), None)


def pages_of(length: int) -> int:
    """Whole pages in a length in bytes, rounded up as the kernel does."""
    aligned = page_align(length)
    assert isinstance(aligned, int)
    return aligned >> PAGE_SHIFT


def motion(step: CounterexampleStep) -> Motion | None:
    """The move that a step asks for, if it is an mremap that goes elsewhere."""
    if step.call != "mremap":
        return None
    words = step.words
    old, flags = words["addr"] >> PAGE_SHIFT, words["flags"]
    new_pages = pages_of(words["new_len"])
    moving = min(pages_of(words["old_len"]), new_pages)
    if flags & FIXED:
        new = words["new_addr"] >> PAGE_SHIFT
    elif step.result.errno == "OK":
        new = step.result.value
    else:
        return None
    if new == old or not moving:
        return None
    return Motion(old, old + moving, new - old, bool(flags & DONTUNMAP), new + new_pages)


def fresh_range(step: CounterexampleStep) -> tuple[int, int]:
    """Pages in which a successful step put something new, whatever was there before; maybe empty."""
    if step.result.errno != "OK":
        return (0, 0)
    if step.call == "mmap" and step.words["flags"] & MAP_FIXED:
        start = step.words["addr"] >> PAGE_SHIFT
        return (start, start + pages_of(step.words["len"]))
    moving = motion(step)
    return (moving.start + moving.shift, moving.new_end) if moving else (0, 0)


def landing(step: CounterexampleStep) -> Motion | None:
    """The move that a step made: only a call that succeeds gets all that it asks for."""
    return motion(step) if step.result.errno == "OK" else None


def held(layout: LayoutDoc, vma: VmaDoc) -> dict[int, str]:
    """Pages of a VMA that hold something, in order, and what in a few characters: `7` a copy of the page's own, `7~`
    the same and lazily free, `(7)` the object's, `guard` a guard page."""
    found: dict[int, str] = {}
    for thing in layout.objects if vma.object else ():
        if thing.object == vma.object:
            found |= {vma.start + c.offset - vma.offset: f"({c.value})" for c in thing.contents}
    for page in layout.pages:
        if page.guard:
            found[page.page] = "guard"
        elif page.copied:
            found[page.page] = f"{page.own}~" if page.lazy else str(page.own)
    return {page: found[page] for page in sorted(found) if vma.start <= page < vma.end}


def kinds_held(doc: Counterexample) -> set[str]:
    """All that pages of a document hold, as `held` says it."""
    return {text for layout in layouts(doc) for vma in layout.vmas for text in held(layout, vma).values()}


T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Same(Generic[T]):
    """A part of a document as the key of a cache: equal to itself only, so that its contents need not be compared."""

    it: T

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.it is other.it


def relations(before: LayoutDoc, after: LayoutDoc, step: CounterexampleStep) -> list[Relation]:
    """What became of the pages, in address order; every page that is mapped before or after occurs."""
    return list(_relations(Same(before), Same(after), Same(step)))


@lru_cache(maxsize=64)
def _relations(before: Same[LayoutDoc], after: Same[LayoutDoc], step: Same[CounterexampleStep]) -> tuple[Relation, ...]:
    """A drawing asks for them again and again."""
    runs = _runs(before.it, after.it, step.it)
    return tuple(_in_words(run, runs, before.it, after.it) for run in runs)


def _runs(before: LayoutDoc, after: LayoutDoc, step: CounterexampleStep) -> list[_Run]:
    moving, fresh = motion(step), fresh_range(step)
    ok = step.result.errno == "OK"
    found: list[_Run] = []
    arrived: list[tuple[int, int]] = []
    pieces = list(pairwise(_cuts(before, after, moving, fresh)))
    for start, end in pieces:
        a, b = index_at(before, start), index_at(after, start)
        if a is None or moving is None or not moving.start <= start < moving.end:
            continue
        there = index_at(after, start + moving.shift)
        if there is not None and (ok or (b is None and _alike(before.vmas[a], after.vmas[there]))):
            arrived.append((start + moving.shift, end + moving.shift))
            found.append(_Run(a, there, start, end, start + moving.shift, "moved"))
    left = [] if moving is None or moving.stays else [(s - moving.shift, e - moving.shift) for s, e in arrived]
    for start, end in pieces:
        a, b = index_at(before, start), index_at(after, start)
        new = _inside(start, (*arrived, fresh))
        if a is not None and not _inside(start, left):
            how = "unmapped" if b is None else "replaced" if new else "kept"
            found.append(_Run(a, b, start, end, start, how))
        elif a is None and b is not None and not _inside(start, arrived):
            found.append(_Run(None, b, start, end, start, "mapped"))
    return _joined(sorted(found, key=lambda r: (r.how, r.start)))


def _cuts(before: LayoutDoc, after: LayoutDoc, moving: Motion | None, fresh: tuple[int, int]) -> list[int]:
    cuts = {*fresh}
    for vma in (*before.vmas, *after.vmas):
        cuts |= {vma.start, vma.end}
    if moving is not None:
        cuts |= {moving.start, moving.end, moving.new_end}
        cuts |= {cut - moving.shift for cut in cuts} | {cut + moving.shift for cut in cuts}
    return sorted(cuts)


def _inside(page: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(start <= page < end for start, end in ranges)


def _alike(a: VmaDoc, b: VmaDoc) -> bool:
    return (a.prot, a.share, a.backing, a.object) == (b.prot, b.share, b.backing, b.object)


def _joined(runs: list[_Run]) -> list[_Run]:
    """Adjacent runs of the same VMAs as one; in address order."""
    joined: list[_Run] = []
    for run in runs:
        last = joined[-1] if joined else None
        key = (run.source, run.target, run.how, run.start, run.at)
        if last and (last.source, last.target, last.how, last.end, last.at + last.end - last.start) == key:
            joined[-1] = _Run(last.source, last.target, last.start, run.end, last.at, last.how)
        else:
            joined.append(run)
    return sorted(joined, key=lambda r: (r.start, r.at, r.how))


def _in_words(run: _Run, runs: list[_Run], before: LayoutDoc, after: LayoutDoc) -> Relation:
    words = [] if run.how == "kept" else [run.how]
    if run.source is not None and _is_cut(run.source, runs):
        words.append("split")
    differences: list[tuple[str, str]] = []
    if run.how in ("kept", "moved") and run.source is not None and run.target is not None:
        feeding = {(r.source, r.how) for r in runs if r.target == run.target and r.how in ("kept", "moved", "mapped")}
        olds = {source for source, _ in feeding if source is not None}
        if len(olds) > 1 or ((None, "mapped") in feeding and (run.source, "kept") in feeding):
            words.append("merge")
        differences = _differences(run, before, after)
        if differences:
            words.append("changed")
    rewritten = _rewritten(run, before, after)
    if rewritten:
        differences.append(("contents", "contents"))
        words = [*dict.fromkeys([*words, "changed"])]
    words = sorted(words, key=RELATIONS.index) or [SAME]
    plain = [w for w in words if w != "changed" and not (w == "split" and run.how in ("unmapped", "replaced"))]
    return Relation(
        source=run.source,
        target=run.target,
        start=run.start,
        end=run.end,
        at=run.at,
        words=tuple(words),
        changed=tuple(name for name, _ in differences),
        label=", ".join([*plain, *(text for _, text in differences)]),
        rewritten=rewritten,
    )


def _is_cut(source: int, runs: list[_Run]) -> bool:
    """The pages of a VMA end up in more than one place; copies of pages that stay (MREMAP_DONTUNMAP) do not count."""
    own = [r for r in runs if r.source == source]
    stay = [(r.start, r.end) for r in own if r.how == "kept"]
    return len([r for r in own if r.how != "moved" or not _inside(r.start, stay)]) > 1


def _differences(run: _Run, before: LayoutDoc, after: LayoutDoc) -> list[tuple[str, str]]:
    """Attributes that differ between a piece before and after: (name, words that can follow "it is")."""
    assert run.source is not None and run.target is not None
    a, b = before.vmas[run.source], after.vmas[run.target]
    said = {
        "prot": f"now {b.prot}",
        "may": f"now at most {b.may}",
        "share": f"now {b.share}",
        "backing": f"now {b.backing}",
        "object": f"now object {b.object}",
        "anon_vma": "given another anon_vma" if a.anon_vma else "given an anon_vma",
        "pkey": f"now under key {b.pkey}",
    }
    if not b.anon_vma:
        said["anon_vma"] = "without anon_vma"
    found = [(name, text) for name, text in said.items() if getattr(a, name) != getattr(b, name)]
    if a.object and a.offset + run.start - a.start != b.offset + run.at - b.start:
        found.append(("offset", "at another offset"))
    found += [(flag, f"now {flag}") for flag in sorted(set(b.flags) - set(a.flags))]
    return found + [(flag, f"no longer {flag}") for flag in sorted(set(a.flags) - set(b.flags))]


def _rewritten(run: _Run, before: LayoutDoc, after: LayoutDoc) -> tuple[int, ...]:
    if run.source is None or run.target is None or run.how not in ("kept", "moved"):
        return ()
    a, b, shift = before.vmas[run.source], after.vmas[run.target], run.at - run.start
    old = held(before, a)
    new = {page - shift: text for page, text in held(after, b).items()}
    inside = (page for page in sorted({*old, *new}) if run.start <= page < run.end)
    return tuple(page for page in inside if old.get(page) != new.get(page))
