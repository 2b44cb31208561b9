# SPDX-License-Identifier: MIT
"""Where a fact that a proof may use comes from: a check, a verb's contract, a clause of well-formedness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["", "check", "branch", "verb", "clause", "arguments", "property"]


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of a fact."""

    kind: Kind
    """`check` (of the call), `branch` (a decision of the call that is no check), `verb` (its contract), `clause` (of
    well-formedness), `arguments` (what the argument stage ensures: lemma bridge), `property` (its hypotheses and its
    negated conclusion); empty: nobody said."""
    name: str = ""
    """The check's name, the verb's, the clause in words, the property's; of a branch, the function that decides."""
    answer: bool | None = None
    """Of a decision, its answer: a check whose answer is True ended the call."""

    def __str__(self) -> str:
        if self.kind == "check":
            how = "passes on every page" if self.answer is None else "refuses" if self.answer else "passes"
            return f"check {how}: {self.name}"
        if self.kind == "branch":
            return f"branch {'taken' if self.answer else 'not taken'} in {self.name}"
        words = {"verb": "contract of", "clause": "well-formed:", "arguments": "arguments:", "property": "property"}
        return f"{words.get(self.kind, self.kind)} {self.name}".strip() or "nobody"


UNKNOWN = Source("")
"""Of a fact that nobody vouches for."""
