# SPDX-License-Identifier: MIT
"""The interpreter against gcc: the same functions, compiled and interpreted, on random arguments."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from checker.machine import WordGuards
from checker.source.errors import Fault
from checker.source.machine import Machine
from checker.source.sides import number_of
from checker.source.values import word
from spec.editions import EDITIONS
from tests.source.own_c import source_of

FUNCTIONS = """
static long f0(long a, unsigned int b, int c)
{
	long r = a + b;
	if (c < 0 && b > 5u)
		r -= c;
	else
		r ^= c << 3;
	return r;
}

static unsigned long f1(long a, unsigned int b, int c)
{
	unsigned long r = b;
	int i;
	for (i = 0; i < 7; i++) {
		if (i == 3)
			continue;
		r = r * 3 + (a & 0xff);
		if (r > 1000000000000UL)
			break;
	}
	return r + c;
}

static int f2(long a, unsigned int b, int c)
{
	switch (c & 3) {
	case 0:
		return a > b;
	case 1:
		a += 2;
	case 2:
		return (int)a;
	default:
		break;
	}
	return ~c | (b >> 4);
}

static unsigned int f3(long a, unsigned int b, int c)
{
	unsigned char small = a;
	short other = b;
	bool truth = c;
	return small + other + truth + (c ? -1 : 1);
}

static long f4(long a, unsigned int b, int c)
{
	int left = 20;
	do {
		a = a / 3 - c % 7;
		if (!--left)
			goto out;
	} while (a != 0 && left > 0);
	b++;
out:
	return a + b * (unsigned long)left;
}

static bool f5(long a, unsigned int b, int c)
{
	int inner = 1;
	{
		int inner = c;
		inner += b;
		if (inner > (int)a || !(b - 1 < 10) != (c == 0))
			return inner;
	}
	return inner - 1;
}
"""
NAMES = [f"f{i}" for i in range(6)]
BINARY = ("+", "-", "*", "&", "|", "^", "<", ">", "<=", ">=", "==", "!=", "&&", "||")


def expression(r: random.Random, depth: int) -> str:
    if depth == 0 or r.random() < 0.2:
        return r.choice(("a", "b", "c", "7", "0x80000000", "3UL", "-1", "255u", "1L"))
    kind = r.random()
    inner = expression(r, depth - 1)
    if kind < 0.15:
        return f"({r.choice('~-!')}{inner})"
    if kind < 0.3:
        return f"(({r.choice(('int', 'unsigned int', 'long', 'unsigned char', 'short', 'bool'))}){inner})"
    if kind < 0.4:
        return f"({inner} ? {expression(r, depth - 1)} : {expression(r, depth - 1)})"
    return f"({inner} {r.choice(BINARY)} {expression(r, depth - 1)})"


def interpreted(text: str, name: str, arguments: tuple[int, int, int]) -> int:
    a, b, c = arguments
    given = [word(a, 64, True), word(b, 32, False), word(c, 32, True)]
    machine = Machine(source_of(text), WordGuards(EDITIONS["v10"]))
    value = number_of(machine.call(name, given, None))
    return int(value) % (1 << 64)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_the_interpreter_computes_what_gcc_does(tmp_path: Path) -> None:
    r = random.Random(14)
    made = "".join(
        f"static long e{i}(long a, unsigned int b, int c)\n{{\n\treturn {expression(r, 4)};\n}}\n" for i in range(40)
    )
    text, names = FUNCTIONS + made, [*NAMES, *(f"e{i}" for i in range(40))]
    edges = (0, 1, -1, 5, 255, 1 << 31, -(1 << 31), 1 << 40, 77)
    cases = [
        (r.choice(edges) if r.random() < 0.5 else r.getrandbits(48), r.choice(edges), r.choice(edges))
        for _ in range(30)
    ]
    calls = "".join(
        f'\tprintf("%lu\\n", (unsigned long)(long){n}({a}L, (unsigned int){b}L, (int){c}L));\n'
        for n in names
        for a, b, c in cases
    )
    program = f"#include <stdio.h>\n#include <stdbool.h>\n{text}\nint main(void)\n{{\n{calls}\treturn 0;\n}}\n"
    (tmp_path / "f.c").write_text(program)
    flags = ["-w", "-O0", "-fwrapv", "-fno-strict-overflow", "-funsigned-char"]
    subprocess.run(["gcc", *flags, "-o", tmp_path / "f", tmp_path / "f.c"], check=True)
    told = subprocess.run([tmp_path / "f"], check=True, capture_output=True, text=True).stdout.split()
    wanted = iter(told)
    for name in names:
        for case in cases:
            answer = int(next(wanted))
            assert interpreted(text, name, case) == answer, (name, case)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("int x; return x;", "before it was set"),
        ("return 1 << 40;", "a shift by 40"),
        ("if (a) return 1;", "gave no result"),
        ("return a / 0;", "division by zero"),
    ],
)
def test_what_no_compiler_defines_is_a_fault(body: str, what: str) -> None:
    text = f"static int f(int a)\n{{\n\t{body}\n}}\nstatic int g(int a)\n{{\n\treturn f(a) + 1;\n}}\n"
    with pytest.raises(Fault, match=what):
        Machine(source_of(text), WordGuards(EDITIONS["v10"])).call("g", [word(0)], None)
