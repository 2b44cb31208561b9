# SPDX-License-Identifier: MIT
"""Documents: what they accept, how they refuse, and that nothing is lost between a state and its document."""

from __future__ import annotations

import ast
import importlib
import json
import lzma
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st

import spec.syscalls
from checker.concrete import State
from checker.documents.base import BadDocument, NotModelled
from checker.documents.counterexamples import Counterexample
from checker.documents.files import dump_document, load_document, parse_document, schemas
from checker.documents.layouts import Backing, Flag, LayoutDoc, Share, VmaDoc
from checker.documents.scenarios import FAILURES, Scenario
from checker.machine import perform
from checker.scenario import OBJECT, initial_state, trace_scenario
from spec.editions import EDITIONS
from spec.layout import layout_problems, well_formed
from spec.terms import whole
from spec.vma import BOOL_ATTRIBUTES, Vma
from spec.words import TASK_PAGES

ROOT = Path(__file__).parent.parent.parent


def scenario(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "n", "steps": list(steps), **more}


MSEAL = {"call": "mseal", "addr": "0x200000000000", "len": 4096, "flags": 0}
LAYOUT: dict[str, Any] = {"vmas": [{"start": 16, "end": 18, "anon_vma": 1}], "pages": [{"page": 17, "own": 65}]}
STEP: dict[str, Any] = {
    "call": "mseal",
    "words": {"addr": 16 << 12, "len": 4096, "flags": 0},
    "result": {"value": 0, "errno": "OK", "check": ""},
    "after": LAYOUT,
}
COUNTEREXAMPLE: dict[str, Any] = {
    "format": "mseal-spec/counterexample/1",
    "property": "p",
    "sentence": "s",
    "edition": "v10",
    "call": "mseal",
    "expected": "proved",
    "before": LAYOUT,
    "steps": [STEP],
    "culprit": {"page": 16, "why": "w"},
    "size": {"vmas": 1, "pages": 2, "calls": 1},
}


def refusal(data: object) -> tuple[str, str]:
    with pytest.raises(BadDocument) as caught:
        parse_document(data)
    assert "\n" not in str(caught.value)
    return caught.value.pointer, caught.value.reason


