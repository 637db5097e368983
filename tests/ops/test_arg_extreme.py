"""ARG_MAX and ARG_MIN: the reference against TensorFlow Lite Micro, the kernel against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import node_graph, panel, unchecked_out
from tests.support import activation, check_operator, quant, random_inputs, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Tensor
from tinycomp.ops.arg_extreme import ArgExtreme

GRID = [((1, 10), 1), ((7,), 0), ((1, 4, 5, 3), 3), ((1, 4, 5, 3), 1), ((2, 4, 5, 3), 2), ((3, 6), 0), ((2, 3, 4), 2)]


def layer(shape: tuple[int, ...], axis: int, largest: bool, dtype: str) -> Graph:
    """One node."""
    x = activation("x", shape, dtype, quant(0.1, 3) if dtype == "int8" else None)
    out = Tensor("out", (*shape[:axis], *shape[axis + 1 :]), "int32")
    return single(ArgExtreme(axis, largest), [x], out)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("largest", [True, False])
def test_the_first_of_the_extremes_is_found_as_in_tflite_micro(dtype, largest):
    graph = panel([layer(shape, axis, largest, dtype) for shape, axis in GRID])
    cases = random_inputs(graph, cases=3)
    few = [np.round(x / 40).astype(x.dtype) if dtype == "int8" else np.round(x) for x in cases[2]]
    check_operator(graph, [*cases, few])


def test_int32_values_as_in_litert():
    graph = layer((2, 5), 1, True, "int32")
    check_operator(graph, [[np.array([[1, 9, 9, -4, 0], [-5, -5, -9, -5, -6]], np.int32)]], by="litert")


def test_what_has_no_meaning_is_refused_with_a_reason():
    x = activation("x", (2, 3), "int8", quant(0.1))
    with pytest.raises(BadInput, match=r"axis 2 of 'x' \[2, 3\]"):
        ops.check(node_graph(ArgExtreme(2), [x], unchecked_out((2,), "int32")))
    with pytest.raises(Unsupported, match="has dtypes int8→float32"):
        ops.check(node_graph(ArgExtreme(1), [x], unchecked_out((2,), "float32")))
