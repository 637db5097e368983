"""Conversion: every operator with a rule becomes an int8 operator whose bits both interpreters and the C agree on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.quantize.nets import residual
from tests.rules.nets import Net, random_batch
from tests.support import emitted, litert, needs_cc, reference, same, tflm
from tinycomp import interpret, ops, rules
from tinycomp.ir import Array, Graph, Node, Tensor
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.batch_matmul import BatchMatMul
from tinycomp.ops.batch_space import BatchToSpace, SpaceToBatch
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.depth_space import DepthToSpace, SpaceToDepth
from tinycomp.ops.gather import Gather
from tinycomp.ops.gather_nd import GatherNd
from tinycomp.ops.l2_norm import L2Norm
from tinycomp.ops.leaky_relu import LeakyRelu
from tinycomp.ops.log_softmax import LogSoftmax
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mean import Mean
from tinycomp.ops.mirror_pad import MirrorPad
from tinycomp.ops.mul import Mul
from tinycomp.ops.pack import Pack
from tinycomp.ops.pad import Pad
from tinycomp.ops.reduce import Reduce
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.resize_bilinear import ResizeBilinear
from tinycomp.ops.resize_nearest import ResizeNearest
from tinycomp.ops.reverse import Reverse
from tinycomp.ops.softmax import Softmax
from tinycomp.ops.split import Split
from tinycomp.ops.strided_slice import StridedSlice
from tinycomp.ops.sub import Sub
from tinycomp.ops.tanh import Tanh
from tinycomp.ops.tile import Tile
from tinycomp.ops.transpose import Transpose
from tinycomp.ops.unpack import Unpack
from tinycomp.quantize.calibrate import calibrate
from tinycomp.quantize.observe import ranges
from tinycomp.quantize.precision import Activations, Precision, precisions
from tinycomp.quantize.rules import RULES, WIDE
from tinycomp.quantize.scheme import scheme
from tinycomp.quantize.to_int8 import Io, as_inputs, to_int8
from tinycomp.tflite import reader, writer


def scalar(value: float) -> Array:
    """A constant of one element."""
    return np.array(value, np.float32)


def row(net: Net, *shape: int) -> str:
    """A random constant."""
    return net.constant(net.rng.normal(0, 2, shape).astype(np.float32))


def split(net: Net, x: str) -> str:
    """SPLIT into two halves that are added; `Net.op` knows one output only."""
    for name in ("left", "right"):
        net.tensors[name] = Tensor(name, (*SHAPE[:3], 2), "float32")
    net.nodes.append(Node("split_0", Split(3, (2, 2)), (x,), ("left", "right")))
    return net.op(Add(), "left", "right")


SHAPE = (1, 4, 6, 4)
# What is done with an input of SHAPE.
GRAPHS: dict[str, Callable[[Net, str], str]] = {
    "add": lambda n, x: n.op(Add("relu"), x, n.conv(x, 4)),
    "add of a constant": lambda n, x: n.op(Add(), x, row(n, 1, 1, 1, 4)),
    "average_pool2d": lambda n, x: n.op(AveragePool2D((2, 2), (2, 2)), n.conv(x, 3)),
    "batch_matmul": lambda n, x: n.op(BatchMatMul(False, True), x, n.conv(x, 4)),
    "batch_to_space": lambda n, x: n.op(
        BatchToSpace((2, 2), ((0, 0), (0, 1))), n.op(SpaceToBatch((2, 2), ((0, 0), (0, 0))), n.conv(x, 2))
    ),
    "concatenation": lambda n, x: n.op(Concatenation(3), x, n.conv(x, 2), row(n, *SHAPE)),
    "concatenation with a softmax": lambda n, x: n.op(Concatenation(3), n.op(Softmax(), x), n.conv(x, 2)),
    "conv2d": lambda n, x: n.conv(x, 5, (3, 3), padding=(1, 1, 1, 1), activation="relu6"),
    "depthwise_conv2d": lambda n, x: n.depthwise(x, (3, 3), 2, activation="relu"),
    "depth_to_space": lambda n, x: n.op(DepthToSpace(2), n.conv(x, 4)),
    "fully_connected": lambda n, x: n.dense(x, 7, inner=96),
    "fully_connected of one output": lambda n, x: n.dense(x, 1, inner=96),
    "l2_norm": lambda n, x: n.op(L2Norm(), n.conv(x, 4)),
    "leaky_relu": lambda n, x: n.op(LeakyRelu(float(np.float32(0.2))), n.conv(x, 3)),
    "log_softmax": lambda n, x: n.op(LogSoftmax(), n.conv(x, 4)),
    "logistic": lambda n, x: n.op(Logistic(), n.conv(x, 3)),
    "max_pool2d": lambda n, x: n.op(MaxPool2D((2, 3), (1, 2)), n.conv(x, 3)),
    "mean": lambda n, x: n.op(Mean((1, 2)), n.conv(x, 3)),
    "mirror_pad": lambda n, x: n.op(MirrorPad(((0, 0), (1, 1), (2, 0), (0, 0))), n.conv(x, 2)),
    "mul": lambda n, x: n.op(Mul(), x, n.op(Logistic(), n.conv(x, 4))),
    "mul by a constant": lambda n, x: n.op(Mul(), x, row(n, 4)),
    "pad": lambda n, x: n.op(Pad(((0, 0), (1, 2), (0, 1), (0, 0))), n.conv(x, 2)),
    "pad with a value": lambda n, x: n.op(Pad(((0, 0), (0, 0), (1, 1), (0, 0))), n.conv(x, 2), n.constant(scalar(1.5))),
    "relu": lambda n, x: n.op(Relu("relu"), n.op(Concatenation(3), x, n.conv(x, 2))),
    "relu beside another reader": lambda n, x: n.op(Concatenation(3), n.op(Relu("relu"), x), x),
    "relu6 beside another reader": lambda n, x: n.op(Concatenation(3), n.op(Relu("relu6"), x), x),
    "reshape": lambda n, x: n.op(Reshape((1, 8, 3, 4)), n.conv(x, 4)),
    "resize_bilinear": lambda n, x: n.op(ResizeBilinear((7, 9), False, True), n.conv(x, 2)),
    "resize_nearest": lambda n, x: n.op(ResizeNearest((7, 9)), n.conv(x, 2)),
    "reverse": lambda n, x: n.op(Reverse((2,)), n.conv(x, 2)),
    "softmax": lambda n, x: n.op(Softmax(), n.conv(x, 4)),
    "space_to_batch": lambda n, x: n.op(SpaceToBatch((2, 2), ((0, 0), (0, 0))), n.conv(x, 2)),
    "space_to_depth": lambda n, x: n.op(SpaceToDepth(2), n.conv(x, 2)),
    "strided_slice": lambda n, x: n.op(StridedSlice((0, 1, 0, 0), (1, 4, 6, 4), (1, 2, 1, 1)), n.conv(x, 4)),
    "sub": lambda n, x: n.op(Sub(), x, n.conv(x, 4)),
    "tanh": lambda n, x: n.op(Tanh(), n.conv(x, 4)),
    "tile": lambda n, x: n.op(Tile((1, 1, 2, 1)), n.op(Mean((2,), keep_dims=True), n.conv(x, 2))),
    "transpose": lambda n, x: n.op(Transpose((0, 2, 1, 3)), n.conv(x, 4)),
    "transpose_conv": lambda n, x: n.spread(x, 3, (8, 12), (3, 3), (2, 2), (0, 1, 0, 1)),
}
# No C of their own yet, or batches cannot be stacked.
FOLDED: dict[str, Callable[[Net, str], str]] = {
    "gather": lambda n, x: n.op(Gather(3), x, n.constant(np.array([2, 0], np.int32))),
    "gather_nd": lambda n, x: n.op(GatherNd(), x, n.constant(np.array([[[0, 2], [0, 0]]], np.int32))),
    "pack": lambda n, x: n.op(Pack(1), x, n.conv(x, 4)),
    "split": split,
    "unpack": lambda n, x: n.op(Unpack(3), n.conv(x, 1)),
}


def network(make: Callable[[Net, str], str]) -> Graph:
    """A float graph of one input."""
    net = Net("float32", 4)
    return net.graph(make(net, net.input(*SHAPE)))


def converted(graph: Graph, io: Io = "int8", precision: Precision = "int8") -> tuple[Graph, list[list[Array]]]:
    """The integer graph, read back from its file where the reader knows its operators, and inputs of a few cases."""
    batch = random_batch(graph, 1, 12)
    seen = calibrate(graph, [x[:, None] for x in batch])
    plan = scheme(graph, ranges(seen, "minmax"), None, precisions(graph, {}, precision))
    made = to_int8(graph, plan, {}, io)
    if all(ops.operator(n).access or ops.operator(n).view for n in made.nodes):
        made = reader.read(writer.write(made))
    return made, [as_inputs(made, [x[k : k + 1] for x in batch]) for k in range(4)]


def near(graph: Graph, made: Graph, cases: list[list[Array]]) -> float:
    """Largest difference to the float graph, in the output's steps."""
    worst = 0.0
    for case in cases:
        real = [values_of(made, n, x) for n, x in zip(made.inputs, case, strict=True)]
        wanted, found = reference(graph, real), reference(made, case)
        for name, a, b in zip(made.outputs, wanted, found, strict=True):
            t = made.tensors[name]
            step = 0.01 if t.dtype == "float32" else t.scale
            worst = max(worst, float(np.abs(values_of(made, name, b) - a).max()) / step)
    return worst


