# SPDX-License-Identifier: MIT
"""The kernel functions that are assumed and not read: what each means over the list engine.

This table is trusted. A patch that touches one of its functions is not judged: it is told as assumed and changed. The
versions are those of which the function was read when the entry was written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar


@dataclass(frozen=True, slots=True)
class Entry:
    """One function."""

    name: str
    meaning: Callable[..., Any]
    """Called with the machine and the arguments."""
    says: str
    """The meaning in words."""
    source: str
    """Where the kernel has it."""
    versions: str
    looks: bool
    """It looks at the address space, or changes it: the argument stage ends there."""
    ignores: bool = False
    """Its arguments do not matter."""


TABLE: Final[dict[str, Entry]] = {}
F = TypeVar("F", bound=Callable[..., Any])
ALL: Final = "6.9 to 7.3"


def assumed(
    *names: str, says: str, source: str, versions: str = ALL, looks: bool = True, ignores: bool = False
) -> Callable[[F], F]:
    """Enter functions."""

    def enter(function: F) -> F:
        for name in names:
            assert name not in TABLE, name
            TABLE[name] = Entry(name, function, says, source, versions, looks, ignores)
        return function

    return enter


def nothing(*names: str, says: str, source: str, versions: str = ALL) -> None:
    """Enter functions that change nothing that the model has."""

    def meaning(machine: Any, *arguments: Any) -> None:
        return None

    assumed(*names, says=says, source=source, versions=versions, looks=False)(meaning)


def constantly(value: Any, *names: str, says: str, source: str, versions: str = ALL) -> None:
    """Enter functions that always give the same."""

    def meaning(machine: Any, *arguments: Any) -> Any:
        return value

    assumed(*names, says=says, source=source, versions=versions, looks=False)(meaning)


from checker.source.table import advising, basics, flags, locking, mapping, protection, vmas  # noqa: E402, F401
