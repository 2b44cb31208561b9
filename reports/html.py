# SPDX-License-Identifier: MIT
"""A review as a folder of static pages (HTML 5, one style sheet, no scripts): `site` yields every file.

Pages are templates in reports/templates/html; what they show is looked up here. The same review gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from difflib import SequenceMatcher
from functools import cache
from itertools import pairwise
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from checker.documents.counterexamples import Counterexample, CounterexampleStep, Culprit, ResultDoc
from checker.documents.layouts import LayoutDoc
from checker.naming import flag_word
from checker.version import signature
from proofs.results import CallDiff, Cell, Parting, Settlement
from reports.behaviours import behaviour
from reports.explain import CHANGING, Check, Explanation
from reports.findings import TOPICS, find_command, findings, origin, prove_command, smallest, topic_of, undecided
from reports.formats import Format
from reports.graph_relate import held, layouts, relations
from reports.graph_svg import graph_to_svg
from reports.lead import Lead, lead_of
from reports.plain import joined, number, sentence
from reports.review import Case, CellFacts, DiffFacts, EditionFacts, HistoryFacts, PropertyFacts, Review, Theorem
from reports.strip import to_svg, to_text
from reports.strip_diff import step_of
from reports.strip_legend import BACKINGS
from reports.strip_story import effects
from reports.strip_style import STYLE
from reports.strip_words import CODES, Names, backing, extras, map_count, protection
from spec.assumptions import ALWAYS
from spec.editions import EDITIONS, Standing

VERDICTS: Final = {
    "proved": ("✓", "it holds, for any number of VMAs; the solver found no exception"),
    "refuted": ("✗", "it does not hold: here is an address space and a call; the specification executed them"),
    "bounded": ("◔", "no counterexample up to a stated size; this is not a proof"),
    "unknown": ("?", "the solver gave up"),
    "vacuous": ("∅", "it speaks of what never happens"),
    "error": ("‼", "something is wrong with the specification itself"),
}
"""Each verdict: its sign, and what it means."""
CELLS: Final = {
    "atomic": ("✓", "atomic", "proved: such a failure changes nothing at all"),
    "pages": ("✗", "pages", "such a failure may have changed pages; in which, at most, is proved"),
    "boundaries": ("◐", "boundaries", "no page is changed (proved), but VMAs may have been split"),
    "unreachable": ("·", "never", "proved: the call never fails so"),
    "unknown": ("?", "unknown", "the solver could not tell"),
}
"""Each kind of cell of the atomicity matrix: its sign, a word, and what it means."""
DIFFS: Final = {
    "same": ("=", "proved: the same, for any number of VMAs"),
    "stronger": ("+", "proved: the second edition nowhere allows or changes more than the first"),
    "weaker": ("-", "proved: the first edition nowhere allows or changes more than the second"),
    "different": ("≠", "each is stronger somewhere, or something is changed in different ways"),
    "differs": ("≠", "there is a case in which it differs"),
    "absent": ("·", "an edition lacks the call"),
    "unknown": ("?", "the solver could not tell"),
}
"""How a call of one edition compares with that of another: its sign, and what it means."""
LIVE: Final = {"confirmed": "✓", "not confirmed": "✗", "cannot be tried here": "–"}
"""The sign of what a real kernel did with a counterexample."""
STYLE_TAG: Final = f"<style>{STYLE}</style>\n"


def site(review: Review, forms: Sequence[Format] = ()) -> Iterator[tuple[str, str]]:
    """Every file of the pages: its path, with slashes, and its text. `forms` are the other files of the report, for the
    index."""
    yield from _Site(review, forms).files()


@dataclass(frozen=True, slots=True)
class Row:
    """A VMA in a table of a layout."""

    pages: str
    protection: str
    backing: str
    sealed: bool
    rest: str
    contents: str
    became: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A layout as a table."""

    title: str
    rows: tuple[Row, ...]
    count: str


