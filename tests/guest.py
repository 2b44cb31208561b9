# SPDX-License-Identifier: MIT
"""The tests in a guest: another kernel, processor, user or limit than this machine's.

    python -m tests.guest 6.18.15 --cpu max                       # protection keys, which QEMU emulates
    python -m tests.guest 6.12.117 --user 1000 tests/lab          # a plain user
    python -m tests.guest 7.3.4 --cpu max,pku=off --sysctl vm.max_map_count=1048576 -- tests/lab -k live

Everything that the tests need of this machine (Python with its packages, gcc, a few tools, this working copy) is packed
into the guest's initial file system, at the paths that it has here: so a kernel without any module will do. Not in it
are a network, a browser, QEMU, git's history and what lies beside the checkout. Needs QEMU, which runs without KVM:
expect a test to take ten times as long as here. The exit status is pytest's.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from checker.lab.cpio import TRAILER, entry
from checker.lab.errors import LabError
from checker.lab.fetch import ensure_qemu, fetch_kernel

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/lab", "tests/reports/test_reproduce.py", "tests/reports/test_cli_replay.py")
"""Those that ask the running kernel."""
TOOLS = ("cat", "chmod", "cp", "env", "gcc", "git", "head", "ls", "mkdir", "mount", "ps", "rm", "sed", "setpriv", "sh")
COMPILER = ("as", "ld", "ld.bfd")
HEADERS = ("*.h", "linux/**/*", "asm-generic/**/*", "*-linux-gnu/**/*")
"""Below /usr/include: C's and Linux's, no other library's."""
STARTUP = ("*crt*.o", "libc.so*", "libc_nonshared.a", "libm.so*", "libgcc_s*", "ld-linux*")
LEFT_OUT = re.compile(
    r"/(playwright|cvc5|cvc5.libs|mypy|mypyc|ruff|pip|setuptools|idlelib|tkinter|turtledemo|lib2to3|ensurepip|pydoc_data)/"
    r"|/lib/python[\d.]+/test/|/config-[^/]+/|mypyc[^/]*\.so$|\.a$|/cc1plus$|/lto1$|/gcc/.*/plugin/"
)
COMMAND_LINE = "console=ttyS0 quiet panic=-1 no_timer_check rcupdate.rcu_cpu_stall_suppress=1 rdinit=/init"
INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /tmp
mount -t tmpfs shm /dev/shm
chmod 1777 /dev/shm /tmp
{settings}
export PATH={path} HOME={home} LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
cd {root}
setpriv --reuid {user} --regid {user} --clear-groups {python} -m pytest {arguments} </dev/null
echo "guest: exit $?"
echo b >/proc/sysrq-trigger
"""


def tree(folder: Path, patterns: Iterable[str] = ("**/*",)) -> Iterator[Path]:
    """The files and links below a folder that the guest needs."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            if (path.is_symlink() or path.is_file()) and not LEFT_OUT.search(str(path)):
                yield path


def libraries(files: Iterable[Path]) -> set[Path]:
    """The shared libraries that programs and libraries among the files are linked with."""
    linked = [str(path) for path in files if path.is_file() and path.open("rb").read(4) == b"\x7fELF"]
    said = subprocess.run(["ldd", *linked], capture_output=True, encoding="utf-8", check=False).stdout
    return {Path(name) for name in re.findall(r"(?:=>\s+|^\s+)(/\S+)", said, re.MULTILINE)}


def needed() -> set[Path]:
    """Every file of this machine that the guest needs, by its path here."""
    files = {Path("/bin/sh"), *Path("/lib64").glob("ld-linux*")}
    files |= {Path(found) for name in (*TOOLS, *COMPILER) if (found := shutil.which(name))}
    files |= set(tree(Path(sys.prefix), ("bin/python*", "pyvenv.cfg", "lib/**/*")))
    files |= {path for path in tree(Path(sysconfig.get_path("stdlib"))) if "site-packages" not in path.parts}
    files |= {Path(sys.executable).resolve(), Path(f"{sys.base_prefix}/bin/python3")}
    files |= set(tree(Path("/usr/include"), HEADERS))
    gcc = subprocess.run(
        ["gcc", "-print-libgcc-file-name"], capture_output=True, encoding="utf-8", check=False
    ).stdout.strip()
    if gcc:
        files |= {*tree(Path(gcc).parent), Path(gcc)}
        for folder in (Path("/lib64"), *Path("/usr/lib").glob("*-linux-gnu")):
            files |= {path for pattern in STARTUP for path in folder.glob(pattern)}
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    ).stdout
    files |= {ROOT / name for name in tracked.split("\0") if name and (ROOT / name).is_file()}
    return files | libraries(files)


