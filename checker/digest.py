# SPDX-License-Identifier: MIT
"""What tells one counterexample from another: a digest of its case, by which what was found out is known again."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from checker.documents.counterexamples import Counterexample

_CASE: Final = {"edition", "property", "call", "before", "steps", "culprit"}


def case_digest(document: Counterexample) -> str:
    """A digest of the case: the property and its edition, the layouts, the calls with their results, and the page that
    breaks it; 16 hexadecimal digits. What is said about it in words does not count."""
    case = document.model_dump(mode="json", include=_CASE)
    case["culprit"] = document.culprit.page
    return hashlib.sha256(json.dumps(case, sort_keys=True).encode("utf-8")).hexdigest()[:16]
