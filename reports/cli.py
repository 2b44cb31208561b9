# SPDX-License-Identifier: MIT
"""The command `sealspec`: what it understands. What each command does is in cli_*.py, imported when it is asked for."""

from __future__ import annotations

import inspect
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from typing import Annotated, TypeVar

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from checker.signals import caught, exit_code, received
from reports.cli_common import BadUsage, ExitCode, console, line, printable, unknown
from reports.cli_streams import check_streams, give_up_output, output_fails

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

  2  wrong usage, a bad document, or an output that cannot be written: one line says what and where

  129, 130, 131, 143  ended by SIGHUP, SIGINT (Ctrl-C), SIGQUIT, SIGTERM: what was decided so far is printed

  141  whoever read the output has gone, as head(1) does

[bold]More[/bold]

  [green]sealspec help COMMAND[/green]  what a command does, with examples

  [green]sealspec man[/green]  all of it as a manual page: sealspec man > sealspec.1; man ./sealspec.1

  [green]sealspec --install-completion[/green]  the shell completes commands, options, and names
"""

app = typer.Typer(
    name="sealspec",
    help=INTRODUCTION,
    rich_markup_mode="rich",
    no_args_is_help=False,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

MAX_JOBS = 256
MAX_SECONDS = 1e6
"""About eleven days. The solver counts milliseconds in 32 bits."""
MAX_SEQUENCES = 10**9


def _seconds(given: str | float) -> float:
    """A time that can be waited for. Raises BadParameter."""
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0.001 <= seconds <= MAX_SECONDS:  # not a number is neither
        raise typer.BadParameter(f"{printable(str(given))} is not a number of seconds from 0.001 to {MAX_SECONDS:.0f}")
    return seconds


def _edition_names(incomplete: str) -> list[str]:
    from spec.editions import EDITIONS

    return [name for name in EDITIONS if name.startswith(incomplete)]


def _call_names(incomplete: str) -> list[str]:
    from spec.syscalls import CALLS

    return [name for name in CALLS if name.startswith(incomplete)]


def _property_names(incomplete: str) -> list[str]:
    from spec.properties import PROPERTIES

    return [name for name in PROPERTIES if name.startswith(incomplete)]


def _recipe_names(incomplete: str) -> list[str]:
    from reports.guarantees.recipes import RECIPES

    return [name for name in RECIPES if name.startswith(incomplete)]


def _one_of(*names: str) -> Callable[[str], list[str]]:
    """A completion from names that are known here."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


Edition = Annotated[
    str | None,
    typer.Option(
        "--edition",
        "-e",
        metavar="NAME",
        help="A kernel: its version (6.12.117), or one of [b]sealspec list editions[/b].",
        autocompletion=_edition_names,
    ),
]
Editions = Annotated[
    list[str] | None,
    typer.Option(
        "--edition",
        "-e",
        metavar="NAME",
        help="Only this edition (may be repeated); left out: all.",
        autocompletion=_edition_names,
    ),
]
Calls = Annotated[
    list[str] | None,
    typer.Option(
        "--call",
        "-c",
        metavar="NAME",
        help="Only this call (may be repeated).",
        autocompletion=_call_names,
    ),
]
Properties = Annotated[
    list[str] | None,
    typer.Option(
        "--property",
        "-p",
        metavar="NAME",
        help="Only this property (may be repeated).",
        autocompletion=_property_names,
    ),
]
Document = Annotated[str, typer.Argument(metavar="DOC", help="File (JSON, JSON lines, either also .xz); - is stdin.")]
Json = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON (- is standard output).")
]
To = Annotated[str | None, typer.Option("--to", metavar="FILE", help="Where to; left out, or -: standard output.")]
Timeout = Annotated[float, typer.Option(parser=_seconds, metavar="SECONDS", help="For each query of the solver.")]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, max=MAX_JOBS, metavar="N", help="Processes; left out: one for each processor."),
]
Mutants = Annotated[
    bool, typer.Option("--mutants/--no-mutants", help="Drop each check in turn: some theorem must fail.")
]
Lemmas = Annotated[bool, typer.Option("--lemmas/--no-lemmas", help="Prove the induction lemmas too.")]
Cache = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Take what an earlier run decided of the same specification.")
]


F = TypeVar("F", bound=Callable[..., ExitCode])


def command(name: str, *, ok: str, differs: str | None = None) -> Callable[[F], F]:
    """Enter a command. Its docstring is its help: paragraphs, and indented examples; `ok` and `differs` say what the
    exit codes 0 and 1 mean (None: it never ends with 1)."""

    def enter(function: F) -> F:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        flowed = [text if text.startswith(" ") else " ".join(text.split()) for text in paragraphs]
        codes = [f"  0    {ok}", *([f"  1    {differs}"] if differs else []), *OTHER_CODES]
        app.command(name, help="\n\n".join([*flowed, "Exit codes:", "\n".join(codes)]))(function)
        return function

    return enter


