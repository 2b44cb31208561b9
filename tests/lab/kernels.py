"""Which kernels the tests of the lab can ask here."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
from pathlib import Path

import pytest

from checker.lab.probe import probe
from checker.lab.run import LiveKernel

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("MSEAL_SPEC_SHARED", ROOT.parent / "shared"))
V10 = SHARED / "kernels" / "v10-on-6.12.bzImage"


def has_mseal() -> bool:
    """This machine is x86-64 Linux, and its kernel has mseal."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).syscall(462, 0, 0, 0) == 0)


running = pytest.mark.skipif(
    not has_mseal(), reason=f"kernel {platform.release()} has no mseal, or is not x86-64 Linux"
)
compiled = pytest.mark.skipif(
    not (has_mseal() and shutil.which("gcc")), reason="needs x86-64 Linux with mseal, and gcc"
)
guest = pytest.mark.skipif(
    not (shutil.which("qemu-system-x86_64") and shutil.which("gcc") and V10.is_file()),
    reason="needs QEMU, gcc and the recorded guest's image",
)


@functools.cache
def running_edition() -> str:
    """The edition that the running kernel is, or comes nearest to."""
    return probe(LiveKernel()).nearest
