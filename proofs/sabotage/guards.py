# SPDX-License-Identifier: MIT
"""Guards: what is run on a sabotaged copy of the source, and must be red there. A closed set, cheapest first.

    python -m proofs.sabotage.guards '{"kind": "lemma", "lemma": "verbs"}'

judges the source in the current folder, and prints one line of JSON: what the guard sees (`red`; empty if nothing), or
the `error` that kept it from looking.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

TIMEOUT_MS = 20_000
"""For one query of the solver."""


class _Guard(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TheoremGuard(_Guard):
    """Properties of a call are decided as expected: proved, or not proved where a refutation is expected."""

    kind: Literal["theorem"]
    call: str
    properties: tuple[str, ...]
    """Empty: all of the call."""
    edition: str = "v10"

    def __str__(self) -> str:
        return f"theorem {', '.join(self.properties) or 'all'} of {self.call} ({self.edition})"

    def missing(self) -> Iterator[str]:
        """What it names and is not there."""
        from proofs.theorems import theorems
        from spec.editions import EDITIONS

        known = {t.property.name for t in theorems(EDITIONS[self.edition], calls=[self.call])}
        yield from (f"no theorem {name} of {self.call}" for name in self.properties if name not in known)
        if not known:
            yield f"no theorems of {self.call} in {self.edition}"

    def judge(self) -> str:
        """What is not as it should be; empty if nothing is."""
        from checker.calls import explore_body
        from checker.prove import Prover
        from proofs.theorems import theorems
        from spec.editions import EDITIONS

        edition = EDITIONS[self.edition]
        chosen = theorems(edition, list(self.properties) or None, [self.call])
        examined = Prover(explore_body(self.call, edition), TIMEOUT_MS).examine([t.property for t in chosen])
        wrong = []
        for theorem in chosen:
            told = examined[theorem.property.name]
            if theorem.expected == "refuted":
                wrong += [] if told.opened else [f"{theorem.name} can no longer be broken"]
            elif not told.proved:
                wrong.append(f"{theorem.name} is not proved" + (f": {told.unknown}" if told.unknown else ""))
        return "; ".join(wrong)


class EndingGuard(_Guard):
    """A call can end so: there is a concrete case."""

    kind: Literal["ending"]
    call: str
    errno: str
    check: str
    """Which check decides; empty if the call runs to its end."""
    edition: str = "v10"

    def __str__(self) -> str:
        return f"ending {self.call} {self.errno}: {self.check or 'runs to its end'} ({self.edition})"

    def missing(self) -> Iterator[str]:
        """What it names and is not there."""
        from proofs.golden import path_of, recorded

        name = f"ending {self.call} {self.errno}: {self.check or 'runs to its end'}"
        if not path_of(self.edition).exists() or name not in recorded(self.edition):
            yield f"no such ending is recorded of {self.edition}"

    def judge(self) -> str:
        """What is not as it should be; empty if nothing is."""
        from checker.calls import explore_body
        from checker.prove import Prover
        from spec.editions import EDITIONS

        explored = explore_body(self.call, EDITIONS[self.edition])
        paths = [
            path for path in explored.paths
            if (path.transition.errno.name, path.transition.check) == (self.errno, self.check)
        ]  # fmt: skip
        return "" if Prover(explored, TIMEOUT_MS).reach(paths) is not None else "no concrete case ends so"


class MutantGuard(_Guard):
    """A check of a call's body that is dropped is missed."""

    kind: Literal["mutant"]
    call: str
    check: str
    edition: str = "v10"

    def __str__(self) -> str:
        return f"mutant {self.call}: {self.check} ({self.edition})"

    def missing(self) -> Iterator[str]:
        """What it names and is not there."""
        from proofs.golden import path_of, recorded

        name = f"mutant {self.call}: {self.check}"
        if not path_of(self.edition).exists() or recorded(self.edition).get(name) != "killed":
            yield f"no such mutant of {self.edition} is recorded as killed"

    def judge(self) -> str:
        """What is not as it should be; empty if nothing is."""
        from proofs.mutants import argument_checks, holding, kill_argument_mutant, kill_body_mutant
        from spec.editions import EDITIONS

        edition = EDITIONS[self.edition]
        if self.check in argument_checks(self.call, edition):
            result = kill_argument_mutant(self.call, edition, self.check, TIMEOUT_MS)
        else:
            result = kill_body_mutant(self.call, edition, self.check, holding(self.call, edition), TIMEOUT_MS)
        return "" if result.killed_by else result.why or "no theorem misses it"


