# SPDX-License-Identifier: MIT
"""Runs scenario documents on a kernel: this machine's own, or an image in QEMU.

``python -m checker.lab.run --kernel host|running|IMAGE in.jsonl out.jsonl`` answers a file of
scenarios, one JSON document a line; :func:`run_scenarios` is the same for programs.

On the host the oracle is an ordinary program: it changes no setting, and a ``fill`` step
really makes as many mappings as the machine's own limit allows.  ``running`` is the same
kernel without a compiler (checker/lab/live.py).  A guest boots the image
with a RAM file system of the oracle and its script, has vm.max_map_count lowered, and is
thrown away.  No KVM is used or needed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Final

from checker.lab.build import build_oracle
from checker.lab.cpio import archive
from checker.lab.errors import LabError
from checker.lab.script import Hello, ScriptOptions, decode, decode_hello, encode
from checker.processes import program

Scenario = Mapping[str, object]
"""A scenario document, as read from JSON."""

_QEMU = "qemu-system-x86_64"
_COMMAND_LINE = "console=ttyS0 quiet panic=-1 no5lvl no_timer_check mitigations=off nokaslr rdinit=/init"
"""``no5lvl``: user addresses end below 2^47, as on machines without five-level tables.  ``no_timer_check``: on a busy
machine without KVM the timer may be so late that the kernel takes it for broken, and panics (seen with 6.19.14)."""


@dataclass(frozen=True)
class HostKernel:
    """The kernel of this machine."""

    def describe(self) -> str:
        """Return a name for messages."""
        return f"host {os.uname().release}"


@dataclass(frozen=True)
class LiveKernel:
    """The kernel of this machine, asked through ctypes: no compiler is needed."""

    def describe(self) -> str:
        """Return a name for messages."""
        return f"running {os.uname().release}"


@dataclass(frozen=True)
class ImageKernel:
    """A bootable x86-64 kernel image (bzImage, vmlinuz) to run in QEMU under TCG.

    ``memory_mib``: the guest's memory.  ``boot_seconds``: how long the image may take to
    reach the oracle.  ``max_map_count``: the guest's limit, low so that ``fill`` is cheap.
    ``swap_mib``: size of a swap on zram where the kernel has it built in; 0 for none.
    ``cpu``: QEMU's CPU model; ``max,pku=off`` is one without protection keys.
    ``huge_pages``: how many huge pages the guest sets aside.
    """

    path: Path
    memory_mib: int = 768
    boot_seconds: float = 120.0
    max_map_count: int = 300
    swap_mib: int = 0
    cpu: str = "max"
    huge_pages: int = 0

    def describe(self) -> str:
        """Return a name for messages."""
        return self.path.name


KILLED: Final = "signal 9 "
"""How the error of a scenario begins whose process was killed from outside: no call of a scenario does that."""

Kernel = HostKernel | LiveKernel | ImageKernel
"""Where scenarios run."""


@dataclass
class RunReport:
    """What :func:`run_scenarios` learns besides the answers; filled in while it runs.

    ``hello``: what the kernel said of itself.  ``boots``: starts of the oracle, more than
    one where a scenario took the guest down.  ``boot_seconds``: from the last start to the
    greeting.  ``seconds``: from the first start to the last answer, boots included.
    ``answered``: scenarios with an answer so far.
    """

    hello: Hello | None = None
    boots: int = 0
    boot_seconds: float = 0.0
    seconds: float = 0.0
    answered: int = 0
    failures: list[str] = field(default_factory=list)


def parse_kernel(text: str) -> Kernel:
    """Return the kernel that ``text`` names: ``host``, ``running``, or the path of an image.

    Raises :class:`LabError` if there is no such file.
    """
    if text == "host":
        return HostKernel()
    if text == "running":
        return LiveKernel()
    path = Path(text)
    if not path.is_file():
        raise LabError(f"no kernel image {text!r} (give 'running', 'host' or the path of a bzImage)")
    return ImageKernel(path)


class _Lost(LabError):
    """The program that asks the kernel ended before it said anything."""


class _Lines:
    """Lines of a child's output, with a limit on the wait for each."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._selector = selectors.DefaultSelector()
        self._selector.register(stream, selectors.EVENT_READ)
        self._rest = b""
        self._ready: list[bytes] = []

    def next(self, seconds: float) -> str | None:
        """Return the next line without its end, None at the end of the output.

        Raises TimeoutError if nothing comes for ``seconds``.  A last line without an end
        is dropped: its writer died in the middle of it.
        """
        while not self._ready:
            if not self._selector.select(seconds):
                raise TimeoutError
            data = os.read(self._stream.fileno(), 1 << 16)
            if not data:
                return None
            pieces = (self._rest + data).split(b"\n")
            self._rest = pieces.pop()
            self._ready = pieces[::-1]
        return self._ready.pop().decode("ascii", "replace").rstrip("\r")

    def close(self) -> None:
        """Release the selector; the stream stays with its owner."""
        self._selector.close()


