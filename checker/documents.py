"""The JSON documents: layouts, scenarios, runs and counterexamples.

A document is checked as it is read: an unknown key, a missing argument or a number out of range is a BadDocument, one
line with a JSON pointer (RFC 6901) and the reason. Positions are page numbers, except in the arguments of calls, which
are bytes as a program passes them. JSON schemas for other programs are generated from the models (docs/schema).
"""

from __future__ import annotations

import difflib
import json
import lzma
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    StrictBool,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from checker.concrete import PKRU_AT_START, State
from spec.editions import EDITIONS
from spec.errors import Errno
from spec.layout import numbered_problems, vma_name
from spec.syscalls import CALLS
from spec.terms import between, whole
from spec.vma import (
    BACKINGS,
    NORMAL,
    RANDOM,
    SEQUENTIAL,
    THP_ALWAYS,
    THP_DEFAULT,
    THP_NEVER,
    Page,
    Vma,
    well_formed_page,
)
from spec.words import PAGES, WORD

HEAP_PAGE: Final = 0x5555_0000
"""Page where the heap of a scenario begins unless its layout says otherwise."""
MAX_BYTES: Final = 1 << 28
"""A document larger than this many bytes (after decompression) is refused."""
FIRST_FRESH: Final = State().next_id
"""Objects that the concrete reading makes have numbers above this."""


class BadDocument(ValueError):
    """A document is not what it must be. `pointer` is a JSON pointer into it ("" is the whole), `reason` one line;
    `source` names the file and, for JSON lines, the line."""

    def __init__(self, pointer: str, reason: str, source: str = "") -> None:
        self.pointer = pointer
        self.reason = " ".join(reason.split())
        self.source = source
        super().__init__(": ".join(part for part in (source, pointer, self.reason) if part))


