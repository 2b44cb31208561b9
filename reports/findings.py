# SPDX-License-Identifier: MIT
"""What a reader wants to know first: theorems of an edition in groups, the refuted ones by cause, the worst first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from checker.documents.counterexamples import Counterexample
from reports.review import Case, EditionFacts, PropertyFacts, Review, Theorem


@dataclass(frozen=True, slots=True)
class Topic:
    """Properties that a reader asks for together."""

    title: str
    refuted: str
    """What it means if one of them is refuted, in a few words."""
    properties: tuple[str, ...]


TOPICS: tuple[Topic, ...] = (
    Topic(
        "What a seal promises",
        "sealed memory is not safe",
        (
            "never-unmapped",
            "never-reprotected",
            "never-replaced",
            "never-grown",
            "never-unsealed",
            "never-discarded",
            "fork-keeps-seals",
            "settled-contents-stay",
            "anonymous-contents-stay",
            "private-file-contents-stay",
            "fork-keeps-contents",
        ),
    ),
    Topic(
        "What a call that fails has changed",
        "a call fails partially",
        (
            "gap-seals-nothing",
            "partial-seal-is-a-prefix",
            "partial-seal-stops-at-an-end",
            "failed-mseal-seals-nothing",
            "eperm-changes-nothing",
            "failure-changes-no-page",
            "failure-changes-nothing",
        ),
    ),
    Topic(
        "What is refused, and with which error",
        "a call is refused without cause, or with an undocumented error",
        (
            "eperm-only-with-cause",
            "refused-advice-discards",
            "enomem-as-documented",
            "enomem-only-as-documented",
            "einval-only-as-documented",
            "mseal32-refuses",
        ),
    ),
    Topic(
        "What a call that succeeds has done, and the state of the mm",
        "the mm is not as it should be",
        (
            "success-does-what-it-says",
            "success-is-as-openbsd-says",
            "move-keeps-locks",
            "move-keeps-charges",
            "execute-only-has-its-key",
            "sealing-twice-is-a-no-op",
            "alike-neighbours-merge",
            "special-stays-whole",
            "huge-pages-stay-whole",
            "well-formed-stays",
            "map-count-stays-in-bounds",
            "failure-keeps-map-count",
        ),
    ),
)
"""From what matters most. A property that is in none of them counts with the last."""

NEAR_LIMIT = 64
"""A trace that begins with so little room for VMAs needs the limit to be near: that is said."""

IMPLIED_BY: dict[str, tuple[str, ...]] = {
    "failure-changes-nothing": (
        "failed-mseal-seals-nothing",
        "eperm-changes-nothing",
        "failure-changes-no-page",
        "failure-keeps-map-count",
    ),
    "failure-changes-no-page": ("failed-mseal-seals-nothing",),
    "refused-advice-discards": ("eperm-only-with-cause",),
}
"""If one of these is refuted for a call, so is the property that is named before: nothing new is to be said of it."""
_WEAKNESS = re.compile(r"\s*\(W\d+[a-z]?(?:, W\d+[a-z]?)*\)")
_AS = re.compile(r"as ([a-z0-9-]+)\b")


@dataclass(frozen=True, slots=True)
class Group:
    """A property, with the calls for which it has the verdict."""

    property: PropertyFacts
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """Refuted theorems of one edition that have one cause."""

    topic: Topic
    theorems: tuple[Theorem, ...]
    """The one that says it best is the first."""
    reason: str
    """Why; empty if nobody expected it."""
    case: Case | None
    """The smallest counterexample."""

    @property
    def first(self) -> Theorem:
        """The theorem that says it best."""
        return self.theorems[0]

    @property
    def calls(self) -> tuple[str, ...]:
        """The calls that fail so."""
        return tuple(dict.fromkeys(theorem.call for theorem in self.theorems))

    @property
    def expected(self) -> bool:
        """Each of its refutations is as expected."""
        return all(theorem.as_expected for theorem in self.theorems)


def topic_of(property_name: str) -> Topic:
    """The topic of a property."""
    return next((topic for topic in TOPICS if property_name in topic.properties), TOPICS[-1])


def cause(reason: str) -> str:
    """A reason without the numbers of known weaknesses, which mean nothing to those who have not read this project."""
    return _WEAKNESS.sub("", reason).strip()


def groups(review: Review, edition: EditionFacts, topic: Topic, verdict: str = "proved") -> list[Group]:
    """The properties of a topic that have a verdict for some call, in the order of the topic."""
    calls: dict[str, list[str]] = {}
    for theorem in edition.theorems:
        if theorem.verdict == verdict and topic_of(theorem.property) is topic:
            calls.setdefault(theorem.property, []).append(theorem.call)
    known = {prop.name: prop for prop in review.properties}
    order = sorted(calls, key=lambda name: _place(topic, name))
    return [Group(known[name], tuple(calls[name])) for name in order if name in known]


def findings(review: Review, edition: EditionFacts) -> list[Finding]:
    """The refuted theorems by cause: what nobody expected first, then as the topics are ordered."""
    refuted = [theorem for theorem in edition.theorems if theorem.verdict == "refuted"]
    said = {(theorem.property, theorem.call) for theorem in refuted}
    reasons = {(theorem.property, theorem.call): cause(theorem.reason) for theorem in refuted}
    heads: dict[tuple[str, str], list[Theorem]] = {}
    for theorem in refuted:
        head = _head(theorem.property, theorem.call, said)
        reason = _resolved(reasons[head, theorem.call], theorem.call, reasons)
        # what was not expected stands alone: it has no known cause
        heads.setdefault((reason or theorem.id, topic_of(head).title), []).append(theorem)
    found = [_finding(review, theorems, said) for theorems in heads.values()]
    return sorted(found, key=lambda f: (f.expected, TOPICS.index(f.topic), _place(f.topic, f.first.property)))


def undecided(edition: EditionFacts) -> list[Theorem]:
    """Theorems that are neither proved nor refuted, but for those that are expected to say nothing."""
    return [
        theorem
        for theorem in edition.theorems
        if theorem.verdict not in ("proved", "refuted") and not (theorem.verdict == "vacuous" and theorem.as_expected)
    ]


def smallest(cases: Iterable[Case]) -> Case | None:
    """The counterexample with the fewest calls, VMAs and pages; of equals the first."""
    sizes = ((case, case.document.size) for case in cases)
    return min(sizes, key=lambda pair: (pair[1].calls, pair[1].vmas, pair[1].pages), default=(None, None))[0]


def theorem_of(edition: EditionFacts, property_name: str, call: str) -> Theorem | None:
    """The theorem of that property and call, if the review has it."""
    return next((t for t in edition.theorems if (t.property, t.call) == (property_name, call)), None)


def origin(trace: Counterexample) -> str:
    """Where an attack trace begins."""
    vdso = "an address space that has a special mapping (such as the vdso, which no call makes) and nothing else"
    start = vdso if trace.before.vmas else "an empty address space"
    limit, elsewhere = trace.before.max_map_count, trace.before.elsewhere
    if limit - elsewhere > NEAR_LIMIT:
        return start
    return f"{start}, but for {elsewhere} mappings elsewhere that bring map_count near its limit of {limit}"


def find_command(theorem: Theorem) -> str:
    """The command that shows the theorem's counterexample."""
    return f"sealspec find {theorem.property} --call {theorem.call} --edition {theorem.edition}"


