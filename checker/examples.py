# SPDX-License-Identifier: MIT
"""From a solver's model to a concrete example: an address space of a few VMAs, a call, and how it ended.

A model of the unbounded reading is only a hint. The concrete reading executes it, and what is shown to a person is what
the concrete reading says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import z3

from checker.calls import CallPath, ExploredCall, concrete_arguments, finish
from checker.concrete import ConcreteSpace, State
from checker.layout import NO_VMA, ODD_VMA
from checker.unbounded import World
from spec.arguments import Decoded
from spec.editions import Edition
from spec.properties import Property
from spec.syscalls import CALLS
from spec.terms import Bool, Num, whole
from spec.transition import PageView, Transition
from spec.vma import ATTRIBUTES, EMPTY_PAGE, Page, Vma, well_formed_page, well_formed_vma


class ConcreteSnapshot:
    """A concrete address space at one moment, as a property sees it."""

    nothing: Vma = NO_VMA
    """Shown where no VMA is: no answer may depend on it."""

    def __init__(self, state: State, edition: Edition, map_count: int | None = None) -> None:
        self.state = state
        self._space = ConcreteSpace(state, edition)
        self.map_count: Num = self.counted() if map_count is None else map_count
        self._seen: dict[Num, PageView] = {}

    def showing(self, nothing: Vma) -> ConcreteSnapshot:
        """The same address space, with something else shown where no VMA is."""
        other = ConcreteSnapshot(self.state, self._space.edition, whole(self.map_count))
        other.nothing = nothing
        return other

    @property
    def max_map_count(self) -> Num:
        """The limit."""
        return self.state.max_map_count

    @property
    def brk(self) -> Num:
        """The program break, in pages."""
        return self.state.brk

    @property
    def start_brk(self) -> Num:
        """Where the heap begins, in pages."""
        return self.state.start_brk

    def access_denied(self, pkey: Num) -> Bool:
        """The thread's PKRU denies all access through the key."""
        return self._space.access_denied(pkey)

    def pkey_allocated(self, pkey: Num) -> Bool:
        """The process has allocated the key."""
        return self._space.pkey_allocated(pkey)

    def object_pages(self, object: Num) -> Num:
        """How many pages the object has."""
        return self._space.object_pages(object)

    def stored(self, object: Num, offset: Num) -> Num:
        """What a page of the object holds."""
        return self._space.stored(object, offset)

    @property
    def has_pkeys(self) -> Bool:
        """The processor has protection keys."""
        return self.state.has_pkeys

    @property
    def exec_key(self) -> Num:
        """The key for execute-only memory; 0 if there is none."""
        return self.state.exec_key

    def counted(self) -> Num:
        """How many VMAs there are."""
        return self.state.elsewhere + len(self.state.vmas)

    def write_denied(self, pkey: Num) -> Bool:
        """The thread's PKRU denies writes through the key."""
        return self._space.write_denied(pkey)

    def at(self, page: Num) -> PageView:
        """The page."""
        view = self._seen.get(page)
        if view is None:
            found = self._space.find(page)
            if found is None:
                view = PageView(False, self.nothing, EMPTY_PAGE, self.nothing.start)
            else:
                view = PageView(True, found, self._space.page(page), self._space.visible(found, page))
            self._seen[page] = view
        return view

    def cut(self, page: Num) -> Bool:
        """A VMA begins or ends at the left edge of the page."""
        return any(page in (vma.start, vma.end) for vma in self.state.vmas)


