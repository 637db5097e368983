"""PAD and PADV2: a tensor with constant borders, any axes, any dtype.

Sources: tensorflow/lite/micro/kernels/pad.cc, pad_common.cc; tensorflow/lite/kernels/internal/reference/pad.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import ITEM_BYTES, NUMPY, Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Access, Const, Kernel, Leaf, Taps, whole
from tinycomp.ops.axes import integers, row_axes
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written
from tinycomp.ops.reshape import Reshape

MAX_RANK = 5
Run = tuple[int, int, int]


@dataclass(frozen=True)
class Pad(Attrs):
    """paddings: (before, after) of each axis.

    The fill is the value of the second input, a constant scalar, where there is one; else `default_fill`.
    """

    op: ClassVar[str] = "pad"
    paddings: tuple[tuple[int, int], ...] = ()


def attrs(node: Node) -> Pad:
    """The node's attributes, typed."""
    return cast(Pad, node.attrs)


def default_fill(out: Tensor) -> Array:
    """What PAD writes, as a scalar array: the output's zero point in 8 bits, 0 otherwise (int16 is symmetric)."""
    zero = out.quant.zero_point[0] if out.quant is not None and out.dtype in ("int8", "uint8") else 0
    return np.array(zero, NUMPY[out.dtype])


def fill(node: Node, graph: Graph) -> Array:
    """What the node writes into the borders, as a scalar array of the stored dtype."""
    data = graph.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return default_fill(graph.out(node)) if data is None else data.reshape(())


def _read(source: Source) -> Parsed:
    where = f"{source.name} ({source.builtin})"
    x, out, table = source.input(0), source.outputs[0], source.constant(1, "the paddings")
    if table.size != 2 * len(x.shape):
        raise BadInput(f"paddings of shape {list(table.shape)} for an input of rank {len(x.shape)}; expected "
                       f"[{len(x.shape)}, 2]", where=where, fix="export the model again")  # fmt: skip
    flat = integers(table)
    paddings = tuple(zip(flat[::2], flat[1::2], strict=True))
    if not any(flat):
        return Parsed(Reshape(x.shape), (x,))
    value = source.inputs[2] if len(source.inputs) > 2 else None
    if value is None:
        return Parsed(Pad(paddings), (x,))
    source.constant(2, "the fill", integral=False)
    usual = value.data is not None and value.data.size == 1 and value.data.reshape(()) == default_fill(out)
    return Parsed(Pad(paddings), (x,) if usual and value.quant == out.quant else (x, value))


def _write(node: Node, graph: Graph) -> Written | None:
    return Written({}, (node.inputs[0], np.array(attrs(node).paddings, np.int32))) if len(node.inputs) == 1 else None


def _write_v2(node: Node, graph: Graph) -> Written | None:
    return Written({}, (node.inputs[0], np.array(attrs(node).paddings, np.int32), *node.inputs[1:]))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    x, paddings, where = graph.ins(node)[0], attrs(node).paddings, f"{node.name} (pad)"
    if len(x.shape) > MAX_RANK:
        raise Unsupported(f"input {x.name!r} has rank {len(x.shape)}; up to {MAX_RANK} is supported", where=where)
    if len(paddings) != len(x.shape) or any(n < 0 for pair in paddings for n in pair):
        raise BadInput(f"paddings {[list(p) for p in paddings]} for input {x.name!r} {list(x.shape)}; expected a "
                       "non-negative pair for each axis", where=where, fix="export the model again")  # fmt: skip
    if len(node.inputs) > 1:
        _check_fill(graph.ins(node)[1], x, graph.out(node), where)
    return ((tuple(b + n + a for n, (b, a) in zip(x.shape, paddings, strict=True)), x.dtype),)


def _check_fill(value: Tensor, x: Tensor, out: Tensor, where: str) -> None:
    """A constant scalar in the units of the output: the reference kernels check it and do not convert."""
    if value.data is None or value.data.size != 1 or value.dtype != x.dtype:
        raise BadInput(f"the fill {value.name!r} is {value.dtype}{list(value.shape)}; expected one constant {x.dtype}",
                       where=where, fix="export the model again")  # fmt: skip
    if value.quant != out.quant:
        raise BadInput(f"the fill {value.name!r} and the output {out.name!r} are quantized differently", where=where,
                       fix="quantize both alike")  # fmt: skip


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    return (np.pad(args[0], attrs(node).paddings, constant_values=fill(node, graph).item()),)


def _rows_padded(node: Node, graph: Graph) -> tuple[int, int] | None:
    """Rows of padding above and below; None where borders do not keep to rows (several images, or whole ones)."""
    x, paddings = graph.ins(node)[0], attrs(node).paddings
    outer = row_axes(x.shape)
    if outer == 0 or not any(n for pair in paddings[:outer] for n in pair):
        return (0, 0)
    if any(x.shape[i] != 1 or paddings[i] != (0, 0) for i in range(outer - 1)):
        return None
    return paddings[outer - 1]


def _access(node: Node, graph: Graph) -> Access:
    padded = _rows_padded(node, graph)
    return whole() if padded is None else Access("window", (Taps(pad=padded[0]),))


def runs(axes: Sequence[Run], item: int) -> tuple[Run, ...]:
    """The nest of loops for axes of (before, size, after) elements, outermost first, borders in bytes.

    The last run is (border, copied, border), all in bytes; one further out is (border, repetitions, border). Axes
    without a border join their neighbours.
    """
    found: list[Run] = []
    size = item  # bytes of output for one index of the current axis
    for before, count, after in reversed(axes):
        border = before + after > 0
        if not found and border:
            found.append((before * size, count * size, after * size))
        elif found and not border and len(found) > 1 and found[-1][::2] == (0, 0):
            found[-1] = (0, count * found[-1][1], 0)
        elif found and (border or count > 1):
            found.append((before * size, count, after * size))
        size *= before + count + after
    return tuple(reversed(found)) if found else ((0, size, 0),)


def _lower(node: Node, graph: Graph) -> Leaf:
    """Bytes, whatever the dtype: a fill whose bytes are all equal is a memset, any other is copied from flash."""
    x, out, padded = graph.ins(node)[0], graph.out(node), _rows_padded(node, graph)
    skip = 0 if padded is None else row_axes(x.shape)
    axes = tuple((b, n, a) for n, (b, a) in zip(x.shape, attrs(node).paddings, strict=True))[skip:]
    item = ITEM_BYTES[x.dtype]
    value = fill(node, graph)
    uniform = len(set(value.tobytes())) == 1
    params = {
        "runs": runs(axes, item), "outside": out.row_bytes if padded not in (None, (0, 0)) else 0,
        "item": 0 if uniform else item,
    }  # fmt: skip
    if uniform:
        needed = bool(params["outside"]) or any(b or a for b, _, a in runs(axes, item))
        return Leaf(params, {"fill": value.tobytes()[0]} if needed else {})
    return Leaf(params, consts=(Const("table", value.reshape(1).view(f"i{item}")),))


OPERATOR = Operator(
    attrs=Pad,
    codecs=(Codec("PAD", "PadOptions", _read, _write), Codec("PADV2", "PadV2Options", _read, _write_v2)),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(Kernel("portable", _lower),),
)
