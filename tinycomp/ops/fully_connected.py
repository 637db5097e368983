"""FULLY_CONNECTED: vectors of K elements × weights [O, K] → vectors of O elements.

The input is read as [vectors, K], whatever its shape. Multipliers are scale products in double, with one scale for all
outputs too: GetQuantizedConvolutionMultipler once took that product in float32, and today's tflite-micro and LiteRT
packages do not (tests/ops/test_fully_connected.py holds the accumulators that tell).
Sources: tensorflow/lite/micro/kernels/fully_connected_common.cc,
tensorflow/lite/kernels/internal/reference/integer_ops/fully_connected.h, reference/fully_connected.h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Access, Const, Kernel, Leaf, Param, restricted, rowwise, whole
from tinycomp.ops import dot, hybrid, int4, int4_dsp, int16, mve, requant, swar, wide_weights
from tinycomp.ops.base import (
    ACTIVATIONS,
    Codec,
    Operator,
    Parsed,
    Shape,
    Source,
    Written,
    c_type,
    clamp_real,
    require_dtype,
)


@dataclass(frozen=True)
class FullyConnected(Attrs):
    """keep_dims: the output keeps the input's leading dimensions; otherwise it is [vectors, O]."""

    op: ClassVar[str] = "fully_connected"
    keep_dims: bool = False
    activation: str = "none"


def attrs(node: Node) -> FullyConnected:
    """The node's attributes, typed."""
    return cast(FullyConnected, node.attrs)


def _where(node: Node) -> str:
    return f"{node.name} ({node.op})"


def _read(source: Source) -> Parsed:
    where = f"{source.name} ({source.builtin})"
    x, weights = source.input(0), source.input(1)
    if int(source.options.get("weights_format", 0)):
        raise Unsupported("has shuffled weights", where=where, fix="export the model for a microcontroller")
    if len(weights.shape) != 2:
        raise BadInput(f"needs 2-D weights, found {list(weights.shape)}", where=where, fix="export the model again")
    bias = requant.bias_of(source, 2, x, weights, weights.shape[0])
    # On a matrix both forms are one; some exporters state the option and declare the other form's shape.
    shaped = x.shape[:-1] + weights.shape[:1]
    keep = len(shaped) != 2 and source.outputs[0].shape == shaped
    return Parsed(FullyConnected(keep, source.activation()), (x, weights, bias))


