# SPDX-License-Identifier: MIT
"""Scenarios as documents: a series of calls with their arguments in bytes, and what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal, Self, TypeAlias, get_args

from pydantic import (
    Field,
    StrictBool,
    model_validator,
)

from checker.documents.answers import BreakRet, Bytes, ErrnoNumber, PlacedRet, Ret, Vmas
from checker.documents.base import Address, Document, EditionName, Int, Word, near, shown
from checker.documents.layouts import LayoutDoc
from checker.naming import errno_name
from checker.version import WrittenBy
from spec.errors import Errno
from spec.words import PAGE_SIZE, WORD

FAILURES: Final[Mapping[str, tuple[str, ...]]] = {
    "brk": ("brk: memory or a limit on it runs out",),
    "mlock": ("mlock: RLIMIT_MEMLOCK has no room",),
    "mmap": (
        "mmap: RLIMIT_AS has no room",
        "mmap: RLIMIT_AS or the accounting has no room",
        "mmap: memory for the new VMA runs out",
        "mmap: RLIMIT_MEMLOCK has no room",
        "mmap: no huge pages are free",
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
            raise ValueError(f"{call} has no environment failure {shown(name)}; {hint}")


class StepBase(Document):
    """What all steps may carry: environment failures, and what a kernel answered."""

    failures: tuple[str, ...] = Field(default=(), description="checks that the environment makes fail")
    ret: Ret | None = Field(default=None, description="result")
    errno: ErrnoNumber | None = None
    vmas: Vmas | None = Field(default=None, description="lines of smaps, as in the kernel runs")
    bytes: Bytes | None = Field(default=None, description="first byte of each page of the window")

    @model_validator(mode="after")
    def _known_failures(self) -> Self:
        check_failures(getattr(self, "call"), self.failures)
        return self


PLACED: Final = Field(default=None, description="result: page N of the window, the brk+ address asked for, or another")


class MmapStep(StepBase):
    """mmap(2). fd 100 is the object of 48 pages, 101 the same opened read-only, 102 /dev/zero, -1 none."""

    call: Literal["mmap"]
    ret: PlacedRet | None = PLACED
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
    """pkey_mprotect(2); pkey -1 keeps the key. The kernel sees the low 32 bits as a signed number."""

    call: Literal["pkey_mprotect"]
    addr: Address
    len: Word
    prot: Word
    pkey: Annotated[Int, Field(ge=-(1 << 63), lt=WORD)]


class MremapStep(StepBase):
    """mremap(2)."""

    call: Literal["mremap"]
    ret: PlacedRet | None = PLACED
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
    ret: BreakRet | None = Field(default=None, description="result; of brk, pages from the start of the heap")
    addr: Address


class PkeyAllocStep(StepBase):
    """pkey_alloc(2); rights: 1 denies the calling thread all access through the key, 2 denies writes."""

    call: Literal["pkey_alloc"]
    flags: Word = 0
    rights: Word = 0


class ForkStep(StepBase):
    """fork(2): the rest happens in the child."""

    call: Literal["fork"]


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
    | PkeyAllocStep | ForkStep | WriteStep | PkruStep | VdsoStep | FillStep | FileStep
)  # fmt: skip
Step: TypeAlias = Annotated[AnyStep, Field(discriminator="call")]
STEPS: Final[dict[str, type[StepBase]]] = {
    name: model for model in get_args(AnyStep) for name in get_args(model.model_fields["call"].annotation)
}
"""The model of each call's step."""


class Kernel(Document):
    """The machine below the edition."""

    pkeys: StrictBool = Field(default=True, description="the processor has protection keys")
    memory_failure: StrictBool | None = Field(
        default=None,
        description="CONFIG_MEMORY_FAILURE: MADV_HWPOISON is known; null: not said, and refused if asked for",
    )
    transparent_huge_pages: StrictBool = Field(
        default=True, description="CONFIG_TRANSPARENT_HUGEPAGE: MAP_STACK is a mark, MADV_HUGEPAGE is known"
    )
    same_page_merging: StrictBool = Field(default=True, description="CONFIG_KSM: MADV_MERGEABLE is known")
    huge_pages: StrictBool = Field(
        default=False, description="huge pages are free, as many as are wanted; false: none is (vm.nr_hugepages is 0)"
    )
    sealed_system_mappings: StrictBool = Field(
        default=False, description="CONFIG_MSEAL_SYSTEM_MAPPINGS: the vdso is sealed, and a `vdso` step refused"
    )
    mmap_min_addr: Annotated[Int, Field(ge=0, lt=1 << 32, multiple_of=PAGE_SIZE)] | None = Field(
        default=None,
        description="vm.mmap_min_addr, 0 for a process with CAP_SYS_RAWIO; null: not said: what hangs on it is refused",
    )


class Scenario(Document):
    """A series of calls, maybe with the answers that a kernel gave: the format of tests/kernel_runs."""

    name: str
    edition: EditionName | None = None
    layout: LayoutDoc | None = Field(default=None, description="where it starts; left out: an empty address space")
    kernel: Kernel = Kernel()
    tool: WrittenBy = None
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
    tool: WrittenBy = None
    name: str
    edition: str
    steps: tuple[StepResult, ...]


Value: TypeAlias = int | str | tuple[str, ...] | None
"""An answer of a step, or how many steps there are."""


class Difference(Document):
    """One field of one step in which an expected answer and a given one differ."""

    step: int = Field(description="index of the step, from 0")
    call: str
    field: str = Field(description="ret, errno, vmas or bytes; steps: one side lacks this step")
    expected: Value
    got: Value

    def __str__(self) -> str:
        wanted, came = ("; ".join(side) or "nothing" for side in self.sides)
        return f"step {self.step} ({self.call}), {self.field}: expected {wanted}, got {came}"

    @property
    def sides(self) -> tuple[list[str], list[str]]:
        """What was expected and what was given, as one reads them: lines of VMAs, an errno by its name."""
        return self._lines(self.expected), self._lines(self.got)

    def _lines(self, value: object) -> list[str]:
        if self.field == "errno" and isinstance(value, int):
            return [errno_name(value)]
        return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]
