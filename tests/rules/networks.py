"""Random small networks whose channels are partly constant or dead."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.rules.nets import Net
from tinycomp.ir import DType, Graph
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.leaky_relu import LeakyRelu
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mul import Mul
from tinycomp.ops.pad import Pad
from tinycomp.ops.quantize import Quantize
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape

SAME = (1, 1, 1, 1)
KINDS = ("conv", "conv", "depthwise", "add", "mul", "concatenation", "pool", "unary", "pad")


@st.composite
def networks(draw: st.DrawFn, dtype: DType = "int8") -> Graph:
    """Up to seven layers in a row, some with a second branch, all with channels whose weights are zero."""
    net = Net(dtype, draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from(["tflm", "litert"])))
    draw_q = st.builds(net.quant, st.sampled_from([0.01, 0.05, 0.09]), st.sampled_from([-128, -3, 0, 127]))
    side = draw(st.integers(1, 6))
    x = net.input(1, side, side, draw(st.integers(1, 3)), zero=draw(st.sampled_from([-128, -3])))

    def weights(count: int) -> dict[str, object]:
        dead = draw(st.sets(st.integers(0, count - 1), max_size=count))
        bias = {c: draw(st.sampled_from([0, 900, -5000, 40_000, 2**31 - 1])) for c in dead}
        activation = draw(st.sampled_from(["none", "relu", "relu6"]))
        return {"dead": tuple(dead), "bias": bias, "q": draw(draw_q), "activation": activation}

    def conv(x: str, count: int) -> str:
        k = draw(st.sampled_from([1, 1, 3]))
        return net.conv(x, count, (k, k), padding=(k // 2,) * 4, **weights(count))  # type: ignore[arg-type]

    for _ in range(draw(st.integers(1, 6))):
        channels = net.tensors[x].shape[3]
        kind = draw(st.sampled_from(KINDS))
        if kind == "conv":
            x = conv(x, draw(st.integers(1, 7)))
        elif kind == "depthwise":
            m = draw(st.integers(1, 2))
            x = net.depthwise(x, multiplier=m, padding=SAME, **weights(m * channels))  # type: ignore[arg-type]
        elif kind in ("add", "mul"):
            x = net.op(Add() if kind == "add" else Mul(), x, conv(x, channels), q=draw(draw_q))
        elif kind == "concatenation":
            other = conv(x, draw(st.integers(1, 3)))
            same = net.op(Quantize(), other, q=net.tensors[x].quant) if dtype == "int8" else other
            x = net.op(Concatenation(3), x, same)
        elif kind == "pool":
            x = net.op(draw(st.sampled_from([AveragePool2D, MaxPool2D]))((2, 2), (1, 1), (0, 1, 0, 1)), x)
        elif kind == "pad":
            x = net.op(Pad(((0, 0), (1, 0), (0, 1), (0, 0))), x)
        else:
            x = net.op(draw(st.sampled_from([Relu("relu"), LeakyRelu(0.3)])), x, q=draw(draw_q))
    flat = net.op(Reshape((1, net.tensors[x].elements)), x)
    count = draw(st.integers(1, 5))
    y = net.dense(flat, count, per_channel=draw(st.booleans()), **weights(count))  # type: ignore[arg-type]
    return net.graph(net.dense(y, 3), *((x,) if draw(st.booleans()) else ()))
