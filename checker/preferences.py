# SPDX-License-Identifier: MIT
"""What makes an example plain: an ordinary call of a short range, on unmarked readable and writable private memory.

`degrees` says how plain a case on a path can be, so that paths with plain cases are tried first. `preferences` are what
a model is asked for one after the other, as far as they can be had. `cost` compares the examples that came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Final, cast

import z3

from checker.calls import CallPath, ExploredCall
from checker.examples import Example
from checker.layout import ELSEWHERE_TOP
from spec.arguments import Decoded
from spec.space import NO_ROOM_TO_SPLIT
from spec.terms import Bool, Num, and_, eq, implies, ite, le, not_, or_, whole
from spec.vma import ANONYMOUS, HUGETLB, SPECIAL, Page, Vma

WINDOW: Final = 0x2_0000_0000
"""Counterexamples are looked for from this page on (the window of the scenario format)."""

SHORT: Final = 16
"""Pages; a call about more of them is odd."""

WELL_FORMED: Final = ("aligned", "new_aligned", "fits", "new_fits", "small")
"""Flags of decoded arguments that are plain when they are true."""

ORDINARY: Final = (*WELL_FORMED, "read", "write", "exec", "fixed", "may_move")
"""Flags of decoded arguments that ordinary programs set; any other is odd when it is true."""

UNMARKED: Final = (
    "inherited", "locked", "growsdown", "dontfork", "wipeonfork", "droppable", "dontdump", "mergeable", "account",
    "noreserve",
)  # fmt: skip
"""Marks that a plain VMA does not have."""

PLAIN_ADVICE: Final = (4, 1)
"""MADV_DONTNEED, then MADV_RANDOM: the values of madvise that are best known."""

ASKED_PROTECTION: Final = {"mmap": ("read", "write"), "mprotect": ("read",), "pkey_mprotect": ("read",)}
"""What a plain call asks for; a protection that the call has and that is not named here is left out."""

Views = list[tuple[z3.ArithRef, Bool, Vma, Page]]
Degree = Callable[[CallPath], Iterable[Bool]]


def named_views(explored: ExploredCall, path: CallPath) -> Views:
    """The pages that the path names, as (page, is it mapped, its VMA, what it holds)."""
    return [view for view in explored.world.views.values() if view[0].get_id() in path.space.named]


def cost(example: Example) -> int:
    """How far an example is from plain. What is refused because of huge pages, and ranges of absurd length, cost
    most."""
    plain = Vma(start=0, end=0, read=True, write=True)
    skip = ("start", "end", "offset", "object", "anon_vma")
    names = [f.name for f in fields(Vma) if f.name not in skip]
    odd: int = sum(getattr(vma, name) != getattr(plain, name) for vma in example.state.vmas for name in names)
    odd += 20 * sum(vma.backing in (SPECIAL, HUGETLB) for vma in example.state.vmas) + 2 * len(example.failures)
    if example.arguments is None:
        return odd
    odd += 4 * sum(bool(flag) for flag in _odd_flags(example.arguments))
    return odd + 20 * sum(whole(length) > SHORT for length in _lengths(example.arguments))


def degrees(explored: ExploredCall) -> tuple[Degree, ...]:
    """Degrees of plainness, each as what holds of a case of that degree on a path: an ordinary call on unmarked private
    memory, on any anonymous memory, on anything; any call on anonymous memory."""
    arguments = explored.arguments

    def ordinary(_: CallPath) -> list[Bool]:
        return [*(le(length, SHORT) for length in _lengths(arguments)), *map(not_, _odd_flags(arguments))]

    def anonymous(path: CallPath) -> list[Bool]:
        return [implies(mapped, eq(vma.backing, ANONYMOUS)) for _, mapped, vma, _ in named_views(explored, path)]

    def unmarked(path: CallPath) -> list[Bool]:
        return [implies(mapped, and_(*_unmarked(vma))) for _, mapped, vma, _ in named_views(explored, path)]

    return (
        lambda path: [*ordinary(path), *unmarked(path)],
        lambda path: [*ordinary(path), *anonymous(path)],
        ordinary,
        anonymous,
    )


def preferences(explored: ExploredCall, path: CallPath) -> list[z3.BoolRef]:
    """What makes a case on the path plain, most important first. The first one, if the path needs it, makes its check
    fail in the concrete reading too."""
    wanted = [*_room(explored, path), *_call(explored), *_memory(explored, path), *_rest(explored)]
    return [wish for wish in wanted if isinstance(wish, z3.ExprRef)]


def _lengths(arguments: Decoded) -> Iterator[Num]:
    """How many pages each range of the call has."""
    if hasattr(arguments, "start") and hasattr(arguments, "end"):
        yield arguments.end - arguments.start
    for name in ("pages", "old_pages", "new_pages"):
        if hasattr(arguments, name):
            yield getattr(arguments, name)


def _odd_flags(arguments: Decoded) -> list[Bool]:
    """The flags of a call that ordinary programs leave out."""
    return [getattr(arguments, f.name) for f in fields(arguments) if f.type == "Bool" and f.name not in ORDINARY]


def _unmarked(vma: Vma) -> list[Bool]:
    """The VMA is private anonymous memory that may have any protection, and nothing is marked."""
    return [
        eq(vma.backing, ANONYMOUS), eq(vma.may_share, vma.shared), not_(vma.shared),
        vma.may_read, vma.may_write, vma.may_exec, *(not_(getattr(vma, name)) for name in UNMARKED),
        eq(vma.reading, 0), eq(vma.thp, 0), eq(vma.pkey, 0),
    ]  # fmt: skip


def _room(explored: ExploredCall, path: CallPath) -> Iterator[Bool]:
    world, arguments = explored.world, explored.arguments
    if path.transition.check == NO_ROOM_TO_SPLIT:
        spare = 1 if str(path.space.count).endswith("+ 1") else 0
        yield eq(world.map_count, world.max_map_count - spare)
    elif path.transition.check == "no free range is large enough":
        yield le(ELSEWHERE_TOP, arguments.new_pages if hasattr(arguments, "new_pages") else arguments.pages)


def _call(explored: ExploredCall) -> Iterator[Bool]:
    """A call of few pages in the window, without odd flags."""
    arguments = explored.arguments
    for name in ("start", "page", "old"):
        if hasattr(arguments, name) and explored.call.name != "brk":
            yield _in_window(getattr(arguments, name))
    if hasattr(arguments, "new"):
        yield or_(eq(arguments.new, 0), _in_window(arguments.new))
    for length in _lengths(arguments):
        yield from (le(length, pages) for pages in (SHORT, 4, 2, 1))
    yield from map(not_, _odd_flags(arguments))
    if hasattr(arguments, "advice"):
        yield from (eq(arguments.advice, value) for value in PLAIN_ADVICE)


def _in_window(page: Num) -> Bool:
    return and_(le(WINDOW, page), le(page, WINDOW + SHORT))


def _memory(explored: ExploredCall, path: CallPath) -> Iterator[Bool]:
    """Private anonymous memory at the beginning of the window, never written."""
    world = explored.world
    views = named_views(explored, path)
    if "guarded" in world.functions:  # an example shows no guard pages: what faults must lie beyond its object
        guarded = world.functions["guarded"]
        yield from (not_(guarded(vma.start)) for _, _, vma, _ in views)
    for name in ("access_denied", "write_denied"):
        if name in world.functions:
            yield from (not_(world.functions[name](key)) for key in range(2))
    yield not_(world.no_keys)
    seen: set[int] = set()
    for _, mapped, vma, page in views:
        start = cast("z3.ExprRef", vma.start)
        if start.get_id() in seen:
            continue
        seen.add(start.get_id())
        plain = [
            *_unmarked(vma), not_(vma.exec), eq(vma.anon_vma, 0), vma.read, vma.write, not_(vma.sealed),
            eq(vma.offset, ite(eq(vma.backing, ANONYMOUS), vma.start, 0)), eq(vma.object, 1),
            eq(vma.start, WINDOW), le(vma.start, WINDOW + 2),
        ]  # fmt: skip
        yield from (implies(mapped, fact) for fact in plain)
        yield from (not_(page.copied), not_(page.lazy), not_(page.guard), eq(page.own, 0), le(page.own, 9))


def _rest(explored: ExploredCall) -> Iterator[Bool]:
    """Plain values for what is left: protection, codes, the counters of the address space."""
    world, arguments, call = explored.world, explored.arguments, explored.call.name
    for f in fields(arguments):
        if f.type == "Bool":
            term = getattr(arguments, f.name)
            yield term if f.name in (*WELL_FORMED, *ASKED_PROTECTION.get(call, ())) else not_(term)
    codes = {"pkey": -1, "type": 2, "file": 0, "offset": 0, "byte": 1, "new": 0}
    yield from (eq(getattr(arguments, name), value) for name, value in codes.items() if hasattr(arguments, name))
    if hasattr(arguments, "new"):
        yield eq(arguments.new, WINDOW + 2)
    yield from (eq(world.exec_key, 0), eq(world.max_map_count, 65530), eq(world.map_count, 3))
    yield eq(world.brk, world.start_brk)
