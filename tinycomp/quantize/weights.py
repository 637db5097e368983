"""Weights and biases as integers: weights symmetric with a scale for each output, biases at scale_x · scale_w."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinycomp.ir import NUMPY, Graph, Node, Quant, Tensor
from tinycomp.quantize.observe import Floats
from tinycomp.quantize.precision import INT8, NUMBERS, Numbers, Precision
from tinycomp.quantize.rules import rule_of

OFF_GRID = 1e-2  # steps that float32 may put a weight beside its grid
CLIPS = np.linspace(0.5, 1.0, 26)  # fractions of a channel's largest weight that are tried


@dataclass(frozen=True, eq=False)
class Layer:
    """A weighted node as a matrix: weights [channels, taps], bias [channels], one row for each output channel.

    grid [channels]: the scales that all weights are whole multiples of, where they were trained so.
    """

    node: Node
    axis: int
    weights: Floats
    bias: Floats
    numbers: Numbers = INT8
    grid: Floats | None = None

    @property
    def lowest(self) -> int:
        """The least integer of a weight: a trained one may be one lower."""
        return -self.numbers.top - (self.grid is not None)


@dataclass(frozen=True, eq=False)
class Integers:
    """q [channels, taps] with real weight = scale[channel] · q, and bias [channels] at scale_x · scale."""

    q: Floats
    scale: Floats
    bias: Floats


def layer_of(node: Node, graph: Graph, precision: Precision = "int8") -> Layer:
    """The node's weights as a matrix, and what they will be."""
    rule = rule_of(node)
    assert rule is not None  # the caller has looked
    weights, bias = (np.asarray(graph.constant(name), np.float64) for name in node.inputs[1:])
    rows = np.moveaxis(weights, rule.axis, 0)
    rows, numbers = rows.reshape(rows.shape[0], -1), NUMBERS[precision]
    return Layer(node, rule.axis, rows, bias, numbers, _grid(graph.tensors[node.inputs[1]], rule.axis, rows, numbers))


def _grid(w: Tensor, axis: int, rows: Floats, numbers: Numbers) -> Floats | None:
    """The scales [channels] that the weights say they lie on, where they do: a pass may have changed them since, and
    there may be fewer bits now."""
    if w.quant is None or any(w.quant.zero_point) or (w.quant.per_channel and w.quant.axis != axis):
        return None
    scale = np.broadcast_to(np.array(w.quant.scale), len(rows))
    steps = rows / scale[:, None]
    whole = np.rint(steps)
    lies = bool((np.abs(steps - whole) < OFF_GRID).all())
    return scale if lies and -numbers.top - 1 <= whole.min() and whole.max() <= numbers.top else None


def scales(layer: Layer, scale_x: float, scale_out: float, per_channel: bool = True) -> Floats:
    """The smallest scale of each channel that holds its weights and its bias; one for all unless `per_channel`.

    Weights that lie on a grid keep its scales, if these hold the bias.
    """
    most = scale_x * layer.numbers.bias_top
    grid = layer.grid if per_channel or layer.grid is None or np.ptp(layer.grid) == 0 else None
    if grid is not None and bool((np.abs(layer.bias) <= most * grid).all()):
        return grid
    largest = np.abs(layer.weights).max(axis=1) / layer.numbers.top
    found = np.maximum(largest, np.abs(layer.bias) / most)
    empty = largest == 0  # the bias alone: any scale that resolves it
    found[empty] = np.maximum(found[empty], scale_out / scale_x * 2.0**-8)
    if not per_channel:
        found[:] = found.max()
    return as_float32(found)


def clipped_scales(layer: Layer, scale: Floats, importance: Floats, per_channel: bool = True) -> Floats:
    """Scales of least weighted squared error, weights beyond the largest integer clipped.

    importance [taps] or [channels, taps]: the mean square of what each weight multiplies.
    """
    lowest = scale * CLIPS[0]
    best, least = scale, _error(layer, scale, importance, per_channel)
    for fraction in CLIPS[:-1]:
        tried = as_float32(np.maximum(scale * fraction, lowest))
        error = _error(layer, tried, importance, per_channel)
        better = error < least
        best, least = np.where(better, tried, best), np.minimum(error, least)
    return best


def _error(layer: Layer, scale: Floats, importance: Floats, per_channel: bool) -> Floats:
    q = nearest(layer, scale)
    error = (importance * (layer.weights - scale[:, None] * q) ** 2).sum(axis=1)
    return error if per_channel else np.full_like(error, error.sum())


def nearest(layer: Layer, scale: Floats) -> Floats:
    """The nearest integers that the weights' dtype holds, without the lowest unless it was trained so."""
    return np.clip(np.rint(layer.weights / scale[:, None]), layer.lowest, layer.numbers.top)


def rounded(layer: Layer, scale: Floats, scale_x: float) -> Integers:
    """The layer with every weight and bias at its nearest integer."""
    return Integers(nearest(layer, scale), scale, bias_integers(layer, layer.bias, scale, scale_x))


def bias_integers(layer: Layer, bias: Floats, scale: Floats, scale_x: float) -> Floats:
    """The nearest integers of the bias's dtype at scale_x · scale."""
    top = 2 * layer.numbers.bias_top - 1
    return np.clip(np.rint(bias / (scale_x * scale)), -top, top)


def tensors(layer: Layer, made: Integers, graph: Graph, scale_x: float) -> tuple[Tensor, Tensor]:
    """The weights and the bias as constants of their own names."""
    (w, b), numbers = graph.ins(layer.node)[1:3], layer.numbers
    channels = len(made.scale)
    one = channels == 1 or bool((made.scale == made.scale[0]).all())
    scale = tuple(float(s) for s in (made.scale[:1] if one else made.scale))
    order = [d for i, d in enumerate(w.shape) if i != layer.axis]
    data = np.moveaxis(made.q.reshape(channels, *order), 0, layer.axis).astype(np.int8)
    bias_scale = tuple(float(np.float32(scale_x * s)) for s in scale)
    zeros = (0,) * len(scale)
    return (
        replace(w, dtype=numbers.weights, data=np.ascontiguousarray(data), quant=Quant(scale, zeros, layer.axis)),
        replace(b, dtype=numbers.bias, data=made.bias.astype(NUMPY[numbers.bias]), quant=Quant(bias_scale, zeros, 0)),
    )


def as_float32(values: Floats) -> Floats:
    """The values that a file holds."""
    return values.astype(np.float32).astype(np.float64)
