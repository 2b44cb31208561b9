"""How pages are called where a text speaks of them."""

from __future__ import annotations

from typing import Final

FAR: Final = 10_000
"""Pages; distances from here on are hexadecimal."""


def named_from(base: int, page: int) -> str:
    """A page by its distance from another: `+3`; in hexadecimal when it is far away."""
    distance = page - base
    return f"+{distance}" if abs(distance) < FAR else f"+{distance:#x}"
