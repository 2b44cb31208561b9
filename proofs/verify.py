# SPDX-License-Identifier: MIT
"""Certificates: made of the goals of editions, and held against their files and against the paths of the calls."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import z3
from pydantic import TypeAdapter

from checker.cores import CoreFinder, Facts, NoCore, Part, hash_of_text
from checker.paths import LostPaths, TooManyPaths
from checker.smtlib import NotWritable, Writer
from proofs.certificate import CallGoals, Certificate, Goal, LemmaGoals, TheoremGoals, used
from proofs.goals import call_goals, expected_of, goal_tasks, lemma_goals
from proofs.lemmas import LEMMAS, LEMMAS_BROKEN, Obligation, lemmas_of
from proofs.opinion import GoalStore, OnStep
from proofs.results import Frozen
from proofs.tasks import Task, carry_out_tasks, words_of_task
from proofs.theorems import Theorem, theorems
from spec.editions import EDITIONS

MANIFEST: Final = "manifest.json"
GOALS: Final = "goals"
"""The folder of the goals' texts in a certificate's."""
MOST_BYTES: Final = 1 << 26
"""Of one goal."""


def certificate_of(editions: Sequence[str], store: GoalStore) -> Certificate:
    """The certificate of what was found of these editions."""
    order = {name: i for i, name in enumerate(EDITIONS)}
    return Certificate(
        solver=f"z3 {z3.get_version_string()}",
        editions=sorted(editions, key=order.__getitem__),
        calls=sorted(store.calls, key=lambda entry: (order[entry.edition], entry.call)),
        lemmas=sorted(store.lemmas, key=lambda entry: (order[entry.edition], list(LEMMAS).index(entry.lemma))),
        goals=[store.goals[key].goal for key in sorted(store.goals)],
    )


# what is in the folder ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Contents:
    """What a certificate's folder holds, compared with what its manifest says."""

    texts: dict[str, bytes] = field(default_factory=dict)
    """The goals whose files are what their names say."""
    wrong: list[str] = field(default_factory=list)
    """What is missing or changed, a line each."""
    extra: list[str] = field(default_factory=list)
    """Files that belong to no goal of the manifest."""


def read_contents(folder: Path, certificate: Certificate, mark: str) -> Contents:
    """Read the goals of a certificate; no symbolic link is followed. Raises OSError if the folder cannot be read."""
    found = Contents()
    goals = folder / GOALS
    if goals.is_symlink():
        found.wrong.append(f"{GOALS}: a symbolic link, which is not followed")
        return found
    for goal in certificate.goals:
        name = f"{GOALS}/{goal.sha256}.smt2"
        text = _read(folder / name)
        if isinstance(text, str):
            found.wrong.append(f"{name}: {text}")
        elif hash_of_text(text.decode("utf-8", "surrogateescape")) != goal.sha256:
            found.wrong.append(f"{name}: it was changed, its hash is another")
        elif not is_goal(text.decode("utf-8", "replace")):
            found.wrong.append(f"{name}: it is no goal, and is given to no solver")
        else:
            found.texts[goal.sha256] = text
    known = {f"{goal.sha256}.smt2" for goal in certificate.goals}
    found.extra += [name for name in sorted(os.listdir(folder)) if name not in (MANIFEST, GOALS, mark)]
    if goals.is_dir():
        found.extra += [f"{GOALS}/{name}" for name in sorted(os.listdir(goals)) if name not in known]
    return found