OTHER_CODES = (
    "  2    wrong usage, a bad document, an output that cannot be written",
    "  130  interrupted (Ctrl-C)",
    "  141  whoever read the output has gone",
)
"""What the exit codes mean that every command has."""


def _version(wanted: bool) -> None:
    if wanted:
        from checker.version import signature

        print(f"{signature()}; z3-solver {metadata.version('z3-solver')}")
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


@command("prove", ok="every verdict is the expected one", differs="one is not, or there is none (unknown, error)")
def prove(
    properties: Properties = None,
    calls: Calls = None,
    edition: Edition = None,
    json_file: Json = None,
    timeout: Timeout = 20.0,
    jobs: Jobs = None,
    mutants: Mutants = True,
    lemmas: Lemmas = True,
    cache: Cache = True,
    second_solver: Annotated[
        str | None,
        typer.Option(
            "--second-solver",
            metavar="NAME",
            help="Have another solver decide every goal again: cvc5, z3, yices-smt2, or any program on PATH that reads "
            "SMT-LIB.",
            autocompletion=_one_of("cvc5", "z3", "yices-smt2"),
        ),
    ] = None,
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

      sealspec prove --second-solver cvc5
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
            cache=cache,
            second_solver=second_solver,
        )
    )


Solver = Annotated[
    str,
    typer.Option(
        "--solver",
        metavar="NAME",
        help="cvc5, z3, yices-smt2, or any program on PATH that reads SMT-LIB.",
        autocompletion=_one_of("cvc5", "z3", "yices-smt2"),
    ),
]


@command("certify", ok="whatever is proved has all its goals", differs="a path has none")
def certify(
    out: Annotated[str, typer.Option("--out", "-o", metavar="FOLDER", help="Where the certificate is written.")],
    editions: Editions = None,
    timeout: Timeout = 20.0,
    jobs: Jobs = None,
) -> ExitCode:
    """Write what every [b]proved[/b] rests on as a certificate: each goal as SMT-LIB text, and what needs it.

    A goal is the few facts of a path that contradict the negation of a property there, as the solver named them and
    found again. [b]manifest.json[/b] lists for each theorem a goal, or why there need be none, for every path of its
    call; for each lemma its obligations; and what was not explored, with the goal that says why. Schema:
    docs/schema/certificate.json.

    Examples:

      sealspec certify --edition v10 --out certificate

      sealspec verify certificate --solver cvc5
    """
    from reports.cli_certify import certify as certified

    return certified(editions, out, max(1, round(timeout * 1000)), jobs or os.cpu_count() or 1)


@command("verify", ok="every goal is decided as the certificate says, and none is missing", differs="one is not")
def verify(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="What [b]sealspec certify[/b] wrote.")],
    solver: Solver,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute/--no-recompute",
            help="Explore the calls again, and check that each goal consists of facts of its path.",
        ),
    ] = True,
    timeout: Timeout = 20.0,
    jobs: Jobs = None,
) -> ExitCode:
    """Check a certificate: nothing was changed or left out, and a solver decides every goal as it says.

    Three things are checked. The files are what the manifest says (by hash); files that belong to no goal are named.
    No theorem and no lemma of the editions is missing. The calls are explored again, and each path needs a goal that
    consists of its facts and of the negated property, or a reason to have none: so that a goal that was left out, or
    that says something else, is noticed ([b]--no-recompute[/b] leaves this out, and says so). Then the solver decides
    every goal from its text; where it has no answer, that is no agreement.

    Examples:

      sealspec verify certificate --solver cvc5

      sealspec verify certificate --solver yices-smt2 --no-recompute
    """
    from reports.cli_certify import verify as verified

    return verified(folder, solver, recompute, max(1, round(timeout * 1000)), jobs or os.cpu_count() or 1)


@command("why", ok="there is a proof", differs="there is none, or a fact of it comes from nowhere")
def why(
    property_name: Annotated[
        str | None,
        typer.Argument(
            metavar="PROPERTY",
            help="See [b]sealspec list properties[/b]; left out: all, and the checks that no proof used.",
            autocompletion=_property_names,
        ),
    ] = None,
    calls: Calls = None,
    edition: Edition = None,
    json_file: Json = None,
    timeout: Timeout = 20.0,
    jobs: Jobs = None,
) -> ExitCode:
    """Say why a theorem holds: the checks, the contracts of verbs, the clauses of well-formedness that its proof used.

    With --call also path by path. Without a property: of every check of a call how many proofs used it, and which
    ones none did. A proof may use one fact where another would do too: what it did not use, is not needed.

    Examples:

      sealspec why never-reprotected --call mprotect --edition v10

      sealspec why --call munmap
    """
    from reports.cli_why import why as reasons

    return reasons(property_name, calls, edition, json_file, max(1, round(timeout * 1000)), jobs or os.cpu_count() or 1)


