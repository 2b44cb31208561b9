# SPDX-License-Identifier: MIT
"""What success promises leaves nothing open: one field that is otherwise after a call that succeeded breaks it.

Each transition is a real one, of the concrete reading: random ones, and one made by hand for each case that chance
rarely meets. In the state after it one thing at a time is made otherwise: an attribute of the mapping at a page, what
the page holds, whether it is mapped, what an object holds, the break, a protection key. Some property that is proved of
the call has to notice. What need not be noticed is in FREE, with the fact about the kernel that leaves it open; an
entry that is not needed fails the test as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import cache
from random import Random
from typing import Any

import pytest

from checker.concrete import State, TooManyPages
from checker.examples import Example
from checker.random_cases import WINDOW, RandomCases
from proofs.soak import Case
from proofs.theorems import theorems
from spec.advice import ADVICE
from spec.arguments import Advise, Break, Map, Move, PageRange, Reclaim, Write
from spec.editions import EDITIONS, Edition
from spec.errors import Errno
from spec.mapping import MAP_DROPPABLE
from spec.properties import PROPERTIES, Property
from spec.syscalls import CALLS
from spec.terms import Bool, Num
from spec.transition import PageView, Snapshot, Transition
from spec.vma import ATTRIBUTES, EMPTY_PAGE, FILE, HUGETLB, Page, Vma, has_file, is_anonymous, offset_at
from spec.words import PAGE_SIZE

PROMISES = ("success-does-what-it-says", "move-keeps-locks", "move-keeps-charges", "execute-only-has-its-key")
"""The properties that may notice."""
PLAIN = Vma(start=WINDOW, end=WINDOW + 4, read=True, write=True, offset=WINDOW, account=True)
SEEDS, MOST = 200, 3
"""Random address spaces of an edition, and transitions of one kind that are looked at."""


@dataclass(frozen=True)
class Free:
    """What a promise leaves open: of calls of this kind, a field at such a page; and why."""

    kind: str
    field: str
    where: str
    reason: str

    def covers(self, kind: str, field: str, where: str) -> bool:
        return fnmatchcase(kind, self.kind) and self.field == field and fnmatchcase(where, self.where)


FREE = (
    Free("*", "anon_vma", "*", "a merge, a first fault and fork share anon_vmas out anew; no program sees them"),
    Free("*", "inherited", "*", "as anon_vma"),
    Free("mlock", "copied", "range", "whether a page had been faulted in before, and so copied, no program sees"),
    Free("mlock", "lazy", "range", "a page that is lazily free is settled when it is faulted in, and so copied"),
    Free("*mprotect", "lazy", "range", "as for mlock: locked memory that becomes writable is faulted in"),
    Free("mmap*populate*", "copied", "range", "a page that MAP_POPULATE found no memory for is faulted in later"),
    Free("mmap*stack*", "thp", "range", "MAP_STACK asks for no huge pages only where the kernel has such"),
    Free("mremap*grows locked", "copied", "*", "new memory of a locked mapping is faulted in as far as there is some"),
    Free("mmap*shared memory", "object", "range", "the object that is made may be any that nothing maps"),
    Free("mmap*huge", "object", "range", "the object that is made may be any that nothing maps"),
)


@dataclass(frozen=True)
class Otherwise:
    """A snapshot of which some things are shown otherwise than they are."""

    real: Snapshot
    views: dict[int, PageView] | None = None
    objects: dict[tuple[Num, Num], Num] | None = None
    cuts: frozenset[int] = frozenset()
    changed: dict[str, Any] | None = None
    """By the name of a member, its value; of a function of the key, the keys for which it is turned."""

    def at(self, page: Num) -> PageView:
        return (self.views or {}).get(page) or self.real.at(page)  # type: ignore[call-overload, no-any-return]

    def cut(self, page: Num) -> Bool:
        return bool(self.real.cut(page)) != (page in self.cuts)

    def stored(self, object: Num, offset: Num) -> Num:
        return (self.objects or {}).get((object, offset), self.real.stored(object, offset))

    def object_pages(self, object: Num) -> Num:
        return self.real.object_pages(object)

    def counted(self) -> Num:
        return self.real.counted()

    def __getattr__(self, name: str) -> Any:
        changed = self.changed or {}
        if name in changed and name in ("write_denied", "access_denied", "pkey_allocated"):
            return lambda key: bool(getattr(self.real, name)(key)) != (key in changed[name])
        return changed.get(name, getattr(self.real, name))


# transitions ----------------------------------------------------------------------------------------------------------


def kind_of(t: Transition) -> str:
    """What kind of call it was, as FREE and the list of kinds that must occur name it."""
    to = t.to
    if isinstance(to, Advise):
        return "madvise " + next(name for name, value in ADVICE.items() if value == to.advice)
    if isinstance(to, Map):
        populate = ("stack " if to.stack else "") + ("populate " if to.populate or to.locked else "")
        shared = to.type in (1, 3)
        what = "file" if to.file in (1, 2) else "zero" if to.file == 3 and not shared else "memory"
        if to.huge:
            return f"mmap {populate}huge"
        return f"mmap {populate}{'shared' if shared else 'droppable' if to.type == MAP_DROPPABLE else 'private'} {what}"
    if isinstance(to, Break):
        return "brk " + ("stays" if t.before.brk == t.after.brk else "grows" if t.before.brk < to.page else "shrinks")
    if isinstance(to, Move):
        if to.dontunmap:
            return "mremap leaves"
        if to.old_pages == 0:
            return "mremap duplicates"
        resized = "" if to.old_pages == to.new_pages else " shrinks" if to.new_pages < to.old_pages else " grows"
        locked = " locked" if resized == " grows" and t.before.at(to.old).vma.locked else ""
        return f"mremap {'moves' if t.value != to.old else 'in place'}{resized}{locked}"
    if isinstance(to, Write):
        return "write " + ("shared" if t.before.at(to.page).vma.shared else "private")
    if isinstance(to, Reclaim):
        was = t.before.at(to.page)
        lost = was.mapped and was.page != t.after.at(to.page).page
        return "reclaim " + ("takes" if lost else "leaves")
    return t.call


KINDS = {
    *("mseal", "munmap", "mprotect", "pkey_mprotect", "mlock", "munlock", "fork", "pkru", "pkey_alloc"),
    *("brk stays", "brk grows", "brk shrinks", "write shared", "write private", "reclaim takes", "reclaim leaves"),
    *("mremap leaves", "mremap duplicates", "mremap moves", "mremap moves shrinks", "mremap moves grows"),
    *("mremap in place", "mremap in place shrinks", "mremap in place grows"),
    *("mmap private memory", "mmap shared memory", "mmap private file", "mmap shared file", "mmap private zero"),
    *("mmap populate private memory", "mmap populate shared memory", "mmap populate private file"),
    *("mmap droppable memory", "mmap huge", "mmap populate huge"),
    *(f"madvise {name}" for name in ADVICE if name not in ("MADV_HWPOISON", "MADV_SOFT_OFFLINE")),
}
"""Kinds that must occur; MADV_HWPOISON and MADV_SOFT_OFFLINE need CAP_SYS_ADMIN, and never succeed."""


def by_hand(edition: Edition) -> Iterator[Case]:
    """What random cases rarely meet."""
    at, size = WINDOW * PAGE_SIZE, PAGE_SIZE
    file = replace(PLAIN, start=WINDOW + 8, end=WINDOW + 12, backing=FILE, object=1, offset=3, account=False)
    shared = replace(file, start=WINDOW + 16, end=WINDOW + 20, shared=True, may_share=True)
    written = replace(PLAIN, anon_vma=7)
    lazy = {WINDOW + 1: Page(copied=True, own=2, lazy=True), WINDOW + 2: Page(copied=True, own=3)}
    stored = {(1, 4): 5, (1, 5): 6}
    state = State(vmas=[written, file, shared], pages=lazy, objects=stored, sizes={1: 32}, pkeys={0, 1}, pkru=0)
    huge = replace(PLAIN, end=WINDOW + 512, backing=HUGETLB, object=4, offset=0, account=False)
    for name, value in ADVICE.items():
        for vma in (written, file, shared):
            words = {"addr": (vma.start + 1) * size, "len": 2 * size, "behavior": value}
            yield Case(edition, "madvise", words, state)
            marks = replace(vma, dontfork=True, dontdump=True, mergeable=not vma.shared, reading=1, thp=1)
            yield Case(edition, "madvise", words, replace_vma(state, vma, marks))
        if name == "MADV_COLLAPSE":
            large = replace(written, end=WINDOW + 1024)
            yield Case(edition, "madvise", {"addr": at, "len": size, "behavior": value}, State(vmas=[large]))
        if name in ("MADV_WIPEONFORK", "MADV_KEEPONFORK"):
            yield Case(edition, "madvise", {"addr": at + size, "len": size, "behavior": value}, state)
    for flags in (0x22, 0x21, 0x4022, 0x8022, 0x8021, 0x2022, 0x28, 0x2_0022, 0x122):
        for prot in (3, 4, 1):
            words = {"addr": at + size, "len": 2 * size, "prot": prot, "flags": flags | 0x10}
            yield Case(edition, "mmap", {**words, "file": 0, "object": 0, "off": 0}, state)
    for number, flags in ((1, 2), (1, 1), (2, 2), (2, 1), (3, 2), (3, 1), (1, 0x8002), (2, 0x8002), (3, 0x8002)):
        words = {"addr": at + 10 * size, "len": 3 * size, "prot": 1, "flags": flags, "file": number, "object": 1}
        yield Case(edition, "mmap", {**words, "off": 3 * size}, state)
    for flags in (0x4_0022, 0x4_0021, 0x4_8022):
        words = {"addr": at, "len": 512 * size, "prot": 3, "flags": flags | 0x10, "file": 0, "object": 0, "off": 0}
        yield Case(edition, "mmap", words, replace(state, huge_pages=True))
    heap = replace(state, start_brk=WINDOW, brk=WINDOW + 4)
    for pages in (2, 4, 6):
        yield Case(edition, "brk", {"addr": at + pages * size}, heap)
    locked = replace(written, locked=True)
    for vma in (written, locked, file, shared):
        for old, new, flags in ((2, 2, 3), (2, 2, 5), (4, 4, 7), (3, 1, 3), (2, 2, 0), (3, 1, 0), (4, 6, 1), (2, 6, 1)):
            words = {"addr": vma.start * size, "old_len": old * size, "new_len": new * size, "flags": flags}
            here = replace_vma(state, written, vma) if vma is locked else state
            yield Case(edition, "mremap", {**words, "new_addr": at + 40 * size}, here)
    words = {"addr": shared.start * size, "old_len": 0, "new_len": 2 * size, "flags": 1, "new_addr": 0}
    yield Case(edition, "mremap", words, state)
    yield Case(edition, "write", {"addr": (shared.start + 1) * size, "byte": 9}, state)
    yield Case(edition, "write", {"addr": at + size, "byte": 9}, state)
    yield Case(edition, "reclaim", {"addr": at + size}, state)
    marked = replace(written, wipeonfork=True)
    guarded = replace(state, pages={WINDOW + 1: Page(guard=True), WINDOW + 2: Page(copied=True, own=3)})
    for vma in (marked, locked, replace(written, dontfork=True), written):
        yield Case(edition, "fork", {}, replace_vma(guarded, written, vma))
    for prot in (0, 1, 3, 4, 7):
        for vma in (written, replace(locked, write=False), replace(written, read=False, write=False, exec=True)):
            words = {"addr": at + size, "len": 2 * size, "prot": prot}
            yield Case(edition, "mprotect", words, replace_vma(state, written, vma))
            yield Case(edition, "pkey_mprotect", {**words, "pkey": 1}, replace_vma(state, written, vma))
    yield Case(edition, "munmap", {"addr": at + size, "len": 2 * size}, state)
    yield Case(edition, "mlock", {"addr": at, "len": 4 * size}, state)
    yield Case(edition, "munmap", {"addr": at, "len": 512 * size}, State(vmas=[huge], sizes={4: 512}))


def replace_vma(state: State, old: Vma, new: Vma) -> State:
    return replace(state, vmas=[new if vma is old else vma for vma in state.vmas])


def ended_well(case: Case) -> Transition | None:
    """The transition, if the call gets through its argument stage and succeeds."""
    try:
        example = case.example()
        transition = None if example is None else example.run(case.edition)[0]
    except TooManyPages:
        return None
    return transition if transition is not None and transition.errno is Errno.OK else None


@cache
def transitions(name: str) -> dict[str, list[Transition]]:
    """Transitions that succeed, by kind: those made by hand, and random ones."""
    edition, found = EDITIONS[name], defaultdict[str, list[Transition]](list)
    for case in by_hand(edition):
        made = ended_well(case)
        if made is not None:
            found[kind_of(made)].append(made)
    few = {kind: len(made) + MOST for kind, made in found.items()}
    for seed in range(SEEDS):
        cases = RandomCases(Random(seed))
        state = cases.state()
        for call in CALLS:
            if call == "mseal32" or not edition.has(call):
                continue
            made = ended_well(Case(edition, call, cases.words(call, state, edition), state))
            if made is not None:
                kind = kind_of(made)
                if len(found[kind]) < few.get(kind, MOST):
                    found[kind].append(made)
    return dict(found)


# what is made otherwise -----------------------------------------------------------------------------------------------


def where_of(t: Transition, page: int) -> str:
    """`range`, `moved there`, or `outside`."""
    to = t.to
    if isinstance(to, PageRange):
        inside = to.start <= page < to.end
    elif isinstance(to, Map):
        inside = t.value <= page < t.value + to.pages
    elif isinstance(to, Break):
        inside = min(to.page, t.before.brk) <= page < max(to.page, t.before.brk)
    elif isinstance(to, Move):
        if t.value != to.old and t.value <= page < t.value + to.new_pages:
            return "moved there"
        inside = to.old <= page < to.old + max(to.old_pages, to.new_pages)
    elif isinstance(to, Write | Reclaim):
        inside = page == to.page
    else:
        inside = t.call == "fork"
    return "range" if inside else "outside"


def pages_of(t: Transition, example_pages: list[int]) -> list[int]:
    """Some pages of each kind of place, mapped or not, before the call and after it."""
    chosen: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for page in example_pages:
        was, now = t.before.at(page), t.after.at(page)
        chosen[where_of(t, page), was.mapped, now.mapped, was.page, now.vma.backing].append(page)
    return sorted(some[0] for some in chosen.values())


UNSEEN = ("anon_vma", "inherited")
"""What is free at the page is free beside it."""
OTHERS: dict[str, tuple[int, ...]] = {"reading": (0, 1, 2), "thp": (0, 1, 2), "backing": (0, 1, 2, 3, 4)}


def otherwise(t: Transition, page: int) -> Iterator[tuple[str, Otherwise]]:
    """Everything at a page, one at a time: (field, the state after)."""
    now = t.after.at(page)
    vma, holds = now.vma, now.page
    if not now.mapped:
        here = replace(PLAIN, start=page, end=page + 1, offset=page)
        yield "mapped", Otherwise(t.after, {page: PageView(True, here, EMPTY_PAGE, 0)})
        was = t.before.at(page).vma
        if t.before.at(page).mapped and has_file(was) and not is_anonymous(was):
            yield "stored", holding_otherwise(t, was, page)
        return
    yield "mapped", Otherwise(t.after, {page: PageView(False, t.after.at(-9).vma, EMPTY_PAGE, 0)})
    for name in ATTRIBUTES:
        value = getattr(vma, name)
        if isinstance(value, bool):
            others: tuple[Any, ...] = (not value,)
        else:
            others = tuple(other for other in OTHERS.get(name, (value + 1,)) if other != value)
        for other in others:
            yield name, Otherwise(t.after, {page: replace(now, vma=replace(vma, **{name: other}))})
    for name in (f.name for f in fields(Page)):
        if name == "own":
            if holds.copied:
                shown = replace(now, page=replace(holds, own=holds.own + 1), visible=now.visible + 1)
                yield name, Otherwise(t.after, {page: shown})
            continue
        yield name, Otherwise(t.after, {page: replace(now, page=replace(holds, **{name: not getattr(holds, name)}))})
    if has_file(vma) and not is_anonymous(vma):
        yield "stored", holding_otherwise(t, vma, page)


def holding_otherwise(t: Transition, vma: Vma, page: int) -> Otherwise:
    """The object that backs the page in this VMA holds something else there."""
    place = vma.object, offset_at(vma, page)
    value = t.after.stored(*place) + 1
    views = {}
    for other in {page, *range(WINDOW - 2, WINDOW + 60)}:
        seen = t.after.at(other)
        shows = seen.mapped and (seen.vma.object, offset_at(seen.vma, other)) == place
        if shows and not seen.page.copied and not is_anonymous(seen.vma):
            views[other] = replace(seen, visible=value)
    return Otherwise(t.after, views, {place: value})


def otherwise_at_large(t: Transition) -> Iterator[tuple[str, Otherwise]]:
    """Everything that is at no page."""
    yield "brk", Otherwise(t.after, changed={"brk": t.after.brk + 1})
    yield "exec_key", Otherwise(t.after, changed={"exec_key": (t.after.exec_key + 1) % 16})
    for name in ("write_denied", "access_denied", "pkey_allocated"):
        for key in (0, 1, 5, 15, t.after.exec_key, t.value if t.call == "pkey_alloc" else 2):
            yield name, Otherwise(t.after, changed={name: {key}})


def notices(t: Transition, props: list[Property], pages: list[int]) -> bool:
    """Some of the properties is broken at some of the pages."""
    return any(prop.outcomes(t) and prop.when(t, p) and not prop.holds(t, p) for p in pages for prop in props)


def unnoticed(t: Transition, props: list[Property]) -> set[tuple[str, str]]:
    """(field, where) of what may be otherwise without any property being broken."""
    everywhere = interesting(t)
    assert not notices(t, props, everywhere), (kind_of(t), t.to)
    found = set()
    for page in pages_of(t, everywhere):
        for field, after in otherwise(t, page):
            other = replace(t, after=after)
            beside = [] if field in UNSEEN else everywhere
            if not notices(other, props, [page]) and not notices(other, props, beside):
                found.add((field, where_of(t, page)))
    for field, after in otherwise_at_large(t):
        if not notices(replace(t, after=after), props, everywhere[:3]):
            found.add((field, "anywhere"))
    return found


def interesting(t: Transition) -> list[int]:
    before, after = getattr(t.before, "state"), getattr(t.after, "state")
    return Example(before, t.call, t.to).pages(after)


EXAMINED = ("v10", "v7.3")


@cache
def found_free(name: str) -> dict[tuple[str, str, str], Transition]:
    """(kind, field, where) of all that is left open, with a transition that shows it."""
    found: dict[tuple[str, str, str], Transition] = {}
    for kind, made in transitions(name).items():
        call = kind.partition(" ")[0]
        proved = {theorem.property.name for theorem in theorems(EDITIONS[name], calls=[call]) if not theorem.broken}
        props = [PROPERTIES[prop] for prop in PROMISES if prop in proved]
        for transition in made:
            for field, where in unnoticed(transition, props):
                found.setdefault((kind, field, where), transition)
    return found


@pytest.mark.parametrize("name", EXAMINED)
def test_every_kind_of_success_occurs(name: str) -> None:
    left_out = set()
    if not EDITIONS[name].guard_pages:
        left_out |= {"madvise MADV_GUARD_INSTALL", "madvise MADV_GUARD_REMOVE"}
    if not EDITIONS[name].droppable:
        left_out.add("mmap droppable memory")
    assert KINDS - set(transitions(name)) == left_out


@pytest.mark.slow
@pytest.mark.xdist_group("success")
@pytest.mark.parametrize("name", EXAMINED)
def test_nothing_is_left_open_but_what_has_a_reason(name: str) -> None:
    found = {key: t.to for key, t in found_free(name).items() if not any(free.covers(*key) for free in FREE)}
    assert found == {}


@pytest.mark.slow
@pytest.mark.xdist_group("success")
def test_every_entry_is_needed() -> None:
    found = {key for name in EXAMINED for key in found_free(name)}
    assert [free for free in FREE if not any(free.covers(*key) for key in found)] == []
