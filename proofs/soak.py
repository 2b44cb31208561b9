# SPDX-License-Identifier: MIT
"""The soak: random address spaces and calls, held against everything that is said to be proved.

``python -m proofs.soak --seconds 60`` draws address spaces near every edge and calls with raw 64-bit words, for every
edition, executes them on the concrete reading and asks of each transition that

- every property whose expected verdict is `proved` holds at every page near it,
- the address space is well formed afterwards, in every clause, and map_count counts,
- the contract of each verb that the call used admits what the list engine did (checker/admission.py).

What is found is made smaller and saved as a JSON file, which `--again FILE` judges anew. The last line says how to
repeat the run. Exit status: 0 nothing found, 1 something found, 128 and the number of the signal that ended it (what
was run until then is printed).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from checker.admission import NotAdmitted, admit
from checker.concrete import State, TooManyPages
from checker.documents.layouts import LayoutDoc
from checker.examples import Example, problems, violation
from checker.machine import WordGuards
from checker.random_cases import RandomCases, environment_of
from checker.signals import caught, exit_code
from proofs.theorems import theorems
from spec.editions import EDITIONS, Edition
from spec.properties import Property
from spec.space import Done, Refused
from spec.syscalls import CALLS
from spec.transition import Transition

CALLS_A_STATE = 4
"""How many calls are tried on each address space."""
MINUTE = 60.0
"""So many seconds pass between two lines that say how far a run is."""


@dataclass(frozen=True, slots=True)
class Case:
    """One call on one address space, in one edition."""

    edition: Edition
    call: str
    words: Mapping[str, int]
    state: State
    failures: frozenset[str] = frozenset()

    def example(self) -> Example | None:
        """The case as an example; None if the call ends in its argument stage, which changes nothing."""
        call = CALLS[self.call]
        try:
            arguments = call.arguments(WordGuards(self.edition), *(self.words[name] for name in call.words))
        except (Refused, Done):
            return None
        return Example(self.state, self.call, arguments, self.failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran(Example):
    """An example that was run already."""

    transition: Transition
    after: State

    def run(self, edition: Edition, dropped: str | None = None) -> tuple[Transition, State]:
        """What happened, in the edition that it was run in; no check can be dropped any more."""
        return self.transition, self.after


def proved_properties(edition: Edition) -> dict[str, list[Property]]:
    """By call: the properties that are expected to be proved."""
    found: dict[str, list[Property]] = defaultdict(list)
    for theorem in theorems(edition):
        if theorem.expected == "proved":
            found[theorem.call].append(theorem.property)
    return found


class Judge:
    """What must be so of every transition of an edition."""

    def __init__(self, edition: Edition) -> None:
        self.edition = edition
        self.properties = proved_properties(edition)

    def wrong(self, case: Case) -> str:
        """What is not so, in one line; empty if all is."""
        example = case.example()
        if example is None:
            return ""
        try:
            transition, after = example.run(self.edition)
            if transition.after.map_count != transition.after.counted():
                return "map_count is not how many VMAs there are"
            ill = problems(after)
            if ill:
                return f"not well formed: {ill[0]}"
            ran = Ran(example.state, example.call, example.arguments, transition=transition, after=after)
            broken = next((p for p in self.properties[case.call] if violation(p, ran, self.edition)), None)
            if broken is not None:
                return f"{broken.name} is violated, and proved"
            admit(example, self.edition)
        except NotAdmitted as wrong:
            return f"not admitted by the contract of {wrong.verb}"
        except TooManyPages:
            return ""
        return ""


def smaller(case: Case) -> Iterator[Case]:
    """The same call on a little less."""
    state = case.state
    for i in range(len(state.vmas)):
        less = state.copy()
        gone = less.vmas.pop(i)
        less.pages = {n: page for n, page in less.pages.items() if not gone.start <= n < gone.end}
        yield replace(case, state=less)
    for number in state.pages:
        less = state.copy()
        del less.pages[number]
        yield replace(case, state=less)
    for field, plain in (("objects", {}), ("max_map_count", 65530), ("pkru", 0), ("exec_key", 0)):
        if getattr(state, field) != plain:
            less = state.copy()
            setattr(less, field, plain)
            yield replace(case, state=less)
    for name in case.failures:
        yield replace(case, failures=case.failures - {name})


def shrunk(case: Case, judge: Judge) -> Case:
    """A case that is as wrong in the same way, and of which nothing more can be left out."""
    why = judge.wrong(case)
    for candidate in smaller(case):
        if not problems(candidate.state) and judge.wrong(candidate) == why:
            return shrunk(candidate, judge)
    return case


def as_json(case: Case, why: str) -> str:
    """The case as a document that `again` reads."""
    return json.dumps(
        {
            "wrong": why,
            "edition": case.edition.name,
            "call": case.call,
            "words": {name: f"{word:#x}" for name, word in case.words.items()},
            "failures": sorted(case.failures),
            "before": LayoutDoc.from_state(case.state).model_dump(mode="json"),
        },
        indent=1,
    )


def from_json(text: str) -> Case:
    """A case that was saved. Raises ValueError for what is none."""
    data = json.loads(text)
    words = {name: int(word, 16) for name, word in data["words"].items()}
    state = LayoutDoc.model_validate(data["before"]).to_state()
    return Case(EDITIONS[data["edition"]], data["call"], words, state, frozenset(data["failures"]))


@dataclass(slots=True)
class Soak:
    """A run, as far as it has got."""

    random: Random
    judges: Mapping[str, Judge]
    out: Path
    transitions: Counter[str]
    found: dict[tuple[str, str, str], Path]

    def draw(self) -> Iterator[Case]:
        """An address space, and some calls on it."""
        cases = RandomCases(self.random)
        state = cases.state()
        edition = self.judges[self.random.choice(list(self.judges))].edition
        calls = [name for name in CALLS if edition.has(name) and name != "mseal32"]
        for call in self.random.choices(calls, k=CALLS_A_STATE):
            case = Case(edition, call, cases.words(call, state, edition), state)
            example = case.example()
            if example is None:
                continue
            yield case
            asked = environment_of(example, edition) if self.random.random() < 0.3 else []
            if asked:
                yield replace(case, failures=frozenset({self.random.choice(asked)}))

    def judge(self, case: Case) -> None:
        """Count the case, and save it if it is wrong in a new way."""
        judge = self.judges[case.edition.name]
        self.transitions[case.edition.name] += 1
        why = judge.wrong(case)
        key = case.edition.name, case.call, why
        if not why or key in self.found:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"{case.edition.name}-{case.call}-{len(self.found)}.json"
        path.write_text(as_json(shrunk(case, judge), why) + "\n")
        self.found[key] = path
        print(f"{case.edition.name} {case.call}: {why}: {path}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak as the command line says; the docstring of the module is its help."""
    parser = argparse.ArgumentParser(prog="python -m proofs.soak", description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to draw (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="the random seed (default: the time)")
    parser.add_argument(
        "-e", "--edition", action="append", choices=list(EDITIONS), help="only this edition; repeatable"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/soak"), help="where findings are saved (default: %(default)s)"
    )
    parser.add_argument("--again", type=Path, metavar="FILE", help="judge one saved finding anew, and do nothing else")
    chosen = parser.parse_args(arguments)
    if chosen.again is not None:
        try:
            case = from_json(chosen.again.read_text())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as wrong:
            print(f"soak: {chosen.again} is no saved finding: {wrong}", file=sys.stderr)
            return 2
        why = Judge(case.edition).wrong(case)
        print(why or "nothing is wrong")
        return int(bool(why))
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    judges = {name: Judge(EDITIONS[name]) for name in chosen.edition or EDITIONS}
    soak = Soak(Random(seed), judges, chosen.out, Counter(), {})
    end, interrupted = time.monotonic() + chosen.seconds, False
    told = time.monotonic() + MINUTE
    with caught():
        try:
            while (now := time.monotonic()) < end:
                if now >= told:
                    left = max(0, end - now)
                    print(f"soak: {soak.transitions.total()} transitions; {left:.0f} s are left", file=sys.stderr)
                    told = now + MINUTE
                for case in soak.draw():
                    soak.judge(case)
        except KeyboardInterrupt:
            interrupted = True
    counts = ", ".join(f"{name} {count}" for name, count in sorted(soak.transitions.items()))
    print(f"{soak.transitions.total()} transitions ({counts}); {len(soak.found)} found")
    print(f"to repeat: python -m proofs.soak --seed {seed} --seconds {chosen.seconds:g}")
    return exit_code() if interrupted else int(bool(soak.found))


if __name__ == "__main__":
    sys.exit(main())
