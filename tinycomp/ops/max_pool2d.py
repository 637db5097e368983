"""MAX_POOL_2D: [N, H, W, C] → [N, OH, OW, C], the largest element of each window; padding does not count.

Sources: tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h, reference/pooling.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Kernel
from tinycomp.ops import pool
from tinycomp.ops.base import Operator, clamp_real


@dataclass(frozen=True)
class MaxPool2D(pool.Pool):
    """As every pool."""

    op: ClassVar[str] = "max_pool2d"


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, out = pool.attrs(node), graph.out(node)
    (x,) = args
    if out.dtype == "float32":
        lowest = float(np.finfo(np.float32).min)
        return (clamp_real(pool.windows(a, x, lowest).max(axis=(3, 4)), a.activation),)
    return (pool.clamp(pool.windows(a, x, -128).max(axis=(3, 4)), out, a.activation),)


OPERATOR = Operator(
    attrs=MaxPool2D,
    codecs=(pool.codec(MaxPool2D, "MAX_POOL_2D"),),
    infer=pool.infer,
    reference=_reference,
    access=pool.access,
    kernels=(
        Kernel("portable", pool.leaf, pool.is_int8),
        Kernel("float", pool.leaf, lambda n, g: not pool.is_int8(n, g)),
    ),
)