def values_of(graph: Graph, name: str, stored: Array) -> Array:
    """The real values of stored ones."""
    t = graph.tensors[name]
    if t.dtype == "float32":
        return stored
    return ((stored.astype(np.float32) - t.zero_point) * np.float32(t.scale)).astype(np.float32)


def test_the_graphs_cover_every_operator_with_a_rule():
    shown = {n.attrs.__class__ for make in (*GRAPHS.values(), *FOLDED.values()) for n in network(make).nodes}
    assert set(RULES) <= shown


def wide(name: str) -> bool:
    """All its operators run on int16."""
    return all(type(n.attrs) in WIDE for n in network(NETWORKS[name]).nodes)


NETWORKS = {**GRAPHS, **FOLDED}
EVERY: list[tuple[str, Activations]] = [
    *((name, "int8") for name in NETWORKS),
    *((name, "int16") for name in NETWORKS if wide(name)),
]
STEPS = {"int8": 6, "int16": 700}  # weights have 8 bits in both
# LiteRT interpolates int16 SOFTMAX in another table than TensorFlow Lite Micro: one of a hundred values is one off.
ANOTHER_TABLE = ("softmax", "int16")


@pytest.mark.parametrize(("name", "dtype"), EVERY)
def test_interpreters_agree_on_the_bits_and_the_values_are_near(name, dtype):
    graph = network(NETWORKS[name])
    made, cases = converted(graph, dtype, dtype)
    assert not any(t.dtype == "float32" for t in made.tensors.values())
    assert dtype == "int8" or "int8" not in {made.out(node).dtype for node in made.nodes}
    assert near(graph, made, cases) < STEPS[dtype]
    wanted = [reference(made, case) for case in cases]
    for k, answer in enumerate(tflm(writer.write(made), cases)):
        same([a.reshape(w.shape) for a, w in zip(answer, wanted[k], strict=True)], wanted[k], f"TFLM, case {k}")


