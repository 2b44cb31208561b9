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
import multiprocessing
import resource
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from checker.concrete import ANYWHERE
from checker.documents import (
    FAILURES,
    BadDocument,
    Count,
    Difference,
    Document,
    EditionName,
    Int,
    Kernel,
    Scenario,
    Step,
    VdsoStep,
    dump_document,
    parse_document,
    write_text_atomically,
)
from checker.lab.errors import LabError
from checker.lab.generate import FLAVOURS, PAGE, WINDOW, scenario
from checker.lab.run import ImageKernel, RunReport, run_scenarios
from checker.lab.run import Kernel as LabKernel
from checker.lab.script import ANSWER_FIELDS
from checker.scenario import NO_FREEDOM, Freedom, Runner, compare_step
from checker.scenario import WINDOW as WINDOW_PAGE
from spec.editions import Edition, SealCheck
from spec.errors import Errno

KINDS_SHRUNK: Final = 12
"""So many kinds of differences are shrunk and saved; the others are counted."""
HOST_BATCH: Final = 500
"""Sequences for one start of the oracle: starting it, and filling its nursery, is then a small part of the work."""
GUEST_BATCH: Final = 2500
"""Sequences for one boot."""
SHRINK_SECONDS: Final = 120.0
"""So long one difference is made smaller."""
TRIES: Final = 3
"""So often a kernel is asked again: whether memory runs out for it, whether it answers the same."""
HARDWARE_POISON: Final = 100
CAP_IPC_LOCK: Final = 14


# one sequence ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """The first step of a sequence whose answer the specification does not give."""

    step: int
    differences: tuple[Difference, ...]
    check: str
    """What decided in the specification; empty if its call ran to its end."""

    @property
    def kind(self) -> tuple[str, ...]:
        """What makes two differences the same: the call, what decided, what differs, and how: the two errnos, and
        whether the kernel has more VMAs, or fewer."""
        return (self.differences[0].call, self.check, *(f"{d.field}{_direction(d)}" for d in self.differences))


def _direction(difference: Difference) -> str:
    """In which way the two answers differ, in short."""
    left, right = difference.expected, difference.got
    if difference.field == "errno":
        return f" {int(left)}/{int(right)}"
    if difference.field == "vmas" and len(left) != len(right):
        return ">" if len(left) > len(right) else "<"
    return ""


def first_difference(
    document: Scenario,
    edition: Edition,
    *,
    dropped: str | None = None,
    freedoms: Mapping[int, Freedom] | None = None,
) -> Found | None:
    """Run an answered sequence on the concrete reading up to the first step that differs. `dropped` names a check that
    the specification is to lack; `freedoms` say by step how what is left open was decided. Where the concrete reading
    itself breaks down, that is the difference (field "model")."""
    chosen = freedoms or {}
    runner = Runner(document, edition, dropped=dropped)
    for n, step in enumerate(document.steps):
        try:
            answer = runner.answer(step, chosen.get(n, NO_FREEDOM))
        except Exception as error:  # any error of the specification is a finding, not a reason to stop the run
            told = f"{type(error).__name__}: {error}"
            return Found(n, (Difference(step=n, call=step.call, field="model", expected=step.ret, got=told),), "")
        differences = compare_step(n, step, answer)
        if differences:
            return Found(n, tuple(differences), answer.result.check)
    return None


def explanation(
    document: Scenario, edition: Edition, found: Found, *, dropped: str | None = None
) -> dict[int, Freedom] | None:
    """How the environment can have decided, step by step, so that the specification gives every answer of the kernel;
    None if there is no such way."""

    def search(chosen: dict[int, Freedom], at: Found) -> dict[int, Freedom] | None:
        if at.step in chosen:
            return None
        for freedom in _allowed(document.steps[at.step]):
            trial = {**chosen, at.step: freedom}
            again = first_difference(document, edition, dropped=dropped, freedoms=trial)
            if again is None:
                return trial
            if again.step > at.step and (further := search(trial, again)) is not None:
                return further
        return None

    return search({}, found)


