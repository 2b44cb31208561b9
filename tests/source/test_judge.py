# SPDX-License-Identifier: MIT
"""A small call in the kernel's style, whole, and with each danger put into it: what differs is found, what changes
nothing is equal, what is not known is not covered. The C is ours."""

from __future__ import annotations

import pytest

from checker.source.advice import AdviceTest, advice_test
from checker.source.judge import Compared, Limits, compare, matches
from checker.source.sides import CSide, SpecSide
from checker.source.subjects import SUBJECTS
from spec.editions import EDITIONS
from tests.source.own_c import MSEAL, source_of

EDITION = EDITIONS["v6.18"]


def judged(text: str, vmas: int = 2, subject: str = "mseal") -> Compared:
    return compare(
        SUBJECTS[subject], EDITION, SpecSide(EDITION.name), CSide("the C", source_of(text)), Limits(vmas, 120)
    )


def changed(*pairs: tuple[str, str]) -> str:
    text = MSEAL
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_the_call_as_it_is_equals_its_edition() -> None:
    found = judged(MSEAL)
    assert (found.verdict, found.case) == ("equal up to 2 VMAs", None), found.why
    assert found.sampled > 0


HARMFUL = {
    "the range is not looked at": ([("if (!has_hole(addr, last))\n\t\terror", "error")], "NULL vma"),
    "only the first VMA is sealed": ([("\t\tif (error)\n\t\t\tbreak;", "\t\tbreak;")], "success"),
    "the cursor is stale": ([("max(vma->vm_start, from)", "from")], ""),
    "the end is not clamped": ([("min(vma->vm_end, to)", "vma->vm_end")], ""),
    "a path leaks the lock": ([("error = -ENOMEM;", "if (has_hole(addr, last))\n\t\treturn -ENOMEM;")], "lock held"),
    "the lock is not taken": (
        [("error = mmap_write_lock_killable(current->mm);", "error = 0;"), ("\tmmap_write_unlock(current->mm);\n", "")],
        "without the mmap lock",
    ),
    "the lock is taken for reading": (
        [("mmap_write_lock_killable", "mmap_read_lock_killable"), ("mmap_write_unlock", "mmap_read_unlock")],
        "without the mmap lock",
    ),
    "the wrong errno": ([("error = -ENOMEM;", "error = -EFAULT;")], "EFAULT"),
    "the wrong errno for the flags": ([("if (flags)\n\t\treturn -EINVAL;", "if (flags)\n\t\treturn -EPERM;")], "EPERM"),
    "the flags are not looked at": ([("if (flags)\n\t\treturn -EINVAL;\n", "")], ""),
    "a wrong #ifdef": (
        [("if (flags)\n\t\treturn -EINVAL;\n", "#ifdef CONFIG_32BIT\n\tif (flags)\n\t\treturn -EINVAL;\n#endif\n")],
        "",
    ),
    "an address is cut": ([("\tunsigned long last;", "\tunsigned int last;")], ""),
    "a signal is taken for success": ([("\tif (error)\n\t\treturn error;\n", "")], "killed"),
    "an error is lost": ([("return PTR_ERR(vma);", "return 0;")], ""),
    "an error pointer is used": ([("\t\tif (IS_ERR(vma))\n\t\t\treturn PTR_ERR(vma);\n", "")], "error pointer"),
    "a variable is never set": ([("unsigned long seen = from;", "unsigned long seen;")], "before it was set"),
    "the seal is not set": ([("\t\tvm_flags_set(vma, VM_SEALED);\n", "")], ""),
    "another bit": ([("vm_flags_set(vma, VM_SEALED);", "vm_flags_set(vma, VM_LOCKED);")], ""),
    "no result": ([("\treturn seen < to;\n", "")], "gave no result"),
    "the VMA before is forgotten": ([("\t*before = vma;\n", "")], ""),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_each_danger_is_found_with_a_case(name: str) -> None:
    pairs, told = HARMFUL[name]
    found = judged(changed(*pairs))
    assert found.status == "differs", (found.verdict, found.why)
    assert told in found.why
    if "killed" not in found.why and "argument stage" not in found.why:
        assert found.case is not None and found.case.apart
        assert found.case.before.size[0] <= 3


HARMLESS = {
    "names": [("\tunsigned long last;\n", "\tunsigned long last, unused = 7;\n")],
    "a goto for a return": [
        ("\terror = mmap_write_lock_killable(current->mm);\n\tif (error)\n\t\treturn error;\n",
         "\terror = mmap_write_lock_killable(current->mm);\n\tif (error)\n\t\tgoto done;\n"),
        ("_unlock(current->mm);\n\treturn error;\n", "_unlock(current->mm);\ndone:\n\treturn error;\n"),
    ],
    "a condition turned": [("return seen < to;", "return !(seen >= to);")],
    "a ternary for max": [("max(vma->vm_start, from)", "vma->vm_start > from ? vma->vm_start : from")],
    "a macro": [
        ("/* A hole", "#define SEALED(v) (((v)->vm_flags & VM_SEALED) != 0)\n/* A hole"),
        ("!(vma->vm_flags & VM_SEALED)", "!SEALED(vma)"),
    ],
    "a loop of another kind": [
        ("\tfor_each_vma_range(it, vma, to) {\n\t\tif (vma->vm_start > seen)",
         "\tfor (;;) {\n\t\tvma = vma_find(&it, to);\n\t\tif (!vma)\n\t\t\tbreak;\n\t\tif (vma->vm_start > seen)"),
    ],
    "under an #if that is off": [("\tif (flags)\n", "#ifdef CONFIG_DEBUG_VM\n\tBUG_ON(1);\n#endif\n\tif (flags)\n")],
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_what_changes_nothing_is_equal(name: str) -> None:
    found = judged(changed(*HARMLESS[name]))
    assert found.verdict == "equal up to 2 VMAs", (found.status, found.why, found.line)


UNKNOWN = {
    "a function": ([("addr = untagged_addr(addr);", "addr = hinted_address(addr);")], "hinted_address()"),
    "a name": ([("if (flags)\n", "if (flags & ~MSEAL_NEW_FLAG)\n")], "MSEAL_NEW_FLAG"),
    "a field": ([("vma->vm_start > seen", "vma->vm_start > seen && vma->vm_policy")], "vm_policy"),
    "a construct": ([("unsigned long seen = from;", "unsigned long seen = ({ from; });")], "construct"),
    "an #ifdef": (
        [("if (flags)\n\t\treturn -EINVAL;\n", "#ifdef CONFIG_SOMETHING\n\tif (flags)\n\t\treturn -EINVAL;\n#endif\n")],
        "CONFIG_SOMETHING",
    ),
    "a loop without end": ([("\t\tseen = vma->vm_end;\n\t}", "\t\tfor (;;)\n\t\t\t;\n\t}")], "has not ended"),
    "the syntax": ([("unsigned long seen = from;", "typeof(from) seen = from;")], "syntax"),
    "vm_flags in an int": (
        [("\tif (!(vma->vm_flags & VM_SEALED)) {", "\tint sealed = vma->vm_flags & VM_SEALED;\n\n\tif (!sealed) {")],
        "",
    ),
}


@pytest.mark.parametrize("name", [n for n in UNKNOWN if UNKNOWN[n][1]])
def test_what_is_not_known_is_not_covered(name: str) -> None:
    pairs, told = UNKNOWN[name]
    found = judged(changed(*pairs))
    assert found.status == "not covered", (found.verdict, found.why)
    assert told in found.why
    assert found.file == "mm/mseal.c" and found.line > 0


def test_editions_that_differ_in_nothing_that_is_read_are_told_together() -> None:
    editions = [EDITIONS[name] for name in ("v6.18", "v7.0", "v6.17")]
    found = matches(SUBJECTS["mseal"], CSide("the C", source_of(MSEAL)), editions, Limits(3, 120), lambda text: None)
    assert [(m.editions, m.compared.status) for m in found] == [(["v6.18", "v7.0"], "equal"), (["v6.17"], "differs")]
    case = found[1].compared.case
    assert case is not None and case.before.size[0] == 3  # CVE-2026-23416: the stale cursor needs three VMAs


ADVICE = """
static bool is_madv_discard(int behavior)
{
	%s
}
"""


@pytest.mark.parametrize(
    ("body", "edition"),
    [
        (
            "switch (behavior) {\n\tcase MADV_DONTNEED:\n\tcase MADV_FREE:\n\tcase MADV_REMOVE:\n"
            "\tcase MADV_DONTFORK:\n\tcase MADV_WIPEONFORK:\n\tcase MADV_DONTNEED_LOCKED:\n\t\treturn true;\n"
            "\tdefault:\n\t\treturn false;\n\t}",
            "v6.12",
        ),
        (
            "return behavior & (MADV_DONTNEED | MADV_FREE | MADV_REMOVE | MADV_DONTFORK | MADV_WIPEONFORK |"
            " MADV_DONTNEED_LOCKED);",
            "v10",
        ),
    ],
)
def test_the_advice_that_is_blocked_is_found_from_the_text(body: str, edition: str) -> None:
    found = advice_test(source_of(ADVICE % body), EDITION)
    assert isinstance(found, AdviceTest)
    assert [e for e in ("v10", "v6.12", "v6.13") if found.equals(EDITIONS[e])] == [edition]
    assert bool(found.harmless) is (edition == "v10")
