# SPDX-License-Identifier: MIT
"""The types of C, as far as they change a value: integers by width and sign, `bool`, and structures that are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pycparser import c_ast

from checker.source.errors import NotCovered
from checker.source.parsing import OPAQUE, SIGNED, WORDS
from checker.source.values import UNSET, Flags, Iter, Record

_INTEGERS: dict[str, tuple[int, bool]] = {
    "int": (32, True), "signed": (32, True), "signed int": (32, True), "unsigned": (32, False),
    "unsigned int": (32, False), "long": (64, True), "long int": (64, True), "unsigned long": (64, False),
    "long unsigned": (64, False), "unsigned long int": (64, False), "long unsigned int": (64, False),
    "long long": (64, True), "unsigned long long": (64, False), "short": (16, True), "unsigned short": (16, False),
    "char": (8, True), "unsigned char": (8, False), "bool": (1, False), "_Bool": (1, False),
    **{name: (bits, False) for bits, names in WORDS.items() for name in names},
    **{name: (bits, True) for bits, names in SIGNED.items() for name in names},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Type:
    """A type. `bits` 0: not an integer."""

    name: str
    bits: int = 0
    signed: bool = False
    structure: str | None = None
    """The structure that a variable of the type is (not that it points to)."""

    def fresh(self) -> Any:
        """What a variable of the type holds before it is set."""
        if self.structure == "vma_iterator":
            return Iter()
        if self.structure is not None:
            return Record(self.structure)
        return UNSET


def type_of(node: Any) -> Type:
    """The type of a declaration."""
    if isinstance(node, c_ast.TypeDecl | c_ast.Typename):
        inner = node.type
        if isinstance(inner, c_ast.IdentifierType):
            name = " ".join(inner.names)
            if name in _INTEGERS:
                return Type(name, *_INTEGERS[name])
            return Type(name)
        if isinstance(inner, c_ast.Struct | c_ast.Union):
            return Type("struct", structure=inner.name or "?")
        if isinstance(inner, c_ast.Enum):
            return Type("enum", 32, False)
        return type_of(inner)
    if isinstance(node, c_ast.PtrDecl | c_ast.FuncDecl):
        return Type("pointer")
    raise NotCovered(f"the type {type(node).__name__}")


def size_of_type(node: Any) -> int:
    """sizeof. Raises NotCovered where it is not an integer's."""
    if isinstance(node, c_ast.Typename):
        kind = type_of(node.type)
        if kind.bits >= 8:
            return kind.bits // 8
        if kind.name == "pointer":
            return 8
    raise NotCovered("sizeof")


ZERO_FLAGS = Flags({})
FLAG_TYPES = ("vma_flags_t",)
assert set(FLAG_TYPES) <= set(OPAQUE)
