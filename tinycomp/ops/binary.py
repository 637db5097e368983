"""What ADD, SUB and MUL share: numpy broadcasting as a loop nest, the codec, the C data of constant operands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import NUMPY, Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Access, Const, Kernel, Leaf, Param, Taps, whole
from tinycomp.ops import int16
from tinycomp.ops.base import ACTIVATIONS, Codec, Parsed, Shape, Source, Written, c_type, require_dtype
from tinycomp.ops.unary import require_per_tensor

DTYPES: list[tuple[DType, ...]] = [
    ("int8", "int8", "int8"), ("int16", "int16", "int16"), ("float32", "float32", "float32"),
    ("int32", "int32", "int32"),
]  # fmt: skip
MAX_LOOPS = 5
HELPERS = ("requantize", "clamp_int8", "clamp_int16")  # of the portable kernels on integers


@dataclass(frozen=True)
class Binary(Attrs):
    """activation: the fused clamp."""

    activation: str = "none"


class Loop(NamedTuple):
    """One level of the nest: how many times, and how far each operand moves on each time, in elements."""

    times: int
    a: int
    b: int


def attrs(node: Node) -> Binary:
    """The node's attributes, typed."""
    return cast(Binary, node.attrs)


def codec(builtin: str, options: str, kind: type[Binary]) -> Codec:
    """How one of the operators is read and written."""

    def read(source: Source) -> Parsed:
        return Parsed(kind(source.activation()), (source.input(0), source.input(1)))

    def write(node: Node, graph: Graph) -> Written:
        return Written({"fused_activation_function": ACTIVATIONS.index(attrs(node).activation)}, node.inputs)

    return Codec(builtin, options, read, write)


def infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    """The broadcast shape. Raises BadInput where there is none, Unsupported for dtypes and for a deeper loop nest."""
    require_dtype(node, graph, DTYPES)
    (a, b), out, where = graph.ins(node), graph.out(node), f"{node.name} ({node.op})"
    shape = broadcast(node, a, b)
    if is_quantized(node, graph):
        for t in (a, b, out):
            require_per_tensor(node, t)
        int16.require_symmetric(where, (a, b, out))
    if out.dtype == "int32" and attrs(node).activation != "none":
        raise Unsupported(f"int32 with the fused activation {attrs(node).activation} is not supported", where=where,
                          fix="use a separate activation layer")  # fmt: skip
    return ((shape, out.dtype),)


def broadcast(node: Node, a: Tensor, b: Tensor) -> Shape:
    """The shape that two operands make. Raises BadInput where there is none, Unsupported for a deeper loop nest."""
    where = f"{node.name} ({node.op})"
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise BadInput(f"the shapes {list(a.shape)} of {a.name!r} and {list(b.shape)} of {b.name!r} do not broadcast",
                       where=where, fix="export the model again") from None  # fmt: skip
    if len(nest(a.shape, b.shape, shape)) > MAX_LOOPS:
        raise Unsupported(f"broadcasting {list(a.shape)} with {list(b.shape)} takes more than {MAX_LOOPS} nested loops",
                          where=where, fix=f"reshape to {MAX_LOOPS} dimensions or fewer before it")  # fmt: skip
    return shape


def access(node: Node, graph: Graph) -> Access:
    """Row by row where each operand has either the output's rows or a single one to share, else everything at once."""
    out = graph.out(node)
    found = [_taps(t, out) for t in graph.ins(node)]
    operands = graph.activations(node)
    if any(taps is None for taps in found):
        return whole(len(operands))
    return Access("window", tuple(taps for t, taps in zip(graph.ins(node), found, strict=True) if t.data is None))


def _taps(t: Tensor, out: Tensor) -> Taps | None:
    """The operand's rows for a row-wise walk; None where no stride says it."""
    lead = _leading(out)
    shape = (1,) * (len(out.shape) - len(t.shape)) + t.shape
    if all(d == 1 for d in shape[:lead]) and (t.rows == 1 or t.data is not None):
        return Taps(stride=0) if out.rows > 1 else Taps()
    if shape[:lead] == out.shape[:lead] and t.rows == out.rows and t.data is None:
        return Taps()
    return None


def _leading(out: Tensor) -> int:
    """How many dimensions number the rows (see Tensor.rows)."""
    return 2 if len(out.shape) >= 3 else 1 if len(out.shape) == 2 else 0


