"""Run scenarios and counterexamples on the concrete reading, and compare the answers.

The terms are those of tests/kernel_runs/README.md: the window is 48 pages at 0x200000000000; mappings in it and in the
256 pages of the heap are shown as a real kernel's smaps would, so that the two can be compared line by line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from checker.concrete import ConcreteSpace, Result, State
from checker.documents import (
    HEAP_PAGE,
    BadDocument,
    Counterexample,
    Difference,
    FillStep,
    LayoutDoc,
    MmapStep,
    RunResult,
    Scenario,
    Step,
    StepResult,
    whole,
)
from checker.machine import perform
from spec.editions import EDITIONS, Edition
from spec.errors import Errno
from spec.syscalls import CALLS
from spec.syscalls.mmap import DEV_ZERO, NO_FILE, READ_ONLY_FILE, WRITABLE_FILE
from spec.vma import ANONYMOUS, EMPTY_PAGE, SPECIAL, THP_ALWAYS, THP_NEVER, Vma
from spec.words import PAGE_SHIFT, PAGE_SIZE, WORD

WINDOW: Final = 0x2000_0000_0000 >> PAGE_SHIFT
"""First page of the window."""
WINDOW_PAGES: Final = 48
HEAP_SHOWN: Final = 256
"""Pages from the start of the heap whose VMAs have lines of their own."""
OBJECT: Final = 100
"""The object that a scenario opens: 48 pages, page i holding 0x40+i."""
ZERO: Final = 102
"""Number of /dev/zero among the objects."""
ELSEWHERE: Final = 20
"""VMAs that a scenario's process has before it starts: about as many as a small static program."""
BAD_FILE: Final = DEV_ZERO + 1
DESCRIPTORS: Final = {
    -1: (NO_FILE, 0),
    100: (WRITABLE_FILE, OBJECT),
    101: (READ_ONLY_FILE, OBJECT),
    102: (DEV_ZERO, ZERO),
}
"""Descriptor: the words `file` and `object` that the specification's mmap takes. Any other is not open."""


def initial_state(scenario: Scenario) -> State:
    """Where a scenario starts: its layout or an empty address space, with the object that descriptors 100 and 101 name
    (48 pages) unless the layout has one of that number. Raises BadDocument for a layout that no kernel could have."""
    if scenario.layout is None:
        state = State(elsewhere=ELSEWHERE, start_brk=HEAP_PAGE, brk=HEAP_PAGE)
    else:
        state = scenario.layout.to_state()
    state.has_pkeys = state.has_pkeys and scenario.kernel.pkeys
    if OBJECT not in state.sizes and all(number != OBJECT for number, _ in state.objects):
        state.sizes[OBJECT] = WINDOW_PAGES
        state.objects |= {(OBJECT, i): 0x40 + i for i in range(WINDOW_PAGES)}
    return state


def run_scenario(scenario: Scenario, edition: Edition) -> RunResult:
    """Execute every step on the concrete reading of the edition; answers that the steps carry are not looked at.

    Raises BadDocument for a layout that no kernel could have.
    """
    steps = tuple(result for result, _ in trace_scenario(scenario, edition))
    return RunResult(name=scenario.name, edition=edition.name, steps=steps)


def trace_scenario(scenario: Scenario, edition: Edition) -> Iterator[tuple[StepResult, State]]:
    """As run_scenario, step by step, with the state after each: it is the one that the next step changes, so a caller
    who keeps it copies it."""
    runner = _Runner(initial_state(scenario), edition)
    for step in scenario.steps:
        yield runner.step(step), runner.state


