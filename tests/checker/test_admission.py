# SPDX-License-Identifier: MIT
"""The list engine does nothing that the contracts of its verbs do not allow; a wrong contract is caught."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checker.admission import NotAdmitted, admit
from checker.concrete import State, TooManyPages
from checker.examples import Example, problems, violation
from checker.layout import LayoutSpace
from checker.machine import perform
from checker.random_cases import WINDOW, RandomCases
from proofs.soak import Case, Judge, as_json, from_json, main, shrunk
from spec.contracts import Contracts
from spec.editions import EDITIONS, SealCheck
from spec.errors import Errno
from spec.properties import PROPERTIES
from spec.syscalls import CALLS
from spec.terms import eq
from spec.vma import DEVZERO, FILE, HUGETLB, Page, Vma
from spec.words import MIN_PAGE, PAGE_SIZE, TASK_PAGES

LINUX = [name for name, edition in EDITIONS.items() if edition.has("mremap")]
PLAIN = Vma(start=WINDOW, end=WINDOW + 1, read=True, write=True, offset=WINDOW)


def case(call: str, state: State, edition: str = "v10", **words: int) -> Case:
    return Case(EDITIONS[edition], call, words, state)


def example(call: str, state: State, edition: str = "v10", **words: int) -> Example:
    made = case(call, state, edition, **words).example()
    assert made is not None
    return made


def move(old: int, pages: int, new: int, flags: int) -> dict[str, int]:
    size = pages * PAGE_SIZE
    return {"addr": old * PAGE_SIZE, "old_len": size, "new_len": size, "flags": flags, "new_addr": new * PAGE_SIZE}


@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 32), name=st.sampled_from(sorted(EDITIONS)))
def test_every_step_of_a_random_call_is_admitted(seed: int, name: str) -> None:
    edition = EDITIONS[name]
    cases = RandomCases(Random(seed))
    state = cases.state()
    assert problems(state) == []
    for call in (name for name in CALLS if edition.has(name) and name != "mseal32"):
        made = Case(edition, call, cases.words(call, state, edition), state).example()
        if made is not None:
            admit(made, edition)


@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 32), name=st.sampled_from(LINUX))
def test_traces_from_an_empty_address_space_stay_well_formed(seed: int, name: str) -> None:
    random, edition = Random(seed), EDITIONS[name]
    cases, state = RandomCases(random), State(max_map_count=30, start_brk=WINDOW, brk=WINDOW)
    calls = [name for name in CALLS if edition.has(name) and name not in ("mseal32", "pkru")]
    for _ in range(20):
        call = random.choice([*calls, "mmap", "mmap"])
        try:
            perform(state, edition, call, cases.words(call, state, edition))
        except TooManyPages:  # the concrete reading says so; the trace ends there
            return
        assert problems(state) == [], call


# what was proved, and false


@pytest.mark.parametrize("name", LINUX)
def test_a_moved_mapping_that_was_never_written_gets_the_offset_of_its_place(name: str) -> None:
    zero = replace(PLAIN, backing=DEVZERO, object=3, offset=0)
    made = example("mremap", State(vmas=[zero], sizes={3: 8}), name, **move(WINDOW, 1, WINDOW + 8, flags=3))
    transition, after = made.run(EDITIONS[name])
    assert transition.errno is Errno.OK
    assert after.vmas == [replace(zero, start=WINDOW + 8, end=WINDOW + 9, offset=WINDOW + 8)]
    assert violation(PROPERTIES["success-does-what-it-says"], made, EDITIONS[name]) is None
    admit(made, EDITIONS[name])


@pytest.mark.parametrize("name", [name for name in LINUX if EDITIONS[name].splits_locked_source])
def test_moving_the_middle_of_a_locked_vma_and_keeping_it_adds_three_vmas(name: str) -> None:
    locked = replace(PLAIN, end=WINDOW + 3, locked=True)
    state = State(vmas=[locked], elsewhere=8)
    made = example("mremap", state, name, **move(WINDOW + 1, 1, WINDOW + 20, flags=7))
    transition, after = made.run(EDITIONS[name])
    assert (transition.before.map_count, transition.after.map_count, len(after.vmas)) == (9, 12, 4)
    admit(made, EDITIONS[name])


def test_a_seal_that_goes_with_its_page_is_a_seal_that_is_removed() -> None:
    sealed = replace(PLAIN, start=WINDOW + 1, end=WINDOW + 2, offset=WINDOW + 1, sealed=True)
    made = example("munmap", State(vmas=[PLAIN, sealed]), "munmap-variant", addr=WINDOW * PAGE_SIZE, len=2 * PAGE_SIZE)
    assert violation(PROPERTIES["never-unsealed"], made, EDITIONS["munmap-variant"]) is not None


@pytest.mark.parametrize("name", list(EDITIONS))
@pytest.mark.parametrize("addr", [1, PAGE_SIZE, 15 * PAGE_SIZE + 1])
def test_a_hint_is_raised_before_it_is_tested_with_the_length(name: str, addr: int) -> None:
    state = State()
    words = {"addr": addr, "len": (TASK_PAGES - 5) * PAGE_SIZE, "prot": 3, "flags": 0x22}
    result = perform(state, EDITIONS[name], "mmap", {**words, "file": 0, "object": 0, "off": 0})
    assert result.errno is Errno.ENOMEM
    assert state.vmas == []


@pytest.mark.parametrize("call", ["mlock", "munlock"])
def test_a_stray_cut_moves_where_its_vma_begins_and_ends(call: str) -> None:
    """There is room for the cut at the start of the range, and none for the one at its end."""
    vma = replace(PLAIN, end=WINDOW + 3, locked=call == "munlock")
    state = State(vmas=[vma], elsewhere=12, max_map_count=14)
    made = example(call, state, addr=(WINDOW + 1) * PAGE_SIZE, len=PAGE_SIZE)
    transition, after = made.run(EDITIONS["v10"])
    assert transition.errno is Errno.ENOMEM
    assert [(vma.start, vma.end) for vma in after.vmas] == [(WINDOW, WINDOW + 1), (WINDOW + 1, WINDOW + 3)]
    admit(made, EDITIONS["v10"])


@pytest.mark.parametrize("name", LINUX)
def test_a_hint_of_mremap_below_the_lowest_address_is_refused_by_mremap(name: str) -> None:
    made = example("mremap", State(vmas=[PLAIN]), name, **move(WINDOW, 1, 3, flags=5))
    transition, _ = made.run(EDITIONS[name])
    assert (transition.errno, transition.check) == (
        Errno.EPERM, "mremap: the new address is below mmap_min_addr",
    )  # fmt: skip
    admit(made, EDITIONS[name])


def steps_are_admitted(made: Example, name: str, errno: Errno, vmas: int) -> State:
    """The call ends so, with so many VMAs, and each of its steps is admitted."""
    transition, after = made.run(EDITIONS[name])
    assert (transition.errno, len(after.vmas)) == (errno, vmas)
    admit(made, EDITIONS[name])
    return after


@pytest.mark.parametrize("name", LINUX)
def test_what_madv_remove_punches_is_gone_for_every_mapping(name: str) -> None:
    shared = replace(PLAIN, end=WINDOW + 2, backing=FILE, object=1, offset=0, shared=True, may_share=True)
    other = replace(shared, start=WINDOW + 8, end=WINDOW + 10)
    state = State(vmas=[shared, other], objects={(1, 0): 5, (1, 1): 6}, sizes={1: 2})
    made = example("madvise", state, name, addr=WINDOW * PAGE_SIZE, len=PAGE_SIZE, behavior=9)
    assert steps_are_admitted(made, name, Errno.OK, 2).objects == {(1, 1): 6}


@pytest.mark.parametrize("name", LINUX)
def test_a_new_mapping_that_merges_moves_where_its_neighbours_end(name: str) -> None:
    words = {"len": PAGE_SIZE, "prot": 3, "flags": 0x32, "file": 0, "object": 0, "off": 0}
    plain = replace(PLAIN, account=True)
    behind = replace(plain, start=WINDOW + 2, end=WINDOW + 3, offset=WINDOW + 2)
    for vmas in ([plain], [behind], [plain, behind]):
        made = example("mmap", State(vmas=vmas), name, addr=(WINDOW + 1) * PAGE_SIZE, **words)
        steps_are_admitted(made, name, Errno.OK, 1)


@pytest.mark.parametrize("name", LINUX)
def test_an_address_space_that_is_full_has_no_room(name: str) -> None:
    full = replace(PLAIN, start=MIN_PAGE, end=TASK_PAGES, offset=MIN_PAGE)
    words = {"len": PAGE_SIZE, "prot": 3, "flags": 0x22, "file": 0, "object": 0, "off": 0}
    steps_are_admitted(example("mmap", State(vmas=[full]), name, addr=0, **words), name, Errno.ENOMEM, 1)


@pytest.mark.parametrize("name", LINUX)
def test_a_hint_that_is_taken_may_lead_below_it(name: str) -> None:
    top = replace(PLAIN, start=TASK_PAGES - 2, end=TASK_PAGES, offset=0)
    words = {"addr": (TASK_PAGES - 2) * PAGE_SIZE, "len": PAGE_SIZE, "prot": 3, "flags": 0x22}
    made = example("mmap", State(vmas=[top]), name, **words, file=0, object=0, off=0)
    assert steps_are_admitted(made, name, Errno.OK, 2).vmas[0].start < TASK_PAGES - 2


@pytest.mark.parametrize("name", LINUX)
def test_a_pass_that_ends_at_its_second_vma_has_changed_the_first(name: str) -> None:
    may_not = replace(PLAIN, start=WINDOW + 1, end=WINDOW + 2, offset=WINDOW + 1, write=False, may_write=False)
    first = replace(PLAIN, write=False)
    made = example("mprotect", State(vmas=[first, may_not]), name, addr=WINDOW * PAGE_SIZE, len=2 * PAGE_SIZE, prot=3)
    after = steps_are_admitted(made, name, Errno.EACCES, 2)
    assert after.vmas[0].write is (EDITIONS[name].seals is not SealCheck.TWO_PASS)


@pytest.mark.parametrize("name", LINUX)
def test_a_pass_that_merges_shares_out_anon_vmas(name: str) -> None:
    unwritten = replace(PLAIN, write=False, noreserve=True)
    written = replace(PLAIN, start=WINDOW + 1, end=WINDOW + 2, offset=WINDOW + 1, anon_vma=7, noreserve=True)
    made = example("mprotect", State(vmas=[unwritten, written]), name, addr=WINDOW * PAGE_SIZE, len=PAGE_SIZE, prot=3)
    assert steps_are_admitted(made, name, Errno.OK, 1).vmas[0].anon_vma == 7


@pytest.mark.parametrize("name", LINUX)
def test_a_pass_faults_in_what_it_made_writable(name: str) -> None:
    locked = replace(PLAIN, write=False, locked=True)
    made = example("mprotect", State(vmas=[locked]), name, addr=WINDOW * PAGE_SIZE, len=PAGE_SIZE, prot=3)
    assert steps_are_admitted(made, name, Errno.OK, 1).pages == {WINDOW: Page(copied=True)}


@pytest.mark.parametrize("name", LINUX)
def test_populating_for_writing_copies(name: str) -> None:
    private = replace(PLAIN, backing=FILE, object=1, offset=0)
    state = State(vmas=[private], objects={(1, 0): 5}, sizes={1: 1})
    made = example("madvise", state, name, addr=WINDOW * PAGE_SIZE, len=PAGE_SIZE, behavior=23)
    assert steps_are_admitted(made, name, Errno.OK, 1).pages == {WINDOW: Page(copied=True, own=5)}


@pytest.mark.parametrize("name", LINUX)
def test_an_up_front_pass_finds_what_lies_behind(name: str) -> None:
    sealed = replace(PLAIN, start=WINDOW + 1, end=WINDOW + 2, offset=WINDOW + 1, sealed=True)
    made = example("munmap", State(vmas=[PLAIN, sealed]), name, addr=WINDOW * PAGE_SIZE, len=2 * PAGE_SIZE)
    if EDITIONS[name].tests_first_again:
        steps_are_admitted(made, name, Errno.OK, 0)
    else:
        steps_are_admitted(made, name, Errno.EPERM, 2)


@pytest.mark.parametrize("name", LINUX)
def test_a_store_to_shared_memory_is_in_its_object_and_nowhere_else(name: str) -> None:
    shared = replace(PLAIN, end=WINDOW + 2, backing=FILE, object=1, offset=0, shared=True, may_share=True)
    state = State(vmas=[shared], objects={(1, 1): 6, (2, 0): 7}, sizes={1: 2, 2: 2})
    after = steps_are_admitted(example("write", state, name, addr=WINDOW * PAGE_SIZE, byte=9), name, Errno.OK, 1)
    assert (after.objects, after.pages) == ({(1, 0): 9, (1, 1): 6, (2, 0): 7}, {})


@pytest.mark.parametrize("name", LINUX)
def test_a_stack_at_the_far_end_of_its_gap(name: str) -> None:
    stack = replace(PLAIN, start=WINDOW + 257, end=WINDOW + 258, growsdown=True)
    made = example("brk", State(vmas=[stack], start_brk=WINDOW, brk=WINDOW), name, addr=(WINDOW + 1) * PAGE_SIZE)
    steps_are_admitted(made, name, Errno.ENOMEM, 1)


@pytest.mark.parametrize("name", LINUX)
def test_a_mapping_that_grows_up_to_its_like_becomes_one_with_it(name: str) -> None:
    behind = replace(PLAIN, start=WINDOW + 2, end=WINDOW + 3, offset=WINDOW + 2)
    words = {"addr": WINDOW * PAGE_SIZE, "old_len": PAGE_SIZE, "new_len": 2 * PAGE_SIZE, "flags": 0, "new_addr": 0}
    steps_are_admitted(example("mremap", State(vmas=[PLAIN, behind]), name, **words), name, Errno.OK, 1)


# contracts that are wrong are caught


@contextmanager
def swapped(owner: type, name: str, function: object) -> Iterator[None]:
    kept = getattr(owner, name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def test_an_engine_that_changes_a_page_too_many_is_not_admitted() -> None:
    unmap = LayoutSpace.unmap
    state = State(vmas=[PLAIN, replace(PLAIN, start=WINDOW + 1, end=WINDOW + 2, offset=WINDOW + 1, sealed=True)])
    made = example("munmap", state, addr=WINDOW * PAGE_SIZE, len=PAGE_SIZE)
    admit(made, EDITIONS["v10"])
    with (
        swapped(LayoutSpace, "unmap", lambda self, start, end: unmap(self, start, end + 1)),
        pytest.raises(NotAdmitted, match="unmap"),
    ):
        admit(made, EDITIONS["v10"])


def test_a_contract_that_keeps_too_little_of_map_count_does_not_admit_the_engine() -> None:
    real = Contracts.unmap

    def lower(self: Contracts, start: int, end: int) -> None:
        before = self.count
        real(self, start, end)
        self.assume(eq(self.count, before - 2))

    state = State(vmas=[PLAIN])
    unmapping = example("munmap", state, addr=WINDOW * PAGE_SIZE, len=PAGE_SIZE)
    with swapped(Contracts, "unmap", lower), pytest.raises(NotAdmitted, match="unmap"):
        admit(unmapping, EDITIONS["v10"])


def test_without_keys_the_second_that_is_asked_for_is_refused_otherwise() -> None:
    state = State(has_pkeys=False)
    admit(example("pkey_alloc", state, flags=0, rights=0), EDITIONS["v10"])
    admit(example("pkey_alloc", replace(state, took_no_key=True), flags=0, rights=0), EDITIONS["v10"])


DEVIATIONS: dict[str, Callable[[Contracts], None]] = {
    "mapped": lambda space: setattr(space, "_view", lambda q, view=space._view: (True, view(q)[1])),
    "an attribute": lambda space: setattr(
        space, "_view", lambda q, view=space._view: (view(q)[0], replace(view(q)[1], dontdump=True))
    ),
    "a page": lambda space: setattr(space, "_page", lambda q: Page(guard=True)),
    "a boundary": lambda space: setattr(space, "_cut", lambda q, cut=space._cut: q == WINDOW + 1 or cut(q)),
    "no boundary": lambda space: setattr(space, "_cut", lambda q: False),
    "map_count": lambda space: setattr(space, "count", space.count + 1),
    "an object": lambda space: setattr(space, "_stored", lambda object, offset: 9),
    "writes denied": lambda space: setattr(space, "_write_denied", lambda key: key == 3),
    "reads denied": lambda space: setattr(space, "_access_denied", lambda key: True),
    "a key": lambda space: setattr(space, "_pkey_allocated", lambda key: key in (0, 3)),
    "the break": lambda space: setattr(space, "_brk", space._brk + 1),
    "the execute-only key": lambda space: setattr(space, "_exec_key", 3),
    "a fact of the path": lambda space: space.assume(False),
    "a fact of every page": lambda space: space.every_page.append(lambda q: q != WINDOW),
    "a fact of places": lambda space: space.places.append(lambda q: q != WINDOW),
}
"""What a contract may say that is not so, one thing at a time."""


@pytest.mark.parametrize("what", DEVIATIONS)
def test_whatever_a_contract_says_that_is_not_so_is_caught(what: str) -> None:
    real = Contracts.unmap

    def unmap(self: Contracts, start: int, end: int) -> None:
        real(self, start, end)
        DEVIATIONS[what](self)

    other = replace(PLAIN, start=WINDOW + 4, end=WINDOW + 5, backing=FILE, object=1, offset=0)
    state = State(vmas=[PLAIN, other], objects={(1, 0): 5}, sizes={1: 4}, pkru=0)
    unmapping = example("munmap", state, addr=WINDOW * PAGE_SIZE, len=PAGE_SIZE)
    admit(unmapping, EDITIONS["v10"])
    with swapped(Contracts, "unmap", unmap), pytest.raises(NotAdmitted, match="unmap"):
        admit(unmapping, EDITIONS["v10"])


def test_a_body_that_ends_otherwise_on_the_contracts_is_not_admitted() -> None:
    unmapping = example("munmap", State(vmas=[PLAIN]), addr=WINDOW * PAGE_SIZE, len=PAGE_SIZE)
    calls = iter((0, 1))
    real = CALLS["munmap"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CALLS, "munmap", replace(real, body=lambda mm, to: (real.body(mm, to), next(calls))[1]))
        with pytest.raises(NotAdmitted, match="ends with"):
            admit(unmapping, EDITIONS["v10"])


# the soak


def test_a_soak_finds_nothing_and_says_how_to_repeat_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "3", "--seed", "4", "--out", str(tmp_path / "found")]) == 0
    said = capsys.readouterr().out
    assert "0 found" in said
    assert "--seed 4" in said
    assert not (tmp_path / "found").exists()


def test_a_finding_is_made_smaller_saved_and_judged_again() -> None:
    other = replace(PLAIN, start=WINDOW + 5, end=WINDOW + 6, offset=WINDOW + 5)
    state = State(vmas=[PLAIN, other], pages={WINDOW + 5: Page(guard=True)})
    found = case("munmap", state, addr=WINDOW * PAGE_SIZE, len=PAGE_SIZE)
    judge = Judge(EDITIONS["v10"])
    unmap = LayoutSpace.unmap
    assert judge.wrong(found) == ""
    with swapped(LayoutSpace, "unmap", lambda self, start, end: unmap(self, start, end + 1)):
        beside = State(vmas=[PLAIN, replace(other, start=WINDOW + 1)])
        why = judge.wrong(case("munmap", beside, addr=WINDOW * PAGE_SIZE, len=PAGE_SIZE))
        assert why == "success-does-what-it-says is violated, and proved"
    again = from_json(as_json(found, "nothing"))
    assert again.words == found.words
    assert again.state.vmas == state.vmas
    assert shrunk(found, judge).state.vmas == []


HUGE = Vma(start=WINDOW, end=WINDOW + 512, read=True, write=True, backing=HUGETLB, object=4)
HUGE_NEXT = replace(HUGE, start=WINDOW + 512, end=WINDOW + 1536, object=5)
WHOLE_PLAIN = replace(PLAIN, end=WINDOW + 512)


@pytest.mark.parametrize("edition", ["v10", "v6.12", "v6.18", "v7.3"])
@pytest.mark.parametrize("vmas", [(HUGE,), (HUGE, HUGE_NEXT), (WHOLE_PLAIN, HUGE_NEXT)], ids=["one", "two", "mixed"])
@pytest.mark.parametrize(("old", "new"), [(496, 1), (511, 511), (513, 513), (513, 1024), (1023, 1023), (512, 1)])
def test_sizes_of_huge_mappings_need_not_be_whole(edition: str, vmas: tuple[Vma, ...], old: int, new: int) -> None:
    """The kernel rounds them up; the soak found what did not."""
    far = WINDOW + 4096
    words = {"addr": WINDOW, "old_len": old, "new_len": new, "flags": 0, "new_addr": far}
    words = {name: pages * PAGE_SIZE for name, pages in words.items()}
    state = State(vmas=list(vmas), sizes={4: 512, 5: 1024})
    for flags in (0, 1, 3):
        assert Judge(EDITIONS[edition]).wrong(case("mremap", state, edition, **(words | {"flags": flags}))) == ""
