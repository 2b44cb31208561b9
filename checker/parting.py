"""Where two editions of a call part: which page, result or boundary tells them apart, and in which direction.

A parting is decided like a property of one call (checker/prove.py), but of a `Pair`: the same call from the same
address space under two editions. A model is only a hint here too: the concrete reading executes both editions from
64-bit arguments, and an example is what that shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import z3

from checker.calls import ExploredCall, finish, words_for
from checker.concrete import ConcreteSpace, State, TooManyPages
from checker.documents import LayoutDoc
from checker.examples import ConcreteSnapshot, Example
from checker.joint import Pair
from checker.machine import WordGuards
from checker.prove import Prover
from checker.view import PageView, Transition
from spec.editions import Edition
from spec.errors import Errno
from spec.properties import Property
from spec.space import same_page
from spec.syscalls import CALLS
from spec.terms import Bool, Num, and_, eq, implies, not_, or_
from spec.vma import same_mapping

STRONGER: Final = "stronger"
WEAKER: Final = "weaker"
OTHERWISE: Final = "otherwise"
RESULT: Final = "result"
BOUNDARIES: Final = "boundaries"


def same_page_state(a: PageView, b: PageView, page: Num) -> Bool:
    """The page is mapped in both or in neither, alike in every attribute that a program can notice, and holds the
    same."""
    alike = and_(same_mapping(a.vma, b.vma, page), eq(a.visible, b.visible), same_page(a.page, b.page))
    return and_(eq(a.mapped, b.mapped), implies(a.mapped, alike))


def _changed(t: Transition, page: Num) -> Bool:
    return not_(same_page_state(t.before.at(page), t.after.at(page), page))


def _stronger(a: Transition, b: Transition, page: Num) -> Bool:
    """`b` refuses what `a` allows, or leaves the page as it was, which `a` changed."""
    return or_(b.failed and not a.failed, and_(_changed(a, page), not_(_changed(b, page))))


def _otherwise(a: Transition, b: Transition, page: Num) -> Bool:
    """Both change the page, each in its way; or the break ends up elsewhere although both end alike."""
    apart = not_(same_page_state(a.after.at(page), b.after.at(page), page))
    breaks = and_(a.failed == b.failed, not_(eq(a.after.brk, b.after.brk)))
    return or_(and_(_changed(a, page), _changed(b, page), apart), breaks)


def _same_result(a: Transition, b: Transition) -> Bool:
    if a.call == "brk" and a.failed and b.failed:
        return True  # a refused brk returns the old break; why it was refused, no program sees
    return and_(a.errno is b.errno, eq(a.value, b.value))


def _same_boundaries(a: Transition, b: Transition, page: Num) -> Bool:
    return and_(eq(a.after.cut(page), b.after.cut(page)), eq(a.after.map_count, b.after.map_count))


def _never(name: str, sentence: str, parts: Any, *, pageless: bool = False) -> Property:
    return Property(
        name, sentence, "", (), holds=lambda t, p: not_(parts(t, t.other, p)), pageless=pageless, contents=True
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
    page: int


def make(
    state: State, edition: Edition, call: str, words: Mapping[str, int], failures: frozenset[str] = frozenset()
) -> tuple[Transition, State]:
    """Make a call, given as words, on a copy of the state; the transition's arguments are None if it ended in its
    argument stage."""
    after, to = state.copy(), None
    space = ConcreteSpace(after, edition, failures=failures)

    def both_stages() -> Num:
        nonlocal to
        to = CALLS[call].arguments(WordGuards(edition), *(words[name] for name in CALLS[call].words))
        return CALLS[call].body(space, to)

    errno, check, value = finish(both_stages)
    before = ConcreteSnapshot(state, edition)
    seen = ConcreteSnapshot(after, edition, int(space.counter))  # type: ignore[arg-type]
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
        LayoutDoc.from_state(state).to_state()
    except ValueError:  # map_count too far above its limit, for instance
        return None
    try:
        (a, after_a), (b, after_b) = (make(state, edition, call, words, failures) for edition in editions)
    except TooManyPages:
        return None
    pair = Pair(call, a.to or b.to, a.errno, a.value, a.check, a.before, a.after, b)
    example = Example(state, call, pair.to, failures)
    pages = sorted({*example.pages(after_a), *example.pages(after_b)})
    for page in pages:
        if not prop.holds(pair, page):
            return Parted(state, call, words, failures, pair, (after_a, after_b), page)
    return None


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

    def parted(self, prop: Property, example: Example) -> Parted | None:
        """The example as the concrete reading executes it, if the editions part there."""
        words = words_for(example.call, self.goes_on, example.arguments, self.also)
        if words is None:
            return None
        return part(prop, example.state, self.editions, example.call, words, example.failures)

    def _sized(self, prop: Property, item: Any, vmas: int, pages: int) -> tuple[Example, int] | None:
        def apart(example: Example) -> int | None:
            found = self.parted(prop, example)
            return None if found is None else found.page

        return self.example(item.path, item.goal, vmas, pages, apart)


__all__ = [
    "BOUNDARIES", "OTHERWISE", "PARTINGS", "RESULT", "STRONGER", "WEAKER", "Errno", "PairProver", "Parted", "make",
    "part", "same_page_state",
]  # fmt: skip
