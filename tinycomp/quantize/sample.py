"""What a layer reads and should write, as moments of sampled output positions."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from tinycomp.ir import Array, Graph, Node, Quant, Tensor
from tinycomp.ops import window
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.quantize.observe import Floats
from tinycomp.quantize.reconstruct import Moments, average, moments
from tinycomp.quantize.weights import Layer
from tinycomp.rules.ties import Indices

ROWS = 16_384  # of all cases' output positions
CHUNK = 16  # cases at a time
FOLDS = 4  # parts of the cases, for cross-validation
SEED = 0


def plain(x: Tensor) -> Tensor:
    """The tensor with float values that stand for themselves, where integers are expected."""
    return replace(x, quant=Quant((1.0,), (0,)))


def can_be_sampled(node: Node, graph: Graph) -> bool:
    """What an output reads is known. Not so for grouped convolutions, where each group has inputs of its own and more
    than one output, nor for transposed ones."""
    x, w, _ = graph.ins(node)
    if isinstance(node.attrs, Conv2D):
        return x.shape[3] == w.shape[3]
    return isinstance(node.attrs, (DepthwiseConv2D, FullyConnected))


def layer_moments(
    node: Node, graph: Graph, stored: Array, x: Tensor, y: Array, cases: int, rows: int = ROWS
) -> list[Moments]:
    """Moments of the layer's inputs and wanted outputs at about `rows` positions, of one part of the cases each.

    node, graph: the layer in the float graph. stored: its input's integers, x the tensor that says what they mean. y:
    the float layer's output before its activation. The leading axes of both hold the cases.
    """
    parts = min(FOLDS, cases)
    rng = np.random.default_rng(SEED)
    inputs, outputs = (a.reshape(cases, -1, *a.shape[1:]) for a in (stored, y))
    positions = outputs[0].size // y.shape[-1]
    picked = min(positions, -(-rows // cases))
    found: list[Moments] = []
    for part in range(parts):
        chosen = np.arange(part, cases, parts)
        sums: list[tuple[int, Moments]] = []
        for start in range(0, len(chosen), CHUNK):
            chunk = chosen[start : start + CHUNK]
            at = _positions(rng, len(chunk), positions, picked)
            real = (inputs[chunk].astype(np.float64) - x.zero_point) * x.scale
            a = _inputs(node, graph, real, at)
            wanted = outputs[chunk].reshape(len(chunk), positions, -1)[np.arange(len(chunk))[:, None], at]
            flat = wanted.reshape(-1, y.shape[-1]).astype(np.float64)
            split = np.ascontiguousarray(flat.T)[:, :, None] if _grouped(node) else flat[None]
            sums.append((len(chunk), moments(a, split)))
        found.append(average([m for _, m in sums], [n for n, _ in sums]))
    return found


def _positions(rng: np.random.Generator, cases: int, positions: int, picked: int) -> Indices:
    """[cases, picked]: output positions of each case, ascending, none twice."""
    shuffled = rng.permuted(np.tile(np.arange(positions), (cases, 1)), axis=1)
    return np.sort(shuffled[:, :picked], axis=1)


def by_groups(layer: Layer) -> Floats:
    """The layer's weights as `reconstruct` takes them, [groups, taps, outputs]."""
    return layer.weights[:, :, None] if _grouped(layer.node) else layer.weights.T[None]


def by_channels(node: Node, values: Floats) -> Floats:
    """[groups, taps, outputs] as rows of channels."""
    return values[:, :, 0] if _grouped(node) else values[0].T


def scale_by_groups(node: Node, scale: Floats) -> Floats:
    """Scales of channels as [groups, outputs]."""
    return scale[:, None] if _grouped(node) else scale[None]


def _grouped(node: Node) -> bool:
    return isinstance(node.attrs, DepthwiseConv2D)


def _inputs(node: Node, graph: Graph, real: Floats, at: Indices) -> Floats:
    """[groups, cases · picked, taps + 1]: what the positions `at` [cases, picked] of each case read, and ones."""
    w, cases = graph.ins(node)[1], np.arange(len(real))[:, None]
    if isinstance(node.attrs, FullyConnected):
        rows = real.reshape(len(real), -1, w.shape[1])[cases, at].reshape(1, -1, w.shape[1])
    else:
        a = cast(Conv2D, node.attrs)
        images = real.reshape(-1, *real.shape[2:])
        seen = window.windows(images, (w.shape[1], w.shape[2]), a.stride, a.dilation, a.padding, 0)
        each, area = len(images) // len(real), seen.shape[1] * seen.shape[2]
        image, place = cases * each + at // area, at % area
        # [cases, picked, kh, kw, C]
        taken = seen[image, place // seen.shape[2], place % seen.shape[2]].astype(np.float64)
        if _grouped(node):
            channels = taken.reshape(-1, w.shape[1] * w.shape[2], taken.shape[-1]).transpose(2, 0, 1)
            multiplier = w.shape[3] // taken.shape[-1]
            rows = np.repeat(channels, multiplier, axis=0) if multiplier > 1 else channels
        else:
            rows = taken.reshape(1, -1, w.shape[1] * w.shape[2] * w.shape[3])
    return np.concatenate([rows, np.ones((*rows.shape[:2], 1))], axis=2)
