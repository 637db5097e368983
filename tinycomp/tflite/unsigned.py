"""Models of the older scheme, which compute in uint8: read as int8, 128 taken off every value and zero point.

LiteRT's reference kernels for uint8 then round as those for int8, but for AVERAGE_POOL_2D, and `Graph.reference` is
litert: TensorFlow Lite Micro has no kernels for uint8. Weights have a zero point of their own in this scheme, which is
taken off them too: what fits is int8, the rest of nine bits is int16 in the IR (`ops.wide_weights`).

Inputs and outputs of the model stay uint8, with a QUANTIZE between.
Sources: tensorflow/lite/kernels/internal/reference/ (conv.h, depthwiseconv_uint8.h, fully_connected.h, pooling.h, …).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinycomp import ir
from tinycomp.errors import Unsupported
from tinycomp.ir import Graph, Node, Quant, Tensor
from tinycomp.ops.quantize import Quantize
from tinycomp.tflite.file import File, FileOperator, FileTensor

WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
# What computes, and so makes a file one of the older scheme.
ARITHMETIC = WEIGHTED | {
    "ADD", "AVERAGE_POOL_2D", "LEAKY_RELU", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "RELU", "RELU6", "RELU_N1_TO_1",
    "SOFTMAX", "SUB", "TANH",
}  # fmt: skip
# What moves values or compares them.
MOVES = frozenset({
    "ARG_MAX", "ARG_MIN", "BATCH_TO_SPACE_ND", "CONCATENATION", "DEPTH_TO_SPACE", "DEQUANTIZE", "EXPAND_DIMS",
    "MIRROR_PAD", "PACK", "PAD", "PADV2", "QUANTIZE", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "SLICE",
    "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE",
    "UNPACK",
})  # fmt: skip
OFFSET = 128


def is_unsigned(t: FileTensor) -> bool:
    """The tensor is of the scheme: quantized uint8."""
    return t.dtype == "uint8" and t.quant is not None and bool(t.quant.scale)


def computes(file: File) -> bool:
    """The file is of the older scheme: some operator computes in uint8."""
    used = (i for op in file.operators if op.builtin in ARITHMETIC for i in (*op.inputs, *op.outputs) if i >= 0)
    return any(is_unsigned(file.tensors[i]) for i in used)


def weights(file: File) -> frozenset[int]:
    """The tensors that convolutions and dense layers read as weights."""
    return frozenset(op.inputs[1] for op in file.operators if op.builtin in WEIGHTED and len(op.inputs) > 1)


def require_known(file: File, op: FileOperator, where: str) -> None:
    """Raise Unsupported where the operator works on uint8 and is none of those whose bits are known."""
    if op.builtin in ARITHMETIC | MOVES:
        return
    for i in (*op.inputs, *op.outputs):
        if i >= 0 and is_unsigned(file.tensors[i]):
            raise Unsupported(f"reads or makes the uint8 tensor {file.tensors[i].name!r}, and its bits in a model that "
                              "computes in uint8 are not known", where=where,
                              fix="convert the model again with full-integer int8 quantization")  # fmt: skip


def signed(t: Tensor, weights: bool) -> Tensor:
    """The tensor as int8; weights less their zero point, as int16 where they do not fit int8."""
    assert t.quant is not None  # `is_unsigned` has asked
    if weights and t.data is not None and not t.quant.per_channel:
        data = t.data.astype(np.int16) - np.int16(t.quant.zero_point[0])
        fits = data.min(initial=0) >= -OFFSET and data.max(initial=0) < OFFSET
        quant = replace(t.quant, zero_point=(0,))
        return replace(t, dtype="int8" if fits else "int16", quant=quant, data=data.astype(np.int8) if fits else data)
    data = None if t.data is None else (t.data.astype(np.int16) - OFFSET).astype(np.int8)
    return replace(t, dtype="int8", quant=_shifted(t.quant, -OFFSET), data=data)


def _shifted(quant: Quant, by: int) -> Quant:
    return replace(quant, zero_point=tuple(z + by for z in quant.zero_point))


def with_ends(graph: Graph, file: File) -> Graph:
    """The graph with the file's uint8 at its inputs and outputs, under the file's names."""
    for index in dict.fromkeys((*file.inputs, *file.outputs)):
        t = file.tensors[index]
        if is_unsigned(t) and t.name in graph.tensors and graph.tensors[t.name].data is None:
            graph = _with_end(graph, t.name)
    return replace(graph, reference="litert")


def _with_end(graph: Graph, name: str) -> Graph:
    inner = replace(graph.tensors[name], name=ir.fresh(graph, f"{name}/int8"))
    assert inner.quant is not None  # `signed` has made it
    outer = replace(inner, name=name, dtype="uint8", quant=_shifted(inner.quant, OFFSET))
    into = name in graph.inputs
    ends = (name, inner.name) if into else (inner.name, name)
    end = Node(ir.fresh(graph, f"quantize_{'input' if into else 'output'}"), Quantize(), ends[:1], ends[1:])
    nodes = tuple(n.renamed({name: inner.name}) for n in graph.nodes)
    tensors = {**graph.tensors, name: outer, inner.name: inner}
    return replace(graph, tensors=tensors, nodes=(end, *nodes) if into else (*nodes, end))
