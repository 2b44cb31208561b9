# SPDX-License-Identifier: MIT
"""The judgement of a patch as a document: what `sealspec review --json` writes, and `derive --json` of a tree."""

from __future__ import annotations

import json
from collections.abc import Set
from typing import Final, Literal, TypeAlias

from pydantic import Field

from checker.documents.base import Document
from checker.documents.layouts import LayoutDoc
from checker.version import WrittenBy

Verdict: TypeAlias = Literal["equal", "differs", "sampled", "not covered"]
"""`equal` for every argument and every layout of up to `vmas` VMAs, which is no proof for more unless `any_number` says
so; `differs`, with a case
that was executed where one could be made; `sampled`: only random cases, and none differs; `not covered`: the C has what
is neither read nor assumed, so that nothing is said."""
Change: TypeAlias = Literal["none", "changed", "mended", "worse", "new", "unknown"]


class EndDoc(Document):
    """How one side of a case ends."""

    side: str = Field(description="an edition, `the old C`, `the new C`, `the patch`, `the tree`")
    result: str = Field(description="`success`, an errno by name, or what goes wrong")
    check: str = Field(description="the check of the specification that decided; empty for C")
    after: LayoutDoc
    map_count: int


class CaseDoc(Document):
    """The smallest case found on which two sides part, executed on both."""

    before: LayoutDoc
    call: str
    words: dict[str, int] = Field(description="the call's arguments, unsigned 64-bit numbers")
    failures: tuple[str, ...] = Field(description="what the environment makes fail")
    range: tuple[int, int] | None = Field(description="pages that the call is about: first, and behind the last")
    first: EndDoc
    second: EndDoc


class Comparison(Document):
    """One subject on two sides."""

    against: tuple[str, ...] = Field(description="the editions, or `before`: they agree in all that was read")
    verdict: Verdict
    vmas: int = Field(description="every layout of up to so many VMAs was explored; -1: of none")
    any_number: bool = Field(
        default=False,
        description="equal for any number of VMAs: the loops of both sides go in lockstep (docs/REVIEW.md)",
    )
    not_proved: str = Field(default="", description="why the proof for any number does not go through, if it was tried")
    sampled: int = Field(description="random cases that were executed besides")
    paths: int
    why: str = ""
    file: str = ""
    line: int = 0
    case: CaseDoc | None = None
    seconds: float


class PropertyChange(Document):
    """A property, decided on the C itself for layouts of a few VMAs: no edition is asked."""

    property: str
    sentence: str
    before: str = Field(description="holds, refuted or unknown; empty: there is no before")
    after: str
    vmas: int = Field(description="the largest layouts that both were asked of")
    case: str = Field(default="", description="the smallest case that refutes it afterwards, in words")


class PatchLine(Document):
    """A changed line of a patch."""

    file: str = Field(description="the file that the patch is in, as it was given")
    line: int = Field(description="from 1; of an mbox as of any file")


class SubjectReview(Document):
    """A call, or a test within calls, that the patch touches."""

    name: str
    entry: str
    file: str
    line: int
    verdict: Verdict
    """Before against after; where there is no before, the patch against the edition that it is nearest to."""
    change: Change
    why: str = ""
    why_file: str = ""
    why_line: int = 0
    why_in_patch: PatchLine | None = None
    """The line of the patch, where that line is one that it changes."""
    equals_before: tuple[str, ...] = ()
    """Editions that the C equals before the patch, as far as was explored."""
    equals: tuple[str, ...] = ()
    """Editions that it equals afterwards."""
    comparison: Comparison | None = None
    editions: tuple[Comparison, ...] = ()
    properties: tuple[PropertyChange, ...] = ()
    properties_agree: bool | None = None
    """Where there is no before: the properties have the same verdicts on the C and on the edition. None: not asked."""

    @property
    def is_fine(self) -> bool:
        """It was decided, and nothing changes for the worse."""
        return self.verdict == "equal" or self.change == "mended"


class AdviceReview(Document):
    """Which advice the C takes for discarding, found from its text."""

    side: str
    function: str
    file: str
    line: int
    blocked: tuple[str, ...] = Field(description="of the advice that those editions know that have the same test")
    harmless: tuple[str, ...] = Field(description="those among them that discard nothing")
    missed: tuple[str, ...] = Field(description="values that discard, and that it lets pass")
    equals: tuple[str, ...] = Field(description="editions that have the same test")


class FunctionReview(Document):
    """A function that the patch changes."""

    name: str
    file: str
    line: int
    change: Literal["added", "removed", "changed"]
    status: Literal["read", "assumed", "not covered"]
    why: str = ""
    calls: tuple[str, ...] = Field(description="subjects that reach it")
    in_patch: PatchLine | None = Field(default=None, description="its first changed line; null: none of its own")