def _write(node: Node, graph: Graph) -> Written:
    a = attrs(node)
    wide_weights.require_writable(node, graph)
    options = {"keep_num_dims": a.keep_dims, "fused_activation_function": ACTIVATIONS.index(a.activation)}
    return Written(options, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, (x, w, b) = attrs(node), graph.ins(node)
    require_dtype(node, graph, requant.WEIGHTED)
    if len(w.shape) != 2 or x.elements % w.shape[1] or (a.keep_dims and x.shape[-1:] != w.shape[1:]):
        raise BadInput(f"input {list(x.shape)} is no sequence of vectors for the weights {w.name!r}, {list(w.shape)}",
                       where=_where(node), fix="export the model again")  # fmt: skip
    requant.require_weights(_where(node), x, w, b, graph.out(node), axis=0)
    if x.dtype == "int16":
        int16.require_weighted(node, graph, 0, _rounding(node, graph))
    wide_weights.require_span(node, graph)
    return ((_shape(x.shape, w, a), x.dtype),)


def _shape(x: Shape, weights: Tensor, a: FullyConnected) -> Shape:
    outputs, inner = weights.shape
    return (*x[:-1], outputs) if a.keep_dims else (int(np.prod(x)) // inner, outputs)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, (xt, wt, _), out = attrs(node), graph.ins(node), graph.out(node)
    x, w, b = args
    shape = _shape(x.shape, wt, a)
    vectors = x.reshape(-1, wt.shape[1])
    if xt.dtype == "float32":
        sums = vectors.astype(np.float32) @ hybrid.real(wt, w).T + b.astype(np.float32)
        return (clamp_real(sums, a.activation).reshape(shape),)
    # float64 sums of such products are exact, and faster than integer ones
    acc = (vectors.astype(np.float64) - xt.zero_point) @ w.astype(np.float64).T
    m = requant.channel_multipliers(xt, wt, out, wt.shape[0])
    q = requant.finish(acc.astype(np.int64) + b.astype(np.int64), m, out, a.activation, _rounding(node, graph))
    return (q.reshape(shape),)


def _rounds_once(graph: Graph) -> bool:
    return graph.reference == "litert"


def _rounding(node: Node, graph: Graph) -> requant.Rounding:
    return "once" if _rounds_once(graph) else int16.rounding(graph.ins(node)[2])


def _is_int8(node: Node, graph: Graph) -> bool:
    x, w, _ = graph.ins(node)
    return (x.dtype, w.dtype) == ("int8", "int8")


def _takes(once: bool) -> Callable[[Node, Graph], bool]:
    return lambda node, graph: _rounds_once(graph) == once


def _access(node: Node, graph: Graph) -> Access:
    return rowwise() if _vectors_in_rows(node, graph) else whole()


def _vectors_in_rows(node: Node, graph: Graph) -> bool:
    """Every input row holds whole vectors, whose results are one output row."""
    (x, w, _), out = graph.ins(node), graph.out(node)
    return x.row_elements % w.shape[1] == 0 and x.rows == out.rows


def _lower(node: Node, graph: Graph) -> Leaf:
    """Weights stay as in the file, [O][K]. One scale for all outputs makes its multiplier a number, not a table."""
    a, (x, w, b), out = attrs(node), graph.ins(node), graph.out(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    vectors = _vectors(node, graph)
    numbers = {"vectors": vectors, "inner": w.shape[1], "outputs": w.shape[0]}
    if x.dtype == "float32":
        reals: dict[str, Param] = {"activation": a.activation, "weight": c_type(w)}
        scales = hybrid.scale_consts(node, graph, w.shape[0])
        return Leaf(reals, numbers, (Const("weights", w.data), Const("bias", b.data), *scales))
    assert w.quant is not None
    m, bias = requant.channel_multipliers(x, w, out, w.shape[0]), requant.folded_bias(b.data, w.data, x.zero_point)
    low, high = qmath.activation_range(a.activation, out.dtype, out.scale, out.zero_point)
    numbers |= {"out_zero": out.zero_point, "low": low, "high": high}
    params = {"acc": requant.accumulator_type(bias, w.data), "per_channel": w.quant.per_channel,
              "requantize": "requantize_once" if _rounds_once(graph) else "requantize"}  # fmt: skip
    consts = (Const("weights", w.data), Const("bias", bias))
    if w.quant.per_channel:
        return Leaf(params, numbers, (*consts, *requant.requant_consts(m)))
    return Leaf(params, numbers | {"mantissa": int(m.mantissa[0]), "shift": int(m.shift[0])}, consts)


def _lower_int4(node: Node, graph: Graph) -> Leaf:
    """Weights as [O][K] nibbles, each output's from a byte."""
    (_, w, _), made = graph.ins(node), _lower(node, graph)
    assert w.data is not None  # `infer` has refused others
    inner = w.shape[1]
    params = {**made.params, "once": _rounds_once(graph), "odd": inner % 2 == 1}
    consts = (Const("weights", int4.packed(w.data)), *made.consts[1:])
    return Leaf(params, {**made.numbers, "run_bytes": -(-inner // 2)}, consts)


def _lower_wide(node: Node, graph: Graph) -> Leaf:
    """Weights in the file's order, [O][K]; vectors are the pixels of a convolution of one tap."""
    w, out = graph.ins(node)[1], graph.out(node)
    low, high = qmath.activation_range(attrs(node).activation, out.dtype, out.scale, out.zero_point)
    vectors = _vectors(node, graph)
    numbers = {"in_w": vectors, "in_c": w.shape[1], "out_w": vectors, "out_c": w.shape[0], "kw": 1, "stride": 1,
               "dilation": 1, "left": 0, "low": low, "high": high}  # fmt: skip
    rescale = "requantize_once" if _rounds_once(graph) else "requantize"
    return wide_weights.leaf(node, graph, 0, {"kh": 1, "edges": False, "requantize": rescale}, numbers)


def _takes_int4_dsp(node: Node, graph: Graph) -> bool:
    return not _rounds_once(graph) and int4_dsp.takes(node, graph)


def _lower_int4_dsp(node: Node, graph: Graph) -> Leaf:
    return int4_dsp.lower_dense(node, graph, attrs(node).activation, _vectors(node, graph))


def _vectors(node: Node, graph: Graph) -> int:
    """Of one call."""
    x, w, _ = graph.ins(node)
    return (x.row_elements if _vectors_in_rows(node, graph) else x.elements) // w.shape[1]


def _lower_int16(node: Node, graph: Graph) -> Leaf:
    """Weights stay as in the file, [O][K]. One scale for all outputs makes its multiplier a number, not a table."""
    w = graph.ins(node)[1]
    assert w.data is not None  # `infer` has refused others
    assert w.quant is not None
    found = int16.rescaling(node, graph, w.data, attrs(node).activation, _rounding(node, graph))
    vectors = _vectors(node, graph)
    numbers = {"vectors": vectors, "inner": w.shape[1], "outputs": w.shape[0]} | found.numbers
    params = found.params | {"per_channel": w.quant.per_channel}
    bias, *scale = found.consts
    consts = (Const("weights", w.data), bias)
    if w.quant.per_channel:
        return Leaf(params, numbers, (*consts, *scale))
    factor, shift = (int(c.data[0]) for c in scale)
    return Leaf(params, numbers | {"factor": factor, "shift": shift}, consts)


def _rescaling(node: Node, graph: Graph) -> dot.Rescale | None:
    """The rescaling for the DSP extension's inner loops, None where they cannot compute the node exactly."""
    a, (x, w, b), out = attrs(node), graph.ins(node), graph.out(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    bias = requant.folded_bias(b.data, w.data, x.zero_point)
    low, _ = qmath.activation_range(a.activation, out.dtype, out.scale, out.zero_point)
    m = requant.channel_multipliers(x, w, out, w.shape[0])
    return dot.rescale(w.data, bias, m, out.zero_point, low, _rounds_once(graph))


def _lower_dsp(node: Node, graph: Graph) -> Leaf:
    """Weights, biases and, where outputs do not share it, rescaling as one stream (`dot.Stream`).

    Scratch for one vector in 16 bits.
    """
    a, (x, w, b), out, chosen = attrs(node), graph.ins(node), graph.out(node), _rescaling(node, graph)
    assert chosen is not None  # `accepts` has asked
    assert w.data is not None
    assert b.data is not None
    one = chosen.one
    bias = requant.folded_bias(b.data, w.data, x.zero_point)
    stream = dot.stream(bias, w.data, chosen, w.shape[1], each=one is None)
    low, high = qmath.activation_range(a.activation, out.dtype, out.scale, out.zero_point)
    outputs, inner = w.shape
    vectors = _vectors(node, graph)
    params: dict[str, Param] = {"finish": chosen.finish, "dual": False, "one": one is not None}
    numbers = {
        "vectors": vectors, "inner": inner, "out_c": outputs, "room": stream.steps, "x_bytes": 4 * stream.steps,
        "skip": stream.skip, "group_bytes": stream.group_bytes, "low": low, "high": high,
        "w_bytes": outputs // dot.CHANNELS * stream.group_bytes,
    }  # fmt: skip
    scratch = 4 * stream.steps + (dot.CHANNELS if outputs % dot.CHANNELS else 0)
    consts = (Const("weights", stream.words), *(() if one is None else (Const("requant", one),)))
    return Leaf(params, numbers, consts, scratch, frozenset(numbers))


def _takes_mve(node: Node, graph: Graph) -> bool:
    x, w, _ = graph.ins(node)
    return not _rounds_once(graph) and mve.takes(requant.channel_multipliers(x, w, graph.out(node), w.shape[0]))


def _lower_mve(node: Node, graph: Graph) -> Leaf:
    """Weights, biases and rescaling as one stream (`mve.stream`)."""
    (x, w, _), out, (weights, bias) = graph.ins(node), graph.out(node), swar.channels(node, graph)
    count = _vectors(node, graph)
    m = requant.channel_multipliers(x, w, out, w.shape[0])
    return mve.columns(weights, bias, m, out, attrs(node).activation, {"vectors": count})


def _vector_rescaling(node: Node, graph: Graph) -> swar.Rescale | None:
    """The rescaling for Thumb-1's inner loop, None where it cannot compute the node exactly."""
    a, (x, w, _), out = attrs(node), graph.ins(node), graph.out(node)
    weights, bias = swar.channels(node, graph)
    most = swar.bounds(bias, weights)
    low, _ = qmath.activation_range(a.activation, out.dtype, out.scale, out.zero_point)
    m = requant.channel_multipliers(x, w, out, w.shape[0])
    return swar.rescale(m, most, out.zero_point, low, _rounds_once(graph)) if swar.separable(most, weights) else None


def _lower_vector(node: Node, graph: Graph) -> Leaf:
    """Weights, biases and rescaling as one stream (`swar.vectors`)."""
    chosen = _vector_rescaling(node, graph)
    assert chosen is not None  # `accepts` has asked
    return swar.vector_leaf(node, graph, chosen, attrs(node).activation, _vectors(node, graph))


def _macs(node: Node, graph: Graph) -> int:
    return graph.out(node).elements * graph.ins(node)[1].shape[1]


_INT8 = (
    Kernel("mve", _lower_mve, _takes_mve, mve.MVE, mve.HELPERS),
    Kernel(
        "dsp",
        _lower_dsp,
        lambda n, g: _rescaling(n, g) is not None,
        frozenset({"dsp"}),
        ("load_word", "sxtb16", "widen1", "put_columns", "clamp_bytes", "dot1_floor", "dot1_twice", "dot1_apart"),
    ),
    Kernel(
        "vector",
        _lower_vector,
        lambda n, g: _vector_rescaling(n, g) is not None,
        frozenset({"thumb1"}),
        swar.VECTOR_HELPERS,
    ),
    Kernel("portable", _lower, _takes(once=False), helpers=("requantize", "clamp_int8")),
    Kernel("once", _lower, _takes(once=True), helpers=("requantize_once", "clamp_int8")),
)

OPERATOR = Operator(
    attrs=FullyConnected,
    codecs=(Codec("FULLY_CONNECTED", "FullyConnectedOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(
        *restricted(_INT8, _is_int8),
        Kernel("int4_dsp", _lower_int4_dsp, _takes_int4_dsp, int4_dsp.DSP, int4_dsp.DENSE_HELPERS),
        Kernel("int4", _lower_int4, int4.is_int4, helpers=(*int4.HELPERS, "requantize_once")),
        Kernel("wide_weights", _lower_wide, wide_weights.is_wide, helpers=(*wide_weights.HELPERS, "requantize_once")),
        Kernel("int16", _lower_int16, int16.is_int16, helpers=int16.HELPERS),
        Kernel("float", _lower, lambda n, g: g.ins(n)[0].dtype == "float32"),
    ),
    macs=_macs,
)
