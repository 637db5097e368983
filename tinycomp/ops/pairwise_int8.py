"""int8 functions of two operands as TensorFlow Lite Micro computes them: what each means and what its C needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tinycomp import qmath, qmath_fixed
from tinycomp.errors import Unsupported
from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Const
from tinycomp.ops import binary, unary

Int64 = qmath.Int64
COMPARISON_SHIFT = 8  # operands shifted left before they are brought to real units
DIFFERENCE_SHIFT = 7
LENGTH = np.frompyfunc(int.bit_length, 1, 1)


class Code(NamedTuple):
    """What the C of one node needs: numbers by the name that the template gives them, and tables."""

    numbers: Mapping[str, int]
    tables: tuple[Const, ...] = ()


def _anything(node: Node, graph: Graph) -> None:
    return None


@dataclass(frozen=True)
class Arithmetic:
    """reference: of both operands as int64 to the output's int8 (or truth). require: raises where it has no meaning."""

    reference: Callable[[Node, Graph, Int64, Int64], Array]
    lower: Callable[[Node, Graph], Code]
    require: Callable[[Node, Graph], None] = _anything


def _stored(node: Node, graph: Graph, v: Int64) -> Array:
    return binary.clamped(v + graph.out(node).zero_point, node, graph)


def _clamps(node: Node, graph: Graph) -> dict[str, int]:
    low, high = binary.output_range(node, graph)
    return {"zero_out": graph.out(node).zero_point, "low": low, "high": high}


def _zeros(node: Node, graph: Graph) -> dict[str, int]:
    a, b = graph.ins(node)
    return {"zero_a": a.zero_point, "zero_b": b.zero_point}


def _numbers(prefix: str, m: qmath.Multiplier) -> dict[str, int]:
    return {f"mantissa_{prefix}": m.mantissa, f"shift_{prefix}": m.shift}


def pick(real: Callable[[Int64, Int64], Int64]) -> Arithmetic:
    """The larger or smaller of two integers, whatever their scales say, as the reference takes it."""
    return Arithmetic(lambda node, graph, a, b: real(a, b).astype(np.int8), lambda node, graph: Code({}))


def comparison(real: Callable[[Int64, Int64], Array]) -> Arithmetic:
    """Both operands in real units, in fixed point, and compared there."""

    def multipliers(node: Node, graph: Graph) -> list[qmath.Multiplier]:
        return [qmath.quantize_multiplier(t.scale) for t in graph.ins(node)]

    def reference(node: Node, graph: Graph, a: Int64, b: Int64) -> Array:
        m, zeros = multipliers(node, graph), [t.zero_point for t in graph.ins(node)]
        scaled = [
            qmath.requantize((v - zero) << COMPARISON_SHIFT, k.mantissa, k.shift)
            for v, zero, k in zip((a, b), zeros, m, strict=True)
        ]
        return real(scaled[0], scaled[1])

    def lower(node: Node, graph: Graph) -> Code:
        ma, mb = multipliers(node, graph)
        return Code(_zeros(node, graph) | _numbers("a", ma) | _numbers("b", mb))

    def require(node: Node, graph: Graph) -> None:
        for t in graph.ins(node):
            if not 0 < t.scale < 1:
                raise Unsupported(f"{t.name!r} has scale {t.scale:.9g}; the reference compares scales below 1 alone",
                                  where=f"{node.name} ({node.op})",
                                  fix="quantize the model again with representative data")  # fmt: skip

    return Arithmetic(reference, lower, require)


def _difference_factors(node: Node, graph: Graph) -> tuple[qmath.Multiplier, qmath.Multiplier, qmath.Multiplier]:
    (a, b), out = graph.ins(node), graph.out(node)
    twice = 2.0 * max(a.scale, b.scale)
    scaled = float(np.float32(1 << (2 * DIFFERENCE_SHIFT)) * np.float32(out.scale))
    last = twice * twice / scaled
    first, second, third = (qmath.quantize_multiplier(real) for real in (a.scale / twice, b.scale / twice, last))
    return first, second, third


def _squared(node: Node, graph: Graph, a: Int64, b: Int64) -> Array:
    (ta, tb), (ma, mb, mo) = graph.ins(node), _difference_factors(node, graph)
    va = qmath.requantize((a - ta.zero_point) << DIFFERENCE_SHIFT, ma.mantissa, ma.shift)
    vb = qmath.requantize((b - tb.zero_point) << DIFFERENCE_SHIFT, mb.mantissa, mb.shift)
    return _stored(node, graph, qmath.requantize((va - vb) ** 2, mo.mantissa, mo.shift))


