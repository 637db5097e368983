"""Graphs of one node, of random shapes, for every operator that has kernels: what costs are fitted to and tested on."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, DType, Graph, Node, Quant, Tensor
from tinycomp.kernel import choices
from tinycomp.ops import (
    add,
    average_pool2d,
    concatenation,
    conv2d,
    depthwise_conv2d,
    dequantize,
    fully_connected,
    leaky_relu,
    logistic,
    max_pool2d,
    mean,
    mul,
    pad,
    quantize,
    relu,
    softmax,
    sub,
    tanh,
    transpose,
)
from tinycomp.rewrite import WEIGHTED

Rng = np.random.Generator
MOST_MACS, LEAST_BYTES, MOST_BYTES = 60_000, 8, 8_192
HOPELESS = 400  # shapes without one that the row takes
INT4 = frozenset({"int4_columns", "int4_dsp"})  # rows on int4 weights that are fitted
HALF = Quant((0.5,), (3,))


def grid(op: str, kernel: str, features: frozenset[str], count: int, seed: int = 0) -> list[Graph]:
    """`count` graphs, or as many as random shapes yield, whose only node the kernel row takes."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{op}/{kernel}".encode())])
    operator, found = ops.OPERATORS[op], list[Graph]()
    for tries in range(60 * count):
        if len(found) == count or (not found and tries == HOPELESS):
            break
        for graph in _attempt(op, kernel, rng):
            if kernel in (k.name for k in choices(operator.kernels, graph.nodes[0], graph, features)):
                found.append(graph)
    return found


def _attempt(op: str, kernel: str, rng: Rng) -> Iterator[Graph]:
    dtype: DType = "float32" if "float" in kernel or kernel == "plain" else "int8"
    try:
        graph = in_int4(MAKERS[op](rng, dtype)) if kernel in INT4 else MAKERS[op](rng, dtype)
    except (BadInput, Unsupported, ValueError):
        return
    out = graph.out(graph.nodes[0])
    macs = ops.operator(graph.nodes[0]).macs(graph.nodes[0], graph)
    if macs <= MOST_MACS and sum(t.bytes for t in graph.tensors.values()) >= LEAST_BYTES and out.elements <= MOST_BYTES:
        yield replace(graph, reference="litert") if kernel == "once" else graph


def in_int4(graph: Graph) -> Graph:
    """The graph with int4 weights, of about the same size, in place of int8 ones in each layer that has some."""
    made: dict[str, Tensor] = {}
    for x, w, b in (graph.ins(n) for n in graph.nodes if isinstance(n.attrs, WEIGHTED)):
        assert w.data is not None
        assert w.quant is not None
        scales = tuple(16 * s for s in w.quant.scale)
        data = np.clip(np.rint(w.data / 16), -7, 7).astype(np.int8)
        made[w.name] = replace(w, dtype="int4", data=data, quant=replace(w.quant, scale=scales))
        made[b.name] = replace(b, quant=Quant(tuple(x.scale * s for s in scales), (0,) * len(scales), 0))
    narrow = replace(graph, tensors={**graph.tensors, **made})
    ops.check(narrow)
    return narrow


def merged(graphs: Sequence[Graph]) -> Graph:
    """One graph of all nodes, which have nothing to do with each other. Node i is named `n<i>`."""
    tensors: dict[str, Tensor] = {}
    nodes, inputs, outputs = list[Node](), list[str](), list[str]()
    for i, g in enumerate(graphs):
        tensors |= {f"{i}_{name}": replace(t, name=f"{i}_{name}") for name, t in g.tensors.items()}
        (node,) = g.nodes
        ends = (tuple(f"{i}_{name}" for name in names) for names in (node.inputs, node.outputs))
        nodes.append(replace(node, name=f"n{i}", **dict(zip(("inputs", "outputs"), ends, strict=True))))
        inputs += [f"{i}_{name}" for name in g.inputs]
        outputs += [f"{i}_{name}" for name in g.outputs]
    made = replace(graphs[0], tensors=tensors, nodes=tuple(nodes), inputs=tuple(inputs), outputs=tuple(outputs))
    ops.check(made)
    return made


