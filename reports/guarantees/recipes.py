# SPDX-License-Identifier: MIT
"""Recipes: what to do with sealing, and why. A reason rests on theorems, on calls that tests make, or on a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from reports.guarantees.basis import (
    AFTER_UP_FRONT,
    BIT_MASK,
    EVERYWHERE,
    FILE_GUARDS,
    GUARDS,
    HALF_WAY,
    IN_THE_LOOP,
    NO_BIT_MASK,
    NOT_IN_THE_LOOP,
    TWO_PASS,
    UP_FRONT,
    ZERO_EXEMPT,
    ZERO_PROTECTED,
    Basis,
    Where,
    proved,
    refuted,
)
from reports.guarantees.examples import (
    ALLOCATE_KEY,
    DEV_ZERO,
    FORK,
    NONE,
    READ,
    READ_EXEC,
    READ_WRITE,
    READ_WRITE_EXEC,
    SHARED,
    Example,
    Watch,
    advise,
    anonymous,
    leave_room,
    mapped,
    move,
    protect,
    reclaim,
    refuses,
    rights,
    seal,
    succeeds,
    unmap,
    with_key,
    write,
)
from reports.guarantees.promises import READERS, Reader
from spec.editions import EDITIONS, Standing
from spec.errors import Errno

EPERM, ENOMEM, EINVAL = Errno.EPERM, Errno.ENOMEM, Errno.EINVAL
BEFORE_IT = "what is before the sealed page"
STOPPED = "what is before the hole, or before the VMA that could not be cut"
TARGET = "with MREMAP_FIXED: the target, and pages that have moved"


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence, and what it rests on: theorems, examples of the recipe by name, or a section of a document."""

    text: str
    bases: tuple[Basis, ...] = ()
    examples: tuple[str, ...] = ()
    document: str = ""
    where: Where = EVERYWHERE


Level = Literal["never", "nothing", "cuts", "pages"]
"""What a failure may have changed, as the matrix has it (docs/MATRIX.md): the call never fails so; nothing; boundaries
of VMAs, and no page; pages."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call that failed so may have changed in some editions."""

    level: Level
    text: str
    bases: tuple[Basis, ...] = ()
    where: Where = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Failure:
    """One errno of a call."""

    errno: Errno
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call that failed: what each errno may have changed, and what to do then."""

    call: str
    failures: tuple[Failure, ...]
    do: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A question, its answer, what to do, and why."""

    name: str
    question: str
    short: str
    """The answer in a line."""
    answer: str
    do: tuple[str, ...]
    why: tuple[Reason, ...]
    examples: tuple[Example, ...]
    readers: tuple[Reader, ...] = READERS
    failures: tuple[FailedCall, ...] = ()
    """Call by call: what a failure may have changed."""


STAYS: Final = (proved("never-unmapped"), proved("never-reprotected"), proved("never-replaced"))

GOT: Final = Recipe(
    "got",
    "I seal the GOT (RELRO) once relocation is done. What is safe then?",
    "the mapping is safe; MADV_DONTNEED brings the file's bytes back",
    "Its mapping is safe: nothing unmaps, moves, replaces or reprotects it. Its contents are not, in any kernel: "
    "madvise(MADV_DONTNEED) drops a private file page that was written to, and the file's own bytes are back.",
    (
        "Put what must not be reset into private anonymous memory. Before anything depends on it: mmap(MAP_ANONYMOUS), "
        "copy, mprotect(PROT_READ), mremap(MREMAP_MAYMOVE | MREMAP_FIXED) over the segment, mseal.",
        "Where it stays a file mapping, let a seccomp filter refuse madvise and process_madvise with MADV_DONTNEED "
        "(4), MADV_DONTFORK (10), MADV_DONTNEED_LOCKED (24) and MADV_GUARD_INSTALL (102).",
        "mprotect(PROT_READ) comes before mseal: the seal fixes whatever protection there is.",
        "mlock does not help: munlock and MADV_DONTNEED_LOCKED are not refused.",
    ),
    (
        Reason("Its place and protection are fixed for the life of the process.", STAYS, ("file",)),
        Reason(
            "madvise exempts files from its seal test, on purpose.",
            (refuted("private-file-contents-stay"),),
            ("file",),
        ),
        Reason(
            "Read-only private anonymous memory is what the test covers.",
            (proved("settled-contents-stay"),),
            ("copied",),
        ),
        Reason("A guard marker makes every access to the sealed page fault.", examples=("guarded",), where=FILE_GUARDS),
    ),
    (
        Example(
            "file",
            "a private file page was written to, made read-only and sealed",
            (
                mapped(0, 1, READ_WRITE),
                write(0),
                protect(0, 1),
                seal(0, 1),
                unmap(0, 1),
                protect(0, 1, READ_WRITE),
                anonymous(0, 1),
                move(0, 1, 1, to=4),
                advise(0, 1, "MADV_DONTNEED"),
            ),
            (
                Watch(4, refuses(EPERM)),
                Watch(5, refuses(EPERM)),
                Watch(6, refuses(EPERM)),
                Watch(7, refuses(EPERM, bytes="07"), "it still holds what was written"),
                Watch(8, succeeds(bytes="40"), "the file's bytes are back"),
            ),
        ),
        Example(
            "copied",
            "an anonymous copy was moved over the file page, read-only, and sealed",
            (
                mapped(0, 1, READ_WRITE),
                anonymous(4, 1),
                write(4),
                protect(4, 1),
                move(4, 1, 1, to=0),
                seal(0, 1),
                advise(0, 1, "MADV_DONTNEED"),
            ),
            (Watch(6, refuses(EPERM, bytes="07"), "it holds what was copied"),),
        ),
        Example(
            "guarded",
            "a private file page was written to, made read-only and sealed",
            (mapped(0, 1, READ_WRITE), write(0), protect(0, 1), seal(0, 1), advise(0, 1, "MADV_GUARD_INSTALL")),
            (Watch(4, succeeds(bytes="??"), "every access faults now", FILE_GUARDS),),
        ),
    ),
    ("loader", "sandbox"),
)

