# SPDX-License-Identifier: MIT
"""`sealspec review`: exit codes, documents, and what is said of a bad input. The C is ours."""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path

import jsonschema
import pytest

from checker.documents.patches import PatchReview, schemas
from reports.cli import main
from tests.source.own_c import MSEAL, as_patch

SCHEMAS = Path(__file__).parents[2] / "docs" / "schema"
SHARED = Path(os.environ.get("MSEAL_SPEC_SHARED") or Path(__file__).parents[3] / "shared")
SEED = SHARED / "seed" / "mseal-v10-2of5.txt"
FAST = ("-n", "1", "--timeout", "60", "--prove", "0", "--edition", "v6.18")


def put(folder: Path, text: str, name: str = "a.patch") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def tree_of(folder: Path, text: str = MSEAL) -> str:
    (folder / "tree" / "mm").mkdir(parents=True)
    (folder / "tree" / "mm" / "mseal.c").write_text(text)
    return str(folder / "tree")


def change(old: str, new: str) -> str:
    """A patch of one line of the file."""
    lines = MSEAL.split("\n")
    (n,) = [i for i, line in enumerate(lines) if line.strip() == old]
    indent = lines[n][: len(lines[n]) - len(lines[n].lstrip())]
    head = f"--- a/mm/mseal.c\n+++ b/mm/mseal.c\n@@ -{n},3 +{n},3 @@\n"
    return head + f" {lines[n - 1]}\n-{lines[n]}\n+{indent}{new}\n {lines[n + 1]}\n"


def test_schemas_are_fresh() -> None:
    for name, text in schemas().items():
        assert (SCHEMAS / name).read_text("utf-8") == text, f"write {name} again: checker.documents.patches.schemas()"


def test_a_patch_that_is_read_whole_equals_its_edition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patch, out = put(tmp_path, as_patch(MSEAL)), tmp_path / "r.json"
    assert main(["review", patch, *FAST, "--json", str(out)]) == 0
    said = capsys.readouterr().out
    assert "equal up to 1 VMA" in said and "the same as: v6.18" in said
    document = json.loads(out.read_text("utf-8"))
    jsonschema.validate(document, json.loads((SCHEMAS / "patch-review.json").read_text("utf-8")))
    review = PatchReview.model_validate(document)
    assert review.fine and {f.status for f in review.functions} == {"read"}
    assert review.subjects[0].properties_agree


def test_a_harmless_change_of_a_tree_is_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patch = put(tmp_path, change("return seen < to;", "return !(to <= seen);"))
    assert main(["review", patch, "--tree", tree_of(tmp_path), *FAST]) == 0
    assert "nothing changes" in capsys.readouterr().out


def test_a_comment_touches_no_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patch = put(tmp_path, change("return seen < to;", "return seen < to; /* all of it? */"))
    assert main(["review", patch, "--tree", tree_of(tmp_path), *FAST]) == 0
    assert "touches no call" in capsys.readouterr().out


def test_a_harmful_change_has_a_scenario_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patch, folder = put(tmp_path, change("return seen < to;", "return false;")), tmp_path / "out"
    assert main(["review", patch, "--tree", tree_of(tmp_path), *FAST, "--out", str(folder)]) == 1
    said = capsys.readouterr().out
    assert "differs" in said and "the old C: -1 ENOMEM" in said
    scenario = folder / "scenario-mseal-1.json"
    assert main(["run", str(scenario)]) == 0
    assert "ENOMEM" in capsys.readouterr().out
    assert {p.name for p in folder.iterdir()} >= {"review.json", "review.txt", "scenario-mseal-1.json"}


def test_an_assumed_function_that_is_changed_is_not_covered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = "\nstatic struct vm_area_struct *vma_prev(struct vma_iterator *it)\n{\n\treturn NULL;\n}\n"
    assert main(["review", put(tmp_path, as_patch(MSEAL + extra)), *FAST]) == 1
    said = capsys.readouterr().out
    assert "vma_prev() is assumed, and the patch changes it" in said
    assert "not covered" in said


def test_what_cannot_be_read_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patch = put(tmp_path, change("return seen < to;", "return unheard_of(seen, to);"))
    assert main(["review", patch, "--tree", tree_of(tmp_path), *FAST]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"mm/mseal\.c:\d+: a call of unheard_of\(\)", said)


def test_code_outside_of_functions_is_not_covered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = MSEAL.replace("#include <linux/mm.h>\n", "#include <linux/mm.h>\nstatic int limit = 7;\n")
    assert main(["review", put(tmp_path, as_patch(text)), *FAST]) == 1
    assert "code outside of functions" in capsys.readouterr().out


