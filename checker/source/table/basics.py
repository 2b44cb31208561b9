# SPDX-License-Identifier: MIT
"""Rounding, error pointers, the mmap lock, and what means nothing to the model."""

from __future__ import annotations

from typing import Any

from checker.source.errors import Fault, NotCovered
from checker.source.operators import binary, truth
from checker.source.table import assumed, constantly, nothing
from checker.source.values import Addr, ErrPtr, Word, word

OK = word(0)


def failure(errno: int) -> Word:
    """-errno as an int."""
    return word(-int(errno))


@assumed("PAGE_ALIGN", says="rounds up to a page, wrapping around", source="include/linux/mm.h", looks=False)
def page_align(m: Any, a: Any) -> Any:
    a = a if isinstance(a, Addr | Word) else binary(m, "+", a, word(0, 64, False))
    up = binary(m, "+", a, word(4095, 64, False))
    return binary(m, "&", up, word(-4096, 64, False))


@assumed("PAGE_ALIGNED", says="a whole number of pages", source="include/linux/mm.h", looks=False)
def page_aligned(m: Any, a: Any) -> Any:
    return binary(m, "==", binary(m, "&", a, word(4095, 64, False)), word(0, 64, False))


@assumed("offset_in_page", says="the bytes within the page", source="include/linux/mm.h", looks=False)
def offset_in_page(m: Any, a: Any) -> Any:
    return binary(m, "&", a, word(4095, 64, False))


@assumed(
    "untagged_addr", says="x86-64 without LAM: the address", source="arch/x86/include/asm/uaccess_64.h", looks=False
)
def untagged_addr(m: Any, a: Any) -> Any:
    return a


@assumed("untagged_addr_remote", says="x86-64 without LAM: the address", source="include/linux/uaccess.h", looks=False)
def untagged_addr_remote(m: Any, mm: Any, a: Any) -> Any:
    return a


def _choose(m: Any, op: str, a: Any, b: Any) -> Any:
    return a if m.decide(truth(binary(m, op, a, b))) else b


@assumed("max", says="the larger", source="include/linux/minmax.h", looks=False)
def largest(m: Any, a: Any, b: Any) -> Any:
    return _choose(m, ">", a, b)


@assumed("min", says="the smaller", source="include/linux/minmax.h", looks=False)
def smallest(m: Any, a: Any, b: Any) -> Any:
    return _choose(m, "<", a, b)


@assumed("IS_ERR", says="an error pointer", source="include/linux/err.h", looks=False)
def is_err(m: Any, p: Any) -> bool:
    if isinstance(p, Addr | Word):
        raise NotCovered("IS_ERR of a number")
    return isinstance(p, ErrPtr)


@assumed("IS_ERR_OR_NULL", says="an error pointer, or NULL", source="include/linux/err.h", looks=False)
def is_err_or_null(m: Any, p: Any) -> bool:
    return isinstance(p, ErrPtr) or p is None


@assumed("PTR_ERR", says="the error of an error pointer", source="include/linux/err.h", looks=False)
def ptr_err(m: Any, p: Any) -> Word:
    if not isinstance(p, ErrPtr):
        raise Fault("PTR_ERR of a pointer that is no error")
    return word(-p.errno, 64, True)


@assumed("PTR_ERR_OR_ZERO", says="the error of an error pointer, else 0", source="include/linux/err.h", looks=False)
def ptr_err_or_zero(m: Any, p: Any) -> Word:
    return word(-p.errno) if isinstance(p, ErrPtr) else OK


@assumed("ERR_PTR", says="an error as a pointer", source="include/linux/err.h", looks=False)
def err_ptr(m: Any, error: Any) -> ErrPtr:
    if not (isinstance(error, Word) and error.known and error.number < 0):
        raise NotCovered("ERR_PTR of a number that is not known")
    return ErrPtr(-error.number)


@assumed("BUG_ON", "VM_BUG_ON_ALWAYS", says="must not be true", source="include/asm-generic/bug.h", looks=False)
def bug_on(m: Any, condition: Any) -> None:
    if m.decide(truth(condition)):
        raise Fault("BUG_ON")


@assumed(
    "capable",
    says="left open: what only a limit asks is granted or not by chance",
    source="kernel/capability.c",
    looks=False,
)
def capable(m: Any, capability: Any) -> Any:
    if capability == word(14):  # CAP_IPC_LOCK, of which the limit on locked memory asks
        if m.space is None:
            return True
        if m.privileged is None:
            m.privileged = not m.decide(m.space.environment("mlock: RLIMIT_MEMLOCK has no room"))
        return m.privileged
    if capability == word(21):
        return False
    raise NotCovered("this capability")