class LemmaGuard(_Guard):
    """A lemma is decided as expected."""

    kind: Literal["lemma"]
    lemma: str
    edition: str = "v10"

    def __str__(self) -> str:
        return f"lemma {self.lemma} ({self.edition})"

    def missing(self) -> Iterator[str]:
        """What it names and is not there."""
        from proofs.lemmas import LEMMAS

        if self.lemma not in LEMMAS:
            yield f"no lemma {self.lemma}"

    def judge(self) -> str:
        """What is not as it should be; empty if nothing is."""
        from proofs.lemmas import LEMMAS, lemma_result
        from spec.editions import EDITIONS

        result = lemma_result(LEMMAS[self.lemma], EDITIONS[self.edition], TIMEOUT_MS)
        return "" if result.as_expected else f"{result.verdict}: {result.why}"


class WorldGuard(_Guard):
    """What the readings assume of every address space is so of well-formed ones at every edge."""

    kind: Literal["world"]

    def __str__(self) -> str:
        return "states at every edge are admitted"

    def missing(self) -> Iterator[str]:
        """What it names and is not there: nothing."""
        yield from ()

    def judge(self) -> str:
        """What is not as it should be; empty if nothing is."""
        from checker.edge_states import WindowRefuses, WorldRefuses, edge_states

        world, windows = WorldRefuses(), {count: WindowRefuses(count) for count in (1, 2)}
        for state in edge_states():
            refused = world(state)
            if not refused and state.vmas:
                refused = windows[len(state.vmas)](state)
            if refused:
                return f"assumed, and not so: {refused[0][:200]}"
        return ""


class _RandomGuard(_Guard):
    call: str
    edition: str = "v10"
    cases: int
    seed: int = 1

    def missing(self) -> Iterator[str]:
        """What it names and is not there."""
        from spec.editions import EDITIONS
        from spec.syscalls import CALLS

        if self.call not in CALLS or not EDITIONS[self.edition].has(self.call):
            yield f"no call {self.call} in {self.edition}"


class AdmissionGuard(_RandomGuard):
    """The contracts of the verbs admit each step of random calls, and the calls break nothing that is proved."""

    kind: Literal["admission"]

    def __str__(self) -> str:
        return f"admission of {self.cases} x {self.call} ({self.edition}, seed {self.seed})"

    def judge(self) -> str:
        """What is not as it should be; empty if nothing is."""
        from checker.random_cases import RandomCases
        from proofs.soak import Case, Judge
        from spec.editions import EDITIONS

        edition = EDITIONS[self.edition]
        cases, judge = RandomCases(Random(self.seed)), Judge(edition)
        for _ in range(self.cases):
            state = cases.state()
            wrong = judge.wrong(Case(edition, self.call, cases.words(self.call, state, edition), state))
            if wrong:
                return wrong
        return ""


class CanariesGuard(_RandomGuard):
    """What happened on random address spaces is not proved to be impossible."""

    kind: Literal["canaries"]

    def __str__(self) -> str:
        return f"{self.cases} canaries of {self.call} ({self.edition}, seed {self.seed})"

    def judge(self) -> str:
        """What is not as it should be; empty if nothing is."""
        from checker.calls import explore_body
        from checker.canaries import proved_canaries, random_canaries
        from spec.editions import EDITIONS

        edition = EDITIONS[self.edition]
        made = random_canaries(self.call, edition, Random(self.seed), self.cases)
        wrong = proved_canaries(explore_body(self.call, edition), made, TIMEOUT_MS)
        if not made or not wrong:
            return "" if made else "no case could be drawn"
        told = wrong[0].transition
        return f"{told.errno.name} ({told.check or 'runs to its end'}) happened, and is proved to be impossible"


