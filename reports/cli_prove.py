# SPDX-License-Identifier: MIT
"""`sealspec prove`: the theorems of an edition, with live progress, a table, and a report as JSON."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from reports.cli_common import (
    DEFAULT_EDITION,
    BadUsage,
    ExitCode,
    check_call,
    check_call_of,
    check_promised,
    check_property,
    console,
    edition_named,
    known_before,
    line,
    print_problems,
    printable,
    verdict_cache,
)
from reports.cli_interrupt import interruptible
from reports.outputs import Outputs
from reports.pulse import Pulse

if TYPE_CHECKING:
    from proofs.results import ProofReport, SecondOpinion
    from proofs.run import Event
    from proofs.second import Solver
    from reports.lead import Lead

KINDS = {
    "theorem": "theorems", "lemma": "lemmas", "reachable": "outcomes", "mutant": "mutants", "goals": "sets of goals",
    "second": "second opinions", "recomputed": "recomputed",
}  # fmt: skip
"""Kinds of event, and what several of them are called."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of `sealspec prove`."""

    properties: list[str] | None
    calls: list[str] | None
    edition: str | None
    json_file: str | None
    timeout_ms: int
    jobs: int
    mutants: bool
    lemmas: bool
    cache: bool
    second_solver: str | None = None


@dataclass(slots=True)
class Watcher:
    """Follows a run: draws its progress on a terminal, and remembers what was decided in case the run is broken off."""

    progress: Progress
    decided: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    bars: dict[str, TaskID] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Something was decided."""
        self.decided[event.kind] += 1
        if not event.as_expected:
            self.unexpected.append(f"{event.kind} {event.name}: {event.verdict}")
        if not event.as_expected:
            self.progress.console.print(Text(f"not as expected: {self.unexpected[-1]}", style="red"))
        if event.kind not in self.bars:
            # how many mutants and outcomes there are is known once the calls were explored: a total of 0
            self.bars[event.kind] = self.progress.add_task(
                KINDS.get(event.kind, event.kind), total=event.total or None, last=""
            )
        self.progress.update(
            self.bars[event.kind],
            completed=event.done,
            total=event.total or None,
            last=f"{event.name}: {event.verdict}",
        )

    def step(self, kind: str, name: str, as_expected: bool, done: int, total: int) -> None:
        """The same of goals: those of a call or a lemma were found or recomputed, or one was decided again."""
        from proofs.run import Event

        self(Event(kind, name, "done" if as_expected else "not as it should be", as_expected, done, total))


def prove(request: Request) -> ExitCode:
    """Run the proofs and show what came of them. Raises BadUsage."""
    chosen = edition_named(request.edition or DEFAULT_EDITION)
    check_selection(request.properties, request.calls)
    for name in request.properties or ():
        check_promised(chosen, name)
    for call in request.calls or ():
        check_call_of(chosen, call)
    edition = chosen.name
    files = Outputs({"--json": request.json_file})
    solver = None if request.second_solver is None else solver_named("--second-solver", request.second_solver)
    from proofs import run as proofs

    out = console(error=files.standard)
    watcher = Watcher(progress_bars())

    try:
        with watcher.progress, interruptible():
            report = proofs.prove(
                edition,
                properties=request.properties,
                calls=request.calls,
                timeout_ms=request.timeout_ms,
                mutants=request.mutants,
                lemmas=request.lemmas,
                on_event=watcher,
                jobs=request.jobs,
                cache=verdict_cache(request.cache),
            )
            if solver is not None and report.complete:
                from proofs.opinion import second_opinion

                report = second_opinion(
                    report,
                    solver,
                    properties=request.properties,
                    calls=request.calls,
                    lemmas=request.lemmas,
                    timeout_ms=request.timeout_ms,
                    jobs=request.jobs,
                    on_step=watcher.step,
                )
    except KeyboardInterrupt:
        _print_broken_off(out, edition, watcher)
        return ExitCode.INTERRUPTED
    except OSError as error:
        raise BadUsage(f"no goals can be written: {error.strerror or error} (TMPDIR names another folder)") from None
    files.write_document("--json", report)
    print_report(out, report)
    if not report.complete:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if report.as_expected else ExitCode.DIFFERS


def solver_named(option: str, name: str) -> Solver:
    """The solver of this name on this machine. Raises BadUsage."""
    from proofs.second import NoSolver, find_solver

    if not name or "\0" in name:
        raise BadUsage(f"{option}: the name of a solver is empty or no name")
    try:
        return find_solver(name)
    except NoSolver as missing:
        raise BadUsage(f"{option}: {printable(str(missing))}") from None


def check_selection(properties: list[str] | None, calls: list[str] | None) -> None:
    """Raises BadUsage unless the names are known and some chosen property speaks of some chosen call."""
    from spec.properties import PROPERTIES

    for name in properties or ():
        check_property(name)
    for name in calls or ():
        check_call(name)
    if properties and calls and not any(set(PROPERTIES[name].calls) & set(calls) for name in properties):
        spoken = sorted({call for name in properties for call in PROPERTIES[name].calls})
        raise BadUsage(
            f"no theorem: {' and '.join(properties)} speaks of {', '.join(spoken)}; not of {' or '.join(calls)}"
        )


def progress_bars(out: Console | None = None) -> Progress:
    """Progress bars on standard error if it is a terminal, with its console to print on meanwhile. Elsewhere a line now
    and then, and `out` to print on (left out: what is printed on the way is not wanted there)."""
    if not sys.stderr.isatty():
        return Pulse(out)
    return Progress(
        TextColumn("{task.description:9}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[last]}", markup=False),
        console=console(error=True),
        transient=True,
    )


def _print_broken_off(out: Console, edition: str, watcher: Watcher) -> None:
    done = ", ".join(f"{number} {KINDS.get(kind, kind)}" for kind, number in watcher.decided.items()) or "nothing"
    line(out, f"{edition}: interrupted; decided so far: {done}", "yellow")
    for text in watcher.unexpected:
        line(out, f"  not as expected: {text}", "red")


# the report -----------------------------------------------------------------------------------------------------------


def print_report(out: Console, report: ProofReport) -> None:
    """The theorems as a table, whatever is not as expected in full, and a summary."""
    if report.theorems:
        out.print(_theorems(report))
        line(out)
    _print_unexpected(out, report)
    _print_summary(out, report)


def print_lead(out: Console, lead: Lead) -> None:
    """What a seal guarantees and what it does not, each under its heading."""
    from rich.padding import Padding

    for title, told in lead.lines():
        line(out, title, "bold")
        for text in told:
            out.print(Padding(Text(f"- {text}"), (0, 0, 0, 2), expand=False))
    line(out)


def _theorems(report: ProofReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("call", "property", "verdict", "engine"):
        table.add_column(heading, no_wrap=heading != "property", overflow="fold")
    table.add_column("seconds", justify="right")
    table.add_column("assuming", overflow="fold")
    before = ""
    for theorem in report.theorems:
        table.add_row(
            theorem.call if theorem.call != before else "",
            theorem.property,
            _verdict(theorem.verdict, theorem.expected, theorem.as_expected),
            theorem.engine,
            f"{theorem.seconds:.2f}",
            ", ".join(name for name in theorem.assumptions if name not in _always()),
        )
        before = theorem.call
    return table


def _always() -> tuple[str, ...]:
    from spec.assumptions import ALWAYS

    return ALWAYS


def _verdict(verdict: str, expected: str, as_expected: bool) -> Text:
    """Green is for proofs alone: what is refuted or undecided never looks like one."""
    if not as_expected:
        return Text(f"{verdict}, but expected to be {expected}", style="bold red")
    return Text(verdict, style="green") if verdict == "proved" else Text(f"{verdict}, as known", style="yellow")


def _print_unexpected(out: Console, report: ProofReport) -> None:
    for theorem in report.theorems:
        if not theorem.as_expected:
            verdict = _verdict(theorem.verdict, theorem.expected, False)
            line(out, Text.assemble((f"{theorem.property}, {theorem.call}: ", "bold red"), verdict))
            for text in (theorem.sentence, theorem.why, theorem.reason):
                if text:
                    line(out, f"  {text}")
            line(out, f"  sealspec find {theorem.property} --call {theorem.call} --edition {theorem.edition}")
    for lemma in report.lemmas:
        if not lemma.as_expected:
            line(out, f"lemma {lemma.name}: {lemma.verdict}", "bold red")
            for text in (lemma.sentence, lemma.why):
                if text:
                    line(out, f"  {text}")
    for outcome in report.reachability:
        if not outcome.as_expected:
            reached = "is reached, though it should not be" if outcome.reachable else "is never reached"
            told = f"{outcome.call}, {outcome.errno} ({outcome.check or 'ran to its end'}): {outcome.why or reached}"
            line(out, told, "bold red")
            if outcome.reason:
                line(out, f"  {outcome.reason}")
    for mutant in report.mutants:
        if not mutant.as_expected:
            state = "dropping it refutes no theorem" if mutant.survived else "listed as not needed, but it is"
            line(out, f"{mutant.call}, {mutant.check}: {mutant.why or state}", "bold red")
            if mutant.reason:
                line(out, f"  {mutant.reason}")


def _print_summary(out: Console, report: ProofReport) -> None:
    from reports.lead import lead_of

    print_problems(out, report.problems)
    verdicts: Counter[str] = Counter(theorem.verdict for theorem in report.theorems)
    _row(out, "theorems", len(report.theorems), verdicts)
    lemmas: Counter[str] = Counter(lemma.verdict for lemma in report.lemmas)
    _row(out, "lemmas", len(report.lemmas), lemmas)
    reached = Counter(
        "reached" if o.reachable else "undecided" if o.why else f"{'known to be ' if o.reason else ''}out of reach"
        for o in report.reachability
    )
    _row(out, "outcomes", len(report.reachability), reached)
    killed = Counter(
        "killed" if m.killed_by else "undecided" if m.why else f"survive{' for a reason' if m.reason else ''}"
        for m in report.mutants
    )
    _row(out, "mutants", len(report.mutants), killed)
    used, searched = report.recorded.used, len(report.recorded.searched)
    _row(out, "cases", used + searched, Counter({"recorded, and executed anew": used, "searched for": searched}))
    wrong = sum(
        not result.as_expected
        for results in (report.theorems, report.lemmas, report.reachability, report.mutants)
        for result in results
    )
    if report.second is not None:
        _print_second(out, report.second)
    doubts = 0 if report.second is None or report.second.agrees else max(len(report.second.doubts), report.complete)
    if report.blocked_advice:
        names = ", ".join(advice.name for advice in report.blocked_advice)
        line(out, f"refused on sealed memory though it discards nothing: {names}", "yellow")
    results = len(report.theorems) + len(report.lemmas) + len(report.reachability) + len(report.mutants)
    if report.from_cache:
        line(out, f"{'results':9} {results:4}{known_before(report.from_cache)}")
    line(out)
    wrong += doubts
    lead = lead_of(report.theorems, unexpected=wrong)
    if report.complete:
        print_lead(out, lead)
    line(out, f"Edition {report.edition} ({report.kernel}), {report.solver}, {report.seconds:.1f} s:")
    if not report.complete:
        line(out, f"interrupted; so far, {wrong} results are not as expected", "bold yellow")
    else:
        line(out, lead.state, "bold red" if wrong else "bold yellow" if verdicts["refuted"] else "bold green")
    if verdicts["refuted"]:
        line(out, "How a property fails, drawn: sealspec find PROPERTY --call CALL")


def _print_second(out: Console, second: SecondOpinion) -> None:
    left = second.texts - second.agreed - len(second.doubts)
    told = f"{second.goals} goals, {second.texts} different: {second.agreed} decided alike by {second.solver}"
    line(out, f"{'goals':9} {told}{f', {left} not asked' if left else ''}")
    for doubt in second.doubts:
        said = f"has no answer ({doubt.why})" if doubt.said == "unknown" else f"says {doubt.said}"
        line(out, f"the second solver {said}: {doubt.file}", "bold red")
        line(out, f"  {', '.join(doubt.of)}")


def _row(out: Console, what: str, number: int, parts: Counter[str]) -> None:
    if number:
        told = ", ".join(f"{count} {name}" for name, count in parts.most_common())
        line(out, f"{what:9} {number:4}: {told}")
