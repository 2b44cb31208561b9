# SPDX-License-Identifier: MIT
"""Processes that do not outlive the one that started them: programs, and workers that each carry out one item of work.

A program (QEMU, a compiler, the oracle) is killed by the kernel when its parent ends, however that ends. A worker is
forked from a server that has only imported what workers need, and ends itself when the process that gave it work does.
Signals that end a command are for that process alone: workers never see them, and are killed by it.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import IO, Any, Final, Generic, TypeVar

from checker import temporary
from checker.signals import ENDING, held

T = TypeVar("T")
S = TypeVar("S")

PR_SET_PDEATHSIG: Final = 1
PARENT: Final = "MSEAL_SPEC_PARENT"
"""The environment variable by which the server knows whose child it is."""
MAX_FOLDER: Final = 50
"""The name of a socket has at most 107 bytes; this many are left for the folder for temporary files."""
SHORT_FOLDERS: Final = ("/tmp", "/var/tmp", "/dev/shm")
"""Where sockets go if that has a longer name."""
_libc = ctypes.CDLL(None)
_sockets: Path | None = None
"""The folder of the server's socket."""

# programs -------------------------------------------------------------------------------------------------------------


@contextmanager
def program(
    command: Sequence[str],
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    cwd: str | os.PathLike[str] | None = None,
    env: dict[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    gently: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in a process group of its own, so that a Ctrl-C in the terminal is not for it. At the end the
    group is killed, and if this process is killed, the program is. `gently`: by SIGTERM, for a program that must tidy
    up. Raises OSError if it cannot be started."""
    ends_by = signal.SIGTERM if gently else signal.SIGKILL
    parent = os.getpid()

    def begin() -> None:  # in the child
        _libc.prctl(PR_SET_PDEATHSIG, ends_by, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        if os.getppid() != parent:
            os._exit(1)

    process: subprocess.Popen[bytes] | None = None
    try:
        with held():
            process = subprocess.Popen(
                command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=env, pass_fds=pass_fds,
                process_group=0, preexec_fn=begin,
            )  # fmt: skip
        yield process
    finally:
        if process is not None:
            with held():
                _end(process, ends_by)


def _end(process: subprocess.Popen[bytes], by: signal.Signals) -> None:
    for number in (by, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
            break
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a program."""

    status: int
    """Its exit status; minus the number of the signal that killed it."""
    out: str
    err: str

    @property
    def killed(self) -> bool:
        """It was killed by a signal, or (as gcc tells) a program that it ran was."""
        return self.status < 0 or "Killed signal terminated" in self.err


def run_program(
    command: Sequence[str],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: dict[str, str] | None = None,
    seconds: float | None = None,
    show_errors: bool = False,
    gently: bool = False,
) -> Finished:
    """Run a program to its end. Raises TimeoutError after `seconds`, and OSError if it cannot be started."""
    stderr = None if show_errors else subprocess.PIPE
    with program(command, stderr=stderr, cwd=cwd, env=env, gently=gently) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        return Finished(process.returncode, out.decode("utf-8", "replace"), (err or b"").decode("utf-8", "replace"))


# workers --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker ended."""

    lost: str = ""
    """How it was lost; empty if it did all its work."""


@dataclass(slots=True)
class _Running(Generic[T]):
    item: T
    process: ForkServerProcess
    end: Connection


class Workers(Generic[T, S]):
    """Carries out items of work, `jobs` at a time, each in a process of its own.

    `work(item, tell)` runs there. What it passes to `tell` comes out of `wait`; `tell` returns False once `stop` was
    called. An exception that it raises is raised by `wait`. Must be used as a context manager: at its end, whatever the
    reason, no worker is left.
    """

    def __init__(self, work: Callable[[T, Callable[[S], bool]], None], jobs: int, preload: Sequence[str]) -> None:
        """`preload`: modules that the server imports once for all workers."""
        self._work, self._jobs = work, jobs
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(["checker.dies_with_parent", *preload])
        self._running: list[_Running[T]] = []
        self._unstarted: list[tuple[T, Ended]] = []

    def __enter__(self) -> Workers[T, S]:
        return self

    def __exit__(self, *exception: object) -> None:
        with held():
            for one in self._running:
                # it may not be started yet, or be gone with the server that would have known
                with suppress(ProcessLookupError, AttributeError):
                    one.process.kill()
            for one in self._running:  # nobody waits: the server sees to those that it has not even forked yet
                self._close(one, 0)
            self._running.clear()

    @property
    def free(self) -> int:
        """How many more items can be started now."""
        return self._jobs - len(self._running)

    @property
    def busy(self) -> bool:
        """Something is still to come."""
        return bool(self._running or self._unstarted)

    def start(self, item: T) -> None:
        """Start a worker."""
        with held():
            # the server and all workers inherit that these signals are blocked
            before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that a helper of multiprocessing was killed: it starts another
                    os.environ[PARENT] = str(os.getpid())
                    with _folder_for_sockets():
                        ensure_running()
            finally:
                os.environ.pop(PARENT, None)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        here, there = self._context.Pipe()
        one = _Running(item, self._context.Process(target=_run, args=(self._work, item, there)), here)
        self._running.append(one)
        failed: list[str] = []
        # the server answers when it has imported what it must: a signal need not wait for that
        starter = threading.Thread(target=_start, args=(one.process, failed), daemon=True)
        starter.start()
        while starter.is_alive():
            starter.join(0.1)
        there.close()
        if failed:
            self._running.remove(one)
            here.close()
            self._unstarted.append((item, Ended(f"could not be started: {failed[0]}")))

    def stop(self) -> None:
        """Ask the workers to end soon."""
        for one in self._running:
            with suppress(OSError):
                one.end.send(None)

    def wait(self, seconds: float | None = None) -> Iterator[tuple[T, S | Ended]]:
        """What the workers told meanwhile, or that they ended; nothing if nothing comes for `seconds`."""
        if self._unstarted:  # perhaps nothing else is there to wait for
            unstarted, self._unstarted = self._unstarted, []
            yield from unstarted
            return
        ready = connection.wait([one.end for one in self._running], seconds)
        for one in [one for one in self._running if one.end in ready]:
            kind, value = _received(one.end)
            if kind == "said":
                yield one.item, value
                continue
            with held():
                self._running.remove(one)
                ended = Ended() if kind == "done" else Ended(value or _how_it_ended(one.process))
                self._close(one)
            if kind == "raised":
                raise value
            yield one.item, ended

    @staticmethod
    def _close(one: _Running[T], seconds: float = 1) -> None:
        one.end.close()
        if one.process.pid is None:
            return
        one.process.join(seconds)
        with suppress(ValueError):  # it still runs; without its ends of the pipes it will not for long
            one.process.close()


@contextmanager
def _folder_for_sockets() -> Iterator[None]:
    """Have multiprocessing make its folder in one that is swept if this process is killed."""
    global _sockets
    before = tempfile.tempdir
    for where in (tempfile.gettempdir(), *SHORT_FOLDERS) if _sockets is None else ():
        if _sockets is None and len(where) < MAX_FOLDER:
            with suppress(OSError):
                _sockets = temporary.make_folder(where)
    if _sockets is not None:
        tempfile.tempdir = os.fspath(_sockets)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _start(process: ForkServerProcess, failed: list[str]) -> None:
    try:
        process.start()
    except (OSError, EOFError) as error:
        failed.append(str(error) or type(error).__name__)


def _received(end: Connection) -> tuple[str, Any]:
    try:
        kind, value = end.recv()
    except (EOFError, OSError):
        return "lost", None
    return kind, value


def _how_it_ended(process: ForkServerProcess) -> str:
    process.join(1)
    code = process.exitcode
    if code is not None and code < 0:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    return "ended without an answer" if code is None else f"ended with exit status {code} and no answer"


def _run(work: Callable[[T, Callable[[S], bool]], None], item: T, end: Connection) -> None:
    """Carry out an item, in the worker."""
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(something: S) -> bool:
        end.send(("said", something))
        return not end.poll()

    try:
        work(item, tell)
    except BrokenPipeError:  # nobody listens any more
        os._exit(1)
    except MemoryError:
        end.send(("lost", "out of memory"))
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # not every one can be sent
            end.send(("raised", RuntimeError(f"{type(error).__name__}: {error}")))
        else:
            end.send(("raised", error))
    else:
        end.send(("done", None))
    end.close()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
