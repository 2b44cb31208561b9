# SPDX-License-Identifier: MIT
"""The promises of sealing, in a user's words, and whether they hold in an edition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from proofs.theorems import Theorem
from reports.guarantees.basis import Basis, proved

Reader = Literal["loader", "allocator", "jit", "sandbox"]
READERS: Final[tuple[Reader, ...]] = get_args(Reader)
"""For whom promises and recipes are chosen."""
Answer = Literal["yes", "NO", "-"]


@dataclass(frozen=True, slots=True)
class Promise:
    """One sentence, and the theorems that decide it: it holds where all of them are proved."""

    name: str
    sentence: str
    bases: tuple[Basis, ...]
    readers: tuple[Reader, ...] = READERS

    def theorems(self, edition: str) -> list[Theorem]:
        """Every theorem that decides it in this edition."""
        return [theorem for basis in self.bases for theorem in basis.theorems(edition)]

    def answer(self, edition: str) -> Answer:
        """`yes`: all are proved; `NO`: one is refuted; `-`: the edition never does what it speaks of."""
        expected = {theorem.expected for theorem in self.theorems(edition)}
        return "NO" if "refuted" in expected else "yes" if "proved" in expected else "-"

    def reasons(self, edition: str) -> list[str]:
        """Why it does not hold."""
        return list(dict.fromkeys(t.reason for t in self.theorems(edition) if t.expected == "refuted"))


PROMISES: Final = (
    Promise(
        "stays-mapped",
        "A sealed page stays mapped, and stays sealed.",
        (proved("never-unmapped"), proved("never-unsealed")),
    ),
    Promise(
        "keeps-protection",
        "Its protection and its protection key never change.",
        (proved("never-reprotected"),),
    ),
    Promise(
        "keeps-place",
        "It is never moved, replaced or shrunk away.",
        (proved("never-replaced"),),
    ),
    Promise(
        "keeps-contents",
        "Read-only private anonymous memory keeps its bytes (if not MADV_FREE, MAP_DROPPABLE).",
        (proved("settled-contents-stay"),),
    ),
    Promise(
        "keeps-freed-contents",
        "It keeps them even if MADV_FREE marked it before.",
        (proved("anonymous-contents-stay"),),
        ("allocator", "sandbox"),
    ),
    Promise(
        "keeps-file-contents",
        "A private file page keeps what was written to it (a GOT).",
        (proved("private-file-contents-stay"),),
        ("loader", "jit", "sandbox"),
    ),
    Promise(
        "harmless-advice",
        "madvise refuses no advice that discards nothing.",
        (proved("refused-advice-discards"),),
        ("loader", "allocator", "jit"),
    ),
    Promise(
        "no-copies",
        "Sealed memory is not grown, and not copied.",
        (proved("never-grown"),),
        ("allocator", "sandbox"),
    ),
    Promise(
        "child-sealed",
        "A child of fork has it, sealed (if not MADV_DONTFORK).",
        (proved("fork-keeps-seals"),),
        ("loader", "sandbox"),
    ),
    Promise(
        "child-contents",
        "A child reads in read-only pages what its parent does.",
        (proved("fork-keeps-contents"),),
        ("loader", "sandbox"),
    ),
    Promise(
        "seals-its-range",
        "mseal that succeeds has sealed its range, and that only.",
        (proved("success-does-what-it-says", "mseal"),),
    ),
    Promise(
        "seals-no-hole",
        "mseal over a hole fails with ENOMEM and seals nothing.",
        (proved("gap-seals-nothing"),),
    ),
    Promise(
        "seals-all-or-nothing",
        "mseal that fails has sealed nothing.",
        (proved("failed-mseal-seals-nothing"),),
    ),
    Promise(
        "seals-twice",
        "mseal of what is sealed succeeds and changes nothing.",
        (proved("sealing-twice-is-a-no-op"),),
        ("allocator", "loader"),
    ),
    Promise(
        "refused-mprotect",
        "mprotect and madvise change nothing if they give EPERM.",
        (proved("eperm-changes-nothing", "mprotect", "pkey_mprotect", "madvise"),),
    ),
    Promise(
        "failed-munmap",
        "munmap that fails has unmapped nothing.",
        (proved("failure-changes-no-page", "munmap"),),
        ("loader", "allocator", "jit"),
    ),
    Promise(
        "refused-munmap",
        "munmap that gives EPERM costs no VMA (vm.max_map_count).",
        (proved("eperm-changes-nothing", "munmap"),),
        ("allocator", "jit"),
    ),
    Promise(
        "refused-mremap",
        "mremap that gives EPERM has left its target alone.",
        (proved("eperm-changes-nothing", "mremap"),),
        ("allocator", "sandbox"),
    ),
    Promise(
        "failed-mmap",
        "mmap(MAP_FIXED) that fails has left what was there.",
        (proved("failure-changes-no-page", "mmap"),),
        ("loader", "allocator", "jit", "sandbox"),
    ),
)
"""Every promise, those about sealed memory first, then those about calls that fail."""


def promises(reader: Reader | None) -> tuple[Promise, ...]:
    """Those that matter to a reader; all of them for None."""
    return tuple(promise for promise in PROMISES if reader is None or reader in promise.readers)
