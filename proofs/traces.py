# SPDX-License-Identifier: MIT
"""Attack traces as tasks, so that they are kept from one run to the next: to refuted theorems, and to failures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from checker.documents.counterexamples import Counterexample
from checker.search_traces import MAX_CALLS, attack_trace, attack_traces
from proofs.matrix import COLUMNS, NOTHING, PAGES
from proofs.results import Cell, Frozen
from proofs.tasks import Task
from proofs.theorems import theorems
from spec.editions import EDITIONS, Edition
from spec.properties import PROPERTIES

NONE = f"no series of up to {MAX_CALLS} calls that the search knows ends so"


class TraceResult(Frozen):
    """The shortest series of calls found, from an empty address space, the last of which breaks a property."""

    property: str
    call: str
    """The last call."""
    edition: str
    trace: Counterexample | None
    why: str
    """Why there is none."""


def traces(task: Task) -> Iterator[TraceResult]:
    """For each property of the task, the shortest series of calls that ends with the task's call."""
    edition = EDITIONS[task.edition]
    expected = {t.property.name: t.expected for t in theorems(edition, list(task.properties or ()), [task.name])}
    for kind in dict.fromkeys(expected.values()):
        props = [PROPERTIES[name] for name, how in expected.items() if how == kind]
        found = attack_traces(props, edition, calls=[task.name], expected=kind)
        for name, trace in found.items():
            yield TraceResult(
                property=name, call=task.name, edition=task.edition, trace=trace, why="" if trace else NONE
            )


class FailureTrace(Frozen):
    """The shortest series of calls found, from an empty address space, the last of which fails in a certain way and
    changes something all the same."""

    failure: str
    """As `failure_name` has it."""
    call: str
    """The last call."""
    edition: str
    trace: Counterexample | None
    why: str
    """Why there is none."""


def failure_name(cell: Cell) -> str:
    """The failure of a cell of the atomicity matrix, and what it changes: `ENOMEM pages`, `EPERM-seal boundaries`."""
    return f"{cell.column} {cell.level}"


def failure_traces(task: Task) -> Iterator[FailureTrace]:
    """For each failure (`failure_name`) that the task lists as its properties, the shortest series of calls that ends
    with the task's call and fails so."""
    edition = EDITIONS[task.edition]
    for failure in task.properties or ():
        trace = _to_failure(task.name, failure, edition)
        yield FailureTrace(
            failure=failure, call=task.name, edition=task.edition, trace=trace, why="" if trace else NONE
        )


def _to_failure(call: str, failure: str, edition: Edition) -> Counterexample | None:
    named, level = failure.split(" ")
    column = next(column for column in COLUMNS if column.name == named)
    prop = PAGES if level == "pages" else NOTHING
    [theorem] = theorems(edition, [prop.name], [call])

    failing_so = replace(prop, outcomes=lambda t: column.has(t.errno, t.check))
    return attack_trace(failing_so, edition, calls=[call], expected=theorem.expected)
