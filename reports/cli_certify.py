# SPDX-License-Identifier: MIT
"""`sealspec certify` and `sealspec verify`: what a proof rests on, as files that any solver can decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from checker.documents.files import dump_document, load_model
from checker.temporary import temporary_folder
from checker.version import stamped, tool
from proofs.certificate import Certificate, used
from proofs.opinion import GoalStore
from proofs.second import Answer, Solver, decide
from proofs.verify import GOALS, MANIFEST, certificate_of, left_out, read_contents, recheck_all
from reports.cli_common import BadUsage, ExitCode, console, edition_named, line, printable
from reports.cli_interrupt import interruptible
from reports.cli_prove import Watcher, progress_bars, solver_named
from reports.folder import CERTIFICATE, check_folder, write_folder

SHOWN = 20
"""How many lines of one kind are printed; of more, their number."""


def certify(editions: list[str] | None, out: str, timeout_ms: int, jobs: int) -> ExitCode:
    """Find the goals of editions, and write them. Raises BadUsage."""
    from spec.editions import EDITIONS

    chosen = list(dict.fromkeys(edition_named(name).name for name in editions or EDITIONS))
    target = check_folder(out, kind=CERTIFICATE)
    watcher = Watcher(progress_bars())
    with temporary_folder() as made:
        store = GoalStore(made)
        try:
            with watcher.progress, interruptible():
                for edition in chosen:
                    store.collect(edition, timeout_ms, jobs, watcher.step)
        except KeyboardInterrupt:
            line(console(), "interrupted; no certificate was written", "yellow")
            return ExitCode.INTERRUPTED
        except OSError as error:
            raise BadUsage(f"no goals can be written: {error.strerror or error}") from None
        certificate = certificate_of(chosen, store)
        write_folder(target, _files(certificate, store), CERTIFICATE)
    _print_certificate(console(), certificate, out)
    return ExitCode.OK if certificate.complete else ExitCode.DIFFERS


def _files(certificate: Certificate, store: GoalStore) -> Iterator[tuple[str, str]]:
    yield MANIFEST, dump_document(stamped(certificate))
    for goal in certificate.goals:
        yield f"{GOALS}/{goal.sha256}.smt2", store.path(goal.sha256).read_text(encoding="utf-8")


def _print_certificate(out: Console, certificate: Certificate, name: str) -> None:
    for edition in certificate.editions:
        calls = [call for call in certificate.calls if call.edition == edition]
        lemmas = [lemma for lemma in certificate.lemmas if lemma.edition == edition]
        verdicts = Counter(theorem.verdict for call in calls for theorem in call.theorems)
        goals = sum(len(used(call)) for call in calls) + sum(len(used(lemma)) for lemma in lemmas)
        told = f"{verdicts['proved']} theorems proved, {verdicts['open']} not claimed"
        line(out, f"{edition}: {told}, {sum(x.verdict == 'proved' for x in lemmas)} lemmas; {goals} goals")
        for call in calls:
            for theorem in call.theorems:
                if theorem.verdict == "error":
                    line(out, f"  {theorem.name}: {theorem.why}", "bold red")
        for lemma in lemmas:
            if lemma.verdict == "error":
                line(out, f"  lemma {lemma.lemma}: {lemma.why}", "bold red")
    line(
        out, f"{printable(name)}: {len(certificate.goals)} different goals, each decided twice by {certificate.solver}"
    )


def verify(folder: str, solver_name: str, recompute: bool, timeout_ms: int, jobs: int) -> ExitCode:
    """Check a certificate. Raises BadUsage for one that cannot be read, and BadDocument for a manifest that is none."""
    solver = solver_named("--solver", solver_name)
    path = Path(folder)
    if not folder or "\0" in folder or not path.is_dir():
        raise BadUsage(f"{printable(folder) or repr(folder)}: there is no such folder")
    manifest = path / MANIFEST
    if manifest.is_symlink() or not manifest.is_file():
        raise BadUsage(f"{printable(str(manifest))}: there is no such file, or it is a symbolic link")
    certificate = load_model(manifest, Certificate, "a certificate")
    try:
        contents = read_contents(path, certificate, CERTIFICATE.mark)
    except OSError as error:
        raise BadUsage(f"{printable(folder)}: cannot be read: {error.strerror or error}") from None
    out, watcher = console(), Watcher(progress_bars())
    _print_origin(out, certificate)
    for name in contents.extra[:SHOWN]:
        line(out, f"belongs to no goal: {printable(name)}", "yellow")
    if len(contents.extra) > SHOWN:
        line(out, f"and {len(contents.extra) - SHOWN} more", "yellow")
    wrong = [*contents.wrong, *left_out(certificate)]
    if wrong:
        _print_wrong(out, "the certificate is not whole, and nothing was decided", wrong)
        return ExitCode.DIFFERS
    answers: dict[str, Answer] = {}
    try:
        with watcher.progress, interruptible(), temporary_folder() as copies:
            if recompute:
                wrong = recheck_all(certificate, jobs, watcher.step)
            if wrong:
                _print_wrong(out, "the certificate does not say what the calls do, and nothing was decided", wrong)
                return ExitCode.DIFFERS
            answers = _decided(certificate, contents.texts, Path(copies), solver, timeout_ms, jobs, watcher)
    except KeyboardInterrupt:
        line(out, f"interrupted; {len(answers)} of {len(certificate.goals)} goals were decided", "yellow")
        return ExitCode.INTERRUPTED
    except OSError as error:
        raise BadUsage(f"no goals can be written: {error.strerror or error}") from None
    expected = {goal.sha256: goal.expected for goal in certificate.goals}
    doubts = [(goal, answer) for goal, answer in sorted(answers.items()) if answer.said != expected[goal]]
    told = [f"{GOALS}/{goal}.smt2: {answer.said} {answer.why}".rstrip() for goal, answer in doubts]
    if told:
        _print_wrong(out, f"not as the certificate says, by {solver.name}", told)
    count = sum(len(used(call)) for call in certificate.calls) + sum(len(used(lemma)) for lemma in certificate.lemmas)
    told_of = f"{count} goals, {len(certificate.goals)} different: {len(answers) - len(doubts)} as the certificate says"
    line(out, f"{told_of}, by {solver.name} ({solver.version})")
    line(out, "the paths were explored again" if recompute else "the paths were not explored again (--no-recompute)")
    return ExitCode.DIFFERS if doubts else ExitCode.OK


def _decided(
    certificate: Certificate, texts: dict[str, bytes], folder: Path, solver: Solver, timeout_ms: int, jobs: int,
    watcher: Watcher,
) -> dict[str, Answer]:  # fmt: skip
    """What the solver says of each goal: of copies, so that what is decided is what was read."""
    expected = {goal.sha256: goal.expected for goal in certificate.goals}

    def files() -> Iterator[tuple[str, Path]]:
        for goal, text in sorted(texts.items()):
            path = folder / f"{goal}.smt2"
            path.write_bytes(text)
            yield goal, path

    answers: dict[str, Answer] = {}
    for goal, answer in decide(solver, files(), timeout_ms / 1000, jobs):
        answers[goal] = answer
        as_expected = answer.said == expected[goal]
        watcher.step("second", f"{goal[:12]}: {answer.said}", as_expected, len(answers), len(texts))
    return answers


def _print_origin(out: Console, certificate: Certificate) -> None:
    wrote, this = certificate.tool, tool()
    told = (
        "nobody says what wrote it" if wrote is None else f"written by {wrote.name} {wrote.version}, {wrote.revision}"
    )
    line(out, f"certificate of {', '.join(map(printable, certificate.editions))}: {printable(told)}")
    if wrote is not None and (wrote.version, wrote.revision) != (this.version, this.revision):
        line(out, f"this is another specification: {this.version}, {this.revision}", "yellow")


def _print_wrong(out: Console, heading: str, wrong: list[str]) -> None:
    line(out, f"{heading}:", "bold red")
    for text in wrong[:SHOWN]:
        line(out, f"  {printable(text)}")
    if len(wrong) > SHOWN:
        line(out, f"  and {len(wrong) - SHOWN} more")
