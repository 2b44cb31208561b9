# SPDX-License-Identifier: MIT
"""The drawings of counterexamples: the graph, DOT, SVG and plain text."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

import networkx as nx
import pydot
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checker.documents.counterexamples import Counterexample
from checker.documents.layouts import LayoutDoc
from checker.machine import perform
from reports.graph import graph_of, to_dot
from reports.graph_relate import RELATIONS, layouts, relations
from reports.strip import narrative, to_svg, to_text
from reports.strip_axis import axis_of
from reports.strip_story import stop_page
from spec.editions import EDITIONS
from spec.syscalls import CALLS

BASE = 0x10000
BYTES = 4096


def page(number: int) -> int:
    """Byte address of a page of the samples."""
    return (BASE + number) * BYTES


def vma(start: int, end: int, **attributes: Any) -> dict[str, Any]:
    """One VMA, its pages relative to BASE."""
    return {"start": BASE + start, "end": BASE + end, **attributes}


def counterexample(
    name: str,
    why: str,
    culprit: int | None,
    before: dict[str, Any],
    *calls: tuple[str, dict[str, int], tuple[int, int] | None],
    edition: str = "v10",
) -> Counterexample:
    """A counterexample whose calls the concrete reading executes; ranges and the culprit are relative to BASE."""
    layout = LayoutDoc.model_validate(before)
    state = layout.to_state()
    steps = []
    for call, words, reach in calls:
        result = perform(state, EDITIONS[edition], call, words)
        steps.append(
            {
                "call": call,
                "words": words,
                "range": None if reach is None else tuple(BASE + edge for edge in reach),
                "result": {"value": result.value, "errno": result.errno.name, "check": result.check},
                "after": LayoutDoc.from_state(state),
            }
        )
    return Counterexample.model_validate(
        {
            "property": name,
            "sentence": f"A sentence that says what {name} means, for a reader who sees it for the first time.",
            "edition": edition,
            "call": calls[-1][0],
            "expected": "refuted",
            "before": layout,
            "steps": steps,
            "culprit": {"page": None if culprit is None else BASE + culprit, "why": why},
            "size": {"vmas": len(layout.vmas), "pages": 8, "calls": len(calls)},
        }
    )


def partial_seal() -> Counterexample:
    """mseal over a VMA and half of the next, at the limit: ENOMEM, and the first VMA is sealed all the same."""
    before = {"vmas": [vma(0, 2), vma(2, 4, prot="r--")], "max_map_count": 2}
    call = ("mseal", {"addr": page(0), "len": 3 * BYTES, "flags": 0}, (0, 3))
    return counterexample("mseal-is-atomic", "The page is sealed although mseal failed.", 0, before, call)


def file_discard() -> Counterexample:
    """MADV_DONTNEED on a sealed private file mapping: the page's own copy is lost."""
    before = {
        "vmas": [vma(0, 4, prot="r--", backing="file", object=1, offset=8, anon_vma=1, flags=["sealed"])],
        "pages": [{"page": BASE + 1, "own": 7}],
        "objects": [{"object": 1, "pages": 64, "contents": [{"offset": 9, "value": 3}, {"offset": 10, "value": 4}]}],
    }
    call = ("madvise", {"addr": page(1), "len": BYTES, "behavior": 4}, (1, 2))
    return counterexample("contents-stay", "A program reads 3 where it read 7.", 1, before, call)


def move() -> Counterexample:
    """mremap moves two pages of a VMA far away."""
    before = {"vmas": [vma(0, 6, anon_vma=1), vma(6, 9, flags=["sealed"])], "pages": [{"page": BASE + 3, "own": 5}]}
    words = {"addr": page(2), "old_len": 2 * BYTES, "new_len": 3 * BYTES, "flags": 3, "new_addr": page(5000)}
    return counterexample("nothing-moves", "The page went elsewhere.", 3, before, ("mremap", words, (2, 4)))


