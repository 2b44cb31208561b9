# SPDX-License-Identifier: MIT
"""Conformance: the running kernel against the specification; and that errors in the specification are found.

Whether errors are found is asked of a stand-in: the concrete reading itself plays the kernel, and the specification is
then made wrong in one place. So these tests need no kernel and no luck.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from checker.documents.files import load_document, parse_document
from checker.documents.scenarios import Kernel, Scenario
from checker.lab import batches
from checker.lab import conform as conforming
from checker.lab.batches import (
    Batch,
    Machine,
    answered,
    explanation,
    first_difference,
    flavours_for,
    look_at,
    run_batch,
)
from checker.lab.conform import ConformReport, Settings, conform, conform_schema, load_state, merged, missing
from checker.lab.errors import LabError
from checker.lab.generate import PAGE, WINDOW, generate
from checker.lab.probe import probe
from checker.lab.run import HostKernel, LiveKernel, RunReport, run_scenarios
from checker.lab.script import Hello
from checker.lab.shrink import shrink
from checker.layout import LayoutSpace
from checker.scenario import Runner, compare, run_scenario
from reports.cli import main
from spec.editions import EDITIONS, Edition
from spec.errors import Errno
from spec.space import Guards
from spec.terms import Bool
from tests.lab.kernels import compiled, has_mseal, oddity, plain, running

V6_18 = EDITIONS["v6.18"]
WITH_KEYS = Machine("6.18.0", Kernel(memory_failure=True, mmap_min_addr=1 << 16))
Step = dict[str, Any]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`conform` saves differences where it is run, which may not be written to."""
    monkeypatch.chdir(tmp_path)


def at(page: int) -> str:
    return hex(WINDOW + page * PAGE)


def mmap(page: int, pages: int = 1, **fields: Any) -> Step:
    return {"call": "mmap", "addr": at(page), "len": pages * PAGE, "prot": 3, "flags": 0x32, **fields}


def told(document: dict[str, Any], edition: Edition, kernel: Kernel) -> Scenario:
    """A sequence with the answers that the concrete reading gives: the stand-in for a kernel's."""
    plain = parse_document({**document, "kernel": kernel.model_dump()})
    assert isinstance(plain, Scenario)
    runner = Runner(plain, edition)
    steps = []
    for step in plain.steps:
        answer = runner.answer(step)
        given = {"ret": answer.ret, "errno": int(answer.errno), "vmas": answer.vmas, "bytes": answer.bytes}
        steps.append(step.model_copy(update={**given, "bytes": given["bytes"].replace("**", "7f")}))
    return plain.model_copy(update={"steps": tuple(steps)})


def test_no_range_beyond_the_window_is_to_grow_down() -> None:
    """It would begin with what the process has mapped behind the window, of which the specification knows nothing."""
    steps = [step for document in generate(4242, 6300, {"wild": 1}) for step in document["steps"]]
    grown = [s for s in steps if s["call"].endswith("mprotect") and int(s["prot"]) & 0x01000000]
    assert grown and all(int(s["len"]) < 1 << 45 for s in grown)


def test_every_bit_and_value_is_drawn() -> None:
    """Of flags and protections each bit, of advice each value, of keys negative ones; what is left out is named."""
    drawn: dict[str, set[int]] = {}
    for step in (
        step for document in generate(77, 9_000, {"flags": 8, "huge": 2, "wild": 2}) for step in document["steps"]
    ):
        for field in ("flags", "prot", "behavior", "pkey", "rights"):
            if field in step:
                drawn.setdefault(f"{step['call']} {field}", set()).add(int(step[field]))

    def bits(what: str) -> set[int]:
        return {n for n in range(64) for word in drawn[what] if word >> n & 1}

    every = set(range(64))
    for what in ("mmap flags", "mmap prot", "mprotect prot", "mremap flags", "mseal flags", "pkey_alloc flags"):
        assert bits(what) == every, what
    assert bits("pkey_alloc rights") == every
    assert {word & 0xF for word in drawn["mmap flags"]} >= {*range(10), 15}
    assert drawn["madvise behavior"] > set(range(110))
    assert drawn["pkey_mprotect pkey"] >= {-(1 << 31), -2, -1, 0, 1, 15, 16, 1 << 31, (1 << 32) - 1}
    sizes = {word >> 26 & 63 for word in drawn["mmap flags"] if word & 0x40020 == 0x40020}
    assert 30 not in sizes and len(sizes) > 30