# what is refused, where, and why --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "pointer", "words"),
    [
        ([], "", "not a JSON object"),
        ({"name": "n"}, "/steps", "missing"),
        (scenario({**MSEAL, "call": "mseel"}), "/steps/0/call", "unknown call 'mseel'; did you mean 'mseal'?"),
        (scenario({"addr": 0}), "/steps/0", "an object with the key 'call'"),
        (scenario("mseal"), "/steps/0", "object"),  # type: ignore[arg-type]
        (scenario(MSEAL, {"call": "mseal", "len": 1}), "/steps/1/addr", "missing"),
        (scenario({**MSEAL, "flag": 0}), "/steps/0/flag", "unknown key 'flag'; did you mean 'flags'?"),
        (scenario({**MSEAL, "a/b~": 0}), "/steps/0/a~1b~0", "unknown key"),
        (scenario({**MSEAL, "len": 1 << 64}), "/steps/0/len", "less than"),
        (scenario({**MSEAL, "len": -1}), "/steps/0/len", "greater than"),
        (scenario({**MSEAL, "len": True}), "/steps/0/len", "integer"),
        (scenario({**MSEAL, "len": 1.0}), "/steps/0/len", "integer"),
        (scenario({**MSEAL, "len": "0x1000"}), "/steps/0/len", "integer"),
        (scenario({**MSEAL, "addr": "brk+12"}), "/steps/0/addr", "brk+0x"),
        (scenario({**MSEAL, "addr": "0x12345678123456780"}), "/steps/0/addr", "16 hexadecimal digits"),
        (scenario({**MSEAL, "bytes": "4"}), "/steps/0/bytes", "two characters for each page"),
        (scenario({"call": "write", "addr": 0, "byte": 256}), "/steps/0/byte", "255"),
        (
            scenario({"call": "pkey_mprotect", "addr": 0, "len": 0, "prot": 0, "pkey": -(2**63) - 1}),
            "/steps/0/pkey",
            "greater",
        ),
        (scenario({**MSEAL, "failures": ["x"]}), "/steps/0", "mseal has no environment failure 'x'"),
        (
            scenario({"call": "brk", "addr": 0, "failures": ["brk: memory or limit on it runs out"]}),
            "/steps/0",
            "did you mean 'brk: memory or a limit on it runs out'?",
        ),
        (scenario(edition="v6.199"), "/edition", "unknown edition 'v6.199'; did you mean 'v6.1"),
        (scenario(edition=6), "/edition", "unknown edition 6; known: v10"),
        (scenario(kernel={"pkey": True}), "/kernel/pkey", "unknown key"),
        (scenario(layout={"vmas": [{"start": 1, "end": 2, "prot": "rwz"}]}), "/layout/vmas/0/prot", "pattern"),
        (scenario(layout={"vmas": [{"start": 1, "end": 2, "flags": ["seal"]}]}), "/layout/vmas/0/flags/0", "'sealed'"),
        (scenario(layout={"vmas": [{"start": 2, "end": 2}]}), "/layout/vmas/0", "VMA 0 (pages 0x2-0x2): it is empty"),
        (scenario({"call": "fill"}, MSEAL | {"x": 1}), "/steps/0/free", "missing (and 1 more)"),
        ({**COUNTEREXAMPLE, "format": "mseal-spec/run/1"}, "/format", "mseal-spec/counterexample/1"),
        ({**COUNTEREXAMPLE, "steps": []}, "/steps", "at least 1"),
        ({**COUNTEREXAMPLE, "steps": [{**STEP, "call": "mseal2"}]}, "/steps/0/call", "did you mean 'mseal"),
        (
            {**COUNTEREXAMPLE, "steps": [{**STEP, "words": {"addr": 0}}]},
            "/steps/0",
            "mseal takes the words addr, len, flags",
        ),
        (
            {**COUNTEREXAMPLE, "steps": [{**STEP, "result": {"value": -1, "errno": "EPREM", "check": ""}}]},
            "/steps/0/result/errno",
            "did you mean 'EPERM'?",
        ),
        ({**COUNTEREXAMPLE, "before": {**LAYOUT, "vmas": []}}, "/before/pages/0", "page 0x11 is not mapped"),
    ],
)
def test_refusals_say_where_and_why(data: object, pointer: str, words: str) -> None:
    at, reason = refusal(data)
    assert at == pointer
    assert words in reason


@pytest.mark.parametrize(
    ("layout", "pointer", "words"),
    [
        (
            {"vmas": [{"start": 5, "end": 7}, {"start": 6, "end": 8}]},
            "/vmas/1",
            "VMA 1 (pages 0x6-0x8): it begins before VMA 0 ends",
        ),
        (
            {"vmas": [{"start": 9, "end": 10}, {"start": 6, "end": 8}]},
            "/vmas/1",
            "VMA 1 (pages 0x6-0x8): it begins before",
        ),
        ({"vmas": [{"start": 1, "end": TASK_PAGES + 1}]}, "/vmas/0", "TASK_SIZE"),
        ({"vmas": [{"start": 1, "end": 2, "backing": "file"}]}, "/vmas/0", "object"),
        ({"vmas": [{"start": 1, "end": 2}], "max_map_count": 3, "elsewhere": 4}, "/vmas", "one above its limit"),
        ({"vmas": [{"start": 1, "end": 2}], "pages": [{"page": 1, "own": 5}]}, "/pages/0", "anon_vma"),
        ({"vmas": [{"start": 1, "end": 2, "anon_vma": 1}], "pages": [{"page": 1}, {"page": 1}]}, "/pages/1", "twice"),
        ({"objects": [{"object": 1}, {"object": 1}]}, "/objects/1", "twice"),
        (
            {"objects": [{"object": 1, "pages": 1, "contents": [{"offset": 1, "value": 1}]}]},
            "/objects/0/contents/0",
            "beyond",
        ),
        ({"brk": 1}, "/brk", "below"),
        ({"pkeys": [1]}, "/pkeys", "key 0"),
        ({"exec_key": 3}, "/exec_key", "not among"),
    ],
)
def test_layouts_that_no_kernel_has(layout: dict[str, Any], pointer: str, words: str) -> None:
    with pytest.raises(BadDocument) as caught:
        LayoutDoc.model_validate(layout).to_state()
    assert caught.value.pointer == pointer
    assert words in caught.value.reason


