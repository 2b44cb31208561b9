# SPDX-License-Identifier: MIT
"""`sealspec guarantee`: what a seal guarantees, kernel by kernel, and recipes."""

from __future__ import annotations

from reports.cli_common import BadUsage, ExitCode, console, edition_named, line, unknown
from reports.guarantees.promises import READERS, Reader, promises
from reports.guarantees.recipes import RECIPES, Recipe, recipes, speaks_of
from reports.guarantees.screen import EXPECTED, LEGEND, WIDEST, column, recipe_lines, table, wrapped
from reports.outputs import Outputs
from spec.editions import EDITIONS


def guarantee(recipe: str | None, edition: str | None, reader: str | None, json_file: str | None) -> ExitCode:
    """Print the promises and the names of recipes, or one recipe. Raises BadUsage for an unknown name."""
    if recipe is not None and recipe not in RECIPES:
        unknown("recipe", recipe, RECIPES)
    who = _reader(reader)
    chosen = edition_named(edition).name if edition is not None else None
    shown = _recipes(recipe, who, chosen)
    if json_file is not None:
        from reports.guarantees.document import document_of

        files = Outputs({"--json": json_file})
        files.write_document("--json", document_of(promises(who), shown, chosen))
        if files.standard:
            return ExitCode.OK
    out = console()
    width = min(out.width, WIDEST)
    for text in _screen(RECIPES[recipe] if recipe else None, who, chosen, shown, width):
        line(out, text)
    return ExitCode.OK


def _reader(name: str | None) -> Reader | None:
    for reader in READERS:
        if reader == name:
            return reader
    if name is not None:
        unknown("reader", name, READERS)
    return None


def _recipes(recipe: str | None, reader: Reader | None, edition: str | None) -> tuple[Recipe, ...]:
    """What recipes there are for an edition."""
    spoken = edition is None or speaks_of(edition)
    if recipe is None:
        return recipes(reader) if spoken else ()
    if not spoken:
        raise BadUsage(
            f"recipes are about kernels, and {edition} is none: leave out {recipe}, or choose another --edition"
        )
    if reader is not None:
        raise BadUsage(f"a recipe is shown whole: leave out --for, or {recipe}")
    return (RECIPES[recipe],)


def _screen(
    recipe: Recipe | None, reader: Reader | None, edition: str | None, shown: tuple[Recipe, ...], width: int
) -> list[str]:
    if recipe is not None:
        return [*recipe_lines(recipe, edition, width), *wrapped(EXPECTED, width)]
    chosen = promises(reader)
    if edition is None:
        lines = [*table(chosen, width)]
    else:
        lines = wrapped(f"{edition}: {EDITIONS[edition].kernel}", width)
        lines += column(chosen, edition, width)
    if shown:
        lines.append("Recipes: sealspec guarantee NAME")
        if reader and edition is None:
            for one in shown:
                lines += wrapped(one.short, width, " " * 20, f"  {one.name:<18}")
        else:
            lines += wrapped(", ".join(one.name for one in shown), width, "  ")
    return [*lines, *wrapped(LEGEND + EXPECTED, width)]
