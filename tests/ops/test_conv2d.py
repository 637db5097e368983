"""CONV_2D: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import activation, check_operator, constant, per_channel, quant, single
from tinycomp.ir import Graph, Tensor
from tinycomp.ops import window
from tinycomp.ops.base import Source
from tinycomp.ops.conv2d import Conv2D

# height, width, in channels, out channels, kernel, stride, dilation, SAME (0) or VALID (1), activation
GRID = [
    pytest.param(5, 5, 3, 4, (3, 3), (1, 1), (1, 1), 0, "relu", id="3x3 same"),
    pytest.param(6, 5, 3, 5, (3, 3), (2, 2), (1, 1), 0, "relu6", id="3x3 stride 2, channels not a multiple of four"),
    pytest.param(9, 10, 1, 8, (5, 4), (2, 2), (1, 1), 0, "none", id="one input channel, even kernel"),
    pytest.param(4, 4, 8, 6, (1, 1), (1, 1), (1, 1), 1, "relu", id="pointwise"),
    pytest.param(7, 8, 2, 3, (3, 3), (1, 1), (2, 2), 0, "none", id="dilated"),
    pytest.param(8, 9, 2, 4, (2, 3), (3, 2), (1, 2), 1, "relu_n1_to_1", id="valid, odd strides"),
    pytest.param(1, 1, 4, 4, (3, 3), (1, 1), (1, 1), 0, "none", id="one pixel, kernel larger than the image"),
    pytest.param(12, 1, 5, 7, (4, 1), (1, 1), (1, 1), 0, "relu", id="a time axis"),
]


def convolution(h: int, w: int, c: int, o: int, kernel: window.Pair, stride: window.Pair, dilation: window.Pair,
                scheme: int, act: str, dtype: str = "int8", groups: int = 1, zero: int = -128,
                per_tensor: bool = False) -> Graph:  # fmt: skip
    """A graph of one convolution with random weights."""
    rng = np.random.default_rng(h * 100 + w * 10 + c + o)
    pads = window.padding_of(Source("", "", {"padding": scheme}, (), ()), (h, w), kernel, stride, dilation)
    shape = (o, *kernel, c // groups)
    if dtype == "float32":
        x = activation("x", (1, h, w, c), "float32")
        weights = constant("w", rng.normal(0, 1, shape).astype(np.float32))
        bias = constant("b", rng.normal(0, 1, o).astype(np.float32))
        return single(Conv2D(stride, dilation, pads, act), [x, weights, bias])
    x = activation("x", (1, h, w, c), "int8", quant(0.05, zero))
    scales = [0.02] if per_tensor else list(rng.uniform(0.001, 0.03, o))
    weights = constant("w", rng.integers(-127, 128, shape).astype(np.int8), per_channel(scales))
    bias = rng.integers(-3000, 3000, o).astype(np.int32)
    given = Tensor("b", (o,), "int32", per_channel([0.05 * s for s in scales]), bias)
    return single(Conv2D(stride, dilation, pads, act), [x, weights, given], out_quant=quant(0.11, 3))


@pytest.mark.parametrize(("h", "w", "c", "o", "kernel", "stride", "dilation", "scheme", "act"), GRID)
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_every_kernel_row_computes_what_tflite_micro_computes(h, w, c, o, kernel, stride, dilation, scheme, act, dtype):
    check_operator(convolution(h, w, c, o, kernel, stride, dilation, scheme, act, dtype))


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_grouped_convolution_reads_only_its_group(dtype):
    check_operator(convolution(5, 6, 8, 6, (3, 3), (1, 1), (1, 1), 0, "none", dtype, groups=2))


@pytest.mark.parametrize("zero", [-128, 0, 127])
def test_zero_points_at_the_ends_of_the_range(zero):
    check_operator(convolution(4, 4, 3, 4, (3, 3), (1, 1), (1, 1), 0, "none", zero=zero))


def test_one_scale_for_all_channels():
    check_operator(convolution(4, 4, 3, 4, (3, 3), (1, 1), (1, 1), 0, "none", per_tensor=True))
