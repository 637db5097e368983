"""AVERAGE_POOL_2D and MAX_POOL_2D: references against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import activation, check_operator, quant, random_inputs, reference, same, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph
from tinycomp.ops import pool, window
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.base import Source
from tinycomp.ops.max_pool2d import MaxPool2D

# height, width, channels, size, stride, SAME (0) or VALID (1), activation, how an average walks
GRID = [
    pytest.param(4, 6, 5, (2, 2), (2, 2), 1, "none", "window", id="2x2"),
    pytest.param(5, 7, 8, (3, 3), (2, 2), 0, "relu", "window", id="3x3 same: padding on every side"),
    pytest.param(6, 6, 3, (2, 2), (2, 2), 0, "relu6", "window", id="same without padding"),
    pytest.param(5, 4, 4, (2, 3), (1, 3), 1, "relu_n1_to_1", "window", id="not square"),
    pytest.param(7, 5, 6, (7, 5), (1, 1), 1, "none", "reduce", id="global"),
    pytest.param(7, 5, 6, (7, 5), (7, 5), 0, "relu6", "reduce", id="global, same"),
    pytest.param(3, 10, 2, (3, 2), (1, 1), 1, "none", "window", id="the height, where sums would be larger"),
    pytest.param(24, 10, 2, (24, 3), (1, 3), 1, "relu", "reduce", id="the height, more than one column"),
    pytest.param(24, 10, 2, (24, 3), (24, 3), 0, "none", "reduce", id="the height, columns padded"),
    pytest.param(2, 2, 3, (3, 3), (1, 1), 0, "none", "window", id="every window leaves on some side"),
    pytest.param(1, 1, 1, (1, 1), (1, 1), 1, "none", "window", id="one element"),
    pytest.param(3, 1, 4, (1, 1), (2, 1), 1, "none", "window", id="rows passed over"),
    pytest.param(25, 1, 4, (25, 1), (1, 1), 1, "none", "reduce", id="a time axis"),
]


def pooled(kind: type[pool.Pool], h: int, w: int, c: int, size: window.Pair, stride: window.Pair, scheme: int,
           act: str, dtype: str = "int8", zero: int = -3) -> Graph:  # fmt: skip
    """A graph of one pool."""
    pads = window.padding_of(Source("", "", {"padding": scheme}, (), ()), (h, w), size, stride, (1, 1))
    q = None if dtype == "float32" else quant(0.03, zero)
    return single(kind(size, stride, pads, act), [activation("x", (1, h, w, c), dtype, q)], out_quant=q)  # type: ignore[arg-type]


@pytest.mark.parametrize(("h", "w", "c", "size", "stride", "scheme", "act", "walk"), GRID)
@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("kind", [AveragePool2D, MaxPool2D])
def test_every_kernel_row_computes_what_tflite_micro_computes(kind, h, w, c, size, stride, scheme, act, walk, dtype):
    graph = pooled(kind, h, w, c, size, stride, scheme, act, dtype)
    if kind is AveragePool2D and dtype == "int8":
        access = ops.operator(graph.nodes[0]).access
        assert access is not None
        assert access(graph.nodes[0], graph).kind == walk
    check_operator(graph)


@pytest.mark.parametrize("kind", [AveragePool2D, MaxPool2D])
@pytest.mark.parametrize("zero", [-128, 0, 127])
@pytest.mark.parametrize("act", ["none", "relu", "relu6"])
def test_zero_points_at_the_ends_of_the_range(kind, zero, act):
    check_operator(pooled(kind, 4, 4, 3, (3, 3), (1, 1), 0, act, zero=zero))


def test_means_are_rounded_half_away_from_zero():
    graph = pooled(AveragePool2D, 1, 8, 1, (1, 2), (1, 2), 1, "none")
    case = [np.array([[[[1], [2], [-1], [-2], [0], [1], [0], [-1]]]], np.int8)]
    assert reference(graph, case)[0].ravel().tolist() == [2, -2, 1, -1]
    check_operator(graph, [case])


@pytest.mark.parametrize("kind", [AveragePool2D, MaxPool2D])
def test_a_larger_batch_than_the_graphs_is_computed_alike(kind):
    graph = pooled(kind, 5, 4, 3, (3, 3), (2, 2), 0, "relu")
    cases = [np.concatenate(xs) for xs in zip(*random_inputs(graph), strict=True)]
    (batch,) = reference(graph, cases)
    same([batch[2:3]], reference(graph, [cases[0][2:3]]), "batch")


@pytest.mark.parametrize("kind", [AveragePool2D, MaxPool2D])
def test_what_cannot_be_meant_is_refused(kind):
    x = activation("x", (1, 4, 4, 2), "int8", quant(0.1))
    with pytest.raises(Unsupported, match="must share scale and zero point"):
        single(kind((2, 2), (1, 1), (0, 0, 0, 0)), [x], out_quant=quant(0.2))
    with pytest.raises(BadInput, match="without any element"):
        single(kind((2, 2), (1, 1), (2, 0, 0, 0)), [x], out_quant=quant(0.1))
    with pytest.raises(BadInput, match="does not fit"):
        single(kind((5, 2), (1, 1), (0, 0, 0, 0)), [x], out_quant=quant(0.1))
    with pytest.raises(BadInput, match="must be positive"):
        ops.OPERATORS[kind.op].codecs[0].read(Source("p", "POOL", {"filter_height": 0, "padding": 1}, (x,), ()))
