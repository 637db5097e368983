"""FULLY_CONNECTED: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

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
)
from tinycomp import qmath
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Tensor
from tinycomp.ops import fully_connected
from tinycomp.ops.base import Source
from tinycomp.ops.fully_connected import FullyConnected

# input shape, outputs, inner, keep_dims, activation, access
GRID = [
    pytest.param((1, 16), 4, 16, False, "none", "window", id="one vector"),
    pytest.param((1, 7), 6, 7, False, "relu", "window", id="outputs not a multiple of four"),
    pytest.param((3, 9), 5, 9, False, "relu6", "window", id="a batch"),
    pytest.param((1, 1), 1, 1, False, "none", "window", id="one element"),
    pytest.param((1, 3, 2, 4), 3, 24, False, "relu_n1_to_1", "whole", id="a flattened image"),
    pytest.param((1, 3, 2, 4), 3, 4, False, "none", "whole", id="vectors inside the rows of an image"),
    pytest.param((1, 5, 8), 7, 8, True, "none", "window", id="a sequence, dimensions kept"),
    pytest.param((1, 2, 3, 4), 5, 4, True, "relu", "window", id="an image, dimensions kept: three vectors in a row"),
    pytest.param((6,), 2, 6, False, "none", "window", id="a vector without a batch"),
    pytest.param((1, 1, 1, 8), 10, 8, False, "none", "window", id="after a global pool"),
]


def dense(shape: tuple[int, ...], o: int, inner: int, keep: bool, act: str, dtype: str = "int8", zero: int = -128,
          scales: int | None = None, bias_reach: int = 3000) -> Graph:  # fmt: skip
    """A graph of one dense layer with random weights; `scales`: 1 for per-tensor, o (the default) for per-channel."""
    rng = np.random.default_rng(o * 100 + inner)
    attrs = FullyConnected(keep, act)
    if dtype == "float32":
        weights = constant("w", rng.normal(0, 1, (o, inner)).astype(np.float32))
        bias = constant("b", rng.normal(0, 1, o).astype(np.float32))
        return single(attrs, [activation("x", shape, "float32"), weights, bias])
    x = activation("x", shape, "int8", quant(0.05, zero))
    steps = list(rng.uniform(0.001, 0.03, o if scales is None else scales))
    weights = constant("w", rng.integers(-127, 128, (o, inner)).astype(np.int8), per_channel(steps))
    bias = rng.integers(-bias_reach, bias_reach, o).astype(np.int32)
    given = Tensor("b", (o,), "int32", per_channel([0.05 * s for s in steps]), bias)
    return single(attrs, [x, weights, given], out_quant=quant(0.13, 3))


@pytest.mark.parametrize(("shape", "o", "inner", "keep", "act", "access"), GRID)
@pytest.mark.parametrize("kind", ["int8 per channel", "int8 per tensor", "float32"])
def test_every_kernel_row_computes_what_tflite_micro_computes(shape, o, inner, keep, act, access, kind):
    graph = dense(shape, o, inner, keep, act, kind.split()[0], scales=1 if kind == "int8 per tensor" else None)
    assert fully_connected.OPERATOR.access is not None
    assert fully_connected.OPERATOR.access(graph.nodes[0], graph).kind == access
    check_operator(graph)


@pytest.mark.parametrize("zero", [-128, 0, 127])
@pytest.mark.parametrize("scales", [1, 5])
def test_zero_points_at_the_ends_of_the_range(zero, scales):
    check_operator(dense((2, 30), 5, 30, False, "none", zero=zero, scales=scales))


@pytest.mark.parametrize("scales", [1, 5])
def test_accumulators_that_wrap_do_so_in_defined_c(scales):
    check_operator(dense((1, 30), 5, 30, False, "none", zero=127, scales=scales, bias_reach=2**31 - 1))


def _boundaries(m: qmath.Multiplier, other: qmath.Multiplier) -> list[int]:
    """Accumulators that the two multipliers, adjacent in the last bit, turn into different integers."""

    def first(multiplier: qmath.Multiplier, wanted: int) -> int:
        low, high = 0, 2**27
        while low < high:
            mid = (low + high) // 2
            low, high = (low, mid) if int(qmath.requantize(mid, *multiplier)) >= wanted else (mid + 1, high)
        return low

    pairs = [(first(m, n), first(other, n)) for n in range(2, 100)]
    return [min(pair) for pair in pairs if pair[0] != pair[1]]


@pytest.mark.parametrize("per_tensor", [True, False])
def test_the_product_of_scales_is_taken_in_double(per_tensor):
    rng = np.random.default_rng(1)
    found: list[int] = []
    while len(found) < 2:
        x, w = (float(np.float32(v)) for v in rng.uniform(0.5, 1, 2) * [0.02, 0.01])
        out = float(np.float32(2**24 * x * w / 120))
        double = qmath.quantize_multiplier(x * w / out)
        single_precision = qmath.quantize_multiplier(float(np.float32(x) * np.float32(w)) / out)
        found = _boundaries(double, single_precision)
    o = len(found)
    scales = per_channel([w] if per_tensor else [w] * o)
    bias = Tensor("b", (o,), "int32", per_channel([x * s for s in scales.scale]), np.array(found, np.int32))
    weights = constant("w", np.zeros((o, 2), np.int8), scales)
    graph = single(FullyConnected(), [activation("x", (1, 2), "int8", quant(x)), weights, bias], out_quant=quant(out))
    check_operator(graph)
    wrong = qmath.requantize(found, *single_precision)
    assert (reference(graph, [np.zeros((1, 2), np.int8)])[0] != wrong).all(), "these accumulators tell nothing"


def test_a_larger_batch_than_the_graphs_is_computed_alike():
    for graph in (dense((1, 3, 8), 5, 8, True, "none"), dense((1, 3, 2, 4), 3, 24, False, "none")):
        cases = [np.concatenate(xs) for xs in zip(*random_inputs(graph), strict=True)]
        (batch,) = reference(graph, cases)
        same([batch[2:3]], reference(graph, [cases[0][2:3]]), "batch")


def test_the_declared_output_shape_decides_whether_dimensions_are_kept():
    graph = dense((1, 3, 8), 5, 8, True, "none")
    x, w, _ = graph.ins(graph.nodes[0])
    read = fully_connected.OPERATOR.codecs[0].read
    for shape, keep in (((1, 3, 5), True), ((3, 5), False)):
        for option in (True, False):
            out = activation("out", shape, "int8", quant(0.1))
            parsed = read(Source("fc_0", "FULLY_CONNECTED", {"keep_num_dims": option}, (x, w, None), (out,)))
            assert parsed.attrs == FullyConnected(keep)
            assert parsed.inputs[2].shape == (5,)


def test_what_cannot_be_meant_is_refused_by_name():
    graph = dense((1, 8), 5, 8, False, "none")
    x, w, b = graph.ins(graph.nodes[0])
    read = fully_connected.OPERATOR.codecs[0].read
    with pytest.raises(Unsupported, match="shuffled"):
        read(Source("fc_0", "FULLY_CONNECTED", {"weights_format": 1}, (x, w, b), (graph.out(graph.nodes[0]),)))
    with pytest.raises(BadInput, match="no sequence of vectors for the weights 'w'"):
        single(FullyConnected(), [activation("x", (1, 9), "int8", quant(0.1)), w, b], out_quant=quant(0.1))
    with pytest.raises(Unsupported, match="zero point other than 0"):
        single(FullyConnected(), [x, replace(w, quant=quant(0.1, 1)), b], out_quant=quant(0.1))
    with pytest.raises(Unsupported, match="is float32, expected int32"):
        single(FullyConnected(), [x, w, constant("b", np.zeros(5, np.float32))], out_quant=quant(0.1))
