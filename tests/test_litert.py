"""The second oracle: a graph whose `reference` is litert means what LiteRT's reference kernels compute, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.models.test_reference_models import INT8, golden
from tests.op_graphs import RUNNING
from tests.ops import (
    test_conv2d,
    test_depthwise_conv2d,
    test_fully_connected,
    test_int16,
    test_leaky_relu,
    test_logistic,
    test_mean,
    test_pool,
    test_relu,
    test_softmax,
    test_tanh,
)
from tests.ops.broadcast import SCALES, scaled
from tests.ops.elementwise import panel
from tests.support import (
    SHARED,
    activation,
    constant,
    emitted,
    kernel_rows,
    litert,
    needs_cc,
    needs_shared,
    quant,
    random_inputs,
    reference,
    same,
    single,
)
from tinycomp import frontend, ops, qmath
from tinycomp.errors import Unsupported
from tinycomp.ir import Array, Attrs, Graph, Tensor
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.ops.mul import Mul
from tinycomp.tflite import writer


def convolutions() -> Iterator[Graph]:
    """The grid of CONV_2D."""
    return (test_conv2d.convolution(*param.values) for param in test_conv2d.GRID)


def depthwise_convolutions() -> Iterator[Graph]:
    """The grid of DEPTHWISE_CONV_2D."""
    return (test_depthwise_conv2d.depthwise(*param.values[:-1]) for param in test_depthwise_conv2d.GRID)


def dense_layers() -> Iterator[Graph]:
    """The grid of FULLY_CONNECTED, with a scale for all outputs and with one for each."""
    grid = [param.values[:-1] for param in test_fully_connected.GRID]
    return (test_fully_connected.dense(*layer, scales=scales) for layer in grid for scales in (1, None))


def leaky_relus() -> Iterator[Graph]:
    """Slopes and scales of LEAKY_RELU."""
    slopes, ends = test_leaky_relu.SLOPES, test_leaky_relu.ENDS
    return (test_leaky_relu.layer(slope, x, out) for slope in slopes for x, out in ends)


def relus() -> Iterator[Graph]:
    """RELU, RELU6 and RELU_N1_TO_1 between many scales."""
    kinds = ("relu", "relu6", "relu_n1_to_1")
    return (test_relu.layer(kind, x, out) for kind in kinds for x, out in test_relu.ENDS)


# Layers of one operator, int8 where nothing else is said, which run as one graph.
LAYERS: dict[str, Callable[[], Iterator[Graph]]] = {
    "add": lambda: (scaled(Add(), *ends, (1, 8, 8, 16)) for ends in SCALES),
    "average_pool2d": lambda: (test_pool.pooled(AveragePool2D, *param.values[:-1]) for param in test_pool.GRID),
    "conv2d": convolutions,
    "depthwise_conv2d": depthwise_convolutions,
    "fully_connected": dense_layers,
    "leaky_relu": leaky_relus,
    "logistic": lambda: (test_logistic.layer(scale, zero) for scale in test_logistic.SCALES for zero in (-128, 9)),
    "mean": lambda: (test_mean.averaged(*param.values[:-1]) for param in test_mean.GRID),
    "mul": lambda: (scaled(Mul(), *ends, (1, 8, 8, 16)) for ends in SCALES),
    "relu": relus,
    "softmax": lambda: (test_softmax.layer((7, 10), scale) for scale in test_softmax.SCALES),
    "conv2d, int16": lambda: iter(test_int16.convolutions("int64")),
    "depthwise_conv2d, int16": lambda: iter(test_int16.depthwise_convolutions()),
    "fully_connected, int16": lambda: iter(test_int16.dense_layers()),
    "tanh": lambda: (test_tanh.layer(scale, zero) for scale in test_tanh.SCALES for zero in (-128, 9)),
}


def floats(graph: Graph) -> bool:
    """The first output is float32."""
    return graph.tensors[graph.outputs[0]].dtype == "float32"


# Sums in float32 depend on their order, which `reference` says nothing about.
# LiteRT's int8 SUM has another arithmetic (refused), and its int8 LSTM wants intermediate tensors that TFLM does not.
# SVDF remembers the last case, which here each case does without.
OTHERWISE = {"reduce", "lstm", "svdf"}
INTEGER = {label: make for label, make in RUNNING.items() if label not in OTHERWISE and not floats(make())}

# LiteRT refuses files whose biases name a quantized dimension that they have not. Written again they name another.
REFUSED = {"person_detect"}


def as_litert(graph: Graph) -> Graph:
    """The graph, checked, meaning LiteRT's arithmetic."""
    meant = replace(graph, reference="litert")
    ops.check(meant)
    return meant


