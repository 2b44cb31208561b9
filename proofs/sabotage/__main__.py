# SPDX-License-Identifier: MIT
"""Make every error of the catalogue, each in a copy of the source, and see that its guard turns red.

    python -m proofs.sabotage [--only TEXT] [--room NAME] [--jobs N] [--sample K [--seed S]] [--json FILE]

prints a table: the error, its guard, and `red`, or `GREEN` (the error lives), `timeout`, `error` (the guard could not
look). First each guard is run on the source as it is, where it must be green. Exit status 0: every error is seen; 1:
one lives, or a guard is red without any error; 2: wrong usage, or an entry is stale; 130 and so on: interrupted.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from pydantic import BaseModel, ValidationError

from checker.output import write_text
from checker.processes import program
from checker.revision import revision
from checker.signals import caught, exit_code
from proofs.sabotage.catalogue import ROOT, BadCatalogue, Sabotage, problems, read
from proofs.sabotage.guards import GUARD, Guard, Judgement

COPIED = ("spec", "checker", "proofs", "tests", "pyproject.toml")
LINKED = ("reports", "docs", "README.md", "CHANGELOG.md", "Makefile", "constraints.txt")
"""What no error is made in, and tests may read."""


class Outcome(BaseModel):
    """What came of one run of a guard."""

    room: str
    """Empty for the source as it is."""
    error: str
    guard: str
    verdict: str
    """`red`, `green`, `timeout`, or `error`."""
    why: str
    seconds: float

    @property
    def is_fine(self) -> bool:
        """An error is seen, or the source as it is is green."""
        return self.verdict == ("red" if self.room else "green")


@dataclass(slots=True)
class _Running:
    entry: Sabotage | None
    guard: Guard
    begun: float
    process: Popen[bytes]
    resources: ExitStack


class Runs:
    """Runs of guards, some at a time, each in a process and a copy of the source of its own. Must be used as a context
    manager: at its end, whatever the reason, no process and no copy is left."""

    def __init__(self, jobs: int, seconds: float) -> None:
        self._jobs, self._seconds = jobs, seconds
        self._running: list[_Running] = []

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *exception: object) -> None:
        for one in self._running:
            one.resources.close()
        self._running.clear()

    def carry_out(self, work: Sequence[tuple[Sabotage | None, Guard]]) -> Iterator[Outcome]:
        """Run each guard on the source with its error, in that order; None: on the source as it is."""
        waiting = list(reversed(work))
        while waiting or self._running:
            while waiting and len(self._running) < self._jobs:
                self._running.append(self._start(*waiting.pop()))
            time.sleep(0.02)
            for one in list(self._running):
                late = time.monotonic() - one.begun > self._seconds
                if one.process.poll() is not None or late:
                    outcome = self._ended(one, late)
                    self._running.remove(one)
                    one.resources.close()
                    yield outcome

    @staticmethod
    def _start(entry: Sabotage | None, guard: Guard) -> _Running:
        with ExitStack() as resources:
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="sabotage-")))
            copy_source(folder)
            if entry is not None:
                target = folder / entry.file
                target.write_text(entry.applied(target.read_text("utf-8")), "utf-8")
                for stale in target.parent.glob(f"__pycache__/{target.stem}.*.pyc"):
                    stale.unlink()
            environment = {**os.environ, "PYTHONPATH": str(folder), "TMPDIR": str(folder)}
            command = [sys.executable, "-m", "proofs.sabotage.guards", GUARD.dump_json(guard).decode()]
            process = resources.enter_context(program(command, cwd=folder, env=environment))
            return _Running(entry, guard, time.monotonic(), process, resources.pop_all())

    @staticmethod
    def _ended(one: _Running, late: bool) -> Outcome:
        if late:
            verdict, why = "timeout", ""
        else:
            out, err = (stream.read().decode("utf-8", "replace") if stream else "" for stream in
                        (one.process.stdout, one.process.stderr))  # fmt: skip
            try:
                told = Judgement.model_validate_json(out.strip().rpartition("\n")[2])
            except ValidationError:
                told = Judgement(error=(err.strip().rpartition("\n")[2] or f"exit status {one.process.returncode}"))
            verdict = "error" if told.error else "red" if told.red else "green"
            why = told.error or told.red
        return Outcome(
            room=one.entry.room if one.entry else "",
            error=one.entry.error if one.entry else "the source as it is",
            guard=str(one.guard),
            verdict=verdict,
            why=" ".join(why.split()),
            seconds=round(time.monotonic() - one.begun, 1),
        )


def copy_source(folder: Path) -> None:
    """Copy what is imported to the folder, byte code too, so that only what is changed is compiled again."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            kept = shutil.ignore_patterns("kernel_runs", "golden")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=kept)
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, folder / name)
    for name in (*LINKED, "tests/kernel_runs", "tests/golden"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)


