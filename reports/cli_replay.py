# SPDX-License-Identifier: MIT
"""`sealspec replay` and `sealspec probe`: counterexamples and editions, held against a real kernel."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from reports.cli_common import (
    BadUsage,
    ExitCode,
    check_runs_here,
    console,
    edition_named,
    line,
    printable,
    verdict_cache,
)
from reports.cli_interrupt import interruptible
from reports.cli_prove import Watcher, progress_bars
from reports.cli_run import confirmed
from reports.outputs import Outputs

if TYPE_CHECKING:
    from checker.documents.counterexamples import Counterexample
    from checker.lab.probe import ProbeReport
    from checker.lab.replay import Outcome, Replay
    from checker.lab.run import Kernel
    from proofs.results import ProofReport

STYLES = {"confirmed": "green", "not confirmed": "bold red", "cannot be tried here": "yellow"}
"""Verdicts in the order in which they are counted."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of `sealspec replay`."""

    document: str | None
    number: int | None
    every: bool
    edition: str | None
    kernel: str
    report: str | None
    json_file: str | None
    cache: bool


def replay(request: Request) -> ExitCode:
    """Try documents on a kernel, and say what came of each. Raises BadUsage or BadDocument."""
    _check(request)
    files = Outputs({"--json": request.json_file}, inputs=[request.document, request.report, request.kernel])
    kernel = kernel_named(request.kernel)
    out = console(error=files.standard)
    found: ProbeReport | None = None
    if request.every:
        edition, found = _edition(out, request, kernel)
        if edition is None:
            return ExitCode.DIFFERS
        documents = refuted_theorems(out, edition, request.report, cache=request.cache)
    else:
        assert request.document is not None
        given = _documents(request.document, request.number)
        for document in given:
            check_runs_here(document.edition, request.document)
        known = _all_confirmed(given, request.document, request.number)
        if known is None:
            return ExitCode.DIFFERS
        documents = known
    results = _try_all(out, documents, kernel, verbose=not request.every)
    _print_summary(out, results)
    if request.json_file is not None:
        from checker.lab.replay import ReplayReport

        files.write_document("--json", ReplayReport(probe=found, replays=tuple(results)))
    refuted = any(result.verdict == "not confirmed" for result in results)
    return ExitCode.DIFFERS if refuted else ExitCode.OK


def probe(kernel: str, json_file: str | None) -> ExitCode:
    """Say which edition a kernel is. Raises BadUsage."""
    files = Outputs({"--json": json_file}, inputs=[kernel])
    found = _probe(kernel_named(kernel))
    files.write_document("--json", found)
    if not files.standard:
        print_probe(console(), found)
    return ExitCode.OK if found.edition is not None else ExitCode.DIFFERS


def kernel_named(name: str) -> Kernel:
    """The running kernel, or an image. Raises BadUsage."""
    with usable():
        from checker.lab.run import parse_kernel

        return parse_kernel(name)


@contextmanager
def usable() -> Iterator[None]:
    """What the lab cannot do becomes one line for the user."""
    from checker.lab.errors import LabError

    try:
        yield
    except LabError as error:
        raise BadUsage(printable(str(error))) from None


def _check(request: Request) -> None:
    """Raises BadUsage for options that do not go together."""
    if request.every == (request.document is not None):
        raise BadUsage("give a document to replay, or --all for every refuted theorem of the kernel's edition")
    if not request.every and (request.edition or request.report):
        raise BadUsage("--edition and --report go with --all: a document names its own edition")
    if request.every and request.number is not None:
        raise BadUsage("--number goes with a document")


def _probe(kernel: Kernel) -> ProbeReport:
    from checker.lab.probe import probe as ask

    with usable():
        return ask(kernel)


def print_probe(out: Console, found: ProbeReport) -> None:
    """Which edition it is; or which probes differ from the nearest one, and how."""
    differing = found.differing
    style = "bold red" if differing else "green"
    line(out, f"{printable(found.kernel)} {found.verdict()}{':' if differing else ''}", style)
    for result in differing:
        others = f" (as {', '.join(result.agrees)} would)" if result.agrees else ""
        line(out, f"  {result.name}: {result.about}{others}")
        for difference in result.differences[found.nearest]:
            told, came = ("; ".join(side) or "nothing" for side in difference.sides)
            line(out, f"    {difference.call}, {difference.field}: kernel {told}")
            line(out, f"    {'':{len(difference.call) + len(difference.field)}}   {found.nearest} {came}")