def hole() -> Counterexample:
    """munmap in the middle of a VMA."""
    before = {
        "vmas": [
            vma(0, 200, flags=["locked", "wipeonfork"]),
            vma(203, 204, backing="devzero", object=3, flags=["sealed", "dontfork", "dontdump"], pkey=3, may="rw-"),
            vma(204, 205, backing="hugetlb", object=4, share="shared", prot="---"),
        ][:2]
    }
    call = ("munmap", {"addr": page(50), "len": 20 * BYTES}, (50, 70))
    return counterexample("munmap-keeps-neighbours", "It is no longer mapped.", 51, before, call)


def trace() -> Counterexample:
    """Six calls from an empty address space."""
    ro, rw, fixed = 1, 3, 0x32

    def mmap(start: int, pages: int, prot: int) -> tuple[str, dict[str, int], tuple[int, int]]:
        words = {
            "addr": page(start),
            "len": pages * BYTES,
            "prot": prot,
            "flags": fixed,
            "file": 0,
            "object": 0,
            "off": 0,
        }
        return ("mmap", words, (start, start + pages))

    return counterexample(
        "sealed-stays-unwritten",
        "A sealed, read-only page lost its contents.",
        2,
        {"elsewhere": 20, "objects": [{"object": 9, "pages": 1}]},
        mmap(0, 4, rw),
        ("write", {"addr": page(2), "byte": 65}, (2, 3)),
        ("mprotect", {"addr": page(1), "len": 2 * BYTES, "prot": ro}, (1, 3)),
        ("mseal", {"addr": page(1), "len": 2 * BYTES, "flags": 0}, (1, 3)),
        mmap(3, 3, rw),
        ("munmap", {"addr": page(0), "len": 6 * BYTES}, (0, 6)),
    )


def protect_half() -> Counterexample:
    """mprotect of 6.12 meets a seal on its way; what came before keeps the new protection, and merges."""
    before = {
        "vmas": [vma(0, 1, prot="r--", anon_vma=1), vma(1, 3, anon_vma=1), vma(3, 5, flags=["sealed"]), vma(5, 6)],
        "pages": [{"page": BASE + 1, "own": 6, "lazy": True}],
    }
    call = ("mprotect", {"addr": page(1), "len": 5 * BYTES, "prot": 1}, (1, 6))
    why = "Its protection changed although mprotect failed."
    return counterexample("mprotect-is-atomic", why, 2, before, call, edition="v6.12")


def onto_mapping() -> Counterexample:
    """mremap onto a place that is mapped, with MREMAP_DONTUNMAP: the source stays, the destination is replaced."""
    before = {"vmas": [vma(0, 3, anon_vma=1), vma(6, 12, prot="r-x")], "pages": [{"page": BASE + 1, "own": 5}]}
    words = {"addr": page(1), "old_len": 2 * BYTES, "new_len": 2 * BYTES, "flags": 7, "new_addr": page(8)}
    return counterexample("nothing-is-replaced", "It holds another page.", 8, before, ("mremap", words, (1, 3)))


def crowd() -> Counterexample:
    """Many small VMAs with all that a VMA can have, and a huge one; the range covers it all."""
    kinds: list[dict[str, Any]] = [
        {"prot": "r-x", "flags": ["sealed"], "backing": "special"},
        {"flags": ["locked", "growsdown", "dontfork", "dontdump"]},
        {"backing": "file", "object": 123, "share": "shared-readonly", "prot": "r--"},
        {"backing": "devzero", "object": 7, "pkey": 5, "flags": ["sealed", "dontfork"]},
        {"flags": ["droppable", "noreserve"]},
        {"backing": "file", "object": 1, "share": "shared", "flags": ["sealed"]},
    ]
    before = {"vmas": [vma(2 * i, 2 * i + 1 + i % 2, **kinds[i % 6]) for i in range(14)]}
    before["vmas"].append(vma(512, 1 << 20, backing="hugetlb", object=4))
    call = ("munmap", {"addr": page(0), "len": 1024 * BYTES}, (0, 1024))
    return counterexample("a-crowd", "The names are long. " * 12, 20, before, call)


