# SPDX-License-Identifier: MIT
"""From a counterexample to a scenario: real calls that build its layout, and then its own calls.

A counterexample begins in the middle: VMAs that are there, pages that hold something. A process has to come there by
itself. `rebuild` moves the document into the window (checker.lab.relocate), plans the calls, and executes them on the
concrete reading of the document's edition as it goes. It only returns a scenario that reaches, on that reading, the
document's layout and the document's outcome: the same result, the same pages changed, the property broken at the same
page. Otherwise it raises CannotTry with the reason.

What a program cannot see and cannot choose may differ from the document (LOOSE): which anon_vma a VMA has, page offsets
of anonymous memory, accounting. They only decide about merges, and that nothing merges differently is part of the
outcome that is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import TypeAdapter

from checker.claims import decoded
from checker.concrete import ConcreteSpace, Result, State, TooManyPages
from checker.documents.answers import WINDOW_PAGES
from checker.documents.base import HEAP_PAGE, BadDocument
from checker.documents.counterexamples import Counterexample, CounterexampleStep
from checker.documents.layouts import LayoutDoc
from checker.documents.scenarios import FAILURES, Kernel, Scenario, Step
from checker.examples import Example, breaking
from checker.lab.relocate import FILE_BYTES, VDSO_PAGES, CannotTry, Moved, relocate, uses_heap
from checker.lab.script import BadStep, limits_of
from checker.machine import perform
from checker.scenario import HEAP_SHOWN, WINDOW, Answer, Runner, edition_on, re_execute
from spec.advice import ADVICE
from spec.editions import EDITIONS, Edition
from spec.errors import Errno
from spec.mapping import (
    DEV_ZERO,
    LARGEST_FILE_PAGES,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    READ_ONLY_FILE,
    WRITABLE_FILE,
)
from spec.properties import PROPERTIES
from spec.syscalls import CALLS
from spec.syscalls.mremap import FIXED, MAYMOVE
from spec.terms import whole
from spec.vma import (
    ANONYMOUS,
    ATTRIBUTES,
    DEVZERO,
    EMPTY_PAGE,
    FILE,
    RANDOM,
    SEQUENTIAL,
    SPECIAL,
    THP_ALWAYS,
    THP_NEVER,
    Page,
    Vma,
    offset_at,
    same_flags,
)
from spec.words import PAGE_SHIFT, PAGE_SIZE

LOOSE: Final = ("account", "anon_vma", "inherited", "offset", "object")
"""Attributes of a VMA that are not compared with the document's: see the top of this file. Objects and their offsets
are compared through what is read from them."""
NEAR_LIMIT: Final = 32
"""Free maps below which their exact number may matter to a call."""
ENOUGH_FREE: Final = 64
"""Free maps that are left where it does not matter."""
MANY: Final = 1 << 10
"""Pages of one mapping of a file whose contents are compared."""
STAGE: Final = WINDOW + 2 * WINDOW_PAGES
"""Page behind the window where VMAs are made that are then moved to their place."""
_STEP: Final[TypeAdapter[Step]] = TypeAdapter(Step)
_READ_WRITE: Final = 3


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A document as a scenario. `expected` holds, for each of the document's own calls, what a kernel that does what
    the document says would answer."""

    document: Counterexample
    """The document where it is tried."""
    scenario: Scenario
    building: int
    """How many of the scenario's steps build the layout; the rest are the document's."""
    built: tuple[Answer, ...]
    """What the concrete reading answers to the steps that build."""
    expected: tuple[Answer, ...]
    notes: tuple[str, ...] = ()
    """What is not as the document has it."""

    @property
    def start(self) -> Answer:
        """What is seen before the first of the document's own calls."""
        return self.built[-1] if self.built else Answer("", Errno.OK, (), "", Result(0, Errno.OK, ""))


@dataclass(frozen=True, slots=True)
class _Plan:
    """How VMAs are made that a plain series of mmap would merge."""

    apart: bool = False
    """Written anonymous memory is made elsewhere and moved, so that each VMA has its own anon_vma and offset."""
    forked: bool = False
    """VMAs with an inherited anon_vma are made by a parent."""


