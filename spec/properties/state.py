# SPDX-License-Identifier: MIT
"""What is true of every address space: VMAs are well formed, whole and counted."""

from __future__ import annotations

from typing import Final

from spec.predicates import (
    asked_move,
    newly_sealed,
    same_vma,
    succeeded,
)
from spec.properties.base import (
    CHANGING,
    HEADER,
    Property,
    of_two_pages,
)
from spec.terms import Bool, Num, all_, and_, between, eq, implies, le, not_, or_
from spec.transition import Transition
from spec.vma import (
    HUGETLB,
    SPECIAL,
    alike,
    starts_huge_page,
    well_formed_page,
    well_formed_vma,
)


def _same_special(t: Transition, p: Num, q: Num) -> Bool:
    return and_(same_vma(t, p, q), eq(t.before.at(p).vma.backing, SPECIAL))


def _same_huge_page(t: Transition, p: Num, q: Num) -> Bool:
    together = and_(not_(starts_huge_page(q)), eq(q, p + 1))
    return and_(same_vma(t, p, q), eq(t.before.at(p).vma.backing, HUGETLB), together)


def _still_alike(t: Transition, p: Num, q: Num) -> Bool:
    a, b = t.after.at(p), t.after.at(q)
    names = ("read", "write", "exec", "pkey", "sealed", "locked", "dontfork", "object", "backing")
    return and_(
        eq(a.mapped, b.mapped), implies(a.mapped, all_(eq(getattr(a.vma, n), getattr(b.vma, n)) for n in names))
    )


def _is_moved_onto(t: Transition, p: Num) -> Bool:
    """mremap moves something to a given address, and the page is there."""
    if t.call != "mremap":
        return False
    to = asked_move(t)
    return and_(to.fixed, between(to.new, p, to.new + to.new_pages))


def _still_one_vma(t: Transition, p: Num, q: Num) -> Bool:
    """Both pages are in one special VMA yet, or neither is; others may have been moved onto its place."""
    a, b = t.after.at(p), t.after.at(q)
    special = and_(a.mapped, eq(a.vma.backing, SPECIAL), not_(_is_moved_onto(t, p)))
    return and_(_still_alike(t, p, q), implies(special, eq(a.vma.start, b.vma.start)))


def _one_mapping(t: Transition, p: Num) -> Bool:
    """The pages on both sides of the left edge of page p could be parts of one VMA: nothing tells them apart, and
    their anon_vmas did not before the call."""
    left, right = t.after.at(p - 1), t.after.at(p)
    was, its = t.before.at(p - 1).vma, t.before.at(p).vma
    one_anon_vma = and_(eq(was.anon_vma, its.anon_vma), eq(was.inherited, its.inherited))
    return and_(left.mapped, right.mapped, alike(left.vma, right.vma, p), one_anon_vma)


def _well_formed(t: Transition, p: Num) -> Bool:
    now = t.after.at(p)
    vma = all_(condition for condition, _ in well_formed_vma(now.vma))
    return and_(implies(now.mapped, vma), well_formed_page(now.mapped, now.vma, now.page))


PROPERTIES: Final = (
    Property(
        "special-stays-whole",
        "A special mapping is kept, unmapped or changed as a whole: it stays one VMA, no call cuts it.",
        "__install_special_mapping: special_mapping_split refuses",
        CHANGING,
        second=True,
        when=of_two_pages(_same_special),
        holds=of_two_pages(_still_one_vma),
    ),
    Property(
        "huge-pages-stay-whole",
        "The pages of one huge page are kept, unmapped or changed together.",
        "hugetlb_vm_op_split refuses a cut inside a huge page",
        CHANGING,
        second=True,
        when=of_two_pages(_same_huge_page),
        holds=of_two_pages(_still_alike),
    ),
    Property(
        "alike-neighbours-merge",
        "Sealing leaves no boundary between what it sealed and a neighbour that nothing tells apart from it, if their "
        "anon_vmas were the same before: they are one VMA.",
        "mm/mseal.c mseal_fixup: vma_modify_flags merges; " + HEADER,
        ("mseal",),
        outcomes=succeeded,
        when=lambda t, p: or_(newly_sealed(t, p), newly_sealed(t, p - 1)),
        holds=lambda t, p: not_(and_(t.after.cut(p), _one_mapping(t, p))),
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
)
