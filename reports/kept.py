"""What a report works out from verdicts and would rather not work out again, in the folder of the verdicts.

Keys are as in proofs.cache: the question, and the source text of whatever can change the answer.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import cached_property
from typing import Final

from proofs.cache import Sources, VerdictCache, open_cache
from proofs.tasks import Task
from spec.editions import EDITIONS

ANSWERED_BY: Final[dict[str, tuple[str, ...]]] = {
    "trace": ("proofs.traces",),
    "explanation": ("reports.explain",),
    "programs": ("reports.programs", "reports.templates"),
}
"""For each kind of task the modules that answer it: they and whatever they import count."""


class ReportSources(Sources):
    """The modules of a checkout, with those of reports, and the templates of programs as one more."""

    @cached_property
    def texts(self) -> dict[str, str]:
        found = dict(super().texts)
        for path in sorted((self.root / "reports").glob("*.py")):
            found["reports" if path.stem == "__init__" else f"reports.{path.stem}"] = path.read_text(encoding="utf-8")
        templates = sorted((self.root / "reports" / "templates").glob("*.j2"))
        found["reports.templates"] = repr([path.read_text(encoding="utf-8") for path in templates])
        return found


class Kept(VerdictCache):
    """Results of the tasks of a report."""

    def key(self, task: Task) -> str:
        if task not in self._keys:
            call = task.name if task.kind == "explanation" else None
            texts = self.sources.needed(ANSWERED_BY[task.kind], call)
            content = {
                "question": [task.kind, task.name, task.properties],
                "edition": {
                    f.name: repr(getattr(EDITIONS[task.edition], f.name)) for f in fields(EDITIONS[task.edition])
                },
                "modules": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(texts.items())},
                "python": list(sys.version_info[:2]),
            }
            self._keys[task] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return self._keys[task]


def open_kept(complain: Callable[[str], None]) -> Kept | None:
    """Beside the verdicts of the user's cache; None where they are not kept either."""
    verdicts = open_cache(complain)
    return None if verdicts is None else Kept(verdicts.folder.parent / "reports", complain, ReportSources())
