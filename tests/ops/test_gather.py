"""GATHER: the reference against TensorFlow Lite Micro, the reader's folding."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.folding import check_against_tflm, check_folding, graph_of
from tests.support import activation, constant, quant, random_inputs
from tinycomp.errors import BadInput
from tinycomp.ops.base import Source
from tinycomp.ops.gather import OPERATOR, Gather

# shape, indices, axis, batch_dims
GRID = [
    pytest.param((5,), [4, 0, 0], 0, 0, id="a vector"),
    pytest.param((5, 2), [[1, 2], [0, 4]], 0, 0, id="rows, indices of two axes"),
    pytest.param((2, 5, 3), [4, 1], 1, 0, id="the middle axis"),
    pytest.param((2, 4, 3), [[3, 0], [1, 1]], 1, 1, id="one shared axis"),
    pytest.param((2, 3, 4), [[0, 3], [2, 2]], 2, 1, id="one shared axis, another between"),
    pytest.param((2, 2, 3), [[[0], [2]], [[1], [0]]], 2, 2, id="two shared axes"),
    pytest.param((1,), [0], 0, 0, id="one element"),
]


@pytest.mark.parametrize(("shape", "indices", "axis", "batch"), GRID)
@pytest.mark.parametrize(("dtype", "q"), [("int8", quant(0.1, 3)), ("float32", None)])
def test_the_reference_computes_what_tflite_micro_computes(shape, indices, axis, batch, dtype, q):
    at = constant("i", np.array(indices, np.int32))
    graph = graph_of(Gather(axis, batch), [activation("x", shape, dtype, q), at])
    check_against_tflm(graph)
    check_folding(graph, random_inputs(graph)[2])


def test_a_scalar_index_takes_the_axis_away():
    graph = graph_of(Gather(0, 0), [activation("x", (4,), "int32"), constant("i", np.array(2, np.int64))])
    assert graph.tensors["out0"].shape == ()
    check_folding(graph, random_inputs(graph)[2])


def test_reading_counts_from_the_front():
    (codec,) = OPERATOR.codecs
    pair = (activation("x", (2, 3, 4)), activation("i", (2, 5), "int32"))
    assert codec.read(Source("g", "GATHER", {"axis": -1, "batch_dims": -1}, pair, ())) == (Gather(2, 1), pair)
    assert codec.read(Source("g", "GATHER", {}, pair, ())) == (Gather(0, 0), pair)


@pytest.mark.parametrize("bad", [-1, 5])
def test_an_index_outside_the_axis_is_refused_where_it_is_folded(bad):
    graph = graph_of(Gather(0, 0), [activation("x", (5,), "int32"), constant("i", np.array([0, bad], np.int32))])
    with pytest.raises(BadInput, match=rf"gather_0 \(gather\): indices from .*{bad}.* leave axis 0 of 5 elements"):
        check_folding(graph, random_inputs(graph)[2])


def test_faults_are_named():
    x, i = activation("x", (2, 3), "int32"), constant("i", np.array([[0], [1], [0]], np.int32))
    with pytest.raises(BadInput, match=r"batch_dims 1 and axis 1 do not go with 'x' \[2, 3\] and indices \[3, 1\]"):
        graph_of(Gather(1, 1), [x, i])
    with pytest.raises(BadInput, match="batch_dims 1 and axis 0"):
        graph_of(Gather(0, 1), [x, i])
    with pytest.raises(BadInput, match="the indices 'f' are float32"):
        graph_of(Gather(0, 0), [x, constant("f", np.zeros(2, np.float32))])
