# SPDX-License-Identifier: MIT
"""The verbs: everything that a system call may ask of an address space, or do to it.

A call (spec/syscalls) is a plain function over these verbs, in the order in which the kernel decides. The three
readings (checker/) give the verbs their meaning. All positions are page numbers; ranges are half-open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NoReturn

from spec.editions import Edition
from spec.errors import Errno
from spec.terms import Bool, Num, and_, eq, is_decided, ite, larger, le, lt, not_, one_of, or_, smaller
from spec.vma import FILE, HUGETLB, Page, Vma, in_whole_pages, offset_at, refuses_split, same_flags
from spec.words import MIN_PAGE

NO_HUGE_PAGES: Final = "mmap: no huge pages are free"
"""What the environment may lack, and the check that says so: the concrete reading knows whether it does."""


UNMAPPED_IN_PASS: Final = "a page of the range is unmapped"
GAP_REMEMBERED: Final = "some page of the range was unmapped"
"""The checks of a changing pass that meets a gap (Gap.STOP, Gap.REMEMBER)."""
NO_ROOM_TO_SPLIT: Final = "no room under the map-count limit for a split"
REFUSES_SPLIT: Final = "the VMA refuses to be split"
"""The checks of a split: of one that is made for a change, and of every one."""


class Refused(Exception):
    """A check failed: the call returns this errno. Raised and caught by the machinery, never seen by users."""

    def __init__(self, errno: Errno, check: str) -> None:
        super().__init__(check)
        self.errno = errno
        self.check = check


class Done(Exception):
    """The call returns successfully before its last line."""

    def __init__(self, value: Num, check: str) -> None:
        super().__init__(check)
        self.value = value
        self.check = check


Test = tuple[Bool, Errno, str]
"""(condition, errno, check): the call ends with the errno if the condition holds; `check` names the test."""


class Gap(Enum):
    """What a changing pass does about an unmapped page in its range."""

    IGNORE = "goes on behind it"
    STOP = "ends there with ENOMEM"
    REMEMBER = "goes on, and returns ENOMEM at the end"


class Guards(ABC):
    """Ordered checks. Both stages of a call, arguments and body, are made of these."""

    edition: Edition

    @abstractmethod
    def decide(self, cond: Bool) -> bool:
        """Which branch the kernel takes. A symbolic reading explores both."""

    @abstractmethod
    def skipped(self, check: str) -> bool:
        """True when this check is dropped (a mutant); it is then as if the kernel did not have it."""

    def fail_if(self, cond: Bool, errno: Errno, check: str) -> None:
        """The call ends with `errno` if `cond`. `check` says in words what was wrong; it names the check everywhere."""
        if self.skipped(check):
            self.let_pass(cond)
        elif self.decide(cond):
            raise Refused(errno, check)

    def let_pass(self, cond: Bool) -> None:  # noqa: B027  (the concrete reading assumes nothing)
        """A dropped check is reached. A mutant need only be looked at where the check would have refused, and a
        symbolic reading assumes that it would have."""

    def environment(self, why: str) -> Bool:
        """Something that the specification leaves open (memory, limits) goes wrong: a free choice. In the argument
        stage only where it was chosen before; a symbolic reading chooses in the body."""
        return False

    def may_fail(self, errno: Errno, why: str) -> None:
        """The environment may make the call fail here with `errno`; `why` says what ran out."""
        failing = self.environment(why)
        if not (is_decided(failing) and not failing):
            self.fail_if(failing, errno, why)

    def finish_if(self, cond: Bool, check: str, value: Num = 0) -> None:
        """The call returns `value` without doing more if `cond`."""
        if self.decide(cond):
            raise Done(value, check)

    @staticmethod
    def fail(errno: Errno, check: str) -> NoReturn:
        """The call ends here with `errno`."""
        raise Refused(errno, check)


@dataclass(slots=True)
class Visit:
    """What a changing pass asks at one VMA: ordered tests, then the change. Straight-line, so that it can be read
    for one VMA, for the one that stops the pass, and for all those before it. `[start, end)` is the part of the VMA
    that lies in the range of the pass."""

    start: Num
    end: Num
    tests: list[Test] = field(default_factory=list)
    change_page: Callable[[Num, Vma, Page], Page] | None = None
    punches_hole: Bool = False
    populates: Bool = False
    populates_changed: Bool = False
    prepares: Bool = False

    def fail_if(self, cond: Bool, errno: Errno, check: str) -> None:
        """The pass ends at this VMA with `errno` if `cond`; what was changed before stays changed."""
        self.tests.append((cond, errno, check))

    def pages(self, change: Callable[[Num, Vma, Page], Page]) -> None:
        """Every page of the VMA's part of the range is replaced by `change(page number, vma, page)`."""
        self.change_page = change

    def punch_hole_if(self, cond: Bool) -> None:
        """If `cond`, the object behind the VMA's part of the range reads zero afterwards, wherever it is mapped."""
        self.punches_hole = cond

    def prepare_if(self, cond: Bool) -> None:
        """If `cond`, the private VMA gets an anon_vma, as if a page of it had been written."""
        self.prepares = cond

    def populate_if(self, cond: Bool) -> None:
        """If `cond`, every page of the VMA's part of the range is faulted in as by a write of what it already holds."""
        self.populates = cond

    def populate_changed_if(self, cond: Bool) -> None:
        """If `cond`, the pages of the VMA's part of the range are faulted in once the VMA is changed, as mlock does; a
        page that cannot be ends that, and nothing else."""
        self.populates_changed = cond


