"""Cycles and bytes of code of each step of a program on a core, predicted without an emulator or a compiler.

A step's cycles are a sum of sizes that its node states (`rows`), each times a coefficient. `benchmarks/fit_costs.py`
fits the coefficients to counts of emulated programs, for each kernel row and core by itself, and writes
boards/costs.json. Where no cycles are modelled they are instructions. What has not been fitted is None, never a guess.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypedDict, cast

from tinycomp import resources
from tinycomp.cores import Core
from tinycomp.cost.rows import code_sizes, features, key, tags
from tinycomp.ir import Graph
from tinycomp.program import Program, Step

FILE = "costs.json"
HOW: Mapping[str, str] = MappingProxyType({
    "cycles": "modelled, fitted to emulated counts",
    "instructions": "instructions, fitted to emulated counts; this core's cycles are not modelled",
})  # fmt: skip
# Cores that run the same instructions as another one that was counted.
SAME: Mapping[str, str] = MappingProxyType({"cortex-m85": "cortex-m55", "rv32imac": "rv32imc"})
Unit = Literal["cycles", "instructions"]


@dataclass(frozen=True)
class Row:
    """What was fitted for a kernel row on a core.

    terms: cycles for each unit of a feature. seen: the values that each structural choice had in the fitted programs.
    code: bytes of its function for each unit of what those are made of.
    """

    terms: Mapping[str, float]
    seen: Mapping[str, frozenset[str]]
    code: Mapping[str, float] = field(default_factory=dict[str, float])


class Stored(TypedDict):
    """A row as costs.json has it; the values of a choice are joined by |."""

    terms: dict[str, float]
    seen: dict[str, str]
    code: dict[str, float]


class File(TypedDict):
    """costs.json. fingerprints: of each kernel row's C and features, as they were fitted (see benchmarks)."""

    fingerprints: dict[str, str]
    cores: dict[str, dict[str, Stored]]


Table = Mapping[str, Mapping[str, Row]]


@dataclass(frozen=True)
class Cost:
    """What one inference takes with zero-wait-state memory, in `unit`; None where some step's is not known.

    per_step: of each step of the program, in order.
    """

    unit: Unit
    total: float | None
    per_step: tuple[float | None, ...]

    @property
    def how(self) -> str:
        """Where the figures come from, for people."""
        return HOW[self.unit]

    @property
    def cycles(self) -> float | None:
        """Cycles of one inference, None where they are not modelled."""
        return self.total if self.unit == "cycles" else None

    @property
    def instructions(self) -> float | None:
        """Instructions of one inference, where cycles are not modelled."""
        return self.total if self.unit == "instructions" else None

    def milliseconds(self, clock_hz: int) -> float | None:
        """Time of one inference at that clock, if memory never makes the core wait."""
        return None if self.cycles is None else 1e3 * self.cycles / clock_hz


def path() -> Path:
    """Where costs.json lies."""
    return resources.path("boards") / FILE


def stored() -> File:
    """costs.json."""
    return cast(File, json.loads(path().read_text()))


@cache
def fitted() -> Table:
    """The coefficients that ship with the package, by core and kernel row."""
    cores = {core: MappingProxyType({name: row(found) for name, found in rows.items()})
             for core, rows in stored()["cores"].items()}  # fmt: skip
    return MappingProxyType(cores)


def row(found: Stored) -> Row:
    """A row of costs.json."""
    seen = {name: frozenset(values.split("|")) for name, values in found["seen"].items()}
    return Row(MappingProxyType(found["terms"]), MappingProxyType(seen), MappingProxyType(found["code"]))


def unit(core: Core) -> Unit:
    """What is predicted for a core."""
    return "instructions" if core.pipeline is None else "cycles"


def work(step: Step, graph: Graph, core: Core, table: Table | None = None) -> float | None:
    """Cycles (see `unit`) of all calls of a step; None where its kernel has not been fitted on the core, or not so."""
    found = _row(step, core, table)
    return None if found is None else _sum(found.terms, features(step, graph))


def code(step: Step, graph: Graph, core: Core, table: Table | None = None) -> float | None:
    """Bytes of the step's function, helpers that are functions of their own aside; None where that is not known."""
    found = _row(step, core, table)
    return None if found is None or not found.code else _sum(found.code, code_sizes(step, graph))


def program(made: Program, core: Core, table: Table | None = None) -> Cost:
    """The work of every step and its sum."""
    each = tuple(work(step, made.graph, core, table) for step in made.steps)
    known = [c for c in each if c is not None]
    return Cost(unit(core), sum(known) if len(known) == len(each) else None, each)


def known_form(form: Mapping[str, str], found: Row) -> bool:
    """Each structural choice of the form was among the fitted programs; one that is new and not made is harmless."""
    return found.seen.keys() <= form.keys() and all(
        value in found.seen.get(name, ("False",)) for name, value in form.items()
    )


def _row(step: Step, core: Core, table: Table | None) -> Row | None:
    rows = (fitted() if table is None else table).get(SAME.get(core.id, core.id), {})
    found = rows.get(key(step))
    return None if found is None or not known_form(tags(step), found) else found


def _sum(terms: Mapping[str, float], sizes: Mapping[str, float]) -> float:
    return sum(value * sizes.get(name, 0.0) for name, value in terms.items())