@command("find", ok="the verdict (refuted or proved) is the expected one", differs="it is not, or there is none")
def find(
    property_name: Annotated[
        str,
        typer.Argument(metavar="PROPERTY", help="See [b]sealspec list properties[/b].", autocompletion=_property_names),
    ],
    call: Annotated[
        str | None,
        typer.Option("--call", "-c", metavar="NAME", help="Only in this call.", autocompletion=_call_names),
    ] = None,
    edition: Edition = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="The shortest series of calls from an empty address space.")
    ] = False,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the document (- is standard output).")
    ] = None,
    svg_file: Annotated[
        str | None, typer.Option("--svg", metavar="FILE", help="Write the drawing (- is standard output).")
    ] = None,
    dot_file: Annotated[
        str | None,
        typer.Option("--dot", metavar="FILE", help="Write the graph for Graphviz (- is standard output)."),
    ] = None,
    timeout: Timeout = 20.0,
    cache: Cache = True,
) -> ExitCode:
    """Find the smallest counterexample to one property, and draw it.

    Examples:

      sealspec find eperm-only-with-cause --call madvise

      sealspec find private-file-contents-stay --trace --json trace.json --svg trace.svg
    """
    from reports.cli_find import find as found

    files = {"--json": json_file, "--svg": svg_file, "--dot": dot_file}
    return found(property_name, call, edition, trace, files, max(1, round(timeout * 1000)), cache)


@command("matrix", ok="every cell is decided", differs="one is not")
def matrix(
    editions: Editions = None,
    calls: Calls = None,
    settles: Annotated[
        bool, typer.Option("--claims", help="Only the claims of the kernel's own document on mseal.")
    ] = False,
    json_file: Json = None,
    timeout: Timeout = 20.0,
    jobs: Jobs = None,
    cache: Cache = True,
) -> ExitCode:
    """Decide for each call and errno what a failure may have changed, edition by edition.

    A cell is [b]atomic[/b] (proved: nothing at all is changed, for any number of VMAs), [b]pages[/b] or [b]cuts[/b]
    (something is changed, with the smallest case found, and proved bounds on what and where) or [b]never[/b] (proved:
    the call cannot fail so). What the cells mean: docs/MATRIX.md.

    Examples:

      sealspec matrix --edition v10 --edition v6.12

      sealspec matrix --claims --edition v6.18

      sealspec matrix --json matrix.json
    """
    from reports.cli_matrix import Request
    from reports.cli_matrix import matrix as decided

    return decided(
        Request(
            editions=editions,
            calls=calls,
            settles=settles,
            json_file=json_file,
            timeout_ms=max(1, round(timeout * 1000)),
            jobs=jobs or os.cpu_count() or 1,
            cache=cache,
        )
    )


@command("diff", ok="every call is decided", differs="one is not")
def diff(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A", help="An edition: see [b]sealspec list editions[/b].", autocompletion=_edition_names
        ),
    ],
    second: Annotated[
        str,
        typer.Argument(metavar="B", help="The edition that is held against it.", autocompletion=_edition_names),
    ],
    call: Annotated[
        str | None,
        typer.Argument(
            metavar="[CALL]", show_default=False, help="Only this call, as --call.", autocompletion=_call_names
        ),
    ] = None,
    calls: Calls = None,
    json_file: Json = None,
    timeout: Timeout = 20.0,
    jobs: Jobs = None,
    cache: Cache = True,
) -> ExitCode:
    """Compare two editions call by call, for any number of VMAs, and show the smallest case in which they differ.

    [b]same[/b] is proved. B is [b]stronger[/b] if, wherever the two differ, it refuses what A allows or leaves a
    page as it was that A changes; [b]weaker[/b] is the reverse; [b]different[/b]: both occur. Result (errno and
    value) and boundaries (of VMAs, and map_count) are compared besides. More: docs/DIFF.md.

    Examples:

      sealspec diff v10 v6.12

      sealspec diff v6.18 two-pass --call mprotect

      sealspec diff v10 v6.18 --json diff.json
    """
    from reports.cli_diff import Request as Comparing
    from reports.cli_diff import diff as compared

    return compared(
        Comparing(
            first=first,
            second=second,
            calls=[*([call] if call is not None else []), *(calls or [])],
            json_file=json_file,
            timeout_ms=max(1, round(timeout * 1000)),
            jobs=jobs or os.cpu_count() or 1,
            cache=cache,
        )
    )


