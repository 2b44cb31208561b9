# SPDX-License-Identifier: MIT
"""Counterexamples as documents: how a property fails."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from checker.documents.base import Count, Document, EditionName, Int, PageNumber, Word, near, shown
from checker.documents.layouts import LayoutDoc
from checker.documents.scenarios import ErrnoName, check_failures
from checker.version import WrittenBy
from spec.editions import EDITIONS
from spec.errors import Errno
from spec.syscalls import CALLS


class ResultDoc(Document):
    """How a call ended."""

    value: Int = Field(description="what it returned; a page number where it returns an address; -1: refused")
    errno: ErrnoName
    check: str = Field(description='the check that decided; "" if the call ran to its end')

    @field_validator("errno")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in Errno.__members__:
            raise ValueError(f"unknown errno {shown(name)}; {near(name, Errno.__members__)}")
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
            raise ValueError(f"unknown call {shown(name)}; {near(name, CALLS)}")
        return name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        names = CALLS[self.call].words
        if set(names) != set(self.words):
            raise ValueError(
                f"{self.call} takes the words {', '.join(names) or '(none)'}; not {shown(', '.join(self.words))}"
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
    tool: WrittenBy = None
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

    @field_validator("expected")
    @classmethod
    def _in_words_of_today(cls, expected: str) -> str:
        """Documents that older versions wrote have other words."""
        return {"holds": "proved", "broken": "refuted"}.get(expected, expected)

    @model_validator(mode="after")
    def _in_edition(self) -> Self:
        for step in self.steps:
            if not EDITIONS[self.edition].has(step.call):
                raise ValueError(f"edition {self.edition} says nothing of {step.call}")
        return self
