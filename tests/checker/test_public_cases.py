# SPDX-License-Identifier: MIT
"""Cases from public suites and reports (tests/public_cases/README.md): each is right, or refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from checker.documents.base import BadDocument, NotModelled
from checker.documents.files import load_document, load_each
from checker.documents.scenarios import Scenario
from checker.scenario import compare, run_scenario
from spec.editions import EDITIONS

CASES = Path(__file__).parents[1] / "public_cases"
REFUSED = {
    "wrong.jsonl": {
        "ltp-mmap18-growsdown": "stack-growth",
        "odd-mmap-low-fixed": "machine-facts",
        "odd-madv-hwpoison-unpriv": "machine-facts",
    },
    "wrong-6.18.44.jsonl": {"ltp-mmap18-growsdown": "stack-growth"},
    "public-6.18.44.jsonl": {},
}
"""By file: the cases that are refused, and the place in docs/EXCLUSIONS.md."""


@pytest.mark.parametrize("name", REFUSED)
def test_each_case_is_right_or_refused_with_its_place(name: str) -> None:
    refused, wrong = {}, []
    documents = load_document(CASES / name)
    for scenario in documents:
        assert isinstance(scenario, Scenario)
        try:
            result = run_scenario(scenario, EDITIONS[str(scenario.edition)])
        except NotModelled as refusal:
            refused[scenario.name] = refusal.reason.rpartition("docs/EXCLUSIONS.md#")[2]
            continue
        wrong += [f"{scenario.name}: {difference}" for difference in compare(scenario, result)]
    assert not wrong
    assert refused == REFUSED[name]
    assert len(documents) > 20


def test_one_bad_line_does_not_keep_the_others_from_being_read(tmp_path: Path) -> None:
    good = (CASES / "wrong.jsonl").read_text().splitlines()[0]
    file = tmp_path / "mixed.jsonl"
    file.write_text(f'{good}\nnot JSON\n{{"name": "x", "steps": [{{"call": "mlockall"}}]}}\n{good}\n')
    read = list(load_each(file))
    assert [isinstance(document, Scenario) for document in read] == [True, False, False, True]
    told = [str(document) for document in read if isinstance(document, BadDocument)]
    assert told[0].startswith(f"{file}:2: not JSON")
    assert told[1].startswith(f"{file}:3: /steps/0/call: mlockall is not modelled: ")
    with pytest.raises(BadDocument, match=r"mixed\.jsonl:2"):
        load_document(file)
