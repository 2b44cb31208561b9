# SPDX-License-Identifier: MIT
"""Explicit-state search of a tiny address space: all that a few calls can make of it, by the concrete reading.

It shares nothing with the solver but the specification itself, so it is a cross-check of the proofs: whatever breaks a
property here must be refuted there. Attack traces (checker.search_traces) are made of the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

from checker.concrete import State
from checker.examples import violation
from checker.search_letters import WHOLE_AREA, Area, Letter, whole_alphabet
from checker.search_steps import Start, canonical, empty_space
from checker.search_traces import attack_trace, attack_traces
from spec.editions import Edition
from spec.properties import Property, promised

Progress = Callable[[int, int, int], None]
"""Told (depth, states so far, states still to expand at this depth) before each state is expanded or judged."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """A graph of states and what it was made with.

    Nodes are numbers in the order of discovery, from 0, with the attributes `state` (checker.concrete.State, not to be
    changed), `depth` (calls from the start) and `expanded`. Each edge has `letters`: the calls that lead from one state
    to the other. Calls that end in their argument stage have no edge: they change nothing.
    """

    edition: Edition
    alphabet: tuple[Letter, ...]
    graph: nx.DiGraph[int]
    complete: bool
    """Every state within the depth is there: the limit on states was not met."""


def explore(
    edition: Edition,
    alphabet: Iterable[Letter] | None = None,
    depth: int = 3,
    limit: int = 20_000,
    *,
    start: State | None = None,
    progress: Progress | None = None,
) -> Exploration:
    """All states that at most `depth` calls of the alphabet reach, up to the numbers of objects and anon_vmas.

    Breadth first from `start` (an empty address space with a file of three pages if left out), by the whole alphabet on
    three pages if none is given. States beyond `limit` are left out, and so are the edges to them.
    """
    letters = whole_alphabet(edition) if alphabet is None else tuple(alphabet)
    begin = empty_space(WHOLE_AREA.pages) if start is None else start.copy()
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_node(0, state=begin, depth=0, expanded=False)
    numbers: dict[Hashable, int] = {canonical(begin): 0}
    layer, complete = [0], True
    for level in range(depth):
        found: list[int] = []
        for done, number in enumerate(layer):
            if progress is not None:
                progress(level, len(graph), len(layer) - done)
            here = Start(graph.nodes[number]["state"], edition)
            graph.nodes[number]["expanded"] = True
            for letter in letters:
                edge = here.edge(letter)
                if edge is None:
                    continue
                key = canonical(edge.after)
                if key not in numbers:
                    if len(numbers) >= limit:
                        complete = False
                        continue
                    numbers[key] = len(numbers)
                    graph.add_node(numbers[key], state=edge.after, depth=level + 1, expanded=False)
                    found.append(numbers[key])
                if not graph.has_edge(number, numbers[key]):
                    graph.add_edge(number, numbers[key], letters=[])
                graph.edges[number, numbers[key]]["letters"].append(letter)
        layer = found
    return Exploration(edition, letters, graph, complete)


@dataclass(frozen=True, slots=True)
class Violation:
    """A call that breaks a property, from a state of the graph."""

    node: int
    letter: Letter
    page: int


def check_all(
    exploration: Exploration,
    properties: Iterable[Property] | None = None,
    *,
    keep: int = 3,
    progress: Progress | None = None,
) -> dict[tuple[str, str], list[Violation]]:
    """Judge every property (if left out, all that the edition is held to) at every page of every call from every
    expanded state.

    Returns the violations by (property, call), at most `keep` of each in breadth-first order; no entry where there is
    none. A property is judged for its own calls. Calls that end in their argument stage are not judged.
    """
    props = list(promised(exploration.edition) if properties is None else properties)
    expanded = [(n, data) for n, data in exploration.graph.nodes(data=True) if data["expanded"]]
    found: dict[tuple[str, str], list[Violation]] = {}
    for done, (number, data) in enumerate(expanded):
        if progress is not None:
            progress(data["depth"], done, len(expanded) - done)
        here = Start(data["state"], exploration.edition)
        able = [prop for prop in props if here.may_break(prop)]
        for letter in exploration.alphabet:
            key_props = [p for p in able if letter.call in p.calls and len(found.get((p.name, letter.call), ())) < keep]
            edge = here.edge(letter) if key_props else None
            if edge is None:
                continue
            for prop in key_props:
                broken = violation(prop, edge, exploration.edition)
                if broken is not None:
                    found.setdefault((prop.name, letter.call), []).append(Violation(number, letter, broken[0]))
    return found


def disagreements(
    exploration: Exploration,
    verdicts: Mapping[tuple[str, str], str],
    properties: Sequence[Property] | None = None,
    *,
    found: Mapping[tuple[str, str], Sequence[Violation]] | None = None,
) -> list[str]:
    """Where verdicts of the same edition, by (property, call), contradict the exploration: one line each, none if they
    agree. A violation contradicts every verdict but "refuted"; no violation contradicts nothing, for the address space
    is tiny. `found` is what check_all found, if it is known already; pairs without a verdict are not looked at."""
    asked = {name for name, _ in verdicts}
    props = list(promised(exploration.edition) if properties is None else properties)
    violations = check_all(exploration, [p for p in props if p.name in asked], keep=1) if found is None else found
    lines = []
    for (name, call), broken in sorted(violations.items()):
        verdict = verdicts.get((name, call), "refuted")
        if broken and verdict != "refuted":
            steps = [*path_to(exploration, broken[0].node), broken[0].letter]
            way = " ; ".join(f"{step.call}({_words(step)})" for step in steps)
            lines.append(f"{name} of {call} on {exploration.edition.name} is {verdict}, but violated by: {way}")
    return lines


def path_to(exploration: Exploration, node: int) -> list[Letter]:
    """A shortest series of calls from the start to a state of the graph."""
    nodes = nx.shortest_path(exploration.graph, 0, node)
    return [exploration.graph.edges[edge]["letters"][0] for edge in pairwise(nodes)]


def _words(letter: Letter) -> str:
    return ", ".join(f"{name}={word:#x}" for name, word in letter.words.items())


__all__ = [
    "Area",
    "Exploration",
    "Letter",
    "Violation",
    "attack_trace",
    "attack_traces",
    "check_all",
    "disagreements",
    "explore",
    "path_to",
    "whole_alphabet",
]
