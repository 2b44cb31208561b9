# SPDX-License-Identifier: MIT
"""Which patches a series has, in which order, and by which numbers they are called."""

from __future__ import annotations

import time

import pytest

from checker.source.errors import BadPatch
from checker.source.series import read_series

BEGIN = "From git@z Thu Jan  1 00:00:00 1970\n"


def mail(subject: str, line: str = "") -> str:
    """A mail with a patch that adds the line; without one a mail that has no patch."""
    diff = f"---\n--- a/mm/x.c\n+++ b/mm/x.c\n@@ -1 +1,2 @@\n one\n+{line}\n-- \n2.43\n\n" if line else "words\n\n"
    return f"{BEGIN}Subject: {subject}\n\n{diff}"


def order(*texts: str) -> list[tuple[str, str]]:
    """Of each patch, what it adds, and what it is called."""
    series = read_series((f"{n}.mbx", text) for n, text in enumerate(texts, 1))
    return [(p.files[0].hunks[0].lines[1], p.label) for p in series.patches]


def test_an_mbox_is_in_the_order_of_its_subjects() -> None:
    text = mail("[v2,02/11] b", "b") + mail("[RFC][PATCH v2 10/11] c", "c") + mail("[PATCH v2 01/11] a", "a")
    assert order(text) == [("+a", "patch 1/11"), ("+b", "patch 2/11"), ("+c", "patch 10/11")]


def test_an_mbox_of_which_not_all_are_numbered_is_as_it_stands() -> None:
    text = mail("[PATCH 2/2] b", "b") + mail("[PATCH] part [1/2] of it", "x") + mail("[PATCH 1/2] a", "a")
    assert order(text) == [("+b", "patch 1/3"), ("+x", "patch 2/3"), ("+a", "patch 3/3")]


def test_subjects_may_be_encoded_and_lines_end_as_on_windows() -> None:
    text = mail("=?utf-8?q?=5BPATCH_2/2=5D?=\n =?utf-8?q?_=C3=A9?=", "b") + mail("[PATCH 1/2] a", "a")
    series = read_series([("x", text.replace("\n", "\r\n"))])
    assert [p.mail.subject for p in series.patches] == ["[PATCH 1/2] a", "[PATCH 2/2] \u00e9"]
    assert series.patches[1].files[0].hunks[0].lines == (" one", "+b")


@pytest.mark.parametrize("subject", ["=?nothing?q?a?=", "=?utf-8?b?a?=", "=?utf-8?q?=ff?="])
def test_a_subject_that_is_encoded_wrong_is_no_error(subject: str) -> None:
    assert len(read_series([("x", mail(subject, "a"))]).patches) == 1


def test_files_are_in_the_order_given() -> None:
    assert order(mail("[PATCH 2/2] b", "b"), mail("[PATCH 1/2] a", "a")) == [("+b", "patch 1/2"), ("+a", "patch 2/2")]
    assert order(mail("[PATCH 2/3] b", "b"), mail("[PATCH 3/3] c", "c")) == [("+b", "patch 2/3"), ("+c", "patch 3/3")]


def test_a_cover_letter_in_a_file_of_its_own_is_what_is_answered() -> None:
    series = read_series([("0", mail("[PATCH 0/1] all")), ("1", mail("[PATCH 1/1] a", "a"))])
    assert series.head.subject == "[PATCH 0/1] all" and len(series.patches) == 1 and series.aside == []


def test_a_file_without_a_patch_is_refused_beside_one_with_a_patch() -> None:
    with pytest.raises(BadPatch, match=r"^2: not a patch"):
        read_series([("1", mail("[PATCH] a", "a")), ("2", "words\n")])


def test_lines_are_those_of_the_file() -> None:
    text = mail("[PATCH 1/2] a", "a") + mail("[PATCH 2/2] b", "b")
    (hunk,) = read_series([("x", text)]).patches[1].files[0].hunks
    assert [text.split("\n")[n - 1] for n in hunk.numbers] == [" one", "+b"]
    assert text.split("\n")[hunk.at - 1].startswith("@@ ")


def test_very_many_mails_are_read_in_time_that_grows_with_their_number() -> None:
    text = "".join(mail(f"[PATCH] {n}", str(n)) for n in range(20_000))
    began = time.process_time()
    assert len(read_series([("x", text)]).patches) == 20_000
    assert time.process_time() - began < 10
