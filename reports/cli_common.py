# SPDX-License-Identifier: MIT
"""What the commands share: exit codes, errors of one line, and the consoles."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NoReturn

from rich.console import Console
from rich.text import Text

from checker.text import printable as printable

if TYPE_CHECKING:
    from proofs.cache import VerdictCache
    from proofs.results import Problem
    from spec.editions import Edition

PLAIN_WIDTH = 120
"""Columns of what is written to something that is not a terminal."""
LEAST_WIDTH = 20
LONGEST_NAME = 80
"""Characters of a name that is none, as an error shows it."""
DEFAULT_EDITION = "v10"


class ExitCode(IntEnum):
    """How the command ends."""

    OK = 0
    DIFFERS = 1
    """A verdict or an answer is not the expected one, or there is none (unknown, timeout)."""
    USAGE = 2
    """Wrong usage, a document that is not what it must be, or an output that cannot be written."""
    INTERRUPTED = 130
    NO_READER = 141
    """Whoever read the output has gone: the exit code of a program that SIGPIPE ends."""


class BadUsage(Exception):
    """What the user asked for does not exist or cannot be done: one line, exit code 2."""


def console(*, error: bool = False) -> Console:
    """A console on standard output (or standard error) that prints text as it is: no markup, no highlighting."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    if (given := os.environ.get("COLUMNS", "")).isdecimal():
        width = max(int(given), LEAST_WIDTH)
    return Console(stderr=error, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def line(out: Console, text: str | Text = "", style: str = "") -> None:
    """Print one line, which is neither wrapped nor cut."""
    out.print(text if isinstance(text, Text) else Text(text), style=style, soft_wrap=True)


def unknown(kind: str, name: str, known: Iterable[str]) -> NoReturn:
    """Raises BadUsage: no `kind` has this name, but these are near."""
    names = list(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
    shown = printable(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}...")
    raise BadUsage(f"unknown {kind} {shown!r}; {hint}")


def edition_named(name: str) -> Edition:
    """The edition of this name, or the one that a kernel of this version behaves as, which is then said on standard
    error. Raises BadUsage for an unknown name, and for a version of which no edition is known."""
    from spec.editions import EDITIONS
    from spec.kernels import UnknownKernel, row_of

    if name in EDITIONS:
        return EDITIONS[name]
    try:
        row = row_of(name)
    except UnknownKernel as error:
        raise BadUsage(str(error)) from None
    if row is None:
        unknown("edition", name, EDITIONS)
    line(console(error=True), f"kernel {name}: edition {row.edition} ({row.versions}; {row.evidence})")
    return EDITIONS[row.edition]


def check_runs_here(edition: str, document: str = "") -> None:
    """Raises BadUsage for an edition that is not Linux: no kernel that the lab knows can be asked about it. `document`
    is where the edition was read."""
    from spec.editions import EDITIONS, System

    found = EDITIONS.get(edition)
    if found is not None and found.system is not System.LINUX:
        where = f"{printable(document)}: " if document else ""
        raise BadUsage(
            f"{where}edition {edition} is {found.system.title}, not Linux: it cannot be tried on a Linux kernel"
        )


def check_call(name: str) -> str:
    """The name of a call, as it is. Raises BadUsage for an unknown one."""
    from spec.excluded import excluded
    from spec.syscalls import CALLS

    if name not in CALLS:
        if told := excluded(name):
            raise BadUsage(told)
        unknown("call", name, CALLS)
    return name


def check_call_of(edition: Edition, name: str) -> str:
    """The name of a call of the edition, as it is. Raises BadUsage for one that does not exist or is left out."""
    check_call(name)
    if not edition.has(name):
        from checker.scenario import says_nothing_of

        raise BadUsage(says_nothing_of(edition, name))
    return name


def check_property(name: str) -> str:
    """The name of a property, as it is. Raises BadUsage for an unknown one."""
    from spec.properties import PROPERTIES

    if name not in PROPERTIES:
        unknown("property", name, PROPERTIES)
    return name


def check_promised(edition: Edition, name: str) -> None:
    """Raises BadUsage if an edition is not held to the property: documents of another system promise it."""
    from spec.properties import PROPERTIES

    if edition.system not in PROPERTIES[name].promised_by:
        by = " and ".join(system.title for system in PROPERTIES[name].promised_by)
        raise BadUsage(f"{name} is promised by {by}, and {edition.name} is not that: choose another --edition")


def verdict_cache(wanted: bool) -> VerdictCache | None:
    """The user's cache of verdicts, if it is wanted and not switched off; what is wrong with it is said on standard
    error, once."""
    if not wanted:
        return None
    from proofs.cache import open_cache

    return open_cache(lambda text: line(console(error=True), f"sealspec: {printable(text)}", "yellow"))


EDITION: Final = "An edition is what a kernel does: sealspec list editions says which kernel is which."
"""The gloss of a word that no user can know."""


def print_problems(out: Console, problems: Iterable[Problem]) -> None:
    """What has no result, and why."""
    for problem in problems:
        line(out, f"{problem.verdict}: {problem.task}: {problem.why}", "bold red")


def known_before(number: int) -> str:
    """What a summary says of results from the cache; empty if there are none."""
    return f", {number} of them decided in an earlier run (--no-cache decides anew)" if number else ""
