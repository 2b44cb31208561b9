# SPDX-License-Identifier: MIT
"""What a proof used: goals in their smallest parts, the few parts that contradict one another, and their text.

A goal is the facts of a path with the negation of what is to hold there. It is cut into parts (the members of its
conjunctions), of which each has a source. The solver names those that it needed, and the ones that it can do without
are left out. A core counts only when it was found unsatisfiable again, read anew from its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import z3

from checker.answers import why_unknown
from checker.calls import CallPath, ExploredCall
from checker.prove import P, Prover, Q
from checker.smtlib import Writer
from checker.sources import UNKNOWN, Source
from spec.properties import Property
from spec.terms import Bool


@dataclass(frozen=True, slots=True)
class Part:
    """A fact that is no conjunction, and where it comes from."""

    term: z3.BoolRef
    source: Source
    key: bytes
    """The hash of the term."""


@dataclass(frozen=True, slots=True)
class Core:
    """Facts that contradict one another."""

    parts: tuple[Part, ...]
    text: str
    """As SMT-LIB; equal cores have equal texts."""

    @property
    def sha256(self) -> str:
        """The hash of the text, by which the goal is known."""
        return hash_of_text(self.text)


MOST_TRIED = 40
"""Parts of a core of which each is tried whether the solver can do without it."""


class NoCore(Exception):
    """The solver does not find the facts contradictory, or not again when it reads them anew."""


def hash_of_text(text: str) -> str:
    """SHA-256 of a goal's text, in hexadecimal."""
    return sha256(text.encode("utf-8")).hexdigest()


class Cutter:
    """Cuts facts into parts."""

    def __init__(self, writer: Writer, sources: dict[int, tuple[z3.ExprRef, Source]] | None = None) -> None:
        self.writer = writer
        self.sources = {} if sources is None else sources
        """Where facts, and parts of facts, come from, by the ids of their terms."""
        self._cut: dict[tuple[int, Source], tuple[z3.ExprRef, tuple[Part, ...]]] = {}

    def parts(self, fact: Bool, source: Source = UNKNOWN) -> tuple[Part, ...]:
        """The parts of a fact: none if it is known to hold."""
        term = fact if isinstance(fact, z3.BoolRef) else z3.BoolVal(fact)
        key = term.get_id(), source
        if key not in self._cut:
            self._cut[key] = term, tuple(self._parts(term, True, source))
        return self._cut[key][1]

    def _parts(self, term: z3.BoolRef, holds: bool, source: Source) -> list[Part]:
        """The parts of a term, or of its negation."""
        known = self.sources.get(term.get_id(), (term, source))[1]
        if known.name != source.name:  # of the same check, the path knows how it ended
            source = known
        if z3.is_not(term):
            return self._parts(_bool(term.arg(0)), not holds, source)
        if z3.is_true(term) is holds and (z3.is_true(term) or z3.is_false(term)):
            return []
        if z3.is_and(term) is holds and (z3.is_and(term) or z3.is_or(term)):
            return [part for child in term.children() for part in self._parts(_bool(child), holds, source)]
        if z3.is_or(term) and holds:
            return self._distributed(term, source)
        return [self._part(term if holds else z3.Not(term), source)]

    def _part(self, term: z3.BoolRef, source: Source) -> Part:
        return Part(term, source, self.writer.hash_of(term))

    def _distributed(self, term: z3.BoolRef, source: Source) -> list[Part]:
        """A disjunction: a conclusion that is a conjunction (it stands last) is cut, and each part keeps the rest."""
        *rest, last = [_bool(child) for child in term.children()]
        conclusions = self._parts(last, True, source)
        if len(conclusions) == 1 and conclusions[0].source == source:
            return [self._part(term, source)]
        return [self._part(z3.Or(*rest, part.term), part.source) for part in conclusions]


def _bool(term: z3.ExprRef) -> z3.BoolRef:
    assert isinstance(term, z3.BoolRef)
    return term


