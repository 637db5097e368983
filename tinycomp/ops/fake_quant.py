"""FAKE_QUANT: float32 rounded to the steps of 8 bits, as training with quantization leaves it in a graph.

Runs as QUANTIZE and DEQUANTIZE. The steps are nudged so that 0 is one of them. Sources:
tensorflow/lite/kernels/fake_quant.cc, NudgeQuantizationRange of tensorflow/lite/kernels/internal/quantization_util.cc,
which multiplies by 1 / scale where this divides: where both round halves, they may differ by a step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, DType, Edit, Graph, Node, Quant, Tensor, fresh
from tinycomp.ops import unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written
from tinycomp.ops.dequantize import Dequantize, grid
from tinycomp.ops.quantize import Quantize, quantized

BITS = 8


@dataclass(frozen=True)
class FakeQuant(Attrs):
    """low, high: real values that the steps are to reach. narrow: 255 steps instead of 256, the lowest left out."""

    op: ClassVar[str] = "fake_quant"
    low: float = 0.0
    high: float = 1.0
    narrow: bool = False


def attrs(node: Node) -> FakeQuant:
    """The node's attributes, typed."""
    return cast(FakeQuant, node.attrs)


def steps(a: FakeQuant) -> Quant:
    """uint8 parameters of the nudged range."""
    first, last = int(a.narrow), 2**BITS - 1
    low, high = np.float32(a.low), np.float32(a.high)
    scale = (high - low) / np.float32(last - first)
    zero = np.float32(first) - low / scale
    return Quant((float(scale),), (int(min(max(math.floor(zero + np.float32(0.5)), first), last)),))


def trained_steps(node: Node, graph: Graph) -> Quant | None:
    """int8 parameters of the steps that the output of DEQUANTIZE or FAKE_QUANT lies on; None for other nodes."""
    if isinstance(node.attrs, Dequantize):
        return grid(graph.ins(node)[0])
    return grid(_held(node, graph.out(node))) if isinstance(node.attrs, FakeQuant) else None


def _held(node: Node, out: Tensor, name: str = "held") -> Tensor:
    """The integers that the output stands for."""
    return Tensor(name, out.shape, "uint8", steps(attrs(node)))


def _read(source: Source) -> Parsed:
    options, where = source.options, f"{source.name} ({source.builtin})"
    low, high, bits = float(options.get("min", 0)), float(options.get("max", 0)), int(options.get("num_bits", 0))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadInput(f"its range {low:g} to {high:g} is none", where=where, fix="train the ranges, then export")
    if bits != BITS:
        raise Unsupported(f"rounds to {bits} bits; {BITS} are supported", where=where, fix="train with 8 bits")
    return Parsed(FakeQuant(low, high, bool(options.get("narrow_range", False))), (unary.one_input(source),))


def _write(node: Node, graph: Graph) -> Written:
    a = attrs(node)
    return Written({"min": a.low, "max": a.high, "num_bits": BITS, "narrow_range": a.narrow}, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    found = unary.infer_same_shape(node, graph, [("float32", "float32")])
    if attrs(node).narrow and graph.ins(node)[0].data is None:
        raise Unsupported("leaves out the lowest of 256 steps, which is for weights alone",
                          where=f"{node.name} (fake_quant)", fix="train activations without narrow_range")  # fmt: skip
    return found


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    held = _held(node, graph.out(node))
    stored = np.maximum(quantized(args[0], held), int(attrs(node).narrow)).astype(np.float32)
    return ((stored - np.float32(held.zero_point)) * np.float32(held.scale),)


def expand(node: Node, graph: Graph) -> Edit:
    """QUANTIZE and DEQUANTIZE."""
    held = _held(node, graph.out(node), fresh(graph, f"{node.name}/held"))
    first = Node(fresh(graph, f"{node.name}_steps"), Quantize(), node.inputs, (held.name,))
    second = Node(node.name, Dequantize(), (held.name,), node.outputs)
    return Edit(remove=(node,), insert=(first, second), tensors=(held,))


OPERATOR = Operator(
    attrs=FakeQuant,
    codecs=(Codec("FAKE_QUANT", "FakeQuantOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    expand=expand,
)
