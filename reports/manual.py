# SPDX-License-Identifier: MIT
"""The manual page, in the language of man(7), made from the help of the commands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from checker.version import version
from reports.cli_common import ExitCode
from reports.outputs import Outputs


def manual(program: TyperGroup, to: str | None) -> ExitCode:
    """Write the manual page. Raises BadUsage."""
    Outputs({"--to": "-" if to is None else to}).write("--to", page(program))
    return ExitCode.OK


def page(program: TyperGroup) -> str:
    """Return the manual page of a program, the same text every time."""
    return "\n".join(_lines(program)) + "\n"


def _lines(program: TyperGroup) -> Iterator[str]:
    summary, *paragraphs = (program.help or "").strip().split("\n\n")
    yield f'.TH SEALSPEC 1 "" "mseal-spec {version()}" "User Commands"'
    yield from (".SH NAME", rf"sealspec \- {_text(summary.partition(':')[0])}")
    yield from (".SH SYNOPSIS", ".B sealspec", "[OPTIONS]", ".I COMMAND", "[ARGUMENTS]")
    yield from (".SH DESCRIPTION", _text(summary))
    yield from _paragraphs(paragraphs)
    yield ".SH OPTIONS"
    yield from _parameters(program.params)
    yield ".SH COMMANDS"
    for name, command in program.commands.items():
        assert isinstance(command, TyperCommand)
        arguments = [p.metavar or p.name for p in command.params if isinstance(p, TyperArgument)]
        yield f'.SS "sealspec {_text(" ".join([name, "[OPTIONS]", *map(str, arguments)]))}"'
        yield from _paragraphs((command.help or "").split("\n\n"))
        yield from _parameters(command.params)
    yield from (".SH SEE ALSO", ".BR mseal (2),", ".BR mprotect (2),", ".BR mmap (2)")


def _paragraphs(paragraphs: Sequence[str]) -> Iterator[str]:
    """Flowing text; what is indented stands as it is."""
    for text in filter(str.strip, paragraphs):
        if text.startswith(" "):
            yield from (".PP", ".nf", ".RS 2", *(_text(line.strip()) for line in text.splitlines()), ".RE", ".fi")
        else:
            yield from (".PP", _text(" ".join(text.split())))


def _parameters(parameters: Sequence[object]) -> Iterator[str]:
    for parameter in parameters:
        if isinstance(parameter, TyperOption):
            value = f" \\fI{_text(parameter.metavar)}\\fR" if parameter.metavar else ""
            names = ", ".join(f"\\fB{_text(name)}\\fR" for name in (*parameter.opts, *parameter.secondary_opts))
            default = parameter.default
            told = f" [default: {default}]" if isinstance(default, int | float | str) and value else ""
            yield from (".TP", names + value, _text((parameter.help or "") + told))
        elif isinstance(parameter, TyperArgument) and parameter.help:
            yield from (".TP", f"\\fI{_text(parameter.metavar or str(parameter.name))}\\fR", _text(parameter.help))


def _text(text: str) -> str:
    """Text for man(7): nothing in it is a request, minus signs can be copied, and what Rich shows bold is bold."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    text = re.sub(r"\[(?:b|bold|green)\]", r"\\fB", text)
    text = re.sub(r"\[/(?:b|bold|green)\]", r"\\fR", text)
    return rf"\&{text}" if text.startswith((".", "'")) else text
