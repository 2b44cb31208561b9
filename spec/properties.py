# SPDX-License-Identifier: MIT
"""What must hold, each in one English sentence beside its formula, with the place that promises it.

A property speaks of one call from an arbitrary well-formed address space, as seen at one page (or two) that stand for
all. Properties know nothing of known bugs, and of editions only whose documents promise them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spec.advice import DISCARDING, GUARD_INSTALL
from spec.contracts import CONTRACTS, OPENBSD_CONTRACTS, unchanged
from spec.editions import Edition, System
from spec.errors import Errno
from spec.terms import Bool, Num, all_, and_, between, eq, implies, le, lt, ne, not_, one_of, or_
from spec.vma import (
    ANONYMOUS,
    FILE,
    HUGE_PAGES,
    HUGETLB,
    SPECIAL,
    alike,
    has_file,
    is_anonymous,
    offset_at,
    starts_huge_page,
    well_formed_page,
    well_formed_vma,
)
from spec.words import MIN_PAGE

SYSTEM_CALLS = ("mseal", "munmap", "mmap", "mprotect", "pkey_mprotect", "mremap", "madvise", "brk", "mlock", "munlock")
STEPS = ("write", "pkru", "reclaim", "pkey_alloc")
CHANGING = (*SYSTEM_CALLS, *STEPS)
"""Everything that happens to one address space; fork makes another one."""


@dataclass(frozen=True, slots=True)
class Property:
    """A theorem for each of its calls."""

    name: str
    sentence: str
    source: str
    calls: tuple[str, ...]
    holds: Callable[..., Bool]
    """(transition, page) -> what must be true there."""
    when: Callable[..., Bool] = lambda t, p: True
    """(transition, page) -> where the property says anything."""
    every: Callable[[Any, Num], Bool] | None = None
    """(transition, page) -> what the property presupposes of every page."""
    none: Callable[[Any, Num], Bool] | None = None
    """(transition, page) -> what would be true of every page where the property is broken: it says that some page is
    not like that."""
    outcomes: Callable[[Any], bool] = lambda t: True
    """(transition) -> the property speaks of calls that ended like this one."""
    assumptions: tuple[str, ...] = ()
    pageless: bool = False
    """It speaks of the call as a whole: no page breaks it."""
    second: bool = False
    """The property speaks of two pages: `when` and `holds` take a third argument."""
    contents: bool = False
    """It speaks of what pages hold, so that counterexamples show contents."""
    positions: bool = False
    """It speaks of where VMAs lie and of their anon_vmas, which most proofs do without."""
    promised_by: tuple[System, ...] = tuple(System)
    """The systems whose documents promise it; the others are not held to it."""


def succeeded(t: Any) -> bool:
    """The call returned success."""
    return t.errno is Errno.OK


def failed(t: Any) -> bool:
    """The call was refused."""
    return t.errno is not Errno.OK


def refused_with(errno: Errno) -> Callable[[Any], bool]:
    """The call was refused with this errno."""
    return lambda t: t.errno is errno


def _is_kept(t: Any, p: Num) -> Bool:
    """No page was moved to this one: it is outside the new range, or at the place of a gap that was moved along."""
    kept_gap = and_(t.to.fixed, eq(t.to.old_pages, t.to.new_pages), not_(t.before.at(t.to.old + (p - t.value)).mapped))
    return or_(not_(between(t.value, p, t.value + t.to.new_pages)), kept_gap)


def _sealed(t: Any, p: Num) -> Bool:
    was = t.before.at(p)
    return and_(was.mapped, was.vma.sealed)


def _sealed_after(t: Any, p: Num) -> Bool:
    now = t.after.at(p)
    return and_(now.mapped, now.vma.sealed)


def _same_protection(t: Any, p: Num) -> Bool:
    a, b = t.before.at(p).vma, t.after.at(p).vma
    names = ("read", "write", "exec", "may_read", "may_write", "may_exec", "pkey")
    return implies(t.after.at(p).mapped, all_(eq(getattr(a, n), getattr(b, n)) for n in names))


def _same_identity(t: Any, p: Num) -> Bool:
    a, b = t.before.at(p).vma, t.after.at(p).vma
    there = all_(eq(getattr(a, n), getattr(b, n)) for n in ("shared", "may_share", "backing", "object"))
    return and_(there, or_(not_(has_file(a)), eq(offset_at(a, p), offset_at(b, p))))


def _in_range(t: Any, p: Num) -> Bool:
    return between(t.to.start, p, t.to.end)


def _same_contents(t: Any, p: Num) -> Bool:
    return eq(t.before.at(p).visible, t.after.at(p).visible)


def _same_everything(t: Any, p: Num) -> Bool:
    return and_(
        unchanged(t, p),
        eq(t.before.cut(p), t.after.cut(p)),
        eq(t.before.map_count, t.after.map_count),
        eq(t.before.brk, t.after.brk),
    )


def _not_writable(t: Any, p: Num) -> Bool:
    vma = t.before.at(p).vma
    return or_(not_(vma.write), t.before.write_denied(vma.pkey))


def _protected_anonymous(t: Any, p: Num) -> Bool:
    """A sealed page of private anonymous memory that the calling thread cannot write."""
    vma = t.before.at(p).vma
    return and_(_sealed(t, p), eq(vma.backing, ANONYMOUS), _not_writable(t, p))


def _stable_anonymous(t: Any, p: Num) -> Bool:
    was = t.before.at(p)
    return and_(_protected_anonymous(t, p), not_(was.vma.write), not_(was.page.lazy), not_(was.vma.droppable))


def _private_file(t: Any, p: Num) -> Bool:
    was = t.before.at(p)
    return and_(_sealed(t, p), eq(was.vma.backing, FILE), not_(was.vma.may_share), not_(was.vma.write), was.page.copied)


def _no_cause(t: Any, q: Num) -> Bool:
    """The page gives the call no reason for EPERM: it is not sealed, or the call does nothing to it that sealing is
    promised to block."""
    return not_(and_(_sealed(t, q), BLOCKED_KINDS[t.call](t, q)))


def _kind_madvise(t: Any, q: Num) -> Bool:
    vma = t.before.at(q).vma
    discards = one_of(t.to.advice, (*DISCARDING, GUARD_INSTALL))
    return and_(_in_range(t, q), discards, is_anonymous(vma), _not_writable(t, q))


def _kind_mremap(t: Any, q: Num) -> Bool:
    to = t.to
    acts = or_(ne(to.old_pages, to.new_pages), to.fixed, to.dontunmap)
    source = or_(between(to.old, q, to.old + to.old_pages), eq(q, to.old))
    onto = and_(to.fixed, between(to.new, q, to.new + to.new_pages))
    return and_(acts, or_(source, onto))


BLOCKED_KINDS: dict[str, Callable[[Any, Num], Bool]] = {
    "munmap": _in_range,
    "mprotect": _in_range,
    "pkey_mprotect": _in_range,
    "madvise": _kind_madvise,
    "mremap": _kind_mremap,
    "mmap": lambda t, q: and_(t.to.fixed, between(t.to.page, q, t.to.page + t.to.pages)),
    "brk": lambda t, q: between(t.to.page, q, t.before.brk),
}
"""The six kinds of operation that the commit message says mseal blocks: what each call would do to a sealed page."""


def _eperm_for_another_reason(t: Any) -> Bool:
    """EPERM that has nothing to do with seals: an address below mmap_min_addr, poisoning without CAP_SYS_ADMIN."""
    if t.call == "mmap":
        rounded_down = and_(t.to.huge, not_(t.to.fixed), lt(t.to.page, MIN_PAGE + HUGE_PAGES))
        return or_(lt(t.to.page, MIN_PAGE), rounded_down)
    if t.call == "mremap":
        return and_(or_(t.to.fixed, t.to.dontunmap), lt(t.to.new, MIN_PAGE))
    if t.call == "madvise":
        return one_of(t.to.advice, (100, 101))
    return False


def _same_vma(t: Any, p: Num, q: Num) -> Bool:
    a, b = t.before.at(p), t.before.at(q)
    return and_(a.mapped, b.mapped, eq(a.vma.start, b.vma.start), lt(p, q))


def _same_special(t: Any, p: Num, q: Num) -> Bool:
    return and_(_same_vma(t, p, q), eq(t.before.at(p).vma.backing, SPECIAL))


def _same_huge_page(t: Any, p: Num, q: Num) -> Bool:
    together = and_(not_(starts_huge_page(q)), eq(q, p + 1))
    return and_(_same_vma(t, p, q), eq(t.before.at(p).vma.backing, HUGETLB), together)


def _still_alike(t: Any, p: Num, q: Num) -> Bool:
    a, b = t.after.at(p), t.after.at(q)
    names = ("read", "write", "exec", "pkey", "sealed", "locked", "dontfork", "object", "backing")
    return and_(
        eq(a.mapped, b.mapped), implies(a.mapped, all_(eq(getattr(a.vma, n), getattr(b.vma, n)) for n in names))
    )


def _newly_sealed(t: Any, p: Num) -> Bool:
    now = t.after.at(p)
    return and_(now.mapped, now.vma.sealed, not_(_sealed(t, p)))


def _one_mapping(after: Any, p: Num) -> Bool:
    """The pages on both sides of the left edge of page p could be parts of one VMA: nothing tells them apart."""
    left, right = after.at(p - 1), after.at(p)
    return and_(left.mapped, right.mapped, alike(left.vma, right.vma, p))


def _well_formed(t: Any, p: Num) -> Bool:
    now = t.after.at(p)
    vma = all_(condition for condition, _ in well_formed_vma(now.vma))
    return and_(implies(now.mapped, vma), well_formed_page(now.mapped, now.vma, now.page))


COMMIT = "commit message, "
THREAD_LIAM = "review thread, Liam Howlett, 2024-04-16 14:59"
THREAD_JANN = "review thread, Jann Horn, 2024-04-16 15:17"
THREAD_THEO = "review thread, Theo de Raadt, 2024-04-16 16:42"
HEADER = "mm/mseal.c, comment above do_mseal"

PROPERTIES: dict[str, Property] = {
    p.name: p
    for p in (
        Property(
            "never-unmapped",
            "A sealed page stays mapped.",
            COMMIT + "1> and 3>",
            CHANGING,
            when=_sealed,
            holds=lambda t, p: t.after.at(p).mapped,
        ),
        Property(
            "never-reprotected",
            "The protection, the permissions it may have, and the protection key of a sealed page never change.",
            COMMIT + "5>",
            CHANGING,
            when=_sealed,
            holds=_same_protection,
        ),
        Property(
            "never-replaced",
            "A sealed page keeps its backing: it is never moved, replaced or shrunk away by mremap, mmap or brk.",
            COMMIT + "1>, 2> and 3>",
            CHANGING,
            when=_sealed,
            holds=lambda t, p: and_(t.after.at(p).mapped, _same_identity(t, p)),
        ),
        Property(
            "never-grown",
            "No call but mseal makes a sealed page where none was: sealed mappings are not grown, and not copied.",
            COMMIT + "4>",
            tuple(c for c in CHANGING if c != "mseal"),
            when=lambda t, p: and_(t.after.at(p).mapped, t.after.at(p).vma.sealed),
            holds=_sealed,
        ),
        Property(
            "never-unsealed",
            "A seal is never removed.",
            HEADER + ": unseal() is not supported",
            CHANGING,
            when=_sealed,
            holds=_sealed_after,
        ),
        Property(
            "never-discarded",
            "madvise never discards the contents of sealed private anonymous memory that the caller cannot write.",
            COMMIT + "6>",
            ("madvise",),
            when=_protected_anonymous,
            holds=_same_contents,
            contents=True,
        ),
        Property(
            "fork-keeps-seals",
            "A child has every sealed page that is not marked dontfork, sealed and protected alike.",
            "shared memory-management semantics of fork; mm/mseal.c keeps VM_SEALED in vm_flags",
            ("fork",),
            when=lambda t, p: and_(_sealed(t, p), not_(t.before.at(p).vma.dontfork)),
            holds=lambda t, p: and_(
                t.after.at(p).mapped, t.after.at(p).vma.sealed, _same_protection(t, p), _same_identity(t, p)
            ),
        ),
        Property(
            "fork-keeps-contents",
            "A child reads in sealed read-only memory what its parent reads.",
            COMMIT + "6>, read for a child",
            ("fork",),
            when=lambda t, p: and_(_sealed(t, p), not_(t.before.at(p).vma.write), not_(t.before.at(p).vma.dontfork)),
            holds=_same_contents,
            contents=True,
        ),
        Property(
            "failed-mseal-seals-nothing",
            "A failed mseal seals no page.",
            "mm/mseal.c do_mseal, comment on the first pass; " + THREAD_JANN,
            ("mseal",),
            outcomes=failed,
            holds=lambda t, p: not_(_newly_sealed(t, p)),
        ),
        Property(
            "gap-seals-nothing",
            "If a page of the range is unmapped, mseal fails with ENOMEM and changes nothing at all.",
            HEADER + ": -ENOMEM; first pass",
            ("mseal",),
            second=True,
            when=lambda t, p, q: and_(_in_range(t, q), not_(t.before.at(q).mapped)),
            holds=lambda t, p, q: and_(t.errno is Errno.ENOMEM, _same_everything(t, p)),
        ),
        Property(
            "partial-seal-is-a-prefix",
            "The pages that a failed mseal has sealed are a prefix of its range: every page of the range before one of "
            "them is sealed.",
            "mm/mseal.c apply_mm_seal; " + THREAD_JANN,
            ("mseal",),
            outcomes=failed,
            second=True,
            when=lambda t, p, q: and_(_newly_sealed(t, p), le(t.to.start, q), lt(q, p)),
            holds=lambda t, p, q: _sealed_after(t, q),
        ),
        Property(
            "partial-seal-stops-at-an-end",
            "A page of the range that a failed mseal left unsealed, though it sealed another, lies in the VMA at the "
            "end of the range: the one whose split failed.",
            "mm/mseal.c apply_mm_seal; " + THREAD_JANN,
            ("mseal",),
            outcomes=failed,
            second=True,
            when=lambda t, p, q: and_(
                _newly_sealed(t, p), _in_range(t, q), t.before.at(q).mapped, not_(_sealed_after(t, q))
            ),
            holds=lambda t, p, q: le(t.to.end, t.before.at(q).vma.end),
        ),
        Property(
            "success-does-what-it-says",
            "A call that succeeds has done what its manual page says, to exactly the pages that it says: for mseal, it "
            "seals exactly its range and changes nothing else.",
            HEADER + "; the manual pages of the calls",
            tuple(CONTRACTS),
            outcomes=succeeded,
            holds=lambda t, p: CONTRACTS[t.call](t, p),
            contents=True,
        ),
        Property(
            "move-keeps-locks",
            "A move or resize neither locks nor unlocks a page that is outside the old range and keeps what it held.",
            "mlock(2), mremap(2): memory is locked until munlock, or until it is unmapped",
            ("mremap",),
            outcomes=succeeded,
            when=lambda t, p: and_(
                t.before.at(p).mapped,
                not_(between(t.to.old, p, t.to.old + t.to.old_pages)),
                _is_kept(t, p),
            ),
            holds=lambda t, p: and_(t.after.at(p).mapped, eq(t.before.at(p).vma.locked, t.after.at(p).vma.locked)),
        ),
        Property(
            "success-is-as-openbsd-says",
            "What munmap unmaps, and what MADV_DONTNEED and MADV_FREE discard, was mapped; what is to be wiped on fork "
            "was writable, and does not become immutable.",
            "OpenBSD: munmap(2), madvise(2), minherit(2), mimmutable(2)",
            tuple(OPENBSD_CONTRACTS),
            outcomes=succeeded,
            holds=lambda t, p: OPENBSD_CONTRACTS[t.call](t, p),
            promised_by=(System.OPENBSD,),
        ),
        Property(
            "special-stays-whole",
            "A special mapping is kept, unmapped or changed as a whole: no call cuts it.",
            "__install_special_mapping: special_mapping_split refuses",
            CHANGING,
            second=True,
            when=lambda t, p, q: _same_special(t, p, q),
            holds=lambda t, p, q: _still_alike(t, p, q),
        ),
        Property(
            "huge-pages-stay-whole",
            "The pages of one huge page are kept, unmapped or changed together.",
            "hugetlb_vm_op_split refuses a cut inside a huge page",
            CHANGING,
            second=True,
            when=lambda t, p, q: _same_huge_page(t, p, q),
            holds=lambda t, p, q: _still_alike(t, p, q),
        ),
        Property(
            "sealing-twice-is-a-no-op",
            "Sealing a range that is sealed already succeeds and changes nothing, not even the VMAs.",
            HEADER + ": adding a seal on an already sealed memory is a no-action (no error)",
            ("mseal",),
            every=lambda t, q: implies(_in_range(t, q), _sealed(t, q)),
            holds=lambda t, p: and_(succeeded(t), _same_everything(t, p)),
        ),
        Property(
            "alike-neighbours-merge",
            "Sealing leaves no boundary between what it sealed and a neighbour that nothing tells apart from it: they "
            "are one VMA.",
            "mm/mseal.c mseal_fixup: vma_modify_flags merges; " + HEADER,
            ("mseal",),
            outcomes=succeeded,
            when=lambda t, p: or_(_newly_sealed(t, p), _newly_sealed(t, p - 1)),
            holds=lambda t, p: not_(and_(t.after.cut(p), _one_mapping(t.after, p))),
        ),
        Property(
            "einval-only-as-documented",
            "mseal returns EINVAL only for reserved flags, an unaligned address or a range that overflows.",
            HEADER + ": -EINVAL",
            ("mseal",),
            pageless=True,
            holds=lambda t, p: t.errno is not Errno.EINVAL,
        ),
        Property(
            "enomem-only-as-documented",
            "mseal returns ENOMEM only if a page of its range is not allocated.",
            HEADER + ": -ENOMEM; " + THREAD_JANN,
            ("mseal",),
            every=lambda t, q: implies(_in_range(t, q), t.before.at(q).mapped),
            pageless=True,
            holds=lambda t, p: t.errno is not Errno.ENOMEM,
        ),
        Property(
            "enomem-as-documented",
            "mseal returns ENOMEM if a page of its range is not allocated.",
            HEADER + ": -ENOMEM",
            ("mseal",),
            when=lambda t, p: and_(_in_range(t, p), not_(t.before.at(p).mapped)),
            holds=lambda t, p: t.errno is Errno.ENOMEM,
        ),
        Property(
            "eperm-changes-nothing",
            "A call that is refused with EPERM because of a seal changes nothing at all: no page, no VMA boundary, no "
            "count.",
            "design of the patch: the range is checked before anything changes; " + THREAD_LIAM,
            tuple(BLOCKED_KINDS),
            outcomes=refused_with(Errno.EPERM),
            when=lambda t, p: not_(_eperm_for_another_reason(t)),
            holds=_same_everything,
        ),
        Property(
            "refused-advice-discards",
            "madvise refuses because of a seal only advice that discards what memory holds.",
            COMMIT + "6>",
            ("madvise",),
            outcomes=refused_with(Errno.EPERM),
            pageless=True,
            when=lambda t, p: not_(_eperm_for_another_reason(t)),
            holds=lambda t, p: one_of(t.to.advice, (*DISCARDING, GUARD_INSTALL)),
        ),
        Property(
            "eperm-only-with-cause",
            "EPERM is given only if the call would do to a sealed page what sealing is promised to block.",
            COMMIT + "1> to 6>",
            tuple(BLOCKED_KINDS),
            outcomes=refused_with(Errno.EPERM),
            none=_no_cause,
            when=lambda t, p: not_(_eperm_for_another_reason(t)),
            pageless=True,
            holds=lambda t, p: False,
        ),
        Property(
            "failure-changes-no-page",
            "A call that fails changes no page.",
            THREAD_THEO,
            SYSTEM_CALLS,
            outcomes=failed,
            holds=unchanged,
            contents=True,
        ),
        Property(
            "failure-changes-nothing",
            "A call that fails changes nothing at all: no page, no VMA boundary, no count.",
            THREAD_THEO,
            SYSTEM_CALLS,
            outcomes=failed,
            holds=_same_everything,
            contents=True,
        ),
        Property(
            "private-file-contents-stay",
            "The contents of a sealed, unwritable private file page that was copied on write are never discarded.",
            "the intent of " + COMMIT + "6>; the patch exempts files",
            ("madvise",),
            when=_private_file,
            holds=_same_contents,
            contents=True,
        ),
        Property(
            "anonymous-contents-stay",
            "The contents of a sealed, unwritable anonymous page stay what they were, whatever happens.",
            "the intent of " + COMMIT + "6>",
            CHANGING,
            when=lambda t, p: and_(_protected_anonymous(t, p), not_(t.before.at(p).vma.write)),
            holds=_same_contents,
            contents=True,
        ),
        Property(
            "settled-contents-stay",
            "The contents of a sealed, unwritable anonymous page that is neither lazily free nor droppable stay what "
            "they were, whatever happens.",
            "the intent of " + COMMIT + "6>",
            CHANGING,
            when=_stable_anonymous,
            holds=_same_contents,
            assumptions=("NOT_LAZY", "NOT_DROPPABLE"),
            contents=True,
        ),
        Property(
            "well-formed-stays",
            "Every VMA and page of a well-formed address space is well formed after the call.",
            "the invariants of mm_struct",
            (*CHANGING, "fork"),
            holds=_well_formed,
            positions=True,
        ),
        Property(
            "map-count-stays-in-bounds",
            "A call that succeeds leaves map_count at most one above its limit.",
            "do_mmap: the test is map_count > sysctl_max_map_count",
            (*CHANGING, "fork"),
            outcomes=succeeded,
            pageless=True,
            when=lambda t, p: le(t.before.map_count, t.before.max_map_count + 1),
            holds=lambda t, p: le(t.after.map_count, t.after.max_map_count + 1),
        ),
        Property(
            "failure-keeps-map-count",
            "A call that fails leaves map_count at most one above its limit.",
            "do_mmap: the test is map_count > sysctl_max_map_count; " + THREAD_THEO,
            SYSTEM_CALLS,
            outcomes=failed,
            pageless=True,
            when=lambda t, p: le(t.before.map_count, t.before.max_map_count + 1),
            holds=lambda t, p: le(t.after.map_count, t.after.max_map_count + 1),
        ),
        Property(
            "mseal32-refuses",
            "The 32-bit variant refuses with EPERM and changes nothing.",
            HEADER + ": -EPERM; mm/internal.h can_do_mseal",
            ("mseal32",),
            pageless=True,
            holds=lambda t, p: and_(t.errno is Errno.EPERM, _same_everything(t, p)),
        ),
    )
}
"""Every property by name."""


def promised(edition: Edition) -> list[Property]:
    """The properties that an edition is held to."""
    return [prop for prop in PROPERTIES.values() if edition.system in prop.promised_by]
