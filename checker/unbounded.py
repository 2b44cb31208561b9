# SPDX-License-Identifier: MIT
"""The unbounded reading: an address space of any number of VMAs, without quantifiers.

What a page is mapped to is a function of the page number. A pass over VMAs is replaced by its cut-point summary: the
page at which it stopped, what holds of the pages before it, what of the VMA there. Facts about every page are kept as
functions and instantiated at the pages that a theorem names (the Skolem constants), which only weakens the hypotheses:
`unsat` is a proof. docs/METHOD.md has the argument; proofs/lemmas/ discharges the induction behind each summary.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from functools import wraps
from typing import Any, TypeVar, cast

import z3

from checker.paths import Run
from checker.sources import UNKNOWN, Source
from spec.editions import Edition
from spec.errors import Errno
from spec.space import GAP_REMEMBERED, AddressSpace, Gap, Pass, Refused, Test, Visit
from spec.terms import (
    Bool,
    Num,
    all_,
    and_,
    any_,
    between,
    eq,
    implies,
    ite,
    ite_bool,
    larger,
    le,
    lt,
    ne,
    not_,
    or_,
    smaller,
)
from spec.transition import PageView
from spec.vma import (
    ANONYMOUS,
    EMPTY_PAGE,
    HUGE_PAGES,
    HUGETLB,
    SPECIAL,
    STACK_GUARD_PAGES,
    Page,
    Vma,
    alike,
    beside,
    choose_page,
    choose_vma,
    has_file,
    is_anonymous,
    is_placed,
    is_special,
    lets_go,
    offset_at,
    refuses_split,
    same_flags,
    starts_huge_page,
    well_formed_page,
    well_formed_vma,
)
from spec.words import MIN_PAGE, TASK_PAGES

Number, Truth = z3.IntSort(), z3.BoolSort()
Answer = TypeVar("Answer")


def once_per_page(function: Callable[[Num], Answer]) -> Callable[[Num], Answer]:
    """The same function, which builds its terms once for each page term."""
    known: dict[int, tuple[Num, Answer]] = {}  # the page term is kept, so that its id stays its own

    def remembered(page: Num) -> Answer:
        key = ~page if isinstance(page, int) else page.get_id()
        if key not in known:
            known[key] = page, function(page)
        return known[key][1]

    return remembered


def shift(page: Num, by: Num) -> Num:
    """The page at that distance, as a term that is the same whichever way one came to it."""
    moved = page + by
    return cast(z3.ArithRef, z3.simplify(moved)) if isinstance(moved, z3.ExprRef) else moved


PageFact = Callable[[z3.ArithRef], Bool]
Step = Callable[[Num], tuple[Bool, Vma, Vma, Visit]]


def _sort(kind: object) -> z3.SortRef:
    return Truth if kind == "Bool" else Number


class World:
    """An arbitrary well-formed address space, as uninterpreted functions. Shared by all paths of a call; it remembers
    which pages were ever named, and what well-formedness says of each."""

    def __init__(self) -> None:
        self.functions: dict[str, z3.FuncDeclRef] = {}
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

    def function(self, name: str, *sorts: z3.SortRef) -> z3.FuncDeclRef:
        """The uninterpreted function of that name."""
        if name not in self.functions:
            self.functions[name] = z3.Function(name, *sorts)
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


class UnboundedSpace(AddressSpace):
    """The verbs over a `World`, on one path."""

    def __init__(self, world: World, edition: Edition, run: Run, *, dropped: str | None = None) -> None:
        self.world = world
        self.edition = edition
        self.run = run
        self.dropped = dropped
        self.named: dict[int, z3.ArithRef] = {}
        self.shifted: set[int] = set()
        """Named pages (ids of terms) of which no facts are wanted: they are only where another page came from or went,
        and facts of them would name ever more pages."""
        self.every_page: list[PageFact] = []
        self.places: list[PageFact] = []
        """Where VMAs lie that were made anew, and that they have an anon_vma if need be: facts of every page too, kept
        apart as the attribute axioms are."""
        self.source = UNKNOWN
        """Where facts come from that are stated now: the verb or the check at hand."""
        self._said_by: tuple[list[Source], list[Source]] = [], []
        """Of each fact of every page, and of each of the places, where it comes from."""
        self._placed: list[z3.BoolRef] | None = None
        self._instances: dict[tuple[int, int], z3.BoolRef] = {}
        self.count: Num = world.map_count
        self.fresh_names: dict[str, int] = {}
        self._view: Callable[[Num], tuple[Bool, Vma]] = self._original_view
        self._page: Callable[[Num], Page] = self._original_page
        self._cut: Callable[[Num], Bool] = self._original_cut
        self._stored: Callable[[Num, Num], Num] = world.stored
        self._write_denied: Callable[[Num], Bool] = lambda key: cast(
            z3.BoolRef, world.function("write_denied", Number, Truth)(key)
        )
        self._access_denied: Callable[[Num], Bool] = lambda key: cast(
            z3.BoolRef, world.function("access_denied", Number, Truth)(key)
        )
        self._pkey_allocated: Callable[[Num], Bool] = lambda key: cast(
            z3.BoolRef, world.function("pkey_allocated", Number, Truth)(key)
        )
        self._exec_key: Num = world.exec_key
        self._brk: Num = world.brk
        self.failing_page: Num | None = None
        self.failing_cut = ""
        """Which cut of a pass could not be made and ended the call: `start`, `end`, or `end after start`."""
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
        """A VMA begins at the page, or one ended there; kept as a predicate of its own, for it is only compared."""
        return cast(z3.BoolRef, self.world.function("cut", Number, Truth)(page))

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

    # terms ----------------------------------------------------------------------------------------------------------

    def _fresh(self, what: str) -> str:
        n = self.fresh_names.get(what, 0)
        self.fresh_names[what] = n + 1
        return f"{what}!{n}"

    def _number(self, what: str) -> z3.ArithRef:
        return z3.Int(self._fresh(what))

    def _function(self, what: str, *sorts: z3.SortRef) -> Callable[..., Any]:
        """An unknown function that an effect leaves behind."""
        return self.world.function(self._fresh(what), *sorts)

    def _free(self, what: str, refusal: tuple[Errno, str] | None = None) -> bool:
        """Explore both: it happens, it does not. `refusal` is how the call ends if it does, where it ends then."""
        source = self.source if refusal is None else Source("check", refusal[1])
        return self.run.choose(self._choice(what), source)

    def _choice(self, what: str) -> z3.BoolRef:
        return z3.Bool(self._fresh(what))

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
    def map_count(self) -> Num:
        return self.count

    @property
    def max_map_count(self) -> Num:
        return self.world.max_map_count

    @property
    def brk(self) -> Num:
        return self._brk

    @property
    def start_brk(self) -> Num:
        return self.world.start_brk

    def set_brk(self, page: Num) -> None:
        self._brk = page

    def write_denied(self, pkey: Num) -> Bool:
        return self._write_denied(pkey)

    def access_denied(self, pkey: Num) -> Bool:
        return self._access_denied(pkey)

    def pkey_allocated(self, pkey: Num) -> Bool:
        return and_(not_(self.world.no_keys), between(0, pkey, 16), self._pkey_allocated(pkey))

    def allocate_pkey(self) -> Num:
        if self._free("no_pkey"):
            self.assume(self.world.no_keys)
            raise Refused(Errno.EINVAL, "pkey_alloc: there is no protection key")
        self.assume(not_(self.world.no_keys))
        if self._free("taken_pkeys"):
            self.assume(all_(or_(self.pkey_allocated(key), eq(key, self._exec_key)) for key in range(1, 16)))
            raise Refused(Errno.ENOSPC, "pkey_alloc: all protection keys are taken")
        key = self._number("pkey")
        self.assume(and_(between(1, key, 16), not_(self.pkey_allocated(key)), ne(key, self._exec_key)))
        old_write, old_access, allocated = self._write_denied, self._access_denied, self._pkey_allocated
        self._pkey_allocated = lambda k: or_(eq(k, key), allocated(k))
        self._write_denied = lambda k: and_(ne(k, key), old_write(k))
        self._access_denied = lambda k: and_(ne(k, key), old_access(k))
        return key

    def set_write_denied(self, access: tuple[Bool, ...], write: tuple[Bool, ...]) -> None:
        keys = not_(self.world.no_keys)
        self._write_denied = lambda key: and_(keys, any_(and_(eq(key, i), is_so) for i, is_so in enumerate(write)))
        self._access_denied = lambda key: and_(keys, any_(and_(eq(key, i), is_so) for i, is_so in enumerate(access)))

    def execute_only_pkey(self, wanted: Bool) -> Num:
        had = self._exec_key
        key = self._exec_key = self._number("exec_key")
        allocated = and_(eq(had, 0), lt(0, key))
        free = and_(between(1, key, 16), not_(self.pkey_allocated(key)), not_(self.world.no_keys))
        self.assume(or_(eq(key, had), and_(wanted, allocated, free)))
        taken = all_(self.pkey_allocated(other) for other in range(1, 16))
        self.assume(implies(and_(wanted, eq(key, 0)), or_(self.world.no_keys, taken)))
        old_write, old_access = self._write_denied, self._access_denied
        self._write_denied = lambda k: or_(and_(allocated, eq(k, key)), old_write(k))
        self._access_denied = lambda k: or_(and_(allocated, eq(k, key)), old_access(k))
        return key

    def fresh_object(self, pages: Num, besides: Num) -> Num:
        view, stored, made = self._original_view, self._stored, self._number("object")
        self.every_page.append(lambda q: implies(view(q)[0], ne(view(q)[1].object, made)))
        self._stored = lambda o, offset: ite(eq(o, made), 0, stored(o, offset))
        self.assume(and_(lt(0, made), ne(made, besides)))
        return made

    def object_pages(self, object: Num) -> Num:
        return cast(z3.ArithRef, self.world.function("object_pages", Number, Number)(object))

    def environment(self, why: str) -> Bool:
        self.world.environment_checks.add(why)
        return self.run.choose(self._choice(f"fails({why})"), Source("check", why))

    def find(self, page: Num) -> Vma | None:
        mapped, vma = self._view(page)
        return vma if self.decide(mapped) else None

    def holding(self, page: Num) -> tuple[Bool, Vma]:
        return self._view(page)

    def guarded(self, vma: Vma, start: Num, end: Num) -> Bool:
        return cast(z3.BoolRef, self.world.function("guarded", Number, Truth)(vma.start))

    def page(self, page: Num) -> Page:
        return self._page(page)

    def first(self, start: Num, end: Num) -> Vma | None:
        view = self._view
        if self._free("some_vma"):
            page = self._number("first")
            mapped, vma = view(page)
            self.assume(and_(between(start, page, end), mapped, or_(eq(page, start), eq(vma.start, page))))
            self.every_page.append(lambda q: implies(between(start, q, page), not_(view(q)[0])))
            return vma
        self.every_page.append(lambda q: implies(between(start, q, end), not_(view(q)[0])))
        return None

    def stack_above(self, page: Num) -> bool:
        if not self._free("stack_above"):
            return False
        view, stack = self._view, self._number("stack")
        mapped, vma = view(stack)
        begins = or_(eq(stack, page), eq(vma.start, stack))
        near = between(page, stack, page + STACK_GUARD_PAGES + 1)
        self.assume(and_(near, mapped, vma.growsdown, begins))
        self.every_page.append(lambda q: implies(between(page, q, stack), not_(view(q)[0])))
        return True

    def free_range(self, pages: Num, hint: Num | None) -> Num:
        return self._place(pages, hint)

    def free_range_for(self, pages: Num, hint: Num | None, *, low: Bool, huge: Bool) -> Num:
        refusal = Errno.EPERM, "the hint was rounded down below mmap_min_addr"
        if (
            hint is not None
            and not self.edition.huge_hints_up
            and huge is not False
            and self._free("low_hint", refusal)
        ):
            self.assume(and_(huge, lt(hint, MIN_PAGE + HUGE_PAGES)))
            raise Refused(*refusal)
        return self._place(pages, hint)

    def _place(self, pages: Num, hint: Num | None) -> Num:
        if self._free("no_free_range"):
            raise Refused(Errno.ENOMEM, "no free range is large enough")
        page = self._number("free")
        view = self._view
        # below mmap_min_addr only what was hinted at
        self.assume(or_(le(MIN_PAGE, page), False if hint is None else eq(page, hint)))
        self.assume(and_(le(0, page), le(page + pages, TASK_PAGES)))
        self.every_page.append(lambda q: implies(between(page, q, page + pages), not_(view(q)[0])))
        return page

    # passes -----------------------------------------------------------------------------------------------------------

    def check_each(self, start: Num, end: Num, test: Callable[[Vma], Bool], errno: Errno, check: str) -> None:
        view = self._view
        if self.skipped(check):
            page = self._number("witness")
            self.let_pass(and_(between(start, page, end), view(page)[0], test(view(page)[1])))
            return
        if self._free("found", (errno, check)):
            page = self._number("witness")
            mapped, vma = view(page)
            self.run.assume(and_(between(start, page, end), mapped, test(vma)), Source("check", check, True))
            self.failing_page = page
            raise Refused(errno, check)
        self.every_page.append(lambda q: implies(and_(between(start, q, end), view(q)[0]), not_(test(view(q)[1]))))

    def check_mapped(self, start: Num, end: Num, errno: Errno, check: str) -> None:
        view = self._view
        if self.skipped(check):
            page = self._number("witness")
            self.let_pass(and_(between(start, page, end), not_(view(page)[0])))
            return
        if self._free("gap", (errno, check)):
            page = self._number("witness")
            self.run.assume(and_(between(start, page, end), not_(view(page)[0])), Source("check", check, True))
            self.failing_page = page
            raise Refused(errno, check)
        self.every_page.append(lambda q: implies(between(start, q, end), view(q)[0]))

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
        this, view = Pass(start, end, visit, gap, no_room, cursor), self._view
        dropped: list[tuple[Num, Bool]] = []
        step = self.steps_of(this, dropped)
        stop = self._number("stop")
        refusal = self.why_it_stops(this, stop, step)
        reached: Num = end if refusal is None else stop
        stray = refusal is not None and refusal[2]
        self._drop_in_pass(start, end, reached, step, dropped, stop if refusal is not None else None)
        self.pass_up_to(this, reached, step, stray=stray)
        if refusal is not None:
            self.failing_page = stop
            raise Refused(refusal[0], refusal[1])
        if gap is Gap.REMEMBER:
            if self._free("gap_seen"):
                hole = self._number("witness")
                self.assume(and_(between(start, hole, end), not_(view(hole)[0])))
                raise Refused(Errno.ENOMEM, GAP_REMEMBERED)
            self.every_page.append(lambda q: implies(between(start, q, end), view(q)[0]))

    def steps_of(self, this: Pass, dropped: list[tuple[Num, Bool]] | None = None) -> Step:
        """What the pass finds at each page, and does there: (mapped, VMA, what the VMA becomes, tests and effects)."""
        view = self._view

        @once_per_page
        def step(page: Num) -> tuple[Bool, Vma, Vma, Visit]:
            mapped, vma = view(page)
            at = Visit(larger(this.start, vma.start), smaller(this.end, vma.end))
            after = this.visit(vma, at)
            for test in at.tests:
                self.world.note(test[0], Source("check", test[2]))
            if dropped is not None:
                dropped.extend((page, and_(mapped, t[0])) for t in at.tests if self.skipped(t[2]))
            at.tests = [t for t in at.tests if t[2] != self.dropped]
            return mapped, vma, after, at

        return step

    def pass_up_to(self, this: Pass, reached: Num, step: Step, *, stray: bool = False) -> None:
        """What holds once a changing pass has got as far as `reached`: what of [start, reached) it found, and what has
        become of it. `stray`: a cut at `start` was left behind by the failure of the one at `end`."""
        start, end = this.start, this.end
        cuttable = not self.skipped("the VMA refuses to be split")

        def passed(q: z3.ArithRef) -> Bool:
            mapped, vma, after, at = step(q)
            ok = all_(not_(cond) for cond, _, _ in at.tests)
            if cuttable:  # a VMA that refuses to be split is never merged: what changed of it was not cut off
                cut = or_(
                    and_(lt(vma.start, start), refuses_split(vma, start)),
                    and_(lt(end, vma.end), refuses_split(vma, end)),
                )
                whole = or_(same_flags(vma, after), not_(cut))
                self.world.note(whole, Source("check", "the VMA refuses to be split"))
                ok = and_(ok, whole)
            found = and_(mapped, ok) if this.gap is Gap.STOP else implies(mapped, ok)
            return implies(between(start, q, reached), found)

        self.every_page.append(passed)
        self._apply(start, reached, step, self._page, stray=stray, joins=this.cursor != "stale")

    def _drop_in_pass(
        self,
        start: Num,
        end: Num,
        reached: Num,
        step: Step,
        dropped: list[tuple[Num, Bool]],
        stop: Num | None,
    ) -> None:
        """A mutant without one of the pass's own checks: some VMA that the pass came to would have failed it."""
        if self.dropped is None:
            return
        page = self._number("witness")
        mapped, vma, after, _ = step(page)
        would = [cond for at, cond in dropped if at is page]
        came = between(start, page, reached)
        came = came if stop is None else or_(came, eq(page, stop))
        changed = and_(mapped, not_(same_flags(vma, after)))
        if self.dropped == "the VMA refuses to be split":
            would = [
                and_(changed, lt(vma.start, start), refuses_split(vma, start)),
                and_(changed, lt(end, vma.end), refuses_split(vma, end)),
            ]
        elif self.dropped == "no room under the map-count limit for a split":
            would = [and_(changed, or_(lt(vma.start, start), lt(end, vma.end)), le(self.max_map_count, self.count))]
        if would:
            self.let_pass(and_(came, any_(would)))

    def why_it_stops(self, this: Pass, stop: Num, step: Step) -> tuple[Errno, str, bool] | None:
        """The first failure of a changing pass: (errno, check, whether a stray cut at `start` was left), or None."""
        start, end, gap, no_room = this.start, this.end, this.gap, this.no_room
        mapped, vma, after, at = step(stop)
        here = and_(between(start, stop, end), mapped, or_(eq(stop, start), eq(vma.start, stop)))
        passed: Bool = True
        for cond, errno, check in at.tests:
            if self._free("stopped", (errno, check)):
                self.run.assume(and_(here, passed, cond), Source("check", check, True))
                return errno, check, False
            passed = and_(passed, not_(cond))
        hole = this.hole
        if gap is Gap.STOP and self._free("stopped", hole):
            self.run.assume(and_(between(start, stop, end), not_(mapped)), Source("check", hole[1], True))
            return *hole, False
        changed = not_(same_flags(vma, after))
        if isinstance(changed, bool) and not changed:
            return None
        left, right = lt(vma.start, start), lt(end, vma.end)
        first = eq(stop, start)
        head_mapped, head, head_after, _ = step(start)
        # only a cut at the start of the range adds a VMA before the pass comes to its end (lemma pass-seal and others)
        grown = ite(and_(head_mapped, lt(head.start, start), not_(same_flags(head, head_after))), 1, 0)
        for page, needed, before in ((start, left, False), (end, right, left)):
            room = "no room under the map-count limit for a split"
            for stray in (False, True) if page is end else (False,):
                if stray and isinstance(before, bool) and not before:
                    continue
                split_before = before if stray else (not_(before) if page is end else True)
                context = and_(here, passed, changed, needed, split_before)
                cut = "start" if page is start else "end after start" if stray else "end"
                if self.edition.limits_maps and not self.skipped(room) and self._free("stopped", (no_room, room)):
                    count = self._number("count")
                    exact: Num = self.count + (1 if stray else 0)
                    full = and_(context, le(self.max_map_count, count), le(count, self.count + grown))
                    above = implies(first, eq(count, exact)), implies(stray, lt(self.count, self.max_map_count))
                    self.run.assume_all((full, *above), Source("check", room, True))
                    self.failing_cut = cut
                    return no_room, room, stray
                refuses = "the VMA refuses to be split"
                if not self.skipped(refuses) and self._free("stopped", (Errno.EINVAL, refuses)):
                    self.run.assume(and_(context, refuses_split(vma, page)), Source("check", refuses, True))
                    if self.edition.limits_maps:
                        self.assume(implies(stray, lt(self.count, self.max_map_count)))
                    self.failing_cut = cut
                    return Errno.EINVAL, refuses, stray
        return None

    def _apply(
        self,
        start: Num,
        reached: Num,
        step: Step,
        page_at: Callable[[Num], Page],
        *,
        stray: bool,
        joins: bool,
    ) -> None:
        """The state after a changing pass that got as far as `reached`. `joins`: what it changed is one VMA with a
        neighbour that nothing tells apart from it."""
        view, old_cut, old_stored = self._view, self._cut, self._stored
        touched = self._choice("touched")
        witness = self._number("changed")
        seen, was, becomes, _ = step(witness)
        self.assume(implies(touched, and_(between(start, witness, reached), seen, not_(same_flags(was, becomes)))))
        self.every_page.append(
            lambda q: or_(
                touched, not_(between(start, q, reached)), not_(step(q)[0]), same_flags(step(q)[1], step(q)[2])
            )
        )
        new_cut = self._function("cut_after", Number, Truth)
        new_start = self._function("start_after", Number, Number)
        new_end = self._function("end_after", Number, Number)
        new_anon = self._function("anon_vma_after", Number, Number)
        new_faulted = self._function("faulted_after", Number, Truth)
        probe = step(start)[3]
        faults_in = (probe.populates, probe.populates_changed, probe.prepares) != (False, False, False)

        def changed(q: Num) -> Bool:
            mapped, vma, after, _ = step(q)
            return and_(between(start, q, reached), mapped, not_(same_flags(vma, after)))

        stray_in = view(start)[1].start if stray else None

        def is_recut(vma: Vma) -> Bool:
            """The VMA may begin or end elsewhere now: something was changed, or a stray cut was left in it. A special
            mapping is neither cut nor merged."""
            recut = touched if stray_in is None else or_(touched, eq(vma.start, stray_in))
            return and_(recut, ne(vma.backing, SPECIAL))

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, vma, after, _ = step(q)
            # a merge, or a fault, may give a VMA an anon_vma; one that is there stays
            none, anon = eq(vma.anon_vma, 0), cast(z3.ArithRef, new_anon(q))
            given = and_(none, or_(touched, faults_in))
            inside = between(start, q, reached)
            kept = replace(after, offset=vma.offset, anon_vma=vma.anon_vma, inherited=vma.inherited)
            chosen = choose_vma(inside, replace(kept, start=vma.start, end=vma.end), vma)
            recut = is_recut(vma)
            moved = replace(
                chosen, start=ite(recut, new_start(q), vma.start), end=ite(recut, new_end(q), vma.end),
                offset=ite(recut, offset_at(vma, new_start(q)), vma.offset),
                anon_vma=ite(given, larger(0, anon), vma.anon_vma),
            )  # fmt: skip
            return mapped, moved

        def placed(q: Num) -> Bool:
            mapped, vma = view_after(q)
            return implies(and_(is_recut(view(q)[1]), mapped), is_placed(vma, q))

        def page_after(q: Num) -> Page:
            mapped, vma, after, at = step(q)
            now = page_at(q)
            then = now if at.change_page is None else at.change_page(q, vma, now)
            if at.populates is not False:
                by_write = and_(at.populates, vma.write, not_(vma.shared), not_(now.guard), not_(is_special(vma)))
                then = choose_page(by_write, Page(copied=True, own=self._visible(q, vma, now, old_stored)), then)
            if at.populates_changed is not False:
                faulted = cast(z3.BoolRef, new_faulted(q))
                plain = not_(or_(vma.shared, now.guard, is_special(vma)))
                copy = Page(copied=True, own=self._visible(q, vma, now, old_stored))
                then = choose_page(and_(at.populates_changed, after.write, plain, faulted), copy, then)
            return choose_page(and_(between(start, q, reached), mapped), then, now)

        self._view, self._page = once_per_page(view_after), once_per_page(page_after)
        self.places.append(placed)
        self._copies_have_anon_vmas()
        view_now = self._view

        def joined(q: Num) -> Bool:
            (before, left), (here, right) = view_now(q - 1), view_now(q)
            same = replace(left, anon_vma=right.anon_vma, inherited=right.inherited)
            old, its = view(q - 1)[1], view(q)[1]
            anon_vmas = and_(eq(old.anon_vma, its.anon_vma), eq(old.inherited, its.inherited))
            if self.edition.merges_into_unfaulted:
                kept = and_(eq(left.anon_vma, right.anon_vma), eq(left.inherited, right.inherited))
                into = (
                    and_(eq(left.anon_vma, 0), not_(right.inherited)),
                    and_(eq(right.anon_vma, 0), not_(left.inherited)),
                )
                anon_vmas = or_(anon_vmas, kept, *into)
            # else a written VMA does not merge into an unwritten one behind it, which may be given the same anon_vma
            # later, by a merge with what is behind it: then the two are alike, and stay two
            one = and_(alike(same, right, q), anon_vmas)
            return and_(or_(changed(q - 1), changed(q)), before, here, one)

        self._cut = lambda q: ite_bool(
            or_(not_(touched), lt(q, start), lt(reached, q)),
            or_(old_cut(q), and_(stray, eq(q, start))),
            and_(cast(z3.BoolRef, new_cut(q)), not_(joined(q)) if joins else True),
        )
        before = self.count
        after_count = self._number("map_count")
        if self.dropped == "no room under the map-count limit for a split" or not self.edition.limits_maps:
            self.assume(le(after_count, before + 2))
        else:
            self.assume(le(after_count, larger(before, self.max_map_count)))
        self.assume(implies(lt(0, before), lt(0, after_count)))
        self.count = ite(touched, after_count, before + (1 if stray else 0))
        self._punch(start, reached, step, view, old_stored)

    def _punch(
        self,
        start: Num,
        reached: Num,
        step: Step,
        view: Callable[[Num], tuple[Bool, Vma]],
        old_stored: Callable[[Num, Num], Num],
    ) -> None:
        """Objects read zero where a hole was punched through a page of the range."""
        probe = step(start)[3].punches_hole
        if probe is False:
            return

        def backs(q: Num, object: Num, offset: Num) -> Bool:
            mapped, vma, _, at = step(q)
            same = and_(eq(vma.object, object), eq(offset_at(vma, q), offset), has_file(vma))
            return and_(between(start, q, reached), mapped, same, at.punches_hole)

        punched = self._some_page(backs)
        self._stored = lambda object, offset: ite(punched(object, offset), 0, old_stored(object, offset))

    def _some_page(self, backs: Callable[[Num, Num, Num], Bool]) -> Callable[[Num, Num], Bool]:
        """Of a place in an object: some page is backed by it."""
        hole = self._function("hole", Number, Number, Truth)
        through = self._function("hole_through", Number, Number, Number)

        source = self.source

        def punched(object: Num, offset: Num) -> Bool:
            there = cast(z3.BoolRef, hole(object, offset))
            before = self.enter(source)
            self.assume(implies(there, backs(through(object, offset), object, offset)))
            self.every_page.append(lambda q: implies(backs(q, object, offset), there))
            self.enter(before)
            return there

        return punched

    def move_each(
        self,
        start: Num,
        end: Num,
        new: Num,
        tests: Callable[[Vma, Num, Num], list[Test]],
        relocate: Callable[[Num, Num], None],
        ensures: Callable[[Num], Bool],
        *,
        keep_source: bool,
    ) -> None:
        """Either all VMAs are moved, or some VMA is the first that is not: those before it were moved (lemma moves)."""
        if not self._free("stopped"):
            self._moved(start, end, end, new, tests, ensures, keep_source=keep_source)
            return
        stop: Num = start
        if self._free("later"):
            stop = self._number("stop")
            mapped, vma = self._view(stop)
            self.assume(and_(lt(start, stop), lt(stop, end), mapped, eq(vma.start, stop)))
            self._moved(start, stop, end, new, tests, ensures, keep_source=keep_source)
        mapped, vma = self._view(stop)
        self.assume(mapped)
        behind = smaller(end, vma.end)
        self.failing_page = stop
        for test in tests(vma, stop, behind):
            self.fail_if(*test)
        relocate(stop, behind)
        self.assume(False)  # this VMA was moved after all: another path

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
        """Every VMA of [start, reached) was moved, as part of [start, end) to `new`. Merges may have moved the borders
        of what lies beside the destination."""
        view, page_at, distance = self._view, self._page, new - start

        def piece(vma: Vma) -> tuple[Num, Num]:
            return larger(start, vma.start), smaller(end, vma.end)

        def at_distance(q: Num, by: Num) -> Num:
            page = shift(q, by)
            if isinstance(page, z3.ExprRef) and page.get_id() not in self.named:
                self.shifted.add(page.get_id())
            return page

        def passed(q: Num) -> Bool:
            mapped, vma = view(q)
            first, last = piece(vma)
            replaced, target = view(at_distance(q, distance))
            let_go = implies(replaced, lets_go(target, first + distance, last + distance))
            cut_off = not_(
                or_(
                    and_(lt(vma.start, start), refuses_split(vma, start)),
                    and_(lt(end, vma.end), refuses_split(vma, end)),
                )
            )
            allowed = ensures(at_distance(q, distance))
            ok = and_(all_(not_(cond) for cond, _, _ in tests(vma, first, last)), let_go, cut_off, allowed)
            return implies(and_(between(start, q, reached), mapped), ok)

        self.every_page.append(lambda q: and_(passed(q), passed(at_distance(q, -distance))))
        new_start = self._function("start_after", Number, Number)
        new_end = self._function("end_after", Number, Number)

        whole = keep_source and not self.edition.splits_locked_source
        stays_locked = self._function("stays_locked", Number, Truth)
        own_offset = self._function("own_offset", Number, Truth)
        new_anon = self._function("anon_vma_after", Number, Number)
        new_inherited = self._function("inherited_after", Number, Truth)

        def came(q: Num) -> Bool:
            return and_(between(new, q, reached + distance), view(at_distance(q, -distance))[0])

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, vma = view(q)
            source = view(at_distance(q, -distance))[1]
            here = between(start, q, reached)
            unlocked = or_(here, and_(lt(vma.start, reached), lt(start, vma.end))) if whole else here
            stays = choose_vma(unlocked, replace(vma, locked=False), vma) if keep_source else vma
            if whole:
                source = replace(source, locked=and_(source.locked, cast(z3.BoolRef, stays_locked(source.start))))
            gone = False if keep_source else here
            chosen = choose_vma(came(q), source, stays)
            place = ite(came(q), offset_at(source, at_distance(q, -distance)), offset_at(vma, q))
            # unwritten memory gets the page offset of its new place (copy_vma), unless a merge on the way gave it an
            # anon_vma; what MREMAP_DONTUNMAP leaves behind may get it back
            unwritten = and_(came(q), is_anonymous(source), eq(source.anon_vma, 0))
            left = and_(here, eq(vma.backing, ANONYMOUS)) if keep_source and self.edition.resets_kept_offset else False
            place = ite(and_(or_(unwritten, left), own_offset(q)), q, place)
            anon = larger(0, new_anon(q))  # merges share out anon_vmas anew, and what is left behind loses its own
            placed = replace(
                chosen,
                start=new_start(q),
                end=new_end(q),
                offset=place - (q - new_start(q)),
                anon_vma=anon,
                inherited=and_(lt(0, anon), new_inherited(q)),
            )
            return or_(came(q), and_(mapped, not_(gone))), placed

        def placed(q: Num) -> Bool:
            mapped, vma = view(q)
            begins, ends = cast(z3.ArithRef, new_start(q)), cast(z3.ArithRef, new_end(q))
            border = reached + distance
            rest = implies(
                and_(between(reached, q, end), mapped),
                and_(
                    eq(begins, vma.start),
                    ite_bool(and_(lt(start, new), le(new, vma.end)), le(new, ends), eq(ends, vma.end)),
                ),
            )
            target = implies(
                and_(between(border, q, end + distance), mapped),
                and_(ite_bool(lt(border, vma.start), eq(begins, vma.start), le(begins, border)), eq(ends, vma.end)),
            )
            # special mappings are neither merged nor cut, huge pages not merged, and cut only between huge pages
            unmoved = not_(came(q))
            special = implies(and_(unmoved, eq(vma.backing, SPECIAL)), and_(eq(begins, vma.start), eq(ends, vma.end)))
            huge = implies(
                and_(unmoved, eq(vma.backing, HUGETLB)),
                and_(
                    or_(eq(begins, vma.start), starts_huge_page(begins)), or_(eq(ends, vma.end), starts_huge_page(ends))
                ),
            )
            there, after = view_after(q)
            return and_(
                implies(there, is_placed(after, q)), rest, target, implies(and_(there, mapped), and_(special, huge))
            )

        def page_after(q: Num) -> Page:
            moved = choose_page(between(start, q, reached), EMPTY_PAGE, page_at(q))
            return choose_page(came(q), page_at(at_distance(q, -distance)), moved)

        self.every_page.append(placed)
        self._view, self._page = once_per_page(view_after), once_per_page(page_after)
        self._copies_have_anon_vmas()
        self._forget_cuts(start, reached)
        self._forget_cuts(new, reached + distance)
        self.count = self._number("map_count")
        # the room that a move asks for leaves this much (contract of mremap's move, obligation of lemma moves)
        self.assume(and_(lt(0, self.count), le(self.count, self.max_map_count)))

    def _copies_have_anon_vmas(self) -> None:
        """A page that was copied lies in a VMA that has an anon_vma: whoever copies it sees to that (touch)."""
        view, page_at = self._view, self._page
        self.places.append(lambda q: implies(page_at(q).copied, lt(0, view(q)[1].anon_vma)))

    def _touched(self, view: Callable[[Num], tuple[Bool, Vma]]) -> Callable[[Num], tuple[Bool, Vma]]:
        """The same mapping, where VMAs that had no anon_vma may have got one."""
        new_anon = self._function("anon_vma_after", Number, Number)

        def after(q: Num) -> tuple[Bool, Vma]:
            mapped, vma = view(q)
            return mapped, replace(vma, anon_vma=ite(eq(vma.anon_vma, 0), larger(0, new_anon(q)), vma.anon_vma))

        return once_per_page(after)

    def _rebordered(
        self, view: Callable[[Num], tuple[Bool, Vma]], near: Callable[[Num], Bool], made: Vma
    ) -> Callable[[Num], tuple[Bool, Vma]]:
        """The same mapping, with its VMAs merged or cut anew where `near` holds: where they begin and end, and which
        anon_vma they have, is open there. No page changes its place in its object. They lie where VMAs can lie if
        `made` does, the VMA that was put there: that it does is for the call to see to."""
        new_start = self._function("start_after", Number, Number)
        new_end = self._function("end_after", Number, Number)
        new_anon = self._function("anon_vma_after", Number, Number)
        new_inherited = self._function("inherited_after", Number, Truth)

        @once_per_page
        def after(q: Num) -> tuple[Bool, Vma]:
            mapped, vma = view(q)
            there, begin = and_(near(q), ne(vma.backing, SPECIAL)), new_start(q)  # which is never merged
            anon = larger(0, new_anon(q))
            return mapped, replace(
                vma,
                start=ite(there, begin, vma.start),
                end=ite(there, new_end(q), vma.end),
                offset=ite(there, offset_at(vma, begin), vma.offset),
                anon_vma=ite(there, anon, vma.anon_vma),
                inherited=ite_bool(there, and_(lt(0, anon), new_inherited(q)), vma.inherited),
            )

        def placed(q: Num) -> Bool:
            mapped, vma = after(q)
            return implies(and_(is_placed(made, made.start), mapped, near(q)), is_placed(vma, q))

        self.places.append(placed)
        return after

    # whole-range effects ----------------------------------------------------------------------------------------------

    def split(self, page: Num, refused: Errno = Errno.EINVAL) -> None:
        view, cut = self._view, self._cut
        mapped, vma = view(page)
        cuts = and_(mapped, lt(vma.start, page))
        self.fail_if(and_(cuts, refuses_split(vma, page)), refused, "the VMA refuses to be split")
        start, end = vma.start, vma.end

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, old = view(q)
            inside = and_(cuts, mapped, eq(old.start, start), eq(old.end, end), between(start, q, end))
            begin = ite(and_(inside, le(page, q)), page, old.start)
            finish = ite(and_(inside, lt(q, page)), page, old.end)
            return mapped, replace(old, start=begin, end=finish, offset=offset_at(old, begin))

        self._view = once_per_page(view_after)
        self._cut = lambda q: or_(cut(q), and_(cuts, eq(q, page)))
        self.count = self.count + ite(cuts, 1, 0)

    def unmap(self, start: Num, end: Num) -> None:
        view, page_at = self._view, self._page
        before = self.count
        first, last = view(start), view(end - 1)
        removed = ite(first[0], 1, 0) + ite(
            and_(last[0], not_(and_(first[0], eq(first[1].start, last[1].start)))), 1, 0
        )
        self._view = once_per_page(lambda q: (and_(view(q)[0], not_(between(start, q, end))), view(q)[1]))
        self._page = once_per_page(lambda q: choose_page(between(start, q, end), EMPTY_PAGE, page_at(q)))
        self._forget_cuts(start, end)
        self.count = self._number("map_count")
        self.assume(and_(le(0, self.count), le(self.count, before - removed)))

    def _forget_cuts(self, start: Num, end: Num) -> None:
        cut = self._cut
        new_cut = self._function("cut_after", Number, Truth)
        self._cut = lambda q: ite_bool(and_(le(start, q), le(q, end)), cast(z3.BoolRef, new_cut(q)), cut(q))

    def map(self, vma: Vma, *, expand_only: bool = False) -> None:
        view = self._view

        def inside(q: Num) -> Bool:
            return between(vma.start, q, vma.end)

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, old = view(q)
            return or_(inside(q), mapped), choose_vma(inside(q), vma, old)

        self._view = self._rebordered(view_after, lambda q: or_(inside(q), beside(view(q)[1], vma.start, vma.end)), vma)
        self._copies_have_anon_vmas()
        self._forget_cuts(vma.start, vma.end)
        self._inserted()

    def _inserted(self) -> None:
        before = self.count
        self.count = self._number("map_count")
        self.assume(and_(le(before - 1, self.count), le(self.count, before + 1), lt(0, self.count)))

    def move(self, old: Num, pages: Num, new: Num, new_pages: Num, *, keep_source: bool) -> None:
        view, page_at, before = self._view, self._page, self.count
        source = view(old)[1]
        # memory that was never written gets the page offset of its new place (copy_vma)
        unwritten = and_(is_anonymous(source), eq(source.anon_vma, 0))
        copy = replace(source, start=new, end=new + new_pages, offset=ite(unwritten, new, offset_at(source, old)))
        whole = keep_source and not self.edition.splits_locked_source
        spreads: Bool = False
        if whole:  # the copy may be one VMA with what is unlocked, and with what lies on its other side
            copy = replace(copy, locked=and_(source.locked, self._choice("stays_locked")))
            spreads = self._choice("unlocks_beside")
        uncharges = keep_source and self.edition.uncharges_kept_source
        if uncharges:
            copy = replace(copy, account=and_(source.account, self._choice("stays_charged")))
        reset = self._choice("offset_reset") if keep_source and self.edition.resets_kept_offset else False

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, vma = view(q)
            there, here = between(new, q, new + new_pages), between(old, q, old + pages)
            joined = or_(eq(vma.start, source.start), and_(spreads, beside(vma, new, new + new_pages)))
            unlocked = or_(here, and_(mapped, joined)) if whole else here
            left = replace(vma, locked=False, account=False if uncharges else vma.account)
            kept = choose_vma(unlocked, left, vma) if keep_source else vma
            back = and_(reset, here, eq(vma.backing, ANONYMOUS))
            kept = replace(kept, offset=ite(back, vma.start, kept.offset))
            gone = False if keep_source else here
            return or_(there, and_(mapped, not_(gone))), choose_vma(there, copy, kept)

        def near(q: Num) -> Bool:
            there, vma = between(new, q, new + new_pages), view(q)[1]
            return or_(there, eq(vma.start, source.start), beside(vma, new, new + new_pages))

        def page_after(q: Num) -> Page:
            there, here = between(new, q, new + pages), between(old, q, old + pages)
            beyond = between(new + pages, q, new + new_pages)
            moved = page_at(shift(q, old - new))
            now = page_at(q)
            return choose_page(there, moved, choose_page(or_(here, beyond), EMPTY_PAGE, now))

        self._view, self._page = self._rebordered(view_after, near, copy), once_per_page(page_after)
        self._copies_have_anon_vmas()
        self._forget_cuts(old, old + pages)
        self._forget_cuts(new, new + new_pages)
        # the copy is one VMA more, or merges; the cuts at the ends of what it is a copy of add two at most
        cuts: Num = 0 if whole else 2
        if keep_source and not whole:
            cuts = ite(source.locked, ite(lt(source.start, old), 1, 0) + ite(lt(old + pages, source.end), 1, 0), 0)
        gone: Num = 0 if keep_source else ite(lt(0, pages), 1, 0)
        self.count = self._number("map_count")
        most = before + 1 + (cuts if keep_source else ite(lt(0, pages), 2, 0)) - gone
        self.assume(and_(le(before - 2, self.count), le(self.count, most), lt(0, self.count)))

    def expand(self, page: Num, end: Num) -> None:
        view = self._view
        vma = view(page)[1]
        grown = replace(vma, end=end)

        def inside(q: Num) -> Bool:
            return between(vma.start, q, end)

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, old = view(q)
            return or_(inside(q), mapped), choose_vma(inside(q), grown, old)

        self._view = self._rebordered(view_after, lambda q: or_(inside(q), eq(view(q)[1].start, end)), grown)
        self._copies_have_anon_vmas()
        self._forget_cuts(vma.end, end)
        before = self.count
        self.count = self._number("map_count")
        self.assume(and_(le(before - 1, self.count), le(self.count, before), lt(0, self.count)))

    def lock(self, start: Num, end: Num) -> None:
        view, page_at, stored = self._view, self._page, self._stored
        faulted = self._function("faulted", Number, Truth)

        def page_after(q: Num) -> Page:
            mapped, vma = view(q)
            now = page_at(q)
            by_write = and_(mapped, vma.write, not_(vma.shared), not_(is_special(vma)), not_(now.guard))
            done = and_(between(start, q, end), by_write, cast(z3.BoolRef, faulted(q)))
            return choose_page(done, Page(copied=True, own=self._visible(q, vma, now, stored)), now)

        self._view, self._page = self._touched(view), once_per_page(page_after)
        self._copies_have_anon_vmas()

    # single pages -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _visible(page: Num, vma: Vma, now: Page, stored: Callable[[Num, Num], Num]) -> Num:
        backed = ite(has_file(vma), stored(vma.object, offset_at(vma, page)), 0)
        return ite(now.copied, now.own, ite(is_anonymous(vma), 0, backed))

    def store(self, page: Num, value: Num) -> None:
        vma = self._view(page)[1]
        old_stored, page_at = self._stored, self._page
        at = offset_at(vma, page)
        self._stored = lambda o, offset: ite(
            and_(vma.shared, eq(o, vma.object), eq(offset, at)), value, old_stored(o, offset)
        )
        self._page = once_per_page(
            lambda q: choose_page(and_(eq(q, page), not_(vma.shared)), Page(copied=True, own=value), page_at(q))
        )
        self._view = self._touched(self._view)
        self._copies_have_anon_vmas()

    def prepare(self, page: Num, cond: Bool) -> None:
        if self.decide(cond):
            self._view = self._touched(self._view)

    def set_page(self, page: Num, content: Page) -> None:
        page_at = self._page
        self._page = once_per_page(lambda q: choose_page(eq(q, page), content, page_at(q)))

    def become_child(self, inherit: Callable[[Vma], tuple[Bool, Vma]], page: Callable[[Vma, Page], Page]) -> None:
        view, page_at = self._view, self._page
        new_anon = self._function("anon_vma_after", Number, Number)

        def view_after(q: Num) -> tuple[Bool, Vma]:
            mapped, vma = view(q)
            kept, child = inherit(vma)
            # each VMA of the child has an anon_vma of its own (anon_vma_fork)
            own = ite(eq(child.anon_vma, 0), 0, larger(1, new_anon(q)))
            return and_(mapped, kept), replace(child, anon_vma=own)

        self._view = once_per_page(view_after)
        self._page = once_per_page(lambda q: choose_page(view(q)[0], page(view(q)[1], page_at(q)), page_at(q)))
        new_cut = self._function("cut_after", Number, Truth)
        self._cut = lambda q: cast(z3.BoolRef, new_cut(q))
        before = self.count
        self.count = self._number("map_count")
        self.assume(and_(le(0, self.count), le(self.count, before)))


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
    if _verb not in _GUARDS and callable(vars(UnboundedSpace).get(_verb)):
        setattr(UnboundedSpace, _verb, _vouched_for(_verb, vars(UnboundedSpace)[_verb]))


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
            visible = UnboundedSpace._visible(page, vma, now, self._stored)
            self._seen[key] = PageView(mapped, vma, now, visible)
        return self._seen[key]

    def cut(self, page: Num) -> Bool:
        """A VMA begins or ends at the left edge of the page."""
        return self._cut(page)

    def counted(self) -> Num:
        """In this reading the number of VMAs is map_count by the lemmas on splits and merges."""
        return self.map_count
