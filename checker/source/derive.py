# SPDX-License-Identifier: MIT
"""Facts of a tree: which edition each call equals, which advice it blocks, where map_count meets its limit."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pycparser import c_ast

from checker.documents.patches import AdviceReview, Inequality, SubjectReview, TreeFacts
from checker.source.advice import advice_test
from checker.source.document import advice_document, assumed_documents, comparison
from checker.source.errors import NotCovered
from checker.source.judge import Limits, Match, Readings, compare
from checker.source.machine import walk
from checker.source.sides import CSide, SpecSide
from checker.source.source import SEARCHED, Source
from checker.source.subjects import SUBJECTS, Subject
from checker.source.table import TABLE
from checker.source.tree import Tree
from spec.editions import Edition

SIDE = "the tree"
COMPARED = ("<", ">", "<=", ">=")


@dataclass
class Deriver:
    """Works on a tree, and knows at any time what there is."""

    tree: Tree
    editions: Sequence[Edition]
    """The likeliest first."""
    limits: Limits
    say: Callable[[str], None] = lambda text: None
    began: float = field(default_factory=time.monotonic)
    subjects: list[SubjectReview] = field(default_factory=list)
    readings: Readings = field(default_factory=Readings)

    def __post_init__(self) -> None:
        self.source = Source(self.tree.config, self.tree.path, {}, frozenset(TABLE))

    def run(self) -> Iterator[SubjectReview]:
        """Derive subject after subject."""
        for subject in SUBJECTS.values():
            try:
                cut = self.source.find(subject.entry)
            except NotCovered as error:
                found = SubjectReview(
                    name=subject.name, entry=subject.entry, file=error.file, line=error.line, verdict="not covered",
                    change="new", why=error.what, why_file=error.file, why_line=error.line,
                )  # fmt: skip
            else:
                if cut is None:
                    continue
                found = self._subject(subject, cut.file, cut.line)
            self.subjects.append(found)
            yield found

    def _subject(self, subject: Subject, file: str, line: int) -> SubjectReview:
        """Hold the call against edition after edition, until it equals one."""
        side = CSide(SIDE, self.source, self.readings.note)
        found: list[Match] = []
        remaining = [e for e in self.editions if e.has(subject.call)]
        while remaining:
            edition, *rest = remaining
            self.say(f"{subject.name} against {edition.name}")
            compared = compare(subject, edition, SpecSide(edition.name), side, self.limits)
            alike = [e for e in rest if all(getattr(e, f) == getattr(edition, f) for f in compared.reads)]
            found.append(Match([edition.name, *(e.name for e in alike)], compared))
            if compared.status != "differs":
                break
            remaining = [e for e in rest if e not in alike]
        told = [comparison(subject, m.compared, m.editions, m.editions[0], SIDE) for m in found]
        last = told[-1] if told[-1].verdict != "differs" else told[0]
        equal = last.against if last.verdict in ("equal", "sampled") else ()
        return SubjectReview(
            name=subject.name, entry=subject.entry, file=file, line=line, verdict=last.verdict, change="new",
            why=last.why, why_file=last.file, why_line=last.line, equals=tuple(equal), comparison=last,
            editions=tuple(told),
        )  # fmt: skip

    def _advice(self) -> list[AdviceReview]:
        test = advice_test(self.source, self.editions[0])
        if test is None or isinstance(test, NotCovered):
            return []
        return [advice_document(SIDE, test, self.editions)]

    def document(self, *, complete: bool) -> TreeFacts:
        """What there is."""
        return TreeFacts(
            tree=self.tree.label,
            version=self.tree.version,
            configuration=self.tree.config.origin,
            subjects=tuple(self.subjects),
            advice=tuple(self._advice()),
            inequalities=tuple(inequalities(self.source)),
            assumed=assumed_documents(self.readings.assumed),
            complete=complete,
            seconds=round(time.monotonic() - self.began, 1),
        )


def inequalities(source: Source) -> Iterator[Inequality]:
    """Where the C compares map_count with its limit, in words of ours."""
    for path in SEARCHED:
        for cut in source.file(path).slices.values():
            if not re.search(r"\bmap_count\b", cut.text):
                continue
            try:
                definition = source.parsed(cut)
            except NotCovered:
                continue
            for node in walk(definition.body):
                if isinstance(node, c_ast.BinaryOp) and node.op in COMPARED:
                    left, right = _told(node.left), _told(node.right)
                    if "map_count" in left or "map_count" in right:
                        line = node.coord.line if node.coord else cut.line
                        text = f"{left} {node.op} {right}"
                        yield Inequality(function=cut.name, file=path, line=line, text=text)


def _told(e: Any) -> str:
    match e:
        case c_ast.StructRef() if e.field.name == "map_count":
            return "map_count"
        case c_ast.ID() if e.name == "sysctl_max_map_count":
            return "limit"
        case c_ast.FuncCall() if getattr(e.name, "name", "") == "get_sysctl_max_map_count":
            return "limit"
        case c_ast.Constant():
            return str(e.value)
        case c_ast.BinaryOp() if e.op in ("+", "-"):
            return f"{_told(e.left)} {e.op} {_told(e.right)}"
    return "..."
