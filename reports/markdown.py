# SPDX-License-Identifier: MIT
"""A report in GitHub's Markdown, one file that stands alone: verdicts, what does not hold (drawn), what it rests on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from checker.version import signature
from reports.differences import diff_of
from reports.findings import TOPICS, Finding, find_command, findings, origin, topic_of, undecided
from reports.lead import lead_of
from reports.plain import joined, number, sentence
from reports.review import CellFacts, EditionFacts, Review, Theorem
from reports.strip_diff import parting_text
from reports.strip_text import to_text

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!@])")
_FENCE = re.compile(r"`+")


def render(review: Review) -> str:
    """The report. The same review gives the same text."""
    lines: list[str] = ["# mseal: what holds and what does not", ""]
    for edition in review.editions:
        lines += _edition(review, edition)
    lines += _history(review)
    lines += _assumptions(review)
    lines += [f"Made by {plain(signature())}."]
    return "\n".join(lines).rstrip("\n") + "\n"


def plain(text: str) -> str:
    """A text that Markdown shows as it is, on one line: nothing in it is markup, HTML, a mention or a link."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("://", ":\\//")


def code(text: str) -> str:
    """A text as code on one line, also in a table."""
    text = " ".join(text.split())
    ticks = "`" * (max((len(run) for run in _FENCE.findall(text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}".replace("|", "\\|")


def block(text: str, language: str = "text") -> list[str]:
    """Lines as they are, in a fence that nothing in them can close."""
    ticks = "`" * max(3, max((len(run) for run in _FENCE.findall(text)), default=0) + 1)
    return [f"{ticks}{language}", *text.rstrip("\n").split("\n"), ticks, ""]


def row(*cells: str) -> str:
    """A line of a table, of cells that are Markdown already."""
    return "| " + " | ".join(cells) + " |"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table, and a blank line."""
    return [row(*columns), row(*("---" for _ in columns)), *(row(*cells) for cells in rows), ""]


def codes(names: Iterable[str]) -> str:
    """Names as code."""
    return ", ".join(code(name) for name in names)


def _edition(review: Review, edition: EditionFacts) -> list[str]:
    verdicts = Counter(theorem.verdict for theorem in edition.theorems)
    counts = joined(f"{count} {verdict}" for verdict, count in verdicts.most_common()) or "none"
    others = [(other.name, other.theorems) for other in review.editions if other is not edition]
    lead = lead_of(edition.theorems, others, unexpected=edition.unexpected)
    state = plain(lead.state) if edition.as_expected else f"**{plain(lead.state)}**"
    about = f"{sentence(edition.kernel)} {sentence(edition.standing)}"
    lines = [f"## {plain(edition.name)}", "", plain(about), ""]
    lines += [f"{number(len(edition.theorems), 'theorem')}, for any number of VMAs: {counts}. {state}", ""]
    for title, told in lead.lines():
        lines += [f"### {plain(title)}", "", *(f"- {plain(text)}" for text in told), ""]
    lines += _unexpected(edition)
    lines += _verdicts(review, edition)
    lines += _findings(review, edition)
    lines += _matrix(review, edition)
    for other in review.editions:
        lines += _call_by_call(review, edition, other)
    return [*lines, *_rests(edition)]


def _unexpected(edition: EditionFacts) -> list[str]:
    told = [
        f"- **{code(f'{t.property}({t.call})')} is {t.verdict}**, expected: {t.expected}. {plain(t.why)}".rstrip()
        for t in edition.theorems
        if not t.as_expected
    ]
    told += [f"- **lemma {code(m.name)} is {m.verdict}**. {plain(m.why)}" for m in edition.lemmas if not m.as_expected]
    told += [
        f"- **{code(o.call)}, {code(o.errno)} ({plain(o.check or 'ran to its end')})** is "
        f"{plain(o.why) or ('reached' if o.reachable else 'never reached')}"
        for o in edition.outcomes
        if not o.as_expected
    ]
    told += [
        f"- **{code(m.call)}, the check {code(m.check)}**, dropped, "
        f"{plain(m.why) or ('breaks nothing' if m.survived else f'breaks {plain(m.killed_by)}')}"
        for m in edition.mutants
        if not m.as_expected
    ]
    return ["### Not as expected", "", *told, ""] if told else []


def _verdicts(review: Review, edition: EditionFacts) -> list[str]:
    """Properties by topic, with the calls of each verdict."""
    lines = ["### Verdicts", ""]
    by_property: dict[str, list[Theorem]] = {}
    for theorem in edition.theorems:
        by_property.setdefault(theorem.property, []).append(theorem)
    for topic in TOPICS:
        mine = [prop for prop in review.properties if prop.name in by_property and topic_of(prop.name) is topic]
        if not mine:
            continue
        lines += [f"**{plain(topic.title)}**", ""]
        rows = [
            (code(prop.name), plain(prop.sentence), _by_verdict(by_property[prop.name]), codes(prop.assumptions) or "-")
            for prop in mine
        ]
        lines += table(("property", "", "verdict", "assumes besides"), rows)
    return lines


def _by_verdict(theorems: Sequence[Theorem]) -> str:
    calls: dict[str, list[str]] = {}
    for theorem in theorems:
        calls.setdefault(theorem.verdict, []).append(theorem.call)
    return "; ".join(
        f"**{verdict}** for {codes(names) if len(names) < 4 or verdict != 'proved' else f'{len(names)} calls'}"
        for verdict, names in calls.items()
    )


def _findings(review: Review, edition: EditionFacts) -> list[str]:
    found = findings(review, edition)
    if not found:
        return []
    lines = ["### What does not hold, case by case", ""]
    for place, finding in enumerate(found, 1):
        lines += _finding(place, finding)
    return lines


def _finding(place: int, finding: Finding) -> list[str]:
    first = finding.first
    lines = [f"#### {place}. {code(first.property)}, {codes(finding.calls)}", ""]
    since = f" Fixed in {plain(first.mended)}." if first.mended else ""
    why = plain(sentence(finding.reason)) if finding.reason else "**Nobody expected it.**"
    lines += [f"Refuted: {plain(first.sentence)} {why}{since}", ""]
    rest = [f"{t.property}({t.call})" for t in finding.theorems[1:]]
    lines += [f"So are {codes(rest)}." if len(rest) > 1 else f"So is {codes(rest)}.", ""] if rest else []
    case = finding.case
    if case is None:
        return [*lines, "No counterexample is in this report.", ""]
    size = case.document.size
    lines += [f"Smallest case found: {number(size.vmas, 'VMA')}, {number(size.pages, 'page')}.", ""]
    lines += [*(f"{plain(told)}\n" for told in case.story), *block(to_text(case.document))]
    if case.trace_story:
        assert case.trace is not None
        lines += [f"From {origin(case.trace)}, in {number(len(case.trace_story) - 1, 'call')}:", ""]
        lines += [*(f"{n}. {plain(told)}" for n, told in enumerate(case.trace_story, 1)), ""]
    lines += [f"- Linux {plain(live.kernel)}: **{live.verdict}**. {plain(live.reason)}".rstrip() for live in case.live]
    lines += [f"- Linux {plain(live.kernel)}: {live.verdict}, of another case" for live in case.live_others]
    lines += [""] if case.live or case.live_others else []
    return [*lines, *block(find_command(first), "sh")]


def _matrix(review: Review, edition: EditionFacts) -> list[str]:
    found = [f for f in (review.matrix.cells if review.matrix else ()) if f.cell.edition == edition.name]
    shown = [facts for facts in found if facts.cell.verdict != "unreachable"]
    if not shown:
        return []
    lines = ["### What a failure may have changed", "", "Errors that are not listed cannot occur (proved).", ""]
    return [*lines, *table(("call", "error", "", "at most"), (_cell(facts) for facts in shown))]


def _cell(facts: CellFacts) -> tuple[str, str, str, str]:
    cell = facts.cell
    cause = {"seal": ", for a seal", "other": ", for another reason"}.get(cell.cause, "")
    return code(cell.call), f"{code(cell.errno)}{cause}", f"**{cell.verdict}**", plain(sentence(cell.sentence))


def _call_by_call(review: Review, edition: EditionFacts, other: EditionFacts) -> list[str]:
    """The semantic diff of two editions: a table, and the smallest case of each call that differs, drawn."""
    found = diff_of(review, edition, other)
    if found is None:
        return []
    lines = [f"### Against {plain(other.name)}, call by call", ""]
    more = f"{plain(other.name)} nowhere allows or changes more than {plain(edition.name)}"
    lines += [f"*Same* is proved, for any number of VMAs; so are *stronger* ({more}) and *weaker* (the reverse).", ""]
    rows = ((code(c.call), f"**{c.verdict}**", c.result, c.boundaries, plain(c.why) or "-") for c in found.calls)
    lines += table(("call", "success, pages", "result", "boundaries, map count", "not decided"), rows)
    for call in found.calls:
        for parting in call.partings[:1]:
            lines += [f"#### {code(call.call)}: smallest case, {number(parting.size.vmas, 'VMA')}", ""]
            lines += [plain(parting.sentence), "", *block(parting_text(parting))]
    broken = [lemma for lemma in found.lemmas if lemma.verdict != "proved"]
    return [*lines, *(f"- Lemma {code(m.name)}: **{m.verdict}**. {plain(m.why)}" for m in broken), ""]


def _rests(edition: EditionFacts) -> list[str]:
    lines = ["### What the proofs rest on", "", f"- Solver: {plain(edition.solver)}"]
    lines += [f"- Lemma {code(m.name)}: **{m.verdict}**. {plain(m.sentence)}" for m in edition.lemmas]
    killed = sum(bool(mutant.killed_by) for mutant in edition.mutants)
    if edition.mutants:
        dropped = number(len(edition.mutants), "check")
        lines.append(f"- {dropped} dropped in turn: {killed} broke a theorem or a lemma")
    missing = [code(f"{t.property}({t.call})") for t in undecided(edition)]
    lines += [f"- Not decided, so nothing is claimed: {', '.join(missing)}"] if missing else []
    return [*lines, "- The assumptions below", ""]


def _history(review: Review) -> list[str]:
    if not review.history:
        return []
    rows = []
    for facts in review.history:
        told = facts.row
        verdicts = "; ".join(f"{code(v.edition)} {code(v.call)}: **{v.verdict}**" for v in told.verdicts)
        rows.append((plain(told.id), plain(told.happened), code(told.property), verdicts))
    return ["## What happened to sealing", "", *table(("", "what", "found by", "verdicts"), rows)]


def _assumptions(review: Review) -> list[str]:
    rows = [
        (code(a.name), plain(a.sentence), plain(a.hides), "every verdict" if a.always else "some")
        for a in review.assumptions
    ]
    return ["## Assumptions", "", *table(("name", "assumption", "what it may hide", "used by"), rows)] if rows else []
