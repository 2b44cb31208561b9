# SPDX-License-Identifier: MIT
"""Theorems: property x call x edition, each with the verdict that is expected and, if it is `broken`, why."""

from __future__ import annotations

import builtins
from dataclasses import dataclass

from proofs.results import Expected
from spec.editions import EDITIONS, Cursor, Edition, SealCheck, System
from spec.properties import Property, promised
from spec.syscalls import CALLS


@dataclass(frozen=True, slots=True)
class Broken:
    """A property that a call is known to break, or to say nothing of, in some editions."""

    property: str
    calls: tuple[str, ...]
    editions: tuple[str, ...]
    reason: str
    mended: str = ""
    """The kernel that mended it; empty if none did."""


UP_FRONT = tuple(name for name, e in EDITIONS.items() if e.seals is SealCheck.UP_FRONT)
IN_LOOP = tuple(name for name, e in EDITIONS.items() if e.seals is SealCheck.IN_THE_LOOP)
TWO_PASS = tuple(name for name, e in EDITIONS.items() if e.seals is SealCheck.TWO_PASS)
HALF_WAY = (*UP_FRONT, *IN_LOOP)
"""Editions in which a call may fail half-way."""
LINUX = tuple(name for name, e in EDITIONS.items() if e.system is System.LINUX)
VARIANT = "munmap-variant"
OPENBSD = ("mimmutable",)

