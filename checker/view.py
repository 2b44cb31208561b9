# SPDX-License-Identifier: MIT
"""What a property may look at: the address space as it appears at one page, before and after a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from spec.errors import Errno
from spec.terms import Bool, Num
from spec.vma import Page, Vma


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

    def at(self, page: Num) -> PageView: ...

    def cut(self, page: Num) -> Bool:
        """A VMA begins or ends at the left edge of the page."""
        ...

    def write_denied(self, pkey: Num) -> Bool: ...

    def access_denied(self, pkey: Num) -> Bool: ...

    def pkey_allocated(self, pkey: Num) -> Bool: ...

    def object_pages(self, object: Num) -> Num: ...

    @property
    def start_brk(self) -> Num: ...

    @property
    def map_count(self) -> Num: ...

    @property
    def max_map_count(self) -> Num: ...

    def counted(self) -> Num: ...

    @property
    def brk(self) -> Num: ...


@dataclass(frozen=True, slots=True)
class Transition:
    """One call: what was asked, how it ended, and the address space before and after."""

    call: str
    to: Any
    """The decoded arguments (spec.arguments)."""
    errno: Errno
    value: Num
    check: str
    before: Snapshot
    after: Snapshot

    @property
    def failed(self) -> bool:
        """The call was refused."""
        return self.errno is not Errno.OK
