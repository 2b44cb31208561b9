"""`sealspec report --thread`: the questions of the review thread, each answered by what this repository has decided.

The thread is the one below [PATCH v10 2/5] of "Introduce mseal" (April 2024). A question is stored with who asked and
when, as a paraphrase and a few quoted words. An answer is a function of the review: where a verdict changes, so does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from reports.explain import CHANGING, UP_FRONT
from reports.findings import cause
from reports.plain import command, heading, item, joined, number, quoted, sentence, text_of, wrap
from reports.review import Review
from reports.strip_text import drawing
from reports.strip_words import map_count
from reports.thread_facts import ORDINARY, Calls, Evidence, Facts

MESSAGE_ID: Final = "20240415163527.626541-3-jeffxu@chromium.org"
"""Message-ID of the patch that the thread is about."""
SUBJECT: Final = "[PATCH v10 2/5] mseal: add mseal syscall"
THREAD_EDITION: Final = "v10"
"""The edition that the thread is about."""
OTHERS: Final = ("two-pass", "mimmutable")
"""Editions that answers compare with: the proposal of this project, and OpenBSD's mimmutable."""
MIMMUTABLE, PROPOSAL = "mimmutable", "two-pass"
LIAM, JANN, THEO, JEFF = "Liam R. Howlett", "Jann Horn", "Theo de Raadt", "Jeff Xu"
_LIAM, _JANN, _THEO, _JEFF = (
    (LIAM, "2024-04-16 14:59 UTC"),
    (JANN, "2024-04-16 15:17 UTC"),
    (THEO, "2024-04-16 16:42 UTC"),
    (JEFF, "2024-04-15 16:35 UTC"),
)
SEAL_PROMISES = ("never-unmapped", "never-reprotected", "never-replaced", "never-unsealed")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about a question."""

    short: str
    """The answer in one line."""
    sentences: tuple[str, ...]
    evidence: tuple[Evidence, ...]


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


# answers --------------------------------------------------------------------------------------------------------------


def _open(facts: Facts, *properties: str) -> tuple[str, ...]:
    """A sentence for what was not decided, if anything."""
    missing = [
        f"{prop} of {joined(calls.open)}" if calls.asked else prop
        for prop, calls in ((prop, facts.calls(prop)) for prop in properties)
        if calls.open or not calls.asked
    ]
    return (f"Not decided here: {joined(missing)}.",) if missing else ()


def _direction(facts: Facts) -> Answer:
    seal, any_error = facts.calls("eperm-changes-nothing"), facts.calls("failure-changes-nothing")
    if not seal.asked or not any_error.asked or seal.open or any_error.open:
        short = "Not settled: see what was not decided."
    elif seal.refuted:
        short = "Partial. Even a call that is refused because of a seal may have changed something."
    elif any_error.refuted:
        short = "Both: up-front where a seal is the reason (EPERM), partial for other errors."
    else:
        short = "Up-front: a call that fails has changed nothing."
    told = []
    if seal.proved:
        told.append(
            f"Refused because of a seal, {joined(seal.proved)} {_have(seal.proved)} changed nothing at all: no page, no "
            "VMA boundary, no count."
        )
    if seal.refuted:
        told.append(f"Refused because of a seal, {joined(seal.refuted)} may have changed something before.")
    told += [f"{call}: {_partial_errors(facts, call)}." for call in any_error.refuted if _partial_errors(facts, call)]
    if any_error.proved:
        told.append(f"{joined(any_error.proved)}: whatever the error, nothing is changed.")
    told += _open(facts, "eperm-changes-nothing", "failure-changes-nothing")
    shown = [facts.evidence_of_all("eperm-changes-nothing"), facts.evidence_of_all("failure-changes-nothing")]
    shown += [facts.evidence("failed-mseal-seals-nothing", "mseal")]
    return Answer(short, tuple(told), tuple(shown))


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _partial_errors(facts: Facts, call: str) -> str:
    """`ENOMEM and EACCES may leave pages changed`: what the matrix says of a call, in short."""
    levels: dict[str, list[str]] = {"pages": [], "boundaries": []}
    for cell in facts.cells(call):
        if cell.verdict == "partial":
            levels[cell.level or "pages"].append(cell.errno)
    parts = []
    if levels["pages"]:
        parts.append(f"{joined(dict.fromkeys(levels['pages']))} may leave pages changed")
    if levels["boundaries"]:
        parts.append(f"{joined(dict.fromkeys(levels['boundaries']))} may leave a VMA cut")
    return ", ".join(parts)


def _every_other(facts: Facts) -> Answer:
    found = facts.calls("failure-changes-no-page", ORDINARY)
    if not found.asked or found.open:
        short = "Not settled: see what was not decided."
    elif not found.proved:
        short = "Yes: each of them may fail with pages changed."
    elif not found.refuted:
        short = "No: none of them fails with a page changed."
    else:
        short = f"Most of them, but not all: {joined(found.proved)} never {_change(found.proved)} a page and then fail."
        if len(found.refuted) < len(found.proved):
            short = f"Some of them: {joined(found.refuted)}."
    told = [
        f"{call}: {cause(theorem.reason)}."
        for call in found.refuted
        if (theorem := facts.theorem("failure-changes-no-page", call)) is not None and theorem.reason
    ]
    told += _open(facts, "failure-changes-no-page")
    shown = [facts.evidence_of_all("failure-changes-no-page", ORDINARY)]
    return Answer(short, tuple(told), tuple(shown))


def _change(names: Sequence[str]) -> str:
    return "changes" if len(names) == 1 else "change"


def _in_the_loop(facts: Facts) -> Answer:
    explanation = facts.edition.explanation("mprotect")
    checks = explanation.checks if explanation is not None else ()
    late = [c for c in checks if c.stage == CHANGING and c.errno != "OK"]
    early = [c for c in checks if c.stage == UP_FRONT and c.errno != "OK"]
    if not checks:
        short = "Not settled: the checks of mprotect are not in this report."
    elif late:
        names = joined(f"{_bare(c.check)} ({c.errno})" for c in late)
        short = f"Yes: mprotect makes {number(len(late), 'check')} at each VMA, when those before it have been changed."
        told = [f"In the loop: {names}."]
    else:
        short = "No: mprotect makes every check before it changes anything."
    told = told if checks and late else []
    seal = [c for c in checks if "sealed" in c.check]
    told += [f"The seal is tested {_when(c.stage)}." for c in seal[:1]]
    told += [f"Up front: {joined(f'{_bare(c.check)} ({c.errno})' for c in early)}."] if early else []
    told += filter(None, [facts.not_modelled("map_deny_write_exec")])
    told += [f"{c.errno}: {c.sentence}." for c in facts.cells("mprotect") if c.errno == "EACCES"]
    return Answer(short, tuple(told), (facts.explained("mprotect"), facts.matrix("mprotect")))


def _bare(check: str) -> str:
    """A check without the name of its call."""
    return check.split(": ", 1)[-1]


def _when(stage: str) -> str:
    return "in the loop too, at each VMA" if stage == CHANGING else f"before ({stage})"


def _missed(facts: Facts) -> Answer:
    mixed = []
    for explanation in facts.edition.explanations:
        stages = {c.stage for c in explanation.checks if c.errno != "OK"}
        if UP_FRONT in stages and len(stages - {UP_FRONT, "arguments"}) > 0:
            mixed.append(explanation.call)
    misses = facts.misses()
    dropped = facts.edition.mutants
    noticed = [m for m in dropped if not m.survived]
    short = f"It has: {number(len(misses), 'promise')} of sealing {_is(misses)} broken." if misses else (
        "Nothing was found to be missed: no theorem of what a seal promises is refuted."
    )  # fmt: skip
    told = [f"Checks both up front and later: {joined(mixed)}."] if mixed else ["No call checks both up front and later."]
    told += [f"{finding}: {_reason(facts, finding)}." for finding in misses]
    if dropped:
        told.append(
            f"Each check was dropped in turn: {number(len(noticed), 'drop')} of {len(dropped)} broke a theorem or a "
            "lemma, so that check cannot get lost unseen."
        )
    shown = [facts.evidence(*_split(finding)) for finding in misses[:3]]
    return Answer(short, tuple(told), (*shown, Evidence("checks dropped", f"{len(noticed)} of {len(dropped)} noticed",
                                                        f"sealspec prove --edition {facts.edition.name}")))  # fmt: skip


def _is(names: Sequence[object]) -> str:
    return "is" if len(names) == 1 else "are"


def _split(name: str) -> tuple[str, str]:
    prop, _, call = name.rstrip(")").partition("(")
    return prop, call


def _reason(facts: Facts, name: str) -> str:
    theorem = facts.theorem(*_split(name))
    return cause(theorem.reason) if theorem is not None and theorem.reason else "nobody expected it"


def _both_passes(facts: Facts) -> Answer:
    early = [c for c in facts.reached("mseal", "ENOMEM") if facts.stage("mseal", c) == UP_FRONT]
    late = [c for c in facts.reached("mseal", "ENOMEM") if facts.stage("mseal", c) == CHANGING]
    gap = facts.verdict("gap-seals-nothing", "mseal")
    half = facts.verdict("failed-mseal-seals-nothing", "mseal")
    after_gap = {"proved": "nothing is changed", "refuted": "something may be changed"}
    after_split = {"proved": "nothing is sealed", "refuted": "what lies before it in the range may be sealed"}
    ends = []
    if early:
        ends.append(f"After an ENOMEM of the first pass, {after_gap.get(gap, f'what is changed is {gap}')}")
    if late:
        ends.append(f"after one of the second, {after_split.get(half, f'what is sealed is {half}')}")
    told = [sentence("; ".join(ends))] if ends else []
    if early and late:
        short = f"Yes: from the first ({joined(map(_bare, early))}) and from the second ({joined(map(_bare, late))})."
    elif early or late:
        short = f"No: only in the {'first' if early else 'second'} pass."
    else:
        short = "Not settled: no case of ENOMEM from mseal is in this report."
    shown = [facts.evidence(p, "mseal") for p in ("enomem-only-as-documented", "enomem-as-documented")]
    return Answer(short, tuple(told), (*shown, facts.evidence("gap-seals-nothing", "mseal")))


def _actionable(facts: Facts) -> Answer:
    vague, clear, unknown = [], [], []
    for cell in facts.cells("mseal"):
        changes = {check.changes for check in cell.checks}
        if cell.verdict == "unknown":
            unknown.append(cell.errno)
        else:
            (vague if len(changes) > 1 else clear).append(cell.errno)
    if not vague and not clear:
        short = "Not settled: the matrix is not in this report."
    elif vague:
        short = f"It is not: {joined(vague)} may mean that nothing is sealed, or that a part is."
    else:
        short = "It is: each errno of mseal stands for one state of affairs."
    told = [f"{c.errno}: {c.sentence}." for c in facts.cells("mseal") if c.errno in vague]
    told += [f"Always the same: {joined(clear)}."] if clear and vague else []
    told += [f"Not decided: {joined(unknown)}."] if unknown else []
    kept = {
        "partial-seal-is-a-prefix": "what a failed mseal has sealed is a prefix of its range",
        "sealing-twice-is-a-no-op": "sealing again what is sealed succeeds and changes nothing, so a caller may retry",
    }
    held = [text for prop, text in kept.items() if facts.verdict(prop, "mseal") == "proved"]
    told += [f"What a caller can rely on: {joined(held)}."] if held else []
    return Answer(short, tuple(told), (*(facts.evidence(p, "mseal") for p in kept), facts.matrix("mseal")))


def _elsewhere(facts: Facts) -> Answer:
    there = facts.of(MIMMUTABLE)
    if there is None:
        short = f"Not settled: the edition {MIMMUTABLE} is not in this report."
        return Answer(short, (), (Evidence("failure-changes-nothing", "not decided here",
                                           f"sealspec prove --edition {MIMMUTABLE}"),))  # fmt: skip
    found = there.calls("failure-changes-nothing")
    if found.open or not found.asked:
        short = "Not settled: see what was not decided."
    elif found.refuted:
        short = f"Not all of it: on OpenBSD too, {joined(found.refuted)} may fail half-way."
    else:
        short = "So it is for OpenBSD, as modelled: a call that fails has changed nothing."
    told = [f"Modelled from: {there.edition.kernel}. {sentence(there.edition.standing)}"]
    told += [f"There, whatever the error, {joined(found.proved)} {_have(found.proved)} changed nothing."] if found.proved else []
    told += _open(there, "failure-changes-nothing")
    here = facts.calls("failure-changes-nothing", (*found.proved, *found.refuted))
    told += [f"In {facts.edition.name}, {joined(here.refuted)} may."] if here.refuted and not found.refuted else []
    told.append("Of other systems nothing is modelled here.")
    return Answer(short, tuple(told), (there.evidence_of_all("failure-changes-nothing"),))


def _whole_range(facts: Facts) -> Answer:
    found = facts.calls("success-does-what-it-says")
    if found.open or not found.asked:
        short = "Not settled: see what was not decided."
    elif found.refuted:
        short = f"Not always: {joined(found.refuted)} may succeed without it."
    else:
        short = "Yes, here too: a call that succeeds has done it to the whole range, and to nothing else."
    told = _open(facts, "success-does-what-it-says")
    return Answer(short, told, (facts.evidence_of_all("success-does-what-it-says"),))


def _repair(facts: Facts) -> Answer:
    now, then = facts.calls("failure-changes-nothing"), facts.of(PROPOSAL)
    if then is None:
        short = f"Not settled: the edition {PROPOSAL} is not in this report."
        return Answer(short, (), (Evidence("failure-changes-nothing", "not decided here",
                                           f"sealspec prove --edition {PROPOSAL}"),))  # fmt: skip
    after = then.calls("failure-changes-nothing")
    mended = [call for call in now.refuted if call in after.proved]
    left = [call for call in now.refuted if call in after.refuted]
    if after.open or not after.asked or not now.asked:
        short = "Not settled: see what was not decided."
    elif not now.refuted:
        short = "Nothing is to be repaired: no call fails half-way."
    elif mended and not left:
        short = "They can be repaired, all of them: by a first pass that decides all that can fail."
    elif mended:
        short = f"They can be repaired by a first pass that decides all that can fail; not {joined(left)} by that alone."
    else:
        short = "A first pass alone repairs none of them."
    told = [f"Repaired so: {joined(mended)}."] if mended else []
    told += [f"Still half-way: {joined(left)}."] if left else []
    told += _open(then, "failure-changes-nothing")
    told.append("What the first pass costs is not measured here.")
    return Answer(short, tuple(told), (then.evidence_of_all("failure-changes-nothing"),))


def _unchecked(facts: Facts) -> Answer:
    verdict = facts.verdict("failure-changes-no-page", "mprotect")
    short = {
        "refuted": "Yes: a failed mprotect can leave one part of its range changed and the rest not.",
        "proved": "No: a failed mprotect changes no page.",
    }.get(verdict, f"Not settled: {verdict}.")
    told = [f"{c.errno}{_cause(c.cause)}: {c.sentence}." for c in facts.cells("mprotect") if c.verdict == "partial"]
    whole = [c.errno + _cause(c.cause) for c in facts.cells("mprotect") if c.verdict == "atomic"]
    told += [f"Nothing at all is changed with {joined(whole)}."] if whole else []
    # refused for the rights of a VMA, it has changed another one: two parts of an object, as the question has it
    shown = facts.cell("mprotect", "EACCES")
    rest = (facts.evidence("failure-changes-no-page", "mprotect"), facts.matrix("mprotect"))
    return Answer(short, tuple(told), rest if shown is None else (shown, *rest))


def _cause(name: str) -> str:
    return {"seal": " because of a seal", "other": " for another reason"}.get(name, "")


def _likelier(facts: Facts) -> Answer:
    found = facts.calls("eperm-changes-nothing", ORDINARY)
    if found.open or not found.asked:
        short = "Not settled: see what was not decided."
    elif found.refuted:
        short = f"Yes: a seal adds a way to end half-way to {joined(found.refuted)}."
    else:
        short = "A seal adds an error, but no new way to end half-way: with that error nothing is changed."
    told = [
        f"{call}: {cell.sentence}."
        for call in found.refuted
        for cell in facts.cells(call)
        if (cell.errno, cell.cause, cell.verdict) == ("EPERM", "seal", "partial")
    ]
    told += _open(facts, "eperm-changes-nothing")
    shown = [facts.evidence("eperm-changes-nothing", call) for call in found.refuted[:2]]
    return Answer(short, tuple(told), (facts.evidence_of_all("eperm-changes-nothing", ORDINARY), *shown))


def _attacker(facts: Facts) -> Answer:
    safe: dict[str, Calls] = {prop: facts.calls(prop) for prop in SEAL_PROMISES}
    broken = [prop for prop, calls in safe.items() if calls.refuted]
    open_ = [prop for prop, calls in safe.items() if calls.open or not calls.asked]
    misses = facts.misses()
    if broken:
        short = f"Sealed memory itself: {joined(broken)} {_is(broken)} refuted."
    elif open_:
        short = "Not settled: see what was not decided."
    elif misses:
        short = "Not the sealed mapping; but contents, copies, or what is not sealed: see below."
    else:
        short = "Nothing of what is sealed; only what a failed call has done to memory that is not."
    told = []
    held = [prop for prop, calls in safe.items() if calls.proved and not calls.refuted and not calls.open]
    if held:
        told.append(
            f"No call, failed or not, unmaps, re-protects, replaces or unseals a sealed page ({joined(held)}: proved)."
            if len(held) == len(SEAL_PROMISES)
            else f"Proved: {joined(held)}."
        )
    told += [f"Open to an attacker: {finding} ({_reason(facts, finding)})." for finding in misses]
    shown = [facts.evidence(*_split(finding)) for finding in misses]
    half = facts.evidence("failure-changes-no-page", "mprotect")
    if half.case is not None:
        told += _trace(half)
        shown.append(half)
    told += _open(facts, *SEAL_PROMISES)
    return Answer(short, tuple(told), tuple(shown))


def _trace(evidence: Evidence) -> Iterable[str]:
    """How a program comes to a counterexample from an empty address space, if a way was looked for."""
    case = evidence.case
    assert case is not None
    if not case.trace_story:
        return
    calls = len(case.trace_story) - 1
    yield f"From nothing, {number(calls, 'call')} lead to a failure of {evidence.name}:"
    yield from case.trace_story[:-1]


def _rare(facts: Facts) -> Answer:
    explanation = facts.edition.explanation("mseal")
    late = [c for c in (explanation.checks if explanation else ()) if c.stage == CHANGING and c.errno != "OK"]
    half = facts.verdict("failed-mseal-seals-nothing", "mseal")
    if half == "refuted":
        short = f"It can fail, by {number(len(late), 'check')}, and then leave a part sealed." if late else "It can fail."
    elif half == "proved":
        short = "A failed mseal seals nothing."
    else:
        short = f"Not settled: {half}."
    told = [f"It fails where: {_bare(c.check)} ({c.errno})." for c in late]
    if facts.verdict("partial-seal-stops-at-an-end", "mseal") == "proved":
        told.append(
            "Only the VMA at the end of the range can stop a pass that has sealed something: VMAs between are whole and "
            "need no split."
        )
    shown = [facts.evidence(p, "mseal") for p in ("failed-mseal-seals-nothing", "partial-seal-stops-at-an-end")]
    case = shown[0].case
    if case is not None:
        size, at = case.document.size, map_count(case.document.before)
        told.append(f"The smallest case has {number(size.vmas, 'VMA')}, {at}. How rare such cases are is not known here.")
    return Answer(short, tuple(told), tuple(shown))


BLOCKED: tuple[tuple[str, str], ...] = (
    ("1>, 2>, 3>", "never-unmapped"),
    ("1>, 2>, 3>", "never-replaced"),
    ("4>", "never-grown"),
    ("5>", "never-reprotected"),
    ("6>", "never-discarded"),
)
"""The operations that the commit message lists as blocked, and the property that says so."""


def _blocked(facts: Facts) -> Answer:
    found = {prop: facts.calls(prop) for _, prop in BLOCKED}
    broken = [prop for prop, calls in found.items() if calls.refuted]
    open_ = [prop for prop, calls in found.items() if calls.open or not calls.asked]
    if broken:
        short = f"Not all of it: {joined(broken)} {_is(broken)} refuted."
    elif open_:
        short = "Not settled: see what was not decided."
    else:
        short = "Yes: all of it, for every call."
    told = [
        f"{point} {prop}: refuted for {joined(found[prop].refuted)} "
        f"({joined(dict.fromkeys(_reason(facts, f'{prop}({call})') for call in found[prop].refuted))})."
        if found[prop].refuted
        else f"{point} {prop}: proved for {number(len(found[prop].proved), 'call')}."
        for point, prop in BLOCKED
        if found[prop].proved or found[prop].refuted
    ]
    told += _open(facts, *found)
    shown = [facts.evidence(prop, call) for prop in broken for call in found[prop].refuted[:1]]
    return Answer(short, tuple(told), tuple(shown) or (facts.evidence_of_all("never-unmapped"),))


QUESTIONS: tuple[Question, ...] = (
    Question(
        "Up-front or partial?",
        *_LIAM,
        "Which way shall the calls go: find every error before anything is changed, or stop half-way as they always did?",
        "do as much up-front as possible or keep with tradition",
        _direction,
        mail=True,
    ),
    Question(
        "Does every other function fail half-way?",
        *_LIAM,
        "mseal looks at its range before it changes anything; every other function finds errors in its loop.",
        'differs in behaviour in "up-front failure" vs "partial change failure"',
        _every_other,
    ),
    Question(
        "Does mprotect check in the loop that modifies?",
        *_LIAM,
        "do_mprotect_pkey() refuses VMA by VMA (map_deny_write_exec), while those before are modified.",
        "map_deny_write_exec() being checked in a loop during modifications",
        _in_the_loop,
    ),
    Question(
        "Some checks up front, some later: is something missed?",
        *_LIAM,
        "With checks in two places and no rule for it, one will be forgotten somewhere.",
        "will lead to a higher probability of things getting missed",
        _missed,
    ),
    Question(
        "Can ENOMEM come from both passes?",
        *_JANN,
        "mseal can fail with ENOMEM in the check for gaps, and in the loop where a VMA has to be split.",
        "I think ENOMEM can happen both in the up-front check",
        _both_passes,
        mail=True,
    ),
    Question(
        "Is the error of mseal of use to its caller?",
        *_JANN,
        "Whatever the error: the caller cannot tell what has been sealed, and can only exit or go on.",
        "will probably not get much actionable information from the return value",
        _actionable,
        mail=True,
    ),
    Question(
        "What do other systems do?",
        *_THEO,
        "Elsewhere a first pass finds every error, and only then is something changed.",
        "Other systems do two passes",
        _elsewhere,
        mail=True,
    ),
    Question(
        "Does success mean the whole range?",
        *_THEO,
        "Elsewhere, success means that all of the range was changed.",
        "it means the whole range has been changed",
        _whole_range,
    ),
    Question(
        "Can the m*() calls be repaired?",
        *_THEO,
        "A call that fails should have done nothing; for the sake of speed nobody will want to repair Linux.",
        "there will be little appetite to repair the m*() syscalls in Linux",
        _repair,
    ),
    Question(
        "Does an unchecked mprotect leave part of an object changed?",
        *_THEO,
        "Programs rarely look at what mprotect returns; if it fails half-way, part of an object is changed.",
        "very rarely checked, yet parts of objects will change",
        _unchecked,
        mail=True,
    ),
    Question(
        "Do immutable ranges make that likelier?",
        *_THEO,
        "With sealed ranges about, mprotect has one more reason to fail.",
        "it's an even more likely error condition now",
        _likelier,
    ),
    Question(
        "What does an attacker gain?",
        *_THEO,
        "Sloppy handling of a range is attack surface; no attack that uses it was found in a few days.",
        "circumstances where this might help an attack",
        _attacker,
        mail=True,
    ),
    Question(
        "Can the second pass of mseal fail?",
        *_JEFF,
        "The patch's own comment: after the first pass, the second fails only in rare cases (split, merge, map count).",
        "Second pass, this should success, unless there are errors",
        _rare,
    ),
    Question(
        "Is what the patch lists as blocked really blocked?",
        *_JEFF,
        "The commit message lists six kinds of operation that a seal blocks.",
        "mseal() blocks following operations for the given memory range",
        _blocked,
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
