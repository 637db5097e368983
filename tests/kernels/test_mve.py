"""Convolutions and dense layers on emulated cores with Helium: every row bit-equal to the interpreter."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.kernels import test_convolutions as dense
from tests.kernels import test_depthwise as depthwise
from tests.kernels import test_pools_and_sums as pools
from tests.kernels.core import bundle, check_on_core, kernels
from tests.support import random_inputs
from tinycomp.ir import Graph
from tinycomp.ops import depthwise_mve, mve
from tinycomp.ops.requant import Multipliers

Labelled = Iterator[tuple[str, Graph]]
# A grid, and what of it these rows leave to others: dilated windows, and those longer than eight taps.
GRIDS: dict[str, tuple[Callable[[], Labelled], set[str]]] = {
    "pointwise": (dense.pointwise, set()),
    "windows": (dense.windows, set()),
    "layers": (dense.layers, set()),
    "widths": (depthwise.widths, set()),
    "channels": (depthwise.channel_counts, set()),
    "depthwise_windows": (depthwise.windows, set()),
    "numbers": (depthwise.numbers, set()),
    "columns": (depthwise.single_columns, {"k10", "k16", "dilated", "dilated_strided", "long"}),
    "means": (pools.means, set()),
    "sums": (pools.sums, {"add_1", "sub_1", "fixed_1"}),
}

pytestmark = pytest.mark.skipif(not shutil.which("qemu-system-arm"), reason="qemu-system-arm is not installed")


@pytest.mark.parametrize("core", ["cortex-m55", "cortex-m85"])
@pytest.mark.parametrize("name", GRIDS)
def test_every_shape_of_the_grid_is_bit_exact_on_the_core(name: str, core: str, tmp_path: Path):
    grid, others = GRIDS[name]
    graphs = dict(grid())
    cases = random_inputs(bundle(graphs), cases=4)
    lowered = check_on_core(graphs, cases, core, tmp_path, natively=core == "cortex-m55")
    assert {label for label, kernel in kernels(lowered).items() if "mve" not in kernel} == others


@pytest.mark.parametrize(("mantissa", "shift", "taken"), [
    (2**30, -1, True), (2**31 - 1, -31, True), (0, 0, True), (2**30, 0, False), (2**30, 1, False),
])  # fmt: skip
def test_multipliers_that_no_right_shift_rounds_are_left_to_other_rows(mantissa: int, shift: int, taken: bool):
    assert mve.takes(Multipliers(np.array([2**30, mantissa]), np.array([-3, shift]))) == taken


def test_weights_are_packed_as_the_inner_loops_read_them():
    weights = np.arange(6 * 17).reshape(6, 17).astype(np.int8)
    words = mve.stream(np.arange(6), weights, Multipliers(np.full(6, 2**30), np.full(6, -2)))
    groups = words.reshape(2, 2 * 16 + 12)
    bytes_of = groups[:, :32].copy().view(np.int8).reshape(2, 2, 4, 16)
    assert bytes_of[1, 0, 1].tolist() == weights[5, :16].tolist()
    assert bytes_of[0, 1, 2].tolist() == [weights[2, 16]] + [0] * 15
    assert not bytes_of[1, :, 2:].any()
    assert groups[1, 32:].tolist() == [4, 5, 0, 0, 2**30, 2**30, 0, 0, -2, -2, 0, 0]


def test_a_depthwise_window_is_column_after_column_of_four_rows():
    taps = np.arange(5 * 3 * 2).reshape(5, 3, 2).astype(np.int8)
    found = depthwise_mve.vectors(taps).reshape(2, 2, 1, 4, 4)  # channels, row quads, column quads, columns, rows
    assert found[1, 0, 0, 2].tolist() == taps[:4, 2, 1].tolist()
    assert found[1, 1, 0, 2].tolist() == [taps[4, 2, 1], 0, 0, 0]
    assert not found[:, :, :, 3].any()


def test_rows_below_the_image_are_padding_whatever_the_compiler_vectorizes(tmp_path: Path):
    """GCC 12.2 made a wrong mask of the condition that only the last of four rows is outside."""
    graphs = {"four_rows": depthwise.depthwise(4, 14, 32, (4, 3), (3, 3), (2, 2, 2, 0))}
    check_on_core(graphs, random_inputs(bundle(graphs), cases=3), "cortex-m55", tmp_path)
