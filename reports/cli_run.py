# SPDX-License-Identifier: MIT
"""`sealspec run` and `sealspec show`: documents in, answers and drawings out."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from checker.naming import flag_word
from reports.cli_common import DEFAULT_EDITION, BadUsage, ExitCode, console, edition_named, line, printable
from reports.outputs import Outputs

if TYPE_CHECKING:
    from checker.documents.base import BadDocument
    from checker.documents.counterexamples import Counterexample
    from checker.documents.scenarios import Difference, RunResult, Scenario, Step, StepResult
    from spec.editions import Edition

ANSWERS = ("ret", "errno", "vmas", "bytes")
"""What a step may carry as its expected answer."""
SHOW_FORMATS = ("text", "svg", "dot")


def run(document: str, edition: str | None, json_file: str | None, expect: bool | None, quiet: bool) -> ExitCode:
    """Execute the scenarios of a file and print what came of them.

    `edition` overrides what the documents say. `expect` None compares where a document carries answers, True insists
    that each does, False does not compare. A scenario that is no document, or that asks for what is not modelled, is
    refused in one line on standard error; the others are executed all the same, and the exit code says that one was
    refused. Raises BadDocument or BadUsage.
    """
    from checker.documents.base import BadDocument, shown
    from checker.scenario import compare, run_scenario

    if edition is not None:
        edition = edition_named(edition).name
    scenarios = _scenarios(document)
    if expect:
        for scenario in scenarios:
            if not isinstance(scenario, BadDocument) and not _answers(scenario):
                name = printable(scenario.name)
                raise BadUsage(f"{printable(document)}: --expect, but scenario {name!r} carries no answers")
    files = Outputs({"--json": json_file}, inputs=[document])
    out = console(error=files.standard)
    results: list[RunResult] = []
    compared = differing = refused = 0
    for scenario in scenarios:
        try:
            if isinstance(scenario, BadDocument):
                raise scenario
            result = run_scenario(scenario, edition_named(edition or scenario.edition or DEFAULT_EDITION))
        except BadDocument as bad:
            if not bad.source and not isinstance(scenario, BadDocument):
                where = f"{document}, {shown(scenario.name)}" if len(scenarios) > 1 else document
                bad = BadDocument(bad.pointer, bad.reason, where)
            if len(scenarios) == 1:
                raise bad from None
            refused += 1
            line(console(error=True), f"refused: {printable(str(bad))}")
            continue
        results.append(result)
        checks = expect is not False
        differences = compare(scenario, result) if checks else []
        compared += _answers(scenario) if checks else 0
        differing += len(differences)
        if differences or not (quiet or files.standard):
            _print_scenario(out, scenario, result, differences)
    if json_file is not None:
        files.write("--json", _json(results))
    if not files.standard or differing:
        _print_summary(out, results, compared, differing, refused)
    if refused:
        return ExitCode.USAGE
    return ExitCode.DIFFERS if differing else ExitCode.OK


def answers_agree(scenario: Scenario, edition: Edition) -> bool:
    """The answers that a scenario carries are those of the edition; if not, say where they differ on standard error.

    Raises BadDocument for what the edition cannot execute.
    """
    from checker.scenario import compare, run_scenario

    result = run_scenario(scenario, edition)
    differences = compare(scenario, result)
    if differences:
        err = console(error=True)
        _print_scenario(err, scenario, result, differences)
        _print_summary(err, [result], _answers(scenario), len(differences))
    return not differences


def _scenarios(path: str) -> list[Scenario | BadDocument]:
    """The scenarios of a file, and what is wrong with those that are none."""
    from checker.documents.base import BadDocument
    from checker.documents.files import load_each
    from checker.documents.scenarios import Scenario

    documents = list(load_each("/dev/stdin" if path == "-" else path))
    scenarios = [document for document in documents if isinstance(document, Scenario | BadDocument)]
    if len(scenarios) != len(documents):
        raise BadUsage(f"{printable(path)}: a counterexample, not a scenario; draw it with: sealspec show")
    return scenarios


def _answers(scenario: Scenario) -> int:
    """How many answers the scenario's steps carry."""
    return sum(getattr(step, name) is not None for step in scenario.steps for name in ANSWERS)


def _json(results: list[RunResult]) -> str:
    """One document for one scenario, JSON lines for several."""
    from checker.documents.files import dump_document
    from checker.version import stamped

    if len(results) == 1:
        return dump_document(stamped(results[0]))
    return "".join(stamped(result).model_dump_json() + "\n" for result in results)


def described(step: Step) -> str:
    """A step as a program would write it: flags by name, addresses and sizes in hexadecimal."""
    given = step.model_dump(exclude={"call", "failures", *ANSWERS})
    text = f"{step.call}({', '.join(_shown(step.call, name, value) for name, value in given.items())})"
    return text + "".join(f" while failing: {name}" for name in step.failures)


