"""Weights and biases as integers: symmetric int8 with a scale for each output channel, int32 at scale_x · scale_w."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinycomp.ir import Graph, Node, Quant, Tensor
from tinycomp.quantize.observe import Floats

TOP = 127  # −128 is left out: weights are symmetric, and kernels may pair their products
BIAS_TOP = 2.0**30  # leaves as much again for the products
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
    grid: Floats | None = None

    @property
    def lowest(self) -> int:
        """The least integer of a weight: a trained one may be −128."""
        return -TOP if self.grid is None else -TOP - 1


@dataclass(frozen=True, eq=False)
class Integers:
    """q [channels, taps] with real weight = scale[channel] · q, and bias [channels] at scale_x · scale."""

    q: Floats
    scale: Floats
    bias: Floats


def layer_of(node: Node, graph: Graph, axis: int) -> Layer:
    """The node's weights as a matrix."""
    weights, bias = (np.asarray(graph.constant(name), np.float64) for name in node.inputs[1:])
    rows = np.moveaxis(weights, axis, 0)
    rows = rows.reshape(rows.shape[0], -1)
    return Layer(node, axis, rows, bias, _grid(graph.tensors[node.inputs[1]], axis, rows))


def _grid(w: Tensor, axis: int, rows: Floats) -> Floats | None:
    """The scales [channels] that the weights say they lie on, where they do: a pass may have changed them since."""
    if w.quant is None or any(w.quant.zero_point) or (w.quant.per_channel and w.quant.axis != axis):
        return None
    scale = np.broadcast_to(np.array(w.quant.scale), len(rows))
    steps = rows / scale[:, None]
    whole = np.rint(steps)
    lies = bool((np.abs(steps - whole) < OFF_GRID).all()) and -TOP - 1 <= whole.min() <= whole.max() <= TOP
    return scale if lies else None


def scales(layer: Layer, scale_x: float, scale_out: float, per_channel: bool = True) -> Floats:
    """The smallest scale of each channel that holds its weights and its bias; one for all unless `per_channel`.

    Weights that lie on a grid keep its scales, if these hold the bias.
    """
    if layer.grid is not None and bool((np.abs(layer.bias) <= scale_x * layer.grid * BIAS_TOP).all()):
        return layer.grid
    largest = np.abs(layer.weights).max(axis=1) / TOP
    found = np.maximum(largest, np.abs(layer.bias) / (scale_x * BIAS_TOP))
    empty = largest == 0  # the bias alone: any scale that resolves it
    found[empty] = np.maximum(found[empty], scale_out / scale_x * 2.0**-8)
    if not per_channel:
        found[:] = found.max()
    return as_float32(found)


def clipped_scales(layer: Layer, scale: Floats, importance: Floats, per_channel: bool = True) -> Floats:
    """Scales of least weighted squared error, weights beyond ±127 clipped.

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
    q = nearest(layer.weights, scale, layer.lowest)
    error = (importance * (layer.weights - scale[:, None] * q) ** 2).sum(axis=1)
    return error if per_channel else np.full_like(error, error.sum())


def nearest(weights: Floats, scale: Floats, lowest: int = -TOP) -> Floats:
    """The nearest integers in [lowest, 127]."""
    return np.clip(np.rint(weights / scale[:, None]), lowest, TOP)


def rounded(layer: Layer, scale: Floats, scale_x: float) -> Integers:
    """The layer with every weight and bias at its nearest integer."""
    return Integers(nearest(layer.weights, scale, layer.lowest), scale, bias_integers(layer.bias, scale, scale_x))


def bias_integers(bias: Floats, scale: Floats, scale_x: float) -> Floats:
    """The nearest int32 at scale_x · scale."""
    return np.clip(np.rint(bias / (scale_x * scale)), -(2.0**31) + 1, 2.0**31 - 1)


def tensors(layer: Layer, made: Integers, graph: Graph, scale_x: float) -> tuple[Tensor, Tensor]:
    """The weights and the bias as constants of their own names."""
    w, b = graph.ins(layer.node)[1:3]
    channels = len(made.scale)
    one = channels == 1 or bool((made.scale == made.scale[0]).all())
    scale = tuple(float(s) for s in (made.scale[:1] if one else made.scale))
    order = [d for i, d in enumerate(w.shape) if i != layer.axis]
    data = np.moveaxis(made.q.reshape(channels, *order), 0, layer.axis).astype(np.int8)
    bias_scale = tuple(float(np.float32(scale_x * s)) for s in scale)
    return (
        replace(w, dtype="int8", data=np.ascontiguousarray(data), quant=Quant(scale, (0,) * len(scale), layer.axis)),
        replace(b, dtype="int32", data=made.bias.astype(np.int32), quant=Quant(bias_scale, (0,) * len(scale), 0)),
    )


def as_float32(values: Floats) -> Floats:
    """The values that a file holds."""
    return values.astype(np.float32).astype(np.float64)