def _allowed(step: Step) -> Iterator[Freedom]:
    """What the specification leaves open in a step, given the kernel's answer to it."""
    for name in FAILURES.get(step.call, ()):
        yield Freedom(failures=(name,))
    if step.call in ("mmap", "mremap") and step.errno == 0 and step.ret is not None:
        if step.ret.startswith("p"):
            yield Freedom(place=WINDOW_PAGE + int(step.ret[1:]))
        elif step.ret == "elsewhere":
            yield Freedom(place=ANYWHERE)


# the kernel -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of a kernel and the machine it runs on before the first sequence."""

    release: str
    kernel: Kernel
    limited: frozenset[str] = frozenset()
    """Failures of the environment that a limit of this machine may cause every time."""


def _limited() -> frozenset[str]:
    """What the limits of this machine and process may refuse every time."""
    names = {name for known in FAILURES.values() for name in known}
    locking = {name for name in names if "RLIMIT_MEMLOCK" in name}
    found: set[str] = set()
    strict = Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "2"
    if strict or resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        found |= names - locking
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY and not _may_lock():
        found |= locking
    return frozenset(found)


def _may_lock() -> bool:
    """This process has CAP_IPC_LOCK: RLIMIT_MEMLOCK is not for it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return bool(int(status["CapEff"], 16) >> CAP_IPC_LOCK & 1)


def look_at(kernel: LabKernel) -> Machine:
    """Ask a kernel who it is and how it was configured. Raises LabError where it cannot be asked: no mseal, no
    compiler, no QEMU, an image that does not boot."""
    report = RunReport()
    poison = {"call": "madvise", "addr": hex(WINDOW), "len": PAGE, "behavior": HARDWARE_POISON}
    (answer,) = run_scenarios([{"name": "who are you", "steps": [poison]}], kernel, report=report)
    steps = answer["steps"]
    if report.hello is None or not isinstance(steps, list) or not steps:
        raise LabError(f"{kernel.describe()}: no answer to a first question: {answer.get('error')}")
    told = Kernel(pkeys=report.hello.has_pku, memory_failure=steps[0]["errno"] == Errno.EPERM)
    return Machine(report.hello.release, told, frozenset() if isinstance(kernel, ImageKernel) else _limited())


def flavours_for(edition: Edition, machine: Machine) -> dict[str, int]:
    """The kinds of sequences to make.

    Without memory that the edition cannot have; without protection keys where the processor has none (a pkey_alloc then
    fails in one of two ways, which depend on what was asked before); and before 6.12 without special mappings and
    exhausted limits: the only kernel of such an edition that there is to be asked is a 6.12 with v10's checks, whose
    mmap passes the EINVAL of a refused split on, and tests its limits later, as no 6.10 did.
    """
    left_out = set() if edition.droppable else {"droppable"}
    if edition.seals is SealCheck.UP_FRONT:
        left_out |= {"vdso", "limits"}
    if not machine.kernel.pkeys:
        left_out.add("keys")
    return {name: weight for name, weight in FLAVOURS.items() if name not in left_out}


def answered(document: Mapping[str, Any], machine: Machine) -> Scenario:
    """A kernel's answers as a document of this machine. Raises BadDocument."""
    data: dict[str, Any] = {**document, "kernel": machine.kernel.model_dump(exclude_defaults=True)}
    data.pop("error", None)
    for step in data["steps"]:
        if step["call"] == "vdso":
            step["pages"] = int(step["ret"]) if step["errno"] == 0 else 0
    parsed = parse_document(data)
    assert isinstance(parsed, Scenario)
    return parsed


# batches --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences [first, end) of a seed, to be run on a kernel and compared with an edition."""

    kernel: LabKernel
    machine: Machine
    edition: Edition
    seed: int
    first: int
    end: int
    limit_ms: int = 20_000
    dropped: str | None = None


@dataclass(slots=True)
class BatchResult:
    """What came of a batch."""

    first: int
    reached: int
    """The sequences [first, reached) were compared."""
    steps: int = 0
    explained: list[str] = field(default_factory=list)
    """Names of sequences that only the environment explains, and how."""
    unanswered: list[str] = field(default_factory=list)
    """Names of sequences that the kernel did not finish, and why."""
    differences: list[tuple[int, Scenario, Found]] = field(default_factory=list)


