# SPDX-License-Identifier: MIT
"""Admission: what the list engine did, held against the contracts of the verbs.

A verb's contract (spec/contracts) says what may be said of a page, of boundaries and of map_count after the verb, in
terms of before. The proofs assume it, over unknown functions. Here it is run over Python values: the address space
before is a concrete one, and whatever the contract leaves open is answered by what the engine made of it. If no answer
satisfies the contract, then the engine has done something that the proofs do not know of, and a theorem may be proved
and false.

A call's body is run twice: on the engine, which records the address space after each verb, and on the contracts, which
must admit each of these steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from checker.calls import finish
from checker.concrete import ConcreteSpace, State
from checker.examples import Example
from spec.contracts import Contracts, Kind, PageFact
from spec.editions import Edition
from spec.errors import Errno
from spec.space import Refused
from spec.syscalls import CALLS
from spec.terms import Bool, Num, larger, whole
from spec.vma import EMPTY_PAGE, Page, Vma, in_whole_pages, offset_at

NOWHERE = Vma(start=-7, end=-7)
"""Stands where there is no VMA: a contract that looks at it says so by being broken."""


class NotAdmitted(Exception):
    """A step of the engine that no case of the verb's contract allows."""

    def __init__(self, verb: str, why: Sequence[str]) -> None:
        super().__init__(f"{verb}: " + "; ".join(dict.fromkeys(why)))
        self.verb = verb


class _Dead(Exception):
    """This case of a contract does not apply."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A concrete address space between two verbs."""

    state: State
    count: int
    """mm->map_count."""

    def view(self, page: int) -> tuple[bool, Vma]:
        """Whether a VMA holds the page, and which."""
        found = self.state.find(page)
        return (False, NOWHERE) if found is None else (True, found)

    def page(self, page: int) -> Page:
        """What the page holds."""
        return self.state.pages.get(page, EMPTY_PAGE)

    def cut(self, page: int) -> bool:
        """A VMA begins or ends there."""
        return any(page in (vma.start, vma.end) for vma in self.state.vmas)

    def stored(self, object: Num, offset: Num) -> int:
        """What the object holds there."""
        return self.state.objects.get((whole(object), whole(offset)), 0)

    @property
    def space(self) -> ConcreteSpace:
        """The concrete reading of it, to be looked at only."""
        return ConcreteSpace(self.state, cast(Edition, None))


@dataclass(slots=True)
class Step:
    """One verb, as the engine carried it out."""

    verb: str
    after: Moment | None = None
    result: Any = None
    refused: Refused | None = None
    steps: list[Step] = field(default_factory=list)
    """The verbs that it used itself."""


VERBS = (
    *("check_each", "check_mapped", "change_each", "move_each", "first", "free_range", "free_range_for", "stack_above"),
    "environment",
    *("split", "unmap", "map", "move", "expand", "lock", "set_brk", "store", "prepare", "set_page", "set_write_denied"),
    *("allocate_pkey", "execute_only_pkey", "fresh_object", "become_child"),
)
"""What a call may ask of an address space, or do to it; the rest only looks at one page."""


class RecordingSpace(ConcreteSpace):
    """The concrete reading, which records each verb that is asked of it."""

    steps: list[Step]

    def moment(self) -> Moment:
        """The address space now."""
        return Moment(self.state.copy(), whole(self.counter))


def _recorded(verb: str) -> Callable[..., Any]:
    def carry_out(self: RecordingSpace, *arguments: Any, **options: Any) -> Any:
        step = Step(verb)
        self.steps.append(step)
        outer, self.steps = self.steps, step.steps
        try:
            step.result = getattr(ConcreteSpace, verb)(self, *arguments, **options)
        except Refused as refused:
            step.refused = refused
            raise
        finally:
            self.steps = outer
            step.after = self.moment()
        return step.result

    return carry_out


for _verb in VERBS:
    setattr(RecordingSpace, _verb, _recorded(_verb))