def _shown(call: str, name: str, value: object) -> str:
    decoded = flag_word(call, name, value) if isinstance(value, int) else None
    if decoded is not None:
        return decoded if name == "behavior" or decoded.startswith(name) else f"{name} {decoded}"
    if isinstance(value, int) and name not in ("fd", "byte", "free"):
        return f"{name} {value:#x}"
    return f"{name} {value}"


def _print_scenario(out: Console, scenario: Scenario, result: RunResult, differences: list[Difference]) -> None:
    line(out, f"{printable(scenario.name)} (edition {result.edition})", "bold")
    for number, (step, answer) in enumerate(zip(scenario.steps, result.steps, strict=True)):
        line(out, f"{number:3}  {described(step)}")
        line(out, f"     = {outcome(answer)}")
        for prefix, lines in (("vmas", answer.vmas), ("elsewhere", answer.contents)):
            for i, text in enumerate(lines):
                line(out, f"     {prefix if i == 0 else '':9} {text}")
        pages = [answer.bytes[i : i + 2] for i in range(0, len(answer.bytes), 2)]
        line(out, f"     {'bytes':9} {' '.join(pages) or '(nothing is mapped in the window)'}")
        for difference in differences:
            if difference.step == number:
                _print_difference(out, difference)
    line(out)


def outcome(answer: StepResult) -> str:
    """How a step ended: the result, the errno by name, the check that decided."""
    refused = f" {answer.errno_name}" if answer.errno else ""
    return f"{answer.ret}{refused}{f'  ({answer.check})' if answer.check else ''}"


def _print_difference(out: Console, difference: Difference) -> None:
    """Expected and given side by side, differing lines marked."""
    left, right = ([printable(text) for text in side] for side in difference.sides)
    width = max(len(text) for text in ("expected", *left))
    line(out, f"     {difference.field} differs:", "red")
    line(out, f"       {'expected':{width}}   got")
    for a, b in zip_longest(left, right, fillvalue=""):
        line(out, Text(f"     {' ' if a == b else '!'} {a:{width}}   {b}", style="" if a == b else "red"))


def _print_summary(out: Console, results: list[RunResult], compared: int, differing: int, refused: int = 0) -> None:
    steps = sum(len(result.steps) for result in results)
    left_out = f" ({refused} refused)" if refused else ""
    done = f"{_many(len(results), 'scenario')}{left_out}, {_many(steps, 'step')}"
    if not compared:
        line(out, f"{done}; no expected answers were compared")
    elif differing:
        line(out, f"{done}: {differing} of {_many(compared, 'expected answer')} differ", "bold red")
    else:
        line(out, f"{done}: all {_many(compared, 'expected answer')} agree", "green")


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def show(document: str, form: str, to: str | None, number: int) -> ExitCode:
    """Draw a counterexample of a file, once the concrete reading has confirmed it. `number` counts from 1.

    Raises BadDocument or BadUsage.
    """
    if form not in SHOW_FORMATS:
        raise BadUsage(f"--format {printable(form)!r}: a drawing is {', '.join(SHOW_FORMATS)}")
    files = Outputs({"--to": "-" if to is None else to}, inputs=[document])
    example = confirmed(_counterexample(document, number), printable(document))
    if example is None:
        return ExitCode.DIFFERS
    files.write("--to", drawing(example, form))
    return ExitCode.OK


def _counterexample(path: str, number: int) -> Counterexample:
    from checker.documents.counterexamples import Counterexample
    from checker.documents.files import load_document

    documents = load_document("/dev/stdin" if path == "-" else path)
    examples = [document for document in documents if isinstance(document, Counterexample)]
    if len(examples) != len(documents):
        raise BadUsage(f"{printable(path)}: a scenario, not a counterexample; execute it with: sealspec run")
    if not 1 <= number <= len(examples):
        raise BadUsage(f"--number {number}: {printable(path)} holds {_many(len(examples), 'counterexample')}")
    return examples[number - 1]


def confirmed(example: Counterexample, name: str) -> Counterexample | None:
    """The document if it is true: the calls do what it says, and so break what it says. If they do something else,
    None, after saying on standard error where they differ.

    Raises BadDocument for one that lies about itself (see checker.claims).
    """
    from checker.claims import NotConfirmed, check_claim
    from proofs.theorems import expected_of

    try:
        return check_claim(example, expected_of, name)
    except NotConfirmed as unlike:
        err = console(error=True)
        line(err, f"{name}: {unlike}", "red")
        for text in unlike.differences:
            line(err, f"  {printable(text)}")
        return None


def drawing(example: Counterexample, form: str) -> str:
    """The counterexample as text, SVG or DOT, ending in a newline."""
    if form == "dot":
        from reports.graph import to_dot

        return to_dot(example)
    from reports.strip import to_svg, to_text

    text = to_svg(example) if form == "svg" else to_text(example)
    return text if text.endswith("\n") else text + "\n"
