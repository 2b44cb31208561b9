# SPDX-License-Identifier: MIT
"""Replay: counterexamples on the running kernel, and what is said where one is wrong or cannot be tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checker.documents.counterexamples import Counterexample
from checker.documents.layouts import LayoutDoc
from checker.lab import replay as replaying
from checker.lab.replay import CANNOT, CONFIRMED, NOT_CONFIRMED, Replay, ReplayReport, replay, replay_all, replay_schema
from checker.lab.run import ImageKernel, LiveKernel, RunReport
from checker.lab.script import Hello
from checker.scenario import WINDOW
from tests.lab.counterexamples import AT, PAGE, counterexample, layout, on, vma
from tests.lab.kernels import V10, guest, running, running_edition

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema" / "replay.json"


def sealed_neighbour(edition: str) -> Counterexample:
    """mprotect over a VMA and a sealed one: from 6.12 on it fails with the first changed (W3)."""
    before = layout(vma(0, 1), vma(1, 2, flags=["sealed"]))
    words = on(0, 2, prot=1)
    return counterexample(before, ("mprotect", words), edition=edition, property="eperm-changes-nothing", page=0)


def partial_seal(edition: str) -> Counterexample:
    """mseal at the limit of maps seals the first VMA, and has no room to split the second (W4)."""
    before = layout(vma(0, 1, "r--"), vma(1, 3), free=0)
    words = on(0, 2, flags=0)
    return counterexample(before, ("mseal", words), edition=edition, property="failed-mseal-seals-nothing", page=0)


def discarded_file_page(edition: str) -> Counterexample:
    """The private copy of a sealed, read-only file page is thrown away (W2)."""
    before = layout(
        vma(0, 1, "r--", backing="file", object=1, anon_vma=1, flags=["sealed"]),
        pages={0: {"own": 9}},
        objects=[{"object": 1, "pages": 1, "contents": [{"offset": 0, "value": 700}]}],
    )
    words = on(0, 1, behavior=4)
    return counterexample(before, ("madvise", words), edition=edition, property="private-file-contents-stay", page=0)


def lost_lazily_free_page(edition: str) -> Counterexample:
    """MADV_FREE, then a seal, then MADV_PAGEOUT: the contents are gone (W22)."""
    before = layout(vma(0, 1, "r--", offset=0, anon_vma=1, flags=["sealed"]), pages={0: {"own": 8, "lazy": True}})
    words = on(0, 1, behavior=21)
    return counterexample(before, ("madvise", words), edition=edition, property="anonymous-contents-stay", page=0)


def half_moved(edition: str) -> Counterexample:
    """mremap of several VMAs stops at a sealed one, with the first moved over what was there (W5c)."""
    before = layout(
        vma(0, 1, anon_vma=1), vma(1, 2, flags=["sealed"]), vma(8, 9, "r--", anon_vma=2),
        pages={0: {"own": 5}, 8: {"own": 6}},
    )  # fmt: skip
    words = {"addr": AT, "old_len": 2 * PAGE, "new_len": 2 * PAGE, "flags": 3, "new_addr": AT + 8 * PAGE}
    return counterexample(before, ("mremap", words), edition=edition, property="eperm-changes-nothing", page=8)


def with_outcome(document: Counterexample, after: LayoutDoc | None = None, **result: Any) -> Counterexample:
    """The document with something else said of its only call."""
    (step,) = document.steps
    told = step.model_copy(
        update={"result": step.result.model_copy(update=result), "after": after if after is not None else step.after}
    )
    return document.model_copy(update={"steps": (told,)})


def late(make: Any) -> Counterexample:
    """A document about the running kernel; skipped where it is older than what the document shows."""
    edition = running_edition()
    if edition in ("v10", "v6.11"):
        pytest.skip(f"the running kernel behaves as {edition}: it tests seals before anything changes")
    document: Counterexample = make(edition)
    return document


@running
@pytest.mark.parametrize("make", [sealed_neighbour, partial_seal, discarded_file_page, lost_lazily_free_page])
def test_what_kernels_do_is_confirmed(make: Any) -> None:
    """The layout is built, the call ends as the document says, and the page that breaks the property has changed."""
    result = replay(late(make), LiveKernel())
    assert (result.verdict, result.reason) == (CONFIRMED, "")
    assert result.expected == result.seen
    assert [text.split(":")[0] for text in result.seen[-1].changed] == ["page 0"]
    assert result.scenario is not None
    assert all(step.ret is not None and step.vmas is not None for step in result.scenario.steps)


@running
def test_a_refused_unmapping_leaves_a_cut() -> None:
    """It shows in the cuts, and in no page."""
    before = layout(vma(0, 2), vma(2, 3, flags=["sealed"]))

    def make(edition: str) -> Counterexample:
        return counterexample(before, ("munmap", on(1, 2)), edition=edition, property="eperm-changes-nothing", page=0)

    (seen,) = replay(late(make), LiveKernel()).seen
    assert (seen.errno_name, seen.changed, seen.cuts) == ("EPERM", (), ("1",))


@running
def test_a_move_of_several_vmas_stops_half_way() -> None:
    """From 6.17 on: refused with EPERM, yet the first VMA is gone from its place and has replaced another."""
    if running_edition() in ("v10", "v6.11", "v6.12"):
        pytest.skip(f"the running kernel behaves as {running_edition()}: it moves one VMA at a time")
    result = replay(half_moved(running_edition()), LiveKernel())
    assert (result.verdict, result.reason) == (CONFIRMED, "")
    assert result.seen[0].errno_name == "EPERM"
    assert set(result.seen[0].changed) == {
        "page 0: rw-p anon = 05 -> unmapped", "page 8: r--p anon = 06 -> rw-p anon = 05",
    }  # fmt: skip


@running
def test_a_mapping_that_fails_leaves_a_hole() -> None:
    """MAP_FIXED over a mapping, with huge pages of which there are none: ENOMEM, and the old memory is lost (W21)."""
    document = counterexample(
        layout(vma(0, 1, anon_vma=1), pages={0: {"own": 7}}),
        ("mmap", on(0, 1, prot=3, flags=0x32, file=0, object=0, off=0)), edition=running_edition(),
        property="failure-changes-no-page", page=0, failures=("mmap: memory for the new VMA runs out",),
    )  # fmt: skip
    result = replay(document, LiveKernel())
    if result.verdict == CANNOT:  # a kernel without huge pages, or a machine that has some free
        pytest.skip(result.reason)
    assert (result.verdict, result.seen[0].errno_name, result.seen[0].vmas) == (CONFIRMED, "ENOMEM", ())
    assert result.seen[0].changed == (
        "page 0: rw-p anon = 07 -> unmapped", "pages 1 to 47: rw-p anon = 00 -> unmapped",
    )  # fmt: skip


@running
def test_a_trace_is_made_call_by_call() -> None:
    """A document that begins with nothing mapped brings its layout itself."""
    calls = [
        ("mmap", on(0, 1, prot=3, flags=0x32, file=0, object=0, off=0)),
        ("write", {"addr": AT, "byte": 5}),
        ("madvise", on(0, 1, behavior=8)),
        ("mprotect", on(0, 1, prot=1)),
        ("mseal", on(0, 1, flags=0)),
        ("reclaim", {"addr": AT}),
    ]
    document = counterexample(layout(), *calls, edition=running_edition(), property="anonymous-contents-stay", page=0)
    result = replay(document, LiveKernel())
    if result.verdict == CANNOT:  # v10 refuses MADV_PAGEOUT, and nothing else reclaims at will
        pytest.skip(result.reason)
    assert (result.verdict, result.building) == (CONFIRMED, 0)
    assert result.seen[-1].changed == ("page 0: r--p anon sl = 05 -> r--p anon sl = 00",)


@running
@pytest.mark.parametrize("field", ["errno", "vmas", "bytes"])
def test_a_document_that_is_wrong_is_not_confirmed(field: str) -> None:
    """Whether the errno, the layout or the contents were tampered with: both outcomes are there, side by side."""
    document = late(discarded_file_page if field == "bytes" else sealed_neighbour)
    kept = document.steps[0].after
    if field == "errno":
        wrong = with_outcome(document, errno="EACCES")
    elif field == "vmas":
        wrong = with_outcome(document, after=document.before)
    else:
        wrong = with_outcome(document, after=kept.model_copy(update={"pages": document.before.pages}))
    result = replay(wrong, LiveKernel())
    assert result.verdict == NOT_CONFIRMED
    assert {difference.field for difference in result.differences} == {field}
    assert field in result.reason
    assert result.expected != result.seen
    assert any("does not do what the document says" in note for note in result.notes)


@running
def test_an_edition_that_the_kernel_is_not() -> None:
    """What v10 does is not confirmed on a later kernel: there the first VMA changes."""
    late(sealed_neighbour)
    result = replay(sealed_neighbour("v10"), LiveKernel())
    assert result.verdict == NOT_CONFIRMED
    assert result.expected[0].changed == ()
    assert len(result.seen[0].changed) == 1


def test_what_cannot_be_tried_is_said_without_a_kernel() -> None:
    """Nothing is run for a document that no program can bring about."""
    document = counterexample(
        layout(vma(0, 1)), ("mmap", on(0, 1, prot=0, flags=0x31, file=0, object=0, off=0)), edition="v6.18",
        failures=("mmap: memory for the new VMA runs out",),
    )  # fmt: skip
    report = RunReport()
    (result,) = replay_all([document], LiveKernel(), report=report)
    assert (result.verdict, result.seen, result.scenario) == (CANNOT, (), None)
    assert "memory for the new VMA" in result.reason
    assert report.boots == 0


@running
def test_many_documents_in_one_run() -> None:
    """Results come in the order of the documents, also those that cannot be tried."""
    edition = running_edition()
    impossible = counterexample(layout(), ("mseal32", on(0, 1, flags=0)), edition=edition)
    report = RunReport()
    documents = [partial_seal(edition), impossible, discarded_file_page(edition), impossible]
    results = list(replay_all(documents, LiveKernel(), report=report))
    assert [result.verdict for result in results] == [CONFIRMED, CANNOT, CONFIRMED, CANNOT]
    assert report.boots == 1


class Answers:
    """A kernel that answers as told: the specification's own answers, changed by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, pku: bool = False) -> None:
        self.pku = pku
        self.change: Any = lambda steps: None
        self.error = ""
        self.runs = 0
        monkeypatch.setattr(replaying, "run_scenarios", self.run)
        monkeypatch.setattr(replaying, "expects_pkeys", lambda kernel: False)

    def run(self, scenarios: list[dict[str, Any]], kernel: object, *, limit_ms: int, report: RunReport) -> Any:
        from checker.documents.scenarios import Scenario
        from checker.scenario import run_scenario
        from spec.editions import EDITIONS

        self.runs += 1
        report.hello = Hello("1.2.3", self.pku, 300, True, False)
        for data in scenarios:
            scenario = Scenario.model_validate(data)
            results = run_scenario(scenario, EDITIONS[str(scenario.edition)]).steps
            steps = [
                {**step, "ret": got.ret, "errno": int(got.errno), "vmas": list(got.vmas), "bytes": got.bytes}
                for step, got in zip(data["steps"], results, strict=True)
            ]
            self.change(steps)
            yield {"name": data["name"], "steps": steps, **({"error": self.error} if self.error else {})}


