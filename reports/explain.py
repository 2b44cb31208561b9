# SPDX-License-Identifier: MIT
"""The checks of a call in the kernel's order, found by walking every path of the call in the unbounded reading.

Each path is a sequence of checks that it passed, up to the one that ended it. The order shown is one that agrees with
every path; nothing about a call is written down here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeAlias

import z3

from checker.calls import symbolic_arguments, words_of
from checker.paths import Run, explore
from checker.prove import SEARCH_LIMIT
from checker.unbounded import UnboundedSpace, World
from spec.editions import Edition, SealCheck
from spec.errors import Errno
from spec.space import Done, Gap, Guards, Refused, Visit
from spec.syscalls import CALLS
from spec.terms import Bool, Num
from spec.vma import Vma

ARGUMENTS, UP_FRONT, CHANGING, AFTER = "arguments", "up front", "changing pass", "after changes"
"""When a check is made: on the arguments alone; before anything has changed; at each VMA, when those before it have
been changed; when the call may have changed something already."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a call."""

    stage: str
    """ARGUMENTS, UP_FRONT, CHANGING or AFTER."""
    check: str
    errno: str
    """Name of the errno; "OK" for a check that ends the call successfully."""
    changed: tuple[str, ...]
    """What the call may have done by then: names of verbs, in the order in which they first come."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A call of one edition."""

    call: str
    edition: str
    kernel: str
    source: str
    words: tuple[str, ...]
    step: bool
    """Not a system call but something that happens without one."""
    arguments: str
    """What the argument stage says of itself."""
    body: str
    """What the body says of itself."""
    checks: tuple[Check, ...]


_Key: TypeAlias = tuple[str, Errno]
_BEGIN: _Key = ("", Errno.OK)
"""What comes before the first check of every path."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A check on a path. `pass_at` is the path's length when its changing pass began (None outside one), `choices` how
    many choices of the pass came before: they order the ways in which one pass can end."""

    check: str
    errno: Errno
    changed: tuple[str, ...]
    possible: bool = True
    """The check is not false whatever the state."""
    pass_at: int | None = None
    choices: int = 0

    @property
    def key(self) -> _Key:
        """What tells one check from another: a name may stand for different errnos in different places."""
        return self.check, self.errno


class _Again(Exception):
    """A loop of the call begins its second round: nothing new comes on this path."""


@dataclass(slots=True)
class _Trail:
    """What one path met, in order."""

    seen: list[_Seen] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def meet(
        self, check: str, errno: Errno, *, possible: bool = True, pass_at: int | None = None, choices: int = 0
    ) -> None:
        """A check is made; twice in a row, it is one. Raises _Again if the path has come round to it in a loop."""
        if self.seen and self.seen[-1].key == (check, errno):
            last = self.seen[-1]
            self.seen[-1] = replace(last, changed=tuple(self.changed), possible=last.possible or possible)
            return
        self.seen.append(_Seen(check, errno, tuple(self.changed), possible, pass_at, choices))
        self._stop_in_second_round()

    def _stop_in_second_round(self) -> None:
        """Two checks in the order in which the path met them before are taken for a second round. What was changed in
        the first one may have been changed at each check of the loop."""
        last = [seen.key for seen in self.seen[-2:]]
        for i in range(len(self.seen) - 3 if len(set(last)) == 2 else 0):
            if [seen.key for seen in self.seen[i : i + 2]] == last:
                self.seen[i:] = [replace(seen, changed=tuple(self.changed)) for seen in self.seen[i:]]
                raise _Again

    def act(self, verb: str) -> None:
        """Something was changed."""
        if verb not in self.changed:
            self.changed.append(verb)


class _WordRecorder(Guards):
    """The argument stage over 64-bit vectors, which notes each check."""

    def __init__(self, edition: Edition, run: Run, trail: _Trail) -> None:
        self.edition, self.run, self.trail = edition, run, trail

    def decide(self, cond: Bool) -> bool:
        return self.run.decide(cond)

    def skipped(self, check: str) -> bool:
        return False

    def fail_if(self, cond: Bool, errno: Errno, check: str) -> None:
        self.trail.meet(check, errno, possible=cond is not False)
        super().fail_if(cond, errno, check)

    def finish_if(self, cond: Bool, check: str, value: Num = 0) -> None:
        self.trail.meet(check, Errno.OK, possible=cond is not False)
        super().finish_if(cond, check, value)


