"""BROADCAST_ARGS: the reference against TensorFlow Lite Micro, the reader's folding."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.folding import check_against_tflm, check_folding, graph_of
from tests.support import activation, reference
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ops.broadcast_args import BroadcastArgs


@pytest.mark.parametrize(("a", "b"), [((2, 1, 3), (4, 3)), ((1,), (5, 2)), ((3, 4), (3, 4)), ((7,), (1,))])
def test_two_shapes_make_the_shape_that_both_broadcast_to(a, b):
    graph = graph_of(BroadcastArgs(), [activation("a", (len(a),), "int32"), activation("b", (len(b),), "int32")])
    case = [np.array(a, np.int32), np.array(b, np.int32)]
    check_against_tflm(graph, [case])
    check_folding(graph, case)
    assert tuple(reference(graph, case)[0]) == np.broadcast_shapes(a, b)


def test_what_does_not_broadcast_is_named():
    graph = graph_of(BroadcastArgs(), [activation("a", (2,), "int32"), activation("b", (1,), "int32")])
    with pytest.raises(BadInput, match=r"the shapes \[2, 3\] and \[4\] do not broadcast"):
        reference(graph, [np.array([2, 3], np.int32), np.array([4], np.int32)])
    with pytest.raises(Unsupported, match="has dtypes float32,float32→float32"):
        graph_of(BroadcastArgs(), [activation("a", (2,), "float32"), activation("b", (1,), "float32")])
