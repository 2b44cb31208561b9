# SPDX-License-Identifier: MIT
"""What calls do, on cases that were worked out by hand from kernel sources and manual pages, where recorded runs and
theorems say little: marks, locks, children, limits, the heap."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checker.concrete import State
from checker.machine import perform
from spec.advice import ADVICE
from spec.editions import EDITIONS, SealCheck
from spec.errors import Errno
from spec.vma import ANONYMOUS, DEVZERO, FILE, HUGETLB, SPECIAL, THP_ALWAYS, THP_NEVER, Page, Vma, changed_fields
from spec.words import PAGE_SIZE, TASK_PAGES

W = 0x2_0000_0000
PLAIN = Vma(start=W, end=W + 2, read=True, write=True, offset=W)
SHARED = replace(PLAIN, backing=FILE, object=1, offset=0, shared=True, may_share=True)
LINUX = [name for name, edition in EDITIONS.items() if edition.has("mremap")]


def did(state: State, call: str, edition: str = "v10", *, failures: tuple[str, ...] = (), **words: int) -> Errno:
    """Make a call."""
    return perform(state, EDITIONS[edition], call, words, failures=failures).errno


def of_window(start: int = 0, pages: int = 2) -> dict[str, int]:
    """The arguments of a range."""
    return {"addr": (W + start) * PAGE_SIZE, "len": pages * PAGE_SIZE}


# madvise --------------------------------------------------------------------------------------------------------------

MARKED = replace(
    PLAIN, dontfork=True, wipeonfork=True, dontdump=True, mergeable=True, reading=2, thp=THP_ALWAYS, account=True
)
CHANGES: dict[str, tuple[Vma, dict[str, object]]] = {
    "MADV_NORMAL": (MARKED, {"reading": 0}),
    "MADV_RANDOM": (PLAIN, {"reading": 1}),
    "MADV_SEQUENTIAL": (PLAIN, {"reading": 2}),
    "MADV_DONTFORK": (PLAIN, {"dontfork": True}),
    "MADV_DOFORK": (MARKED, {"dontfork": False}),
    "MADV_WIPEONFORK": (PLAIN, {"wipeonfork": True}),
    "MADV_KEEPONFORK": (MARKED, {"wipeonfork": False}),
    "MADV_DONTDUMP": (PLAIN, {"dontdump": True}),
    "MADV_DODUMP": (MARKED, {"dontdump": False}),
    "MADV_MERGEABLE": (PLAIN, {"mergeable": True}),
    "MADV_UNMERGEABLE": (MARKED, {"mergeable": False}),
    "MADV_HUGEPAGE": (PLAIN, {"thp": THP_ALWAYS}),
    "MADV_NOHUGEPAGE": (MARKED, {"thp": THP_NEVER}),
}
"""Advice that changes a flag of the VMA (madvise_behavior, hugepage_madvise, ksm_madvise): that one, and no other."""


@pytest.mark.parametrize("name", LINUX)
@pytest.mark.parametrize("advice", sorted(set(ADVICE) - {"MADV_HWPOISON", "MADV_SOFT_OFFLINE"}))
def test_advice_changes_its_own_mark_and_no_other(advice: str, name: str) -> None:
    for vma in (PLAIN, MARKED):
        state = State(vmas=[vma])
        if did(state, "madvise", name, **of_window(), behavior=ADVICE[advice]) is not Errno.OK:
            assert advice not in CHANGES
            continue
        wanted = CHANGES.get(advice, (vma, {}))[1]
        assert state.vmas[0] == replace(vma, anon_vma=state.vmas[0].anon_vma, **wanted)  # type: ignore[arg-type]


HELD = {
    "lazy": Page(copied=True, own=3, lazy=True),
    "written": Page(copied=True, own=3),
    "guard": Page(guard=True),
    "nothing": Page(),
}
"""What a page of private anonymous memory holds."""
BECOMES: dict[str, dict[str, Page]] = {
    "MADV_DONTNEED": {"lazy": Page(), "written": Page()},
    "MADV_DONTNEED_LOCKED": {"lazy": Page(), "written": Page()},
    "MADV_FREE": {"written": Page(copied=True, own=3, lazy=True)},
    "MADV_PAGEOUT": {"lazy": Page()},
    "MADV_GUARD_INSTALL": dict.fromkeys(HELD, Page(guard=True)),
    "MADV_GUARD_REMOVE": {"guard": Page()},
    "MADV_POPULATE_WRITE": {"lazy": Page(copied=True, own=3), "nothing": Page(copied=True)},
}
"""What advice makes of it; otherwise it stays (guard pages: mm/madvise.c guard_install_set_pte, guard_remove_pte_entry;
zap_pte_range keeps their markers but for an unmapping)."""


@pytest.mark.parametrize("name", ["v10", "v6.12", "v6.13", "v7.3"])
@pytest.mark.parametrize("advice", sorted(set(ADVICE) - {"MADV_HWPOISON", "MADV_SOFT_OFFLINE"}))
def test_advice_makes_of_a_page_what_it_says(advice: str, name: str) -> None:
    for kind, held in HELD.items():
        state = State(vmas=[replace(PLAIN, anon_vma=7)], pages={W: held} if held != Page() else {})
        errno = did(state, "madvise", name, **of_window(0, 1), behavior=ADVICE[advice])
        if errno is not Errno.OK:
            continue
        if advice == "MADV_POPULATE_WRITE" and kind == "lazy":
            continue  # a page that is there and writable is not faulted in again; no program can tell
        assert state.pages.get(W, Page()) == BECOMES.get(advice, {}).get(kind, held), kind


REFUSED = [
    ("MADV_DONTNEED", replace(PLAIN, locked=True), Errno.EINVAL),
    ("MADV_FREE", replace(PLAIN, locked=True), Errno.EINVAL),
    ("MADV_COLD", replace(PLAIN, locked=True), Errno.EINVAL),
    ("MADV_PAGEOUT", replace(PLAIN, locked=True), Errno.EINVAL),
    ("MADV_REMOVE", replace(SHARED, locked=True), Errno.EINVAL),
    ("MADV_REMOVE", PLAIN, Errno.EINVAL),
    ("MADV_REMOVE", replace(SHARED, shared=False, may_share=False), Errno.EACCES),
    ("MADV_REMOVE", replace(SHARED, shared=False, may_write=False, write=False), Errno.EACCES),
    ("MADV_FREE", SHARED, Errno.EINVAL),
    ("MADV_WIPEONFORK", SHARED, Errno.EINVAL),
    ("MADV_WIPEONFORK", replace(SHARED, shared=False, may_share=False), Errno.EINVAL),
    ("MADV_DODUMP", Vma(start=W, end=W + 2, read=True, backing=SPECIAL), Errno.EINVAL),
    ("MADV_KEEPONFORK", replace(PLAIN, droppable=True, noreserve=True), Errno.EINVAL),
    ("MADV_DODUMP", replace(PLAIN, droppable=True, noreserve=True), Errno.EINVAL),
    ("MADV_COLLAPSE", PLAIN, Errno.EINVAL),
    ("MADV_POPULATE_READ", replace(PLAIN, read=False), Errno.EINVAL),
    ("MADV_POPULATE_WRITE", replace(PLAIN, write=False), Errno.EINVAL),
    ("MADV_POPULATE_READ", replace(SHARED, offset=7), Errno.EFAULT),
    ("MADV_HWPOISON", PLAIN, Errno.EPERM),
    ("MADV_SOFT_OFFLINE", PLAIN, Errno.EPERM),
]
"""madvise(2), ERRORS, and the checks of each behaviour."""


@pytest.mark.parametrize("name", LINUX)
@pytest.mark.parametrize(("advice", "vma", "errno"), REFUSED)
def test_advice_is_refused(advice: str, vma: Vma, errno: Errno, name: str) -> None:
    state = State(vmas=[vma], sizes={1: 4})
    assert did(state, "madvise", name, **of_window(), behavior=ADVICE[advice]) is errno
    assert state.vmas == [vma]


@pytest.mark.parametrize("name", LINUX)
def test_what_cannot_be_merged_by_contents_is_passed_over(name: str) -> None:
    """ksm_madvise: shared, special, huge and droppable memory is left as it is, without an error."""
    huge = Vma(start=W, end=W + 512, read=True, backing=HUGETLB, object=4, may_share=True, may_write=False)
    for vma in (
        SHARED,
        replace(SHARED, shared=False, write=False, may_write=False),
        Vma(start=W, end=W + 2, read=True, backing=SPECIAL),
        replace(PLAIN, droppable=True, noreserve=True),
        huge,
    ):
        state = State(vmas=[vma], sizes={1: 8, 4: 1 << 20})
        words = of_window(0, int(vma.end) - W)
        assert did(state, "madvise", name, **words, behavior=ADVICE["MADV_MERGEABLE"]) is Errno.OK
        assert state.vmas == [vma]


# fork, reclaim, a program's store -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(EDITIONS))
def test_a_child_has_what_its_parent_has(name: str) -> None:
    """dup_mmap: VM_LOCKED is cleared, VM_DONTCOPY left out, VM_WIPEONFORK empties; all else is copied, guard pages and
    lazily free ones too."""
    rich = replace(
        PLAIN, anon_vma=7, locked=True, sealed=True, growsdown=True, dontdump=True, mergeable=True, reading=1, thp=1,
        account=True, pkey=3, exec=True,
    )  # fmt: skip
    held = {W: Page(copied=True, own=3), W + 1: Page(guard=True)}
    for vma in (rich, replace(rich, write=False), replace(SHARED, sealed=True, locked=True)):
        state = State(vmas=[vma], pages=dict(held) if vma.anon_vma else {}, objects={(1, 0): 5}, sizes={1: 4})
        assert did(state, "fork", name) is Errno.OK
        changed = {*changed_fields(vma, state.vmas[0])}
        assert changed == ({"locked", "anon_vma", "inherited"} if vma.anon_vma else {"locked"})
        assert not state.vmas[0].locked
        assert (state.pages, state.objects) == (held if vma.anon_vma else {}, {(1, 0): 5})
    state = State(vmas=[replace(rich, wipeonfork=True)], pages=dict(held))
    assert did(state, "fork", name) is Errno.OK
    assert (state.pages, state.vmas[0].wipeonfork, state.vmas[0].anon_vma) == ({}, True, 0)
    state = State(vmas=[replace(rich, dontfork=True)], pages=dict(held), elsewhere=3)
    assert did(state, "fork", name) is Errno.OK
    assert (state.pages, state.vmas) == ({}, [])
    lazy = {W: Page(copied=True, own=3, lazy=True)}
    state = State(vmas=[rich], pages=dict(lazy))
    assert did(state, "fork", name) is Errno.OK
    assert state.pages == lazy


@pytest.mark.parametrize("name", LINUX)
def test_reclaim_takes_what_is_lazily_free_or_droppable_and_not_locked(name: str) -> None:
    """try_to_unmap_one: a locked VMA keeps its pages; MADV_FREE and MAP_DROPPABLE let them go, others go to swap."""
    droppable = replace(PLAIN, anon_vma=7, droppable=True, noreserve=True)
    plain = replace(PLAIN, anon_vma=7)
    lazy, written = Page(copied=True, own=3, lazy=True), Page(copied=True, own=3)
    for vma, page, left in (
        (plain, written, written),
        (plain, lazy, Page()),
        (replace(plain, locked=True), lazy, lazy),
        (droppable, written, Page()),
        (replace(plain, sealed=True, write=False), written, written),
        (plain, Page(guard=True), Page(guard=True)),
    ):
        state = State(vmas=[vma], pages={W: page, W + 1: page})
        assert did(state, "reclaim", name, addr=W * PAGE_SIZE) is Errno.OK
        assert (state.pages.get(W, Page()), state.pages[W + 1], state.vmas) == (left, page, [vma])


@pytest.mark.parametrize("name", list(EDITIONS))
def test_a_store_needs_leave_and_a_page(name: str) -> None:
    denied = {"pkru": 0b10 << 6}
    for vma, more, errno in (
        (PLAIN, {}, Errno.OK),
        (replace(PLAIN, write=False), {}, Errno.EFAULT),
        (replace(PLAIN, pkey=3), {**denied, "pkeys": {0, 3}}, Errno.EFAULT),
        (replace(PLAIN, pkey=3), {**denied, "pkeys": {0, 3}, "has_pkeys": False}, Errno.OK),
        (PLAIN, {"pages": {W: Page(guard=True)}}, Errno.EFAULT),
        (SHARED, {}, Errno.OK),
        (replace(SHARED, offset=4), {}, Errno.EFAULT),
        (replace(SHARED, offset=3), {}, Errno.OK),
        (replace(SHARED, sealed=True), {}, Errno.OK),
    ):
        state = State(**{"vmas": [vma], "sizes": {1: 4}, "pkru": 0, **more})  # type: ignore[arg-type]
        assert did(state, "write", name, addr=W * PAGE_SIZE + 5, byte=9) is errno
        there = state.objects.get((1, int(vma.offset))) if vma.shared else state.pages.get(W)
        assert there == (None if errno is not Errno.OK else 9 if vma.shared else Page(copied=True, own=9)) or errno


def test_pkru_takes_two_bits_a_key() -> None:
    """Bit 2n is access-disable, bit 2n + 1 write-disable (Intel SDM, volume 3, 4.6.2)."""
    for bits, stores, populates in (
        (0b00, Errno.OK, Errno.OK),
        (0b10, Errno.EFAULT, Errno.OK),
        (0b01, Errno.EFAULT, Errno.EINVAL),
        (0b11, Errno.EFAULT, Errno.EINVAL),
    ):
        state = State(vmas=[replace(PLAIN, pkey=3)], pkeys={0, 3})
        assert did(state, "pkru", bits=bits << 6) is Errno.OK
        assert did(state, "write", addr=W * PAGE_SIZE, byte=1) is stores
        assert did(state, "madvise", **of_window(), behavior=ADVICE["MADV_POPULATE_READ"]) is populates


# mmap, munmap, brk ----------------------------------------------------------------------------------------------------


def mapped(edition: str, flags: int, prot: int = 3, file: int = 0, off: int = 0, **more: object) -> Vma:
    """What mmap with MAP_FIXED makes of an empty window."""
    state = State(**more)  # type: ignore[arg-type]
    words = {**of_window(), "prot": prot, "flags": flags | 0x10, "file": file, "object": file, "off": off * PAGE_SIZE}
    assert did(state, "mmap", edition, **words) is Errno.OK
    (vma,) = state.vmas
    return vma


@pytest.mark.parametrize("name", LINUX)
def test_a_new_mapping_is_what_was_asked_for(name: str) -> None:
    """do_mmap, mmap_region: field by field. 1 is a file opened for writing, 2 one for reading only, 3 /dev/zero."""
    base = Vma(start=W, end=W + 2, read=True, write=True, offset=W)
    file = replace(base, backing=FILE, object=1, offset=5)
    anonymous, private, shared = 0x20, 2, 1
    assert mapped(name, private | anonymous) == replace(base, account=True)
    assert mapped(name, private | anonymous, prot=1) == replace(base, write=False)
    assert mapped(name, private | anonymous, prot=0) == replace(base, read=False, write=False)
    assert mapped(name, private | anonymous, prot=7) == replace(base, exec=True, account=True)
    assert mapped(name, private | anonymous | 0x4000) == replace(base, noreserve=True)
    assert mapped(name, private | anonymous | 0x2000) == replace(base, locked=True, account=True, anon_vma=1002)
    assert mapped(name, private | anonymous | 0x100) == replace(base, growsdown=True, account=True)
    assert mapped(name, private | anonymous | 0x2_0000) == replace(base, thp=THP_NEVER, account=True)
    assert mapped(name, private, file=1, off=5) == replace(file, account=True)
    assert mapped(name, private, file=2, off=5) == replace(file, object=2, opened_read_only=True, account=True)
    assert mapped(name, shared, file=1, off=5) == replace(file, shared=True, may_share=True)
    assert mapped(name, shared, prot=1, file=2, off=5) == replace(
        file, object=2, write=False, may_write=False, may_share=True
    )
    assert mapped(name, private, file=3, off=5) == replace(file, backing=DEVZERO, object=3, account=True)
    object = {"backing": FILE, "object": 1001, "shared": True, "may_share": True}
    assert mapped(name, shared | anonymous) == replace(base, offset=0, **object)  # type: ignore[arg-type]
    only = mapped(name, private | anonymous, prot=4)
    assert only == replace(base, read=False, write=False, exec=True, pkey=1)
    assert mapped(name, private | anonymous, prot=4, has_pkeys=False).pkey == 0
    if EDITIONS[name].droppable:
        wipes = replace(base, droppable=True, noreserve=True, wipeonfork=True, dontdump=True)
        assert mapped(name, 8 | anonymous) == wipes


@pytest.mark.parametrize("name", LINUX)
def test_what_mmap_refuses_and_faults_in(name: str) -> None:
    """do_mmap: EACCES for a writable shared mapping of a file opened read-only, EINVAL for an unknown type;
    MAP_POPULATE and MAP_LOCKED fault the range in, MAP_POPULATE with MAP_NONBLOCK does not."""
    words = {**of_window(), "prot": 3, "object": 0, "off": 0}
    for flags, file, prot, errno in (
        (0x11, 2, 3, Errno.EACCES),
        (0x11, 2, 1, Errno.OK),
        (0x12, 2, 3, Errno.OK),
        (0x10, 1, 3, Errno.EINVAL),
        (0x111, 1, 3, Errno.EINVAL),
        (0x13, 1, 3, Errno.OK),
        (0x32, 0, 3, Errno.OK),
        (0x33, 0, 3, Errno.EINVAL),
    ):
        given = {**words, "flags": flags, "file": file, "object": file, "prot": prot}
        assert did(State(), "mmap", name, **given) is errno, (flags, file, prot)
    full = {W: Page(copied=True), W + 1: Page(copied=True)}
    for flags, pages in ((0x8032, full), (0x2032, full), (0x1_8032, {}), (0x32, {})):
        state = State()
        assert did(state, "mmap", name, **words, flags=flags, file=0) is Errno.OK
        assert state.pages == pages, hex(flags)


def test_kernels_differ_where_they_were_seen_to() -> None:
    """MAP_DROPPABLE is from 6.11. Guard pages give files an anon_vma on 6.18.15 and before, not on 6.18.44 and 7.3.4.
    MREMAP_DONTUNMAP of a part unlocks all of its VMA on 6.18.15, 6.18.44 and 7.2.6, and no more than the part on
    6.12.117 and 7.3.4."""
    words = {**of_window(), "prot": 3, "flags": 0x38, "file": 0, "object": 0, "off": 0}
    for name, errno in (("v10", Errno.EINVAL), ("v6.11", Errno.OK), ("v6.12", Errno.OK), ("v7.3", Errno.OK)):
        assert did(State(), "mmap", name, **words) is errno
    file = replace(SHARED, shared=False, may_share=False)
    for name, given in (("v6.16", True), ("v6.17", True), ("v6.18", False), ("v7.3", False)):
        state = State(vmas=[file], sizes={1: 8})
        assert did(state, "madvise", name, **of_window(), behavior=ADVICE["MADV_GUARD_INSTALL"]) is Errno.OK
        assert (state.vmas[0].anon_vma != 0) is given
    moved = {"addr": W * PAGE_SIZE, "old_len": PAGE_SIZE, "new_len": PAGE_SIZE, "flags": 7}
    for name, all_of_it in (("v6.12", False), ("v6.17", True), ("v6.18", True), ("v7.2", True), ("v7.3", False)):
        state = State(vmas=[replace(PLAIN, locked=True, anon_vma=7)])
        assert did(state, "mremap", name, **moved, new_addr=(W + 16) * PAGE_SIZE) is Errno.OK
        assert any(vma.locked for vma in state.vmas if vma.start < W + 16) is not all_of_it


@pytest.mark.parametrize("name", LINUX)
def test_where_user_space_ends_and_begins(name: str) -> None:
    """x86-64 with four levels: TASK_SIZE is 2^47 - 4096; mmap_min_addr is 65536; a huge page has 2 MiB."""
    words = {"len": PAGE_SIZE, "prot": 3, "flags": 0x32, "file": 0, "object": 0, "off": 0}
    for addr, errno in (
        ((1 << 47) - 2 * PAGE_SIZE, Errno.OK),
        ((1 << 47) - PAGE_SIZE, Errno.ENOMEM),
        (65536, Errno.OK),
        (65536 - PAGE_SIZE, Errno.EPERM),
    ):
        assert did(State(), "mmap", name, addr=addr, **words) is errno, hex(addr)
    huge = State(huge_pages=True)
    assert did(huge, "mmap", name, **{**words, "addr": 1 << 40, "flags": 0x4_0032}) is Errno.OK
    assert huge.vmas[0].end - huge.vmas[0].start == 512
    for start, pages, errno in ((256, 256, Errno.EINVAL), (0, 256, Errno.EINVAL), (0, 512, Errno.OK)):
        words = {"addr": (1 << 40) + start * PAGE_SIZE, "len": pages * PAGE_SIZE}
        assert did(huge, "munmap", name, **words) is errno, (start, pages)


@pytest.mark.parametrize("name", ["v10", "v6.11"])
def test_a_refused_split_of_what_is_replaced_was_enomem_before_6_12(name: str) -> None:
    """mmap_region passes on EPERM of do_vmi_munmap, and makes ENOMEM of any other error, at either end of the range."""
    vdso = Vma(start=W, end=W + 4, read=True, exec=True, backing=SPECIAL)
    words = {"prot": 3, "flags": 0x32, "file": 0, "object": 0, "off": 0}
    for start in (0, 2):
        for edition, errno in ((name, Errno.ENOMEM), ("v6.12", Errno.EINVAL)):
            state = State(vmas=[vdso])
            assert did(state, "mmap", edition, **of_window(start), **words) is errno
            assert state.vmas == [vdso]
        assert did(State(vmas=[vdso]), "munmap", name, **of_window(start)) is Errno.EINVAL


@pytest.mark.parametrize("name", LINUX)
def test_the_heap_is_private_anonymous_memory_that_is_read_and_written(name: str) -> None:
    """do_brk_flags: VM_DATA_DEFAULT_FLAGS and VM_ACCOUNT; it never merges with what is behind it."""
    state = State(start_brk=W, brk=W)
    assert did(state, "brk", name, addr=(W + 2) * PAGE_SIZE) is Errno.OK
    assert (state.vmas, state.brk) == ([replace(PLAIN, account=True)], W + 2)
    assert PLAIN.backing == ANONYMOUS
    assert did(state, "brk", name, addr=(W + 3) * PAGE_SIZE - 5) is Errno.OK
    assert (state.vmas, state.brk) == ([replace(PLAIN, end=W + 3, account=True)], W + 3)
    assert did(state, "brk", name, addr=(W - 1) * PAGE_SIZE) is Errno.EINVAL
    assert did(state, "brk", name, addr=(W + 1) * PAGE_SIZE) is Errno.OK
    assert (state.vmas, state.brk) == ([replace(PLAIN, end=W + 1, account=True)], W + 1)
    behind = replace(PLAIN, start=W + 3, end=W + 4, offset=W + 3, account=True)
    state = State(vmas=[behind], start_brk=W + 1, brk=W + 1)
    assert did(state, "brk", name, addr=(W + 2) * PAGE_SIZE) is Errno.OK
    assert did(state, "brk", name, addr=(W + 3) * PAGE_SIZE) is Errno.ENOMEM  # the page behind it must be free too
    for counted, errno in ((9, Errno.OK), (10, Errno.OK), (11, Errno.ENOMEM)):
        full = State(start_brk=W, brk=W, elsewhere=counted, max_map_count=10)
        assert did(full, "brk", name, addr=(W + 1) * PAGE_SIZE) is errno
    sealed = State(vmas=[replace(PLAIN, sealed=True)], start_brk=W, brk=W + 2)
    assert did(sealed, "brk", name, addr=(W + 1) * PAGE_SIZE) is Errno.EPERM
    far = State(start_brk=W, brk=W)
    assert did(far, "brk", name, addr=(TASK_PAGES + 1) * PAGE_SIZE) is Errno.ENOMEM


@pytest.mark.parametrize("name", LINUX)
def test_munmap_asks_for_room_only_where_it_leaves_a_hole(name: str) -> None:
    """do_vmi_align_munmap: a range strictly inside one VMA makes one more, which the limit must allow; else none is
    asked for, though a cut at an end makes one more for a moment."""
    vma = replace(PLAIN, end=W + 4)
    for start, pages, free, errno in (
        (0, 1, 0, Errno.OK),
        (3, 1, 0, Errno.OK),
        (0, 4, 0, Errno.OK),
        (1, 2, 0, Errno.ENOMEM),
        (1, 2, 1, Errno.OK),
        (2, 4, 0, Errno.OK),
    ):
        state = State(vmas=[vma], elsewhere=9, max_map_count=10 + free)
        assert did(state, "munmap", name, **of_window(start, pages)) is errno, (start, pages, free)
        assert (state.vmas == [vma]) is (errno is not Errno.OK)


# mlock, mprotect ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LINUX)
def test_what_is_special_is_not_marked_locked(name: str) -> None:
    """mlock_fixup: VM_SPECIAL, hugetlb and VM_DROPPABLE stay as they are; munlock takes the mark of the rest."""
    huge = Vma(start=W, end=W + 512, read=True, backing=HUGETLB, object=4, may_share=True, may_write=False)
    for vma in (
        Vma(start=W, end=W + 2, read=True, backing=SPECIAL),
        huge,
        replace(PLAIN, write=False, droppable=True, noreserve=True),
        replace(PLAIN, write=False),
        SHARED,
    ):
        state = State(vmas=[vma], sizes={1: 8, 4: 1 << 20}, huge_pages=True)
        size = int(vma.end) - W
        assert did(state, "mlock", name, **of_window(0, size)) is Errno.OK
        exempt = vma.backing in (SPECIAL, HUGETLB) or vma.droppable
        assert state.vmas == [replace(vma, locked=not exempt)]
        assert state.pages == {}
        assert did(state, "munlock", name, **of_window(0, size)) is Errno.OK
        assert state.vmas == [vma]


@pytest.mark.parametrize("name", LINUX)
def test_growing_down_changes_the_vma_from_its_start(name: str) -> None:
    """do_mprotect_pkey: with PROT_GROWSDOWN the range begins where the VMA does, which must grow down."""
    stack = replace(PLAIN, end=W + 4, growsdown=True)
    state = State(vmas=[stack])
    assert did(state, "mprotect", name, **of_window(2, 1), prot=1 | 0x0100_0000) is Errno.OK
    assert [(int(v.end) - W, v.write) for v in state.vmas] == [(3, False), (4, True)]
    assert did(State(vmas=[PLAIN]), "mprotect", name, **of_window(), prot=1 | 0x0100_0000) is Errno.EINVAL
    assert did(State(vmas=[stack]), "mprotect", name, **of_window(), prot=1 | 0x0200_0000) is Errno.EINVAL


@pytest.mark.parametrize("name", LINUX)
def test_a_protection_that_the_mapping_may_not_have_is_eacces(name: str) -> None:
    """mprotect(2): EACCES, as for a file opened read-only and mapped shared; a seal is looked at before that up
    to 6.11, and after it since."""
    for may, prot in (("may_read", 1), ("may_write", 2), ("may_exec", 4)):
        vma = replace(PLAIN, read=False, write=False, **{may: False})  # type: ignore[arg-type]
        for sealed in (False, True):
            seal_first = EDITIONS[name].seals is not SealCheck.IN_THE_LOOP
            wanted = Errno.EPERM if sealed and seal_first else Errno.EACCES
            assert did(State(vmas=[replace(vma, sealed=sealed)]), "mprotect", name, **of_window(), prot=prot) is wanted
        assert did(State(vmas=[vma]), "mprotect", name, **of_window(), prot=7 - prot) is Errno.OK


@pytest.mark.parametrize("name", LINUX)
def test_the_execute_only_key_comes_and_goes_with_the_protection(name: str) -> None:
    """__arch_override_mprotect_pkey: PROT_EXEC alone takes the process's key, any other protection gives it back; a key
    that a program gave stays."""
    state = State(vmas=[PLAIN], pkeys={0, 3})
    for prot, key in ((4, 1), (1, 0), (3, 0), (4, 1), (5, 0), (0, 0)):
        assert did(state, "mprotect", name, **of_window(), prot=prot) is Errno.OK
        assert state.vmas[0].pkey == key, prot
    assert did(state, "pkey_mprotect", name, **of_window(), prot=4, pkey=3) is Errno.OK
    assert did(state, "mprotect", name, **of_window(), prot=1) is Errno.OK
    assert state.vmas[0].pkey == 3


@pytest.mark.parametrize("name", LINUX)
def test_charges_follow_what_may_be_written(name: str) -> None:
    """mprotect_fixup: private memory that becomes writable is charged, unless it is shared, huge or unreserved;
    anonymous memory that was never written gives its charge back when it becomes read-only."""
    unwritten = replace(PLAIN, write=False)
    for vma, prot, account in (
        (unwritten, 3, True),
        (replace(unwritten, noreserve=True), 3, False),
        (replace(SHARED, write=False), 3, False),
        (replace(PLAIN, account=True), 1, False),
        (replace(PLAIN, account=True, anon_vma=7), 1, True),
        (replace(SHARED, shared=False, may_share=False, account=True), 1, True),
        (replace(PLAIN, account=True), 7, True),
    ):
        state = State(vmas=[vma], sizes={1: 8})
        assert did(state, "mprotect", name, **of_window(), prot=prot) is Errno.OK
        assert state.vmas[0].account is account


@pytest.mark.parametrize("name", LINUX)
def test_memory_that_is_locked_is_faulted_in_when_it_becomes_writable(name: str) -> None:
    """mprotect_fixup: populate_vma_page_range, of private memory that was locked and not writable."""
    vma = replace(PLAIN, write=False, locked=True, account=True, anon_vma=7)
    state = State(vmas=[vma], pages={W: Page(copied=True, own=3)})
    assert did(state, "mprotect", name, **of_window(), prot=3) is Errno.OK
    assert state.pages == {W: Page(copied=True, own=3), W + 1: Page(copied=True)}
    state = State(vmas=[replace(vma, locked=False)])
    assert did(state, "mprotect", name, **of_window(), prot=3) is Errno.OK
    assert state.pages == {}


# mremap ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LINUX)
def test_room_that_mremap_asks_for(name: str) -> None:
    """move_vma wants three more maps than there are, mremap_to five (7.1 and later: four, before it looks)."""
    words = {"addr": W * PAGE_SIZE, "old_len": 2 * PAGE_SIZE, "new_addr": (W + 16) * PAGE_SIZE}
    early = EDITIONS[name].early_room
    for flags, new, spare in ((3, 2, 3 if early else 5), (1, 4, 3)):
        blocked = replace(PLAIN, start=W + 2, end=W + 3, offset=3, read=False)
        for free, errno in ((spare + 1, Errno.OK), (spare, Errno.ENOMEM)):
            state = State(vmas=[PLAIN, blocked], elsewhere=20, max_map_count=22 + free)
            assert did(state, "mremap", name, **words, new_len=new * PAGE_SIZE, flags=flags) is errno, (flags, free)


@pytest.mark.parametrize("name", LINUX)
def test_locked_memory_that_grows_is_faulted_in(name: str) -> None:
    """mremap: mm_populate of what was added, in place and elsewhere. Seen on 6.18.44: a private mapping of a file has
    copies of the new pages, which later stores to the file do not reach."""
    vma = replace(PLAIN, locked=True, anon_vma=7, backing=FILE, object=1, offset=0)
    for behind, first in (([], W), ([replace(PLAIN, start=W + 2, end=W + 3, offset=3, read=False)], None)):
        state = State(vmas=[vma, *behind], objects={(1, 2): 5}, sizes={1: 4})
        words = {"addr": W * PAGE_SIZE, "old_len": 2 * PAGE_SIZE, "new_len": 3 * PAGE_SIZE, "flags": 1, "new_addr": 0}
        result = perform(state, EDITIONS[name], "mremap", words)
        assert result.errno is Errno.OK and first in (None, result.value)
        assert state.pages == {result.value + 2: Page(copied=True, own=5)}
    state = State(vmas=[replace(vma, locked=False)], objects={(1, 2): 5}, sizes={1: 4})
    assert did(state, "mremap", name, **words) is Errno.OK
    assert state.pages == {}
