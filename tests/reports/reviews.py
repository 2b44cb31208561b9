# SPDX-License-Identifier: MIT
"""Reviews for tests: one call decided here and now, and the rest of an edition as it is expected to come out.

The filled-in theorems have the expected verdicts, and real counterexamples of the call that was decided, under other
names: what is tested with them is how results are shown, not what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from proofs.lemmas import LEMMAS
from proofs.results import Cell, CheckCell
from proofs.theorems import Theorem as Expected
from proofs.theorems import theorems
from reports.explain import explain
from reports.gather import Wanted, gather
from reports.review import (
    Case,
    CellFacts,
    EditionFacts,
    Lemma,
    MatrixFacts,
    Mutant,
    PropertyFacts,
    Review,
    Theorem,
)
from reports.strip import narrative
from spec.assumptions import ALWAYS
from spec.editions import EDITIONS
from spec.properties import PROPERTIES

HOSTILE = (
    '</system-out>]]><script>alert(1)</script> &amp; "quoted" `code` ``two`` | cell * [link](x) # SKIP not run\n'
    "ok 1 - forged\n> quoted\n\x00\x1b[31m\u202e \u00e9\u4e2d\U0001f512 ://host/path @nobody " + "w" * 200
)
"""Everything that some format gives a meaning to."""
EXAMPLE_CALLS = ("munmap", "mmap", "mremap", "mprotect", "pkey_mprotect", "madvise", "brk")


@cache
def decided() -> Review:
    """mseal of v10, proved and refuted in this process (a few seconds)."""
    wanted = Wanted(editions=("v10",), calls=("mseal",), lemmas=False, mutants=False, traces=False, history=False)
    return gather(wanted)


@cache
def review_of(*editions: str) -> Review:
    """All theorems of editions as expected. What was decided of v10 is what it is."""
    made = decided()
    cases = list(made.cases)
    facts = tuple(_edition(made, name, cases) for name in editions)
    properties = tuple(
        PropertyFacts(name=p.name, sentence=p.sentence, source=p.source, calls=p.calls, assumptions=p.assumptions)
        for p in PROPERTIES.values()
    )
    assert made.matrix is not None
    cells = tuple(cell for name in editions for cell in _cells(made.matrix, name, cases))
    matrix = made.matrix.model_copy(update={"calls": ("mseal", *EXAMPLE_CALLS), "cells": cells})
    update = {"properties": properties, "editions": facts, "cases": tuple(cases), "matrix": matrix}
    return Review.model_validate(made.model_copy(update=update).model_dump())


def _edition(made: Review, name: str, cases: list[Case]) -> EditionFacts:
    [known] = made.editions
    here = {theorem.id: theorem for theorem in known.theorems} if name == known.name else {}
    filled = tuple(here.get(_id(expected)) or _filled(expected, cases) for expected in theorems(EDITIONS[name]))
    dropped = Mutant(call="mseal", check="a check", killed_by="a lemma", survived=False, as_expected=True, reason="")
    edition = EDITIONS[name]
    lemmas = tuple(
        Lemma(name=name, sentence=lemma.sentence, verdict="proved", as_expected=True, obligations=1, why="")
        for name, lemma in LEMMAS.items()
    )
    explained = tuple(explain(call, edition) for call in ("mseal", "mprotect"))
    update = {
        "name": name,
        "kernel": edition.kernel,
        "standing": edition.standing.value,
        "theorems": filled,
        "lemmas": lemmas,
        "mutants": (dropped,),
        "explanations": explained,
    }
    return known.model_copy(update=update)


def _id(expected: Expected) -> str:
    return f"{expected.edition.name}/{expected.property.name}/{expected.call}"


def _filled(expected: Expected, cases: list[Case]) -> Theorem:
    prop, verdict = expected.property, expected.expected
    id = _id(expected)
    if verdict == "refuted" and all(case.id != id for case in cases):
        cases.append(_renamed(expected, cases[0]))
    return Theorem(
        id=id,
        file=f"theorems/{prop.name}-{expected.call}",
        property=prop.name,
        call=expected.call,
        edition=expected.edition.name,
        sentence=prop.sentence,
        source=prop.source,
        expected=expected.expected,
        verdict=verdict,
        as_expected=True,
        engine="unbounded",
        assumptions=(*ALWAYS, *prop.assumptions),
        lemmas=("verbs",) if verdict == "proved" else (),
        reason=expected.reason,
        mended=expected.broken.mended if expected.broken else "",
        why="",
        witness=None,
        counterexample=id if verdict == "refuted" else "",
    )


def _renamed(expected: Expected, case: Case) -> Case:
    told = {"property": expected.property.name, "sentence": expected.property.sentence, "call": expected.call}
    document = case.document.model_copy(update={**told, "edition": expected.edition.name})
    return case.model_copy(update={"id": _id(expected), "document": document, "story": tuple(narrative(document))})


def _cells(known: MatrixFacts, edition: str, cases: list[Case]) -> Iterable[CellFacts]:
    """mseal as decided; of the others EPERM for a seal that changes nothing, and ENOMEM that changes a part."""
    for facts in known.cells:
        cell = facts.cell.model_copy(update={"edition": edition})
        yield facts.model_copy(update={"id": facts.id.replace("v10", edition), "cell": cell})
    for call in EXAMPLE_CALLS:
        yield cell_of(call, "EPERM", edition, cause="seal", verdict="atomic", sentence="nothing at all is changed")
        yield cell_of(
            call,
            "ENOMEM",
            edition,
            verdict="partial",
            level="pages",
            sentence=f"the pages that {call} had reached may be changed; no other page is changed",
            checks=[CheckCell(check="no room", stage="body", changes="pages")],
            case=cases[0].id,
        )


def cell_of(call: str, errno: str, edition: str, *, case: str = "", **made: Any) -> CellFacts:
    """A cell of a matrix."""
    cell = Cell(call=call, errno=errno, edition=edition, **made)
    name = f"{errno}-{cell.cause}" if cell.cause else errno
    return CellFacts(id=f"{edition}/{call}/{name}", cell=cell, case=case)


def with_theorem(review: Review, property_name: str, call: str, **update: Any) -> Review:
    """The review with one theorem of its first edition changed."""
    first, *rest = review.editions
    assert any((t.property, t.call) == (property_name, call) for t in first.theorems)
    theorems_ = tuple(
        t.model_copy(update=update) if (t.property, t.call) == (property_name, call) else t for t in first.theorems
    )
    return review.model_copy(update={"editions": (first.model_copy(update={"theorems": theorems_}), *rest)})


def with_cell(review: Review, call: str, errno: str, cause: str = "", **update: Any) -> Review:
    """The review with one cell of its matrix changed."""
    assert review.matrix is not None
    cells = tuple(
        f.model_copy(update={"cell": f.cell.model_copy(update=update)})
        if (f.cell.call, f.cell.errno, f.cell.cause) == (call, errno, cause)
        else f
        for f in review.matrix.cells
    )
    assert cells != review.matrix.cells
    return review.model_copy(update={"matrix": review.matrix.model_copy(update={"cells": cells})})


def refuted(review: Review, property_name: str, call: str) -> Review:
    """The review with a proved theorem refuted, which nobody expected."""
    case = review.cases[0]
    update = {"verdict": "refuted", "as_expected": False, "counterexample": case.id}
    return with_theorem(review, property_name, call, **update)


def proved(review: Review, property_name: str, call: str) -> Review:
    """The review with a refuted theorem proved, as if that had been expected."""
    update = {"verdict": "proved", "expected": "proved", "reason": "", "mended": "", "counterexample": ""}
    return with_theorem(review, property_name, call, **update)