def test_short_layouts_are_filled_in() -> None:
    layout = LayoutDoc.model_validate(
        {
            "vmas": [
                {"start": 16, "end": 18},
                {"start": 20, "end": 21, "backing": "file", "object": 3, "share": "shared-readonly", "prot": "r--"},
            ],
            "start_brk": 64,
        }
    )
    anonymous, file = layout.vmas
    assert (anonymous.offset, anonymous.prot, anonymous.may) == (16, "rw-", "rwx")
    assert (file.offset, file.may) == (0, "r-x")
    assert layout.brk == 64
    assert VmaDoc(start=1, end=2, flags=("sealed", "locked")).flags == ("locked", "sealed")


def test_layout_problems_name_each_vma() -> None:
    broken = [Vma(3, 3, offset=3), Vma(2, 4, offset=2)]
    problems = layout_problems(broken)
    assert problems[0].startswith("VMA 0 (pages 0x3-0x3): it is empty")
    assert problems[-1].startswith("VMA 1 (pages 0x2-0x4): it begins before VMA 0 ends")
    assert layout_problems([Vma(3, 4, offset=3)]) == []


def test_well_formed_reads_symbolic_layouts() -> None:
    first = Vma(z3.Int("start"), z3.Int("end"), offset=z3.Int("start"))
    second = Vma(5, 6, offset=5)
    solver = z3.Solver()
    solver.add([cond for cond, _ in well_formed([first, second]) if isinstance(cond, z3.ExprRef)])
    solver.add(first.start == 4)
    assert solver.check() == z3.sat
    assert solver.model().eval(first.end).as_long() == 5
    with pytest.raises(ValueError, match="symbolic"):
        layout_problems([first])


def test_failures_are_those_of_the_specification() -> None:
    """FAILURES lists every may_fail check, under its call."""
    found: dict[str, set[str]] = {}
    for path in Path(spec.syscalls.__file__).parent.glob("*.py"):
        named = vars(importlib.import_module(f"spec.syscalls.{path.stem}"))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "may_fail":
                told = node.args[1]
                why = named[told.id] if isinstance(told, ast.Name) else ast.literal_eval(told)
                found.setdefault(why.split(":")[0], set()).add(why)
    assert {call: set(names) for call, names in FAILURES.items()} == found


# files ----------------------------------------------------------------------------------------------------------------


