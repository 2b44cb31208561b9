"""The drawings of counterexamples: the graph, DOT, SVG and plain text."""

from __future__ import annotations

from typing import Any

from checker.documents import Counterexample, LayoutDoc
from checker.machine import perform
from spec.editions import EDITIONS

BASE = 0x10000
BYTES = 4096


def page(number: int) -> int:
    """Byte address of a page of the samples."""
    return (BASE + number) * BYTES


def vma(start: int, end: int, **attributes: Any) -> dict[str, Any]:
    """One VMA, its pages relative to BASE."""
    return {"start": BASE + start, "end": BASE + end, **attributes}


def counterexample(
    name: str,
    why: str,
    culprit: int | None,
    before: dict[str, Any],
    *calls: tuple[str, dict[str, int], tuple[int, int] | None],
    edition: str = "v10",
) -> Counterexample:
    """A counterexample whose calls the concrete reading executes; ranges and the culprit are relative to BASE."""
    layout = LayoutDoc.model_validate(before)
    state = layout.to_state()
    steps = []
    for call, words, reach in calls:
        result = perform(state, EDITIONS[edition], call, words)
        steps.append(
            {
                "call": call,
                "words": words,
                "range": None if reach is None else tuple(BASE + edge for edge in reach),
                "result": {"value": result.value, "errno": result.errno.name, "check": result.check},
                "after": LayoutDoc.from_state(state),
            }
        )
    return Counterexample.model_validate(
        {
            "property": name,
            "sentence": f"A sentence that says what {name} means, for a reader who sees it for the first time.",
            "edition": edition,
            "call": calls[-1][0],
            "expected": "broken",
            "before": layout,
            "steps": steps,
            "culprit": {"page": None if culprit is None else BASE + culprit, "why": why},
            "size": {"vmas": len(layout.vmas), "pages": 8, "calls": len(calls)},
        }
    )


def partial_seal() -> Counterexample:
    """mseal over a VMA and half of the next, at the limit: ENOMEM, and the first VMA is sealed all the same."""
    before = {"vmas": [vma(0, 2), vma(2, 4, prot="r--")], "max_map_count": 2}
    call = ("mseal", {"addr": page(0), "len": 3 * BYTES, "flags": 0}, (0, 3))
    return counterexample("mseal-is-atomic", "The page is sealed although mseal failed.", 0, before, call)


def file_discard() -> Counterexample:
    """MADV_DONTNEED on a sealed private file mapping: the page's own copy is lost."""
    before = {
        "vmas": [vma(0, 4, prot="r--", backing="file", object=1, offset=8, anon_vma=1, flags=["sealed"])],
        "pages": [{"page": BASE + 1, "own": 7}],
        "objects": [{"object": 1, "pages": 64, "contents": [{"offset": 9, "value": 3}, {"offset": 10, "value": 4}]}],
    }
    call = ("madvise", {"addr": page(1), "len": BYTES, "behavior": 4}, (1, 2))
    return counterexample("contents-stay", "A program reads 3 where it read 7.", 1, before, call)


def move() -> Counterexample:
    """mremap moves two pages of a VMA far away."""
    before = {"vmas": [vma(0, 6, anon_vma=1), vma(6, 9, flags=["sealed"])], "pages": [{"page": BASE + 3, "own": 5}]}
    words = {"addr": page(2), "old_len": 2 * BYTES, "new_len": 3 * BYTES, "flags": 3, "new_addr": page(5000)}
    return counterexample("nothing-moves", "The page went elsewhere.", 3, before, ("mremap", words, (2, 4)))


def hole() -> Counterexample:
    """munmap in the middle of a VMA."""
    before = {
        "vmas": [
            vma(0, 200, flags=["locked", "wipeonfork"]),
            vma(203, 204, backing="devzero", object=3, flags=["sealed", "dontfork", "dontdump"], pkey=3, may="rw-"),
            vma(204, 205, backing="hugetlb", object=4, share="shared", prot="---"),
        ][:2]
    }
    call = ("munmap", {"addr": page(50), "len": 20 * BYTES}, (50, 70))
    return counterexample("munmap-keeps-neighbours", "It is no longer mapped.", 51, before, call)