class Document(BaseModel):
    """What all models share: immutable, and no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def near(name: object, known: Iterable[str]) -> str:
    """A hint that names the closest of the known names, or all of them if none is close."""
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def _edition_name(value: object) -> str:
    if not isinstance(value, str) or value not in EDITIONS:
        raise ValueError(f"unknown edition {value!r}; {near(value, EDITIONS)}")
    return value


def _address(value: object) -> int | str:
    """A byte address: a number, "0x…", or "brk+0x…"."""
    if isinstance(value, str) and re.fullmatch(r"(brk\+)?0x[0-9a-fA-F]{1,16}", value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < WORD:
        return value
    raise ValueError('an address is a number 0..2^64-1, "0x…" or "brk+0x…" (at most 16 hexadecimal digits)')


Int: TypeAlias = Annotated[int, Strict()]
Word: TypeAlias = Annotated[Int, Field(ge=0, lt=WORD)]
Count: TypeAlias = Annotated[Int, Field(ge=0, lt=1 << 63)]
PageNumber: TypeAlias = Annotated[Int, Field(ge=0, le=PAGES)]
Key: TypeAlias = Annotated[Int, Field(ge=0, le=15)]
EditionName: TypeAlias = Annotated[
    str, PlainValidator(_edition_name), WithJsonSchema({"type": "string", "description": "name of an edition"})
]
Address: TypeAlias = Annotated[
    int | str,
    PlainValidator(_address),
    WithJsonSchema(
        {
            "description": "byte address; brk+ counts from the start of the heap",
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": WORD - 1},
                {"type": "string", "pattern": r"^(brk\+)?0x[0-9a-fA-F]{1,16}$"},
            ],
        }
    ),
]

# layouts ------------------------------------------------------------------------------------------------------------

Flag: TypeAlias = Literal[
    "account", "dontdump", "dontfork", "droppable", "growsdown", "hugepage", "inherited", "locked", "mergeable",
    "nohugepage", "noreserve", "random", "sealed", "sequential", "wipeonfork",
]  # fmt: skip
_CODED: Final = {
    "random": ("reading", RANDOM),
    "sequential": ("reading", SEQUENTIAL),
    "hugepage": ("thp", THP_ALWAYS),
    "nohugepage": ("thp", THP_NEVER),
}
"""Flags that are values of one field of a VMA; the other flags are Boolean fields of the same name."""
Backing: TypeAlias = Literal["anon", "file", "devzero", "special", "hugetlb"]
Share: TypeAlias = Literal["private", "shared", "shared-readonly"]
Rights: TypeAlias = Annotated[str, Field(pattern=r"^[r-][w-][x-]$")]
_SHARES: Final[dict[Share, tuple[bool, bool]]] = {
    "private": (False, False),
    "shared": (True, True),
    "shared-readonly": (False, True),
}
"""Share: VM_SHARED and VM_MAYSHARE."""


class VmaDoc(Document):
    """One VMA. Left out, `may` is "rwx" ("r-x" for shared-readonly), and `offset` is `start` for anonymous memory,
    otherwise 0."""

    start: PageNumber = Field(description="first page")
    end: PageNumber = Field(description="page behind the last")
    prot: Rights = "rw-"
    may: Rights = Field(default="rwx", description="what mprotect may allow")
    share: Share = Field(default="private", description="shared-readonly: MAP_SHARED of a file opened read-only")
    backing: Backing = "anon"
    object: Count = Field(default=0, description="number of the file; 0 is none")
    offset: Annotated[Int, Field(ge=0, lt=1 << 64)] = Field(default=0, description="page of the object at `start`")
    anon_vma: Count = Field(default=0, description="0: no page was ever written; equal numbers may merge")
    pkey: Key = 0
    flags: tuple[Flag, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        filled = dict(given)
        filled.setdefault("may", "r-x" if given.get("share") == "shared-readonly" else "rwx")
        if given.get("backing", "anon") == "anon" and "start" in given:
            filled.setdefault("offset", given["start"])
        return filled

    @field_validator("flags")
    @classmethod
    def _distinct(cls, flags: tuple[Flag, ...]) -> tuple[Flag, ...]:
        if len(set(flags)) != len(flags):
            raise ValueError("a flag is listed twice")
        for a, b in (("random", "sequential"), ("hugepage", "nohugepage")):
            if a in flags and b in flags:
                raise ValueError(f"the flags {a} and {b} exclude one another")
        return tuple(sorted(flags))

    @classmethod
    def from_vma(cls, vma: Vma) -> Self:
        """The document of a concrete VMA. Raises ValueError if it is shared but private (no kernel makes that)."""
        share = [name for name, marks in _SHARES.items() if marks == (vma.shared, vma.may_share)]
        if not share:
            raise ValueError(f"pages {vma.start:#x}-{vma.end:#x}: shared but private")
        coded = [name for name, (field, code) in _CODED.items() if getattr(vma, field) == code]
        plain = [name for name in get_args(Flag) if name not in _CODED and getattr(vma, name)]
        return cls.model_validate(
            {
                "start": vma.start,
                "end": vma.end,
                "prot": _rights(vma.read, vma.write, vma.exec),
                "may": _rights(vma.may_read, vma.may_write, vma.may_exec),
                "share": share[0],
                "backing": BACKINGS[whole(vma.backing)],
                "object": vma.object,
                "offset": vma.offset,
                "anon_vma": vma.anon_vma,
                "pkey": vma.pkey,
                "flags": coded + plain,
            }
        )

    def to_vma(self) -> Vma:
        """The concrete VMA; whether it is well formed is for the layout to say."""
        values: dict[str, Any] = {"reading": NORMAL, "thp": THP_DEFAULT}
        for flag in self.flags:
            field, code = _CODED.get(flag, (flag, True))
            values[field] = code
        for name, letter, may in zip(("read", "write", "exec"), self.prot, self.may, strict=True):
            values[name] = letter != "-"
            values["may_" + name] = may != "-"
        values["shared"], values["may_share"] = _SHARES[self.share]
        values["backing"] = next(code for code, name in BACKINGS.items() if name == self.backing)
        for name in ("start", "end", "object", "offset", "anon_vma", "pkey"):
            values[name] = getattr(self, name)
        return Vma(**values)


def _rights(read: object, write: object, exec: object) -> str:
    return ("r" if read else "-") + ("w" if write else "-") + ("x" if exec else "-")


class PageDoc(Document):
    """What one page holds beyond its VMA. Left out: `copied` is true unless it is a guard page."""

    page: PageNumber
    copied: StrictBool = Field(default=True, description="the page has contents of its own")
    own: Count = Field(default=0, description="those contents: an abstract value, 0 is a page of zeros")
    lazy: StrictBool = Field(default=False, description="MADV_FREE, and not written since")
    guard: StrictBool = Field(default=False, description="MADV_GUARD_INSTALL")

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        return {"copied": given.get("guard") is not True, **given} if isinstance(given, dict) else given


class ContentDoc(Document):
    """A page of an object that is not zero."""

    offset: Annotated[Int, Field(ge=0, lt=1 << 64)] = Field(description="page of the object")
    value: Annotated[Count, Field(gt=0)] = Field(description="its contents, an abstract value")


class ObjectDoc(Document):
    """A file, a memfd, or the object behind anonymous shared memory."""

    object: Annotated[Count, Field(gt=0)] = Field(description="its number, as VMAs name it")
    pages: Count | None = Field(default=None, description="its size in pages; null: it has no end")
    contents: tuple[ContentDoc, ...] = ()


class LayoutDoc(Document):
    """An address space and what its pages hold: checker.concrete.State as JSON."""

    vmas: tuple[VmaDoc, ...] = ()
    pages: tuple[PageDoc, ...] = Field(default=(), description="pages that hold something of their own, or guard")
    objects: tuple[ObjectDoc, ...] = ()
    elsewhere: Count = Field(default=0, description="VMAs that are mapped but not listed")
    max_map_count: Count = 65530
    start_brk: PageNumber = Field(default=HEAP_PAGE, description="page where the heap begins")
    brk: PageNumber = Field(default=HEAP_PAGE, description="page behind the heap; left out: `start_brk`")
    pkeys: tuple[Key, ...] = Field(default=(0,), description="allocated protection keys")
    has_pkeys: StrictBool = True
    exec_key: Key = Field(default=0, description="key of execute-only memory; 0: none yet")
    pkru: Annotated[Int, Field(ge=0, lt=1 << 32)] = PKRU_AT_START

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        return {"brk": given["start_brk"], **given} if isinstance(given, dict) and "start_brk" in given else given

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The document of a state. Left out are objects that the reading made, that nothing maps, and that are zero:
        no call can reach them. Raises ValueError for a VMA that no document can say (see VmaDoc.from_vma) and
        pydantic's ValidationError, which is one, for a number out of range."""
        contents: dict[int, list[ContentDoc]] = {}
        for (number, offset), value in sorted(state.objects.items()):
            contents.setdefault(number, []).append(ContentDoc(offset=offset, value=value))
        mapped = {whole(vma.object) for vma in state.vmas} - {0}
        made = {number for number in state.sizes if number > FIRST_FRESH}
        numbers = contents.keys() | (state.sizes.keys() - (made - mapped))
        objects = [
            ObjectDoc(object=n, pages=state.sizes.get(n), contents=tuple(contents.get(n, ()))) for n in sorted(numbers)
        ]
        pages = [
            PageDoc.model_validate({"page": n, "copied": p.copied, "own": p.own, "lazy": p.lazy, "guard": p.guard})
            for n, p in sorted(state.pages.items())
        ]
        return cls(
            vmas=tuple(VmaDoc.from_vma(vma) for vma in state.vmas),
            pages=tuple(pages),
            objects=tuple(objects),
            elsewhere=state.elsewhere,
            max_map_count=state.max_map_count,
            start_brk=state.start_brk,
            brk=state.brk,
            pkeys=tuple(sorted(state.pkeys)),
            has_pkeys=state.has_pkeys,
            exec_key=state.exec_key,
            pkru=state.pkru,
        )

    def to_state(self) -> State:
        """A new state. Raises BadDocument, its pointer relative to the layout, if no kernel could be in it."""
        vmas = [vma.to_vma() for vma in self.vmas]
        for i, why in numbered_problems(vmas, elsewhere=self.elsewhere, max_map_count=self.max_map_count):
            raise BadDocument("/vmas" if i is None else f"/vmas/{i}", why)
        state = State(
            vmas=vmas,
            elsewhere=self.elsewhere,
            max_map_count=self.max_map_count,
            start_brk=self.start_brk,
            brk=self.brk,
            pkeys=set(self.pkeys),
            has_pkeys=self.has_pkeys,
            exec_key=self.exec_key,
            pkru=self.pkru,
        )
        if self.brk < self.start_brk:
            raise BadDocument("/brk", "the program break is below the start of the heap")
        if 0 not in state.pkeys or len(state.pkeys) != len(self.pkeys):
            raise BadDocument("/pkeys", "key 0 is always allocated, and no key is listed twice")
        if self.exec_key not in state.pkeys:
            raise BadDocument("/exec_key", "the execute-only key is not among the allocated keys")
        self._fill_pages(state)
        self._fill_objects(state)
        used = [whole(n) for vma in vmas for n in (vma.object, vma.anon_vma)]
        state.next_id = max([FIRST_FRESH, *used, *(doc.object for doc in self.objects)])
        return state

    def _fill_pages(self, state: State) -> None:
        for i, doc in enumerate(self.pages):
            at = f"/pages/{i}"
            if doc.page in state.pages:
                raise BadDocument(at, f"page {doc.page:#x} is listed twice")
            holders = [(n, vma) for n, vma in enumerate(state.vmas) if between(vma.start, doc.page, vma.end)]
            if not holders:
                raise BadDocument(at, f"page {doc.page:#x} is not mapped")
            number, vma = holders[0]
            page = Page(doc.copied, doc.own, doc.lazy, doc.guard)
            if not well_formed_page(True, vma, page):
                raise BadDocument(
                    at,
                    f"page {doc.page:#x} cannot hold this in {vma_name(number, vma)}: contents of its own (copied) need"
                    " a private VMA with an anon_vma; own and lazy need copied; lazy needs memory without vm_ops;"
                    " a guard page holds nothing",
                )
            if page != Page():
                state.pages[doc.page] = page

    def _fill_objects(self, state: State) -> None:
        for i, doc in enumerate(self.objects):
            at = f"/objects/{i}"
            if any(doc.object == other.object for other in self.objects[:i]):
                raise BadDocument(at, f"object {doc.object} is listed twice")
            if doc.pages is not None:
                state.sizes[doc.object] = doc.pages
            for j, content in enumerate(doc.contents):
                if (doc.object, content.offset) in state.objects:
                    raise BadDocument(f"{at}/contents/{j}", f"page {content.offset} of the object is listed twice")
                if doc.pages is not None and content.offset >= doc.pages:
                    raise BadDocument(
                        f"{at}/contents/{j}", f"page {content.offset} is beyond the object's {doc.pages} pages"
                    )
                state.objects[doc.object, content.offset] = content.value


