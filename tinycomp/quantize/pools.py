"""AVERAGE_POOL_2D over the whole image -> MEAN over height and width.

An int8 pool hands its input's scale on; a mean has one of its own, and means of whole images have a far narrower range
than what they are taken of. In float32 the same but for the order of additions.
"""

from __future__ import annotations

from dataclasses import replace

from tinycomp.ir import Graph, Node
from tinycomp.ops import pool
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.mean import Mean


def pools_to_means(graph: Graph) -> Graph:
    """The graph with its global pools as means; the very same graph where there is none."""
    if not any(_is_global(node, graph) for node in graph.nodes):
        return graph
    mean = Mean(axes=(1, 2), keep_dims=True)
    return replace(graph, nodes=tuple(replace(n, attrs=mean) if _is_global(n, graph) else n for n in graph.nodes))


def _is_global(node: Node, graph: Graph) -> bool:
    if not isinstance(node.attrs, AveragePool2D):
        return False
    a, (x,) = pool.attrs(node), graph.ins(node)
    return a.size == x.shape[1:3] and not any(a.padding) and a.activation == "none"
