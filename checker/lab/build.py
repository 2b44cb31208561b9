# SPDX-License-Identifier: MIT
"""Compiles the lab's C program (guest/oracle.c) once and keeps it in a cache folder."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from pathlib import Path

from checker.lab.errors import LabError
from checker.processes import run_program
from checker.temporary import temporary_folder

SOURCE = Path(__file__).resolve().parent / "guest" / "oracle.c"
"""The program that runs scenarios, on the host and as process 1 of a guest."""

FLAGS = (
    "-O2",
    "-std=gnu11",
    "-static",
    "-nostdlib",
    "-no-pie",
    "-fPIE",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wl,--build-id=none",
    "-Wl,-Ttext-segment=0x500000000000",
)
"""No libc, and linked above the scenarios' window: see the top of the source."""


def cache_dir() -> Path:
    """Return the lab's folder for what may be made again, by the XDG convention.

    ``$XDG_CACHE_HOME/mseal-spec/lab``, or ``~/.cache/mseal-spec/lab`` where the variable
    is unset, empty or relative.  The folder is created; raises :class:`LabError` where it
    cannot be.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    except RuntimeError:
        raise LabError("there is no home folder for the lab's cache; set XDG_CACHE_HOME") from None
    folder = root / "mseal-spec" / "lab"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(
            f"the lab's cache folder {folder} cannot be made: {error.strerror or error}; set XDG_CACHE_HOME"
        ) from None
    return folder


def build_oracle(cache: Path | None = None) -> Path:
    """Return the compiled program, compiling it if this source was not compiled before.

    ``cache`` is the folder to keep it in (default :func:`cache_dir`); its name there is
    made of a hash of the source and the flags.  Raises :class:`LabError` where the
    machine is not x86-64 Linux, there is no gcc, or gcc rejects the source.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise LabError("the kernel lab runs on x86-64 Linux only")
    folder = cache if cache is not None else cache_dir()
    source = SOURCE.read_bytes()
    digest = hashlib.sha256(source + b"\0" + " ".join(FLAGS).encode()).hexdigest()[:16]
    target = folder / f"oracle-{digest}"
    if target.exists():
        return target
    compiler = shutil.which("gcc")
    if compiler is None:
        raise LabError("no gcc: install it (Debian: apt-get install gcc linux-libc-dev)")
    try:
        with temporary_folder(folder) as work:
            made = work / "oracle"
            done = run_program(
                [compiler, *FLAGS, "-o", str(made), str(SOURCE)], env={**os.environ, "TMPDIR": str(work)}
            )
            if done.killed:
                raise LabError("gcc was killed before it had compiled the lab's program; try again")
            if done.status != 0:
                raise LabError(f"gcc does not compile {SOURCE.name}:\n{done.err.strip()}")
            made.chmod(0o755)
            os.replace(made, target)
    except OSError as error:
        raise LabError(f"the lab's program cannot be kept in {folder}: {error.strerror or error}") from None
    return target
