# SPDX-License-Identifier: MIT
"""Standalone programs that show on a real kernel what a document says: plain C, a kselftest, a syzkaller program.

A program makes the calls of a scenario one after the other, and compares what the kernel does with what the concrete
reading of the document's edition does. It is text from a template (reports/templates); what goes into the template is
made here. The same document gives the same bytes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from checker.documents.answers import UNSAID, WINDOW_PAGES, vma_line
from checker.documents.base import HEAP_PAGE
from checker.documents.counterexamples import Counterexample
from checker.documents.scenarios import (
    FileStep,
    FillStep,
    MadviseStep,
    MmapStep,
    MprotectStep,
    MremapStep,
    MsealStep,
    PkeyAllocStep,
    PkeyMprotectStep,
    PkruStep,
    PlaceStep,
    RangeStep,
    Scenario,
    Step,
    StepResult,
    VdsoStep,
    WriteStep,
)
from checker.lab.rebuild import Rebuilt, rebuild
from checker.lab.relocate import FIRST_FILE, CannotTry
from checker.lab.script import BadStep, limits_of
from checker.naming import MMAP_FLAGS, MMAP_TYPES, MREMAP_FLAGS, errno_name
from checker.scenario import WINDOW, run_scenario
from proofs.theorems import theorems
from reports.strip import to_text
from spec.advice import ADVICE, HWPOISON, PAGEOUT, SOFT_OFFLINE
from spec.editions import EDITIONS
from spec.errors import Errno
from spec.properties import PROPERTIES
from spec.words import PAGE_SHIFT, PAGE_SIZE, WORD, page_align

FORMATS: Final = ("c", "kselftest", "syz")
WIDTH: Final = 76
"""Columns of comments."""
MOST_PAGES: Final = 1 << 16
"""Mapped pages that a program may have to look at."""
NEARBY: Final = 4096
"""Pages behind the window's first that are written as AT(n)."""
NEW: Final = {
    "MADV_POPULATE_READ": 22,
    "MADV_POPULATE_WRITE": 23,
    "MADV_DONTNEED_LOCKED": 24,
    "MADV_COLLAPSE": 25,
    "MADV_GUARD_INSTALL": 102,
    "MADV_GUARD_REMOVE": 103,
    "MAP_DROPPABLE": 8,
    "MAP_ABOVE4G": 0x80,
    "MREMAP_DONTUNMAP": 4,
}
"""Names that C headers of some systems lack, and their values."""
PROT: Final = {
    1: "PROT_READ",
    2: "PROT_WRITE",
    4: "PROT_EXEC",
    0x0100_0000: "PROT_GROWSDOWN",
    0x0200_0000: "PROT_GROWSUP",
}
FILES: Final = {100: "object", 101: "readonly", 102: "zero"}
"""Descriptors of a scenario, and the variables that hold them."""


_HEADINGS: Final = ("The layout, step by step.", "What is tried.")
"""What stands above the first step that builds, and above the first that is tried."""


ODD_BYTES: Final = {"??": "UNREADABLE", UNSAID: "ANYTHING", "..": "ANYTHING", "": "ANYTHING"}
"""What the bytes of a result say that is no byte, and what C calls it. Of a page that is mapped all the same, nothing
is said where a document's own bytes leave it out."""


class CannotSay(Exception):
    """A program in this form cannot do what the document says; the message says why."""


@dataclass(frozen=True, slots=True)
class Script:
    """What a program is to do: a scenario of real calls, the first `building` of which build a layout.

    `culprit` is the page (a page number) that is looked at after the last call; where that is None, or a page that the
    call does not change, all pages are that are mapped before or after it, and all of its range.
    """

    scenario: Scenario
    edition: str
    about: tuple[str, ...]
    """Paragraphs that say what is shown; a paragraph that begins with a space is kept line by line."""
    command: str
    building: int = 0
    culprit: int | None = None


def script_for(document: Counterexample, command: str) -> Script:
    """What a program is to do that shows a counterexample. Raises CannotSay where no calls lead to it."""
    why = ""
    for has_pkeys in (False, True):  # without keys if they do not matter: then it runs on every processor
        try:
            return script_of(rebuild(document, has_pkeys=has_pkeys), known_reason(document), command)
        except CannotTry as cannot:
            why = cannot.reason
    raise CannotSay(why)