class CoreFinder:
    """Finds cores of sets of parts; one that was found serves every set that has its parts."""

    def __init__(self, writer: Writer, timeout_ms: int) -> None:
        self.writer = writer
        self.timeout_ms = timeout_ms
        self._cores: dict[frozenset[bytes], list[tuple[frozenset[bytes], Core]]] = {}
        """By the parts of a conclusion (by none where the facts contradict one another): the facts that it needs."""

    def known(self, held: frozenset[bytes], wanted: frozenset[bytes]) -> Core | None:
        """A core that was found before, of facts that are held and of what is wanted."""
        for key in (wanted, frozenset[bytes]()):
            for needed, core in self._cores.get(key, ()):
                if needed <= held:
                    return core
        return None

    def keep(self, core: Core, wanted: frozenset[bytes]) -> None:
        """Remember a core of facts and of what is wanted."""
        keys = frozenset(part.key for part in core.parts)
        self._cores.setdefault(wanted if keys & wanted else frozenset(), []).append((keys - wanted, core))

    def find(self, facts: Sequence[Part], conclusion: Sequence[Part]) -> Core:
        """The facts that contradict the conclusion (as it is negated). Raises NoCore."""
        return Facts(self, facts, ()).core(conclusion)

    def decided_again(self, parts: Sequence[Part]) -> Core:
        """The parts as a core, less those that it can do without, which the solver found unsatisfiable when it read its
        text. Raises NoCore."""
        needed = {part.key: part for part in sorted(parts, key=lambda part: part.key)}
        apart = _Apart(needed.values(), self.timeout_ms)
        while (kept := apart.core(needed.values())) and len(kept) < len(needed):
            needed = {key: part for key, part in needed.items() if key in kept}
        for key in list(needed) if 1 < len(needed) <= MOST_TRIED else ():
            fewer = [part for other, part in needed.items() if other != key]
            if key in needed and (kept := apart.core(fewer)):
                needed = {other: part for other, part in needed.items() if other in kept}
        text = self.writer.text(part.term for part in needed.values())
        answer = answer_to(text, self.timeout_ms)
        if answer != "unsat":
            raise NoCore(f"the core is {answer} when it is decided again")
        return Core(tuple(needed.values()), text)


_NEEDS = "needs!"
"""Names of the literals begin so; the hash of a part follows."""


class _Apart:
    """Parts in a context of their own, each behind a literal: so what the solver finds depends on them alone, and not
    on what it was asked before."""

    def __init__(self, parts: Iterable[Part], timeout_ms: int) -> None:
        self.context = z3.Context()
        self.solver = z3.SimpleSolver(ctx=self.context)
        self.solver.set("timeout", timeout_ms)
        self.literals: dict[bytes, z3.BoolRef] = {}
        self.why = ""
        """Why the last question had no core."""
        self.add(parts)

    def add(self, parts: Iterable[Part]) -> None:
        """Have these parts too, as long as the solver's scope lasts."""
        for part in sorted(parts, key=lambda part: part.key):
            if part.key not in self.literals:
                self.literals[part.key] = z3.Bool(_NEEDS + part.key.hex(), self.context)
            self.solver.add(z3.Implies(self.literals[part.key], part.term.translate(self.context)))

    def core(self, parts: Iterable[Part]) -> frozenset[bytes]:
        """The keys of those of the parts that contradict one another; empty if the solver does not find that they
        do."""
        answer = self.solver.check(*(self.literals[key] for key in sorted({part.key for part in parts})))
        if answer == z3.unsat:
            return frozenset(bytes.fromhex(str(name).removeprefix(_NEEDS)) for name in self.solver.unsat_core())
        self.why = why_unknown(self.solver) if answer == z3.unknown else "the solver finds a model"
        return frozenset()