@pytest.fixture(scope="module")
def answers() -> list[Scenario]:
    """Some hundred generated sequences, answered by the specification as it is."""
    documents = generate(11, 700, flavours_for(V6_18, WITH_KEYS))
    return [told(document, V6_18, WITH_KEYS.kernel) for document in documents]


@pytest.fixture(scope="module")
def here() -> tuple[Machine, Edition]:
    """The running kernel and the edition that it is; a plain word where it is none."""
    if oddity():
        pytest.skip(f"no live conformance: {oddity()}")
    found = probe(LiveKernel())
    if found.edition is None:
        names = ", ".join(one.name for one in found.differing)
        told = f"kernel {found.kernel} is no edition, {found.nearest} is nearest and differs in {names}"
        pytest.skip(f"no live conformance: {told}")
    return look_at(LiveKernel()), EDITIONS[found.edition]


# the live kernel ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not has_mseal(), reason=f"no live conformance: kernel {platform.release()} has no mseal, or is not x86-64 Linux"
)
def test_the_running_kernel_conforms(here: tuple[Machine, Edition], tmp_path: Path) -> None:
    """By the compiled program, or without a compiler, which is slower, by ctypes."""
    machine, edition = here
    kernel, examples = (HostKernel(), 1200) if shutil.which("gcc") else (LiveKernel(), 120)
    wanted = Settings(kernel, edition, seed=2, examples=examples, seconds=None, jobs=2, out=tmp_path / "differences")
    with closing(conform(wanted, machine)) as run:
        reports = [progress.report for progress in run]
    report = reports[-1]
    assert report.differences == () and report.unanswered == ()
    assert (report.sequences, report.done) == (examples, ((0, examples),))
    assert report.steps > 8 * report.sequences


PAGES = st.integers(0, 9)
SIZES = st.integers(1, 4)
PROTS = st.sampled_from((3, 3, 1, 0, 5))
KINDS = st.sampled_from((0x22, 0x22, 0x21, 0x02, 0x01))
ADVICE = st.sampled_from((0, 1, 4, 8, 9, 10, 11, 16, 17, 18, 19, 22, 23, 24, 102, 103))


class AnySteps(RuleBasedStateMachine):
    """Calls of any kind in any order; what they came to is compared at the end, so that Hypothesis shrinks them."""

    machine: Machine
    edition: Edition
    dropped: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    def add(self, call: str, page: int, **fields: Any) -> None:
        self.steps.append({"call": call, "addr": at(page), **fields})

    @rule(page=PAGES, pages=SIZES, prot=PROTS, kind=KINDS, fixed=st.booleans())
    def map(self, page: int, pages: int, prot: int, kind: int, fixed: bool) -> None:
        file = {} if kind & 0x20 else {"fd": 100, "off": page * PAGE}
        self.add("mmap", page, len=pages * PAGE, prot=prot, flags=kind | (0x10 if fixed else 0), **file)

    @rule(page=PAGES, byte=st.integers(1, 255))
    def store(self, page: int, byte: int) -> None:
        self.add("write", page, byte=byte)

    @rule(page=PAGES, pages=SIZES, call=st.sampled_from(("munmap", "mseal", "mlock", "munlock")))
    def act_on_range(self, page: int, pages: int, call: str) -> None:
        self.add(call, page, len=pages * PAGE)

    @rule(page=PAGES, pages=SIZES, prot=PROTS)
    def protect(self, page: int, pages: int, prot: int) -> None:
        self.add("mprotect", page, len=pages * PAGE, prot=prot)

    @rule(page=PAGES, pages=SIZES, advice=ADVICE)
    def advise(self, page: int, pages: int, advice: int) -> None:
        self.add("madvise", page, len=pages * PAGE, behavior=advice)

    @rule(page=PAGES, old=st.integers(0, 4), new=SIZES, flags=st.sampled_from((0, 1, 3, 3, 7, 5)), to=PAGES)
    def remap(self, page: int, old: int, new: int, flags: int, to: int) -> None:
        target = {"new_addr": at(to + 12)} if flags & 6 else {}
        self.add("mremap", page, old_len=old * PAGE, new_len=new * PAGE, flags=flags, **target)

    @rule()
    def fork(self) -> None:
        self.steps.append({"call": "fork"})

    def teardown(self) -> None:
        if self.steps:
            (answer,) = run_scenarios([{"name": "any", "steps": self.steps}], HostKernel())
            assert "error" not in answer
            document = answered(answer, self.machine)
            assert first_difference(document, self.edition, dropped=self.dropped) is None


@compiled
def test_steps_that_hypothesis_draws_conform(here: tuple[Machine, Edition]) -> None:
    class Here(AnySteps):
        machine, edition = here

    few = settings(max_examples=150, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Here, settings=few)


