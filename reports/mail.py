# SPDX-License-Identifier: MIT
"""A report as a plain-text mail to the lists: 72 columns of ASCII, what a maintainer can answer, under 200 lines.

It is about the first edition of the review. For the patch series it is a reply in its thread, with the headers that
make it one; who sends it is left to be filled in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from checker.documents.counterexamples import Counterexample
from checker.version import signature
from reports.differences import MEANING, diff_of, in_short
from reports.findings import TOPICS, Finding, find_command, findings, groups, topic_of, undecided
from reports.lead import FAILS, GUARANTEES, NEW, Lead, lead_of
from reports.plain import command, heading, item, joined, number, quoted, text_of, wrap
from reports.review import AssumptionFacts, Case, EditionFacts, Review, Theorem
from reports.strip_text import drawing, legend
from reports.thread import MESSAGE_ID, SUBJECT, THREAD_EDITION, answers
from spec.editions import EDITIONS, System

LINES = 199
"""A mail is not longer, unless there are so many findings that one line for each is more."""
SENTENCES = 1
"""Sentences of an answer to the thread, beside the short one; all of them are in `sealspec report --thread`."""
SPELT_OUT = 2
"""Of so many topics, what holds is said in sentences; of the others by name."""


def render(review: Review) -> str:
    """The mail, headers first. The same review gives the same text."""
    edition = review.editions[0]
    found = findings(review, edition)
    replies = _replies(review) if edition.name == THREAD_EDITION else []

    def mail(room: _Room) -> str:
        return text_of(_mail(review, edition, found, replies, room))

    def fits(room: _Room) -> bool:
        return mail(room).count("\n") <= LINES

    # one drawing says more than many cases in words; then the cases, then more drawings
    one = min(1, len(found))
    rooms = [replace(room, told=told, drawn=one) for room in ROOMS for told in range(len(found), one - 1, -1)]
    room = next(filter(fits, rooms), rooms[-1])
    while room.drawn < room.told and fits(replace(room, drawn=room.drawn + 1)):
        room = replace(room, drawn=room.drawn + 1)
    return mail(room)


_NUMBERED = re.compile(r"[A-Z]\d+ to ")
"""Titles of lists that do not say what is left out (`W1 to W25`)."""


@dataclass(frozen=True, slots=True)
class _Room:
    """What there is room for."""

    named: int
    """Kinds of verdicts that are named as new against other editions."""
    assumed: bool = True
    """Assumptions have their sentences, not only their names."""
    cases: bool = True
    """Calls of another edition that do otherwise have their smallest case."""
    reasons: bool = True
    """What is refuted, without its case, has its reason."""
    told: int = 0
    """Findings with their case."""
    drawn: int = 0
    """Of those, the ones that are drawn."""


ROOMS = (
    _Room(6),
    _Room(2),
    _Room(2, assumed=False),
    _Room(1, assumed=False),
    _Room(0, assumed=False),
    _Room(0, assumed=False, cases=False),
    _Room(0, assumed=False, cases=False, reasons=False),
)
"""The first in which the mail fits is taken."""


def _mail(
    review: Review, edition: EditionFacts, found: Sequence[Finding], replies: Sequence[str], room: _Room
) -> list[str]:
    """The lines of the mail."""
    others = [(other.name, other.theorems) for other in review.editions[1:]]
    lead = lead_of(edition.theorems, others, unexpected=edition.unexpected)
    lines = [*_headers(edition), *_summary(edition, lead, room)]
    lines += _unexpected(edition)
    lines += replies
    holds = _holds(review, edition, SPELT_OUT if room.named else 1)
    lines += [*heading("What else holds, for any number of VMAs and any arguments"), *holds] if holds else []
    if found:
        lines += heading("What does not hold, each with the smallest case found")
        lines += _fails(edition, found, room)
    lines += _against(review, edition, room)
    lines += heading("What this rests on")
    lines += _rests(review, edition, room)
    lines += heading("How to reproduce it")
    return [*lines, *_reproduce(edition, found)]


def _headers(edition: EditionFacts) -> list[str]:
    sender = ["From: YOUR NAME <YOUR ADDRESS>", "To: WHOM YOU ANSWER, WITH THE LISTS OF THE THREAD IN CC"]
    if edition.name == THREAD_EDITION:
        reply = [f"In-Reply-To: <{MESSAGE_ID}>", f"References: <{MESSAGE_ID}>"]
        return [*sender, f"Subject: Re: {SUBJECT}", *reply, ""]
    return [*sender, f"Subject: mseal: what holds and what does not ({edition.name})", ""]


def _summary(edition: EditionFacts, lead: Lead, room: _Room) -> list[str]:
    lines = wrap(
        "The memory calls that mseal constrains, written down as a specification (one function for each call, in the "
        "kernel's order of checks), with theorems about it that a solver has decided. It is a model: what is proved, "
        "the model cannot break."
    )
    lines.append("")
    verdicts = Counter(theorem.verdict for theorem in edition.theorems)
    counts = joined(f"{count} {verdict}" for verdict, count in verdicts.most_common()) or "none"
    lines += wrap(f"Modelled: {edition.kernel}.")
    lines += wrap(f"{number(len(edition.theorems), 'theorem')} (one property of one call each): {counts}. {lead.state}")
    return [*lines, *_lead(lead, room)]


def _lead(lead: Lead, room: _Room) -> list[str]:
    """What a seal guarantees, what it does not, what is new: of that as much as there is room for."""
    lines: list[str] = []
    for title, told in lead.lines():
        if title == NEW and not room.named:
            lines += [*heading(title), *wrap(f"Against other editions: {number(len(told), 'kind')} of verdicts.")]
            continue
        shown = told[: room.named] if title == NEW else told
        if title == FAILS:  # what else is refuted follows, each with its case
            shown = tuple(text for text in told if text.startswith("Not for "))
        lines += heading(title)
        if title == GUARANTEES and not room.named:
            lines += wrap(" ".join(shown))
            continue
        for text in shown:
            lines += item("-", text)
        if len(told) > len(shown):
            lines += item("-", f"And {len(told) - len(shown)} more{': see below' if title == FAILS else ''}.")
    return lines


def _unexpected(edition: EditionFacts) -> list[str]:
    """What differs from what was expected; it comes first, and whole."""
    lines: list[str] = []
    for theorem in edition.theorems:
        if not theorem.as_expected:
            why = f" ({theorem.why})" if theorem.why else ""
            lines += item(
                "-", f"{_name(theorem)} is {theorem.verdict}, not {theorem.expected}{why}: {theorem.sentence}"
            )
    lines += _unexpected_checks(edition)
    if not edition.complete:
        lines += item("-", "The run was interrupted: what is not said here was not decided.")
    return [*heading("Not as expected"), *lines] if lines else []


def _unexpected_checks(edition: EditionFacts) -> list[str]:
    lines: list[str] = []
    for lemma in edition.lemmas:
        if not lemma.as_expected:
            lines += item("-", f"Lemma {lemma.name} is {lemma.verdict}: {lemma.sentence}")
    for outcome in edition.outcomes:
        if not outcome.as_expected:
            reached = "is reached, which it should not be" if outcome.reachable else "is never reached"
            told = f"{outcome.call}, {outcome.errno} ({outcome.check or 'ran to its end'}): {outcome.why or reached}"
            lines += item("-", told)
    for mutant in edition.mutants:
        if not mutant.as_expected:
            state = "nothing breaks without it" if mutant.survived else f"{mutant.killed_by} breaks without it"
            lines += item("-", f"{mutant.call}, the check '{mutant.check}': {mutant.why or state}")
    return lines


def _name(theorem: Theorem) -> str:
    return f"{theorem.property}({theorem.call})"


# replies to the thread ------------------------------------------------------------------------------------------------


def _replies(review: Review) -> list[str]:
    """The questions of the thread that matter most, quoted and answered."""
    lines: list[str] = []
    for question, answer in answers(review):
        if not question.mail or not answer.settled:
            continue
        lines += ["", *wrap(f"{question.who} wrote, {question.date[:10]}:"), *quoted(question.quote), ""]
        lines += wrap(" ".join([answer.short, *answer.sentences[:SENTENCES]]))
    return lines


# what holds -----------------------------------------------------------------------------------------------------------


def _holds(review: Review, edition: EditionFacts, spelt_out: int) -> list[str]:
    """What holds for every call that it speaks of. What holds for some of them only is said where it does not."""
    partly = {theorem.property for theorem in edition.theorems if theorem.verdict != "proved"}
    lines: list[str] = []
    names: list[str] = []
    for place, topic in enumerate(TOPICS):
        whole = [group for group in groups(review, edition, topic) if group.property.name not in partly]
        if not place:
            continue  # what a seal promises stands at the beginning of the mail
        if place >= spelt_out:
            names += [f"{group.property.name} ({_calls(group.calls)})" for group in whole]
            continue
        lines += wrap(f"{topic.title}:") if whole else []
        for group in whole:
            lines += item("-", f"{group.property.sentence.rstrip('.')} ({_calls(group.calls)}).")
    return [*lines, "", *wrap(f"Also proved: {joined(names)}.")] if names else lines


def _calls(calls: Sequence[str]) -> str:
    """`14 calls`, `mseal`."""
    return calls[0] if len(calls) == 1 else f"{len(calls)} calls"


# what does not hold ---------------------------------------------------------------------------------------------------


def _fails(edition: EditionFacts, found: Sequence[Finding], room: _Room) -> list[str]:
    """One item for each property, in it one for each cause. What mseal does itself is told and drawn first."""
    proved = Counter(theorem.property for theorem in edition.theorems if theorem.verdict == "proved")
    order = sorted(range(len(found)), key=lambda i: "mseal" not in found[i].calls)
    full = [found[i] for i in sorted(order[: room.told])]
    brief = [found[i] for i in sorted(order[room.told :])]
    pictured = [found[i] for i in order[: room.drawn]]
    lines: list[str] = []
    before, place = "", 0
    for finding in full:
        if finding.first.property != before:
            before, place = finding.first.property, place + 1
            rest = f"; proved for {number(proved[before], 'other call')}" if proved[before] else ""
            lines += item(f"{place}.", f"NOT SO: {finding.first.sentence} [{before}{rest}]")
        lines += _finding(edition, finding, drawn=finding in pictured)
    lines += _brief(edition, brief, room)
    return [*lines, *_signs([finding.case.document for finding in pictured if finding.case is not None])]


def _brief(edition: EditionFacts, found: Sequence[Finding], room: _Room) -> list[str]:
    """The findings that have no case here. The promises among them stand, with their reasons, at the beginning."""
    named: list[str] = []
    lines: list[str] = []
    for finding in found:
        first = finding.first
        if not room.reasons or topic_of(first.property) is TOPICS[0]:
            mended = f", fixed in {first.mended}" if first.mended else ""
            named.append(f"{first.property} ({joined(finding.calls)}{mended})")
        else:
            lines += item("-", f"{first.property}, {_why(edition, finding)}")
    lines += item("-", f"{joined(named)}.") if named else []
    return ["", "Also refuted, without the case here:", *lines] if lines else []


def _why(edition: EditionFacts, finding: Finding) -> str:
    """For which calls it is not so, and why."""
    first = finding.first
    why = finding.reason.rstrip(".") if finding.reason else "NOT EXPECTED"
    many = len(edition.blocked_advice) if (first.property, first.call) == ("eperm-only-with-cause", "madvise") else 0
    values = f" ({number(many, 'value')} of it)" if many else ""
    since = f" Fixed in {first.mended}." if first.mended else ""
    return f"{joined(finding.calls)}: {why}{values}.{since}"


def _finding(edition: EditionFacts, finding: Finding, *, drawn: bool) -> list[str]:
    """For which calls it is not so, why, and the smallest case."""
    told, indent = _why(edition, finding), "   "
    if finding.case is None:
        return item("-", f"{told} No counterexample is in this report.", indent)
    tried = _tried(finding.case)
    if not drawn:
        return item("-", f"{told} {_case(finding.case)} {tried}", indent)
    return [*item("-", f"{told} {tried}", indent), "", *drawing(finding.case.document), ""]


def _signs(documents: Sequence[Counterexample]) -> list[str]:
    """The signs in drawings, once for all of them."""
    parts = dict.fromkeys(part for document in documents for part in legend(document).rstrip(".").split("; "))
    return ["", *wrap(f"Signs: +0 is the lowest page shown. {'; '.join(parts)}.")] if parts else []


def _case(case: Case) -> str:
    """The size of a case, and what happens in it."""
    size = case.document.size
    told = case.story[:-1] if len(case.story) > 1 else case.story
    return f"Case ({number(size.vmas, 'VMA')}): {' '.join(told)}"


def _tried(case: Case) -> str:
    """What real kernels did with a case; what they did with another one says nothing of it."""
    told = [f"Tried on Linux {live.kernel}: {live.verdict}." for live in case.live]
    told += [
        f"Another case than this one was tried on Linux {live.kernel}: {live.verdict}." for live in case.live_others
    ]
    return " ".join(told)


def _against(review: Review, edition: EditionFacts, room: _Room) -> list[str]:
    """What other editions of the review do and decide otherwise: call by call, if they were compared so, then a line
    for each property."""
    lines: list[str] = []
    for other in review.editions[1:]:
        lines += _call_by_call(review, edition, other, cases=room.cases)
    return [*heading("What calls do otherwise in other editions"), *lines] if lines else []


def _call_by_call(review: Review, edition: EditionFacts, other: EditionFacts, *, cases: bool) -> list[str]:
    """The semantic diff of two editions, a line for each call that differs."""
    found = diff_of(review, edition, other)
    if found is None:
        return []
    lines = item("-", f"{other.name} (there), call by call; {MEANING}:")
    for told in in_short(found.calls, cases=cases):
        lines += item("-", told, "  ")
    same = [call.call for call in found.calls if call.same]
    return lines + (item("-", f"same in every respect: {joined(same)}", "  ") if same else [])


# what it rests on, and how to see it ----------------------------------------------------------------------------------


def _rests(review: Review, edition: EditionFacts, room: _Room) -> list[str]:
    proofs = [theorem for theorem in edition.theorems if theorem.verdict == "proved"]
    used = dict.fromkeys(name for theorem in proofs for name in theorem.assumptions)
    assumed = [a for a in review.assumptions if a.name in used and a.always]
    besides = [a for a in review.assumptions if a.name in used and not a.always]
    lines = item("-", f"The solver: {edition.solver}.") if proofs else []
    proved = [lemma.name for lemma in edition.lemmas if lemma.verdict == "proved"]
    broken = [f"{lemma.name} ({lemma.verdict})" for lemma in edition.lemmas if lemma.verdict != "proved"]
    if proved:
        lines += item("-", f"Lemmas (passes, splits, merges, bytes and pages), proved: {joined(proved)}.")
    if broken:
        lines += item("-", f"Lemmas that are NOT proved: {joined(broken)}. The theorems lack that leg.")
    listed = "" if room.assumed else " (sealspec list assumptions)"
    if assumed:
        lines += item("-", f"Assumed always{listed}{_assumed(assumed, room)}")
    if besides:
        lines += item("-", f"Assumed by some theorems{_assumed(besides, room)}")
    missing = undecided(edition)
    if missing:
        lines += item("-", f"Not decided, so nothing is claimed: {joined(map(_name, missing))}.")
    if edition.mutants:
        killed = sum(bool(mutant.killed_by) for mutant in edition.mutants)
        lines += item(
            "-",
            f"That the theorems bite: of {number(len(edition.mutants), 'check')}, each dropped in turn, {killed} broke "
            "a theorem or a lemma.",
        )
    titles = [table.title for table in review.exclusions if not _NUMBERED.match(table.title)]
    if titles:
        lines += item("-", f"Not modelled: see docs/EXCLUSIONS.md ({', '.join(titles).lower()}).")
    return lines


def _assumed(assumptions: Sequence[AssumptionFacts], room: _Room) -> str:
    if not room.assumed:
        return f": {joined(a.name for a in assumptions)}."
    return ": " + " ".join(f"{a.sentence.rstrip('.')} [{a.name}]." for a in assumptions)


def _reproduce(edition: EditionFacts, found: Sequence[Finding]) -> list[str]:
    name = edition.name
    linux = EDITIONS[name].system is System.LINUX
    program = ", also as a program" if linux else ""
    lines = [*wrap(f"By {signature()}. All as pages; all verdicts; what a failure may change; a case{program}:"), ""]
    for text in (f"report --edition {name} --out FOLDER", f"prove --edition {name}", f"matrix --edition {name}"):
        lines += command(f"sealspec {text}")
    shown = min((f.first for f in found if f.case is not None), key=lambda t: t.call != "mseal", default=None)
    if shown is None:
        return lines
    lines += command(f"{find_command(shown)} --json case.json")
    if not linux:
        system = EDITIONS[name].system.title
        return [*lines, "", *wrap(f"No case can be tried on a Linux kernel: edition {name} is {system}.")]
    lines += command("sealspec reproduce case.json --format kselftest --to case.c")
    programs = sum(finding.case is not None and bool(finding.case.programs.c) for finding in found)
    if programs:
        tried = f"{programs} of the {len(found)} cases can be tried so; exit status 0: the kernel does it."
        lines += ["", *wrap(tried)]
    return lines