class _Recorder(UnboundedSpace):
    """The unbounded reading, which notes each check and each change."""

    def __init__(self, world: World, edition: Edition, run: Run, trail: _Trail) -> None:
        super().__init__(world, edition, run)
        self.trail = trail
        self.choices = 0
        self.looks_ahead = False
        self.foreseen: set[_Key] = set()
        """The tests of passes that were made ahead, to see whether they would fail."""

    def foresee(
        self,
        start: Num,
        end: Num,
        visit: Callable[[Vma, Visit], Vma],
        *,
        gap: Gap,
        no_room: Errno = Errno.ENOMEM,
    ) -> None:
        self.looks_ahead = True
        super().foresee(start, end, visit, gap=gap, no_room=no_room)
        self.looks_ahead = False

    def _free(self, what: str, refusal: tuple[Errno, str] | None = None) -> bool:
        self.choices += 1
        return super()._free(what, refusal)

    def fail_if(self, cond: Bool, errno: Errno, check: str) -> None:
        self.trail.meet(check, errno, possible=cond is not False)
        super().fail_if(cond, errno, check)

    def finish_if(self, cond: Bool, check: str, value: Num = 0) -> None:
        self.trail.meet(check, Errno.OK, possible=cond is not False)
        super().finish_if(cond, check, value)

    def may_fail(self, errno: Errno, why: str) -> None:
        self.trail.meet(why, errno)
        super().may_fail(errno, why)

    def check_each(self, start: Num, end: Num, test: Callable[[Vma], Bool], errno: Errno, check: str) -> None:
        self.trail.meet(check, errno)
        super().check_each(start, end, test, errno, check)

    def check_mapped(self, start: Num, end: Num, errno: Errno, check: str) -> None:
        self.trail.meet(check, errno)
        super().check_mapped(start, end, errno, check)

    def change_each(
        self,
        start: Num,
        end: Num,
        visit: Callable[[Vma, Visit], Vma],
        *,
        gap: Gap,
        no_room: Errno = Errno.ENOMEM,
        cursor: str = "follows",
    ) -> None:
        tests: list[tuple[Errno, str]] = []

        def noted(vma: Vma, at: Visit) -> Vma:
            after = visit(vma, at)
            for cond, errno, check in at.tests:
                if cond is not False and (errno, check) not in tests:
                    tests.append((errno, check))
            return after

        begun, choices = None if self.looks_ahead else len(self.trail.seen), self.choices
        try:
            super().change_each(start, end, noted, gap=gap, no_room=no_room, cursor=cursor)
        except Refused as refused:
            self._note(tests, begun)
            if (refused.errno, refused.check) not in tests and (refused.check, refused.errno) not in self.foreseen:
                made = 0 if self.looks_ahead else self.choices - choices
                self.trail.meet(refused.check, refused.errno, pass_at=begun, choices=made)
            raise
        self._note(tests, begun)
        if not self.looks_ahead:
            self.trail.act("change of each VMA")

    def _note(self, tests: Iterable[tuple[Errno, str]], begun: int | None) -> None:
        for errno, check in tests:
            if self.looks_ahead:
                self.foreseen.add((check, errno))
            elif (check, errno) in self.foreseen:
                continue
            self.trail.meet(check, errno, pass_at=begun)


ACTS = {
    "split": "split",
    "unmap": "unmap",
    "map": "map",
    "move": "move",
    "expand": "expand",
    "lock": "fault in",
    "set_brk": "set the break",
    "store": "store",
    "set_page": "drop the page",
}
"""The verbs that change an address space outside a pass, and what each is called here."""


def _noting(verb: str, act: str) -> Callable[..., None]:
    def noted(self: _Recorder, *args: Any, **options: Any) -> None:
        getattr(UnboundedSpace, verb)(self, *args, **options)
        self.trail.act(act)

    return noted


for _verb, _act in ACTS.items():
    setattr(_Recorder, _verb, _noting(_verb, _act))


def explain(name: str, edition: Edition) -> Explanation:
    """The checks of a call. Raises KeyError for an unknown call."""
    call = CALLS[name]
    argument_trails = _argument_trails(name, edition)
    # what does not get past its arguments has no body to walk
    reaches_body = any(goes_on for _, goes_on in argument_trails)
    body_trails = _body_trails(name, edition) if reaches_body else []
    checks = [
        Check(ARGUMENTS, seen.check, seen.errno.name, ()) for seen in in_order([trail for trail, _ in argument_trails])
    ]
    checks += [Check(_stage(seen), seen.check, seen.errno.name, seen.changed) for seen in in_order(body_trails)]
    return Explanation(
        call=name,
        edition=edition.name,
        kernel=edition.kernel,
        source=call.source_in(edition),
        words=call.words,
        step=call.step,
        arguments=inspect.getdoc(call.arguments) or "",
        body=(inspect.getdoc(call.body) or "") if reaches_body else "",
        checks=tuple(checks),
    )


def _stage(seen: _Seen) -> str:
    if seen.pass_at is not None:
        return CHANGING
    return AFTER if seen.changed else UP_FRONT


