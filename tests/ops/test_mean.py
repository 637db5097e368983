"""MEAN: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import activation, check_operator, constant, quant, random_inputs, reference, same, single
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph
from tinycomp.ops import mean
from tinycomp.ops.base import Source
from tinycomp.ops.mean import Mean

# shape, axes, keep_dims, access. TFLM's kernel has room for two axes.
GRID = [
    pytest.param((1, 7, 5, 6), (1, 2), True, "reduce", id="global"),
    pytest.param((1, 7, 5, 6), (1, 2), False, "reduce", id="global, dimensions dropped"),
    pytest.param((1, 9, 2, 3), (1,), True, "reduce", id="over the height"),
    pytest.param((1, 9, 2, 3), (1,), False, "whole", id="over the height, dimensions dropped"),
    pytest.param((1, 3, 2, 3), (1,), True, "whole", id="over the height, where sums would be larger"),
    pytest.param((1, 25, 4), (1,), False, "reduce", id="over time"),
    pytest.param((1, 4, 5, 6), (2,), True, "window", id="over the width"),
    pytest.param((1, 4, 5, 6), (2,), False, "window", id="over the width, dimensions dropped"),
    pytest.param((1, 4, 5, 6), (3,), True, "window", id="over the channels"),
    pytest.param((1, 4, 5, 6), (2, 3), True, "window", id="over each row"),
    pytest.param((1, 4, 5, 6), (2, 3), False, "whole", id="over each row, dimensions dropped"),
    pytest.param((1, 4, 5, 6), (1, 3), True, "reduce", id="over height and channels"),
    pytest.param((1, 4, 5, 6), (1, 3), False, "reduce", id="over height and channels, dimensions dropped"),
    pytest.param((2, 4, 5, 6), (1, 3), True, "whole", id="over height and channels of a batch"),
    pytest.param((3, 8), (1,), False, "whole", id="over the columns of a matrix"),
    pytest.param((3, 8), (1,), True, "window", id="over the columns of a matrix, dimensions kept"),
    pytest.param((12, 3), (0,), True, "reduce", id="over the rows of a matrix"),
    pytest.param((2, 3), (0, 1), False, "reduce", id="over everything"),
    pytest.param((9,), (0,), False, "window", id="a vector"),
    pytest.param((1, 1, 1, 4), (1, 2), False, "window", id="over nothing: a new scale"),
    pytest.param((1, 1, 1, 1), (3,), True, "window", id="one element"),
]


def averaged(shape: tuple[int, ...], axes: tuple[int, ...], keep: bool, dtype: str = "int8",
             scales: tuple[float, float] = (0.05, 0.031), zeros: tuple[int, int] = (-7, 5)) -> Graph:  # fmt: skip
    """A graph of one mean."""
    if dtype == "float32":
        return single(Mean(axes, keep), [activation("x", shape, "float32")])
    x = activation("x", shape, "int8", quant(scales[0], zeros[0]))
    return single(Mean(axes, keep), [x], out_quant=quant(scales[1], zeros[1]))


@pytest.mark.parametrize(("shape", "axes", "keep", "access"), GRID)
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_every_kernel_row_computes_what_tflite_micro_computes(shape, axes, keep, access, dtype):
    graph = averaged(shape, axes, keep, dtype)
    assert mean.OPERATOR.access is not None
    if dtype == "int8":
        assert mean.OPERATOR.access(graph.nodes[0], graph).kind == access
    check_operator(graph)


@pytest.mark.parametrize(("scales", "zeros", "shape"), [
    ((0.05, 0.05), (-128, 127), (1, 7, 5, 2)),
    ((0.05, 0.05), (4, 4), (1, 7, 5, 2)),
    ((0.05, 0.0499), (127, -128), (1, 16, 16, 1)),
    ((1.0, 0.001), (0, 0), (1, 7, 5, 2)),
    ((0.0001, 3.0), (-128, -128), (1, 16, 16, 1)),
    ((1e-12, 1.0), (127, 0), (1, 7, 5, 2)),
    ((0.7, 0.5), (-128, 127), (1, 1, 1, 3)),
    ((0.7, 0.5), (127, 127), (1, 16, 16, 1)),
])  # fmt: skip
def test_scales_near_and_far_and_zero_points_at_the_ends(scales, zeros, shape):
    check_operator(averaged(shape, (1, 2), True, scales=scales, zeros=zeros))


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize(
    ("shape", "axes"), [((1, 2, 3, 4, 5), (1, 3)), ((1, 6, 2, 4), (1, 2, 3)), ((2, 3, 4, 5), (0, 1, 2, 3))]
)
def test_axes_that_tflite_micro_has_no_room_for(shape, axes, keep, dtype):
    graph = averaged(shape, axes, keep, dtype)
    check_operator(graph, oracle=False)
    case = random_inputs(graph)[3]
    if dtype == "float32":
        wanted = case[0].mean(axis=axes, keepdims=keep)
        np.testing.assert_allclose(reference(graph, case)[0], wanted, rtol=1e-5, atol=1e-6)
    else:
        real = np.clip(0.05 * (case[0].mean(axis=axes, keepdims=keep) + 7), 0.031 * -133, 0.031 * 122)
        np.testing.assert_allclose(0.031 * (reference(graph, case)[0].astype(float) - 5), real, atol=0.02)


def test_a_larger_batch_than_the_graphs_is_computed_alike():
    graph = averaged((1, 5, 4, 3), (1, 2), False)
    cases = [np.concatenate(xs) for xs in zip(*random_inputs(graph), strict=True)]
    (batch,) = reference(graph, cases)
    same([batch[2:3]], reference(graph, [cases[0][2:3]]), "batch")


def test_axes_are_read_positive_sorted_and_once():
    x = activation("x", (1, 5, 4, 3), "int8", quant(0.1))
    axes = constant("axes", np.array([-2, 1, 2], np.int32))
    parsed = mean.OPERATOR.codecs[0].read(Source("m", "MEAN", {"keep_dims": True}, (x, axes), ()))
    assert parsed.attrs == Mean((1, 2), True)


def test_what_cannot_be_meant_is_refused():
    x = activation("x", (1, 5, 4, 3), "int8", quant(0.1))
    read = mean.OPERATOR.codecs[0].read
    with pytest.raises(BadInput, match="over axes \\[4\\] of a tensor of rank 4"):
        read(Source("m", "MEAN", {}, (x, constant("axes", np.array([4], np.int32))), ()))
    with pytest.raises(Unsupported, match="computed at run time"):
        read(Source("m", "MEAN", {}, (x, activation("axes", (1,), "int32")), ()))
