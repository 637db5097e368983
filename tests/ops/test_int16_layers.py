"""Element-wise, pooling and conversion layers on int16: against TensorFlow Lite Micro, the C against the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.ops import test_mean, test_pool
from tests.ops.broadcast import MEETINGS
from tests.ops.elementwise import RANKS, node_graph, panel, unchecked_out
from tests.support import activation, check_operator, constant, litert, quant, random_inputs, reference, same, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, DType, Graph, Quant, Tensor
from tinycomp.ops import window
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.base import Source
from tinycomp.ops.binary import Binary
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.dequantize import Dequantize
from tinycomp.ops.leaky_relu import LeakyRelu
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mean import Mean
from tinycomp.ops.mul import Mul
from tinycomp.ops.pad import Pad
from tinycomp.ops.pool import Pool
from tinycomp.ops.quantize import Quantize
from tinycomp.ops.relu import Relu
from tinycomp.ops.softmax import Softmax
from tinycomp.ops.sub import Sub
from tinycomp.ops.tanh import Tanh
from tinycomp.ops.transpose import Transpose
from tinycomp.tflite import writer

Q15 = quant(2.0**-15)
SHAPE = (1, 4, 8, 32)


def values(seed: int, shape: tuple[int, ...] = SHAPE) -> Array:
    """Of all sizes, both ends included."""
    rng = np.random.default_rng(seed)
    x = (rng.uniform(-1, 1, shape) * 2.0 ** rng.uniform(0, 15, shape)).astype(np.int16)
    x.reshape(-1)[:6] = (-32768, 32767, 0, -1, 1, -32767)[: x.size]
    return x


def layer(attrs: Attrs, scale: float, out: Quant, shape: tuple[int, ...] = SHAPE) -> Graph:
    """One layer of one input."""
    return single(attrs, [activation("x", shape, "int16", quant(scale))], out_quant=out)


def check(graphs: list[Graph], cases: int = 3) -> None:
    """All of them at once, on values of all sizes."""
    graph = panel(graphs)
    check_operator(graph, [[values(k * 99 + i, graph.tensors[t].shape) for i, t in enumerate(graph.inputs)]
                           for k in range(cases)])  # fmt: skip


def meeting(attrs: Binary, a: tuple[int, ...], b: tuple[int, ...], fixed: str) -> Graph:
    """Two operands, one of them perhaps constant."""
    scales = {"a": quant(0.0005), "b": quant(0.00021)}
    given = [
        constant(n, values(7, (64,))[: int(np.prod(s))].reshape(s), scales[n])
        if n in fixed and np.prod(s) <= 64
        else activation(n, s, "int16", scales[n])
        for n, s in (("a", a), ("b", b))
    ]
    return single(attrs, given, out_quant=quant(0.0006))


@pytest.mark.parametrize("attrs", [Add("relu"), Sub(), Mul("relu6")], ids=lambda a: a.op)
def test_operands_of_every_shape_meet(attrs):
    check([meeting(attrs, a, b, fixed) for a, b, fixed, _ in MEETINGS])


ENDS = [(0.001, 0.001, 0.002), (0.001, 0.00099, 0.0005), (0.37, 0.00012, 0.375), (0.5, 0.5, 1.0), (1e-5, 0.3, 0.02)]


def sums() -> list[Graph]:
    """ADD, SUB and MUL between many scales."""
    return [
        single(attrs, [activation("a", SHAPE, "int16", quant(a)), activation("b", SHAPE, "int16", quant(b))],
               out_quant=quant(out))
        for attrs in (Add(), Sub(), Mul())
        for a, b, out in ENDS
    ]  # fmt: skip


def test_operands_of_many_scales():
    check(sums())


def activations() -> list[Graph]:
    """RELU and its like, rescaling or not."""
    kinds = [Relu("relu"), Relu("relu6"), LeakyRelu(0.125), LeakyRelu(-0.3), LeakyRelu(1.7)]
    ends = [(0.001, 0.001), (0.001, 0.0007), (0.0003, 0.05)]
    return [layer(attrs, x, quant(out)) for attrs in kinds for x, out in ends]


def test_activations_that_are_piecewise_linear():
    check([*activations(), *(layer(Relu(), 0.001, quant(0.001), shape) for shape in RANKS)])


CURVES = [2.0**-12, 2.0**-11, 1.00001 * 2.0**-12, 1e-9, 1e-5, 0.0003, 0.001, 0.004, 0.1, 1.3, 2.6]


@pytest.mark.parametrize("attrs", [Logistic(), Tanh()], ids=lambda a: a.op)
def test_curves_under_many_scales(attrs):
    check([layer(attrs, scale, Q15) for scale in CURVES])


@pytest.mark.parametrize("attrs", [Logistic(), Tanh()], ids=lambda a: a.op)
def test_curves_at_every_value(attrs):
    every = np.arange(-32768, 32768).astype(np.int16).reshape(1, 16, 16, 256)
    check_operator(panel([layer(attrs, scale, Q15, every.shape) for scale in (2.0**-12, 0.00037)]), [[every] * 2])


SOFTMAXES = [1e-7, 1e-4, 0.0005, 0.001, 0.02, 0.5, 2.4]


def softmaxes(depth: int) -> list[Graph]:
    """SOFTMAX under many scales."""
    return [layer(Softmax(beta), scale, Q15, (24, depth)) for scale in SOFTMAXES for beta in (1.0, 0.7)]


def logits(depth: int) -> Array:
    """Rows that are spread, bunched, equal, and single peaks."""
    x = values(depth, (24, depth))
    x[1::4] = np.random.default_rng(1).integers(-300, 301, x[1::4].shape)
    x[2::4] = x[2::4, :1]
    x[3::4] = -32768
    x[3::4, depth // 2] = 32767
    return x


@pytest.mark.parametrize("depth", [1, 2, 10, 300])
def test_softmax_of_rows_of_every_kind(depth):
    graphs = softmaxes(depth)
    check_operator(panel(graphs), [[logits(depth)] * len(graphs)])


def pooled(kind: type[Pool], h: int, w: int, c: int, size: window.Pair, stride: window.Pair, scheme: int,
           act: str) -> Graph:  # fmt: skip
    """One pool."""
    pads = window.padding_of(Source("", "", {"padding": scheme}, (), ()), (h, w), size, stride, (1, 1))
    return layer(kind(size, stride, pads, act), 0.003, quant(0.003), (1, h, w, c))


def pools() -> list[Graph]:
    """The grid of both pools."""
    return [pooled(kind, *param.values[:-1]) for kind in (AveragePool2D, MaxPool2D) for param in test_pool.GRID]


def test_pools_of_many_shapes():
    check(pools())


def means() -> list[Graph]:
    """The grid of MEAN."""
    return [layer(Mean(axes, keep), 0.001, quant(out), shape) for shape, axes, keep, _ in
            (param.values for param in test_mean.GRID) for out in (0.001, 0.0007)]  # fmt: skip


def test_means_of_many_shapes():
    check(means())


CONVERSIONS: list[tuple[DType, DType]] = [("int8", "int32"), ("int16", "int32"), ("int32", "int8"), ("int32", "int16")]


@pytest.mark.parametrize(("x", "out"), CONVERSIONS)
def test_conversions_between_integers(x, out):
    ends = [(0.001, 0.001), (0.001, 0.7), (0.25, 0.5)] + ([] if x == "int32" else [(0.9, 0.0005)])
    ends = [(a, b) for a, b in ends if x != "int32" or a < b]
    graphs = [single(Quantize(), [activation("x", SHAPE, x, quant(a, 5 if x == "int8" else 0))],
                     Tensor("out", SHAPE, out, quant(b, -3 if out == "int8" else 0))) for a, b in ends]  # fmt: skip
    check_operator(panel(graphs))


def test_layers_that_move_numbers():
    x, q = activation("x", SHAPE, "int16", quant(0.01)), quant(0.01)
    graphs = [
        single(Pad(((0, 0), (1, 2), (0, 3), (1, 0))), [x], out_quant=q),
        single(Transpose((0, 2, 1, 3)), [x], out_quant=q),
        single(Concatenation(3), [x, replace(x, name="y")], out_quant=q),
        single(Dequantize(), [x], activation("out", SHAPE, "float32")),
    ]
    check(graphs)


GROUPS: dict[str, Callable[[], list[Graph]]] = {
    "sums": lambda: [g for k, g in enumerate(sums()) if ENDS[k % len(ENDS)] != (0.5, 0.5, 1.0)],
    "activations": lambda: [g for g in activations() if not (isinstance(a := g.nodes[0].attrs, Relu)
                                                             and a.activation == "relu6")],
    "curves": lambda: [layer(attrs, scale, Q15) for attrs in (Logistic(), Tanh()) for scale in CURVES],
    "softmax": lambda: softmaxes(10),
    "pools": pools,
    "means": means,
}  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_litert_computes_the_same(group):
    graph = replace(panel(GROUPS[group]()), reference="litert")
    ops.check(graph)
    cases = [[values(i, graph.tensors[t].shape) for i, t in enumerate(graph.inputs)], *random_inputs(graph, cases=3)]
    for k, (case, answer) in enumerate(zip(cases, litert(writer.write(graph), cases), strict=True)):
        same(reference(graph, case), answer, f"{group}, case {k}")


@pytest.mark.parametrize(("attrs", "x", "out", "error", "message"), [
    (Relu(), quant(0.1, 3), quant(0.1), Unsupported, "'x' is int16 with zero point 3"),
    (Mean((1,)), quant(0.1), quant(0.1, 2), Unsupported, "'out' is int16 with zero point 2"),
    (Tanh(), quant(0.1), quant(0.1), BadInput, r"takes 2\^-15 alone"),
    (Logistic(), quant(2.7), Q15, Unsupported, "takes less than 2.66"),
    (Softmax(1.0), quant(0.1), quant(1 / 256), BadInput, r"takes 2\^-15 alone"),
    (Softmax(1.0), quant(3.0), Q15, Unsupported, "outside the reference's arithmetic"),
    (Softmax(0.0), quant(0.1), Q15, Unsupported, "outside the reference's arithmetic"),
])  # fmt: skip
def test_what_the_reference_does_not_compute_is_refused(attrs, x, out, error, message):
    graph = node_graph(attrs, [activation("x", (1, 7), "int16", x)], unchecked_out((1, 7), "int16", out))
    with pytest.raises(error, match=message):
        ops.check(graph)


def test_adding_in_powers_of_two_is_litert_s_own_arithmetic():
    graph = replace(sums()[3], reference="litert")
    with pytest.raises(Unsupported, match="powers of two"):
        ops.check(graph)


def test_products_that_leave_32_bits_are_refused():
    given = [activation(n, (4,), "int16", quant(1.0)) for n in "ab"]
    with pytest.raises(Unsupported, match="takes less than 1"):
        ops.check(node_graph(Mul(), given, unchecked_out((4,), "int16", quant(0.5))))


def test_sums_of_too_many_values_are_refused():
    x = activation("x", (1, 70_000, 2), "int16", quant(1.0))
    with pytest.raises(Unsupported, match="averages 70,000 int16 values of 'x'"):
        ops.check(node_graph(Mean((1,)), [x], unchecked_out((1, 2), "int16", quant(1.0))))