def _read(path: Path) -> bytes | str:
    """The bytes of a regular file, or what is wrong with it."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        return "a symbolic link, which is not followed" if path.is_symlink() else (error.strerror or str(error))
    with open(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return "it is no file"
        text = file.read(MOST_BYTES + 1)
    return text if len(text) <= MOST_BYTES else f"it is larger than {MOST_BYTES} bytes"


_COMMAND: Final = re.compile(r"\((set-info|set-logic|declare-fun|define-fun|assert|check-sat)\b")


def is_goal(text: str) -> bool:
    """The text is a goal as `certify` writes it: on each line one command, of those that only ask a question. Solvers
    know others, which write files."""
    lines = text.splitlines()
    asked = [line for line in lines if line == "(check-sat)"]
    return len(asked) == 1 and lines[-1] == asked[0] and all(_is_one_command(line) for line in lines)


def _is_one_command(line: str) -> bool:
    bare = re.sub(r"\|[^|\\]*\|", "", line)
    if not _COMMAND.match(bare) or not bare.isascii() or set(bare) & set('|";\\'):
        return False
    depth = 0
    for i, letter in enumerate(bare):
        depth += (letter == "(") - (letter == ")")
        if depth <= 0:
            return depth == 0 and i == len(bare) - 1
    return False


# what the manifest leaves out -----------------------------------------------------------------------------------------


def left_out(certificate: Certificate) -> list[str]:
    """What a certificate of these editions should say and does not, a line each."""
    wrong = [f"{name}: there is no such edition" for name in certificate.editions if name not in EDITIONS]
    goals = Counter(goal.sha256 for goal in certificate.goals)
    wrong += [f"goal {key} is listed {number} times" for key, number in goals.items() if number > 1]
    entries: list[CallGoals | LemmaGoals] = [*certificate.calls, *certificate.lemmas]
    needed = {key for entry in entries for key in used(entry)}
    wrong += [f"goal {key} is needed and not listed" for key in sorted(needed - goals.keys())]
    wrong += [f"goal {key} is listed and not needed" for key in sorted(goals.keys() - needed)]
    for name in (name for name in certificate.editions if name in EDITIONS):
        wrong += _left_out_of(certificate, name)
    foreign = {entry.edition for entry in entries} - set(certificate.editions)
    return wrong + [f"{name}: it has entries, and is not among the editions" for name in sorted(foreign)]


def _left_out_of(certificate: Certificate, edition: str) -> Iterator[str]:
    claims: dict[tuple[str, str], list[TheoremGoals]] = {}
    for call in (call for call in certificate.calls if call.edition == edition):
        for claim in call.theorems:
            same = claim.call == call.call
            claims.setdefault((claim.property, call.call if same else f"{call.call}/{claim.call}"), []).append(claim)
    for theorem in theorems(EDITIONS[edition]):
        claimed = claims.pop((theorem.property.name, theorem.call), [])
        if len(claimed) != 1:
            yield f"{edition}: {theorem.name} is {'left out' if not claimed else 'there more than once'}"
        elif claimed[0].verdict != ("open" if theorem.broken else "proved"):
            yield f"{edition}: {theorem.name} is {claimed[0].verdict} {claimed[0].why}".rstrip()
    for property_name, call_name in claims:
        yield f"{edition}: there is no theorem {property_name}({call_name})"
    lemmas = Counter(lemma.lemma for lemma in certificate.lemmas if lemma.edition == edition)
    yield from (f"{edition}: lemma {name} is left out" for name in lemmas_of(EDITIONS[edition]) if not lemmas[name])
    yield from (f"{edition}: lemma {name} is there more than once" for name, number in lemmas.items() if number > 1)
    for lemma in (lemma for lemma in certificate.lemmas if lemma.edition == edition):
        if lemma.lemma not in LEMMAS:
            yield f"{edition}: there is no lemma {lemma.lemma}"
        elif lemma.verdict != ("open" if (lemma.lemma, edition) in LEMMAS_BROKEN else "proved"):
            yield f"{edition}: lemma {lemma.lemma} is {lemma.verdict} {lemma.why}".rstrip()


# the manifest against the paths ---------------------------------------------------------------------------------------


class Rechecked(Frozen):
    """What came of one call or lemma, made again from the specification."""

    edition: str
    name: str
    goals: int
    wrong: list[str]


@dataclass(slots=True)
class Told:
    """Takes goals from a certificate, and checks that each consists of facts of its path and of the negation of what is
    to hold there. Nothing is searched for."""

    entry: CallGoals | LemmaGoals
    goals: Mapping[str, Goal]
    finder: CoreFinder = field(default_factory=lambda: CoreFinder(Writer(), 1))
    texts: set[str] = field(default_factory=set)
    """Goals whose text is known to be what its facts are."""

    def contradiction(self, path: int, facts: Facts) -> str:
        claimed = self.entry.contradictions.get(str(path), "") if isinstance(self.entry, CallGoals) else ""
        return self.consists(claimed, [*facts.steps[-1].values()]) if claimed else ""

    def goal(self, theorem: Theorem, path: int, facts: Facts, negated: Sequence[Part]) -> str:
        assert isinstance(self.entry, CallGoals)
        accounts = next(t.accounts for t in self.entry.theorems if t.property == theorem.property.name)
        if path >= len(accounts):
            raise NoCore("the certificate has no such path")
        return self.consists(accounts[path], [*facts.steps[-1].values(), *negated])

    def branch(self, number: int, facts: Sequence[Part]) -> str:
        if number >= len(self.entry.branches):
            raise NoCore(f"branch {number} that was not explored has no goal")
        return self.consists(self.entry.branches[number], facts)

    def obligation(self, number: int, obligation: Obligation, parts: Sequence[Part]) -> str:
        assert isinstance(self.entry, LemmaGoals)
        if number >= len(self.entry.obligations):
            raise NoCore(f"the obligation {obligation.name} has no goal")
        claimed = self.entry.obligations[number].goal
        if obligation.consistent and len(self.goals[claimed].parts) < len({part.key for part in parts}):
            raise NoCore(f"{obligation.name}: what must be satisfiable is only a part of it")
        return self.consists(claimed, parts, expected_of(obligation))

    def consists(self, claimed: str, parts: Sequence[Part], expected: str = "unsat") -> str:
        """The goal, which consists of some of these parts. Raises NoCore if it does not."""
        goal = self.goals.get(claimed)
        if goal is None:
            raise NoCore(f"{claimed[:80]} is no goal of the certificate")
        if goal.expected != expected:
            raise NoCore(f"goal {claimed} is expected to be {goal.expected}")
        by_key = {part.key.hex(): part for part in parts}
        if not by_key.keys() >= set(goal.parts):
            raise NoCore(f"goal {claimed} has a fact that is not one here")
        if claimed not in self.texts:
            text = self.finder.writer.text((by_key[key].term for key in goal.parts), satisfiable=expected == "sat")
            if hash_of_text(text) != claimed:
                raise NoCore(f"goal {claimed} does not say what its facts say")
            self.texts.add(claimed)
        return claimed


def recheck(
    entries: Mapping[tuple[str, str], CallGoals | LemmaGoals], goals: Mapping[str, Goal], task: Task
) -> Iterator[Rechecked]:
    """One call or lemma of a certificate, held against the paths that exploring it again finds."""
    edition = EDITIONS[task.edition]
    entry = entries.get((task.kind, task.name))
    if entry is None:
        yield Rechecked(edition=task.edition, name=task.name, goals=0, wrong=[f"{words_of_task(task)}: left out"])
        return
    told, wrong = Told(entry, goals), list[str]()
    made: CallGoals | LemmaGoals | None = None
    try:
        if isinstance(entry, LemmaGoals):
            made = lemma_goals(LEMMAS[task.name], edition, told) if entry.verdict == "proved" else entry
        else:
            claimed = {theorem.property for theorem in entry.theorems if theorem.verdict == "proved"}
            chosen = theorems(edition, calls=[task.name])
            made = call_goals(
                task.name, edition, chosen, told, lambda explored: lambda theorem: theorem.property.name in claimed
            )
    except (NoCore, NotWritable, TooManyPaths, LostPaths, KeyError) as failed:
        wrong.append(f"{words_of_task(task)}: {failed}")
    if made is not None:
        wrong += [f"{words_of_task(task)}: {text}" for text in _differences(entry, made)]
    yield Rechecked(edition=task.edition, name=task.name, goals=len(used(entry)), wrong=wrong)


def _differences(said: CallGoals | LemmaGoals, made: CallGoals | LemmaGoals) -> Iterator[str]:
    """Where a certificate does not say what its paths do."""
    if isinstance(said, LemmaGoals) and isinstance(made, LemmaGoals):
        if said.obligations != made.obligations:
            yield f"{len(made.obligations)} obligations, and {len(said.obligations)} in the certificate, or others"
    elif isinstance(said, CallGoals) and isinstance(made, CallGoals):
        if said.endings != made.endings:
            yield f"{len(made.endings)} paths, and {len(said.endings)} in the certificate, or others"
        if said.contradictions != made.contradictions:
            yield "a path that is said to contradict itself is none"
        by_name = {theorem.property: theorem for theorem in made.theorems}
        for theorem in said.theorems:
            again = by_name.get(theorem.property)
            if again is None or theorem.accounts != again.accounts or theorem.verdict != again.verdict:
                why = "there is no such theorem" if again is None else again.why or "a path has another account"
                yield f"{theorem.property}: {why}"
    if said.branches != made.branches:
        yield f"{len(made.branches)} branches were not explored, and {len(said.branches)} in the certificate"


def lost(task: Task, found: Sequence[Rechecked], why: str) -> Iterator[Rechecked]:
    """What a task still owed when its process was lost."""
    if not found:
        yield Rechecked(edition=task.edition, name=task.name, goals=0, wrong=[f"{words_of_task(task)}: {why}"])


def recheck_all(certificate: Certificate, jobs: int, on_step: OnStep) -> list[str]:
    """Hold a certificate against the paths that exploring its editions again finds: what is wrong, a line each."""
    goals = {goal.sha256: goal for goal in certificate.goals}
    results: TypeAdapter[list[Rechecked]] = TypeAdapter(list[Rechecked])
    wrong: list[str] = []
    done, editions = 0, [name for name in certificate.editions if name in EDITIONS]
    tasks = {name: goal_tasks(name, 0) for name in editions}
    total = sum(map(len, tasks.values()))
    for name in editions:
        entries: dict[tuple[str, str], CallGoals | LemmaGoals] = {
            ("goals", call.call): call for call in certificate.calls if call.edition == name
        }
        entries |= {("lemma goals", lemma.lemma): lemma for lemma in certificate.lemmas if lemma.edition == name}
        needed = {key for entry in entries.values() for key in used(entry)}
        work = partial(recheck, entries, {key: goals[key] for key in needed & goals.keys()})
        for task, result, _ in carry_out_tasks(tasks[name], work, results, lambda found: True, lost, jobs=jobs):
            done += 1
            wrong += result.wrong
            on_step("recomputed", words_of_task(task), not result.wrong, done, total)
    return wrong
