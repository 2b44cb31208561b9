# SPDX-License-Identifier: MIT
"""The revision of the source. Nothing but the standard library is needed: a wheel is built by it (setup.py)."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Final

BAKED: Final = Path(__file__).with_name("REVISION")
"""Is there in what a wheel installs."""
UNKNOWN: Final = "unknown"


@cache
def revision() -> str:
    """Return what git says of a checkout, or what was noted when the wheel was built; else `unknown`."""
    root = Path(__file__).resolve().parents[1]
    if (root / ".git").exists():  # not the repository of somebody else, in which this is installed
        return _described(root)
    try:
        return BAKED.read_text(encoding="ascii").strip() or UNKNOWN
    except OSError:
        return UNKNOWN


def _described(root: Path) -> str:
    # without its locks: git that is killed meanwhile would leave one in the user's repository
    command = [
        "git",
        "--no-optional-locks",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return done.stdout.strip() or UNKNOWN
