# SPDX-License-Identifier: MIT
"""Arrows between the rooms point one way, and the specification knows no solver but where terms are made."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("spec", "checker", "proofs", "reports")
MAKES_TERMS = {"terms.py", "words.py", "documented.py"}
"""Files of spec/ that build terms of the solver, for all others."""


def imported(file: Path) -> set[str]:
    """The modules that a file imports, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: a relative import"
            found.add(node.module or "")
    return found


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_uses_none_that_stands_before_it(room: str) -> None:
    forbidden = set(ROOMS[ROOMS.index(room) + 1 :])
    upward = {
        (f.relative_to(ROOT).as_posix(), m) for f in files(room) for m in imported(f) if m.split(".")[0] in forbidden
    }
    assert upward == set()


def test_the_specification_imports_no_solver_but_where_terms_are_made() -> None:
    solver = {f.relative_to(ROOT / "spec").as_posix() for f in files("spec") if "z3" in imported(f)}
    assert solver == MAKES_TERMS
