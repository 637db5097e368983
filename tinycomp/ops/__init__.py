"""The operator table. A new operator is one file in this folder, its line here, its templates and its test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tinycomp import ir
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Node, Tensor
from tinycomp.ops import (
    add,
    add_n,
    arg_extreme,
    average_pool2d,
    batch_matmul,
    batch_space,
    broadcast_args,
    cast,
    concatenation,
    conv2d,
    cumsum,
    custom,
    delay,
    depth_space,
    depthwise_conv2d,
    dequantize,
    elementwise,
    fake_quant,
    fill,
    fully_connected,
    gather,
    gather_nd,
    l2_norm,
    l2_pool2d,
    leaky_relu,
    log_softmax,
    logistic,
    lstm,
    max_pool2d,
    mean,
    mirror_pad,
    mul,
    one_hot,
    pack,
    pad,
    pairwise,
    quantize,
    range_,
    reduce,
    relu,
    reshape,
    resize_bilinear,
    resize_nearest,
    reverse,
    select,
    shape,
    softmax,
    split,
    strided_slice,
    sub,
    svdf,
    tanh,
    tile,
    trainable_dense,
    transpose,
    transpose_conv,
    unpack,
)
from tinycomp.ops.base import Codec, Operator

OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        add.OPERATOR,
        add_n.OPERATOR,
        arg_extreme.OPERATOR,
        average_pool2d.OPERATOR,
        batch_matmul.OPERATOR,
        batch_space.BATCH_TO_SPACE,
        broadcast_args.OPERATOR,
        cast.OPERATOR,
        concatenation.OPERATOR,
        conv2d.OPERATOR,
        cumsum.OPERATOR,
        delay.OPERATOR,
        depth_space.DEPTH_TO_SPACE,
        depthwise_conv2d.OPERATOR,
        dequantize.OPERATOR,
        elementwise.OPERATOR,
        fake_quant.OPERATOR,
        fill.OPERATOR,
        fully_connected.OPERATOR,
        gather.OPERATOR,
        gather_nd.OPERATOR,
        l2_norm.OPERATOR,
        l2_pool2d.OPERATOR,
        leaky_relu.OPERATOR,
        log_softmax.OPERATOR,
        logistic.OPERATOR,
        lstm.OPERATOR,
        max_pool2d.OPERATOR,
        mean.OPERATOR,
        mirror_pad.OPERATOR,
        mul.OPERATOR,
        one_hot.OPERATOR,
        pack.OPERATOR,
        pad.OPERATOR,
        pairwise.OPERATOR,
        quantize.OPERATOR,
        range_.OPERATOR,
        reduce.OPERATOR,
        relu.OPERATOR,
        reshape.OPERATOR,
        resize_bilinear.OPERATOR,
        resize_nearest.OPERATOR,
        reverse.OPERATOR,
        select.OPERATOR,
        shape.OPERATOR,
        softmax.OPERATOR,
        batch_space.SPACE_TO_BATCH,
        depth_space.SPACE_TO_DEPTH,
        split.OPERATOR,
        strided_slice.OPERATOR,
        sub.OPERATOR,
        svdf.OPERATOR,
        tanh.OPERATOR,
        tile.OPERATOR,
        trainable_dense.OPERATOR,
        transpose.OPERATOR,
        transpose_conv.OPERATOR,
        unpack.OPERATOR,
    )
}  # fmt: skip

# What a file may call them, TFLite's builtin names.
CODECS: dict[str, Codec] = {codec.builtin: codec for op in OPERATORS.values() for codec in op.codecs}


def codecs(customs: Iterable[custom.Definition]) -> Iterator[tuple[Operator, Codec]]:
    """Every operator of the table and of the definitions with each of its codecs."""
    for op in (*OPERATORS.values(), *(d.operator for d in customs)):
        yield from ((op, codec) for codec in op.codecs)


def operator(node: Node) -> Operator:
    """The node's operator: the table's, or what the user's files define."""
    return node.attrs.definition.operator if isinstance(node.attrs, custom.Custom) else OPERATORS[node.op]


def operands(node: Node, graph: Graph) -> tuple[Tensor, ...]:
    """The inputs that the node's kernel gets rows of: neither constants nor states that it carries on."""
    carried = {i for i, _ in operator(node).carries}
    return tuple(t for i, t in enumerate(graph.ins(node)) if t.data is None and i not in carried)


def check(graph: Graph) -> None:
    """Raise BadInput or Unsupported unless the graph is well formed and its operators agree with their tensors."""
    ir.check(graph)
    for node in graph.nodes:
        if node.op not in OPERATORS and not isinstance(node.attrs, custom.Custom):
            raise Unsupported(f"the operator {node.op!r} is not in the table", where=node.name)
        found = tuple((graph.tensors[name].shape, graph.tensors[name].dtype) for name in node.outputs)
        wanted = operator(node).infer(node, graph)
        if found != wanted:
            raise BadInput(f"its output {node.outputs[0]!r} is declared as {_show(found)}, its inputs make it "
                           f"{_show(wanted)}", where=f"{node.name} ({node.op})",
                           fix="export the model again")  # fmt: skip


def _show(outputs: tuple[tuple[tuple[int, ...], str], ...]) -> str:
    return ", ".join(f"{dtype}{list(shape)}" for shape, dtype in outputs)
