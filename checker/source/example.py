# SPDX-License-Identifier: MIT
"""From a path on which two readings part to a concrete case: an address space, a call in bytes, and how each ends.

A model is only a hint. The specification and the C are executed on it in the concrete reading, and what is shown is
what that says.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

import z3

from checker.bounded import Window
from checker.calls import concrete_arguments, words_for, words_of
from checker.concrete import State, TooManyPages
from checker.documents.layouts import LayoutDoc
from checker.examples import ENOUGH_PAGES, problems
from checker.preferences import SHORT, UNMARKED, WINDOW
from checker.source.compare import Apart
from checker.source.sides import Side
from checker.source.space import ConcreteKernel
from checker.source.subjects import Free, Subject
from spec.editions import Edition
from spec.syscalls import CALLS
from spec.terms import Num, eq, le, whole
from spec.vma import ANONYMOUS, EMPTY_PAGE, Page, Vma

LENGTHS: Final = (1, 2, 3, 4, 6, 9, 16)
"""Pages that all VMAs of an example have together, in this order."""


@dataclass(slots=True)
class End:
    """How one side ends, concretely."""

    result: str
    """`success`, an errno by name, or what goes wrong."""
    check: str
    after: State
    map_count: int
    faulted: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells two ends apart."""
        a = self.after
        return self.result, a.vmas, a.pages, a.objects, a.brk, self.map_count


@dataclass(slots=True)
class Case:
    """A concrete case: both sides from one address space."""

    before: State
    words: dict[str, int] | None
    """The call's arguments; None where no bytes lead to the range."""
    arguments: Any
    failures: frozenset[str]
    first: End
    second: End

    @property
    def apart(self) -> bool:
        """The two ends can be told apart."""
        return self.first.key != self.second.key


def _value(model: z3.ModelRef, term: Any) -> Any:
    if not isinstance(term, z3.ExprRef):
        return term
    found = model.eval(term, model_completion=True)
    return z3.is_true(found) if z3.is_bool(found) else found.as_long()


def _state(model: z3.ModelRef, window: Window, conditions: list[z3.BoolRef]) -> State:
    vmas = [Vma(**{f.name: _value(model, getattr(v, f.name)) for f in fields(Vma)}) for v in window.vmas]
    pages: dict[int, Page] = {}
    objects: dict[tuple[int, int], int] = {}
    sizes: dict[int, int] = {}
    for vma in vmas:
        for number in range(whole(vma.start), min(whole(vma.end), whole(vma.start) + 64)):
            page = Page(**{n: _value(model, f(number)) for n, f in window.page_functions.items()})
            if page != EMPTY_PAGE:
                pages[number] = page
        if vma.object:
            sizes[whole(vma.object)] = max(0, min(_value(model, window.object_pages(vma.object)), ENOUGH_PAGES))
    pkru, pkeys = 0, {0}
    for key in range(16):
        if _value(model, window.access_denied(key)):
            pkru |= 3 << (2 * key)
        elif _value(model, window.write_denied(key)):
            pkru |= 2 << (2 * key)
        if _value(model, window.pkey_allocated(key)):
            pkeys.add(key)
    exec_key = _value(model, window.exec_key)
    return State(
        vmas=vmas,
        pages=pages,
        objects=objects,
        sizes=sizes,
        elsewhere=_value(model, window.elsewhere),
        max_map_count=_value(model, window.max_map_count),
        start_brk=_value(model, window.start_brk),
        brk=_value(model, window.brk),
        pkeys=pkeys | {exec_key},
        has_pkeys=True,
        exec_key=exec_key,
        pkru=pkru,
    )


def _wishes(apart: Apart) -> Iterator[Any]:
    """What makes a case plain, one after the other as far as they can be had."""
    window, to = apart.window, apart.arguments
    for vma in window.vmas:
        yield eq(vma.backing, ANONYMOUS)
        for name in UNMARKED:
            yield z3.Not(getattr(vma, name))
    if hasattr(to, "end"):
        yield le(to.end - to.start, SHORT)
        if window.vmas:
            yield z3.And(to.start >= window.vmas[0].start, to.end <= window.vmas[-1].end)
        yield z3.And([a.end == b.start for a, b in itertools.pairwise(window.vmas)])
    yield eq(window.elsewhere, 0)
    yield eq(window.max_map_count, 65530)
    yield eq(window.exec_key, 0)
    if isinstance(getattr(to, "exec", None), z3.BoolRef):  # memory that may only be executed takes a key
        yield z3.Implies(to.exec, to.read)
    yield eq(window.start_brk, 0)
    yield eq(window.brk, 0)
    for vma in window.vmas:
        yield z3.Not(vma.sealed)
        yield eq(vma.object, 0)
        yield eq(vma.object, 1)
        yield eq(vma.anon_vma, 0)
        yield eq(vma.pkey, 0)
        yield eq(vma.reading, 0)
        yield eq(vma.thp, 0)
        yield z3.And(vma.may_read, vma.may_write, vma.may_exec)
        yield z3.And(vma.read, vma.write, z3.Not(vma.exec))
        yield eq(vma.offset, vma.start)
        yield eq(vma.offset, 0)
        for i in range(min(4, LENGTHS[-1])):
            number = vma.start + i
            yield z3.Not(window.page_functions["copied"](number))
            yield z3.Not(window.page_functions["guard"](number))
    for key in range(16):
        yield z3.Not(window.write_denied(key))
    for key in range(1, 16):
        yield z3.Not(window.pkey_allocated(key))
        yield z3.Not(window.access_denied(key))
    for free in apart.free.values():
        yield z3.Not(free)
    for name in ("growsdown", "growsup"):
        if isinstance(getattr(to, name, None), z3.BoolRef):
            yield z3.Not(getattr(to, name))


