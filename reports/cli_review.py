# SPDX-License-Identifier: MIT
"""`sealspec review` and `sealspec derive`: the kernel's C against the editions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reports.cli_common import BadUsage, ExitCode, console, line, printable
from reports.cli_interrupt import interruptible
from reports.outputs import Outputs

if TYPE_CHECKING:
    from checker.source.series import Named, Series
    from checker.source.source import Source
    from checker.source.tree import Tree
    from spec.editions import Edition

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of `sealspec review`."""

    patches: list[str]
    rev: str | None
    tree: str | None
    config: str | None
    editions: list[str]
    vmas: int
    seconds: float
    proving: int
    json_file: str | None
    out: str | None


def review(request: Request) -> ExitCode:
    """Judge the patches. Raises BadUsage."""
    outputs = Outputs({"--json": request.json_file}, folders={"--out": request.out}, inputs=request.patches)
    from checker.lab.errors import LabError
    from checker.source.errors import BadPatch

    try:
        return _review(request, outputs)
    except (BadPatch, LabError) as error:
        raise BadUsage(str(error)) from None


def _review(request: Request, outputs: Outputs) -> ExitCode:
    from checker.source.config import Config, from_file
    from checker.source.judge import Limits
    from checker.source.review import Reviewer, SeriesReviewer
    from checker.source.series import sides_of_pieces, steps_of_tree

    screen, error = console(error=outputs.standard), console(error=True)

    def say(text: str) -> None:
        if sys.stderr.isatty():
            line(error, printable(text), "dim")

    series, tree = _opened(request, say)
    editions = editions_for(request.editions, tree)
    if tree is None:
        config = from_file(Path(request.config)) if request.config else Config()
        steps = [*sides_of_pieces(series.patches, config)]
    else:
        steps = steps_of_tree(series.patches, tree.path, tree.config)
    limits = Limits(request.vmas, request.seconds, request.proving)

    def reviewer(patches: Sequence[Named], before: Source, after: Source, there: str) -> Reviewer:
        label = _label(tree)
        chosen = bool(request.editions)
        return Reviewer(patches, before, after, label and label + there, editions, limits, chosen=chosen, say=say)

    judging = SeriesReviewer(series, steps, reviewer)
    try:
        with interruptible():
            for _ in judging.run():
                pass
    except KeyboardInterrupt:
        pass  # the document says that it is not complete
    document = judging.document()
    from reports.review_text import review_lines

    width = min(screen.width, WIDTH)
    for text in review_lines(document, width):
        line(screen, text)
    outputs.write_document("--json", document)
    if request.out is not None:
        from reports.review_files import write_review

        write_review(document, request.out, series.head)
    if not document.complete:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if document.fine else ExitCode.DIFFERS


def _opened(request: Request, say: Callable[[str], None]) -> tuple[Series, Tree | None]:
    """The patches, and what they are applied to. Raises BadUsage, BadPatch, LabError."""
    from checker.source.commits import commits_of
    from checker.source.series import read_series
    from checker.source.tree import open_tree

    if request.rev is None:
        if not request.patches:
            raise BadUsage("review what? Name a PATCH, or commits: --rev A..B --tree REPOSITORY")
        series = read_series([_read(name) for name in request.patches])
        return series, open_tree(request.tree, request.config, say) if request.tree else None
    if request.patches:
        raise BadUsage("a PATCH and --rev: name the series by one of them")
    if request.tree is None:
        raise BadUsage("--rev needs --tree: the git repository that has the commits")
    commits = commits_of(request.tree, request.rev)
    series = read_series([(commits.range, commits.patches())])
    paths = [path for p in series.patches for file in p.files for path in (file.path, file.old_path)]
    return series, commits.tree(request.config, paths, say)


@dataclass(frozen=True, slots=True)
class DeriveRequest:
    """What the user asked of `sealspec derive`."""

    tree: str
    config: str | None
    editions: list[str]
    vmas: int
    seconds: float
    proving: int
    json_file: str | None


def derive(request: DeriveRequest) -> ExitCode:
    """Derive the facts of a tree. Raises BadUsage."""
    outputs = Outputs({"--json": request.json_file})
    from checker.lab.errors import LabError
    from checker.source.derive import Deriver
    from checker.source.errors import BadPatch
    from checker.source.judge import Limits
    from checker.source.tree import open_tree
    from reports.review_text import tree_lines

    screen, error = console(error=outputs.standard), console(error=True)

    def say(text: str) -> None:
        if sys.stderr.isatty():
            line(error, printable(text), "dim")

    try:
        tree = open_tree(request.tree, request.config, say)
    except (BadPatch, LabError) as bad:
        raise BadUsage(str(bad)) from None
    editions = editions_for(request.editions, tree)
    deriver = Deriver(tree, editions, Limits(request.vmas, request.seconds, request.proving), say)
    complete = True
    try:
        with interruptible():
            for _ in deriver.run():
                pass
    except KeyboardInterrupt:
        complete = False
    document = deriver.document(complete=complete)
    for text in tree_lines(document, min(screen.width, WIDTH)):
        line(screen, text)
    outputs.write_document("--json", document)
    if not complete:
        return ExitCode.INTERRUPTED
    equal = document.subjects and all(s.verdict == "equal" for s in document.subjects)
    return ExitCode.OK if equal else ExitCode.DIFFERS


def _label(tree: Tree | None) -> str:
    if tree is None:
        return ""
    version = f" (Linux {tree.version})" if tree.version else ""
    return f"{tree.label}{version}"


def _read(name: str) -> tuple[str, str]:
    """The name and the text of a file with patches. Raises BadUsage."""
    from checker.source.patch import MAX_BYTES

    shown = "standard input" if name == "-" else printable(name)
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        elif not os.path.isfile(name):
            raise BadUsage(f"{shown}: {'not a file' if os.path.exists(name) else 'no such file'}")
        else:
            with open(name, "rb") as file:
                raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadUsage(f"{shown}: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise BadUsage(f"{shown}: larger than {MAX_BYTES >> 20} MiB: no patch is")
    if b"\0" in raw:
        raise BadUsage(f"{shown}: not a patch: it is not text")
    return shown, raw.decode("utf-8", "replace")


def editions_for(given: Sequence[str], tree: Tree | None) -> list[Edition]:
    """The editions to hold the C against, the likeliest first. Raises BadUsage for an unknown one, and for one that is
    not Linux."""
    from reports.cli_common import check_runs_here, edition_named
    from spec.editions import EDITIONS, KERNELS

    if given:
        chosen = [edition_named(name) for name in dict.fromkeys(given)]
        for edition in chosen:
            check_runs_here(edition.name)
        return chosen
    first = [tree.edition] if tree is not None and tree.edition else []
    return [EDITIONS[name] for name in dict.fromkeys([*first, *KERNELS])]