# scenarios ----------------------------------------------------------------------------------------------------------

FAILURES: Final[Mapping[str, tuple[str, ...]]] = {
    "brk": ("brk: memory or a limit on it runs out",),
    "mlock": ("mlock: RLIMIT_MEMLOCK has no room",),
    "mmap": (
        "mmap: RLIMIT_AS has no room",
        "mmap: RLIMIT_AS or the accounting has no room",
        "mmap: memory for the new VMA runs out",
    ),
    "mremap": (
        "mremap: RLIMIT_AS has no room for both copies",
        "mremap: RLIMIT_MEMLOCK has no room",
        "mremap: RLIMIT_AS has no room",
        "mremap: memory to grow in place runs out",
        "mremap: memory for the copy runs out",
    ),
}
"""What the environment may do to each call: the names of its may_fail checks (spec/syscalls; a test compares)."""


def check_failures(call: str, failures: Iterable[str]) -> None:
    """Raises ValueError unless each is a failure that the environment may cause in this call."""
    known = FAILURES.get(call, ())
    for name in failures:
        if name not in known:
            hint = near(name, known) if known else "the environment makes none of its checks fail"
            raise ValueError(f"{call} has no environment failure {name!r}; {hint}")


class StepBase(Document):
    """What all steps may carry: environment failures, and what a kernel answered."""

    failures: tuple[str, ...] = Field(default=(), description="checks that the environment makes fail")
    ret: str | None = Field(default=None, description="result: pN, elsewhere, pages of the break, or a number")
    errno: Annotated[Int, Field(ge=0, le=4095)] | None = None
    vmas: tuple[str, ...] | None = Field(default=None, description="lines of smaps, as in the kernel runs")
    bytes: Annotated[str, Field(pattern=r"^([0-9a-f]{2}|\.\.|\?\?)*$")] | None = Field(
        default=None, description="first byte of each page of the window"
    )

    @model_validator(mode="after")
    def _known_failures(self) -> Self:
        check_failures(getattr(self, "call"), self.failures)
        return self


