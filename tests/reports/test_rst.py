# SPDX-License-Identifier: MIT
"""The wording for the kernel's document: generated from cells, and a patch that applies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from checker.documents.base import BadDocument
from proofs.settled import DOCUMENT
from reports import rst
from reports.cli import main
from reports.cli_common import ExitCode
from reports.review import Review
from tests.lab.kernels import SHARED
from tests.reports.reviews import review_of, with_cell

SEED = SHARED / "seed"
NO_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CEILING_DIRECTORIES": "/"}
"""git as it is where nobody has set anything: what a hook that runs the tests hands on is left out too."""

# Documents of our own that have what the kernel's has: its few words by which the passages are found, and its layout.
LIST = """\
About sealing
=============

   **Errors**:
      - For above error cases, this is what
        we say of them.
      - There might be other internal errors of a kind; then partial updates
        are what we speak of.

   **Next**:
      something else

   Some calls give an error.

   When one returns -EPERM the memory may
   or may not be changed, see here:

      - munmap: munmap is atomic, they say.
      - mprotect: partial update might happen, they say.
      - mmap: undefined behavior.

Uses
====
- one
"""
"""As it was rewritten."""
CRAMPED = LIST.replace("memory may\n   or may not be changed, see here:\n\n", "memory may or may not be changed:\n")
"""With no blank line before the list."""
PARAGRAPH = """\
About sealing
=============

**Values**:

- ``0``: fine

- For above error cases, this is what
  we say of them.

- There might be other internal errors of a kind; then partial updates
  are what we speak of.

**Blocked**:
    Much.

    For blocked operations, the memory is unmodified, is what we say. To
    see it:

    - a = one();
    - b = two();

**Note**:
    the end
"""
"""As it came with the patch: an example follows."""
DOCUMENTS = {"list": LIST, "cramped": CRAMPED, "paragraph": PARAGRAPH, "no last newline": LIST.rstrip("\n")}


@pytest.fixture(scope="module")
def review() -> Review:
    """v10, with a matrix."""
    return review_of("v10")


def applied(folder: Path, document: str, diff: str) -> str:
    """What `git apply` makes of a document."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | NO_SETTINGS
    target = folder / DOCUMENT
    target.parent.mkdir(parents=True)
    target.write_text(document, encoding="utf-8")
    (folder / "wording.patch").write_text(diff, encoding="utf-8")
    for arguments in (["init", "-q", "."], ["apply", "--check", "wording.patch"], ["apply", "wording.patch"]):
        subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, timeout=60)
    return target.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_patch_applies(tmp_path: Path, review: Review, name: str) -> None:
    document = DOCUMENTS[name]
    new = applied(tmp_path, document, rst.patch(review, document, "mseal.rst"))
    for gone in ("above error cases", "internal errors", "may or may not", "atomic", "partial update", "undefined"):
        assert gone not in new
    kept = [line for line in document.split("\n") if re.match(r"\S|.*(something|Some calls|Much|= (one|two))", line)]
    assert [line for line in new.split("\n") if line in kept] == [line for line in kept if line in new.split("\n")]
    assert {line for line in kept if not re.search("above|internal|we s", line)} <= set(new.split("\n"))
    assert max(map(len, new.split("\n"))) <= 72 and not re.search(r"[ \t]+$|\n\n\n", new, re.MULTILINE)
    assert new.endswith("\n") == document.endswith("\n")


def test_an_example_that_followed_is_still_led_up_to(tmp_path: Path, review: Review) -> None:
    new = applied(tmp_path, PARAGRAPH, rst.patch(review, PARAGRAPH, "mseal.rst"))
    assert "\n    For example:\n\n    - a = one();\n" in new


def test_the_patch_applies_to_the_document_of_the_seed(tmp_path: Path, review: Review) -> None:
    added = re.compile(rf"^\+\+\+ b/{re.escape(DOCUMENT)}\n@@ .*\n((?:^\+.*\n)+)", re.MULTILINE)
    found = [m for path in sorted(SEED.glob("*")) for m in added.finditer(path.read_text(encoding="utf-8"))]
    if not found:
        pytest.skip(f"no patch is here (seed/ in MSEAL_SPEC_SHARED) that adds {DOCUMENT}")
    document = re.sub(r"^\+", "", found[0][1], flags=re.MULTILINE)
    assert "-EPERM" in applied(tmp_path, document, rst.patch(review, document, "mseal.rst"))


def test_the_wording_is_that_of_the_cells(review: Review) -> None:
    text = " ".join(rst.render(review).split())
    calls = "munmap, mmap, mremap, mprotect, pkey_mprotect, madvise, brk (which returns the old break, and no error)"
    assert f"- {calls}: nothing at all, no page and no VMA boundary." in text
    assert "- mremap: * -ENOMEM: the pages that mremap had reached may be changed; no other page is changed." in text
    assert "-ENOMEM may also be returned because: no room under the map-count limit for a split. Then " in text
    assert "a page of the range is unmapped (-ENOMEM)" in text


def test_a_changed_cell_changes_the_wording(review: Review) -> None:
    part = "the pages before the seal may be changed; no other page is changed"
    changed = with_cell(review, "mprotect", "EPERM", "seal", verdict="partial", level="pages", sentence=part)
    before, after = (" ".join(rst.render(r).split()) for r in (review, changed))
    assert f"- mprotect: {part}." in after and part not in before
    open_ = with_cell(review, "mmap", "EPERM", "seal", verdict="unknown", sentence="undecided: slow")
    assert "- mmap: not settled." in " ".join(rst.render(open_).split())


def test_a_mseal_that_changes_nothing_is_said_to(review: Review) -> None:
    for errno in ("ENOMEM", "EINVAL"):
        review = with_cell(review, "mseal", errno, verdict="atomic", sentence="nothing at all is changed")
    assert "Whatever the error, nothing at all is changed" in " ".join(rst.render(review).split())


@pytest.mark.parametrize("document", ["", "Sealing\n=======\n\nNothing of the kind.\n", LIST.replace("\n", "\r\n")])
def test_a_document_that_cannot_be_patched_is_one_line(review: Review, document: str) -> None:
    with pytest.raises(BadDocument) as raised:
        rst.patch(review, document, "a.rst")
    assert str(raised.value).startswith("a.rst: ") and "\n" not in str(raised.value)


def test_without_a_matrix_nothing_is_claimed(review: Review) -> None:
    bare = review.model_copy(update={"matrix": None})
    assert "not in this report" in rst.render(bare)
    assert "nothing at all" not in rst.render(bare)
    with pytest.raises(ValueError, match="matrix"):
        rst.patch(bare, LIST, "a.rst")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rst", "no-such.rst"], "no-such.rst: cannot be read"),
        (["--rst", "no-such.rst", "--out", "folder"], "--rst prints"),
        (["--thread", "--out", "folder"], "--thread prints"),
        (["--rst", "no-such.rst", "--edition", "v10", "--edition", "v6.12"], "--rst is about one edition"),
        (["--rst", "no-such.rst", "--edition", "v9"], "unknown edition 'v9'"),
    ],
)
def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert main(["report", *arguments]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and says in said.err
