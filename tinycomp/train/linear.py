"""Derivatives of CONV_2D, DEPTHWISE_CONV_2D (shifted products) and FULLY_CONNECTED."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

from tinycomp.ir import Node
from tinycomp.ops import conv2d as conv
from tinycomp.ops import depthwise_attrs, window
from tinycomp.ops import fully_connected as dense_op
from tinycomp.train.step import Reals, Step, clamped

BLOCK_BYTES = 1 << 18  # of a depthwise layer's input that is worked on at once: a core's second cache holds it


def dense(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """FULLY_CONNECTED: x [.., K], weights [O, K], bias [O]."""
    x, w, b = args
    a = dense_op.attrs(node)
    rows = x.reshape(-1, w.shape[1])
    made, before = clamped(rows @ w.T + b, a.activation)
    shape = (*x.shape[:-1], len(w)) if a.keep_dims else made.shape

    def pullback(gradient: Reals) -> tuple[Reals | None, ...]:
        g = before(gradient.reshape(made.shape))
        return (g @ w).reshape(x.shape) if wanted[0] else None, g.T @ rows, g.sum(axis=0)

    return Step(made.reshape(shape), pullback)


def conv2d(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """CONV_2D: x [N, H, W, C], weights [O, kh, kw, C/groups], bias [O]; one matrix product for each group."""
    x, w, b = args
    a = conv.attrs(node)
    groups, kernel = x.shape[3] // w.shape[3], (w.shape[1], w.shape[2])
    seen = cast(Reals, window.windows(x, kernel, a.stride, a.dilation, a.padding, 0.0))
    places = seen.shape[:3]
    taps, outs = w[0].size, len(w) // groups
    columns = [np.ascontiguousarray(seen[..., k * w.shape[3] : (k + 1) * w.shape[3]]).reshape(-1, taps)
               for k in range(groups)]  # fmt: skip
    matrices = [w[k * outs : (k + 1) * outs].reshape(outs, taps) for k in range(groups)]
    products = [c @ m.T for c, m in zip(columns, matrices, strict=True)]
    flat, before = clamped((products[0] if groups == 1 else np.concatenate(products, axis=1)) + b, a.activation)

    def pullback(gradient: Reals) -> tuple[Reals | None, ...]:
        g = before(gradient.reshape(flat.shape))
        parts = [g[:, k * outs : (k + 1) * outs] for k in range(groups)]
        weights = np.concatenate([p.T @ c for p, c in zip(parts, columns, strict=True)]).reshape(w.shape)
        if not wanted[0]:
            return None, weights, g.sum(axis=0)
        spread = [(p @ m).reshape(*places, *kernel, w.shape[3]) for p, m in zip(parts, matrices, strict=True)]
        back = spread[0] if groups == 1 else np.concatenate(spread, axis=5)
        if kernel == (1, 1) and back.shape[:3] == x.shape[:3]:
            return back.reshape(x.shape), weights, g.sum(axis=0)
        padded = np.zeros(padded_shape(x, a.padding), x.dtype)
        for k, t in np.ndindex(kernel):
            padded[shifted(k, t, places, a)] += back[:, :, :, k, t]
        return inner(padded, a.padding), weights, g.sum(axis=0)

    return Step(flat.reshape(*places, len(w)), pullback)


def depthwise(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """DEPTHWISE_CONV_2D: x [N, H, W, C], weights [1, kh, kw, C·multiplier], bias [C·multiplier]."""
    x, w, b = args
    a = depthwise_attrs.attrs(node)
    multiplier, taps = w.shape[3] // x.shape[3], w[0]
    (top, bottom, left, right), repeated = a.padding, np.repeat(x, multiplier, axis=3) if multiplier > 1 else x
    padded = np.pad(repeated, ((0, 0), (top, bottom), (left, right), (0, 0)))
    places = (len(x), *(
        window.output_size(x.shape[i + 1], taps.shape[i], a.stride[i], a.dilation[i], *a.padding[2 * i : 2 * i + 2])
        for i in range(2)
    ))  # fmt: skip
    total = np.empty((*places, w.shape[3]), x.dtype)
    total[:] = b
    for cases in _blocks(padded):
        for k, t in np.ndindex(taps.shape[:2]):
            total[cases] += padded[cases][shifted(k, t, places, a)] * taps[k, t]
    made, before = clamped(total, a.activation)

    def pullback(gradient: Reals) -> tuple[Reals | None, ...]:
        g = before(gradient)
        weights, back = np.zeros_like(taps), np.zeros(padded.shape if wanted[0] else (), x.dtype)
        for cases in _blocks(padded):
            own = g[cases]
            for k, t in np.ndindex(taps.shape[:2]):
                at = shifted(k, t, places, a)
                weights[k, t] += (padded[cases][at] * own).reshape(-1, w.shape[3]).sum(axis=0)
                if wanted[0]:
                    back[cases][at] += own * taps[k, t]
        bias = g.reshape(-1, w.shape[3]).sum(axis=0)
        if not wanted[0]:
            return None, weights[None], bias
        image = inner(back, a.padding)
        return image.reshape(*x.shape, multiplier).sum(axis=4) if multiplier > 1 else image, weights[None], bias

    return Step(made, pullback)


def _blocks(x: Reals) -> Iterator[slice]:
    """The cases in blocks of BLOCK_BYTES."""
    size = max(1, BLOCK_BYTES * len(x) // max(x.nbytes, 1))
    return (slice(start, start + size) for start in range(0, len(x), size))


def padded_shape(x: Reals, padding: window.Padding) -> tuple[int, ...]:
    """The shape of [N, H, W, C] with its padding."""
    top, bottom, left, right = padding
    return x.shape[0], x.shape[1] + top + bottom, x.shape[2] + left + right, x.shape[3]


def inner(padded: Reals, padding: window.Padding) -> Reals:
    """A padded image without its padding."""
    top, bottom, left, right = padding
    return padded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]


def shifted(
    k: int, t: int, places: Sequence[int], a: conv.Conv2D | depthwise_attrs.DepthwiseConv2D
) -> tuple[slice, ...]:
    """Where in a padded image the tap (k, t) of all windows lies."""
    return (slice(None), _along(k * a.dilation[0], places[1], a.stride[0]),
            _along(t * a.dilation[1], places[2], a.stride[1]))  # fmt: skip


def _along(first: int, count: int, stride: int) -> slice:
    return slice(first, first + (count - 1) * stride + 1, stride)
