"""GATHER: the reference against TensorFlow Lite Micro, the reader's folding."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.folding import check_against_tflm, check_folding, graph_of
from tests.support import activation, check_operator, constant, quant, random_inputs, reference
from tinycomp.errors import BadInput
from tinycomp.ops.base import Parsed, Source
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
    codec = OPERATOR.codecs[0]
    pair = (activation("x", (2, 3, 4)), activation("i", (2, 5), "int32"))
    assert codec.read(Source("g", "GATHER", {"axis": -1, "batch_dims": -1}, pair, ())) == Parsed(Gather(2, 1), pair)
    assert codec.read(Source("g", "GATHER", {}, pair, ())) == Parsed(Gather(0, 0), pair)


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


@pytest.mark.parametrize(("shape", "indices", "axis", "batch"), GRID)
@pytest.mark.parametrize("fixed", ["indices", "table", "nothing"])
def test_the_kernels_copy_what_the_reference_copies(shape, indices, axis, batch, fixed):
    at = np.array(indices, np.int32)
    table = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    x = constant("x", table, quant(0.1, 3)) if fixed == "table" else activation("x", shape, "int8", quant(0.1, 3))
    i = constant("i", at) if fixed == "indices" else activation("i", at.shape, "int32")
    graph = graph_of(Gather(axis, batch), [x, i])
    check_operator(graph, [[{"x": table, "i": at}[name] for name in graph.inputs]])


def test_an_index_that_comes_at_run_time_keeps_to_the_axis():
    graph = graph_of(Gather(0, 0), [activation("x", (3, 2), "float32"), activation("i", (4,), "int32")])
    case = [np.arange(6, dtype=np.float32).reshape(3, 2), np.array([-5, 0, 2, 9], np.int32)]
    assert reference(graph, case)[0].tolist() == [[0, 1], [0, 1], [4, 5], [4, 5]]
    check_operator(graph, [case], oracle=False)


def test_an_embedding_is_a_gather():
    codec = OPERATOR.codecs[1]
    table, ids = constant("t", np.zeros((5, 3), np.float32)), activation("i", (2,), "int32")
    found = codec.read(Source("e", "EMBEDDING_LOOKUP", {}, (ids, table), ()))
    assert (found.attrs, found.inputs) == (Gather(0, 0), (table, ids))
