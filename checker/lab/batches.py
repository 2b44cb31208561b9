# SPDX-License-Identifier: MIT
"""Sequences of calls that a kernel answered, held against an edition, in batches: what differs, and whether only the
environment explains it."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from checker.concrete import ANYWHERE
from checker.documents.files import parse_document
from checker.documents.scenarios import FAILURES, Difference, Kernel, Scenario, Step, VdsoStep
from checker.lab.errors import LabError
from checker.lab.generate import FLAVOURS, PAGE, WINDOW, scenario
from checker.lab.run import ImageKernel, RunReport, run_scenarios
from checker.lab.run import Kernel as LabKernel
from checker.lab.script import ANSWER_FIELDS
from checker.scenario import NO_FREEDOM, Freedom, Runner, compare_step
from checker.scenario import WINDOW as WINDOW_PAGE
from spec.advice import ADVICE
from spec.editions import Edition, SealCheck
from spec.errors import Errno
from spec.mapping import MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_HUGETLB, MAP_PRIVATE
from spec.words import HUGE_PAGE_SIZE, MIN_PAGE, PAGE_SHIFT

TRIES: Final = 3
"""So often a kernel is asked again: whether memory runs out for it, whether it answers the same."""
PART_SECONDS: Final = 0.2
"""So often a process tells what came of its sequences."""
BEYOND: Final = 1 << 47
"""The first address that four levels of page tables do not reach."""
ENOUGH_HUGE_PAGES: Final = 8
"""No sequence holds as many huge pages at once, its child's copies included."""
CAP_IPC_LOCK: Final = 14


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
    if isinstance(left, int) and isinstance(right, int):
        return f" {int(left)}/{int(right)}"
    if isinstance(left, tuple) and isinstance(right, tuple) and len(left) != len(right):
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
    huge_sequences: bool = True
    """Huge pages can be asked for, there are either none or enough of them, and no transparent ones uninvited."""


def _limited() -> frozenset[str]:
    """What the limits of this machine and process may refuse every time."""
    names = {name for known in FAILURES.values() for name in known}
    locking = {name for name in names if "RLIMIT_MEMLOCK" in name}
    found: set[str] = set()
    strict = Path("/proc/sys/vm/overcommit_memory").read_text("utf-8").strip() == "2"
    if strict or resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        found |= names - locking
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY and not _may_lock():
        found |= locking
    return frozenset(found)


