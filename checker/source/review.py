# SPDX-License-Identifier: MIT
"""Judging a patch: what it changes, which calls come to that, and what they do before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from checker.documents.patches import (
    AdviceReview,
    Change,
    Comparison,
    FunctionReview,
    LooseReview,
    PatchLine,
    PatchReview,
    PropertyChange,
    SeriesPatch,
    SubjectReview,
    Verdict,
)
from checker.source.advice import advice_test
from checker.source.changes import Changed, Changes, changes_of, reached
from checker.source.document import advice_document, assumed_documents, comparison
from checker.source.errors import NotCovered
from checker.source.example import Case, ended
from checker.source.judge import Compared, Limits, Readings, compare, matches
from checker.source.patch import Origin
from checker.source.properties import Decided, decide_properties
from checker.source.series import Named, Series
from checker.source.sides import CSide, Side, SpecSide
from checker.source.source import Source
from checker.source.subjects import ADVICE_TESTS, SUBJECTS, Subject
from checker.source.table import TABLE
from spec.editions import Edition
from spec.properties import PROPERTIES

Say = Callable[[str], None]
MOST_PROPERTY_VMAS = 2
OLD, NEW, ALONE = "the old C", "the new C", "the patch"
"""Names of the sides."""


@dataclass
class Reviewer:
    """Works on a review, and knows at any time what there is of it."""

    patches: Sequence[Named]
    before: Source
    after: Source
    tree: str
    editions: Sequence[Edition]
    """The likeliest first."""
    limits: Limits
    chosen: bool = False
    """The editions were asked for by name."""
    say: Say = lambda text: None
    began: float = field(default_factory=time.monotonic)
    subjects: list[SubjectReview] = field(default_factory=list)
    advice: list[AdviceReview] = field(default_factory=list)
    readings: Readings = field(default_factory=Readings)
    changes: Changes = field(default_factory=Changes)
    reach: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    done: bool = False
    """Nothing is left to judge."""

    def run(self) -> Iterator[SubjectReview]:
        """Judge subject after subject."""
        self.say("what the patch changes")
        self.changes = changes_of([f for p in self.patches for f in p.files], self.before, self.after)
        self._advice()
        for subject in self._touched():
            found = self._subject(subject)
            self.subjects.append(found)
            yield found
        self.done = True

    # which ------------------------------------------------------------------------------------------------------------

    def _touched(self) -> list[Subject]:
        changed = {(c.file, c.name) for c in self.changes.functions}
        assumed = self.changes.names & set(TABLE)
        touched = []
        for subject in SUBJECTS.values():
            places: set[tuple[str, str]] = set()
            table: set[str] = set()
            for source in (self.before, self.after):
                _, entries, there = reached(source, subject.entry)
                places |= there
                table |= entries
            self.reach[subject.name] = places | {(c.file, c.name) for c in self.changes.functions if c.name in table}
            if places & changed or table & assumed:
                touched.append(subject)
        return touched

    def _advice(self) -> None:
        if not self.changes.names & set(ADVICE_TESTS) and not any(
            c.name in {n for t in ADVICE_TESTS for n in reached(self.after, t)[0]} for c in self.changes.functions
        ):
            return
        for side, source in (("before", self.before), ("after", self.after)):
            test = advice_test(source, self.editions[0])
            if test is not None and not isinstance(test, NotCovered):
                self.advice.append(advice_document(side, test, self.editions))

    # one subject ------------------------------------------------------------------------------------------------------

    def _subject(self, subject: Subject) -> SubjectReview:
        place = self._place(subject)
        changed = self.changes.names & set(TABLE) & reached(self.after, subject.entry)[1]
        if changed:
            what = ", ".join(f"{name}()" for name in sorted(changed))
            first = next(c for c in self.changes.functions if c.name in changed)
            return self._uncovered(subject, place, f"{what} is assumed, and the patch changes it", first)
        after: Side = CSide(NEW if self.tree else ALONE, self.after, self.readings.note)
        there_before = self._there(self.before, subject)
        if not self._there(self.after, subject):
            return self._uncovered(subject, place, f"{subject.entry}() is gone", None)
        if not there_before:
            return self._alone(subject, place, after)
        before: Side = CSide(OLD, self.before)
        return self._compared(subject, place, before, after)

    @staticmethod
    def _there(source: Source, subject: Subject) -> bool:
        try:
            return source.find(subject.entry) is not None
        except NotCovered:
            return True

    def _place(self, subject: Subject) -> tuple[str, int]:
        for source in (self.after, self.before):
            try:
                cut = source.find(subject.entry)
            except NotCovered as error:
                return error.file, error.line
            if cut is not None:
                return cut.file, cut.line
        return "", 0

    def _new_line(self, file: str, line: int) -> PatchLine | None:
        """The line of the patch that a line of the C after it comes from; None if it was there before."""
        origin = self.after.origin(file, line, line)
        return _in_patch(origin) if origin is not None and not origin.removed else None

    def _uncovered(self, subject: Subject, place: tuple[str, int], why: str, at: Changed | None) -> SubjectReview:
        return SubjectReview(
            name=subject.name, entry=subject.entry, file=place[0], line=place[1], verdict="not covered",
            change="unknown", why=why, why_file=at.file if at else place[0], why_line=at.line if at else place[1],
            why_in_patch=_in_patch(at.origin if at else None),
        )  # fmt: skip

    def _alone(self, subject: Subject, place: tuple[str, int], side: Side) -> SubjectReview:
        """There is no before: the patch against the editions."""
        found = matches(subject, side, self.editions, self.limits, self.say)
        told = [comparison(subject, m.compared, m.editions, m.editions[0], side.name) for m in found]
        equal = [name for m in found if m.compared.status in ("equal", "sampled") for name in m.editions]
        best = next((t for t in told if t.verdict == "equal"), None) or max(told, key=lambda t: (t.vmas, t.sampled))
        verdict: Verdict = best.verdict
        if self.chosen and any(t.verdict == "differs" for t in told):
            best = next(t for t in told if t.verdict == "differs")
            verdict = "differs"
        properties: tuple[PropertyChange, ...] = ()
        agree: bool | None = None
        if verdict != "not covered" and subject.whole:
            edition = next(e for e in self.editions if e.name == best.against[0])
            properties, agree = self._properties_alone(subject, edition, side)
        return SubjectReview(
            name=subject.name, entry=subject.entry, file=place[0], line=place[1], verdict=verdict, change="new",
            why=best.why, why_file=best.file, why_line=best.line, why_in_patch=self._new_line(best.file, best.line),
            equals=tuple(equal), comparison=best,
            editions=tuple(told), properties=properties, properties_agree=agree,
        )  # fmt: skip

    def _compared(self, subject: Subject, place: tuple[str, int], before: Side, after: Side) -> SubjectReview:
        base, was = self._base(subject, before)
        self.say(f"{subject.name}: before against after")
        compared = compare(subject, base, before, after, self.limits)
        told = comparison(subject, compared, ["before"], OLD, after.name)
        now: tuple[str, ...] = was if compared.status == "equal" else ()
        editions: tuple[Comparison, ...] = ()
        properties: tuple[PropertyChange, ...] = ()
        change: Change = "none" if compared.status in ("equal", "sampled") else "unknown"
        if compared.status == "differs":
            few = Limits(min(self.limits.vmas, 2), self.limits.seconds / 3)
            found = matches(subject, after, self.editions, few, self.say, until_equal=True)
            editions = tuple(comparison(subject, m.compared, m.editions, m.editions[0], after.name) for m in found)
            alike = [name for m in found if m.compared.status in ("equal", "sampled") for name in m.editions]
            now = tuple(n for n in alike if n not in was and self._agrees(subject, n, compared.case))
            properties = self._properties(subject, base, before, after) if subject.whole else ()
            change = _change(properties, compared)
        return SubjectReview(
            name=subject.name, entry=subject.entry, file=place[0], line=place[1], verdict=compared.status,
            change=change, why=compared.why, why_file=compared.file, why_line=compared.line,
            why_in_patch=self._new_line(compared.file, compared.line) if compared.side == after.name else None,
            equals_before=was,
            equals=now, comparison=told, editions=editions, properties=properties,
        )  # fmt: skip

    def _agrees(self, subject: Subject, edition: str, case: Case | None) -> bool:
        """The edition ends the case as the C after the patch does: so it must, to be equal to that."""
        if case is None or case.arguments is None:
            return True
        chosen = next(e for e in self.editions if e.name == edition)
        free = {name: bool(made(case.words or {})) for name, made in subject.free.items() if case.words}
        end = ended(SpecSide(edition), subject, chosen, (case.before, case.arguments, free, case.failures))
        return end.key == case.second.key

    def _base(self, subject: Subject, before: Side) -> tuple[Edition, tuple[str, ...]]:
        """The edition that the C before the patch equals, and all that it equals: of fewer VMAs, for it is the same
        whichever of them the list engine is of."""
        few = Limits(min(self.limits.vmas, 2), self.limits.seconds / 2)
        for edition in self.editions:
            if not edition.has(subject.call):
                continue
            self.say(f"{subject.name}: {OLD} against {edition.name}")
            compared = compare(subject, edition, SpecSide(edition.name), before, few)
            if compared.status in ("equal", "sampled"):
                names = [
                    e.name
                    for e in self.editions
                    if all(getattr(e, f) == getattr(edition, f) for f in compared.reads) and e.has(subject.call)
                ]
                return edition, tuple(names)
            if compared.status == "not covered":
                break
        return self.editions[0], ()

    # properties -------------------------------------------------------------------------------------------------------

    def _decided(self, subject: Subject, edition: Edition, side: Side) -> dict[str, Decided]:
        self.say(f"{subject.name}: properties, {side.name}")
        vmas = min(self.limits.vmas, MOST_PROPERTY_VMAS)
        try:
            return decide_properties(subject, edition, side, vmas, time.process_time() + self.limits.seconds / 2)
        except NotCovered:
            return {}

    def _properties(self, subject: Subject, edition: Edition, before: Side, after: Side) -> tuple[PropertyChange, ...]:
        was, now = (self._decided(subject, edition, side) for side in (before, after))
        return tuple(_property(name, was[name], now[name]) for name in was if name in now)

    def _properties_alone(
        self, subject: Subject, edition: Edition, side: Side
    ) -> tuple[tuple[PropertyChange, ...], bool | None]:
        now = self._decided(subject, edition, side)
        theirs = self._decided(subject, edition, SpecSide(edition.name))
        agree = all(
            now[n].verdict == theirs[n].verdict for n in now if "unknown" not in (now[n].verdict, theirs[n].verdict)
        )
        return tuple(_property(name, None, decided) for name, decided in now.items()), agree if now else None

    # the document -----------------------------------------------------------------------------------------------------

    def document(self) -> PatchReview:
        """What there is."""
        config = self.after.config
        return PatchReview(
            patches=tuple(dict.fromkeys(p.name for p in self.patches)),
            tree=self.tree,
            configuration=config.origin,
            symbols=dict(sorted(config.asked.items())),
            subjects=tuple(self.subjects),
            advice=tuple(self.advice),
            functions=tuple(self._function(c) for c in self.changes.functions),
            loose=tuple(
                LooseReview(file=x.file, line=x.line, what=x.what, in_patch=_in_patch(x.origin))
                for x in self.changes.loose
            ),
            aside=tuple(self.changes.aside),
            assumed=assumed_documents(self.readings.assumed),
            complete=self.done,
            seconds=round(time.monotonic() - self.began, 1),
        )

    def _function(self, changed: Changed) -> FunctionReview:
        calls = tuple(s.name for s in self.subjects if (changed.file, changed.name) in self.reach.get(s.name, set()))
        status, why = "read", ""
        if changed.name in TABLE:
            status, why = "assumed", "a function of the table: what it means was not read from the patch"
        elif changed.doubt:
            status, why = "not covered", changed.doubt
        elif (changed.file, changed.name) not in self.readings.read:
            gone = changed.change == "removed" and calls
            tested = any(changed.name == test.function for test in self.advice)
            if not gone and not tested:
                status = "not covered"
                why = "no call that was executed comes to it" if calls else "no call that is judged comes to it"
        return FunctionReview.model_validate(
            {
                "name": changed.name, "file": changed.file, "line": changed.line, "change": changed.change,
                "status": status, "why": why, "calls": calls, "in_patch": _in_patch(changed.origin),
            }
        )  # fmt: skip


@dataclass
class SeriesReviewer:
    """Works on a series, patch after patch and then as a whole, and knows at any time what there is of it."""

    series: Series
    steps: Sequence[Source]
    """Before the first patch, and after each; or before and after all of them, if no patch is judged by itself."""
    make: Callable[[Sequence[Named], Source, Source, str], Reviewer]
    """Makes the reviewer of patches, the C before and after them, and a word on what the C before has already."""
    each: list[Reviewer] = field(default_factory=list)
    """Of the patches that were begun, each on top of those before it."""

    def __post_init__(self) -> None:
        self.whole = self.make(self.series.patches, self.steps[0], self.steps[-1], "")

    def run(self) -> Iterator[SubjectReview]:
        """Judge subject after subject. A series of one patch is judged once."""
        patches = self.series.patches
        if len(patches) > 1 and len(self.steps) > 2:
            for patch, before, after in zip(patches, self.steps, self.steps[1:], strict=False):
                there = f", with what comes before {patch.label}" if self.each else ""
                self.each.append(self.make([patch], before, after, there))
                self.whole.say(f"{patch.label}: {patch.mail.title}")
                yield from self.each[-1].run()
            self.whole.say("the whole series")
        yield from self.whole.run()

    def document(self) -> PatchReview:
        """What there is."""
        whole = self.whole.document()
        series = tuple(self._entry(i, patch) for i, patch in enumerate(self.series.patches))
        return whole.model_copy(update={"series": series, "aside": (*whole.aside, *self.series.aside)})

    def _entry(self, i: int, patch: Named) -> SeriesPatch:
        review, why = None, ""
        if i < len(self.each):
            review = self.each[i].document()
        elif len(self.series.patches) == 1:
            why = "it is the only one: the review itself is of it"
        elif len(self.steps) == 2:
            why = "the series is judged as a whole only: without a tree, functions must stand whole in the patch"
        else:
            why = "interrupted before it"
        return SeriesPatch(
            n=patch.n, of=patch.of, name=patch.name, line=patch.mail.first, subject=patch.mail.subject,
            message_id=patch.mail.message_id, review=review, why=why,
        )  # fmt: skip


def _in_patch(origin: Origin | None) -> PatchLine | None:
    return PatchLine(file=origin.file, line=origin.line) if origin is not None else None


def _change(properties: Sequence[PropertyChange], compared: Compared) -> Change:
    """What a difference means: worse if a property is lost, mended if one is gained and none is lost."""
    if compared.case is not None and compared.case.second.faulted:
        return "worse"
    if any(p.before == "holds" and p.after == "refuted" for p in properties):
        return "worse"
    if any(p.before == "refuted" and p.after == "holds" for p in properties):
        return "mended"
    return "changed"


def _property(name: str, was: Decided | None, now: Decided) -> PropertyChange:
    vmas = now.vmas if was is None else min(was.vmas, now.vmas)
    before = was.verdict if was else ""
    after = now.verdict
    if was is not None and {before, after} == {"holds", "refuted"}:  # the one that holds must have been asked as far
        held, refuted = (was, now) if before == "holds" else (now, was)
        if held.vmas < refuted.vmas:
            before, after = ("unknown", after) if before == "holds" else (before, "unknown")
    case = ""
    if now.case is not None:
        words = ", ".join(f"{k}={v:#x}" for k, v in (now.case.words or {}).items())
        count = len(now.case.before.vmas)
        case = f"{count} VMA{'s' if count != 1 else ''}, {words}: {now.case.second.result}"
    return PropertyChange(
        property=name, sentence=PROPERTIES[name].sentence, before=before, after=after,
        vmas=vmas, case=case,
    )  # fmt: skip