class _Dead(Exception):
    """A step that builds was refused by the specification."""


def rebuild(document: Counterexample, *, has_pkeys: bool) -> Rebuilt:
    """The scenario of a counterexample. `has_pkeys`: the processor that it will run on has protection keys.

    A document that is not true of its own edition is rebuilt as well: its layout and calls, with the outcome that it
    claims. Raises CannotTry.
    """
    _check_calls(document, has_pkeys)
    reasons: list[str] = []
    for plain in (False, True):
        try:
            return _rebuild(relocate(document, has_pkeys=has_pkeys, plain=plain), document, has_pkeys)
        except CannotTry as cannot:
            reasons.append(cannot.reason)
        except TooManyPages as many:
            reasons.append(str(many))
    raise CannotTry(reasons[0])


def _rebuild(moved: Moved, document: Counterexample, has_pkeys: bool) -> Rebuilt:
    """The scenario of a document that was moved into the window. Raises CannotTry."""
    claimed, edition = moved.document, EDITIONS[document.edition]
    try:
        claimed.before.to_state()
    except BadDocument as bad:
        raise CannotTry(f"moved into the window, no kernel could have the layout: {bad}") from None
    try:
        for step in claimed.steps:
            _limits(step)
    except BadStep as bad:
        raise CannotTry(str(bad)) from None
    notes = moved.notes
    if re_execute(document):
        notes = (*notes, f"the concrete reading of {edition.name} does not do what the document says")
    else:
        _check_moved(claimed, document, has_pkeys, edition)
    reasons: list[str] = []
    for plan in _plans(claimed):
        builder = _Builder(claimed, edition, plan)
        try:
            builder.build()
        except _Dead as dead:
            reasons.append(str(dead))
            continue
        found = _unlike(claimed.before.to_state(), builder.runner.state, edition)
        found = found or _other_outcome(claimed, builder.runner.state, edition)
        if found:
            reasons += found
            continue
        own = [_as_step(step) for step in claimed.steps]
        scenario = Scenario(
            name=f"{document.property} ({document.call}, {document.edition})",
            edition=document.edition,
            kernel=Kernel(pkeys=has_pkeys, memory_failure=True),
            steps=(*builder.steps, *own),
        )
        try:
            expected = _expected(claimed, own, edition)
        except BadDocument as bad:
            raise CannotTry(f"no address space could be as the document says: {bad.reason}") from None
        return Rebuilt(claimed, scenario, len(builder.steps), tuple(builder.answers), expected, notes)
    raise CannotTry(reasons[0])


# the document ---------------------------------------------------------------------------------------------------------


def _check_calls(document: Counterexample, has_pkeys: bool) -> None:
    """Raises CannotTry for a call that no program can make, or not as the document has it."""
    for step in document.steps:
        if step.call in ("pkru", "pkey_alloc") and not has_pkeys:
            raise CannotTry("the processor has no protection keys")
        if step.call == "mseal32":
            raise CannotTry("mseal32 is the variant of 32-bit kernels: a 64-bit kernel has no such call")
        if step.call == "pkru" and step.words["bits"] & 3:
            raise CannotTry("a thread that denies itself protection key 0 cannot go on: its own memory has that key")
        if step.result.check == "brk: the address is below the heap":
            raise CannotTry("the kernel's heap begins below the one that is tried")


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One call on the concrete reading: how it ended, and the state after it."""

    result: Result
    after: State


def _executed(document: Counterexample, state: State, edition: Edition) -> tuple[list[_Outcome], State]:
    """What the document's calls do from a state, and the state before the last of them."""
    state = last = state.copy()
    outcomes = []
    for step in document.steps:
        last = state.copy()
        result = perform(state, edition, step.call, step.words, failures=_all_failures(step))
        outcomes.append(_Outcome(result, state.copy()))
    return outcomes, last


