# SPDX-License-Identifier: MIT
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
from z3 import z3util

from checker.bounded import BoundedSpace, Window
from checker.calls import CallPath, ExploredCall, concrete_arguments, explore_body, finish, symbolic_arguments
from checker.concrete import ConcreteSpace, State
from checker.examples import Example, problems
from checker.paths import Run, explore
from spec.arguments import NewKey
from spec.editions import EDITIONS, Edition
from spec.errors import Errno
from spec.syscalls import CALLS
from spec.terms import Bool, all_, and_, between, eq, implies, le, not_, or_
from spec.transition import PageView, Transition
from spec.vma import ATTRIBUTES, BOOKKEEPING, EMPTY_PAGE, HUGE_PAGES, Page, Vma, has_file, offset_at
from tests.checker.strategies import OBJECT_PAGES, SIZE, WINDOW, examples

V10, V6_12 = EDITIONS["v10"], EDITIONS["v6.12"]
NUMBERS = range(WINDOW - 2, WINDOW + SIZE + 6)
"""The pages that are compared one by one."""
TOGETHER = {"madvise": 3}
"""So many pages are compared in one query, by call: the holes that madvise punches make each one more costly."""
BODIES = [name for name in CALLS if name != "mseal32"]
SHOWN = [name for name in ATTRIBUTES if name not in BOOKKEEPING]


def _z(facts: Iterable[Bool]) -> list[z3.BoolRef]:
    return [f if isinstance(f, z3.ExprRef) else z3.BoolVal(f) for f in facts]


# what both symbolic readings are told of a concrete example --------------------------------------------------------


def key_of(example: Example, after: State) -> int:
    """The execute-only key: in the symbolic readings one for the whole call, allocated before or in it."""
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
    return [
        (number, at, example.state.objects.get((number, at), 0))
        for number in sorted(found)
        for at in sorted(offsets)
        if at >= 0
    ]


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
    for name, other in (("old", "old_pages"), ("old", "new_pages"), ("new", "new_pages"), ("page", "pages")):
        if hasattr(example.arguments, name) and hasattr(example.arguments, other):
            numbers.add(getattr(example.arguments, name) + getattr(example.arguments, other))
    return [eq(starts(z3.IntVal(n)), n % HUGE_PAGES == 0) for n in sorted(numbers)]


def same_view(symbolic: PageView, concrete: PageView, page: int) -> Bool:
    """A page of a symbolic reading is as it is in the concrete one, as far as a program could tell."""
    facts: list[Bool] = [eq(symbolic.mapped, concrete.mapped)]
    facts += [eq(getattr(symbolic.page, f.name), getattr(concrete.page, f.name)) for f in fields(Page)]
    if concrete.mapped:
        facts += [eq(getattr(symbolic.vma, name), getattr(concrete.vma, name)) for name in SHOWN]
        facts.append(eq(symbolic.visible, concrete.visible))
        if has_file(concrete.vma):
            facts.append(eq(offset_at(symbolic.vma, page), offset_at(concrete.vma, page)))
    return all_(facts)


# the unbounded reading ----------------------------------------------------------------------------------------------


