# SPDX-License-Identifier: MIT
"""`sealspec reproduce`: a document as a standalone program, and what this machine's kernel says to it."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

from checker.processes import run_program
from checker.temporary import temporary_folder
from checker.version import signature
from reports.cli_common import (
    DEFAULT_EDITION,
    BadUsage,
    ExitCode,
    check_runs_here,
    console,
    line,
    printable,
)
from reports.outputs import Outputs

if TYPE_CHECKING:
    from checker.documents.files import AnyDocument
    from checker.documents.scenarios import Scenario
    from reports.reproduce import Script

COMPILE = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2")
"""What every program in C must compile with."""
SECONDS = 120.0
"""How long a program may run here."""
SKIPPED = 4
"""Exit status of a program that could not try (kselftest's convention)."""


def reproduce(document: str, number: int, form: str, to: str | None, check: bool) -> ExitCode:
    """Write the program of a document, or with `check` compile it and run it here; `number` counts from 1.

    Raises BadDocument or BadUsage, also where no such program can be.
    """
    from reports.reproduce import FORMATS, CannotSay, to_c, to_syz

    if form not in FORMATS:
        raise BadUsage(f"--format {printable(form)!r}: a program is {', '.join(FORMATS)}")
    if check and form == "syz":
        raise BadUsage("--check compiles C; a syz program is run by syzkaller's syz-execprog")
    files = Outputs({"--to": "-" if to is None and not check else to}, inputs=[document])
    given = _document(document, number)
    check_runs_here(given.edition or DEFAULT_EDITION, document)
    try:
        script = _script(given, printable(document), _command(document, number, form))
        if script is None:
            return ExitCode.DIFFERS
        text = to_syz(script) if form == "syz" else to_c(script, ktap=form == "kselftest")
    except CannotSay as why:
        raise BadUsage(f"{printable(document)}: cannot be reproduced: {why}") from None
    files.write("--to", text)
    return _check(text, quiet=files.standard) if check else ExitCode.OK


def _document(path: str, number: int) -> AnyDocument:
    from checker.documents.files import load_document

    documents = load_document("/dev/stdin" if path == "-" else path)
    if not 1 <= number <= len(documents):
        many = "1 document" if len(documents) == 1 else f"{len(documents)} documents"
        raise BadUsage(f"--number {number}: {printable(path)} holds {many}")
    return documents[number - 1]


def _command(document: str, number: int, form: str) -> str:
    """The command that makes the program, without the folders of this machine."""
    which = f" --number {number}" if number != 1 else ""
    return f"sealspec reproduce {printable(os.path.basename(document))}{which} --format {form} ({signature()})"


def _script(document: AnyDocument, name: str, command: str) -> Script | None:
    """What the program is to do; None, after saying so, if the document is not what its edition does. Raises CannotSay
    where no calls lead there."""
    from checker.documents.counterexamples import Counterexample

    if not isinstance(document, Counterexample):
        return _script_of_scenario(document, command)
    from reports.cli_run import confirmed
    from reports.reproduce import script_for

    example = confirmed(document, name)
    return script_for(example, command) if example is not None else None


def _script_of_scenario(scenario: Scenario, command: str) -> Script | None:
    from reports.cli_run import answers_agree
    from reports.reproduce import CannotSay, Script
    from spec.editions import EDITIONS

    if scenario.layout is not None:
        raise CannotSay("a scenario that begins in the middle (layout); give its calls from the start")
    if not scenario.steps:
        raise CannotSay("the scenario has no steps")
    edition = scenario.edition or DEFAULT_EDITION
    if not answers_agree(scenario, EDITIONS[edition]):
        return None
    about = (f"{printable(scenario.name)}.", f"What is expected is what {edition} does ({EDITIONS[edition].kernel}).")
    return Script(scenario, edition, about, command)


def _check(text: str, *, quiet: bool) -> ExitCode:
    """Compile a program, run it on this kernel, and say what came. Raises BadUsage where that is not possible."""
    out = console(error=quiet)
    compiler = shutil.which("gcc")
    if compiler is None:
        raise BadUsage("--check: no gcc: install it (Debian: apt-get install gcc libc6-dev)")
    with temporary_folder() as folder:
        source, program = folder / "reproducer.c", folder / "reproducer"
        source.write_text(text, "utf-8")
        command = [compiler, *COMPILE, "-o", str(program), str(source)]
        done = run_program(command, env={**os.environ, "TMPDIR": str(folder)})
        if done.killed:
            raise BadUsage("--check: gcc was killed before it had compiled the program; try again")
        if done.status != 0:
            raise BadUsage(f"--check: gcc does not compile the program: {_first_line(done.err)}")
        try:
            ran = run_program([str(program)], seconds=SECONDS, show_errors=True)
        except TimeoutError:
            raise BadUsage(f"--check: the program did not end within {SECONDS:.0f} s") from None
    for said in ran.out.splitlines():
        line(out, "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in said))
    kernel = f"this kernel ({printable(os.uname().release)})"
    match ran.status:
        case 0:
            line(out, f"exit status 0: {kernel} does what the document says", "green")
            return ExitCode.OK
        case 1:
            line(out, f"exit status 1: {kernel} does something else", "bold red")
        case status if status == SKIPPED:
            line(out, f"exit status {status}: it cannot be tried on {kernel}", "yellow")
        case status if status < 0:
            line(out, f"the program was killed by {signal.Signals(-status).name} on {kernel}", "bold red")
        case status:
            line(out, f"exit status {status}: the program did not reach its end on {kernel}", "bold red")
    return ExitCode.DIFFERS


def _first_line(text: str) -> str:
    lines = [said for said in text.splitlines() if "error" in said] or text.splitlines() or ["it said nothing"]
    return printable(lines[0])
