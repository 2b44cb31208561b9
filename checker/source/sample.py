# SPDX-License-Identifier: MIT
"""Random cases, executed on both sides: where the paths are too many, and beyond the VMAs that were explored."""

from __future__ import annotations

import time
from random import Random

from checker.concrete import TooManyPages
from checker.documents.layouts import LayoutDoc
from checker.machine import WordGuards
from checker.random_cases import RandomCases
from checker.source.example import Case, ended
from checker.source.sides import Side
from checker.source.subjects import Subject
from spec.editions import Edition
from spec.space import Done, Refused
from spec.syscalls import CALLS


def sample(
    subject: Subject, edition: Edition, first: Side, second: Side, deadline: float, most: int = 20_000
) -> tuple[int, Case | None]:
    """How many cases were executed, and the smallest in which the two part (of those found within a second after the
    first). Raises NotCovered."""
    cases = RandomCases(Random(14))
    guards = WordGuards(edition)
    call = CALLS[subject.call]
    done = 0
    found: Case | None = None
    for _ in range(most):
        if time.process_time() > deadline:
            break
        state = cases.state()
        words = cases.words(subject.call, state, edition)
        try:
            to = call.arguments(guards, *(words[name] for name in call.words))
        except (Refused, Done):
            continue
        try:
            state = LayoutDoc.from_state(state).to_state()
        except ValueError:
            continue
        free = {name: bool(made(words)) for name, made in subject.free.items()}
        try:
            ends = [ended(side, subject, edition, (state, to, free, frozenset())) for side in (first, second)]
        except TooManyPages:
            continue
        done += 1
        case = Case(state, words, to, frozenset(), *ends)
        if case.apart and (found is None or state.size < found.before.size):
            if found is None:
                deadline = min(deadline, time.process_time() + 1)
            found = case
    return done, found
