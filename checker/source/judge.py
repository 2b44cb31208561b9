# SPDX-License-Identifier: MIT
"""One subject under two sides, as far as the time goes: its argument stage, its body for more and more VMAs, random
cases. And which editions it equals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from checker.concrete import State
from checker.joint import Reads
from checker.machine import WordGuards
from checker.paths import TooManyPaths
from checker.source.bridge import ArgumentsEnd, compare_arguments
from checker.source.compare import OutOfTime, compare_bodies
from checker.source.errors import Fault, NotCovered
from checker.source.example import Case, End, example_of
from checker.source.lockstep import Lockstep, in_lockstep
from checker.source.machine import Boundary, Machine
from checker.source.sample import sample
from checker.source.sides import CSide, Side, SpecSide, named, number_of
from checker.source.subjects import Subject
from spec.editions import Edition
from spec.space import Done, Refused
from spec.syscalls import CALLS

Status = Literal["equal", "differs", "sampled", "not covered"]
NAMES_ONLY: Final = ("name", "kernel", "standing", "left_out")
FEW_CASES: Final = 1_500
"""Random cases that are executed even where every path was explored: they have more VMAs."""
SMALLER_SECONDS: Final = 10.0
"""So long a smaller case is looked for than the one that was drawn at random."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How far to go."""

    vmas: int = 3
    seconds: float = 30.0
    """Of the processor, for one comparison."""
    proving: float = 0.0
    """As many besides, to prove that two sides are equal for any number of VMAs; 0: that is not tried."""


@dataclass(slots=True)
class Compared:
    """What came of one comparison."""

    status: Status
    vmas: int = -1
    """Every layout of up to so many VMAs was explored; -1: not even that of none."""
    proof: Lockstep | None = None
    """The attempt to prove it for any number."""
    sampled: int = 0
    paths: int = 0
    why: str = ""
    file: str = ""
    line: int = 0
    side: str = ""
    """Name of the side that is not covered."""
    case: Case | None = None
    seconds: float = 0.0
    reads: frozenset[str] = frozenset()

    @property
    def any_number(self) -> bool:
        """It is proved that the two are equal, however many VMAs there are."""
        return self.status == "equal" and self.proof is not None and self.proof.proved

    @property
    def verdict(self) -> str:
        """In the words of a report."""
        if self.any_number:
            return "equal, any number of VMAs"
        if self.status == "equal":
            return f"equal up to {self.vmas} VMA{'s' if self.vmas != 1 else ''}"
        return self.status


def compare(subject: Subject, edition: Edition, first: Side, second: Side, limits: Limits) -> Compared:
    """Compare two sides over the list engine of an edition."""
    reads = Reads(edition)
    began = time.process_time()
    found = _compare(subject, edition, cast(Edition, reads), first, second, began + limits.seconds, limits)
    found.seconds = time.process_time() - began
    found.reads = frozenset(reads.fields) - set(NAMES_ONLY)
    return found


def _arguments(side: CSide, subject: Subject, watched: Edition) -> ArgumentsEnd:
    """The stage of the arguments. Raises NotCovered."""
    try:
        return compare_arguments(side.source, subject, watched, side.note)
    except NotCovered as error:
        raise error.of(side.name) from None


def _compare(
    subject: Subject, edition: Edition, watched: Edition, first: Side, second: Side, deadline: float, limits: Limits
) -> Compared:
    found = Compared("equal")
    try:
        for side in (first, second):
            if isinstance(side, CSide) and subject.whole:
                end = _arguments(side, subject, watched)
                found.paths += end.paths
                if not end.equal and (isinstance(first, SpecSide) or side is second):
                    return _arguments_apart(found, subject, edition, end, first, second)
        for n in range(limits.vmas + 1):
            if n == 1:
                _sampled(found, subject, watched, first, second, deadline)
                if found.case is not None:  # they part; what is left is to find a smaller case
                    deadline = min(deadline, time.process_time() + SMALLER_SECONDS)
            body = compare_bodies(subject, watched, first, second, n, deadline)
            found.paths += body.paths
            if body.apart:
                found.status, found.why = "differs", body.apart[0].why
                examples = ((a, example_of(a, subject, edition, first, second)) for a in body.apart)
                confirmed = next(((a, case) for a, case in examples if case is not None), None)
                if confirmed is not None:
                    found.why, found.case = confirmed[0].why, confirmed[1]
                return found
            found.vmas = n
            if n == 1 and limits.proving:
                began = time.process_time()
                found.proof = in_lockstep(subject, watched, first, second, began + limits.proving)
                found.paths += found.proof.paths
                if found.proof.proved:
                    break
                deadline += time.process_time() - began
        if limits.vmas < 1:
            _sampled(found, subject, watched, first, second, deadline)
    except NotCovered as error:
        found.status, found.why, found.file, found.line = "not covered", error.what, error.file, error.line
        found.side = error.side
    except (OutOfTime, TooManyPaths):
        if found.vmas < 1 and found.case is None:
            found.status = "sampled"
            if not found.sampled:
                _sampled(found, subject, watched, first, second, deadline + 5)
    return found


