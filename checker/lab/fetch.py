"""Fetches distribution kernels for the lab, as files: nothing is installed.

``python -m checker.lab.fetch 6.12.117 6.18.15 7.3.4`` prints the path of each kernel
image.  The packages come through ``apt-get`` from where this Debian system gets its own:
a temporary source list is made from the system's, with only the suite changed, and apt
keeps its lists in the lab's cache folder instead of the system's.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from checker.lab.build import cache_dir
from checker.lab.errors import LabError

APT = Path("/etc/apt")
"""Where apt's configuration is on Debian."""

SUITES: Mapping[str, str] = {
    "6.12.": "bookworm-security",
    "6.18.": "trixie-backports",
    "7.": "trixie-backports",
}
"""Beginning of a kernel version: the suite of Debian that has such kernels."""


@dataclass(frozen=True)
class Source:
    """One entry of apt's source list.

    ``uri`` is the archive, ``suites`` and ``components`` are as in the list, ``options``
    are the further fields of the entry (Signed-By and so on) by their deb822 names.
    """

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()


def _parse_stanzas(text: str) -> list[Source]:
    """Return the binary-package entries of a deb822 file (``*.sources``)."""
    found: list[Source] = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        last = ""
        for line in stanza.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0] in " \t" and last:
                fields[last] += "\n" + line
            elif ":" in line:
                last, _, value = line.partition(":")
                fields[last] = value.strip()
        lower = {key.lower(): value for key, value in fields.items()}
        if "deb" not in lower.get("types", "").split() or lower.get("enabled") == "no":
            continue
        known = {"types", "uris", "suites", "components", "enabled"}
        options = tuple((k, v) for k, v in fields.items() if k.lower() not in known)
        suites = tuple(lower.get("suites", "").split())
        components = tuple(lower.get("components", "").split())
        found += [Source(uri, suites, components, options) for uri in lower.get("uris", "").split()]
    return found


def _parse_lines(text: str) -> list[Source]:
    """Return the binary-package entries of a one-line-style file (``*.list``)."""
    found: list[Source] = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)", line)
        if not match:
            continue
        options: list[tuple[str, str]] = []
        for word in (match[1] or "").split():
            key, _, value = word.partition("=")
            name = {"arch": "Architectures", "signed-by": "Signed-By", "trusted": "Trusted"}
            if key.lower() in name:
                options.append((name[key.lower()], value.replace(",", " ")))
        found.append(Source(match[2], (match[3],), tuple(match[4].split()), tuple(options)))
    return found


