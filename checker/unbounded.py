# SPDX-License-Identifier: MIT
"""The unbounded reading: an address space of any number of VMAs, without quantifiers.

What a page is mapped to is a function of the page number. What a verb does is what its contract says (spec/contracts);
whatever a contract leaves open is unknown here. Facts about every page are kept as functions and instantiated at the
pages that a theorem names (the Skolem constants), which only weakens the hypotheses: `unsat` is a proof.
docs/METHOD.md has the argument; proofs/lemmas/ shows that the list engine keeps the contracts.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import wraps
from typing import Any, Final, cast

import z3

from checker.paths import Run
from checker.sources import UNKNOWN, Source
from spec.contracts import Contracts, Kind, PageFact
from spec.editions import Edition
from spec.errors import Errno
from spec.space import AddressSpace
from spec.terms import Bool, Num, Unknown, all_, and_, between, eq, implies, le, lt, not_, plain_sum
from spec.transition import PageView
from spec.vma import Page, Vma, choose_vma, visible, well_formed_page, well_formed_vma
from spec.words import TASK_PAGES

Number, Truth = z3.IntSort(), z3.BoolSort()
_SORTS: Final[dict[Kind, z3.SortRef]] = {"number": Number, "truth": Truth}


def _sort(kind: object) -> z3.SortRef:
    return Truth if kind == "Bool" else Number


class World:
    """An arbitrary well-formed address space, as uninterpreted functions. Shared by all paths of a call; it remembers
    which pages were ever named, and what well-formedness says of each."""

    def __init__(self) -> None:
        self.functions: dict[str, Unknown] = {}
        self._valued: set[int] = set()
        self.views: dict[int, tuple[z3.ArithRef, Bool, Vma, Page]] = {}
        self._plain_terms: dict[int, tuple[z3.ArithRef, z3.ArithRef]] = {}
        self.axioms: list[z3.BoolRef] = []
        """Where VMAs lie, for all pages that were ever named."""
        self._of_pages: dict[tuple[int, ...], list[z3.BoolRef]] = {}
        """The same by the pages that they speak of: none, one or two."""
        self.attribute_axioms: list[z3.BoolRef] = []
        """Well-formedness of attributes and pages: kept apart, for most proofs do without."""
        self._attributes_of: dict[int, list[z3.BoolRef]] = {0: []}
        """The same by the page (id of its term) that they speak of; 0: of none."""
        self.sources: dict[int, tuple[z3.ExprRef, Source]] = {}
        """Where facts, and parts of facts, come from, by the ids of their terms."""
        self.checks: set[str] = set()
        """Names of all checks that some path came to."""
        self.environment_checks: set[str] = set()
        """Those of them that the environment decides."""
        self.no_keys = z3.Bool("no_protection_keys")
        """The machine has no protection keys."""
        self.map_count = z3.Int("map_count")
        self.max_map_count = z3.Int("max_map_count")
        self.brk = z3.Int("brk")
        self.start_brk = z3.Int("start_brk")
        self.exec_key = z3.Int("execute_only_pkey")
        self._assume(le(8, self.max_map_count), "max_map_count is at least 8")
        self._assume(le(0, self.map_count), "map_count is not negative")
        heap = and_(le(0, self.start_brk), le(self.start_brk, self.brk), le(self.brk, TASK_PAGES))
        self._assume(heap, "the heap ends where it begins or above, below TASK_SIZE")
        self._assume(between(0, self.exec_key, 16), "the execute-only key is in 0..15")

    def _assume(self, fact: Bool, clause: str, *pages: int) -> None:
        """An axiom; `clause` says it in words."""
        if isinstance(fact, z3.ExprRef):
            self.axioms.append(fact)
            self._of_pages.setdefault(pages, []).append(fact)
            self.note(fact, Source("clause", clause))

    def note(self, fact: Bool, source: Source) -> None:
        """Remember where a fact, or a part of one, comes from; the first to say so is right."""
        if isinstance(fact, z3.ExprRef):
            self.sources.setdefault(fact.get_id(), (fact, source))

    def source_of(self, fact: z3.ExprRef) -> Source:
        """Where it comes from, as far as anybody said."""
        return self.sources.get(fact.get_id(), (fact, UNKNOWN))[1]

    def attributes_of(self, pages: Iterable[int]) -> list[z3.BoolRef]:
        """Those of the attribute axioms that speak of these pages, or of no page."""
        return [*self._attributes_of[0], *(fact for key in sorted(pages) for fact in self._attributes_of.get(key, ()))]

    def axioms_of(self, pages: Iterable[int]) -> list[z3.BoolRef]:
        """Those of the axioms that speak of these pages only (ids of terms): a path needs no others."""
        keys = sorted(pages)
        wanted: list[tuple[int, ...]] = [(), *((key,) for key in keys), *itertools.combinations(keys, 2)]
        return [fact for key in wanted for fact in self._of_pages.get(key, ())]

    def function(self, name: str, *sorts: z3.SortRef) -> Unknown:
        """The uninterpreted function of that name."""
        if name not in self.functions:
            self.functions[name] = Unknown(name, *sorts)
        return self.functions[name]

    def stored(self, object: Num, offset: Num) -> Num:
        """What a page of an object holds in the arbitrary address space."""
        value = cast(z3.ArithRef, self.function("stored", Number, Number, Number)(object, offset))
        if value.get_id() not in self._valued:
            self._valued.add(value.get_id())
            self.attribute_axioms.append(value >= 0)
            self._attributes_of[0].append(value >= 0)
            self.note(self.attribute_axioms[-1], Source("clause", "what an object holds is not negative"))
        return value

    def _plain(self, page: z3.ArithRef) -> z3.ArithRef:
        """The page number as a term that does not depend on how it was come by, so that a page has one name."""
        key = page.get_id()
        if key not in self._plain_terms:
            self._plain_terms[key] = page, cast(z3.ArithRef, z3.simplify(page))
        return self._plain_terms[key][1]

    def look(self, page: Num) -> tuple[z3.ArithRef, Bool, Vma, Page]:
        """The page in the arbitrary address space: (the page as a term, mapped, its VMA, what it holds)."""
        term = z3.IntVal(page) if isinstance(page, int) else self._plain(page)
        key = term.get_id()
        if key in self.views:
            return self.views[key]
        start = self.function("vm_start", Number, Number)(term)
        mapped = self.function("mapped", Number, Truth)(term)
        values = {
            f.name: self.function(f"vma_{f.name}", Number, _sort(f.type))(start)
            for f in fields(Vma)
            if f.name != "start"
        }
        vma = Vma(start=start, **values)
        holds = {f.name: self.function(f"page_{f.name}", Number, _sort(f.type))(term) for f in fields(Page)}
        page_state = Page(**holds)
        placed = and_(le(0, start), between(start, term, vma.end), le(vma.end, TASK_PAGES), lt(0, self.map_count))
        self._assume(implies(mapped, placed), "a page that is mapped lies in its VMA, which ends below TASK_SIZE", key)
        clauses = well_formed_vma(vma)
        for condition, wrong in clauses:
            self.note(condition, Source("clause", f"not: {wrong}"))
        attributes = implies(mapped, all_(condition for condition, _ in clauses))
        holds_well = well_formed_page(mapped, vma, page_state)
        self.note(attributes, Source("clause", "each VMA is well formed"))
        self.note(holds_well, Source("clause", "what a page holds fits its VMA"))
        known = [x for x in (attributes, holds_well) if isinstance(x, z3.ExprRef)]
        self.attribute_axioms += known
        self._attributes_of[key] = known
        for other_key, (other, its_mapping, its_vma, _) in self.views.items():
            for m, v, b, n, w in (
                (mapped, vma, other, its_mapping, its_vma),
                (its_mapping, its_vma, term, mapped, vma),
            ):
                same = implies(and_(m, between(v.start, b, v.end)), and_(n, eq(w.start, v.start)))
                self._assume(same, "the pages within a VMA are all its own", *sorted((key, other_key)))
        self.views[key] = (term, mapped, vma, page_state)
        return self.views[key]


class UnboundedSpace(Contracts):
    """The contracts of the verbs over a `World`, on one path."""

    def __init__(self, world: World, edition: Edition, run: Run, *, dropped: str | None = None) -> None:
        self.world = world
        self.edition = edition
        self.run = run
        self.dropped = dropped
        self.named: dict[int, z3.ArithRef] = {}
        self.shifted: set[int] = set()
        """Named pages (ids of terms) of which no facts are wanted: they are only where another page came from or went,
        and facts of them would name ever more pages."""
        self.every_page = []
        self.places = []
        self.source: Source = UNKNOWN
        """Where facts come from that are stated now: the verb or the check at hand."""
        self._said_by: tuple[list[Source], list[Source]] = [], []
        """Of each fact of every page, and of each of the places, where it comes from."""
        self._placed: list[z3.BoolRef] | None = None
        self._instances: dict[tuple[int, int], z3.BoolRef] = {}
        self.no_keys = world.no_keys
        self.count = world.map_count
        self.fresh_names: dict[str, int] = {}
        self._view, self._page, self._cut = self._original_view, self._original_page, self._original_cut
        self._stored = world.stored
        self._write_denied = self._original("write_denied")
        self._access_denied = self._original("access_denied")
        self._pkey_allocated = self._original("pkey_allocated")
        self._exec_key = world.exec_key
        self._brk = world.brk
        self.let_passed = False
        """The dropped check was reached, and would have refused."""

    # the arbitrary state ------------------------------------------------------------------------------------------

    def _name(self, page: Num) -> tuple[z3.ArithRef, Bool, Vma, Page]:
        seen = self.world.look(page)
        self.named[seen[0].get_id()] = seen[0]
        return seen

    def _original_view(self, page: Num) -> tuple[Bool, Vma]:
        _, mapped, vma, _ = self._name(page)
        return mapped, vma

    def _original_page(self, page: Num) -> Page:
        return self._name(page)[3]

    def _original_cut(self, page: Num) -> Bool:
        """Kept as a predicate of its own, for it is only compared."""
        return cast(z3.BoolRef, self.world.function("cut", Number, Truth)(page))

    def _original(self, name: str) -> Callable[[Num], Bool]:
        """Something of the arbitrary address space."""
        return lambda key: cast(z3.BoolRef, self.world.function(name, Number, Truth)(key))

    def snapshot(self) -> UnboundedSnapshot:
        """The address space as it is now."""
        return UnboundedSnapshot(self)

    def facts(self, rounds: int = 3) -> list[z3.BoolRef]:
        """What holds of every page, instantiated at each page that this path names."""
        for _ in range(rounds):
            before = len(self._instances)
            for i, fact in enumerate(self.every_page):
                for key, page in list(self.named.items()):
                    if (i, key) not in self._instances and key not in self.shifted:
                        instance = self._instantiate(fact, page, self.said_by(i))
                        self._instances[i, key] = instance if isinstance(instance, z3.ExprRef) else z3.BoolVal(instance)
            if len(self._instances) == before:
                break
        return list(self._instances.values())

    def place_facts(self) -> list[z3.BoolRef]:
        """What holds of every VMA that was made anew, at each page that this path names."""
        if self._placed is None:
            named = [page for key, page in self.named.items() if key not in self.shifted]
            known = [
                self._instantiate(fact, page, self.said_by(i, places=True))
                for i, fact in enumerate(self.places)
                for page in named
            ]
            self._placed = [fact for fact in known if isinstance(fact, z3.ExprRef)]
        return self._placed

    # where facts come from ----------------------------------------------------------------------------------------

    def _instantiate(self, fact: PageFact, page: z3.ArithRef, source: Source) -> Bool:
        outer, self.source = self.source, source
        instance = fact(page)
        self.source = outer
        self.world.note(instance, source)
        return instance

    def said_by(self, index: int, *, places: bool = False) -> Source:
        """Where a fact of every page (or of the places) comes from."""
        said = self._said_by[places]
        return said[index] if index < len(said) else UNKNOWN

    def enter(self, source: Source) -> Source:
        """What is stated from now on comes from there; the answer is where it came from before."""
        for said, facts in zip(self._said_by, (self.every_page, self.places), strict=True):
            said += [self.source] * (len(facts) - len(said))
        before, self.source = self.source, source
        return before

    def fail_if(self, cond: Bool, errno: Errno, check: str) -> None:
        before = self.enter(Source("check", check))
        try:
            super().fail_if(cond, errno, check)
        finally:
            self.enter(before)

    def finish_if(self, cond: Bool, check: str, value: Num = 0) -> None:
        before = self.enter(Source("check", check))
        try:
            super().finish_if(cond, check, value)
        finally:
            self.enter(before)

    def assume(self, fact: Bool) -> None:
        """Add a fact to the path."""
        self.run.assume(fact, self.source)

    def _found(self, check: str, *facts: Bool) -> None:
        self.run.assume_all(facts, Source("check", check, True))

    def _owed_to(self, part: Bool, check: str) -> None:
        self.world.note(part, Source("check", check))

    # unknowns -------------------------------------------------------------------------------------------------------

    def _fresh(self, what: str) -> str:
        n = self.fresh_names.get(what, 0)
        self.fresh_names[what] = n + 1
        return f"{what}!{n}"

    def _number(self, what: str) -> z3.ArithRef:
        return z3.Int(self._fresh(what))

    def _choice(self, what: str) -> z3.BoolRef:
        return z3.Bool(self._fresh(what))

    def _free(self, what: str, refusal: tuple[Errno, str] | None = None) -> bool:
        source = self.source if refusal is None else Source("check", refusal[1])
        return self.run.choose(self._choice(what), source)

    def _function(self, what: str, kind: Kind) -> Callable[[Num], Any]:
        return self._unknown(what, Number, _SORTS[kind])

    def _unknown(self, what: str, *sorts: z3.SortRef) -> Callable[..., Any]:
        """An unknown function that an effect leaves behind."""
        return self.world.function(self._fresh(what), *sorts)

    def _some_page(self, backs: Callable[[Num, Num, Num], Bool]) -> Callable[[Num, Num], Bool]:
        hole = self._unknown("hole", Number, Number, Truth)
        through = self._unknown("hole_through", Number, Number, Number)
        source = self.source

        def punched(object: Num, offset: Num) -> Bool:
            there = cast(z3.BoolRef, hole(object, offset))
            before = self.enter(source)
            self.assume(implies(there, backs(through(object, offset), object, offset)))
            self.every_page.append(lambda q: implies(backs(q, object, offset), there))
            self.enter(before)
            return there

        return punched

    def _at_distance(self, page: Num, by: Num) -> Num:
        there = plain_sum(page, by)
        if isinstance(there, z3.ExprRef) and there.get_id() not in self.named:
            self.shifted.add(there.get_id())
        return there

    # Guards -----------------------------------------------------------------------------------------------------------

    def decide(self, cond: Bool) -> bool:
        return self.run.decide(cond, self.source if self.source.kind else _branch())

    def skipped(self, check: str) -> bool:
        self.world.checks.add(check)
        return check == self.dropped

    def let_pass(self, cond: Bool) -> None:
        self.let_passed = True
        self.assume(cond)

    # looking ----------------------------------------------------------------------------------------------------------

    @property
    def max_map_count(self) -> Num:
        return self.world.max_map_count

    @property
    def start_brk(self) -> Num:
        return self.world.start_brk

    def object_pages(self, object: Num) -> Num:
        return cast(z3.ArithRef, self.world.function("object_pages", Number, Number)(object))

    def guarded(self, vma: Vma, start: Num, end: Num) -> Bool:
        return cast(z3.BoolRef, self.world.function("guarded", Number, Truth)(vma.start))

    def environment(self, why: str) -> Bool:
        self.world.environment_checks.add(why)
        return self.run.choose(self._choice(f"fails({why})"), Source("check", why))


def _branch() -> Source:
    """The function of the call that takes a decision which is no check."""
    frame = sys._getframe(2)
    return Source("branch", f"{frame.f_globals['__name__'].removeprefix('spec.syscalls.')}.{frame.f_code.co_name}")


def _vouched_for(verb: str, contract: Callable[..., Any]) -> Callable[..., Any]:
    """The verb, whose facts come from it: or from the check that it makes, if it makes one at every page."""

    @wraps(contract)
    def carry_out(self: UnboundedSpace, *arguments: Any, **options: Any) -> Any:
        checks = verb in ("check_each", "check_mapped")
        before = self.enter(Source("check", options.get("check", arguments[-1])) if checks else Source("verb", verb))
        try:
            return contract(self, *arguments, **options)
        finally:
            self.enter(before)

    return carry_out


_GUARDS = ("decide", "skipped", "fail_if", "finish_if", "may_fail", "environment")
for _verb in sorted((*AddressSpace.__abstractmethods__, "free_range_for", "move_each")):
    if _verb not in _GUARDS and callable(getattr(UnboundedSpace, _verb)):
        setattr(UnboundedSpace, _verb, _vouched_for(_verb, getattr(UnboundedSpace, _verb)))


class UnboundedSnapshot:
    """An address space of the unbounded reading at one moment."""

    def __init__(self, space: UnboundedSpace) -> None:
        self.space = space
        self._view, self._page, self._cut, self._stored = space._view, space._page, space._cut, space._stored
        self.write_denied, self.access_denied = space._write_denied, space._access_denied
        allocated, no_keys = space._pkey_allocated, space.world.no_keys
        self.pkey_allocated: Callable[[Num], Bool] = lambda key: and_(
            not_(no_keys), between(0, key, 16), allocated(key)
        )
        self.object_pages, self.stored = space.object_pages, space._stored
        self.has_pkeys, self.exec_key = not_(no_keys), space._exec_key
        self.start_brk = space.start_brk
        self.map_count = space.count
        self.max_map_count = space.max_map_count
        self.brk = space.brk
        self._seen: dict[int, PageView] = {}
        self._name = space._fresh("nothing")

    def _nothing(self, page: Num) -> Vma:
        """Stands where there is no VMA: unknown in every field."""
        function = self.space.world.function
        return Vma(**{f.name: function(f"{self._name}_{f.name}", Number, _sort(f.type))(page) for f in fields(Vma)})

    def at(self, page: Num) -> PageView:
        """The page now."""
        key = page if isinstance(page, int) else page.get_id()
        if key not in self._seen:
            mapped, vma = self._view(page)
            if mapped is not True:  # what a page is, that is not mapped, is unknown
                vma = choose_vma(mapped, vma, self._nothing(page))
            now = self._page(page)
            self._seen[key] = PageView(mapped, vma, now, visible(page, vma, now, self._stored))
        return self._seen[key]

    def cut(self, page: Num) -> Bool:
        """A VMA begins or ends at the left edge of the page."""
        return self._cut(page)

    def counted(self) -> Num:
        """In this reading the number of VMAs is map_count by the lemmas on splits and merges."""
        return self.map_count
