# SPDX-License-Identifier: MIT
"""The two things that are compared: a call as the specification has it, and as C has it, each over any space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import z3

from checker.source.errors import Fault, NotCovered
from checker.source.machine import Machine
from checker.source.source import Source
from checker.source.subjects import Free, Subject
from checker.source.values import Addr, Word
from spec.errors import Errno
from spec.terms import Num


@dataclass(frozen=True, slots=True)
class Ended:
    """How one side ends on a path."""

    value: Any
    """What it returns: a number (an error is negative), a term of one, or an Addr; None where it went wrong."""
    check: str = ""
    """The check that decided, or what went wrong."""
    killed: bool = False

    @property
    def faulted(self) -> bool:
        """It went wrong: what no kernel survives."""
        return self.value is None

    @property
    def text(self) -> str:
        """In words: success, an errno by its name, or what went wrong."""
        if self.faulted:
            return f"goes wrong: {self.check}"
        return named(self.value)


class Side(Protocol):
    """One of them."""

    @property
    def name(self) -> str: ...

    def run(self, space: Any, subject: Subject, arguments: Any, free: Free) -> Ended: ...


def named(value: Any) -> str:
    """A result in words."""
    if isinstance(value, int) and -4096 < value < 0:
        return Errno(-value).name if -value in set(Errno) else f"error {-value}"
    return "success" if isinstance(value, Addr) or (isinstance(value, int) and value == 0) else str(value)[:60]


def number_of(value: Any) -> Any:
    """What C returns as a number, or a term of one; an address as it is."""
    if isinstance(value, Word):
        wide = value.to(64, True) if not isinstance(value.term, z3.ArithRef) else value
        return wide.number if wide.known else wide.term
    return int(value) if isinstance(value, bool) else value


@dataclass(frozen=True, slots=True)
class SpecSide:
    """The specification."""

    name: str

    def run(self, space: Any, subject: Subject, arguments: Any, free: Free) -> Ended:
        errno, check, value = subject.spec(space, arguments)
        if errno is not Errno.OK:
            return Ended(-int(errno), check)
        given: Num = value
        return Ended(given, check)


@dataclass(frozen=True, slots=True)
class CSide:
    """C, as it is read from a source."""

    name: str
    source: Source
    note: Callable[[Machine], None] = lambda machine: None
    """Told of each machine when it has ended."""
    machine: Callable[[Source, Any, Any], Machine] = Machine

    def run(self, space: Any, subject: Subject, arguments: Any, free: Free) -> Ended:
        machine = self.machine(self.source, space, space)
        given = subject.given(arguments, free)
        if not subject.whole:
            machine.lock = "write"
        try:
            if subject.whole:
                result = machine.enter(subject.entry, given)
            else:
                result = subject.as_result(machine.call(subject.entry, given, None))
        except Fault as fault:
            return Ended(None, str(fault), machine.killed)
        except NotCovered as error:
            raise error.of(self.name) from None
        finally:
            self.note(machine)
        return Ended(number_of(result), "", machine.killed)
