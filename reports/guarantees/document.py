# SPDX-License-Identifier: MIT
"""Promises and recipes as a document, for other programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, JsonValue

from checker.documents.base import Document
from checker.version import WrittenBy
from reports.guarantees.basis import Basis
from reports.guarantees.promises import Answer, Promise
from reports.guarantees.recipes import Level, Recipe
from spec.editions import KERNELS

Verdict = Literal["proved", "refuted", "vacuous"]


class TheoremDoc(Document):
    """A theorem and the verdict that is expected of it."""

    theorem: str = Field(description="property(call)")
    verdict: Verdict
    reason: str = Field(description="why it is refuted; empty if it is proved")


class CellDoc(Document):
    """A promise in one edition."""

    edition: str
    answer: Answer
    theorems: tuple[TheoremDoc, ...]


class PromiseDoc(Document):
    """A promise, edition by edition."""

    name: str
    sentence: str
    cells: tuple[CellDoc, ...]


class BasisDoc(Document):
    """What a sentence rests on."""

    theorem: str
    verdict: Verdict


class ReasonDoc(Document):
    """Why a recipe is as it is."""

    text: str
    editions: tuple[str, ...] = Field(description="of which it is said")
    rests_on: tuple[BasisDoc, ...]
    examples: tuple[str, ...] = Field(description="names of examples of the recipe")
    document: str = Field(description="where it is explained, if it is outside the model")


class FailureDoc(Document):
    """What a failed call may have changed."""

    call: str
    errno: str
    editions: tuple[str, ...]
    level: Level
    text: str
    rests_on: tuple[BasisDoc, ...]
    do: str


class ExampleDoc(Document):
    """Calls with what an edition answers, for `sealspec run`."""

    name: str
    title: str
    scenarios: tuple[dict[str, JsonValue], ...] = Field(description="one for each edition; docs/schema/scenario.json")


class RecipeDoc(Document):
    """A question, its answer, what to do and why."""

    name: str
    question: str
    answer: str
    do: tuple[str, ...]
    why: tuple[ReasonDoc, ...]
    failures: tuple[FailureDoc, ...]
    examples: tuple[ExampleDoc, ...]


class GuaranteeDoc(Document):
    """What a seal guarantees."""

    format: Literal["mseal-spec/guarantee/1"] = "mseal-spec/guarantee/1"
    tool: WrittenBy = None
    promises: tuple[PromiseDoc, ...]
    recipes: tuple[RecipeDoc, ...]


def document_of(promises: Iterable[Promise], recipes: Iterable[Recipe], edition: str | None) -> GuaranteeDoc:
    """The promises and recipes as they are in one edition, or in every kernel."""
    editions = KERNELS if edition is None else (edition,)
    return GuaranteeDoc(
        promises=tuple(
            PromiseDoc(
                name=promise.name,
                sentence=promise.sentence,
                cells=tuple(_cell(promise, name) for name in editions),
            )
            for promise in promises
        ),
        recipes=tuple(_recipe(recipe, editions) for recipe in recipes),
    )


def _cell(promise: Promise, edition: str) -> CellDoc:
    theorems = tuple(TheoremDoc(theorem=t.name, verdict=t.expected, reason=t.reason) for t in promise.theorems(edition))
    return CellDoc(edition=edition, answer=promise.answer(edition), theorems=theorems)


def _bases(bases: Iterable[Basis]) -> tuple[BasisDoc, ...]:
    return tuple(BasisDoc(theorem=basis.name, verdict=basis.verdict) for basis in bases)


def _recipe(recipe: Recipe, editions: tuple[str, ...]) -> RecipeDoc:
    return RecipeDoc(
        name=recipe.name,
        question=recipe.question,
        answer=recipe.answer,
        do=recipe.do,
        why=tuple(
            ReasonDoc(
                text=reason.text,
                editions=said,
                rests_on=_bases(reason.bases),
                examples=reason.examples,
                document=reason.document,
            )
            for reason in recipe.why
            if (said := tuple(filter(reason.where.has, editions)))
        ),
        failures=tuple(
            FailureDoc(
                call=failed.call,
                errno=failure.errno.name,
                editions=said,
                level=outcome.level,
                text=outcome.text,
                rests_on=_bases(outcome.bases),
                do=failed.do,
            )
            for failed in recipe.failures
            for failure in failed.failures
            for outcome in failure.outcomes
            if (said := tuple(filter(outcome.where.has, editions)))
        ),
        examples=tuple(
            ExampleDoc(
                name=example.name,
                title=example.title,
                scenarios=tuple(
                    example.scenario(name).model_dump(mode="json", exclude_unset=True) for name in editions
                ),
            )
            for example in recipe.examples
        ),
    )


def guarantee_schema() -> str:
    """The JSON schema of a `GuaranteeDoc`, as published in docs/schema/guarantee.json."""
    schema = GuaranteeDoc.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
