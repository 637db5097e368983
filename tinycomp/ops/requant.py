"""Requantization that convolutions and dense layers share: per-channel multipliers, folded biases, their C data."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import NUMPY, Array, DType, Quant, Tensor
from tinycomp.kernel import Const
from tinycomp.ops.base import Source
from tinycomp.ops.unary import require_factor

# What convolutions and dense layers take: dtypes of input, weights and output.
WEIGHTED: list[tuple[DType, ...]] = [
    ("int8", "int8", "int8"), ("int8", "int4", "int8"), ("int8", "int16", "int8"), ("int16", "int8", "int16"),
    ("float32", "float32", "float32"), ("float32", "int8", "float32"),
]  # fmt: skip

# twice: `qmath.requantize`; once: as LiteRT's dense layers do; wide: of 64 bits, beside int16.
Rounding = Literal["twice", "once", "wide"]
LIMIT = 2.0**30  # of a multiplier: MultiplyByQuantizedMultiplier takes shifts up to 30
_RESCALE = {"twice": qmath.requantize, "once": qmath.requantize_once, "wide": qmath.requantize_wide}


class Multipliers(NamedTuple):
    """One fixed-point multiplier for each output channel, both int64 [channels]."""

    mantissa: qmath.Int64
    shift: qmath.Int64


def bias_of(source: Source, index: int, x: Tensor, weights: Tensor, channels: int) -> Tensor:
    """The input that holds the bias, or the constant that stands for one which the file leaves out."""
    given = source.inputs[index] if len(source.inputs) > index else None
    if given is not None:
        return given
    name = f"{source.name}/bias"
    if x.dtype == "float32":
        return Tensor(name, (channels,), "float32", None, np.zeros(channels, np.float32))
    scales = tuple(x.scale * s for s in weights.quant.scale) if weights.quant and x.quant else (1.0,)
    quant = Quant(scales, (0,) * len(scales), 0)
    if x.dtype == "int16":
        return Tensor(name, (channels,), "int64", quant, np.zeros(channels, np.int64))
    return Tensor(name, (channels,), "int32", quant, np.zeros(channels, np.int32))


def channel_multipliers(x: Tensor, weights: Tensor, out: Tensor, channels: int) -> Multipliers:
    """scale_x · scale_w / scale_out in double, for each channel (PopulateConvolutionQuantizationParams)."""
    assert weights.quant is not None  # `infer` has refused quantized nodes without parameters
    scales = weights.quant.scale if weights.quant.per_channel else weights.quant.scale * channels
    found = [qmath.quantize_multiplier(x.scale * s / out.scale) for s in scales]
    return Multipliers(np.array([m.mantissa for m in found]), np.array([m.shift for m in found]))


def requant_consts(multipliers: Multipliers) -> tuple[Const, Const]:
    """The tables that the C reads: int32 mantissas and int8 shifts."""
    return (
        Const("requant", multipliers.mantissa.astype(np.int32)),
        Const("requant", multipliers.shift.astype(np.int8)),
    )


def exact_float(dtype: DType, weights: Array) -> type[np.float32] | type[np.float64]:
    """The float that sums products of integer inputs and weights without rounding, in any order.

    weights: [channels, …]. Every partial sum is below the widest input times the channel's sum of magnitudes, and
    float32 holds integers up to 2**24; float64 has room for whatever the accumulators of the kernels have.
    """
    widest = 255 if dtype in ("int8", "uint8") else 65_535
    sums = np.abs(weights.astype(np.int64)).reshape(weights.shape[0], -1).sum(axis=1)
    return np.float32 if widest * int(sums.max(initial=0)) < 2**24 else np.float64


def folded_bias(bias: Array, weights: Array, zero_point: int) -> Array:
    """bias − zero_point · Σ weights per output channel (the first axis), wrapped to int32.

    With it a kernel multiplies stored input bytes and never subtracts the zero point.
    """
    sums = weights.astype(np.int64).reshape(weights.shape[0], -1).sum(axis=1)
    return qmath.wrap32(bias.astype(np.int64) - zero_point * sums).astype(np.int32)


def accumulator_type(bias: Array, weights: Array, largest: int = 128) -> str:
    """int32_t where no order of additions can overflow it, else uint32_t, whose wrapping is defined in C.

    Trained models fit; channels with all-zero weights and a huge bias, which do occur, may not once the zero point is
    folded in. The result's bits are equal either way. largest: what an input's magnitude may be.
    """
    sums = np.abs(weights.astype(np.int64)).reshape(weights.shape[0], -1).sum(axis=1)
    worst = np.abs(bias.astype(np.int64)) + largest * sums
    return "int32_t" if int(worst.max(initial=0)) < 2**31 else "uint32_t"


def finish(acc: Array, multipliers: Multipliers, out: Tensor, activation: str, rounding: Rounding = "twice") -> Array:
    """Accumulators [..., channels] to the output's integers: multiply, add the zero point, clamp.

    They wrap to int32, unless rounding is wide.
    """
    rescale = _RESCALE[rounding]
    q = rescale(acc if rounding == "wide" else qmath.wrap32(acc), multipliers.mantissa, multipliers.shift)
    low, high = qmath.activation_range(activation, out.dtype, out.scale, out.zero_point)
    return np.clip(q + out.zero_point, low, high).astype(NUMPY[out.dtype])


def require_weights(where: str, x: Tensor, weights: Tensor, bias: Tensor, out: Tensor, axis: int) -> None:
    """Raise unless weights and bias are constants that the kernels can use, the weights' channels along `axis`.

    BadInput where counts or shapes do not agree or a scale is missing; Unsupported where the values come at run time,
    the bias has another dtype than the accumulator, quantized weights are asymmetric, activations are quantized per
    channel, or the scales make a factor that no shift of 32 bits holds.
    """
    channels = weights.shape[axis]
    for t in (weights, bias):
        if t.data is None:
            raise Unsupported(f"{t.name!r} is computed at run time; weights and bias must be constants", where=where,
                              fix="export the model with frozen weights")  # fmt: skip
    if bias.shape != (channels,):
        raise BadInput(f"bias {bias.name!r} has shape {list(bias.shape)}, expected [{channels}]", where=where)
    wanted = {"float32": ("float32",), "int16": ("int64", "int32")}.get(x.dtype, ("int32",))
    if bias.dtype not in wanted:
        raise Unsupported(f"bias {bias.name!r} is {bias.dtype}, expected {' or '.join(wanted)} beside {x.dtype} inputs",
                          where=where, fix="export the model as full-integer int8 or as float32")  # fmt: skip
    if weights.dtype == "float32":
        return
    for t in (weights,) if x.dtype == "float32" else (x, weights, out):
        if t.quant is None:
            raise BadInput(f"{t.name!r} has no quantization parameters", where=where,
                           fix="export the model with full-integer quantization")  # fmt: skip
        if t.quant.per_channel and t is not weights:
            raise Unsupported(f"the activation {t.name!r} is quantized per channel", where=where,
                              fix="quantize activations per tensor; weights alone may be per channel")  # fmt: skip
    quant = weights.quant
    assert quant is not None  # checked above
    if quant.per_channel and (len(quant.scale), quant.axis) != (channels, axis):
        raise BadInput(f"weights {weights.name!r} have {len(quant.scale)} scales along axis {quant.axis}, "
                       f"expected {channels} along axis {axis}", where=where, fix="export the model again")  # fmt: skip
    if any(quant.zero_point):
        raise Unsupported(f"weights {weights.name!r} have a zero point other than 0", where=where,
                          fix="export the model with symmetric int8 weights")  # fmt: skip
    if x.dtype != "float32":
        require_factor(where, (x, weights, out), x.scale * max(quant.scale) / out.scale, LIMIT)
