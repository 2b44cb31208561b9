# SPDX-License-Identifier: MIT
"""The syntax tree of one function, by pycparser."""

from __future__ import annotations

import re
from typing import Any

from pycparser import c_ast, c_parser

from checker.source.errors import NotCovered
from checker.source.slices import Slice

WORDS = {
    64: ("size_t", "vm_flags_t", "pgoff_t", "u64", "uintptr_t"),
    32: ("u32", "gfp_t", "zap_flags_t", "fgf_t"),
    16: ("u16",),
    8: ("u8",),
}
"""Unsigned integer types of the kernel, by their width."""
SIGNED = {64: ("ssize_t", "loff_t", "s64", "off_t", "intptr_t"), 32: ("s32", "vma_flag_t", "pid_t")}
OPAQUE = (
    "pgprot_t", "vma_flags_t", "vm_fault_t", "pte_t", "pmd_t", "pud_t", "spinlock_t", "uffd_flags_t", "atomic_t",
    "blk_mode_t", "nodemask_t", "swp_entry_t",
)  # fmt: skip
"""Types that are no integers to the reading."""

TYPEDEFS = "\n".join(
    [
        "typedef _Bool bool;",
        *(f"typedef unsigned long {name};" for names in WORDS.values() for name in names),
        *(f"typedef long {name};" for names in SIGNED.values() for name in names),
        *(f"typedef struct {name}_ {name};" for name in OPAQUE),
    ]
)


def parse(text: str, cut: Slice) -> Any:
    """The definition in a text whose first line is that of the slice. Raises NotCovered."""
    whole = f'{TYPEDEFS}\n#line {cut.line} "{cut.file}"\n{text}'
    try:
        tree = c_parser.CParser().parse(whole, cut.file)
    except RecursionError:
        raise NotCovered(f"{cut.name}() is nested too deeply", cut.file, cut.line) from None
    except Exception as error:  # pycparser's errors have no common base over its versions
        message = str(error)
        place = re.match(r".*?:(\d+)(?::\d+)?: (.*)", message)
        line = int(place[1]) if place else cut.line
        what = place[2] if place else message
        raise NotCovered(f"the syntax in {cut.name}(): {what[:80]}", cut.file, line) from None
    found = [node for node in tree.ext if isinstance(node, c_ast.FuncDef)]
    if len(found) != 1:
        raise NotCovered(f"the definition of {cut.name}()", cut.file, cut.line)
    return found[0]
