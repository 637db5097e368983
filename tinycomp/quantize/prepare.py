"""A float graph made ready: batch normalisation folded, and nothing that a .tflite file cannot say.

PAD stays a PAD here, since a convolution's own padding has only two names in the file, and an operator that runs as
others stays one: the build sees to both.
"""

from __future__ import annotations

from tinycomp import rules
from tinycomp.errors import Unsupported
from tinycomp.ir import Graph
from tinycomp.ops import hybrid
from tinycomp.ops.dequantize import Dequantize
from tinycomp.ops.quantize import Quantize
from tinycomp.ops.transpose_conv import TransposeConv
from tinycomp.rewrite import WEIGHTED, PassRecord, apply_rules

LATER = ("expand", "pad_into_convolution")
RULES = (*(rule for rule in rules.EXACT if rule.name not in LATER), *rules.FLOAT)


def prepare(graph: Graph) -> tuple[Graph, tuple[PassRecord, ...]]:
    """The graph that is calibrated and converted. Raises Unsupported where it is no float32 model.

    graph: without the pairs of `trained.without_pairs`.
    """
    kinds = {graph.tensors[name].dtype for node in graph.nodes for name in node.outputs}
    if "float32" not in kinds:
        raise Unsupported(f"computes in {', '.join(sorted(kinds)) or 'nothing'}; only float32 models are quantized",
                          where=graph.name, fix="build it as it is, or give the float32 model")  # fmt: skip
    for node in graph.nodes:
        if isinstance(node.attrs, (Quantize, Dequantize)):
            raise Unsupported("is partly quantized already", where=f"{node.name} ({node.op})",
                              fix="export the model as float32, or with fake quantization to 8 bits")  # fmt: skip
    made, records = apply_rules(hybrid.dequantized(graph, (*WEIGHTED, TransposeConv)), RULES)
    return made, tuple(records)
