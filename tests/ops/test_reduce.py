"""SUM, REDUCE_MAX and the like: the reference against the interpreters, the kernels against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.ops.elementwise import node_graph, panel, unchecked_out
from tests.ops.folding import check_folding, graph_of
from tests.support import activation, check_operator, constant, quant, random_inputs, reference, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import DType, Graph
from tinycomp.ops.base import Parsed, Source
from tinycomp.ops.reduce import OPERATOR, Reduce

# shape, axes, keep_dims
GRID = [
    ((1, 4, 5, 3), (1, 2), True), ((1, 4, 5, 3), (1, 2), False), ((1, 4, 5, 3), (3,), True),
    ((2, 3, 4, 5), (1,), False),
    ((2, 3, 4, 5), (0, 3), False), ((3, 7), (1,), True), ((3, 7), (0,), False), ((6,), (0,), True),
    ((2, 3, 4), (0, 1, 2), False),
]  # fmt: skip


def panel_of(function: str, dtype: DType) -> Graph:
    """The function over the whole grid."""
    q = quant(0.05, -7 if dtype == "int8" else 0) if dtype in ("int8", "int16") else None
    out = quant(0.9, 11) if function == "sum" and q else q
    graphs = [
        single(Reduce(axes, keep, function), [activation("x", shape, dtype, q)], out_quant=out)
        for shape, axes, keep in GRID
    ]
    return panel(graphs)


@pytest.mark.parametrize(("function", "dtype", "by"), [
    ("sum", "int8", "tflm"), ("sum", "float32", "tflm"), ("max", "int8", "tflm"), ("max", "float32", "tflm"),
    ("min", "int8", "litert"), ("min", "float32", "litert"), ("sum", "int32", "litert"), ("max", "int32", "litert"),
    ("max", "int16", "litert"), ("min", "int16", "litert"), ("any", "bool", "litert"), ("all", "bool", "litert"),
])  # fmt: skip
def test_every_axis_is_reduced_as_in_the_interpreters(function, dtype, by):
    graph = panel_of(function, dtype)
    check_operator(graph, random_inputs(graph, cases=3), by=by)


@pytest.mark.parametrize("zero_point", [-128, 0, 127])
@pytest.mark.parametrize("scale", [0.011, 0.3, 2.5])
def test_int8_sums_under_many_scales(scale, zero_point):
    graphs = [
        single(Reduce((1, 2), True, "sum"), [activation("x", (1, 6, 7, 5), "int8", quant(0.031, zero))],
               out_quant=quant(scale, zero_point))
        for zero in (-128, -3, 127)
    ]  # fmt: skip
    check_operator(panel(graphs))


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_products_run(dtype):
    graph = single(Reduce((1,), True, "prod"), [activation("x", (2, 5, 3), dtype)])
    rng = np.random.default_rng(0)
    case = [rng.integers(-3, 4, (2, 5, 3)).astype(dtype)]
    check_operator(graph, [case], by="litert", oracle=dtype != "int64")


def test_reading_undoes_writing():
    for codec, function in zip(OPERATOR.codecs, ("sum", "prod", "max", "min", "any", "all"), strict=True):
        node = single(Reduce((1,), True, "sum"), [activation("x", (2, 3), "float32")]).nodes[0]
        graph = single(Reduce((1,), True, "sum"), [activation("x", (2, 3), "float32")])
        written = codec.write and codec.write(replace(node, attrs=Reduce((1,), True, function)), graph)
        assert written is not None
        assert written.options == {"keep_dims": True}


def test_what_has_no_meaning_is_refused_with_a_reason():
    x = activation("x", (2, 3), "int8", quant(0.1))
    with pytest.raises(Unsupported, match="quantized differently, and the reference does not rescale"):
        ops.check(node_graph(Reduce((1,), True, "max"), [x], unchecked_out((2, 1), "int8", quant(0.2))))
    with pytest.raises(Unsupported, match="supported: bool→bool"):
        ops.check(node_graph(Reduce((1,), True, "any"), [x], unchecked_out((2, 1), "int8", quant(0.1))))
    with pytest.raises(BadInput, match=r"axes \[2\] of 'x' \[2, 3\]"):
        ops.check(node_graph(Reduce((2,), True, "max"), [x], unchecked_out((2, 1), "int8", quant(0.1))))


# No oracle in TensorFlow Lite Micro: products are what numpy says.
PRODUCTS = [((4,), (0,)), ((2, 3), (1,)), ((2, 3, 4), (0, 2)), ((2, 3), (0, 1)), ((2, 3), ()), ((1, 1), (0,))]


@pytest.mark.parametrize(("shape", "axes"), PRODUCTS)
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_the_product_is_taken_over_the_axes(shape, axes, keep, dtype):
    graph = graph_of(Reduce(axes, keep, "prod"), [activation("x", shape, dtype)])
    x = np.random.default_rng(0).integers(-5, 6, shape).astype(dtype)
    np.testing.assert_array_equal(reference(graph, [x])[0], np.prod(x.astype(np.int64), axis=axes, keepdims=keep))
    check_folding(graph, random_inputs(graph)[2])


def test_products_of_integers_wrap():
    graph = graph_of(Reduce((0,), False, "prod"), [activation("x", (3,), "int32")])
    assert reference(graph, [np.array([65536, 65536, 3], np.int32)])[0] == 0
    assert reference(graph, [np.array([2**31 - 1, 2, 1], np.int32)])[0] == -2


def test_faults_of_reading_are_named():
    codec = next(c for c in OPERATOR.codecs if c.builtin == "REDUCE_PROD")
    x, axes = activation("x", (2, 3), "int32"), constant("a", np.array([-1, 0, 1], np.int32))
    source = Source("r", "REDUCE_PROD", {"keep_dims": True}, (x, axes), ())
    assert codec.read(source) == Parsed(Reduce((0, 1), True, "prod"), (x,))
    with pytest.raises(BadInput, match="axis 2 is outside a tensor of rank 2"):
        codec.read(Source("r", "REDUCE_PROD", {}, (x, constant("a", np.array(2))), ()))
    with pytest.raises(Unsupported, match=r"the axes .* is computed at run time"):
        codec.read(Source("r", "REDUCE_PROD", {}, (x, activation("a", (1,), "int32")), ()))
    with pytest.raises(BadInput, match=r"axes \[2\] of 'x' \[2, 3\]"):
        graph_of(Reduce((2,), False, "prod"), [x])
    with pytest.raises(Unsupported, match="has dtypes int8→int8"):
        graph_of(Reduce((0,), False, "prod"), [activation("x", (2,), "int8", quant(0.1))])
