# SPDX-License-Identifier: MIT
"""The judgement of a patch as text: for a terminal, and for a mail of 72 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from checker.documents.patches import AdviceReview, CaseDoc, Comparison, PatchReview, SubjectReview, TreeFacts
from checker.text import printable
from reports.review_case import drawn

CHANGES = {
    "none": "nothing changes",
    "changed": "it changes",
    "mended": "it changes, a property is gained and none is lost",
    "worse": "it changes for the worse",
    "new": "",
    "unknown": "",
}


def bounds(c: Comparison) -> str:
    """How far a comparison went."""
    if c.verdict == "not covered":
        return "not covered"
    told = []
    if c.verdict == "sampled":
        told.append(f"sampled: {c.sampled} random cases, the same in all")
    elif c.verdict == "equal":
        if c.any_number:
            told.append("equal, any number of VMAs")
        else:
            told.append(f"equal up to {c.vmas} VMA{'s' if c.vmas != 1 else ''}")
        if c.sampled and not c.any_number:
            told.append(f"{c.sampled} random cases of more besides")
    else:
        told.append("differs")
    return ", ".join(told)


def headline(s: SubjectReview) -> str:
    """One subject in a line."""
    where = f" ({s.file}:{s.line})" if s.file else ""
    verdict = bounds(s.comparison) if s.comparison else s.verdict
    change = CHANGES[s.change]
    return f"{s.name}{where}: {verdict}" + (f"; {change}" if change else "")


def names(editions: Sequence[str]) -> str:
    """Editions by name; `none` for none."""
    return ", ".join(editions) or "none"


def subject_lines(s: SubjectReview, width: int) -> Iterator[str]:
    """All that is said of a subject."""
    yield from wrapped(headline(s), width)
    if s.why and s.verdict != "equal":
        place = f"{s.why_file}:{s.why_line}: " if s.why_file and s.verdict == "not covered" else ""
        yield from wrapped(f"{place}{printable(s.why)}", width, "  ")
    if s.comparison is not None and s.comparison.not_proved:
        yield from wrapped(f"not proved for more: {printable(s.comparison.not_proved)}", width, "  ")
    if s.change == "new":
        yield from wrapped(f"the same as: {names(s.equals)}", width, "  ")
    elif s.verdict != "not covered":
        if s.verdict == "differs":
            yield from wrapped(f"before, the same as: {names(s.equals_before)}", width, "  ")
            yield from wrapped(f"after, the same as: {names(s.equals)}", width, "  ")
        else:
            yield from wrapped(f"before and after the same as: {names(s.equals_before)}", width, "  ")
    for c in s.editions:
        if c.verdict == "differs" and s.change == "new":
            yield from wrapped(f"parts from {names(c.against)}: {c.why}", width, "  ")
    if s.properties_agree is not None:
        refuted = [p.property for p in s.properties if p.after == "refuted"]
        held = sum(p.after == "holds" for p in s.properties)
        agree = "as for the edition" if s.properties_agree else "NOT as for the edition"
        most = max((p.vmas for p in s.properties), default=0)
        yield from wrapped(
            f"properties on the C itself, up to {most} VMAs: {held} hold, refuted: {names(refuted)} ({agree})",
            width,
            "  ",
        )
    for p in s.properties:
        if {p.before, p.after} == {"holds", "refuted"}:
            yield from wrapped(f"{p.property}: {p.before} before, {p.after} after ({p.sentence})", width, "  ")
            if p.case:
                yield from wrapped(p.case, width, "    ")
    case = shown_case(s)
    if case is not None:
        yield ""
        yield from ("  " + line if line else "" for line in drawn(case, width - 2).rstrip("\n").split("\n"))


def shown_case(s: SubjectReview) -> CaseDoc | None:
    """The case that a subject is told with."""
    if s.comparison is not None and s.comparison.case is not None:
        return s.comparison.case
    if s.verdict != "differs":
        return None
    there = [c for c in s.editions if c.case is not None]
    return next((c.case for c in there if s.change == "new" or set(c.against) & set(s.equals_before)), None)


def advice_lines(a: AdviceReview, width: int) -> Iterator[str]:
    """What a test takes for discarding."""
    yield from wrapped(
        f"{a.function}() ({a.file}:{a.line}, {a.side}) takes {len(a.blocked)} kinds of advice for discarding; "
        f"the same test as in: {names(a.equals)}",
        width,
    )
    if a.harmless:
        yield from wrapped(f"{len(a.harmless)} of them discard nothing: {names(a.harmless)}", width, "  ")
    if a.missed:
        yield from wrapped(f"it lets pass, though they discard: {names(a.missed)}", width, "  ")


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Lines of at most `width` columns, those behind the first indented more."""
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent + "    ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def review_lines(r: PatchReview, width: int) -> Iterator[str]:
    """The whole of it."""
    yield from wrapped(f"{', '.join(map(printable, r.patches))}", width)
    yield from wrapped(f"read: {'the patch alone' if not r.tree else r.tree}; #if by {r.configuration}", width, "  ")
    yield ""
    for s in r.subjects:
        yield from subject_lines(s, width)
        yield ""
    for a in r.advice:
        yield from advice_lines(a, width)
    if r.advice:
        yield ""
    yield from function_lines(r, width)
    yield ""
    yield from wrapped(verdict(r), width)


