# SPDX-License-Identifier: MIT
"""`sealspec report`: what is known, as a folder of files: pages, a mail, and what other programs read."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reports.cli_common import (
    DEFAULT_EDITION,
    BadUsage,
    ExitCode,
    check_call_of,
    check_promised,
    console,
    edition_named,
    line,
    print_problems,
    printable,
    unknown,
    verdict_cache,
)
from reports.cli_interrupt import interruptible
from reports.cli_prove import check_selection, progress_bars
from reports.formats import FORMATS
from reports.outputs import Outputs
from reports.plain import number

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from checker.lab.replay import Replay
    from reports.gather import Wanted
    from reports.review import EditionFacts, Review


PAGES: Final = "html"
"""The form that is many files; the others are in reports.formats."""
OLDER: Final = ("mseal-spec/replays/1", "mseal-spec/lab/1")
"""Formats of runs on kernels that lack the digest of the case."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of `sealspec report`."""

    editions: list[str] | None
    against: str | None
    out: str | None
    formats: str
    replays: list[str]
    properties: list[str] | None
    calls: list[str] | None
    thread: bool
    rst: str | None
    traces: bool
    mutants: bool
    lemmas: bool
    timeout_ms: int
    jobs: int
    cache: bool


def report(request: Request) -> ExitCode:
    """Gather what is known, and write it. Raises BadUsage or BadDocument."""
    if request.thread:
        return _thread(request)
    if request.rst is not None:
        return _rst(request, request.rst)
    if request.out is None:
        raise BadUsage("--out: the folder to write is missing (or --thread or --rst, which print)")
    from reports.folder import check_folder, write_folder

    formats = _formats(request.formats)
    editions = _editions(request)
    _check_selection(request, editions)
    target = check_folder(request.out, request.replays)
    replays = [replay for path in request.replays for replay in load_replays(path)]
    review = _gather(request, editions, replays)
    gc.freeze()  # a review is never garbage: pages are made without looking through it again and again
    count = write_folder(target, _files(review, formats))
    _conclude(review, request.out, formats, count)
    return ExitCode.OK if review.as_expected else ExitCode.DIFFERS


def _thread(request: Request) -> ExitCode:
    """Print the answers to the thread about the patch series, as one edition gives them."""
    edition = _printed(request, "--thread")
    from reports.thread import needed, render

    replays = [replay for path in request.replays for replay in load_replays(path)]
    review = _gather(request, needed(edition), replays)
    Outputs({"": "-"}).write("", render(review))
    return ExitCode.OK if review.as_expected else ExitCode.DIFFERS


def _rst(request: Request, path: str) -> ExitCode:
    """Print a patch for a copy of the kernel's mseal.rst."""
    edition = _printed(request, "--rst")
    document = _read(path)
    from reports.gather import Wanted
    from reports.rst import patch

    # the wording comes from the matrix: one property is enough of the rest
    wanted = Wanted(
        editions=(edition,),
        properties=("failure-changes-nothing",),
        lemmas=False,
        mutants=False,
        traces=False,
        history=False,
        timeout_ms=request.timeout_ms,
        jobs=request.jobs,
    )
    review = _gathered(wanted, request.cache)
    Outputs({"": "-"}).write("", patch(review, document, printable(path)))
    return ExitCode.OK if review.as_expected else ExitCode.DIFFERS


def _printed(request: Request, option: str) -> str:
    """The edition of what is printed and not written to a folder. Raises BadUsage."""
    if request.against or request.out or request.properties or request.calls:
        raise BadUsage(f"{option} prints: it takes one --edition, and neither --out nor a selection")
    given = request.editions or [DEFAULT_EDITION]
    if len(given) != 1:
        raise BadUsage(f"{option} is about one edition; {len(given)} are named")
    return edition_named(given[0]).name