def only(document: Counterexample) -> Replay:
    """The one result."""
    (result,) = replay_all([document], LiveKernel())
    return result


def test_a_layout_that_was_not_built_says_nothing_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A building step that ends otherwise, or a layout that comes out otherwise, is no verdict on the document."""
    kernel = Answers(monkeypatch)
    kernel.change = lambda steps: steps[0].update(ret="-1", errno=12)
    result = only(sealed_neighbour("v6.18"))
    assert (result.verdict, result.seen) == (CANNOT, ())
    assert "could not be built: mmap gives -1 ENOMEM" in result.reason
    kernel.change = lambda steps: steps[-2].update(vmas=["0-2 rw-p anon sl"])
    result = only(sealed_neighbour("v6.18"))
    assert result.verdict == CANNOT
    assert "comes out otherwise" in result.reason


def test_a_program_that_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the document's own call ends it, the document is not confirmed; before that nothing can be said."""
    kernel = Answers(monkeypatch)
    kernel.error = "signal 9"
    kernel.change = lambda steps: steps.pop()
    result = only(sealed_neighbour("v6.18"))
    assert result.verdict == NOT_CONFIRMED
    assert "signal 9" in result.reason
    kernel.error = "timeout"
    result = only(sealed_neighbour("v6.18"))
    assert (result.verdict, "longer than" in result.reason) == (CANNOT, True)
    kernel.change = lambda steps: steps.clear()
    assert only(sealed_neighbour("v6.18")).verdict == CANNOT


