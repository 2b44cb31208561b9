"""Mutants: each check of the specification is dropped in turn, and some theorem must break.

The list of checks is not written by hand: it is what the calls came to when all their paths were explored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import z3

from checker.calls import ExploredCall, explore_arguments, walk_body, words_of
from checker.prove import Prover
from proofs.results import MutantResult
from proofs.theorems import theorems
from spec.documented import DOCUMENTED
from spec.editions import Edition, SealCheck
from spec.errors import Errno
from spec.properties import Property
from spec.syscalls import CALLS
from spec.terms import not_

_NO_KEY = "mprotect passes no key, so that the check never refuses"
_SAME_GAP = "the loop finds the same gap, gives the same errno, and has changed nothing by then"
_FOUND_LATER = "the gathering finds it sealed as well; this test only saves the cut before it (6.12 and later)"
_NO_PROMISE = "whether a special mapping may be inherited again is promised by nobody (7.3 and later)"
_NEVER_CUT = "special and huge VMAs are exempt from locking, so that none is ever cut"
_NEVER_CUT_AHEAD = _NEVER_CUT + " (two passes)"
_NOT_ALONE = "that it is refused only together with others is promised by nobody (6.17 and later)"
_TOO_LONG = "no free range is that long, and none to grow into: refused as well, with ENOMEM (6.17 and later)"
SURVIVORS: dict[tuple[str, str], str] = {
    (
        "mmap",
        "mmap: the length is beyond TASK_SIZE",
    ): "no free range is that long, and a fixed one is tested again: the same errno",
    (
        "mmap",
        "mmap: MAP_SHARED_VALIDATE does not know MAP_FIXED_NOREPLACE",
    ): "no property says which flags go together; what is mapped is mapped as asked",
    ("mprotect", "mprotect: the protection key is not allocated"): _NO_KEY,
    ("mprotect", "mprotect: the range begins with an unmapped page"): _SAME_GAP,
    ("pkey_mprotect", "mprotect: the range begins with an unmapped page"): _SAME_GAP,
    ("mlock", "the VMA refuses to be split"): _NEVER_CUT,
    ("munlock", "the VMA refuses to be split"): _NEVER_CUT,
    ("mlock", "the VMA at the end of the range would refuse its split"): _NEVER_CUT_AHEAD,
    ("munlock", "the VMA at the end of the range would refuse its split"): _NEVER_CUT_AHEAD,
    ("madvise", "madvise: MADV_REMOVE without a file"): "memory without a file is not shared: EACCES instead of EINVAL",
    ("madvise", "madvise: MADV_DOFORK of a special mapping"): _NO_PROMISE,
    ("munmap", "munmap: the first VMA to unmap is sealed"): _FOUND_LATER,
    ("mmap", "mmap: the first VMA to unmap is sealed"): _FOUND_LATER,
    ("brk", "brk: the first VMA to unmap is sealed"): _FOUND_LATER,
    ("mremap", "mremap onto: the first VMA to unmap is sealed"): _FOUND_LATER,
    ("mremap", "mremap tail: the first VMA to unmap is sealed"): _FOUND_LATER,
    (
        "brk",
        "brk: nothing is mapped there any more",
    ): "brk(2) promises nothing about a heap that was unmapped piecemeal",
    ("mremap", "mremap onto: a hole inside one VMA would exceed the map-count limit"): (
        "six free maps were asked for before, so that it never refuses"
    ),
    ("mremap", "mremap tail: a VMA to unmap is sealed"): "the whole old range was tested for seals before (up to 6.11)",
    ("mremap", "mremap: a move to a given address wants six free maps"): (
        "the later test for four free maps refuses too; this one saves the destination, which other failures do not"
    ),
    ("mremap", "mremap: huge pages do not grow"): "growing huge pages is refused later as well, with EFAULT",
    ("mremap", "mremap: a private mapping of /dev/zero is not moved with others"): _NOT_ALONE,
    ("mremap", "mremap: the new size is beyond TASK_SIZE"): _TOO_LONG,
    ("mremap", "mremap: the page offset wraps around"): "no page offset is large enough: it never refuses",
}
"""(call, check) whose absence breaks no theorem, with the reason."""


_UNPROTECTED = "what this test protects is not protected in this edition: it looks at the first VMA again and again"
_ROOM_BEFORE = "four free maps were asked for before the first change, so that room for this one is left (7.x)"
OF_EDITION: dict[str, dict[tuple[str, str], str]] = {
    "munmap-variant": {
        **{
            (call, f"{caller}: a VMA to unmap is sealed"): _UNPROTECTED
            for call, caller in (
                ("munmap", "munmap"),
                ("mmap", "mmap"),
                ("brk", "brk"),
                ("mremap", "mremap onto"),
                ("mremap", "mremap tail"),
            )
        },
        **{(call, f"{call}: the first VMA to unmap is sealed"): "" for call in ("munmap", "mmap", "brk")},
    },
    "v7.3": {
        ("mremap", "mremap tail: a hole inside one VMA would exceed the map-count limit"): _ROOM_BEFORE,
        ("mremap", "mremap: a move wants room for its splits"): _ROOM_BEFORE,
    },
}
"""What is otherwise in an edition; an empty reason: the check is needed there."""
UP_FRONT_ONLY = frozenset({("mremap", "mremap tail: a VMA to unmap is sealed")})
"""Survivors only where the seals of the whole range are tested up front."""

_LATER = (_FOUND_LATER, _NO_PROMISE, _NEVER_CUT_AHEAD, _NOT_ALONE, _TOO_LONG)
LATER_ONLY = frozenset(key for key, reason in SURVIVORS.items() if reason in _LATER)
"""Survivors that v10 does not have."""


_FORESEEN = "decided before the pass or the cut that it ends (two passes)"
_SPLIT_AGAIN = "the cut itself refuses with the same errno, and nothing has changed by then (two passes)"
FORESEEN: dict[str, str] = {
    "no room under the map-count limit for a split": _FORESEEN,
    "the VMA refuses to be split": _FORESEEN,
    "the VMA at the start of the range would refuse its split": _SPLIT_AGAIN,
}
"""Checks whose absence may break no theorem of an edition that decides in two passes, with the reason."""


def body_checks(explored: ExploredCall) -> list[str]:
    """The checks of a call's body, less those that the environment decides."""
    return sorted(explored.world.checks - explored.world.environment_checks)


