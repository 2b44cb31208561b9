"""What every test shares."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Two cores shared by many tests: a slow example says nothing. On a CI machine the same examples are drawn every time.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("shared"), derandomize=True, print_blob=True)
settings.load_profile("repeatable" if os.environ.get("CI") else "shared")


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sees decided was decided in it."""
    monkeypatch.setenv("MSEAL_SPEC_CACHE", "")


@pytest.fixture(autouse=True)
def _plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output does not depend on the terminal that the tests are run from."""
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
