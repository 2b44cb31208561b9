# SPDX-License-Identifier: MIT
"""The graph of a counterexample as SVG: VMAs and gaps as boxes, one column for each layout, bands for what became of
them. The signs are those of the strips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import networkx as nx

from checker.documents.counterexamples import Counterexample
from checker.documents.layouts import LayoutDoc, VmaDoc
from reports.graph import graph_of
from reports.graph_relate import SAME, held, layouts
from reports.strip_canvas import Canvas, clean, num, text_width, wrapped
from reports.strip_words import Names, backing, extras, protection

BOX: Final = 216
"""Width of a box, in pixels."""
HEIGHT: Final = 54
GAP: Final = 14
"""Between boxes of one column."""
BETWEEN: Final = 250
"""Between columns: room for the words on the bands."""
MARGIN: Final = 12
TOP: Final = 34
ROW: Final = 26
"""Height of the words on one band."""
BAND: Final = 5
"""Half the width of a band."""
BEND: Final = 46
"""How much of the room between columns a band takes to come to its row."""


def graph_to_svg(doc: Counterexample, title: str = "") -> str:
    """The graph as an SVG document. The same counterexample gives the same bytes."""
    return _Drawing(doc).draw(
        title or f"Graph of the counterexample to {doc.property}, edition {doc.edition}: {doc.call}"
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a box is: its top left corner."""

    x: float
    y: float

    @property
    def middle(self) -> float:
        return self.y + HEIGHT / 2


