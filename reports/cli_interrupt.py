# SPDX-License-Identifier: MIT
"""Signals while the solver is busy.

Left to itself, z3 catches a Ctrl-C during a query, gives up that query as unknown, and Python never hears of it: the
run would go on. Other signals would wait for the query to end. Here Python keeps them all (checker.signals), and a
thread tells z3 to give up the query, so that the exception is raised as soon as z3 returns.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from checker.signals import ENDING, Interrupted, caught, received


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, a signal that ends a command ends a query of z3's main context and raises Interrupted. Only the main
    thread may call this; in another one (as in some test runners) nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    import z3

    def watch() -> None:
        while numbers := os.read(reading, 64):
            if any(number in ENDING for number in numbers):
                z3.main_ctx().interrupt()

    z3.set_param("ctrl_c", False)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with caught():
        descriptor = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except Exception:
            # where the exception comes up in the conversion of an argument for z3, ctypes makes another error of it
            if received():
                raise Interrupted from None
            raise
        finally:
            signal.set_wakeup_fd(descriptor)
            os.close(writing)  # the watcher reads the end of the file
            watcher.join()
            os.close(reading)
            z3.set_param("ctrl_c", True)
