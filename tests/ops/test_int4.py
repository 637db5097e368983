"""Layers with int4 weights: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.ops import test_conv2d, test_depthwise_conv2d, test_fully_connected
from tests.ops.elementwise import panel
from tests.support import check_operator, emitted, litert, random_inputs, reference, same
from tinycomp import ops
from tinycomp.errors import Unsupported
from tinycomp.ir import Graph
from tinycomp.kernel import choices
from tinycomp.lower import lower
from tinycomp.ops import int4
from tinycomp.program import Recipe
from tinycomp.tflite import reader, writer
from tinycomp.tflite.tensors import unpacked


def narrowed(graph: Graph, symmetric: bool = False) -> Graph:
    """The same layer with weights of four bits, -8 among them unless symmetric."""
    w = graph.tensors["w"]
    assert w.data is not None
    values = np.clip(w.data.astype(np.int64) % 16 - 8, -7 if symmetric else -8, 7)
    made = replace(graph, tensors={**graph.tensors, "w": replace(w, dtype="int4", data=values.astype(np.int8))})
    ops.check(made)
    return made


def convolutions() -> list[Graph]:
    """The grid of CONV_2D, a grouped one, and one scale for all channels."""
    grid = [test_conv2d.convolution(*param.values) for param in test_conv2d.GRID]
    grouped = test_conv2d.convolution(5, 6, 8, 6, (3, 3), (1, 1), (1, 1), 0, "none", groups=2)
    odd = test_conv2d.convolution(5, 6, 6, 4, (3, 3), (1, 1), (1, 1), 0, "relu", groups=2)
    one = test_conv2d.convolution(4, 4, 3, 4, (3, 3), (1, 1), (1, 1), 0, "none", per_tensor=True)
    return [narrowed(graph) for graph in (*grid, grouped, odd, one)]


def depthwise_convolutions() -> list[Graph]:
    """The grid of DEPTHWISE_CONV_2D."""
    return [narrowed(test_depthwise_conv2d.depthwise(*param.values[:-1])) for param in test_depthwise_conv2d.GRID]


def dense_layers() -> list[Graph]:
    """The grid of FULLY_CONNECTED with one scale for all outputs, all that TensorFlow Lite Micro takes."""
    grid = [param.values[:-1] for param in test_fully_connected.GRID]
    return [narrowed(test_fully_connected.dense(*layer, scales=1)) for layer in grid]


LAYERS: dict[str, Callable[[], list[Graph]]] = {
    "conv2d": convolutions, "depthwise_conv2d": depthwise_convolutions, "fully_connected": dense_layers,
}  # fmt: skip


@pytest.mark.parametrize("op", LAYERS)
def test_every_kernel_row_computes_what_tflite_micro_computes(op):
    check_operator(panel(LAYERS[op]()))


def test_dense_layers_with_a_scale_for_each_output_mean_what_litert_computes():
    grid = [param.values[:-1] for param in test_fully_connected.GRID]
    many = [narrowed(test_fully_connected.dense(*layer, scales=None)) for layer in grid]  # which TFLM refuses
    check_litert(panel([*dense_layers(), *many]))


def test_convolutions_mean_what_litert_computes():
    check_litert(panel(convolutions()))


def check_litert(graph: Graph) -> None:
    """Reference and C equal LiteRT's reference kernels."""
    meant = replace(graph, reference="litert")
    cases = random_inputs(meant)
    found = emitted(meant, cases)
    for k, (case, answer) in enumerate(zip(cases, litert(writer.write(meant), cases), strict=True)):
        same(reference(meant, case), answer, f"reference, case {k}")
        same(found[k], answer, f"C, case {k}")


@pytest.mark.parametrize("op", LAYERS)
def test_a_file_keeps_four_bits(op):
    for graph in LAYERS[op]():
        again = reader.read(writer.write(graph))
        weights = again.tensors["w"]
        assert weights.dtype == "int4"
        assert weights.bytes == -(-weights.elements // 2)
        np.testing.assert_array_equal(weights.data, graph.tensors["w"].data)


def test_weights_stay_packed_in_flash():
    graph = narrowed(test_conv2d.convolution(4, 4, 64, 16, (1, 1), (1, 1), (1, 1), 1, "relu"))
    for features in (frozenset[str](), frozenset({"dsp"}), frozenset({"thumb1"}), frozenset({"mve", "dsp"})):
        program = lower(graph, Recipe(), features)
        assert program.weights_bytes == 16 * 64 // 2
        assert program.constants_bytes < 16 * 64


@pytest.mark.parametrize(
    "features", [{"dsp"}, {"dsp", "dual_issue"}, {"mve", "dsp"}, {"thumb1"}, {"riscv"}, {"xtensa"}]
)
@pytest.mark.parametrize("op", LAYERS)
def test_no_row_for_int8_takes_them(op, features):
    for graph in LAYERS[op]():
        node = graph.nodes[0]
        rows = choices(ops.operator(node).kernels, node, graph, frozenset(features))
        assert rows
        assert all(row.name.startswith("int4") for row in rows)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_runs_are_packed_by_themselves(count):
    values = np.random.default_rng(count).integers(-8, 8, (3, count)).astype(np.int8)
    for row, bytes_ in zip(values, int4.packed(values), strict=True):
        assert bytes_.size == (count + 1) // 2
        np.testing.assert_array_equal(unpacked(bytes_.view(np.uint8), count), row)


def test_an_activation_of_four_bits_is_refused():
    graph = narrowed(test_conv2d.convolution(4, 4, 3, 4, (3, 3), (1, 1), (1, 1), 0, "none"))
    wrong = replace(graph, tensors={**graph.tensors, "x": replace(graph.tensors["x"], dtype="int4")})
    with pytest.raises(Unsupported, match="is int4 and computed or given at run time"):
        reader.read(writer.write(wrong))
    with pytest.raises(Unsupported, match="has dtypes int4,int4"):
        ops.check(wrong)