def _page_facts(window: Window) -> list[Any]:
    facts: list[Any] = []
    for vma in window.vmas:
        for i in range(4):
            facts += window.page_facts(vma.start + i)
    for key in range(16):
        facts.append(z3.Implies(window.access_denied(key), window.write_denied(key)))
    return facts


def models(apart: Apart, timeout_ms: int = 5_000) -> Iterator[z3.ModelRef]:
    """Models of the path, the smallest and plainest first."""
    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    solver.add(apart.conditions)
    solver.add(_page_facts(apart.window))
    vmas = apart.window.vmas
    if not vmas:
        if solver.check() == z3.sat:
            yield _plainest(solver, apart)
        return
    pages: Num = sum((v.end - v.start for v in vmas), start=0)
    near = z3.And(vmas[0].start >= WINDOW, vmas[-1].end <= WINDOW + 48)
    for place in (z3.And(near, vmas[0].start == WINDOW), near, z3.BoolVal(True)):
        solver.push()
        solver.add(place)
        for length in LENGTHS:
            if length < len(vmas):
                continue
            solver.push()
            solver.add(pages <= length)
            if solver.check() == z3.sat:
                yield _plainest(solver, apart)
            solver.pop()
        solver.pop()
    if solver.check() == z3.sat:
        yield _plainest(solver, apart)


def _plainest(solver: z3.Solver, apart: Apart) -> z3.ModelRef:
    model: z3.ModelRef = solver.model()
    depth = 0
    for wish in _wishes(apart):
        if isinstance(wish, bool) or z3.is_true(model.eval(wish, model_completion=True)):
            if not isinstance(wish, bool):
                solver.push()
                depth += 1
                solver.add(wish)
            continue
        solver.push()
        depth += 1
        solver.add(wish)
        if solver.check() == z3.sat:
            model = solver.model()
        else:
            solver.pop()
            depth -= 1
    for _ in range(depth):
        solver.pop()
    return model


def failures_of(apart: Apart, model: z3.ModelRef) -> frozenset[str]:
    """What the environment makes fail on the path."""
    found = set()
    for term in apart.conditions:
        if z3.is_const(term) and str(term).startswith("fails("):
            found.add(str(term).removeprefix("fails(").rpartition(")")[0])
    return frozenset(found)


def ended(side: Side, subject: Subject, edition: Edition, case: tuple[State, Any, Free, frozenset[str]]) -> End:
    """One side, executed."""
    state, to, free, failures = case
    after = state.copy()
    space = ConcreteKernel(after, edition, failures)
    end = side.run(space, subject, to, free)
    return End(end.text, "" if end.faulted else end.check, after, whole(space.counter), end.faulted)


def example_of(
    apart: Apart, subject: Subject, edition: Edition, first: Side, second: Side,
    confirms: Callable[[Case], bool] = lambda case: case.apart,
) -> Case | None:  # fmt: skip
    """The smallest concrete case of the path that both sides, executed, confirm; None if there is none."""
    if apart.killed:
        return None
    for model in models(apart):
        case = _case(model, apart, subject, edition, first, second)
        if case is not None and confirms(case):
            return case
    return None


def _case(
    model: z3.ModelRef, apart: Apart, subject: Subject, edition: Edition, first: Side, second: Side
) -> Case | None:
    state = _state(model, apart.window, apart.conditions)
    try:
        state = LayoutDoc.from_state(state).to_state()
    except ValueError:
        return None
    if problems(state):
        return None
    to = concrete_arguments(apart.arguments, model)
    free = {name: _value(model, term) for name, term in apart.free.items()}
    failures = failures_of(apart, model)
    try:
        ends = [ended(side, subject, edition, (state, to, free, failures)) for side in (first, second)]
    except TooManyPages:
        return None
    words = None
    if subject.whole:
        also = [made(_words(subject)) == free[name] for name, made in subject.free.items()]
        found = words_for(subject.call, edition, to, also)
        words = dict(found) if found is not None else None
    return Case(state, words, to, failures, *ends)


def _words(subject: Subject) -> dict[str, Any]:
    return dict(words_of(CALLS[subject.call]))
