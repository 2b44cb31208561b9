# SPDX-License-Identifier: MIT
"""Golden verdicts: what was decided of editions once, fact by fact, without times.

    python -m proofs.golden                      # decide what is recorded anew, and compare
    python -m proofs.golden v10 v6.12 --write    # decide two, and record them
    python -m proofs.golden --from report.json   # compare what `prove --json` or `matrix --json` wrote

Theorems with their verdicts, lemmas, endings (reached or not), mutants (killed or not), cells of the matrix. A change
that is not meant shows here, and one that is meant is recorded and explained in CHANGELOG.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from checker.output import write_text
from proofs.matrix import matrix
from proofs.results import MatrixReport, ProofReport
from proofs.run import prove
from spec.editions import EDITIONS

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "golden"
JOBS = 2

Facts = dict[str, str]
"""What was decided, by its name: `theorem never-unmapped munmap` -> `proved`."""


def proved(report: ProofReport) -> Facts:
    """The facts of a report of `prove`."""
    facts: Facts = {f"theorem {t.property} {t.call}": t.verdict for t in report.theorems}
    facts |= {f"lemma {lemma.name}": lemma.verdict for lemma in report.lemmas}
    for o in report.reachability:
        ending = f"ending {o.call} {o.errno}: {o.check or 'runs to its end'}"
        facts[ending] = "reached" if o.reachable else "not reached"
    facts |= {f"mutant {m.call}: {m.check}": "survives" if m.survived else "killed" for m in report.mutants}
    return facts


def changed(report: MatrixReport) -> dict[str, Facts]:
    """The facts of a report of `matrix`, by edition."""
    facts: dict[str, Facts] = {edition.name: {} for edition in report.editions}
    for cell in report.cells:
        facts[cell.edition][f"cell {cell.call} {cell.column}"] = f"{cell.verdict} {cell.level}".rstrip()
    return facts


def read_report(path: Path) -> dict[str, Facts]:
    """The facts of a report that was written as JSON, by edition. Raises OSError, ValueError."""
    text = path.read_text("utf-8")
    try:
        report = ProofReport.model_validate_json(text)
    except ValidationError:
        return changed(MatrixReport.model_validate_json(text))
    return {report.edition: proved(report)}


def decide(edition: str) -> Facts:
    """All facts of an edition, decided now."""
    return proved(prove(edition, jobs=JOBS)) | changed(matrix([edition], jobs=JOBS))[edition]


def path_of(edition: str) -> Path:
    """Where the facts of an edition are recorded."""
    return FOLDER / f"verdicts-{edition}.json"


def recorded(edition: str) -> Facts:
    """The facts that are recorded of an edition. Raises OSError."""
    facts: Facts = json.loads(path_of(edition).read_text("utf-8"))
    return facts


def record(edition: str, facts: Facts) -> None:
    """Record facts: one a line, in the order of their names. Other kinds of facts stay as they are recorded."""
    kinds = {_kind(name) for name in facts}
    before = recorded(edition) if path_of(edition).exists() else {}
    kept = {name: told for name, told in before.items() if _kind(name) not in kinds}
    write_text(path_of(edition), json.dumps(kept | facts, indent=0, sort_keys=True) + "\n")


def differences(edition: str, facts: Mapping[str, str], *, whole: bool = True) -> list[str]:
    """What is not as recorded, one line each. `whole`: all facts of each kind are there, so that one that is recorded
    and missing is a difference."""
    golden, kinds = recorded(edition), {_kind(name) for name in facts}
    missing = {name for name in golden if _kind(name) in kinds and name not in facts} if whole else set()
    return [
        f"{edition}: {name}: {golden.get(name, 'not there')} is recorded, {facts.get(name, 'not there')} is decided"
        for name in sorted({*facts, *missing})
        if golden.get(name) != facts.get(name)
    ]


def _kind(name: str) -> str:
    return name.partition(" ")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Decide or read, then record or compare. Exit status 1: something is not as recorded; 2: nothing could be read."""
    parser = argparse.ArgumentParser(prog="python -m proofs.golden", description=__doc__.partition("\n")[0])
    parser.add_argument("editions", nargs="*", metavar="EDITION", help="default: all that are recorded")
    parser.add_argument("--from", action="append", type=Path, default=[], metavar="FILE", dest="files",
                        help="a report of prove --json or matrix --json, instead of deciding")  # fmt: skip
    parser.add_argument("--write", action="store_true", help="record, instead of comparing")
    options = parser.parse_args(arguments)
    for name in options.editions:
        if name not in EDITIONS:
            parser.error(f"unknown edition {name!r}; known: {', '.join(EDITIONS)}")
    status = 0
    try:
        for edition, facts in (
            _given(options.files) if options.files else _decided(options.editions or _editions(options.write))
        ):
            if options.write:
                record(edition, facts)
                print(f"{edition}: {len(facts)} facts are recorded")
                continue
            wrong = differences(edition, facts)
            print("\n".join(wrong) or f"{edition}: all {len(facts)} facts are as recorded", flush=True)
            status = max(status, int(bool(wrong)))
    except (OSError, ValueError) as error:
        print(f"golden: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    return status


def _editions(every: bool) -> list[str]:
    """All editions, or those that are recorded."""
    return [name for name in EDITIONS if every or path_of(name).exists()]


def _given(files: Iterable[Path]) -> Iterable[tuple[str, Facts]]:
    for path in files:
        yield from read_report(path).items()


def _decided(editions: Iterable[str]) -> Iterable[tuple[str, Facts]]:
    return ((edition, decide(edition)) for edition in editions)


if __name__ == "__main__":
    sys.exit(main())