READ_ONLY_DATA: Final = Recipe(
    "read-only-data",
    "Read-only data that madvise must not zero: which kernel, which mapping?",
    "private anonymous memory, made read-only first; no version is enough",
    "Private anonymous memory that was made read-only before it was sealed, in every kernel that has mseal. Private "
    "file pages, shared memory and writable memory: in none. Asking for 6.10 is bad advice: that release refuses "
    "harmless advice as well, and no release makes the other mappings safe.",
    (
        "mmap(MAP_PRIVATE | MAP_ANONYMOUS), write every page, mprotect(PROT_READ), mseal: in this order.",
        "Never MADV_FREE it, and take no MAP_DROPPABLE memory: reclaim empties such pages through the seal. If "
        "MADV_FREE may have touched it, write every page again before sealing.",
        "Ask the kernel, not its version: mseal(0, 0, 0) gives 0 where there is mseal; seal a scratch page and see "
        "MADV_DONTNEED refused.",
    ),
    (
        Reason(
            "It keeps its bytes, if not lazily free and not droppable.",
            (proved("settled-contents-stay"),),
            ("anonymous",),
        ),
        Reason("What is writable may be discarded, sealed or not.", examples=("writable",)),
        Reason("Nor are private file pages protected.", (refuted("private-file-contents-stay"),), ("file",)),
        Reason(
            "A page that MADV_FREE marked is taken by reclaim.",
            (refuted("anonymous-contents-stay", "reclaim"),),
            ("freed",),
        ),
        Reason(
            "Sixteen harmless values (MADV_WILLNEED, MADV_HUGEPAGE, ...) get EPERM: libraries that give them fail.",
            (refuted("refused-advice-discards"),),
            ("anonymous",),
            where=BIT_MASK,
        ),
        Reason(
            "mremap with old size 0 copies sealed shared memory.", (refuted("never-grown", "mremap"),), where=UP_FRONT
        ),
        Reason("A private mapping of /dev/zero is not protected.", examples=("zero",), where=ZERO_EXEMPT),
    ),
    (
        Example(
            "anonymous",
            "private anonymous memory was written to, made read-only and sealed",
            (
                anonymous(0, 1),
                write(0),
                protect(0, 1),
                seal(0, 1),
                advise(0, 1, "MADV_DONTNEED"),
                advise(0, 1, "MADV_WILLNEED"),
            ),
            (
                Watch(4, refuses(EPERM, bytes="07"), "kept"),
                Watch(5, refuses(EPERM), "though harmless", BIT_MASK),
                Watch(5, succeeds(bytes="07"), "kept", NO_BIT_MASK),
            ),
        ),
        Example(
            "writable",
            "private anonymous memory was written to and sealed, still writable",
            (anonymous(0, 1), write(0), seal(0, 1), advise(0, 1, "MADV_DONTNEED")),
            (Watch(3, succeeds(bytes="00"), "zeroed"),),
        ),
        Example(
            "file",
            "a private file page was written to, made read-only and sealed",
            (mapped(0, 1, READ_WRITE), write(0), protect(0, 1), seal(0, 1), advise(0, 1, "MADV_DONTNEED")),
            (Watch(4, succeeds(bytes="40"), "the file's bytes are back"),),
        ),
        Example(
            "freed",
            "written to, MADV_FREE, then made read-only and sealed",
            (anonymous(0, 1), write(0), advise(0, 1, "MADV_FREE"), protect(0, 1), seal(0, 1), reclaim(0)),
            (Watch(5, {"bytes": "00"}, "zeroed, without any call"),),
        ),
        Example(
            "zero",
            "/dev/zero was mapped private, written to, made read-only and sealed",
            (mapped(0, 1, READ_WRITE, fd=DEV_ZERO), write(0), protect(0, 1), seal(0, 1), advise(0, 1, "MADV_DONTNEED")),
            (
                Watch(4, succeeds(bytes="00"), "zeroed", ZERO_EXEMPT),
                Watch(4, refuses(EPERM, bytes="07"), "kept", ZERO_PROTECTED),
            ),
        ),
    ),
)

