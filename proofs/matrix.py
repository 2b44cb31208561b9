# SPDX-License-Identifier: MIT
"""The atomicity matrix: call x errno x edition, each cell decided for any number of VMAs.

A cell says whether a call that fails with this errno may have changed anything, and if so what and where at most. Each
call is explored once for an edition; all its cells come from the same paths.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import z3
from pydantic import TypeAdapter

from checker.answers import GaveUp, why_unknown
from checker.calls import CallPath, ExploredCall, explore_arguments, explore_body, words_of
from checker.examples import Example
from checker.paths import TooManyPaths
from checker.prove import Examination, Prover
from checker.scenario import re_execute
from proofs.evidence import counterexample_of, witness_of
from proofs.extents import BORDERS, EXTENTS, KINDS, Extent, Kind
from proofs.results import Cell, Changes, CheckCell, EditionDoc, MatrixReport, Problem
from proofs.settled import settle
from proofs.tasks import Cache, Task, carry_out_tasks, words_of_task
from proofs.theorems import theorems
from spec.assumptions import ALWAYS
from spec.editions import EDITIONS, Edition
from spec.errors import Errno
from spec.predicates import Formula, same_memory, unchanged
from spec.properties import PROPERTIES, SYSTEM_CALLS, Property
from spec.syscalls import CALLS
from spec.terms import Bool, Num, eq, le, not_, or_

Cause = Literal["", "seal", "other"]


@dataclass(frozen=True, slots=True)
class Column:
    """A way to fail: an errno, and for EPERM whether a seal is the cause."""

    errno: Errno
    cause: Cause = ""

    @property
    def name(self) -> str:
        """As `Cell.column`."""
        return f"{self.errno.name}-{self.cause}" if self.cause else self.errno.name

    def has(self, errno: Errno, check: str) -> bool:
        """A failure with this errno by this check belongs here."""
        return errno is self.errno and (not self.cause or (self.cause == "seal") == (SEALED in check))

    def cell(self, call: str, edition: Edition, **made: Any) -> Cell:
        """A cell of this column."""
        return Cell(call=call, errno=self.errno.name, cause=self.cause, edition=edition.name, **made)


SEALED = "sealed"
"""The names of the checks that look at seals say so, and no other's."""
COLUMNS = (
    Column(Errno.EPERM, "seal"),
    Column(Errno.EPERM, "other"),
    *(Column(errno) for errno in Errno if errno not in (Errno.OK, Errno.EPERM)),
)
"""Every errno that the specification knows."""
PAGES = PROPERTIES["failure-changes-no-page"]
NOTHING = replace(PROPERTIES["failure-changes-nothing"], holds=same_memory)
"""A failure changes nothing of memory: of protection keys the matrix does not speak."""
MORE = ("no VMA more", "one VMA more", "two VMAs more")
"""By how much at most map_count may have grown, in words."""


CELLS: TypeAdapter[list[Cell]] = TypeAdapter(list[Cell])


def matrix(
    editions: Sequence[str],
    calls: Sequence[str] = SYSTEM_CALLS,
    *,
    timeout_ms: int = 20_000,
    jobs: int = 0,
    cache: Cache | None = None,
    on_cell: Callable[[Cell, int, int], None] | None = None,
) -> MatrixReport:
    """Decide every cell of the editions and calls, and what the cells say of the kernel's document. A call that an
    edition says nothing of has no cells.

    `timeout_ms` is for one query of the solver; `on_cell` is told of each cell, how many are done, and how many there
    will be. On Ctrl-C the report holds what was decided so far, and is not complete. Raises KeyError for an edition or
    call that does not exist.
    """
    started = time.perf_counter()
    tasks = [
        Task("matrix", call, name, None, timeout_ms) for name in editions for call in calls if EDITIONS[name].has(call)
    ]
    tasks.sort(key=lambda task: task.name not in ("mremap", "madvise"))  # the longest first
    total = len(tasks) * len(COLUMNS)
    found: list[Cell] = []
    problems: list[Problem] = []

    def lost(task: Task, known: Sequence[Cell], why: str) -> Iterator[Cell]:
        problems.append(Problem(task=words_of_task(task), verdict="error", why=why))
        return _undecided(task, why, COLUMNS[len(known) :])

    from_cache, complete = 0, True
    try:
        for _, cell, known in carry_out_tasks(tasks, cells, CELLS, is_decided, lost, jobs=jobs, cache=cache):
            found.append(cell)
            from_cache += known
            if on_cell is not None:
                on_cell(cell, len(found), total)
    except KeyboardInterrupt:
        complete = False
    columns = [(column.errno.name, column.cause) for column in COLUMNS]
    found.sort(key=lambda c: (editions.index(c.edition), calls.index(c.call), columns.index((c.errno, c.cause))))
    return MatrixReport(
        editions=[EditionDoc(name=name, kernel=EDITIONS[name].kernel) for name in editions],
        calls=list(calls),
        errnos=[errno.name for errno in Errno if errno is not Errno.OK],
        solver=f"z3 {z3.get_version_string()}",
        assumptions=list(ALWAYS),
        cells=found,
        settled=settle(found),
        problems=problems,
        from_cache=from_cache,
        seconds=round(time.perf_counter() - started, 3),
        complete=complete,
    )