@pytest.mark.parametrize(("name", "dtype"), [case for case in EVERY if case != ANOTHER_TABLE])
def test_litert_agrees_under_its_own_rounding(name, dtype):
    made, cases = converted(network(NETWORKS[name]), dtype, dtype)
    made = replace(made, reference="litert")
    for k, answer in enumerate(litert(writer.write(made), cases)):
        same(answer, reference(made, cases[k]), f"LiteRT, case {k}")


@needs_cc
@pytest.mark.parametrize(("name", "dtype"), [(n, dtype) for n, dtype in EVERY if n in GRAPHS and n != "strided_slice"])
def test_its_c_has_the_bits_of_the_reference_after_the_exact_passes(name, dtype):
    made, cases = converted(network(GRAPHS[name]), dtype, dtype)
    optimised, _ = rules.optimise(made)
    for k, answer in enumerate(emitted(optimised, cases)):
        same(answer, reference(made, cases[k]), f"C, case {k}")


def test_float_inputs_and_outputs_keep_their_names_and_types():
    graph = residual()
    made, cases = converted(graph, "float32")
    assert (made.inputs, made.outputs) == (graph.inputs, graph.outputs)
    assert {made.tensors[n].dtype for n in (*made.inputs, *made.outputs)} == {"float32"}
    assert [n.op for n in made.nodes].count("quantize") == [n.op for n in made.nodes].count("dequantize") == 1
    whole, _ = converted(graph)
    for case in cases:
        stored = as_inputs(whole, case)
        np.testing.assert_array_equal(
            reference(made, case)[0], values_of(whole, whole.outputs[0], reference(whole, stored)[0])
        )
    for k, answer in enumerate(tflm(writer.write(made), cases)):
        same(answer, reference(made, cases[k]), f"TFLM, case {k}")