def test_files_of_every_kind(tmp_path: Path) -> None:
    one, two = scenario(MSEAL), scenario(name="two")
    texts = {
        "a.json": json.dumps(one, indent=2),
        "b.json": json.dumps(one) + "\n",
        "c.jsonl": json.dumps(one) + "\n\n" + json.dumps(two) + "\n",
        "d": json.dumps(one) + "\n" + json.dumps(two),
        "e.json": "\ufeff" + json.dumps(COUNTEREXAMPLE),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "f.jsonl.xz").write_bytes(lzma.compress(texts["c.jsonl"].encode()))
    counts = {path.name: len(load_document(path)) for path in tmp_path.iterdir()}
    assert counts == {"a.json": 1, "b.json": 1, "c.jsonl": 2, "d": 2, "e.json": 1, "f.jsonl.xz": 2}
    assert isinstance(load_document(tmp_path / "e.json")[0], Counterexample)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b"", "the file is empty"),
        ("a.json", b"\xff\xfe", "not UTF-8 text (byte 0)"),
        ("a.json", b'{"name": "n",\n  "steps": [}', "not JSON: Expecting value at line 2 column 13"),
        ("a.jsonl", b'{"name": "n", "steps": []}\n{"name": 1, "steps": []}', "a.jsonl:2: /name: "),
        ("a.jsonl", b'{"name": "n", "steps": []}\n{', "a.jsonl:2: not JSON"),
        ("a.json", b'{"name": "n", "name": "m", "steps": []}', "the key 'name' appears twice"),
        ("a.json", b'{"name": NaN, "steps": []}', "NaN is not JSON"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.json", b'{"name": "n", "steps": ' + b"1" * 5000 + b"}", "too many digits"),
        ("a.xz", b"not xz", "cannot be read"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadDocument) as caught:
        load_document(tmp_path / name)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json", tmp_path / "none.jsonl.xz"):
        with pytest.raises(BadDocument, match="cannot be read"):
            load_document(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "steps", "call", "addr", "len", "layout", "vmas", "start", "format", "edition", "flags", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON)
@settings(max_examples=300, deadline=None)
def test_any_json_is_read_or_refused(data: object) -> None:
    refusal = ""
    try:
        parse_document(data)
    except BadDocument as bad:
        refusal = str(bad)
    assert "\n" not in refusal


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    with pytest.raises(BadDocument):
        load_document(path)


# round trips ----------------------------------------------------------------------------------------------------------

WINDOW_BYTES = 0x2000_0000_0000
ADDRESS = st.integers(0, 11).map(lambda page: WINDOW_BYTES + (page << 12))
LENGTH = st.integers(1, 5).map(lambda pages: pages << 12)
PROT = st.integers(0, 7)
CALL = st.one_of(
    st.fixed_dictionaries(
        {
            "call": st.just("mmap"), "addr": ADDRESS, "len": LENGTH, "prot": PROT,
            "flags": st.sampled_from([0x32, 0x31, 0x12, 0x11, 0x132, 0x2032, 0x4032, 0x38]),
            "fd": st.sampled_from([-1, 100, 101, 102]), "off": st.integers(0, 2).map(lambda page: page << 12),
        }
    ),
    st.fixed_dictionaries({"call": st.just("mprotect"), "addr": ADDRESS, "len": LENGTH, "prot": PROT}),
    st.fixed_dictionaries({"call": st.just("mseal"), "addr": ADDRESS, "len": LENGTH}),
    st.fixed_dictionaries({"call": st.just("munmap"), "addr": ADDRESS, "len": LENGTH}),
    st.fixed_dictionaries({"call": st.just("mlock"), "addr": ADDRESS, "len": LENGTH}),
    st.fixed_dictionaries(
        {
            "call": st.just("madvise"), "addr": ADDRESS, "len": LENGTH,
            "behavior": st.sampled_from([1, 2, 4, 8, 9, 10, 12, 14, 15, 16, 18, 23, 102]),
        }
    ),
    st.fixed_dictionaries(
        {
            "call": st.just("mremap"), "addr": ADDRESS, "old_len": LENGTH, "new_len": LENGTH,
            "flags": st.sampled_from([0, 1, 3, 5, 7]), "new_addr": ADDRESS,
        }
    ),
    st.fixed_dictionaries({"call": st.just("write"), "addr": ADDRESS, "byte": st.integers(0, 255)}),
    st.fixed_dictionaries({"call": st.just("brk"), "addr": st.integers(0, 6).map(lambda page: f"brk+{page << 12:#x}")}),
    st.sampled_from([{"call": "fork"}, {"call": "pkey_alloc"}, {"call": "fill", "free": 3}]),
)  # fmt: skip


def reached(steps: list[dict[str, Any]], edition: str) -> State:
    """The state after a scenario, or where it comes to what is not modelled."""
    document = parse_document(scenario(*steps))
    assert isinstance(document, Scenario)
    states = [initial_state(document)]
    with suppress(NotModelled):
        states += (state for _, state in trace_scenario(document, EDITIONS[edition]))
    return states[-1]


