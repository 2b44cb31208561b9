# SPDX-License-Identifier: MIT
"""The commits of a git repository as a series of patches, and the files as they were before them. The repository is
only read, by git itself."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import DEVNULL
from typing import Final

from checker import temporary
from checker.processes import program
from checker.source.errors import BadPatch
from checker.source.source import CONSTANTS, SEARCHED
from checker.source.tree import Say, Tree, open_tree
from checker.text import printable

MOST_COMMITS: Final = 200
"""A longer series is refused."""
_PATCHES: Final = (
    "format-patch", "--stdout", "--numbered", "--subject-prefix=PATCH", "--pretty=mboxrd", "--no-cover-letter",
    "--no-thread", "--no-attach", "--no-base", "--no-signature", "--no-renames", "--no-relative", "--no-color",
    "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--end-of-options",
)  # fmt: skip
"""So that nothing of it hangs on the user's configuration."""


@dataclass(frozen=True, slots=True)
class Commits:
    """The commits A..B of a repository."""

    folder: Path
    range: str
    """As it was given."""
    base: str
    """Hash of the commit that they are on top of: the merge base of A and B."""
    last: str
    """Hash of B."""

    def patches(self) -> str:
        """Return them as an mbox. Raises BadPatch."""
        return _git(self, [*_PATCHES, f"{self.base}..{self.last}", "--"]).decode("utf-8", "replace")

    def tree(self, config: str | None, paths: Iterable[str], say: Say) -> Tree:
        """What is read of the files before the commits, `paths` and those that are searched, as a tree in a folder that
        is removed when this process ends. The .config is the repository's own unless there is a `config`. Raises
        BadPatch."""
        wanted = dict.fromkeys([*SEARCHED, *CONSTANTS, "Makefile", *paths])
        with tempfile.TemporaryFile() as names:
            names.write("".join(f"{self.base}:{path}\n" for path in wanted).encode())
            names.seek(0)
            answer = _git(self, ["cat-file", "--batch"], names.fileno())
        try:
            folder = temporary.make_folder()
            for path in wanted:
                head, _, answer = answer.partition(b"\n")
                if not head.endswith((b" missing", b" ambiguous")):
                    size = int(head.split()[-1])
                    if head.split()[-2] == b"blob":
                        (folder / path).parent.mkdir(parents=True, exist_ok=True)
                        (folder / path).write_bytes(answer[:size])
                    answer = answer[size + 1 :]
        except OSError as error:
            raise BadPatch(f"{error.filename}: {error.strerror}") from None
        if not (folder / "mm").is_dir():
            raise BadPatch(f"--tree {self.folder}: not a kernel tree: {self.base[:12]} has no folder mm")
        own = self.folder / ".config"
        opened = open_tree(str(folder), config or (str(own) if own.is_file() else None), say)
        return replace(opened, label=f"{self.folder} at {self.base[:12]}")


def commits_of(given: str, range: str) -> Commits:
    """Find the commits A..B (HEAD for no B) of the repository in a folder. Raises BadPatch, in one line: for what is no
    range of commits in a row, for no repository, and where there is no git."""
    folder = Path(given)
    if not folder.is_dir():
        raise BadPatch(f"--tree {given}: no such folder")
    first, dots, last = range.partition("..")
    if not dots or not first or ".." in last or last.startswith(".") or not range.isprintable():
        raise BadPatch(f"--rev {printable(range)}: not a range of commits, A..B")
    if first.startswith("-") or last.startswith("-"):
        raise BadPatch(f"--rev {range}: no commit has a name that begins with -")
    asked = Commits(folder, range, "", "")
    _git(asked, ["rev-parse", "--git-dir"])
    ends = []
    for name in (first, last or "HEAD"):
        command = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        ends.append(_git(asked, command, wrong=f"no commit {name}").decode("ascii", "replace").strip())
    base = _git(asked, ["merge-base", "--end-of-options", *ends], wrong="the two have no commit in common")
    found = replace(asked, base=base.decode("ascii", "replace").strip(), last=ends[1])
    there = f"{found.base}..{found.last}"
    if int(_git(found, ["rev-list", "--count", "--merges", "--end-of-options", there, "--"])):
        raise BadPatch(f"--rev {range}: there are merges among the commits: a series has none")
    count = int(_git(found, ["rev-list", "--count", "--end-of-options", there, "--"]))
    if not 0 < count <= MOST_COMMITS:
        raise BadPatch(f"--rev {range}: {count} commits: a series has from 1 to {MOST_COMMITS}")
    return found


def _git(commits: Commits, arguments: list[str], stdin: int = DEVNULL, *, wrong: str = "") -> bytes:
    """What git answers. Raises BadPatch, with `wrong` if that is given, else with the first line of what git says."""
    command = ["git", "--no-pager", "--no-optional-locks", "-C", str(commits.folder), *arguments]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith("GIT_CONFIG")}
    try:
        with program(command, env={**kept, "LC_ALL": "C"}, stdin=stdin) as process:
            out, err = process.communicate()
    except FileNotFoundError:
        raise BadPatch(f"--rev {commits.range}: there is no git on PATH") from None
    except OSError as error:
        raise BadPatch(f"--rev {commits.range}: git cannot be run: {error.strerror}") from None
    if process.returncode:
        said = next(iter(err.decode("utf-8", "replace").strip().splitlines()), "git fails")
        raise BadPatch(f"--rev {commits.range}: {wrong or printable(said)}")
    return out