class MmapStep(StepBase):
    """mmap(2). fd 100 is the object of 48 pages, 101 the same opened read-only, 102 /dev/zero, -1 none."""

    call: Literal["mmap"]
    addr: Address
    len: Word
    prot: Word
    flags: Word
    fd: Annotated[Int, Field(ge=-1, lt=1 << 31)] = -1
    off: Word = 0


class RangeStep(StepBase):
    """Calls that take nothing but a range of bytes."""

    call: Literal["munmap", "mlock", "munlock"]
    addr: Address
    len: Word


class MprotectStep(StepBase):
    """mprotect(2)."""

    call: Literal["mprotect"]
    addr: Address
    len: Word
    prot: Word


class PkeyMprotectStep(StepBase):
    """pkey_mprotect(2); pkey -1 keeps the key."""

    call: Literal["pkey_mprotect"]
    addr: Address
    len: Word
    prot: Word
    pkey: Annotated[Int, Field(ge=-1, lt=WORD)]


class MremapStep(StepBase):
    """mremap(2)."""

    call: Literal["mremap"]
    addr: Address
    old_len: Word
    new_len: Word
    flags: Word
    new_addr: Address = 0


class MadviseStep(StepBase):
    """madvise(2)."""

    call: Literal["madvise"]
    addr: Address
    len: Word
    behavior: Word


