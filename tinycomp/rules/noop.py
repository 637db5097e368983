"""A node that hands its input on -> nothing.

RESHAPE to the same shape, TRANSPOSE that moves nothing, PAD by nothing, CONCATENATION of one, a slice of everything,
and in integers RELU or QUANTIZE that maps every value to itself. Exact; input and output must have one shape, dtype and
quantization.
"""

from __future__ import annotations

import numpy as np

from tinycomp import ops
from tinycomp.ir import Attrs, Edit, Graph, Node
from tinycomp.ops import strided_slice, transpose
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.pad import Pad
from tinycomp.ops.quantize import Quantize
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.strided_slice import StridedSlice
from tinycomp.ops.transpose import Transpose
from tinycomp.rules.base import bypass, every_value

COPIES: tuple[type[Attrs], ...] = (Concatenation, Pad, Reshape)  # equal shapes say that nothing changes
MAPS: tuple[type[Attrs], ...] = (Quantize, Relu)
ROOT: tuple[type[Attrs], ...] = (*COPIES, *MAPS, StridedSlice, Transpose)


def match(graph: Graph, node: Node) -> Edit | None:
    """Leave the node out."""
    x, out = graph.ins(node)[0], graph.out(node)
    if (x.shape, x.dtype, x.quant) != (out.shape, out.dtype, out.quant) or not _hands_on(graph, node):
        return None
    return bypass(graph, node, x.name)


def _hands_on(graph: Graph, node: Node) -> bool:
    """Given equal shapes and types, the output's elements are the input's, in place."""
    if isinstance(node.attrs, COPIES):
        return True
    if isinstance(node.attrs, StridedSlice):  # of the input's shape, so whole, but perhaps backwards
        return all(step > 0 for step in strided_slice.attrs(node).step)
    if isinstance(node.attrs, Transpose):
        return transpose.moves_nothing(graph.ins(node)[0].shape, transpose.attrs(node).perm)
    if graph.out(node).dtype not in ("int8", "uint8", "int16"):
        return False
    values = every_value(graph.out(node).dtype)
    return np.array_equal(ops.operator(node).reference(node, graph, [values])[0], values)
