# SPDX-License-Identifier: MIT
"""Files and folders for a moment: what is left of them when their process is killed, and who removes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from checker import temporary
from checker.output import check_place, write_text
from checker.temporary import PREFIX, make_folder, remove_folders, sweep, temporary_file, temporary_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["unnamed", "named"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems that can make files without names, and those that cannot."""
    if request.param == "named":
        monkeypatch.setattr(temporary, "_unnamed", lambda folder: None)


def killed(code: str, folder: Path) -> None:
    """Run code in a process that kills itself in the middle."""
    whole = f"import os, signal, sys\nfrom checker.temporary import *\nfolder = sys.argv[1]\n{code}\n"
    end = "os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run(
        [sys.executable, "-c", whole.replace("END", end), str(folder)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("either")
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for text in ("new", "in place of it"):
        with temporary_file(str(tmp_path)) as file:
            os.write(file.number, text.encode())
            file.rename(str(path))
        assert path.read_text() == text and names(tmp_path) == ["a"]
    with pytest.raises(ValueError, match="no"), temporary_file(str(tmp_path)) as file:
        raise ValueError("no")
    with temporary_file(str(tmp_path)):
        pass
    assert path.read_text() == "in place of it" and names(tmp_path) == ["a"]


def test_what_a_killed_process_leaves_is_swept_by_the_next(tmp_path: Path) -> None:
    killed("path = make_folder(folder); (path / 'b').mkdir(); (path / 'b' / 'x').write_text('x'); END", tmp_path)
    killed("import checker.temporary as t; sweep(folder); t._named(folder); END", tmp_path)
    assert len(names(tmp_path)) == 1, "the second has swept what the first left"
    write_text(tmp_path / "a", "x")
    assert names(tmp_path) == ["a"]
    killed("make_folder(folder); END", tmp_path)
    check_place(tmp_path / "b")
    assert names(tmp_path) == ["a"]


def test_a_killed_writer_leaves_nothing(tmp_path: Path) -> None:
    if temporary._unnamed(str(tmp_path)) is None:
        pytest.skip("this file system makes no files without names")
    killed("with temporary_file(folder) as file: os.write(file.number, b'x'); END", tmp_path)
    assert names(tmp_path) == []


def test_what_is_in_use_or_not_ours_stays(tmp_path: Path) -> None:
    mine = [f"{PREFIX}report", f"{PREFIX}12345678.txt", ".sealspec-report", "sealspec-tmp-12345678"]
    for name in mine:
        (tmp_path / name).write_text("a user's")
    (tmp_path / f"{PREFIX}abcdefgh").symlink_to(tmp_path / mine[0])
    with temporary_folder(tmp_path) as folder, temporary_file(str(tmp_path)) as file:
        sweep(tmp_path)
        os.write(file.number, b"x")
        file.rename(str(tmp_path / "a"))
        assert folder.is_dir()
    assert names(tmp_path) == sorted([*mine, f"{PREFIX}abcdefgh", "a"])


def test_folders_are_removed_at_the_end_of_the_process(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (folder / "x").write_text("x")
    remove_folders()
    assert names(tmp_path) == []
    sweep(tmp_path / "nowhere")


def test_a_folder_for_temporary_files_may_have_a_long_name(tmp_path: Path) -> None:
    """Processes talk through a socket, whose name is short: it goes elsewhere then."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    chosen = ["--property", "never-unmapped", "--call", "munmap", "--no-lemmas", "--no-mutants", "--no-cache"]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "reports", "prove", *chosen, "--jobs", "2"], env=environment, cwd=ROOT)
    assert done.returncode == 0
    assert names(folder) == []
