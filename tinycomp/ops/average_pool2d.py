"""AVERAGE_POOL_2D: [N, H, W, C] → [N, OH, OW, C], the mean of each window; padding does not count.

Means of integers are rounded half away from zero, on the stored integers: the zero point plays no part. Those of uint8
are rounded half up.
Sources: tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h, reference/pooling.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import Unsupported
from tinycomp.ir import Array, DType, Graph, Node
from tinycomp.kernel import Access, Kernel, Leaf, Taps
from tinycomp.ops import images, int16, mve, pool
from tinycomp.ops.base import Operator, Parsed, Shape, Source, Written, clamp_real

LONGEST_ROW = 255  # int8 values whose sum is an int16


@dataclass(frozen=True)
class AveragePool2D(pool.Pool):
    """As every pool. half_up: halves are rounded up, as the kernel for uint8 does; the values are uint8 less 128."""

    op: ClassVar[str] = "average_pool2d"
    half_up: bool = False


_POOL = pool.codec(AveragePool2D, "AVERAGE_POOL_2D")


def _read(source: Source) -> Parsed:
    parsed = _POOL.read(source)
    half_up = source.unsigned and source.outputs[0].dtype == "int8"
    return parsed._replace(attrs=replace(cast(AveragePool2D, parsed.attrs), half_up=half_up))


def _write(node: Node, graph: Graph) -> Written | None:
    if _half_up(node):
        raise Unsupported("rounds halves up, which no int8 kernel does", where=f"{node.name} ({node.op})",
                          fix="build from the file itself")  # fmt: skip
    return _POOL.write(node, graph) if _POOL.write else None


def _half_up(node: Node) -> bool:
    return cast(AveragePool2D, node.attrs).half_up


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    size = pool.attrs(node).size
    int16.require_countable(f"{node.name} ({node.op})", graph.ins(node)[0], size[0] * size[1])
    return pool.infer(node, graph)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, out = pool.attrs(node), graph.out(node)
    (x,) = args
    wide = np.float32 if out.dtype == "float32" else np.int64
    count = pool.windows(a, np.ones((1, *x.shape[1:3], 1), wide), 0).sum(axis=(3, 4), dtype=wide)
    seen = pool.windows(a, x.astype(wide), 0)
    total = np.zeros((*seen.shape[:3], seen.shape[5]), wide)
    for k, t in np.ndindex(a.size):  # TFLM's order of additions, which float32 results depend on
        total += seen[:, :, :, k, t].astype(wide)
    if out.dtype == "float32":
        return (clamp_real(total / count, a.activation),)
    if _half_up(node):
        return (pool.clamp((total + count // 2) // count, out, a.activation),)
    mean = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return (pool.clamp(mean, out, a.activation),)


def _reduces(node: Node, graph: Graph) -> bool:
    """One window covers the height, and a sum for each output is smaller than the rows it replaces."""
    a, (x,), out = pool.attrs(node), graph.ins(node), graph.out(node)
    covers = x.shape[0] == 1 and a.size[0] == x.shape[1] and a.padding[:2] == (0, 0)
    return covers and 4 * out.elements < x.bytes


def _access(node: Node, graph: Graph) -> Access:
    return Access("reduce", (Taps(),)) if _reduces(node, graph) else pool.access(node, graph)


def _lower(node: Node, graph: Graph) -> Leaf:
    """`half_up` is among the parameters where it is true alone, so that other kernels cost what they did."""
    made = pool.leaf(node, graph)
    return replace(made, params={**made.params, "half_up": True}) if _half_up(node) else made


def _lower_reduce(node: Node, graph: Graph) -> Leaf:
    """Scratch: one int32 or float sum for each output element."""
    made = _lower(node, graph)
    numbers = {**made.numbers, "in_h": graph.ins(node)[0].shape[1]}
    return Leaf(made.params, numbers, scratch=4 * graph.out(node).elements)


def _whole_rows(node: Node, graph: Graph) -> bool:
    """One window covers everything, and a row's columns add up in 16 bits."""
    (x,), out = graph.ins(node), graph.out(node)
    covers = out.shape[2] == 1 and pool.attrs(node).size[1] == x.shape[2] and pool.attrs(node).padding[2] == 0
    plain = pool.is_int8(node, graph) and not _half_up(node)
    return _reduces(node, graph) and plain and covers and 4 <= x.shape[2] <= LONGEST_ROW


def _lower_dsp(node: Node, graph: Graph) -> Leaf:
    """Scratch: one int32 sum for each channel."""
    (x,), made = graph.ins(node), _lower_reduce(node, graph)
    params = {"activation": made.params["activation"], "type": "int8_t", "in_w": x.shape[2], "rest": x.shape[3] % 4 > 0}
    numbers = {name: made.numbers[name] for name in ("channels", "in_h", "low", "high")}
    return Leaf(params, numbers, scratch=made.scratch)


OPERATOR = Operator(
    attrs=AveragePool2D,
    codecs=(replace(_POOL, read=_read, write=_write),),
    infer=_infer,
    reference=_reference,
    access=_access,
    expand=images.apart(pool.taps),
    kernels=(
        Kernel("reduce_mve", _lower_dsp, _whole_rows, mve.MVE, ("mve_sums", "divide_rounded")),
        Kernel("reduce_dsp", _lower_dsp, _whole_rows, frozenset({"dsp"}), ("load_word", "sxtab16", "divide_rounded")),
        Kernel("reduce", _lower_reduce, lambda n, g: _reduces(n, g) and not pool.is_float(n, g),
               helpers=("divide_rounded",)),
        Kernel("reduce_float", _lower_reduce, lambda n, g: _reduces(n, g) and pool.is_float(n, g)),
        Kernel("portable", _lower, lambda n, g: not _reduces(n, g) and not pool.is_float(n, g),
               helpers=("divide_rounded",)),
        Kernel("float", _lower, lambda n, g: not _reduces(n, g) and pool.is_float(n, g)),
    ),
)  # fmt: skip
