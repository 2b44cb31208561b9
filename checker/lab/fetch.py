# SPDX-License-Identifier: MIT
"""Fetches distribution kernels for the lab, as files: nothing is installed.

``python -m checker.lab.fetch 6.12.117 6.18.15 7.3.4`` prints the path of each kernel
image.  The packages come through ``apt-get`` from where this Debian system gets its own:
a temporary source list is made from the system's, with only the suite changed, and apt
keeps its lists in the cache folder instead of the system's.  An image is in the cache
folder whole or not at all.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from checker.lab.build import cache_dir
from checker.lab.errors import LabError
from checker.processes import run_program
from checker.temporary import temporary_folder

APT = Path("/etc/apt")
"""Where apt's configuration is on Debian."""

SUITES: Mapping[str, tuple[str, ...]] = {
    "bookworm-security": ("6.12.",),
    "trixie-backports": ("6.16.", "6.17.", "6.18.", "6.19.", "7."),
    "trixie-security": ("6.12.",),
    "bookworm-backports": ("6.12.",),
    "sid": ("7.",),
}
"""Suites of Debian that are asked for kernels, and the beginnings of the versions that each is known for."""

RELEASES = frozenset(
    ("oldoldstable", "oldstable", "stable", "testing", "unstable", "buster", "bullseye", "bookworm", "trixie", "forky")
)
"""What the name of a suite of Debian begins with: other entries of a source list are other archives."""

QEMU = "qemu-system-x86_64"
QEMU_PACKAGE = "qemu-system-x86"

Say = Callable[[str], None]
"""Takes a line about what is being done."""


def _quiet(line: str) -> None:
    """Says nothing."""


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
        if "deb" not in lower.get("types", "").split() or lower.get("enabled", "").lower() in ("no", "false"):
            continue
        known = {"types", "uris", "suites", "components", "enabled"}
        options = tuple((k, v) for k, v in fields.items() if k.lower() not in known)
        suites = tuple(lower.get("suites", "").split())
        components = tuple(lower.get("components", "").split())
        found += [Source(uri, suites, components, options) for uri in lower.get("uris", "").split()]
    return found


_OPTIONS = {
    "arch": "Architectures",
    "signed-by": "Signed-By",
    "trusted": "Trusted",
    "check-valid-until": "Check-Valid-Until",
}
"""Options of a one-line entry by their deb822 names; others do not decide what may be fetched."""


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
            if key.lower() in _OPTIONS:
                options.append((_OPTIONS[key.lower()], value.replace(",", " ")))
        found.append(Source(match[2], (match[3],), tuple(match[4].split()), tuple(options)))
    return found


