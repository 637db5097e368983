"""CONV_2D with several columns and channels in registers: bit-equal to the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.core import bundle, check_on_core, kernels
from tests.kernels.test_convolutions import pointwise, windows
from tests.kernels.test_thumb1 import columns, extremes
from tests.support import random_inputs, reference, run_program, same
from tinycomp import qmath
from tinycomp.ir import Graph
from tinycomp.lower import lower
from tinycomp.ops import conv2d_blocks
from tinycomp.ops.requant import Multipliers
from tinycomp.program import Recipe

Grid = Callable[[], Iterator[tuple[str, Graph]]]
GRIDS = pytest.mark.parametrize("grid", [pointwise, windows, columns, extremes], ids=lambda f: f.__name__)
SLOW = {"coarse", "coarse_signed"}  # scaled up, which these kernels do not do


@GRIDS
def test_every_shape_of_the_grid_is_bit_exact_on_a_cortex_m3(grid: Grid, tmp_path: Path):
    graphs = dict(grid())
    lowered = check_on_core(graphs, random_inputs(bundle(graphs), cases=4), "cortex-m3", tmp_path)
    assert {name for name, kernel in kernels(lowered).items() if kernel == "portable"} <= SLOW


@GRIDS
@pytest.mark.parametrize("family", ["riscv", "xtensa"])
def test_the_c_for_other_cores_is_bit_exact_under_sanitizers(grid: Grid, family: str):
    graph = bundle(dict(grid()))
    lowered = lower(graph, Recipe(opt="speed", stream="off"), frozenset({family}))
    assert {name for name, kernel in kernels(lowered).items() if kernel == "portable"} <= SLOW
    cases = random_inputs(graph, cases=4)
    for k, (found, case) in enumerate(zip(run_program(lowered, cases), cases, strict=True)):
        same(found, reference(graph, case), f"case {k}")


@pytest.mark.parametrize(("out_zero", "low", "form"), [(-128, -128, "floor"), (5, 5, "floor"), (5, -128, "twice")])
@pytest.mark.parametrize("shift", [-1, -2, -7, -22])
def test_the_rescaling_equals_the_reference_at_and_around_every_step(out_zero: int, low: int, form: str, shift: int):
    rng = np.random.default_rng(-shift)
    mantissa = np.concatenate([[2**30, 2**31 - 1], rng.integers(2**30, 2**31, 14)])
    most = conv2d_blocks.LIMIT - 1
    chosen = conv2d_blocks.rescale(Multipliers(mantissa, np.full(16, shift)), np.full(16, most), out_zero, low)
    assert chosen is not None
    assert chosen.form == form
    steps = (np.arange(-300, 300)[:, None] * 2.0 ** (31 - shift) / mantissa / 2).astype(np.int64)  # halves and wholes
    acc = np.concatenate([steps + d for d in range(-3, 4)] + [rng.integers(-most, most, (2000, 16))])
    acc = np.clip(np.concatenate([acc, np.full((1, 16), most), np.full((1, 16), -most)]), -most, most)
    expected = np.clip(qmath.requantize(acc, mantissa, np.full(16, shift)) + out_zero, low, 127)
    m, offset, right = chosen.numbers.T
    high = acc * 4 * m >> 32
    inner = high + offset if form == "floor" else ((high + 1) >> 1) - (acc < 0) + offset
    assert np.abs(inner).max() < 2**31
    assert np.array_equal(np.clip(inner >> right, low, 127), expected)
