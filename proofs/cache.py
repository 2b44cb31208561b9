# SPDX-License-Identifier: MIT
"""Verdicts that were decided before, kept by what they depend on.

The key of a task is a hash of its question and of the source text of every module that can change the answer, so that
an answer is taken from the cache only if asking again would run the same code. A change of one call re-proves that call
and those whose modules import it (and the lemmas, which speak of every call); a change of a property re-proves all.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import z3
from pydantic import BaseModel, TypeAdapter, ValidationError

from checker.output import write_text
from proofs import recorded
from proofs.tasks import Task
from spec.editions import EDITIONS, Edition
from spec.syscalls import CALLS

VARIABLE = "MSEAL_SPEC_CACHE"
"""The environment variable that names the folder; empty: nothing is kept."""
FORMAT = "mseal-spec/verdicts/2"
CALLS_PACKAGE = "spec.syscalls"
"""It imports every call; a question about one call depends on that call's module only."""
ASKS_THEOREM = ("proofs.theorems", "proofs.evidence", "proofs.recorded", "proofs.results", "checker.prove")
ASKED_BY: dict[str, tuple[str, ...]] = {
    "theorem": ASKS_THEOREM,
    "property": ASKS_THEOREM,
    "advice": ASKS_THEOREM,
    "lemma": ("proofs.lemmas", "proofs.results"),
    "mutant": ("proofs.mutants", "proofs.results"),
    "matrix": ("proofs.matrix",),
    "diff": ("proofs.diff",),
}
"""For each kind of task the modules that decide it: they and whatever they import count."""
SHARED = ("proofs.run", "proofs.cases")
"""Modules that serve tasks of many kinds and calls: they count, but not what they import for the others."""

LOADED = time.time()
"""When this process began to load the specification, in seconds."""

_IMPORT = re.compile(
    r"^[ \t]*(?:import[ \t]+([\w., \t]+)|from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[\w, \t]+))", re.MULTILINE
)
"""`import a, b`, or `from a import b, c`. To parse every module would take longer than all else that a cache does."""

R = TypeVar("R", bound=BaseModel)


class Sources:
    """The modules of a checkout: their text, and what they import of one another."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path(__file__).resolve().parents[1]
        self._imports: dict[str, tuple[str, ...]] = {}

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The file of each module of spec, checker and proofs, by its dotted name."""
        found = {}
        for package in ("spec", "checker", "proofs"):
            for path in sorted((self.root / package).rglob("*.py")):
                parts = path.relative_to(self.root).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        return found

    @cached_property
    def texts(self) -> dict[str, str]:
        """The source text of each module."""
        return {name: path.read_text(encoding="utf-8") for name, path in self.paths.items()}

    def imports(self, module: str) -> tuple[str, ...]:
        """The modules of the checkout that this one imports, wherever in its text. Text that only looks like an import
        counts as one: that makes a key depend on more than it has to."""
        if module not in self._imports:
            names: set[str] = set()
            for plain, package, chosen in _IMPORT.findall(self.texts[module]):
                names.update(_names(plain))
                if package:
                    names.update((package, *(f"{package}.{name}" for name in _names(chosen))))
            self._imports[module] = tuple(sorted(names & self.texts.keys()))
        return self._imports[module]

    def needed(self, roots: Iterable[str], call: str | None) -> dict[str, str]:
        """The text of the roots and of all that they import, directly or not. Of the calls only the modules of `call`
        count, and what some module imports by name; `call` None stands for all of them."""
        own = {CALLS[call].body.__module__, CALLS[call].arguments.__module__} if call else set()
        waiting, found = [*roots, *own], dict[str, str]()
        while waiting:
            module = waiting.pop()
            if module in found:
                continue
            found[module] = self.texts[module]
            imports = self.imports(module)
            if module == CALLS_PACKAGE and call:
                imports = tuple(name for name in imports if not name.startswith(CALLS_PACKAGE))
            waiting += imports
        return found


