"""LOGISTIC and TANH on int16: one table of the sigmoid, interpolated (`qmath_int16`)."""

from __future__ import annotations

import math

import numpy as np

from tinycomp import qmath_int16
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Node
from tinycomp.kernel import Const, Kernel, Leaf
from tinycomp.ops import int16

LIMIT = 32767 / (3 * 4096)  # of the input's scale: the reference's factor has 15 bits


def require(node: Node, graph: Graph) -> None:
    """Raise where the reference's kernel stops: zero points, an output scale other than 2^-15, a large input scale."""
    (x,), out, where = graph.ins(node), graph.out(node), f"{node.name} ({node.op})"
    int16.require_symmetric(where, (x, out))
    if abs(math.log2(out.scale) + 15) >= 1e-3:
        raise BadInput(f"its output {out.name!r} has scale {out.scale:.9g}; the reference's kernel takes 2^-15 alone",
                       where=where, fix="export the model again with the standard converter")  # fmt: skip
    if not x.scale < LIMIT:
        raise Unsupported(f"its input {x.name!r} has scale {x.scale:.9g}; the reference's arithmetic takes less than "
                          f"{LIMIT:.6g}", where=where,
                          fix="quantize the model again with representative data")  # fmt: skip


def kernel(exact: tuple[int, ...]) -> Kernel:
    """The row. exact: see `qmath_int16.factor`."""

    def lower(node: Node, graph: Graph) -> Leaf:
        """A table of 256 uint16, which all such layers share."""
        (x,) = graph.ins(node)
        found = qmath_int16.factor(x.scale, exact)
        numbers = {"n": x.row_elements, "factor": found.multiplier, "shift": found.shift,
                   "half": 1 << (found.shift - 1) if found.shift else 0}  # fmt: skip
        return Leaf({}, numbers, (Const("table", qmath_int16.sigmoid_table().astype(np.uint16)),))

    return Kernel("int16", lower, int16.is_int16)
