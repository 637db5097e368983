"""What a node computes in, in one word, and what that word means for its tensors.

Sources: "LiteRT 8-bit quantization specification" (ai.google.dev/edge/litert/models/quantization_spec) for int8 and for
16x8; tensorflow/lite/micro/kernels/conv.cc for int4 weights beside int8 activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tinycomp.ir import DType, Graph, Node
from tinycomp.quantize.rules import INT4, WIDE, operands, rule_of

Precision = Literal["int8", "int4", "int16", "float32"]
Activations = Literal["int8", "int16", "float32"]


@dataclass(frozen=True)
class Numbers:
    """The dtypes of a layer's tensors. top: the largest weight; weights are symmetric, so that kernels may pair their
    products, and TensorFlow Lite's own never hold the lowest. bias_top: leaves as much again for the products."""

    activations: Activations
    weights: DType
    top: int
    bias: DType
    bias_top: float


INT8 = Numbers("int8", "int8", 127, "int32", 2.0**30)
NUMBERS: dict[Precision, Numbers] = {
    "int16": Numbers("int16", "int8", 127, "int64", 2.0**46),
    "int4": Numbers("int8", "int4", 7, "int32", 2.0**30),
    "int8": INT8,
}


def precisions(graph: Graph, layers: Mapping[str, Precision], most: Precision = "int8") -> dict[str, Precision]:
    """What each node that computes in float32 now will compute in, by name.

    layers: for nodes that were chosen. Weighted layers that were not get `most`; what lies between goes on in int16
    where one of its operands is. Every node takes what its operator has: int4 where there are weights, float32 where
    there is no integer form.
    """
    found: dict[str, Precision] = {}
    for node in graph.nodes:
        if not computes_in_float(node, graph):
            continue
        wanted, rule = layers.get(node.name), rule_of(node)
        if wanted is None and rule is not None and rule.kind != "weighted" and most != "int16":
            before = (graph.producer(name) for name in operands(node))
            wanted = "int16" if any(n is not None and found.get(n.name) == "int16" for n in before) else "int8"
        found[node.name] = _able(node, wanted or most)
    return found


def computes_in_float(node: Node, graph: Graph) -> bool:
    """The node reads or makes float32."""
    return any(graph.tensors[name].dtype == "float32" for name in (*node.inputs, *node.outputs))


def _able(node: Node, wanted: Precision) -> Precision:
    """What the operator has of what is wanted."""
    rule = rule_of(node)
    if rule is None or (wanted == "int16" and type(node.attrs) not in WIDE):
        return "float32"
    return "int8" if wanted == "int4" and type(node.attrs) not in INT4 else wanted