class MsealStep(StepBase):
    """mseal(2), and the variant for 32-bit processes."""

    call: Literal["mseal", "mseal32"]
    addr: Address
    len: Word
    flags: Word = 0


class PlaceStep(StepBase):
    """brk(2), or the kernel reclaiming the page of an address."""

    call: Literal["brk", "reclaim"]
    addr: Address


class PlainStep(StepBase):
    """pkey_alloc(2) with all rights, or fork(2): the rest happens in the child."""

    call: Literal["pkey_alloc", "fork"]


class WriteStep(StepBase):
    """The program stores a byte: the page then holds that value."""

    call: Literal["write"]
    addr: Address
    byte: Annotated[Int, Field(ge=0, le=255)]


class PkruStep(StepBase):
    """The thread writes its PKRU register."""

    call: Literal["pkru"]
    bits: Annotated[Int, Field(ge=0, lt=1 << 32)]


class VdsoStep(StepBase):
    """The program moves its vdso, a special mapping that refuses to be split, to a free place."""

    call: Literal["vdso"]
    addr: Address
    pages: Annotated[Int, Field(ge=0, le=16)] = Field(default=2, description="its length; 0: the process has none")


class FillStep(StepBase):
    """Mappings are made elsewhere until map_count is `free` below its limit; -1 is one above it."""

    call: Literal["fill"]
    free: Annotated[Int, Field(ge=-1, lt=1 << 63)]