def tree_lines(facts: TreeFacts, width: int) -> Iterator[str]:
    """The facts of a tree."""
    version = f"Linux {facts.version}" if facts.version else "of an unknown version"
    yield from wrapped(f"{printable(facts.tree)}: {version}; #if by {facts.configuration}", width)
    yield ""
    for s in facts.subjects:
        yield from wrapped(headline(s), width)
        if s.verdict in ("equal", "sampled"):
            yield from wrapped(f"the same as: {names(s.equals)}", width, "  ")
        else:
            place = f"{s.why_file}:{s.why_line}: " if s.why_file else ""
            yield from wrapped(f"{place}{printable(s.why)}", width, "  ")
    yield ""
    for a in facts.advice:
        yield from advice_lines(a, width)
        yield from wrapped(names(a.blocked), width, "  ")
    yield ""
    for x in facts.inequalities:
        yield from wrapped(f"{x.file}:{x.line}: {x.function}(): {x.text}", width)
    yield ""
    yield from wrapped(f"{facts.seconds:.1f} s" + ("" if facts.complete else ", interrupted"), width)


def function_lines(r: PatchReview, width: int) -> Iterator[str]:
    """The table of what the patch changes."""
    counts = {status: [f for f in r.functions if f.status == status] for status in ("read", "assumed", "not covered")}
    if counts["read"]:
        told = ", ".join(f"{f.name}()" for f in counts["read"])
        yield from wrapped(f"changed and read: {told}", width)
    for status in ("assumed", "not covered"):
        for f in counts[status]:
            yield from wrapped(f"{status}: {f.name}() ({f.file}:{f.line}, {f.change}): {f.why}", width)
    for x in r.loose:
        yield from wrapped(f"not covered: {x.file}:{x.line}: {x.what}", width)
    for text in r.aside:
        yield from wrapped(f"left aside: {text}", width)
    if r.assumed:
        told = ", ".join(f"{a.name}()" for a in r.assumed)
        yield from wrapped(f"assumed, not read ({len(r.assumed)}, see docs/REVIEW.md): {told}", width)


def verdict(r: PatchReview) -> str:
    """The last line: what it comes to."""
    differ = [s.name for s in r.subjects if s.verdict == "differs" and s.change != "mended"]
    mended = [s.name for s in r.subjects if s.change == "mended"]
    open_ = [s.name for s in r.subjects if s.verdict in ("not covered", "sampled")]
    parts = []
    if differ:
        parts.append(f"differs: {', '.join(differ)}")
    if mended:
        parts.append(f"mended: {', '.join(mended)}")
    if open_:
        parts.append(f"not decided: {', '.join(open_)}")
    if r.uncovered:
        parts.append(f"{r.uncovered} change{'s are' if r.uncovered != 1 else ' is'} not covered")
    if not r.complete:
        parts.insert(0, "interrupted: calls may be missing")
    elif not r.subjects:
        parts.append("it touches no call that is judged")
    if r.fine and r.subjects:
        parts.append("nothing changes for the worse, as far as was explored")
    return f"{'; '.join(parts)} ({r.seconds:.1f} s)"
