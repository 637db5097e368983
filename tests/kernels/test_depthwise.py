"""DEPTHWISE_CONV_2D on emulated cores with the DSP extension: every row bit-equal to the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.core import bundle, check_on_core, kernels
from tests.support import activation, constant, per_channel, quant, random_inputs, single
from tinycomp.errors import TinycompError
from tinycomp.ir import Graph, Tensor
from tinycomp.ops import window
from tinycomp.ops.base import Source
from tinycomp.ops.depthwise_attrs import DepthwiseConv2D
from tinycomp.ops.depthwise_block import Block, Layout, Pair, block, fits

Labelled = Iterator[tuple[str, Graph]]


def depthwise(h: int, w: int, c: int, kernel: window.Pair = (3, 3), stride: window.Pair = (1, 1),
              pads: window.Padding | None = None, act: str = "relu", *, multiplier: int = 1, zero: int = -128,
              out_zero: int = -128, lowest: int = -127, scales: tuple[float, float] = (0.002, 0.006),
              out_scale: float = 0.05, dilation: window.Pair = (1, 1), seed: int = 0) -> Graph:  # fmt: skip
    """One depthwise convolution with random weights from `lowest` to 127, padded as SAME where nothing is said."""
    rng = np.random.default_rng(h + 10 * w + 100 * c + seed)
    o = c * multiplier
    weights = rng.integers(lowest, 128, (1, *kernel, o)).astype(np.int8)
    weights[0, 0, 0, 0] = lowest
    each = list(np.exp(rng.uniform(np.log(scales[0]), np.log(scales[1]), o)))
    bias = Tensor(
        "b", (o,), "int32", per_channel([0.02 * s for s in each]), rng.integers(-2000, 2000, o).astype(np.int32)
    )
    inputs = [
        activation("x", (1, h, w, c), "int8", quant(0.02, zero)),
        constant("w", weights, per_channel(each, 3)),
        bias,
    ]
    if pads is None:
        pads = window.padding_of(Source("", "", {"padding": 0}, (), ()), (h, w), kernel, stride, dilation)
    return single(DepthwiseConv2D(stride, dilation, pads, act), inputs, out_quant=quant(out_scale, out_zero))


def widths() -> Labelled:
    """Rows of 2 to 20 pixels, alone in a block, in equal blocks and with a rest; strides 1 to 3."""
    for w in range(2, 21):
        yield f"w{w}", depthwise(3, w, 8 + w % 5)
    for w in range(3, 21, 2):
        yield f"w{w}_s2", depthwise(4, w, 4 + w % 5, stride=(2, 2), act=("relu", "none")[w // 2 % 2], out_zero=w - 128)
    yield "w9_s3", depthwise(4, 9, 5, stride=(1, 3))
    yield "w48", depthwise(3, 48, 8)


def channel_counts() -> Labelled:
    """1 to 70 channels, odd and even; those below four are no row's of this file."""
    for c in (*range(4, 20), 23, 31, 32, 33, 47, 64, 65, 70):
        yield f"c{c}", depthwise(3, 5, c, act=("relu", "none", "relu6")[c % 3], out_zero=(-128, 3, -100)[c % 3])


def windows() -> Labelled:
    """Kernels and paddings, among them windows that leave the image on both sides and wide ones in two passes."""
    for k, kernel in enumerate(
        [(3, 3), (5, 5), (3, 1), (1, 3), (2, 2), (4, 3), (3, 5), (5, 3), (7, 3), (1, 1), (6, 4), (7, 7)]
    ):
        yield f"k{k}", depthwise(7, 9, 6, kernel)
        yield f"k{k}_s2", depthwise(8, 10, 5, kernel, (2, 2), act="none", zero=5, out_zero=-7)
    yield "left_only", depthwise(4, 8, 8, pads=(1, 0, 2, 0))
    yield "right_only", depthwise(4, 8, 8, pads=(0, 2, 0, 2), zero=3)
    yield "unpadded", depthwise(5, 13, 8, pads=(0, 0, 0, 0), zero=127)
    yield "unread_columns", depthwise(5, 12, 8, stride=(2, 3), pads=(0, 0, 0, 0))
    yield "two_columns", depthwise(4, 2, 9, (3, 5), pads=(1, 1, 2, 2))


