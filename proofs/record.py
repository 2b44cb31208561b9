# SPDX-License-Identifier: MIT
"""Write the recorded cases (proofs/recorded.py).

python -m proofs.record                      # decide all editions, and record what had to be searched for
python -m proofs.record v10 v6.12            # these only; what is recorded of others stays
python -m proofs.record --from report.json   # what a report of `prove --json` shows, instead of deciding
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from checker.calls import explore_body
from checker.examples import Example
from checker.output import write_text
from checker.paths import LostPaths, TooManyPaths
from proofs.mutants import mutants_of
from proofs.recorded import FILE, Case, Cases, breaks, ends, kills, says, text
from proofs.results import MutantResult, Problem, ProofReport, Witness
from proofs.run import lost, prove
from proofs.tasks import Task, carry_out_tasks
from proofs.theorems import theorems
from spec.editions import EDITIONS, Edition
from spec.syscalls import CALLS

PATH = Path(__file__).with_name(FILE)
TIMEOUT_MS = 20_000
MUTANTS: TypeAdapter[list[MutantResult | Problem]] = TypeAdapter(list[MutantResult | Problem])


def shown_by(report: ProofReport) -> Iterator[tuple[Case, str]]:
    """The cases of a report, each with what it shows of its edition."""
    edition = EDITIONS[report.edition]
    for t in report.theorems:
        if t.counterexample is not None:
            (step,) = t.counterexample.steps
            yield Case(
                call=t.call, words=step.words, failures=step.failures, before=t.counterexample.before, shows=()
            ), breaks(t.property)  # fmt: skip
        elif t.witness is not None:
            yield from _of_witness(t.witness, edition, says(t.property))
    for o in report.reachability:
        if o.witness is not None:
            yield from _of_witness(o.witness, edition, ends(o.errno, o.check))
    for m in report.mutants:
        if m.case is not None:
            yield from _of_witness(m.case, edition, kills(m.check))


def _of_witness(witness: Witness, edition: Edition, purpose: str) -> Iterator[tuple[Case, str]]:
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in witness.arguments.items()}
    if witness.call not in CALLS or CALLS[witness.call].decoded is None or witness.call == "mseal32":
        return
    arguments = CALLS[witness.call].decoded(**values)
    case = Case.of(Example(witness.before.to_state(), witness.call, arguments, frozenset(witness.failures)), edition)
    if case is not None:
        yield case, purpose


def merged(before: str, report: ProofReport) -> str:
    """The text of the file with what the report shows in place of what was recorded of that edition; what the report
    says nothing about stays."""
    cases: dict[str, Case] = {}
    purposes: dict[str, set[str]] = {}
    for line in before.splitlines():
        case = Case.model_validate_json(line)
        cases[case.key] = case
        purposes[case.key] = set(case.shows)
    for case, purpose in shown_by(report):
        shown = f"{report.edition} {purpose}"
        for key, held in cases.items():
            if held.call == case.call:
                purposes[key].discard(shown)
        cases.setdefault(case.key, case)
        others = purposes.setdefault(case.key, set())
        if purpose not in {other.partition(" ")[2] for other in others}:  # what one edition shows serves all
            others.add(shown)
    kept = [
        case.model_copy(update={"shows": tuple(sorted(purposes[key]))}) for key, case in cases.items() if purposes[key]
    ]
    return "".join(case.line + "\n" for case in sorted(kept, key=lambda case: (case.call, case.key)))


def kills_of(task: Task) -> Iterator[MutantResult]:
    """The mutants of a call, each with a case that shows that it breaks a property."""
    edition = EDITIONS[task.edition]
    try:
        explored = explore_body(task.name, edition)
    except (TooManyPaths, LostPaths):
        return
    yield from mutants_of(task.name, edition, explored, task.timeout_ms, Cases(task.name, edition), with_cases=True)


def decide(edition: str, jobs: int) -> ProofReport:
    """Theorems, endings and mutants of an edition, with their cases."""
    report = prove(edition, lemmas=False, mutants=False, timeout_ms=TIMEOUT_MS, jobs=jobs)
    calls = [c for c in dict.fromkeys(t.call for t in theorems(EDITIONS[edition])) if c != "mseal32"]
    tasks = [Task("mutant", call, edition, None, TIMEOUT_MS) for call in calls]
    found = carry_out_tasks(tasks, kills_of, MUTANTS, lambda result: True, _lost, jobs=jobs)
    return report.model_copy(update={"mutants": [r for _, r, _ in found if isinstance(r, MutantResult)]})


def _lost(task: Task, found: Sequence[MutantResult | Problem], why: str) -> Iterator[Problem]:
    return (result for result in lost(task, (), why) if isinstance(result, Problem))


def main(arguments: Sequence[str] | None = None) -> int:
    """Record. Exit status 2: a report cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m proofs.record", description=__doc__.partition("\n")[0])
    parser.add_argument("editions", nargs="*", metavar="EDITION", help="default: all")
    parser.add_argument("--from", action="append", type=Path, default=[], metavar="FILE", dest="files",
                        help="a report of prove --json, instead of deciding")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes")
    options = parser.parse_args(arguments)
    for name in options.editions:
        if name not in EDITIONS:
            parser.error(f"unknown edition {name!r}; known: {', '.join(EDITIONS)}")
    try:
        reports = (
            (ProofReport.model_validate_json(path.read_text("utf-8")) for path in options.files)
            if options.files
            else (decide(edition, options.jobs) for edition in options.editions or EDITIONS)
        )
        for report in reports:
            whole = merged(text(), report)
            write_text(PATH, whole)
            print(f"{report.edition}: {whole.count(chr(10))} cases are recorded", flush=True)
    except (OSError, ValidationError) as error:
        print(f"record: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
