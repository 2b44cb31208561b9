# SPDX-License-Identifier: MIT
"""What a seal promises of the page that is sealed."""

from __future__ import annotations

from typing import Final

from spec.predicates import (
    not_writable,
    same_contents,
    same_identity,
    same_protection,
    sealed,
    sealed_after,
)
from spec.properties.base import (
    CHANGING,
    COMMIT,
    HEADER,
    Property,
)
from spec.terms import Bool, Num, and_, eq, not_
from spec.transition import Transition
from spec.vma import (
    ANONYMOUS,
    FILE,
)


def _protected_anonymous(t: Transition, p: Num) -> Bool:
    """A sealed page of private anonymous memory that the calling thread cannot write."""
    vma = t.before.at(p).vma
    return and_(sealed(t, p), eq(vma.backing, ANONYMOUS), not_writable(t, p))


def _stable_anonymous(t: Transition, p: Num) -> Bool:
    was = t.before.at(p)
    return and_(_protected_anonymous(t, p), not_(was.vma.write), not_(was.page.lazy), not_(was.vma.droppable))


def _private_file(t: Transition, p: Num) -> Bool:
    was = t.before.at(p)
    return and_(sealed(t, p), eq(was.vma.backing, FILE), not_(was.vma.may_share), not_(was.vma.write), was.page.copied)


PROPERTIES: Final = (
    Property(
        "never-unmapped",
        "A sealed page stays mapped.",
        COMMIT + "1> and 3>",
        CHANGING,
        when=sealed,
        holds=lambda t, p: t.after.at(p).mapped,
    ),
    Property(
        "never-reprotected",
        "The protection, the permissions it may have, and the protection key of a sealed page never change.",
        COMMIT + "5>",
        CHANGING,
        when=sealed,
        holds=same_protection,
    ),
    Property(
        "never-replaced",
        "A sealed page keeps its backing: it is never moved, replaced or shrunk away by mremap, mmap or brk.",
        COMMIT + "1>, 2> and 3>",
        CHANGING,
        when=sealed,
        holds=lambda t, p: and_(t.after.at(p).mapped, same_identity(t, p)),
    ),
    Property(
        "never-grown",
        "No call but mseal makes a sealed page where none was: sealed mappings are not grown, and not copied.",
        COMMIT + "4>",
        tuple(c for c in CHANGING if c != "mseal"),
        when=lambda t, p: and_(t.after.at(p).mapped, t.after.at(p).vma.sealed),
        holds=sealed,
    ),
    Property(
        "never-unsealed",
        "A seal is never removed.",
        HEADER + ": unseal() is not supported",
        CHANGING,
        when=sealed,
        holds=sealed_after,
    ),
    Property(
        "never-discarded",
        "madvise never discards the contents of sealed private anonymous memory that the caller cannot write.",
        COMMIT + "6>",
        ("madvise",),
        when=_protected_anonymous,
        holds=same_contents,
        contents=True,
    ),
    Property(
        "fork-keeps-seals",
        "A child has every sealed page that is not marked dontfork, sealed and protected alike.",
        "shared memory-management semantics of fork; mm/mseal.c keeps VM_SEALED in vm_flags",
        ("fork",),
        when=lambda t, p: and_(sealed(t, p), not_(t.before.at(p).vma.dontfork)),
        holds=lambda t, p: and_(
            t.after.at(p).mapped, t.after.at(p).vma.sealed, same_protection(t, p), same_identity(t, p)
        ),
    ),
    Property(
        "fork-keeps-contents",
        "A child reads in sealed read-only memory what its parent reads.",
        COMMIT + "6>, read for a child",
        ("fork",),
        when=lambda t, p: and_(sealed(t, p), not_(t.before.at(p).vma.write), not_(t.before.at(p).vma.dontfork)),
        holds=same_contents,
        contents=True,
    ),
    Property(
        "private-file-contents-stay",
        "The contents of a sealed, unwritable private file page that was copied on write are never discarded.",
        "the intent of " + COMMIT + "6>; the patch exempts files",
        ("madvise",),
        when=_private_file,
        holds=same_contents,
        contents=True,
    ),
    Property(
        "anonymous-contents-stay",
        "The contents of a sealed, unwritable anonymous page stay what they were, whatever happens.",
        "the intent of " + COMMIT + "6>",
        CHANGING,
        when=lambda t, p: and_(_protected_anonymous(t, p), not_(t.before.at(p).vma.write)),
        holds=same_contents,
        contents=True,
    ),
    Property(
        "settled-contents-stay",
        "The contents of a sealed, unwritable anonymous page that is neither lazily free nor droppable stay what "
        "they were, whatever happens.",
        "the intent of " + COMMIT + "6>",
        CHANGING,
        when=_stable_anonymous,
        holds=same_contents,
        assumptions=("NOT_LAZY", "NOT_DROPPABLE"),
        contents=True,
    ),
)
