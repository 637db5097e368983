"""UNPACK: the reference against TensorFlow Lite Micro, the reader's folding."""

from __future__ import annotations

import pytest

from tests.ops.folding import check_against_tflm, check_folding, graph_of
from tests.support import activation, quant, random_inputs
from tinycomp.errors import BadInput
from tinycomp.ops.base import Parsed, Source
from tinycomp.ops.unpack import OPERATOR, Unpack

DTYPES = [("int8", quant(0.1, 3)), ("int16", quant(0.1)), ("int32", None), ("float32", None)]
GRID = [((3, 2), 0), ((3, 2), 1), ((2, 3, 4), 1), ((2, 2, 2, 3), 3), ((1, 1), 0)]


@pytest.mark.parametrize(("shape", "axis"), GRID)
@pytest.mark.parametrize(("dtype", "q"), DTYPES)
def test_the_reference_computes_what_tflite_micro_computes(shape, axis, dtype, q):
    graph = graph_of(Unpack(axis), [activation("x", shape, dtype, q)], outputs=shape[axis])
    check_against_tflm(graph)
    check_folding(graph, random_inputs(graph)[2])


def test_a_vector_comes_apart_into_scalars():
    graph = graph_of(Unpack(0), [activation("x", (4,), "int32")], outputs=4)
    assert [graph.tensors[name].shape for name in graph.outputs] == [()] * 4
    check_folding(graph, random_inputs(graph)[2])


def test_faults_are_named():
    (codec,) = OPERATOR.codecs
    x = activation("x", (2, 3), "int32")
    assert codec.read(Source("u", "UNPACK", {"axis": -1, "num": 3}, (x,), ())) == Parsed(Unpack(1), (x,))
    with pytest.raises(BadInput, match="axis 2 is outside a tensor of rank 2"):
        codec.read(Source("u", "UNPACK", {"axis": 2}, (x,), ()))
    with pytest.raises(BadInput, match=r"takes 'x' \[2, 3\] apart along axis 0 into 3 outputs"):
        graph_of(Unpack(0), [x], outputs=3)
