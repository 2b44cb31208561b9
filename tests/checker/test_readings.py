"""The three readings of one specification agree: what the concrete one does, the symbolic ones admit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from typing import Any

import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st

from checker.bounded import BoundedSpace, Window
from checker.calls import CallPath, ExploredCall, concrete_arguments, explore_body, finish, symbolic_arguments
from checker.concrete import ConcreteSpace, State
from checker.examples import Example, problems
from checker.paths import Run, explore
from checker.view import PageView, Transition
from spec.editions import EDITIONS, Edition
from spec.syscalls import CALLS
from spec.terms import Bool, all_, and_, between, eq, implies, not_, or_
from spec.vma import ATTRIBUTES, BOOKKEEPING, EMPTY_PAGE, HUGE_PAGES, Page, Vma, has_file, offset_at
from tests.checker.strategies import OBJECT_PAGES, SIZE, WINDOW, examples

V10, V6_12 = EDITIONS["v10"], EDITIONS["v6.12"]
NUMBERS = range(WINDOW - 2, WINDOW + SIZE + 6)
"""The pages that are compared one by one."""
FAR = z3.Int("far_page")
"""One page more, for what a call maps outside the window."""
BODIES = [name for name in CALLS if name != "mseal32"]
SHOWN = [name for name in ATTRIBUTES if name not in BOOKKEEPING]


def _z(facts: Iterable[Bool]) -> list[z3.BoolRef]:
    return [f if isinstance(f, z3.ExprRef) else z3.BoolVal(f) for f in facts]


# what both symbolic readings are told of a concrete example ------------------------------------------------------------------


def key_of(example: Example, after: State) -> int:
    """The execute-only key: in the symbolic readings one for the whole call, whether allocated before or in the call."""
    return after.exec_key


def rights(example: Example, after: State, edition: Edition) -> list[tuple[str, int, bool]]:
    """The three functions of a protection key, at every key. The rights of an execute-only key that the call allocates
    are those that it has then."""
    before, then = ConcreteSpace(example.state, edition), ConcreteSpace(after, edition)
    facts = []
    for key in range(16):
        new = key == after.exec_key and after.exec_key != example.state.exec_key
        space = then if new else before
        facts.append(("write_denied", key, bool(space.write_denied(key))))
        facts.append(("access_denied", key, bool(space.access_denied(key))))
        facts.append(("pkey_allocated", key, bool(before.pkey_allocated(key))))
    return facts


def contents(example: Example, after: State) -> list[tuple[int, int, int]]:
    """(object, offset, value) wherever a page of the window could look."""
    offsets = {*range(OBJECT_PAGES), *(at for _, at in example.state.objects)}
    offsets |= {int(offset_at(v, n)) for s in (example.state, after) for v in s.vmas if has_file(v) for n in NUMBERS}  # type: ignore[arg-type]
    found = {int(v.object) for s in (example.state, after) for v in s.vmas if v.object} | set(after.sizes)  # type: ignore[arg-type]
    return [(number, at, example.state.objects.get((number, at), 0)) for number in sorted(found) for at in sorted(offsets) if at >= 0]


def argument_facts(symbolic: Any, concrete: Any) -> list[Bool]:
    """The arguments are these."""
    facts: list[Bool] = []
    for f in fields(symbolic):
        a, b = getattr(symbolic, f.name), getattr(concrete, f.name)
        facts += [eq(x, y) for x, y in zip(a, b, strict=True)] if isinstance(a, tuple) else [eq(a, b)]
    return facts


def huge_page_facts(example: Example) -> list[Bool]:
    """The uninterpreted predicate means what it says, at the pages that can matter."""
    starts = z3.Function("starts_huge_page", z3.IntSort(), z3.BoolSort())
    numbers = {*NUMBERS}
    numbers |= {n for f in fields(example.arguments) if type(n := getattr(example.arguments, f.name)) is int}
    numbers |= {n + m for n in list(numbers) for m in (0,)}
    for name, other in (("old", "old_pages"), ("old", "new_pages"), ("new", "new_pages"), ("page", "pages")):
        if hasattr(example.arguments, name) and hasattr(example.arguments, other):
            numbers.add(getattr(example.arguments, name) + getattr(example.arguments, other))
    return [eq(starts(z3.IntVal(n)), n % HUGE_PAGES == 0) for n in sorted(numbers)]


def same_view(symbolic: PageView, concrete: PageView, page: int, *, cut: bool = True) -> Bool:
    """A page of a symbolic reading is as it is in the concrete one, as far as a program could tell."""
    facts: list[Bool] = [eq(symbolic.mapped, concrete.mapped)]
    facts += [eq(getattr(symbolic.page, f.name), getattr(concrete.page, f.name)) for f in fields(Page)]
    if cut:
        facts.append(eq(symbolic.cut, concrete.cut))
    if concrete.mapped:
        facts += [eq(getattr(symbolic.vma, name), getattr(concrete.vma, name)) for name in SHOWN]
        facts.append(eq(symbolic.visible, concrete.visible))
        if has_file(concrete.vma):
            facts.append(eq(offset_at(symbolic.vma, page), offset_at(concrete.vma, page)))
    return all_(facts)


# the unbounded reading --------------------------------------------------------------------------------------------------------


class Prepared:
    """A path, with a solver that holds all that is known on it, and what each page is like afterwards."""

    def __init__(self, explored: ExploredCall, path: CallPath) -> None:
        self.path = path
        snapshot = path.transition.after
        self.views = {n: snapshot.at(z3.IntVal(n)) for n in NUMBERS}
        self.far = snapshot.at(FAR)
        before = path.transition.before
        self.cuts = {n: before.at(z3.IntVal(n)).cut for n in NUMBERS}
        facts = path.space.facts()
        self.solver = z3.SimpleSolver()
        self.solver.set("rlimit", 30_000_000)
        self.solver.add(*path.space.run.conditions, *facts)
        self.named = list(path.space.named.values())
        world = explored.world
        self.solver.add(*world.axioms, *world.attribute_axioms)


class Unbounded:
    """A call in the unbounded reading, asked about concrete examples."""

    def __init__(self, call: str, edition: Edition) -> None:
        self.edition = edition
        self.explored = explore_body(call, edition)
        self.by_end: dict[tuple[str, str], list[CallPath]] = defaultdict(list)
        for path in self.explored.paths:
            self.by_end[path.transition.errno.name, path.transition.check].append(path)
        self._prepared: dict[int, Prepared] = {}

    @property
    def environment(self) -> tuple[str, ...]:
        """What the environment may make fail."""
        return tuple(sorted(self.explored.world.environment_checks))

    def prepared(self, path: CallPath) -> Prepared:
        """The path, made ready once."""
        if id(path) not in self._prepared:
            self._prepared[id(path)] = Prepared(self.explored, path)
        return self._prepared[id(path)]

    def world_is(self, example: Example, after: State, named: list[z3.ArithRef]) -> list[Bool]:
        """The functions of the world are those of the concrete address space, at every page that is named."""
        state, world = example.state, self.explored.world
        f = world.functions
        facts: list[Bool] = [
            eq(world.map_count, state.elsewhere + len(state.vmas)),
            eq(world.max_map_count, state.max_map_count),
            eq(world.brk, state.brk),
            eq(world.start_brk, state.start_brk),
            eq(world.exec_key, key_of(example, after)),
        ]
        for name, key, value in rights(example, after, self.edition):
            if name in f:
                facts.append(eq(f[name](z3.IntVal(key)), value))
        for vma in state.vmas:
            for name in (x.name for x in fields(Vma) if x.name != "start"):
                if f"vma_{name}" in f:
                    facts.append(eq(f[f"vma_{name}"](z3.IntVal(vma.start)), getattr(vma, name)))
        for number, page in state.pages.items():
            for name in (x.name for x in fields(Page)):
                if f"page_{name}" in f:
                    facts.append(eq(f[f"page_{name}"](z3.IntVal(number)), getattr(page, name)))
        for term in named if "mapped" in f else ():
            inside = []
            for vma in state.vmas:
                inside.append(between(vma.start, term, vma.end))
                facts.append(implies(inside[-1], and_(f["mapped"](term), eq(f["vm_start"](term), vma.start))))
            facts.append(or_(not_(f["mapped"](term)), *inside))
            empty = and_(*(eq(f[f"page_{x.name}"](term), getattr(EMPTY_PAGE, x.name)) for x in fields(Page)))
            facts.append(or_(empty, *(eq(term, number) for number in state.pages)))
        if "stored" in f:
            facts += [eq(f["stored"](z3.IntVal(o), z3.IntVal(at)), value) for o, at, value in contents(example, after)]
        if "object_pages" in f:
            facts += [eq(f["object_pages"](z3.IntVal(o)), size) for o, size in after.sizes.items()]
        return facts + huge_page_facts(example) + argument_facts(self.explored.arguments, example.arguments)

    def refuses(self, example: Example, transition: Transition, after: State) -> str:
        """Why no path admits what the concrete reading did; empty if one does."""
        paths = self.by_end[transition.errno.name, transition.check]
        if not paths:
            return f"no path ends with {transition.errno.name} by {transition.check!r}"
        far = int(transition.value) if int(transition.value) not in NUMBERS and int(transition.value) > 15 else 16  # type: ignore[arg-type]
        closest = ""
        for path in paths:
            ready = self.prepared(path)
            snapshot = path.transition.after
            ready.solver.push()
            try:
                ready.solver.add(*_z(self.world_is(example, after, ready.named)), FAR == far)
                ready.solver.add(*_z(eq(ready.cuts[n], transition.before.at(n).cut) for n in NUMBERS))
                ready.solver.add(*_z([eq(path.transition.value, transition.value)]))
                ready.solver.push()
                outcome: dict[str, Bool] = {f"page {n - WINDOW}": same_view(ready.views[n], transition.after.at(n), n) for n in NUMBERS}
                outcome[f"page {far}"] = same_view(ready.far, transition.after.at(far), far, cut=False)
                outcome["map_count"] = eq(snapshot.map_count, transition.after.map_count)
                outcome["brk"] = eq(snapshot.brk, after.brk)
                if after.exec_key == example.state.exec_key:
                    space = ConcreteSpace(after, self.edition)
                    outcome["pkru"] = all_(
                        and_(eq(snapshot.write_denied(k), space.write_denied(k)), eq(snapshot.access_denied(k), space.access_denied(k)))
                        for k in range(16)
                    )
                ready.solver.add(*_z(outcome.values()))
                answer = ready.solver.check()
                if answer == z3.sat:
                    return ""
                if answer == z3.unknown:
                    return "the solver gave up"
                ready.solver.pop()
                if ready.solver.check() == z3.unsat:
                    closest = closest or "the path cannot be taken"
                    continue
                alone = []
                for name, fact in outcome.items():
                    ready.solver.push()
                    ready.solver.add(*_z([fact]))
                    if ready.solver.check() == z3.unsat:
                        alone.append(name)
                    ready.solver.pop()
                closest = f"after it cannot be as it is: {', '.join(alone) or 'all together'}"
            finally:
                while ready.solver.num_scopes():
                    ready.solver.pop()
        return closest


@cache
def unbounded(call: str, edition: Edition) -> Unbounded:
    """The call, explored once."""
    return Unbounded(call, edition)


def told(example: Example, transition: Transition, after: State) -> str:
    """An example in words, for a person who must find out who is wrong."""
    plain = Vma(start=0, end=0)

    def words(state: State) -> str:
        rows = []
        for vma in state.vmas:
            odd = {f.name: getattr(vma, f.name) for f in fields(Vma) if f.name not in ("start", "end")}
            odd = {k: v for k, v in odd.items() if v != getattr(plain, k)}
            rows.append(f"  [{vma.start - WINDOW}, {vma.end - WINDOW}) {odd}")
        rest = {n - WINDOW: page for n, page in state.pages.items()}
        count = f"map_count {state.elsewhere + len(state.vmas)} of {state.max_map_count}"
        more = f"brk {state.start_brk - WINDOW}..{state.brk - WINDOW} exec_key {state.exec_key} pkru {state.pkru:#x}"
        return "\n".join([*rows, f"  pages {rest}", f"  objects {state.objects} sizes {state.sizes}", f"  {count} {more}"])

    made = f"{example.call} {example.arguments} failures {set(example.failures)}"
    end = f"{transition.errno.name} {transition.check!r} value {transition.value} map_count {transition.after.map_count}"
    return f"{made}\nbefore\n{words(example.state)}\nafter: {end}\n{words(after)}"


def agrees(example: Example, edition: Edition) -> None:
    """The unbounded reading admits what the concrete one does."""
    assert problems(example.state) == []
    transition, after = example.run(edition)
    why = unbounded(example.call, edition).refuses(example, transition, after)
    assert not why, f"{why}\n{told(example, transition, after)}"


ADMITTED = [(name, V10) for name in BODIES] + [(name, V6_12) for name in ("mseal", "munmap", "mprotect", "madvise", "mmap")]


@pytest.mark.parametrize(("call", "edition"), ADMITTED, ids=[f"{c}-{e.name}" for c, e in ADMITTED])
@settings(max_examples=25)
@given(data=st.data())
def test_concrete_is_a_model_of_the_unbounded_reading(call: str, edition: Edition, data: st.DataObject) -> None:
    agrees(data.draw(examples(call, edition, unbounded(call, edition).environment)), edition)
