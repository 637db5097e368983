"""One small graph or more for every operator of the table, as tests of whole files need them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.ops.test_lstm import layer as lstm_layer
from tests.ops.test_svdf import layer as svdf_layer
from tests.support import activation, constant, per_channel, quant, single
from tinycomp import ops
from tinycomp.ir import Array, Attrs, Graph, Node, Quant, Tensor
from tinycomp.ops import (
    add,
    add_n,
    arg_extreme,
    average_pool2d,
    batch_matmul,
    batch_space,
    broadcast_args,
    cast,
    concatenation,
    conv2d,
    cumsum,
    depth_space,
    depthwise_conv2d,
    dequantize,
    elementwise,
    fake_quant,
    fill,
    fully_connected,
    gather,
    gather_nd,
    l2_norm,
    l2_pool2d,
    leaky_relu,
    log_softmax,
    logistic,
    max_pool2d,
    mean,
    mirror_pad,
    mul,
    one_hot,
    pack,
    pad,
    pairwise,
    quantize,
    range_,
    reduce,
    relu,
    reshape,
    resize_bilinear,
    resize_nearest,
    reverse,
    select,
    shape,
    softmax,
    split,
    strided_slice,
    sub,
    tanh,
    tile,
    transpose,
    transpose_conv,
    unpack,
)

SHAPE = (1, 4, 6, 3)
HALF, WIDE = quant(0.5, 3), quant(0.75, 1)


def values(*dims: int, dtype: type[np.generic] = np.int8) -> Array:
    """Numbers that count up, so that no two orders of them are equal."""
    return (np.arange(int(np.prod(dims))) % 97 - 48).reshape(dims).astype(dtype)


def image(dtype: str = "int8") -> Tensor:
    """The usual input."""
    return activation("x", SHAPE, dtype, None if dtype == "float32" else HALF)  # type: ignore[arg-type]


def unary(attrs: Attrs, dtype: str = "int8", scale: float = 0.25, zero_point: int = -7) -> Graph:
    """A graph of one operator on the usual input."""
    return single(attrs, [image(dtype)], out_quant=None if dtype == "float32" else quant(scale, zero_point))


def pooled(attrs: Attrs) -> Graph:
    """A graph of one operator that keeps its input's quantization."""
    return unary(attrs, scale=0.5, zero_point=3)


def binary(attrs: Attrs, dtype: str = "int8", fixed: bool = False, output: Quant = WIDE) -> Graph:
    """A graph of one operator on two images, or on an image and a constant per channel."""
    other = replace(image(dtype), name="y")
    if fixed:
        data = values(3, dtype=np.float32 if dtype == "float32" else np.int8)
        other = constant("y", data, None if dtype == "float32" else quant(0.125, 2))
    return single(attrs, [image(dtype), other], out_quant=None if dtype == "float32" else output)


def convolution(attrs: Attrs, *dims: int, dtype: str = "int8") -> Graph:
    """A convolution of the usual input. dims: of its weights, whose channels come first, or last where depthwise."""
    axis = 3 if isinstance(attrs, depthwise_conv2d.DepthwiseConv2D) else 0
    n = dims[axis]
    if dtype == "float32":
        weights, bias = values(*dims, dtype=np.float32), values(n, dtype=np.float32)
        return single(attrs, [image(dtype), constant("w", weights), constant("b", bias)])
    scales = [0.01 * (i + 1) for i in range(n)]
    given = per_channel([np.float32(0.5) * np.float32(s) for s in scales])
    bias = Tensor("b", (n,), "int32", given, values(n, dtype=np.int32))
    weights = constant("w", values(*dims), per_channel(scales, axis))
    return single(attrs, [image(), weights, bias], out_quant=quant(0.3, 5))


def dense(dtype: str = "int8", rank: int = 2) -> Graph:
    """A fully connected layer of twelve inputs and five outputs."""
    attrs = fully_connected.FullyConnected(rank > 2, "relu")
    x = activation("x", (1, 12) if rank == 2 else (1, 4, 12), dtype, None if dtype == "float32" else HALF)  # type: ignore[arg-type]
    if dtype == "float32":
        weights, bias = values(5, 12, dtype=np.float32), values(5, dtype=np.float32)
        return single(attrs, [x, constant("w", weights), constant("b", bias)])
    bias = Tensor("b", (5,), "int32", quant(0.05), values(5, dtype=np.int32))
    return single(attrs, [x, constant("w", values(5, 12), quant(0.1)), bias], out_quant=quant(0.3, 5))


def several(attrs: Attrs, x: Tensor, *outputs: tuple[int, ...]) -> Graph:
    """A graph of one operator with several outputs of the input's dtype."""
    outs = [Tensor(f"out{i}", dims, x.dtype, x.quant) for i, dims in enumerate(outputs)]
    node = Node(f"{attrs.op}_0", attrs, (x.name,), tuple(t.name for t in outs))
    return Graph("single", {t.name: t for t in (x, *outs)}, (node,), (), node.outputs)


