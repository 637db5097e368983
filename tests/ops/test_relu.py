"""RELU, RELU6, RELU_N1_TO_1: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.ops.elementwise import BYTES, RANKS, node_graph, panel, unchecked_out
from tests.support import activation, check_operator, emitted, quant, reference, same, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph
from tinycomp.ops import relu
from tinycomp.ops.relu import Relu

# scale and zero point of the input and of the output
ENDS = [
    ((0.05, 3), (0.05, 3)),
    ((0.05, -128), (0.05, 127)),
    ((0.05, 127), (0.05, -128)),
    ((0.07, 5), (0.05, -10)),
    ((0.0101, -128), (0.01, -128)),
    ((0.001, 0), (0.9, 0)),
    ((0.9, 20), (0.001, -20)),
    ((0.015625, 0), (0.03125, 1)),
]


def layer(act: str, x: tuple[float, int], out: tuple[float, int], shape: tuple[int, ...] = BYTES.shape) -> Graph:
    """One int8 activation."""
    return single(Relu(act), [activation("x", shape, "int8", quant(*x))], out_quant=quant(*out))


@pytest.mark.parametrize("act", ["relu", "relu6"])
def test_every_byte_under_many_scales(act):
    graph = panel([layer(act, x, out) for x, out in ENDS])
    check_operator(graph, [[BYTES] * len(ENDS)])


def test_relu_n1_to_1_which_tflite_micro_has_not():
    graphs = [layer("relu_n1_to_1", x, out) for x, out in ENDS]
    check_operator(panel(graphs), [[BYTES] * len(ENDS)], oracle=False)
    for (x, out), graph in zip(ENDS, graphs, strict=True):
        real = np.clip((BYTES.astype(float) - x[1]) * x[0], -1, 1)
        ideal = np.clip(real / out[0] + out[1], -128, 127)
        np.testing.assert_allclose(reference(graph, [BYTES])[0], ideal, atol=1)


@pytest.mark.parametrize("act", ["relu", "relu6", "relu_n1_to_1"])
def test_float_layers_of_every_rank(act):
    graphs = [single(Relu(act), [activation("x", shape, "float32")]) for shape in RANKS]
    check_operator(panel(graphs), oracle=act != "relu_n1_to_1")


def test_int8_layers_of_every_rank():
    kinds = [("relu", (0.07, 5), (0.05, -10)), ("relu6", (0.05, 1), (0.05, 1))]
    check_operator(panel([layer(*kind, shape) for kind in kinds for shape in RANKS]))


def test_a_clamp_is_preferred_to_a_table_where_nothing_rescales():
    same_scale, rescaling = layer("relu", (0.05, 3), (0.05, -7)), layer("relu", (0.07, 3), (0.05, -7))
    assert relu.clamp(same_scale.nodes[0], same_scale) == (-10, -7, 127)
    assert relu.clamp(rescaling.nodes[0], rescaling) is None


def test_litert_rescales_relu6_where_tflite_micro_does_not():
    graph = replace(layer("relu6", (0.07, 5), (0.05, -10)), reference="litert")
    ideal = np.clip(np.clip((BYTES.astype(float) - 5) * 0.07, 0, 6) / 0.05 - 10, -128, 127)
    np.testing.assert_allclose(reference(graph, [BYTES])[0], ideal, atol=1)
    same(emitted(graph, [[BYTES]])[0], reference(graph, [BYTES]), "litert")


def test_a_dtype_without_kernel_is_refused():
    graph = node_graph(Relu(), [activation("x", (2,), "int32")], unchecked_out((2,), "int32"))
    with pytest.raises(Unsupported, match="int32→int32 on 'x'; supported: int8→int8, int16→int16, float32→float32"):
        ops.check(graph)


def test_a_missing_scale_is_named():
    graph = node_graph(Relu(), [activation("x", (2,), "int8", quant(1))], unchecked_out((2,)))
    with pytest.raises(BadInput, match=r"'out'.*no quantization parameters"):
        ops.check(graph)


def test_each_activation_is_written_under_its_own_name():
    graph = layer("relu6", (0.05, 1), (0.05, 1))
    codecs = ops.operator(graph.nodes[0]).codecs
    assert [c.builtin for c in codecs if c.write and c.write(graph.nodes[0], graph)] == ["RELU6"]
