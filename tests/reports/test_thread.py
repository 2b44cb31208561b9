# SPDX-License-Identifier: MIT
"""The answers to the thread: asked as the thread asks, and answered by the verdicts, not from memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from typer.main import get_command

from reports import thread
from reports.cli import app
from reports.explain import CHANGING
from reports.review import Review
from reports.thread_answers import Answer
from spec.editions import EDITIONS
from spec.properties import PROPERTIES
from spec.syscalls import CALLS
from tests.lab.kernels import SHARED
from tests.reports.reviews import cell_of, proved, refuted, review_of, with_cell, with_theorem

SEED = SHARED / "seed"
TITLES = [question.title for question in thread.QUESTIONS]


@pytest.fixture(scope="module")
def review() -> Review:
    """Everything that the answers look at."""
    return review_of(*thread.needed("v10"))


def answer(review: Review, title: str) -> Answer:
    """What is answered to a question."""
    return next(found for question, found in thread.answers(review) if question.title.startswith(title))


def test_the_questions_are_those_of_the_thread() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SEED.glob("*.txt")))
    if not text:
        pytest.skip("the thread is not here (seed/ in MSEAL_SPEC_SHARED)")
    said = re.sub(r"^[+> \t*]+", "", text, flags=re.MULTILINE)
    words = " ".join(said.split())
    months = {"April": 4}
    dates = {
        (who, f"2024-{months[month]:02}-{int(day):02} {int(hour) + 12 * (half == 'p' and hour != '12'):02}:{minute}")
        for who, month, day, hour, minute, half in re.findall(
            r"^(\w[\w. ]+?) (April) (\d+), 2024, (\d+)(?::(\d+))? ([ap])\.m\. UTC", text, re.MULTILINE
        )
    }
    for question in thread.QUESTIONS:
        assert " ".join(question.quote.split()) in words, question.quote
        assert (question.who, question.date.removesuffix(" UTC")) in dates
    assert thread.MESSAGE_ID in text
    assert {who for who, _ in dates} == {question.who for question in thread.QUESTIONS}


@pytest.mark.parametrize("question", thread.QUESTIONS, ids=TITLES)
def test_quotations_are_short(question: thread.Question) -> None:
    assert len(question.quote.split()) <= 12
    assert question.asked and question.quote not in question.asked


@pytest.mark.parametrize("title", TITLES)
def test_no_question_is_answered_from_memory(review: Review, title: str) -> None:
    """A review in which nothing was decided answers nothing; one in which all was answers everything."""
    first = review.editions[0].model_copy(
        update={"theorems": (), "explanations": (), "outcomes": (), "mutants": (), "lemmas": ()}
    )
    nothing = review.model_copy(update={"editions": (first,), "cases": (), "matrix": None})
    assert not answer(nothing, title).settled
    known = answer(review, title)
    assert known.settled
    assert known.evidence


@pytest.mark.parametrize("title", TITLES)
def test_commands_exist(review: Review, title: str) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for evidence in answer(review, title).evidence:
        program, name, *rest = evidence.command.split()
        assert program == "sealspec"
        options = {option for parameter in commands[name].params for option in parameter.opts}
        given = [word for word in rest if word.startswith("--")]
        assert set(given) <= options, evidence.command
        known = {"--property": PROPERTIES, "--call": CALLS, "--edition": EDITIONS}
        for option, value in pairwise(rest):
            assert option not in known or value in known[option], evidence.command
        if name == "find":
            assert rest[0] in PROPERTIES


CHANGES: dict[str, Callable[[Review], Review]] = {
    "Up-front or partial?": lambda r: refuted(r, "eperm-changes-nothing", "mprotect"),
    "Does every other function fail partially?": lambda r: proved(r, "failure-changes-no-page", "mprotect"),
    "Some checks up front": lambda r: proved(r, "never-grown", "mremap"),
    "Can ENOMEM come from both passes?": lambda r: proved(r, "failed-mseal-seals-nothing", "mseal"),
    "Is the error of mseal of use": lambda r: refuted(r, "partial-seal-is-a-prefix", "mseal"),
    "Does success mean the whole range?": lambda r: refuted(r, "success-does-what-it-says", "mmap"),
    "Can the m*() calls be repaired?": lambda r: proved(r, "failure-changes-nothing", "munmap"),
    "Does an unchecked mprotect": lambda r: proved(r, "failure-changes-no-page", "mprotect"),
    "Do immutable ranges": lambda r: refuted(r, "eperm-changes-nothing", "mprotect"),
    "What does an attacker gain?": lambda r: refuted(r, "never-reprotected", "mprotect"),
    "Can the second pass": lambda r: proved(r, "failed-mseal-seals-nothing", "mseal"),
    "Is what the patch lists": lambda r: refuted(r, "never-discarded", "madvise"),
}
"""For each question a verdict whose change must change the answer. Those without one are tested below."""


@pytest.mark.parametrize("title", CHANGES)
def test_a_changed_verdict_changes_the_answer(review: Review, title: str) -> None:
    before, after = answer(review, title), answer(CHANGES[title](review), title)
    assert (before.short, before.sentences) != (after.short, after.sentences)


def test_an_undecided_verdict_is_no_answer(review: Review) -> None:
    open_ = with_theorem(review, "eperm-changes-nothing", "mremap", verdict="unknown", as_expected=False)
    assert not answer(open_, "Up-front or partial?").settled
    assert "eperm-changes-nothing of mremap" in " ".join(answer(open_, "Up-front or partial?").sentences)


def test_up_front_and_partial(review: Review) -> None:
    assert answer(review, "Up-front").short.startswith("Both")
    assert answer(review_of(*thread.needed("v6.12")), "Up-front").short.startswith("Partial")
    assert answer(review_of(*thread.needed("mimmutable")), "Up-front").short.startswith("Up-front")


def test_enomem_comes_from_both_passes_as_long_as_both_are_reached(review: Review) -> None:
    assert answer(review, "Can ENOMEM").short.startswith("Yes")
    first = review.editions[0]
    outcomes = tuple(o.model_copy(update={"reachable": False}) if "split" in o.check else o for o in first.outcomes)
    changed = first.model_copy(update={"outcomes": outcomes})
    without = review.model_copy(update={"editions": (changed, *review.editions[1:])})
    assert answer(without, "Can ENOMEM").short == "No: only in the first pass."


def test_an_unchecked_mprotect_follows_the_matrix(review: Review) -> None:
    told = answer(review, "Does an unchecked mprotect")
    assert told.short.startswith("Yes")
    assert any(sentence.startswith("ENOMEM: ") for sentence in told.sentences)
    atomic = with_cell(review, "mprotect", "ENOMEM", verdict="atomic", sentence="nothing at all is changed")
    told = answer(atomic, "Does an unchecked mprotect")
    assert not any(sentence.startswith("ENOMEM: ") for sentence in told.sentences)


def test_part_of_an_object_is_shown_where_the_matrix_has_it(review: Review) -> None:
    assert review.matrix is not None
    case = review.cases[0].id
    cell = cell_of("mprotect", "EACCES", "v10", verdict="partial", level="pages", sentence="a part", case=case)
    matrix = review.matrix.model_copy(update={"cells": (*review.matrix.cells, cell)})
    told = answer(review.model_copy(update={"matrix": matrix}), "Does an unchecked mprotect")
    assert told.evidence[0].case == review.cases[0]
    assert told.evidence[0].verdict == "a part"


def test_other_systems_are_answered_by_their_own_verdicts(review: Review) -> None:
    assert answer(review, "What do other systems do?").short.startswith("So it is for OpenBSD")
    v10, two_pass, mimmutable = review.editions
    assert mimmutable.name == "mimmutable"
    alone = review.model_copy(update={"editions": (mimmutable,)})
    [broken] = with_theorem(alone, "failure-changes-nothing", "munmap", verdict="refuted").editions
    changed = review.model_copy(update={"editions": (v10, two_pass, broken)})
    assert "munmap" in answer(changed, "What do other systems do?").short


def test_mprotect_checks_in_its_loop_as_its_checks_say(review: Review) -> None:
    assert answer(review, "Does mprotect check").short.startswith("Yes")
    assert any("(EACCES)" in sentence for sentence in answer(review, "Does mprotect check").sentences)
    first = review.editions[0]
    checks = first.explanation("mprotect")
    assert checks is not None
    early = replace(checks, checks=tuple(c for c in checks.checks if c.stage != CHANGING))
    changed = review.model_copy(
        update={"editions": (first.model_copy(update={"explanations": (early,)}), *review.editions[1:])}
    )
    assert answer(changed, "Does mprotect check").short.startswith("No")


def test_the_text_has_72_columns(review: Review) -> None:
    text = thread.render(review)
    assert max(map(len, text.split("\n"))) <= 72
    for place, question in enumerate(thread.QUESTIONS, 1):
        assert f"{place}. {question.title}\n" in text
        assert f"{question.who}, {question.date}:" in text