Tree = Annotated[
    str | None,
    typer.Option(
        "--tree", metavar="DIR", help="A kernel tree, or linux-source-VERSION: Debian's, fetched by apt into the cache."
    ),
]
Configuration = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="A .config for #if; left out: the tree's, or defaults for x86-64."),
]
MostVmas = Annotated[
    int, typer.Option("-n", "--vmas", min=0, max=6, metavar="N", help="Explore every layout of up to N VMAs.")
]
Patience = Annotated[
    float, typer.Option(parser=_seconds, metavar="SECONDS", help="Of the processor, for each comparison.")
]
Proving = Annotated[
    int,
    typer.Option(
        "--prove", min=0, max=3600, metavar="SECONDS",
        help="As many besides, to prove that a call is equal for any number of VMAs; 0: do not try.",
    ),
]  # fmt: skip


@command(
    "review",
    ok="all that the patch changes was read, and nothing changes for the worse",
    differs="a call differs, or something is not covered",
)
def review(
    patches: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATCH...", help="A diff, a mail with one, an mbox; several are a series; - is stdin."),
    ] = None,
    rev: Annotated[
        str | None, typer.Option("--rev", metavar="A..B", help="Commits of the git repository --tree as the series.")
    ] = None,
    tree: Tree = None,
    config: Configuration = None,
    editions: Editions = None,
    vmas: MostVmas = 3,
    timeout: Patience = 30.0,
    prove: Proving = 60,
    json_file: Json = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FOLDER", help="Write the review and its scenarios here.")
    ] = None,
) -> ExitCode:
    """Judge a patch of the kernel: what every call that it touches does, before and after.

    The C is read, not built: functions of the patch and the tree are executed over the model's address spaces, beside
    the specification. A call is [b]equal, any number of VMAs[/b] (proved: its loops go in lockstep), [b]equal up to N
    VMAs[/b] (every argument, every layout of up to N; no proof for more), [b]differs[/b] (with the smallest case,
    executed on both sides), [b]sampled[/b] (random cases only), or [b]not covered[/b]: what is not known is named,
    never guessed. Without --tree only functions that stand whole in the patch are read. With it, a series is judged
    patch by patch, each on top of those before it, and as a whole; the exit code is 1 also if a kernel in the middle
    differs or is not covered. What is trusted: docs/REVIEW.md.

    Examples:

      sealspec review 0001-mm-mseal.patch --tree linux-source-6.12.117

      sealspec review series.mbox --tree ~/linux --edition v6.18 --json review.json

      sealspec review --rev v6.18..topic --tree ~/linux

      sealspec review mseal-v10-2of5.txt --out review #  the patch alone; scenarios for run and reproduce in review/
    """
    from reports.cli_review import Request as Reviewing
    from reports.cli_review import review as reviewed

    return reviewed(
        Reviewing(
            patches=patches or [],
            rev=rev,
            tree=tree,
            config=config,
            editions=editions or [],
            vmas=vmas,
            seconds=timeout,
            proving=prove,
            json_file=json_file,
            out=out,
        )
    )


@command(
    "derive",
    ok="every call that is judged equals an edition",
    differs="one differs from all of them, or something is not covered",
)
def derive(
    tree: Annotated[str, typer.Option("--tree", metavar="DIR", help="A kernel tree, or linux-source-VERSION.")],
    config: Configuration = None,
    editions: Editions = None,
    vmas: Annotated[
        int, typer.Option("-n", "--vmas", min=0, max=6, metavar="N", help="Explore every layout of up to N VMAs.")
    ] = 1,
    timeout: Patience = 60.0,
    prove: Proving = 60,
    json_file: Json = None,
) -> ExitCode:
    """Say what a kernel tree is: which edition each call equals, which advice it blocks, its map-count inequalities.

    Each call is read from the C and held against edition after edition until it equals one, beginning with that of the
    tree's version. The edition of a new kernel starts from this. What is trusted: docs/REVIEW.md.

    Examples:

      sealspec derive --tree ~/linux

      sealspec derive --tree linux-source-7.3.4 -n 2 --json tree.json
    """
    from reports.cli_review import DeriveRequest
    from reports.cli_review import derive as derived

    return derived(
        DeriveRequest(
            tree=tree,
            config=config,
            editions=editions or [],
            vmas=vmas,
            seconds=timeout,
            proving=prove,
            json_file=json_file,
        )
    )


