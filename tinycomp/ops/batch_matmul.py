"""BATCH_MATMUL: [..., M, K] × [..., K, N] → [..., M, N], either matrix transposed in the file or not.

int8 as a dense layer without bias, both operands with a zero point, one multiplier for all; int16 is symmetric and
summed in 64 bits.
Sources: tensorflow/lite/micro/kernels/batch_matmul.cc, tensorflow/lite/kernels/internal/reference/batch_matmul.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput
from tinycomp.ir import NUMPY, Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Kernel, Leaf, Param
from tinycomp.ops import binary, int16, unary
from tinycomp.ops.base import (
    Codec,
    Operator,
    Parsed,
    Shape,
    Source,
    Written,
    c_type,
    require_dtype,
    sources,
    whole_access,
)


@dataclass(frozen=True)
class BatchMatMul(Attrs):
    """adj_x, adj_y: the operand holds its matrices transposed, [..., K, M] and [..., N, K]."""

    op: ClassVar[str] = "batch_matmul"
    adj_x: bool = False
    adj_y: bool = False


class Sizes(NamedTuple):
    """The common shape of the batches, and the matrices [m, k] × [k, n]."""

    batch: Shape
    m: int
    k: int
    n: int


def attrs(node: Node) -> BatchMatMul:
    """The node's attributes, typed."""
    return cast(BatchMatMul, node.attrs)


def _read(source: Source) -> Parsed:
    adj_x, adj_y = (bool(source.options.get(name, False)) for name in ("adj_x", "adj_y"))
    return Parsed(BatchMatMul(adj_x, adj_y), (source.input(0), source.input(1)))


def _write(node: Node, graph: Graph) -> Written:
    a = attrs(node)
    return Written({"adj_x": a.adj_x, "adj_y": a.adj_y, "asymmetric_quantize_inputs": False}, node.inputs)


def _sizes(node: Node, x: Tensor, y: Tensor) -> Sizes:
    """Raises BadInput where the matrices do not meet or their batches do not broadcast."""
    a = attrs(node)
    if len(x.shape) >= 2 and len(y.shape) >= 2:
        m, k = x.shape[-2:][:: -1 if a.adj_x else 1]
        inner, n = y.shape[-2:][:: -1 if a.adj_y else 1]
        if k == inner:
            return Sizes(binary.broadcast(node, _batches(x), _batches(y)), m, k, n)
    raise BadInput(f"matrices {list(x.shape)} of {x.name!r} and {list(y.shape)} of {y.name!r} do not multiply",
                   where=f"{node.name} ({node.op})", fix="export the model again")  # fmt: skip


def _batches(t: Tensor) -> Tensor:
    """What numbers the matrices, as a tensor of its own."""
    return Tensor(t.name, t.shape[:-2], t.dtype)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    require_dtype(node, graph, [(d, d, d) for d in ("int8", "int16", "float32")])
    (x, y), out = graph.ins(node), graph.out(node)
    if x.dtype != "float32":
        for t in (x, y, out):
            unary.require_per_tensor(node, t)
        int16.require_symmetric(f"{node.name} ({node.op})", (x, y, out))
        unary.require_multiplier(node, graph, x.scale * y.scale / out.scale, 2.0**int16.MOST_LEFT)
    found = _sizes(node, x, y)
    return (((*found.batch, found.m, found.n), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, (xt, yt), out = attrs(node), graph.ins(node), graph.out(node)
    x, y = (np.swapaxes(v, -1, -2) if adj else v for v, adj in zip(args, (a.adj_x, a.adj_y), strict=True))
    if xt.dtype == "float32":
        return (np.matmul(x, y).astype(np.float32),)
    acc = np.matmul(x.astype(np.int64) - xt.zero_point, y.astype(np.int64) - yt.zero_point)
    m, wide = _multiplier(xt, yt, out), xt.dtype == "int16"
    rescale = qmath.requantize_wide if wide else qmath.requantize
    q = rescale(acc if wide else qmath.wrap32(acc), m.mantissa, m.shift) + out.zero_point
    return (np.clip(q, *qmath.INT_RANGE[out.dtype]).astype(NUMPY[out.dtype]),)


def _multiplier(x: Tensor, y: Tensor, out: Tensor) -> qmath.Multiplier:
    return qmath.quantize_multiplier(x.scale * y.scale / out.scale)


def _lower(node: Node, graph: Graph) -> Leaf:
    """loops: how the batches are numbered, (times, matrices of x, matrices of y) each. Steps are in elements."""
    a, (x, y), out = attrs(node), graph.ins(node), graph.out(node)
    s, found = _sizes(node, x, y), sources(graph.ins(node))
    loops = binary.nest(x.shape[:-2], y.shape[:-2], s.batch)
    params: dict[str, Param] = {
        "type": c_type(x), "from": found.names, "acc": {"int8": "int32_t", "int16": "int64_t"}.get(x.dtype, "float"),
        "loops": tuple((loop.times, loop.a * s.m * s.k, loop.b * s.k * s.n) for loop in loops),
    }  # fmt: skip
    numbers = {
        "m": s.m, "k": s.k, "n": s.n, "row_x": 1 if a.adj_x else s.k, "step_x": s.m if a.adj_x else 1,
        "column_y": s.k if a.adj_y else 1, "step_y": 1 if a.adj_y else s.n,
    }  # fmt: skip
    if x.dtype != "float32":
        scale = _multiplier(x, y, out)
        numbers |= {"zero_x": x.zero_point, "zero_y": y.zero_point, "zero_out": out.zero_point}
        numbers |= {"mantissa": scale.mantissa, "shift": scale.shift}
        if x.dtype == "int16":
            numbers |= {"mantissa": int(qmath.reduced(scale.mantissa)), "shift": 15 - scale.shift}
    return Leaf(params, numbers, found.consts)


def _macs(node: Node, graph: Graph) -> int:
    return graph.out(node).elements * _sizes(node, *graph.ins(node)).k


OPERATOR = Operator(
    attrs=BatchMatMul,
    codecs=(Codec("BATCH_MATMUL", "BatchMatMulOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=whole_access,
    kernels=(
        Kernel("portable", _lower, binary.is_int8, helpers=("requantize", "clamp_int8")),
        Kernel("int16", _lower, int16.is_int16, helpers=("requantize_wide", "clamp_int16")),
        Kernel("float", _lower, unary.is_float),
    ),
    macs=_macs,
)
