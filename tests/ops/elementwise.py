"""What the tests of element-wise operators share: inputs that hold every byte, many small graphs as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.support import reference, same, tflm
from tinycomp.ir import Array, Attrs, Graph, Node, Quant, Tensor
from tinycomp.tflite import writer

BYTES = np.arange(-128, 128).astype(np.int8).reshape(1, 4, 8, 8)
EVERY_PAIR = (np.repeat(BYTES, 256).reshape(1, 32, 32, 64), np.tile(BYTES.ravel(), 256).reshape(1, 32, 32, 64))
RANKS = [(2, 3, 4, 5), (3, 4, 5), (3, 7), (7,), (1,)]


def panel(graphs: Sequence[Graph]) -> Graph:
    """Graphs that share nothing as one, so that a single build and a single interpreter run them all."""
    tensors: dict[str, Tensor] = {}
    nodes: list[Node] = []
    inputs: list[str] = []
    outputs: list[str] = []
    for k, g in enumerate(graphs):
        names = {name: f"{name}_{k}" for name in g.tensors}
        tensors |= {names[t.name]: replace(t, name=names[t.name]) for t in g.tensors.values()}
        for n in g.nodes:
            ends = tuple(names[i] for i in n.inputs), tuple(names[o] for o in n.outputs)
            nodes.append(replace(n, name=f"{n.op}_{k}", inputs=ends[0], outputs=ends[1]))
        inputs += [names[i] for i in g.inputs]
        outputs += [names[o] for o in g.outputs]
    return Graph("panel", tensors, tuple(nodes), tuple(inputs), tuple(outputs))


def node_graph(attrs: Attrs, inputs: Sequence[Tensor], out: Tensor, which: str = "tflm") -> Graph:
    """A graph of one node that nothing has checked, for tests of the checks."""
    node = Node(f"{attrs.op}_0", attrs, tuple(t.name for t in inputs), ("out",))
    tensors = {**{t.name: t for t in inputs}, "out": replace(out, name="out")}
    given = tuple(t.name for t in inputs if t.data is None)
    return Graph("one", tensors, (node,), given, ("out",), which)  # type: ignore[arg-type]


def unchecked_out(shape: Sequence[int], dtype: str = "int8", q: Quant | None = None) -> Tensor:
    """An output as a file might declare it."""
    return Tensor("out", tuple(shape), dtype, q)  # type: ignore[arg-type]


def check_reference(graph: Graph, cases: Sequence[Sequence[Array]]) -> None:
    """The numpy reference equals TFLM; no C is built."""
    for k, (case, answer) in enumerate(zip(cases, tflm(writer.write(graph), cases, len(graph.outputs)), strict=True)):
        wanted = reference(graph, case)
        found = [a.reshape(w.shape) for a, w in zip(answer, wanted, strict=True)]
        same(wanted, found, f"reference against TFLM, case {k}")
