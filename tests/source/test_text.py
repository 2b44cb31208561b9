# SPDX-License-Identifier: MIT
"""Cutting functions out of C text: `#if`, comments, macros, line numbers; and reading patches."""

from __future__ import annotations

from pathlib import Path

import pytest

from checker.source.config import Config, from_file
from checker.source.errors import BadPatch, NotCovered
from checker.source.macros import expand
from checker.source.patch import FilePatch, Text, apply, read_patch
from checker.source.slices import functions
from checker.source.text import Macro, live
from tests.source.own_c import MSEAL, as_patch, source_of

TEXT = """\
/* int no(void) { } */
#define TWICE(x) \\
	((x) + \\
	(x))
#ifdef CONFIG_64BIT
int one(void)
{
	return TWICE(1); // {
}
#else
int one(void)
{
	return 2;
}
#endif
static const struct ops table = { .open = one };
#if IS_ENABLED(CONFIG_SHMEM) && !defined(CONFIG_NOMMU)
static inline char *
two(struct a *p,
	int q) __must_hold(&p->lock)
{
	if (q) {
		return "}";
	}
	return '{' ? p->x : 0;
}
#endif
SYSCALL_DEFINE2(three, int, a, int, b)
{
	return a;
}
#ifdef CONFIG_UNHEARD_OF
int four(void)
{
	return 4;
}
#endif
"""


def test_functions_are_found_with_their_lines() -> None:
    found = {cut.name: cut for cut in functions(live(TEXT, Config()), "x.c")}
    assert [(n, c.line, c.last, bool(c.doubt)) for n, c in found.items()] == [
        ("one", 6, 9, False),
        ("two", 18, 26, False),
        ("sys_three", 28, 31, False),
        ("four", 33, 36, True),
    ]
    assert "return TWICE(1);" in found["one"].text


def test_a_config_file_decides(tmp_path: Path) -> None:
    (tmp_path / ".config").write_text("CONFIG_UNHEARD_OF=y\n# CONFIG_64BIT is not set\nCONFIG_SHMEM=m\n")
    config = from_file(tmp_path / ".config")
    found = {cut.name: cut for cut in functions(live(TEXT, config), "x.c")}
    assert found["one"].line == 11 and not found["four"].doubt
    assert config.asked["CONFIG_64BIT"] is False


def test_a_piece_that_begins_inside_an_if_is_in_doubt() -> None:
    one, two, three = (f"int {name}(void)\n{{\n\treturn 1;\n}}\n" for name in ("one", "two", "three"))
    piece = f"{one}#else\n{two}#endif\n{three}"
    found = {cut.name: bool(cut.doubt) for cut in functions(live(piece, Config()), "x.c")}
    assert found == {"one": True, "two": True, "three": False}


def test_a_piece_that_begins_inside_a_function_or_comment() -> None:
    piece = " * the end of a comment\n */\n\tif (x) {\n\t\ty();\n\t}\n}\n\nint f(void)\n{\n\treturn 1;\n}\n"
    piece += "\nint g(void)\n{\n"
    assert [cut.name for cut in functions(live(piece, Config()), "x.c", 100)] == ["f"]


def test_macros_keep_lines() -> None:
    macros = {"F": Macro("F", ("a", "b"), "((a) + (b))"), "N": Macro("N", None, "F(1, N)")}
    assert expand("x = F(g(1,\n2), 3);\ny = N;", macros) == "x = ((g(1, 2)) + (3))\n;\ny = ((1) + (N));"
    with pytest.raises(NotCovered, match="1 arguments"):
        expand("F(1)", macros)


def test_a_name_of_the_table_is_never_a_macro() -> None:
    source = source_of("#define vma_prev(x) NULL\nint f(void)\n{\n\treturn vma_prev(it) != NULL;\n}\n")
    cut = source.find("f")
    assert cut is not None and "vma_prev ( it )" in " ".join(
        source.compiled(cut).replace("(", " ( ").replace(")", " ) ").split()
    )


def test_white_space_and_comments_change_no_function() -> None:
    a, b = source_of(MSEAL), source_of(MSEAL.replace("return seen < to;", "/* all? */\n\treturn  seen <  to;"))
    mine, other = a.find("has_hole"), b.find("has_hole")
    assert mine is not None and other is not None
    assert a.compiled(mine) == b.compiled(other)


# patches


def applied(old: str, file: FilePatch) -> list[tuple[str, int]]:
    """The lines after a patch, and from which line of it each is (0: from none)."""
    new = apply(Text.of(old), file)
    assert new is not None
    return [(x, origin.line if origin else 0) for x, origin in zip(new.lines, new.origins, strict=True)]


def test_a_patch_is_read_and_applied() -> None:
    old = "".join(f"line {i}\n" for i in range(30))
    patch = (
        "From: somebody\n\nwords\n---\ndiff --git a/mm/x.c b/mm/x.c\n--- a/mm/x.c\n+++ b/mm/x.c\n"
        "@@ -10,4 +10,4 @@ int f(void)\n line 9\n-line 10\n+line ten\n line 11\n line 12\n-- \n2.47\n"
    )
    (file,) = read_patch(patch, "p")
    assert (file.path, file.hunks[0].section) == ("mm/x.c", "int f(void)")
    assert applied(old, file)[10] == ("line ten", 11)
    assert applied("one more\n" + old, file)[11] == ("line ten", 11)
    with pytest.raises(BadPatch, match=r"p:8: does not apply: hunk 1: the lines around mm/x.c:10 differ"):
        apply(Text.of(old.replace("line 11", "line eleven")), file)


def test_a_patch_that_creates_a_file() -> None:
    (file,) = read_patch(as_patch(MSEAL), "p")
    assert file.created
    text = apply(None, file)
    assert text is not None and "\n".join(text.lines) == MSEAL
    with pytest.raises(BadPatch, match="exists already"):
        apply(Text.of("x"), file)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not a patch"),
        ("hello\n", "not a patch"),
        ("--- a/x\n+++ b/../../etc/passwd\n@@ -1 +1 @@\n-a\n+b\n", "outside the tree"),
        ("--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n", "outside the tree"),
        ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n", "ends within a hunk"),
        ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n?b\n c\n", "not a line of a hunk"),
        ("@@ -1 +1 @@\n-a\n+b\n", "without the names"),
        ("--- /dev/null\n+++ /dev/null\n@@ -0,0 +1 @@\n+b\n", "neither before nor after"),
    ],
)
def test_what_is_no_patch_is_told_in_a_line(text: str, what: str) -> None:
    with pytest.raises(BadPatch, match=what) as caught:
        read_patch(text, "p")
    assert "\n" not in str(caught.value)
