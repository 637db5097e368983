"""Small graphs for the tests of rules, grown node by node, and the comparison of a graph with its rewrite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.support import quant
from tinycomp import interpret, ops
from tinycomp.ir import Array, Attrs, DType, Edit, Graph, Node, Quant, Reference, Tensor, apply
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.ops.transpose_conv import TransposeConv
from tinycomp.rewrite import Rule

BATCH = 6


class Net:
    """A graph under construction. Methods add a node and give the name of its output."""

    def __init__(self, dtype: DType = "int8", seed: int = 0, reference: Reference = "tflm") -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype: DType = dtype
        self.reference: Reference = reference
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []

    def quant(self, scale: float = 0.05, zero: int = -3) -> Quant | None:
        """Quantization of an activation, None in float."""
        return quant(scale, zero) if self.dtype == "int8" else None

    def input(self, *shape: int, scale: float = 0.05, zero: int = -3) -> str:
        """An input of the graph."""
        name = f"x{len(self.inputs)}"
        self.tensors[name] = Tensor(name, shape, self.dtype, self.quant(scale, zero))
        self.inputs.append(name)
        return name

    def constant(self, data: Array, q: Quant | None = None) -> str:
        """A constant."""
        name = f"c{len(self.tensors)}"
        dtype: DType = data.dtype.name  # type: ignore[assignment]
        self.tensors[name] = Tensor(name, data.shape, dtype, q, data)
        return name

    def op(self, attrs: Attrs, *inputs: str, q: Quant | None = None, dtype: DType | None = None) -> str:
        """A node of one output. Its quantization is the first input's unless stated."""
        name, out = f"{attrs.op}_{len(self.nodes)}", f"t{len(self.tensors)}"
        node = Node(name, attrs, inputs, (out,))
        first = self.tensors[inputs[0]]
        guess = Tensor(out, (1,), dtype or first.dtype, q or (first.quant if dtype in (None, first.dtype) else None))
        ((shape, kind),) = ops.operator(node).infer(node, self._graph({**self.tensors, out: guess}, ()))
        self.tensors[out] = replace(guess, shape=shape, dtype=kind)
        self.nodes.append(node)
        return out

    def conv(self, x: str, channels: int, size: tuple[int, int] = (1, 1), dead: Sequence[int] = (),
             bias: dict[int, int] | None = None, q: Quant | None = None, **attrs: object) -> str:  # fmt: skip
        """A convolution with random weights: channels of `dead` have none, `bias` sets single biases."""
        shape = (channels, *size, self.tensors[x].shape[3])
        return self._weighted(Conv2D(**attrs), x, shape, 0, dead, bias or {}, q)  # type: ignore[arg-type]

    def depthwise(self, x: str, size: tuple[int, int] = (3, 3), multiplier: int = 1, dead: Sequence[int] = (),
                  bias: dict[int, int] | None = None, q: Quant | None = None, **attrs: object) -> str:  # fmt: skip
        """A depthwise convolution."""
        shape = (1, *size, self.tensors[x].shape[3] * multiplier)
        return self._weighted(DepthwiseConv2D(**attrs), x, shape, 3, dead, bias or {}, q)  # type: ignore[arg-type]

    def spread(self, x: str, channels: int, size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int],
               padding: tuple[int, int, int, int]) -> str:  # fmt: skip
        """A transposed convolution with random weights."""
        shape = (channels, *kernel, self.tensors[x].shape[3])
        return self._weighted(TransposeConv(size, stride, padding), x, shape, 0, (), {}, None)

    def dense(self, x: str, outputs: int, dead: Sequence[int] = (), bias: dict[int, int] | None = None,
              q: Quant | None = None, inner: int = 0, per_channel: bool = True, **attrs: object) -> str:  # fmt: skip
        """A dense layer on vectors of `inner` elements (a whole row of the last axis unless stated)."""
        shape = (outputs, inner or self.tensors[x].shape[-1])
        return self._weighted(FullyConnected(**attrs), x, shape, 0, dead, bias or {}, q, per_channel)  # type: ignore[arg-type]

    def graph(self, *outputs: str) -> Graph:
        """The checked graph."""
        graph = self._graph(self.tensors, outputs)
        ops.check(graph)
        return graph

    def _graph(self, tensors: dict[str, Tensor], outputs: Sequence[str]) -> Graph:
        return Graph("net", dict(tensors), tuple(self.nodes), tuple(self.inputs), tuple(outputs), self.reference)

    def _weighted(self, attrs: Attrs, x: str, shape: tuple[int, ...], axis: int, dead: Sequence[int],
                  bias: dict[int, int], q: Quant | None, per_channel: bool = True) -> str:  # fmt: skip
        channels = shape[axis]
        index = tuple(list(dead) if i == axis else slice(None) for i in range(len(shape)))
        if self.dtype == "float32":
            w = self.rng.normal(0, 0.5, shape).astype(np.float32)
            b = self.rng.normal(0, 1, channels).astype(np.float32)
            quants = (None, None)
        else:
            w = self.rng.integers(-127, 128, shape).astype(np.int8)
            b = self.rng.integers(-900, 900, channels).astype(np.int32)
            scales = tuple(float(np.float32(s)) for s in self.rng.uniform(0.002, 0.01, channels if per_channel else 1))
            quants = (Quant(scales, (0,) * len(scales), axis), Quant(scales, (0,) * len(scales), 0))
        w[index] = 0
        for channel, value in bias.items():
            b[channel] = value
        return self.op(attrs, x, self.constant(w, quants[0]), self.constant(b, quants[1]), q=q)


