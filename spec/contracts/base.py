# SPDX-License-Identifier: MIT
"""What the contract of a verb may speak of.

A contract says what may hold of an address space after a verb, in terms of before: of one page (or two), of boundaries,
of map_count and of the rest. It is a method that makes functions of the page number for after from those for before.
What it leaves open it asks for by name: a number, a choice, a function of the page. Who runs it answers: the unbounded
reading with unknowns (checker/unbounded.py), admission and the lemmas with what the list engine made
(checker/admission.py, proofs/lemmas/).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from spec.errors import Errno
from spec.space import AddressSpace
from spec.terms import (
    Bool,
    Num,
    and_,
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
    once_for_each,
    or_,
)
from spec.vma import SPECIAL, Page, Vma, is_placed, offset_at, refuses_split

Kind: TypeAlias = Literal["number", "truth"]
"""What an unknown function gives."""
PageFact: TypeAlias = Callable[[Num], Bool]
"""Something that holds of every page."""
View: TypeAlias = Callable[[Num], tuple[Bool, Vma]]
"""Whether a VMA holds the page, and which (meaningless if none does)."""


def refuses_cut(vma: Vma, start: Num, end: Num) -> Bool:
    """The VMA would have to be cut at an end of the range, and refuses."""
    head = and_(lt(vma.start, start), refuses_split(vma, start))
    return or_(head, and_(lt(end, vma.end), refuses_split(vma, end)))


class Contract(AddressSpace):
    """An address space as functions of the page number, and what a contract may ask of whoever runs it."""

    dropped: str | None = None
    """The name of a check that is left out (a mutant)."""
    no_keys: Bool
    """The machine has no protection keys."""

    # the address space now
    _view: View
    _page: Callable[[Num], Page]
    _cut: Callable[[Num], Bool]
    """A VMA begins at the page, or one ended there."""
    _stored: Callable[[Num, Num], Num]
    """What an object holds at an offset."""
    _write_denied: Callable[[Num], Bool]
    _access_denied: Callable[[Num], Bool]
    _pkey_allocated: Callable[[Num], Bool]
    _exec_key: Num
    _brk: Num
    count: Num
    """mm->map_count."""

    every_page: list[PageFact]
    places: list[PageFact]
    """Where VMAs lie that were made anew, and that they have an anon_vma if need be: facts of every page too, kept
    apart because most proofs do without."""
    failing_page: Num | None = None
    """At which page a pass has ended the call."""
    failing_cut: str = ""
    """Which cut of a pass could not be made and ended the call: `start`, `end`, or `end after start`."""

    def begin_as(self, other: Contract) -> None:
        """Be in the address space in which the other is now."""
        self._view, self._page, self._cut, self._stored = other._view, other._page, other._cut, other._stored
        self._write_denied, self._access_denied = other._write_denied, other._access_denied
        self._pkey_allocated, self._exec_key = other._pkey_allocated, other._exec_key
        self._brk, self.count, self.no_keys = other._brk, other.count, other.no_keys

    # what whoever runs a contract answers -----------------------------------------------------------------------------

    @abstractmethod
    def assume(self, fact: Bool) -> None:
        """What the verb says of no page in particular."""

    @abstractmethod
    def _found(self, check: str, *facts: Bool) -> None:
        """Assume what the check has found that ends the call here."""

    def _owed_to(self, part: Bool, check: str) -> None:
        """This part of what is said of pages is there because of the check."""

    @abstractmethod
    def _free(self, what: str, refusal: tuple[Errno, str] | None = None) -> bool:
        """Whether it happens: both are looked at. `refusal` is how the call ends if it does, where it ends then."""

    @abstractmethod
    def _choice(self, what: str) -> Bool:
        """Whether it happens, as a term: what follows is said of both at once."""

    @abstractmethod
    def _number(self, what: str) -> Num:
        """A number that the verb leaves open."""

    @abstractmethod
    def _function(self, what: str, kind: Kind) -> Callable[[Num], Any]:
        """A function of the page that the verb leaves open."""

    @abstractmethod
    def _some_page(self, backs: Callable[[Num, Num, Num], Bool]) -> Callable[[Num, Num], Bool]:
        """Of a place in an object (object, offset): `backs(page, object, offset)` holds of some page."""

    @abstractmethod
    def _original_view(self, page: Num) -> tuple[Bool, Vma]:
        """The page in the address space in which the call began."""

    def _at_distance(self, page: Num, by: Num) -> Num:
        """The page that lies so far from this one: only where another page came from or went. What holds of every page
        need not be said of it, for that would name ever more pages."""
        return page + by

    # looking ----------------------------------------------------------------------------------------------------------

    @property
    def map_count(self) -> Num:
        return self.count

    @property
    def brk(self) -> Num:
        return self._brk

    def set_brk(self, page: Num) -> None:
        self._brk = page

    def write_denied(self, pkey: Num) -> Bool:
        return self._write_denied(pkey)

    def access_denied(self, pkey: Num) -> Bool:
        return self._access_denied(pkey)

    def pkey_allocated(self, pkey: Num) -> Bool:
        return and_(not_(self.no_keys), between(0, pkey, 16), self._pkey_allocated(pkey))

    def find(self, page: Num) -> Vma | None:
        mapped, vma = self._view(page)
        return vma if self.decide(mapped) else None

    def holding(self, page: Num) -> tuple[Bool, Vma]:
        return self._view(page)

    def page(self, page: Num) -> Page:
        return self._page(page)

    # what several contracts share -------------------------------------------------------------------------------------

    def _copies_have_anon_vmas(self) -> None:
        """A page that was copied lies in a VMA that has an anon_vma: whoever copies it sees to that (touch)."""
        view, page_at = self._view, self._page
        self.places.append(lambda q: implies(page_at(q).copied, lt(0, view(q)[1].anon_vma)))

    def _touched(self, view: View) -> View:
        """The same mapping, where VMAs that had no anon_vma may have got one."""
        new_anon = self._function("anon_vma_after", "number")

        def after(q: Num) -> tuple[Bool, Vma]:
            mapped, vma = view(q)
            return mapped, replace(vma, anon_vma=ite(eq(vma.anon_vma, 0), larger(0, new_anon(q)), vma.anon_vma))

        return once_for_each(after)

    def _rebordered(self, view: View, near: Callable[[Num], Bool], made: Vma) -> View:
        """The same mapping, with its VMAs merged or cut anew where `near` holds: where they begin and end, and which
        anon_vma they have, is open there. No page changes its place in its object. They lie where VMAs can lie if
        `made` does, the VMA that was put there: that it does is for the call to see to."""
        new_start = self._function("start_after", "number")
        new_end = self._function("end_after", "number")
        new_anon = self._function("anon_vma_after", "number")
        new_inherited = self._function("inherited_after", "truth")

        @once_for_each
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

    def _recounted(self, least: Num, most: Num, *, some: bool) -> None:
        """map_count is within these bounds now; `some`: there is a VMA that it counts."""
        self.count = self._number("map_count")
        self.assume(and_(le(least, self.count), le(self.count, most), lt(0, self.count) if some else True))

    def _forget_cuts(self, start: Num, end: Num) -> None:
        """Where VMAs begin and end from `start` to `end` is open."""
        cut = self._cut
        new_cut = self._function("cut_after", "truth")
        self._cut = lambda q: ite_bool(and_(le(start, q), le(q, end)), new_cut(q), cut(q))