_LIVE = Path(__file__).with_name("live.py")


def _program(kernel: Kernel) -> Path:
    """Return the program that answers scripts, compiled if need be; raises :class:`LabError` where it cannot run."""
    if not isinstance(kernel, LiveKernel):
        return build_oracle()
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise LabError("kernels are asked on x86-64 Linux only")
    return _LIVE


class _MemoryFile:
    """A file that has no name: nobody need remove it, whatever becomes of this process."""

    def __init__(self, contents: bytes = b"") -> None:
        """Make it; raises OSError where there is no memory."""
        self.number = os.memfd_create("mseal-lab")
        with os.fdopen(os.dup(self.number), "wb") as file:
            file.write(contents)
        os.lseek(self.number, 0, os.SEEK_SET)

    @property
    def path(self) -> str:
        """Return its name in a process that has it under the same number."""
        return f"/proc/self/fd/{self.number}"

    def text(self) -> str:
        """Return what is in it."""
        return os.pread(self.number, 1 << 20, 0).decode("utf-8", "replace")

    def close(self) -> None:
        """Give it up."""
        os.close(self.number)


@dataclass(frozen=True)
class _Files:
    """What a run needs: its script, and for a guest the initramfs with it, and what the console says."""

    script: _MemoryFile
    initramfs: _MemoryFile
    console: _MemoryFile


def _command(kernel: Kernel, oracle: Path, files: _Files) -> list[str]:
    """Return the command that runs the script, which is the standard input of a program here, and writes results to its
    standard output.

    Raises :class:`LabError` where QEMU or the image is missing.
    """
    script = "/proc/self/fd/0"
    if isinstance(kernel, HostKernel):
        return [str(oracle), script]
    if isinstance(kernel, LiveKernel):
        return [sys.executable, "-S", "-s", "-B", "-P", str(oracle), script]
    qemu = shutil.which(_QEMU)
    if qemu is None:
        raise LabError(f"no {_QEMU}: install it (Debian: apt-get install qemu-system-x86)")
    if not kernel.path.is_file():
        raise LabError(f"no kernel image {str(kernel.path)!r}")
    return [
        qemu, "-accel", "tcg", "-cpu", kernel.cpu, "-smp", "1", "-m", str(kernel.memory_mib),
        "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot",
        "-serial", f"file:{files.console.path}", "-serial", "stdio",
        "-kernel", str(kernel.path), "-initrd", files.initramfs.path, "-append", _COMMAND_LINE,
    ]  # fmt: skip


def _last_words(console: _MemoryFile, stderr: str = "") -> str:
    """Return the one line of the guest's console, or of QEMU's standard error, that says most of why it ended."""
    said = [line.strip() for text in (console.text(), stderr) for line in text.splitlines() if line.strip()]
    panics = [line for line in said if "Kernel panic" in line]
    return (panics or said[-1:] or ["nothing was said"])[0][:300]


def _ended(status: int, guest: bool) -> str:
    """Return in words how a program ended that said nothing: `status` is minus the number of a signal."""
    who = "QEMU" if guest else "the program that asks the kernel"
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
    return f"{who} {how} before it said anything"