def _edition(out: Console, request: Request, kernel: Kernel) -> tuple[str | None, ProbeReport | None]:
    """The edition whose theorems are replayed: the one asked for, or the kernel's own."""
    if request.edition is not None:
        edition = edition_named(request.edition).name
        check_runs_here(edition)
        return edition, None
    found = _probe(kernel)
    print_probe(out, found)
    if found.edition is None:
        line(out, "name the edition to hold it against: --edition NAME")
    return found.edition, found


# documents ------------------------------------------------------------------------------------------------------------


def _documents(path: str, number: int | None) -> list[Counterexample]:
    """The counterexamples of a file, or the one of that number."""
    from checker.documents.counterexamples import Counterexample
    from checker.documents.files import load_document

    given = load_document("/dev/stdin" if path == "-" else path)
    documents = [document for document in given if isinstance(document, Counterexample)]
    if len(documents) != len(given):
        raise BadUsage(f"{printable(path)}: a scenario, not a counterexample; execute it with: sealspec run")
    if number is None:
        return documents
    if not 1 <= number <= len(documents):
        raise BadUsage(f"--number {number}: {printable(path)} holds {_many(len(documents), 'counterexample')}")
    return [documents[number - 1]]


def _all_confirmed(documents: Sequence[Counterexample], path: str, number: int | None) -> list[Counterexample] | None:
    """The documents if each is true; if not, None, after saying of each that is not. Raises BadDocument for one that
    lies about itself."""
    several = number is not None or len(documents) > 1
    names = [f"{printable(path)}, counterexample {number or n}" for n in range(1, len(documents) + 1)]
    found = [
        confirmed(document, name if several else printable(path))
        for document, name in zip(documents, names, strict=True)
    ]
    known = [document for document in found if document is not None]
    return known if len(known) == len(found) else None


def refuted_theorems(out: Console, edition: str, report: str | None, *, cache: bool) -> list[Counterexample]:
    """The counterexamples to the refuted theorems of an edition: from a report, or proved now."""
    result = _prove(edition, cache) if report is None else _load_report(report, edition)
    open_ones = [theorem for theorem in result.theorems if theorem.verdict not in ("proved", "refuted")]
    found = [theorem.counterexample for theorem in result.theorems if theorem.counterexample is not None]
    line(out, f"{edition}: {_many(len(found), 'refuted theorem')} of {len(result.theorems)}")
    if open_ones:
        calls = ", ".join(sorted({theorem.call for theorem in open_ones}))
        line(out, f"{_many(len(open_ones), 'theorem')} undecided, with nothing to replay (about {calls})", "yellow")
    return found


def _prove(edition: str, cache: bool) -> ProofReport:
    """Decide the theorems of an edition; Ctrl-C raises KeyboardInterrupt."""
    from proofs.run import prove

    watcher = Watcher(progress_bars())
    with watcher.progress, interruptible():
        report = prove(
            edition,
            mutants=False,
            lemmas=False,
            on_event=watcher,
            jobs=os.cpu_count() or 1,
            cache=verdict_cache(cache),
        )
    if not report.complete:
        raise KeyboardInterrupt
    return report


def _load_report(path: str, edition: str) -> ProofReport:
    """What `sealspec prove --json` wrote about an edition. Raises BadDocument if it is that of another one, or if a
    counterexample in it is not true."""
    from checker.claims import NotConfirmed, check_claim
    from checker.documents.base import BadDocument, shown
    from checker.documents.files import load_model
    from proofs.results import ProofReport
    from proofs.theorems import expected_of

    report = load_model("/dev/stdin" if path == "-" else path, ProofReport, "a report of sealspec prove --json")
    if report.edition != edition:
        raise BadDocument("/edition", f"a report about {shown(report.edition)}, not {edition}", path)
    for n, theorem in enumerate(report.theorems):
        at, example = f"/theorems/{n}", theorem.counterexample
        if not expected_of(theorem.property, theorem.call, edition) or theorem.edition != edition:
            name = f"{theorem.property} of {theorem.call} in {theorem.edition}"
            raise BadDocument(at, f"{edition} has no theorem {shown(name)}", path)
        if (theorem.verdict == "refuted") != (example is not None):
            raise BadDocument(
                f"{at}/verdict", f"{theorem.verdict}, and yet the counterexample is {_there(example)}", path
            )
        if example is None:
            continue
        if (example.property, example.call, example.edition) != (theorem.property, theorem.call, edition):
            raise BadDocument(f"{at}/counterexample", "it is about another theorem", path)
        try:
            check_claim(example, expected_of)
        except BadDocument as bad:
            raise BadDocument(f"{at}/counterexample{bad.pointer}", bad.reason, path) from None
        except NotConfirmed as unlike:
            raise BadDocument(f"{at}/counterexample", f"{unlike}: {unlike.differences[0]}", path) from None
    return report


