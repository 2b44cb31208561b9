"""Which program wrote a document: its version, and the revision of its source."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Annotated, Final, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

NAME: Final = "mseal-spec"
BAKED: Final = Path(__file__).with_name("REVISION")
"""Written when a wheel is built (setup.py)."""
UNKNOWN: Final = "unknown"


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
def revision() -> str:
    """Return the revision of the source: what git says of a checkout, or what was noted when the wheel was built."""
    root = Path(__file__).resolve().parents[1]
    if (root / ".git").exists():  # not the repository of somebody else, in which this is installed
        return described(root)
    try:
        return BAKED.read_text(encoding="ascii").strip() or UNKNOWN
    except OSError:
        return UNKNOWN


def described(root: Path) -> str:
    """Return what git says of a checkout; `unknown` where it says nothing."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return done.stdout.strip() or UNKNOWN


@cache
def tool() -> Tool:
    """Return what this program says of itself in the documents that it writes."""
    return Tool(version=version(), revision=revision())


def stamped(document: D) -> D:
    """Return the document with the program that writes it, if it is of a kind that says so."""
    if "tool" not in type(document).model_fields:
        return document
    return document.model_copy(update={"tool": tool()})
