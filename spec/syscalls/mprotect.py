# SPDX-License-Identifier: MIT
"""mprotect(2) and pkey_mprotect(2).

Sources: mm/mprotect.c do_mprotect_pkey, mprotect_fixup; arch/x86/mm/pkeys.c. OpenBSD: mprotect(2); sys_mprotect,
uvm_map_protect (docs/MIMMUTABLE.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from spec.arguments import NO_PKEY, PlainProtect, Protect, as_page, widened
from spec.editions import SealCheck, System
from spec.errors import Errno
from spec.mapping import PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ, PROT_SEM, PROT_WRITE
from spec.space import AddressSpace, Gap, Guards, Visit
from spec.terms import Bool, Num, and_, eq, ite, ite_bool, lt, ne, not_, or_
from spec.vma import HUGETLB, Vma, is_anonymous, same_flags
from spec.words import Word, above, add, choose, equal, has, is_page_aligned, low32, mask, page_align, untagged

NO_KEY_YET = 16
"""One more than the highest protection key."""


def arguments(do: Guards, addr: Word, length: Word, prot: Word) -> PlainProtect:
    """Bytes to pages for mprotect, which is pkey_mprotect without a key. OpenBSD knows no protection but to read, write
    and execute."""
    if do.edition.system is System.OPENBSD:
        bits = low32(prot)
        known = equal(mask(bits, PROT_READ | PROT_WRITE | PROT_EXEC), bits)
        do.fail_if(not_(known), Errno.EINVAL, "mprotect: unknown protection bits")
        first, end = widened(do, "mprotect", addr, length)
        asked = has(prot, PROT_READ), has(prot, PROT_WRITE), has(prot, PROT_EXEC)
        return PlainProtect(as_page(first), as_page(end), *asked, False, False, NO_PKEY)
    to = pkey_arguments(do, addr, length, prot, 0xFFFF_FFFF)
    return PlainProtect(to.start, to.end, to.read, to.write, to.exec, to.growsdown, to.growsup, NO_PKEY)


def pkey_arguments(do: Guards, addr: Word, length: Word, prot: Word, pkey: Word) -> Protect:
    """Bytes to pages: the checks of do_mprotect_pkey before it takes the lock."""
    start = untagged(addr)
    down, up = has(prot, PROT_GROWSDOWN), has(prot, PROT_GROWSUP)
    do.fail_if(and_(down, up), Errno.EINVAL, "mprotect: it cannot grow both ways")
    do.fail_if(not_(is_page_aligned(start)), Errno.EINVAL, "mprotect: the address is not page aligned")
    do.finish_if(equal(length, 0), "mprotect: nothing to do for length zero")
    end = add(start, page_align(length))
    do.fail_if(not_(above(end, start)), Errno.ENOMEM, "mprotect: the range wraps around")
    known = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP
    do.fail_if(not_(equal(mask(prot, known), prot)), Errno.EINVAL, "mprotect: unknown protection bits")
    return Protect(
        as_page(start),
        as_page(end),
        has(prot, PROT_READ),
        has(prot, PROT_WRITE),
        has(prot, PROT_EXEC),
        down,
        up,
        signed32(pkey),
    )


def signed32(word: Word) -> Num:
    """The low half as the kernel's `int`: only -1 matters among the negative values, so others stay large."""
    low = low32(word)
    return as_int(choose(equal(low, 0xFFFF_FFFF), (1 << 64) - 1, low))


def as_int(word: Word) -> Num:
    """A word as a number of the page-level stage, with 2**64 - 1 read as -1."""
    if isinstance(word, int):
        return -1 if word == (1 << 64) - 1 else word
    return cast(Num, word)