def _one_run(
    pending: Sequence[tuple[int, Scenario]],
    kernel: Kernel,
    oracle: Path,
    limit_ms: int,
    report: RunReport,
) -> Generator[tuple[int, dict[str, object]], None, None]:
    """Start the oracle once and yield numbered answers until it is done or dead."""
    guest = isinstance(kernel, ImageKernel)
    options = ScriptOptions(
        limit_ms=limit_ms,
        max_map_count=kernel.max_map_count if isinstance(kernel, ImageKernel) else None,
        swap_mib=kernel.swap_mib if isinstance(kernel, ImageKernel) else 0,
        huge_pages=kernel.huge_pages if isinstance(kernel, ImageKernel) else 0,
    )
    boot = kernel.boot_seconds if isinstance(kernel, ImageKernel) else 30.0
    patience = 2 * limit_ms / 1000 + (60.0 if guest else 10.0)
    by_number = dict(pending)
    script = encode(pending, options)
    unpacked = archive({"init": (0o755, oracle.read_bytes()), "script": (0o644, script)}) if guest else b""
    with contextlib.ExitStack() as stack:
        given, initramfs, console = (
            stack.enter_context(contextlib.closing(_MemoryFile(contents))) for contents in (script, unpacked, b"")
        )
        command = _command(kernel, oracle, _Files(given, initramfs, console))
        started = time.monotonic()
        report.boots += 1
        stdin = subprocess.DEVNULL if guest else given.number
        shared = (given.number, initramfs.number, console.number) if guest else ()
        memory = os.environ | {"PYTHONMALLOC": "malloc"}  # live.py: no object in a mapping of its own
        process = stack.enter_context(program(command, stdin=stdin, env=memory, pass_fds=shared))
        assert process.stdout is not None and process.stderr is not None
        lines = stack.enter_context(contextlib.closing(_Lines(process.stdout)))
        try:
            first = lines.next(boot)
        except TimeoutError:
            raise LabError(f"{kernel.describe()}: no greeting in {boot:g} s: {_last_words(console)}") from None
        if first is None:
            process.wait()
            message = process.stderr.read().decode("utf-8", "replace").strip()
            raise _Lost(f"{kernel.describe()}: {_ended(process.returncode, guest)}: {_last_words(console, message)}")
        hello = decode_hello(first)
        report.hello = hello
        report.boot_seconds = time.monotonic() - started
        if not hello.has_mseal:
            raise LabError(f"{kernel.describe()}: kernel {hello.release} has no mseal (6.10 or later)")
        number = -1
        answers: list[str] = []
        while True:
            try:
                line = lines.next(patience)
            except TimeoutError:
                return
            if line is None or line.startswith("Q\t"):
                return
            if line.startswith("S\t"):
                number, answers = int(line[2:]), []
            elif line.startswith("E\t"):
                yield number, decode(by_number[number], answers, line[2:])
            else:
                answers.append(line)