def is_decided(cell: Cell) -> bool:
    """The cell will be the same next time."""
    return cell.verdict != "unknown"


def cells(task: Task) -> Iterator[Cell]:
    """All cells of one call in one edition, in the order of ERRNOS."""
    edition = EDITIONS[task.edition]
    try:
        explored = explore_body(task.name, edition)
    except TooManyPaths as many:
        yield from _undecided(task, str(many))
        return
    row = _Row(explored, Prover(explored, task.timeout_ms), edition, task.timeout_ms)
    for column in COLUMNS:
        yield row.cell(column)


def _undecided(task: Task, why: str, columns: Sequence[Column] = COLUMNS) -> Iterator[Cell]:
    for column in columns:
        told = f"undecided: {why}"
        yield column.cell(task.name, EDITIONS[task.edition], verdict="unknown", sentence=told, why=why)


@dataclass(frozen=True, slots=True)
class _Reached:
    """What the argument stage does with one errno."""

    checks: tuple[str, ...]
    words: dict[str, int] | None
    """64-bit arguments that are refused so; None if there are none."""
    unknown: str
    """Why the solver cannot tell of some arguments; empty if it can."""


class _Row:
    """The cells of one call in one edition."""

    def __init__(self, explored: ExploredCall, prover: Prover, edition: Edition, timeout_ms: int) -> None:
        self.explored, self.prover, self.edition, self.timeout_ms = explored, prover, edition, timeout_ms
        self.call = explored.call.name
        self.paths: dict[Column, list[CallPath]] = {column: [] for column in COLUMNS}
        for path in prover.feasible():
            for column in COLUMNS:
                if column.has(path.transition.errno, path.transition.check):
                    self.paths[column].append(path)
        self.stops = {id(path.transition): path.space.failing_page for path in explored.paths}
        self.examined = prover.examine([_of(prop, column) for column in COLUMNS for prop in (PAGES, NOTHING)])

    def cell(self, column: Column) -> Cell:
        """What such a failure may have changed."""
        found = self._decide(column)
        return column.cell(self.call, self.edition, **found, sentence=sentence(**found))

    def _decide(self, column: Column) -> dict[str, Any]:
        early, paths = self._arguments(column), self.paths[column]
        if early.unknown:
            return {"verdict": "unknown", "why": f"{early.unknown} on the argument stage"}
        pages, nothing = (self.examined[_of(prop, column).name] for prop in (PAGES, NOTHING))
        made: dict[str, Any] = {"queries": nothing.queries + pages.queries, "words": early.words}
        if pages.unknown or nothing.unknown:
            return made | {"verdict": "unknown", "why": pages.unknown or nothing.unknown}
        made["checks"] = _checks(early, paths, pages, nothing)
        if not paths and early.words is None:
            return made | {"verdict": "unreachable"}
        if nothing.proved:
            return made | self._atomic(paths, early)
        return made | self._partial(column, "boundaries" if pages.proved else "pages")

    def _arguments(self, column: Column) -> _Reached:
        """The argument stage looks at words only: it has no verb that changes anything."""
        checks: list[str] = []
        words: dict[str, int] | None = None
        unknown = ""
        for path in explore_arguments(self.call, self.edition):
            if not column.has(path.errno, path.check):
                continue
            solver = z3.SimpleSolver()
            solver.set("timeout", self.timeout_ms)
            solver.add(*path.conditions)
            answer = solver.check()
            if answer == z3.unknown:
                unknown = why_unknown(solver)
            if answer == z3.sat:
                checks.append(path.check)
                model = solver.model()
                names = words_of(CALLS[self.call])
                words = words or {n: model.eval(w, model_completion=True).as_long() for n, w in names.items()}
        return _Reached(tuple(dict.fromkeys(checks)), words, unknown)

    def _atomic(self, paths: list[CallPath], early: _Reached) -> dict[str, Any]:
        found = self._case(paths)
        if found is None and early.words is None:
            why = f"{self.prover.ran_out} in the search for one" if self.prover.ran_out else "none was found"
            return {"verdict": "unknown", "why": f"nothing changes, if there is a case that ends so: {why}"}
        return {"verdict": "atomic", "witness": None if found is None else witness_of(found, self.edition)}

    def _case(self, paths: list[CallPath]) -> Example | None:
        """A concrete case that fails as one of these paths does."""
        for check in dict.fromkeys(path.transition.check for path in paths):
            found = self.prover.reach([path for path in paths if path.transition.check == check])
            if found is not None:
                return found
        return None

    def _partial(self, column: Column, level: Literal["pages", "boundaries"]) -> dict[str, Any]:
        prop = PAGES if level == "pages" else NOTHING
        asked = _of(prop, column)
        decision = self.prover.conclude(asked, self.examined[asked.name])
        if decision.example is None:
            return {"verdict": "unknown", "why": "a change is neither excluded nor found: " + decision.why}
        [theorem] = theorems(self.edition, [prop.name], [self.call])
        try:
            counterexample = counterexample_of(theorem, decision.example, decision.page)
        except GaveUp as gave_up:
            return {"verdict": "unknown", "why": f"{gave_up} in the search for arguments of the counterexample"}
        wrong = re_execute(counterexample)
        if wrong:
            return {"verdict": "unknown", "why": "the concrete reading disagrees: " + "; ".join(wrong)}
        try:
            where, changes = self._pages(column) if level == "pages" else self._boundaries(column)
        except GaveUp as gave_up:
            return {"verdict": "unknown", "why": f"something changes, and {gave_up} in bounding it"}
        if not where or not changes:
            return {"verdict": "unknown", "why": "something changes, and no bound on it was proved"}
        return {
            "verdict": "partial",
            "level": level,
            "where": where,
            "changes": changes,
            "counterexample": counterexample,
        }

    def _pages(self, column: Column) -> tuple[str, list[str]]:
        """In which pages at most, and in what respects at most, a failure changes something: each was proved."""
        extents = [e for e in EXTENTS if self.call in e.calls and (not e.errnos or column.errno in e.errnos)]
        where = self._first(column, [(e.words, self._within(e), e.second) for e in extents])
        kinds = [replace(_of(PAGES, column), name=f"kind {i}", holds=_without(kind)) for i, kind in enumerate(KINDS)]
        proved = self._proved(kinds)
        changes = [kind.words for kind, asked in zip(KINDS, kinds, strict=True) if not proved[asked.name]]
        return where, changes

    def _within(self, extent: Extent) -> Callable[..., Bool]:
        """At the page nothing is changed, or the extent contains it."""

        def holds(t: Any, p: Num, *q: Num) -> Bool:
            if not extent.stops:
                return or_(unchanged(t, p), extent.contains(t, p, *q))
            stop = self.stops[id(t)]
            return or_(unchanged(t, p), False if stop is None else extent.contains(t, p, stop))

        return holds

    def _boundaries(self, column: Column) -> tuple[str, list[str]]:
        """Where at most boundaries between VMAs appear or vanish, and how many VMAs more there may be."""
        borders = [border for border in BORDERS if self.call in border.calls]

        def only(at: Callable[[Any, Num], Bool]) -> Callable[..., Bool]:
            return lambda t, p: or_(eq(t.before.cut(p), t.after.cut(p)), at(t, p))

        def few(number: int) -> Callable[..., Bool]:
            return lambda t, p: le(t.after.map_count, t.before.map_count + number)

        where = self._first(column, [(border.words, only(border.at), False) for border in borders])
        more = self._first(column, [(words, few(number), False) for number, words in enumerate(MORE)])
        return where, [more] if more else []

    def _first(self, column: Column, claims: Sequence[tuple[str, Callable[..., Bool], bool]]) -> str:
        """The words of the first claim that holds of every such failure; empty if none does."""
        props = [
            replace(_of(PAGES, column), name=f"claim {i}", holds=holds, when=lambda t, *pages: True, second=second)
            for i, (_, holds, second) in enumerate(claims)
        ]
        proved = self._proved(props)
        held = (words for (words, _, _), prop in zip(claims, props, strict=True) if proved[prop.name])
        return next(held, "")

    def _proved(self, props: Sequence[Property]) -> dict[str, bool]:
        """Which of the properties are proved. Raises GaveUp where the solver cannot tell: a bound must not depend on
        how much time there was."""
        examined = self.prover.examine(props)
        for examination in examined.values():
            if examination.unknown:
                raise GaveUp(examination.unknown)
        return {name: examination.proved for name, examination in examined.items()}