def _may_lock() -> bool:
    """This process has CAP_IPC_LOCK: RLIMIT_MEMLOCK is not for it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines())
    return bool(int(status["CapEff"], 16) >> CAP_IPC_LOCK & 1)


def look_at(kernel: LabKernel) -> Machine:
    """Ask a kernel who it is and how it was configured. Raises LabError where it cannot be asked: no mseal, no
    compiler, no QEMU, an image that does not boot."""
    report = RunReport()
    questions = _questions()
    asked = [{"name": name, "steps": steps} for name, steps in questions.items()]
    errnos: dict[str, int] = {}
    for name, answer in zip(questions, run_scenarios(asked, kernel, report=report), strict=True):
        steps = answer["steps"]
        if not isinstance(steps, list) or not steps:
            raise LabError(f"{kernel.describe()}: no answer to a first question ({name}): {answer.get('error')}")
        errnos[name] = int(steps[0]["errno"])
    assert report.hello is not None, "a kernel that answers has greeted"
    if errnos["five levels of page tables"] == Errno.OK:
        raise LabError(
            f"{kernel.describe()}: five levels of page tables, where addresses do not end at 2^47: not modelled "
            "(docs/EXCLUSIONS.md, X86_64); boot with no5lvl"
        )
    allowed = [page for page in range(MIN_PAGE) if errnos[f"page {page}"] == 0]
    one, many = errnos["a huge page"], errnos["huge pages"]
    told = Kernel(
        pkeys=report.hello.has_pku,
        memory_failure=errnos["memory failure"] == Errno.EPERM,
        transparent_huge_pages=errnos["transparent huge pages"] == 0,
        same_page_merging=errnos["same page merging"] == 0,
        huge_pages=many == 0,
        sealed_system_mappings=errnos["vdso"] == Errno.EPERM,
        mmap_min_addr=min(allowed, default=MIN_PAGE) << PAGE_SHIFT,
    )
    limited = frozenset[str]() if isinstance(kernel, ImageKernel) else _limited()
    clear = one == many and one in (0, Errno.ENOMEM) and (isinstance(kernel, ImageKernel) or not _always_huge())
    return Machine(report.hello.release, told, limited, huge_sequences=clear)


def _always_huge() -> bool:
    """All memory of this machine may become transparent huge pages, without being asked for."""
    policy = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return policy.exists() and "[always]" in policy.read_text()


def _questions() -> dict[str, list[dict[str, object]]]:
    """What tells how a kernel was configured: for each fact the calls to make, of which the first shows it."""

    def advise(advice: str, length: int) -> list[dict[str, object]]:
        return [{"call": "madvise", "addr": hex(WINDOW), "len": length, "behavior": ADVICE[advice]}]

    def map_fixed(addr: int, length: int, more: int) -> list[dict[str, object]]:
        flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | more
        return [{"call": "mmap", "addr": hex(addr), "len": length, "prot": 3, "flags": flags}]

    return {
        "five levels of page tables": map_fixed(BEYOND, PAGE, MAP_FIXED_NOREPLACE),
        "memory failure": advise("MADV_HWPOISON", PAGE),
        "transparent huge pages": advise("MADV_NOHUGEPAGE", 0),
        "same page merging": advise("MADV_MERGEABLE", 0),
        "a huge page": map_fixed(WINDOW, HUGE_PAGE_SIZE, MAP_HUGETLB),
        "huge pages": map_fixed(WINDOW, ENOUGH_HUGE_PAGES * HUGE_PAGE_SIZE, MAP_HUGETLB),
        "vdso": [{"call": "vdso", "addr": hex(WINDOW)}],
        **{f"page {page}": map_fixed(page * PAGE, PAGE, 0) for page in range(MIN_PAGE)},
    }


def flavours_for(edition: Edition, machine: Machine) -> dict[str, int]:
    """The kinds of sequences to make.

    Without memory that the edition or the machine cannot have; and before 6.12 without mappings that refuse to be split
    and exhausted limits: the only kernel of such an edition that there is to be asked is a 6.12 with v10's checks,
    whose mmap passes the EINVAL of a refused split on, and tests its limits later, as no 6.10 did.
    """
    left_out = set() if edition.droppable else {"droppable"}
    if edition.seals is SealCheck.UP_FRONT:
        left_out |= {"vdso", "limits", "huge"}
    if machine.kernel.sealed_system_mappings:
        left_out.add("vdso")
    if not machine.huge_sequences:
        left_out.add("huge")
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


def run_batch(batch: Batch, tell: Callable[[BatchResult], bool] = lambda result: True) -> BatchResult:
    """Run a batch, one sequence after the other. `tell` is given what came of it so far after each, and ends the batch
    if it says False. Raises LabError."""
    result = BatchResult(batch.first, batch.first)
    flavours = flavours_for(batch.edition, batch.machine)
    documents = [scenario(batch.seed, i, flavours) for i in range(batch.first, batch.end)]
    with closing(run_scenarios(documents, batch.kernel, limit_ms=batch.limit_ms)) as run:
        for index, answer in enumerate(run, batch.first):
            if "error" in answer:
                # once more, alone: a machine under load may be too slow for the time limit
                (answer,) = run_scenarios([documents[index - batch.first]], batch.kernel, limit_ms=batch.limit_ms)
            if "error" in answer:
                result.unanswered.append(f"{answer['name']}: {answer['error']}")
            _compare(batch, index, answered(answer, batch.machine), result)
            result.reached = index + 1
            if not tell(result):
                break
    return result


def run_in_parts(batch: Batch, tell: Callable[[BatchResult], bool]) -> None:
    """Run a batch, and tell several times a second what came of the sequences since: so that little is lost where the
    process is. Raises LabError."""
    told, at = BatchResult(batch.first, batch.first), time.monotonic()

    def since(whole: BatchResult) -> BatchResult:
        return BatchResult(
            told.reached,
            whole.reached,
            whole.steps - told.steps,
            whole.explained[len(told.explained) :],
            whole.unanswered[len(told.unanswered) :],
            whole.differences[len(told.differences) :],
        )

    def part(whole: BatchResult) -> bool:
        nonlocal told, at
        if time.monotonic() - at < PART_SECONDS:
            return True
        new, at = since(whole), time.monotonic()
        told = BatchResult(
            whole.first, whole.reached, whole.steps, [*whole.explained], [*whole.unanswered], [*whole.differences]
        )
        return tell(new)

    whole = run_batch(batch, part)
    if whole.reached > told.reached:
        tell(since(whole))


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
