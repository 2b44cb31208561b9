"""Flags of mmap and limits on what it maps: what the call and its contract share."""

from __future__ import annotations

MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, MAP_DROPPABLE = 1, 2, 3, 8
MAP_TYPE = 0xF
MAP_FIXED, MAP_ANONYMOUS, MAP_GROWSDOWN = 0x10, 0x20, 0x100
MAP_LOCKED, MAP_NORESERVE, MAP_POPULATE, MAP_FIXED_NOREPLACE = 0x2000, 0x4000, 0x8000, 0x10_0000

LARGEST_FILE_PAGES = 1 << 51
"""s_maxbytes in pages, rounded up: a mapped range of a file ends below it (file_mmap_ok)."""

LARGEST_DEVICE_PAGES = 1 << 52
"""The same for a device, which has no s_maxbytes: a mapped range ends below 2^64 bytes."""

NO_FILE, WRITABLE_FILE, READ_ONLY_FILE, DEV_ZERO = 0, 1, 2, 3
"""What the file descriptor stands for; a caller of the specification says so instead of opening files."""
