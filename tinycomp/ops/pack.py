"""PACK: tensors of one shape stacked along a new axis. Runs as a concatenation of views.

Source: tensorflow/lite/micro/kernels/pack.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Edit, Graph, Node, Tensor, fresh
from tinycomp.ops.axes import axis_of
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.reshape import Reshape


@dataclass(frozen=True)
class Pack(Attrs):
    """axis: of the output, counted from the front."""

    op: ClassVar[str] = "pack"
    axis: int = 0


def attrs(node: Node) -> Pack:
    """The node's attributes, typed."""
    return cast(Pack, node.attrs)


def _read(source: Source) -> Parsed:
    where = f"{source.name} ({source.builtin})"
    inputs = tuple(source.input(i) for i in range(len(source.inputs)))
    if not inputs:
        raise BadInput("has no inputs", where=where, fix="export the model again")
    return Parsed(Pack(axis_of(int(source.options.get("axis", 0)), len(inputs[0].shape) + 1, where)), inputs)


def _write(node: Node, graph: Graph) -> Written:
    return Written({"values_count": len(node.inputs), "axis": attrs(node).axis}, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    axis, ins = attrs(node).axis, graph.ins(node)
    first = ins[0]
    for t in ins[1:]:
        if (t.shape, t.dtype) != (first.shape, first.dtype):
            pair = f"{t.name!r} {t.dtype}{list(t.shape)} and {first.name!r} {first.dtype}{list(first.shape)}"
            raise BadInput(f"{pair} do not stack", where=f"{node.name} (pack)", fix="export the model again")
    return (((*first.shape[:axis], len(ins), *first.shape[axis:]), first.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    return (np.stack(args, axis=attrs(node).axis),)


def _expand(node: Node, graph: Graph) -> Edit:
    """Each operand with an axis of one element more, one behind the other along it."""
    axis, out, views = attrs(node).axis, graph.out(node), dict[str, Tensor]()
    nodes: list[Node] = []
    for t in dict.fromkeys(graph.ins(node)):
        shape = (*t.shape[:axis], 1, *t.shape[axis:])
        data = None if t.data is None else t.data.reshape(shape)
        last = Tensor(fresh(graph, f"{node.name}/{len(views)}"), shape, t.dtype, out.quant, data)
        views[t.name] = last
        if data is None:
            name = fresh(graph, f"{node.name}_view{len(nodes)}")
            nodes.append(Node(name, Reshape(shape), (t.name,), (last.name,)))
    names = tuple(views[name].name for name in node.inputs)
    if len(names) == 1 and nodes:
        return Edit(remove=(node,), insert=(Node(nodes[0].name, Reshape(out.shape), node.inputs, node.outputs),))
    nodes.append(Node(fresh(graph, f"{node.name}_whole"), Concatenation(axis), names, node.outputs))
    return Edit(remove=(node,), insert=tuple(nodes), tensors=tuple(views.values()))


OPERATOR = Operator(
    attrs=Pack,
    codecs=(Codec("PACK", "PackOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    expand=_expand,
)