def run_batch(batch: Batch, tell: Callable[[int], bool] = lambda reached: True) -> BatchResult:
    """Run a batch, one sequence after the other. `tell(reached)` is called after each, and ends the batch if it says
    False. Raises LabError."""
    result = BatchResult(batch.first, batch.first)
    flavours = flavours_for(batch.edition, batch.machine)
    documents = [scenario(batch.seed, i, flavours) for i in range(batch.first, batch.end)]
    with closing(run_scenarios(documents, batch.kernel, limit_ms=batch.limit_ms)) as run:
        for index, answer in enumerate(run, batch.first):
            if "error" in answer:
                # once more, alone: a machine under load may be too slow for the time limit
                (answer,) = run_scenarios([documents[index - batch.first]], batch.kernel, limit_ms=batch.limit_ms)
            if not tell(index + 1):
                break
            if "error" in answer:
                result.unanswered.append(f"{answer['name']}: {answer['error']}")
            _compare(batch, index, answered(answer, batch.machine), result)
            result.reached = index + 1
    return result


def _compare(batch: Batch, index: int, document: Scenario, result: BatchResult) -> None:
    result.steps += len(document.steps)
    found = first_difference(document, batch.edition, dropped=batch.dropped)
    if found is None:
        return
    how = explanation(document, batch.edition, found, dropped=batch.dropped)
    if how is not None and _is_allowed(batch, document, how):
        result.explained.append(f"{document.name}: {', '.join(f'step {n}: {f}' for n, f in how.items())}")
    else:
        result.differences.append((index, document, found))


def _is_allowed(batch: Batch, document: Scenario, how: Mapping[int, Freedom]) -> bool:
    """The explanation holds: what it says ran out is limited here, or does not run out every time."""
    ran_out = {name for freedom in how.values() for name in freedom.failures}
    if ran_out <= batch.machine.limited:
        return True
    again = [{"name": document.name, "steps": plain_steps(document)}] * TRIES
    with closing(run_scenarios(again, batch.kernel, limit_ms=batch.limit_ms)) as run:
        for answer in run:
            told = answered(answer, batch.machine)
            if first_difference(told, batch.edition, dropped=batch.dropped) is None:
                return True
    return False


# shrinking ------------------------------------------------------------------------------------------------------------


