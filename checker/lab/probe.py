"""Which edition a kernel is, from what it does: never from its version string.

A probe is a short scenario to which editions give different answers. The probes are run on the kernel, and their
answers compared with those of the concrete reading of each edition that is a kernel. An edition matches if it agrees
with all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from checker.documents.base import Document
from checker.documents.scenarios import Difference, Kernel, Scenario
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
        "unfaulted-merge",
        "written memory beside memory that was never written: from 6.16 on they merge",
        (_map(0, 2), _advise(1, 1, "MADV_DONTDUMP"), _write(1), _advise(1, 1, "MADV_DODUMP")),
    ),
    Probe(
        "stale-cursor",
        "sealing over a VMA that merges with the next: the stale cursor of 6.17 leaves a cut that 6.18.44 does not",
        (_map(0, 6), _seal(0, 1), _seal(2, 2), _seal(0, 6)),
    ),
    Probe(
        "kept-source",
        "MREMAP_DONTUNMAP of memory that was never written, to right beside it: one VMA in 6.17 and 6.18, two before "
        "and in 7.3",
        (_map(0, 1), _move(0, 1, 1, MAYMOVE | TO_FIXED | DONTUNMAP, 1)),
    ),
    Probe(
        "room-to-shrink",
        "mremap that shrinks with two free maps: refused by 7.3, which asks for four first",
        (_map(0, 2), {"call": "fill", "free": 2}, _move(0, 2, 1)),
    ),
)
"""The probes, in the order in which kernels came to differ. Each pair of editions that are kernels is told apart."""


class ProbeResult(Document):
    """One probe on one kernel."""

    name: str
    about: str
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
    edition: str | None = Field(description="the edition that agrees with every probe; null: none does")
    nearest: str = Field(description="the edition that agrees with the most probes")
    probes: tuple[ProbeResult, ...]

    @property
    def differing(self) -> tuple[ProbeResult, ...]:
        """The probes with which the nearest edition does not agree."""
        return tuple(probe for probe in self.probes if self.nearest not in probe.agrees)


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
        scenario = one.scenario(pkeys=told.hello.has_pku)
        seen = Scenario.model_validate({**scenario.model_dump(), "steps": answer["steps"]})
        differences = {
            name: found for name in editions if (found := tuple(compare(seen, run_scenario(scenario, EDITIONS[name]))))
        }
        agrees = tuple(name for name in editions if name not in differences)
        results.append(ProbeResult(name=one.name, about=one.about, agrees=agrees, differences=differences))
    score = {name: sum(name in result.agrees for result in results) for name in editions}
    nearest = max(editions, key=lambda name: score[name])
    return ProbeReport(
        kernel=told.hello.release,
        has_pkeys=told.hello.has_pku,
        edition=nearest if score[nearest] == len(results) else None,
        nearest=nearest,
        probes=tuple(results),
    )