def padded() -> Graph:
    """PADV2: a fill of its own, in the units of the output."""
    fill_value = Tensor("value", (1,), "int8", HALF, np.array([-9], np.int8))
    return single(pad.Pad(((0, 0), (1, 2), (0, 3), (0, 0))), [image(), fill_value], out_quant=HALF)


INTS = constant("x", values(2, 3, 4, dtype=np.int32))
_C, _D, _S = conv2d.Conv2D, depthwise_conv2d.DepthwiseConv2D, strided_slice.StridedSlice
NONE = ((0, 0), (0, 0))

# Operators that run: the file says what the graph says.
RUNNING: dict[str, Callable[[], Graph]] = {
    "batch_matmul": lambda: single(
        batch_matmul.BatchMatMul(False, True), [image(), replace(image(), name="y")], out_quant=WIDE
    ),
    "batch_to_space": lambda: single(
        batch_space.BatchToSpace((2, 2), NONE), [activation("x", (4, 2, 3, 2), "int8", HALF)], out_quant=HALF
    ),
    "depth_to_space": lambda: single(
        depth_space.DepthToSpace(2), [activation("x", (1, 2, 3, 8), "int8", HALF)], out_quant=HALF
    ),
    "mirror_pad": lambda: pooled(mirror_pad.MirrorPad(((0, 0), (1, 2), (2, 0), (0, 0)), "symmetric")),
    "pack": lambda: binary(pack.Pack(1), output=HALF),
    "reverse": lambda: pooled(reverse.Reverse((2,))),
    "space_to_batch": lambda: pooled(batch_space.SpaceToBatch((2, 2), NONE)),
    "space_to_depth": lambda: pooled(depth_space.SpaceToDepth(2)),
    "strided_slice": lambda: pooled(_S((0, 2, 0, 0), (1, -1, 4, 3), (1, -1, 2, 1), (0,))),
    "strided_slice, contiguous": lambda: pooled(_S((0, 1, 0, 0), (1, 3, 6, 3), (1, 1, 1, 1))),
    "tile": lambda: pooled(tile.Tile((1, 2, 1, 3))),
    "tile, broadcast": lambda: single(
        tile.Tile((4, 1, 1, 3)), [activation("x", (4, 6, 1), "int8", HALF)], out_quant=HALF
    ),
    "add": lambda: binary(add.Add("relu")),
    "add, float32, a constant": lambda: binary(add.Add(), "float32", fixed=True),
    "add_n": lambda: single(add_n.AddN(), [image("float32"), replace(image("float32"), name="y")]),
    "average_pool2d": lambda: pooled(average_pool2d.AveragePool2D((2, 3), (2, 1), (0, 0, 1, 1))),
    "concatenation": lambda: binary(concatenation.Concatenation(3), output=HALF),
    "conv2d, SAME": lambda: convolution(_C((1, 1), (1, 1), (1, 1, 1, 1), "relu6"), 5, 3, 3, 3),
    "conv2d, VALID, dilated": lambda: convolution(_C((1, 1), (2, 1)), 2, 2, 3, 3),
    "conv2d, float32": lambda: convolution(_C((2, 2), (1, 1), (0, 1, 0, 1)), 2, 3, 3, 3, dtype="float32"),
    "conv2d, grouped": lambda: convolution(_C(), 6, 1, 1, 1),
    "cumsum": lambda: unary(cumsum.CumSum(2, True, True), "float32"),
    "depthwise_conv2d": lambda: convolution(_D((1, 1), (1, 1), (1, 1, 1, 1), "relu"), 1, 3, 3, 3),
    "depthwise_conv2d, multiplier": lambda: convolution(_D((1, 1), (2, 2)), 1, 2, 2, 6, dtype="float32"),
    "dequantize": lambda: single(dequantize.Dequantize(), [image()], activation("out", SHAPE, "float32")),
    "elementwise": lambda: unary(elementwise.Elementwise("hard_swish")),
    "elementwise, negative": lambda: unary(elementwise.Elementwise("neg"), "float32"),
    "one_hot": lambda: single(
        one_hot.OneHot(3, 1),
        [
            activation("i", (2, 3, 4), "int32"),
            constant("on", np.array(1, np.int8)),
            constant("off", np.array(0, np.int8)),
        ],
        activation("out", (2, 3, 3, 4), "int8"),
    ),
    "pairwise": lambda: binary(pairwise.Pairwise("none", "maximum"), output=HALF),
    "pairwise, truth": lambda: single(
        pairwise.Pairwise("none", "less"), [image(), replace(image(), name="y")], activation("out", SHAPE, "bool")
    ),
    "arg_extreme": lambda: single(arg_extreme.ArgExtreme(3), [image()], activation("out", SHAPE[:3], "int32")),
    "reduce": lambda: unary(reduce.Reduce((1, 2), True, "sum"), scale=2.0),
    "reduce, largest": lambda: pooled(reduce.Reduce((3,), False, "max")),
    "resize_bilinear": lambda: pooled(resize_bilinear.ResizeBilinear((8, 9), False, True)),
    "resize_nearest": lambda: pooled(resize_nearest.ResizeNearest((8, 9), False, True)),
    "fake_quant": lambda: unary(fake_quant.FakeQuant(-20.0, 20.0), "float32"),
    "fully_connected": lambda: dense(),
    "fully_connected, dimensions kept": lambda: dense("float32", rank=3),
    "l2_norm": lambda: unary(l2_norm.L2Norm(), scale=1 / 128, zero_point=0),
    "l2_pool2d": lambda: unary(l2_pool2d.L2Pool2D((2, 3), (2, 1), (0, 0, 1, 1)), "float32"),
    "leaky_relu": lambda: unary(leaky_relu.LeakyRelu(0.125)),
    "lstm": lambda: lstm_layer(clip=0.5),
    "svdf": svdf_layer,
    "log_softmax": lambda: unary(log_softmax.LogSoftmax(), scale=1 / 16, zero_point=127),
    "logistic": lambda: unary(logistic.Logistic(), scale=1 / 256, zero_point=-128),
    "max_pool2d": lambda: pooled(max_pool2d.MaxPool2D((2, 2), (2, 2), (0, 0, 0, 0), "relu")),
    "mean": lambda: unary(mean.Mean((1, 2), True)),
    "mean, dimensions dropped": lambda: unary(mean.Mean((1, 2)), "float32"),
    "mul": lambda: binary(mul.Mul("relu6"), fixed=True),
    "pad": lambda: single(pad.Pad(((0, 0), (1, 2), (0, 3), (0, 0))), [image()], out_quant=HALF),
    "pad, a fill": padded,
    "quantize": lambda: single(quantize.Quantize(), [image("float32")], activation("out", SHAPE, "int8", HALF)),
    "relu": lambda: unary(relu.Relu("relu")),
    "relu, 6": lambda: unary(relu.Relu("relu6"), "float32"),
    "relu, -1 to 1": lambda: unary(relu.Relu("relu_n1_to_1"), "float32"),
    "reshape": lambda: single(reshape.Reshape((1, 24, 3)), [image()], out_quant=HALF),
    "softmax": lambda: unary(softmax.Softmax(0.5), scale=1 / 256, zero_point=-128),
    "select": lambda: single(
        select.Select(),
        [activation("c", SHAPE, "bool"), image(), replace(image(), name="y")],
        activation("out", SHAPE, "int8", HALF),
    ),
    "sub": lambda: binary(sub.Sub()),
    "tanh": lambda: unary(tanh.Tanh(), scale=1 / 128, zero_point=0),
    "transpose": lambda: single(transpose.Transpose((0, 3, 1, 2)), [image()], out_quant=HALF),
    "transpose_conv": lambda: convolution(transpose_conv.TransposeConv((8, 12), (2, 2), (0, 1, 0, 1)), 5, 3, 3, 3),
}

