# SPDX-License-Identifier: MIT
"""cvc5 as a program, where only its Python module is installed: reads a file of SMT-LIB, prints the answers.

Options are those of the program, as `--name=value`, before the file; `--version` prints the version.
"""

import sys

import cvc5


def main() -> None:
    """Answer the file that is named last."""
    *options, file = sys.argv[1:]
    if file == "--version":
        print(f"cvc5 {cvc5.__version__} (Python module)")
        return
    solver = cvc5.Solver()
    for option in options:
        name, _, value = option.removeprefix("--").partition("=")
        solver.setOption(name, value)
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, file)
    while not (command := parser.nextCommand()).isNull():
        answer = str(command.invoke(solver, parser.getSymbolManager()))
        if answer != "success":
            print(answer, end="")


if __name__ == "__main__":
    main()
