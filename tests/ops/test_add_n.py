"""ADD_N: the reference against the interpreters, the kernels against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.ops.elementwise import panel
from tests.support import activation, check_operator, constant, quant, random_inputs, single
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import DType, Graph
from tinycomp.ops.add_n import AddN

# shape and number of operands
GRID = [((1, 3, 4, 2), 3), ((5,), 2), ((2, 3), 5), ((1,), 4)]


def total(shape: tuple[int, ...], count: int, dtype: DType, ends: tuple[float, int, float, int]) -> Graph:
    """One node. ends: scale and zero point of the operands and of the output."""
    q, out = (quant(*ends[:2]), quant(*ends[2:])) if dtype == "int8" else (None, None)
    return single(AddN(), [activation(f"x{i}", shape, dtype, q) for i in range(count)], out_quant=out)


@pytest.mark.parametrize(("dtype", "by"), [("int8", "tflm"), ("float32", "tflm"), ("int32", "litert")])
def test_any_number_of_tensors_is_added_as_in_the_interpreters(dtype, by):
    graph = panel([total(shape, count, dtype, (0.05, -7, 0.13, 4)) for shape, count in GRID])
    check_operator(graph, random_inputs(graph), by=by)


def test_int8_under_many_scales():
    scales, zeros = (0.011, 0.3, 2.5), (-128, 0, 127)
    graphs = [total((7, 5), 3, "int8", (0.1, a, scale, b)) for scale in scales for a in zeros for b in zeros]
    check_operator(panel(graphs), random_inputs(panel(graphs), cases=3))


def test_constants_are_operands_too():
    x = activation("x", (2, 3, 4), "float32")
    c = constant("c", np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    check_operator(single(AddN(), [x, c, replace(x, name="y")]))


def test_what_does_not_add_up_is_named():
    x = activation("x", (2, 3), "int8", quant(0.1))
    with pytest.raises(BadInput, match=r"adds 'y' int8\[3, 2\] to 'x' int8\[2, 3\]"):
        single(AddN(), [x, replace(x, name="y", shape=(3, 2))], out_quant=quant(0.1))
    with pytest.raises(Unsupported, match="quantized differently"):
        single(AddN(), [x, replace(x, name="y", quant=quant(0.2))], out_quant=quant(0.1))
    with pytest.raises(Unsupported, match="make a factor of"):
        single(AddN(), [x, replace(x, name="y")], out_quant=quant(1e-7))
