"""GATHER_ND: the reference against the interpreters, the kernels against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import panel
from tests.support import activation, check_operator, constant, quant, random_inputs, reference, single
from tinycomp.errors import BadInput
from tinycomp.ir import DType, Graph
from tinycomp.ops.gather_nd import GatherNd

# shape, indices
GRID: list[tuple[tuple[int, ...], list[object]]] = [
    ((4, 3), [[0], [3], [1]]), ((4, 3), [[0, 2], [3, 1]]), ((4, 3, 2), [[[1, 2]], [[3, 0]], [[0, 0]]]),
    ((1, 5, 2), [[0, 4, 1]]), ((6,), [[5], [0], [5], [2]]),
]  # fmt: skip


def gathered(shape: tuple[int, ...], indices: list[object], dtype: DType, fixed: str, kind: str = "int32") -> Graph:
    """One node. fixed: which of data ("x") and indices ("i") are constants."""
    q = quant(0.1, 3) if dtype == "int8" else None
    data = np.random.default_rng(0).integers(-100, 100, shape).astype(dtype)
    at = np.array(indices, kind)
    return single(GatherNd(), [
        constant("x", data, q) if "x" in fixed else activation("x", shape, dtype, q),
        constant("i", at) if "i" in fixed else activation("i", at.shape, kind),
    ], out_quant=q)  # fmt: skip


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_constant_indices_are_copies(dtype):
    graph = panel([gathered(*case, dtype, "i") for case in GRID])
    check_operator(graph)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("fixed", ["", "x"])
def test_indices_that_come_at_run_time_are_looked_up(dtype, fixed):
    graph = panel([gathered(*case, dtype, fixed) for case in GRID])
    case = random_inputs(graph)[3]
    for k, (_, indices) in enumerate(GRID):
        case[graph.inputs.index(f"i_{k}")] = np.array(indices, np.int32)
    check_operator(graph, [case])


@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_an_index_that_comes_at_run_time_and_lies_outside_is_the_nearest_inside(kind):
    graph = gathered((4, 3), [[0, 0], [0, 0]], "float32", "", kind)
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    case = [x, np.array([[9, -2], [-(2**31), 2]], kind)]
    assert reference(graph, case)[0].tolist() == [9, 2]
    check_operator(graph, [case], oracle=False)


def test_indices_that_do_not_fit_are_named():
    with pytest.raises(BadInput, match=r"indices 'i' \[1, 3\] do not go with 'x' \[4, 3\]"):
        gathered((4, 3), [[0, 0, 0]], "float32", "i")
    with pytest.raises(BadInput, match=r"indices from -1 to 2 leave axes of \[4, 3\] elements"):
        reference(gathered((4, 3), [[-1, 2]], "float32", "i"), [np.zeros((4, 3), np.float32)])
