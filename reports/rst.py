# SPDX-License-Identifier: MIT
"""New wording for the kernel's document on mseal: what a failed call has changed, from the atomicity matrix.

Where the document says that memory may or may not be changed, or that behaviour is undefined, the matrix has an answer
for each call and error. `wording` is that answer in the document's own style. `patch` puts it in place of what a given
copy of the document says, as a unified diff that `git apply` takes. No text of the document is in this repository: the
passages are found by a few words each (as in proofs.settled).
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from checker.documents.base import BadDocument
from proofs.results import Cell
from proofs.settled import BLOCKED, DOCUMENT
from reports.plain import WIDTH, joined, one_line, text_of
from reports.review import EditionFacts, Review

CALLS: Final = (*BLOCKED, "brk")
"""The calls that a seal may block."""
SAID: Final = {"brk": "brk (which returns the old break, and no error)"}
"""Calls of which a reader must know how they fail."""
STEP: Final = 3
"""Columns by which the document indents."""


def render(review: Review) -> str:
    """The new wording for the first edition of the review."""
    edition = review.editions[0]
    head = [f"{DOCUMENT}, new wording for {edition.name}", f"({one_line(edition.kernel)})", ""]
    if review.matrix is None:
        return text_of([*head, "The atomicity matrix, which decides it, is not in this report."])
    of_mseal, of_blocked = wording(review)
    return text_of([*head, *of_mseal(0, False), "", *of_blocked(0, False)])


# the wording ----------------------------------------------------------------------------------------------------------

Writer = Callable[[int, bool], list[str]]
"""(columns of indent, blank lines between list items) -> the lines of a passage."""


def wording(review: Review) -> tuple[Writer, Writer]:
    """What to say of the errors of mseal, and of those of the calls that a seal blocks.

    Raises ValueError for a review without a matrix.
    """
    if review.matrix is None:
        raise ValueError("the review has no matrix")
    edition = review.editions[0]
    cells = [facts.cell for facts in review.matrix.cells if facts.cell.edition == edition.name]
    reached = [cell for cell in cells if cell.verdict != "unreachable"]
    mseal = [cell for cell in reached if cell.call == "mseal"]
    return (
        lambda indent, apart: _items(_mseal(mseal), indent, apart),
        lambda indent, apart: _blocked(reached, indent, apart),
    )


def _mseal(cells: Sequence[Cell]) -> list[str]:
    """Items: the errors that change nothing, then each that may."""
    partial = [cell for cell in cells if cell.verdict == "partial"]
    unknown = [cell for cell in cells if cell.verdict == "unknown"]
    if not partial and not unknown:
        return ["Whatever the error, nothing at all is changed: no page is sealed, and no VMA is split."]
    harmless = [
        f"{_bare(check.check)} (-{cell.errno})"
        for cell in cells
        for check in cell.checks
        if cell.verdict != "unknown" and check.changes == "nothing"
    ]
    items = []
    if harmless:
        items.append(f"No page is sealed and no VMA is split if the call fails because: {'; '.join(harmless)}.")
    for cell in partial:
        why = joined((_bare(check.check) for check in cell.checks if check.changes != "nothing"), "or")
        items.append(f"-{cell.errno} may also be returned because: {why}. Then {cell.sentence}.")
    items += [f"What is changed with -{cell.errno} is not settled." for cell in unknown]
    return items


def _bare(check: str) -> str:
    """A check without the name of its call."""
    return check.split(": ", 1)[-1]


def _blocked(cells: Sequence[Cell], indent: int, apart: bool) -> list[str]:
    """A list of the calls for -EPERM because of a seal, and one for the other errors."""
    seal: dict[str, list[str]] = {}
    for call in CALLS:
        for cell in cells:
            if (cell.call, cell.errno, cell.cause) == (call, "EPERM", "seal"):
                seal.setdefault(_said(cell), []).append(SAID.get(call, call))
    lines = _paragraph("What a call that is refused because of a seal (-EPERM) has changed by then:", indent)
    lines += ["", *_items((f"{', '.join(calls)}: {told}." for told, calls in seal.items()), indent + STEP, apart)]
    others: dict[tuple[str, ...], list[str]] = {}
    for call in CALLS:
        told = tuple(_other_errors([cell for cell in cells if cell.call == call]))
        if told:
            others.setdefault(told, []).append(SAID.get(call, call))
    if not others:
        return lines
    lines += ["", *_paragraph("What such a call has changed if it fails with another error:", indent), ""]
    for place, (errors, calls) in enumerate(others.items()):
        lines += [""] if place else []
        lines += [*_items([f"{', '.join(calls)}:"], indent + STEP, False), ""]
        lines += _items(errors, indent + 2 * STEP, apart, "*")
    return lines


def _other_errors(cells: Iterable[Cell]) -> list[str]:
    """What a call has changed, by error: those that say the same together, those that change nothing first."""
    by_sentence: dict[str, list[str]] = {}
    for cell in cells:
        if cell.cause != "seal":
            name = f"-{cell.errno}" + (" for another reason" if cell.cause == "other" else "")
            by_sentence.setdefault(_said(cell), []).append(name)
    order = sorted(by_sentence, key=lambda told: told != NOTHING)
    return [f"{', '.join(by_sentence[told])}: {told}." for told in order]


NOTHING: Final = "nothing at all, no page and no VMA boundary"


def _said(cell: Cell) -> str:
    if cell.verdict == "unknown":
        return "not settled"
    return NOTHING if cell.verdict == "atomic" else cell.sentence


def _paragraph(text: str, indent: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(one_line(text), WIDTH, initial_indent=space, subsequent_indent=space, break_on_hyphens=False)


def _items(texts: Iterable[str], indent: int, apart: bool, mark: str = "-") -> list[str]:
    lines: list[str] = []
    for text in texts:
        lines += [""] if apart and lines else []
        lines += textwrap.wrap(
            one_line(text),
            WIDTH,
            initial_indent=" " * indent + mark + " ",
            subsequent_indent=" " * (indent + len(mark) + 1),
            break_on_hyphens=False,
        )
    return lines


# the patch ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    """A paragraph or list item of the document: lines [start, end)."""

    start: int
    end: int
    indent: int
    item: bool
    text: str


_ITEM = re.compile(r"\s*[-*] ")
OF_MSEAL: Final = (("above error cases",), ("internal errors", "partial updates"))
"""Words of the passage on mseal's errors: each tuple finds a block that has all of them."""
OF_BLOCKED: Final = (
    ("blocked", "unmodified"),
    ("-EPERM", "may or may not be changed"),
    ("munmap is atomic",),
    ("partial update might happen",),
    ("undefined behavior",),
)
"""Words of the passage on the calls that a seal blocks."""


