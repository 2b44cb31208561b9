# SPDX-License-Identifier: MIT
"""Where written text goes: what is replaced, what is written to, and what is refused."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from checker.output import check_folder_for_files, check_place, write_text

NOBODY = 65534


@contextmanager
def plain_user(folder: Path) -> Iterator[None]:
    """As a user to whom modes of files mean something, and who owns the folder."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "one")
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask()
    path.chmod(0o640)
    with path.open() as reader:
        write_text(path, "two\n")
        assert reader.read() == "one", "who has the old one open still has it whole"
    assert path.read_bytes() == b"two\n"
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "three\ud800")
    assert path.read_text() == "two\n"
    assert list(tmp_path.iterdir()) == [path]


def mask() -> int:
    """The umask."""
    found = os.umask(0)
    os.umask(found)
    return found


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_links_stay(tmp_path: Path, there: bool) -> None:
    (tmp_path / "below").mkdir()
    target, link, again = tmp_path / "below" / "target", tmp_path / "link", tmp_path / "again"
    if there:
        target.write_text("old")
    link.symlink_to(Path("below") / "target")
    again.symlink_to(link)
    check_place(again)
    write_text(again, "new")
    assert target.read_text() == "new" and not target.is_symlink()
    assert link.is_symlink() and again.is_symlink()


def test_a_second_name_stays(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("a long text that was there")
    second.hardlink_to(first)
    write_text(first, "new")
    assert first.read_text() == second.read_text() == "new"
    assert first.samefile(second)


def test_devices_and_pipes_are_written_to(tmp_path: Path) -> None:
    write_text("/dev/null", "x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    check_place(fifo)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    write_text(fifo, "through")
    reader.join()
    assert read == ["through"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}", "/proc/thread-self/fd/{}"])
def test_an_open_descriptor_is_written_to(tmp_path: Path, form: str) -> None:
    """Where it stands: nothing is cut off, and the file is not replaced under whoever opened it."""
    path = tmp_path / "log"
    with path.open("w") as file:
        file.write("before ")
        file.flush()
        name = form.format(file.fileno())
        check_place(name)
        write_text(name, "now ")
        os.write(file.fileno(), b"after")
    assert path.read_text() == "before now after"
    link = tmp_path / "link"
    with path.open("w") as file:
        link.symlink_to(form.format(file.fileno()))
        write_text(link, "over a link")
    assert path.read_text() == "over a link" and link.is_symlink()


def test_a_full_device(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/full")
    for refused in (check_place, lambda name: write_text(name, "x")):
        for name in ("/dev/full", str(link)):
            with pytest.raises(OSError, match="No space left"):
                refused(name)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def refusals(folder: Path) -> dict[str, str]:
    """Names that nothing can be written to, and what is said of them."""
    (folder / "loop").symlink_to("loop")
    (folder / "file").write_text("x")
    reading = os.open(folder / "file", os.O_RDONLY)
    return {
        "": "empty",
        str(folder): "a folder",
        f"{folder}/": "a folder",
        str(folder / "nowhere" / "x"): "there is no folder",
        str(folder / "file" / "x"): "Not a directory",
        str(folder / "loop"): "symbolic links",
        str(folder / ("x" * 300)): "too long",
        "/proc/x": "Permission denied",
        "/proc/version": "the kernel's",
        "/sys/x": "Permission denied",
        f"/dev/fd/{reading}": "reading only",
        "/dev/fd/987": "not open",
    }


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    for name, told in refusals(tmp_path).items():
        before = sorted(tmp_path.iterdir())
        with pytest.raises(OSError, match=told):
            check_place(name)
        assert sorted(tmp_path.iterdir()) == before


def test_modes_are_respected(open_folder: Path) -> None:
    locked = open_folder / "locked"
    locked.mkdir()
    kept, read_only = locked / "kept", locked / "read-only"
    kept.write_text("a long text that was there")
    read_only.write_text("old")
    read_only.chmod(0o444)
    with plain_user(open_folder):
        locked.chmod(0o555)
        check_place(kept)
        write_text(kept, "written in place")
        write_text(kept, "short")
        assert kept.read_text() == "short"
        for name in (read_only, locked / "new"):
            with pytest.raises(OSError, match="Permission denied"):
                check_place(name)
        with pytest.raises(OSError, match="Permission denied"):
            write_text(locked / "new", "x")
        with pytest.raises(OSError, match="Permission denied"):
            check_folder_for_files(str(locked / "below"))
        assert sorted(path.name for path in locked.iterdir()) == ["kept", "read-only"]
        locked.chmod(0o755)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_file_that_cannot_be_written_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    path = tmp_path / "file"
    path.write_text("what was there")
    if in_place:
        (tmp_path / "other").hardlink_to(path)
    real, calls = os.write, []

    def full(number: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) == 1:
            return real(number, bytes(data)[:3])
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(number, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "something else, and longer")
    monkeypatch.undo()
    assert path.read_text() == "what was there"
    assert len(list(tmp_path.iterdir())) == 1 + in_place


def test_folders_for_files(tmp_path: Path) -> None:
    check_folder_for_files(str(tmp_path / "to" / "be" / "made"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("x")
    for name, told in (("", "empty"), (str(tmp_path / "file"), "no folder"), ("/proc/x/y", "Permission denied")):
        with pytest.raises(OSError, match=told):
            check_folder_for_files(name)
