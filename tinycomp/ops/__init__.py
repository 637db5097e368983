"""The operator table. A new operator is one file in this folder, its line here, its templates and its test."""

from __future__ import annotations

from tinycomp import ir
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Node
from tinycomp.ops import conv2d
from tinycomp.ops.base import Codec, Operator

OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        conv2d.OPERATOR,
    )
}  # fmt: skip

# What a file may call them, TFLite's builtin names.
CODECS: dict[str, Codec] = {codec.builtin: codec for op in OPERATORS.values() for codec in op.codecs}


def operator(node: Node) -> Operator:
    """The node's operator."""
    return OPERATORS[node.op]


def check(graph: Graph) -> None:
    """Raise BadInput or Unsupported unless the graph is well formed and every node's operator agrees with its tensors."""
    ir.check(graph)
    for node in graph.nodes:
        if node.op not in OPERATORS:
            raise Unsupported(f"the operator {node.op!r} is not in the table", where=node.name)
        found = tuple((graph.tensors[name].shape, graph.tensors[name].dtype) for name in node.outputs)
        wanted = operator(node).infer(node, graph)
        if found != wanted:
            raise BadInput(f"its output {node.outputs[0]!r} is declared as {_show(found)}, its inputs make it {_show(wanted)}",
                           where=f"{node.name} ({node.op})", fix="export the model again")  # fmt: skip


def _show(outputs: tuple[tuple[tuple[int, ...], str], ...]) -> str:
    return ", ".join(f"{dtype}{list(shape)}" for shape, dtype in outputs)
