# SPDX-License-Identifier: MIT
"""`sealspec lab`: real kernels in QEMU, held against the edition that each of them is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from reports.cli_common import BadUsage, ExitCode, console, line, printable
from reports.cli_prove import progress_bars
from reports.cli_replay import STYLES, print_probe, print_result, refuted_theorems, usable
from reports.outputs import Outputs

if TYPE_CHECKING:
    from checker.documents.counterexamples import Counterexample
    from checker.lab.conform import ConformReport
    from checker.lab.replay import Replay
    from checker.lab.results import KernelResult
    from checker.lab.run import ImageKernel
    from spec.editions import Edition


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of `sealspec lab`."""

    targets: list[str]
    listing: bool
    examples: int
    seed: int
    replay: bool
    conform: bool
    kernels: str | None
    cache: bool
    out: str
    jobs: int
    json_file: str | None

    @property
    def folder(self) -> Path | None:
        """Where kernels are kept; None: in the user's cache."""
        return Path(self.kernels) if self.kernels is not None else None


def lab(request: Request) -> ExitCode:
    """Boot each kernel and hold it against its edition. Raises BadUsage."""
    if request.listing:
        return _list(request)
    if not request.targets:
        raise BadUsage("name kernels: versions such as 6.12.117, or paths of images; sealspec lab --list says which")
    files = Outputs(
        {"--json": request.json_file},
        folders={"--out": request.out, "--kernels": request.kernels},
        inputs=request.targets,
    )
    _check_targets(request)
    from checker.lab.build import build_oracle
    from checker.lab.fetch import ensure_qemu

    out = console(error=files.standard)
    with usable():
        build_oracle()
        ensure_qemu(lambda text: line(console(error=True), text, "yellow"))
    session = _Session(request, out, files)
    session.write(final=False)
    interrupted = False
    try:
        for target in request.targets:
            session.one(target)
            session.write(final=False)
    except KeyboardInterrupt:
        interrupted = True
    session.write(final=True)
    results = tuple(session.results)
    if results:
        line(out)
        out.print(_table(results))
    if interrupted:
        left = len(request.targets) - len(results)
        line(out, f"interrupted; {left} of {len(request.targets)} kernels were not done", "yellow")
        return ExitCode.INTERRUPTED
    return _code(results)


def _code(results: tuple[KernelResult, ...]) -> ExitCode:
    """A kernel that does otherwise matters more than one that could not be asked."""
    if any(not result.error and not result.as_expected for result in results):
        return ExitCode.DIFFERS
    return ExitCode.USAGE if any(result.error for result in results) else ExitCode.OK


def _check_targets(request: Request) -> None:
    """Raises BadUsage for what is neither a version nor a kernel image, before anything is fetched or booted."""
    from checker.lab.fetch import image_version

    for target in request.targets:
        if not _is_version(target):
            if not Path(target).is_file():
                raise BadUsage(f"{printable(target)}: neither a version such as 6.12.117 nor a file")
            with usable():
                image_version(Path(target))


def _is_version(target: str) -> bool:
    return re.fullmatch(r"\d+\.\d+\.\d+", target) is not None


def _list(request: Request) -> ExitCode:
    """What is in the cache, and what Debian has now."""
    from checker.lab.errors import LabError
    from checker.lab.fetch import cached, kernels_dir, offered

    out = console()
    with usable():
        folder = kernels_dir(request.folder)
        images = cached(request.folder)
    line(out, f"in {folder}:")
    for version, path in images.items():
        line(out, f"  {version:10} {path.stat().st_size / 1e6:5.1f} MB")
    if not images:
        line(out, "  none yet")
    try:
        for suite, versions in offered(request.folder):
            line(out, f"Debian's {suite}: {', '.join(versions) or 'none'}")
    except LabError as error:
        line(out, f"what Debian offers could not be asked: {printable(str(error))}", "yellow")
    return ExitCode.OK


