# SPDX-License-Identifier: MIT
"""What is asked for and not modelled, by the names under which one would ask for it; docs/EXCLUSIONS.md has the rest.

A test compares the anchors with the document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DOCUMENT: Final = "docs/EXCLUSIONS.md"


@dataclass(frozen=True, slots=True)
class Excluded:
    """One thing that is left out."""

    anchor: str
    """Where DOCUMENT speaks of it."""
    reason: str
    names: tuple[str, ...] = ()
    """System calls, steps and words that mean it."""

    def told(self, name: str) -> str:
        """What somebody is told who asked for it by this name."""
        return f"{name} is not modelled: {self.reason}; see {DOCUMENT}#{self.anchor}"


STACK_GROWTH: Final = Excluded(
    "stack-growth",
    "the kernel may let a MAP_GROWSDOWN VMA grow down to an address below it, in a fault",
    ("stack-growth", "stack_growth", "expand_stack"),
)
GIGANTIC_PAGES: Final = Excluded(
    "gigantic-pages",
    "only huge pages of 2 MiB are, of 1 GiB a machine has or has not",
    ("MAP_HUGE_1GB", "gigantic-pages"),
)
SEALED_VDSO: Final = Excluded(
    "sealed-system-mappings",
    "a kernel with CONFIG_MSEAL_SYSTEM_MAPPINGS seals vdso, vvar and others at exec, so that none can be moved",
    ("sealed-vdso", "sealed_vdso", "vvar", "vsyscall", "MSEAL_SYSTEM_MAPPINGS", "CONFIG_MSEAL_SYSTEM_MAPPINGS"),
)
EXECUTE_ONLY_SEM: Final = Excluded(
    "execute-only-sem",
    "whether a page gets or loses the execute-only key depends then on whether a merge spares it the visit",
    ("PROT_SEM", "execute-only-sem"),
)

EXCLUDED: Final = (
    EXECUTE_ONLY_SEM,
    STACK_GROWTH,
    GIGANTIC_PAGES,
    SEALED_VDSO,
    Excluded(
        "userfaultfd",
        "it fills, moves and protects pages from outside the memory calls",
        (
            "userfaultfd",
            "uffd",
            "UFFDIO_REGISTER",
            "UFFDIO_UNREGISTER",
            "UFFDIO_COPY",
            "UFFDIO_ZEROPAGE",
            "UFFDIO_MOVE",
            "UFFDIO_WRITEPROTECT",
            "UFFDIO_CONTINUE",
            "UFFDIO_POISON",
            "UFFDIO_WAKE",
        ),
    ),
    Excluded(
        "forced-writes",
        "a debugger, or /proc/PID/mem, writes past the protection that a VMA has",
        ("ptrace", "process_vm_writev", "process_vm_readv", "procmem", "proc-mem", "/proc/self/mem", "FOLL_FORCE"),
    ),
    Excluded("shm", "segments have a close hook of their own", ("shmat", "shmdt", "shmget", "shmctl", "SHM_REMAP")),
    Excluded(
        "aio",
        "the ring of io_setup is mapped and unmapped by the kernel",
        (
            "aio",
            "io_setup",
            "io_destroy",
            "io_submit",
            "io_getevents",
            "io_cancel",
            "io_pgetevents",
        ),
    ),
    Excluded(
        "io_uring",
        "its rings are mapped memory of a driver, and its operations run memory calls from elsewhere",
        ("io_uring", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    ),
    Excluded("remap_file_pages", "the kernel emulates it with mmap(MAP_FIXED)", ("remap_file_pages",)),
    Excluded(
        "mempolicy",
        "memory policies only split VMAs and keep them from merging",
        (
            "mbind",
            "set_mempolicy",
            "get_mempolicy",
            "migrate_pages",
            "move_pages",
            "set_mempolicy_home_node",
        ),
    ),
    Excluded(
        "process_madvise",
        "it is one madvise a range, with a count of bytes as its result",
        ("process_madvise", "process_mrelease"),
    ),
    Excluded(
        "prctl",
        "names of anonymous VMAs, KSM and huge pages of a whole process only split VMAs and keep them from merging",
        (
            "prctl",
            "PR_SET_VMA",
            "PR_SET_VMA_ANON_NAME",
            "PR_SET_MEMORY_MERGE",
            "PR_SET_THP_DISABLE",
            "PR_SET_MM",
            "arch_prctl",
        ),
    ),
    Excluded("mdwe", "policies only add refusals", ("PR_SET_MDWE", "MDWE", "selinux", "LSM", "seccomp")),
    Excluded(
        "mlockall",
        "it marks the whole process, and with MCL_FUTURE what is mapped later; model it range by range with mlock",
        ("mlockall", "munlockall", "mlock2", "MLOCK_ONFAULT", "MCL_FUTURE", "MCL_CURRENT", "MCL_ONFAULT"),
    ),
    Excluded(
        "truncation",
        "an object keeps its size, and only MADV_REMOVE punches a hole into it",
        ("ftruncate", "truncate", "fallocate", "FALLOC_FL_PUNCH_HOLE", "memfd_create", "open", "close"),
    ),
    Excluded(
        "exec",
        "it drops the address space, seals and all",
        ("exec", "execve", "execveat", "exit", "exit_group", "_exit"),
    ),
    Excluded(
        "clone",
        "one thread has the address space to itself; fork is modelled",
        ("clone", "clone3", "vfork", "pthread_create", "thread", "CLONE_VM"),
    ),
    Excluded("pkey_free", "a key stays allocated once it is", ("pkey_free",)),
    Excluded(
        "other-memory",
        "it changes nothing that sealing speaks of",
        (
            "mincore",
            "msync",
            "cachestat",
            "membarrier",
            "munmap2",
            "read",
            "load",
            "readv",
            "access",
            "getrlimit",
            "sbrk",
            "swapon",
            "swapoff",
        ),
    ),
    Excluded(
        "other-memory",
        "it makes memory of kinds that the model does not have",
        ("memfd_secret", "map_shadow_stack", "ioctl", "perf_event_open", "bpf", "mmap2", "modify_ldt", "personality"),
    ),
    Excluded(
        "limits",
        "where a limit lacks room is said call by call, with `failures`",
        ("setrlimit", "prlimit", "prlimit64", "ulimit"),
    ),
)

_BY_NAME: Final = {name.lower(): entry for entry in EXCLUDED for name in entry.names}


def excluded(name: object) -> str | None:
    """What somebody is told who asks for something that is left out; None if nothing of this name is."""
    entry = _BY_NAME.get(name.lower()) if isinstance(name, str) else None
    return None if entry is None else entry.told(str(name))