def system_sources(apt: Path = APT) -> list[Source]:
    """Return the entries of the system's source lists; ``apt`` is its configuration folder."""
    found: list[Source] = []
    parts = apt / "sources.list.d"
    files = [apt / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    for path in files:
        if path.is_file():
            text = path.read_text("utf-8", "replace")
            found += _parse_stanzas(text) if path.suffix == ".sources" else _parse_lines(text)
    return found


def source_for(suite: str, sources: Sequence[Source]) -> str:
    """Return a deb822 source list for ``suite``: a system's entry with the suite changed.

    A security suite takes the entry of the system's own security suite, any other suite
    the entry of its plain release.  Raises :class:`LabError` if the system has none.
    """
    security = suite.endswith("-security")
    for source in sources:
        if "main" not in source.components:
            continue
        if any(s.endswith("-security") for s in source.suites) != security:
            continue
        lines = ["Types: deb", f"URIs: {source.uri}", f"Suites: {suite}", "Components: main"]
        lines += [f"{key}: {value}" for key, value in source.options]
        return "\n".join(lines) + "\n"
    kind = "security" if security else "release"
    raise LabError(f"this system's apt sources have no Debian {kind} entry to derive from")


def suite_for(version: str) -> str:
    """Return the suite that has a kernel version; raises :class:`LabError` if none is known."""
    for beginning, suite in SUITES.items():
        if version.startswith(beginning):
            return suite
    raise LabError(f"no suite known for kernel {version!r} (known: {', '.join(SUITES)}...)")


def choose_package(version: str, names: Sequence[str]) -> str:
    """Return the package with the image of ``version`` among package ``names``.

    The signed image is preferred to the unsigned one, and ``linux-binary-...`` (where
    7.x keeps the image) to ``linux-image-...``, which then only depends on it.  Raises
    :class:`LabError` naming the versions that there are.
    """
    pattern = re.compile(r"linux-(binary|image)-(\d+\.\d+\.\d+)[^ ]*?-cloud-amd64(-unsigned)?$")
    ranked: list[tuple[int, str]] = []
    versions: set[str] = set()
    for name in names:
        match = pattern.fullmatch(name)
        if not match:
            continue
        versions.add(match[2])
        if match[2] == version:
            ranked.append(((match[1] != "binary") * 2 + (match[3] is not None), name))
    if not ranked:
        known = ", ".join(sorted(versions)) or "none"
        raise LabError(f"no package with a cloud kernel {version}; there are: {known}")
    return min(ranked)[1]


def _run(command: Sequence[str], folder: Path) -> str:
    """Run a tool in a folder and return its output; raises :class:`LabError` if it fails."""
    if shutil.which(command[0]) is None:
        raise LabError(f"no {command[0]}: kernels can be fetched on Debian systems only")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{command[0]} failed:\n{(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def fetch_kernel(version: str, *, suite: str | None = None, folder: Path | None = None) -> Path:
    """Return the image of a Debian cloud kernel, fetching it if it is not there yet.

    ``version`` is the upstream version, such as ``6.12.117``; ``suite`` overrides the one
    known to have it; ``folder`` is where images are kept (default: ``kernels`` in the
    lab's cache).  Raises :class:`LabError` where the version is not to be had, or apt fails.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise LabError(f"{version!r} is not a kernel version such as 6.12.117")
    kernels = folder if folder is not None else cache_dir() / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    target = kernels / f"vmlinuz-{version}"
    if target.exists():
        return target
    chosen = suite if suite is not None else suite_for(version)
    state = cache_dir() / "apt" / chosen
    for part in ("sources", "lists/partial", "archives/partial"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "sources" / "lab.sources").write_text(source_for(chosen, system_sources()), "utf-8")
    (state / "status").touch()
    settings = [
        f"Dir::Etc::sourceparts={state / 'sources'}", "Dir::Etc::sourcelist=/dev/null",
        f"Dir::State::lists={state / 'lists'}", f"Dir::State::status={state / 'status'}",
        f"Dir::Cache={state}", "APT::Sandbox::User=root", "APT::Architecture=amd64",
        "Acquire::Languages=none",
    ]  # fmt: skip
    options = [word for setting in settings for word in ("-o", setting)]
    _run(["apt-get", "-q", *options, "update"], state)
    listed = _run(["apt-cache", *options, "pkgnames", "linux-"], state).split()
    package = choose_package(version, listed)
    with tempfile.TemporaryDirectory(prefix="mseal-lab-") as name:
        work = Path(name)
        _run(["apt-get", "-q", *options, "download", package], work)
        for archive in work.glob("*.deb"):
            _run(["dpkg-deb", "-x", str(archive), "tree"], work)
        images = [*work.glob("tree/boot/vmlinuz-*"), *work.glob("tree/usr/lib/modules/*/vmlinuz")]
        if not images:
            raise LabError(f"package {package} has no kernel image")
        partial = kernels / f"{target.name}.part{os.getpid()}"
        shutil.copyfile(images[0], partial)
        os.replace(partial, target)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the kernels that the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m checker.lab.fetch", description=__doc__)
    parser.add_argument("version", nargs="+", help="upstream version, such as 6.12.117")
    parser.add_argument("--suite", help="Debian suite to take it from")
    parser.add_argument("--to", type=Path, help="folder for the images")
    options = parser.parse_args(arguments)
    try:
        for version in options.version:
            print(fetch_kernel(version, suite=options.suite, folder=options.to))
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
