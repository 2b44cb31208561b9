# SPDX-License-Identifier: MIT
"""Run scenarios and counterexamples on the concrete reading, and compare the answers.

The terms are those of tests/kernel_runs/README.md: the window is 48 pages at 0x200000000000; mappings in it and in the
256 pages of the heap are shown as a real kernel's smaps would, so that the two can be compared line by line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from checker.concrete import ConcreteSpace, Result, State, TooManyPages
from checker.documents.answers import UNSAID, WINDOW_PAGES, vma_line
from checker.documents.base import HEAP_PAGE, BadDocument, NotModelled
from checker.documents.counterexamples import Counterexample
from checker.documents.layouts import LayoutDoc
from checker.documents.scenarios import (
    Difference,
    FileStep,
    FillStep,
    Kernel,
    MmapStep,
    MprotectStep,
    MremapStep,
    PkeyMprotectStep,
    PkruStep,
    RunResult,
    Scenario,
    Step,
    StepResult,
    VdsoStep,
    WriteStep,
)
from checker.machine import perform
from spec.editions import EDITIONS, Edition
from spec.errors import Errno
from spec.excluded import DOCUMENT, EXECUTE_ONLY_SEM, GIGANTIC_PAGES, SEALED_VDSO, STACK_GROWTH
from spec.mapping import (
    DEV_ZERO,
    MAP_HUGE_1GB,
    MAP_HUGE_MASK,
    MAP_HUGE_SHIFT,
    NO_FILE,
    PROT_EXEC,
    PROT_SEM,
    READ_ONLY_FILE,
    WRITABLE_FILE,
)
from spec.syscalls import CALLS
from spec.terms import whole
from spec.vma import ANONYMOUS, EMPTY_PAGE, FILE, SPECIAL, THP_ALWAYS, THP_NEVER, Vma, offset_at
from spec.words import PAGE_SHIFT, PAGE_SIZE, PAGES, TASK_PAGES, WORD

WINDOW: Final = 0x2000_0000_0000 >> PAGE_SHIFT
"""First page of the window."""
HEAP_SHOWN: Final = 256
"""Pages from the start of the heap whose VMAs have lines of their own."""
OBJECT: Final = 100
"""The object that a scenario opens: 48 pages, page i holding 0x40+i."""
ZERO: Final = 102
"""Number of /dev/zero among the objects."""
ELSEWHERE: Final = 20
"""VMAs that a scenario's process has before it starts: about as many as a small static program."""
BAD_FILE: Final = DEV_ZERO + 1
IS_SEALED_VDSO: Final = "vdso: it is sealed"
NO_PAGE: Final = -1
"""A page number that no page has."""
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
    state.huge_pages = scenario.kernel.huge_pages
    if scenario.kernel.mmap_min_addr is not None:
        state.min_page = scenario.kernel.mmap_min_addr >> PAGE_SHIFT
    if OBJECT not in state.sizes and all(number != OBJECT for number, _ in state.objects):
        state.sizes[OBJECT] = WINDOW_PAGES
        state.objects |= {(OBJECT, i): 0x40 + i for i in range(WINDOW_PAGES)}
    return state


def edition_on(kernel: Kernel, edition: Edition) -> Edition:
    """The edition as it was configured for this machine."""
    return replace(
        edition,
        memory_failure=edition.memory_failure and kernel.memory_failure is not False,
        transparent_huge_pages=kernel.transparent_huge_pages,
        same_page_merging=kernel.same_page_merging,
    )


def _not_said(what: str, fact: str, value: str) -> str:
    """What is told where the answer hangs on a fact of the machine that the document leaves out."""
    return f'not decided here: {what}; say so with "kernel": {{"{fact}": {value}}}, see {DOCUMENT}#machine-facts'


def says_nothing_of(edition: Edition, call: str) -> str:
    """What one is told who asks an edition for a call that it leaves out."""
    return f"edition {edition.name} says nothing of {call}; its calls: {', '.join(filter(edition.has, CALLS))}"


def run_scenario(scenario: Scenario, edition: Edition) -> RunResult:
    """Execute every step on the concrete reading of the edition; answers that the steps carry are not looked at.

    Raises BadDocument for a layout that no kernel could have, and for a call that the edition leaves out; NotModelled,
    which is one, at the first step that the specification says nothing of.
    """
    steps = tuple(result for result, _ in trace_scenario(scenario, edition))
    return RunResult(name=scenario.name, edition=edition.name, steps=steps)