KNOWN_BROKEN: tuple[Broken, ...] = (
    Broken(
        "failed-mseal-seals-nothing",
        ("mseal",),
        HALF_WAY,
        "the split at the end of the range fails after the VMAs before it were sealed (W4)",
    ),
    Broken(
        "einval-only-as-documented",
        ("mseal",),
        LINUX,
        "a special mapping or huge page that refuses to be split gives EINVAL (W4)",
    ),
    Broken(
        "enomem-only-as-documented",
        ("mseal",),
        LINUX,
        "a split that lacks room under the map-count limit gives ENOMEM (W4)",
    ),
    Broken("failure-changes-no-page", ("mseal",), HALF_WAY, "as failed-mseal-seals-nothing"),
    Broken(
        "failure-changes-no-page",
        ("mprotect", "pkey_mprotect"),
        HALF_WAY,
        "the loop changes VMA after VMA, and stops at a gap, a missing permission, a split (W3)",
    ),
    Broken("failure-changes-no-page", ("madvise",), HALF_WAY, "gaps are skipped and reported at the end (W12)"),
    Broken(
        "failure-changes-no-page", ("mlock", "munlock"), HALF_WAY, "the loop marks VMA after VMA and stops at a gap"
    ),
    Broken(
        "failure-changes-no-page",
        ("mmap",),
        HALF_WAY,
        "an allocation that fails after the old mapping was unmapped leaves a hole (W21)",
    ),
    Broken(
        "failure-changes-no-page",
        ("mremap",),
        LINUX,
        "the destination is unmapped before the source is found wanting (W5)",
    ),
    Broken(
        "never-grown",
        ("mremap",),
        UP_FRONT,
        "old size 0 duplicates a sealed shared mapping, and the copy is sealed (W6)",
        "v6.12",
    ),
    Broken(
        "eperm-only-with-cause",
        ("madvise",),
        ("v10",),
        "the advice is tested as a bit mask, so that harmless advice is blocked (W1)",
        "v6.11",
    ),
    Broken(
        "eperm-only-with-cause",
        ("madvise",),
        tuple(name for name in LINUX if EDITIONS[name].seal_protects == "no file" and name != "v10"),
        "a special mapping such as the vdso has no file, and counts as anonymous memory (W16)",
        "v6.17",
    ),
    Broken(
        "never-discarded",
        ("madvise",),
        tuple(e for e in LINUX if e != "v10"),
        "MADV_PAGEOUT, which is no discarding advice, drops a lazily free page (W22)",
    ),
    Broken(
        "eperm-only-with-cause",
        ("mremap",),
        LINUX,
        "mremap to the same size does nothing, and is refused on a sealed VMA (W10)",
    ),
    Broken(
        "eperm-changes-nothing",
        ("mprotect", "pkey_mprotect", "madvise"),
        IN_LOOP,
        "each VMA is tested when the loop reaches it: the VMAs before a sealed one are changed (W3, W12)",
    ),
    Broken(
        "eperm-changes-nothing",
        ("munmap", "mmap", "brk"),
        tuple(name for name in IN_LOOP if name != VARIANT),
        "the first VMA is cut before the next one is found sealed (W7)",
    ),
    Broken(
        "eperm-changes-nothing",
        ("mmap",),
        (*UP_FRONT, VARIANT),
        "mmap(PROT_EXEC) takes the process's key for execute-only memory before it looks at what MAP_FIXED replaces",
    ),
    Broken(
        "eperm-changes-nothing",
        ("mremap",),
        tuple(name for name in LINUX if name not in UP_FRONT),
        "VMAs are cut, and the destination unmapped, before a VMA is found sealed (W5, W7)",
    ),
    Broken(
        "private-file-contents-stay",
        ("madvise",),
        LINUX,
        "private file mappings are exempt from the seal test of madvise (W2)",
    ),
    Broken(
        "anonymous-contents-stay",
        ("reclaim",),
        LINUX,
        "a lazily free page is dropped by reclaim, seal or no seal (W22)",
    ),
    Broken(
        "anonymous-contents-stay",
        ("madvise",),
        tuple(e for e in LINUX if e != "v10"),
        "MADV_PAGEOUT reclaims a lazily free page (W22)",
    ),
    Broken(
        "fork-keeps-contents", ("fork",), LINUX, "MADV_WIPEONFORK, set before sealing, wipes the page in a child (W25)"
    ),
    Broken(
        "failure-keeps-map-count",
        ("munmap", "brk"),
        HALF_WAY,
        "a refused unmapping keeps the cut that it made at the start of its range",
    ),
    Broken(
        "failure-keeps-map-count",
        ("mremap",),
        tuple(name for name in HALF_WAY if not EDITIONS[name].early_room),
        "a refused unmapping keeps the cut that it made at the start of its range",
        "v7.1",
    ),
    Broken(
        "failure-keeps-map-count",
        ("mmap",),
        IN_LOOP,
        "limits are tested after the range to replace was cut at both ends, and the cuts stay",
    ),
    Broken(
        "refused-advice-discards",
        ("madvise",),
        ("v10",),
        "the advice is tested as a bit mask, so that harmless advice is blocked (W1)",
        "v6.11",
    ),
    Broken(
        "move-keeps-locks",
        ("mremap",),
        tuple(name for name in LINUX if not EDITIONS[name].splits_locked_source),
        "MREMAP_DONTUNMAP of a part of a locked VMA unlocks all of the VMA",
        "v7.3",
    ),
    Broken(
        "move-keeps-charges",
        ("mremap",),
        tuple(name for name in LINUX if EDITIONS[name].uncharges_kept_source),
        "MREMAP_DONTUNMAP takes the charge from all of the VMA that it leaves behind",
        "v6.17",
    ),
    Broken(
        "alike-neighbours-merge",
        ("mseal",),
        tuple(name for name, e in EDITIONS.items() if e.cursor is Cursor.STALE),
        "the cursor of mseal's loop is where a VMA ended before it was merged (CVE-2026-23416)",
        "v6.18",
    ),
    Broken(
        "failure-changes-nothing",
        ("mseal", "munmap", "mmap", "mprotect", "pkey_mprotect", "madvise", "brk", "mlock", "munlock"),
        HALF_WAY,
        "the call fails partially: VMAs were changed, or split, before it was refused (W3, W4, W7, W12)",
    ),
    Broken(
        "failure-changes-nothing",
        ("mremap",),
        LINUX,
        "the destination is unmapped, or VMAs are cut, before it fails (W5)",
    ),
    Broken(
        "never-unmapped",
        ("munmap", "mmap", "brk", "mremap"),
        (VARIANT,),
        "the loop tests the first VMA again: a sealed one behind it is unmapped",
        "v6.12",
    ),
    Broken("never-replaced", ("munmap", "mmap", "brk", "mremap"), (VARIANT,), "as never-unmapped", "v6.12"),
    Broken("never-reprotected", ("mmap", "mremap"), (VARIANT,), "as never-unmapped: another takes its place", "v6.12"),
    Broken("never-unsealed", ("munmap", "mmap", "mremap", "brk"), (VARIANT,), "as never-unmapped", "v6.12"),
    Broken("anonymous-contents-stay", ("munmap", "mmap", "brk", "mremap"), (VARIANT,), "as never-unmapped", "v6.12"),
    Broken("settled-contents-stay", ("munmap", "mmap", "brk", "mremap"), (VARIANT,), "as never-unmapped", "v6.12"),
    Broken(
        "success-does-what-it-says",
        ("mseal", "mprotect", "madvise"),
        OPENBSD,
        "holes in the range are skipped without an error; advice need not be taken",
    ),
    Broken("gap-seals-nothing", ("mseal",), OPENBSD, "holes in the range are skipped without an error"),
    Broken("enomem-as-documented", ("mseal",), OPENBSD, "holes in the range are skipped without an error"),
    Broken("einval-only-as-documented", ("mseal",), OPENBSD, "a special mapping refuses to be split"),
    Broken(
        "refused-advice-discards",
        ("madvise",),
        OPENBSD,
        "the marks of minherit(2) cannot be taken back either once memory is immutable",
    ),
    Broken(
        "eperm-only-with-cause",
        ("madvise",),
        OPENBSD,
        "all immutable memory is protected from being discarded, not only what is read-only and anonymous",
    ),
    Broken(
        "map-count-stays-in-bounds",
        ("mseal", "munmap", "mprotect", "madvise", "mmap"),
        OPENBSD,
        "OpenBSD does not limit the number of mappings",
    ),
    Broken("fork-keeps-contents", ("fork",), OPENBSD, "what was marked MAP_INHERIT_ZERO before is zero in a child"),
)
"""Every refutation that is expected, with its reason."""

