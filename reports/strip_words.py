# SPDX-License-Identifier: MIT
"""The words on a drawing: names of pages, VMAs and calls, and the sentences that say what happens."""

from __future__ import annotations

from dataclasses import dataclass

from checker.documents.counterexamples import Counterexample, CounterexampleStep
from checker.documents.layouts import LayoutDoc, VmaDoc
from checker.naming import flag_word, named_from
from reports.graph_relate import Relation, landing, layouts
from spec.syscalls import CALLS
from spec.words import PAGE_SHIFT, PAGE_SIZE

CODES = {
    "sealed": "sl",
    "locked": "lo",
    "growsdown": "gd",
    "dontfork": "dc",
    "wipeonfork": "wf",
    "droppable": "dp",
    "dontdump": "dd",
    "mergeable": "mg",
    "random": "rr",
    "sequential": "sr",
    "hugepage": "hg",
    "nohugepage": "nh",
    "account": "ac",
    "noreserve": "nr",
    "inherited": "ih",
}
"""Two letters for a flag, as /proc/PID/smaps has them where it has any."""

QUIET = ("sealed", "account")
"""Flags without a code on a block: the seal has a sign of its own, accounting is everywhere."""

NEW_PLACE = 2 | 4
"""Flags of mremap that make it look at the new address: MREMAP_FIXED and MREMAP_DONTUNMAP."""
NO_FILE = ("file", "object", "off")
"""Arguments of mmap that are left out when they are 0."""
LENGTHS = ("len", "old_len", "new_len")
ADDRESSES = ("addr", "new_addr")


@dataclass(frozen=True, slots=True)
class Names:
    """Names of pages relative to `base`, the lowest page that is shown; `top` is the end of what is shown."""

    base: int
    top: int

    @classmethod
    def of(cls, doc: Counterexample) -> Names:
        """Names that suit a document."""
        edges = [edge for shown in layouts(doc) for vma in shown.vmas for edge in (vma.start, vma.end)]
        for step in doc.steps:
            edges += step.range or ()
            moving = landing(step)
            if moving is not None:
                edges += [moving.start, moving.end, moving.start + moving.shift, moving.new_end]
        if doc.culprit.page is not None:
            edges += [doc.culprit.page, doc.culprit.page + 1]
        return cls(min(edges, default=0), max(edges, default=0))

    def page(self, page: int) -> str:
        """`+3`; in hexadecimal when it is far away."""
        return named_from(self.base, page)

    def range(self, start: int, end: int) -> str:
        """`[+0,+3)`."""
        return f"[{self.page(start)},{self.page(end)})"

    def base_line(self) -> str:
        """What page `+0` is."""
        return f"page +0 is at address {self.base << PAGE_SHIFT:#x}; [+0,+2) are the pages +0 and +1"

    def vma_label(self, vma: VmaDoc) -> str:
        """A VMA in full."""
        parts = [self.range(vma.start, vma.end), protection(vma), backing(vma)]
        parts += ["SEALED"] if "sealed" in vma.flags else []
        return " ".join([*parts, *extras(vma)])

    def call(self, step: CounterexampleStep) -> str:
        """`mseal(+0, 3 pages, flags 0)`."""
        words = [(name, step.words[name]) for name in CALLS[step.call].words]
        if step.call == "mmap" and not any(word for name, word in words if name in NO_FILE):
            words = [(name, word) for name, word in words if name not in NO_FILE]
        if step.call == "mremap" and not step.words["new_addr"] | step.words["flags"] & NEW_PLACE:
            words = [(name, word) for name, word in words if name != "new_addr"]
        shown = ", ".join(self._argument(step.call, name, word) for name, word in words)
        return f"{step.call}({shown})"

    def _argument(self, call: str, name: str, word: int) -> str:
        if name in ADDRESSES:
            page = word >> PAGE_SHIFT
            near = word % PAGE_SIZE == 0 and self.base <= page <= self.top
            return ("to " if name == "new_addr" else "") + (self.page(page) if near else f"{word:#x}")
        if name in LENGTHS:
            whole = word % PAGE_SIZE == 0 and word < 1 << 47
            size = count(word >> PAGE_SHIFT, "page") if whole else f"{word:#x} bytes"
            return f"{name} {size}" if name != "len" else size
        flags = flag_word(call, name, word)
        if flags is not None:
            return flags
        return f"{name} {word if word < 10_000 else hex(word)}"

    def layer_title(self, doc: Counterexample, layer: int) -> str:
        """`before`, `after call 1`, …; with one call just `before` and `after`."""
        if not layer:
            return "before"
        return "after" if len(doc.steps) == 1 else f"after call {layer}"

    def label(self, relation: Relation, most: int = 99) -> str:
        """What a drawing writes on the piece of a VMA: at most so many changes."""
        parts, pages = relation.label.split(", "), relation.rewritten
        if pages:
            parts[-1] = f"contents of {self.page(pages[0]) if len(pages) == 1 else f'{len(pages)} pages'}"
        rest = [] if len(parts) <= most else [f"and {len(parts) - most} more"]
        return ", ".join([*parts[:most], *rest])


def count(number: int, thing: str) -> str:
    """`1 page`, `2 pages`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def protection(vma: VmaDoc) -> str:
    """As in /proc/PID/maps: `rw-p`, `rw-s`."""
    return vma.prot + ("p" if vma.share == "private" else "s")


def backing(vma: VmaDoc, *, brief: bool = False) -> str:
    """`anon`, `file 1 at 3`: what backs the VMA; without the offset if brief."""
    if not vma.object:
        return vma.backing
    return f"{vma.backing} {vma.object}" + ("" if brief else f" at {vma.offset}")


def extras(vma: VmaDoc) -> list[str]:
    """The rarer attributes of a VMA, in short."""
    found = [CODES.get(flag, flag) for flag in vma.flags if flag not in QUIET]
    found += [f"key{vma.pkey}"] if vma.pkey else []
    found += [f"may:{vma.may}"] if vma.may != "rwx" else []
    return found + (["ro-fd"] if vma.share == "shared-readonly" else [])


def map_count(layout: LayoutDoc) -> str:
    """How many VMAs there are, and how many there may be."""
    number = layout.elsewhere + len(layout.vmas)
    text = f"map_count {number} of {layout.max_map_count}"
    if number > layout.max_map_count:
        return f"{text}: above the limit"
    return f"{text}: at the limit" if number == layout.max_map_count else text
