# SPDX-License-Identifier: MIT
"""Fetching kernels and QEMU, with an apt of the tests' own on PATH: no network, and nothing of this machine's."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from checker.lab import fetch
from checker.lab.errors import LabError
from checker.lab.fetch import SUITES, cached, ensure_qemu, fetch_kernel, image_version, kernels_dir, offered

TOOLS = {
    "apt-get": """
        [ -z "$FAKE_ERROR" ] || { printf '%b\\n' "$FAKE_ERROR" >&2; exit 100; }
        case " $* " in
        *" update "*)
            for word; do case $word in Dir::Etc::sourceparts=*) cat "${word#*=}"/*; esac; done >>"$FAKE_LOG" ;;
        *" download "*) for package; do :; done; echo "download $package" >>"$FAKE_LOG"
            [ -n "$FAKE_NO_FILE" ] || cp "$FAKE_IMAGE" "${package}_1_amd64.deb" ;;
        *" install "*) echo "install $*" >>"$FAKE_LOG"; cp "$FAKE_BIN/apt-cache" "$FAKE_BIN/qemu-system-x86_64" ;;
        esac
    """,
    "apt-cache": """
        printf '%s\\n' linux-image-6.12.117+deb12-cloud-amd64 linux-image-7.3.4+deb13-cloud-amd64 \\
            linux-binary-7.3.4+deb13-cloud-amd64 linux-image-6.18.9+deb13-cloud-amd64
    """,
    "dpkg-deb": """
        [ -z "$FAKE_BROKEN" ] || { echo "dpkg-deb: error: unexpected end of file" >&2; exit 2; }
        case $2 in
        linux-binary*) mkdir -p "$3/usr/lib/modules/7.3.4"; cp "$2" "$3/usr/lib/modules/7.3.4/vmlinuz" ;;
        *) mkdir -p "$3/boot"; cp "$2" "$3/boot/vmlinuz-x" ;;
        esac
    """,
}
SOURCES = """Types: deb
URIs: http://one.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /k.gpg

Types: deb
URIs: http://one.example/debian-security
Suites: bookworm-security
Components: main
"""


def image(text: str = "6.12.117+deb12-cloud-amd64 (someone) #1") -> bytes:
    """The beginning of a kernel image, with what it says of itself behind its header."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x100).to_bytes(2, "little")
    head[0x300 : 0x300 + len(text)] = text.encode()
    return bytes(head)


@pytest.fixture(name="log")
def _fake_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The tools, the system's source list, and the file in which the tools write what they were asked."""
    tools, log = tmp_path / "bin", tmp_path / "log"
    tools.mkdir()
    for name, text in TOOLS.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
        (tools / name).chmod(0o755)
    for name in ("sh", "cat", "cp", "mkdir"):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"needs {name}")
        (tools / name).symlink_to(found)
    (tmp_path / "apt" / "sources.list.d").mkdir(parents=True)
    (tmp_path / "apt" / "sources.list.d" / "debian.sources").write_text(SOURCES, encoding="utf-8")
    (tmp_path / "image").write_bytes(image())
    log.write_text("", encoding="utf-8")
    monkeypatch.setattr(fetch, "APT", tmp_path / "apt")
    monkeypatch.setenv("PATH", str(tools))
    for name, value in {"LOG": log, "IMAGE": tmp_path / "image", "BIN": tools}.items():
        monkeypatch.setenv(f"FAKE_{name}", str(value))
    return log


def test_a_kernel_is_fetched_once(log: Path, tmp_path: Path) -> None:
    """It comes from the suite that is known for it, by way of the system's own archive; the second time from the
    folder. Nothing else stays in the folder but apt's lists."""
    folder = tmp_path / "kernels"
    said: list[str] = []
    path = fetch_kernel("6.12.117", folder=folder, say=said.append)
    assert path.read_bytes() == image()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert "URIs: http://one.example/debian-security\nSuites: bookworm-security\n" in log.read_text("utf-8")
    assert said == ["asking Debian's bookworm-security for 6.12.117", "fetching linux-image-6.12.117+deb12-cloud-amd64"]
    assert sorted(p.name for p in folder.iterdir()) == ["apt", "vmlinuz-6.12.117"]
    before = log.read_text("utf-8")
    assert fetch_kernel("6.12.117", folder=folder) == path
    assert log.read_text("utf-8") == before
    assert cached(folder) == {"6.12.117": path}


def test_later_kernels_are_in_another_package(log: Path, tmp_path: Path) -> None:
    """From 7.x on the image lies in linux-binary-..., under the modules."""
    assert fetch_kernel("7.3.4", folder=tmp_path / "kernels").read_bytes() == image()
    assert "Suites: trixie-backports\n" in log.read_text("utf-8")
    assert "download linux-binary-7.3.4+deb13-cloud-amd64\n" in log.read_text("utf-8")


def test_what_there_is_instead_is_said(log: Path, tmp_path: Path) -> None:
    """A version that no suite has: every suite was asked, and the versions that it has are named."""
    with pytest.raises(LabError, match=r"no cloud kernel 6\.19\.14 now \(trixie-backports has 6\.12\.117, 6\.18\.9, 7"):
        fetch_kernel("6.19.14", folder=tmp_path / "kernels")
    assert log.read_text("utf-8").count("Types: deb\n") == len(SUITES)
    assert dict(offered(tmp_path / "kernels")) == {suite: ["6.12.117", "6.18.9", "7.3.4"] for suite in SUITES}


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FAKE_BROKEN", "1", "could not unpack .*unexpected end of file"),
        ("FAKE_NO_FILE", "1", "fetched no file"),
        ("FAKE_IMAGE", "/dev/null", "not a bootable x86 kernel image"),
        (
            "FAKE_ERROR",
            "Err:1 http://one.example bookworm-security InRelease\\n  Temporary failure resolving 'one.example'\\n"
            "E: Failed to fetch http://one.example/x  Temporary failure resolving 'one.example'\\nE: Some index files",
            r"fetch the package lists of bookworm-security: no network\? Temporary failure resolving 'one\.example'$",
        ),
        ("FAKE_ERROR", "E: Could not get lock l/lock\\nE: Unable to lock", r"lists of .*: Could not get lock l/lock$"),
    ],
)
def test_what_is_half_done_is_not_kept(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """One line says what failed; no image is there, and no remains of the attempt."""
    monkeypatch.setenv(variable, value)
    folder = tmp_path / "kernels"
    with pytest.raises(LabError, match=message) as caught:
        fetch_kernel("6.12.117", folder=folder)
    assert "\n" not in str(caught.value)
    assert [p.name for p in folder.iterdir()] == ["apt"]
    assert cached(folder) == {}


def test_a_folder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where something is in the way, the folder is named and the way out said."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(LabError, match=r"cannot be kept in .*/file/kernels: .*--kernels"):
        kernels_dir(tmp_path / "file" / "kernels")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(LabError, match="XDG_CACHE_HOME"):
        kernels_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert kernels_dir() == tmp_path / "cache" / "mseal-spec" / "kernels"


