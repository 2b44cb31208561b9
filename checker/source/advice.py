# SPDX-License-Identifier: MIT
"""Which advice a kernel takes for discarding: the values for which its test is true, found by executing its text."""

from __future__ import annotations

from dataclasses import dataclass

from checker.machine import WordGuards
from checker.source.errors import Fault, NotCovered
from checker.source.machine import Machine
from checker.source.operators import truth
from checker.source.source import Source
from checker.source.subjects import ADVICE_TESTS
from checker.source.values import word
from spec.advice import ADVICE, DISCARDING, GUARD_INSTALL, known_advice
from spec.editions import Edition
from spec.syscalls.madvise import treated_as_discard

NAMES = {value: name for name, value in ADVICE.items()}


@dataclass(slots=True)
class AdviceTest:
    """The test of one source."""

    function: str
    file: str
    line: int
    blocked: list[int]
    """The values that it takes for discarding, of all that have a name."""

    @property
    def harmless(self) -> list[int]:
        """Those among them that discard nothing."""
        return [v for v in self.blocked if v not in (*DISCARDING, GUARD_INSTALL)]

    @property
    def missed(self) -> list[int]:
        """Values that discard, and that it lets pass."""
        return [v for v in DISCARDING if v not in self.blocked]

    def equals(self, edition: Edition) -> bool:
        """It is the test of this edition, for all advice that the edition knows."""
        known = set(known_advice(edition))
        return set(self.blocked) & known == set(treated_as_discard(edition)) & known


def advice_test(source: Source, edition: Edition) -> AdviceTest | NotCovered | None:
    """The test that a source has; None if it has none."""
    for name in ADVICE_TESTS:
        try:
            cut = source.find(name)
            if cut is None:
                continue
            blocked = []
            for value in ADVICE.values():
                result = truth(Machine(source, WordGuards(edition)).call(name, [word(value)], None))
                if not isinstance(result, bool):
                    raise NotCovered(f"{name}() of a known value is not known")
                if result:
                    blocked.append(value)
            return AdviceTest(name, cut.file, cut.line, blocked)
        except NotCovered as error:
            return error
        except Fault as fault:
            return NotCovered(f"{name}(): {fault}")
    return None
