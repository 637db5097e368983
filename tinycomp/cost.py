"""Cycles of each step of a program on a core, predicted without an emulator.

A step's cycles are a sum of sizes that its node states, each times a coefficient. `benchmarks/fit_costs.py` fits the
coefficients to counts of emulated programs, for each kernel row and core by itself, and writes costs.json. What has not
been fitted is None, never a guess.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict, cast

from tinycomp.cost_features import features, key, tags
from tinycomp.program import Program, Step
from tinycomp.target import Core

TABLE = Path(__file__).with_name("costs.json")
HOW = "modelled, fitted to emulated counts"


@dataclass(frozen=True)
class Row:
    """What was fitted for a kernel row on a core.

    terms: cycles for each unit of a feature. seen: the values that each structural choice had in the fitted programs.
    """

    terms: Mapping[str, float]
    seen: Mapping[str, frozenset[str]]


class _Stored(TypedDict):
    """A row as costs.json has it; the values of a choice are joined by |."""

    terms: dict[str, float]
    seen: dict[str, str]


Table = Mapping[str, Mapping[str, Row]]


@dataclass(frozen=True)
class Cost:
    """Cycles of one inference with zero-wait-state memory; None where some step's are not known.

    per_step: of each step of the program, in order.
    """

    cycles: float | None
    per_step: tuple[float | None, ...]
    how: str = HOW

    def milliseconds(self, clock_hz: int) -> float | None:
        """Time of one inference at that clock, if memory never makes the core wait."""
        return None if self.cycles is None else 1e3 * self.cycles / clock_hz

    def microjoules(self, uj_per_mcycle: float | None) -> float | None:
        """Energy of one inference on a board that spends that much for a million cycles."""
        return None if self.cycles is None or uj_per_mcycle is None else 1e-6 * self.cycles * uj_per_mcycle


@cache
def fitted() -> Table:
    """The coefficients that ship with the package, by core and kernel row."""
    stored = cast("dict[str, dict[str, dict[str, _Stored]]]", json.loads(TABLE.read_text()))
    cores = {core: MappingProxyType({name: row(found) for name, found in rows.items()})
             for core, rows in stored["cores"].items()}  # fmt: skip
    return MappingProxyType(cores)


def row(stored: _Stored) -> Row:
    """A row of costs.json."""
    seen = {name: frozenset(values.split("|")) for name, values in stored["seen"].items()}
    return Row(MappingProxyType(stored["terms"]), MappingProxyType(seen))


def cycles(step: Step, program: Program, core: Core, table: Table | None = None) -> float | None:
    """Cycles of all calls of a step; None where its kernel has not been fitted on the core, or not in this form."""
    found = (fitted() if table is None else table).get(core.id, {}).get(key(step))
    if found is None:
        return None
    if not known_form(tags(step), found):
        return None
    sizes = features(step, program.graph)
    return sum(value * sizes.get(name, 0.0) for name, value in found.terms.items())


def known_form(form: Mapping[str, str], row: Row) -> bool:
    """Each structural choice of the form was among the fitted programs."""
    return form.keys() == row.seen.keys() and all(value in row.seen[name] for name, value in form.items())


def program(program: Program, core: Core, table: Table | None = None) -> Cost:
    """Cycles of every step and their sum."""
    each = tuple(cycles(step, program, core, table) for step in program.steps)
    known = [c for c in each if c is not None]
    return Cost(sum(known) if len(known) == len(each) else None, each)