GUARD_PAGES: Final = Recipe(
    "guard-pages",
    "Guard pages: how do I keep one from being removed?",
    "map it PROT_NONE and seal it; markers can be removed",
    "Map it PROT_NONE and seal it: nothing unmaps it, replaces it or makes it accessible. A hole is no guard, and the "
    "markers of MADV_GUARD_INSTALL are removed through the seal.",
    (
        "mmap(PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS) for the guard, then mseal. Guard and neighbour may be sealed by "
        "one call if both stay for good.",
        "Leave no hole: a range with one is not sealed (ENOMEM), and anybody may map something into it.",
        "Each guard is a VMA, of which a process has vm.max_map_count. Markers cost none: use them against accidents, "
        "not against an attacker who makes system calls.",
    ),
    (
        Reason("The guard stays, and stays inaccessible.", STAYS, ("sealed",)),
        Reason(
            "mseal over a hole seals nothing at all.",
            (proved("gap-seals-nothing"), proved("enomem-as-documented")),
            ("hole",),
        ),
        Reason("MADV_GUARD_REMOVE is not refused on sealed memory.", examples=("marker",), where=GUARDS),
        Reason(
            "A MAP_GROWSDOWN stack grows at a fault, even sealed: not modelled (W14).", document="docs/EXCLUSIONS.md"
        ),
    ),
    (
        Example(
            "sealed",
            "page 0 is a sealed PROT_NONE guard, page 1 is plain memory",
            (
                anonymous(0, 1, NONE),
                anonymous(1, 1),
                seal(0, 1),
                protect(0, 2, READ_WRITE),
                unmap(0, 1),
                anonymous(0, 1),
                write(0),
            ),
            (
                Watch(3, refuses(EPERM)),
                Watch(4, refuses(EPERM)),
                Watch(5, refuses(EPERM)),
                Watch(6, refuses(Errno.EFAULT), "an access still faults"),
            ),
        ),
        Example(
            "hole",
            "pages 0 and 2 are mapped, page 1 is a hole",
            (anonymous(0, 1), anonymous(2, 1), seal(0, 3), unmap(0, 1)),
            (Watch(2, refuses(ENOMEM), "nothing is sealed"), Watch(3, succeeds(), "so this works")),
        ),
        Example(
            "marker",
            "a guard marker was installed in page 0, which was then made read-only and sealed",
            (
                anonymous(0, 2),
                advise(0, 1, "MADV_GUARD_INSTALL"),
                protect(0, 2),
                seal(0, 2),
                advise(0, 1, "MADV_GUARD_REMOVE"),
            ),
            (Watch(4, succeeds(bytes="0000"), "the guard is gone", GUARDS),),
        ),
    ),
)

