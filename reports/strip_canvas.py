# SPDX-License-Identifier: MIT
"""SVG shapes for the strips, and estimates of how wide text is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from xml.sax.saxutils import escape

from reports.strip_style import STYLE

NARROW = frozenset("iljtfrI.,:;|!'()[]/ ")
WIDE = frozenset("mwMWGOQ@%=~<>+_")


@lru_cache(maxsize=1 << 10)
def _ems(c: str) -> float:
    """How wide a character is, in ems."""
    return 0.40 if c in NARROW else 0.90 if c in WIDE else 0.72 if c.isupper() or c.isdigit() else 0.63


@lru_cache(maxsize=1 << 14)
def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """How wide a text is at most, in pixels: an estimate for common sans-serif fonts."""
    ems = sum(map(_ems, text))
    return ems * size * (1.08 if bold else 1.0)


def clean(text: str) -> str:
    """The text without characters that XML forbids."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def wrapped(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """The text in lines that are not wider than `width` pixels; words that are too long are cut."""
    lines: list[str] = []
    line = ""
    for word in clean(text).split():
        longer = f"{line} {word}" if line else word
        if text_width(longer, size, bold=bold) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while text_width(line, size, bold=bold) > width and len(line) > 1:
            fits = max((n for n in range(1, len(line)) if text_width(line[:n], size, bold=bold) <= width), default=1)
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line] if line else lines


@dataclass(frozen=True, slots=True)
class Label:
    """A text that wants its middle at `x`; `style` is a CSS class."""

    x: float
    text: str
    style: str

    @property
    def width(self) -> float:
        """With its frame."""
        return text_width(self.text, 12) + 16


def place_labels(labels: Sequence[Label], left: float, right: float) -> tuple[int, list[tuple[float, int]]]:
    """Rows for labels so that none overlap: (number of rows, (left edge, row) of each label)."""
    rows: list[list[tuple[float, float]]] = []
    places: list[tuple[float, int]] = []
    for label in labels:
        x = max(left, min(label.x - label.width / 2, right - label.width))
        span = (x - 4, x + label.width + 4)
        row = next(
            (i for i, taken in enumerate(rows) if all(span[1] <= a or b <= span[0] for a, b in taken)), len(rows)
        )
        if row == len(rows):
            rows.append([])
        rows[row].append(span)
        places.append((x, row))
    return len(rows), places


@lru_cache(maxsize=1 << 12)
def num(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


class Canvas:
    """Collects SVG elements. `seed` makes the ids unique among drawings on one page."""

    def __init__(self, seed: str) -> None:
        self.prefix = "s" + sha256(seed.encode("utf-8", "replace")).hexdigest()[:10]
        self.parts: list[str] = []
        self.top: list[str] = []
        """What is drawn over all the rest: text and its frames."""

    def open(self, tag: str, title: str) -> None:
        """Begin a group with a tooltip."""
        self.parts.append(f"{tag}<title>{escape(clean(title))}</title>")

    def close(self) -> None:
        """End it."""
        self.parts.append("</g>")

    def text(self, x: float, y: float, text: str, style: str, *, anchor: str = "") -> None:
        """One line of text on the base line `y`."""
        where = f' text-anchor="{anchor}"' if anchor else ""
        self.top.append(f'<text x="{num(x)}" y="{num(y)}" class="{style}"{where}>{escape(clean(text))}</text>')

    def rect(
        self, x: float, y: float, width: float, height: float, style: str, *, radius: float = 0, top: bool = False
    ) -> None:
        """A rectangle; `top` is over all that is not."""
        size = f'x="{num(x)}" y="{num(y)}" width="{num(max(width, 0))}" height="{num(height)}"'
        layer = self.top if top else self.parts
        layer.append(f'<rect {size} class="{style}"' + (f' rx="{num(radius)}"' if radius else "") + "/>")

    def line(self, x: float, y: float, x2: float, y2: float, style: str) -> None:
        """A straight line."""
        self.parts.append(f'<line x1="{num(x)}" y1="{num(y)}" x2="{num(x2)}" y2="{num(y2)}" class="{style}"/>')

    def path(self, path: str, style: str) -> None:
        """Any path."""
        self.parts.append(f'<path d="{path}" class="{style}"/>')

    def hatch(self, x: float, y: float, width: float, height: float) -> None:
        """Slanted lines over a rectangle: the sign of a seal."""
        size = f'x="{num(x)}" y="{num(y)}" width="{num(width)}" height="{num(height)}"'
        self.parts.append(f'<rect {size} fill="url(#{self.prefix}-hatch)"/>')

    def lock(self, x: float, y: float) -> None:
        """A padlock, 10 by 12."""
        self.path(f"M{num(x + 2)} {num(y + 6)}v-2.5a3 3 0 0 1 6 0v2.5", "shackle")
        self.rect(x, y + 5.5, 10, 7, "padlock", radius=1.5)

    def break_mark(self, x: float, y: float, height: float) -> None:
        """Two slanted strokes with nothing between them: something was left out here."""
        points = f"M{num(x - 2)} {num(y + height)}l5 {num(-height)}h6l-5 {num(height)}z"
        self.path(points, "cut")
        self.path(
            f"M{num(x - 2)} {num(y + height)}l5 {num(-height)}M{num(x + 4)} {num(y + height)}l5 {num(-height)}", "zag"
        )

    def bracket(self, x: float, x2: float, y: float) -> None:
        """A horizontal bracket that opens upwards."""
        self.path(f"M{num(x + 1)} {num(y - 6)}v10H{num(max(x2 - 1, x + 1))}v-10", "bracket")

    def cross(self, x: float, y: float) -> None:
        """Where a call stopped."""
        self.path(f"M{num(x - 6)} {num(y - 6)}l12 12m0 -12l-12 12", "cross halo")
        self.path(f"M{num(x - 6)} {num(y - 6)}l12 12m0 -12l-12 12", "cross")

    def column(self, x: float, width: float, top: float, bottom: float) -> None:
        """The outline around one page of all strips."""
        self.rect(x - 1.5, top, width + 3, bottom - top, "column", radius=4)

    def pointer(self, x: float, y: float) -> None:
        """A triangle that points up."""
        self.path(f"M{num(x)} {num(y)}l8 12h-16z", "pointer")

    def pill(self, x: float, y: float, text: str, style: str) -> None:
        """A text in a frame; its top left corner is given."""
        self.rect(x, y, text_width(text, 12) + 16, 19, f"pill {style}", radius=9, top=True)
        self.text(x + text_width(text, 12) / 2 + 8, y + 14, text, "t small", anchor="middle")

    def ribbon(
        self, upper: tuple[float, float], lower: tuple[float, float], top: float, bottom: float, style: str
    ) -> None:
        """A band from one strip to the next; pages that vanish or appear get half of it, tapering."""
        middle = (top + bottom) / 2
        a, b, c, d = upper[0] + 1.5, upper[1] - 1.5, lower[1] - 1.5, lower[0] + 1.5
        if style == "unmapped":
            path = f"M{num(a)} {num(top)}H{num(b)}L{num((a + b) / 2)} {num(middle + 8)}Z"
        elif style == "mapped":
            path = f"M{num(d)} {num(bottom)}H{num(c)}L{num((c + d) / 2)} {num(middle - 8)}Z"
        else:
            down = f"C{num(b)} {num(middle)} {num(c)} {num(middle)} {num(c)} {num(bottom)}"
            up = f"C{num(d)} {num(middle)} {num(a)} {num(middle)} {num(a)} {num(top)}"
            path = f"M{num(a)} {num(top)}H{num(b)}{down}H{num(d)}{up}Z"
        self.path(path, f"ribbon {style}")

    def document(self, width: float, height: float, title: str, description: str) -> str:
        """The whole SVG."""
        p = self.prefix
        size = f'width="{num(width)}" height="{num(height)}" viewBox="0 0 {num(width)} {num(height)}"'
        hatch = (
            f'<pattern id="{p}-hatch" width="9" height="9" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><line x1="0" y1="0" x2="0" y2="9" class="hatching"/></pattern>'
        )
        head = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} class="mseal-strip" role="img" '
            f'style="max-width:100%;height:auto" aria-labelledby="{p}-title {p}-desc">',
            f'<title id="{p}-title">{escape(clean(title))}</title>',
            f'<desc id="{p}-desc">{escape(clean(description))}</desc>',
            f"<style>{STYLE}</style>",
            f"<defs>{hatch}</defs>",
            f'<rect x="0" y="0" width="{num(width)}" height="{num(height)}" class="paper"/>',
        ]
        return "\n".join([*head, *self.parts, *self.top, "</svg>"]) + "\n"
