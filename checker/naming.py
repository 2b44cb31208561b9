# SPDX-License-Identifier: MIT
"""How a text names pages, flags and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from spec.advice import ADVICE
from spec.errors import Errno
from spec.mapping import MAP_FLAG_NAMES, MAP_TYPE_NAMES

FAR: Final = 10_000
"""Pages; distances from here on are hexadecimal."""


def named_from(base: int, page: int) -> str:
    """A page by its distance from another: `+3`; in hexadecimal when it is far away."""
    distance = page - base
    return f"+{distance}" if abs(distance) < FAR else f"+{distance:#x}"


MMAP_FLAGS: Final = {bit: name.removeprefix("MAP_") for bit, name in MAP_FLAG_NAMES.items()}
MMAP_TYPES: Final = {kind: name.removeprefix("MAP_") for kind, name in MAP_TYPE_NAMES.items()}
PROTECTION: Final = {8: "SEM", 0x0100_0000: "GROWSDOWN", 0x0200_0000: "GROWSUP"}
"""Bits of `prot` beside read, write and execute, without their PROT_."""
MREMAP_FLAGS: Final = {1: "MAYMOVE", 2: "FIXED", 4: "DONTUNMAP"}
"""Without their MREMAP_."""


def errno_name(number: int) -> str:
    """An errno by name, or by number if no modelled call returns it."""
    return Errno(number).name if number in set(Errno) else f"errno {number}"


def bits_named(word: int, known: Mapping[int, str], first: Sequence[str] = ()) -> str:
    """Flags by name, `A | B`; bits without a name as one number. Empty if there are none."""
    rest = word & ~sum(known)
    return " | ".join([*first, *(name for bit, name in known.items() if word & bit), *([f"{rest:#x}"] if rest else [])])


def rights(word: int) -> str:
    """`rw-` for PROT_READ|PROT_WRITE."""
    return "".join(letter if word & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))


def flag_word(call: str, name: str, word: int) -> str | None:
    """An argument that is flags or a code, decoded: `rw-`, `PRIVATE | ANONYMOUS`, `MADV_DONTNEED`, `pkey -1`; None for
    any other argument."""
    if name == "prot":
        return bits_named(word & ~7, PROTECTION, [rights(word)])
    if name == "behavior":
        return next((advice for advice, value in ADVICE.items() if value == word), f"advice {word}")
    if name == "pkey":
        low = word & 0xFFFF_FFFF
        return f"pkey {low - (1 << 32) if low >> 31 else low}"
    if name == "flags" and call == "mmap":
        kind = word & 0xF
        return bits_named(word & ~0xF, MMAP_FLAGS, [MMAP_TYPES.get(kind, f"type {kind}")])
    if name == "flags" and call == "mremap":
        return bits_named(word, MREMAP_FLAGS) or "flags 0"
    return f"flags {f'{word:#x}' if word else 0}" if name == "flags" else None
