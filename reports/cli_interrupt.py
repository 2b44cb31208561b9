"""Ctrl-C while the solver is busy.

Left to itself, z3 catches the signal during a query, gives up that query as unknown, and Python never hears of it: the
run would go on. Here Python keeps the signal, and a thread tells z3 to give up the query, so that KeyboardInterrupt is
raised as soon as z3 returns.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, Ctrl-C ends a query of z3's main context and raises KeyboardInterrupt. Only the main thread may call
    this; in another one (as in some test runners) nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    import z3

    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        # half-built terms of z3 complain when they are dropped
        sys.unraisablehook = lambda unraisable: None
        raise KeyboardInterrupt

    def watch() -> None:
        while numbers := os.read(reading, 64):
            if signal.SIGINT in numbers:
                z3.main_ctx().interrupt()

    z3.set_param("ctrl_c", False)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    hook, handler = sys.unraisablehook, signal.signal(signal.SIGINT, interrupt)
    descriptor = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except Exception:
        # where KeyboardInterrupt comes up in the conversion of an argument for z3, ctypes makes another error of it
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGINT, handler)
        sys.unraisablehook = hook
        os.close(writing)  # the watcher reads the end of the file
        watcher.join()
        os.close(reading)
        z3.set_param("ctrl_c", True)