def test_without_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another system, or another archive: one line, and the way that is left."""
    monkeypatch.setattr(fetch, "APT", tmp_path / "nothing")
    with pytest.raises(LabError, match=r"no Debian security entry.*path of a vmlinuz"):
        fetch_kernel("6.12.117", folder=tmp_path / "kernels")
    (tmp_path / "nothing" / "sources.list.d").mkdir(parents=True)
    (tmp_path / "nothing" / "sources.list.d" / "d.sources").write_text(SOURCES, encoding="utf-8")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="no apt-get"):
        fetch_kernel("6.12.117", folder=tmp_path / "kernels")
    with pytest.raises(LabError, match="not a kernel version"):
        fetch_kernel("../../etc/passwd", folder=tmp_path / "kernels")


def test_an_image_says_what_it_is(tmp_path: Path) -> None:
    """The version of an image; what is no image, or not there, is said to be so."""
    path = tmp_path / "i"
    path.write_bytes(image("7.3.4+deb13-cloud-amd64 (x)"))
    assert image_version(path) == "7.3.4+deb13-cloud-amd64"
    path.write_bytes(b"junk" * 1000)
    with pytest.raises(LabError, match="not a bootable"):
        image_version(path)
    with pytest.raises(LabError, match="No such file"):
        image_version(tmp_path / "none")


def test_qemu_is_installed_by_root_only(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root is told before it happens; anybody else how to do it; where it is there nothing is done."""
    said: list[str] = []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="apt-get install qemu-system-x86"):
        ensure_qemu(said.append)
    assert not said and not log.read_text("utf-8")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert ensure_qemu(said.append) == str(tmp_path / "bin" / "qemu-system-x86_64")
    assert len(said) == 1 and "as root" in said[0]
    assert "--no-install-recommends install qemu-system-x86\n" in log.read_text("utf-8")
    before = log.read_text("utf-8")
    ensure_qemu(said.append)
    assert len(said) == 1 and log.read_text("utf-8") == before