def known_reason(document: Counterexample) -> str:
    """Why the property is known to be broken; empty if it is not known to be."""
    if document.property not in PROPERTIES:
        return ""
    known = theorems(EDITIONS[document.edition], [document.property], [document.call])
    return next((theorem.broken.reason for theorem in known if theorem.broken), "")


def script_of(rebuilt: Rebuilt, reason: str, command: str) -> Script:
    """What a program is to do that shows a counterexample. `reason` says why its property is broken, if that is known.

    Looked at is the page that breaks the property; where it is broken as a whole, all of them are.
    """
    document = rebuilt.document
    own = rebuilt.scenario.steps[rebuilt.building :]
    told = [
        step.model_copy(update={"ret": a.ret, "errno": int(a.errno), "vmas": a.vmas, "bytes": a.bytes})
        for step, a in zip(own, rebuilt.expected, strict=True)
    ]
    scenario = rebuilt.scenario.model_copy(update={"steps": (*rebuilt.scenario.steps[: rebuilt.building], *told)})
    edition = EDITIONS[document.edition]
    about = (
        f"{document.property}: {document.sentence}",
        f"The edition {edition.name} breaks this in {document.call}{f': {reason}' if reason else ''}. It stands for "
        f"{edition.kernel}. If this program says that it is shown, this kernel does so too.",
        " " + to_text(document).strip("\n"),
        *rebuilt.notes,
    )
    return Script(scenario, edition.name, about, command, rebuilt.building, document.culprit.page)


@dataclass(frozen=True, slots=True)
class Line:
    """One step in C."""

    statements: tuple[str, ...]
    layout: tuple[str, ...]
    """What is mapped after it, in words."""
    checks: tuple[str, ...] = ()
    comment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A range that the kernel chose: pages [first, first + pages) of the model are behind the C variable `name`."""

    name: str
    first: int
    pages: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A mapped page as a line of VMAs and the bytes say it."""

    text: str
    start: int
    end: int
    byte: str
    """What it reads: a byte of C, or one of ODD_BYTES."""


