# SPDX-License-Identifier: MIT
"""Which program wrote a document: its version, and the revision of its source."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Annotated, Final, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from checker.revision import revision

NAME: Final = "mseal-spec"


class Tool(BaseModel):
    """The program that wrote a document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = NAME
    version: str
    revision: str = Field(description="of the source, as git describes it; -dirty: with changes; unknown: no git there")


WrittenBy: TypeAlias = Annotated[
    Tool | None, Field(description="the program that wrote the document", exclude_if=lambda tool: tool is None)
]
"""The field `tool` of a document: filled in when the document is written, and never before, so that what is kept and
compared does not depend on it."""

D = TypeVar("D", bound=BaseModel)


@cache
def version() -> str:
    """Return the version that is installed; `0` if none is."""
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "0"


@cache
def tool() -> Tool:
    """Return what this program says of itself in the documents that it writes."""
    return Tool(version=version(), revision=revision())


def signature() -> str:
    """Return the same in words."""
    return f"{NAME} {version()}, revision {revision()}"


def stamped(document: D) -> D:
    """Return the document with the program that writes it, if it is of a kind that says so."""
    if "tool" not in type(document).model_fields:
        return document
    return document.model_copy(update={"tool": tool()})
