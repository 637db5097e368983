"""int8 weights beside float32 activations: what they mean, in numpy, in C and beside LiteRT's own arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.ops.elementwise import panel
from tests.support import (
    activation,
    check_operator,
    constant,
    emitted,
    litert,
    per_channel,
    random_inputs,
    reference,
    same,
    single,
)
from tinycomp import ops, rules
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Attrs, Graph, Quant
from tinycomp.lower import lower
from tinycomp.ops import hybrid
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.ops.mul import Mul
from tinycomp.program import Recipe
from tinycomp.quantize.prepare import prepare
from tinycomp.rewrite import WEIGHTED
from tinycomp.tflite import reader, writer


def layer(attrs: Attrs, shape: tuple[int, ...], dims: tuple[int, ...], axis: int = 0, one: bool = False) -> Graph:
    """One layer with random weights, a scale for each output channel or one for all."""
    rng = np.random.default_rng(sum(dims))
    scales = [0.01] if one else [float(s) for s in rng.uniform(0.001, 0.02, dims[axis])]
    weights = constant("w", rng.integers(-127, 128, dims).astype(np.int8), per_channel(scales, 0 if one else axis))
    bias = constant("b", rng.normal(0, 1, dims[axis]).astype(np.float32))
    return single(attrs, [activation("x", shape, "float32"), weights, bias])


LAYERS: dict[str, Callable[[], Graph]] = {
    "conv2d": lambda: layer(Conv2D((1, 1), (1, 1), (1, 1, 1, 1), "relu"), (1, 5, 6, 3), (5, 3, 3, 3)),
    "conv2d, strided": lambda: layer(Conv2D((2, 2), (1, 1), (0, 1, 0, 1)), (1, 6, 6, 4), (4, 3, 3, 4), one=True),
    "depthwise": lambda: layer(DepthwiseConv2D((1, 1), (1, 1), (1, 1, 1, 1)), (1, 5, 5, 4), (1, 3, 3, 4), 3),
    "fully_connected": lambda: layer(FullyConnected(activation="relu6"), (2, 20), (7, 20)),
    "fully_connected, one scale": lambda: layer(FullyConnected(), (1, 33), (6, 33), one=True),
}


@pytest.mark.parametrize("label", LAYERS)
def test_they_mean_scale_times_integer(label):
    graph = LAYERS[label]()
    plain = hybrid.dequantized(graph, WEIGHTED)
    assert plain.tensors[plain.nodes[0].inputs[1]].dtype == "float32"
    cases = random_inputs(graph)
    for case, answer in zip(cases, litert(writer.write(plain), cases), strict=True):
        same(reference(graph, case), answer, "reference against LiteRT with float32 weights")


def test_the_c_keeps_weights_in_int8():
    graph = panel([make() for make in LAYERS.values()])
    check_operator(graph, oracle=False)
    stored = [d.array for d in lower(graph, Recipe()).data if d.role == "weights"]
    assert {a.dtype.name for a in stored} == {"int8"}
    assert len(stored) == len(LAYERS)


@pytest.mark.parametrize("label", [name for name in LAYERS if name != "depthwise"])
def test_litert_which_quantizes_activations_agrees_roughly(label):
    graph = LAYERS[label]()
    cases = random_inputs(graph)
    for case, answer in zip(cases, litert(writer.write(graph), cases), strict=True):
        wanted = reference(graph, case)[0]
        assert np.abs(wanted - answer[0]).max() <= 0.03 * np.abs(wanted).max()


@pytest.mark.parametrize("label", LAYERS)
def test_a_file_keeps_them(label):
    graph = LAYERS[label]()
    again = reader.read(writer.write(graph))
    assert again.tensors["w"].dtype == "int8"
    for case in random_inputs(graph):
        same(reference(again, case), reference(graph, case), "read again")


def test_float_rewrites_leave_such_weights_alone():
    graph = LAYERS["conv2d"]()
    hidden = replace(graph.tensors["out"], name="hidden")
    plain = replace(graph.nodes[0].attrs, activation="none")
    scale = constant("scale", np.linspace(0.5, 2, 5).astype(np.float32))
    nodes = (
        replace(graph.nodes[0], attrs=plain, outputs=("hidden",)),
        replace(graph.nodes[0], name="mul_1", attrs=Mul(), inputs=("hidden", "scale"), outputs=("out",)),
    )
    net = replace(graph, nodes=nodes, tensors={**graph.tensors, "hidden": hidden, "scale": scale})
    ops.check(net)
    made, _ = rules.fold_float(net)
    made, _ = rules.optimise(made)
    assert made.tensors["w"].dtype == "int8"
    cases = random_inputs(net)
    for case, answer in zip(cases, emitted(made, cases), strict=True):
        same(answer, reference(net, case), "after the rewrites")


def test_a_quantizer_sees_float_weights():
    made, _ = prepare(LAYERS["conv2d"]())
    assert {t.dtype for t in made.tensors.values()} == {"float32"}


@pytest.mark.parametrize(("q", "error", "message"), [
    (None, BadInput, "'w' has no quantization parameters"),
    (Quant((0.1,), (3,)), Unsupported, "'w' have a zero point other than 0"),
])  # fmt: skip
def test_weights_without_a_plain_meaning_are_refused(q, error, message):
    graph = LAYERS["fully_connected"]()
    wrong = replace(graph, tensors={**graph.tensors, "w": replace(graph.tensors["w"], quant=q)})
    with pytest.raises(error, match=message):
        ops.check(wrong)
