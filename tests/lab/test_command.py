# SPDX-License-Identifier: MIT
"""`sealspec lab`: from a version or an image to a verdict.

Where there is no QEMU to be had, or none is wanted, a program of the tests' own stands for it: it takes the initramfs
apart as a guest would and runs what is in it on this machine's kernel.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checker.lab import fetch
from checker.lab.errors import LabError
from checker.lab.probe import probe
from checker.lab.run import LiveKernel
from reports.cli import main
from tests.lab.kernels import ROOT, V10, compiled, guest, is_running, plain

QEMU = """#!/bin/sh
exec {python} - "$@" <<'END'
import os, subprocess, sys, tempfile

data = open(sys.argv[sys.argv.index("-initrd") + 1], "rb").read()
folder, at = tempfile.mkdtemp(dir={folder!r}), 0
while True:
    size, length = (int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in (6, 11))
    name = data[at + 110 : at + 110 + length - 1].decode()
    start = (at + 110 + length + 3) // 4 * 4
    if name == "TRAILER!!!":
        break
    if name in ("init", "script"):
        open(os.path.join(folder, name), "wb").write(data[start : start + size])
        os.chmod(os.path.join(folder, name), 0o755)
    at = (start + size + 3) // 4 * 4
guest = subprocess.Popen([folder + "/init", folder + "/script"], stdout=subprocess.PIPE)
for line in guest.stdout:
    sys.stdout.buffer.write(line.replace(b"{old}", b"{new}"))
    sys.stdout.buffer.flush()