# Operators on constants: the file says more than the graph, and reading it back leaves the value.
FOLDED: dict[str, Callable[[], Graph]] = {
    "cast": lambda: single(cast.Cast("int8"), [INTS], activation("out", (2, 3, 4), "int8")),
    "fill": lambda: single(fill.Fill((3, 2)), [constant("value", np.array(7, np.int32))]),
    "broadcast_args": lambda: single(
        broadcast_args.BroadcastArgs(), [constant(n, np.array(v, np.int32)) for n, v in (("a", [3, 1]), ("b", [4]))]
    ),
    "gather": lambda: single(gather.Gather(1), [INTS, constant("i", np.array([2, 0], np.int32))]),
    "gather_nd": lambda: single(gather_nd.GatherNd(), [INTS, constant("i", np.array([[1, 2], [0, 0]], np.int32))]),
    "pack, folded": lambda: single(pack.Pack(1), [INTS, replace(INTS, name="y")]),
    "range": lambda: nothing(range_.Range(1, 9, 2), (4,)),
    "reduce, product": lambda: single(reduce.Reduce((0, 2), False, "prod"), [INTS]),
    "shape": lambda: nothing(shape.Shape((5, 6)), (2,)),
    "split": lambda: several(split.Split(2, (2, 2)), INTS, (2, 3, 2), (2, 3, 2)),
    "split, uneven": lambda: several(split.Split(2, (1, 3)), INTS, (2, 3, 1), (2, 3, 3)),
    "strided_slice, folded": lambda: single(_S((1, 2, 0), (2, -1, 4), (1, -1, 2), (0,)), [INTS]),
    "unpack": lambda: several(unpack.Unpack(1), INTS, (2, 4), (2, 4), (2, 4)),
}


def nothing(attrs: Attrs, dims: tuple[int, ...]) -> Graph:
    """A graph of one operator without inputs."""
    out = Tensor("out", dims, "int32")
    graph = Graph("single", {"out": out}, (Node(f"{attrs.op}_0", attrs, (), ("out",)),), (), ("out",))
    ops.check(graph)
    return graph


def operator_of(label: str) -> str:
    """The operator that a graph of these tables is for."""
    return label.split(",")[0]
