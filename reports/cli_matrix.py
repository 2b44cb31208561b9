# SPDX-License-Identifier: MIT
"""`sealspec matrix`: what a failed call may have changed, as a table for each edition and as sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.cli_common import (
    EDITION,
    BadUsage,
    ExitCode,
    check_call,
    console,
    edition_named,
    known_before,
    line,
    print_problems,
    verdict_cache,
)
from reports.cli_interrupt import interruptible
from reports.cli_prove import progress_bars
from reports.outputs import Outputs

if TYPE_CHECKING:
    from proofs.results import Cell, MatrixReport, Settlement

SHOWN = {
    "atomic": ("= atomic", "green"),
    "pages": ("! pages", "bold yellow"),
    "boundaries": ("~ cuts", "yellow"),
    "unreachable": (". never", "dim"),
    "unknown": ("? unknown", "bold red"),
}
"""A sign and a word for each kind of cell; the colour says nothing more."""
LEGEND = (
    "= atomic   proved: nothing at all is changed",
    "! pages    some page may be changed",
    "~ cuts     proved: no page is changed; but boundaries between VMAs may be",
    ". never    proved: the call cannot fail so",
    "[1 VMA, 2 pages]: the size of the smallest case that shows it, with all pages between its VMAs.",
    EDITION,
)
WIDTH = 118
"""Columns that the table needs; where there are fewer, each cell gets a line of its own."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of `sealspec matrix`."""

    editions: list[str] | None
    calls: list[str] | None
    settles: bool
    json_file: str | None
    timeout_ms: int
    jobs: int
    cache: bool


def matrix(request: Request) -> ExitCode:
    """Decide the cells and show them. Raises BadUsage."""
    from spec.editions import EDITIONS

    editions = [*dict.fromkeys(edition_named(name).name for name in request.editions or EDITIONS)]
    calls = _calls(request)
    files = Outputs({"--json": request.json_file})
    from proofs.matrix import matrix as decide

    out = console(error=files.standard)
    bars = progress_bars()
    bar = bars.add_task("cells", total=None, last="")

    def show(cell: Cell, done: int, total: int) -> None:
        bars.update(bar, completed=done, total=total, last=f"{cell.edition} {_named(cell)}: {_kind(cell)}")

    with bars, interruptible():
        report = decide(
            editions,
            calls,
            timeout_ms=request.timeout_ms,
            jobs=request.jobs,
            cache=verdict_cache(request.cache),
            on_cell=show,
        )
    files.write_document("--json", report)
    if not request.settles:
        print_cells(out, report)
    print_settled(out, report.settled)
    _print_summary(out, report)
    if not report.complete:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if report.decided else ExitCode.DIFFERS


def _calls(request: Request) -> list[str]:
    """The calls that are asked for; for --claims those that the document speaks of. Raises BadUsage."""
    from proofs.settled import LINES
    from spec.properties import SYSTEM_CALLS

    if request.settles and request.calls:
        raise BadUsage("--claims chooses the calls itself: leave out --call")
    if request.settles:
        spoken = {call for told in LINES for call, _, _ in told.cells}
        return [call for call in SYSTEM_CALLS if call in spoken]
    for name in request.calls or ():
        if check_call(name) not in SYSTEM_CALLS:
            raise BadUsage(f"{name} is not in the matrix; there are {', '.join(SYSTEM_CALLS)}")
    return list(dict.fromkeys(request.calls or SYSTEM_CALLS))


def _kind(cell: Cell) -> str:
    return cell.level if cell.verdict == "partial" else cell.verdict


def _named(cell: Cell) -> str:
    """`mprotect EPERM (seal)`."""
    return f"{cell.call} {cell.errno}" + (f" ({cell.cause})" if cell.cause else "")


