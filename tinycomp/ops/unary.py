"""What operators of one input share when each output element depends on one input element alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tinycomp import qmath, qmath_fixed
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import NUMPY, Array, DType, Graph, Node, Tensor
from tinycomp.kernel import Access, Const, Kernel, Leaf, Param, rowwise
from tinycomp.ops.base import Shape, Source, Written, c_type, require_dtype

Float64 = NDArray[np.float64]
Map = Callable[[Node, Graph, Array], Array]
BYTES = np.arange(256, dtype=np.uint8)


def infer_same_shape(
    node: Node, graph: Graph, allowed: Sequence[tuple[DType, DType]]
) -> tuple[tuple[Shape, DType], ...]:
    """The output of an element-wise operator. Raises Unsupported for other dtypes, BadInput without quantization."""
    require_dtype(node, graph, allowed)
    x, out = graph.ins(node)[0], graph.out(node)
    for t in (x, out):
        if t.dtype not in ("float32", "bool"):
            require_per_tensor(node, t)
    return ((x.shape, out.dtype),)


def require_per_tensor(node: Node, t: Tensor) -> None:
    """Raise BadInput where an activation has no scale, or Unsupported where it has one for each channel."""
    if len(t.quant.scale if t.quant is not None else (t.scale,)) > 1:
        raise Unsupported(f"the activation {t.name!r} is quantized per channel", where=f"{node.name} ({node.op})",
                          fix="quantize activations per tensor; weights alone may be per channel")  # fmt: skip


def require_output_quant(node: Node, graph: Graph, scale: float | None, zero_point: int | None) -> None:
    """Raise BadInput unless the output has the scale and zero point that the reference kernel insists on."""
    out = graph.out(node)
    if scale not in (None, out.scale) or zero_point not in (None, out.zero_point):
        wanted = " and ".join(f"{name} {value:.9g}" for name, value in (("scale", scale), ("zero point", zero_point))
                              if value is not None)  # fmt: skip
        raise BadInput(f"its output {out.name!r} has scale {out.scale:.9g} and zero point {out.zero_point}; "
                       f"{graph.reference}'s kernel takes {wanted} alone", where=f"{node.name} ({node.op})",
                       fix="export the model again with the standard converter")  # fmt: skip


def require_fixed_point_input(node: Node, graph: Graph) -> None:
    """Raise Unsupported where the input's scale is too small for the Q4.27 argument of logistic and tanh."""
    x = graph.ins(node)[0]
    if x.dtype != "float32" and x.scale < 2.0**-28:
        raise Unsupported(f"its input {x.name!r} has scale {x.scale:.9g}; the smallest that the reference's "
                          "fixed-point arithmetic holds is 2^-28", where=f"{node.name} ({node.op})",
                          fix="quantize the model again with representative data")  # fmt: skip


def require_multiplier(node: Node, graph: Graph, real: float, limit: float) -> None:
    """Raise Unsupported where the factor to the output's integers is so large that int32 arithmetic overflows."""
    require_factor(f"{node.name} ({node.op})", (*graph.ins(node), graph.out(node)), real, limit)


def require_factor(where: str, tensors: Sequence[Tensor], real: float, limit: float) -> None:
    """The same for a factor that these tensors make, of each the largest scale of its channels."""
    if not real < limit:
        scales = ", ".join(f"{t.name!r} {max(t.quant.scale if t.quant else (t.scale,)):.9g}" for t in tensors)
        raise Unsupported(f"the scales ({scales}) make a factor of {real:.6g}; the reference's integer arithmetic "
                          f"takes less than {limit:g}", where=where,
                          fix="quantize the model again with representative data")  # fmt: skip


def access(node: Node, graph: Graph) -> Access:
    """Output row y from input row y."""
    return rowwise()


def one_input(source: Source) -> Tensor:
    """The input. Raises BadInput where the file names another number of them."""
    x = source.input(0)
    if len(source.inputs) != 1:
        raise BadInput(f"names {len(source.inputs)} inputs and takes one", where=f"{source.name} ({source.builtin})",
                       fix="export the model again")  # fmt: skip
    return x