END
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lab` saves differences where it is run, which may not be written to."""
    monkeypatch.chdir(tmp_path)


def image(path: Path) -> Path:
    """A file that begins as a kernel image does."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    path.write_bytes(head)
    return path


StandIn = Callable[..., None]


@pytest.fixture
def stand_in(tools: Path, tmp_path: Path) -> Iterator[StandIn]:
    """Puts the program that stands for QEMU, or another one, on PATH; it says `new` where the guest says `old`."""
    path = tools / "qemu-system-x86_64"

    def put(*, old: str = "-", new: str = "-", text: str = QEMU) -> None:
        (tmp_path / "guests").mkdir()
        words = {"python": shlex.quote(sys.executable), "folder": str(tmp_path / "guests"), "old": old, "new": new}
        path.write_text(text.format(**words) if text is QEMU else text, encoding="utf-8")
        path.chmod(0o755)

    yield put
    path.unlink(missing_ok=True)


@compiled
@plain
def test_from_a_version_to_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stand_in: StandIn
) -> None:
    """The kernel is fetched, booted, recognised and compared: a row for it, a document, exit code 0. A kernel that
    cannot be had does not keep the others from being asked, but is the exit code then."""
    stand_in()
    expected = probe(LiveKernel()).edition
    if expected is None:
        pytest.skip("the running kernel is no edition")

    def fetched(version: str, *, folder: Path | None, **_: object) -> Path:
        if version != "6.18.44":
            raise LabError(f"Debian offers no cloud kernel {version} now (a-suite has 6.18.44)")
        assert folder == tmp_path / "kernels"
        return image(tmp_path / "vmlinuz-6.18.44")

    monkeypatch.setattr(fetch, "fetch_kernel", fetched)
    options = ["--no-replay", "--examples", "60", "--seed", "5", "--jobs", "1", "--kernels", str(tmp_path / "kernels")]
    target = tmp_path / "lab.json"
    assert main(["lab", "6.18.44", *options, "--json", str(target)]) == 0
    shown = capsys.readouterr().out
    (kernel,) = json.loads(target.read_text("utf-8"))["kernels"]
    assert (kernel["target"], kernel["release"], kernel["edition"]) == ("6.18.44", os.uname().release, expected)
    assert (kernel["replays"], kernel["error"]) == (None, "")
    assert kernel["conform"]["sequences"] == 60 and kernel["conform"]["differences"] == []
    row = next(text for text in shown.splitlines() if text.startswith(os.uname().release) and "behaves" not in text)
    assert row.split()[1] == expected and row.split()[-2:] == ["60", "0"]

    assert main(["lab", "6.19.1", "6.18.44", *options, "--no-conform", "--json", str(target)]) == 2
    first, second = json.loads(target.read_text("utf-8"))["kernels"]
    assert "a-suite has 6.18.44" in first["error"] and second["edition"] == expected
    assert "could not be asked" in capsys.readouterr().out


@compiled
def test_a_kernel_that_is_no_edition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stand_in: StandIn
) -> None:
    """A kernel that does not show seals: said with the probes that differ, exit code 1, whatever could not be booted
    beside it."""
    stand_in(old=" sl", new="")
    path = image(tmp_path / "vmlinuz")
    options = ["--no-replay", "--no-conform"]
    assert main(["lab", str(path), *options]) == 1
    shown = capsys.readouterr().out
    assert "behaves as no edition" in shown and "none, nearest" in shown
    monkeypatch.setattr(fetch, "fetch_kernel", lambda version, **_: tmp_path / "gone")
    assert main(["lab", "6.18.1", str(path), *options]) == 1


@compiled
def test_an_image_that_does_not_boot(tmp_path: Path, capsys: pytest.CaptureFixture[str], stand_in: StandIn) -> None:
    """What a guest says last is its entry, in one line; its panic before all else."""
    stand_in(
        text='#!/bin/sh\nfor word; do case $word in file:*) printf "one\\n[0.1] Kernel panic - no timer\\n <TASK>\\n"'
        ' >"${word#file:}"; esac; done; exit 3\n'
    )
    assert main(["lab", str(image(tmp_path / "vmlinuz")), "--no-replay", "--no-conform"]) == 2
    shown = capsys.readouterr().out
    assert "vmlinuz: QEMU ended with exit status 3 before it said anything: [0.1] Kernel panic - no timer\n" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "sealspec lab --list"),
        (["6.18"], "neither a version such as 6.12.117 nor a file"),
        (["{tmp}/junk"], "not a bootable x86 kernel image"),
        (["{tmp}/image"], "apt-get install qemu-system-x86"),
        (["--list", "--kernels", "{tmp}/junk/kernels"], "choose another folder with --kernels"),
    ],
)
def test_wrong_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    """One line each, exit code 2, before anything is fetched or booted."""
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    image(tmp_path / "image")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, *more: None if "qemu" in name else which(name, *more))
    assert main(["lab", *(text.format(tmp=tmp_path) for text in arguments)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is in the folder, by version; what Debian has, if it can be asked, and otherwise why not."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    for version in ("6.18.15", "6.18.9", "half.part"):
        image(folder / f"vmlinuz-{version}")
    monkeypatch.setattr(fetch, "offered", lambda folder: iter([("a-suite", ["6.18.15", "7.3.4"]), ("another", [])]))
    assert main(["lab", "--list", "--kernels", str(folder)]) == 0
    assert [text.split()[0] for text in capsys.readouterr().out.splitlines()[1:3]] == ["6.18.9", "6.18.15"]

    def unreachable(folder: Path) -> None:
        raise LabError("apt-get could not fetch: no network?")

    monkeypatch.setattr(fetch, "offered", unreachable)
    assert main(["lab", "--list", "--kernels", str(folder)]) == 0
    assert "could not be asked: apt-get could not fetch: no network?" in capsys.readouterr().out


@guest
def test_a_guest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kernel with v10's checks is recognised in QEMU and agrees with them."""
    target = tmp_path / "lab.json"
    options = ["--no-replay", "--examples", "40", "--jobs", "1", "--out", str(tmp_path / "out"), "--json", str(target)]
    assert main(["lab", str(V10), *options]) == 0
    (kernel,) = json.loads(target.read_text("utf-8"))["kernels"]
    assert kernel["edition"] == kernel["probe"]["edition"] == "v10"
    assert kernel["boot_seconds"] > 0 and kernel["conform"]["sequences"] == 40
    assert not (tmp_path / "out").exists()


@guest
def test_interrupt_ends_the_guest(tmp_path: Path) -> None:
    """Ctrl-C while a guest works: exit code 130, what was done is shown, no QEMU is left."""
    path = tmp_path / "image-of-this-test"
    shutil.copyfile(V10, path)
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [
        sys.executable,
        "-m",
        "reports.cli",
        "lab",
        str(path),
        "--no-replay",
        "--examples",
        "3000",
        "--jobs",
        "1",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", preexec_fn=heed)
    assert process.stdout is not None
    while "behaves as" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "1 of 1 kernels were not done" in said
    assert not is_running(path.name)
