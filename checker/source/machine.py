# SPDX-License-Identifier: MIT
"""Executing parsed C over the list engine. A condition that is not known is a decision, as in the specification.

In the argument stage there is no address space yet, and the machine stops where it is first looked at (`Boundary`); in
the body an address is a page number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import z3
from pycparser import c_ast

from checker.source.errors import Fault, NotCovered
from checker.source.operators import COMPARED, INT, binary, common, convert, negated, promoted, truth
from checker.source.source import Source
from checker.source.table import TABLE
from checker.source.types import Type, size_of_type, type_of
from checker.source.values import (
    ANON_VMA,
    CURRENT,
    FILE,
    MM,
    OPS,
    UNSET,
    Addr,
    Code,
    ErrPtr,
    Fell,
    FieldRef,
    Flags,
    Iter,
    Record,
    Ref,
    Struct,
    Thing,
    Word,
    flag_constant,
    flags_of,
    inverted,
    word,
)
from spec.advice import ADVICE
from spec.terms import Bool, ne, not_
from spec.vma import Vma, has_file, is_anonymous
from spec.words import TASK_SIZE

MOST_STEPS: Final = 20_000
"""Statements that one call may execute."""
ERRNO: Final = {
    "EPERM": 1, "EINTR": 4, "EIO": 5, "EBADF": 9, "EAGAIN": 11, "ENOMEM": 12, "EACCES": 13, "EFAULT": 14, "EBUSY": 16,
    "EEXIST": 17, "EINVAL": 22, "ENOSPC": 28, "ENOSYS": 38, "EOVERFLOW": 75, "EOPNOTSUPP": 95,
}  # fmt: skip
NUMBERS: Final = {
    **ADVICE,
    "PROT_NONE": 0, "PROT_READ": 1, "PROT_WRITE": 2, "PROT_EXEC": 4, "PROT_SEM": 8, "PROT_GROWSDOWN": 0x0100_0000,
    "PROT_GROWSUP": 0x0200_0000, "MREMAP_MAYMOVE": 1, "MREMAP_FIXED": 2, "MREMAP_DONTUNMAP": 4, "PAGE_SHIFT": 12,
    "READ_IMPLIES_EXEC": 0x0040_0000, "CAP_IPC_LOCK": 14, "CAP_SYS_ADMIN": 21, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9,
    "RLIMIT_DATA": 2, "GFP_KERNEL": 0xCC0, "MT_FLAGS_LOCK_MASK": 0x300, "MM_CP_TRY_CHANGE_WRITABLE": 1,
    "FIRST_USER_ADDRESS": 0, "USER_PGTABLES_CEILING": 0, "MLOCK_ONFAULT": 1,
}  # fmt: skip
"""Numbers of the kernel's interface, where no header of the tree says otherwise."""
LONGS: Final = {
    "PAGE_SIZE": 4096, "PAGE_MASK": (1 << 64) - 4096, "TASK_SIZE": TASK_SIZE, "ULONG_MAX": (1 << 64) - 1,
    "TASK_SIZE_MAX": TASK_SIZE,
}  # fmt: skip
ACCOUNTS: Final = ("locked_vm", "total_vm", "data_vm", "exec_vm", "stack_vm", "hiwater_vm", "hiwater_rss")
"""Counters of the mm that only limits look at, which the model leaves open."""


class Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class Goto(Exception):
    def __init__(self, label: str) -> None:
        self.label = label


class Break(Exception):
    pass


class Continue(Exception):
    pass


@dataclass
class Frame:
    """A function that is being executed."""

    function: str
    file: str
    body: Any
    blocks: list[dict[str, Any]] = field(default_factory=list)
    types: dict[int, dict[str, Type]] = field(default_factory=dict)
    call: Any = None
    """The call that it waits for."""

    def visible(self) -> dict[str, Any]:
        """Its variables, the innermost of each name."""
        return {name: value for block in self.blocks for name, value in block.items()}


