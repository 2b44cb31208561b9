# SPDX-License-Identifier: MIT
"""Another solver, any that reads SMT-LIB: it decides goals from their files, each in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from checker.answers import TIME
from checker.processes import program, run_program

MODULE: Final = "cvc5"
"""The solver that may be there as a Python module instead of a program."""
OPTIONS: Final = {"cvc5": ("--lang", "smt2"), "z3": ("-smt2",)}
"""What a program must be told to read SMT-LIB, by its name."""
STRATEGIES: Final = {
    "cvc5": (
        ("--decision=stoponly",),
        ("--arith-prop=none",),
        ("--simplification=none", "--decision=justification"),
        (),
    )
}
"""Ways to decide a goal, one after the other until there is an answer: now and then one of them takes minutes for a
goal of 60 facts that another decides in a tenth of a second."""
SHARE: Final = 0.1
"""Of the time for a goal, for each way but the last."""
MIXED: Final = {"cvc5": ("--solve-bv-as-int=sum",), "z3": ("sat.smt=true", "smt.bv.solver=2")}
"""The same for a goal that mixes words and integers: words are to be reasoned about as integers."""
EXAMPLES: Final = ("cvc5", "z3", "yices-smt2")
PAUSE: Final = 0.002
"""Seconds between looks at what is running."""
MOST_OUTPUT: Final = 10_000
"""Bytes of a solver's output that are read: more is no answer."""


class NoSolver(Exception):
    """There is no solver of this name: one line says so."""


@dataclass(frozen=True, slots=True)
class Solver:
    """A solver on this machine."""

    name: str
    command: tuple[str, ...]
    """What a file is decided with; its name comes last."""
    mixed: tuple[str, ...]
    """What comes before that for a goal that mixes words and integers."""
    version: str
    """What it says of itself, in a line."""
    strategies: tuple[tuple[str, ...], ...] = ((),)
    """Options of the ways to decide a goal."""

    def deciding(self, file: Path, way: int = 0) -> tuple[str, ...]:
        """The command that decides a goal in one of the ways. Raises OSError if it cannot be read."""
        mixes = "(set-logic ALL)" in file.read_text(encoding="utf-8", errors="replace")
        return (*self.command, *(self.mixed if mixes else ()), *self.strategies[way], str(file))

    def seconds(self, way: int, seconds: float) -> float:
        """Of the time for a goal, that for one way."""
        return seconds if way == len(self.strategies) - 1 else seconds * SHARE


@dataclass(frozen=True, slots=True)
class Answer:
    """What a solver says of a goal."""

    said: Literal["unsat", "sat", "unknown"]
    """`unknown` also where it said nothing that is an answer; `why` says more."""
    why: str = ""


def find_solver(name: str) -> Solver:
    """The solver of this name, on PATH or, for cvc5, its Python module. Raises NoSolver."""
    found = shutil.which(name)
    if found is not None:
        base, program_file = Path(name).name, os.path.abspath(found)
        command = (program_file, *OPTIONS.get(base, ()))
        version = _version((program_file, "--version")) or name
        return Solver(name, command, MIXED.get(base, ()), version, STRATEGIES.get(base, ((),)))
    if name == MODULE and importlib.util.find_spec(MODULE) is not None:
        command = (sys.executable, "-P", str(Path(__file__).with_name("cvc5_module.py")))
        return Solver(name, command, MIXED[MODULE], _version((*command, "--version")) or name, STRATEGIES[MODULE])
    missing = f", and the Python module {MODULE} is not installed (pip install {MODULE})" if name == MODULE else ""
    raise NoSolver(f"no solver {name!r}: there is no such program on PATH{missing}; {', '.join(EXAMPLES)} would do")


def _version(command: tuple[str, ...]) -> str:
    try:
        finished = run_program(command, seconds=20)
    except (OSError, TimeoutError):
        return ""
    lines = [line for line in finished.out.splitlines() if line.strip()]
    return lines[0].strip()[:100] if lines and finished.status == 0 else ""


@dataclass(slots=True)
class _Running:
    key: str
    path: Path
    way: int
    stack: ExitStack
    process: subprocess.Popen[bytes]
    until: float


def decide(
    solver: Solver, files: Iterable[tuple[str, Path]], seconds: float, jobs: int
) -> Iterator[tuple[str, Answer]]:
    """What the solver says of each file (by a key), in the order in which it says so.

    `seconds` is for each of them (for each way but the last, SHARE of that), `jobs` how many are decided at a time.
    What is left when this ends early is killed.
    """
    waiting = ((key, path, 0) for key, path in files)
    again: list[tuple[str, Path, int]] = []
    running: list[_Running] = []
    with ExitStack() as all_of_them:
        done = False
        while running or again or not done:
            while (again or not done) and len(running) < max(jobs, 1):
                one = again.pop() if again else next(waiting, None)
                if one is None:
                    done = True
                    break
                key, path, way = one
                stack = all_of_them.enter_context(ExitStack())
                try:
                    process = stack.enter_context(program(solver.deciding(path, way)))
                except OSError as error:
                    yield key, Answer("unknown", f"cannot be run: {error.strerror or error}")
                    continue
                until = time.monotonic() + solver.seconds(way, seconds)
                running.append(_Running(key, path, way, stack, process, until))
            ended = [item for item in running if item.process.poll() is not None or time.monotonic() > item.until]
            for item in ended:
                running.remove(item)
                answer = _answer(item.process)
                item.stack.close()
                if answer.said == "unknown" and item.way + 1 < len(solver.strategies):
                    again.append((item.key, item.path, item.way + 1))
                else:
                    yield item.key, answer
            if not ended and running:
                time.sleep(PAUSE)


def _answer(process: subprocess.Popen[bytes]) -> Answer:
    """What came of a process: its answer, and nothing else, on standard output, and exit status 0."""
    status = process.poll()
    if status is None:
        return Answer("unknown", TIME)
    said = _read(process.stdout)
    if status < 0:
        return Answer("unknown", f"it was killed by {signal.Signals(-status).name}")
    if said == "unknown":
        return Answer("unknown", "it says unknown")
    if status != 0 or said not in ("sat", "unsat"):
        complaint = said or _read(process.stderr)
        first = complaint.splitlines()[0][:100] if complaint else "nothing"
        return Answer("unknown", f"no answer, exit status {status}: {first!r}")
    return Answer("sat" if said == "sat" else "unsat")


def _read(stream: IO[bytes] | None) -> str:
    """What a process that has ended wrote, as far as it fits into a pipe: a child of its own may still hold the end."""
    assert stream is not None
    os.set_blocking(stream.fileno(), False)
    try:
        return os.read(stream.fileno(), MOST_OUTPUT).decode("utf-8", "replace").strip()
    except BlockingIOError:
        return ""
