# SPDX-License-Identifier: MIT
"""Reading documents from files and writing them; the JSON schemas for other programs (docs/schema)."""

from __future__ import annotations

import json
import lzma
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from checker.documents.base import MAX_BYTES, BadDocument, Document, near, shown
from checker.documents.counterexamples import Counterexample
from checker.documents.scenarios import STEPS, RunResult, Scenario
from checker.output import write_text
from spec.excluded import excluded

AnyDocument: TypeAlias = Scenario | Counterexample
M = TypeVar("M", bound=BaseModel)
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def parse_document(data: object) -> AnyDocument:
    """A scenario or, if it has the key "format", a counterexample. Raises BadDocument, also for a layout that no
    kernel could have."""
    if not isinstance(data, dict):
        raise BadDocument("", "the document is not a JSON object")
    kind, wanted = data.get("format"), Counterexample.model_fields["format"].default
    if isinstance(kind, str) and kind.startswith("mseal-spec/") and kind != wanted:
        raise BadDocument("/format", f"a document of another kind, {shown(kind)}; here a scenario or {wanted} is read")
    document: AnyDocument
    try:
        document = Counterexample.model_validate(data) if "format" in data else Scenario.model_validate(data)
    except ValidationError as error:
        raise _explained(error, data) from None
    start = document.layout if isinstance(document, Scenario) else document.before
    if start is not None:
        try:
            start.to_state()
        except BadDocument as bad:
            raise BadDocument(
                ("/layout" if isinstance(document, Scenario) else "/before") + bad.pointer, bad.reason
            ) from None
    return document


def load_document(path: str | os.PathLike[str]) -> list[AnyDocument]:
    """The documents of a file: one JSON object, or JSON lines (one object a line, blank lines between them), either
    of them possibly xz-compressed (`.xz`). Raises BadDocument for whatever is wrong, a file that cannot be read too.
    """
    documents = []
    for read in load_each(path):
        if isinstance(read, BadDocument):
            raise read
        documents.append(read)
    return documents


