"""CONV_2D (or any operator that can clamp its output), RELU -> CONV_2D that clamps.

Exact where both outputs share one quantization and, in integers, the clamp equals the activation's arithmetic on
every value that the first operator can give; the match computes all of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from tinycomp import ops, qmath
from tinycomp.ir import Edit, Graph, Node
from tinycomp.ops import relu
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mul import Mul
from tinycomp.ops.sub import Sub
from tinycomp.rewrite import WEIGHTED
from tinycomp.rules.activations import both
from tinycomp.rules.base import every_value, sole_use

ROOT = relu.Relu
HOSTS = (*WEIGHTED, Add, AveragePool2D, MaxPool2D, Mul, Sub)


def match(graph: Graph, node: Node) -> Edit | None:
    """Let the operator before the activation clamp its own output."""
    (hidden,), (out,) = node.inputs, node.outputs
    host = graph.producer(hidden)
    if host is None or not isinstance(host.attrs, HOSTS) or not sole_use(graph, hidden):
        return None
    if graph.tensors[hidden].quant != graph.tensors[out].quant:
        return None
    before = cast(Conv2D, host.attrs).activation  # every host has the field
    fused = both(before, relu.attrs(node).activation)
    if fused is None or not _clamps_alike(graph, node, before, fused):
        return None
    attrs = replace(cast(Conv2D, host.attrs), activation=fused)
    return Edit(remove=(host, node), insert=(replace(host, attrs=attrs, outputs=node.outputs),))


def _clamps_alike(graph: Graph, node: Node, before: str, fused: str) -> bool:
    """Activation after the host's own clamp gives what the fused clamp gives, for every stored value."""
    out = graph.out(node)
    if out.dtype == "float32":
        return True
    values = every_value(out.dtype)
    first = np.clip(values, *qmath.activation_range(before, out.dtype, out.scale, out.zero_point))
    (now,) = ops.operator(node).reference(node, graph, [first])
    then = np.clip(values, *qmath.activation_range(fused, out.dtype, out.scale, out.zero_point))
    return np.array_equal(now, then)
