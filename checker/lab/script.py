# SPDX-License-Identifier: MIT
"""Scenario documents to the oracle's script, and the oracle's answers back to documents.

The two line-based forms are described at the top of ``guest/oracle.c``; the documents are
those of the recorded kernel runs: ``{"name", "steps": [{"call", arguments...}]}`` where an
answered step also has ``ret``, ``errno``, ``vmas`` and ``bytes``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from checker.lab.errors import LabError


class BadStep(Exception):
    """A step or scenario that the script cannot express; the message says what is wrong."""


ANSWER_FIELDS = ("ret", "errno", "vmas", "bytes")
"""Fields of a step that the kernel fills in; ignored in an input."""

_CALLS: Mapping[str, tuple[str, tuple[str, ...], frozenset[str]]] = {
    "mmap": ("m", ("addr", "len", "prot", "flags", "fd", "off"), frozenset({"fd", "off"})),
    "munmap": ("u", ("addr", "len"), frozenset()),
    "mprotect": ("p", ("addr", "len", "prot"), frozenset()),
    "pkey_mprotect": ("k", ("addr", "len", "prot", "pkey"), frozenset()),
    "mremap": ("r", ("addr", "old_len", "new_len", "flags", "new_addr"), frozenset({"new_addr"})),
    "madvise": ("a", ("addr", "len", "behavior"), frozenset()),
    "mseal": ("s", ("addr", "len", "flags"), frozenset({"flags"})),
    "mlock": ("l", ("addr", "len"), frozenset()),
    "munlock": ("n", ("addr", "len"), frozenset()),
    "brk": ("b", ("addr",), frozenset()),
    "pkey_alloc": ("A", ("flags", "rights"), frozenset({"flags", "rights"})),
    "pkey_free": ("D", ("pkey",), frozenset()),
    "pkru": ("P", ("bits",), frozenset()),
    "write": ("w", ("addr", "byte"), frozenset()),
    "fill": ("f", ("free",), frozenset()),
    "fork": ("F", (), frozenset()),
    "vdso": ("v", ("addr",), frozenset()),
    "reclaim": ("R", ("addr",), frozenset()),
    "file": ("o", ("fd", "pages"), frozenset()),
}
"""Call name: its letter in the script, its arguments in order, those that may be left out."""

_DEFAULTS = {"fd": -1}
"""What an argument that was left out is; 0 where not named here."""


@dataclass(frozen=True)
class ScriptOptions:
    """Settings at the top of a script.

    ``limit_ms``: a scenario that runs longer (milliseconds) is killed and reported.
    ``max_map_count``: vm.max_map_count in a guest (never set on the host); None leaves it.
    ``swap_mib``: size in MiB of a guest's swap on a zram disk; 0 for none.
    ``huge_pages``: how many a guest sets aside (vm.nr_hugepages).
    """

    limit_ms: int = 20_000
    max_map_count: int | None = None
    swap_mib: int = 0
    huge_pages: int = 0


def _number(value: object) -> str:
    """Return one argument as the script writes it; raises :class:`BadStep` if it is no number."""
    prefix = ""
    if isinstance(value, bool):
        raise BadStep(f"{value!r} is not a number")
    if isinstance(value, str):
        text = value
        if text.startswith("brk+"):
            prefix, text = "b", text[4:]
        number = int(text, 0)
    elif isinstance(value, int):
        number = value
    else:
        raise BadStep(f"{value!r} is not a number")
    if not -(1 << 63) <= number < 1 << 64:
        raise BadStep(f"{value!r} does not fit 64 bits")
    digits = f"{abs(number):x}"
    if digits.startswith("b"):  # a leading b means "relative to the break"
        digits = "0" + digits
    return prefix + ("-" if number < 0 else "") + digits


def encode_step(step: Mapping[str, object]) -> str:
    """Return a step as the script writes it, without the end of its last line; raises :class:`BadStep` if it cannot."""
    call = step.get("call")
    if not isinstance(call, str) or call not in _CALLS:
        raise BadStep(f"unknown call {call!r}")
    letter, names, optional = _CALLS[call]
    words = [letter]
    for name in names:
        if name in step:
            words.append(_number(step[name]))
        elif name in optional:
            words.append(_number(_DEFAULTS.get(name, 0)))
        else:
            raise BadStep(f"{call} lacks {name!r}")
    if call == "file" and step.get("contents"):
        words.append(str(step["contents"]))
    limits = limits_of(step)
    return (f"X {limits:x}\n" if limits else "") + " ".join(words)


_AS, _MEMLOCK = 1, 2
_LIMITS: Mapping[str, int] = {
    "brk: memory or a limit on it runs out": _AS,
    "mlock: RLIMIT_MEMLOCK has no room": _MEMLOCK,
    "mmap: RLIMIT_AS has no room": _AS,
    "mmap: RLIMIT_AS or the accounting has no room": _AS,
    "mmap: RLIMIT_MEMLOCK has no room": _MEMLOCK,
    "mremap: RLIMIT_AS has no room for both copies": _AS,
    "mremap: RLIMIT_MEMLOCK has no room": _MEMLOCK,
    "mremap: RLIMIT_AS has no room": _AS,
}
"""Failures of the environment that a program can bring about itself, and the limits that it lowers for that."""
NO_MEMORY = "mmap: memory for the new VMA runs out"
"""A failure that a program brings about by asking for huge pages (MAP_HUGETLB) where there are none."""
MAP_HUGETLB = 0x40000


def limits_of(step: Mapping[str, object]) -> int:
    """Return the limits (bits of the script's X line) that have no room in a step.

    Raises :class:`BadStep` for a failure that nothing on a real kernel brings about at will.
    """
    bits = 0
    failures = step.get("failures")
    flags = step.get("flags")
    asks_for_huge_pages = isinstance(flags, int) and bool(flags & MAP_HUGETLB)
    for name in failures if isinstance(failures, (list, tuple)) else ():
        if name == NO_MEMORY and asks_for_huge_pages:
            continue
        if name not in _LIMITS:
            raise BadStep(f"no program can bring about at will that {name}")
        bits |= _LIMITS[name]
    return bits


def steps_of(scenario: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return a scenario's steps; raises :class:`BadStep` if they are not a list of objects."""
    steps = scenario.get("steps")
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise BadStep("no list of steps")
    result: list[Mapping[str, object]] = []
    for step in steps:
        if not isinstance(step, Mapping):
            raise BadStep("a step is not an object")
        result.append(step)
    return result


def encode(scenarios: Iterable[tuple[int, Mapping[str, object]]], options: ScriptOptions) -> bytes:
    """Return the script of numbered scenarios.

    Raises :class:`LabError` naming the scenario and step that cannot be expressed.
    """
    lines = [f"L {options.limit_ms:x}"]
    if options.max_map_count is not None:
        lines.append(f"M {options.max_map_count:x}")
    if options.swap_mib:
        lines.append(f"Z {options.swap_mib:x}")
    if options.huge_pages:
        lines.append(f"G {options.huge_pages:x}")
    for number, scenario in scenarios:
        lines.append(f"S {number}")
        at = "scenario"
        try:
            for index, step in enumerate(steps_of(scenario)):
                at = f"step {index}"
                lines.append(encode_step(step))
        except (BadStep, ValueError) as error:
            name = scenario.get("name")
            raise LabError(f"scenario {number} ({name!r}), {at}: {error}") from None
    return ("\n".join(lines) + "\n").encode("ascii")


@dataclass(frozen=True)
class Hello:
    """What the oracle says of the kernel that it runs on, before any scenario.

    ``release``: uname's release.  ``has_pku``: the CPU has protection keys and the kernel
    uses them.  ``max_map_count``: the limit in force.  ``has_mseal``: mseal answers.
    ``has_swap``: there is somewhere to swap to.
    """

    release: str
    has_pku: bool
    max_map_count: int
    has_mseal: bool
    has_swap: bool


def decode_hello(line: str) -> Hello:
    """Return what an ``H`` line says; raises :class:`LabError` if it is not one."""
    fields = line.split("\t")
    if len(fields) != 6 or fields[0] != "H":
        raise LabError(f"the oracle's first line is not a greeting: {line[:80]!r}")
    return Hello(fields[1], fields[2] == "1", int(fields[3]), fields[4] == "1", fields[5] == "1")


def decode(scenario: Mapping[str, object], lines: Sequence[str], end: str) -> dict[str, object]:
    """Return a scenario with its answers filled in.

    ``lines`` are the oracle's step lines, ``end`` how the scenario ended (``ok``,
    ``signal N``, ...).  Where it did not end well the result holds the steps that were
    answered and a field ``error``.  Raises :class:`LabError` on a line that is no answer.
    """
    vmas: list[str] = []
    contents = ""
    answered: list[dict[str, object]] = []
    asked = steps_of(scenario)
    if len(lines) > len(asked):
        raise LabError(f"{len(lines)} answers to {len(asked)} steps")
    for step, line in zip(asked, lines, strict=False):
        fields = line.split("\t")
        if len(fields) != 4:
            raise LabError(f"not an answer: {line[:120]!r}")
        ret, errno, vmas_text, bytes_text = fields
        if vmas_text != "=":
            vmas = [] if vmas_text == "-" else vmas_text.split(";")
        if bytes_text != "=":
            contents = "" if bytes_text == "-" else bytes_text
        answer = {key: value for key, value in step.items() if key not in ANSWER_FIELDS}
        answer["ret"] = ret
        answer["errno"] = int(errno)
        answer["vmas"] = list(vmas)
        answer["bytes"] = contents
        answered.append(answer)
    result: dict[str, object] = {"name": scenario.get("name"), "steps": answered}
    if end != "ok" or len(answered) != len(asked):
        result["error"] = f"{end} after {len(answered)} of {len(asked)} steps"
    return result
