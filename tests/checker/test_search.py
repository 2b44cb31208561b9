# SPDX-License-Identifier: MIT
"""Explicit-state search: graphs of states, the cross-check of verdicts, and attack traces."""

from __future__ import annotations

import itertools

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checker.documents.counterexamples import Counterexample
from checker.documents.files import dump_document, parse_document
from checker.examples import Example, violation
from checker.machine import perform
from checker.scenario import re_execute
from checker.search import (
    Area,
    Letter,
    attack_trace,
    attack_traces,
    check_all,
    disagreements,
    explore,
    path_to,
    whole_alphabet,
)
from checker.search_letters import PLAIN_KINDS, WINDOW, advises, decoded, maps, ranged
from checker.search_steps import Start, canonical, empty_space
from checker.search_traces import layers_of, plans
from spec.advice import DONTNEED
from spec.editions import EDITIONS
from spec.properties import PROPERTIES
from spec.vma import RANDOM

V10, V6_12 = EDITIONS["v10"], EDITIONS["v6.12"]
ONE_PAGE, TWO_PAGES = Area(pages=1), Area(pages=2)
TINY = (
    *maps(TWO_PAGES, PLAIN_KINDS, V10),
    *ranged("mprotect", TWO_PAGES, 1),
    *ranged("mseal", TWO_PAGES, 0),
    *ranged("munmap", TWO_PAGES),
    *advises(TWO_PAGES, (RANDOM,), V10),
)


def calls(document: Counterexample) -> list[str]:
    return [step.call for step in document.steps]


def breaks_when_run_again(document: Counterexample) -> bool:
    """Make the calls from the document, and judge the last one without the search."""
    edition, state = EDITIONS[document.edition], document.before.to_state()
    for step in document.steps[:-1]:
        perform(state, edition, step.call, step.words, failures=step.failures)
    last = document.steps[-1]
    letter = Letter(last.call, tuple(last.words.values()))
    example = Example(state, last.call, decoded(edition, letter), frozenset(last.failures))
    return violation(PROPERTIES[document.property], example, edition) is not None


EXPECTED = [
    ("private-file-contents-stay", "v10", "mmap write mprotect mseal madvise", "OK"),
    ("anonymous-contents-stay", "v10", "mmap write madvise mprotect mseal reclaim", "OK"),
    ("fork-keeps-contents", "v10", "mmap write madvise mprotect mseal fork", "OK"),
    ("failed-mseal-seals-nothing", "v10", "mmap mmap mseal", "ENOMEM"),
    ("enomem-only-as-documented", "v10", "mmap mseal", "ENOMEM"),
    ("eperm-only-with-cause", "v10", "mmap mseal madvise", "EPERM"),
    ("never-grown", "v10", "mmap mseal mremap", "OK"),
    ("failure-changes-no-page", "v10", "mmap mprotect", "ENOMEM"),
    ("never-discarded", "v6.11", "mmap write mprotect mseal madvise", "OK"),
    ("eperm-changes-nothing", "v6.12", "mmap mseal mprotect", "EPERM"),
    ("failure-keeps-map-count", "v6.12", "mmap mmap mmap", "ENOMEM"),
    ("failed-mseal-seals-nothing", "v6.18", "mmap mmap mseal", "ENOMEM"),
]


@pytest.mark.parametrize(("name", "edition", "expected", "errno"), EXPECTED)
def test_expected_trace(name: str, edition: str, expected: str, errno: str) -> None:
    document = attack_trace(PROPERTIES[name], EDITIONS[edition])
    assert document is not None
    assert calls(document) == expected.split()
    assert document.steps[-1].result.errno == errno
    assert all(step.result.errno == "OK" for step in document.steps[:-1])
    assert document.call == document.steps[-1].call and document.size.calls == len(document.steps)
    assert (document.culprit.page is None) == PROPERTIES[name].pageless
    assert not document.before.vmas and not document.before.pages
    uses_file = any(step.words.get("object") == 100 for step in document.steps)
    assert bool(document.before.objects) == uses_file
    assert re_execute(document) == []
    assert breaks_when_run_again(document)
    assert parse_document(document.model_dump(mode="json")) == document


def test_words_and_ranges_of_a_trace() -> None:
    document = attack_trace(PROPERTIES["private-file-contents-stay"], V10)
    assert document is not None
    mapped, *_, last = document.steps
    assert mapped.words == {"addr": 1 << 45, "len": 4096, "prot": 3, "flags": 0x12, "file": 1, "object": 100, "off": 0}
    assert last.words == {"addr": 1 << 45, "len": 4096, "behavior": DONTNEED}
    assert all(step.range == (WINDOW, WINDOW + 1) for step in document.steps)
    assert document.culprit.page == WINDOW
    assert document.culprit.why == "madvise succeeded; the page changed: what it reads was 0x1 and is now 0x40"


