# SPDX-License-Identifier: MIT
"""Counterexample documents for tests: a layout, a call, and what the concrete reading says becomes of it."""

from __future__ import annotations

from typing import Any

from checker.claims import assumptions_of, decoded, range_of, size_of
from checker.documents.counterexamples import Counterexample, CounterexampleStep, Culprit, ResultDoc
from checker.documents.layouts import LayoutDoc
from checker.machine import perform
from checker.scenario import WINDOW
from proofs.theorems import expected_of
from spec.editions import EDITIONS
from spec.properties import PROPERTIES
from spec.syscalls import CALLS

PAGE = 4096
AT = WINDOW * PAGE
"""Address of the window's first page."""


def vma(start: int, end: int, prot: str = "rw-", **more: Any) -> dict[str, Any]:
    """A VMA of a layout; pages count from the start of the window."""
    return {"start": WINDOW + start, "end": WINDOW + end, "prot": prot, **more}


def layout(
    *vmas: dict[str, Any], pages: dict[int, dict[str, Any]] | None = None, free: int | None = None, **more: Any
) -> LayoutDoc:
    """A layout; `pages` by number in the window, `free` maps below the limit."""
    held = [{"page": WINDOW + number, **page} for number, page in (pages or {}).items()]
    elsewhere = 20 if free is None else 65530 - free - len(vmas)
    return LayoutDoc.model_validate({"vmas": vmas, "pages": held, "elsewhere": elsewhere, **more})


def counterexample(
    before: LayoutDoc,
    *calls: tuple[str, dict[str, int]],
    edition: str,
    property: str = "none",
    page: int | None = None,
    failures: tuple[str, ...] = (),
) -> Counterexample:
    """The document of calls (name, 64-bit words) from a layout. `page` of the window breaks the property; the
    environment makes `failures` happen in the last call. It is true if that is so."""
    state = before.to_state()
    steps = []
    for number, (call, words) in enumerate(calls):
        given = failures if number == len(calls) - 1 else ()
        result = perform(state, EDITIONS[edition], call, words, failures=given)
        steps.append(
            CounterexampleStep(
                call=call,
                words=words,
                failures=given,
                range=range_of(decoded(EDITIONS[edition], call, [words[name] for name in CALLS[call].words])),
                result=ResultDoc(value=result.value, errno=result.errno.name, check=result.check),
                after=LayoutDoc.from_state(state),
            )
        )
    prop = PROPERTIES.get(property)
    return Counterexample(
        property=property,
        sentence=prop.sentence if prop else "",
        edition=edition,
        call=calls[-1][0],
        expected=expected_of(property, calls[-1][0], edition),
        assumptions=assumptions_of(prop) if prop else (),
        before=before,
        steps=tuple(steps),
        culprit=Culprit(page=None if page is None else WINDOW + page, why=prop.sentence if prop else ""),
        size=size_of(before, steps),
    )


def on(page: int, pages: int, **more: int) -> dict[str, int]:
    """Words of a call on a range of the window."""
    return {"addr": AT + page * PAGE, "len": pages * PAGE, **more}
