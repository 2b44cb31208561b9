"""The words on a drawing: names of pages, VMAs and calls, and the sentences that say what happens."""

from __future__ import annotations

from dataclasses import dataclass

from reports.graph_doc import Counterexample, LayoutDoc, StepDoc, VmaDoc
from reports.graph_relate import Relation, index_at, layouts, motion, relations
from spec.syscalls.madvise import ADVICE
from spec.words import PAGE_SHIFT, PAGE_SIZE

CODES = {
    "sealed": "sl", "locked": "lo", "growsdown": "gd", "dontfork": "dc", "wipeonfork": "wf", "droppable": "dp",
    "dontdump": "dd", "mergeable": "mg", "random": "rr", "sequential": "sr", "hugepage": "hg", "nohugepage": "nh",
    "account": "ac", "noreserve": "nr", "inherited": "ih",
}
"""Two letters for a flag, as /proc/PID/smaps has them where it has any."""

QUIET = ("sealed", "account")
"""Flags without a code on a block: the seal has a sign of its own, accounting is everywhere."""

MMAP_FLAGS = {
    0x10: "FIXED", 0x20: "ANONYMOUS", 0x100: "GROWSDOWN", 0x2000: "LOCKED", 0x4000: "NORESERVE", 0x8000: "POPULATE",
    0x10_0000: "FIXED_NOREPLACE",
}
MMAP_TYPES = {1: "SHARED", 2: "PRIVATE", 3: "SHARED_VALIDATE", 8: "DROPPABLE"}
MREMAP_FLAGS = {1: "MAYMOVE", 2: "FIXED", 4: "DONTUNMAP"}
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
            moving = motion(step)
            if moving is not None:
                edges += [moving.start, moving.end, moving.start + moving.shift, moving.new_end]
        if doc.culprit.page is not None:
            edges += [doc.culprit.page, doc.culprit.page + 1]
        return cls(min(edges, default=0), max(edges, default=0))

    def page(self, page: int) -> str:
        """`+3`; in hexadecimal when it is far away."""
        distance = page - self.base
        return f"+{distance}" if abs(distance) < 10_000 else f"+{distance:#x}"

    def range(self, start: int, end: int) -> str:
        """`[+0, +3)`."""
        return f"[{self.page(start)}, {self.page(end)})"

    def base_line(self) -> str:
        """What page `+0` is."""
        return f"page +0 is page {self.base:#x}, address {self.base << PAGE_SHIFT:#x}"

    def vma_label(self, vma: VmaDoc) -> str:
        """A VMA in full."""
        parts = [self.range(vma.start, vma.end), protection(vma), backing(vma)]
        parts += ["SEALED"] if "sealed" in vma.flags else []
        return " ".join([*parts, *extras(vma)])

    def call(self, step: StepDoc) -> str:
        """`mseal(+0, 3 pages, flags 0)`."""
        shown = ", ".join(self._argument(step.call, name, word) for name, word in step.words.items())
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
        if name == "prot" and word < 8:
            return protection_bits(word)
        if name == "behavior":
            return next((n for n, value in ADVICE.items() if value == word), f"advice {word}")
        if name == "flags" and call == "mmap":
            return _flags(word & ~0xF, MMAP_FLAGS, [MMAP_TYPES.get(word & 0xF, f"type {word & 0xF}")])
        if name == "flags" and call == "mremap":
            return _flags(word, MREMAP_FLAGS, [])
        return f"{name} {word if word < 10_000 else hex(word)}"

    def layer_title(self, doc: Counterexample, layer: int) -> str:
        """`before`, `after call 1`, …; with one call just `before` and `after`."""
        if not layer:
            return "before"
        return "after" if len(doc.steps) == 1 else f"after call {layer}"

    def effects(self, before: LayoutDoc, step: StepDoc) -> list[str]:
        """What a step did, one clause for each piece that did not stay the same."""
        return [self._effect(r, before) for r in relations(before, step.after, step) if r.words != ("same",)]

    def _effect(self, relation: Relation, before: LayoutDoc) -> str:
        where = self.range(relation.start, relation.end)
        if relation.relation == "moved":
            where += f" to {self.range(relation.at, relation.at + relation.end - relation.start)}"
        kept = relation.source is not None and relation.target is not None
        vma = before.vmas[relation.source] if relation.source is not None else None
        whole = vma is not None and (vma.start, vma.end) == (relation.start, relation.end)
        of = f" of {self.range(vma.start, vma.end)}" if kept and vma is not None and not whole else ""
        return f"{where}{of}: {relation.label}"


