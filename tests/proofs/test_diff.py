# SPDX-License-Identifier: MIT
"""The semantic diff: what it calls the same, stronger or weaker is so when the calls are made, in the concrete reading
and on real kernels; and it calls nothing the same that is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checker.joint
from checker.concrete import State
from checker.documents.files import load_document
from checker.documents.layouts import LayoutDoc
from checker.documents.scenarios import FAILURES, Scenario
from checker.examples import Example
from checker.joint import JointSpace, differing_fields
from checker.machine import perform
from checker.pairs import Pair, PairedSpace, explore_pair, in_both
from checker.parting import BOUNDARIES, OTHERWISE, PARTINGS, RESULT, STRONGER, WEAKER, PairProver
from proofs.diff import diff, diff_call, lemmas
from proofs.lemmas import decide_lemma
from proofs.merges import merges_more
from proofs.results import CallDiff, Parting
from spec.editions import EDITIONS, Cursor, Edition, SealCheck
from spec.errors import Errno
from spec.syscalls import CALLS
from spec.transition import Transition
from spec.vma import BOOKKEEPING, EMPTY_PAGE, Page, Vma, has_file, offset_at
from tests.checker.strategies import examples

V10, V6_11, V6_12, V6_17, V6_18 = (EDITIONS[name] for name in ("v10", "v6.11", "v6.12", "v6.17", "v6.18"))
VARIANT = EDITIONS["munmap-variant"]
RUNS = Path(__file__).parents[1] / "kernel_runs"
LIGHT = ("munmap", "brk", "mseal", "mlock")
"""Calls whose comparison between v10 and v6.12 takes about a second."""

Levels = tuple[str, str, str]
NOT_STRONGER = STRONGER, OTHERWISE


@cache
def compared(first: str, second: str, call: str) -> CallDiff:
    return diff_call(EDITIONS[first], EDITIONS[second], call)


@cache
def excluded(a: Edition, b: Edition, call: str, asked: tuple[str, ...] = tuple(PARTINGS)) -> frozenset[str]:
    """Those of the partings that are proved not to occur; no example is looked for, which is what takes time."""
    examined = PairProver(explore_pair(call, a, b), (a, b), 20_000).examine([PARTINGS[name] for name in asked])
    assert not any(found.unknown for found in examined.values())
    return frozenset(name for name, found in examined.items() if found.proved)


def levels(result: CallDiff) -> Levels:
    return result.verdict, result.result, result.boundaries


def executed(parting: Parting, editions: tuple[Edition, Edition]) -> None:
    """The document's call, made from its words on its layout, ends under each edition as the document says."""
    for outcome, edition in zip((parting.first, parting.second), editions, strict=True):
        state = parting.before.to_state()
        result = perform(state, edition, parting.call, parting.words, failures=parting.failures)
        assert (outcome.edition, outcome.errno, outcome.value) == (edition.name, result.errno.name, result.value)
        assert outcome.check == result.check
        assert LayoutDoc.from_state(state) == outcome.after
        assert state.elsewhere + len(state.vmas) == outcome.map_count
        assert bool(outcome.changed) == (outcome.after != parting.before)


# verdicts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v10", "v7.3", "mimmutable"])
def test_an_edition_does_the_same_as_itself(name: str) -> None:
    report = diff(name, name)
    had = [result for result in report.calls if EDITIONS[name].has(result.call)]
    assert had and {levels(result) for result in had} == {("same", "same", "same")}
    assert [result.call for result in report.calls] == list(CALLS)
    assert report.decided and not report.fields and not report.lemmas


def test_munmap_differs_in_result_and_cuts_only() -> None:
    result = compared("v10", "v6.12", "munmap")
    assert levels(result) == ("same", "differs", "differs")
    by_level = {parting.level: parting for parting in result.partings}
    assert set(by_level) == {"result", "boundaries"}
    assert (by_level["result"].first.errno, by_level["result"].second.errno) == ("EPERM", "ENOMEM")
    cut = by_level["boundaries"]
    assert cut.first.errno == cut.second.errno == "EPERM"
    assert not cut.first.changed and cut.second.map_count == cut.first.map_count + 1
    for parting in result.partings:
        executed(parting, (V10, V6_12))


