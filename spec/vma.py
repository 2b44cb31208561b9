# SPDX-License-Identifier: MIT
"""A virtual memory area and a page: the state that the calls consult and change.

Each field is here because a check or an effect of some call reads it; the comment beside it names one reader. Fields
hold Python values in the concrete reading and Z3 terms in the symbolic ones. All positions are page numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from spec.terms import (
    Bool,
    Num,
    all_,
    and_,
    any_,
    between,
    eq,
    implies,
    ite,
    ite_bool,
    le,
    lt,
    not_,
    one_of,
    or_,
    unknown_truth,
)
from spec.words import TASK_PAGES

ANONYMOUS: Final = 0
"""No file, no vm_ops: plain private anonymous memory."""
FILE: Final = 1
"""An object with pages of its own: a file, a memfd, or the shmem behind anonymous shared memory."""
DEVZERO: Final = 2
"""A private mapping of /dev/zero: vm_file is set, vm_ops is not (weakness W16)."""
SPECIAL: Final = 3
"""A special mapping such as the vdso: vm_ops without vm_file; never split, never merged, never grown."""
HUGETLB: Final = 4
"""Huge pages of hugetlbfs: split only at multiples of HUGE_PAGES."""
BACKINGS: Final = {ANONYMOUS: "anon", FILE: "file", DEVZERO: "devzero", SPECIAL: "special", HUGETLB: "hugetlb"}

LARGEST_OFFSET: Final = 1 << 64
"""Page offsets are words: mmap and mremap refuse a range of which they would wrap around."""

HUGE_PAGES: Final = 512
"""Pages of 4096 bytes in one huge page of 2 MiB."""

STACK_GUARD_PAGES: Final = 256
"""stack_guard_gap: free pages that the kernel keeps below a VMA that grows down."""

NORMAL, RANDOM, SEQUENTIAL = 0, 1, 2
"""Values of Vma.reading: VM_RAND_READ and VM_SEQ_READ exclude one another."""
THP_DEFAULT, THP_ALWAYS, THP_NEVER = 0, 1, 2
"""Values of Vma.thp: VM_HUGEPAGE and VM_NOHUGEPAGE exclude one another."""


@dataclass(frozen=True, slots=True)
class Vma:
    """One VMA. `[start, end)` in pages; the other fields are what the kernel keeps in vm_flags, vm_file, vm_pgoff."""

    start: Num
    end: Num
    read: Bool = False  # MADV_POPULATE_READ, a program's read
    write: Bool = False  # a program's write; "read-only" in the seal test of madvise
    exec: Bool = False  # what mprotect must not change
    may_read: Bool = True  # mprotect: EACCES
    may_write: Bool = True  # mprotect: EACCES; MADV_REMOVE
    may_exec: Bool = True  # mprotect: EACCES
    shared: Bool = False  # VM_SHARED: the seal test of madvise, MADV_REMOVE
    may_share: Bool = False  # VM_MAYSHARE: mremap with old size 0
    backing: Num = ANONYMOUS  # one of BACKINGS
    object: Num = 0  # identity of vm_file; 0 is none
    offset: Num = 0  # vm_pgoff: page offset of `start` in the object; merging
    anon_vma: Num = 0  # identity of the anon_vma; 0 while no page was written; merging
    inherited: Bool = False  # the anon_vma came through fork: it is not merged with a VMA that has none
    pkey: Num = 0  # 0..15; the seal test of madvise through PKRU
    sealed: Bool = False
    locked: Bool = False  # madvise: EINVAL for DONTNEED, FREE, COLD, PAGEOUT, REMOVE
    growsdown: Bool = False  # mprotect PROT_GROWSDOWN; growth on a fault below
    dontfork: Bool = False  # fork
    wipeonfork: Bool = False  # fork
    droppable: Bool = False  # reclaim may drop its pages; KEEPONFORK and DODUMP refuse
    dontdump: Bool = False  # merging only
    mergeable: Bool = False  # VM_MERGEABLE; merging only
    reading: Num = NORMAL  # merging only
    thp: Num = THP_DEFAULT  # merging only
    account: Bool = False  # VM_ACCOUNT; merging only
    noreserve: Bool = False  # VM_NORESERVE; mprotect's accounting, merging
    sync: Bool = False  # VM_SYNC; merging only
    opened_read_only: Bool = False  # private, and vm_file is the one opened for reading only; merging only


ATTRIBUTES: Final = tuple(f.name for f in fields(Vma) if f.name not in ("start", "end"))
BOOL_ATTRIBUTES: Final = tuple(f.name for f in fields(Vma) if f.type == "Bool")
_NO_FLAGS = ("object", "offset", "anon_vma", "inherited", "backing", "opened_read_only")
FLAGS: Final = tuple(a for a in ATTRIBUTES if a not in _NO_FLAGS)
"""What the kernel keeps in vm_flags: compared as a whole when VMAs merge and when a change turns out to be none."""


BOOKKEEPING: Final = ("offset", "anon_vma", "inherited", "account")
"""Attributes that no program can see, and that a merge may change for pages that the call did not mean."""


def has_file(vma: Vma) -> Bool:
    """vm_file is set."""
    return one_of(vma.backing, (FILE, DEVZERO, HUGETLB))


def is_anonymous(vma: Vma) -> Bool:
    """vm_ops is not set (the kernel's vma_is_anonymous)."""
    return one_of(vma.backing, (ANONYMOUS, DEVZERO))


def is_special(vma: Vma) -> Bool:
    """Some bit of VM_SPECIAL is set: never merged, not expanded."""
    return one_of(vma.backing, (SPECIAL, HUGETLB))


def starts_huge_page(page: Num) -> Bool:
    """The page number is a multiple of HUGE_PAGES.

    Of an unknown page this is an uninterpreted predicate: which numbers are multiples matters to no proof, and leaving
    it open only weakens what a proof may use. The search for examples fixes it (checker/prove.py).
    """
    if isinstance(page, int):
        return page % HUGE_PAGES == 0
    return unknown_truth("starts_huge_page", page)


def in_whole_pages(vma: Vma, pages: Num) -> Num:
    """A length in the VMA, in pages, rounded up to whole huge pages if it has such. A symbolic reading takes an unknown
    length for a whole one (assumption HUGE_SIZES)."""
    if isinstance(pages, int) and vma.backing == HUGETLB:
        return -(-pages // HUGE_PAGES) * HUGE_PAGES
    return pages


def refuses_split(vma: Vma, page: Num) -> Bool:
    """The VMA's vm_ops->may_split answers EINVAL for a cut at this page."""
    return or_(eq(vma.backing, SPECIAL), and_(eq(vma.backing, HUGETLB), not_(starts_huge_page(page))))


def lets_go(vma: Vma, start: Num, end: Num) -> Bool:
    """What an unmapping of the range that succeeds says of each VMA in it: it is not sealed, and was cut where the
    range begins or ends inside it."""
    before = and_(lt(vma.start, start), refuses_split(vma, start))
    behind = and_(lt(end, vma.end), refuses_split(vma, end))
    return not_(or_(vma.sealed, before, behind))


def beside(vma: Vma, start: Num, end: Num) -> Bool:
    """The VMA touches the range [start, end) from outside, so that it may merge with what is mapped there."""
    return or_(eq(vma.end, start), eq(vma.start, end))


def same_flags(a: Vma, b: Vma) -> Bool:
    """All vm_flags are equal."""
    return all_(eq(getattr(a, name), getattr(b, name)) for name in FLAGS)


def offset_at(vma: Vma, page: Num) -> Num:
    """The page offset that backs this page of the VMA."""
    return vma.offset + (page - vma.start)


def choose_vma(cond: Bool, yes: Vma, no: Vma) -> Vma:
    """Field by field choice between two VMAs."""
    if yes is no:
        return yes
    if isinstance(cond, bool):
        return yes if cond else no
    values: dict[str, Any] = {}
    for f in fields(Vma):
        a, b = getattr(yes, f.name), getattr(no, f.name)
        values[f.name] = ite_bool(cond, a, b) if f.type == "Bool" else ite(cond, a, b)
    return Vma(**values)


def _well_placed(vma: Vma) -> list[tuple[Bool, str]]:
    return [
        (le(0, vma.start), "it starts below page 0"),
        (lt(vma.start, vma.end), "it is empty (vm_end is not above vm_start)"),
        (le(vma.end, TASK_PAGES), "it reaches beyond the end of user address space (TASK_SIZE)"),
        (
            and_(le(0, vma.offset), lt(vma.offset + (vma.end - vma.start), LARGEST_OFFSET)),
            "its page offset is out of range",
        ),
    ]


def is_placed(vma: Vma, page: Num) -> Bool:
    """The VMA holds the page, and lies where a VMA can lie."""
    return and_(between(vma.start, page, vma.end), all_(condition for condition, _ in _well_placed(vma)))


def well_formed_vma(vma: Vma) -> list[tuple[Bool, str]]:
    """The conditions on one VMA, each with the sentence that a wrong layout is told.

    Sources: do_mmap, mmap_region, __install_special_mapping and hugetlbfs_file_mmap, which are how VMAs come about. Not
    among them, because 6.17 breaks it: that shared memory has no anon_vma (MADV_GUARD_INSTALL gives it one), and that
    anonymous memory without one has the page offset of its place (MREMAP_DONTUNMAP leaves it another; 6.18 too).
    """
    return [
        *_well_placed(vma),
        (one_of(vma.backing, BACKINGS), "its backing is unknown"),
        (eq(has_file(vma), lt(0, vma.object)), "it has an object exactly if it is backed by one"),
        (le(0, vma.object), "its object is negative"),
        (implies(vma.shared, and_(vma.may_share, one_of(vma.backing, (FILE, HUGETLB)))), "it is shared but private"),
        (implies(vma.may_share, one_of(vma.backing, (FILE, HUGETLB))), "anonymous shared memory has an object"),
        (
            implies(and_(vma.may_share, not_(vma.shared)), not_(vma.may_write)),
            "shared and may_share differ although it may be written",
        ),
        (implies(vma.read, vma.may_read), "it is readable but may not be"),
        (implies(vma.write, vma.may_write), "it is writable but may not be"),
        (implies(vma.exec, vma.may_exec), "it is executable but may not be"),
        (and_(le(0, vma.pkey), le(vma.pkey, 15)), "its pkey is not in 0..15"),
        (le(0, vma.anon_vma), "its anon_vma is negative"),
        (implies(vma.inherited, lt(0, vma.anon_vma)), "it inherited an anon_vma that it does not have"),
        (
            implies(or_(vma.droppable, vma.growsdown), eq(vma.backing, ANONYMOUS)),
            "only anonymous memory is droppable or grows down",
        ),
        (implies(vma.wipeonfork, not_(has_file(vma))), "only memory without a file is wiped on fork"),
        (implies(vma.droppable, and_(vma.noreserve, not_(vma.locked))), "droppable memory is locked or reserved"),
        (implies(eq(vma.backing, SPECIAL), not_(vma.locked)), "a special mapping is locked"),
        (
            implies(vma.opened_read_only, and_(eq(vma.backing, FILE), not_(vma.may_share))),
            "only a private mapping of a file tells that it was opened for reading only",
        ),
        (one_of(vma.reading, (NORMAL, RANDOM, SEQUENTIAL)), "its read advice is unknown"),
        (one_of(vma.thp, (THP_DEFAULT, THP_ALWAYS, THP_NEVER)), "its huge-page advice is unknown"),
    ]


@dataclass(frozen=True, slots=True)
class Page:
    """What one page holds beyond its VMA. Contents are abstract values; 0 is a page of zeros."""

    copied: Bool = False
    """The page has contents of its own: a written anonymous page, or the private copy of a file page."""
    own: Num = 0
    """Those contents, if `copied`; otherwise 0."""
    lazy: Bool = False
    """MADV_FREE was called and the page not written since: reclaim may zero it."""
    guard: Bool = False
    """MADV_GUARD_INSTALL was called (6.13 and later): any access faults."""


EMPTY_PAGE: Final = Page()


def choose_page(cond: Bool, yes: Page, no: Page) -> Page:
    """Field by field choice between two pages."""
    if yes is no:
        return yes
    if isinstance(cond, bool):
        return yes if cond else no
    return Page(
        ite_bool(cond, yes.copied, no.copied),
        ite(cond, yes.own, no.own),
        ite_bool(cond, yes.lazy, no.lazy),
        ite_bool(cond, yes.guard, no.guard),
    )


def well_formed_page(mapped: Bool, vma: Vma, page: Page) -> Bool:
    """What a page can hold in its VMA; an unmapped page holds nothing."""
    return all_(
        (
            le(0, page.own),
            implies(not_(page.copied), and_(eq(page.own, 0), not_(page.lazy))),
            implies(or_(page.copied, page.guard), mapped),
            implies(page.copied, and_(not_(vma.shared), not_(vma.may_share), lt(0, vma.anon_vma))),
            implies(page.lazy, is_anonymous(vma)),
            implies(page.guard, not_(page.copied)),
        )
    )


def changed_fields(a: Vma, b: Vma) -> list[str]:
    """Names of the attributes in which two concrete VMAs differ."""
    return [name for name in ATTRIBUTES if getattr(a, name) != getattr(b, name)]


def cut_vma(vma: Vma, start: Num, end: Num) -> Vma:
    """The part `[start, end)` of a VMA, with its page offset moved along."""
    return replace(vma, start=start, end=end, offset=offset_at(vma, start))


def same_mapping(a: Vma, b: Vma, page: Num) -> Bool:
    """At this page the two VMAs map the same thing in the same way: every attribute and the place in the object.

    Bookkeeping that a merge may share out anew does not count, and the offset only where there is an object (anonymous
    memory that was never written may be given another).
    """
    there = (eq(getattr(a, n), getattr(b, n)) for n in ATTRIBUTES if n not in BOOKKEEPING)
    return and_(all_(there), or_(not_(has_file(a)), eq(offset_at(a, page), offset_at(b, page))))


def alike(left: Vma, right: Vma, border: Num) -> Bool:
    """Nothing tells the mappings on both sides of the border apart, so that one VMA could be both."""
    names = (n for n in ATTRIBUTES if n != "offset")
    same = all_(eq(getattr(left, n), getattr(right, n)) for n in names)
    return and_(same, not_(is_special(left)), eq(offset_at(left, border), offset_at(right, border)))


def any_flag(vma: Vma, *names: str) -> Bool:
    """Any of the named flags is set."""
    return any_(getattr(vma, name) for name in names)


def visible(page: Num, vma: Vma, now: Page, stored: Callable[[Num, Num], Num]) -> Num:
    """What a program reads from the page of the VMA if it holds `now`, and objects hold what `stored` says."""
    backed = ite(has_file(vma), stored(vma.object, offset_at(vma, page)), 0)
    return ite(now.copied, now.own, ite(is_anonymous(vma), 0, backed))
