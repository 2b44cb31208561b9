# SPDX-License-Identifier: MIT
"""What a lemma is: named queries to the solver, and how they are decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
        solver = z3.SimpleSolver()
        solver.set(timeout=timeout_ms, relevancy=0)  # so a third faster, as is this way with sums
        solver.set("arith.solver", 2)
        if obligation.as_integers:
            solver.set("bv.solver", 2)
        solver.add(*obligation.query)
        answer = solver.check()
        wanted = z3.sat if obligation.consistent else z3.unsat
        if answer != wanted:
            verdict: Verdict = "unknown" if answer == z3.unknown else "refuted"
            why = f"{obligation.name}: {why_unknown(solver)}" if answer == z3.unknown else obligation.name
            return LemmaOutcome(verdict, count, time.perf_counter() - started, why)
    return LemmaOutcome("proved" if count else "vacuous", count, time.perf_counter() - started)


def terms(*terms: Bool) -> tuple[z3.BoolRef, ...]:
    """The formulas as terms of the solver."""
    return tuple(t if isinstance(t, z3.ExprRef) else z3.BoolVal(t) for t in terms)
