# SPDX-License-Identifier: MIT
"""Protections, flags of mmap and limits on what it maps: what calls, their contracts and the readings share."""

from __future__ import annotations

from typing import Final

PROT_READ, PROT_WRITE, PROT_EXEC, PROT_SEM = 1, 2, 4, 8
PROT_GROWSDOWN, PROT_GROWSUP = 0x0100_0000, 0x0200_0000
MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, MAP_DROPPABLE = 1, 2, 3, 8
MAP_TYPE = 0xF
MAP_FIXED, MAP_ANONYMOUS, MAP_32BIT, MAP_ABOVE4G, MAP_GROWSDOWN = 0x10, 0x20, 0x40, 0x80, 0x100
MAP_DENYWRITE, MAP_EXECUTABLE, MAP_LOCKED, MAP_NORESERVE, MAP_POPULATE = 0x800, 0x1000, 0x2000, 0x4000, 0x8000
MAP_NONBLOCK, MAP_STACK, MAP_HUGETLB, MAP_SYNC, MAP_FIXED_NOREPLACE = 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000
MAP_UNINITIALIZED = 0x400_0000
"""Only where there is no MMU. The bit is the lowest of those that choose the size of huge pages."""
MAP_HUGE_SHIFT, MAP_HUGE_MASK = 26, 0x3F
"""Six bits of the flags: the binary logarithm of the size of the huge pages, 0 for the machine's usual size."""
MAP_HUGE_2MB, MAP_HUGE_1GB = 21 << MAP_HUGE_SHIFT, 30 << MAP_HUGE_SHIFT

MAP_TYPE_NAMES: Final = {
    MAP_SHARED: "MAP_SHARED",
    MAP_PRIVATE: "MAP_PRIVATE",
    MAP_SHARED_VALIDATE: "MAP_SHARED_VALIDATE",
    MAP_DROPPABLE: "MAP_DROPPABLE",
}
MAP_FLAG_NAMES: Final = {
    MAP_FIXED: "MAP_FIXED",
    MAP_ANONYMOUS: "MAP_ANONYMOUS",
    MAP_32BIT: "MAP_32BIT",
    MAP_ABOVE4G: "MAP_ABOVE4G",
    MAP_GROWSDOWN: "MAP_GROWSDOWN",
    MAP_DENYWRITE: "MAP_DENYWRITE",
    MAP_EXECUTABLE: "MAP_EXECUTABLE",
    MAP_LOCKED: "MAP_LOCKED",
    MAP_NORESERVE: "MAP_NORESERVE",
    MAP_POPULATE: "MAP_POPULATE",
    MAP_NONBLOCK: "MAP_NONBLOCK",
    MAP_STACK: "MAP_STACK",
    MAP_HUGETLB: "MAP_HUGETLB",
    MAP_SYNC: "MAP_SYNC",
    MAP_FIXED_NOREPLACE: "MAP_FIXED_NOREPLACE",
}
"""The flags that x86-64 has beside the type, by bit. MAP_ABOVE4G, MAP_DENYWRITE, MAP_EXECUTABLE and MAP_UNINITIALIZED
make no difference; MAP_NONBLOCK takes MAP_POPULATE back."""

LEGACY_FLAGS: Final = (
    MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_32BIT | MAP_ABOVE4G | MAP_GROWSDOWN | MAP_DENYWRITE
    | MAP_EXECUTABLE | MAP_UNINITIALIZED | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK
    | MAP_HUGETLB | MAP_HUGE_2MB | MAP_HUGE_1GB
)  # fmt: skip
"""What MAP_SHARED_VALIDATE knows of every file (LEGACY_MAP_MASK). MAP_SYNC is for files on persistent memory."""

LOW_PAGES: Final = 0x8_0000
"""Where MAP_32BIT ends, in pages: 2 GiB. It begins at 1 GiB."""

LARGEST_FILE_PAGES = 1 << 51
"""s_maxbytes in pages, rounded up: a mapped range of a file ends below it (file_mmap_ok)."""

LARGEST_DEVICE_PAGES = 1 << 52
"""The same for a device, which has no s_maxbytes: a mapped range ends below 2^64 bytes."""

NO_FILE, WRITABLE_FILE, READ_ONLY_FILE, DEV_ZERO = 0, 1, 2, 3
"""What the file descriptor stands for; a caller of the specification says so instead of opening files."""
