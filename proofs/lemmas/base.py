# SPDX-License-Identifier: MIT
"""What a lemma is: named queries to the solver, and how they are decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import z3

from checker.answers import why_unknown
from proofs.results import Verdict
from spec.editions import Edition
from spec.terms import Bool


@dataclass(frozen=True, slots=True)
class Obligation:
    """One query: `unsat` discharges it. `consistent` marks the ones that must be satisfiable."""

    name: str
    query: tuple[z3.BoolRef, ...]
    consistent: bool = False
    as_integers: bool = False
    """Words are to be reasoned about as integers (z3's intblast), not bit by bit."""


@dataclass(frozen=True, slots=True)
class Lemma:
    """A named group of obligations."""

    name: str
    sentence: str
    obligations: Callable[[Edition], Iterator[Obligation]]
    calls: tuple[str, ...] = ()
    """It is about these: an edition that has none of them has no such lemma. Empty: about all calls."""


@dataclass(frozen=True, slots=True)
class LemmaOutcome:
    """What the solver said of a lemma."""

    verdict: Verdict
    """`proved`, `refuted` (the first obligation that failed is in `why`), or `unknown`."""
    obligations: int
    seconds: float
    why: str = ""


def decide_lemma(lemma: Lemma, edition: Edition, timeout_ms: int) -> LemmaOutcome:
    """Discharge all obligations of a lemma."""
    started = time.perf_counter()
    count = 0
    for obligation in lemma.obligations(edition):
        count += 1
        answer, undecided = _decide(obligation, timeout_ms)
        wanted = z3.sat if obligation.consistent else z3.unsat
        if answer != wanted:
            verdict: Verdict = "unknown" if answer == z3.unknown else "refuted"
            why = f"{obligation.name}: {undecided}" if answer == z3.unknown else obligation.name
            return LemmaOutcome(verdict, count, time.perf_counter() - started, why)
    return LemmaOutcome("proved" if count else "vacuous", count, time.perf_counter() - started)


WAYS: Final[tuple[dict[str, int], ...]] = (
    {},
    {"arith.solver": 2, "relevancy": 0},
    {"random_seed": 1},
    {"arith.solver": 2},
    {},
)
"""Settings of the solver, one after the other until there is an answer: now and then one of them takes half a minute
for a query that another decides at once. Each but the last has SHARE of the time."""
SHARE: Final = 0.1


def _decide(obligation: Obligation, timeout_ms: int) -> tuple[z3.CheckSatResult, str]:
    """What the solver says of an obligation; why it says nothing, where it does not."""
    answer, why = z3.unknown, ""
    for i, way in enumerate(WAYS):
        solver = z3.SimpleSolver()
        solver.set("timeout", timeout_ms if i == len(WAYS) - 1 else max(1, int(timeout_ms * SHARE)))
        for setting, value in way.items():
            solver.set(setting, value)
        if obligation.as_integers:
            solver.set("bv.solver", 2)
        solver.add(*obligation.query)
        answer = solver.check()
        if answer != z3.unknown:
            break
        why = why_unknown(solver)
    return answer, why


def terms(*terms: Bool) -> tuple[z3.BoolRef, ...]:
    """The formulas as terms of the solver."""
    return tuple(t if isinstance(t, z3.ExprRef) else z3.BoolVal(t) for t in terms)