def _limits(step: CounterexampleStep) -> int:
    """The limits that are lowered for a call. Raises BadStep for a failure that no program brings about."""
    return limits_of({"failures": step.failures, "flags": step.words.get("flags", 0)})


def _all_failures(step: CounterexampleStep) -> tuple[str, ...]:
    """The failures that a lowered limit brings about: those that are asked for, and all others of the same limit."""
    limits = _limits(step)
    return tuple(name for name in FAILURES.get(step.call, ()) if name in step.failures or _is_of(name, limits))


def _is_of(failure: str, limits: int) -> bool:
    try:
        return bool(limits_of({"failures": (failure,)}) & limits)
    except BadStep:
        return False


def _check_moved(moved: Counterexample, document: Counterexample, has_pkeys: bool, edition: Edition) -> None:
    """Raises CannotTry unless the document is as true in the window as at its own place."""
    outcomes, _ = _executed(moved, moved.before.to_state(), edition)
    for step, came in zip(moved.steps, outcomes, strict=True):
        told = (step.result.value, step.result.errno, step.result.check)
        seen = _view(LayoutDoc.from_state(came.after), edition).seen()
        result = (came.result.value, came.result.errno.name, came.result.check)
        if told == result and seen == _view(step.after, edition).seen():
            continue
        if document.before.has_pkeys != has_pkeys:
            has = "has" if has_pkeys else "has no"
            raise CannotTry(f"it is about another processor: this one {has} protection keys")
        if any(vma.backing == "hugetlb" for vma in document.before.vmas):
            raise CannotTry("it needs real huge pages, which are not set up")
        raise CannotTry("it depends on addresses or sizes that cannot be had in the window")


def _as_step(step: CounterexampleStep) -> Step:
    """A call as a scenario has it."""
    words = dict(step.words)
    fields: dict[str, Any] = {"call": step.call, "failures": step.failures}
    if step.call == "mmap":
        file, object = words.pop("file"), words.pop("object")
        descriptor = {0: -1, WRITABLE_FILE: object, READ_ONLY_FILE: object + 1, DEV_ZERO: object}
        fields["fd"] = descriptor.get(file, 99)
    for name, word in words.items():
        fields[name] = _address(word) if name in ("addr", "new_addr") else word
    if step.call == "pkru":
        fields["bits"] &= 0xFFFF_FFFF
    if step.call == "write":
        fields["byte"] &= 0xFF
    return _STEP.validate_python(fields)


def _address(word: int) -> int | str:
    """An address in the heap by its distance from the start of the heap, which is elsewhere in a real process."""
    heap = HEAP_PAGE << PAGE_SHIFT
    return f"brk+{word - heap:#x}" if heap <= word < heap + (2 * HEAP_SHOWN << PAGE_SHIFT) else word


def _expected(document: Counterexample, own: list[Step], edition: Edition) -> tuple[Answer, ...]:
    """What a kernel shows that does what the document says."""
    answers = []
    layout = document.before
    for step, call in zip(document.steps, own, strict=True):
        result = Result(step.result.value, Errno[step.result.errno], step.result.check)
        ret, errno = _view(layout, edition).shown(call, result)
        layout = step.after
        answers.append(Answer(ret, errno, *_view(layout, edition).seen(), result))
    return tuple(answers)


def _view(layout: LayoutDoc, edition: Edition) -> Runner:
    """A layout as a process of the concrete reading. What is not seen is as it must be before a call, but need not be
    after one: how many VMAs lie elsewhere, and offsets of anonymous memory."""
    vmas = [
        vma.model_copy(update={"offset": vma.start}) if vma.backing == "anon" and not vma.anon_vma else vma
        for vma in layout.vmas
    ]
    shown = layout.model_copy(update={"elsewhere": 0, "vmas": tuple(vmas)})
    return Runner(Scenario(name="", layout=shown, steps=()), edition)


# comparing ------------------------------------------------------------------------------------------------------------


