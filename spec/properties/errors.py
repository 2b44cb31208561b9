# SPDX-License-Identifier: MIT
"""When a call may fail, and with which errno."""

from __future__ import annotations

from typing import Final

from spec.advice import (
    DISCARDING,
    GUARD_INSTALL,
)
from spec.arguments import Advise, Break, Map
from spec.errors import Errno
from spec.predicates import (
    Formula,
    asked_move,
    eperm_for_another_reason,
    in_range,
    not_writable,
    refused_with,
    sealed,
)
from spec.properties.base import (
    COMMIT,
    HEADER,
    THREAD_JANN,
    Property,
)
from spec.terms import Bool, Num, and_, between, eq, implies, ne, not_, one_of, or_
from spec.transition import Transition
from spec.vma import (
    is_anonymous,
)


def _no_cause(t: Transition, q: Num) -> Bool:
    """The page gives the call no reason for EPERM: it is not sealed, or the call does nothing to it that sealing is
    promised to block."""
    return not_(and_(sealed(t, q), BLOCKED_KINDS[t.call](t, q)))


def _kind_madvise(t: Transition, q: Num) -> Bool:
    vma = t.before.at(q).vma
    discards = one_of(t.asked(Advise).advice, (*DISCARDING, GUARD_INSTALL))
    return and_(in_range(t, q), discards, is_anonymous(vma), not_writable(t, q))


def _kind_mremap(t: Transition, q: Num) -> Bool:
    to = asked_move(t)
    acts = or_(ne(to.old_pages, to.new_pages), to.fixed, to.dontunmap)
    source = or_(between(to.old, q, to.old + to.old_pages), eq(q, to.old))
    onto = and_(to.fixed, between(to.new, q, to.new + to.new_pages))
    return and_(acts, or_(source, onto))


def _kind_mmap(t: Transition, q: Num) -> Bool:
    new = t.asked(Map)
    return and_(new.fixed, between(new.page, q, new.page + new.pages))


BLOCKED_KINDS: Final[dict[str, Formula]] = {
    "munmap": in_range,
    "mprotect": in_range,
    "pkey_mprotect": in_range,
    "madvise": _kind_madvise,
    "mremap": _kind_mremap,
    "mmap": _kind_mmap,
    "brk": lambda t, q: between(t.asked(Break).page, q, t.before.brk),
}
"""The six kinds of operation that the commit message says mseal blocks: what each call would do to a sealed page."""

PROPERTIES: Final = (
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
        every=lambda t, q: implies(in_range(t, q), t.before.at(q).mapped),
        pageless=True,
        holds=lambda t, p: t.errno is not Errno.ENOMEM,
    ),
    Property(
        "enomem-as-documented",
        "mseal returns ENOMEM if a page of its range is not allocated.",
        HEADER + ": -ENOMEM",
        ("mseal",),
        when=lambda t, p: and_(in_range(t, p), not_(t.before.at(p).mapped)),
        holds=lambda t, p: t.errno is Errno.ENOMEM,
    ),
    Property(
        "refused-advice-discards",
        "madvise refuses because of a seal only advice that discards what memory holds.",
        COMMIT + "6>",
        ("madvise",),
        outcomes=refused_with(Errno.EPERM),
        pageless=True,
        when=lambda t, p: not_(eperm_for_another_reason(t)),
        holds=lambda t, p: one_of(t.asked(Advise).advice, (*DISCARDING, GUARD_INSTALL)),
    ),
    Property(
        "eperm-only-with-cause",
        "EPERM is given only if the call would do to a sealed page what sealing is promised to block.",
        COMMIT + "1> to 6>",
        tuple(BLOCKED_KINDS),
        outcomes=refused_with(Errno.EPERM),
        none=_no_cause,
        when=lambda t, p: not_(eperm_for_another_reason(t)),
        pageless=True,
        holds=lambda t, p: False,
    ),
)
