# SPDX-License-Identifier: MIT
"""Mutants: each check of the specification is dropped in turn, and some theorem must break.

The list of checks is not written by hand: it is what the calls came to when all their paths were explored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import z3

from checker.answers import why_unknown
from checker.calls import ExploredCall, explore_arguments, walk_body, words_of
from checker.examples import violation
from checker.prove import Prover
from proofs.evidence import witness_of
from proofs.recorded import Cases, kills
from proofs.results import MutantResult, Witness
from proofs.survivors import expected_survivors, why_it_survives
from proofs.theorems import theorems
from spec.documented import DOCUMENTED
from spec.editions import Edition
from spec.errors import Errno
from spec.properties import Property
from spec.syscalls import CALLS
from spec.terms import not_


def body_checks(explored: ExploredCall) -> list[str]:
    """The checks of a call's body, less those that the environment decides."""
    return sorted(explored.world.checks - explored.world.environment_checks)


def argument_checks(call: str, edition: Edition) -> list[str]:
    """The checks of a call's argument stage."""
    return sorted({check for path in explore_arguments(call, edition) for check in path.checks})


def holding(call: str, edition: Edition) -> list[Property]:
    """The properties that the call is expected to keep, those that fail soonest first."""
    first = ("success-does-what-it-says", "never-unmapped", "map-count-stays-in-bounds", "special-stays-whole")
    found = [t.property for t in theorems(edition, calls=[call]) if not t.broken]
    return sorted(found, key=lambda p: first.index(p.name) if p.name in first else len(first))


def kill_body_mutant(
    call: str,
    edition: Edition,
    check: str,
    props: Sequence[Property],
    timeout_ms: int,
    cases: Cases | None = None,
    *,
    with_case: bool = False,
) -> MutantResult:
    """Drop a check of the body and look for a theorem that breaks: a recorded case that breaks one is executed, or else
    the solver is asked; `with_case`: and a case is looked for that shows it."""
    started = time.perf_counter()
    for case in cases.that(kills(check)) if cases is not None else ():
        broken = next((prop for prop in props if violation(prop, case, edition, check) is not None), None)
        if broken is not None and cases is not None:
            cases.answered(check, by_case=True)
            return _result(call, check, broken.name, "", started, edition, witness_of(case, edition))
    explored, paths = walk_body(call, edition, check)
    prover = Prover(explored, timeout_ms)
    killed, unknown, example = "", "", None
    for path in paths:
        if not path.space.let_passed:
            continue  # this path never came to the check, or the check would have let it pass: nothing is different
        name, why = prover.first_broken(props, path)
        unknown = why or unknown
        killed = killed or name
        if name and with_case:
            example = prover.case_of(next(prop for prop in props if prop.name == name), path, check)
        if killed and (example is not None or not with_case):
            break
    if cases is not None and killed:
        cases.answered(f"{call} without the check: {check}", by_case=False)
    shown = witness_of(example, edition) if example is not None else None
    return _result(call, check, killed, unknown, started, edition, shown)


def kill_argument_mutant(call: str, edition: Edition, check: str, timeout_ms: int) -> MutantResult:
    """Drop a check of the argument stage: the documented errors or the bridge must break."""
    started = time.perf_counter()
    documented = DOCUMENTED[call][0](words_of(CALLS[call]), edition) if call in DOCUMENTED else {}
    killed, unknown = "", ""
    for path in explore_arguments(call, edition, check):
        if path.errno is Errno.OK:
            queries = [("argument-errors", z3.Or(list(documented.values())) if documented else z3.BoolVal(False))]
            if path.decoded is not None:
                queries += [("bridge", not_(f)) for f in path.decoded.facts(edition) if f is not True]
        else:
            wanted = documented.get(path.errno)
            queries = [("argument-errors", z3.BoolVal(True) if wanted is None else z3.Not(wanted))]
        for name, query in queries:
            solver = z3.SimpleSolver()
            solver.set("timeout", timeout_ms)
            solver.add(*path.conditions, query)
            answer = solver.check()
            if answer == z3.sat:
                killed = killed or name
            elif answer == z3.unknown:
                unknown = why_unknown(solver)
    return _result(call, check, killed, unknown, started, edition)


def _result(
    call: str,
    check: str,
    killed: str,
    unknown: str,
    started: float,
    edition: Edition,
    case: Witness | None = None,
) -> MutantResult:
    reason = why_it_survives(call, check, edition)
    undecided = "" if killed or not unknown else f"undecided: {unknown}"
    survived = not killed and not undecided
    return MutantResult(
        call=call,
        check=check,
        killed_by=killed,
        survived=survived,
        as_expected=not undecided and survived == bool(reason),
        reason=reason,
        why=undecided,
        case=case,
        seconds=round(time.perf_counter() - started, 3),
    )


def mutants_of(
    call: str,
    edition: Edition,
    explored: ExploredCall,
    timeout_ms: int,
    cases: Cases | None = None,
    *,
    with_cases: bool = False,
) -> Iterator[MutantResult]:
    """Drop every check of a call in turn; and say what is listed as a survivor and is no check of the call."""
    for check in argument_checks(call, edition):
        yield kill_argument_mutant(call, edition, check, timeout_ms)
    props = holding(call, edition)
    for check in body_checks(explored):
        yield kill_body_mutant(call, edition, check, props, timeout_ms, cases, with_case=with_cases)
    known = explored.world.checks | set(argument_checks(call, edition))
    for check in expected_survivors(call, edition):
        if check not in known:
            yield MutantResult(
                call=call, check=check, killed_by="", survived=True, as_expected=False,
                reason="listed as not needed, but the call has no such check", seconds=0,
            )  # fmt: skip
