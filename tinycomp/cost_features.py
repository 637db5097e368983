"""The sizes of a step that its cycles are made of.

One set for each kind of operator: products of how often a loop is entered (calls, columns, pairs of columns, output
channels, groups of four) and of what is done there. Which of them a kernel row pays for is found by fitting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

from tinycomp.ir import Graph
from tinycomp.program import Step

Features = dict[str, float]
PAIRED = 2  # columns that the blocked kernels take at a time
GROUP = 4  # channels
VECTOR = 16  # bytes of a vector register
REGISTERS = 13


def key(step: Step) -> str:
    """The row of the table: operator, kernel, and whether sizes that it is faster to know are arguments."""
    f = step.function
    shared = any(name not in step.leaf.shared for name in f.arguments)
    return f"{f.op}/{f.kernel}" + ("/shared" if shared else "")


def tags(step: Step) -> dict[str, str]:
    """Structural choices that change the code, by name; their values are words."""
    params = step.function.params
    found = {name: str(value) for name, value in params.items() if isinstance(value, (str, bool))}
    if "groups" in params:
        found["grouped"] = str(params["groups"] != 1)
    for name in ("channels", "bytes", "tail", "step_a", "step_b"):
        if isinstance(value := params.get(name), int):
            found[name] = str(value)
    for name, end in (("low", -128), ("high", 127)):
        if isinstance(value := params.get(name), int):
            found[f"clamps_{name}"] = str(value != end)
    return found


def features(step: Step, graph: Graph) -> Features:
    """Every size of the step by name, those for each form that it has included."""
    plain, by_form = KINDS.get(step.node.op, _elementwise)(step, graph)
    made = dict(plain)
    for name, value in tags(step).items():
        made |= {f"{size}[{name}={value}]": plain[size] for size in by_form}
    return {name: value for name, value in made.items() if value}


def _product(*parts: Mapping[str, float]) -> Features:
    """All products of one size of each part; "1" is left out of the names."""
    made: Features = {"": 1.0}
    for part in parts:
        made = {
            "·".join(p for p in (a, b) if p not in ("", "1")): x * y for a, x in made.items() for b, y in part.items()
        }
    return {name or "1": value for name, value in made.items()}


_Made = tuple[Features, tuple[str, ...]]


def _fixed(step: Step, inputs: int = 1) -> Features:
    return {"step": 1.0, "calls": float(step.calls), "calls·inputs": float(step.calls * inputs)}


def _columns(step: Step, width: int) -> Features:
    calls = step.calls
    return {"columns": calls * width, "pairs": calls * (width // PAIRED), "odd": calls * (width % PAIRED),
            "blocks": calls * -(-width // GROUP)}  # fmt: skip


def _channels(count: int) -> Features:
    return {
        "1": 1,
        "out": count,
        "out/4": count // GROUP,
        "out%4": count % GROUP,
        "tail": float(count % GROUP > 0),
        "⌈out/16⌉": -(-count // VECTOR),
    }


def _conv2d(step: Step, graph: Graph) -> _Made:
    x, w, out = graph.ins(step.node)[0], graph.ins(step.node)[1], graph.out(step.node)
    (_, kh, kw, tap_c), n = w.shape, step.leaf.numbers
    inner = kh * kw * tap_c
    steps = n["x_bytes"] // 4 if "x_bytes" in n else inner
    taps: Features = {"1": 1, "kh": kh, "kh·kw": kh * kw, "inner": inner, "⌈inner/16⌉": kh * -(-kw * tap_c // VECTOR),
                      "passes": -(-steps // VECTOR), "steps": steps}  # fmt: skip
    made = _fixed(step, kh) | _product(_columns(step, out.shape[2]), _channels(out.shape[3]), taps)
    left = step.calls * _leaving(step, x.shape[2], out.shape[2], kw)
    made |= _product({"edge": left}, {"1": 1, "out": out.shape[3]}, {"1": 1, "kh": kh, "inner": inner})
    if n.get("most"):
        chunks: Features = {"chunks": step.calls * -(-(out.shape[2] // PAIRED) // n["most"])}
        made |= _product(chunks, _channels(out.shape[3]))
    pair: Features = {"edge_pairs": step.calls * _leaving(step, x.shape[2], out.shape[2], kw, PAIRED)}
    made |= _product(pair, {"1": 1, "kh": kh, "inner": inner})
    rest: Features = {"kh·(run%4)": kh * (kw * tap_c % GROUP), "kh·(run/4)": kh * (kw * tap_c // GROUP)}
    made |= _product(_columns(step, out.shape[2]) | {"edge": left}, rest)
    return made, ("columns", "columns·out", "columns·out·inner", "columns·out·kh")


def _leaving(step: Step, in_w: int, out_w: int, kw: int, block: int = 1) -> int:
    """Blocks of output columns of which some window leaves the image."""
    a = step.node.attrs
    stride, dilation = (getattr(a, name)[1] for name in ("stride", "dilation"))
    left = getattr(a, "padding")[2]  # noqa: B009
    starts = [c * stride - left for c in range(out_w)]
    return len({c // block for c, s in enumerate(starts) if s < 0 or s + (kw - 1) * dilation >= in_w})


def _depthwise(step: Step, graph: Graph) -> _Made:
    x, w, out = graph.ins(step.node)[0], graph.ins(step.node)[1], graph.out(step.node)
    (_, kh, kw, channels), p = w.shape, step.function.params
    taps: Features = {"1": 1, "kh": kh, "kw": kw, "kh·kw": kh * kw}
    made = _fixed(step, kh) | _product(_columns(step, out.shape[2]), _channels(channels), taps)
    left = step.calls * _leaving(step, x.shape[2], out.shape[2], kw)
    made |= _product({"edge": left}, {"1": 1, "out": channels}, taps)
    in_row = step.calls * x.shape[2]
    made |= {"widened": in_row * x.shape[3], "widened·kh": in_row * x.shape[3] * kh}
    pixels, columns = p.get("pixels"), cast("tuple[int, ...] | None", p.get("columns"))
    if isinstance(pixels, int) and columns is not None:
        made |= _blocks(step, pixels, len(columns), kw, channels)
        # Which registers a compiler runs out of is settled by the block's form; common forms have a cost of their own.
        form = f"[{pixels}, {kw}, {p.get('stride')}, {p.get('dilation')}]"
        made |= {f"written{form}": made["written"], f"written·kh{form}": made["written·kh"]}
        before, inside = p.get("left"), p.get("inside")
        if isinstance(before, int) and isinstance(inside, int):
            tested = sum(j < before or j >= inside for j in columns)
            made["tested"] = made["written"] * kh * tested
            made["written·kh·tested?"] = made["written"] * kh * (tested > 0)
    return made | _written_out(step, out.shape[2], channels), ("columns·out", "columns·out·kh·kw", "columns·out·kh")


def _written_out(step: Step, out_w: int, channels: int) -> Features:
    """Kernels whose inner code is a list of instructions: how many of them run, and what is copied before."""
    p, n = step.function.params, step.leaf.numbers
    code, rest, end = (cast("tuple[object, ...]", p.get(name) or ()) for name in ("code", "rest_code", "end"))
    blocks, group, kh = n.get("count", out_w), p.get("group"), p.get("kh")
    groups = -(-channels // (group if isinstance(group, int) else GROUP))
    each, high = float(step.calls * channels), float(kh) if isinstance(kh, int) else 1.0
    made = {"instructions": each * blocks * len(code) + each * len(rest) + each * out_w * len(end),
            "group instructions": float(step.calls * groups * out_w * (len(code) * high + len(end))),
            "strip blocks": each * blocks, "strip rests": each * (len(rest) > 0),
            "groups": float(step.calls * groups), "lanes": each}  # fmt: skip
    units = {"units": n.get("inside", 0), "border": n.get("before", 0) + n.get("after", 0)}
    made |= _product({"groups": step.calls * groups, "calls": step.calls}, units, {"1": 1, "kh": high})
    return made if code else {}


def _blocks(step: Step, pixels: int, columns: int, kw: int, channels: int) -> Features:
    """Loops over blocks of pixels of one channel, whose loads and products are written out."""
    out_w, kh = step.leaf.numbers["out_w"], step.function.params.get("kh")
    each: Features = {"1": 1, "pixels": pixels}
    row: Features = {"1": 1, "loads": columns, "kw": kw, "pixels·kw": pixels * kw,
                     "spilt": max(0, pixels + kw + 5 - REGISTERS),
                     "spilt2": max(0, columns + kw + pixels - 16)}  # fmt: skip
    blocks: Features = {"written": step.calls * -(-out_w // pixels) * channels}
    height: Features = {"kh": float(kh) if isinstance(kh, int) else 1.0}
    by_row = _product({"written_row": step.calls * -(-out_w // pixels)}, each)
    return by_row | _product(blocks, each) | _product(blocks, height, row)


def _dense(step: Step, graph: Graph) -> _Made:
    x, w = graph.ins(step.node)[:2]
    outputs, inner = w.shape
    vectors = float(x.elements // inner)
    taps: Features = {"1": 1, "inner": inner, "⌈inner/16⌉": -(-inner // VECTOR), "passes": -(-inner // (2 * VECTOR))}
    made = _fixed(step) | _product({"vectors": vectors}, _channels(outputs), taps)
    return made, ("vectors·out", "vectors·out·inner")


def _pool(step: Step, graph: Graph) -> _Made:
    x, out, a = graph.ins(step.node)[0], graph.out(step.node), step.node.attrs
    kh, kw = getattr(a, "size", None) or getattr(a, "kernel", None) or getattr(a, "filter")  # noqa: B009
    channels = out.shape[-1]
    columns: Features = {"columns": step.calls * out.shape[2]}
    taps: Features = {"1": 1, "kh": kh, "kh·kw": kh * kw}
    made = _fixed(step, kh) | _product(columns, _channels(channels), taps)
    top, bottom, left, right = getattr(a, "padding")  # noqa: B009
    edge = (left + right) * out.shape[1] * kh + (top + bottom) * out.shape[2] * kw
    made |= {"in": float(x.elements), "final": float(out.elements), "edge": edge, "edge·out": edge * channels,
             "in_columns": x.elements / x.shape[-1]}  # fmt: skip
    return made, ("columns·out", "columns·out·kh·kw", "in", "final")


def _elementwise(step: Step, graph: Graph) -> _Made:
    ins, out = graph.activations(step.node), graph.out(step.node)
    n = out.elements
    channels = out.shape[-1] if out.shape else 1
    made = _fixed(step, max(1, len(ins)))
    made |= {"elements": float(n), "words": float(step.calls * (n // step.calls // 4)), "vectors": n / channels,
             "rests": float(step.calls * (n // step.calls % 4)), "in": float(sum(t.elements for t in ins)),
             "bytes": float(out.bytes)}  # fmt: skip
    made["lines"] = float(sum(t.elements // (t.shape[-1] if t.shape else 1) for t in ins))
    made |= _nested(step) | _copies(step)
    code = step.function.params.get("code")
    if isinstance(code, tuple):
        made["instructions"] = made["words"] * len(cast("tuple[object, ...]", code))
    made["⌈/16⌉"] = float(step.calls * -(-n // step.calls // VECTOR))
    return made, ("elements", "calls", "vectors", "in")


def _nested(step: Step) -> Features:
    """How often each loop of a nest is entered, from the trips that the kernel's parameters list."""
    made: Features = {}
    for name in ("loops", "kept", "reduced"):
        found = step.function.params.get(name)
        if isinstance(found, tuple):
            times = float(step.calls)
            for depth, (trips, _) in enumerate(cast("tuple[tuple[int, int], ...]", found)):
                times *= trips
                made[f"{name}{depth}"] = times
            made[f"{name} innermost"] = times
    return made


