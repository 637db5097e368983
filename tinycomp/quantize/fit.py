"""All layers of an integer graph, one after the other, each fitted to what the float graph computes on the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from tinycomp.ir import Array, Graph, Node, fresh
from tinycomp.ops.base import clamp_real
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.quantize import reconstruct, sample, weights
from tinycomp.quantize.calibrate import Progress, batch_size, stacked
from tinycomp.quantize.observe import Floats
from tinycomp.quantize.precision import INT8, Precision
from tinycomp.quantize.reconstruct import Moments
from tinycomp.quantize.rules import rule_of
from tinycomp.quantize.scheme import Scheme
from tinycomp.quantize.to_int8 import as_inputs, to_int8
from tinycomp.quantize.values import Values
from tinycomp.quantize.weights import Integers, Layer

COARSE_CLIPS = np.linspace(0.5, 1.0, 11)  # of the largest weight: scales that are tried for fewer than 8 bits
MOST_TAPS = 2304  # 3 × 3 × 256: above, rounding for the output would take minutes; the bias is corrected alone


@dataclass(frozen=True)
class Settings:
    """What is done to each layer.

    rounding: weights are moved and rounded for the output, and the bias with them. bias: the bias alone. clip: a scale
    of least error instead of the largest weight's, where weights are rounded to nearest.
    """

    rounding: bool = False
    bias: bool = False
    clip: bool = False
    per_channel_dense: bool = True

    @property
    def needs_data(self) -> bool:
        """Layers are fitted to data."""
        return self.rounding or self.bias or self.clip

    def per_channel(self, node: Node, precision: Precision, graph: Graph) -> bool:
        """The node's weights have a scale for each output. TensorFlow Lite Micro takes one for int4 dense layers."""
        if not isinstance(node.attrs, FullyConnected):
            return True
        return self.per_channel_dense and not (precision == "int4" and graph.reference == "tflm")


def nearest(graph: Graph, scheme: Scheme, settings: Settings) -> dict[str, Integers]:
    """The integers of every weighted layer that does not stay float32, each at its nearest, without data."""
    found: dict[str, Integers] = {}
    for node in graph.nodes:
        if is_layer(node, scheme):
            (x, out), chosen = scheme.scales(node), scheme.precisions[node.name]
            layer = weights.layer_of(node, graph, chosen)
            scale = weights.scales(layer, x, out, settings.per_channel(node, chosen, graph))
            found[node.name] = weights.rounded(layer, scale, x)
    return found


def fit(
    graph: Graph, scheme: Scheme, inputs: Sequence[Array], settings: Settings, progress: Progress = lambda done: None
) -> dict[str, Integers]:
    """The integers of every weighted layer that does not stay float32, by node name.

    graph: the float graph, whose cases can be stacked. inputs: [cases, *shape] for each. progress: takes how many nodes
    are done.
    """
    return {name: made for name, made, _ in _walk(graph, scheme, inputs, settings, {}, progress)}


def fit_alternatives(
    graph: Graph, scheme: Scheme, inputs: Sequence[Array], settings: Settings, other: Mapping[str, Precision]
) -> tuple[dict[str, Integers], dict[str, Integers]]:
    """What `fit` finds, and for the nodes of `other` the integers of that precision beside it, of the same inputs."""
    found = list(_walk(graph, scheme, inputs, settings, other))
    return {name: made for name, made, _ in found}, {name: made for name, _, made in found if made is not None}


