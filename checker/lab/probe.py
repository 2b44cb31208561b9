# SPDX-License-Identifier: MIT
"""Which edition a kernel is, from what it does: never from its version string.

A probe is a short scenario to whose last step editions give different answers; up to there all give the same. The
probes are run on the kernel, and their answers compared with those of the concrete reading of each edition that is a
kernel. An edition matches if it agrees with all of them. Each behaviour that tells kernel editions apart has a probe of
its own, so that a kernel which mixes the behaviours of two is taken for neither (tests/lab/test_probe.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from checker.documents.base import Document
from checker.documents.scenarios import Difference, Kernel, Scenario
from checker.lab.batches import Machine, answered
from checker.lab.errors import LabError
from checker.lab.run import Kernel as Place
from checker.lab.run import RunReport, run_scenarios
from checker.scenario import WINDOW, compare, run_scenario
from checker.version import WrittenBy
from spec.advice import ADVICE
from spec.editions import EDITIONS, KERNELS
from spec.words import PAGE_SHIFT, PAGE_SIZE

READ, READ_WRITE = 1, 3
PRIVATE, FIXED = 0x22, 0x10
SHARED, FILE_PRIVATE, NORESERVE = 0x01, 0x02, 0x4000
MAYMOVE, TO_FIXED, DONTUNMAP = 1, 2, 4
Step = dict[str, object]


@dataclass(frozen=True, slots=True)
class Probe:
    """A scenario and what it tells apart."""

    name: str
    about: str
    steps: tuple[Step, ...]

    def scenario(self, *, pkeys: bool) -> Scenario:
        """The scenario, for a processor with or without protection keys."""
        return Scenario.model_validate({"name": self.name, "kernel": Kernel(pkeys=pkeys), "steps": self.steps})


def _at(page: int) -> int:
    return (WINDOW + page) << PAGE_SHIFT


def _range(page: int, pages: int) -> Step:
    return {"addr": _at(page), "len": pages * PAGE_SIZE}


def _map(page: int, pages: int, prot: int = READ_WRITE) -> Step:
    return {"call": "mmap", **_range(page, pages), "prot": prot, "flags": PRIVATE | FIXED}


def _map_file(page: int, pages: int, offset: int, kind: int = FILE_PRIVATE) -> Step:
    flags = {"prot": READ_WRITE, "flags": kind | FIXED, "fd": 100, "off": offset * PAGE_SIZE}
    return {"call": "mmap", **_range(page, pages), **flags}


def _seal(page: int, pages: int) -> Step:
    return {"call": "mseal", **_range(page, pages)}


def _protect(page: int, pages: int, prot: int) -> Step:
    return {"call": "mprotect", **_range(page, pages), "prot": prot}


def _write(page: int, byte: int = 7) -> Step:
    return {"call": "write", "addr": _at(page), "byte": byte}


def _advise(page: int, pages: int, advice: str) -> Step:
    return {"call": "madvise", **_range(page, pages), "behavior": ADVICE[advice]}


def _move(page: int, old: int, new: int, flags: int = 0, to: int | None = None) -> Step:
    where = 0 if to is None else _at(to)
    sizes = {"old_len": old * PAGE_SIZE, "new_len": new * PAGE_SIZE}
    return {"call": "mremap", "addr": _at(page), **sizes, "flags": flags, "new_addr": where}


PROBES: Final = (
    Probe(
        "advice-mask",
        "harmless advice on sealed read-only memory: refused by v10, whose test is a bit mask",
        (_map(0, 1, READ), _seal(0, 1), _advise(0, 1, "MADV_RANDOM")),
    ),
    Probe(
        "protect-prefix",
        "mprotect over a writable VMA and a sealed one: from 6.12 on the first has changed when it fails",
        (_map(0, 2), _seal(1, 1), _protect(0, 2, READ)),
    ),
    Probe(
        "unmap-cut",
        "munmap from the middle of a VMA up to a sealed one: from 6.12 on its refusal leaves a cut",
        (_map(0, 3), _seal(2, 1), {"call": "munmap", **_range(1, 2)}),
    ),
    Probe(
        "shared-copy",
        "mremap with old size 0 of sealed shared memory: up to 6.11 it makes a sealed copy",
        (
            {"call": "mmap", **_range(0, 1), "prot": READ, "flags": 1 | FIXED, "fd": 100},
            _seal(0, 1),
            _move(0, 0, 1, MAYMOVE | TO_FIXED, 4),
        ),
    ),
    Probe(
        "several-moved",
        "mremap over two VMAs: from 6.17 on both move",
        (_map(0, 1), _map(1, 1, READ), _move(0, 2, 2, MAYMOVE | TO_FIXED, 8)),
    ),
    Probe(
        "guard-pages",
        "MADV_GUARD_INSTALL: unknown before 6.13",
        (_map(0, 2), _advise(0, 1, "MADV_GUARD_INSTALL")),
    ),
    Probe(
        "file-guards",
        "MADV_GUARD_INSTALL in a shared file mapping: refused before 6.15",
        (_map_file(0, 2, 0, SHARED), _advise(0, 1, "MADV_GUARD_INSTALL")),
    ),
    Probe(
        "sealed-or-unaligned",
        "mremap of a sealed VMA to an address that is not aligned: EPERM from 6.12 to 6.14, EINVAL before and after",
        (_map(0, 1), _seal(0, 1), {**_move(0, 1, 1, MAYMOVE | TO_FIXED, 4), "new_addr": _at(4) + 8}),
    ),
    Probe(
        "uncharged-source",
        "a new mapping behind what MREMAP_DONTUNMAP left: not merged in 6.15 and 6.16, which no longer charge for that",
        (_map(0, 2), _move(0, 2, 2, MAYMOVE | TO_FIXED | DONTUNMAP, 8), _map(2, 1)),
    ),
    Probe(
        "half-unlocked",
        "MREMAP_DONTUNMAP of a part of a locked VMA: from 6.15 to 7.2.9 all of the VMA is unlocked",
        (
            _map(0, 3),
            {"call": "mlock", **_range(0, 3)},
            _move(1, 1, 1, MAYMOVE | TO_FIXED | DONTUNMAP, 8),
        ),
    ),
    Probe(
        "kept-offset",
        "a new mapping behind what MREMAP_DONTUNMAP left of memory that was moved before: not merged from 6.15 to 7.1",
        (
            {**_map(0, 2), "flags": PRIVATE | FIXED | NORESERVE},
            _write(0),
            _move(0, 2, 2, MAYMOVE | TO_FIXED, 4),
            _move(4, 2, 2, MAYMOVE | TO_FIXED | DONTUNMAP, 8),
            {**_map(6, 1), "flags": PRIVATE | FIXED | NORESERVE},
        ),
    ),
    Probe(
        "device-contents",
        "MADV_DONTNEED on a sealed read-only private mapping of /dev/zero: refused from 6.17 on",
        (
            {"call": "mmap", **_range(0, 1), "prot": READ, "flags": FILE_PRIVATE | FIXED, "fd": 102},
            _seal(0, 1),
            _advise(0, 1, "MADV_DONTNEED"),
        ),
    ),
    Probe(
        "prepared-file",
        "a guard page in a private file mapping, and a written part of the file moved beside it: one VMA since the "
        "cursor was fixed, two from 6.16 until then",
        (
            _map_file(0, 1, 0),
            _advise(0, 1, "MADV_GUARD_INSTALL"),
            _map_file(5, 1, 1),
            _write(5),
            _move(5, 1, 1, MAYMOVE | TO_FIXED, 1),
        ),
    ),
    Probe(
        "special-dofork",
        "MADV_DOFORK of a special mapping, the vdso: refused from 7.0 on",
        ({"call": "vdso", "addr": _at(8)}, _advise(8, 1, "MADV_DOFORK")),
    ),
    Probe(
        "unfaulted-merge",
        "written memory beside memory that was never written: from 6.16 on they merge",
        (_map(0, 2), _advise(1, 1, "MADV_DONTDUMP"), _write(1), _advise(1, 1, "MADV_DODUMP")),
    ),
    Probe(
        "stale-cursor",
        "sealing over a VMA that merges with the next: the stale cursor of 6.17 (CVE-2026-23416) leaves a cut",
        (_map(0, 6), _seal(0, 1), _seal(2, 2), _seal(0, 6)),
    ),
    Probe(
        "kept-source",
        "MREMAP_DONTUNMAP of memory that was never written, to right beside it: from 6.15 to 7.2.9 one VMA, else two",
        (_map(0, 1), _move(0, 1, 1, MAYMOVE | TO_FIXED | DONTUNMAP, 1)),
    ),
    Probe(
        "room-to-shrink",
        "mremap that shrinks with two free maps: refused from 7.1 on, which asks for four first",
        (_map(0, 2), {"call": "fill", "free": 2}, _move(0, 2, 1)),
    ),
)
"""The probes. Each pair of editions that are kernels is told apart."""


class ProbeResult(Document):
    """One probe on one kernel."""

    name: str
    about: str
    asked: bool = Field(
        default=True,
        description="false: this machine does not allow its preparation (a limit, no vdso), and it counts for nothing",
    )
    agrees: tuple[str, ...] = Field(description="editions that give the kernel's answers")
    differences: dict[str, tuple[Difference, ...]] = Field(
        description="by edition: where it differs; expected: what the kernel gave"
    )


class ProbeReport(Document):
    """What a kernel turned out to be."""

    format: Literal["mseal-spec/probe/1"] = "mseal-spec/probe/1"
    tool: WrittenBy = None
    kernel: str = Field(description="its release, which was not consulted")
    has_pkeys: bool
    edition: str | None = Field(
        description="the one edition that agrees with every probe that could be asked; null: none does, or several do"
    )
    nearest: str = Field(description="the edition that agrees with the most probes; the newest of several")
    probes: tuple[ProbeResult, ...]

    @property
    def differing(self) -> tuple[ProbeResult, ...]:
        """The probes with which the nearest edition does not agree."""
        return tuple(probe for probe in self.probes if probe.asked and self.nearest not in probe.agrees)

    @property
    def missing(self) -> tuple[ProbeResult, ...]:
        """The probes that could not be asked here."""
        return tuple(probe for probe in self.probes if not probe.asked)

    def verdict(self) -> str:
        """What the kernel behaves as, in words."""
        if self.edition is not None:
            return f"behaves as edition {self.edition}"
        if self.differing:
            return (
                f"behaves as no edition; nearest is {self.nearest}, from which it differs in {len(self.differing)} of "
                f"{len(self.probes)} probes"
            )
        agreeing = [name for name in KERNELS if all(name in one.agrees for one in self.probes if one.asked)]
        names = ", ".join(result.name for result in self.missing)
        return (
            f"behaves as {' or '.join(agreeing)}; what would tell them apart cannot be asked on this machine: {names}"
        )


def probe(place: Place, *, editions: Sequence[str] = KERNELS, report: RunReport | None = None) -> ProbeReport:
    """Ask a kernel which of the editions it is. `report` is filled in.

    Raises LabError where it cannot be asked; a kernel without mseal is said to be one.
    """
    told = report if report is not None else RunReport()
    asked = [one.scenario(pkeys=True).model_dump(mode="json") for one in PROBES]
    answers = list(run_scenarios(asked, place, report=told))
    assert told.hello is not None, "a kernel that answers has greeted"
    results = []
    for one, answer in zip(PROBES, answers, strict=True):
        if "error" in answer:
            raise LabError(f"{place.describe()}: the probe {one.name} did not end: {answer['error']}")
        machine = Machine(told.hello.release, Kernel(pkeys=told.hello.has_pku))
        results.append(_result(one, answered(answer, machine), editions))
    score = {name: sum(name in result.agrees for result in results if result.asked) for name in editions}
    nearest = max(reversed(editions), key=lambda name: score[name])
    best = [name for name in editions if score[name] == sum(result.asked for result in results)]
    return ProbeReport(
        kernel=told.hello.release,
        has_pkeys=told.hello.has_pku,
        edition=best[0] if len(best) == 1 else None,
        nearest=nearest,
        probes=tuple(results),
    )


def _result(one: Probe, seen: Scenario, editions: Sequence[str]) -> ProbeResult:
    """Compare a kernel's answers to a probe with those of the editions."""
    refused = [n for n, step in enumerate(seen.steps[:-1]) if step.errno]
    plain = one.scenario(pkeys=seen.kernel.pkeys)
    runs = [run_scenario(plain, EDITIONS[name]).steps for name in editions if refused]
    refused_here = any(all(run[n].errno == 0 for run in runs) for n in refused)
    differences = {
        name: found for name in editions if (found := tuple(compare(seen, run_scenario(seen, EDITIONS[name]))))
    }
    return ProbeResult(
        name=one.name,
        about=one.about,
        asked=not refused_here,
        agrees=tuple(name for name in editions if name not in differences),
        differences=differences,
    )