def _argument_trails(name: str, edition: Edition) -> list[tuple[list[_Seen], bool]]:
    """Each path of the argument stage, and whether it goes on to the body."""
    call = CALLS[name]
    words = words_of(call)

    def run(path: Run) -> tuple[list[_Seen], bool]:
        trail = _Trail()
        try:
            call.arguments(_WordRecorder(edition, path, trail), *words.values())
        except Refused as refused:
            trail.meet(refused.check, refused.errno)
            return trail.seen, False
        except Done:
            return trail.seen, False
        return trail.seen, True

    return [explored.outcome for explored in explore(run, list)]


def _body_trails(name: str, edition: Edition) -> list[list[_Seen]]:
    """Each path of the body. Where a call decides all ahead, without the checks that come again and cannot refuse."""
    call, world = CALLS[name], World()
    arguments: Any = symbolic_arguments(call.decoded)
    facts = [fact for fact in arguments.facts(edition) if not isinstance(fact, bool)]

    ahead = edition.seals is SealCheck.TWO_PASS
    ends: set[_Key] = set()

    def run(path: Run) -> list[_Seen]:
        path.conditions.extend(facts)
        trail = _Trail()
        space = _Recorder(world, edition, path, trail)
        try:
            call.body(space, arguments)
        except (Refused, Done) as ended:
            key = ended.check, ended.errno if isinstance(ended, Refused) else Errno.OK
            with suppress(_Again):
                trail.meet(*key)
            if ahead and _contradicts_itself(path, space):
                return []
            ends.add(key)
        except _Again:
            pass
        return trail.seen

    trails = [explored.outcome for explored in explore(run, lambda: world.axioms)]
    return [[seen for seen in trail if seen.key in ends] for trail in trails] if ahead else trails


def _contradicts_itself(path: Run, space: UnboundedSpace) -> bool:
    """What was found out of every page in an earlier pass rules the end of this path out; where the solver cannot tell,
    the end stays."""
    solver = z3.SimpleSolver()
    solver.set("rlimit", SEARCH_LIMIT)  # not a time: what is explained must not depend on the machine
    solver.add(*path.conditions, *space.facts(), *space.world.axioms)
    return bool(solver.check() == z3.unsat)


def in_order(trails: list[list[_Seen]]) -> list[_Seen]:
    """Every check once, in an order that agrees with the trails; branches of a call stay together.

    A check that a trail meets again (the next VMA of a loop) counts where it is met first. One that comes at two places
    (each split may be refused) has one of them. What may have changed by then is gathered from all places.
    """
    followers: dict[_Key, list[_Key]] = {_BEGIN: []}
    first: dict[_Key, _Seen] = {}
    for trail in _with_pass_ends(trails):
        for seen in trail:
            first[seen.key] = _merged(first[seen.key], seen) if seen.key in first else seen
            followers.setdefault(seen.key, [])
        for before, after in pairwise(dict.fromkeys((_BEGIN, *(seen.key for seen in trail)))):
            if after not in followers[before]:
                followers[before].append(after)
    done: dict[_Key, None] = {}
    _visit(_BEGIN, followers, done, set())
    return [first[key] for key in reversed(done) if key != _BEGIN and first[key].possible]


def _visit(key: _Key, followers: dict[_Key, list[_Key]], done: dict[_Key, None], entered: set[_Key]) -> None:
    """Depth first: a check is done once all that follow it are. Read backwards, that is an order; the branch that the
    kernel's code has first comes first in it, and before all branches the checks that only ever end a path."""
    entered.add(key)
    branches = reversed(followers[key])
    for after in sorted(branches, key=lambda after: not followers[after]):
        if after not in entered:
            _visit(after, followers, done, entered)
    done[key] = None


def _merged(a: _Seen, b: _Seen) -> _Seen:
    changed = tuple(dict.fromkeys((*a.changed, *b.changed)))
    pass_at = a.pass_at if a.pass_at is not None else b.pass_at
    return replace(a, changed=changed, possible=a.possible or b.possible, pass_at=pass_at)


def _with_pass_ends(trails: list[list[_Seen]]) -> list[list[_Seen]]:
    """The trails, with the ways in which each changing pass can end (seen on other trails) put behind its tests."""
    ends: dict[tuple[_Key, ...], dict[_Key, _Seen]] = {}
    for trail in trails:
        if trail and trail[-1].pass_at is not None and trail[-1].choices:
            ends.setdefault(_before_pass(trail, trail[-1].pass_at), {}).setdefault(trail[-1].key, trail[-1])
    whole = []
    for trail in trails:
        made: list[_Seen] = []
        for i, seen in enumerate(trail):
            if not seen.choices:
                made.append(seen)
            at = seen.pass_at
            if at is not None and (i + 1 == len(trail) or trail[i + 1].pass_at != at):
                made += sorted(ends.get(_before_pass(trail, at), {}).values(), key=lambda end: end.choices)
        whole.append(made)
    return whole


def _before_pass(trail: list[_Seen], at: int) -> tuple[_Key, ...]:
    return tuple(seen.key for seen in trail[:at])
