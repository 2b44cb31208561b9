# SPDX-License-Identifier: MIT
"""Run system calls, given as 64-bit words, on the concrete reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from checker.concrete import ConcreteSpace, Result, State, execute
from spec.editions import Edition
from spec.space import Guards
from spec.syscalls import CALLS, Call
from spec.terms import Bool, Num
from spec.words import WORD


class WordGuards(Guards):
    """The argument stage over Python words."""

    def __init__(self, edition: Edition, dropped: str | None = None, failures: Iterable[str] = ()) -> None:
        self.edition = edition
        self.dropped = dropped
        self.failures = frozenset(failures)

    def decide(self, cond: Bool) -> bool:
        assert isinstance(cond, bool), cond
        return cond

    def skipped(self, check: str) -> bool:
        return check == self.dropped

    def environment(self, why: str) -> Bool:
        return why in self.failures


def perform(
    state: State,
    edition: Edition,
    name: str,
    words: Mapping[str, int],
    *,
    dropped: str | None = None,
    failures: Iterable[str] = (),
    place: int | None = None,
) -> Result:
    """Make one call on the state, which changes in place. `words` gives each argument as an unsigned 64-bit number;
    `dropped` names a check that the kernel is to lack; `failures` and `place` answer what the specification leaves open
    (see ConcreteSpace).

    Raises KeyError for an unknown call or a missing argument: documents are validated before they come here.
    """
    call: Call = CALLS[name]
    guards = WordGuards(edition, dropped, failures)
    space = ConcreteSpace(state, edition, dropped=dropped, failures=failures, place=place)

    def both_stages() -> Num:
        decoded: Any = call.arguments(guards, *(words[w] % WORD for w in call.words))
        return call.body(space, decoded)

    return execute(both_stages)
