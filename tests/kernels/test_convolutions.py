"""CONV_2D and FULLY_CONNECTED on emulated cores with the DSP extension: every row bit-equal to the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.core import bundle, check_on_core, kernels
from tests.support import activation, constant, per_channel, quant, random_inputs, single
from tinycomp.ir import Graph, Tensor
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.fully_connected import FullyConnected

Grid = Callable[[], Iterator[tuple[str, Graph]]]
CORES = pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33"])


def convolution(h: int, w: int, c: int, o: int, kernel: tuple[int, int] = (1, 1), stride: tuple[int, int] = (1, 1),
                pads: tuple[int, int, int, int] = (0, 0, 0, 0), act: str = "relu", *, zero: int = -128,
                out_zero: int = -128, lowest: int = -127, scale: float = 0.02) -> Graph:  # fmt: skip
    """One convolution with random weights from `lowest` to 127 and out-scales around `scale`."""
    rng = np.random.default_rng(h + 10 * w + 100 * c + 1000 * o)
    weights = rng.integers(lowest, 128, (o, *kernel, c)).astype(np.int8)
    scales = list(rng.uniform(0.3, 1.7, o) * scale / np.sqrt(weights[0].size))
    x = activation("x", (1, h, w, c), "int8", quant(0.05, zero))
    filters = constant("w", weights, per_channel(scales))
    bias = Tensor(
        "b", (o,), "int32", per_channel([0.05 * s for s in scales]), rng.integers(-4000, 4000, o).astype(np.int32)
    )
    return single(Conv2D(stride, (1, 1), pads, act), [x, filters, bias], out_quant=quant(0.05, out_zero))


def dense(vectors: int, inner: int, outputs: int, act: str = "relu", *, out_zero: int = -128, channels: bool = False,
          reference: str = "tflm") -> Graph:  # fmt: skip
    """One dense layer with random weights."""
    rng = np.random.default_rng(vectors + 10 * inner + 1000 * outputs)
    weights = rng.integers(-127, 128, (outputs, inner)).astype(np.int8)
    scales = list(rng.uniform(0.3, 1.7, outputs if channels else 1) * 0.02 / np.sqrt(inner))
    x = activation("x", (vectors, inner), "int8", quant(0.05, 3))
    bias = rng.integers(-4000, 4000, outputs).astype(np.int32)
    inputs = [
        x,
        constant("w", weights, per_channel(scales)),
        Tensor("b", (outputs,), "int32", per_channel([0.05 * s for s in scales]), bias),
    ]
    return single(FullyConnected(False, act), inputs, out_quant=quant(0.05, out_zero))


def pointwise() -> Iterator[tuple[str, Graph]]:
    """Channels 1 to 70, odd and even; rows of 1 to 20 columns; clamps and zero points."""
    rng = np.random.default_rng(1)
    for c in (*range(1, 34), 35, 47, 60, 64, 65, 70):
        o, w = int(rng.integers(1, 71)), int(rng.integers(1, 21))
        act = ("relu", "none", "relu6")[c % 3]
        yield f"c{c}", convolution(2, w, c, o, act=act, out_zero=(-128, 3, -100)[c % 3])
    for o in range(1, 10):
        yield f"o{o}", convolution(1, 5, 8, o)
    for w in range(1, 10):
        yield f"w{w}", convolution(1, w, 5, 6, act="none", out_zero=0)
    for zero in (-128, -127, 0, 126, 127):
        yield f"z{zero + 128}", convolution(1, 4, 12, 5, act="none", zero=zero, out_zero=-zero - 1)
    yield "strided", convolution(5, 9, 16, 8, stride=(2, 2))
    yield "strided_odd", convolution(5, 10, 3, 6, stride=(3, 3), act="none", out_zero=7)
    yield "large", convolution(1, 6, 300, 9)
    yield "coarse", convolution(1, 6, 8, 9, scale=0.5)
    yield "coarse_signed", convolution(1, 6, 8, 9, scale=0.5, act="none", out_zero=-7)
    yield "minus_128", convolution(1, 7, 33, 11, lowest=-128)
    yield "minus_128_signed", convolution(1, 7, 19, 11, lowest=-128, act="none", out_zero=9)
    yield "fine", convolution(1, 6, 8, 9, scale=0.0005)


def windows() -> Iterator[tuple[str, Graph]]:
    """Kernels, strides and paddings; windows that leave the image on either side or both."""
    yield "first_3x3", convolution(9, 12, 3, 8, (3, 3), (2, 2), (0, 1, 0, 1))
    yield "first_10x4", convolution(21, 10, 1, 12, (10, 4), (2, 2), (4, 5, 1, 1))
    yield "gray_3x3", convolution(8, 8, 1, 8, (3, 3), (2, 2), (0, 1, 0, 1))
    for k in range(1, 10):
        kernel = ((3, 3), (5, 5), (1, 3), (2, 4), (3, 1), (1, 7), (4, 1), (5, 2), (3, 5))[k - 1]
        c, o, w = (1, 2, 3, 4, 5, 8, 13, 16, 20)[k - 1], 3 * k, 4 + k
        pads = ((1, 1, 1, 1), (2, 2, 2, 2), (0, 0, 1, 1), (0, 1, 1, 2))[k % 4]
        if pads[0] >= kernel[0] or pads[2] >= kernel[1]:
            pads = (0, 0, 0, 0)
        yield (
            f"k{k}",
            convolution(
                6, w + 3, c, o, kernel, (1 + k % 2, 1 + k % 3), pads, ("relu", "none")[k % 2], out_zero=-128 + k % 2
            ),
        )
    yield "one_pixel", convolution(1, 1, 4, 4, (3, 3), (1, 1), (1, 1, 1, 1), zero=5)
    yield "narrow", convolution(4, 2, 6, 5, (3, 5), (1, 1), (1, 1, 2, 2), zero=-3)
    yield "beyond", convolution(3, 3, 4, 5, (3, 3), (1, 1), (1, 1, 4, 4), zero=-3)
    yield "wide", convolution(3, 20, 16, 16, (3, 3), (1, 1), (1, 1, 1, 1), "none", out_zero=4)
    yield "large", convolution(3, 5, 160, 6, (7, 7), (1, 1), (3, 3, 3, 3), "none", out_zero=4)
    yield "deep", convolution(3, 4, 64, 10, (3, 3), (1, 1), (1, 1, 1, 1), "none", out_zero=4)


def layers() -> Iterator[tuple[str, Graph]]:
    """Dense layers: lengths, outputs, several vectors, one scale or many."""
    for inner in (1, 2, 3, 4, 7, 16, 30, 31, 32, 33, 64, 100):
        yield f"k{inner}", dense(1, inner, 1 + inner % 11, ("relu", "none")[inner % 2], channels=inner % 3 == 0)
    yield "vectors", dense(5, 24, 7, "none", out_zero=9)
    yield "long", dense(1, 640, 16)
    yield "longer", dense(1, 5000, 6)
    yield "relu6", dense(1, 20, 9, "relu6", out_zero=-100)


@CORES
@pytest.mark.parametrize("grid", [pointwise, windows, layers], ids=lambda f: f.__name__)
def test_every_shape_of_the_grid_is_bit_exact_on_the_core(grid: Grid, core: str, tmp_path: Path):
    graphs = dict(grid())
    lowered = check_on_core(
        graphs, random_inputs(bundle(graphs), cases=4), core, tmp_path, natively=core != "cortex-m33"
    )
    slow = {name for name, kernel in kernels(lowered).items() if kernel in ("portable", "once")}
    assert not slow
