# SPDX-License-Identifier: MIT
"""Strips: a counterexample as bars of address space, one for each layout, as SVG for a page or as text for a mail."""

from reports.strip_story import narrative
from reports.strip_svg import to_svg
from reports.strip_text import to_text

__all__ = ["narrative", "to_svg", "to_text"]
