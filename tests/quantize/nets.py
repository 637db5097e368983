"""Float networks and data for the tests of quantization."""

from __future__ import annotations

import numpy as np

from tests.rules.nets import Net
from tinycomp.ir import Array, Graph
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.softmax import Softmax
from tinycomp.quantize import data
from tinycomp.quantize.data import Data

SIZE = 8
CLASSES = 5


def images(count: int, seed: int = 0, channels: int = 3) -> Array:
    """Smooth random images [count, SIZE, SIZE, channels] around 0, float32."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 1, (count, 3, 3, channels)).astype(np.float32)
    fine = np.repeat(np.repeat(coarse, 3, axis=1), 3, axis=2)[:, :SIZE, :SIZE]
    return fine + rng.normal(0, 0.2, fine.shape).astype(np.float32)


def residual(seed: int = 0, channels: int = 6, softmax: bool = True) -> Graph:
    """Convolution, depthwise and pointwise with a residual, global pool, dense, softmax: channels of unlike widths."""
    net = Net("float32", seed)
    x = net.input(1, SIZE, SIZE, 3)
    a = net.conv(x, channels, (3, 3), padding=(1, 1, 1, 1), activation="relu")
    b = net.depthwise(a, (3, 3), padding=(1, 1, 1, 1), activation="relu")
    c = net.conv(b, channels, activation="none")
    d = net.op(Add("relu"), a, c)
    e = net.conv(d, 2 * channels, (3, 3), stride=(2, 2), padding=(0, 1, 0, 1), activation="relu")
    pooled = net.op(AveragePool2D((4, 4), (4, 4)), e)
    logits = net.dense(net.op(Reshape((1, 2 * channels)), pooled), CLASSES)
    graph = net.graph(net.op(Softmax(), logits) if softmax else logits)
    return uneven(graph, seed)


def uneven(graph: Graph, seed: int = 0) -> Graph:
    """The graph with output channels of its convolutions scaled from 0.1 to 1, as trained networks have them."""
    rng = np.random.default_rng(seed)
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        if node.op in ("conv2d", "depthwise_conv2d"):
            w, b = graph.ins(node)[1:]
            scale = rng.uniform(0.1, 1, b.shape[0]).astype(np.float32)
            along = scale.reshape((1, 1, 1, -1) if node.op == "depthwise_conv2d" else (-1, 1, 1, 1))
            for t, factor in ((w, along), (b, scale)):
                assert t.data is not None
                tensors[t.name] = type(t)(t.name, t.shape, t.dtype, None, (t.data * factor).astype(np.float32))
    return Graph(graph.name, tensors, graph.nodes, graph.inputs, graph.outputs)


def data_for(graph: Graph, count: int = 60, seed: int = 1) -> Data:
    """Calibration cases for a graph of one image input."""
    return data.from_cases(list(images(count, seed, graph.tensors[graph.inputs[0]].shape[3])), graph)
