# SPDX-License-Identifier: MIT
"""Editions: the behaviour of one kernel each, as the few differences that matter between them.

A call is written once; where editions differ, the call asks the edition. Properties never name an edition. Beside
kernels there are editions that no Linux has: our proposal, a variant that was reviewed and not merged, and what another
system does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class SealCheck(Enum):
    """Where a changing call looks for seals."""

    UP_FRONT = "the whole range, before anything changes"
    IN_THE_LOOP = "each VMA, as the changing loop reaches it"
    TWO_PASS = "the whole range, with all else that can fail (splits and room too), before anything changes"


class Discard(Enum):
    """How madvise decides that an advice discards."""

    BIT_MASK = "any value that has a bit in common with a discarding one (advice & all of them or-ed together)"
    ENUMERATION = "the discarding values themselves"
    INHERITED_TOO = "MADV_DONTNEED, MADV_FREE, and whatever says what a child inherits (minherit)"


class Standing(Enum):
    """What an edition is the behaviour of."""

    KERNEL = "a kernel that can be booted"
    PROPOSAL = "what this project proposes"
    VARIANT = "a reviewed variant that was never merged"
    OTHER_SYSTEM = "another operating system, from its manual pages and sources; never run here"


class System(Enum):
    """Whose calls they are. What differs beyond seals is in the calls, at the few places that ask."""

    LINUX = "Linux"
    OPENBSD = (
        "OpenBSD: ranges are widened to whole pages; gaps are skipped by mimmutable and mprotect, refused by munmap; "
        "VMAs are cut without a limit"
    )

    @property
    def title(self) -> str:
        """`Linux`, `OpenBSD`."""
        return self.value.partition(":")[0]


class Cursor(Enum):
    """Where mseal's loop thinks it is after a VMA was merged with the next one."""

    FOLLOWS = "at the end of the VMA that the merge made"
    STALE = "at the end of the VMA as it was before the merge (CVE-2026-23416)"
    CLAMPED = "at the start of the VMA at hand"


class Remap(Enum):
    """Which mremap."""

    V6_10 = "checks interleaved with changes, sources tested over the whole range"
    V6_12 = "the same with one test of the VMA at the old address, before all else"
    V6_15 = "the same, but the new address must be aligned, and free maps must be left, before any VMA is looked at"
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
    """Which VMAs madvise's seal test covers: those with 'no file' (vm_file), 'no vm_ops' (vma_is_anonymous), both only
    where the thread cannot write; or 'any memory'."""
    guard_pages: bool = False
    """MADV_GUARD_INSTALL and MADV_GUARD_REMOVE exist (6.13)."""
    guards_files: bool = False
    """They work in file mappings too, not only in private anonymous memory (6.15)."""
    guards_prepare_files: bool = False
    """MADV_GUARD_INSTALL gives a file mapping, even a shared one, an anon_vma, as it does to anonymous memory (6.18.15;
    6.18.44 and 7.3.4 do not: there the neighbours still merge)."""
    droppable: bool = False
    """MAP_DROPPABLE exists (6.11)."""
    merges_into_unfaulted: bool = False
    """Written private memory merges with a neighbour that was never written (6.16)."""
    joins_kept_source: bool = False
    """MREMAP_DONTUNMAP of never written memory, to right beside it, leaves one VMA (seen on 6.18.15 and 6.18.44)."""
    splits_locked_source: bool = True
    """MREMAP_DONTUNMAP splits a locked VMA before it unlocks what it moved. 6.17 and 6.18 do not, and unlock all of the
    VMA (seen on 6.18.15 and 6.18.44)."""
    resets_kept_offset: bool = True
    """Anonymous memory that MREMAP_DONTUNMAP left behind whole, and so unwritten, gets back the page offset of its
    place. 6.17 and 6.18 leave it the offset that it had, so that it merges with no neighbour (seen on 6.18.15 and
    6.18.44)."""
    uncharges_kept_source: bool = False
    """MREMAP_DONTUNMAP takes the charge (VM_ACCOUNT) from all of the VMA that it leaves behind, which then merges with
    no new neighbour (seen on 6.16.12)."""
    early_room: bool = False
    """mremap asks for four free maps before it looks at any VMA, whatever it is to do (seen on 7.3.4)."""
    dofork_spares_special: bool = False
    """MADV_DOFORK refuses special mappings, with EINVAL (seen on 7.3.4)."""
    memory_failure: bool = True
    """CONFIG_MEMORY_FAILURE: MADV_HWPOISON and MADV_SOFT_OFFLINE are known."""
    transparent_huge_pages: bool = True
    """CONFIG_TRANSPARENT_HUGEPAGE: MAP_STACK is a mark, MADV_HUGEPAGE, MADV_NOHUGEPAGE and MADV_COLLAPSE are known."""
    same_page_merging: bool = True
    """CONFIG_KSM: MADV_MERGEABLE and MADV_UNMERGEABLE are known."""
    huge_hints_up: bool = False
    """Where MAP_HUGETLB has a mere hint, it is rounded up to a huge page, and MAP_32BIT is heeded (6.13); before, the
    hint is rounded down, whatever that leads to."""
    tests_first_again: bool = False
    """munmap's loop tests the seal of the first VMA again where it should test the next one."""
    standing: Standing = Standing.KERNEL
    system: System = System.LINUX
    left_out: tuple[str, ...] = ()
    """Calls that this system does not have, or of which its manual pages say nothing that matters here. Nothing is
    proved, compared or executed of them."""

    def has(self, call: str) -> bool:
        """The edition says what this call does."""
        return call not in self.left_out

    @property
    def limits_maps(self) -> bool:
        """The number of VMAs of a process is limited (vm.max_map_count)."""
        return self.system is System.LINUX


