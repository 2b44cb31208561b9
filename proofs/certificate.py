# SPDX-License-Identifier: MIT
"""What a certificate says: which goals each theorem and lemma rests on, path for path."""

from __future__ import annotations

import builtins
import json
from typing import Annotated, Final, Literal

from pydantic import Field

from checker.version import WrittenBy
from proofs.results import Frozen

FORMAT: Final = "mseal-spec/certificate/1"
MOST: Final = 1_000_000
"""Of any list in a certificate."""

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)]
Expected = Literal["unsat", "sat"]
Reason = Literal["outcome", "constant", "contradictory", "arguments"]
"""Why a path has no goal of its own: the property does not speak of how it ends; it holds there whatever the unknowns
are; nothing takes the path (which is a goal of the call); the argument stage ends the call, and never sees the address
space."""
Name = Annotated[str, Field(max_length=1_000)]


class Goal(Frozen):
    """A query in a file of its own, named by its hash."""

    sha256: Hash
    expected: Expected
    parts: Annotated[list[Hash], Field(max_length=MOST)]
    """The facts that it consists of, each by the hash of its term."""


class TheoremGoals(Frozen):
    """A theorem, and what each path of its call contributes."""

    property: Name
    call: Name
    verdict: Literal["proved", "open", "error"]
    """`open`: it is not claimed to be proved; `error`: it was, and some path has no goal."""
    accounts: Annotated[list[Hash | Reason], Field(max_length=MOST)]
    """For each path, by number, the hash of its goal, or why it has none; empty if the theorem is not proved."""
    why: str = ""

    @builtins.property
    def name(self) -> str:
        """For people."""
        return f"{self.property}({self.call})"


class CallGoals(Frozen):
    """A call: its paths, what rules out those that nothing takes, and its theorems."""

    edition: Name
    call: Name
    endings: Annotated[list[Name], Field(max_length=MOST)]
    """How each path ends: errno, and the check that decides."""
    contradictions: Annotated[dict[Annotated[str, Field(pattern=r"^[0-9]{1,6}$")], Hash], Field(max_length=MOST)]
    """For each path that nothing takes, by number, the goal that says so."""
    branches: Annotated[list[Hash], Field(max_length=MOST)]
    """The goals that say of each branch that was not explored that nothing takes it."""
    theorems: Annotated[list[TheoremGoals], Field(max_length=MOST)]


class ObligationGoal(Frozen):
    """One obligation of a lemma."""

    name: Name
    goal: Hash
    expected: Expected


class LemmaGoals(Frozen):
    """A lemma, and its obligations."""

    edition: Name
    lemma: Name
    verdict: Literal["proved", "open", "error"]
    obligations: Annotated[list[ObligationGoal], Field(max_length=MOST)]
    branches: Annotated[list[Hash], Field(max_length=MOST)]
    """The goals that say of each branch that was not explored that nothing takes it."""
    why: str = ""


class Certificate(Frozen):
    """What `sealspec certify` writes as manifest.json: the goals themselves are files beside it."""

    format: Literal["mseal-spec/certificate/1"] = FORMAT
    tool: WrittenBy = None
    solver: str
    """The one that found the goals, and decided each again from its text."""
    editions: Annotated[list[Name], Field(max_length=100)]
    calls: Annotated[list[CallGoals], Field(max_length=MOST)]
    lemmas: Annotated[list[LemmaGoals], Field(max_length=MOST)]
    goals: Annotated[list[Goal], Field(max_length=MOST)]

    @property
    def complete(self) -> bool:
        """Whatever was found proved has all its goals."""
        verdicts = {theorem.verdict for call in self.calls for theorem in call.theorems}
        return "error" not in verdicts | {lemma.verdict for lemma in self.lemmas}


class GoalText(Frozen):
    """A goal with its text, as a task finds it."""

    goal: Goal
    text: str


def used(entry: CallGoals | LemmaGoals) -> list[str]:
    """The hashes of all goals that a call or a lemma rests on, once for each time."""
    if isinstance(entry, LemmaGoals):
        return [*(obligation.goal for obligation in entry.obligations), *entry.branches]
    paths = [account for theorem in entry.theorems for account in theorem.accounts if len(account) == 64]
    return [*entry.contradictions.values(), *entry.branches, *paths]


def schemas() -> dict[str, str]:
    """The JSON schema of a certificate by file name (in docs/schema), the same text every time."""
    return {"certificate.json": json.dumps(Certificate.model_json_schema(), indent=2, sort_keys=True) + "\n"}
