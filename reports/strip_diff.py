# SPDX-License-Identifier: MIT
"""Where two editions part, as plain ASCII: the layout before, the call, and below it what each edition makes of it.

before                                      map_count 3 of 65530
 +0    +1          +3
 |rw-p       |rw-p S|
 |anon       |anon  |
       [===========)
call: munmap(+1, 2 pages)

v10: -1 EPERM (munmap: a VMA to unmap is sealed)
 nothing is changed

v6.12: -1 EPERM (munmap: a VMA to unmap is sealed)
after, in v6.12                             map_count 4 of 65530
 |rw-p |rw-p |rw-p S|
"""

from __future__ import annotations

from checker.documents.counterexamples import Counterexample, CounterexampleStep, Culprit, ResultDoc
from proofs.results import Outcome, Parting
from reports.strip_text import INDENT, TextPage


def parting_text(parting: Parting, width: int = 72) -> str:
    """The case in at most `width` columns of ASCII. The same document gives the same text."""
    return _PartingPage(parting, width).text()


def step_of(parting: Parting, outcome: Outcome) -> CounterexampleStep:
    """The call, with what one edition makes of it."""
    return CounterexampleStep(
        call=parting.call,
        words=parting.words,
        failures=tuple(parting.failures),
        range=parting.range,
        result=ResultDoc(value=outcome.value, errno=outcome.errno, check=outcome.check),
        after=outcome.after,
    )


def _document(parting: Parting) -> Counterexample:
    """Both outcomes as steps of one document, which decides what there is to draw."""
    steps = step_of(parting, parting.first), step_of(parting, parting.second)
    # not validated: an edition may be one that is not in the list of editions
    return Counterexample.model_construct(
        property="",
        sentence="",
        edition=parting.first.edition,
        call=parting.call,
        expected="",
        before=parting.before,
        steps=steps,
        culprit=Culprit(page=parting.page, why=""),
        size=parting.size,
    )


class _PartingPage(TextPage):
    """The text while it grows."""

    def __init__(self, parting: Parting, width: int) -> None:
        super().__init__(_document(parting), width)
        self.parting = parting

    def text(self) -> str:
        parting = self.parting
        self.layout("before", parting.before)
        self.marks(parting.range)
        self.say(f"call: {self.names.call(self.doc.steps[0])}", hang=" " * INDENT * 2)
        for failure in parting.failures:
            self.say(f"while the environment fails: {failure}", indent=" " * INDENT * 2)
        for outcome in (parting.first, parting.second):
            self.lines.append("")
            self.outcome(outcome)
        self.culprit()
        self.lines.append("")
        self.say(f"{self.names.base_line()}; {self.legend()}")
        return "\n".join(self.text_lines()) + "\n"

    def outcome(self, outcome: Outcome) -> None:
        """How the call ends under one edition, and the layout after it, unless that is the one before."""
        result = f"-1 {outcome.errno}"
        if outcome.errno == "OK":
            result = f"ok, at {self.names.page(outcome.value)}" if outcome.value else "ok"
        check = f" ({outcome.check})" if outcome.check else ""
        self.say(f"{outcome.edition}: {result}{check}", hang=" " * INDENT * 2)
        if not outcome.changed:
            self.say("nothing is changed", indent=" " * INDENT)
            return
        self.layout(f"after, in {outcome.edition}", outcome.after)

    def legend(self) -> str:
        parts = ["S sealed", "|..| gap", "[==) range of the call"]
        parts += ["^ where the two can be distinguished"] * (self.doc.culprit.page is not None and self.drawable)
        return ", ".join(parts) + "."

    def culprit(self) -> None:
        """A caret below the page at which the two can be told apart."""
        page = self.doc.culprit.page
        if page is not None and self.drawable and self.axis.segments:
            self.lines.append(" " * (self.column(page) + 1) + "^")
