# SPDX-License-Identifier: MIT
"""What the fields of an edition say, as sentences: for lists of editions, and for what two of them differ in."""

from __future__ import annotations

from enum import Enum
from typing import Final

_SEALS_TESTED: Final = {
    "no file": "VMAs without a file (vm_file)",
    "no vm_ops": "VMAs without vm_ops (vma_is_anonymous)",
    "any memory": "any memory",
}
SENTENCES: Final[dict[str, str | tuple[str, str]]] = {
    "seals": "A call that changes memory looks for seals in {}",
    "discard": "madvise takes for discarding: {}",
    "cursor": "After a merge, mseal's loop goes on {}",
    "remap": "mremap: {}",
    "seal_protects": "madvise looks for seals in {}",
    "guard_pages": ("Guard pages (MADV_GUARD_INSTALL) do not exist", "Guard pages (MADV_GUARD_INSTALL) exist"),
    "guards_files": ("Guard pages work in anonymous memory only", "Guard pages work in file mappings too"),
    "guards_prepare_files": (
        "MADV_GUARD_INSTALL gives a file mapping no anon_vma, so that neighbours still merge",
        "MADV_GUARD_INSTALL gives a file mapping an anon_vma, so that it merges with fewer neighbours",
    ),
    "droppable": ("MAP_DROPPABLE does not exist", "MAP_DROPPABLE exists"),
    "merges_into_unfaulted": (
        "Written private memory does not merge with a neighbour that was never written",
        "Written private memory merges with a neighbour that was never written",
    ),
    "joins_kept_source": (
        "MREMAP_DONTUNMAP of never written memory, to right beside it, leaves two VMAs",
        "MREMAP_DONTUNMAP of never written memory, to right beside it, leaves one VMA",
    ),
    "splits_locked_source": (
        "MREMAP_DONTUNMAP unlocks all of a locked VMA, also what it does not move",
        "MREMAP_DONTUNMAP unlocks only what it moves: it splits a locked VMA first",
    ),
    "resets_kept_offset": (
        "Anonymous memory that MREMAP_DONTUNMAP leaves behind keeps its page offset",
        "Anonymous memory that MREMAP_DONTUNMAP leaves behind gets the page offset of its place",
    ),
    "uncharges_kept_source": (
        "MREMAP_DONTUNMAP leaves the charge of what stays behind as it is",
        "MREMAP_DONTUNMAP takes the charge (VM_ACCOUNT) from all of the VMA that it leaves behind",
    ),
    "early_room": (
        "mremap asks for free maps only where it needs them",
        "mremap asks for four free maps before it looks at any VMA",
    ),
    "dofork_spares_special": (
        "MADV_DOFORK takes special mappings, such as the vdso",
        "MADV_DOFORK refuses special mappings, such as the vdso, with EINVAL",
    ),
    "memory_failure": (
        "MADV_HWPOISON and MADV_SOFT_OFFLINE are unknown",
        "MADV_HWPOISON and MADV_SOFT_OFFLINE are known (CONFIG_MEMORY_FAILURE)",
    ),
    "same_page_merging": (
        "MADV_MERGEABLE and MADV_UNMERGEABLE are unknown",
        "MADV_MERGEABLE and MADV_UNMERGEABLE are known (CONFIG_KSM)",
    ),
    "transparent_huge_pages": (
        "MADV_HUGEPAGE, MADV_NOHUGEPAGE and MADV_COLLAPSE are unknown",
        "MADV_HUGEPAGE, MADV_NOHUGEPAGE and MADV_COLLAPSE are known (CONFIG_TRANSPARENT_HUGEPAGE)",
    ),
    "huge_hints_up": (
        "A hint for a mapping of huge pages is rounded down to a huge page",
        "A hint for a mapping of huge pages is rounded up to a huge page, and MAP_32BIT is heeded",
    ),
    "tests_first_again": (
        "munmap's loop tests each VMA once",
        "munmap's loop tests the first VMA again where it should test the next one",
    ),
    "standing": "It is {}",
    "system": "The calls are those of {}",
    "left_out": "Nothing is said of: {}",
}
"""By field: a sentence with a place for the value, or one for no and one for yes."""


def behaviour(field: str, value: object) -> str:
    """What an edition with this value of the field does. `value` is the field's, or the text that a document has of
    it."""
    if isinstance(value, Enum):
        value = value.value
    sentence = SENTENCES.get(field, f"{field.replace('_', ' ')}: {{}}")
    if isinstance(sentence, tuple):
        return sentence[str(value) == "True"]
    if field == "seal_protects":
        return sentence.format(_SEALS_TESTED.get(str(value), value))
    if isinstance(value, tuple):
        return sentence.format(", ".join(value)) if value else "All the calls of this specification are modelled"
    return sentence.format(value)