def argument_checks(call: str, edition: Edition) -> list[str]:
    """The checks of a call's argument stage."""
    return sorted({check for path in explore_arguments(call, edition) for check in path.checks})


def holding(call: str, edition: Edition) -> list[Property]:
    """The properties that the call is expected to keep, those that fail soonest first."""
    first = ("success-does-what-it-says", "never-unmapped", "map-count-stays-in-bounds", "special-stays-whole")
    found = [t.property for t in theorems(edition, calls=[call]) if not t.broken]
    return sorted(found, key=lambda p: first.index(p.name) if p.name in first else len(first))


def kill_body_mutant(
    call: str, edition: Edition, check: str, props: Sequence[Property], timeout_ms: int
) -> MutantResult:
    """Drop a check of the body and look for a theorem that breaks."""
    started = time.perf_counter()
    explored, paths = walk_body(call, edition, check)
    prover = Prover(explored, timeout_ms)
    killed = ""
    for path in paths:
        if not path.space.let_passed:
            continue  # this path never came to the check, or the check would have let it pass: nothing is different
        broken = prover.first_broken(props, path)
        if broken is not None and broken[1] == "sat":
            killed = broken[0]
            break
    return _result(call, check, killed, started, edition)


def kill_argument_mutant(call: str, edition: Edition, check: str) -> MutantResult:
    """Drop a check of the argument stage: the documented errors or the bridge must break."""
    started = time.perf_counter()
    documented = DOCUMENTED[call][0](words_of(CALLS[call]), edition) if call in DOCUMENTED else {}
    killed = ""
    for path in explore_arguments(call, edition, check):
        if path.errno is Errno.OK:
            queries = [("argument-errors", z3.Or(list(documented.values())) if documented else z3.BoolVal(False))]
            if path.decoded is not None:
                queries += [("bridge", not_(f)) for f in path.decoded.facts(edition) if f is not True]
        else:
            wanted = documented.get(path.errno)
            queries = [("argument-errors", z3.BoolVal(True) if wanted is None else z3.Not(wanted))]
        for name, query in queries:
            solver = z3.SimpleSolver()
            solver.add(*path.conditions, query)
            if solver.check() == z3.sat:
                killed = killed or name
    return _result(call, check, killed, started, edition)


def _result(call: str, check: str, killed: str, started: float, edition: Edition) -> MutantResult:
    reason = SURVIVORS.get((call, check), "")
    if (call, check) in UP_FRONT_ONLY and edition.seals is not SealCheck.UP_FRONT:
        reason = ""
    reason = OF_EDITION.get(edition.name, {}).get((call, check), reason)
    survived = not killed
    if survived and not reason and edition.seals is SealCheck.TWO_PASS:
        reason = FORESEEN.get(check, "")
    return MutantResult(
        call=call,
        check=check,
        killed_by=killed,
        survived=survived,
        as_expected=survived == bool(reason),
        reason=reason,
        seconds=round(time.perf_counter() - started, 3),
    )


def mutants_of(call: str, edition: Edition, explored: ExploredCall, timeout_ms: int) -> Iterator[MutantResult]:
    """Drop every check of a call in turn."""
    for check in argument_checks(call, edition):
        yield kill_argument_mutant(call, edition, check)
    props = holding(call, edition)
    for check in body_checks(explored):
        yield kill_body_mutant(call, edition, check, props, timeout_ms)
