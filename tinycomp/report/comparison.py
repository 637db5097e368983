"""Two builds side by side, from their reports: figures, layers, and both memory maps on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tinycomp.report import charts
from tinycomp.report.html import environment
from tinycomp.report.text import Section, number

WAYS: Mapping[str, str] = MappingProxyType(
    {"auto": "streamed", "on": "streamed", "off": "layer by layer", "push": "pushed"}
)


@dataclass(frozen=True)
class Figure:
    """One figure of both builds, None where it is not known."""

    title: str
    a: float | None
    b: float | None

    @property
    def change(self) -> str:
        """B against A in percent."""
        if self.a is None or self.b is None:
            return ""
        if self.a == self.b:
            return "="
        return f"{100 * (self.b - self.a) / self.a:+.1f} %".replace("-", "−") if self.a else "new"


def figures(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Figure, ...]:
    """What is compared, most important first; figures that neither build knows are left out."""
    named = (
        ("arena", "arena_bytes"), ("RAM in all", "ram_bytes"), ("whole tensors", "memory.layer_by_layer"),
        ("flash in all", "flash_bytes"), ("weights", "weights_bytes"), ("biases and tables", "tables_bytes"),
        ("code", "code_bytes.value"), ("stack", "stack_bytes"), ("multiply-accumulates", "macs_live"),
        ("cycles", "cycles.value"), ("latency, ms", "latency_ms"), ("energy, µJ", "energy_uj"),
    )  # fmt: skip
    found = tuple(Figure(title, _at(a, path), _at(b, path)) for title, path in named)
    others = tuple(dict.fromkeys(r["name"] for report in (a, b) for r in report["regions"][1:]))
    regions = tuple(Figure(f"arena in {name}", _region(a, name), _region(b, name)) for name in others)
    return tuple(f for f in (*found[:1], *regions, *found[1:]) if f.a is not None or f.b is not None)


def _at(report: Mapping[str, Any], path: str) -> float | None:
    value: Any = report
    for key in path.split("."):
        value = value[key]
    return value


def _region(report: Mapping[str, Any], name: str) -> int | None:
    return next((r["arena_bytes"] for r in report["regions"] if r["name"] == name), None)


@dataclass(frozen=True)
class Pair:
    """A layer of either build or both: kernels, MACs, bytes of constants, cycles."""

    name: str
    kernels: tuple[str, str]
    macs: Figure
    constants: Figure
    cycles: Figure

    @property
    def same(self) -> bool:
        """Nothing differs."""
        return self.kernels[0] == self.kernels[1] and all(f.a == f.b for f in (self.macs, self.constants, self.cycles))


def layers(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Layers by name: those of A in its order, then those that B alone has."""
    ours, theirs = ({layer["name"]: layer for layer in report["layers"]} for report in (a, b))

    def both(title: str, name: str, *keys: str) -> Figure:
        sums = [
            sum(layer[name][k] for k in keys) if name in layer and layer[name][keys[0]] is not None else None
            for layer in (ours, theirs)
        ]
        return Figure(title, sums[0], sums[1])

    return tuple(
        Pair(name, (ours.get(name, {}).get("kernel", "–"), theirs.get(name, {}).get("kernel", "–")),
             both("MACs", name, "macs"), both("constants", name, "weights_bytes", "tables_bytes"),
             both("cycles", name, "cycles"))
        for name in dict.fromkeys([*ours, *theirs])
    )  # fmt: skip


def labels(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[str, str]:
    """What to call the two: model, board and streaming, as far as they tell them apart."""
    first, second = ([str(r["model"]["source"]), str(r["board"]["id"]), WAYS.get(r["stream"], "")] for r in (a, b))
    kept = [i for i in range(3) if first[i] != second[i]] or [0, 1]
    return " ".join(first[i] for i in kept), " ".join(second[i] for i in kept)


def headline(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """The answer in one line."""
    arena, flash = (next(f for f in figures(a, b) if f.title == title) for title in ("arena", "flash in all"))
    first, second = labels(a, b)
    return (f"{second} against {first}: arena {number(arena.a)} → {number(arena.b)} ({arena.change}), "
            f"flash {number(flash.a)} → {number(flash.b)} ({flash.change})")  # fmt: skip


def sections(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Section]:
    """Figures, then the layers that differ."""
    first, second = labels(a, b)
    first, second = (first, second) if first != second else ("A", "B")
    rows = tuple((f.title, number(f.a), number(f.b), f.change) for f in figures(a, b))
    pairs = layers(a, b)
    changed = tuple(
        (p.name, " → ".join(dict.fromkeys(p.kernels)), _change(p.macs), _change(p.constants), _change(p.cycles))
        for p in pairs if not p.same
    )  # fmt: skip
    same = len(pairs) - len(changed)
    notes = (f"{same} layers are the same",) if same else ()
    return [
        Section("Figures", ("", first, second, "change"), "<>>>", rows),
        Section("Layers that differ", ("layer", "kernel", "MACs", "constants", "cycles"), "<<>>>", changed, notes),
    ]


def _change(f: Figure) -> str:
    return number(f.a) if f.a == f.b else f"{number(f.a)} → {number(f.b)}"


def facts(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison as plain data."""
    return {
        "labels": list(labels(a, b)),
        "figures": [{"name": f.title, "a": f.a, "b": f.b} for f in figures(a, b)],
        "layers": [
            {"name": p.name, "kernels": list(p.kernels), "macs": [p.macs.a, p.macs.b],
             "constants_bytes": [p.constants.a, p.constants.b], "cycles": [p.cycles.a, p.cycles.b]}
            for p in layers(a, b)
        ],
    }  # fmt: skip


def page(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """The comparison as one HTML file; both memory maps have the same scale of bytes."""
    drawn = [charts.memory_chart(report) for report in (a, b)]
    top = max([c.arena for c in drawn if c], default=0)
    return environment().get_template("compare.html.j2").render(
        a=a, b=b, labels=labels(a, b), figures=figures(a, b), layers=layers(a, b), drawn=drawn, top=top,
        ticks=charts.ticks(top) if top else (), number=number,
    )  # fmt: skip