SAMPLES = (partial_seal, file_discard, move, hole, trace, protect_half, onto_mapping, crowd)
Sample = Callable[[], Counterexample]
every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample.__name__))
SVG = "{http://www.w3.org/2000/svg}"


def edges(doc: Counterexample) -> dict[tuple[str, str], str]:
    """Edges of the graph that are not `same`, with their labels."""
    found = graph_of(doc).edges(data=True)
    return {(a, b): data["label"] for a, b, data in found if data["relation"] != "same"}


# the graph ------------------------------------------------------------------------------------------------------------


def test_a_partial_seal_changes_one_vma() -> None:
    graph = graph_of(partial_seal())
    assert edges(partial_seal()) == {("L0V0", "L1V0"): "now sealed"}
    assert graph.edges["L0V0", "L1V0"]["changed"] == ("sealed",)
    assert graph.edges["L0V1", "L1V1"]["relation"] == "same"
    assert not graph.nodes["L0V0"]["sealed"] and graph.nodes["L1V0"]["sealed"]


def test_a_hole_splits_a_vma_around_a_gap() -> None:
    graph = graph_of(hole())
    assert edges(hole()) == {("L0V0", "L1V0"): "split", ("L0V0", "L1G0"): "unmapped", ("L0V0", "L1V1"): "split"}
    assert (graph.nodes["L1G0"]["start"], graph.nodes["L1G0"]["end"]) == (BASE + 50, BASE + 70)
    assert graph.edges["L0V1", "L1V2"]["relation"] == "same"


def test_a_move_goes_to_another_place_and_grows_there() -> None:
    graph = graph_of(move())
    assert graph.edges["L0V0", "L1V3"]["relation"] == "moved"
    assert graph.edges["L0V0", "L1V3"]["pieces"] == ((BASE + 2, BASE + 4, BASE + 5000),)
    assert graph.edges["L0G0", "L1V3"]["relation"] == "mapped"
    assert {b for _, b in graph.out_edges("L0V0")} == {"L1V0", "L1V1", "L1V3"}


def test_a_move_with_dontunmap_leaves_the_source_whole() -> None:
    found = edges(onto_mapping())
    assert found["L0V0", "L1V2"] == "moved"
    assert found["L0V0", "L1V0"] == "contents of +1"
    assert found["L0V1", "L1V2"] == "replaced"
    assert found["L0V1", "L1V1"] == found["L0V1", "L1V3"] == "split"


def test_a_merge_is_seen_with_what_changed() -> None:
    found = edges(protect_half())
    assert found == {("L0V0", "L1V0"): "merge", ("L0V1", "L1V0"): "merge, now r--"}


def test_a_discard_changes_contents_only() -> None:
    assert edges(file_discard()) == {("L0V0", "L1V0"): "contents of +1"}


def test_fixed_mmap_replaces_what_was_there() -> None:
    found = edges(trace())
    assert found["L0G0", "L1V0"] == "mapped"
    assert found["L4V2", "L5V2"] == "replaced"
    assert found["L4G0", "L5V2"] == "mapped"
    assert not any(a.startswith("L5") for a, _ in found), "the refused munmap changed nothing"


@every_sample
def test_every_vma_is_a_node_and_every_page_is_followed(sample: Sample) -> None:
    doc = sample()
    graph = graph_of(doc)
    assert graph.number_of_nodes() == len(set(graph))
    for layer, layout in enumerate(layouts(doc)):
        for i, shown in enumerate(layout.vmas):
            data = graph.nodes[f"L{layer}V{i}"]
            assert (data["start"], data["end"], data["protection"]) == (shown.start, shown.end, shown.prot)
            if layer < len(doc.steps):
                pieces = [p for _, _, d in graph.out_edges(f"L{layer}V{i}", data=True) for p in d["pieces"]]
                assert pieces, f"L{layer}V{i} has a fate"
                assert min(p[0] for p in pieces) == shown.start and max(p[1] for p in pieces) == shown.end
            if layer:
                assert graph.in_degree(f"L{layer}V{i}"), f"L{layer}V{i} comes from somewhere"
    assert {data["relation"] for _, _, data in graph.edges(data=True)} <= set(RELATIONS)
    assert all(graph.nodes[b]["layer"] == graph.nodes[a]["layer"] + 1 for a, b in graph.edges)


