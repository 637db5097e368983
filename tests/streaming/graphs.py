"""Random networks for streaming: chains, residuals, concatenations, odd strides, kernels, dilations and sizes."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from tests.rules.nets import Net
from tests.support import quant
from tinycomp import ops
from tinycomp.ir import Graph
from tinycomp.ops import window
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.base import Source
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mean import Mean
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.softmax import Softmax

Draw = Callable[[st.SearchStrategy[int]], int]


def _window(draw: Draw, net: Net, x: str, dilate: bool) -> dict[str, tuple[int, ...]]:
    """A kernel that fits the image, and the padding that a file would state for it."""
    _, h, w, _ = net.tensors[x].shape
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2))) if dilate else (1, 1)
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    scheme = draw(st.integers(0, 1))
    size = (draw(st.integers(1, min(5, h))), draw(st.integers(1, min(4, w))))
    if scheme == 1:  # VALID: the dilated kernel must lie inside the image
        size = (min(size[0], (h - 1) // dilation[0] + 1), min(size[1], (w - 1) // dilation[1] + 1))
    source = Source("", "", {"padding": scheme}, (), ())
    padding = window.padding_of(source, (h, w), size, stride, dilation)
    return {"size": size, "stride": stride, "dilation": dilation, "padding": padding}


def _layer(draw: Draw, net: Net, x: str) -> str:
    kind = draw(st.sampled_from(["conv", "pointwise", "depthwise", "pool", "average", "relu", "residual", "fork"]))
    if kind == "pointwise":
        return net.conv(x, draw(st.integers(1, 9)))
    if kind in ("conv", "depthwise"):
        w = _window(draw, net, x, dilate=True)
        size = w.pop("size")
        return net.conv(x, draw(st.integers(1, 6)), size, **w) if kind == "conv" else net.depthwise(x, size, **w)
    if kind in ("pool", "average"):
        w = _window(draw, net, x, dilate=False)
        w.pop("dilation")
        return net.op((MaxPool2D if kind == "pool" else AveragePool2D)(**w), x)
    if kind == "relu":
        return net.op(Relu("relu"), x)
    channels = net.tensors[x].shape[3]
    rows = draw(st.integers(1, 3)) * 2 - 1
    rows = min(rows, net.tensors[x].shape[1] // 2 * 2 + 1)
    branch = net.depthwise(x, (rows, 1), padding=(rows // 2, rows // 2, 0, 0))
    branch = net.conv(branch, channels)
    if kind == "residual":
        return net.op(Add("none"), *((branch, x) if draw(st.booleans()) else (x, branch)))
    other = net.conv(x, draw(st.integers(1, 4))) if draw(st.booleans()) else x
    return net.op(Concatenation(3), branch, other)


@st.composite
def networks(draw: Draw) -> Graph:
    """An int8 network of 1 to 7 layers, with or without a classifier at its end."""
    net = Net(seed=draw(st.integers(0, 10_000)))
    x = net.input(1, draw(st.integers(1, 14)), draw(st.integers(1, 7)), draw(st.integers(1, 4)))
    for _ in range(draw(st.integers(1, 7))):
        x = _layer(draw, net, x)
    if draw(st.booleans()):
        x = net.op(Mean((1, 2), keep_dims=True), x)
        x = net.op(Reshape((1, net.tensors[x].shape[3])), x)
        x = net.dense(x, draw(st.integers(1, 5)), per_channel=False)
        x = net.op(Softmax(), x, q=quant(1 / 256, -128))
    graph = net.graph(x)
    ops.check(graph)
    return graph
