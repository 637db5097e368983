"""Geometry of the report's pictures: paths in units of the data (calls × bytes), which the page stretches to size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from tinycomp.report.text import number, short

HUES = 8  # colours of the page, in turn
NODE_HEIGHT, NODE_GAP, NODE_WIDTH, LANE = 30, 14, 230, 14  # of the graph, in pixels


@dataclass(frozen=True)
class Shape:
    """A tensor on the memory map. path: one rectangle for each span. rows: first:count of each, -1 for scratch."""

    tensor: str
    label: str
    maker: str
    kind: str
    region: str
    hue: int
    path: str
    rows: str
    row_bytes: int
    most_bytes: int
    start: int
    end: int


@dataclass(frozen=True)
class RegionMap:
    """The arena of one memory region. size: its bytes. peak: bytes alive by tensor when most are, largest first."""

    region: str
    size: int
    shapes: tuple[Shape, ...]
    ticks: tuple[int, ...]
    peak: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Chart:
    """The memory maps with their two companions. width: times; the heights are bytes, bytes and layers."""

    width: int
    top: int
    maps: tuple[RegionMap, ...]
    alive: str
    whole: str
    turns: str
    layers: int
    owners: str
    top_ticks: tuple[int, ...]

    @property
    def arena(self) -> int:
        """Bytes of all regions' arenas."""
        return sum(m.size for m in self.maps)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The tensors of all regions."""
        return tuple(shape for m in self.maps for shape in m.shapes)


def memory_chart(report: Mapping[str, Any]) -> Chart | None:
    """The chart, or None where the report has no map (too many rectangles, or nothing in the arena)."""
    memory, regions = report["memory"], [r for r in report["regions"] if r["arena_bytes"]]
    if not memory.get("residents") or not regions:
        return None
    width, whole, made = memory["tasks"] + 2, _whole(memory), makers(report)
    top = max([sum(r["arena_bytes"] for r in regions), *whole])
    first, maps = 0, list[RegionMap]()
    for r in regions:
        own = [entry for entry in memory["residents"] if entry["region"] == r["name"]]
        maps.append(_region_map(r["name"], r["arena_bytes"], own, first, width, made))
        first += len(own)
    alive = _sums([(a, b, n) for r in memory["residents"] for _, _, _, n, a, b in r["spans"]], width)
    return Chart(
        width, top, tuple(maps), _area(alive, top), _line([*whole[:1], *whole, *whole[-1:]], top),
        _turns(memory["order"]), len(report["layers"]),
        " ".join(f"{layer}:{calls}" for layer, calls in memory["order"]), ticks(top, 2),
    )  # fmt: skip


def _region_map(region: str, size: int, residents: Sequence[Mapping[str, Any]], first: int, width: int,
                made: Mapping[str, str]) -> RegionMap:  # fmt: skip
    held = [_sums([(a, b, n) for _, _, _, n, a, b in r["spans"]], width) for r in residents]
    total = [sum(column) for column in zip([0] * width, *held, strict=True)]
    fullest = total.index(max(total))
    peak = [(_title(r, made), by_time[fullest]) for r, by_time in zip(residents, held, strict=True)]
    shapes = tuple(
        _shape(first + i, r, size, max(by_time), made.get(r["tensor"], ""))
        for i, (r, by_time) in enumerate(zip(residents, held, strict=True))
    )
    alive = sorted(((label, n) for label, n in peak if n), key=lambda p: -p[1])
    return RegionMap(region, size, shapes, ticks(size), tuple(alive))


def _title(resident: Mapping[str, Any], made: Mapping[str, str]) -> str:
    """The layer that makes a tensor, which says more than the names that converters give."""
    return made.get(resident["tensor"], short(resident["tensor"], 28))


def _shape(index: int, resident: Mapping[str, Any], arena: int, most: int, maker: str) -> Shape:
    spans: Sequence[Sequence[int]] = resident["spans"]
    path = "".join(f"M{a} {arena - at - size}h{b - a}v{size}h{a - b}z" for _, _, at, size, a, b in spans)
    scratch = resident["kind"] == "scratch"
    return Shape(
        resident["tensor"], short(resident["tensor"], 40), maker, resident["kind"], resident["region"], index % HUES,
        path, " ".join(f"{-1 if scratch else row}:{count}" for row, count, *_ in spans), resident["row_bytes"], most,
        min(s[4] for s in spans), max(s[5] for s in spans),
    )  # fmt: skip


def _sums(intervals: Sequence[tuple[int, int, int]], width: int) -> list[int]:
    change = [0] * (width + 1)
    for start, end, size in intervals:
        change[start] += size
        change[end] -= size
    return list(accumulate(change))[:width]


def _whole(memory: Mapping[str, Any]) -> list[int]:
    """What layers need in turn were tensors kept whole, each layer as long as all its calls."""
    return [memory["whole"][layer] for layer, calls in sorted(memory["order"]) for _ in range(calls)]


def _line(values: Sequence[int], top: int) -> str:
    """A staircase, one unit of x a value; runs of equal values are one stroke."""
    parts: list[str] = []
    for i, v in enumerate(values):
        if i == 0:
            parts.append(f"M0 {top - v}")
        elif v != values[i - 1]:
            parts.append(f"H{i}V{top - v}")
    return "".join([*parts, f"H{len(values)}"]) if values else ""


def _area(values: Sequence[int], top: int) -> str:
    return f"{_line(values, top)}V{top}H0z" if values else ""


def _turns(order: Sequence[Sequence[int]]) -> str:
    """Which layer runs when: a bar of one unit of height in the layer's line."""
    parts: list[str] = []
    time = 1
    for layer, calls in order:
        parts.append(f"M{time} {layer}h{calls}v1h-{calls}z")
        time += calls
    return "".join(parts)


