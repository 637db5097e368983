"""TRANSPOSE_CONV: the reference against the interpreters, the kernels against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import panel
from tests.support import activation, check_operator, constant, per_channel, quant, random_inputs, single
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import DType, Graph, Tensor
from tinycomp.ops import window
from tinycomp.ops.base import Source
from tinycomp.ops.transpose_conv import TransposeConv

# input shape, output channels, kernel, stride, output size, SAME (0) or VALID (1)
GRID: list[tuple[tuple[int, ...], int, window.Pair, window.Pair, window.Pair, int]] = [
    ((1, 3, 4, 3), 4, (3, 3), (2, 2), (6, 8), 0), ((1, 3, 4, 3), 2, (2, 2), (2, 2), (6, 8), 1),
    ((1, 3, 3, 2), 3, (4, 4), (2, 2), (6, 6), 0), ((2, 2, 3, 1), 1, (3, 2), (1, 3), (4, 8), 1),
    ((1, 3, 4, 3), 4, (3, 3), (2, 2), (5, 7), 0), ((1, 2, 2, 2), 5, (1, 1), (3, 3), (4, 4), 1),
    ((1, 1, 1, 4), 3, (5, 5), (1, 1), (1, 1), 0), ((1, 4, 1, 6), 2, (4, 1), (4, 1), (16, 1), 0),
    ((1, 5, 4, 2), 2, (3, 3), (1, 1), (5, 4), 0), ((1, 2, 3, 2), 3, (3, 3), (2, 2), (6, 9), 1),
]  # fmt: skip
SCALES: dict[str, tuple[float, int, float, int]] = {"int8": (0.05, -7, 0.31, 5), "int16": (0.0007, 0, 0.0013, 0)}


def spread(shape: tuple[int, ...], channels: int, kernel: window.Pair, stride: window.Pair, size: window.Pair,
           scheme: int, dtype: DType, activated: str = "none", weights: DType = "int8") -> Graph:  # fmt: skip
    """One layer with random weights, a scale for each channel. weights: their dtype beside float32."""
    rng = np.random.default_rng(sum(shape) * 10 + channels)
    same = Source("", "", {"padding": scheme}, (), ())
    attrs = TransposeConv(size, stride, window.padding_of(same, size, kernel, stride, (1, 1)), activated)
    dims = (channels, *kernel, shape[3])
    scales = [float(s) for s in rng.uniform(0.001, 0.02, channels)]
    integers = constant("w", rng.integers(-127, 128, dims).astype(np.int8), per_channel(scales))
    if dtype == "float32":
        real = constant("w", rng.normal(0, 1, dims).astype(np.float32))
        bias = constant("b", rng.normal(0, 1, channels).astype(np.float32))
        return single(attrs, [activation("x", shape, dtype), integers if weights == "int8" else real, bias])
    scale, zero, out, zero_out = SCALES[dtype]
    wide = "int64" if dtype == "int16" else "int32"
    bias = Tensor("b", (channels,), wide, per_channel([scale * s for s in scales]),
                  rng.integers(-3000, 3000, channels).astype(wide))  # fmt: skip
    x = activation("x", shape, dtype, quant(scale, zero))
    return single(attrs, [x, integers, bias], out_quant=quant(out, zero_out))


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
def test_pixels_are_spread_as_in_the_interpreter(dtype):
    graph = panel([spread(*layer, dtype, weights="float32") for layer in GRID])
    check_operator(graph, random_inputs(graph, cases=3))


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_activations_are_fused_as_in_litert(dtype):
    activated = ("relu", "relu6", "relu_n1_to_1")
    graph = panel([spread(*layer, dtype, act, "float32") for layer, act in zip(GRID, activated, strict=False)])
    check_operator(graph, random_inputs(graph, cases=3), by="litert")


def test_int8_weights_beside_float32_are_their_real_values():
    check_operator(panel([spread(*layer, "float32") for layer in GRID]), oracle=False)


def test_what_does_not_fit_is_named():
    x, b = activation("x", (1, 2, 2, 3), "float32"), constant("b", np.zeros(1, np.float32))
    with pytest.raises(BadInput, match="have different channels"):
        single(TransposeConv((2, 2)), [x, constant("w", np.zeros((1, 2, 2, 2), np.float32)), b])
    with pytest.raises(Unsupported, match="has dtypes float32,int32→float32"):
        single(TransposeConv((2, 2)), [x, constant("w", np.zeros((1, 2, 2, 3), np.int32)), b])