class KernelGuard(_Guard):
    """The concrete reading answers as the recorded kernel."""

    kind: Literal["kernel"]
    kernel: str

    def __str__(self) -> str:
        return f"recorded runs of {self.kernel}"

    def missing(self) -> Iterator[str]:
        """What it names and is not there."""
        if not Path(f"tests/kernel_runs/{self.kernel}.jsonl.xz").exists():
            yield f"no recorded runs of {self.kernel}"

    def judge(self) -> str:
        """What is not as it should be; empty if nothing is."""
        return _pytest(f"tests/checker/test_kernel_runs.py::test_edition_answers_as_its_kernel[{self.kernel}-")


class TestGuard(_Guard):
    """Tests pass."""

    kind: Literal["test"]
    test: str
    """A node id of pytest."""

    def __str__(self) -> str:
        return self.test

    def missing(self) -> Iterator[str]:
        """What it names and is not there."""
        path, *parts = self.test.split("::")
        text = Path(path).read_text("utf-8") if Path(path).exists() else None
        if text is None:
            yield f"no file {path}"
        elif parts and not re.search(rf"^ *def {re.escape(parts[-1].partition('[')[0])}\(", text, re.MULTILINE):
            yield f"no test {parts[-1]} in {path}"

    def judge(self) -> str:
        """What is not as it should be; empty if nothing is."""
        return _pytest(self.test)


Guard = Annotated[
    TheoremGuard | EndingGuard | MutantGuard | LemmaGuard | WorldGuard | AdmissionGuard | CanariesGuard | KernelGuard
    | TestGuard,
    Field(discriminator="kind"),
]  # fmt: skip
GUARD: TypeAdapter[Guard] = TypeAdapter(Guard)


class Judgement(BaseModel):
    """What a guard says of a source."""

    red: str = ""
    """What it sees; empty if all is as it should be."""
    error: str = ""
    """What kept it from looking."""


MISTAKES = ("NameError", "SyntaxError", "ImportError", "ModuleNotFoundError", "UnboundLocalError", "fixture '")
"""What says that a sabotaged source is no error of thought but one that no program has."""


def _pytest(node: str) -> str:
    """The first failure of tests; a node id that ends in `[...-` stands for all that begin so."""
    import pytest

    os.environ["CI"] = "1"  # hypothesis draws the same examples every time
    arguments = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    chosen: list[str] = [node]
    if node.endswith("-"):
        path, _, name = node.partition("::")
        chosen = [path, "-k", name.rstrip("-").replace("[", " and ").replace("]", "")]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = pytest.main([*arguments, *chosen])
    text = said.getvalue()
    if status == pytest.ExitCode.OK:
        return ""
    failed = next((line for line in text.splitlines() if line.startswith("E  ")), "")
    if status != pytest.ExitCode.TESTS_FAILED or any(mistake in text for mistake in MISTAKES):
        raise RuntimeError(f"pytest could not run: {failed or text[-500:]}")
    return failed.removeprefix("E").strip() or "failed"


def judge(guard: Guard) -> Judgement:
    """Run a guard on the source that is imported here. A traceback that is no slip of the pen is red."""
    try:
        return Judgement(red=guard.judge())
    except (NameError, SyntaxError, ImportError, RuntimeError) as mistake:
        return Judgement(error=f"{type(mistake).__name__}: {mistake}")
    except Exception as found:
        return Judgement(red=f"{type(found).__name__}: {found} ({traceback.extract_tb(found.__traceback__)[-1].name})")


def main(arguments: list[str]) -> int:
    """Judge the source in the current folder. Exit status 0: it was judged; what comes of it is printed."""
    import spec

    if Path(spec.__file__ or "").resolve().parents[1] != Path.cwd().resolve():
        print(Judgement(error=f"another source is imported: {spec.__file__}").model_dump_json())
        return 0
    print(judge(GUARD.validate_json(arguments[0])).model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
