"""MUL, ADD and SUB by a constant for each channel, in float32, as y = scale · x + shift.

Batch normalisation is exported as such pairs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from tinycomp.ir import Array, Graph, Node, Tensor, fresh
from tinycomp.ops.add import Add
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.mul import Mul
from tinycomp.ops.sub import Sub

ROOT = (Add, Mul, Sub)
Floats = NDArray[np.float64]


class Affine(NamedTuple):
    """y = scale · x + shift, one number for each channel (the last axis) of x."""

    x: str
    scale: Floats
    shift: Floats


def affine(graph: Graph, node: Node) -> Affine | None:
    """What a MUL, ADD or SUB does to its one operand that is not constant; None where it is something else."""
    out, inputs = graph.out(node), graph.ins(node)
    constants = [i for i, t in enumerate(inputs) if t.data is not None]
    if out.dtype != "float32" or len(constants) != 1 or not out.shape:
        return None
    position = constants[0]
    x, value = inputs[1 - position], _per_channel(inputs[position], out.shape[-1])
    if value is None or x.shape != out.shape:
        return None
    one, zero = np.ones_like(value), np.zeros_like(value)
    if isinstance(node.attrs, Mul):
        return Affine(x.name, value, zero)
    if isinstance(node.attrs, Add):
        return Affine(x.name, one, value)
    return Affine(x.name, one, -value) if position == 1 else Affine(x.name, -one, value)


def _per_channel(t: Tensor, channels: int) -> Floats | None:
    """The constant as one number for each channel, where it has no other axis."""
    if t.data is None or any(n != 1 for n in t.shape[:-1]) or t.elements not in (1, channels):
        return None
    return np.broadcast_to(t.data.reshape(-1).astype(np.float64), (channels,))


def with_constants(graph: Graph, node: Node, weights: Floats, bias: Floats) -> tuple[Node, tuple[Tensor, ...]] | None:
    """The convolution or dense layer with other weights and bias, under new names.

    None where float32 overflows, or the weights are int8.
    """
    if graph.ins(node)[1].dtype != "float32":
        return None
    made: list[Tensor] = []
    with np.errstate(over="ignore"):
        arrays: list[Array] = [weights.astype(np.float32), bias.astype(np.float32)]
    for old, data in zip(graph.ins(node)[1:], arrays, strict=True):
        if not np.isfinite(data).all():
            return None
        name = fresh(graph, f"{old.name}_scaled", (t.name for t in made))
        made.append(replace(old, name=name, data=data))
    return replace(node, inputs=(node.inputs[0], *(t.name for t in made))), tuple(made)


def activation_of(node: Node) -> str:
    """The fused activation of a node that can have one."""
    return cast(Conv2D, node.attrs).activation
