# SPDX-License-Identifier: MIT
"""The calls: one file each, one function each; nothing else in the repository says what a call does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spec.arguments import (
    Advise,
    Break,
    Decoded,
    Map,
    Move,
    NewKey,
    Nothing,
    PageRange,
    PlainProtect,
    Protect,
    Reclaim,
    Rights,
    Write,
)
from spec.editions import Edition, System
from spec.space import AddressSpace
from spec.syscalls import brk, environment, madvise, mlock, mmap, mprotect, mremap, mseal, munmap
from spec.terms import Num


@dataclass(frozen=True, slots=True)
class Call:
    """A call: its argument stage over 64-bit words, its body over page numbers."""

    name: str
    words: tuple[str, ...]
    """Names of the arguments, each a 64-bit word."""
    arguments: Callable[..., Any]
    """(guards, *words) -> the decoded arguments."""
    body: Callable[[AddressSpace, Any], Num]
    decoded: type[Decoded]
    source: str
    """Where the kernel does this."""
    step: bool = False
    """Not a system call but something that happens without one."""
    openbsd: str = ""
    """Where OpenBSD does this, if an edition speaks of it."""

    def source_in(self, edition: Edition) -> str:
        """Where the edition's system does this."""
        return self.openbsd if edition.system is System.OPENBSD and self.openbsd else self.source


def _never(mm: AddressSpace, pages: PageRange) -> Num:
    raise AssertionError("the 32-bit variant refuses in its argument stage")


CALLS: dict[str, Call] = {
    call.name: call
    for call in (
        Call(
            "mseal",
            ("addr", "len", "flags"),
            mseal.arguments,
            mseal.mseal,
            PageRange,
            "mm/mseal.c do_mseal",
            openbsd="sys/uvm/uvm_mmap.c sys_mimmutable, uvm_map.c uvm_map_immutable",
        ),
        Call(
            "mseal32", ("addr", "len", "flags"), mseal.arguments_32bit, _never, PageRange, "mm/internal.h can_do_mseal"
        ),
        Call(
            "munmap",
            ("addr", "len"),
            munmap.arguments,
            munmap.munmap,
            PageRange,
            "mm/mmap.c do_vmi_munmap",
            openbsd="sys/uvm/uvm_mmap.c sys_munmap, uvm_map.c uvm_unmap_remove",
        ),
        Call(
            "mmap",
            ("addr", "len", "prot", "flags", "file", "object", "off"),
            mmap.arguments,
            mmap.mmap,
            Map,
            "mm/mmap.c do_mmap, mmap_region",
            openbsd="sys/uvm/uvm_map.c uvm_map, for what MAP_FIXED replaces; the rest is Linux's",
        ),
        Call(
            "mprotect",
            ("addr", "len", "prot"),
            mprotect.arguments,
            mprotect.mprotect,
            PlainProtect,
            "mm/mprotect.c do_mprotect_pkey",
            openbsd="sys/uvm/uvm_mmap.c sys_mprotect, uvm_map.c uvm_map_protect",
        ),
        Call(
            "pkey_mprotect",
            ("addr", "len", "prot", "pkey"),
            mprotect.pkey_arguments,
            mprotect.mprotect,
            Protect,
            "mm/mprotect.c do_mprotect_pkey",
        ),
        Call(
            "mremap",
            ("addr", "old_len", "new_len", "flags", "new_addr"),
            mremap.arguments,
            mremap.mremap,
            Move,
            "mm/mremap.c sys_mremap",
        ),
        Call(
            "madvise",
            ("addr", "len", "behavior"),
            madvise.arguments,
            madvise.madvise,
            Advise,
            "mm/madvise.c do_madvise",
            openbsd="sys/uvm/uvm_mmap.c sys_madvise, sys_minherit, uvm_map.c uvm_map_clean, uvm_map_inherit",
        ),
        Call("brk", ("addr",), brk.arguments, brk.brk, Break, "mm/mmap.c sys_brk"),
        Call("mlock", ("addr", "len"), mlock.lock_arguments, mlock.mlock, PageRange, "mm/mlock.c do_mlock"),
        Call("munlock", ("addr", "len"), mlock.arguments, mlock.munlock, PageRange, "mm/mlock.c sys_munlock"),
        Call(
            "fork",
            (),
            environment.no_arguments,
            environment.fork,
            Nothing,
            "kernel/fork.c dup_mmap",
            step=True,
        ),
        Call(
            "write",
            ("addr", "byte"),
            environment.write_arguments,
            environment.write,
            Write,
            "arch/x86/mm/fault.c",
            step=True,
        ),
        Call(
            "pkru",
            ("bits",),
            environment.pkru_arguments,
            environment.pkru,
            Rights,
            "the WRPKRU instruction",
            step=True,
        ),
        Call(
            "reclaim",
            ("addr",),
            environment.reclaim_arguments,
            environment.reclaim,
            Reclaim,
            "mm/rmap.c try_to_unmap_one",
            step=True,
        ),
        Call(
            "pkey_alloc",
            ("flags", "rights"),
            environment.pkey_alloc_arguments,
            environment.pkey_alloc,
            NewKey,
            "mm/mprotect.c sys_pkey_alloc",
            step=True,
        ),
    )
}
"""Every call by name."""