@command("history", ok="every row is as stated", differs="one is not")
def history(
    json_file: Json = None,
    timeout: Timeout = 20.0,
    jobs: Jobs = None,
    cache: Cache = True,
) -> ExitCode:
    """Find what went wrong with sealing in each kernel, by properties that know of none of it.

    Each row is a bug, a change of contract or an open weakness: the property, the editions in which it is [b]found[/b]
    (with a counterexample of at most 3 VMAs and 2 calls), and those in which the property is [b]proved[/b].

    Examples:

      sealspec history

      sealspec history --json history.json
    """
    from reports.cli_history import history as told

    return told(json_file, max(1, round(timeout * 1000)), jobs or os.cpu_count() or 1, cache)


@command("report", ok="every result is as expected", differs="one is not, or a kernel does something else")
def report(
    editions: Annotated[
        list[str] | None,
        typer.Option(
            "--edition",
            "-e",
            metavar="NAME",
            help="The kernel (may be repeated), or [b]all[/b].",
            autocompletion=_edition_names,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="Another kernel, to show what is otherwise there.",
            autocompletion=_edition_names,
        ),
    ] = None,
    out_folder: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FOLDER", help="The folder to write: new, empty, or a report.")
    ] = None,
    formats: Annotated[
        str,
        typer.Option(
            "--formats", metavar="LIST", help="Separated by commas: html, mail, md, json, junit, sarif, ktap, b4, rst."
        ),
    ] = "html",
    replays: Annotated[
        list[str] | None,
        typer.Option(
            "--replay", metavar="FILE", help="What [b]replay --json[/b] or [b]lab --json[/b] wrote (may be repeated)."
        ),
    ] = None,
    properties: Properties = None,
    calls: Calls = None,
    thread: Annotated[
        bool, typer.Option("--thread", help="Print answers to the questions of the patch's review thread instead.")
    ] = False,
    rst: Annotated[
        str | None,
        typer.Option("--rst", metavar="FILE", help="Print a patch for a copy of the kernel's mseal.rst instead."),
    ] = None,
    traces: Annotated[
        bool, typer.Option("--traces/--no-traces", help="Look for attack traces (slow the first time).")
    ] = True,
    mutants: Mutants = True,
    lemmas: Lemmas = True,
    timeout: Timeout = 20.0,
    jobs: Jobs = None,
    cache: Cache = True,
) -> ExitCode:
    """Write all that is known of an edition as a folder of files that needs no network.

    Pages (index.html): theorems with what each verdict rests on; each counterexample drawn and explained, with the
    call's checks, an attack trace, programs that reproduce it and what real kernels did; what a failed call may
    have changed; assumptions; what is not modelled. With several editions: an index, and a folder for each. Other
    forms: a mail to the lists, Markdown, JSON (docs/schema/review.json), JUnit, SARIF, KTAP, checks for b4, wording
    for mseal.rst. More: docs/REPORT.md.

    Examples:

      sealspec report --edition v10 --out report

      sealspec report --edition v6.18 --against v10 --out report --formats html,mail,json

      sealspec report --thread

      sealspec report --edition v6.18 --rst Documentation/userspace-api/mseal.rst
    """
    from reports.cli_report import Request as Reporting
    from reports.cli_report import report as reported

    return reported(
        Reporting(
            editions=editions,
            against=against,
            out=out_folder,
            formats=formats,
            replays=replays or [],
            properties=properties,
            calls=calls,
            thread=thread,
            rst=rst,
            traces=traces,
            mutants=mutants,
            lemmas=lemmas,
            timeout_ms=max(1, round(timeout * 1000)),
            jobs=jobs or os.cpu_count() or 1,
            cache=cache,
        )
    )


@command(
    "show",
    ok="the counterexample is drawn",
    differs="the concrete reading does something else than the document says; nothing is drawn",
)
def show(
    document: Document,
    form: Annotated[
        str,
        typer.Option(
            "--format", "-f", metavar="FORM", help="text, svg or dot.", autocompletion=_one_of("text", "svg", "dot")
        ),
    ] = "text",
    to: To = None,
    number: Annotated[int, typer.Option(metavar="N", help="Which document of the file, from 1.")] = 1,
) -> ExitCode:
    """Draw a counterexample document, after the concrete reading has re-executed it.

    Examples:

      sealspec show counterexample.json

      sealspec show counterexample.json --format svg --to counterexample.svg
    """
    from reports.cli_run import show as shown

    return shown(document, form, to, number)


