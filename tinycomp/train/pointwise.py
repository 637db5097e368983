"""Derivatives of ADD, SUB, MUL, of activations that stand alone, and of SOFTMAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from tinycomp.ir import Node
from tinycomp.ops import binary, leaky_relu, relu, softmax
from tinycomp.ops.elementwise import Elementwise
from tinycomp.train.step import Pullback, Reals, Step, clamped

Map = Callable[[Reals], tuple[Reals, Reals]]  # a function's values, and its slopes


def added(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """ADD with broadcasting."""
    return _combined(node, args, args[0] + args[1], lambda g: (g, g))


def subtracted(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """SUB with broadcasting."""
    return _combined(node, args, args[0] - args[1], lambda g: (g, -g))


def multiplied(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """MUL with broadcasting."""
    a, b = args
    return _combined(node, args, a * b, lambda g: (g * b, g * a))


def _combined(
    node: Node, args: Sequence[Reals], value: Reals, parts: Callable[[Reals], tuple[Reals, Reals]]
) -> Step:  # fmt: skip
    """An operator of two operands that is clamped at the end."""
    made, before = clamped(value, binary.attrs(node).activation)

    def pullback(gradient: Reals) -> tuple[Reals | None, ...]:
        return tuple(_summed(g, x.shape) for g, x in zip(parts(before(gradient)), args, strict=True))

    return Step(made, pullback)


def _summed(g: Reals, shape: tuple[int, ...]) -> Reals:
    """The gradient by an operand of that shape, which was repeated to the shape of g."""
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    axes = (*range(lead), *(i + lead for i, d in enumerate(shape) if d == 1 and g.shape[i + lead] > 1))
    return g.sum(axis=axes).reshape(shape)


def _alone(before: Callable[[Reals], Reals]) -> Pullback:
    """The pullback of an operator of one operand."""
    return lambda gradient: (before(gradient),)


def rectified(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """RELU, RELU6 and RELU_N1_TO_1."""
    made, before = clamped(args[0].copy(), relu.attrs(node).activation)
    return Step(made, _alone(before))


def leaky(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """LEAKY_RELU."""
    (x,) = args
    above, below = (x > 0).astype(x.dtype), x.dtype.type(leaky_relu.attrs(node).alpha)
    slopes = above + below * (1 - above)
    return Step(x * slopes, _alone(lambda gradient: gradient * slopes))


def sigmoid(x: Reals) -> tuple[Reals, Reals]:
    """1 / (1 + exp(−x)), without overflow, and its slopes."""
    y = (np.tanh(x / 2) + 1) / 2
    return y, y * (1 - y)


def tangent(x: Reals) -> tuple[Reals, Reals]:
    """tanh and its slopes."""
    y = np.tanh(x)
    return y, 1 - y * y


def hard_swish(x: Reals) -> tuple[Reals, Reals]:
    """x · relu6(x + 3) / 6 and its slopes."""
    ramp = np.clip(x + 3, 0, 6)
    return x * ramp / 6, (ramp + x * ((x > -3) & (x < 3))) / 6


def mapped(function: Map) -> Callable[[Node, Sequence[Reals], Sequence[bool]], Step]:
    """The derivative of a function of each element."""

    def derive(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
        made, slopes = function(args[0])
        return Step(made, _alone(lambda gradient: gradient * slopes))

    return derive


FUNCTIONS: dict[str, Map] = {"hard_swish": hard_swish}  # of ELEMENTWISE


def function_of(node: Node) -> Map | None:
    """The function of an ELEMENTWISE node, where it has a derivative."""
    return FUNCTIONS.get(cast(Elementwise, node.attrs).function)


def log_softmax(x: Reals) -> Reals:
    """The logarithm of softmax along the last axis."""
    less = x - x.max(axis=-1, keepdims=True)
    return less - np.log(np.exp(less).sum(axis=-1, keepdims=True))


def softmaxed(node: Node, args: Sequence[Reals], wanted: Sequence[bool]) -> Step:
    """SOFTMAX along the last axis."""
    (x,), beta = args, args[0].dtype.type(softmax.attrs(node).beta)
    y = np.exp(log_softmax(x * beta))

    def before(gradient: Reals) -> Reals:
        return beta * y * (gradient - (gradient * y).sum(axis=-1, keepdims=True))

    return Step(y, _alone(before))