def agree(answers: Sequence[Sequence[Array]], wanted: Sequence[Sequence[Array]], label: str) -> None:
    """Case by case the same outputs."""
    assert len(answers) == len(wanted)
    for k, (answer, right) in enumerate(zip(answers, wanted, strict=True)):
        same(answer, right, f"{label}, case {k}")


@pytest.mark.parametrize("label", INTEGER)
def test_every_operator_of_the_table_means_what_litert_computes(label):
    graph = as_litert(INTEGER[label]())
    cases = random_inputs(graph, cases=16)
    agree([reference(graph, case) for case in cases], litert(writer.write(graph), cases), label)


@needs_cc
def test_the_c_of_every_operator_of_the_table_computes_what_litert_computes():
    graph = as_litert(panel([make() for make in INTEGER.values()]))
    cases = random_inputs(graph, cases=8)
    agree(emitted(graph, cases), litert(writer.write(graph), cases), ", ".join(INTEGER))


@needs_cc
@pytest.mark.parametrize("operator", LAYERS)
def test_numpy_and_every_kernel_row_compute_what_litert_computes(operator):
    graph = as_litert(panel(list(LAYERS[operator]())))
    cases = random_inputs(graph, cases=6)
    wanted = litert(writer.write(graph), cases)
    agree([reference(graph, case) for case in cases], wanted, "reference")
    for label, recipe in kernel_rows(graph):
        agree(emitted(graph, cases, recipe), wanted, f"C ({label})")


@needs_cc
@pytest.mark.parametrize(("attrs", "shape", "weights", "once"), [
    (FullyConnected(), (1, 2), (64, 2), True),
    (Conv2D(), (1, 1, 1, 2), (64, 1, 1, 2), False),
    (DepthwiseConv2D(), (1, 1, 1, 2), (1, 1, 1, 64), False),
])  # fmt: skip
def test_dense_layers_round_once_and_convolutions_twice(attrs: Attrs, shape, weights, once):
    x, w, out = quant(0.0371), quant(0.0213), quant(0.1234)
    m = qmath.quantize_multiplier(x.scale[0] * w.scale[0] / out.scale[0])
    sums = np.arange(-16000, 16000)
    rounded = {True: qmath.requantize_once(sums, *m), False: qmath.requantize(sums, *m)}
    telling = np.flatnonzero(rounded[True] != rounded[False])[:64]
    assert telling.size == 64, "these sums tell nothing"
    bias = Tensor("b", (64,), "int32", quant(0.0371 * 0.0213), sums[telling].astype(np.int32))
    given = [activation("x", shape, "int8", x), constant("w", np.zeros(weights, np.int8), w), bias]
    graph = as_litert(single(attrs, given, out_quant=out))
    case = [np.zeros(shape, np.int8)]
    wanted = rounded[once][telling].astype(np.int8).reshape(graph.tensors["out"].shape)
    for answers in (litert(writer.write(graph), [case]), [reference(graph, case)], emitted(graph, [case])):
        agree(answers, [[wanted]], "sums that tell")


@needs_shared
@needs_cc
@pytest.mark.parametrize("name", INT8)
def test_the_reference_models_compute_what_litert_computes(name):
    path = SHARED / "models" / f"{name}.tflite"
    front = frontend.front(frontend.load(path), "litert")
    cases = golden(name)[0][:3]
    wanted = litert(writer.write(front.source) if name in REFUSED else path.read_bytes(), cases)
    agree([reference(front.source, case) for case in cases], wanted, f"{name} as read")
    agree(emitted(front.graph, cases), wanted, f"{name} in C")


def test_an_int8_sum_is_refused_for_litert():
    with pytest.raises(Unsupported, match=r"reduce.*--reference tflm"):
        as_litert(RUNNING["reduce"]())
