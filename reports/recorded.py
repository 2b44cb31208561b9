# SPDX-License-Identifier: MIT
"""Recorded replays: what real kernels did with the counterexamples of reports, shipped with the package.

`make replays` records them anew: `python -m reports.recorded FILE...` takes what `sealspec replay --json` and `sealspec
lab --json` wrote. An entry counts for the very case that was tried (checker.digest); once an example changes, its old
entry counts for nothing.
"""

from __future__ import annotations

import lzma
import sys
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from checker.lab.replay import Replay

FILE: Final = "replays.jsonl.xz"


def recorded() -> tuple[Replay, ...]:
    """The replays that the package brings with it; none if none were recorded."""
    found = files("reports") / FILE
    if not found.is_file():
        return ()
    text = lzma.decompress(found.read_bytes()).decode("utf-8")
    return tuple(Replay.model_validate_json(line) for line in text.splitlines())


def packed(replays: Iterable[Replay]) -> bytes:
    """The file of these replays, without the scenarios that made them; of two of one case on one kernel, the last. The
    same replays give the same bytes."""
    kept = {(r.kernel, r.edition, r.case, r.property, r.call): r.model_copy(update={"scenario": None}) for r in replays}
    lines = [kept[key].model_dump_json() + "\n" for key in sorted(kept)]
    return lzma.compress("".join(lines).encode("utf-8"), preset=9)


def main(paths: Sequence[str]) -> None:
    """Record what is in these files, in place of what was recorded before."""
    from reports.cli_report import load_replays

    replays = [replay for path in paths for replay in load_replays(path)]
    if not replays:
        sys.exit("recorded: no replay is in these files; give what replay --json and lab --json wrote")
    Path(str(files("reports") / FILE)).write_bytes(packed(replays))
    kernels = dict.fromkeys(replay.kernel for replay in replays)
    print(f"{len(replays)} replays of {', '.join(kernels)}")


if __name__ == "__main__":
    main(sys.argv[1:])
