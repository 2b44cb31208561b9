# SPDX-License-Identifier: MIT
"""What this repository answers to each question of the review thread (reports.thread), as functions of a review."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from reports.explain import CHANGING, UP_FRONT
from reports.findings import TOPICS, cause, topic_of
from reports.plain import joined, number, sentence
from reports.strip_words import map_count
from reports.thread_facts import ORDINARY, Calls, Evidence, Facts

MIMMUTABLE: Final = "mimmutable"
"""The edition that is OpenBSD's."""
PROPOSAL: Final = "two-pass"
"""The edition that this project proposes."""
UNSETTLED: Final = "Not settled"
"""How the answer to a question begins that the review does not answer."""
SEAL_PROMISES: Final = ("never-unmapped", "never-reprotected", "never-replaced", "never-unsealed")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about a question."""

    short: str
    """The answer in one line."""
    sentences: tuple[str, ...]
    evidence: tuple[Evidence, ...]

    @property
    def settled(self) -> bool:
        """The review has what it takes to answer."""
        return not self.short.startswith(UNSETTLED)


def _open(facts: Facts, *properties: str) -> tuple[str, ...]:
    """A sentence for what was not decided, if anything."""
    missing = [
        f"{prop} of {joined(calls.open)}" if calls.asked else prop
        for prop, calls in ((prop, facts.calls(prop)) for prop in properties)
        if calls.open or not calls.asked
    ]
    return (f"Not decided here: {joined(missing)}.",) if missing else ()


def direction(facts: Facts) -> Answer:
    """Are errors found before anything is changed?"""
    seal, any_error = facts.calls("eperm-changes-nothing"), facts.calls("failure-changes-nothing")
    if not seal.asked or not any_error.asked or seal.open or any_error.open:
        short = f"{UNSETTLED}: see what was not decided."
    elif list(seal.refuted) == ["mmap"]:
        short = "Both: up-front where a seal is the reason (EPERM), though mmap may have taken a key; else partial."
    elif seal.refuted:
        short = "Partial. Even a call that is refused because of a seal may have changed something."
    elif any_error.refuted:
        short = "Both: up-front where a seal is the reason (EPERM), partial for other errors."
    else:
        short = "Up-front: a call that fails has changed nothing."
    told = []
    if seal.proved:
        told.append(
            f"Refused because of a seal, {joined(seal.proved)} {_have(seal.proved)} changed nothing at all: no page, "
            "no VMA boundary, no count."
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


def every_other(facts: Facts) -> Answer:
    """Which of the other calls fail with a page changed?"""
    found = facts.calls("failure-changes-no-page", ORDINARY)
    if not found.asked or found.open:
        short = f"{UNSETTLED}: see what was not decided."
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


def in_the_loop(facts: Facts) -> Answer:
    """Which checks does mprotect make in its loop?"""
    explanation = facts.edition.explanation("mprotect")
    checks = explanation.checks if explanation is not None else ()
    late = [c for c in checks if c.stage == CHANGING and c.errno != "OK"]
    early = [c for c in checks if c.stage == UP_FRONT and c.errno != "OK"]
    if not checks:
        short = f"{UNSETTLED}: the checks of mprotect are not in this report."
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


def missed(facts: Facts) -> Answer:
    """Is anything missed that a seal promises?"""
    mixed = []
    for explanation in facts.edition.explanations:
        stages = {c.stage for c in explanation.checks if c.errno != "OK"}
        if UP_FRONT in stages and len(stages - {UP_FRONT, "arguments"}) > 0:
            mixed.append(explanation.call)
    misses = facts.misses(ORDINARY)
    dropped = facts.edition.mutants
    noticed = [m for m in dropped if m.killed_by]
    promises = [theorem for theorem in facts.edition.theorems if topic_of(theorem.property) is TOPICS[0]]
    short = "Nothing was found to be missed: no theorem of what a seal promises is refuted."
    if not promises or any(theorem.verdict not in ("proved", "refuted") for theorem in promises):
        short = f"{UNSETTLED}: not every theorem of what a seal promises is decided."
    if misses:
        short = f"It has: {number(len(misses), 'promise')} of sealing {_is(misses)} broken."
    told = [f"Checks both up front and later: {joined(mixed) or 'no call'}."]
    told += [f"{finding}: {_reason(facts, finding)}." for finding in misses]
    if dropped:
        told.append(
            f"Each check was dropped in turn: {number(len(noticed), 'drop')} of {len(dropped)} broke a theorem or a "
            "lemma, so that check cannot get lost unseen."
        )
    shown = [facts.evidence(*_split(finding)) for finding in misses[:3]]
    if dropped:
        prove = f"sealspec prove --edition {facts.edition.name}"
        shown.append(Evidence("checks dropped", f"{len(noticed)} of {len(dropped)} noticed", prove))
    return Answer(short, tuple(told), tuple(shown))


def _is(names: Sequence[object]) -> str:
    return "is" if len(names) == 1 else "are"


def _split(name: str) -> tuple[str, str]:
    prop, _, call = name.rstrip(")").partition("(")
    return prop, call


def _reason(facts: Facts, name: str) -> str:
    theorem = facts.theorem(*_split(name))
    return cause(theorem.reason) if theorem is not None and theorem.reason else "nobody expected it"


def both_passes(facts: Facts) -> Answer:
    """Does ENOMEM of mseal come from both passes?"""
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
        short = f"{UNSETTLED}: no case of ENOMEM from mseal is in this report."
    shown = [facts.evidence(p, "mseal") for p in ("enomem-only-as-documented", "enomem-as-documented")]
    return Answer(short, tuple(told), (*shown, facts.evidence("gap-seals-nothing", "mseal")))


def actionable(facts: Facts) -> Answer:
    """Does the errno of mseal say what was sealed?"""
    vague: list[str] = []
    clear: list[str] = []
    unknown: list[str] = []
    for cell in facts.cells("mseal"):
        changes = {check.changes for check in cell.checks}
        if cell.verdict == "unknown":
            unknown.append(cell.errno)
        else:
            (vague if len(changes) > 1 else clear).append(cell.errno)
    if not vague and not clear:
        short = f"{UNSETTLED}: the matrix is not in this report."
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


def elsewhere(facts: Facts) -> Answer:
    """What does OpenBSD do?"""
    there = facts.of(MIMMUTABLE)
    if there is None:
        short = f"{UNSETTLED}: the edition {MIMMUTABLE} is not in this report."
        return Answer(short, (), (_of_other(MIMMUTABLE),))
    found = there.calls("failure-changes-nothing")
    if found.open or not found.asked:
        short = f"{UNSETTLED}: see what was not decided."
    elif found.refuted:
        short = f"Not all of it: on OpenBSD too, {joined(found.refuted)} may fail partially."
    else:
        short = "So it is for OpenBSD, as modelled: a call that fails has changed nothing."
    told = [f"Modelled from: {there.edition.kernel}. {sentence(there.edition.standing)}"]
    if found.proved:
        told.append(f"There, whatever the error, {joined(found.proved)} {_have(found.proved)} changed nothing.")
    told += _open(there, "failure-changes-nothing")
    here = facts.calls("failure-changes-nothing", (*found.proved, *found.refuted))
    told += [f"In {facts.edition.name}, {joined(here.refuted)} may."] if here.refuted and not found.refuted else []
    told.append("Of other systems nothing is modelled here.")
    return Answer(short, tuple(told), (there.evidence_of_all("failure-changes-nothing"),))


def _of_other(edition: str) -> Evidence:
    return Evidence("failure-changes-nothing", "not decided here", f"sealspec prove --edition {edition}")


def whole_range(facts: Facts) -> Answer:
    """Has a call that succeeds done all of it?"""
    found = facts.calls("success-does-what-it-says")
    if found.open or not found.asked:
        short = f"{UNSETTLED}: see what was not decided."
    elif found.refuted:
        short = f"Not always: {joined(found.refuted)} may succeed without it."
    else:
        short = "Yes, here too: a call that succeeds has done it to the whole range, and to nothing else."
    told = _open(facts, "success-does-what-it-says")
    return Answer(short, told, (facts.evidence_of_all("success-does-what-it-says"),))


def repair(facts: Facts) -> Answer:
    """Which calls does a first pass for everything repair?"""
    now, then = facts.calls("failure-changes-nothing"), facts.of(PROPOSAL)
    if then is None:
        short = f"{UNSETTLED}: the edition {PROPOSAL} is not in this report."
        return Answer(short, (), (_of_other(PROPOSAL),))
    after = then.calls("failure-changes-nothing")
    mended = [call for call in now.refuted if call in after.proved]
    left = [call for call in now.refuted if call in after.refuted]
    if after.open or not after.asked or not now.asked:
        short = f"{UNSETTLED}: see what was not decided."
    elif not now.refuted:
        short = "Nothing is to be repaired: no call fails partially."
    elif mended and not left:
        short = "They can be repaired, all of them: by a first pass that decides all that can fail."
    elif mended:
        short = f"By a first pass that decides all that can fail, all but {joined(left)}."
    else:
        short = "A first pass alone repairs none of them."
    told = [f"Repaired so: {joined(mended)}."] if mended else []
    told += [f"Still partially: {joined(left)}."] if left else []
    told += _open(then, "failure-changes-nothing")
    told.append("What the first pass costs is not measured here.")
    return Answer(short, tuple(told), (then.evidence_of_all("failure-changes-nothing"),))


def unchecked(facts: Facts) -> Answer:
    """What has an mprotect changed that failed, and that nobody checked?"""
    verdict = facts.verdict("failure-changes-no-page", "mprotect")
    short = {
        "refuted": "Yes: a failed mprotect can leave one part of its range changed and the rest not.",
        "proved": "No: a failed mprotect changes no page.",
    }.get(verdict, f"{UNSETTLED}: {verdict}.")
    told = [f"{c.errno}{_cause(c.cause)}: {c.sentence}." for c in facts.cells("mprotect") if c.verdict == "partial"]
    whole = [c.errno + _cause(c.cause) for c in facts.cells("mprotect") if c.verdict == "atomic"]
    told += [f"Nothing at all is changed with {joined(whole)}."] if whole else []
    # refused for the rights of a VMA, it has changed another one: two parts of an object, as the question has it
    shown = facts.cell("mprotect", "EACCES")
    rest = (facts.evidence("failure-changes-no-page", "mprotect"), facts.matrix("mprotect"))
    return Answer(short, tuple(told), rest if shown is None else (shown, *rest))


def _cause(name: str) -> str:
    return {"seal": " because of a seal", "other": " for another reason"}.get(name, "")


def likelier(facts: Facts) -> Answer:
    """Do seals add ways to fail partially?"""
    found = facts.calls("eperm-changes-nothing", ORDINARY)
    if found.open or not found.asked:
        short = f"{UNSETTLED}: see what was not decided."
    elif found.refuted:
        short = f"Yes: a seal adds a way to fail partially to {joined(found.refuted)}."
    else:
        short = "A seal adds an error, but no new way to fail partially: with that error nothing is changed."
    told = [
        f"{call}: {cell.sentence}."
        for call in found.refuted
        for cell in facts.cells(call)
        if (cell.errno, cell.cause, cell.verdict) == ("EPERM", "seal", "partial")
    ]
    told += _open(facts, "eperm-changes-nothing")
    shown = [facts.evidence("eperm-changes-nothing", call) for call in found.refuted[:2]]
    return Answer(short, tuple(told), (facts.evidence_of_all("eperm-changes-nothing", ORDINARY), *shown))


def attacker(facts: Facts) -> Answer:
    """What does a seal not protect from?"""
    safe: dict[str, Calls] = {prop: facts.calls(prop) for prop in SEAL_PROMISES}
    broken = [prop for prop, calls in safe.items() if calls.refuted]
    open_ = [prop for prop, calls in safe.items() if calls.open or not calls.asked]
    misses = facts.misses()
    if broken:
        short = f"Sealed memory itself: {joined(broken)} {_is(broken)} refuted."
    elif open_:
        short = f"{UNSETTLED}: see what was not decided."
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


def rare(facts: Facts) -> Answer:
    """How can the second pass of mseal fail?"""
    explanation = facts.edition.explanation("mseal")
    late = [c for c in (explanation.checks if explanation else ()) if c.stage == CHANGING and c.errno != "OK"]
    half = facts.verdict("failed-mseal-seals-nothing", "mseal")
    if half == "refuted":
        short = f"It can fail, by {number(len(late), 'check')}, and then leave a part sealed."
    elif half == "proved":
        short = "A failed mseal seals nothing."
    else:
        short = f"{UNSETTLED}: {half}."
    told = [f"It fails where: {_bare(c.check)} ({c.errno})." for c in late]
    if facts.verdict("partial-seal-stops-at-an-end", "mseal") == "proved":
        told.append(
            "Only the VMA at the end of the range can stop a pass that has sealed something (partial-seal-stops-at-an-"
            "end: proved)."
        )
    shown = [facts.evidence(p, "mseal") for p in ("failed-mseal-seals-nothing", "partial-seal-stops-at-an-end")]
    case = shown[0].case
    if case is not None:
        size, at = case.document.size, map_count(case.document.before)
        told.append(f"The smallest case has {number(size.vmas, 'VMA')}, {at}. How rare that is, is not known here.")
    return Answer(short, tuple(told), tuple(shown))


BLOCKED: tuple[tuple[str, str], ...] = (
    ("1>, 2>, 3>", "never-unmapped"),
    ("1>, 2>, 3>", "never-replaced"),
    ("4>", "never-grown"),
    ("5>", "never-reprotected"),
    ("6>", "never-discarded"),
)
"""The operations that the commit message lists as blocked, and the property that says so."""


def blocked(facts: Facts) -> Answer:
    """Is each operation of the commit message blocked?"""
    found = {prop: facts.calls(prop) for _, prop in BLOCKED}
    broken = [prop for prop, calls in found.items() if calls.refuted]
    open_ = [prop for prop, calls in found.items() if calls.open or not calls.asked]
    if broken:
        short = f"Not all of it: {joined(broken)} {_is(broken)} refuted."
    elif open_:
        short = f"{UNSETTLED}: see what was not decided."
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