class Facts:
    """Facts of which several conclusions are to be contradicted; `more` of them are used only if they must be."""

    def __init__(self, finder: CoreFinder, facts: Sequence[Part], more: Sequence[Part]) -> None:
        self.finder = finder
        self.steps = [{part.key: part for part in facts}]
        if more:
            self.steps.append(self.steps[0] | {part.key: part for part in more})
        self.held = frozenset(self.steps[-1])
        self._apart: dict[int, _Apart] = {}

    def core(self, conclusion: Sequence[Part], *, quickly: bool = False) -> Core:
        """The facts that contradict the conclusion (as it is negated); `quickly`: without those that are seldom
        needed. Raises NoCore."""
        wanted = frozenset(part.key for part in conclusion)
        core = self.finder.known(self.held, wanted)
        why = ""
        for step in range(1 if quickly else len(self.steps)) if core is None else ():
            needed, why = self._needed(step, conclusion)
            if needed:
                core = self.finder.decided_again(needed)
                self.finder.keep(core, wanted)
                break
        if core is None:
            raise NoCore(why)
        mine = self.steps[-1]  # another path may have the same fact from somewhere else
        return Core(tuple(mine.get(part.key, part) for part in core.parts), core.text)

    def _needed(self, step: int, conclusion: Sequence[Part]) -> tuple[list[Part], str]:
        """The parts that the solver needs for a contradiction; none if it finds none, and why."""
        parts = self.steps[step]
        if step not in self._apart:
            self._apart[step] = _Apart(parts.values(), self.finder.timeout_ms)
        apart, every = self._apart[step], parts | {part.key: part for part in conclusion}
        apart.solver.push()
        apart.add(part for key, part in every.items() if key not in parts)
        needed = apart.core(every.values())
        apart.solver.pop()
        return [part for key, part in every.items() if key in needed], apart.why


def answer_to(text: str, timeout_ms: int) -> str:
    """What z3 says of a goal that it reads from its text, in a context of its own."""
    context = z3.Context()
    solver = z3.SolverFor("QF_UFBV", ctx=context) if "BitVec" in text else z3.SimpleSolver(ctx=context)
    solver.set("timeout", timeout_ms)
    if "bv2nat" in text:
        solver = z3.SimpleSolver(ctx=context)
        solver.set("bv.solver", 2)
        solver.set("timeout", timeout_ms)
    solver.from_string(text)
    return str(solver.check())


# the paths of a call --------------------------------------------------------------------------------------------------


class PathFacts:
    """The facts of the paths of a call, in parts."""

    def __init__(self, explored: ExploredCall, writer: Writer) -> None:
        self.explored = explored
        self.cutter = Cutter(writer, explored.world.sources)

    def negated(self, path: CallPath, prop: Property) -> list[Part] | None:
        """What a case that breaks the property on this path satisfies besides its facts; None if there is none."""
        goal = Prover.goal(path, prop)
        if goal is False:
            return None
        source = Source("property", prop.name)
        return [part for fact in Prover.wanted(path, prop, goal) for part in self.cutter.parts(fact, source)]

    def of(self, path: CallPath) -> tuple[list[Part], list[Part]]:
        """The facts of a path, and those about attributes, which most proofs do without. To be asked when all that the
        path names was named: after the properties."""
        space, world = path.space, self.explored.world
        instances = space.facts()
        places = space.place_facts()
        facts = [part for axiom in world.axioms_of(space.named) for part in self.cutter.parts(axiom)]
        for condition in space.run.conditions:
            facts += self.cutter.parts(condition, space.run.sources.get(condition.get_id(), UNKNOWN))
        facts += [part for instance in instances for part in self.cutter.parts(instance)]
        attributes = [*world.attributes_of(space.named), *places]
        return facts, [part for fact in attributes for part in self.cutter.parts(fact)]

    def background(self, facts: Iterable[z3.BoolRef]) -> list[Part]:
        """Axioms of the call's world in parts."""
        return [part for fact in facts for part in self.cutter.parts(fact)]

    def unvouched(self, path: CallPath, facts: Iterable[Part]) -> str:
        """A fact of the path that nobody vouches for, or a decision of the call that speaks of a page which stands for
        all pages: of such a page only contracts and well-formedness speak. Empty if there is none."""
        for part in facts:
            if not part.source.kind:
                return f"nobody vouches for {shown(part.term)}"
        for condition in path.space.run.conditions:
            source = path.space.run.sources.get(condition.get_id(), UNKNOWN)
            if source.kind != "verb" and self.cutter.writer.mentions(condition, _SKOLEM):
                return f"{source} speaks of a page that stands for all: {shown(condition)}"
        return ""


_SKOLEM = frozenset((str(P), str(Q)))


def shown(term: z3.ExprRef) -> str:
    """A term in a line, cut off where it is long."""
    text = " ".join(term.sexpr().split())
    return text if len(text) <= 100 else text[:97] + "..."
