# SPDX-License-Identifier: MIT
"""Commands in sessions of their own, for tests of what a signal leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True)
class Process:
    """A process of a session."""

    pid: int
    parent: int
    words: tuple[str, ...]

    @property
    def is_server(self) -> bool:
        """It is what workers are forked from, or a worker."""
        return any("multiprocessing.forkserver" in word for word in self.words)


def _sane() -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


class Session:
    """A command under way."""

    def __init__(self, arguments: Sequence[str], env: dict[str, str] | None = None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(env or {})}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reports", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
            preexec_fn=_sane,
        )
        self.pid = self.process.pid

    def members(self) -> list[Process]:
        """Every process of the session that has not ended."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                state, parent, _, session = (path / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.pid and state not in "ZX":
                    words = (path / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                    found.append(Process(int(path.name), int(parent), tuple(words)))
        return found

    def workers(self) -> list[Process]:
        """The processes that carry out tasks."""
        members = self.members()
        servers = {one.pid for one in members if one.is_server}
        return [one for one in members if one.is_server and one.parent in servers]

    def wait_for(self, what: Callable[[], object], seconds: float = 60) -> None:
        """Wait until something is so; fail if that does not come, or the command ends before."""
        deadline = time.monotonic() + seconds
        while not what():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def send(self, number: int) -> None:
        """Send the signal to the first process."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def result(self, seconds: float = 60) -> tuple[int, str, str]:
        """Return exit code (128 and the signal, as a shell has it), output and errors, all read to their ends."""
        out, err = self.process.communicate(timeout=seconds)
        code = self.process.returncode
        return (code if code >= 0 else 128 - code), out, err

    def left(self, seconds: float = 2.0) -> list[Process]:
        """Return the processes that are left after so long."""
        deadline = time.monotonic() + seconds
        while (left := self.members()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left

    def close(self) -> None:
        """End whatever is left, at the end of a test."""
        for one in self.members():
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        self.process.wait()
