# SPDX-License-Identifier: MIT
"""`sealspec diff`: two editions, call by call, as a table and as the smallest cases in which they part."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.cli_common import (
    ExitCode,
    check_call_of,
    console,
    edition_named,
    known_before,
    line,
    print_problems,
    verdict_cache,
)
from reports.cli_interrupt import interruptible
from reports.cli_matrix import counted
from reports.cli_prove import progress_bars
from reports.outputs import Outputs
from reports.strip_diff import parting_text

if TYPE_CHECKING:
    from proofs.results import CallDiff, DiffReport, Outcome, Parting

SHOWN = {
    "same": ("= same", "green"),
    "stronger": ("> stronger", "yellow"),
    "weaker": ("< weaker", "yellow"),
    "different": ("! different", "yellow"),
    "differs": ("! differs", "yellow"),
    "absent": ("- absent", "dim"),
    "unknown": ("? unknown", "bold red"),
}
"""A sign and a word for each verdict; the colour says nothing more."""
TEXT_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of `sealspec diff`."""

    first: str
    second: str
    calls: list[str]
    json_file: str | None
    timeout_ms: int
    jobs: int
    cache: bool


def diff(request: Request) -> ExitCode:
    """Compare the editions and show what came of it. Raises BadUsage."""
    editions = edition_named(request.first), edition_named(request.second)
    calls = list(dict.fromkeys(request.calls))
    for call in calls:
        for edition in editions:
            check_call_of(edition, call)
    files = Outputs({"--json": request.json_file})
    from proofs.diff import diff as compare

    out = console(error=files.standard)
    bars = progress_bars()
    bar = bars.add_task("calls", total=None, last="")

    def show(result: CallDiff, done: int, total: int) -> None:
        bars.update(bar, completed=done, total=total, last=f"{result.call}: {result.verdict}")

    with bars, interruptible():
        report = compare(
            editions[0].name,
            editions[1].name,
            calls or None,
            timeout_ms=request.timeout_ms,
            jobs=request.jobs,
            cache=verdict_cache(request.cache),
            on_call=show,
        )
    files.write_document("--json", report)
    print_diff(out, report)
    if not report.complete:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if report.decided else ExitCode.DIFFERS


def print_diff(out: Console, report: DiffReport) -> None:
    """The table, each difference drawn, and the summary."""
    from reports.behaviours import behaviour

    a, b = report.editions
    for edition in (a, b):
        line(out, Text.assemble((edition.name, "bold"), f"  {edition.kernel}"))
    width = max(len(a.name), len(b.name)) + 1
    for name, values in report.fields.items():
        line(out)
        for edition, value in zip((a, b), values, strict=True):
            line(out, f"  {edition.name + ':':{width}} {behaviour(name, value)}")
    line(out)
    out.print(_table(report.calls))
    for text in _gloss(a.name, b.name):
        line(out, text, "dim")
    line(out)
    for result in report.calls:
        _print_call(out, result, b.name)
    _print_summary(out, report)


def _table(calls: Iterable[CallDiff]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("call", "pages", "result", "boundaries"):
        table.add_column(column, no_wrap=True)
    table.add_column("smallest cases", overflow="fold")
    for result in calls:
        verdicts = (Text(*SHOWN[verdict]) for verdict in (result.verdict, result.result, result.boundaries))
        table.add_row(result.call, *verdicts, Text(_few_words(result)))
    return table


def _gloss(a: str, b: str) -> list[str]:
    """What the columns mean."""
    return [
        f"pages: what the call does to each page, and whether it succeeds. stronger: {b} refuses, or leaves alone,",
        f"what {a} allows or changes; weaker: the reverse; different: both. result: return value and errno.",
        "boundaries: where VMAs begin and end, and map_count. +0 is a page; [+0,+2) are the pages +0 and +1.",
    ]


def _few_words(result: CallDiff) -> str:
    if result.absent:
        return f"not in {' nor in '.join(result.absent)}"
    told = dict.fromkeys(f"{_ends(p.first)} -> {_ends(p.second)}" for p in result.partings)
    return "; ".join([*told, *filter(None, [result.why])])


def _ends(outcome: Outcome) -> str:
    """How a call ends, and whether it has changed anything, in few words."""
    pages = any(text.startswith("page") for text in outcome.changed)
    changed = "" if outcome.errno == "OK" else ", pages changed" if pages else ", cut" if outcome.changed else ""
    return ("ok" if outcome.errno == "OK" else outcome.errno) + changed


def _print_call(out: Console, result: CallDiff, second: str) -> None:
    """Each case in which the call parts, drawn; cases that show several levels once."""
    cases: dict[str, list[Parting]] = {}
    for parting in result.partings:
        cases.setdefault(parting_text(parting), []).append(parting)
    for text, partings in cases.items():
        what = " and ".join(dict.fromkeys(_level(parting, second) for parting in partings))
        size = partings[0].size
        line(out, f"{result.call}: {what} [{counted(size.vmas, 'VMA')}, {counted(size.pages, 'page')}]", "bold")
        for row in textwrap.wrap(partings[0].sentence, TEXT_WIDTH):
            line(out, f"  {row}")
        line(out)
        out.print(textwrap.indent(text, "  "), end="", soft_wrap=True)
        line(out)


def _level(parting: Parting, second: str) -> str:
    words = {
        "stronger": f"{second} is stronger",
        "weaker": f"{second} is weaker",
        "otherwise": "a page is changed in two ways",
        "result": "the result differs",
        "boundaries": "the boundaries differ",
    }
    return words[parting.direction or parting.level]


def _print_summary(out: Console, report: DiffReport) -> None:
    print_problems(out, report.problems)
    levels: dict[str, Counter[str]] = {
        "pages": Counter(result.verdict for result in report.calls),
        "result": Counter(result.result for result in report.calls),
        "boundaries": Counter(result.boundaries for result in report.calls),
    }
    told = [f"{level}: {', '.join(f'{n} {verdict}' for verdict, n in c.most_common())}" for level, c in levels.items()]
    if len(report.calls) == 1:
        told = [f"{level} {next(iter(verdicts))}" for level, verdicts in levels.items()]
        told[-1] = told[-1].replace("boundaries differs", "boundaries differ")
    told = told if report.calls else ["none was compared"]
    line(out, f"{counted(len(report.calls), 'call')}: {'; '.join(told)}{known_before(report.from_cache)}")
    apart = [result.call for result in report.calls if not result.same and not result.absent]
    if len(report.calls) > 1 and apart:
        line(out, f"not the same in every respect: {', '.join(apart)}")
    for lemma in report.lemmas:
        line(out, f"lemma {lemma.name}: {lemma.verdict}", "green" if lemma.as_expected else "bold red")
    about = f"{report.solver}, {report.seconds:.1f} s"
    undecided = [result.call for result in report.calls if not result.decided]
    if not report.complete:
        line(out, f"{about}: interrupted", "bold yellow")
    elif not report.decided:
        line(out, f"{about}: undecided: {', '.join(undecided) or 'a lemma'}", "bold red")
    elif all(result.same for result in report.calls):
        line(out, f"{about}: the two do the same (proved)", "bold green")
    else:
        line(out, f"{about}: every call is decided; the two do not do the same", "bold yellow")
