# SPDX-License-Identifier: MIT
"""Layouts as documents: VMAs, pages, objects, counters and keys of an address space. Positions are page numbers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self, TypeAlias, get_args

from pydantic import (
    Field,
    StrictBool,
    field_validator,
    model_validator,
)

from checker.concrete import PKRU_AT_START, State
from checker.documents.base import FIRST_FRESH, HEAP_PAGE, BadDocument, Count, Document, Int, Key, PageNumber
from spec.layout import numbered_problems, vma_name
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

Flag: TypeAlias = Literal[
    "account", "dontdump", "dontfork", "droppable", "growsdown", "hugepage", "inherited", "locked", "mergeable",
    "nohugepage", "noreserve", "opened_read_only", "random", "sealed", "sequential", "sync", "wipeonfork",
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
    pages: Annotated[Int, Field(ge=0, le=1 << 64)] | None = Field(
        default=None, description="its size in pages; null: it has no end"
    )
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
