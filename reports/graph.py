# SPDX-License-Identifier: MIT
"""A counterexample as a graph: nodes are VMAs and gaps, edges say what became of them from one layout to the next."""

from __future__ import annotations

import networkx as nx

from checker.documents.counterexamples import Counterexample, CounterexampleStep
from checker.documents.layouts import LayoutDoc
from reports.graph_relate import RELATIONS, Relation, layouts, relations
from reports.strip_story import stop_page
from reports.strip_words import Names

Gap = tuple[int, int]

EDGE_STYLES = {
    "moved": 'color="#7a3db8", penwidth=2',
    "replaced": 'color="#a13d00", style=dashed',
    "unmapped": 'color="#b3261e", style=dashed',
    "mapped": 'color="#1b7a3d"',
    "split": 'color="#8a6100"',
    "merge": 'color="#00698f"',
    "changed": 'color="#8a6100", penwidth=2',
    "same": 'color="#888888"',
}


def graph_of(doc: Counterexample) -> nx.DiGraph[str]:
    """The graph of a counterexample.

    A node `L1V0` is the first VMA of the layout after the first call, `L1G0` the first gap of it that a call touches.
    Node attributes: `layer`, `kind` ("vma" or "gap"), `start`, `end`, `label`, and for VMAs `protection`, `backing`,
    `share`, `sealed`, `flags`. Edge attributes: `relation` (one of graph_relate.RELATIONS), `label`, `changed` (names
    of attributes) and `pieces`, a tuple of (start, end, start in the next layer).
    """
    names = Names.of(doc)
    shown = layouts(doc)
    graph: nx.DiGraph[str] = nx.DiGraph(property=doc.property, edition=doc.edition, base=names.base)
    related = [relations(a, step.after, step) for a, step in zip(shown, doc.steps, strict=False)]
    for layer, layout in enumerate(shown):
        for i, vma in enumerate(layout.vmas):
            graph.add_node(
                f"L{layer}V{i}",
                layer=layer,
                kind="vma",
                start=vma.start,
                end=vma.end,
                protection=vma.prot,
                backing=vma.backing,
                share=vma.share,
                sealed="sealed" in vma.flags,
                flags=tuple(vma.flags),
                label=names.vma_label(vma),
            )
        for i, (start, end) in enumerate(_touched_gaps(doc, layer, related)):
            label = f"gap {names.range(start, end)}"
            graph.add_node(f"L{layer}G{i}", layer=layer, kind="gap", start=start, end=end, label=label)
    for layer, found in enumerate(related):
        for relation in found:
            _add_edge(graph, layer, relation, names.label(relation))
    return graph


def gaps(doc: Counterexample, layout: LayoutDoc) -> list[Gap]:
    """The unmapped ranges of a layout between the lowest and the highest page of the document."""
    edges = [edge for shown in layouts(doc) for vma in shown.vmas for edge in (vma.start, vma.end)]
    edges += [edge for step in doc.steps if step.range for edge in step.range]
    if not edges:
        return []
    found, reached = [], min(edges)
    for start, end in [*((vma.start, vma.end) for vma in layout.vmas), (max(edges), max(edges))]:
        if reached < start:
            found.append((reached, start))
        reached = max(reached, end)
    return found


def _touched_gaps(doc: Counterexample, layer: int, related: list[list[Relation]]) -> list[Gap]:
    """The gaps of a layer that a call acted on, made or filled."""
    touched: list[Gap] = []
    if layer < len(doc.steps):
        touched += _ranges(doc.steps[layer])
        touched += [(r.start, r.end) for r in related[layer] if r.source is None]
    if layer:
        touched += _ranges(doc.steps[layer - 1])
        touched += [(r.at, r.at + r.end - r.start) for r in related[layer - 1] if r.target is None]
    return [(a, b) for a, b in gaps(doc, layouts(doc)[layer]) if any(s < b and a < e for s, e in touched)]


def _ranges(step: CounterexampleStep) -> list[Gap]:
    return [(step.range[0], step.range[1])] if step.range else []


def _node(graph: nx.DiGraph[str], layer: int, index: int | None, page: int) -> str:
    if index is not None:
        return f"L{layer}V{index}"
    for name, data in graph.nodes(data=True):
        if data["layer"] == layer and data["kind"] == "gap" and data["start"] <= page < data["end"]:
            return name
    raise AssertionError("every gap that a relation names was added")


def _add_edge(graph: nx.DiGraph[str], layer: int, relation: Relation, label: str) -> None:
    source = _node(graph, layer, relation.source, relation.start)
    target = _node(graph, layer + 1, relation.target, relation.at)
    piece = (relation.start, relation.end, relation.at)
    if not graph.has_edge(source, target):
        graph.add_edge(
            source,
            target,
            relation=relation.relation,
            label=label,
            changed=relation.changed,
            pieces=(piece,),
        )
        return
    edge = graph.edges[source, target]
    edge["relation"] = min(edge["relation"], relation.relation, key=RELATIONS.index)
    edge["label"] = "; ".join(dict.fromkeys([*edge["label"].split("; "), label]))
    edge["changed"] = tuple(dict.fromkeys([*edge["changed"], *relation.changed]))
    edge["pieces"] = (*edge["pieces"], piece)


def to_dot(doc: Counterexample) -> str:
    """The graph in the DOT language, one rank per layout; the same document gives the same bytes."""
    graph, names = graph_of(doc), Names.of(doc)
    font = 'fontname="sans-serif", fontsize=12'
    lines = ["digraph counterexample {", "  newrank=true;", '  fontname="sans-serif";']
    lines += [f"  node [shape=box, {font}];", f"  edge [{font}];"]
    lines += [f"  label={_quoted(f'{doc.property} ({doc.edition}); {names.base_line()}')};", "  labelloc=t;"]
    for layer in range(len(doc.steps) + 1):
        title = names.layer_title(doc, layer)
        lines += [f"  subgraph cluster_{layer} {{", f"    label={_quoted(title)};", "    rank=same;"]
        members = [(name, data) for name, data in graph.nodes(data=True) if data["layer"] == layer]
        for name, data in sorted(members, key=lambda m: (m[1]["start"], m[0])):
            look = "style=dashed" if data["kind"] == "gap" else "style=bold" if data["sealed"] else "style=solid"
            lines.append(f"    {name} [label={_quoted(data['label'])}, {look}];")
        lines.append("  }")
    for source, target, data in graph.edges(data=True):
        style = EDGE_STYLES[data["relation"]]
        lines.append(f"  {source} -> {target} [label={_quoted(data['label'])}, {style}];")
    stop = stop_page(doc, len(doc.steps) - 1) if doc.steps else None
    note = doc.culprit.why if stop is None else f"{doc.culprit.why} The call stopped at page {names.page(stop)}."
    lines += [f"  note [shape=note, label={_quoted(note)}];", "}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", "\\n")
    return '"' + "".join(c if c.isprintable() else "?" for c in escaped) + '"'