class _Runner:
    """A scenario's process under way."""

    def __init__(self, state: State, edition: Edition) -> None:
        self.state = state
        self.edition = edition
        self.space = ConcreteSpace(state, edition)
        self.base = state.elsewhere  # VMAs elsewhere that no `fill` made
        self.break_bytes = state.brk << PAGE_SHIFT  # the specification keeps whole pages, a program sees bytes

    def step(self, step: Step) -> StepResult:
        if isinstance(step, FillStep):
            result = self._fill(step.free)
            ret, errno = str(result.value), result.errno
        else:
            words = self._words(step)
            result = perform(self.state, self.edition, step.call, words, failures=step.failures)
            ret, errno = self._answer(step, words, result)
        return StepResult(
            call=step.call,
            ret=ret,
            errno=errno,
            errno_name=errno.name,
            value=result.value,
            check=result.check,
            vmas=tuple(self._vma_lines()),
            bytes=self._window_bytes(),
            contents=tuple(self._contents()),
            map_count=self.state.elsewhere + len(self.state.vmas),
        )

    def _fill(self, free: int) -> Result:
        """Mappings elsewhere are made, or unmade, until map_count is `free` below its limit."""
        state = self.state
        wanted = state.max_map_count - free - len(state.vmas)
        state.elsewhere = max(wanted, self.base)
        if wanted < self.base:
            return Result(-1, Errno.ENOMEM, "fill: what is mapped already leaves less room than that")
        return Result(0, Errno.OK, "")

    def _words(self, step: Step) -> dict[str, int]:
        """The call's arguments as 64-bit words."""
        words = {}
        for name in CALLS[step.call].words:
            if name not in ("file", "object"):
                words[name] = self._word(getattr(step, name))
        if isinstance(step, MmapStep):
            words["file"], words["object"] = DESCRIPTORS.get(step.fd, (BAD_FILE, 0))
        return words

    def _word(self, given: int | str) -> int:
        """A number, "0x…", or "brk+0x…"; -1 becomes 2^64-1."""
        if isinstance(given, str):
            offset = int(given.removeprefix("brk+"), 16)
            given = offset + (self.state.start_brk << PAGE_SHIFT if given.startswith("brk+") else 0)
        return given % WORD

    def _answer(self, step: Step, words: dict[str, int], result: Result) -> tuple[str, Errno]:
        """Result and errno as a kernel run shows them."""
        if step.call == "brk":  # a refusal returns the break as it is, without an errno
            if result.errno is Errno.OK:
                self.break_bytes = words["addr"]
            pages, rest = divmod(self.break_bytes - (self.state.start_brk << PAGE_SHIFT), PAGE_SIZE)
            return f"{pages}+{rest}" if rest else str(pages), Errno.OK
        if step.call not in ("mmap", "mremap") or result.errno is not Errno.OK:
            return str(result.value), result.errno
        given = getattr(step, "addr")
        if isinstance(given, str) and given.startswith("brk+") and result.value << PAGE_SHIFT == words["addr"]:
            return "0", Errno.OK
        inside = WINDOW <= result.value < WINDOW + WINDOW_PAGES
        return (f"p{result.value - WINDOW}" if inside else "elsewhere"), Errno.OK

    # what is seen -----------------------------------------------------------------------------------------------------

    def _vma_lines(self) -> list[str]:
        """Lines of the heap, of the window, and of what lies elsewhere, each in address order."""
        heap, window, rest = [], [], []
        start_brk = self.state.start_brk
        for vma in self.state.vmas:
            start, end = _ends(vma)
            if start_brk <= start < start_brk + HEAP_SHOWN:
                heap.append(f"brk{start - start_brk}-{end - start_brk} {_described(vma)}")
            elif start < WINDOW + WINDOW_PAGES and end > WINDOW:
                window.append(f"{start - WINDOW}-{end - WINDOW} {_described(vma)}")
            else:
                rest.append(f"@{start:#x}-{end:#x} {_described(vma)}")
        return heap + window + rest

    def _read(self, vma: Vma, page: int) -> str:
        """The page as two hexadecimal digits; ?? for one that cannot be read whatever its protection. Contents are
        abstract values of which a byte has room for the lowest eight bits."""
        now = self.state.pages.get(page, EMPTY_PAGE)
        if now.guard or (not now.copied and self.space.beyond_object(vma, page)):
            return "??"
        return f"{whole(self.space.visible(vma, page)) & 0xFF:02x}"

    def _window_bytes(self) -> str:
        shown = [".."] * WINDOW_PAGES
        for vma in self.state.vmas:
            start, end = _ends(vma)
            for page in range(max(start, WINDOW), min(end, WINDOW + WINDOW_PAGES)):
                shown[page - WINDOW] = self._read(vma, page)
        while shown and shown[-1] == "..":
            shown.pop()
        return "".join(shown)

    def _contents(self) -> Iterator[str]:
        for vma in self.state.vmas:
            start, end = _ends(vma)
            first = start - whole(vma.offset)  # where page 0 of the object would be
            numbers = {page for page in self.state.pages if start <= page < end}
            if vma.object != 0:
                numbers |= {
                    first + at
                    for number, at in self.state.objects
                    if number == vma.object and start <= first + at < end
                }
            for page in sorted(numbers):
                if not WINDOW <= page < WINDOW + WINDOW_PAGES and (byte := self._read(vma, page)) != "00":
                    yield f"{page:#x}={byte}"


_SHOWN_FLAGS: Final = (
    ("sealed", True, "sl"),
    ("locked", True, "lo"),
    ("dontfork", True, "dc"),
    ("wipeonfork", True, "wf"),
    ("growsdown", True, "gd"),
    ("dontdump", True, "dd"),
    ("mergeable", True, "mg"),
    ("thp", THP_NEVER, "nh"),
    ("thp", THP_ALWAYS, "hg"),
)
"""Field, value, and the VmFlags name that the kernel runs show, in their order."""


def _ends(vma: Vma) -> tuple[int, int]:
    return whole(vma.start), whole(vma.end)


