# SPDX-License-Identifier: MIT
"""C text as it is compiled: without comments, with the branches of `#if` that are taken, every line where it was."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from checker.source.config import Config, evaluate

_COMMENT = re.compile(r"""/\*.*?(?:\*/|\Z)|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)


def without_comments(text: str) -> str:
    """The text with each comment replaced by a space and its newlines."""

    def kept(m: re.Match[str]) -> str:
        return " " + "\n" * m[0].count("\n") if m[0][0] == "/" else m[0]

    return _COMMENT.sub(kept, text)


def joined_lines(text: str) -> str:
    """Continued lines as one, followed by as many empty ones, so that numbers of lines stay."""
    lines, out = text.split("\n"), []
    i = 0
    while i < len(lines):
        line, n = lines[i], 0
        while line.endswith("\\") and i + n + 1 < len(lines):
            n += 1
            line = line[:-1] + " " + lines[i + n]
        out += [line] + [""] * n
        i += n + 1
    return "\n".join(out)


@dataclass(frozen=True, slots=True)
class Macro:
    """A `#define`: its parameters (None: it takes none) and text."""

    name: str
    parameters: tuple[str, ...] | None
    body: str
    line: int = 0


@dataclass(slots=True)
class Live:
    """A file, or a piece of one, as it is compiled."""

    lines: list[str]
    macros: dict[str, Macro] = field(default_factory=dict)
    doubtful: dict[int, str] = field(default_factory=dict)
    """Lines (from 0) that hang on a condition of which nothing is known, with that condition."""

    @property
    def text(self) -> str:
        """All of it, as many lines as there were."""
        return "\n".join(self.lines)


def _define(line: str, number: int) -> Macro | None:
    m = re.match(r"\s*#\s*define\s+(\w+)(\(([^)]*)\))?(.*)", line)
    if m is None:
        return None
    parameters = None if m[2] is None else tuple(p.strip() for p in m[3].split(",") if p.strip())
    return Macro(m[1], parameters, m[4].strip(), number)


@dataclass(slots=True)
class _Branch:
    taken: bool | None
    """The branch at hand is compiled; None: not known."""
    done: bool | None
    """A branch before it was."""
    condition: str


def live(text: str, config: Config) -> Live:
    """The text as it is compiled. A piece that begins inside an `#if` is in doubt up to the `#else` or `#endif`."""
    opened, closed = text.find("/*"), text.find("*/")
    if 0 <= closed < opened or (closed >= 0 > opened):  # the piece begins inside a comment
        text = "\n" * text[: closed + 2].count("\n") + text[closed + 2 :]
    lines = joined_lines(without_comments(text)).split("\n")
    result = Live(lines)
    stack: list[_Branch] = []
    undone: set[str] = set()

    def defined(name: str) -> bool | None:
        if name in result.macros:
            return True
        return False if name in undone else None

    for i, line in enumerate(lines):
        m = re.match(r"\s*#\s*(\w+)\s*(.*)", line)
        if m is None:
            _keep(result, i, stack)
            continue
        directive, rest = m[1], m[2].strip()
        lines[i] = ""
        if directive in ("if", "ifdef", "ifndef"):
            value = _condition(directive, rest, lines, i, config, defined)
            stack.append(_Branch(value, value, f"#{directive} {rest}"))
        elif directive in ("elif", "else", "endif"):
            if not stack:  # the piece began inside
                for j in range(i):
                    if lines[j].strip():
                        result.doubtful.setdefault(j, "an #if above what the patch shows")
                if directive != "endif":
                    stack.append(_Branch(None, None, "an #if above what the patch shows"))
            elif directive == "endif":
                stack.pop()
            else:
                branch = stack[-1]
                value = True if directive == "else" else evaluate(rest, config, defined)
                branch.taken = False if branch.done or value is False else None if branch.done is None else value
                branch.done = branch.done or (value if branch.done is False else None)
        elif all(b.taken for b in stack):
            if directive == "define" and (macro := _define(line, i + 1)):
                result.macros[macro.name] = macro
            elif directive == "undef":
                result.macros.pop(rest.split()[0] if rest else "", None)
                undone.add(rest)
    return result


def _keep(result: Live, i: int, stack: list[_Branch]) -> None:
    if any(b.taken is False for b in stack):
        result.lines[i] = ""
    elif (doubt := next((b.condition for b in stack if b.taken is None), "")) and result.lines[i].strip():
        result.doubtful[i] = doubt


def _condition(directive: str, rest: str, lines: list[str], i: int, config: Config, defined: object) -> bool | None:
    assert callable(defined)
    if directive == "if":
        return evaluate(rest, config, defined)
    value = evaluate(f"defined({rest.split()[0] if rest else '0'})", config, defined)
    if directive == "ifdef":
        return value
    if value is None:  # the guard of a header
        following = next((line for line in lines[i + 1 : i + 4] if line.strip()), "")
        if re.match(rf"\s*#\s*define\s+{re.escape(rest)}\b", following):
            return True
    return None if value is None else not value