@compiled
def test_a_difference_is_shrunk_and_saved(here: tuple[Machine, Edition], tmp_path: Path) -> None:
    """A specification without a check: the kernel differs, in few steps, and the saved scenario carries its answers."""
    machine, edition = here
    dropped = "mseal: a page of the range is unmapped"
    batch = Batch(HostKernel(), machine, edition, 5, 0, 300, dropped=dropped)
    result = run_batch(batch)
    assert result.reached == 300 and result.differences
    _, document, found = result.differences[0]
    smallest, repeatable = shrink(batch, document, found)
    assert repeatable and len(smallest.steps) <= 3 < len(document.steps)
    assert smallest.steps[-1].call == "mseal" and smallest.steps[-1].errno == Errno.ENOMEM
    conforming.save_scenario(tmp_path / "new" / "difference.json", smallest, edition)
    (saved,) = load_document(tmp_path / "new" / "difference.json")
    assert isinstance(saved, Scenario) and saved.edition == edition.name
    assert compare(saved, run_scenario(saved, edition)) == []
    assert first_difference(saved, edition, dropped=dropped) is not None


@compiled
def test_a_run_is_resumed(here: tuple[Machine, Edition], tmp_path: Path) -> None:
    """A run that is broken off leaves a state; the rest is run once, and the whole is what an unbroken run finds."""
    machine, edition = here
    state = tmp_path / "state.json"
    wanted = Settings(HostKernel(), edition, 3, examples=300, seconds=None, jobs=1, out=None, state=state)
    run = conform(wanted, machine)
    while next(run).sequences < 40:
        pass
    run.close()
    broken_off = load_state(state)
    assert broken_off is not None
    (done,) = broken_off.done
    assert done[0] == 0 and 40 <= done[1] < 300 and broken_off.sequences == done[1]
    with closing(conform(wanted, machine, broken_off)) as rest:
        counted = [progress.sequences for progress in rest]
    report = load_state(state)
    assert report is not None and report.done == ((0, 300),) and report.sequences == 300 == counted[-1]
    assert counted[0] >= done[1] and report.differences == ()


@compiled
def test_a_run_stops_when_its_time_is_over(here: tuple[Machine, Edition]) -> None:
    machine, edition = here
    with closing(conform(Settings(HostKernel(), edition, 4, None, 8.0, 1, None), machine)) as run:
        report = [progress.report for progress in run][-1]
    assert 0 < report.sequences == report.done[0][1] and report.agrees


# errors in the specification are found --------------------------------------------------------------------------------

CHECKS = (
    "mseal: flags are reserved",
    "mseal: a page of the range is unmapped",
    "munmap: the length is zero",
    "munmap: a VMA to unmap is sealed",
    "mmap: MAP_FIXED_NOREPLACE over a mapping",
    "mprotect: the address is not page aligned",
    "mprotect: the VMA is sealed",
    "mremap: only shared memory can be duplicated (old size 0)",
    "mremap: the old range leaves its VMA",
    "mremap: the old and the new range overlap",
    "madvise: unknown advice",
    "madvise: the VMA is sealed, read-only and anonymous",
    "madvise: locked memory is discarded by MADV_DONTNEED_LOCKED only",
    "brk: a VMA to unmap is sealed",
    "brk: another mapping is in the way",
    "a page of the range is unmapped",
    "no room under the map-count limit for a split",
    "the VMA refuses to be split",
    "write: a guard page",
)


def is_found(answers: list[Scenario], edition: Edition = V6_18, dropped: str | None = None) -> bool:
    return any(first_difference(document, edition, dropped=dropped) is not None for document in answers)


def test_the_specification_agrees_with_itself(answers: list[Scenario]) -> None:
    assert not is_found(answers)


@pytest.mark.parametrize("check", CHECKS)
def test_a_dropped_check_is_found(answers: list[Scenario], check: str) -> None:
    assert is_found(answers, dropped=check)


@pytest.mark.parametrize("check", CHECKS)
def test_another_errno_is_found(answers: list[Scenario], check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Guards.fail_if

    def fail_if(self: Guards, cond: Bool, errno: Errno, name: str) -> None:
        original(self, cond, Errno.EIO if name == check else errno, name)

    monkeypatch.setattr(Guards, "fail_if", fail_if)
    # brk gives no errno to a program, so that only what else the check decides could show
    assert is_found(answers) != check.startswith("brk:")


def never(*_: object) -> bool:
    return False


def always(*_: object) -> bool:
    return True


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("_merges_left", never),
        ("_merges_right", never),
        ("_same_kind", always),
        ("_anon_vmas_merge", always),
        ("touch", lambda self, page: self.vmas[self.index(page)]),
        ("lock", lambda self, start, end: None),
        ("split", lambda self, page, refused=None: None),
    ],
)
def test_a_wrong_rule_for_vmas_is_found(
    answers: list[Scenario], method: str, wrong: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LayoutSpace, method, wrong)
    assert is_found(answers)


