# SPDX-License-Identifier: MIT
"""Reviews that the tests of reports share: real, and small enough to be gathered in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from checker.digest import case_digest
from checker.documents.counterexamples import Counterexample
from checker.lab.replay import Replay
from proofs.cache import VerdictCache
from reports.gather import Wanted, gather
from reports.kept import beside
from reports.review import Review

SMALL = Wanted(
    editions=("v10",),
    properties=("failed-mseal-seals-nothing", "gap-seals-nothing", "eperm-changes-nothing", "failure-changes-no-page"),
    calls=("mseal", "munlock"),
    lemmas=False,
    mutants=False,
)
"""Proofs and refutations of two short calls."""


def live(document: Counterexample, verdict: str) -> Replay:
    """What a kernel that nobody has would have done with a document."""
    told = {name: getattr(document, name) for name in ("property", "call", "edition")}
    told |= {"case": case_digest(document), "kernel": "6.99.0-sample", "verdict": verdict}
    return Replay.model_validate(told | {"reason": "a sample of a reason" if verdict != "confirmed" else ""})


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Verdicts that the tests of one process share."""
    return tmp_path_factory.mktemp("cache") / "verdicts"


def gathered(wanted: Wanted, folder: Path) -> Review:
    """A review, through a cache of its own."""
    cache = VerdictCache(folder, pytest.fail)
    return gather(wanted, verdicts=cache, kept=beside(cache))


@pytest.fixture(scope="session")
def review(cache_folder: Path) -> Review:
    """Theorems of mseal and munlock in v10; two kernels have tried what is refuted."""
    case = gathered(SMALL, cache_folder).case
    replays = (
        live(case["v10/failed-mseal-seals-nothing/mseal"].document, "confirmed"),
        live(case["v10/failure-changes-no-page/munlock"].document, "cannot be tried here"),
    )
    return gathered(replace(SMALL, replays=replays), cache_folder)


@pytest.fixture(scope="session")
def two_editions(cache_folder: Path) -> Review:
    """mseal and munmap in v10, held against v6.12, where munmap looks at seals as it goes."""
    wanted = replace(
        SMALL,
        editions=("v10", "v6.12"),
        against="v6.12",
        calls=("mseal", "munmap"),
        properties=("failed-mseal-seals-nothing", "eperm-changes-nothing"),
        traces=False,
    )
    return gathered(wanted, cache_folder)
