"""Counterexample documents for tests: a layout, a call, and what the concrete reading says becomes of it."""

from __future__ import annotations

from typing import Any

from checker.documents.counterexamples import Counterexample, CounterexampleStep, Culprit, ResultDoc, Size
from checker.documents.layouts import LayoutDoc
from checker.machine import perform
from checker.scenario import WINDOW
from spec.editions import EDITIONS

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
    environment makes `failures` happen in the last call."""
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
                result=ResultDoc(value=result.value, errno=result.errno.name, check=result.check),
                after=LayoutDoc.from_state(state),
            )
        )
    return Counterexample(
        property=property,
        sentence="",
        edition=edition,
        call=calls[-1][0],
        expected="broken",
        before=before,
        steps=tuple(steps),
        culprit=Culprit(page=None if page is None else WINDOW + page, why=""),
        size=Size(vmas=len(before.vmas), pages=0, calls=len(calls)),
    )


def on(page: int, pages: int, **more: int) -> dict[str, int]:
    """Words of a call on a range of the window."""
    return {"addr": AT + page * PAGE, "len": pages * PAGE, **more}