def _sampled(found: Compared, subject: Subject, watched: Edition, first: Side, second: Side, deadline: float) -> None:
    """Execute random cases. One in which the sides part stands until a smaller one is found."""
    limit = min(deadline, time.process_time() + 4)
    found.sampled, case = sample(subject, watched, first, second, limit, FEW_CASES)
    if case is None:
        return
    found.status, found.case = "differs", case
    found.why = f"{first.name}: {case.first.result}; {second.name}: {case.second.result}"


def _arguments_apart(
    found: Compared, subject: Subject, edition: Edition, end: ArgumentsEnd, first: Side, second: Side
) -> Compared:
    found.status, found.why = "differs", f"in the argument stage: {end.why}; the specification: {end.spec}"
    ends = [_argument_end(side, subject, edition, end.words) for side in (first, second)]
    if None not in ends:
        a, b = (cast(End, e) for e in ends)
        found.case = Case(State(), end.words, None, frozenset(), a, b)
    return found


def _argument_end(side: Side, subject: Subject, edition: Edition, words: dict[str, int]) -> End | None:
    """How a side ends for these bytes on an empty address space; None where it looks at that."""
    if isinstance(side, SpecSide):
        try:
            CALLS[subject.call].arguments(WordGuards(edition), *words.values())
        except Refused as refused:
            return End(refused.errno.name, refused.check, State(), 0)
        except Done as done:
            return End("success", done.check, State(), 0)
        return None
    assert isinstance(side, CSide) and subject.words is not None
    machine = Machine(side.source, WordGuards(edition))
    try:
        result: Any = number_of(machine.enter(subject.entry, subject.words(words)))
    except Boundary:
        return None
    except Fault as fault:
        return End(f"goes wrong: {fault}", "", State(), 0, True)
    return End(named(result), "", State(), 0)


@dataclass(slots=True)
class Match:
    """A subject held against editions that do not differ in anything that it reads."""

    editions: list[str]
    compared: Compared


def matches(
    subject: Subject, side: Side, editions: Sequence[Edition], limits: Limits, say: Say, *, until_equal: bool = False
) -> list[Match]:
    """Hold a side against each edition, the first one first; all of them, or until it equals one."""
    found: list[Match] = []
    remaining = [e for e in editions if e.has(subject.call)]
    while remaining:
        edition, *rest = remaining
        say(f"{subject.name}: {side.name} against {edition.name}")
        compared = compare(subject, edition, SpecSide(edition.name), side, limits)
        alike = [e for e in rest if all(getattr(e, f) == getattr(edition, f) for f in compared.reads)]
        if compared.status == "not covered":
            alike = rest
        found.append(Match([edition.name, *(e.name for e in alike)], compared))
        remaining = [e for e in rest if e not in alike]
        if until_equal and compared.status == "equal":
            break
    return found


@dataclass(slots=True)
class Readings:
    """What machines told of themselves: which functions they read, which entries of the table they came to."""

    read: set[tuple[str, str]] = field(default_factory=set)
    assumed: set[str] = field(default_factory=set)
    lines: set[tuple[str, int]] = field(default_factory=set)

    def note(self, machine: Machine) -> None:
        """Take over what a machine has to tell."""
        self.read |= machine.read
        self.assumed |= machine.used
        self.lines |= machine.lines