def test_an_operator_without_int8_form_stays_float_between_conversions():
    net = Net("float32")
    x = net.input(1, 6, 4)
    y = net.op(Reduce((2,), True, "prod"), net.dense(x, 3, keep_dims=True))
    graph = net.graph(net.op(Relu("relu"), net.op(Add(), y, y)))
    made, cases = converted(graph)
    assert [n.op for n in made.nodes] == ["fully_connected", "dequantize", "reduce", "quantize", "add", "relu"]
    assert near(graph, made, cases) < 20


def test_an_output_that_is_read_again_is_converted_once():
    net = Net("float32")
    x = net.input(1, 6)
    a = net.dense(x, 4)
    graph = net.graph(a, net.dense(a, 3))
    made, _ = converted(graph, "float32")
    assert made.outputs == graph.outputs
    assert [n.op for n in made.nodes].count("dequantize") == 2
    ops.check(made)


def test_an_input_that_is_an_output_of_a_kept_node_too_is_told_apart():
    net = Net("float32")
    x = net.input(1, 6)
    graph = net.graph(net.op(Reduce((1,), True, "prod"), x), net.dense(x, 3))
    made, cases = converted(graph)
    assert made.tensors[made.inputs[0]].dtype == "int8"
    assert {made.tensors[n].dtype for n in made.outputs} == {"int8"}
    assert np.isfinite(near(graph, made, cases))


def test_weights_shared_by_two_layers_of_unlike_inputs_get_biases_of_their_own():
    net = Net("float32")
    x = net.input(1, 4)
    a = net.dense(x, 4)
    first = net.nodes[-1]
    b = net.op(first.attrs, a, *first.inputs[1:])
    graph = net.graph(b)
    made, cases = converted(graph)
    assert near(graph, made, cases) < 4
    assert len({n.inputs[2] for n in made.nodes}) == 2


def test_integer_inputs_pass_through():
    net = Net("float32")
    x = net.input(1, 6)
    net.tensors["i"] = replace(net.tensors[x], name="i", shape=(1, 2), dtype="int32")
    net.inputs.append("i")
    graph = net.graph(net.dense(x, 3), net.op(Reshape((2,)), "i"))
    batch = [np.ones((2, 1, 6), np.float32) * 3, np.ones((2, 1, 2), np.int32)]
    batch[0][1] = -2
    made = to_int8(graph, scheme(graph, ranges(calibrate(graph, batch), "minmax")), {})
    assert [made.tensors[n].dtype for n in (*made.inputs, *made.outputs)] == ["int8", "int32", "int8", "int32"]
    assert interpret.run(made, as_inputs(made, [b[0] for b in batch]))