class Boundary(Exception):
    """The address space is looked at for the first time: the argument stage is over."""

    def __init__(self, frames: list[Frame], name: str, arguments: list[Any]) -> None:
        self.frames, self.name, self.arguments = frames, name, arguments


class Machine:
    """Executes functions of a source over a space (None: the argument stage)."""

    def __init__(self, source: Source, path: Any, space: Any = None) -> None:
        self.source, self.path, self.space = source, path, space
        self.structs: list[Struct] = [Struct() for _ in space.vmas] if space is not None else []
        self.frames: list[Frame] = []
        self.steps = 0
        self.lock = ""
        """How the mmap lock is held: "", "read" or "write"."""
        self.killed = False
        """A fatal signal came while the lock was waited for."""
        self.privileged: bool | None = None
        """What capable() said of the limit on locked memory, which it says once."""
        self.used: set[str] = set()
        """Entries of the table that were come to."""
        self.read: set[tuple[str, str]] = set()
        """Functions that were read: file and name."""
        self.lines: set[tuple[str, int]] = set()
        """Places that were executed."""

    # running ----------------------------------------------------------------------------------------------------------

    def enter(self, name: str, arguments: list[Any]) -> Any:
        """A system call: the lock must be free at its end. Raises Fault, NotCovered, Boundary."""
        result = self.call(name, arguments, None)
        if self.lock:
            raise Fault(f"{name} returns with the mmap lock held")
        if isinstance(result, Fell):
            raise Fault(f"{result.function} has a result and runs off its end")
        return result

    def decide(self, cond: Bool) -> bool:
        """Take a branch."""
        return bool(self.path.decide(cond))

    def truth(self, value: Any) -> Bool:
        """A value as a condition."""
        return truth(value)

    def is_true(self, value: Any) -> bool:
        """Take a branch by a value."""
        return self.decide(truth(value))

    def call(self, name: str, arguments: list[Any], node: Any) -> Any:
        """Call a function: as the table says, or else as it is written."""
        if name in TABLE:
            self.used.add(name)
            entry = TABLE[name]
            if entry.looks:
                self.look(name, *arguments)
            try:
                return entry.meaning(self, *arguments)
            except TypeError as error:
                if "positional argument" not in str(error):
                    raise
                raise NotCovered(f"{name}() with {len(arguments)} arguments") from None
        near = self.frames[-1].file if self.frames else ""
        cut = self.source.find(name, near)
        if cut is None:
            raise NotCovered(f"a call of {name}(), which is neither read nor in the table")
        return self._execute(cut.file, self.source.parsed(cut), arguments)

    def look(self, name: str, *arguments: Any) -> None:
        """The address space is about to be looked at. Raises Boundary in the argument stage."""
        if self.space is None:
            raise Boundary(self.frames, name, list(arguments))

    def _execute(self, file: str, definition: Any, arguments: list[Any]) -> Any:
        name = definition.decl.name
        self.read.add((file, name))
        if len(self.frames) > 40:
            raise NotCovered(f"{name}() calls itself")
        given = definition.decl.type.args
        parameters = [p for p in (given.params if given else []) if getattr(p, "name", None)]
        if len(parameters) != len(arguments):
            raise NotCovered(f"{name}() with {len(arguments)} arguments", file, definition.decl.coord.line)
        frame = Frame(name, file, definition.body)
        self.frames.append(frame)
        block: dict[str, Any] = {}
        frame.blocks.append(block)
        frame.types[id(block)] = {}
        try:
            for parameter, argument in zip(parameters, arguments, strict=True):
                kind = type_of(parameter.type)
                frame.types[id(block)][parameter.name] = kind
                block[parameter.name] = convert(argument, kind)
            result: Any = None
            returned = False
            try:
                self._block(definition.body)
            except Return as end:
                result, returned = end.value, True
            except Goto as jump:
                raise NotCovered(f"the label {jump.label}", file, definition.decl.coord.line) from None
            kind = type_of(definition.decl.type.type)
            if not returned and kind.name != "void":
                return Fell(name)
            return convert(result, kind) if returned and kind.name != "void" else None
        finally:
            self.frames.pop()

    # statements -------------------------------------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        """The innermost one."""
        return self.frames[-1]

    def _block(self, body: Any) -> None:
        frame = self.frame
        block: dict[str, Any] = {}
        frame.blocks.append(block)
        frame.types[id(block)] = {}
        depth = len(frame.blocks)
        items = body.block_items or []
        labels = _labels(items)
        i = 0
        try:
            while i < len(items):
                try:
                    self._statement(items[i])
                    i += 1
                except Goto as jump:
                    if jump.label not in labels:
                        raise
                    del frame.blocks[depth:]
                    i = labels[jump.label]
        finally:
            del frame.blocks[depth - 1 :]

    def _statement(self, s: Any) -> None:
        self.steps += 1
        line = s.coord.line if getattr(s, "coord", None) else 0
        if line:
            self.lines.add((self.frame.file, line))
        try:
            if self.steps > MOST_STEPS:
                raise NotCovered(f"the C has not ended after {MOST_STEPS} statements")
            self._do(s)
        except (NotCovered, Fault) as error:
            raise error.at(self.frame.file, line) from None

    def _do(self, s: Any) -> None:
        match s:
            case c_ast.Compound():
                self._block(s)
            case c_ast.Decl():
                self._declare(s)
            case c_ast.DeclList():
                for declared in s.decls:
                    self._declare(declared)
            case c_ast.If():
                if self.is_true(self.value(s.cond)):
                    self._statement(s.iftrue)
                elif s.iffalse is not None:
                    self._statement(s.iffalse)
            case c_ast.While():
                turn = 0
                while self.is_true(self.value(s.cond)):
                    if self._once(s, turn):
                        break
                    turn += 1
            case c_ast.DoWhile():
                turn = 0
                while not self._once(s, turn) and self.is_true(self.value(s.cond)):
                    turn += 1
            case c_ast.For():
                self._for(s)
            case c_ast.Return():
                raise Return(self.value(s.expr) if s.expr is not None else None)
            case c_ast.Goto():
                raise Goto(s.name)
            case c_ast.Label():
                self._statement(s.stmt)
            case c_ast.Break():
                raise Break
            case c_ast.Continue():
                raise Continue
            case c_ast.Switch():
                self._switch(s)
            case c_ast.EmptyStatement():
                pass
            case _:
                self.value(s)

    def turn(self, loop: Any, turn: int) -> None:
        """The body of a loop is about to be executed, for the first time if `turn` is 0."""

    def _once(self, loop: Any, turn: int) -> bool:
        """Execute the body of a loop; the loop ends."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise NotCovered(f"the C has not ended after {MOST_STEPS} statements")
        self.turn(loop, turn)
        try:
            self._statement(loop.stmt)
        except Break:
            return True
        except Continue:
            pass
        return False

    def _for(self, s: Any) -> None:
        frame = self.frame
        block: dict[str, Any] = {}
        frame.blocks.append(block)
        frame.types[id(block)] = {}
        depth = len(frame.blocks)
        try:
            if s.init is not None:
                self._do(s.init)
            turn = 0
            while s.cond is None or self.is_true(self.value(s.cond)):
                if self._once(s, turn):
                    break
                turn += 1
                if s.next is not None:
                    self.value(s.next)
        finally:
            del frame.blocks[depth - 1 :]

    def _switch(self, s: Any) -> None:
        value = self.value(s.cond)
        if not isinstance(s.stmt, c_ast.Compound):
            raise NotCovered("a switch without a block")
        items = s.stmt.block_items or []
        start: int | None = None
        for i, item in enumerate(items):
            if isinstance(item, c_ast.Case) and self.is_true(binary(self, "==", value, self.value(item.expr))):
                start = i
                break
        if start is None:
            start = next((i for i, item in enumerate(items) if isinstance(item, c_ast.Default)), None)
        if start is None:
            return
        try:
            for item in items[start:]:
                inner = item.stmts if isinstance(item, c_ast.Case | c_ast.Default) else [item]
                for statement in inner or []:
                    self._statement(statement)
        except Break:
            pass

    def _declare(self, s: Any) -> None:
        if isinstance(s.type, c_ast.FuncDecl):
            raise NotCovered("a declaration of a function")
        if "static" in (s.storage or []):
            raise NotCovered(f"the static variable {s.name}")
        kind = type_of(s.type)
        block = self.frame.blocks[-1]
        self.frame.types[id(block)][s.name] = kind
        if s.init is None:
            block[s.name] = kind.fresh()
        elif isinstance(s.init, c_ast.InitList):
            block[s.name] = self._initialised(kind, s.init)
        else:
            block[s.name] = UNSET  # its own initializer sees it unset
            block[s.name] = convert(self.value(s.init), kind)

    def _initialised(self, kind: Type, init: Any) -> Any:
        if kind.structure is None or kind.structure == "vma_iterator":
            raise NotCovered("an initializer in braces")
        record = Record(kind.structure, {}, True)
        for expr in init.exprs or []:
            if isinstance(expr, c_ast.NamedInitializer) and len(expr.name) == 1:
                record.fields[expr.name[0].name] = self.value(expr.expr)
            elif not (isinstance(expr, c_ast.Constant) and expr.value == "0"):
                raise NotCovered("an initializer without names of fields")
        return record

    # names ------------------------------------------------------------------------------------------------------------

    def holder(self, name: str) -> dict[str, Any] | None:
        """The block that has a variable."""
        blocks: list[dict[str, Any]] = self.frame.blocks
        return next((block for block in reversed(blocks) if name in block), None)

    def name(self, name: str) -> Any:
        """What a name stands for. Raises Fault for a variable that was not set, NotCovered for a name that is not
        known."""
        block = self.holder(name)
        if block is not None:
            if block[name] is UNSET:
                raise Fault(f"{name} is used before it was set")
            return block[name]
        known = self._constant(name)
        if known is None:
            known = self._enumerator(name)
        if known is not None:
            return known
        if name in ("NULL", "NULL_PTR"):
            return None
        if name in ("true", "false"):
            return name == "true"
        if name == "current":
            return CURRENT
        if name == "sysctl_max_map_count":
            return self.call("get_sysctl_max_map_count", [], None)
        if name in TABLE or self.source.find(name, self.frame.file) is not None:
            return Code(name)
        if name.endswith("_ops"):
            return Thing(name)
        raise NotCovered(f"the name {name}")

    def _constant(self, name: str) -> Any:
        if (found := flag_constant(name)) is not None:
            return found
        if name in ERRNO:
            return word(ERRNO[name])
        constants = self.source.constants()
        if name in constants:
            return word(constants[name])
        if name in NUMBERS:
            return word(NUMBERS[name])
        if name in LONGS:
            return word(LONGS[name], 64, False)
        if name == "EMPTY_VMA_FLAGS":
            return Flags({})
        return None

    def _enumerator(self, name: str) -> Any:
        for path in (self.frame.file, "mm/internal.h", "mm/vma.h"):
            value = self.source.file(path).enumerators.get(name)
            if value is not None:
                return word(value)
        return None

    # expressions ------------------------------------------------------------------------------------------------------

    def value(self, e: Any) -> Any:
        """Evaluate an expression."""
        match e:
            case c_ast.Constant():
                return _literal(e)
            case c_ast.ID():
                return self.name(e.name)
            case c_ast.FuncCall():
                return self._call(e)
            case c_ast.Assignment():
                return self._assignment(e)
            case c_ast.UnaryOp():
                return self._unary(e)
            case c_ast.BinaryOp():
                if e.op in ("&&", "||"):
                    left = self.is_true(self.value(e.left))
                    if left is (e.op == "||"):
                        return left
                    return truth(self.value(e.right))
                return binary(self, e.op, self.value(e.left), self.value(e.right))
            case c_ast.TernaryOp():
                taken = self.value(e.iftrue if self.is_true(self.value(e.cond)) else e.iffalse)
                kind = self.integer_type(e)
                return convert(taken, kind) if kind and isinstance(taken, Word | bool | z3.BoolRef) else taken
            case c_ast.StructRef():
                return self.field(self.value(e.name), e.field.name)
            case c_ast.ExprList():
                return [self.value(x) for x in e.exprs][-1]
            case c_ast.Cast():
                kind = type_of(e.to_type.type)
                value = self.value(e.expr)
                return None if kind.name == "void" else convert(value, kind)
        raise NotCovered(f"the construct {type(e).__name__}")

    def integer_type(self, e: Any) -> Type | None:
        """The integer type that an expression has, by its text; None if it is none, or that is not known."""
        match e:
            case c_ast.Constant():
                value = _literal(e)
                return Type("constant", value.bits, value.signed)
            case c_ast.ID():
                block = self.holder(e.name)
                kind = self.frame.types.get(id(block), {}).get(e.name) if block is not None else None
                if kind is None:
                    value = self._constant(e.name)
                    return Type("constant", value.bits, value.signed) if isinstance(value, Word) else None
                return promoted(kind)
            case c_ast.Cast():
                return promoted(type_of(e.to_type.type))
            case c_ast.UnaryOp() if e.op == "!":
                return INT
            case c_ast.UnaryOp() if e.op in "~-+":
                return self.integer_type(e.expr)
            case c_ast.BinaryOp() if e.op in ("<<", ">>"):
                return self.integer_type(e.left)
            case c_ast.BinaryOp() if e.op in (*COMPARED, "&&", "||"):
                return INT
            case c_ast.BinaryOp():
                return common(self.integer_type(e.left), self.integer_type(e.right))
            case c_ast.TernaryOp():
                return common(self.integer_type(e.iftrue), self.integer_type(e.iffalse))
        return None

    def _call(self, e: Any) -> Any:
        if isinstance(e.name, c_ast.ID) and self.holder(e.name.name) is None:
            name = e.name.name
        else:
            code = self.value(e.name)
            if not isinstance(code, Code):
                raise NotCovered("a call through a pointer")
            name = code.name
        arguments = [self.value(a) for a in (e.args.exprs if e.args else [])]
        frame = self.frame
        outer, frame.call = frame.call, e
        result = self.call(name, arguments, e)
        frame.call = outer
        return result

    def _assignment(self, e: Any) -> Any:
        value = self.value(e.rvalue)
        counts = isinstance(e.lvalue, c_ast.StructRef) and e.lvalue.field.name in ACCOUNTS
        if counts and self.value(e.lvalue.name) is MM:
            return value
        if e.op != "=":
            value = binary(self, e.op[:-1], self.value(e.lvalue), value)
        return self.assign(e.lvalue, value)

    def assign(self, target: Any, value: Any) -> Any:
        """Store a value; returns what is there then."""
        if isinstance(target, c_ast.ID):
            block = self.holder(target.name)
            if block is None:
                raise NotCovered(f"a change of the global {target.name}")
            kind = self.frame.types[id(block)].get(target.name)
            block[target.name] = convert(value, kind) if kind else value
            return block[target.name]
        if isinstance(target, c_ast.UnaryOp) and target.op == "*":
            return self.store(self.value(target.expr), value)
        if isinstance(target, c_ast.StructRef):
            return self.set_field(self.value(target.name), target.field.name, value)
        raise NotCovered(f"an assignment to {type(target).__name__}")

    def store(self, pointer: Any, value: Any) -> Any:
        """`*pointer = value`."""
        if isinstance(pointer, Ref):
            kind = next(
                (f.types[id(pointer.scope)].get(pointer.name) for f in self.frames if id(pointer.scope) in f.types),
                None,
            )
            pointer.scope[pointer.name] = convert(value, kind) if kind else value
            return pointer.scope[pointer.name]
        if isinstance(pointer, FieldRef):
            return self.set_field(pointer.of, pointer.name, value)
        if pointer is None:
            raise Fault("NULL is dereferenced")
        raise NotCovered("a store through a pointer")

    def load(self, pointer: Any) -> Any:
        """`*pointer`."""
        if isinstance(pointer, Ref):
            value = pointer.scope[pointer.name]
            if value is UNSET:
                raise Fault(f"{pointer.name} is used before it was set")
            return value
        if isinstance(pointer, FieldRef):
            return self.field(pointer.of, pointer.name)
        if isinstance(pointer, Iter | Record | Thing):
            return pointer
        if pointer is None:
            raise Fault("NULL is dereferenced")
        raise NotCovered("a load through a pointer")

    def _unary(self, e: Any) -> Any:
        if e.op == "&":
            return self._address(e.expr)
        if e.op == "sizeof":
            return word(size_of_type(e.expr), 64, False)
        if e.op in ("p++", "p--", "++", "--"):
            old = self.value(e.expr)
            new = self.assign(e.expr, binary(self, e.op.strip("p")[0], old, word(1)))
            return old if e.op[0] == "p" else new
        value = self.value(e.expr)
        if e.op == "*":
            return value if isinstance(value, Code) else self.load(value)
        if e.op == "!":
            return not_(truth(value))
        if e.op == "+":
            return value
        if e.op == "-":
            return negated(self, value)
        if e.op == "~":
            if isinstance(value, Flags):
                return inverted(value)
            value = convert(value, Type("int", 32, True)) if isinstance(value, bool | z3.BoolRef) else value
            if isinstance(value, Word):
                wide = value.to(max(value.bits, 32), value.signed if value.bits >= 32 else True)
                term = wide.term ^ ((1 << wide.bits) - 1) if isinstance(wide.term, int) else ~wide.vector()
                return Word(term, wide.bits, wide.signed)
        raise NotCovered(f"the operator {e.op} on {type(value).__name__}")

    def _address(self, e: Any) -> Any:
        if isinstance(e, c_ast.UnaryOp) and e.op == "*":
            return self.value(e.expr)
        if isinstance(e, c_ast.ID):
            block = self.holder(e.name)
            if block is None:
                return self.name(e.name)
            value = block[e.name]
            return value if isinstance(value, Iter | Record) else Ref(block, e.name)
        if isinstance(e, c_ast.StructRef):
            of = self.value(e.name)
            if isinstance(of, Struct):
                self.record(of)
            return FieldRef(of, e.field.name)
        raise NotCovered("the address of an expression")

    # structures -------------------------------------------------------------------------------------------------------

    def index(self, s: Any) -> int:
        """Place of a VMA in the list. Raises Fault for a pointer to none."""
        if s is None:
            raise Fault("a NULL vma is dereferenced")
        if isinstance(s, ErrPtr):
            raise Fault("an error pointer is dereferenced")
        if not isinstance(s, Struct):
            raise NotCovered(f"a VMA that is {type(s).__name__}")
        for i, known in enumerate(self.structs):
            if known is s:
                return i
        raise Fault("a freed vma is dereferenced")

    def record(self, s: Any) -> Vma:
        """The record of a VMA."""
        found: Vma = self.space.vmas[self.index(s)]
        return found

    def set_record(self, s: Any, vma: Vma) -> None:
        """Change a VMA, for which the lock must be held for writing."""
        if self.lock != "write":
            raise Fault("a VMA is changed without the mmap lock held for writing")
        self.space.vmas[self.index(s)] = vma

    def removing(self, step: Callable[[], None]) -> None:
        """Make a step that removes VMAs, and frees them."""
        before = list(zip(self.space.vmas, self.structs, strict=True))
        step()
        left = {id(vma) for vma in self.space.vmas}
        self.structs[:] = [struct for vma, struct in before if id(vma) in left]

    def field(self, of: Any, name: str) -> Any:
        """`of->name`."""
        if isinstance(of, Struct) or of is None or isinstance(of, ErrPtr):
            return self._vma_field(self.record(of), name)
        if isinstance(of, Iter):
            return Thing(f"vma_iterator.{name}")
        if isinstance(of, Record):
            if name in of.fields:
                if of.fields[name] is UNSET:
                    raise Fault(f"{name} is used before it was set")
                return of.fields[name]
            if of.zeroed:
                return word(0, 64, False)
            raise Fault(f"the field {name} of {of.kind} is used before it was set")
        if of is CURRENT:
            return {"mm": MM, "personality": word(0, 32, False)}.get(name, Thing(f"current->{name}"))
        if of is MM:
            if name == "map_count":
                return self.call("mm_map_count", [], None)
            return word(0, 64, False) if name in ACCOUNTS else Thing(f"mm->{name}")
        if of is OPS and name in ("mprotect", "close", "open", "mremap"):
            return None
        if isinstance(of, FieldRef):
            return self.field(self._inner(of), name)
        if isinstance(of, Ref):
            return self.field(self.load(of), name)
        if isinstance(of, Thing):
            return Thing(f"{of.name}.{name}")
        raise NotCovered(f"the field {name} of {type(of).__name__}")

    def _inner(self, ref: FieldRef) -> Any:
        """The structure that is a field of another; one that was not touched yet is as the other was made."""
        of = ref.of
        if isinstance(of, Record) and not isinstance(of.fields.get(ref.name), Record):
            if ref.name in of.fields:
                return self.load(ref)
            of.fields[ref.name] = Record(f"{of.kind}.{ref.name}", {}, of.zeroed)
        return self.load(ref)

    def _vma_field(self, vma: Vma, name: str) -> Any:
        match name:
            case "vm_start":
                return Addr(vma.start)
            case "vm_end":
                return Addr(vma.end)
            case "vm_pgoff":
                return Word(vma.offset, 64, False)
            case "vm_flags" | "flags" | "__vm_flags":
                return flags_of(vma)
            case "vm_mm":
                return MM
            case "vm_file":
                return FILE if self.decide(has_file(vma)) else None
            case "vm_ops":
                return None if self.decide(is_anonymous(vma)) else OPS
            case "anon_vma":
                return ANON_VMA if self.decide(ne(vma.anon_vma, 0)) else None
        raise NotCovered(f"the field {name} of a VMA")

    def set_field(self, of: Any, name: str, value: Any) -> Any:
        """`of->name = value`."""
        if isinstance(of, Record):
            of.fields[name] = value
            return value
        if isinstance(of, Ref):
            return self.set_field(self.load(of), name, value)
        if isinstance(of, FieldRef):
            return self.set_field(self._inner(of), name, value)
        if of is MM and name in ACCOUNTS:
            return value
        if isinstance(of, Struct) and name in ("vm_flags", "flags", "__vm_flags"):
            self.call("vm_flags_reset", [of, value], None)
            return value
        if of is None or isinstance(of, ErrPtr):
            self.index(of)
        raise NotCovered(f"a change of the field {name}")


def _labels(items: list[Any]) -> dict[str, int]:
    found = {}
    for i, item in enumerate(items):
        while isinstance(item, c_ast.Label):
            found[item.name] = i
            item = item.stmt
    return found


def _literal(e: Any) -> Any:
    text = e.value.lower()
    if "int" not in e.type and "long" not in e.type:
        raise NotCovered(f"the constant {e.value[:20]}")
    digits = text.rstrip("ul")
    number = int(digits, 8) if digits.startswith("0") and digits.isdigit() and len(digits) > 1 else int(digits, 0)
    unsigned, wide = "u" in text[len(digits) :], "l" in text[len(digits) :]
    if not wide and number < 1 << 31:
        return Word(number, 32, not unsigned)
    if not wide and number < 1 << 32 and (unsigned or digits.startswith("0")):
        return Word(number, 32, False)
    return Word(number, 64, not unsigned and number < 1 << 63)


def walk(node: Any) -> Iterator[Any]:
    """Every node of a tree, in the order of the text."""
    yield node
    for _, child in node.children():
        yield from walk(child)
