"""SVDF: a dense layer over a sliding window of time, factored into filters over features and filters over time.

Each inference puts one number a filter, its product with the input, at the end of that filter's memory of the last
values; a unit is the sum of its `rank` filters' products of memory and time weights, and a bias. The memory is a state
of the graph, [1, filters · memory]. Inputs of the node: x [1, inner], feature weights [filters, inner], time weights
[filters, memory], bias [units], memory.

int8 keeps the memory in int16 or int8. The fused activation plays no part there: the output's range has it.
Sources: tensorflow/lite/micro/kernels/svdf_common.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from tinycomp import qmath
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import NUMPY, Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Const, Kernel, Leaf
from tinycomp.ops import requant, unary
from tinycomp.ops.base import ACTIVATIONS, Codec, Operator, Parsed, Shape, Source, Written, c_type, clamp_real
from tinycomp.qmath import Int64, Multiplier

_Number = TypeVar("_Number", np.float32, np.int64)
FEATURE, TIME, BIAS, MEMORY = 1, 2, 3, 4  # inputs of the node
DTYPES: list[tuple[str, ...]] = [
    ("int8", "int8", "int16", "int32", "int16", "int8"), ("int8", "int8", "int8", "int32", "int8", "int8"),
    ("float32",) * 6,
]  # fmt: skip


@dataclass(frozen=True)
class Svdf(Attrs):
    """rank: filters of one unit. activation: of float32."""

    op: ClassVar[str] = "svdf"
    rank: int = 1
    activation: str = "none"


def attrs(node: Node) -> Svdf:
    """The node's attributes, typed."""
    return cast(Svdf, node.attrs)


