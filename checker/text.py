# SPDX-License-Identifier: MIT
"""Text of others, made fit for a line of ours."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text on one line without control characters, which could paint over a terminal or turn text around."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
