"""CONV_2D on cores with Helium: two columns times four output channels at a time (see `mve`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tinycomp.ir import Graph, Node
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import mve, requant, swar, window
from tinycomp.ops.conv2d_dsp import Walk

Lower = Callable[[Node, Graph, Walk], Leaf]
Takes = Callable[[Node, Graph, Walk], bool]
WINDOW_HELPERS = (*mve.HELPERS, "mve_copy", "mve_fill", "mve_window")


def _edges(node: Node, graph: Graph, walk: Walk) -> bool:
    x, w, _ = graph.ins(node)
    return window.leaves_image(x.shape[2], w.shape[2], graph.out(node).shape[2], walk.stride, 1, walk.left)


def takes_window(node: Node, graph: Graph, walk: Walk) -> bool:
    """One group, and neighbouring taps are neighbours in the input."""
    (x, w, _), out = graph.ins(node), graph.out(node)
    if x.dtype != "int8" or w.shape[3] != x.shape[3] or (walk.dilation != 1 and w.shape[2] > 1):
        return False
    return mve.takes(requant.channel_multipliers(x, w, out, w.shape[0]))


def takes_pointwise(node: Node, graph: Graph, walk: Walk) -> bool:
    """A 1×1 kernel that stays inside its row."""
    one = graph.ins(node)[1].shape[1:3] == (1, 1)
    return one and not _edges(node, graph, walk) and takes_window(node, graph, walk)


def lower_pointwise(node: Node, graph: Graph, walk: Walk) -> Leaf:
    """Weights, biases and rescaling as one stream (`mve.stream`)."""
    (x, w, _), out, (weights, bias) = graph.ins(node), graph.out(node), swar.channels(node, graph)
    multipliers = requant.channel_multipliers(x, w, out, w.shape[0])
    numbers = {"out_w": out.shape[2], "distance": walk.stride * x.shape[3]}
    leaf = mve.columns(weights, bias, multipliers, out, walk.activation, numbers)
    return replace(leaf, params={**leaf.params, "wide": out.shape[2] > 1, "odd": out.shape[2] % 2 == 1})


def lower_window(node: Node, graph: Graph, walk: Walk) -> Leaf:
    """As `lower_pointwise`. Scratch: the windows of two columns."""
    x, w, _ = graph.ins(node)
    leaf, inner, columns = lower_pointwise(node, graph, walk), w.elements // w.shape[0], graph.out(node).shape[2]
    numbers = {
        **leaf.numbers, "left": walk.left * x.shape[3], "row_bytes": x.shape[2] * x.shape[3], "in_zero": x.zero_point,
        "kh": w.shape[1], "run": w.shape[2] * x.shape[3],
    }  # fmt: skip
    scratch = -(-inner * min(2, columns) // 4) * 4
    return replace(leaf, numbers=numbers, scratch=scratch, shared=frozenset(numbers))


def rows(walk: Callable[[Node], Walk]) -> tuple[Kernel, ...]:
    """Rows of CONV_2D's table. walk: of a node."""

    def row(name: str, lower: Lower, takes: Takes, helpers: tuple[str, ...]) -> Kernel:
        return Kernel(name, lambda n, g: lower(n, g, walk(n)), lambda n, g: takes(n, g, walk(n)), mve.MVE, helpers)

    return (
        row("mve_pointwise", lower_pointwise, takes_pointwise, mve.HELPERS),
        row("mve_window", lower_window, takes_window, WINDOW_HELPERS),
    )
