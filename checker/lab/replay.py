# SPDX-License-Identifier: MIT
"""Replays counterexamples on a real kernel: the layout is built by real calls, then the document's calls are made.

What the document says of each of its calls is compared with what the kernel does: result, errno, every VMA and the
first byte of every page. `replay_all` takes many documents through one start of the kernel.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby, zip_longest
from typing import Any, Final, Literal, Self, TypeAlias

from pydantic import Field, TypeAdapter, model_validator

from checker.digest import case_digest
from checker.documents.answers import WINDOW_PAGES, Bytes, ErrnoNumber, Vmas, vma_line
from checker.documents.base import Count, Document, EditionName, Line, shown
from checker.documents.counterexamples import Counterexample
from checker.documents.scenarios import Difference, Scenario, Step
from checker.lab.probe import ProbeReport
from checker.lab.rebuild import Rebuilt, rebuild
from checker.lab.relocate import CannotTry
from checker.lab.run import KILLED, ImageKernel, Kernel, RunReport, run_scenarios
from checker.lab.script import NO_MEMORY
from checker.naming import errno_name
from checker.scenario import WINDOW, Answer, compare_step
from checker.version import WrittenBy
from spec.properties import PROPERTIES

Verdict: TypeAlias = Literal["confirmed", "not confirmed", "cannot be tried here"]
CONFIRMED: Final = "confirmed"
NOT_CONFIRMED: Final = "not confirmed"
CANNOT: Final = "cannot be tried here"
LITTLE_MIB: Final = 256
"""Memory of a guest that is to run out of it, MiB: enough to boot the kernels that are known here."""
LIMIT_MS: Final = 90_000
"""Time that one document may take; to make a guest short of memory takes seconds, on a busy machine many."""
SETTINGS: Final = {
    "mmap: the fixed address is below mmap_min_addr": "vm.mmap_min_addr is not 65536",
    "mremap: the new address is below mmap_min_addr": "vm.mmap_min_addr is not 65536",
    "madvise: poisoning memory needs CAP_SYS_ADMIN": "it has no CONFIG_MEMORY_FAILURE",
}
"""Checks that depend on how a kernel was configured, and what it means if they decide otherwise."""
_FILE: Final = re.compile(r"file@(\d+)")
_STEP: Final[TypeAdapter[Step]] = TypeAdapter(Step)


class Outcome(Document):
    """One call of the document, and what came of it."""

    call: str
    ret: Line = Field(description="as in a kernel run: pN, elsewhere, pages of the break, or a number")
    errno: ErrnoNumber
    errno_name: Line = Field(description='"OK" on success')
    vmas: Vmas = Field(description="lines of smaps after the call")
    bytes: Bytes = Field(description="first byte of each page of the window after the call")
    changed: tuple[Line, ...] = Field(
        description="pages of the window that are not as they were before the call; alike ones in one line"
    )
    cuts: tuple[Line, ...] = Field(description="places at which VMAs begin or end after the call, but not before; or -")


class Replay(Document):
    """A document, held against a kernel."""

    format: Literal["mseal-spec/replay/2"] = "mseal-spec/replay/2"
    case: str = Field(
        pattern=r"^[0-9a-f]{16}$",
        description="digest of the document's case (checker.digest): which of the counterexamples it is",
    )
    property: Line
    call: Line
    edition: EditionName = Field(description="the edition that the document is about")
    kernel: Line = Field(description="the kernel that was asked; its release, where it answered")
    verdict: Verdict
    reason: Line = Field(description="why it is not confirmed, or cannot be tried: one sentence")
    notes: tuple[Line, ...] = Field(default=(), description="what is not as the document has it")
    building: Count = Field(default=0, description="how many of the scenario's steps build the document's layout")
    expected: tuple[Outcome, ...] = Field(default=(), description="what the document says of its calls")
    seen: tuple[Outcome, ...] = Field(default=(), description="what the kernel did")
    differences: tuple[Difference, ...] = Field(default=(), description="expected by the document, got from the kernel")
    scenario: Scenario | None = Field(default=None, description="what was run, with the kernel's answers")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if (self.verdict == CONFIRMED) != (not self.reason):
            raise ValueError(f"the verdict is {self.verdict!r}, and the reason {shown(self.reason)}")
        if self.verdict == CONFIRMED and self.differences:
            raise ValueError(f"the verdict is {self.verdict!r}, and yet there are differences")
        pairs = zip_longest(self.expected, self.seen) if self.verdict == CONFIRMED else ()
        if any(a is None or b is None or (a.ret, a.errno) != (b.ret, b.errno) for a, b in pairs):
            raise ValueError(f"the verdict is {self.verdict!r}, and yet something else was seen than expected")
        return self


class ReplayReport(Document):
    """What `sealspec replay --json` writes."""

    format: Literal["mseal-spec/replays/2"] = "mseal-spec/replays/2"
    tool: WrittenBy = None
    probe: ProbeReport | None = Field(description="how the edition was chosen; null: the documents name theirs")
    replays: tuple[Replay, ...]


def replay(document: Counterexample, kernel: Kernel) -> Replay:
    """Try one document on a kernel. Raises LabError where the kernel cannot be asked."""
    (result,) = replay_all([document], kernel)
    return result


def replay_all(
    documents: Sequence[Counterexample], kernel: Kernel, *, report: RunReport | None = None
) -> Generator[Replay, None, None]:
    """Try documents on a kernel that is started once; results come in order. `report` is filled in on the way.

    Raises LabError where the kernel cannot be asked (no such image, no QEMU, a kernel without mseal). Closing the
    iterator ends a guest.
    """
    told = report if report is not None else RunReport()
    has_pkeys = expects_pkeys(kernel)
    plans = _plan(documents, has_pkeys)
    answers = _run(plans, kernel, told)
    first = next(answers, None)
    if told.hello is not None and told.hello.has_pku != has_pkeys:
        answers.close()
        plans = _plan(documents, told.hello.has_pku)
        answers = _run(plans, kernel, told)
        first = next(answers, None)
    name = told.hello.release if told.hello is not None else kernel.describe()
    with contextlib.closing(answers):
        given = chain([] if first is None else [first], answers)
        for document, plan in zip(documents, plans, strict=True):
            if isinstance(plan, CannotTry):
                yield _unable(document, name, plan.reason)
            else:
                yield _judge(document, plan, next(given), name)


def expects_pkeys(kernel: Kernel) -> bool:
    """The processor has protection keys, as far as can be known before the kernel says so."""
    if isinstance(kernel, ImageKernel):
        return "pku=off" not in kernel.cpu
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        return " ospke" in file.read()
    return False


def _plan(documents: Sequence[Counterexample], has_pkeys: bool) -> list[Rebuilt | CannotTry]:
    """Each document as a scenario, or why it has none."""
    plans: list[Rebuilt | CannotTry] = []
    for document in documents:
        try:
            plans.append(rebuild(document, has_pkeys=has_pkeys))
        except CannotTry as cannot:
            plans.append(cannot)
    return plans


def _run(
    plans: Sequence[Rebuilt | CannotTry], kernel: Kernel, told: RunReport
) -> Generator[dict[str, object], None, None]:
    """The kernel's answers, in order. A guest that may have to be made short of memory is given little."""
    reclaims = any(
        step.call == "reclaim" for plan in plans if isinstance(plan, Rebuilt) for step in plan.scenario.steps
    )
    if isinstance(kernel, ImageKernel) and reclaims:
        kernel = replace(kernel, memory_mib=min(kernel.memory_mib, LITTLE_MIB))
    scenarios = [plan.scenario.model_dump(mode="json") for plan in plans if isinstance(plan, Rebuilt)]
    return run_scenarios(scenarios, kernel, limit_ms=LIMIT_MS, report=told)


