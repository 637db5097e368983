"""The answer of `tinycomp fit`: what was tried, what each step cost and bought."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinycomp.fit.recipe import Recipe, widths
from tinycomp.fit.search import Candidate, Found
from tinycomp.report.text import Section, number

HELD_OUT = "on cases that took no part in making the candidate; the chosen one was made again from all cases"


def kind(recipe: Recipe) -> str:
    """A recipe in a few words."""
    parts = [recipe.scheme, *(["pruned"] if recipe.gone else []), *(["distilled"] if recipe.epochs else [])]
    return " + ".join(parts)


def facts(found: Found) -> dict[str, Any]:
    """The answer as plain data."""
    return {
        "chosen": _row(found.chosen),
        "candidates": [_row(c) for c in found.candidates],
        "limits": dict(found.limits),
        "channels": widths(found.small),
        "report": dict(found.made.build.report),
    }


def _row(c: Candidate) -> dict[str, Any]:
    f, a = c.figures, c.accuracy
    return {
        "kind": kind(c.recipe), "weights_bytes": f.weights, "flash_bytes": f.flash, "ram_bytes": f.ram,
        "cycles": f.cycles, "latency_ms": f.ms, "energy_uj": f.energy_uj, "divergence": round(c.harm, 5),
        "agreement": a.agreement,
        "score": a.score and {"name": a.score.name, "float32": a.score.float32, "quantized": a.score.quantized},
    }  # fmt: skip


def headline(found: Found, name: str) -> str:
    """The answer in one line."""
    plain, chosen = found.candidates[0], found.chosen
    f = chosen.figures
    time = "" if f.cycles is None or plain.figures.cycles is None else (
        f", {100 * f.cycles / plain.figures.cycles:.0f} % of its cycles")  # fmt: skip
    return (f"{name}: {kind(chosen.recipe)}; {f.weights:,} bytes of weights "
            f"({100 * f.weights / plain.figures.weights:.1f} % of plain int8){time}, {f.flash:,} of flash, "
            f"{f.ram:,} of RAM")  # fmt: skip


def sections(found: Found) -> Sequence[Section]:
    """What was tried, one line each, and the channels of the chosen model."""
    plain = found.candidates[0]
    rows = tuple(_cells(c, plain, c.recipe == found.chosen.recipe) for c in found.candidates)
    layers = tuple((name, number(count)) for name, count in widths(found.small).items())
    limits = ", ".join(f"{name} {value:,.6g}" for name, value in found.limits.items())
    return (
        Section("Candidates", ("", "candidate", "weights", "share", "flash", "RAM", "cycles", "ms", "mJ", "agreement",
                               "score", "divergence"), "<<>>>>>>>>>>", rows, (f"limits: {limits}", HELD_OUT)),
        Section("Channels", ("layer", "channels"), "<>", layers),
    )  # fmt: skip


def _cells(c: Candidate, plain: Candidate, chosen: bool) -> tuple[str, ...]:
    f, a = c.figures, c.accuracy
    energy = None if f.energy_uj is None else f.energy_uj / 1000
    return (
        "→" if chosen else "", kind(c.recipe), number(f.weights), f"{100 * f.weights / plain.figures.weights:.1f} %",
        number(f.flash), number(f.ram), _or_dash(f.cycles, ",.0f"), _or_dash(f.ms, ".4g"), _or_dash(energy, ".3g"),
        _or_dash(a.agreement, ".3f"), _or_dash(a.score.quantized if a.score else None, ".3f"), f"{c.harm:.4f}",
    )  # fmt: skip


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
