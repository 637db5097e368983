"""CONV_2D on emulated cores with nothing but Thumb-1: bit-equal to the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.core import bundle, check_on_core, kernels
from tests.kernels.test_convolutions import convolution, layers, pointwise, windows
from tests.support import random_inputs
from tinycomp import qmath
from tinycomp.ir import Graph
from tinycomp.ops import swar
from tinycomp.ops.requant import Multipliers

Grid = Callable[[], Iterator[tuple[str, Graph]]]


def extremes() -> Iterator[tuple[str, Graph]]:
    """Weights of −128, alone and in pairs, which do not fit; dilation; several groups' worth of columns left over."""
    yield "lowest", convolution(1, 7, 33, 5, lowest=-128)
    for w in range(1, 9):
        act = ("relu", "none")[w % 2]
        yield f"w{w}", convolution(3, w, 6, 5, (3, 3), (1, 1), (1, 1, 1, 1), act, zero=w, out_zero=w - 5)


def columns() -> Iterator[tuple[str, Graph]]:
    """1×1 kernels on rows of one column, and what their two kernels leave to each other."""
    for o in range(1, 10):
        act, out_zero = (("relu", -128), ("none", 7), ("relu6", -100))[o % 3]
        yield f"o{o}", convolution(3, 1, 10 + o, o, act=act, zero=o, out_zero=out_zero)
    yield "strided", convolution(5, 3, 9, 6, stride=(2, 4))
    yield "padded", convolution(3, 1, 9, 6, stride=(1, 4), pads=(0, 0, 1, 0))
    yield "lowest", convolution(2, 1, 64, 6, lowest=-128)


@pytest.mark.parametrize("grid", [pointwise, windows, extremes, columns, layers], ids=lambda f: f.__name__)
def test_every_shape_of_the_grid_is_bit_exact_on_the_core(grid: Grid, tmp_path: Path):
    graphs = dict(grid())
    lowered = check_on_core(graphs, random_inputs(bundle(graphs), cases=4), "cortex-m0plus", tmp_path, natively=True)
    slow = {name for name, kernel in kernels(lowered).items() if kernel == "portable"}
    assert slow <= {"coarse", "coarse_signed", "lowest", "longer"}


def test_two_weights_of_the_lowest_value_side_by_side_do_not_fit():
    assert swar.fits(np.array([[-128, 127, 1, -128]]))
    assert not swar.fits(np.array([[0, 0, -128, -128]]))


@pytest.mark.parametrize(("out_zero", "low", "form"), [(-128, -128, "floor"), (5, 5, "floor"), (5, -128, "twice")])
@pytest.mark.parametrize("shift", [-1, -2, -7, -22])
def test_the_rescaling_equals_the_reference_at_and_around_every_step(out_zero: int, low: int, form: str, shift: int):
    rng = np.random.default_rng(-shift)
    mantissa = np.concatenate([[2**30, 2**31 - 1], rng.integers(2**30, 2**31, 14)])
    most = 2**28 - 1
    chosen = swar.rescale(Multipliers(mantissa, np.full(16, shift)), np.full(16, most), out_zero, low)
    assert chosen is not None
    assert chosen.form == form
    steps = (np.arange(-300, 300)[:, None] * 2.0 ** (31 - shift) / mantissa / 2).astype(np.int64)  # halves and wholes
    acc = np.concatenate([steps + d for d in range(-3, 4)] + [rng.integers(-most, most, (2000, 16))])
    acc = np.clip(np.concatenate([acc, np.full((1, 16), most), np.full((1, 16), -most)]), -most, most)
    expected = np.clip(qmath.requantize(acc, mantissa, np.full(16, shift)) + out_zero, low, 127)
    low16, high16, right, offset, middle = chosen.numbers.T
    twice = chosen.form == "twice"
    al, ah = (acc * (2 if twice else 1)) % 65536, (acc * (2 if twice else 1)) >> 16
    inner = (al * low16 >> 16) + al * high16 + ah * low16 + middle
    assert inner.min() >= 0
    assert inner.max() < 2**32
    q = ((inner >> 16) + ah * high16 + offset - (twice & (acc < 0))) >> right
    assert np.array_equal(np.clip(np.clip(q, 0, 255) - 128, low, 127), expected)
