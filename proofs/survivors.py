# SPDX-License-Identifier: MIT
"""Checks whose absence breaks no theorem, each with the reason and the editions. Whatever else survives fails a run;
so does what is listed here and breaks one, or is no check of the call."""

from __future__ import annotations

from dataclasses import dataclass

from proofs.theorems import IN_LOOP, LINUX, TWO_PASS, UP_FRONT, VARIANT
from spec.editions import EDITIONS, Edition, Remap

EVERY = tuple(EDITIONS)
SEVERAL = tuple(name for name, e in EDITIONS.items() if e.remap is Remap.V6_17 and name in LINUX)
"""Editions whose mremap moves several VMAs."""
EARLY_ROOM = tuple(name for name in SEVERAL if EDITIONS[name].early_room)
TWO_PASS_LIMITED = tuple(name for name in TWO_PASS if EDITIONS[name].limits_maps)


@dataclass(frozen=True, slots=True)
class Survivor:
    """A check that is redundant, or whose refusal is promised by nobody."""

    check: str
    calls: tuple[str, ...]
    editions: tuple[str, ...]
    """Those in which the calls have the check and nothing breaks without it."""
    reason: str


def _unmapping(check: str, calls: tuple[str, ...], editions: tuple[str, ...], reason: str) -> tuple[Survivor, ...]:
    """A check that unmapping makes for several calls, each with its own name for it."""
    names = {"mremap onto": "mremap", "mremap tail": "mremap"}
    return tuple(Survivor(f"{caller}: {check}", (names.get(caller, caller),), editions, reason) for caller in calls)


_FOUND_LATER = "the pass that collects the VMAs finds it sealed as well; this test only saves the split before it"
_FORESEEN = "decided before the pass or the cut that it ends"
_IN_PASSES = ("mseal", "mprotect", "pkey_mprotect", "madvise")
_UNMAPS = ("munmap", "mmap", "brk", "mremap")
_LOCKS = ("mlock", "munlock")
_EXEMPT = "special and huge VMAs are exempt from locking, so that none is ever cut"
_ROOM_BEFORE = "four free maps were asked for before the first change, so that room for this one is left"

SURVIVORS: tuple[Survivor, ...] = (
    Survivor(
        "mmap: the length is beyond TASK_SIZE",
        ("mmap",),
        EVERY,
        "no free range is that long, and a fixed one is tested again: the same errno",
    ),
    Survivor(
        "mprotect: the protection key is not allocated",
        ("mprotect",),
        LINUX,
        "mprotect passes no key, so that the check never refuses",
    ),
    Survivor(
        "mprotect: the range begins with an unmapped page",
        ("mprotect", "pkey_mprotect"),
        LINUX,
        "the loop finds the same gap, gives the same errno, and has changed nothing by then",
    ),
    Survivor(
        "madvise: MADV_REMOVE without a file",
        ("madvise",),
        LINUX,
        "memory without a file is not shared: EACCES instead of EINVAL",
    ),
    Survivor(
        "madvise: MADV_DOFORK of a special mapping",
        ("madvise",),
        tuple(name for name in LINUX if EDITIONS[name].dofork_spares_special),
        "whether a special mapping may be inherited again is promised by nobody",
    ),
    Survivor(
        "brk: nothing is mapped there any more",
        ("brk",),
        LINUX,
        "brk(2) promises nothing about a heap that was unmapped piecemeal",
    ),
    Survivor("the VMA refuses to be split", _LOCKS, LINUX, _EXEMPT),
    Survivor("the VMA at the end of the range would refuse its split", _LOCKS, TWO_PASS, _EXEMPT),
    # mremap
    Survivor(
        "mremap onto: a hole inside one VMA would exceed the map-count limit",
        ("mremap",),
        LINUX,
        "six free maps were asked for before, so that it never refuses",
    ),
    Survivor(
        "mremap: a move to a given address wants six free maps",
        ("mremap",),
        tuple(name for name in LINUX if name not in EARLY_ROOM),
        "the later test for four free maps refuses too; this one saves the destination, which other failures do not",
    ),
    Survivor(
        "mremap tail: a hole inside one VMA would exceed the map-count limit", ("mremap",), EARLY_ROOM, _ROOM_BEFORE
    ),
    Survivor("mremap: a move wants room for its splits", ("mremap",), EARLY_ROOM, _ROOM_BEFORE),
    Survivor(
        "mremap: huge pages do not grow",
        ("mremap",),
        LINUX,
        "growing huge pages is refused later as well, with EFAULT",
    ),
    Survivor(
        "mremap: a private mapping of /dev/zero is not moved with others",
        ("mremap",),
        SEVERAL,
        "that it is refused only together with others is promised by nobody",
    ),
    Survivor(
        "mremap: the new size is beyond TASK_SIZE",
        ("mremap",),
        SEVERAL,
        "no free range is that long, and none to grow into: refused as well, with ENOMEM",
    ),
    Survivor(
        "mremap tail: a VMA to unmap is sealed",
        ("mremap",),
        UP_FRONT,
        "the whole old range was tested for seals before",
    ),
    # seals of what is to be unmapped
    *_unmapping(
        "the first VMA to unmap is sealed",
        ("munmap", "mmap", "brk"),
        tuple(name for name in IN_LOOP if name != VARIANT),
        _FOUND_LATER,
    ),
    *_unmapping("the first VMA to unmap is sealed", ("mremap onto", "mremap tail"), IN_LOOP, _FOUND_LATER),
    *_unmapping(
        "a VMA to unmap is sealed",
        ("munmap", "mmap", "brk", "mremap onto", "mremap tail"),
        (VARIANT,),
        "what this test protects is not protected here: it looks at the first VMA again and again",
    ),
    # two passes
    Survivor("no room under the map-count limit for a split", (*_IN_PASSES, *_LOCKS), TWO_PASS_LIMITED, _FORESEEN),
    Survivor("the VMA refuses to be split", (*_IN_PASSES, *_UNMAPS), TWO_PASS, _FORESEEN),
    Survivor(
        "the VMA at the start of the range would refuse its split",
        (*_IN_PASSES, *_UNMAPS, *_LOCKS),
        TWO_PASS,
        "the cut itself refuses with the same errno, and nothing has changed by then",
    ),
)


def why_it_survives(call: str, check: str, edition: Edition) -> str:
    """The reason why nothing breaks without the check; empty if something must."""
    listed = (s.reason for s in SURVIVORS if s.check == check and call in s.calls and edition.name in s.editions)
    return next(listed, "")


def expected_survivors(call: str, edition: Edition) -> list[str]:
    """The checks that are listed for a call of an edition."""
    return [s.check for s in SURVIVORS if call in s.calls and edition.name in s.editions]