THREAD_STACKS: Final = Recipe(
    "thread-stacks",
    "May I seal the stacks of threads?",
    "only of threads that never end",
    "Only those that stay for the life of the process. A sealed stack is never freed, and never gets another guard. "
    "What it holds is not protected: it is writable, so madvise may zero it.",
    (
        "Do not seal the stack of a thread that ends, not even its guard page: munmap of both is refused as a whole, "
        "and mprotect of a stack that is used again is refused too.",
        "A stack that stays: map guard (PROT_NONE) and stack, then one mseal over both.",
        "If threads must not be able to zero it, filter madvise (MADV_DONTNEED, MADV_FREE, MADV_GUARD_INSTALL).",
        "A child of fork need not have it: MADV_DONTFORK is refused on sealed memory only where that cannot be "
        "written.",
    ),
    (
        Reason("It stays, with its protection.", STAYS, ("whole",)),
        Reason(
            "One sealed page keeps all of munmap's range.", (proved("failure-changes-no-page", "munmap"),), ("guard",)
        ),
        Reason("Writable memory may be discarded, and kept from a child.", examples=("whole",)),
        Reason("The main thread's stack grows, even sealed: not modelled (W14).", document="docs/EXCLUSIONS.md"),
    ),
    (
        Example(
            "whole",
            "page 0 is the guard, pages 1 and 2 the stack, all of it sealed",
            (
                anonymous(0, 1, NONE),
                anonymous(1, 2),
                write(2),
                seal(0, 3),
                unmap(0, 3),
                protect(0, 1, READ_WRITE),
                advise(1, 2, "MADV_DONTNEED"),
                advise(1, 2, "MADV_DONTFORK"),
            ),
            (
                Watch(4, refuses(EPERM), "it cannot be freed"),
                Watch(5, refuses(EPERM), "its guard cannot be changed"),
                Watch(6, succeeds(bytes="000000"), "zeroed"),
                Watch(7, succeeds(), "a child will not have it"),
            ),
        ),
        Example(
            "guard",
            "only the guard, page 0, is sealed",
            (anonymous(0, 1, NONE), anonymous(1, 2), write(1), seal(0, 1), unmap(0, 3)),
            (Watch(4, refuses(EPERM, bytes="000700"), "the stack is still there, too"),),
        ),
    ),
    ("allocator", "jit"),
)

ALLOCATOR_METADATA: Final = Recipe(
    "allocator-metadata",
    "Allocator metadata has to be written. What does a seal give it?",
    "its place and protection, not its contents; never to be freed",
    "Its place and its protection: no stray munmap, mmap, mremap or mprotect takes it away. Not its contents, which "
    "whoever can write it may also discard. It can never be given back.",
    (
        "Reserve it once, in a mapping of its own at its final size, between PROT_NONE guards: it cannot grow or move.",
        "For its contents set a protection key (pkey_mprotect) before mseal, which fixes the key, and allow writes "
        "only while the allocator works.",
        "mseal gave ENOMEM: part of the range may be sealed. Do not free it or use it for something else; unmap "
        "something, and seal again.",
        "munmap gave EPERM: give up that range. Trying again may cost one VMA each time.",
    ),
    (
        Reason("Mapping, protection and key stay; it is not resized.", STAYS, ("metadata",)),
        Reason(
            "mseal that ran out of room has sealed the start of its range.",
            (refuted("failed-mseal-seals-nothing"), proved("partial-seal-is-a-prefix")),
            ("no-room",),
            where=HALF_WAY,
        ),
        Reason("Sealing again is harmless.", (proved("sealing-twice-is-a-no-op"),), ("no-room",)),
        Reason(
            "A refused munmap has unmapped nothing,",
            (proved("failure-changes-no-page", "munmap"),),
            ("refused",),
        ),
        Reason(
            "but may leave its range cut in two: one VMA more.",
            (refuted("eperm-changes-nothing", "munmap"),),
            ("refused",),
            where=IN_THE_LOOP,
        ),
    ),
    (
        Example(
            "metadata",
            "one page of metadata, written to and sealed",
            (anonymous(0, 1), write(0), seal(0, 1), move(0, 1, 2), protect(0, 1), advise(0, 1, "MADV_DONTNEED")),
            (
                Watch(3, refuses(EPERM), "it does not grow"),
                Watch(4, refuses(EPERM), "nor become read-only"),
                Watch(5, succeeds(bytes="00"), "zeroed"),
            ),
        ),
        Example(
            "no-room",
            "page 0 is one VMA, pages 1 and 2 another; no VMA is left",
            (anonymous(0, 1, READ), anonymous(1, 2), leave_room(0), seal(0, 2), leave_room(2), seal(0, 2)),
            (
                Watch(3, refuses(ENOMEM, vmas=["0-1 r--p anon sl", "1-3 rw-p anon"]), "page 0 is sealed", HALF_WAY),
                Watch(3, refuses(ENOMEM, vmas=["0-1 r--p anon", "1-3 rw-p anon"]), "nothing is sealed", TWO_PASS),
                Watch(
                    5,
                    succeeds(vmas=["0-1 r--p anon sl", "1-2 rw-p anon sl", "2-3 rw-p anon"]),
                    "with room: all of it",
                ),
            ),
        ),
        Example(
            "refused",
            "pages 0 and 1 are plain memory, page 2 is sealed",
            (anonymous(0, 3), seal(2, 1), unmap(1, 2)),
            (
                Watch(
                    2, refuses(EPERM, vmas=["0-2 rw-p anon", "2-3 rw-p anon sl"]), "nothing changed", NOT_IN_THE_LOOP
                ),
                Watch(
                    2,
                    refuses(EPERM, vmas=["0-1 rw-p anon", "1-2 rw-p anon", "2-3 rw-p anon sl"]),
                    "one VMA more",
                    IN_THE_LOOP,
                ),
            ),
        ),
    ),
    ("allocator",),
)