constantly(True, "can_do_mlock", says="the limit on locked memory is not zero", source="mm/mlock.c")
constantly(
    word(0, 64, False), "rlimit", says="left open: a limit is always reached, and capable() says what then",
    source="include/linux/sched/signal.h",
)  # fmt: skip
constantly(
    word(0, 64, False), "count_mm_mlocked_page_nr", says="as rlimit: what counts against a limit is left open",
    source="mm/mlock.c",
)  # fmt: skip
constantly(True, "may_expand_vm", says="RLIMIT_AS and RLIMIT_DATA have room", source="mm/vma.c, mm/mmap.c")
constantly(OK, "security_vm_enough_memory_mm", says="the accounting has room", source="security/security.c")
constantly(OK, "security_file_mprotect", says="no security module objects", source="security/security.c")
constantly(False, "map_deny_write_exec", says="PR_SET_MDWE is not used", source="include/linux/mman.h")
constantly(True, "arch_validate_flags", says="x86-64 has nothing against any", source="include/linux/mman.h")
constantly(False, "arch_has_pfn_modify_check", says="left out: PFN mappings", source="arch/x86/include/asm/pgtable.h")
constantly(False, "vma_is_secretmem", says="left out: secret memory", source="include/linux/secretmem.h")
constantly(
    False, "is_exec_mapping", "is_stack_mapping", "is_data_mapping", "is_data_mapping_vma_flags",
    says="counters that only limits look at", source="mm/vma.h",
)  # fmt: skip
constantly(False, "vma_wants_manual_pte_write_upgrade", says="how a page table is written", source="mm/mprotect.c")
constantly(
    OK, "mas_store_gfp", "vma_iter_clear_gfp", "vma_iter_prealloc", says="memory for the tree is there",
    source="lib/maple_tree.c",
)  # fmt: skip
constantly(OK, "userfaultfd_unmap_prep", says="left out: userfaultfd", source="fs/userfaultfd.c")
constantly(None, "anon_vma_name", says="left out: names of anonymous memory", source="mm/madvise.c")
constantly(False, "vma_is_anon_shmem", says="as anon_vma_name", source="mm/shmem.c")
constantly(True, "anon_vma_name_eq", says="as anon_vma_name", source="include/linux/mm_inline.h")
constantly(OK, "replace_anon_vma_name", says="as anon_vma_name", source="mm/madvise.c")
constantly(word(0, 64, False), "vm_get_page_prot", says="how a page table is written", source="arch/x86/mm/pgprot.c")
nothing(
    "mt_init_flags", "mt_on_stack", "mas_set", "mas_lock", "mas_unlock", "vma_mark_detached", "vma_mark_attached",
    "vma_iter_free", "__mt_destroy", "vma_iter_prev_range", "vma_iter_next_range",
    says="the tree beside the list", source="lib/maple_tree.c, include/linux/mm.h",
)  # fmt: skip
nothing("validate_mm", says="tests, and only under CONFIG_DEBUG_VM", source="mm/vma.c, mm/mmap.c")
nothing("reattach_vmas", says="the VMAs are attached as they were", source="mm/vma.h, mm/vma.c")
nothing(
    "tlb_gather_mmu", "tlb_finish_mmu", "change_protection", "vma_set_page_prot", "flush_cache_range", "arch_unmap",
    "flush_tlb_range", "inc_tlb_flush_pending", "dec_tlb_flush_pending", "lru_add_drain", "lru_add_drain_all",
    says="page tables follow the VMAs", source="mm/mmu_gather.c, mm/mprotect.c",
)  # fmt: skip
nothing(
    "vm_stat_account", "vm_unacct_memory", "vm_acct_memory", "perf_event_mmap", "cond_resched", "uprobe_munmap",
    "userfaultfd_unmap_complete", "blk_start_plug", "blk_finish_plug", "anon_vma_name_get", "anon_vma_name_put",
    "khugepaged_enter_vma", "might_sleep", "trace_mm", "count_vm_event", "mmap_assert_write_locked",
    "mmap_assert_locked", "vma_assert_write_locked", "ksm_add_vma", "pr_warn_once", "pr_warn_ratelimited",
    says="accounting, tracing and the like", source="kernel",
)  # fmt: skip


@assumed("vma_start_write", says="locks the VMA: the mmap lock must be held", source="include/linux/mm.h")
def vma_start_write(m: Any, vma: Any) -> None:
    m.record(vma)
    if m.lock != "write":
        raise Fault("vma_start_write without the mmap lock held for writing")


@assumed(
    "arch_validate_prot",
    says="no bits but read, write, execute and PROT_SEM",
    source="include/linux/mman.h",
    looks=False,
)
def arch_validate_prot(m: Any, prot: Any, addr: Any) -> Any:
    return binary(m, "==", binary(m, "&", prot, word(-16, 64, False)), word(0, 64, False))
