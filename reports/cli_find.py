# SPDX-License-Identifier: MIT
"""`sealspec find`: the smallest counterexample to one property, or the shortest attack trace, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console

from reports.cli_common import (
    DEFAULT_EDITION,
    ExitCode,
    check_call,
    check_call_of,
    check_promised,
    check_property,
    console,
    edition_named,
    line,
    verdict_cache,
)
from reports.cli_interrupt import interruptible
from reports.cli_prove import check_selection, progress_bars
from reports.cli_run import confirmed, drawing
from reports.outputs import Outputs

if TYPE_CHECKING:
    from checker.documents.counterexamples import Counterexample


def find(
    name: str,
    call: str | None,
    edition: str | None,
    trace: bool,
    files: Mapping[str, str | None],
    timeout_ms: int,
    cache: bool,
) -> ExitCode:
    """Look for a counterexample and draw it. `files` says where the document (`--json`) and its drawings (`--svg`,
    `--dot`) go; `cache` whether what was decided before is taken. Raises BadUsage."""
    check_property(name)
    if call is not None:
        check_call(call)
        check_selection([name], [call])
    chosen_edition = edition_named(edition or DEFAULT_EDITION)
    check_promised(chosen_edition, name)
    if call is not None:
        check_call_of(chosen_edition, call)
    chosen = chosen_edition.name
    outputs = Outputs(files)
    out = console(error=outputs.standard)
    wanted = [call] if call else None
    verdict, example, why = _trace(name, wanted, chosen) if trace else _single(name, call, chosen, timeout_ms, cache)
    if example is not None:
        if confirmed(example, name) is None:
            return ExitCode.DIFFERS
        _write(example, outputs)
        out.print(drawing(example, "text"), end="", soft_wrap=True)
    return _conclude(out, name, wanted, chosen, verdict, example, why)


Found: TypeAlias = tuple[str, "Counterexample | None", str]
"""Verdict, the counterexample if there is one, and why there is none."""


def _single(name: str, call: str | None, edition: str, timeout_ms: int, cache: bool) -> Found:
    from proofs.run import find as search

    with progress_bars(), interruptible():
        found = search(name, call, edition, timeout_ms=timeout_ms, cache=verdict_cache(cache))
    return found.verdict, found.counterexample, found.why


def _trace(name: str, calls: list[str] | None, edition: str) -> Found:
    from checker.search_traces import MAX_CALLS, attack_trace
    from proofs.theorems import expected_of
    from spec.editions import EDITIONS
    from spec.properties import PROPERTIES

    with progress_bars():
        example = attack_trace(PROPERTIES[name], EDITIONS[edition], calls=calls, expected="")
    if example is None:
        return "bounded", None, f"no series of up to {MAX_CALLS} calls that the search knows breaks it"
    return "refuted", example.model_copy(update={"expected": expected_of(name, example.call, edition)}), ""


def _write(example: Counterexample, outputs: Outputs) -> None:
    outputs.write_document("--json", example)
    for form in ("svg", "dot"):
        if f"--{form}" in outputs.files:
            outputs.write(f"--{form}", drawing(example, form))


def _conclude(
    out: Console,
    name: str,
    calls: list[str] | None,
    edition: str,
    verdict: str,
    example: Counterexample | None,
    why: str,
) -> ExitCode:
    """Hold the verdict against the expected one, and say so."""
    from proofs.theorems import theorems
    from reports.lead import weaknesses
    from spec.editions import EDITIONS

    chosen = theorems(EDITIONS[edition], [name], calls)
    known = {theorem.call: theorem.broken for theorem in chosen if theorem.broken}
    because = f" ({why})" if why else ""
    if example is not None and (broken := known.get(example.call)) is not None:
        fixed = f"; fixed in {broken.mended}" if broken.mended else ""
        line(out, f"{name}, {example.call}, {edition}: {verdict}, as known: {broken.reason}{fixed}", "yellow")
        if note := weaknesses([broken.reason]):
            line(out, note)
        return ExitCode.OK
    if example is None and not known and verdict in ("proved", "bounded"):
        line(out, f"{name}, {edition}: {verdict}, as expected{because}", "green" if verdict == "proved" else "")
        return ExitCode.OK
    if verdict == "vacuous" and all(theorem.vacuous for theorem in chosen):
        line(out, f"{name}, {edition}: {verdict}, as expected: {chosen[0].reason}", "yellow")
        return ExitCode.OK
    expected = f"refuted for {', '.join(known)}" if known else "proved"
    line(out, f"{name}, {edition}: {verdict}, but expected to be {expected}{because}", "bold red")
    return ExitCode.DIFFERS
