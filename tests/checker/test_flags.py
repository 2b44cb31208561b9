# SPDX-License-Identifier: MIT
"""Every bit of mmap's flags and protection, and of the words of other calls: modelled, without effect, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from checker.documents.base import NotModelled
from checker.documents.scenarios import RunResult, Scenario
from checker.scenario import run_scenario
from spec.advice import ADVICE
from spec.editions import EDITIONS, V6_12, V6_17, V6_18, V10, Edition
from spec.errors import Errno

WINDOW = 0x2000_0000_0000
PAGE = 4096
SHARED, PRIVATE, VALIDATE, FIXED, ANONYMOUS = 1, 2, 3, 0x10, 0x20
LOW, GROWSDOWN, LOCKED, NORESERVE, POPULATE, NONBLOCK = 0x40, 0x100, 0x2000, 0x4000, 0x8000, 0x10000
STACK, HUGETLB, SYNC, NOREPLACE = 0x20000, 0x40000, 0x80000, 0x100000
HUGE = 2 << 20
MARKING = (GROWSDOWN, LOCKED, NORESERVE, STACK, HUGETLB, SYNC)
"""Flags that can be told from the VMA that they make."""
LEGACY = 0x7C00_0000 | 0x1FFC0 & ~0x600 | STACK | HUGETLB
"""Flags that MAP_SHARED_VALIDATE lets through, as 6.18.44 does: those with a name but SYNC and FIXED_NOREPLACE."""


def run(*steps: dict[str, Any], edition: Edition = V6_18, **kernel: Any) -> RunResult:
    return run_scenario(Scenario.model_validate({"name": "n", "steps": steps, "kernel": kernel}), edition)


def mmap(page: int, flags: int, *, pages: int = 1, prot: int = 3, fd: int = -1, off: int = 0, **more: Any) -> Any:
    length = more.pop("len", pages * PAGE)
    step = {"call": "mmap", "addr": WINDOW + page * PAGE, "len": length, "prot": prot, "flags": flags}
    return {**step, "fd": fd, "off": off, **more}


def ranged(call: str, page: int, pages: int, **more: Any) -> dict[str, Any]:
    return {"call": call, "addr": WINDOW + page * PAGE, "len": pages * PAGE, **more}


def last(result: RunResult) -> tuple[str, str]:
    return result.steps[-1].ret, result.steps[-1].errno_name


@pytest.mark.parametrize("bit", range(6, 64))
@pytest.mark.parametrize("kind", ["private", "shared", "validate"])
def test_a_bit_of_mmap_marks_or_makes_no_difference(bit: int, kind: str) -> None:
    """Beside a mapping without it, at a fixed address: one VMA of both if the bit means nothing."""
    flag = 1 << bit
    sharing, fd = {"private": (PRIVATE | ANONYMOUS, -1), "shared": (SHARED, 100), "validate": (VALIDATE, 100)}[kind]
    base = sharing | FIXED
    off = 0 if fd < 0 else PAGE
    result = run(mmap(0, base, fd=fd), mmap(1, base | flag, fd=fd, off=off))
    if kind == "validate" and not flag & LEGACY:
        assert last(result) == ("-1", "EOPNOTSUPP")
    elif flag == HUGETLB or (flag == GROWSDOWN and fd >= 0):
        assert last(result) == ("-1", "EINVAL")
    else:
        assert last(result) == ("p1", "OK")
        assert len(result.steps[-1].vmas) == (2 if flag in MARKING else 1)


def test_map_stack_is_a_mark_where_there_are_transparent_huge_pages() -> None:
    steps = mmap(0, PRIVATE | ANONYMOUS | FIXED), mmap(1, PRIVATE | ANONYMOUS | FIXED | STACK)
    assert run(*steps).steps[-1].vmas == ("0-1 rw-p anon", "1-2 rw-p anon nh")
    assert run(*steps, transparent_huge_pages=False).steps[-1].vmas == ("0-2 rw-p anon",)


def test_map_32bit_takes_no_hint_above_two_gigabytes_and_goes_below() -> None:
    result = run(mmap(0, PRIVATE | ANONYMOUS | LOW))
    assert last(result) == ("elsewhere", "OK") and 0x4_0000 <= result.steps[0].value < 0x8_0000
    low = run(mmap(0, PRIVATE | ANONYMOUS | LOW, addr=0x1000_0000))
    assert low.steps[0].value == 0x1_0000
    assert last(run(mmap(0, PRIVATE | ANONYMOUS | LOW, len=HUGE << 10))) == ("-1", "ENOMEM")
    assert last(run(mmap(3, PRIVATE | ANONYMOUS | LOW | FIXED))) == ("p3", "OK")


def test_map_nonblock_takes_map_populate_back() -> None:
    """A populated private page of a file is a copy: what a shared mapping writes later does not show in it."""

    def reads(flags: int) -> str:
        steps = (
            mmap(0, PRIVATE | FIXED | flags, fd=100),
            mmap(1, SHARED | FIXED, fd=100),
            {"call": "write", "addr": WINDOW + PAGE, "byte": 7},
        )
        return run(*steps).steps[-1].bytes[:2]

    assert (reads(0), reads(POPULATE), reads(POPULATE | NONBLOCK)) == ("07", "40", "07")


def test_two_descriptors_of_one_file_do_not_share_a_private_vma() -> None:
    same = run(mmap(0, PRIVATE | FIXED, fd=100), mmap(1, PRIVATE | FIXED, fd=100, off=PAGE))
    other = run(mmap(0, PRIVATE | FIXED, fd=100), mmap(1, PRIVATE | FIXED, fd=101, off=PAGE))
    assert (len(same.steps[-1].vmas), len(other.steps[-1].vmas)) == (1, 2)
    assert same.steps[-1].bytes == other.steps[-1].bytes == "4041"


@pytest.mark.parametrize("bit", range(3, 64))
def test_a_bit_of_mmaps_protection_only_costs_the_execute_only_key(bit: int) -> None:
    alone = run(mmap(0, PRIVATE | ANONYMOUS | FIXED, prot=4)).steps[0].vmas
    more = run(mmap(0, PRIVATE | ANONYMOUS | FIXED, prot=4 | 1 << bit)).steps[0].vmas
    assert (alone, more) == (("0-1 --xp anon k1",), ("0-1 --xp anon",))


@pytest.mark.parametrize("bit", range(3, 64))
def test_a_bit_of_mprotects_protection_is_known_or_refused(bit: int) -> None:
    steps = mmap(0, PRIVATE | ANONYMOUS | FIXED), ranged("mprotect", 0, 1, prot=4 | 1 << bit)
    if bit == 3:
        with pytest.raises(NotModelled, match="execute-only-sem"):
            run(*steps)
    else:
        assert last(run(*steps)) == ("-1", "EINVAL")


def test_a_semaphore_bit_of_mprotects_protection_makes_no_difference_to_other_protections() -> None:
    result = run(mmap(0, PRIVATE | ANONYMOUS | FIXED), ranged("mprotect", 0, 1, prot=1 | 4 | 8))
    assert result.steps[-1].vmas == ("0-1 r-xp anon",)


@pytest.mark.parametrize("bit", range(64))
def test_unknown_bits_of_mremap_mseal_and_pkey_alloc_are_refused(bit: int) -> None:
    steps = [
        mmap(0, PRIVATE | ANONYMOUS | FIXED),
        ranged("mseal", 0, 1, flags=1 << bit),
        {"call": "pkey_alloc", "flags": 1 << bit},
        {"call": "pkey_alloc", "rights": 1 << bit},
        {"call": "mremap", "addr": WINDOW, "old_len": PAGE, "new_len": PAGE, "flags": 1 << bit},
    ]
    seen = [step.errno_name for step in run(*steps).steps[1:]]
    assert seen == ["EINVAL", "EINVAL", "OK" if bit < 2 else "EINVAL", "OK" if bit == 0 else "EINVAL"]


def test_rights_of_a_new_key_deny_the_thread() -> None:
    def stores(rights: int) -> str:
        steps = (
            mmap(0, PRIVATE | ANONYMOUS | FIXED),
            {"call": "pkey_alloc", "rights": rights},
            ranged("pkey_mprotect", 0, 1, prot=3, pkey=1),
            {"call": "write", "addr": WINDOW, "byte": 1},
        )
        return run(*steps).steps[-1].errno_name

    assert [stores(rights) for rights in range(4)] == ["OK", "EFAULT", "EFAULT", "EFAULT"]


def test_without_keys_the_first_allocation_fails_otherwise_than_the_next() -> None:
    result = run({"call": "pkey_alloc"}, {"call": "pkey_alloc"}, {"call": "fork"}, {"call": "pkey_alloc"}, pkeys=False)
    assert [step.errno_name for step in result.steps] == ["EINVAL", "ENOSPC", "OK", "ENOSPC"]


@pytest.mark.parametrize("pkey", [-2, -(1 << 31), -(1 << 63) + 1, 1, 16, (1 << 32) - 2, 1 << 31])
def test_a_key_that_nobody_allocated_is_refused(pkey: int) -> None:
    steps = mmap(0, PRIVATE | ANONYMOUS | FIXED), ranged("pkey_mprotect", 0, 1, prot=1, pkey=pkey)
    assert last(run(*steps)) == ("-1", "EINVAL")


@pytest.mark.parametrize("pkey", [-1, (1 << 32) - 1, (1 << 64) - 1, (1 << 33) - 1])
def test_minus_one_keeps_the_key_whatever_the_high_bits(pkey: int) -> None:
    steps = mmap(0, PRIVATE | ANONYMOUS | FIXED), ranged("pkey_mprotect", 0, 1, prot=1, pkey=pkey)
    assert last(run(*steps)) == ("0", "OK")


@pytest.mark.parametrize("edition", [V10, V6_12, V6_18])
def test_advice_is_known_by_number_and_configuration(edition: Edition) -> None:
    """With a length of zero: 0 for advice that is known, EINVAL for any other."""

    def known(**kernel: bool) -> set[int]:
        steps = [ranged("madvise", 0, 0, behavior=n) for n in range(128)]
        return {n for n, step in enumerate(run(*steps, edition=edition, **kernel).steps) if step.errno == 0}

    guards = set() if edition.guard_pages else {102, 103}
    assert known(memory_failure=True) == set(ADVICE.values()) - guards
    assert known(memory_failure=False) == set(ADVICE.values()) - guards - {100, 101}
    assert known() - known(transparent_huge_pages=False) == {14, 15, 25}
    assert known() - known(same_page_merging=False) == {12, 13}


# huge pages -----------------------------------------------------------------------------------------------------------


def huge(page: int = 0, flags: int = NORESERVE, **more: Any) -> dict[str, Any]:
    fields = {"len": HUGE, **more}
    return mmap(page, PRIVATE | ANONYMOUS | FIXED | HUGETLB | flags, **fields)


def moves(old: int, new: int) -> dict[str, Any]:
    to = WINDOW + 2 * HUGE
    return {"call": "mremap", "addr": WINDOW, "old_len": old, "new_len": new, "flags": 3, "new_addr": to}


def test_huge_pages_are_whole_where_they_begin_and_where_they_end() -> None:
    assert run(huge(len=1)).steps[0].vmas == ("0-512 rw-p file@0",)
    assert run(huge(len=HUGE + 1)).steps[0].vmas == ("0-1024 rw-p file@0",)
    assert last(run(huge(1))) == ("-1", "EINVAL")
    assert last(run(huge(len=(1 << 64) - PAGE))) == ("-1", "EINVAL")
    assert last(run(huge(off=PAGE))) == ("-1", "EINVAL")


@pytest.mark.parametrize("log", [size for size in range(64) if size != 30])
def test_pages_of_other_sizes_do_not_exist(log: int) -> None:
    expected = ("p0", "OK") if log in (0, 21) else ("-1", "EINVAL")
    assert last(run(huge(flags=NORESERVE | log << 26))) == expected


def test_a_part_of_a_huge_page_is_refused_by_every_call() -> None:
    part = (
        ranged("mseal", 0, 1),
        ranged("munmap", 0, 48),
        ranged("mprotect", 1, 511, prot=1),
        ranged("madvise", 1, 1, behavior=4),
        {**moves(PAGE, PAGE), "addr": WINDOW + PAGE},
        mmap(0, PRIVATE | ANONYMOUS | FIXED),
    )
    for step in part:
        result = run(huge(), step)
        assert last(result) == ("-1", "EINVAL")
        assert result.steps[-1].vmas == ("0-512 rw-p file@0",)


def test_mremap_rounds_up_to_huge_pages() -> None:
    moved = run(huge(), moves(PAGE, PAGE))
    assert last(moved) == ("elsewhere", "OK") and moved.steps[-1].vmas == ("@0x200000400-0x200000600 rw-p file@0",)
    assert last(run(huge(), moves(PAGE, HUGE + 1))) == ("-1", "EINVAL")


def test_a_seal_over_plain_memory_and_a_part_of_a_huge_page_seals_the_prefix() -> None:
    result = run(mmap(0, PRIVATE | ANONYMOUS | FIXED, pages=512), huge(512), ranged("mseal", 0, 513))
    assert last(result) == ("-1", "EINVAL")
    assert result.steps[-1].vmas[0] == "0-512 rw-p anon sl"


def test_huge_pages_that_are_not_free() -> None:
    """Without a reservation the mapping is made, and every access is a signal; with free ones all works."""
    store = {"call": "write", "addr": WINDOW, "byte": 7}
    assert last(run(huge(flags=0))) == ("-1", "ENOMEM")
    none = run(huge(), store)
    assert last(none) == ("-1", "EFAULT") and none.steps[0].bytes == "??" * 48
    enough = run(huge(flags=0), store, huge_pages=True)
    assert last(enough) == ("1", "OK") and enough.steps[-1].bytes == "07" + "00" * 47


def test_a_failed_reservation_has_destroyed_what_was_there() -> None:
    result = run(mmap(0, PRIVATE | ANONYMOUS | FIXED, pages=4), huge(flags=0))
    assert last(result) == ("-1", "ENOMEM") and result.steps[-1].vmas == ()


def test_a_hint_is_rounded_down_before_6_13_and_up_since() -> None:
    hint = mmap(1, PRIVATE | ANONYMOUS | HUGETLB | NORESERVE, len=HUGE)
    assert last(run(hint, edition=V6_12)) == ("p0", "OK")
    assert last(run(hint, edition=V6_17)) == ("elsewhere", "OK")


# beyond the model -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "anchor"),
    [
        ((huge(flags=NORESERVE | 30 << 26),), "gigantic-pages"),
        (
            (
                mmap(8, PRIVATE | ANONYMOUS | FIXED | GROWSDOWN),
                {"call": "write", "addr": WINDOW + 7 * PAGE, "byte": 1},
            ),
            "stack-growth",
        ),
        ((mmap(0, PRIVATE | ANONYMOUS | FIXED, addr=PAGE),), "machine-facts"),
        ((mmap(0, PRIVATE | ANONYMOUS | NOREPLACE, addr=15 * PAGE),), "machine-facts"),
        ((ranged("madvise", 0, 1, behavior=100),), "machine-facts"),
        ((ranged("madvise", 0, 1, behavior=(1 << 32) + 101),), "machine-facts"),
    ],
)
@pytest.mark.parametrize("edition", ["v10", "v6.12", "v6.18"])
def test_what_is_beyond_the_model_is_refused_with_its_place(
    steps: tuple[dict[str, Any], ...], anchor: str, edition: str
) -> None:
    with pytest.raises(NotModelled) as caught:
        run(*steps, edition=EDITIONS[edition])
    assert caught.value.pointer == f"/steps/{len(steps) - 1}"
    assert f"docs/EXCLUSIONS.md#{anchor}" in caught.value.reason


def test_facts_of_the_machine_decide_what_was_refused() -> None:
    low = mmap(0, PRIVATE | ANONYMOUS | FIXED, addr=PAGE)
    assert last(run(low, mmap_min_addr=PAGE)) == ("elsewhere", "OK")
    assert last(run(low, mmap_min_addr=2 * PAGE)) == ("-1", "EPERM")
    assert last(run(mmap(0, PRIVATE | ANONYMOUS | FIXED, addr=0))) == ("-1", "EPERM")
    assert last(run(mmap(0, PRIVATE | ANONYMOUS | FIXED, addr=0), mmap_min_addr=0)) == ("elsewhere", "OK")
    poison = ranged("madvise", 0, 1, behavior=100)
    assert last(run(poison, memory_failure=True)) == ("-1", "EPERM")
    assert last(run(poison, memory_failure=False)) == ("-1", "EINVAL")
    with pytest.raises(NotModelled, match="sealed-system-mappings"):
        run({"call": "vdso", "addr": WINDOW}, sealed_system_mappings=True)


def test_a_refusal_comes_only_where_the_answer_hangs_on_it() -> None:
    """Whatever the machine, a length of zero and an address out of line are refused first."""
    assert last(run(mmap(0, PRIVATE | ANONYMOUS | FIXED, addr=PAGE, len=0))) == ("-1", "EINVAL")
    assert last(run(ranged("madvise", 0, 1, behavior=100, addr=WINDOW + 1))) == ("-1", "EINVAL")
    assert run({"call": "write", "addr": WINDOW, "byte": 1}).steps[0].errno == Errno.EFAULT
