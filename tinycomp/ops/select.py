"""SELECT, SELECT_V2: elements of one tensor where a condition holds, of another where it does not.

Sources: tensorflow/lite/micro/kernels/select.cc, tensorflow/lite/kernels/internal/reference/select.h. The integers are
copied, whatever their scales say, as the references do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, DType, Edit, Graph, Node, Tensor, fresh
from tinycomp.kernel import Access, Kernel, Leaf, Param, Taps, whole
from tinycomp.ops import unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, c_type, sources
from tinycomp.ops.tile import Tile


@dataclass(frozen=True)
class Select(Attrs):
    """Inputs: a condition, what is taken where it holds, and what where it does not. They broadcast."""

    op: ClassVar[str] = "select"


def _read(source: Source) -> Parsed:
    """SELECT. Raises Unsupported for a condition for each item of the first axis, which would broadcast otherwise."""
    condition, x = source.input(0), source.input(1)
    if len(condition.shape) == 1 < len(x.shape) and condition.elements > 1:
        raise Unsupported(f"the condition {condition.name!r} {list(condition.shape)} chooses whole items of {x.name!r} "
                          f"{list(x.shape)}", where=f"{source.name} ({source.builtin})",
                          fix="give the condition the shape of what it chooses from")  # fmt: skip
    return _read_broadcast(source)


def _read_broadcast(source: Source) -> Parsed:
    return Parsed(Select(), tuple(source.input(i) for i in range(3)))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    condition, x, y = graph.ins(node)
    where = f"{node.name} ({node.op})"
    if condition.dtype != "bool" or x.dtype != y.dtype:
        raise BadInput(f"chooses by {condition.name!r}, {condition.dtype}, between {x.name!r}, {x.dtype}, and "
                       f"{y.name!r}, {y.dtype}; expected bool and twice the same", where=where,
                       fix="export the model again")  # fmt: skip
    shapes = [t.shape for t in (condition, x, y)]
    try:
        return ((np.broadcast_shapes(*shapes), x.dtype),)
    except ValueError:
        raise BadInput(f"the shapes {', '.join(str(list(s)) for s in shapes)} do not broadcast", where=where,
                       fix="export the model again") from None  # fmt: skip


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    return (np.asarray(np.where(*args)),)


def _full(t: Tensor, out: Tensor) -> bool:
    """The operand has every element of the output, in its order."""
    return t.elements == out.elements


def _expand(node: Node, graph: Graph) -> Edit | None:
    """Operands that have neither all elements nor one, repeated."""
    out, tensors, nodes, names = graph.out(node), list[Tensor](), list[Node](), list[str]()
    for t in graph.ins(node):
        if _full(t, out) or t.elements == 1:
            names.append(t.name)
            continue
        data = None if t.data is None else np.broadcast_to(t.data, out.shape).copy()
        wide = Tensor(fresh(graph, f"{node.name}/{len(names)}"), out.shape, t.dtype, t.quant, data)
        tensors.append(wide)
        names.append(wide.name)
        if data is None:
            shape = (1,) * (len(out.shape) - len(t.shape)) + t.shape
            times = tuple(n // m for n, m in zip(out.shape, shape, strict=True))
            nodes.append(Node(fresh(graph, f"{node.name}_wide{len(names)}"), Tile(times), (t.name,), (wide.name,)))
    if not tensors:
        return None
    return Edit((node,), (*nodes, replace(node, inputs=tuple(names))), tuple(tensors))


def _access(node: Node, graph: Graph) -> Access:
    """Row by row where every operand that is computed has the output's rows or one element."""
    out, operands = graph.out(node), graph.activations(node)
    rows = [Taps(stride=0) if t.elements == 1 < out.rows else Taps() for t in operands]
    fixed = any(t.data is not None and t.elements > 1 for t in graph.ins(node)) and out.rows > 1
    lined_up = all(t.elements == 1 or (_full(t, out) and t.rows == out.rows) for t in operands)
    return Access("window", tuple(rows)) if lined_up and not fixed else whole(len(operands))


def _lower(node: Node, graph: Graph) -> Leaf:
    """from: the operands as C expressions. moves: those with more than one element."""
    ins, out = graph.ins(node), graph.out(node)
    by_row = _access(node, graph).kind == "window"
    found = sources(ins)
    params: dict[str, Param] = {
        "type": c_type(out), "from": found.names, "moves": tuple(t.elements > 1 for t in ins),
    }  # fmt: skip
    return Leaf(params, {"n": out.row_elements if by_row else out.elements}, found.consts)


OPERATOR = Operator(
    attrs=Select,
    codecs=(
        Codec("SELECT", "SelectOptions", _read),
        Codec("SELECT_V2", "SelectV2Options", _read_broadcast, unary.write_plain),
    ),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(Kernel("portable", _lower),),
    inplace=(1, 2),
    expand=_expand,
)
