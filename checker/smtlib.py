# SPDX-License-Identifier: MIT
"""Facts as SMT-LIB text that is the same whenever the facts are: for any other solver, and to compare by hash.

Whatever the order in which facts were found, and terms made: the operands of commutative functions and the facts stand
in the order of their hashes, declarations in that of their names, and shared terms are numbered as they first occur.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import z3

STATUS: Final = {True: "sat", False: "unsat"}
SHARED: Final = "shared!"
"""Names of terms that occur more than once begin so; no name of the specification does."""

_COMMUTATIVE: Final = frozenset(
    (
        *(z3.Z3_OP_AND, z3.Z3_OP_OR, z3.Z3_OP_XOR, z3.Z3_OP_EQ, z3.Z3_OP_IFF, z3.Z3_OP_DISTINCT),
        *(z3.Z3_OP_ADD, z3.Z3_OP_MUL, z3.Z3_OP_BADD, z3.Z3_OP_BMUL, z3.Z3_OP_BAND, z3.Z3_OP_BOR, z3.Z3_OP_BXOR),
    )
)
_NAMES: Final = {
    z3.Z3_OP_TRUE: "true", z3.Z3_OP_FALSE: "false", z3.Z3_OP_NOT: "not", z3.Z3_OP_AND: "and", z3.Z3_OP_OR: "or",
    z3.Z3_OP_XOR: "xor", z3.Z3_OP_IMPLIES: "=>", z3.Z3_OP_EQ: "=", z3.Z3_OP_IFF: "=", z3.Z3_OP_DISTINCT: "distinct",
    z3.Z3_OP_ITE: "ite", z3.Z3_OP_LE: "<=", z3.Z3_OP_LT: "<", z3.Z3_OP_GE: ">=", z3.Z3_OP_GT: ">", z3.Z3_OP_ADD: "+",
    z3.Z3_OP_SUB: "-", z3.Z3_OP_UMINUS: "-", z3.Z3_OP_MUL: "*", z3.Z3_OP_IDIV: "div", z3.Z3_OP_MOD: "mod",
    z3.Z3_OP_BADD: "bvadd", z3.Z3_OP_BSUB: "bvsub", z3.Z3_OP_BMUL: "bvmul", z3.Z3_OP_BNEG: "bvneg",
    z3.Z3_OP_BUDIV: "bvudiv", z3.Z3_OP_BUREM: "bvurem", z3.Z3_OP_BAND: "bvand", z3.Z3_OP_BOR: "bvor",
    z3.Z3_OP_BXOR: "bvxor", z3.Z3_OP_BNOT: "bvnot", z3.Z3_OP_BSHL: "bvshl", z3.Z3_OP_BLSHR: "bvlshr",
    z3.Z3_OP_ULEQ: "bvule", z3.Z3_OP_ULT: "bvult", z3.Z3_OP_UGEQ: "bvuge", z3.Z3_OP_UGT: "bvugt",
    z3.Z3_OP_CONCAT: "concat", z3.Z3_OP_BV2INT: "bv2nat",
}  # fmt: skip
_INDEXED: Final = {
    z3.Z3_OP_EXTRACT: "extract", z3.Z3_OP_ZERO_EXT: "zero_extend", z3.Z3_OP_SIGN_EXT: "sign_extend",
}  # fmt: skip
_SIMPLE: Final = re.compile(r"[A-Za-z~!$%^&*_+=<>?/-][0-9A-Za-z~!@$%^&*_+=<>.?/-]*")


class NotWritable(Exception):
    """A term has a function that these texts do not know."""


def symbol(name: str) -> str:
    """The name as a symbol of SMT-LIB."""
    return name if _SIMPLE.fullmatch(name) else f"|{name}|"


@dataclass(frozen=True, slots=True)
class _Node:
    """A term, less its operands."""

    head: str
    """What it is written with: the function's name, or the whole literal."""
    children: tuple[bytes, ...]
    hash: bytes
    sort: str
    declaration: str
    """How its symbol is declared; empty if it need not be."""
    traits: frozenset[str]
    """What it needs of a logic: `BV`, `UF`, `LIA`."""


