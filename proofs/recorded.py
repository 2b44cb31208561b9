# SPDX-License-Identifier: MIT
"""Recorded cases: what earlier runs had to search for, executed and judged anew by each run.

A case is an address space and a call on it, and what it shows of which editions: that a property is broken there, or
says something; that a call can end so; that a property breaks where a check is left out. Nothing that is recorded is
believed: a case that does not show what it is said to show is passed over, and what it was to show is searched for.
Without the file all verdicts are the same, and take longer.

`sealspec record` writes the file (proofs/record.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final, Self

from pydantic import ValidationError

from checker.answers import GaveUp
from checker.calls import words_for
from checker.claims import decoded
from checker.documents.base import BadDocument, Document, Word
from checker.documents.layouts import LayoutDoc
from checker.examples import Example
from spec.editions import Edition
from spec.syscalls import CALLS

FILE: Final = "cases.jsonl"


def breaks(property: str) -> str:
    """It breaks the property."""
    return f"breaks {property}"


def says(property: str) -> str:
    """The hypotheses of the property hold in it, so that the property says something."""
    return f"says {property}"


def ends(errno: str, check: str) -> str:
    """The call ends so."""
    return f"ends {errno}: {check or 'runs to its end'}"


def kills(check: str) -> str:
    """It breaks a property where the check is left out."""
    return f"kills {check}"


class Case(Document):
    """A case, as a line of the file."""

    call: str
    words: dict[str, Word]
    failures: tuple[str, ...] = ()
    before: LayoutDoc
    shows: tuple[str, ...]
    """`v10 breaks never-grown`: an edition, and what the case shows of it."""

    @classmethod
    def of(cls, example: Example, edition: Edition) -> Self | None:
        """The case of an example, which shows nothing yet; None if no words ask for that call, or no document can say
        the address space."""
        try:
            words = words_for(example.call, edition, example.arguments)
            before = LayoutDoc.from_state(example.state)
        except (GaveUp, ValueError):
            return None
        if words is None:
            return None
        failures = tuple(sorted(example.failures))
        return cls(call=example.call, words=dict(words), failures=failures, before=before, shows=())

    def example(self, edition: Edition) -> Example | None:
        """The case as the concrete reading executes it; None if the call ends in its argument stage."""
        arguments = decoded(edition, self.call, [self.words[name] for name in CALLS[self.call].words])
        if arguments is None:
            return None
        return Example(self.before.to_state(), self.call, arguments, frozenset(self.failures))

    @property
    def key(self) -> str:
        """The hash of the case, less what it shows."""
        return sha256(self.model_copy(update={"shows": ()}).line.encode("utf-8")).hexdigest()

    @property
    def line(self) -> str:
        """The line of the file."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


def text() -> str:
    """The file as it is; empty if there is none."""
    found = files("proofs") / FILE
    return found.read_text("utf-8") if found.is_file() else ""


@lru_cache(maxsize=1)
def _lines() -> Mapping[str, list[dict[str, Any]]]:
    """The lines of each call."""
    found: dict[str, list[dict[str, Any]]] = {}
    for number, line in enumerate(text().splitlines(), 1):
        try:
            case = json.loads(line)
            if not all(isinstance(shown, str) for shown in case["shows"]):
                raise ValueError("what it shows is no list of words")
            found.setdefault(case["call"], []).append(case)
        except (ValueError, KeyError, TypeError) as error:
            raise BadDocument("", f"this is no recorded case: {error}", f"{FILE} line {number}") from error
    return found


class Cases:
    """What is recorded of one call, for one edition. What other editions show comes after what this one shows."""

    def __init__(self, call: str, edition: Edition) -> None:
        self.edition = edition
        self.used = 0
        """How many questions a recorded case has answered."""
        self.searched: list[str] = []
        """What had to be searched for."""
        self._by_purpose: dict[str, list[tuple[bool, dict[str, Any]]]] = {}
        for line in _lines().get(call, ()):
            for shown in line["shows"]:
                name, _, purpose = shown.partition(" ")
                self._by_purpose.setdefault(purpose, []).append((name == edition.name, line))
        self._examples: dict[int, Example | None] = {}

    def that(self, purpose: str) -> Iterator[Example]:
        """The cases that are said to show this, each once."""
        seen = set()
        for _, line in sorted(self._by_purpose.get(purpose, ()), key=lambda given: not given[0]):
            key = id(line)
            if key not in seen:
                seen.add(key)
                if key not in self._examples:
                    self._examples[key] = self._read(line)
                example = self._examples[key]
                if example is not None:
                    yield example

    def _read(self, line: dict[str, Any]) -> Example | None:
        try:
            return Case.model_validate(line).example(self.edition)
        except (ValidationError, BadDocument, KeyError) as error:
            what = str(error).splitlines()[0]
            raise BadDocument("", f"a recorded case of {line['call']} cannot be read: {what}", FILE) from error

    def answered(self, question: str, *, by_case: bool) -> None:
        """Count a question: a recorded case has answered it, or it was searched for."""
        if by_case:
            self.used += 1
        else:
            self.searched.append(question)
