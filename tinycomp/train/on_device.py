"""The last layer made trainable on the board: its weights and biases become states that `NAME_train_step` moves.

What stands before it stays as it is, integers and all; the head computes in float32. What a step needs of the last
inference, the features and the answers, is kept in two more states.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tinycomp.errors import Unsupported
from tinycomp.ir import Graph, Node, State, Tensor, fresh, pruned
from tinycomp.ops import fully_connected
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.ops.hybrid import real
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.softmax import Softmax
from tinycomp.ops.trainable_dense import TrainableDense

FIX = "build without --trainable-head"
WEIGHTS, BIASES, FEATURES, ANSWERS = "head weights", "head biases", "head features", "head answers"  # the states
STATES = (WEIGHTS, BIASES, FEATURES, ANSWERS)
NO_ANSWER = -1.0  # stands in the first answer where no inference has been made since the last step


class Head(NamedTuple):
    """The end of a classifier: a dense layer of one vector, the softmax of its outputs, and reshapes between them."""

    dense: Node
    softmax: Node
    between: tuple[Node, ...]


def head_of(graph: Graph) -> Head:
    """The head. Raises Unsupported where the model does not end in a dense layer and a softmax over it."""
    name = graph.outputs[0]
    softmax = graph.producer(name)
    if len(graph.outputs) != 1 or softmax is None or not isinstance(softmax.attrs, Softmax):
        raise Unsupported("does not end in a softmax, so no answer says how wrong it was", where=graph.name, fix=FIX)
    dense, between = graph.producer(softmax.inputs[0]), list[Node]()
    while dense is not None and isinstance(dense.attrs, Reshape):
        between.append(dense)
        dense = graph.producer(dense.inputs[0])
    where = f"{softmax.name} (softmax)"
    if dense is None or not isinstance(dense.attrs, FullyConnected):
        raise Unsupported("is not the softmax of a dense layer", where=where, fix=FIX)
    x, w, _ = graph.ins(dense)
    alone = all(len(graph.consumers(node.outputs[0])) == 1 for node in (dense, *between))
    if not alone or fully_connected.attrs(dense).activation != "none" or x.elements != w.shape[1]:
        raise Unsupported("is not one plain dense layer of one vector before a softmax",
                          where=f"{dense.name} (fully_connected)", fix=FIX)  # fmt: skip
    if x.dtype not in ("int8", "float32") or w.dtype not in ("int8", "float32"):
        raise Unsupported(f"has {x.dtype} features and {w.dtype} weights; int8 and float32 can be trained",
                          where=f"{dense.name} (fully_connected)", fix=FIX)  # fmt: skip
    return Head(dense, softmax, tuple(between))


def trainable(graph: Graph) -> Graph:
    """The graph with its head in states. Its output becomes float32 probabilities. Raises Unsupported as `head_of`."""
    dense, softmax, between = head_of(graph)
    x, w, b = graph.ins(dense)
    assert w.data is not None  # the operator's `infer` has asked
    assert b.data is not None
    values = real(w, w.data), real(b, b.data).reshape(w.shape[0])
    output = graph.outputs[0]
    names = {part: fresh(graph, part.replace(" ", "_")) for part in STATES}
    learnt = {part: fresh(graph, f"{names[part]}_after") for part in (WEIGHTS, BIASES)}
    logits = Tensor(fresh(graph, "head_logits"), (1, w.shape[0]), "float32")
    made = [logits, Tensor(output, (1, w.shape[0]), "float32")]
    for part, value in zip((WEIGHTS, BIASES), values, strict=True):
        made += [Tensor(name, value.shape, "float32") for name in (names[part], learnt[part])]
    made += [replace(x, name=names[FEATURES]), Tensor(names[ANSWERS], (1, w.shape[0]), "float32")]
    layer = Node(dense.name, TrainableDense(), (x.name, names[WEIGHTS], names[BIASES]),
                 (logits.name, learnt[WEIGHTS], learnt[BIASES]))  # fmt: skip
    answer = replace(softmax, inputs=(logits.name,), outputs=(output,))
    nodes = tuple(n for n in graph.nodes if n not in (dense, softmax, *between))
    start = np.zeros(x.shape, np.int8 if x.dtype == "int8" else np.float32)
    none = np.full((1, w.shape[0]), NO_ANSWER, np.float32)
    states = (
        State(WEIGHTS, names[WEIGHTS], learnt[WEIGHTS], values[0]),
        State(BIASES, names[BIASES], learnt[BIASES], values[1]),
        State(FEATURES, names[FEATURES], x.name, start), State(ANSWERS, names[ANSWERS], output, none),
    )  # fmt: skip
    tensors = {**graph.tensors, **{t.name: t for t in made}}
    return pruned(replace(graph, tensors=tensors, nodes=(*nodes, layer, answer), states=(*graph.states, *states)))
