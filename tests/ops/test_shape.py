"""SHAPE: read as a node without inputs, which the reader folds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.ops.folding import check_against_tflm, check_folding, graph_of
from tests.support import activation, quant, reference
from tinycomp.errors import BadInput
from tinycomp.ir import Graph, Node
from tinycomp.ops.base import Parsed, Source
from tinycomp.ops.pad import Pad
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.shape import OPERATOR, Shape
from tinycomp.tflite import reader, writer


@pytest.mark.parametrize("shape", [(3,), (1, 4), (1, 49, 10, 1), (2, 3, 4, 5, 6)])
def test_the_reference_computes_what_tflite_micro_computes(shape):
    graph = graph_of(Shape(shape), [])
    assert reference(graph, [])[0].tolist() == list(shape)
    check_against_tflm(graph, [[]])
    check_folding(graph)


def test_int64_is_what_the_output_tensor_says():
    codec = OPERATOR.codecs[0]
    x, out = activation("x", (1, 7)), activation("y", (2,), "int64")
    assert codec.read(Source("shape_0", "SHAPE", {}, (x,), (out,))) == Parsed(Shape((1, 7), "int64"), ())
    check_folding(graph_of(Shape((1, 7), "int64"), []))
    with pytest.raises(BadInput, match=r"shape_0 \(shape\): its output is float32"):
        graph_of(Shape((1, 7), "float32"), [])


def test_the_shape_of_a_run_time_tensor_is_a_constant_of_the_graph():
    """The chain that a converter leaves before a flattening: SHAPE of an activation, then arithmetic, then RESHAPE."""
    q = quant(0.1, 3)
    tensors = [
        activation("x", (1, 2, 3, 2), "int8", q), activation("wide", (1, 2, 4, 2), "int8", q),
        activation("sizes", (4,), "int32"), activation("out", (1, 16), "int8", q),
    ]  # fmt: skip
    nodes = (
        Node("pad_0", Pad(((0, 0), (0, 0), (0, 1), (0, 0))), ("x",), ("wide",)),
        Node("reshape_1", Reshape((1, 16)), ("wide",), ("out",)),
    )
    plain = Graph("chain", {t.name: t for t in tensors if t.name != "sizes"}, nodes, ("x",), ("out",))
    with_shape = replace(
        plain, tensors={t.name: t for t in tensors}, outputs=("out", "sizes"),
        nodes=(*nodes, Node("shape_2", Shape((1, 2, 4, 2)), (), ("sizes",))),
    )  # fmt: skip
    read = reader.read(writer.write(with_shape))
    assert [node.op for node in read.nodes] == ["pad", "reshape"]
    sizes = read.tensors["sizes"].data
    assert sizes is not None
    assert sizes.tolist() == [1, 2, 4, 2]


@pytest.mark.parametrize("builtin", ["RANK", "ZEROS_LIKE"])
def test_what_the_shape_alone_decides_is_a_constant(builtin):
    (codec,) = (c for c in OPERATOR.codecs if c.builtin == builtin)
    x, out = activation("x", (2, 3), "float32"), activation("out", (2, 3), "float32")
    parsed = codec.read(Source("n_0", builtin, {}, (x,), (out,)))
    (made,) = parsed.inputs
    assert made.data is not None
    assert made.data.tolist() == (2 if builtin == "RANK" else [[0.0] * 3] * 2)