def trace_scenario(scenario: Scenario, edition: Edition) -> Iterator[tuple[StepResult, State]]:
    """As run_scenario, step by step, with the state after each: it is the one that the next step changes, so a caller
    who keeps it copies it. Raises BadDocument, also for a call that fills more pages than can be kept."""
    runner = Runner(scenario, edition)
    for n, step in enumerate(scenario.steps):
        try:
            result = runner.step(step)
        except TooManyPages as many:
            raise BadDocument(f"/steps/{n}", f"cannot be executed: {many}") from None
        yield result, runner.state


@dataclass(frozen=True, slots=True)
class Freedom:
    """How what the specification leaves open in one step was decided."""

    failures: tuple[str, ...] = ()
    """Names of the environment's checks that failed, besides those that the step itself names."""
    place: int | None = None
    """The page at which a mapping went that could go anywhere, or ANYWHERE (see ConcreteSpace); None: as it likes."""


NO_FREEDOM: Final = Freedom()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a kernel run shows of a step (see StepBase)."""

    ret: str
    errno: Errno
    vmas: tuple[str, ...]
    bytes: str
    result: Result
    """What the specification said, which a kernel run does not show."""


class Runner:
    """A scenario's process under way. `dropped` names a check that its kernel is to lack (a mutant)."""

    def __init__(self, scenario: Scenario, edition: Edition, *, dropped: str | None = None) -> None:
        """Raises BadDocument for a layout that no kernel could have, and for a call that the edition leaves out."""
        for i, step in enumerate(scenario.steps):
            if not edition.has(step.call):
                raise BadDocument(f"/steps/{i}/call", says_nothing_of(edition, step.call))
        self.state = initial_state(scenario)
        self.edition = edition_on(scenario.kernel, edition)
        self.dropped = dropped
        self.space = ConcreteSpace(self.state, self.edition)
        self.base = self.state.elsewhere  # VMAs elsewhere that no `fill` made
        self.break_bytes = self.state.brk << PAGE_SHIFT  # the specification keeps whole pages, a program sees bytes
        self.descriptors = dict(DESCRIPTORS)
        self.kernel = scenario.kernel
        self.executed = 0

    def step(self, step: Step) -> StepResult:
        """Execute a step; all that can be said of it and of the state after it. Raises NotModelled."""
        answer = self.answer(step)
        return StepResult(
            call=step.call,
            ret=answer.ret,
            errno=answer.errno,
            errno_name=answer.errno.name,
            value=answer.result.value,
            check=answer.result.check,
            vmas=answer.vmas,
            bytes=answer.bytes,
            contents=tuple(self._contents()),
            map_count=self.state.elsewhere + len(self.state.vmas),
        )

    def answer(self, step: Step, freedom: Freedom = NO_FREEDOM) -> Answer:
        """Execute a step; what a kernel run would show. Raises NotModelled where the specification says nothing."""
        if isinstance(step, FillStep):
            result = self._fill(step.free)
            ret, errno = str(result.value), result.errno
        elif isinstance(step, VdsoStep):
            result = self._move_vdso(step)
            ret, errno = str(result.value), result.errno
        elif isinstance(step, FileStep):
            result = self._open_file(step)
            ret, errno = str(result.value), result.errno
        elif isinstance(step, PkruStep) and not self.state.has_pkeys:
            result = Result(-1, Errno.ENOSYS, "pkru: the processor has no protection keys")
            ret, errno = "-1", result.errno
        else:
            words = self._words(step)
            result = perform(
                self.state,
                self.edition,
                step.call,
                words,
                dropped=self.dropped,
                failures=(*step.failures, *freedom.failures),
                place=freedom.place,
            )
            ret, errno = self._answer(step, words, result)
        if self.state.has_pkeys and isinstance(step, MprotectStep | PkeyMprotectStep) and _is_executable_sem(step):
            why = EXECUTE_ONLY_SEM.told("mprotect with PROT_EXEC | PROT_SEM where there are protection keys")
            raise NotModelled(f"/steps/{self.executed}", why)
        if result.check and (why := self._beyond_model(step, result.check)):
            raise NotModelled(f"/steps/{self.executed}", why)
        self.executed += 1
        return Answer(ret, errno, *self.seen(), result)

    def seen(self) -> tuple[tuple[str, ...], str]:
        """The lines of VMAs and the bytes, as a kernel run shows the state as it is now."""
        return tuple(self._vma_lines()), self._window_bytes()

    def shown(self, step: Step, result: Result) -> tuple[str, Errno]:
        """Result and errno, as a kernel run shows that the step ended so."""
        return self._answer(step, self._words(step), result)

    def _beyond_model(self, step: Step, check: str) -> str:
        """Why the specification says nothing of a step that this check decided, where it does not; else empty."""
        if check == "write: the page is not mapped" and isinstance(step, WriteStep):
            above = self.space.first(self._word(step.addr) >> PAGE_SHIFT, PAGES)
            return STACK_GROWTH.told("a write below a MAP_GROWSDOWN VMA") if above and above.growsdown else ""
        if check == IS_SEALED_VDSO:
            return SEALED_VDSO.told("a sealed vdso")
        if check == "madvise: poisoning memory needs CAP_SYS_ADMIN" and self.kernel.memory_failure is None:
            what = "MADV_HWPOISON and MADV_SOFT_OFFLINE are unknown to some kernels"
            return _not_said(what, "memory_failure", "true or false")
        if check.endswith(": MAP_HUGETLB with a size of huge pages that there is not") and isinstance(step, MmapStep):
            gigantic = step.flags & MAP_HUGE_MASK << MAP_HUGE_SHIFT == MAP_HUGE_1GB
            return GIGANTIC_PAGES.told("MAP_HUGETLB with MAP_HUGE_1GB") if gigantic else ""
        if check.endswith("is below mmap_min_addr") and isinstance(step, MmapStep | MremapStep):
            address = step.addr if isinstance(step, MmapStep) else step.new_addr
            # page 0 is kept from every program without CAP_SYS_RAWIO
            if self.kernel.mmap_min_addr is None and self._word(address) >> PAGE_SHIFT != 0:
                what = "some machines let a program map addresses below 65536"
                return _not_said(what, "mmap_min_addr", "the value of vm.mmap_min_addr")
        return ""

    def _fill(self, free: int) -> Result:
        """Mappings elsewhere are made, or unmade, until map_count is `free` below its limit."""
        state = self.state
        wanted = state.max_map_count - free - len(state.vmas)
        state.elsewhere = max(wanted, self.base)
        if wanted < self.base:
            return Result(-1, Errno.ENOMEM, "fill: what is mapped already leaves less room than that")
        return Result(0, Errno.OK, "")

    def _move_vdso(self, step: VdsoStep) -> Result:
        """The special mapping that was elsewhere is in the window now."""
        if step.pages == 0:
            return Result(-1, Errno.ENOSYS, "vdso: there is none")
        if self.kernel.sealed_system_mappings:
            return Result(-1, Errno.EPERM, IS_SEALED_VDSO)
        start = self._word(step.addr) >> PAGE_SHIFT
        end = start + step.pages
        if end > TASK_PAGES:
            return Result(-1, Errno.EINVAL, "vdso: the place is beyond TASK_SIZE")
        if self.space.any_mapped(start, end):
            return Result(-1, Errno.EEXIST, "vdso: the place is not free")
        self.state.vmas.append(Vma(start, end, read=True, exec=True, backing=SPECIAL))
        self.state.vmas.sort(key=_ends)
        self.state.elsewhere -= 1
        self.base -= 1
        return Result(step.pages, Errno.OK, "")

    def _open_file(self, step: FileStep) -> Result:
        """A file that nothing maps yet; its number among the objects is that of the descriptor."""
        state = self.state
        if step.fd in state.sizes:
            return Result(-1, Errno.EEXIST, "file: the descriptor is in use")
        state.sizes[step.fd] = step.pages
        state.objects |= {(step.fd, page): byte for page, byte in enumerate(bytes.fromhex(step.contents)) if byte}
        self.descriptors |= {step.fd: (WRITABLE_FILE, step.fd), step.fd + 1: (READ_ONLY_FILE, step.fd)}
        return Result(0, Errno.OK, "")

    def _words(self, step: Step) -> dict[str, int]:
        """The call's arguments as 64-bit words."""
        words = {}
        for name in CALLS[step.call].words:
            if name not in ("file", "object"):
                words[name] = self._word(getattr(step, name))
        if isinstance(step, MmapStep):
            words["file"], words["object"] = self.descriptors.get(step.fd, (BAD_FILE, 0))
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
        """The page as two hexadecimal digits; ?? for one that cannot be read whatever its protection, UNSAID for what
        the specification does not know. Contents are abstract values of which a byte has room for the lowest eight
        bits."""
        now = self.state.pages.get(page, EMPTY_PAGE)
        if now.guard:
            return "??"
        if now.copied:
            return f"{whole(now.own) & 0xFF:02x}"
        if vma.backing == SPECIAL:
            return UNSAID
        if self.space.beyond_object(vma, page):
            return "??"
        return f"{whole(self.space.visible(vma, page)) & 0xFF:02x}"

    def _window_bytes(self) -> str:
        shown = [".."] * WINDOW_PAGES
        kept = self.state.pages
        for vma in self.state.vmas:
            start, end = _ends(vma)
            first, last = max(start, WINDOW), min(end, WINDOW + WINDOW_PAGES)
            if first >= last:
                continue
            # a page that holds nothing of its own reads as its object does, or like all others without an object
            plain = vma.backing == FILE and not self.space.beyond_object(vma, last - 1)
            if vma.object == 0:
                shown[first - WINDOW : last - WINDOW] = [self._read(vma, NO_PAGE)] * (last - first)
            for page in range(first, last):
                if plain and page not in kept:
                    shown[page - WINDOW] = f"{whole(self.space.stored(vma.object, offset_at(vma, page))) & 0xFF:02x}"
                elif vma.object != 0 or page in kept:
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