def _read(source: Source) -> Parsed:
    x, feature, time, memory = (source.input(i) for i in (0, FEATURE, TIME, MEMORY))
    rank = int(source.options.get("rank", 0))
    if rank < 1 or len(feature.shape) != 2 or feature.shape[0] % rank:
        raise BadInput(f"has rank {rank} and feature weights {list(feature.shape)}",
                       where=f"{source.name} ({source.builtin})", fix="export the model again")  # fmt: skip
    bias = source.inputs[BIAS]
    if bias is None:
        kind: DType = "float32" if x.dtype == "float32" else "int32"
        zeros = np.zeros(feature.shape[0] // rank, NUMPY[kind])
        bias = Tensor(f"{source.name}/bias", zeros.shape, kind, None, zeros)
    return Parsed(Svdf(rank, source.activation()), (x, feature, time, bias, memory), (memory,))


def _write(node: Node, graph: Graph) -> Written:
    options = {"rank": attrs(node).rank, "asymmetric_quantize_inputs": False,
               "fused_activation_function": ACTIVATIONS.index(attrs(node).activation)}  # fmt: skip
    return Written(options, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    ins, where = graph.ins(node), f"{node.name} (svdf)"
    x, feature, time, bias, memory = ins
    filters = feature.shape[0]
    shapes = [[1, *feature.shape[1:]], [filters, *time.shape[1:]], [filters // attrs(node).rank], [1, time.elements]]
    found = [list(t.shape) for t in (x, time, bias, memory)]
    if len(x.shape) == 2 and x.shape[0] != 1:
        raise Unsupported(f"computes {x.shape[0]} sequences at once; one is supported", where=where,
                          fix="export the model with a batch of 1")  # fmt: skip
    if len(time.shape) != 2 or found != shapes:
        raise BadInput(f"input, time weights, bias and memory are {found}, expected {shapes}", where=where,
                       fix="export the model again")  # fmt: skip
    dtypes = (*(t.dtype for t in ins), graph.out(node).dtype)
    if dtypes not in DTYPES:
        raise Unsupported(f"has dtypes {', '.join(dtypes[:-1])}→{dtypes[-1]}; supported: int8 with time weights and "
                          "memory of int16 or int8, float32", where=where,
                          fix="export the model as full-integer int8 or float32")  # fmt: skip
    if any(t.data is None for t in ins[FEATURE:MEMORY]):
        raise Unsupported("has weights that are computed at run time", where=where, fix="freeze the model's weights")
    if x.dtype == "int8":
        _require_quantization(node, graph, where)
    return (((1, filters // attrs(node).rank), x.dtype), (memory.shape, memory.dtype))


def _require_quantization(node: Node, graph: Graph, where: str) -> None:
    x, feature, time, _, memory = graph.ins(node)
    for t in (x, feature, time, memory, graph.out(node)):
        if t.quant is None or t.quant.per_channel or (t in (feature, time) and any(t.quant.zero_point)):
            raise Unsupported(f"needs one scale for {t.name!r}, and weights a zero point of 0", where=where,
                              fix="export the model again")  # fmt: skip
    if memory.zero_point:
        raise Unsupported(f"keeps {memory.name!r} with zero point {memory.zero_point}; releases of TensorFlow Lite "
                          "Micro do not agree on what that means", where=where,
                          fix="keep the memory in int16")  # fmt: skip
    for real in _factors(node, graph):
        unary.require_multiplier(node, graph, real, requant.LIMIT)
    if 255 * 128 * feature.shape[1] >= 1 << 31:
        raise Unsupported("its products with the input may leave 32 bits", where=where, fix="use fewer features")


def _factors(node: Node, graph: Graph) -> tuple[float, float]:
    """Into the memory and out of it. Scales are multiplied and divided in float32."""
    x, feature, time, _, memory = graph.ins(node)
    with np.errstate(over="ignore"):
        into = np.float32(x.scale) * np.float32(feature.scale) / np.float32(memory.scale)
        out_of = np.float32(memory.scale) * np.float32(time.scale) / np.float32(graph.out(node).scale)
    return float(into), float(out_of)


def _multipliers(node: Node, graph: Graph) -> tuple[Multiplier, Multiplier]:
    into, out_of = _factors(node, graph)
    return qmath.quantize_multiplier(into), qmath.quantize_multiplier(out_of)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    x, feature, time, bias, memory = args
    old = memory.reshape(len(x), *time.shape)
    if x.dtype == np.float32:
        values = x.astype(np.float32) @ feature.astype(np.float32).T
        state = _moved(old, values)
        sums = _units(node, state.astype(np.float32) * time.astype(np.float32)) + bias.astype(np.float32)
        return clamp_real(sums, attrs(node).activation), state.reshape(memory.shape)
    (into, out_of), (xt, out) = _multipliers(node, graph), (graph.ins(node)[0], graph.out(node))
    acc = (x.astype(np.int64) - xt.zero_point) @ feature.astype(np.int64).T
    state = _moved(old, np.clip(qmath.requantize(acc, *into), *qmath.INT_RANGE[str(memory.dtype)]))
    total = _units(node, state.astype(np.int64) * time.astype(np.int64)) + bias.astype(np.int64)
    q = qmath.requantize(qmath.wrap32(total), *out_of) + out.zero_point
    return np.clip(q, *qmath.INT_RANGE["int8"]).astype(np.int8), state.reshape(memory.shape)


def _moved(memory: Array, values: Array) -> Array:
    """[batch, filters, memory] with a new value for each filter at the end."""
    return np.concatenate([memory[:, :, 1:], values[:, :, None].astype(memory.dtype)], axis=2)


def _units(node: Node, products: NDArray[_Number]) -> NDArray[_Number]:
    """Sums of each filter's products over time, and of the filters of each unit."""
    filters = products.sum(axis=2, dtype=products.dtype)
    return filters.reshape(len(products), -1, attrs(node).rank).sum(axis=2, dtype=products.dtype)


def _sizes(node: Node, graph: Graph) -> dict[str, int]:
    _, feature, time, _, _ = graph.ins(node)
    rank = attrs(node).rank
    return {"inner": feature.shape[1], "length": time.shape[1], "rank": rank, "units": feature.shape[0] // rank}


def _weights(node: Node, graph: Graph) -> tuple[Const, ...]:
    """[filters][inner], [filters][memory], [units]: read straight on."""
    roles = zip(("weights", "weights", "bias"), graph.ins(node)[FEATURE:MEMORY], strict=True)
    return tuple(Const("bias" if role == "bias" else "weights", cast(Array, t.data)) for role, t in roles)


def _lower(node: Node, graph: Graph) -> Leaf:
    """The input's zero point is folded into a start value for each filter."""
    x, feature, _, _, memory = graph.ins(node)
    assert feature.data is not None  # `infer` has refused others
    start: Int64 = -x.zero_point * feature.data.astype(np.int64).sum(axis=1)
    numbers = _sizes(node, graph) | {"out_zero": graph.out(node).zero_point}
    for name, m in zip(("into", "out_of"), _multipliers(node, graph), strict=True):
        numbers |= {f"{name}_mantissa": m.mantissa, f"{name}_shift": m.shift}
    consts = (*_weights(node, graph), Const("bias", start.astype(np.int32)))
    return Leaf({"type": c_type(memory)}, numbers, consts)


def _lower_float(node: Node, graph: Graph) -> Leaf:
    return Leaf({"activation": attrs(node).activation}, _sizes(node, graph), _weights(node, graph))


def _macs(node: Node, graph: Graph) -> int:
    _, feature, time, _, _ = graph.ins(node)
    return feature.elements + time.elements


OPERATOR = Operator(
    attrs=Svdf,
    codecs=(Codec("SVDF", "SVDFOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(
        Kernel("float", _lower_float, unary.is_float),
        Kernel("portable", _lower, unary.is_byte, helpers=("requantize", "clamp_int16", "clamp_int8")),
    ),
    carries=((MEMORY, 1),),
    macs=_macs,
)
