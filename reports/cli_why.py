# SPDX-License-Identifier: MIT
"""`sealspec why`: what the proof of a theorem used, path by path, and the checks that no proof used."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console

from reports.cli_common import (
    DEFAULT_EDITION,
    BadUsage,
    ExitCode,
    check_call_of,
    check_promised,
    console,
    edition_named,
    line,
)
from reports.cli_interrupt import interruptible
from reports.cli_prove import check_selection, progress_bars
from reports.outputs import Outputs

if TYPE_CHECKING:
    from proofs.why import Answered, CheckUse, UsedFact, WhyReport, WhyTheorem

KINDS = {
    "check": "checks", "branch": "branches of the call", "arguments": "arguments", "verb": "contracts of verbs",
    "clause": "well-formedness",
}  # fmt: skip
"""Where facts come from, as headings."""
ACCOUNTS = {
    "outcome": "the property does not speak of this ending",
    "constant": "nothing that the property speaks of is changed",
    "contradictory": "nothing takes this path",
    "arguments": "the argument stage ends the call",
}

NEEDED_OTHERWISE = "some theorem breaks without it: what it asks is answered by the contract of a verb"
"""Of a check whose own facts no proof used, and that is no surviving mutant."""


def why(
    property_name: str | None, calls: list[str] | None, edition: str | None, json_file: str | None, timeout_ms: int,
    jobs: int,
) -> ExitCode:  # fmt: skip
    """Find the proofs again, and show what they used. Raises BadUsage."""
    chosen = edition_named(edition or DEFAULT_EDITION)
    properties = None if property_name is None else [property_name]
    check_selection(properties, calls)
    for name in properties or ():
        check_promised(chosen, name)
    for call in calls or ():
        check_call_of(chosen, call)
    files = Outputs({"--json": json_file})
    from proofs.theorems import theorems
    from proofs.why import WhyTheorem, report_of
    from proofs.why import why as ask

    total = len(theorems(chosen, properties, calls))
    if not total:
        raise BadUsage(f"no theorem of {chosen.name}: {property_name} says nothing about {', '.join(calls or ())}")
    out = console(error=files.standard)
    answers: list[Answered] = []
    bars, complete = progress_bars(), True
    bar = bars.add_task("theorems", total=total, last="")
    try:
        with bars, interruptible():
            for answer in ask(chosen.name, properties, calls, timeout_ms, jobs):
                answers.append(answer)
                if isinstance(answer, WhyTheorem):
                    bars.update(bar, advance=1, last=f"{answer.property}({answer.call}): {answer.verdict}")
    except KeyboardInterrupt:
        complete = False
    report = report_of(chosen.name, answers, complete)
    files.write_document("--json", report)
    for theorem in report.theorems if property_name is not None else ():
        _print_theorem(out, theorem, paths=calls is not None)
    for call, checks in groupby(report.checks, lambda use: use.call):
        _print_checks(out, call, list(checks), report)
    if not complete:
        line(out, f"interrupted; {len(report.theorems)} of {total} theorems were looked at", "yellow")
        return ExitCode.INTERRUPTED
    wrong = any(theorem.verdict == "error" for theorem in report.theorems)
    no_proof = property_name is not None and not report.proved
    return ExitCode.DIFFERS if wrong or no_proof else ExitCode.OK


def _print_theorem(out: Console, theorem: WhyTheorem, *, paths: bool) -> None:
    line(out, f"{theorem.property}, {theorem.call}, {theorem.edition}", "bold")
    if theorem.verdict != "proved":
        told = theorem.why or f"there is no proof: sealspec find {theorem.property} --call {theorem.call}"
        line(out, f"  {told}", "yellow" if theorem.verdict == "open" else "bold red")
        line(out)
        return
    goals = {path.account for path in theorem.paths if len(path.account) == 64}
    line(out, f"  proved on {len(theorem.paths)} paths by {len(goals)} different goals; it used")
    _print_used(out, theorem.used)
    _print_used(out, [fact for fact in theorem.exploring if fact not in theorem.used], "to rule paths out: ")
    line(out, f"    assumptions: {', '.join(theorem.assumptions)}")
    if paths:
        _print_paths(out, theorem)
    line(out)


def _print_used(out: Console, facts: list[UsedFact], heading: str = "") -> None:
    for kind, some in groupby((fact for fact in facts if fact.kind in KINDS), lambda fact: fact.kind):
        line(out, f"    {heading}{KINDS[kind]}")
        for fact in some:
            line(out, f"      {fact.words}")


def _print_paths(out: Console, theorem: WhyTheorem) -> None:
    for path in theorem.paths:
        told = ACCOUNTS.get(path.account, f"goal {path.account[:12]}")
        line(out, f"  path {path.path}, {path.ending}: {told}")
        for fact in dict.fromkeys(fact.words for fact in path.facts if fact.kind != "property"):
            line(out, f"      {fact}")


def _print_checks(out: Console, call: str, checks: list[CheckUse], report: WhyReport) -> None:
    proved = sum(theorem.verdict == "proved" for theorem in report.theorems if theorem.call == call)
    line(out, f"{call}: {proved} theorems proved, {len(checks)} checks in its body", "bold")
    for use in (use for use in checks if use.needed_by):
        line(out, f"  used by {len(use.needed_by):2}: {use.check}")
    for use in (use for use in checks if not use.needed_by):
        line(out, f"  used by no proof: {use.check}", "yellow")
        line(out, f"    {use.survives or NEEDED_OTHERWISE}")
    line(out)
