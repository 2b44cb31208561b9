# SPDX-License-Identifier: MIT
"""`sealspec conform`: generated sequences of calls, a live kernel against the specification."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import TaskID

from reports.cli_common import (
    BadUsage,
    ExitCode,
    check_runs_here,
    console,
    edition_named,
    line,
    printable,
)
from reports.cli_prove import progress_bars
from reports.cli_replay import kernel_named, usable
from reports.outputs import Outputs

if TYPE_CHECKING:
    from checker.lab.batches import Machine
    from checker.lab.conform import ConformReport, Progress, Settings
    from checker.lab.run import Kernel
    from spec.editions import Edition

DEFAULT_EXAMPLES = 2000
"""Sequences, if neither a number nor a time is asked for."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of `sealspec conform`."""

    kernel: str
    edition: str | None
    examples: int | None
    seconds: float | None
    seed: int
    jobs: int
    resume: str | None
    json_file: str | None
    out: str


def conform(request: Request) -> ExitCode:
    """Run the sequences and say where the kernel does something else. Raises BadUsage and BadDocument."""
    from checker.lab.batches import look_at
    from checker.lab.conform import Run, Settings, load_state

    files = Outputs(
        {"--json": request.json_file, "--resume": request.resume},
        folders={"--out": request.out},
        inputs=[request.kernel],
    )
    if files.files.get("--resume") == "-":
        raise BadUsage("--resume -: the file is read too, so it cannot be standard output")
    out = console(error=files.standard)
    kernel = _kernel(request.kernel)
    with usable():
        machine = look_at(kernel)
        edition = _edition(out, kernel, request.edition)
    state = Path(request.resume) if request.resume is not None else None
    examples = request.examples
    if examples is None and request.seconds is None:
        examples = DEFAULT_EXAMPLES
    settings = Settings(
        kernel, edition, request.seed, examples, request.seconds, request.jobs, Path(request.out), state
    )
    resumed = load_state(state) if state is not None else None
    if resumed is not None:
        _check_resumed(settings, machine, resumed)
    _print_head(out, settings, machine, resumed)
    interrupted = False
    with usable(), _writable():
        run = Run(settings, machine, resumed)
        watcher = _Watcher(progress_bars(console(error=True)), examples)
        try:
            with watcher.bars:
                for progress in run.go():
                    watcher(progress)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            run.end()
    report = run.report
    files.write_document("--json", report)
    _print_report(out, report)
    if interrupted:
        goes_on = "" if state is None else "; the same command goes on from there"
        line(out, f"interrupted{goes_on}", "yellow")
    line(out, f"reproduce with: {command(report)}")
    if interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if report.agrees else ExitCode.DIFFERS


def _kernel(name: str) -> Kernel:
    """The kernel to ask; the running one by the compiled program, which is faster, or without a compiler by ctypes."""
    from checker.lab.build import build_oracle
    from checker.lab.errors import LabError
    from checker.lab.run import HostKernel, LiveKernel

    kernel = kernel_named(name)
    if isinstance(kernel, LiveKernel):
        try:
            build_oracle()
        except LabError:
            return kernel
        return HostKernel()
    return kernel


def _edition(out: Console, kernel: Kernel, name: str | None) -> Edition:
    """The edition that was named, or the one that the kernel behaves as; if none, the nearest. Raises LabError."""
    from checker.lab.probe import probe
    from spec.editions import EDITIONS

    if name is not None:
        edition = edition_named(name)
        check_runs_here(edition.name)
        return edition
    found = probe(kernel)
    if found.edition is None:
        names = ", ".join(result.name for result in found.differing)
        line(out, f"this kernel {found.verdict()}{': ' if names else ''}{names}", "yellow")
    return EDITIONS[found.nearest]


def _check_resumed(settings: Settings, machine: Machine, resumed: ConformReport) -> None:
    """Raises BadUsage for the state of another run."""
    from checker.lab.conform import kernel_name

    for what, here, there in (
        ("kernel", kernel_name(settings.kernel), resumed.kernel),
        ("kernel release", machine.release, resumed.release),
        ("edition", settings.edition.name, resumed.edition),
        ("seed", str(settings.seed), str(resumed.seed)),
    ):
        if here != there:
            raise BadUsage(f"--resume {settings.state}: that run has the {what} {printable(there)}, this one {here}")


@contextmanager
def _writable() -> Iterator[None]:
    """What cannot be written becomes one line for the user."""
    try:
        yield
    except OSError as error:
        raise BadUsage(f"{printable(str(error.filename))}: cannot be written: {error.strerror or error}") from None


@dataclass(slots=True)
class _Watcher:
    """Shows how far a run is: a bar on a terminal, elsewhere a line now and then."""

    bars: Bars
    total: int | None
    task: TaskID | None = None
    started: float = field(default_factory=time.monotonic)
    before: int | None = None

    def __call__(self, progress: Progress) -> None:
        """Something was compared."""
        now = time.monotonic()
        if self.before is None:
            self.before = progress.sequences
        rate = (progress.sequences - self.before) / max(now - self.started, 0.1)
        shown = f"{rate:.0f} a second, {_many(len(progress.report.differences), 'kind')} of differences"
        if progress.message:
            line(self.bars.console, printable(progress.message), "red")
        if self.task is None:
            self.task = self.bars.add_task("sequences", total=self.total, last="")
        self.bars.update(self.task, completed=progress.sequences, last=shown)


def command(report: ConformReport) -> str:
    """The command that runs the same sequences again."""
    examples = max((end for _, end in report.done), default=1)
    words = ["sealspec", "conform", "--seed", str(report.seed), "--examples", str(examples)]
    words += ["--edition", report.edition, "--kernel", report.kernel]
    return shlex.join(words)


def _print_head(out: Console, settings: Settings, machine: Machine, resumed: ConformReport | None) -> None:
    keys = "" if machine.kernel.pkeys else ", a processor without protection keys"
    told = f"kernel {printable(machine.release)}{keys}; edition {settings.edition.name}; seed {settings.seed}"
    line(out, told, "bold")
    if resumed is not None:
        line(out, f"resumed: {_many(resumed.sequences, 'sequence')} were compared before")


def _print_report(out: Console, report: ConformReport) -> None:
    for kind in report.differences:
        times = "" if kind.times == 1 else f" (and {kind.times - 1} more like it)"
        line(out, f"{kind.name} differs{times}:", "red")
        for text in kind.texts:
            line(out, f"  {printable(text)}", "red")
        if kind.file is not None:
            steps = f"{_many(kind.steps or 0, 'step')}{'; it did not differ again' if kind.repeatable is False else ''}"
            line(out, f"  saved ({steps}): sealspec run {shlex.quote(kind.file)}")
    for text in report.unanswered:
        line(out, f"not finished by the kernel: {printable(text)}", "red")
    for text in report.lost:
        line(out, f"error: {text}", "bold red")
    if report.explained:
        told = f"{_many(len(report.explained), 'sequence')} explained by what the specification leaves open"
        line(out, f"{told}; the first: {printable(report.explained[0])}")
    amount = f"{_many(report.sequences, 'sequence')}, {_many(report.steps, 'step')}"
    spent = f"{report.seconds:.1f} s ({report.rate:.0f} a second)"
    if not report.sequences:
        line(out, f"nothing was compared in {spent}", "yellow")
    elif report.agrees:
        line(out, f"{amount} in {spent}: every answer is one that {report.edition} allows", "green")
    else:
        kinds = _many(len(report.differences), "kind")
        told = f"{kinds} of unexplained differences" if report.differences else "not every sequence has an answer"
        line(out, f"{amount} in {spent}: {told}", "bold red")


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
