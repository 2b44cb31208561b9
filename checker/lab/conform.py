# SPDX-License-Identifier: MIT
"""Conformance: a live kernel against the concrete reading of an edition, over thousands of generated call sequences.

After every call the result, the errno, every VMA (boundaries, protection, seal, flags, key) and the first byte of every
page must be what the specification says. Where the specification leaves something open (memory that runs out, where a
mapping goes that may go anywhere) it allows a set of outcomes, and the kernel's must be one of them: the concrete
reading is run again with what the environment may do, and only an answer that it can then give is explained. Memory
does not run out every time: unless a limit of the machine may be the reason, the kernel is asked again, and an answer
that it repeats is a difference. Limits themselves are tried on purpose (the flavour "limits" of the generator).

A difference is shrunk to a small sequence and saved as a scenario that carries the kernel's answers, so that
`sealspec run FILE` shows it again.

Sequences are made in bulk by checker.lab.generate, not drawn by Hypothesis: drawing one takes about 3 ms, which is more
than executing and comparing it, and thirty times what making it takes; and sequence i of a seed must be the same on
every machine, whoever runs which part. Nor is a difference shrunk by Hypothesis, which would have to find it again by
drawing, and would ask the kernel about one candidate at a time, where a guest answers hundreds in one boot. Steps are
removed and arguments made simpler, all candidates of a round at once, until none that is left differs.
tests/lab/test_conform.py does draw from Hypothesis, and shrinks by it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from checker.documents.base import Count, Document, EditionName, Int, Line
from checker.documents.files import dump_document, load_model
from checker.documents.scenarios import Kernel, Scenario
from checker.lab.batches import Batch, BatchResult, Found, Machine, run_in_parts, up_to
from checker.lab.errors import LabError
from checker.lab.run import ImageKernel
from checker.lab.run import Kernel as LabKernel
from checker.lab.shrink import shrink
from checker.output import write_text
from checker.processes import Ended, Workers
from checker.version import WrittenBy, stamped, tool
from spec.editions import Edition

KINDS_SHRUNK: Final = 12
"""So many kinds of differences are shrunk and saved; the others are counted."""
HOST_BATCH: Final = 500
"""Sequences for one start of the oracle: starting it, and filling its nursery, is then a small part of the work."""
GUEST_BATCH: Final = 2500
"""Sequences for one boot."""
END_SECONDS: Final = 0.3
"""So long the workers may take to end after the sequence at hand, when the run is ended."""
SAVE_SECONDS: Final = 2.0
"""So often the state file is written."""
PRELOADED: Final = ["checker.lab.batches"]


class DifferenceDoc(Document):
    """One kind of difference."""

    name: Line = Field(description="the first sequence that differed: gSEED-INDEX-FLAVOUR")
    kind: tuple[Line, ...] = Field(
        description="the call, the check that decided in the specification, and what differs (ret, errno, vmas, bytes;"
        " model: the specification broke down)"
    )
    texts: tuple[Line, ...] = Field(description="the differences, one line each")
    times: Count = Field(description="sequences with a difference of this kind")
    repeatable: bool | None = Field(default=None, description="it differed again when it was shrunk; null: not tried")
    steps: Count | None = Field(default=None, description="steps of the saved scenario")
    file: Line | None = Field(default=None, description="where the scenario was saved")


Span = Annotated[tuple[Count, Count], Field(description="sequences from the first number up to the second")]


class ConformReport(Document):
    """How far a run has come, and what it found: the report, and what a run is resumed from."""

    format: Literal["mseal-spec/conform/1"] = "mseal-spec/conform/1"
    tool: WrittenBy = None
    kernel: Line = Field(description="running, or the name of the image")
    release: Line = Field(description="what the kernel says it is")
    machine: Kernel
    edition: EditionName
    seed: Int
    done: tuple[Span, ...] = ()
    sequences: Count = 0
    steps: Count = 0
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    explained: tuple[Line, ...] = Field(default=(), description="sequences that only the environment explains")
    unanswered: tuple[Line, ...] = Field(default=(), description="sequences that the kernel did not finish")
    lost: tuple[Line, ...] = Field(
        default=(), description="errors: sequences that were not compared, for their process was lost"
    )
    differences: tuple[DifferenceDoc, ...] = ()

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if merged(self.done) != self.done:
            raise ValueError("the ranges of sequences in 'done' are not in order, or overlap")
        counted = sum(end - first for first, end in self.done)
        if self.sequences != counted:
            raise ValueError(f"'sequences' is {self.sequences}, and 'done' has {counted}")
        return self

    @property
    def agrees(self) -> bool:
        """Every sequence was answered, and every answer is allowed."""
        return not self.differences and not self.unanswered and not self.lost

    @property
    def rate(self) -> float:
        """Sequences a second."""
        return self.sequences / self.seconds if self.seconds else 0.0


def conform_schema() -> str:
    """The JSON schema of a `ConformReport`, as published in docs/schema/conform.json."""
    return json.dumps(ConformReport.model_json_schema(mode="serialization"), indent=2, sort_keys=True) + "\n"


@dataclass(frozen=True, slots=True)
class Settings:
    """What to run. `examples` None: until `seconds` are over; `seconds` None: until all examples are done. `out` is the
    folder for differences, which is made when there is one; None saves none."""

    kernel: LabKernel
    edition: Edition
    seed: int
    examples: int | None
    seconds: float | None
    jobs: int
    out: Path | None
    state: Path | None = None
    dropped: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What is told while a run goes on."""

    sequences: int
    """Compared so far, those of a resumed run included."""
    report: ConformReport
    message: str = ""


