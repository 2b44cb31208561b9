# SPDX-License-Identifier: MIT
"""What a signal, or the loss of a process, leaves behind: nothing that runs, and a report or a clean line."""

from __future__ import annotations

import json
import os
import platform
import random
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from checker.processes import Ended, Workers, program, run_program
from checker.signals import Interrupted, caught, exit_code, held, received
from proofs.results import Advised
from proofs.tasks import Task, carry_out_tasks
from reports.cli_common import BadUsage
from reports.pulse import VARIABLE, Pulse
from tests.sessions import ENDING, Session

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux", reason="needs /proc and what Linux does at a parent's end"
)
PROVE = ("prove", "--no-cache", "--jobs", "2")
MODULES = ["checker.signals"]


def start(*arguments: str, **env: str) -> Session:
    return Session(arguments, {"MSEAL_SPEC_CACHE": "", **env})


def clean(code: int, out: str, err: str, number: int) -> None:
    """The command ended as documented, and said so in a report or one line."""
    said = f"{code}\n{out}\n{err}"
    assert code == 128 + number, said
    assert "Traceback" not in err and "Exception ignored" not in err and "Warning" not in err, said
    assert "interrupted" in out or err.startswith("sealspec: interrupted by "), said


# the pieces -----------------------------------------------------------------------------------------------------------


def work(item: str, tell: object) -> None:
    """What a worker does in these tests; it is imported there by its name."""
    assert callable(tell)
    tell(item)
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "leave":
        os._exit(3)
    if item == "fail":
        raise ValueError("as told")
    while item == "stay":
        time.sleep(0.01)
        if not tell("still here"):
            return


def carried_out(items: list[str], jobs: int) -> dict[str, list[str | Ended]]:
    """What came of items."""
    found: dict[str, list[str | Ended]] = {item: [] for item in items}
    waiting = list(items)
    with Workers[str, str](work, jobs, MODULES) as workers:
        while waiting or workers.busy:
            while waiting and workers.free:
                workers.start(waiting.pop())
            for item, told in workers.wait():
                found[item].append(told)
    return found


def test_a_lost_worker_costs_its_item_only() -> None:
    """What it told before counts, how it was lost is said, and there may be more jobs than items."""
    found = carried_out(["one", "die", "two", "leave"], 7)
    assert found["one"] == ["one", Ended()] and found["two"] == ["two", Ended()]
    assert found["die"] == ["die", Ended("killed by signal 9 (SIGKILL)")]
    assert found["leave"] == ["leave", Ended("ended with exit status 3 and no answer")]