class _Drawing:
    """State while drawing."""

    def __init__(self, doc: Counterexample) -> None:
        self.doc, self.names = doc, Names.of(doc)
        self.graph: nx.DiGraph[str] = graph_of(doc)
        self.canvas = Canvas("graph" + doc.model_dump_json())
        places = sorted((data["layer"], data["start"], name) for name, data in self.graph.nodes(data=True))
        self.columns = [[name for at, _, name in places if at == layer] for layer in range(len(doc.steps) + 1)]
        self.edges: list[list[tuple[str, str, dict[str, Any]]]] = [[] for _ in doc.steps]
        for source, target, data in self.graph.edges(data=True):
            self.edges[self.graph.nodes[source]["layer"]].append((source, target, data))
        most = max(len(column) for column in self.columns)
        self.inner = max(most, 1) * (HEIGHT + GAP) - GAP
        self.bottom = float(TOP + self.inner)

    def draw(self, title: str) -> str:
        canvas, places = self.canvas, self.places()
        for layer, column in enumerate(self.columns):
            x = MARGIN + layer * (BOX + BETWEEN)
            canvas.text(x, 20, self.names.layer_title(self.doc, layer), "t bold")
            if not column:
                canvas.text(x, TOP + HEIGHT / 2, "nothing is mapped", "t small dim")
        for layer, edges in enumerate(self.edges):
            self.bands(layer, edges, places)
        for name, place in places.items():
            self.box(name, place)
        width = 2 * MARGIN + len(self.columns) * BOX + len(self.edges) * BETWEEN
        return canvas.document(width, self.bottom + MARGIN, title, self.description())

    def places(self) -> dict[str, _Place]:
        """Boxes in address order, each column in the middle of the drawing."""
        found = {}
        for layer, column in enumerate(self.columns):
            above = (self.inner - (len(column) * (HEIGHT + GAP) - GAP)) / 2
            for i, name in enumerate(column):
                found[name] = _Place(MARGIN + layer * (BOX + BETWEEN), TOP + above + i * (HEIGHT + GAP))
        return found

    def bands(self, layer: int, edges: list[tuple[str, str, dict[str, Any]]], places: dict[str, _Place]) -> None:
        """From each box to what became of it, with a row for the words of each band."""
        left = MARGIN + layer * (BOX + BETWEEN) + BOX
        edges = sorted(edges, key=lambda e: (places[e[0]].middle + places[e[1]].middle, e[0], e[1]))
        y = 0.0
        for source, target, data in edges:
            start, end = places[source].middle, places[target].middle
            y = max((start + end) / 2, y + ROW)
            self.bottom = max(self.bottom, y + ROW / 2)
            style = data["relation"]
            self.canvas.path(_band(left, start, y, end), f"ribbon {style}")
            self.words(left, y, data["label"] or SAME, style)

    def words(self, left: float, y: float, label: str, style: str) -> None:
        lines = wrapped(label, BETWEEN - 40, 12) or [SAME]
        text = lines[0] if len(lines) == 1 else lines[0].rstrip(",; ") + " …"
        width = text_width(text, 12) + 16
        self.canvas.pill(left + (BETWEEN - width) / 2, y - 9.5, text, style)

    def box(self, name: str, place: _Place) -> None:
        """A VMA as the strips draw it, a gap as a dashed line."""
        canvas, data = self.canvas, self.graph.nodes[name]
        canvas.open(f'<g data-node="{name}">', data["label"])
        where = self.names.range(data["start"], data["end"])
        if data["kind"] == "gap":
            for y in (place.y, place.y + HEIGHT):
                canvas.line(place.x, y, place.x + BOX, y, "void")
            for x in (place.x, place.x + BOX):
                canvas.line(x, place.y, x, place.y + HEIGHT, "void")
            canvas.text(place.x + 10, place.y + 22, where, "t mono bold")
            canvas.text(place.x + 10, place.y + 41, "gap: nothing is mapped", "t small")
        else:
            layout = layouts(self.doc)[data["layer"]]
            self.vma(layout, layout.vmas[int(name.partition("V")[2])], where, place)
        canvas.close()

    def vma(self, layout: LayoutDoc, vma: VmaDoc, where: str, place: _Place) -> None:
        canvas, sealed = self.canvas, "sealed" in vma.flags
        canvas.rect(place.x, place.y, BOX, HEIGHT, f"block {vma.backing}")
        left = place.x + 10
        canvas.text(left, place.y + 22, where, "t mono bold")
        if sealed:
            canvas.hatch(place.x, place.y, BOX, HEIGHT)
            canvas.rect(place.x + 2, place.y + 2, BOX - 4, HEIGHT - 4, "sealed")
            canvas.lock(left, place.y + 29)
            canvas.text(left + 14, place.y + 41, "sealed", "t small bold")
            left += 14 + text_width("sealed", 12, bold=True) + 8
        words = [protection(vma), backing(vma), *extras(vma)]
        words += [f"{self.names.page(page)}={text}" for page, text in held(layout, vma).items()]
        while len(words) > 2 and text_width(" ".join(words), 12) > place.x + BOX - 10 - left:
            words = [*words[:-2], "…"] if words[-1] == "…" else [*words[:-1], "…"]
        canvas.text(left, place.y + 41, clean(" ".join(words)), "t small")

    def description(self) -> str:
        """The edges in words, for those who cannot see them."""
        nodes = self.graph.nodes
        told = [
            f"{nodes[source]['label']} becomes {nodes[target]['label']}: {data['label'] or SAME}."
            for source, target, data in self.graph.edges(data=True)
        ]
        return " ".join(told) or "Nothing is mapped."


def _band(left: float, start: float, y: float, end: float) -> str:
    """The outline of a band from one column to the next: from `start` along the row `y` to `end`."""
    near, far, right = left + BEND, left + BETWEEN - BEND, left + BETWEEN
    there = [(left, start), (near, y), (far, y), (right, end)]
    edge = [[(x, height + side * BAND) for x, height in there] for side in (-1, 1)]
    (a, b, c, d), (h, g, f, e) = edge
    return f"M{_point(a)}{_bend(a, b)}L{_point(c)}{_bend(c, d)}L{_point(e)}{_bend(e, f)}L{_point(g)}{_bend(g, h)}Z"


def _point(at: tuple[float, float]) -> str:
    return f"{num(at[0])} {num(at[1])}"


def _bend(a: tuple[float, float], b: tuple[float, float]) -> str:
    """An S from one point to another, level at both."""
    middle = (a[0] + b[0]) / 2
    return f"C{_point((middle, a[1]))} {_point((middle, b[1]))} {_point(b)}"
