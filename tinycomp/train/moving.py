"""Derivatives of pools, MEAN, PAD, RESHAPE and CONCATENATION."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np

from tinycomp.ir import Node
from tinycomp.ops import concatenation, mean, pad, pool, reshape
from tinycomp.ops.conv2d import Conv2D
from tinycomp.train.linear import inner, padded_shape, shifted
from tinycomp.train.step import Reals, Step, clamped


def average_pool2d(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """The mean of each window's elements inside the image."""
    (x,), a = args, pool.attrs(node)
    count = pool.windows(a, np.ones((1, *x.shape[1:3], 1), x.dtype), 0).sum(axis=(3, 4))
    total = cast(Reals, pool.windows(a, x, 0)).sum(axis=(3, 4))
    made, before = clamped(total / count, a.activation)

    def pullback(gradient: Reals) -> tuple[Reals | None, ...]:
        g = before(gradient) / count
        back = np.zeros(padded_shape(x, a.padding), x.dtype)
        for k, t in np.ndindex(a.size):
            back[shifted(k, t, made.shape, _walk(a))] += g
        return (inner(back, a.padding),)

    return Step(made, pullback)


def max_pool2d(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """The largest element of each window; the first of equal ones takes the gradient."""
    (x,), a = args, pool.attrs(node)
    seen = cast(Reals, pool.windows(a, x, float(np.finfo(x.dtype).min)))
    flat = seen.reshape(*seen.shape[:3], -1, seen.shape[5])
    first = flat.argmax(axis=3)
    made, before = clamped(flat.max(axis=3), a.activation)

    def pullback(gradient: Reals) -> tuple[Reals | None, ...]:
        g, back = before(gradient), np.zeros(padded_shape(x, a.padding), x.dtype)
        for tap, (k, t) in enumerate(np.ndindex(a.size)):
            back[shifted(k, t, made.shape, _walk(a))] += g * (first == tap)
        return (inner(back, a.padding),)

    return Step(made, pullback)


def _walk(a: pool.Pool) -> Conv2D:
    """How the pool's windows lie, as a convolution's do."""
    return Conv2D(a.stride, (1, 1), a.padding)


def averaged(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """MEAN over any axes."""
    (x,), a = args, mean.attrs(node)
    count = math.prod(x.shape[axis] for axis in a.axes)
    made = x.mean(axis=a.axes, keepdims=a.keep_dims)
    spread = tuple(1 if axis in a.axes else d for axis, d in enumerate(x.shape))

    def pullback(gradient: Reals) -> tuple[Reals | None, ...]:
        return (np.broadcast_to(gradient.reshape(spread) / x.dtype.type(count), x.shape),)

    return Step(made, pullback)


def padded(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """PAD: its border is constant."""
    x, paddings = args[0], pad.attrs(node).paddings
    fill = args[1].reshape(()) if len(args) > 1 else 0.0
    middle = tuple(slice(before, before + d) for (before, _), d in zip(paddings, x.shape, strict=True))

    def pullback(gradient: Reals) -> tuple[Reals | None, ...]:
        return gradient[middle], *(None for _ in args[1:])

    return Step(np.pad(x, paddings, constant_values=fill), pullback)


def reshaped(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """RESHAPE; what a batch adds to the elements is added to the leading axis."""
    (x,), shape = args, reshape.attrs(node).shape

    def pullback(gradient: Reals) -> tuple[Reals | None, ...]:
        return (gradient.reshape(x.shape),)

    return Step(x.reshape(-1, *shape[1:]), pullback)


def concatenated(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """CONCATENATION along one axis."""
    axis = concatenation.attrs(node).axis
    ends = np.cumsum([x.shape[axis] for x in args])[:-1]

    def pullback(gradient: Reals) -> tuple[Reals | None, ...]:
        return tuple(np.split(gradient, ends, axis=axis))

    return Step(np.concatenate(args, axis=axis), pullback)
