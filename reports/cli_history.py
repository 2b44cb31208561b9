# SPDX-License-Identifier: MIT
"""`sealspec history`: what happened to sealing, found by properties that know of none of it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from reports.cli_common import EDITION, ExitCode, console, known_before, line, print_problems, verdict_cache
from reports.cli_interrupt import interruptible
from reports.cli_matrix import counted
from reports.cli_prove import progress_bars
from reports.cli_run import confirmed, drawing
from reports.outputs import Outputs

if TYPE_CHECKING:
    from proofs.results import HistoryReport, HistoryRow, HistoryVerdict, TheoremResult

TEXT_WIDTH = 100


def history(json_file: str | None, timeout_ms: int, jobs: int, cache: bool) -> ExitCode:
    """Ask every property of the editions of its row, and show what came of it. Raises BadUsage."""
    files = Outputs({"--json": json_file})
    from proofs.history import history as ask

    out = console(error=files.standard)
    bars = progress_bars()
    bar = bars.add_task("verdicts", total=None, last="")

    def show(result: TheoremResult, total: int) -> None:
        told = f"{result.property}({result.call}) in {result.edition}: {result.verdict}"
        bars.update(bar, advance=1, total=total, last=told)

    with bars, interruptible():
        report = ask(timeout_ms=timeout_ms, jobs=jobs, cache=verdict_cache(cache), on_result=show)
    files.write_document("--json", report)
    drawn = [print_row(out, row) for row in report.rows]
    _print_summary(out, report)
    if not report.complete:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if report.as_expected and all(drawn) else ExitCode.DIFFERS


def print_row(out: Console, row: HistoryRow) -> bool:
    """A row with its verdicts and the drawing of its first counterexample. False if the concrete reading does not
    confirm that one."""
    line(out, Text.assemble((f"{row.id}  {row.kind}", "bold")))
    for text in (row.happened, f"The property {row.property}: {row.sentence}"):
        for part in textwrap.wrap(text, TEXT_WIDTH):
            line(out, f"  {part}")
    for call, verdicts in groupby(row.verdicts, lambda verdict: verdict.call):
        _print_verdicts(out, call, list(verdicts))
    example = next((v.counterexample for v in row.verdicts if v.expected == "found" and v.counterexample), None)
    fine = example is None or confirmed(example, row.property) is not None
    if example is not None and fine:
        line(out)
        out.print(textwrap.indent(drawing(example, "text"), "  "), end="", soft_wrap=True)
    line(out)
    return fine


def _print_verdicts(out: Console, call: str, verdicts: Sequence[HistoryVerdict]) -> None:
    for (verdict, size), group in groupby(verdicts, lambda v: (_word(v), _size(v))):
        told = list(group)
        style = "green" if verdict == "proved" else "yellow"
        line(out, Text.assemble(f"  {call}: ", (verdict, style), f" in {', '.join(v.edition for v in told)}{size}"))
        for wrong in (v for v in told if not v.as_expected):
            why = f" ({wrong.why})" if wrong.why else ""
            line(out, f"    {wrong.edition}: expected to be {wrong.expected}, but {wrong.verdict}{why}", "bold red")


def _word(verdict: HistoryVerdict) -> str:
    return "found" if verdict.verdict == "refuted" else verdict.verdict


def _size(verdict: HistoryVerdict) -> str:
    size = verdict.size
    if size is None:
        return ""
    return f" ({counted(size.vmas, 'VMA')}, {counted(size.pages, 'page')}, {counted(size.calls, 'call')})"


def _print_summary(out: Console, report: HistoryReport) -> None:
    print_problems(out, report.problems)
    verdicts = [verdict for row in report.rows for verdict in row.verdicts]
    wrong = [row.id for row in report.rows if not row.as_expected]
    found = sum(v.verdict == "refuted" for v in verdicts)
    proved = sum(v.verdict == "proved" for v in verdicts)
    line(out, f"{counted(len(verdicts), 'verdict')}: {found} found, {proved} proved{known_before(report.from_cache)}")
    line(out, f"found: by the solver, and then executed. proved: for any number of VMAs. {EDITION}")
    about = f"{report.solver}, {report.seconds:.1f} s"
    if not report.complete:
        line(out, f"{about}: interrupted", "bold yellow")
    elif wrong:
        line(out, f"{about}: not as stated: {', '.join(wrong)}", "bold red")
    else:
        line(out, f"{about}: every row is as stated", "bold green")
