# SPDX-License-Identifier: MIT
"""A counterexample as an SVG drawing: one strip of address space for each layout, and what joins them."""

from __future__ import annotations

import json

from checker.documents.counterexamples import Counterexample, CounterexampleStep
from checker.documents.layouts import LayoutDoc, VmaDoc
from reports.graph import gaps
from reports.graph_relate import Relation, held, layouts, relations
from reports.strip_axis import Axis, axis_of
from reports.strip_canvas import Canvas, Label, clean, place_labels, text_width, wrapped
from reports.strip_legend import legend
from reports.strip_story import narrative, outcome, stop_page
from reports.strip_words import Names, backing, extras, map_count, protection

WIDTH = 1080
MARGIN = 24
LEFT = 236
"""Where the strips begin; the words about them are to the left."""
BLOCK = 76
"""Height of a VMA."""
UNIT_MIN, UNIT_MAX = 42, 200
LINE = 17
LABEL_ROW = 22
BRACKET = 22


def to_svg(doc: Counterexample) -> str:
    """The drawing as an SVG document. The same counterexample gives the same bytes."""
    return _Drawing(doc).draw()


class _Drawing:
    """State while drawing: how far down we are (`y`), and the shared horizontal scale."""

    def __init__(self, doc: Counterexample) -> None:
        self.doc = doc
        self.names = Names.of(doc)
        room = (WIDTH - LEFT - MARGIN) // UNIT_MIN
        self.axis: Axis = axis_of(doc, room)
        units = max(self.axis.units, 1)
        self.unit = min(max((WIDTH - LEFT - MARGIN) // units, UNIT_MIN), UNIT_MAX)
        self.right = LEFT + units * self.unit
        self.width = max(WIDTH, self.right + MARGIN)
        self.canvas = Canvas(json.dumps(doc.model_dump(mode="json"), sort_keys=True))
        self.y = 0.0
        self.strips: list[float] = []

    def x(self, page: int) -> int:
        """Horizontal position of a page."""
        return LEFT + self.axis.at(page) * self.unit

    def draw(self) -> str:
        doc, shown = self.doc, layouts(self.doc)
        self.heading()
        self.ruler(below=False)
        self.strip(0, shown[0])
        for i, step in enumerate(doc.steps):
            self.transition(i, shown[i], step)
            self.strip(i + 1, step.after)
        self.ruler(below=True)
        self.culprit()
        self.paragraph()
        self.y = legend(self.canvas, doc, self.axis, MARGIN, self.y + 8, self.width - 2 * MARGIN)
        title = f"Counterexample to {doc.property}, edition {doc.edition}: {doc.call}"
        return self.canvas.document(self.width, self.y + 12, title, self.description())

    def description(self) -> str:
        """The drawing in words, for those who cannot see it."""
        told = narrative(self.doc)
        for layer, layout in enumerate(layouts(self.doc)):
            vmas = "; ".join(self.names.vma_label(vma) for vma in layout.vmas) or "nothing is mapped"
            told.append(f"{self.names.layer_title(self.doc, layer).capitalize()}: {vmas}.")
        return " ".join(told)

    def heading(self) -> None:
        doc = self.doc
        self.y = 32
        for i, line in enumerate(wrapped(f"{doc.property}: a counterexample", self.width - 2 * MARGIN, 18, bold=True)):
            self.y += 24 if i else 0
            self.canvas.text(MARGIN, self.y, line, "t big")
        self.y += 22
        for line in wrapped(f"Call {doc.call} in edition {doc.edition}", self.width - 2 * MARGIN, 13):
            self.canvas.text(MARGIN, self.y, line, "t dim")
        for line in wrapped(doc.sentence, self.width - 2 * MARGIN, 13):
            self.y += LINE
            self.canvas.text(MARGIN, self.y, line, "t")
        self.y += 12

    def ruler(self, *, below: bool) -> None:
        """Page numbers at the cuts, where there is room for them."""
        canvas, last = self.canvas, {0: -1000.0, 1: -1000.0}
        rows = []
        for cut in self.axis.cuts():
            text, half = self.names.page(cut), text_width(self.names.page(cut), 12) / 2 + 3
            x = min(self.x(cut), self.width - half)
            row = next((r for r in (0, 1) if last[r] < x - half), None)
            if row is not None:
                last[row] = x + half
                rows.append((row, x, text))
        height = LINE * (1 + max((row for row, _, _ in rows), default=0))
        base = self.y + 4 if below else self.y + height + 8
        for row, x, text in rows:
            y = base + 16 + row * LINE if below else base - 10 - row * LINE
            canvas.text(x, y, text, "t num", anchor="middle")
        for cut in self.axis.cuts():
            canvas.line(self.x(cut), base, self.x(cut), base + 5 if below else base - 7, "tick")
        if not below:
            canvas.text(MARGIN, base - 10, "page", "t dim")
        self.y += height + 8

    def strip(self, layer: int, layout: LayoutDoc) -> None:
        """One layout: its name and count at the left, gaps as a dashed line, VMAs as blocks."""
        canvas, y = self.canvas, self.y
        self.strips.append(y)
        canvas.text(MARGIN, y + 18, self.names.layer_title(self.doc, layer), "t bold")
        for i, line in enumerate(wrapped(map_count(layout), LEFT - MARGIN - 12, 12)):
            canvas.text(MARGIN, y + 38 + 16 * i, line, "t small")
        canvas.line(LEFT, y + BLOCK / 2, self.right, y + BLOCK / 2, "void")
        if not layout.vmas:
            canvas.pill(LEFT + 8, y + BLOCK / 2 - 10, "nothing is mapped", "plain")
        self.gaps(layout, y)
        for i, vma in enumerate(layout.vmas):
            self.block(f"L{layer}V{i}", layout, vma, y)
        self.y += BLOCK

    def gaps(self, layout: LayoutDoc, y: float) -> None:
        covered = [(vma.start, vma.end) for vma in layout.vmas]
        for segment in self.axis.segments:
            if segment.broken and not any(a <= segment.start < b for a, b in covered):
                self.canvas.break_mark((self.x(segment.start) + self.x(segment.end)) / 2, y + BLOCK / 2 - 12, 24)
        for start, end in gaps(self.doc, layout) if layout.vmas else []:
            middle = (self.x(start) + self.x(end)) / 2
            self.canvas.pill(middle - text_width("gap", 12) / 2 - 8, y + BLOCK / 2 - 30, "gap", "bare")

    def block(self, name: str, layout: LayoutDoc, vma: VmaDoc, y: float) -> None:
        canvas, x, width = self.canvas, self.x(vma.start), self.x(vma.end) - self.x(vma.start)
        sealed = "sealed" in vma.flags
        place = f'data-node="{name}" data-start="{vma.start}" data-end="{vma.end}"'
        canvas.open(f'<g {place} class="vma">', self.names.vma_label(vma))
        kind = vma.backing if vma.backing in ("anon", "file", "devzero", "special", "hugetlb") else "special"
        canvas.rect(x, y, width, BLOCK, f"block {kind}")
        breaks = [s for s in self.axis.within(vma.start, vma.end) if s.broken]
        if sealed:
            canvas.hatch(x, y, width, BLOCK)
            canvas.rect(x + 2, y + 2, width - 4, BLOCK - 4, "sealed")
        for segment in breaks:
            canvas.break_mark(self.x(segment.end) - 20, y - 3, BLOCK + 6)
        room = min((self.x(s.end) - 28 - x for s in breaks), default=width) - 12
        canvas.text(x + 6, y + 18, protection(vma), "t mono bold")
        names = (backing(vma), backing(vma, brief=True), vma.backing, vma.backing[:4])
        canvas.text(x + 6, y + 34, next((n for n in names if text_width(n, 12) <= room), names[-1]), "t small")
        self.third_line(vma, x + 6, y + 51, room)
        if self.axis.shows_contents:
            self.contents(layout, vma, y + BLOCK - 7)
        canvas.close()

    def third_line(self, vma: VmaDoc, x: float, y: float, room: float) -> None:
        """The seal, then as many other flags as there is room for."""
        codes = extras(vma)
        if "sealed" in vma.flags:
            self.canvas.lock(x, y - 11)
            x, room = x + 14, room - 14
            if text_width("sealed", 12) <= room:
                self.canvas.text(x, y, "sealed", "t small bold")
                x, room = x + text_width("sealed", 12) + 10, room - text_width("sealed", 12) - 10
        for i in range(len(codes), -1, -1):
            rest = [] if i == len(codes) else [f"+{len(codes) - i}"]
            text = " ".join([*codes[:i], *rest])
            if text_width(text, 12) <= room or (i == 0 and text and room > 8):
                self.canvas.text(x, y, text, "t small")
                return

    def contents(self, layout: LayoutDoc, vma: VmaDoc, y: float) -> None:
        """What single pages hold."""
        for page, text in held(layout, vma).items():
            middle = (self.x(page) + self.x(page + 1)) / 2
            if not text.startswith("("):
                self.canvas.rect(
                    middle - text_width(text, 12) / 2 - 3, y - 11, text_width(text, 12) + 6, 14, "copy", top=True
                )
            self.canvas.text(middle, y, text, "t small num", anchor="middle")

    def transition(self, index: int, before: LayoutDoc, step: CounterexampleStep) -> None:
        """A call: its words at the left, its range as a bracket, ribbons from each VMA to what became of it."""
        names, stop = self.names, stop_page(self.doc, index)
        number = "" if len(self.doc.steps) == 1 else f"{index + 1}. "
        words = [(line, "t bold") for line in wrapped(f"{number}{names.call(step)}", LEFT - MARGIN - 14, 13, bold=True)]
        words += [(line, "t fail" if step.result.errno != "OK" else "t") for line in wrapped(outcome(step), 200, 13)]
        words += [(line, "t small dim") for line in wrapped(step.result.check, LEFT - MARGIN - 14, 12)]
        for why in step.failures:
            words += [(line, "t small dim") for line in wrapped(f"environment: {why}", LEFT - MARGIN - 14, 12)]
        found = relations(before, step.after, step)
        labels = [self.label(r) for r in found if r.words != ("same",)]
        if stop is not None:
            labels.insert(0, Label(self.x(stop), f"{step.result.errno} at {names.page(stop)}", "stop"))
        rows, places = place_labels(labels, LEFT - 4, self.width - 8)
        height = max(BRACKET + 14 + rows * LABEL_ROW + 14, len(words) * LINE + 22)
        for relation in found:
            self.ribbon(relation, self.y, self.y + height)
        if step.range is not None:
            start, end = step.range
            self.canvas.bracket(self.x(start), self.x(end), self.y + 8)
        if stop is not None:
            self.canvas.cross(self.x(stop), self.y + 12)
        for i, (line, style) in enumerate(words):
            self.canvas.text(MARGIN, self.y + 20 + i * LINE, line, style)
        for label, (x, row) in zip(labels, places, strict=True):
            self.canvas.pill(x, self.y + BRACKET + 8 + row * LABEL_ROW, label.text, label.style)
        self.y += height

    def label(self, relation: Relation) -> Label:
        """The words for a relation, above the pages that it is about."""
        length, changed = relation.end - relation.start, relation.rewritten
        upper = (self.x(relation.start) + self.x(relation.end)) / 2
        lower = (self.x(relation.at) + self.x(relation.at + length)) / 2
        at = {"mapped": lower, "unmapped": upper}.get(relation.relation, (upper + lower) / 2)
        if relation.changed == ("contents",) and relation.relation == "changed":
            at = (self.x(changed[0]) + self.x(changed[-1] + 1)) / 2
        return Label(at, clean(self.names.label(relation, most=4)), relation.relation)

    def ribbon(self, relation: Relation, top: float, bottom: float) -> None:
        """From the pages above to the same pages below; if only contents changed, just those pages are tinted."""
        only_contents = relation.changed == ("contents",) and relation.relation == "changed"
        style = "same" if only_contents else relation.relation
        self.band(relation.start, relation.end, relation.at, top, bottom, style)
        for page in relation.rewritten if only_contents and self.axis.shows_contents else ():
            self.band(page, page + 1, page, top, bottom, "changed")

    def band(self, start: int, end: int, at: int, top: float, bottom: float, style: str) -> None:
        """One ribbon."""
        lower = (self.x(at), self.x(at + end - start))
        self.canvas.ribbon((self.x(start), self.x(end)), lower, top, bottom, style)

    def culprit(self) -> None:
        """The page that breaks the property: an outlined column through the strips and a pointer below them."""
        page = self.doc.culprit.page
        if page is None or not self.strips:
            self.y += 8
            return
        x, width = self.x(page), self.x(page + 1) - self.x(page)
        self.canvas.column(x, width, self.strips[0] - 4, self.strips[-1] + BLOCK + 4)
        self.canvas.pointer(x + width / 2, self.y + 6)
        text = f"page {self.names.page(page)} breaks the property"
        size = text_width(text, 12) + 16
        at = min(max(x + width / 2 - size / 2, MARGIN), self.width - MARGIN - size)
        self.canvas.pill(at, self.y + 18, text, "culprit")
        self.y += 46

    def paragraph(self) -> None:
        """What happens, in sentences, and what page +0 is."""
        self.y += 10
        for sentence in narrative(self.doc):
            for line in wrapped(sentence, self.width - 2 * MARGIN, 14):
                self.y += 19
                self.canvas.text(MARGIN, self.y, line, "t body")
        self.y += 22
        self.canvas.text(MARGIN, self.y, self.names.base_line().capitalize() + ".", "t small dim")
