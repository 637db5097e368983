"""FILL: the reference against TensorFlow Lite Micro, the reader's folding."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.folding import check_against_tflm, check_folding, graph_of
from tests.support import activation, constant, reference
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ops.base import Parsed, Source
from tinycomp.ops.fill import OPERATOR, Fill


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3), (1, 2, 3, 4)])
@pytest.mark.parametrize("value", [np.int8(-128), np.int32(-7), np.int32(2**31 - 1), np.float32(-1.5)])
def test_the_reference_computes_what_tflite_micro_computes(shape, value):
    graph = graph_of(Fill(shape), [constant("v", np.asarray(value))])
    assert (reference(graph, [])[0] == value).all()
    check_against_tflm(graph, [[]])
    check_folding(graph)


def test_int64_and_bool_are_folded():
    check_folding(graph_of(Fill((2, 2)), [constant("v", np.array(2**40))]))
    check_folding(graph_of(Fill((3,)), [constant("v", np.array([True]))]))


def test_faults_are_named():
    (codec,) = OPERATOR.codecs
    v = constant("v", np.array(1, np.int32))
    dims = constant("d", np.array([2, 3], np.int64))
    assert codec.read(Source("fill_0", "FILL", {}, (dims, v), ())) == Parsed(Fill((2, 3)), (v,))
    with pytest.raises(Unsupported, match=r"the shape .* is computed at run time"):
        codec.read(Source("fill_0", "FILL", {}, (activation("d", (2,), "int32"), v), ()))
    with pytest.raises(BadInput, match="the value 'v' has shape"):
        graph_of(Fill((2,)), [constant("v", np.zeros(2, np.int32))])
    with pytest.raises(BadInput, match="negative dimension"):
        graph_of(Fill((-1, 2)), [v])