def with_folders(paths: Iterable[Path]) -> dict[Path, None]:
    """The paths without links on the way to them, each behind its folders, with all links and what they lead to."""
    found: dict[Path, None] = {}

    def add(path: Path) -> Path:
        """Add a path; where it really is."""
        if path == path.parent:
            return path
        here = add(path.parent) / path.name
        if here not in found:
            found[here] = None
            if here.is_symlink():
                add(here.parent / os.readlink(here))
        return here.resolve() if here.is_symlink() else here

    for path in paths:
        if path.exists():
            add(Path(os.path.normpath(path)) if not path.is_symlink() else path)
    return found


def members(files: Iterable[Path]) -> Iterator[tuple[str, int, bytes, int]]:
    """Name, mode, data and time of each member of the archive."""
    for path in with_folders(files):
        name, found = str(path).lstrip("/"), path.lstat()
        if path.is_symlink():
            yield name, stat.S_IFLNK | 0o777, os.readlink(path).encode(), 0
        elif path.is_dir():
            yield name, stat.S_IFDIR | 0o755, b"", 0
        else:
            readable = stat.S_IFREG | (found.st_mode & 0o111) | 0o644
            yield name, readable, path.read_bytes(), int(found.st_mtime)


def pack(target: Path, init: str) -> None:
    """Write the guest's initial file system."""
    with target.open("wb") as out:
        own = [("init", stat.S_IFREG | 0o755, init.encode(), 0)]
        own += [(name, stat.S_IFDIR | 0o755, b"", 0) for name in ("dev", "proc", "sys", "tmp", "guest-home")]
        out.write(entry("dev/console", stat.S_IFCHR | 0o600, 1, b"", (5, 1)))
        for number, (name, mode, data, mtime) in enumerate([*own, *members(needed())], start=2):
            out.write(entry(name, mode, number, data, mtime=mtime))
        out.write(entry(TRAILER, 0, 0, b""))


def main() -> int:
    """Boot a guest, run the tests in it, show what it says; the exit status is pytest's."""
    parser = argparse.ArgumentParser(prog="python -m tests.guest", description=__doc__.partition("\n")[0])
    parser.add_argument("kernel", help="a version that Debian has, such as 6.18.15, or the path of an image")
    parser.add_argument("--cpu", default="max", help="QEMU's model; max,pku=off lacks protection keys (default: max)")
    parser.add_argument("--user", type=int, default=0, help="numeric user (default: 0, root)")
    parser.add_argument("--sysctl", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    parser.add_argument("--append", default="", help="words for the kernel's command line, such as no5lvl")
    parser.add_argument("--memory", type=int, default=3072, metavar="MIB")
    parser.add_argument("arguments", nargs="*", help=f"pytest's (default: {' '.join(TESTS)})")
    options = parser.parse_intermixed_args()
    try:
        image = Path(options.kernel) if Path(options.kernel).is_file() else fetch_kernel(options.kernel)
        qemu = ensure_qemu(lambda line: print(line, file=sys.stderr))
    except LabError as error:
        parser.error(str(error))
    settings = (setting.partition("=") for setting in options.sysctl)
    python = str(Path(sys.prefix) / "bin" / "python")
    init = INIT.format(
        settings="\n".join(f"echo {value} >/proc/sys/{name.replace('.', '/')}" for name, _, value in settings),
        path=f"{Path(python).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        home="/root" if options.user == 0 else "/tmp",
        root=shlex.quote(str(ROOT)),
        user=options.user,
        python=shlex.quote(python),
        arguments=shlex.join(["-q", "-p", "no:cacheprovider", *(options.arguments or TESTS)]),
    )
    with tempfile.TemporaryDirectory(prefix="mseal-guest-") as name:
        pack(Path(name) / "initramfs", init)
        command = [
            qemu, "-accel", "tcg", "-cpu", options.cpu, "-smp", "1", "-m", str(options.memory),
            "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot", "-serial", "stdio",
            "-kernel", str(image), "-initrd", f"{name}/initramfs",
            "-append", f"{COMMAND_LINE} {options.append}",
        ]  # fmt: skip
        status = 2
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
        ) as guest:
            assert guest.stdout is not None
            try:
                for line in guest.stdout:
                    print(line.rstrip("\r\n"), flush=True)
                    if found := re.match(r"guest: exit (\d+)", line):
                        status = int(found[1])
            finally:
                guest.kill()
    return status


if __name__ == "__main__":
    sys.exit(main())
