# SPDX-License-Identifier: MIT
"""`sealspec report --thread`: the questions of the review thread, each answered by what this repository has decided.

The thread is the one below [PATCH v10 2/5] of "Introduce mseal" (April 2024). A question is stored with who asked and
when, as a paraphrase and a few quoted words. An answer is a function of the review: where a verdict changes, so does
the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reports import thread_answers
from reports.plain import command, heading, item, quoted, text_of, wrap
from reports.review import Review
from reports.strip_text import drawing
from reports.thread_answers import Answer
from reports.thread_facts import Facts

MESSAGE_ID: Final = "20240415163527.626541-3-jeffxu@chromium.org"
"""Message-ID of the patch that the thread is about."""
SUBJECT: Final = "[PATCH v10 2/5] mseal: add mseal syscall"
THREAD_EDITION: Final = "v10"
"""The edition that the thread is about."""
OTHERS: Final = (thread_answers.PROPOSAL, thread_answers.MIMMUTABLE)
"""Editions that answers compare with."""
LIAM, JANN, THEO, JEFF = "Liam R. Howlett", "Jann Horn", "Theo de Raadt", "Jeff Xu"
_LIAM, _JANN, _THEO, _JEFF = (
    (LIAM, "2024-04-16 14:59 UTC"),
    (JANN, "2024-04-16 15:17 UTC"),
    (THEO, "2024-04-16 16:42 UTC"),
    (JEFF, "2024-04-15 16:35 UTC"),
)


@dataclass(frozen=True, slots=True)
class Question:
    """Something that was asked, doubted or claimed in the thread."""

    title: str
    who: str
    date: str
    asked: str
    """What they said, in our words."""
    quote: str
    """A few words of it: at most a dozen, as they stand in the message."""
    answer: Callable[[Facts], Answer]
    mail: bool = False
    """It is among the few that the mail about the patch answers."""


def needed(edition: str) -> tuple[str, ...]:
    """The editions that a review must have for all questions to be answered, the one that is asked about first."""
    return (edition, *(name for name in OTHERS if name != edition))


QUESTIONS: tuple[Question, ...] = (
    Question(
        "Up-front or partial?",
        *_LIAM,
        "Which way shall the calls go: find every error before anything is changed, or stop part of the way, as ever?",
        "do as much up-front as possible or keep with tradition",
        thread_answers.direction,
        mail=True,
    ),
    Question(
        "Does every other function fail partially?",
        *_LIAM,
        "mseal looks at its range before it changes anything; every other function finds errors in its loop.",
        'differs in behaviour in "up-front failure" vs "partial change failure"',
        thread_answers.every_other,
    ),
    Question(
        "Does mprotect check in the loop that modifies?",
        *_LIAM,
        "do_mprotect_pkey() refuses VMA by VMA (map_deny_write_exec), while those before are modified.",
        "map_deny_write_exec() being checked in a loop during modifications",
        thread_answers.in_the_loop,
    ),
    Question(
        "Some checks up front, some later: is something missed?",
        *_LIAM,
        "With checks in two places and no rule for it, one will be forgotten somewhere.",
        "will lead to a higher probability of things getting missed",
        thread_answers.missed,
    ),
    Question(
        "Can ENOMEM come from both passes?",
        *_JANN,
        "mseal can fail with ENOMEM in the check for gaps, and in the loop where a VMA has to be split.",
        "I think ENOMEM can happen both in the up-front check",
        thread_answers.both_passes,
        mail=True,
    ),
    Question(
        "Is the error of mseal of use to its caller?",
        *_JANN,
        "Whatever the error: the caller cannot tell what has been sealed, and can only exit or go on.",
        "will probably not get much actionable information from the return value",
        thread_answers.actionable,
    ),
    Question(
        "What do other systems do?",
        *_THEO,
        "Elsewhere a first pass finds every error, and only then is something changed.",
        "Other systems do two passes",
        thread_answers.elsewhere,
        mail=True,
    ),
    Question(
        "Does success mean the whole range?",
        *_THEO,
        "Elsewhere, success means that all of the range was changed.",
        "it means the whole range has been changed",
        thread_answers.whole_range,
    ),
    Question(
        "Can the m*() calls be repaired?",
        *_THEO,
        "A call that fails should have done nothing; for the sake of speed nobody will want to repair Linux.",
        "there will be little appetite to repair the m*() syscalls in Linux",
        thread_answers.repair,
    ),
    Question(
        "Does an unchecked mprotect leave part of an object changed?",
        *_THEO,
        "Programs rarely look at what mprotect returns; if it fails partially, part of an object is changed.",
        "very rarely checked, yet parts of objects will change",
        thread_answers.unchecked,
        mail=True,
    ),
    Question(
        "Do immutable ranges make that likelier?",
        *_THEO,
        "With sealed ranges about, mprotect has one more reason to fail.",
        "it's an even more likely error condition now",
        thread_answers.likelier,
    ),
    Question(
        "What does an attacker gain?",
        *_THEO,
        "Sloppy handling of a range is attack surface; no attack that uses it was found in a few days.",
        "circumstances where this might help an attack",
        thread_answers.attacker,
        mail=True,
    ),
    Question(
        "Can the second pass of mseal fail?",
        *_JEFF,
        "The patch's own comment: after the first pass, the second fails only in rare cases (split, merge, map count).",
        "Second pass, this should success, unless there are errors",
        thread_answers.rare,
    ),
    Question(
        "Is what the patch lists as blocked really blocked?",
        *_JEFF,
        "The commit message lists six kinds of operation that a seal blocks.",
        "mseal() blocks following operations for the given memory range",
        thread_answers.blocked,
    ),
)
"""In the order of the thread; what the patch claims comes last."""


def answers(review: Review) -> list[tuple[Question, Answer]]:
    """Each question, and what the first edition of the review answers."""
    facts = Facts(review, review.editions[0])
    return [(question, question.answer(facts)) for question in QUESTIONS]


def render(review: Review) -> str:
    """The questions and answers as plain text of 72 columns."""
    edition = review.editions[0]
    lines = ["Answers to the review of", f"{SUBJECT}", f"Message-ID: <{MESSAGE_ID}>", ""]
    lines += wrap(
        f"Answered for {edition.name} ({edition.kernel}), from verdicts of {edition.solver} over the specification. "
        "Proved means: for any number of VMAs. Refuted means: there is a case, and the specification executes it. The "
        "command behind each verdict shows it."
    )
    for place, (question, answer) in enumerate(answers(review), 1):
        lines += heading(f"{place}. {question.title}")
        lines += wrap(f"{question.who}, {question.date}:")
        lines += quoted(question.quote)
        lines += wrap(f"In other words: {question.asked}", hang="  ")
        lines.append("")
        lines += wrap(answer.short)
        for told in answer.sentences:
            lines += item("-", told, "  ")
        lines.append("")
        drawn = False
        for evidence in answer.evidence:
            lines += wrap(f"{evidence.name}: {evidence.verdict}", hang="    ")
            lines += command(f"$ {evidence.command}", "  ")
            if evidence.case is not None and not drawn:
                lines += ["", *(f"{line}" for line in drawing(evidence.case.document)), ""]
                drawn = True
    return text_of(lines)
