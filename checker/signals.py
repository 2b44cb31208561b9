# SPDX-License-Identifier: MIT
"""Signals that end a command: the first becomes an exception in the main thread, wherever that is at the moment.

Only the standard library is imported, and little of it: this is the first that a command does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""The signals that end a command with a report of what was decided so far."""
SAME_SECONDS: Final = 1.0
"""A signal that soon after the first is the same: timeout(1) sends it to the process, then to the process group."""


class Interrupted(KeyboardInterrupt):
    """One of these signals came."""


@dataclass(slots=True)
class _State:
    """What is known of signals in this process."""

    caught: bool = False
    received: int = 0
    """The first signal that came; 0: none did."""
    at: float = 0.0
    held: int = 0
    """How many sections that must not be broken off are being executed."""
    pending: bool = False


_state = _State()


def received() -> str:
    """Return the name of the signal that ended the work; empty if none did."""
    return signal.Signals(_state.received).name if _state.received else ""


def exit_code() -> int:
    """Return the exit code of a command that was ended: 128 and the number of the signal, as a shell has it."""
    return 128 + (_state.received or signal.SIGINT)


@contextmanager
def caught() -> Iterator[None]:
    """Within, the signals raise Interrupted, but for those that were ignored before (nohup, a shell's background job).

    A signal that comes a second time, more than a second later, raises again: nobody waits for a report. Only the
    main thread can do this; in another one (as in some test runners), and within itself, it changes nothing.
    """
    if _state.caught or threading.current_thread() is not threading.main_thread():
        yield
        return
    hook = sys.unraisablehook
    before = {number: signal.getsignal(number) for number in ENDING}
    _state.caught, _state.received = True, 0
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _handle)
        sys.unraisablehook = _unraisable
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) == _handle:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        sys.unraisablehook = hook
        _state.caught = False


def ignore() -> None:
    """Ignore the signals from now on: the work is done, and only the exit is left."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def held() -> Iterator[None]:
    """Within, no signal breaks anything off: it does so at the end of the section, which must be short."""
    _state.held += 1
    try:
        yield
    finally:
        _state.held -= 1
    if _state.pending and not _state.held:
        _state.pending = False
        raise Interrupted


def _handle(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if _state.received and now - _state.at < SAME_SECONDS:
        return
    _state.received = _state.received or number
    _state.at = now
    if _state.held:
        _state.pending = True
    else:
        raise Interrupted


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Where the exception came up in a finalizer Python drops it: have the signal come once more. Other complaints are
    those of half-built objects (terms of z3) that are dropped on the way out."""
    if not _state.received:
        sys.__unraisablehook__(unraisable)
    elif isinstance(unraisable.exc_value, Interrupted):
        _state.at = float("-inf")
        threading.Timer(0.02, os.kill, (os.getpid(), _state.received)).start()
