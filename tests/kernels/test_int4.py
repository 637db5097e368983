"""int4 weights on emulated cores with the DSP extension: every row bit-equal to the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.core import bundle, check_on_core, kernels
from tests.kernels.test_convolutions import convolution, dense
from tests.ops.test_int4 import narrowed
from tests.support import random_inputs
from tinycomp import ops
from tinycomp.ir import Graph
from tinycomp.lower import lower
from tinycomp.ops import int4_dsp
from tinycomp.program import Recipe


def layers() -> Iterator[tuple[str, Graph]]:
    """Kernels of all parities, rows of 1 to 7 columns, padding on every side, channels in fours and not."""
    for c in (1, 2, 3, 4, 5, 8, 11, 32):
        yield f"c{c}", narrowed(convolution(1, 1 + c % 7, c, 3 + c, act=("relu", "none")[c % 2], out_zero=c))
    same = (1, 1, 1, 1)
    for w in range(1, 8):
        yield f"w{w}", narrowed(convolution(3, w, 3, 5, (3, 3), (1, 1), same, zero=-w))
    yield "even", narrowed(convolution(4, 6, 4, 8, (2, 4), (2, 2), (0, 1, 1, 2), "none", zero=127, out_zero=9))
    yield "tall", narrowed(convolution(9, 1, 6, 4, (4, 1)))
    yield "large", narrowed(convolution(3, 4, 64, 12, (3, 3), (1, 1), same, "none", zero=5, out_zero=1))
    for inner, outputs in ((1, 1), (7, 5), (12, 4), (64, 10), (301, 3)):
        yield f"k{inner}", narrowed(dense(2, inner, outputs, channels=inner % 2 == 1))


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33"])
def test_layers_of_many_shapes(core: str, tmp_path: Path):
    graphs = dict(layers())
    program = check_on_core(
        graphs, random_inputs(bundle(graphs), cases=3), core, tmp_path, natively=core == "cortex-m4"
    )
    assert set(kernels(program).values()) == {"int4_dsp"}


@pytest.mark.parametrize(("last", "row"), [(-7, "int4_dsp"), (-8, "int4")])
def test_sums_up_to_the_last_that_fits(last: int, row: str, tmp_path: Path):
    graph = narrowed(dense(1, 512, 3, "none"))
    values = np.full((3, 512), -8, np.int8)
    values[:, 511] = last  # magnitudes of 4095 or 4096
    graph = replace(graph, tensors={**graph.tensors, "w": replace(graph.tensors["w"], data=values)})
    ops.check(graph)
    assert int4_dsp.takes(graph.nodes[0], graph) == (last == -7)
    cases = [[np.full((1, 512), x, np.int8)] for x in (-128, 127)]
    program = check_on_core({"one": graph}, cases, "cortex-m4", tmp_path, natively=True)
    assert kernels(program) == {"one": row}


def test_the_fast_row_keeps_weights_packed():
    graph = narrowed(convolution(4, 4, 32, 16, (3, 3), (1, 1), (1, 1, 1, 1)))
    step = lower(graph, Recipe(opt="speed"), frozenset({"dsp"})).steps[0]
    assert step.function.kernel == "int4_dsp"
    assert step.data[0].array.nbytes == 16 * 32 * 9 // 2
