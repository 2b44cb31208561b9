# SPDX-License-Identifier: MIT
"""Gather what a report shows: verdicts, counterexamples, traces, programs, explanations; from the cache where it knows.

`gather` makes the `Review` that every format is rendered from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pydantic import TypeAdapter

from checker.digest import case_digest
from checker.documents.counterexamples import Counterexample
from checker.lab.replay import Replay
from proofs import run
from proofs.diff import diff
from proofs.history import history
from proofs.lemmas import lemmas_of
from proofs.matrix import matrix
from proofs.results import Cell, HistoryRow, Problem, ProofReport, TheoremResult
from proofs.tasks import Cache, Task, carry_out_tasks, words_of_task
from proofs.traces import FailureTrace, TraceResult, failure_name, failure_traces, traces
from reports.exclusions import exclusions
from reports.explain import Explanation, explain
from reports.programs import ProgramsResult, programs
from reports.review import (
    Advice,
    AssumptionFacts,
    Case,
    CellFacts,
    DiffFacts,
    EditionFacts,
    Ending,
    Fact,
    HistoryFacts,
    Lemma,
    MatrixFacts,
    Mutant,
    Programs,
    PropertyFacts,
    Review,
    Theorem,
)
from reports.strip import narrative
from spec.assumptions import ALWAYS, ASSUMPTIONS
from spec.editions import EDITIONS
from spec.properties import PROPERTIES, SYSTEM_CALLS

R = TypeVar("R")
M = TypeVar("M", bound=Fact)
OnStep = Callable[[str, int, int], None]
"""Progress: what is being worked out, how much of it is done, and how much there is (0: not known)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a review is to be about. Names exist (the command has checked them)."""

    editions: tuple[str, ...]
    against: str | None = None
    """The edition, one of those, that the others are held against."""
    properties: tuple[str, ...] | None = None
    calls: tuple[str, ...] | None = None
    lemmas: bool = True
    mutants: bool = True
    traces: bool = True
    matrix: bool = True
    history: bool = True
    """The time machine; it is left out all the same if properties or calls are chosen."""
    replays: tuple[Replay, ...] = ()
    recorded: tuple[Replay, ...] = ()
    """Replays that were recorded before; one counts for the very case that was tried, or not at all."""
    timeout_ms: int = 20_000
    jobs: int = 0


class _Explained(Fact):
    """An explanation as the result of a task."""

    explanation: Explanation


def gather(
    wanted: Wanted, *, verdicts: Cache | None = None, kept: Cache | None = None, on_step: OnStep | None = None
) -> Review:
    """All facts of a review. `verdicts` keeps results of proofs, `kept` what is worked out from them (reports.kept).

    Raises KeyboardInterrupt on Ctrl-C; what was decided by then is in the caches.
    """
    gatherer = _Gatherer(wanted, verdicts, kept, on_step or (lambda what, done, total: None))
    editions = tuple(gatherer.edition(name) for name in wanted.editions)
    matrix = gatherer.matrix() if wanted.matrix else None
    history = gatherer.history() if wanted.history and wanted.properties is wanted.calls is None else None
    cases = tuple(gatherer.told())
    diffs, elsewhere = tuple(gatherer.diffs()), tuple(gatherer.elsewhere())
    used = {theorem.property for edition in editions for theorem in edition.theorems}
    return Review(
        properties=tuple(
            PropertyFacts(name=p.name, sentence=p.sentence, source=p.source, calls=p.calls, assumptions=p.assumptions)
            for p in PROPERTIES.values()
            if p.name in used
        ),
        editions=editions,
        against=wanted.against or "",
        cases=cases,
        matrix=matrix,
        history=history,
        diffs=diffs,
        elsewhere=elsewhere,
        assumptions=tuple(
            AssumptionFacts(name=a.name, sentence=a.sentence, why=a.why, hides=a.hides, always=a.name in ALWAYS)
            for a in ASSUMPTIONS.values()
        ),
        exclusions=exclusions(),
        problems=tuple(gatherer.problems),
    )


class _Gatherer:
    """Works out one thing after the other; `cases` collects the counterexamples by id."""

    def __init__(self, wanted: Wanted, verdicts: Cache | None, kept: Cache | None, on_step: OnStep) -> None:
        self.wanted, self.verdicts, self.kept, self.on_step = wanted, verdicts, kept, on_step
        self.cases: dict[str, Case] = {}
        self.failures: dict[str, Cell] = {}
        """The cells of the matrix that the cases by these ids are cases of."""
        self.problems: list[Problem] = []
        """What has no result."""
        self.known: dict[str, str] = {}
        """The ids of cases by their digests."""

    def edition(self, name: str) -> EditionFacts:
        """The facts of an edition."""
        edition = EDITIONS[name]
        report = self._prove(name)
        for t in report.theorems:
            if t.counterexample is not None:
                file = self._place(name, "counterexamples", f"{t.property}-{t.call}")
                self._enter(theorem_id(name, t.property, t.call), file, t.counterexample)
        return EditionFacts(
            name=name,
            kernel=edition.kernel,
            standing=edition.standing.value,
            solver=report.solver,
            complete=report.complete,
            theorems=tuple(self._theorem(result) for result in report.theorems),
            lemmas=tuple(Lemma(**r.model_dump()) for r in report.lemmas),
            outcomes=tuple(Ending(**r.model_dump(exclude={"witness"})) for r in report.reachability),
            mutants=tuple(Mutant(**r.model_dump()) for r in report.mutants),
            blocked_advice=tuple(Advice(**r.model_dump()) for r in report.blocked_advice),
            explanations=tuple(self._explanations(name, list(dict.fromkeys(t.call for t in report.theorems)))),
        )

    def _prove(self, name: str) -> ProofReport:
        wanted = self.wanted

        def told(event: run.Event) -> None:
            self.on_step(f"{name}: {event.kind}", event.done, event.total)

        report = run.prove(
            name,
            properties=None if wanted.properties is None else list(wanted.properties),
            calls=None if wanted.calls is None else list(wanted.calls),
            timeout_ms=wanted.timeout_ms,
            mutants=wanted.mutants,
            lemmas=wanted.lemmas,
            on_event=told,
            jobs=wanted.jobs,
            cache=self.verdicts,
        )
        if not report.complete:
            raise KeyboardInterrupt
        self.problems += report.problems
        return report

    def _theorem(self, result: TheoremResult) -> Theorem:
        id = theorem_id(result.edition, result.property, result.call)
        proof = result.verdict == "proved" and result.engine == "unbounded"
        return Theorem(
            id=id,
            file=self._place(result.edition, "theorems", f"{result.property}-{result.call}"),
            lemmas=lemmas_of(EDITIONS[result.edition]) if proof else (),
            counterexample=id if result.counterexample is not None else "",
            **result.model_dump(exclude={"queries", "paths", "counterexample"}),
        )

    def _place(self, edition: str, folder: str, name: str) -> str:
        """The files of one thing below the report's folder: those of an edition in a folder of their own if there are
        several."""
        return "/".join((*([edition] if len(self.wanted.editions) > 1 else []), folder, name))

    # counterexamples --------------------------------------------------------------------------------------------------

    def _enter(self, id: str, file: str, document: Counterexample) -> str:
        """Enter a counterexample; returns its id. The same case may be entered already, by another name, and so may
        another case of the same theorem: one is enough."""
        if id in self.cases:
            return id
        known = self.known.setdefault(case_digest(document), id)
        if known == id:
            self.cases[id] = Case(id=id, file=file, document=document, story=tuple(narrative(document)))
        return known

    def told(self) -> Iterator[Case]:
        """The counterexamples, with all that is known of them. To be asked when all of them are entered."""
        by_edition: dict[str, list[Case]] = {}
        for case in self.cases.values():
            by_edition.setdefault(case.document.edition, []).append(case)
        digests = {id: digest for digest, id in self.known.items()}
        made: dict[str, Programs] = {}
        traced: dict[str, tuple[Counterexample | None, str]] = {}
        for edition, cases in by_edition.items():
            made |= self._programs(edition, {digests[case.id]: case.document for case in cases})
            if self.wanted.traces:
                traced |= self._traces(edition, [case for case in cases if case.id not in self.failures])
                traced |= self._failure_traces(edition, [case for case in cases if case.id in self.failures])
        replays = [replay.model_copy(update={"scenario": None}) for replay in self.wanted.replays]
        others = [replay for replay in replays if replay.case not in self.known]
        given = {(replay.case, replay.kernel) for replay in replays}
        replays += [r for r in self.wanted.recorded if r.case in self.known and (r.case, r.kernel) not in given]
        for case in self.cases.values():
            trace, why = traced.get(case.id, (None, "not looked for"))
            of_this = case.document.edition, case.document.property, case.document.call
            theorem = case.id == theorem_id(*of_this)
            yield case.model_copy(
                update={
                    "trace": trace,
                    "trace_story": tuple(narrative(trace)) if trace else (),
                    "why_no_trace": why,
                    "live": tuple(
                        r for r in replays if r.case == digests[case.id] and (r.edition, r.property, r.call) == of_this
                    ),
                    "live_others": tuple(r for r in others if theorem and (r.edition, r.property, r.call) == of_this),
                    "programs": made[digests[case.id]],
                }
            )

    def _traces(self, edition: str, cases: Sequence[Case]) -> dict[str, tuple[Counterexample | None, str]]:
        """For each counterexample to a theorem, by its id, a trace to such a failure; or why there is none."""
        by_call: dict[str, dict[str, str]] = {}
        for case in cases:
            by_call.setdefault(case.document.call, {})[case.document.property] = case.id
        tasks = [Task("trace", call, edition, tuple(names), 0) for call, names in by_call.items()]
        results: TypeAdapter[list[TraceResult]] = TypeAdapter(list[TraceResult])

        def lost(task: Task, found: Sequence[TraceResult], why: str) -> list[TraceResult]:
            left = set(task.properties or ()) - {result.property for result in found}
            self.problems.append(Problem(task=words_of_task(task), verdict="error", why=why))
            return [
                TraceResult(property=name, call=task.name, edition=task.edition, trace=None, why=why) for name in left
            ]

        found = carry_out_tasks(tasks, traces, results, _always, lost, jobs=self.wanted.jobs, cache=self.kept)
        watched = self._watched(f"{edition}: trace", found, len(cases))
        return {by_call[r.call][r.property]: (r.trace, r.why) for r in watched}

    def _failure_traces(self, edition: str, cases: Sequence[Case]) -> dict[str, tuple[Counterexample | None, str]]:
        """The same for counterexamples of cells of the matrix: the last call fails as in the cell."""
        by_call: dict[str, dict[str, str]] = {}
        for case in cases:
            by_call.setdefault(case.document.call, {})[failure_name(self.failures[case.id])] = case.id
        tasks = [Task("failure-trace", call, edition, tuple(names), 0) for call, names in by_call.items()]
        results: TypeAdapter[list[FailureTrace]] = TypeAdapter(list[FailureTrace])

        def lost(task: Task, found: Sequence[FailureTrace], why: str) -> list[FailureTrace]:
            left = set(task.properties or ()) - {result.failure for result in found}
            self.problems.append(Problem(task=words_of_task(task), verdict="error", why=why))
            return [
                FailureTrace(failure=name, call=task.name, edition=task.edition, trace=None, why=why) for name in left
            ]

        found = carry_out_tasks(tasks, failure_traces, results, _always, lost, jobs=self.wanted.jobs, cache=self.kept)
        watched = self._watched(f"{edition}: trace to a failure", found, len(cases))
        return {by_call[r.call][r.failure]: (r.trace, r.why) for r in watched}

    def _programs(self, edition: str, documents: Mapping[str, Counterexample]) -> dict[str, Programs]:
        """The programs of documents that are given by their digests."""
        by_call: dict[str, list[str]] = {}
        for name, document in documents.items():
            by_call.setdefault(document.call, []).append(name)
        tasks = [Task("programs", call, edition, tuple(names), 0) for call, names in by_call.items()]
        results: TypeAdapter[list[ProgramsResult]] = TypeAdapter(list[ProgramsResult])
        work = partial(programs, documents)
        made = carry_out_tasks(tasks, work, results, _always, _again(work), cache=self.kept)
        return {r.digest: r.programs for r in self._watched(f"{edition}: program", made, len(documents))}

    # matrix, history, explanations ------------------------------------------------------------------------------------

    def matrix(self) -> MatrixFacts:
        """The atomicity matrix of the editions and calls."""
        chosen = [call for call in SYSTEM_CALLS if self.wanted.calls is None or call in self.wanted.calls]
        report = matrix(
            self.wanted.editions,
            chosen,
            timeout_ms=self.wanted.timeout_ms,
            jobs=self.wanted.jobs,
            cache=self.verdicts,
            on_cell=lambda cell, done, total: self.on_step("matrix", done, total),
        )
        if not report.complete:
            raise KeyboardInterrupt
        self.problems += report.problems
        return MatrixFacts(
            calls=tuple(report.calls),
            columns=tuple(dict.fromkeys((cell.errno, cell.cause) for cell in report.cells)),
            cells=tuple(self._cell(cell) for cell in report.cells),
            settled=tuple(report.settled),
        )

    def _cell(self, cell: Cell) -> CellFacts:
        id, case = f"{cell.edition}/{cell.call}/{cell.column}", ""
        if cell.counterexample is not None:
            case = self._enter(
                id, self._place(cell.edition, "matrix", f"{cell.call}-{cell.column}"), cell.counterexample
            )
            if case == id:
                self.failures[id] = cell
        return CellFacts(id=id, cell=cell.model_copy(update={"counterexample": None}), case=case)

    def diffs(self) -> Iterator[DiffFacts]:
        """Each other edition against the one that is named."""
        against = self.wanted.against
        if against is not None:
            yield from (self.diff(name, against) for name in self.wanted.editions if name != against)

    def diff(self, first: str, second: str) -> DiffFacts:
        """An edition, held against another one."""
        report = diff(
            first,
            second,
            self.wanted.calls,
            timeout_ms=self.wanted.timeout_ms,
            jobs=self.wanted.jobs,
            cache=self.verdicts,
            on_call=lambda call, done, total: self.on_step(f"{first} against {second}", done, total),
        )
        if not report.complete:
            raise KeyboardInterrupt
        self.problems += report.problems
        return DiffFacts(
            first=first,
            second=second,
            fields=report.fields,
            calls=tuple(call.model_copy(update={"seconds": 0.0}) for call in report.calls),
            lemmas=tuple(Lemma(**r.model_dump()) for r in report.lemmas),
        )

    def history(self) -> tuple[HistoryFacts, ...]:
        """The time machine."""
        report = history(
            timeout_ms=self.wanted.timeout_ms,
            jobs=self.wanted.jobs,
            cache=self.verdicts,
            on_result=lambda result, total: self.on_step("history", 0, total),
        )
        if not report.complete:
            raise KeyboardInterrupt
        self.problems += report.problems
        return tuple(self._happened(row) for row in report.rows)

    def _happened(self, row: HistoryRow) -> HistoryFacts:
        cases, verdicts = {}, []
        for verdict in row.verdicts:
            if verdict.counterexample is not None:
                id = theorem_id(verdict.edition, row.property, verdict.call)
                file = f"history/{verdict.edition}-{row.property}-{verdict.call}"
                cases[f"{verdict.edition}/{verdict.call}"] = self._enter(id, file, verdict.counterexample)
            verdicts.append(verdict.model_copy(update={"counterexample": None}))
        return HistoryFacts(row=row.model_copy(update={"verdicts": verdicts}), cases=cases)

    def elsewhere(self) -> Iterator[Explanation]:
        """The calls of the counterexamples whose editions are not asked for."""
        calls: dict[str, dict[str, None]] = {}
        for case in self.cases.values():
            if case.document.edition not in self.wanted.editions:
                calls.setdefault(case.document.edition, {})[case.document.steps[-1].call] = None
        for edition, names in calls.items():
            yield from self._explanations(edition, list(names))

    def _explanations(self, edition: str, calls: Sequence[str]) -> Iterator[Explanation]:
        tasks = [Task("explanation", call, edition, None, 0) for call in calls]
        results: TypeAdapter[list[_Explained]] = TypeAdapter(list[_Explained])
        made = carry_out_tasks(
            tasks, _explained, results, _always, _again(_explained), jobs=self.wanted.jobs, cache=self.kept
        )
        found = {r.explanation.call: r.explanation for r in self._watched(f"{edition}: call", made, len(calls))}
        return (found[call] for call in calls)

    def _watched(self, what: str, results: Iterator[tuple[Task, R, bool]], total: int) -> Iterator[R]:
        for done, (_, result, _) in enumerate(results, 1):
            self.on_step(what, done, total)
            yield result


def theorem_id(edition: str, property: str, call: str) -> str:
    """What a theorem, and the counterexample to it, is called in a review."""
    return f"{edition}/{property}/{call}"


def _always(result: object) -> bool:
    """What is worked out does not depend on a time limit."""
    return True


def _again(work: Callable[[Task], Iterator[M]]) -> Callable[[Task, Sequence[M], str], list[M]]:
    """For what takes neither time nor memory: where its process was lost, work it out in this one."""
    return lambda task, found, why: list(work(task))[len(found) :]


def _explained(task: Task) -> Iterator[_Explained]:
    yield _Explained(explanation=explain(task.name, EDITIONS[task.edition]))
