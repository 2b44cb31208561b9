# SPDX-License-Identifier: MIT
"""The standard streams as they are found: closed, full, or with nobody who reads them."""

from __future__ import annotations

import io
import os
import stat
import sys

from reports.cli_common import BadUsage


def check_streams() -> None:
    """Make the standard streams fit for use. Raises BadUsage if standard output cannot be written to; where standard
    error cannot, what goes there is lost."""
    closed = _open_closed()
    if sys.stderr is None or 2 in closed or _is_full(2):
        _to_devnull(2)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    if sys.stdout is None or 1 in closed:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        raise BadUsage("standard output is closed (to see nothing: >/dev/null)")
    if _is_full(1):
        raise BadUsage("standard output: No space left on device")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the locale has no such character


def _open_closed() -> set[int]:
    """Let no file that is opened later become a standard stream. Returns the descriptors that were closed."""
    closed = set()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            _to_devnull(number)
    return closed


def _to_devnull(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)
    if null != number:
        os.close(null)


def _is_full(number: int) -> bool:
    """A device that takes nothing, such as /dev/full."""
    if not stat.S_ISCHR(os.fstat(number).st_mode):
        return False
    try:
        os.write(number, b"")
    except OSError:
        return True
    return False


def output_fails() -> bool:
    """What was printed cannot be written."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return True
    return False


def give_up_output() -> None:
    """Nobody reads what is printed: what is left of it is lost, and Python must not complain when it exits."""
    _to_devnull(1)
