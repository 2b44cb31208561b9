# SPDX-License-Identifier: MIT
"""What a property may look at: one call, and the address space as it appears at one page before it and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from spec.arguments import Decoded
from spec.errors import Errno
from spec.terms import Bool, Num
from spec.vma import Page, Vma

Arguments = TypeVar("Arguments", bound=Decoded)


@dataclass(frozen=True, slots=True)
class PageView:
    """One page of an address space."""

    mapped: Bool
    vma: Vma
    """The VMA that holds the page; meaningless unless `mapped`."""
    page: Page
    visible: Num
    """What a program reads there, protection apart (an abstract value); meaningless unless `mapped`."""


class Snapshot(Protocol):
    """An address space at one moment, in any reading."""

    def at(self, page: Num) -> PageView:
        """The page."""
        ...

    def cut(self, page: Num) -> Bool:
        """A VMA begins or ends at the left edge of the page."""
        ...

    def write_denied(self, pkey: Num) -> Bool:
        """The calling thread's PKRU denies writes through the key."""
        ...

    def access_denied(self, pkey: Num) -> Bool:
        """The calling thread's PKRU denies all access through the key."""
        ...

    def pkey_allocated(self, pkey: Num) -> Bool:
        """The process has allocated the key."""
        ...

    def object_pages(self, object: Num) -> Num:
        """How many pages the object has."""
        ...

    def stored(self, object: Num, offset: Num) -> Num:
        """What a page of the object holds, whoever maps it (an abstract value)."""
        ...

    @property
    def has_pkeys(self) -> Bool:
        """The processor has protection keys."""
        ...

    @property
    def exec_key(self) -> Num:
        """The process's key for execute-only memory; 0 if there is none."""
        ...

    @property
    def start_brk(self) -> Num:
        """The page where the heap begins."""
        ...

    @property
    def map_count(self) -> Num:
        """mm->map_count."""
        ...

    @property
    def max_map_count(self) -> Num:
        """Its limit."""
        ...

    def counted(self) -> Num:
        """How many VMAs there are."""
        ...

    @property
    def brk(self) -> Num:
        """The page that the program break has reached."""
        ...


@dataclass(frozen=True, slots=True)
class Transition:
    """One call: what was asked, how it ended, and the address space before and after."""

    call: str
    to: Decoded | None
    """The decoded arguments; None if the call ended in its argument stage. `asked` tells their kind."""
    errno: Errno
    value: Num
    """What the call returned; -1 if it failed."""
    check: str
    before: Snapshot
    after: Snapshot

    @property
    def failed(self) -> bool:
        """The call was refused."""
        return self.errno is not Errno.OK

    def asked(self, kind: type[Arguments]) -> Arguments:
        """The arguments as those of this kind of call. Raises TypeError for another call's."""
        if not isinstance(self.to, kind):
            raise TypeError(f"{self.call} has arguments of {type(self.to).__name__}, not of {kind.__name__}")
        return self.to