JIT_CODE: Final = Recipe(
    "jit-code",
    "Code that is compiled at run time: how is it sealed, and still written?",
    "through a second mapping, or behind a protection key",
    "Not by mprotect, which is refused from then on. Either through a second, unsealed mapping of the same memory, or "
    "behind a protection key that only the compiler's thread opens.",
    (
        "Two mappings of one memfd: PROT_READ | PROT_EXEC, shared, where it runs: sealed. PROT_READ | PROT_WRITE, "
        "shared, elsewhere: mapped only while code is written. Close the descriptor when all code is there.",
        "Or a key: map it writable and executable, pkey_mprotect with the key, mseal; the key is fixed by the seal. "
        "Deny writes to the key in every thread but the compiler's.",
        "Reserve the range once, at its final size. Give pages back with MADV_DONTNEED from a thread that may write.",
        "Code that is never written again: copy into anonymous memory, PROT_READ | PROT_EXEC, then mseal.",
    ),
    (
        Reason("Protection and key are fixed; so is the range.", STAYS, ("alias", "key")),
        Reason("A shared mapping is written through another, and MADV_DONTNEED leaves it.", examples=("alias",)),
        Reason("Which discard is refused depends on the rights of the calling thread (W13).", examples=("key",)),
        Reason(
            "What no thread can write keeps its bytes.",
            (proved("settled-contents-stay"),),
        ),
    ),
    (
        Example(
            "alias",
            "page 0 maps a file shared and executable, sealed; page 4 maps it shared and writable",
            (
                mapped(0, 1, READ_EXEC, SHARED),
                mapped(4, 1, READ_WRITE, SHARED),
                seal(0, 1),
                protect(0, 1, READ_WRITE_EXEC),
                write(4),
                advise(0, 1, "MADV_DONTNEED"),
            ),
            (
                Watch(3, refuses(EPERM)),
                Watch(4, {"ret": "1", "bytes": "07......07"}, "page 0 shows the new code"),
                Watch(5, succeeds(bytes="07......07"), "nothing is lost"),
            ),
        ),
        Example(
            "key",
            "code was written to page 0, which has protection key 1, and sealed",
            (
                ALLOCATE_KEY,
                anonymous(0, 1, READ_WRITE_EXEC),
                with_key(0, 1, READ_WRITE_EXEC, 1),
                write(0),
                seal(0, 1),
                rights(8),
                write(0),
                advise(0, 1, "MADV_DONTNEED"),
                rights(0),
                with_key(0, 1, READ_WRITE_EXEC, 0),
                advise(0, 1, "MADV_DONTNEED"),
            ),
            (
                Watch(6, refuses(Errno.EFAULT), "a thread without the right to write"),
                Watch(7, refuses(EPERM, bytes="07"), "the same thread"),
                Watch(9, refuses(EPERM), "the key stays"),
                Watch(10, succeeds(bytes="00"), "a thread that may write"),
            ),
            pkeys=True,
        ),
    ),
    ("jit",),
)

