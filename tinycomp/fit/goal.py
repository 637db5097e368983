"""What a small model may cost, and what a candidate costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tinycomp import build as builder
from tinycomp.errors import Unsupported
from tinycomp.frontend import Model
from tinycomp.quantize.convert import Converted
from tinycomp.rewrite import WEIGHTED
from tinycomp.tflite import reader

UNITS = {"weights": "bytes", "flash": "bytes", "ram": "bytes", "cycles": "cycles", "ms": "ms"}


@dataclass(frozen=True)
class Wanted:
    """What the user asks for. weights, cycles: shares of the plain int8 build. min_accuracy: a share of the cases."""

    weights: float | None = None
    cycles: float | None = None
    min_accuracy: float | None = None


@dataclass(frozen=True)
class Figures:
    """What a build costs: bytes of weights with biases, of flash, of RAM; cycles, ms and µJ of an inference, None where
    they are not modelled."""

    weights: int
    flash: int
    ram: int
    cycles: int | None
    ms: float | None
    energy_uj: float | None

    @property
    def by_name(self) -> dict[str, float | None]:
        """The figures that there may be a limit of."""
        return {name: vars(self)[name] for name in UNITS}


@dataclass(frozen=True, eq=False)
class Made:
    """A model that was quantized and compiled, not yet written."""

    build: builder.Build
    figures: Figures


def made(converted: Converted, source: Model, options: builder.Options) -> Made:
    """Compile a quantized model and add up what it costs."""
    model = source.become(converted.graph)
    build = builder.compile_model(model, options, converted)
    graph, r = reader.read(model.data, model.name), build.report
    constants = {t.name: t for n in graph.nodes if isinstance(n.attrs, WEIGHTED) for t in graph.ins(n)[1:]}
    figures = Figures(sum(t.bytes for t in constants.values()), r["flash_bytes"], r["ram_bytes"], r["cycles"]["value"],
                      r["latency_ms"], r["energy_uj"])  # fmt: skip
    return Made(build, figures)


def limits(plain: Made, wanted: Wanted) -> dict[str, float]:
    """The most of each figure. Raises Unsupported for a limit of cycles that are not modelled."""
    budget = plain.build.report["budget"]
    found: dict[str, float] = {"flash": budget["flash"], "ram": budget["ram"]}
    if budget["max_ms"] is not None:
        found["ms"] = budget["max_ms"]
    if wanted.weights is not None:
        found["weights"] = wanted.weights * plain.figures.weights
    if wanted.cycles is not None:
        if plain.figures.cycles is None:
            raise Unsupported(f"the cycles of {plain.build.board.core.title} are not modelled", where="--cycles",
                              fix="give --weights, --flash or --ram, or a board whose cycles are")  # fmt: skip
        found["cycles"] = wanted.cycles * plain.figures.cycles
    return found


def exceeded(figures: Figures, most: Mapping[str, float]) -> dict[str, float]:
    """By how much each limit that is missed is missed: what there is over what may be, above 1.

    A figure that is not known keeps to no limit: it misses by infinity.
    """
    known = {name: math.inf if value is None else value for name, value in figures.by_name.items()}
    ratios = {name: known[name] / limit for name, limit in most.items()}
    return {name: ratio for name, ratio in ratios.items() if ratio > 1}


def missed(figures: Figures, most: Mapping[str, float]) -> str:
    """The limits that are missed, for people."""
    over, named = exceeded(figures, most), figures.by_name
    needs = {name: "an unknown number of" if named[name] is None else f"{named[name]:,.6g}" for name in over}
    return ", ".join(
        f"it needs {needs[name]} {UNITS[name]} ({name}) and {most[name]:,.6g} are allowed" for name in over
    )