def _without(kind: Kind) -> Formula:
    """The page is not changed in that respect."""
    return lambda t, p: not_(kind.differs(t, p))


def _of(prop: Property, column: Column) -> Property:
    """The property for failures of this column."""
    name = f"{prop.name} ({column.errno.name} {column.cause})"
    return replace(prop, name=name, outcomes=lambda t: column.has(t.errno, t.check))


def _checks(early: _Reached, paths: list[CallPath], pages: Examination, nothing: Examination) -> list[CheckCell]:
    """What fails so: each check, and what may have changed when it does."""
    found = [CheckCell(check=check, stage="arguments", changes="nothing") for check in early.checks]
    broken: dict[str, Changes] = {item.path.transition.check: "boundaries" for item in nothing.opened}
    broken |= {item.path.transition.check: "pages" for item in pages.opened}
    for check in dict.fromkeys(path.transition.check for path in paths):
        found.append(CheckCell(check=check, stage="body", changes=broken.get(check, "nothing")))
    return found


def sentence(
    verdict: str, level: str = "", where: str = "", changes: Sequence[str] = (), why: str = "", **rest: object
) -> str:
    """A cell in words."""
    if verdict == "atomic":
        return "nothing at all is changed"
    if verdict == "unreachable":
        return "it never fails so"
    if verdict == "unknown":
        return f"undecided: {why}"
    if level == "boundaries":
        return f"no page is changed, but boundaries between VMAs may be, {where} only: {' and '.join(changes)} at most"
    *first, last = changes
    respects = f"{', '.join(first)} or {last}" if first else last
    return f"{where} may be {respects}; no other page is changed"