FORK_RECIPE: Final = Recipe(
    "fork",
    "What of the seal has a child of fork?",
    "the seals; but MADV_DONTFORK and MADV_WIPEONFORK from before act",
    "Every sealed page that it gets is sealed there too, for good. But marks that were set before act through the "
    "seal: MADV_DONTFORK leaves a hole in the child, MADV_WIPEONFORK an empty page.",
    (
        "Before mseal, take the marks off: madvise(MADV_DOFORK), madvise(MADV_KEEPONFORK). After it, the kernel may "
        "refuse (6.10).",
        "Check /proc/self/smaps: VmFlags shows sl (sealed); dc (not in a child) and wf (wiped there) must be absent.",
        "For a sandboxed child, filter madvise with MADV_DONTFORK (10) before the fork: on file mappings, and on what "
        "can be written, the seal does not refuse it.",
        "exec gives a new, unsealed address space. vfork and clone(CLONE_VM) share the one there is, seals and all.",
    ),
    (
        Reason("The child has the seals.", (proved("fork-keeps-seals"),), ("child",)),
        Reason("A page marked before is wiped in the child.", (refuted("fork-keeps-contents"),), ("wiped",)),
        Reason(
            "There, MADV_DOFORK and MADV_KEEPONFORK are refused under a seal.",
            (refuted("refused-advice-discards"),),
            ("child",),
            where=BIT_MASK,
        ),
        Reason("On sealed read-only anonymous memory no mark can be set,", examples=("child",)),
        Reason("on a sealed file page it can; anything may fill the hole.", examples=("hole",)),
        Reason("What exec, vfork and CLONE_VM do is not modelled.", document="docs/EXCLUSIONS.md"),
    ),
    (
        Example(
            "child",
            "private anonymous memory was written to, made read-only and sealed",
            (
                anonymous(0, 1),
                write(0),
                protect(0, 1),
                seal(0, 1),
                advise(0, 1, "MADV_DONTFORK"),
                advise(0, 1, "MADV_WIPEONFORK"),
                advise(0, 1, "MADV_DOFORK"),
                FORK,
                unmap(0, 1),
            ),
            (
                Watch(4, refuses(EPERM)),
                Watch(5, refuses(EPERM)),
                Watch(6, refuses(EPERM), "too late", BIT_MASK),
                Watch(6, succeeds(), "a mark may be taken off", NO_BIT_MASK),
                Watch(8, refuses(EPERM, bytes="07"), "in the child"),
            ),
        ),
        Example(
            "wiped",
            "the same, but MADV_WIPEONFORK was given before sealing",
            (anonymous(0, 1), write(0), advise(0, 1, "MADV_WIPEONFORK"), protect(0, 1), seal(0, 1), FORK),
            (Watch(5, {"bytes": "00"}, "the child reads zero"),),
        ),
        Example(
            "hole",
            "a private file page was written to, made read-only and sealed",
            (
                mapped(0, 1, READ_WRITE),
                write(0),
                protect(0, 1),
                seal(0, 1),
                advise(0, 1, "MADV_DONTFORK"),
                FORK,
                anonymous(0, 1),
                write(0, 9),
            ),
            (
                Watch(4, succeeds()),
                Watch(5, {"bytes": ""}, "the child has a hole there"),
                Watch(7, {"ret": "1", "bytes": "09"}, "and maps what it likes"),
            ),
        ),
    ),
    ("loader", "allocator", "sandbox"),
)

UNTRUSTED_CODE: Final = Recipe(
    "untrusted-code",
    "Untrusted code makes system calls. What does the seal not stop?",
    "/proc/PID/mem, ptrace, userfaultfd, the file beneath: filter them",
    "The seal holds the address space against memory calls. It does not keep contents from what writes them in another "
    "way, nor from what the file beneath may do. That is for a filter (seccomp, Landlock) to stop.",
    (
        "Refuse opening /proc/PID/mem, ptrace and userfaultfd: they write sealed read-only memory.",
        "No writable descriptor of a file below a sealed mapping: ftruncate, fallocate(FALLOC_FL_PUNCH_HOLE) and "
        "MADV_REMOVE empty it. memfd: F_SEAL_WRITE | F_SEAL_SHRINK.",
        "madvise and process_madvise: refuse the values that sealspec guarantee got names.",
        "Seal all that matters: memory beside it that is not sealed may be replaced by mmap(MAP_FIXED).",
        "Do not rely on shmdt or io_destroy of sealed memory: both report success and unmap nothing (W8).",
    ),
    (
        Reason("Memory calls do not change the mapping.", STAYS, ("shared",)),
        Reason("A seal is never taken off.", (proved("never-unsealed"),)),
        Reason("MADV_REMOVE empties the file below a shared mapping.", examples=("shared",)),
        Reason("/proc/PID/mem, ptrace, userfaultfd, shmdt: not modelled.", document="docs/EXCLUSIONS.md"),
    ),
    (
        Example(
            "shared",
            "a file is mapped shared and read-only, from a writable descriptor, and sealed",
            (mapped(0, 1, READ, SHARED), seal(0, 1), unmap(0, 1), advise(0, 1, "MADV_REMOVE")),
            (Watch(2, refuses(EPERM, bytes="40")), Watch(3, succeeds(bytes="00"), "emptied")),
        ),
    ),
    ("sandbox",),
)


