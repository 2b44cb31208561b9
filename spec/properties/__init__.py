# SPDX-License-Identifier: MIT
"""What must hold, each in one English sentence beside its formula, with the place that promises it.

A property speaks of one call from an arbitrary well-formed address space, as seen at one page (or two) that stand for
all. Properties know nothing of known bugs, and of editions only whose documents promise them.
"""

from __future__ import annotations

from typing import Final

from spec.editions import Edition
from spec.properties import errors, failure, seal, state, success
from spec.properties.base import CHANGING, STEPS, SYSTEM_CALLS, Property

PROPERTIES: Final[dict[str, Property]] = {
    prop.name: prop for topic in (seal, failure, success, errors, state) for prop in topic.PROPERTIES
}
"""Every property by name."""


def promised(edition: Edition) -> list[Property]:
    """The properties that an edition is held to."""
    return [prop for prop in PROPERTIES.values() if edition.system in prop.promised_by]


__all__ = ["CHANGING", "PROPERTIES", "STEPS", "SYSTEM_CALLS", "Property", "promised"]
