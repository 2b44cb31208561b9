# SPDX-License-Identifier: MIT
"""Refutations as SARIF 2.1.0 (OASIS): rules are properties, results are refuted theorems.

A result that nobody expected has the level `error`, one that is known the level `note`. A location is the line of the
specification with the check that decided in the counterexample (services that show results beside the code insist on
one), and logically the edition and the call in it. A run for each edition; the code flow of a result is what happens in
its counterexample, and its property bag holds the counterexample itself.
"""

from __future__ import annotations

import json
from typing import Any, Final

from checker.revision import revision
from checker.version import NAME, version
from reports.findings import cause, find_command
from reports.lead import lead_of
from reports.places import line_of
from reports.plain import joined, sentence
from reports.review import Case, EditionFacts, PropertyFacts, Review, Theorem
from spec.editions import System
from spec.properties import PROPERTIES

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
"""What `$schema` names."""
ROOT: Final = "%SRCROOT%"
"""By this name the services know the root of the checkout; where that is, is theirs to know."""
DOCUMENTS: Final = {
    System.LINUX: "https://docs.kernel.org/userspace-api/mseal.html",
    System.OPENBSD: "https://man.openbsd.org/mimmutable.2",
}
"""Where the promises of a system are written."""


def render(review: Review) -> str:
    """The document. The same review gives the same text."""
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(review, edition) for edition in review.editions]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _run(review: Review, edition: EditionFacts) -> dict[str, Any]:
    refuted = [theorem for theorem in edition.theorems if theorem.verdict == "refuted"]
    names = {theorem.property for theorem in refuted}
    rules = [prop for prop in review.properties if prop.name in names]
    calls = list(dict.fromkeys(theorem.call for theorem in refuted))
    lead = lead_of(edition.theorems, unexpected=edition.unexpected)
    driver = {
        "name": NAME,
        "version": version(),
        "semanticVersion": version(),
        "informationUri": DOCUMENTS[System.LINUX],
        "shortDescription": {"text": "A formal specification of Linux mseal(2), and what it does not keep."},
        "properties": {"revision": revision()},
        "rules": [_rule(prop) for prop in rules],
    }
    return {
        "tool": {"driver": driver},
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of a checkout of mseal-spec."}}},
        "columnKind": "unicodeCodePoints",
        "automationDetails": {"id": f"mseal-spec/{edition.name}/"},
        "invocations": [{"executionSuccessful": edition.complete}],
        "logicalLocations": [
            {"name": edition.name, "fullyQualifiedName": edition.name, "kind": "namespace"},
            *(
                {"name": call, "fullyQualifiedName": f"{edition.name}/{call}", "kind": "function", "parentIndex": 0}
                for call in calls
            ),
        ],
        "results": [_result(review, theorem, rules, calls) for theorem in refuted],
        "properties": {
            "kernel": edition.kernel,
            "solver": edition.solver,
            "guarantees": list(lead.guarantees),
            "notGuaranteed": list(lead.fails),
            "state": lead.state,
        },
    }


def _rule(prop: PropertyFacts) -> dict[str, Any]:
    return {
        "id": prop.name,
        "shortDescription": {"text": prop.sentence},
        "fullDescription": {"text": f"{prop.sentence} Promised by: {prop.source}. Said of: {joined(prop.calls)}."},
        "help": {"text": f"Promised by: {prop.source}. How it fails, drawn: sealspec find {prop.name}"},
        "helpUri": DOCUMENTS[_system(prop.name)],
        "defaultConfiguration": {"level": "error"},
        "properties": {"calls": list(prop.calls), "assumptions": list(prop.assumptions), "tags": ["mseal"]},
    }


def _system(name: str) -> System:
    """Whose documents promise the property."""
    promised_by = PROPERTIES[name].promised_by if name in PROPERTIES else ()
    return System.OPENBSD if System.LINUX not in promised_by and promised_by else System.LINUX


def _result(review: Review, theorem: Theorem, rules: list[PropertyFacts], calls: list[str]) -> dict[str, Any]:
    case = review.case.get(theorem.counterexample)
    known = f" {sentence(cause(theorem.reason))}" if theorem.reason else ""
    here = _location(theorem, calls, case)
    result: dict[str, Any] = {
        "ruleId": theorem.property,
        "kind": "fail",
        "level": "note" if theorem.as_expected else "error",
        "message": {"text": f"{theorem.call} breaks this: {theorem.sentence}{known}"},
        "locations": [here],
        "partialFingerprints": {"theorem/v1": theorem.id},
        "properties": {
            "verdict": theorem.verdict,
            "expected": theorem.expected,
            "assumptions": list(theorem.assumptions),
            "command": find_command(theorem),
        },
    }
    index = next((i for i, prop in enumerate(rules) if prop.name == theorem.property), None)
    if index is not None:
        result["ruleIndex"] = index
    if case is not None:
        result["codeFlows"] = [_flow(case, here)]
        result["properties"]["counterexample"] = case.document.model_dump(mode="json")
    return result


def _location(theorem: Theorem, calls: list[str], case: Case | None) -> dict[str, Any]:
    place = line_of(theorem.call, case.document.steps[-1].result.check if case else "")
    call = {"index": calls.index(theorem.call) + 1, "fullyQualifiedName": f"{theorem.edition}/{theorem.call}"}
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": place.path, "uriBaseId": ROOT},
            "region": {"startLine": place.line},
        },
        "logicalLocations": [call, {"index": 0, "fullyQualifiedName": theorem.edition}],
    }


def _flow(case: Case, here: dict[str, Any]) -> dict[str, Any]:
    """What happens, sentence by sentence."""
    steps = [{"location": {**here, "message": {"text": told}}, "nestingLevel": 0} for told in case.story]
    return {"message": {"text": "the smallest case found"}, "threadFlows": [{"locations": steps}]}