class LooseReview(Document):
    """Changed lines that are in no function that could be read."""

    file: str
    line: int
    what: str
    in_patch: PatchLine | None = None


class AssumedReview(Document):
    """A function that was not read: what it was taken to mean."""

    name: str
    says: str
    source: str
    versions: str


class PatchReview(Document):
    """A patch, judged."""

    format: Literal["mseal-spec/patch-review/1"] = "mseal-spec/patch-review/1"
    tool: WrittenBy = None
    patches: tuple[str, ...]
    tree: str = Field(description="what it was applied to; empty: the patch alone was read")
    configuration: str
    symbols: dict[str, bool | None] = Field(description="CONFIG_ symbols that were asked for; null: not known")
    subjects: tuple[SubjectReview, ...]
    advice: tuple[AdviceReview, ...]
    functions: tuple[FunctionReview, ...]
    loose: tuple[LooseReview, ...]
    aside: tuple[str, ...]
    assumed: tuple[AssumedReview, ...]
    complete: bool = Field(description="false: interrupted")
    seconds: float
    series: tuple[SeriesPatch, ...] = Field(default=(), description="the patches one by one, in the order applied")

    @property
    def uncovered(self) -> int:
        """What the patch changes and nothing is said of."""
        return len(self.loose) + sum(f.status != "read" for f in self.functions)

    @property
    def fine(self) -> bool:
        """Everything that the patch changes was read, and nothing changes for the worse: with all patches of a series,
        and after each of them."""
        return self.whole_is_fine and not self.open_patches

    @property
    def whole_is_fine(self) -> bool:
        """The same, of all patches together only."""
        return self.complete and self.uncovered == 0 and all(s.is_fine for s in self.subjects)

    @property
    def open_patches(self) -> tuple[SeriesPatch, ...]:
        """Patches with which a kernel in the middle of the series differs, or is not decided or covered; the last one
        only if it makes something worse, for after it the series is whole."""
        return tuple(
            p
            for p in self.series
            if p.review is not None and (p.makes_worse if p is self.series[-1] else not p.is_fine(self.read))
        )

    @property
    def read(self) -> Set[tuple[str, str]]:
        """File and name of each function that is changed and was read."""
        return {(f.file, f.name) for f in self.functions if f.status == "read"}


class SeriesPatch(Document):
    """One patch of a series."""

    n: int = Field(description="which it is, as the subjects say if all of them do; else its place, from 1")
    of: int
    name: str = Field(description="the file that it is in")
    line: int = Field(description="where it begins there, from 1")
    subject: str = Field(description="empty: it is no mail")
    message_id: str = Field(description="without <>; empty: there is none")
    review: PatchReview | None = Field(
        description="this patch on top of those before it, as a review of its own; null: `why` says why not"
    )
    why: str = ""

    @property
    def label(self) -> str:
        """Which it is of its series."""
        return f"patch {self.n}/{self.of}"

    def uncovered(self, read: Set[tuple[str, str]]) -> list[FunctionReview]:
        """Functions that are changed and not read. Not those that come or go with nothing that is judged coming to
        them, if they are among `read`: (file, name) of what was read in the whole series."""
        functions = self.review.functions if self.review is not None else ()
        return [f for f in functions if f.status != "read" and (f.change == "changed" or (f.file, f.name) not in read)]

    @property
    def makes_worse(self) -> bool:
        """A call changes for the worse with it."""
        return self.review is not None and any(s.change == "worse" for s in self.review.subjects)

    def is_fine(self, read: Set[tuple[str, str]]) -> bool:
        """With this patch nothing changes for the worse, and everything was read; see `uncovered`."""
        r = self.review
        return r is not None and all(s.is_fine for s in r.subjects) and not r.loose and not self.uncovered(read)


class Inequality(Document):
    """A comparison of map_count with its limit in the C."""

    function: str
    file: str
    line: int
    text: str


class TreeFacts(Document):
    """What a tree says of its kernel: `sealspec derive`."""

    format: Literal["mseal-spec/tree/1"] = "mseal-spec/tree/1"
    tool: WrittenBy = None
    tree: str
    version: str = Field(description="as the tree's Makefile has it; empty: it has none")
    configuration: str
    subjects: tuple[SubjectReview, ...]
    advice: tuple[AdviceReview, ...]
    inequalities: tuple[Inequality, ...]
    assumed: tuple[AssumedReview, ...]
    complete: bool
    seconds: float


MODELS: Final[dict[str, type[Document]]] = {"patch-review": PatchReview, "tree": TreeFacts}


def schemas() -> dict[str, str]:
    """The JSON schemas by file name (in docs/schema), the same text every time."""
    return {
        f"{name}.json": json.dumps(model.model_json_schema(mode="serialization"), indent=2, sort_keys=True) + "\n"
        for name, model in MODELS.items()
    }
