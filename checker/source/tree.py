# SPDX-License-Identifier: MIT
"""Trees: a folder of the user's, or Debian's source package in the cache. Kernel source is read there and kept nowhere
else."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checker.lab.errors import LabError
from checker.lab.fetch import fetch_source, kernels_dir, run_tool
from checker.source.config import Config, from_file
from checker.source.errors import BadPatch
from spec.kernels import UnknownKernel, row_of

Say = Callable[[str], None]
PARTS: Final = (
    "mm/*.c", "mm/*.h", "include/linux/*.h", "include/uapi/linux/*.h", "include/uapi/asm-generic/*.h",
    "arch/x86/include/asm/*.h", "arch/x86/mm/*.c", "Makefile",
)  # fmt: skip
"""What of a source package is unpacked."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Where files of a kernel are."""

    path: Path
    label: str
    config: Config

    @property
    def version(self) -> str:
        """As its Makefile has it; empty if it does not say."""
        try:
            text = (self.path / "Makefile").read_text("utf-8", "replace")[:4000]
        except OSError:
            return ""
        parts = {m[1]: m[2] for m in re.finditer(r"^(VERSION|PATCHLEVEL|SUBLEVEL) *= *(\d*)$", text, re.M)}
        numbers = [parts.get(name, "") for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
        return ".".join(numbers) if all(numbers) else ""

    @property
    def edition(self) -> str | None:
        """The edition that a kernel of its version behaves as; None if that is not known."""
        try:
            row = row_of(self.version) if self.version else None
        except UnknownKernel:
            return None
        return row.edition if row else None


def open_tree(given: str, config: str | None, say: Say) -> Tree:
    """A folder, or `linux-source-VERSION`. Raises BadPatch for what is no kernel tree, LabError where Debian's is
    not to be had."""
    m = re.fullmatch(r"linux-source-(\d+\.\d+(?:\.\d+)?)", given)
    path = _debian(m[1], say) if m else Path(given)
    try:
        if not path.is_dir():
            raise BadPatch(f"--tree {given}: no such folder")
        if not (path / "mm").is_dir():
            raise BadPatch(f"--tree {given}: not a kernel tree: it has no folder mm")
        chosen = Path(config) if config else path / ".config"
        found = from_file(chosen) if config or chosen.is_file() else Config()
    except OSError as error:
        raise BadPatch(f"{error.filename}: {error.strerror}") from None
    return Tree(path, given, found)


def _debian(version: str, say: Say) -> Path:
    folder = kernels_dir().parent / "sources"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / f"linux-source-{version}"
        if known.is_dir():
            return known
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name:
            work = Path(name)
            archive = fetch_source(version, work, say)
            say(f"unpacking {archive.name}")
            run_tool(["dpkg-deb", "-x", str(archive), "package"], work, f"unpack {archive.name}")
            inner = next(work.glob("package/usr/src/linux-source-*.tar.xz"), None)
            if inner is None:
                raise LabError(f"{archive.name} has no source")
            top = inner.name.removesuffix(".tar.xz")
            patterns = [f"{top}/{part}" for part in PARTS]
            flags = ["--wildcards", "--no-wildcards-match-slash"]
            run_tool(["tar", "-xJf", str(inner), *flags, *patterns], work, f"unpack {inner.name}")
            os.replace(work / top, known)
    except OSError as error:
        raise LabError(f"{folder}: {error.strerror or error}") from None
    return known
