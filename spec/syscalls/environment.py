# SPDX-License-Identifier: MIT
"""What happens without a memory call: a program writes, changes its PKRU, forks; the kernel reclaims memory.

Sources: arch/x86/mm/fault.c access_error, mm/memory.c do_anonymous_page, do_cow_fault, do_wp_page; kernel/fork.c
dup_mmap; mm/rmap.c try_to_unmap_one (lazily freed and droppable pages).
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from spec.arguments import NewKey, Nothing, Reclaim, Rights, Write, as_page
from spec.errors import Errno
from spec.space import AddressSpace, Guards
from spec.terms import Bool, Num, and_, eq, ite, lt, not_, or_
from spec.vma import EMPTY_PAGE, Page, Vma
from spec.words import Word, equal, has, low32, mask


def write_arguments(do: Guards, addr: Word, byte: Word) -> Write:
    """The page of the address."""
    return Write(as_page(addr), cast(Num, _low8(byte)))


def _low8(word: Word) -> Word:
    return mask(word, 0xFF)


def write(mm: AddressSpace, to: Write) -> Num:
    """A program stores to its memory. EFAULT stands for the signal that it would get."""
    vma = mm.find(to.page)
    if vma is None:
        mm.fail(Errno.EFAULT, "write: the page is not mapped")
    mm.fail_if(mm.cannot_write(vma), Errno.EFAULT, "write: the VMA is not writable")
    mm.fail_if(mm.page(to.page).guard, Errno.EFAULT, "write: a guard page")
    beyond = mm.beyond_object(vma, to.page)
    mm.prepare(to.page, and_(beyond, not_(vma.shared)))
    mm.fail_if(beyond, Errno.EFAULT, "write: beyond the end of the object")
    mm.store(to.page, to.byte)
    return 1


def pkru_arguments(do: Guards, bits: Word) -> Rights:
    """Two bits a key: access-disable, write-disable."""
    value = low32(bits)
    return Rights(
        tuple(has(value, 1 << (2 * key)) for key in range(16)), tuple(has(value, 3 << (2 * key)) for key in range(16))
    )


def pkru(mm: AddressSpace, to: Rights) -> Num:
    """The thread writes its PKRU register (no system call)."""
    mm.set_write_denied(to.access, to.write)
    return 0


def no_arguments(do: Guards) -> Nothing:
    """Nothing to check."""
    return Nothing()


def fork(mm: AddressSpace, to: Nothing) -> Num:
    """What a child starts with: the same, less what is marked dontfork; wiped where marked so; seals are kept, locks
    are not."""

    def inherit(vma: Vma) -> tuple[Bool, Vma]:
        wiped = vma.wipeonfork
        copied = lt(0, vma.anon_vma)
        child = replace(
            vma,
            locked=False,
            anon_vma=ite(wiped, 0, vma.anon_vma),
            inherited=and_(copied, not_(wiped)),
        )
        return not_(vma.dontfork), child

    def page(vma: Vma, now: Page) -> Page:
        lost = or_(vma.wipeonfork, vma.dontfork)
        return Page(
            and_(now.copied, not_(lost)), ite(lost, 0, now.own), and_(now.lazy, not_(lost)), and_(now.guard, not_(lost))
        )

    mm.become_child(inherit, page)
    return 0


def reclaim_arguments(do: Guards, addr: Word) -> Reclaim:
    """The page of the address."""
    return Reclaim(as_page(addr))


def reclaim(mm: AddressSpace, to: Reclaim) -> Num:
    """The kernel needs memory: a lazily free or droppable page is dropped without being written back; any other keeps
    its contents (in swap or in its object)."""
    vma = mm.find(to.page)
    if vma is None:
        return 0
    now = mm.page(to.page)
    lost = and_(not_(vma.locked), or_(now.lazy, and_(vma.droppable, now.copied)))
    if mm.decide(lost):
        mm.set_page(to.page, EMPTY_PAGE)
    return 0


def pkey_alloc_arguments(do: Guards, flags: Word, rights: Word) -> NewKey:
    """There are no flags, and two rights to deny: PKEY_DISABLE_ACCESS and PKEY_DISABLE_WRITE."""
    do.fail_if(not_(equal(flags, 0)), Errno.EINVAL, "pkey_alloc: flags are reserved")
    do.fail_if(not_(equal(mask(rights, 3), rights)), Errno.EINVAL, "pkey_alloc: unknown rights")
    return NewKey(has(rights, 1), has(rights, 3))


def pkey_alloc(mm: AddressSpace, to: NewKey) -> Num:
    """A new protection key, with those rights for the calling thread that it does not deny itself."""
    key = mm.allocate_pkey()
    mm.set_write_denied(
        tuple(or_(and_(eq(key, n), to.access), mm.access_denied(n)) for n in range(16)),
        tuple(or_(and_(eq(key, n), to.write), mm.write_denied(n)) for n in range(16)),
    )
    return key