def prove_command(theorem: Theorem) -> str:
    """The command that decides the theorem."""
    return f"sealspec prove --property {theorem.property} --call {theorem.call} --edition {theorem.edition}"


def _place(topic: Topic, property_name: str) -> int:
    names = topic.properties
    return names.index(property_name) if property_name in names else len(names)


def _head(property_name: str, call: str, refuted: set[tuple[str, str]]) -> str:
    """The property whose refutation implies this one, where there is such."""
    stronger = (name for name in IMPLIED_BY.get(property_name, ()) if (name, call) in refuted)
    return next(stronger, property_name)


def _resolved(reason: str, call: str, reasons: dict[tuple[str, str], str]) -> str:
    """`as PROPERTY` stands for the reason of that property, for the same call."""
    named = _AS.match(reason)
    return reasons.get((named[1], call), reason) if named else reason


def _finding(review: Review, theorems: list[Theorem], refuted: set[tuple[str, str]]) -> Finding:
    heads = [theorem for theorem in theorems if _head(theorem.property, theorem.call, refuted) == theorem.property]
    ordered = heads or theorems
    ordered = sorted(ordered, key=lambda t: _place(topic_of(t.property), t.property))
    first = ordered[0]
    cases = [review.case[t.counterexample] for t in ordered if t.property == first.property and t.counterexample]
    case = smallest(cases)
    if case is not None:
        ordered = sorted(ordered, key=lambda t: t.counterexample != case.id)
    rest = [theorem for theorem in theorems if theorem not in ordered]
    return Finding(topic_of(first.property), (*ordered, *rest), cause(first.reason), case)