@dataclass(frozen=True, slots=True)
class Example:
    """A concrete state and one call on it."""

    state: State
    call: str
    arguments: Any
    failures: frozenset[str] = frozenset()

    def run(self, edition: Edition, dropped: str | None = None) -> tuple[Transition, State]:
        """Make the call on a copy of the state."""
        after = self.state.copy()
        space = ConcreteSpace(after, edition, dropped=dropped, failures=self.failures)
        before = ConcreteSnapshot(self.state, edition)
        errno, check, value = finish(lambda: CALLS[self.call].body(space, self.arguments))
        count = whole(space.counter)
        now = ConcreteSnapshot(after, edition, count)
        return Transition(self.call, self.arguments, errno, value, check, before, now), after

    def pages(self, after: State) -> list[int]:
        """Every page that a property could tell apart: those of the VMAs before and after, and their neighbours."""
        numbers: set[int] = {16}
        for vma in (*self.state.vmas, *after.vmas):
            start, end = whole(vma.start), whole(vma.end)
            if end - start > 256:
                numbers.update((start, start + 1, end - 2, end - 1))
            else:
                numbers.update(range(start, end))
            numbers.update((start - 1, end))
        for name in ("start", "end", "page", "old", "new"):
            if isinstance(getattr(self.arguments, name, None), int):
                numbers.add(getattr(self.arguments, name))
        numbers.update(self.state.pages)
        return sorted(n for n in numbers if n >= 0)


def problems(state: State) -> list[str]:
    """What is not well formed about a concrete state."""
    found: list[str] = []
    previous = 0
    for vma in state.vmas:
        found += [sentence for condition, sentence in well_formed_vma(vma) if not condition]
        if vma.start < previous:
            found.append("it overlaps the VMA before it")
        previous = whole(vma.end)
    for number, page in state.pages.items():
        vma_there = state.find(number)
        if not well_formed_page(vma_there is not None, vma_there or NO_VMA, page):
            found.append(f"page {number} cannot hold this")
    if state.elsewhere < 0:
        found.append("map_count is smaller than the number of VMAs")
    return found


def violation(
    prop: Property, example: Example, edition: Edition, dropped: str | None = None
) -> tuple[int, Transition, State] | None:
    """The first page at which the concrete outcome breaks the property, if one does: rather one that the call has
    changed than one at which only a counter tells. A property that holds only for what is shown of pages that are not
    mapped is broken too."""
    return breaking(prop, example, edition, dropped=dropped)


def breaking(
    prop: Property, example: Example, edition: Edition, *, at: int | None = None, dropped: str | None = None
) -> tuple[int, Transition, State] | None:
    """As `violation`; `at` is the one page that counts."""
    transition, after = example.run(edition, dropped)
    if not prop.outcomes(transition):
        return None
    pages = example.pages(after)
    if at is not None:
        pages = sorted({*pages, at})
    for of_every_page in (prop.every, prop.none):
        if of_every_page is not None and not all(of_every_page(transition, q) for q in pages):
            return None
    for shown in (transition, _with_odd_gaps(transition)):
        broken = [
            arguments[0]
            for arguments in _pages_for(prop, pages)
            if at in (None, arguments[0]) and prop.when(shown, *arguments) and not prop.holds(shown, *arguments)
        ]
        if broken:
            return next((p for p in broken if has_changed(transition, p)), broken[0]), transition, after
    return None


def has_changed(t: Transition, page: int) -> bool:
    """The page is otherwise than before, or a boundary at it is."""
    was, now = t.before.at(page), t.after.at(page)
    seen = [(v.mapped, v.page, v.visible, *(getattr(v.vma, name) for name in ATTRIBUTES)) for v in (was, now)]
    return seen[0] != seen[1] or t.before.cut(page) != t.after.cut(page)


def _with_odd_gaps(transition: Transition) -> Transition:
    """The same, with other fields shown of pages that are not mapped."""
    before, after = transition.before, transition.after
    assert isinstance(before, ConcreteSnapshot)
    assert isinstance(after, ConcreteSnapshot)
    return replace(transition, before=before.showing(ODD_VMA), after=after.showing(ODD_VMA))


def witnesses(prop: Property, example: Example, edition: Edition) -> bool:
    """The property says something of this example, and it is true: the theorem is not vacuous."""
    transition, after = example.run(edition)
    if not prop.outcomes(transition):
        return False
    pages = example.pages(after)
    if prop.every is not None and not all(prop.every(transition, q) for q in pages):
        return False
    return any(prop.when(transition, *arguments) for arguments in _pages_for(prop, pages))


def _pages_for(prop: Property, pages: Sequence[int]) -> Iterator[tuple[int, ...]]:
    if prop.second:
        return ((p, q) for p in pages for q in pages)
    return ((p,) for p in pages)


