# SPDX-License-Identifier: MIT
"""What happens in a counterexample, in sentences, and where a call that failed stopped."""

from __future__ import annotations

from functools import lru_cache

from checker.documents.counterexamples import Counterexample, CounterexampleStep
from checker.documents.layouts import LayoutDoc
from checker.naming import rights
from reports.graph_relate import Relation, Same, held, index_at, layouts, relations
from reports.strip_words import Names


def narrative(doc: Counterexample) -> list[str]:
    """What happens, in sentences: one for each call, one for what is wrong with that."""
    return list(_narrative(Same(doc)))


@lru_cache(maxsize=64)
def _narrative(same: Same[Counterexample]) -> list[str]:
    doc = same.it
    names, before = Names.of(doc), doc.before
    told = []
    for i, step in enumerate(doc.steps):
        first = names.call(step) if len(doc.steps) == 1 else f"Call {i + 1}, {names.call(step)},"
        stop = stop_page(doc, i)
        where = "" if stop is None else f" at page {names.page(stop)}"
        check = f" ({step.result.check})" if step.result.check else ""
        done = "; ".join(effects(names, before, step))
        if step.result.errno == "OK":
            told.append(f"{first} succeeds{check}: {done or 'no VMA and no page changes'}.")
        else:
            even_so = f"Even so, {done}." if done else "Nothing has changed."
            told.append(f"{first} fails with {step.result.errno}{where}{check}. {even_so}")
        before = step.after
    page = "" if doc.culprit.page is None else f" at page {names.page(doc.culprit.page)}"
    why = doc.culprit.why.strip().rstrip(".")
    return [*told, f"This breaks {doc.property}{page}" + (f": {why}." if why else ".")]


def effects(names: Names, before: LayoutDoc, step: CounterexampleStep) -> list[str]:
    """What a step did to VMAs and pages, in clauses; empty if nothing changed."""
    found = relations(before, step.after, step)
    clauses = []
    for i, vma in enumerate(before.vmas):
        kept = [r for r in found if r.source == i and r.at == r.start and r.relation in ("split", "merge", "changed")]
        if sum("split" in r.words for r in kept) > 1:
            parts = listed([names.range(r.start, r.end) for r in kept])
            clauses.append(f"VMA {names.range(vma.start, vma.end)} is split into {parts}")
    for relation in found:
        clauses += _effect(names, relation, before, step.after)
    for i, vma in enumerate(step.after.vmas):
        olds = sorted({r.source for r in found if r.target == i and r.source is not None and "merge" in r.words})
        old = [names.range(before.vmas[j].start, before.vmas[j].end) for j in olds]
        if len(old) > 1:
            clauses.append(f"pieces of {listed(old)} merge into VMA {names.range(vma.start, vma.end)}")
        elif old:
            clauses.append(f"VMA {old[0]} grows to {names.range(vma.start, vma.end)}")
    return clauses


def _effect(names: Names, relation: Relation, before: LayoutDoc, after: LayoutDoc) -> list[str]:
    length = relation.end - relation.start
    where, there = (names.range(at, at + length) for at in (relation.start, relation.at))
    how = {
        "moved": f"{where} moves to {there}",
        "unmapped": f"{where} is unmapped",
        "mapped": f"{where} is newly mapped",
        "replaced": f"what was mapped in {where} is replaced",
    }
    clauses = [how[relation.relation]] if relation.relation in how else []
    changes = [
        part
        for part in relation.label.split(", ")
        if part.startswith(("now ", "no longer ", "given ", "without ", "at "))
    ]
    if changes:
        clauses.append(f"{where} is {', '.join(changes)}")
    for page in relation.rewritten[:3]:
        assert relation.source is not None and relation.target is not None
        now = held(after, after.vmas[relation.target]).get(page + relation.at - relation.start, "zeros")
        was = held(before, before.vmas[relation.source]).get(page, "zeros")
        clauses.append(f"page {names.page(page)} holds {now}, where it held {was}")
    if len(relation.rewritten) > 3:
        clauses.append(f"so do {len(relation.rewritten) - 3} more pages")
    return clauses


def listed(parts: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def outcome(step: CounterexampleStep) -> str:
    """What the call returned, as a program sees it."""
    return "succeeds" if step.result.errno == "OK" else f"fails with {step.result.errno}"


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
        wanted = rights(step.words.get("prot", 0) & 7)
        lacking = (v for v in inside if any(w not in ("-", m) for w, m in zip(wanted, v.may, strict=False)))
        return next((max(start, vma.start) for vma in lacking), None)
    if "locked" in check:
        return next((max(start, vma.start) for vma in inside if "locked" in vma.flags), None)
    return None


def _cut_without_room(step: CounterexampleStep, start: int, end: int) -> int | None:
    """Where a VMA had to be split and was not: at an end of the range that lies inside a VMA to this day."""
    for cut in (start, end):
        i = index_at(step.after, cut)
        if i is None or step.after.vmas[i].start == cut:
            continue
        if step.call == "mseal" and "sealed" in step.after.vmas[i].flags:
            continue  # sealed before: nothing to change, no split
        return cut
    return None
