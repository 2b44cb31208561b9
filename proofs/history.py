# SPDX-License-Identifier: MIT
"""The time machine: what happened to sealing, and the property that finds it in the edition that has it.

The properties are the documented contract and know nothing of what happened. Each is asked of the editions before and
after; what comes out must be what the row says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import z3

from proofs.results import HistoryReport, HistoryRow, HistoryVerdict, Problem, TheoremResult
from proofs.run import RESULTS, carry_out, is_decided, lost
from proofs.tasks import Cache, Task, carry_out_tasks
from spec.assumptions import ALWAYS
from spec.editions import KERNELS, MUNMAP_VARIANT, TWO_PASS, V6_11, V6_12, V6_17, V6_18, V10
from spec.properties import PROPERTIES

MAX_VMAS, MAX_CALLS = 3, 2
"""No counterexample of the history is larger."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A row: where the property is broken, and where it was before, or is again."""

    id: str
    happened: str
    kind: Literal["bug", "change of contract", "open"]
    property: str
    calls: tuple[str, ...]
    found: tuple[str, ...]
    """Editions in which every one of the calls breaks the property."""
    proved: tuple[str, ...]
    """Editions in which none does."""


_UP_FRONT = (V10.name, V6_11.name)
_SINCE_6_12 = tuple(name for name in KERNELS if name not in _UP_FRONT)

HAPPENINGS: tuple[Happening, ...] = (
    Happening(
        "H1",
        "madvise of v10 tested the advice, which is an enumeration, as if it were a mask of bits, and so refused "
        "advice that discards nothing.",
        "bug",
        "refused-advice-discards",
        ("madvise",),
        (V10.name,),
        tuple(name for name in KERNELS if name != V10.name),
    ),
    Happening(
        "H2",
        "A version of the 6.12 series had munmap's loop test the first VMA again where it should test the next one; it "
        "was found in review and never merged.",
        "bug",
        "never-unmapped",
        ("munmap",),
        (MUNMAP_VARIANT.name,),
        (V6_12.name,),
    ),
    Happening(
        "H3",
        "Linux 6.12 moved the seal test into each call's own loop: a refused call may have changed the VMAs before the "
        "sealed one.",
        "change of contract",
        "eperm-changes-nothing",
        ("mprotect", "pkey_mprotect", "madvise"),
        _SINCE_6_12,
        (*_UP_FRONT, TWO_PASS.name),
    ),
    Happening(
        "H4",
        "The seal test of madvise exempts private file mappings: a page that was copied on write loses its contents to "
        "MADV_DONTNEED, seal or no seal.",
        "open",
        "private-file-contents-stay",
        ("madvise",),
        KERNELS,
        (),
    ),
    Happening(
        "H5",
        "The loop of mseal, rewritten for Linux 6.17, went on from where a VMA had ended before it was merged "
        "(CVE-2026-23416).",
        "bug",
        "alike-neighbours-merge",
        ("mseal",),
        (V6_17.name,),
        (V6_12.name, V6_18.name),
    ),
)


def history(
    *,
    timeout_ms: int = 20_000,
    jobs: int = 0,
    cache: Cache | None = None,
    on_result: Callable[[TheoremResult, int], None] | None = None,
) -> HistoryReport:
    """Ask every property of every row of the editions that the row names. `on_result` is told of each answer, and how
    many there will be. On Ctrl-C the report holds the rows that were finished, and is not complete."""
    started = time.perf_counter()
    asked: dict[tuple[str, str], dict[str, None]] = {}
    for row in HAPPENINGS:
        for call in row.calls:
            for edition in (*row.found, *row.proved):
                asked.setdefault((call, edition), {})[row.property] = None
    tasks = [Task("property", call, edition, tuple(names), timeout_ms) for (call, edition), names in asked.items()]
    total = sum(len(names) for names in asked.values())
    known: dict[tuple[str, str, str], TheoremResult] = {}
    problems: list[Problem] = []
    from_cache, complete = 0, True
    try:
        for _, result, cached in carry_out_tasks(tasks, carry_out, RESULTS, is_decided, lost, jobs=jobs, cache=cache):
            if isinstance(result, TheoremResult):
                known[result.property, result.call, result.edition] = result
                from_cache += cached
                if on_result is not None:
                    on_result(result, total)
            elif isinstance(result, Problem):
                problems.append(result)
    except KeyboardInterrupt:
        complete = False
    return HistoryReport(
        solver=f"z3 {z3.get_version_string()}",
        assumptions=list(ALWAYS),
        rows=[_row(row, known) for row in HAPPENINGS if complete or _finished(row, known)],
        problems=problems,
        from_cache=from_cache,
        seconds=round(time.perf_counter() - started, 3),
        complete=complete,
    )


def _places(row: Happening) -> list[tuple[str, str, Literal["found", "proved"]]]:
    found: list[tuple[str, str, Literal["found", "proved"]]] = []
    for call in row.calls:
        found += [(call, edition, "found") for edition in row.found]
        found += [(call, edition, "proved") for edition in row.proved]
    return found


def _finished(row: Happening, known: dict[tuple[str, str, str], TheoremResult]) -> bool:
    return all((row.property, call, edition) in known for call, edition, _ in _places(row))


def _row(row: Happening, known: dict[tuple[str, str, str], TheoremResult]) -> HistoryRow:
    verdicts = []
    for call, edition, expected in _places(row):
        result = known[row.property, call, edition]
        example = result.counterexample
        small = example is not None and example.size.vmas <= MAX_VMAS and example.size.calls <= MAX_CALLS
        found = result.verdict == "refuted" and small
        verdicts.append(
            HistoryVerdict(
                call=call,
                edition=edition,
                expected=expected,
                verdict=result.verdict,
                as_expected=found if expected == "found" else result.verdict == "proved",
                size=None if example is None else example.size,
                counterexample=example,
                why=result.why,
            )
        )
    return HistoryRow(
        id=row.id,
        happened=row.happened,
        kind=row.kind,
        property=row.property,
        sentence=PROPERTIES[row.property].sentence,
        verdicts=verdicts,
    )