def _as_proposed(call: str) -> Outcome:
    """What our proposal does where kernels fail part-way."""
    return Outcome("nothing", "nothing", (proved("failure-changes-nothing", call),), TWO_PASS)


def _refused(call: str, level: Level, text: str, *also: Basis) -> tuple[Outcome, ...]:
    """EPERM because of a seal: nothing where the whole range is tested first."""
    return (
        Outcome("nothing", "nothing", (proved("eperm-changes-nothing", call),), NOT_IN_THE_LOOP),
        Outcome(level, text, (refuted("eperm-changes-nothing", call), *also), IN_THE_LOOP),
    )


def _part_way(call: str, text: str) -> tuple[Outcome, ...]:
    """A failure that may have changed pages."""
    return Outcome("pages", text, (refuted("failure-changes-no-page", call),), HALF_WAY), _as_proposed(call)


NO_PAGE: Final = proved("failure-changes-no-page", "munmap")
CUT: Final = "no page; one cut in the range"
KEY_TAKEN: Final = refuted("eperm-changes-nothing", "mmap")
"""A refused mmap has taken the process's key for execute-only memory, or cut a VMA."""

FAILED_CALLS: Final = (
    FailedCall(
        "mseal",
        (
            Failure(EPERM, (Outcome("never", "never given"),)),
            Failure(
                ENOMEM,
                (
                    Outcome(
                        "pages",
                        "a hole: nothing; no room: the start of the range may be sealed",
                        (
                            proved("gap-seals-nothing"),
                            refuted("failed-mseal-seals-nothing"),
                            proved("partial-seal-is-a-prefix"),
                        ),
                        HALF_WAY,
                    ),
                    _as_proposed("mseal"),
                ),
            ),
            Failure(
                EINVAL,
                (
                    Outcome(
                        "pages",
                        "an argument: nothing; part of a huge page, vdso: as with no room",
                        (refuted("einval-only-as-documented"), refuted("failed-mseal-seals-nothing")),
                        HALF_WAY,
                    ),
                    _as_proposed("mseal"),
                ),
            ),
        ),
        "Look for VmFlags sl in /proc/self/smaps: that stays sealed. Unmap something and call again, over whole huge "
        "pages; sealing twice is harmless.",
    ),
    FailedCall(
        "munmap",
        (
            Failure(EPERM, _refused("munmap", "cuts", CUT, NO_PAGE)),
            Failure(ENOMEM, (Outcome("nothing", "nothing", (NO_PAGE,)),)),
            Failure(EINVAL, (Outcome("cuts", CUT, (NO_PAGE,), HALF_WAY), _as_proposed("munmap"))),
        ),
        "EPERM: give the range up; trying again may cost a VMA each time. ENOMEM: make room, or unmap whole VMAs.",
    ),
    FailedCall(
        "mprotect",
        (
            Failure(EPERM, _refused("mprotect", "pages", BEFORE_IT)),
            Failure(ENOMEM, _part_way("mprotect", STOPPED)),
            Failure(EINVAL, _part_way("mprotect", "an argument: nothing; part of a huge page, vdso: as ENOMEM")),
        ),
        "Call it once for each mapping of yours. After an error set again what may have changed, or read "
        "/proc/self/maps. EACCES is like ENOMEM.",
    ),
    FailedCall(
        "madvise",
        (
            Failure(EPERM, _refused("madvise", "pages", BEFORE_IT)),
            Failure(ENOMEM, _part_way("madvise", "a hole: all the rest of the range")),
            Failure(EINVAL, _part_way("madvise", "an argument: nothing; a VMA that cannot take it: what is before it")),
        ),
        "Never over memory of others. What may have been discarded is gone: fill it again.",
    ),
    FailedCall(
        "mremap",
        (
            Failure(
                EPERM,
                (
                    Outcome("nothing", "nothing", (proved("eperm-changes-nothing", "mremap"),), UP_FRONT),
                    Outcome(
                        "pages", "target and moved pages", (refuted("eperm-changes-nothing", "mremap"),), AFTER_UP_FRONT
                    ),
                ),
            ),
            Failure(ENOMEM, (Outcome("pages", TARGET, (refuted("failure-changes-no-page", "mremap"),)),)),
            Failure(EINVAL, (Outcome("pages", TARGET, (refuted("failure-changes-no-page", "mremap"),)),)),
        ),
        "MREMAP_FIXED only onto what may be lost, and one mapping a call. EFAULT is like ENOMEM.",
    ),
    FailedCall(
        "mmap",
        (
            Failure(
                EPERM,
                (
                    Outcome("nothing", "no memory; for PROT_EXEC, a key", (KEY_TAKEN,), UP_FRONT),
                    Outcome("nothing", "nothing", (proved("eperm-changes-nothing", "mmap"),), TWO_PASS),
                    Outcome("cuts", CUT, (KEY_TAKEN,), IN_THE_LOOP),
                ),
            ),
            Failure(ENOMEM, _part_way("mmap", "with MAP_FIXED: what was there may be gone")),
            Failure(EINVAL, _part_way("mmap", "MAP_HUGETLB at an odd offset: as ENOMEM; else one cut")),
        ),
        "MAP_FIXED_NOREPLACE where a place is to be free. MAP_FIXED only over what may be lost.",
    ),
)