def trace() -> Counterexample:
    """Six calls from an empty address space."""
    ro, rw, fixed = 1, 3, 0x32

    def mmap(start: int, pages: int, prot: int) -> tuple[str, dict[str, int], tuple[int, int]]:
        words = {
            "addr": page(start),
            "len": pages * BYTES,
            "prot": prot,
            "flags": fixed,
            "file": 0,
            "object": 0,
            "off": 0,
        }
        return ("mmap", words, (start, start + pages))

    return counterexample(
        "sealed-stays-unwritten",
        "A sealed, read-only page lost its contents.",
        2,
        {"elsewhere": 20, "objects": [{"object": 9, "pages": 1}]},
        mmap(0, 4, rw),
        ("write", {"addr": page(2), "byte": 65}, (2, 3)),
        ("mprotect", {"addr": page(1), "len": 2 * BYTES, "prot": ro}, (1, 3)),
        ("mseal", {"addr": page(1), "len": 2 * BYTES, "flags": 0}, (1, 3)),
        mmap(3, 3, rw),
        ("munmap", {"addr": page(0), "len": 6 * BYTES}, (0, 6)),
    )


def protect_half() -> Counterexample:
    """mprotect of 6.12 meets a seal on its way; what came before keeps the new protection, and merges."""
    before = {
        "vmas": [vma(0, 1, prot="r--", anon_vma=1), vma(1, 3, anon_vma=1), vma(3, 5, flags=["sealed"]), vma(5, 6)],
        "pages": [{"page": BASE + 1, "own": 6, "lazy": True}],
    }
    call = ("mprotect", {"addr": page(1), "len": 5 * BYTES, "prot": 1}, (1, 6))
    why = "Its protection changed although mprotect failed."
    return counterexample("mprotect-is-atomic", why, 2, before, call, edition="v6.12")


def onto_mapping() -> Counterexample:
    """mremap onto a place that is mapped, with MREMAP_DONTUNMAP: the source stays, the destination is replaced."""
    before = {"vmas": [vma(0, 3, anon_vma=1), vma(6, 12, prot="r-x")], "pages": [{"page": BASE + 1, "own": 5}]}
    words = {"addr": page(1), "old_len": 2 * BYTES, "new_len": 2 * BYTES, "flags": 7, "new_addr": page(8)}
    return counterexample("nothing-is-replaced", "It holds another page.", 8, before, ("mremap", words, (1, 3)))


def crowd() -> Counterexample:
    """Many small VMAs with all that a VMA can have, and a huge one; the range covers it all."""
    kinds: list[dict[str, Any]] = [
        {"prot": "r-x", "flags": ["sealed"], "backing": "special"},
        {"flags": ["locked", "growsdown", "dontfork", "dontdump"]},
        {"backing": "file", "object": 123, "share": "shared-readonly", "prot": "r--"},
        {"backing": "devzero", "object": 7, "pkey": 5, "flags": ["sealed", "dontfork"]},
        {"flags": ["droppable", "noreserve"]},
        {"backing": "file", "object": 1, "share": "shared", "flags": ["sealed"]},
    ]
    before = {"vmas": [vma(2 * i, 2 * i + 1 + i % 2, **kinds[i % 6]) for i in range(14)]}
    before["vmas"].append(vma(512, 1 << 20, backing="hugetlb", object=4))
    call = ("munmap", {"addr": page(0), "len": 1024 * BYTES}, (0, 1024))
    return counterexample("a-crowd", "The names are long. " * 12, 20, before, call)


SAMPLES = (partial_seal, file_discard, move, hole, trace, protect_half, onto_mapping, crowd)
