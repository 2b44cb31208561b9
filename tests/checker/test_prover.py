# SPDX-License-Identifier: MIT
"""The prover proves nothing that is false: not what was seen to happen, not where the solver has no answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import z3

from checker import prove
from checker.calls import explore_body
from checker.canaries import canary, proved_canaries, random_canaries
from checker.concrete import State
from checker.edge_states import WINDOW, WindowRefuses, WorldRefuses, edge_states
from checker.examples import ConcreteSnapshot, Example, problems, violation
from checker.prove import P, Prover
from spec.arguments import PageRange
from spec.editions import EDITIONS
from spec.errors import Errno
from spec.properties import PROPERTIES, Property
from spec.syscalls import CALLS
from spec.terms import Num, eq, lt, ne
from spec.vma import FILE, SPECIAL, Page, Vma
from spec.words import TASK_PAGES

V10 = EDITIONS["v10"]
SEEN = [(call, name) for name in ("v10", "v7.3") for call in CALLS if call != "mseal32"]


def never(name: str, **parts: Any) -> Property:
    """A property that is false."""
    return Property(
        **{"name": name, "sentence": "", "source": "", "calls": tuple(CALLS), "holds": lambda t, p: False, **parts}
    )


@pytest.mark.parametrize(("call", "name"), SEEN)
def test_what_was_seen_to_happen_is_not_proved_to_be_impossible(call: str, name: str) -> None:
    """Canaries: a narrower hypothesis than what is, a path that is not looked at, a wrong contract of a verb."""
    edition = EDITIONS[name]
    made = random_canaries(call, edition, Random(f"{call} {name}"), 8)
    assert len(made) >= 4
    silent = proved_canaries(explore_body(call, edition), made, 20_000)
    assert [(told.transition.errno.name, told.transition.check) for told in silent] == []


NARROWER: dict[str, z3.BoolRef] = {
    "the page is even": P % 2 == 0,
    "the page is odd": P % 2 == 1,
    "the page is mapped": z3.Function("mapped", z3.IntSort(), z3.BoolSort())(P),
    "there are few VMAs": z3.Int("map_count") < 12,
    "the limit is far": z3.Int("max_map_count") > z3.Int("map_count") + 3,
    "the range is short": z3.Int("arg_end") < z3.Int("arg_start") + 2,
    "the range is long": z3.Int("arg_end") > z3.Int("arg_start") + 2,
    "the heap is empty": z3.Int("brk") == z3.Int("start_brk"),
    "nothing is contradictory": z3.BoolVal(False),
}
"""Hypotheses that say too much."""


@pytest.mark.parametrize("what", NARROWER)
def test_a_hypothesis_that_says_too_much_is_heard_by_a_canary(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    explored, made = explore_body("munmap", V10), random_canaries("munmap", V10, Random(5), 12)
    facts = Prover._path_facts
    monkeypatch.setattr(Prover, "_path_facts", lambda self, path: [*facts(self, path), NARROWER[what]])
    assert proved_canaries(explored, made, 20_000)


def test_a_canary_denies_every_part_of_what_happened() -> None:
    """Another argument, another page before or after, another count, another key: that may never have happened."""
    explored, edition = explore_body("munmap", V10), V10
    vma = Vma(start=WINDOW, end=WINDOW + 2, read=True, offset=WINDOW)
    example = Example(State(vmas=[vma]), "munmap", PageRange(WINDOW, WINDOW + 1))
    made = canary(example, edition, Random(1))
    assert proved_canaries(explored, [made], 20_000) == []
    t = made.transition
    after = State(vmas=[replace(vma, start=WINDOW + 1, offset=WINDOW + 1)])
    for wrong in (
        replace(t, value=1),
        replace(t, after=ConcreteSnapshot(State(vmas=[vma]), edition)),
        replace(t, after=ConcreteSnapshot(replace(after, pkru=0), edition)),
        replace(t, after=ConcreteSnapshot(replace(after, brk=1), edition)),
        replace(t, after=ConcreteSnapshot(after, edition, 7)),
        replace(t, after=ConcreteSnapshot(replace(after, pages={WINDOW + 1: Page(guard=True)}), edition)),
        replace(t, after=ConcreteSnapshot(replace(after, vmas=[replace(after.vmas[0], thp=1)]), edition)),
    ):
        pages = tuple(sorted({WINDOW, WINDOW + 1}))
        assert proved_canaries(explored, [replace(made, transition=wrong, pages=pages)], 20_000) != []


def test_states_at_every_edge_are_admitted() -> None:
    """What both symbolic readings assume of an address space is so of every well-formed one."""
    world, windows = WorldRefuses(), {count: WindowRefuses(count) for count in (1, 2)}
    states = list(edge_states())
    assert len(states) > 1000
    for state in states:
        assert world(state) == []
        assert not state.vmas or windows[len(state.vmas)](state) == []


def test_there_are_as_many_states_at_edges_as_there_were() -> None:
    """A clause of well-formedness that says more would leave some of them out, and then nobody would miss them."""
    states = list(edge_states())
    assert len(states) == 2285
    assert sum(state.vmas[0].sealed for state in states if state.vmas) == 178


def test_what_an_edge_state_contradicts_is_told() -> None:
    """A state that is not well formed is refused, by both readings, with what it contradicts."""
    vma = Vma(start=WINDOW, end=WINDOW + 1, read=True)
    for ill in (
        State(vmas=[replace(vma, end=TASK_PAGES + 1)]),
        State(vmas=[replace(vma, may_read=False)]),
        State(vmas=[vma], pages={WINDOW: Page(copied=True, guard=True)}),
        State(vmas=[vma], max_map_count=7),
        State(vmas=[vma], start_brk=2, brk=1),
    ):
        assert problems(ill) or ill.max_map_count == 7 or ill.start_brk == 2
        assert WorldRefuses()(ill) and WindowRefuses(1)(ill)


def independent_answer(path: Any, prover: Prover) -> z3.CheckSatResult:
    """Whether a path can be taken, by a solver of its own."""
    solver = z3.Solver()
    world, space = prover.explored.world, path.space
    solver.add(*space.run.conditions, *space.facts(), *space.place_facts())
    solver.add(*world.axioms_of(space.named), *world.attributes_of(space.named))
    return solver.check()


@pytest.mark.parametrize("name", ["v10", "v6.17"])
@pytest.mark.parametrize("call", ["mseal", "munmap", "mprotect", "madvise", "brk", "mlock"])
def test_every_path_is_looked_at(call: str, name: str) -> None:
    """A false property is broken on each path that can be taken, alone and together with others, and in the order of
    the paths; a true one that speaks of one ending is not asked of others."""
    explored = explore_body(call, EDITIONS[name])
    prover = Prover(explored, 20_000)
    can_be = [path for path in explored.paths if independent_answer(path, prover) != z3.unsat]
    falsehoods = [
        never("false"),
        never("false again", every=lambda t, q: True),
        never("failures", outcomes=lambda t: t.failed),
        never("successes", outcomes=lambda t: not t.failed),
        never("here", when=lambda t, p: eq(p, 3)),
        never("of two pages", second=True, when=lambda t, p, q: True, holds=lambda t, p, q: eq(p, q)),
    ]
    examined = prover.examine(falsehoods)
    for prop in falsehoods:
        wanted = [path for path in can_be if prop.outcomes(path.transition)]
        assert [opened.path for opened in examined[prop.name].opened] == wanted, prop.name
        assert not examined[prop.name].proved


@pytest.mark.parametrize(
    "page", [0, 1, 2, 15, 16, 17, 511, 512, (1 << 31) + 1, 0x2_0000_0001, (1 << 35) - 2, (1 << 35) - 1]
)
def test_every_page_can_be_the_one_at_which_a_property_fails(page: int) -> None:
    explored = explore_body("munmap", V10)
    props = [
        never("mapped", holds=lambda t, p: ne(p, page), when=lambda t, p: t.before.at(p).mapped),
        never("unmapped", holds=lambda t, p: ne(p, page), when=lambda t, p: eq(t.before.at(p).mapped, False)),
        never("before", second=True, when=lambda t, p, q: lt(q, p), holds=lambda t, p, q: ne(q, page)),
        never("behind", second=True, when=lambda t, p, q: lt(p, q), holds=lambda t, p, q: ne(p, page)),
        never("second", second=True, when=lambda t, p, q: True, holds=lambda t, p, q: ne(q, page)),
        never("kept", holds=lambda t, p: ne(p, page), when=lambda t, p: t.after.at(p).mapped),
    ]
    examined = Prover(explored, 20_000).examine(props)
    in_space = page < (1 << 35) - 1
    for prop in props:
        if in_space or prop.name not in ("mapped", "kept"):
            assert examined[prop.name].opened, prop.name


class Silent:
    """Makes the solver give no answer, from some query on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.real, self.asked, self.silent = z3.Solver.check, 0, range(0)
        monkeypatch.setattr(z3.Solver, "check", lambda solver, *given: self.check(solver, *given))
        monkeypatch.setattr(z3.Solver, "reason_unknown", lambda self: "canceled")

    def check(self, solver: z3.Solver, *given: Any) -> z3.CheckSatResult:
        self.asked += 1
        return z3.unknown if self.asked - 1 in self.silent else self.real(solver, *given)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Silent]:
    yield Silent(monkeypatch)
    monkeypatch.undo()