def test_workers_that_cannot_be_started_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is waited for where none could be."""

    def start(process: object, failed: list[str]) -> None:
        failed.append("no server")

    monkeypatch.setattr("checker.processes._start", start)
    lost = Ended("could not be started: no server")
    assert carried_out(["one", "two", "three"], 2) == {name: [lost] for name in ("one", "two", "three")}


def test_an_error_of_a_worker_is_raised() -> None:
    with pytest.raises(ValueError, match="as told"):
        carried_out(["fail"], 1)


def test_workers_stop_when_they_are_asked_to() -> None:
    with Workers[str, str](work, 1, MODULES) as workers:
        workers.start("stay")
        assert list(workers.wait(60)) == [("stay", "stay")]
        workers.stop()
        told = []
        while workers.busy:
            told += [something for _, something in workers.wait()]
    assert told[-1] == Ended()


def test_no_worker_is_left_behind() -> None:
    with Workers[str, str](work, 2, MODULES) as workers:
        workers.start("stay")
        workers.start("stay")
        list(workers.wait(60))
        pids = [one.process.pid for one in workers._running]
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def dying(task: Task) -> Iterator[Advised]:
    """The results of a task whose process is lost after the first."""
    yield Advised(value=1, name=task.name)
    if task.name == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    yield Advised(value=2, name=task.name)


def test_a_lost_task_says_so_and_is_not_kept() -> None:
    """What it still owed is made up by the caller, who is told how it was lost."""
    kept: list[str] = []

    class Kept:
        def load(self, task: Task, results: object) -> None:
            return None

        def store(self, task: Task, results: object) -> None:
            kept.append(task.name)

    tasks = [Task("advice", name, "v10", None, 1) for name in ("live", "die")]
    run = carry_out_tasks(
        tasks,
        dying,
        TypeAdapter(list[Advised]),
        lambda result: True,
        lambda task, found, why: [Advised(value=-len(found), name=why)],
        jobs=2,
        cache=Kept(),
    )
    found = {(task.name, result.value, result.name) for task, result, _ in run}
    why = "the process of this task was lost: killed by signal 9 (SIGKILL)"
    assert found == {("live", 1, "live"), ("live", 2, "live"), ("die", 1, "die"), ("die", -1, why)}
    assert kept == ["live"]


def test_a_program_and_its_children_end_with_the_block() -> None:
    with program(["sh", "-c", "sleep 1000 & echo $!; wait"]) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_a_program_that_takes_too_long() -> None:
    assert run_program(["sh", "-c", "echo said; exit 3"]).status == 3
    with pytest.raises(TimeoutError):
        run_program(["sleep", "1000"], seconds=0.1)
    with pytest.raises(FileNotFoundError):
        run_program(["/nonexistent/program"])


def test_a_signal_becomes_an_exception() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted), caught():
        signal.raise_signal(signal.SIGTERM)
    assert (received(), exit_code()) == ("SIGTERM", 143)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_waits_for_the_end_of_a_section() -> None:
    done = []

    def work() -> None:
        with held():
            signal.raise_signal(signal.SIGHUP)
            done.append("section")
        done.append("never")

    with pytest.raises(Interrupted), caught():
        work()
    assert done == ["section"]


def test_a_signal_in_a_finalizer_is_not_lost() -> None:
    class Dropped:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def work() -> None:
        dropped = Dropped()
        del dropped
        time.sleep(60)

    begun = time.monotonic()
    with pytest.raises(Interrupted), caught():
        work()
    assert time.monotonic() - begun < 30


def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with caught():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(VARIABLE, "0.02")
    with Pulse(None) as pulse:
        pulse.update(pulse.add_task("theorems", total=142, last=""), completed=34)
        pulse.update(pulse.add_task("outcomes", total=None, last=""), completed=5)
        time.sleep(0.5)
    err = capsys.readouterr().err.splitlines()
    assert len(err) > 1
    assert err[0] == "sealspec: theorems 34 of 142, outcomes 5; 0 min 0 s so far"
    monkeypatch.setenv(VARIABLE, "soon")
    with pytest.raises(BadUsage, match="MSEAL_SPEC_PROGRESS=soon: give a number of seconds"):
        Pulse(None)


# commands -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ENDING, ids=lambda number: signal.Signals(number).name)
def test_a_signal_while_modules_are_imported(number: int) -> None:
    """In the first moments there is nothing to report, and no traceback either."""
    with closing(start(*PROVE)) as session:
        session.wait_for(lambda: heeds(session))
        session.send(number)
        clean(*session.result(), number)
        assert not session.left()


def heeds(session: Session) -> bool:
    """It handles the signals by now."""
    lines = Path(f"/proc/{session.pid}/status").read_text().splitlines()
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize(("jobs", "number"), [("1", signal.SIGINT), ("2", signal.SIGTERM)])
def test_a_signal_while_workers_work(jobs: str, number: int) -> None:
    """What was decided is reported; no process is left, and so no reader of the output waits."""
    with closing(
        start("prove", "--no-cache", "--jobs", jobs, "-c", "mseal", "-c", "mprotect", "--json", "-")
    ) as session:
        session.wait_for(lambda: len(session.workers()) == int(jobs))
        session.send(number)
        code, out, err = session.result()
        assert not session.left(10)
        clean(code, err, "", number)
        assert json.loads(out)["complete"] is False


def test_workers_do_not_outlive_a_killed_parent() -> None:
    with closing(start(*PROVE)) as session:
        session.wait_for(lambda: len(session.workers()) == 2)
        session.send(signal.SIGKILL)
        session.result()
        assert not session.left(10)


def test_a_killed_worker_is_an_error_of_its_task(tmp_path: Path) -> None:
    """The rest goes on."""
    report = tmp_path / "report.json"
    options = ("-c", "munmap", "-c", "mseal", "--no-mutants", "--no-lemmas", "--json", str(report))
    with closing(start(*PROVE, *options)) as session:
        session.wait_for(session.workers)
        os.kill(session.workers()[0].pid, signal.SIGKILL)
        code, out, err = session.result()
        assert code == 1 and err == "", err
        assert not session.left(10)
    told = json.loads(report.read_text())
    (problem,) = told["problems"]
    assert problem["verdict"] == "error" and "killed by signal 9 (SIGKILL)" in problem["why"]
    assert f"error: {problem['task']}: {problem['why']}" in out
    assert told["complete"] or "theorems" in problem["task"]
    assert any(theorem["verdict"] == "proved" for theorem in told["theorems"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize(
    "arguments",
    [PROVE, ("matrix", "-e", "v10", "--no-cache"), ("report", "--out", "out", "--no-cache"), ("conform",)],
    ids=lambda arguments: arguments[0],
)
def test_random_moments(
    arguments: tuple[str, ...], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL is for the parent, whose workers end with it; the others are answered."""
    monkeypatch.chdir(tmp_path)
    moment = random.Random(f"{arguments[0]} {number}").uniform(0, 6)
    with closing(start(*arguments)) as session:
        session.wait_for(partial(heeds, session))
        time.sleep(moment)
        if session.process.poll() is None:
            session.send(number)
            result = session.result()
            assert not session.left(10)
            if number != signal.SIGKILL:
                clean(*result, number)
    assert not [path.name for path in tmp_path.iterdir() if path.name not in ("out", "differences")]
