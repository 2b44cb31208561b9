# SPDX-License-Identifier: MIT
"""Each formula says its sentence: a transition that breaks the sentence breaks the formula, and one that keeps it does
not. The transitions are made up; no call need do such a thing. (What success promises: tests/spec/test_success.py.)"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from checker.concrete import State
from checker.examples import ConcreteSnapshot
from spec.advice import COLD, DONTNEED, HWPOISON
from spec.arguments import Advise, Move, PageRange
from spec.editions import EDITIONS
from spec.errors import Errno
from spec.properties import PROPERTIES
from spec.terms import whole
from spec.transition import Transition
from spec.vma import BOOL_ATTRIBUTES, FILE, HUGE_PAGES, HUGETLB, SPECIAL, Page, Vma
from spec.words import TASK_PAGES

V10 = EDITIONS["v10"]
W = 0x2_0000_0000
SEALED = Vma(start=W, end=W + 3, read=True, sealed=True, anon_vma=7, offset=W)
PAGES = {W: Page(copied=True, own=3), W + 1: Page(copied=True, own=4)}
RANGE = PageRange(W, W + 3)


def state(*vmas: Vma, **fields: Any) -> State:
    """An address space; unless said otherwise its first two pages hold something."""
    return State(**{"vmas": list(vmas), "pages": dict(PAGES), "start_brk": W + 64, "brk": W + 65, **fields})


def transition(
    call: str, before: State, after: State, *, errno: Errno = Errno.OK, to: Any = RANGE, count: int | None = None
) -> Transition:
    """One that is made up."""
    told = ConcreteSnapshot(before, V10), ConcreteSnapshot(after, V10, count)
    return Transition(call, to, errno, 0 if errno is Errno.OK else -1, "", *told)


def breaks(name: str, t: Transition) -> bool:
    """Some page, or two of them, breaks the property."""
    prop = PROPERTIES[name]
    near = {W + n for n in range(-2, 6)}
    for snapshot in (t.before, t.after):
        assert isinstance(snapshot, ConcreteSnapshot)
        near |= {whole(edge) for vma in snapshot.state.vmas for edge in (vma.start, vma.end)}
    pages = sorted(page for page in near if page >= 0)
    for of_every_page in (prop.every, prop.none):
        if of_every_page is not None and not all(of_every_page(t, q) for q in pages):
            return False
    seen: Iterator[tuple[int, ...]] = (
        ((p, q) for p in pages for q in pages) if prop.second else ((page,) for page in pages)
    )  # fmt: skip
    return prop.outcomes(t) and any(prop.when(t, *given) and not prop.holds(t, *given) for given in seen)


# seals ----------------------------------------------------------------------------------------------------------------

HERE = state(SEALED)
FILED = replace(SEALED, backing=FILE, object=1, offset=4)
SHARED = replace(FILED, anon_vma=0, may_share=True, shared=True)
PROTECTION = ("read", "write", "exec", "may_read", "may_write", "may_exec")


def after(**fields: Any) -> State:
    """The sealed VMA, otherwise in these fields."""
    return state(replace(SEALED, **fields))


BREAKING: list[tuple[str, str, State, State]] = [
    ("never-unmapped", "munmap", HERE, state(pages={})),
    ("never-unmapped", "munmap", HERE, state(replace(SEALED, end=W + 2))),
    ("never-unmapped", "munmap", HERE, state(replace(SEALED, start=W + 1, offset=W + 1))),
    *(("never-reprotected", "mprotect", HERE, after(**{name: not getattr(SEALED, name)})) for name in PROTECTION),
    ("never-reprotected", "mprotect", HERE, after(pkey=1)),
    ("never-replaced", "mmap", HERE, state(pages={})),
    ("never-replaced", "mmap", state(FILED), state(replace(FILED, object=2))),
    ("never-replaced", "mmap", state(FILED), state(replace(FILED, offset=5))),
    ("never-replaced", "mmap", state(FILED), state(replace(FILED, backing=HUGETLB))),
    ("never-replaced", "mmap", state(FILED), state(replace(FILED, may_share=True))),
    ("never-replaced", "mmap", state(SHARED), state(replace(SHARED, shared=False))),
    ("never-replaced", "mmap", state(FILED), state(replace(SEALED))),
    ("never-unsealed", "mprotect", HERE, after(sealed=False)),
    ("never-unsealed", "munmap", HERE, state(pages={})),
    ("never-grown", "mremap", state(pages={}), HERE),
    ("never-grown", "mprotect", after(sealed=False), HERE),
    ("never-grown", "mremap", state(replace(SEALED, end=W + 2)), HERE),
    ("fork-keeps-seals", "fork", HERE, state(pages={})),
    ("fork-keeps-seals", "fork", HERE, after(sealed=False)),
    ("fork-keeps-seals", "fork", HERE, after(write=True)),
    ("fork-keeps-seals", "fork", HERE, after(pkey=3)),
    ("fork-keeps-seals", "fork", state(FILED), state(replace(FILED, object=2))),
    ("fork-keeps-contents", "fork", HERE, state(SEALED, pages={})),
    ("fork-keeps-contents", "fork", state(FILED, objects={(1, 6): 5}), state(FILED)),
    ("never-discarded", "madvise", HERE, state(SEALED, pages={})),
    ("never-discarded", "madvise", HERE, state(SEALED, pages={**PAGES, W: Page(copied=True, own=9)})),
    ("never-discarded", "madvise", after(write=True, pkey=1), state(replace(SEALED, write=True, pkey=1), pages={})),
    ("private-file-contents-stay", "madvise", state(FILED), state(FILED, pages={})),
    ("anonymous-contents-stay", "reclaim", HERE, state(SEALED, pages={})),
    ("anonymous-contents-stay", "write", HERE, state(SEALED, pages={**PAGES, W + 1: Page(copied=True, own=9)})),
    ("settled-contents-stay", "reclaim", HERE, state(SEALED, pages={})),
    ("settled-contents-stay", "write", HERE, state(SEALED, pages={**PAGES, W + 2: Page(copied=True, own=9)})),
]
"""What no sealed page may see: the property, a call of which it speaks, before, after."""


@pytest.mark.parametrize(("name", "call", "before", "now"), BREAKING)
def test_what_a_seal_forbids_breaks_it(name: str, call: str, before: State, now: State) -> None:
    advice = Advise(W, W + 3, DONTNEED)
    to = advice if call == "madvise" else RANGE
    assert breaks(name, transition(call, before, now, to=to))
    assert breaks(name, transition(call, before, now, to=to, errno=Errno.EINVAL))  # whatever the call answers
    assert not breaks(name, transition(call, before, before, to=to))


def test_what_is_not_sealed_is_free() -> None:
    plain = replace(SEALED, sealed=False)
    for name, call, before, _ in BREAKING:
        if name != "never-grown":
            loose = state(*(replace(vma, sealed=False) for vma in before.vmas))
            assert not breaks(name, transition(call, loose, state(pages={}), to=Advise(W, W + 3, DONTNEED))), name
    assert not breaks("never-grown", transition("mmap", state(pages={}), state(plain)))
    writable = replace(SEALED, write=True)
    assert not breaks("never-discarded", transition("madvise", state(writable), state(writable, pages={})))
    assert not breaks("fork-keeps-seals", transition("fork", after(dontfork=True), state(pages={})))


# failures -------------------------------------------------------------------------------------------------------------


def changes() -> Iterator[tuple[str, State, int | None]]:
    """A state that is otherwise than HERE in one thing, what that is, and map_count where it is no count of VMAs."""
    for name in BOOL_ATTRIBUTES:
        if name != "inherited":  # which merges share out anew
            yield name, after(**{name: not getattr(SEALED, name)}), None
    for name in ("pkey", "reading", "thp"):
        yield name, after(**{name: 1}), None
    yield "object", after(backing=FILE, object=1), None
    yield "mapped", state(replace(SEALED, end=W + 2)), None
    yield "more is mapped", state(replace(SEALED, end=W + 4)), None
    yield "contents", state(SEALED, pages={W: PAGES[W]}), None
    yield "contents of the second page", state(SEALED, pages={**PAGES, W + 1: Page(copied=True, own=9)}), None
    yield "a guard page", state(SEALED, pages={**PAGES, W + 2: Page(guard=True)}), None
    yield "lazily free", state(SEALED, pages={**PAGES, W: Page(copied=True, own=3, lazy=True)}), None
    yield "a copy of zeros", state(SEALED, pages={**PAGES, W + 2: Page(copied=True)}), None


def of_the_whole() -> Iterator[tuple[str, State, int | None]]:
    """What no page tells."""
    halves = replace(SEALED, end=W + 1), replace(SEALED, start=W + 1, offset=W + 1)
    yield "boundary", state(*halves), 1
    yield "map_count", HERE, 2
    yield "break", state(SEALED, brk=W + 66), None
    yield "key", state(SEALED, pkeys={0, 3}), None
    yield "rights", state(SEALED, pkru=0), None
    yield "execute-only key", state(SEALED, exec_key=1, pkeys={0, 1}), None


@pytest.mark.parametrize("call", ["mseal", "munmap", "madvise", "mlock"])
@pytest.mark.parametrize(("what", "now", "count"), [*changes(), *of_the_whole()])
def test_a_failure_that_changes_something_is_seen(what: str, now: State, count: int | None, call: str) -> None:
    to = Advise(W, W + 3, DONTNEED) if call == "madvise" else RANGE
    failed = transition(call, HERE, now, errno=Errno.EPERM, to=to, count=count)
    assert breaks("failure-changes-nothing", failed)
    whole = {told[0] for told in of_the_whole()}
    assert breaks("failure-changes-no-page", failed) or what in whole
    if call in ("munmap", "madvise"):
        assert breaks("eperm-changes-nothing", failed)
    if call == "mseal":
        gap = transition("mseal", state(SEALED), now, errno=Errno.ENOMEM, to=PageRange(W, W + 9), count=count)
        assert breaks("gap-seals-nothing", gap)
        twice = transition("mseal", HERE, now, count=count)
        assert breaks("sealing-twice-is-a-no-op", twice)
        assert breaks("mseal32-refuses", replace(failed, call="mseal32"))


def test_a_failure_that_changes_an_object_is_seen() -> None:
    """Also where a private copy hides it from the page."""
    for pages in ({}, dict(PAGES)):
        before = state(FILED, pages=pages, objects={(1, 4): 5})
        failed = transition("munmap", before, state(FILED, pages=pages, objects={(1, 4): 6}), errno=Errno.EPERM)
        assert breaks("failure-changes-nothing", failed) and breaks("eperm-changes-nothing", failed)


def test_a_failure_that_takes_the_right_to_write_is_seen() -> None:
    before, now = state(SEALED, pkru=0), state(SEALED, pkru=0b10 << 4)
    for name in ("failure-changes-nothing", "eperm-changes-nothing"):
        assert breaks(name, transition("munmap", before, now, errno=Errno.EPERM))


def test_a_failure_that_changes_nothing_is_none() -> None:
    for name in ("failure-changes-nothing", "failure-changes-no-page", "eperm-changes-nothing"):
        assert not breaks(name, transition("munmap", HERE, HERE, errno=Errno.EPERM))
        assert not breaks(name, transition("munmap", HERE, state(pages={})))  # it succeeded
    poison = transition("madvise", HERE, after(write=True), errno=Errno.EPERM, to=Advise(W, W + 3, HWPOISON))
    assert not breaks("eperm-changes-nothing", poison)


THREE = tuple(
    Vma(start=W + n, end=W + n + 1, read=True, anon_vma=7 + n, offset=W + n, dontdump=bool(n % 2)) for n in range(3)
)


def seals(*which: int) -> State:
    """Three VMAs, of which these are sealed."""
    return state(*(replace(vma, sealed=n in which) for n, vma in enumerate(THREE)), pages={})


@pytest.mark.parametrize(
    ("sealed", "broken"),
    [
        ((), set()),
        ((0,), {"failed-mseal-seals-nothing", "partial-seal-stops-at-an-end"}),
        ((0, 1), {"failed-mseal-seals-nothing"}),
        ((1,), {"failed-mseal-seals-nothing", "partial-seal-is-a-prefix", "partial-seal-stops-at-an-end"}),
        ((2,), {"failed-mseal-seals-nothing", "partial-seal-is-a-prefix", "partial-seal-stops-at-an-end"}),
        ((0, 2), {"failed-mseal-seals-nothing", "partial-seal-is-a-prefix", "partial-seal-stops-at-an-end"}),
    ],
)
def test_what_a_failed_mseal_may_have_sealed(sealed: tuple[int, ...], broken: set[str]) -> None:
    failed = transition("mseal", seals(), seals(*sealed), errno=Errno.ENOMEM)
    names = ("failed-mseal-seals-nothing", "partial-seal-is-a-prefix", "partial-seal-stops-at-an-end")
    assert {name for name in names if breaks(name, failed)} == broken
    assert not any(breaks(name, transition("mseal", seals(), seals(*sealed))) for name in names)


# errors ---------------------------------------------------------------------------------------------------------------


def test_errors_are_as_documented() -> None:
    def ends(errno: Errno, to: PageRange = RANGE) -> Transition:
        return transition("mseal", HERE, HERE, errno=errno, to=to)

    gap = PageRange(W, W + 4)
    assert breaks("einval-only-as-documented", ends(Errno.EINVAL))
    assert breaks("enomem-only-as-documented", ends(Errno.ENOMEM))
    assert not breaks("enomem-only-as-documented", ends(Errno.ENOMEM, gap))
    for errno in (Errno.OK, Errno.EINVAL, Errno.EPERM):
        assert breaks("enomem-as-documented", ends(errno, gap))
        assert not breaks("enomem-as-documented", ends(errno))
        assert breaks("gap-seals-nothing", ends(errno, gap))
        assert not breaks("enomem-only-as-documented", ends(errno))
    assert not breaks("enomem-as-documented", ends(Errno.ENOMEM, gap))
    assert breaks("sealing-twice-is-a-no-op", ends(Errno.ENOMEM))
    assert not breaks("sealing-twice-is-a-no-op", ends(Errno.OK))
    assert breaks("mseal32-refuses", replace(ends(Errno.OK), call="mseal32"))
    assert not breaks("mseal32-refuses", replace(ends(Errno.EPERM), call="mseal32"))


def test_eperm_has_a_cause() -> None:
    def refused(call: str, to: Any, before: State) -> Transition:
        return transition(call, before, before, errno=Errno.EPERM, to=to)

    plain = replace(SEALED, sealed=False)
    beside = state(replace(plain, end=W + 2), replace(SEALED, start=W + 2, offset=W + 2))
    for call in ("munmap", "mprotect"):
        assert breaks("eperm-only-with-cause", refused(call, RANGE, state(plain)))
        assert breaks("eperm-only-with-cause", refused(call, PageRange(W, W + 2), beside))
        assert not breaks("eperm-only-with-cause", refused(call, RANGE, beside))
    for advice, broken in ((DONTNEED, False), (COLD, True), (HWPOISON, False)):
        t = refused("madvise", Advise(W, W + 3, advice), HERE)
        assert breaks("eperm-only-with-cause", t) is broken
        assert breaks("refused-advice-discards", t) is broken
    for vma in (replace(SEALED, write=True), FILED, plain):
        assert breaks("eperm-only-with-cause", refused("madvise", Advise(W, W + 3, DONTNEED), state(vma)))
    same = Move(W, 3, 3, W + 3, W + 16, True, True, True, False, False)
    assert breaks("eperm-only-with-cause", refused("mremap", same, HERE))
    assert not breaks("eperm-only-with-cause", refused("mremap", replace(same, fixed=True), HERE))
    assert not breaks("eperm-only-with-cause", refused("mremap", replace(same, new_pages=2), HERE))
    onto = replace(same, old=W + 16, new=W, fixed=True)
    assert not breaks("eperm-only-with-cause", refused("mremap", onto, HERE))
    assert breaks("eperm-only-with-cause", refused("mremap", replace(onto, new=W + 32), HERE))


# what is true of every address space ----------------------------------------------------------------------------------


def test_counts_stay_in_bounds() -> None:
    for count, broken in ((9, False), (11, False), (12, True)):
        few = state(SEALED, elsewhere=3, max_map_count=10)
        t = transition("munmap", few, few, count=count)
        assert breaks("map-count-stays-in-bounds", t) is broken
        assert breaks("failure-keeps-map-count", replace(t, errno=Errno.ENOMEM)) is broken
        assert not breaks("failure-keeps-map-count", t)
        assert not breaks("map-count-stays-in-bounds", replace(t, errno=Errno.ENOMEM))


@pytest.mark.parametrize(
    "name", ["read", "write", "exec", "pkey", "sealed", "locked", "dontfork", "object", "backing", "mapped"]
)
@pytest.mark.parametrize("kind", ["special", "huge"])
def test_what_is_whole_stays_whole(kind: str, name: str) -> None:
    vdso = Vma(start=W, end=W + 2, read=True, exec=True, backing=SPECIAL)
    huge = Vma(start=W, end=W + HUGE_PAGES, read=True, backing=HUGETLB, object=1, may_share=True, may_write=False)
    one, prop = (vdso, "special-stays-whole") if kind == "special" else (huge, "huge-pages-stay-whole")
    left, right = replace(one, end=W + 1), replace(one, start=W + 1, offset=1)
    value = {"pkey": 1, "object": 2, "backing": FILE}.get(name, not getattr(one, name, False))
    cut = [left] if name == "mapped" else [left, replace(right, **{name: value})]
    for call in ("munmap", "mprotect"):
        assert breaks(prop, transition(call, state(one, pages={}), state(*cut, pages={})))
        assert not breaks(prop, transition(call, state(one, pages={}), state(pages={})))
        assert not breaks(prop, transition(call, state(one, pages={}), state(one, pages={})))


def test_what_is_alike_is_one_vma() -> None:
    whole_one = replace(SEALED, sealed=False)
    left, right = replace(SEALED, end=W + 1), replace(SEALED, start=W + 1, offset=W + 1)
    for before in (
        state(whole_one),
        state(replace(left, sealed=False), right),
        state(left, replace(right, sealed=False)),
    ):
        assert breaks("alike-neighbours-merge", transition("mseal", before, state(left, right)))
        assert not breaks("alike-neighbours-merge", transition("mseal", before, HERE))
        for field, value in (("pkey", 1), ("anon_vma", 8), ("offset", W + 5), ("write", True), ("thp", 1)):
            apart = state(left, replace(right, **{field: value}))  # type: ignore[arg-type]
            assert not breaks("alike-neighbours-merge", transition("mseal", before, apart)), field


def test_what_is_ill_formed_afterwards_is_seen() -> None:
    ill: list[dict[str, Any]] = [
        {"end": TASK_PAGES + 1}, {"offset": 1 << 64}, {"backing": 9}, {"object": 3}, {"shared": True}, {"pkey": 16},
        {"may_read": False}, {"write": True, "may_write": False}, {"anon_vma": -1}, {"anon_vma": 0, "inherited": True},
        {"droppable": True}, {"thp": 3}, {"reading": 3}, {"opened_read_only": True},
        {"backing": SPECIAL, "locked": True},
    ]  # fmt: skip
    for fields in ill:
        for errno in (Errno.OK, Errno.EINVAL):
            now = state(replace(SEALED, **fields), pages={})
            assert breaks("well-formed-stays", transition("mprotect", HERE, now, errno=errno)), fields
    for page in (Page(copied=True, guard=True), Page(own=3), Page(lazy=True)):
        assert breaks("well-formed-stays", transition("mprotect", HERE, state(SEALED, pages={W: page}))), page
    assert breaks("well-formed-stays", transition("fork", HERE, state(replace(SEALED, anon_vma=0))))
    assert not breaks("well-formed-stays", transition("mprotect", HERE, HERE))


def test_contents_of_shared_memory_are_its_objects() -> None:
    for shared in (SHARED, replace(SHARED, may_write=False, shared=False)):
        now = state(replace(shared, anon_vma=7))
        assert breaks("well-formed-stays", transition("write", state(shared, pages={}), now))


def test_moves_keep_locks() -> None:
    to = Move(W + 16, 1, 1, W + 17, W + 32, True, True, True, True, False)
    for locked in (False, True):
        kept, otherwise = replace(SEALED, locked=locked), replace(SEALED, locked=not locked)
        moved = transition("mremap", state(kept), state(otherwise), to=to)
        assert breaks("move-keeps-locks", replace(moved, value=W + 32))
        assert not breaks("move-keeps-locks", replace(moved, value=W + 32, errno=Errno.EINVAL))
        same = transition("mremap", state(kept), state(kept), to=to)
        assert not breaks("move-keeps-locks", replace(same, value=W + 32))