def _there(example: Counterexample | None) -> str:
    return "missing" if example is None else "there"


# results --------------------------------------------------------------------------------------------------------------


def _try_all(out: Console, documents: Sequence[Counterexample], kernel: Kernel, *, verbose: bool) -> list[Replay]:
    """Replay everything; each result is printed as it comes."""
    from checker.lab.replay import replay_all

    results: list[Replay] = []
    progress = progress_bars(out)
    bar = progress.add_task("replays", total=len(documents), last=kernel.describe())
    with usable(), progress, closing(replay_all(documents, kernel)) as replays:
        for result in replays:
            results.append(result)
            print_result(progress.console, result, verbose=verbose)
            progress.update(bar, advance=1, last=f"{result.property} ({result.call})")
    return results


def print_result(out: Console, result: Replay, *, verbose: bool) -> None:
    """One line; side by side what differs, and with `verbose` also what agrees."""
    text = Text(f"{result.verdict:20}  ", style=STYLES[result.verdict])
    text.append(f"{result.property} ({result.call}, {result.edition})", style="")
    line(out, text)
    for note in result.notes:
        line(out, f"{'':22}{note}")
    if result.reason:
        line(out, f"{'':22}{printable(result.reason)}")
    steps = range(len(result.expected))
    differing = [n for n in steps if n >= len(result.seen) or any(d.step == n for d in result.differences)]
    confirmed = result.verdict == "confirmed"
    for step in differing if result.verdict == "not confirmed" else steps[-1:] if verbose and confirmed else ():
        fields = {difference.field for difference in result.differences if difference.step == step}
        came = result.seen[step] if step < len(result.seen) else None
        _print_outcomes(out, result.expected[step], came, fields)


def _print_outcomes(out: Console, told: Outcome, came: Outcome | None, differing: set[str]) -> None:
    """What the document says of a call and what the kernel did, side by side; lines of fields that differ are
    marked."""
    left = _outcome_lines(told)
    right = _outcome_lines(came) if came is not None else [({"ret"}, ["the program did not come back"])]
    heading = f"{told.call}: expected by the document"
    width = max(len(heading), *(len(text) for _, texts in left for text in texts))
    line(out, f"      {heading:{width}}   seen on the kernel")
    for (fields, ours), (_, theirs) in zip_longest(left, right, fillvalue=({"ret"}, [])):
        for a, b in zip_longest(ours, theirs, fillvalue=""):
            marked = a != b and (came is None or fields & differing)
            line(out, Text(f"    {'!' if marked else ' '} {a:{width}}   {b}", style="red" if marked else ""))


def _outcome_lines(outcome: Outcome) -> list[tuple[set[str], list[str]]]:
    """An outcome in words: the fields of the answer, and lines that tell of them."""
    pages = [outcome.bytes[i : i + 2] for i in range(0, len(outcome.bytes), 2)]
    return [
        ({"ret", "errno"}, [f"= {outcome.ret}{f' {outcome.errno_name}' if outcome.errno else ''}"]),
        ({"vmas", "bytes"}, list(outcome.changed) or ["no page changed"]),
        ({"vmas"}, [f"cuts {' '.join(outcome.cuts) or '(none)'}"]),
        ({"vmas"}, [f"vma {text}" for text in outcome.vmas]),
        ({"bytes"}, [f"bytes {' '.join(pages) or '(none)'}"]),
    ]


def _print_summary(out: Console, results: Sequence[Replay]) -> None:
    counts: Counter[str] = Counter(result.verdict for result in results)
    parts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in STYLES if counts[verdict])
    style = "bold red" if counts["not confirmed"] else "green"
    kernel = f" on {printable(results[-1].kernel)}" if results else ""
    line(out, f"{_many(len(results), 'counterexample')}{kernel}: {parts or 'nothing to replay'}", style)


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
