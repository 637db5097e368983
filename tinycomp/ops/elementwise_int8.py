"""int8 functions of one element, as TensorFlow Lite's kernels compute them: what fills the tables of `elementwise`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinycomp import qmath, qmath_fixed
from tinycomp.ir import Array, Graph, Node
from tinycomp.ops import unary
from tinycomp.ops.unary import Float64

Int64 = qmath.Int64
ERF = np.frompyfunc(math.erf, 1, 1)


def _offset(node: Node, graph: Graph, values: Array) -> Int64:
    return values.astype(np.int64) - graph.ins(node)[0].zero_point


def _stored(node: Node, graph: Graph, v: Int64) -> Array:
    return np.clip(v + graph.out(node).zero_point, -128, 127).astype(np.int8)


def absolute(node: Node, graph: Graph, values: Array) -> Array:
    """|x|, rescaled where the scales differ."""
    (x,), out = graph.ins(node), graph.out(node)
    v = np.abs(_offset(node, graph, values))
    if x.scale == out.scale:
        return _stored(node, graph, v)
    m = qmath.quantize_multiplier(unary.factor(graph, x.scale, 1.0, out.scale))
    return _stored(node, graph, qmath.requantize(v, m.mantissa, m.shift))


def _through_float(node: Node, graph: Graph, values: Array, function: Callable[[Float64], Float64]) -> Array:
    return unary.float_table(graph.ins(node)[0], graph.out(node), values, function)


def elu(node: Node, graph: Graph, values: Array) -> Array:
    """exp(x) − 1 below zero, in float32."""

    def function(x: Float64) -> Float64:
        below = np.exp(np.minimum(x, 0)).astype(np.float32) - np.float32(1)
        return np.where(x < 0, below, x)

    return _through_float(node, graph, values, function)


def exponential(node: Node, graph: Graph, values: Array) -> Array:
    """exp(x)."""
    return _through_float(node, graph, values, lambda x: np.exp(np.minimum(x, 88)))


def logarithm(node: Node, graph: Graph, values: Array) -> Array:
    """log(x), the least value of the output where x is not positive."""
    out = graph.out(node)
    least = (-128 - out.zero_point) * out.scale

    def function(x: Float64) -> Float64:
        return np.where(x > 0, np.log(np.where(x > 0, x, 1)), least)

    return _through_float(node, graph, values, function)


def gelu_real(x: Any) -> Array:
    """x · Φ(x), Φ the normal distribution."""
    v = np.asarray(x, np.float64)
    erf = np.asarray(ERF(v * math.sqrt(0.5)), np.float64)
    return np.asarray(0.5 * v * (1 + erf), np.float32)


def gelu_tanh(x: Any) -> Array:
    """GELU by its approximation with tanh."""
    v = np.asarray(x, np.float64)
    return np.asarray(0.5 * v * (1 + np.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))), np.float32)


def gelu(node: Node, graph: Graph, values: Array) -> Array:
    """GELU, exact or by tanh."""
    approximate = getattr(node.attrs, "approximate", False)
    real = gelu_tanh if approximate else gelu_real
    return _through_float(node, graph, values, lambda x: real(x).astype(np.float64))


def root(node: Node, graph: Graph, values: Array) -> Array:
    """√x, truncated to the output's integers; 0 below zero, where LiteRT stops."""
    (x,), out = graph.ins(node), graph.out(node)
    real = np.float32(x.scale) * np.maximum(_offset(node, graph, values), 0).astype(np.float32)
    return _stored(node, graph, np.trunc(np.sqrt(real) / np.float32(out.scale)).astype(np.int64))


def reciprocal_root(node: Node, graph: Graph, values: Array) -> Array:
    """1/√x; the largest output at 0, and below it, where the references stop."""
    (x,), out, shift = graph.ins(node), graph.out(node), 20
    scale = np.sqrt(np.float32(x.scale)) if graph.reference == "litert" else math.sqrt(x.scale)
    if graph.reference == "litert":
        m = qmath.quantize_multiplier(1.0 / float(np.float32(scale) * np.float32(out.scale)))
    else:
        m = qmath.quantize_multiplier(1.0 / (float(scale) * out.scale))
    v = _offset(node, graph, values)
    root = qmath_fixed.inverse_root(np.maximum(v, 1))
    data = qmath.requantize(1, root.mantissa, root.shift + shift)
    made = qmath.requantize(data, m.mantissa, m.shift - shift)
    return _stored(node, graph, np.where(v > 0, made, 2**31))


def hard_swish(node: Node, graph: Graph, values: Array) -> Array:
    """x · relu6(x + 3) / 6 in 16-bit fixed point: x scaled to the output, times (x / 3 + 1) / 2 saturated."""
    (x,), out = graph.ins(node), graph.out(node)
    fine = np.float32(x.scale) * np.float32(1 / 128)
    m_out = qmath.quantize_multiplier(float(fine / np.float32(out.scale)))
    m_relu = qmath.quantize_multiplier(float(fine / np.float32(3.0 / 32768.0)))
    v = _offset(node, graph, values) * 128
    scaled = _high16(v, _to16(m_out.mantissa))
    gate = v
    if m_relu.shift > 0:
        gate = _clip16(gate << (m_relu.shift - 1))
    gate = _high16(gate, _to16(m_relu.mantissa))
    if m_relu.shift > 0:
        gate = _clip16(gate << 1)
    if m_relu.shift < 0:
        gate = qmath.rounding_shift_right(gate, -m_relu.shift)
    gate = (gate + (1 << 15)) >> 1
    product = np.trunc(gate * scaled / (1 << 15)).astype(np.int64)  # below 2^31: a double holds it
    return _stored(node, graph, qmath.rounding_shift_right(product, -m_out.shift))


def _to16(mantissa: int) -> int:
    """DownScaleInt32ToInt16Multiplier."""
    return min((mantissa + (1 << 15)) >> 16, 32767)


def _clip16(v: Int64) -> NDArray[np.int64]:
    return np.clip(v, -32768, 32767)


def _high16(a: Int64, b: int) -> Int64:
    """SaturatingRoundingDoublingHighMul of int16: the nudge is rounded towards zero as the source's division does."""
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return np.sign(nudged) * (np.abs(nudged) >> 15)
