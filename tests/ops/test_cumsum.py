"""CUMSUM: the reference against the interpreters, the kernels against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import panel
from tests.support import activation, check_operator, constant, quant, random_inputs, single
from tinycomp.errors import BadInput
from tinycomp.ir import DType, Graph
from tinycomp.ops import CODECS
from tinycomp.ops.base import Source
from tinycomp.ops.cumsum import CumSum

GRID = [((2, 5, 3), 1), ((2, 5, 3), 0), ((2, 5, 3), 2), ((7,), 0), ((1, 4), 1)]


def running(dtype: DType, ends: tuple[float, int, float, int] = (0.05, -7, 0.13, 4)) -> Graph:
    """The whole grid. ends: scale and zero point of input and output."""
    q, out = (quant(*ends[:2]), quant(*ends[2:])) if dtype == "int8" else (None, None)
    graphs = [
        single(CumSum(axis, exclusive, reverse), [activation("x", shape, dtype, q)], out_quant=out)
        for shape, axis in GRID
        for exclusive in (False, True)
        for reverse in (False, True)
    ]
    return panel(graphs)


@pytest.mark.parametrize(("dtype", "by"), [("int8", "tflm"), ("float32", "tflm"), ("int32", "litert")])
def test_sums_run_along_every_axis_as_in_the_interpreters(dtype, by):
    graph = running(dtype)
    check_operator(graph, random_inputs(graph), by=by)


@pytest.mark.parametrize("ends", [(0.1, -128, 2.5, 127), (0.1, 127, 0.011, -128), (1.0, 0, 0.3, 0)])
def test_int8_under_many_scales(ends):
    graph = running("int8", ends)
    check_operator(graph, random_inputs(graph, cases=3))


def test_faults_of_the_axis_are_named():
    x, read = activation("x", (2, 3), "float32"), CODECS["CUMSUM"].read
    with pytest.raises(BadInput, match="names 2 axes and takes one"):
        read(Source("c", "CUMSUM", {}, (x, constant("a", np.array([0, 1]))), (x,)))
    with pytest.raises(BadInput, match="axis 2 is outside a tensor of rank 2"):
        read(Source("c", "CUMSUM", {}, (x, constant("a", np.array(2))), (x,)))
