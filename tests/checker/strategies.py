# SPDX-License-Identifier: MIT
"""Hypothesis strategies: well-formed concrete address spaces, and calls on them with decoded arguments.

What is drawn is small and near the edges where things happen: VMAs that touch and nearly merge, a map_count at its
limit half of the time, ranges that begin and end in the middle of a VMA or one page beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from checker.concrete import State
from checker.examples import Example
from spec.advice import known_advice
from spec.arguments import (
    Advise,
    Break,
    Map,
    Move,
    NewKey,
    Nothing,
    PageRange,
    PlainProtect,
    Protect,
    Reclaim,
    Rights,
    Write,
    fits_in_space,
)
from spec.editions import Edition, System
from spec.mapping import LARGEST_FILE_PAGES
from spec.terms import Num
from spec.vma import (
    ANONYMOUS,
    BACKINGS,
    DEVZERO,
    EMPTY_PAGE,
    FILE,
    HUGE_PAGES,
    HUGETLB,
    SPECIAL,
    Page,
    Vma,
    has_file,
    is_anonymous,
)
from spec.words import PAGES, TASK_PAGES

WINDOW = 0x2_0000_0000
"""First page of the window (a multiple of a huge page)."""
SIZE = 12
"""Pages of the window: all VMAs that are drawn lie in it."""
OBJECTS = {FILE: (1, 2), DEVZERO: (3,), HUGETLB: (4,)}
"""Objects by the backing that they can be mapped with."""
OBJECT_PAGES = 32
"""Offsets below this may hold something."""

Draw = Callable[[st.SearchStrategy[Any]], Any]

RARELY = st.sampled_from((False, False, False, False, True))
OFTEN = st.sampled_from((True, True, True, True, False))


def _fresh_vma(draw: Draw, start: int, end: int, keys: list[int]) -> Vma:
    backing = draw(st.sampled_from((ANONYMOUS, ANONYMOUS, ANONYMOUS, FILE, FILE, *BACKINGS)))
    file = backing in (FILE, HUGETLB)
    may_share = file and draw(st.booleans())
    may_write = draw(OFTEN)
    shared = may_share and (may_write or draw(st.booleans()))
    may_read, may_exec = draw(OFTEN), draw(OFTEN)
    anon_vma = 0 if shared else draw(st.sampled_from((0, 0, 7, 8)))
    plain = backing == ANONYMOUS
    droppable = plain and draw(RARELY)
    offset = start if plain and anon_vma == 0 else draw(st.sampled_from((start,) if plain else (0, 1, 4)))
    return Vma(
        start=start,
        end=end,
        read=may_read and draw(OFTEN),
        write=may_write and draw(st.booleans()),
        exec=may_exec and draw(RARELY),
        may_read=may_read,
        may_write=may_write,
        may_exec=may_exec,
        shared=shared,
        may_share=may_share,
        backing=backing,
        object=draw(st.sampled_from(OBJECTS[backing])) if backing in OBJECTS else 0,
        offset=offset,
        anon_vma=anon_vma,
        inherited=anon_vma > 0 and draw(RARELY),
        pkey=draw(st.sampled_from([0, 0, *keys])),
        sealed=draw(st.sampled_from((False, False, True))),
        opened_read_only=backing == FILE and not may_share and draw(RARELY),
        sync=draw(RARELY),
        locked=backing != SPECIAL and not droppable and draw(RARELY),
        growsdown=plain and draw(RARELY),
        dontfork=draw(RARELY),
        wipeonfork=backing in (ANONYMOUS, SPECIAL) and draw(RARELY),
        droppable=droppable,
        dontdump=draw(RARELY),
        mergeable=draw(RARELY),
        reading=draw(st.sampled_from((0, 0, 0, 1, 2))),
        thp=draw(st.sampled_from((0, 0, 0, 1, 2))),
        account=draw(RARELY),
        noreserve=droppable or draw(RARELY),
    )


def _like(draw: Draw, before: Vma, start: int, end: int) -> Vma:
    """A VMA that goes on where the one before it ends, alike but for one thing, so that a call makes them merge."""
    offset: Num = before.offset + (start - before.start)
    anon_vma: Num = before.anon_vma if draw(OFTEN) or before.shared else draw(st.sampled_from((0, 7, 8)))
    if before.backing == ANONYMOUS and anon_vma == 0:
        offset = start
    vma = replace(
        before, start=start, end=end, offset=offset, anon_vma=anon_vma, inherited=before.inherited and anon_vma != 0
    )
    change = draw(st.sampled_from(("none", "sealed", "sealed", "write", "read", "locked", "reading", "dontfork")))
    if change == "sealed":
        return replace(vma, sealed=not vma.sealed)
    if change == "write":
        return replace(vma, write=vma.may_write and not vma.write)
    if change == "read":
        return replace(vma, read=vma.may_read and not vma.read)
    if change == "locked":
        return replace(vma, locked=not vma.locked and not vma.droppable and vma.backing != SPECIAL)
    if change == "reading":
        return replace(vma, reading=1 - vma.reading % 2)
    return replace(vma, dontfork=not vma.dontfork) if change == "dontfork" else vma


def _page(draw: Draw, vma: Vma) -> Page:
    kinds = ["empty"]
    if vma.anon_vma != 0 and not vma.may_share:
        kinds += ["copied", "copied"]
        if is_anonymous(vma):
            kinds.append("lazy")
    kind = draw(st.sampled_from(kinds))
    if kind == "empty":
        return EMPTY_PAGE
    return Page(copied=True, own=draw(st.integers(0, 3)), lazy=kind == "lazy")


@st.composite
def states(draw: Draw) -> State:
    """A well-formed address space of up to four VMAs in the window."""
    count = draw(st.sampled_from((1, 2, 3, 4, 2, 3, 1, 0)))
    keys = draw(st.sampled_from(([], [1], [1, 2], list(range(1, 16)))))
    vmas: list[Vma] = []
    at = WINDOW
    for i in range(count):
        at += draw(st.sampled_from((0, 0, 0, 1, 2)))
        end = at + draw(st.sampled_from((1, 2, 3)))
        if end > WINDOW + SIZE - (count - 1 - i):
            break
        touching = bool(vmas) and vmas[-1].end == at
        vmas.append(_like(draw, vmas[-1], at, end) if touching and draw(OFTEN) else _fresh_vma(draw, at, end, keys))
        at = end
    pages: dict[int, Page] = {}
    objects: dict[tuple[int, int], int] = {}
    for vma in vmas:
        for number in range(int(vma.start), int(vma.end)):  # type: ignore[arg-type]
            page = _page(draw, vma)
            if page != EMPTY_PAGE:
                pages[number] = page
            if has_file(vma) and draw(st.booleans()):
                objects[int(vma.object), int(vma.offset) + number - int(vma.start)] = draw(st.integers(1, 3))  # type: ignore[arg-type]
    sizes = {
        number: draw(st.sampled_from((OBJECT_PAGES, OBJECT_PAGES, 1, 2))) for of in OBJECTS.values() for number in of
    }
    objects = {key: value for key, value in objects.items() if key[1] < sizes[key[0]]}
    start_brk = WINDOW + draw(st.integers(0, SIZE - 1))
    brk = start_brk + draw(st.integers(0, 4))
    if vmas and draw(st.booleans()):
        start_brk, brk = int(vmas[-1].start), int(vmas[-1].end)  # type: ignore[arg-type]
    elsewhere = draw(st.integers(9, 12))
    near = draw(st.booleans())
    exec_key = draw(st.sampled_from((0, 0, keys[-1]))) if keys else 0
    return State(
        vmas=vmas,
        pages=pages,
        objects=objects,
        sizes=sizes,
        elsewhere=elsewhere,
        max_map_count=elsewhere + len(vmas) + draw(st.integers(-1, 3)) if near else 65530,
        start_brk=start_brk,
        brk=brk,
        pkeys={0, *keys},
        exec_key=exec_key,
        pkru=draw(st.sampled_from((0x5555_5554, 0, 0x5555_5550, 0x4, 0x8, 0x1, 0x2, 0x24))),
    )


def _place(draw: Draw, state: State) -> int:
    """A page at, in or beside some VMA."""
    edges = [int(e) for vma in state.vmas for e in (vma.start, vma.end)] or [WINDOW]  # type: ignore[arg-type]
    return draw(st.sampled_from(edges)) + draw(st.sampled_from((0, 0, 0, 1, -1, 2)))  # type: ignore[no-any-return]


def _range(draw: Draw, state: State) -> tuple[int, int]:
    a, b = sorted((_place(draw, state), _place(draw, state)))
    if a == b:
        b += draw(st.integers(1, 4))
    if draw(st.integers(0, 19)) == 19:
        b = draw(st.sampled_from((TASK_PAGES, TASK_PAGES + 5, PAGES - 1)))
    return a, b


def _protect(draw: Draw, state: State, edition: Edition, keyed: bool) -> Protect:
    start, end = _range(draw, state)
    ways = ((False, False), (False, False), (False, False), (True, False), (False, True))
    down, up = draw(st.sampled_from(ways if edition.system is System.LINUX else ways[:1]))
    rights = {"read": draw(OFTEN), "write": draw(st.booleans()), "exec": draw(RARELY)}
    if draw(RARELY):
        rights = {"read": False, "write": False, "exec": True}
    if keyed:
        return Protect(
            start=start,
            end=end,
            **rights,
            growsdown=down,
            growsup=up,
            pkey=draw(st.sampled_from((-1, 0, 1, 2, 15, 16))),
        )
    return PlainProtect(start=start, end=end, **rights, growsdown=down, growsup=up, pkey=-1)


def _map(draw: Draw, state: State) -> Map:
    aligned = draw(st.sampled_from((True, True, True, True, True, False)))
    page = draw(st.sampled_from((0, 3, TASK_PAGES - 1))) if draw(RARELY) else _place(draw, state)
    pages = draw(st.sampled_from((1, 1, 2, 2, 3, 4)))
    if draw(st.integers(0, 19)) == 19:
        pages = draw(st.sampled_from((TASK_PAGES + 1, PAGES - 1)))
    noreplace, sync = draw(RARELY), draw(RARELY)
    file = draw(st.sampled_from((0, 0, 0, 1, 2, 3)))
    read, write, execute = draw(OFTEN), draw(OFTEN), draw(RARELY)
    huge_pages = draw(st.integers(1, 2)) if file == 0 and draw(RARELY) else 0
    if huge_pages:
        page, pages = page // HUGE_PAGES * HUGE_PAGES if draw(OFTEN) else page, huge_pages * HUGE_PAGES
    return Map(
        page=page,
        pages=pages,
        aligned=aligned,
        fits=bool(fits_in_space(page, pages, aligned)),
        small=pages <= TASK_PAGES,
        fixed=noreplace or draw(st.sampled_from((True, True, False))),
        noreplace=noreplace,
        type=draw(st.sampled_from((2, 2, 2, 1, 1, 3, 8, 0))),
        read=read,
        write=write,
        exec=execute,
        exec_only=execute and not read and not write and draw(OFTEN),
        file=file,
        object=file,
        offset=draw(st.sampled_from((0, 1, 2, 4, LARGEST_FILE_PAGES))) if file or huge_pages else 0,
        growsdown=draw(RARELY),
        locked=draw(RARELY),
        noreserve=draw(RARELY),
        populate=draw(RARELY),
        low=draw(RARELY),
        stack=draw(RARELY),
        sync=sync,
        huge=huge_pages > 0,
        huge_pages=huge_pages,
        unsupported=noreplace or sync or draw(RARELY),
    )


def _move(draw: Draw, state: State) -> Move:
    old = _place(draw, state)
    old_pages = draw(st.sampled_from((1, 2, 3, 1, 2, 0, 5)))
    new_pages = draw(st.sampled_from((1, 2, 3, 1, 2, 4, 5)))
    if draw(st.integers(0, 19)) == 19:
        new_pages = draw(st.sampled_from((TASK_PAGES + 1, PAGES - 1)))
    if draw(st.integers(0, 19)) == 19:
        old_pages = draw(st.sampled_from((TASK_PAGES, PAGES - old, PAGES - old + 2, PAGES - 1)))
    dontunmap = draw(RARELY)
    if dontunmap:
        new_pages = old_pages = max(1, old_pages)
    fixed = draw(st.booleans())
    new = draw(st.sampled_from((0, 3, WINDOW + SIZE, TASK_PAGES - 1))) if draw(st.booleans()) else _place(draw, state)
    aligned = draw(st.sampled_from((True, True, True, True, True, False)))
    wrapped = old + old_pages
    return Move(
        old=old,
        old_pages=old_pages,
        new_pages=new_pages,
        old_end=wrapped if wrapped < PAGES else wrapped - PAGES,
        new=new,
        new_aligned=aligned,
        new_fits=bool(fits_in_space(new, new_pages, aligned)),
        may_move=fixed or dontunmap or draw(st.booleans()),
        fixed=fixed,
        dontunmap=dontunmap,
    )


def _arguments(draw: Draw, call: str, state: State, edition: Edition) -> Any:
    if call in ("mprotect", "pkey_mprotect"):
        return _protect(draw, state, edition, call == "pkey_mprotect")
    if call == "mmap":
        return _map(draw, state)
    if call == "mremap":
        return _move(draw, state)
    if call == "madvise":
        start, end = _range(draw, state)
        return Advise(start=start, end=end, advice=draw(st.sampled_from(known_advice(edition))))
    if call == "brk":
        where = draw(st.sampled_from((state.start_brk, state.brk, state.brk + 3)))
        return Break(
            page=max(0, where + draw(st.sampled_from((0, 1, -1, 2))))
            if draw(OFTEN)
            else draw(st.sampled_from((0, TASK_PAGES + 1)))
        )
    if call == "write":
        return Write(page=_place(draw, state), byte=draw(st.integers(0, 255)))
    if call == "reclaim":
        return Reclaim(page=_place(draw, state))
    if call == "pkru":
        access = tuple(draw(st.lists(st.booleans(), min_size=16, max_size=16)))
        return Rights(access, tuple(a or draw(st.booleans()) for a in access))
    if call == "pkey_alloc":
        access = draw(st.booleans())
        return NewKey(access, access or draw(st.booleans()))
    if call == "fork":
        return Nothing()
    return PageRange(*_range(draw, state))


@st.composite
def examples(draw: Draw, call: str, edition: Edition, failures: tuple[str, ...] = ()) -> Example:
    """A well-formed address space and a call on it; `failures` are what the environment may make fail."""
    state = draw(states())
    arguments = _arguments(draw, call, state, edition)
    assert all(fact is True for fact in arguments.facts(edition)), arguments
    failing = frozenset({draw(st.sampled_from(failures))}) if failures and draw(RARELY) else frozenset()
    return Example(state, call, arguments, failing)
