# SPDX-License-Identifier: MIT
"""What is done of how much, where there is no terminal to draw it on: a line on standard error now and then."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import Final

from rich.console import Console
from rich.progress import Progress

from reports.cli_common import BadUsage, console, line, printable

VARIABLE: Final = "MSEAL_SPEC_PROGRESS"
"""The environment variable that says how many seconds lie between two lines; 0: there are none."""
SECONDS: Final = 60.0


class Pulse(Progress):
    """Knows what progress bars know, and draws none."""

    def __init__(self, out: Console | None) -> None:
        """What is printed meanwhile goes to `out`, or nowhere. Raises BadUsage."""
        super().__init__(console=out or Console(quiet=True), disable=True)
        self._interval, self._began = _interval(), time.monotonic()
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to tell."""
        if self._interval:
            threading.Thread(target=self._tell, daemon=True).start()

    def stop(self) -> None:
        """Tell no more."""
        self._ended.set()

    def _tell(self) -> None:
        while not self._ended.wait(self._interval):
            with suppress(OSError):
                line(console(error=True), f"sealspec: {self.told()}")

    def told(self) -> str:
        """Return what is done of how much, and since when."""
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        done = [
            f"{printable(task.description)} {task.completed:.0f}" + (f" of {task.total:.0f}" if task.total else "")
            for task in self.tasks
            if task.visible
        ]
        return f"{', '.join(done) or 'working, with nothing decided yet'}; {minutes} min {seconds} s so far"


def _interval() -> float:
    given = os.environ.get(VARIABLE, "")
    try:
        seconds = float(given) if given else SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e6:
        raise BadUsage(f"{VARIABLE}={printable(given)}: give a number of seconds; 0 switches the lines off")
    return seconds
