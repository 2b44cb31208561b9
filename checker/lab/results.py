# SPDX-License-Identifier: MIT
"""What `sealspec lab` found out about kernels: one entry each, as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import Field

from checker.documents.base import Document
from checker.lab.conform import ConformReport
from checker.lab.probe import ProbeReport
from checker.lab.replay import CANNOT, CONFIRMED, NOT_CONFIRMED, Replay
from checker.version import WrittenBy


class KernelResult(Document):
    """One kernel, booted once or more."""

    target: str = Field(description="as it was asked for: a version or the path of an image")
    error: str = Field(default="", description="why it could not be fetched, booted or asked; empty: it was")
    release: str = Field(default="", description="what the kernel calls itself")
    edition: str | None = Field(default=None, description="what it was held against: its own edition, or the nearest")
    boot_seconds: float = Field(default=0.0, description="from the start of QEMU to the first answer")
    probe: ProbeReport | None = None
    replays: tuple[Replay, ...] | None = Field(default=None, description="null: not asked for")
    conform: ConformReport | None = Field(default=None, description="null: not asked for")

    @property
    def verdicts(self) -> dict[str, int]:
        """How many replays ended how."""
        counts = Counter(replay.verdict for replay in self.replays or ())
        return {verdict: counts[verdict] for verdict in (CONFIRMED, NOT_CONFIRMED, CANNOT)}

    @property
    def differences(self) -> int:
        """Sequences that the edition does not explain, and those that the kernel did not finish."""
        if self.conform is None:
            return 0
        return sum(kind.times for kind in self.conform.differences) + len(self.conform.unanswered)

    @property
    def as_expected(self) -> bool:
        """It could be asked, behaves as an edition in every probe, and agrees with it in all that was tried."""
        one = self.probe is not None and self.probe.edition is not None
        return not self.error and one and not self.verdicts[NOT_CONFIRMED] and not self.differences


class LabReport(Document):
    """What `sealspec lab --json` writes."""

    format: Literal["mseal-spec/lab/2"] = "mseal-spec/lab/2"
    tool: WrittenBy = None
    seed: int
    kernels: tuple[KernelResult, ...]
