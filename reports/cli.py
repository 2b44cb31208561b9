"""The command `sealspec`: what it understands. What each command does is in cli_*.py, imported when it is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer
from typer.exceptions import TyperException

from reports.cli_common import BadUsage, ExitCode, console, line, printable

INTRODUCTION = """
A formal specification of Linux mseal(2): prove what sealing promises, find how it fails, run calls on the model.

[bold]First steps[/bold]

  [green]sealspec prove[/green]  every theorem of the v10 patch

  [green]sealspec find eperm-only-with-cause[/green]  how a property fails, drawn

  [green]sealspec explain mprotect[/green]  a call's checks in the kernel's order

  [green]sealspec list properties[/green]  what is promised, and by whom

  [green]sealspec run scenario.json[/green]  execute calls on the model

[bold]Exit codes[/bold]

  0  everything is as expected

  1  a verdict or an answer is not the expected one, or there is none (unknown)

  2  wrong usage, or a bad document: one line says what and where

  130  interrupted: what was decided so far is printed
"""

app = typer.Typer(
    name="sealspec",
    help=INTRODUCTION,
    rich_markup_mode="rich",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Edition = Annotated[
    str | None, typer.Option("--edition", "-e", metavar="NAME", help="The kernel: see [b]sealspec list editions[/b].")
]
Document = Annotated[str, typer.Argument(metavar="DOC", help="File (JSON, JSON lines, either also .xz); - is stdin.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


def _version(wanted: bool) -> None:
    if wanted:
        try:
            version = metadata.version("mseal-spec")
        except metadata.PackageNotFoundError:  # run from a checkout that was never installed
            version = "(not installed)"
        print(f"sealspec {version}, z3-solver {metadata.version('z3-solver')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _sealspec(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the versions and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


@app.command("prove")
def prove(
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", "-p", metavar="NAME", help="Only theorems of this property (may be repeated)."),
    ] = None,
    calls: Annotated[
        list[str] | None,
        typer.Option("--call", "-c", metavar="NAME", help="Only theorems about this call (may be repeated)."),
    ] = None,
    edition: Edition = None,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON (- is standard output).")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="For each query of the solver.")] = 20.0,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes to work in; left out: one for each processor.")
    ] = None,
    mutants: Annotated[
        bool, typer.Option("--mutants/--no-mutants", help="Drop each check in turn: some theorem must fail.")
    ] = True,
    lemmas: Annotated[bool, typer.Option("--lemmas/--no-lemmas", help="Prove the induction lemmas too.")] = True,
) -> ExitCode:
    """Prove the theorems of an edition: each property for each call, from an arbitrary address space.

    A verdict is [b]proved[/b] (for any number of VMAs), [b]refuted[/b] (with a counterexample that the concrete reading
    re-executed), [b]bounded[/b], [b]unknown[/b], [b]vacuous[/b] or [b]error[/b]. Some theorems are expected to be
    refuted: those are the known weaknesses. The run succeeds if every verdict is the expected one, every errno can be
    reached, and no check can be dropped without refuting a theorem.

    Examples:

      sealspec prove

      sealspec prove --property never-unmapped --call mremap --edition v6.18 --no-mutants

      sealspec prove --json report.json
    """
    from reports.cli_prove import Request
    from reports.cli_prove import prove as proved

    return proved(
        Request(
            properties=properties,
            calls=calls,
            edition=edition,
            json_file=json_file,
            timeout_ms=max(1, round(timeout * 1000)),
            jobs=jobs or os.cpu_count() or 1,
            mutants=mutants,
            lemmas=lemmas,
        )
    )


@app.command("find")
def find(
    property_name: Annotated[str, typer.Argument(metavar="PROPERTY", help="See [b]sealspec list properties[/b].")],
    call: Annotated[str | None, typer.Option("--call", "-c", metavar="NAME", help="Only in this call.")] = None,
    edition: Edition = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="The shortest series of calls from an empty address space.")
    ] = False,
    json_file: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the document.")] = None,
    svg_file: Annotated[str | None, typer.Option("--svg", metavar="FILE", help="Write the drawing.")] = None,
    dot_file: Annotated[str | None, typer.Option("--dot", metavar="FILE", help="Write the graph for Graphviz.")] = None,
) -> ExitCode:
    """Find the smallest counterexample to one property, and draw it.

    Exit code 0: the verdict (refuted or proved) is the expected one.

    Examples:

      sealspec find eperm-only-with-cause --call madvise

      sealspec find private-file-contents-stay --trace --json trace.json --svg trace.svg
    """
    from reports.cli_find import find as found

    return found(property_name, call, edition, trace, {"json": json_file, "svg": svg_file, "dot": dot_file})


@app.command("show")
def show(
    document: Document,
    form: Annotated[str, typer.Option("--format", "-f", metavar="FORM", help="text, svg or dot.")] = "text",
    out_file: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="Where to; left out: standard output.")
    ] = None,
    number: Annotated[int, typer.Option(metavar="N", help="Which document of the file, from 1.")] = 1,
) -> ExitCode:
    """Draw a counterexample document, after the concrete reading has re-executed it.

    Exit code 1: the concrete reading does something else than the document says; nothing is drawn.

    Examples:

      sealspec show counterexample.json

      sealspec show counterexample.json --format svg --out counterexample.svg
    """
    from reports.cli_run import show as shown

    return shown(document, form, out_file, number)


@app.command("run")
def run(
    document: Document,
    edition: Edition = None,
    json_file: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write the results: JSON, or JSON lines for several scenarios."),
    ] = None,
    expect: Annotated[
        bool | None,
        typer.Option(
            "--expect/--no-expect", help="Insist on expected answers, or ignore them; left out: compare if any."
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only scenarios that differ, and the summary.")
    ] = False,
) -> ExitCode:
    """Execute a scenario (calls, one after the other) on the concrete reading of an edition.

    Prints each call with its result, errno and deciding check, and the layout and first bytes of the pages after it.
    Where the document carries a kernel's answers they are compared; exit code 1 if any differs. The format:
    docs/schema/scenario.json and tests/kernel_runs/README.md.

    Examples:

      sealspec run scenario.json --edition v6.18

      sealspec run tests/kernel_runs/v10.jsonl.xz --quiet

      sealspec run scenario.json --json -
    """
    from reports.cli_run import run as ran

    return ran(document, edition, json_file, expect, quiet)


@app.command("list")
def listing(
    kind: Annotated[
        str | None, typer.Argument(metavar="[properties|calls|editions|assumptions|checks]", show_default=False)
    ] = None,
    edition: Edition = None,
    as_json: AsJson = False,
) -> ExitCode:
    """List what there is: properties, calls, editions, assumptions, checks, each with its sentence and source."""
    from reports.cli_list import listing as listed

    return listed(kind, edition, as_json)


@app.command("explain")
def explain(
    call: Annotated[str, typer.Argument(metavar="CALL", help="See [b]sealspec list calls[/b].")],
    edition: Edition = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Print a call's checks in the kernel's order: errno, and what may have changed when it returns.

    Examples:

      sealspec explain mseal

      sealspec explain mprotect --edition v6.12
    """
    from reports.cli_list import explain_call

    return explain_call(call, edition, as_json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments (the process's own by default). Returns the exit code; never raises for
    what a user did."""
    try:
        code = app(args=arguments, prog_name="sealspec", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        return _wrong(f"{error.format_message()} (see: sealspec --help)")
    except BadUsage as error:
        return _wrong(str(error))
    except BrokenPipeError:
        # the reader (head, less) has gone: not an error, and Python must not complain of it when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DIFFERS
    except KeyboardInterrupt:
        line(console(error=True), "interrupted")
        return ExitCode.INTERRUPTED
    except MemoryError:
        return _wrong("out of memory: the document asks for more pages than can be kept")
    except ValueError as error:
        from checker.documents import BadDocument

        if not isinstance(error, BadDocument):
            raise
        return _wrong(str(error))
    return int(code or 0)


def _wrong(message: str) -> int:
    line(console(error=True), f"sealspec: {printable(message)}", "red")
    return ExitCode.USAGE


if __name__ == "__main__":
    sys.exit(main())
