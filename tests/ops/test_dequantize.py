"""DEQUANTIZE: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import BYTES, RANKS, node_graph, panel, unchecked_out
from tests.support import activation, check_operator, constant, per_channel, quant, reference, single
from tinycomp import ops
from tinycomp.errors import Unsupported
from tinycomp.ir import DType, Graph, Tensor
from tinycomp.ops.dequantize import Dequantize

ENDS = [(0.05, 3), (1e-6, -128), (7.3, 127), (0.0078431, 0)]


def layer(dtype: DType, scale: float, zero: int, shape: tuple[int, ...] = BYTES.shape) -> Graph:
    """One conversion."""
    return single(Dequantize(), [activation("x", shape, dtype, quant(scale, zero))], Tensor("out", shape, "float32"))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_every_byte_under_many_scales(dtype):
    x = BYTES.astype(np.int16) * 257 if dtype == "int16" else BYTES.view(dtype)
    graphs = [layer(dtype, scale, zero & 127) for scale, zero in ENDS]
    check_operator(panel(graphs), [[x] * len(graphs)])


def test_values_are_the_float32_products_to_the_bit():
    found = reference(layer("int8", *ENDS[0]), [BYTES])[0]
    np.testing.assert_array_equal(found, np.float32(0.05) * (BYTES.astype(np.float32) - np.float32(3)))


def test_every_rank():
    check_operator(panel([layer("int8", 0.05, 3, shape) for shape in RANKS]))


def test_constants_may_be_quantized_per_channel():
    data = np.array([[1, -2], [3, 4]], np.int8)
    weights = constant("w", data, per_channel([0.5, 0.25], axis=1))
    graph = node_graph(Dequantize(), [weights], unchecked_out((2, 2), "float32"))
    np.testing.assert_array_equal(reference(graph, [])[0], np.array([[0.5, -0.5], [1.5, 1.0]], np.float32))


def test_constants_that_are_float_already_stay_as_they_are():
    data = np.array([1.5, -2], np.float32)
    graph = node_graph(Dequantize(), [constant("w", data)], unchecked_out((2,), "float32"))
    np.testing.assert_array_equal(reference(graph, [])[0], data)


def test_activations_per_channel_are_refused():
    x = activation("x", (2, 2), "int8", per_channel([0.5, 0.25], 1))
    graph = node_graph(Dequantize(), [x], unchecked_out((2, 2), "float32"))
    with pytest.raises(Unsupported, match="'x' is quantized per channel"):
        ops.check(graph)