class Prepared:
    """A path, with a solver that holds all that is known on it, and what each page is like afterwards."""

    def __init__(self, explored: ExploredCall, path: CallPath) -> None:
        self.path = path
        self.pages = [z3.Int(f"compared_page{i}") for i in range(TOGETHER.get(explored.call.name, 10))]
        self.after = [path.transition.after.at(page) for page in self.pages]
        self.cuts = [(path.transition.before.cut(page), path.transition.after.cut(page)) for page in self.pages]
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
        pages = [n for n in example.pages(after) if n in NUMBERS or n == transition.value or n == 16]
        closest = ""
        for path in paths:
            closest = self._refused_by(self.prepared(path), example, transition, after, pages)
            if not closest:
                return ""
        return closest

    def _refused_by(
        self, ready: Prepared, example: Example, transition: Transition, after: State, pages: list[int]
    ) -> str:
        path, solver = ready.path, ready.solver
        snapshot = path.transition.after
        solver.push()
        try:
            solver.add(*_z(self.world_is(example, after, ready.named)))
            solver.add(*_z([eq(path.transition.value, transition.value)]))
            outcome: dict[str, Bool] = {
                "map_count": eq(snapshot.map_count, transition.after.map_count),
                "brk": eq(snapshot.brk, after.brk),
            }
            if after.exec_key == example.state.exec_key:
                space = ConcreteSpace(after, self.edition)
                outcome["pkru"] = all_(
                    and_(
                        eq(snapshot.write_denied(k), space.write_denied(k)),
                        eq(snapshot.access_denied(k), space.access_denied(k)),
                    )
                    for k in range(16)
                )
            for name, fact in outcome.items():
                solver.add(*_z([fact]))
                if solver.check() == z3.unsat:
                    return f"{path.transition.check!r} cannot be, or not with this {name}"
            for i in range(0, len(pages), len(ready.pages)):
                some = pages[i : i + len(ready.pages)]
                solver.push()
                for j, page in enumerate(ready.pages):
                    number = some[min(j, len(some) - 1)]
                    cuts = (transition.before.cut(number), transition.after.cut(number))
                    same_cuts = and_(*(eq(a, b) for a, b in zip(ready.cuts[j], cuts, strict=True)))
                    then = transition.after.at(number)
                    solver.add(page == number, *_z([same_cuts, same_view(ready.after[j], then, number)]))
                answer = solver.check()
                if answer != z3.sat:
                    return f"{answer}: one of the pages {[n - WINDOW for n in some]} cannot be so afterwards"
                solver.pop()
            return ""
        finally:
            while solver.num_scopes():
                solver.pop()


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
        return "\n".join(
            [*rows, f"  pages {rest}", f"  objects {state.objects} sizes {state.sizes}", f"  {count} {more}"]
        )

    made = f"{example.call} {example.arguments} failures {set(example.failures)}"
    end = (
        f"{transition.errno.name} {transition.check!r} value {transition.value} map_count {transition.after.map_count}"
    )
    return f"{made}\nbefore\n{words(example.state)}\nafter: {end}\n{words(after)}"


def agrees(example: Example, edition: Edition) -> None:
    """The unbounded reading admits what the concrete one does."""
    assert problems(example.state) == []
    transition, after = example.run(edition)
    why = unbounded(example.call, edition).refuses(example, transition, after)
    assert not why, f"{why}\n{told(example, transition, after)}"


ADMITTED = [(name, V10) for name in BODIES] + [
    (name, V6_12) for name in ("mseal", "munmap", "mprotect", "madvise", "mmap")
]


@pytest.mark.parametrize(("call", "edition"), ADMITTED, ids=[f"{c}-{e.name}" for c, e in ADMITTED])
@settings(max_examples=10)
@given(data=st.data())
def test_concrete_is_a_model_of_the_unbounded_reading(call: str, edition: Edition, data: st.DataObject) -> None:
    example = data.draw(examples(call, edition, unbounded(call, edition).environment))
    agrees(example, edition)


def test_no_key_is_left_beside_the_execute_only_key() -> None:
    state = State(elsewhere=8, pkeys=set(range(16)), exec_key=15)
    agrees(Example(state, "pkey_alloc", NewKey(False, False)), V10)


def test_a_machine_without_keys_gives_none() -> None:
    state = State(elsewhere=8, has_pkeys=False)
    agrees(Example(state, "pkey_alloc", NewKey(False, False)), V10)


# the bounded reading ------------------------------------------------------------------------------------------------


def window_is(window: Window, example: Example, after: State, edition: Edition) -> list[Bool]:
    """The window's unknowns are the concrete address space."""
    state = example.state
    facts: list[Bool] = [
        eq(window.elsewhere, state.elsewhere),
        eq(window.max_map_count, state.max_map_count),
        eq(window.brk, state.brk),
        eq(window.start_brk, state.start_brk),
        eq(window.exec_key, after.exec_key),
    ]
    for name, key, value in rights(example, after, edition):
        facts.append(eq(getattr(window, name)(key), value))
    for symbolic, vma in zip(window.vmas, state.vmas, strict=True):
        facts += [eq(getattr(symbolic, f.name), getattr(vma, f.name)) for f in fields(Vma)]
    for number in NUMBERS:
        page = state.pages.get(number, EMPTY_PAGE)
        facts += [eq(getattr(window.page(number), f.name), getattr(page, f.name)) for f in fields(Page)]
    facts += [eq(window.stored(o, at), value) for o, at, value in contents(example, after)]
    facts += [eq(window.object_pages(o), size) for o, size in after.sizes.items()]
    return facts + huge_page_facts(example)