def system_sources(apt: Path | None = None) -> list[Source]:
    """Return the entries of the system's source lists; ``apt`` is its configuration folder (default: APT)."""
    folder = APT if apt is None else apt
    found: list[Source] = []
    parts = folder / "sources.list.d"
    files = [folder / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
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
        if "main" not in source.components or not any(s.split("-")[0] in RELEASES for s in source.suites):
            continue
        if any(s.endswith("-security") for s in source.suites) != security:
            continue
        lines = ["Types: deb", f"URIs: {source.uri}", f"Suites: {suite}", "Components: main"]
        lines += [f"{key}: {value}" for key, value in source.options]
        return "\n".join(lines) + "\n"
    kind = "security" if security else "release"
    raise LabError(
        f"this system's apt sources have no Debian {kind} entry to derive {suite} from; give the path of a vmlinuz"
    )


def suites_for(version: str) -> list[str]:
    """Return the suites to ask for a kernel version, the one known for such versions first."""
    return sorted(SUITES, key=lambda suite: not version.startswith(SUITES[suite]))


_PACKAGE = re.compile(r"linux-(binary|image)-(\d+\.\d+\.\d+)[^ ]*?-cloud-amd64(-unsigned)?")


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers, to be compared."""
    return tuple(int(part) for part in version.split("."))


FIRST = (6, 10)
"""The first kernel that has mseal."""


def versions_of(names: Sequence[str]) -> list[str]:
    """Return the versions of the cloud kernels with mseal among package names, oldest first."""
    found = {match[2] for name in names if (match := _PACKAGE.fullmatch(name))}
    return sorted((version for version in found if _numbers(version) >= FIRST), key=_numbers)


def choose_package(version: str, names: Sequence[str]) -> str:
    """Return the package with the image of ``version`` among package ``names``.

    The signed image is preferred to the unsigned one, and ``linux-binary-...`` (where
    7.x keeps the image) to ``linux-image-...``, which then only depends on it.  Raises
    :class:`LabError` naming the versions that there are.
    """
    ranked: list[tuple[int, str]] = []
    for name in names:
        match = _PACKAGE.fullmatch(name)
        if match and match[2] == version:
            ranked.append(((match[1] != "binary") * 2 + (match[3] is not None), name))
    if not ranked:
        known = ", ".join(versions_of(names)) or "none"
        raise LabError(f"no package with a cloud kernel {version}; there are: {known}")
    return min(ranked)[1]


def _reason(text: str) -> str:
    """Return the one line of a tool's output that says why it failed.

    apt repeats itself, an address before each reason; where a host cannot be reached, that is the reason.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    network = r"Temporary failure resolving|Could not resolve|Could not connect|Unable to connect|unreachable|timed out"
    if any(re.search(network, line) for line in lines):
        line = next(line for line in lines if re.search(network, line))
        match = re.search(rf"(?:{network}).*", line)
        return f"no network? {match[0] if match else line}"
    errors = [re.sub(r"^E:\s*", "", line) for line in lines if line.startswith("E:")]
    return (errors or lines or ["it said nothing"])[0][:300]


def _run(command: Sequence[str], folder: Path, doing: str) -> str:
    """Run a tool in a folder and return its output; raises :class:`LabError`, one line, if it fails."""
    if shutil.which(command[0]) is None:
        raise LabError(f"no {command[0]}: kernels can be fetched on Debian systems only; give the path of a vmlinuz")
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    done = run_program(command, cwd=folder, env=environment, gently=True)
    if done.status != 0:
        raise LabError(f"{command[0]} could not {doing}: {_reason(done.err + done.out)}")
    return done.out


def kernels_dir(folder: Path | None = None) -> Path:
    """Return the folder for kernel images and apt's lists, which is made if need be.

    ``folder`` overrides ``mseal-spec/kernels`` in the user's cache (XDG).  Raises
    :class:`LabError` where it cannot be written to.
    """
    chosen = folder if folder is not None else cache_dir().parent / "kernels"
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=chosen):
            pass
    except OSError as error:
        raise LabError(
            f"kernels cannot be kept in {chosen}: {error.strerror or error}; choose another folder with --kernels"
        ) from None
    return chosen


def image_version(image: Path) -> str:
    """Return what a kernel image says of itself, such as ``6.12.117+deb12-cloud-amd64``.

    Source: Documentation/arch/x86/boot.rst, the fields ``header`` and ``kernel_version``.  Raises
    :class:`LabError` where the file is not an x86 kernel image or cannot be read.
    """
    try:
        with image.open("rb") as file:
            head = file.read(0x210)
            if len(head) < 0x210 or head[0x202:0x206] != b"HdrS":
                raise LabError(f"{image}: not a bootable x86 kernel image (bzImage, vmlinuz)")
            file.seek(0x200 + int.from_bytes(head[0x20E:0x210], "little"))
            text = file.read(256).split(b"\0")[0].decode("utf-8", "replace")
    except OSError as error:
        raise LabError(f"{image}: {error.strerror or error}") from None
    return text.split(" ")[0] or "unknown"


