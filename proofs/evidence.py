# SPDX-License-Identifier: MIT
"""Examples as documents: what a verdict shows of itself."""

from __future__ import annotations

from dataclasses import fields

from checker.calls import words_for
from checker.claims import assumptions_of, range_of, size_of
from checker.documents.counterexamples import Counterexample, CounterexampleStep, Culprit, ResultDoc
from checker.documents.layouts import LayoutDoc
from checker.examples import Example
from proofs.results import Witness
from proofs.theorems import Theorem
from spec.editions import Edition
from spec.terms import whole


def witness_of(example: Example, edition: Edition) -> Witness:
    """An example as a document."""
    transition, _ = example.run(edition)
    arguments = {f.name: getattr(example.arguments, f.name) for f in fields(example.arguments)}
    return Witness(
        before=LayoutDoc.from_state(example.state),
        call=example.call,
        arguments={k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()},
        failures=sorted(example.failures),
        errno=transition.errno.name,
        check=transition.check,
    )


def counterexample_of(theorem: Theorem, example: Example, page: int | None) -> Counterexample:
    """An example as the document that is drawn, replayed and reported."""
    prop, edition = theorem.property, theorem.edition
    transition, after = example.run(edition)
    words = words_for(example.call, edition, example.arguments)
    if words is None:
        raise AssertionError(f"no words decode to {example.arguments}")
    pageless = prop.pageless
    before_doc, after_doc = LayoutDoc.from_state(example.state), LayoutDoc.from_state(after)
    step = CounterexampleStep(
        call=example.call,
        words=dict(words),
        failures=tuple(sorted(example.failures)),
        range=range_of(example.arguments),
        result=ResultDoc(value=whole(transition.value), errno=transition.errno.name, check=transition.check),
        after=after_doc,
    )
    return Counterexample(
        property=prop.name,
        sentence=prop.sentence,
        edition=edition.name,
        call=example.call,
        expected=theorem.expected,
        assumptions=assumptions_of(prop),
        before=before_doc,
        steps=(step,),
        culprit=Culprit(page=None if pageless else page, why=prop.sentence),
        size=size_of(before_doc, [step]),
    )