@every_sample
def test_dot_is_read_back_with_the_same_edges(sample: Sample) -> None:
    doc = sample()
    parsed = pydot.graph_from_dot_data(to_dot(doc))
    assert parsed is not None and len(parsed) == 1
    read = nx.nx_pydot.from_pydot(parsed[0])
    wanted = {(a, b, data["label"]) for a, b, data in graph_of(doc).edges(data=True)}
    assert {(a, b, data["label"].strip('"')) for a, b, data in read.edges(data=True)} == wanted
    named = {node.get_name() for cluster in parsed[0].get_subgraphs() for node in cluster.get_nodes()}
    assert named == set(graph_of(doc))


def test_dot_survives_quotes_and_newlines() -> None:
    doc = retold(partial_seal(), why='a "quoted" \\ word\n and another')
    assert pydot.graph_from_dot_data(to_dot(doc)) is not None


# where a call stops ---------------------------------------------------------------------------------------------------


def stop(doc: Counterexample) -> int | None:
    """Where the last call stopped, relative to BASE."""
    found = stop_page(doc, len(doc.steps) - 1)
    return None if found is None else found - BASE


def test_the_page_where_a_call_stopped() -> None:
    assert stop(partial_seal()) == 3, "the split that had no room"
    assert stop(protect_half()) == 3, "the seal"
    assert stop(trace()) == 1
    assert stop(move()) is None, "it succeeded"


def test_a_gap_stops_mseal_where_it_begins() -> None:
    call = ("mseal", {"addr": page(0), "len": 6 * BYTES, "flags": 0}, (0, 6))
    assert stop(counterexample("p", "", None, {"vmas": [vma(0, 2), vma(4, 6)]}, call)) == 2


def test_bad_arguments_have_no_page() -> None:
    call = ("mseal", {"addr": page(0), "len": BYTES, "flags": 1}, (0, 1))
    assert stop(counterexample("p", "", None, {"vmas": [vma(0, 2)]}, call)) is None


# words ----------------------------------------------------------------------------------------------------------------


def test_the_story_says_what_failed_and_what_happened_all_the_same() -> None:
    first, last = narrative(partial_seal())
    assert first.startswith("mseal(+0, 3 pages, flags 0) fails with ENOMEM at page +3 (no room under")
    assert first.endswith("Even so, [+0,+2) is now sealed.")
    assert last == "This breaks mseal-is-atomic at page +0: The page is sealed although mseal failed."


def test_the_story_names_splits_moves_merges_and_contents() -> None:
    assert "VMA [+0,+200) is split into [+0,+50) and [+70,+200); [+50,+70) is unmapped." in narrative(hole())[0]
    assert "[+2,+4) moves to [+5000,+5002)" in narrative(move())[0]
    assert "pieces of [+0,+1) and [+1,+3) merge into VMA [+0,+3)" in narrative(protect_half())[0]
    assert "page +1 holds (3), where it held 7" in narrative(file_discard())[0]
    assert narrative(trace())[5].endswith("Nothing has changed.")


# SVG ------------------------------------------------------------------------------------------------------------------

Box = tuple[float, float, float, float]


def box(rect: ET.Element) -> Box:
    """Left, top, right, bottom of a rectangle."""
    x, y, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
    return (x, y, x + width, y + height)


