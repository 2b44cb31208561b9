# SPDX-License-Identifier: MIT
"""Short series of calls that show what a recipe says, with what each edition answers. Tests make them.

Pages are those of the window of a scenario; `p` is its first page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from checker.documents.scenarios import Scenario
from checker.scenario import WINDOW
from reports.guarantees.basis import EVERYWHERE, Where
from reports.reproduce import in_c
from spec.advice import ADVICE
from spec.editions import KERNELS
from spec.errors import Errno
from spec.words import PAGE_SHIFT, PAGE_SIZE

NONE, READ, READ_WRITE, READ_WRITE_EXEC, READ_EXEC = 0, 1, 3, 7, 5
SHARED, PRIVATE, FIXED, ANONYMOUS = 1, 2, 0x10, 0x20
MAYMOVE, TO_FIXED = 1, 2
FILE, DEV_ZERO, NO_FILE = 100, 102, -1
Answer = Mapping[str, str | int | list[str]]
Values = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Watch:
    """What one step gives in some editions: an answer that is compared, and what it means."""

    step: int
    answer: Answer
    note: str = ""
    where: Where = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Example:
    """Calls, and what to look at."""

    name: str
    title: str
    """What has been done before the first call that is watched."""
    steps: tuple[Values, ...]
    watched: tuple[Watch, ...]
    pkeys: bool = False
    """It needs a processor with protection keys."""

    def scenario(self, edition: str, *, answers: bool = True) -> Scenario:
        """The calls as a scenario of the edition, with the answers that it gives."""
        steps = [dict[str, object](step) for step in self.steps]
        for watch in self.watched if answers else ():
            if watch.where.has(edition):
                steps[watch.step] |= watch.answer
        name = f"{self.name}: {self.title}"
        return Scenario.model_validate({"name": name, "edition": edition, "steps": steps})

    def shown(self, step: int) -> str:
        """A step in C, with `p` for the first page."""
        return _readable(in_c(self.scenario(KERNELS[-1], answers=False).steps[step]))


def _readable(text: str) -> str:
    text = text.replace("AT(0)", "p").replace("AT(1)", "p + PAGE").replace("0x0UL", "0")
    return re.sub(r"\bAT\((\d+)\)", r"p + \1 * PAGE", text).removeprefix("do_").replace("go_on_in_a_child", "fork")


def result(answer: Answer) -> str:
    """The outcome of a watched step in a word: an errno's name, or `succeeds`."""
    errno = answer.get("errno", 0)
    return Errno(int(str(errno))).name if errno else "succeeds"


# steps ----------------------------------------------------------------------------------------------------------------


def _at(page: int) -> int:
    return (WINDOW + page) << PAGE_SHIFT


def _range(page: int, pages: int) -> dict[str, str | int]:
    return {"addr": _at(page), "len": pages * PAGE_SIZE}


def anonymous(page: int, pages: int, prot: int = READ_WRITE) -> Values:
    """mmap private anonymous memory there."""
    return {"call": "mmap", **_range(page, pages), "prot": prot, "flags": PRIVATE | ANONYMOUS | FIXED}


def mapped(page: int, pages: int, prot: int, kind: int = PRIVATE, fd: int = FILE) -> Values:
    """mmap a file there, from its first page on."""
    return {"call": "mmap", **_range(page, pages), "prot": prot, "flags": kind | FIXED, "fd": fd}


def write(page: int, byte: int = 7) -> Values:
    """Fill a page with a byte."""
    return {"call": "write", "addr": _at(page), "byte": byte}


def protect(page: int, pages: int, prot: int = READ) -> Values:
    """mprotect; to read-only if nothing else is said."""
    return {"call": "mprotect", **_range(page, pages), "prot": prot}


def seal(page: int, pages: int) -> Values:
    """mseal."""
    return {"call": "mseal", **_range(page, pages)}


def unmap(page: int, pages: int) -> Values:
    """munmap."""
    return {"call": "munmap", **_range(page, pages)}


def advise(page: int, pages: int, advice: str) -> Values:
    """madvise."""
    return {"call": "madvise", **_range(page, pages), "behavior": ADVICE[advice]}


def move(page: int, old: int, new: int, to: int | None = None) -> Values:
    """mremap; to a fixed place if one is given."""
    where = {"flags": MAYMOVE, "new_addr": 0} if to is None else {"flags": MAYMOVE | TO_FIXED, "new_addr": _at(to)}
    return {"call": "mremap", "addr": _at(page), "old_len": old * PAGE_SIZE, "new_len": new * PAGE_SIZE, **where}


def with_key(page: int, pages: int, prot: int, pkey: int) -> Values:
    """pkey_mprotect."""
    return {"call": "pkey_mprotect", **_range(page, pages), "prot": prot, "pkey": pkey}


def rights(bits: int) -> Values:
    """The thread writes PKRU."""
    return {"call": "pkru", "bits": bits}


def reclaim(page: int) -> Values:
    """The kernel is short of memory, and takes the page if it may."""
    return {"call": "reclaim", "addr": _at(page)}


FORK: Final[Values] = {"call": "fork"}
ALLOCATE_KEY: Final[Values] = {"call": "pkey_alloc"}


def leave_room(free: int) -> Values:
    """Map elsewhere until so many VMAs are left under vm.max_map_count."""
    return {"call": "fill", "free": free}


def refuses(errno: Errno, **answer: str | list[str]) -> Answer:
    """The step fails so."""
    return {"errno": int(errno), **answer}


def succeeds(**answer: str | list[str]) -> Answer:
    """The step succeeds."""
    return {"errno": 0, **answer}