class FileStep(StepBase):
    """A new file (a memfd) is opened: `fd` for reading and writing, `fd` + 1 for reading only."""

    call: Literal["file"]
    fd: Annotated[Int, Field(ge=110, le=198, multiple_of=2)]
    pages: Annotated[Int, Field(ge=0, lt=1 << 51)] = Field(description="its size")
    contents: Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$", max_length=512)] = Field(
        default="", description="first byte of each of its pages, two hexadecimal digits each; left out: zero"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.contents) > 2 * self.pages:
            raise ValueError(f"contents of {len(self.contents) // 2} pages, but the file has {self.pages}")
        return self


AnyStep: TypeAlias = (
    MmapStep | RangeStep | MprotectStep | PkeyMprotectStep | MremapStep | MadviseStep | MsealStep | PlaceStep
    | PlainStep | WriteStep | PkruStep | VdsoStep | FillStep | FileStep
)  # fmt: skip
Step: TypeAlias = Annotated[AnyStep, Field(discriminator="call")]
_STEPS: Final[dict[str, type[StepBase]]] = {
    name: model for model in get_args(AnyStep) for name in get_args(model.model_fields["call"].annotation)
}
"""The model of each call's step."""


class Kernel(Document):
    """The machine below the edition."""

    pkeys: StrictBool = Field(default=True, description="the processor has protection keys")
    memory_failure: StrictBool = Field(default=True, description="CONFIG_MEMORY_FAILURE: MADV_HWPOISON is known")


class Scenario(Document):
    """A series of calls, maybe with the answers that a kernel gave: the format of tests/kernel_runs."""

    name: str
    edition: EditionName | None = None
    layout: LayoutDoc | None = Field(default=None, description="where it starts; left out: an empty address space")
    kernel: Kernel = Kernel()
    steps: tuple[Step, ...]


# runs ---------------------------------------------------------------------------------------------------------------

ErrnoName: TypeAlias = Annotated[str, Field(json_schema_extra={"enum": [e.name for e in Errno]})]


class StepResult(Document):
    """What the concrete reading answered to one step, in the terms of the kernel runs."""

    call: str
    ret: str = Field(
        description='"pN": page N of the window; "elsewhere"; for brk, pages from brk+0; otherwise a number'
    )
    errno: int = Field(description="0 on success, and for brk, which refuses without one")
    errno_name: ErrnoName = Field(description='"OK" on success')
    value: int = Field(
        description="what the specification returns: a page number where the call returns an address; -1: refused"
    )
    check: str = Field(description='the check that decided; "" if the call ran to its end')
    vmas: tuple[str, ...] = Field(
        description="lines for the heap (brk…), the window, and the rest (@…: absolute page numbers)"
    )
    bytes: str = Field(description="first byte of each page of the window; .. unmapped, ?? not readable")
    contents: tuple[str, ...] = Field(
        description='pages outside the window that do not read zero: "0x10=41", "0x10=??"'
    )
    map_count: int


class RunResult(Document):
    """A scenario as the concrete reading of an edition executes it."""

    format: Literal["mseal-spec/run/1"] = "mseal-spec/run/1"
    name: str
    edition: str
    steps: tuple[StepResult, ...]


class Difference(Document):
    """One field of one step in which an expected answer and a given one differ."""

    step: int = Field(description="index of the step, from 0")
    call: str
    field: str = Field(description="ret, errno, vmas or bytes; steps: one side lacks this step")
    expected: Any
    got: Any

    def __str__(self) -> str:
        return f"step {self.step} ({self.call}), {self.field}: expected {self.expected!r}, got {self.got!r}"


# counterexamples ----------------------------------------------------------------------------------------------------


class ResultDoc(Document):
    """How a call ended."""

    value: Int = Field(description="what it returned; a page number where it returns an address; -1: refused")
    errno: ErrnoName
    check: str = Field(description='the check that decided; "" if the call ran to its end')

    @field_validator("errno")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in Errno.__members__:
            raise ValueError(f"unknown errno {name!r}; {near(name, Errno.__members__)}")
        return name