@pytest.mark.parametrize(
    "change",
    [{"guard_pages": False}, {"merges_into_unfaulted": False}, {"early_room": True}, {"droppable": False}],
)
def test_another_edition_is_found(answers: list[Scenario], change: dict[str, Any]) -> None:
    assert is_found(answers, replace(V6_18, **change))


def test_hypothesis_shrinks_to_the_call_that_matters() -> None:
    """By drawing: the smallest sequence that shows a dropped check is the one call that it is about."""
    calls = st.lists(
        st.one_of(
            st.builds(mmap, PAGES, SIZES),
            st.builds(lambda page, pages: {"call": "mseal", "addr": at(page), "len": pages * PAGE}, PAGES, SIZES),
        ),
        min_size=1,
        max_size=12,
    )

    def differs(steps: list[Step]) -> bool:
        document = told({"name": "drawn", "steps": steps}, V6_18, WITH_KEYS.kernel)
        return first_difference(document, V6_18, dropped="mseal: a page of the range is unmapped") is not None

    smallest = find(calls, differs, settings=settings(deadline=None))
    assert smallest == [{"call": "mseal", "addr": at(0), "len": PAGE}]


# what the specification leaves open -----------------------------------------------------------------------------------


def kernel_said(*steps: Step) -> Scenario:
    document = parse_document({"name": "said", "steps": list(steps)})
    assert isinstance(document, Scenario)
    return document


FAILED = {"ret": "-1", "errno": int(Errno.ENOMEM), "vmas": [], "bytes": ""}


@pytest.mark.parametrize(
    ("steps", "explained"),
    [
        ([mmap(0, **FAILED)], True),
        ([mmap(0, **FAILED), mmap(2, ret="p2", errno=0, vmas=["2-3 rw-p anon"])], True),
        ([mmap(0, **FAILED), mmap(2, ret="p2", errno=0, vmas=["0-1 rw-p anon", "2-3 rw-p anon"])], False),
        ([mmap(0, **{**FAILED, "errno": int(Errno.EPERM)})], False),
        ([{"call": "mseal", "addr": at(0), "len": 0, **FAILED}], False),
        ([{"call": "mlock", "addr": at(0), "len": (1 << 64) - PAGE, **FAILED}], True),  # the limit before the range
        ([{"call": "munlock", "addr": at(0), "len": (1 << 64) - PAGE, **FAILED}], False),
        ([mmap(5, flags=0x22, ret="p9", errno=0, vmas=["9-10 rw-p anon"])], True),
        ([mmap(5, flags=0x22, ret="elsewhere", errno=0, vmas=[])], True),
        ([mmap(9), mmap(5, flags=0x22, ret="p9", errno=0, vmas=["9-10 rw-p anon"])], False),
        ([mmap(5, ret="p9", errno=0, vmas=["9-10 rw-p anon"])], False),
    ],
)
def test_only_what_is_allowed_is_explained(steps: list[Step], explained: bool) -> None:
    document = kernel_said(*steps)
    found = first_difference(document, V6_18)
    assert found is not None
    assert (explanation(document, V6_18, found) is not None) == explained


