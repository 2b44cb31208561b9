# SPDX-License-Identifier: MIT
"""What is installed: the wheel is built, unpacked into an empty folder, and works from another folder.

The wheel is made by the build backend itself, as pip makes it, and offline. What pip adds (dependencies, the script) is
tried by hand before a release.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = ("spec", "checker", "proofs", "reports")
TOOLS = {"mypy", "pytest-xdist", "ruff", "setuptools", "types-networkx"}
"""What tests need and never import: programs, a plugin, annotations."""
OPTIONAL = re.compile(r"importorskip\(\"(\w+)")
NAMED = re.compile(r"\bdocs/[\w./-]+\.(?:md|json|svg)\b")
COMMAND = re.compile(r"^(?:\.venv/bin/)?sealspec ([a-z]+)", re.MULTILINE)
EXAMPLE = re.compile(r"<!-- runnable: scenario -->\n+```json\n(.*?)```", re.DOTALL)


def imported(folders: Iterable[str]) -> set[str]:
    """The distributions of which something is imported, wherever in a module."""
    found: set[str] = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            found.update(OPTIONAL.findall(text))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Import):
                    found.update(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    found.add(node.module)
    tops = {name.partition(".")[0] for name in found} - set(sys.stdlib_module_names) - {*PACKAGES, "tests"}
    by_module = metadata.packages_distributions()
    assert tops <= by_module.keys(), f"imported, but not installed: {tops - by_module.keys()}"
    return {sorted(by_module[top])[0].lower().replace("_", "-") for top in tops}


def declared(requirements: Iterable[str]) -> set[str]:
    """The names in a list of requirements."""
    return {Requirement(text).name.lower() for text in requirements}


def test_what_is_imported_is_declared_and_nothing_else() -> None:
    optional = declared(PROJECT["project"]["optional-dependencies"]["second"]) | {"pytest"}  # which sabotage runs
    assert declared(PROJECT["project"]["dependencies"]) == imported(PACKAGES) - optional


def test_what_tests_import_is_declared_and_nothing_else() -> None:
    with_tests = declared(PROJECT["project"]["optional-dependencies"]["test"])
    assert with_tests == (imported(["tests"]) | TOOLS) - declared(PROJECT["project"]["dependencies"])


def test_what_is_declared_is_pinned_for_make() -> None:
    pinned = {Requirement(line).name.lower() for line in _lines("constraints.txt") if not line.startswith("#")}
    project = PROJECT["project"]
    assert declared(project["dependencies"] + project["optional-dependencies"]["test"]) <= pinned


def test_every_source_says_its_licence() -> None:
    for folder in ("spec", "checker", "proofs", "reports", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            assert path.read_text().startswith("# SPDX-License-Identifier: MIT\n"), path


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert f"version: {version}" in _lines("CITATION.cff")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{version}]" in changelog or f"What will be {version}." in changelog


def _lines(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


# the wheel ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that building leaves nothing in it."""
    wanted = min(Requirement(text).specifier for text in PROJECT["build-system"]["requires"])
    if not wanted.contains(Version(metadata.version("setuptools"))):
        pytest.skip(f"setuptools{wanted} is not installed here: make sets it up")
    copied = tmp_path_factory.mktemp("sources") / "mseal-spec"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "differences", "out")
    shutil.copytree(ROOT, copied, symlinks=True, ignore=ignored)
    return copied


def build(kind: str, sources: Path, folder: Path) -> Path:
    """Make a wheel or an sdist of a source tree."""
    code = f"import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=sources, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build("wheel", sources, tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel was unpacked into."""
    folder = tmp_path_factory.mktemp("installed")
    wheel.extractall(folder)
    return folder