ERRORS: Final = Recipe(
    "errors",
    "A call failed. What may it have changed, and what do I do then?",
    "no sealed page; what else, and what to do then, call by call",
    "A sealed page is as it was, whatever the call and its errno. Of the rest this may have changed, and nothing else:",
    (),
    (Reason("A sealed page is as it was.", (*STAYS, proved("never-unsealed"))),),
    (
        Example(
            "mprotect",
            "page 0 is plain memory, page 1 is sealed",
            (anonymous(0, 2), seal(1, 1), protect(0, 2)),
            (
                Watch(
                    2, refuses(EPERM, vmas=["0-1 rw-p anon", "1-2 rw-p anon sl"]), "nothing changed", NOT_IN_THE_LOOP
                ),
                Watch(2, refuses(EPERM, vmas=["0-1 r--p anon", "1-2 rw-p anon sl"]), "page 0 changed", IN_THE_LOOP),
            ),
        ),
        Example(
            "madvise",
            "page 0 is plain memory, page 1 is read-only and sealed; both were written to",
            (anonymous(0, 2), write(0), write(1), protect(1, 1), seal(1, 1), advise(0, 2, "MADV_DONTNEED")),
            (
                Watch(5, refuses(EPERM, bytes="0707"), "unchanged", NOT_IN_THE_LOOP),
                Watch(5, refuses(EPERM, bytes="0007"), "page 0 was zeroed", IN_THE_LOOP),
            ),
        ),
        Example(
            "mremap",
            "page 0 is plain memory, page 1 is sealed, page 4 holds something",
            (anonymous(0, 2), seal(1, 1), anonymous(4, 1), write(4), move(0, 2, 1, to=4)),
            (
                Watch(4, refuses(EPERM, bytes="0000....07"), "unchanged", UP_FRONT),
                Watch(4, refuses(EPERM, bytes="0000"), "page 4 is gone", AFTER_UP_FRONT),
            ),
        ),
        Example(
            "mmap",
            "pages 0 and 1 are plain memory, page 2 is sealed",
            (anonymous(0, 3), seal(2, 1), anonymous(1, 2, READ)),
            (
                Watch(
                    2, refuses(EPERM, vmas=["0-2 rw-p anon", "2-3 rw-p anon sl"]), "nothing changed", NOT_IN_THE_LOOP
                ),
                Watch(
                    2,
                    refuses(EPERM, vmas=["0-1 rw-p anon", "1-2 rw-p anon", "2-3 rw-p anon sl"]),
                    "one VMA more",
                    IN_THE_LOOP,
                ),
            ),
        ),
    ),
    failures=FAILED_CALLS,
)

RECIPES: Final = {
    recipe.name: recipe
    for recipe in (
        GOT,
        READ_ONLY_DATA,
        GUARD_PAGES,
        THREAD_STACKS,
        ALLOCATOR_METADATA,
        JIT_CODE,
        FORK_RECIPE,
        UNTRUSTED_CODE,
        ERRORS,
    )
}
"""Every recipe by name."""


def speaks_of(edition: str) -> bool:
    """Recipes are about kernels, and what we propose for them; not about other systems and what was never merged."""
    return EDITIONS[edition].standing in (Standing.KERNEL, Standing.PROPOSAL)


def recipes(reader: Reader | None) -> tuple[Recipe, ...]:
    """Those that matter to a reader; all of them for None."""
    return tuple(recipe for recipe in RECIPES.values() if reader is None or reader in recipe.readers)