def count(number: int, thing: str) -> str:
    """`1 page`, `2 pages`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _flags(word: int, known: dict[int, str], first: list[str]) -> str:
    found = first + [name for bit, name in known.items() if word & bit]
    rest = word & ~sum(known)
    return "|".join(found + ([hex(rest)] if rest else [])) or "flags 0"


def protection_bits(word: int) -> str:
    """`rw-` for PROT_READ|PROT_WRITE."""
    return "".join(letter if word & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))


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


def outcome(step: StepDoc) -> str:
    """What the call returned, as a program sees it."""
    if step.result.errno == "OK":
        return "succeeds"
    return f"fails with {step.result.errno}"


def map_count(layout: LayoutDoc) -> str:
    """How many VMAs there are, and how many there may be."""
    number = layout.elsewhere + len(layout.vmas)
    text = f"map_count {number} of {layout.max_map_count}"
    if number > layout.max_map_count:
        return f"{text}: above the limit"
    return f"{text}: at the limit" if number == layout.max_map_count else text


def stop_page(doc: Counterexample, index: int) -> int | None:
    """The page at which a failed call stopped, worked out from the check that refused; None if no page is to blame."""
    step = doc.steps[index]
    before, check = layouts(doc)[index], step.result.check
    if step.result.errno == "OK" or step.range is None:
        return None
    start, end = step.range
    inside = [vma for vma in before.vmas if vma.start < end and start < vma.end]
    if "old address" in check or "begins with an unmapped page" in check:
        return start
    if "sealed" in check:
        return next((max(start, vma.start) for vma in inside if "sealed" in vma.flags), None)
    if "unmapped" in check or "not mapped" in check:
        reached = start
        for vma in inside:
            if reached < vma.start:
                break
            reached = vma.end
        return reached if reached < end else None
    if "split" in check or "a hole inside one VMA" in check:
        return _cut_without_room(step, start, end)
    if "may not have this protection" in check:
        wanted = protection_bits(step.words.get("prot", 0) & 7)
        lacking = (v for v in inside if any(w not in ("-", m) for w, m in zip(wanted, v.may, strict=False)))
        return next((max(start, vma.start) for vma in lacking), None)
    if "locked" in check:
        return next((max(start, vma.start) for vma in inside if "locked" in vma.flags), None)
    return None


def _cut_without_room(step: StepDoc, start: int, end: int) -> int | None:
    """Where a VMA had to be split and was not: at an end of the range that lies inside a VMA to this day."""
    for cut in (start, end):
        i = index_at(step.after, cut)
        if i is None or step.after.vmas[i].start == cut:
            continue
        if step.call == "mseal" and "sealed" in step.after.vmas[i].flags:
            continue  # sealed before: nothing to change, no split
        return cut
    return None


def narrative(doc: Counterexample) -> list[str]:
    """What happens, in sentences: one for each call, one for what is wrong with that."""
    names, before = Names.of(doc), doc.before
    told = []
    for i, step in enumerate(doc.steps):
        first = names.call(step) if len(doc.steps) == 1 else f"Call {i + 1}, {names.call(step)},"
        stop = stop_page(doc, i)
        where = "" if stop is None else f" at page {names.page(stop)}"
        check = f" ({step.result.check})" if step.result.check else ""
        told.append(f"{first} {outcome(step)}{where}{check}; {_clauses(names.effects(before, step), step)}.")
        before = step.after
    page = "" if doc.culprit.page is None else f" at page {names.page(doc.culprit.page)}"
    why = doc.culprit.why.strip().rstrip(".")
    return [*told, f"This breaks {doc.property}{page}" + (f": {why}." if why else ".")]


def _clauses(effects: list[str], step: StepDoc) -> str:
    failed = step.result.errno != "OK"
    if not effects:
        return "nothing has changed" if failed else "no VMA changes"
    return ("all the same, by then " if failed else "then ") + "; ".join(effects)
