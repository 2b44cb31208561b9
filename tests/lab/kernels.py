# SPDX-License-Identifier: MIT
"""What there is to ask here: kernels, a compiler, recorded runs. A test that needs what is not there is skipped, and
says what that is."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import resource
import shutil
import tempfile
from pathlib import Path

import pytest

from checker.lab.probe import probe
from checker.lab.run import LiveKernel

PATIENT = 600_000
"""Milliseconds for one scenario: no machine is as slow as that, nor an emulated one."""
ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("MSEAL_SPEC_SHARED") or ROOT.parent / "shared")
V10 = SHARED / "kernels" / "v10-on-6.12.bzImage"
RECORDED = ROOT / "tests" / "kernel_runs"


def has_mseal() -> bool:
    """This machine is x86-64 Linux, and its kernel has mseal."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).syscall(462, 0, 0, 0) == 0)


def compiles() -> bool:
    """Programs can be compiled, and run from where tests put them."""
    return shutil.which("gcc") is not None and not os.statvfs(tempfile.gettempdir()).f_flag & os.ST_NOEXEC


def is_running(program: str) -> bool:
    """A process has this word in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if program.encode() in path.read_bytes():
                return True
        except OSError:  # it has ended
            continue
    return False


running = pytest.mark.skipif(
    not has_mseal(), reason=f"kernel {platform.release()} has no mseal, or is not x86-64 Linux"
)
compiled = pytest.mark.skipif(
    not (has_mseal() and compiles()), reason="needs x86-64 Linux with mseal, gcc, and programs that run from TMPDIR"
)
guest = pytest.mark.skipif(
    not (shutil.which("qemu-system-x86_64") and shutil.which("gcc") and V10.is_file()),
    reason="needs QEMU, gcc and the recorded guest's image (kernels/ in MSEAL_SPEC_SHARED)",
)


@functools.cache
def running_edition() -> str:
    """The edition that the running kernel is, or comes nearest to."""
    return probe(LiveKernel()).nearest


def has_keys() -> bool:
    """The processor has protection keys, and the kernel uses them."""
    return " ospke" in Path("/proc/cpuinfo").read_text("utf-8", "replace")


def max_map_count() -> int:
    """How many mappings a process may have here."""
    return int(Path("/proc/sys/vm/max_map_count").read_text("ascii"))


MMAP_MIN_ADDR = range(1 << 12, (1 << 16) + 1)
"""Values of vm.mmap_min_addr with which kernels were recorded: scenarios name no address in this range but page 0."""
ENOUGH_TO_LOCK = 4 << 20
"""Bytes; no scenario locks as much."""
CAP_IPC_LOCK = 14


def oddity() -> str:
    """What of this machine makes kernels answer otherwise than the specification assumes (docs/EXCLUSIONS.md); empty if
    nothing does."""
    if not has_mseal():
        return "no kernel to ask"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    high = libc.mmap(1 << 48, 4096, 0, 0x100022, -1, 0)  # MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED_NOREPLACE
    if high == 1 << 48:
        libc.munmap(ctypes.c_void_p(high), ctypes.c_size_t(4096))
        return "five levels of page tables: addresses do not end at 2^47"
    smallest = int(Path("/proc/sys/vm/mmap_min_addr").read_text("ascii"))
    if smallest not in MMAP_MIN_ADDR:
        return f"vm.mmap_min_addr is {smallest}"
    if Path("/proc/sys/vm/overcommit_memory").read_text("ascii").strip() == "2":
        return "vm.overcommit_memory is 2"
    for name in ("RLIMIT_AS", "RLIMIT_DATA"):
        if resource.getrlimit(getattr(resource, name))[0] != resource.RLIM_INFINITY:
            return f"{name} is limited"
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines())
    locks_all = int(status["CapEff"], 16) >> CAP_IPC_LOCK & 1
    lockable = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if not locks_all and lockable != resource.RLIM_INFINITY and lockable < ENOUGH_TO_LOCK:
        return f"RLIMIT_MEMLOCK is {lockable} bytes"
    return ""


plain = pytest.mark.skipif(bool(oddity()), reason=f"answers would be others here: {oddity()}")
"""For tests that want the very answers of the specification, or of another machine."""