def overlap(a: Box, b: Box) -> bool:
    """More than a common border."""
    return a[0] < b[2] - 0.2 and b[0] < a[2] - 0.2 and a[1] < b[3] - 0.2 and b[1] < a[3] - 0.2


def drawn(svg: ET.Element) -> dict[str, tuple[int, int, Box]]:
    """VMAs of a drawing: node, start, end, box."""
    found = {}
    for group in svg.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        assert rect is not None
        found[group.attrib["data-node"]] = (
            int(group.attrib["data-start"]),
            int(group.attrib["data-end"]),
            box(rect),
        )
    return found


def check_svg(doc: Counterexample) -> None:
    """What must hold of every drawing."""
    svg = ET.fromstring(to_svg(doc))
    width, height = (float(part) for part in svg.attrib["viewBox"].split()[2:])
    assert svg.attrib["role"] == "img"
    ids = [element.attrib["id"] for element in svg.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert [element.tag for element in list(svg)[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert svg.attrib["aria-labelledby"].split() == ids[:2]
    blocks = drawn(svg)
    wanted = {
        f"L{layer}V{i}": (shown.start, shown.end)
        for layer, layout in enumerate(layouts(doc))
        for i, shown in enumerate(layout.vmas)
    }
    assert {name: block[:2] for name, block in blocks.items()} == wanted
    for (a, first), (b, second) in combinations(blocks.items(), 2):
        assert not overlap(first[2], second[2]), (a, b)
    frames = [box(rect) for rect in svg.iter(f"{SVG}rect") if "pill" in rect.get("class", "").split()]
    assert not any(overlap(a, b) for a, b in combinations(frames, 2))
    for left, top, right, bottom in frames + [block[2] for block in blocks.values()]:
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
    for text in svg.iter(f"{SVG}text"):
        assert 0 <= float(text.attrib["x"]) <= width and 0 <= float(text.attrib["y"]) <= height


@every_sample
def test_the_svg_shows_every_vma_once_and_nothing_overlaps(sample: Sample) -> None:
    check_svg(sample())


@every_sample
def test_blocks_are_to_scale_unless_a_stretch_is_broken(sample: Sample) -> None:
    doc = sample()
    blocks = drawn(ET.fromstring(to_svg(doc))).values()
    broken = [(s.start, s.end) for s in axis_of(doc, 19).segments if s.broken]
    whole = [b for b in blocks if not any(b[0] <= start and end <= b[1] for start, end in broken)]
    scales = {(b[2][2] - b[2][0]) / (b[1] - b[0]) for b in whole}
    assert len(scales) <= 1
    places: dict[int, set[float]] = {}
    for start, end, (left, _, right, _) in blocks:
        places.setdefault(start, set()).add(left)
        places.setdefault(end, set()).add(right)
    assert all(len(at) == 1 for at in places.values()), "one scale for all strips"
    in_order = [min(places[p]) for p in sorted(places)]
    assert all(a < b for a, b in pairwise(in_order))


def test_the_svg_says_seals_in_more_than_colour() -> None:
    svg = to_svg(partial_seal())
    assert ">sealed</text>" in svg and "-hatch)" in svg and "padlock" in svg
    assert "ENOMEM at +3" in svg and "page +0 breaks the property" in svg
    assert "map_count 2 of 2: at the" in svg
    assert "prefers-color-scheme:dark" in svg


def test_a_label_with_many_changes_is_cut_short_in_the_drawing_only() -> None:
    doc = partial_seal()
    step = doc.steps[0]
    flags = ("account", "dontdump", "dontfork", "growsdown", "locked", "sealed")
    changed = step.after.vmas[0].model_copy(update={"flags": flags})
    after = step.after.model_copy(update={"vmas": (changed, *step.after.vmas[1:])})
    doc = doc.model_copy(update={"steps": (step.model_copy(update={"after": after}),)})
    check_svg(doc)
    assert "now growsdown, and 2 more</text>" in to_svg(doc)
    assert "now growsdown, now locked, now sealed" in narrative(doc)[0]


def test_the_legend_explains_what_occurs_and_no_more() -> None:
    assert "drawn shorter" in to_svg(hole()) and "drawn shorter" not in to_svg(partial_seal())
    assert "moved by mremap" in to_svg(move()) and "moved by mremap" not in to_svg(hole())
    assert "lo: locked" in to_svg(hole()) and "gd: growsdown" not in to_svg(hole())


def test_foreign_text_is_escaped() -> None:
    svg = to_svg(retold(partial_seal(), why='a <b> & "c" \x00\u2028\ud800'))
    assert "a &lt;b&gt; &amp; " in svg
    ET.fromstring(svg.encode())


def test_a_style_reaches_only_the_drawing() -> None:
    style = ET.fromstring(to_svg(move())).find(f"{SVG}style")
    assert style is not None and style.text is not None
    rules = [rule for rule in style.text.replace("@media (prefers-color-scheme:dark){", "").split("}") if rule]
    assert all(one.startswith(".mseal-strip ") for rule in rules for one in rule.partition("{")[0].split(","))


# plain text -----------------------------------------------------------------------------------------------------------


def check_text(doc: Counterexample, width: int = 72) -> None:
    """What must hold of every text."""
    text = to_text(doc, width)
    assert text.isascii() and text.endswith("\n")
    for line in text.splitlines():
        assert len(line) <= width and line == line.rstrip() and line.isprintable()


@every_sample
@pytest.mark.parametrize("width", [50, 72, 100])
def test_text_is_ascii_in_72_columns(sample: Sample, width: int) -> None:
    check_text(sample(), width)


def test_the_text_of_a_partial_seal() -> None:
    strips = to_text(partial_seal()).splitlines()[4:18]
    assert strips == [
        "before                                    map_count 2 of 2: at the limit",
        "  +0          +1          +2          +3          +4",
        "  |rw-p                   |r--p                   |",
        "  |anon                   |anon                   |",
        "  [===================================)!",
        "call: mseal(+0, 3 pages, flags 0) = -1 ENOMEM",
        "    no room under the map-count limit for a split",
        "",
        "after                                     map_count 2 of 2: at the limit",
        "  +0          +1          +2          +3          +4",
        "  |rw-p S                 |r--p                   |",
        "  |anon                   |anon                   |",
        "   ^ page +0 breaks the property",
        "",
    ]


def test_what_does_not_fit_into_a_cell_is_written_out_once() -> None:
    assert to_text(crowd()).count("[+6,+8) rw-p devzero 7 at 0 SEALED dc key5") == 1


def test_the_text_of_a_trace_has_the_result_of_each_call() -> None:
    lines = to_text(trace()).splitlines()
    calls = [line for line in lines if line.startswith("call ")]
    assert len(calls) == 6 and calls[-1] == "call 6: munmap(+0, 6 pages) = -1 EPERM"
    assert [line for line in lines if line.startswith("after call")] == sorted(
        line for line in lines if line.startswith("after call")
    )


# all of them ----------------------------------------------------------------------------------------------------------


def retold(doc: Counterexample, *, why: str) -> Counterexample:
    """The document with another explanation."""
    return doc.model_copy(update={"culprit": doc.culprit.model_copy(update={"why": why})})


def shuffled(data: Any) -> Any:
    """The same JSON value with the keys of its objects in another order."""
    if isinstance(data, dict):
        return {key: shuffled(value) for key, value in reversed(data.items())}
    return [shuffled(value) for value in data] if isinstance(data, list) else data


@every_sample
@pytest.mark.parametrize("draw", [to_svg, to_text, to_dot])
def test_the_same_document_gives_the_same_bytes(sample: Sample, draw: Callable[[Counterexample], str]) -> None:
    doc = sample()
    again = Counterexample.model_validate(shuffled(json.loads(doc.model_dump_json())))
    assert draw(doc) == draw(doc) == draw(again)


def ranges(top: int, count: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Up to `count` disjoint ranges of pages below `top`, in order."""

    def cut(edges: list[int]) -> list[tuple[int, int]]:
        return [(a, b) for a, b in pairwise(sorted(edges))][::2]

    return st.lists(st.integers(0, top), max_size=2 * count, unique=True).map(cut)


@st.composite
def any_layout(draw: st.DrawFn) -> dict[str, Any]:
    """A layout in the form of a document; no kernel need ever be in it."""
    vmas = []
    for start, end in draw(ranges(draw(st.sampled_from([12, 60, 1 << 30])), 6)):
        flags = draw(st.sets(st.sampled_from(["sealed", "locked", "growsdown", "dontfork", "account"])))
        thing = draw(st.sampled_from([("anon", 0), ("file", 1), ("special", 0), ("hugetlb", 2)]))
        made = vma(start, end, prot=draw(st.sampled_from(["rw-", "r--", "---", "r-x"])), flags=sorted(flags))
        vmas.append({**made, "backing": thing[0], "object": thing[1], "offset": draw(st.integers(0, 9))})
    held = draw(st.lists(st.integers(0, 15), max_size=5, unique=True))
    pages = [{"page": BASE + n, "own": n * 1000, "lazy": n % 3 == 0} for n in held]
    contents = [{"offset": n, "value": n + 1} for n in draw(st.lists(st.integers(0, 12), max_size=4, unique=True))]
    objects = [{"object": 1, "pages": 40, "contents": contents}]
    return {"vmas": vmas, "pages": pages, "objects": objects, "max_map_count": draw(st.integers(0, 9))}


@st.composite
def any_counterexample(draw: st.DrawFn) -> Counterexample:
    """Layouts and calls that need not follow from one another."""
    steps = []
    for _ in range(draw(st.integers(1, 6))):
        call = draw(st.sampled_from(["mseal", "munmap", "mmap", "mprotect", "mremap", "madvise", "write", "fork"]))
        small = st.integers(0, 30).map(lambda n: n * BYTES)
        near = st.integers(0, 60).map(page)
        size = st.one_of(small, st.integers(0, 2**64 - 1))
        values = {"addr": near, "new_addr": near, "flags": st.integers(0, 7) | st.just(0x32), "prot": st.integers(0, 9)}
        words = {word: draw(values.get(word, size)) for word in CALLS[call].words}
        start, end = sorted((BASE + draw(st.integers(0, 60)), BASE + draw(st.integers(0, 60) | st.just(1 << 40))))
        check = st.sampled_from(["the VMA is sealed", "a page is unmapped", "no room for a split", "", "locked"])
        result = {
            "value": BASE + draw(st.integers(0, 50)),
            "errno": draw(st.sampled_from(["OK", "EPERM", "ENOMEM"])),
            "check": draw(check),
        }
        reach = draw(st.sampled_from([None, (start, end)]))
        steps.append({"call": call, "words": words, "range": reach, "result": result, "after": draw(any_layout())})
    return Counterexample.model_validate(
        {
            "property": draw(st.text(max_size=80)),
            "sentence": draw(st.text(max_size=300)),
            "edition": "v10",
            "call": "mseal",
            "expected": "refuted",
            "before": draw(any_layout()),
            "steps": steps,
            "culprit": {"page": draw(st.none() | st.integers(BASE, BASE + 70)), "why": draw(st.text(max_size=300))},
            "size": {"vmas": 1, "pages": 1, "calls": 1},
        }
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(any_counterexample())
def test_any_document_can_be_drawn(doc: Counterexample) -> None:
    check_svg(doc)
    check_text(doc)
    for before, step in zip(layouts(doc), doc.steps, strict=False):
        for relation in relations(before, step.after, step):
            assert relation.start < relation.end
    read = pydot.graph_from_dot_data(to_dot(doc))
    assert read is not None
    assert len(read[0].get_edges()) == graph_of(doc).number_of_edges()
