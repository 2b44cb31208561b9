# SPDX-License-Identifier: MIT
"""madvise: what each behaviour refuses and does to contents, by the specification of it. The walk, the seal tests and
the behaviours that change flags are read."""

from __future__ import annotations

from typing import Any

from checker.source.errors import NotCovered
from checker.source.table import assumed, nothing
from checker.source.table.basics import OK, failure
from checker.source.table.flags import flags_from
from checker.source.table.vmas import page_of
from checker.source.values import Addr, Flags, Record, Word, combine, flags_of
from spec.advice import COLD, COLLAPSE, GUARD_INSTALL, GUARD_REMOVE, PAGEOUT, REMOVE, WILLNEED
from spec.arguments import Advise
from spec.space import Refused, Visit
from spec.syscalls import madvise
from spec.terms import Num

_SOURCE = "mm/madvise.c"


def _advice(behavior: Any) -> Num:
    if isinstance(behavior, Word) and behavior.known:
        return behavior.number
    if isinstance(behavior, Word):
        return behavior.term  # type: ignore[return-value]
    raise NotCovered("advice that is no number")


def _advised(m: Any, vma: Any, start: Any, end: Any, advice: Num) -> Any:
    """One behaviour on the part of a VMA: its own checks, then what it does to the pages."""
    record = m.record(vma)
    step = Visit(page_of(m, start), page_of(m, end))
    for condition, errno, _ in madvise.own_checks(m.space.edition, advice, record, step):
        if m.decide(condition):
            return failure(errno)
    madvise._discard(m.space.edition, advice, record, step)
    m.space.affect(record, step)
    return OK


def _given(m: Any, given: tuple[Any, ...]) -> tuple[Any, Any, Any, Any]:
    """VMA, start, end and behaviour, as 6.12 hands them on or in 7.x's struct madvise_behavior; tells the walk which
    VMA it is at."""
    if len(given) == 1 and isinstance(given[0], Record):
        it = given[0]
        part = m.field(it, "range")
        return m.field(it, "vma"), m.field(part, "start"), m.field(part, "end"), m.field(it, "behavior")
    if len(given) in (4, 5):
        vma, prev, start, end = given[:4]
        m.store(prev, vma)
        return vma, start, end, given[4] if len(given) == 5 else None
    raise NotCovered(f"{len(given)} arguments of a behaviour of madvise")


def _enter(name: str, advice: int, says: str, versions: str = "6.9 to 7.3") -> None:
    @assumed(name, says=says, source=_SOURCE, versions=versions)
    def behaviour(m: Any, *given: Any) -> Any:
        vma, start, end, _ = _given(m, given)
        return _advised(m, vma, start, end, advice)


_enter("madvise_remove", REMOVE, "MADV_REMOVE: the object's pages read zero")
_enter("madvise_willneed", WILLNEED, "MADV_WILLNEED: nothing")
_enter("madvise_cold", COLD, "MADV_COLD: nothing")
_enter("madvise_pageout", PAGEOUT, "MADV_PAGEOUT: what is lazily free or droppable is lost")
_enter("madvise_guard_install", GUARD_INSTALL, "MADV_GUARD_INSTALL: guard pages", "6.13 to 7.3")
_enter("madvise_guard_remove", GUARD_REMOVE, "MADV_GUARD_REMOVE: guard pages are gone", "6.13 to 7.3")


@assumed("madvise_dontneed_free", says="MADV_DONTNEED, MADV_FREE: contents are lost, or lazily free", source=_SOURCE)
def madvise_dontneed_free(m: Any, *given: Any) -> Any:
    vma, start, end, behavior = _given(m, given)
    return _advised(m, vma, start, end, _advice(behavior))


@assumed("madvise_collapse", says="MADV_COLLAPSE: nothing", source="mm/khugepaged.c")
def madvise_collapse(m: Any, vma: Any, *rest: Any) -> Any:
    if len(rest) != 3:
        raise NotCovered("arguments of madvise_collapse")
    start, end = (rest[0], rest[1]) if isinstance(rest[0], Addr) else (rest[1], rest[2])
    if not isinstance(rest[0], Addr):
        m.store(rest[0], vma)
    return _advised(m, vma, start, end, COLLAPSE)


def _with_flags(m: Any, vma: Any, advice: Num, flags: Any, *bits: str) -> None:
    after = flags_of(madvise.advised(advice, m.record(vma)))
    kept = combine("&", flags_from(m, flags), Flags(dict.fromkeys(bits, False), True, 15))
    m.store(flags, combine("|", kept, Flags({name: after.bit(name) for name in bits})))


@assumed("ksm_madvise", says="MADV_MERGEABLE, MADV_UNMERGEABLE: the flag, where memory may merge", source="mm/ksm.c")
def ksm_madvise(m: Any, vma: Any, start: Any, end: Any, behavior: Any, flags: Any) -> Any:
    _with_flags(m, vma, _advice(behavior), flags, "mergeable")
    return OK


@assumed("hugepage_madvise", says="MADV_HUGEPAGE and MADV_NOHUGEPAGE: the flags", source="mm/khugepaged.c")
def hugepage_madvise(m: Any, vma: Any, flags: Any, behavior: Any) -> Any:
    _with_flags(m, vma, _advice(behavior), flags, "thp_always", "thp_never")
    return OK


@assumed(
    "madvise_inject_error", says="EPERM: poisoning memory needs CAP_SYS_ADMIN", source=_SOURCE, ignores=True
)  # fmt: skip
def madvise_inject_error(m: Any, *given: Any) -> Any:
    return failure(1)


@assumed("madvise_populate", says="MADV_POPULATE: faults the range in, as far as that goes", source=_SOURCE)
def madvise_populate(m: Any, *given: Any) -> Any:
    if len(given) == 1 and isinstance(given[0], Record):
        part = m.field(given[0], "range")
        start, end, behavior = m.field(part, "start"), m.field(part, "end"), m.field(given[0], "behavior")
    elif len(given) == 4:
        _, start, end, behavior = given
    else:
        raise NotCovered("arguments of madvise_populate")
    try:
        madvise._populate(m.space, Advise(page_of(m, start), page_of(m, end), _advice(behavior)))
    except Refused as refused:
        return failure(refused.errno)
    return OK


@assumed("try_vma_read_lock", says="takes the mmap lock for reading: one VMA's lock does the same", source=_SOURCE)
def try_vma_read_lock(m: Any, it: Any) -> bool:
    m.call("mmap_read_lock", [m.field(it, "mm")], None)
    m.set_field(it, "lock_mode", m.name("MADVISE_MMAP_READ_LOCK"))
    return False


nothing("vma_end_read", "madvise_init_tlb", "madvise_finish_tlb", says="a lock of one VMA; page tables", source=_SOURCE)
