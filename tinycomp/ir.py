"""The graph that every stage reads and writes: frozen values, no framework, no operator knowledge.

A tensor is known by its name, which is unique in its graph. Quantization belongs to tensors, so a float and an
int8 model are the same kind of graph. What the reader has normalised stays so: padding is four integers, a missing
bias is a constant of zeros, axes are not negative, constants are numpy arrays of the tensor's shape and dtype.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tinycomp.errors import BadInput

Array = NDArray[np.generic]
DType = Literal["bool", "int4", "int8", "uint8", "int16", "int32", "int64", "float32"]
Reference = Literal["tflm", "litert"]
MAX_RANK = 8  # of a tensor

ITEM_BYTES: dict[str, int] = {
    "bool": 1, "int4": 1, "int8": 1, "uint8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4,
}  # fmt: skip
NUMPY: dict[str, type[np.generic]] = {
    "bool": np.bool_, "int4": np.int8, "int8": np.int8, "uint8": np.uint8, "int16": np.int16,
    "int32": np.int32, "int64": np.int64, "float32": np.float32,
}  # fmt: skip


@dataclass(frozen=True)
class Quant:
    """real = scale · (q − zero_point), per tensor (one entry) or per channel along `axis`.

    Scales are the float32 values of the file, held as Python floats.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int = 0

    @property
    def per_channel(self) -> bool:
        """More than one scale."""
        return len(self.scale) > 1


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of fixed shape. `data` is set for constants only and is never written to.

    A float32 constant has `quant` where its values were trained to lie on the steps of int8; nothing computes with it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    quant: Quant | None = None
    data: Array | None = None

    @property
    def elements(self) -> int:
        """Number of elements (1 for a scalar)."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of a dense row-major copy; int4 values lie two to a byte."""
        return -(-self.elements // 2) if self.dtype == "int4" else self.elements * ITEM_BYTES[self.dtype]

    @property
    def rows(self) -> int:
        """Rows of storage: N·H for [N, H, W, C], N·T for [N, T, C], N for [N, C], 1 below that."""
        return math.prod(self.shape[:2]) if len(self.shape) >= 3 else self.shape[0] if len(self.shape) == 2 else 1

    @property
    def row_elements(self) -> int:
        """Elements of one row."""
        return self.elements // self.rows if self.rows else 0

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.row_elements * ITEM_BYTES[self.dtype]

    @property
    def scale(self) -> float:
        """The per-tensor scale. Raises BadInput where there is none."""
        return self._quant().scale[0]

    @property
    def zero_point(self) -> int:
        """The per-tensor zero point. Raises BadInput where there is none."""
        return self._quant().zero_point[0]

    def _quant(self) -> Quant:
        if self.quant is None:
            raise BadInput(f"{self.dtype} tensor has no quantization parameters", where=f"tensor {self.name!r}",
                           fix="export the model with full-integer quantization")  # fmt: skip
        return self.quant


class Attrs:
    """Base of an operator's parameters. `op` is the operator's name, the key of the operator table."""

    op: ClassVar[str] = ""


@dataclass(frozen=True)
class Node:
    """One operation. `name` is unique, safe to print and derived from the operator and its index in the file."""

    name: str
    attrs: Attrs
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def op(self) -> str:
        """The operator's name."""
        return self.attrs.op

    def renamed(self, names: Mapping[str, str]) -> Node:
        """The node with other names for some of its tensors."""
        inputs, outputs = (tuple(names.get(n, n) for n in side) for side in (self.inputs, self.outputs))
        return replace(self, inputs=inputs, outputs=outputs)


@dataclass(frozen=True, eq=False)
class State:
    """A value that survives from one inference to the next, a register between two tensors of the graph.

    before: the tensor that holds the value when an inference begins; no node writes it. after: the tensor whose value
    is the next inference's `before`, of equal dtype and shape. initial: the value of `before` in the first inference.
    """

    name: str
    before: str
    after: str
    initial: Array


@dataclass(frozen=True)
class Graph:
    """Tensors by name and nodes in an order that can be executed.

    `reference` says whose integer rounding the graph means: TensorFlow Lite Micro's or LiteRT's reference kernels.
    A graph with states is still a function: of the inputs and the states' values, to the outputs and their next values.
    """

    name: str
    tensors: Mapping[str, Tensor]
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reference: Reference = "tflm"
    states: tuple[State, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """What an inference begins with: the inputs and the states' values."""
        return (*self.inputs, *(s.before for s in self.states))

    @property
    def results(self) -> tuple[str, ...]:
        """What an inference is for: the outputs and the states' next values."""
        return (*self.outputs, *(s.after for s in self.states))

    @cached_property
    def _producers(self) -> dict[str, Node]:
        return {name: node for node in self.nodes for name in node.outputs}

    @cached_property
    def _consumers(self) -> dict[str, tuple[Node, ...]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    def producer(self, name: str) -> Node | None:
        """The node that writes the tensor, or None for inputs and constants."""
        return self._producers.get(name)

    def consumers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read the tensor, in execution order, each once."""
        return self._consumers.get(name, ())

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name."""
        return self.tensors[name]

    def constant(self, name: str) -> Array | None:
        """The tensor's data where it is a constant."""
        return self.tensors[name].data

    def ins(self, node: Node) -> tuple[Tensor, ...]:
        """The node's input tensors."""
        return tuple(self.tensors[name] for name in node.inputs)

    def out(self, node: Node) -> Tensor:
        """The node's first output tensor."""
        return self.tensors[node.outputs[0]]

    def activations(self, node: Node) -> tuple[Tensor, ...]:
        """The node's inputs that are not constants: what its kernel reads from the arena."""
        return tuple(t for t in self.ins(node) if t.data is None)


@dataclass(frozen=True)
class Edit:
    """A local change: nodes out, nodes in, tensors added or replaced, uses of one tensor moved to another.

    Inserted nodes take the place of the last removed node (or of `before`'s, where nothing is removed).
    """

    remove: tuple[Node, ...] = ()
    insert: tuple[Node, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    redirect: Mapping[str, str] = field(default_factory=dict[str, str])
    before: Node | None = None


def apply(graph: Graph, *edits: Edit) -> Graph:
    """The graph after the edits, without tensors that nothing uses any more. Does not change `graph`.

    Several edits at once must have no node and no tensor in common.
    """
    removed = {node.name for edit in edits for node in edit.remove}
    anchors = ((edit.remove[-1] if edit.remove else edit.before, edit.insert) for edit in edits)
    inserted = {anchor.name: nodes for anchor, nodes in anchors if anchor is not None}
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.extend(inserted.get(node.name, ()))
        if node.name not in removed:
            nodes.append(node)
    to = {old: new for edit in edits for old, new in edit.redirect.items()}
    if to:
        nodes = [replace(n, inputs=tuple(to.get(i, i) for i in n.inputs)) if any(i in to for i in n.inputs) else n
                 for n in nodes]  # fmt: skip
    outputs = tuple(to.get(o, o) for o in graph.outputs)
    states = tuple(replace(s, after=to[s.after]) if s.after in to else s for s in graph.states)
    tensors = {**graph.tensors, **{t.name: t for edit in edits for t in edit.tensors}}
    return pruned(replace(graph, tensors=tensors, nodes=tuple(nodes), outputs=outputs, states=states))


def pruned(graph: Graph) -> Graph:
    """The graph without tensors that no node, input, output or state names."""
    used = {*graph.sources, *graph.results}
    for node in graph.nodes:
        used.update(node.inputs, node.outputs)
    return replace(graph, tensors={name: t for name, t in graph.tensors.items() if name in used})


def renamed(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The graph with other names for some tensors, all at once. Of those that get one name the last one stays."""
    tensors = {names.get(n, n): replace(t, name=names.get(n, n)) for n, t in graph.tensors.items()}
    nodes = tuple(node.renamed(names) for node in graph.nodes)
    inputs, outputs = (tuple(names.get(n, n) for n in side) for side in (graph.inputs, graph.outputs))
    states = tuple(replace(s, before=names.get(s.before, s.before), after=names.get(s.after, s.after))
                   for s in graph.states)  # fmt: skip
    return replace(graph, tensors=tensors, nodes=nodes, inputs=inputs, outputs=outputs, states=states)


def fresh(graph: Graph, wanted: str, taken: Iterable[str] = ()) -> str:
    """A tensor or node name that the graph does not have yet, close to the wanted one."""
    names = {*graph.tensors, *(n.name for n in graph.nodes), *taken}
    if wanted not in names:
        return wanted
    return next(f"{wanted}_{i}" for i in range(1, len(names) + 2) if f"{wanted}_{i}" not in names)


def check(graph: Graph) -> None:
    """Raise BadInput unless the graph is well formed.

    Every name is defined once and before its use, shapes are positive, constants have their tensor's shape and
    dtype, outputs exist. Operator rules (shapes and dtypes that fit together) are `tinycomp.ops.check`'s.
    """
    known = set(graph.sources) | {name for name, t in graph.tensors.items() if t.data is not None}
    for name, t in graph.tensors.items():
        where = f"tensor {name!r}"
        if name != t.name:
            raise BadInput(f"is stored under the name {name!r} but calls itself {t.name!r}", where=where)
        if any(d <= 0 for d in t.shape):
            raise BadInput(f"has the shape {list(t.shape)}; every dimension must be positive", where=where)
        if t.data is not None and (t.data.shape != t.shape or t.data.dtype != NUMPY[t.dtype]):
            raise BadInput(
                f"is {t.dtype}{list(t.shape)} but its data is {t.data.dtype}{list(t.data.shape)}", where=where
            )
    _check_states(graph)
    seen: set[str] = set()
    for node in graph.nodes:
        if node.name in seen:
            raise BadInput("two nodes have this name", where=node.name)
        seen.add(node.name)
        for name in node.inputs:
            if name not in graph.tensors:
                raise BadInput(f"reads the tensor {name!r}, which does not exist", where=node.name)
            if name not in known:
                raise BadInput(f"reads the tensor {name!r} before anything has written it (a cycle, or nodes out of "
                               "order)", where=node.name)  # fmt: skip
        for name in node.outputs:
            if name not in graph.tensors:
                raise BadInput(f"writes the tensor {name!r}, which does not exist", where=node.name)
            if name in known:
                raise BadInput(f"writes the tensor {name!r}, which already has a value", where=node.name)
            known.add(name)
    for name in (*graph.sources, *graph.results):
        if name not in graph.tensors:
            raise BadInput(f"the graph's input, output or state {name!r} does not exist")
        if name not in known:
            raise BadInput(f"nothing writes the graph's output or next state {name!r}")


def _check_states(graph: Graph) -> None:
    befores = [s.before for s in graph.states]
    if len({*befores, *graph.inputs}) < len(befores) + len(set(graph.inputs)):
        raise BadInput("two states, or a state and an input, are one tensor", where=f"states {befores}")
    for s in graph.states:
        for name in (s.before, s.after):
            if name not in graph.tensors:
                raise BadInput(f"holds the tensor {name!r}, which does not exist", where=f"state {s.name!r}")
        before, after = graph.tensors[s.before], graph.tensors[s.after]
        if before.data is not None or graph.producer(s.before) is not None:
            raise BadInput("is a state, yet something else gives it a value", where=f"tensor {s.before!r}")
        if (before.shape, before.dtype) != (after.shape, after.dtype):
            raise BadInput(f"is {before.dtype}{list(before.shape)} and {s.after!r}, its next value, "
                           f"{after.dtype}{list(after.shape)}", where=f"state {s.name!r}")  # fmt: skip
        if s.initial.shape != before.shape or s.initial.dtype != NUMPY[before.dtype]:
            raise BadInput(f"is {before.dtype}{list(before.shape)} and begins with {s.initial.dtype}"
                           f"{list(s.initial.shape)}", where=f"state {s.name!r}")  # fmt: skip