def as_chosen(conditions: Iterable[z3.BoolRef], example: Example, check: str) -> list[Bool]:
    """The environment and the place of free mappings are as they were in the concrete run."""
    facts: list[Bool] = []
    for term in {c.arg(0) if z3.is_not(c) else c for c in conditions}:
        name = str(term)
        if z3.is_const(term) and name.startswith("fails("):
            facts.append(eq(term, name.removeprefix("fails(").rpartition(")")[0] in example.failures))
        elif z3.is_const(term) and name.startswith("no_free_range"):
            facts.append(eq(term, check == "no free range is large enough"))
        elif z3.is_const(term) and name.startswith("no_pkey"):
            facts.append(eq(term, check == "pkey_alloc: there is no protection key"))
        elif z3.is_const(term) and name.startswith("taken_pkeys"):
            facts.append(eq(term, check == "pkey_alloc: all protection keys are taken"))
    return facts


def as_made(conditions: Iterable[z3.BoolRef], example: Example, after: State) -> list[Bool]:
    """A new object is the one that the concrete run made, whose size is known: the bounded reading knows of none."""
    made = after.sizes.keys() - example.state.sizes.keys()
    unknown = {str(v): v for c in conditions for v in z3util.get_vars(c) if str(v).startswith("object!")}
    return [or_(*(eq(v, o) for o in made)) for v in unknown.values()] if made else []


def is_bounded_outcome(example: Example, edition: Edition) -> None:
    """With everything pinned, the bounded reading has one path, and it ends as the concrete reading."""
    transition, after = example.run(edition)
    window = Window(len(example.state.vmas))
    facts = _z([*window.well_formed(), *window_is(window, example, after, edition)])

    def run(path: Run) -> tuple[Any, BoundedSpace]:
        path.conditions.extend(facts)
        space = BoundedSpace(window, edition, path)
        return finish(lambda: CALLS[example.call].body(space, example.arguments)), space

    taken = 0
    for explored in explore(run, list):
        (errno, check, value), space = explored.outcome
        solver = z3.SimpleSolver()
        solver.add(*explored.conditions, *_z(as_chosen(explored.conditions, example, transition.check)))
        solver.add(*_z(as_made(explored.conditions, example, after)))
        if transition.errno is errno is Errno.OK:
            solver.add(*_z([eq(value, transition.value)]))
        if solver.check() == z3.unsat:
            continue
        taken += 1
        story = told(example, transition, after)
        assert (errno, check) == (transition.errno, transition.check), f"bounded: {errno.name} {check!r}\n{story}"
        assert len(space.vmas) == len(after.vmas), story
        certain: list[Bool] = [eq(space.counter, transition.after.map_count), eq(space.brk, after.brk)]
        possible: list[Bool] = []
        for made, vma in zip(space.vmas, after.vmas, strict=True):
            for f in fields(Vma):
                fact = eq(getattr(made, f.name), getattr(vma, f.name))
                (possible if f.name in ("object", "anon_vma") else certain).append(fact)
        snapshot = space.snapshot()
        for number in NUMBERS:
            now = transition.after.at(number)
            view = snapshot.at(number)
            certain += [eq(getattr(view.page, f.name), getattr(now.page, f.name)) for f in fields(Page)]
            if now.mapped:
                possible.append(eq(view.visible, now.visible))
        solver.push()
        solver.add(*_z([*certain, *possible]))
        assert solver.check() == z3.sat, (
            f"bounded: another outcome\n{[str(z3.simplify(c)) for c in _z(certain)][:3]}\n{story}"
        )
        solver.pop()
        solver.add(*_z([not_(all_(certain))]))
        assert solver.check() == z3.unsat, f"bounded: the outcome is not certain\n{story}"
    assert taken == 1, f"{taken} paths\n{told(example, transition, after)}"


@pytest.mark.parametrize("call", BODIES)
@settings(max_examples=5)
@given(data=st.data())
def test_concrete_is_the_bounded_reading_pinned(call: str, data: st.DataObject) -> None:
    is_bounded_outcome(data.draw(examples(call, V10, unbounded(call, V10).environment)), V10)


# bounded implies unbounded ------------------------------------------------------------------------------------------


def near(window: Window, arguments: Any) -> list[Bool]:
    """The window's VMAs and the call are in the pages that can be compared."""
    facts: list[Bool] = [
        le(8, window.elsewhere),
        le(window.elsewhere, 60_000),
        eq(window.start_brk, WINDOW + 4),
        le(window.brk, WINDOW + SIZE),
    ]
    facts += [le(window.max_map_count, 65530)]
    for vma in window.vmas:
        facts += [le(WINDOW, vma.start), le(vma.end, WINDOW + SIZE), le(vma.object, 4)]
        facts.append(or_(eq(vma.backing, 0), le(vma.offset, 4)))
    facts += [
        between(WINDOW - 1, getattr(arguments, f.name), WINDOW + SIZE + 2)
        for f in fields(arguments)
        if f.name in ("start", "end", "page")
    ]
    facts += [fact for n in NUMBERS for fact in window.page_facts(n)]
    return facts


