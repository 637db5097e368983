"""CONV_2D on cores with nothing but Thumb-1: columns packed two in a word, then the inner loops of `swar`."""

from __future__ import annotations

from tinycomp import qmath
from tinycomp.ir import Graph, Node
from tinycomp.kernel import Const, Leaf
from tinycomp.ops import requant, swar, window
from tinycomp.ops.conv2d_dsp import Walk

HELPERS = (
    "swar_pack", "swar_spread", "swar_strip", "clamp_bytes",
    "swar1_floor", "swar1_twice", "swar2_floor", "swar2_twice", "swar4_floor", "swar4_twice",
)  # fmt: skip


def _rescaling(node: Node, graph: Graph, activation: str) -> swar.Rescale | None:
    """The rescaling of the node's sums, None where these kernels cannot compute it exactly."""
    (x, w, _), out, (weights, bias) = graph.ins(node), graph.out(node), swar.channels(node, graph)
    low, _ = qmath.activation_range(activation, out.dtype, out.scale, out.zero_point)
    multipliers = requant.channel_multipliers(x, w, out, w.shape[0])
    return swar.rescale(multipliers, swar.bounds(bias, weights), out.zero_point, low) if swar.fits(weights) else None


def takes(node: Node, graph: Graph, walk: Walk) -> bool:
    """One group, and neighbouring taps are neighbours in the input."""
    x, w, _ = graph.ins(node)
    if x.dtype != "int8" or w.shape[3] != x.shape[3] or (walk.dilation != 1 and w.shape[2] > 1):
        return False
    return _rescaling(node, graph, walk.activation) is not None


def lower(node: Node, graph: Graph, walk: Walk) -> Leaf:
    """Weights, biases and rescaling as one stream (see `swar`).

    Scratch: the columns that are packed at once, one tap row of their bytes if some reach past an edge.
    """
    (x, w, _), out, (weights, bias) = graph.ins(node), graph.out(node), swar.channels(node, graph)
    chosen = _rescaling(node, graph, walk.activation)
    assert chosen is not None  # `takes` has asked
    low, high = qmath.activation_range(walk.activation, out.dtype, out.scale, out.zero_point)
    stream = swar.stream(bias, weights, chosen.numbers)
    run, distance, elements = w.shape[2] * x.shape[3], walk.stride * x.shape[3], swar.padded(weights).shape[1]
    edges = window.leaves_image(x.shape[2], w.shape[2], out.shape[2], walk.stride, 1, walk.left)
    columns = 4 if out.shape[2] >= 4 else min(2, out.shape[2])
    room = elements * max(1, columns // 2)
    params = {
        "form": chosen.form, "quads": out.shape[2] >= 4, "rest": out.shape[2] % 4, "edges": edges,
        "clamps": (low, high) != (-128, 127),
    }  # fmt: skip
    numbers = {
        "kh": w.shape[1], "run": run, "distance": distance, "left": walk.left * x.shape[3],
        "row_bytes": x.shape[2] * x.shape[3], "in_zero": x.zero_point, "out_w": out.shape[2], "out_c": out.shape[3],
        "room": room, "x_bytes": 4 * elements, "w_bytes": 4 * stream.size, "fill": 2**14 * elements, "low": low,
        "high": high,
    }  # fmt: skip
    strip = -(-((columns - 1) * distance + run) // 4) * 4 if edges else 0
    return Leaf(params, numbers, (Const("weights", stream),), 4 * room + strip, frozenset(numbers))


def takes_vector(node: Node, graph: Graph, walk: Walk) -> bool:
    """A 1×1 kernel with one column to a row, inside the image."""
    _, w, _ = graph.ins(node)
    one = graph.out(node).shape[2] == 1 and w.shape[1:3] == (1, 1) and walk.left == 0
    if not one or not takes(node, graph, walk):
        return False
    weights, bias = swar.channels(node, graph)
    return swar.separable(swar.bounds(bias, weights), weights)


def lower_vector(node: Node, graph: Graph, walk: Walk) -> Leaf:
    """Weights, biases and rescaling as one stream (see `swar.vectors`)."""
    chosen = _rescaling(node, graph, walk.activation)
    assert chosen is not None  # `takes` has asked
    return swar.vector_leaf(node, graph, chosen, walk.activation, 1)
