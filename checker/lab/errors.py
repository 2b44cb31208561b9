# SPDX-License-Identifier: MIT
"""The one exception that the kernel lab raises for a failure that is not a bug."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot do what was asked; the message says why and what would help."""