@command(
    "run",
    ok="every answer that was compared agrees; or none was compared",
    differs="one differs",
)
def run(
    document: Document,
    edition: Edition = None,
    json_file: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write the results: JSON, or JSON lines for several scenarios (- is standard output).",
        ),
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
    Where the document carries a kernel's answers they are compared. The format: docs/SCENARIOS.md.

    Examples:

      sealspec run scenario.json --edition v6.18

      sealspec run runs.jsonl.xz --quiet

      sealspec run scenario.json --json -
    """
    from reports.cli_run import run as ran

    return ran(document, edition, json_file, expect, quiet)


@command(
    "reproduce",
    ok="the program is written; with --check: this kernel does what the document says",
    differs="the document is not what its edition does, or --check saw something else or could not try",
)
def reproduce(
    document: Document,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="FORM",
            help="c, kselftest or syz.",
            autocompletion=_one_of("c", "kselftest", "syz"),
        ),
    ] = "c",
    number: Annotated[int, typer.Option(metavar="N", help="Which document of the file, from 1.")] = 1,
    to: To = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compile it, run it on this kernel, and say what came.")
    ] = False,
) -> ExitCode:
    """Write a counterexample or a scenario as a standalone program, for a report to a kernel's list.

    [b]c[/b]: plain C; [b]kselftest[/b]: C with KTAP output; both exit with 0 if the kernel does what the document says,
    1 if it does not, 4 if it cannot be tried there. [b]syz[/b]: a program for syzkaller.

    Examples:

      sealspec reproduce counterexample.json --format kselftest --to mseal_partial.c

      sealspec reproduce counterexample.json --check
    """
    from reports.cli_reproduce import reproduce as reproduced

    return reproduced(document, number, form, to, check)


KernelName = Annotated[
    str,
    typer.Option("--kernel", "-k", metavar="KERNEL", help="[b]running[/b], or the path of a bootable image (in QEMU)."),
]


@command("replay", ok="the kernel contradicts no counterexample", differs="one is not confirmed")
def replay(
    document: Annotated[
        str | None,
        typer.Argument(metavar="DOC", help="Counterexamples (JSON, JSON lines, either also .xz); - is stdin."),
    ] = None,
    number: Annotated[
        int | None, typer.Option(metavar="N", help="Which document of the file, from 1; left out: all of them.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every refuted theorem of the edition that the kernel is.")
    ] = False,
    edition: Edition = None,
    kernel: KernelName = "running",
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="FILE", help="With --all: what [b]sealspec prove --json[/b] wrote."),
    ] = None,
    json_file: Json = None,
    cache: Cache = True,
) -> ExitCode:
    """Try counterexamples on a real kernel: build the layout in a process, make the calls, read back every page.

    Each is [b]confirmed[/b], [b]not confirmed[/b] (both outcomes are printed side by side), or [b]cannot be tried
    here[/b], with the reason. With --all the edition is chosen from the kernel's behaviour ([b]sealspec probe[/b]),
    and its theorems are proved first unless a report is given. What is built and compared: docs/REPLAY.md.

    Examples:

      sealspec replay counterexample.json

      sealspec replay --all

      sealspec replay --all --kernel vmlinuz-6.12.117 --report v6.12.json
    """
    from reports.cli_replay import Request as Replaying
    from reports.cli_replay import replay as replayed

    return replayed(Replaying(document, number, every, edition, kernel, report, json_file, cache))


@command("probe", ok="the kernel behaves as an edition", differs="it behaves as none")
def probe(kernel: KernelName = "running", json_file: Json = None) -> ExitCode:
    """Say which edition a kernel is, from what it does.

    If it behaves as none, the probes that differ from the nearest edition are printed.

    Examples:

      sealspec probe

      sealspec probe --kernel vmlinuz-6.18.15 --json probe.json
    """
    from reports.cli_replay import probe as probed

    return probed(kernel, json_file)


@command(
    "conform",
    ok="every answer is one that the edition allows",
    differs="one is not; it is saved as a scenario",
)
def conform(
    kernel: KernelName = "running",
    edition: Annotated[
        str | None,
        typer.Option(
            "--edition",
            "-e",
            metavar="NAME",
            help="Left out: the one that the kernel behaves as.",
            autocompletion=_edition_names,
        ),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_SEQUENCES,
            metavar="N",
            help="Sequences; left out: 2000, or as many as --seconds allows.",
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(parser=_seconds, metavar="SECONDS", help="Stop after so long.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="S", help="What the sequences are made from.")] = 1,
    jobs: Jobs = None,
    resume: Annotated[
        str | None,
        typer.Option("--resume", metavar="FILE", help="Keep how far the run is in FILE, and go on from there."),
    ] = None,
    json_file: Json = None,
    out_folder: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="Where sequences that differ are saved.")
    ] = "differences",
) -> ExitCode:
    """Compare a live kernel with the specification, over thousands of generated sequences of calls.

    After every call: result, errno, every VMA, the first byte of every page. Where the specification leaves something
    open (memory that runs out, where a mapping goes) any outcome that it allows will do. A difference is shrunk to a
    small sequence and saved as a scenario with the kernel's answers, for [b]sealspec run[/b]. No setting of this
    machine is changed. A kernel that has no mseal, or cannot be asked, is exit code 2. More: docs/CONFORM.md.

    Examples:

      sealspec conform --examples 100000 --resume conform.json

      sealspec conform --seconds 60 --seed 7

      sealspec conform --kernel vmlinuz-6.12.117 --examples 20000 --json report.json
    """
    from reports.cli_conform import Request as Conform
    from reports.cli_conform import conform as conformed

    return conformed(
        Conform(
            kernel=kernel,
            edition=edition,
            examples=examples,
            seconds=seconds,
            seed=seed,
            jobs=jobs or os.cpu_count() or 1,
            resume=resume,
            json_file=json_file,
            out=out_folder,
        )
    )


@command(
    "lab",
    ok="each kernel does what its edition does",
    differs="one does something else, or behaves as no edition",
)
def lab(
    kernels: Annotated[
        list[str] | None,
        typer.Argument(metavar="KERNEL...", help="Versions of Debian kernels (6.12.117), or paths of bootable images."),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Say which kernels were fetched, and which Debian has now.")
    ] = False,
    examples: Annotated[
        int, typer.Option(min=1, max=MAX_SEQUENCES, metavar="N", help="Sequences for the conformance run.")
    ] = 2500,
    seed: Annotated[int, typer.Option(min=0, metavar="S", help="What sequences are made from.")] = 1,
    replay: Annotated[
        bool, typer.Option("--replay/--no-replay", help="Try every refuted theorem of the kernel's edition.")
    ] = True,
    conform: Annotated[
        bool, typer.Option("--conform/--no-conform", help="Compare generated sequences of calls with the edition.")
    ] = True,
    kernels_folder: Annotated[
        str | None,
        typer.Option("--kernels", metavar="FOLDER", help="Where kernels are kept; left out: in the user's cache."),
    ] = None,
    out_folder: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="Where sequences that differ are saved.")
    ] = "differences",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, max=MAX_JOBS, metavar="N", help="Guests at a time; left out: 2 at most."),
    ] = None,
    json_file: Json = None,
    cache: Cache = True,
) -> ExitCode:
    """Boot real kernels in QEMU and hold each against the edition that it behaves as.

    A version is fetched as a Debian package, through this system's own apt sources, and unpacked into a folder;
    nothing is installed, but QEMU if it is missing and this is root. In each guest: the probe that chooses the edition,
    the replays of every theorem that the edition refutes, and generated sequences of calls. A kernel that could not be
    fetched or booted is exit code 2. More: docs/LAB.md.

    Examples:

      sealspec lab 6.12.117 6.18.15 7.3.4

      sealspec lab vmlinuz --examples 20000 --no-replay --json lab.json

      sealspec lab --list
    """
    from reports.cli_lab import Request as Lab
    from reports.cli_lab import lab as labbed

    return labbed(
        Lab(
            targets=kernels or [],
            listing=listing,
            examples=examples,
            seed=seed,
            replay=replay,
            conform=conform,
            kernels=kernels_folder,
            cache=cache,
            out=out_folder,
            jobs=jobs or min(2, os.cpu_count() or 1),
            json_file=json_file,
        )
    )


KINDS = ("properties", "calls", "editions", "assumptions", "checks")


@command("list", ok="always, if there is such a list")
def listing(
    kind: Annotated[
        str | None,
        typer.Argument(metavar=f"[{'|'.join(KINDS)}]", show_default=False, autocompletion=_one_of(*KINDS)),
    ] = None,
    edition: Edition = None,
    json_file: Json = None,
) -> ExitCode:
    """List what there is: properties, calls, editions, assumptions, checks, each with its sentence and source.

    Examples:

      sealspec list properties

      sealspec list checks --edition v6.18 --json checks.json
    """
    from reports.cli_list import listing as listed

    return listed(kind, edition, json_file)


READERS = ("loader", "allocator", "jit", "sandbox")


@command("guarantee", ok="always, if there is such a recipe, reader and edition")
def guarantee(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]",
            show_default=False,
            help="got, read-only-data, guard-pages, thread-stacks, allocator-metadata, jit-code, fork, untrusted-code "
            "or errors.",
            autocompletion=_recipe_names,
        ),
    ] = None,
    edition: Annotated[
        str | None,
        typer.Option(
            "--edition",
            "-e",
            metavar="NAME",
            help="Only this kernel, with reasons; left out: every kernel.",
            autocompletion=_edition_names,
        ),
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="READER",
            help=f"What matters to one reader: {', '.join(READERS[:-1])} or {READERS[-1]}.",
            autocompletion=_one_of(*READERS),
        ),
    ] = None,
    json_file: Json = None,
) -> ExitCode:
    """Say what one may rely on: the promises of a seal by kernel, each with its theorems, and recipes.

    A recipe says what to do, why, and what the calls in question do in each kernel: sealing a GOT, read-only data that
    madvise must not zero, guard pages, thread stacks, allocator metadata, compiled code, fork, and what a call that
    failed may have changed. Nothing is solved: the verdicts are those that [b]sealspec prove[/b] expects. All of it:
    docs/GUARANTEES.md.

    Examples:

      sealspec guarantee

      sealspec guarantee --for loader

      sealspec guarantee got

      sealspec guarantee errors --edition v6.18
    """
    from reports.cli_guarantee import guarantee as guaranteed

    return guaranteed(recipe, edition, reader, json_file)


@command("explain", ok="always, if there is such a call")
def explain(
    call: Annotated[
        str, typer.Argument(metavar="CALL", help="See [b]sealspec list calls[/b].", autocompletion=_call_names)
    ],
    edition: Edition = None,
    json_file: Json = None,
) -> ExitCode:
    """Print a call's checks in the kernel's order: errno, and what may have changed when it returns.

    Examples:

      sealspec explain mseal

      sealspec explain mprotect --edition v6.12
    """
    from reports.cli_list import explain_call

    return explain_call(call, edition, json_file)


def _command_names(incomplete: str) -> list[str]:
    return [info.name for info in app.registered_commands if info.name and info.name.startswith(incomplete)]


@command("help", ok="always, if there is such a command")
def help_of(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[COMMAND]", show_default=False, autocompletion=_command_names),
    ] = None,
) -> ExitCode:
    """Print what a command does, its options, examples, and exit codes.

    Examples:

      sealspec help prove
    """
    if name is not None and name not in _command_names(""):
        unknown("command", name, _command_names(""))
    app(args=["--help"] if name is None else [name, "--help"], prog_name="sealspec", standalone_mode=False)
    return ExitCode.OK


@command("man", ok="always")
def manual(to: To = None) -> ExitCode:
    """Write the manual page, made from the help of all commands.

    Examples:

      sealspec man --to sealspec.1

      sealspec man | man -l -
    """
    from reports.manual import manual as written

    program = typer.main.get_command(app)
    assert isinstance(program, TyperGroup)
    return written(program, to)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments (the process's own by default). Returns the exit code; never raises for
    what a user did."""
    with caught():
        return _run(list(sys.argv[1:] if arguments is None else arguments))