def _unable(document: Counterexample, kernel: str, reason: str, **more: Any) -> Replay:
    return Replay(
        case=case_digest(document),
        property=document.property,
        call=document.call,
        edition=document.edition,
        kernel=kernel,
        verdict=CANNOT,
        reason=reason,
        **more,
    )


def _judge(document: Counterexample, plan: Rebuilt, answer: Mapping[str, object], kernel: str) -> Replay:
    """Hold what the kernel answered against the document."""
    given = answer["steps"]
    assert isinstance(given, list)
    steps = [_STEP.validate_python(step) for step in given]
    own = steps[plan.building :]
    error = str(answer.get("error", ""))
    asked = plan.scenario.steps
    more: dict[str, Any] = {
        "notes": plan.notes,
        "building": plan.building,
        "scenario": plan.scenario.model_copy(update={"steps": (*steps, *asked[len(steps) :])}),
    }
    if reason := _not_built(plan, steps, error):
        return _unable(document, kernel, reason, **more)
    start = steps[plan.building - 1] if plan.building else plan.start
    names = [step.call for step in asked[plan.building :]]
    more["expected"] = tuple(_outcomes(names, plan.expected, plan.start))
    more["seen"] = tuple(_outcomes(names, own, start))
    differences = [
        d for n, (have, want) in enumerate(zip(own, plan.expected, strict=False)) for d in _differ(n, have, want)
    ]
    more["differences"] = tuple(differences)
    if reason := _says_nothing(plan, own, document):
        return _unable(document, kernel, reason, **more)
    if len(own) < len(plan.expected):
        if error.startswith("timeout"):
            return _unable(document, kernel, f"it took longer than {LIMIT_MS // 1000} seconds", **more)
        if error.startswith(KILLED):
            return _unable(document, kernel, f"its process was killed from outside, twice ({error})", **more)
        reason = f"the program was ended: {error}"
    elif differences:
        reason = _sentence(differences[0])
    return Replay(
        case=case_digest(document),
        property=document.property,
        call=document.call,
        edition=document.edition,
        kernel=kernel,
        verdict=NOT_CONFIRMED if reason else CONFIRMED,
        reason=reason,
        **more,
    )


