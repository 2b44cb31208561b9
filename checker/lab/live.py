# SPDX-License-Identifier: MIT
"""Runs the oracle's scripts on the running kernel without a compiler: system calls through ctypes.

``live.py SCRIPT`` does on this machine what ``guest/oracle.c`` does there and in a guest: the script and the
answers are the same text, described at the top of that program, so that answers can be compared byte for
byte.  It is started as a program of its own (:func:`checker.lab.run.run_scenarios` with a LiveKernel): a
process that has no thread and imports next to nothing, and that forks a child for every scenario.

What the child does to its address space, it does in a range that nothing else uses; what it may take of
the machine is limited (time, address space, no core dump, first to go when memory runs out); no setting
of the machine is changed.  Whatever becomes of the child, its parent goes on.

Python must not map or unmap anything while a scenario runs, for that would change map_count, and must not
move the program break.  So its objects come from malloc (PYTHONMALLOC=malloc), malloc takes all its memory
from the break, and has more than enough of it before the break is left to the scenario.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import select
import signal
import sys
import time

PAGE = 4096
WINDOW = 0x200000000000
PAGES = 48
WINDOW_END = WINDOW + PAGES * PAGE
FILL = 0x600000000000
BRK_SHOWN = 256
"""Pages from brk+0 whose VMAs are reported."""
OBJECT, OBJECT_RO, OBJECT_ZERO = 100, 101, 102
FIRST_FILE, LAST_FILE = 110, 198
FD_SMAPS, FD_MEM = 200, 201
FD_OUT, FD_BYTES = 202, 203

RESERVE = 32 << 20
"""Bytes that malloc has before the first scenario: a child needs a small part of it."""
ROOM = 8 << 30
"""Bytes of address space that a scenario may map beyond what this program has mapped."""

NR_MMAP, NR_MPROTECT, NR_MUNMAP, NR_BRK, NR_PREAD64, NR_MREMAP, NR_MADVISE = 9, 10, 11, 12, 17, 25, 28
NR_CAPGET, NR_CAPSET, NR_MLOCK, NR_MUNLOCK, NR_PRCTL = 125, 126, 149, 150, 157
NR_MEMFD_CREATE, NR_PKEY_MPROTECT, NR_PKEY_ALLOC, NR_PKEY_FREE, NR_MSEAL = 319, 329, 330, 331, 462
EPERM, EIO, EBADF, ENOMEM, EFAULT, EINVAL, ENOSYS, EOPNOTSUPP = 1, 5, 9, 12, 14, 22, 38, 95
PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC = 0, 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED_NOREPLACE = 1, 2, 0x20, 0x100000
MREMAP_MAYMOVE, MREMAP_FIXED = 1, 2
MADV_PAGEOUT, MADV_HWPOISON, MADV_SOFT_OFFLINE = 21, 100, 101
PR_SET_PDEATHSIG = 1
CAP_IPC_LOCK, CAP_SYS_RAWIO, CAP_SYS_ADMIN = 14, 17, 21
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
WORD = 1 << 64

SHOWN_FLAGS = ("sl", "lo", "dc", "wf", "gd", "dd", "mg", "nh", "hg")
"""VmFlags of smaps that are reported, in this order."""

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long, *[ctypes.c_ulong] * 6]


def call(number: int, *words: int) -> int:
    """Make a system call; its result, or minus the errno."""
    given = [word % WORD for word in words] + [0] * (6 - len(words))
    ret = int(_syscall(number, *given))
    return -ctypes.get_errno() if ret == -1 else ret


class Vma:
    """One mapping as smaps shows it."""

    __slots__ = ("end", "file", "first", "flags", "heap", "key", "offset", "perms")

    def __init__(self, line: str, heap: int) -> None:
        """Read the first of its lines: start-end perms offset dev inode [path].  ``heap`` is brk+0."""
        place, self.perms, offset, _, inode, *_ = line.split(None, 5)
        first, _, end = place.partition("-")
        self.first, self.end, self.offset = int(first, 16), int(end, 16), int(offset, 16)
        self.file = inode != "0"
        self.heap = heap <= self.first < heap + BRK_SHOWN * PAGE
        self.key = "0"
        self.flags = ""

    def shown(self, heap: int) -> str:
        """Return the line that describes it."""
        base, name = (heap, "brk") if self.heap else (WINDOW, "")
        first, end = ((at - base) // PAGE for at in (self.first, self.end))
        words = [f"{name}{first}-{end}", self.perms, f"file@{self.offset // PAGE}" if self.file else "anon"]
        if self.key != "0":
            words.append(f"k{self.key}")
        given = self.flags.split()
        words += [flag for flag in SHOWN_FLAGS if flag in given]
        return " ".join(words)


class Machine:
    """What a child needs to know, found out before the first one."""

    def __init__(self) -> None:
        """Make malloc's memory, move the break, look at the processor and at the limit."""
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 1 << 30), (M_TOP_PAD, RESERVE)):
            _libc.mallopt(option, value)
        _libc.malloc.restype = ctypes.c_void_p
        _libc.free.argtypes = [ctypes.c_void_p]
        _libc.free(_libc.malloc(1 << 20))
        self.pku = " ospke" in _text("/proc/cpuinfo")
        self.max_map_count = int(_text("/proc/sys/vm/max_map_count"))
        self.brk0 = self._move_break()
        self._code = self._write_pkru_code() if self.pku else 0
        self.bytes = call(NR_MEMFD_CREATE, ctypes.addressof(ctypes.create_string_buffer(b"bytes")), 0)
        os.pwrite(self.bytes, bytes(range(256)), 0)
        for line in _text("/proc/self/maps").splitlines():
            first, _, end = line.split()[0].partition("-")
            if int(first, 16) < WINDOW_END + 256 * PAGE and int(end, 16) > WINDOW - 256 * PAGE:
                raise SystemExit(f"live: the scenarios' address range is in use: {line}")

    @staticmethod
    def _move_break() -> int:
        """Return brk+0: above malloc's memory, with a hole below it, so that growth never touches that."""
        up = -(-call(NR_BRK, 0) // PAGE) * PAGE
        place = up + 16 * PAGE
        if call(NR_BRK, place) != place:
            raise SystemExit("live: the program break cannot be moved")
        call(NR_MUNMAP, up, 16 * PAGE)
        return place

    @staticmethod
    def _write_pkru_code() -> int:
        """Return the address of a function that writes PKRU: mov eax, edi; xor ecx, ecx; xor edx, edx; wrpkru; ret."""
        at = call(NR_MMAP, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        ctypes.memmove(at, bytes.fromhex("89f831c931d20f01efc3"), 10)
        call(NR_MPROTECT, at, PAGE, PROT_READ | PROT_EXEC)
        return at

    def write_pkru(self, bits: int) -> None:
        """Write the thread's PKRU register."""
        ctypes.CFUNCTYPE(None, ctypes.c_uint32)(self._code)(bits & 0xFFFF_FFFF)

    def hello(self) -> str:
        """Return the greeting: release, protection keys, map limit, mseal, swap."""
        has_mseal = call(NR_MSEAL, 0, 0, 0) == 0
        has_swap = len(_text("/proc/swaps").splitlines()) > 1
        fields = ("H", os.uname().release, int(self.pku), self.max_map_count, int(has_mseal), int(has_swap))
        return "\t".join(map(str, fields)) + "\n"


def _text(path: str) -> str:
    """Return a small file's text."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _count_maps() -> int:
    """Return the lines of /proc/self/maps but [vsyscall]: the process's map count."""
    number = os.open("/proc/self/maps", os.O_RDONLY)
    lines = 0
    vsyscall = False
    while data := os.read(number, 1 << 16):
        lines += data.count(b"\n")
        vsyscall = vsyscall or b"[vsyscall]" in data
    os.close(number)
    return lines - vsyscall


def _capabilities(change: int, on: bool) -> bool:
    """Take capabilities (a mask) from this process, or make them effective again; True if it could be done."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    if call(NR_CAPGET, ctypes.addressof(header), ctypes.addressof(data)) < 0:
        return False
    data[0] = data[1] & (data[0] | change) if on else data[0] & ~change
    return call(NR_CAPSET, ctypes.addressof(header), ctypes.addressof(data)) == 0


def _drop_privileges() -> bool:
    """Give up CAP_SYS_ADMIN and CAP_SYS_RAWIO, as the specification assumes; True if they are gone."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    mask = ~((1 << CAP_SYS_ADMIN) | (1 << CAP_SYS_RAWIO)) & 0xFFFF_FFFF
    if call(NR_CAPGET, ctypes.addressof(header), ctypes.addressof(data)) < 0:
        return False
    data[0] &= mask
    data[1] &= mask
    return call(NR_CAPSET, ctypes.addressof(header), ctypes.addressof(data)) == 0


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; end if it has ended already."""
    call(NR_PRCTL, PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Child:
    """One scenario's process."""

    def __init__(self, machine: Machine, seconds: float) -> None:
        """Limit what this process may take, and open what it needs."""
        self.machine = machine
        self.fills = 0
        self.limits = 0
        self.unprivileged = _drop_privileges()
        self.last = ["", ""]
        self.mapped: list[tuple[int, int]] = []
        cpu = int(seconds) + 2
        mapped = int(_text("/proc/self/statm").split()[0]) * PAGE
        for which, value in (
            (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, mapped + ROOM),
        ):  # fmt: skip
            hard = resource.getrlimit(which)[1]
            resource.setrlimit(which, (value if hard < 0 else min(value, hard), hard))
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
        self._open_files()

    def _open_files(self) -> None:
        """Open this process's own smaps and memory."""
        for path, wanted in (("/proc/self/smaps", FD_SMAPS), ("/proc/self/mem", FD_MEM)):
            number = os.open(path, os.O_RDONLY)
            os.dup2(number, wanted)
            os.close(number)

    def make_objects(self) -> None:
        """Open the file of 48 pages as 100 and 101, and /dev/zero as 102."""
        self._open_file(OBJECT, PAGES, bytes(0x40 + page for page in range(PAGES)))
        zero = os.open("/dev/zero", os.O_RDWR)
        os.dup2(zero, OBJECT_ZERO)
        os.close(zero)

    @staticmethod
    def _open_file(number: int, pages: int, contents: bytes) -> int:
        """Make a memfd with these first bytes of its pages; `number` + 1 is the same opened for reading only."""
        name = ctypes.create_string_buffer(b"object" if number == OBJECT else b"file")
        made = call(NR_MEMFD_CREATE, ctypes.addressof(name), 0)
        if made < 0:
            return made
        try:
            os.ftruncate(made, pages * PAGE)
            for page, byte in enumerate(contents):
                os.pwrite(made, bytes((byte,)), page * PAGE)
            readable = os.open(f"/proc/self/fd/{made}", os.O_RDONLY)
        except OSError as error:
            return -(error.errno or EIO)
        os.dup2(made, number)
        os.dup2(readable, number + 1)
        os.close(made)
        os.close(readable)
        return 0

    # what is seen --------------------------------------------------------------------------------------------

    def vmas(self) -> str:
        """Return the lines of the heap and of the window."""
        heap: list[str] = []
        window: list[str] = []
        self.mapped = []
        for vma in self._read_smaps():
            if vma.heap:
                heap.append(vma.shown(self.machine.brk0))
            else:
                window.append(vma.shown(self.machine.brk0))
                self.mapped.append((vma.first, vma.end))
        return ";".join(heap + window) or "-"

    def _read_smaps(self) -> list[Vma]:
        """Return what is mapped in the window and in the heap's first pages, reading no further than need be."""
        found: list[Vma] = []
        brk0 = self.machine.brk0
        end = max(WINDOW_END, brk0 + BRK_SHOWN * PAGE)
        vma: Vma | None = None
        rest = b""
        os.lseek(FD_SMAPS, 0, os.SEEK_SET)
        while data := os.read(FD_SMAPS, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            for raw in lines:
                line = raw.decode("utf-8", "replace")
                if line[0] in "0123456789abcdef":
                    vma = Vma(line, brk0)
                    if vma.first >= end:
                        return found
                    if vma.heap or (vma.first < WINDOW_END and vma.end > WINDOW):
                        found.append(vma)
                elif vma is not None and line.startswith("ProtectionKey:"):
                    vma.key = line.split()[1]
                elif vma is not None and line.startswith("VmFlags:"):
                    vma.flags = line[8:]
        return found

    def contents(self) -> str:
        """Return the first byte of each page of the window, as read past its protection."""
        shown: list[str] = []
        for first, end in self.mapped:
            for page in range(max(first, WINDOW), min(end, WINDOW_END), PAGE):
                shown += [".."] * ((page - WINDOW) // PAGE - len(shown))
                try:
                    shown.append(os.pread(FD_MEM, 1, page).hex() or "??")
                except OSError:
                    shown.append("??")
        return "".join(shown) or "-"

    def report(self, ret: int, text: str) -> None:
        """Write a step's answer: ``text`` is what it shows if it succeeded."""
        answer = f"-1\t{-ret}" if -4096 < ret < 0 else f"{text}\t0"
        state = [self.vmas(), self.contents()]
        repeated = ["=" if new == old else new for new, old in zip(state, self.last or ["-", "-"], strict=True)]
        self.last = state
        os.write(FD_OUT, ("\t".join([answer, *repeated]) + "\n").encode("ascii"))

    # steps ---------------------------------------------------------------------------------------------------

    def _argument(self, word: str) -> int:
        """Return a number of the script: hexadecimal, maybe relative to brk+0, maybe negative."""
        base = self.machine.brk0 if word[0] == "b" else 0
        return (base + int(word.removeprefix("b") if base else word, 16)) % WORD

    def step(self, line: str) -> None:
        """Carry out one line of the script."""
        letter, *words = line.split(" ")
        contents = bytes.fromhex(words.pop()) if letter == "o" and len(words) > 2 else b""
        given = [self._argument(word) for word in words]
        if letter == "X":
            self.limits = given[0]
            return
        exhausted = [
            which for bit, which in ((1, resource.RLIMIT_AS), (2, resource.RLIMIT_MEMLOCK)) if self.limits & bit
        ]
        kept = [(which, resource.getrlimit(which)) for which in exhausted]
        for which, (_, hard) in kept:
            resource.setrlimit(which, (1, hard))  # 0 bytes of locked memory would mean: may not lock at all
        if resource.RLIMIT_MEMLOCK in exhausted:
            _capabilities(1 << CAP_IPC_LOCK, False)
        ret = self._carry_out(letter, given, contents)
        for which, old in kept:
            resource.setrlimit(which, old)
        if resource.RLIMIT_MEMLOCK in exhausted:
            _capabilities(1 << CAP_IPC_LOCK, True)
        self.limits = 0
        self.report(ret, self._shown(letter, ret, given, words))

    def _carry_out(self, letter: str, given: list[int], contents: bytes) -> int:
        """Return a step's result, or minus the errno."""
        if letter in _PLAIN:
            return call(_PLAIN[letter], *given)
        if letter == "a":
            # these two take pages away from the whole machine: only where they are refused
            if not self.unprivileged and given[2] & 0xFFFF_FFFF in (MADV_HWPOISON, MADV_SOFT_OFFLINE):
                return -EOPNOTSUPP
            return call(NR_MADVISE, *given)
        if letter == "w":
            # the kernel stores into the program's memory with the program's rights: EFAULT where it would get a signal
            return call(NR_PREAD64, FD_BYTES, given[0], 1, given[1] & 0xFF)
        if letter == "P":
            if not self.machine.pku:
                return -ENOSYS
            if given[0] & 3:
                return -EINVAL  # key 0 is this program's own memory
            self.machine.write_pkru(given[0])
            return 0
        if letter == "o":
            if not FIRST_FILE <= given[0] <= LAST_FILE or given[0] % 2:
                return -EBADF
            return self._open_file(given[0], given[1], contents)
        if letter == "f":
            return self._fill(given[0] - WORD if given[0] >> 63 else given[0])
        if letter == "v":
            return self._move_vdso(given[0])
        if letter == "R":
            ret = call(NR_MADVISE, given[0] - given[0] % PAGE, PAGE, MADV_PAGEOUT)
            # locked pages stay, and unmapped ones are no concern of the kernel's
            return 0 if ret in (-EINVAL, -ENOMEM) else ret
        if letter == "F":
            return self._fork()
        return -ENOSYS

    def _shown(self, letter: str, ret: int, given: list[int], words: list[str]) -> str:
        """Return a result as a kernel run shows it."""
        if letter == "b":
            pages, rest = divmod(ret - self.machine.brk0, PAGE)
            if rest and pages < 0:  # as C divides
                pages, rest = pages + 1, rest - PAGE
            return f"{pages}+{rest % PAGE}" if rest else str(pages)
        if letter in "mr":
            if words[0][0] == "b" and ret == given[0]:
                return "0"
            inside = WINDOW <= ret < WINDOW_END and ret % PAGE == 0
            return f"p{(ret - WINDOW) // PAGE}" if inside else "elsewhere"
        return str(ret)

    def _fill(self, free: int) -> int:
        """Make or unmake one-page mappings until the map count is `free` below its limit."""
        count = _count_maps()
        limit = self.machine.max_map_count
        while count + free < limit:
            where = FILL + 2 * self.fills * PAGE
            kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
            ret = call(NR_MMAP, where, PAGE, PROT_NONE, kind, -1, 0)
            if ret < 0:
                return ret
            self.fills += 1
            count += 1
        while count + free > limit and self.fills:
            self.fills -= 1
            count -= 1
            call(NR_MUNMAP, FILL + 2 * self.fills * PAGE, PAGE)
        return 0 if count + free == limit else -ENOMEM

    @staticmethod
    def _move_vdso(addr: int) -> int:
        """Move the vdso to a free place; return its length in pages."""
        for line in _text("/proc/self/maps").splitlines():
            if line.endswith("[vdso]"):
                first, end = (int(at, 16) for at in line.split()[0].split("-"))
                size = end - first
                kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
                ret = call(NR_MMAP, addr, size, PROT_NONE, kind, -1, 0)
                if ret >= 0:
                    ret = call(NR_MREMAP, first, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, addr)
                return ret if ret < 0 else size // PAGE
        return -ENOSYS

    def _fork(self) -> int:
        """Go on in a child; the parent waits for it and ends the way it did."""
        parent, child = os.getpid(), os.fork()
        if child == 0:
            _die_with(parent)
            self._open_files()
            return 0
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL) if os.WTERMSIG(status) != signal.SIGKILL else None
            os.kill(os.getpid(), os.WTERMSIG(status))
        os._exit(os.waitstatus_to_exitcode(status))


_PLAIN = {
    "m": NR_MMAP, "u": NR_MUNMAP, "p": NR_MPROTECT, "k": NR_PKEY_MPROTECT, "r": NR_MREMAP, "s": NR_MSEAL,
    "l": NR_MLOCK, "n": NR_MUNLOCK, "b": NR_BRK, "A": NR_PKEY_ALLOC, "D": NR_PKEY_FREE,
}  # fmt: skip
"""Steps that are one system call with just these arguments."""


def _run(machine: Machine, lines: list[str], seconds: float) -> None:
    """The child: carry out a scenario's lines."""
    gc.disable()
    child = Child(machine, seconds)
    os.dup2(machine.bytes, FD_BYTES)
    child.last = ["-", "-"]
    if any(line[0] == "m" for line in lines):
        child.make_objects()
    for line in lines:
        child.step(line)


def _scenario(machine: Machine, lines: list[str], seconds: float) -> tuple[bytes, str]:
    """Run a scenario in a child; return what it wrote and how it ended."""
    reading, writing = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        status = 99
        try:
            _die_with(parent)
            os.dup2(writing, FD_OUT)
            os.close(reading)
            os.close(writing)
            _run(machine, lines, seconds)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    written: list[bytes] = []
    deadline = time.monotonic() + seconds
    timed_out = False
    while True:
        left = deadline - time.monotonic()
        if not timed_out and (left <= 0 or not select.select([reading], [], [], left)[0]):
            timed_out = True
            os.kill(child, signal.SIGKILL)
            deadline = time.monotonic() + 5
            continue
        if timed_out and not select.select([reading], [], [], max(0.0, left))[0]:
            break  # it does not even die
        data = os.read(reading, 1 << 16)
        if not data:
            break
        written.append(data)
    os.close(reading)
    status = os.waitpid(child, 0)[1]
    whole = b"".join(written)
    whole = whole[: whole.rfind(b"\n") + 1]
    if timed_out:
        return whole, "timeout"
    if os.WIFSIGNALED(status):
        return whole, f"signal {os.WTERMSIG(status)}"
    code = os.waitstatus_to_exitcode(status)
    return whole, f"exit {code}" if code else "ok"


def main(script: str) -> int:
    """Run a script; answers go to standard output."""
    machine = Machine()
    seconds = 20.0
    out = sys.stdout.buffer
    out.write(machine.hello().encode("ascii"))
    out.flush()
    count = 0
    number: str | None = None
    lines: list[str] = []
    with open(script, encoding="ascii") as file:
        given = [*file.read().splitlines(), "S"]
    for line in given:
        if line[0] == "L" and number is None:
            seconds = int(line[2:], 16) / 1000
        elif line[0] == "S":
            if number is not None:
                answers, end = _scenario(machine, lines, seconds)
                out.write(f"S\t{number}\n".encode("ascii") + answers + f"E\t{end}\n".encode("ascii"))
                out.flush()
                count += 1
            number, lines = line[2:], []
        elif number is not None:
            lines.append(line)
    out.write(f"Q\t{count}\n".encode("ascii"))
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
