"""Theorems: property x call x edition, each with the verdict that is expected and, if it is `broken`, why."""

from __future__ import annotations

import builtins
from dataclasses import dataclass

from spec.editions import EDITIONS, Edition
from spec.properties import PROPERTIES, Property
from spec.syscalls import CALLS


@dataclass(frozen=True, slots=True)
class Broken:
    """A property that a call is known to break, in some editions."""

    property: str
    calls: tuple[str, ...]
    editions: tuple[str, ...]
    reason: str
    mended: str = ""
    """The kernel that mended it; empty if none did."""


UP_FRONT = ("v10", "v6.11")
EVERY = tuple(EDITIONS)
IN_LOOP = tuple(e for e in EVERY if e not in UP_FRONT)

KNOWN_BROKEN: tuple[Broken, ...] = (
    Broken(
        "failed-mseal-seals-nothing",
        ("mseal",),
        EVERY,
        "the split at the end of the range fails after the VMAs before it were sealed (W4)",
    ),
    Broken(
        "einval-only-as-documented",
        ("mseal",),
        EVERY,
        "a special mapping or huge page that refuses to be split gives EINVAL (W4)",
    ),
    Broken(
        "enomem-only-as-documented",
        ("mseal",),
        EVERY,
        "a split that lacks room under the map-count limit gives ENOMEM (W4)",
    ),
    Broken("failure-changes-no-page", ("mseal",), EVERY, "as failed-mseal-seals-nothing"),
    Broken(
        "failure-changes-no-page",
        ("mprotect", "pkey_mprotect"),
        EVERY,
        "the loop changes VMA after VMA, and stops at a gap, a missing permission, a split (W3)",
    ),
    Broken("failure-changes-no-page", ("madvise",), EVERY, "gaps are skipped and reported at the end (W12)"),
    Broken("failure-changes-no-page", ("mlock", "munlock"), EVERY, "the loop marks VMA after VMA and stops at a gap"),
    Broken(
        "failure-changes-no-page",
        ("mmap",),
        EVERY,
        "an allocation that fails after the old mapping was unmapped leaves a hole (W21)",
    ),
    Broken(
        "failure-changes-no-page",
        ("mremap",),
        EVERY,
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
        ("v6.11", "v6.12"),
        "a special mapping such as the vdso has no file, and counts as anonymous memory (W16)",
        "v6.17",
    ),
    Broken(
        "never-discarded",
        ("madvise",),
        tuple(e for e in EVERY if e != "v10"),
        "MADV_PAGEOUT, which is no discarding advice, drops a lazily free page (W22)",
    ),
    Broken(
        "eperm-only-with-cause",
        ("mremap",),
        EVERY,
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
        ("munmap", "mmap", "brk", "mremap"),
        IN_LOOP,
        "the first VMA is cut before the next one is found sealed (W7); mremap may have unmapped its destination (W5)",
    ),
    Broken(
        "private-file-contents-stay",
        ("madvise",),
        EVERY,
        "private file mappings are exempt from the seal test of madvise (W2)",
    ),
    Broken(
        "anonymous-contents-stay",
        ("reclaim",),
        EVERY,
        "a lazily free page is dropped by reclaim, seal or no seal (W22)",
    ),
    Broken(
        "anonymous-contents-stay",
        ("madvise",),
        tuple(e for e in EVERY if e != "v10"),
        "MADV_PAGEOUT reclaims a lazily free page (W22)",
    ),
    Broken(
        "fork-keeps-contents", ("fork",), EVERY, "MADV_WIPEONFORK, set before sealing, wipes the page in a child (W25)"
    ),
    Broken(
        "failure-keeps-map-count",
        ("munmap", "mremap", "brk"),
        EVERY,
        "a refused unmapping keeps the cut that it made at the start of its range",
    ),
    Broken(
        "failure-keeps-map-count",
        ("mmap",),
        IN_LOOP,
        "limits are tested after the range to replace was cut at both ends, and the cuts stay",
    ),
)
"""Every refutation that is expected, with its reason."""


@dataclass(frozen=True, slots=True)
class Theorem:
    """One property of one call in one edition."""

    property: Property
    call: str
    edition: Edition
    broken: Broken | None

    @builtins.property
    def name(self) -> str:
        """For people and for --json."""
        return f"{self.property.name}({self.call})"

    @builtins.property
    def expected(self) -> str:
        """`holds` or `broken`."""
        return "broken" if self.broken else "holds"


def theorems(edition: Edition, properties: list[str] | None = None, calls: list[str] | None = None) -> list[Theorem]:
    """All theorems of an edition, those of one call together; filtered by names if given."""
    chosen = [p for p in PROPERTIES.values() if properties is None or p.name in properties]
    names = sorted({c for p in chosen for c in p.calls}, key=_order)
    return [
        Theorem(p, call, edition, _known(p.name, call, edition.name))
        for call in names
        for p in chosen
        if call in p.calls and (calls is None or call in calls)
    ]


def _order(call: str) -> int:
    return list(CALLS).index(call)


def _known(prop: str, call: str, edition: str) -> Broken | None:
    for broken in KNOWN_BROKEN:
        if broken.property == prop and call in broken.calls and edition in broken.editions:
            return broken
    return None
