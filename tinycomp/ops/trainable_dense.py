"""A dense layer whose weights and biases are states in float32: they outlive an inference and learn between two.

Made by `train.on_device`, never read from a file. Inputs: x (int8 or float32, one vector), weights [O, K] and biases
[O], both states. Outputs: logits [1, O] in float32, and the two states, which an inference leaves as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Access, Kernel, Leaf, whole
from tinycomp.ops.base import Operator, Shape, c_type


@dataclass(frozen=True)
class TrainableDense(Attrs):
    """Nothing beside the operands."""

    op: ClassVar[str] = "trainable_dense"


def meaning(x: Tensor) -> tuple[float, int]:
    """Scale and zero point of the features; those of float32 mean themselves."""
    return (1.0, 0) if x.dtype == "float32" else (x.scale, x.zero_point)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    x, w, b = graph.ins(node)
    fits = len(w.shape) == 2 and x.elements == w.shape[1] and b.shape == w.shape[:1]
    kinds = (x.dtype in ("int8", "float32"), w.dtype == "float32", b.dtype == "float32")
    if not fits or not all(kinds):
        raise BadInput(f"cannot apply {w.dtype}{list(w.shape)} and {b.dtype}{list(b.shape)} to {x.dtype}"
                       f"{list(x.shape)}", where=f"{node.name} (trainable_dense)")  # fmt: skip
    return (((1, w.shape[0]), "float32"), (w.shape, "float32"), (b.shape, "float32"))


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    """The order of additions is the kernel's. Every case has weights of its own, since states grow with the batch."""
    x, w, b = args
    outputs, inner = graph.ins(node)[1].shape
    scale, zero = meaning(graph.ins(node)[0])
    rows = x.reshape(-1, inner).astype(np.float32) - np.float32(zero)
    weights, biases = (a.astype(np.float32).reshape(len(rows), outputs, -1) for a in (w, b))
    total = np.zeros((len(rows), outputs), np.float32)
    for i in range(inner):
        total += rows[:, i, None] * weights[:, :, i]
    return total * np.float32(scale) + biases[:, :, 0], w, b


def _access(node: Node, graph: Graph) -> Access:
    return whole()


def _lower(node: Node, graph: Graph) -> Leaf:
    x, w, _ = graph.ins(node)
    scale, zero = meaning(x)
    params = {"type": c_type(x), "scale": repr(float(np.float32(scale)))}
    return Leaf(params, {"outputs": w.shape[0], "inner": w.shape[1], "zero": zero})


def _macs(node: Node, graph: Graph) -> int:
    return graph.ins(node)[1].elements


OPERATOR = Operator(
    attrs=TrainableDense,
    codecs=(),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(Kernel("float", _lower),),
    carries=((1, 1), (2, 2)),
    macs=_macs,
)