# one kernel -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Session:
    """The kernels of one command, one after the other."""

    request: Request
    out: Console
    files: Outputs
    results: list[KernelResult] = field(default_factory=list)
    documents: dict[str, list[Counterexample]] = field(default_factory=dict)
    """Counterexamples to the refuted theorems, by edition."""

    def write(self, *, final: bool) -> None:
        """Write what is known so far, if that was asked for; standard output gets it once. Raises BadUsage."""
        from checker.lab.results import LabReport

        if final == self.files.standard:
            self.files.write_document("--json", LabReport(seed=self.request.seed, kernels=tuple(self.results)))

    def one(self, target: str) -> None:
        """A kernel; what cannot be done becomes its entry's error, and the next kernel's turn comes."""
        from checker.lab.errors import LabError
        from checker.lab.results import KernelResult

        try:
            result = self._asked(target)
        except (LabError, OSError) as error:
            told = printable(str(error))
            line(self.out, f"{printable(target)}: {told}", "bold red")
            result = KernelResult(target=target, error=told)
        self.results.append(result)

    def _asked(self, target: str) -> KernelResult:
        """All that is asked of a kernel. Raises LabError."""
        from checker.lab.fetch import fetch_kernel
        from checker.lab.probe import probe
        from checker.lab.results import KernelResult
        from checker.lab.run import ImageKernel, RunReport
        from spec.editions import EDITIONS

        err = console(error=True)
        if _is_version(target):
            image = fetch_kernel(target, folder=self.request.folder, say=lambda text: line(err, text))
        else:
            image = Path(target)
        kernel = ImageKernel(image)
        line(self.out, Text(printable(target), style="bold"))
        told = RunReport()
        with _watched(self.out, "boot", None, printable(target)):
            found = probe(kernel, report=told)
        line(self.out, f"  booted in {told.boot_seconds:.1f} s")
        print_probe(self.out, found)
        edition = EDITIONS[found.nearest]
        replays = self._replays(kernel, edition) if self.request.replay else None
        conform = self._conform(kernel, edition) if self.request.conform else None
        return KernelResult(
            target=target,
            release=found.kernel,
            edition=edition.name,
            boot_seconds=round(told.boot_seconds, 2),
            probe=found,
            replays=tuple(replays) if replays is not None else None,
            conform=conform,
        )

    def _replays(self, kernel: ImageKernel, edition: Edition) -> list[Replay]:
        """Every refuted theorem of the edition; printed is what the kernel does not confirm."""
        from checker.lab.replay import CONFIRMED, replay_all

        if edition.name not in self.documents:
            self.documents[edition.name] = refuted_theorems(self.out, edition.name, None, cache=self.request.cache)
        documents = self.documents[edition.name]
        results: list[Replay] = []
        with (
            _watched(self.out, "replays", len(documents), kernel.describe()) as bar,
            closing(replay_all(documents, kernel)) as replays,
        ):
            for result in replays:
                results.append(result)
                bar.update(len(results), f"{result.property} ({result.call})")
                if result.verdict != CONFIRMED:
                    print_result(bar.console, result, verbose=False)
        counts: Counter[str] = Counter(result.verdict for result in results)
        told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in STYLES if counts[verdict])
        line(self.out, f"  {len(results)} replays: {told or 'there is nothing to replay'}")
        return results

    def _conform(self, kernel: ImageKernel, edition: Edition) -> ConformReport:
        """Generated sequences, compared step by step."""
        from checker.lab.batches import look_at
        from checker.lab.conform import Settings, conform

        settings = Settings(
            kernel=kernel,
            edition=edition,
            seed=self.request.seed,
            examples=self.request.examples,
            seconds=None,
            jobs=self.request.jobs,
            out=Path(self.request.out),
        )
        with (
            _watched(self.out, "sequences", self.request.examples, kernel.describe()) as bar,
            closing(conform(settings, look_at(kernel))) as run,
        ):
            for progress in run:
                bar.update(progress.sequences, kernel.describe())
                if progress.message:
                    line(bar.console, f"  {printable(progress.message)}", "red")
        report = progress.report
        line(self.out, f"  {report.sequences} sequences, {report.rate:.0f} a second")
        for kind in report.differences:
            line(self.out, f"  differs ({kind.times} times): {printable(kind.texts[0])}", "red")
            if kind.file:
                line(self.out, f"    sealspec run {printable(kind.file)}")
        for text in report.unanswered:
            line(self.out, f"  not finished by the kernel: {printable(text)}", "red")
        return report


# what is shown --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Bar:
    """A progress bar on a terminal; elsewhere a line now and then."""

    progress: Progress
    task: TaskID

    @property
    def console(self) -> Console:
        """Where lines may be printed meanwhile."""
        return self.progress.console

    def update(self, done: int, last: str) -> None:
        """So much is done."""
        self.progress.update(self.task, completed=done, last=last)


@contextmanager
def _watched(out: Console, what: str, total: int | None, last: str) -> Iterator[_Bar]:
    progress = progress_bars(out)
    with progress:
        yield _Bar(progress, progress.add_task(what, total=total, last=last))


def _table(results: Sequence[KernelResult]) -> Table:
    """A row for each kernel."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("kernel", "edition"):
        table.add_column(heading, no_wrap=True)
    for heading in ("boot s", "confirmed", "not confirmed", "cannot be tried", "sequences", "differences"):
        table.add_column(heading, justify="right")
    for result in results:
        if result.error:
            table.add_row(Text(printable(result.target)), Text("could not be asked", style="bold red"))
            continue
        matches = result.probe is not None and result.probe.edition is not None
        edition = Text(str(result.edition)) if matches else Text(f"none, nearest {result.edition}", style="bold red")
        counts = [str(number) for number in result.verdicts.values()] if result.replays is not None else ["-"] * 3
        sequences, differences = "-", "-"
        if result.conform is not None:
            sequences, differences = str(result.conform.sequences), str(result.differences)
        cells = [f"{result.boot_seconds:.1f}", *counts, sequences, differences]
        wrong = {2: result.verdicts["not confirmed"] > 0, 5: result.differences > 0}
        row = [Text(cell, style="bold red" if wrong.get(i) else "") for i, cell in enumerate(cells)]
        table.add_row(Text(printable(result.release)), edition, *row)
    return table
