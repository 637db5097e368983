"""Sizes of CONV_2D and FULLY_CONNECTED by kernel row, in the order of their loops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tinycomp.cost.sizes import (
    GROUP,
    PAIRED,
    VECTOR,
    Features,
    Made,
    channels,
    clamped,
    columns,
    fixed,
    flag,
    formed,
    leaving,
    number,
    outside,
    product,
    trips,
)
from tinycomp.ir import Graph
from tinycomp.program import Step


class Shape(NamedTuple):
    """A convolution: image and output rows, the window, the channels that one output sees."""

    in_w: int
    out_w: int
    out_c: int
    kh: int
    kw: int
    tap_c: int

    @property
    def run(self) -> int:
        """Bytes of a tap row."""
        return self.kw * self.tap_c

    @property
    def inner(self) -> int:
        """Products of an output."""
        return self.kh * self.run


def shape(step: Step, graph: Graph) -> Shape:
    """The sizes of a convolution's tensors."""
    x, w, out = graph.ins(step.node)[0], graph.ins(step.node)[1], graph.out(step.node)
    return Shape(x.shape[2], out.shape[2], out.shape[3], w.shape[1], w.shape[2], w.shape[3])


def dot_products(step: Step, graph: Graph) -> Made:
    """Rows that widen or copy columns, then multiply pairs of them with groups of channels."""
    s = shape(step, graph)
    n = step.leaf.numbers
    steps = n["x_bytes"] // 4 if "x_bytes" in n else s.inner
    taps: Features = {
        "1": 1, "kh": s.kh, "kh·kw": s.kh * s.kw, "inner": s.inner, "passes": -(-steps // VECTOR), "steps": steps,
        "⌈inner/16⌉": s.kh * -(-s.run // VECTOR), "⌈all/16⌉": -(-s.inner // VECTOR),
    }  # fmt: skip
    made = fixed(step, s.kh) | clamped(step, s.out_w * s.out_c)
    made |= product(columns(step, s.out_w), channels(s.out_c), taps)
    left = step.calls * leaving(step, s.in_w, s.out_w, s.kw)
    made |= product({"edge": left}, {"1": 1, "out": s.out_c}, {"1": 1, "kh": s.kh, "inner": s.inner})
    if n.get("most"):
        chunks: Features = {"chunks": step.calls * -(-(s.out_w // PAIRED) // n["most"])}
        made |= product(chunks, channels(s.out_c))
    pair: Features = {"edge_pairs": step.calls * leaving(step, s.in_w, s.out_w, s.kw, PAIRED)}
    made |= product(pair, {"1": 1, "kh": s.kh, "inner": s.inner})
    rest: Features = {"kh·(run%4)": s.kh * (s.run % GROUP), "kh·(run/4)": s.kh * (s.run // GROUP)}
    made |= product(columns(step, s.out_w) | {"edge": left}, rest)
    return made, ("columns", "columns·out", "columns·out·inner", "columns·out·kh")


def loops(step: Step, graph: Graph) -> Made:
    """Rows in plain C: for each column groups of four channels, then single ones; tap rows; taps; products.

    A form is whether a tap row is one run or each tap one, whether edges are tested, and how long the run is.
    """
    s = shape(step, graph)
    together = bool(step.function.params.get("contiguous", False))
    run = s.run if together else s.tap_c
    form = f"{flag(step, 'contiguous', 'edges')}"
    made = fixed(step, s.kh)
    at = float(step.calls * s.out_w)
    made["columns"] = at
    beyond = float(step.calls * outside(step, s.in_w, s.out_w, s.kw))
    single = step.function.kernel == "float" or flag(step, "groups") not in ("1", "None")
    for width, groups in ((GROUP, 0 if single else s.out_c // GROUP), (1, s.out_c if single else s.out_c % GROUP)):
        entered = at * groups
        sizes: Features = {"": entered, "·kh": entered * s.kh * (s.kh > 1), "·inner": entered * s.inner,
                           "·run": entered * s.kh * (run > 1), "·beyond": beyond * groups * s.kh * s.tap_c}  # fmt: skip
        if not together:
            sizes |= {"·taps": entered * s.kh * s.kw, "·kw": entered * s.kh * (s.kw > 1),
                      "·beyond taps": beyond * groups * s.kh}  # fmt: skip
        made |= formed({f"by{width}{name}": v for name, v in sizes.items()}, form, f"{form},{trips(run)}")
    made["outputs"] = at * s.out_c
    made |= {"by1·any": at * (s.out_c % GROUP > 0), "by4·any": at * (s.out_c >= GROUP)}
    return made, ("outputs", "outputs" if not single else "by1·inner")


def nibble_pairs(step: Step, graph: Graph) -> Made:
    """int4 weights with the DSP extension, also of FULLY_CONNECTED: columns are widened, two at a time, then multiplied
    with all weights."""
    w, steps = graph.ins(step.node)[1], number(step, "steps")
    dense_layer = len(w.shape) == 2
    n = number(step, "vectors", number(step, "out_w", 1))
    s = Shape(n, n, w.shape[0], 1, 1, w.shape[1]) if dense_layer else shape(step, graph)
    pairs = 0 if dense_layer else n // PAIRED
    edges = [0 if dense_layer else leaving(step, s.in_w, s.out_w, s.kw, block) for block in (PAIRED, 1)]
    made = fixed(step, s.kh)
    copied = {"edges": float(step.calls * edges[0]), "single edges": float(step.calls * edges[1])}
    row: Features = {"1": 1, "kh": s.kh, "kh·(run/8)": s.kh * (s.run // 8), "kh·(run/4)": s.kh * (s.run // GROUP),
                     "kh·(run%4)": s.kh * (s.run % GROUP), "inner": s.inner}  # fmt: skip
    groups = -(-s.out_c // GROUP)
    rest: Features = {"groups": groups, "groups·steps": groups * steps, "out": s.out_c}
    walks: Features = {"pairs": float(step.calls * pairs), "odd": float(step.calls * (n - PAIRED * pairs))}
    made |= product(walks, row | rest) | product(copied, row)
    return made, ("pairs·out", "odd·out", "pairs")


def blocks(step: Step, graph: Graph) -> Made:
    """Rows that keep the sums of `pixels` columns and a group of channels in registers; a last block has fewer."""
    s, count = shape(step, graph), number(step, "count")
    wide = number(step, "channels", 1)
    groups = -(-s.out_c // wide)
    made = fixed(step, s.kh)
    for pixels, times in ((number(step, "pixels"), number(step, "blocks")), (number(step, "rest"), 1)):
        if not pixels or not times:
            continue
        n = float(step.calls * times)
        sizes = {"": n, "·kh": n * pixels * s.kh, "·groups": n * groups, "·groups·loop": n * groups * (count // 2),
                 "·groups·odd": n * groups * (count % 2), "·outputs": n * s.out_c * pixels,
                 "·outputs·c": n * s.out_c,
                 "·bytes": n * pixels * s.inner, "·short": n * groups * (count < 4)}  # fmt: skip
        # What the channels that a lone group lacks would have cost, compilers leave out.
        forms = (
            str(pixels),
            f"{pixels},{flag(step, 'copies')}",
            f"{pixels},{min(s.out_c, wide)}",
            f"{min(s.out_c, wide)}",
        )
        made |= formed({f"block{name}": v for name, v in sizes.items()}, *forms)
    left = float(step.calls * leaving(step, s.in_w, s.out_w, s.kw))
    made |= {"edge": left, "edge·kh": left * s.kh, "edge·inner": left * s.inner}
    made |= formed({"outputs": float(step.calls * s.out_w * s.out_c)}, flag(step, "form"))
    run4 = step.calls * s.out_w * s.kh
    made |= {"copied/4": float(run4 * (s.run // GROUP)), "copied%4": float(run4 * (s.run % GROUP))}
    return made, ("outputs",)


def dense(step: Step, graph: Graph) -> Made:
    """FULLY_CONNECTED: vectors times outputs, in groups of four and singly."""
    x, w = graph.ins(step.node)[:2]
    outputs, inner = w.shape
    vectors = float(x.elements // inner)
    taps: Features = {"1": 1, "inner": inner, "⌈inner/16⌉": -(-inner // VECTOR), "passes": -(-inner // (2 * VECTOR)),
                      "loop": float(inner > 1)}  # fmt: skip
    made = fixed(step) | clamped(step, graph.out(step.node).elements // step.calls)
    made |= product({"vectors": vectors}, channels(outputs), taps)
    for name, groups in _grouped(outputs):
        made |= formed({f"{name}": vectors * groups}, trips(inner), f"{trips(inner)},{vectors > 1}")
    return made, ("vectors·out", "vectors·out·inner", "vectors·out/4·inner", "vectors·out/4", "vectors·out%4·inner",
                  "vectors")  # fmt: skip


def _grouped(count: int) -> Iterator[tuple[str, int]]:
    yield "by4", count // GROUP
    yield "by1", count % GROUP
