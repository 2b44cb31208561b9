# SPDX-License-Identifier: MIT
"""Where two editions of a call part: which page, result or boundary tells them apart, and in which direction.

A parting is decided like a property of one call (checker/prove.py), but of a `Pair`: the same call from the same
address space under two editions. A model is only a hint here too: the concrete reading executes both editions from
64-bit arguments, and an example is what that shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import z3

from checker.calls import ExploredCall, finish, words_for
from checker.concrete import ConcreteSpace, State, TooManyPages
from checker.documents.layouts import LayoutDoc
from checker.examples import ConcreteSnapshot, Example
from checker.machine import WordGuards
from checker.naming import named_from
from checker.pairs import Pair
from checker.preferences import cost
from checker.prove import Prover
from spec.arguments import Decoded
from spec.editions import Edition
from spec.properties import Property
from spec.syscalls import CALLS
from spec.terms import Bool, Num, and_, eq, implies, ite, not_, or_, whole
from spec.transition import PageView, Transition
from spec.vma import ATTRIBUTES, BOOKKEEPING, has_file, offset_at

STRONGER: Final = "stronger"
WEAKER: Final = "weaker"
OTHERWISE: Final = "otherwise"
RESULT: Final = "result"
BOUNDARIES: Final = "boundaries"

PAGE_MARKS: Final = ("copied", "lazy", "guard")
"""What a page has beyond its VMA and what it reads."""


ASPECTS: Final = (*(name for name in ATTRIBUTES if name not in BOOKKEEPING), "place", "visible", *PAGE_MARKS)
"""What there is to compare of a page that is mapped; a page that is not has none of it."""


def _aspect(seen: PageView, page: Num, name: str) -> Num | Bool:
    if name == "place":
        return ite(has_file(seen.vma), offset_at(seen.vma, page), 0)
    if name == "visible":
        return seen.visible
    return cast("Num | Bool", getattr(seen.page if name in PAGE_MARKS else seen.vma, name))


def _same(a: PageView, b: PageView, page: Num, name: str) -> Bool:
    """The page is mapped in both or in neither, and if it is, this aspect of it is the same."""
    alike = eq(_aspect(a, page, name), _aspect(b, page, name))
    return and_(eq(a.mapped, b.mapped), implies(a.mapped, alike))


def _stronger(a: Transition, b: Transition, page: Num) -> Bool:
    """`b` refuses what `a` allows, or leaves something of the page as it was, which `a` changed."""
    was, one, other = a.before.at(page), a.after.at(page), b.after.at(page)
    left = (and_(not_(_same(was, one, page, name)), _same(was, other, page, name)) for name in ASPECTS)
    return or_(b.failed and not a.failed, *left)


def _otherwise(a: Transition, b: Transition, page: Num) -> Bool:
    """Both change something of the page, each in its way; or the break ends up elsewhere although both end alike."""
    was, one, other = a.before.at(page), a.after.at(page), b.after.at(page)

    def apart(name: str) -> Bool:
        changed = and_(not_(_same(was, one, page, name)), not_(_same(was, other, page, name)))
        return and_(changed, not_(_same(one, other, page, name)))

    breaks = and_(a.failed == b.failed, not_(eq(a.after.brk, b.after.brk)))
    return or_(breaks, *map(apart, ASPECTS))


def _same_result(a: Transition, b: Transition) -> Bool:
    if a.call == "brk" and a.failed and b.failed:
        return True  # a refused brk returns the old break; why it was refused, no program sees
    return and_(a.errno is b.errno, eq(a.value, b.value))


def _same_boundaries(a: Transition, b: Transition, page: Num) -> Bool:
    return and_(eq(a.after.cut(page), b.after.cut(page)), eq(a.after.map_count, b.after.map_count))


def _never(
    name: str, sentence: str, parts: Callable[[Transition, Transition, Num], Bool], *, pageless: bool = False
) -> Property:
    return Property(
        name,
        sentence,
        "",
        (),
        holds=lambda t, p: not_(parts(t, cast(Pair, t).other, p)),
        pageless=pageless,
        contents=True,
    )


PARTINGS: Final[dict[str, Property]] = {
    prop.name: prop
    for prop in (
        _never(
            STRONGER,
            "The second edition never refuses what the first allows, and never leaves a page as it was that the first "
            "changes.",
            _stronger,
        ),
        _never(
            WEAKER,
            "The first edition never refuses what the second allows, and never leaves a page as it was that the second "
            "changes.",
            lambda a, b, p: _stronger(b, a, p),
        ),
        _never(OTHERWISE, "The two editions never change a page in different ways.", _otherwise),
        _never(
            RESULT,
            "The two editions return the same value or errno.",
            lambda a, b, p: not_(_same_result(a, b)),
            pageless=True,
        ),
        _never(
            BOUNDARIES,
            "The two editions leave the same VMA boundaries and the same map_count.",
            lambda a, b, p: not_(_same_boundaries(a, b, p)),
        ),
    )
}
"""What is proved or refuted of a pair of editions; all five hold of a call that does the same in both."""


@dataclass(frozen=True, slots=True)
class Parted:
    """A concrete case in which two editions part."""

    state: State
    """The address space before the call."""
    call: str
    words: Mapping[str, int]
    failures: frozenset[str]
    pair: Pair
    after: tuple[State, State]
    page: int | None
    """The first page at which they part; None if no page tells them apart (a count, or how the call ends)."""
    pages: tuple[int, ...]
    """Every page at which anything could be told apart."""


def make(
    state: State, edition: Edition, call: str, words: Mapping[str, int], failures: frozenset[str] = frozenset()
) -> tuple[Transition, State]:
    """Make a call, given as words, on a copy of the state; the transition's arguments are None if it ended in its
    argument stage."""
    after = state.copy()
    to: Decoded | None = None
    space = ConcreteSpace(after, edition, failures=failures)

    def both_stages() -> Num:
        nonlocal to
        to = CALLS[call].arguments(WordGuards(edition), *(words[name] for name in CALLS[call].words))
        return CALLS[call].body(space, to)

    errno, check, value = finish(both_stages)
    before = ConcreteSnapshot(state, edition)
    seen = ConcreteSnapshot(after, edition, whole(space.counter))
    return Transition(call, to, errno, value, check, before, seen), after


def part(
    prop: Property,
    state: State,
    editions: tuple[Edition, Edition],
    call: str,
    words: Mapping[str, int],
    failures: frozenset[str] = frozenset(),
) -> Parted | None:
    """What the concrete reading shows of the call under both editions, if they part in the way that the property
    excludes. None for an address space that no document can say."""
    try:
        state = LayoutDoc.from_state(state).to_state()  # what a reader of the document begins with
    except ValueError:  # map_count too far above its limit, for instance
        return None
    try:
        (a, after_a), (b, after_b) = (make(state, edition, call, words, failures) for edition in editions)
    except TooManyPages:
        return None
    pair = Pair(call, a.to or b.to, a.errno, a.value, a.check, a.before, a.after, b)
    example = Example(state, call, pair.to, failures)
    pages = sorted({*example.pages(after_a), *example.pages(after_b)})
    apart = [page for page in pages if not prop.holds(pair, page)]
    if not apart:
        return None
    seen = (page for page in apart if _seen_apart(prop, pair, page))
    return Parted(state, call, words, failures, pair, (after_a, after_b), next(seen, None), tuple(pages))


def _seen_apart(prop: Property, pair: Pair, page: int) -> bool:
    """The two outcomes look different at this page, in the respect that the property is about."""
    a, b = pair.after, pair.other.after
    if prop.name == BOUNDARIES:
        return a.cut(page) != b.cut(page)
    return any(not _same(a.at(page), b.at(page), page, name) for name in ASPECTS)


def changes(t: Transition, pages: Sequence[int], base: int) -> list[str]:
    """What a concrete call has changed at these pages, in words; pages are named by their distance from `base`."""
    told: list[str] = []
    runs: list[tuple[str, int, int]] = []
    for page in pages:
        change = _change(t.before.at(page), t.after.at(page), page)
        if change and runs and runs[-1][0] == change and runs[-1][2] == page:
            runs[-1] = change, runs[-1][1], page + 1
        elif change:
            runs.append((change, page, page + 1))
    for change, start, end in runs:
        first, last = named_from(base, start), named_from(base, end - 1)
        where = f"page {first}" if end == start + 1 else f"pages {first} to {last}"
        told.append(f"{where} ({change})")
    cuts = [page for page in pages if t.before.cut(page) != t.after.cut(page)]
    for page in cuts:
        told.append(f"the boundary at {named_from(base, page)} ({'gone' if t.before.cut(page) else 'new'})")
    if t.before.map_count != t.after.map_count:
        told.append(f"map_count (from {t.before.map_count} to {t.after.map_count})")
    if t.before.brk != t.after.brk:
        told.append("the break")
    return told


def _change(was: PageView, now: PageView, page: int) -> str:
    if not (was.mapped or now.mapped):
        return ""
    if was.mapped != now.mapped:
        return "unmapped" if was.mapped else "mapped" + (", sealed" if now.vma.sealed else "")
    apart = [name for name in ASPECTS if not _same(was, now, page, name)]
    return ", ".join(f"{name} {_shown(_aspect(now, page, name))}" for name in apart)


def _shown(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


SIZES: Final = tuple((vmas, pages) for vmas in range(4) for pages in (1, 2, 3, 4, 5, 6, 9) if pages >= vmas)
"""Sizes of address spaces that are looked at for an example, in this order."""
MOST_REJECTED: Final = 24
"""Models that the concrete reading does not confirm, after which no more are asked for."""


class PairProver(Prover):
    """Decides partings of one call that was explored under two editions (checker.joint.explore_pair)."""

    def __init__(
        self,
        explored: ExploredCall,
        editions: tuple[Edition, Edition],
        timeout_ms: int,
        *,
        goes_on: Edition | None = None,
        also: tuple[z3.BoolRef, ...] = (),
    ) -> None:
        """`goes_on` is the edition whose argument stage leads to the body (the first one, if left out); `also` holds of
        the words (the other one ends in its argument stage)."""
        super().__init__(explored, timeout_ms)
        self.editions = editions
        self.goes_on = goes_on or editions[0]
        self.also = also

    def find(self, prop: Property, opened: Sequence[Any], below: tuple[int, int] | None = None) -> Parted | None:
        """The smallest example of a parting that was left open (Examination.opened), smaller than `below` (VMAs,
        pages), that the concrete reading confirms; plain paths first. None if none was found, because there is none or
        because something `ran_out`."""
        self.ran_out = ""
        with self._few_steps():
            return self._first_of_a_size(prop, sorted(opened, key=lambda item: len(item.path.conditions)), below)

    def _first_of_a_size(self, prop: Property, opened: Sequence[Any], below: tuple[int, int] | None) -> Parted | None:
        rejected = 0
        room: dict[int, list[Any]] = {0: list(opened)}
        for vmas, pages in SIZES:
            if below is not None and (vmas, pages) >= below:
                return None
            if vmas not in room:  # the paths that have examples of so many VMAs at all
                room[vmas] = [item for item in opened if self._fits(item, vmas, 64)]
            sized = [item for item in room[vmas] if self._fits(item, vmas, pages)]
            for some in self._plainest_paths(sized, vmas, pages):
                tried = [self._parted(prop, item, vmas, pages) for item in some]
                found = [parted for parted in tried if parted is not None]
                if found:
                    return min(found, key=oddness)
                rejected += len(tried)
            if rejected >= MOST_REJECTED:
                return None
        return None

    def _parted(self, prop: Property, item: Any, vmas: int, pages: int) -> Parted | None:
        """An example on this path, as plain as possible."""
        found: list[Parted] = []

        def apart(example: Example) -> int | None:
            words = words_for(example.call, self.goes_on, example.arguments, self.also)
            if words is not None:
                parted = part(prop, example.state, self.editions, example.call, words, example.failures)
                found.extend([] if parted is None else [parted])
            return 0 if found else None

        self.example(item.path, item.goal, vmas, pages, apart)
        return found[-1] if found else None


def oddness(parted: Parted) -> int:
    """How far an example is from the plainest: marks of VMAs, flags of the call, failures of the environment."""
    flags = sum(bin(word).count("1") for name, word in parted.words.items() if name in ("prot", "flags"))
    return cost(Example(parted.state, parted.call, None, parted.failures)) + flags
