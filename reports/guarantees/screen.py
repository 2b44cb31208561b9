# SPDX-License-Identifier: MIT
"""What `sealspec guarantee` prints: a table of promises, or one recipe, on one screen."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from proofs.theorems import Theorem
from reports.guarantees.basis import Basis
from reports.guarantees.examples import Example, Watch, result
from reports.guarantees.promises import Promise
from reports.guarantees.recipes import FailedCall, Outcome, Reason, Recipe
from spec.editions import KERNELS

WIDEST = 100
"""Columns that text takes at most: longer lines are hard to read."""
LEGEND = "yes: proved, NO: refuted (of the model, for any number of VMAs). "
EXPECTED = "Verdicts are those that sealspec prove expects; nothing was solved. More: docs/GUARANTEES.md."


def wrapped(text: str, width: int, indent: str = "", first: str | None = None) -> list[str]:
    """Lines of a paragraph."""
    start = indent if first is None else first
    return textwrap.wrap(
        text, width, initial_indent=start, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def grounds(bases: Iterable[Basis]) -> str:
    """`proved: never-unmapped (14 calls); refuted: …`."""
    kinds = groupby(bases, key=lambda basis: basis.verdict)
    return "; ".join(f"{verdict}: {', '.join(basis.name for basis in some)}" for verdict, some in kinds)


# promises -------------------------------------------------------------------------------------------------------------


def alike(promises: Sequence[Promise]) -> list[list[str]]:
    """Kernels, oldest first, those together that follow one another and give the same answers."""
    answers = {name: [promise.answer(name) for promise in promises] for name in KERNELS}
    return [list(group) for _, group in groupby(KERNELS, key=answers.__getitem__)]


def table(promises: Sequence[Promise], width: int) -> Iterator[str]:
    """Promises by kernel: a sentence and its theorems on the left, the answers on the right."""
    columns = alike(promises)
    heads = [(names[0], "" if len(names) == 1 else f"-{names[-1]}") for names in columns]
    sizes = [max(3, *(len(part) for part in head)) for head in heads]
    left = width - sum(sizes) - 2 * len(sizes)
    for row in range(2):
        title = ("What a seal guarantees", "")[row].ljust(left)
        yield (title + "".join("  " + head[row].ljust(size) for head, size in zip(heads, sizes, strict=True))).rstrip()
    for promise in promises:
        first, *more = wrapped(promise.sentence, left)
        answers = "".join(
            "  " + promise.answer(names[0]).ljust(size) for names, size in zip(columns, sizes, strict=True)
        )
        yield (first.ljust(left) + answers).rstrip()
        yield from (f"  {line}" for line in more)
        yield from wrapped(", ".join(basis.name for basis in promise.bases), width, "    ")


def column(promises: Sequence[Promise], edition: str, width: int) -> Iterator[str]:
    """The promises of one edition, each with its theorems, and why it does not hold if it does not."""
    for promise in promises:
        answer = promise.answer(edition)
        text = f"{promise.sentence} [{'; '.join(_decided(promise, edition))}]"
        yield from wrapped(text, width, "     ", f"{answer:<3}  ")


def _decided(promise: Promise, edition: str) -> Iterator[str]:
    """What decides a promise: its theorems if they are proved; if not, those that are refuted for one reason."""
    theorems = promise.theorems(edition)
    broken = [theorem for theorem in theorems if theorem.expected == "refuted"]
    if not broken:
        yield _named(theorems) or "no theorem: the edition leaves these calls out"
    for reason in promise.reasons(edition)[:1]:
        yield f"{_named([theorem for theorem in broken if theorem.reason == reason])}: {reason}"


def _named(theorems: Iterable[Theorem]) -> str:
    """`never-unmapped (14 calls)`, `eperm-changes-nothing(munmap, brk)`."""
    calls: dict[str, list[str]] = {}
    for theorem in theorems:
        calls.setdefault(theorem.property.name, []).append(theorem.call)
    return ", ".join(
        f"{name}({', '.join(some)})" if len(some) < 4 else f"{name} ({len(some)} calls)" for name, some in calls.items()
    )


# recipes --------------------------------------------------------------------------------------------------------------


def recipe_lines(recipe: Recipe, edition: str | None, width: int) -> Iterator[str]:
    """A recipe for one edition, or for all kernels: question, answer, what to do, why, and what the model does."""
    yield from wrapped(recipe.question, width)
    yield from wrapped(recipe.answer, width, "  ")
    if recipe.failures:
        yield from _failures(recipe.failures, edition, width)
        return
    yield "Do"
    for number, text in enumerate(recipe.do, 1):
        yield from wrapped(text, width, "     ", f"  {number}. ")
    yield "Why"
    for reason in recipe.why:
        if reason.where.concerns(edition):
            yield from _reason(reason, edition, width)
    yield f"What {edition or 'each kernel'} does (p is the first page)"
    for example in recipe.examples:
        yield from _example(example, edition, width)


def _reason(reason: Reason, edition: str | None, width: int) -> Iterator[str]:
    label = reason.where.label if edition is None else ""
    text = f"{label}: {reason.text}" if label else reason.text
    rests = grounds(reason.bases) or ("below" if reason.examples else reason.document)
    yield from wrapped(f"{text} [{rests}]", width, "    ", "  - ")


def _example(example: Example, edition: str | None, width: int) -> Iterator[str]:
    watched = [watch for watch in example.watched if watch.where.concerns(edition)]
    if not watched:
        return
    yield from wrapped(example.title[0].upper() + example.title[1:] + ":", width, "  ")
    for watch in watched:
        label = watch.where.label if edition is None else ""
        yield from wrapped(
            f"{example.shown(watch.step)}: {told(watch)}{f' ({label})' if label else ''}", width, "      ", "    "
        )


def told(watch: Watch) -> str:
    """What a watched step gives, and what that means."""
    ended = result(watch.answer) if {"errno", "ret"} & watch.answer.keys() else ""
    return ", ".join(part for part in (ended, watch.note) if part)


def _failures(calls: Sequence[FailedCall], edition: str | None, width: int) -> Iterator[str]:
    for failed in calls:
        said = [(f.errno.name, [o for o in f.outcomes if o.where.concerns(edition)]) for f in failed.failures]
        bases = dict.fromkeys(basis.prop for _, outcomes in said for outcome in outcomes for basis in outcome.bases)
        yield from wrapped(", ".join(bases), width, "          ", f"{failed.call:<8}  ")
        for errno, outcomes in said:
            text = "; ".join(_outcome(outcome, edition) for outcome in outcomes)
            yield from wrapped(text, width, "          ", f"  {errno:<6}  ")
        yield from wrapped(failed.do, width, "          ", "  do      ")


def _outcome(outcome: Outcome, edition: str | None) -> str:
    label = outcome.where.label if edition is None else ""
    return f"{label}: {outcome.text}" if label else outcome.text
