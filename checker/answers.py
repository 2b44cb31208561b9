# SPDX-License-Identifier: MIT
"""What it means that the solver has no answer: that time or the step budget ran out says nothing of the question."""

from __future__ import annotations

import z3

TIME, STEPS, EITHER = "time ran out", "the step budget ran out", "time or the step budget ran out"


class GaveUp(Exception):
    """The solver has no answer where nothing goes on without one."""


def why_unknown(solver: z3.Solver, limit: str = TIME) -> str:
    """Return why the last query of the solver has no answer, in words. `limit` is what it was limited in: z3 says of
    every limit that the query was canceled."""
    reason = solver.reason_unknown()
    return limit if reason in ("canceled", "timeout") else f"the solver gave up: {reason}"


def is_sat(solver: z3.Solver) -> bool:
    """Return whether what is asserted can be. Raises GaveUp where the solver cannot tell."""
    answer = solver.check()
    if answer == z3.unknown:
        raise GaveUp(why_unknown(solver))
    return bool(answer == z3.sat)
