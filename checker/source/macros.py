# SPDX-License-Identifier: MIT
"""Expanding macros in the text of one function: those of its own file, and ours for those of the kernel's headers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from checker.source.errors import NotCovered
from checker.source.text import Macro

_TOKEN = re.compile(r"""[A-Za-z_]\w*|\d[\w.]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\#\#|\s+|.""", re.S)
MOST = 20_000
"""Tokens that a function may grow to."""


def _macros(text: str) -> dict[str, Macro]:
    found = {}
    for line in text.strip().splitlines():
        m = re.match(r"(\w+)(\(([^)]*)\))? *=> *(.*)", line.strip())
        assert m is not None, line
        parameters = None if m[2] is None else tuple(p.strip() for p in m[3].split(",") if p.strip())
        found[m[1]] = Macro(m[1], parameters, m[4])
    return found


OURS = _macros(
    """
    for_each_vma_range(vmi, vma, last) => while (((vma) = vma_find(&(vmi), (last))) != NULL)
    for_each_vma(vmi, vma) => while (((vma) = vma_next(&(vmi))) != NULL)
    VMA_ITERATOR(name, mm, addr) => struct vma_iterator name = __vma_iterator(mm, addr)
    SYSCALL_DEFINE0(name) => long sys_##name(void)
    SYSCALL_DEFINE1(name, t1, a1) => long sys_##name(t1 a1)
    SYSCALL_DEFINE2(name, t1, a1, t2, a2) => long sys_##name(t1 a1, t2 a2)
    SYSCALL_DEFINE3(name, t1, a1, t2, a2, t3, a3) => long sys_##name(t1 a1, t2 a2, t3 a3)
    SYSCALL_DEFINE4(name, t1, a1, t2, a2, t3, a3, t4, a4) => long sys_##name(t1 a1, t2 a2, t3 a3, t4 a4)
    SYSCALL_DEFINE5(name, t1, a1, t2, a2, t3, a3, t4, a4, t5, a5) => long sys_##name(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5)
    SYSCALL_DEFINE6(n, t1, a1, t2, a2, t3, a3, t4, a4, t5, a5, t6, a6) => long sys_##n(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5, t6 a6)
    MA_STATE(name, tree, first, last) => struct ma_state name
    LIST_HEAD(name) => struct list_head name
    likely(x) => (x)
    unlikely(x) => (x)
    READ_ONCE(x) => (x)
    WRITE_ONCE(x, v) => ((x) = (v))
    VM_BUG_ON(x) => ((void)0)
    VM_BUG_ON_MM(x, m) => ((void)0)
    VM_BUG_ON_VMA(x, v) => ((void)0)
    VM_WARN_ON(x) => ((void)0)
    VM_WARN_ON_ONCE(x) => (0)
    VM_WARN_ON_VMG(x, v) => ((void)0)
    VM_WARN_ON_ONCE_VMA(x, v) => (0)
    WARN_ON(x) => (x)
    WARN_ON_ONCE(x) => (x)
    __user =>
    __must_check =>
    __always_inline => inline
    __inline => inline
    noinline =>
    asmlinkage =>
    __maybe_unused =>
    __init =>
    __sched =>
    __must_hold(x) =>
    __acquires(x) =>
    __releases(x) =>
    __attribute__(x) =>
    __printf(a, b) =>
    fallthrough => ;
    """  # noqa: E501
)
"""Macros of the kernel's headers, in words of our own. Those of the debugging kinds test nothing: CONFIG_DEBUG_VM is
off."""


def tokens_of(text: str) -> list[str]:
    """The text as tokens, white space among them."""
    return _TOKEN.findall(text)


def expand(text: str, macros: Mapping[str, Macro], opaque: frozenset[str] | set[str] = frozenset()) -> str:
    """The text with macros expanded, line for line. `opaque` names are left as they are, whatever a macro says of
    them. Raises NotCovered for one that is used otherwise than it is defined."""
    out = _expand(tokens_of(text), macros, opaque, frozenset())
    return "".join(out)


def _expand(
    tokens: list[str], macros: Mapping[str, Macro], opaque: frozenset[str] | set[str], hidden: frozenset[str]
) -> list[str]:
    out: list[str] = []
    i = 0
    while i < len(tokens):
        token = tokens[i]
        macro = macros.get(token) if token not in hidden and token not in opaque else None
        if macro is None:
            out.append(token)
            i += 1
            continue
        if macro.parameters is None:
            out += _expand(tokens_of(macro.body), macros, opaque, hidden | {token})
            i += 1
            continue
        j = i + 1
        while j < len(tokens) and tokens[j].isspace():
            j += 1
        if j >= len(tokens) or tokens[j] != "(":
            out.append(token)
            i += 1
            continue
        arguments, after = _arguments(tokens, j, token)
        if len(arguments) != len(macro.parameters) and not (arguments == [[]] and not macro.parameters):
            if macro.parameters[-1:] not in (("...",),):
                raise NotCovered(f"the macro {token}() with {len(arguments)} arguments")
            raise NotCovered(f"the macro {token}(), which takes any number of arguments")
        given = {
            p: "".join(_expand(a, macros, opaque, hidden)).strip().replace("\n", " ")
            for p, a in zip(macro.parameters, arguments, strict=False)
        }
        body = re.sub(r"\s*##\s*", "##", macro.body)
        replaced = "".join(given.get(t, t) for t in tokens_of(body)).replace("##", "")
        newlines = "".join(tokens[i:after]).count("\n")
        out += _expand(tokens_of(replaced), macros, opaque, hidden | {token})
        out += ["\n"] * newlines
        i = after
        if len(out) > MOST:
            raise NotCovered("macros that expand without end")
    return out


def _arguments(tokens: list[str], opening: int, name: str) -> tuple[list[list[str]], int]:
    arguments: list[list[str]] = [[]]
    depth = 0
    for j in range(opening, len(tokens)):
        token = tokens[j]
        if token in "([{" and len(token) == 1:
            depth += 1
            if depth == 1:
                continue
        elif token in ")]}" and len(token) == 1:
            depth -= 1
            if depth == 0:
                return arguments, j + 1
        elif token == "," and depth == 1:
            arguments.append([])
            continue
        arguments[-1].append(token)
    raise NotCovered(f"the macro {name}( is not closed")
