# SPDX-License-Identifier: MIT
"""What a call that fails leaves behind."""

from __future__ import annotations

from typing import Final

from spec.arguments import PageRange
from spec.errors import Errno
from spec.predicates import (
    eperm_for_another_reason,
    failed,
    in_range,
    newly_sealed,
    refused_with,
    same_everything,
    sealed_after,
    unchanged,
)
from spec.properties.base import (
    HEADER,
    SYSTEM_CALLS,
    THREAD_JANN,
    THREAD_LIAM,
    THREAD_THEO,
    Property,
    of_two_pages,
)
from spec.properties.errors import BLOCKED_KINDS
from spec.terms import and_, le, lt, not_

PROPERTIES: Final = (
    Property(
        "failed-mseal-seals-nothing",
        "A failed mseal seals no page.",
        "mm/mseal.c do_mseal, comment on the first pass; " + THREAD_JANN,
        ("mseal",),
        outcomes=failed,
        holds=lambda t, p: not_(newly_sealed(t, p)),
    ),
    Property(
        "gap-seals-nothing",
        "If a page of the range is unmapped, mseal fails with ENOMEM and changes nothing at all.",
        HEADER + ": -ENOMEM; first pass",
        ("mseal",),
        second=True,
        when=of_two_pages(lambda t, p, q: and_(in_range(t, q), not_(t.before.at(q).mapped))),
        holds=of_two_pages(lambda t, p, q: and_(t.errno is Errno.ENOMEM, same_everything(t, p))),
    ),
    Property(
        "partial-seal-is-a-prefix",
        "The pages that a failed mseal has sealed are a prefix of its range: every page of the range before one of "
        "them is sealed.",
        "mm/mseal.c apply_mm_seal; " + THREAD_JANN,
        ("mseal",),
        outcomes=failed,
        second=True,
        when=of_two_pages(lambda t, p, q: and_(newly_sealed(t, p), in_range(t, q), lt(q, p))),
        holds=of_two_pages(lambda t, p, q: sealed_after(t, q)),
    ),
    Property(
        "partial-seal-stops-at-an-end",
        "A page of the range that a failed mseal left unsealed, though it sealed another, lies in the VMA at the "
        "end of the range: the one whose split failed.",
        "mm/mseal.c apply_mm_seal; " + THREAD_JANN,
        ("mseal",),
        outcomes=failed,
        second=True,
        when=of_two_pages(
            lambda t, p, q: and_(newly_sealed(t, p), in_range(t, q), t.before.at(q).mapped, not_(sealed_after(t, q)))
        ),
        holds=of_two_pages(lambda t, p, q: le(t.asked(PageRange).end, t.before.at(q).vma.end)),
    ),
    Property(
        "eperm-changes-nothing",
        "A call that is refused with EPERM because of a seal changes nothing at all: no page, no VMA boundary, no "
        "count, no protection key.",
        "design of the patch: the range is checked before anything changes; " + THREAD_LIAM,
        tuple(BLOCKED_KINDS),
        outcomes=refused_with(Errno.EPERM),
        when=lambda t, p: not_(eperm_for_another_reason(t)),
        holds=same_everything,
    ),
    Property(
        "failure-changes-no-page",
        "A call that fails changes no page, and nothing that an object behind a page holds.",
        THREAD_THEO,
        SYSTEM_CALLS,
        outcomes=failed,
        holds=unchanged,
        contents=True,
    ),
    Property(
        "failure-changes-nothing",
        "A call that fails changes nothing at all: no page, no VMA boundary, no count, no protection key, not the "
        "break.",
        THREAD_THEO,
        SYSTEM_CALLS,
        outcomes=failed,
        holds=same_everything,
        contents=True,
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
        holds=lambda t, p: and_(t.errno is Errno.EPERM, same_everything(t, p)),
    ),
)
