# SPDX-License-Identifier: MIT
"""Which `#if` is taken: by a tree's .config, or else by what is stated here for x86-64.

Conditions have three values. What hangs on a symbol of which nothing is known is `None`, and code under it is not
covered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ON = frozenset(
    "CONFIG_" + name
    for name in (
        "64BIT", "X86_64", "X86", "MMU", "SMP", "SWAP", "SHMEM", "NUMA", "TRANSPARENT_HUGEPAGE", "KSM", "HUGETLB_PAGE",
        "HUGETLBFS", "MEMORY_FAILURE", "USERFAULTFD", "ANON_VMA_NAME", "PER_VMA_LOCK", "ARCH_HAS_PKEYS", "MIGRATION",
        "ARCH_USES_HIGH_VMA_FLAGS", "X86_INTEL_MEMORY_PROTECTION_KEYS", "STACK_VALIDATION", "ADVISE_SYSCALLS",
        "MEMCG", "PROC_FS", "SYSCTL", "SECRETMEM", "PERF_EVENTS", "SECURITY", "CROSS_MEMORY_ATTACH",
        "ARCH_HAS_PTE_SPECIAL", "PGTABLE_LEVELS", "COMPAT", "MODULES", "BLOCK", "NET", "HAVE_ARCH_TRANSPARENT_HUGEPAGE",
    )
)  # fmt: skip
"""Set on x86-64, unless a .config says otherwise."""
OFF = frozenset(
    "CONFIG_" + name
    for name in (
        "32BIT", "X86_32", "ARM64", "ARM", "PPC", "PPC64", "SPARC64", "PARISC", "IA64", "S390", "RISCV", "MIPS",
        "STACK_GROWSUP", "DEBUG_VM", "DEBUG_VM_MAPLE_TREE", "DEBUG_VM_RB", "DEBUG_VM_VMACACHE", "DEBUG_VM_PGFLAGS",
        "MSEAL_SYSTEM_MAPPINGS", "ARM64_MTE", "ARM64_GCS", "ARM64_BTI", "SHRINKER_DEBUG", "KASAN",
        "COMPAT_BRK", "NUMA_BALANCING", "MEM_SOFT_DIRTY", "UNACCEPTED_MEMORY", "CMA", "NOMMU",
        "LOCKDEP", "PROVE_LOCKING", "KUNIT",
    )
)  # fmt: skip
"""Not set there."""
DEFAULTS = "the defaults for x86-64"


@dataclass(slots=True)
class Config:
    """What is known of CONFIG_ symbols, and which of them were asked for."""

    origin: str = DEFAULTS
    known: Mapping[str, bool] | None = None
    """From a .config, in which every symbol is known; None: the defaults."""
    asked: dict[str, bool | None] = field(default_factory=dict)

    def symbol(self, name: str) -> bool | None:
        """The symbol is set; None: not known."""
        if self.known is not None:
            value: bool | None = self.known.get(name, False)
        else:
            value = True if name in ON else False if name in OFF else None
        self.asked[name] = value
        return value


def from_file(path: Path) -> Config:
    """A tree's .config. Raises OSError."""
    text = path.read_text("utf-8", "replace")
    found = {m[1]: m[2] != "n" for m in re.finditer(r"^(CONFIG_\w+)=(.*)$", text, re.M)}
    return Config(str(path), found)


_TOKEN = re.compile(r"\s*(defined\b|IS_(?:ENABLED|BUILTIN|REACHABLE)\b|\w+|&&|\|\||[!=<>]=|[()!<>,+*-]|\S)")
Value = int | None


def evaluate(text: str, config: Config, defined: Callable[[str], bool | None]) -> bool | None:
    """The value of an `#if` expression; None where it hangs on what is not known."""
    tokens = _TOKEN.findall(text)
    value, rest = _binary(tokens, config, defined)
    if rest or value is None:
        return None
    return value != 0


def _binary(tokens: list[str], config: Config, defined: Callable[[str], bool | None]) -> tuple[Value, list[str]]:
    left, tokens = _conjunction(tokens, config, defined)
    while tokens[:1] == ["||"]:
        right, tokens = _conjunction(tokens[1:], config, defined)
        left = 1 if left or right else None if left is None or right is None else 0
    return left, tokens


def _conjunction(tokens: list[str], config: Config, defined: Callable[[str], bool | None]) -> tuple[Value, list[str]]:
    left, tokens = _comparison(tokens, config, defined)
    while tokens[:1] == ["&&"]:
        right, tokens = _comparison(tokens[1:], config, defined)
        left = 0 if left == 0 or right == 0 else None if left is None or right is None else 1
    return left, tokens


def _comparison(tokens: list[str], config: Config, defined: Callable[[str], bool | None]) -> tuple[Value, list[str]]:
    left, tokens = _unary(tokens, config, defined)
    while tokens and tokens[0] in ("==", "!=", "<", ">", "<=", ">="):
        operator, (right, rest) = tokens[0], _unary(tokens[1:], config, defined)
        tokens = rest
        if left is None or right is None:
            left = None
            continue
        compared = {
            "==": left == right, "!=": left != right, "<": left < right, ">": left > right, "<=": left <= right,
            ">=": left >= right,
        }  # fmt: skip
        left = int(compared[operator])
    return left, tokens


def _unary(tokens: list[str], config: Config, defined: Callable[[str], bool | None]) -> tuple[Value, list[str]]:
    if not tokens:
        return None, []
    token, rest = tokens[0], tokens[1:]
    if token == "!":
        value, rest = _unary(rest, config, defined)
        return (None if value is None else int(value == 0)), rest
    if token == "(":
        value, rest = _binary(rest, config, defined)
        return value, rest[1:] if rest[:1] == [")"] else ["("]
    if token == "defined" or token.startswith("IS_"):
        if rest[:1] == ["("] and rest[2:3] == [")"]:
            name, rest = rest[1], rest[3:]
        elif rest and token == "defined":
            name, rest = rest[0], rest[1:]
        else:
            return None, []
        known = config.symbol(name) if name.startswith("CONFIG_") else defined(name)
        return (None if known is None else int(known)), rest
    if re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+)[uUlL]*", token):
        return int(token.rstrip("uUlL"), 0), rest
    if token.startswith("CONFIG_"):
        known = config.symbol(token)
        return (None if known is None else int(known)), rest
    return None, rest
