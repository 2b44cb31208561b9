# SPDX-License-Identifier: MIT
"""The judgement of a patch as text: for a terminal, and for a mail of 72 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from checker.documents.patches import (
    AdviceReview,
    CaseDoc,
    Comparison,
    FunctionReview,
    LooseReview,
    PatchReview,
    SeriesPatch,
    SubjectReview,
    TreeFacts,
)
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


def subject_lines(s: SubjectReview, width: int, *, draw: bool = True) -> Iterator[str]:
    """All that is said of a subject; `draw`: with its case."""
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
    if draw and case is not None:
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
    yield from series_lines(r, width)
    for s in r.subjects:
        yield from subject_lines(s, width)
        yield ""
    for a in r.advice:
        yield from advice_lines(a, width)
    if r.advice:
        yield ""
    yield from function_lines(r, width)
    yield ""
    yield from between_lines(r, width)
    yield from wrapped(verdict(r), width)


def series_lines(r: PatchReview, width: int) -> Iterator[str]:
    """Each patch of a series in a few lines; nothing for a series of one."""
    if len(r.series) < 2:
        return
    if all(p.review is None and p.why == r.series[0].why for p in r.series):
        yield from wrapped(f"{len(r.series)} patches: {r.series[0].why}", width)
        yield ""
        return
    for p in r.series:
        yield from wrapped(f"{p.label}: {printable(p.subject or p.name)}", width)
        if p.review is None:
            yield from wrapped(f"not judged: {p.why}", width, "  ")
        else:
            yield from (f"  {line}" if line else "" for line in _patch_lines(r, p, p.review, width - 2))
    yield ""
    yield from wrapped(f"all {len(r.series)} patches together:", width)
    yield ""


def _patch_lines(r: PatchReview, p: SeriesPatch, own: PatchReview, width: int) -> Iterator[str]:
    """What is said of one patch: a case is drawn here if it is not below, with all patches together."""
    drawn_below = {s.name for s in r.subjects if shown_case(s) is not None}
    for s in own.subjects:
        yield from subject_lines(s, width, draw=s.name not in drawn_below)
    if not own.complete:
        yield "interrupted: calls may be missing"
    elif not own.subjects:
        yield "it touches no call that is judged"
    yield from uncovered_lines(p.uncovered(r.read), own.loose, width)


def between_lines(r: PatchReview, width: int) -> Iterator[str]:
    """What is so with a patch of the series, and not with all of them."""
    in_the_end = {s.name for s in r.subjects if not s.is_fine}
    for p in r.open_patches:
        subjects = p.review.subjects if p.review is not None else ()
        told = [
            f"{s.name}: {s.verdict}{', for the worse' if s.change == 'worse' else ''}"
            for s in subjects
            if not s.is_fine and s.name not in in_the_end
        ]
        if not told and r.whole_is_fine:
            told = ["a change is not covered"]
        if told:
            met = "" if p is r.series[-1] else " (bisecting may meet it)"
            yield from wrapped(f"{p.label}, not all patches together: {'; '.join(told)}{met}", width)


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
    yield from uncovered_lines([*counts["assumed"], *counts["not covered"]], r.loose, width)
    for text in r.aside:
        yield from wrapped(f"left aside: {printable(text)}", width)
    if r.assumed:
        told = ", ".join(f"{a.name}()" for a in r.assumed)
        yield from wrapped(f"assumed, not read ({len(r.assumed)}, see docs/REVIEW.md): {told}", width)


def uncovered_lines(functions: Iterable[FunctionReview], loose: Iterable[LooseReview], width: int) -> Iterator[str]:
    """What a patch changes and was not read."""
    for f in functions:
        yield from wrapped(f"{f.status}: {f.name}() ({f.file}:{f.line}, {f.change}): {f.why}", width)
    for x in loose:
        yield from wrapped(f"not covered: {x.file}:{x.line}: {x.what}", width)


def _with_patches(r: PatchReview, s: SubjectReview) -> str:
    """A subject's name, and with which patches of the series it has its verdict."""
    found = [
        p.label
        for p in r.series
        if p.review is not None
        and any(t.name == s.name and (t.verdict, t.is_fine) == (s.verdict, s.is_fine) for t in p.review.subjects)
    ]
    return f"{s.name} ({', '.join(found)})" if found else s.name


def verdict(r: PatchReview) -> str:
    """The last line: what it comes to."""
    differ = [_with_patches(r, s) for s in r.subjects if s.verdict == "differs" and s.change != "mended"]
    mended = [_with_patches(r, s) for s in r.subjects if s.change == "mended"]
    open_ = [_with_patches(r, s) for s in r.subjects if s.verdict in ("not covered", "sampled")]
    parts = []
    if differ:
        parts.append(f"differs: {', '.join(differ)}")
    if mended:
        parts.append(f"mended: {', '.join(mended)}")
    if open_:
        parts.append(f"not decided: {', '.join(open_)}")
    if r.uncovered:
        parts.append(f"{r.uncovered} change{'s are' if r.uncovered != 1 else ' is'} not covered")
    if r.whole_is_fine and r.open_patches:
        parts.append(f"fine with all patches together, not with {', '.join(p.label for p in r.open_patches)}")
    if not r.complete:
        parts.insert(0, "interrupted: calls may be missing")
    elif not r.subjects:
        parts.append("it touches no call that is judged")
    if r.fine and r.subjects:
        parts.append("nothing changes for the worse, as far as was explored")
    return f"{'; '.join(parts)} ({r.seconds:.1f} s)"