class Writer:
    """Writes sets of facts; remembers the terms that it has seen, by what they are."""

    def __init__(self) -> None:
        self._of_term: dict[int, tuple[z3.ExprRef, bytes]] = {}
        self._nodes: dict[bytes, _Node] = {}

    def hash_of(self, term: z3.ExprRef) -> bytes:
        """A hash that two terms have in common only if they say the same in the same way."""
        waiting = [term]
        while waiting:
            here = waiting[-1]
            if here.get_id() in self._of_term:
                waiting.pop()
                continue
            missing = [child for child in here.children() if child.get_id() not in self._of_term]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            node = self._node(here, [self._of_term[child.get_id()][1] for child in here.children()])
            self._nodes.setdefault(node.hash, node)
            self._of_term[here.get_id()] = here, node.hash
        return self._of_term[term.get_id()][1]

    def _node(self, term: z3.ExprRef, children: list[bytes]) -> _Node:
        declaration, traits = "", _traits_of(term)
        if isinstance(term, z3.IntNumRef):
            value = term.as_long()
            head = str(value) if value >= 0 else f"(- {-value})"
        elif isinstance(term, z3.BitVecNumRef):
            head = f"(_ bv{term.as_long()} {term.size()})"
        else:
            if not z3.is_app(term):
                raise NotWritable(f"not a function of terms: {term.sexpr()[:80]}")
            function = term.decl()
            kind = function.kind()
            if kind in _COMMUTATIVE:
                children = sorted(children)
            if kind == z3.Z3_OP_UNINTERPRETED:
                head = symbol(function.name())
                if head.startswith((SHARED, f"|{SHARED}")):
                    raise NotWritable(f"a name of the specification begins with {SHARED}: {head}")
                sorts = " ".join(function.domain(i).sexpr() for i in range(function.arity()))
                declaration = f"(declare-fun {head} ({sorts}) {function.range().sexpr()})"
                if sorts:
                    traits |= {"UF"}
            elif kind in _INDEXED:
                head = f"(_ {_INDEXED[kind]} {' '.join(str(parameter) for parameter in function.params())})"
            elif kind in _NAMES:
                head = _NAMES[kind]
            else:
                raise NotWritable(f"unknown function {function.name()}")
        content = "\x00".join([head, declaration, *(child.hex() for child in children)])
        key = hashlib.sha256(content.encode()).digest()
        return _Node(head, tuple(children), key, term.sort().sexpr(), declaration, traits)

    def text(self, facts: Iterable[z3.ExprRef], *, satisfiable: bool = False) -> str:
        """The facts as one query, of which the answer is expected to be `unsat`, or else `sat`.

        Raises NotWritable.
        """
        roots = sorted({self.hash_of(fact) for fact in facts})
        order = list(self._in_order(roots))
        uses = Counter(child for key in order for child in self._nodes[key].children) + Counter(roots)
        names: dict[bytes, str] = {}
        definitions: list[str] = []
        for key in order:
            node = self._nodes[key]
            written = self._written(node, names)
            if node.children and uses[key] > 1:
                names[key] = f"{SHARED}{len(definitions)}"
                definitions.append(f"(define-fun {names[key]} () {node.sort} {written})")
            else:
                names[key] = written
        declarations = sorted({d for key in order if (d := self._nodes[key].declaration)})
        traits = frozenset[str]().union(*(self._nodes[key].traits for key in order))
        lines = [
            "(set-info :smt-lib-version 2.6)",
            f"(set-info :status {STATUS[satisfiable]})",
            f"(set-logic {_logic(traits)})",
            *declarations,
            *definitions,
            *(f"(assert {names[root]})" for root in roots),
            "(check-sat)",
        ]
        return "\n".join(lines) + "\n"

    def mentions(self, term: z3.ExprRef, names: frozenset[str]) -> bool:
        """The term has one of these symbols in it."""
        return any(self._nodes[key].head in names for key in self._in_order([self.hash_of(term)]))

    def _written(self, node: _Node, names: dict[bytes, str]) -> str:
        return f"({node.head} {' '.join(names[child] for child in node.children)})" if node.children else node.head

    def _in_order(self, roots: Iterable[bytes]) -> Iterator[bytes]:
        """The terms of some facts, each once, behind its operands."""
        done: set[bytes] = set()
        for root in roots:
            waiting = [(root, False)]
            while waiting:
                key, ready = waiting.pop()
                if key in done:
                    continue
                if ready:
                    done.add(key)
                    yield key
                else:
                    waiting.append((key, True))
                    waiting += [(child, False) for child in reversed(self._nodes[key].children)]


def _traits_of(term: z3.ExprRef) -> frozenset[str]:
    if z3.is_bv(term):
        return frozenset(("BV",))
    return frozenset(("LIA",)) if z3.is_int(term) else frozenset()


def _logic(traits: frozenset[str]) -> str:
    """The smallest logic that has what is needed."""
    if {"BV", "LIA"} <= traits:
        return "ALL"
    free = "UF" if "UF" in traits else ""
    return f"QF_{free}{'BV' if 'BV' in traits else 'LIA'}"
