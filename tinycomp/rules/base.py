"""What several rules share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinycomp.ir import NUMPY, Array, Edit, Graph, Node
from tinycomp.qmath import INT_RANGE


def sole_use(graph: Graph, name: str) -> bool:
    """One node reads the tensor and nothing else does: it is no output of the graph."""
    return name not in graph.results and len(graph.consumers(name)) == 1


def bypass(graph: Graph, node: Node, source: str) -> Edit | None:
    """The edit that leaves out a node whose output has the value, the type and the quantization of `source`.

    Outputs of the graph keep their names: whoever writes `source` writes the output instead. None where that cannot
    be, because `source` is an input, a constant or another output.
    """
    out = node.outputs[0]
    if out not in graph.results:
        return Edit(remove=(node,), redirect={out: source})
    maker = graph.producer(source)
    if maker is None or source in graph.results:
        return None
    renamed = replace(maker, outputs=tuple(out if name == source else name for name in maker.outputs))
    return Edit(remove=(node, maker), insert=(renamed,), redirect={source: out})


def every_value(dtype: str) -> Array:
    """All values of an integer type of 8 or 16 bits, ascending: what a claim about every input is checked on."""
    low, high = INT_RANGE[dtype]
    return np.arange(low, high + 1).astype(NUMPY[dtype])
