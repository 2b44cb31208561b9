# SPDX-License-Identifier: MIT
"""Two editions of one call from the same arbitrary address space, on one path.

The body is explored under each edition, on spaces of its own over one `World`, and each path of the one is paired with
each path of the other that does not contradict it. What the environment decides (memory, limits, where a mapping goes,
new objects) has the same name for both: both kernels live in the same environment. What an effect leaves open (where
VMAs begin after a merge, map_count, which pages were faulted in) is an unknown function of the state before it and of
how far it got; so it has the same name for both exactly if both have done the same until then. Facts of every page are
instantiated at the pages that either of the two names. docs/DIFF.md has the argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final, cast

import z3

from checker.bounded import symbolic_vma
from checker.paths import Run
from checker.unbounded import UnboundedSpace, World
from spec.contracts import PageFact, Step
from spec.editions import Edition
from spec.errors import Errno
from spec.space import Gap, Pass, Test, Visit
from spec.terms import Bool, Num, all_, and_, eq, not_, once_for_each, or_
from spec.vma import Page, Vma, cut_vma, refuses_split, same_flags

NAMES_ONLY: Final = frozenset(("name", "kernel", "standing"))
"""Fields of an edition that say what it is called, and nothing of what it does."""

_MOVES: Final = frozenset(
    (
        "merges_into_unfaulted",
        "joins_kept_source",
        "splits_locked_source",
        "resets_kept_offset",
        "uncharges_kept_source",
    )
)
ENGINE_READS: Final[dict[str, frozenset[str]]] = {
    "change": frozenset(("merges_into_unfaulted",)),
    "map of written memory": frozenset(("merges_into_unfaulted",)),
    "expand": frozenset(("merges_into_unfaulted",)),
    "move": _MOVES,
    "moves": _MOVES,
    "lock": frozenset(("guard_pages",)),
}
"""By effect: the fields of an edition that the list engine (checker/layout.py) reads when it carries the effect out.
The unbounded reading does not read them: it leaves what they decide open."""

_ENVIRONMENT: Final = frozenset(("object", "pkey", "no_pkey", "exec_key", "nothing"))
"""Unknowns that are the environment's alone, and what is said of a page that is not mapped."""
_BY_PAGES: Final = frozenset(
    ("stack_above", "stack", "no_free_range", "free", "hole", "hole_through", "faulted", "faulted_after")
)
"""Unknowns that the pages before decide: what is mapped, with which attributes and contents."""
_BY_VMAS: Final = frozenset(
    (
        "map_count",
        "own_offset",
        "offset_reset",
        "cut_after",
        "start_after",
        "end_after",
        "anon_vma_after",
        "inherited_after",
        "stays_locked",
        "stays_charged",
    )
)
"""Unknowns that the VMAs before and the way of merging decide."""


def same_causes() -> list[z3.BoolRef]:
    """How what fails in one edition is tied to what fails in another that asks for it under another name.

    mmap up to 6.11 tests RLIMIT_AS before it unmaps, and the accounting with the allocation afterwards; from 6.12 on
    limit and accounting are tested together, before. So what the earlier one finds short the later one finds short too,
    and the other way round.
    """
    early, both, late = (
        z3.Bool(f"fails({why})!0")
        for why in (
            "mmap: RLIMIT_AS has no room",
            "mmap: RLIMIT_AS or the accounting has no room",
            "mmap: memory for the new VMA runs out",
        )
    )
    return [z3.Implies(early, both), z3.Implies(both, z3.Or(early, late))]


class Reads:
    """An edition that remembers which of its fields were read."""

    def __init__(self, edition: Edition) -> None:
        self._edition = edition
        self.fields: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name in {f.name for f in fields(Edition)}:
            self.fields.add(name)
            return getattr(self._edition, name)
        value = getattr(Edition, name)  # a property or a method: what it reads counts
        return value.__get__(self) if isinstance(value, property) else partial(value, self)