def _lower_squared(node: Node, graph: Graph) -> Code:
    ma, mb, mo = _difference_factors(node, graph)
    numbers = _zeros(node, graph) | _clamps(node, graph)
    numbers |= _numbers("a", ma) | _numbers("b", mb) | _numbers("out", mo)
    return Code(numbers)


def _require_squared(node: Node, graph: Graph) -> None:
    (a, b), out = graph.ins(node), graph.out(node)
    twice = 2.0 * max(a.scale, b.scale)
    unary.require_multiplier(node, graph, twice * twice / ((1 << (2 * DIFFERENCE_SHIFT)) * out.scale), 1.0)


SQUARED_DIFFERENCE = Arithmetic(_squared, _lower_squared, _require_squared)


def _prelu_factors(node: Node, graph: Graph) -> tuple[qmath.Multiplier, qmath.Multiplier]:
    (x, alpha), out = graph.ins(node), graph.out(node)
    positive = unary.factor(graph, x.scale, 1.0, out.scale)
    negative = unary.factor(graph, x.scale, alpha.scale, out.scale)
    return qmath.quantize_multiplier(positive), qmath.quantize_multiplier(negative)


def _prelu(node: Node, graph: Graph, a: Int64, b: Int64) -> Array:
    (x, alpha), (m1, m2) = graph.ins(node), _prelu_factors(node, graph)
    v, slope = a - x.zero_point, b - alpha.zero_point
    below = qmath.requantize(v * slope, m2.mantissa, m2.shift)
    return _stored(node, graph, np.where(v >= 0, qmath.requantize(v, m1.mantissa, m1.shift), below))


def _lower_prelu(node: Node, graph: Graph) -> Code:
    m1, m2 = _prelu_factors(node, graph)
    return Code(_zeros(node, graph) | _clamps(node, graph) | _numbers("a", m1) | _numbers("b", m2))


def _require_prelu(node: Node, graph: Graph) -> None:
    (x, alpha), out = graph.ins(node), graph.out(node)
    unary.require_multiplier(node, graph, max(1.0, alpha.scale) * x.scale / out.scale, 2.0**14)


PRELU = Arithmetic(_prelu, _lower_prelu, _require_prelu)


def _quotient_factor(node: Node, graph: Graph) -> qmath.Multiplier:
    """TFLM takes it in double, LiteRT in float32."""
    (a, b), out = graph.ins(node), graph.out(node)
    if graph.reference == "tflm":
        return qmath.quantize_multiplier(a.scale / (b.scale * out.scale))
    return qmath.quantize_multiplier(float(np.float32(a.scale) / (np.float32(b.scale) * np.float32(out.scale))))


def _reciprocals() -> tuple[Int64, Int64]:
    """GetReciprocal of 0 … 255 as integers: mantissa and exponent; that of 0 is 0."""
    found = qmath_fixed.reciprocal(np.arange(1, 256), 31)
    return np.concatenate([[0], found.mantissa]), np.concatenate([[0], found.bits])


def _quotient(node: Node, graph: Graph, a: Int64, b: Int64) -> Array:
    (ta, tb), m = graph.ins(node), _quotient_factor(node, graph)
    va, vb = a - ta.zero_point, b - tb.zero_point
    va, vb = np.broadcast_arrays(np.where(vb < 0, -va, va), np.abs(vb))
    mantissa, bits = _reciprocals()
    size = np.where(va < 0, -va - 1, va)  # CountLeadingSignBits: −1 has as many as 0
    headroom = 31 - np.asarray(LENGTH(size.astype(object)), np.int64)
    quotient = qmath.rounding_doubling_high_mul(va << headroom, mantissa[vb])
    right = bits[vb] + headroom - m.shift
    scaled = qmath.rounding_doubling_high_mul(quotient, m.mantissa)
    rounded = qmath.rounding_shift_right(scaled, np.clip(right, 0, 31))
    return _stored(node, graph, np.where(right > 31, 0, rounded))


def _lower_quotient(node: Node, graph: Graph) -> Code:
    m = _quotient_factor(node, graph)
    mantissa, bits = _reciprocals()
    numbers = _zeros(node, graph) | _clamps(node, graph) | _numbers("out", m)
    tables = (Const("table", mantissa.astype(np.int32)), Const("table", bits.astype(np.int8)))
    return Code(numbers, tables)


DIV = Arithmetic(_quotient, _lower_quotient)
