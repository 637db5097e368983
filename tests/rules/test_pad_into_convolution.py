"""PAD of height and width becomes the padding of the convolution behind it, where that is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.rules.nets import Net, matches, ops_of, random_batch, rewritten, rule
from tests.support import emitted, needs_cc, quant, reference, same
from tinycomp.ir import DType, Graph
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mean import Mean
from tinycomp.ops.pad import Pad
from tinycomp.rewrite import apply_rules
from tinycomp.rules import EXACT

Paddings = tuple[tuple[int, int], ...]
RULE = rule("pad_into_convolution")
PADDINGS = [((0, 0), (1, 1), (1, 1), (0, 0)), ((0, 0), (0, 1), (0, 1), (0, 0)), ((0, 0), (1, 0), (0, 2), (0, 0))]


def padded(kind: str, paddings: Paddings = PADDINGS[0], dtype: DType = "int8", own: int = 0) -> Graph:
    """PAD, then a convolution of stride 2 with padding of its own."""
    net = Net(dtype)
    p = net.op(Pad(paddings), net.input(1, 6, 7, 3))
    attrs = {"stride": (2, 2), "padding": (own, 0, own, 0)}
    return net.graph(net.conv(p, 4, (3, 3), **attrs) if kind == "conv" else net.depthwise(p, **attrs))


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("paddings", PADDINGS)
@pytest.mark.parametrize("own", [0, 1])
@pytest.mark.parametrize("kind", ["conv", "depthwise"])
def test_padding_moves_into_the_convolution(kind, paddings, own, dtype):
    after = rewritten(padded(kind, paddings, dtype, own), RULE)
    (_, (top, bottom), (left, right), _) = paddings
    assert [node.attrs.padding for node in after.nodes] == [(top + own, bottom, left + own, right)]


@needs_cc
@pytest.mark.parametrize("kind", ["conv", "depthwise"])
def test_the_c_of_a_convolution_with_uneven_padding_computes_the_same(kind):
    before = padded(kind, PADDINGS[2])
    after, _ = apply_rules(before, EXACT)
    assert len(after.nodes) == 1
    cases = [[x] for x in random_batch(before)[0][:3, None]]
    for k, answer in enumerate(emitted(after, cases)):
        same(answer, reference(before, cases[k]), f"case {k}")


@pytest.mark.parametrize("border", [(3, 0), (0, 3)])
def test_no_border_as_wide_as_the_kernel(border):
    assert not matches(padded("conv", ((0, 0), border, (1, 1), (0, 0))), RULE)
    assert not matches(padded("conv", ((0, 0), (1, 1), border, (0, 0))), RULE)


def test_no_padding_of_channels():
    assert not matches(padded("conv", ((0, 0), (1, 1), (1, 1), (0, 1))), RULE)


def test_no_padding_of_the_batch():
    assert not matches(padded("conv", ((0, 1), (1, 1), (1, 1), (0, 0))), RULE)


@pytest.mark.parametrize(("dtype", "fill"), [("int8", -4), ("int8", 0), ("float32", 0.5)])
def test_no_fill_other_than_the_zero_point(dtype, fill):
    net = Net(dtype)
    x = net.input(1, 6, 7, 3)
    value = net.constant(np.array(fill, dtype), net.quant())
    assert not matches(net.graph(net.conv(net.op(Pad(PADDINGS[0]), x, value), 4, (3, 3))), RULE)


@pytest.mark.parametrize(("dtype", "fill"), [("int8", -3), ("float32", 0.0)])
def test_a_stated_fill_of_the_zero_point_is_as_good_as_none(dtype, fill):
    net = Net(dtype)
    x = net.input(1, 6, 7, 3)
    value = net.constant(np.array(fill, dtype), net.quant())
    after = rewritten(net.graph(net.conv(net.op(Pad(PADDINGS[0]), x, value), 4, (3, 3))), RULE)
    assert ops_of(after) == ["conv2d"]


@pytest.mark.parametrize("q", [quant(0.06, -3), quant(0.05, -2)], ids=["scale", "zero point"])
def test_no_change_of_quantization_across_the_pad(q):
    graph = padded("conv")
    hidden = graph.nodes[0].outputs[0]
    changed = replace(graph, tensors={**graph.tensors, hidden: replace(graph.tensors[hidden], quant=q)})
    assert not matches(changed, RULE)


@pytest.mark.parametrize("kind", [AveragePool2D, MaxPool2D])
def test_never_into_a_pool(kind):
    net = Net()
    graph = net.graph(net.op(kind((3, 3)), net.op(Pad(PADDINGS[0]), net.input(1, 6, 7, 3))))
    after, records = apply_rules(graph, EXACT)
    assert ops_of(after) == ["pad", graph.nodes[1].op]
    assert records == []


def test_no_fold_where_somebody_else_reads_the_padded_tensor():
    net = Net()
    p = net.op(Pad(PADDINGS[0]), net.input(1, 6, 7, 3))
    assert not matches(net.graph(net.conv(p, 4, (3, 3)), net.op(Mean((1, 2)), p)), RULE)


def test_no_fold_where_the_padded_tensor_is_an_output():
    net = Net()
    p = net.op(Pad(PADDINGS[0]), net.input(1, 6, 7, 3))
    assert not matches(net.graph(net.conv(p, 4, (3, 3)), p), RULE)
