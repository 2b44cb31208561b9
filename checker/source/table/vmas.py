# SPDX-License-Identifier: MIT
"""Walking over the VMAs: iterators are at a VMA, before the first one, or where they begin."""

from __future__ import annotations

from typing import Any

from checker.source.errors import Fault, NotCovered
from checker.source.operators import as_address
from checker.source.table import assumed
from checker.source.values import Addr, Iter, Ref, Word
from spec.terms import Num, le, lt

_TREE = "include/linux/mm.h, mm/vma.h, mm/internal.h"


def page_of(m: Any, a: Any) -> Num:
    """The page of an address that lies at its beginning."""
    address = as_address(a)
    if address is None:
        raise NotCovered("an address that is not known to be a whole page")
    if address.byte:
        raise NotCovered("an address within a page, given to a function of the table")
    return address.page


@assumed("__vma_iterator", says="an iterator that begins there", source=_TREE, looks=False)
def vma_iterator(m: Any, mm: Any, addr: Any) -> Iter:
    return Iter(addr)


@assumed("vma_iter_init", says="the iterator begins there", source=_TREE, looks=False)
def vma_iter_init(m: Any, it: Any, mm: Any, addr: Any) -> None:
    it = it.scope[it.name] if isinstance(it, Ref) else it
    it.start, it.at, it.before_first = addr, None, False


@assumed("vma_iter_set", says="the iterator begins there", source=_TREE, looks=False)
def vma_iter_set(m: Any, it: Any, addr: Any) -> None:
    it.start, it.at, it.before_first = addr, None, False


def _begun(it: Any) -> Iter:
    if not isinstance(it, Iter):
        raise NotCovered("an iterator that is none")
    if it.start is None:
        raise Fault("an iterator is used before it was set")
    return it


def _found(m: Any, it: Iter, i: int) -> Any:
    it.at, it.before_first = m.structs[i], False
    return it.at


def _next_index(m: Any, it: Iter) -> int:
    if it.before_first:
        return 0
    if it.at is None:
        found: int = m.space.index(page_of(m, it.start))
        return found
    return int(m.index(it.at)) + 1


@assumed("vma_find", says="the next VMA that begins below the limit, or NULL", source=_TREE)
def vma_find(m: Any, it: Any, limit: Any) -> Any:
    i = _next_index(m, _begun(it))
    vmas = m.space.vmas
    if i < len(vmas) and m.decide(lt(vmas[i].start, page_of(m, limit))):
        return _found(m, it, i)
    return None


@assumed("vma_next", says="the next VMA, or NULL", source=_TREE)
def vma_next(m: Any, it: Any) -> Any:
    i = _next_index(m, _begun(it))
    return _found(m, it, i) if i < len(m.space.vmas) else None


@assumed("vma_iter_load", says="the VMA at the iterator's place, or NULL", source=_TREE)
def vma_iter_load(m: Any, it: Any) -> Any:
    it = _begun(it)
    if it.at is not None:
        m.index(it.at)
        return it.at
    start = page_of(m, it.start)
    i = m.space.index(start)
    if i < len(m.space.vmas) and m.decide(le(m.space.vmas[i].start, start)):
        return _found(m, it, i)
    return None


@assumed("vma_prev", says="the VMA before, or NULL", source=_TREE)
def vma_prev(m: Any, it: Any) -> Any:
    it = _begun(it)
    i = (m.space.index(page_of(m, it.start)) if it.at is None else m.index(it.at)) - 1
    if i < 0:
        it.at, it.before_first = None, True
        return None
    return _found(m, it, i)


@assumed("vma_iter_end", says="the end of the VMA at the iterator's place", source=_TREE)
def vma_iter_end(m: Any, it: Any) -> Addr:
    return Addr(m.record(_begun(it).at).end)


@assumed("vma_iter_addr", says="a place that is not after the range (it only rewinds a loop)", source=_TREE)
def vma_iter_addr(m: Any, it: Any) -> Addr:
    return Addr(0)


@assumed("find_vma", says="the first VMA that ends above the address, or NULL", source="mm/mmap.c")
def find_vma(m: Any, mm: Any, addr: Any) -> Any:
    i = m.space.index(page_of(m, addr))
    return m.structs[i] if i < len(m.structs) else None


@assumed("find_vma_prev", says="as find_vma, and the VMA before that", source="mm/mmap.c")
def find_vma_prev(m: Any, mm: Any, addr: Any, before: Any) -> Any:
    i = m.space.index(page_of(m, addr))
    m.store(before, m.structs[i - 1] if i else None)
    return m.structs[i] if i < len(m.structs) else None


@assumed("vma_lookup", says="the VMA that holds the address, or NULL", source="include/linux/mm.h")
def vma_lookup(m: Any, mm: Any, addr: Any) -> Any:
    page = page_of(m, addr)
    i = m.space.index(page)
    if i < len(m.structs) and m.decide(le(m.space.vmas[i].start, page)):
        return m.structs[i]
    return None


@assumed(
    "find_vma_intersection", says="the first VMA that reaches into the range, or NULL", source="include/linux/mm.h"
)
def find_vma_intersection(m: Any, mm: Any, start: Any, end: Any) -> Any:
    i = m.space.index(page_of(m, start))
    if i < len(m.structs) and m.decide(lt(m.space.vmas[i].start, page_of(m, end))):
        return m.structs[i]
    return None


@assumed("vma_pages", says="its length in pages", source="include/linux/mm.h")
def vma_pages(m: Any, vma: Any) -> Word:
    record = m.record(vma)
    return Word(record.end - record.start, 64, False)


@assumed("mm_map_count", says="mm->map_count", source="include/linux/mm_types.h")
def mm_map_count(m: Any) -> Word:
    return Word(m.space.map_count, 32, True)


@assumed("get_sysctl_max_map_count", says="vm.max_map_count", source="mm/mmap.c, include/linux/mm.h")
def max_map_count(m: Any) -> Word:
    return Word(m.space.max_map_count, 32, True)
