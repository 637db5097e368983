"""UNIDIRECTIONAL_SEQUENCE_LSTM: long short-term memory over a sequence, one row for each time step.

    i, f, o = sigmoid(W x + R h + b), g = tanh(W x + R h + b)      (weights and biases of its own for each gate)
    c' = clip(f · c + i · g), h' = y = o · tanh(c')

int8 with an int16 cell, as the interpreter computes it: the products of a gate are rounded to Q3.12 each for itself and
added with saturation. The hidden state h and the cell c are states of the graph, so a sequence may go on in the next
inference. Inputs of the node: x, W [4], R [4], b [4] (gates in the order i, f, g, o), h, c.

Sources: tensorflow/lite/micro/kernels/lstm_eval.h, lstm_eval_common.cc, unidirectional_sequence_lstm.cc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp import qmath, qmath_int16
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Const, Kernel, Leaf
from tinycomp.ops import requant, unary
from tinycomp.ops.base import ACTIVATIONS, Codec, Operator, Parsed, Shape, Source, Written
from tinycomp.qmath import Int64, Multiplier

GATE_SCALE, NONLINEAR_SCALE = 2.0**-12, 2.0**-15  # Q3.12 into the sigmoid, Q0.15 out of it
CELL_GATE = 2
HIDDEN, CELL = 13, 14  # inputs of the node
_SIGMOID = qmath_int16.Factor(3, 0)  # Q3.12 in 1/12288
_OPTIONAL = {9: "peepholes", 10: "peepholes", 11: "peepholes", 16: "a projection", 17: "a projection",
             20: "layer normalisation", 21: "layer normalisation", 22: "layer normalisation",
             23: "layer normalisation"}  # fmt: skip


@dataclass(frozen=True)
class Lstm(Attrs):
    """cell_clip: the greatest magnitude of the cell, 0 for no limit. time_major: the first axis of x is time."""

    op: ClassVar[str] = "lstm"
    cell_clip: float = 0.0
    time_major: bool = False


def attrs(node: Node) -> Lstm:
    """The node's attributes, typed."""
    return cast(Lstm, node.attrs)


def _read(source: Source) -> Parsed:
    where = f"{source.name} ({source.builtin})"
    for i, what in _OPTIONAL.items():
        if i < len(source.inputs) and source.inputs[i] is not None:
            raise Unsupported(f"has {what}, which TensorFlow Lite Micro does not compute either", where=where,
                              fix="use a plain LSTM layer")  # fmt: skip
    if len(source.inputs) > 1 and source.inputs[1] is None:
        raise Unsupported("has coupled input and forget gates, which TensorFlow Lite Micro does not compute either",
                          where=where, fix="use a plain LSTM layer")  # fmt: skip
    if int(source.options.get("fused_activation_function", 4)) != ACTIVATIONS.index("tanh"):
        raise Unsupported("has an activation other than tanh", where=where, fix="use activation='tanh'")
    inputs = tuple(source.input(i) for i in (*range(9), *range(12, 16), 18, 19))
    made = Lstm(float(source.options.get("cell_clip", 0.0)), bool(source.options.get("time_major", False)))
    return Parsed(made, inputs, inputs[HIDDEN:])


def _write(node: Node, graph: Graph) -> Written:
    a, names = attrs(node), node.inputs
    options = {"fused_activation_function": ACTIVATIONS.index("tanh"), "cell_clip": a.cell_clip, "proj_clip": 0.0,
               "time_major": a.time_major, "asymmetric_quantize_inputs": False}  # fmt: skip
    none = (None,)
    return Written(options, (*names[:9], *none * 3, *names[9:HIDDEN], *none * 2, *names[HIDDEN:], *none * 4))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    ins, where = graph.ins(node), f"{node.name} (lstm)"
    x, weights, recurrent, biases, (h, c) = ins[0], ins[1:5], ins[5:9], ins[9:HIDDEN], ins[HIDDEN:]
    units = weights[0].shape[0] if weights[0].shape else 0
    batch = x.shape[0 if not attrs(node).time_major else 1] if len(x.shape) == 3 else 0
    fits = all(w.shape == (units, x.shape[-1]) for w in weights) and all(r.shape == (units, units) for r in recurrent)
    fits = fits and all(b.shape == (units,) for b in biases) and h.elements == c.elements == batch * units
    if batch == 0 or not fits:
        raise BadInput(f"input {x.name!r} {list(x.shape)}, weights {list(weights[0].shape)} and states "
                       f"{list(h.shape)}, {list(c.shape)} do not fit together", where=where,
                       fix="export the model again")  # fmt: skip
    if batch != 1:
        raise Unsupported(f"computes {batch} sequences at once; one is supported", where=where,
                          fix="export the model with a batch of 1")  # fmt: skip
    found = (x.dtype, *(w.dtype for w in (*weights, *recurrent)), *(b.dtype for b in biases), h.dtype, c.dtype)
    out = graph.out(node).dtype
    if (*found, out) not in (("int8",) * 9 + ("int32",) * 4 + ("int8", "int16", "int8"), ("float32",) * 16):
        raise Unsupported(f"has dtypes {', '.join(dict.fromkeys(found))}→{out}; supported: int8 with an int16 cell, "
                          "float32", where=where, fix="export the model as full-integer int8 or float32")  # fmt: skip
    if any(t.data is None for t in ins[1:HIDDEN]):
        raise Unsupported("has weights that are computed at run time", where=where, fix="freeze the model's weights")
    if x.dtype == "int8":
        _require_quantization(node, graph, where)
    return (((*x.shape[:2], units), x.dtype), (h.shape, h.dtype), (c.shape, c.dtype))


