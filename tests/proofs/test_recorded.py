# SPDX-License-Identifier: MIT
"""Recorded cases: each shows what it is said to show, they spare the search, and nobody believes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from checker.documents.base import BadDocument
from checker.examples import problems, violation, witnesses
from proofs import recorded
from proofs.mutants import holding, kill_body_mutant
from proofs.record import merged
from proofs.recorded import Case, Cases, breaks, ends, kills, says
from proofs.results import MutantResult, ProofReport, ReachableResult, RecordedUse, TheoremResult
from proofs.run import carry_out
from proofs.tasks import Task
from proofs.theorems import theorems
from spec.editions import EDITIONS, Edition
from spec.properties import PROPERTIES

V10 = EDITIONS["v10"]
LINES = recorded.text().splitlines()


@contextmanager
def recording(monkeypatch: pytest.MonkeyPatch, text: str) -> Iterator[None]:
    """Within, this is what is recorded."""
    with monkeypatch.context() as patched:
        patched.setattr(recorded, "text", lambda: text)
        recorded._lines.cache_clear()
        yield
    recorded._lines.cache_clear()


def decided(
    call: str, edition: str = "v10", kind: str = "theorem", names: tuple[str, ...] = ()
) -> tuple[dict[str, str], RecordedUse]:
    """The verdicts of a call (of all properties, or these) by what they are about, with the size of each
    counterexample."""
    names = names or tuple(dict.fromkeys(t.property.name for t in theorems(EDITIONS[edition])))
    verdicts, use = {}, RecordedUse()
    for result in carry_out(Task(kind, call, edition, None if kind == "mutant" else names, 20_000)):
        if isinstance(result, TheoremResult):
            shown = result.counterexample
            verdicts[result.property] = result.verdict + (f" {shown.size.vmas}/{shown.size.pages}" if shown else "")
        elif isinstance(result, ReachableResult):
            verdicts[f"{result.errno}: {result.check}"] = str(result.reachable)
        elif isinstance(result, MutantResult):
            verdicts[result.check] = "survives" if result.survived else "killed"
        elif isinstance(result, RecordedUse):
            use = result
    return verdicts, use


CASES = [Case.model_validate_json(line) for line in LINES]
EDITIONS_SHOWN = sorted({shown.partition(" ")[0] for case in CASES for shown in case.shows})


def is_so(case: Case, edition: Edition, verb: str, what: str) -> bool:
    """The case shows this of the edition."""
    example = case.example(edition)
    if example is None or problems(example.state):
        return False
    if verb == "breaks":
        return violation(PROPERTIES[what], example, edition) is not None
    if verb == "says":
        return witnesses(PROPERTIES[what], example, edition)
    if verb == "kills":
        return any(violation(prop, example, edition, what) is not None for prop in holding(case.call, edition))
    transition, _ = example.run(edition)
    return verb == "ends" and ends(transition.errno.name, transition.check) == f"ends {what}"


@pytest.mark.parametrize("edition", EDITIONS_SHOWN)
def test_every_case_shows_what_it_is_said_to_show(edition: str) -> None:
    said = [(case, *shown.split(" ", 2)) for case in CASES for shown in case.shows]
    of_this = [(case, verb, what) for case, name, verb, what in said if name == edition]
    assert [
        f"{c.call}: {verb} {what}" for c, verb, what in of_this if not is_so(c, EDITIONS[edition], verb, what)
    ] == []


def test_the_file_is_in_a_stable_order_and_says_nothing_twice() -> None:
    assert [case.line for case in CASES] == LINES
    assert [(case.call, case.key) for case in CASES] == sorted({(case.call, case.key) for case in CASES})


@pytest.mark.parametrize("call", ["mseal", "munmap", "mprotect"])
def test_on_this_tree_next_to_nothing_is_searched_for(call: str) -> None:
    for kind in ("theorem", "mutant"):
        verdicts, use = decided(call, kind=kind)
        assert use.used > 0 and use.used + len(use.searched) <= len(verdicts)
        assert len(use.searched) <= 1, use.searched


@pytest.mark.parametrize(("call", "edition"), [("munmap", "v10"), ("pkey_alloc", "v6.17")])
def test_without_the_file_the_verdicts_are_the_same(call: str, edition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_cases = [decided(call, edition, kind)[0] for kind in ("theorem", "mutant")]
    with recording(monkeypatch, ""):
        without = [decided(call, edition, kind) for kind in ("theorem", "mutant")]
    assert [verdicts for verdicts, _ in without] == with_cases
    assert all(use.used == 0 or kind == 0 for kind, (_, use) in enumerate(without))


def munmap(*shows: str, pages: int = 1, sealed_behind: int = 0) -> str:
    """A case of munmap over one VMA, or over that and a sealed one behind it; and what it is said to show."""
    start = 0x2_0000_0000
    vmas: list[dict[str, object]] = [{"start": start, "end": start + pages}]
    if sealed_behind:
        vmas.append({"start": start + pages, "end": start + pages + sealed_behind, "flags": ["sealed"]})
    words = {"addr": start << 12, "len": (pages + sealed_behind) << 12}
    return Case.model_validate({"call": "munmap", "words": words, "before": {"vmas": vmas}, "shows": shows}).line + "\n"


def test_what_a_case_does_not_show_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    check = "munmap: a VMA to unmap is sealed"
    purposes = (breaks("failure-changes-nothing"), says("never-unmapped"), ends("EPERM", check), kills(check))
    names = [f"v10 {purpose}" for purpose in purposes]
    truth = decided("munmap")[0]
    with recording(monkeypatch, munmap(*names)):
        told, use = decided("munmap")
        killed = kill_body_mutant("munmap", V10, check, [], 20_000, Cases("munmap", V10))
    assert told == truth and use.used == 0 and any(check in question for question in use.searched)
    assert killed.survived and killed.case is None


def test_a_case_that_is_not_the_smallest_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    prop, edition = "never-unsealed", "munmap-variant"
    big = munmap(f"{edition} {breaks(prop)}", pages=5, sealed_behind=4)
    assert is_so(Case.model_validate_json(big), EDITIONS[edition], "breaks", prop)
    for text in (recorded.text(), big):  # no example of another property is there to be tried
        with recording(monkeypatch, text):
            assert decided("munmap", edition, "property", (prop,))[0] == {prop: "refuted 2/2"}


@pytest.mark.parametrize(
    "line", ["{", '{"call": "munmap"}', '{"call": "munmap", "shows": ["v10 breaks never-unmapped"]}']
)
def test_a_damaged_line_is_told(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with recording(monkeypatch, line + "\n"), pytest.raises(BadDocument) as told:
        list(Cases("munmap", V10).that(breaks("never-unmapped")))
    assert "cases.jsonl" in str(told.value) and "\n" not in str(told.value)


def test_recording_replaces_what_is_recorded_of_the_edition_and_leaves_the_rest() -> None:
    before = munmap("v10 breaks never-unmapped", "v6.11 breaks never-unmapped") + munmap("v6.12 says x", pages=2)
    result = next(r for r in carry_out(Task("theorem", "munmap", "v10", ("failure-keeps-map-count",), 20_000))
                  if isinstance(r, TheoremResult))  # fmt: skip
    empty = ProofReport(
        edition="v10", kernel="", solver="", assumptions=[], theorems=[result], lemmas=[], reachability=[], mutants=[],
        blocked_advice=[], seconds=0, complete=True,
    )  # fmt: skip
    after = [Case.model_validate_json(line) for line in merged(before, empty).splitlines()]
    shown = {shown for case in after for shown in case.shows}
    assert {"v10 breaks failure-keeps-map-count", "v6.11 breaks never-unmapped", "v6.12 says x"} <= shown
    assert merged(merged(before, empty), empty) == merged(before, empty)
