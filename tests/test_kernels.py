# SPDX-License-Identifier: MIT
"""The table from kernel version to edition: whole, without gaps or overlaps, and plain about what it does not know."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from reports.cli import main
from spec.editions import KERNELS
from spec.kernels import ROWS, UnknownKernel, parse_version, row_of

OFFERED = [
    "6.12.43", "6.12.57", "6.12.69", "6.12.73", "6.12.74", "6.12.85", "6.12.86", "6.12.88", "6.12.90", "6.12.94",
    "6.12.95", "6.12.96", "6.12.100", "6.12.101", "6.12.105", "6.12.107", "6.12.111", "6.12.113", "6.12.115",
    "6.12.116", "6.12.117", "6.12.118", "6.16.3", "6.16.12", "6.17.8", "6.17.13", "6.18.5", "6.18.9", "6.18.12",
    "6.18.15", "6.19.6", "6.19.8", "6.19.10", "6.19.11", "6.19.13", "6.19.14", "7.0.4", "7.0.7", "7.0.9",
    "7.0.10", "7.0.12", "7.0.13", "7.1.3", "7.1.7", "7.1.8", "7.1.13", "7.2.6", "7.2.9", "7.2.11", "7.2.12",
    "7.2.13", "7.3.4",
]  # fmt: skip
"""What Debian's suites offered in November 2026, with mseal."""


@pytest.mark.parametrize("version", OFFERED)
def test_what_debian_offers_is_in_the_table(version: str) -> None:
    """In a row of its own line of which some release was run."""
    row = row_of(version)
    assert row is not None and row.line == tuple(map(int, version.split(".")[:2]))
    assert row.runs


def test_rows_are_whole() -> None:
    """Each line from its first release to its end, each edition at least once, each row with what it is known from, and
    runs within the row."""
    assert [row.line for row in ROWS] == sorted(row.line for row in ROWS)
    for line, rows in itertools.groupby(ROWS, key=lambda row: row.line):
        parts = list(rows)
        assert parts[0].first == 0 and parts[-1].last is None, line
        assert all(a.last is not None and a.last + 1 == b.first for a, b in itertools.pairwise(parts)), line
    assert {row.edition for row in ROWS} == set(KERNELS)
    for row in ROWS:
        assert row.runs or row.source, row
        for version, sequences in row.runs.items():
            assert row_of(version) is row and sequences >= 1_000


def test_recorded_runs_are_of_the_table() -> None:
    """Each recorded kernel is in a row that was run."""
    for path in (Path(__file__).parent / "kernel_runs").glob("[0-9]*.xz"):
        row = row_of(path.name.removesuffix(".jsonl.xz"))
        assert row is not None and row.runs


@pytest.mark.parametrize(
    ("version", "edition"),
    [
        ("6.10.6", "v10"),
        ("6.10.7", "v6.11"),
        ("6.10", "v6.11"),
        ("v6.13", "v6.13"),
        ("6.14", "v6.13"),
        ("6.12.107", "v6.12.43"),
        ("6.12.117+deb12-cloud-amd64", "v6.12"),
        ("6.14.0-33-generic", "v6.13"),
        ("6.18.20", "v6.17"),
        ("6.18.21", "v6.18"),
        ("6.18", "v6.18"),
        ("6.19.10", "v6.17"),
        ("7.1", "v7.1"),
        ("7.2.9", "v7.2"),
        ("7.2.12", "v7.3"),
    ],
)
def test_a_version_is_an_edition(version: str, edition: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever an edition may be named; standard error says what was taken, and from where that is known."""
    assert main(["explain", "mseal", "--edition", version]) == 0
    out, err = capsys.readouterr()
    assert f"edition {edition}: " in out
    if version not in KERNELS:
        assert err.startswith(f"kernel {version}: edition {edition} (") and ("run: " in err or "source: " in err)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("6.9", "before 6.10 there is no mseal"),
        ("5.15.0-91-generic", "before 6.10 there is no mseal"),
        ("v4.4.302", "before 6.10 there is no mseal"),
        ("7.4", "newer than the newest that was tried, 7.3.4; the nearest edition is v7.3"),
        ("8.0", "newer than the newest that was tried, 7.3.4; the nearest edition is v7.3"),
        ("6.20", "there is no such release, 7.0 came after 6.19"),
        ("6.13-rc3", "is a release candidate"),
        ("7", "unknown edition '7'"),
        ("6.1x", "unknown edition '6.1x'"),
    ],
)
def test_an_unknown_version_says_what_is_known(version: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and wrong usage."""
    assert main(["explain", "mseal", "--edition", version]) == 2
    out, err = capsys.readouterr()
    assert not out and said in err and err.count("\n") == 1


def test_a_version_is_parsed_strictly() -> None:
    """Nothing but versions is one."""
    assert parse_version("v6.18.44") == ((6, 18), 44)
    assert parse_version("6.18") == ((6, 18), None)
    for text in ("", "6", "6.", "6.12.", "6.12.1.2x y", "x6.12", "6.12 ", "two-pass", "\u0666.12"):
        assert parse_version(text) is None, text
    with pytest.raises(UnknownKernel):
        parse_version("7.0-rc1")


def test_the_listing_has_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words and as JSON."""
    assert main(["list", "editions"]) == 0
    words = capsys.readouterr().out
    for row in ROWS:
        assert row.versions in words
    path = tmp_path / "list.json"
    assert main(["list", "editions", "--json", str(path)]) == 0
    items = json.loads(path.read_text("utf-8"))["editions"]
    listed = {(kernels["first"], item["name"]) for item in items for kernels in item["kernels"]}
    assert listed == {(row.first_version, row.edition) for row in ROWS}
