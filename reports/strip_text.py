# SPDX-License-Identifier: MIT
"""A counterexample as plain ASCII for kernel mail: strips of at most 72 columns, and what joins them in words.

    before                                        map_count 3 of 3: at the limit
     +0          +2    +3    +4
     |rw-p       |rw-p       |
     |anon       |anon       |
     [=================)
                        !

`[=)` is the range of the call, `!` where the check that failed applies, `^` the page that breaks the property, `S` a
seal, `.` a gap, `~` a long stretch that is drawn shorter.
"""

from __future__ import annotations

import textwrap
import unicodedata

from checker.documents.counterexamples import Counterexample
from checker.documents.layouts import LayoutDoc, VmaDoc
from reports.graph_relate import held, kinds_held, layouts
from reports.strip_axis import Axis, axis_of
from reports.strip_story import effects, narrative, stop_page
from reports.strip_words import Names, backing, extras, map_count, protection

INDENT = 2
CELL_MIN, CELL_MAX = 2, 12
"""Columns for one page."""
PLAIN = {"\u2192": "->", "\u2026": "...", "\u2013": "-", "\u2014": "-", "\u2019": "'", "\u201c": '"', "\u201d": '"'}


def to_text(doc: Counterexample, width: int = 72) -> str:
    """The counterexample in at most `width` columns of ASCII. The same document gives the same text."""
    return TextPage(doc, width).text()


def drawing(doc: Counterexample, width: int = 72) -> list[str]:
    """Only the strips, with the calls between them: no title, no words around them, no legend (`legend` has it)."""
    page = TextPage(doc, width)
    page.draw()
    return page.text_lines()


def legend(doc: Counterexample, width: int = 72) -> str:
    """What the signs in the drawing of a document mean, in one sentence."""
    return TextPage(doc, width).legend()


def ascii_only(text: str) -> str:
    """The text in printable ASCII: accents are dropped, what has no likeness becomes a question mark."""
    if text.isascii() and text.isprintable():
        return text
    known = "".join(PLAIN.get(c, c) for c in text)
    plain = "".join(c for c in unicodedata.normalize("NFKD", known) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else " " if c.isspace() else "?" for c in plain)