def _read(path: str) -> str:
    """A text file, or standard input for "-". Raises BadUsage."""
    try:
        with open("/dev/stdin" if path == "-" else path, encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise BadUsage(f"{printable(path)}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise BadUsage(f"{printable(path)}: cannot be read: {error.strerror or error}") from None


# what was asked for ---------------------------------------------------------------------------------------------------


def _formats(given: str) -> list[str]:
    """The names of forms, each once. Raises BadUsage."""
    names = list(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    known = [PAGES, *FORMATS]
    if not names:
        raise BadUsage(f"--formats: none is named; known: {', '.join(known)}")
    for name in names:
        if name not in known:
            unknown("format", name, known)
    return names


def _editions(request: Request) -> tuple[str, ...]:
    """The editions, each once, with the one they are held against last. Raises BadUsage."""
    from spec.editions import EDITIONS

    given = request.editions or [DEFAULT_EDITION]
    names = [*EDITIONS] if "all" in given else [edition_named(name).name for name in given]
    if request.against is not None:
        names.append(edition_named(request.against).name)
    found = tuple(dict.fromkeys(names))
    if request.against is not None and len(found) == 1:
        raise BadUsage(f"--against {request.against}: this is the edition itself; name another one")
    return found


def _check_selection(request: Request, editions: Sequence[str]) -> None:
    check_selection(request.properties, request.calls)
    for name in editions:
        for prop in request.properties or ():
            check_promised(edition_named(name), prop)
        for call in request.calls or ():
            check_call_of(edition_named(name), call)


def load_replays(path: str) -> list[Replay]:
    """What real kernels did: what `sealspec replay --json` or `sealspec lab --json` wrote. Raises BadDocument."""
    from checker.documents.base import BadDocument, shown
    from checker.documents.files import as_model, parse_json, read_text
    from checker.lab.replay import ReplayReport
    from checker.lab.results import LabReport
    from proofs.theorems import expected_of

    name = "/dev/stdin" if path == "-" else path
    data = parse_json(read_text(name), path)
    kind = data.get("format") if isinstance(data, dict) else None
    if kind == LabReport.model_fields["format"].default:
        kernels = as_model(data, LabReport, path).kernels
        replays = [replay for kernel in kernels for replay in kernel.replays or ()]
    elif kind == ReplayReport.model_fields["format"].default:
        replays = list(as_model(data, ReplayReport, path).replays)
    elif kind in OLDER:
        raise BadDocument(
            "/format", f"{kind} does not say which cases were tried; run sealspec replay or lab again", path
        )
    else:
        wanted = "neither what sealspec replay --json nor what sealspec lab --json writes"
        raise BadDocument("" if kind is None else "/format", wanted, path)
    for replay in replays:
        if not expected_of(replay.property, replay.call, replay.edition):
            about = f"{replay.property} of {replay.call} in {replay.edition}"
            raise BadDocument("", f"a run of {shown(about)}: there is no such theorem", path)
    return replays


# gathering and writing ------------------------------------------------------------------------------------------------


def _gather(request: Request, editions: Sequence[str], replays: Sequence[Replay]) -> Review:
    """All facts that were asked for."""
    from reports.gather import Wanted
    from reports.recorded import recorded

    wanted = Wanted(
        editions=tuple(editions),
        against=request.against,
        properties=None if request.properties is None else tuple(request.properties),
        calls=None if request.calls is None else tuple(request.calls),
        traces=request.traces,
        mutants=request.mutants,
        lemmas=request.lemmas,
        replays=tuple(replays),
        recorded=recorded(),
        timeout_ms=request.timeout_ms,
        jobs=request.jobs,
    )
    review = _gathered(wanted, request.cache)
    _tell_unmatched(replays, review)
    return review


def _gathered(wanted: Wanted, cache: bool) -> Review:
    """The facts; Ctrl-C raises KeyboardInterrupt, and what was decided is kept."""
    from reports.gather import gather
    from reports.kept import beside

    verdicts = verdict_cache(cache)
    with _progress() as on_step, interruptible():
        return gather(wanted, verdicts=verdicts, kept=beside(verdicts), on_step=on_step)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Draws what is being worked out, if standard error is a terminal."""
    bars = progress_bars()
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in tasks:
            for task in tasks.values():
                bars.update(task, visible=False)
            tasks[what] = bars.add_task(what, total=total or None, last="")
        bars.update(tasks[what], completed=done, total=total or None, visible=True)

    with bars:
        yield show


def _tell_unmatched(replays: Sequence[Replay], review: Review) -> None:
    """Runs on kernels of cases that the report does not show, in one line."""
    shown = {live.case for case in review.cases for live in case.live}
    left = list(dict.fromkeys(f"{r.property} ({r.call}, {r.edition})" for r in replays if r.case not in shown))
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        told = f"--replay: of cases that are not in this report: {', '.join(left[:3])}{more}"
        line(console(error=True), printable(told), "yellow")


def _files(review: Review, formats: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every file of the report."""
    for name in formats:
        if name == PAGES:
            from reports.html import site

            yield from site(review, [FORMATS[other] for other in formats if other != PAGES])
        else:
            yield FORMATS[name].file, FORMATS[name].render(review)


def _conclude(review: Review, out: str, formats: Sequence[str], count: int) -> None:
    told = console()
    for edition in review.editions:
        _print_edition(told, edition)
    print_problems(told, review.problems)
    contradicted = [live for case in review.cases for live in case.live if live.verdict == "not confirmed"]
    for live in contradicted:
        text = f"{live.property} ({live.call}, {live.edition}): not confirmed on {printable(live.kernel)}"
        line(told, text, "bold red")
    first = "index.html" if PAGES in formats else FORMATS[formats[0]].file
    name = printable(out.rstrip("/"))
    line(told, f"{name}: {number(count, 'file')}; begin with {name}/{first}")


def _print_edition(out: Console, edition: EditionFacts) -> None:
    verdicts = Counter(theorem.verdict for theorem in edition.theorems)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    state = "as expected" if edition.as_expected else "NOT as expected"
    about = f"{edition.name}: {number(len(edition.theorems), 'theorem')}: {counts}; {state}"
    line(out, about, "" if edition.as_expected else "bold red")
