"""SUM, REDUCE_MAX and the like: the reference against the interpreters, the kernels against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.ops.elementwise import node_graph, panel, unchecked_out
from tests.support import activation, check_operator, quant, random_inputs, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import DType, Graph
from tinycomp.ops.reduce import OPERATOR, Reduce
from tinycomp.ops.reduce_prod import ReduceProd

# shape, axes, keep_dims
GRID = [
    ((1, 4, 5, 3), (1, 2), True), ((1, 4, 5, 3), (1, 2), False), ((1, 4, 5, 3), (3,), True),
    ((2, 3, 4, 5), (1,), False),
    ((2, 3, 4, 5), (0, 3), False), ((3, 7), (1,), True), ((3, 7), (0,), False), ((6,), (0,), True),
    ((2, 3, 4), (0, 1, 2), False),
]  # fmt: skip


def panel_of(function: str, dtype: DType) -> Graph:
    """The function over the whole grid."""
    q = quant(0.05, -7) if dtype == "int8" else None
    out = quant(0.9, 11) if function == "sum" and q else q
    graphs = [
        single(Reduce(axes, keep, function), [activation("x", shape, dtype, q)], out_quant=out)
        for shape, axes, keep in GRID
    ]
    return panel(graphs)


@pytest.mark.parametrize(("function", "dtype", "by"), [
    ("sum", "int8", "tflm"), ("sum", "float32", "tflm"), ("max", "int8", "tflm"), ("max", "float32", "tflm"),
    ("min", "int8", "litert"), ("min", "float32", "litert"), ("sum", "int32", "litert"), ("max", "int32", "litert"),
    ("any", "bool", "litert"), ("all", "bool", "litert"),
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
    graph = single(ReduceProd((1,), True), [activation("x", (2, 5, 3), dtype)])
    rng = np.random.default_rng(0)
    case = [rng.integers(-3, 4, (2, 5, 3)).astype(dtype)]
    check_operator(graph, [case], by="litert", oracle=dtype != "int64")


def test_reading_undoes_writing():
    for codec, function in zip(OPERATOR.codecs, ("sum", "max", "min", "any", "all"), strict=True):
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
