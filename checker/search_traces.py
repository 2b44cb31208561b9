# SPDX-License-Identifier: MIT
"""Attack traces: the shortest series of calls, from an empty address space, whose last call breaks a property.

The search is breadth first over finite alphabets (checker.search_letters), so "shortest" means: no shorter trace is in
the language that `plans` lists. Each plan is an area of a few pages, how much room the map-count limit leaves, the
letters that lead up to the last call, and those that the last call is one of. Among the shortest traces the first plan
wins (fewer pages, no memory pressure, no heap, no failure of the environment), within it the last call that comes first
in the property, then the first trace in the order of the letters. Only what no such trace breaks is looked for beside a
special mapping, which no call makes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from checker.claims import assumptions_of, differs, range_of, size_of, why
from checker.concrete import State
from checker.documents.base import HEAP_PAGE
from checker.documents.counterexamples import Counterexample, CounterexampleStep, Culprit, ResultDoc
from checker.documents.layouts import LayoutDoc
from checker.examples import violation
from checker.machine import perform
from checker.scenario import re_execute
from checker.search_letters import (
    ALL_ADVICE,
    KEY_0_READ_ONLY,
    KINDS,
    LAYOUT_ADVICE,
    OBJECT,
    PLAIN_KINDS,
    RW,
    WRITTEN,
    Area,
    Letter,
    advises,
    breaks,
    decoded,
    failing,
    letters_of,
    maps,
    ranged,
    single,
)
from checker.search_steps import Edge, Start, canonical, empty_space
from spec.advice import DONTFORK, DONTNEED, FREE, WIPEONFORK
from spec.editions import Edition
from spec.mapping import PROT_READ
from spec.properties import Property
from spec.vma import SPECIAL, Vma

MAX_CALLS: Final = 6
LIMIT: Final = 50_000
"""States of one plan beyond which it is not searched deeper."""


@dataclass(frozen=True, slots=True)
class Lead:
    """What leads up to a last call: where, with how much room, by which letters."""

    area: Area
    free: int | None
    letters: tuple[Letter, ...]
    special: bool = False
    """The last two pages of the area are a special mapping, as every process has one: the vdso."""

    def start(self) -> State:
        """The address space before the first call."""
        state = empty_space(self.area.pages)
        if self.special:
            end = self.area.first + self.area.pages
            state.vmas = [Vma(start=end - 2, end=end, read=True, exec=True, backing=SPECIAL)]
        if self.free is not None:
            state.elsewhere = state.max_map_count - self.free - len(state.vmas)
        return state


@dataclass(frozen=True, slots=True)
class Plan:
    """A part of the language of traces: letters that lead up to one of the last ones."""

    lead: Lead
    last: tuple[Letter, ...]
    max_calls: int
    """Its traces have at most so many calls: what keeps a search to seconds."""


def plans(calls: Sequence[str], edition: Edition) -> list[Plan]:
    """The language of traces whose last call is one of `calls`, plainest part first.

    1. One page, everything: mmap of every kind, write, madvise FREE, DONTNEED, WIPEONFORK, DONTFORK, mprotect, mseal,
       mlock, and a PKRU that denies writes through key 0. The last call may have any advice. Up to 6 calls.
    2. Two pages: mmap read-write or read-only private anonymous, read-write shared and private file; write, madvise
       FREE and WIPEONFORK, mlock, mprotect, mseal, munmap. Up to 3 calls.
    3. Three pages, layout only: mmap read-write or read-only private anonymous, mprotect, mseal, munmap. Up to 5 calls.
    4. Two pages, then three, layout only, with room for 3, 2, 1 or 0 VMAs before map_count reaches its limit. Up to 4.
    5. If brk is among the calls, three pages of the heap: brk, mprotect, mseal, munmap; and mmap of a page
       elsewhere; with the same room. Up to 4.
    6. The second and the fifth, with the last call failing for each reason that the environment may have; and mmap of
       four pages with room for 2 VMAs, so that one that fails may cut two. Up to 3.
    """
    one, two, three = (Area(pages=n) for n in (1, 2, 3))
    rich = [
        *maps(one, tuple(KINDS), edition),
        *single("write", one, WRITTEN),
        *advises(one, (FREE, DONTNEED, WIPEONFORK, DONTFORK), edition),
        *_structure(one),
        *ranged("mlock", one),
        Letter("pkru", (KEY_0_READ_ONLY,)),
    ]
    kinds = (*PLAIN_KINDS, "shared file rw", "private file rw")
    contents = [*single("write", two, WRITTEN), *advises(two, (FREE, WIPEONFORK), edition), *ranged("mlock", two)]
    on_one = Lead(one, None, tuple(rich))
    on_two = Lead(two, None, (*maps(two, kinds, edition), *contents, *_structure(two)))
    every_kind = [x for call in calls for x in letters_of(call, one, edition, kinds=tuple(KINDS), advice=ALL_ADVICE)]
    some = [letter for call in calls for letter in letters_of(call, two, edition)]
    found = [Plan(on_one, tuple(every_kind), MAX_CALLS), Plan(on_two, tuple(some), 3)]
    for area, free in ((three, None), *((area, free) for area in (two, three) for free in (3, 2, 1, 0))):
        few = (*maps(area, PLAIN_KINDS, edition), *_structure(area))
        last = [letter for call in calls for letter in letters_of(call, area, edition, advice=LAYOUT_ADVICE)]
        found.append(Plan(Lead(area, free, few), tuple(last), 5 if free is None else 4))
    failures = [Plan(on_two, tuple(failing(some)), 3)]
    if "mmap" in calls:
        four = Area(pages=4)
        last_maps = failing(maps(four, PLAIN_KINDS[:1], edition))
        failures.append(Plan(Lead(four, 2, tuple(maps(four, PLAIN_KINDS, edition))), tuple(last_maps), 3))
    heap = Area(HEAP_PAGE, 3)
    for free in (None, 3, 2, 1, 0) if "brk" in calls else ():
        on_heap = Lead(heap, free, (*breaks(3), *_structure(heap), *maps(one, PLAIN_KINDS[:1], edition)))
        found.append(Plan(on_heap, tuple(breaks(3)), 4))
        failures.append(Plan(on_heap, tuple(failing(breaks(3))), 3))
    return found + failures


def special_plans(calls: Sequence[str], edition: Edition) -> list[Plan]:
    """What is searched if no plain plan has a trace: four pages of which the last two are a special mapping (no call
    makes one); layout only, with all the room there is, or none. Up to 3 calls."""
    area = Area(pages=4)
    last = [letter for call in calls for letter in letters_of(call, area, edition, advice=LAYOUT_ADVICE)]
    few = (*maps(area, PLAIN_KINDS, edition), *_structure(area))
    return [Plan(Lead(area, free, few, special=True), tuple(last), 3) for free in (None, 0)]


def _structure(area: Area) -> list[Letter]:
    """mprotect, mseal and munmap of each range."""
    protects = [letter for prot in (PROT_READ, RW) for letter in ranged("mprotect", area, prot)]
    return [*protects, *ranged("mseal", area, 0), *ranged("munmap", area)]


@dataclass(frozen=True, slots=True)
class Node:
    """A state that was reached, and how: the first of the shortest ways in the order of the letters."""

    start: Start
    parent: Node | None = None
    letter: Letter | None = None

    def letters(self) -> list[Letter]:
        """The calls from the empty address space to here."""
        if self.parent is None or self.letter is None:
            return []
        return [*self.parent.letters(), self.letter]


class Layers:
    """The states that a lead reaches, by the number of calls that it takes; each layer is made when it is asked for."""

    def __init__(self, lead: Lead, edition: Edition) -> None:
        self.lead = lead
        root = Node(Start(lead.start(), edition))
        self.seen: set[Hashable] = {canonical(root.start.state)}
        self.layers = [[root]]

    def layer(self, calls: int, limit: int) -> list[Node]:
        """The states that take exactly so many calls; none if the layers before have `limit` states or more."""
        for made in range(1, calls + 1):
            if sum(map(len, self.layers[:made])) >= limit:
                return []
            if made == len(self.layers):
                self.layers.append(self._next())
        return self.layers[calls]

    def _next(self) -> list[Node]:
        found = []
        for node in self.layers[-1]:
            for letter in self.lead.letters:
                edge = node.start.edge(letter)
                if edge is None or (key := canonical(edge.after)) in self.seen:
                    continue
                self.seen.add(key)
                found.append(Node(Start(edge.after, node.start.edition), node, letter))
        return found


@lru_cache(maxsize=64)
def layers_of(lead: Lead, edition: Edition) -> Layers:
    """The layers of a lead: the same for all properties."""
    return Layers(lead, edition)


def attack_trace(
    prop: Property,
    edition: Edition,
    *,
    calls: Sequence[str] | None = None,
    max_calls: int = MAX_CALLS,
    limit: int = LIMIT,
    expected: str = "proved",
) -> Counterexample | None:
    """The shortest series of at most `max_calls` calls, from an empty address space, the last of which breaks the
    property; if there is none, the shortest beside a special mapping.

    `calls` are those that the last call may be (all calls of the property if left out); `limit` bounds the states of
    each plan; `expected` is the verdict that the document says was expected. None if there is none in the languages of
    `plans` and `special_plans`. Deterministic. Raises AssertionError if the document that was made is not confirmed by
    a second run.
    """
    return attack_traces([prop], edition, calls=calls, max_calls=max_calls, limit=limit, expected=expected)[prop.name]


def attack_traces(
    props: Sequence[Property],
    edition: Edition,
    *,
    calls: Sequence[str] | None = None,
    max_calls: int = MAX_CALLS,
    limit: int = LIMIT,
    expected: str = "proved",
) -> dict[str, Counterexample | None]:
    """As attack_trace for several properties at once, by name: the same traces, in less time than one by one."""
    traces: dict[str, Counterexample | None] = {prop.name: None for prop in props}
    last = list(dict.fromkeys(call for prop in props for call in prop.calls if calls is None or call in calls))
    for searched in (plans(last, edition), special_plans(last, edition)):
        for length, plan in ((n, plan) for n in range(1, max_calls + 1) for plan in searched if n <= plan.max_calls):
            left = [prop for prop in props if traces[prop.name] is None]
            nodes = layers_of(plan.lead, edition).layer(length - 1, limit) if left else []
            for prop, node, letter in _broken(nodes, plan.last, left):
                letters = [*node.letters(), letter]
                traces[prop.name] = trace_document(prop, edition, plan.lead, letters, expected)
    return traces


def _broken(
    nodes: Sequence[Node], last: Sequence[Letter], props: Sequence[Property]
) -> list[tuple[Property, Node, Letter]]:
    """The properties that a last call breaks from some node, each with the first such call: first in the order of the
    property's calls, then of the nodes, then of the letters."""
    able = {prop.name: {id(node) for node in nodes if node.start.may_break(prop)} for prop in props}
    found: dict[str, tuple[Property, Node, Letter]] = {}

    def better(prop: Property, call: str) -> bool:
        known = found.get(prop.name)
        return call in prop.calls and (known is None or prop.calls.index(call) < prop.calls.index(known[2].call))

    for call in dict.fromkeys(letter.call for letter in last):
        letters = [letter for letter in last if letter.call == call]
        judged = [prop for prop in props if better(prop, call)]
        for node in nodes if judged else ():
            here = [prop for prop in judged if id(node) in able[prop.name]]
            for letter in letters if here else ():
                edge = node.start.edge(letter)
                broken = [p for p in here if edge is not None and violation(p, edge, node.start.edition) is not None]
                found |= {prop.name: (prop, node, letter) for prop in broken}
                here = [prop for prop in here if prop not in broken]
                judged = [prop for prop in judged if prop not in broken]
                if not here:
                    break
    return list(found.values())