def _unlike(told: State, built: State, edition: Edition) -> list[str]:
    """In what the layout that was built differs from the one that the document has, one line each."""
    found = []
    if [(v.start, v.end) for v in told.vmas] != [(v.start, v.end) for v in built.vmas]:
        return [f"VMAs cannot be made with these ends: {_ranges(told.vmas)}; calls make {_ranges(built.vmas)}"]
    for want, have in zip(told.vmas, built.vmas, strict=True):
        names = [name for name in ATTRIBUTES if name not in LOOSE and getattr(want, name) != getattr(have, name)]
        if names:
            found.append(
                f"no call makes a VMA like the one at page {_where(want.start)}: {', '.join(names)} would differ"
            )
    pages = {page: now for page, now in told.pages.items() if now != EMPTY_PAGE}
    for page in sorted(pages.keys() | built.pages.keys()):
        want_page, have_page = told.pages.get(page, EMPTY_PAGE), built.pages.get(page, EMPTY_PAGE)
        if (want_page.lazy, want_page.guard) != (have_page.lazy, have_page.guard):
            found.append(f"page {_where(page)} cannot be made lazily free or guarded as it is")
    for page in _telling_pages(told) | _telling_pages(built):
        if _reads(told, page, edition) != _reads(built, page, edition):
            found.append(f"page {_where(page)} cannot be given its contents")
    free, has = (state.max_map_count - state.elsewhere - len(state.vmas) for state in (told, built))
    if free != has and min(free, has) < NEAR_LIMIT:
        found.append(f"{free} free maps are wanted, and {has} are left")
    return found


def _telling_pages(state: State) -> set[int]:
    """Pages that may hold something; what the vdso holds is the kernel's business."""
    backed = [vma for vma in state.vmas if vma.backing == FILE]
    shown = {page for vma in backed for page in range(whole(vma.start), min(whole(vma.end), whole(vma.start) + MANY))}
    return shown | state.pages.keys()


def _reads(state: State, page: int, edition: Edition) -> int:
    space = ConcreteSpace(state, edition)
    vma = space.find(page)
    return -1 if vma is None or space.beyond_object(vma, page) else whole(space.visible(vma, page))


def _ranges(vmas: list[Vma]) -> str:
    return ", ".join(f"{_where(vma.start)}-{_where(vma.end)}" for vma in vmas) or "(none)"


def _where(page: object) -> str:
    """A page number, counted from the start of the window or of the heap."""
    assert isinstance(page, int)
    return f"brk{page - HEAP_PAGE}" if abs(page - HEAP_PAGE) < HEAP_SHOWN else str(page - WINDOW)


def _other_outcome(document: Counterexample, built: State, edition: Edition) -> list[str]:
    """In what the outcome differs if the document's calls are made on the layout that was built."""
    told, true_last = _executed(document, document.before.to_state(), edition)
    came, last = _executed(document, built, edition)
    for step, want, have in zip(document.steps, told, came, strict=True):
        there = f"on the layout that calls can build, {step.call} would"
        if want.result != have.result:
            return [f"{there} end with {have.result.errno.name} {have.result.value} ({have.result.check})"]
        if found := _unlike(want.after, have.after, edition):
            return [f"{there} do something else: {found[0]}"]
    if _breaks(true_last, document, edition) and not _breaks(last, document, edition):
        return ["on the layout that calls can build, the property is not violated"]
    return []


def _breaks(state: State, document: Counterexample, edition: Edition) -> bool:
    """The last call breaks the document's property, at the document's page if it names one. True also where that
    cannot be judged: the property is unknown here, or the arguments end the call before it looks at the state."""
    prop, step = PROPERTIES.get(document.property), document.steps[-1]
    if prop is None or document.call not in prop.calls or step.call != document.call:
        return True
    arguments = decoded(edition, step.call, [step.words[name] for name in CALLS[step.call].words])
    if arguments is None:
        return True
    example = Example(state, step.call, arguments, frozenset(_all_failures(step)))
    return breaking(prop, example, edition, at=document.culprit.page) is not None


# building -------------------------------------------------------------------------------------------------------------


