"""What is left of a pruned graph, layer by layer, brought nearest to the graph that it was pruned from.

From the first layer to the last, least squares moves the weights and the bias so that the layer, on what the pruned
graph feeds it, computes what the whole graph's layer did: the closed-form repair of Y. He et al., Channel Pruning for
Accelerating Very Deep Neural Networks (ICCV 2017), for every weighted layer instead of the next one alone. What RELU
cuts off need not be right: where both graphs are below 0 there is no error, so the aim moves there after each pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from tinycomp.ir import Array, Graph, Node, Tensor
from tinycomp.ops.base import clamp_real
from tinycomp.ops.conv2d import Conv2D
from tinycomp.quantize import reconstruct, sample, weights
from tinycomp.quantize.calibrate import batch_size, stacked
from tinycomp.quantize.rules import rule_of
from tinycomp.quantize.values import Values
from tinycomp.rules.groups import store
from tinycomp.rules.ties import Kept

RIDGE = 1e-3  # on the change of the weights, relative to the mean power of a layer's inputs


@dataclass(frozen=True)
class Effort:
    """rows: output positions of all cases that a layer is fitted to. passes: how often the aim below RELU moves."""

    rows: int = sample.ROWS
    passes: int = 2


@dataclass(frozen=True)
class Teacher:
    """The whole graph and its values on the cases: of weighted layers before the activation, by node name."""

    graph: Graph
    inputs: Sequence[Array]
    cases: int
    wanted: dict[str, Array]

    @classmethod
    def of(cls, graph: Graph, inputs: Sequence[Array]) -> Teacher:
        """Run the graph. inputs: [cases, *shape] for each; cases must be stackable."""
        together = stacked(inputs)
        values, size = Values.of(graph, len(inputs[0]), together), batch_size(graph)
        wanted: dict[str, Array] = {}
        for node in graph.nodes:
            if is_layer(node, graph):
                attrs = cast(Conv2D, node.attrs)
                (wanted[node.name],) = values.run(replace(node, attrs=replace(attrs, activation="none")), size)
                values.store(node, (clamp_real(wanted[node.name], attrs.activation),))
            else:
                values.store(node, values.run(node, size))
        return cls(graph, together, len(inputs[0]), wanted)


def repair(student: Graph, teacher: Teacher, keep: Kept, effort: Effort) -> Graph:
    """The student with new constants.

    student: the teacher's graph without the channels that `keep`, by tensor name, leaves out, its nodes by the same
    names.
    """
    size = batch_size(teacher.graph)
    values = Values.of(student, teacher.cases, teacher.inputs)
    tensors, nodes = dict(student.tensors), list[Node]()
    for node in student.nodes:
        if is_layer(node, student):
            mask, wanted = keep.get(node.outputs[0]), teacher.wanted[node.name]
            pair = _fitted(node, values, wanted if mask is None else wanted[..., mask], effort)
            node = replace(node, inputs=(node.inputs[0], *(store(student, tensors, t) for t in pair)))
        nodes.append(node)
        values.store(node, values.run(node, size, replace(student, tensors=tensors)))
    return replace(student, tensors=tensors, nodes=tuple(nodes))


def is_layer(node: Node, graph: Graph) -> bool:
    """A node whose weights least squares can move."""
    rule = rule_of(node)
    return rule is not None and rule.kind == "weighted" and sample.can_be_sampled(node, graph)


def _fitted(node: Node, values: Values, wanted: Array, effort: Effort) -> tuple[Tensor, Tensor]:
    """Weights and bias of least error."""
    attrs, size = cast(Conv2D, node.attrs), batch_size(values.graph)
    made = _least_squares(node, values, wanted, effort.rows)
    linear = replace(node, attrs=replace(attrs, activation="none"))
    for _ in range(effort.passes if attrs.activation == "relu" else 0):
        tensors = {**values.graph.tensors, **{t.name: t for t in made}}
        (found,) = values.run(linear, size, replace(values.graph, tensors=tensors))
        aim = np.where(wanted > np.float32(0), wanted, np.minimum(found, np.float32(0)))
        made = _least_squares(node, values, aim, effort.rows)
    return made


def _least_squares(node: Node, values: Values, wanted: Array, positions: int) -> tuple[Tensor, Tensor]:
    """Weights and bias for one aim, `wanted` like the layer's output before its activation."""
    graph, rule = values.graph, rule_of(node)
    x, w, b = graph.ins(node)
    assert rule is not None  # the caller has looked
    layer, held = weights.layer_of(node, graph), values.held[x.name]
    every = reconstruct.average(
        sample.layer_moments(node, graph, held, sample.plain(x), wanted, values.cases, positions)
    )
    made = reconstruct.with_best_bias(reconstruct.moved(sample.by_groups(layer), every, RIDGE), every)
    rows = sample.by_channels(node, made[:, :-1])
    order = [d for i, d in enumerate(w.shape) if i != rule.axis]
    data = np.moveaxis(rows.reshape(len(rows), *order), 0, rule.axis)
    bias = sample.by_channels(node, made[:, -1:])[:, 0]
    return (replace(w, data=np.ascontiguousarray(data, np.float32)), replace(b, data=bias.astype(np.float32)))
