"""Tasks: what one process is given to decide at once, and carrying many of them out, in several processes if asked."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from multiprocessing import get_context
from typing import NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter

R = TypeVar("R", bound=BaseModel)


class Task(NamedTuple):
    """Questions that are decided together, for they share the exploration of a call."""

    kind: str
    """`theorem`, `property`, `advice`, `lemma`, `mutant`, `matrix` or `diff`."""
    name: str
    """A call, or a lemma."""
    edition: str
    properties: tuple[str, ...] | None
    """Names of properties; of a diff, the other edition; None where the kind of task says what is asked."""
    timeout_ms: int
    """For one query of the solver."""


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
    *,
    jobs: int = 0,
    cache: Cache | None = None,
) -> Iterator[tuple[Task, R, bool]]:
    """Each result with its task, and whether it came from the cache; in the order in which they come. A task is kept in
    the cache only if all its results are `decided`.

    `jobs`: processes at a time, a new one for each task, so that the examples that the solver finds do not depend on
    what it was asked before; 0: all in this process, and they may.
    """
    left: list[Task] = []
    for task in tasks:
        known = None if cache is None else cache.load(task, results)
        if known is None:
            left.append(task)
        for result in known or ():
            yield task, result, True

    def keep(task: Task, found: list[R]) -> None:
        if cache is not None and all(decided(result) for result in found):
            cache.store(task, found)

    if not jobs:
        for task in left:
            found: list[R] = []
            for result in work(task):
                found.append(result)
                yield task, result, False
            keep(task, found)
        return
    yield from _in_processes(left, work, keep, jobs)


def _in_processes(
    tasks: Sequence[Task], work: Callable[[Task], Iterator[R]], keep: Callable[[Task, list[R]], None], jobs: int
) -> Iterator[tuple[Task, R, bool]]:
    # processes are forked from one that has only imported what they need: cheap, and alike for every task
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    running: set[ProcessPoolExecutor] = set()
    stopped = False

    def alone(task: Task) -> list[R]:
        # a Ctrl-C in the terminal reaches every process: only the first one answers it
        ignore = signal.SIGINT, signal.SIG_IGN
        with ProcessPoolExecutor(1, mp_context=context, initializer=signal.signal, initargs=ignore) as process:
            running.add(process)
            try:
                answer = process.submit(_all_of, work, task)
                if stopped:  # meanwhile, so that nobody else ends it
                    _end(process)
                return answer.result()
            finally:
                running.discard(process)

    with ThreadPoolExecutor(jobs) as waiters:
        of: dict[Future[list[R]], Task] = {waiters.submit(alone, task): task for task in tasks}
        waiting = set(of)
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    keep(of[future], future.result())
                    for result in future.result():
                        yield of[future], result, False
        except BaseException:
            stopped = True
            waiters.shutdown(wait=False, cancel_futures=True)
            for process in tuple(running):
                _end(process)
            raise


def _end(pool: ProcessPoolExecutor) -> None:
    for process in tuple((pool._processes or {}).values()):
        process.terminate()


def _all_of(work: Callable[[Task], Iterator[R]], task: Task) -> list[R]:
    # z3 gives the numbers of freed terms to new ones, and its models depend on them: so the collector, whose turns
    # depend on how many objects there are, shall see none but the task's
    gc.collect()
    gc.freeze()
    return list(work(task))