def numbers() -> Labelled:
    """Zero points at the ends, weights of -128, shifts that lie far apart, exact halves, coarse and fine scales."""
    for zero in (-128, -127, 0, 126, 127):
        yield f"z{zero + 128}", depthwise(3, 6, 8, act="none", zero=zero, out_zero=-zero - 1)
    yield "minus_128", depthwise(3, 6, 9, lowest=-128)
    yield "minus_128_signed", depthwise(3, 6, 9, lowest=-128, act="none", out_zero=9)
    yield "far_apart", depthwise(3, 6, 24, scales=(0.00001, 0.05))
    yield "far_apart_signed", depthwise(3, 6, 24, scales=(0.00001, 0.02), act="none", out_zero=0)
    yield (
        "halves",
        depthwise(3, 6, 8, scales=(2.0**-9, 2.0**-9 * 1.0001), out_scale=0.02 * 2.0**-3, act="none", out_zero=0),
    )
    yield "relu6", depthwise(3, 6, 8, act="relu6", out_zero=-90)
    yield "coarse", depthwise(3, 6, 8, out_scale=0.5)
    yield "fine", depthwise(3, 6, 8, out_scale=0.005)


def one_channel() -> Labelled:
    """Many channels out of one: first layers."""
    for k, kernel in enumerate([(3, 3), (5, 5), (3, 1), (2, 2), (4, 3), (10, 8), (7, 4), (1, 3)]):
        yield f"k{k}", depthwise(11, 6 + k, 1, kernel, (2, 2), multiplier=2 + 3 * k)
        yield f"k{k}_s1", depthwise(11, 7 + k, 1, kernel, multiplier=8, act="none", zero=5, out_zero=1 + k)
    yield "wide", depthwise(5, 96, 1, stride=(2, 2), multiplier=8, zero=-1)


def single_columns() -> Labelled:
    """Convolutions over time, and dilated ones: four channels at a time."""
    for k in (1, 2, 3, 5, 10, 16):
        yield (
            f"k{k}",
            depthwise(
                17,
                1,
                3 + 4 * k,
                (k, 1),
                pads=(0, 0, 0, 0),
                act=("none", "relu")[k % 2],
                out_zero=-3 * (1 - k % 2) - 128 * (k % 2),
            ),
        )
    yield "dilated", depthwise(7, 9, 9, dilation=(2, 2))
    yield "dilated_strided", depthwise(9, 9, 6, stride=(2, 2), dilation=(1, 3), act="none", zero=4, out_zero=4)
    yield "long", depthwise(3, 12, 5, (3, 9))


def tall() -> Labelled:
    """Windows as tall as the image, whose rows are summed as they come."""
    yield "k15", depthwise(15, 1, 32, (15, 1), pads=(0, 0, 0, 0), act="none", out_zero=-5)
    yield "k7", depthwise(7, 7, 13, (7, 7), pads=(0, 0, 0, 0))
    yield "padded", depthwise(5, 7, 6, (5, 3), pads=(0, 0, 1, 1), zero=9)


GRIDS: dict[str, tuple[Callable[[], Labelled], set[str]]] = {
    "widths": (widths, {"dsp_strip"}), "channels": (channel_counts, {"dsp_strip"}), "windows": (windows, {"dsp_strip"}),
    "numbers": (numbers, {"dsp_strip"}), "expand": (one_channel, {"dsp_expand"}),
    "columns": (single_columns, {"dsp_channels"}), "tall": (tall, {"reduce_dsp"}),
}  # fmt: skip


