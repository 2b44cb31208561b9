"""Stand-in until checker/documents.py is there."""

from __future__ import annotations

from pydantic import BaseModel, Field


class VmaDoc(BaseModel):
    start: int
    end: int
    prot: str
    may: str = "rwx"
    share: str = "private"
    backing: str = "anon"
    object: int = 0
    offset: int = 0
    anon_vma: int = 0
    pkey: int = 0
    flags: list[str] = Field(default_factory=list)


class PageDoc(BaseModel):
    page: int
    copied: bool = False
    own: int = 0
    lazy: bool = False
    guard: bool = False


class ContentDoc(BaseModel):
    offset: int
    value: int


class ObjectDoc(BaseModel):
    object: int
    pages: int = 0
    contents: list[ContentDoc] = Field(default_factory=list)


class LayoutDoc(BaseModel):
    vmas: list[VmaDoc] = Field(default_factory=list)
    pages: list[PageDoc] = Field(default_factory=list)
    objects: list[ObjectDoc] = Field(default_factory=list)
    elsewhere: int = 0
    max_map_count: int = 65530


class ResultDoc(BaseModel):
    value: int
    errno: str
    check: str = ""


class StepDoc(BaseModel):
    call: str
    words: dict[str, int]
    failures: list[str] = Field(default_factory=list)
    range: tuple[int, int] | None = None
    result: ResultDoc
    after: LayoutDoc


class CulpritDoc(BaseModel):
    page: int | None
    why: str


class SizeDoc(BaseModel):
    vmas: int
    pages: int
    calls: int


class Counterexample(BaseModel):
    format: str = "mseal-spec/counterexample/1"
    property: str
    sentence: str
    edition: str
    call: str
    expected: str = ""
    assumptions: list[str] = Field(default_factory=list)
    before: LayoutDoc
    steps: list[StepDoc]
    culprit: CulpritDoc
    size: SizeDoc