def nest(a: Shape, b: Shape, out: Shape) -> tuple[Loop, ...]:
    """The fewest loops that visit the output in order, outermost first; at least one."""
    loops: list[Loop] = []
    steps = zip(out, _steps(a, len(out)), _steps(b, len(out)), strict=True)
    for count, step_a, step_b in steps:
        if count == 1:
            continue
        last = loops[-1] if loops else None
        if last and (last.a, last.b) == (step_a * count, step_b * count):
            loops[-1] = Loop(last.times * count, step_a, step_b)
        else:
            loops.append(Loop(count, step_a, step_b))
    return tuple(loops) or (Loop(1, 1, 1),)


def _steps(shape: Shape, rank: int) -> list[int]:
    """Row-major strides in elements for a shape extended to `rank`, 0 along what is broadcast."""
    full = (1,) * (rank - len(shape)) + shape
    return [0 if d == 1 else int(np.prod(full[i + 1 :])) for i, d in enumerate(full)]


def leaf(
    node: Node, graph: Graph, params: Mapping[str, Param], numbers: Mapping[str, int], tables: tuple[Const, ...] = ()
) -> Leaf:
    """The kernel data that every element-wise kernel of two operands needs.

    loops: how many; n0…: their counts. a0…, b0…: the steps of all but the innermost, where moves_a, moves_b say that
    there is one; step_a, step_b: the innermost's, 0 or 1. from_a, from_b: the C expressions for the operands.
    tables follow the constant operands.
    """
    (a, b), out = graph.ins(node), graph.out(node)
    skip = _leading(out) if access(node, graph).kind == "window" else 0
    inner = [((1,) * (len(out.shape) - len(s)) + s)[skip:] for s in (a.shape, b.shape, out.shape)]
    loops = nest(inner[0], inner[1], inner[2])
    sizes = {f"n{i}": loop.times for i, loop in enumerate(loops)}
    for i, loop in enumerate(loops[:-1]):
        sizes |= {name: step for name, step in ((f"a{i}", loop.a), (f"b{i}", loop.b)) if step}
    own: dict[str, Param] = {
        "type": c_type(a), "wide": "float" if a.dtype == "float32" else "int32_t", "type_out": c_type(out),
        "loops": len(loops), "step_a": loops[-1].a, "step_b": loops[-1].b,
        "moves_a": tuple(loop.a > 0 for loop in loops[:-1]), "moves_b": tuple(loop.b > 0 for loop in loops[:-1]),
        "from_a": "c0" if a.data is not None else "rows[0]",
        "from_b": "c0" if b.data is not None else "rows[0]" if a.data is not None else "rows[1]",
    }  # fmt: skip
    consts = tuple(Const("weights", t.data) for t in (a, b) if t.data is not None)
    return Leaf({**own, **params}, {**sizes, **numbers}, (*consts, *tables))


def lower_plain(node: Node, graph: Graph) -> Leaf:
    """float32, clamped, and int32, wrapping."""
    return leaf(node, graph, {"activation": attrs(node).activation}, {})


KERNEL_PLAIN = Kernel("plain", lower_plain, lambda node, graph: not is_quantized(node, graph))


def is_int8(node: Node, graph: Graph) -> bool:
    """Operands and output are int8."""
    return graph.out(node).dtype == "int8"


def is_quantized(node: Node, graph: Graph) -> bool:
    """Operands and output are int8 or int16."""
    return graph.out(node).dtype in ("int8", "int16")


def wrapped(values: Array) -> Array:
    """int64 results as int32, overflow wrapping."""
    return qmath.wrap32(values).astype(np.int32)


def int64(args: Sequence[Array]) -> tuple[qmath.Int64, qmath.Int64]:
    """Both operands as int64."""
    return args[0].astype(np.int64), args[1].astype(np.int64)


def clamped(q: Array, node: Node, graph: Graph) -> Array:
    """Integers around the output's zero point as the output's dtype under the fused activation."""
    low, high = output_range(node, graph)
    return np.clip(q, low, high).astype(NUMPY[graph.out(node).dtype])


def output_range(node: Node, graph: Graph) -> tuple[int, int]:
    """The clamp of quantized outputs."""
    out = graph.out(node)
    return qmath.activation_range(attrs(node).activation, out.dtype, out.scale, out.zero_point)
