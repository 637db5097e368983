"""Models that compute in uint8: read as int8, and the bits are those of LiteRT's reference kernels for uint8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.op_graphs import RUNNING
from tests.ops.elementwise import panel
from tests.support import (
    activation,
    constant,
    emitted,
    kernel_rows,
    litert,
    needs_cc,
    quant,
    random_inputs,
    reference,
    same,
    single,
)
from tests.test_litert import LAYERS
from tinycomp import frontend, interpret, ops, tflite
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, Graph, Quant, Tensor
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.fully_connected import FullyConnected

WEIGHTED = (Conv2D, DepthwiseConv2D, FullyConnected)


def as_unsigned(graph: Graph, zero: int = 128) -> Graph:
    """An int8 graph's numbers plus 128, one scale a tensor. zero: the zero point of the weights."""
    fixed = {node.inputs[1] for node in graph.nodes if isinstance(node.attrs, WEIGHTED)}

    def of(t: Tensor) -> Tensor:
        scale = Quant(t.quant.scale[:1], t.quant.zero_point[:1]) if t.quant else None
        if t.dtype != "int8" or scale is None:
            return replace(t, quant=scale)
        moved = Quant(scale.scale, (zero if t.name in fixed else scale.zero_point[0] + 128,))
        data = None if t.data is None else (t.data.astype(np.int16) + 128).astype(np.uint8)
        return replace(t, dtype="uint8", quant=moved, data=data)

    return replace(graph, tensors={name: of(t) for name, t in graph.tensors.items()})


def agree(graph: Graph, cases: Sequence[Sequence[Array]], build: bool = True) -> None:
    """The file read and its C compute what LiteRT computes from the file."""
    data = tflite.write(graph)
    wanted, found = litert(data, cases), tflite.read(data)
    for case, right in zip(cases, wanted, strict=True):
        values = interpret.run(found, case)
        same([values[name] for name in found.outputs], right, "reference")
    for label, recipe in kernel_rows(found) if build else ():
        for answer, right in zip(emitted(found, cases, recipe), wanted, strict=True):
            same(answer, right, f"C ({label})")