# the contracts, over what the engine recorded ------------------------------------------------------------------------


class _Trial:
    """One way through a contract: its free choices, each an index, of which the first ones are given."""

    def __init__(self, given: list[int]) -> None:
        self.given = given
        self.taken: list[int] = []
        self.open: list[list[int]] = []

    def pick(self, options: int) -> int:
        """One of that many answers; the others stay open."""
        step = len(self.taken)
        answer = self.given[step] if step < len(self.given) else 0
        if step >= len(self.given):
            self.open += [[*self.taken, other] for other in range(options - 1, 0, -1)]
        self.taken.append(answer)
        return answer


class _EveryPage(list[PageFact]):
    """Facts of every page, tried at the pages at hand as soon as they are stated."""

    def __init__(self, pages: Callable[[], Iterable[int]]) -> None:
        super().__init__()
        self._pages = pages

    def append(self, fact: PageFact) -> None:
        for page in self._pages():
            if not fact(page):
                raise _Dead(f"a fact of every page is not so at page {page:#x}")


class AdmittedSpace(Contracts):
    """The contracts of the verbs, on the steps that the engine recorded."""

    def __init__(self, start: Moment, edition: Edition, steps: list[Step]) -> None:
        self.edition, self.queue = edition, steps
        self.step = Step("")
        self._arguments: list[int] = []
        self._tried: list[int] = []
        self._midway: Moment | None = None
        self._moved_by: tuple[Num, Num] = 0, 0
        self._chosen = False
        self.now = self._begun = start
        self.trial = _Trial([])
        self.every_page = self.places = []
        self._adopt(start)

    # the state -------------------------------------------------------------------------------------------------------

    def _adopt(self, moment: Moment) -> None:
        """The address space is this one."""
        self.now, self.count, space = moment, moment.count, moment.space
        self._view, self._page = cast(Any, moment.view), cast(Any, moment.page)
        self._cut, self._stored = cast(Any, moment.cut), moment.stored
        self._write_denied, self._access_denied = space.write_denied, space.access_denied
        self._pkey_allocated, self._exec_key = space.pkey_allocated, moment.state.exec_key
        self._brk, self.no_keys = moment.state.brk, not moment.state.has_pkeys

    def pages(self) -> list[int]:
        """The pages at which facts are tried: those of all VMAs before and after the step, and of its arguments, and
        beside them."""
        found: set[int] = set()
        for moment in (self.now, self._after):
            for vma in moment.state.vmas:
                start, end = whole(vma.start), whole(vma.end)
                inner = range(start, end) if end - start <= 16 else (start, start + 1, end - 2, end - 1)
                found.update((start - 1, end, *inner))
            found.update(moment.state.pages)
        for number in self._arguments:
            found.update((number - 1, number, number + 1))
        return sorted(page for page in found if page >= 0)

    @property
    def _after(self) -> Moment:
        return self._midway or self.step.after or self.now

    def _compare(self, moment: Moment) -> None:
        """What the contract says of the state after the step is what the engine made."""
        for page in self._tried:
            (mapped, vma), (was, real) = self._view(page), moment.view(page)
            if mapped != was or (mapped and vma != real):
                raise _Dead(f"page {page:#x} is mapped otherwise: {vma if mapped else None} and not {real}")
            if self._page(page) != moment.page(page):
                raise _Dead(f"page {page:#x} holds {self._page(page)} and not {moment.page(page)}")
            if self._cut(page) != moment.cut(page):
                raise _Dead(f"a VMA begins or ends at page {page:#x}, or none does")
        if self.count != moment.count:
            raise _Dead(f"map_count is {self.count} and not {moment.count}")
        places = {*moment.state.objects, *self.now.state.objects}
        if any(self._stored(*place) != moment.stored(*place) for place in places):
            raise _Dead("an object holds something else")
        space = moment.space
        for name, mine, its in (
            ("write_denied", self._write_denied, space.write_denied),
            ("access_denied", self._access_denied, space.access_denied),
            ("pkey_allocated", self._pkey_allocated, space.pkey_allocated),
        ):
            if any(mine(key) != its(key) for key in range(16)):
                raise _Dead(f"{name} differs")
        if (self._brk, self._exec_key) != (moment.state.brk, moment.state.exec_key):
            raise _Dead("the break or the execute-only key is another")

    # steps -----------------------------------------------------------------------------------------------------------

    def admit(self, verb: str, contract: Callable[[], Any], arguments: Iterable[object]) -> Any:
        """The next step is this verb, and its contract allows what the engine did. Raises NotAdmitted otherwise."""
        if not self.queue or self.queue[0].verb != verb:
            raise NotAdmitted(verb, ["the engine does not reach it"])
        outer = self.step, self._arguments, self._tried, self.trial, self.every_page, self._midway
        self.step, self._midway = self.queue.pop(0), None
        queue = self.queue
        self._arguments = [a for a in arguments if isinstance(a, int) and not isinstance(a, bool)]
        self._arguments += [whole(e) for a in arguments if isinstance(a, Vma) for e in (a.start, a.end)]
        self._tried = self.pages()
        before, why = self.now, []
        pending: list[list[int]] = [[]]
        while pending:
            self.trial = _Trial(pending.pop())
            self.queue, self._midway = queue, None
            self._adopt(before)
            self.every_page = self.places = _EveryPage(lambda: self._tried)
            try:
                answer = self._once(contract)
            except _Dead as dead:
                why.append(str(dead))
                pending += self.trial.open
                continue
            self._midway = None
            self._adopt(self._after)
            refused = self.step.refused
            self.step, self._arguments, self._tried, self.trial, self.every_page, self._midway = outer
            self.queue = queue
            if refused is not None:
                raise Refused(refused.errno, refused.check)
            return answer
        raise NotAdmitted(verb, why)

    def _once(self, contract: Callable[[], Any]) -> Any:
        wanted = self.step.refused
        try:
            answer = contract()
        except Refused as refused:
            if wanted is None or (wanted.errno, wanted.check) != (refused.errno, refused.check):
                raise _Dead(f"refused with {refused.errno.name} ({refused.check})") from None
            answer = None
        else:
            if wanted is not None:
                raise _Dead("not refused")
            if answer != self.step.result:
                raise _Dead(f"answers {answer} and not {self.step.result}")
        self._midway = None
        self._compare(self._after)
        return answer

    def _moved(self, start: Num, reached: Num, end: Num, new: Num, *rest: Any, **options: Any) -> None:
        """Those of the VMAs that were moved before the last one: the engine has recorded its steps with that one."""
        steps = self.step.steps
        if reached != end:
            last = max((i for i, step in enumerate(steps) if step.verb == "first"), default=-1)
            self._midway = steps[last].after if last >= 0 else None
            steps = steps[last + 1 :]
        self._moved_by = start, new - start
        super()._moved(start, reached, end, new, *rest, **options)
        if self._midway is not None:
            self._compare(self._midway)
            self._adopt(self._midway)
            self._midway = None
        self.queue = list(steps)

    # what contracts leave open ---------------------------------------------------------------------------------------

    def assume(self, fact: Bool) -> None:
        if not fact:
            raise _Dead("a fact of the case is not so")

    def _found(self, check: str, *facts: Bool) -> None:
        self.assume(all(facts))

    def decide(self, cond: Bool) -> bool:
        assert isinstance(cond, bool), cond
        return cond

    def skipped(self, check: str) -> bool:
        return False

    def _original_view(self, page: Num) -> tuple[Bool, Vma]:
        return self._begun.view(whole(page))

    def _free(self, what: str, refusal: tuple[Errno, str] | None = None) -> bool:
        refused = self.step.refused
        if refusal is not None and (refused is None or (refused.errno, refused.check) != refusal):
            return False
        return self.trial.pick(2) == 1

    def _choice(self, what: str) -> Any:
        self._chosen = self.trial.pick(2) == 1
        return self._chosen

    def _number(self, what: str) -> Any:
        step = self.step
        if what in ("map_count", "count"):
            return self._after.count
        if what in ("free", "object", "pkey", "exec_key") and isinstance(step.result, int):
            return step.result
        idle = (what == "stop" and step.refused is None) or (what == "changed" and not self._chosen)
        candidates = [0] if idle else self._tried or [0]
        return candidates[self.trial.pick(len(candidates))]

    def _function(self, what: str, kind: Kind) -> Callable[..., Any]:
        after = self._after
        if what == "cut_after":
            return after.cut
        if what in ("faulted", "faulted_after"):
            return lambda page: after.page(page).copied and not after.page(page).lazy
        if what == "stays_locked":
            first, distance = self._moved_by
            return lambda start: after.view(whole(max(first, start) + distance))[1].locked
        if what == "own_offset":
            return lambda page: offset_at(after.view(page)[1], page) == page
        names = {"start_after": "start", "end_after": "end", "anon_vma_after": "anon_vma"}
        name = names.get(what, "inherited" if what == "inherited_after" else "")
        if not name:
            raise AssertionError(f"nobody says what the engine made of {what}")
        return lambda page: getattr(after.view(page)[1], name)

    def _some_page(self, backs: Callable[[Num, Num, Num], Bool]) -> Callable[[Num, Num], Bool]:
        pages = list(self._tried)
        return lambda object, offset: any(backs(page, object, offset) for page in pages)

    def move_each(self, start: Num, end: Num, *arguments: Any, **options: Any) -> None:
        def contract() -> None:
            self.queue = list(self.step.steps)  # of the first VMA, if none was moved before
            mapped, last = self._view(end - 1)
            first = larger(start, last.start)
            # the contract is about whole huge pages (assumption HUGE_SIZES)
            whole_end = first + in_whole_pages(last, end - first) if mapped else end
            Contracts.move_each(self, start, whole_end, *arguments, **options)

        self.admit("move_each", contract, (start, end, *arguments))

    @property
    def max_map_count(self) -> Num:
        return self.now.state.max_map_count

    @property
    def start_brk(self) -> Num:
        return self.now.state.start_brk

    @property
    def min_page(self) -> int:
        return self.now.state.min_page

    @property
    def has_huge_pages(self) -> bool:
        return self.now.state.huge_pages

    def object_pages(self, object: Num) -> Num:
        return self.now.space.object_pages(object)

    def guarded(self, vma: Vma, start: Num, end: Num) -> Bool:
        return any(page.guard and start <= n < end for n, page in self.now.state.pages.items())

    def environment(self, why: str) -> Bool:
        answer: bool = self.admit("environment", lambda: self.step.result, ())
        return answer


def _contract(verb: str) -> Callable[..., Any]:
    def carry_out(self: AdmittedSpace, *arguments: Any, **options: Any) -> Any:
        given = (*arguments, *options.values())
        return self.admit(verb, lambda: getattr(Contracts, verb)(self, *arguments, **options), given)

    return carry_out


for _verb in VERBS:
    if _verb not in ("environment", "move_each"):
        setattr(AdmittedSpace, _verb, _contract(_verb))


def admit(example: Example, edition: Edition) -> None:
    """Make the call on the engine, and hold each of its steps against the contracts.

    Raises NotAdmitted for a step that no contract allows, and AssertionError if the body ends otherwise on the
    contracts than on the engine.
    """
    state = example.state.copy()
    engine = RecordingSpace(state, edition, failures=example.failures)
    engine.steps = []
    start = engine.moment()
    call = CALLS[example.call]
    ended = finish(lambda: call.body(engine, example.arguments))
    space = AdmittedSpace(start, edition, engine.steps)
    again = finish(lambda: call.body(space, example.arguments))
    if again != ended:
        raise NotAdmitted(example.call, [f"ends with {again} and not {ended}"])
