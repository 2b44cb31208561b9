# SPDX-License-Identifier: MIT
"""The command `sealspec`. From its first moment a signal ends it in an orderly way, while modules are imported too."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported: an end, and no traceback of Python's

import os
import sys
from contextlib import suppress

from checker import signals


def main() -> int:
    """Run the command; returns the exit code."""
    try:
        with signals.caught():
            from reports.cli import main as command

            code = command()
            signals.ignore()
    except BaseException:  # what a module makes of the signal while it is imported may be any error
        signals.ignore()
        if not signals.received():
            raise
        with suppress(OSError, AttributeError, ValueError):  # standard error may be closed
            os.write(sys.stderr.fileno(), f"sealspec: interrupted by {signals.received()}\n".encode())
        code = signals.exit_code()
    if signals.received():
        from checker.temporary import remove_folders

        # everything is said and written: to tidy up memory would only take time
        with suppress(OSError, AttributeError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        remove_folders()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