def layer(attrs: Attrs, shape: tuple[int, ...], *dims: int, most: int = 9000) -> Graph:
    """An int8 layer with weights [dims] of every value. most: how large the biases are."""
    rng, channels = np.random.default_rng(sum(dims)), dims[3 if isinstance(attrs, DepthwiseConv2D) else 0]
    w = constant("w", rng.integers(-128, 128, dims).astype(np.int8), quant(0.013))
    bias = rng.integers(most // 2, most, channels).astype(np.int32)
    inputs = [activation("x", shape, "int8", quant(0.02, -11)), w, constant("b", bias, quant(0.02 * 0.013))]
    return single(attrs, inputs, out_quant=quant(0.21, -8))


IMAGE = (1, 7, 6, 5)
LAYERS_OF_BYTES = (
    layer(Conv2D(padding=(1, 1, 1, 1), activation="relu6"), IMAGE, 9, 3, 3, 5),
    layer(Conv2D(stride=(2, 2)), IMAGE, 4, 2, 3, 5),
    layer(Conv2D(dilation=(2, 2)), IMAGE, 3, 3, 2, 5),
    layer(Conv2D(activation="relu"), IMAGE, 8, 1, 1, 5),
    layer(DepthwiseConv2D(padding=(1, 1, 1, 1)), IMAGE, 1, 3, 3, 5),
    layer(DepthwiseConv2D(stride=(2, 2), activation="relu6"), IMAGE, 1, 3, 2, 15),
    layer(DepthwiseConv2D(), IMAGE, 1, 7, 6, 5),
    layer(FullyConnected(), (3, 33), 10, 33),
)
MOVING = (
    "arg_extreme", "batch_to_space", "concatenation", "depth_to_space", "mirror_pad", "pack", "pad", "pad, a fill",
    "resize_nearest", "reverse", "space_to_batch", "space_to_depth", "strided_slice", "tile", "transpose",
)  # fmt: skip


@needs_cc
@pytest.mark.parametrize("zero", [0, 255])
def test_weights_with_a_zero_point_compute_what_litert_computes(zero: int):
    graph = as_unsigned(panel(LAYERS_OF_BYTES), zero)
    agree(graph, random_inputs(graph))


@needs_cc
def test_sums_that_leave_32_bits_wrap():
    layers = [layer(FullyConnected(), (3, 33), 10, 33, most=2**31 - 1),
              layer(DepthwiseConv2D(), IMAGE, 1, 7, 6, 5, most=2**31 - 1)]  # fmt: skip
    graph = tflite.read(tflite.write(as_unsigned(panel(layers), 0)))
    cases = random_inputs(graph)
    assert {graph.tensors[n.inputs[1]].dtype for n in graph.nodes if isinstance(n.attrs, WEIGHTED)} == {"int16"}
    for case, answer in zip(cases, emitted(graph, cases), strict=True):
        same(answer, reference(graph, case), "C against reference")


@pytest.mark.parametrize("operator", [label for label in LAYERS if "int16" not in label])
def test_what_computes_in_uint8_computes_what_litert_computes(operator: str):
    graph = as_unsigned(panel(list(LAYERS[operator]())))
    agree(graph, random_inputs(graph, cases=6), build=False)


@needs_cc
def test_the_c_of_average_pools_rounds_halves_up():
    graph = as_unsigned(panel(list(LAYERS["average_pool2d"]())))
    agree(graph, random_inputs(graph, cases=6))


def test_what_moves_values_beside_arithmetic_computes_what_litert_computes():
    graph = as_unsigned(panel([RUNNING["add"](), *(RUNNING[label]() for label in MOVING)]))
    agree(graph, random_inputs(graph, cases=4), build=False)


def test_inputs_and_outputs_stay_uint8_and_what_fits_is_int8():
    graph = tflite.read(tflite.write(as_unsigned(RUNNING["conv2d, SAME"]())))
    assert [graph.tensors[name].dtype for name in (*graph.inputs, *graph.outputs)] == ["uint8", "uint8"]
    assert [node.op for node in graph.nodes] == ["quantize", "conv2d", "quantize"]
    assert graph.tensors["w"].dtype == "int8"
    assert graph.reference == "litert"


def test_litert_is_meant_whatever_the_build_asks_for():
    data = tflite.write(as_unsigned(RUNNING["fully_connected"]()))
    (note,) = tflite.survey(data).notes
    assert "the bits of LiteRT's reference kernels" in note
    assert frontend.front(frontend.Model("m.tflite", data), "tflm").graph.reference == "litert"


def test_a_file_that_only_converts_uint8_keeps_it():
    data = tflite.write(as_unsigned(RUNNING["dequantize"]()))
    assert [node.op for node in tflite.read(data).nodes] == ["dequantize"]


def test_an_operator_whose_bits_in_uint8_are_not_known_is_refused():
    data = tflite.write(as_unsigned(panel([RUNNING["relu"](), RUNNING["pairwise"]()])))
    with pytest.raises(Unsupported, match=r"maximum_1 \(MAXIMUM\): reads or makes the uint8 tensor 'x_1'"):
        tflite.read(data)


@pytest.mark.parametrize("graph", LAYERS_OF_BYTES, ids=lambda g: g.nodes[0].op)
def test_such_weights_cannot_be_written_to_a_file(graph: Graph):
    with pytest.raises(Unsupported, match="uint8 less their zero point"):
        tflite.write(tflite.read(tflite.write(as_unsigned(graph, 90))))


def test_an_average_pool_that_rounds_halves_up_cannot_be_written_to_a_file():
    with pytest.raises(Unsupported, match="rounds halves up"):
        tflite.write(tflite.read(tflite.write(as_unsigned(RUNNING["average_pool2d"]()))))


def test_weights_that_span_more_than_uint8_are_refused():
    graph = tflite.read(tflite.write(as_unsigned(LAYERS_OF_BYTES[0], 90)))
    name = graph.nodes[1].inputs[1]
    data = np.linspace(-200, 200, graph.tensors[name].elements).astype(np.int16).reshape(graph.tensors[name].shape)
    with pytest.raises(BadInput, match="run from -200 to 200, more than the 255 of uint8"):
        ops.check(replace(graph, tensors={**graph.tensors, name: replace(graph.tensors[name], data=data)}))