def finite_option(source: Source, name: str, default: float) -> float:
    """A float32 option. Raises BadInput where it is NaN or infinite."""
    value = float(np.float32(source.options.get(name, default)))
    if not math.isfinite(value):
        raise BadInput(f"{name} is {value}", where=f"{source.name} ({source.builtin})", fix="export the model again")
    return value


def write_plain(node: Node, graph: Graph) -> Written:
    """An operator without options."""
    return Written({}, node.inputs)


def row_leaf(
    node: Node, graph: Graph, params: Mapping[str, Param] | None = None, numbers: Mapping[str, int] | None = None
) -> Leaf:
    """A kernel over the n elements of a row, with the C types of both ends."""
    x, out = graph.ins(node)[0], graph.out(node)
    types: dict[str, Param] = {"type_in": c_type(x), "type_out": c_type(out)}
    return Leaf({**types, **(params or {})}, {"n": x.row_elements, **(numbers or {})})


def is_byte(node: Node, graph: Graph) -> bool:
    """The input is int8 or uint8."""
    return graph.ins(node)[0].dtype in ("int8", "uint8")


def lut(function: Map, accepts: Callable[[Node, Graph], bool] = is_byte) -> Kernel:
    """The kernel that looks each byte up in a table of what `function`, the operator's reference, makes of it.

    The table's index is the input byte taken as unsigned, so for int8 it runs 0 … 127, −128 … −1. Exact by
    construction.
    """

    def lower(node: Node, graph: Graph) -> Leaf:
        x, out = graph.ins(node)[0], graph.out(node)
        table = function(node, graph, BYTES.view(NUMPY[x.dtype]))
        return Leaf({"type_out": c_type(out)}, {"n": x.row_elements}, (Const("table", table),))

    return Kernel("lut", lower, accepts)


def factor(graph: Graph, a: float, b: float, out: float) -> float:
    """a · b / out of float32 scales: TFLM takes it in double, LiteRT in float32 (both tested, not read)."""
    if graph.reference == "litert":
        return float(np.float32(a) * np.float32(b) / np.float32(out))
    return a * b / out


def is_float(node: Node, graph: Graph) -> bool:
    """The input is float32."""
    return graph.ins(node)[0].dtype == "float32"


def fixed_table(
    x: Tensor, values: Array, function: Callable[[qmath.Int64, int], qmath.Int64], bits: int, zero: int
) -> Array:
    """TFLM's int8 form of logistic and tanh: Q4.27 in, Q0.31 out, saturated where the argument leaves Q4.27.

    bits: fractional bits of the output, whose scale is 2^-bits whatever the tensor says, as in the source.
    """
    m, v = qmath_fixed.input_multiplier(x.scale), values.astype(np.int64) - x.zero_point
    radius = qmath_fixed.input_radius(qmath_fixed.INPUT_BITS, m.shift)
    argument = qmath.requantize(np.where(np.abs(v) < radius, v, 0), m.mantissa, m.shift)
    inner = qmath.rounding_shift_right(function(argument, qmath_fixed.INPUT_BITS), 31 - bits) + zero
    return np.where(v <= -radius, -128, np.where(v >= radius, 127, np.clip(inner, -128, 127))).astype(np.int8)


def float_table(x: Tensor, out: Tensor, values: Array, function: Callable[[Float64], Float64]) -> Array:
    """LiteRT's int8 form of a real function: dequantize, apply, requantize, all in float32 (LUTPopulateInt8)."""
    real = np.float32(x.scale) * (values.astype(np.int32) - x.zero_point).astype(np.float32)
    scaled = function(real.astype(np.float64)).astype(np.float32) * (np.float32(1) / np.float32(out.scale))
    rounded = np.trunc(scaled + np.copysign(0.5, scaled.astype(np.float64)))
    return np.clip(rounded + out.zero_point, *qmath.INT_RANGE[out.dtype]).astype(NUMPY[out.dtype])
