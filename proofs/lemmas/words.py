# SPDX-License-Identifier: MIT
"""The bridge from bytes to pages, and the errors of the argument stage: for all 64-bit words."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from checker.calls import explore_arguments, words_of
from proofs.lemmas.base import Obligation, terms
from spec.documented import DOCUMENTED
from spec.editions import Edition
from spec.errors import Errno
from spec.syscalls import CALLS
from spec.terms import not_
from spec.words import PAGES


def bridge(edition: Edition) -> Iterator[Obligation]:
    """What the page-level stage assumes of its arguments, the argument stage ensures, for all 64-bit words."""
    for name in filter(edition.has, CALLS):
        for path in explore_arguments(name, edition):
            if path.decoded is None:
                continue
            for i, fact in enumerate(path.decoded.facts(edition)):
                if fact is not True:
                    yield Obligation(f"bridge: {name}, fact {i}", terms(*path.conditions, not_(fact)))
            yield Obligation(f"bridge: {name} reaches its body", path.conditions, consistent=True)


def embedding(edition: Edition) -> Iterator[Obligation]:
    """Page numbers compare, add and subtract as integers exactly as they do as words: they are far below 2**64."""
    a, b = z3.BitVec("a", 64), z3.BitVec("b", 64)
    small = z3.And(z3.ULE(a, PAGES), z3.ULE(b, PAGES))

    def whole(w: z3.BitVecRef) -> z3.ArithRef:
        return z3.BV2Int(w)

    yield Obligation("embedding: order", terms(small, z3.ULT(a, b) != (whole(a) < whole(b))), as_integers=True)
    yield Obligation("embedding: equality", terms(small, (a == b) != (whole(a) == whole(b))), as_integers=True)
    yield Obligation("embedding: sums", terms(small, whole(a + b) != whole(a) + whole(b)), as_integers=True)
    yield Obligation(
        "embedding: differences", terms(small, z3.UGE(a, b), whole(a - b) != whole(a) - whole(b)), as_integers=True
    )


def argument_errors(edition: Edition) -> Iterator[Obligation]:
    """The argument stage of each call gives the documented errors, and only where they are documented."""
    for name, (documented, _) in DOCUMENTED.items():
        if not edition.has(name):
            continue
        errors = documented(words_of(CALLS[name]), edition)
        for path in explore_arguments(name, edition):
            wanted = errors.get(path.errno)
            if path.errno is Errno.OK:
                some = z3.Or(list(errors.values()))
                yield Obligation(
                    f"arguments: {name} goes on only without a documented error", terms(*path.conditions, some)
                )
            else:
                wrong = z3.BoolVal(True) if wanted is None else z3.Not(wanted)
                yield Obligation(f"arguments: {name} {path.errno.name} ({path.check})", terms(*path.conditions, wrong))
                yield Obligation(
                    f"arguments: {name} reaches {path.errno.name} ({path.check})", path.conditions, consistent=True
                )