def test_reclaim_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing takes the page back, the document was not tried."""
    kernel = Answers(monkeypatch)
    kernel.change = lambda steps: steps[-1].update(ret="-1", errno=1)
    before = layout(vma(0, 1, "r--", anon_vma=1, flags=["sealed"]), pages={0: {"own": 1, "lazy": True}})
    document = counterexample(
        before, ("reclaim", {"addr": AT}), edition="v10", property="anonymous-contents-stay", page=0
    )
    result = only(document)
    assert result.verdict == CANNOT
    assert "EPERM" in result.reason


def test_pages_that_a_kernel_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """7.x does not read past PROT_NONE: a property that breaks in such contents is not tried, one that breaks in the
    protection is confirmed all the same."""
    kernel = Answers(monkeypatch)
    kernel.change = lambda steps: steps[-1].update(bytes="??" + steps[-1]["bytes"][2:])
    before = layout(vma(0, 1, "---", anon_vma=1), pages={0: {"own": 3}})
    gap = counterexample(
        before, ("madvise", on(0, 2, behavior=4)), edition="v7.3", property="failure-changes-no-page", page=0
    )
    result = only(gap)
    assert (result.verdict, "page 0" in result.reason) == (CANNOT, True)
    before = layout(vma(0, 1))
    gap = counterexample(
        before, ("mprotect", on(0, 2, prot=0)), edition="v7.3", property="failure-changes-no-page", page=0
    )
    assert only(gap).verdict == CONFIRMED


def test_keys_that_the_processor_turns_out_to_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents are rebuilt for it, and the kernel is asked again."""
    kernel = Answers(monkeypatch, pku=True)
    before = layout(vma(0, 1, pkey=3, flags=["sealed"]), pkeys=[0, 3], pkru=0x2 << 6)
    words = on(0, 1, behavior=4)
    document = counterexample(before, ("madvise", words), edition="v6.18", property="none")
    results = list(replay_all([document, partial_seal("v6.18")], LiveKernel()))
    assert [result.verdict for result in results] == [CONFIRMED, CONFIRMED]
    assert kernel.runs == 2
    assert results[0].seen[0].vmas == ("0-1 rw-p anon k1 sl",)