def cached(folder: Path | None = None) -> dict[str, Path]:
    """Return the images in the cache folder by version, oldest first.  Raises :class:`LabError` as kernels_dir does."""
    found = {path.name.removeprefix("vmlinuz-"): path for path in kernels_dir(folder).glob("vmlinuz-*")}
    whole = [version for version in found if re.fullmatch(r"\d+\.\d+\.\d+", version)]
    return {version: found[version] for version in sorted(whole, key=_numbers)}


class _Apt:
    """apt with lists of its own: those of one suite of Debian."""

    def __init__(self, suite: str, kernels: Path) -> None:
        """Make apt's folders; raises :class:`LabError` if the system's sources have no entry to derive the suite from,
        or the folders cannot be made."""
        self.suite = suite
        self.state = kernels / "apt" / suite
        source = source_for(suite, system_sources())
        try:
            for part in ("sources", "lists/partial", "archives/partial"):
                (self.state / part).mkdir(parents=True, exist_ok=True)
            (self.state / "sources" / "lab.sources").write_text(source, "utf-8")
            (self.state / "status").touch()
        except OSError as error:
            raise LabError(f"{self.state}: {error.strerror or error}; choose another folder with --kernels") from None
        settings = [
            f"Dir::Etc::sourceparts={self.state / 'sources'}", "Dir::Etc::sourcelist=/dev/null",
            f"Dir::State::lists={self.state / 'lists'}", f"Dir::State::status={self.state / 'status'}",
            f"Dir::Cache={self.state}", "APT::Sandbox::User=root", "APT::Architecture=amd64",
            "Acquire::Languages=none", "Acquire::http::Timeout=30", "Acquire::Retries=1",
            "APT::Update::Error-Mode=any",
        ]  # fmt: skip
        self._options = [word for setting in settings for word in ("-o", setting)]

    def names(self) -> list[str]:
        """Return the names of the suite's packages that begin with ``linux-``, as the archive has them now."""
        doing = f"fetch the package lists of {self.suite}"
        _run(["apt-get", "-q", *self._options, "update"], self.state, doing)
        return _run(["apt-cache", *self._options, "pkgnames", "linux-"], self.state, "list packages").split()

    def versions(self, package: str) -> list[str]:
        """Return the versions of a package that the archive has, newest first."""
        out = _run(["apt-cache", *self._options, "madison", package], self.state, f"list versions of {package}")
        return [line.split("|")[1].strip() for line in out.splitlines() if line.count("|") >= 2]

    def download(self, package: str, folder: Path) -> None:
        """Fetch a package into a folder; apt checks it against the signed lists."""
        _run(["apt-get", "-q", *self._options, "download", package], folder, f"fetch {package}")


def offered(folder: Path | None = None, say: Say = _quiet) -> Iterator[tuple[str, list[str]]]:
    """Yield each suite that is asked and the versions of its cloud kernels.

    Raises :class:`LabError` where apt or the network is missing.
    """
    kernels = kernels_dir(folder)
    for suite in SUITES:
        say(f"asking Debian's {suite}")
        yield suite, versions_of(_Apt(suite, kernels).names())


