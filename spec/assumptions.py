# SPDX-License-Identifier: MIT
"""What is assumed, by name. Every report lists the assumptions that its verdicts use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assumption:
    """A simplification of the model, or a precondition of a theorem."""

    name: str
    sentence: str
    why: str
    hides: str
    """What could go wrong in a real kernel without a verdict changing."""


ASSUMPTIONS: dict[str, Assumption] = {
    a.name: a
    for a in (
        Assumption(
            "ATOMIC",
            "A call sees no other thread's change between its first look and its last change.",
            "mmap_lock is held for writing across check and change (kernel-facts 0.3); `hides` names what does not.",
            "Calls that drop the lock within: MADV_REMOVE, MADV_WILLNEED on files, MADV_COLLAPSE, userfaultfd (W17). "
            "mremap of 6.15 to 7.0 reads map_count before it takes the lock: another thread may use up the room, and "
            "MREMAP_FIXED then fails when its destination is gone.",
        ),
        Assumption(
            "NO_FORCED_WRITES",
            "Nobody writes through ptrace, /proc/self/mem (FOLL_FORCE) or userfaultfd.",
            "These are outside the contract of mseal and are not memory-management calls.",
            "Contents of sealed read-only memory can be written by a debugger.",
        ),
        Assumption(
            "PLAIN_VMAS",
            "No memory policy, no userfaultfd registration, no anonymous VMA names, no driver with hooks of its own.",
            "No modelled call creates them.",
            "They only keep VMAs from merging, or (drivers) add refusals.",
        ),
        Assumption(
            "UNPRIVILEGED",
            "The caller has neither CAP_SYS_ADMIN nor CAP_SYS_RAWIO.",
            "MADV_HWPOISON and mappings below mmap_min_addr are then refused with EPERM.",
            "A privileged caller can poison or offline sealed memory.",
        ),
        Assumption(
            "X86_64",
            "64-bit x86 with four levels of page tables: pages of 4096 bytes, TASK_SIZE 2^47 - 4096, 16 protection "
            "keys.",
            "The kernels that the specification is held against.",
            "Other page sizes and address-space limits.",
        ),
        Assumption(
            "HUGE_SIZES",
            "mremap of huge pages is asked for whole huge pages.",
            "The kernel rounds the sizes up; proofs leave the rounding out, what is executed does not.",
            "An old size rounded up into the next VMA.",
        ),
        Assumption(
            "ENVIRONMENT",
            "Memory, RLIMIT_AS, RLIMIT_MEMLOCK and accounting may run out at the places that the specification names.",
            "Each is a free choice of the environment.",
            "Allocation failures at other places, which the kernel undoes.",
        ),
        Assumption(
            "NOT_LAZY",
            "The page was not marked lazily free (MADV_FREE) without having been written since.",
            "Reclaim may zero such a page at any time, seal or no seal (W22).",
            "Nothing: without it the property is refuted.",
        ),
        Assumption(
            "NOT_DROPPABLE",
            "The page is not in a droppable mapping (MAP_DROPPABLE).",
            "Reclaim may drop such a page at any time (W23).",
            "Nothing: without it the property is refuted.",
        ),
    )
}
"""Every assumption by name."""

ALWAYS = ("ATOMIC", "NO_FORCED_WRITES", "PLAIN_VMAS", "UNPRIVILEGED", "X86_64", "HUGE_SIZES", "ENVIRONMENT")
"""Those that every verdict uses."""
