# SPDX-License-Identifier: MIT
"""What ends a reading of C: something that is not known, or something that no kernel survives."""

from __future__ import annotations


class NotCovered(Exception):
    """A construct, name or function that the reading does not know. Never guessed at."""

    def __init__(self, what: str, file: str = "", line: int = 0) -> None:
        super().__init__(what)
        self.what, self.file, self.line = what, file, line
        self.side = ""
        """Name of the side that was read; empty where none was yet."""

    def of(self, side: str) -> NotCovered:
        """The same, with the side that was read."""
        self.side = side
        return self

    def at(self, file: str, line: int) -> NotCovered:
        """The same, with its place unless it has one."""
        if not self.file:
            self.file, self.line = file, line
        return self

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}" if self.file else self.what


class Fault(Exception):
    """The C does what must not happen: a NULL or freed VMA is used, a lock is left held, a variable was never set."""

    def __init__(self, what: str, file: str = "", line: int = 0) -> None:
        super().__init__(what)
        self.what, self.file, self.line = what, file, line

    def at(self, file: str, line: int) -> Fault:
        """The same, with its place unless it has one."""
        if not self.file:
            self.file, self.line = file, line
        return self

    def __str__(self) -> str:
        return f"{self.what} ({self.file}:{self.line})" if self.file else self.what


class BadPatch(Exception):
    """An input that is not a patch, or does not apply: one line."""