def patch(review: Review, document: str, source: str) -> str:
    """A unified diff that puts the new wording into `document`, a copy of the kernel's mseal.rst that was read from
    `source`. Text before the diff says what it is; `git apply` passes over it.

    Raises BadDocument where no passage is found that speaks of what a failed call has changed, ValueError for a review
    without a matrix.
    """
    if "\r" in document:
        raise BadDocument("", "the lines end in CR LF; a kernel document has LF", source)
    old = document.split("\n")
    blocks = _blocks(old)
    new, found = list(old), False
    # from the end, so that the places of what comes before stay what they are
    of_mseal, of_blocked = wording(review)
    passages = [(_found(blocks, OF_MSEAL), of_mseal), (_found(blocks, OF_BLOCKED), of_blocked)]
    passages = [(chosen, writer) for chosen, writer in passages if chosen]
    for chosen, writer in sorted(passages, key=lambda passage: -passage[0][0].start):
        found = True
        _replace(new, old, chosen, writer)
    if not found:
        raise BadDocument("", "nothing in it says what a failed call has changed: is it mseal.rst?", source)
    return _diff(review.editions[0], old, new)


def _blocks(lines: Sequence[str]) -> list[_Block]:
    """The paragraphs and list items, in order. A list item begins a block even without a blank line before it."""
    starts = [
        i for i, line in enumerate(lines) if line.strip() and (i == 0 or not lines[i - 1].strip() or _ITEM.match(line))
    ]
    made = []
    for start, following in pairwise([*starts, len(lines)]):
        end = next((i for i in range(start, following) if not lines[i].strip()), following)
        text = " ".join(" ".join(lines[start:end]).split())
        indent = len(lines[start]) - len(lines[start].lstrip())
        made.append(_Block(start, end, indent, bool(_ITEM.match(lines[start])), text))
    return made


def _found(blocks: Iterable[_Block], passages: Sequence[tuple[str, ...]]) -> list[_Block]:
    return [block for block in blocks if any(all(word in block.text for word in words) for words in passages)]


def _replace(new: list[str], old: Sequence[str], blocks: Sequence[_Block], writer: Writer) -> None:
    """Take the blocks out, with the blank lines between them, and put the passage where the first was."""
    first = blocks[0]
    apart = first.item and len(blocks) > 1 and not old[blocks[1].start - 1].strip()
    made = writer(first.indent, apart)
    following = old[blocks[-1].end : blocks[-1].end + 1]
    if blocks[-1].text.endswith(":") and not blocks[-1].item:
        # what it led up to is left standing
        made += ["", " " * first.indent + "For example:"]
    elif following and following[0].strip() and not made[-1].strip():
        made.pop()
    for before, block in reversed([*zip([None, *blocks], blocks, strict=False)]):
        start = block.start
        if before is not None and not any(line.strip() for line in old[before.end : block.start]):
            start = before.end
        new[start : block.end] = made if before is None else []


def _diff(edition: EditionFacts, old: Sequence[str], new: Sequence[str]) -> str:
    """As `git diff` writes it; a last line without its newline is marked."""
    head = [
        f"mseal.rst: say what a failed call has changed ({edition.name})",
        "",
        *_paragraph(f"Generated from the atomicity matrix of mseal-spec for: {edition.kernel}.", 0),
        "",
        f"diff --git a/{DOCUMENT} b/{DOCUMENT}",
    ]
    before, after = _lines(old), _lines(new)
    hunks = difflib.unified_diff(before, after, f"a/{DOCUMENT}", f"b/{DOCUMENT}", lineterm="\n")
    body = "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in hunks)
    return "\n".join(head) + "\n" + body


def _lines(lines: Sequence[str]) -> list[str]:
    """Lines with their newlines; the last has none if the text did not end in one."""
    kept = [f"{line}\n" for line in lines[:-1]]
    return kept if not lines[-1] else [*kept, lines[-1]]