def test_one_query_without_an_answer_proves_nothing(silent: Silent) -> None:
    """Whichever query it is: a false property is never proved, and a true one only if nothing was left open."""
    explored = explore_body("munmap", V10)
    props = [
        never("false"),
        PROPERTIES["never-unmapped"],
        never("two", second=True, when=lambda t, p, q: True, holds=lambda t, p, q: eq(p, q)),
    ]
    silent.asked = 0
    Prover(explored, 20_000).examine(props)
    count = silent.asked
    assert count > 8
    for first in range(count):
        silent.asked, silent.silent = 0, range(first, first + 1)
        examined = Prover(explored, 20_000).examine(props)
        assert not examined["false"].proved
        assert not examined["two"].proved
    silent.asked, silent.silent = 0, range(1 << 60)
    assert not any(told.proved for told in Prover(explored, 20_000).examine(props).values())


def test_an_examination_that_lacks_a_path_proves_nothing() -> None:
    explored = explore_body("munmap", V10)
    examined = Prover(explored, 20_000).examine([PROPERTIES["never-unmapped"]])["never-unmapped"]
    assert examined.proved
    for number in range(explored.count):
        account = examined.accounts.pop(number)
        assert not examined.proved
        examined.accounts[number] = "open"
        assert not examined.proved
        examined.accounts[number] = account


