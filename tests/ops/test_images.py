"""Convolutions and pools of several images: no window reaches from one image into the next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.op_graphs import convolution, pooled, unary
from tests.ops.elementwise import check_reference
from tests.support import emitted, random_inputs, reference, same
from tinycomp import ops, rules
from tinycomp.errors import Unsupported
from tinycomp.ir import Graph
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.max_pool2d import MaxPool2D

# Layers of one image, whether those of several have to be taken apart.
LAYERS = {
    "padding": (lambda: convolution(Conv2D((1, 1), (1, 1), (1, 1, 1, 1)), 2, 3, 3, 3), True),
    "fewer rows": (lambda: convolution(Conv2D(), 2, 2, 3, 3), True),
    "pointwise": (lambda: convolution(Conv2D(), 2, 1, 1, 3), False),
    "rows go evenly": (lambda: convolution(Conv2D((2, 2)), 2, 2, 2, 3), False),
    "depthwise": (lambda: convolution(DepthwiseConv2D((2, 1), (1, 1), (0, 1, 1, 1)), 1, 3, 3, 3), True),
    "float32": (lambda: unary(AveragePool2D((3, 3), (1, 1), (1, 1, 1, 1)), "float32"), True),
    "average": (lambda: pooled(AveragePool2D((3, 3), (1, 1), (1, 1, 1, 1))), True),
    "maximum": (lambda: pooled(MaxPool2D((2, 2), (2, 2))), False),
}


def batched(graph: Graph, count: int = 3) -> Graph:
    """The layer on several images."""
    ends = {name: replace(t, shape=(count, *t.shape[1:])) for name, t in graph.tensors.items() if t.data is None}
    made = replace(graph, tensors={**graph.tensors, **ends})
    ops.check(made)
    return made


@pytest.mark.parametrize("label", LAYERS)
def test_every_image_is_computed_as_if_it_were_alone(label):
    make, apart = LAYERS[label]
    graph = batched(make())
    cases = random_inputs(graph)
    check_reference(graph, cases)
    made, _ = rules.optimise(graph)
    assert ({n.op for n in made.nodes} >= {"strided_slice", "concatenation"}) == apart
    for k, answer in enumerate(emitted(made, cases)):
        same(answer, reference(graph, cases[k]), f"C, case {k}")


def test_what_was_not_taken_apart_is_refused():
    graph = batched(LAYERS["padding"][0]())
    access = ops.operator(graph.nodes[0]).access
    assert access is not None
    with pytest.raises(Unsupported, match="its windows reach from one of 3 images of 'x' into the next"):
        access(graph.nodes[0], graph)
