"""FAKE_QUANT: the reference against LiteRT, its expansion and the C of that against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support import activation, check_operator, constant, litert, reference, same, single
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Graph, Quant, apply
from tinycomp.ops.fake_quant import FakeQuant, expand, steps, trained_steps
from tinycomp.tflite import reader, writer

RANGES = [(-1.0, 1.0), (0.0, 6.0), (-3.3, 0.4), (0.2, 5.0), (-7.0, -1.0), (-1e-3, 2e-3)]


def rounded(low: float, high: float, narrow: bool = False) -> Graph:
    """One FAKE_QUANT of 300 values; narrow ones stand on a constant, as on weights."""
    x = np.linspace(2 * low - 0.0137, 2 * high + 0.0171, 300).astype(np.float32).reshape(3, 100)
    given = constant("x", x) if narrow else activation("x", x.shape, "float32", None)
    return single(FakeQuant(low, high, narrow), [given], out_quant=None)


def spread(graph: Graph) -> Array:
    """Values over twice the range, none half way between two steps."""
    a = graph.nodes[0].attrs
    assert isinstance(a, FakeQuant)
    whole = np.linspace(-140, 400, 300).round() + np.random.default_rng(0).uniform(-0.4, 0.4, 300)
    return (a.low + whole * (a.high - a.low) / 255).astype(np.float32).reshape(3, 100)


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_the_reference_answers_as_litert(low, high):
    graph = rounded(low, high)
    x, scale = spread(graph), steps(FakeQuant(low, high)).scale[0]
    answer = litert(writer.write(graph), [[x]])[0][0]
    found = reference(graph, [x])[0]
    near_half = np.abs(np.abs(x / scale - np.rint(x / scale)) - 0.5) < 0.1  # nudging moves the halves
    np.testing.assert_allclose(found[~near_half], answer[~near_half], rtol=1e-5, atol=1e-6 * scale)
    assert np.abs(found - answer).max() <= 1.001 * scale
    assert near_half.mean() < 0.35


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_quantize_and_dequantize_are_the_same(low, high):
    graph = rounded(low, high)
    same(reference(apply(graph, expand(graph.nodes[0], graph)), [spread(graph)]), reference(graph, [spread(graph)]), "")


def test_the_c_answers_as_the_reference():
    graph = rounded(-3.3, 0.4)
    check_operator(graph, [[spread(graph)]], oracle=False)


@pytest.mark.parametrize(("narrow", "wanted"), [(False, Quant((2 / 255,), (127,))), (True, Quant((2 / 254,), (128,)))])
def test_the_range_is_nudged_until_0_is_a_step(narrow, wanted):
    found = steps(FakeQuant(-1.0, 1.0, narrow))
    assert found.zero_point == wanted.zero_point
    assert found.scale == pytest.approx(wanted.scale)


def test_constants_are_folded_and_their_steps_are_known():
    graph = rounded(-1.0, 1.0, narrow=True)
    node = graph.nodes[0]
    assert trained_steps(node, graph) == Quant(steps(FakeQuant(-1.0, 1.0, True)).scale, (0,))
    made = reader.read(writer.write(replace(graph, outputs=("out",))))
    data = made.tensors[made.outputs[0]].data
    assert data is not None
    whole = data / np.float32(2 / 254)
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-3)
    assert (np.rint(whole).min(), np.rint(whole).max()) == (-127, 127)


def test_narrow_ranges_of_activations_are_refused():
    with pytest.raises(Unsupported, match="narrow_range"):
        single(FakeQuant(-1.0, 1.0, True), [activation("x", (1, 4), "float32", None)], out_quant=None)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_a_range_that_is_none_is_refused(low, high):
    with pytest.raises(BadInput, match="is none"):
        reader.read(writer.write(rounded(low, high)))