BAD = {
    "no patch": ("hello", "not a patch"),
    "outside": ("--- a/mm/x.c\n+++ b/../x.c\n@@ -1 +1 @@\n-a\n+b\n", "outside the tree"),
    "zeros": ("--- a/mm/x.c\n\0", "not text"),
    "cut": ("--- a/mm/x.c\n+++ b/mm/x.c\n@@ -1,9 +1,9 @@\n a\n", "ends within a hunk"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_patch_is_told_in_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, what = BAD[name]
    assert main(["review", put(tmp_path, text)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and what in told.err


def test_a_patch_that_does_not_apply(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patch = put(tmp_path, change("return seen < to;", "return false;"))
    assert main(["review", patch, "--tree", tree_of(tmp_path, "int x;\n")]) == 2
    assert "does not apply" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["/nowhere/x.patch"], "no such file"),
        (["PATCH", "--tree", "/nowhere"], "no such folder"),
        (["PATCH", "--tree", "."], "not a kernel tree"),
        (["PATCH", "--edition", "mimmutable"], "not Linux"),
        (["PATCH", "--config", "/nowhere"], "No such file"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    arguments: list[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patch = put(tmp_path, as_patch(MSEAL))
    assert main(["review", *(patch if a == "PATCH" else a for a in arguments)]) == 2
    told = capsys.readouterr().err
    assert what in told and told.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(not SEED.is_file(), reason="the patch under review is not there (MSEAL_SPEC_SHARED)")
def test_the_patch_under_review_equals_its_edition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.json"
    main(["review", str(SEED), "-n", "2", "--timeout", "120", "--edition", "v10", "--json", str(out)])
    review = PatchReview.model_validate_json(out.read_text("utf-8"))
    assert [(s.name, s.verdict, s.equals) for s in review.subjects] == [
        ("mseal", "equal", ("v10",)),
        ("the seal test of a range", "equal", ("v10",)),
        ("the seal test of advice", "equal", ("v10",)),
    ]
    assert all(s.comparison is not None and s.comparison.any_number for s in review.subjects)
    assert review.subjects[0].properties_agree
    (test,) = review.advice
    assert test.equals == ("v10",) and len(test.harmless) == 16
    assert all(f.status == "read" for f in review.functions)
    assert all(x.file != "mm/mseal.c" for x in review.loose)


def test_the_folder_has_a_mail_and_sarif(tmp_path: Path) -> None:
    headers = "From: A <a@example.org>\nSubject: [PATCH] mm: seal\n more\nMessage-ID: <1@example.org>\n\ntext\n---\n"
    patch = put(tmp_path, headers + change("return seen < to;", "return false;"))
    main(["review", patch, "--tree", tree_of(tmp_path), *FAST, "--out", str(tmp_path / "out")])
    mail = (tmp_path / "out" / "review.eml").read_text("ascii").split("\n")
    assert mail[:2] == ["Subject: Re: [PATCH] mm: seal more", "In-Reply-To: <1@example.org>"]
    body = mail[mail.index("") :]
    assert max(len(line) for line in body if "/" not in line) <= 72
    sarif = json.loads((tmp_path / "out" / "review.sarif").read_text("utf-8"))
    (result,) = sarif["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("differs", "error")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "mm/mseal.c" and place["region"]["startLine"] == 5


def test_a_tree_says_which_edition_its_calls_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.json"
    full = "\nstatic int full(void)\n{\n\treturn current->mm->map_count + 2 > sysctl_max_map_count;\n}\n"
    tree = tree_of(tmp_path, MSEAL + full)
    assert main(["derive", "--tree", tree, "--edition", "v6.18", "--prove", "0", "--json", str(out)]) == 0
    assert "the same as: v6.18" in capsys.readouterr().out
    document = json.loads(out.read_text("utf-8"))
    jsonschema.validate(document, json.loads((SCHEMAS / "tree.json").read_text("utf-8")))
    assert [x["text"] for x in document["inequalities"]] == ["map_count + 2 > limit"]


@pytest.mark.slow
def test_what_differs_from_the_c_before_is_not_called_the_same_as_its_edition(tmp_path: Path) -> None:
    """The third VMA is not sealed: with the editions only layouts of two are compared."""
    new = MSEAL.replace("int error = 0;", "int error = 0, turns = 0;").replace(
        "\t\tif (error)\n\t\t\tbreak;", "\t\tif (error || ++turns == 2)\n\t\t\tbreak;"
    )
    lines = difflib.unified_diff(MSEAL.splitlines(), new.splitlines(), "a/mm/mseal.c", "b/mm/mseal.c", lineterm="")
    patch, out = put(tmp_path, "\n".join(lines) + "\n"), tmp_path / "r.json"
    main(["review", patch, "--tree", tree_of(tmp_path), *FAST, "-n", "3", "--json", str(out)])
    (subject,) = PatchReview.model_validate_json(out.read_text("utf-8")).subjects
    assert (subject.verdict, subject.equals_before, subject.equals) == ("differs", ("v6.18",), ())
    assert subject.comparison is not None and subject.comparison.case is not None
    assert [e.verdict for e in subject.editions] == ["equal"]
