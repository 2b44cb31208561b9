# SPDX-License-Identifier: MIT
"""What pyproject.toml cannot say: wheels and source archives note the revision that they are made from."""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist


def note_revision(folder: str) -> None:
    """Write what git says of this source where checker/revision.py looks for it."""
    revision = runpy.run_path("checker/revision.py")["revision"]()
    (Path(folder) / "checker" / "REVISION").write_text(f"{revision}\n", encoding="ascii")


class BuildWithRevision(build_py):
    """What goes into a wheel."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # a checkout asks git
            note_revision(self.build_lib)


class ArchiveWithRevision(sdist):
    """What goes into a source archive."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        note_revision(base_dir)


setup(cmdclass={"build_py": BuildWithRevision, "sdist": ArchiveWithRevision})
