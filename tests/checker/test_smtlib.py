# SPDX-License-Identifier: MIT
"""Goals as text: equal for equal facts, and read back as what they were."""

from __future__ import annotations

import random

import pytest
import z3

from checker.cores import CoreFinder, Cutter, NoCore, answer_to
from checker.smtlib import NotWritable, Writer
from checker.sources import Source

A, B, C = z3.Ints("a b c")
MAPPED = z3.Function("mapped", z3.IntSort(), z3.BoolSort())
FAILS = z3.Bool("fails(no memory)")


def facts(order: random.Random) -> list[z3.BoolRef]:
    """The same facts, made and given in some order."""

    def shuffled(*terms: z3.ExprRef) -> list[z3.ExprRef]:
        return order.sample(terms, len(terms))

    total = z3.Sum(*shuffled(A, B, C))
    made = [z3.And(*shuffled(MAPPED(total), A < B, z3.Not(FAILS))), z3.Or(*shuffled(total == 3, B <= -4)), A != C]
    return order.sample(made, len(made))


def test_equal_facts_have_equal_texts_in_whatever_order_they_come() -> None:
    texts = {Writer().text(facts(random.Random(seed))) for seed in range(20)}
    assert len(texts) == 1


def test_a_text_says_what_the_facts_say() -> None:
    for term, answer in ((A + B > A + 3, "sat"), (z3.And(A < B, B < A), "unsat")):
        assert answer_to(Writer().text([term]), 1_000) == answer


def test_a_word_is_written_with_its_width() -> None:
    word = z3.BitVec("w", 64)
    wrong = z3.And(z3.ULT(word + 4095, word), word & 0xFFF == 0, z3.Extract(63, 12, word) == 0)
    text = Writer().text([wrong])
    assert "(set-logic QF_BV)" in text and answer_to(text, 5_000) == "unsat"
    assert answer_to(Writer().text([word == 1, z3.ULT(word, z3.BitVecVal(1 << 63, 64))]), 5_000) == "sat"


def test_names_that_are_no_symbols_are_quoted_and_shared_terms_are_written_once() -> None:
    big = A * 2 + B
    text = Writer().text([big > 3, MAPPED(big), z3.Not(FAILS)])
    assert "|fails(no memory)|" in text
    assert text.count("(* 2 a)") + text.count("(* a 2)") == 1


def test_a_function_that_no_text_can_have_is_refused() -> None:
    with pytest.raises(NotWritable):
        Writer().text([z3.String("s") == z3.StringVal("x")])
    with pytest.raises(NotWritable, match="begins with"):
        Writer().text([z3.Bool("shared!0")])


# parts and cores


def test_a_conclusion_is_cut_into_parts_that_keep_its_condition() -> None:
    b_is_positive = B > 0
    sources = {b_is_positive.get_id(): (b_is_positive, Source("clause", "b is positive"))}
    cutter = Cutter(Writer(), sources)
    parts = cutter.parts(z3.Or(z3.Not(FAILS), z3.And(A > 0, b_is_positive)), Source("verb", "map"))
    assert [str(part.source) for part in parts] == ["contract of map", "well-formed: b is positive"]
    solver = z3.Solver()
    solver.add(*(part.term for part in parts), FAILS, z3.Or(A <= 0, B <= 0))
    assert solver.check() == z3.unsat


def test_a_core_has_only_what_is_needed() -> None:
    writer = Writer()
    cutter = Cutter(writer)
    several = [part for fact in (A < B, B < C, MAPPED(A), FAILS) for part in cutter.parts(fact)]
    core = CoreFinder(writer, 1_000).find(several, cutter.parts(C < A))
    assert {str(part.term) for part in core.parts} == {"a < b", "b < c", "c < a"}
    assert answer_to(core.text, 1_000) == "unsat"


def test_facts_that_do_not_contradict_one_another_have_no_core() -> None:
    writer = Writer()
    cutter = Cutter(writer)
    with pytest.raises(NoCore, match="finds a model"):
        CoreFinder(writer, 1_000).find(cutter.parts(A < B), cutter.parts(B < C))


def test_a_core_serves_no_set_that_lacks_one_of_its_facts() -> None:
    writer = Writer()
    cutter, finder = Cutter(writer), CoreFinder(writer, 1_000)
    first, second = cutter.parts(A < B), cutter.parts(B < C)
    core = finder.find([*first, *second], cutter.parts(C < A))
    assert finder.find([*first, *second, *cutter.parts(FAILS)], cutter.parts(C < A)) == core
    with pytest.raises(NoCore):
        finder.find(first, cutter.parts(C < A))


def test_a_core_that_is_not_unsatisfiable_when_it_is_read_anew_is_none() -> None:
    writer = Writer()
    parts = Cutter(writer).parts(A < B)
    with pytest.raises(NoCore, match="the core is sat when it is decided again"):
        CoreFinder(writer, 1_000).decided_again(parts)
