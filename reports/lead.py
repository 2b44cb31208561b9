# SPDX-License-Identifier: MIT
"""What every report begins with: what a seal guarantees, what it does not (worst first), what is new against another
edition, and how that stands to what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from reports.findings import TOPICS, cause, topic_of
from reports.plain import joined, number

_WEAKNESS = re.compile(r"\bW\d+[a-z]?\b")


class Decided(Protocol):
    """A theorem with its verdict."""

    @property
    def call(self) -> str: ...
    @property
    def sentence(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def as_expected(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property  # the last, because it hides the decorator
    def property(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Lead:
    """The beginning of a report about one edition; each line is a sentence."""

    guarantees: tuple[str, ...]
    """What a seal promises and keeps for every call."""
    fails: tuple[str, ...]
    """What it does not keep, then what else is refuted; worst first."""
    new: tuple[str, ...]
    """What is decided otherwise than in the other editions."""
    state: str
    """How all that stands to what was expected."""

    def lines(self) -> list[tuple[str, tuple[str, ...]]]:
        """The parts that are not empty, each with its heading."""
        parts = ((GUARANTEES, self.guarantees), (FAILS, self.fails), (NEW, self.new))
        return [(title, told) for title, told in parts if told]


GUARANTEES = "What a seal guarantees (proved for any number of VMAs)"
FAILS = "What is not guaranteed, worst first"
NEW = "What is new"


def lead_of(
    theorems: Sequence[Decided], others: Iterable[tuple[str, Sequence[Decided]]] = (), *, unexpected: int
) -> Lead:
    """The lead for an edition's theorems. `others`: the theorems of the editions that it is held against, by name;
    `unexpected`: how many results, theorems or not, are not as expected."""
    new = tuple(told for name, there in others for told in _new(theorems, name, there))
    return Lead(tuple(_guarantees(theorems)), tuple(_fails(theorems)), new, state_of(theorems, unexpected))


def state_of(theorems: Iterable[Decided], unexpected: int) -> str:
    """How the results stand to what was expected. That something is as expected never stands alone where a promise
    fails."""
    if unexpected:
        return f"{number(unexpected, 'result is', 'results are')} NOT as expected."
    refuted = sum(theorem.verdict == "refuted" for theorem in theorems)
    if not refuted:
        return "Every result is as expected."
    some = number(refuted, "theorem is", "theorems are")
    return f"{some} refuted, for reasons that were known beforehand; all else is as expected."


def weaknesses(texts: Iterable[str]) -> str:
    """What the names of weaknesses in the texts mean; empty if there are none."""
    named = sorted({name for text in texts for name in _WEAKNESS.findall(text)}, key=lambda name: (len(name), name))
    if not named:
        return ""
    return f"{joined(named)}: {'a known weakness' if len(named) == 1 else 'known weaknesses'}, docs/EXCLUSIONS.md"


def _guarantees(theorems: Sequence[Decided]) -> Iterable[str]:
    for group in _by_property(theorems, 0).values():
        if all(theorem.verdict == "proved" for theorem in group):
            of = group[0].call if len(group) == 1 else f"{len(group)} calls"
            yield f"{group[0].sentence.rstrip('.')} ({of})."


def _fails(theorems: Sequence[Decided]) -> Iterable[str]:
    """What a seal promises, each promise by its sentence; the other topics in one line each."""
    for name, group in _by_property(theorems, 0).items():
        reasons: dict[str, list[str]] = {}
        for theorem in group:
            if theorem.verdict == "refuted":
                reasons.setdefault(cause(theorem.reason) or "nobody expected it", []).append(theorem.call)
        for reason, calls in reasons.items():
            yield f'Not for {joined(calls)}: "{group[0].sentence.rstrip(".")}" ({name}): {reason.rstrip(".")}.'
    for place, topic in enumerate(TOPICS[1:], 1):
        broken = []
        for name, group in _by_property(theorems, place).items():
            calls = [theorem.call for theorem in group if theorem.verdict == "refuted"]
            if calls:
                broken.append(f"{name} ({joined(calls)})")
        if broken:
            yield f"{topic.refuted[:1].upper()}{topic.refuted[1:]}: {joined(broken)}."


def _by_property(theorems: Sequence[Decided], place: int) -> dict[str, list[Decided]]:
    """The theorems of a topic, by property, in the topic's order."""
    topic = TOPICS[place]
    found: dict[str, list[Decided]] = {}
    for theorem in theorems:
        if topic_of(theorem.property) is topic:
            found.setdefault(theorem.property, []).append(theorem)
    order = {name: i for i, name in enumerate(topic.properties)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))


def _new(theorems: Sequence[Decided], name: str, there: Sequence[Decided]) -> Iterable[str]:
    """What changed against another edition: what does not hold any more comes first."""
    before = {(theorem.property, theorem.call): theorem.verdict for theorem in there}
    changed: dict[tuple[str, str, str], list[str]] = {}
    for theorem in theorems:
        verdict = before.get((theorem.property, theorem.call))
        if verdict is not None and verdict != theorem.verdict:
            changed.setdefault((theorem.property, verdict, theorem.verdict), []).append(theorem.call)
    for (prop, was, now), calls in sorted(changed.items(), key=lambda item: item[0][2] == "proved"):
        yield f"{prop} is {now} for {joined(calls)}; in {name} it is {was}."
    if not changed and there:
        yield f"Nothing is decided otherwise than in {name}."