def _plans(document: Counterexample) -> Iterator[_Plan]:
    """The plainest first."""
    yield _Plan()
    inherited = any("inherited" in vma.flags for vma in document.before.vmas)
    if inherited:
        yield _Plan(forked=True)
    if any(vma.backing == "anon" and vma.anon_vma for vma in document.before.vmas):
        yield _Plan(apart=True)
        if inherited:
            yield _Plan(apart=True, forked=True)


class _Builder:
    """Calls that build a layout, executed on the concrete reading as they are chosen."""

    def __init__(self, document: Counterexample, edition: Edition, plan: _Plan) -> None:
        self.document = document
        self.layout = document.before
        self.target = document.before.to_state()
        self.plan = plan
        kernel = Kernel(pkeys=document.before.has_pkeys, memory_failure=True)
        self.runner = Runner(Scenario(name="", kernel=kernel, steps=()), edition_on(kernel, edition))
        self.steps: list[Step] = []
        self.answers: list[Answer] = []

    def do(self, call: str, *, errnos: tuple[Errno, ...] = (Errno.OK,), **fields: Any) -> None:
        """Make a call that is to end with one of these. Raises _Dead if the specification says otherwise."""
        step = _STEP.validate_python({"call": call, **fields})
        answer = self.runner.answer(step)
        result = answer.result  # brk refuses without an errno that a program sees
        if result.errno not in errnos:
            said = f"{result.errno.name}, {result.check}" if result.errno else "no error"
            raise _Dead(f"the layout cannot be built: {call} gives {said}")
        self.steps.append(step)
        self.answers.append(answer)

    def build(self) -> None:
        """All of it. Raises _Dead."""
        self._keys()
        self._files()
        if uses_heap(self.document):
            self.do("brk", addr=_address(self.layout.brk << PAGE_SHIFT))
            if self.layout.brk > HEAP_PAGE:
                self.do("munmap", addr=_address(HEAP_PAGE << PAGE_SHIFT), len=(self.layout.brk - HEAP_PAGE) * PAGE_SIZE)
        runs = list(self._runs())
        inherited = [run for run in runs if self.plan.forked and run[0].inherited]
        for run in inherited:
            self._make(run)
        if inherited:
            self.do("fork")
        for run in runs:
            if run not in inherited:
                self._make(run)
            self._dress(run)
        for run in runs:
            if run[0].sealed:
                self.do("mseal", **_place(run[0].start, run[-1].end))
                if not self._is_cut(run):
                    self._cut(run)
        self._rights()
        self._room()

    def _keys(self) -> None:
        keys = set(self.layout.pkeys) | {vma.pkey for vma in self.layout.vmas}
        for _ in sorted(keys - {0, self.layout.exec_key}):
            self.do("pkey_alloc")
        if self.layout.exec_key:
            self.do("mmap", **_place(STAGE, STAGE + 1), prot=4, flags=MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE)
            self.do("munmap", **_place(STAGE, STAGE + 1))

    def _files(self) -> None:
        """Open what the layout maps and what the calls will map."""
        wanted = {vma.object for vma in self.layout.vmas if vma.backing == "file"}
        for step in self.document.steps:
            if step.call == "mmap" and step.words["file"] in (WRITABLE_FILE, READ_ONLY_FILE):
                wanted.add(step.words["object"])
        for number in sorted(wanted):
            pages = self.target.sizes.get(number, 2 * WINDOW_PAGES)
            contents = {at: value for (made, at), value in self.target.objects.items() if made == number}
            if contents and max(contents) >= FILE_BYTES:
                raise _Dead(f"a file has contents beyond its page {FILE_BYTES}")
            shown = bytes(contents.get(at, 0) for at in range(max(contents, default=-1) + 1))
            self.do("file", fd=number, pages=pages, contents=shown.hex())

    def _runs(self) -> Iterator[list[Vma]]:
        """The VMAs, those together that would merge if they were mapped one after the other."""
        run: list[Vma] = []
        for vma in self.target.vmas:
            if run and not (self._alike(run[-1], vma) and not (self.plan.apart and vma.anon_vma)):
                yield run
                run = []
            run.append(vma)
        if run:
            yield run

    @staticmethod
    def _alike(left: Vma, right: Vma) -> bool:
        same = same_flags(replace(left, account=False), replace(right, account=False))
        continues = left.backing == ANONYMOUS or offset_at(left, left.end) == right.offset
        kind = left.object == right.object and left.backing == right.backing and left.inherited == right.inherited
        return bool(same and continues and kind and left.backing != SPECIAL and left.end == right.start)

    def _make(self, run: list[Vma]) -> None:
        """Map a run and give its pages what they hold."""
        vma, end = run[0], whole(run[-1].end)
        start = whole(vma.start)
        if vma.backing == SPECIAL:
            if end - start != VDSO_PAGES:
                raise _Dead(f"a mapping of {end - start} pages refuses to be split; a vdso has {VDSO_PAGES}")
            self.do("vdso", addr=_address(start << PAGE_SHIFT), pages=VDSO_PAGES)
            return
        pages = {page: now for page, now in self.target.pages.items() if start <= page < end}
        writes = bool(not vma.may_share and any(part.anon_vma for part in run))
        moves = self.plan.apart and vma.backing == ANONYMOUS and writes
        by = STAGE - start + (whole(vma.offset) % WINDOW_PAGES if moves else 0)
        shift = by if moves else 0
        last = end + (1 if self._needs_spare(run) else 0)
        flags = MAP_FIXED_NOREPLACE | self._map_flags(vma)
        prot = _READ_WRITE if writes else _prot(vma)
        offset = whole(vma.offset) * PAGE_SIZE if vma.backing != ANONYMOUS else 0
        if offset >= LARGEST_FILE_PAGES * PAGE_SIZE:
            raise _Dead("no file is as large as one that the layout maps")
        where = _place(start + shift, last + shift)
        self.do("mmap", **where, prot=prot, flags=flags, fd=self._descriptor(vma), off=offset)
        if writes:
            self._write(pages, start, shift)
        if moves:
            size = (end - start) * PAGE_SIZE
            self.do(
                "mremap", addr=_address((start + shift) << PAGE_SHIFT), old_len=size, new_len=size,
                flags=MAYMOVE | FIXED, new_addr=_address(start << PAGE_SHIFT),
            )  # fmt: skip

    @staticmethod
    def _map_flags(vma: Vma) -> int:
        kind = MAP_SHARED if vma.may_share else MAP_DROPPABLE if vma.droppable else MAP_PRIVATE
        anonymous = MAP_ANONYMOUS if vma.backing == ANONYMOUS else 0
        return kind | anonymous | (MAP_GROWSDOWN if vma.growsdown else 0) | (MAP_NORESERVE if vma.noreserve else 0)

    @staticmethod
    def _descriptor(vma: Vma) -> int:
        if vma.backing == ANONYMOUS:
            return -1
        read_only = vma.may_share and not vma.shared
        return whole(vma.object) + (1 if read_only and vma.backing != DEVZERO else 0)

    def _write(self, pages: dict[int, Page], start: int, shift: int) -> None:
        copied = {page: now for page, now in pages.items() if now.copied}
        for page, now in copied.items() or {start: EMPTY_PAGE}.items():
            self.do("write", addr=_address((page + shift) << PAGE_SHIFT), byte=whole(now.own))
        if not copied:  # the VMA was written once, and its pages were discarded
            self._advise("MADV_DONTNEED", start + shift, start + shift + 1)
        for page, now in pages.items():
            if now.lazy:
                self._advise("MADV_FREE", page + shift, page + shift + 1)
            if now.guard:
                self._advise("MADV_GUARD_INSTALL", page + shift, page + shift + 1)

    def _advise(self, advice: str, start: int, end: int) -> None:
        self.do("madvise", **_place(start, end), behavior=ADVICE[advice])

    def _dress(self, run: list[Vma]) -> None:
        """Marks, protection, key, lock, and the cuts between VMAs that are alike."""
        vma, start, end = run[0], whole(run[0].start), whole(run[-1].end)
        last = end + (1 if self._needs_spare(run) else 0)
        marks = (
            ("MADV_RANDOM", vma.reading == RANDOM),
            ("MADV_SEQUENTIAL", vma.reading == SEQUENTIAL),
            ("MADV_DONTDUMP", vma.dontdump and not vma.droppable),
            ("MADV_MERGEABLE", vma.mergeable),
            ("MADV_HUGEPAGE", vma.thp == THP_ALWAYS),
            ("MADV_NOHUGEPAGE", vma.thp == THP_NEVER),
            ("MADV_DONTFORK", vma.dontfork),
            ("MADV_WIPEONFORK", vma.wipeonfork and not vma.droppable),
        )
        for advice, wanted in marks:
            if wanted:
                self._advise(advice, start, last)
        now = self.runner.space.find(start)
        assert now is not None, "the VMA was just made"
        keyed = vma.pkey != now.pkey and not (self.layout.exec_key and vma.pkey == self.layout.exec_key)
        if keyed:
            self.do("pkey_mprotect", **_place(start, last), prot=_prot(vma), pkey=whole(vma.pkey))
        elif _prot(vma) != _prot(now):
            self.do("mprotect", **_place(start, last), prot=_prot(vma))
        if vma.locked:
            # pages that cannot be faulted in are an error at the end, when all is marked
            self.do("mlock", **_place(start, last), errnos=(Errno.OK, Errno.ENOMEM))
        if len(run) > 1 and not vma.sealed:
            self._cut(run)
        if last != end:
            self.do("munmap", **_place(end, last))

    @staticmethod
    def _needs_spare(run: list[Vma]) -> bool:
        """The cut before the last VMA of a run wants a page more behind it."""
        return len(run) > 1 and whole(run[-1].end) - whole(run[-1].start) == 1 and not run[0].sealed

    def _is_cut(self, run: list[Vma]) -> bool:
        there = {vma.start for vma in self.runner.state.vmas}
        return all(vma.start in there for vma in run)

    def _cut(self, run: list[Vma]) -> None:
        """Cut VMAs that are alike: with one free map, a change of the first page behind the cut splits there, has no
        room for its second split, and leaves the first one behind."""
        for vma in run[1:]:
            self.do("fill", free=1)
            start = whole(vma.start)
            if vma.droppable:
                self.do("mprotect", **_place(start, start + 1), prot=0, errnos=(Errno.ENOMEM,))
            else:
                call = "munlock" if vma.locked else "mlock"
                self.do(call, **_place(start, start + 1), errnos=(Errno.ENOMEM,))
        self.do("fill", free=ENOUGH_FREE)

    def _rights(self) -> None:
        """PKRU, where the layout has keys."""
        state, wanted = self.runner.state, self.layout.pkru
        keys = {whole(vma.pkey) for vma in state.vmas} | set(self.layout.pkeys)
        if not state.has_pkeys or all((state.pkru ^ wanted) >> (2 * key) & 3 == 0 for key in keys):
            return
        if wanted & 3:
            raise _Dead("a thread that denies itself protection key 0 cannot go on: its own memory has that key")
        self.do("pkru", bits=wanted)

    def _room(self) -> None:
        """As many free maps as the layout has, where that may matter."""
        free = self.layout.max_map_count - self.layout.elsewhere - len(self.layout.vmas)
        if free < NEAR_LIMIT:
            self.do("fill", free=free)


def _place(start: object, end: object) -> dict[str, Any]:
    """The range [start, end) in pages as the address and length of a step."""
    assert isinstance(start, int) and isinstance(end, int)
    return {"addr": _address(start << PAGE_SHIFT), "len": (end - start) * PAGE_SIZE}


def _prot(vma: Vma) -> int:
    return (1 if vma.read else 0) | (2 if vma.write else 0) | (4 if vma.exec else 0)