def _require_quantization(node: Node, graph: Graph, where: str) -> None:
    for t in (*graph.ins(node)[:9], *graph.ins(node)[HIDDEN:]):
        if t.quant is None or t.quant.per_channel:
            raise Unsupported(f"needs one scale for {t.name!r}", where=where, fix="export the model again")
    power = math.log2(graph.ins(node)[CELL].scale)
    if abs(power - round(power)) > 1e-3 or not -22 <= round(power) <= -9:
        raise BadInput(f"its cell has scale {graph.ins(node)[CELL].scale:.9g}, which is no power of two from 2^-22 to "
                       "2^-9", where=where, fix="export the model again with the standard converter")  # fmt: skip
    h = graph.ins(node)[HIDDEN]
    unary.require_factor(where, (h,), NONLINEAR_SCALE**2 / h.scale, requant.LIMIT)
    for x, w in _gate_operands(node, graph):
        unary.require_factor(where, (x, w), x.scale * w.scale / GATE_SCALE, requant.LIMIT)
    for x, w, b in _products(node, graph):
        most = np.abs(w.astype(np.int64)).sum(axis=1) * 256 + np.abs(b)
        if (most >= 1 << 31).any():
            raise Unsupported(f"its products with {x.name!r} may leave 32 bits", where=where, fix="use fewer units")


def _products(node: Node, graph: Graph) -> list[tuple[Tensor, Array, Int64]]:
    """For each gate the two products: operand, weights, bias with the operand's zero point folded in."""
    ins = graph.ins(node)
    found: list[tuple[Tensor, Array, Int64]] = []
    for gate in range(4):
        for t, w, b in ((ins[0], ins[1 + gate], ins[9 + gate].data), (ins[HIDDEN], ins[5 + gate], None)):
            assert w.data is not None  # `infer` has refused others
            zero = t.zero_point * w.data.astype(np.int64).sum(axis=1)
            found.append((t, w.data, (0 if b is None else b.astype(np.int64)) - zero))
    return found


def _gate_operands(node: Node, graph: Graph) -> list[tuple[Tensor, Tensor]]:
    """For each gate its two products' operands and weights."""
    ins = graph.ins(node)
    return [(t, ins[first + gate]) for gate in range(4) for t, first in ((ins[0], 1), (ins[HIDDEN], 5))]


def _gate_multipliers(node: Node, graph: Graph) -> list[Multiplier]:
    """Of the products in the order of `_products`, to Q3.12."""
    pairs = _gate_operands(node, graph)
    return [qmath.quantize_multiplier(t.scale * w.scale / GATE_SCALE) for t, w in pairs]


def _cell_multipliers(node: Node, graph: Graph) -> list[Multiplier]:
    """f · c, i · g, o · tanh(c')."""
    h, c = graph.ins(node)[HIDDEN:]
    scales = (NONLINEAR_SCALE * c.scale / c.scale, NONLINEAR_SCALE**2 / c.scale, NONLINEAR_SCALE**2 / h.scale)
    return [qmath.quantize_multiplier(s) for s in scales]


def _tanh_factor(power: int) -> qmath_int16.Factor:
    """Of a value in 2^power."""
    left = 12 + power
    return qmath_int16.Factor(3 << left, 0) if left >= 0 else qmath_int16.Factor(3, -left)


def _cell_power(node: Node, graph: Graph) -> int:
    return round(math.log2(graph.ins(node)[CELL].scale))


def _clip(node: Node, graph: Graph) -> int:
    """The quantized limit of the cell, 0 for none."""
    limit = attrs(node).cell_clip
    return int(min(limit / graph.ins(node)[CELL].scale, 32767.0)) if limit > 0 else 0


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    x, h, c = args[0], args[HIDDEN], args[CELL]
    time = 0 if attrs(node).time_major else 1
    step = _float_step if x.dtype == np.float32 else _int8_step
    made: list[Array] = []
    for t in range(x.shape[time]):
        now = np.take(x, t, axis=time)
        hidden, cell = step(node, graph, now, h.reshape(len(now), -1), c.reshape(len(now), -1), args)
        h, c = hidden.reshape(h.shape), cell.reshape(c.shape)
        made.append(hidden)
    return np.stack(made, axis=time), h, c


