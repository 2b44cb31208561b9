"""Editions: the behaviour of one kernel each, as the few differences that matter between them.

A call is written once; where editions differ, the call asks the edition. Properties never name an edition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class SealCheck(Enum):
    """Where a changing call looks for seals."""

    UP_FRONT = "the whole range, before anything changes"
    IN_THE_LOOP = "each VMA, as the changing loop reaches it"


class Discard(Enum):
    """How madvise decides that an advice discards."""

    BIT_MASK = "advice & (the discarding values or-ed together)"
    ENUMERATION = "advice is one of the discarding values"


class Cursor(Enum):
    """Where mseal's loop thinks it is after a VMA was merged with the next one."""

    FOLLOWS = "at the end of the VMA that the merge made"
    STALE = "at the end of the VMA as it was before the merge (CVE-2026-23416)"
    CLAMPED = "at the start of the VMA at hand"


class Remap(Enum):
    """Which mremap."""

    V6_10 = "checks interleaved with changes, sources tested over the whole range"
    V6_12 = "the same with one test of the VMA at the old address, before all else"
    V6_17 = "all tests of a VMA before its destination is touched; several VMAs at once"


@dataclass(frozen=True, slots=True)
class Edition:
    """One kernel's behaviour."""

    name: str
    kernel: str
    seals: SealCheck
    discard: Discard
    cursor: Cursor
    remap: Remap
    seal_protects: str = "no file"
    """Which VMAs madvise's seal test covers: those with 'no file' (vm_file) or 'no vm_ops' (vma_is_anonymous)."""
    guard_pages: bool = False
    """MADV_GUARD_INSTALL and MADV_GUARD_REMOVE exist (6.13)."""
    droppable: bool = False
    """MAP_DROPPABLE exists (6.11)."""
    merges_into_unfaulted: bool = False
    """Written private memory merges with a neighbour that was never written (6.16)."""
    joins_kept_source: bool = False
    """MREMAP_DONTUNMAP of never written memory, to right beside it, leaves one VMA (seen on 6.18.15 and 6.18.44)."""
    early_room: bool = False
    """mremap asks for four free maps before it looks at any VMA, whatever it is to do (seen on 7.3.4)."""


V10 = Edition(
    name="v10",
    kernel="the patch series v10 as posted on its 6.9-era base; Linux 6.10.0",
    seals=SealCheck.UP_FRONT,
    discard=Discard.BIT_MASK,
    cursor=Cursor.FOLLOWS,
    remap=Remap.V6_10,
)
V6_11 = replace(
    V10, name="v6.11", kernel="Linux 6.11: the bit mask mended", discard=Discard.ENUMERATION, droppable=True
)
V6_12 = replace(
    V6_11,
    name="v6.12",
    kernel="Linux 6.12: seals tested inside each call's own loop",
    seals=SealCheck.IN_THE_LOOP,
    remap=Remap.V6_12,
)
V6_17 = replace(
    V6_12,
    name="v6.17",
    kernel="Linux 6.17: mremap over several VMAs, mseal's loop rewritten",
    cursor=Cursor.STALE,
    remap=Remap.V6_17,
    seal_protects="no vm_ops",
    guard_pages=True,
    merges_into_unfaulted=True,
    joins_kept_source=True,
)
V6_18 = replace(V6_17, name="v6.18", kernel="Linux 6.18 with the cursor mended (6.18.44)", cursor=Cursor.CLAMPED)

V7_3 = replace(
    V6_18, name="v7.3", kernel="Linux 7.3 (7.3.4): mremap asks for room first", early_room=True, joins_kept_source=False
)

EDITIONS = {e.name: e for e in (V10, V6_11, V6_12, V6_17, V6_18, V7_3)}
"""Editions by name, oldest first."""