def mprotect(mm: AddressSpace, to: Protect) -> Num:
    """Change the protection (and key) of a range.

    Up to 6.11 the whole range is tested for seals before the loop, gaps allowed, so that EPERM changes nothing. From
    6.12 on each VMA is tested when the loop reaches it: EPERM (like EACCES and ENOMEM ever since) leaves a changed
    prefix. OpenBSD makes a pass of all tests of each VMA, the seal first, before one that changes; it skips gaps.
    """
    openbsd = mm.edition.system is System.OPENBSD
    start = to.start if openbsd else _first_page(mm, to)
    gap = Gap.IGNORE if openbsd else Gap.STOP
    in_the_loop = mm.edition.seals is SealCheck.IN_THE_LOOP
    if not (in_the_loop or openbsd):
        mm.check_each(start, to.end, lambda vma: vma.sealed, Errno.EPERM, "mprotect: a VMA of the range is sealed")
    exec_only = and_(to.exec, not_(to.read), not_(to.write), eq(to.pkey, NO_PKEY))
    ahead = mm.edition.seals is SealCheck.TWO_PASS
    exec_only_key: Num = 0
    if not openbsd:
        exec_only_key = _foreseen_key(mm, exec_only) if ahead else mm.execute_only_pkey(exec_only)

    def protect(vma: Vma, at: Visit) -> Vma:
        missing = or_(
            and_(to.read, not_(vma.may_read)), and_(to.write, not_(vma.may_write)), and_(to.exec, not_(vma.may_exec))
        )
        if openbsd:
            at.fail_if(vma.sealed, Errno.EPERM, "mprotect: a VMA of the range is sealed")
        at.fail_if(missing, Errno.EACCES, "mprotect: the mapping may not have this protection")
        if in_the_loop:
            at.fail_if(vma.sealed, Errno.EPERM, "mprotect: the VMA is sealed")
        protected = replace(
            vma,
            read=to.read,
            write=to.write,
            exec=to.exec,
            pkey=new_pkey(vma, to.pkey, exec_only, exec_only_key),
        )
        at.populate_changed_if(and_(vma.locked, not_(vma.write), not_(vma.shared), to.write))
        # where nothing is to change, the accounting is not looked at
        account = ite_bool(same_flags(vma, protected), vma.account, accounted(vma, to.write))
        return replace(protected, account=account)

    if ahead:
        mm.foresee(start, to.end, protect, gap=gap)
        if not openbsd:
            exec_only_key = mm.execute_only_pkey(exec_only)
    mm.change_each(start, to.end, protect, gap=gap)
    return 0


def _foreseen_key(mm: AddressSpace, exec_only: Bool) -> Num:
    """The key for execute-only memory as far as it can be foreseen. In two passes it is taken when nothing can fail any
    more; until then a number that no VMA has stands for it, so that all that it would change counts as changed."""
    had = mm.execute_only_pkey(False)
    return ite(and_(exec_only, eq(had, 0)), NO_KEY_YET, had)


def _first_page(mm: AddressSpace, to: Protect) -> Num:
    """Where the range begins, once the key and what is mapped first in it were checked: with PROT_GROWSDOWN, at the
    start of that VMA."""
    no_such_key = and_(ne(to.pkey, NO_PKEY), not_(mm.pkey_allocated(to.pkey)))
    mm.fail_if(no_such_key, Errno.EINVAL, "mprotect: the protection key is not allocated")
    vma = mm.first(to.start, to.end)
    if vma is None:
        mm.fail(Errno.ENOMEM, "mprotect: nothing is mapped in the range")
    if mm.decide(to.growsdown):
        mm.fail_if(not_(vma.growsdown), Errno.EINVAL, "mprotect: PROT_GROWSDOWN on a VMA that does not grow down")
        return vma.start
    mm.fail_if(lt(to.start, vma.start), Errno.ENOMEM, "mprotect: the range begins with an unmapped page")
    mm.fail_if(to.growsup, Errno.EINVAL, "mprotect: PROT_GROWSUP on a VMA that does not grow up")
    return to.start


def new_pkey(vma: Vma, asked: Num, exec_only: Bool, exec_only_key: Num) -> Num:
    """The key that the VMA gets (x86 __arch_override_mprotect_pkey). `exec_only_key` 0: there is none."""
    was_exec_only = and_(vma.exec, not_(vma.read), not_(vma.write), lt(0, exec_only_key), eq(vma.pkey, exec_only_key))
    kept = ite(
        and_(exec_only, lt(0, exec_only_key)), exec_only_key, ite(and_(was_exec_only, not_(exec_only)), 0, vma.pkey)
    )
    return ite(eq(asked, NO_PKEY), kept, asked)


def accounted(vma: Vma, write: Bool) -> Bool:
    """VM_ACCOUNT afterwards (mprotect_fixup): set when private memory becomes writable, cleared when anonymous memory
    that was never written becomes read-only."""
    becomes = and_(write, not_(or_(vma.write, eq(vma.backing, HUGETLB), vma.shared, vma.noreserve)))
    keeps = not_(and_(not_(write), is_anonymous(vma), eq(vma.anon_vma, 0)))
    return ite_bool(vma.account, keeps, becomes)
