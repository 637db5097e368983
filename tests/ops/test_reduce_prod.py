"""REDUCE_PROD: no oracle in TensorFlow Lite Micro; the products are what numpy says, integers wrap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.folding import check_folding, graph_of
from tests.support import activation, constant, quant, random_inputs, reference
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ops.base import Source
from tinycomp.ops.reduce_prod import OPERATOR, ReduceProd

GRID = [((4,), (0,)), ((2, 3), (1,)), ((2, 3, 4), (0, 2)), ((2, 3), (0, 1)), ((2, 3), ()), ((1, 1), (0,))]


@pytest.mark.parametrize(("shape", "axes"), GRID)
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_the_product_is_taken_over_the_axes(shape, axes, keep, dtype):
    graph = graph_of(ReduceProd(axes, keep), [activation("x", shape, dtype)])
    x = np.random.default_rng(0).integers(-5, 6, shape).astype(dtype)
    np.testing.assert_array_equal(reference(graph, [x])[0], np.prod(x.astype(np.int64), axis=axes, keepdims=keep))
    check_folding(graph, random_inputs(graph)[2])


def test_integers_wrap():
    graph = graph_of(ReduceProd((0,)), [activation("x", (3,), "int32")])
    assert reference(graph, [np.array([65536, 65536, 3], np.int32)])[0] == 0
    assert reference(graph, [np.array([2**31 - 1, 2, 1], np.int32)])[0] == -2


def test_faults_are_named():
    (codec,) = OPERATOR.codecs
    x, axes = activation("x", (2, 3), "int32"), constant("a", np.array([-1, 0, 1], np.int32))
    source = Source("r", "REDUCE_PROD", {"keep_dims": True}, (x, axes), ())
    assert codec.read(source)[:2] == (ReduceProd((0, 1), True), (x,))
    with pytest.raises(BadInput, match="axis 2 is outside a tensor of rank 2"):
        codec.read(Source("r", "REDUCE_PROD", {}, (x, constant("a", np.array(2))), ()))
    with pytest.raises(Unsupported, match=r"the axes .* is computed at run time"):
        codec.read(Source("r", "REDUCE_PROD", {}, (x, activation("a", (1,), "int32")), ()))
    with pytest.raises(BadInput, match=r"axes \[2\] of 'x' \[2, 3\]"):
        graph_of(ReduceProd((2,)), [x])
    with pytest.raises(Unsupported, match="has dtypes int8→int8"):
        graph_of(ReduceProd((0,)), [activation("x", (2,), "int8", quant(0.1))])
