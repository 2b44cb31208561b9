# SPDX-License-Identifier: MIT
"""Decide properties of one call in the unbounded reading: proved, refuted with a concrete example, or neither."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import z3

from checker.answers import EITHER, TIME, why_unknown
from checker.bounded_search import find_bounded
from checker.calls import CallPath, ExploredCall
from checker.examples import Example, from_model, problems, violation, with_small_contents, witnesses
from checker.preferences import WINDOW, Degree, cost, degrees, named_views, preferences
from spec.errors import Errno
from spec.properties import Property
from spec.terms import Bool, and_, any_, eq, implies, le, lt, ne, not_, or_
from spec.vma import HUGE_PAGES, starts_huge_page

P, Q = z3.Int("page"), z3.Int("second_page")
"""The Skolem constants: the pages that stand for all."""

SEARCH_LIMIT = 3_000_000
"""Solver steps (z3's rlimit, so that results do not depend on the machine) for one query of the search for examples."""

MOST_PATHS = 6
"""Paths of one degree of plainness on which an example is made, to choose the plainest from."""


MOST_PAGES = 64
"""Pages of all VMAs of an example together, where only their number counts."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the unbounded reading says of one property of one call."""

    verdict: str
    """`proved`, `refuted`, `unknown`, `open`: satisfiable, but no concrete example was found, or `error`: a path was
    not accounted for."""
    queries: int
    seconds: float
    example: Example | None = None
    page: int | None = None
    why: str = ""
    paths: int = 0
    """How many paths of the call were accounted for."""
    searched: bool = False
    """Its example was searched for: none that was known is the smallest."""


@dataclass(slots=True)
class _Open:
    """A path on which a property may be broken, with what a counterexample there satisfies."""

    path: CallPath
    goal: list[z3.BoolRef]


@dataclass(slots=True)
class Examination:
    """What the solver says of one property on all paths of a call, before any example was looked for."""

    count: int
    """How many paths the call has."""
    accounts: dict[int, str] = field(default_factory=dict)
    """For each path, by number, what became of it: `contradictory` (nothing takes it), `outcome` (the property does not
    speak of how it ends), `constant` (it holds there whatever the unknowns are), `holds`, `open` or `unknown`."""
    opened: list[_Open] = field(default_factory=list)
    """The paths on which it may be broken."""
    unknown: str = ""
    """Why the solver gave up on some path; empty if it did not."""
    queries: int = 0
    seconds: float = 0.0

    @property
    def proved(self) -> bool:
        """It holds on every path."""
        settled = ("contradictory", "outcome", "constant", "holds")
        return not self.lost and all(account in settled for account in self.accounts.values())

    @property
    def lost(self) -> str:
        """Which paths were not accounted for, though exploring found them, or the other way round; empty if none."""
        if self.accounts.keys() == set(range(self.count)):
            return ""
        return f"{self.count} paths were explored, and {len(self.accounts)} of them examined"


class Prover:
    """Decides properties of one explored call."""

    def __init__(self, explored: ExploredCall, timeout_ms: int) -> None:
        self.explored = explored
        self.solver = z3.SimpleSolver()
        self.solver.set("timeout", timeout_ms)
        self.ran_out = ""
        """Why the last search for an example may have missed one; empty if it looked at all that it looks at."""
        self._limit = TIME
        self._feasible: list[CallPath] | None = None
        self._contradictory: set[int] = set()

    def feasible(self) -> list[CallPath]:
        """The paths that can be taken: exploring leaves free choices unchecked, so that some contradict themselves. A
        path of which the solver cannot tell is kept."""
        if self._feasible is None:
            self._feasible = []
            for path in self.explored.paths:
                self._enter(path)
                if self.solver.check() != z3.unsat:
                    self._feasible.append(path)
                else:
                    self._contradictory.add(path.number)
                self.solver.pop()
        return self._feasible

    def _is_sat(self) -> bool:
        """What is asserted is known to be satisfiable; a search remembers where that is not known."""
        answer = self.solver.check()
        if answer == z3.unknown:
            self.ran_out = why_unknown(self.solver, self._limit)
        return bool(answer == z3.sat)

    def _path_facts(self, path: CallPath) -> list[z3.BoolRef]:
        """Conditions of the path, and what holds of every page at the pages that it and the goals name."""
        facts = path.space.facts()
        return [*self.explored.world.axioms_of(path.space.named), *path.space.run.conditions, *facts]

    def _attributes(self, path: CallPath) -> list[z3.BoolRef]:
        """What well-formedness says of the attributes of the pages that the path names."""
        places = path.space.place_facts()
        return [*self.explored.world.attributes_of(path.space.named), *places]

    def _enter(self, path: CallPath) -> None:
        """Assert a path in a scope of its own."""
        facts = self._path_facts(path)
        self.solver.push()
        self.solver.add(*facts)

    def _check(self, path: CallPath, *goal: z3.BoolRef) -> tuple[z3.CheckSatResult, str]:
        """Is the goal satisfiable here? First without what is known of attributes, which mostly does."""
        self.solver.push()
        self.solver.add(*goal)
        answer = self.solver.check()
        if answer == z3.sat:
            self.solver.add(*self._attributes(path))
            answer = self.solver.check()
        why = why_unknown(self.solver) if answer == z3.unknown else ""
        self.solver.pop()
        return answer, why

    def decide(
        self, props: Sequence[Property], recorded: Callable[[Property], Iterable[Example]] = lambda prop: ()
    ) -> dict[str, Decision]:
        """Decide the properties on all paths. What breaks one often breaks another, so that the examples of those that
        few paths break are tried on the others before anything is searched for; what was `recorded` of a property comes
        before that."""
        examined = self.examine(props)
        decided: dict[str, Decision] = {}
        for prop in sorted(props, key=lambda prop: len(examined[prop.name].opened)):
            known = [d.example for d in decided.values() if d.example is not None]
            opened = examined[prop.name].opened
            decided[prop.name] = self.conclude(prop, examined[prop.name], [*(recorded(prop) if opened else ()), *known])
        return {prop.name: decided[prop.name] for prop in props}

    def examine(self, props: Sequence[Property]) -> dict[str, Examination]:
        """Ask of each property on each path whether it may be broken there; no example is looked for. The properties
        have different names."""
        feasible = self.feasible()
        found = {
            prop.name: Examination(self.explored.count, dict.fromkeys(self._contradictory, "contradictory"))
            for prop in props
        }
        for path in feasible:
            begun = time.perf_counter()
            goals = []
            for prop in props:
                goal = self.goal(path, prop)
                if goal is not False:
                    goals.append((prop, goal))
                else:
                    account = "constant" if prop.outcomes(path.transition) else "outcome"
                    found[prop.name].accounts[path.number] = account
            if not goals:
                continue
            self._enter(path)
            # one query for all properties that no path has broken so far; only if it is satisfiable, one for each
            whole = [
                prop.name
                for prop, _ in goals
                if not found[prop.name].opened and prop.every is prop.none is None and not prop.positions
            ]
            either = any_(goal for prop, goal in goals if prop.name in whole)
            answer, _ = self._check(path, either if isinstance(either, z3.ExprRef) else z3.BoolVal(either))
            all_hold = answer == z3.unsat
            for prop, goal in goals:
                examined = found[prop.name]
                examined.queries += 1
                if all_hold and prop.name in whole:
                    examined.accounts[path.number] = "holds"
                    continue
                wanted = self.wanted(path, prop, goal)
                answer, why = self._check(path, *wanted)
                if answer == z3.unknown:
                    examined.unknown = why
                    examined.accounts[path.number] = "unknown"
                elif answer == z3.sat:
                    examined.opened.append(_Open(path, wanted))
                    examined.accounts[path.number] = "open"
                else:
                    examined.accounts[path.number] = "holds"
            self.solver.pop()
            spent = (time.perf_counter() - begun) / len(goals)
            for prop, _ in goals:
                found[prop.name].seconds += spent
        return found

    def first_broken(self, props: Sequence[Property], path: CallPath) -> tuple[str, str]:
        """The first property that this path breaks, for mutants, which only need one; empty if there is none, and then
        why the solver cannot tell of some property."""
        goals = [(prop, goal) for prop in props if (goal := self.goal(path, prop)) is not False]
        if not goals:
            return "", ""
        unknown = ""
        self._enter(path)
        try:
            for prop, goal in goals:
                answer, why = self._check(path, *self.wanted(path, prop, goal))
                if answer == z3.sat:
                    return prop.name, ""
                unknown = why or unknown
        finally:
            self.solver.pop()
        return "", unknown

    def conclude(self, prop: Property, examined: Examination, known: Sequence[Example] = ()) -> Decision:
        """The verdict: where the property may be broken, the smallest example is looked for. `known`: examples that
        were found before, of this property or of others; if one breaks it, only smaller ones are sought."""
        queries, seconds, paths = examined.queries, examined.seconds, len(examined.accounts)
        if examined.lost:
            return Decision("error", queries, seconds, why=examined.lost, paths=paths)
        if examined.unknown:
            return Decision("unknown", queries, seconds, why=examined.unknown, paths=paths)
        if examined.proved:
            return Decision("proved", queries, seconds, paths=paths)
        begun = time.perf_counter()
        self.ran_out = ""
        shared = self._smallest_known(prop, known)
        searched = shared is None or not self._nothing_smaller(examined.opened, shared[0].state.size)
        found = shared
        if searched:
            found = self._smallest(prop, examined.opened, None if shared is None else shared[0].state.size) or shared
        if found is None:
            found, ran_out = find_bounded(prop, self.explored.call.name, self.explored.edition)
            self.ran_out = self.ran_out or ran_out
        seconds += time.perf_counter() - begun
        if found is None and self.ran_out:
            why = f"not proved, and {self.ran_out} in the search for a counterexample"
            return Decision("unknown", queries, seconds, why=why, paths=paths)
        if found is None:
            why = "satisfiable, but no model was a counterexample"
            return Decision("open", queries, seconds, why=why, paths=paths)
        return Decision("refuted", queries, seconds, *found, paths=paths, searched=searched)

    @staticmethod
    def goal(path: CallPath, prop: Property) -> Bool:
        """What a counterexample on this path would satisfy."""
        t = path.transition
        if not prop.outcomes(t):
            return False
        pages = (P, Q) if prop.second else (P,)
        return and_(not_(prop.holds(t, *pages)), prop.when(t, *pages))

    @staticmethod
    def wanted(path: CallPath, prop: Property, goal: Bool, *, broken: bool = True) -> list[z3.BoolRef]:
        """The goal with the property's hypotheses about every page, at the pages that the path names."""
        wanted = [goal]
        for of_every_page in (prop.every, prop.none) if broken else (prop.every,):
            if of_every_page is not None:
                wanted += [of_every_page(path.transition, q) for q in list(path.space.named.values())]
        return [w if isinstance(w, z3.ExprRef) else z3.BoolVal(w) for w in wanted]

    def case_of(self, prop: Property, path: CallPath, dropped: str) -> Example | None:
        """A concrete case in which the property is broken, with this check left out; None if none was found."""
        goal = self.goal(path, prop)
        if goal is False:
            return None

        def broken(example: Example) -> int | None:
            found = violation(prop, example, self.explored.edition, dropped)
            return None if found is None else found[0]

        with self._few_steps():
            for vmas in (1, 2, 0, 3):
                found = self._some_example(path, self.wanted(path, prop, goal), vmas, 5, broken)
                if found is not None:
                    return found[0]
        return None

    # witnesses --------------------------------------------------------------------------------------------------------

    def witness(self, prop: Property) -> Example | None:
        """A concrete case in which the property's hypotheses hold; None if none was found, because there is none or
        because something `ran_out`."""
        self.ran_out = ""

        def accept(example: Example) -> int | None:
            return 0 if witnesses(prop, example, self.explored.edition) else None

        for vmas in (1, 2, 0, 3):
            for path in self.feasible():
                t = path.transition
                when = prop.when(t, *((P, Q) if prop.second else (P,))) if prop.outcomes(t) else False
                if when is False:
                    continue
                found = self._some_example(path, self.wanted(path, prop, when, broken=False), vmas, 5, accept)
                if found is not None:
                    return found[0]
        return None

    def reach(self, paths: Sequence[CallPath]) -> Example | None:
        """A concrete case that ends as these paths do (with one errno and check); None if none was found, because there
        is none or because something `ran_out`."""
        self.ran_out = ""
        for vmas in (1, 2, 0, 3):
            for path in paths:
                t = path.transition

                def ends_so(example: Example, errno: Errno = t.errno, check: str = t.check) -> int | None:
                    outcome, _ = example.run(self.explored.edition)
                    return 0 if (outcome.errno, outcome.check) == (errno, check) else None

                found = self._some_example(path, [], vmas, 4, ends_so)
                if found is not None:
                    return found[0]
        return None

    def all_values(self, prop: Property, term: z3.ArithRef) -> set[int]:
        """Every value that the term takes in some counterexample to the property; not all of them if something
        `ran_out`."""
        self.ran_out = ""
        found: set[int] = set()
        for path in self.feasible():
            goal = self.goal(path, prop)
            if goal is False:
                continue
            self._enter(path)
            self.solver.add(*self.wanted(path, prop, goal), *self._attributes(path))
            self.solver.add(*[term != value for value in found])
            while self._is_sat():
                value = self.solver.model().eval(term, model_completion=True).as_long()
                found.add(value)
                self.solver.add(term != value)
            self.solver.pop()
        return found

    # smallest first ------------------------------------------------------------------------------------------------

    def _smallest_known(self, prop: Property, known: Sequence[Example]) -> tuple[Example, int] | None:
        """The smallest of the known examples that break this property too."""
        found = []
        for example in known:
            violated = violation(prop, example, self.explored.edition)
            if violated is not None:
                found.append((example, violated[0]))
        return min(found, key=lambda f: (*f[0].state.size, cost(f[0])), default=None)

    def _smallest(
        self, prop: Property, opened: list[_Open], below: tuple[int, int] | None
    ) -> tuple[Example, int] | None:
        """The smallest example that the concrete reading confirms: fewest VMAs, then fewest pages, then plainest. No
        address space with fewer VMAs or pages satisfies the path conditions, which only overestimate what can
        happen."""
        with self._few_steps():
            return self._search(prop, opened, below)

    def _nothing_smaller(self, opened: Sequence[_Open], size: tuple[int, int]) -> bool:
        """No path has room for fewer VMAs, nor for as many with fewer pages: an example of this size is the smallest.
        False also where the solver cannot tell."""
        vmas, pages = size
        with self._few_steps():
            room = any(
                (vmas > 0 and self._fits(item, vmas - 1, MOST_PAGES))
                or (pages > vmas and self._fits(item, vmas, pages - 1))
                for item in opened
            )
        sure, self.ran_out = not self.ran_out, ""
        return sure and not room

    @contextmanager
    def _few_steps(self) -> Iterator[None]:
        """Within, queries are limited in steps too."""
        self.solver.set("rlimit", SEARCH_LIMIT)
        self._limit = EITHER
        try:
            yield
        finally:
            self.solver.set("rlimit", 0)
            self._limit = TIME

    def _search(self, prop: Property, opened: list[_Open], below: tuple[int, int] | None) -> tuple[Example, int] | None:
        for vmas in range(4):
            items = opened
            for pages in (1, 2, 3, 4, 5, 6, 9):
                if below is not None and (vmas, pages) >= below:
                    return None
                if pages < vmas:
                    continue
                sized = [item for item in items if self._fits(item, vmas, pages)]
                for some in self._plainest_paths(sized, vmas, pages):
                    found = [
                        (cost(f[0]) + 3 * item.path.transition.failed, f)
                        for item in some
                        if (f := self._sized(prop, item, vmas, pages)) is not None
                    ]
                    if found:
                        return min(found, key=lambda pair: pair[0])[1]
                if items is opened:  # the smallest size is too small: which paths have room for more pages at all?
                    items = [item for item in opened if self._fits(item, vmas, MOST_PAGES)] if vmas else []
                if not items:
                    break
        return None

    def _plainest_paths(self, sized: Sequence[_Open], vmas: int, pages: int) -> Iterator[Sequence[_Open]]:
        """Paths with a case of this size, a few at a time: first those on which all is plain, last whatever there is.
        The next few are wanted only if the concrete reading confirms none of those before."""
        for degree in degrees(self.explored):
            yield [item for item in sized if self._fits(item, vmas, pages, degree)][:MOST_PATHS]
        yield sized[: 2 * MOST_PATHS]

    def _fits(self, item: _Open, vmas: int, pages: int, degree: Degree | None = None) -> bool:
        """Some model has at most so many VMAs and pages (and is plain to this degree)."""
        self.solver.push()
        self.solver.add(*self._path_facts(item.path), *item.goal, *self._size_limits(item, vmas, pages))
        if degree is not None:
            self.solver.add(*[fact if isinstance(fact, z3.ExprRef) else z3.BoolVal(fact) for fact in degree(item.path)])
        self.solver.add(*self._attributes(item.path))
        answer = self._is_sat()
        self.solver.pop()
        return answer

    def _sized(self, prop: Property, item: _Open, vmas: int, pages: int) -> tuple[Example, int] | None:
        """A counterexample on this path with at most so many VMAs and pages, made as plain as possible."""

        def broken(example: Example) -> int | None:
            found = violation(prop, example, self.explored.edition)
            return None if found is None else found[0]

        return self.example(item.path, item.goal, vmas, pages, broken)

    def _some_example(
        self,
        path: CallPath,
        goal: Sequence[z3.BoolRef],
        vmas: int,
        pages: int,
        accept: Callable[[Example], int | None],
    ) -> tuple[Example, int] | None:
        """Any example, plain or not: the first model that comes, and if it is not accepted (its range may be huge), a
        plain one."""
        for plain in (False, True):
            found = self.example(path, goal, vmas, pages, accept, plain=plain)
            if found is not None:
                return found
        return None

    def example(
        self,
        path: CallPath,
        goal: Sequence[z3.BoolRef],
        vmas: int,
        pages: int,
        accept: Callable[[Example], int | None],
        *,
        plain: bool = True,
    ) -> tuple[Example, int] | None:
        """An example on the path, with at most so many VMAs and pages, that satisfies the goal and that `accept`s to a
        page; as plain as possible. Neighbours that are alike may merge where the path did not, so that a second try
        asks for neighbours that differ."""
        for apart in (False, True) if vmas > 1 else (False,):
            example = self._plainest(path, goal, vmas, pages, apart=apart, plain=plain)
            if example is not None and not problems(example.state):
                page = accept(example)
                if page is not None:
                    legible = with_small_contents(example) if plain else example
                    page_there = accept(legible)
                    return (example, page) if page_there is None else (legible, page_there)
        return None

    def _plainest(
        self, path: CallPath, goal: Sequence[z3.BoolRef], vmas: int, pages: int, *, apart: bool, plain: bool
    ) -> Example | None:
        solver = self.solver
        item = _Open(path, list(goal))
        solver.push()
        try:
            solver.add(*self._path_facts(path), *goal, *self._attributes(path))
            solver.add(*self._size_limits(item, vmas, pages))
            if apart:
                solver.add(*self._neighbours_differ(item))
            if not self._is_sat():
                return None
            model = solver.model()
            wanted = preferences(self.explored, path)
            model = self._grant(wanted if plain else wanted[:1], model)
            return from_model(self.explored, path, model)
        finally:
            while solver.num_scopes():
                solver.pop()

    def _grant(self, wanted: list[z3.BoolRef], model: z3.ModelRef) -> z3.ModelRef:
        """Assert as many of these as possible, earlier ones first: a few at once if that can be, else one by one."""
        for first in range(0, len(wanted), 6):
            some = wanted[first : first + 6]
            granted = self._granted(some, model)
            if granted is not None:
                model = granted
                continue
            for wish in some:
                model = self._granted([wish], model) or model
        return model

    def _granted(self, wanted: list[z3.BoolRef], model: z3.ModelRef) -> z3.ModelRef | None:
        """A model in which all these hold, which are asserted then; None if there is none."""
        if all(z3.is_true(model.eval(wish)) for wish in wanted):
            self.solver.add(*wanted)
            return model
        self.solver.push()
        self.solver.add(*wanted)
        if self.solver.check() == z3.sat:
            found: z3.ModelRef = self.solver.model()
            return found
        self.solver.pop()
        return None

    def _neighbours_differ(self, item: _Open) -> list[z3.BoolRef]:
        facts: list[Bool] = []
        for (_, m, v, _), (_, n, w, _) in itertools.combinations(named_views(self.explored, item.path), 2):
            facts.append(implies(and_(m, n, ne(v.start, w.start)), ne(v.write, w.write)))
        return [f for f in facts if isinstance(f, z3.ExprRef)]

    def _size_limits(self, item: _Open, vmas: int, pages: int) -> list[z3.BoolRef]:
        starts = [z3.Int(f"size_start{i}") for i in range(vmas)]
        ends = [z3.Int(f"size_end{i}") for i in range(vmas)]
        limits: list[Bool] = [le(vmas, self.explored.world.map_count)]
        end_above = WINDOW + 2 * pages + 6
        for term, mapped, vma, _ in self.explored.world.views.values():
            if term.get_id() in item.path.space.named:
                inside = any_(and_(eq(vma.start, s), eq(vma.end, e)) for s, e in zip(starts, ends, strict=True))
                limits.append(implies(mapped, inside))
                limits.append(implies(mapped, and_(le(WINDOW, vma.start), le(vma.end, end_above))))
        for i, (s, e) in enumerate(zip(starts, ends, strict=True)):
            limits.append(lt(s, e))
            if i:
                limits.append(le(ends[i - 1], s))
        if vmas:
            limits.append(le(z3.Sum([e - s for s, e in zip(starts, ends, strict=True)]), pages))
        limits += [eq(starts_huge_page(z3.IntVal(WINDOW + n)), n % HUGE_PAGES == 0) for n in range(24)]
        places = [
            getattr(self.explored.arguments, n)
            for n in ("old", "new", "start", "end", "page", "offset")
            if hasattr(self.explored.arguments, n)
        ]
        limits += [or_(not_(starts_huge_page(t)), eq(t, 0), and_(le(WINDOW, t), lt(t, WINDOW + 24))) for t in places]
        limits.append(eq(starts_huge_page(z3.IntVal(0)), True))
        return [x for x in limits if isinstance(x, z3.ExprRef)]
