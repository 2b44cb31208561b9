# SPDX-License-Identifier: MIT
"""`sealspec review`: exit codes, documents, and what is said of a bad input. The C is ours."""

from __future__ import annotations

import difflib
import itertools
import json
import os
import re
import subprocess
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from checker.documents.patches import PatchReview, schemas
from checker.source.judge import compare
from reports.cli import main
from reports.review_text import review_lines
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


def changed_line(result: Any) -> str:
    """The line of the patch that a result of SARIF is at."""
    place = result["locations"][0]["physicalLocation"]
    assert "uriBaseId" not in place["artifactLocation"]
    uri = place["artifactLocation"]["uri"]
    return Path(uri.removeprefix("file://")).read_text("utf-8").split("\n")[place["region"]["startLine"] - 1]


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
    headers = (
        "From: A <a@example.org>\nSubject: [PATCH] mm: s\u00e9al\n more\nMessage-ID: <1@example.org>\n\ntext\n---\n"
    )
    patch = put(tmp_path, headers + change("return seen < to;", "return false;"))
    main(["review", patch, "--tree", tree_of(tmp_path), *FAST, "--out", str(tmp_path / "out")])
    mail = (tmp_path / "out" / "review.eml").read_text("ascii").split("\n")
    assert str(make_header(decode_header(mail[0]))) == "Subject: Re: [PATCH] mm: s\u00e9al more"
    assert mail[1] == "In-Reply-To: <1@example.org>"
    body = mail[mail.index("") :]
    assert max(len(line) for line in body if "/" not in line) <= 72
    sarif = json.loads((tmp_path / "out" / "review.sarif").read_text("utf-8"))
    (result,) = sarif["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("differs", "error")
    assert changed_line(result) == "+\treturn false;"
    place = result["relatedLocations"][0]["physicalLocation"]
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


NO_VMA = ("-n", "0", *FAST[2:])
HOLE, NO_HOLE = "return seen < to;", "return false;"


def diff(old: str, new: str) -> str:
    """A patch from one text of the file to the next."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "a/mm/mseal.c", "b/mm/mseal.c", lineterm="")
    return "\n".join(lines) + "\n"


def mail_with(subject: str, body: str, number: int = 1) -> str:
    """A mail of an mbox."""
    head = f"From git@z Thu Jan  1 00:00:00 1970\nFrom: A <a@example.org>\nSubject: {subject}\n"
    return f"{head}Message-ID: <{number}@example.org>\n\ntext\n---\n{body}-- \n2.43.0\n\n"


def series_of(*texts: str) -> list[str]:
    """Mails that lead from one text to the next."""
    steps = itertools.pairwise(texts)
    return [mail_with(f"[PATCH {n}/{len(texts) - 1}] step {n}", diff(*two), n) for n, two in enumerate(steps, 1)]


COMMENTED = MSEAL.replace("int error = 0;", "int error = 0; /* so far */")
WORSE = COMMENTED.replace(HOLE, NO_HOLE)


def test_the_patch_of_a_series_that_makes_the_difference_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mbox has its cover letter last, and its patches the wrong way round."""
    mails = series_of(MSEAL, COMMENTED, WORSE)
    cover = mail_with("[PATCH 0/2] all", " mm/mseal.c | 2 +-\n", 9)
    mbox, out = put(tmp_path, "".join([*reversed(mails), cover]), "s.mbx"), tmp_path / "out"
    assert main(["review", mbox, "--tree", tree_of(tmp_path), *NO_VMA, "--out", str(out)]) == 1
    said = capsys.readouterr().out
    assert re.search(r"patch 1/2: \[PATCH 1/2\] step 1\n +it touches no call that is judged\n", said)
    assert re.search(r"patch 2/2: \[PATCH 2/2\] step 2\n +mseal .*differs; it changes for the worse\n", said)
    assert "differs: mseal (patch 2/2)" in said and "bisects" not in said
    assert said.count("the old C: -1 ENOMEM") == 1
    document = json.loads((out / "review.json").read_text("utf-8"))
    jsonschema.validate(document, json.loads((SCHEMAS / "patch-review.json").read_text("utf-8")))
    series = PatchReview.model_validate(document).series
    assert [(p.n, p.of, p.subject, p.message_id) for p in series] == [
        (1, 2, "[PATCH 1/2] step 1", "1@example.org"),
        (2, 2, "[PATCH 2/2] step 2", "2@example.org"),
    ]
    assert [[s.verdict for s in p.review.subjects] for p in series if p.review] == [[], ["differs"]]
    mail = (out / "review.eml").read_text("ascii")
    assert mail.startswith("Subject: Re: [PATCH 0/2] all\nIn-Reply-To: <9@example.org>\n")
    assert "patch 2/2: [PATCH 2/2] step 2" in mail


def test_a_patch_is_judged_on_top_of_those_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = WORSE.replace("/* so far */", "/* so far, none */")
    mbox = put(tmp_path, "".join(series_of(MSEAL, WORSE, later)), "s.mbx")
    assert main(["review", mbox, "--tree", tree_of(tmp_path), *NO_VMA]) == 1
    said = capsys.readouterr().out
    assert "differs: mseal (patch 1/2)" in said
    assert re.search(r"patch 2/2: \[PATCH 2/2\] step 2\n +it touches no call that is judged\n", said)


def test_what_is_worse_in_the_middle_of_a_series_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [put(tmp_path, text, f"{n}.patch") for n, text in enumerate(series_of(MSEAL, WORSE, COMMENTED), 1)]
    out = tmp_path / "out"
    assert main(["review", *names, "--tree", tree_of(tmp_path), *NO_VMA, "--out", str(out)]) == 1
    said = capsys.readouterr().out
    assert "patch 1/2, not all patches together: mseal: differs, for the worse" in said
    assert "the old C: -1 ENOMEM" in said
    review = PatchReview.model_validate_json((out / "review.json").read_text("utf-8"))
    assert main(["run", str(out / "scenario-patch-1-mseal-1.json")]) == 0
    assert review.subjects == () and review.whole_is_fine and not review.fine
    assert [p.label for p in review.open_patches] == ["patch 1/2"]


def test_a_helper_that_comes_a_patch_before_its_call_is_fine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    helper = "static bool is_less(unsigned long a, unsigned long b)\n{\n\treturn a < b;\n}\n\n"
    added = MSEAL.replace("/* A hole", helper + "/* A hole")
    mbox = put(tmp_path, "".join(series_of(MSEAL, added, added.replace(HOLE, "return is_less(seen, to);"))))
    assert main(["review", mbox, "--tree", tree_of(tmp_path), *NO_VMA]) == 0
    assert "not covered" not in capsys.readouterr().out


def test_a_series_without_a_tree_is_judged_as_a_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patches = [put(tmp_path, as_patch(MSEAL), "1.patch"), put(tmp_path, diff(MSEAL, COMMENTED), "2.patch")]
    out = tmp_path / "r.json"
    assert main(["review", *patches, *NO_VMA, "--json", str(out)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 patches: the series is judged as a whole only: without a tree, functions must stand whole" in said
    series = PatchReview.model_validate_json(out.read_text("utf-8")).series
    assert [(p.n, p.of, p.review) for p in series] == [(1, 2, None), (2, 2, None)]


def test_a_patch_in_a_series_that_does_not_apply_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = series_of(MSEAL, COMMENTED, WORSE)
    mbox = put(tmp_path, first + second.replace("-\t" + HOLE, "-\treturn 7;"), "s.mbx")
    assert main(["review", mbox, "--tree", tree_of(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    (line,) = [n for n, text in enumerate(Path(mbox).read_text("utf-8").split("\n"), 1) if "return 7" in text]
    m = re.search(
        r"s\.mbx:(\d+): does not apply: hunk 1: the lines around mm/mseal\.c:\d+ differ \(patch 2/2\)", told.err
    )
    assert m is not None and 0 < line - int(m[1]) < 6


ONE, TWO = series_of(MSEAL, COMMENTED, WORSE)
BAD_SERIES = {
    "twice": (ONE + TWO + ONE, "s.mbx:43: the same patch as s.mbx:1"),
    "a mail without its diff": (ONE + mail_with("[PATCH 2/2] b", "ZGlmZg==\n"), "patch 2/2 has no unified diff"),
    "a cover letter alone": (mail_with("[PATCH 0/2] all", ""), "not a patch"),
}


@pytest.mark.parametrize("name", BAD_SERIES)
def test_a_bad_series_is_told_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, what = BAD_SERIES[name]
    put(tmp_path, text, "s.mbx")
    monkeypatch.chdir(tmp_path)
    assert main(["review", "s.mbx", "--tree", tree_of(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and what in told.err


def test_an_interrupted_series_has_what_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at the second patch."""
    left = [1, 1]

    def until_interrupted(*arguments: Any) -> Any:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return compare(*arguments)

    monkeypatch.setattr("checker.source.review.compare", until_interrupted)
    mbox, out = put(tmp_path, "".join(series_of(MSEAL, WORSE, MSEAL, COMMENTED))), tmp_path / "r.json"
    assert main(["review", mbox, "--tree", tree_of(tmp_path), *NO_VMA, "--json", str(out)]) == 130
    said = capsys.readouterr().out
    assert "differs; it changes for the worse" in said and "not judged: interrupted before it" in said
    review = PatchReview.model_validate_json(out.read_text("utf-8"))
    assert not review.complete
    assert [p.review and p.review.complete for p in review.series] == [True, False, None]


def test_an_answer_with_a_patch_in_it_is_left_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be an alternative; judged is the series, of one patch here."""
    (one,) = series_of(MSEAL, COMMENTED)
    answer = mail_with("Re: [PATCH 1/1] step 1", diff(MSEAL, WORSE), 2)
    out = tmp_path / "r.json"
    assert main(["review", put(tmp_path, one + answer), "--tree", tree_of(tmp_path), "--json", str(out)]) == 0
    assert "Re: [PATCH 1/1] step 1: an answer" in " ".join(capsys.readouterr().out.split())
    (patch,) = PatchReview.model_validate_json(out.read_text("utf-8")).series
    assert (patch.label, patch.review, patch.why) == (
        "patch 1/1",
        None,
        "it is the only one: the review itself is of it",
    )


def sarif_of(folder: Path, text: str, tree: str | None, *arguments: str) -> Any:
    """The results of a review."""
    given = ["--tree", tree] if tree else []
    main(["review", put(folder, text, "s.mbx"), *given, *NO_VMA, "--out", str(folder / "out"), *arguments])
    sarif = json.loads((folder / "out" / "review.sarif").read_text("utf-8"))
    assert all("relatedLocations" in r for r in sarif["runs"][0]["results"])
    return sarif["runs"][0]["results"]


def test_sarif_is_at_lines_of_the_patch_that_no_later_patch_moves(tmp_path: Path) -> None:
    """Lines of the tree are two behind where the patches take them to be, and the second moves those of the first."""
    worse = MSEAL.replace(HOLE, NO_HOLE)
    later = worse.replace("\t\tseen = vma->vm_end;", "\n\t\t/* on */\n\t\tseen = vma->vm_end;")
    tree = tree_of(tmp_path, "/* one */\n/* two */\n" + MSEAL)
    (result,) = sarif_of(tmp_path, "".join(series_of(MSEAL, worse, later)), tree)
    assert changed_line(result) == "+\treturn false;"


def test_sarif_is_at_the_line_that_is_not_covered(tmp_path: Path) -> None:
    text = MSEAL.replace("int error = 0;", "int error = unheard_of();").replace("seen = from;", "seen = from; /* ! */")
    results = sarif_of(tmp_path, diff(MSEAL, text), tree_of(tmp_path))
    assert {changed_line(r) for r in results} == {"+\tint error = unheard_of();"}


def test_sarif_of_what_was_not_covered_before_is_in_the_tree(tmp_path: Path) -> None:
    old = MSEAL.replace("int error = 0;", "int error = unheard_of();")
    main(["review", put(tmp_path, diff(old, MSEAL)), "--tree", tree_of(tmp_path, old), *NO_VMA, "--out", str(tmp_path)])
    (result,) = json.loads((tmp_path / "review.sarif").read_text("utf-8"))["runs"][0]["results"][:1]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "mm/mseal.c"


def test_sarif_of_a_line_that_is_taken_away_is_at_that(tmp_path: Path) -> None:
    text = MSEAL.replace("\tif (!PAGE_ALIGNED(addr))\n\t\treturn -EINVAL;\n", "").replace(
        "static bool has", "int limit = 7;\nstatic bool has"
    )
    results = sarif_of(tmp_path, diff(MSEAL, text), tree_of(tmp_path))
    assert [changed_line(r) for r in results] == ["-\tif (!PAGE_ALIGNED(addr))", "+int limit = 7;"]


def test_sarif_has_what_is_so_in_the_middle_of_a_series(tmp_path: Path) -> None:
    (result,) = sarif_of(tmp_path, "".join(series_of(MSEAL, WORSE, COMMENTED)), tree_of(tmp_path))
    assert result["message"]["text"].startswith("patch 1/2, not all patches together: mseal")
    assert changed_line(result) == "+\treturn false;"


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def repository(folder: Path, *texts: str) -> str:
    """A repository with a commit of each text of the file, each of which has a tag: c0, c1."""
    tree = Path(tree_of(folder))
    git(tree, "init")
    for n, text in enumerate(texts):
        (tree / "mm" / "mseal.c").write_text(text)
        git(tree, "add", "mm")
        git(tree, "commit", "-m", f"step {n}\n\nFrom x Thu Jan  1 00:00:00 1970\n")
        git(tree, "tag", f"c{n}")
    return str(tree)


def test_commits_are_a_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is checked out, and what the user has configured, is of no account."""
    tree = repository(tmp_path, MSEAL, COMMENTED, WORSE)
    git(Path(tree), "config", "diff.noprefix", "true")
    git(Path(tree), "config", "format.coverLetter", "true")
    out = tmp_path / "out"
    assert main(["review", "--rev", "c0..c2", "--tree", tree, *NO_VMA, "--out", str(out)]) == 1
    assert "differs: mseal (patch 2/2)" in capsys.readouterr().out
    review = PatchReview.model_validate_json((out / "review.json").read_text("utf-8"))
    assert [p.subject for p in review.series] == ["[PATCH 1/2] step 1", "[PATCH 2/2] step 2"]
    assert review.tree.startswith(f"{tree} at ")
    (result,) = json.loads((out / "review.sarif").read_text("utf-8"))["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "mm/mseal.c"


BAD_REVISIONS = {
    "--output=x..HEAD": "no commit has a name that begins with -",
    "c0..--output=x": "no commit has a name that begins with -",
    "c0": "not a range of commits",
    "c0...c1": "not a range of commits",
    "c0..c9": "no commit c9",
    "c1..c1": "0 commits",
    "c0..merged": "there are merges",
}


def test_a_bad_range_of_commits_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = repository(tmp_path, MSEAL, COMMENTED)
    git(Path(tree), "checkout", "-b", "side", "c0")
    git(Path(tree), "commit", "--allow-empty", "-m", "side")
    git(Path(tree), "merge", "c1")
    git(Path(tree), "tag", "merged")
    (tmp_path / "empty").mkdir()

    def told(*arguments: str) -> str:
        assert main(["review", *arguments]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1
        return said.err

    for rev, what in BAD_REVISIONS.items():
        assert what in told(f"--rev={rev}", "--tree", tree)
    assert "needs --tree" in told("--rev", "c0..c1")
    assert "one of them" in told("--rev", "c0..c1", "--tree", tree, "x.patch")
    assert "review what?" in told()
    assert "not a git repository" in told("--rev", "c0..c1", "--tree", str(tmp_path / "empty"))
    assert "no such folder" in told("--rev", "c0..c1", "--tree", "/nowhere")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert "no git on PATH" in told("--rev", "c0..c1", "--tree", tree)


def test_a_last_patch_that_undoes_what_was_mended_is_told() -> None:
    """As with verdicts of a longer run."""

    def judged(change: str) -> dict[str, Any]:
        subject = {"name": "mseal", "entry": "f", "file": "mm/mseal.c", "line": 1, "verdict": "differs"}
        return blank | {"subjects": [subject | {"change": change}]}

    blank: dict[str, Any] = {"patches": ["s.mbx"], "tree": "t", "configuration": "c", "symbols": {}, "complete": True}
    blank |= {name: [] for name in ("subjects", "advice", "functions", "loose", "aside", "assumed")} | {"seconds": 1}
    patch = {"of": 2, "name": "s.mbx", "line": 1, "subject": "", "message_id": ""}
    series = [patch | {"n": n, "review": judged(change)} for n, change in ((1, "mended"), (2, "worse"))]
    review = PatchReview.model_validate_json(json.dumps(blank | {"series": series}))
    assert review.whole_is_fine and not review.fine
    said = " ".join(" ".join(review_lines(review, 100)).split())
    assert "patch 2/2, not all patches together: mseal: differs, for the worse fine with all patches" in said