def test_memory_that_runs_out_every_time_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that answers ENOMEM again and again is not short of memory, unless a limit of the machine says so."""
    asked: list[int] = []

    def refuses(documents: list[dict[str, Any]], kernel: object, **_: object) -> Iterator[dict[str, Any]]:
        asked.append(len(documents))
        for document in documents:
            yield {"name": document["name"], "steps": [{**step, **FAILED} for step in document["steps"]]}

    monkeypatch.setattr(batches, "scenario", lambda *_: {"name": "short", "steps": [mmap(0)]})
    monkeypatch.setattr(batches, "run_scenarios", refuses)
    batch = Batch(HostKernel(), WITH_KEYS, V6_18, 1, 0, 1)
    assert len(run_batch(batch).differences) == 1 and len(asked) == 2
    limited = replace(WITH_KEYS, limited=frozenset({"mmap: RLIMIT_AS or the accounting has no room"}))
    result = run_batch(replace(batch, machine=limited))
    assert not result.differences and len(result.explained) == 1


def test_a_specification_that_breaks_down_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(self: LayoutSpace, *_: object) -> None:
        raise IndexError("no such VMA")

    document = told({"name": "x", "steps": [mmap(0)]}, V6_18, Kernel())
    monkeypatch.setattr(LayoutSpace, "map", breaks)
    found = first_difference(document, V6_18)
    assert found is not None and found.differences[0].field == "model" and "no such VMA" in str(found.differences[0])


# keeping count --------------------------------------------------------------------------------------------------------

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted).map(tuple), max_size=5)


@given(SPANS, st.integers(1, 70), st.integers(1, 9))
def test_what_is_missing_is_all_that_is_not_done(done: list[tuple[int, int]], examples: int, size: int) -> None:
    before = {i for first, end in done for i in range(first, end)}
    spans = list(missing(merged(done), examples, size))
    assert all(0 < end - first <= size for first, end in spans)
    numbers = [i for first, end in spans for i in range(first, end)]
    assert numbers == sorted(set(range(examples)) - before)
    assert {i for first, end in merged([*done, *spans]) for i in range(first, end)} == before | set(range(examples))


def test_the_published_schema_is_fresh() -> None:
    published = Path(__file__).parents[2] / "docs" / "schema" / "conform.json"
    assert published.read_text("utf-8") == conform_schema(), "write it again: checker.lab.conform.conform_schema()"


# the command ----------------------------------------------------------------------------------------------------------


@running
@plain
def test_command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    edition = probe(LiveKernel()).nearest
    code = main(["conform", "--examples", "40", "--seed", "6", "--jobs", "1", "--edition", edition, "--json", "r.json"])
    out = capsys.readouterr().out.splitlines()
    report = ConformReport.model_validate_json((tmp_path / "r.json").read_text("utf-8"))
    assert code == int(not report.agrees)
    assert report.sequences == 40 and report.edition == edition
    assert out[-1] == (f"reproduce with: sealspec conform --seed 6 --examples 40 --edition {edition} --kernel running")


def test_a_kernel_without_mseal_is_said_to_be_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(kernel: object) -> Machine:
        raise LabError("running 6.1.0: kernel 6.1.0 has no mseal (6.10 or later)")

    monkeypatch.setattr(batches, "look_at", none)
    assert main(["conform", "--examples", "5"]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["sealspec: running 6.1.0: kernel 6.1.0 has no mseal (6.10 or later)"]


@pytest.mark.parametrize(
    ("change", "what"), [({"seed": 8}, "seed"), ({"edition": "v6.12"}, "edition"), ({"release": "6.1.0"}, "release")]
)
def test_the_state_of_another_run_is_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    change: dict[str, Any],
    what: str,
) -> None:
    state = ConformReport(kernel="running", release="6.18.0", machine=Kernel(), edition="v6.18", seed=7)
    (tmp_path / "state").write_text(state.model_copy(update=change).model_dump_json(), encoding="utf-8")
    monkeypatch.setattr(batches, "look_at", lambda kernel: WITH_KEYS)
    assert main(["conform", "--seed", "7", "--edition", "v6.18", "--resume", str(tmp_path / "state")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert what in line and "--resume" in line


@pytest.mark.parametrize("text", ["", "[]", '{"format": "mseal-spec/conform/1"}', "\x00"])
def test_a_state_that_is_none_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "state").write_text(text, encoding="utf-8")
    monkeypatch.setattr(batches, "look_at", lambda kernel: WITH_KEYS)
    assert main(["conform", "--edition", "v6.18", "--resume", str(tmp_path / "state")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "not the state of a conformance run" in line
    assert json.dumps(text) not in line


def test_five_levels_of_page_tables_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that maps beyond 2^47 is none that the specification speaks of; one that refuses to is."""

    def kernel(errno: Errno) -> None:
        def run(documents: list[dict[str, Any]], kernel: object, *, report: RunReport) -> Iterator[dict[str, Any]]:
            report.hello = Hello("6.18.0", True, 65530, True, False)
            for document in documents:
                steps = [
                    {**step, "errno": int(errno if step["call"] == "mmap" else Errno.EPERM)}
                    for step in document["steps"]
                ]
                yield {"name": document["name"], "steps": steps}

        monkeypatch.setattr(batches, "run_scenarios", run)

    kernel(Errno.OK)
    with pytest.raises(LabError, match=r"five levels of page tables.*EXCLUSIONS"):
        look_at(LiveKernel())
    kernel(Errno.ENOMEM)
    told = look_at(LiveKernel()).kernel
    assert told.pkeys and told.memory_failure and not told.huge_pages and told.mmap_min_addr == 1 << 16