@pytest.mark.parametrize("name", GRIDS)
def test_every_shape_of_the_grid_is_bit_exact_on_the_core(name: str, tmp_path: Path):
    grid, rows = GRIDS[name]
    graphs = dict(grid())
    lowered = check_on_core(graphs, random_inputs(bundle(graphs), cases=4), "cortex-m4", tmp_path, natively=True)
    assert set(kernels(lowered).values()) == rows


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m33"])
def test_every_fifth_shape_is_bit_exact_on_the_other_cores(core: str, tmp_path: Path):
    every = [(f"{name}_{label}", graph) for name, (grid, _) in GRIDS.items() for label, graph in grid()]
    graphs = dict(every[::5])
    check_on_core(graphs, random_inputs(bundle(graphs), cases=3), core, tmp_path)


@pytest.mark.parametrize("seed", range(2))
def test_random_shapes_are_bit_exact_whichever_row_takes_them(seed: int, tmp_path: Path):
    rng, graphs = np.random.default_rng(seed), dict[str, Graph]()
    while len(graphs) < 30:
        kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        pads = tuple(int(rng.integers(0, k)) for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
        try:
            graphs[f"g{len(graphs)}"] = depthwise(
                int(rng.integers(1, 8)), int(rng.integers(1, 21)), int(rng.integers(1, 71)), kernel,
                (int(rng.integers(1, 4)), int(rng.integers(1, 4))), (pads[0], pads[1], pads[2], pads[3]),
                ("relu", "none", "relu6")[rng.integers(3)], zero=int(rng.integers(-128, 128)),
                out_zero=int(rng.integers(-128, 128)), out_scale=float(rng.choice([0.01, 0.05, 0.3])), seed=seed,
            )  # fmt: skip
        except TinycompError:  # the window does not fit
            continue
    check_on_core(graphs, random_inputs(bundle(graphs), cases=3), "cortex-m4", tmp_path)


@pytest.mark.parametrize(("kh", "kw"), [(1, 1), (2, 3), (3, 3), (3, 2), (5, 5), (4, 7), (3, 7)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_block_multiplies_every_tap_once(kh: int, kw: int, stride: int, left: int):
    """The code with symbols for numbers: each output is its bias and exactly the products of its window."""
    for pixels in range(1, 7):
        at = Layout(kh, kw, stride, -left, (pixels - 1) * stride + kw - left, 8)
        if left >= kw or not fits(at, pixels):
            continue
        made = block(at, pixels)
        sums, read = _products(at, made)
        assert read == len(made.biases) + len(made.weights)
        for p in range(pixels):
            first = p * stride - left
            taps = [t for t in range(kw) if 0 <= first + t < at.columns]
            expected = [((k, first + t), (k, t)) for k in range(kh) for t in taps]
            assert sums[f"a{p}"] == [str(tuple(taps)), *sorted(map(str, expected))]


def _products(at: Layout, made: Block) -> tuple[dict[str, list[str]], int]:
    """Each accumulator's bias and products, sorted, and how many words the code reads from its stream."""
    held: dict[str, Pair] = {}
    sums: dict[str, list[str]] = {}
    read = 0
    for name, *operands in made.code:
        d, *sources = map(str, operands)
        if name == "load_next" and d[0] == "a":
            sums[d], read = [str(made.biases[read])], read + 1
        elif name == "load_next":
            held[d], read = made.weights[read - len(made.biases)], read + 1
        elif name == "load_any":
            held[d] = at.inputs(int(sources[1]))
        elif name == "copy":
            sums[d] = list(sums[sources[0]])
        elif name != "widen":
            x, w, before = held[sources[0]], held[sources[1]], sums[sources[2]]
            which = str(name)[4:]
            halves = [(0, 0), (1, 1)] if which == "d" else [("bt".index(which[0]), "bt".index(which[1]))]
            sums[d] = [*before, *(str((x[i], w[j])) for i, j in halves if w[j] is not None)]
    return {acc: [found[0], *sorted(found[1:])] for acc, found in sums.items()}, read