def _not_built(plan: Rebuilt, steps: Sequence[Step], error: str) -> str:
    """Why the layout is not the document's when the document's own calls are due; empty if it is."""
    for n, want in enumerate(plan.built):
        if n == len(steps):
            return f"the layout could not be built: {error}"
        if (steps[n].ret, steps[n].errno) != (want.ret, want.errno):
            given, told = (f"{a.ret} {errno_name(a.errno or 0)}" for a in (steps[n], want))
            return f"the layout could not be built: {steps[n].call} gives {given}, not {told}"
    last = plan.building - 1
    differences = _differ(last, steps[last], plan.built[last]) if plan.built else []
    return f"the layout comes out otherwise here: {_sentence(differences[0])}" if differences else ""


def _says_nothing(plan: Rebuilt, own: Sequence[Step], document: Counterexample) -> str:
    """Why the kernel's answer says nothing about the document; empty if it does."""
    for step, want in zip(own, plan.expected, strict=False):
        if step.call == "reclaim" and step.errno:
            return f"nothing takes a page back at will here: MADV_PAGEOUT gives {errno_name(step.errno)}"
        if NO_MEMORY in step.failures and step.errno != want.errno:
            given = errno_name(step.errno or 0)
            return f"memory does not run out here: a mapping of huge pages gives {given}"
        if step.errno != want.errno and want.result.check in SETTINGS:
            return f"this kernel is set up otherwise: {SETTINGS[want.result.check]}"
    prop, page = PROPERTIES.get(document.property), plan.document.culprit.page
    if prop is None or not prop.contents or page is None or not own:
        return ""
    at = page - WINDOW
    kept, told = (_Picture(answer).mapped.get(str(at)) for answer in (plan.start, plan.expected[-1]))
    unread = (own[-1].bytes or "")[2 * at : 2 * at + 2] == "??" != plan.expected[-1].bytes[2 * at : 2 * at + 2]
    return f"the kernel does not let page {at} be read past its protection" if unread and kept == told else ""


