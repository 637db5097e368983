"""L2_POOL_2D: [N, H, W, C] → [N, OH, OW, C], the root of the mean square of each window; padding does not count.

Sources: tensorflow/lite/micro/kernels/l2_pool_2d.cc, tensorflow/lite/kernels/internal/reference/pooling.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinycomp.ir import Array, DType, Graph, Node
from tinycomp.kernel import Kernel
from tinycomp.ops import images, pool
from tinycomp.ops.base import Operator, Shape, clamp_real, require_dtype


@dataclass(frozen=True)
class L2Pool2D(pool.Pool):
    """As every pool."""

    op: ClassVar[str] = "l2_pool2d"


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    require_dtype(node, graph, [("float32", "float32")])
    return pool.infer(node, graph)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, x = pool.attrs(node), args[0].astype(np.float64)
    inside = pool.windows(a, np.ones((1, *x.shape[1:3], 1)), 0)
    squares = np.square(pool.windows(a, x, 0).astype(np.float64)).sum(axis=(3, 4))
    return (clamp_real(np.sqrt(squares / inside.astype(np.float64).sum(axis=(3, 4))).astype(np.float32), a.activation),)


OPERATOR = Operator(
    attrs=L2Pool2D,
    codecs=(pool.codec(L2Pool2D, "L2_POOL_2D"),),
    infer=_infer,
    reference=_reference,
    access=pool.access,
    expand=images.apart(pool.taps),
    kernels=(Kernel("float", pool.leaf),),
)