def single(attrs: Attrs, inputs: Sequence[Tensor], dtype: DType | None = None, q: Quant | None = None) -> Graph:
    """A checked graph of one node; the output's shape is inferred."""
    node = Node("n0", attrs, tuple(t.name for t in inputs), ("out",))
    tensors = {t.name: t for t in inputs}
    probe = Graph("probe", {**tensors, "out": Tensor("out", (1,), dtype or inputs[0].dtype, q)}, (node,), (), ())
    ((shape, kind),) = ops.operator(node).infer(node, probe)
    given = tuple(dict.fromkeys(t.name for t in inputs if t.data is None))
    graph = Graph("single", {**tensors, "out": Tensor("out", shape, kind, q)}, (node,), given, ("out",))
    ops.check(graph)
    return graph


def inputs_of(graph: Graph, seed: int = 0) -> list[Array]:
    """Random inputs."""
    rng, made = np.random.default_rng(seed), list[Array]()
    for t in (graph.tensors[name] for name in graph.inputs):
        if t.dtype == "float32":
            made.append(rng.normal(0, 2, t.shape).astype(np.float32))
        else:
            made.append(rng.integers(-128, 128, t.shape).astype(t.dtype))
    return made


def _pick(rng: Rng, *values: int) -> int:
    return int(rng.choice(values))


