"""MAX_POOL_2D: [N, H, W, C] → [N, OH, OW, C], the largest element of each window; padding does not count.

Sources: tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h, reference/pooling.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import images, pool
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
    lowest = qmath.INT_RANGE[out.dtype][0]
    return (pool.clamp(pool.windows(a, x, lowest).max(axis=(3, 4)), out, a.activation),)


def _by_words(node: Node, graph: Graph) -> bool:
    """int8 that is not clamped, four channels or more."""
    out = graph.out(node)
    if not pool.is_int8(node, graph) or out.shape[3] < 4:
        return False
    return qmath.activation_range(pool.attrs(node).activation, "int8", out.scale, out.zero_point) == (-128, 127)


def _lower_dsp(node: Node, graph: Graph) -> Leaf:
    made = pool.leaf(node, graph)
    params = {"kh": made.params["kh"], "rows_missing": made.params["rows_missing"], "edges": made.params["edges"],
              "rest": graph.out(node).shape[3] % 4 > 0}  # fmt: skip
    return Leaf(params, {name: n for name, n in made.numbers.items() if name not in ("low", "high")})


OPERATOR = Operator(
    attrs=MaxPool2D,
    codecs=(pool.codec(MaxPool2D, "MAX_POOL_2D"),),
    infer=pool.infer,
    reference=_reference,
    access=pool.access,
    expand=images.apart(pool.taps),
    kernels=(
        Kernel("dsp", _lower_dsp, _by_words, frozenset({"dsp"}), ("load_word", "max4")),
        Kernel("portable", pool.leaf, lambda n, g: not pool.is_float(n, g)),
        Kernel("float", pool.leaf, pool.is_float),
    ),
)
