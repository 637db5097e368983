"""Functions of one element: the reference against the interpreters, every kernel row against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import BYTES, check_reference, node_graph, panel, unchecked_out
from tests.support import activation, check_operator, litert, quant, reference, same, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph
from tinycomp.ops.base import Source
from tinycomp.ops.elementwise import FUNCTIONS, OPERATOR, Elementwise
from tinycomp.tflite import writer

MICRO_INT8 = ("abs", "elu", "hard_swish", "rsqrt")
LITERT_INT8 = ("exp", "gelu", "log", "sqrt")
MICRO_FLOAT = sorted(set(FUNCTIONS) - {"gelu", "sign", "logical_not"})
POSITIVE = ("log", "rsqrt", "sqrt")
ENDS = [((0.05, 3), (0.05, 3)), ((0.05, -128), (0.04, 127)), ((0.011, 127), (0.02, -128)), ((0.25, 0), (0.125, 9)),
        ((0.0235, -7), (0.0119, -60)), ((0.1, -128), (0.037, -128))]  # fmt: skip


def layer(name: str, x: tuple[float, int], out: tuple[float, int]) -> Graph:
    """One int8 layer over every byte that the function takes."""
    return single(Elementwise(name), [activation("x", BYTES.shape, "int8", quant(*x))], out_quant=quant(*out))


def bytes_for(name: str, zero_point: int) -> np.ndarray:
    """Every byte; none below zero where the references refuse those."""
    return np.maximum(BYTES, np.int8(zero_point)) if name in POSITIVE else BYTES


def layers(name: str) -> tuple[Graph, list[np.ndarray]]:
    """Layers of one function under many scales, and what to feed them."""
    return panel([layer(name, *ends) for ends in ENDS]), [bytes_for(name, x[1]) for x, _ in ENDS]


@pytest.mark.parametrize("name", MICRO_INT8)
def test_every_byte_under_many_scales_as_in_tflite_micro(name):
    graph, case = layers(name)
    check_reference(graph, [case])


@pytest.mark.parametrize("name", LITERT_INT8)
def test_every_byte_under_many_scales_as_in_litert(name):
    graph, case = layers(name)
    same(reference(graph, case), litert(writer.write(graph), [case])[0], name)


def test_the_tables_in_c():
    names = sorted((*MICRO_INT8, *LITERT_INT8))
    graphs = [layer(name, *ENDS[1]) for name in names]
    check_operator(panel(graphs), [[bytes_for(name, ENDS[1][0][1]) for name in names]], oracle=False)


def floats(positive: bool) -> np.ndarray:
    """Values near zero and far, halves, of both signs or none."""
    x = np.concatenate([np.linspace(-9, 9, 37), [0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 1e-4, -1e-4, 20.0, -20.0, 7.75]])
    return (np.abs(x) + 0.01 if positive else x).astype(np.float32).reshape(1, 2, 4, 6)


def test_float_layers_as_in_tflite_micro():
    x = activation("x", (1, 2, 4, 6), "float32")
    graph = panel([single(Elementwise(name), [x]) for name in MICRO_FLOAT])
    check_operator(graph, [[floats(name in POSITIVE) for name in MICRO_FLOAT]])


@pytest.mark.parametrize("attrs", [Elementwise("gelu"), Elementwise("gelu", True), Elementwise("sign")])
def test_float_layers_as_in_litert(attrs):
    check_operator(single(attrs, [activation("x", (1, 2, 4, 6), "float32")]), [[floats(False)]], by="litert")


@pytest.mark.parametrize("name", ["abs", "neg", "sign"])
def test_int32_layers_as_in_litert(name):
    graph = single(Elementwise(name), [activation("x", (2, 3), "int32")])
    check_operator(graph, [[np.array([[0, 1, -1], [2**31 - 1, -(2**31) + 1, -77]], np.int32)]], by="litert")
    check_operator(graph, [[np.array([[0, 1, -1], [2**31 - 1, -(2**31), -77]], np.int32)]], oracle=False)


def test_logical_not():
    check_operator(single(Elementwise("logical_not"), [activation("x", (2, 3, 4), "bool")]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_reading_undoes_writing(name):
    dtype = FUNCTIONS[name].dtypes[-1]
    graph = single(Elementwise(name), [activation("x", (3,), dtype)])
    (codec,) = (c for c in OPERATOR.codecs if c.builtin == name.upper())
    assert codec.write is not None
    written = codec.write(graph.nodes[0], graph)
    assert written is not None
    source = Source("x_0", name.upper(), written.options, graph.ins(graph.nodes[0]), (graph.tensors["out"],))
    assert codec.read(source).attrs == graph.nodes[0].attrs


@pytest.mark.parametrize(("name", "dtype", "q", "error", "message"), [
    ("sin", "int8", quant(0.1), Unsupported, r"has dtypes int8→int8 on 'x'; supported: float32→float32"),
    ("logical_not", "float32", None, Unsupported, "supported: bool→bool"),
    ("abs", "int8", None, BadInput, "no quantization parameters"),
])  # fmt: skip
def test_what_has_no_meaning_is_refused_with_a_reason(name, dtype, q, error, message):
    graph = node_graph(Elementwise(name), [activation("x", (2,), dtype, q)], unchecked_out((2,), dtype, q))
    with pytest.raises(error, match=message):
        ops.check(graph)


def test_a_hard_swish_whose_output_is_much_finer_than_its_input_is_refused():
    graph = node_graph(Elementwise("hard_swish"), [activation("x", (2,), "int8", quant(1.0))],
                       unchecked_out((2,), "int8", quant(0.005)))  # fmt: skip
    with pytest.raises(Unsupported, match="takes less than 1"):
        ops.check(graph)
