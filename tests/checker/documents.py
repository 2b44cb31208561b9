# SPDX-License-Identifier: MIT
"""True counterexamples that tests of readers begin with."""

from __future__ import annotations

from checker.documents.counterexamples import Counterexample
from tests.lab.counterexamples import AT, counterexample, layout, on, vma


def partial_seal(edition: str) -> Counterexample:
    """mseal that fails for want of a free map, with the first VMA sealed."""
    before = layout(vma(0, 1, "r--"), vma(1, 3), free=0)
    words = on(0, 2, flags=0)
    return counterexample(before, ("mseal", words), edition=edition, property="failed-mseal-seals-nothing", page=0)


def plain_trace(edition: str) -> Counterexample:
    """A lazily free page that reclaim drops, from an empty address space."""
    calls = [
        ("mmap", on(0, 1, prot=3, flags=0x32, file=0, object=0, off=0)),
        ("write", {"addr": AT, "byte": 5}),
        ("madvise", on(0, 1, behavior=8)),
        ("mprotect", on(0, 1, prot=1)),
        ("mseal", on(0, 1, flags=0)),
        ("reclaim", {"addr": AT}),
    ]
    return counterexample(layout(), *calls, edition=edition, property="anonymous-contents-stay", page=0)


def kept_cut(edition: str) -> Counterexample:
    """A refused munmap leaves the cut at the start of its range: a property of the call as a whole."""
    before = layout(vma(0, 2), vma(2, 3, flags=["sealed"]))
    return counterexample(before, ("munmap", on(1, 2)), edition=edition, property="eperm-changes-nothing", page=1)
