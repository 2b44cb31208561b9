# SPDX-License-Identifier: MIT
"""The list engine, on cases that were worked out by hand from what kernels do; no recorded run has them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checker.concrete import ConcreteSpace, State
from checker.machine import perform
from spec.editions import EDITIONS
from spec.errors import Errno
from spec.vma import FILE, HUGE_PAGES, HUGETLB, SPECIAL, Page, Vma
from spec.words import PAGE_SIZE

W = 0x2_0000_0000
PLAIN = Vma(start=W, end=W + 1, read=True, write=True, offset=W)
LINUX = [name for name, edition in EDITIONS.items() if edition.has("mremap")]


def at(vma: Vma, start: int, pages: int, **fields: object) -> Vma:
    """The VMA at other pages, as part of the same place."""
    return replace(vma, start=W + start, end=W + start + pages, offset=W + start, **fields)  # type: ignore[arg-type]


def did(state: State, call: str, start: int, pages: int, edition: str = "v10", **words: int) -> Errno:
    """Make a call on pages of the window."""
    given = {"addr": (W + start) * PAGE_SIZE, "len": pages * PAGE_SIZE, **words}
    return perform(state, EDITIONS[edition], call, given).errno


def ranges(state: State) -> list[tuple[int, int]]:
    """Where the VMAs lie, in pages of the window."""
    return [(int(vma.start) - W, int(vma.end) - W) for vma in state.vmas]


@pytest.mark.parametrize("name", LINUX)
def test_special_mappings_and_huge_pages_never_merge(name: str) -> None:
    """VM_SPECIAL (VM_DONTEXPAND, VM_PFNMAP) keeps can_vma_merge_before and _after from looking further."""
    vdso = Vma(start=W, end=W + 2, read=True, exec=True, backing=SPECIAL)
    state = State(vmas=[replace(vdso, sealed=True), replace(vdso, start=W + 2, end=W + 4, offset=2)])
    assert did(state, "mseal", 2, 2, name, flags=0) is Errno.OK
    assert ranges(state) == [(0, 2), (2, 4)]
    pages = Vma(
        start=W, end=W + HUGE_PAGES, read=True, write=True, backing=HUGETLB, object=4, may_share=True, shared=True
    )
    behind = replace(pages, start=W + HUGE_PAGES, end=W + 2 * HUGE_PAGES, offset=HUGE_PAGES, write=False)
    state = State(vmas=[pages, behind], sizes={4: 1 << 20})
    assert did(state, "mprotect", HUGE_PAGES, HUGE_PAGES, name, prot=3) is Errno.OK
    assert ranges(state) == [(0, HUGE_PAGES), (HUGE_PAGES, 2 * HUGE_PAGES)]


@pytest.mark.parametrize("name", LINUX)
def test_what_dontunmap_leaves_behind_is_not_locked(name: str) -> None:
    """move_vma clears VM_LOCKED of what stays, and the copy is locked as the source was."""
    state = State(vmas=[at(PLAIN, 0, 1, locked=True, anon_vma=7)], pages={W: Page(copied=True, own=3)})
    words = {"old_len": PAGE_SIZE, "new_len": PAGE_SIZE, "flags": 7, "new_addr": (W + 9) * PAGE_SIZE}
    assert did(state, "mremap", 0, 1, name, **words) is Errno.OK
    assert [(r, vma.locked) for r, vma in zip(ranges(state), state.vmas, strict=True)] == [
        ((0, 1), False),
        ((9, 10), True),
    ]
    assert state.pages == {W + 9: Page(copied=True, own=3)}


@pytest.mark.parametrize("name", LINUX)
@pytest.mark.parametrize("between", ["no access", "beyond the object", "guard page"])
def test_faulting_in_stops_at_what_cannot_be_faulted_in(name: str, between: str) -> None:
    """__mm_populate ends at the first range that __get_user_pages cannot fault in: what is behind stays as it was."""
    edition = EDITIONS[name]
    middle = at(PLAIN, 1, 1, read=False, write=False)
    pages = {}
    if between == "beyond the object":
        middle = replace(at(PLAIN, 1, 1), backing=FILE, object=1, offset=4)
    if between == "guard page":
        if not edition.guard_pages:
            return
        middle, pages = at(PLAIN, 1, 1, thp=1), {W + 1: Page(guard=True)}
    state = State(vmas=[at(PLAIN, 0, 1), middle, at(PLAIN, 2, 1)], pages=dict(pages), sizes={1: 4})
    assert did(state, "mlock", 0, 3, name) is (Errno.OK if name == "mimmutable" else Errno.ENOMEM)
    if edition.seals.name != "TWO_PASS":
        assert all(vma.locked for vma in state.vmas)
        assert {W: Page(copied=True), **pages} == {n: page for n, page in state.pages.items() if n != W + 1 or pages}
        assert W + 2 not in state.pages


@pytest.mark.parametrize("name", LINUX)
def test_the_heap_keeps_the_stack_gap_and_no_page_more(name: str) -> None:
    """sys_brk: find_vma_intersection(oldbrk, newbrk + PAGE_SIZE), vm_start_gap: 256 pages of 4096 bytes by default."""
    for free, errno in ((255, Errno.ENOMEM), (256, Errno.ENOMEM), (257, Errno.OK), (258, Errno.OK)):
        state = State(vmas=[at(PLAIN, 1 + free, 1, growsdown=True)], start_brk=W, brk=W)
        assert did(state, "brk", 1, 0, name) is errno, free


def test_pkru_denies_reads_by_one_bit_and_writes_by_either() -> None:
    """Bit 2n of PKRU is access-disable, bit 2n + 1 write-disable (Intel SDM, volume 3, 4.6.2)."""
    space = ConcreteSpace(State(pkru=0b01_10_11_00), EDITIONS["v10"])
    assert [space.access_denied(key) for key in range(4)] == [False, True, False, True]
    assert [space.write_denied(key) for key in range(4)] == [False, True, True, True]


def test_a_new_key_denies_only_what_was_asked() -> None:
    """pkey_alloc(0, rights) sets both bits of the new key, whatever they were: init_pkru denies all keys but 0."""
    for rights, bits in ((0, 0b00), (1, 0b01), (2, 0b10)):
        state = State()
        assert perform(state, EDITIONS["v10"], "pkey_alloc", {"flags": 0, "rights": rights}).value == 1
        assert (state.pkru >> 2 & 3, state.pkru >> 4, state.pkeys) == (bits, 0x0555_5555, {0, 1})


def test_the_execute_only_key_is_none_that_a_program_allocated() -> None:
    """mm_pkey_is_allocated: the key that mprotect took for execute-only memory is refused to pkey_mprotect."""
    state = State(vmas=[at(PLAIN, 0, 2)], pkru=0)
    assert did(state, "mprotect", 0, 1, prot=4) is Errno.OK
    assert (state.exec_key, state.vmas[0].pkey, state.pkru) == (1, 1, 0b01_00)  # and denies access through it
    assert did(state, "pkey_mprotect", 1, 1, prot=1, pkey=1) is Errno.EINVAL
    assert did(state, "pkey_mprotect", 1, 1, prot=1, pkey=0) is Errno.OK


# anon_vmas ------------------------------------------------------------------------------------------------------------

TOGETHER = [
    # (anon_vma, inherited) of what changes, of its neighbour; whether they become one VMA: before 6.16, and since
    ((0, False), (0, False), True, True),
    ((0, False), (7, False), True, True),
    ((0, False), (7, True), False, False),
    ((7, False), (0, False), False, True),
    ((7, True), (0, False), False, False),
    ((7, False), (7, False), True, True),
    ((7, True), (7, True), True, True),
    ((7, False), (8, False), False, False),
]
"""is_mergeable_anon_vma: one anon_vma, or one side has none and the chain of the other one is singular. Before 6.16 the
chain of the neighbour was asked, and an empty one is not singular."""


@pytest.mark.parametrize("name", LINUX)
@pytest.mark.parametrize(("changing", "beside", "before", "since"), TOGETHER)
def test_which_anon_vmas_go_together(
    changing: tuple[int, bool], beside: tuple[int, bool], before: bool, since: bool, name: str
) -> None:
    merges = since if EDITIONS[name].merges_into_unfaulted else before
    for place, other in ((0, 1), (1, 0)):
        made = at(PLAIN, place, 1, write=False, anon_vma=changing[0], inherited=changing[1], noreserve=True)
        kept = at(PLAIN, other, 1, anon_vma=beside[0], inherited=beside[1], noreserve=True)
        state = State(vmas=sorted([made, kept], key=lambda vma: int(vma.start)))
        assert did(state, "mprotect", place, 1, name, prot=3) is Errno.OK
        assert ranges(state) == ([(0, 2)] if merges else [(0, 1), (1, 2)])
        if merges:
            assert state.vmas[0].anon_vma == max(changing[0], beside[0])


@pytest.mark.parametrize("name", LINUX)
def test_three_become_one_only_if_the_outer_two_go_together(name: str) -> None:
    """vma_merge_existing_range: left and right need one anon_vma, or one of them none; what is made has the one that
    there was."""
    for left, right, made in ((7, 7, [7]), (0, 7, [7]), (7, 0, [7]), (0, 0, [0]), (7, 8, [7, 8])):
        state = State(
            vmas=[
                at(PLAIN, 0, 1, anon_vma=left, noreserve=True),
                at(PLAIN, 1, 1, write=False, noreserve=True),
                at(PLAIN, 2, 1, anon_vma=right, noreserve=True),
            ]
        )
        assert did(state, "mprotect", 1, 1, name, prot=3) is Errno.OK
        assert [vma.anon_vma for vma in state.vmas] == made


@pytest.mark.parametrize("name", LINUX)
def test_a_first_store_takes_the_anon_vma_of_a_neighbour_that_has_one_of_its_own(name: str) -> None:
    """find_mergeable_anon_vma, reusable_anon_vma: the neighbours may differ in protection only, and the chain is
    singular."""
    cases: list[tuple[dict[str, object], bool]] = [
        ({"anon_vma": 7}, True),
        ({"anon_vma": 7, "write": False}, True),
        ({"anon_vma": 7, "inherited": True}, False),
        ({"anon_vma": 7, "sealed": True}, False),
        ({"anon_vma": 7, "offset": 5}, False),
        ({"anon_vma": 0}, False),
    ]
    for fields, taken in cases:
        for mine, other in ((0, 1), (1, 0)):
            neighbour = replace(at(PLAIN, other, 1), **fields)  # type: ignore[arg-type]
            state = State(vmas=sorted([at(PLAIN, mine, 1), neighbour], key=lambda vma: int(vma.start)))
            assert perform(state, EDITIONS[name], "write", {"addr": (W + mine) * PAGE_SIZE, "byte": 1}).value == 1
            found = state.vmas[mine].anon_vma
            assert (found == 7) is taken and found != 0, fields


@pytest.mark.parametrize("name", LINUX)
def test_what_came_through_fork_grows_into_its_neighbour(name: str) -> None:
    """vma_merge_extend passes no VMA whose chain could be asked: what is behind joins if it has that anon_vma, and from
    6.16 on if it has none."""
    for behind in (0, 7):
        joins = behind == 7 or EDITIONS[name].merges_into_unfaulted
        kept = at(PLAIN, 0, 1, anon_vma=7, inherited=True)
        state = State(vmas=[kept, at(PLAIN, 2, 1, anon_vma=behind, inherited=behind == 7)])
        words = {"old_len": PAGE_SIZE, "new_len": 2 * PAGE_SIZE, "flags": 0, "new_addr": 0}
        assert did(state, "mremap", 0, 1, name, **words) is Errno.OK
        assert ranges(state) == ([(0, 3)] if joins else [(0, 2), (2, 3)]) and state.vmas[0].anon_vma == 7


@pytest.mark.parametrize("name", LINUX)
def test_what_dontunmap_leaves_behind_whole_has_no_anon_vma(name: str) -> None:
    """move_vma: unlink_anon_vmas of a source that was moved as a whole; one that was moved in part keeps it."""
    words = {"old_len": PAGE_SIZE, "new_len": PAGE_SIZE, "flags": 7, "new_addr": (W + 9) * PAGE_SIZE}
    for pages, left in ((1, 0), (2, 7)):
        state = State(vmas=[at(PLAIN, 0, pages, anon_vma=7)], pages={W: Page(copied=True, own=3)})
        assert did(state, "mremap", 0, 1, name, **words) is Errno.OK
        assert [vma.anon_vma for vma in state.vmas] == [left, 7]


@pytest.mark.parametrize("name", LINUX)
def test_what_dontunmap_leaves_behind_has_the_offset_that_its_kernel_gives_it(name: str) -> None:
    """Memory that was moved before has the page offset of its old place; left behind empty it gets that of where it is,
    but from 6.12.43 to 7.1 (seen on 6.18.15 and 7.2.6). A copy right beside its source joins it in some of them."""
    edition = EDITIONS[name]
    words = {"old_len": PAGE_SIZE, "new_len": PAGE_SIZE, "flags": 7}
    state = State(vmas=[at(PLAIN, 0, 1, anon_vma=7)], pages={W: Page(copied=True, own=3)})
    state.vmas[0] = replace(state.vmas[0], offset=W + 5)
    assert did(state, "mremap", 0, 1, name, **words, new_addr=(W + 9) * PAGE_SIZE) is Errno.OK
    assert [vma.offset for vma in state.vmas] == [W if edition.resets_kept_offset else W + 5, W + 5]
    state = State(vmas=[at(PLAIN, 0, 1)])
    assert did(state, "mremap", 0, 1, name, **words, new_addr=(W + 1) * PAGE_SIZE) is Errno.OK
    assert ranges(state) == ([(0, 2)] if edition.joins_kept_source else [(0, 1), (1, 2)])


@pytest.mark.parametrize("name", [name for name in LINUX if EDITIONS[name].guard_pages])
def test_a_guard_page_gives_its_vma_an_anon_vma(name: str) -> None:
    """madvise_guard_install: anon_vma_prepare, so that fork copies page tables; of files from 6.15 to 6.17."""
    for vma, given in (
        (at(PLAIN, 0, 2), True),
        (at(PLAIN, 0, 2, backing=FILE, object=1), EDITIONS[name].guards_prepare_files),
    ):
        state = State(vmas=[vma], sizes={1: 1 << 40})
        errno = did(state, "madvise", 0, 2, name, behavior=102)
        assert errno is (Errno.OK if vma.backing != FILE or EDITIONS[name].guards_files else Errno.EINVAL)
        assert (state.vmas[0].anon_vma != 0) is (given and errno is Errno.OK)


def test_a_hint_over_a_mapping_leads_elsewhere() -> None:
    """get_unmapped_area: a hint is taken where the whole range is free, else it is as if there were none."""
    words = {"prot": 3, "flags": 0x22, "file": 0, "object": 0, "off": 0}
    for start, pages, taken in ((0, 1, False), (-1, 2, False), (-1, 1, True), (1, 1, True), (1, 1 << 20, True)):
        state = State(vmas=[at(PLAIN, 0, 1)])
        addr = (W + start) * PAGE_SIZE
        result = perform(state, EDITIONS["v10"], "mmap", {"addr": addr, "len": pages * PAGE_SIZE, **words})
        assert result.errno is Errno.OK and (result.value == W + start) is taken
        assert at(PLAIN, 0, 1).start < state.vmas[-1].end


@pytest.mark.parametrize(("name", "after"), [("v6.12", [(0, 1), (1, 4)]), ("v6.18", [(0, 4)])])
def test_written_neighbours_that_one_mseal_makes_alike_stay_two_before_6_17(
    name: str, after: list[tuple[int, int]]
) -> None:
    """Seen with these calls on 6.12.117 and on 6.18.44. The first VMA cannot merge with the second, which was never
    written; then the third merges with both its neighbours, and the second has the anon_vma of the first."""
    layout = [(False, 2), (True, 0), (False, 0), (True, 2)]
    state = State(vmas=[at(PLAIN, i, 1, sealed=sealed, anon_vma=anon) for i, (sealed, anon) in enumerate(layout)])
    assert did(state, "mseal", 0, 4, name, flags=0) is Errno.OK
    assert ranges(state) == after
    assert {vma.anon_vma for vma in state.vmas} == {2}


def test_dontunmap_unlocks_what_its_copy_joins_with_the_source() -> None:
    """Seen on 6.18.44: page 0 is in neither range, and is not locked any more."""
    state = State(vmas=[at(PLAIN, 0, 1, locked=True), at(PLAIN, 2, 2, locked=True)])
    words = {"old_len": PAGE_SIZE, "new_len": PAGE_SIZE, "flags": 7, "new_addr": (W + 1) * PAGE_SIZE}
    assert did(state, "mremap", 2, 1, "v6.18", **words) is Errno.OK
    assert [(r, vma.locked) for r, vma in zip(ranges(state), state.vmas, strict=True)] == [((0, 4), False)]
