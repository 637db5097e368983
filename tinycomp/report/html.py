"""The report as one HTML file: no network, light and dark, the same bytes for the same report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jinja2

from tinycomp import resources
from tinycomp.report import charts
from tinycomp.report.text import number

# Sections of report.json that stages beyond compiling add, with their titles; shown as tables where they are there.
EXTRAS = (("accuracy", "Accuracy"),)


@dataclass(frozen=True)
class Tile:
    """A figure that is looked for first."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Column:
    """A column of the table of layers. most: the largest value, where the cells have a bar."""

    title: str
    key: str
    numeric: bool = False
    meter: bool = False
    most: int = 0


@dataclass(frozen=True)
class Table:
    """A plain table; without headers the first cell of a row names it."""

    headers: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class Panel:
    """A section of the page that is made of tables."""

    id: str
    title: str
    tables: tuple[Table, ...]


def environment() -> jinja2.Environment:
    """Templates of pages: everything from a model is escaped, an undefined name is an error."""
    loader = jinja2.FileSystemLoader(resources.path("templates") / "report")
    return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True,
                              lstrip_blocks=True, keep_trailing_newline=True)  # fmt: skip


def render(report: Mapping[str, Any]) -> str:
    """The page of a build, from what report.json holds."""
    chart = charts.memory_chart(report)
    return environment().get_template("report.html.j2").render(
        r=report, tiles=tiles(report),
        bars=charts.budget_bars(report, chart), chart=chart, columns=columns(report["layers"]),
        pictures=charts.graphs(report), node_width=charts.NODE_WIDTH, node_height=charts.NODE_HEIGHT,
        saved=charts.saved, panels=panels(report), number=number,
    )  # fmt: skip


def tiles(report: Mapping[str, Any]) -> tuple[Tile, ...]:
    """The figures on top: memory first, then work, then time where it is known."""
    arena, whole = report["arena_bytes"], report["memory"]["layer_by_layer"]
    held = sum(r["arena_bytes"] for r in report["regions"])
    saving = f"whole tensors: {number(whole)}" if whole > held else "no smaller than whole tensors"
    cut = report["macs"] - report["macs_live"]
    found = [
        Tile("Arena", f"{number(arena)} B", saving),
        *(Tile(f"Arena in {r['name']}", f"{number(r['arena_bytes'])} B", "") for r in report["regions"][1:]),
        Tile("Flash", f"{number(report['flash_bytes'])} B", f"weights {number(report['weights_bytes'])}"),
        Tile("Multiply-accumulates", number(report["macs_live"]),
             f"{number(report['macs'])} in the file" if cut else "an inference"),
    ]  # fmt: skip
    cycles, took, energy = report["cycles"], report["latency_ms"], report["energy_uj"]
    if cycles["value"] is not None:
        found.append(Tile("Cycles", number(cycles["value"]), cycles["how"] or ""))
    if took is not None:
        found.append(Tile("One inference", f"{took:.3g} ms", cycles["how"] or ""))
    if energy is not None:
        least, most = report["energy_range_uj"]
        found.append(Tile("Energy", f"{energy:.3g} µJ", f"{least:.3g} to {most:.3g}, from cycles"))
    if report["stack_bytes"] is not None:
        found.append(Tile("Stack", f"{number(report['stack_bytes'])} B", "below the caller"))
    return tuple(found)


def columns(layers: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns that some layer has a figure for."""
    found = [Column("#", "index", True), Column("layer", "name"), Column("kernel", "kernel"), Column("output", "shape")]
    for title, key in (("MACs", "macs"), ("weights", "weights_bytes"), ("tables", "tables_bytes"),
                       ("cycles", "cycles")):  # fmt: skip
        values = [v for v in (layer.get(key) for layer in layers) if v is not None]
        if values:
            found.append(Column(title, key, True, True, max(values)))
    return (*found, Column("rows kept", "window_rows", True), Column("segment", "segment", True))


def panels(report: Mapping[str, Any]) -> tuple[Panel, ...]:
    """What stages beyond compiling have to say; nothing where they did not run."""
    return tuple(
        Panel(key, title, tables(cast("Mapping[str, object]", report[key])))
        for key, title in EXTRAS
        if isinstance(report.get(key), Mapping) and report[key]
    )


def tables(facts: Mapping[str, object]) -> tuple[Table, ...]:
    """Plain values as one table of names and values, then a table for each list of objects and each matrix."""
    plain: list[tuple[object, ...]] = []
    lists: list[Table] = []
    for key, value in facts.items():
        if entries := _entries(value):
            heads = tuple(dict.fromkeys(k for entry in entries for k in entry))
            rows = tuple(tuple(_plain(entry.get(h)) for h in heads) for entry in entries)
            lists.append(Table(tuple(_words(h) for h in heads), rows))
        elif matrix := _matrix(value):
            heads = (_words(key), *map(str, range(len(matrix[0]))))
            lists.append(Table(heads, tuple((str(i), *row) for i, row in enumerate(matrix))))
        elif isinstance(value, Mapping):
            inner = cast("Mapping[str, object]", value)
            plain += [(f"{_words(key)}: {_words(k)}", _plain(v)) for k, v in inner.items()]
        else:
            plain.append((_words(key), _plain(value)))
    return (*([Table((), tuple(plain))] if plain else []), *lists)


def _entries(value: object) -> list[Mapping[str, object]]:
    """The value as a list of objects; empty where it is something else."""
    members = cast("list[object]", value) if isinstance(value, list) else []
    found = [cast("Mapping[str, object]", m) for m in members if isinstance(m, Mapping)]
    return found if len(found) == len(members) else []


def _matrix(value: object) -> list[list[object]]:
    """The value as rows of equal length; empty where it is something else."""
    members = cast("list[object]", value) if isinstance(value, list) else []
    rows = [cast("list[object]", m) for m in members if isinstance(m, list) and m]
    return rows if len(rows) == len(members) and len({len(row) for row in rows}) == 1 else []


def _words(key: str) -> str:
    return key.replace("_", " ")


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, str | int):
        return "–" if value is None else value
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, list | tuple):
        return ", ".join(str(_plain(v)) for v in cast("Sequence[object]", value))
    return str(value)
