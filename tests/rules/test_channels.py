"""Constant and dead channels go, and not one output bit with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.rules.nets import Net, assert_equal
from tests.rules.networks import SAME, networks
from tests.support import SHARED, needs_shared, quant
from tinycomp import interpret, qmath, rules
from tinycomp.ir import Graph
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.leaky_relu import LeakyRelu
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mean import Mean
from tinycomp.ops.mul import Mul
from tinycomp.ops.pad import Pad
from tinycomp.ops.quantize import Quantize
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.softmax import Softmax
from tinycomp.ops.tanh import Tanh
from tinycomp.ops.transpose import Transpose
from tinycomp.rewrite import size
from tinycomp.rules.channels import absorb, remove_channels
from tinycomp.tflite import load

BIAS = {1: 4000}  # of a dead channel: its constant lies well above the zero point


def removed(graph: Graph, exact: bool = True) -> Graph:
    """The graph without constant and dead channels, compared with the graph before."""
    after = remove_channels(graph)
    assert_equal(graph, after, exact)
    assert remove_channels(after) is after
    return after


def widths(graph: Graph) -> list[int]:
    """Channels of each node's output."""
    return [graph.out(node).shape[-1] for node in graph.nodes]


def stem(net: Net, size: int = 5, bias: dict[int, int] | None = None) -> str:
    """A convolution of six channels, of which 1 and 4 have no weights."""
    return net.conv(net.input(1, size, size, 2), 6, dead=(1, 4), bias=bias)