@dataclass(slots=True)
class _Writer:
    """A program under way."""

    heap: int
    """The model's first page of the heap."""
    uses: set[str] = field(default_factory=set)
    places: list[Place] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    """Names of NEW that the program uses."""
    files: set[int] = field(default_factory=set)
    """Descriptors of files that steps have made; odd ones are for reading only."""
    mapped: frozenset[int] = frozenset()
    """Descriptors that some step maps."""

    # numbers in C ---------------------------------------------------------------------------------------------------

    def address(self, given: int | str) -> str:
        """A byte address as the program writes it."""
        if isinstance(given, str) and given.startswith("brk+"):
            return self._beside("heap", int(given.removeprefix("brk+"), 16))
        number = int(given, 16) if isinstance(given, str) else given
        page, rest = divmod(number, PAGE_SIZE)
        return self.page(page) + (f" + {rest:#x}UL" if rest else "")

    def page(self, page: int) -> str:
        """A page of the model as the address that it has in the program."""
        for place in reversed(self.places):
            if place.first <= page < place.first + place.pages:
                return place.name + (f" + {page - place.first} * PAGE" if page != place.first else "")
        if WINDOW - NEARBY <= page < WINDOW + NEARBY:
            return f"AT({page - WINDOW})"
        if self.heap <= page < self.heap + NEARBY:
            return self._beside("heap", (page - self.heap) * PAGE_SIZE)
        return f"{(page << PAGE_SHIFT) % WORD:#x}UL"

    def ends(self, seen: Seen) -> str:
        """The two ends of a page's VMA; ANYWHERE of one that lies where the kernel chose, beside it knows what."""
        if any(place.first <= seen.start < place.first + place.pages for place in self.places):
            self.uses.add("anywhere")
            return "ANYWHERE, ANYWHERE"
        return f"{self.page(seen.start)}, {self.page(seen.end)}"

    def label(self, page: int) -> str:
        """A page in words."""
        for place in reversed(self.places):
            if place.first <= page < place.first + place.pages:
                return f"page {page - place.first} of {place.name}"
        if self.heap <= page < self.heap + NEARBY:
            return f"heap page {page - self.heap}"
        return f"page {page - WINDOW}" if WINDOW <= page < WINDOW + NEARBY else f"address {page << PAGE_SHIFT:#x}"

    def _beside(self, base: str, offset: int) -> str:
        self.uses.add(base)
        pages, rest = divmod(offset, PAGE_SIZE)
        return f"HEAP({pages})" + (f" + {rest:#x}UL" if rest else "")

    def size(self, length: int) -> str:
        pages, rest = divmod(length, PAGE_SIZE)
        if rest or pages > 1 << 32:
            return f"{length:#x}UL"
        return "0" if not pages else "PAGE" if pages == 1 else f"{pages} * PAGE"

    def bits(self, word: int, names: dict[int, str], zero: str) -> str:
        """Flags by name; what has none as a number."""
        found, rest = [], word
        for bit, name in names.items():
            if word & bit:
                found.append(self.name(name))
                rest &= ~bit
        if rest:
            found.append(f"{rest:#x}UL")
        return " | ".join(found) or zero

    def name(self, name: str) -> str:
        """A name of C's headers; those that may be missing are defined."""
        if name in NEW:
            self.named.add(name)
        return name

    def map_flags(self, word: int) -> str:
        kind = word & 0xF
        first = [self.name(f"MAP_{MMAP_TYPES[kind]}")] if kind in MMAP_TYPES else [f"{kind:#x}"] if kind else []
        rest = self.bits(word & ~0xF, {bit: f"MAP_{name}" for bit, name in MMAP_FLAGS.items()}, "")
        return " | ".join([*first, *([rest] if rest else [])]) or "0"

    def descriptors(self) -> list[str]:
        """The variables that hold descriptors."""
        made = [f"file_{fd}" for fd in sorted(self.files) if not fd & 1 or fd in self.mapped]
        return [name for name in FILES.values() if f"descriptor {name}" in self.uses] + made

    # steps ------------------------------------------------------------------------------------------------------------

    def call(self, step: Step) -> str:
        """The step as a C expression. Raises CannotSay for one that no program can make happen."""
        if step.call == "mseal32":
            raise CannotSay("mseal32 is no call of a 64-bit kernel")
        self.uses.add(step.call)
        match step:
            case MmapStep():
                words = [self.size(step.len), self.bits(step.prot, PROT, "PROT_NONE"), self.map_flags(step.flags)]
                words += [self._file(step.fd), self.size(step.off)]
            case RangeStep():
                words = [self.size(step.len)]
            case MprotectStep():
                words = [self.size(step.len), self.bits(step.prot, PROT, "PROT_NONE")]
            case PkeyMprotectStep():
                words = [self.size(step.len), self.bits(step.prot, PROT, "PROT_NONE"), integer(step.pkey)]
            case MremapStep():
                flags = self.bits(step.flags, {bit: f"MREMAP_{name}" for bit, name in MREMAP_FLAGS.items()}, "0")
                words = [self.size(step.old_len), self.size(step.new_len), flags, self.address(step.new_addr)]
            case MadviseStep():
                words = [self.size(step.len), self._advice(step.behavior)]
            case MsealStep():
                words = [self.size(step.len), f"{step.flags:#x}UL" if step.flags else "0"]
            case WriteStep():
                return f"store({self.address(step.addr)}, 0x{step.byte:02x})"
            case PkruStep():
                return f"write_pkru(0x{step.bits:08x}U)"
            case FillStep():
                return f"leave_room({step.free})"
            case VdsoStep():
                return f"move_vdso({self.address(step.addr)})"
            case PlaceStep(call="reclaim"):
                return f"reclaim({self.address(step.addr)})"
            case PkeyAllocStep():
                return f"do_pkey_alloc({step.flags:#x}UL, {step.rights:#x}UL)"
            case PlaceStep():
                words = []
            case _:
                return "go_on_in_a_child()" if step.call == "fork" else f"do_{step.call}()"
        return f"do_{step.call}({', '.join([self.address(getattr(step, 'addr')), *words])})"

    def _file(self, descriptor: int) -> str:
        if descriptor in self.files:
            return f"file_{descriptor}"
        if descriptor not in FILES:
            return str(descriptor)
        name = FILES[descriptor]
        self.uses |= {name, f"descriptor {name}"} | ({"object", "descriptor object"} if descriptor == 101 else set())
        return name

    def _advice(self, value: int) -> str:
        if value in (HWPOISON, SOFT_OFFLINE):  # with privileges they take memory from the whole machine
            self.uses.add("unprivileged")
        return self.name(next((name for name, number in ADVICE.items() if number == value), integer(value)))

    def statements(self, number: int, step: Step, answer: StepResult, *, tested: bool) -> tuple[str, ...]:
        """The step with what it is to give, in C."""
        if isinstance(step, FileStep):
            return self._open(step)
        call = self._limited(step, self.call(step))
        verb = "expect" if tested else "must"
        if not answer.errno and answer.ret == "elsewhere":
            length = step.len if isinstance(step, MmapStep) else getattr(step, "new_len")
            name = f"place_{number}"
            self.uses.add("place" if tested else "must-place")
            self.places.append(Place(name, answer.value, page_align(length) >> PAGE_SHIFT))
            return _folded(f"{name} = {verb}_address({call});")
        self.uses.add(verb)
        wanted = self._wanted(step, answer)
        error = answer.errno_name if answer.errno in set(Errno) - {Errno.OK} else str(answer.errno)
        return _folded(f"{verb}({call}, {wanted}{f', {error}' if tested else ''});")

    def _open(self, step: FileStep) -> tuple[str, ...]:
        self.uses.add("file")
        self.files |= {step.fd, step.fd + 1}
        contents = "".join(f"\\x{step.contents[i : i + 2]}" for i in range(0, len(step.contents), 2))
        made = f'file_{step.fd} = make_file({step.pages}, "{contents}", {len(step.contents) // 2});'
        if step.fd + 1 not in self.mapped:
            return (made,)
        self.uses.add("readonly")
        return made, f"file_{step.fd + 1} = open_readonly(file_{step.fd});"

    def _limited(self, step: Step, call: str) -> str:
        """The call with the limits lowered that are to have no room in it. Raises CannotSay for other failures."""
        try:
            limits = limits_of(step.model_dump())
        except BadStep as why:
            raise CannotSay(str(why)) from None
        for bit, name in ((1, "RLIMIT_AS"), (2, "RLIMIT_MEMLOCK")):
            if limits & bit:
                self.uses |= {"limit", "unprivileged"}
                call = f"WITHOUT_ROOM({name}, {call})"
        return call

    def _wanted(self, step: Step, answer: StepResult) -> str:
        if answer.errno:
            return "-1"
        if step.call == "brk":
            pages, _, rest = answer.ret.partition("+")
            return self._beside("heap", int(pages) * PAGE_SIZE + int(rest or 0))
        if step.call in ("mmap", "mremap"):
            return f"AT({int(answer.ret[1:])})" if answer.ret.startswith("p") else self.address(getattr(step, "addr"))
        return "0" if step.call in ("reclaim", "fill") else integer(int(answer.ret))

    # pages ------------------------------------------------------------------------------------------------------------

    def check(self, verb: str, page: int, seen: Seen | None) -> str:
        """The C statement that compares one page. `verb` is expect or layout."""
        what = f'"{self.label(page)}", {self.page(page)}'
        if seen is None:
            self.uses.add("gap")
            return f"expect_gap({what});"
        self.uses.add("layout" if verb == "layout" else "page")
        return f'{verb}_page({what}, "{seen.text}", {seen.byte}, {self.ends(seen)});'