class VerdictCache:
    """Results by task, one file each; a file whose key is not the task's own is stale."""

    def __init__(self, folder: Path, complain: Callable[[str], None], sources: Sources | None = None) -> None:
        self.folder = folder
        self.sources = sources or Sources()
        self._complain: Callable[[str], None] | None = complain
        self._keys: dict[Task, str] = {}

    def key(self, task: Task) -> str:
        """What the task's results depend on, as one SHA-256 in hexadecimal. The time limit does not count: results that
        ran out of time are not kept."""
        if task not in self._keys:
            texts = self._needed(task)
            content = {
                "question": [task.kind, task.name, task.properties],
                "edition": _values(EDITIONS[task.edition]),
                "modules": {name: _hash(text) for name, text in texts.items()},
                "cases": _hash(recorded.text()),
                "z3": z3.get_version_string(),
                "python": list(sys.version_info[:2]),
            }
            self._keys[task] = _hash(json.dumps(content, sort_keys=True))
        return self._keys[task]

    def _needed(self, task: Task) -> dict[str, str]:
        about = None if task.kind == "lemma" else task.name
        shared = {name: self.sources.texts[name] for name in SHARED}
        return self.sources.needed(ASKED_BY[task.kind], about) | shared

    def _edited(self, task: Task) -> bool:
        """Some module that the answer depends on was written since this process began: it may have run the old text."""
        return any(self.sources.paths[name].stat().st_mtime > LOADED for name in self._needed(task))

    def path(self, task: Task) -> Path:
        """Where the task's results are kept."""
        chosen = "" if task.properties is None else "-" + _hash(json.dumps(task.properties))[:12]
        return self.folder / f"{task.kind}-{task.name}-{task.edition}{chosen}.json"

    def load(self, task: Task, results: TypeAdapter[list[R]]) -> list[R] | None:
        """The results of the task if they are known, else None: a file that is stale or cannot be read is ignored."""
        try:
            entry = json.loads(self.path(task).read_text(encoding="utf-8"))
            if entry["format"] == FORMAT and entry["key"] == self.key(task) and entry["sum"] == _sum(entry["results"]):
                return results.validate_python(entry["results"])
        except (OSError, ValueError, ValidationError, KeyError, TypeError, RecursionError):
            pass
        return None

    def store(self, task: Task, results: Sequence[BaseModel]) -> None:
        """Keep the results of the task, unless the specification was edited meanwhile. Where they cannot be kept,
        complain once and go on."""
        if self._complain is None:
            return
        kept = [result.model_dump(mode="json") for result in results]
        entry = {"format": FORMAT, "key": self.key(task), "sum": _sum(kept), "results": kept}
        try:
            if self._edited(task):
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.path(task), json.dumps(entry) + "\n")
        except OSError as error:
            self._complain(
                f"verdicts cannot be kept in {self.folder}: {error.strerror or error} ({VARIABLE} names another folder)"
            )
            self._complain = None


def _values(edition: Edition) -> dict[str, Any]:
    return {f.name: repr(getattr(edition, f.name)) for f in fields(edition)}


def _names(imported: str) -> list[str]:
    """Every name in what is imported, other names for it and comments too."""
    return re.findall(r"[\w.]+", imported)


def _sum(results: object) -> str:
    """A check sum of results as JSON: a file that was edited or damaged is no answer."""
    return hashlib.sha256(json.dumps(results, sort_keys=True).encode("utf-8")).hexdigest()


@lru_cache(maxsize=1 << 10)
def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def open_cache(complain: Callable[[str], None]) -> VerdictCache | None:
    """The user's cache: the folder that the environment variable MSEAL_SPEC_CACHE names, or mseal-spec/verdicts in the
    user's cache folder (XDG). None if the variable is empty or there is no such folder to be had."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return VerdictCache(Path(given), complain) if given else None
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    except RuntimeError:  # the user has no home folder
        complain(f"verdicts cannot be kept: there is no home folder ({VARIABLE} names another folder)")
        return None
    return VerdictCache(root / "mseal-spec" / "verdicts", complain)
