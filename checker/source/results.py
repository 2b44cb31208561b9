# SPDX-License-Identifier: MIT
"""What a case's document says happened, as a transition that properties and drawings may look at."""

from __future__ import annotations

from checker.documents.patches import CaseDoc, EndDoc
from checker.examples import ConcreteSnapshot, Example
from spec.editions import EDITIONS
from spec.errors import Errno
from spec.transition import Transition


def transition(case: CaseDoc, end: EndDoc) -> tuple[Transition, list[int]]:
    """One side of a case, and every page at which anything could be told apart."""
    edition = EDITIONS["v10"]  # only for what is visible of a page, which is the same in all
    before, after = case.before.to_state(), end.after.to_state()
    errno = Errno.OK if end.result == "success" else Errno.__members__.get(end.result, Errno.EIO)
    made = Transition(
        case.call, None, errno, 0, end.check, ConcreteSnapshot(before, edition),
        ConcreteSnapshot(after, edition, end.map_count),
    )  # fmt: skip
    return made, Example(before, case.call, None).pages(after)
