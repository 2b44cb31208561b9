# SPDX-License-Identifier: MIT
"""What success of each call promises, from the manual pages: at one page that stands for all."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from spec import advice as advices
from spec.advice import (
    COLD,
    COLLAPSE,
    DODUMP,
    DOFORK,
    DONTDUMP,
    DONTFORK,
    DONTNEED,
    DONTNEED_LOCKED,
    FREE,
    GUARD_INSTALL,
    GUARD_REMOVE,
    HUGEPAGE,
    HWPOISON,
    KEEPONFORK,
    MERGEABLE,
    NOHUGEPAGE,
    PAGEOUT,
    POPULATE_READ,
    POPULATE_WRITE,
    REMOVE,
    SOFT_OFFLINE,
    UNMERGEABLE,
    WIPEONFORK,
)
from spec.arguments import NO_PKEY, Advise, Break, Map, NewKey, Protect, Reclaim, Rights, Write
from spec.editions import System
from spec.mapping import (
    DEV_ZERO,
    LARGEST_FILE_PAGES,
    MAP_DROPPABLE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    NO_FILE,
    READ_ONLY_FILE,
    WRITABLE_FILE,
)
from spec.predicates import (
    MEANT,
    PKEYS,
    Formula,
    alike_in,
    alike_pages,
    asked_move,
    faulted_in,
    in_range,
    is_empty,
    same_attributes_but,
    same_borders,
    same_contents,
    same_everything,
    same_keys,
    same_keys_but,
    same_page,
    same_rest,
    same_stored,
    sealed,
    succeeded,
    unchanged,
    unchanged_but,
)
from spec.properties.base import HEADER, Property
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
    ne,
    not_,
    one_of,
    or_,
    smaller,
)
from spec.transition import PageView, Transition
from spec.vma import (
    ANONYMOUS,
    DEVZERO,
    FILE,
    HUGE_PAGES,
    HUGETLB,
    NORMAL,
    RANDOM,
    SEQUENTIAL,
    SPECIAL,
    THP_ALWAYS,
    THP_DEFAULT,
    THP_NEVER,
    Page,
    Vma,
    choose_vma,
    has_file,
    is_anonymous,
    is_special,
    offset_at,
    starts_huge_page,
)
from spec.words import MIN_PAGE, TASK_PAGES


def mseal(t: Transition, p: Num) -> Bool:
    """mseal: the range is mapped, and exactly it is sealed anew."""
    was, now, inside = t.before.at(p), t.after.at(p), in_range(t, p)
    seal = implies(was.mapped, eq(now.vma.sealed, or_(was.vma.sealed, inside)))
    return and_(implies(inside, was.mapped), seal, unchanged_but(t, p, "sealed"), same_rest(t))


def munmap(t: Transition, p: Num) -> Bool:
    """munmap(2): the range is unmapped, the rest is as before; no object loses what it holds."""
    now, inside = t.after.at(p), in_range(t, p)
    gone = implies(inside, and_(not_(now.mapped), is_empty(now.page)))
    return and_(gone, or_(inside, unchanged(t, p)), same_stored(t, p), same_rest(t))


def mmap(t: Transition, p: Num) -> Bool:
    """mmap(2): the range at the returned address is mapped as asked; MAP_FIXED is obeyed; the rest is as before."""
    new, start = t.asked(Map), t.value
    inside = between(start, p, start + new.pages)
    was = t.before.at(p)
    kept = implies(or_(not_(new.fixed), new.noreplace), not_(was.mapped))
    fresh = t.after.at(start).vma.object
    unused = implies(and_(_makes_object(new), was.mapped), ne(was.vma.object, fresh))
    return and_(
        _asks_well(new),
        _placed(new, start),
        implies(inside, and_(_as_asked(t, p), _fresh_pages(t, p), kept)),
        or_(inside, unchanged(t, p)),
        same_stored(t, p),
        unused,
        eq(t.before.brk, t.after.brk),
        _same_keys_but_execute_only(t, new.exec_only),
    )


def _is_shared(new: Map) -> Bool:
    return one_of(new.type, (MAP_SHARED, MAP_SHARED_VALIDATE))


def _has_file(new: Map) -> Bool:
    return or_(ne(new.file, NO_FILE), new.huge)


def _makes_object(new: Map) -> Bool:
    """Shared memory without a file, and huge pages, get an object that nothing maps yet and that holds zeros."""
    without_file = one_of(new.file, (NO_FILE, DEV_ZERO))
    return or_(new.huge, and_(_is_shared(new), without_file))


def _asks_well(new: Map) -> Bool:
    """What mmap(2) says is refused was not asked for."""
    shared, has_file = _is_shared(new), _has_file(new)
    droppable = and_(eq(new.type, MAP_DROPPABLE), not_(has_file))
    known_type = or_(shared, eq(new.type, MAP_PRIVATE), droppable)
    in_file = or_(one_of(new.file, (WRITABLE_FILE, READ_ONLY_FILE)), new.huge)
    return and_(
        known_type,
        implies(eq(new.type, MAP_SHARED_VALIDATE), and_(has_file, not_(new.unsupported))),
        not_(and_(shared, new.write, eq(new.file, READ_ONLY_FILE))),
        not_(and_(new.growsdown, or_(shared, has_file))),
        not_(and_(eq(new.type, MAP_DROPPABLE), or_(new.locked, new.growsdown))),
        new.small,
        implies(in_file, lt(new.offset + new.pages, LARGEST_FILE_PAGES)),
        implies(new.huge, starts_huge_page(new.offset)),
    )


def _placed(new: Map, start: Num) -> Bool:
    """The mapping is where MAP_FIXED said, which is a place where it can be."""
    huge = implies(new.huge, starts_huge_page(start))
    can_be = and_(le(MIN_PAGE, start), le(start + new.pages, TASK_PAGES))
    return implies(new.fixed, and_(eq(start, new.page), new.aligned, huge, can_be))


def _as_asked(t: Transition, p: Num) -> Bool:
    """Every attribute of the new mapping: as asked for, or as of a mapping of which nothing was said."""
    new, now = t.asked(Map), t.after.at(p)
    vma, shared = now.vma, _is_shared(new)
    no_file = and_(eq(new.file, NO_FILE), not_(new.huge))
    anonymous = and_(no_file, not_(shared))
    zero = and_(eq(new.file, DEV_ZERO), not_(shared))
    backing = ite(anonymous, ANONYMOUS, ite(zero, DEVZERO, ite(new.huge, HUGETLB, FILE)))
    may_write = not_(and_(shared, eq(new.file, READ_ONLY_FILE)))
    droppable = and_(no_file, eq(new.type, MAP_DROPPABLE))
    noreserve = or_(new.noreserve, droppable)
    place = ite(anonymous, p, ite(and_(no_file, shared), p - t.value, new.offset + (p - t.value)))
    object = ite_bool(anonymous, eq(vma.object, 0), or_(_makes_object(new), eq(vma.object, new.object)))
    protection = (eq(vma.read, new.read), eq(vma.write, new.write), eq(vma.exec, new.exec))
    may = (vma.may_read, eq(vma.may_write, may_write), vma.may_exec)
    sharing = (eq(vma.may_share, shared), eq(vma.shared, and_(shared, may_write)))
    backed = (eq(vma.backing, backing), object, eq(offset_at(vma, p), place))
    # on a processor without keys there is none for execute-only memory (pkeys(7))
    key = or_(eq(vma.pkey, 0), and_(new.exec_only, eq(vma.pkey, t.after.exec_key)))
    marks = (
        eq(vma.growsdown, new.growsdown),
        eq(vma.locked, and_(new.locked, not_(new.huge))),
        *(eq(mark, droppable) for mark in (vma.droppable, vma.wipeonfork, vma.dontdump)),
        eq(vma.noreserve, noreserve),
        eq(vma.sync, new.sync),
        eq(vma.account, and_(new.write, not_(or_(shared, noreserve, new.huge)))),
        eq(vma.opened_read_only, and_(eq(new.file, READ_ONLY_FILE), not_(shared))),
        # MAP_STACK asks for no huge pages where the kernel has such (CONFIG_TRANSPARENT_HUGEPAGE)
        or_(eq(vma.thp, THP_DEFAULT), and_(new.stack, eq(vma.thp, THP_NEVER))),
        eq(vma.reading, NORMAL),
        not_(or_(vma.sealed, vma.dontfork, vma.mergeable)),
    )
    return and_(now.mapped, *protection, *may, *sharing, *backed, key, *marks)


def _fresh_pages(t: Transition, p: Num) -> Bool:
    """The page shows what the object holds, or zeros; it has a copy of its own only if it was faulted in."""
    new, now = t.asked(Map), t.after.at(p)
    stored = t.before.stored(now.vma.object, offset_at(now.vma, p))
    zeros = or_(is_anonymous(now.vma), _makes_object(new))
    shows = eq(now.visible, ite(zeros, 0, stored))
    own = implies(now.page.copied, or_(new.populate, new.locked))
    held = implies(has_file(now.vma), eq(t.after.stored(now.vma.object, offset_at(now.vma, p)), ite(zeros, 0, stored)))
    return and_(shows, own, or_(eq(now.vma.backing, DEVZERO), held), not_(now.page.lazy), not_(now.page.guard))


def _same_keys_but_execute_only(t: Transition, exec_only: Bool) -> Bool:
    """pkeys(7): protection keys are as before, but that the first mapping that may only be executed takes a free one
    for the process, through which the thread may neither read nor write."""
    had, key = t.before.exec_key, t.after.exec_key
    denied = (or_(ne(key, n), and_(t.after.access_denied(n), t.after.write_denied(n))) for n in range(PKEYS))
    free = (or_(ne(key, n), not_(t.before.pkey_allocated(n))) for n in range(PKEYS))
    taken = and_(exec_only, eq(had, 0), between(1, key, PKEYS), *denied, *free)
    others = same_keys_but(t, lambda n: and_(eq(n, key), ne(had, key)), or_(eq(had, key), taken))
    still = (or_(ne(key, n), eq(t.before.pkey_allocated(n), t.after.pkey_allocated(n))) for n in range(PKEYS))
    return and_(others, *still)


def mprotect(t: Transition, p: Num) -> Bool:
    """mprotect(2), pkeys(7): every page of the range is mapped and has the protection and key that were asked for."""
    to, now, was = t.asked(Protect), t.after.at(p), t.before.at(p)
    asked = ne(to.pkey, NO_PKEY)
    valid = or_(not_(asked), t.before.pkey_allocated(to.pkey))
    inside = _is_protected(t, p)
    given = and_(eq(now.vma.read, to.read), eq(now.vma.write, to.write), eq(now.vma.exec, to.exec))
    allowed = and_(
        implies(to.read, was.vma.may_read), implies(to.write, was.vma.may_write), implies(to.exec, was.vma.may_exec)
    )
    exec_only = _execute_only(to)
    key = ite_bool(asked, eq(now.vma.pkey, to.pkey), _kept_key(t, p, exec_only))
    # a locked mapping that becomes writable is faulted in at once
    locked = and_(was.vma.locked, to.write, not_(was.vma.write), not_(was.vma.shared), faulted_in(t, p))
    account = eq(now.vma.account, _accounted(t, p))
    done = and_(was.mapped, given, allowed, key, account, same_contents(t, p), or_(same_page(t, p), locked))
    rest = same_attributes_but(t, p, "read", "write", "exec", "pkey", "account")
    return and_(
        valid,
        or_(not_(to.growsup), to.growsdown),
        implies(inside, done),
        _grows_down(t, p),
        or_(inside, unchanged(t, p)),
        rest,
        same_stored(t, p),
        eq(t.before.brk, t.after.brk),
        _same_keys_but_execute_only(t, exec_only),
    )


def _execute_only(to: Protect) -> Bool:
    """Memory that may be executed and no more, and for which no key is asked."""
    return and_(to.exec, not_(to.read), not_(to.write), eq(to.pkey, NO_PKEY))


def _is_protected(t: Transition, p: Num) -> Bool:
    """The page is in the range that mprotect protects. With PROT_GROWSDOWN that begins where its first VMA does: before
    the start that was given, if this lies in the VMA, and behind a gap, if the range begins with one."""
    to, was, first = t.asked(Protect), t.before.at(p), t.before.at(t.asked(Protect).start)
    below = and_(to.growsdown, lt(p, to.start), first.mapped, was.mapped, eq(was.vma.start, first.vma.start))
    return or_(below, and_(in_range(t, p), or_(not_(to.growsdown), was.mapped)))


def _grows_down(t: Transition, p: Num) -> Bool:
    """With PROT_GROWSDOWN only the beginning of the range may be unmapped, and the first VMA in it grows down."""
    to, was = t.asked(Protect), t.before.at(p)
    begins = or_(eq(p, to.start), not_(t.before.at(p - 1).mapped))
    first = implies(begins, or_(not_(was.mapped), was.vma.growsdown))
    return implies(and_(to.growsdown, in_range(t, p)), and_(first, or_(was.mapped, begins)))


def _kept_key(t: Transition, p: Num, exec_only: Bool) -> Bool:
    """Without a key that was asked for, a page keeps its own; execute-only memory gets the process's key for that, if
    there is one, and returns to key 0 when it becomes anything else."""
    was, key = t.before.at(p).vma, t.after.at(p).vma.pkey
    had = and_(was.exec, not_(was.read), not_(was.write), eq(was.pkey, t.before.exec_key))
    return or_(
        eq(key, was.pkey),
        and_(exec_only, eq(key, t.after.exec_key)),
        and_(had, not_(exec_only), eq(key, 0)),
    )


def _accounted(t: Transition, p: Num) -> Bool:
    """Private memory that becomes writable is charged to the process, but for huge pages and what nothing is reserved
    for; anonymous memory that was never written is no longer charged when it becomes read-only
    (Documentation/mm/overcommit-accounting)."""
    was, now = t.before.at(p).vma, t.after.at(p).vma
    changes = not_(alike_in(was, now, "read", "write", "exec", "pkey"))
    free = and_(changes, not_(now.write), is_anonymous(was), eq(was.anon_vma, 0))
    charged = and_(now.write, not_(or_(was.write, was.shared, was.noreserve, eq(was.backing, HUGETLB))))
    return ite_bool(was.account, not_(free), charged)


def mremap(t: Transition, p: Num) -> Bool:
    """mremap(2): the pages of the old range are at the returned address, as many as were asked for, with all that they
    were; the rest is as before. A range that is moved to a given address without a change of its size may hold several
    VMAs and gaps: what is at the place of a gap stays."""
    to, now = asked_move(t), t.after.at(p)
    there, here = _in_new_range(t, p), _in_old_range(t, p)
    carries = _carries(t, p)
    left = and_(here, not_(there), or_(_moves(t), le(to.old + to.new_pages, p)))
    return and_(
        _remaps_well(t),
        implies(carries, and_(now.mapped, _carried(t, p), _carried_page(t, p))),
        implies(left, _left_behind(t, p)),
        implies(not_(or_(carries, left)), _stays_but_lock(t, p)),
        same_stored(t, p),
        same_rest(t),
    )


def _in_old_range(t: Transition, p: Num) -> Bool:
    to = asked_move(t)
    return between(to.old, p, to.old + to.old_pages)


def _in_new_range(t: Transition, p: Num) -> Bool:
    return between(t.value, p, t.value + asked_move(t).new_pages)


def _moves(t: Transition) -> Bool:
    """The mapping is now elsewhere, or a copy of it is."""
    to = asked_move(t)
    return or_(to.fixed, to.dontunmap, ne(t.value, to.old))


def _several(t: Transition) -> Bool:
    """A range that may hold several VMAs and gaps."""
    to = asked_move(t)
    return and_(to.fixed, eq(to.old_pages, to.new_pages))


def _came_from(t: Transition, p: Num) -> PageView:
    """The page of the old range that belongs at page p of the new one."""
    return t.before.at(asked_move(t).old + (p - t.value))


def _remaps_well(t: Transition) -> Bool:
    """What mremap(2) says is refused was not asked for."""
    to, start = asked_move(t), t.value
    source = t.before.at(to.old)
    vma = source.vma
    at_address = or_(to.fixed, to.dontunmap)
    grows = lt(to.old_pages, to.new_pages)
    one_vma = and_(or_(at_address, grows), not_(_several(t)))
    destination = and_(
        to.new_aligned,
        to.new_fits,
        implies(to.fixed, and_(eq(start, to.new), le(MIN_PAGE, start))),
        # the two ranges are apart; an old range that wraps around is compared as the kernel computes its end
        or_(le(to.old_end, to.new), le(to.new + to.new_pages, to.old)),
    )
    huge = eq(vma.backing, HUGETLB)
    whole = implies(huge, and_(starts_huge_page(to.old), starts_huge_page(to.new), le(to.new_pages, to.old_pages)))
    resizes = and_(grows, ne(to.old_pages, 0))
    keeps_special = and_(to.dontunmap, eq(vma.backing, SPECIAL))
    return and_(
        source.mapped,
        implies(one_vma, le(to.old + smaller(to.old_pages, to.new_pages), vma.end)),
        implies(eq(to.old_pages, 0), vma.may_share),
        implies(at_address, destination),
        whole,
        implies(is_special(vma), not_(or_(resizes, keeps_special))),
        implies(not_(to.may_move), eq(start, to.old)),
        implies(not_(or_(at_address, grows)), eq(start, to.old)),
        implies(lt(to.new_pages, to.old_pages), le(to.old + to.old_pages, TASK_PAGES)),
    )


def _carried(t: Transition, p: Num) -> Bool:
    """The mapping at the page of the new range has every attribute of the one that it came from, or that grew to it."""
    to, now = asked_move(t), t.after.at(p).vma
    origin = to.old + (p - t.value)
    source = choose_vma(lt(p, t.value + to.old_pages), t.before.at(origin).vma, t.before.at(to.old).vma)
    place = eq(offset_at(now, p), offset_at(source, origin))
    # unwritten memory without an object is given the page offset of its new place: nothing of it shows
    anew = and_(is_anonymous(source), eq(offset_at(now, p), p))
    # the copy may be one VMA with what stays behind unlocked or uncharged (move-keeps-locks, move-keeps-charges)
    lock = or_(eq(now.locked, source.locked), and_(to.dontunmap, not_(now.locked)))
    charge = or_(eq(now.account, source.account), and_(to.dontunmap, not_(now.account)))
    others = alike_in(now, source, *(name for name in MEANT if name not in ("locked", "account")))
    return and_(others, or_(place, anew), lock, charge)


def _carried_page(t: Transition, p: Num) -> Bool:
    """The page of the new range holds what the one held that it came from; one beyond the old size is new."""
    to, now, came = asked_move(t), t.after.at(p), _came_from(t, p)
    held = and_(alike_pages(now.page, came.page), eq(now.visible, came.visible))
    backing = t.before.stored(now.vma.object, offset_at(now.vma, p))
    shows = eq(now.visible, ite(is_anonymous(now.vma), 0, ite(has_file(now.vma), backing, 0)))
    copied = and_(now.vma.locked, now.page.copied, not_(now.page.lazy), not_(now.page.guard))
    new = and_(shows, or_(is_empty(now.page), copied))
    return ite_bool(lt(p, t.value + to.old_pages), held, new)


def _left_behind(t: Transition, p: Num) -> Bool:
    """What was moved away is unmapped; with MREMAP_DONTUNMAP it stays mapped, unlocked and holding nothing."""
    to, was, now = asked_move(t), t.before.at(p), t.after.at(p)
    alike = alike_in(was.vma, now.vma, *(name for name in MEANT if name not in ("locked", "account")))
    anew = and_(eq(was.vma.backing, ANONYMOUS), eq(offset_at(now.vma, p), p))
    place = or_(eq(offset_at(was.vma, p), offset_at(now.vma, p)), anew)
    charge = or_(eq(was.vma.account, now.vma.account), not_(now.vma.account))
    kept = and_(eq(now.mapped, was.mapped), implies(was.mapped, and_(alike, place, charge, not_(now.vma.locked))))
    return and_(ite_bool(to.dontunmap, kept, not_(now.mapped)), is_empty(now.page))


def _stays_but_lock(t: Transition, p: Num) -> Bool:
    """Nothing is otherwise than before; of the lock and the charge of a VMA that MREMAP_DONTUNMAP takes a part of, see
    move-keeps-locks and move-keeps-charges."""
    to, was, now = asked_move(t), t.before.at(p).vma, t.after.at(p).vma
    lost = and_(
        to.dontunmap,
        unchanged_but(t, p, "locked", "account"),
        or_(not_(now.locked), was.locked),
        or_(not_(now.account), was.account),
    )
    return or_(unchanged(t, p), lost)


def madvise(t: Transition, p: Num) -> Bool:
    """madvise(2): every page of the range is mapped, the advice applies to it, and was taken: of the range it changes
    the one mark that it is about, or what pages hold, and of the rest nothing."""
    was, inside = t.before.at(p), in_range(t, p)
    marks = tuple(_MARK_OF)
    given = and_(_marked(t, p), same_attributes_but(t, p, *marks), _advised_page(t, p))
    rest = and_(same_attributes_but(t, p), implies(was.mapped, same_page(t, p)), _same_or_punched(t, p))
    return and_(
        implies(inside, and_(was.mapped, _takes_advice(t, p))),
        ite_bool(inside, given, rest),
        _same_stored_but_punched(t, p),
        same_rest(t),
    )


def _takes_advice(t: Transition, p: Num) -> Bool:
    """The advice applies to the page."""
    advice, vma = t.asked(Advise).advice, t.before.at(p).vma

    def when(values: tuple[int, ...], promise: Bool) -> Bool:
        return implies(one_of(advice, values), promise)

    huge = eq(vma.backing, HUGETLB)
    beyond = and_(eq(vma.backing, FILE), le(t.before.object_pages(vma.object), offset_at(vma, p)))
    begins_whole = or_(ne(p, t.asked(Advise).start), starts_huge_page(p))
    return and_(
        when((DONTNEED, FREE), or_(not_(vma.locked), huge)),
        when((DONTNEED, DONTNEED_LOCKED), implies(huge, begins_whole)),
        when((REMOVE, COLD, PAGEOUT), not_(vma.locked)),
        when((COLD, PAGEOUT), not_(huge)),
        when((FREE,), is_anonymous(vma)),
        when((REMOVE,), and_(has_file(vma), vma.shared, vma.may_write)),
        when((WIPEONFORK,), and_(not_(has_file(vma)), not_(vma.shared))),
        when((KEEPONFORK, DODUMP), not_(vma.droppable)),
        when((DODUMP,), ne(vma.backing, SPECIAL)),
        when((COLLAPSE,), and_(not_(is_special(vma)), le(HUGE_PAGES, vma.end - vma.start))),
        when((GUARD_INSTALL,), and_(not_(vma.locked), not_(is_special(vma)))),
        when((GUARD_REMOVE,), not_(is_special(vma))),
        when((POPULATE_READ,), and_(vma.read, not_(t.before.access_denied(vma.pkey)))),
        when((POPULATE_WRITE,), and_(vma.write, not_(t.before.write_denied(vma.pkey)))),
        when((POPULATE_READ, POPULATE_WRITE), not_(beyond)),
        when((HWPOISON, SOFT_OFFLINE), False),
    )


_MARK_OF: Final[dict[str, dict[int, int]]] = {
    "reading": {advices.NORMAL: NORMAL, advices.RANDOM: RANDOM, advices.SEQUENTIAL: SEQUENTIAL},
    "dontfork": {DONTFORK: True, DOFORK: False},
    "wipeonfork": {WIPEONFORK: True, KEEPONFORK: False},
    "dontdump": {DONTDUMP: True, DODUMP: False},
    "mergeable": {MERGEABLE: True, UNMERGEABLE: False},
    "thp": {HUGEPAGE: THP_ALWAYS, NOHUGEPAGE: THP_NEVER},
}
"""The marks of a VMA that advice sets, and to what; every other advice leaves them."""


def _marked(t: Transition, p: Num) -> Bool:
    """The mark that the advice is about is set, or taken back; every other is as before. Memory whose pages cannot be
    merged is not marked mergeable (ksm_madvise)."""
    advice, was, now = t.asked(Advise).advice, t.before.at(p).vma, t.after.at(p).vma
    unmergeable = or_(was.shared, was.may_share, is_special(was), was.droppable)

    def is_set(name: str) -> Bool:
        before, after, values = getattr(was, name), getattr(now, name), _MARK_OF[name]
        ignored = and_(name == "mergeable", eq(advice, MERGEABLE), unmergeable)
        given = (implies(and_(eq(advice, a), not_(ignored)), eq(after, value)) for a, value in values.items())
        kept = or_(and_(one_of(advice, values), not_(ignored)), eq(after, before))
        return and_(kept, *given)

    return all_(is_set(name) for name in _MARK_OF)


def _advised_page(t: Transition, p: Num) -> Bool:
    """What becomes of a page of the range: discarded, lazily free, guarded, faulted in; or it holds what it held."""
    advice, was, now = t.asked(Advise).advice, t.before.at(p), t.after.at(p)
    page = was.page
    huge, private = eq(was.vma.backing, HUGETLB), not_(was.vma.shared)
    dropped = alike_pages(now.page, Page(guard=page.guard))
    backing = ite(has_file(was.vma), t.after.stored(was.vma.object, offset_at(was.vma, p)), 0)
    shows = eq(now.visible, ite(now.page.copied, now.page.own, ite(is_anonymous(was.vma), 0, backing)))
    same = and_(same_page(t, p), same_contents(t, p))
    lazily = alike_pages(now.page, replace(page, lazy=or_(page.lazy, page.copied)))
    reclaimable = or_(page.lazy, and_(was.vma.droppable, page.copied))
    guarded, unguarded = alike_pages(now.page, Page(guard=True)), alike_pages(now.page, replace(page, guard=False))
    to_write = and_(private, not_(page.guard), not_(is_special(was.vma)))
    discards = one_of(advice, (DONTNEED, DONTNEED_LOCKED))
    special = (
        (discards, and_(or_(dropped, and_(huge, same)), shows)),
        (eq(advice, FREE), and_(lazily, same_contents(t, p))),
        (eq(advice, REMOVE), and_(same_page(t, p), implies(not_(page.copied), eq(now.visible, 0)))),
        (eq(advice, PAGEOUT), and_(or_(same, and_(reclaimable, dropped)), shows)),
        (eq(advice, GUARD_INSTALL), and_(guarded, shows)),
        (eq(advice, GUARD_REMOVE), and_(unguarded, same_contents(t, p))),
        (eq(advice, POPULATE_WRITE), ite_bool(to_write, faulted_in(t, p), same)),
    )
    return and_(or_(same, any_(case for case, _ in special)), *(implies(case, then) for case, then in special))


def _punches(t: Transition, p: Num) -> Bool:
    """MADV_REMOVE may have taken what the object behind the page held there: the same file is mapped in the range. If
    that lies in one VMA, only of the part of the file that this maps."""
    to, was, first = t.asked(Advise), t.before.at(p).vma, t.before.at(t.asked(Advise).start)
    vma, place = first.vma, offset_at(was, p)
    in_one = and_(first.mapped, le(to.end, vma.end))
    there = between(offset_at(vma, to.start), place, offset_at(vma, to.start) + (to.end - to.start))
    return and_(eq(to.advice, REMOVE), has_file(was), implies(in_one, and_(eq(was.object, vma.object), there)))


def _same_or_punched(t: Transition, p: Num) -> Bool:
    """Outside the range a page holds what it held, unless it shows a place of a file that MADV_REMOVE has emptied."""
    was, now = t.before.at(p), t.after.at(p)
    emptied = and_(_punches(t, p), not_(was.page.copied), eq(now.visible, 0))
    return implies(was.mapped, or_(same_contents(t, p), emptied))


def _same_stored_but_punched(t: Transition, p: Num) -> Bool:
    """The object behind the page holds what it held; MADV_REMOVE empties what is mapped in its range."""
    was = t.before.at(p)
    now = t.after.stored(was.vma.object, offset_at(was.vma, p))
    removed = and_(in_range(t, p), eq(t.asked(Advise).advice, REMOVE))
    kept = or_(same_stored(t, p), and_(_punches(t, p), eq(now, 0)))
    return implies(and_(was.mapped, has_file(was.vma)), and_(kept, implies(removed, eq(now, 0))))


def brk(t: Transition, p: Num) -> Bool:
    """brk(2): the break is where it was asked to be; what lies between was free and is memory now, or the reverse."""
    to, old, was, now = t.asked(Break).page, t.before.brk, t.before.at(p), t.after.at(p)
    added, removed = between(old, p, to), between(to, p, old)
    heap = Vma(start=0, end=0, read=True, write=True, account=True)
    plain = and_(alike_in(now.vma, heap, *MEANT), eq(offset_at(now.vma, p), p))
    fresh = and_(not_(was.mapped), now.mapped, plain, is_empty(now.page), eq(now.visible, 0))
    apart = implies(and_(lt(old, to), eq(p, to)), not_(was.mapped))
    limits = and_(le(t.before.start_brk, to), implies(lt(old, to), le(to, TASK_PAGES)))
    return and_(
        eq(t.after.brk, to),
        limits,
        apart,
        implies(added, fresh),
        implies(removed, and_(not_(now.mapped), is_empty(now.page))),
        or_(added, removed, unchanged(t, p)),
        same_stored(t, p),
        same_keys(t),
    )


def mlock(t: Transition, p: Num) -> Bool:
    """mlock(2): every page of the range is mapped, marked locked where that is possible, and can be accessed."""
    was, now, inside = t.before.at(p), t.after.at(p), in_range(t, p)
    by_write = and_(was.vma.write, not_(was.vma.shared))
    denied = or_(
        and_(by_write, t.before.write_denied(was.vma.pkey)), and_(not_(by_write), t.before.access_denied(was.vma.pkey))
    )
    accessible = and_(or_(was.vma.read, was.vma.write, was.vma.exec), not_(denied))
    faulted = and_(by_write, not_(is_special(was.vma)), faulted_in(t, p))
    held = and_(same_contents(t, p), or_(same_page(t, p), faulted))
    lock = or_(_is_never_locked(was.vma), now.vma.locked)
    promised = and_(was.mapped, accessible, lock, _lock_only(t, p), held)
    return and_(ite_bool(inside, promised, unchanged(t, p)), same_stored(t, p), same_rest(t))


def munlock(t: Transition, p: Num) -> Bool:
    """munlock(2): every page of the range is mapped and no longer locked."""
    was, now, inside = t.before.at(p), t.after.at(p), in_range(t, p)
    lock = or_(_is_never_locked(was.vma), not_(now.vma.locked))
    promised = and_(was.mapped, lock, _lock_only(t, p), unchanged_but(t, p, "locked"))
    return and_(ite_bool(inside, promised, unchanged(t, p)), same_stored(t, p), same_rest(t))


def _is_never_locked(vma: Vma) -> Bool:
    """Special mappings, huge pages and droppable memory are passed over by mlock and munlock."""
    return or_(is_special(vma), vma.droppable)


def _lock_only(t: Transition, p: Num) -> Bool:
    """Nothing but the lock of the page is otherwise than before, and that neither where it is never locked."""
    was = t.before.at(p).vma
    never = implies(_is_never_locked(was), eq(was.locked, t.after.at(p).vma.locked))
    return and_(never, same_attributes_but(t, p, "locked"))


def write(t: Transition, p: Num) -> Bool:
    """A store: the page was mapped, writable and no guard page, and holds the value now, as does every page that shows
    the same place of a shared object; nothing else changes."""
    to, was, now = t.asked(Write), t.before.at(p), t.after.at(p)
    here, target = eq(p, to.page), t.before.at(to.page)
    denied = or_(not_(was.vma.write), t.before.write_denied(was.vma.pkey), was.page.guard)
    inside_object = or_(
        not_(eq(was.vma.backing, FILE)), lt(offset_at(was.vma, p), t.before.object_pages(was.vma.object))
    )
    private = and_(here, not_(was.vma.shared))
    same_object = and_(has_file(was.vma), eq(was.vma.object, target.vma.object))
    same_place = and_(same_object, eq(offset_at(was.vma, p), offset_at(target.vma, to.page)))
    through = and_(was.mapped, target.vma.shared, same_place)
    stored = t.after.stored(was.vma.object, offset_at(was.vma, p))
    shows = or_(private, and_(through, not_(or_(was.page.copied, is_anonymous(was.vma)))))
    pages = ite_bool(private, alike_pages(now.page, Page(copied=True, own=to.byte)), same_page(t, p))
    contents = ite_bool(shows, eq(now.visible, to.byte), same_contents(t, p))
    return and_(
        implies(here, and_(was.mapped, not_(denied), inside_object)),
        same_attributes_but(t, p),
        implies(was.mapped, and_(pages, contents)),
        ite_bool(through, eq(stored, to.byte), same_stored(t, p)),
        same_borders(t, p),
        same_rest(t),
    )


def fork(t: Transition, p: Num) -> Bool:
    """fork(2), madvise(2), mlock(2): a child has all of the parent's memory but what is marked MADV_DONTFORK, unlocked,
    and holding the same, guard pages too; what is marked MADV_WIPEONFORK is zero."""
    was, now = t.before.at(p), t.after.at(p)
    kept = and_(was.mapped, not_(was.vma.dontfork))
    alike = alike_in(was.vma, now.vma, *(name for name in MEANT if name != "locked"))
    place = eq(offset_at(was.vma, p), offset_at(now.vma, p))
    held = and_(same_page(t, p), same_contents(t, p))
    wiped = and_(is_empty(now.page), implies(not_(has_file(was.vma)), eq(now.visible, 0)))
    child = and_(alike, place, not_(now.vma.locked), ite_bool(was.vma.wipeonfork, wiped, held))
    gone = and_(not_(now.mapped), is_empty(now.page))
    return and_(eq(now.mapped, kept), ite_bool(kept, child, gone), same_stored(t, p), same_rest(t))


def reclaim(t: Transition, p: Num) -> Bool:
    """madvise(2), mlock(2): without being written back, only what is lazily free or droppable is taken, and nothing
    that is locked."""
    was, now, here = t.before.at(p), t.after.at(p), eq(p, t.asked(Reclaim).page)
    droppable = and_(was.mapped, not_(was.vma.locked), or_(was.page.lazy, and_(was.vma.droppable, was.page.copied)))
    backing = ite(has_file(was.vma), t.before.stored(was.vma.object, offset_at(was.vma, p)), 0)
    shows = eq(now.visible, ite(is_anonymous(was.vma), 0, backing))
    dropped = and_(here, droppable, same_attributes_but(t, p), is_empty(now.page), shows, same_stored(t, p))
    return and_(or_(dropped, unchanged(t, p)), same_borders(t, p), same_rest(t))


def pkey_alloc(t: Transition, p: Num) -> Bool:
    """pkeys(7): exactly one key is allocated that was free, with the rights that were asked for; nothing else
    changes."""
    to, key, before, after = t.asked(NewKey), t.value, t.before, t.after
    given = (
        or_(
            ne(key, n),
            and_(
                not_(before.pkey_allocated(n)),
                after.pkey_allocated(n),
                eq(after.access_denied(n), to.access),
                eq(after.write_denied(n), to.write),
            ),
        )
        for n in range(PKEYS)
    )
    exec_key = and_(eq(before.exec_key, after.exec_key), ne(key, before.exec_key))
    one = and_(between(1, key, PKEYS), *given, same_keys_but(t, lambda n: eq(n, key), exec_key))
    return and_(one, eq(before.brk, after.brk), unchanged(t, p), same_borders(t, p))


def pkru(t: Transition, p: Num) -> Bool:
    """pkeys(7): the thread has the rights that it gave itself, where there are keys; nothing else changes."""
    to, before, after = t.asked(Rights), t.before, t.after
    rights = (
        and_(
            eq(after.access_denied(n), and_(before.has_pkeys, to.access[n])),
            eq(after.write_denied(n), and_(before.has_pkeys, to.write[n])),
            eq(before.pkey_allocated(n), after.pkey_allocated(n)),
        )
        for n in range(PKEYS)
    )
    rest = and_(eq(before.brk, after.brk), eq(before.exec_key, after.exec_key))
    return and_(*rights, rest, unchanged(t, p), same_borders(t, p))


def openbsd_mseal(t: Transition, p: Num) -> Bool:
    """mimmutable(2): what a child would find wiped does not become immutable."""
    newly = and_(t.after.at(p).vma.sealed, not_(t.before.at(p).vma.sealed))
    return implies(and_(t.before.at(p).mapped, newly), not_(t.after.at(p).vma.wipeonfork))


def openbsd_munmap(t: Transition, p: Num) -> Bool:
    """munmap(2): every page of the range was mapped."""
    return implies(in_range(t, p), t.before.at(p).mapped)


def openbsd_madvise(t: Transition, p: Num) -> Bool:
    """madvise(2): what was discarded was mapped. minherit(2): what a child finds wiped was writable."""
    was, inside = t.before.at(p), in_range(t, p)
    discarded = and_(inside, one_of(t.asked(Advise).advice, (DONTNEED, FREE)))
    wiped = and_(inside, was.mapped, eq(t.asked(Advise).advice, WIPEONFORK))
    return and_(implies(discarded, was.mapped), implies(wiped, was.vma.write))


OPENBSD_CONTRACTS: dict[str, Formula] = {
    "mseal": openbsd_mseal,
    "munmap": openbsd_munmap,
    "madvise": openbsd_madvise,
}
"""What success promises on OpenBSD and not on Linux (docs/MIMMUTABLE.md)."""

CONTRACTS: dict[str, Formula] = {
    "mseal": mseal,
    "munmap": munmap,
    "mmap": mmap,
    "mprotect": mprotect,
    "pkey_mprotect": mprotect,
    "mremap": mremap,
    "madvise": madvise,
    "brk": brk,
    "mlock": mlock,
    "munlock": munlock,
    "fork": fork,
    "write": write,
    "pkru": pkru,
    "reclaim": reclaim,
    "pkey_alloc": pkey_alloc,
}
"""What success of each call promises."""


def _carries(t: Transition, p: Num) -> Bool:
    """A page of the old range, or new memory behind it, was put at this page of the new one."""
    to = asked_move(t)
    gap = and_(_several(t), not_(_came_from(t, p).mapped))
    return and_(_in_new_range(t, p), or_(_moves(t), le(to.old + to.old_pages, p)), not_(gap))


def _keeps(t: Transition, p: Num, name: str) -> Bool:
    """The page has this attribute as the page had it that was here before, or that was moved here."""
    to, was, now = asked_move(t), t.before.at(p), t.after.at(p)
    origin = to.old + (p - t.value)
    source = choose_vma(lt(p, t.value + to.old_pages), t.before.at(origin).vma, t.before.at(to.old).vma)
    moved = and_(now.mapped, eq(getattr(now.vma, name), getattr(source, name)))
    stayed = implies(and_(was.mapped, now.mapped), eq(getattr(now.vma, name), getattr(was.vma, name)))
    return ite_bool(_carries(t, p), moved, stayed)


def _execute_only_key(t: Transition, p: Num) -> Bool:
    """The page has the key of execute-only memory exactly if it is that, and the key is there if one was free."""
    was, now, key = t.before.at(p).vma, t.after.at(p).vma, t.after.exec_key
    none_free = all_(t.before.pkey_allocated(n) for n in range(1, PKEYS))
    if t.call == "mmap":
        exec_only = t.asked(Map).exec_only
        wanted = ite(exec_only, key, 0)
    else:
        exec_only = _execute_only(t.asked(Protect))
        had = and_(was.exec, not_(was.read), not_(was.write), eq(was.pkey, t.before.exec_key))
        wanted = ite(and_(exec_only, ne(key, 0)), key, ite(and_(had, not_(exec_only)), 0, was.pkey))
    taken = implies(and_(exec_only, eq(key, 0)), or_(not_(t.before.has_pkeys), none_free))
    return and_(taken, eq(now.pkey, wanted))


def _asks_no_key(t: Transition, p: Num) -> Bool:
    """The call protected the page without a key that was asked for."""
    if t.call == "mmap":
        return between(t.value, p, t.value + t.asked(Map).pages)
    return and_(eq(t.asked(Protect).pkey, NO_PKEY), _is_protected(t, p))


PROPERTIES: Final = (
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
        "A move or resize neither locks nor unlocks a page: one that it moves is locked at its new place as it was at "
        "its old one, and new memory as what it grew from. What MREMAP_DONTUNMAP leaves behind is unlocked.",
        "mlock(2), mremap(2): memory is locked until munlock, or until it is unmapped",
        ("mremap",),
        outcomes=succeeded,
        when=lambda t, p: not_(and_(_in_old_range(t, p), asked_move(t).dontunmap)),
        holds=lambda t, p: _keeps(t, p, "locked"),
    ),
    Property(
        "move-keeps-charges",
        "A move or resize leaves every page charged to the process (VM_ACCOUNT) that was, at its new place, its old "
        "one and everywhere else.",
        "Documentation/mm/overcommit-accounting: private writable memory is accounted as long as it is mapped",
        ("mremap",),
        outcomes=succeeded,
        holds=lambda t, p: _keeps(t, p, "account"),
    ),
    Property(
        "execute-only-has-its-key",
        "Memory that may be executed and no more has the process's key for that, which is taken if one is free; other "
        "memory keeps the key that it has, and returns from that one to key 0.",
        "pkeys(7), mprotect(2); arch/x86/mm/pkeys.c __arch_override_mprotect_pkey",
        ("mmap", "mprotect", "pkey_mprotect"),
        outcomes=succeeded,
        when=_asks_no_key,
        holds=_execute_only_key,
        promised_by=(System.LINUX,),
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
        "sealing-twice-is-a-no-op",
        "Sealing a range that is sealed already succeeds and changes nothing, not even the VMAs.",
        HEADER + ": adding a seal on an already sealed memory is a no-action (no error)",
        ("mseal",),
        every=lambda t, q: implies(in_range(t, q), sealed(t, q)),
        holds=lambda t, p: and_(succeeded(t), same_everything(t, p)),
    ),
)
