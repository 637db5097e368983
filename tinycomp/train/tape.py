"""Reverse-mode differentiation over a graph: forward once, what each node needs kept, then backwards through all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from tinycomp import ops
from tinycomp.errors import Unsupported
from tinycomp.ir import Graph, Node
from tinycomp.train import linear, moving, pointwise
from tinycomp.train.step import Derivative, Reals, Step

DERIVATIVES: dict[str, Derivative] = {
    "add": pointwise.added,
    "average_pool2d": moving.average_pool2d,
    "concatenation": moving.concatenated,
    "conv2d": linear.conv2d,
    "depthwise_conv2d": linear.depthwise,
    "fully_connected": linear.dense,
    "leaky_relu": pointwise.leaky,
    "logistic": pointwise.mapped(pointwise.sigmoid),
    "max_pool2d": moving.max_pool2d,
    "mean": moving.averaged,
    "mul": pointwise.multiplied,
    "pad": moving.padded,
    "relu": pointwise.rectified,
    "reshape": moving.reshaped,
    "softmax": pointwise.softmaxed,
    "sub": pointwise.subtracted,
    "tanh": pointwise.mapped(pointwise.tangent),
}
Around = Callable[[str, Reals], Step | None]  # takes what a node has made; None leaves it


def derivative_of(node: Node) -> Derivative | None:
    """How gradients pass the node, None where they do not."""
    if node.op == "elementwise":
        function = pointwise.function_of(node)
        return pointwise.mapped(function) if function else None
    return DERIVATIVES.get(node.op)


def require_derivatives(graph: Graph, parameters: frozenset[str]) -> None:
    """Raise Unsupported, naming the node, where gradients by the parameters do not pass."""
    reached = set(parameters)
    for node in graph.nodes:
        if reached.isdisjoint(node.inputs):
            continue
        if derivative_of(node) is None:
            what = cast(str, getattr(node.attrs, "function", node.op))
            raise Unsupported(f"{what} has no derivative here, so what comes before it cannot be trained",
                              where=f"{node.name} ({node.op})", fix="go on without training")  # fmt: skip
        reached.update(node.outputs)


@dataclass(frozen=True)
class Tape:
    """values: the graph's outputs by tensor name. backward: from gradients by them to gradients by what was wanted."""

    values: Mapping[str, Reals]
    backward: Callable[[Mapping[str, Reals]], dict[str, Reals]]


def record(graph: Graph, given: Mapping[str, Reals], wanted: frozenset[str], around: Around | None = None) -> Tape:
    """Run the graph. given: values of its inputs, and of constants that are to be others than the graph's.

    wanted: inputs and constants by which gradients are wanted. around: what is done to each node's output, such as
    rounding it. The leading dimension of inputs may be larger than the graph's. Raises Unsupported as
    `require_derivatives` does.
    """
    require_derivatives(graph, wanted)
    values = dict(given)
    reached, steps = set(wanted), list[tuple[Node, Step]]()
    left = {name: len(graph.consumers(name)) + (name in graph.outputs) for name in graph.tensors}
    for node in graph.nodes:
        args = [values[name] if name in values else cast(Reals, graph.constant(name)) for name in node.inputs]
        derive, needed = derivative_of(node), [name in reached for name in node.inputs]
        if derive is None:
            made = ops.operator(node).reference(node, graph, args)
            values.update(zip(node.outputs, cast(tuple[Reals, ...], made), strict=True))
        else:
            step = derive(node, args, needed)
            values[node.outputs[0]] = step.value
            if any(needed):
                steps.append((node, step))
                reached.update(node.outputs)
            after = around(node.outputs[0], step.value) if around else None
            if after is not None:
                values[node.outputs[0]] = after.value
                if any(needed):
                    steps[-1] = (node, _chained(step, after))
        for name in node.inputs:  # what is not needed any more need not stay in memory
            left[name] -= 1
            if not left[name] and name not in wanted:
                values.pop(name, None)
    outputs = {name: values[name] for name in graph.outputs}
    return Tape(outputs, lambda gradients: _backward(steps, gradients, reached, wanted))


def _chained(first: Step, second: Step) -> Step:
    def pullback(gradient: Reals) -> tuple[Reals | None, ...]:
        (middle,) = second.pullback(gradient)
        assert middle is not None  # `around` always gives it
        return first.pullback(middle)

    return Step(second.value, pullback)


def _backward(
    steps: list[tuple[Node, Step]], gradients: Mapping[str, Reals], reached: set[str], wanted: frozenset[str]
) -> dict[str, Reals]:
    """Gradients by what is wanted; each step is forgotten when it is done."""
    found = dict(gradients)
    while steps:
        node, step = steps.pop()
        gradient = found.pop(node.outputs[0], None)
        if gradient is None:
            continue
        for name, part in zip(node.inputs, step.pullback(gradient), strict=True):
            if part is not None and name in reached:
                found[name] = found[name] + part if name in found else part
    return {name: g for name, g in found.items() if name in wanted}
