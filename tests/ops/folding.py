"""What tests of fold-only operators share: the reference against TensorFlow Lite Micro, the reader's folding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.support import random_inputs, reference, same, tflm
from tinycomp import ops
from tinycomp.ir import Array, Attrs, Graph, Node, Tensor
from tinycomp.tflite import reader, writer


def graph_of(attrs: Attrs, inputs: Sequence[Tensor], outputs: int = 1) -> Graph:
    """A checked graph of one node with any number of inputs and outputs; the outputs' shapes are inferred."""
    names = tuple(f"out{i}" for i in range(outputs))
    node = Node(f"{attrs.op}_0", attrs, tuple(t.name for t in inputs), names)
    tensors = {t.name: t for t in inputs}
    dtype, q = (inputs[0].dtype, inputs[0].quant) if inputs else ("int32", None)
    probe = Graph("probe", {**tensors, **{n: Tensor(n, (1,), dtype) for n in names}}, (node,), (), ())
    for name, (shape, made) in zip(names, ops.operator(node).infer(node, probe), strict=True):
        tensors[name] = Tensor(name, shape, made, q if made == dtype else None)
    given = tuple(dict.fromkeys(t.name for t in inputs if t.data is None))
    graph = Graph("folding", tensors, (node,), given, names)
    ops.check(graph)
    return graph


def check_against_tflm(graph: Graph, cases: Sequence[Sequence[Array]] | None = None) -> None:
    """The numpy reference equals what TensorFlow Lite Micro computes at run time."""
    cases = random_inputs(graph) if cases is None else cases
    for k, answer in enumerate(tflm(writer.write(graph), cases, len(graph.outputs))):
        wanted = reference(graph, cases[k])
        same(wanted, [a.reshape(w.shape) for a, w in zip(answer, wanted, strict=True)], f"case {k}")


def folded(graph: Graph, case: Sequence[Array] = ()) -> list[Array]:
    """The outputs as the reader folds them, the graph's inputs set to the given constants."""
    fixed = {n: replace(graph.tensors[n], data=x) for n, x in zip(graph.inputs, case, strict=True)}
    read = reader.read(writer.write(replace(graph, tensors={**graph.tensors, **fixed}, inputs=())))
    assert read.nodes == ()
    found = [read.tensors[name].data for name in read.outputs]
    assert all(data is not None for data in found)
    return [np.asarray(data) for data in found]


def check_folding(graph: Graph, case: Sequence[Array] = ()) -> None:
    """Writing, reading and folding gives what the reference gives."""
    same(folded(graph, case), reference(graph, case), "folded")
