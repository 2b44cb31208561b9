# SPDX-License-Identifier: MIT
"""What every test shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Two cores shared by many tests: a slow example says nothing. On a CI machine the same examples are drawn every time.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("shared"), derandomize=True, print_blob=True)
settings.load_profile("repeatable" if os.environ.get("CI") else "shared")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job: Ctrl-C is tested all the same
    signal.signal(signal.SIGINT, signal.default_int_handler)

TOGETHER = {
    "reports/test_cli_diff.py": "diffs",
    "reports/test_formats.py": "reviews",
    "reports/test_thread.py": "reviews",
    "reports/test_rst.py": "reviews",
    "reports/test_report_html.py": "reviews",
    "reports/test_report_browser.py": "reviews",
    "lab/test_conform.py": "conformance",
    "proofs/test_diff.py": "differences",
    "proofs/test_matrix.py": "matrix",
    "proofs/test_theorems.py": "theorems",
    "test_package.py": "wheel",
}
"""Modules that share something slow to make, by what that is: of two processes only one makes it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hand modules that share something to one process (xdist's --dist loadgroup)."""
    for item in items:
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        if name in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(TOGETHER[name]))


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is first on PATH from the beginning: also processes that are started early find what a test puts
    there."""
    return tmp_path_factory.mktemp("tools")


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory, tools: Path) -> Iterator[None]:
    """Nothing is kept in the user's folders, nor found there: HOME may be missing or read-only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user") / "cache"))
        patch.setenv("PATH", str(tools), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sees decided was decided in it."""
    monkeypatch.setenv("MSEAL_SPEC_CACHE", "")


@pytest.fixture(autouse=True)
def _no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a machine takes is not seen in standard error."""
    monkeypatch.setenv("MSEAL_SPEC_PROGRESS", "0")


@pytest.fixture(autouse=True)
def _plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output does not depend on the terminal that the tests are run from."""
    for name in (
        "COLUMNS",
        "FORCE_COLOR",
        "NO_COLOR",
        "TTY_COMPATIBLE",
        "GITHUB_ACTIONS",
        "PY_COLORS",
        "TERMINAL_WIDTH",
    ):
        monkeypatch.delenv(name, raising=False)