def load_each(path: str | os.PathLike[str]) -> Iterator[AnyDocument | BadDocument]:
    """As load_document, one after the other; what is wrong with one line does not keep the others from being read.
    Raises BadDocument for a file that cannot be read at all."""
    name = os.fspath(path)
    text = read_text(name)
    if not text.strip() or not _is_lines(name, text):
        sources = [(text, name)]
    else:
        sources = [(line, f"{name}:{n}") for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    for part, source in sources:
        try:
            yield _parse_text(part, source)
        except BadDocument as bad:
            yield bad


def read_text(name: str) -> str:
    """The text of a file, which may be xz-compressed (`.xz`). Raises BadDocument if it is not to be had."""
    try:
        with lzma.open(name, "rb") if name.endswith(".xz") else open(name, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BadDocument("", f"larger than {MAX_BYTES} bytes", name)
        text = raw.decode("utf-8-sig")
    except (OSError, ValueError, lzma.LZMAError, EOFError) as error:
        if isinstance(error, BadDocument):
            raise
        if isinstance(error, UnicodeDecodeError):
            raise BadDocument("", f"not UTF-8 text (byte {error.start})", name) from None
        raise BadDocument("", f"cannot be read: {getattr(error, 'strerror', None) or error}", name) from None
    return text


def load_model(path: str | os.PathLike[str], model: type[M], kind: str) -> M:
    """The document of a file, which is one JSON object of this model: `kind` says in words what it is. Raises
    BadDocument for whatever is wrong."""
    name = os.fspath(path)
    text = read_text(name)
    try:
        return as_model(parse_json(text, name), model, name)
    except BadDocument as bad:
        raise BadDocument(bad.pointer, f"not {kind}: {bad.reason}", name) from None


def as_model(data: object, model: type[M], source: str) -> M:
    """A JSON value as a document of this model. Raises BadDocument, which names the source."""
    if not isinstance(data, dict):
        raise BadDocument("", "the document is not a JSON object", source)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        bad = _explained(error, data)
        raise BadDocument(bad.pointer, bad.reason, source) from None


def _is_lines(name: str, text: str) -> bool:
    """JSON lines: named so, or the first line is JSON by itself."""
    if name.removesuffix(".xz").endswith((".jsonl", ".ndjson")):
        return True
    try:
        json.loads(text.strip().split("\n", 1)[0])
    except (ValueError, RecursionError):
        return False
    return True


def _parse_text(text: str, source: str) -> AnyDocument:
    data = parse_json(text, source)
    try:
        return parse_document(data)
    except BadDocument as bad:
        raise BadDocument(bad.pointer, bad.reason, source) from None


def parse_json(text: str, source: str) -> object:
    """A JSON value, as strict as RFC 8259 has it: no key twice, no NaN. Raises BadDocument, which names the source."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read = dict(pairs)
        if len(read) != len(pairs):
            keys = [key for key, _ in pairs]
            raise BadDocument("", f"the key {next(k for k in keys if keys.count(k) > 1)!r} appears twice in one object")
        return read

    def no_constant(constant: str) -> object:
        raise BadDocument("", f"{constant} is not JSON")

    if not text.strip():
        raise BadDocument("", "the file is empty", source)
    try:
        data: object = json.loads(text, object_pairs_hook=distinct, parse_constant=no_constant)
    except BadDocument as bad:
        raise BadDocument(bad.pointer, bad.reason, source) from None
    except json.JSONDecodeError as error:
        one_line = error.lineno == 1 and "\n" not in text.strip()
        where = f"column {error.colno}" if one_line else f"line {error.lineno} column {error.colno}"
        raise BadDocument("", f"not JSON: {error.msg} at {where}", source) from None
    except RecursionError:
        raise BadDocument("", "not a document: nested too deeply", source) from None
    except ValueError:  # Python refuses to read integers of thousands of digits
        raise BadDocument("", "a number has too many digits", source) from None
    if _SURROGATE.search(text):
        try:
            json.dumps(data, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise BadDocument("", "half a character: \\u escapes of a surrogate without its pair", source) from None
    return data


def _explained(error: ValidationError, data: object) -> BadDocument:
    """The first thing that is wrong, as a pointer and one line."""
    errors = error.errors(include_url=False)
    first = errors[0]
    pointer, holder = _pointer(first["loc"], data, first["type"] == "missing")
    kind, given, context = first["type"], first.get("input"), first.get("ctx", {})
    key = pointer.rpartition("/")[2]
    if kind == "missing":
        reason = f"the key {key!r} is missing"
    elif kind == "extra_forbidden":
        step = STEPS.get(str(holder.get("call"))) if isinstance(holder, dict) else None
        reason = f"unknown key {shown(key)}" + (
            f"; {near(key, step.model_fields)}" if step and pointer.startswith("/steps/") else ""
        )
    elif kind == "union_tag_invalid":
        pointer += "/call"
        known = f"unknown call {shown(context['tag'])}; {near(context['tag'], STEPS)}"
        reason = excluded(context["tag"]) or known
    elif kind == "union_tag_not_found":
        reason = "a step is an object with the key 'call'"
    elif kind == "value_error":
        reason = str(context["error"])
    else:
        reason = f"{first['msg']}, not {shown(given)}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return BadDocument(pointer, reason + more)


def _pointer(loc: Sequence[int | str], data: object, missing: bool) -> tuple[str, object]:
    """pydantic's location as a JSON pointer, and the object or array that holds the place. Elements that are not in
    the data (names of union members) are left out, but for the missing key itself."""
    pointer, now, holder = "", data, data
    for i, element in enumerate(loc):
        inside = isinstance(now, dict) and element in now
        inside = inside or (isinstance(now, list | tuple) and isinstance(element, int) and element < len(now))
        if inside or (missing and i == len(loc) - 1):
            pointer += "/" + str(element).replace("~", "~0").replace("/", "~1")
            holder = now
            now = now[element] if inside else None  # type: ignore[index]
    return pointer, holder


def dump_document(document: BaseModel) -> str:
    """The document as indented JSON with every key, ending in a newline."""
    return json.dumps(document.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def schemas() -> dict[str, str]:
    """The JSON schemas by file name (in docs/schema), the same text every time."""
    models: dict[str, type[Document]] = {"scenario": Scenario, "counterexample": Counterexample, "run": RunResult}
    texts = {}
    for name, model in models.items():
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        schema |= TypeAdapter(model).json_schema(mode="serialization" if model is RunResult else "validation")
        texts[f"{name}.json"] = json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return texts


def write_schemas(folder: str | os.PathLike[str] = "docs/schema") -> None:
    """Write the schemas into a folder, which is made if need be. Raises OSError."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        write_text(Path(folder) / name, text)