def test_calls_that_look_for_no_seal_stay_the_same() -> None:
    for call in ("mseal", "mlock"):
        result = compared("v10", "v6.12", call)
        assert levels(result) == ("same", "same", "same")
        assert result.engine == "unbounded" and result.paths > 1


def test_a_refused_brk_shows_no_errno() -> None:
    assert levels(compared("v10", "v6.12", "brk")) == ("same", "same", "differs")


def test_a_call_that_reads_nothing_that_differs_is_the_same() -> None:
    assert differing_fields(V10, V6_11) == {"discard", "droppable"}
    result = compared("v10", "v6.11", "mprotect")
    assert (result.engine, *levels(result)) == ("identity", "same", "same", "same")


@pytest.mark.parametrize(
    ("first", "second", "direction"),
    [("v6.12", "munmap-variant", "weaker"), ("munmap-variant", "v6.12", "stronger")],
)
def test_a_check_that_is_lacking_is_found_with_its_direction(first: str, second: str, direction: str) -> None:
    """The variant tests the first VMA's seal again and again, so that it lets go of a sealed one behind it."""
    result = compared(first, second, "munmap")
    assert levels(result) == (direction, "differs", "differs")
    (parting,) = [parting for parting in result.partings if parting.direction]
    assert parting.direction == direction and parting.size.vmas == 2
    assert {(o.edition, o.errno) for o in (parting.first, parting.second)} == {
        ("munmap-variant", "OK"), ("v6.12", "EPERM"),
    }  # fmt: skip
    assert any("sealed" in vma.flags for vma in parting.before.vmas)
    executed(parting, (EDITIONS[first], EDITIONS[second]))


def test_the_reverse_is_the_reverse() -> None:
    there, back = compared("v10", "v6.12", "munmap"), compared("v6.12", "v10", "munmap")
    assert levels(there) == levels(back)
    for one, other in zip(there.partings, back.partings, strict=True):
        assert (one.level, one.size) == (other.level, other.size)
        assert (one.first.errno, one.second.errno) == (other.second.errno, other.first.errno)
        executed(other, (V6_12, V10))


def test_merging_more_allows_more_and_never_less() -> None:
    """What 6.16 changed shows only where room under the map-count limit runs out. That the earlier edition is nowhere
    weaker rests on the lemma, and on what is shared between passes that end at different pages."""
    assert excluded(V6_12, V6_18, "mlock") == {STRONGER, OTHERWISE}
    assert excluded(V6_12, V6_18, "mprotect", NOT_STRONGER) == {STRONGER, OTHERWISE}


def test_a_call_that_an_edition_lacks() -> None:
    bare = replace(V6_12, name="bare", left_out=("mlock",))
    result = diff_call(bare, V6_12, "mlock")
    assert levels(result) == ("absent", "absent", "absent") and result.absent == ["bare"]
    assert result.decided and not result.same


# what is not the same is not called the same --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "changed"),
    [
        ("munmap", {"tests_first_again": True}),
        ("munmap", {"seals": SealCheck.UP_FRONT}),
        ("munmap", {"seals": SealCheck.TWO_PASS}),
    ],
)
def test_one_field_is_enough(call: str, changed: dict[str, Any]) -> None:
    other = replace(V6_12, name="other", **changed)
    result = diff_call(V6_12, other, call)
    assert not result.same and result.decided
    for parting in result.partings:
        executed(parting, (V6_12, other))


def test_a_stale_cursor_is_enough() -> None:
    stale = replace(V6_12, name="other", cursor=Cursor.STALE)
    assert not {WEAKER, RESULT, BOUNDARIES} & excluded(V6_12, stale, "mseal")