def python(installed: Path, cwd: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code with the installed packages and their dependencies, but without the checkout, from another folder."""
    sites = dict.fromkeys((str(installed), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sites), "MSEAL_SPEC_CACHE": ""}
    command = [sys.executable, "-S", "-c", code, *arguments]  # -S: no .pth file leads back to the checkout
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=300)


MAIN = "import sys; from reports.cli import main; sys.exit(main(sys.argv[1:]))"


def sealspec(installed: Path, cwd: Path, *arguments: str) -> str:
    """Run the installed command; what it printed. Fail unless it succeeds without a word of error."""
    done = python(installed, cwd, MAIN, *arguments)
    assert done.returncode == 0, f"{arguments}: {done.stderr or done.stdout}"
    assert "Traceback" not in done.stderr
    return done.stdout


def files_of_the_packages() -> Iterator[str]:
    """What belongs into the wheel: every file of the packages, the documents, and the revision (setup.py)."""
    yield "checker/REVISION"
    for package in PACKAGES:
        for folder, folders, names in os.walk(ROOT / package):
            folders[:] = [name for name in folders if name != "__pycache__"]
            yield from (str((Path(folder) / name).relative_to(ROOT)) for name in names)
    for path in (ROOT / "docs").rglob("*"):
        if path.is_file():
            yield str("reports" / path.relative_to(ROOT))


def test_every_file_of_the_packages_and_every_document_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == set(files_of_the_packages())


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    text = wheel.read(name).decode()
    assert f"Version: {PROJECT['project']['version']}\n" in text
    assert "License-Expression: MIT\n" in text
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())
    [points] = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    assert "sealspec = reports.__main__:main" in wheel.read(points).decode()


@pytest.mark.slow
def test_the_source_distribution_gives_the_same_wheel(sources: Path, wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", sources, tmp_path)) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # 3.11.4
        archive.extractall(tmp_path)
    [unpacked] = (path for path in tmp_path.iterdir() if path.is_dir())
    for name in ("tests/test_package.py", "docs/SCENARIOS.md", "LICENSE", "CHANGELOG.md", "Makefile"):
        assert (unpacked / name).is_file(), name
    again = zipfile.ZipFile(build("wheel", unpacked, tmp_path))
    assert sorted(again.namelist()) == sorted(wheel.namelist())


def test_documents_that_the_code_names_are_installed(installed: Path) -> None:
    for path in installed.rglob("*"):
        if path.suffix in (".py", ".j2"):
            for name in NAMED.findall(path.read_text(encoding="utf-8")):
                assert (installed / "reports" / name).is_file(), f"{path.name} names {name}"


def test_nothing_comes_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = (
        "import json, spec, checker, proofs, reports\n"
        "print(json.dumps([module.__file__ for module in (spec, checker, proofs, reports)]))"
    )
    done = python(installed, tmp_path, code)
    assert all(Path(name).is_relative_to(installed) for name in json.loads(done.stdout))


def test_every_command_of_the_readme_has_its_help(installed: Path, tmp_path: Path) -> None:
    commands = sorted(set(COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8"))))
    assert {"prove", "find", "report", "run", "conform", "lab"} <= set(commands)
    code = (
        "import sys\nfrom reports.cli import main\n"
        "for command in sys.argv[1:]:\n    assert main([command, '--help']) == 0, command"
    )
    done = python(installed, tmp_path, code, *commands)
    assert done.returncode == 0, done.stderr
    for command in commands:
        assert f"sealspec {command}" in done.stdout


def test_commands_work_from_another_folder(installed: Path, tmp_path: Path) -> None:
    [example] = EXAMPLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    (tmp_path / "scenario.json").write_text(example, encoding="utf-8")
    assert "agree" in sealspec(installed, tmp_path, "run", "scenario.json")
    assert "never-unmapped" in sealspec(installed, tmp_path, "list", "properties")
    assert "EINVAL" in sealspec(installed, tmp_path, "explain", "mseal")


@pytest.mark.slow
def test_a_counterexample_is_found_drawn_and_made_a_program_from_another_folder(
    installed: Path, tmp_path: Path
) -> None:
    sealspec(installed, tmp_path, "find", "failed-mseal-seals-nothing", "--json", "found.json", "--no-cache")
    assert "mseal" in sealspec(installed, tmp_path, "show", "found.json")
    program = sealspec(installed, tmp_path, "reproduce", "found.json")
    assert program.splitlines()[0] == "// SPDX-License-Identifier: GPL-2.0 OR MIT"


@pytest.mark.slow
def test_a_report_is_written_from_another_folder(installed: Path, tmp_path: Path) -> None:
    few = ("-p", "fork-keeps-contents", "-c", "fork", "--no-traces", "--no-mutants", "--no-lemmas", "--no-cache")
    sealspec(installed, tmp_path, "report", "-e", "v10", *few, "--out", "report", "--formats", "html,md,mail,json")
    assert "userfaultfd" in (tmp_path / "report" / "review.json").read_text(encoding="utf-8")
