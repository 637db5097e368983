"""CONV_2D on int16 activations and int8 weights, in C99 for any core."""

from __future__ import annotations

from collections.abc import Callable

from tinycomp.ir import Graph, Node
from tinycomp.kernel import Const, Kernel, Leaf
from tinycomp.ops import int16, window
from tinycomp.ops.conv2d_dsp import Walk


def _lower(node: Node, graph: Graph, walk: Walk) -> Leaf:
    """Weights stay as in the file, [O][kh][kw][C/groups]."""
    (x, w, b), out = graph.ins(node), graph.out(node)
    assert w.data is not None  # `infer` has refused others
    edges = window.leaves_image(x.shape[2], w.shape[2], out.shape[2], walk.stride, walk.dilation, walk.left)
    flat = w.data.reshape(w.shape[0], -1)
    found = int16.rescaling(node, graph, flat, walk.activation, int16.rounding(b))
    params = {
        "kh": w.shape[1], "edges": edges, "groups": x.shape[3] // w.shape[3],
        "contiguous": walk.dilation == 1 and x.shape[3] == w.shape[3],
    }  # fmt: skip
    numbers = {
        "in_w": x.shape[2], "in_c": x.shape[3], "out_w": out.shape[2], "out_c": out.shape[3], "kw": w.shape[2],
        "stride": walk.stride, "dilation": walk.dilation, "left": walk.left, "tap_c": w.shape[3],
        "group_out": out.shape[3] * w.shape[3] // x.shape[3],
    }  # fmt: skip
    return Leaf(params | found.params, numbers | found.numbers, (Const("weights", w.data), *found.consts))


def rows(walk: Callable[[Node], Walk]) -> tuple[Kernel, ...]:
    """The operator's rows for int16."""
    return (Kernel("int16", lambda n, g: _lower(n, g, walk(n)), int16.is_int16, helpers=int16.HELPERS),)
