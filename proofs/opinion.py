# SPDX-License-Identifier: MIT
"""The second opinion on a run: another solver decides every goal that its verdicts rest on."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from checker.temporary import temporary_folder
from proofs.certificate import CallGoals, GoalText, LemmaGoals, used
from proofs.goals import Found, carry_out, goal_tasks, lost
from proofs.results import Doubt, LemmaResult, ProofReport, SecondOpinion, TheoremResult
from proofs.second import Answer, Solver, decide
from proofs.tasks import carry_out_tasks, words_of_task

FOUND: Final[TypeAdapter[list[Found]]] = TypeAdapter(list[Found])
CLAIMED: Final = ("proved", "vacuous")
"""Verdicts that say that nothing breaks a property."""

OnStep = Callable[[str, str, bool, int, int], None]
"""Progress: of what (`goals` found, `second` opinions given), which one, whether it is as expected, how many of how
many."""


@dataclass(slots=True)
class GoalStore:
    """The goals of a run: which they are, and their texts in a folder."""

    folder: Path
    calls: list[CallGoals] = field(default_factory=list)
    lemmas: list[LemmaGoals] = field(default_factory=list)
    goals: dict[str, GoalText] = field(default_factory=dict)
    """By hash; less their texts, which are files."""

    def path(self, goal: str) -> Path:
        """The file of a goal."""
        return self.folder / f"{goal}.smt2"

    def keep(self, goals: Iterable[str]) -> None:
        """Move the files of these goals to a folder that stays, if there are any."""
        chosen = sorted(goals)
        if chosen:
            folder = Path(tempfile.mkdtemp(prefix="sealspec-goals-"))
            for goal in chosen:
                shutil.move(self.path(goal), folder)
            self.folder = folder

    @property
    def count(self) -> int:
        """How many goals the theorems and lemmas rest on, path for path."""
        return sum(len(used(call)) for call in self.calls) + sum(len(used(lemma)) for lemma in self.lemmas)

    def collect(
        self,
        edition: str,
        timeout_ms: int,
        jobs: int,
        on_step: OnStep,
        *,
        properties: list[str] | None = None,
        calls: list[str] | None = None,
        lemmas: bool = True,
    ) -> None:
        """Find the goals of an edition, or of what was chosen. Raises OSError if their texts cannot be written."""
        tasks = goal_tasks(edition, timeout_ms, properties=properties, calls=calls, lemmas=lemmas)
        done = 0
        for task, result, _ in carry_out_tasks(tasks, carry_out, FOUND, lambda found: True, lost, jobs=jobs):
            if isinstance(result, GoalText):
                if result.goal.sha256 not in self.goals:
                    self.path(result.goal.sha256).write_text(result.text, encoding="utf-8")
                    self.goals[result.goal.sha256] = GoalText(goal=result.goal, text="")
                continue
            done += 1
            if isinstance(result, LemmaGoals):
                self.lemmas.append(result)
                verdicts: set[str] = {result.verdict}
            else:
                self.calls.append(result)
                verdicts = {theorem.verdict for theorem in result.theorems}
            on_step("goals", words_of_task(task), "error" not in verdicts, done, len(tasks))

    def ask(self, solver: Solver, timeout_ms: int, jobs: int, on_step: OnStep) -> dict[str, Answer]:
        """What the solver says of each goal."""
        answers: dict[str, Answer] = {}
        files = ((goal, self.path(goal)) for goal in sorted(self.goals))
        for goal, answer in decide(solver, files, timeout_ms / 1000, jobs):
            answers[goal] = answer
            expected = answer.said == self.goals[goal].goal.expected
            on_step("second", f"{goal[:12]}: {answer.said}", expected, len(answers), len(self.goals))
        return answers

    def resting_on(self) -> dict[str, list[str]]:
        """Theorems and lemmas by the goals that they rest on."""
        found: dict[str, list[str]] = {}
        for call in self.calls:
            shared = [*call.contradictions.values(), *call.branches]
            for theorem in call.theorems:
                if theorem.verdict == "proved":
                    for goal in {*theorem.accounts, *shared} & self.goals.keys():
                        found.setdefault(goal, []).append(theorem.name)
        for lemma in self.lemmas:
            for goal in set(used(lemma)):
                found.setdefault(goal, []).append(f"lemma {lemma.lemma}")
        return found


def second_opinion(
    report: ProofReport,
    solver: Solver,
    *,
    properties: list[str] | None,
    calls: list[str] | None,
    lemmas: bool,
    timeout_ms: int,
    jobs: int,
    on_step: OnStep = lambda *step: None,
) -> ProofReport:
    """The report with what the solver says of every goal. A theorem that was proved, and of which some path has no
    goal or a goal that the solver does not confirm by its answer, is an `error`; where it has no answer, the report
    says so. On Ctrl-C the report is not complete. Raises OSError if no files can be written."""
    begun = time.perf_counter()
    answers: dict[str, Answer] = {}
    complete = True
    with temporary_folder() as folder:
        store = GoalStore(folder)
        try:
            store.collect(report.edition, timeout_ms, jobs, on_step, properties=properties, calls=calls, lemmas=lemmas)
            answers = store.ask(solver, timeout_ms, jobs, on_step)
        except KeyboardInterrupt:
            complete = False
        if complete:
            store.keep(goal for goal, said in answers.items() if said.said != store.goals[goal].goal.expected)
        doubts = _doubts(store, answers) if complete else []
    opinion = SecondOpinion(
        solver=f"{solver.name} ({solver.version})",
        goals=store.count,
        texts=len(store.goals),
        agreed=sum(said.said == store.goals[goal].goal.expected for goal, said in answers.items()),
        doubts=doubts,
        seconds=round(time.perf_counter() - begun, 3),
    )
    broken = _errors(store, doubts) if complete else {}
    return report.model_copy(
        update={
            "second": opinion,
            "complete": report.complete and complete,
            "theorems": [_judged(theorem, broken, store, complete) for theorem in report.theorems],
            "lemmas": [_judged_lemma(lemma, broken, store, complete) for lemma in report.lemmas],
            "seconds": round(report.seconds + opinion.seconds, 3),
        }
    )


def _doubts(store: GoalStore, answers: Mapping[str, Answer]) -> list[Doubt]:
    resting = store.resting_on()
    return [
        Doubt(goal=goal, said=answer.said, why=answer.why, file=str(store.path(goal)), of=resting.get(goal, []))
        for goal, answer in sorted(answers.items())
        if answer.said != store.goals[goal].goal.expected
    ]


def _errors(store: GoalStore, doubts: list[Doubt]) -> dict[str, str]:
    """What is an error, by its name, and why: the solvers contradict each other, or a path has no goal."""
    found = {t.name: t.why for call in store.calls for t in call.theorems if t.verdict == "error"}
    found |= {f"lemma {lemma.lemma}": lemma.why for lemma in store.lemmas if lemma.verdict == "error"}
    for doubt in doubts:
        if doubt.said != "unknown":
            found |= dict.fromkeys(doubt.of, f"the second solver says {doubt.said}: {doubt.file}")
    return found


def _judged(result: TheoremResult, broken: Mapping[str, str], store: GoalStore, complete: bool) -> TheoremResult:
    if result.verdict not in CLAIMED or not complete:
        return result
    name = f"{result.property}({result.call})"
    why = broken.get(name, "")
    theorems = [t for call in store.calls for t in call.theorems if t.name == name]
    if not why and not any(t.verdict == "proved" for t in theorems):
        why = "it was found proved, and when its goals were looked for it was not"
    return result.model_copy(update={"verdict": "error", "as_expected": False, "why": why}) if why else result


def _judged_lemma(result: LemmaResult, broken: Mapping[str, str], store: GoalStore, complete: bool) -> LemmaResult:
    if result.verdict != "proved" or not complete:
        return result
    why = broken.get(f"lemma {result.name}", "")
    if not why and not any(lemma.lemma == result.name and lemma.verdict == "proved" for lemma in store.lemmas):
        why = "it was found proved, and when its goals were looked for it was not"
    return result.model_copy(update={"verdict": "error", "as_expected": False, "why": why}) if why else result
