# SPDX-License-Identifier: MIT
"""The argument stage of a call, in words of 64 bits: the C ends as the specification does, or comes to the address
space for the first time with the same values in every variable that is still used.

The same values: as when it is given the decoded arguments, whole pages. So the body, which is compared over page
numbers, begins where the bytes ended (METHOD.md, "the bridge").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import z3
from pycparser import c_ast

from checker.calls import _WordPath, finish, words_of
from checker.paths import Run, explore
from checker.source.errors import Fault
from checker.source.machine import Boundary, Frame, Machine, walk
from checker.source.sides import named, number_of
from checker.source.source import Source
from checker.source.subjects import Subject
from checker.source.table import TABLE
from checker.source.values import UNSET, Addr, Flags, Iter, Record, Ref, Word
from spec.editions import Edition
from spec.syscalls import CALLS


@dataclass(slots=True)
class ArgumentsEnd:
    """Where the C and the specification part before the address space is looked at; or that they do not."""

    paths: int = 0
    why: str = ""
    words: dict[str, int] = field(default_factory=dict)
    spec: str = ""
    c: str = ""

    @property
    def equal(self) -> bool:
        """They do not."""
        return not self.why


def _reach(source: Source, path: Any, subject: Subject, arguments: list[Any], note: Callable[[Machine], None]) -> Any:
    """Run the C without an address space: a Boundary, a value, or a Fault."""
    machine = Machine(source, path)
    try:
        return number_of(machine.enter(subject.entry, arguments))
    except Boundary as reached:
        reached.frames = [Frame(f.function, f.file, f.body, [f.visible()], {}, f.call) for f in reached.frames]
        return reached
    except Fault as fault:
        return fault
    finally:
        note(machine)


def compare_arguments(
    source: Source, subject: Subject, edition: Edition, note: Callable[[Machine], None] = lambda machine: None
) -> ArgumentsEnd:
    """Compare. Raises NotCovered."""
    call = CALLS[subject.call]
    words = words_of(call)
    assert subject.words is not None
    as_words = subject.words

    def run(path: Run) -> Any:
        guards = _WordPath(edition, path, None)
        decoded: Any = None

        def stage() -> int:
            nonlocal decoded
            decoded = call.arguments(guards, *words.values())
            return 0

        spec = finish(stage)
        in_words = _reach(source, guards, subject, as_words(words), note)
        in_pages: Any = None
        if decoded is not None and isinstance(in_words, Boundary):
            free = {name: made(words) for name, made in subject.free.items()}
            in_pages = _reach(source, guards, subject, subject.given(decoded, free), note)
        return spec, decoded, in_words, in_pages

    end = ArgumentsEnd()
    for explored in explore(run, list):
        end.paths += 1
        (errno, check, value), decoded, c, pages = explored.outcome
        differ, why = _differ(errno, value, decoded, c, pages)
        if decoded is not None and subject.facts(decoded):
            ensured = z3.Not(z3.And([z3.BoolVal(f) if isinstance(f, bool) else f for f in subject.facts(decoded)]))
            differ = ensured if differ is False else True if differ is True else z3.Or(differ, ensured)
        if differ is False:
            continue
        solver = z3.Solver()
        solver.add(explored.conditions)
        solver.add(differ)
        if solver.check() == z3.unsat:
            continue
        model = solver.model()
        end.why = why
        end.words = {name: model.eval(w, model_completion=True).as_long() for name, w in words.items()}
        end.spec = "goes on" if decoded is not None else errno.name if errno else str(value)
        end.spec += f" ({check})" if check else ""
        end.c = "goes on" if isinstance(c, Boundary) else str(c)
        return end
    return end


def _differ(errno: Any, value: Any, decoded: Any, c: Any, pages: Any) -> tuple[Any, str]:
    if isinstance(c, Fault):
        return True, str(c)
    if isinstance(c, Boundary):
        if decoded is None:
            return True, "the C goes on where the specification ends"
        if not isinstance(pages, Boundary):
            return True, "the C goes on for these bytes, and not for the same range in whole pages"
        return _frames_differ(c, pages)
    if decoded is not None:
        return True, f"the C ends with {named(c)} where the specification goes on"
    wanted = -int(errno) if errno else value
    return c != wanted, f"the C returns {named(c)}"


def _frames_differ(a: Boundary, b: Boundary) -> tuple[Any, str]:
    if a.name != b.name or [f.function for f in a.frames] != [f.function for f in b.frames]:
        return True, f"the C comes to {a.name}() for these bytes, and to {b.name}() for whole pages"
    pairs: list[tuple[str, Any, Any]] = []
    for x, y in zip(a.frames, b.frames, strict=True):
        mine, other = x.visible(), y.visible()
        pairs += [(f"{name} in {x.function}()", mine[name], other.get(name)) for name in live_names(x) if name in mine]
    if not TABLE[a.name].ignores:
        pairs += [(f"an argument of {a.name}()", x, y) for x, y in zip(a.arguments, b.arguments, strict=True)]
    unequal: list[tuple[str, Any]] = []
    for what, x, y in pairs:
        same = _same(x, y)
        if same is not True:
            unequal.append((what, same))
    if not unequal:
        return False, ""
    why = f"{', '.join(what for what, _ in unequal)}: other than the specification's range"
    if any(same is False for _, same in unequal):
        return True, why
    return z3.Or([z3.Not(same) for _, same in unequal]), why


def live_names(frame: Frame) -> Iterable[str]:
    """Variables of a function that may be used after the call at which it waits."""
    nodes = list(walk(frame.body))
    place = next((i for i, node in enumerate(nodes) if node is frame.call), 0)
    start = place
    loops = (c_ast.While, c_ast.For, c_ast.DoWhile)
    for i, node in enumerate(nodes[: place + 1]):
        if isinstance(node, loops) and any(inner is frame.call for inner in walk(node)):
            start = min(start, i)
    labels = {node.name for node in nodes[: place + 1] if isinstance(node, c_ast.Label)}
    if any(isinstance(node, c_ast.Goto) and node.name in labels for node in nodes):
        start = 0
    within = {id(node) for node in walk(frame.call)} if frame.call is not None else set()
    repeated = start < place
    used = (n for n in nodes[start:] if isinstance(n, c_ast.ID) and (repeated or id(n) not in within))
    return dict.fromkeys(node.name for node in used)


def _same(x: Any, y: Any) -> Any:
    """True, False, or the condition under which a value of bytes is a value of pages."""
    if isinstance(x, Word) and isinstance(y, Addr):
        page: Any = y.page if not isinstance(y.page, int) else z3.BitVecVal(y.page, 64)
        term = x.to(64, False).vector() == (page << 12) + y.byte
        return _folded(term)
    if isinstance(x, Word) and isinstance(y, Word):
        if x.known and y.known:
            return x.number == y.number
        bits = max(x.bits, y.bits)
        return _folded(x.to(bits, x.signed).vector() == y.to(bits, y.signed).vector())
    if isinstance(x, bool | z3.BoolRef) and isinstance(y, bool | z3.BoolRef):
        return _folded(x == y)
    if isinstance(x, Iter) and isinstance(y, Iter):
        if x.start is None or y.start is None:
            return x.start is y.start
        return _same(x.start, y.start)
    if isinstance(x, Record) and isinstance(y, Record):
        parts = [_same(x.fields[n], y.fields.get(n)) for n in x.fields]
        if any(p is False for p in parts):
            return False
        open_ = [p for p in parts if p is not True]
        return z3.And(open_) if open_ else True
    if isinstance(x, Flags) and isinstance(y, Flags):
        return x.bits == y.bits if all(isinstance(b, bool) for b in x.bits.values()) else x is y
    if isinstance(x, Ref) and isinstance(y, Ref):
        return x.name == y.name
    if x is UNSET or y is UNSET:
        return x is y
    if isinstance(x, Addr) and isinstance(y, Addr):
        return x == y
    return type(x) is type(y)


def _folded(term: Any) -> Any:
    if isinstance(term, bool):
        return term
    simple = z3.simplify(term)
    return True if z3.is_true(simple) else False if z3.is_false(simple) else simple