ENOUGH_PAGES = 1 << 40
"""Size of an object of which the model says nothing, in pages."""


def _number(model: z3.ModelRef, term: Num | z3.ExprRef) -> int:
    if isinstance(term, int):
        return term
    return int(model.eval(term, model_completion=True).as_long())


def _truth(model: z3.ModelRef, term: Bool | z3.ExprRef) -> bool:
    if isinstance(term, bool):
        return term
    return z3.is_true(model.eval(term, model_completion=True))


def from_model(explored: ExploredCall, path: CallPath, model: z3.ModelRef) -> Example:
    """The address space and call of a model: the VMAs of the pages that the path names."""
    world: World = explored.world
    vmas: dict[int, Vma] = {}
    pages: dict[int, Page] = {}
    objects: dict[tuple[int, int], int] = {}
    sizes: dict[int, int] = {}
    size_of = world.functions.get("object_pages")
    stored = world.functions.get("stored")
    for term, mapped, vma, page in list(world.views.values()):
        if term.get_id() not in path.space.named or not _truth(model, mapped):
            continue
        number = _number(model, term)
        values = {
            f.name: _truth(model, getattr(vma, f.name)) if f.type == "Bool" else _number(model, getattr(vma, f.name))
            for f in fields(Vma)
        }
        found = vmas.setdefault(values["start"], Vma(**values))  # type: ignore[arg-type]
        held = Page(
            _truth(model, page.copied), _number(model, page.own), _truth(model, page.lazy), _truth(model, page.guard)
        )
        if held != EMPTY_PAGE:
            pages[number] = held
        if found.object:
            object, offset = whole(found.object), whole(found.offset + number - found.start)
            if stored is not None:
                value = _number(model, stored(object, offset))
                if value:
                    objects[object, offset] = value
            if size_of is not None:
                sizes[object] = max(0, _number(model, size_of(object)))
            else:
                sizes[object] = ENOUGH_PAGES
    layout = [vmas[start] for start in sorted(vmas)]
    pkru = 0
    pkeys = {0}
    for key in range(16):
        for name, bits in (("access_denied", 3), ("write_denied", 2)):
            function = world.functions.get(name)
            if function is not None and _truth(model, function(key)):
                pkru |= bits << (2 * key) & (3 << (2 * key))
        allocated = world.functions.get("pkey_allocated")
        if allocated is not None and _truth(model, allocated(key)):
            pkeys.add(key)
    failures = frozenset(
        str(term).removeprefix("fails(").rpartition(")")[0]
        for term in path.conditions
        if z3.is_const(term) and str(term).startswith("fails(")
    )
    exec_key = _number(model, world.exec_key)
    pkeys.add(exec_key)
    for (object, offset), _ in objects.items():
        sizes[object] = max(sizes.get(object, 0), offset + 1)
    state = State(
        vmas=layout,
        pages=pages,
        objects=objects,
        sizes=sizes,
        elsewhere=max(0, _number(model, world.map_count) - len(layout)),
        max_map_count=_number(model, world.max_map_count),
        start_brk=_number(model, world.start_brk),
        brk=_number(model, world.brk),
        pkeys=pkeys,
        has_pkeys=not _truth(model, world.no_keys),
        exec_key=exec_key,
        pkru=pkru,
        next_id=max([1000, *sizes, *(whole(vma.anon_vma) for vma in layout)]),
    )
    return Example(state, explored.call.name, concrete_arguments(explored.arguments, model), failures)


def with_small_contents(example: Example) -> Example:
    """The same with numbers from 1 on for what pages and objects hold, alike where it was alike."""
    state = example.state.copy()
    held = [*state.objects.values(), *(page.own for page in state.pages.values())]
    small = {value: n for n, value in enumerate(sorted({whole(v) for v in held} - {0}), 1)} | {0: 0}
    state.objects = {place: small[value] for place, value in state.objects.items()}
    state.pages = {n: replace(page, own=small[whole(page.own)]) for n, page in state.pages.items()}
    return replace(example, state=state)


def with_arguments(example: Example, arguments: Decoded) -> Example:
    """The same state, another call."""
    return replace(example, arguments=arguments)
