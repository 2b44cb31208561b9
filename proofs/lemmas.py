# SPDX-License-Identifier: MIT
"""The induction lemmas that justify the unbounded reading, and the bridge from bytes to pages: obligations for Z3.

Each lemma is a list of queries that must all be unsatisfiable, beside one that must be satisfiable (that the
hypotheses are not empty). docs/METHOD.md says how they fit together.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import z3

from checker.answers import why_unknown
from checker.bounded import BoundedSpace, Window, symbolic_vma
from checker.calls import explore_arguments, symbolic_arguments, words_of
from checker.paths import Run, explore
from checker.unbounded import UnboundedSpace, World
from proofs.results import LemmaResult, Verdict
from spec.arguments import Move
from spec.documented import DOCUMENTED
from spec.editions import Cursor, Edition, Remap
from spec.errors import Errno
from spec.space import Gap, Refused
from spec.syscalls import CALLS, mremap
from spec.syscalls.madvise import advised
from spec.syscalls.mprotect import accounted
from spec.terms import Bool, Num, all_, and_, any_, between, eq, implies, ite, le, lt, not_, or_
from spec.vma import (
    ATTRIBUTES,
    BOOKKEEPING,
    Vma,
    alike,
    choose_vma,
    lets_go,
    refuses_split,
    same_flags,
    well_formed_vma,
)
from spec.words import MIN_PAGE, PAGES, TASK_PAGES


@dataclass(frozen=True, slots=True)
class Obligation:
    """One query: `unsat` discharges it. `consistent` marks the ones that must be satisfiable."""

    name: str
    query: tuple[z3.BoolRef, ...]
    consistent: bool = False
    as_integers: bool = False
    """Words are to be reasoned about as integers (z3's intblast), not bit by bit."""


@dataclass(frozen=True, slots=True)
class Lemma:
    """A named group of obligations."""

    name: str
    sentence: str
    obligations: Callable[[Edition], Iterator[Obligation]]


@dataclass(frozen=True, slots=True)
class LemmaOutcome:
    """What the solver said of a lemma."""

    verdict: Verdict
    """`proved`, `refuted` (the first obligation that failed is in `why`), or `unknown`."""
    obligations: int
    seconds: float
    why: str = ""


def decide_lemma(lemma: Lemma, edition: Edition, timeout_ms: int) -> LemmaOutcome:
    """Discharge all obligations of a lemma."""
    started = time.perf_counter()
    count = 0
    for obligation in lemma.obligations(edition):
        count += 1
        solver = z3.SimpleSolver()
        solver.set("timeout", timeout_ms)
        if obligation.as_integers:
            solver.set("bv.solver", 2)
        solver.add(*obligation.query)
        answer = solver.check()
        wanted = z3.sat if obligation.consistent else z3.unsat
        if answer != wanted:
            verdict: Verdict = "unknown" if answer == z3.unknown else "refuted"
            why = f"{obligation.name}: {why_unknown(solver)}" if answer == z3.unknown else obligation.name
            return LemmaOutcome(verdict, count, time.perf_counter() - started, why)
    return LemmaOutcome("proved" if count else "vacuous", count, time.perf_counter() - started)


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


def _z(*terms: Bool) -> tuple[z3.BoolRef, ...]:
    return tuple(t if isinstance(t, z3.ExprRef) else z3.BoolVal(t) for t in terms)


# the fold over VMAs equals its cut-point summary ----------------------------------------------------------------------


def _walk(edition: Edition) -> Iterator[Obligation]:
    """For a changing pass with any test and any change: what the summary says after k VMAs, it says after k + 1."""
    number, truth = z3.IntSort(), z3.BoolSort()
    key = z3.Function("vm_start", number, number)
    mapped = z3.Function("mapped", number, truth)
    passes = z3.Function("passes", number, truth)  # of the VMA that begins there
    original, changed = z3.Function("original", number, number), z3.Function("changed", number, number)
    start, end, reached, low, high, p = z3.Ints("start end reached low high p")

    def summary(at: z3.ArithRef) -> z3.ArithRef:
        """What page p holds once the pass has got to `at`."""
        return z3.If(z3.And(start <= p, p < at, mapped(p)), changed(key(p)), original(key(p)))

    def all_passed(at: z3.ArithRef) -> z3.BoolRef:
        return z3.Implies(z3.And(start <= p, p < at, mapped(p)), passes(key(p)))

    one_vma = z3.Implies(z3.And(low <= p, p < high), z3.And(mapped(p), key(p) == key(low)))
    hole = z3.Implies(z3.And(reached <= p, p < low), z3.Not(mapped(p)))
    here = z3.And(start <= reached, reached <= low, low < high, high <= end, one_vma, hole)
    yield Obligation(
        "walk: base, nothing is changed and nothing asked",
        _z(z3.Or(summary(start) != original(key(p)), z3.Not(all_passed(start)))),
    )
    visited = z3.If(z3.And(low <= p, p < high), changed(key(p)), summary(reached))
    yield Obligation("walk: step, the change", _z(here, visited != summary(high)))
    yield Obligation("walk: step, the tests", _z(here, all_passed(reached), passes(key(low)), z3.Not(all_passed(high))))
    yield Obligation(
        "walk: a failing VMA leaves the summary at its start",
        _z(here, z3.Not(passes(key(low))), summary(reached) != summary(low)),
    )
    yield Obligation(
        "walk: the hypotheses are consistent", _z(here, mapped(p), p >= low, passes(key(low))), consistent=True
    )


def _look(edition: Edition) -> Iterator[Obligation]:
    """An up-front pass finds a VMA exactly if some page of the range lies in such a VMA."""
    number, truth = z3.IntSort(), z3.BoolSort()
    mapped, key = z3.Function("mapped", number, truth), z3.Function("vm_start", number, number)
    found = z3.Function("found", number, truth)
    start, end, reached, low, high, p = z3.Ints("start end reached low high p")

    def none(at: z3.ArithRef) -> z3.BoolRef:
        return z3.Implies(z3.And(start <= p, p < at, mapped(p)), z3.Not(found(key(p))))

    step = z3.And(
        start <= reached,
        reached <= low,
        low < high,
        high <= end,
        z3.Implies(z3.And(low <= p, p < high), z3.And(mapped(p), key(p) == key(low))),
        z3.Implies(z3.And(reached <= p, p < low), z3.Not(mapped(p))),
    )
    yield Obligation("look: base", _z(z3.Not(none(start))))
    yield Obligation("look: step", _z(step, none(reached), z3.Not(found(key(low))), z3.Not(none(high))))
    yield Obligation(
        "look: a VMA that is found has a page in the range",
        _z(step, found(key(low)), z3.Not(z3.And(start <= low, low < end))),
    )
    yield Obligation(
        "look: the hypotheses are consistent", _z(step, none(reached), found(key(low)), mapped(p)), consistent=True
    )


# one step of the list engine, on a window -----------------------------------------------------------------------------


def _same_at(a: Vma, b: Vma) -> Bool:
    return all_(eq(getattr(a, n), getattr(b, n)) for n in ATTRIBUTES if n not in BOOKKEEPING)


def _list_is_well_formed(vmas: list[Vma]) -> Bool:
    """In order, disjoint, below TASK_SIZE, and every VMA well formed in itself: its position, its attributes, and the
    bookkeeping (page offset, anon_vma) that merges and splits must keep right."""
    parts: list[Bool] = [condition for vma in vmas for condition, _ in well_formed_vma(vma)]
    parts += [le(a.end, b.start) for a, b in itertools.pairwise(vmas)]
    return all_(parts)


def _window_paths(
    edition: Edition, count: int, body: Callable[[BoundedSpace], None]
) -> Iterator[tuple[tuple[z3.BoolRef, ...], Window, BoundedSpace, bool]]:
    """All paths of `body` on an arbitrary window of `count` VMAs: (conditions, window, space afterwards, refused)."""
    window = Window(count)
    facts = window.well_formed()

    def run(path: Run) -> tuple[BoundedSpace, bool]:
        path.conditions.extend(facts)
        space = BoundedSpace(window, edition, path)
        try:
            body(space)
        except Refused:
            return space, True
        return space, False

    for explored in explore(run, list):
        space, refused = explored.outcome
        yield explored.conditions, window, space, refused


def _modify(edition: Edition) -> Iterator[Obligation]:
    """vma_modify on a window: whatever merges or splits, the list stays well formed, the pages of the range carry the
    change and no other page does, and the counter counts."""
    start, end, p = z3.Int("start"), z3.Int("end"), z3.Int("p")
    wish = symbolic_vma("wish")
    for before, behind in itertools.product((0, 1), repeat=2):
        count = before + 1 + behind
        shape = f"modify ({before} before, {behind} behind)"

        def body(space: BoundedSpace, before: int = before) -> None:
            vma = space.vmas[before]
            # a stale cursor may lie before the VMA at hand: then its part of the range begins where the VMA does
            inside = True if edition.cursor is Cursor.STALE else le(vma.start, start)
            space.run.assume(and_(inside, lt(start, end), lt(vma.start, end), lt(start, vma.end), le(end, vma.end)))
            changed = replace(
                wish, start=vma.start, end=vma.end, backing=vma.backing, object=vma.object, offset=vma.offset
            )
            changed = replace(changed, anon_vma=vma.anon_vma, inherited=vma.inherited)
            space.run.assume(not_(same_flags(vma, changed)))
            space.run.assume(all_(condition for condition, _ in well_formed_vma(changed)))
            space._modify(before, start, end, changed, Errno.ENOMEM)

        some = False
        for conditions, window, space, refused in _window_paths(edition, count, body):
            some = True
            yield Obligation(f"{shape}: the counter counts", _z(*conditions, not_(eq(space.counter, space.counted()))))
            room = or_(le(space.counter, space.max_map_count), le(space.counter, window.elsewhere + count))
            if edition.limits_maps:
                yield Obligation(f"{shape}: the counter stays within its limit", _z(*conditions, not_(room)))
            middle = window.vmas[before]
            cuts = ite(lt(middle.start, start), 1, 0) + ite(lt(end, middle.end), 1, 0)
            few = le(space.counter, window.elsewhere + count + cuts)
            yield Obligation(f"{shape}: only cuts add to the counter", _z(*conditions, not_(few)))
            old, new = _lookup(window.vmas, p), _lookup(space.vmas, p)
            inside = and_(le(start, p), le(middle.start, p), lt(p, end))
            target = replace(wish, backing=old[1].backing, object=old[1].object)
            expected = (
                _same_at(new[1], old[1])
                if refused
                else and_(implies(inside, _same_at(new[1], target)), or_(inside, _same_at(new[1], old[1])))
            )
            yield Obligation(
                f"{shape}: exactly the range is changed",
                _z(*conditions, not_(and_(eq(old[0], new[0]), implies(old[0], expected)))),
            )
            place = eq(old[1].offset + (p - old[1].start), new[1].offset + (p - new[1].start))
            yield Obligation(f"{shape}: no page changes its place in the object", _z(*conditions, old[0], not_(place)))
            yield Obligation(
                f"{shape}: the list stays well formed", _z(*conditions, not_(_list_is_well_formed(space.vmas)))
            )
            if refused or edition.cursor is Cursor.STALE:
                continue
            for border in (start, end):
                for left, right in itertools.pairwise(space.vmas):
                    apart = and_(eq(left.end, border), eq(right.start, border), alike(left, right, border))
                    yield Obligation(f"{shape}: alike neighbours are one VMA", _z(*conditions, apart))
        assert some


def _lookup(vmas: list[Vma], page: Num) -> tuple[Bool, Vma]:
    found = vmas[0]
    for vma in vmas[1:]:
        found = choose_vma(between(vma.start, page, vma.end), vma, found)
    return any_(between(v.start, page, v.end) for v in vmas), found


def _insert(edition: Edition) -> Iterator[Obligation]:
    """A new VMA between two others, merged or not: the list stays well formed, exactly its pages are new, and the
    counter counts."""
    p = z3.Int("p")
    new = symbolic_vma("new")
    for neighbours in (1, 2):

        def body(space: BoundedSpace, neighbours: int = neighbours) -> None:
            space.run.assume(and_(*[c for c, _ in well_formed_vma(new)]))
            space.run.assume(and_(le(space.vmas[0].end, new.start), le(new.end, TASK_PAGES)))
            if neighbours == 2:
                space.run.assume(le(new.end, space.vmas[1].start))
            space.map(new)

        for conditions, window, space, _ in _window_paths(edition, neighbours, body):
            shape = f"insert (among {neighbours})"
            yield Obligation(f"{shape}: the counter counts", _z(*conditions, not_(eq(space.counter, space.counted()))))
            old, now = _lookup(window.vmas, p), _lookup(space.vmas, p)
            inside = between(new.start, p, new.end)
            right = and_(
                eq(now[0], or_(old[0], inside)),
                implies(inside, _same_at(now[1], new)),
                implies(and_(old[0], not_(inside)), _same_at(now[1], old[1])),
            )
            yield Obligation(f"{shape}: exactly its pages are new", _z(*conditions, not_(right)))
            yield Obligation(
                f"{shape}: the list stays well formed", _z(*conditions, not_(_list_is_well_formed(space.vmas)))
            )


def _cut_and_remove(edition: Edition) -> Iterator[Obligation]:
    """Cutting a VMA changes no page; removing one removes exactly its pages; both are counted."""
    start, end, p = z3.Int("start"), z3.Int("end"), z3.Int("p")
    for count in (1, 2):

        def body(space: BoundedSpace) -> None:
            space.run.assume(lt(start, end))
            space.split(start)
            space.split(end)
            space.unmap(start, end)

        for conditions, window, space, refused in _window_paths(edition, count, body):
            shape = f"unmap ({count})"
            if space.vmas:
                yield Obligation(
                    f"{shape}: the list stays well formed", _z(*conditions, not_(_list_is_well_formed(space.vmas)))
                )
            yield Obligation(f"{shape}: the counter counts", _z(*conditions, not_(eq(space.counter, space.counted()))))
            old = _lookup(window.vmas, p)
            now = _lookup(space.vmas, p) if space.vmas else (False, old[1])
            gone = False if refused else between(start, p, end)
            right = and_(eq(now[0], and_(old[0], not_(gone))), implies(now[0], _same_at(now[1], old[1])))
            yield Obligation(f"{shape}: exactly the range is removed", _z(*conditions, not_(right)))


def _moves(edition: Edition) -> Iterator[Obligation]:
    """Moving VMA after VMA equals its summary: what the summary says after k VMAs, it says after k + 1; and one VMA
    that is moved passed what the summary says of it."""
    number, truth = z3.IntSort(), z3.BoolSort()
    mapped, holds = z3.Function("mapped", number, truth), z3.Function("holds", number, number)
    start, end, distance, reached, low, high, p = z3.Ints("start end distance reached low high p")

    def summary(at: z3.ArithRef, q: z3.ArithRef) -> tuple[z3.BoolRef, z3.ArithRef]:
        """(mapped, what it holds) of page q once the loop has got to `at`."""
        came = z3.And(start + distance <= q, q < at + distance, mapped(q - distance))
        gone = z3.And(start <= q, q < at)
        return z3.Or(came, z3.And(mapped(q), z3.Not(gone))), z3.If(came, holds(q - distance), holds(q))

    apart = z3.Or(end <= start + distance, end + distance <= start)
    one_vma = z3.And(*[z3.Implies(z3.And(low <= q, q < high), mapped(q)) for q in (p, p - distance)])
    hole = z3.And(*[z3.Implies(z3.And(reached <= q, q < low), z3.Not(mapped(q))) for q in (p, p - distance)])
    here = z3.And(start <= reached, reached <= low, low < high, high <= end, apart, one_vma, hole)
    was, held = summary(reached, p)
    source_was, source_held = summary(reached, p - distance)
    there, gone = z3.And(low + distance <= p, p < high + distance), z3.And(low <= p, p < high)
    now = z3.If(there, source_was, z3.And(was, z3.Not(gone)))
    holds_now = z3.If(there, source_held, held)
    then, held_then = summary(high, p)
    yield Obligation("moves: base, nothing is moved", _z(z3.Not(z3.And(*(
        a == b for a, b in zip(summary(start, p), (mapped(p), holds(p)), strict=True)
    )))))  # fmt: skip
    same = z3.And(now == then, z3.Implies(now, holds_now == held_then))
    yield Obligation("moves: step", _z(here, z3.Not(same)))
    yield Obligation("moves: the hypotheses are consistent", _z(here, there, then), consistent=True)
    if edition.remap is Remap.V6_17 and edition.has("mremap"):
        yield from _one_move(edition)


def _one_move(edition: Edition) -> Iterator[Obligation]:
    """What mremap asks when it moves one VMA to a given address ensures what the summary assumes of the VMAs that were
    moved, and its room leaves map_count within its limit."""
    world, p = World(), z3.Int("p")
    piece = symbolic_arguments(Move)
    facts = [*piece.facts(edition), piece.fixed, eq(piece.old_pages, piece.new_pages), lt(0, piece.old_pages)]
    facts += [piece.new_fits, piece.new_aligned, eq(piece.old_end, piece.old + piece.old_pages)]
    facts.append(or_(le(piece.old_end, piece.new), le(piece.new + piece.new_pages, piece.old)))

    def run(path: Run) -> tuple[UnboundedSpace, bool, Any]:
        path.conditions.extend(_z(*facts))
        space = UnboundedSpace(world, edition, path)
        mapped, vma = space.holding(piece.old)
        path.assume(and_(mapped, le(piece.old_end, vma.end)))
        before = space.snapshot()
        try:
            mremap.to_new_address_6_17(space, piece)
        except Refused:
            return space, True, before
        return space, False, before

    for explored in explore(run, lambda: world.axioms):
        space, refused, before = explored.outcome
        if refused:
            continue
        was, source = before.at(p), before.at(piece.old).vma
        asked = between(piece.new, p, piece.new + piece.new_pages)
        let_go = implies(was.mapped, lets_go(was.vma, piece.new, piece.new + piece.new_pages))
        head = and_(lt(source.start, piece.old), refuses_split(source, piece.old))
        tail = and_(lt(piece.old_end, source.end), refuses_split(source, piece.old_end))
        context = (*space.run.conditions, *space.facts(), *world.axioms)
        for what, wrong in (
            ("its destination let go", and_(asked, not_(let_go))),
            ("no page below mmap_min_addr", and_(asked, lt(p, MIN_PAGE))),
            ("its own VMA let it be cut off", or_(head, tail)),
            ("map_count is within its limit", not_(and_(lt(0, space.count), le(space.count, space.max_map_count)))),
        ):
            yield Obligation(f"moves: one VMA, {what}", _z(*context, wrong))
        yield Obligation("moves: one VMA can be moved", _z(*context), consistent=True)


def _cursor(edition: Edition) -> Iterator[Obligation]:
    """The cursor of mseal's pass is inside the VMA that it visits next, whatever the last step merged (the obligation
    that CVE-2026-23416 failed)."""
    start, end = z3.Int("start"), z3.Int("end")

    def body(space: BoundedSpace) -> None:
        first, last = space.vmas[0], space.vmas[-1]
        for a, b in itertools.pairwise(space.vmas):
            space.run.assume(eq(a.end, b.start))
        space.run.assume(and_(le(first.start, start), lt(start, first.end), lt(last.start, end), le(end, last.end)))
        space.change_each(
            start, end, lambda vma, at: replace(vma, sealed=True), gap=Gap.IGNORE, cursor=edition.cursor.name.lower()
        )

    seen = 0
    for conditions, _, space, _ in _window_paths(edition, 3, body):
        for inside in space.cursor_inside:
            seen += 1
            yield Obligation("cursor: inside the VMA at hand", _z(*conditions, not_(inside)))
    assert seen


def _skip(edition: Edition) -> Iterator[Obligation]:
    """A VMA that a merge swallowed would have passed the tests and not have changed: skipping it loses nothing."""
    vma, follower = symbolic_vma("vma"), symbolic_vma("next")
    read, write, exec = z3.Bool("prot_read"), z3.Bool("prot_write"), z3.Bool("prot_exec")
    advice = z3.Int("advice")

    def may(v: Vma) -> Bool:
        return and_(implies(read, v.may_read), implies(write, v.may_write), implies(exec, v.may_exec), not_(v.sealed))

    def always(v: Vma) -> Bool:
        return True

    changes: dict[str, tuple[Callable[[Vma], Vma], Callable[[Vma], Bool]]] = {
        "mseal": (lambda v: replace(v, sealed=True), always),
        "mlock": (lambda v: replace(v, locked=True), always),
        "munlock": (lambda v: replace(v, locked=False), always),
        "madvise": (lambda v: advised(advice, v), always),
        "mprotect": (
            lambda v: replace(v, read=read, write=write, exec=exec, pkey=z3.Int("key"), account=accounted(v, write)),
            may,
        ),
    }
    for call, (change, passes) in changes.items():
        merged = and_(
            same_flags(change(vma), follower), eq(vma.backing, follower.backing), eq(vma.object, follower.object)
        )
        merged = and_(merged, passes(vma))
        again = change(follower)
        apart = [n for n in ATTRIBUTES if n not in BOOKKEEPING]
        same = all_(eq(getattr(again, n), getattr(follower, n)) for n in apart)
        yield Obligation(f"skip: {call} would not change what it skips", _z(merged, not_(same)))
        yield Obligation(f"skip: {call} would have let it pass", _z(merged, not_(passes(follower))))
        yield Obligation(f"skip: {call} has hypotheses", _z(merged), consistent=True)


# bytes to pages -------------------------------------------------------------------------------------------------------


def _bridge(edition: Edition) -> Iterator[Obligation]:
    """What the page-level stage assumes of its arguments, the argument stage ensures, for all 64-bit words."""
    for name in filter(edition.has, CALLS):
        for path in explore_arguments(name, edition):
            if path.decoded is None:
                continue
            for i, fact in enumerate(path.decoded.facts(edition)):
                if fact is not True:
                    yield Obligation(f"bridge: {name}, fact {i}", _z(*path.conditions, not_(fact)))
            yield Obligation(f"bridge: {name} reaches its body", path.conditions, consistent=True)


def _embedding(edition: Edition) -> Iterator[Obligation]:
    """Page numbers compare, add and subtract as integers exactly as they do as words: they are far below 2**64."""
    a, b = z3.BitVec("a", 64), z3.BitVec("b", 64)
    small = z3.And(z3.ULE(a, PAGES), z3.ULE(b, PAGES))

    def whole(w: z3.BitVecRef) -> z3.ArithRef:
        return z3.BV2Int(w)

    yield Obligation("embedding: order", _z(small, z3.ULT(a, b) != (whole(a) < whole(b))), as_integers=True)
    yield Obligation("embedding: equality", _z(small, (a == b) != (whole(a) == whole(b))), as_integers=True)
    yield Obligation("embedding: sums", _z(small, whole(a + b) != whole(a) + whole(b)), as_integers=True)
    yield Obligation(
        "embedding: differences", _z(small, z3.UGE(a, b), whole(a - b) != whole(a) - whole(b)), as_integers=True
    )


def _argument_errors(edition: Edition) -> Iterator[Obligation]:
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
                    f"arguments: {name} goes on only without a documented error", _z(*path.conditions, some)
                )
            else:
                wrong = z3.BoolVal(True) if wanted is None else z3.Not(wanted)
                yield Obligation(f"arguments: {name} {path.errno.name} ({path.check})", _z(*path.conditions, wrong))
                yield Obligation(
                    f"arguments: {name} reaches {path.errno.name} ({path.check})", path.conditions, consistent=True
                )


