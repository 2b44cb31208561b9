# SPDX-License-Identifier: MIT
"""Equal for any number of VMAs: proved where the loops go in lockstep, and never of C that does something else, be it
only behind more VMAs than any exploration has. The C is ours."""

from __future__ import annotations

import time

import pytest

from checker.source.judge import Limits, compare
from checker.source.lockstep import Lockstep, in_lockstep
from checker.source.sides import CSide, Side, SpecSide
from checker.source.subjects import SUBJECTS
from spec.editions import EDITIONS
from tests.source.own_c import MSEAL, source_of
from tests.source.test_judge import HARMFUL, changed

EDITION = EDITIONS["v6.18"]
SPEC = SpecSide(EDITION.name)
ONE_PASS = """\
SYSCALL_DEFINE2(munlock, unsigned long, from, size_t, bytes)
{
	unsigned long last, reached;
	struct vm_area_struct *vma, *before;
	int error = 0;

	from = untagged_addr(from);
	bytes = PAGE_ALIGN(bytes + offset_in_page(from));
	from &= PAGE_MASK;
	last = from + bytes;
	if (mmap_write_lock_killable(current->mm))
		return -EINTR;
	error = -EINVAL;
	if (last < from)
		goto out;
	error = 0;
	if (last == from)
		goto out;
	VMA_ITERATOR(it, current->mm, from);
	vma = vma_iter_load(&it);
	error = -ENOMEM;
	if (!vma)
		goto out;
	before = vma_prev(&it);
	if (from > vma->vm_start)
		before = vma;
	reached = from;
	error = 0;
	for_each_vma_range(it, vma, last) {
		unsigned long end = min(vma->vm_end, last);

		if (vma->vm_start > reached) {
			error = -ENOMEM;
			break;
		}
		if (vma->vm_flags & VM_LOCKED && vma_supports_mlock(vma)) {
			vma = vma_modify_flags(&it, before, vma, reached, end, vma->vm_flags & ~VM_LOCKED);
			if (IS_ERR(vma)) {
				error = PTR_ERR(vma);
				break;
			}
			vm_flags_clear(vma, VM_LOCKED);
		}
		before = vma;
		reached = vma_iter_end(&it);
	}
	if (!error && reached < last)
		error = -ENOMEM;
out:
	mmap_write_unlock(current->mm);
	return error;
}
"""


def tried(first: Side, second: Side, subject: str = "mseal", seconds: float = 200) -> Lockstep:
    return in_lockstep(SUBJECTS[subject], EDITION, first, second, time.process_time() + seconds)


def one_pass(*pairs: tuple[str, str]) -> CSide:
    text = ONE_PASS
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return CSide("the C", source_of(text, "mm/mlock.c"))


@pytest.mark.slow
def test_a_loop_is_proved_equal_to_its_pass_and_the_verdict_says_any_number() -> None:
    found = compare(SUBJECTS["munlock"], EDITION, SPEC, one_pass(), Limits(3, 60, 200))
    assert found.verdict == "equal, any number of VMAs", found.proof
    assert found.proof is not None and found.proof.cuts > 0
    assert found.vmas == 1  # more need not be explored then


TURNED = ("if (vma->vm_start > reached) {", "if (!(reached >= vma->vm_start)) {")
ANOTHER_LOOP = (
    "for_each_vma_range(it, vma, last) {",
    "for (;;) {\n\t\tvma = vma_find(&it, last);\n\t\tif (!vma)\n\t\t\tbreak;",
)


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [(TURNED,), (ANOTHER_LOOP,)], ids=["a condition turned", "a loop of another kind"])
def test_two_ways_to_write_a_loop_are_proved_equal(pairs: tuple[tuple[str, str], ...]) -> None:
    found = tried(one_pass(), one_pass(*pairs), "munlock")
    assert found.proved, found.why


@pytest.mark.slow
def test_two_loops_one_behind_the_other_are_proved_equal() -> None:
    found = tried(SPEC, CSide("the C", source_of(MSEAL)))
    assert found.proved, found.why


