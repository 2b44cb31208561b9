# SPDX-License-Identifier: MIT
"""A case on which two sides part, drawn: as `diff` draws two editions."""

from __future__ import annotations

import textwrap

from checker.documents.counterexamples import Size
from checker.documents.patches import CaseDoc, EndDoc
from checker.parting import changes
from checker.source.results import transition
from proofs.results import Outcome, Parting
from reports.strip_diff import parting_text
from spec.errors import Errno
from spec.syscalls import CALLS

WRONG = "goes wrong"
"""How the result of a side begins that does what no kernel survives."""


def drawn(case: CaseDoc, width: int = 72) -> str:
    """The case as text. A test within calls is no call of which the arguments could be shown: its range is."""
    if case.call not in CALLS:
        return _plain(case)
    wrong = [end for end in (case.first, case.second) if end.result.startswith(WRONG)]
    parting = Parting(
        level="pages",
        sentence="",
        before=case.before,
        call=case.call,
        words=case.words,
        failures=list(case.failures),
        range=case.range,
        page=None,
        first=_outcome(case, case.first),
        second=_outcome(case, case.second),
        size=Size(vmas=len(case.before.vmas), pages=sum(v.end - v.start for v in case.before.vmas), calls=1),
    )
    blocks = parting_text(parting, width).split("\n\n")
    for place, end in ((1, case.first), (2, case.second)):
        if end in wrong and len(blocks) > place:
            blocks[place] = "\n".join(textwrap.wrap(f"{end.side}: {end.result}", width, subsequent_indent="    "))
    return "\n\n".join(blocks)


def _outcome(case: CaseDoc, end: EndDoc) -> Outcome:
    told, pages = transition(case, end)
    return Outcome(
        edition=end.side,
        errno="OK" if end.result == "success" else end.result if end.result in Errno.__members__ else "EIO",
        value=0 if end.result == "success" else -1,
        check=end.check,
        changed=changes(told, pages, pages[0] if pages else 0),
        after=end.after,
        map_count=end.map_count,
    )


def _plain(case: CaseDoc) -> str:
    lines = [f"{case.call}, range {case.range}" if case.range else case.call]
    for vma in case.before.vmas:
        flags = " ".join(vma.flags)
        lines.append(f"  pages {vma.start:#x} to {vma.end:#x}: {vma.prot} {vma.backing} {flags}".rstrip())
    lines += [f"  {end.side}: {end.result}" for end in (case.first, case.second)]
    return "\n".join(lines) + "\n"
