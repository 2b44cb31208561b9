# SPDX-License-Identifier: MIT
"""The goals that a `proved` rests on: of each theorem on each path, of each lemma, and of what was not explored.

They are found anew, by another way than the verdicts: one goal at a time, with the facts cut into parts, of which only
those stay that the solver needs. A theorem has a goal, or the reason why it needs none, for every path that was
explored; otherwise it is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from checker.calls import ExploredCall, explore_arguments, explore_body
from checker.cores import Core, CoreFinder, Cutter, Facts, NoCore, Part, PathFacts, answer_to
from checker.paths import LostPaths, Pruned, TooManyPaths, recording_pruned
from checker.prove import Prover
from checker.smtlib import NotWritable, Writer
from checker.sources import Source
from proofs.certificate import CallGoals, Expected, Goal, GoalText, LemmaGoals, ObligationGoal, TheoremGoals
from proofs.lemmas import LEMMAS, LEMMAS_BROKEN, Lemma, Obligation, lemmas_of
from proofs.tasks import Task
from proofs.theorems import Theorem, theorems
from spec.editions import EDITIONS, Edition
from spec.errors import Errno

WITHOUT_BODY: Final = "mseal32"
"""The call that its argument stage always ends."""


class Chooser(Protocol):
    """Says which facts contradict one another: it finds them, or it was told."""

    @property
    def finder(self) -> CoreFinder:
        """What finds cores, and knows terms by their hashes."""
        ...

    def contradiction(self, path: int, facts: Facts) -> str:
        """The goal that says that nothing takes the path; empty if something may."""
        ...

    def goal(self, theorem: Theorem, path: int, facts: Facts, negated: Sequence[Part]) -> str:
        """The goal that says that nothing breaks the property on the path. Raises NoCore."""
        ...

    def branch(self, number: int, facts: Sequence[Part]) -> str:
        """The goal that says that nothing takes a branch that was not explored. Raises NoCore."""
        ...

    def obligation(self, number: int, obligation: Obligation, parts: Sequence[Part]) -> str:
        """The goal that is an obligation of a lemma. Raises NoCore."""
        ...


@dataclass(slots=True)
class Finder:
    """Finds goals, and keeps their texts."""

    timeout_ms: int
    writer: Writer = field(default_factory=Writer)
    texts: dict[str, GoalText] = field(default_factory=dict)
    """By hash; those that were not yet taken."""
    cores: dict[tuple[str, int], Core] = field(default_factory=dict)
    """What each property needed on each path; `` for what contradicts itself."""
    known: set[str] = field(default_factory=set)
    _finder: CoreFinder | None = None

    @property
    def finder(self) -> CoreFinder:
        """Finds the cores of one call or lemma."""
        if self._finder is None:
            self._finder = CoreFinder(self.writer, self.timeout_ms)
        return self._finder

    def contradiction(self, path: int, facts: Facts) -> str:
        try:
            core = facts.core([], quickly=True)
        except NoCore:
            return ""
        self.cores["", path] = core
        return self._kept(core)

    def goal(self, theorem: Theorem, path: int, facts: Facts, negated: Sequence[Part]) -> str:
        core = facts.core(negated)
        self.cores[theorem.property.name, path] = core
        return self._kept(core)

    def branch(self, number: int, facts: Sequence[Part]) -> str:
        core = self.finder.find(facts, [])
        self.cores["", -1 - number] = core
        return self._kept(core)

    def obligation(self, number: int, obligation: Obligation, parts: Sequence[Part]) -> str:
        if not obligation.consistent and not obligation.as_integers:
            return self._kept(self.finder.find(parts, []))
        text = self.writer.text((part.term for part in parts), satisfiable=obligation.consistent)
        answer = answer_to(text, self.timeout_ms)
        if answer != expected_of(obligation):
            raise NoCore(f"it is {answer} when it is decided again")
        return self._kept(Core(tuple(parts), text), expected_of(obligation))

    def _kept(self, core: Core, expected: Expected = "unsat") -> str:
        key = core.sha256
        if key not in self.known:
            self.known.add(key)
            parts = sorted({part.key.hex() for part in core.parts})
            self.texts[key] = GoalText(goal=Goal(sha256=key, expected=expected, parts=parts), text=core.text)
        return key

    def take(self) -> list[GoalText]:
        """The texts that were found since the last time."""
        found = list(self.texts.values())
        self.texts.clear()
        return found


def expected_of(obligation: Obligation) -> Expected:
    """The answer that discharges an obligation."""
    return "sat" if obligation.consistent else "unsat"


# what a call rests on -------------------------------------------------------------------------------------------------


def call_goals(
    call: str,
    edition: Edition,
    chosen: Sequence[Theorem],
    chooser: Chooser,
    is_claimed: Callable[[ExploredCall], Callable[[Theorem], bool]],
) -> CallGoals:
    """What the chosen theorems of a call rest on. `is_claimed` says which of them are proved, once the call was
    explored. Raises TooManyPaths, LostPaths, NoCore (for a branch that was not explored) and NotWritable."""
    if call == WITHOUT_BODY:
        return _in_the_argument_stage(call, edition, chosen)
    with recording_pruned() as pruned:
        explored = explore_body(call, edition)
    claimed = is_claimed(explored)
    cutter = PathFacts(explored, chooser.finder.writer)
    accounts: dict[str, dict[int, str]] = {theorem.property.name: {} for theorem in chosen if claimed(theorem)}
    whys: dict[str, str] = {}
    contradictions: dict[str, str] = {}
    for path in explored.paths:
        negated = {
            theorem.property.name: cutter.negated(path, theorem.property) for theorem in chosen if claimed(theorem)
        }
        plain, more = cutter.of(path)
        if unvouched := cutter.unvouched(path, [*plain, *more]):
            whys.update(dict.fromkeys(negated, f"path {path.number}: {unvouched}"))
        facts = Facts(chooser.finder, plain, more)
        impossible = chooser.contradiction(path.number, facts)
        if impossible:
            contradictions[str(path.number)] = impossible
        for theorem in chosen:
            name = theorem.property.name
            if name not in negated:
                continue
            wrong = negated[name]
            if impossible:
                accounts[name][path.number] = "contradictory"
            elif wrong is None:
                spoken_of = theorem.property.outcomes(path.transition)
                accounts[name][path.number] = "constant" if spoken_of else "outcome"
            else:
                try:
                    accounts[name][path.number] = chooser.goal(theorem, path.number, facts, wrong)
                except (NoCore, NotWritable) as failed:
                    whys.setdefault(name, f"path {path.number} has no goal: {failed}")
    branches = [chooser.branch(i, _branch_facts(cutter, one)) for i, one in enumerate(pruned)]
    return CallGoals(
        edition=edition.name,
        call=call,
        endings=[f"{p.transition.errno.name}: {p.transition.check or 'runs to its end'}" for p in explored.paths],
        contradictions=contradictions,
        branches=branches,
        theorems=[_theorem_goals(t, explored.count, accounts.get(t.property.name), whys) for t in chosen],
    )


def _branch_facts(cutter: PathFacts, branch: Pruned) -> list[Part]:
    ruled_out = Source("branch", "a decision that has one answer only")
    sources = [branch.sources.get(fact.get_id(), ruled_out) for fact in branch.facts]
    pairs = [*zip(branch.facts, sources, strict=True)]
    conditions = [part for fact, source in pairs for part in cutter.cutter.parts(fact, source)]
    return [*conditions, *cutter.background(branch.background())]


def _theorem_goals(
    theorem: Theorem, count: int, accounts: Mapping[int, str] | None, whys: Mapping[str, str]
) -> TheoremGoals:
    """A theorem is proved only with an account of each path that was explored."""
    name = theorem.property.name
    if accounts is None:
        return TheoremGoals(property=name, call=theorem.call, verdict="open", accounts=[])
    why = whys.get(name, "")
    if not why and accounts.keys() != set(range(count)):
        why = f"{count} paths were explored, and {len(accounts)} of them have an account"
    if why:
        return TheoremGoals(property=name, call=theorem.call, verdict="error", accounts=[], why=why)
    return TheoremGoals.model_validate(
        {
            "property": name,
            "call": theorem.call,
            "verdict": "proved",
            "accounts": [accounts[number] for number in range(count)],
        }
    )


def _in_the_argument_stage(call: str, edition: Edition, chosen: Sequence[Theorem]) -> CallGoals:
    paths = explore_arguments(call, edition)
    refuses = all(path.errno is Errno.EPERM and path.decoded is None for path in paths)
    return CallGoals(
        edition=edition.name,
        call=call,
        endings=[f"{path.errno.name}: {path.check}" for path in paths],
        contradictions={},
        branches=[],
        theorems=[
            TheoremGoals(
                property=theorem.property.name,
                call=call,
                verdict="proved" if refuses else "error",
                accounts=["arguments"] * len(paths) if refuses else [],
                why="" if refuses else "its argument stage does not always refuse",
            )
            for theorem in chosen
        ],
    )


def proved_by(timeout_ms: int) -> Callable[[ExploredCall], Callable[[Theorem], bool]]:
    """Says which theorems of a call the prover finds proved."""

    def examine(explored: ExploredCall) -> Callable[[Theorem], bool]:
        prover = Prover(explored, timeout_ms)
        chosen = theorems(explored.edition, calls=[explored.call.name])
        examined = prover.examine([theorem.property for theorem in chosen])
        return lambda theorem: examined[theorem.property.name].proved

    return examine


def find_call_goals(
    call: str, edition: Edition, chosen: Sequence[Theorem], timeout_ms: int, finder: Finder | None = None
) -> CallGoals:
    """What the chosen theorems of a call rest on, those that the prover finds proved. An error of the exploration is
    one of each theorem."""
    finder = finder or Finder(timeout_ms)
    try:
        return call_goals(call, edition, chosen, finder, proved_by(timeout_ms))
    except (TooManyPaths, LostPaths, NoCore, NotWritable) as failed:
        return CallGoals(
            edition=edition.name, call=call, endings=[], contradictions={}, branches=[],
            theorems=[
                TheoremGoals(property=t.property.name, call=call, verdict="error", accounts=[], why=str(failed))
                for t in chosen
            ],
        )  # fmt: skip


# what a lemma rests on ------------------------------------------------------------------------------------------------


def lemma_goals(lemma: Lemma, edition: Edition, chooser: Chooser) -> LemmaGoals:
    """What a lemma rests on. Raises NoCore, NotWritable, TooManyPaths, LostPaths."""
    cutter = Cutter(chooser.finder.writer)
    explore_arguments.cache_clear()  # so that the branches that it leaves out are recorded
    with recording_pruned() as pruned:
        obligations = list(lemma.obligations(edition))
    found = []
    for i, obligation in enumerate(obligations):
        parts = [part for fact in obligation.query for part in cutter.parts(fact)]
        key = chooser.obligation(i, obligation, parts)
        found.append(ObligationGoal(name=obligation.name, goal=key, expected=expected_of(obligation)))
    branches = []
    for i, branch in enumerate(pruned):
        parts = [part for fact in (*branch.facts, *branch.background()) for part in cutter.parts(fact)]
        branches.append(chooser.branch(i, parts))
    return LemmaGoals(
        edition=edition.name, lemma=lemma.name, verdict="proved", obligations=found, branches=branches
    )  # fmt: skip


def find_lemma_goals(lemma: Lemma, edition: Edition, timeout_ms: int, finder: Finder | None = None) -> LemmaGoals:
    """What a lemma rests on; nothing if it is expected to be refuted."""
    finder = finder or Finder(timeout_ms)
    broken = LEMMAS_BROKEN.get((lemma.name, edition.name), "")
    try:
        if not broken:
            return lemma_goals(lemma, edition, finder)
    except (TooManyPaths, LostPaths, NoCore, NotWritable) as failed:
        return LemmaGoals(
            edition=edition.name, lemma=lemma.name, verdict="error", obligations=[], branches=[], why=str(failed)
        )
    return LemmaGoals(
        edition=edition.name, lemma=lemma.name, verdict="open", obligations=[], branches=[], why=broken
    )  # fmt: skip


# tasks ----------------------------------------------------------------------------------------------------------------

Found = GoalText | CallGoals | LemmaGoals


def goal_tasks(
    edition: str, timeout_ms: int, *, properties: list[str] | None = None, calls: list[str] | None = None,
    lemmas: bool = True,
) -> list[Task]:  # fmt: skip
    """The tasks that find the goals of an edition."""
    chosen = theorems(EDITIONS[edition], properties, calls)
    names = tuple(dict.fromkeys(theorem.property.name for theorem in chosen))
    tasks = [Task("goals", call, edition, names, timeout_ms) for call in dict.fromkeys(t.call for t in chosen)]
    if lemmas:
        tasks += [Task("lemma goals", name, edition, None, timeout_ms) for name in lemmas_of(EDITIONS[edition])]
    return sorted(tasks, key=lambda task: task.name not in ("mremap", "mmap"))  # the longest first


def carry_out(task: Task) -> Iterator[Found]:
    """The goals that a call or a lemma rests on, and which they are."""
    edition, finder = EDITIONS[task.edition], Finder(task.timeout_ms)
    entry: CallGoals | LemmaGoals
    if task.kind == "lemma goals":
        entry = find_lemma_goals(LEMMAS[task.name], edition, task.timeout_ms, finder)
    else:
        chosen = theorems(edition, list(task.properties or ()), [task.name])
        entry = find_call_goals(task.name, edition, chosen, task.timeout_ms, finder)
    yield from finder.take()
    yield entry


def lost(task: Task, found: Sequence[Found], why: str) -> Iterable[Found]:
    """What a task still owed when its process was lost: errors."""
    if any(isinstance(result, CallGoals | LemmaGoals) for result in found):
        return
    edition = EDITIONS[task.edition]
    if task.kind == "lemma goals":
        yield LemmaGoals(edition=edition.name, lemma=task.name, verdict="error", obligations=[], branches=[], why=why)
        return
    chosen = theorems(edition, list(task.properties or ()), [task.name])
    yield CallGoals(
        edition=edition.name, call=task.name, endings=[], contradictions={}, branches=[],
        theorems=[
            TheoremGoals(property=t.property.name, call=task.name, verdict="error", accounts=[], why=why)
            for t in chosen
        ],
    )  # fmt: skip
