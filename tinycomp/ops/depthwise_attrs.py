"""DEPTHWISE_CONV_2D's attributes and what follows from them, for the operator and for its kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from tinycomp import qmath
from tinycomp.ir import Graph, Node, Tensor
from tinycomp.ops import window

SUM_BYTES = 4  # of a running sum in scratch


@dataclass(frozen=True)
class DepthwiseConv2D(window.Convolution):
    """As every convolution."""

    op: ClassVar[str] = "depthwise_conv2d"


def attrs(node: Node) -> DepthwiseConv2D:
    """The node's attributes, typed."""
    return cast(DepthwiseConv2D, node.attrs)


def kernel_size(weights: Tensor) -> window.Pair:
    """Taps as (height, width)."""
    return weights.shape[1], weights.shape[2]


def reduces(node: Node, graph: Graph) -> bool:
    """One output row from all input rows, whose sums take less room than the rows: keep the sums."""
    a, (x, w, _), out = attrs(node), graph.ins(node), graph.out(node)
    all_rows = out.rows == 1 and a.dilation[0] == 1 and 1 < x.rows <= w.shape[1] - a.padding[0]
    return all_rows and is_int8(node, graph) and SUM_BYTES * out.elements < x.bytes


def is_int8(node: Node, graph: Graph) -> bool:
    """Activations and weights are int8."""
    x, w, _ = graph.ins(node)
    return (x.dtype, w.dtype) == ("int8", "int8")


def numbers(node: Node, graph: Graph) -> dict[str, int]:
    """What every kernel counts with."""
    a, (x, _, _), out = attrs(node), graph.ins(node), graph.out(node)
    found = {
        "in_w": x.shape[2], "in_c": x.shape[3], "out_w": out.shape[2], "out_c": out.shape[3],
        "multiplier": out.shape[3] // x.shape[3],
    }  # fmt: skip
    if x.dtype == "float32":
        return found
    low, high = qmath.activation_range(a.activation, out.dtype, out.scale, out.zero_point)
    return found | {"in_zero": x.zero_point, "out_zero": out.zero_point, "low": low, "high": high}