def integer(number: int) -> str:
    """A number as a literal of C."""
    return str(number) if -(1 << 31) <= number < 1 << 63 else f"{number % WORD:#x}UL"


def in_c(step: Step) -> str:
    """A step as the C of these programs has it; AT(n) is page n of the window."""
    return _Writer(HEAP_PAGE).call(step)


def _folded(statement: str) -> tuple[str, ...]:
    """A statement without text in quotes as lines of C that are not too long."""
    lines = textwrap.wrap(statement, 88, break_long_words=False, break_on_hyphens=False)
    return (lines[0], *(f"\t{line}" for line in lines[1:]))


def seen_pages(answer: StepResult, heap: int) -> dict[int, Seen]:
    """Every mapped page of a result by its number. `heap` is the first page of the heap. Raises CannotSay for more of
    them than a program can look at."""
    contents = dict(entry.split("=") for entry in answer.contents)
    lines = [vma_line(text) for text in answer.vmas]
    if sum(line.end - line.first for line in lines) > MOST_PAGES:
        raise CannotSay(f"after {answer.call} more than {MOST_PAGES} pages are mapped, and a program looks at each")
    found = {}
    for line in lines:
        base = {"": WINDOW, "brk": heap, "@": 0}[line.area]
        start, end = base + line.first, base + line.end
        for page in range(start, end):
            at = 2 * (page - WINDOW)
            inside = 0 <= page - WINDOW < WINDOW_PAGES
            byte = answer.bytes[at : at + 2] if inside else contents.get(hex(page), "00")
            found[page] = Seen(line.text, start, end, ODD_BYTES.get(byte) or f"0x{byte}")
    return found


