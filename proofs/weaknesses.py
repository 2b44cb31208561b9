# SPDX-License-Identifier: MIT
"""Which kernels have which of the known weaknesses, how that is known, and what it means for a user.

Where a theorem speaks of a weakness, the editions that have it are those in which the theorem is refuted. Elsewhere
they are stated, with what says so. Versions come from the table of kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from proofs.theorems import KNOWN_BROKEN
from spec.editions import EDITIONS, KERNELS, Remap, SealCheck
from spec.kernels import ROWS, Line, Row


@dataclass(frozen=True, slots=True)
class Weakness:
    """One weakness."""

    name: str
    what: str
    means: str
    """What a user has to do, or need not."""
    theorem: tuple[str, str] | None = None
    """The property and the call that are refuted where a kernel has it."""
    stated: tuple[str, ...] = ()
    """The editions that have it where no theorem says so."""
    source: str = ""
    """What says so then."""
    since: Line = (6, 10)
    """The first line that has it, where its edition is older."""

    @property
    def editions(self) -> tuple[str, ...]:
        """The kernel editions that have it, oldest first."""
        if self.theorem is None:
            return self.stated
        prop, call = self.theorem
        broken = {e for b in KNOWN_BROKEN if b.property == prop and call in b.calls for e in b.editions}
        return tuple(name for name in KERNELS if name in broken)

    @property
    def basis(self) -> str:
        """How it is known."""
        return f"`{self.theorem[0]}` of {self.theorem[1]} is refuted" if self.theorem else self.source

    def spans(self) -> Iterator[str]:
        """The versions that have it: each first and last release, and the newest that was run where it has "
        "no end."""
        for affected, rows in groupby(ROWS, key=lambda row: row.edition in self.editions and row.line >= self.since):
            if affected:
                yield _span([*rows])


def _span(rows: list[Row]) -> str:
    first, last = rows[0], rows[-1]
    if last is ROWS[-1]:
        return f"{first.first_version} and later (to {[*last.runs][-1]}, the newest that was run)"
    end = last.last_version or f"the last {last.line[0]}.{last.line[1]}"
    return f"{first.first_version} to {end}"


_UP_FRONT = tuple(name for name in KERNELS if EDITIONS[name].seals is SealCheck.UP_FRONT)
_SEEN = "seen on 6.18.44"
_READ = "the same code is in the sources of the others"