def kernel_name(kernel: LabKernel) -> str:
    """The kernel as `--kernel` names it."""
    return str(kernel.path) if isinstance(kernel, ImageKernel) else "running"


def load_state(path: Path) -> ConformReport | None:
    """The report that a run is to be resumed from; None if there is no such file. Raises BadDocument."""
    if not os.path.lexists(path):
        return None
    return load_model(path, ConformReport, "the state of a conformance run")


def missing(done: Sequence[tuple[int, int]], examples: int | None, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of sequences, at most `size` long, that are not done yet, in order."""
    at, last = 0, examples if examples is not None else 1 << 62
    for first, end in (*sorted(done), (last, last)):
        while at < min(first, last):
            stop = min(at + size, first, last)
            yield at, stop
            at = stop
        at = max(at, end)


def merged(done: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same ranges in order, without gaps of length zero between them."""
    result: list[tuple[int, int]] = []
    for first, end in sorted(span for span in done if span[0] < span[1]):
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((first, end))
    return tuple(result)


def conform(
    settings: Settings, machine: Machine, resumed: ConformReport | None = None
) -> Generator[Progress, None, None]:
    """Run, and yield progress several times a second; the last one has the whole report.

    Closing the generator, or an exception in it such as KeyboardInterrupt, ends the workers; the state file then says
    how far the run was. Raises LabError, and OSError where a file cannot be written.
    """
    run = Run(settings, machine, resumed)
    try:
        yield from run.go()
    finally:
        run.end()


class Run:
    """A run under way: `go` yields its progress, and `end`, which must be called whatever happens, completes `report`
    by what the workers had done when they were ended."""

    def __init__(self, settings: Settings, machine: Machine, resumed: ConformReport | None) -> None:
        self.settings = settings
        self.machine = machine
        self.before = resumed.seconds if resumed else 0.0
        self.report = ConformReport(
            kernel=kernel_name(settings.kernel),
            release=machine.release,
            machine=machine.kernel,
            edition=settings.edition.name,
            seed=settings.seed,
        )
        if resumed is not None:
            self.report = resumed.model_copy(update={"lost": ()})  # they are run again
        self.started = self.saved = time.monotonic()
        self.workers = Workers[Batch, BatchResult](run_in_parts, settings.jobs, PRELOADED)
        self.reached: dict[int, int] = {}
        """By the first sequence of a batch: how far it came."""
        self.ended = False
        self.kinds = {d.kind: n for n, d in enumerate(self.report.differences)}

    def go(self) -> Generator[Progress, None, None]:
        """Hand out batches, take in what comes of them."""
        settings = self.settings
        size = GUEST_BATCH if isinstance(settings.kernel, ImageKernel) else HOST_BATCH
        if settings.examples is not None:  # enough batches for all workers
            size = max(1, min(size, -(-settings.examples // settings.jobs)))
        waiting = missing(self.report.done, settings.examples, size)
        deadline = self.started + settings.seconds if settings.seconds is not None else None
        more = True
        while more or self.workers.busy:
            while more and self.workers.free:
                span = next(waiting, None)
                if span is None:
                    more = False
                else:
                    self.workers.start(self.batch(*span))
            for batch, told in self.workers.wait(0.2):
                yield from self.heed(batch, told)
            if deadline is not None and time.monotonic() >= deadline:
                more, deadline = False, None
                self.workers.stop()
            yield Progress(self.report.sequences, self.report)
        self.save()
        yield Progress(self.report.sequences, self.report)

    def heed(self, batch: Batch, told: BatchResult | Ended) -> Generator[Progress, None, None]:
        """A worker told something of its batch."""
        if isinstance(told, BatchResult):
            self.reached[batch.first] = told.reached
            yield from self.take(batch, told)
        elif told.lost and not self.ended:
            left = f"sequences {self.reached.get(batch.first, batch.first)} to {batch.end - 1}"
            text = f"{left} were not compared: their process was lost: {told.lost}"
            self.report = self.report.model_copy(update={"lost": (*self.report.lost, text)})
            yield self.progress(text)

    def batch(self, first: int, end: int) -> Batch:
        """Sequences of this run."""
        settings = self.settings
        return Batch(
            settings.kernel, self.machine, settings.edition, settings.seed, first, end, dropped=settings.dropped
        )

    def take(self, batch: Batch, result: BatchResult) -> Generator[Progress, None, None]:
        """Enter the result of a batch into the report, and shrink what is new in it."""
        for _, document, found in result.differences:
            known = self.kinds.get(found.kind)
            if known is None:
                yield self.progress(f"{document.name} differs: {found.differences[0]}")
                self.enter(batch, document, found)
            else:
                seen = self.report.differences[known]
                self.replace(known, seen.model_copy(update={"times": seen.times + 1}))
        old = self.report
        self.report = old.model_copy(
            update={
                "done": merged((*old.done, (result.first, result.reached))),
                "sequences": old.sequences + result.reached - result.first,
                "steps": old.steps + result.steps,
                "explained": (*old.explained, *result.explained),
                "unanswered": (*old.unanswered, *result.unanswered),
            }
        )
        if time.monotonic() - self.saved >= SAVE_SECONDS:
            self.save()

    def enter(self, batch: Batch, document: Scenario, found: Found) -> None:
        """A difference of a new kind."""
        entry = DifferenceDoc(
            name=document.name,
            kind=found.kind,
            texts=tuple(str(d) for d in found.differences),
            times=1,
        )
        self.kinds[found.kind] = len(self.report.differences)
        if self.settings.out is not None and len(self.kinds) <= KINDS_SHRUNK:
            smallest, again = (up_to(document, found), None) if self.ended else shrink(batch, document, found)
            path = self.settings.out / f"{batch.edition.name}-{document.name}.json"
            save_scenario(path, smallest, batch.edition)
            update = {"repeatable": again, "steps": len(smallest.steps), "file": str(path)}
            entry = entry.model_copy(update=update)
        self.report = self.report.model_copy(update={"differences": (*self.report.differences, entry)})

    def replace(self, number: int, entry: DifferenceDoc) -> None:
        """Another entry in the place of a difference."""
        differences = list(self.report.differences)
        differences[number] = entry
        self.report = self.report.model_copy(update={"differences": tuple(differences)})

    def progress(self, message: str) -> Progress:
        """Something to be told at once."""
        return Progress(self.report.sequences, self.report, message)

    def save(self) -> None:
        """Write the state file, whole."""
        seconds = self.before + time.monotonic() - self.started
        self.report = self.report.model_copy(update={"seconds": round(seconds, 3)})
        self.saved = time.monotonic()
        if self.settings.state is not None:
            write_text(self.settings.state, dump_document(stamped(self.report)))

    def end(self) -> None:
        """End the workers, after the sequence at hand or soon, and save how far they came. New kinds of differences are
        entered, and no longer shrunk."""
        self.ended = True
        if not self.workers.busy:
            return
        deadline = time.monotonic() + END_SECONDS
        with self.workers:
            self.workers.stop()
            with suppress(LabError, OSError):  # what one worker met, others meet too
                while self.workers.busy and (left := deadline - time.monotonic()) > 0:
                    for batch, told in self.workers.wait(left):
                        for _ in self.heed(batch, told):
                            pass
        self.save()


def save_scenario(path: Path, document: Scenario, edition: Edition) -> None:
    """Write a sequence with its answers as a scenario of an edition; the folder is made if need be. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = document.model_copy(update={"edition": edition.name, "tool": tool()})
    data = named.model_dump(mode="json", exclude_unset=True)
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