def fetch_kernel(version: str, *, suite: str | None = None, folder: Path | None = None, say: Say = _quiet) -> Path:
    """Return the image of a Debian cloud kernel, fetching it if it is not there yet.

    ``version`` is the upstream version, such as ``6.12.117``; ``suite`` overrides the ones
    that are asked; ``folder`` is where images are kept (default: :func:`kernels_dir`);
    ``say`` is told what is being done.  Raises :class:`LabError` where the version is not
    to be had, or apt fails.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise LabError(f"{version!r} is not a kernel version such as 6.12.117")
    kernels = kernels_dir(folder)
    target = kernels / f"vmlinuz-{version}"
    if target.exists():
        return target
    there: list[str] = []
    for chosen in [suite] if suite is not None else suites_for(version):
        say(f"asking Debian's {chosen} for {version}")
        apt = _Apt(chosen, kernels)
        names = apt.names()
        try:
            package = choose_package(version, names)
        except LabError:
            there.append(f"{chosen} has {', '.join(versions_of(names)) or 'none'}")
            continue
        say(f"fetching {package}")
        _keep_image(apt, package, target)
        return target
    raise LabError(f"Debian offers no cloud kernel {version} now ({'; '.join(there)})")


def run_tool(command: Sequence[str], folder: Path, doing: str) -> str:
    """Run a tool of Debian in a folder and return its output; raises :class:`LabError`, one line, if it fails."""
    return _run(command, folder, doing)


def fetch_source(version: str, work: Path, say: Say = _quiet) -> Path:
    """Fetch Debian's package of the kernel's source into a folder and return its file.

    ``version`` is ``6.12.117``, or ``6.12`` for the newest release of that line.  Raises :class:`LabError` where it is
    not to be had.
    """
    package = "linux-source-" + ".".join(version.split(".")[:2])
    there: list[str] = []
    for suite in suites_for(version + "."):
        say(f"asking Debian's {suite} for {package}")
        apt = _Apt(suite, kernels_dir())
        if package not in apt.names():
            continue
        known = apt.versions(package)
        chosen = next((v for v in known if re.match(rf"{re.escape(version)}(?![\d])", v)), None)
        if chosen is None:
            there += [v.split("-")[0] for v in known]
            continue
        say(f"fetching {package} {chosen}")
        apt.download(f"{package}={chosen}", work)
        archives = list(work.glob("*.deb"))
        if not archives:
            raise LabError(f"apt-get fetched no file for {package}")
        return archives[0]
    known_there = ", ".join(sorted(set(there), key=_numbers)) or "none"
    raise LabError(f"Debian offers no kernel source {version} now; of that line there are: {known_there}")


def _keep_image(apt: _Apt, package: str, target: Path) -> None:
    """Fetch and unpack a package, and put its kernel image at ``target``, whole or not at all."""
    try:
        with temporary_folder(target.parent) as work:
            apt.download(package, work)
            archives = list(work.glob("*.deb"))
            if not archives:
                raise LabError(f"apt-get fetched no file for {package}")
            for archive in archives:
                _run(["dpkg-deb", "-x", str(archive), "tree"], work, f"unpack {archive.name}")
            images = [*work.glob("tree/boot/vmlinuz-*"), *work.glob("tree/usr/lib/modules/*/vmlinuz")]
            if not images:
                raise LabError(f"package {package} has no kernel image")
            image_version(images[0])
            images[0].chmod(0o644)
            os.replace(images[0], target)  # the same file system: `work` is inside the cache
    except OSError as error:
        raise LabError(f"{target.parent}: {error.strerror or error}; choose another folder with --kernels") from None


def ensure_qemu(say: Say = _quiet) -> str:
    """Return QEMU's path, installing Debian's package if there is none and this is root.

    Raises :class:`LabError` saying how to install it otherwise, or where apt fails.
    """
    found = shutil.which(QEMU)
    if found is not None:
        return found
    advice = f"no {QEMU}: install it (Debian: apt-get install {QEMU_PACKAGE})"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LabError(advice)
    say(f"no {QEMU}: installing Debian's package {QEMU_PACKAGE} on this machine with apt-get, as root")
    install = ["apt-get", "-q", "-y", "--no-install-recommends", "install", QEMU_PACKAGE]
    # lists that were never fetched, or are too old, are the usual reason: fetch them, and try once more
    with contextlib.suppress(LabError):
        _run(install, Path("/"), f"install {QEMU_PACKAGE}")
    if shutil.which(QEMU) is None:
        _run(["apt-get", "-q", "update"], Path("/"), "fetch the package lists")
        _run(install, Path("/"), f"install {QEMU_PACKAGE}")
    found = shutil.which(QEMU)
    if found is None:
        raise LabError(advice)
    return found


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