def sample(entries: Sequence[Sabotage], count: int, seed: str) -> list[Sabotage]:
    """Some of the entries whose guards are quick: the same ones for the same seed."""
    quick = [entry for entry in entries if not entry.slow]
    drawn = random.Random(seed).sample(range(len(quick)), min(count, len(quick)))
    return [quick[i] for i in sorted(drawn)]


def lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The table: one line an error."""
    wide = max((len(o.error) for o in outcomes), default=0)
    room = None
    for outcome in outcomes:
        if outcome.room != room:
            room = outcome.room
            yield room or "guards on the source as it is"
        shown = "GREEN" if outcome.verdict == "green" and outcome.room else outcome.verdict
        why = f": {outcome.why[:160]}" if outcome.verdict == "error" or not outcome.is_fine else ""
        yield f"  {outcome.error:<{min(wide, 70)}}  {shown:<7}  {outcome.guard}{why}"


def _run(chosen: Sequence[Sabotage], jobs: int, seconds: float, outcomes: list[Outcome]) -> None:
    guards = list(dict.fromkeys(entry.guard for entry in chosen))
    work: list[tuple[Sabotage | None, Guard]] = [(None, guard) for guard in guards]
    work += [(entry, entry.guard) for entry in chosen]
    with Runs(jobs, seconds) as runs:
        for outcome in runs.carry_out(work):
            outcomes.append(outcome)
            said = f"[{len(outcomes)}/{len(work)}] {outcome.verdict:<7} {outcome.seconds:6.1f}s  {outcome.error}"
            print(f"{said} <- {outcome.guard}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command; the docstring of the module is its help."""
    parser = argparse.ArgumentParser(prog="python -m proofs.sabotage", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="TEXT", help="only errors with this text in their words, file or guard")
    parser.add_argument("--room", help="only errors of this room")
    parser.add_argument(
        "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: %(default)s)"
    )
    parser.add_argument("--sample", type=int, metavar="K", help="that many errors whose guards are quick")
    parser.add_argument("--seed", help="which ones (default: the revision)")
    parser.add_argument("--seconds", type=float, default=180, help="for one guard (default: %(default)g)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all outcomes")
    options = parser.parse_args(arguments)
    if options.jobs < 1 or options.seconds <= 0 or (options.sample is not None and options.sample < 1):
        parser.error("--jobs, --seconds and --sample are above 0")
    try:
        entries = read()
    except BadCatalogue as wrong:
        print(f"sabotage: {wrong}", file=sys.stderr)
        return 2
    rooms = list(dict.fromkeys(entry.room for entry in entries))
    if options.room is not None and options.room not in rooms:
        parser.error(f"unknown room {options.room!r}; known: {', '.join(rooms)}")
    chosen = [entry for entry in entries if options.room in (None, entry.room)]
    if options.only is not None:
        chosen = [
            e for e in chosen if options.only in e.error or options.only in e.file or options.only in str(e.guard)
        ]
    if options.sample is not None:
        chosen = sample(chosen, options.sample, options.seed or revision())
    os.chdir(ROOT)  # where guards look for tests
    stale = list(problems(chosen))
    if stale or not chosen:
        print(*(stale or ["sabotage: no entry is chosen"]), sep="\n", file=sys.stderr)
        return 2
    outcomes: list[Outcome] = []
    with caught():
        try:
            _run(chosen, options.jobs, options.seconds, outcomes)
        except KeyboardInterrupt:
            print("sabotage: interrupted", file=sys.stderr)
    places = {(entry.room, entry.error): i for i, entry in enumerate(entries)}
    made = sorted((o for o in outcomes if o.room), key=lambda o: places[o.room, o.error])
    print(*lines([*(o for o in outcomes if not o.room and not o.is_fine), *made]), sep="\n")
    amiss = [o for o in outcomes if not o.is_fine]
    red, plain = sum(o.verdict == "red" for o in made), len(outcomes) - len(made)
    not_green = sum(not o.room for o in amiss)
    print(f"{len(made)} errors, {red} red; {plain} guards on the source as it is, {not_green} not green")
    if options.json is not None:
        write_text(options.json, "[\n" + ",\n".join(o.model_dump_json() for o in outcomes) + "\n]\n")
    if len(outcomes) < len(chosen) + len({entry.guard for entry in chosen}):
        return exit_code()
    return int(bool(amiss))


if __name__ == "__main__":
    sys.exit(main())