def test_a_proof_needs_its_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what is known of every page nothing is proved: the facts are neither idle nor contradictory."""
    for space in (JointSpace, PairedSpace):
        monkeypatch.setattr(space, "facts", lambda self, rounds=3: [])
    examined = PairProver(explore_pair("munmap", V10, V6_12), (V10, V6_12), 20_000).examine(list(PARTINGS.values()))
    assert not any(examined[name].proved for name in (STRONGER, WEAKER, RESULT, BOUNDARIES))


def test_a_proof_needs_what_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """If each edition had an environment of its own, none would do the same as another."""
    for names in ("_ENVIRONMENT", "_BY_PAGES", "_BY_VMAS"):
        monkeypatch.setattr(checker.joint, names, frozenset())
    monkeypatch.setattr(JointSpace, "_left", lambda self, what, *sorts: super(JointSpace, self)._unknown(what, *sorts))
    examined = PairProver(explore_pair("mlock", V10, V6_12), (V10, V6_12), 20_000).examine(list(PARTINGS.values()))
    assert not examined[BOUNDARIES].proved


# the concrete reading -------------------------------------------------------------------------------------------------


def marks(state: State) -> dict[tuple[int, str], object]:
    """What there is to tell of each page, wherever VMAs begin and end; book-keeping apart."""
    found: dict[tuple[int, str], object] = {}
    for vma in state.vmas:
        names = [f.name for f in fields(Vma) if f.name not in ("start", "end", "offset", *BOOKKEEPING)]
        for n in range(cast(int, vma.start), cast(int, vma.end)):
            page = state.pages.get(n, EMPTY_PAGE)
            found |= {(n, name): getattr(vma, name) for name in names}
            found |= {(n, f.name): getattr(page, f.name) for f in fields(Page)}
            found[n, "place"] = offset_at(vma, n) if has_file(vma) else 0
    return found


def partings_seen(example: Example, editions: tuple[Edition, Edition]) -> set[str]:
    """In which ways the two editions part in this case, found without the formulas of checker/parting.py."""
    (one, first), (other, second) = (example.run(edition) for edition in editions)
    was, mine, its = marks(example.state), marks(first), marks(second)
    seen = set()
    if other.failed and not one.failed:
        seen.add(STRONGER)
    if one.failed and not other.failed:
        seen.add(WEAKER)
    for key in {*was, *mine, *its}:
        if mine.get(key) != its.get(key):
            left = its.get(key) == was.get(key), mine.get(key) == was.get(key)
            seen.add(STRONGER if left[0] else WEAKER if left[1] else OTHERWISE)
    if (first.brk, first.objects) != (second.brk, second.objects) and one.failed == other.failed:
        seen.add(OTHERWISE)
    if example.call != "brk" or not (one.failed and other.failed):
        seen |= {RESULT} if (one.errno, one.value) != (other.errno, other.value) else set()
    if [(vma.start, vma.end) for vma in first.vmas] != [(vma.start, vma.end) for vma in second.vmas]:
        seen.add(BOUNDARIES)
    return seen


def claims() -> Iterator[tuple[str, str, str, frozenset[str]]]:
    """Editions, call, and the partings that are not excluded."""
    for call in LIGHT:
        found = compared("v10", "v6.12", call).partings
        yield "v10", "v6.12", call, frozenset(parting.direction or parting.level for parting in found)
    yield "v6.12", "v6.18", "mlock", frozenset(PARTINGS) - excluded(V6_12, V6_18, "mlock")
    yield "v6.12", "v6.18", "mprotect", frozenset(PARTINGS) - excluded(V6_12, V6_18, "mprotect", NOT_STRONGER)
    for first, second in (("v6.12", "munmap-variant"), ("munmap-variant", "v6.12")):
        found = compared(first, second, "munmap").partings
        yield first, second, "munmap", frozenset(parting.direction or parting.level for parting in found)


@settings(max_examples=300)
@given(data=st.data())
def test_no_case_contradicts_a_proof(data: st.DataObject) -> None:
    first, second, call, not_excluded = data.draw(st.sampled_from(list(claims())))
    a, b = EDITIONS[first], EDITIONS[second]
    example = data.draw(examples(call, a, tuple(FAILURES.get(call, ()))))
    if in_both(example.state.vmas, example.state.pages.values(), a, b):
        assert partings_seen(example, (a, b)) <= not_excluded, (first, second, call)


def test_random_cases_can_contradict() -> None:
    """The comparison above is not blind: it sees what the documents show."""
    for first, second in (("v10", "v6.12"), ("v6.12", "munmap-variant")):
        for parting in compared(first, second, "munmap").partings:
            arguments = CALLS["munmap"].decoded(*cast("tuple[int, int]", parting.range))
            example = Example(parting.before.to_state(), "munmap", arguments, frozenset(parting.failures))
            seen = partings_seen(example, (EDITIONS[first], EDITIONS[second]))
            assert (parting.direction or parting.level) in seen


@settings(max_examples=100)
@given(example=examples("munmap", V10))
def test_the_pairs_of_paths_contain_what_happens(example: Example) -> None:
    if in_both(example.state.vmas, example.state.pages.values(), V10, V6_12):
        one, other = (example.run(edition)[0] for edition in (V10, V6_12))
        assert ends(one, other) in paired()


def ends(one: Transition, other: Transition) -> tuple[Errno, str, Errno, str]:
    return one.errno, one.check, other.errno, other.check


@cache
def paired() -> frozenset[tuple[Errno, str, Errno, str]]:
    pairs = (cast(Pair, path.transition) for path in explore_pair("munmap", V10, V6_12).paths)
    return frozenset(ends(pair, pair.other) for pair in pairs)


# real kernels ---------------------------------------------------------------------------------------------------------


def first_differences() -> Iterator[tuple[str, Any, Any]]:
    """Of each scenario that both kernels ran, the first step that they answered differently, if there is one."""
    runs = [cast("list[Scenario]", load_document(RUNS / f"{kernel}.jsonl.xz")) for kernel in ("v10", "6.12.117")]
    for mine, its in zip(*runs, strict=True):
        assert mine.name == its.name
        apart = ((one, other) for one, other in zip(mine.steps, its.steps, strict=True) if one != other)
        if (found := next(apart, None)) is not None:
            yield mine.name, *found


def test_kernels_differ_only_where_they_may() -> None:
    """The same scenarios on a kernel with v10's checks and on 6.12: a call that is proved to be the same is never the
    first to be answered differently."""
    seen: dict[str, int] = {}
    for name, one, other in first_differences():
        seen[one.call] = seen.get(one.call, 0) + 1
        assert one.call not in ("mseal", "mlock", "munlock"), name
        if one.call == "munmap":  # the same page by page
            assert (one.errno == 0, one.bytes) == (other.errno == 0, other.bytes), name
        if one.call == "brk":
            assert (one.ret, one.errno, one.bytes) == (other.ret, other.errno, other.bytes), name
        if one.call == "mprotect":  # v6.12 is weaker: it refuses nothing that v10 allows
            assert not (one.errno == 0 and other.errno != 0), name
    assert seen["munmap"] > 0 and seen["mprotect"] > 0


# the lemma ------------------------------------------------------------------------------------------------------------


def test_merging_more_never_lacks_room_first() -> None:
    (lemma,) = lemmas(V6_18, V6_12, 20_000)
    assert lemma.verdict == "proved" and lemma.as_expected and lemma.obligations > 50
    assert lemmas(V10, V6_12, 20_000) == []
    assert decide_lemma(merges_more(V6_18, V6_12), V6_18, 20_000).verdict == "refuted"
    assert decide_lemma(merges_more(V6_17, V6_18, stale=True), V6_18, 20_000).verdict == "refuted"