def test_published_schema() -> None:
    """docs/schema/replay.json is that of the report, and a report says all of it."""
    assert PUBLISHED.read_text("utf-8") == replay_schema(), "write it again: checker.lab.replay.replay_schema()"
    report = ReplayReport(probe=None, replays=(only_impossible(),))
    assert ReplayReport.model_validate_json(report.model_dump_json()) == report
    assert json.loads(report.model_dump_json())["replays"][0]["verdict"] == CANNOT


def only_impossible() -> Replay:
    """A result without a kernel."""
    return only(counterexample(layout(), ("mseal32", on(0, 1, flags=0)), edition="v10"))


@guest
def test_a_guest_confirms_v10() -> None:
    """One boot: contents lost under memory pressure although MADV_PAGEOUT is refused, advice blocked by the bit mask, a
    sealed copy; and what only later kernels do is not confirmed."""
    edition = "v10"
    lazy = layout(vma(0, 1, "r--", anon_vma=1, flags=["sealed"]), pages={0: {"own": 1, "lazy": True}})
    shared = layout(
        vma(0, 1, "r--", share="shared-readonly", backing="file", object=1, flags=["sealed"]),
        objects=[{"object": 1, "pages": 4}],
    )
    copy = {"addr": AT, "old_len": 0, "new_len": PAGE, "flags": 3, "new_addr": AT + 3 * PAGE}
    documents = [
        counterexample(lazy, ("reclaim", {"addr": AT}), edition=edition, property="anonymous-contents-stay", page=0),
        counterexample(
            layout(vma(0, 1, "r--", flags=["sealed"])), ("madvise", on(0, 1, behavior=1)), edition=edition,
            property="eperm-only-with-cause",
        ),
        counterexample(shared, ("mremap", copy), edition=edition, property="never-grown", page=3),
        partial_seal(edition),
        sealed_neighbour("v6.12"),
    ]  # fmt: skip
    report = RunReport()
    results = list(replay_all(documents, ImageKernel(V10), report=report))
    assert [result.verdict for result in results] == [CONFIRMED] * 4 + [NOT_CONFIRMED], [r.reason for r in results]
    assert report.boots == 1
    assert results[2].seen[0].cuts == ("3", "4")
    assert WINDOW * PAGE == AT
