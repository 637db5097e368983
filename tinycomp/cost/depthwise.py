"""Sizes of DEPTHWISE_CONV_2D by kernel row."""

from __future__ import annotations

from typing import cast

from tinycomp.cost.sizes import (
    GROUP,
    PAIRED,
    VECTOR,
    Features,
    Made,
    fixed,
    flag,
    formed,
    leaving,
    listed,
    number,
    outside,
    product,
    trips,
)
from tinycomp.ir import Graph
from tinycomp.ops.depthwise_portable import REGISTERS
from tinycomp.program import Step


def written_out(step: Step, graph: Graph) -> Made:
    """Rows whose inner code is a list of instructions: how many of them run, and what is copied before."""
    x, w, out = graph.ins(step.node)[0], graph.ins(step.node)[1], graph.out(step.node)
    _, kh, kw, count = w.shape
    p, n, out_w = step.function.params, step.leaf.numbers, out.shape[2]
    code, rest, end = (listed(step, name) for name in ("code", "rest_code", "end"))
    group = p.get("group")
    groups = step.calls * -(-count // (group if isinstance(group, int) else GROUP))
    made = fixed(step, kh)
    made["edge taps"] = float(step.calls * leaving(step, x.shape[2], out_w, kw) * -(-count // GROUP) * kw)
    if end:  # for each pixel and tap column the code of all tap rows, then the rescaling
        pixels = float(groups * out_w)
        looped = pixels * kw * (kw > 1 or bool(p.get("edges")))
        edges = pixels * kw * bool(p.get("edges"))
        made |= {"instructions": pixels * kw * len(code), "end": pixels * len(end), "taps": looped, "edges": edges,
                 "group pixels": pixels, "wide pixels": pixels * (out_w > 1),
                 "columns": float(step.calls * out_w)}  # fmt: skip
        return made, ("taps",)
    each, high, blocks = float(step.calls * count), float(kh), n.get("count", 1)
    made |= {"instructions": each * blocks * len(code) + each * len(rest), "strip blocks": each * blocks,
             "strip rests": each * (len(rest) > 0), "groups": float(groups), "lanes": each}  # fmt: skip
    units = {"units": n.get("inside", 0), "border": n.get("before", 0) + n.get("after", 0)}
    made |= product({"groups": groups, "calls": step.calls}, units, {"1": 1, "kh": high})
    return made, ("groups",)


def sums(step: Step, graph: Graph) -> Made:
    """Rows that add tap row after tap row to sums in scratch."""
    x, w, out = graph.ins(step.node)[0], graph.ins(step.node)[1], graph.out(step.node)
    _, _, kw, count = w.shape
    made, at = fixed(step), float(step.calls * out.shape[2])
    beyond = float(step.calls * outside(step, x.shape[2], out.shape[2], kw))
    made["columns"] = at
    single = step.function.kernel == "reduce"
    for width, groups in ((GROUP, 0 if single else count // GROUP), (1, count if single else count % GROUP)):
        sizes = {"": at * groups, "·kw": at * groups * kw, "·beyond": beyond * groups}
        made |= formed({f"by{width}{name}": v for name, v in sizes.items()}, flag(step, "edges"), trips(kw),
                       f"{flag(step, 'edges')},{trips(kw)}")  # fmt: skip
    if number(step, "multiplier", 1) > 1:
        made |= {"expands": at * count * kw, "expands columns": at * count}
    finals = {"final": float(out.elements), "final columns": float(out.elements // count)}
    return made | finals, ("final", "columns")


def taps(step: Step, graph: Graph) -> Made:
    """Rows in plain C that walk a pixel's taps, several channels at a time."""
    x, w, out = graph.ins(step.node)[0], graph.ins(step.node)[1], graph.out(step.node)
    _, kh, kw, count = w.shape
    made, at = fixed(step, kh), float(step.calls * out.shape[2])
    made["columns"] = at
    beyond = float(step.calls * outside(step, x.shape[2], out.shape[2], kw) * kh)
    width = max(1, number(step, "channels", 1))
    form = flag(step, "edges", "expands")
    for by, groups in ((width, count // width), (1, count % width)):
        if not groups:
            continue
        sizes = {"": at * groups, "·kh": at * groups * kh * (kh > 1), "·kw": at * groups * kh * (kw > 1),
                 "·taps": at * groups * kh * kw, "·beyond": beyond * groups}  # fmt: skip
        made |= formed({f"by{by}{name}": v for name, v in sizes.items()}, form, f"{form},{trips(kw)}")
    made |= formed({"outputs": at * count}, flag(step, "acc"))
    return made, ("outputs",)


def blocks(step: Step, graph: Graph) -> Made:
    """Rows that share the loads of several pixels of one channel, which are written out."""
    x, w, out = graph.ins(step.node)[0], graph.ins(step.node)[1], graph.out(step.node)
    _, kh, kw, count = w.shape
    p = step.function.params
    pixels, seen = number(step, "pixels", 1), cast("tuple[int, ...]", listed(step, "columns"))
    made = fixed(step, kh) | _blocks(step, out.shape[2], pixels, len(seen), kw, kh, count)
    # Which registers a compiler runs out of is settled by the block's form; common forms have a cost of their own.
    form = f"{pixels}, {kw}, {p.get('stride')}, {p.get('dilation')}"
    made |= {f"{name}[{form}]": made[name] for name in ("written", "written·kh")}
    made |= {f"{name}[{pixels}]": made[name] for name in ("written", "written·kh")}
    before, inside = number(step, "left"), number(step, "inside")
    tested = sum(j < before or j >= inside for j in seen)
    made |= {"tested": made["written"] * kh * tested, "written·kh·tested?": made["written"] * kh * (tested > 0)}
    left = float(step.calls * leaving(step, x.shape[2], out.shape[2], kw))
    made |= product({"edge": left}, {"1": 1, "out": count}, {"1": 1, "kh": kh})
    return made, ("written", "written·kh", "written·pixels")


def _blocks(step: Step, out_w: int, pixels: int, seen: int, kw: int, kh: int, count: int) -> Features:
    times = step.calls * -(-out_w // pixels)
    each: Features = {"1": 1, "pixels": pixels}
    row: Features = {"1": 1, "loads": seen, "kw": kw, "pixels·kw": pixels * kw,
                     "spilt": max(0, pixels + kw + 5 - REGISTERS),
                     "spilt2": max(0, seen + kw + pixels - 16)}  # fmt: skip
    height: Features = {"kh": float(kh)}
    found: Features = {"written": times * count, "written·loop": times * count * (kh > 1)}
    by_row = product({"written_row": times}, each)
    return found | by_row | product({"written": times * count}, each) | product({"written": times * count}, height, row)


def vectors(step: Step, graph: Graph) -> Made:
    """Helium: the strip of sixteen channels, then pairs of columns times four channels."""
    w, out = graph.ins(step.node)[1], graph.out(step.node)
    _, kh, _, count = w.shape
    quads = listed(step, "quads")
    wide = step.calls * -(-count // VECTOR)
    groups = step.calls * -(-count // GROUP)
    made = fixed(step, kh) | {"strips": float(wide), "strips·quads": float(wide * len(quads)), "groups": float(groups)}
    made |= {"strip loads": float(wide * number(step, "inside") * len(quads)),
             "strip taps": float(wide * number(step, "inside") * kh),
             "filled": float(wide * len(quads) * (number(step, "before") + number(step, "after")))}  # fmt: skip
    cells = len(quads) * number(step, "columns", 1)
    for name, times in (("pairs", out.shape[2] // PAIRED), ("odd", out.shape[2] % PAIRED)):
        n = float(groups * times)
        made |= {name: n, f"{name}·cells": n * cells, f"{name}·quads": n * (len(quads) - 1)}
        made |= {f"{name}·away": n * bool(step.function.params.get("away")),
                 f"{name}·tail": n * bool(step.function.params.get("tail"))}  # fmt: skip
    return made, ("groups",)


def floats(step: Step, graph: Graph) -> Made:
    """float32: each channel's taps, of which those outside the image are passed over."""
    made, by_form = taps(step, graph)
    multiplier = number(step, "multiplier", 1)
    halves = multiplier & (multiplier - 1) == 0  # a power of two is divided by shifting
    inner, outer = made.get("by1·taps", 0.0) - made.get("by1·beyond", 0.0), made["by1·kh"] + made["by1"]
    divided = {"in": inner, "out": outer} if multiplier > 1 else {}
    made |= formed({f"divided {name}": v for name, v in divided.items()}, str(halves))
    weight = flag(step, "weight")
    made |= formed(
        {"taps inside": inner, "tap rows": outer}, weight, f"{weight},{trips(graph.ins(step.node)[1].shape[2])}"
    )
    return made, by_form