def _size(rng: Rng, most: int) -> int:
    """1 to most, small ones as often as large ones; half of them are multiples of four or eight."""
    value = int(np.exp(rng.uniform(0, np.log(most + 0.99))))
    unit = _pick(rng, 1, 1, 4, 8)
    return min(most, max(1, -(-value // unit) * unit))


def _activation(rng: Rng) -> str:
    return str(rng.choice(["none", "relu", "relu", "relu6"]))


def _image(rng: Rng, dtype: DType, h: int, w: int, c: int, name: str = "x") -> Tensor:
    return Tensor(name, (1, h, w, c), dtype, None if dtype == "float32" else HALF)


def _weighted(rng: Rng, attrs: Attrs, x: Tensor, shape: Sequence[int], axis: int, inner: int, relu: bool,
              per_channel: bool = True) -> Graph:  # fmt: skip
    n = shape[axis]
    if x.dtype == "float32":
        w = Tensor("w", tuple(shape), "float32", None, rng.normal(0, 1, shape).astype(np.float32))
        return single(attrs, [x, w, Tensor("b", (n,), "float32", None, np.zeros(n, np.float32))])
    data = np.clip(np.rint(rng.normal(0, 32, shape)), -127, 127).astype(np.int8)
    scales = tuple(float(np.float32(s)) for s in 0.01 * rng.uniform(0.6, 1.4, n if per_channel else 1))
    given = Quant(tuple(0.5 * s for s in scales), (0,) * len(scales), 0)
    w = Tensor("w", tuple(shape), "int8", Quant(scales, (0,) * len(scales), axis), data)
    b = Tensor("b", (n,), "int32", given, rng.integers(-500, 500, n).astype(np.int32))
    spread = 0.5 * 0.01 * 32 * 74 * np.sqrt(inner)  # of the sums, in real numbers
    out = Quant((float(np.float32(spread * rng.uniform(1, 3) / 64)),), (-128 if relu else int(rng.integers(-20, 20)),))
    return single(attrs, [x, w, b], q=out)


def _conv2d(rng: Rng, dtype: DType) -> Graph:
    kh, kw = ((1, 1), (3, 3), (3, 3), (5, 5), (1, 3), (4, 10), (2, 2), (7, 1))[_pick(rng, 0, 0, 0, *range(8))]
    s, d = _pick(rng, 1, 1, 2), _pick(rng, 1, 1, 1, 1, 1, 2) if kw > 1 else 1
    same = bool(rng.integers(2)) and kw > 1
    c, out = _pick(rng, 1, 1, 2, 3, 4, 8, 10, 16, 24, 32, 64, 70, 128, 256), _size(rng, 160)
    groups = 2 if rng.random() < 0.06 and c % 2 == 0 and out % 2 == 0 else 1
    rows, wide = _size(rng, 4), _size(rng, 24)
    reach = (kh - 1) * d, (kw - 1) * d
    padding = (reach[0] // 2, reach[0] - reach[0] // 2, reach[1] // 2, reach[1] - reach[1] // 2) if same else (0,) * 4
    h, w = (max(1, (n - 1) * s + 1 + r - a - b) for n, r, a, b in
            ((rows, reach[0], *padding[:2]), (wide, reach[1], *padding[2:])))  # fmt: skip
    kind = _activation(rng)
    attrs = conv2d.Conv2D((s, s), (d, d), padding, kind)
    shape = (out, kh, kw, c // groups)
    return _weighted(rng, attrs, _image(rng, dtype, h, w, c), shape, 0, kh * kw * c, kind != "none")


def _depthwise(rng: Rng, dtype: DType) -> Graph:
    kh, kw = ((3, 3), (5, 5), (3, 1), (1, 3), (2, 2), (7, 7), (5, 1), (10, 1))[_pick(rng, 0, 0, 0, 0, 0, *range(8))]
    s, d = _pick(rng, 1, 1, 2), _pick(rng, 1, 1, 1, 1, 1, 1, 2)
    c = _pick(rng, 1, 3, 4, 8, 10, 16, 24, 32, 48, 64, 70, 128)
    m = _pick(rng, 1, 1, 1, 1, 1, 2, 3, 4, 8)
    rows, wide = _size(rng, 6), _size(rng, 28)
    reach = (kh - 1) * d, (kw - 1) * d
    same = bool(rng.integers(3))
    padding = (reach[0] // 2, reach[0] - reach[0] // 2, reach[1] // 2, reach[1] - reach[1] // 2) if same else (0,) * 4
    h, w = (max(1, (n - 1) * s + 1 + r - a - b) for n, r, a, b in
            ((rows, reach[0], *padding[:2]), (wide, reach[1], *padding[2:])))  # fmt: skip
    if rng.random() < 0.3:  # over the whole image
        kh, kw, s, d, padding = _size(rng, 12), _size(rng, 12), 1, 1, (0,) * 4
        h, w = kh, kw
    kind = _activation(rng)
    attrs = depthwise_conv2d.DepthwiseConv2D((s, s), (d, d), padding, kind)
    return _weighted(rng, attrs, _image(rng, dtype, h, w, c), (1, kh, kw, c * m), 3, kh * kw, kind != "none")


def _dense(rng: Rng, dtype: DType) -> Graph:
    vectors, inner, out = _pick(rng, 1, 1, 1, 2, 4), _size(rng, 640), _size(rng, 128)
    if rng.random() < 0.15:  # sums too large for the quickest form
        vectors, inner, out = 1, _pick(rng, 1000, 2304, 3000, 4000), _size(rng, 14)
    kind = _activation(rng)
    attrs = fully_connected.FullyConnected(False, kind)
    x = Tensor("x", (vectors, inner), dtype, None if dtype == "float32" else HALF)
    return _weighted(rng, attrs, x, (out, inner), 0, inner, kind != "none", bool(rng.integers(2)))


def _pooled(kind: type[average_pool2d.AveragePool2D] | type[max_pool2d.MaxPool2D]) -> Callable[[Rng, DType], Graph]:
    def make(rng: Rng, dtype: DType) -> Graph:
        c, k = _size(rng, 64), _pick(rng, 2, 2, 3, 3, 4)
        s, same = _pick(rng, 1, 2, k), bool(rng.integers(2))
        h, w = k + _size(rng, 10) - 1, k + _size(rng, 12) - 1
        size, padding = (k, k), (0, k - 1, (k - 1) // 2, k // 2) if same else (0,) * 4
        if rng.random() < 0.35:
            size, padding, s = (h, w), (0,) * 4, 1
        attrs = kind(size, (s, s), padding, _activation(rng))
        return single(attrs, [_image(rng, dtype, h, w, c)], q=None if dtype == "float32" else HALF)

    return make


def _mean(rng: Rng, dtype: DType) -> Graph:
    axes = ((1, 2), (1, 2), (1,), (2,), (3,), (2, 3), (1, 2, 3))[_pick(rng, *range(7))]
    x = _image(rng, dtype, _size(rng, 12), _size(rng, 12), _size(rng, 64))
    return single(mean.Mean(axes, bool(rng.integers(2))), [x], q=None if dtype == "float32" else Quant((0.3,), (1,)))


def _binary(kind: type[add.Add] | type[sub.Sub] | type[mul.Mul]) -> Callable[[Rng, DType], Graph]:
    def make(rng: Rng, dtype: DType) -> Graph:
        h, w, c = _size(rng, 8), _size(rng, 16), _size(rng, 64)
        x, y = _image(rng, dtype, h, w, c), _image(rng, dtype, h, w, c, "y")
        out = None
        if dtype != "float32":  # which operand is finer decides between forms of the code
            x, y = (replace(t, quant=Quant((float(rng.choice([0.2, 0.5, 0.8])),), (3,))) for t in (x, y))
            out = Quant((float(rng.uniform(0.4, 1.2)),), (-2,))
        form = _pick(rng, 0, 0, 0, 1, 2, 3)
        if form:
            shape = {1: (c,), 2: (1,), 3: (1, h, w, c)}[form]
            data = rng.integers(-100, 100, shape).astype(np.int8 if dtype == "int8" else np.float32)
            y = replace(y, shape=shape, data=data)
        ends = [y, x] if form and rng.random() < 0.4 else [x, y]
        return single(kind(_activation(rng)), ends, q=out)

    return make


def _some(rng: Rng, dtype: DType, scale: float = 0.5) -> Tensor:
    x = _image(rng, dtype, _size(rng, 12), _size(rng, 20), _size(rng, 64))
    return x if dtype == "float32" else replace(x, quant=Quant((scale,), (3,)))


def _unary(attrs: Callable[[Rng], Attrs], out: Quant, scale: float = 0.5) -> Callable[[Rng, DType], Graph]:
    return lambda rng, dtype: single(attrs(rng), [_some(rng, dtype, scale)], q=None if dtype == "float32" else out)


def _relu(rng: Rng, dtype: DType) -> Graph:
    kind = str(rng.choice(["relu", "relu6", "relu_n1_to_1"]))
    out = None if dtype == "float32" else (HALF if rng.random() < 0.5 else Quant((0.3,), (-1,)))
    return single(relu.Relu(kind), [_some(rng, dtype)], q=out)


def _quantize(rng: Rng, dtype: DType) -> Graph:
    return single(quantize.Quantize(), [_some(rng, dtype)], dtype="int8", q=Quant((0.07,), (1,)))


def _dequantize(rng: Rng, dtype: DType) -> Graph:
    return single(dequantize.Dequantize(), [_some(rng, "int8")], dtype="float32")


def _softmax(rng: Rng, dtype: DType) -> Graph:
    shape = ((1, _size(rng, 100)), (_size(rng, 6), _size(rng, 60)))[_pick(rng, 0, 1)]
    x = Tensor("x", shape, dtype, None if dtype == "float32" else Quant((float(rng.uniform(0.02, 0.3)),), (3,)))
    return single(softmax.Softmax(1.0), [x], q=None if dtype == "float32" else Quant((1 / 256,), (-128,)))


def _concatenation(rng: Rng, dtype: DType) -> Graph:
    x, axis = _image(rng, dtype, _size(rng, 8), _size(rng, 12), _size(rng, 40)), _pick(rng, 1, 2, 3, 3)
    parts = [replace(x, name=f"x{i}", shape=tuple(_size(rng, 12) if a == axis else d for a, d in enumerate(x.shape)))
             for i in range(_pick(rng, 2, 2, 3))]  # fmt: skip
    return single(concatenation.Concatenation(axis), parts, q=x.quant)


def _pad(rng: Rng, dtype: DType) -> Graph:
    a, b = (tuple(int(n) for n in rng.integers(0, 3, 2)) for _ in range(2))
    c = (0, _pick(rng, 0, 0, 0, 4))
    x = _some(rng, dtype)
    return single(pad.Pad(((0, 0), (a[0], a[1]), (b[0], b[1]), c)), [x], q=x.quant)


def _transpose(rng: Rng, dtype: DType) -> Graph:
    perm = ((0, 2, 1, 3), (0, 3, 1, 2), (0, 2, 3, 1), (0, 1, 3, 2), (0, 3, 2, 1))[_pick(rng, *range(5))]
    x = _some(rng, "int8" if rng.random() < 0.7 else "float32")
    return single(transpose.Transpose(perm), [x], q=x.quant)


MAKERS: dict[str, Callable[[Rng, DType], Graph]] = {
    "add": _binary(add.Add),
    "average_pool2d": _pooled(average_pool2d.AveragePool2D),
    "concatenation": _concatenation,
    "conv2d": _conv2d,
    "depthwise_conv2d": _depthwise,
    "dequantize": _dequantize,
    "fully_connected": _dense,
    "leaky_relu": _unary(lambda _: leaky_relu.LeakyRelu(0.1), HALF),
    "logistic": _unary(lambda _: logistic.Logistic(), Quant((1 / 256,), (-128,)), 0.05),
    "max_pool2d": _pooled(max_pool2d.MaxPool2D),
    "mean": _mean,
    "mul": _binary(mul.Mul),
    "pad": _pad,
    "quantize": _quantize,
    "relu": _relu,
    "softmax": _softmax,
    "sub": _binary(sub.Sub),
    "tanh": _unary(lambda _: tanh.Tanh(), Quant((1 / 128,), (0,)), 0.02),
    "transpose": _transpose,
}