def _pages(value: object) -> int:
    """The size of an address or a length, in pages from the window or from zero; what is wild is large."""
    number = int(value, 16) if isinstance(value, str) and value.startswith("0x") else value
    if not isinstance(number, int):
        return 100
    if number >= WINDOW:
        number -= WINDOW
    return min(number // PAGE, 100) + (2 if number % PAGE else 0)


def _cost(step: Mapping[str, Any]) -> int:
    """How far a step is from the plainest of its call."""
    cost = sum(_pages(step[name]) for name in ("addr", "new_addr", "len", "old_len", "new_len", "off") if name in step)
    cost += {3: 0, 1: 1}.get(step.get("prot", 3), 2) + int(step.get("flags", 0)).bit_count()
    return cost + len(step.get("failures", ())) + int(step.get("byte", 1) != 1) + 2 * int(step.get("fd", -1) != -1)


def _measure(steps: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """How large a sequence is: fewer steps first, then plainer ones."""
    return len(steps), sum(map(_cost, steps))


def _simpler(step: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The same call with one argument made plainer."""

    def with_(**fields: object) -> dict[str, Any]:
        return {**step, **fields}

    for name in ("len", "old_len", "new_len"):
        if name in step:
            pages = step[name] // PAGE
            sizes = sorted({0, 1, pages // 2, pages - 1, pages})
            yield from (with_(**{name: n * PAGE}) for n in sizes if 0 <= n <= 100)
    if step["call"] == "mremap" and step["old_len"] == step["new_len"]:
        yield from (with_(old_len=n * PAGE, new_len=n * PAGE) for n in (1, step["old_len"] // PAGE // 2))
    for name in ("addr", "new_addr"):
        number = int(step[name], 16) if str(step.get(name, "")).startswith("0x") else 0
        if number >= WINDOW and _pages(number) < 100:
            yield from (with_(**{name: hex(a)}) for a in (number & -PAGE, (number & -PAGE) - PAGE) if a >= WINDOW)
    if step["call"] == "mmap":
        yield with_(flags=0x32, fd=-1, off=0)
        yield from (with_(flags=step["flags"] & ~(1 << bit)) for bit in range(8, 64) if step["flags"] >> bit & 1)
        yield with_(off=0)
    if "prot" in step:
        yield from (with_(prot=prot) for prot in (3, 1))
    if "byte" in step:
        yield with_(byte=1)
    if "failures" in step:
        yield {name: value for name, value in step.items() if name != "failures"}


def _candidates(steps: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Smaller sequences than this one, smallest first: some steps left out, an argument made plainer, all addresses
    moved down."""
    count = len(steps)
    found: list[list[dict[str, Any]]] = []
    for size in range(count - 1, 0, -1):
        found += [[*steps[:i], *steps[i + size :]] for i in range(count - size)]  # the last step is what differs
    if count <= 16:
        found += [
            [step for n, step in enumerate(steps) if n not in (i, j)]
            for i in range(count - 1)
            for j in range(i + 2, count - 1)
        ]
    for i, step in enumerate(steps):
        found += [[*steps[:i], plainer, *steps[i + 1 :]] for plainer in _simpler(step)]
    places = [
        int(step[name], 16) for step in steps for name in ("addr", "new_addr") if str(step.get(name)).startswith("0x")
    ]
    inside = [place for place in places if _pages(place) < 100]
    if inside and min(inside) >= WINDOW + PAGE:
        found.append([_moved(step, min(inside) // PAGE * PAGE - WINDOW) for step in steps])
    here = _measure(steps)
    smaller = {json.dumps(one): one for one in found if _measure(one) < here}
    return sorted(smaller.values(), key=_measure)


def _moved(step: dict[str, Any], down: int) -> dict[str, Any]:
    """The step with its addresses in the window so many bytes further down."""
    moved = dict(step)
    for name in ("addr", "new_addr"):
        place = int(step[name], 16) if str(step.get(name)).startswith("0x") else 0
        if WINDOW + down <= place < WINDOW + 100 * PAGE:
            moved[name] = hex(place - down)
    return moved


def plain_steps(document: Scenario) -> list[dict[str, Any]]:
    """A sequence's steps without answers, as a script takes them."""
    steps = []
    for step in document.steps:
        data = step.model_dump(mode="json", exclude=set(ANSWER_FIELDS))
        if not step.failures:
            del data["failures"]
        if isinstance(step, VdsoStep):
            del data["pages"]  # the kernel says
        steps.append(data)
    return steps


def up_to(document: Scenario, found: Found) -> Scenario:
    """The sequence as far as it differs."""
    return document.model_copy(update={"steps": document.steps[: found.step + 1]})


def shrink(batch: Batch, document: Scenario, found: Found, seconds: float = SHRINK_SECONDS) -> tuple[Scenario, bool]:
    """A smallest sequence with a difference of the same kind, with the kernel's answers; and whether it differed again.
    One that did not, run three times more, is returned as it was, up to the step that differed.

    Raises LabError.
    """
    deadline = time.monotonic() + seconds
    slice_size = 400 if isinstance(batch.kernel, ImageKernel) else 40

    def differing(sequences: Sequence[Sequence[dict[str, Any]]]) -> Scenario | None:
        """The first of the sequences that differs like the one to be shrunk, up to the step that differs."""
        documents = [{"name": document.name, "steps": list(steps)} for steps in sequences]
        with closing(run_scenarios(documents, batch.kernel, limit_ms=batch.limit_ms)) as run:
            for answer in run:
                told = answered(answer, batch.machine)
                at = first_difference(told, batch.edition, dropped=batch.dropped)
                if at is not None and at.kind == found.kind:
                    return up_to(told, at)
        return None

    whole = up_to(document, found)
    smallest = differing([plain_steps(whole)] * TRIES)
    if smallest is None:
        return whole, False
    while time.monotonic() < deadline:
        candidates = _candidates(plain_steps(smallest))
        for i in range(0, len(candidates), slice_size):
            better = differing(candidates[i : i + slice_size])
            if better is not None or time.monotonic() >= deadline:
                break
        else:
            break
        if better is not None:
            smallest = better
    return smallest, True


# the run --------------------------------------------------------------------------------------------------------------


class DifferenceDoc(Document):
    """One kind of difference."""

    name: str = Field(description="the first sequence that differed: gSEED-INDEX-FLAVOUR")
    kind: tuple[str, ...] = Field(
        description="the call, the check that decided in the specification, and what differs (ret, errno, vmas, bytes;"
        " model: the specification broke down)"
    )
    texts: tuple[str, ...] = Field(description="the differences, one line each")
    times: Int = Field(description="sequences with a difference of this kind")
    repeatable: bool | None = Field(default=None, description="it differed again when it was shrunk; null: not tried")
    steps: Int | None = Field(default=None, description="steps of the saved scenario")
    file: str | None = Field(default=None, description="where the scenario was saved")


Span = Annotated[tuple[Count, Count], Field(description="sequences from the first number up to the second")]


class ConformReport(Document):
    """How far a run has come, and what it found: the report, and what a run is resumed from."""

    format: Literal["mseal-spec/conform/1"] = "mseal-spec/conform/1"
    kernel: str = Field(description="running, or the name of the image")
    release: str = Field(description="what the kernel says it is")
    machine: Kernel
    edition: EditionName
    seed: Int
    done: tuple[Span, ...] = ()
    sequences: Int = 0
    steps: Int = 0
    seconds: float = 0.0
    explained: tuple[str, ...] = Field(default=(), description="sequences that only the environment explains")
    unanswered: tuple[str, ...] = Field(default=(), description="sequences that the kernel did not finish")
    differences: tuple[DifferenceDoc, ...] = ()

    @property
    def agrees(self) -> bool:
        """Every sequence was answered, and every answer is allowed."""
        return not self.differences and not self.unanswered

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
    try:
        return ConformReport.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BadDocument("", f"not the state of a conformance run: {reason}", str(path)) from None


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


_stop: Any = None
_count: Any = None
"""In a worker: an event that ends it, and the number of sequences that all workers have compared."""


def _begin(stop: Any, count: Any) -> None:
    """Set a worker up; Ctrl-C is for the parent, which then sets the event."""
    global _stop, _count
    _stop, _count = stop, count
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(batch: Batch) -> BatchResult:
    def tell(reached: int) -> bool:
        with _count.get_lock():
            _count.value += 1
        return not _stop.is_set()

    return run_batch(batch, tell)


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
        self.report = resumed or ConformReport(
            kernel=kernel_name(settings.kernel),
            release=machine.release,
            machine=machine.kernel,
            edition=settings.edition.name,
            seed=settings.seed,
        )
        self.started = time.monotonic()
        self.compared_before = self.report.sequences
        context = multiprocessing.get_context("spawn")
        self.stop = context.Event()
        self.count = context.Value("q", 0)
        self.pool = ProcessPoolExecutor(settings.jobs, context, _begin, (self.stop, self.count))
        self.running: dict[Future[BatchResult], Batch] = {}
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
        while True:
            while more and not self.stop.is_set() and len(self.running) <= settings.jobs:
                span = next(waiting, None)
                if span is None:
                    more = False
                else:
                    batch = self.batch(*span)
                    self.running[self.pool.submit(_work, batch)] = batch
            if not self.running:
                break
            finished, _ = wait(self.running, timeout=0.2, return_when=FIRST_COMPLETED)
            if deadline is not None and time.monotonic() >= deadline:
                self.stop.set()
            for future in finished:
                yield from self.take(self.running.pop(future), future.result())
            yield Progress(self.compared_before + self.count.value, self.report)
        self.save()
        yield Progress(self.report.sequences, self.report)

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
        return Progress(self.compared_before + self.count.value, self.report, message)

    def save(self) -> None:
        """Write the state file, whole."""
        seconds = self.before + time.monotonic() - self.started
        self.report = self.report.model_copy(update={"seconds": round(seconds, 3)})
        if self.settings.state is not None:
            write_text_atomically(self.settings.state, dump_document(self.report))

    def end(self) -> None:
        """End the workers, each after the sequence at hand, and save how far they came. New kinds of differences are
        entered, and no longer shrunk."""
        self.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.ended = True
        for future, batch in self.running.items():
            if not future.cancelled() and future.exception() is None:
                for _ in self.take(batch, future.result()):
                    pass
        self.running.clear()


def save_scenario(path: Path, document: Scenario, edition: Edition) -> None:
    """Write a sequence with its answers as a scenario of an edition; the folder is made if need be. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = document.model_copy(update={"edition": edition.name})
    data = named.model_dump(mode="json", exclude_unset=True)
    write_text_atomically(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
