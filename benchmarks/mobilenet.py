"""A MobileNetV2 of random int8 weights, any width and image size: a realistic large graph out of nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinycomp.ir import Array, Attrs, Graph, Node, Quant, Tensor
from tinycomp.ops import window
from tinycomp.ops.add import Add
from tinycomp.ops.base import Source
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.ops.mean import Mean
from tinycomp.ops.softmax import Softmax

# Expansion, channels, repeats, stride: table 2 of Sandler et al., "MobileNetV2: Inverted Residuals and Linear
# Bottlenecks", arXiv:1801.04381.
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
RELU6 = Quant((float(np.float32(6 / 255)),), (-128,))
LINEAR = Quant((float(np.float32(0.1)),), (0,))


def mobilenet_v2(width: float = 1.0, size: int = 224, classes: int = 1000, seed: int = 0) -> Graph:
    """An int8 graph, input [1, size, size, 3], output [1, classes] probabilities."""
    net = _Net(np.random.default_rng(seed))
    x = net.add(Tensor("image", (1, size, size, 3), "int8", Quant((float(np.float32(1 / 127.5)),), (0,))))
    x = net.conv(x, _channels(32 * width), 3, stride=2)
    for expansion, channels, repeats, stride in BLOCKS:
        for i in range(repeats):
            x = net.block(x, expansion, _channels(channels * width), stride if i == 0 else 1)
    x = net.conv(x, _channels(1280 * max(width, 1.0)), 1)
    x = net.node(Mean((1, 2)), (x,), (1, x.shape[3]), RELU6)
    x = net.dense(x, classes)
    x = net.node(Softmax(), (x,), x.shape, Quant((1 / 256,), (-128,)))
    return Graph("mobilenet_v2", net.tensors, tuple(net.nodes), ("image",), (x.name,))


def _channels(wanted: float) -> int:
    """The nearest multiple of eight that is not smaller by more than a tenth, as the paper's code rounds."""
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


@dataclass
class _Net:
    rng: np.random.Generator
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    nodes: list[Node] = field(default_factory=list[Node])

    def add(self, t: Tensor) -> Tensor:
        self.tensors[t.name] = t
        return t

    def node(self, attrs: Attrs, inputs: tuple[Tensor, ...], shape: tuple[int, ...], quant: Quant) -> Tensor:
        name = f"{attrs.op}_{len(self.nodes)}"
        out = self.add(Tensor(f"{name}_out", shape, "int8", quant))
        self.nodes.append(Node(name, attrs, tuple(t.name for t in inputs), (out.name,)))
        return out

    def weights(self, shape: tuple[int, ...], axis: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Filter and bias, scaled so that the accumulators fill the output's range."""
        count, name = shape[axis], f"layer_{len(self.nodes)}"
        fan_in = int(np.prod(shape)) // count
        scales = tuple(float(np.float32(s)) for s in self.rng.uniform(0.01, 0.03, count) / np.sqrt(fan_in))
        w: Array = self.rng.integers(-127, 128, shape).astype(np.int8)
        b: Array = self.rng.integers(-2000, 2000, count).astype(np.int32)
        bias = Quant(tuple(float(np.float32(s * x.scale)) for s in scales), (0,) * count)
        filters = Quant(scales, (0,) * count, axis)
        return self.add(Tensor(f"{name}_w", shape, "int8", filters, w)), self.add(
            Tensor(f"{name}_b", (count,), "int32", bias, b)
        )

    def conv(self, x: Tensor, channels: int, kernel: int, stride: int = 1, linear: bool = False) -> Tensor:
        w, b = self.weights((channels, kernel, kernel, x.shape[3]), 0, x)
        pads, shape = _same(x, kernel, stride, channels)
        attrs = Conv2D((stride, stride), (1, 1), pads, "none" if linear else "relu6")
        return self.node(attrs, (x, w, b), shape, LINEAR if linear else RELU6)

    def depthwise(self, x: Tensor, stride: int) -> Tensor:
        w, b = self.weights((1, 3, 3, x.shape[3]), 3, x)
        pads, shape = _same(x, 3, stride, x.shape[3])
        return self.node(DepthwiseConv2D((stride, stride), (1, 1), pads, "relu6"), (x, w, b), shape, RELU6)

    def dense(self, x: Tensor, classes: int) -> Tensor:
        w, b = self.weights((classes, x.shape[1]), 0, x)
        return self.node(FullyConnected(), (x, w, b), (1, classes), LINEAR)

    def block(self, x: Tensor, expansion: int, channels: int, stride: int) -> Tensor:
        """Inverted residual: expand, filter each channel, project; added to its input where shapes agree."""
        y = self.conv(x, x.shape[3] * expansion, 1) if expansion > 1 else x
        y = self.conv(self.depthwise(y, stride), channels, 1, linear=True)
        return self.node(Add(), (x, y), x.shape, LINEAR) if x.shape == y.shape else y


def _same(x: Tensor, kernel: int, stride: int, channels: int) -> tuple[window.Padding, tuple[int, ...]]:
    """SAME padding, and the output's shape."""
    source, size = Source("", "", {"padding": 0}, (), ()), (x.shape[1], x.shape[2])
    pads = window.padding_of(source, size, (kernel, kernel), (stride, stride), (1, 1))
    return pads, (1, -(-size[0] // stride), -(-size[1] // stride), channels)
