# SPDX-License-Identifier: MIT
"""What the answers to the thread look at: verdicts, cells, checks and outcomes of a review, asked for by name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from proofs.results import Cell
from reports.findings import TOPICS, find_command, findings, prove_command, theorem_of
from reports.plain import joined
from reports.review import Case, EditionFacts, Review, Theorem

ORDINARY = ("munmap", "mmap", "mprotect", "pkey_mprotect", "mremap", "madvise", "brk", "mlock", "munlock")
"""The system calls that mseal constrains or leaves alone; not mseal itself."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A theorem that an answer rests on, or a set of them: its name, what it says, and the command that shows it."""

    name: str
    verdict: str
    command: str
    case: Case | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of a property by verdict, in the order of the review."""

    proved: tuple[str, ...]
    refuted: tuple[str, ...]
    open: tuple[str, ...]
    """Neither: bounded, unknown, error, or vacuous."""

    @property
    def asked(self) -> bool:
        """The review has a theorem of this property at all."""
        return bool(self.proved or self.refuted or self.open)


def unmarked(text: str) -> str:
    """Inline Markdown as plain text: links by their words, code without its marks."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "")


class Facts:
    """A review, as seen from one of its editions."""

    def __init__(self, review: Review, edition: EditionFacts) -> None:
        self.review, self.edition = review, edition

    def of(self, name: str) -> Facts | None:
        """The same review, seen from another edition; None if the review does not have it."""
        return next((Facts(self.review, e) for e in self.review.editions if e.name == name), None)

    def theorem(self, prop: str, call: str) -> Theorem | None:
        """A theorem, if the review has it."""
        return theorem_of(self.edition, prop, call)

    def verdict(self, prop: str, call: str) -> str:
        """Its verdict; `not decided here` if the review does not have it."""
        theorem = self.theorem(prop, call)
        return "not decided here" if theorem is None else theorem.verdict

    def calls(self, prop: str, among: Iterable[str] | None = None) -> Calls:
        """The calls of a property by verdict."""
        wanted = None if among is None else set(among)
        chosen = [t for t in self.edition.theorems if t.property == prop and (wanted is None or t.call in wanted)]
        return Calls(
            tuple(t.call for t in chosen if t.verdict == "proved"),
            tuple(t.call for t in chosen if t.verdict == "refuted"),
            tuple(t.call for t in chosen if t.verdict not in ("proved", "refuted")),
        )

    def evidence(self, prop: str, call: str) -> Evidence:
        """One theorem, with its counterexample if it is refuted."""
        name, theorem = f"{prop}({call})", self.theorem(prop, call)
        if theorem is None:
            shown = f"sealspec prove --property {prop} --call {call} --edition {self.edition.name}"
            return Evidence(name, "not decided here", shown)
        case = self.review.case.get(theorem.counterexample)
        return Evidence(name, theorem.verdict, find_command(theorem) if case else prove_command(theorem), case)

    def evidence_of_all(self, prop: str, among: Iterable[str] | None = None) -> Evidence:
        """All theorems of a property."""
        found = self.calls(prop, among)
        parts = [
            f"{verdict} for {joined(calls)}"
            for verdict, calls in (("proved", found.proved), ("refuted", found.refuted), ("not decided", found.open))
            if calls
        ]
        command = f"sealspec prove --property {prop} --edition {self.edition.name}"
        return Evidence(prop, "; ".join(parts) or "not decided here", command)

    def matrix(self, call: str) -> Evidence:
        """A row of the atomicity matrix."""
        names = [f"{cell.errno} {cell.verdict}" for cell in self.cells(call)]
        command = f"sealspec matrix --edition {self.edition.name} --call {call}"
        return Evidence(f"matrix({call})", ", ".join(names) or "not decided here", command)

    def explained(self, call: str) -> Evidence:
        """The checks of a call."""
        command = f"sealspec explain {call} --edition {self.edition.name}"
        return Evidence(f"checks of {call}", "in the kernel's order", command)

    def cell(self, call: str, errno: str) -> Evidence | None:
        """A cell of the matrix in which something is changed, with its case; None if there is no such cell."""
        found = self.review.matrix.cells if self.review.matrix else ()
        for facts in found:
            cell = facts.cell
            if (cell.edition, cell.call, cell.errno) == (self.edition.name, call, errno) and cell.verdict == "partial":
                command = f"sealspec matrix --edition {cell.edition} --call {call}"
                return Evidence(f"matrix({call}, {errno})", cell.sentence, command, self.review.case.get(facts.case))
        return None

    def not_modelled(self, what: str) -> str:
        """What the list of exclusions says of something, as sentences; empty if it is not there."""
        for table in self.review.exclusions:
            for row in table.rows:
                if len(row) > 2 and what in row[0]:
                    return f"Not modelled: {unmarked(row[0])}. What that could hide: {unmarked(row[2])}."
        return ""

    def cells(self, call: str) -> list[Cell]:
        """The cells of a call, but for those that are never reached; none if the review has no matrix."""
        found = self.review.matrix.cells if self.review.matrix else ()
        mine = (facts.cell for facts in found)
        name = self.edition.name
        return [c for c in mine if (c.edition, c.call) == (name, call) and c.verdict != "unreachable"]

    def reached(self, call: str, errno: str) -> list[str]:
        """The checks by which a call ends with an errno, as far as a case of it was found."""
        found = (o for o in self.edition.outcomes if (o.call, o.errno) == (call, errno) and o.reachable)
        return [outcome.check for outcome in found]

    def stage(self, call: str, check: str) -> str:
        """When a check of a call is made; empty if that is not known."""
        explanation = self.edition.explanation(call)
        checks = explanation.checks if explanation is not None else ()
        return next((c.stage for c in checks if c.check == check), "")

    def misses(self, among: Iterable[str] | None = None) -> list[str]:
        """Theorems of what a seal promises that are refuted (for one of these calls), one for each cause."""
        wanted = None if among is None else set(among)
        return [
            f"{finding.first.property}({finding.first.call})"
            for finding in findings(self.review, self.edition)
            if finding.topic is TOPICS[0] and (wanted is None or finding.first.call in wanted)
        ]