def test_a_trace_under_memory_pressure_says_so() -> None:
    document = attack_trace(PROPERTIES["failed-mseal-seals-nothing"], V10)
    assert document is not None
    assert document.before.max_map_count - document.before.elsewhere == 2
    assert (document.size.vmas, document.size.pages) == (2, 3)


def test_a_given_last_call() -> None:
    prop = PROPERTIES["failure-changes-no-page"]
    for call in ("mseal", "madvise", "pkey_mprotect"):
        document = attack_trace(prop, V10, calls=[call])
        assert document is not None and document.call == call


def test_the_culprit_is_a_page_that_changed() -> None:
    document = attack_trace(PROPERTIES["eperm-changes-nothing"], V6_12, calls=["brk"])
    assert document is not None
    assert calls(document) == ["brk", "mseal", "brk"]
    assert document.culprit.page == document.before.start_brk + 1  # where the heap was cut
    assert document.culprit.why.endswith("the page changed: a VMA boundary before it was no and is now yes")


def test_a_count_is_the_culprit() -> None:
    document = attack_trace(PROPERTIES["failure-keeps-map-count"], V6_12, calls=["munmap"])
    assert document is not None
    assert document.culprit.page is None and "; map_count was " in document.culprit.why


def test_the_environment_makes_a_call_fail() -> None:
    document = attack_trace(PROPERTIES["failure-changes-no-page"], V10, calls=["mmap"])
    assert document is not None
    assert [(step.call, len(step.failures)) for step in document.steps] == [("mmap", 0), ("mmap", 1)]
    assert document.steps[-1].result.check == document.steps[-1].failures[0]
    assert re_execute(document) == []
    assert breaks_when_run_again(document)


def test_a_special_mapping_is_the_last_resort() -> None:
    document = attack_trace(PROPERTIES["einval-only-as-documented"], V10)
    assert document is not None
    assert [vma.backing for vma in document.before.vmas] == ["special"]
    assert calls(document) == ["mseal"] and document.steps[0].result.errno == "EINVAL"
    assert breaks_when_run_again(document)


def test_no_trace_for_a_theorem() -> None:
    assert attack_trace(PROPERTIES["never-unmapped"], V10, max_calls=3) is None
    assert attack_trace(PROPERTIES["mseal32-refuses"], V10) is None


def test_limits_end_a_search() -> None:
    prop = PROPERTIES["private-file-contents-stay"]
    assert attack_trace(prop, V10, max_calls=4) is None
    assert attack_trace(prop, V10, limit=10) is None


def test_traces_are_deterministic_and_the_same_together() -> None:
    names = ["private-file-contents-stay", "failed-mseal-seals-nothing", "eperm-only-with-cause"]
    props = [PROPERTIES[name] for name in names]
    together = attack_traces(props, V10)
    layers_of.cache_clear()
    for prop in props:
        alone = attack_trace(prop, V10)
        other = together[prop.name]
        assert alone is not None and other is not None
        assert dump_document(alone) == dump_document(other)


def test_traces_are_shortest_within_the_plan() -> None:
    """Brute force over every series of the letters of the first plan finds none with fewer calls, and the same first
    one with as many."""
    prop = PROPERTIES["eperm-only-with-cause"]
    plan = plans(prop.calls, V10)[0]

    def broken(letters: tuple[Letter, ...]) -> bool:
        state = empty_space(1)
        for letter in letters[:-1]:
            perform(state, V10, letter.call, letter.words)
        edge = Start(state, V10).edge(letters[-1])
        return edge is not None and violation(prop, edge, V10) is not None

    by_length = [
        next((way for way in itertools.product(*[plan.lead.letters] * (n - 1), plan.last) if broken(way)), None)
        for n in (1, 2, 3)
    ]
    assert by_length[:2] == [None, None] and by_length[2] is not None
    document = attack_trace(prop, V10, calls=[by_length[2][-1].call])
    assert document is not None
    assert [(step.call, step.words) for step in document.steps] == [(x.call, x.words) for x in by_length[2]]