def random_batch(graph: Graph, seed: int = 0, batch: int = BATCH) -> list[Array]:
    """Random inputs with a larger leading axis; the first case is all minimum, the second all maximum."""
    rng, made = np.random.default_rng(seed), list[Array]()
    for t in map(graph.tensor, graph.inputs):
        shape = (batch * t.shape[0], *t.shape[1:])
        if t.dtype == "float32":
            made.append(rng.normal(0, 2, shape).astype(np.float32))
            continue
        x = rng.integers(-128, 128, shape).astype(np.int8)
        x[: t.shape[0]], x[t.shape[0] : 2 * t.shape[0]] = -128, 127
        made.append(x)
    return made


def assert_equal(before: Graph, after: Graph, exact: bool = True, seed: int = 0, batch: int = BATCH) -> None:
    """The rewrite is well formed, has the same inputs and outputs and answers alike: integers equal, floats to 1e-5."""
    ops.check(after)
    assert (before.inputs, before.outputs) == (after.inputs, after.outputs)
    inputs = random_batch(before, seed, batch)
    wanted, found = interpret.run(before, inputs), interpret.run(after, inputs)
    for name in before.outputs:
        assert before.tensors[name].shape == after.tensors[name].shape
        if exact and before.tensors[name].dtype != "float32":
            np.testing.assert_array_equal(found[name], wanted[name])
        else:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-5)


def rewritten(graph: Graph, rule: Rule) -> Graph:
    """The graph after the rule's first match, which there must be; checked and compared with the graph before."""
    after = apply(graph, *_edits(graph, rule)[:1])
    assert after.nodes != graph.nodes, f"{rule.name} matches nowhere"
    assert_equal(graph, after, rule.exact)
    return after


def matches(graph: Graph, rule: Rule) -> bool:
    """The rule matches somewhere."""
    return bool(_edits(graph, rule))


def _edits(graph: Graph, rule: Rule) -> list[Edit]:
    found = [rule.match(graph, node) for node in graph.nodes if isinstance(node.attrs, rule.root)]
    return [edit for edit in found if edit is not None]


def ops_of(graph: Graph) -> list[str]:
    """The operators in execution order."""
    return [node.op for node in graph.nodes]


def rule(name: str) -> Rule:
    """A rule of the tables."""
    from tinycomp.rules import EXACT, FLOAT

    return next(r for r in (*EXACT, *FLOAT) if r.name == name)
