# SPDX-License-Identifier: MIT
"""The legend of a drawing: only the signs that occur in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from checker.documents.counterexamples import Counterexample
from reports.graph import gaps
from reports.graph_relate import SAME, kinds_held, layouts, relations
from reports.strip_axis import Axis
from reports.strip_canvas import Canvas, text_width
from reports.strip_story import stop_page
from reports.strip_words import CODES, QUIET

Swatch = Callable[[float, float], None]
"""Draws a sign into a box of 30 by 18, whose top left corner it is given."""

MEANINGS = {
    "changed": "changed as the label says",
    "split": "a VMA is split",
    "merge": "VMAs are merged",
    "moved": "moved by mremap",
    "mapped": "newly mapped",
    "unmapped": "unmapped",
    "replaced": "unmapped, and mapped anew",
    SAME: "unchanged",
}


def legend(canvas: Canvas, doc: Counterexample, axis: Axis, x: float, y: float, width: float) -> float:
    """Draw the legend below `y`; returns how far down it reaches."""
    canvas.line(x, y, x + width, y, "void")
    at, row = x, y + 12
    for swatch, text in [*_signs(canvas, doc, axis), *((None, text) for text in _texts(doc))]:
        size = text_width(text, 12) + (44 if swatch else 16)
        if at > x and at + size > x + width:
            at, row = x, row + 26
        if swatch:
            swatch(at, row)
        canvas.text(at + (36 if swatch else 0), row + 14, text, "t small")
        at += size + 8
    return row + 26


def _signs(canvas: Canvas, doc: Counterexample, axis: Axis) -> list[tuple[Swatch | None, str]]:
    shown = layouts(doc)
    vmas = [vma for layout in shown for vma in layout.vmas]
    signs: list[tuple[Swatch | None, str]] = []
    for kind in sorted({vma.backing for vma in vmas}):
        signs.append((partial(_block, canvas, kind), BACKINGS.get(kind, kind)))
    if any("sealed" in vma.flags for vma in vmas):
        signs.append((partial(_seal, canvas), "sealed: hatching, double border, lock"))
    if any(gaps(doc, layout) for layout in shown):
        signs.append((partial(_gap, canvas), "gap: nothing is mapped"))
    if any(segment.broken for segment in axis.segments):
        signs.append((partial(_cut, canvas), "long stretch drawn shorter; the rest is to scale"))
    if any(step.range for step in doc.steps):
        signs.append((partial(_bracket, canvas), "range of the call"))
    if any(stop_page(doc, i) is not None for i in range(len(doc.steps))):
        signs.append((partial(_cross, canvas), "where the check that failed applies"))
    if doc.culprit.page is not None:
        signs.append((partial(_column, canvas), "the page that breaks the property"))
    pairs = zip(shown, doc.steps, strict=False)
    seen = {r.relation for before, step in pairs for r in relations(before, step.after, step)}
    signs += [(partial(_ribbon, canvas, r), text) for r, text in MEANINGS.items() if r in seen]
    return signs


BACKINGS = {
    "anon": "anon: anonymous",
    "file": "file: a file or shared memory",
    "devzero": "devzero: private /dev/zero",
    "special": "special: as the vdso",
    "hugetlb": "hugetlb: huge pages",
}


def _texts(doc: Counterexample) -> list[str]:
    """Explanations of abbreviations that occur."""
    shown = layouts(doc)
    vmas = [vma for layout in shown for vma in layout.vmas]
    texts = ["rwx as in /proc/PID/maps, then p private or s shared"] if vmas else []
    flags = sorted({flag for vma in vmas for flag in vma.flags if flag not in QUIET and flag in CODES})
    texts += [f"{CODES[flag]}: {flag}" for flag in flags]
    if any(vma.pkey for vma in vmas):
        texts.append("keyN: protection key")
    if any(vma.may != "rwx" for vma in vmas):
        texts.append("may: protection that mprotect may give")
    if any(vma.share == "shared-readonly" for vma in vmas):
        texts.append("ro-fd: shared mapping of a file opened read-only")
    held = kinds_held(doc)
    if any(text[0].isdigit() for text in held):
        texts.append("framed number: contents of the page's own copy")
    if any(text.endswith("~") for text in held):
        texts.append("~: may be freed lazily (MADV_FREE)")
    if any(text.startswith("(") for text in held):
        texts.append("(number): contents of the file's page")
    return texts + (["guard: guard page"] if "guard" in held else [])


def _block(canvas: Canvas, kind: str, x: float, y: float) -> None:
    canvas.rect(x, y, 30, 18, f"block {kind}")


def _seal(canvas: Canvas, x: float, y: float) -> None:
    canvas.rect(x, y, 30, 18, "block anon")
    canvas.hatch(x, y, 30, 18)
    canvas.rect(x + 2, y + 2, 26, 14, "sealed")
    canvas.lock(x + 10, y + 2)


def _gap(canvas: Canvas, x: float, y: float) -> None:
    canvas.line(x, y + 9, x + 30, y + 9, "void")


def _cut(canvas: Canvas, x: float, y: float) -> None:
    canvas.rect(x, y + 1, 30, 16, "block special")
    canvas.break_mark(x + 12, y - 1, 20)


def _bracket(canvas: Canvas, x: float, y: float) -> None:
    canvas.bracket(x, x + 30, y + 9)


def _cross(canvas: Canvas, x: float, y: float) -> None:
    canvas.cross(x + 15, y + 9)


def _column(canvas: Canvas, x: float, y: float) -> None:
    canvas.rect(x + 6, y, 18, 18, "column", radius=4)


def _ribbon(canvas: Canvas, style: str, x: float, y: float) -> None:
    canvas.ribbon((x, x + 30), (x, x + 30), y, y + 18, style)
