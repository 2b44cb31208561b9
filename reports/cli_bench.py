# SPDX-License-Identifier: MIT
"""`make bench`: what a whole run costs, as ratios, so that the numbers mean the same on every machine."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

LIMIT = 20.0
"""A whole run with vacuity, in one process and cold, stays below so many times the time of importing z3."""
RUN = ["-m", "reports.cli", "prove", "--no-cache", "--jobs", "1", "--no-mutants"]


def seconds(arguments: Sequence[str], times: int) -> float:
    """The median wall-clock time of a Python process, in seconds. Raises CalledProcessError if the process fails."""
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent)


def main() -> int:
    """Measure, print, and return 1 if the limit is passed."""
    unit = seconds(["-c", "import z3"], 9)
    whole = seconds(RUN, 3) / unit
    mutants = seconds(RUN[:-1], 1) / unit
    print(f"import z3                      1.0   ({unit:.3f} s here)")
    print(f"sealspec prove --no-mutants {whole:6.1f}   (limit {LIMIT:.0f})")
    print(f"sealspec prove              {mutants:6.1f}")
    return int(whole > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
