# SPDX-License-Identifier: MIT
"""Mails with patches: an mbox taken apart, and what a mail says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Final

from checker.text import printable

_BEGIN: Final = re.compile(
    r"^From \S+ +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) .*\d{4}$", re.M
)
"""The line on which a mail of an mbox begins. Lines of a hunk never do: they have a blank, - or + in front."""
_NUMBER: Final = re.compile(r"(?:re:\s*)?(?:\[[^\[\]]*\]\s*)*?\[(?:[^\[\]]*[\s,])?(\d{1,4})/(\d{1,4})\]", re.I)
"""In the brackets in front of a subject."""
_HEAD: Final = 20_000


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail, or a text that is none: then its headers are empty."""

    text: str = ""
    first: int = 1
    """Number of its first line in the file, from 1."""
    subject: str = ""
    message_id: str = ""

    @property
    def number(self) -> tuple[int, int] | None:
        """Which patch of how many its subject says that it is; the cover letter is 0. None if it does not say."""
        m = _NUMBER.match(self.subject)
        return (int(m[1]), int(m[2])) if m else None

    @property
    def title(self) -> str:
        """Its subject without what stands in brackets in front."""
        return re.sub(r"^(?:\[[^\]]*\]\s*)+", "", self.subject)

    @property
    def is_reply(self) -> bool:
        """Its subject says that it answers another mail."""
        return self.subject.lower().startswith("re:")


def mail_of(text: str, first: int = 1) -> Mail:
    """Read the headers of a mail or a page of an archive; empty where it is none."""
    head = text[:_HEAD]

    def header(pattern: str) -> str:
        m = re.search(pattern, head, re.M | re.I)
        return " ".join(printable(_decoded(" ".join(m[1].split()))).split()) if m else ""

    return Mail(
        text,
        first,
        header(r"^Subject: *(.*(?:\n[ \t].*)*)"),
        header(r"^Message-?ID:? *<?([^\s<>]+@[^\s<>]+)>?"),
    )


def _decoded(header: str) -> str:
    """A header in plain text (RFC 2047); as it stands where it is not well formed."""
    try:
        return str(make_header(decode_header(header)))
    except (HeaderParseError, LookupError, ValueError):
        return header


def mails_of(text: str) -> list[Mail]:
    """Return the mails of an mbox in order; a text that is none is one mail."""
    text = text.replace("\r\n", "\n")
    begins = [m.start() for m in _BEGIN.finditer(text)]
    if not begins or text[: begins[0]].strip():
        begins.insert(0, 0)
    found: list[Mail] = []
    number = 1
    for begin, end in zip(begins, [*begins[1:], len(text)], strict=True):
        found.append(mail_of(text[begin:end], number))
        number += text.count("\n", begin, end)
    return found