def trace_document(
    prop: Property, edition: Edition, lead: Lead, letters: Sequence[Letter], expected: str
) -> Counterexample:
    """The document of a series of calls whose last one breaks the property. Raises AssertionError if it does not, or if
    the calls do something else when they are made again from the document."""
    start = lead.start()
    if all(letter.words.get("object") != OBJECT for letter in letters):  # the file is of no use to this trace
        start.sizes, start.objects = {}, {}
    before = LayoutDoc.from_state(start)
    state, steps = before.to_state(), []
    last: Edge | None = None
    for letter in letters:
        last = Start(state.copy(), edition).edge(letter)
        pages = range_of(decoded(edition, letter))
        result = perform(state, edition, letter.call, letter.words, failures=letter.failures)
        steps.append(
            CounterexampleStep(
                call=letter.call,
                words=letter.words,
                failures=tuple(sorted(letter.failures)),
                range=pages,
                result=ResultDoc(value=result.value, errno=result.errno.name, check=result.check),
                after=LayoutDoc.from_state(state),
            )
        )
    broken = None if last is None else violation(prop, last, edition)
    assert last is not None and broken is not None, f"the trace does not break {prop.name}"
    page = _culprit(prop, last, broken[0])
    document = Counterexample(
        property=prop.name,
        sentence=prop.sentence,
        edition=edition.name,
        call=letters[-1].call,
        expected=expected,
        assumptions=assumptions_of(prop),
        before=before,
        steps=tuple(steps),
        culprit=Culprit(page=None if prop.pageless else page, why=why(prop, last.transition, page)),
        size=size_of(before, steps),
    )
    differences = re_execute(document)
    assert not differences, "\n".join(differences)
    return document


def _culprit(prop: Property, edge: Edge, first: int) -> int:
    """The first page that breaks the property and changed; if none did (a count did), the first that breaks it."""
    t = edge.transition
    if prop.second or prop.pageless:
        return first
    broken = (page for page in edge.pages(edge.after) if prop.when(t, page) and not prop.holds(t, page))
    return next((page for page in broken if differs(t, page)), first)
