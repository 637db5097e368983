"""DEPTHWISE_CONV_2D: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support import (
    activation,
    check_operator,
    constant,
    emitted,
    per_channel,
    quant,
    random_inputs,
    reference,
    same,
    single,
)
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Node, Tensor
from tinycomp.kernel import choices
from tinycomp.lower import lower
from tinycomp.ops import depthwise_conv2d, window
from tinycomp.ops.base import Source
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.program import Recipe

# height, width, channels, multiplier, kernel, stride, dilation, SAME (0) or VALID (1), activation,
# the first kernel row that takes the int8 form
GRID = [
    pytest.param(5, 5, 6, 1, (3, 3), (1, 1), (1, 1), 0, "relu", "columns", id="3x3 same"),
    pytest.param(7, 9, 5, 1, (3, 3), (2, 2), (1, 1), 0, "relu6", "columns", id="3x3 stride 2, overlapping blocks"),
    pytest.param(8, 8, 4, 1, (3, 3), (2, 2), (1, 1), 0, "none", "columns", id="stride 2, padding on one side only"),
    pytest.param(9, 10, 1, 8, (10, 8), (2, 2), (1, 1), 0, "none", "columns", id="one channel to eight, tall kernel"),
    pytest.param(4, 6, 3, 2, (3, 3), (1, 1), (1, 1), 0, "relu", "columns", id="multiplier 2"),
    pytest.param(7, 8, 2, 1, (3, 3), (1, 1), (2, 2), 0, "none", "columns", id="dilated"),
    pytest.param(8, 9, 2, 1, (2, 3), (3, 2), (1, 2), 1, "relu_n1_to_1", "columns", id="valid, odd strides"),
    pytest.param(4, 7, 3, 1, (3, 2), (1, 3), (1, 1), 1, "none", "columns", id="stride longer than the kernel"),
    pytest.param(9, 2, 3, 1, (4, 5), (1, 1), (1, 1), 0, "none", "columns", id="every window leaves on both sides"),
    pytest.param(1, 1, 4, 1, (3, 3), (1, 1), (1, 1), 0, "none", "portable", id="one pixel, kernel larger than it"),
    pytest.param(12, 1, 7, 1, (5, 1), (1, 1), (1, 1), 0, "relu", "portable", id="a time axis"),
    pytest.param(3, 24, 6, 1, (1, 17), (1, 1), (1, 1), 0, "none", "portable", id="a kernel too wide to write out"),
    pytest.param(3, 24, 2, 3, (1, 17), (1, 1), (1, 1), 0, "none", "portable", id="wide kernel, multiplier 3"),
    pytest.param(6, 30, 3, 6, (2, 9), (2, 1), (1, 3), 0, "none", "portable", id="wide dilated kernel, multiplier 6"),
    pytest.param(6, 1, 2, 4, (3, 1), (1, 1), (1, 1), 1, "relu6", "portable", id="time axis, multiplier 4"),
    pytest.param(1, 1, 1, 1, (1, 1), (1, 1), (1, 1), 0, "none", "portable", id="one element"),
]


def depthwise(h: int, w: int, c: int, multiplier: int, kernel: window.Pair, stride: window.Pair, dilation: window.Pair,
              scheme: int, act: str, dtype: str = "int8", zero: int = -128, per_tensor: bool = False,
              bias_reach: int = 3000) -> Graph:  # fmt: skip
    """A graph of one depthwise convolution with random weights."""
    rng = np.random.default_rng(h * 100 + w * 10 + c + multiplier)
    pads = window.padding_of(Source("", "", {"padding": scheme}, (), ()), (h, w), kernel, stride, dilation)
    o = c * multiplier
    attrs = DepthwiseConv2D(stride, dilation, pads, act)
    if dtype == "float32":
        weights = constant("w", rng.normal(0, 1, (1, *kernel, o)).astype(np.float32))
        bias = constant("b", rng.normal(0, 1, o).astype(np.float32))
        return single(attrs, [activation("x", (1, h, w, c), "float32"), weights, bias])
    x = activation("x", (1, h, w, c), "int8", quant(0.05, zero))
    scales = [0.02] if per_tensor else list(rng.uniform(0.001, 0.03, o))
    weights = constant("w", rng.integers(-127, 128, (1, *kernel, o)).astype(np.int8), per_channel(scales, axis=3))
    bias = rng.integers(-bias_reach, bias_reach, o).astype(np.int32)
    given = Tensor("b", (o,), "int32", per_channel([0.05 * s for s in scales]), bias)
    return single(attrs, [x, weights, given], out_quant=quant(0.11, 3))


@pytest.mark.parametrize(("h", "w", "c", "mult", "kernel", "stride", "dilation", "scheme", "act", "row"), GRID)
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_every_kernel_row_computes_what_tflite_micro_computes(
    h, w, c, mult, kernel, stride, dilation, scheme, act, row, dtype
):
    graph = depthwise(h, w, c, mult, kernel, stride, dilation, scheme, act, dtype)
    taken = choices(depthwise_conv2d.OPERATOR.kernels, graph.nodes[0], graph, frozenset())[0].name
    assert taken == (row if dtype == "int8" else "float")
    check_operator(graph)


@pytest.mark.parametrize("zero", [-128, 0, 127])
@pytest.mark.parametrize("width", [1, 5])
def test_zero_points_at_the_ends_of_the_range(zero, width):
    check_operator(depthwise(4, width, 3, 1, (3, 3), (1, 1), (1, 1), 0, "none", zero=zero))


@pytest.mark.parametrize("width", [1, 5])
def test_one_scale_for_all_channels(width):
    check_operator(depthwise(4, width, 5, 1, (3, 3), (1, 1), (1, 1), 0, "none", per_tensor=True))


@pytest.mark.parametrize("width", [1, 5])
def test_accumulators_that_wrap_do_so_in_defined_c(width):
    check_operator(depthwise(4, width, 5, 1, (3, 3), (1, 1), (1, 1), 0, "none", zero=127, bias_reach=2**31 - 1))


@pytest.mark.parametrize(("width", "other"), [(8, 4), (1, 1)])
def test_layers_that_differ_in_sizes_share_one_function_when_built_for_size(width, other):
    first = depthwise(8, width, 3, 1, (3, 3), (1, 1), (1, 1), 0, "none", zero=3)
    second = depthwise(8, other, 4, 1, (3, 3), (1, 1), (1, 1), 0, "relu", zero=-5)
    tensors: dict[str, Tensor] = {}
    nodes: list[Node] = []
    for k, g in enumerate((first, second)):
        (node,) = g.nodes
        tensors |= {f"{k}{name}": replace(t, name=f"{k}{name}") for name, t in g.tensors.items()}
        nodes.append(Node(f"dw_{k}", node.attrs, tuple(f"{k}{i}" for i in node.inputs), (f"{k}out",)))
    graph = Graph("two", tensors, tuple(nodes), ("0x", "1x"), ("0out", "1out"))
    ops.check(graph)
    assert len(lower(graph, Recipe(opt="size")).functions) == 1
    cases = random_inputs(graph)
    for case, answer in zip(cases, emitted(graph, cases, Recipe(opt="size")), strict=True):
        same(answer, reference(graph, case), "two layers")


def test_a_larger_batch_than_the_graphs_is_computed_alike():
    graph = depthwise(5, 4, 3, 2, (3, 3), (2, 1), (1, 1), 0, "relu")
    cases = [np.concatenate(xs) for xs in zip(*random_inputs(graph), strict=True)]
    (batch,) = reference(graph, cases)
    same([batch[2:3]], reference(graph, [cases[0][2:3]]), "batch")


def test_a_missing_bias_is_zeros_and_a_missing_multiplier_is_inferred():
    graph = depthwise(4, 4, 3, 2, (3, 3), (1, 1), (1, 1), 0, "none")
    x, w, _ = graph.ins(graph.nodes[0])
    read = depthwise_conv2d.OPERATOR.codecs[0].read
    parsed = read(Source("dw_0", "DEPTHWISE_CONV_2D", {"stride_h": 1, "stride_w": 1}, (x, w), ()))
    assert parsed.attrs == graph.nodes[0].attrs
    bias = parsed.inputs[2].data
    assert bias is not None
    assert bias.shape == (6,)
    assert not bias.any()


def test_what_cannot_be_meant_is_refused_by_name():
    graph = depthwise(4, 4, 3, 2, (3, 3), (1, 1), (1, 1), 0, "none")
    x, w, b = graph.ins(graph.nodes[0])
    attrs = graph.nodes[0].attrs
    read = depthwise_conv2d.OPERATOR.codecs[0].read
    with pytest.raises(BadInput, match="depth multiplier 3"):
        read(Source("dw_0", "DEPTHWISE_CONV_2D", {"depth_multiplier": 3}, (x, w), ()))
    with pytest.raises(BadInput, match="expected \\[1, height, width, channels × multiplier\\]"):
        single(attrs, [activation("x", (1, 4, 4, 4), "int8", quant(0.1)), w, b], out_quant=quant(0.1))
    with pytest.raises(BadInput, match="6 along axis 3"):
        single(attrs, [x, replace(w, quant=per_channel([0.1] * 6, axis=0)), b], out_quant=quant(0.1))
    with pytest.raises(Unsupported, match="computed at run time"):
        single(attrs, [x, replace(w, data=None), b], out_quant=quant(0.1))
    low = activation("x", (1, 2, 4, 3), "int8", quant(0.1))
    with pytest.raises(BadInput, match="does not fit"):
        single(replace(attrs, padding=(0, 0, 0, 0)), [low, w, b], out_quant=quant(0.1))