def ticks(top: int, most: int = 4) -> tuple[int, ...]:
    """Round numbers from 0 to at most `top`, and no more than `most` steps."""
    steps = (digit * 10**power for power in range(19) for digit in (1, 2, 5))
    step = next(s for s in steps if top // s <= most)
    return tuple(range(0, top + 1, step))


@dataclass(frozen=True)
class Box:
    """A node of the graph at (x, y) pixels. layer: its index, -1 for an input or output of the model."""

    title: str
    detail: str
    layer: int
    y: int


@dataclass(frozen=True)
class Band:
    """Layers that stream together, from y downwards."""

    label: str
    y: int
    height: int


@dataclass(frozen=True)
class Picture:
    """The graph: boxes in the order of execution, edges as paths, bands behind them. Pixels."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    edges: tuple[str, ...]
    bands: tuple[Band, ...]


def graphs(report: Mapping[str, Any]) -> tuple[tuple[str, Picture], ...]:
    """The graph that runs, after that of the file where passes have changed it; each with its title."""
    ran, source = report["layers"], report.get("source")
    made = ("as it runs", graph(ran, report["inputs"], report["outputs"]))
    if source is None or _kinds(source["layers"]) == _kinds(ran):
        return (made,)
    return ("as in the file", graph(source["layers"], source["inputs"], source["outputs"])), made


def _kinds(layers: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[int]]]:
    return [(layer["op"], layer["shape"]) for layer in layers]


def graph(
    layers: Sequence[Mapping[str, Any]], inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
) -> Picture:
    """Inputs, layers, outputs from top to bottom; an edge that skips boxes runs beside them, longer ones further."""
    pitch = NODE_HEIGHT + NODE_GAP
    boxes = [Box(short(t["name"], 26), f"input {_size(t)}", -1, i * pitch) for i, t in enumerate(inputs)]
    made = {t["name"]: i for i, t in enumerate(inputs)}
    joins: list[tuple[int, int]] = []
    for layer in layers:
        at = len(boxes)
        boxes.append(
            Box(f"{layer['index']}  {short(layer['name'], 24)}", "×".join(map(str, layer["shape"])), layer["index"],
                at * pitch)
        )  # fmt: skip
        joins += [(made[t], at) for t in dict.fromkeys(layer.get("inputs", ())) if t in made]
        made |= dict.fromkeys(layer.get("outputs", ()), at)
    for t in outputs:
        at = len(boxes)
        boxes.append(Box(short(t["name"], 26), f"output {_size(t)}", -1, at * pitch))
        source = t.get("storage", t["name"])
        joins += [(made[source], at)] if source in made else []
    lanes = _lanes([(a, b) for a, b in joins if b - a > 1])
    edges = tuple(_edge(a, b, lanes.get((a, b)), pitch) for a, b in joins)
    width = NODE_WIDTH + 24 + LANE * (1 + max(lanes.values(), default=0))
    return Picture(width, len(boxes) * pitch, tuple(boxes), edges, _bands(layers, len(inputs), pitch))


def _size(port: Mapping[str, Any]) -> str:
    return f"{'×'.join(map(str, port['shape']))} {port['dtype']}"


def _lanes(skips: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """A lane for each edge that skips boxes, so that no two overlap in one."""
    found: dict[tuple[int, int], int] = {}
    for a, b in sorted(set(skips), key=lambda e: (e[1] - e[0], e)):
        taken = {lane for (c, d), lane in found.items() if c < b and a < d}
        found[a, b] = next(i for i in range(len(found) + 1) if i not in taken)
    return found


def _edge(a: int, b: int, lane: int | None, pitch: int) -> str:
    if lane is None:
        return f"M{NODE_WIDTH // 2} {a * pitch + NODE_HEIGHT}V{b * pitch}"
    x, start, end = NODE_WIDTH, a * pitch + NODE_HEIGHT // 2, b * pitch + NODE_HEIGHT // 2
    out = x + 14 + LANE * lane
    return f"M{x} {start}H{out - 6}q6 0 6 6V{end - 6}q0 6 -6 6H{x}"


def _bands(layers: Sequence[Mapping[str, Any]], before: int, pitch: int) -> tuple[Band, ...]:
    found: dict[int, list[int]] = {}
    for layer in layers:
        if "segment" in layer:
            found.setdefault(layer["segment"], []).append(before + layer["index"])
    return tuple(
        Band(f"layers {at[0] - before}–{at[-1] - before} stream together", at[0] * pitch - NODE_GAP // 2,
             len(at) * pitch)
        for at in found.values() if len(at) > 1
    )  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A piece of what is used: its share in percent, and what it is."""

    label: str
    bytes: int
    share: float
    hue: int


@dataclass(frozen=True)
class Bar:
    """A budget in `unit`: how full it is (percent, at most 100), and the parts of what is used."""

    title: str
    used: float
    limit: float
    unit: str
    fits: bool
    full: float
    parts: tuple[Part, ...]


def budget_bars(report: Mapping[str, Any], chart: Chart | None) -> tuple[Bar, ...]:
    """Flash and each memory region with what eats them, and time where both a limit and a prediction are known."""
    code, budget = report["code_bytes"], report["budget"]
    flash = [("weights", report["weights_bytes"]), ("biases and tables", report["tables_bytes"]),
             (f"code ({code['how']})", code["value"])]  # fmt: skip
    peaks = {m.region: m.peak for m in chart.maps} if chart else {}
    bars = [_bar("Flash", report["flash_bytes"], budget["flash"], flash)]
    for i, r in enumerate(report["regions"]):
        used, limit = (report["ram_bytes"], budget["ram"]) if i == 0 else (r["arena_bytes"], r["budget"])
        parts = _ram_parts(peaks.get(r["name"]), r["arena_bytes"])
        bars.append(_bar("RAM" if i == 0 else r["name"], used, limit,
                         [*parts, ("context, constants in RAM", used - r["arena_bytes"])]))  # fmt: skip
    took, limit = report.get("latency_ms"), budget.get("max_ms")
    if took is not None and limit:
        bars.append(Bar("Time", took, limit, "ms", took <= limit, _percent(took, limit), ()))
    return tuple(bars)


def _ram_parts(peak: Sequence[tuple[str, int]] | None, arena: int) -> list[tuple[str, int]]:
    """What an arena holds when it is fullest; the arena as one where that is not known."""
    if peak is None:
        return [("arena", arena)]
    named, rest = peak[: HUES - 3], sum(size for _, size in peak[HUES - 3 :])
    return [*named, ("other tensors", rest), ("gaps", arena - sum(size for _, size in peak))]


def _bar(title: str, used: int, limit: int, parts: Sequence[tuple[str, int]]) -> Bar:
    shares = ((label, size, 100 * size / max(used, 1)) for label, size in parts if size > 0)
    pieces = tuple(Part(label, size, share, i % HUES) for i, (label, size, share) in enumerate(shares))
    return Bar(title, used, limit, "bytes", used <= limit, _percent(used, limit), pieces)


def _percent(used: float, limit: float) -> float:
    return min(100.0, 100 * used / limit) if limit else 100.0


def makers(report: Mapping[str, Any]) -> dict[str, str]:
    """Tensor to the layer that makes it, which says more than the names that converters give."""
    return {t: layer["name"] for layer in report["layers"] for t in layer.get("outputs", ())}


def saved(before: int, after: int) -> str:
    """What a pass changed, as `7,489,664 → 3,727,313 (−50 %)`; empty where nothing."""
    if before == after:
        return ""
    percent = f" ({100 * (after - before) / before:+.0f} %)".replace("-", "−") if before else ""
    return f"{number(before)} → {number(after)}{percent}"
