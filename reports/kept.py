# SPDX-License-Identifier: MIT
"""What a report works out from verdicts and would rather not work out again, in a folder beside the verdicts.

Keys are as in proofs.cache: the question, and the source text of whatever can change the answer.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Final

from proofs.cache import Sources, VerdictCache
from proofs.tasks import Task

ANSWERED_BY: Final[dict[str, tuple[str, ...]]] = {
    "trace": ("proofs.traces",),
    "failure-trace": ("proofs.traces",),
    "explanation": ("reports.explain",),
    "programs": ("reports.programs", "reports/templates/reproducer.c.j2", "reports/templates/reproducer.syz.j2"),
}
"""For each kind of task the modules (and templates) that answer it: they and whatever they import count."""


class ReportSources(Sources):
    """The modules of a checkout with those of reports, and the templates of programs, which import nothing."""

    def __init__(self, others: Sources) -> None:
        super().__init__(others.root)
        self.others = others
        """Those to the right of reports: none of them imports a module of reports."""

    @cached_property
    def paths(self) -> dict[str, Path]:
        folder = self.root / "reports"
        modules = {f"reports.{path.stem}": path for path in sorted(folder.glob("*.py")) if path.stem != "__init__"}
        templates = {f"reports/templates/{path.name}": path for path in sorted((folder / "templates").glob("*.j2"))}
        return self.others.paths | modules | templates | {"reports": folder / "__init__.py"}

    def imports(self, module: str) -> tuple[str, ...]:
        if module in self.others.paths:
            return self.others.imports(module)
        return () if module.endswith(".j2") else super().imports(module)


class Kept(VerdictCache):
    """Results of the tasks of a report."""

    def _needed(self, task: Task) -> dict[str, str]:
        # a trace or a program may make any call on its way
        return self.sources.needed(ANSWERED_BY[task.kind], task.name if task.kind == "explanation" else None)


def beside(verdicts: VerdictCache | None) -> Kept | None:
    """A cache beside that of the verdicts; None if there is none of them."""
    if verdicts is None:
        return None
    return Kept(
        verdicts.folder.with_name(f"{verdicts.folder.name}-reports"), lambda text: None, ReportSources(verdicts.sources)
    )
