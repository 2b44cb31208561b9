# SPDX-License-Identifier: MIT
"""What each verb ensures, stated once: the proofs assume it, and the list engine keeps it.

Nothing else says what a verb does to an address space of any number of VMAs. docs/METHOD.md, section 5, says which
contracts are proved of the engine, and section 9 what they leave open.
"""

from __future__ import annotations

from spec.contracts.base import Contract, Kind, PageFact, View
from spec.contracts.keys import Keys
from spec.contracts.moves import Moves
from spec.contracts.pages import Pages
from spec.contracts.passes import Passes, Step
from spec.contracts.places import Places
from spec.contracts.ranges import Ranges


class Contracts(Places, Passes, Ranges, Moves, Pages, Keys):
    """The contracts of all verbs."""


__all__ = ["Contract", "Contracts", "Kind", "PageFact", "Step", "View"]