@dataclass(frozen=True, slots=True)
class Pass:
    """A changing pass over [start, end), as a call asks for it (AddressSpace.change_each)."""

    start: Num
    end: Num
    visit: Callable[[Vma, Visit], Vma]
    gap: Gap
    no_room: Errno = Errno.ENOMEM
    cursor: str = "follows"
    hole: tuple[Errno, str] = (Errno.ENOMEM, UNMAPPED_IN_PASS)
    """How it ends at a gap (Gap.STOP)."""


class AddressSpace(Guards):
    """An address space in one of the three readings.

    `map_count` is the number of VMAs, those outside the modelled range included; `max_map_count` its limit
    (sysctl vm.max_map_count).
    """

    # what a call may look at -------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def map_count(self) -> Num:
        """mm->map_count."""

    @property
    @abstractmethod
    def max_map_count(self) -> Num:
        """sysctl_max_map_count."""

    @property
    @abstractmethod
    def brk(self) -> Num:
        """The page that the program break has reached, rounded up."""

    @property
    @abstractmethod
    def start_brk(self) -> Num:
        """The page where the heap begins."""

    @property
    def min_page(self) -> int:
        """vm.mmap_min_addr in pages."""
        return MIN_PAGE

    @property
    def has_huge_pages(self) -> bool:
        """Huge pages are free when they are accessed. A symbolic reading knows no sizes of new objects, so that to it
        this makes no difference."""
        return True

    @abstractmethod
    def write_denied(self, pkey: Num) -> Bool:
        """The calling thread's PKRU denies writes through this protection key."""

    @abstractmethod
    def access_denied(self, pkey: Num) -> Bool:
        """The calling thread's PKRU denies reads and writes through this protection key."""

    @abstractmethod
    def execute_only_pkey(self, wanted: Bool) -> Num:
        """The process's key for execute-only memory, allocated now if `wanted`; 0 if there is none."""

    @abstractmethod
    def fresh_object(self, pages: Num, besides: Num) -> Num:
        """An object of that many pages that nothing maps yet and that holds zeros (the shmem file behind anonymous
        shared memory); it is another than `besides`."""

    @abstractmethod
    def object_pages(self, object: Num) -> Num:
        """How many pages the object has; a page mapped beyond them faults (SIGBUS)."""

    @abstractmethod
    def page(self, page: Num) -> Page:
        """What this page holds."""

    @abstractmethod
    def guarded(self, vma: Vma, start: Num, end: Num) -> Bool:
        """Some page of the VMA's part [start, end) is a guard page."""

    @abstractmethod
    def stack_above(self, page: Num) -> bool:
        """The next VMA at or above the page grows down and begins within the stack guard gap of it."""

    @abstractmethod
    def pkey_allocated(self, pkey: Num) -> Bool:
        """The process has allocated this protection key."""

    @abstractmethod
    def find(self, page: Num) -> Vma | None:
        """The VMA that holds this page (the kernel's vma_lookup)."""

    @abstractmethod
    def holding(self, page: Num) -> tuple[Bool, Vma]:
        """As `find`, without taking a branch: whether a VMA holds this page, and which (meaningless if none does)."""

    @abstractmethod
    def first(self, start: Num, end: Num) -> Vma | None:
        """The first VMA that reaches into the range (the kernel's vma_find)."""

    @abstractmethod
    def free_range(self, pages: Num, hint: Num | None) -> Num:
        """Where the kernel maps `pages` pages that may go anywhere (get_unmapped_area): at `hint` if there is room."""

    def free_range_for(self, pages: Num, hint: Num | None, *, low: Bool, huge: Bool) -> Num:
        """As free_range: below 2 GiB if `low` (MAP_32BIT), at a huge page if `huge`. A symbolic reading forgets both
        wishes: it takes the range to be anywhere."""
        return self.free_range(pages, hint)

    @abstractmethod
    def environment(self, why: str) -> Bool:
        """Something that the specification leaves open (memory, limits) goes wrong: a free choice."""

    # passes over the VMAs of a range ------------------------------------------------------------------------------

    @abstractmethod
    def check_each(self, start: Num, end: Num, test: Callable[[Vma], Bool], errno: Errno, check: str) -> None:
        """An up-front pass: fails if some VMA in the range passes `test`. Gaps are allowed; nothing changes."""

    @abstractmethod
    def check_mapped(self, start: Num, end: Num, errno: Errno, check: str) -> None:
        """An up-front pass: fails if some page of the range is unmapped. Nothing changes."""

    @abstractmethod
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
        """A changing pass: each VMA in the range, in address order, is tested, then split at the ends of the range and
        changed. `visit(vma, at)` says which tests and what the VMA becomes. The first failure ends the call, and what
        was already changed stays changed. A split that lacks room under the map-count limit ends it with `no_room`,
        one that the VMA refuses with EINVAL. If the change is none (equal flags), no split or merge is tried.
        """

    def move_each(
        self,
        start: Num,
        end: Num,
        new: Num,
        tests: Callable[[Vma, Num, Num], list[Test]],
        relocate: Callable[[Num, Num], None],
        ensures: Callable[[Num], Bool],
        *,
        keep_source: bool,
    ) -> None:
        """Each VMA of the range, whose first page is mapped, in address order: its part [from, to) is tested, then
        `relocate(from, to)` moves it, so that page `start` would come to `new`. The gaps between the VMAs are kept, and
        what is mapped at their place in the destination stays. The first failure ends the call, and what was moved
        stays moved. `ensures(page)` is what `relocate` tests of each page that it moves something to."""
        vma = self.find(start)
        while vma is not None:
            first, behind = larger(start, vma.start), vma.end
            last = first + in_whole_pages(vma, smaller(end, vma.end) - first)
            for test in tests(vma, first, last):
                self.fail_if(*test)
            relocate(first, last)
            vma = self.first(behind, end) if self.decide(lt(behind, end)) else None

    # effects on a whole range that cannot fail --------------------------------------------------------------------

    @abstractmethod
    def split(self, page: Num, refused: Errno = Errno.EINVAL) -> None:
        """Cut the VMA that strictly contains the page there, if one does; no test of the map-count limit
        (the kernel's __split_vma). Fails with `refused` if the VMA refuses (may_split)."""

    @abstractmethod
    def unmap(self, start: Num, end: Num) -> None:
        """Remove everything in the range, which begins and ends at VMA boundaries where it is mapped."""

    @abstractmethod
    def map(self, vma: Vma, *, expand_only: bool = False) -> None:
        """A new VMA in a free range, merged with equal neighbours; its pages are untouched. `expand_only`: the way
        of brk, which never merges with the VMA behind it."""

    @abstractmethod
    def move(self, old: Num, pages: Num, new: Num, new_pages: Num, *, keep_source: bool) -> None:
        """Move `pages` pages from the VMA at `old` to the free range of `new_pages` at `new`; the source is unmapped
        unless `keep_source` (MREMAP_DONTUNMAP). `pages` 0 duplicates a shared mapping."""

    @abstractmethod
    def expand(self, page: Num, end: Num) -> None:
        """Move the end of the VMA at `page` up to `end`, over a free range; merges with an equal VMA behind."""

    @abstractmethod
    def lock(self, start: Num, end: Num) -> None:
        """Fault in every page of the range as mlock does: a private writable page gets its own copy."""

    # single steps -----------------------------------------------------------------------------------------------

    @abstractmethod
    def set_brk(self, page: Num) -> None:
        """The program break is now in the page before `page`."""

    @abstractmethod
    def store(self, page: Num, value: Num) -> None:
        """A program's write to the page: to the object if it is shared, else to the page's own copy."""

    @abstractmethod
    def prepare(self, page: Num, cond: Bool) -> None:
        """If `cond`, the private VMA at the page gets an anon_vma, as if the page had been written: a fault does that
        before it fails. Only merges look at it."""

    @abstractmethod
    def set_page(self, page: Num, content: Page) -> None:
        """The page now holds this."""

    @abstractmethod
    def set_write_denied(self, access: tuple[Bool, ...], write: tuple[Bool, ...]) -> None:
        """The thread's PKRU: for each of the 16 keys, all access is denied, and writes are denied."""

    @abstractmethod
    def allocate_pkey(self) -> Num:
        """A key that was not allocated; the thread has all rights to it. Fails with EINVAL where the processor has no
        keys, with ENOSPC where all are taken."""

    @abstractmethod
    def become_child(self, inherit: Callable[[Vma], tuple[Bool, Vma]], page: Callable[[Vma, Page], Page]) -> None:
        """Go on as a forked child: `inherit(vma)` says whether the child has the VMA, and how; `page` what of it."""

    # derived ----------------------------------------------------------------------------------------------------

    def refuse_cuts(
        self, start: Num, end: Num, errno: Errno = Errno.EINVAL, unless: Callable[[Vma], Bool] = lambda vma: False
    ) -> Num:
        """Fails with `errno` if a VMA would refuse to be cut at an end of the range; one for which `unless` holds is
        not cut. Returns how many cuts there will be."""
        cuts: Num = 0
        for place, inside, which in ((start, start, "start"), (end, end - 1, "end")):
            mapped, vma = self.holding(inside)
            cut = and_(mapped, lt(vma.start, place), lt(place, vma.end), not_(unless(vma)))
            refused = and_(cut, refuses_split(vma, place))
            self.fail_if(refused, errno, f"the VMA at the {which} of the range would refuse its split")
            cuts = cuts + ite(cut, 1, 0)
        return cuts

    def foresee(
        self,
        start: Num,
        end: Num,
        visit: Callable[[Vma, Visit], Vma],
        *,
        gap: Gap,
        no_room: Errno = Errno.ENOMEM,
    ) -> None:
        """A changing pass is about to be made: fails now, with nothing changed, if it could fail half-way. Room is
        asked for each cut at an end of the range, though a merge might spare it."""

        def look(vma: Vma, at: Visit) -> Vma:
            tests = Visit(at.start, at.end)
            visit(vma, tests)
            at.tests = tests.tests
            return vma

        def same(vma: Vma) -> Bool:
            return same_flags(vma, visit(vma, Visit(vma.start, vma.end)))

        self.change_each(start, end, look, gap=gap)
        cuts = self.refuse_cuts(start, end, unless=same)
        if self.edition.limits_maps:
            room = le(self.map_count + cuts, self.max_map_count)
            self.fail_if(and_(lt(0, cuts), not_(room)), no_room, "no room ahead for the cuts at the ends of the range")

    def any_mapped(self, start: Num, end: Num) -> bool:
        """Some page of the range is mapped."""
        return self.first(start, end) is not None

    def cannot_write(self, vma: Vma) -> Bool:
        """The calling thread cannot write through this VMA: no VM_WRITE, or its PKRU denies it."""
        return or_(not_(vma.write), self.write_denied(vma.pkey))

    def cannot_read(self, vma: Vma) -> Bool:
        """The calling thread cannot read through this VMA: no VM_READ, or its PKRU denies it."""
        return or_(not_(vma.read), self.access_denied(vma.pkey))

    def cannot_fault_in(self, vma: Vma) -> Bool:
        """mlock and MAP_POPULATE cannot fault in pages of this VMA: no access at all, or the PKRU denies it. A private
        writable page is faulted in by a write, any other by a read."""
        by_write = and_(vma.write, not_(vma.shared))
        denied = or_(and_(by_write, self.write_denied(vma.pkey)), and_(not_(by_write), self.access_denied(vma.pkey)))
        return or_(not_(or_(vma.read, vma.write, vma.exec)), denied)

    def beyond_object(self, vma: Vma, page: Num) -> Bool:
        """The page is mapped beyond the end of its object; of huge pages, too, where there are none."""
        return and_(one_of(vma.backing, (FILE, HUGETLB)), le(self.object_pages(vma.object), offset_at(vma, page)))

    def faults_fail(self, vma: Vma, start: Num, end: Num) -> Bool:
        """Some page of the VMA's part [start, end) cannot be faulted in: a guard page, or beyond its object's end."""
        beyond = self.beyond_object(vma, end - 1)
        return or_(beyond, self.guarded(vma, start, end)) if self.edition.guard_pages else beyond

    def at_limit(self, spare: int = 0) -> Bool:
        """map_count has reached the limit less `spare`; never, where there is none."""
        return self.edition.limits_maps and le(self.max_map_count - spare, self.map_count)

    def over_limit(self) -> Bool:
        """map_count is above the limit, which mmap and brk test: they let it reach the limit plus one."""
        return lt(self.max_map_count, self.map_count)


def same_page(a: Page, b: Page) -> Bool:
    """The two pages hold the same in every respect."""
    return and_(eq(a.copied, b.copied), eq(a.own, b.own), eq(a.lazy, b.lazy), eq(a.guard, b.guard))