LEMMAS: dict[str, Lemma] = {
    lemma.name: lemma
    for lemma in (
        Lemma("walk", "A changing pass over VMAs equals its cut-point summary (induction over the VMAs).", _walk),
        Lemma(
            "look", "An up-front pass over VMAs equals an existential over the pages of its range (induction).", _look
        ),
        Lemma(
            "modify",
            "Changing a part of a VMA, with its splits and merges, changes exactly those pages, and counts.",
            _modify,
        ),
        Lemma("insert", "Inserting a VMA, with its merges, adds exactly its pages, and counts.", _insert),
        Lemma("unmap", "Cutting and removing VMAs removes exactly the range, and counts.", _cut_and_remove),
        Lemma("moves", "Moving VMA after VMA equals its summary (induction over the VMAs).", _moves),
        Lemma("cursor", "The cursor of mseal's pass stays inside the VMA that it works on.", _cursor),
        Lemma("skip", "A VMA that a merge swallows needed no visit.", _skip),
        Lemma(
            "bridge", "The argument checks ensure what the page-level stage assumes, for all 64-bit arguments.", _bridge
        ),
        Lemma("embedding", "Page numbers as integers behave as page numbers in 64-bit words.", _embedding),
        Lemma("argument-errors", "Wrong arguments give the documented errors, and only they do.", _argument_errors),
    )
}
"""Every lemma by name."""

LEMMAS_BROKEN: dict[tuple[str, str], str] = {
    ("cursor", "v6.17"): "the cursor is where the VMA ended before the merge (CVE-2026-23416); mended in v6.18",
}
"""(lemma, edition) that are expected to be refuted, with the reason."""
