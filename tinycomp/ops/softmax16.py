"""SOFTMAX from int16 to int16: exp and the reciprocal from tables, interpolated (`qmath_int16`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinycomp import qmath_int16
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Node
from tinycomp.kernel import Const, Leaf
from tinycomp.ops import int16

LONGEST = 2**16  # exps of up to 2^15 are added in 32 bits
MOST_LEFT = 14  # by which a difference of 17 bits can be shifted


def require(node: Node, graph: Graph, beta: float) -> None:
    """Raise where the reference's kernel stops or overflows."""
    (x,), out, where = graph.ins(node), graph.out(node), f"{node.name} (softmax)"
    int16.require_symmetric(where, (x, out))
    if abs(out.scale * 32768 - 1) > 0.001:
        raise BadInput(f"its output {out.name!r} has scale {out.scale:.9g}; the reference's kernel takes 2^-15 alone",
                       where=where, fix="export the model again with the standard converter")  # fmt: skip
    if x.shape[-1] >= LONGEST:
        raise Unsupported(f"it is over {x.shape[-1]} values; the reference's accumulator holds {LONGEST - 1}",
                          where=where, fix="leave the softmax out of the model, or export it in float32")  # fmt: skip
    if not (beta > 0 and qmath_int16.softmax_factor(x.scale, beta).shift <= MOST_LEFT):
        raise Unsupported(f"beta {beta:.9g} times {x.name!r}'s scale {x.scale:.9g} is outside the "
                          "reference's arithmetic", where=where,
                          fix="quantize the model again with representative data")  # fmt: skip


def lower(node: Node, graph: Graph, beta: float, sizes: Mapping[str, int]) -> Leaf:
    """Two tables of 513 int16, which all such layers share: exp from -10 to 0, 1 / (1 + x) from 0 to 1."""
    m = qmath_int16.softmax_factor(graph.ins(node)[0].scale, beta)
    tables = (qmath_int16.exp_table(), qmath_int16.reciprocal_table())
    consts = tuple(Const("table", table.astype(np.int16)) for table in tables)
    return Leaf({}, {**sizes, "mantissa": m.mantissa, "shift": m.shift}, consts)
