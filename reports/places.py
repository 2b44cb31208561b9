# SPDX-License-Identifier: MIT
"""Where in the specification's source a check of a call stands."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import spec
from spec.syscalls import CALLS

ROOT: Final = Path(inspect.getfile(spec)).resolve().parents[1]

LEAST_LETTERS: Final = 8
"""A text of fewer is not the name of a check."""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of the specification."""

    path: str
    """From the root of the checkout, with slashes."""
    line: int


def line_of(call: str, check: str) -> SourceLine:
    """Return the line that names the check of a call; of a call that ran to its end, or a check that no line of the
    specification names, the line on which the call begins."""
    own = _own(call)
    files = (*own, *(path for path in _sources() if path not in own))
    found = [
        (len(name.letters), SourceLine(path, name.line))
        for path in files
        for name in _names(path)
        if check and name.pattern.fullmatch(check)
    ]
    if found:
        return max(found, key=lambda candidate: candidate[0])[1]  # of equals the first, which is the call's own
    return SourceLine(own[0], inspect.getsourcelines(CALLS[call].body)[1])


def _own(call: str) -> tuple[str, ...]:
    """The files of a call: of its body, and of its argument stage."""
    files = (inspect.getfile(CALLS[call].body), inspect.getfile(CALLS[call].arguments))
    return tuple(dict.fromkeys(Path(name).resolve().relative_to(ROOT).as_posix() for name in files))


@cache
def _sources() -> tuple[str, ...]:
    return tuple(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "spec").rglob("*.py")))


@dataclass(frozen=True, slots=True)
class _Name:
    """A text in a source file, of which parts may be filled in (an f-string)."""

    line: int
    letters: str
    """Those that stand in the file."""
    pattern: re.Pattern[str]


@cache
def _names(path: str) -> tuple[_Name, ...]:
    found = []
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Constant | ast.JoinedStr):
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [p.value if isinstance(p, ast.Constant) and isinstance(p.value, str) else None for p in parts]
        letters = "".join(text or "" for text in texts)
        if len(letters) > LEAST_LETTERS:
            pattern = "".join(".+" if text is None else re.escape(text) for text in texts)
            found.append(_Name(node.lineno, letters, re.compile(pattern)))
    return tuple(found)
