# SPDX-License-Identifier: MIT
"""The concrete reading: Python values, one outcome. Used for simulation, replay and explicit-state search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

from checker.keys import KeySpace
from checker.layout import LayoutSpace
from spec.editions import Edition
from spec.errors import Errno
from spec.space import NO_HUGE_PAGES, Done, Refused
from spec.terms import Bool, Num, lt, whole
from spec.vma import EMPTY_PAGE, Page, Vma
from spec.words import MIN_PAGE

PKRU_AT_START = 0x5555_5554
"""PKRU as the kernel sets it up: every key but 0 is denied."""


MANY_PAGES = 1 << 20
"""So many pages are kept one by one at most (4 GiB of the simulated memory)."""


ANYWHERE = -1
"""A place that is none: see ConcreteSpace."""


class TooManyPages(MemoryError):
    """The call would fill more pages than the concrete reading keeps."""


@dataclass(slots=True)
class State:
    """A whole concrete address space, apart from the verbs on it."""

    vmas: list[Vma] = field(default_factory=list)
    pages: dict[int, Page] = field(default_factory=dict)
    objects: dict[tuple[int, int], int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    elsewhere: int = 0
    max_map_count: int = 65530
    start_brk: int = 0
    brk: int = 0
    pkeys: set[int] = field(default_factory=lambda: {0})
    has_pkeys: bool = True
    exec_key: int = 0
    pkru: int = PKRU_AT_START
    next_id: int = 1000
    """No object or anon_vma has a higher number: the next one that is made gets the next."""
    huge_pages: bool = False
    """Huge pages are free, as many as a program may want; otherwise none is (vm.nr_hugepages is 0)."""
    min_page: int = MIN_PAGE
    """vm.mmap_min_addr in pages; 0 for a process that may map everywhere (CAP_SYS_RAWIO)."""

    took_no_key: bool = False
    """Without protection keys: pkey_alloc was called before, and took the only number that there is."""

    @property
    def size(self) -> tuple[int, int]:
        """VMAs, and pages in all of them."""
        return len(self.vmas), sum(whole(vma.end) - whole(vma.start) for vma in self.vmas)

    def find(self, page: int) -> Vma | None:
        """The VMA that holds a page."""
        return next((vma for vma in self.vmas if vma.start <= page < vma.end), None)

    def copy(self) -> State:
        """An independent copy (VMAs and pages are immutable)."""
        return State(
            list(self.vmas),
            dict(self.pages),
            dict(self.objects),
            dict(self.sizes),
            self.elsewhere,
            self.max_map_count,
            self.start_brk,
            self.brk,
            set(self.pkeys),
            self.has_pkeys,
            self.exec_key,
            self.pkru,
            self.next_id,
            self.huge_pages,
            self.min_page,
            self.took_no_key,
        )


class ConcreteSpace(KeySpace, LayoutSpace):
    """The verbs over a `State`, which they change in place. What the specification leaves open is answered by
    `failures`, the names of what goes wrong in the environment, and by `place`, where a mapping goes that may go
    anywhere: at that page if there is room, and with ANYWHERE not where the caller would like it best."""

    def __init__(
        self,
        state: State,
        edition: Edition,
        *,
        dropped: str | None = None,
        failures: Iterable[str] = (),
        place: int | None = None,
    ) -> None:
        self.state = state
        self.edition = edition
        self.dropped = dropped
        self.failures = frozenset(failures)
        self.place = place
        self.counter: Num = state.elsewhere + len(state.vmas)
        self.cursor_inside: list[Bool] = []

    @property
    def vmas(self) -> list[Vma]:
        return self.state.vmas

    @vmas.setter
    def vmas(self, value: list[Vma]) -> None:
        self.state.vmas = value

    @property
    def elsewhere(self) -> Num:  # type: ignore[override]
        return self.state.elsewhere

    def decide(self, cond: Bool) -> bool:
        assert isinstance(cond, bool), cond
        return cond

    def skipped(self, check: str) -> bool:
        return check == self.dropped

    @property
    def max_map_count(self) -> Num:
        return self.state.max_map_count

    @property
    def brk(self) -> Num:
        return self.state.brk

    @property
    def start_brk(self) -> Num:
        return self.state.start_brk

    def set_brk(self, page: Num) -> None:
        self.state.brk = whole(page)

    @property
    def min_page(self) -> int:
        return self.state.min_page

    @property
    def has_huge_pages(self) -> bool:
        return self.state.huge_pages and NO_HUGE_PAGES not in self.failures

    def environment(self, why: str) -> Bool:
        return why in self.failures or (why == NO_HUGE_PAGES and not self.has_huge_pages)

    def write_denied(self, pkey: Num) -> Bool:
        return self.state.has_pkeys and bool(self.state.pkru >> (2 * whole(pkey)) & 3)

    def access_denied(self, pkey: Num) -> Bool:
        return self.state.has_pkeys and bool(self.state.pkru >> (2 * whole(pkey)) & 1)

    def set_write_denied(self, access: tuple[Bool, ...], write: tuple[Bool, ...]) -> None:
        self.state.pkru = sum(
            (1 if a else 2 if w else 0) << (2 * key) for key, (a, w) in enumerate(zip(access, write, strict=True))
        )

    def pkey_allocated(self, pkey: Num) -> Bool:
        state = self.state
        return state.has_pkeys and (pkey == 0 or (pkey in state.pkeys and pkey != state.exec_key))

    @property
    def has_pkeys(self) -> Bool:
        return self.state.has_pkeys

    @property
    def exec_key(self) -> Num:
        return self.state.exec_key

    def key_is_taken(self, key: int) -> Bool:
        return key in self.state.pkeys

    def take_key(self, key: int) -> None:
        self.state.pkeys.add(key)
        self.state.pkru &= ~(3 << (2 * key))

    def take_exec_key(self, key: int) -> None:
        self.state.exec_key = key
        self.state.pkeys.add(key)
        self.state.pkru |= 1 << (2 * key)

    def allocate_pkey(self) -> Num:
        if not self.state.has_pkeys:
            if self.state.took_no_key:
                raise Refused(Errno.ENOSPC, "pkey_alloc: all protection keys are taken")
            self.state.took_no_key = True
        return super().allocate_pkey()

    def _fresh(self) -> int:
        self.state.next_id += 1
        return self.state.next_id

    def fresh_object(self, pages: Num, besides: Num) -> Num:
        made = self._fresh()
        if made == besides:
            made = self._fresh()
        self.state.sizes[made] = whole(pages)
        return made

    def object_pages(self, object: Num) -> Num:
        return self.state.sizes.get(cast(int, object), 1 << 40)

    def fresh_anon_vma(self) -> Num:
        return self._fresh()

    def free_range_for(self, pages: Num, hint: Num | None, *, low: Bool, huge: Bool) -> Num:
        if self.place is not None:
            hint = None if self.place == ANYWHERE else self.place
        return super().free_range_for(pages, hint, low=low, huge=huge)

    def guarded(self, vma: Vma, start: Num, end: Num) -> Bool:
        return bool(lt(self.first_guard(vma, start, end), end))

    def first_guard(self, vma: Vma, start: Num, end: Num) -> Num:
        guards = (number for number, page in self.state.pages.items() if page.guard and start <= number < end)
        return min(guards, default=end)

    def page(self, page: Num) -> Page:
        return self.state.pages.get(cast(int, page), EMPTY_PAGE)

    def update_pages(self, start: Num, end: Num, change: Callable[[Num, Page], Page]) -> None:
        # `change` makes every empty page of a VMA non-empty or none: a huge VMA costs nothing where nothing happens
        pages = self.state.pages
        numbers = {n for n in pages if start <= n < end}
        for vma in self.vmas:
            first, last = max(vma.start, start), min(vma.end, end)
            if last - first > MANY_PAGES and change(first, EMPTY_PAGE) != EMPTY_PAGE:
                raise TooManyPages(
                    f"a mapping of {last - first} pages would be filled page by page; the limit is {MANY_PAGES}"
                )
            if first < last and change(first, EMPTY_PAGE) != EMPTY_PAGE:
                numbers.update(range(whole(first), whole(last)))
        for number in numbers:
            after = change(number, pages.get(number, EMPTY_PAGE))
            if after == EMPTY_PAGE:
                pages.pop(number, None)
            else:
                pages[number] = after

    def move_pages(self, old: Num, pages: Num, new: Num) -> None:
        kept = self.state.pages
        moving = {n: kept[n] for n in list(kept) if old <= n < old + pages}
        for number in moving:
            del kept[number]
        for number, content in moving.items():
            kept[number - old + new] = content

    def stored(self, object: Num, offset: Num) -> Num:
        return self.state.objects.get((whole(object), whole(offset)), 0)

    def store_object(self, object: Num, start: Num, end: Num, value: Num, cond: Bool) -> None:
        if not cond:
            return
        objects = self.state.objects
        if value == 0:
            for key in [k for k in objects if k[0] == object and start <= k[1] < end]:
                del objects[key]
            return
        for offset in range(whole(start), whole(end)):
            objects[whole(object), offset] = whole(value)


@dataclass(frozen=True, slots=True)
class Result:
    """How a call ended: its value, or its errno; and the check that decided (empty if it ran to its end)."""

    value: int
    errno: Errno
    check: str


def execute(call: Callable[[], Num]) -> Result:
    """Run a call on a concrete space and catch how it ended."""
    try:
        return Result(whole(call()), Errno.OK, "")
    except Refused as refused:
        return Result(-1, refused.errno, refused.check)
    except Done as done:
        return Result(whole(done.value), Errno.OK, done.check)