def example_of(call: str, window: Window, arguments: Any, model: z3.ModelRef, failures: frozenset[str]) -> Example:
    """The address space and call of a model of the bounded reading."""

    def value(term: Any) -> Any:
        made = model.eval(term, model_completion=True)
        return z3.is_true(made) if z3.is_bool(made) else made.as_long()

    vmas = [Vma(**{f.name: value(getattr(vma, f.name)) for f in fields(Vma)}) for vma in window.vmas]
    pages = {n: Page(**{f.name: value(getattr(window.page(n), f.name)) for f in fields(Page)}) for n in NUMBERS}
    objects = {}
    for vma in vmas:
        for n in range(vma.start, vma.end) if vma.object else ():  # type: ignore[arg-type]
            at = vma.offset + n - vma.start
            objects[int(vma.object), int(at)] = max(0, value(window.stored(vma.object, at)))  # type: ignore[arg-type]
    pkru = 0
    for key in range(16):
        access, write = value(window.access_denied(key)), value(window.write_denied(key))
        pkru |= (1 if access else 2 if write else 0) << (2 * key)
    exec_key = value(window.exec_key)
    state = State(
        vmas=vmas,
        pages={n: page for n, page in pages.items() if page != EMPTY_PAGE},
        objects={key: v for key, v in objects.items() if v},
        sizes={int(v.object): value(window.object_pages(v.object)) for v in vmas if v.object},  # type: ignore[arg-type]
        elsewhere=value(window.elsewhere),
        max_map_count=value(window.max_map_count),
        start_brk=value(window.start_brk),
        brk=value(window.brk),
        pkeys={0, exec_key, *(k for k in range(16) if value(window.pkey_allocated(k)))},
        exec_key=exec_key,
        pkru=pkru,
    )
    return Example(state, call, concrete_arguments(arguments, model), failures)


@pytest.mark.parametrize(
    ("call", "vmas"),
    [
        *((call, vmas) for call in ("mseal", "munmap", "brk") for vmas in (1, 2)),
        *((call, 1) for call in ("mprotect", "mlock")),
        *(pytest.param(call, 2, marks=pytest.mark.slow) for call in ("mprotect", "mlock")),
    ],
)
def test_bounded_implies_unbounded(call: str, vmas: int) -> None:
    """Each path of the bounded reading is one of the unbounded reading: shown at a model of each path (of every n-th
    path, where there are many), not for all of its models."""
    window = Window(vmas)
    arguments = symbolic_arguments(CALLS[call].decoded)
    world = [*window.well_formed(), *arguments.facts(V10), *near(window, arguments)]
    world += [implies(window.access_denied(k), window.write_denied(k)) for k in range(16)]
    starts = z3.Function("starts_huge_page", z3.IntSort(), z3.BoolSort())
    world += [eq(starts(z3.IntVal(n)), n % HUGE_PAGES == 0) for n in NUMBERS]
    world += [
        le(1, window.exec_key)
    ]  # the concrete reading allocates a key where there is none; the symbolic ones have it

    def run(path: Run) -> tuple[Any, BoundedSpace]:
        path.conditions.extend(_z(world))
        space = BoundedSpace(window, V10, path)
        return finish(lambda: CALLS[call].body(space, arguments)), space

    shown = set()
    paths = list(explore(run, list, limit=2_000))
    step = max(1, len(paths) // 6)
    for explored in paths[::step]:
        (errno, check, _), _ = explored.outcome
        solver = z3.SimpleSolver()
        solver.add(*explored.conditions)
        if solver.check() != z3.sat:
            continue
        failures = frozenset(
            str(c).removeprefix("fails(").rpartition(")")[0]
            for c in explored.conditions
            if z3.is_const(c) and str(c).startswith("fails(")
        )
        example = example_of(call, window, arguments, solver.model(), failures)
        assert problems(example.state) == []
        transition, after = example.run(V10)
        assert (transition.errno, transition.check) == (errno, check), told(example, transition, after)
        agrees(example, V10)
        shown.add((errno, check))
    assert len(shown) > 1
