# SPDX-License-Identifier: MIT
"""Verdicts as JUnit XML, in the form that Jenkins and its like read.

A suite for each edition, whose properties begin with what a seal guarantees and what it does not; a case for each
theorem, lemma, outcome and dropped check. What is as expected passes, and a
refutation that is expected says so in its output; a theorem that says nothing is skipped. What is not as expected is a
failure, and where nothing was decided an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from checker.version import signature
from reports.findings import cause
from reports.lead import lead_of
from reports.review import EditionFacts, Review, Theorem
from reports.strip_canvas import clean


def render(review: Review) -> str:
    """The document. The same review gives the same text."""
    xml = JUnitXml("mseal-spec")
    for edition in review.editions:
        xml.add_testsuite(_suite(review, edition))
    xml.update_statistics()
    # junitparser writes with lxml where that is installed: written again, the bytes are the same everywhere
    root = ElementTree.fromstring(xml.tostring())
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written.decode("utf-8") + "\n"


def _suite(review: Review, edition: EditionFacts) -> TestSuite:
    suite = TestSuite(clean(edition.name))
    suite.add_property("tool", clean(signature()))
    suite.add_property("kernel", clean(edition.kernel))
    suite.add_property("solver", clean(edition.solver))
    suite.add_property("complete", str(edition.complete).lower())
    lead = lead_of(edition.theorems, unexpected=edition.unexpected)
    suite.add_property("summary", clean(lead.state))
    for title, sentences in lead.lines():
        suite.add_property(clean(title), "\n".join(clean(sentence) for sentence in sentences))
    for case in _cases(review, edition):
        suite.append(case)  # add_testcase compares it with all before it: seconds for nine editions
    suite.update_statistics()
    return suite


def _cases(review: Review, edition: EditionFacts) -> Iterable[TestCase]:
    for theorem in edition.theorems:
        yield _theorem(review, theorem)
    for lemma in edition.lemmas:
        told = f"{lemma.verdict}: {lemma.why or lemma.sentence}"
        yield _plain(edition, "lemmas", lemma.name, lemma.as_expected, told, lemma.seconds)
    for outcome in edition.outcomes:
        name = f"{outcome.errno}: {outcome.check or 'ran to its end'}"
        told = "reached" if outcome.reachable else f"out of reach: {outcome.reason or 'no case was found'}"
        yield _plain(edition, f"outcomes.{outcome.call}", name, outcome.as_expected, outcome.why or told)
    for mutant in edition.mutants:
        told = f"survives: {mutant.reason or 'nothing breaks'}" if mutant.survived else f"killed by {mutant.killed_by}"
        yield _plain(
            edition, f"dropped.{mutant.call}", mutant.check, mutant.as_expected, mutant.why or told, mutant.seconds
        )


def _theorem(review: Review, theorem: Theorem) -> TestCase:
    case = TestCase(clean(theorem.property), clean(f"{theorem.edition}.{theorem.call}"), _time(theorem.seconds))
    counterexample = review.case.get(theorem.counterexample)
    told = [theorem.sentence, *(counterexample.story if counterexample else ())]
    text = "\n".join(clean(line) for line in told)
    if theorem.as_expected:
        if theorem.verdict == "vacuous":
            case.result = [Skipped(clean(f"says nothing here: {cause(theorem.reason)}"))]
        if theorem.verdict != "proved":
            case.system_out = clean(f"{theorem.verdict}, as expected: {cause(theorem.reason)}") + "\n" + text
        return case
    message = clean(f"{theorem.verdict}, expected to be {theorem.expected}. {theorem.why}".rstrip())
    kind = Failure if theorem.verdict in ("proved", "refuted", "vacuous") else Error
    result = kind(message, theorem.verdict)
    result.text = text
    case.result = [result]
    return case


def _time(seconds: float) -> float:
    return round(seconds, 3)


def _plain(edition: EditionFacts, group: str, name: str, ok: bool, told: str, seconds: float = 0.0) -> TestCase:
    case = TestCase(clean(name), clean(f"{edition.name}.{group}"), _time(seconds))
    if ok:
        case.system_out = clean(told)
    else:
        case.result = [Failure(clean(told), "unexpected")]
    return case