INLINE = 64  # bytes up to which compilers write a copy out


def _copies(step: Step) -> Features:
    """Blocks of bytes that are copied, those that are written out and those that are library calls."""
    p = step.function.params
    parts, runs, repeat = p.get("parts"), p.get("runs"), p.get("repeat")
    blocks: list[tuple[int, int]] = []
    if isinstance(parts, tuple) and isinstance(repeat, int):
        blocks = [(repeat, part[2]) for part in cast("tuple[tuple[bool, int, int], ...]", parts)]
    elif isinstance(runs, tuple):
        times = 1
        for depth, (before, inner, after) in enumerate(nest := cast("tuple[tuple[int, int, int], ...]", runs)):
            blocks += [(times, before), (times, after)]
            blocks += [(times, inner)] if depth == len(nest) - 1 else []
            times *= inner
    made: Features = dict.fromkeys(
        ("copies", "short words", "short rests", "calls of copies", "long bytes", "long words"), 0.0
    )
    for times, size in blocks:
        long, n = size > INLINE, float(step.calls * times * (size > 0))
        made["copies"] += n
        made["calls of copies"] += n * long
        made["short words"] += n * (0 if long else size // 4)
        made["short rests"] += n * (0 if long else size % 4)
        made["long bytes"] += n * (size if long else 0)
        made["long words"] += n * (size // 4 if long else 0)
    return made


KINDS: Mapping[str, Callable[[Step, Graph], _Made]] = MappingProxyType({
    "conv2d": _conv2d, "depthwise_conv2d": _depthwise, "fully_connected": _dense,
    "average_pool2d": _pool, "max_pool2d": _pool,
})  # fmt: skip