def as_told(step: Step, answer: StepResult) -> StepResult:
    """The answer that the document carries for a step, and where it carries none the concrete reading's."""
    told: dict[str, object] = {}
    if step.ret is not None:
        told["ret"] = step.ret
    if step.errno is not None:
        told["errno"] = step.errno
        told["errno_name"] = errno_name(step.errno)
    if step.vmas is not None:
        elsewhere = () if any(line.startswith("@") for line in step.vmas) else answer.vmas
        told["vmas"] = step.vmas + tuple(line for line in elsewhere if line.startswith("@"))
    if step.bytes is not None:
        told["bytes"] = step.bytes
    return answer.model_copy(update=told)


def _layout_words(answer: StepResult) -> tuple[str, ...]:
    """What is mapped after a step, for a comment."""
    shown = [f"elsewhere{line[line.index(' ') :]}" if line.startswith("@") else line for line in answer.vmas]
    text = "; ".join(shown) or "nothing is mapped"
    return tuple(textwrap.wrap(text, WIDTH - 12))


def _range_of(step: Step, heap: int) -> range:
    """The pages that a call is about."""
    given = getattr(step, "addr", None)
    if given is None:
        return range(0)
    number = int(given.removeprefix("brk+"), 16) if isinstance(given, str) else given
    first = (number >> PAGE_SHIFT) + (heap if isinstance(given, str) and given.startswith("brk+") else 0)
    length = getattr(step, "len", None) or getattr(step, "old_len", None) or PAGE_SIZE
    pages = page_align(length) >> PAGE_SHIFT
    return range(first, first + pages) if pages <= WINDOW_PAGES else range(0)


