"""ADD with numpy broadcasting, and the integer arithmetic that SUB shares: both operands brought to one scale first.

Sources: tensorflow/lite/kernels/internal/reference/integer_ops/add.h, tensorflow/lite/micro/kernels/add_common.cc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from tinycomp import qmath
from tinycomp.errors import Unsupported
from tinycomp.ir import Array, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import binary, mve, unary
from tinycomp.ops.base import Operator, Shape, clamp_real
from tinycomp.ops.linear_dsp import BYTES, Linear, linear

LEFT_SHIFT = {"int8": 20, "int16": 15}  # which leaves room for the sum in 32 bits
HALF = qmath.Multiplier(1 << 30, 0)


@dataclass(frozen=True)
class Add(binary.Binary):
    """activation: the fused clamp."""

    op: ClassVar[str] = "add"


class Factors(NamedTuple):
    """The multipliers of quantized ADD and SUB: of each operand shifted left, and of the sum."""

    a: qmath.Multiplier
    b: qmath.Multiplier
    out: qmath.Multiplier


def factors(node: Node, graph: Graph) -> Factors:
    """All in double. Raises Unsupported where the last one reaches 1, where the reference stops."""
    (a, b), out = graph.ins(node), graph.out(node)
    twice = 2 * max(a.scale, b.scale)
    last = twice / ((1 << LEFT_SHIFT[out.dtype]) * out.scale)
    unary.require_multiplier(node, graph, last, 1.0)
    if out.dtype == "int16" and graph.reference == "litert" and all(_is_power(t.scale) for t in (a, b, out)):
        raise Unsupported("its three scales are powers of two, for which LiteRT has another arithmetic on int16",
                          where=f"{node.name} ({node.op})", fix="build with --reference tflm")  # fmt: skip
    return Factors(*(qmath.quantize_multiplier(real) for real in (a.scale / twice, b.scale / twice, last)))


def _is_power(scale: float) -> bool:
    """Of two, as LiteRT's CheckedLog2 sees it."""
    power = math.log2(scale)
    return abs(power - round(power)) < 1e-3


def infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    """The broadcast shape, for integers if the scales allow the arithmetic."""
    found = binary.infer(node, graph)
    if binary.is_quantized(node, graph):
        factors(node, graph)
    return found


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    if args[0].dtype == np.float32:
        return (clamp_real(np.add(args[0], args[1]), binary.attrs(node).activation),)
    if args[0].dtype == np.int32:
        return (binary.wrapped(np.add(*binary.int64(args))),)
    return (combined(node, graph, args, 1),)


def combined(node: Node, graph: Graph, args: Sequence[Array], sign: int) -> Array:
    """int8 or int16 a + sign · b: both operands rescaled, the sum rescaled again and clamped."""
    m = factors(node, graph)
    (a, b), out, (va, vb) = graph.ins(node), graph.out(node), binary.int64(args)
    left = LEFT_SHIFT[out.dtype]
    scaled_a = qmath.requantize((va - a.zero_point) << left, m.a.mantissa, m.a.shift)
    scaled_b = qmath.requantize((vb - b.zero_point) << left, m.b.mantissa, m.b.shift)
    total = qmath.requantize(scaled_a + sign * scaled_b, m.out.mantissa, m.out.shift)
    return binary.clamped(total + out.zero_point, node, graph)


def lower(node: Node, graph: Graph) -> Leaf:
    """The kernel of ADD and SUB on integers. The operand of larger scale is halved, which needs no multiplication."""
    (a, b), out, m = graph.ins(node), graph.out(node), factors(node, graph)
    low, high = binary.output_range(node, graph)
    numbers = {
        "zero_a": a.zero_point, "zero_b": b.zero_point, "zero_out": out.zero_point, "low": low, "high": high,
        "mantissa_out": m.out.mantissa, "shift_out": m.out.shift,
    }  # fmt: skip
    for name, factor in (("a", m.a), ("b", m.b)):
        if factor != HALF:
            numbers |= {f"mantissa_{name}": factor.mantissa, f"shift_{name}": factor.shift}
    params = {"half_a": m.a == HALF, "half_b": m.b == HALF, "left": LEFT_SHIFT[out.dtype]}
    return binary.leaf(node, graph, params, numbers)


def _linear(node: Node, graph: Graph, sign: int) -> Linear | None:
    (a, b), out = graph.ins(node), graph.out(node)
    pairs = (BYTES[:, None].astype(np.int8), BYTES[None, :].astype(np.int8))
    wanted = combined(node, graph, pairs, sign).astype(np.int64)
    low, high = binary.output_range(node, graph)
    return linear(a.scale / out.scale, sign * b.scale / out.scale, wanted, low, high)


def kernel_dsp(sign: int) -> Kernel:
    """The row for cores with SMLAWB: operands side by side, one sum of products that is exact for every pair."""

    def accepts(node: Node, graph: Graph) -> bool:
        if not binary.is_int8(node, graph):
            return False
        made = lower(node, graph).params
        return made["loops"] == 1 and made["step_a"] == made["step_b"] == 1 and _linear(node, graph, sign) is not None

    def lower_dsp(node: Node, graph: Graph) -> Leaf:
        found = _linear(node, graph, sign)
        assert found is not None  # `accepts` has asked
        made = lower(node, graph)
        low, high = binary.output_range(node, graph)
        params = {
            "from_a": made.params["from_a"], "from_b": made.params["from_b"], "right": found.right,
            "low": low, "high": high,
        }  # fmt: skip
        numbers = {"count": made.numbers["n0"], "factor_a": found.factor_a, "factor_b": found.factor_b,
                   "offset": found.offset}  # fmt: skip
        return Leaf(params, numbers, made.consts, shared=frozenset(numbers))

    return Kernel("dsp", lower_dsp, accepts, frozenset({"dsp"}))


OPERATOR = Operator(
    attrs=Add,
    codecs=(binary.codec("ADD", "AddOptions", Add),),
    infer=infer,
    reference=_reference,
    access=binary.access,
    kernels=(
        mve.on_helium(kernel_dsp(1)),
        kernel_dsp(1),
        Kernel("portable", lower, binary.is_quantized, helpers=binary.HELPERS),
        binary.KERNEL_PLAIN,
    ),
    inplace=(0, 1),
)