@given(st.lists(CALL, max_size=12), st.sampled_from(sorted(EDITIONS)))
@settings(max_examples=150, deadline=None)
def test_states_survive_their_documents(steps: list[dict[str, Any]], edition: str) -> None:
    state = reached([step for step in steps if EDITIONS[edition].has(step["call"])], edition)
    document = LayoutDoc.from_state(state)
    read = LayoutDoc.model_validate_json(dump_document(document))
    assert read == document
    again = read.to_state()
    for name in (
        "vmas",
        "pages",
        "objects",
        "elsewhere",
        "max_map_count",
        "start_brk",
        "brk",
        "pkeys",
        "has_pkeys",
        "exec_key",
        "pkru",
    ):
        assert getattr(again, name) == getattr(state, name), name
    mapped = {whole(vma.object) for vma in state.vmas} - {0} | {OBJECT}
    assert {n: state.sizes.get(n) for n in mapped} == {n: again.sizes.get(n) for n in mapped}
    assert LayoutDoc.from_state(again) == document


FLAGS = st.sets(st.sampled_from(get_args(Flag))).filter(
    lambda flags: not flags >= {"random", "sequential"} and not flags >= {"hugepage", "nohugepage"}
)


@given(
    st.builds(
        VmaDoc,
        start=st.integers(0, 9),
        end=st.integers(0, 9),
        prot=st.sampled_from(["---", "r--", "-w-", "--x", "rwx"]),
        may=st.sampled_from(["---", "r-x", "rwx"]),
        share=st.sampled_from(get_args(Share)),
        backing=st.sampled_from(get_args(Backing)),
        object=st.integers(0, 3),
        offset=st.integers(0, 9),
        anon_vma=st.integers(0, 3),
        pkey=st.integers(0, 15),
        flags=FLAGS.map(tuple),
    )
)
@settings(max_examples=200, deadline=None)
def test_vmas_survive_their_documents(document: VmaDoc) -> None:
    assert VmaDoc.from_vma(document.to_vma()) == document


def test_a_shared_object_reaches_as_far_as_its_offsets() -> None:
    """Page offsets are words, so that an object ends as late: a counterexample of v7.1 could not be written."""
    last = (1 << 64) - 2
    vma = {"start": 32, "end": 33, "share": "shared", "backing": "file", "object": 7, "offset": last}
    made = {"object": 7, "pages": last + 1, "contents": [{"offset": last, "value": 3}]}
    layout = LayoutDoc.model_validate({"vmas": [vma], "objects": [made]})
    assert LayoutDoc.from_state(layout.to_state()) == layout


def test_every_attribute_of_a_vma_is_in_its_document() -> None:
    """Every Boolean attribute is a flag, a right or a kind of sharing, so that a new one cannot be forgotten."""
    rights = {f"{may}{name}" for may in ("", "may_") for name in ("read", "write", "exec")}
    assert set(BOOL_ATTRIBUTES) <= rights | {"shared", "may_share"} | set(get_args(Flag))


def test_new_numbers_do_not_meet_old_ones() -> None:
    layout = LayoutDoc.model_validate(
        {"vmas": [{"start": 32, "end": 33, "anon_vma": 5000}], "objects": [{"object": 7000}]}
    )
    state = layout.to_state()
    words = {"addr": 64 << 12, "len": 4096, "prot": 3, "flags": 0x31, "file": 0, "object": 0, "off": 0}
    assert perform(state, EDITIONS["v10"], "mmap", words).value == 64
    assert state.vmas[-1].object == 7001


def test_schemas_are_up_to_date() -> None:
    for name, text in schemas().items():
        path = ROOT / "docs" / "schema" / name
        assert path.read_text(encoding="utf-8") == text, (
            f"{name} is stale; run: python -c 'from checker.documents.files import write_schemas; write_schemas()'"
        )
    assert schemas() == schemas()
