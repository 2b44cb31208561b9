# SPDX-License-Identifier: MIT
"""Counterexamples as standalone programs, for a report: what there is of each, and why not where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from checker.documents.counterexamples import Counterexample
from checker.lab.rebuild import Rebuilt, rebuild
from checker.lab.relocate import CannotTry
from proofs.tasks import Task
from proofs.theorems import theorems
from reports.reproduce import CannotSay, script_of, to_c, to_syz
from reports.review import Fact, Programs
from spec.editions import EDITIONS, System


class ProgramsResult(Fact):
    """The programs of the counterexample whose case has this digest."""

    digest: str
    programs: Programs


def programs(documents: Mapping[str, Counterexample], task: Task) -> Iterator[ProgramsResult]:
    """The programs of each document whose digest the task names."""
    for name in task.properties or ():
        yield ProgramsResult(digest=name, programs=programs_of(documents[name]))


def programs_of(document: Counterexample) -> Programs:
    """Every program that shows the counterexample."""
    edition = EDITIONS[document.edition]
    if edition.system is not System.LINUX:
        why = f"edition {edition.name} is {edition.system.title}, and such programs make calls of Linux"
        return Programs(why_no_c=why, why_no_syz=why)
    rebuilt = _rebuilt(document)
    if isinstance(rebuilt, str):
        return Programs(why_no_c=rebuilt, why_no_syz=rebuilt)
    known = theorems(edition, [document.property], [document.call])
    reason = next((theorem.broken.reason for theorem in known if theorem.broken), "")
    made = {}
    for form in ("c", "syz"):
        name = f"{document.property}-{document.call}.json"
        script = script_of(rebuilt, reason, f"sealspec reproduce {name} --format {form}")
        try:
            made[form] = to_syz(script) if form == "syz" else to_c(script, ktap=False)
        except CannotSay as why:
            made[f"why_no_{form}"] = str(why)
    return Programs(**made)


def _rebuilt(document: Counterexample) -> Rebuilt | str:
    """The calls that lead to the document's layout; or why there are none."""
    why = ""
    for has_pkeys in (False, True):  # without keys if they do not matter: then it runs on every processor
        try:
            return rebuild(document, has_pkeys=has_pkeys)
        except CannotTry as cannot:
            why = cannot.reason
    return why