WEAKNESSES: Final = (
    Weakness(
        "CVE-2026-23416",
        "mseal goes on from where a VMA ended before it was merged",
        "Every page of the range is sealed even so, in the model and in all runs. What is left is a "
        "boundary between alike VMAs, which costs one of vm.max_map_count; a kernel built for debugging "
        "warns. Fixed in 6.18.21, 6.19.11 and 7.0; nothing to do in a program",
        ("alike-neighbours-merge", "mseal"),
    ),
    Weakness(
        "W1",
        "madvise refuses advice that discards nothing",
        "On sealed read-only memory MADV_WILLNEED, MADV_RANDOM and others fail with EPERM: ignore the errors of hints",
        ("refused-advice-discards", "madvise"),
    ),
    Weakness(
        "W2",
        "private file pages that were written to may be discarded",
        "madvise(MADV_DONTNEED) brings back the file's bytes: a sealed GOT loses its relocations. Keep what "
        "must not change in anonymous memory, or refuse madvise by seccomp",
        ("private-file-contents-stay", "madvise"),
    ),
    Weakness(
        "W3",
        "mprotect refused part of the way has changed what lies before the sealed VMA",
        "After EPERM nothing is known of the part before the seal: call it for one mapping at a time",
        ("eperm-changes-nothing", "mprotect"),
    ),
    Weakness(
        "W4",
        "mseal that fails may have sealed the beginning of its range",
        "After ENOMEM or EINVAL a part may be sealed for good: do not unmap or reuse the range as if it were not",
        ("failed-mseal-seals-nothing", "mseal"),
    ),
    Weakness(
        "W5",
        "mremap fails, and its destination is gone",
        "With MREMAP_FIXED move onto a reservation of your own, and after an error map it again",
        ("failure-changes-no-page", "mremap"),
    ),
    Weakness(
        "W6",
        "mremap with old size 0 copies a sealed shared mapping",
        "An attacker can take up address space with sealed copies, which stay for good; the original is safe",
        ("never-grown", "mremap"),
    ),
    Weakness(
        "W7",
        "munmap, mmap and others refused with EPERM leave a cut",
        "No page changes, but each refusal may cost one of vm.max_map_count",
        ("eperm-changes-nothing", "munmap"),
    ),
    Weakness(
        "W8",
        "shmdt of a sealed segment returns 0 and unmaps nothing",
        "Do not take its 0 for an unmapping",
        stated=KERNELS,
        source=f"{_SEEN}; {_READ}",
    ),
    Weakness(
        "W9",
        "length zero succeeds on sealed and on unmapped ranges",
        "mseal that returns 0 has sealed nothing if the length was 0: check lengths that are computed",
        stated=KERNELS,
        source="the argument stages, compared in every run",
    ),
    Weakness(
        "W10",
        "mremap to the same size is refused on a sealed VMA",
        "EPERM though nothing was to be done: skip the call where sizes are equal",
        ("eperm-only-with-cause", "mremap"),
    ),
    Weakness(
        "W11",
        "which errno comes first differs between kernels",
        "Do not tell causes apart by errno if several apply",
        stated=KERNELS,
        source="`sealspec diff A B`",
    ),
    Weakness(
        "W12",
        "madvise refused part of the way has discarded what lies before the sealed VMA",
        "After EPERM contents before the seal may be gone: advise one mapping at a time",
        ("eperm-changes-nothing", "madvise"),
    ),
    Weakness(
        "W13",
        "PKRU of one thread protects, that of another does not",
        "A protection key does not keep sealed memory from being discarded by a thread that may write it",
        stated=KERNELS,
        source="the seal test asks for the rights of the calling thread; compared in runs with protection keys",
    ),
    Weakness(
        "W14",
        "a sealed stack VMA grows",
        "Seal stacks only where their growth does no harm",
        stated=KERNELS,
        source=f"{_SEEN}; {_READ}",
    ),
    Weakness(
        "W15",
        "MADV_DONTFORK and MADV_WIPEONFORK act on sealed memory that may be written",
        "A child may lack it, or read zeros: only read-only private anonymous memory is safe from that",
        stated=KERNELS,
        source="no theorem promises it; compared in every run",
    ),
    Weakness(
        "W16",
        "a private mapping of /dev/zero is discarded in spite of the seal; the vdso is kept without need",
        "Use MAP_ANONYMOUS, which every kernel protects",
        stated=tuple(name for name in KERNELS if EDITIONS[name].seal_protects == "no file"),
        source="6.12.117 and 6.16 discard it, 6.17.13 and later do not: the probe `device-contents`",
    ),
    Weakness(
        "W17",
        "a discard acts after another thread has sealed",
        "Only with userfaultfd armed for removal events: stop other threads before you seal memory that it watches",
        stated=KERNELS,
        source="mm/madvise.c drops mmap_lock for the event; not run",
    ),
    Weakness(
        "W18",
        "ENOMEM of mseal does not say whether something was sealed",
        "Look at smaps (VmFlags `sl`), or map and seal the whole range again",
        ("enomem-only-as-documented", "mseal"),
    ),
    Weakness(
        "W19",
        "mlock, hints and mbind split sealed VMAs",
        "Sealing does not keep others from using up vm.max_map_count",
        stated=KERNELS,
        source="compared in every run for mlock and hints; mbind seen on 6.18.44",
    ),
    Weakness(
        "W20",
        "whole ranges are tested for seals, gaps and all",
        "More is refused than need be, and nothing has changed then",
        stated=_UP_FRONT,
        source="`sealspec diff v10 v6.12 mremap`; the patch's checks were run on a 6.12 kernel",
    ),
    Weakness(
        "W21",
        "mmap(MAP_FIXED) fails and leaves a hole",
        "Only where memory runs out in the kernel: after an error take the range as unmapped",
        ("failure-changes-no-page", "mmap"),
    ),
    Weakness(
        "W22",
        "pages marked by MADV_FREE are dropped through a seal",
        "Write to each page after MADV_FREE and before sealing",
        ("anonymous-contents-stay", "reclaim"),
    ),
    Weakness(
        "W23",
        "droppable mappings lose their contents",
        "Do not seal MAP_DROPPABLE memory for the sake of its contents",
        stated=tuple(name for name in KERNELS if EDITIONS[name].droppable),
        source=f"{_SEEN}; MAP_DROPPABLE came with 6.11",
        since=(6, 11),
    ),
    Weakness(
        "W24",
        "mremap of several VMAs fails part of the way near the map-count limit",
        "What was moved stays moved, and one destination is gone: move one VMA at a time, or keep room",
        stated=tuple(name for name in KERNELS if EDITIONS[name].remap is Remap.V6_17),
        source=f"{_SEEN} and 7.1.13",
    ),
    Weakness(
        "W25",
        "fork advice that was given before sealing acts through the seal",
        "Give MADV_KEEPONFORK and MADV_DOFORK before you seal what you did not map yourself",
        ("fork-keeps-contents", "fork"),
    ),
)
"""The CVE, then the weaknesses of docs/EXCLUSIONS.md by number."""
