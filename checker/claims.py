# SPDX-License-Identifier: MIT
"""What a counterexample claims, in words and numbers, and whether it is so.

A document says more than what its calls do: that they break a property, which one, where, and how large the case is.
The makers of documents take these words from here, and `check_claim` holds a document against them: what only says that
it is a counterexample is not drawn, reproduced or replayed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from checker.documents.base import BadDocument, near, shown
from checker.documents.counterexamples import Counterexample, CounterexampleStep, Size
from checker.documents.layouts import LayoutDoc
from checker.examples import Example, breaking, has_changed
from checker.machine import WordGuards, perform
from checker.scenario import re_execute
from spec.arguments import Decoded
from spec.assumptions import ALWAYS, ASSUMPTIONS
from spec.editions import EDITIONS, Edition
from spec.properties import PROPERTIES, Property
from spec.space import Done, Refused
from spec.syscalls import CALLS
from spec.terms import Num, whole
from spec.transition import Transition
from spec.vma import BOOKKEEPING, changed_fields

FAR: Final = 1 << 30
"""An mremap of more pages than this is about the first of them, as far as drawings go."""


class Verdicts(Protocol):
    """Says which verdict is expected of a theorem; empty if there is no such theorem."""

    def __call__(self, property: str, call: str, edition: str) -> str: ...


class NotConfirmed(Exception):
    """The specification does something else than a document says: where they differ, a line each."""

    def __init__(self, edition: str, differences: Sequence[str]) -> None:
        self.differences = tuple(differences)
        super().__init__(f"not confirmed: the concrete reading of {edition} does something else")


# what the project says ------------------------------------------------------------------------------------------------


def assumptions_of(prop: Property) -> tuple[str, ...]:
    """Return the assumptions of a counterexample to the property: those of every verdict, and its own."""
    return (*ALWAYS, *prop.assumptions)


def decoded(edition: Edition, call: str, words: Sequence[int]) -> Decoded | None:
    """Return what the argument stage makes of a call's words; None if the call ends there, so that nothing changes, or
    if the edition leaves it out."""
    if not edition.has(call):
        return None
    try:
        arguments: Decoded = CALLS[call].arguments(WordGuards(edition), *words)
    except (Refused, Done):
        return None
    return arguments


def range_of(arguments: Decoded | None) -> tuple[int, int] | None:
    """Return the pages that a call with these arguments is about, the first and that behind the last; None if it names
    none."""
    if arguments is None:
        return None
    if hasattr(arguments, "start") and hasattr(arguments, "end"):
        return whole(arguments.start), whole(arguments.end)
    if hasattr(arguments, "old"):
        start, pages = whole(arguments.old), whole(getattr(arguments, "old_pages"))
        return start, start + (max(pages, 1) if pages < FAR else 1)
    if hasattr(arguments, "page"):
        start = whole(arguments.page)
        return start, start + whole(getattr(arguments, "pages", 1))
    return None


def size_of(before: LayoutDoc, steps: Sequence[CounterexampleStep]) -> Size:
    """Return the size of a counterexample: VMAs and pages of the fullest layout that a call meets, and calls."""
    met = [before, *(step.after for step in steps[:-1])]
    return Size(
        vmas=max(len(layout.vmas) for layout in met),
        pages=max(sum(vma.end - vma.start for vma in layout.vmas) for layout in met),
        calls=len(steps),
    )


def why(prop: Property, t: Transition, page: int) -> str:
    """Return how the call broke the property there, in a few words."""
    ended = "succeeded" if not t.failed else f"failed with {t.errno.name} ({t.check})"
    counted = f"map_count was {t.before.map_count} and is now {t.after.map_count}"
    count = "" if t.before.map_count == t.after.map_count else f"; {counted}"
    if prop.pageless or (count and not differs(t, page)):
        return f"{t.call} {ended}{count}"
    return f"{t.call} {ended}; the page {_change(t, page)}"


def differs(t: Transition, page: Num) -> bool:
    """The page, or whether a VMA begins there, is not what it was."""
    a, b = t.before.at(page), t.after.at(page)
    if a.mapped != b.mapped or t.before.cut(page) != t.after.cut(page):
        return True
    return bool(a.mapped and any(x != y for _, x, y in _values(t, page)))


def _change(t: Transition, page: Num) -> str:
    a, b = t.before.at(page), t.after.at(page)
    if a.mapped and b.mapped:
        found = [f"{name} was {_shown(x)} and is now {_shown(y)}" for name, x, y in _values(t, page) if x != y]
        return f"changed: {'; '.join(found)}" if found else "did not change"
    if not a.mapped and not b.mapped:
        return "was not mapped and is not"
    return "is no longer mapped" if a.mapped else "is now mapped" + (" and sealed" if b.vma.sealed else "")


def _values(t: Transition, page: Num) -> Iterator[tuple[str, object, object]]:
    a, b = t.before.at(page), t.after.at(page)
    yield "what it reads", a.visible, b.visible
    yield "its guard mark", a.page.guard, b.page.guard
    yield "a VMA boundary before it", t.before.cut(page), t.after.cut(page)
    for name in changed_fields(a.vma, b.vma):
        if name not in BOOKKEEPING:
            yield name, getattr(a.vma, name), getattr(b.vma, name)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:#x}" if isinstance(value, int) else str(value)


# whether a document says the same -------------------------------------------------------------------------------------


def check_claim(document: Counterexample, expected: Verdicts, source: str = "") -> Counterexample:
    """Check all that a counterexample claims, and return it with the project's words for why.

    Raises BadDocument, with a pointer to what is not so, for one that lies about itself: a name that there is not,
    words or numbers that are not the project's, a property that its calls do not break at its page. Raises NotConfirmed
    if the calls do not do what it says. `source` names the document in messages.
    """
    try:
        prop = _check_names(document, expected)
        _check_numbers(document)
        if differences := re_execute(document):
            raise NotConfirmed(document.edition, differences)
        return _check_culprit(document, prop)
    except BadDocument as bad:
        raise BadDocument(bad.pointer, bad.reason, source) from None
    except MemoryError as many:  # a call that would fill more pages than can be kept
        raise BadDocument("/steps", f"cannot be executed: {many}", source) from None


def _check_names(document: Counterexample, expected: Verdicts) -> Property:
    """Return the property. Raises BadDocument for a name that there is not, or that is not said of it."""
    prop, edition, call = PROPERTIES.get(document.property), EDITIONS[document.edition], document.call
    if prop is None:
        raise BadDocument(
            "/property", f"unknown property {shown(document.property)}; {near(document.property, PROPERTIES)}"
        )
    if edition.system not in prop.promised_by:
        raise BadDocument("/property", f"{edition.name} does not promise {prop.name}")
    last = document.steps[-1].call
    if call != last:
        raise BadDocument("/call", f"the last step calls {last}, not {shown(call)}")
    if call not in prop.calls:
        raise BadDocument("/property", f"{prop.name} says nothing of {call}; it speaks of: {', '.join(prop.calls)}")
    if document.sentence != prop.sentence:
        raise BadDocument("/sentence", f"{prop.name} says {prop.sentence!r}, not {shown(document.sentence)}")
    wanted = expected(prop.name, call, edition.name)
    if document.expected != wanted:
        raise BadDocument("/expected", f"the verdict that is expected is {wanted!r}, not {shown(document.expected)}")
    for n, name in enumerate(document.assumptions):
        if name not in ASSUMPTIONS:
            raise BadDocument(f"/assumptions/{n}", f"unknown assumption {shown(name)}; {near(name, ASSUMPTIONS)}")
        if name not in assumptions_of(prop):
            raise BadDocument(f"/assumptions/{n}", f"a counterexample to {prop.name} does not assume {name}")
    return prop


def _check_numbers(document: Counterexample) -> None:
    """Raises BadDocument for a size or a range that is not the document's own."""
    size = size_of(document.before, document.steps)
    for name, number in size:
        if getattr(document.size, name) != number:
            raise BadDocument(f"/size/{name}", f"the document has {number}, not {getattr(document.size, name)}")
    edition = EDITIONS[document.edition]
    for n, step in enumerate(document.steps):
        pages = range_of(decoded(edition, step.call, [step.words[name] for name in CALLS[step.call].words]))
        if step.range != pages:
            raise BadDocument(f"/steps/{n}/range", f"the call is about {_pages(pages)}, not {_pages(step.range)}")


