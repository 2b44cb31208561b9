"""Refutations as SARIF 2.1.0 (OASIS): rules are properties, results are refuted theorems.

A result that nobody expected has the level `error`, one that is known the level `note`. There is no source file to
point at: locations are logical, the edition and the call in it. A run for each edition; the code flow of a result is
what happens in its counterexample, and its property bag holds the counterexample itself.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from reports.findings import cause, find_command
from reports.plain import sentence
from reports.review import Case, EditionFacts, PropertyFacts, Review, Theorem

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
"""What `$schema` names."""


def render(review: Review) -> str:
    """The document. The same review gives the same text."""
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(review, edition) for edition in review.editions]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def tool_version() -> str:
    """The version of this program; `0` where it is not installed."""
    try:
        return version("mseal-spec")
    except PackageNotFoundError:
        return "0"


def _run(review: Review, edition: EditionFacts) -> dict[str, Any]:
    refuted = [theorem for theorem in edition.theorems if theorem.verdict == "refuted"]
    names = {theorem.property for theorem in refuted}
    rules = [prop for prop in review.properties if prop.name in names]
    calls = list(dict.fromkeys(theorem.call for theorem in refuted))
    driver = {
        "name": "mseal-spec",
        "version": tool_version(),
        "rules": [_rule(prop) for prop in rules],
    }
    return {
        "tool": {"driver": driver},
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
        "properties": {"kernel": edition.kernel, "solver": edition.solver},
    }


def _rule(prop: PropertyFacts) -> dict[str, Any]:
    return {
        "id": prop.name,
        "shortDescription": {"text": prop.sentence},
        "help": {"text": f"Promised by: {prop.source}"},
        "properties": {"calls": list(prop.calls), "assumptions": list(prop.assumptions)},
    }


def _result(review: Review, theorem: Theorem, rules: list[PropertyFacts], calls: list[str]) -> dict[str, Any]:
    case = review.case.get(theorem.counterexample)
    known = f" {sentence(cause(theorem.reason))}" if theorem.reason else ""
    here = _location(theorem, calls)
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


def _location(theorem: Theorem, calls: list[str]) -> dict[str, Any]:
    call = {"index": calls.index(theorem.call) + 1, "fullyQualifiedName": f"{theorem.edition}/{theorem.call}"}
    return {"logicalLocations": [call, {"index": 0, "fullyQualifiedName": theorem.edition}]}


def _flow(case: Case, here: dict[str, Any]) -> dict[str, Any]:
    """What happens, sentence by sentence."""
    steps = [{"location": {**here, "message": {"text": told}}, "nestingLevel": 0} for told in case.story]
    return {"message": {"text": "the smallest case found"}, "threadFlows": [{"locations": steps}]}