class CounterexampleStep(Document):
    """One call of a counterexample, as raw 64-bit words."""

    call: str
    words: dict[str, Word] = Field(description="each argument by its name in spec.syscalls.CALLS")
    failures: tuple[str, ...] = ()
    range: tuple[PageNumber, PageNumber] | None = Field(
        default=None, description="pages that the call is about: first, and behind the last"
    )
    result: ResultDoc
    after: LayoutDoc

    @field_validator("call")
    @classmethod
    def _known_call(cls, name: str) -> str:
        if name not in CALLS:
            raise ValueError(f"unknown call {name!r}; {near(name, CALLS)}")
        return name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        names = CALLS[self.call].words
        if set(names) != set(self.words):
            raise ValueError(
                f"{self.call} takes the words {', '.join(names) or '(none)'}; not {', '.join(self.words) or '(none)'}"
            )
        check_failures(self.call, self.failures)
        return self


class Culprit(Document):
    """The page that breaks the property, and how."""

    page: PageNumber | None
    why: str


class Size(Document):
    """How large a counterexample is."""

    vmas: Count
    pages: Count
    calls: Count


class Counterexample(Document):
    """How a property fails: an address space, the calls, and what becomes of it."""

    format: Literal["mseal-spec/counterexample/1"] = "mseal-spec/counterexample/1"
    property: str = Field(description="name of the property")
    sentence: str = Field(description="the property in one sentence")
    edition: EditionName
    call: str = Field(description="the call that breaks it")
    expected: str = Field(description="the verdict that was expected")
    assumptions: tuple[str, ...] = ()
    before: LayoutDoc
    steps: Annotated[tuple[CounterexampleStep, ...], Field(min_length=1)]
    culprit: Culprit
    size: Size

    @model_validator(mode="after")
    def _in_edition(self) -> Self:
        for step in self.steps:
            if not EDITIONS[self.edition].has(step.call):
                raise ValueError(f"edition {self.edition} says nothing of {step.call}")
        return self


# reading and writing ------------------------------------------------------------------------------------------------

AnyDocument: TypeAlias = Scenario | Counterexample


def parse_document(data: object) -> AnyDocument:
    """A scenario or, if it has the key "format", a counterexample. Raises BadDocument, also for a layout that no
    kernel could have."""
    if not isinstance(data, dict):
        raise BadDocument("", "the document is not a JSON object")
    document: AnyDocument
    try:
        document = Counterexample.model_validate(data) if "format" in data else Scenario.model_validate(data)
    except ValidationError as error:
        raise _explained(error, data) from None
    start = document.layout if isinstance(document, Scenario) else document.before
    if start is not None:
        try:
            start.to_state()
        except BadDocument as bad:
            raise BadDocument(
                ("/layout" if isinstance(document, Scenario) else "/before") + bad.pointer, bad.reason
            ) from None
    return document