def _float_step(node: Node, graph: Graph, x: Array, h: Array, c: Array, args: Sequence[Array]) -> tuple[Array, Array]:
    values = [a.astype(np.float32) for a in (x, h, *args[:HIDDEN])]
    now, before, w = values[0], values[1], values[2:]
    gates = [now @ w[1 + k].T + w[9 + k] + before @ w[5 + k].T for k in range(4)]
    i, f, o = (1 / (1 + np.exp(-gates[k])) for k in (0, 1, 3))
    cell = f * c.astype(np.float32) + i * np.tanh(gates[CELL_GATE])
    if (limit := attrs(node).cell_clip) > 0:
        cell = np.clip(cell, -limit, limit)
    return (o * np.tanh(cell)).astype(np.float32), cell.astype(np.float32)


def _int8_step(node: Node, graph: Graph, x: Array, h: Array, c: Array, args: Sequence[Array]) -> tuple[Array, Array]:
    sums: list[Int64] = []
    values = (x.astype(np.int64), h.astype(np.int64))
    products = zip(_products(node, graph), _gate_multipliers(node, graph), strict=True)
    for k, ((_, w, b), m) in enumerate(products):
        acc = values[k % 2] @ w.astype(np.int64).T + b
        sums.append(_q15(qmath.requantize(acc, m.mantissa, m.shift)))
    gates = [_q15(sums[2 * k] + sums[2 * k + 1]) for k in range(4)]
    i, f, o = (qmath_int16.logistic(gates[k], _SIGMOID) for k in (0, 1, 3))
    g = qmath_int16.tanh(gates[CELL_GATE], _SIGMOID)
    forget, take, give = _cell_multipliers(node, graph)
    kept = _q15(qmath.requantize(f * c.astype(np.int64), forget.mantissa, forget.shift))
    cell = _q15(kept + _q15(qmath.requantize(i * g, take.mantissa, take.shift)))
    if limit := _clip(node, graph):
        cell = np.clip(cell, -limit, limit)
    t = qmath_int16.tanh(cell, _tanh_factor(_cell_power(node, graph)))
    zero = graph.ins(node)[HIDDEN].zero_point
    hidden = np.clip(qmath.requantize(t * o, give.mantissa, give.shift) + zero, -128, 127)
    return hidden.astype(np.int8), cell.astype(np.int16)


def _q15(values: Int64) -> Int64:
    return np.clip(values, -32768, 32767)


def _lower(node: Node, graph: Graph) -> Leaf:
    """Weights [4 gates][units][inner + units]: a unit's products read straight on. Biases [4][units][2]."""
    ins, products = graph.ins(node), _products(node, graph)
    weights = np.stack([np.concatenate([products[2 * k][1], products[2 * k + 1][1]], axis=1) for k in range(4)])
    biases = np.stack([np.stack([products[2 * k][2], products[2 * k + 1][2]], axis=1) for k in range(4)])
    gates = _gate_multipliers(node, graph)
    units, inner = ins[1].shape
    tanh = _tanh_factor(_cell_power(node, graph))
    numbers = {"units": units, "inner": inner, "zero": ins[HIDDEN].zero_point, "clip": _clip(node, graph) or 32768,
               "factor": tanh.multiplier, "half": 1 << (tanh.shift - 1) if tanh.shift else 0,
               "shift": tanh.shift}  # fmt: skip
    for name, m in zip(("forget", "take", "give"), _cell_multipliers(node, graph), strict=True):
        numbers |= {f"{name}_mantissa": m.mantissa, f"{name}_shift": m.shift}
    mantissas, shifts = (np.array([getattr(m, part) for m in gates]) for part in ("mantissa", "shift"))
    consts = (
        Const("weights", weights), Const("bias", biases.astype(np.int32)),
        *requant.requant_consts(requant.Multipliers(mantissas, shifts)),
        Const("table", qmath_int16.sigmoid_table().astype(np.uint16)),
    )  # fmt: skip
    return Leaf({}, numbers, consts, scratch=4 * units * 2)


def _lower_float(node: Node, graph: Graph) -> Leaf:
    """Weights [4 gates][units][inner + units], biases [4][units]."""
    data = [t.data for t in graph.ins(node)]
    weights = np.stack([np.concatenate([cast(Array, data[1 + k]), cast(Array, data[5 + k])], axis=1) for k in range(4)])
    biases = np.stack([cast(Array, data[9 + k]) for k in range(4)])
    units, inner = graph.ins(node)[1].shape
    limit = attrs(node).cell_clip
    clip = f"{float(np.float32(limit))!r}f" if limit > 0 else ""
    return Leaf({"clip": clip}, {"units": units, "inner": inner}, (Const("weights", weights), Const("bias", biases)),
                scratch=4 * units * 4)  # fmt: skip


def _macs(node: Node, graph: Graph) -> int:
    units, inner = graph.ins(node)[1].shape
    return graph.ins(node)[0].rows * 4 * units * (inner + units)


OPERATOR = Operator(
    attrs=Lstm,
    codecs=(Codec("UNIDIRECTIONAL_SEQUENCE_LSTM", "UnidirectionalSequenceLSTMOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(
        Kernel("float", _lower_float, unary.is_float),
        Kernel(
            "portable",
            _lower,
            unary.is_byte,
            helpers=("requantize", "clamp_int16", "clamp_int8", "sigmoid_q15", "tanh_q15"),
        ),
    ),
    carries=((HIDDEN, 1), (CELL, 2)),
    macs=_macs,
)