KNOWN_VACUOUS: tuple[Broken, ...] = (
    Broken("partial-seal-is-a-prefix", ("mseal",), TWO_PASS, "a failed mseal seals nothing"),
    Broken("partial-seal-stops-at-an-end", ("mseal",), TWO_PASS, "a failed mseal seals nothing"),
)
"""Properties that speak of what does not happen in some editions, with the reason."""


@dataclass(frozen=True, slots=True)
class Theorem:
    """One property of one call in one edition."""

    property: Property
    call: str
    edition: Edition
    broken: Broken | None
    vacuous: Broken | None = None

    @builtins.property
    def name(self) -> str:
        """For people and for --json."""
        return f"{self.property.name}({self.call})"

    @builtins.property
    def expected(self) -> Expected:
        """`holds`, `broken`, or `vacuous`: it speaks of what this edition never does."""
        return "refuted" if self.broken else "vacuous" if self.vacuous else "proved"

    @builtins.property
    def reason(self) -> str:
        """Why it is expected to be broken or vacuous."""
        known = self.broken or self.vacuous
        return known.reason if known else ""


def theorems(edition: Edition, properties: list[str] | None = None, calls: list[str] | None = None) -> list[Theorem]:
    """All theorems of an edition, those of one call together; filtered by names if given."""
    chosen = [p for p in promised(edition) if properties is None or p.name in properties]
    names = sorted({c for p in chosen for c in p.calls}, key=_order)
    return [
        Theorem(
            p,
            call,
            edition,
            _known(KNOWN_BROKEN, p.name, call, edition.name),
            _known(KNOWN_VACUOUS, p.name, call, edition.name),
        )
        for call in names
        for p in chosen
        if call in p.calls and edition.has(call) and (calls is None or call in calls)
    ]


def expected_of(property: str, call: str, edition: str) -> str:
    """The verdict that is expected of a theorem by the names of its parts; empty if there is no such theorem."""
    found = theorems(EDITIONS[edition], [property], [call])
    return found[0].expected if found else ""


def _order(call: str) -> int:
    return list(CALLS).index(call)


def _known(among: tuple[Broken, ...], prop: str, call: str, edition: str) -> Broken | None:
    for broken in among:
        if broken.property == prop and call in broken.calls and edition in broken.editions:
            return broken
    return None