def test_a_property_that_says_nothing_has_no_witness() -> None:
    prover = Prover(explore_body("munmap", V10), 20_000)
    assert prover.witness(never("nowhere", when=lambda t, p: ne(p, p))) is None
    # four VMAs less: the unbounded reading takes that for possible, and no example of three VMAs shows it
    many = never(
        "many", when=lambda t, p: lt(t.after.map_count + 3, t.before.map_count), outcomes=lambda t: not t.failed
    )
    assert prover.witness(many) is None
    assert prover.witness(never("no such ending", outcomes=lambda t: t.errno is Errno.EBADF)) is None
    assert prover.witness(PROPERTIES["never-unmapped"]) is not None


def test_facts_of_a_path_do_not_speak_of_the_page_that_stands_for_all() -> None:
    """Before a property is asked of it, a path knows nothing of that page: neither name occurs in its conditions."""
    for call in ("mseal", "munmap", "mprotect", "brk", "mremap"):
        for path in explore_body(call, V10).paths:
            text = " ".join(condition.sexpr() for condition in path.conditions)
            assert f" {P} " not in text.replace("(", " ").replace(")", " ")
            assert "second_page" not in text


def test_a_property_that_holds_at_all_pages_but_one_is_not_proved() -> None:
    """The page is no constant of the call: it may lie anywhere about its range."""
    explored = explore_body("mseal", V10)

    def off(by: int, end: str) -> Property:
        def holds(t: Any, p: Num) -> Any:
            return ne(p, getattr(t.to, end) + by)

        return replace(never(f"{end} {by}"), holds=holds, outcomes=lambda t: not t.failed)

    props = [off(by, end) for end in ("start", "end") for by in (-3, -2, -1, 0, 1, 2)]
    examined = Prover(explored, 20_000).examine(props)
    assert [name for name, told in examined.items() if not told.opened] == []