def load_document(path: str | os.PathLike[str]) -> list[AnyDocument]:
    """The documents of a file: one JSON object, or JSON lines (one object a line, blank lines between them), either
    of them possibly xz-compressed (`.xz`). Raises BadDocument for whatever is wrong, a file that cannot be read too.
    """
    name = os.fspath(path)
    try:
        with lzma.open(name, "rb") if name.endswith(".xz") else open(name, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BadDocument("", f"larger than {MAX_BYTES} bytes", name)
        text = raw.decode("utf-8-sig")
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise BadDocument("", f"cannot be read: {getattr(error, 'strerror', None) or error}", name) from None
    except UnicodeDecodeError as error:
        raise BadDocument("", f"not UTF-8 text (byte {error.start})", name) from None
    if not text.strip():
        raise BadDocument("", "the file is empty", name)
    if not _is_lines(name, text):
        return [_parse_text(text, name)]
    return [_parse_text(line, f"{name}:{n}") for n, line in enumerate(text.split("\n"), 1) if line.strip()]


def _is_lines(name: str, text: str) -> bool:
    """JSON lines: named so, or the first line is JSON by itself."""
    if name.removesuffix(".xz").endswith((".jsonl", ".ndjson")):
        return True
    try:
        json.loads(text.strip().split("\n", 1)[0])
    except (ValueError, RecursionError):
        return False
    return True


def _parse_text(text: str, source: str) -> AnyDocument:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read = dict(pairs)
        if len(read) != len(pairs):
            keys = [key for key, _ in pairs]
            raise BadDocument("", f"the key {next(k for k in keys if keys.count(k) > 1)!r} appears twice in one object")
        return read

    def no_constant(constant: str) -> object:
        raise BadDocument("", f"{constant} is not JSON")

    try:
        return parse_document(json.loads(text, object_pairs_hook=distinct, parse_constant=no_constant))
    except BadDocument as bad:
        raise BadDocument(bad.pointer, bad.reason, source) from None
    except json.JSONDecodeError as error:
        one_line = error.lineno == 1 and "\n" not in text.strip()
        where = f"column {error.colno}" if one_line else f"line {error.lineno} column {error.colno}"
        raise BadDocument("", f"not JSON: {error.msg} at {where}", source) from None
    except RecursionError:
        raise BadDocument("", "not a document: nested too deeply", source) from None
    except ValueError:  # Python refuses to read integers of thousands of digits
        raise BadDocument("", "a number has too many digits", source) from None


def _explained(error: ValidationError, data: object) -> BadDocument:
    """The first thing that is wrong, as a pointer and one line."""
    errors = error.errors(include_url=False)
    first = errors[0]
    pointer, holder = _pointer(first["loc"], data, first["type"] == "missing")
    kind, given, context = first["type"], first.get("input"), first.get("ctx", {})
    key = pointer.rpartition("/")[2]
    if kind == "missing":
        reason = f"the key {key!r} is missing"
    elif kind == "extra_forbidden":
        step = _STEPS.get(str(holder.get("call"))) if isinstance(holder, dict) else None
        reason = f"unknown key {key!r}" + (
            f"; {near(key, step.model_fields)}" if step and pointer.startswith("/steps/") else ""
        )
    elif kind == "union_tag_invalid":
        pointer += "/call"
        reason = f"unknown call {context['tag']!r}; {near(context['tag'], _STEPS)}"
    elif kind == "union_tag_not_found":
        reason = "a step is an object with the key 'call'"
    elif kind == "value_error":
        reason = str(context["error"])
    else:
        shown = repr(given)
        reason = f"{first['msg']}, not {shown if len(shown) <= 60 else shown[:57] + '...'}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return BadDocument(pointer, reason + more)


def _pointer(loc: Sequence[int | str], data: object, missing: bool) -> tuple[str, object]:
    """pydantic's location as a JSON pointer, and the object or array that holds the place. Elements that are not in
    the data (names of union members) are left out, but for the missing key itself."""
    pointer, now, holder = "", data, data
    for i, element in enumerate(loc):
        inside = isinstance(now, dict) and element in now
        inside = inside or (isinstance(now, list | tuple) and isinstance(element, int) and element < len(now))
        if inside or (missing and i == len(loc) - 1):
            pointer += "/" + str(element).replace("~", "~0").replace("/", "~1")
            holder = now
            now = now[element] if inside else None  # type: ignore[index]
    return pointer, holder


def dump_document(document: Document) -> str:
    """The document as indented JSON with every key, ending in a newline."""
    return json.dumps(document.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def write_text_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Write a file (UTF-8) so that a reader sees the old text or the new one, never a part. Raises OSError; then the
    old file is as it was and nothing is left beside it."""
    target = Path(path)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    number, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(number)
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0o077)  # there is no way to read it without setting it
    os.umask(mask)
    return mask


def schemas() -> dict[str, str]:
    """The JSON schemas by file name (in docs/schema), the same text every time."""
    models: dict[str, type[Document]] = {"scenario": Scenario, "counterexample": Counterexample, "run": RunResult}
    texts = {}
    for name, model in models.items():
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        schema |= TypeAdapter(model).json_schema(mode="serialization" if model is RunResult else "validation")
        texts[f"{name}.json"] = json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return texts


def write_schemas(folder: str | os.PathLike[str] = "docs/schema") -> None:
    """Write the schemas into a folder, which is made if need be. Raises OSError."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        write_text_atomically(Path(folder) / name, text)
