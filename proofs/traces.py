"""Attack traces of refuted theorems as tasks, so that they are kept from one run to the next: the search is slow."""

from __future__ import annotations

from collections.abc import Iterator

from checker.documents import Counterexample
from checker.search_traces import MAX_CALLS, attack_traces
from proofs.results import Frozen
from proofs.tasks import Task
from proofs.theorems import theorems
from spec.editions import EDITIONS
from spec.properties import PROPERTIES


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
            why = "" if trace else f"no series of up to {MAX_CALLS} calls that the search knows breaks it"
            yield TraceResult(property=name, call=task.name, edition=task.edition, trace=trace, why=why)