def test_the_graph_is_the_states_that_brute_force_reaches() -> None:
    depth = 2
    reached = set()
    for n in range(depth + 1):
        for way in itertools.product(TINY, repeat=n):
            state = empty_space(2)
            for letter in way:
                perform(state, V10, letter.call, letter.words)
            reached.add(canonical(state))
    exploration = explore(V10, TINY, depth, start=empty_space(2))
    graph = exploration.graph
    assert exploration.complete
    assert {canonical(data["state"]) for _, data in graph.nodes(data=True)} == reached
    assert len(graph) == len(reached)
    lengths = nx.single_source_shortest_path_length(graph, 0)
    assert all(lengths[n] == data["depth"] for n, data in graph.nodes(data=True))


def test_paths_lead_to_their_states() -> None:
    exploration = explore(V10, TINY, 3, start=empty_space(2))
    for number, data in exploration.graph.nodes(data=True):
        state = empty_space(2)
        for letter in path_to(exploration, number):
            perform(state, V10, letter.call, letter.words)
        assert canonical(state) == canonical(data["state"])


def test_limit_and_progress_of_an_exploration() -> None:
    told: list[tuple[int, int, int]] = []
    exploration = explore(V10, TINY, 3, limit=5, progress=lambda *numbers: told.append(numbers))
    assert not exploration.complete and len(exploration.graph) == 5
    assert told[0] == (0, 1, 1) and {level for level, _, _ in told} == {0, 1}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(whole_alphabet(V6_12, TWO_PAGES)), max_size=6), st.integers(1, 50))
def test_canonical_forms_do_not_depend_on_numbers(letters: list[Letter], shift: int) -> None:
    states = []
    for first in (1000, 1000 + shift):
        state = empty_space(2)
        state.next_id = first
        for letter in letters:
            perform(state, V6_12, letter.call, letter.words, failures=letter.failures)
        states.append(state)
    assert canonical(states[0]) == canonical(states[1])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(whole_alphabet(V10, TWO_PAGES)), max_size=5))
def test_a_state_that_cannot_break_a_property_does_not(letters: list[Letter]) -> None:
    state = empty_space(2)
    for letter in letters:
        perform(state, V10, letter.call, letter.words, failures=letter.failures)
    start = Start(state, V10)
    hopeless = [p for p in PROPERTIES.values() if not start.may_break(p)]
    for letter in whole_alphabet(V10, ONE_PAGE):
        edge = start.edge(letter)
        if edge is not None:
            assert not [p.name for p in hopeless if letter.call in p.calls and violation(p, edge, V10) is not None]


def test_check_all_finds_what_is_broken() -> None:
    exploration = explore(V10, TINY, 3, start=empty_space(2))
    found = check_all(exploration)
    assert ("eperm-only-with-cause", "madvise") in found
    assert ("failure-changes-no-page", "mprotect") in found
    assert all(0 < len(violations) <= 3 for violations in found.values())
    for name in ("never-unmapped", "never-unsealed", "never-reprotected", "eperm-changes-nothing", "well-formed-stays"):
        assert not [key for key in found if key[0] == name]


def test_disagreements_find_a_planted_lie() -> None:
    exploration = explore(V10, TINY, 3, start=empty_space(2))
    honest = {
        ("eperm-only-with-cause", "madvise"): "refuted",
        ("failure-changes-no-page", "mprotect"): "refuted",
        ("never-unmapped", "munmap"): "proved",
        ("eperm-changes-nothing", "mprotect"): "proved",
        ("failed-mseal-seals-nothing", "mseal"): "refuted",  # the space is too small to show it: no disagreement
    }
    assert disagreements(exploration, honest) == []
    for verdict in ("proved", "unknown", "open"):
        lies = disagreements(exploration, honest | {("eperm-only-with-cause", "madvise"): verdict})
        assert len(lies) == 1
        assert lies[0].startswith(f"eperm-only-with-cause of madvise on v10 is {verdict}, but violated by: mmap(")
    assert disagreements(exploration, honest, found=check_all(exploration)) == []


@pytest.mark.parametrize("edition", ["v10", "v6.12"])
def test_the_proofs_agree(edition: str) -> None:
    """What the prover proves of a few calls, no state of a small graph breaks."""
    from checker.calls import explore_body
    from checker.prove import Prover

    names = ("never-unmapped", "never-unsealed", "eperm-changes-nothing")
    verdicts: dict[tuple[str, str], str] = {}
    for call in ("munmap", "mprotect", "mseal"):
        props = [PROPERTIES[name] for name in names if call in PROPERTIES[name].calls]
        decisions = Prover(explore_body(call, EDITIONS[edition]), 10_000).decide(props)
        verdicts |= {(name, call): decision.verdict for name, decision in decisions.items()}
    exploration = explore(EDITIONS[edition], TINY, 3, start=empty_space(2))
    assert disagreements(exploration, verdicts) == []
    assert "proved" in verdicts.values()