V10 = Edition(
    name="v10",
    kernel="the patch series v10 as posted on its 6.9-era base; Linux 6.10.0",
    seals=SealCheck.UP_FRONT,
    discard=Discard.BIT_MASK,
    cursor=Cursor.FOLLOWS,
    remap=Remap.V6_10,
)
V6_11 = replace(V10, name="v6.11", kernel="Linux 6.11: the bit mask fixed", discard=Discard.ENUMERATION, droppable=True)
V6_12 = replace(
    V6_11,
    name="v6.12",
    kernel="Linux 6.12 (6.12.117): seals tested inside each call's own loop",
    seals=SealCheck.IN_THE_LOOP,
    remap=Remap.V6_12,
)
V6_12_EARLY = replace(
    V6_12,
    name="v6.12.43",
    kernel="Linux 6.12 (6.12.43): MREMAP_DONTUNMAP unlocks the whole VMA",
    joins_kept_source=True,
    splits_locked_source=False,
    resets_kept_offset=False,
)
V6_12_113 = replace(
    V6_12_EARLY,
    name="v6.12.113",
    kernel="Linux 6.12.113: what MREMAP_DONTUNMAP leaves behind merges again",
    resets_kept_offset=True,
)
V6_13 = replace(
    V6_12_EARLY,
    name="v6.13",
    kernel="Linux 6.13 and 6.14: guard pages in anonymous memory",
    guard_pages=True,
    huge_hints_up=True,
)
V6_15 = replace(
    V6_13,
    name="v6.15",
    kernel="Linux 6.15: guard pages in files, mremap's checks in another order",
    remap=Remap.V6_15,
    guards_files=True,
    guards_prepare_files=True,
    uncharges_kept_source=True,
)
V6_16 = replace(
    V6_15,
    name="v6.16",
    kernel="Linux 6.16: written memory merges with memory that was never written",
    merges_into_unfaulted=True,
)
V6_17 = replace(
    V6_16,
    name="v6.17",
    kernel="Linux 6.17: mremap over several VMAs, mseal's loop rewritten",
    cursor=Cursor.STALE,
    remap=Remap.V6_17,
    seal_protects="no vm_ops",
    uncharges_kept_source=False,
)
V6_18 = replace(
    V6_17,
    name="v6.18",
    kernel="Linux 6.18 with the cursor fixed (6.18.44)",
    cursor=Cursor.CLAMPED,
    guards_prepare_files=False,
)
V7_0 = replace(
    V6_18,
    name="v7.0",
    kernel="Linux 7.0: MADV_DOFORK refuses special mappings",
    dofork_spares_special=True,
)
V7_1 = replace(
    V7_0,
    name="v7.1",
    kernel="Linux 7.1: mremap asks for room first",
    early_room=True,
)
V7_2 = replace(
    V7_1,
    name="v7.2",
    kernel="Linux 7.2 (7.2.6): what MREMAP_DONTUNMAP leaves behind merges again",
    resets_kept_offset=True,
)
V7_3 = replace(
    V7_2,
    name="v7.3",
    kernel="Linux 7.2 (7.2.12) and 7.3: MREMAP_DONTUNMAP unlocks only its range",
    joins_kept_source=False,
    splits_locked_source=True,
)

TWO_PASS = replace(
    V6_18,
    name="two-pass",
    kernel="our proposal: Linux 6.18, but a call decides all that can fail before it changes anything",
    seals=SealCheck.TWO_PASS,
    standing=Standing.PROPOSAL,
)
MUNMAP_VARIANT = replace(
    V6_12,
    name="munmap-variant",
    kernel="a variant of the 6.12 series as once reviewed, never merged: munmap's loop tests the first VMA again",
    tests_first_again=True,
    standing=Standing.VARIANT,
)
MIMMUTABLE = replace(
    TWO_PASS,
    name="mimmutable",
    kernel="OpenBSD 7.8: mimmutable(2) and the calls that it constrains",
    discard=Discard.INHERITED_TOO,
    seal_protects="any memory",
    guard_pages=False,
    guards_files=False,
    droppable=False,
    memory_failure=False,
    standing=Standing.OTHER_SYSTEM,
    system=System.OPENBSD,
    left_out=("mseal32", "pkey_mprotect", "mremap", "brk", "mlock", "munlock", "pkru", "reclaim", "pkey_alloc"),
)
"""Facts, sources and limits: docs/MIMMUTABLE.md. `mseal` stands for mimmutable(2), the fork advice of `madvise` for
minherit(2); numbers of flags, advice and errors are Linux's."""

EDITIONS = {
    e.name: e
    for e in (
        V10,
        V6_11,
        V6_12_EARLY,
        V6_12_113,
        V6_12,
        V6_13,
        V6_15,
        V6_16,
        V6_17,
        V6_18,
        V7_0,
        V7_1,
        V7_2,
        V7_3,
        TWO_PASS,
        MUNMAP_VARIANT,
        MIMMUTABLE,
    )
}
"""Editions by name: kernels, oldest first, then what no Linux does."""
KERNELS = tuple(name for name, edition in EDITIONS.items() if edition.standing is Standing.KERNEL)
"""Names of the editions that are kernels."""
