# SPDX-License-Identifier: MIT
"""Tasks: what one process is given to decide at once, and carrying many of them out, in several processes if asked."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter

from checker.processes import Ended, Workers

R = TypeVar("R", bound=BaseModel)


class Task(NamedTuple):
    """Questions that are decided together, for they share the exploration of a call."""

    kind: str
    """`theorem`, `property`, `advice`, `lemma`, `goals`, `lemma goals`, `why`,
    `mutant`, `matrix` or `diff`."""
    name: str
    """A call, or a lemma."""
    edition: str
    properties: tuple[str, ...] | None
    """Names of properties; of a diff, the other edition; None where the kind of task says what is asked."""
    timeout_ms: int
    """For one query of the solver."""


_KINDS = {
    "theorem": "theorems and outcomes of",
    "property": "theorems of",
    "advice": "blocked advice of",
    "lemma": "lemma",
    "goals": "goals of",
    "lemma goals": "goals of lemma",
    "why": "reasons for theorems of",
    "mutant": "mutants of",
    "matrix": "matrix of",
    "diff": "comparison of",
    "trace": "traces to refutations of",
    "failure-trace": "traces to failures of",
}


def words_of_task(task: Task) -> str:
    """Return what the task is about, for people: `mutants of mremap (v10)`."""
    return f"{_KINDS[task.kind]} {task.name} ({task.edition})"


PRELOADED = ["proofs.run", "proofs.matrix", "proofs.diff", "proofs.traces"]
"""Modules that any task may need."""


class Cache(Protocol):
    """What keeps results from one run to the next (proofs.cache.VerdictCache)."""

    def load(self, task: Task, results: TypeAdapter[list[R]]) -> list[R] | None: ...

    def store(self, task: Task, results: Sequence[BaseModel]) -> None: ...


def carry_out_tasks(
    tasks: Sequence[Task],
    work: Callable[[Task], Iterator[R]],
    results: TypeAdapter[list[R]],
    decided: Callable[[R], bool],
    lost: Callable[[Task, Sequence[R], str], Iterable[R]],
    *,
    jobs: int = 0,
    cache: Cache | None = None,
) -> Iterator[tuple[Task, R, bool]]:
    """Each result with its task, and whether it came from the cache; in the order in which they come. A task is kept in
    the cache only if all its results are `decided`.

    `jobs`: processes at a time, a new one for each task, so that the examples that the solver finds do not depend on
    what it was asked before; 0: all in this process, and they may. Where a process is lost (it was killed, for want of
    memory perhaps), `lost` makes results for what its task still owed, given what came of it before, and why.
    """
    left: list[Task] = []
    for task in tasks:
        known = None if cache is None else cache.load(task, results)
        if known is None:
            left.append(task)
        for result in known or ():
            yield task, result, True
    found: dict[Task, list[R]] = {task: [] for task in left}
    with closing(_in_processes(left, work, jobs) if jobs else _here(left, work)) as run:
        for task, told in run:
            if not isinstance(told, Ended):
                found[task].append(told)
                yield task, told, False
            elif told.lost:
                for result in lost(task, found[task], f"the process of this task was lost: {told.lost}"):
                    yield task, result, False
            elif cache is not None and all(decided(result) for result in found[task]):
                cache.store(task, found[task])


def _here(tasks: Sequence[Task], work: Callable[[Task], Iterator[R]]) -> Generator[tuple[Task, R | Ended], None, None]:
    for task in tasks:
        for result in work(task):
            yield task, result
        yield task, Ended()


def _in_processes(
    tasks: Sequence[Task], work: Callable[[Task], Iterator[R]], jobs: int
) -> Generator[tuple[Task, R | Ended], None, None]:
    waiting = list(reversed(tasks))
    with Workers[Task, R](partial(_tell_all, work), jobs, PRELOADED) as workers:
        while waiting or workers.busy:
            while waiting and workers.free:
                workers.start(waiting.pop())
            yield from workers.wait()


def _tell_all(work: Callable[[Task], Iterator[R]], task: Task, tell: Callable[[R], bool]) -> None:
    # z3 gives the numbers of freed terms to new ones, and its models depend on them: so the collector, whose turns
    # depend on how many objects there are, shall see none but the task's
    gc.collect()
    gc.freeze()
    for result in work(task):
        tell(result)
