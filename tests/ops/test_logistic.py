"""LOGISTIC: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.ops.elementwise import BYTES, RANKS, check_reference, node_graph, panel, unchecked_out
from tests.support import activation, check_operator, quant, reference, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph
from tinycomp.ops.logistic import Logistic

OUT = quant(1 / 256, -128)
SCALES = [1e-6, 0.003, 0.01, 0.0235, 0.1, 1.0, 3.7, 20.0]


def layer(scale: float, zero: int, shape: tuple[int, ...] = BYTES.shape) -> Graph:
    """One int8 layer."""
    return single(Logistic(), [activation("x", shape, "int8", quant(scale, zero))], out_quant=OUT)


def test_every_byte_under_many_scales():
    graphs = [layer(scale, zero) for scale in SCALES for zero in (-128, -7, 0, 127)]
    check_reference(panel(graphs), [[BYTES] * len(graphs)])


def test_the_table_in_c():
    graphs = [layer(0.0235, -7), layer(0.1, 127)]
    check_operator(panel(graphs), [[BYTES] * len(graphs)])


def test_int8_layers_of_every_rank():
    check_operator(panel([layer(0.05, 3, shape) for shape in RANKS]))


def test_float_layers_far_from_zero_and_near():
    x = np.concatenate([np.linspace(-20, 20, 41), [0.0, 1e-6, -1e-6, 90.0, -90.0, 16.62, -9.0, -9.01, 3e38, -3e38]])
    check_operator(single(Logistic(), [activation("x", (1, 51), "float32")]), [[x.astype(np.float32).reshape(1, 51)]])


def test_litert_goes_through_float():
    graph = replace(layer(0.0235, -7), reference="litert")
    real = (BYTES.astype(float) + 7) * graph.tensors["x"].scale
    ideal = 1 / (1 + np.exp(-real)) / OUT.scale[0] + OUT.zero_point[0]
    assert np.abs(reference(graph, [BYTES])[0] - np.clip(ideal, -128, 127)).max() <= 0.5 + 1e-4


@pytest.mark.parametrize(("which", "out"), [("tflm", quant(1 / 256, 0)), ("litert", quant(1 / 250, -128))])
def test_an_output_that_the_reference_refuses_is_refused(which, out):
    graph = node_graph(Logistic(), [activation("x", (2,), "int8", quant(0.1))], unchecked_out((2,), q=out), which)
    with pytest.raises(BadInput, match=f"'out' has scale .*{which}'s kernel takes"):
        ops.check(graph)


def test_a_scale_too_small_for_fixed_point_is_refused():
    graph = node_graph(Logistic(), [activation("x", (2,), "int8", quant(1e-9))], unchecked_out((2,), q=OUT))
    with pytest.raises(Unsupported, match=r"'x' has scale .*2\^-28"):
        ops.check(graph)
