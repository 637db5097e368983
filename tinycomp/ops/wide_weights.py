"""Weights of nine bits beside int8 activations: uint8 weights less their zero point, as older models have them.

The IR holds them as int16, so that every rewrite and reference reads them as it reads others. In flash they take a byte
each: their values span 255 at most, so stored = weight − offset fits int8, and

    Σ (x − zero) · weight = Σ (x − zero) · stored + offset · Σ (x − zero)

Taps outside the image hold the zero point and add nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Const, Leaf, Param
from tinycomp.ops import requant

SPAN = 255  # of uint8
HELPERS = ("requantize", "clamp_int8")


def is_wide(node: Node, graph: Graph) -> bool:
    """int8 activations, weights of nine bits."""
    x, w = graph.ins(node)[:2]
    return (x.dtype, w.dtype) == ("int8", "int16")


def require_span(node: Node, graph: Graph) -> None:
    """Raise BadInput where weights of nine bits, and the 0 that a rewrite may make of one, do not lie within 255."""
    if not is_wide(node, graph):
        return
    weights = graph.ins(node)[1]
    assert weights.data is not None  # `requant.require_weights` has refused others
    low, high = _ends(weights.data)
    if high - low > SPAN:
        raise BadInput(f"weights {weights.name!r} run from {low} to {high}, more than the {SPAN} of uint8",
                       where=f"{node.name} ({node.op})", fix="export the model again")  # fmt: skip


def require_writable(node: Node, graph: Graph) -> None:
    """Raise Unsupported for such a layer: no runtime takes int16 weights beside int8 activations from a file."""
    if is_wide(node, graph):
        raise Unsupported("has weights of uint8 less their zero point, which no file can hold beside int8 activations",
                          where=f"{node.name} ({node.op})", fix="build from the file itself")  # fmt: skip


def _ends(weights: Array) -> tuple[int, int]:
    return int(weights.min(initial=0)), int(weights.max(initial=0))


def leaf(node: Node, graph: Graph, axis: int, params: Mapping[str, Param], numbers: Mapping[str, int]) -> Leaf:
    """A kernel of `params` and `numbers`, its weights int8 in the file's layout, the output's channels on `axis`.

    Adds the offset that the weights lack, and the accumulator's type: one that wraps where a sum may leave 32 bits.
    """
    (x, w, b), out = graph.ins(node), graph.out(node)
    assert b.data is not None  # `infer` has refused others
    assert w.data is not None
    channels, offset = w.shape[axis], _ends(w.data)[0] + 128
    stored = w.data.astype(np.int64) - offset
    acc = requant.accumulator_type(b.data, np.moveaxis(np.abs(stored) + abs(offset), axis, 0), 255)
    m = requant.channel_multipliers(x, w, out, channels)
    consts = (Const("weights", stored.astype(np.int8)), Const("bias", b.data), *requant.requant_consts(m))
    zeros = {"in_zero": x.zero_point, "out_zero": out.zero_point, "offset": offset}
    return Leaf({**params, "acc": acc}, {**numbers, **zeros}, consts)
