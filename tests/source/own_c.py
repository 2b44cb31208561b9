# SPDX-License-Identifier: MIT
"""C of our own in the kernel's style, which does what mseal does in 6.18: none of it is the kernel's."""

from __future__ import annotations

from checker.source.config import Config
from checker.source.source import Piece, Source
from checker.source.table import TABLE

MSEAL = """\
// SPDX-License-Identifier: MIT
#include <linux/mm.h>

/* A hole anywhere in [from, to)? */
static bool has_hole(unsigned long from, unsigned long to)
{
	struct vm_area_struct *vma;
	unsigned long seen = from;
	VMA_ITERATOR(it, current->mm, from);

	for_each_vma_range(it, vma, to) {
		if (vma->vm_start > seen)
			return true;
		seen = vma->vm_end;
	}
	return seen < to;
}

static int seal_one(struct vma_iterator *it, struct vm_area_struct **before,
		struct vm_area_struct *vma, unsigned long from, unsigned long to)
{
	if (!(vma->vm_flags & VM_SEALED)) {
		vma = vma_modify_flags(it, *before, vma, from, to, vma->vm_flags | VM_SEALED);
		if (IS_ERR(vma))
			return PTR_ERR(vma);
		vm_flags_set(vma, VM_SEALED);
	}
	*before = vma;
	return 0;
}

static int seal_all(unsigned long from, unsigned long to)
{
	struct vm_area_struct *vma, *before;
	int error = 0;
	VMA_ITERATOR(it, current->mm, from);

	vma = vma_iter_load(&it);
	before = vma_prev(&it);
	if (from > vma->vm_start)
		before = vma;
	for_each_vma_range(it, vma, to) {
		unsigned long a = max(vma->vm_start, from);
		unsigned long b = min(vma->vm_end, to);

		error = seal_one(&it, &before, vma, a, b);
		if (error)
			break;
	}
	return error;
}

SYSCALL_DEFINE3(mseal, unsigned long, addr, size_t, bytes, unsigned long, flags)
{
	unsigned long last;
	int error;

	if (flags)
		return -EINVAL;
	addr = untagged_addr(addr);
	if (!PAGE_ALIGNED(addr))
		return -EINVAL;
	last = addr + PAGE_ALIGN(bytes);
	if ((bytes && last == addr) || last < addr)
		return -EINVAL;
	if (last == addr)
		return 0;
	error = mmap_write_lock_killable(current->mm);
	if (error)
		return error;
	error = -ENOMEM;
	if (!has_hole(addr, last))
		error = seal_all(addr, last);
	mmap_write_unlock(current->mm);
	return error;
}
"""


def source_of(text: str, path: str = "mm/mseal.c") -> Source:
    """A source that has one file."""
    return Source(Config(), None, {path: [Piece(text)]}, frozenset(TABLE))


def as_patch(text: str, path: str = "mm/mseal.c") -> str:
    """A patch that creates the file."""
    lines = text.rstrip("\n").split("\n")
    head = [f"diff --git a/{path} b/{path}", "--- /dev/null", f"+++ b/{path}", f"@@ -0,0 +1,{len(lines)} @@"]
    return "\n".join([*head, *("+" + line for line in lines)]) + "\n"
