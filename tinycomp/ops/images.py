"""Convolutions and pools of several images at once.

Their rows are numbered on from image to image. A kernel finds the rows of a window at one stride, so where a window
ends in padding, or output rows do not go evenly into input rows, the images are taken one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tinycomp.errors import Unsupported
from tinycomp.ir import Edit, Graph, Node, Tensor, fresh
from tinycomp.kernel import Access, Taps
from tinycomp.ops import window
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.strided_slice import StridedSlice

Walk = Callable[[Node, Graph], Taps]  # the rows of one image that an output row reads


def line_up(node: Node, graph: Graph, taps: Taps) -> bool:
    """Windows of all images are found at one stride, and none reaches from one image into the next."""
    x, out = graph.ins(node)[0], graph.out(node)
    inside = not taps.leaves(x.shape[1], out.shape[1])
    return x.shape[0] == 1 or (inside and out.shape[1] * taps.stride == x.shape[1])


def access(node: Node, graph: Graph, taps: Taps, pad: int | None) -> Access:
    """The rows of a window. Raises Unsupported for images that `apart` has not taken apart."""
    x = graph.ins(node)[0]
    if not line_up(node, graph, taps):
        raise Unsupported(f"its windows reach from one of {x.shape[0]} images of {x.name!r} into the next",
                          where=f"{node.name} ({node.op})", fix="export the model with a batch of 1")  # fmt: skip
    return Access("window", (taps,), pad)


def convolution(node: Node, graph: Graph) -> Access:
    """The rows of a convolution's window, rows of padding filled with the zero point. Raises as `access`."""
    x = graph.ins(node)[0]
    return access(node, graph, window.taps(node, graph), 0 if x.dtype == "float32" else x.zero_point & 0xFF)


def apart(walk: Walk) -> Callable[[Node, Graph], Edit | None]:
    """How such an operator runs: as it is where its images line up, else once for each, on slices of the input."""

    def expand(node: Node, graph: Graph) -> Edit | None:
        if line_up(node, graph, walk(node, graph)):
            return None
        x, out = graph.ins(node)[0], graph.out(node)
        nodes: list[Node] = []
        made: list[Tensor] = []
        for i in range(x.shape[0]):
            image = Tensor(fresh(graph, f"{node.name}/image{i}"), (1, *x.shape[1:]), x.dtype, x.quant)
            part = replace(out, name=fresh(graph, f"{node.name}/part{i}"), shape=(1, *out.shape[1:]))
            cut = StridedSlice((i, 0, 0, 0), (i + 1, *x.shape[1:]), (1, 1, 1, 1))
            nodes.append(Node(fresh(graph, f"{node.name}_image{i}"), cut, (x.name,), (image.name,)))
            inputs = (image.name, *node.inputs[1:])
            nodes.append(Node(fresh(graph, f"{node.name}_{i}"), node.attrs, inputs, (part.name,)))
            made += [image, part]
        parts = tuple(t.name for t in made[1::2])
        nodes.append(Node(fresh(graph, f"{node.name}_whole"), Concatenation(0), parts, node.outputs))
        return Edit((node,), tuple(nodes), tuple(made))

    return expand