@pytest.mark.parametrize("bias", [0, 4000, -4000, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("reference", ["tflm", "litert"])
def test_channels_without_weights_fold_into_the_bias_behind(reference, bias):
    net = Net(reference=reference)
    after = removed(net.graph(net.conv(stem(net, bias={1: bias, 4: -bias // 2}), 3)))
    assert widths(after) == [4, 3]


def test_the_bias_takes_the_constant_times_the_weights_and_wraps():
    net = Net()
    h = stem(net, bias={1: 2**30})
    graph = net.graph(net.conv(h, 12, bias={c: (2**31 - 1, -(2**31))[c % 2] for c in range(12)}))
    after = removed(graph)
    (w, b), (_, narrow) = (graph.ins(graph.nodes[1])[1:], after.ins(after.nodes[1])[1:])
    values = interpret.run(graph, [np.zeros((1, 5, 5, 2), np.int8)], keep=True)[h][0, 0, 0].astype(int) + 3
    share = (w.data[:, 0, 0, [1, 4]].astype(int) * values[[1, 4]]).sum(axis=1)
    total = b.data.astype(int) + share
    assert (total >= 2**31).any()
    assert (total < -(2**31)).any()
    np.testing.assert_array_equal(narrow.data, qmath.wrap32(total))


Step = Callable[[Net, str], str]
STEPS: dict[str, Step] = {
    "depthwise": lambda net, x: net.depthwise(x, multiplier=2),
    "relu": lambda net, x: net.op(Relu("relu"), x),
    "rescaling": lambda net, x: net.op(Quantize(), x, q=quant(0.031, 5)),
    "average": lambda net, x: net.op(AveragePool2D((2, 2), (2, 2), (0, 1, 0, 1)), x),
    "max": lambda net, x: net.op(MaxPool2D((3, 3), (1, 1), SAME), x),
    "mean": lambda net, x: net.op(Mean((1, 2), True), x, q=quant(0.04, 9)),
    "logistic": lambda net, x: net.op(Logistic(), x, q=quant(1 / 256, -128)),
    "tanh": lambda net, x: net.op(Tanh(), x, q=quant(1 / 128, 0)),
    "leaky": lambda net, x: net.op(LeakyRelu(0.2), x, q=quant(0.06, -9)),
    "transpose": lambda net, x: net.op(Transpose((0, 2, 1, 3)), x),
    "reshape": lambda net, x: net.op(Reshape((1, 25, 6)), x),
    "add constant": lambda net, x: net.op(Add(), x, net.constant(np.arange(6, dtype=np.int8), quant(0.05, 1))),
    "mul constant": lambda net, x: net.op(Mul(), net.constant(np.full((1, 1), 40, np.int8), quant(0.01, 1)), x),
    "add both": lambda net, x: net.op(Add("relu"), x, net.conv(net.inputs[0], 6, dead=(0, 1, 4), bias={4: -2000})),
    "mul both": lambda net, x: net.op(Mul(), x, net.conv(net.inputs[0], 6, dead=(1, 4), bias=BIAS)),
}  # fmt: skip


@pytest.mark.parametrize("reference", ["tflm", "litert"])
@pytest.mark.parametrize("name", STEPS)
def test_constants_pass_through(name, reference):
    net = Net(reference=reference)
    y = STEPS[name](net, stem(net, bias=BIAS))
    graph = net.graph(net.dense(y, 3) if name == "reshape" else net.conv(y, 3))
    after = removed(graph)
    before, now = graph.tensors[y].shape[-1], after.tensors[y].shape[-1]
    assert (before, now) == ((12, 8) if name == "depthwise" else (6, 4))


@pytest.mark.parametrize("name", ["relu", "max", "depthwise"])
def test_float_channels_without_weights_and_zero_after_the_activation_go(name):
    net = Net("float32")
    h = net.conv(net.input(1, 5, 5, 2), 6, dead=(1, 4), bias={1: -2, 4: -1}, activation="relu")
    after = removed(net.graph(net.conv(STEPS[name](net, h), 3)), exact=False)
    # a depthwise layer adds its bias, so what leaves it is not zero
    assert widths(after) == ([6, 12, 3] if name == "depthwise" else [4, 4, 3])


def test_float_constants_other_than_zero_stay():
    net = Net("float32")
    graph = net.graph(net.conv(net.conv(net.input(1, 5, 5, 2), 6, dead=(1, 4), bias={1: 2, 4: 1}), 3))
    assert remove_channels(graph) is graph


def test_padding_with_the_zero_point_lets_a_constant_through_only_if_it_is_the_zero_point():
    for bias, left in ((0, 4), (4000, 6)):
        net = Net()
        y = stem(net, bias={1: bias, 4: bias})
        assert widths(removed(net.graph(net.conv(y, 3, (3, 3), padding=SAME)))) == [left, 3]


def test_padding_that_no_window_reaches_does_not_matter():
    net = Net()
    y = stem(net, bias=BIAS)
    after = removed(net.graph(net.conv(y, 3, (2, 2), stride=(2, 2), padding=(0, 0, 0, 0))))
    assert widths(after) == [4, 3]
    net = Net()
    y = stem(net, bias=BIAS)  # 5 wide: windows at 0 and 3, the padding on the far side stays unread
    assert widths(removed(net.graph(net.conv(y, 3, (2, 2), stride=(3, 3), padding=(0, 1, 0, 1))))) == [4, 3]


def test_a_depthwise_layer_that_pads_gives_constants_only_where_the_border_does_not_show():
    for bias, left in ((0, 4), (4000, 5)):  # channel 4's constant is small
        net = Net()
        y = net.depthwise(stem(net, bias={1: bias, 4: 0}), padding=SAME)
        assert widths(removed(net.graph(net.conv(y, 3)))) == [left, left, 3]


def test_a_border_that_a_clamp_hides_does_not_matter():
    net = Net()
    h = stem(net, bias={1: 4000, 4: 0})
    y = net.depthwise(h, padding=SAME, bias={1: -200_000}, activation="relu")
    assert widths(removed(net.graph(net.conv(y, 3)))) == [4, 4, 3]


def test_a_pad_with_another_fill_than_the_constant_stops_it():
    for fill, left in ((-3, 5), (100, 6)):
        net = Net()
        h = stem(net, bias={1: 4000, 4: 0})
        value = net.constant(np.array(fill, np.int8), net.quant())
        y = net.op(Pad(((0, 0), (1, 1), (1, 1), (0, 0))), h, value)
        assert widths(removed(net.graph(net.conv(y, 3)))) == [left, left, 3]


def test_a_depthwise_kernel_of_zeros_makes_a_constant_and_frees_what_feeds_it():
    net = Net()
    y = net.depthwise(net.conv(net.input(1, 5, 5, 2), 6), dead=(0, 3), bias={0: 3000, 3: -50}, padding=SAME)
    assert widths(removed(net.graph(net.conv(y, 3)))) == [4, 4, 3]


def test_weights_too_small_to_move_the_result_make_a_constant():
    net = Net()
    h = net.conv(net.input(1, 5, 5, 2), 6)
    graph = net.graph(net.conv(h, 3))
    w, b = graph.ins(graph.nodes[0])[1:]
    tiny = replace(w, quant=replace(w.quant, scale=(1e-7, *w.quant.scale[1:])))
    after = removed(replace(graph, tensors={**graph.tensors, w.name: tiny, b.name: b}))
    assert widths(after) == [5, 3]


def test_a_clamp_that_is_always_reached_makes_a_constant():
    net = Net()
    h = net.conv(net.input(1, 5, 5, 2), 6, bias={2: -300_000, 5: 300_000}, activation="relu6")
    assert widths(removed(net.graph(net.conv(h, 3)))) == [4, 3]


def test_an_accumulator_that_may_wrap_is_not_taken_for_a_clamp():
    net = Net()
    h = net.conv(net.input(1, 5, 5, 2), 6, bias={2: 2**31 - 1, 5: -(2**31)}, activation="relu6")
    assert widths(removed(net.graph(net.conv(h, 3)))) == [6, 3]


def test_channels_that_nobody_reads_go_and_take_what_only_they_read_along():
    net = Net()
    a = net.conv(net.input(1, 5, 5, 2), 6)
    b = net.conv(a, 5, (3, 3), padding=SAME)
    graph = net.graph(net.conv(b, 3))
    first, second = graph.ins(graph.nodes[1])[1], graph.ins(graph.nodes[2])[1]
    w1, w2 = first.data.copy(), second.data.copy()
    w2[..., [0, 2]] = 0  # nobody reads 0 and 2 of b
    w1[[1, 3, 4], ..., 5] = 0  # only they read 5 of a
    tensors = {**graph.tensors, first.name: replace(first, data=w1), second.name: replace(second, data=w2)}
    assert widths(removed(replace(graph, tensors=tensors))) == [5, 3, 3]


def test_a_constant_on_one_side_of_a_sum_stays():
    net = Net()
    y = net.op(Add(), stem(net, bias=BIAS), net.conv(net.inputs[0], 6))
    graph = net.graph(net.conv(y, 3))
    assert remove_channels(graph) is graph


def test_a_sum_that_an_output_needs_stays_whole():
    net = Net()
    h = stem(net, bias=BIAS)
    y = net.op(Add(), h, net.conv(net.inputs[0], 6, dead=(1, 4)))
    graph = net.graph(net.conv(h, 3), y)
    assert remove_channels(graph) is graph


def test_concatenated_channels_go_each_from_its_own_operand():
    net = Net()
    a, b = stem(net, bias=BIAS), net.conv(net.inputs[0], 3, dead=(0,))
    y = net.op(Concatenation(3), a, net.constant(np.full((1, 5, 5, 2), 7, np.int8), net.quant()), b)
    assert widths(removed(net.graph(net.conv(y, 3)))) == [4, 2, 7, 3]  # one channel of the constant stays


@pytest.mark.parametrize("flatten", [True, False], ids=["reshape", "dense alone"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_dense_layer_loses_the_strided_columns_of_a_channel(flatten, per_channel):
    net = Net()
    h = stem(net, 3, BIAS)
    y = net.op(Reshape((1, 54)), h) if flatten else h
    z = net.dense(y, 7, inner=54, dead=(2,), per_channel=per_channel)
    graph = net.graph(net.dense(z, 3))
    after = removed(graph)
    assert widths(after) == ([4, 36, 6, 3] if flatten else [4, 6, 3])
    assert after.ins(after.nodes[-2])[1].shape == (6, 36)


def test_a_dense_layer_keeps_two_outputs_where_each_has_a_scale():
    """One scale is per-tensor quantization to TFLM, whose multiplier is derived otherwise."""
    for per_channel, left in ((True, 2), (False, 1)):
        net = Net()
        h = net.dense(net.input(1, 9), 6, dead=(0, 1, 2, 4, 5), per_channel=per_channel)
        assert widths(removed(net.graph(net.dense(h, 3)))) == [left, 3]


def test_one_channel_stays_where_all_are_constant():
    net = Net()
    h = net.conv(net.input(1, 5, 5, 2), 4, dead=range(4), bias=BIAS)
    y = net.conv(net.depthwise(h), 5)
    z = net.op(Softmax(), net.op(Mean((1, 2)), y), q=quant(1 / 256, -128))
    assert widths(removed(net.graph(z))) == [1, 1, 5, 5, 5]


def test_constants_below_zero_pass_a_pad_and_a_relu_layer_after_layer():
    net = Net()
    x = net.conv(net.input(1, 6, 6, 2), 8, dead=(0, 1, 2), bias=BIAS)
    for _ in range(4):
        x = net.conv(net.depthwise(net.op(Relu("relu"), x), dead=(3,)), 8, dead=(0, 5), bias={0: -700, 5: -900})
        x = net.op(Pad(((0, 0), (1, 1), (1, 1), (0, 0))), x)
    after = removed(net.graph(net.conv(net.op(Relu("relu"), x), 3)))
    assert widths(after) == [4] * 3 + [5] * 12 + [6] * 3 + [3]


def test_inputs_and_outputs_keep_their_shapes():
    net = Net()
    h = stem(net, bias=BIAS)
    graph = net.graph(net.conv(h, 4, dead=(0, 1, 2)), h)
    assert remove_channels(graph) is graph


def test_a_gate_of_one_channel_keeps_a_constant_product_from_being_believed():
    net = Net()
    h, gate = stem(net, bias=BIAS), net.conv(net.inputs[0], 1)
    y = net.op(Mul(), h, gate)
    assert widths(removed(net.graph(net.conv(y, 3))))[0] == 6


def test_absorbing_alone_changes_no_bit():
    net = Net()
    graph = net.graph(net.conv(net.depthwise(stem(net, bias=BIAS)), 3))
    after = absorb(graph)
    assert_equal(graph, after)
    assert not after.ins(after.nodes[2])[1].data[..., [1, 4]].any()
    assert graph.ins(graph.nodes[2])[1].data[..., [1, 4]].any()


@settings(max_examples=60, deadline=None)
@given(networks())
def test_random_integer_networks_keep_every_bit(graph):
    after = removed(graph)
    before, now = size(graph), size(after)
    assert (now.macs, now.weights) <= (before.macs, before.weights)


@settings(max_examples=30, deadline=None)
@given(networks("float32"))
def test_random_float_networks_keep_their_results(graph):
    removed(graph, exact=False)


@needs_shared
@pytest.mark.parametrize("images", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_vww_loses_half_its_work_and_not_one_bit(images):
    graph = load(SHARED / "models" / "vww_int8.tflite")
    after, records = rules.optimise(graph)
    assert (size(graph).macs, size(graph).weights) == (7_489_664, 208_112)
    assert size(after).macs <= 3_727_313
    assert size(after).weights <= 29_066
    assert [r.name for r in records] == ["channels"]
    rng = np.random.default_rng(0)
    # noise in blocks of 1, 2, 4, … 32 pixels around random means: on single pixels alone all answers are the same
    sides = ([1, 1, 1, 1, 1, 2, 4, 8, 16, 32] * 20)[:images]
    blocks = [np.kron(rng.normal(rng.integers(-90, 90), 60, (96 // n, 96 // n, 3)), np.ones((n, n, 1))) for n in sides]
    x = np.clip(np.rint(blocks), -128, 127).astype(np.int8)
    logits = graph.nodes[-1].inputs[0]  # 8 bits of softmax hide what the layer before still shows
    for start in range(0, images, 20):
        wanted, found = (interpret.run(g, [x[start : start + 20]], keep=True) for g in (graph, after))
        np.testing.assert_array_equal(found[logits], wanted[logits])
        np.testing.assert_array_equal(found[graph.outputs[0]], wanted[graph.outputs[0]])


GOLDEN = (
    "kws_int8", "ic_int8", "vww_int8", "ad_int8", "sww_int8", "person_detect", "micro_speech_quantized",
    "hello_world_int8",
)  # fmt: skip


@needs_shared
@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_outputs_survive_every_exact_pass(name):
    graph = load(SHARED / "models" / f"{name}.tflite")
    after, _ = rules.optimise(graph)
    data = np.load(SHARED / "golden" / f"{name}.npz")
    inputs = [data[f"input{i}"].reshape(-1, *after.tensors[t].shape[1:]) for i, t in enumerate(after.inputs)]
    found = interpret.run(after, inputs)
    for i, t in enumerate(after.outputs):
        np.testing.assert_array_equal(found[t].reshape(data[f"output{i}"].shape), data[f"output{i}"])
