# SPDX-License-Identifier: MIT
"""What a semantic diff of two editions says of a call, in few words: for the forms of a report that are plain text."""

from __future__ import annotations

from collections.abc import Sequence

from proofs.results import CallDiff, Outcome, Parting
from reports.plain import joined, number
from reports.review import DiffFacts, EditionFacts, Review

MEANING = (
    "same, stronger (it allows and changes nothing more) and weaker (the reverse) are proved for any number of VMAs"
)
"""What the words of `in_short` mean, said of the second edition."""


def diff_of(review: Review, edition: EditionFacts, other: EditionFacts) -> DiffFacts | None:
    """The diff of two editions of a review, if it has one."""
    return next((d for d in review.diffs if (d.first, d.second) == (edition.name, other.name)), None)


def in_short(calls: Sequence[CallDiff], *, cases: bool) -> list[str]:
    """What is otherwise in calls, those together of which the same is to be said; `cases`: with the smallest case.

    `mlock and munlock: weaker; 2 VMAs: EPERM here, EPERM and page +0 there`.
    """
    groups: dict[str, list[str]] = {}
    for call in calls:
        if not call.same:
            groups.setdefault(_said(call, cases), []).append(call.call)
    return [f"{joined(names)}: {told}" for told, names in groups.items()]


def _said(call: CallDiff, cases: bool) -> str:
    if call.absent:
        return f"{joined(call.absent)} {'lacks' if len(call.absent) == 1 else 'lack'} it"
    told = {"same": "same pages", "unknown": "not decided"}.get(call.verdict, call.verdict)
    others = [("result", call.result), ("boundaries", call.boundaries)]
    differ = [name for name, level in others if level == "differs"] if call.verdict == "same" else []
    if differ:
        told += f", {joined(differ)} {'differ' if differ != ['result'] else 'differs'}"
    undecided = [name for name, level in others if level == "unknown"]
    if undecided and call.verdict != "unknown":
        told += f", {joined(undecided)} not decided"
    if not call.partings or not cases:
        return told + (f" ({call.why})" if call.why else "")
    case = call.partings[0]
    return f"{told}; {number(case.size.vmas, 'VMA')}: {_ends(case, case.first)} here, {_ends(case, case.second)} there"


def _ends(case: Parting, outcome: Outcome) -> str:
    """How the case ends in one edition: the error, and the first thing that is changed."""
    ended = "ok" if outcome.errno == "OK" else outcome.errno
    if outcome.changed:
        return f"{ended} and {outcome.changed[0]}"
    # two that end with one error are told apart by what is changed
    return f"{ended} and nothing" if case.first.errno == case.second.errno else ended