def test_what_is_open_and_has_no_example_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "find_bounded", lambda *given: (None, ""))
    monkeypatch.setattr(Prover, "_smallest", lambda self, *given: None)
    decided = Prover(explore_body("munmap", V10), 20_000).decide([never("false")])["false"]
    assert decided.verdict == "open"


UNMAPPING = Example(
    State(vmas=[Vma(start=0x1000 + n, end=0x1001 + n, read=n % 2 == 0, offset=0x1000 + n) for n in range(3)]),
    "munmap",
    PageRange(0x1000, 0x1003),
)


def test_a_violation_is_seen_at_every_page() -> None:
    for page in (0x0FFF, 0x1000, 0x1001, 0x1002, 0x1003, 16):
        found = violation(never("at", holds=lambda t, p, page=page: p != page), UNMAPPING, V10)
        assert found is not None and found[0] == page


def test_a_violation_that_hangs_on_an_unmapped_page_is_one() -> None:
    """A property that reads a field of a page that is not mapped is broken, whatever happens to stand there."""
    for value in (False, True):
        found = violation(never("reads", holds=lambda t, p, v=value: t.after.at(p).vma.sealed is v), UNMAPPING, V10)
        assert found is not None


def test_what_is_ill_formed_has_a_problem() -> None:
    """Each clause by itself, on an address space that is well formed without it."""
    plain = Vma(start=0x1000, end=0x1002, read=True, write=True, anon_vma=7)
    assert problems(State(vmas=[plain], pages={0x1001: Page(copied=True, own=3, lazy=True)})) == []
    ill = [
        State(vmas=[plain, replace(plain, start=0x1001, end=0x1003)]),
        State(vmas=[replace(plain, start=0x1005, end=0x1006), plain]),
        State(vmas=[plain], pages={0x1002: Page(copied=True)}),
        State(vmas=[plain], pages={0x1002: Page(guard=True)}),
        State(vmas=[plain], pages={0x1000: Page(copied=True, guard=True)}),
        State(vmas=[plain], pages={0x1000: Page(lazy=True)}),
        State(vmas=[plain], pages={0x1000: Page(own=3)}),
        State(vmas=[replace(plain, anon_vma=0)], pages={0x1000: Page(copied=True)}),
        State(elsewhere=-1),
    ]
    changes: list[dict[str, Any]] = [
        {"end": 0x1000}, {"start": -1}, {"end": TASK_PAGES + 1}, {"offset": -1}, {"offset": 1 << 64}, {"backing": 9},
        {"object": 3}, {"backing": FILE}, {"shared": True}, {"may_share": True}, {"may_read": False}, {"pkey": 16},
        {"may_write": False}, {"exec": True, "may_exec": False}, {"pkey": -1}, {"anon_vma": -1}, {"reading": 3},
        {"anon_vma": 0, "inherited": True}, {"droppable": True}, {"thp": 3}, {"opened_read_only": True},
        {"backing": SPECIAL, "locked": True}, {"backing": SPECIAL, "growsdown": True},
        {"droppable": True, "noreserve": True, "locked": True}, {"backing": FILE, "object": 3, "wipeonfork": True},
        {"backing": FILE, "object": 3, "may_share": True}, {"backing": FILE, "object": 3, "shared": True},
    ]  # fmt: skip
    ill += [State(vmas=[replace(plain, **fields)]) for fields in changes]
    assert [state for state in ill if not problems(state)] == []
