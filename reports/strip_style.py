# SPDX-License-Identifier: MIT
"""Colours and fonts of the drawings, for light and dark pages. No colour carries a meaning alone."""

from __future__ import annotations

_LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "dim": "#57606a",
    "fail": "#a40e26",
    "anon": "#dbe9fb",
    "file": "#dcf3df",
    "devzero": "#efe6fb",
    "special": "#e6e8eb",
    "hugetlb": "#fbe9d0",
    "edge": "#3b4754",
    "hatching": "#334155",
    "same": "#8c959f",
    "changed": "#b27a00",
    "split": "#b27a00",
    "merge": "#0969a8",
    "moved": "#7a3db8",
    "mapped": "#1a7f37",
    "unmapped": "#a40e26",
    "replaced": "#a13d00",
}
_DARK = {
    "paper": "#14181d",
    "ink": "#e8edf2",
    "dim": "#a3adb8",
    "fail": "#ff8a8a",
    "anon": "#1f3a5c",
    "file": "#1d4429",
    "devzero": "#3d2d5c",
    "special": "#363c44",
    "hugetlb": "#553a14",
    "edge": "#b4bfca",
    "hatching": "#e8edf2",
    "same": "#7d8894",
    "changed": "#e0ac3a",
    "split": "#e0ac3a",
    "merge": "#5ab1ea",
    "moved": "#bf93f0",
    "mapped": "#56c271",
    "unmapped": "#ff8a8a",
    "replaced": "#f09a62",
}
_RELATIONS = ("same", "changed", "split", "merge", "moved", "mapped", "unmapped", "replaced")


def _colours(c: dict[str, str]) -> str:
    rules = [
        f".paper,.cut{{fill:{c['paper']}}}",
        f".t,.pointer,.padlock{{fill:{c['ink']}}}",
        f".dim{{fill:{c['dim']}}}.fail{{fill:{c['fail']}}}",
        f".block{{stroke:{c['edge']}}}.sealed,.shackle{{stroke:{c['ink']}}}.hatching{{stroke:{c['hatching']}}}",
        f".zag,.bracket{{stroke:{c['ink']}}}.void,.tick{{stroke:{c['dim']}}}",
        f".cross{{stroke:{c['fail']}}}.halo{{stroke:{c['paper']}}}.column{{stroke:{c['fail']}}}",
        f".pointer{{fill:{c['fail']}}}.copy{{fill:{c['paper']};stroke:{c['edge']}}}",
        f".pill{{fill:{c['paper']};stroke:{c['dim']}}}.pill.stop,.pill.culprit{{stroke:{c['fail']}}}",
    ]
    rules += [f".{kind}{{fill:{c[kind]}}}" for kind in ("anon", "file", "devzero", "special", "hugetlb")]
    rules += [f".ribbon.{r}{{fill:{c[r]};stroke:{c[r]}}}.pill.{r}{{stroke:{c[r]}}}" for r in _RELATIONS]
    return "".join(_scoped(rule) for rule in "".join(rules).split("}") if rule)


def _scoped(rule: str) -> str:
    """The rule for our drawings only: they may stand in an HTML page that has styles of its own."""
    selectors, _, body = rule.partition("{")
    return ",".join(f".mseal-strip {one}" for one in selectors.split(",")) + "{" + body + "}"


_SHAPES = (
    ".t{font:13px system-ui,'DejaVu Sans',Arial,sans-serif}.big{font-size:18px;font-weight:bold}"
    ".small{font-size:12px}.body{font-size:14px}.bold{font-weight:bold}.fail{font-weight:bold}"
    ".num{font-size:12px}.mono{font-family:ui-monospace,'DejaVu Sans Mono',monospace}"
    ".block{stroke-width:1}.sealed{fill:none;stroke-width:2}.shackle{fill:none;stroke-width:2}.hatching{stroke-width:3;stroke-opacity:.22}"
    ".zag{fill:none;stroke-width:1.5}.void{stroke-dasharray:3 4}.bracket{fill:none;stroke-width:2}"
    ".cross{fill:none;stroke-width:3;stroke-linecap:round}.halo{stroke-width:7}"
    ".column{fill:none;stroke-width:2;stroke-dasharray:6 4}.pill{stroke-width:1.2}.pill.bare{stroke-width:0}"
    ".ribbon{fill-opacity:.16;stroke-opacity:.55;stroke-width:1}.ribbon.same{fill-opacity:.1;stroke-opacity:.4}"
    ".ribbon.moved,.ribbon.replaced{stroke-dasharray:7 3}.pill.stop,.pill.culprit{stroke-width:2}"
)

STYLE = (
    "".join(_scoped(rule) for rule in _SHAPES.split("}") if rule)
    + _colours(_LIGHT)
    + f"@media (prefers-color-scheme:dark){{{_colours(_DARK)}}}"
)
"""The style sheet of a drawing."""