def differing_fields(a: Edition, b: Edition) -> frozenset[str]:
    """The fields, names apart, on which two editions differ."""
    names = (f.name for f in fields(Edition) if f.name not in NAMES_ONLY)
    return frozenset(name for name in names if getattr(a, name) != getattr(b, name))


@dataclass(frozen=True, slots=True)
class History:
    """What was done to an address space. Two histories of one shape did the same if their terms are equal."""

    shape: tuple[object, ...] = ()
    """The effects, and what of their arguments is no term."""
    terms: tuple[z3.ExprRef, ...] = ()

    def then(self, *arguments: object) -> History:
        """And then this."""
        shape, terms = list(self.shape), list(self.terms)
        for argument in arguments:
            parts = [getattr(argument, f.name) for f in fields(argument)] if isinstance(argument, Vma) else [argument]
            for part in parts:
                if isinstance(part, z3.ExprRef | int):
                    part = part if isinstance(part, z3.ExprRef) else _constant(part)
                    shape.append(part.sort_kind())
                    terms.append(part)
                else:
                    shape.append(part)
        return History(tuple(shape), tuple(terms))


def _constant(value: int) -> z3.ExprRef:
    return cast(z3.ExprRef, z3.BoolVal(value) if isinstance(value, bool) else z3.IntVal(value))