def print_cells(out: Console, report: MatrixReport) -> None:
    """For each edition a table, then a sentence for each cell that is not atomic."""
    for edition in report.editions:
        cells = [cell for cell in report.cells if cell.edition == edition.name]
        line(out, Text.assemble((edition.name, "bold"), f"  {edition.kernel}"))
        reached = {(c.errno, c.cause) for c in cells if c.verdict != "unreachable"}
        heads = [head for head in dict.fromkeys((c.errno, c.cause) for c in cells) if head in reached]
        if out.width >= WIDTH:
            out.print(_table(cells, heads))
        else:
            _print_narrow(out, cells)
        never = [errno for errno in report.errnos if errno not in {errno for errno, _ in heads}]
        if never:
            line(out, f"None of these calls fails with {', '.join(never)} (proved).")
        for cell in cells:
            if cell.verdict in ("partial", "unknown"):
                line(out, f"  {_named(cell)}: {cell.sentence}{_size(cell)}")
        line(out)
    for text in LEGEND:
        line(out, text)
    line(out)


def _size(cell: Cell) -> str:
    if cell.counterexample is None:
        return ""
    size = cell.counterexample.size
    return f" [{counted(size.vmas, 'VMA')}, {counted(size.pages, 'page')}]"


def counted(number: int, what: str) -> str:
    """`1 VMA`, `2 VMAs`."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def _table(cells: Sequence[Cell], heads: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("call", no_wrap=True)
    for errno, cause in heads:
        table.add_column(f"{errno}\n{cause}" if cause else errno, no_wrap=True)
    for call, row in groupby(cells, lambda cell: cell.call):
        known = {(cell.errno, cell.cause): cell for cell in row}
        table.add_row(call, *(_shown(known[head]) if head in known else Text("") for head in heads))
    return table


def _shown(cell: Cell) -> Text:
    return Text(*SHOWN[_kind(cell)])


def _print_narrow(out: Console, cells: Iterable[Cell]) -> None:
    for call, row in groupby(cells, lambda cell: cell.call):
        line(out, call)
        for cell in row:
            if cell.verdict != "unreachable":
                line(out, Text.assemble("  ", _shown(cell), f"  {cell.errno} {cell.cause}".rstrip()))


def print_settled(out: Console, settled: Sequence[Settlement]) -> None:
    """Each line of the kernel's document with what the cells say of it; editions that they say the same of together."""
    by_line: dict[tuple[str, str], list[Settlement]] = {}
    for settlement in settled:
        by_line.setdefault((settlement.version, settlement.lines), []).append(settlement)
    for (version, lines), told in by_line.items():
        line(out, Text.assemble((f"{told[0].document}, {version}, lines {lines}", "bold"), f' ("{told[0].words}")'))
        line(out, f"  It says: {told[0].meaning}.")
        groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for s in told:  # that nothing is changed needs no more words
            groups.setdefault((s.answer, () if s.answer == "holds" else tuple(s.cells)), []).append(s.edition)
        for (answer, cells), names in groups.items():
            style = {"holds": "green", "does not hold": "bold yellow", "undecided": "bold red"}.get(answer, "yellow")
            line(out, Text.assemble(f"  {', '.join(names)}: ", (answer, style)))
            for sentence in cells:
                line(out, f"    {sentence}")
        line(out)


def _print_summary(out: Console, report: MatrixReport) -> None:
    print_problems(out, report.problems)
    counts = Counter(_kind(cell) for cell in report.cells)
    words = ", ".join(f"{counts[kind]} {SHOWN[kind][0][2:]}" for kind in SHOWN if counts[kind])
    line(out, f"{counted(len(report.cells), 'cell')}{': ' if words else ''}{words}{known_before(report.from_cache)}")
    about = f"{report.solver}, {report.seconds:.1f} s"
    if not report.complete:
        line(out, f"{about}: interrupted", "bold yellow")
    elif report.decided:
        line(out, f"{about}: every cell is decided", "bold green")
    else:
        line(out, f"{about}: {counted(counts['unknown'], 'cell')} undecided", "bold red")