def _differ(n: int, have: Step, want: Answer) -> list[Difference]:
    """Where a kernel's answer differs from what is expected."""
    return [
        Difference(step=n, call=d.call, field=d.field, expected=d.got, got=d.expected)
        for d in compare_step(n, have, want)
    ]


def _sentence(difference: Difference) -> str:
    """A difference in one line."""
    told, came = ("; ".join(side) or "(nothing)" for side in difference.sides)
    return f"{difference.call}, {difference.field}: expected {told}, the kernel gives {came}"


# what changed ---------------------------------------------------------------------------------------------------------


def _outcomes(names: Sequence[str], answers: Sequence[Step | Answer], start: Step | Answer) -> Iterator[Outcome]:
    """Answers with what each call changed; `start` is the state before the first."""
    before = _Picture(start)
    for name, answer in zip(names, answers, strict=False):
        after = _Picture(answer)
        number = int(answer.errno or 0)
        yield Outcome(
            call=name,
            ret=answer.ret or "",
            errno=number,
            errno_name=errno_name(number),
            vmas=answer.vmas or (),
            bytes=answer.bytes or "",
            changed=tuple(after.changes(before)),
            cuts=tuple(after.new_cuts(before)),
        )
        before = after


class _Picture:
    """A state as pages: what each is mapped as and reads, and where VMAs begin and end."""

    def __init__(self, answer: Step | Answer) -> None:
        self.mapped: dict[str, str] = {}
        self.bytes: dict[str, str] = {}
        self.cuts: dict[str, None] = {}
        for line in map(vma_line, answer.vmas or ()):
            if line.area == "@":
                continue
            heap, first, end = line.area, line.first, line.end
            self.cuts |= dict.fromkeys((f"{heap}{first}", f"{heap}{end}"))
            for page in range(first, end) if heap else range(max(first, 0), min(end, WINDOW_PAGES)):
                name = f"{heap}{page}"
                self.mapped[name] = _offset_by(line.text, page - first)
                if not heap:
                    self.bytes[name] = (answer.bytes or "")[2 * page : 2 * page + 2]

    def shown(self, page: str) -> str:
        """A page in words."""
        byte = self.bytes.get(page, "")
        return self.mapped.get(page, "unmapped") + (f" = {byte}" if byte else "")

    def changes(self, before: _Picture) -> Iterator[str]:
        """A line for each series of pages that all were otherwise before, in the same way."""
        names = list(dict.fromkeys((*before.mapped, *self.mapped)))
        changed = [(name, f"{before.shown(name)} -> {self.shown(name)}") for name in names]
        for text, group in groupby((c for c in changed if before.shown(c[0]) != self.shown(c[0])), key=lambda c: c[1]):
            pages = [name for name, _ in group]
            yield f"page {pages[0]}: {text}" if len(pages) == 1 else f"pages {pages[0]} to {pages[-1]}: {text}"

    def new_cuts(self, before: _Picture) -> Iterator[str]:
        """The edges of VMAs that were none before, and those that are none any more (with a minus sign)."""
        yield from (cut for cut in self.cuts if cut not in before.cuts)
        yield from (f"-{cut}" for cut in before.cuts if cut not in self.cuts)


def _offset_by(described: str, pages: int) -> str:
    """What a line says of a VMA, said of its page that lies so many pages behind its start."""
    return _FILE.sub(lambda found: f"file@{int(found[1]) + pages}", described)


def replay_schema() -> str:
    """The JSON schema of a `ReplayReport`, as published in docs/schema/replay.json."""
    return json.dumps(ReplayReport.model_json_schema(mode="serialization"), indent=2, sort_keys=True) + "\n"
