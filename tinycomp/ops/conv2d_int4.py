"""CONV_2D on int8 activations and int4 weights, in C99 for any core."""

from __future__ import annotations

from collections.abc import Callable

from tinycomp import qmath
from tinycomp.ir import Graph, Node
from tinycomp.kernel import Const, Kernel, Leaf
from tinycomp.ops import int4, int4_dsp, requant, window
from tinycomp.ops.conv2d_dsp import Walk


def _lower(node: Node, graph: Graph, walk: Walk) -> Leaf:
    """Weights as nibbles [O][kh][kw·C], or [O][kh][kw][C/groups] where taps are apart, each run from a byte."""
    (x, w, b), out = graph.ins(node), graph.out(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    contiguous = walk.dilation == 1 and x.shape[3] == w.shape[3]
    run = w.shape[2] * w.shape[3] if contiguous else w.shape[3]
    bias = requant.folded_bias(b.data, w.data, x.zero_point)
    m = requant.channel_multipliers(x, w, out, out.shape[3])
    low, high = qmath.activation_range(walk.activation, out.dtype, out.scale, out.zero_point)
    params = {
        "kh": w.shape[1], "contiguous": contiguous, "groups": x.shape[3] // w.shape[3], "odd": run % 2 == 1,
        "edges": window.leaves_image(x.shape[2], w.shape[2], out.shape[2], walk.stride, walk.dilation, walk.left),
        "acc": requant.accumulator_type(bias, w.data),
    }  # fmt: skip
    numbers = {
        "in_w": x.shape[2], "in_c": x.shape[3], "out_w": out.shape[2], "out_c": out.shape[3], "kw": w.shape[2],
        "stride": walk.stride, "dilation": walk.dilation, "left": walk.left, "run": run, "run_bytes": -(-run // 2),
        "group_out": out.shape[3] * w.shape[3] // x.shape[3], "tap_c": w.shape[3],
        "in_zero": x.zero_point, "out_zero": out.zero_point, "low": low, "high": high,
    }  # fmt: skip
    weights = int4.packed(w.data.reshape(w.shape[0], -1, run))
    return Leaf(params, numbers, (Const("weights", weights), Const("bias", bias), *requant.requant_consts(m)))


def rows(walk: Callable[[Node], Walk]) -> tuple[Kernel, ...]:
    """The operator's rows for int4 weights."""
    return (
        int4_dsp.convolution(walk),
        Kernel("int4", lambda n, g: _lower(n, g, walk(n)), int4.is_int4, helpers=int4.HELPERS),
    )