def _pages(pages: tuple[int, int] | None) -> str:
    return "no pages" if pages is None else f"the pages [{pages[0]}, {pages[1]})"


def _check_culprit(document: Counterexample, prop: Property) -> Counterexample:
    """Return the document with the project's words for why. Raises BadDocument unless the last call breaks the property
    at the page that is named. The calls do what the document says."""
    edition, last, page = EDITIONS[document.edition], document.steps[-1], document.culprit.page
    if prop.pageless != (page is None):
        told = "breaks as a whole, at no page" if prop.pageless else "breaks at a page, which is missing"
        raise BadDocument("/culprit/page", f"{prop.name} {told}")
    state = document.before.to_state()
    for step in document.steps[:-1]:
        perform(state, edition, step.call, step.words, failures=step.failures)
    arguments = decoded(edition, last.call, [last.words[name] for name in CALLS[last.call].words])
    where = "" if page is None else f" at page {page}"
    broken = f"what the calls do does not break {prop.name}{where}"
    if arguments is None:
        raise BadDocument("/culprit/page", f"{broken}: {last.call} ends at its arguments")
    example = Example(state, last.call, arguments, frozenset(last.failures))
    found = breaking(prop, example, edition, at=page)
    if found is None:
        raise BadDocument("/culprit/page", broken)
    at, transition, _ = found
    own = breaking(prop, example, edition)
    if page is not None and own is not None and page != own[0]:
        _check_place(transition, page, own[0])
    if document.culprit.why == prop.sentence:
        return document
    culprit = document.culprit.model_copy(update={"why": why(prop, transition, at)})
    return document.model_copy(update={"culprit": culprit})


def _check_place(t: Transition, page: int, own: int) -> None:
    """Raises BadDocument for a page at which only a counter tells that something changed, though the call changed
    another page (`own`), or though nothing is mapped there."""
    if not has_changed(t, page) and has_changed(t, own):
        raise BadDocument("/culprit/page", f"{t.call} does not change page {page}; it changes page {own}")
    if not has_changed(t, page) and not (t.before.at(page).mapped or t.after.at(page).mapped):
        raise BadDocument("/culprit/page", f"page {page} is not mapped, and {t.call} does not change it")