def _is_executable_sem(step: MprotectStep | PkeyMprotectStep) -> bool:
    """The step asks for PROT_EXEC and PROT_SEM, for no other access, and for no key."""
    keyed = isinstance(step, PkeyMprotectStep) and step.pkey != -1
    return step.prot & 0xF == PROT_EXEC | PROT_SEM and not keyed


def _ends(vma: Vma) -> tuple[int, int]:
    return whole(vma.start), whole(vma.end)


@lru_cache(maxsize=1 << 14)
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
    none, nor bytes of pages that one of the two could not read (see _same_bytes)."""
    found = []
    for n, (want, have) in enumerate(zip(expected.steps, got.steps, strict=False)):
        found += compare_step(n, want, have)
    lengths = len(expected.steps), len(got.steps)
    if lengths[0] != lengths[1]:
        found.append(Difference(step=min(lengths), call="", field="steps", expected=lengths[0], got=lengths[1]))
    return found


def compare_step(n: int, want: Step, have: Answer | StepResult) -> list[Difference]:
    """Where the answers that step number n carries differ from what it gave: one entry a field (see `compare`)."""
    lines = have.vmas
    if want.vmas is not None and not any(line.startswith("@") for line in want.vmas):
        lines = tuple(line for line in lines if not line.startswith("@"))
    return [
        Difference(step=n, call=want.call, field=field, expected=left, got=right)
        for field, left, right in (
            ("ret", want.ret, have.ret),
            ("errno", want.errno, have.errno),
            ("vmas", want.vmas, lines),
            ("bytes", want.bytes, have.bytes),
        )
        if left is not None
        and left != right
        and not (field == "bytes" and _same_bytes(str(left), str(right), have.vmas))
    ]


def _same_bytes(expected: str, got: str, vmas: tuple[str, ...]) -> bool:
    """Equal page by page. UNSAID agrees with every page that is mapped, an expected ?? with every one that is mapped
    without being readable: some kernels refuse to read past that."""
    size = max(len(expected), len(got))
    left, right = expected.ljust(size, "."), got.ljust(size, ".")
    for i in range(0, size, 2):
        a, b = left[i : i + 2], right[i : i + 2]
        unreadable = a == "??" and b != ".." and not _is_readable(vmas, i // 2)
        if not (a == b or unreadable or (b == UNSAID and a != "..")):
            return False
    return True


def _is_readable(vmas: tuple[str, ...], page: int) -> bool:
    """A line of the window says that the page of the window is mapped with VM_READ."""
    lines = (line for line in map(vma_line, vmas) if line.area == "" and line.first <= page < line.end)
    return any(line.readable for line in lines)


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
