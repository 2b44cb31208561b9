# SPDX-License-Identifier: MIT
"""The lemmas that justify the unbounded reading: obligations for the solver.

Each lemma is a list of queries that must all be unsatisfiable, beside one that must be satisfiable (that the
hypotheses are not empty). docs/METHOD.md says how they fit together.
"""

from __future__ import annotations

from proofs.lemmas import moves, passes, verbs, words
from proofs.lemmas.base import Lemma, LemmaOutcome, Obligation, decide_lemma
from proofs.results import LemmaResult
from spec.editions import Edition

__all__ = [
    "LEMMAS",
    "LEMMAS_BROKEN",
    "Lemma",
    "LemmaOutcome",
    "Obligation",
    "decide_lemma",
    "lemma_result",
    "lemmas_of",
]


def lemma_result(lemma: Lemma, edition: Edition, timeout_ms: int) -> LemmaResult:
    """Decide a lemma, and say whether that was expected."""
    broken = LEMMAS_BROKEN.get((lemma.name, edition.name), "")
    outcome = decide_lemma(lemma, edition, timeout_ms)
    return LemmaResult(
        name=lemma.name,
        sentence=lemma.sentence,
        verdict=outcome.verdict,
        as_expected=outcome.verdict == ("refuted" if broken else "proved"),
        obligations=outcome.obligations,
        seconds=round(outcome.seconds, 3),
        why=(broken + ": " if broken else "") + outcome.why,
    )


LEMMAS: dict[str, Lemma] = {
    lemma.name: lemma
    for lemma in (
        Lemma("verbs", "Verbs that are no loops keep their contracts, whatever lies elsewhere.", verbs.verbs),
        Lemma("move", "Moving pages keeps its contract, over one or two VMAs.", verbs.move),
        Lemma("moves", "Moving VMA after VMA equals its summary (induction over the VMAs).", moves.moves),
        *passes.LEMMAS,
        Lemma(
            "bridge",
            "The argument checks ensure what the page-level stage assumes, for all 64-bit arguments.",
            words.bridge,
        ),
        Lemma("embedding", "Page numbers as integers behave as page numbers in 64-bit words.", words.embedding),
        Lemma(
            "argument-errors", "Wrong arguments give the documented errors, and only they do.", words.argument_errors
        ),
    )
}
"""Every lemma by name."""


def lemmas_of(edition: Edition) -> tuple[str, ...]:
    """The names of the lemmas that an edition rests on: all but those about calls that it has not."""
    return tuple(name for name, lemma in LEMMAS.items() if not lemma.calls or any(map(edition.has, lemma.calls)))


LEMMAS_BROKEN: dict[tuple[str, str], str] = {
    ("cursor", "v6.17"): "the cursor is where the VMA ended before the merge (CVE-2026-23416); fixed in v6.18",
}
"""(lemma, edition) that are expected to be refuted, with the reason."""