def _described(vma: Vma) -> str:
    """A VMA as a kernel run's line shows it, behind its range: protection, backing, key, flags."""
    words = [
        "".join(letter if given else "-" for letter, given in (("r", vma.read), ("w", vma.write), ("x", vma.exec)))
    ]
    words[0] += "s" if vma.may_share else "p"
    words.append("anon" if vma.backing in (ANONYMOUS, SPECIAL) else f"file@{vma.offset}")
    if vma.pkey != 0:
        words.append(f"k{vma.pkey}")
    words += [shown for name, value, shown in _SHOWN_FLAGS if getattr(vma, name) == value]
    return " ".join(words)


# comparing ------------------------------------------------------------------------------------------------------------


def compare(expected: Scenario, got: RunResult) -> list[Difference]:
    """Where the answers that a scenario carries differ from a run of it: at most one entry per step and field, in
    order. Fields that a step does not carry are not compared; nor are lines of VMAs elsewhere (@…) where the step has
    none, nor bytes that the kernel could not read (??) of pages that are mapped."""
    found = []
    for n, (want, have) in enumerate(zip(expected.steps, got.steps, strict=False)):
        lines = have.vmas
        if want.vmas is not None and not any(line.startswith("@") for line in want.vmas):
            lines = tuple(line for line in lines if not line.startswith("@"))
        for field, left, right in (
            ("ret", want.ret, have.ret),
            ("errno", want.errno, have.errno),
            ("vmas", want.vmas, lines),
            ("bytes", want.bytes, have.bytes),
        ):
            same = _same_bytes(str(left), str(right)) if field == "bytes" and left is not None else left == right
            if left is not None and not same:
                found.append(Difference(step=n, call=want.call, field=field, expected=left, got=right))
    lengths = len(expected.steps), len(got.steps)
    if lengths[0] != lengths[1]:
        found.append(Difference(step=min(lengths), call="", field="steps", expected=lengths[0], got=lengths[1]))
    return found


def _same_bytes(expected: str, got: str) -> bool:
    """Equal page by page; an expected ?? agrees with every page that is mapped."""
    size = max(len(expected), len(got))
    left, right = expected.ljust(size, "."), got.ljust(size, ".")
    pairs = ((left[i : i + 2], right[i : i + 2]) for i in range(0, size, 2))
    return all(a == b or (a == "??" and b != "..") for a, b in pairs)


# counterexamples ------------------------------------------------------------------------------------------------------


def re_execute(document: Counterexample, *, dropped: str | None = None) -> list[str]:
    """Run a counterexample's calls from its layout on the concrete reading: what differs from the document, one line
    each; empty if it is confirmed. `dropped` names a check that the kernel is to lack (a mutant).

    Whether the property is broken by what happened is not judged here. Numbers of objects and anon_vmas that the calls
    make may differ; which VMAs share them may not.
    """
    try:
        state = document.before.to_state()
    except BadDocument as bad:
        return [f"/before{bad}"]
    edition = EDITIONS[document.edition]
    kept = {doc.object for doc in document.before.objects} | {vma.object for vma in document.before.vmas}
    kept |= {step.words["object"] for step in document.steps if "object" in step.words}
    found: list[str] = []
    for n, step in enumerate(document.steps):
        result = perform(state, edition, step.call, step.words, dropped=dropped, failures=step.failures)
        given = {"value": result.value, "errno": result.errno.name, "check": result.check}
        found += _tree_differences(f"/steps/{n}/result", step.result.model_dump(), given)
        told, came = (_renumbered(doc, kept) for doc in (step.after, LayoutDoc.from_state(state)))
        found += _tree_differences(f"/steps/{n}/after", told, came)
    return found


def _renumbered(layout: LayoutDoc, kept: set[int]) -> dict[str, object]:
    """The layout with its anon_vmas, and the objects not in `kept`, numbered in the order in which VMAs name them;
    of those not in `kept` only what is mapped, for nothing else can reach them."""
    data = layout.model_dump()
    anon_vmas, objects = {0: 0}, {number: number for number in kept | {0}}
    for vma in data["vmas"]:
        vma["anon_vma"] = anon_vmas.setdefault(vma["anon_vma"], len(anon_vmas))
        vma["object"] = objects.setdefault(vma["object"], -len(objects))
    data["objects"] = sorted(
        ({**made, "object": objects[made["object"]]} for made in data["objects"] if made["object"] in objects),
        key=lambda made: made["object"],
    )
    return data


def _tree_differences(pointer: str, told: object, came: object) -> list[str]:
    """Where two JSON values differ, as lines with pointers."""
    if isinstance(told, dict) and isinstance(came, dict):
        return [line for key in told for line in _tree_differences(f"{pointer}/{key}", told[key], came.get(key))]
    if isinstance(told, list | tuple) and isinstance(came, list | tuple):
        if len(told) != len(came):
            return [f"{pointer}: the document has {len(told)} entries, the concrete reading {len(came)}"]
        return [
            line
            for i, pair in enumerate(zip(told, came, strict=True))
            for line in _tree_differences(f"{pointer}/{i}", *pair)
        ]
    return [] if told == came else [f"{pointer}: the document says {told!r}, the concrete reading {came!r}"]
