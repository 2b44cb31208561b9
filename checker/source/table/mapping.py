# SPDX-License-Identifier: MIT
"""Splits, merges and unmapping: by the list engine that is held against real kernels (docs/METHOD.md)."""

from __future__ import annotations

from typing import Any

from checker.source.errors import Fault, NotCovered
from checker.source.operators import truth
from checker.source.space import Modified
from checker.source.table import assumed
from checker.source.table.basics import OK, failure
from checker.source.table.flags import flags_from
from checker.source.table.vmas import page_of
from checker.source.values import ErrPtr, Iter, Record, Struct, flags_of, unsayable, with_flags
from spec.errors import Errno
from spec.space import Refused
from spec.terms import Bool, larger, not_, or_, smaller
from spec.vma import Vma


def _written(m: Any, what: str) -> None:
    if m.lock != "write":
        raise Fault(f"{what} without the mmap lock held for writing")


def _left_known(m: Any, prev: Any, i: int) -> bool:
    """The VMA before number i is the one that the caller names. Raises Fault if it names one that is neither."""
    if prev is None:
        return i == 0
    p = m.index(prev)
    if p not in (i, i - 1):
        raise Fault("prev is neither the VMA nor the one before it")
    return bool(p == i - 1)


@assumed(
    "vma_modify_flags", "vma_modify_flags_name", "vma_modify_name",
    says="merges the part with a neighbour, or splits: only a merge gives the new flags", source="mm/vma.c vma_modify",
)  # fmt: skip
def vma_modify_flags(m: Any, it: Any, prev: Any, vma: Any, start: Any, end: Any, flags: Any, *rest: Any) -> Any:
    _written(m, "a VMA is split or merged")
    space, i = m.space, m.index(vma)
    before: Vma = space.vmas[i]
    wanted = flags_from(m, flags)
    if m.decide(unsayable(before, wanted)):
        raise NotCovered("vm_flags that the model has no room for")
    first, last = page_of(m, start), page_of(m, end)
    after = with_flags(before, wanted)
    done = space.modify(i, first, last, after, left_known=_left_known(m, prev, i), no_room=Errno.ENOMEM)
    result = _placed(m, i, first, done)
    if isinstance(result, Struct):
        if not (done.left or done.right):
            k = m.index(result)
            space.vmas[k] = with_flags(space.vmas[k], flags_of(before))
        if isinstance(it, Iter):
            it.at, it.before_first = result, False
    return result


def _placed(m: Any, i: int, first: Any, done: Modified) -> Any:
    """Which VMA is which after a modification of number i, and what the kernel returns."""
    s: list[Struct] = m.structs
    if done.refused is None and done.left and done.right:
        s[i - 1 : i + 2] = [s[i - 1]]
        return s[i - 1]
    if done.refused is None and done.left:
        s[i - 1 : i + 1] = [s[i - 1], *([s[i]] if done.grown == 0 else [])]
        return s[i - 1]
    if done.refused is None and done.right:
        kept, result = [s[i]] if done.grown == 0 else [], s[i + 1]
        s[i : i + 2] = [*kept, result]
        return result
    at_start = bool(done.splits) and done.splits[0] is first
    vma = s[i]
    s[i : i + 1] = [*([Struct()] if at_start else []), vma, *([Struct()] if done.grown > at_start else [])]
    return vma if done.refused is None else ErrPtr(int(done.refused))


@assumed("__split_vma", says="cuts the VMA there, whatever map_count is", source="mm/vma.c, mm/mmap.c")
def split_vma_unchecked(m: Any, it: Any, vma: Any, addr: Any, new_below: Any) -> Any:
    _written(m, "a VMA is split")
    i = m.index(vma)
    refused = m.space.cut(i, page_of(m, addr))
    if refused is not None:
        return failure(refused)
    below = m.decide(truth(new_below))
    m.structs[i : i + 1] = [Struct(), vma] if below else [vma, Struct()]
    if isinstance(it, Iter):
        it.at, it.before_first = vma, False
    return OK


@assumed("split_vma", says="as __split_vma, if map_count is below its limit", source="mm/vma.c, mm/mmap.c")
def split_vma(m: Any, it: Any, vma: Any, addr: Any, new_below: Any) -> Any:
    m.index(vma)
    if m.decide(m.space.at_limit()):
        return failure(Errno.ENOMEM)
    return split_vma_unchecked(m, it, vma, addr, new_below)


@assumed(
    "vms_complete_munmap_vmas", says="the gathered range is unmapped; the lock is let go if so asked",
    source="mm/vma.c", versions="6.12 to 7.3",
)  # fmt: skip
def vms_complete_munmap_vmas(m: Any, vms: Any, mas: Any) -> None:
    if not isinstance(vms, Record):
        raise NotCovered("a vma_munmap_struct that is none")
    unmap(m, page_of(m, m.field(vms, "start")), page_of(m, m.field(vms, "end")))
    if m.decide(truth(m.field(vms, "unlock"))):
        m.lock = ""


def unmap(m: Any, start: Any, end: Any) -> None:
    """Remove the VMAs of a range."""
    _written(m, "a range is unmapped")
    m.removing(lambda: m.space.unmap(start, end))


@assumed("populate_vma_page_range", says="faults the range in, as far as that goes", source="mm/gup.c")
def populate_vma_page_range(m: Any, vma: Any, start: Any, end: Any, locked: Any) -> Any:
    m.record(vma)
    m.space.lock(page_of(m, start), page_of(m, end))
    return OK


@assumed("mlock_vma_pages_range", says="the VMA has these flags, and its pages follow", source="mm/mlock.c")
def mlock_vma_pages_range(m: Any, vma: Any, start: Any, end: Any, flags: Any) -> None:
    m.call("vm_flags_reset", [vma, flags], None)


@assumed("__mm_populate", says="faults the range in; EFAULT at a page that cannot be", source="mm/gup.c", looks=False)
def mm_populate(m: Any, start: Any, length: Any, ignore_errors: Any) -> Any:
    if m.decide(not_(truth(length))):
        return OK
    m.look("__mm_populate", start, length, ignore_errors)
    first = page_of(m, start)
    last = first + page_of(m, length)
    space = m.space
    space.lock(first, last)
    try:
        space.check_each(first, last, lambda vma: _stuck(space, vma, first, last), Errno.EFAULT, "a page is missing")
    except Refused as refused:
        return failure(refused.errno)
    return OK


def _stuck(space: Any, vma: Vma, first: Any, last: Any) -> Bool:
    return or_(space.cannot_fault_in(vma), space.faults_fail(vma, larger(first, vma.start), smaller(last, vma.end)))