def _run(given: list[str]) -> int:
    try:
        check_streams()
        for argument in given:
            if not argument.isascii() and any("\ud800" <= c <= "\udfff" for c in argument):
                raise BadUsage(f"{printable(argument)}: this is not UTF-8 text; rename the file")
        code = app(args=given, prog_name="sealspec", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        named = f" {given[0]}" if given and given[0] in _command_names("") else ""
        return _wrong(f"{error.format_message()} (see: sealspec{named} --help)")
    except BadUsage as error:
        return _wrong(str(error))
    except BrokenPipeError:
        give_up_output()
        return ExitCode.NO_READER
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich ends so
            give_up_output()
            return ExitCode.NO_READER
        raise  # shell completion ends so
    except KeyboardInterrupt:
        return _interrupted()
    except MemoryError:
        return _wrong("out of memory: the document asks for more pages than can be kept")
    except OSError as error:
        what = "standard output" if output_fails() else printable(str(error.filename or "this machine"))
        return _wrong(f"{what}: {error.strerror or error}")
    except ValueError as error:
        from checker.documents.base import BadDocument

        if not isinstance(error, BadDocument):
            return _interrupted(error)
        return _wrong(str(error))
    except Exception as error:
        return _interrupted(error)
    if code != ExitCode.INTERRUPTED:
        return int(code or 0)
    # a command has said what it had; where typer answered, nobody has said anything yet
    return exit_code() if isinstance(code, ExitCode) else _interrupted()


def _interrupted(error: Exception | None = None) -> int:
    """Say so in a line. What a library makes of the signal may be any error; raises it if no signal came."""
    if error is not None and not received():
        raise error
    with suppress(OSError):
        line(console(error=True), f"sealspec: interrupted by {received() or 'Ctrl-C'}")
    return exit_code()


def _wrong(message: str) -> int:
    """Say what is wrong, in one line; nowhere, if there is nowhere to say it."""
    with suppress(OSError):
        line(console(error=True), f"sealspec: {printable(message)}", "red")
    if output_fails():
        give_up_output()
    return ExitCode.USAGE


if __name__ == "__main__":
    sys.exit(main())