class TextPage:
    """The text while it grows."""

    def __init__(self, doc: Counterexample, width: int) -> None:
        self.doc, self.width = doc, max(width, 40)
        self.names = Names.of(doc)
        room = self.width - INDENT - 1
        self.axis: Axis = next(
            (a for a in (axis_of(doc, room // cell) for cell in (7, 5, 4, 3, CELL_MIN)) if self.fits(a, room)),
            axis_of(doc, room // CELL_MIN),
        )
        self.cell = min(max(room // max(self.axis.units, 1), CELL_MIN), CELL_MAX)
        self.drawable = self.axis.units * self.cell <= room
        self.lines: list[str] = []
        self.listed: set[str] = set()
        """VMAs that were written out below a strip: once is enough."""

    @staticmethod
    def fits(axis: Axis, room: int) -> bool:
        """The axis with the widest cells that the room allows leaves space for a protection in each page."""
        return axis.units * 5 <= room

    def column(self, page: int) -> int:
        """Column of a page."""
        return INDENT + self.axis.at(page) * self.cell

    def text(self) -> str:
        doc = self.doc
        self.say(f"{doc.property}: a counterexample ({doc.edition}, {doc.call})")
        self.say(doc.sentence, indent="  ")
        self.lines.append("")
        self.draw()
        self.lines.append("")
        for sentence in narrative(doc) if len(doc.steps) == 1 else narrative(doc)[-1:]:
            self.say(sentence)
        self.lines.append("")
        self.say(self.names.base_line()[0].upper() + self.names.base_line()[1:] + ".")
        self.say(self.legend())
        return "\n".join(self.text_lines()) + "\n"

    def text_lines(self) -> list[str]:
        """The lines so far."""
        return [line.rstrip() for line in self.lines]

    def draw(self) -> None:
        """The strips from the first to the last, and the calls between them."""
        for layer, layout in enumerate(layouts(self.doc)):
            self.layout(self.names.layer_title(self.doc, layer), layout)
            if layer < len(self.doc.steps):
                self.step(layer, layout)
        self.culprit()

    def say(self, text: str, *, indent: str = "", hang: str | None = None) -> None:
        """A paragraph, wrapped."""
        self.lines += textwrap.wrap(
            " ".join(ascii_only(text).split()),
            self.width,
            initial_indent=indent,
            subsequent_indent=indent if hang is None else hang,
            break_on_hyphens=False,
        )

    def layout(self, title: str, layout: LayoutDoc) -> None:
        """The strip of a layout, or a list of its VMAs if there are too many for the width."""
        number = map_count(layout)
        self.lines.append(f"{title}{number:>{self.width - len(title)}}"[: self.width])
        unsaid = list(layout.vmas)
        if not layout.vmas:
            self.lines.append(" " * INDENT + "(nothing is mapped)")
        elif self.drawable:
            self.ruler()
            unsaid = self.strip(layout)
        for label in map(self.names.vma_label, unsaid):
            if label not in self.listed:
                self.say(label, indent="    ", hang="      ")
            self.listed.add(label)

    def ruler(self) -> None:
        """Page numbers above the strip, where there is room for them."""
        line = ""
        for cut in self.axis.cuts():
            at, text = self.column(cut), self.names.page(cut)
            at = min(at, self.width - len(text))
            if at >= len(line) + bool(line):
                line = line.ljust(at) + text
        self.lines.append(line)

    def strip(self, layout: LayoutDoc) -> list[VmaDoc]:
        """Two rows of cells (and one of contents); returns the VMAs whose cells cannot say everything."""
        size = self.column(self.axis.cuts()[-1]) + 1
        rows = [[" "] * size for _ in range(3)]
        for row in rows[:2]:
            row[INDENT:size] = "." * (size - INDENT)
        for segment in self.axis.segments:
            if segment.broken:
                rows[0][self.column(segment.end) - 1] = "~"
        unsaid = [vma for vma in layout.vmas if not self.block(rows, vma)]
        for vma in layout.vmas:
            for page, text in held(layout, vma).items() if self.axis.shows_contents else ():
                if len(text) < self.cell:
                    at = self.column(page) + 1
                    rows[2][at : at + len(text)] = text
        self.lines += ["".join(row) for row in rows if "".join(row).strip()]
        return unsaid

    def block(self, rows: list[list[str]], vma: VmaDoc) -> bool:
        """Draw one VMA; true if all that there is to say fitted into it."""
        start, end = self.column(vma.start), self.column(vma.end)
        broken = any(segment.broken for segment in self.axis.within(vma.start, vma.end))
        rooms = (end - start - 1 - broken, end - start - 1)
        seal = " S" if "sealed" in vma.flags else ""
        choices = (
            (protection(vma) + seal, protection(vma) + seal.strip(), vma.prot + seal.strip(), seal.strip()),
            (" ".join([backing(vma), *extras(vma)]), backing(vma), backing(vma, brief=True), vma.backing[:4]),
        )
        complete = True
        for row, room, texts in zip(rows, rooms, choices, strict=False):
            text = next((t for t in texts if len(t) <= room), "")
            complete = complete and (text == texts[0] or text.replace(" ", "") == texts[0].replace(" ", ""))
            row[start] = row[end] = "|"
            row[start + 1 : start + 1 + room] = text.ljust(room)
        return complete

    def marks(self, pages: tuple[int, int] | None, stop: int | None = None) -> None:
        """Marks below a strip: the range of a call, and where it stopped."""
        if not (self.drawable and self.axis.segments):
            return
        line = ""
        if pages is not None:
            start, end = self.column(pages[0]), self.column(pages[1])
            line = " " * start + ("|" if start == end else "[" + "=" * (end - start - 1) + ")")
        if stop is not None:
            at = self.column(stop) + 1
            line = line.ljust(at + 1)
            line = line[:at] + "!" + line[at + 1 :]
        if line:
            self.lines.append(line)

    def step(self, index: int, before: LayoutDoc) -> None:
        """The call on the layout just drawn: marks below the strip, then words."""
        step, stop = self.doc.steps[index], stop_page(self.doc, index)
        self.marks(step.range, stop)
        number = "call: " if len(self.doc.steps) == 1 else f"call {index + 1}: "
        result = "ok" if step.result.errno == "OK" else f"-1 {step.result.errno}"
        self.say(f"{number}{self.names.call(step)} = {result}", hang=" " * INDENT * 2)
        if step.result.check:
            self.say(step.result.check, indent=" " * INDENT * 2)
        for effect in effects(self.names, before, step) if len(self.doc.steps) > 1 else ():
            self.say(f"- {effect}", indent=" " * INDENT * 2, hang=" " * (INDENT * 2 + 2))
        self.lines.append("")

    def culprit(self) -> None:
        """A caret below the page that breaks the property."""
        page = self.doc.culprit.page
        if page is None or not (self.drawable and self.axis.segments):
            return
        text, at = f"page {self.names.page(page)} breaks the property", self.column(page) + 1
        if at + 2 + len(text) <= self.width:
            self.lines.append(" " * at + "^ " + text)
        elif at > len(text):
            self.lines.append((text + " ^").rjust(at + 1))
        else:
            self.lines += [" " * at + "^", text[: self.width]]

    def legend(self) -> str:
        """What the signs that occur mean."""
        texts = kinds_held(self.doc)
        parts = ["Cells: protection, p private or s shared, S sealed; below it backing and flags as in smaps"]
        parts += ["7: the page's own copy holds 7"] * any(text[:1].isdigit() for text in texts)
        parts += ["7~: it may be freed lazily"] * any(text.endswith("~") for text in texts)
        parts += ["(7): the file holds 7"] * any(text.startswith("(") for text in texts)
        parts += ["|..| gap"] + ["~ a long stretch, drawn shorter"] * any(s.broken for s in self.axis.segments)
        parts += ["[==) range of the call"] * any(step.range is not None for step in self.doc.steps)
        stops = [stop_page(self.doc, i) for i in range(len(self.doc.steps))]
        parts += ["! where the check that failed applies"] * any(stop is not None for stop in stops)
        return "; ".join(parts) + "."