def run_scenarios(
    scenarios: Sequence[Scenario],
    kernel: Kernel,
    *,
    limit_ms: int = 20_000,
    report: RunReport | None = None,
) -> Generator[dict[str, object], None, None]:
    """Yield each scenario with the kernel's answers, in order, as they come.

    An answer has the input's fields with ``ret``, ``errno``, ``vmas`` and ``bytes`` in
    every step.  A scenario that could not be finished has the steps that were, and a field
    ``error`` ("signal 9 after 3 of 7 steps", "timeout ...", "the guest died ..."); the rest
    goes on, in a new guest if need be.  On this machine, where anything may kill a process (the
    out-of-memory killer does), a scenario whose process is lost is asked once more.

    ``limit_ms`` is the time one scenario may take, in milliseconds.  ``report`` is filled
    in on the way.  Raises :class:`LabError` on a scenario that cannot be expressed, a
    missing tool, an image that does not boot, a kernel without mseal.  Closing the
    iterator, or an exception such as KeyboardInterrupt, ends the guest.
    """
    told = report if report is not None else RunReport()
    oracle = _program(kernel)
    start = time.monotonic()
    numbered = list(enumerate(scenarios))
    local = not isinstance(kernel, ImageKernel)
    done, asked_again = 0, -1
    while done < len(numbered):
        try:
            with contextlib.closing(_one_run(numbered[done:], kernel, oracle, limit_ms, told)) as run:
                for number, answer in run:
                    if number != done:
                        raise LabError(f"answer {number} where {done} was due")
                    if local and asked_again < done and str(answer.get("error", "")).startswith(KILLED):
                        break
                    done += 1
                    told.answered = done
                    told.seconds = time.monotonic() - start
                    if "error" in answer:
                        told.failures.append(f"{answer['name']}: {answer['error']}")
                    yield answer
        except _Lost:
            if not local or asked_again == done:
                raise
        if done < len(numbered) and local and asked_again < done:
            asked_again = done
        elif done < len(numbered):
            # The oracle survives its children, so this one took the whole kernel down.
            name = numbered[done][1].get("name")
            error = "the guest died or stopped answering in this scenario"
            if local:
                error = "the program that asks the kernel was lost twice in this scenario"
            told.failures.append(f"{name}: {error}")
            done += 1
            yield {"name": name, "steps": [], "error": error}


def read_scenarios(path: Path) -> list[dict[str, object]]:
    """Return the documents of a file, one JSON object a line (empty lines are skipped).

    Raises :class:`LabError` naming the line that is not an object.
    """
    documents: list[dict[str, object]] = []
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                try:
                    document = json.loads(line)
                except ValueError as error:
                    raise LabError(f"{path}:{number}: {error}") from None
                if not isinstance(document, dict):
                    raise LabError(f"{path}:{number}: not an object")
                documents.append(document)
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
    return documents


def _progress(report: RunReport, total: int) -> None:
    """Write a line on standard error about how far a run is."""
    rate = report.answered / report.seconds if report.seconds else 0.0
    print(f"\r{report.answered}/{total} scenarios, {rate:.0f}/s", end="", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer a file of scenarios; returns the exit status (0, 1 on scenarios with errors, 2)."""
    parser = argparse.ArgumentParser(prog="python -m checker.lab.run", description=__doc__)
    parser.add_argument("--kernel", default="host", help="'host', 'running' or the path of a kernel image")
    parser.add_argument("--limit-ms", type=int, default=20_000, help="time limit of one scenario")
    parser.add_argument("--swap-mib", type=int, default=0, help="a guest's swap on zram, MiB")
    parser.add_argument("--cpu", default="max", help="a guest's CPU model, e.g. max,pku=off")
    parser.add_argument("input", type=Path, help="scenarios, one JSON document a line")
    parser.add_argument("output", type=Path, help="the same with the kernel's answers")
    options = parser.parse_args(arguments)
    report = RunReport()
    try:
        kernel = parse_kernel(options.kernel)
        if isinstance(kernel, ImageKernel):
            kernel = replace(kernel, swap_mib=options.swap_mib, cpu=options.cpu)
        scenarios = read_scenarios(options.input)
        with options.output.open("w", encoding="utf-8") as stream:
            run = run_scenarios(scenarios, kernel, limit_ms=options.limit_ms, report=report)
            with contextlib.closing(run):
                for answer in run:
                    stream.write(json.dumps(answer, separators=(",", ":")) + "\n")
                    if sys.stderr.isatty() and report.answered % 64 == 0:
                        _progress(report, len(scenarios))
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    release = report.hello.release if report.hello else "?"
    rate = report.answered / report.seconds if report.seconds else 0.0
    print(
        f"{report.answered} scenarios on {release} in {report.seconds:.1f} s ({rate:.0f}/s), "
        f"{report.boots} start(s) of {report.boot_seconds:.1f} s, {len(report.failures)} failure(s)",
        file=sys.stderr,
    )
    for failure in report.failures[:20]:
        print(f"  {failure}", file=sys.stderr)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
