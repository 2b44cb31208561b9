"""`sealspec guarantee`: what a seal guarantees, kernel by kernel, and recipes."""

from __future__ import annotations

from reports.cli_common import BadUsage, ExitCode, console, edition_named, line, unknown, write_out
from reports.guarantees.promises import READERS, Reader, promises
from reports.guarantees.recipes import RECIPES, Recipe, recipes
from reports.guarantees.screen import MODEL, NOTHING_SOLVED, WIDEST, column, recipe_lines, table, wrapped
from spec.editions import EDITIONS, System


def guarantee(recipe: str | None, edition: str | None, reader: str | None, json_file: str | None) -> ExitCode:
    """Print the promises and the names of recipes, or one recipe. Raises BadUsage for an unknown name."""
    if recipe is not None and recipe not in RECIPES:
        unknown("recipe", recipe, RECIPES)
    who = _reader(reader)
    chosen = edition_named(edition).name if edition is not None else None
    shown = _recipes(recipe, who, chosen)
    if json_file is not None:
        from reports.guarantees.document import document_of

        write_out(json_file, document_of(promises(who), shown, chosen).model_dump_json(indent=2) + "\n")
        if json_file == "-":
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
    """What recipes there are. They speak of Linux: another system has none."""
    linux = edition is None or EDITIONS[edition].system is System.LINUX
    if recipe is None:
        return recipes(reader) if linux else ()
    if not linux:
        raise BadUsage(f"the recipe {recipe} speaks of Linux kernels, and {edition} is not one; leave it out")
    if reader is not None:
        raise BadUsage(f"a recipe is shown whole: leave out --for, or {recipe}")
    return (RECIPES[recipe],)


def _screen(
    recipe: Recipe | None, reader: Reader | None, edition: str | None, shown: tuple[Recipe, ...], width: int
) -> list[str]:
    note = f"{NOTHING_SOLVED}{f' of {edition}' if edition else ''}. More: docs/GUARANTEES.md."
    if recipe is not None:
        return [*recipe_lines(recipe, edition, width), *wrapped(note, width)]
    chosen = promises(reader)
    if edition is None:
        lines = [*table(chosen, width)]
    else:
        lines = [f"What a seal guarantees in {edition}: {EDITIONS[edition].kernel}", *column(chosen, edition, width)]
    if shown:
        lines.append("Recipes: sealspec guarantee NAME")
        lines += (
            [f"  {one.name:<18}  {one.short}" for one in shown]
            if reader
            else wrapped(", ".join(one.name for one in shown), width, "  ")
        )
    return [*lines, *wrapped(f"{MODEL} {note}", width)]
