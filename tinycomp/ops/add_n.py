"""ADD_N: the sum of tensors of one shape.

int8 operands share one quantization. The reference begins its sums with what a stored 0 stands for, not with 0, and
adds in fixed point with 19 fractional bits.
Sources: tensorflow/lite/micro/kernels/add_n.cc, tensorflow/lite/kernels/internal/reference/add_n.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Access, Kernel, Leaf, Param, rowwise, whole
from tinycomp.ops import unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, c_type, require_dtype, sources

FRACTION = 19  # fractional bits of a sum of int8 values
DTYPES: list[tuple[DType, ...]] = [("int8", "int8"), ("float32", "float32"), ("int32", "int32")]


@dataclass(frozen=True)
class AddN(Attrs):
    """No attributes; any number of inputs."""

    op: ClassVar[str] = "add_n"


def _read(source: Source) -> Parsed:
    return Parsed(AddN(), tuple(source.input(i) for i in range(max(1, len(source.inputs)))))


def require_rescaling(node: Node, graph: Graph) -> None:
    """Raise BadInput or Unsupported where int8 sums have no meaning: no quantization, or a factor of 1 and more."""
    x, out = graph.ins(node)[0], graph.out(node)
    if x.dtype == "int8":
        for t in (x, out):
            unary.require_per_tensor(node, t)
        unary.require_multiplier(node, graph, 2 * x.scale / (out.scale * 2 ** (FRACTION + 1)), 1.0)


def factor(x: Tensor, out: Tensor) -> qmath.Multiplier:
    """From sums in fixed point to the output's integers."""
    return qmath.quantize_multiplier(2 * x.scale / (2 ** (FRACTION + 1) * out.scale))


def rescaled(sums: qmath.Int64, x: Tensor, out: Tensor) -> Array:
    """Sums of int8 values less their zero points, a stored 0 among them, as the output's int8."""
    m = factor(x, out)
    scaled = qmath.requantize(qmath.wrap32(sums << FRACTION), m.mantissa, m.shift)
    return np.clip(scaled + out.zero_point, -128, 127).astype(np.int8)


def rescaling(x: Tensor, out: Tensor) -> dict[str, int]:
    """The numbers with which C does that."""
    m = factor(x, out)
    return {"zero": x.zero_point, "mantissa": m.mantissa, "shift": m.shift, "zero_out": out.zero_point}


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    require_dtype(node, graph, DTYPES)
    ins, where = graph.ins(node), f"{node.name} ({node.op})"
    first = ins[0]
    for t in ins[1:]:
        if (t.shape, t.dtype) != (first.shape, first.dtype):
            raise BadInput(f"adds {t.name!r} {t.dtype}{list(t.shape)} to {first.name!r} "
                           f"{first.dtype}{list(first.shape)}", where=where, fix="export the model again")  # fmt: skip
        if t.dtype == "int8" and (t.scale, t.zero_point) != (first.scale, first.zero_point):
            raise Unsupported(f"{t.name!r} and {first.name!r} are quantized differently, and the reference does not "
                              "rescale", where=where, fix="quantize all operands alike")  # fmt: skip
    require_rescaling(node, graph)
    return ((first.shape, first.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    x, out = graph.ins(node)[0], graph.out(node)
    if x.dtype == "float32":
        return (np.asarray(np.stack(args).astype(np.float32).sum(axis=0)),)
    total = np.asarray(np.stack(args).astype(np.int64).sum(axis=0))
    if x.dtype == "int32":
        return (qmath.wrap32(total).astype(np.int32),)
    return (rescaled(total - (len(args) + 1) * x.zero_point, x, out),)


def _access(node: Node, graph: Graph) -> Access:
    """Row by row, but for constants, of which a kernel sees all at once."""
    operands = len(graph.activations(node))
    fixed = operands < len(node.inputs) and graph.out(node).rows > 1
    return whole(operands) if fixed else rowwise(operands)


def _lower(node: Node, graph: Graph) -> Leaf:
    ins, out = graph.ins(node), graph.out(node)
    found = sources(ins)
    size = out.row_elements if _access(node, graph).kind == "window" else out.elements
    params: dict[str, Param] = {"type": c_type(out), "from": found.names}
    numbers = {"n": size} | (rescaling(ins[0], out) if out.dtype == "int8" else {})
    return Leaf(params, numbers, found.consts)


OPERATOR = Operator(
    attrs=AddN,
    codecs=(Codec("ADD_N", "AddNOptions", _read, unary.write_plain),),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(
        Kernel("portable", _lower, unary.is_byte, helpers=("requantize", "clamp_int8")),
        Kernel("plain", _lower, lambda node, graph: not unary.is_byte(node, graph)),
    ),
    inplace=(0, 1),
)