@dataclass(frozen=True, slots=True)
class Told:
    """A step of a counterexample, in words."""

    number: int
    call: str
    effects: tuple[str, ...]
    """What it did to VMAs and pages, in clauses."""
    words: tuple[tuple[str, str], ...]
    failures: tuple[str, ...]
    result: str


@dataclass(frozen=True, slots=True)
class Where:
    """What refers to a counterexample."""

    theorem: Theorem | None = None
    cells: tuple[CellFacts, ...] = ()
    history: tuple[str, ...] = field(default=())
    """Ids of rows of the history."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Verdicts of the history that read alike."""

    call: str
    verdict: str
    size: str
    places: tuple[tuple[str, str], ...]
    """Editions, each with the page of its counterexample or nothing."""
    as_expected: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """A check of two editions, None where one has none; or so many checks, which are the same in both."""

    one: Check | None
    other: Check | None
    same: int = 0


@dataclass(frozen=True, slots=True)
class Under:
    """What a call does under one edition."""

    edition: str
    errno: str
    check: str
    changed: tuple[str, ...]
    graph: Markup
    after: Picture


@dataclass(frozen=True, slots=True)
class Apart:
    """A case in which two editions part."""

    parting: Parting
    call: str
    words: tuple[tuple[str, str], ...]
    before: Picture
    under: tuple[Under, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What two editions have otherwise."""

    one: EditionFacts
    other: EditionFacts
    theorems: tuple[tuple[Theorem, Theorem], ...]
    cells: tuple[tuple[CellFacts, CellFacts], ...]
    checks: tuple[tuple[str, tuple[Pair, ...]], ...]
    """For each call whose checks differ: those side by side."""
    calls: DiffFacts | None
    """What was proved of each call; None if that was not asked."""

    @property
    def path(self) -> str:
        return f"diffs/{self.one.name}-{self.other.name}.html"


class _Site:
    """Everything about one review."""

    def __init__(self, review: Review, forms: Sequence[Format]) -> None:
        self.review, self.forms = review, forms
        self.several = len(review.editions) > 1
        self.cells = {facts.id: facts for facts in (review.matrix.cells if review.matrix else ())}
        self.differences: list[Difference] = []
        self.parts: dict[object, Markup] = {}
        """Parts of pages that many pages share."""
        self.graphs: dict[str, Markup] = {}
        self.proven = {t.counterexample: t for t in review.theorem.values() if t.counterexample}
        self.failing: dict[str, list[CellFacts]] = {}
        for facts in self.cells.values():
            self.failing.setdefault(facts.case, []).append(facts)
        self.same_theorem: dict[tuple[str, str], list[Case]] = {}
        for case in review.cases:
            if case.id in self.proven:
                self.same_theorem.setdefault((case.document.property, case.document.call), []).append(case)
        self.said = review.matrix.settled if review.matrix else ()

    def files(self) -> Iterator[tuple[str, str]]:
        yield "report.css", _environment().get_template("report.css.j2").render(drawings=Markup(STYLE))
        if self.several:
            self.differences = [self.difference(one, other) for one, other in self.pairs()]
            yield self.page("index.html", "overview", "Overview", rows=self.by_edition(), matrix=self.by_call())
            for found in self.differences:
                title = f"{found.one.name} against {found.other.name}"
                yield self.page(found.path, "difference", title, found=found)
        for edition in self.review.editions:
            yield from self.of_edition(edition)
        for case in self.review.cases:
            yield from self.of_case(case)

    def page(self, path: str, template: str, title: str, **context: Any) -> tuple[str, str]:
        """A page from its template."""
        text = (
            _environment()
            .get_template(f"{template}.html.j2")
            .render(
                title=title,
                root="../" * path.count("/"),
                path=path,
                site=self,
                review=self.review,
                home=self.home(context["edition"]) if "edition" in context else "index.html",
                **context,
            )
        )
        return path, text

    def part(self, template: str, root: str, key: object, **context: Any) -> Markup:
        """A part of a page that is the same on all pages with this key, so far from the index."""
        known = (template, root, key)
        if known not in self.parts:
            made = _environment().get_template(f"{template}.html.j2")
            text = made.render(site=self, review=self.review, root=root, **context)
            self.parts[known] = Markup(text)
        return self.parts[known]

    # places ----------------------------------------------------------------------------------------------------------

    def home(self, edition: str) -> str:
        """The page of an edition; the overview of an edition that is not in the review."""
        known = any(e.name == edition for e in self.review.editions)
        return f"{edition}/index.html" if self.several and known else "index.html"

    def call_page(self, edition: str, call: str) -> str:
        """The page that lists the checks of a call."""
        return f"{edition}/calls/{call}.html" if self.several else f"calls/{call}.html"

    # an edition ------------------------------------------------------------------------------------------------------

    def of_edition(self, edition: EditionFacts) -> Iterator[tuple[str, str]]:
        """The summary, a page for each theorem, a page for each call."""
        yield self.page(
            self.home(edition.name),
            "edition",
            f"Edition {edition.name}",
            edition=edition.name,
            facts=edition,
            findings=findings(self.review, edition),
            undecided=undecided(edition),
            topics=self.by_topic(edition),
            theorem={(t.property, t.call): t for t in edition.theorems},
            counts=_counts(edition),
            lead=self.lead(edition),
            settled=[said for said in self.said if said.edition == edition.name],
        )
        for theorem in edition.theorems:
            yield self.of_theorem(edition, theorem)
        for explanation in edition.explanations:
            yield self.page(
                self.call_page(edition.name, explanation.call),
                "call",
                f"{explanation.call} in edition {edition.name}",
                edition=edition.name,
                explanation=explanation,
                checks=self.checks(explanation),
                theorems=[t for t in edition.theorems if t.call == explanation.call],
            )

    def lead(self, edition: EditionFacts) -> Lead:
        """What the edition guarantees and what not, against the others of the review."""
        others = [(other.name, other.theorems) for other in self.review.editions if other is not edition]
        return lead_of(edition.theorems, others, unexpected=edition.unexpected)

    def by_topic(self, edition: EditionFacts) -> list[tuple[str, list[PropertyFacts], list[str]]]:
        """The properties that the edition has theorems of, by topic, and the calls that they speak of."""
        calls: dict[str, dict[str, None]] = {}
        for theorem in edition.theorems:
            calls.setdefault(theorem.property, {})[theorem.call] = None
        order = list(dict.fromkeys(theorem.call for theorem in edition.theorems))
        found = []
        for topic in TOPICS:
            props = [p for p in self.review.properties if p.name in calls and topic_of(p.name) is topic]
            used = {call for prop in props for call in calls[prop.name]}
            if props:
                found.append((topic.title, props, [call for call in order if call in used]))
        return found

    def unexpected(self, edition: EditionFacts) -> list[str]:
        """What is not as expected, one line each."""
        return [
            *(f"theorem {t.property} ({t.call}): {t.verdict}" for t in edition.theorems if not t.as_expected),
            *(f"lemma {lemma.name}: {lemma.verdict}" for lemma in edition.lemmas if not lemma.as_expected),
            *(
                f"{o.call}, {o.errno} ({o.check or 'at the end'}): "
                f"{o.why or ('reached' if o.reachable else 'never reached')}"
                for o in edition.outcomes
                if not o.as_expected
            ),
            *(
                f"check of {m.call}, {m.check}: "
                f"{m.why or ('nothing fails' if m.survived else m.killed_by + ' fails') + ' without it'}"
                for m in edition.mutants
                if not m.as_expected
            ),
        ]

    def of_theorem(self, edition: EditionFacts, theorem: Theorem) -> tuple[str, str]:
        lemmas = {lemma.name: lemma for lemma in edition.lemmas}
        root = "../" * theorem.file.count("/")
        case = self.review.case.get(theorem.counterexample)
        return self.page(
            f"{theorem.file}.html",
            "theorem",
            f"{theorem.property}, {theorem.call}: {theorem.verdict}",
            edition=edition.name,
            facts=edition,
            theorem=theorem,
            case=case,
            graph=None if case is None else self.graph(case),
            steps=() if case is None else _told(case.document),
            rests=self.part(
                "rests",
                root,
                (edition.name, theorem.assumptions, theorem.lemmas),
                home=self.home(edition.name),
                assumptions=[a for a in self.review.assumptions if a.name in theorem.assumptions],
                lemmas=[(name, lemmas.get(name)) for name in theorem.lemmas],
            ),
            command=find_command(theorem) if theorem.counterexample else prove_command(theorem),
            witness=_picture("what is mapped", theorem.witness.before) if theorem.witness else None,
            explained=edition.explanation(theorem.call) is not None,
        )

    # a counterexample ------------------------------------------------------------------------------------------------

    def of_case(self, case: Case) -> Iterator[tuple[str, str]]:
        """Its page, its document, and its programs."""
        document = case.document
        names = Names.of(document)
        step = document.steps[-1]
        explanation = self.explanation(document.edition, step.call)
        where = self.where(case)
        yield self.page(
            f"{case.file}.html",
            "case",
            self.name_of(case, where),
            edition=document.edition,
            case=case,
            document=document,
            where=where,
            names=names,
            steps=_told(document),
            wrong=case.story[-1],
            strip=_inline(to_svg(document)),
            graph=self.graph(case),
            text=to_text(document),
            pictures=_pictures(document),
            checks=None if explanation is None else self.checks(explanation, step.result),
            trace=None if case.trace is None else _told(case.trace),
            origin="" if case.trace is None else origin(case.trace),
            trace_strip=None if case.trace is None else _inline(to_svg(case.trace)),
            stem=case.file.rpartition("/")[2],
            assumptions=[a for a in document.assumptions if a not in ALWAYS],
            alike=self.alike(case),
            standing=EDITIONS[document.edition].standing,
        )
        yield f"{case.file}.json", document.model_dump_json(indent=2) + "\n"
        if case.trace is not None:
            yield f"{case.file}.trace.json", case.trace.model_dump_json(indent=2) + "\n"
        if case.programs.c:
            yield f"{case.file}.c", case.programs.c
        if case.programs.syz:
            yield f"{case.file}.syz", case.programs.syz

    def graph(self, case: Case) -> Markup:
        """What became of each VMA, drawn once for all pages that show it."""
        if case.id not in self.graphs:
            self.graphs[case.id] = _inline(graph_to_svg(case.document))
        return self.graphs[case.id]

    def name_of(self, case: Case, where: Where) -> str:
        """What a counterexample shows, in a few words."""
        if where.theorem is None and where.cells:
            cell = where.cells[0].cell
            return f"{cell.call} fails with {cell.errno}: what it has changed"
        return f"{case.document.property}, {case.document.call}: a counterexample"

    def where(self, case: Case) -> Where:
        """What refers to the counterexample."""
        rows = [h.row.id for h in self.review.history or () if case.id in h.cases.values()]
        return Where(self.proven.get(case.id), tuple(self.failing.get(case.id, ())), tuple(rows))

    def checks(self, explanation: Explanation, result: ResultDoc | None = None) -> Markup:
        """The checks of a call in order, with the one that gave the result; the end, if none did."""
        decided: int | None = -1
        if result is not None:
            named = [i for i, check in enumerate(explanation.checks) if check.check == result.check]
            exact = [i for i in named if explanation.checks[i].errno == result.errno]
            decided = next(iter([*exact, *named]), None)
        key = explanation.edition, explanation.call, decided
        ends = result is None or not result.check
        return self.part("checks", "", (*key, ends), explanation=explanation, decided=decided, ends=ends)

    def alike(self, case: Case) -> list[Case]:
        """Counterexamples to the same property of the same call in other editions."""
        found = self.same_theorem.get((case.document.property, case.document.call), [])
        return [other for other in found if other.document.edition != case.document.edition]

    def explanation(self, edition: str, call: str) -> Explanation | None:
        """The checks of a call, if the review has them."""
        known = next((e for e in self.review.editions if e.name == edition), None)
        if known is not None:
            return known.explanation(call)
        return next((e for e in self.review.elsewhere if (e.edition, e.call) == (edition, call)), None)

    # several editions ------------------------------------------------------------------------------------------------

    def by_edition(self) -> list[tuple[PropertyFacts, list[tuple[EditionFacts, list[Theorem]]]]]:
        """For each property its theorems, edition by edition."""
        return [
            (prop, [(e, [t for t in e.theorems if t.property == prop.name]) for e in self.review.editions])
            for prop in self.review.properties
        ]

    def by_call(self) -> list[tuple[str, list[tuple[tuple[str, str], list[CellFacts | None]]]]]:
        """The rows of the matrix of several editions, call by call; rows in which nothing can happen are left out."""
        if self.review.matrix is None:
            return []
        found = []
        for call in self.review.matrix.calls:
            rows = []
            for column in self.review.matrix.columns:
                cells = [self.cell(edition.name, call, column) for edition in self.review.editions]
                if any(facts is not None and facts.cell.verdict != "unreachable" for facts in cells):
                    rows.append((column, cells))
            if rows:
                found.append((call, rows))
        return found

    def cell(self, edition: str, call: str, column: tuple[str, str]) -> CellFacts | None:
        """A cell of the matrix; None if the edition does not have the call."""
        return self.cells.get(f"{edition}/{call}/{'-'.join(filter(None, column))}")

    def columns(self, edition: str) -> list[tuple[str, str]]:
        """The columns of an edition's matrix in which some call can fail."""
        if self.review.matrix is None:
            return []
        used = {
            (f.cell.errno, f.cell.cause)
            for f in self.cells.values()
            if f.cell.edition == edition and f.cell.verdict != "unreachable"
        }
        return [column for column in self.review.matrix.columns if column in used]

    def partial(self, edition: str) -> list[CellFacts]:
        """The cells of an edition in which something may have been changed, or that are undecided."""
        of_edition = (facts for facts in self.cells.values() if facts.cell.edition == edition)
        return [facts for facts in of_edition if facts.cell.verdict in ("partial", "unknown")]

    def pairs(self) -> Iterator[tuple[EditionFacts, EditionFacts]]:
        """The editions to be held against one another: all against the one that was named; or each kernel against the
        next, and what is no kernel against the kernel that it is most like."""
        editions = self.review.editions
        if self.review.against:
            against = self.review.edition(self.review.against)
            yield from ((edition, against) for edition in editions if edition is not against)
            return
        kernels = [edition for edition in editions if EDITIONS[edition.name].standing is Standing.KERNEL]
        yield from pairwise(kernels)
        others = [edition for edition in editions if edition not in kernels]
        for other in others:
            if kernels:
                yield max(kernels, key=lambda kernel: _likeness(kernel.name, other.name)), other
        if not kernels:
            yield from pairwise(others)

    def difference(self, one: EditionFacts, other: EditionFacts) -> Difference:
        """What the two have otherwise."""
        there = {(theorem.property, theorem.call): theorem for theorem in other.theorems}
        pairs = [(t, there[t.property, t.call]) for t in one.theorems if (t.property, t.call) in there]
        mine = [facts for facts in self.cells.values() if facts.cell.edition == one.name]
        cells = [(f, self.cells.get(f.id.replace(one.name, other.name, 1))) for f in mine]
        calls = [call for e in one.explanations if (call := other.explanation(e.call)) is not None]
        checks = [(e.call, _paired((one.explanation(e.call) or e).checks, e.checks)) for e in calls]
        return Difference(
            one,
            other,
            tuple((a, b) for a, b in pairs if a.verdict != b.verdict),
            tuple((a, b) for a, b in cells if b is not None and _said(a.cell) != _said(b.cell)),
            tuple(
                (call, rows) for call, rows in checks if any((row.one is None) != (row.other is None) for row in rows)
            ),
            next((d for d in self.review.diffs if (d.first, d.second) == (one.name, other.name)), None),
        )

    def apart(self, found: CallDiff) -> list[Apart]:
        """The cases of a call in which the editions part."""
        return [_apart(parting) for parting in found.partings]

    def gone(self, facts: HistoryFacts, expected: str) -> list[Gone]:
        """The verdicts of a row of the history of which one thing was expected, in groups."""
        groups: dict[tuple[str, str, str, bool], list[tuple[str, str]]] = {}
        for v in facts.row.verdicts:
            if v.expected == expected:
                id = facts.cases.get(f"{v.edition}/{v.call}", "")
                size = number(v.size.vmas, "VMA") if v.size else ""
                page = f"{self.review.case[id].file}.html" if id else ""
                groups.setdefault((v.call, v.verdict, size, v.as_expected), []).append((v.edition, page))
        return [Gone(c, verdict, size, tuple(at), fine) for (c, verdict, size, fine), at in groups.items()]

    def settled(self) -> list[tuple[Settlement, dict[str, Settlement]]]:
        """Each line of the kernel's document once, with what each edition answers."""
        found: dict[tuple[str, str], dict[str, Settlement]] = {}
        for said in self.said:
            found.setdefault((said.version, said.lines), {})[said.edition] = said
        return [(next(iter(answers.values())), answers) for answers in found.values()]


# words ----------------------------------------------------------------------------------------------------------------


def kind_of(cell: Cell) -> str:
    """One of CELLS."""
    return cell.level or "pages" if cell.verdict == "partial" else cell.verdict


def by_then(check: Check) -> str:
    """What the call may have done when the check is made."""
    done = [*check.changed, *(["change of the VMAs before it"] if check.stage == CHANGING else [])]
    return ", ".join(done) or "nothing"


def _apart(parting: Parting) -> Apart:
    """A case as it is shown: it is drawn as the counterexamples are, once for each edition."""
    documents = [
        Counterexample(
            property=f"{parting.call} in {outcome.edition}",
            sentence=parting.sentence,
            edition=outcome.edition,
            call=parting.call,
            expected="",
            before=parting.before,
            steps=(step_of(parting, outcome),),
            culprit=Culprit(page=parting.page, why=parting.sentence),
            size=parting.size,
        )
        for outcome in (parting.first, parting.second)
    ]
    names = [Names.of(document) for document in documents]
    known = Names(min(n.base for n in names), max(n.top for n in names))
    under = [
        Under(
            outcome.edition,
            outcome.errno,
            outcome.check,
            tuple(outcome.changed),
            _inline(graph_to_svg(document, f"Graph of {parting.call} under {outcome.edition}")),
            _picture(f"after, under {outcome.edition}", outcome.after, names=known),
        )
        for outcome, document in zip((parting.first, parting.second), documents, strict=True)
    ]
    return Apart(
        parting,
        known.call(documents[0].steps[0]),
        tuple((name, _word(parting.call, name, word)) for name, word in parting.words.items()),
        _picture("before", parting.before, names=known),
        tuple(under),
    )


def _likeness(one: str, other: str) -> int:
    """In how much two editions behave alike."""
    a, b = EDITIONS[one], EDITIONS[other]
    return sum(getattr(a, f.name) == getattr(b, f.name) for f in fields(a))


def _said(cell: Cell) -> tuple[str, str]:
    """What a reader is told of a cell."""
    return kind_of(cell), cell.sentence


def _paired(one: Sequence[Check], other: Sequence[Check]) -> tuple[Pair, ...]:
    """The checks of two editions side by side; of those that are the same the ones beside a difference are kept."""
    a_keys, b_keys = ([(check.check, check.errno, check.stage) for check in checks] for checks in (one, other))
    rows: list[Pair] = []
    for tag, a, b, c, d in SequenceMatcher(None, a_keys, b_keys, autojunk=False).get_opcodes():
        if tag != "equal":
            rows += [Pair(check, None) for check in one[a:b]]
            rows += [Pair(None, check) for check in other[c:d]]
            continue
        pairs = [Pair(x, y) for x, y in zip(one[a:b], other[c:d], strict=True)]
        first, last = (1 if a else 0), (1 if b < len(one) or d < len(other) else 0)
        left_out = len(pairs) - first - last
        if left_out > 1:
            pairs[first : len(pairs) - last] = [Pair(None, None, left_out)]
        rows += pairs
    return tuple(rows)


def _counts(edition: EditionFacts) -> dict[str, int]:
    counts = dict.fromkeys(VERDICTS, 0)
    for theorem in edition.theorems:
        counts[theorem.verdict] += 1
    return {verdict: count for verdict, count in counts.items() if count}


def _told(document: Counterexample) -> list[Told]:
    names, before = Names.of(document), layouts(document)
    return [
        Told(
            number=i,
            call=names.call(step),
            effects=tuple(effects(names, before[i - 1], step)),
            words=tuple((name, _word(step.call, name, word)) for name, word in step.words.items()),
            failures=step.failures,
            result="succeeds" if step.result.errno == "OK" else f"fails with {step.result.errno}",
        )
        for i, step in enumerate(document.steps, 1)
    ]


def _word(call: str, name: str, word: int) -> str:
    """A 64-bit argument as C has it, with what its flags mean."""
    number = hex(word) if word > 9 or name.endswith("addr") else str(word)
    decoded = flag_word(call, name, word)
    return number if decoded is None or not word else f"{number} ({decoded.removeprefix(name).strip()})"


def _pictures(document: Counterexample) -> list[Picture]:
    """Each layout as a table; in all but the last with what became of each VMA."""
    names, shown = Names.of(document), layouts(document)
    found = []
    for layer, layout in enumerate(shown):
        step = document.steps[layer] if layer < len(document.steps) else None
        then = shown[layer + 1] if step is not None else None
        title = names.layer_title(document, layer)
        found.append(_picture(title, layout, names=names, step=step, then=then))
    return found


def _picture(
    title: str,
    layout: LayoutDoc,
    *,
    names: Names | None = None,
    step: CounterexampleStep | None = None,
    then: LayoutDoc | None = None,
) -> Picture:
    known = names or Names(min((vma.start for vma in layout.vmas), default=0), 0)
    became: dict[int, list[str]] = {}
    if step is not None and then is not None:
        for relation in relations(layout, then, step):
            if relation.source is not None:
                piece = known.range(relation.start, relation.end)
                whole = layout.vmas[relation.source]
                cut = (relation.start, relation.end) != (whole.start, whole.end)
                label = known.label(relation) or "same"
                became.setdefault(relation.source, []).append(f"{piece} {label}" if cut else label)
    rows = tuple(
        Row(
            pages=known.range(vma.start, vma.end),
            protection=protection(vma),
            backing=backing(vma),
            sealed="sealed" in vma.flags,
            rest=" ".join(extras(vma)),
            contents=", ".join(f"{known.page(page)}: {text}" for page, text in held(layout, vma).items()),
            became=tuple(became.get(i, ())),
        )
        for i, vma in enumerate(layout.vmas)
    )
    return Picture(title, rows, map_count(layout))


def _inline(svg: str) -> Markup:
    """A drawing for a page that has the style of drawings in its style sheet."""
    return Markup(svg.replace(STYLE_TAG, ""))


def inline(text: str) -> Markup:
    """Inline Markdown as far as this project's texts use it: code, emphasis, and links, of which the text is kept."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(plain)))
    return Markup(re.sub(r"(?<![\w*])\*([^*]+)\*(?![\w*])", r"<em>\1</em>", marked))


def breakable(name: str) -> Markup:
    """A name that may be broken behind its underscores."""
    return Markup("_<wbr>").join(name.split("_"))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("reports", "templates/html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.globals.update(
        VERDICTS=VERDICTS,
        CELLS=CELLS,
        DIFFS=DIFFS,
        LIVE=LIVE,
        CODES=CODES,
        BACKINGS=BACKINGS,
        Standing=Standing,
        kind_of=kind_of,
        smallest=smallest,
        signature=signature(),
    )
    made.filters.update(inline=inline, joined=joined, sentence=sentence, breakable=breakable, by_then=by_then)
    made.globals.update(number=number, behaviour=behaviour)
    return made
