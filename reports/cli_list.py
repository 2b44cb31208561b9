# SPDX-License-Identifier: MIT
"""`sealspec list` and `sealspec explain`: what there is, in English sentences with their sources."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, fields
from enum import Enum
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.cli_common import (
    DEFAULT_EDITION,
    EDITION,
    ExitCode,
    check_call,
    check_call_of,
    console,
    edition_named,
    line,
    unknown,
)
from reports.outputs import Outputs

EXPLAINED = (
    "In the kernel's order; a call that passes them all succeeds. OK: it returns there, without an error.",
    "arguments: they alone decide. up front: before anything is changed. changing pass: VMA after VMA, so that those "
    "before it are changed already.",
    EDITION,
)

Item: TypeAlias = dict[str, Any]


def listing(kind: str | None, edition: str | None, json_file: str | None) -> ExitCode:
    """Print one kind of thing, or the names of all kinds. Raises BadUsage for an unknown kind or edition."""
    if kind is not None and kind not in KINDS:
        unknown("kind of thing", kind, KINDS)
    chosen = edition_named(edition or DEFAULT_EDITION).name
    files = Outputs({"--json": json_file})
    out = console()
    names = [name for name in KINDS if name != "checks"] if kind is None else [kind]
    kinds = {name: KINDS[name][0](chosen) for name in names}
    files.write_data("--json", "mseal-spec/list/1", kinds)
    if files.standard:
        return ExitCode.OK
    if kind is None:
        _print_names(out, kinds)
    else:
        KINDS[kind][1](out, kinds[kind])
    return ExitCode.OK


def _print_names(out: Console, kinds: dict[str, list[Item]]) -> None:
    for kind, items in kinds.items():
        _heading(out, f"{kind} ({len(items)})")
        out.print(Text(", ".join(item["name"] for item in items)), style="")
        line(out)
    line(out, "Each with its sentence and source: sealspec list properties (calls, editions, assumptions, checks)")


def _properties(edition: str) -> list[Item]:
    from spec.editions import EDITIONS
    from spec.properties import promised

    return [
        {
            "name": p.name,
            "sentence": p.sentence,
            "source": p.source,
            "calls": list(p.calls),
            "assumptions": list(p.assumptions),
        }
        for p in promised(EDITIONS[edition])
    ]


def _show_properties(out: Console, items: list[Item]) -> None:
    for item in items:
        _heading(out, item["name"])
        _entry(out, item["sentence"])
        _entry(out, item["source"], "source")
        _entry(out, ", ".join(item["calls"]), "calls")
        if item["assumptions"]:
            _entry(out, ", ".join(item["assumptions"]), "assumes")
        line(out)


def _calls(edition: str) -> list[Item]:
    from spec.syscalls import CALLS

    return [
        {
            "name": c.name,
            "arguments": list(c.words),
            "step": c.step,
            "sentence": _first_sentence(c.body if inspect.getdoc(c.body) else c.arguments),
            "source": c.source,
        }
        for c in CALLS.values()
        if edition_named(edition).has(c.name)
    ]


def _first_sentence(function: Callable[..., Any]) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())


def _show_calls(out: Console, items: list[Item]) -> None:
    for item in items:
        without_call = "   (happens without a system call of the program on its memory)" if item["step"] else ""
        _heading(out, f"{item['name']}({', '.join(item['arguments'])})", without_call)
        _entry(out, item["sentence"])
        _entry(out, item["source"], "source")
        line(out)


def _editions(edition: str) -> list[Item]:
    from spec.editions import EDITIONS
    from spec.kernels import rows_for

    found, before = [], None
    for e in EDITIONS.values():
        values = {f.name: _plain(getattr(e, f.name)) for f in fields(e) if f.name not in ("name", "kernel")}
        changed = [name for name in values if before is not None and values[name] != before[name]]
        kernels = [
            {"versions": row.versions, "first": row.first_version, "last": row.last_version, "runs": row.runs}
            | {"source": row.source}
            for row in rows_for(e.name)
        ]
        found.append({"name": e.name, "kernel": e.kernel, "kernels": kernels, "behaviour": values, "changed": changed})
        before = values
    return found


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _show_editions(out: Console, items: list[Item]) -> None:
    from reports.behaviours import behaviour
    from spec.kernels import ROWS

    for item in items:
        _heading(out, item["name"])
        _entry(out, item["kernel"])
        for name in item["changed"] or item["behaviour"]:
            _entry(out, f"- {behaviour(name, item['behaviour'][name])}")
        line(out)
    line(out, "An edition is the behaviour of one kernel, or of several that do the same.")
    line(out, "After the first edition, only what differs from the one before it is shown.")
    line(out)
    table = _table("kernel", "edition", "how that is known: runs of sealspec lab (sequences of calls), and sources")
    for row in ROWS:
        table.add_row(row.versions, row.edition, Text(row.evidence))
    out.print(table)


def _assumptions(edition: str) -> list[Item]:
    from spec.assumptions import ALWAYS, ASSUMPTIONS

    return [{**asdict(a), "always": a.name in ALWAYS} for a in ASSUMPTIONS.values()]


def _show_assumptions(out: Console, items: list[Item]) -> None:
    for item in items:
        _heading(out, item["name"], "" if item["always"] else "   (only where a property says so)")
        _entry(out, item["sentence"])
        _entry(out, item["why"], "why")
        _entry(out, item["hides"], "hides")
        line(out)


def _checks(edition: str) -> list[Item]:
    from reports.explain import explain
    from spec.syscalls import CALLS

    named = edition_named(edition)
    calls = filter(named.has, CALLS)
    return [{"call": name, "edition": edition, **asdict(c)} for name in calls for c in explain(name, named).checks]


def _show_checks(out: Console, items: list[Item]) -> None:
    table = _table("call", "errno", "check", "when")
    for item in items:
        table.add_row(item["call"], _errno(item["errno"]), Text(item["check"]), item["stage"])
    out.print(table)
    line(out, f"{len(items)} checks of edition {items[0]['edition']}; in context: sealspec explain CALL")


KINDS: dict[str, tuple[Callable[[str], list[Item]], Callable[[Console, list[Item]], None]]] = {
    "properties": (_properties, _show_properties),
    "calls": (_calls, _show_calls),
    "editions": (_editions, _show_editions),
    "assumptions": (_assumptions, _show_assumptions),
    "checks": (_checks, _show_checks),
}
"""What can be listed: how it is gathered (for an edition, which matters to calls and checks only), how it is shown."""


def explain_call(call: str, edition: str | None, json_file: str | None) -> ExitCode:
    """Print a call's checks in the kernel's order. Raises BadUsage for an unknown call or edition, or if the edition
    leaves the call out."""
    check_call(call)
    chosen = edition_named(edition or DEFAULT_EDITION)
    check_call_of(chosen, call)
    files = Outputs({"--json": json_file})
    from reports.explain import explain

    found = explain(call, chosen)
    files.write_data("--json", "mseal-spec/explain/1", asdict(found))
    if files.standard:
        return ExitCode.OK
    out = console()
    _heading(out, f"{call}({', '.join(found.words)})", f"   edition {found.edition}: {found.kernel}")
    _entry(out, found.source, "source")
    for text in (found.arguments, found.body):
        for paragraph in text.split("\n\n") if text else ():
            _entry(out, " ".join(paragraph.split()))
    line(out)
    table = _table("", "when", "errno", "check", "may have happened by then")
    for number, check in enumerate(found.checks, 1):
        by_then = ", ".join(check.changed)
        if check.stage == "changing pass":
            by_then = ", ".join((*check.changed, "change of the VMAs before it"))
        table.add_row(str(number), check.stage, _errno(check.errno), Text(check.check), by_then)
    if found.checks:
        out.print(table)
        for text in EXPLAINED:
            line(out, text)
    else:
        line(out, "No check: it always succeeds.")
    return ExitCode.OK


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in ("", "when", "errno", "call"))
    return table


def _errno(name: str) -> Text:
    return Text(name, style="" if name == "OK" else "yellow")


def _heading(out: Console, text: str, note: str = "") -> None:
    line(out, Text.assemble((text, "bold"), note))


def _entry(out: Console, text: str, label: str = "") -> None:
    """A paragraph, indented, behind its label if it has one."""
    from rich.padding import Padding

    shown = Text.assemble((f"{label}: ", "dim"), text) if label else Text(text)
    out.print(Padding(shown, (0, 0, 0, 4), expand=False))