OF_THE_BODY = [n for n in HARMFUL if not any(word in n for word in ("flags", "#ifdef", "is cut"))]
"""The argument stage is compared by itself."""


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_THE_BODY)
def test_no_danger_is_proved_away(name: str) -> None:
    pairs, _ = HARMFUL[name]
    assert not tried(SPEC, CSide("the C", source_of(changed(*pairs)))).proved


LATE = {
    "ends after seven": (
        ("\tint error = 0;\n\n\tfrom =", "\tint error = 0, turns = 0;\n\n\tfrom ="),
        ("\t\tif (vma->vm_start > reached)", "\t\tif (++turns > 7)\n\t\t\tbreak;\n\t\tif (vma->vm_start > reached)"),
    ),
    "the fourth is passed over": (
        ("\tint error = 0;\n\n\tfrom =", "\tint error = 0;\n\tunsigned long turns = 0;\n\n\tfrom ="),
        ("if (vma->vm_flags & VM_LOCKED", "turns++;\n\t\tif (turns != 4 && vma->vm_flags & VM_LOCKED"),
    ),
    "remembers the first VMA": (
        ("*vma, *before;", "*vma, *before, *first = NULL;"),
        ("\t\tbefore = vma;\n\t\treached", "\t\tif (!first)\n\t\t\tfirst = vma;\n\t\tbefore = first;\n\t\treached"),
    ),
    "a gap before the third is none": (
        ("\tint error = 0;\n\n\tfrom =", "\tint error = 0;\n\tbool gaps = true;\n\n\tfrom ="),
        ("if (vma->vm_start > reached) {", "if (gaps && vma->vm_start > reached) {"),
        ("\t\tbefore = vma;\n\t\treached", "\t\tgaps = before == vma;\n\t\tbefore = vma;\n\t\treached"),
    ),
    "an address is remembered": (
        ("\tunsigned long last, reached;", "\tunsigned long last, reached, second = 0;"),
        ("\t\tbefore = vma;\n\t\treached",
         "\t\tif (!second)\n\t\t\tsecond = vma->vm_end;\n\t\telse if (vma->vm_start > second)"
         "\n\t\t\tbreak;\n\t\tbefore = vma;\n\t\treached"),
    ),
    "what another one follows is marked": (
        ("*vma, *before;", "*vma, *before, *next;"),
        ("\t\t\tvm_flags_clear(vma, VM_LOCKED);",
         "\t\t\tvm_flags_clear(vma, VM_LOCKED);\n\t\t\tnext = find_vma(current->mm, vma->vm_end);"
         "\n\t\t\tif (next && next->vm_start < last)\n\t\t\t\tvm_flags_set(vma, VM_DONTCOPY);"),
    ),
    "ends where another one follows": (
        ("*vma, *before;", "*vma, *before, *next;"),
        ("\t\treached = vma_iter_end(&it);",
         "\t\treached = vma_iter_end(&it);\n\t\tnext = find_vma(current->mm, reached);"
         "\n\t\tif (next && next->vm_start == reached && reached < last) {"
         "\n\t\t\treached = last;\n\t\t\tbreak;\n\t\t}"),
    ),
    "changes the last VMA once more": (
        ("\tif (!error && reached < last)",
         "\tif (!error)\n\t\tvm_flags_set(before, VM_DONTCOPY);\n\tif (!error && reached < last)"),
    ),
}  # fmt: skip
"""C that is right for the first VMAs of a range, and wrong behind them."""
SAID = "ends after seven"
"""The one of which the verdict is asked too."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LATE if name != SAID])
def test_what_goes_wrong_late_is_not_proved(name: str) -> None:
    found = tried(SPEC, one_pass(*LATE[name]), "munlock")
    assert not found.proved
    assert found.why


@pytest.mark.slow
def test_where_there_is_no_proof_the_bound_is_said_and_why() -> None:
    found = compare(SUBJECTS["munlock"], EDITION, SPEC, one_pass(*LATE[SAID]), Limits(2, 60, 60))
    assert found.verdict == "equal up to 2 VMAs"
    assert found.proof is not None and found.proof.why