def paragraphs(texts: Iterable[str], width: int) -> list[str]:
    """The paragraphs as lines of a comment, an empty line between two: printable, and without its beginning or end."""
    lines: list[str] = []
    for text in texts:
        lines += [""] if lines else []
        if text.startswith(" "):
            lines += [line.rstrip() for line in text.split("\n")]
        else:
            lines += textwrap.wrap(text, width, break_long_words=False)
    plain = ("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line) for line in lines)
    return [line.replace("*/", "* /").replace("/*", "/ *") for line in plain]


def to_c(script: Script, *, ktap: bool) -> str:
    """The program in C. Raises CannotSay, and BadDocument for a layout that no kernel could have."""
    edition = EDITIONS[script.edition]
    answers = run_scenario(script.scenario, edition).steps
    steps = script.scenario.steps
    heap = script.scenario.layout.start_brk if script.scenario.layout else HEAP_PAGE
    writer = _Writer(heap, mapped=frozenset(getattr(step, "fd", -1) for step in steps if isinstance(step, MmapStep)))
    setup, tested, built = [], [], []
    plan = 0
    last = len(steps) - 1
    before: dict[int, Seen] = {}
    for n, (step, model) in enumerate(zip(steps, answers, strict=True)):
        testing = n >= script.building
        answer = as_told(step, model)
        statements = writer.statements(n + 1, step, answer, tested=testing)
        now = seen_pages(answer, heap)
        if not testing:
            setup.append(Line(statements, _layout_words(answer)))
            before = now
            continue
        checks: list[str] = []
        if n == last or step.vmas is not None or step.bytes is not None:
            pages = {script.culprit} if script.culprit is not None else set()
            if all(now.get(page) == before.get(page) for page in pages):
                pages = {*now, *before, *_range_of(step, heap)}
            checks = [writer.check("expect", page, now.get(page)) for page in sorted(pages)]
        plan += len(checks) + (not isinstance(step, FileStep))
        before = now
        comment = [_HEADINGS[1]] if n == script.building else []
        if model.check and answer.errno:
            comment += paragraphs([f"{answer.errno_name} in {script.edition} because of: {model.check}"], WIDTH - 12)
        tested.append(Line(statements, _layout_words(answer), tuple(checks), tuple(comment)))
    if script.building:
        last_built = seen_pages(answers[script.building - 1], heap)
        built = [writer.check("layout", page, seen) for page, seen in sorted(last_built.items())]
    return _render(
        "reproducer.c.j2",
        about=paragraphs(script.about, WIDTH - 3),
        command=script.command,
        ktap=ktap,
        uses=writer.uses,
        defines=[(name, NEW[name]) for name in sorted(writer.named)],
        errnos=[(errno.name, int(errno)) for errno in Errno if errno],
        places=[place.name for place in writer.places],
        descriptors=writer.descriptors(),
        object_pages=WINDOW_PAGES,
        setup=setup,
        built=built,
        tested=tested,
        plan=plan,
    )


# syzkaller ------------------------------------------------------------------------------------------------------------

SYZ_BASE: Final = 0x7F00_0000_0000
"""What programs write for the start of the memory that syzkaller's executor maps: page 0."""
SYZ_DATA: Final = 0xFF_E000
"""Where, from there, names and bytes for the calls lie: in the last pages of that memory, 16 MiB."""


class _SyzWriter:
    """A program for syzkaller under way: numbers in hexadecimal, memory as &(0x7f…/size)=nil."""

    def __init__(self) -> None:
        self.results = 0
        self.files: dict[int, str] = {}
        """Descriptors of the scenario and the results that stand for them."""
        self.keys: dict[int, str] = {}
        """Protection keys that calls returned."""

    def memory(self, given: int | str, size: int) -> str:
        """An address, and so many bytes of the program's from there. Raises CannotSay for one that it has not."""
        if isinstance(given, str) and given.startswith("brk+"):
            raise CannotSay("a syzkaller program has no heap: brk is not among its calls")
        number = int(given, 16) if isinstance(given, str) else given
        offset = number - (WINDOW << PAGE_SHIFT)
        if offset % PAGE_SIZE or not 0 <= offset < SYZ_DATA:
            raise CannotSay(f"a syzkaller program cannot name the address {number:#x}: it is not a page of its memory")
        pages = max(1, min(page_align(size) >> PAGE_SHIFT, (SYZ_DATA - offset) >> PAGE_SHIFT))
        return f"&({SYZ_BASE + offset:#x}/{pages << PAGE_SHIFT:#x})=nil"

    def data(self, content: str) -> str:
        """A pointer to bytes for a call."""
        return f"&({SYZ_BASE + SYZ_DATA:#x})={content}"

    def result(self) -> str:
        self.results += 1
        return f"r{self.results - 1}"

    def statements(self, step: Step, answer: StepResult) -> list[str]:
        """The lines of a step. Raises CannotSay for one that these programs cannot make happen."""
        if step.failures:
            raise CannotSay(f"no program can make the environment fail as in {step.failures[0]!r}")
        match step:
            case MmapStep():
                lines, descriptor = self._file(step)
                where = self.memory(step.addr, step.len)
                return [*lines, self._call("mmap", where, step.len, step.prot, step.flags, descriptor, step.off)]
            case RangeStep():
                return [self._call(step.call, self.memory(step.addr, step.len), step.len)]
            case MprotectStep():
                return [self._call("mprotect", self.memory(step.addr, step.len), step.len, step.prot)]
            case PkeyMprotectStep():
                key = self.keys.get(step.pkey, step.pkey)
                return [self._call("pkey_mprotect", self.memory(step.addr, step.len), step.len, step.prot, key)]
            case MremapStep():
                to = step.new_addr
                place = self.memory(to, step.new_len) if to not in (0, "0x0") else "nil"
                where = self.memory(step.addr, step.old_len)
                return [self._call("mremap", where, step.old_len, step.new_len, step.flags, place)]
            case MadviseStep():
                return [self._call("madvise", self.memory(step.addr, step.len), step.len, step.behavior)]
            case MsealStep(call="mseal"):
                return [self._call("mseal", self.memory(step.addr, step.len), step.len, step.flags)]
            case PlaceStep(call="reclaim"):
                return [self._call("madvise", self.memory(step.addr, PAGE_SIZE), PAGE_SIZE, PAGEOUT)]
            case FileStep():
                return self._make_file(step)
            case WriteStep():
                # a call's bytes are stored before it is made; this one does nothing else
                where = self.memory(step.addr, 1).partition("/")[0]
                return [f'write(0xffffffffffffffff, {where})="{step.byte:02x}", 0x1)']
            case PkeyAllocStep():
                name = self.result()
                self.keys[answer.value] = name
                return [f"{name} = pkey_alloc({step.flags:#x}, {step.rights:#x})"]
        raise CannotSay(f"a syzkaller program has no way to say {step.call}")

    def _file(self, step: MmapStep) -> tuple[list[str], int | str]:
        """Lines that open what is mapped, and the result that stands for it."""
        if step.fd in self.files:
            return [], self.files[step.fd]
        if step.fd == 101 or step.fd - 1 in self.files:
            raise CannotSay("a syzkaller program cannot open its memory file again for reading only")
        if step.fd == 102:
            name = self.files[step.fd] = self.result()
            return [f"{name} = openat$zero(0xffffffffffffff9c, {self.data(_quoted('/dev/zero'))}, 0x2, 0x0)"], name
        if step.fd == 100:
            contents = bytes(0x40 + page for page in range(WINDOW_PAGES)).hex()
            lines = self._make_file(FileStep(call="file", fd=FIRST_FILE, pages=WINDOW_PAGES, contents=contents))
            self.files[step.fd] = self.files.pop(FIRST_FILE)
            return lines, self.files[step.fd]
        return [], step.fd

    def _make_file(self, step: FileStep) -> list[str]:
        name = self.files[step.fd] = self.result()
        lines = [
            f"{name} = memfd_create({self.data(_quoted('file'))}, 0x0)",
            f"ftruncate({name}, {step.pages * PAGE_SIZE:#x})",
        ]
        for page in range(len(step.contents) // 2):
            content = self.data(f'"{step.contents[2 * page : 2 * page + 2]}"')
            lines.append(f"pwrite64({name}, {content}, 0x1, {page * PAGE_SIZE:#x})")
        return lines

    def _call(self, name: str, *words: int | str) -> str:
        shown = [word if isinstance(word, str) else f"{word % WORD:#x}" for word in words]
        return f"{name}({', '.join(shown)})"


def _quoted(text: str) -> str:
    return f"'{text}\\x00'"


def to_syz(script: Script) -> str:
    """The program for syzkaller. Raises CannotSay, and BadDocument for a layout that no kernel could have."""
    answers = run_scenario(script.scenario, EDITIONS[script.edition]).steps
    writer = _SyzWriter()
    lines = []
    for n, (step, told) in enumerate(zip(script.scenario.steps, answers, strict=True)):
        answer = as_told(step, told)
        *opening, statement = writer.statements(step, answer)
        comment = (_HEADINGS[n >= script.building],) if n in (0, script.building) else ()
        gives = answer.errno_name if answer.errno else answer.ret
        layout = paragraphs([f"gives {gives}; then {'; '.join(answer.vmas) or 'nothing is mapped'}"], WIDTH - 2)
        lines.append(Line((*opening, statement), tuple(layout), comment=comment))
    return _render(
        "reproducer.syz.j2",
        about=paragraphs(script.about, WIDTH - 2),
        command=script.command,
        pages=max(WINDOW_PAGES, 64),
        steps=lines,
    )


def _render(template: str, **values: object) -> str:
    environment = Environment(
        loader=PackageLoader("reports"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(template).render(**values)