def _walk(
    graph: Graph, scheme: Scheme, inputs: Sequence[Array], settings: Settings, other: Mapping[str, Precision],
    progress: Progress = lambda done: None,
) -> Iterator[tuple[str, Integers, Integers | None]]:  # fmt: skip
    """Layer by layer its name and its integers, and those of another precision where there is one."""
    quantized = to_int8(graph, scheme, {})
    cases, size = len(inputs[0]), batch_size(graph)
    together = stacked(inputs)
    floats = Values.of(graph, cases, together)
    integers = Values.of(quantized, cases, as_inputs(quantized, together))
    sources = {n.name: n for n in graph.nodes}
    for done, node in enumerate(quantized.nodes):
        source, now = sources.get(node.name), quantized
        if source is not None and is_layer(source, scheme):
            attrs, chosen = cast(Conv2D, source.attrs), scheme.precisions[source.name]
            (wanted,) = floats.run(replace(source, attrs=replace(attrs, activation="none")), size)
            made = _fitted(source, node, floats, integers, wanted, settings, chosen)
            beside = other.get(node.name)
            yield node.name, made, beside and _fitted(source, node, floats, integers, wanted, settings, beside)
            floats.store(source, (clamp_real(wanted, attrs.activation),))
            node, now = _with_integers(node, weights.layer_of(source, graph, chosen), made, graph, quantized)
        elif source is not None:
            floats.store(source, floats.run(source, size))
        integers.store(quantized.nodes[done], integers.run(node, size, now))
        progress(done + 1)


def is_layer(node: Node, scheme: Scheme) -> bool:
    """A node with weights that become integers."""
    rule = rule_of(node)
    return rule is not None and rule.kind == "weighted" and node.name in scheme.precisions.keys() - scheme.kept


def _with_integers(node: Node, layer: Layer, made: Integers, graph: Graph, quantized: Graph) -> tuple[Node, Graph]:
    """The integer node with these weights, in a graph that holds them under names of their own."""
    x = quantized.ins(node)[0]
    pair = weights.tensors(layer, made, graph, x.scale)
    named = [replace(t, name=fresh(quantized, f"{t.name}_fitted")) for t in pair]
    tensors = {**quantized.tensors, **{t.name: t for t in named}}
    return replace(node, inputs=(node.inputs[0], *(t.name for t in named))), replace(quantized, tensors=tensors)


def _fitted(
    source: Node, node: Node, floats: Values, integers: Values, wanted: Array, settings: Settings, chosen: Precision
) -> Integers:
    """One layer's integers."""
    x, out = integers.graph.ins(node)[0], integers.graph.out(node)
    layer = weights.layer_of(source, floats.graph, chosen)
    per_channel = settings.per_channel(source, chosen, floats.graph)
    scale = weights.scales(layer, x.scale, out.scale, per_channel)
    if not settings.needs_data or not sample.can_be_sampled(source, floats.graph):
        return weights.rounded(layer, scale, x.scale)
    stored = integers.held[node.inputs[0]]
    parts = sample.layer_moments(source, floats.graph, stored, x, wanted, floats.cases)
    every = reconstruct.average(parts)
    if settings.rounding and layer.weights.shape[1] <= MOST_TAPS:
        real, ridge = reconstruct.least_squares(sample.by_groups(layer), parts)
        moved = replace(layer, weights=sample.by_channels(source, real), grid=None)
        scale, top = weights.scales(moved, x.scale, out.scale, per_channel), layer.numbers.top
        tried = [weights.as_float32(scale * clip) for clip in (COARSE_CLIPS if top < INT8.top else (1.0,))]
        by_groups = [sample.scale_by_groups(source, s) for s in tried]
        q, best = reconstruct.round_for_output(real, by_groups, every, ridge, top, not per_channel)
        return _integers(layer, q, best.ravel(), every, x.scale)
    if settings.clip:
        power = np.diagonal(every.gram, axis1=1, axis2=2)[:, :-1]
        scale = weights.clipped_scales(layer, scale, power, per_channel)
    if settings.bias or settings.rounding:
        q = sample.by_groups(replace(layer, weights=weights.nearest(layer, scale)))
        return _integers(layer, q, scale, every, x.scale)
    return weights.rounded(layer, scale, x.scale)


def _integers(layer: Layer, q: Floats, scale: Floats, every: Moments, scale_x: float) -> Integers:
    """Integer weights with the bias that is best for them."""
    source = layer.node
    real = reconstruct.with_best_bias(q * sample.scale_by_groups(source, scale)[:, None, :], every)
    bias = sample.by_channels(source, real[:, -1:])[:, 0]
    return Integers(sample.by_channels(source, q), scale, weights.bias_integers(layer, bias, scale, scale_x))
