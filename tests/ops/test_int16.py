"""Convolutions and dense layers on int16: against TensorFlow Lite Micro, and the C against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.ops.elementwise import panel
from tests.support import (
    activation,
    check_operator,
    constant,
    per_channel,
    quant,
    random_inputs,
    reference,
    same,
    single,
    tflm,
)
from tinycomp import ops, qmath
from tinycomp.errors import Unsupported
from tinycomp.ir import Attrs, Graph, Tensor
from tinycomp.ops import window
from tinycomp.ops.base import Source
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.tflite import reader, writer

IN, OUT = 0.0007, 0.0011
BIASES = ["int64", "int32"]


def weighted(attrs: Attrs, shape: tuple[int, ...], dims: tuple[int, ...], bias: str, *, axis: int = 0,
             per_tensor: bool = False, out: float = OUT, most: int = 90_000) -> Graph:  # fmt: skip
    """One layer with random weights. dims: of the weights, whose output channels are along `axis`. most: of a bias."""
    rng = np.random.default_rng(sum(shape) * 31 + sum(dims))
    n = dims[axis]
    scales = [0.004] if per_tensor else [float(s) for s in rng.uniform(0.0005, 0.02, n)]
    given = Tensor("b", (n,), bias, per_channel([IN * s for s in scales]),
                   rng.integers(-most, most, n).astype(bias))  # fmt: skip
    weights = constant("w", rng.integers(-127, 128, dims).astype(np.int8), per_channel(scales, axis))
    return single(attrs, [activation("x", shape, "int16", quant(IN)), weights, given], out_quant=quant(out))


def padding(
    shape: tuple[int, ...], dims: tuple[int, ...], stride: window.Pair, dilation: window.Pair
) -> window.Padding:
    """SAME."""
    same = Source("", "", {"padding": 0}, (), ())
    return window.padding_of(same, (shape[1], shape[2]), (dims[1], dims[2]), stride, dilation)


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], window.Pair, window.Pair, str]] = [
    ((1, 5, 5, 3), (4, 3, 3, 3), (1, 1), (1, 1), "relu"),
    ((1, 6, 5, 3), (5, 3, 3, 3), (2, 2), (1, 1), "relu6"),
    ((1, 9, 10, 1), (8, 5, 4, 1), (2, 2), (1, 1), "none"),
    ((1, 4, 4, 8), (6, 1, 1, 8), (1, 1), (1, 1), "relu_n1_to_1"),
    ((1, 7, 8, 2), (3, 3, 3, 2), (1, 1), (2, 2), "none"),
    ((1, 1, 1, 4), (4, 3, 3, 4), (1, 1), (1, 1), "none"),
]


def convolutions(bias: str) -> list[Graph]:
    """The grid of CONV_2D."""
    return [
        weighted(Conv2D(stride, dilation, padding(shape, dims, stride, dilation), act), shape, dims, bias)
        for shape, dims, stride, dilation, act in CONVOLUTIONS
    ]


@pytest.mark.parametrize("bias", BIASES)
def test_convolutions_of_many_shapes(bias):
    one = weighted(Conv2D(), (1, 4, 4, 3), (4, 3, 3, 3), bias, per_tensor=True)
    grouped = weighted(Conv2D((1, 1), (1, 1), (1, 1, 1, 1)), (1, 5, 6, 8), (6, 3, 3, 4), bias)
    check_operator(panel([*convolutions(bias), one, grouped]))


DEPTHWISE: list[tuple[tuple[int, ...], tuple[int, ...], window.Pair, window.Pair, str]] = [
    ((1, 5, 5, 4), (1, 3, 3, 4), (1, 1), (1, 1), "relu"),
    ((1, 6, 7, 5), (1, 3, 3, 5), (2, 2), (1, 1), "relu6"),
    ((1, 7, 6, 3), (1, 2, 3, 6), (1, 1), (1, 1), "none"),
    ((1, 7, 8, 2), (1, 3, 3, 8), (1, 1), (2, 1), "none"),
    ((1, 9, 1, 3), (1, 4, 1, 9), (1, 1), (1, 1), "none"),
]


def depthwise_convolutions() -> list[Graph]:
    """The grid of DEPTHWISE_CONV_2D."""
    return [
        weighted(
            DepthwiseConv2D(stride, dilation, padding(shape, dims, stride, dilation), act), shape, dims, "int64", axis=3
        )
        for shape, dims, stride, dilation, act in DEPTHWISE
    ]


def test_depthwise_convolutions_of_many_shapes():
    check_operator(panel(depthwise_convolutions()))


DENSE: list[tuple[tuple[int, ...], tuple[int, ...], str]] = [
    ((1, 12), (5, 12), "relu"),
    ((3, 7), (4, 7), "none"),
    ((1, 2, 3, 4), (9, 24), "relu6"),
    ((1, 700), (3, 700), "none"),
]


def dense_layers() -> list[Graph]:
    """The grid of FULLY_CONNECTED, with a scale for all outputs and with one for each."""
    return [
        weighted(FullyConnected(activation=act), shape, dims, "int64", per_tensor=one)
        for shape, dims, act in DENSE
        for one in (True, False)
    ]


def test_dense_layers_of_many_shapes():
    check_operator(panel(dense_layers()))


def test_sums_that_need_more_than_32_bits():
    rng = np.random.default_rng(3)
    weights = constant("w", np.full((6, 900), 127, np.int8), quant(0.004))
    bias = Tensor("b", (6,), "int64", quant(IN * 0.004), rng.integers(-(2**40), 2**40, 6))
    graph = single(FullyConnected(), [activation("x", (1, 900), "int16", quant(IN)), weights, bias], out_quant=quant(9))
    check_operator(graph)


def test_scales_far_apart():
    graphs = [weighted(Conv2D(), (1, 3, 3, 4), (5, 2, 2, 4), "int64", out=out, most=2**34) for out in (1e-6, 1e-3, 40)]
    check_operator(panel(graphs))


@pytest.mark.parametrize("attrs", [Conv2D(), DepthwiseConv2D(), FullyConnected()], ids=lambda a: a.op)
def test_a_bias_that_the_file_leaves_out_is_zero(attrs, monkeypatch):
    dims = {"conv2d": (4, 2, 2, 4), "depthwise_conv2d": (1, 2, 2, 4), "fully_connected": (4, 4)}[attrs.op]
    shape = (1, 4) if attrs.op == "fully_connected" else (1, 3, 3, 4)
    graph = weighted(attrs, shape, dims, "int64", axis=3 if attrs.op == "depthwise_conv2d" else 0)
    plain = writer._written  # pyright: ignore[reportPrivateUsage]  (there is no other way to leave a bias out)

    def short(node, graph):
        codec, written = plain(node, graph)
        return codec, written._replace(inputs=written.inputs[:2])

    monkeypatch.setattr(writer, "_written", short)
    data = writer.write(graph)
    cases = random_inputs(graph)
    without = reader.read(data)
    assert not np.any(without.constant(without.nodes[0].inputs[2]))
    for case, answer in zip(cases, tflm(data, cases), strict=True):
        wanted = reference(without, case)
        same([answer[0].reshape(wanted[0].shape)], wanted, "without a bias")


@pytest.mark.parametrize(("change", "message"), [
    ({"x": quant(IN, 3)}, "'x' is int16 with zero point 3"),
    ({"out": quant(OUT, -1)}, "'out' is int16 with zero point -1"),
    ({"out": quant(1e-9)}, "a factor above 128"),
])  # fmt: skip
def test_what_the_reference_does_not_compute_is_refused(change, message):
    graph = weighted(Conv2D(), (1, 3, 3, 4), (5, 2, 2, 4), "int64")
    tensors = {n: replace(t, quant=change.get(n, t.quant)) for n, t in graph.tensors.items()}
    with pytest.raises(Unsupported, match=message):
        ops.check(replace(graph, tensors=tensors))


def test_a_bias_beyond_the_arithmetic_is_refused():
    graph = weighted(Conv2D(), (1, 3, 3, 4), (5, 2, 2, 4), "int64")
    huge = replace(graph.tensors["b"], data=np.full(5, -(2**62), np.int64))
    with pytest.raises(Unsupported, match=r"sums to 2\^47, where tflm's arithmetic ends"):
        ops.check(replace(graph, tensors={**graph.tensors, "b": huge}))


@pytest.mark.parametrize("attrs", [DepthwiseConv2D(), FullyConnected()], ids=lambda a: a.op)
def test_a_bias_of_int32_is_refused_where_no_reference_kernel_reads_it(attrs):
    shape, dims, axis = ((1, 4), (4, 4), 0) if attrs.op == "fully_connected" else ((1, 3, 3, 4), (1, 2, 2, 4), 3)
    with pytest.raises(Unsupported, match="'b' is int32; beside int16 inputs it must be int64"):
        weighted(attrs, shape, dims, "int32", axis=axis)


def test_wide_rescaling_rounds_halves_up():
    np.testing.assert_array_equal(qmath.requantize_wide([1, -1, 3, -3], 1 << 30, 0), [1, 0, 2, -1])


def test_inputs_at_both_ends_are_among_the_cases():
    graph = weighted(FullyConnected(), (1, 12), (5, 12), "int64")
    assert {int(case[0].min()) for case in random_inputs(graph)[:2]} == {-32768, 32767}
