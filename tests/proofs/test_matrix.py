# SPDX-License-Identifier: MIT
"""The atomicity matrix: cells that were worked out by hand, held against real kernels and against the concrete reading,
and what they settle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st

from checker.documents.files import load_document
from checker.documents.scenarios import Scenario
from checker.examples import Example
from checker.scenario import re_execute
from checker.unbounded import World
from proofs.cache import VerdictCache
from proofs.extents import BORDERS, EXTENTS, KINDS
from proofs.matrix import COLUMNS, cells, matrix
from proofs.results import Cell, MatrixReport
from proofs.settled import LINES, settle
from proofs.tasks import Task
from spec.editions import EDITIONS
from spec.errors import Errno
from spec.predicates import unchanged
from spec.properties import SYSTEM_CALLS
from spec.terms import any_, not_
from tests.checker.strategies import examples

ROOT = Path(__file__).parents[2]


@cache
def row(call: str, edition: str) -> dict[tuple[str, str], Cell]:
    """The cells of a call in an edition, by errno and cause."""
    return {(c.errno, c.cause): c for c in cells(Task("matrix", call, edition, None, 20_000))}


def level(cell: Cell) -> str:
    return cell.level if cell.verdict == "partial" else cell.verdict


TRUTHS = [
    # worked out by hand from the kernel's order of checks (kernel-facts, sections 1 to 4 and 7)
    ("v10", "mprotect", "EPERM", "seal", "atomic"),
    ("v10", "mprotect", "EPERM", "other", "unreachable"),
    ("v10", "mprotect", "EACCES", "", "pages"),
    ("v10", "munmap", "EPERM", "seal", "atomic"),
    ("v10", "munmap", "ENOMEM", "", "atomic"),
    ("v10", "munmap", "EAGAIN", "", "unreachable"),
    ("v10", "brk", "EPERM", "seal", "atomic"),
    ("v10", "mseal", "EPERM", "seal", "unreachable"),
    ("v10", "mseal", "ENOMEM", "", "pages"),
    ("v10", "mseal", "EINVAL", "", "pages"),
    ("v6.12", "mprotect", "EPERM", "seal", "pages"),
    ("v6.12", "mprotect", "ENOMEM", "", "pages"),
    ("v6.12", "munmap", "EPERM", "seal", "boundaries"),
    ("v6.12", "munmap", "ENOMEM", "", "atomic"),
    ("v6.12", "munmap", "EINVAL", "", "boundaries"),
    ("v6.12", "brk", "EPERM", "seal", "boundaries"),
    ("v6.12", "mseal", "ENOMEM", "", "pages"),
]


@pytest.mark.parametrize(("edition", "call", "errno", "cause", "wanted"), TRUTHS)
def test_cells_worked_out_by_hand(edition: str, call: str, errno: str, cause: str, wanted: str) -> None:
    assert level(row(call, edition)[errno, cause]) == wanted


def test_no_cell_is_blank() -> None:
    for call, edition in {(call, edition) for edition, call, *_ in TRUTHS}:
        found = row(call, edition)
        assert list(found) == [(column.errno.name, column.cause) for column in COLUMNS]
        assert {errno for errno, _ in found} == {errno.name for errno in Errno} - {"OK"}
        for cell in found.values():
            assert cell.verdict != "unknown", cell
            assert cell.sentence
            reached = cell.witness is not None or cell.words is not None or cell.counterexample is not None
            assert reached == (cell.verdict != "unreachable")
            assert (cell.counterexample is not None) == (cell.verdict == "partial") == bool(cell.where)


@pytest.mark.parametrize("call", ["mseal", "munmap", "mprotect", "munlock", "brk"])
def test_in_two_passes_every_failure_is_atomic(call: str) -> None:
    assert {cell.verdict for cell in row(call, "two-pass").values()} == {"atomic", "unreachable"}


def test_the_prefix_of_mprotect() -> None:
    """EPERM of v6.12: the pages before the first sealed one may have another protection, and no other page."""
    cell = row("mprotect", "v6.12")["EPERM", "seal"]
    assert cell.where == "the pages of the range before the first sealed one"
    kinds = ["given another protection", "given another key", "charged otherwise", "faulted in or made lazily free"]
    assert cell.changes == kinds
    example = cell.counterexample
    assert example is not None and re_execute(example) == []
    assert (example.size.vmas, example.size.pages) == (2, 2)
    first, second = example.before.vmas
    assert ("sealed" in first.flags, "sealed" in second.flags) == (False, True)
    after = example.steps[0].after.vmas
    assert after[0].prot != first.prot
    assert after[1] == second


def test_the_cut_of_munmap() -> None:
    """EPERM of v6.12: a cut at the start of the range stays."""
    cell = row("munmap", "v6.12")["EPERM", "seal"]
    assert (cell.where, cell.changes) == ("at the start of the range", ["one VMA more"])
    example = cell.counterexample
    assert example is not None and re_execute(example) == []
    [step] = example.steps
    assert step.range is not None
    assert len(step.after.vmas) == len(example.before.vmas) + 1
    assert step.range[0] in {vma.start for vma in step.after.vmas} - {vma.start for vma in example.before.vmas}


def test_the_seals_of_a_failed_mseal() -> None:
    """ENOMEM comes of a gap, with nothing changed, and of a split without room, with the VMAs before it sealed."""
    cell = row("mseal", "v10")["ENOMEM", ""]
    changed = {check.check: check.changes for check in cell.checks}
    assert changed["mseal: a page of the range is unmapped"] == "nothing"
    assert changed["no room under the map-count limit for a split"] == "pages"
    assert cell.changes == ["sealed"]
    assert cell.counterexample is not None and cell.counterexample.size.vmas == 2


# against kernels ------------------------------------------------------------------------------------------------------


def pages_of(vmas: tuple[str, ...]) -> dict[str, str]:
    """What each page of recorded VMA lines is mapped to."""
    found = {}
    for text in vmas:
        reach, _, what = text.partition(" ")
        heap = "brk" * reach.startswith("brk")
        first, last = reach.removeprefix("brk").split("-")
        where, _, offset = what.partition("@")
        for number in range(int(first), int(last)):
            place = ""
            if offset:
                digits, _, rest = offset.partition(" ")
                place = f"@{int(digits) + number - int(first)} {rest}"
            found[f"{heap}{number}"] = where + place
    return found


def failures_of(kernel: str) -> Iterator[tuple[str, str, Any, Any]]:
    """Every recorded call that failed: scenario, errno, the step before it, the step."""
    for document in load_document(ROOT / "tests" / "kernel_runs" / f"{kernel}.jsonl.xz"):
        assert isinstance(document, Scenario)
        for before, step in zip(document.steps, document.steps[1:], strict=False):
            if step.errno and None not in (before.vmas, before.bytes, step.vmas, step.bytes):
                yield document.name, Errno(step.errno).name, before, step


@pytest.mark.parametrize(("kernel", "edition"), [("v10", "v10"), ("6.12.117", "v6.12")])
@pytest.mark.parametrize("call", ["mseal", "munmap", "mprotect"])
def test_kernels_change_no_more_than_the_cells_say(kernel: str, edition: str, call: str) -> None:
    seen = 0
    for name, errno, before, step in failures_of(kernel):
        if step.call != call:
            continue
        possible = [cell for (e, _), cell in row(call, edition).items() if e == errno]
        levels = {level(cell) for cell in possible} - {"unreachable"}
        assert levels, f"{name}: {call} failed with {errno}, which the matrix calls unreachable"
        seen += 1
        if levels == {"atomic"}:
            assert (step.vmas, step.bytes) == (before.vmas, before.bytes), f"{name}: {errno}"
        elif levels <= {"atomic", "boundaries"}:
            assert (pages_of(step.vmas), step.bytes) == (pages_of(before.vmas), before.bytes), f"{name}: {errno}"
    assert seen > 20


# against the concrete reading -----------------------------------------------------------------------------------------


def claims(cell: Cell, example: Example) -> list[str]:
    """What the cell says that the example refutes."""
    edition = EDITIONS[cell.edition]
    t, after = example.run(edition)
    pages = example.pages(after)
    changed = [p for p in pages if not unchanged(t, p)]
    cut = [p for p in pages if t.before.cut(p) != t.after.cut(p)]
    count = int(t.after.map_count) - int(t.before.map_count)  # type: ignore[arg-type]
    if cell.verdict in ("unreachable", "unknown"):
        return [f"it is {cell.verdict}"]
    wrong = []
    if level(cell) != "pages":
        wrong += [f"page {p:#x} is changed" for p in changed]
    if level(cell) == "atomic":
        wrong += [f"a boundary at {p:#x}" for p in cut] + [f"{count} VMAs more"] * (count != 0)
    if level(cell) == "boundaries":
        [border] = [b for b in BORDERS if b.words == cell.where and cell.call in b.calls]
        wrong += [f"a boundary at {p:#x}" for p in cut if not border.at(t, p)]
    if level(cell) == "pages":
        [extent] = [e for e in EXTENTS if e.words == cell.where and cell.call in e.calls]
        for p in changed:
            others = [(q,) for q in pages] if extent.second else [()]
            if not all(extent.contains(t, p, *q) for q in others):
                wrong.append(f"page {p:#x} is changed")
            wrong += [k.words for k in KINDS if k.differs(t, p) and k.words not in cell.changes]
    return wrong


@pytest.mark.parametrize("edition", ["v10", "v6.12", "two-pass"])
@pytest.mark.parametrize("call", ["mseal", "munmap", "mprotect"])
@settings(max_examples=150)
@given(data=st.data())
def test_the_concrete_reading_changes_no_more(edition: str, call: str, data: st.DataObject) -> None:
    example = data.draw(examples(call, EDITIONS[edition]))
    t, _ = example.run(EDITIONS[edition])
    if t.errno is Errno.OK:
        return
    [cause] = [column.cause for column in COLUMNS if column.has(t.errno, t.check)]
    assert claims(row(call, edition)[t.errno.name, cause], example) == []


def test_two_pages_that_differ_differ_in_some_respect() -> None:
    """The respects are all there are: where `unchanged` does not hold, one of them does, and the other way round."""
    worlds = [World(), World()]
    for i, world in enumerate(worlds):  # functions of the two worlds have names of their own
        world.functions = {}
        world.function = lambda name, *sorts, i=i: z3.Function(f"{name}{i}", *sorts)  # type: ignore[method-assign]
    p = z3.Int("p")
    seen = [world.look(p) for world in worlds]
    views = [
        SimpleNamespace(mapped=mapped, vma=vma, page=page, visible=z3.Int(f"visible{i}"))
        for i, (_, mapped, vma, page) in enumerate(seen)
    ]
    stored = [z3.Function(f"stored{i}", z3.IntSort(), z3.IntSort(), z3.IntSort()) for i in range(2)]
    before, after = (SimpleNamespace(at=lambda q, i=i: views[i], stored=stored[i]) for i in range(2))
    t = SimpleNamespace(before=before, after=after, call="mprotect")
    solver = z3.Solver()
    differs = any_(kind.differs(t, p) for kind in KINDS)
    solver.add(not_(unchanged(t, p)) != differs)
    assert solver.check() == z3.unsat


# the whole ------------------------------------------------------------------------------------------------------------


@cache
def small() -> MatrixReport:
    return matrix(["v10", "v6.12"], ["munmap", "mseal"])


def test_a_report_is_as_published() -> None:
    report = small()
    assert report.decided
    assert len(report.cells) == 2 * 2 * len(COLUMNS)
    assert [(c.edition, c.call) for c in report.cells[:: len(COLUMNS)]] == [
        ("v10", "munmap"), ("v10", "mseal"), ("v6.12", "munmap"), ("v6.12", "mseal"),
    ]  # fmt: skip
    written = report.model_dump_json()
    jsonschema.validate(json.loads(written), json.loads((ROOT / "docs" / "schema" / "matrix.json").read_text("utf-8")))
    assert MatrixReport.model_validate_json(written) == report


def test_two_processes_and_the_cache_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(text: str) -> None:
        raise AssertionError(text)

    def told(report: MatrixReport) -> list[tuple[str, ...]]:
        """All but the examples, of which there may be several that are as small and plain."""
        return [(c.edition, c.call, c.errno, c.cause, c.verdict, c.sentence) for c in report.cells]

    kept = matrix(["v10", "v6.12"], ["munmap", "mseal"], jobs=2, cache=VerdictCache(tmp_path, silent))
    assert (told(kept), kept.settled, kept.from_cache) == (told(small()), small().settled, 0)

    def check(*arguments: object) -> None:
        raise AssertionError("the solver was asked")

    monkeypatch.setattr(z3.Solver, "check", check)
    again = matrix(["v10", "v6.12"], ["munmap", "mseal"], cache=VerdictCache(tmp_path, silent))
    assert again.cells == kept.cells
    assert again.from_cache == len(again.cells)


def test_what_is_settled() -> None:
    told = {(s.version, s.lines, s.edition): s for s in small().settled}
    rewritten, posted = (next(v for v, *_ in told if word in v) for word in ("rewritten", "6.10"))
    assert told[rewritten, "118-119", "v10"].answer == "holds"
    assert told[rewritten, "118-119", "v6.12"].answer == "holds for pages only"
    for edition in ("v10", "v6.12"):
        assert told[posted, "63-64", edition].answer == "holds"
        internal = told[posted, "66-69", edition]
        assert internal.answer == "decided"
        assert any("ENOMEM" in text and "may be sealed" in text for text in internal.cells)


def cell(call: str, errno: str, cause: str, **given: Any) -> Cell:
    return Cell(call=call, errno=errno, cause=cause, edition="v10", **given)  # type: ignore[arg-type]


def test_a_promise_is_settled_by_its_worst_cell() -> None:
    """Lines 95-96 of the first version: no blocked call changes anything."""
    [line] = [line for line in LINES if line.lines == "95-96"]
    calls = [call for call, _, _ in line.cells]
    atomic = [cell(call, "EPERM", "seal", verdict="atomic") for call in calls]
    assert set(calls) < set(SYSTEM_CALLS)

    def answer(*worse: Cell) -> str:
        made = {c.call: c for c in (*atomic, *worse)}
        return next(s.answer for s in settle(made.values()) if s.lines == "95-96")

    def partial(call: str, changes: str) -> Cell:
        check = {"check": "sealed", "stage": "body", "changes": changes}
        return cell(call, "EPERM", "seal", verdict="partial", level=changes, checks=[check])

    assert answer() == "holds"
    assert answer(partial("mmap", "boundaries")) == "holds for pages only"
    assert answer(partial("mmap", "boundaries"), partial("mremap", "pages")) == "does not hold"
    assert answer(cell("madvise", "EPERM", "seal", verdict="unknown")) == "undecided"
    assert settle(atomic[1:]) == [] or all(s.lines != "95-96" for s in settle(atomic[1:]))