class Histories:
    """Numbers for shapes of histories, and for changes: equal numbers mean equal ones."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._kept: list[object] = []  # terms, so that their ids stay their own

    def number(self, shape: object) -> int:
        """The number of a shape."""
        return self._numbers.setdefault(shape, len(self._numbers))

    def change(self, *parts: Vma | Page | Bool) -> str:
        """A name for what a visit makes of an arbitrary VMA and page: equal names mean equal terms."""
        terms: list[object] = []
        for part in parts:
            terms += [getattr(part, f.name) for f in fields(part)] if isinstance(part, Vma | Page) else [part]
        self._kept += terms
        ids = tuple(("term", t.get_id()) if isinstance(t, z3.ExprRef) else t for t in terms)
        return f"change {self.number(ids)}"


CUTS: Final = ("start", "end", "end after start")
"""The cuts of a changing pass: at the start of its range, at the end, at the end of a VMA that was cut at the start."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """Whether a changing pass, its tests apart, lacks room for a cut when it comes to it. The state before the pass,
    what it changes and how it merges decide that."""

    world: World
    histories: Histories
    made: History
    """What was done before, and the pass."""
    merges: bool
    """It merges into memory that was never written."""
    steady: bool
    """What a VMA gets does not depend on whether it was written, and a VMA that has it is not changed again."""

    def lacks(self, cut: str, merges: bool | None = None) -> z3.BoolRef:
        """There is no room for the cut (if it merged so)."""
        sorts = (*(term.sort() for term in self.made.terms), z3.BoolSort())
        way = "merging" if (self.merges if merges is None else merges) else "apart"
        name = f"no_room({cut},{way})@{self.histories.number(self.made.shape)}"
        return cast(z3.BoolRef, self.world.function(name, *sorts)(*self.made.terms))

    def follows(self, other: Rooms) -> list[z3.BoolRef]:
        """Where the other pass is the same but merges less, it lacks room wherever this one does (lemma merges-more, in
        proofs/merges.py)."""
        if self.made.shape != other.made.shape or not self.steady or not self.merges or other.merges:
            return []
        return [z3.Implies(r.lacks(cut, True), r.lacks(cut, False)) for r in (self, other) for cut in CUTS]


PAGE: Final = z3.Int("page")
"""The Skolem constant: the page that stands for all (checker.prove.P)."""


class JointSpace(UnboundedSpace):
    """The space of one of two editions, in which what both must share is named for both."""

    def __init__(
        self, world: World, edition: Edition, run: Run, histories: Histories, tag: str, *, guards: bool = True
    ) -> None:
        """`tag` begins the names that are not shared; with `guards` False there are no guard pages."""
        super().__init__(world, edition, run)
        self.guards = guards and edition.guard_pages
        self.histories = histories
        self.tag = tag
        self.effects: set[str] = set()
        self._vmas = History()
        self._pages = History()
        """The same, less what changes no page."""
        self._asked = History()
        """What the space is asked for at the moment: a free range of so many pages."""
        self._pass: tuple[Any, ...] = ()
        """The changing pass under way: its range, what it does about gaps, what it changes. Empty: it only looks."""
        self._passing: History | None = None
        """What was done before the pass that is being applied, and the pass, however far it gets."""
        self._steady = self._stale = False
        self.rooms: list[Rooms] = []
        self._known: dict[tuple[int, int], tuple[z3.BoolRef, dict[int, z3.ArithRef]]] = {}

    def facts_at(self, pages: dict[int, z3.ArithRef], rounds: int = 3) -> list[z3.BoolRef]:
        """What this space knows of every page, at each of these pages, which the pages that the facts name join."""
        done: dict[tuple[int, int], z3.BoolRef] = {}
        for _ in range(rounds):
            before = len(done)
            for i, fact in enumerate(self.every_page):
                for key, page in list(pages.items()):
                    if (i, key) not in done:
                        done[i, key] = self._instance(i, fact, key, page, pages)
            if len(done) == before:
                break
        return list(done.values())

    def _instance(
        self, i: int, fact: PageFact, key: int, page: z3.ArithRef, pages: dict[int, z3.ArithRef]
    ) -> z3.BoolRef:
        """One instance, built once; the pages that it names are named again each time."""
        if (i, key) not in self._known:
            mine, self.named = self.named, {}
            instance = fact(page)
            self._known[i, key] = instance if isinstance(instance, z3.ExprRef) else z3.BoolVal(instance), self.named
            self.named = mine
        instance, names = self._known[i, key]
        pages.update(names)
        return instance

    # names ------------------------------------------------------------------------------------------------------------

    def _fresh(self, what: str) -> str:
        shared = what in _ENVIRONMENT or what.startswith("fails(") or "@" in what
        return super()._fresh(what if shared else self.tag + what)

    def _left(self, what: str, *sorts: z3.SortRef) -> Callable[..., Any]:
        """An unknown that is a function of what was done before."""
        done = self._vmas if what in _BY_VMAS else self._pages
        if what == "faulted_after" and self._passing is not None:
            done = self._passing  # each VMA is faulted in by its own visit, whatever ends the pass later
        terms = (*done.terms, *self._asked.terms)
        name = self._fresh(f"{what}@{self.histories.number((done.shape, self._asked.shape))}")
        function = self.world.function(name, *(term.sort() for term in terms), *sorts)
        return lambda *arguments: function(*terms, *arguments)

    def _number(self, what: str) -> z3.ArithRef:
        shared = what in _BY_VMAS or what in _BY_PAGES
        return cast(z3.ArithRef, self._left(what, z3.IntSort())()) if shared else super()._number(what)

    def _choice(self, what: str) -> z3.BoolRef:
        shared = what in _BY_VMAS or what in _BY_PAGES
        return cast(z3.BoolRef, self._left(what, z3.BoolSort())()) if shared else super()._choice(what)

    def _unknown(self, what: str, *sorts: z3.SortRef) -> Callable[..., Any]:
        return self._left(what, *sorts)

    def stack_above(self, page: Num) -> bool:
        self._asked = History().then("stack_above", page)
        answer = super().stack_above(page)
        self._asked = History()
        return answer

    def free_range(self, pages: Num, hint: Num | None) -> Num:
        self._asked = History().then("free_range", pages, hint)
        page = super().free_range(pages, hint)
        self._asked = History()
        return page

    def guarded(self, vma: Vma, start: Num, end: Num) -> Bool:
        return super().guarded(vma, start, end) if self.guards else False

    def check_each(self, start: Num, end: Num, test: Callable[[Vma], Bool], errno: Errno, check: str) -> None:
        """Each page is looked at as if it were a VMA of its own: what a test finds in a VMA it finds in one of its
        pages (an attribute, or a page that cannot be faulted in), whichever way VMAs were merged."""
        view = self._view

        def one_page(page: Num) -> tuple[Bool, Vma]:
            mapped, vma = view(page)
            return mapped, cut_vma(vma, page, page + 1)

        self._view = once_for_each(one_page)
        try:
            super().check_each(start, end, test, errno, check)
        finally:
            self._view = view

    # effects ----------------------------------------------------------------------------------------------------------

    def _did(self, effect: str, *arguments: object, pages: bool = True, merging: tuple[str, ...] = ()) -> None:
        """An effect is about to be carried out (`pages` False: it changes no page)."""
        self.effects.add(effect)
        self._vmas = self._vmas.then(effect, *arguments, *self._engine(effect), *merging)
        if pages:
            self._pages = self._pages.then(effect, *arguments)

    def _engine(self, effect: str) -> tuple[object, ...]:
        """What of the edition decides how the list engine carries the effect out."""
        return tuple(getattr(self.edition, name) for name in sorted(ENGINE_READS.get(effect, ())))

    def split(self, page: Num, refused: Errno = Errno.EINVAL) -> None:
        self._did("split", page, pages=False)
        super().split(page, refused)

    def unmap(self, start: Num, end: Num) -> None:
        self._did("unmap", start, end)
        super().unmap(start, end)

    def map(self, vma: Vma, *, expand_only: bool = False) -> None:
        # memory that was never written merges by the same rule whether or not `merges_into_unfaulted`
        fresh = isinstance(vma.anon_vma, int) and vma.anon_vma == 0
        self._did("map" if fresh else "map of written memory", vma, expand_only)
        super().map(vma, expand_only=expand_only)

    def move(self, old: Num, pages: Num, new: Num, new_pages: Num, *, keep_source: bool) -> None:
        self._did("move", old, pages, new, new_pages, keep_source)
        super().move(old, pages, new, new_pages, keep_source=keep_source)

    def expand(self, page: Num, end: Num) -> None:
        self._did("expand", page, end)
        super().expand(page, end)

    def lock(self, start: Num, end: Num) -> None:
        self._did("lock", start, end, self.guards)
        super().lock(start, end)

    def store(self, page: Num, value: Num) -> None:
        self._did("store", page, value)
        super().store(page, value)

    def set_page(self, page: Num, content: Page) -> None:
        self._did("set_page", page, *(getattr(content, f.name) for f in fields(content)))
        super().set_page(page, content)

    def become_child(self, inherit: Callable[[Vma], tuple[Bool, Vma]], page: Callable[[Vma, Page], Page]) -> None:
        self._did("become_child", object())  # what it inherits is not compared: nothing is shared after it
        super().become_child(inherit, page)

    # changing passes --------------------------------------------------------------------------------------------------

    def change_each(
        self,
        start: Num,
        end: Num,
        visit: Callable[[Vma, Visit], Vma],
        *,
        gap: Gap,
        no_room: Errno = Errno.ENOMEM,
        cursor: str = "follows",
    ) -> None:
        change = self._change(visit)
        self._pass = ("change", start, end, gap, change) if change else ()
        self._stale = cursor == "stale"
        self._steady = not self._stale and bool(change) and is_steady(visit)
        super().change_each(start, end, visit, gap=gap, no_room=no_room, cursor=cursor)

    def _change(self, visit: Callable[[Vma, Visit], Vma]) -> str:
        """A name for what the visit makes of an arbitrary VMA and page, its tests apart; empty if that is nothing."""
        vma = symbolic_vma("visited")
        at = Visit(z3.Int("visited.from"), z3.Int("visited.to"))
        page = z3.Int("visited.page")
        held = Page(z3.Bool("held.copied"), z3.Int("held.own"), z3.Bool("held.lazy"), z3.Bool("held.guard"))
        after = visit(vma, at)
        then = held if at.change_page is None else at.change_page(page, vma, held)
        changed = not_(same_flags(vma, after))
        effects = (at.punches_hole, at.populates, at.populates_changed)
        if changed is False and then == held and effects == (False, False, False):
            return ""
        # a VMA that is given an anon_vma merges otherwise, if it is to be merged at all
        prepares = and_(at.prepares, changed)
        solver = z3.SimpleSolver()
        solver.add(prepares)
        prepared = at.prepares if solver.check() != z3.unsat else False
        return self.histories.change(after, then, *effects, prepared)

    def why_it_stops(self, this: Pass, stop: Num, step: Step) -> tuple[Errno, str, bool] | None:
        """Whether a cut lacks room depends on the merges before it, which the summary of a pass leaves open. The state
        before the pass and what it changes decide it, whatever the pass tests besides: so it is one choice for both
        editions if these are the same for both."""
        self.failing_cut = ""
        refusal = super().why_it_stops(this, stop, step)
        if not self._pass or not self.edition.limits_maps:
            return refusal
        made = self._vmas.then(*self._pass, str(self._stale))
        merges = self.edition.merges_into_unfaulted
        rooms = Rooms(self.world, self.histories, made, merges, self._steady)
        self.rooms.append(rooms)
        lacks = {cut: rooms.lacks(cut) for cut in CUTS}
        cut = self.failing_cut
        if refusal is None:
            self.run.assume(all_(not_(lack) for lack in lacks.values()))
        elif cut:
            self.run.assume(lacks[cut] if refusal[0] is this.no_room else not_(lacks[cut]))
        if cut == "end after start":
            self.run.assume(not_(refuses_split(step(stop)[1], this.start)))
        if refusal is not None and cut != "start":
            # if the start was to be cut, it was, unless a test of the first VMA came before
            self.run.assume(or_(and_(eq(stop, this.start), not cut), not_(lacks["start"])))
        return refusal

    def _apply(self, start: Num, reached: Num, step: Step, **how: bool) -> None:
        if not self._pass:
            return  # it only looked
        self._passing = self._pages.then(*self._pass, str(self._stale))
        self._did(*self._pass, reached, *how.values(), merging=(str(self._stale),))
        super()._apply(start, reached, step, **how)
        self._passing = None

    def _moved(
        self,
        start: Num,
        reached: Num,
        end: Num,
        new: Num,
        tests: Callable[[Vma, Num, Num], list[Test]],
        ensures: Callable[[Num], Bool],
        *,
        keep_source: bool,
    ) -> None:
        self._did("moves", start, end, new, keep_source, reached)
        super()._moved(start, reached, end, new, tests, ensures, keep_source=keep_source)


def is_steady(visit: Callable[[Vma, Visit], Vma]) -> bool:
    """A VMA that a merge may swallow, for it has what the visit gives its neighbour, is left alone by a visit of its
    own, so that it makes no difference whether it is swallowed. And no VMA gets an anon_vma before it is changed."""
    vma, behind = symbolic_vma("visited"), symbolic_vma("behind")
    at = Visit(z3.Int("visited.from"), z3.Int("visited.to"))
    its = Visit(z3.Int("behind.from"), z3.Int("behind.to"))
    after, its_after = visit(vma, at), visit(behind, its)
    swallowed = and_(same_flags(after, behind), eq(vma.backing, behind.backing), eq(vma.object, behind.object))
    visited = or_(not_(same_flags(its_after, behind)), its.populates_changed, its.prepares)
    solver = z3.SimpleSolver()
    solver.add(and_(not_(same_flags(vma, after)), or_(at.prepares, and_(swallowed, visited))))
    return bool(solver.check() == z3.unsat)
